/*
 * rolling_table.c
 *		risk.rolling_table(): rolling features of all rows of a table or query.
 *
 * The source is read once, as the caller, by a query that orders it by key and
 * time: its executor sorts within work_mem, or follows an index.  Each row goes
 * from there through the engine into a tuplestore, which spills to disk beyond
 * work_mem; the engine holds what the longest window of one key needs.
 *
 * The caller's column definition list says what is wanted: each of its columns is
 * a feature, by name, or else a column of the source, which is passed on.
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/varlena.h"

#include "rolling_names.h"
#include "rolling_run.h"
#include "source.h"

enum
{
	ARG_SOURCE = 0,
	ARG_KEY,
	ARG_TIME,
	ARG_VALUE,
	ARG_WINDOWS,
	ARG_AGGREGATES
};

/* A feature that the arguments allow, and where the caller wants it. */
typedef struct Candidate
{
	char	   *name;
	RollingFeature feature;
} Candidate;

/* A column of the key: how to compare it, and its value in the latest row. */
typedef struct KeyColumn
{
	FmgrInfo	equal;
	Oid			collation;
	int16		length;
	bool		by_value;
	Datum		value;
} KeyColumn;

/* The receiver of the source's rows. */
typedef struct Table
{
	DestReceiver receiver;		/* first */
	MemoryContext context;
	MemoryContext row;			/* reset with each row */
	Tuplestorestate *store;
	TupleDesc	result;
	int			num_keys;		/* columns of the query: these, */
	bool		has_value;		/* the time, the value if there is one, */
	KeyColumn  *keys;			/* and what is passed on */
	int			num_candidates;
	Candidate  *candidates;
	int			num_windows;
	RollingWindow *windows;
	int		   *places;			/* [result->natts]: a feature, or -1 - the column */
	RollingRunSpec spec;
	RollingRun *run;
	bool		begun;			/* a key is in keys */
	bool		id;				/* the value is counted, not added */
	Datum	   *values;			/* [result->natts] */
	bool	   *nulls;
} Table;

/* ---- the arguments ---- */

static char *
text_argument(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of risk.rolling_table() must not be null", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

/* The elements of an array of a fixed type, none of them NULL. */
static int
array_argument(FunctionCallInfo fcinfo, int arg, const char *name, Oid type, int16 length, char align,
			   Datum **elements)
{
	bool	   *nulls;
	int			count = 0;

	if (!PG_ARGISNULL(arg))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(arg), type, length, false, align, elements, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (nulls[i])
			count = 0;
	if (count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of risk.rolling_table() must have at least one element, and none that is null", name)));
	return count;
}

/* Names of columns, as SQL reads them. */
static List *
columns_argument(FunctionCallInfo fcinfo, int arg, const char *name)
{
	char	   *text = text_argument(fcinfo, arg, name);
	List	   *columns;

	if (!SplitIdentifierString(pstrdup(text), ',', &columns) || columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("%s of risk.rolling_table() is not a column: \"%s\"", name, text),
				 errhint("Write the name of a column, in double quotes as in SQL where it needs them. To use an expression, give a query as source.")));
	return columns;
}

/* Every feature that windows and aggregates allow, with its name. */
static void
read_candidates(FunctionCallInfo fcinfo, Table *table, const char *key, const char *value)
{
	Datum	   *widths;
	Datum	   *names;
	int			num_names = array_argument(fcinfo, ARG_AGGREGATES, "aggregates", TEXTOID, -1, TYPALIGN_INT, &names);

	table->num_windows = array_argument(fcinfo, ARG_WINDOWS, "windows", INTERVALOID, sizeof(Interval),
										TYPALIGN_DOUBLE, &widths);
	table->windows = palloc0(table->num_windows * sizeof(RollingWindow));
	table->candidates = palloc0(table->num_windows * num_names * sizeof(Candidate));
	for (int i = 0; i < table->num_windows; i++)
	{
		table->windows[i].width = *DatumGetIntervalP(widths[i]);
		rolling_check_window(&table->windows[i].width);
		for (int k = 0; k < num_names; k++)
		{
			RollingAggregate aggregate = rolling_aggregate_named(TextDatumGetCString(names[k]));
			Candidate  *candidate = &table->candidates[table->num_candidates++];

			if (aggregate == ROLLING_DECAYED_DISTINCT)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("risk.rolling_table() does not have aggregate \"decayed_distinct\""),
						 errhint("Use the window function risk.decayed_distinct().")));
			if (value == NULL && (rolling_takes_value(aggregate) || rolling_takes_id(aggregate)))
				ereport(ERROR,
						(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						 errmsg("aggregate \"%s\" of risk.rolling_table() needs a value", rolling_aggregate_name(aggregate))));
			candidate->feature = (RollingFeature) {aggregate, i, 0, 0};
			candidate->name = rolling_feature_name(key, aggregate, value, &table->windows[i].width);
			truncate_identifier(candidate->name, strlen(candidate->name), false);
		}
	}
}

/* The features' names with their types, as a column definition list has them. */
static char *
candidate_list(const Table *table)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < table->num_candidates; i++)
		appendStringInfo(&list, "%s%s %s", i > 0 ? ", " : "", quote_identifier(table->candidates[i].name),
						 format_type_be(rolling_result_type(table->candidates[i].feature.aggregate)));
	return list.data;
}

/* Find the features among the caller's columns. */
static void
match_features(Table *table)
{
	RollingFeature *features = palloc0(table->result->natts * sizeof(RollingFeature));

	table->places = palloc(table->result->natts * sizeof(int));
	for (int i = 0; i < table->result->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(table->result, i);
		int			k = 0;

		while (k < table->num_candidates && strcmp(table->candidates[k].name, NameStr(column->attname)) != 0)
			k++;
		table->places[i] = k < table->num_candidates ? table->spec.num_features : -1;
		if (k == table->num_candidates)
			continue;
		features[table->spec.num_features++] = table->candidates[k].feature;
		if (column->atttypid != rolling_result_type(table->candidates[k].feature.aggregate))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("feature \"%s\" is of type %s, not %s", NameStr(column->attname),
							format_type_be(rolling_result_type(table->candidates[k].feature.aggregate)),
							format_type_be(column->atttypid)),
					 errhint("Features that can be in the column definition list: %s.", candidate_list(table))));
	}
	table->spec.num_windows = table->num_windows;
	table->spec.windows = table->windows;
	table->spec.features = features;
}

/* Whether a feature that is wanted adds values up, or counts different ones. */
static bool
wants(const Table *table, bool (*takes) (RollingAggregate))
{
	for (int i = 0; i < table->spec.num_features; i++)
		if (takes(table->spec.features[i].aggregate))
			return true;
	return false;
}

/* What the query needs besides key and time: the value, and what is passed on. */
static void
append_columns(StringInfo query, Table *table, const char *value)
{
	bool		number = wants(table, rolling_takes_value);
	int			columns = table->num_keys + 1;

	table->id = wants(table, rolling_takes_id);
	table->has_value = number || table->id;
	if (number && table->id)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("risk.rolling_table() cannot both add up and count the different values of one column"),
				 errhint("Call it once for each, or use the window functions.")));
	if (table->has_value)
	{
		appendStringInfo(query, ", source.%s%s", quote_identifier(value), number ? "::pg_catalog.float8" : "");
		columns++;
	}
	for (int i = 0; i < table->result->natts; i++)
		if (table->places[i] < 0)
		{
			table->places[i] = -1 - columns++;
			appendStringInfo(query, ", source.%s", quote_identifier(NameStr(TupleDescAttr(table->result, i)->attname)));
		}
}

/* The query for the source's rows; what is wanted of them into the table. */
static char *
make_query(FunctionCallInfo fcinfo, Table *table)
{
	char	   *source = text_argument(fcinfo, ARG_SOURCE, "source");
	List	   *keys = columns_argument(fcinfo, ARG_KEY, "key");
	char	   *time = linitial(columns_argument(fcinfo, ARG_TIME, "event_time"));
	char	   *value = PG_ARGISNULL(ARG_VALUE) ? NULL : linitial(columns_argument(fcinfo, ARG_VALUE, "value"));
	StringInfoData key;
	StringInfoData columns;
	StringInfoData order;
	ListCell   *cell;

	initStringInfo(&key);
	initStringInfo(&columns);
	initStringInfo(&order);
	foreach(cell, keys)
	{
		appendStringInfo(&key, "%s%s", key.len > 0 ? "_" : "", (char *) lfirst(cell));
		appendStringInfo(&order, "%ssource.%s", order.len > 0 ? ", " : "", quote_identifier(lfirst(cell)));
	}
	appendStringInfo(&order, ", source.%s", quote_identifier(time));
	table->num_keys = list_length(keys);
	read_candidates(fcinfo, table, key.data, value);
	match_features(table);
	append_columns(&columns, table, value);
	return psprintf("SELECT %s%s FROM %s ORDER BY %s", order.data, columns.data,
					source_from_item(source), order.data);
}

/* ---- the rows ---- */

/* What the query's columns are, before its first row. */
static void
table_startup(DestReceiver *self, int operation, TupleDesc source)
{
	Table	   *table = (Table *) self;
	MemoryContext before = MemoryContextSwitchTo(table->context);
	Form_pg_attribute time = TupleDescAttr(source, table->num_keys);

	table->keys = palloc0(table->num_keys * sizeof(KeyColumn));
	for (int i = 0; i < table->num_keys; i++)
	{
		Form_pg_attribute column = TupleDescAttr(source, i);
		TypeCacheEntry *type = lookup_type_cache(column->atttypid, TYPECACHE_EQ_OPR_FINFO);

		fmgr_info_copy(&table->keys[i].equal, &type->eq_opr_finfo, table->context);
		table->keys[i].collation = column->attcollation;
		table->keys[i].length = column->attlen;
		table->keys[i].by_value = column->attbyval;
	}
	if (!rolling_is_time(time->atttypid))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("event_time is of type %s", format_type_be(time->atttypid)),
				 errhint("It must be timestamptz, timestamp or date.")));
	for (int i = 0; i < table->result->natts; i++)
	{
		Form_pg_attribute wanted = TupleDescAttr(table->result, i);
		Form_pg_attribute column = table->places[i] >= 0 ? wanted : TupleDescAttr(source, -1 - table->places[i]);

		if (column->atttypid != wanted->atttypid)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of the source is of type %s, not %s", NameStr(wanted->attname),
							format_type_be(column->atttypid), format_type_be(wanted->atttypid)),
					 errhint("Write its type in the column definition list.")));
	}
	table->spec.time_type = time->atttypid;
	if (table->id)
	{
		table->spec.id_type = TupleDescAttr(source, table->num_keys + 1)->atttypid;
		table->spec.collation = TupleDescAttr(source, table->num_keys + 1)->attcollation;
	}
	else
		table->spec.num_columns = table->has_value;
	table->run = rolling_run_create(table->context, &table->spec);
	MemoryContextSwitchTo(before);
}

/* Whether a row has the key of the one before it. */
static bool
same_key(Table *table, const TupleTableSlot *slot)
{
	for (int i = 0; i < table->num_keys; i++)
	{
		KeyColumn  *key = &table->keys[i];

		if (slot->tts_isnull[i] || !table->begun)
			return false;
		if (!datumIsEqual(slot->tts_values[i], key->value, key->by_value, key->length) &&
			!DatumGetBool(FunctionCall2Coll(&key->equal, key->collation, slot->tts_values[i], key->value)))
			return false;
	}
	return true;
}

/* Another key begins; one with a NULL has no history and no successor. */
static void
begin_key(Table *table, const TupleTableSlot *slot)
{
	MemoryContext before = MemoryContextSwitchTo(table->context);
	bool		begun = table->begun;

	rolling_run_reset(table->run);
	table->begun = true;
	for (int i = 0; i < table->num_keys; i++)
	{
		KeyColumn  *key = &table->keys[i];

		if (begun && !key->by_value)
			pfree(DatumGetPointer(key->value));
		key->value = slot->tts_isnull[i] ? (Datum) 0 :
			datumCopy(slot->tts_values[i], key->by_value, key->length);
		table->begun &= !slot->tts_isnull[i];
	}
	if (!table->begun)
		for (int i = 0; i < table->num_keys; i++)
			if (!slot->tts_isnull[i] && !table->keys[i].by_value)
				pfree(DatumGetPointer(table->keys[i].value));
	MemoryContextSwitchTo(before);
}

/* The features of a row that has a time into table->run. */
static void
ask(Table *table, const TupleTableSlot *slot)
{
	RollingRun *run = table->run;
	int			value = table->num_keys + 1;

	if (!same_key(table, slot))
		begin_key(table, slot);
	run->time = rolling_time(slot->tts_values[table->num_keys], run->spec.time_type);
	if (table->id)
		rolling_run_set_id(run, slot->tts_values[value], slot->tts_isnull[value]);
	else if (table->has_value)
	{
		run->nulls[0] = slot->tts_isnull[value];
		run->values[0] = run->nulls[0] ? 0 : DatumGetFloat8(slot->tts_values[value]);
	}
	rolling_run_step(run);
}

static bool
table_receive(TupleTableSlot *slot, DestReceiver *self)
{
	Table	   *table = (Table *) self;
	const RollingRun *run = table->run;
	MemoryContext before = MemoryContextSwitchTo(table->row);
	bool		timeless;

	slot_getallattrs(slot);
	timeless = slot->tts_isnull[table->num_keys];
	if (!timeless)
		ask(table, slot);
	for (int i = 0; i < table->result->natts; i++)
	{
		int			k = table->places[i];

		if (k < 0)
		{
			table->values[i] = slot->tts_values[-1 - k];
			table->nulls[i] = slot->tts_isnull[-1 - k];
			continue;
		}
		table->nulls[i] = timeless || run->no_results[k];
		if (!table->nulls[i])
			table->values[i] = rolling_result_type(table->spec.features[k].aggregate) == INT8OID ?
				Int64GetDatum((int64) run->results[k]) : Float8GetDatum(run->results[k]);
	}
	tuplestore_putvalues(table->store, table->result, table->values, table->nulls);
	MemoryContextSwitchTo(before);
	MemoryContextReset(table->row);
	return true;
}

static void
table_nothing(DestReceiver *self)
{
}

/* An error about the query may be one about a feature's name: which there are. */
static void
explain(void *argument)
{
	errcontext("risk.rolling_table() with features %s", candidate_list(argument));
}

PG_FUNCTION_INFO_V1(risk_rolling_table);

/* (source, key, event_time, value, windows, aggregates) */
Datum
risk_rolling_table(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	ErrorContextCallback callback = {.previous = error_context_stack,.callback = explain};
	Table	   *table = palloc0(sizeof(Table));
	char	   *query;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	table->receiver = (DestReceiver) {table_receive, table_startup, table_nothing, table_nothing, DestTuplestore};
	table->context = CurrentMemoryContext;
	table->row = AllocSetContextCreate(CurrentMemoryContext, "pg_risk row", ALLOCSET_SMALL_SIZES);
	table->store = info->setResult;
	table->result = info->setDesc;
	table->values = palloc0(table->result->natts * sizeof(Datum));
	table->nulls = palloc0(table->result->natts * sizeof(bool));
	query = make_query(fcinfo, table);

	callback.arg = table;
	error_context_stack = &callback;
	source_read(query, &table->receiver, NULL);
	error_context_stack = callback.previous;
	return (Datum) 0;
}
