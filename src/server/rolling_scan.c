/*
 * rolling_scan.c
 *		A scan that stands in for risk.rolling_table() in FROM, and gives its rows
 *		one by one.  A function's rows would all be written, mostly to disk, and
 *		read again before the query sees the first.
 *
 * It is the same code with the same errors and rights.  The call itself is left
 * where the function stands beside others, WITH ORDINALITY, or where rows are
 * looked at as one value, as in to_jsonb(t) or UPDATE ... FROM.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
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

#include "compat.h"
#include "rolling_table.h"

typedef struct TableScan
{
	CustomScanState state;		/* first */
	List	   *args;			/* ExprState *, of the call */
	Bitmapset  *params;			/* that they depend on */
	bool		subplans;		/* and on more: what subplans do */
	RollingTable *table;		/* NULL: not begun */
} TableScan;

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
	scan->args = ExecInitExprList(call->args, &node->ss.ps);
	scan->params = pull_paramids((Expr *) call->args);
	scan->subplans = contain_subplans((Node *) call->args);
}

/* Evaluate the arguments and read the source. */
static RollingTable *
begin_table(TableScan *scan)
{
	ExprContext *econtext = scan->state.ss.ps.ps_ExprContext;
	NullableDatum args[ROLLING_TABLE_ARGS];
	ListCell   *cell;
	int			n = 0;
	MemoryContext before = MemoryContextSwitchTo(scan->state.ss.ps.state->es_query_cxt);
	RollingTable *table;

	foreach(cell, scan->args)
	{
		args[n].value = ExecEvalExprSwitchContext(lfirst(cell), econtext, &args[n].isnull);
		n++;
	}
	table = rolling_table_begin(args, scan->state.ss.ss_ScanTupleSlot->tts_tupleDescriptor);
	MemoryContextSwitchTo(before);
	return table;
}

static TupleTableSlot *
next_row(ScanState *node)
{
	TableScan  *scan = (TableScan *) node;
	TupleTableSlot *slot = node->ss_ScanTupleSlot;

	if (scan->table == NULL)
		scan->table = begin_table(scan);
	ExecClearTuple(slot);
	if (rolling_table_next(scan->table, slot->tts_values, slot->tts_isnull))
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
end_table(TableScan *scan)
{
	if (scan->table != NULL)
		rolling_table_end(scan->table);
	scan->table = NULL;
}

static void
end_scan(CustomScanState *node)
{
	end_table((TableScan *) node);
}

/* The same rows again, or with other arguments others.  What a filter or a
 * target depends on is no argument. */
static void
rescan(CustomScanState *node)
{
	TableScan  *scan = (TableScan *) node;

	if (bms_overlap(node->ss.ps.chgParam, scan->params) || (scan->subplans && node->ss.ps.chgParam != NULL))
		end_table(scan);
	else if (scan->table != NULL)
		rolling_table_rewind(scan->table);
	ExecScanReScan(&node->ss);
}

static const CustomExecMethods exec_methods = {
	.CustomName = "RollingTable",
	.BeginCustomScan = begin_scan,
	.ExecCustomScan = exec_scan,
	.EndCustomScan = end_scan,
	.ReScanCustomScan = rescan
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
	.CustomName = "RollingTable",
	.CreateCustomScanState = create_state
};

/* The plan's tuples are those of the column definition list. */
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
	.CustomName = "RollingTable",
	.PlanCustomPath = make_plan
};

/* Whether a node is a call of risk.rolling_table(). */
static bool
is_rolling_table(const Node *node)
{
	const FuncExpr *call = (const FuncExpr *) node;
	FmgrInfo	function;

	if (!IsA(node, FuncExpr) || call->funcid < FirstNormalObjectId || list_length(call->args) != ROLLING_TABLE_ARGS)
		return false;
	fmgr_info(call->funcid, &function);
	return function.fn_addr == risk_rolling_table;
}

/* Whether the query looks at a row as one value, which the scan does not make. */
static bool
wants_row(const RelOptInfo *rel)
{
	Bitmapset  *columns = NULL;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &columns);
	pull_varattnos((Node *) extract_actual_clauses(rel->baserestrictinfo, false), rel->relid, &columns);
	return bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, columns);
}

static set_rel_pathlist_hook_type previous_hook = NULL;

/* Have the scan instead of the function's. */
static void
set_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	RangeTblFunction *function;
	CustomPath *path;

	if (previous_hook)
		previous_hook(root, rel, rti, rte);
	if (rte->rtekind != RTE_FUNCTION || rte->funcordinality || list_length(rte->functions) != 1 ||
		list_length(rel->pathlist) != 1)
		return;
	function = linitial(rte->functions);
	if (function->funccolnames == NIL || !is_rolling_table(function->funcexpr) || wants_row(rel))
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
rolling_scan_init(void)
{
	RegisterCustomScanMethods(&scan_methods);
	previous_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = set_pathlist;
}
