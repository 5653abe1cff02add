/*
 * score_scan.c
 *		The plan node that scores the rows of its outer plan in blocks, and hands
 *		them out as they came: with the columns that are used, and the scores.
 *
 * It scores in blocks where one version decides upon all rows and nothing is
 * logged (decide.c says so), and that version can be matched with the rows
 * without a lookup.  Otherwise it makes each call as it was written, row by row:
 * so canaries, logs, fallback scores and errors are those of the calls.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "block.h"
#include "compat.h"
#include "decide.h"
#include "score_scan.h"

/* A column of the row that is used. */
typedef struct UsedColumn
{
	int			position;		/* from 0 */
	bool		by_value;
	int16		length;
} UsedColumn;

/* A call of risk.score_transaction(). */
typedef struct Call
{
	ExprState  *call;			/* as it was written, over the row */
	ExprState  *model;
	ExprState  *version;
} Call;

typedef enum ScoreMode
{
	MODE_UNKNOWN,				/* until there is a row */
	MODE_BLOCKS,
	MODE_CALLS
} ScoreMode;

typedef struct ScoreScanState
{
	CustomScanState custom;		/* first */
	int			num_used;
	UsedColumn *used;
	int			last_used;		/* the greatest position, from 1 */
	int			num_calls;
	Call	   *calls;
	Oid			row_type;		/* of what the calls score */
	int32		row_typmod;
	ScoreMode	mode;

	/* blocks */
	Block		block;			/* a side for each call */
	MemoryContext room;			/* of a block, as long as there are rows */
	MemoryContext values_context;	/* in it: what is copied for a block; NULL: no room */
	Datum	   *values;			/* [capacity][num_used] */
	bool	   *nulls;
	int			wanted;			/* rows of the next block */
	int			next;			/* row of the block that comes next */
	bool		ended;			/* the outer plan has */
} ScoreScanState;

/* ---- blocks ---- */

/* Can one version's scores stand for a call?  Errors: those of the call. */
static bool
add_call(ScoreScanState *state, const Call *call)
{
	ExprContext *econtext = state->custom.ss.ps.ps_ExprContext;
	bool		no_model;
	bool		no_version;
	Datum		model = ExecEvalExpr(call->model, econtext, &no_model);
	Datum		version = ExecEvalExpr(call->version, econtext, &no_version);
	int64		version_id;
	int			positive_class;
	BlockSide  *side = &state->block.sides[state->block.num_sides];
	Problem		problem = {0};

	if (no_model ||
		!decide_alone(DatumGetTextPP(model), no_version ? NULL : DatumGetTextPP(version), &version_id, &positive_class) ||
		!block_add_version(&state->block, version_id, positive_class, &problem))
		return false;
	side->binding = bind_row_type(side->scorer.version, state->row_type, state->row_typmod, &problem);
	return side->binding && !bind_looks_up(side->binding);
}

/* Blocks, if all calls allow it. */
static void
choose_mode(ScoreScanState *state)
{
	MemoryContext caller = MemoryContextSwitchTo(state->custom.ss.ps.state->es_query_cxt);

	block_init(&state->block, state->num_calls);
	state->mode = MODE_BLOCKS;
	for (int i = 0; i < state->num_calls && state->mode == MODE_BLOCKS; i++)
	{
		if (!add_call(state, &state->calls[i]))
			state->mode = MODE_CALLS;
	}
	if (state->mode == MODE_BLOCKS)
		state->room = AllocSetContextCreate(CurrentMemoryContext, "pg_risk block", ALLOCSET_SMALL_SIZES);
	state->wanted = 1;
	MemoryContextSwitchTo(caller);
}

/* Make room for a block.  It is given back after the last row, since a query may have
 * very many such nodes: one for each partition of a table. */
static void
make_room(ScoreScanState *state)
{
	MemoryContext caller = MemoryContextSwitchTo(state->room);

	block_allocate(&state->block, 0);
	state->values = palloc(sizeof(Datum) * Max(state->num_used, 1) * state->block.capacity);
	state->nulls = palloc(sizeof(bool) * Max(state->num_used, 1) * state->block.capacity);
	state->values_context = AllocSetContextCreate(state->room, "pg_risk scored rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(caller);
}

static void
give_room_back(ScoreScanState *state)
{
	if (state->values_context)
		MemoryContextReset(state->room);
	state->values_context = NULL;
}

/* Take a row into the block. */
static void
take_row(ScoreScanState *state, TupleTableSlot *row)
{
	Datum	   *values = state->values + (Size) state->block.num_rows * state->num_used;
	bool	   *nulls = state->nulls + (Size) state->block.num_rows * state->num_used;
	MemoryContext caller = MemoryContextSwitchTo(state->values_context);
	Problem		problem = {0};

	slot_getsomeattrs(row, state->last_used);
	for (int i = 0; i < state->num_used; i++)
	{
		const UsedColumn *column = &state->used[i];

		nulls[i] = row->tts_isnull[column->position];
		if (!nulls[i])
			values[i] = column->by_value ? row->tts_values[column->position] :
				datumCopy(row->tts_values[column->position], false, column->length);
	}
	if (!block_take(&state->block, row, &problem))
		problem_raise(&problem);
	MemoryContextSwitchTo(caller);
}

/* Take rows of the outer plan, from one that is at hand on, and score them: not many
 * more than have been asked for, in case somebody stops early, as a hash join does
 * after one row if it finds nothing to join; and fewer where their values are large. */
static void
fill_block(ScoreScanState *state, TupleTableSlot *row)
{
	int			wanted;

	if (state->values_context)
		MemoryContextReset(state->values_context);
	else
		make_room(state);
	wanted = Min(state->wanted, state->block.capacity);
	state->next = state->block.num_rows = 0;
	for (;;)
	{
		state->ended = TupIsNull(row);
		if (state->ended)
			break;
		take_row(state, row);
		if (state->block.num_rows == wanted ||
			MemoryContextMemAllocated(state->values_context, true) >= BLOCK_BYTES)
			break;
		row = ExecProcNode(outerPlanState(state));
	}
	state->wanted = wanted * 2;
	block_score(&state->block);
}

/* Put the scores of the next row of the block, and the row, into the scan's slot. */
static void
store_row(ScoreScanState *state, TupleTableSlot *slot)
{
	const Datum *values = state->values + (Size) state->next * state->num_used;
	const bool *nulls = state->nulls + (Size) state->next * state->num_used;

	for (int i = 0; i < state->num_calls; i++)
	{
		slot->tts_values[i] = Float8GetDatum(block_score_of(&state->block, i, state->next));
		slot->tts_isnull[i] = false;
	}
	for (int i = 0; i < state->num_used; i++)
	{
		slot->tts_values[state->num_calls + state->used[i].position] = values[i];
		slot->tts_isnull[state->num_calls + state->used[i].position] = nulls[i];
	}
	state->next++;
}

/* ---- calls ---- */

/* The same of a row at hand, whose calls are made as they were written. */
static void
call_row(ScoreScanState *state, TupleTableSlot *row, TupleTableSlot *slot)
{
	ExprContext *econtext = state->custom.ss.ps.ps_ExprContext;

	slot_getallattrs(row);
	memcpy(slot->tts_values + state->num_calls, row->tts_values, sizeof(Datum) * row->tts_nvalid);
	memcpy(slot->tts_isnull + state->num_calls, row->tts_isnull, sizeof(bool) * row->tts_nvalid);
	econtext->ecxt_outertuple = row;
	for (int i = 0; i < state->num_calls; i++)
		slot->tts_values[i] = ExecEvalExprSwitchContext(state->calls[i].call, econtext, &slot->tts_isnull[i]);
}

/* ---- the node ---- */

/* The next row in the scan's slot; NULL: there is none. */
static TupleTableSlot *
next_row(ScoreScanState *state)
{
	TupleTableSlot *slot = ExecClearTuple(state->custom.ss.ss_ScanTupleSlot);
	TupleTableSlot *row;

	if (state->next < state->block.num_rows)
	{
		store_row(state, slot);
		return ExecStoreVirtualTuple(slot);
	}
	row = state->ended ? NULL : ExecProcNode(outerPlanState(state));
	if (TupIsNull(row))
	{
		give_room_back(state);
		return NULL;
	}
	if (state->mode == MODE_UNKNOWN)
		choose_mode(state);
	if (state->mode == MODE_BLOCKS)
	{
		fill_block(state, row);
		store_row(state, slot);
	}
	else
		call_row(state, row, slot);
	return ExecStoreVirtualTuple(slot);
}

static TupleTableSlot *
score_scan_next(CustomScanState *custom)
{
	PlanState  *ps = &custom->ss.ps;
	ExprContext *econtext = ps->ps_ExprContext;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		econtext->ecxt_scantuple = next_row((ScoreScanState *) custom);
		if (!econtext->ecxt_scantuple)
			return NULL;
		if (ExecQual(ps->qual, econtext))
			return ps->ps_ProjInfo ? ExecProject(ps->ps_ProjInfo) : econtext->ecxt_scantuple;
		InstrCountFiltered1(custom, 1);
	}
}

static void
begin_columns(ScoreScanState *state, const CustomScan *plan)
{
	TupleDesc	tupdesc = state->custom.ss.ss_ScanTupleSlot->tts_tupleDescriptor;
	List	   *used = linitial(plan->custom_private);
	ListCell   *cell;

	state->used = palloc(sizeof(UsedColumn) * Max(list_length(used), 1));
	foreach(cell, used)
	{
		UsedColumn *column = &state->used[state->num_used++];
		Form_pg_attribute attribute = TupleDescAttr(tupdesc, list_length(plan->custom_exprs) + lfirst_int(cell) - 1);

		*column = (UsedColumn) {lfirst_int(cell) - 1, attribute->attbyval, attribute->attlen};
		state->last_used = Max(state->last_used, lfirst_int(cell));
	}
}

/* What type the row has that the calls score. */
static void
begin_row_type(ScoreScanState *state, const CustomScan *plan)
{
	Node	   *row = lsecond(linitial_node(FuncExpr, plan->custom_exprs)->args);
	RowExpr    *columns = (RowExpr *) (IsA(row, ConvertRowtypeExpr) ? (Node *) ((ConvertRowtypeExpr *) row)->arg : row);

	state->row_type = columns->row_typeid;
	state->row_typmod = -1;
	if (state->row_type == RECORDOID)
	{
		TupleDesc	tupdesc = ExecTypeFromExprList(columns->args);

		ExecTypeSetColNames(tupdesc, columns->colnames);
		state->row_typmod = BlessTupleDesc(tupdesc)->tdtypmod;
	}
}

static void
score_scan_begin(CustomScanState *custom, EState *estate, int eflags)
{
	ScoreScanState *state = (ScoreScanState *) custom;
	const CustomScan *plan = (const CustomScan *) custom->ss.ps.plan;
	ListCell   *cell;

	outerPlanState(custom) = ExecInitNode(outerPlan(plan), estate, eflags);
	begin_columns(state, plan);
	begin_row_type(state, plan);
	state->calls = palloc(sizeof(Call) * list_length(plan->custom_exprs));
	foreach(cell, plan->custom_exprs)
	{
		FuncExpr   *expr = lfirst_node(FuncExpr, cell);

		state->calls[state->num_calls++] = (Call) {
			ExecInitExpr((Expr *) expr, &custom->ss.ps),
			ExecInitExpr(linitial(expr->args), &custom->ss.ps),
			ExecInitExpr(lthird(expr->args), &custom->ss.ps)
		};
	}
}

static void
score_scan_end(CustomScanState *custom)
{
	ExecEndNode(outerPlanState(custom));
}

static void
score_scan_rescan(CustomScanState *custom)
{
	ScoreScanState *state = (ScoreScanState *) custom;

	state->next = state->block.num_rows = 0;
	state->ended = false;
	if (outerPlanState(custom)->chgParam == NULL)
		ExecReScan(outerPlanState(custom));
}

/* How the rows were scored, where that was in this process. */
static void
score_scan_explain(CustomScanState *custom, List *ancestors, ExplainState *es)
{
	ScoreScanState *state = (ScoreScanState *) custom;

	if (es->analyze && state->mode != MODE_UNKNOWN)
		ExplainPropertyText("Scored", state->mode == MODE_BLOCKS ? "in blocks" : "row by row", es);
}

static const CustomExecMethods exec_methods = {
	.CustomName = "Score",
	.BeginCustomScan = score_scan_begin,
	.ExecCustomScan = score_scan_next,
	.EndCustomScan = score_scan_end,
	.ReScanCustomScan = score_scan_rescan,
	.ExplainCustomScan = score_scan_explain
};

static Node *
create_state(CustomScan *plan)
{
	ScoreScanState *state = palloc0(sizeof(ScoreScanState));

	NodeSetTag(state, T_CustomScanState);
	state->custom.methods = &exec_methods;
	return (Node *) state;
}

static const CustomScanMethods scan_methods = {.CustomName = "pg_risk score",.CreateCustomScanState = create_state};

/* A node to be filled in. */
CustomScan *
score_scan_make(void)
{
	CustomScan *node = makeNode(CustomScan);

	node->methods = &scan_methods;
	return node;
}

void
score_scan_init(void)
{
	RegisterCustomScanMethods(&scan_methods);
}
