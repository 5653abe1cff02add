/*
 * batch.c
 *		Scores of a whole table or query, by one version or by two side by side, and
 *		what explains them.
 *
 * The rows come from a source (source.c) one by one and are scored in blocks
 * (block.c), a block when its first row is asked for: it is all that a call holds.
 * Where several processes read the source, all of it comes at once; what is ready
 * then goes into a tuplestore, which spills to disk beyond work_mem.
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

#include "batch.h"
#include "block.h"
#include "catalog.h"
#include "compat.h"
#include "explain.h"
#include "progress.h"
#include "source.h"
#include "subject.h"

#define MAX_SIDES	2
#define FIRST_BLOCK	64			/* rows, in case somebody stops early */

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

/* A call, and the receiver of its source's rows. */
typedef struct Batch
{
	DestReceiver receiver;		/* first */
	MemoryContext context;		/* of the call, deleted when it ends */
	MemoryContext block;		/* of the rows, reset with each block */
	TupleDesc	result;
	Content		content;
	const text *model;
	int			top;			/* reasons of a row */
	char	  **wanted;			/* [num_wanted], in order: only rows of these entities */
	int			num_wanted;		/* 0: all rows */
	Route		route;			/* its entity_id names the column of the entities */
	Source	   *source;
	TupleDesc	columns;		/* of the source */
	List	   *tables;			/* whose columns they are */
	SubjectReader *reader;		/* NULL: not begun */
	Block		rows;
	int			size;			/* rows of this block, */
	bool		full;			/* which it has: there may be more */
	bool		ended;			/* the source has */
	int			next;			/* row of the block that comes next */
	Explanation explanations[MAX_SIDES];	/* by its sides */
	uint64		num_scored;		/* with the block */
	ProgressSlot *progress;
	Datum	   *entities;		/* [capacity], text in the block's memory */
	bool	   *unknown;		/* [capacity] */
	Tuplestorestate *kept;		/* what came before the block; NULL: nothing */
	TupleTableSlot *kept_row;
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
	AttrNumber	attnum = name ? bind_find_column(batch->columns, name) : 0;

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
	batch->reader = subject_reader(&batch->route, batch->columns);
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
	batch->size = Min(FIRST_BLOCK, rows->capacity);
	batch->entities = palloc(sizeof(Datum) * rows->capacity);
	batch->unknown = palloc(sizeof(bool) * rows->capacity);
}

/* What the source's columns are, before its first row; and again before others. */
static void
batch_startup(DestReceiver *self, int operation, TupleDesc columns)
{
	Batch	   *batch = (Batch *) self;
	MemoryContext before;

	if (batch->reader)
		return;
	before = MemoryContextSwitchTo(batch->context);
	batch->columns = CreateTupleDescCopy(columns);
	batch->columns->tdtypeid = RECORDOID;
	batch->columns->tdtypmod = -1;
	BlessTupleDesc(batch->columns);
	for (int i = 0; i < batch->rows.num_sides; i++)
	{
		BlockSide  *side = &batch->rows.sides[i];
		Problem		problem = {0};

		side->binding = bind_query(side->scorer.version, batch->columns, batch->tables, &problem);
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

/* The next row of the block, as long as the block is there. */
static void
tell_next(Batch *batch, Datum *values, bool *nulls)
{
	MemoryContext before = MemoryContextSwitchTo(batch->block);
	int			row = batch->next++;
	int			n = 1;

	memset(nulls, false, sizeof(bool) * batch->result->natts);
	values[0] = batch->entities[row];
	nulls[0] = batch->unknown[row];
	for (int i = 0; i < batch->rows.num_sides; i++)
		n += tell_row(batch, i, row, values + n, nulls + n);
	MemoryContextSwitchTo(before);
}

/* Score the rows of the block. */
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
	batch->num_scored += rows->num_rows;
	progress_rows(batch->progress, batch->num_scored);
	CHECK_FOR_INTERRUPTS();
}

/* Begin another block: twice as large, as long as there is room. */
static void
clear_block(Batch *batch)
{
	batch->size = Min(2 * batch->size, batch->rows.capacity);
	batch->rows.num_rows = batch->next = 0;
	batch->full = false;
	MemoryContextReset(batch->block);
}

/* Put the rows of the block aside. */
static void
keep_block(Batch *batch)
{
	Datum		values[1 + 2 * MAX_SIDES];
	bool		nulls[1 + 2 * MAX_SIDES];

	if (!batch->kept)
	{
		batch->kept = tuplestore_begin_heap(false, false, work_mem);
		batch->kept_row = MakeSingleTupleTableSlot(batch->result, &TTSOpsMinimalTuple);
	}
	score_block(batch);
	while (batch->next < batch->rows.num_rows)
	{
		tell_next(batch, values, nulls);
		tuplestore_putvalues(batch->kept, batch->result, values, nulls);
	}
	clear_block(batch);
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

/* Take a row into the block.  The source pauses when it is full, if it can. */
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
	MemoryContextSwitchTo(batch->context);
	batch->full = batch->rows.num_rows == batch->size ||
		MemoryContextMemAllocated(batch->block, true) >= BLOCK_BYTES;
	if (batch->full && source_is_parallel(batch->source))
		keep_block(batch);
	MemoryContextSwitchTo(before);
	return !batch->full;
}

static void
batch_nothing(DestReceiver *self)
{
}

/* Fill the block from the source and score it. */
static void
fill_block(Batch *batch)
{
	MemoryContext before = MemoryContextSwitchTo(batch->context);

	clear_block(batch);
	source_run(batch->source);
	batch->ended = !batch->full;
	score_block(batch);
	MemoryContextSwitchTo(before);
}

/* The next of the rows put aside.  False: there is none. */
static bool
take_kept(Batch *batch, Datum *values, bool *nulls)
{
	TupleTableSlot *row = batch->kept_row;

	if (!batch->kept || !tuplestore_gettupleslot(batch->kept, true, false, row))
		return false;
	slot_getallattrs(row);
	memcpy(values, row->tts_values, sizeof(Datum) * row->tts_nvalid);
	memcpy(nulls, row->tts_isnull, sizeof(bool) * row->tts_nvalid);
	return true;
}

static bool
batch_next(void *call, Datum *values, bool *nulls)
{
	Batch	   *batch = call;

	while (!batch->ended && batch->next == batch->rows.num_rows)
		fill_block(batch);
	if (take_kept(batch, values, nulls))
		return true;
	if (batch->next == batch->rows.num_rows)
		return false;
	tell_next(batch, values, nulls);
	return true;
}

static void
batch_end(void *call)
{
	Batch	   *batch = call;

	if (batch->kept)
	{
		ExecDropSingleTupleTableSlot(batch->kept_row);
		tuplestore_end(batch->kept);
	}
	if (batch->source)
		source_close(batch->source);
	MemoryContextDelete(batch->context);
}

/* ---- the functions ---- */

/* One of them; where it has its arguments, after the model; 0: it has none. */
typedef struct BatchFunction
{
	TableFunction function;		/* first */
	Content		content;
	int			source;
	int			version;
	int			other_version;
	int			entities;
	int			top;
	int			id_column;
} BatchFunction;

/* An argument that must be there. */
static text *
text_argument(const NullableDatum *args, int arg, const char *name)
{
	if (args[arg].isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return DatumGetTextPP(args[arg].value);
}

static text *
optional_argument(const NullableDatum *args, int arg)
{
	return args[arg].isnull ? NULL : DatumGetTextPP(args[arg].value);
}

/* A call in a memory context of its own, which becomes the current one: which model it is of,
 * and which column identifies the rows, that of the argument or, NULL, the model's. */
static Batch *
open_batch(const BatchFunction *function, const NullableDatum *args, TupleDesc result)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk batch", ALLOCSET_DEFAULT_SIZES);
	Batch	   *batch;
	const text *id_column;
	Route		route;

	MemoryContextSwitchTo(context);
	batch = palloc0(sizeof(Batch));
	batch->receiver = (DestReceiver) {batch_receive, batch_startup, batch_nothing, batch_nothing, DestNone};
	batch->context = context;
	batch->block = AllocSetContextCreate(context, "pg_risk block", ALLOCSET_DEFAULT_SIZES);
	batch->result = result;
	batch->content = function->content;
	batch->model = text_argument(args, 0, "model");
	block_init(&batch->rows, MAX_SIDES);
	route_read(text_to_cstring(batch->model), &route);
	id_column = optional_argument(args, function->id_column);
	batch->route = (Route) {
		.champion = route.champion,.positive_class = route.positive_class,
		.entity_id = id_column ? text_to_cstring(id_column) : route.entity_id
	};
	return batch;
}

/* Only rows of the entities of an argument are asked for; NULL, there and in it: of none.  Are
 * there any? */
static bool
want_entities(Batch *batch, const NullableDatum *argument)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (argument->isnull)
		return false;
	deconstruct_array(DatumGetArrayTypeP(argument->value), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	batch->wanted = palloc(sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			batch->wanted[batch->num_wanted++] = TextDatumGetCString(elements[i]);
	qsort(batch->wanted, batch->num_wanted, sizeof(char *), pg_qsort_strcmp);
	return batch->num_wanted > 0;
}

/* Open the source and what scores it.  One version alone must be able to explain what is to be
 * explained. */
static void
begin_scoring(Batch *batch, const BatchFunction *function, const NullableDatum *args)
{
	const BlockSide *sides = batch->rows.sides;
	char	   *source;

	add_version(batch, optional_argument(args, function->version));
	if (function->other_version)
		add_version(batch, optional_argument(args, function->other_version));
	else if (batch->content != CONTENT_SCORES)
		explain_require(&sides[0].scorer);
	source = text_to_cstring(text_argument(args, function->source, "source"));
	batch->progress = progress_start(batch->context, sides[0].scorer.version->id,
									 function->other_version ? sides[1].scorer.version->id : 0);
	batch->source = source_open(psprintf("SELECT * FROM %s", source_from_item(source)), &batch->receiver, &batch->tables);
}

static void *
batch_begin(const TableFunction *self, const NullableDatum *args, TupleDesc result)
{
	const BatchFunction *function = (const BatchFunction *) self;
	MemoryContext before = CurrentMemoryContext;
	Batch	   *batch = open_batch(function, args, result);

	if (function->top)
		batch->top = explain_top(args[function->top]);
	if (function->entities && !want_entities(batch, &args[function->entities]))
		batch->ended = true;
	else
		begin_scoring(batch, function, args);
	MemoryContextSwitchTo(before);
	return batch;
}

PG_FUNCTION_INFO_V1(risk_score_batch);
PG_FUNCTION_INFO_V1(risk_score_versions);
PG_FUNCTION_INFO_V1(risk_contributions_batch);
PG_FUNCTION_INFO_V1(risk_explain_batch);
PG_FUNCTION_INFO_V1(risk_explain_versions);
PG_FUNCTION_INFO_V1(risk_version_kernel);

#define BATCH_FUNCTION(name) {risk_##name, #name, batch_begin, batch_next, NULL, batch_end}

static const BatchFunction score_batch = {
	BATCH_FUNCTION(score_batch), CONTENT_SCORES,.source = 1,.version = 2,.id_column = 3
};
static const BatchFunction score_versions = {
	BATCH_FUNCTION(score_versions), CONTENT_SCORES,.version = 1,.other_version = 2,.source = 3,.id_column = 4
};
static const BatchFunction contributions_batch = {
	BATCH_FUNCTION(contributions_batch), CONTENT_CONTRIBUTIONS,.source = 1,.version = 2,.id_column = 3
};
static const BatchFunction explain_batch = {
	BATCH_FUNCTION(explain_batch), CONTENT_SCORES_REASONS,.source = 1,.version = 2,.top = 3,.id_column = 4
};
static const BatchFunction explain_versions = {
	BATCH_FUNCTION(explain_versions), CONTENT_SCORES_REASONS,
	.version = 1,.other_version = 2,.source = 3,.entities = 4,.top = 5,.id_column = 6
};

const TableFunction *const batch_functions[NUM_BATCH_FUNCTIONS] = {
	&score_batch.function, &score_versions.function, &contributions_batch.function, &explain_batch.function,
	&explain_versions.function
};

/* risk.score_batch(model, source, version, id_column) */
Datum
risk_score_batch(PG_FUNCTION_ARGS)
{
	return table_function_call(&score_batch.function, fcinfo);
}

/* risk.score_versions(model, version_a, version_b, source, id_column) */
Datum
risk_score_versions(PG_FUNCTION_ARGS)
{
	return table_function_call(&score_versions.function, fcinfo);
}

/* risk.contributions_batch(model, source, version, id_column) */
Datum
risk_contributions_batch(PG_FUNCTION_ARGS)
{
	return table_function_call(&contributions_batch.function, fcinfo);
}

/* risk.explain_batch(model, source, version, top, id_column) */
Datum
risk_explain_batch(PG_FUNCTION_ARGS)
{
	return table_function_call(&explain_batch.function, fcinfo);
}

/* risk.explain_versions(model, version_a, version_b, source, entities, top, id_column) */
Datum
risk_explain_versions(PG_FUNCTION_ARGS)
{
	return table_function_call(&explain_versions.function, fcinfo);
}

/* risk.version_kernel(model, version): what adds up its trees in this session. */
Datum
risk_version_kernel(PG_FUNCTION_ARGS)
{
	text	   *model = text_argument(fcinfo->args, 0, "model");
	Scorer		scorer;
	Problem		problem = {0};
	Route		route;

	route_read(text_to_cstring(model), &route);
	if (!scorer_open(&scorer, find_version(model, &route, optional_argument(fcinfo->args, 1)), route.positive_class, &problem))
		problem_raise(&problem);
	PG_RETURN_TEXT_P(cstring_to_text(scorer.version->forest.kernel_name));
}
