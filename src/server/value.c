/*
 * value.c
 *		Values of SQL types as features: float32, NaN where a number is none.
 *
 * Conversions (docs/reference.md lists them): integers, real, boolean (0, 1)
 * directly; numeric and double precision as the nearest double, then float32,
 * as a DataFrame's columns are; date and timestamps as seconds since
 * 1970-01-01 UTC, intervals as seconds; text and enums as the category they
 * name.  What is not finite stays so; NaN and NULL are missing.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "value.h"

/* What the values of a type are, domains as their base type. */
ValueKind
value_kind(Oid type)
{
	Oid			base = getBaseType(type);

	switch (base)
	{
		case INT2OID:
			return VALUE_INT2;
		case INT4OID:
			return VALUE_INT4;
		case INT8OID:
			return VALUE_INT8;
		case FLOAT4OID:
			return VALUE_FLOAT4;
		case FLOAT8OID:
			return VALUE_FLOAT8;
		case NUMERICOID:
			return VALUE_NUMERIC;
		case BOOLOID:
			return VALUE_BOOL;
		case DATEOID:
			return VALUE_DATE;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return VALUE_TIMESTAMP;
		case INTERVALOID:
			return VALUE_INTERVAL;
		case TEXTOID:
		case VARCHAROID:
			return VALUE_TEXT;
		case BPCHAROID:
			return VALUE_BPCHAR;
		case NAMEOID:
			return VALUE_NAME;
		default:
			return get_typtype(base) == TYPTYPE_ENUM ? VALUE_ENUM : VALUE_UNSUPPORTED;
	}
}

/* From the epoch of Unix to that of PostgreSQL. */
#define EPOCH_DAYS		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)

static double
interval_seconds(const Interval *interval)
{
	if (INTERVAL_IS_NOBEGIN(interval))
		return -get_float8_infinity();
	if (INTERVAL_IS_NOEND(interval))
		return get_float8_infinity();

	/* As EXTRACT(EPOCH FROM interval): a year has 365.25 days, a month 30. */
	return (double) interval->time / USECS_PER_SEC
		+ (double) interval->day * SECS_PER_DAY
		+ (double) (interval->month / MONTHS_PER_YEAR) * (DAYS_PER_YEAR * SECS_PER_DAY)
		+ (double) (interval->month % MONTHS_PER_YEAR) * DAYS_PER_MONTH * SECS_PER_DAY;
}

static double
timestamp_seconds(Timestamp timestamp)
{
	if (TIMESTAMP_IS_NOBEGIN(timestamp))
		return -get_float8_infinity();
	if (TIMESTAMP_IS_NOEND(timestamp))
		return get_float8_infinity();
	/* Rounded once: as a difference of seconds, moments beside 1970 would be rounded like today. */
	return ((double) timestamp + EPOCH_DAYS * (double) USECS_PER_DAY) / USECS_PER_SEC;
}

static double
date_seconds(DateADT date)
{
	if (DATE_IS_NOBEGIN(date))
		return -get_float8_infinity();
	if (DATE_IS_NOEND(date))
		return get_float8_infinity();
	return ((double) date + EPOCH_DAYS) * SECS_PER_DAY;
}

/* The nearest double. */
double
value_of_numeric(Numeric numeric)
{
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											  NumericGetDatum(numeric)));
}

static int
enum_category(const CategoryMap *categories, Oid value)
{
	HeapTuple	tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(value));
	const char *label;
	int			code;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid internal value for enum: %u", value)));
	label = NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel);
	code = category_of_text(categories, label, strlen(label));
	ReleaseSysCache(tuple);
	return code;
}

/* The code of a category that text names. */
static int
text_category(const CategoryMap *categories, ValueKind kind, Datum value)
{
	text	   *string;
	int			length;
	int			code;

	if (kind == VALUE_ENUM)
		return enum_category(categories, DatumGetObjectId(value));
	if (kind == VALUE_NAME)
		return category_of_text(categories, NameStr(*DatumGetName(value)),
								strlen(NameStr(*DatumGetName(value))));

	string = DatumGetTextPP(value);
	length = VARSIZE_ANY_EXHDR(string);
	if (kind == VALUE_BPCHAR)
		length = bpchartruelen(VARDATA_ANY(string), length);
	code = category_of_text(categories, VARDATA_ANY(string), length);
	if ((Pointer) string != DatumGetPointer(value))
		pfree(string);
	return code;
}

/* The category that a number names; a fraction names none. */
static float
number_category(const CategoryMap *categories, double value)
{
	if (isnan(value))
		return get_float4_nan();
	if (value != floor(value) || fabs(value) >= 9.2e18)
		return CATEGORY_UNSEEN;
	return category_of_integer(categories, (int64) value);
}

/* A number as a feature; categories: those that it names, or NULL. */
float
value_number_feature(const CategoryMap *categories, double number)
{
	return categories ? number_category(categories, number) : (float) number;
}

/* A value that is not NULL as a feature. */
float
value_feature(ValueKind kind, const CategoryMap *categories, Datum value)
{
	double		number;

	if (value_is_text(kind))
		return text_category(categories, kind, value);

	switch (kind)
	{
		case VALUE_FLOAT4:
			number = DatumGetFloat4(value);
			break;
		case VALUE_FLOAT8:
			number = DatumGetFloat8(value);
			break;
		case VALUE_NUMERIC:
			number = value_of_numeric(DatumGetNumeric(value));
			break;
		case VALUE_INT2:
			number = DatumGetInt16(value);
			break;
		case VALUE_INT4:
			number = DatumGetInt32(value);
			break;
		case VALUE_INT8:
			if (categories)
				return category_of_integer(categories, DatumGetInt64(value));
			return (float) DatumGetInt64(value);	/* rounded once */
		case VALUE_BOOL:
			number = DatumGetBool(value) ? 1 : 0;
			break;
		case VALUE_DATE:
			number = date_seconds(DatumGetDateADT(value));
			break;
		case VALUE_TIMESTAMP:
			number = timestamp_seconds(DatumGetTimestamp(value));
			break;
		case VALUE_INTERVAL:
			number = interval_seconds(DatumGetIntervalP(value));
			break;
		default:
			number = get_float8_nan();
			break;
	}
	return value_number_feature(categories, number);
}
