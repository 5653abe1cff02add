/*
 * live_events.c
 *		The events of declared rolling features, read for a lookup or a training
 *		set.
 *
 * A lookup reads the raw rows of the key from the oldest bound of its windows
 * up to the event, through the index, by a saved plan, as the current user: row
 * security and column privileges hold.  It sees what the statement sees; in a
 * trigger also the rows that the statement itself has written before.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "tcop/dest.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "compat.h"
#include "live_query.h"
#include "rolling_names.h"

/* ---- reading events ---- */

/* The operator that makes two values of a type one key. */
static const char *
equality(Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(entry->eq_opr));
	Form_pg_operator operator;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("values of type %s cannot be compared", format_type_be(type))));
	operator = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(operator->oprnamespace)),
					  NameStr(operator->oprname));
	ReleaseSysCache(tuple);
	return result;
}

/* A column of times as moments. */
static char *
moment(const char *column, Oid type)
{
	return psprintf("%s::pg_catalog.%s", quote_identifier(column),
					LIVE_MOMENT_TYPE(type) == TIMESTAMPTZOID ? "timestamptz" : "timestamp");
}

/* "SELECT columns FROM source".  Which row it is, only who may SELECT the whole
 * table can see. */
static void
select_events(StringInfo sql, const LiveQuery *query, bool row, bool known, bool keys)
{
	appendStringInfo(sql, "SELECT %s, %s, ", row ? "tableoid, ctid" : "NULL, NULL",
					 moment(query->inputs[query->num_keys].column, query->spec.time_type));
	appendStringInfoString(sql, known ? moment(query->known_time, query->known_type) : "NULL");
	for (int i = 0; i < query->spec.num_values + query->spec.num_ids + query->num_needed; i++)
		appendStringInfo(sql, ", %s", query->columns[i] ? quote_identifier(query->columns[i]) : "NULL::pg_catalog.bool");
	for (int i = 0; keys && i < query->num_keys; i++)
		appendStringInfo(sql, ", %s", quote_identifier(query->inputs[i].column));
	appendStringInfo(sql, " FROM %s", quote_qualified_identifier(get_namespace_name(get_rel_namespace(query->source)),
																 get_rel_name(query->source)));
}

/* The plan that reads the events of a key between two times. */
static SPIPlanPtr
lookup_plan(const LiveQuery *query, bool row)
{
	StringInfoData sql;
	const char *time = quote_identifier(query->inputs[query->num_keys].column);
	int			n = query->num_keys;
	Oid		   *types = palloc(sizeof(Oid) * (n + 2));
	SPIPlanPtr	plan;

	initStringInfo(&sql);
	select_events(&sql, query, row, false, false);
	appendStringInfoString(&sql, " WHERE ");
	for (int i = 0; i < n; i++)
	{
		types[i] = query->inputs[i].type;
		appendStringInfo(&sql, "%s %s $%d AND ", quote_identifier(query->inputs[i].column),
						 equality(types[i]), i + 1);
	}
	types[n] = types[n + 1] = query->spec.time_type;
	appendStringInfo(&sql, "%s OPERATOR(pg_catalog.>=) $%d AND %s OPERATOR(pg_catalog.<) $%d ORDER BY %s",
					 time, n + 1, time, n + 2, time);
	plan = SPI_prepare_cursor(sql.data, n + 2, types, CURSOR_OPT_GENERIC_PLAN);
	if (!plan || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data, SPI_result_code_string(SPI_result));
	return plan;
}

/* Put what conditions say of an event where the values of columns would be: among values, ids
 * and the columns that they need. */
void
live_evaluate(const LiveQuery *query, Datum *values, bool *nulls)
{
	ExprContext *evaluation = query->evaluation;
	int			begin = query->spec.num_values + query->spec.num_ids;
	TupleTableSlot *slot;

	if (!evaluation)
		return;
	ResetExprContext(evaluation);
	slot = ExecClearTuple(evaluation->ecxt_scantuple);
	for (int i = 0; i < query->num_needed; i++)
	{
		slot->tts_values[query->needed[i] - 1] = values[begin + i];
		slot->tts_isnull[query->needed[i] - 1] = nulls[begin + i];
	}
	ExecStoreVirtualTuple(slot);
	for (int i = 0; i < query->spec.num_values; i++)
	{
		if (query->conditions[i].state)
			values[i] = ExecEvalExprSwitchContext(query->conditions[i].state, evaluation, &nulls[i]);
	}
}

/* Where the rows of a plan go: to who takes them, but for one row. */
typedef struct Collector
{
	DestReceiver receiver;
	const LiveQuery *query;
	const LiveView *view;
	LiveTake	take;
	void	   *arg;
} Collector;

static void
begin_collecting(DestReceiver *self, int operation, TupleDesc tupdesc)
{
}

static void
end_collecting(DestReceiver *self)
{
}

static bool
collect(TupleTableSlot *slot, DestReceiver *self)
{
	Collector  *collector = (Collector *) self;
	const LiveView *view = collector->view;
	Datum	   *values;

	slot_getallattrs(slot);
	values = slot->tts_values;
	if (view->old_row && DatumGetObjectId(values[EVENT_TABLE]) == view->old_table &&
		ItemPointerEquals((ItemPointer) DatumGetPointer(values[EVENT_ROW]), view->old_row))
		return true;
	live_evaluate(collector->query, values + EVENT_VALUES, slot->tts_isnull + EVENT_VALUES);
	collector->take(collector->arg, DatumGetTimestamp(values[EVENT_TIME]),
					values + EVENT_VALUES, slot->tts_isnull + EVENT_VALUES);
	return true;
}

static void
execute(SPIPlanPtr plan, int num_parameters, const Oid *types, const Datum *parameters, DestReceiver *receiver)
{
	ParamListInfo params = makeParamList(num_parameters);
	SPIExecuteOptions options = {.params = params,.read_only = true,.dest = receiver};
	int			result;

	for (int i = 0; i < num_parameters; i++)
	{
		ParamExternData *param = &params->params[i];

		param->value = parameters[i];
		param->isnull = false;
		param->pflags = PARAM_FLAG_CONST;
		param->ptype = types[i];
	}
	result = SPI_execute_plan_extended(plan, &options);
	if (result < 0)
		elog(ERROR, "could not read events: %s", SPI_result_code_string(result));
}

/*
 * The same, planned for the index: a plan that was made while the table was
 * small, or had no statistics, would go on to read all of it as it grows.  Where
 * there is no index, its cost must not make the few rows wait for a compiler.  And
 * for the one in order of time, not one that has all columns but no order: of a hot
 * key it would go over all events.
 */
static void
execute_by_index(SPIPlanPtr plan, int num_parameters, const Oid *types, const Datum *parameters,
				 DestReceiver *receiver)
{
	bool		seqscan = enable_seqscan;
	bool		sort = enable_sort;
	bool		jit = jit_enabled;

	PG_TRY();
	{
		enable_seqscan = false;
		enable_sort = false;
		jit_enabled = false;
		execute(plan, num_parameters, types, parameters, receiver);
	}
	PG_FINALLY();
	{
		enable_seqscan = seqscan;
		enable_sort = sort;
		jit_enabled = jit;
	}
	PG_END_TRY();
}

/* Take the events of a key that are within ranges, by time, by a SELECT of each. */
static void
select_scan(LiveQuery *query, const Datum *key, const LiveRange *ranges, int num_ranges,
			const LiveView *view, LiveTake take, void *arg)
{
	int			n = query->num_keys;
	Datum	   *parameters = palloc(sizeof(Datum) * (n + 2));
	Oid		   *types = palloc(sizeof(Oid) * (n + 2));
	SPIPlanPtr *plan = view->old_row ? &query->row_plan : &query->plan;
	Collector	collector = {
		.receiver = {collect, begin_collecting, end_collecting, end_collecting, DestNone},
		.query = query,
		.view = view,
		.take = take,
		.arg = arg
	};

	for (int i = 0; i < n; i++)
	{
		parameters[i] = key[i];
		types[i] = query->inputs[i].type;
	}
	types[n] = types[n + 1] = query->spec.time_type;

	SPI_connect();
	if (!*plan)
	{
		(void) live_detaching(query->source);
		*plan = lookup_plan(query, view->old_row != NULL);
	}
	for (int i = 0; i < num_ranges; i++)
	{
		parameters[n] = TimestampGetDatum(ranges[i].lower);
		parameters[n + 1] = TimestampGetDatum(ranges[i].upper);
		execute_by_index(*plan, n + 2, types, parameters, &collector.receiver);
	}
	SPI_finish();
}

/* Take the events of a key that are within ranges, which are in order of time, as
 * the active snapshot and the current user see them. */
void
live_scan(LiveQuery *query, const Datum *key, const LiveRange *ranges, int num_ranges,
		  const LiveView *view, LiveTake take, void *arg)
{
	if (!live_index_usable(query) || !live_index_scan(query, key, ranges, num_ranges, view, take, arg))
		select_scan(query, key, ranges, num_ranges, view, take, arg);
}

/* What takes the events of a lookup: a history, and the reading is noted. */
typedef struct Reader
{
	History    *history;
	LiveReading reading;
} Reader;

static void
read_event(void *arg, int64 time, const Datum *values, const bool *nulls)
{
	Reader	   *reader = arg;

	live_note_read(&reader->reading, time);
	history_add(reader->history, time, HISTORY_ALWAYS, values, nulls);
}

/* Answer a lookup from the events that the windows of the moment can reach. */
static void
read_lookup(LiveQuery *query, const Datum *inputs, const bool *input_nulls, bool has_key,
			const LiveView *view, double *results, bool *nulls)
{
	int			n = query->num_keys;
	int64		time = DatumGetTimestamp(inputs[n]);
	int64	   *lower = palloc(sizeof(int64) * query->spec.num_windows);
	int64	   *upper = palloc(sizeof(int64) * query->spec.num_windows);
	Reader		reader = {.history = history_create(&query->spec)};

	history_bounds(&query->spec, time, lower, upper);
	for (int i = 1; i < query->spec.num_windows; i++)
	{
		lower[0] = Min(lower[0], lower[i]);
		upper[0] = Max(upper[0], upper[i]);
	}
	if (has_key)
	{
		live_scan(query, inputs, &(LiveRange) {lower[0], upper[0]}, 1, view, read_event, &reader);
		live_note_lookup(query, inputs, time, false, &reader.reading);
	}
	history_ask(reader.history, time, inputs + n + 1, input_nulls + n + 1, HISTORY_EVERYTHING, results, nulls);
}

/* May the current user SELECT what a lookup reads? */
static bool
can_select(const LiveQuery *query, bool row)
{
	AttrNumber	system[] = {TableOidAttributeNumber, SelfItemPointerAttributeNumber};
	int			num_columns = query->spec.num_values + query->spec.num_ids + query->num_needed;

	if (pg_class_aclcheck(query->source, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return true;
	for (int i = 0; i < query->num_keys + 1 + num_columns; i++)
	{
		const char *name = i <= query->num_keys ? query->inputs[i].column : query->columns[i - query->num_keys - 1];

		if (name && pg_attribute_aclcheck(query->source, get_attnum(query->source, name), GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	for (int i = 0; row && i < lengthof(system); i++)
	{
		if (pg_attribute_aclcheck(query->source, system[i], GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	return true;
}

/* What will keep the current user from reading the table, as reading would say it. */
static bool
can_read(const LiveQuery *query, bool row, Problem *problem)
{
	Oid			schema = get_rel_namespace(query->source);

	if (!OidIsValid(schema))
		problem_set(problem, ERRCODE_UNDEFINED_TABLE,
					psprintf("the table of rolling features \"%s\" is gone", query->set), NULL);
	else if (compat_schema_aclcheck(schema, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		problem_set(problem, ERRCODE_INSUFFICIENT_PRIVILEGE,
					psprintf("permission denied for schema %s", get_namespace_name(schema)), NULL);
	else if (!can_select(query, row))
		problem_set(problem, ERRCODE_INSUFFICIENT_PRIVILEGE,
					psprintf("permission denied for table %s", get_rel_name(query->source)),
					psprintf("Rolling features \"%s\" need SELECT on the columns of their key, event time and values.", query->set));
	else if (!row_security && check_enable_rls(query->source, InvalidOid, true) == RLS_ENABLED)
		problem_set(problem, ERRCODE_INSUFFICIENT_PRIVILEGE,
					psprintf("query would be affected by row-level security policy for table \"%s\"",
							 get_rel_name(query->source)), NULL);
	return problem->sqlstate == 0;
}

/* Look as the view says: at what the statement sees, or at what its command
 * has done so far as well. */
static bool
push_view(const LiveView *view)
{
	if (!ActiveSnapshotSet())
		PushActiveSnapshot(GetTransactionSnapshot());
	else if (view->own_command)
	{
		CommandCounterIncrement();
		PushCopiedSnapshot(GetActiveSnapshot());
		UpdateActiveSnapshotCommandId();
	}
	else
		return false;
	return true;
}

/*
 * The features of a query for a row, of which inputs has what it needs; the
 * ids' inputs are NULL for no event.
 *
 * Problems: 22004 no event time, 42501 the current user may not read the table,
 * 42P01 it is gone.  Errors: whatever else reading it raises.
 */
bool
live_lookup(LiveQuery *query, const Datum *inputs, const bool *input_nulls, const LiveView *view,
			double *results, bool *nulls, Problem *problem)
{
	int			n = query->num_keys;
	MemoryContext context;
	MemoryContext caller;
	bool		has_key = true;
	bool		pushed;

	if (input_nulls[n])
	{
		problem_set(problem, ERRCODE_NULL_VALUE_NOT_ALLOWED,
					psprintf("event time \"%s\" is null, so rolling features \"%s\" are not known",
							 query->inputs[n].column, query->set),
					"Fill the column before the row is scored, for example by a default.");
		return false;
	}
	live_prepare(query);
	if (!can_read(query, view->old_row != NULL, problem))
		return false;
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk lookup", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++)
		has_key &= !input_nulls[i];
	pushed = has_key && push_view(view);
	if (!has_key || !live_tiled_lookup(query, inputs, DatumGetTimestamp(inputs[n]), view, results, nulls))
		read_lookup(query, inputs, input_nulls, has_key, view, results, nulls);
	if (pushed)
		PopActiveSnapshot();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return true;
}

/* ---- all events of a table ---- */

typedef struct Replayer
{
	DestReceiver receiver;
	LiveQuery  *query;
	MemoryContext rows;			/* of the key at hand: */
	int64		from;
	bool		as_known;
	History    *history;
	int64		count;
	int64		capacity;
	Oid		   *tables;
	ItemPointerData *tids;
	int64	   *times;
	int64	   *known;
	Datum	   *own;			/* [capacity][num_ids] */
	bool	   *own_nulls;
	Datum	   *key;			/* [num_keys] */
	bool	   *key_nulls;
	FmgrInfo   *equal;			/* [num_keys] */
	LiveReport	report;
	void	   *arg;
	double	   *results;
	bool	   *nulls;
} Replayer;

/* Report the events of the key at hand, and forget them. */
static void
finish_key(Replayer *r)
{
	int			num_ids = r->query->spec.num_ids;

	for (int64 i = 0; i < r->count; i++)
	{
		if (r->times[i] < r->from)
			continue;
		CHECK_FOR_INTERRUPTS();
		history_ask(r->history, r->times[i], r->own + i * num_ids, r->own_nulls + i * num_ids,
					r->as_known && r->known[i] != HISTORY_ALWAYS ? r->known[i] : HISTORY_EVERYTHING,
					r->results, r->nulls);
		r->report(r->arg, r->tables[i], &r->tids[i], r->results, r->nulls);
	}
	history_reset(r->history);
	MemoryContextReset(r->rows);
	r->count = r->capacity = 0;
	r->tables = NULL;
	r->tids = NULL;
	r->times = r->known = NULL;
	r->own = NULL;
	r->own_nulls = NULL;
}

static void *
enlarge(Replayer *r, void *array, Size size)
{
	size = Max(size, 1) * r->capacity;
	return array ? repalloc_huge(array, size) : MemoryContextAllocExtended(r->rows, size, MCXT_ALLOC_HUGE);
}

/* Is an event one of the key at hand?  Events without a key are alone. */
static bool
same_key(const Replayer *r, const Datum *key, const bool *nulls)
{
	for (int i = 0; i < r->query->num_keys; i++)
	{
		if (r->key_nulls[i] || nulls[i] ||
			!DatumGetBool(FunctionCall2Coll(&r->equal[i], r->query->key_collations[i], r->key[i], key[i])))
			return false;
	}
	return true;
}

static void
begin_key(Replayer *r, const Datum *key, const bool *nulls)
{
	MemoryContext caller = MemoryContextSwitchTo(r->rows);

	for (int i = 0; i < r->query->num_keys; i++)
	{
		int16		length;
		bool		by_value;

		get_typlenbyval(r->query->inputs[i].type, &length, &by_value);
		r->key_nulls[i] = nulls[i];
		if (!nulls[i])
			r->key[i] = datumCopy(key[i], by_value, length);
	}
	MemoryContextSwitchTo(caller);
}

/* Take an event of the table, which come by key and time. */
static bool
replay(TupleTableSlot *slot, DestReceiver *self)
{
	Replayer   *r = (Replayer *) self;
	const HistorySpec *spec = &r->query->spec;
	int			keys = EVENT_VALUES + spec->num_values + spec->num_ids + r->query->num_needed;
	int			ids = EVENT_VALUES + spec->num_values;
	const Datum *values;
	const bool *nulls;
	int64		i;

	slot_getallattrs(slot);
	live_evaluate(r->query, slot->tts_values + EVENT_VALUES, slot->tts_isnull + EVENT_VALUES);
	values = slot->tts_values;
	nulls = slot->tts_isnull;
	if (r->count > 0 && !same_key(r, values + keys, nulls + keys))
		finish_key(r);
	if (r->count == 0)
		begin_key(r, values + keys, nulls + keys);
	if (r->count == r->capacity)
	{
		r->capacity = Max(r->capacity * 2, 64);
		r->tables = enlarge(r, r->tables, sizeof(Oid));
		r->tids = enlarge(r, r->tids, sizeof(ItemPointerData));
		r->times = enlarge(r, r->times, sizeof(int64));
		r->known = enlarge(r, r->known, sizeof(int64));
		r->own = enlarge(r, r->own, sizeof(Datum) * spec->num_ids);
		r->own_nulls = enlarge(r, r->own_nulls, sizeof(bool) * spec->num_ids);
	}
	i = r->count++;
	r->tables[i] = DatumGetObjectId(values[EVENT_TABLE]);
	r->tids[i] = *(ItemPointer) DatumGetPointer(values[EVENT_ROW]);
	r->times[i] = DatumGetTimestamp(values[EVENT_TIME]);
	r->known[i] = nulls[EVENT_KNOWN] ? HISTORY_ALWAYS : DatumGetTimestamp(values[EVENT_KNOWN]);
	for (int j = 0; j < spec->num_ids; j++)
	{
		MemoryContext caller = MemoryContextSwitchTo(r->rows);
		int16		length;
		bool		by_value;

		get_typlenbyval(spec->ids[j].type, &length, &by_value);
		r->own_nulls[i * spec->num_ids + j] = nulls[ids + j];
		r->own[i * spec->num_ids + j] = nulls[ids + j] ? (Datum) 0 : datumCopy(values[ids + j], by_value, length);
		MemoryContextSwitchTo(caller);
	}
	history_add(r->history, r->times[i], r->known[i], values + EVENT_VALUES, nulls + EVENT_VALUES);
	return true;
}

/* The plan that reads all events between two times by key and time. */
static SPIPlanPtr
replay_plan(const LiveQuery *query)
{
	StringInfoData sql;
	const char *time = quote_identifier(query->inputs[query->num_keys].column);
	Oid			types[2] = {query->spec.time_type, query->spec.time_type};
	SPIPlanPtr	plan;

	initStringInfo(&sql);
	select_events(&sql, query, true, query->known_time != NULL, true);
	appendStringInfo(&sql, " WHERE %s OPERATOR(pg_catalog.>=) $1 AND %s OPERATOR(pg_catalog.<) $2 ORDER BY ",
					 time, time);
	for (int i = 0; i < query->num_keys; i++)
		appendStringInfo(&sql, "%s, ", quote_identifier(query->inputs[i].column));
	appendStringInfoString(&sql, time);
	plan = SPI_prepare(sql.data, 2, types);
	if (!plan)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data, SPI_result_code_string(SPI_result));
	return plan;
}

/* The earliest event that counts for one from a time on; bounds that depend on
 * the calendar can be a bit earlier for a later event. */
static int64
replay_begin(const HistorySpec *spec, int64 from)
{
	int64	   *lower = palloc(sizeof(int64) * spec->num_windows);
	int64	   *upper = palloc(sizeof(int64) * spec->num_windows);
	int64		slack = TIMESTAMP_NOT_FINITE(from) ? 0 : ROLLING_CALENDAR_SLACK;

	history_bounds(spec, from, lower, upper);
	for (int i = 1; i < spec->num_windows; i++)
		lower[0] = Min(lower[0], lower[i]);
	return lower[0] < MIN_TIMESTAMP + slack ? DT_NOBEGIN : lower[0] - slack;
}

/*
 * Report the features of each event of a query's table from one time to before
 * another; as_known: as the events' known times say.
 *
 * Errors: 55000 no known time is declared.
 */
void
live_replay(LiveQuery *query, int64 from, int64 to, bool as_known, LiveReport report, void *arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk replay", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Oid			types[2] = {query->spec.time_type, query->spec.time_type};
	Datum		parameters[2];
	Replayer	r = {
		.receiver = {replay, begin_collecting, end_collecting, end_collecting, DestNone},
		.query = query,
		.rows = AllocSetContextCreate(context, "pg_risk replayed key", ALLOCSET_DEFAULT_SIZES),
		.from = from,
		.as_known = as_known,
		.history = history_create(&query->spec),
		.key = palloc(sizeof(Datum) * query->num_keys),
		.key_nulls = palloc(sizeof(bool) * query->num_keys),
		.equal = palloc(sizeof(FmgrInfo) * query->num_keys),
		.results = palloc(sizeof(double) * query->spec.num_features),
		.nulls = palloc(sizeof(bool) * query->spec.num_features),
		.report = report,
		.arg = arg
	};

	live_prepare(query);
	if (as_known && !query->known_time)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rolling features \"%s\" have no known time", query->set),
				 errhint("Name the column that says when a row arrived with risk.alter_rolling_features(..., known_time => '...').")));
	for (int i = 0; i < query->num_keys; i++)
		fmgr_info_copy(&r.equal[i], &lookup_type_cache(query->inputs[i].type, TYPECACHE_EQ_OPR_FINFO)->eq_opr_finfo, context);
	/* Dates that no timestamp reaches are infinity, and so never before. */
	if (query->time_column == DATEOID)
		to = Min(to, END_TIMESTAMP - 1);
	parameters[0] = TimestampGetDatum(replay_begin(&query->spec, from));
	parameters[1] = TimestampGetDatum(to);
	SPI_connect();
	execute(replay_plan(query), 2, types, parameters, &r.receiver);
	SPI_finish();
	finish_key(&r);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
