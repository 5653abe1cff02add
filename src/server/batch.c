/*
 * batch.c
 *		Scores of a whole table or query, by one version or by two side by side, and
 *		what explains them.
 *
 * The rows come from a source (source.c) one by one and are scored in blocks
 * (block.c).  Results go into a tuplestore, which spills to disk beyond
 * work_mem; besides, a call holds one block.
 *
 * Nothing here is traffic: the version is the champion that the statement's
 * snapshot sees, or the one named; there is no canary and no fallback score, and
 * nothing is logged.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "block.h"
#include "catalog.h"
#include "compat.h"
#include "explain.h"
#include "progress.h"
#include "source.h"
#include "subject.h"

#define MAX_SIDES	2

/* What is told of a row, besides its entity; of each version. */
typedef enum Content
{
	CONTENT_SCORES,
	CONTENT_CONTRIBUTIONS,
	CONTENT_SCORES_REASONS
} Content;

/* What explains the rows by one version. */
typedef struct Explanation
{
	double	   *contributions;	/* [capacity][num_features + 1]; NULL: not explained */
	void	   *scratch;
} Explanation;

/* The receiver of the source's rows. */
typedef struct Batch
{
	DestReceiver receiver;		/* first */
	MemoryContext context;		/* of the call, deleted when it ends */
	MemoryContext block;		/* of the rows, reset with each block */
	Tuplestorestate *store;
	TupleDesc	result;
	Content		content;
	const text *model;
	int			top;			/* reasons of a row */
	char	  **wanted;			/* [num_wanted], in order: only rows of these entities */
	int			num_wanted;		/* 0: all rows */
	Route		route;			/* its entity_id names the column of the entities */
	TupleDesc	source;
	List	   *tables;			/* whose columns the source's are */
	SubjectReader *reader;
	Block		rows;
	Explanation explanations[MAX_SIDES];	/* by its sides */
	uint64		num_scored;		/* before them */
	ProgressSlot *progress;
	Datum	   *entities;		/* [capacity], text in the block's memory */
	bool	   *unknown;		/* [capacity] */
} Batch;

/* ---- the versions ---- */

/* The champion's number, or that of the version named.  Errors: 42704, 55000. */
static int64
find_version(const text *model, const Route *route, const text *version)
{
	Problem		problem = {0};

	if (version)
		return catalog_version(model, version);
	if (route->champion.version_id == 0)
	{
		route_no_champion(text_to_cstring(model), &problem);
		problem_raise(&problem);
	}
	return route->champion.version_id;
}

/* Add a version that scores: the champion, or that which an argument names.  Errors: those of
 * find_version() and of scorer.c. */
static void
add_version(Batch *batch, const text *version)
{
	Problem		problem = {0};

	if (!block_add_version(&batch->rows, find_version(batch->model, &batch->route, version),
						   batch->route.positive_class, &problem))
		problem_raise(&problem);
}

/* ---- the columns ---- */

/* Find the column of the entities.  Errors: 42703 there is none, 42702 there are
 * several. */
static void
find_entity(Batch *batch)
{
	const char *name = batch->route.entity_id;
	AttrNumber	attnum = name ? bind_find_column(batch->source, name) : 0;

	if (name && attnum == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("the source has no column \"%s\", which is to identify its rows", name),
				 errhint("Add it, or name another with id_column => '...'.")));
	if (attnum < 0)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_COLUMN),
				 errmsg("column \"%s\" appears more than once in the source", name),
				 errhint("Name each column once, with AS where two tables have it.")));
	batch->reader = subject_reader(&batch->route, batch->source);
}

/* Is a version to explain the rows?  Who asks for reasons beside others does without
 * where there are none. */
static bool
is_explained(const Batch *batch, const Forest *forest)
{
	return batch->content != CONTENT_SCORES && forest_explains(forest);
}

/* Make the block, as large as the versions and what explains them allow. */
static void
allocate_rows(Batch *batch)
{
	Block	   *rows = &batch->rows;
	Size		more = 0;

	for (int i = 0; i < rows->num_sides; i++)
	{
		const Version *version = rows->sides[i].scorer.version;

		if (is_explained(batch, &version->forest))
			more += sizeof(double) * ((Size) version->num_features + 1);
	}
	block_allocate(rows, more);
	for (int i = 0; i < rows->num_sides; i++)
	{
		const Version *version = rows->sides[i].scorer.version;

		if (!is_explained(batch, &version->forest))
			continue;
		batch->explanations[i].contributions = palloc(sizeof(double) * (version->num_features + 1) * rows->capacity);
		batch->explanations[i].scratch = palloc_extended(Max(forest_contributions_batch_scratch_size(&version->forest), 1),
														 MCXT_ALLOC_HUGE);
	}
	batch->entities = palloc(sizeof(Datum) * rows->capacity);
	batch->unknown = palloc(sizeof(bool) * rows->capacity);
}

/* What the source's columns are, before its first row. */
static void
batch_startup(DestReceiver *self, int operation, TupleDesc source)
{
	Batch	   *batch = (Batch *) self;
	MemoryContext before = MemoryContextSwitchTo(batch->context);

	batch->source = CreateTupleDescCopy(source);
	batch->source->tdtypeid = RECORDOID;
	batch->source->tdtypmod = -1;
	BlessTupleDesc(batch->source);
	for (int i = 0; i < batch->rows.num_sides; i++)
	{
		BlockSide  *side = &batch->rows.sides[i];
		Problem		problem = {0};

		side->binding = bind_query(side->scorer.version, batch->source, batch->tables, &problem);
		if (!side->binding)
			problem_raise(&problem);
	}
	find_entity(batch);
	allocate_rows(batch);
	MemoryContextSwitchTo(before);
}

/* ---- the rows ---- */

/* What is told of a row by a version: adds to values and nulls; returns how many. */
static int
tell_row(Batch *batch, int side, int row, Datum *values, bool *nulls)
{
	const BlockSide *scored = &batch->rows.sides[side];
	const Version *version = scored->scorer.version;
	const Explanation *explanation = &batch->explanations[side];
	Size		features = version->num_features;
	const double *contributions = explanation->contributions ? explanation->contributions + row * (features + 1) : NULL;
	int			n = 0;

	if (batch->content == CONTENT_CONTRIBUTIONS)
		values[n++] = explain_array(contributions, features + 1);
	else
		values[n++] = Float8GetDatum(block_score_of(&batch->rows, side, row));
	if (batch->content == CONTENT_SCORES_REASONS)
	{
		nulls[n] = contributions == NULL;
		if (!nulls[n])
			values[n] = explain_row(batch->model, version, scored->features + row * features,
									contributions, batch->top, JSONBOID);
		n++;
	}
	return n;
}

/* Score the block and begin another one. */
static void
score_block(Batch *batch)
{
	Block	   *rows = &batch->rows;

	block_score(rows);
	for (int i = 0; i < rows->num_sides; i++)
	{
		const Scorer *scorer = &rows->sides[i].scorer;

		if (batch->explanations[i].contributions)
			forest_contributions_batch(&scorer->version->forest, rows->sides[i].features, rows->num_rows, scorer->output,
									   batch->explanations[i].scratch, batch->explanations[i].contributions);
	}
	for (int row = 0; row < rows->num_rows; row++)
	{
		Datum		values[1 + 2 * MAX_SIDES] = {batch->entities[row]};
		bool		nulls[1 + 2 * MAX_SIDES] = {batch->unknown[row]};
		int			n = 1;

		for (int i = 0; i < rows->num_sides; i++)
			n += tell_row(batch, i, row, values + n, nulls + n);
		tuplestore_putvalues(batch->store, batch->result, values, nulls);
	}
	batch->num_scored += rows->num_rows;
	rows->num_rows = 0;
	progress_rows(batch->progress, batch->num_scored);
	MemoryContextReset(batch->block);
	CHECK_FOR_INTERRUPTS();
}

/* Is the row of this entity asked for? */
static bool
is_wanted(const Batch *batch, const text *entity)
{
	const char *key;

	if (batch->num_wanted == 0)
		return true;
	if (!entity)
		return false;
	key = text_to_cstring(entity);
	return bsearch(&key, batch->wanted, batch->num_wanted, sizeof(char *), pg_qsort_strcmp) != NULL;
}

/* Take a row into the block. */
static bool
batch_receive(TupleTableSlot *slot, DestReceiver *self)
{
	Batch	   *batch = (Batch *) self;
	MemoryContext before = MemoryContextSwitchTo(batch->block);
	int			row = batch->rows.num_rows;
	Problem		problem = {0};
	text	   *entity;

	entity = subject_entity(batch->reader, slot);
	if (is_wanted(batch, entity))
	{
		batch->entities[row] = PointerGetDatum(entity);
		batch->unknown[row] = entity == NULL;
		if (!block_take(&batch->rows, slot, &problem))
			problem_raise(&problem);
	}
	if (batch->rows.num_rows == batch->rows.capacity ||
		MemoryContextMemAllocated(batch->block, true) >= BLOCK_BYTES)
		score_block(batch);
	MemoryContextSwitchTo(before);
	return true;
}

static void
batch_shutdown(DestReceiver *self)
{
	Batch	   *batch = (Batch *) self;
	MemoryContext before = MemoryContextSwitchTo(batch->block);

	score_block(batch);
	MemoryContextSwitchTo(before);
}

static void
batch_destroy(DestReceiver *self)
{
}

/* ---- the functions ---- */

/* An argument that must be there. */
static text *
text_argument(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return PG_GETARG_TEXT_PP(arg);
}

/* Where a function has its arguments, after the model; 0: it has none. */
typedef struct Arguments
{
	int			source;
	int			version;
	int			other_version;
	int			entities;
	int			top;
	int			id_column;
} Arguments;

#define OPTIONAL_TEXT(arg)	(PG_ARGISNULL(arg) ? NULL : PG_GETARG_TEXT_PP(arg))

/* Begin a call: which model it is of, and which column identifies the rows, that of the
 * argument or, NULL, the model's. */
static Batch *
open_batch(FunctionCallInfo fcinfo, Content content, int id_column)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	Batch	   *batch = palloc0(sizeof(Batch));
	Route		route;

	batch->model = text_argument(fcinfo, 0, "model");
	batch->content = content;
	InitMaterializedSRF(fcinfo, 0);
	batch->receiver = (DestReceiver) {batch_receive, batch_startup, batch_shutdown, batch_destroy,
	DestTuplestore};
	batch->context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk batch", ALLOCSET_DEFAULT_SIZES);
	batch->block = AllocSetContextCreate(batch->context, "pg_risk block", ALLOCSET_DEFAULT_SIZES);
	block_init(&batch->rows, MAX_SIDES);
	batch->store = info->setResult;
	batch->result = info->setDesc;
	route_read(text_to_cstring(batch->model), &route);
	batch->route = (Route) {
		.champion = route.champion,.positive_class = route.positive_class,
		.entity_id = PG_ARGISNULL(id_column) ? route.entity_id : text_to_cstring(PG_GETARG_TEXT_PP(id_column))
	};
	return batch;
}

/* Only rows of the entities of an argument are asked for; NULL, there and in it: of none.  Are
 * there any? */
static bool
want_entities(Batch *batch, FunctionCallInfo fcinfo, int arg)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(arg))
		return false;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(arg), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	batch->wanted = palloc(sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			batch->wanted[batch->num_wanted++] = TextDatumGetCString(elements[i]);
	qsort(batch->wanted, batch->num_wanted, sizeof(char *), pg_qsort_strcmp);
	return batch->num_wanted > 0;
}

/* Score the source.  One version alone must be able to explain what is to be explained. */
static Datum
run_batch(FunctionCallInfo fcinfo, Content content, const Arguments *arguments)
{
	Batch	   *batch = open_batch(fcinfo, content, arguments->id_column);
	const BlockSide *sides = batch->rows.sides;
	char	   *source;

	if (arguments->top)
		batch->top = explain_top(fcinfo->args[arguments->top]);
	if (arguments->entities && !want_entities(batch, fcinfo, arguments->entities))
		return (Datum) 0;
	add_version(batch, OPTIONAL_TEXT(arguments->version));
	if (arguments->other_version)
		add_version(batch, OPTIONAL_TEXT(arguments->other_version));
	else if (content != CONTENT_SCORES)
		explain_require(&sides[0].scorer);
	source = text_to_cstring(text_argument(fcinfo, arguments->source, "source"));
	batch->progress = progress_start(batch->context, sides[0].scorer.version->id,
									 arguments->other_version ? sides[1].scorer.version->id : 0);
	source_read(psprintf("SELECT * FROM %s", source_from_item(source)), &batch->receiver, &batch->tables);
	MemoryContextDelete(batch->context);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(risk_score_batch);
PG_FUNCTION_INFO_V1(risk_score_versions);
PG_FUNCTION_INFO_V1(risk_contributions_batch);
PG_FUNCTION_INFO_V1(risk_explain_batch);
PG_FUNCTION_INFO_V1(risk_explain_versions);
PG_FUNCTION_INFO_V1(risk_version_kernel);

/* risk.score_batch(model, source, version, id_column) */
Datum
risk_score_batch(PG_FUNCTION_ARGS)
{
	return run_batch(fcinfo, CONTENT_SCORES, &(Arguments) {.source = 1,.version = 2,.id_column = 3});
}

/* risk.score_versions(model, version_a, version_b, source, id_column) */
Datum
risk_score_versions(PG_FUNCTION_ARGS)
{
	return run_batch(fcinfo, CONTENT_SCORES, &(Arguments) {
		.version = 1,.other_version = 2,.source = 3,.id_column = 4
	});
}

/* risk.contributions_batch(model, source, version, id_column) */
Datum
risk_contributions_batch(PG_FUNCTION_ARGS)
{
	return run_batch(fcinfo, CONTENT_CONTRIBUTIONS, &(Arguments) {.source = 1,.version = 2,.id_column = 3});
}

/* risk.explain_batch(model, source, version, top, id_column) */
Datum
risk_explain_batch(PG_FUNCTION_ARGS)
{
	return run_batch(fcinfo, CONTENT_SCORES_REASONS, &(Arguments) {
		.source = 1,.version = 2,.top = 3,.id_column = 4
	});
}

/* risk.explain_versions(model, version_a, version_b, source, entities, top, id_column) */
Datum
risk_explain_versions(PG_FUNCTION_ARGS)
{
	return run_batch(fcinfo, CONTENT_SCORES_REASONS, &(Arguments) {
		.version = 1,.other_version = 2,.source = 3,.entities = 4,.top = 5,.id_column = 6
	});
}

/* risk.version_kernel(model, version): what adds up its trees in this session. */
Datum
risk_version_kernel(PG_FUNCTION_ARGS)
{
	text	   *model = text_argument(fcinfo, 0, "model");
	Scorer		scorer;
	Problem		problem = {0};
	Route		route;

	route_read(text_to_cstring(model), &route);
	if (!scorer_open(&scorer, find_version(model, &route, OPTIONAL_TEXT(1)), route.positive_class, &problem))
		problem_raise(&problem);
	PG_RETURN_TEXT_P(cstring_to_text(scorer.version->forest.kernel_name));
}
