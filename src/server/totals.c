/*
 * totals.c
 *		What a set of events adds up to, exactly: so totals depend on the events
 *		alone, and those of a window are the difference of two running ones.
 *
 * Results have the bits of history.c's: each is rounded once.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "compat.h"
#include "history.h"
#include "rolling_decimal.h"
#include "totals.h"

/* Empty ones, in the current memory context. */
Totals *
totals_create(const TotalsColumn *columns, int num_columns)
{
	Totals	   *totals = palloc0(offsetof(Totals, of) + sizeof(Total) * num_columns);

	totals->num_columns = num_columns;
	totals->columns = columns;
	totals->context = CurrentMemoryContext;
	for (int i = 0; i < num_columns; i++)
	{
		Total	   *total = &totals->of[i];

		exact_init(&total->sum);
		exact_init(&total->rounded);
		exact_init(&total->squares);
		if (columns[i].type == NUMERICOID)
			total->decimal = NumericGetDatum(int64_to_numeric(0));
	}
	return totals;
}

/* Add to the sum of the numerics, or take away. */
static void
add_decimal(const Totals *totals, Total *total, Datum value, int sign)
{
	MemoryContext caller = MemoryContextSwitchTo(totals->context);
	Datum		before = total->decimal;

	total->decimal = DirectFunctionCall2(sign > 0 ? numeric_add : numeric_sub, before, value);
	pfree(DatumGetPointer(before));
	MemoryContextSwitchTo(caller);
}

static void
add_numeric(const Totals *totals, Total *total, Datum value, int sign)
{
	Numeric		number = DatumGetNumeric(value);

	if (numeric_is_nan(number))
		total->nans += sign;
	else if (!numeric_is_inf(number))
		add_decimal(totals, total, value, sign);
	else if (DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value)) > 0)
		total->infinities += sign;
	else
		total->negative_infinities += sign;
}

static void
add_number(ExactSum *sum, Oid type, Datum value, double number, int sign)
{
	if (type == INT8OID)
	{
		int64		integer = DatumGetInt64(value);
		uint64		magnitude = integer < 0 ? -(uint64) integer : integer;

		(void) exact_add_integer(sum, (integer < 0) != (sign < 0), &magnitude, 1, 0);
	}
	else if (sign > 0)
		exact_add(sum, number);
	else
		exact_subtract(sum, number);
}

/* Add an event, or take it away: sign is 1 or -1. */
void
totals_event(Totals *totals, const Datum *values, const bool *nulls, int sign)
{
	totals->events += sign;
	for (int i = 0; i < totals->num_columns; i++)
	{
		const TotalsColumn *column = &totals->columns[i];
		Total	   *total = &totals->of[i];
		double		number;

		if (nulls[i])
			continue;
		total->values += sign;
		if (column->type == NUMERICOID)
			add_numeric(totals, total, values[i], sign);
		if (column->type == NUMERICOID && !column->squares)
			continue;
		number = rolling_float8(column->type, values[i]);
		if (column->type != NUMERICOID)
			add_number(&total->sum, column->type, values[i], number, sign);
		if (column->squares)
		{
			add_number(&total->rounded, FLOAT8OID, (Datum) 0, number, sign);
			if (sign > 0)
				exact_add_square(&total->squares, number);
			else
				exact_subtract_square(&total->squares, number);
		}
	}
}

/* Add others, or take them away. */
void
totals_merge(Totals *totals, const Totals *other, int sign)
{
	void		(*merge) (ExactSum *, const ExactSum *) = sign > 0 ? exact_merge : exact_unmerge;

	totals->events += sign * other->events;
	for (int i = 0; i < totals->num_columns; i++)
	{
		Total	   *total = &totals->of[i];
		const Total *added = &other->of[i];

		total->values += sign * added->values;
		if (totals->columns[i].type == NUMERICOID)
		{
			add_decimal(totals, total, added->decimal, sign);
			total->nans += sign * added->nans;
			total->infinities += sign * added->infinities;
			total->negative_infinities += sign * added->negative_infinities;
		}
		else
			merge(&total->sum, &added->sum);
		if (totals->columns[i].squares)
		{
			merge(&total->rounded, &added->rounded);
			merge(&total->squares, &added->squares);
		}
	}
}

/* ---- the stored form: for each column what is added up, each with its length ---- */

static void
put_bytes(StringInfo stored, const void *bytes, uint16 length)
{
	appendBinaryStringInfo(stored, (const char *) &length, sizeof(length));
	appendBinaryStringInfo(stored, bytes, length);
}

static void
put_sum(StringInfo stored, const ExactSum *sum)
{
	uint8		bytes[EXACT_MAX_BYTES];

	put_bytes(stored, bytes, exact_store(sum, bytes));
}

/* All but the number of events. */
bytea *
totals_store(const Totals *totals)
{
	StringInfoData stored;

	initStringInfo(&stored);
	appendStringInfoSpaces(&stored, VARHDRSZ);
	for (int i = 0; i < totals->num_columns; i++)
	{
		const Total *total = &totals->of[i];

		appendBinaryStringInfo(&stored, (const char *) &total->values, sizeof(int64));
		if (totals->columns[i].type == NUMERICOID)
		{
			int64		special[] = {total->nans, total->infinities, total->negative_infinities};
			bool		any = special[0] || special[1] || special[2];

			put_bytes(&stored, DatumGetPointer(total->decimal), VARSIZE(DatumGetPointer(total->decimal)));
			put_bytes(&stored, special, any ? sizeof(special) : 0);
		}
		else
			put_sum(&stored, &total->sum);
		if (totals->columns[i].squares)
		{
			put_sum(&stored, &total->rounded);
			put_sum(&stored, &total->squares);
		}
	}
	SET_VARSIZE(stored.data, stored.len);
	return (bytea *) stored.data;
}

/* What is left to read of a stored form. */
typedef struct Stored
{
	const char *next;
	const char *end;
} Stored;

void
totals_report_damage(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("totals of rolling features are damaged"),
			 errhint("TRUNCATE risk.rolling_tilings, risk.rolling_tiles, risk.rolling_deltas, risk.rolling_distincts: they are made anew.")));
}

static const void *
get_raw(Stored *stored, Size length)
{
	const char *result = stored->next;

	if (stored->end - stored->next < length)
		totals_report_damage();
	stored->next += length;
	return result;
}

static const void *
get_bytes(Stored *stored, uint16 *length)
{
	memcpy(length, get_raw(stored, sizeof(*length)), sizeof(*length));
	return get_raw(stored, *length);
}

static void
get_sum(Stored *stored, ExactSum *sum)
{
	uint16		length;
	const void *bytes = get_bytes(stored, &length);

	if (!exact_load(sum, bytes, length))
		totals_report_damage();
}

static void
get_decimal(Stored *stored, const Totals *totals, Total *total)
{
	int64		special[3] = {0};
	uint16		length;
	const void *bytes = get_bytes(stored, &length);
	char	   *decimal = MemoryContextAlloc(totals->context, length);

	memcpy(decimal, bytes, length);
	pfree(DatumGetPointer(total->decimal));
	total->decimal = PointerGetDatum(decimal);
	bytes = get_bytes(stored, &length);
	if (length == sizeof(special))
		memcpy(special, bytes, length);
	total->nans = special[0];
	total->infinities = special[1];
	total->negative_infinities = special[2];
}

/* Errors: XX001 not such a form. */
void
totals_load(Totals *totals, int64 events, const bytea *bytes)
{
	Stored		stored = {VARDATA_ANY(bytes), VARDATA_ANY(bytes) + VARSIZE_ANY_EXHDR(bytes)};

	totals->events = events;
	for (int i = 0; i < totals->num_columns; i++)
	{
		Total	   *total = &totals->of[i];

		memcpy(&total->values, get_raw(&stored, sizeof(int64)), sizeof(int64));
		if (totals->columns[i].type == NUMERICOID)
			get_decimal(&stored, totals, total);
		else
			get_sum(&stored, &total->sum);
		if (totals->columns[i].squares)
		{
			get_sum(&stored, &total->rounded);
			get_sum(&stored, &total->squares);
		}
	}
}

/* ---- results ---- */

bool
totals_result(const Totals *totals, RollingAggregate aggregate, int column, double *result)
{
	const Total *total = &totals->of[column];
	bool		decimal = totals->columns[column].type == NUMERICOID;

	if (aggregate == ROLLING_STDDEV)
	{
		if (total->values < 2)
			return false;
		*result = exact_stddev(&total->rounded, &total->squares, total->values);
		return true;
	}
	if (aggregate == ROLLING_AVG && total->values == 0)
		return false;
	if (decimal)
	{
		Datum		sum = rolling_decimal_value(total->decimal, total->nans, total->infinities, total->negative_infinities);

		*result = aggregate == ROLLING_AVG ? rolling_decimal_avg(sum, total->values) :
			DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, sum));
	}
	else
		*result = aggregate == ROLLING_AVG ? exact_avg(&total->sum, total->values) : exact_sum(&total->sum);
	return true;
}
