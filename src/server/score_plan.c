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
 * not straight below a LIMIT, a merge join or a window function that may end
 * early, and not where what is read ahead is volatile: beside volatile functions
 * only rows that a table's scan hands on as they are stored.
 *
 *		SELECT id, risk.score_transaction('m', t) FROM t
 *		SELECT sum(risk.score_transaction('m', t)) FROM t
 *		SELECT id FROM t WHERE risk.score_transaction('m', t) > 0.9
 *
 *		SELECT id, risk.score_transaction('m', s) FROM (SELECT ... FROM t, u ...) AS s
 *
 * Left alone are calls below CASE, COALESCE, AND and OR, in FILTER, and those of
 * a model that is no constant or parameter.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
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
	bool		is_volatile;	/* some function of the query is */
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

/* Is it the whole row of a table?  That of a partition may be on the way to its parent's type. */
static bool
is_table_row(const Node *row, Index relid)
{
	const Var  *var;

	if (row && IsA(row, ConvertRowtypeExpr))
		row = (const Node *) ((const ConvertRowtypeExpr *) row)->arg;
	var = row && IsA(row, Var) ? (const Var *) row : NULL;
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

/* ---- the node above ---- */

/*
 * How what a plan returns is divided between it and the node above it: the plan
 * returns a row, the node the calls on it and what is made of both.
 */
typedef struct Lift
{
	Index		relid;			/* of a table, whose columns begin the row; 0: none */
	List	   *row;			/* TargetEntries of the plan */
	int			num_columns;	/* of them that are the row of the calls */
	List	   *calls;
	Bitmapset  *used;			/* columns of the row that the node needs */
	bool		failed;			/* it needs the whole row */
} Lift;

static Var *
column_variable(Index varno, int column, const Node *expr)
{
	return makeVar(varno, column, exprType(expr), exprTypmod(expr), exprCollation(expr), 0);
}

/* An expression of the plan as a column of the scan tuple, which begins with the
 * scores; the plan's row is extended where it must be. */
static Node *
lift_column(Node *expr, Lift *lift)
{
	int			column = 0;
	ListCell   *cell;

	foreach(cell, lift->row)
	{
		if (column == 0 && equal(lfirst_node(TargetEntry, cell)->expr, expr))
			column = foreach_current_index(cell) + 1;
	}
	if (column == 0)
	{
		column = list_length(lift->row) + 1;
		lift->row = lappend(lift->row, makeTargetEntry(copyObject((Expr *) expr), column, NULL, false));
	}
	lift->used = bms_add_member(lift->used, column);
	return (Node *) column_variable(INDEX_VAR, list_length(lift->calls) + column, expr);
}

static bool
makes_call(Node *node, List *calls)
{
	return node && (list_member(calls, node) || expression_tree_walker(node, makes_call, calls));
}

/* An expression of the plan as one of the node above it. */
static Node *
lift_expression(Node *node, Lift *lift)
{
	ListCell   *cell;

	if (!node)
		return NULL;
	foreach(cell, lift->calls)
	{
		if (equal(node, lfirst(cell)))
			return (Node *) column_variable(INDEX_VAR, foreach_current_index(cell) + 1, node);
	}
	if (IsA(node, Const))
		return node;
	if (IsA(node, TargetEntry) && lift->relid == 0 && !IsA(((TargetEntry *) node)->expr, Const) &&
		!makes_call(node, lift->calls))
	{
		TargetEntry *entry = flatCopyTargetEntry((TargetEntry *) node);

		entry->expr = (Expr *) lift_column((Node *) entry->expr, lift);
		return (Node *) entry;
	}
	if (IsA(node, Var))
	{
		if (lift->relid != 0 && ((Var *) node)->varattno == InvalidAttrNumber)
			lift->failed = true;
		return lift_column(node, lift);
	}
	return expression_tree_mutator(node, lift_expression, lift);
}

/* A call over the row of the outer plan. */
static FuncExpr *
call_over_row(const FuncExpr *call, const Lift *lift)
{
	FuncExpr   *result = copyObject(unconstify(FuncExpr *, call));
	Node	  **argument = (Node **) &lsecond(result->args);
	RowExpr    *columns = makeNode(RowExpr);

	if (IsA(*argument, ConvertRowtypeExpr))
		argument = (Node **) &((ConvertRowtypeExpr *) *argument)->arg;
	columns->row_typeid = exprType(*argument);
	columns->row_format = COERCE_IMPLICIT_CAST;
	columns->colnames = IsA(*argument, RowExpr) ? ((RowExpr *) *argument)->colnames : NIL;
	columns->location = -1;
	for (int i = 0; i < lift->num_columns; i++)
	{
		Node	   *column = (Node *) list_nth_node(TargetEntry, lift->row, i)->expr;

		columns->args = lappend(columns->args, lift->relid != 0 && IsA(column, Const) ? column :
								(Node *) column_variable(OUTER_VAR, i + 1, column));
	}
	*argument = (Node *) columns;
	return result;
}

/* What the scan tuple of the node is, for EXPLAIN. */
static List *
scan_tuple(const Lift *lift, List *calls_over_row)
{
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, lift->relid != 0 ? lift->calls : calls_over_row)
		result = lappend(result, makeTargetEntry(lfirst(cell), list_length(result) + 1, NULL, false));
	foreach(cell, lift->row)
	{
		Node	   *column = (Node *) lfirst_node(TargetEntry, cell)->expr;

		if (lift->relid == 0)
			column = (Node *) column_variable(OUTER_VAR, foreach_current_index(cell) + 1, column);
		result = lappend(result, makeTargetEntry((Expr *) column, list_length(result) + 1, NULL, false));
	}
	return result;
}

/*
 * The node above a plan, which makes the calls, and which returns what the plan
 * did; the conditions, which were the plan's last ones, become the node's.  Or
 * the plan as it was, if that cannot be.
 */
static Plan *
lift_calls(Rewriting *rewriting, Plan *plan, Lift *lift, List *conditions)
{
	CustomScan *node = score_scan_make();
	List	   *results = (List *) lift_expression((Node *) plan->targetlist, lift);
	List	   *used = NIL;
	int			column = -1;
	ListCell   *cell;

	conditions = (List *) lift_expression((Node *) conditions, lift);
	if (lift->failed)
		return plan;
	foreach(cell, lift->calls)
		node->custom_exprs = lappend(node->custom_exprs, call_over_row(lfirst(cell), lift));
	while ((column = bms_next_member(lift->used, column)) >= 0)
		used = lappend_int(used, column);
	node->custom_private = list_make1(used);
	node->custom_scan_tlist = copyObject(scan_tuple(lift, node->custom_exprs));
	node->scan.plan = *plan;
	node->scan.plan.type = T_CustomScan;
	node->scan.plan.parallel_aware = false;
	node->scan.plan.async_capable = false;
	node->scan.plan.plan_node_id = ++rewriting->last_node_id;
	node->scan.plan.targetlist = results;
	node->scan.plan.qual = conditions;
	node->scan.plan.lefttree = plan;
	node->scan.plan.righttree = NULL;
	node->scan.plan.extParam = bms_copy(plan->extParam);
	node->scan.plan.allParam = bms_copy(plan->allParam);
	plan->targetlist = lift->row;
	plan->qual = list_truncate(plan->qual, list_length(plan->qual) - list_length(conditions));
	plan->initPlan = NIL;
	return &node->scan.plan;
}

/* ---- rows of tables ---- */

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

/* Is a node a call on the whole row of a table? */
static bool
wanted_of_table(const Node *node, void *relid)
{
	return is_table_row(scored_row(node), *(Index *) relid);
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
	ListCell   *cell;

	lift.calls = calls_of_scan(plan, relid, &kept);
	foreach(cell, lift.calls)
	{
		/* A child by inheritance may have columns that its parent has not. */
		if (IsA(scored_row(lfirst(cell)), ConvertRowtypeExpr) && !get_rel_relispartition(rte->relid))
			return plan;
	}
	if (!lift.calls || !is_worthwhile(plan, kept < list_length(plan->qual)) ||
		contain_volatile_functions((Node *) plan->qual) ||
		(rewriting->is_volatile && contain_subplans((Node *) plan->qual)))
		return plan;
	lift.row = table_row(rte->relid, relid);
	lift.num_columns = list_length(lift.row);
	return lift_calls(rewriting, plan, &lift, list_copy_tail(plan->qual, kept));
}

/* ---- rows of subqueries ---- */

/* Is a node a call on a row that is made here, that one if one is given? */
static bool
wanted_of_row(const Node *node, void *row)
{
	Node	   *scored = scored_row(node);

	return scored && IsA(scored, RowExpr) && ((RowExpr *) scored)->row_typeid == RECORDOID &&
		(row == NULL || equal(scored, row));
}

/* Does a plan make its results from the rows of others, or of a table? */
static bool
is_projection(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_HashJoin:
		case T_MergeJoin:
		case T_NestLoop:
		case T_SubqueryScan:
			return true;
		default:
			return is_table_scan(plan);
	}
}

/* A plan, with the node above it if it makes calls on rows that it makes itself.
 * Volatile functions below would be seen to run ahead of those above. */
static Plan *
rewrite_projection(Rewriting *rewriting, Plan *plan)
{
	Search		search = {wanted_of_row, NULL, NIL};
	Lift		lift = {0};
	ListCell   *cell;

	if (rewriting->is_volatile || plan->plan_rows < WORTHWHILE_ROWS)
		return plan;
	find_calls((Node *) plan->targetlist, &search);
	if (!search.calls)
		return plan;
	search.arg = scored_row(linitial(search.calls));
	search.calls = NIL;
	find_calls((Node *) plan->targetlist, &search);
	lift.calls = search.calls;
	foreach(cell, ((RowExpr *) search.arg)->args)
		lift.row = lappend(lift.row, makeTargetEntry(copyObject(lfirst(cell)), ++lift.num_columns, NULL, false));
	return lift_calls(rewriting, plan, &lift, NIL);
}

/* ---- aggregates ---- */

/* How calls of an aggregate's arguments become those of the plans below it. */
typedef struct Sink
{
	List	   *plans;
	List	   *results;		/* of each of them, as they were: lists */
	List	   *calls;
	List	   *columns;		/* of the plans: what the calls return */
	Bitmapset  *taken;			/* columns that something else uses, too */
} Sink;

/* The plans that make the rows that a plan hands on as they are, maybe in
 * order; none: it does more. */
static List *
makers_of(Plan *plan)
{
	List	   *makers;
	ListCell   *cell;

	if (IsA(plan, Sort))
		plan = plan->lefttree;
	makers = IsA(plan, Append) ? ((Append *) plan)->appendplans : list_make1(plan);
	foreach(cell, makers)
	{
		if (!is_projection(lfirst(cell)))
			return NIL;
	}
	return makers;
}

/* Is a plan's result the whole row of the table that it scans? */
static bool
returns_row(const Plan *plan, int column)
{
	const Node *result = (const Node *) list_nth_node(TargetEntry, plan->targetlist, column - 1)->expr;

	return is_table_scan(plan) && is_table_row(result, ((const Scan *) plan)->scanrelid);
}

/* Is a node a call on a column that is the whole row of each plan, or on a row of
 * columns? */
static bool
wanted_of_makers(const Node *node, void *plans)
{
	Node	   *row = scored_row(node);
	ListCell   *cell;

	if (!row || !IsA(row, Var) || ((Var *) row)->varno != OUTER_VAR)
		return wanted_of_row(node, NULL);
	foreach(cell, (List *) plans)
	{
		if (!returns_row(lfirst(cell), ((Var *) row)->varattno))
			return false;
	}
	return true;
}

/* Add the calls that aggregates make for each row; others are made for each group. */
static bool
find_arguments(Node *node, Search *search)
{
	if (!node)
		return false;
	if (!IsA(node, Aggref))
		return expression_tree_walker(node, find_arguments, search);
	return ((Aggref *) node)->aggfilter == NULL && find_calls((Node *) ((Aggref *) node)->args, search);
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

/* An expression over the results of the plan below as one of that plan. */
static Node *
sink_expression(Node *node, List *results)
{
	if (node && IsA(node, Var) && ((Var *) node)->varno == OUTER_VAR)
		return copyObject((Node *) list_nth_node(TargetEntry, results, ((Var *) node)->varattno - 1)->expr);
	return node ? expression_tree_mutator(node, sink_expression, results) : NULL;
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

/* The plans between an aggregate and the makers hand on what these return. */
static void
set_results_between(Plan *plan, int column, const Node *expr)
{
	for (; plan && (IsA(plan, Sort) || IsA(plan, Append)); plan = plan->lefttree)
		set_result(plan, column, (Node *) column_variable(OUTER_VAR, column, expr));
}

/* Have the plans make a call: in place of the row, if nothing else wants that. */
static void
sink_call(Sink *sink, FuncExpr *call, Plan *outer)
{
	Node	   *row = lsecond(call->args);
	int			column = list_length(outer->targetlist) + 1;
	ListCell   *plan;
	ListCell   *results;

	if (IsA(row, Var) && !bms_is_member(((Var *) row)->varattno, sink->taken))
		column = ((Var *) row)->varattno;
	set_results_between(outer, column, (Node *) call);
	forboth(plan, sink->plans, results, sink->results)
		set_result(lfirst(plan), column, sink_expression((Node *) call, lfirst(results)));
	sink->columns = lappend_int(sink->columns, column);
	sink->taken = bms_add_member(sink->taken, column);
}

/* What only the calls needed need not be handed on. */
static void
drop_results(const Sink *sink, Plan *plan)
{
	ListCell   *cell;

	foreach(cell, plan->targetlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!bms_is_member(entry->resno, sink->taken))
			entry->expr = (Expr *) makeNullConst(exprType((Node *) entry->expr), exprTypmod((Node *) entry->expr),
												 exprCollation((Node *) entry->expr));
	}
}

/* Does a scan make calls, as when its rows are then sorted by them? */
static bool
makes_calls(const Plan *plan)
{
	int			kept;

	return is_table_scan(plan) && calls_of_scan(plan, ((const Scan *) plan)->scanrelid, &kept) != NIL;
}

/*
 * Calls that an aggregate makes for each row are made by who makes the row.  To
 * sort rows for it (DISTINCT, since PostgreSQL 16) the planner has the calls made
 * there itself, but beside the whole row, which then is of no use.  Not below
 * grouping sets, for which columns outside of aggregates may become NULL.
 */
static void
sink_arguments(Agg *agg)
{
	Plan	   *outer = agg->plan.lefttree;
	Sink		sink = {.plans = makers_of(outer)};
	Search		search = {wanted_of_makers, sink.plans, NIL};
	ListCell   *cell;

	if (!sink.plans || agg->groupingSets || agg->chain || outer->plan_rows < WORTHWHILE_ROWS)
		return;
	(void) find_arguments((Node *) agg->plan.targetlist, &search);
	(void) find_arguments((Node *) agg->plan.qual, &search);
	sink.calls = search.calls;
	if (!sink.calls && !(IsA(outer, Sort) && makes_calls(linitial(sink.plans))))
		return;
	(void) find_taken((Node *) agg->plan.targetlist, &sink);
	(void) find_taken((Node *) agg->plan.qual, &sink);
	for (int i = 0; i < agg->numCols; i++)
		sink.taken = bms_add_member(sink.taken, agg->grpColIdx[i]);
	for (int i = 0; IsA(outer, Sort) && i < ((Sort *) outer)->numCols; i++)
		sink.taken = bms_add_member(sink.taken, ((Sort *) outer)->sortColIdx[i]);
	foreach(cell, sink.plans)
		sink.results = lappend(sink.results, copyObject(((Plan *) lfirst(cell))->targetlist));
	foreach(cell, sink.calls)
		sink_call(&sink, lfirst(cell), outer);
	foreach(cell, sink.plans)
		drop_results(&sink, lfirst(cell));
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
	bool		outer_limited = false;
	bool		inner_limited = false;

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
			/* A sorted one returns a group before it has seen the next. */
			if (((Agg *) plan)->aggstrategy != AGG_SORTED)
				limited = false;
			if (!rewriting->is_volatile)
				sink_arguments((Agg *) plan);
			break;
		case T_WindowAgg:
			/* May end when its condition is false, as that of row_number() <= 10 once is. */
			limited |= ((WindowAgg *) plan)->runCondition != NIL;
			break;
		case T_MergeJoin:
			/* Ends with one side, and goes back to rows of the other that it marked. */
			outer_limited = inner_limited = true;
			break;
		case T_NestLoop:
			/* Goes on before it has seen all. */
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
	plan->lefttree = rewrite(rewriting, plan->lefttree, limited || outer_limited);
	plan->righttree = rewrite(rewriting, plan->righttree, limited || inner_limited);
	if (!limited && is_table_scan(plan))
		plan = rewrite_scan(rewriting, plan);
	if (!limited && is_projection(plan))
		plan = rewrite_projection(rewriting, plan);
	return plan;
}

static PlannedStmt *
plan_in_blocks(Query *query, const char *text, int options, ParamListInfo parameters)
{
	bool		in_blocks = guc_block_scoring && (options & CURSOR_OPT_PARALLEL_OK);
	Rewriting	rewriting = {.last_node_id = FIRST_NODE_ID};
	PlannedStmt *statement;

	/* The planner leaves no whole query behind. */
	rewriting.is_volatile = in_blocks && contain_volatile_functions((Node *) query);
	statement = (previous_planner ? previous_planner : standard_planner) (query, text, options, parameters);
	if (in_blocks)
	{
		rewriting.rtable = statement->rtable;
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
