/*
 * condition.c
 *		Conditions over the columns of a table, as declared rolling features have
 *		them: share(amount > 100).
 *
 * A condition is evaluated for whoever looks up, who need not trust who declared
 * it, and must say of a row what it said before.  So it is one boolean
 * expression, without subqueries, of columns of the table and of PostgreSQL's own
 * immutable functions and operators; its text means the same in every session,
 * and never becomes a part of a query.
 *
 * Nor does parsing it run anybody's code.  A literal becomes a value as soon as its
 * type is known, by that type's input function, which evaluates the checks of domains
 * in composites and arrays.  So the parser is given parameters for literals, and asks
 * here when it knows what they are to be.
 *
 * A plain condition cannot fail, whatever the row: it compares columns and constants of
 * simple types, and is not nested deep.  So it can be parsed and evaluated for whoever
 * writes, too, as tiles need it (late.c), as long as its columns have the types that they
 * had when it was declared.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

#include "compat.h"
#include "condition.h"
#include "guc.h"

/* What the text of a condition depends on, read or written. */
static const char *const settings[][2] = {
	{"bytea_output", "hex"}, {"datestyle", "ISO, YMD"}, {"extra_float_digits", "1"},
	{"intervalstyle", "postgres"}, {"search_path", "pg_catalog, pg_temp"},
	{"standard_conforming_strings", "on"}, {"timezone", "UTC"}, {"transform_null_equals", "off"}
};

/* An error is in the condition, not in the query that was sent. */
static void
explain_error(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(arg);
	}
	errcontext("condition of rolling features: %s", (char *) arg);
}

/* The one expression that the text is. */
static Node *
parse_expression(const char *text)
{
	List	   *statements = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);
	SelectStmt *alone = makeNode(SelectStmt);
	ResTarget  *target = list_length(select->targetList) == 1 ? linitial(select->targetList) : NULL;

	alone->targetList = select->targetList;
	if (!target || target->name || target->indirection || !equal(select, alone))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a condition is one expression")));
	return target->val;
}

/* ---- literals ---- */

/* Put parameters with negative numbers in the places of literals, which are listed. */
static bool
take_literals(Node *node, void *context)
{
	List	  **literals = context;
	A_Const    *literal = (A_Const *) node;

	if (!node)
		return false;
	if (!IsA(node, A_Const) || literal->isnull || !IsA(&literal->val, String))
		return raw_expression_tree_walker(node, take_literals, context);
	*literals = lappend(*literals, makeConst(UNKNOWNOID, -1, InvalidOid, -2, CStringGetDatum(strVal(&literal->val)), false, false));
	llast_node(Const, *literals)->location = literal->location;
	StaticAssertStmt(sizeof(ParamRef) <= sizeof(A_Const), "a parameter stands where a literal did");
	*(ParamRef *) node = (ParamRef) {.type = T_ParamRef,.number = -list_length(*literals),.location = literal->location};
	return false;
}

/* The parser's hook for parameters.  NULL: it is none of ours. */
static Node *
literal_param(ParseState *pstate, ParamRef *ref)
{
	Param	   *param;

	if (ref->number >= 0)
		return NULL;
	param = makeNode(Param);
	param->paramkind = PARAM_EXTERN;
	param->paramid = ref->number;
	param->paramtype = UNKNOWNOID;
	param->paramtypmod = -1;
	param->location = ref->location;
	return (Node *) param;
}

static Const *
param_literal(const Param *param, List *literals)
{
	return list_nth_node(Const, literals, -param->paramid - 1);
}

/* The parser's hook for their types. */
static Node *
literal_value(ParseState *pstate, Param *param, Oid type, int32 typmod, int location)
{
	Oid			plain = getBaseType(type);

	if (OidIsValid(get_element_type(plain)))
		plain = get_element_type(plain);
	if (plain >= FirstNormalObjectId && !type_is_enum(plain))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("literals in a condition cannot be of type %s", format_type_be(type)),
				 errhint("They are of types of PostgreSQL only, or of enums. A generated column can hold what others compute."),
				 parser_errposition(pstate, param->location)));
	return coerce_type(pstate, (Node *) param_literal(param, pstate->p_ref_hook_state), UNKNOWNOID, type, typmod,
					   COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, location);
}

/* Put those that need no type back. */
static Node *
put_literals(Node *node, void *context)
{
	if (node && IsA(node, Param))
		return (Node *) param_literal((Param *) node, context);
	return node ? expression_tree_mutator(node, put_literals, context) : NULL;
}

/* An expression of columns of a table, as the parser understands it. */
static Node *
transform(ParseState *pstate, Node *raw)
{
	List	   *literals = NIL;
	Node	   *expr;

	(void) take_literals(raw, &literals);
	pstate->p_paramref_hook = literal_param;
	pstate->p_coerce_param_hook = literal_value;
	pstate->p_ref_hook_state = literals;
	expr = transformExpr(pstate, raw, EXPR_KIND_SELECT_TARGET);
	expr = coerce_to_boolean(pstate, expr, "share()");
	return put_literals(expr, literals);
}

/* ---- what is allowed ---- */

static bool
is_foreign(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

/* Is something in it that is not PostgreSQL's own? */
static bool
has_foreign(Node *node, void *context)
{
	return node && (IsA(node, CoerceToDomain) || check_functions_in_node(node, is_foreign, NULL) ||
					expression_tree_walker(node, has_foreign, context));
}

static bool
has_no_column(Node *node, void *context)
{
	return node && (IsA(node, Var) ? ((Var *) node)->varattno <= 0 :
					expression_tree_walker(node, has_no_column, context));
}

static Expr *
analyze(Relation rel, const char *text)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node	   *expr;

	pstate->p_sourcetext = text;
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, true);
	addNSItemToQuery(pstate, item, false, true, true);
	expr = transform(pstate, parse_expression(text));
	assign_expr_collations(pstate, expr);
	if (pstate->p_hasSubLinks || pstate->p_hasAggs || pstate->p_hasWindowFuncs || pstate->p_hasTargetSRFs)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a condition cannot have subqueries, aggregates, window functions or functions that return sets"),
				 errhint("It is of one row.")));
	free_parsestate(pstate);
	if (has_no_column(expr, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("a condition is of columns of the table, not of the row or of system columns")));
	if (has_foreign(expr, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("a condition has functions, operators and casts of PostgreSQL only"),
				 errhint("It is evaluated for whoever looks up. A generated column can hold what others compute.")));
	if (contain_mutable_functions(expr))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("functions and operators in a condition must be immutable"),
				 errhint("It must say the same of a row at any time and in any session.")));
	return (Expr *) expr;
}

/*
 * A condition over the columns of a table, whose Vars have varno 1; not planned.
 *
 * Errors: 42601 not one expression, 42703 no such column, 42804 not boolean,
 * 42P10 of the whole row, 42P17 not immutable, or not PostgreSQL's own, 0A000
 * not of one row.
 */
Expr *
condition_parse(Relation rel, const char *text)
{
	int			nest = guc_settle(settings, lengthof(settings));
	ErrorContextCallback callback = {
		.previous = error_context_stack,.callback = explain_error,.arg = unconstify(char *, text)
	};
	Expr	   *expr;

	error_context_stack = &callback;
	expr = analyze(rel, text);
	error_context_stack = callback.previous;
	AtEOXact_GUC(true, nest);
	return expr;
}

/* ---- what cannot fail ---- */

/* To parse one that is nested deeper, who writes may not have the stack that who declared it had. */
#define PLAIN_DEPTH		100

static bool
is_plain_type(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case UUIDOID:
		case BYTEAOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return true;
		default:
			return false;
	}
}

/* Is an operator a comparison of simple values?  Of text equality only: which of two is
 * less, a new version of a library may see otherwise. */
static bool
is_comparison(Oid operator, Oid collation)
{
	Oid			left;
	Oid			right;
	Oid			family;
	bool		equality;

	op_input_types(operator, &left, &right);
	if (!is_plain_type(left) || !is_plain_type(right))
		return false;
	family = lookup_type_cache(left, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	equality = get_op_opfamily_strategy(operator, family) == BTEqualStrategyNumber ||
		get_op_opfamily_strategy(get_negator(operator), family) == BTEqualStrategyNumber;
	if (type_is_collatable(left))
		return equality && OidIsValid(collation) && get_collation_isdeterministic(collation);
	return equality || op_in_opfamily(operator, family);
}

/* Is a function a cast that takes any value, or one of a constant, which was cast before? */
static bool
is_plain_cast(const FuncExpr *call)
{
	ListCell   *cell;

	switch (call->funcid)
	{
		case F_INT4_INT2:
		case F_INT8_INT2:
		case F_INT8_INT4:
		case F_FLOAT4_INT2:
		case F_FLOAT4_INT4:
		case F_FLOAT4_INT8:
		case F_FLOAT8_INT2:
		case F_FLOAT8_INT4:
		case F_FLOAT8_INT8:
		case F_FLOAT8_FLOAT4:
		case F_NUMERIC_INT2:
		case F_NUMERIC_INT4:
		case F_NUMERIC_INT8:
			return true;
	}
	foreach(cell, call->args)
	{
		if (!IsA(lfirst(cell), Const))
			return false;
	}
	return is_plain_type(call->funcresulttype) &&
		(call->funcformat == COERCE_IMPLICIT_CAST || call->funcformat == COERCE_EXPLICIT_CAST);
}

/* A condition that is being looked at. */
typedef struct Look
{
	Relation	rel;
	int			depth;			/* of the node at hand */
} Look;

static bool
can_fail(Node *node, void *context)
{
	Look	   *look = context;
	bool		result;

	if (!node)
		return false;
	if (look->depth == PLAIN_DEPTH)
		return true;
	switch (nodeTag(node))
	{
		case T_Var:
			if (!is_plain_type(((Var *) node)->vartype) ||
				compat_is_virtual(TupleDescAttr(RelationGetDescr(look->rel), ((Var *) node)->varattno - 1)))
				return true;
			break;
		case T_Const:
			if (((Const *) node)->consttype >= FirstNormalObjectId)
				return true;
			break;
		case T_RelabelType:
			if (!is_plain_type(((RelabelType *) node)->resulttype))
				return true;
			break;
		case T_FuncExpr:
			if (!is_plain_cast((FuncExpr *) node))
				return true;
			break;
		case T_OpExpr:
		case T_DistinctExpr:
			if (!is_comparison(((OpExpr *) node)->opno, ((OpExpr *) node)->inputcollid))
				return true;
			break;
		case T_ScalarArrayOpExpr:
			if (!is_comparison(((ScalarArrayOpExpr *) node)->opno, ((ScalarArrayOpExpr *) node)->inputcollid))
				return true;
			break;
		case T_BoolExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_CoalesceExpr:
		case T_ArrayExpr:
		case T_List:
			break;
		default:
			return true;
	}
	look->depth++;
	result = expression_tree_walker(node, can_fail, context);
	look->depth--;
	return result;
}

/* Is a condition over the columns of a table plain? */
bool
condition_is_plain(Relation rel, Expr *condition)
{
	Look		look = {.rel = rel};

	return !can_fail((Node *) condition, &look);
}

PG_FUNCTION_INFO_V1(risk_rolling_condition);

/* risk.rolling_condition(source, condition): as it is stored, its columns, and their types if
 * it is plain. */
Datum
risk_rolling_condition(PG_FUNCTION_ARGS)
{
	Relation	rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	Expr	   *expr = condition_parse(rel, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	int			nest = guc_settle(settings, lengthof(settings));
	char	   *text = deparse_expression((Node *) expr, deparse_context_for(RelationGetRelationName(rel), RelationGetRelid(rel)),
										  false, false);
	List	   *vars = pull_var_clause((Node *) expr, 0);
	ArrayBuildState *columns = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	ArrayBuildState *types = initArrayResult(REGTYPEOID, CurrentMemoryContext, false);
	Bitmapset  *seen = NULL;
	ListCell   *cell;
	TupleDesc	tupdesc;
	Datum		values[3];
	bool		nulls[3] = {false};

	AtEOXact_GUC(true, nest);
	nulls[2] = !condition_is_plain(rel, condition_parse(rel, text));	/* what others will parse */
	(void) expression_planner(copyObject(expr));	/* what is constant can fail */
	foreach(cell, vars)
	{
		const Var  *var = lfirst_node(Var, cell);

		if (bms_is_member(var->varattno, seen))
			continue;
		columns = accumArrayResult(columns, CStringGetTextDatum(get_attname(RelationGetRelid(rel), var->varattno, false)),
								   false, TEXTOID, CurrentMemoryContext);
		types = accumArrayResult(types, ObjectIdGetDatum(var->vartype), false, REGTYPEOID, CurrentMemoryContext);
		seen = bms_add_member(seen, var->varattno);
	}
	table_close(rel, AccessShareLock);
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "unexpected result type");
	values[0] = CStringGetTextDatum(text);
	values[1] = makeArrayResult(columns, CurrentMemoryContext);
	values[2] = makeArrayResult(types, CurrentMemoryContext);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
