/*
 * rolling_table.c
 *		risk.rolling_table(): rolling features of all rows of a table or query.
 *
 * The source is read once, as the caller, in whatever order it comes.  Its rows
 * are put into the order of key and time (rolling_rows.c) and go through the
 * engine one by one as they are asked for (table_function.h).
 *
 * The caller's column definition list says what is wanted: each of its columns is
 * a feature, by name, or else a column of the source, which is passed on.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "rolling_names.h"
#include "rolling_rows.h"
#include "rolling_run.h"
#include "rolling_table.h"
#include "source.h"

enum
{
	ARG_SOURCE = 0,
	ARG_KEY,
	ARG_TIME,
	ARG_VALUE,
	ARG_WINDOWS,
	ARG_AGGREGATES,
	ARG_DELAY
};

/* A numeric of so many digits is in a float8 what it is. */
#define MOST_DIGITS		15

/* A feature that the arguments allow. */
typedef struct Candidate
{
	char	   *name;
	RollingItem item;
	Interval	width;
} Candidate;

/* The columns of the query are those of the key, the time, values, ids, and what is
 * passed on.  Of a row is kept: values as the engine wants them, ids, what is
 * passed on. */
typedef struct RollingTable
{
	MemoryContext context;
	MemoryContext scratch;		/* reset with each row */
	TupleDesc	result;
	int			num_keys;
	int			num_candidates;
	Candidate  *candidates;
	Interval	delay;
	int		   *places;			/* [result->natts]: a feature, or -1 - which of
								 * num_passed */
	bool	   *whole;			/* [result->natts]: the feature is bigint */
	int			num_passed;
	int			num_columns;		/* of values in the query, */
	const char **column_names;
	const char **id_names;		/* and of ids, [spec.num_ids] */
	RollingItem *items;			/* [spec.num_features], as they were asked for */
	RollingAsked *asked;
	RollingWindow *windows;
	RollingColumn *values;		/* [spec.num_values] for the engine: */
	int		   *from;			/* which of num_columns, */
	Oid		   *types;			/* of what type that is, */
	uint64	   *divisors;		/* as it is or in units of its last digit */
	bool	   *decimals;
	RollingColumn *ids;
	Datum	   *kept;			/* of a row */
	bool	   *kept_nulls;
	RollingRunSpec spec;
	RollingRows *rows;
	RollingRun *run;
	RollingPart part;			/* of the rows, with features in the run, */
	int			next;			/* and which of them is next */
} RollingTable;

/* The receiver of the source's rows. */
typedef struct Receiver
{
	DestReceiver receiver;		/* first */
	RollingTable *table;
} Receiver;

/* ---- the arguments ---- */

static char *
text_argument(const NullableDatum *args, int arg, const char *name)
{
	if (args[arg].isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of risk.rolling_table() must not be null", name)));
	return TextDatumGetCString(args[arg].value);
}

/* The elements of an array of a fixed type, none of them NULL. */
static int
array_argument(const NullableDatum *args, int arg, const char *name, Oid type, int16 length, char align,
			   Datum **elements)
{
	bool	   *nulls;
	int			count = 0;

	if (!args[arg].isnull)
		deconstruct_array(DatumGetArrayTypeP(args[arg].value), type, length, false, align, elements, &nulls, &count);
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
columns_argument(const NullableDatum *args, int arg, const char *name)
{
	char	   *text = text_argument(args, arg, name);
	List	   *columns;

	if (!SplitIdentifierString(pstrdup(text), ',', &columns) || columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("%s of risk.rolling_table() is not a column: \"%s\"", name, text),
				 errhint("Write the name of a column, in double quotes as in SQL where it needs them. To use an expression, give a query as source.")));
	return columns;
}

static char *
column_argument(const NullableDatum *args, int arg, const char *name)
{
	List	   *columns = columns_argument(args, arg, name);

	if (list_length(columns) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("%s of risk.rolling_table() is more than one column", name),
				 errhint("Other columns of values stand in the aggregates: sum(column).")));
	return linitial(columns);
}

/* Every feature that windows and aggregates allow, with its name. */
static void
read_candidates(RollingTable *table, const NullableDatum *args, const char *key, const char *value)
{
	Datum	   *widths;
	Datum	   *texts;
	int			num_texts = array_argument(args, ARG_AGGREGATES, "aggregates", TEXTOID, -1, TYPALIGN_INT, &texts);
	int			num_widths = array_argument(args, ARG_WINDOWS, "windows", INTERVALOID, sizeof(Interval),
											TYPALIGN_DOUBLE, &widths);

	if (args[ARG_DELAY].isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("delay of risk.rolling_table() must not be null")));
	table->delay = *DatumGetIntervalP(args[ARG_DELAY].value);
	rolling_check_delay(&table->delay);
	for (int i = 0; i < num_widths; i++)
		rolling_check_window(DatumGetIntervalP(widths[i]));
	table->candidates = palloc(num_widths * num_texts * sizeof(Candidate));
	for (int k = 0; k < num_texts; k++)
	{
		RollingItem item = rolling_read_item(TextDatumGetCString(texts[k]), value);

		for (int i = 0; i < num_widths; i++)
		{
			const Interval *width = DatumGetIntervalP(widths[i]);
			char	   *name = rolling_feature_name(key, &item, width, &table->delay);

			truncate_identifier(name, strlen(name), false);
			table->candidates[table->num_candidates++] = (Candidate) {name, item, *width};
		}
	}
}

/* The features' names with their types, as a column definition list has them. */
static char *
candidate_list(const RollingTable *table)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < table->num_candidates; i++)
		appendStringInfo(&list, "%s%s %s", i > 0 ? ", " : "", quote_identifier(table->candidates[i].name),
						 format_type_be(rolling_item_type(&table->candidates[i].item)));
	return list.data;
}

/* The index of a name; added if it is not there. */
static int
add_name(const char **names, int *count, const char *name)
{
	int			i = 0;

	while (i < *count && strcmp(names[i], name) != 0)
		i++;
	if (i == *count)
		names[(*count)++] = name;
	return i;
}

/* Have a feature computed; returns its place. */
static int
add_feature(RollingTable *table, const Candidate *candidate)
{
	RollingRunSpec *spec = &table->spec;
	const RollingItem *item = &candidate->item;
	RollingAsked *asked = &table->asked[spec->num_features];

	*asked = (RollingAsked) {.aggregate = item->aggregate,.change = item->change};
	asked->window = rolling_add_window(table->windows, &spec->num_windows, &candidate->width, &table->delay, item->change);
	if (rolling_takes_id(item->aggregate))
		asked->column = add_name(table->id_names, &spec->num_ids, item->column);
	else if (rolling_takes_value(item->aggregate))
		asked->column = add_name(table->column_names, &table->num_columns, item->column);
	if (item->tau != NULL)
		asked->tau = rolling_check_tau(item->tau);
	table->items[spec->num_features] = *item;
	return spec->num_features++;
}

/* The candidate of a name, from one on; num_candidates: there is none. */
static int
find_candidate(const RollingTable *table, const char *name, int from)
{
	while (from < table->num_candidates && strcmp(table->candidates[from].name, name) != 0)
		from++;
	return from;
}

/* Find the features among the caller's columns. */
static void
match_features(RollingTable *table)
{
	int			n = table->result->natts;

	table->places = palloc(n * sizeof(int));
	table->whole = palloc(n * sizeof(bool));
	table->items = palloc(n * sizeof(RollingItem));
	table->asked = palloc(n * sizeof(RollingAsked));
	table->windows = palloc((2 * n + 1) * sizeof(RollingWindow));
	table->column_names = palloc(n * sizeof(char *));
	table->id_names = palloc(n * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute column = TupleDescAttr(table->result, i);
		int			k = find_candidate(table, NameStr(column->attname), 0);

		if (find_candidate(table, NameStr(column->attname), k + 1) < table->num_candidates)
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_COLUMN),
					 errmsg("feature \"%s\" is there more than once", NameStr(column->attname)),
					 errhint("Names end after %d bytes, and do not tell tau. Give one such aggregate and window in a call, or a query with shorter names of columns as source.", NAMEDATALEN - 1)));
		table->whole[i] = column->atttypid == INT8OID;
		table->places[i] = k < table->num_candidates ? add_feature(table, &table->candidates[k]) : -1;
		if (k < table->num_candidates && column->atttypid != rolling_item_type(&table->candidates[k].item))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("feature \"%s\" is of type %s, not %s", NameStr(column->attname),
							format_type_be(rolling_item_type(&table->candidates[k].item)),
							format_type_be(column->atttypid)),
					 errhint("Features that can be in the column definition list: %s.", candidate_list(table))));
	}
	/* The engine wants one, also if there are only columns to pass on. */
	if (table->spec.num_windows == 0)
		(void) rolling_add_window(table->windows, &table->spec.num_windows, &table->candidates[0].width, &table->delay, false);
}

/* The query for the source's rows; what is wanted of them into the table. */
static char *
make_query(RollingTable *table, const NullableDatum *args)
{
	char	   *source = text_argument(args, ARG_SOURCE, "source");
	List	   *keys = columns_argument(args, ARG_KEY, "key");
	char	   *time = column_argument(args, ARG_TIME, "event_time");
	char	   *value = args[ARG_VALUE].isnull ? NULL : column_argument(args, ARG_VALUE, "value");
	StringInfoData key;
	StringInfoData query;
	ListCell   *cell;

	initStringInfo(&key);
	initStringInfo(&query);
	foreach(cell, keys)
	{
		appendStringInfo(&key, "%s%s", key.len > 0 ? "_" : "", (char *) lfirst(cell));
		appendStringInfo(&query, "%s source.%s,", query.len > 0 ? "" : "SELECT", quote_identifier(lfirst(cell)));
	}
	appendStringInfo(&query, " source.%s", quote_identifier(time));
	table->num_keys = list_length(keys);
	read_candidates(table, args, key.data, value);
	match_features(table);
	for (int i = 0; i < table->num_columns; i++)
		appendStringInfo(&query, ", source.%s", quote_identifier(table->column_names[i]));
	for (int i = 0; i < table->spec.num_ids; i++)
		appendStringInfo(&query, ", source.%s", quote_identifier(table->id_names[i]));
	for (int i = 0; i < table->result->natts; i++)
		if (table->places[i] < 0)
		{
			table->places[i] = -1 - table->num_passed++;
			appendStringInfo(&query, ", source.%s", quote_identifier(NameStr(TupleDescAttr(table->result, i)->attname)));
		}
	appendStringInfo(&query, " FROM %s", source_from_item(source));
	return query.data;
}

/* ---- the source ---- */

static RollingColumn
column_of(TupleDesc source, int column)
{
	Form_pg_attribute attribute = TupleDescAttr(source, column);

	return (RollingColumn) {getBaseType(attribute->atttypid), attribute->attcollation};
}

/* Values are numbers or conditions. */
static void
check_value(const RollingItem *item, Oid type)
{
	if (item->condition ? type != BOOLOID : !rolling_is_number(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("wrong type of column in %s(%s): %s", item->name, item->column, format_type_be(type)),
				 errhint("A share is of a boolean column, the other aggregates of values are of numbers or booleans; a query as source can have a condition or conversion as column.")));
}

/* What sums of numeric(p, s) are of integers of: 10^s.  Else 1. */
static uint64
divisor_of(Form_pg_attribute column)
{
	int			precision = (column->atttypmod - VARHDRSZ) >> 16 & 0xffff;
	int			scale = (column->atttypmod - VARHDRSZ) & 0x7ff;	/* negative: great */
	uint64		divisor = 1;

	if (column->atttypid != NUMERICOID || column->atttypmod < VARHDRSZ || precision > MOST_DIGITS || scale > MOST_DIGITS)
		return 1;
	while (scale-- > 0)
		divisor *= 10;
	return divisor;
}

/* The engine's column of values for a feature; added if it is not there.  Numerics
 * and bigints whose sums are asked stay what they are, others become float8. */
static int
add_column(RollingTable *table, int from, RollingColumn column, uint64 divisor, bool summed)
{
	int			i = 0;

	while (i < table->spec.num_values && (table->from[i] != from || table->divisors[i] != divisor))
		i++;
	if (i == table->spec.num_values)
	{
		table->from[i] = from;
		table->types[i] = column.type;
		table->values[i] = (RollingColumn) {FLOAT8OID, InvalidOid};
		table->divisors[i] = divisor;
		table->decimals[i] = false;
		table->spec.num_values++;
	}
	if (summed && divisor == 1 && (column.type == NUMERICOID || column.type == INT8OID))
		table->values[i] = column;
	return i;
}

/* The engine's columns of values. */
static void
make_columns(RollingTable *table, TupleDesc source)
{
	int			room = 2 * table->num_columns + 1;

	table->from = palloc(room * sizeof(int));
	table->values = palloc(room * sizeof(RollingColumn));
	table->types = palloc(room * sizeof(Oid));
	table->divisors = palloc(room * sizeof(uint64));
	table->decimals = palloc(room * sizeof(bool));
	for (int i = 0; i < table->spec.num_features; i++)
	{
		RollingAsked *asked = &table->asked[i];
		int			place = table->num_keys + 1 + asked->column;
		uint64		divisor = 1;
		RollingColumn column;

		if (!rolling_takes_value(asked->aggregate))
			continue;
		column = column_of(source, place);
		check_value(&table->items[i], column.type);
		if (asked->aggregate == ROLLING_SUM)
			divisor = divisor_of(TupleDescAttr(source, place));
		asked->column = add_column(table, asked->column, column, divisor,
								   asked->aggregate == ROLLING_SUM || asked->aggregate == ROLLING_AVG);
	}
}

/* What is passed on is of the type that the caller says. */
static void
check_passed(const RollingTable *table, TupleDesc source)
{
	for (int i = 0; i < table->result->natts; i++)
	{
		Form_pg_attribute wanted = TupleDescAttr(table->result, i);
		Form_pg_attribute column;

		if (table->places[i] >= 0)
			continue;
		column = TupleDescAttr(source, source->natts - table->num_passed - 1 - table->places[i]);
		if (column->atttypid != wanted->atttypid)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of the source is of type %s, not %s", NameStr(wanted->attname),
							format_type_be(column->atttypid), format_type_be(wanted->atttypid)),
					 errhint("Write its type in the column definition list.")));
	}
}

/* What is kept of a row. */
static TupleDesc
kept_columns(RollingTable *table, TupleDesc source)
{
	int			num_values = table->spec.num_values;
	int			rest = table->spec.num_ids + table->num_passed;
	TupleDesc	columns = CreateTemplateTupleDesc(num_values + rest);

	for (int i = 0; i < num_values; i++)
		TupleDescInitEntry(columns, i + 1, NULL, table->values[i].type, -1, 0);
	for (int i = 0; i < rest; i++)
		TupleDescCopyEntry(columns, num_values + i + 1, source, source->natts - rest + i + 1);
	table->kept = palloc((columns->natts + 1) * sizeof(Datum));
	table->kept_nulls = palloc((columns->natts + 1) * sizeof(bool));
	return columns;
}

/* What the query's columns are, before its first row. */
static void
receive_columns(DestReceiver *self, int operation, TupleDesc source)
{
	RollingTable *table = ((Receiver *) self)->table;
	RollingRunSpec *spec = &table->spec;
	MemoryContext before = MemoryContextSwitchTo(table->context);

	spec->time_type = column_of(source, table->num_keys).type;
	if (!rolling_is_time(spec->time_type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("event_time is of type %s", format_type_be(spec->time_type)),
				 errhint("It must be timestamptz, timestamp or date.")));
	make_columns(table, source);
	table->ids = palloc((spec->num_ids + 1) * sizeof(RollingColumn));
	for (int i = 0; i < spec->num_ids; i++)
		table->ids[i] = column_of(source, table->num_keys + 1 + table->num_columns + i);
	check_passed(table, source);
	table->rows = rolling_rows_create(table->context, source, table->num_keys, kept_columns(table, source));
	MemoryContextSwitchTo(before);
}

/* A value as the engine wants it. */
static Datum
engine_value(RollingTable *table, int column, Datum value)
{
	Oid			type = table->types[column];
	double		number;

	if (type == FLOAT8OID)
		return value;
	if (type == table->values[column].type)
	{
		table->decimals[column] |= rolling_is_decimal(type, value);
		return value;
	}
	number = rolling_float8(type, value);
	return Float8GetDatum(table->divisors[column] == 1 ? number : rint(number * table->divisors[column]));
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RollingTable *table = ((Receiver *) self)->table;
	int			num_values = table->spec.num_values;
	int			rest = table->num_keys + 1 + table->num_columns;
	MemoryContext before = MemoryContextSwitchTo(table->scratch);

	slot_getallattrs(slot);
	for (int i = 0; i < num_values; i++)
	{
		int			column = table->num_keys + 1 + table->from[i];

		table->kept_nulls[i] = slot->tts_isnull[column];
		if (!table->kept_nulls[i])
			table->kept[i] = engine_value(table, i, slot->tts_values[column]);
	}
	for (int i = 0; i < table->spec.num_ids + table->num_passed; i++)
	{
		table->kept[num_values + i] = slot->tts_values[rest + i];
		table->kept_nulls[num_values + i] = slot->tts_isnull[rest + i];
	}
	rolling_rows_add(table->rows, slot, table->kept, table->kept_nulls);
	MemoryContextSwitchTo(before);
	MemoryContextReset(table->scratch);
	return true;
}

static void
receive_nothing(DestReceiver *self)
{
}

static void
rewind_rows(void *call)
{
	RollingTable *table = call;

	rolling_rows_rewind(table->rows);
	rolling_run_reset(table->run);
	table->part.count = table->next = 0;
}

/* An error about the query may be one about a feature's name: which there are. */
static void
explain(void *argument)
{
	errcontext("risk.rolling_table() with features %s", candidate_list(argument));
}

/* Read the source; result: what is wanted, by the names of its columns.  Errors: 42703
 * a column is neither feature nor in the source, 42702 it is two features, 42804 wrong
 * type, 42602 no column, 22004 an argument is NULL, 22023 no aggregate or window; the
 * source's own. */
static void *
begin(const TableFunction *function, const NullableDatum *args, TupleDesc result)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk rolling table", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	RollingTable *table = palloc0(sizeof(RollingTable));
	Receiver	receiver = {{receive_row, receive_columns, receive_nothing, receive_nothing, DestNone}, table};
	ErrorContextCallback callback = {.previous = error_context_stack,.callback = explain,.arg = table};
	char	   *query;
	Source	   *source;
	int64		range[2];

	table->context = context;
	table->scratch = AllocSetContextCreate(context, "pg_risk row", ALLOCSET_SMALL_SIZES);
	table->result = result;
	query = make_query(table, args);
	error_context_stack = &callback;
	source = source_open(query, &receiver.receiver, NULL);
	source_run(source);
	source_close(source);
	error_context_stack = callback.previous;

	table->spec.windows = table->windows;
	table->spec.features = table->asked;
	table->spec.values = table->values;
	table->spec.ids = table->ids;
	table->spec.decimals = table->decimals;
	table->spec.divisors = table->divisors;
	table->spec.range = rolling_rows_range(table->rows, range) ? range : NULL;
	table->run = rolling_run_create(context, &table->spec, ROLLING_BLOCK);
	rolling_rows_sort(table->rows);
	MemoryContextSwitchTo(before);
	rewind_rows(table);
	return table;
}

/* ---- the rows ---- */

/* The features of rows that have a time into table->run. */
static void
ask(RollingTable *table, const RollingPart *part)
{
	RollingRun *run = table->run;
	int			num_values = table->spec.num_values;

	if (part->new_key)
		rolling_run_reset(run);
	for (int k = 0; k < part->count; k++)
	{
		const RollingRow *row = &part->rows[k];

		run->times[k] = row->time;
		for (int i = 0; i < num_values; i++)
			rolling_run_set_value(run, k, i, row->values[i], row->nulls[i]);
		for (int i = 0; i < table->spec.num_ids; i++)
			rolling_run_set_id(run, k, i, row->values[num_values + i], row->nulls[num_values + i]);
	}
	rolling_run_step(run, part->count);
}

/* The next rows. */
static void
read_part(RollingTable *table)
{
	MemoryContext before = MemoryContextSwitchTo(table->scratch);

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(table->scratch);
	rolling_rows_read(table->rows, &table->part);
	if (table->part.count > 0 && !table->part.timeless)
		ask(table, &table->part);
	table->next = 0;
	MemoryContextSwitchTo(before);
}

static bool
next_row(void *call, Datum *values, bool *nulls)
{
	RollingTable *table = call;
	const RollingRun *run = table->run;
	const RollingRow *row;
	const double *results;
	const bool *no_results;
	int			first_passed = table->spec.num_values + table->spec.num_ids;

	if (table->next == table->part.count)
		read_part(table);
	if (table->part.count == 0)
		return false;
	row = &table->part.rows[table->next];
	results = run->results + table->next * run->num_results;
	no_results = run->no_results + table->next * run->num_results;
	table->next++;
	for (int i = 0; i < table->result->natts; i++)
	{
		int			k = table->places[i];

		if (k < 0)
		{
			values[i] = row->values[first_passed - 1 - k];
			nulls[i] = row->nulls[first_passed - 1 - k];
		}
		else
		{
			nulls[i] = table->part.timeless || no_results[k];
			if (!nulls[i])
				values[i] = table->whole[i] ? Int64GetDatum((int64) results[k]) : Float8GetDatum(results[k]);
		}
	}
	return true;
}

static void
end(void *call)
{
	RollingTable *table = call;

	rolling_rows_end(table->rows);
	MemoryContextDelete(table->context);
}

PG_FUNCTION_INFO_V1(risk_rolling_table);

const TableFunction rolling_table_function = {risk_rolling_table, "rolling_table", begin, next_row, rewind_rows, end};

/* risk.rolling_table(source, key, event_time, value, windows, aggregates, delay) */
Datum
risk_rolling_table(PG_FUNCTION_ARGS)
{
	return table_function_call(&rolling_table_function, fcinfo);
}
