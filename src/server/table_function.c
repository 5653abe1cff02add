/*
 * table_function.c
 *		A scan that stands in for a function in FROM, and gives its rows one by
 *		one.  A function's rows would all be written, mostly to disk, and read
 *		again before the query sees the first.
 *
 * It is the same code with the same errors and rights.  The call itself is left
 * where the function stands beside others, WITH ORDINALITY, or where rows are
 * looked at as one value, as in to_jsonb(t) or UPDATE ... FROM; and where rows that
 * cannot be had again are asked for again and again.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "batch.h"
#include "compat.h"
#include "rolling_table.h"
#include "table_function.h"

typedef struct TableScan
{
	CustomScanState state;		/* first */
	const TableFunction *function;
	List	   *args;			/* ExprState *, of the call */
	Bitmapset  *params;			/* that they depend on */
	bool		subplans;		/* and on more: what subplans do */
	void	   *call;			/* NULL: not begun */
} TableScan;

/* ---- the functions ---- */

/* The one that a node is a call of; NULL: none. */
static const TableFunction *
called_function(const Node *node)
{
	const FuncExpr *call = (const FuncExpr *) node;
	FmgrInfo	function;

	if (!IsA(node, FuncExpr) || call->funcid < FirstNormalObjectId)
		return NULL;
	fmgr_info(call->funcid, &function);
	for (int i = 0; i < NUM_BATCH_FUNCTIONS; i++)
		if (function.fn_addr == batch_functions[i]->address)
			return batch_functions[i];
	return function.fn_addr == rolling_table_function.address ? &rolling_table_function : NULL;
}

Datum
table_function_call(const TableFunction *function, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum	   *values;
	bool	   *nulls;
	void	   *call;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	values = palloc0(info->setDesc->natts * sizeof(Datum));
	nulls = palloc0(info->setDesc->natts * sizeof(bool));
	call = function->begin(function, fcinfo->args, info->setDesc);
	while (function->next(call, values, nulls))
		tuplestore_putvalues(info->setResult, info->setDesc, values, nulls);
	function->end(call);
	return (Datum) 0;
}

/* ---- running ---- */

/* As the executor does before it calls a function. */
static void
check_rights(Oid function)
{
	AclResult	result = compat_function_aclcheck(function, GetUserId(), ACL_EXECUTE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
	InvokeFunctionExecuteHook(function);
}

static void
begin_scan(CustomScanState *node, EState *estate, int eflags)
{
	TableScan  *scan = (TableScan *) node;
	FuncExpr   *call = linitial(((CustomScan *) node->ss.ps.plan)->custom_exprs);

	check_rights(call->funcid);
	scan->function = called_function((Node *) call);
	if (!scan->function)		/* since it was planned */
		elog(ERROR, "function %u was altered", call->funcid);
	scan->args = ExecInitExprList(call->args, &node->ss.ps);
	scan->params = pull_paramids((Expr *) call->args);
	scan->subplans = contain_subplans((Node *) call->args);
}

/* Evaluate the arguments and begin the call. */
static void
begin_call(TableScan *scan)
{
	ExprContext *econtext = scan->state.ss.ps.ps_ExprContext;
	NullableDatum args[FUNC_MAX_ARGS];
	ListCell   *cell;
	int			n = 0;
	MemoryContext before = MemoryContextSwitchTo(scan->state.ss.ps.state->es_query_cxt);

	foreach(cell, scan->args)
	{
		args[n].value = ExecEvalExprSwitchContext(lfirst(cell), econtext, &args[n].isnull);
		n++;
	}
	scan->call = scan->function->begin(scan->function, args, scan->state.ss.ss_ScanTupleSlot->tts_tupleDescriptor);
	MemoryContextSwitchTo(before);
}

static TupleTableSlot *
next_row(ScanState *node)
{
	TableScan  *scan = (TableScan *) node;
	TupleTableSlot *slot = node->ss_ScanTupleSlot;

	if (scan->call == NULL)
		begin_call(scan);
	ExecClearTuple(slot);
	if (scan->function->next(scan->call, slot->tts_values, slot->tts_isnull))
		ExecStoreVirtualTuple(slot);
	return slot;
}

static bool
recheck_row(ScanState *node, TupleTableSlot *slot)
{
	return true;
}

static TupleTableSlot *
exec_scan(CustomScanState *node)
{
	return ExecScan(&node->ss, next_row, recheck_row);
}

static void
end_call(TableScan *scan)
{
	if (scan->call != NULL)
		scan->function->end(scan->call);
	scan->call = NULL;
}

static void
end_scan(CustomScanState *node)
{
	end_call((TableScan *) node);
}

/* The same rows again, or with other arguments others.  What a filter or a
 * target depends on is no argument. */
static void
rescan(CustomScanState *node)
{
	TableScan  *scan = (TableScan *) node;

	if (scan->function->rewind == NULL || bms_overlap(node->ss.ps.chgParam, scan->params) ||
		(scan->subplans && node->ss.ps.chgParam != NULL))
		end_call(scan);
	else if (scan->call != NULL)
		scan->function->rewind(scan->call);
	ExecScanReScan(&node->ss);
}

static void
explain_scan(CustomScanState *node, List *ancestors, ExplainState *es)
{
	ExplainPropertyText("Function Name", ((TableScan *) node)->function->name, es);
}

static const CustomExecMethods exec_methods = {
	.CustomName = "pg_risk function",
	.BeginCustomScan = begin_scan,
	.ExecCustomScan = exec_scan,
	.EndCustomScan = end_scan,
	.ReScanCustomScan = rescan,
	.ExplainCustomScan = explain_scan
};

/* ---- planning ---- */

static Node *
create_state(CustomScan *plan)
{
	TableScan  *scan = palloc0(sizeof(TableScan));

	NodeSetTag(scan, T_CustomScanState);
	scan->state.methods = &exec_methods;
	return (Node *) scan;
}

static const CustomScanMethods scan_methods = {
	.CustomName = "pg_risk function",
	.CreateCustomScanState = create_state
};

/* The plan's tuples are the function's: named as the caller's column definition list
 * says, where there is one. */
static Plan *
make_plan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *targets, List *clauses, List *plans)
{
	CustomScan *plan = makeNode(CustomScan);
	RangeTblFunction *function = linitial(planner_rt_fetch(rel->relid, root)->functions);
	ListCell   *target;
	ListCell   *name;

	plan->scan.plan.targetlist = targets;
	plan->scan.plan.qual = extract_actual_clauses(clauses, false);
	plan->flags = path->flags;
	plan->custom_exprs = list_make1(function->funcexpr);
	plan->custom_scan_tlist = build_physical_tlist(root, rel);
	forboth(target, plan->custom_scan_tlist, name, function->funccolnames)
		lfirst_node(TargetEntry, target)->resname = strVal(lfirst(name));
	plan->methods = &scan_methods;
	return &plan->scan.plan;
}

static const CustomPathMethods path_methods = {
	.CustomName = "pg_risk function",
	.PlanCustomPath = make_plan
};

/* Whether the query looks at a row as one value, which the scan does not make. */
static bool
wants_row(const RelOptInfo *rel)
{
	Bitmapset  *columns = NULL;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &columns);
	pull_varattnos((Node *) extract_actual_clauses(rel->baserestrictinfo, false), rel->relid, &columns);
	return bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, columns);
}

/* Whether a subquery is run for each row of another query: a function's rows would be made
 * once, as long as its arguments stay the same. */
static bool
is_correlated(const PlannerInfo *root)
{
	while ((root = root->parent_root) != NULL)
		if (root->plan_params != NIL)
			return true;
	return false;
}

static set_rel_pathlist_hook_type previous_hook = NULL;

/* Have the scan instead of the function's. */
static void
set_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	const TableFunction *function;
	CustomPath *path;

	if (previous_hook)
		previous_hook(root, rel, rti, rte);
	if (rte->rtekind != RTE_FUNCTION || rte->funcordinality || list_length(rte->functions) != 1 ||
		list_length(rel->pathlist) != 1)
		return;
	function = called_function(linitial_node(RangeTblFunction, rte->functions)->funcexpr);
	if (!function || wants_row(rel) || (!function->rewind && is_correlated(root)))
		return;
	path = makeNode(CustomPath);
	path->path = *(Path *) linitial(rel->pathlist);
	path->path.type = T_CustomPath;
	path->path.pathtype = T_CustomScan;
	path->path.pathkeys = NIL;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->methods = &path_methods;
	rel->pathlist = list_make1(path);
}

void
table_function_init(void)
{
	RegisterCustomScanMethods(&scan_methods);
	previous_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = set_pathlist;
}
