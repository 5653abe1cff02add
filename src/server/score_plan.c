/*
 * score_plan.c
 *		Plain queries in blocks: finds the calls of risk.score_transaction() that
 *		a finished plan makes for each row of a table, and lets a node above the
 *		table's scan make them (score_scan.c).
 *
 * The rest of the plan stays as it is, and so do its rows and their order.  A
 * call is moved only if it is made for every row of the scan, so that none is
 * made that would not have been, and where reading some rows ahead is in order:
 * wherever PostgreSQL itself might have workers do it, which excludes cursors,
 * and not straight below a LIMIT.
 *
 *		SELECT id, risk.score_transaction('m', t) FROM t
 *		SELECT sum(risk.score_transaction('m', t)) FROM t
 *		SELECT id FROM t WHERE risk.score_transaction('m', t) > 0.9
 *
 * Left alone are calls below CASE, COALESCE, AND and OR, in FILTER, on rows that
 * are no table's, and those of a model that is no constant or parameter.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "guc.h"
#include "score.h"
#include "score_scan.h"

/* Fewer rows are not worth a block. */
#define WORTHWHILE_ROWS	100
#define CALL_COST		500		/* as the install script declares it */

/* Far from the numbers that the planner gives its nodes. */
#define FIRST_NODE_ID	0x40000000

static planner_hook_type previous_planner = NULL;

/* One plan at work. */
typedef struct Rewriting
{
	List	   *rtable;
	int			last_node_id;
} Rewriting;

/* ---- calls ---- */

static bool
is_fixed(const Node *node)
{
	return IsA(node, Const) || (IsA(node, Param) && ((const Param *) node)->paramkind == PARAM_EXTERN);
}

/* The row that a node is a call of risk.score_transaction() on; NULL: it is none. */
static Node *
scored_row(const Node *node)
{
	const FuncExpr *call = (const FuncExpr *) node;
	FmgrInfo	function;

	if (!node || !IsA(node, FuncExpr) || call->funcid < FirstNormalObjectId ||
		call->funcresulttype != FLOAT8OID || list_length(call->args) != 3 ||
		!is_fixed(linitial(call->args)) || !is_fixed(lthird(call->args)))
		return NULL;
	fmgr_info(call->funcid, &function);
	return function.fn_addr == risk_score_transaction ? lsecond(call->args) : NULL;
}

/* The row's Var; a partition's row may be on the way to its parent's type. */
static Var *
row_variable(Node *row)
{
	if (row && IsA(row, ConvertRowtypeExpr))
		row = (Node *) ((ConvertRowtypeExpr *) row)->arg;
	return row && IsA(row, Var) ? (Var *) row : NULL;
}

/* Is a node a call on the whole row of a table? */
static bool
scores_table(const Node *node, Index relid)
{
	const Var  *var = row_variable(scored_row(node));

	return var && var->varno == relid && var->varattno == InvalidAttrNumber;
}

/* Which calls are looked for. */
typedef struct Search
{
	bool		(*wanted) (const Node *node, void *arg);
	void	   *arg;
	List	   *calls;			/* those found, each once */
} Search;

/* Add the calls that are made whenever the expression is evaluated. */
static bool
find_calls(Node *node, Search *search)
{
	if (!node)
		return false;
	if (search->wanted(node, search->arg))
	{
		search->calls = list_append_unique(search->calls, node);
		return false;
	}
	switch (nodeTag(node))
	{
		case T_Aggref:
			if (((Aggref *) node)->aggfilter)
				return false;
			break;
		case T_List:
		case T_TargetEntry:
		case T_FuncExpr:
		case T_OpExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
			break;
		default:
			return false;
	}
	return expression_tree_walker(node, find_calls, search);
}

/* ---- scans ---- */

/* How the expressions of a scan become those of the node above it. */
typedef struct Lift
{
	Index		relid;
	List	   *row;			/* TargetEntries of the scan */
	List	   *calls;
	Bitmapset  *used;			/* columns of row */
	bool		failed;			/* the whole row is needed */
} Lift;

/* The column of the row that a Var is; system columns are added. */
static int
row_column(Lift *lift, Var *var)
{
	ListCell   *cell;

	if (var->varattno > 0)
		return var->varattno;
	foreach(cell, lift->row)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (IsA(entry->expr, Var) && ((Var *) entry->expr)->varattno == var->varattno)
			return entry->resno;
	}
	lift->row = lappend(lift->row, makeTargetEntry((Expr *) copyObject(var), list_length(lift->row) + 1, NULL, false));
	return list_length(lift->row);
}

/* Pass 1: which columns are used. */
static bool
find_columns(Node *node, Lift *lift)
{
	Var		   *var = (Var *) node;

	if (!node || list_member(lift->calls, node))
		return false;
	if (IsA(node, Var) && var->varno == lift->relid)
	{
		if (var->varattno == InvalidAttrNumber)
			lift->failed = true;
		else
			lift->used = bms_add_member(lift->used, row_column(lift, var));
		return false;
	}
	return expression_tree_walker(node, find_columns, lift);
}

static Var *
column_variable(Index varno, int column, const Node *expr)
{
	return makeVar(varno, column, exprType(expr), exprTypmod(expr), exprCollation(expr), 0);
}

/* Pass 2: columns and calls as columns of the scan tuple. */
static Node *
lift_columns(Node *node, Lift *lift)
{
	ListCell   *cell;
	int			column = list_length(lift->row);

	if (!node)
		return NULL;
	foreach(cell, lift->calls)
	{
		column++;
		if (equal(node, lfirst(cell)))
			return (Node *) column_variable(INDEX_VAR, column, node);
	}
	if (IsA(node, Var) && ((Var *) node)->varno == lift->relid)
		return (Node *) column_variable(INDEX_VAR, row_column(lift, (Var *) node), node);
	return expression_tree_mutator(node, lift_columns, lift);
}

/* All columns of a table, as the scan would have them without a projection. */
static List *
table_row(Oid table, Index relid)
{
	Relation	rel = table_open(table, NoLock);	/* the planner's is held */
	List	   *row = NIL;

	for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), i - 1);
		Expr	   *column;

		if (attribute->attisdropped)
			column = (Expr *) makeNullConst(INT4OID, -1, InvalidOid);
		else
			column = (Expr *) makeVar(relid, i, attribute->atttypid, attribute->atttypmod, attribute->attcollation, 0);
		row = lappend(row, makeTargetEntry(column, i, pstrdup(NameStr(attribute->attname)), false));
	}
	table_close(rel, NoLock);
	return row;
}

/* A call over the row of the outer plan. */
static FuncExpr *
call_over_row(const FuncExpr *call, const List *row, int num_columns)
{
	FuncExpr   *result = copyObject(unconstify(FuncExpr *, call));
	Node	  **argument = (Node **) &lsecond(result->args);
	RowExpr    *columns = makeNode(RowExpr);

	if (IsA(*argument, ConvertRowtypeExpr))
		argument = (Node **) &((ConvertRowtypeExpr *) *argument)->arg;
	columns->row_typeid = exprType(*argument);
	columns->row_format = COERCE_IMPLICIT_CAST;
	columns->location = -1;
	for (int i = 0; i < num_columns; i++)
	{
		TargetEntry *entry = list_nth_node(TargetEntry, row, i);

		columns->args = lappend(columns->args, IsA(entry->expr, Const) ? (Node *) entry->expr :
								(Node *) column_variable(OUTER_VAR, i + 1, (Node *) entry->expr));
	}
	*argument = (Node *) columns;
	return result;
}

/* The node above a scan, which takes over its results and its last conditions. */
static Plan *
make_score_scan(Rewriting *rewriting, Plan *scan, Lift *lift, int num_columns, List *conditions)
{
	CustomScan *node = score_scan_make();
	List	   *used = NIL;
	int			column = -1;
	ListCell   *cell;

	node->scan.plan = *scan;
	node->scan.plan.type = T_CustomScan;
	node->scan.plan.parallel_aware = false;
	node->scan.plan.async_capable = false;
	node->scan.plan.plan_node_id = ++rewriting->last_node_id;
	node->scan.plan.targetlist = (List *) lift_columns((Node *) scan->targetlist, lift);
	node->scan.plan.qual = (List *) lift_columns((Node *) conditions, lift);
	node->scan.plan.lefttree = scan;
	node->scan.plan.righttree = NULL;
	node->scan.plan.extParam = bms_copy(scan->extParam);
	node->scan.plan.allParam = bms_copy(scan->allParam);
	while ((column = bms_next_member(lift->used, column)) >= 0)
		used = lappend_int(used, column);
	node->custom_scan_tlist = copyObject(lift->row);
	foreach(cell, lift->calls)
	{
		node->custom_scan_tlist = lappend(node->custom_scan_tlist,
										  makeTargetEntry(lfirst(cell), list_length(node->custom_scan_tlist) + 1, NULL, false));
		node->custom_exprs = lappend(node->custom_exprs, call_over_row(lfirst(cell), lift->row, num_columns));
	}
	node->custom_private = list_make2(used, list_make1_oid(row_variable(scored_row(linitial(lift->calls)))->vartype));
	scan->targetlist = lift->row;
	scan->initPlan = NIL;
	return &node->scan.plan;
}

static bool
wanted_of_table(const Node *node, void *relid)
{
	return scores_table(node, *(Index *) relid);
}

/*
 * The calls that a scan makes for each of its rows.  *kept: how many of its
 * conditions come before the first one that makes any; then only that one's
 * calls are made for each row that passes those before.
 */
static List *
calls_of_scan(const Plan *scan, Index relid, int *kept)
{
	Search		search = {wanted_of_table, &relid, NIL};
	ListCell   *cell;

	*kept = 0;
	foreach(cell, scan->qual)
	{
		find_calls(lfirst(cell), &search);
		if (search.calls)
			return search.calls;
		(*kept)++;
	}
	find_calls((Node *) scan->targetlist, &search);
	return search.calls;
}

/* May a scan make so many calls that blocks pay?  How many rows come to a
 * condition is not known any more, but what its calls cost is in the scan's
 * cost. */
static bool
is_worthwhile(const Plan *scan, bool in_condition)
{
	return in_condition ?
		scan->total_cost - scan->startup_cost >= WORTHWHILE_ROWS * CALL_COST * cpu_operator_cost :
		scan->plan_rows >= WORTHWHILE_ROWS;
}

/* A scan of a table, with the node above it if it makes calls. */
static Plan *
rewrite_scan(Rewriting *rewriting, Plan *plan)
{
	Index		relid = ((Scan *) plan)->scanrelid;
	RangeTblEntry *rte = rt_fetch(relid, rewriting->rtable);
	Lift		lift = {.relid = relid};
	int			kept;
	int			num_columns;
	List	   *conditions;
	ListCell   *cell;

	lift.calls = calls_of_scan(plan, relid, &kept);
	foreach(cell, lift.calls)
	{
		/* A child by inheritance may have columns that its parent has not. */
		if (IsA(scored_row(lfirst(cell)), ConvertRowtypeExpr) && !get_rel_relispartition(rte->relid))
			return plan;
	}
	if (!lift.calls || !is_worthwhile(plan, kept < list_length(plan->qual)))
		return plan;
	lift.row = table_row(rte->relid, relid);
	num_columns = list_length(lift.row);
	conditions = list_copy_tail(plan->qual, kept);
	(void) find_columns((Node *) plan->targetlist, &lift);
	(void) find_columns((Node *) conditions, &lift);
	if (lift.failed)
		return plan;
	plan->qual = list_truncate(plan->qual, kept);
	return make_score_scan(rewriting, plan, &lift, num_columns, conditions);
}

/* ---- aggregates ---- */

static bool
is_table_scan(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_BitmapHeapScan:
		case T_TidScan:
		case T_TidRangeScan:
			return true;
		default:
			return false;
	}
}

/* How calls of an aggregate's arguments become those of the scans below it. */
typedef struct Sink
{
	List	   *scans;
	List	   *results;		/* of each scan, as they were: lists */
	List	   *calls;
	List	   *columns;		/* of the scans: what the calls return */
	Bitmapset  *taken;			/* columns that something else uses */
} Sink;

/* The scans whose rows a plan hands on as they are; none: it does more. */
static List *
scans_of(Plan *plan)
{
	List	   *children = IsA(plan, Append) ? ((Append *) plan)->appendplans : list_make1(plan);
	ListCell   *cell;

	foreach(cell, children)
	{
		if (!is_table_scan(lfirst(cell)))
			return NIL;
	}
	return children;
}

/* Is a node a call on a column that is the whole row of each scan? */
static bool
wanted_of_column(const Node *node, void *scans)
{
	Node	   *row = scored_row(node);
	ListCell   *cell;

	if (!row || !IsA(row, Var) || ((Var *) row)->varno != OUTER_VAR)
		return false;
	foreach(cell, (List *) scans)
	{
		const Scan *scan = lfirst(cell);
		Var		   *var = row_variable((Node *) list_nth_node(TargetEntry, scan->plan.targetlist, ((Var *) row)->varattno - 1)->expr);

		if (!var || var->varno != scan->scanrelid || var->varattno != InvalidAttrNumber)
			return false;
	}
	return true;
}

/* Which columns are used by anything but the calls. */
static bool
find_taken(Node *node, Sink *sink)
{
	if (!node || list_member(sink->calls, node))
		return false;
	if (IsA(node, Var) && ((Var *) node)->varno == OUTER_VAR)
		sink->taken = bms_add_member(sink->taken, ((Var *) node)->varattno);
	return expression_tree_walker(node, find_taken, sink);
}

static Node *
sink_calls(Node *node, Sink *sink)
{
	ListCell   *call;
	ListCell   *column;

	if (!node)
		return NULL;
	forboth(call, sink->calls, column, sink->columns)
	{
		if (equal(node, lfirst(call)))
			return (Node *) column_variable(OUTER_VAR, lfirst_int(column), node);
	}
	return expression_tree_mutator(node, sink_calls, sink);
}

/* Let a column of a plan be an expression; it may be the next one. */
static void
set_result(Plan *plan, int column, Node *expr)
{
	if (column > list_length(plan->targetlist))
		plan->targetlist = lappend(plan->targetlist, makeTargetEntry((Expr *) expr, column, NULL, false));
	else
		list_nth_node(TargetEntry, plan->targetlist, column - 1)->expr = (Expr *) expr;
}

/* Have the scans make a call: in place of the row, if nothing else wants that. */
static void
sink_call(Sink *sink, const FuncExpr *call, Plan *outer)
{
	int			row = ((Var *) lsecond(call->args))->varattno;
	int			column = bms_is_member(row, sink->taken) ? list_length(outer->targetlist) + 1 : row;
	ListCell   *scan;
	ListCell   *results;

	if (IsA(outer, Append))
		set_result(outer, column, (Node *) column_variable(OUTER_VAR, column, (Node *) call));
	forboth(scan, sink->scans, results, sink->results)
	{
		FuncExpr   *sunk = copyObject(unconstify(FuncExpr *, call));

		lsecond(sunk->args) = list_nth_node(TargetEntry, lfirst(results), row - 1)->expr;
		set_result(lfirst(scan), column, (Node *) sunk);
	}
	sink->columns = lappend_int(sink->columns, column);
	sink->taken = bms_add_member(sink->taken, column);
}

/* Calls that an aggregate makes for each row of scans are made by these. */
static void
sink_arguments(Agg *agg)
{
	Plan	   *outer = agg->plan.lefttree;
	Sink		sink = {.scans = scans_of(outer)};
	Search		search = {wanted_of_column, sink.scans, NIL};
	ListCell   *cell;

	if (!sink.scans || agg->chain || outer->plan_rows < WORTHWHILE_ROWS)
		return;
	find_calls((Node *) agg->plan.targetlist, &search);
	find_calls((Node *) agg->plan.qual, &search);
	sink.calls = search.calls;
	(void) find_taken((Node *) agg->plan.targetlist, &sink);
	(void) find_taken((Node *) agg->plan.qual, &sink);
	for (int i = 0; i < agg->numCols; i++)
		sink.taken = bms_add_member(sink.taken, agg->grpColIdx[i]);
	foreach(cell, sink.scans)
		sink.results = lappend(sink.results, copyObject(((Plan *) lfirst(cell))->targetlist));
	foreach(cell, sink.calls)
		sink_call(&sink, lfirst(cell), outer);
	agg->plan.targetlist = (List *) sink_calls((Node *) agg->plan.targetlist, &sink);
	agg->plan.qual = (List *) sink_calls((Node *) agg->plan.qual, &sink);
}

/* ---- plans ---- */

static Plan *rewrite(Rewriting *rewriting, Plan *plan, bool limited);

static void
rewrite_each(Rewriting *rewriting, List *plans, bool limited)
{
	ListCell   *cell;

	foreach(cell, plans)
		lfirst(cell) = rewrite(rewriting, lfirst(cell), limited);
}

/* A plan, and those below it; limited: not all of its rows may be wanted. */
static Plan *
rewrite(Rewriting *rewriting, Plan *plan, bool limited)
{
	bool		inner_limited = limited;

	if (!plan)
		return NULL;
	switch (nodeTag(plan))
	{
		case T_Limit:
			limited = true;
			break;
		case T_Sort:
		case T_Hash:
			limited = false;
			break;
		case T_Agg:
			limited = false;
			sink_arguments((Agg *) plan);
			break;
		case T_MergeJoin:
		case T_NestLoop:
			/* Goes back to rows that it marked, or on before it has seen all. */
			inner_limited = true;
			break;
		case T_Append:
			rewrite_each(rewriting, ((Append *) plan)->appendplans, limited);
			break;
		case T_MergeAppend:
			rewrite_each(rewriting, ((MergeAppend *) plan)->mergeplans, limited);
			break;
		case T_SubqueryScan:
			((SubqueryScan *) plan)->subplan = rewrite(rewriting, ((SubqueryScan *) plan)->subplan, limited);
			break;
		default:
			break;
	}
	plan->lefttree = rewrite(rewriting, plan->lefttree, limited);
	plan->righttree = rewrite(rewriting, plan->righttree, limited || inner_limited);
	return is_table_scan(plan) && !limited ? rewrite_scan(rewriting, plan) : plan;
}

static PlannedStmt *
plan_in_blocks(Query *query, const char *text, int options, ParamListInfo parameters)
{
	PlannedStmt *statement = (previous_planner ? previous_planner : standard_planner) (query, text, options, parameters);
	Rewriting	rewriting = {.rtable = statement->rtable,.last_node_id = FIRST_NODE_ID};

	if (guc_block_scoring && (options & CURSOR_OPT_PARALLEL_OK))
	{
		statement->planTree = rewrite(&rewriting, statement->planTree, false);
		/* EXISTS, and others, may stop early. */
		rewrite_each(&rewriting, statement->subplans, true);
	}
	return statement;
}

void
score_plan_init(void)
{
	previous_planner = planner_hook;
	planner_hook = plan_in_blocks;
}
