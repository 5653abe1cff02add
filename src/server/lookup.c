/*
 * lookup.c
 *		SQL functions over declared rolling features: of a row, of a moment of a
 *		key, of all events of a table; as jsonb objects.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "bind.h"
#include "compat.h"
#include "live.h"
#include "member.h"
#include "rolling_names.h"
#include "tile_build.h"
#include "tiling.h"

/* The queries of a source's features, which one call site has at a time: they keep
 * what they are at work on.  When it is done, the next one gets them. */
typedef struct CallQueries
{
	struct CallQueries *next;	/* that is idle, too */
	Oid			source;
	uint64		generation;
	MemoryContext context;		/* holds all of this */
	List	   *queries;
} CallQueries;

typedef struct CallSite
{
	CallQueries *has;
	MemoryContextCallback leave;
} CallSite;

#define MAX_IDLE	64

static CallQueries *idle = NULL;
static int	num_idle = 0;

/* A call site has no more use for its queries. */
static void
leave(void *arg)
{
	CallSite   *site = arg;
	CallQueries *left = site->has;

	site->has = NULL;
	if (left && num_idle < MAX_IDLE)
	{
		left->next = idle;
		idle = left;
		num_idle++;
	}
	else if (left)
		MemoryContextDelete(left->context);
}

/* Take idle queries of a source, or NULL; those that are out of date go. */
static CallQueries *
take_idle(Oid source)
{
	CallQueries **link = &idle;

	while (*link)
	{
		CallQueries *found = *link;
		bool		current = found->generation == live_generation();

		if (current && found->source != source)
		{
			link = &found->next;
			continue;
		}
		*link = found->next;
		num_idle--;
		if (current)
			return found;
		MemoryContextDelete(found->context);
	}
	return NULL;
}

/* Errors: 42704 there are no features. */
static CallQueries *
make_queries(Oid source)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk lookups", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	CallQueries *result = palloc0(sizeof(CallQueries));
	Problem		problem = {0};

	result->source = source;
	result->generation = live_generation();
	result->context = context;
	result->queries = live_queries(source, NULL, 0, &problem);
	MemoryContextSwitchTo(caller);
	if (problem.sqlstate)
		problem_raise(&problem);
	if (result->queries == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 get_rel_name(source) ?
				 errmsg("table \"%s\" has no rolling features", get_rel_name(source)) :
				 errmsg("there is no table with OID %u", source),
				 errhint("Declare them with risk.create_rolling_features(). SELECT * FROM risk.rolling_features_info lists those that exist.")));
	MemoryContextSetParent(context, TopMemoryContext);
	return result;
}

/* The queries of a source's features.  Errors: 42704 there are none. */
static List *
call_queries(FunctionCallInfo fcinfo, Oid source)
{
	CallSite   *site = fcinfo->flinfo->fn_extra;

	if (site && site->has && site->has->source == source && site->has->generation == live_generation())
		return site->has->queries;
	if (!site)
	{
		site = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(CallSite));
		site->leave.func = leave;
		site->leave.arg = site;
		MemoryContextRegisterResetCallback(fcinfo->flinfo->fn_mcxt, &site->leave);
		fcinfo->flinfo->fn_extra = site;
	}
	leave(site);
	AcceptInvalidationMessages();	/* of what was declared since */
	site->has = take_idle(source);
	if (!site->has)
		site->has = make_queries(source);
	return site->has->queries;
}

static void
report_no_set(Oid source, const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("table \"%s\" has no rolling features \"%s\"", get_rel_name(source), name),
			 errhint("SELECT * FROM risk.rolling_features_info lists those that exist.")));
}

/* ---- results ---- */

static void
push_results(JsonbParseState **state, const LiveQuery *query, const double *results, const bool *nulls)
{
	for (int i = 0; i < live_num_results(query); i++)
	{
		if (nulls[i])
			member_push_text(state, live_result_name(query, i), NULL);
		else
			member_push_number(state, live_result_name(query, i), results[i]);
	}
}

/* Look up and add the results.  Errors: 22004 no event time. */
static void
push_lookup(JsonbParseState **state, LiveQuery *query, const Datum *inputs, const bool *input_nulls)
{
	double	   *results = palloc(sizeof(double) * live_num_results(query));
	bool	   *nulls = palloc(sizeof(bool) * live_num_results(query));
	Problem		problem = {0};

	if (!live_lookup(query, inputs, input_nulls, &(LiveView) {0}, results, nulls, &problem))
		problem_raise(&problem);
	push_results(state, query, results, nulls);
}

/* ---- inputs ---- */

/* The columns of a row; returns of which type they are. */
static TupleDesc
deform_row(Datum row, Datum **values, bool **nulls)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(row);
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header),.t_data = header};
	TupleDesc	tupdesc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));

	*values = palloc(sizeof(Datum) * tupdesc->natts);
	*nulls = palloc(sizeof(bool) * tupdesc->natts);
	heap_deform_tuple(&tuple, tupdesc, *values, *nulls);
	return tupdesc;
}

/* A value as one of another type; by way of text where the types differ. */
static Datum
convert(Datum value, Oid from, Oid to)
{
	Oid			output;
	bool		is_varlena;
	Oid			input;
	Oid			ioparam;

	if (getBaseType(from) == to)
		return value;
	if (getBaseType(from) == DATEOID && to == TIMESTAMPOID)
		return TimestampGetDatum(rolling_time(value, DATEOID));
	if (from == TIMESTAMPTZOID && to == TIMESTAMPOID)
		return DirectFunctionCall1(timestamptz_timestamp, value);
	if (from == TIMESTAMPOID && to == TIMESTAMPTZOID)
		return DirectFunctionCall1(timestamp_timestamptz, value);
	getTypeOutputInfo(from, &output, &is_varlena);
	getTypeInputInfo(to, &input, &ioparam);
	return OidInputFunctionCall(input, OidOutputFunctionCall(output, value), ioparam, -1);
}

static void
report_no_input(const LiveQuery *query, const char *column, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("the row has no %s \"%s\", which rolling features \"%s\" need", what, column, live_set(query)),
			 errhint("It needs the columns of the key and of the event time, under their names.")));
}

/* The inputs of a query from a row. */
static void
row_inputs(const LiveQuery *query, TupleDesc tupdesc, const Datum *values, const bool *row_nulls,
		   Datum *inputs, bool *nulls)
{
	for (int i = 0; i < live_num_inputs(query); i++)
	{
		const LiveInput *input = live_input(query, i);
		AttrNumber	attnum = bind_find_column(tupdesc, input->column);

		if (attnum <= 0)
			report_no_input(query, input->column, "column");
		nulls[i] = row_nulls[attnum - 1];
		if (!nulls[i])
			inputs[i] = convert(values[attnum - 1], TupleDescAttr(tupdesc, attnum - 1)->atttypid, input->type);
	}
}

/* The inputs of a query from a JSON object. */
static void
jsonb_inputs(const LiveQuery *query, Jsonb *jsonb, Datum *inputs, bool *nulls)
{
	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the row must be a JSON object")));
	for (int i = 0; i < live_num_inputs(query); i++)
	{
		const LiveInput *input = live_input(query, i);
		JsonbValue *value = member_of(jsonb, input->column, NULL);
		char	   *text;
		Oid			function;
		Oid			ioparam;

		if (!value)
			report_no_input(query, input->column, "member");
		nulls[i] = value->type == jbvNull;
		if (nulls[i])
			continue;
		if (value->type == jbvString)
			text = pnstrdup(value->val.string.val, value->val.string.len);
		else if (value->type == jbvNumeric)
			text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		else
			text = JsonbToCString(NULL, &JsonbValueToJsonb(value)->root, -1);
		getTypeInputInfo(input->type, &function, &ioparam);
		inputs[i] = OidInputFunctionCall(function, text, ioparam, -1);
	}
}

/* The columns of a compound key from a row or an array. */
static void
compound_key(const LiveQuery *query, Datum key, Oid type, Datum *inputs, bool *nulls)
{
	int			n = live_num_keys(query);
	int			found = -1;
	Datum	   *values = NULL;
	bool	   *value_nulls = NULL;
	Oid			element = get_element_type(type);
	TupleDesc	tupdesc = NULL;

	if (OidIsValid(element))
	{
		int16		length;
		bool		by_value;
		char		alignment;

		get_typlenbyvalalign(element, &length, &by_value, &alignment);
		deconstruct_array(DatumGetArrayTypeP(key), element, length, by_value, alignment,
						  &values, &value_nulls, &found);
	}
	else if (type_is_rowtype(type))
	{
		tupdesc = deform_row(key, &values, &value_nulls);
		found = tupdesc->natts;
	}
	if (found != n)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg_plural("the key of rolling features \"%s\" has %d column",
							   "the key of rolling features \"%s\" has %d columns", n, live_set(query), n),
				 errhint("Pass ROW(...) or an array of so many values, in the declaration's order; a single one can be passed as it is.")));
	for (int i = 0; i < n; i++)
	{
		nulls[i] = value_nulls[i];
		if (!nulls[i])
			inputs[i] = convert(values[i], tupdesc ? TupleDescAttr(tupdesc, i)->atttypid : element,
								live_input(query, i)->type);
	}
}

/* Is a value of one type meant to be taken apart into columns of a key, the first of which is of
 * another? */
static bool
is_compound(Oid type, Oid column)
{
	return (type_is_rowtype(type) && !type_is_rowtype(column)) ||
		(OidIsValid(get_element_type(type)) && !OidIsValid(get_element_type(column)));
}

/* ---- functions ---- */

static void
allocate_inputs(const LiveQuery *query, Datum **inputs, bool **nulls)
{
	*inputs = palloc0(sizeof(Datum) * live_num_inputs(query));
	*nulls = palloc(sizeof(bool) * live_num_inputs(query));
	memset(*nulls, true, live_num_inputs(query));
}

PG_FUNCTION_INFO_V1(risk_rolling_features_row);

/* risk.rolling_features(source, row): of a row that need not be there. */
Datum
risk_rolling_features_row(PG_FUNCTION_ARGS)
{
	Oid			source = PG_GETARG_OID(0);
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	bool		is_row = OidIsValid(type) && type_is_rowtype(type);
	List	   *queries = call_queries(fcinfo, source);
	JsonbParseState *state = NULL;
	ListCell   *cell;
	TupleDesc	tupdesc = NULL;
	Datum	   *values = NULL;
	bool	   *row_nulls = NULL;

	if (is_row)
		tupdesc = deform_row(PG_GETARG_DATUM(1), &values, &row_nulls);
	else if (!OidIsValid(type) || getBaseType(type) != JSONBOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a value of type %s is not a row of the table", OidIsValid(type) ? format_type_be(type) : "unknown"),
				 errhint("Pass a row or jsonb; for a key and a moment, risk.rolling_features(source, key, as_of).")));
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(cell, queries)
	{
		LiveQuery  *query = lfirst(cell);
		Datum	   *inputs;
		bool	   *nulls;

		allocate_inputs(query, &inputs, &nulls);
		if (is_row)
			row_inputs(query, tupdesc, values, row_nulls, inputs, nulls);
		else
			jsonb_inputs(query, PG_GETARG_JSONB_P(1), inputs, nulls);
		push_lookup(&state, query, inputs, nulls);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* Do two queries have the same key? */
static bool
same_key(const LiveQuery *a, const LiveQuery *b)
{
	if (live_num_keys(a) != live_num_keys(b))
		return false;
	for (int i = 0; i < live_num_keys(a); i++)
	{
		if (strcmp(live_input(a, i)->column, live_input(b, i)->column) != 0)
			return false;
	}
	return true;
}

PG_FUNCTION_INFO_V1(risk_rolling_features_key);

/* risk.rolling_features(source, key, as_of, name): of a key at a moment. */
Datum
risk_rolling_features_key(PG_FUNCTION_ARGS)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	List	   *queries;
	char	   *name = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	JsonbParseState *state = NULL;
	ListCell   *cell;
	LiveQuery  *first = NULL;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("source and as_of must not be null")));
	queries = call_queries(fcinfo, PG_GETARG_OID(0));
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(cell, queries)
	{
		LiveQuery  *query = lfirst(cell);
		int			n = live_num_keys(query);
		Datum	   *inputs;
		bool	   *nulls;

		if (name && strcmp(name, live_set(query)) != 0)
			continue;
		if (first && !same_key(first, query))
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
					 errmsg("rolling features \"%s\" and \"%s\" have different keys", live_set(first), live_set(query)),
					 errhint("Say which with name => '%s', or pass a row.", live_set(first))));
		first = query;
		allocate_inputs(query, &inputs, &nulls);
		if (!PG_ARGISNULL(1) && n == 1 && !is_compound(type, live_input(query, 0)->type))
		{
			nulls[0] = false;
			inputs[0] = convert(PG_GETARG_DATUM(1), type, live_input(query, 0)->type);
		}
		else if (!PG_ARGISNULL(1))
			compound_key(query, PG_GETARG_DATUM(1), type, inputs, nulls);
		nulls[n] = false;
		inputs[n] = convert(PG_GETARG_DATUM(2), TIMESTAMPTZOID, live_input(query, n)->type);
		push_lookup(&state, query, inputs, nulls);
	}
	if (!first)
		report_no_set(PG_GETARG_OID(0), name);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* What risk.rolling_history() returns. */
typedef struct Historian
{
	const LiveQuery *query;
	ReturnSetInfo *result;
	MemoryContext row;
} Historian;

static void
put_event(void *arg, Oid table, ItemPointer row, const double *results, const bool *nulls)
{
	Historian  *historian = arg;
	MemoryContext caller = MemoryContextSwitchTo(historian->row);
	JsonbParseState *state = NULL;
	Datum		values[3];
	bool		value_nulls[3] = {false};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_results(&state, historian->query, results, nulls);
	values[0] = ObjectIdGetDatum(table);
	values[1] = PointerGetDatum(row);
	values[2] = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	tuplestore_putvalues(historian->result->setResult, historian->result->setDesc, values, value_nulls);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(historian->row);
}

PG_FUNCTION_INFO_V1(risk_rolling_history);

/* risk.rolling_history(source, set, from, to, known_as_of): of all events. */
Datum
risk_rolling_history(PG_FUNCTION_ARGS)
{
	Oid			source = PG_GETARG_OID(0);
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Problem		problem = {0};
	List	   *queries = live_queries(source, NULL, 0, &problem);
	ListCell   *cell;

	if (problem.sqlstate)
		problem_raise(&problem);
	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, queries)
	{
		LiveQuery  *query = lfirst(cell);
		Oid			type = live_input(query, live_num_keys(query))->type;
		Historian	historian = {
			.query = query,
			.result = (ReturnSetInfo *) fcinfo->resultinfo,
			.row = AllocSetContextCreate(CurrentMemoryContext, "pg_risk history row", ALLOCSET_DEFAULT_SIZES)
		};

		if (strcmp(live_set(query), name) == 0)
			live_replay(query, DatumGetTimestamp(convert(PG_GETARG_DATUM(2), TIMESTAMPTZOID, type)),
						DatumGetTimestamp(convert(PG_GETARG_DATUM(3), TIMESTAMPTZOID, type)),
						PG_GETARG_BOOL(4), put_event, &historian);
		MemoryContextDelete(historian.row);
	}
	return (Datum) 0;
}

/* ---- making tiles ---- */

/* A set's query.  Errors: 42704 no such set. */
static LiveQuery *
set_query(FunctionCallInfo fcinfo, const char *name)
{
	ListCell   *cell;

	foreach(cell, call_queries(fcinfo, PG_GETARG_OID(0)))
	{
		if (strcmp(live_set(lfirst(cell)), name) == 0)
			return lfirst(cell);
	}
	report_no_set(PG_GETARG_OID(0), name);
	return NULL;
}

PG_FUNCTION_INFO_V1(risk_tile_key);

/* risk.tile_key(source, name, key): a key as risk.rolling_tiles has it. */
Datum
risk_tile_key(PG_FUNCTION_ARGS)
{
	LiveQuery  *query = set_query(fcinfo, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	Datum	   *inputs;
	bool	   *nulls;
	bytea	   *key = NULL;
	bool		whole = true;

	allocate_inputs(query, &inputs, &nulls);
	compound_key(query, PG_GETARG_DATUM(2), RECORDOID, inputs, nulls);
	for (int i = 0; i < live_num_keys(query); i++)
		whole = whole && !nulls[i];
	if (whole)
		key = tiling_key(query, inputs);
	if (!key)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(key);
}

PG_FUNCTION_INFO_V1(risk_advance_tiles);

/* risk.advance_tiles(source, name, until, key): a step towards tiles. */
Datum
risk_advance_tiles(PG_FUNCTION_ARGS)
{
	char	   *name;
	LiveQuery  *query;
	Datum		until;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("source, name and until must not be null")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	query = set_query(fcinfo, name);
	until = convert(PG_GETARG_DATUM(2), TIMESTAMPTZOID, live_input(query, live_num_keys(query))->type);
	PG_RETURN_BOOL(tile_build_advance(PG_GETARG_OID(0), name, DatumGetTimestamp(until),
									  PG_ARGISNULL(3) ? NULL : PG_GETARG_BYTEA_P(3)));
}

PG_FUNCTION_INFO_V1(risk_require_no_transaction);

/* risk.require_no_transaction(), called by a procedure: PostgreSQL's own error, at the
 * first COMMIT, does not say what to do. */
Datum
risk_require_no_transaction(PG_FUNCTION_ARGS)
{
	if (!SPI_inside_nonatomic_context())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("risk.refresh_rolling_features() cannot run inside a transaction block, a function or a block with EXCEPTION"),
				 errhint("It commits as it goes: CALL it with autocommit on, or from procedures that are CALLed so.")));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(risk_tiles_kept);

/* risk.tiles_kept(source, name) */
Datum
risk_tiles_kept(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(tile_build_kept(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

PG_FUNCTION_INFO_V1(risk_tiles_problem);

/* risk.tiles_problem(source, name) */
Datum
risk_tiles_problem(PG_FUNCTION_ARGS)
{
	char	   *problem = tiling_problem(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1)));

	if (!problem)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}
