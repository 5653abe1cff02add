/*
 * scorer.c
 *		A version, ready to score rows of features: the forest in shared memory,
 *		buffers of this process.
 */
#include "postgres.h"

#include "portability/instr_time.h"

#include "scorer.h"

/*
 * Make a scorer of a version, with buffers in the caller's memory; good for the
 * transaction.  positive_class: of the model, -1 if it has none.
 *
 * Problems: XX001 the version is damaged or gone, 53400 no room for it.
 */
bool
scorer_open(Scorer *scorer, int64 version_id, int positive_class, Problem *problem)
{
	int			num_outputs;

	scorer->version = version_use(version_id, problem);
	if (!scorer->version)
		return false;
	scorer->forgotten = version_num_forgotten();
	num_outputs = scorer->version->forest.header->num_outputs;
	scorer->output = num_outputs == 1 ? 0 : positive_class;
	scorer->margins = palloc(sizeof(float) * num_outputs);
	scorer->predictions = palloc(sizeof(float) * num_outputs);
	scorer->scratch_size = forest_scratch_size(&scorer->version->forest);
	scorer->scratch = palloc(Max(scorer->scratch_size, 1));
	return true;
}

/* Is a scorer of an earlier transaction still good?  Then for this one, too.  The image may
 * have been loaded again meanwhile, with a plan that wants more room. */
bool
scorer_open_again(Scorer *scorer)
{
	return version_use_again(scorer->version, scorer->forgotten) &&
		forest_scratch_size(&scorer->version->forest) <= scorer->scratch_size;
}

/* Margins of a row of the version's features. */
void
scorer_margins(Scorer *scorer, const float *features)
{
	forest_margins(&scorer->version->forest, features, scorer->scratch, scorer->margins);
}

/*
 * Is it known which output is the score?
 *
 * Problems: 55000 several outputs, and the model does not say which one it is.
 */
bool
scorer_has_output(const Scorer *scorer, Problem *problem)
{
	const Version *version = scorer->version;
	const ForestHeader *header = version->forest.header;

	if (scorer->output < 0 || scorer->output >= header->num_outputs)
	{
		problem_set(problem, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					scorer->output < 0 ?
					psprintf("version \"%s\" of model \"%s\" has %u outputs, a score is one number",
							 version->name, version->model, header->num_outputs) :
					psprintf("positive_class of model \"%s\" is %d, version \"%s\" has outputs 0 to %u",
							 version->model, scorer->output, version->name, header->num_outputs - 1),
					"Use risk.score_vector() for all outputs, or say which one is the score with risk.alter_model(..., positive_class => N).");
		return false;
	}
	return true;
}

/* The score of a row's margins, where scorer_has_output(). */
double
scorer_score_of(Scorer *scorer, const float *margins)
{
	const ForestHeader *header = scorer->version->forest.header;
	ForestTransform transform = header->transform;

	/* A class number is no score: the class's probability is. */
	if (transform == FOREST_ARGMAX)
		transform = FOREST_SOFTMAX;
	forest_transform_as(transform, header->num_outputs, margins, scorer->predictions);
	return scorer->predictions[scorer->output];
}

/*
 * The score of the margins at hand.
 *
 * Problems: those of scorer_has_output().
 */
bool
scorer_score(Scorer *scorer, double *score, Problem *problem)
{
	if (!scorer_has_output(scorer, problem))
		return false;
	*score = scorer_score_of(scorer, scorer->margins);
	return true;
}

/*
 * The score of a row of the version's features, and how long it took.
 *
 * Problems: those of scorer_has_output().
 */
bool
scorer_time(Scorer *scorer, const float *features, double *score, float *latency_us, Problem *problem)
{
	instr_time	start;
	instr_time	end;
	bool		scored;

	INSTR_TIME_SET_CURRENT(start);
	scorer_margins(scorer, features);
	scored = scorer_score(scorer, score, problem);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	*latency_us = INSTR_TIME_GET_DOUBLE(end) * 1e6;
	return scored;
}
