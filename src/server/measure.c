/*
 * measure.c
 *		The aggregate risk.measure_pairs(): collects the rows of one version,
 *		and has the yardsticks of src/measure fill a risk.measures.
 *
 * What the rows need is kept in plain arrays in the aggregate's memory, some
 * 33 bytes a pair; the final function takes 64 more for as long as it runs.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "measure/measure.h"

#define FIRST_ROWS	1024

/* Arguments of the transition function, after the state. */
enum
{
	ARG_STATE = 0,
	ARG_SCORE,
	ARG_CHAMPION_SCORE,
	ARG_LATENCY,
	ARG_CHAMPION_LATENCY,
	ARG_MISSING_SHARE,
	ARG_LABEL,
	ARG_AMOUNT,
	ARG_THRESHOLD,
	ARG_CAPACITY,
	ARG_REVIEW_COST
};

/* One version's column of a pair; NaN where there is no value. */
typedef struct Side
{
	double	   *scores;
	float	   *latencies;
	MeasureRank *order;			/* by score; the final function's */
	double	   *placements;		/* of measure_auc(); the final function's */
} Side;

/* The rows collected so far. */
typedef struct PairState
{
	double		threshold;		/* settings, those of the first row */
	double		capacity;		/* NaN: none */
	double		review_cost;
	int64		transactions;
	int64		errors;
	double		missing_sum;
	int64		missing_rows;
	size_t		pairs;			/* used of the arrays */
	size_t		allocated;
	Side		champion;
	Side		challenger;
	int8	   *labels;			/* MeasureLabel */
	double	   *amounts;
} PairState;

static float8
float8_or_nan(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? get_float8_nan() : PG_GETARG_FLOAT8(arg);
}

static float4
float4_or_nan(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? get_float4_nan() : PG_GETARG_FLOAT4(arg);
}

/* An array of the aggregate, longer; NULL: a first one. */
static void *
extend(MemoryContext context, void *array, size_t elements, size_t size)
{
	if (array == NULL)
		return MemoryContextAllocHuge(context, elements * size);
	return repalloc_huge(array, elements * size);
}

/* Room for one more pair. */
static void
make_room(MemoryContext context, PairState *state)
{
	size_t		n = state->allocated ? state->allocated * 2 : FIRST_ROWS;

	if (state->pairs < state->allocated)
		return;
	if (n > MEASURE_MAX_ROWS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many predictions to measure"),
				 errhint("Measure a shorter time.")));
	state->champion.scores = extend(context, state->champion.scores, n, sizeof(double));
	state->challenger.scores = extend(context, state->challenger.scores, n, sizeof(double));
	state->champion.latencies = extend(context, state->champion.latencies, n, sizeof(float));
	state->challenger.latencies = extend(context, state->challenger.latencies, n, sizeof(float));
	state->labels = extend(context, state->labels, n, sizeof(int8));
	state->amounts = extend(context, state->amounts, n, sizeof(double));
	state->allocated = n;
}

PG_FUNCTION_INFO_V1(risk_measure_add);

/* Transition function: take in a row.  A score that is NaN is none. */
Datum
risk_measure_add(PG_FUNCTION_ARGS)
{
	float8		score = float8_or_nan(fcinfo, ARG_SCORE);
	float8		champion_score = float8_or_nan(fcinfo, ARG_CHAMPION_SCORE);
	MemoryContext context;
	PairState  *state;
	size_t		i;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "risk_measure_add called in non-aggregate context");
	if (PG_ARGISNULL(ARG_STATE))
	{
		state = MemoryContextAllocZero(context, sizeof(PairState));
		state->threshold = float8_or_nan(fcinfo, ARG_THRESHOLD);
		state->capacity = float8_or_nan(fcinfo, ARG_CAPACITY);
		state->review_cost = float8_or_nan(fcinfo, ARG_REVIEW_COST);
	}
	else
		state = (PairState *) PG_GETARG_POINTER(ARG_STATE);

	state->transactions++;
	state->errors += isnan(score) ? 1 : 0;
	if (!PG_ARGISNULL(ARG_MISSING_SHARE))
	{
		state->missing_sum += PG_GETARG_FLOAT4(ARG_MISSING_SHARE);
		state->missing_rows++;
	}
	if (!isnan(score) && !isnan(champion_score))
	{
		make_room(context, state);
		i = state->pairs++;
		state->challenger.scores[i] = score;
		state->champion.scores[i] = champion_score;
		state->challenger.latencies[i] = float4_or_nan(fcinfo, ARG_LATENCY);
		state->champion.latencies[i] = float4_or_nan(fcinfo, ARG_CHAMPION_LATENCY);
		state->labels[i] = PG_ARGISNULL(ARG_LABEL) ? MEASURE_UNKNOWN :
			PG_GETARG_BOOL(ARG_LABEL) ? MEASURE_POSITIVE : MEASURE_NEGATIVE;
		state->amounts[i] = float8_or_nan(fcinfo, ARG_AMOUNT);
	}
	PG_RETURN_POINTER(state);
}

/* The risk.measures that is being filled. */
typedef struct Figures
{
	TupleDesc	tupdesc;
	Datum	   *values;
	bool	   *nulls;
} Figures;

/* Set a column; NaN is NULL. */
static void
set_figure(Figures *figures, const char *name, double value)
{
	int			i;

	for (i = 0; i < figures->tupdesc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(figures->tupdesc, i);

		if (namestrcmp(&column->attname, name) != 0)
			continue;
		figures->nulls[i] = isnan(value);
		if (column->atttypid == INT8OID)
			figures->values[i] = Int64GetDatum((int64) value);
		else
			figures->values[i] = Float8GetDatum(value);
		return;
	}
	elog(ERROR, "type risk.measures has no attribute \"%s\"", name);
}

/* Set the columns of both versions. */
static void
set_both(Figures *figures, const char *name, double champion, double challenger)
{
	set_figure(figures, psprintf("champion_%s", name), champion);
	set_figure(figures, name, challenger);
}

/* Set the columns of an interval. */
static void
set_interval(Figures *figures, const char *name, MeasureEstimate estimate)
{
	set_figure(figures, psprintf("%s_low", name), estimate.low);
	set_figure(figures, psprintf("%s_high", name), estimate.high);
}

/* A share of a count; NaN: of nothing. */
static double
share(double part, double whole)
{
	return whole > 0 ? part / whole : get_float8_nan();
}

/* How many rows, and what was wrong with them. */
static void
measure_rows(const PairState *state, Figures *figures)
{
	set_figure(figures, "transactions", state->transactions);
	set_figure(figures, "pairs", state->pairs);
	set_figure(figures, "errors", state->errors);
	set_figure(figures, "error_rate", share(state->errors, state->transactions));
	set_interval(figures, "error_rate", measure_proportion(state->errors, state->transactions));
	set_figure(figures, "null_rate", share(state->missing_sum, state->missing_rows));
}

/* Whom the versions flag. */
static void
measure_flags(const PairState *state, Figures *figures)
{
	size_t		n = state->pairs;
	MeasureFlips flips = measure_flips(state->champion.scores, state->challenger.scores, n,
									   state->threshold);
	size_t		flipped = flips.only_champion + flips.only_challenger;

	set_figure(figures, "decision_flips", flipped);
	set_figure(figures, "decision_flip_rate", share(flipped, n));
	set_interval(figures, "decision_flip_rate", measure_proportion(flipped, n));
	set_figure(figures, "agreement_rate", share(n - flipped, n));
	set_figure(figures, "mcnemar_p",
			   n ? measure_mcnemar(flips.only_champion, flips.only_challenger) : get_float8_nan());
	set_both(figures, "flagged_per_1000",
			 share(1000.0 * flips.champion, n), share(1000.0 * flips.challenger, n));
}

/* Where the scores are. */
static void
measure_scores(const PairState *state, Figures *figures)
{
	static const int percentiles[] = {1, 5, 25, 50, 75, 95, 99};
	const Side *champion = &state->champion;
	const Side *challenger = &state->challenger;
	size_t		n = state->pairs;
	MeasureEstimate shift = measure_mean_shift(champion->scores, challenger->scores, n);
	double		ks = measure_ks(champion->order, n, challenger->order, n);

	set_both(figures, "score_mean",
			 measure_mean(champion->scores, n), measure_mean(challenger->scores, n));
	set_figure(figures, "mean_shift", shift.value);
	set_interval(figures, "mean_shift", shift);
	for (int i = 0; i < lengthof(percentiles); i++)
		set_both(figures, psprintf("score_p%02d", percentiles[i]),
				 measure_quantile(champion->order, n, percentiles[i] / 100.0),
				 measure_quantile(challenger->order, n, percentiles[i] / 100.0));
	set_figure(figures, "psi", measure_psi(champion->order, challenger->order, n));
	set_figure(figures, "ks", ks);
	set_figure(figures, "ks_p", measure_ks_p(ks, n, n));
}

/* What the labels say about the scores: ranks, and the top of them. */
static void
measure_ranks(const PairState *state, Figures *figures)
{
	const Side *champion = &state->champion;
	const Side *challenger = &state->challenger;
	const int8 *labels = state->labels;
	size_t		n = state->pairs;
	double		champion_auc = measure_auc(champion->order, n, labels, champion->placements);
	double		auc = measure_auc(challenger->order, n, labels, challenger->placements);
	MeasureReview champion_review = measure_review(champion->order, n, labels, state->capacity);
	MeasureReview review = measure_review(challenger->order, n, labels, state->capacity);
	MeasureAreas areas;

	set_both(figures, "auc", champion_auc, auc);
	if (!isnan(auc))
	{
		measure_areas(champion->placements, challenger->placements, labels, n, &areas);
		set_interval(figures, "champion_auc", areas.champion);
		set_interval(figures, "auc", areas.challenger);
		set_figure(figures, "auc_difference", areas.difference.value);
		set_interval(figures, "auc_difference", areas.difference);
		set_figure(figures, "auc_difference_p", areas.difference.p);
	}
	set_both(figures, "average_precision",
			 measure_average_precision(champion->order, n, labels),
			 measure_average_precision(challenger->order, n, labels));
	set_both(figures, "precision_at_capacity", champion_review.precision, review.precision);
	set_both(figures, "recall_at_capacity", champion_review.recall, review.recall);
}

/* What the labels say about the decisions of one version: its columns have
 * that prefix. */
static void
measure_decisions(const PairState *state, const Side *side, const char *prefix, Figures *figures)
{
	MeasureDecisions made;
	MeasureEstimate precision;
	MeasureEstimate recall;

	measure_decide(side->scores, state->labels, state->amounts, state->pairs,
				   state->threshold, state->review_cost, &made);
	precision = measure_proportion(made.true_positives, made.true_positives + made.false_positives);
	recall = measure_proportion(made.true_positives, made.positives);
	set_figure(figures, "labelled", made.judged);
	set_figure(figures, "positives", made.positives);
	set_figure(figures, psprintf("%sprecision", prefix), precision.value);
	set_interval(figures, psprintf("%sprecision", prefix), precision);
	set_figure(figures, psprintf("%srecall", prefix), recall.value);
	set_interval(figures, psprintf("%srecall", prefix), recall);
	set_figure(figures, psprintf("%sfalse_positives_per_1000", prefix),
			   share(1000.0 * made.false_positives, made.judged));
	set_figure(figures, psprintf("%sexpected_loss", prefix), share(1000.0 * made.loss, made.judged));
}

/* What the labels say about the difference of the decisions. */
static void
measure_losses(const PairState *state, Figures *figures)
{
	MeasureEstimate loss = measure_loss_difference(state->champion.scores, state->challenger.scores,
												   state->labels, state->amounts, state->pairs,
												   state->threshold, state->review_cost);

	loss.value *= 1000;
	loss.low *= 1000;
	loss.high *= 1000;
	set_figure(figures, "expected_loss_difference", loss.value);
	set_interval(figures, "expected_loss_difference", loss);
}

/* The percentiles of one version's latencies; order is for its use here. */
static void
measure_latencies(const PairState *state, const Side *side, const char *prefix,
				  MeasureRank *scratch, Figures *figures)
{
	static const int percentiles[] = {50, 95, 99};
	double	   *values = side->placements;
	size_t		n = 0;

	for (size_t i = 0; i < state->pairs; i++)
		if (!isnan(side->latencies[i]))
			values[n++] = side->latencies[i];
	(void) measure_order(values, n, side->order, scratch);
	for (int i = 0; i < lengthof(percentiles); i++)
		set_figure(figures, psprintf("%slatency_p%d", prefix, percentiles[i]),
				   measure_quantile(side->order, n, percentiles[i] / 100.0));
}

/* Memory for as long as the final function runs. */
static void *
allocate(size_t elements, size_t size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, Max(elements, 1) * size);
}

/* Have all yardsticks look at what was collected. */
static void
measure_all(PairState *state, Figures *figures)
{
	size_t		n = state->pairs;
	MeasureRank *scratch = allocate(n, sizeof(MeasureRank));
	Side	   *sides[] = {&state->champion, &state->challenger};

	for (int i = 0; i < lengthof(sides); i++)
	{
		sides[i]->order = allocate(n, sizeof(MeasureRank));
		sides[i]->placements = allocate(n, sizeof(double));
		if (!measure_order(sides[i]->scores, n, sides[i]->order, scratch))
			elog(ERROR, "a score cannot be ordered");
		CHECK_FOR_INTERRUPTS();
	}
	measure_rows(state, figures);
	measure_flags(state, figures);
	measure_scores(state, figures);
	CHECK_FOR_INTERRUPTS();
	measure_ranks(state, figures);
	CHECK_FOR_INTERRUPTS();
	measure_decisions(state, &state->champion, "champion_", figures);
	measure_decisions(state, &state->challenger, "", figures);
	measure_losses(state, figures);
	CHECK_FOR_INTERRUPTS();

	/* Last: they overwrite the orders. */
	measure_latencies(state, &state->champion, "champion_", scratch, figures);
	measure_latencies(state, &state->challenger, "", scratch, figures);
}

PG_FUNCTION_INFO_V1(risk_measure_final);

/* Final function: the figures of the rows, of none too.  The state itself is
 * only read, so it may be called again. */
Datum
risk_measure_final(PG_FUNCTION_ARGS)
{
	PairState	state = {0};
	Figures		figures;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "risk_measure_final called in non-aggregate context");
	if (get_call_result_type(fcinfo, NULL, &figures.tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!PG_ARGISNULL(ARG_STATE))
		state = *(PairState *) PG_GETARG_POINTER(ARG_STATE);

	figures.tupdesc = BlessTupleDesc(figures.tupdesc);
	figures.values = palloc0(figures.tupdesc->natts * sizeof(Datum));
	figures.nulls = palloc(figures.tupdesc->natts * sizeof(bool));
	memset(figures.nulls, true, figures.tupdesc->natts * sizeof(bool));
	measure_all(&state, &figures);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(figures.tupdesc, figures.values,
													  figures.nulls)));
}
