/*
 * rolling_names.c
 *		What all rolling features have in common, however they are asked for:
 *		bounds of windows, names of windows, aggregates and features.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "rolling_names.h"
#include "rolling_run.h"

/* What is asked for by a name of its own, after the core's aggregates. */
enum
{
	SHARE = ROLLING_DECAYED_DISTINCT + 1,
	CHANGE
};

static const struct
{
	const char *name;
	const char *abbreviation;	/* in a feature's name */
	bool		value;
	bool		id;
	Oid			type;
}			aggregates[] = {
	[ROLLING_COUNT] = {"count", "cnt", false, false, INT8OID},
	[ROLLING_SUM] = {"sum", "sum", true, false, FLOAT8OID},
	[ROLLING_AVG] = {"avg", "avg", true, false, FLOAT8OID},
	[ROLLING_STDDEV] = {"stddev", "stddev", true, false, FLOAT8OID},
	[ROLLING_MIN] = {"min", "min", true, false, FLOAT8OID},
	[ROLLING_MAX] = {"max", "max", true, false, FLOAT8OID},
	[ROLLING_LAST] = {"last", "last", true, false, FLOAT8OID},
	[ROLLING_SINCE_LAST] = {"since_last", "since_last", false, false, FLOAT8OID},
	[ROLLING_DISTINCT] = {"distinct", "distinct", false, true, INT8OID},
	[ROLLING_DECAYED_DISTINCT] = {"decayed_distinct", "decayed_distinct", false, true, FLOAT8OID},
	[SHARE] = {"share", "share", true, false, FLOAT8OID},
	[CHANGE] = {"change", "change", false, false, FLOAT8OID},
};

/* ---- times ---- */

bool
rolling_is_time(Oid type)
{
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

int64
rolling_time(Datum value, Oid type)
{
	int			overflow;

	return type == DATEOID ? date2timestamp_opt_overflow(DatumGetDateADT(value), &overflow) : DatumGetTimestamp(value);
}

bool
rolling_has_calendar(const Interval *interval, Oid type)
{
	return interval->month != 0 || (interval->day != 0 && type == TIMESTAMPTZOID);
}

/*
 * Whether days are of 24 hours from two days before a time to two days after
 * another, in the session's time zone.  Between two of its changes they are; the
 * latest pair that was looked up is remembered.
 */
bool
rolling_is_steady(int64 from, int64 to)
{
	static const pg_tz *zone = NULL;
	static int64 begin = 0;
	static int64 end = 0;

	if (from < MIN_TIMESTAMP + 4 * USECS_PER_DAY)
		return false;
	from -= 2 * USECS_PER_DAY;
	if (zone != session_timezone || from < begin || from >= end)
	{
		pg_time_t	start = timestamptz_to_time_t(from);
		pg_time_t	boundary;
		long		offset;
		int			dst;
		int			changes = pg_next_dst_boundary(&start, &offset, &dst, &boundary, &offset, &dst, session_timezone);

		if (changes < 0)
			return false;
		zone = session_timezone;
		begin = from;
		end = changes == 0 ? PG_INT64_MAX : time_t_to_timestamptz(boundary);
	}
	return to < end - 2 * USECS_PER_DAY;
}

static char *
interval_text(const Interval *interval)
{
	return DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)));
}

/* time - interval by PostgreSQL's calendar; the first of all times, if that is earlier.  The
 * functions hold nothing when they refuse, so this needs no subtransaction. */
static int64
calendar_before(int64 time, const Interval *interval, Oid type)
{
	MemoryContext context = CurrentMemoryContext;
	int64		result;

	PG_TRY();
	{
		result = DatumGetTimestamp(DirectFunctionCall2(type == TIMESTAMPTZOID ?
													   timestamptz_mi_interval : timestamp_mi_interval,
													   TimestampGetDatum(time),
													   IntervalPGetDatum(interval)));
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_DATETIME_VALUE_OUT_OF_RANGE)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		result = MIN_TIMESTAMP;
	}
	PG_END_TRY();
	return result;
}

/*
 * What needs no calendar is subtracted here, as PostgreSQL would with a function
 * call more.  An hour that a time zone leaves out can put the result above the time:
 * nothing is in between then.
 */
int64
rolling_time_before(int64 time, const Interval *interval, Oid type)
{
	int64		result;

	if (interval->month == 0 && !TIMESTAMP_NOT_FINITE(time) &&
		!pg_sub_s64_overflow(time, interval->time, &result) &&
		!pg_sub_s64_overflow(result, interval->day * USECS_PER_DAY, &result) &&
		IS_VALID_TIMESTAMP(result) &&
		(!rolling_has_calendar(interval, type) || rolling_is_steady(result, time)))
		return result;
	return Min(calendar_before(time, interval, type), time);
}

/* ---- windows ---- */

/* Finite, and no part of it below zero. */
static bool
is_forward(const Interval *interval)
{
	return interval->month >= 0 && interval->day >= 0 && interval->time >= 0 &&
		!INTERVAL_IS_NOBEGIN(interval) && !INTERVAL_IS_NOEND(interval);
}

bool
rolling_is_zero(const Interval *interval)
{
	return interval->month == 0 && interval->day == 0 && interval->time == 0;
}

void
rolling_check_window(const Interval *window)
{
	if (!is_forward(window) || rolling_is_zero(window))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("window must be longer than zero: %s", interval_text(window)),
				 errhint("A window is a finite interval without negative parts, such as interval '1 hour' or interval '7 days'.")));
}

void
rolling_check_delay(const Interval *delay)
{
	if (!is_forward(delay))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("delay must not be negative: %s", interval_text(delay)),
				 errhint("With a delay the window ends so long before the event; features cannot see what comes after it.")));
}

int64
rolling_check_tau(const Interval *tau)
{
	int64		us;

	if (!is_forward(tau) || tau->month != 0 ||
		pg_add_s64_overflow(tau->time, tau->day * USECS_PER_DAY, &us) ||
		us <= 0 || us > ROLLING_MAX_TAU)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tau must be longer than zero, at most %d years and without months: %s",
						(int) (ROLLING_MAX_TAU / USECS_PER_DAY / 366), interval_text(tau)),
				 errhint("Write for example interval '1 day'; a day of tau is always 24 hours.")));
	return us;
}

/* 10m, 1h, 24h, 7d, 1mo, 1y, 1d12h: equal intervals alone have equal names. */
static char *
window_name(const Interval *window)
{
	static const int64 sizes[] = {USECS_PER_HOUR, USECS_PER_MINUTE, USECS_PER_SEC, 1000, 1};
	static const char *const units[] = {"h", "m", "s", "ms", "us"};
	int			unit = 0;
	StringInfoData name;

	initStringInfo(&name);
	if (window->month != 0 && window->month % 12 == 0)
		appendStringInfo(&name, "%dy", window->month / 12);
	else if (window->month != 0)
		appendStringInfo(&name, "%dmo", window->month);
	if (window->day != 0)
		appendStringInfo(&name, "%dd", window->day);
	while (window->time % sizes[unit] != 0)
		unit++;
	if (window->time != 0)
		appendStringInfo(&name, INT64_FORMAT "%s", window->time / sizes[unit], units[unit]);
	return name.data;
}

/* ---- aggregates and features ---- */

bool
rolling_takes_value(RollingAggregate aggregate)
{
	return aggregates[aggregate].value;
}

bool
rolling_takes_id(RollingAggregate aggregate)
{
	return aggregates[aggregate].id;
}

Oid
rolling_result_type(RollingAggregate aggregate)
{
	return aggregates[aggregate].type;
}

static int
find_aggregate(const char *name)
{
	for (int i = 0; i < lengthof(aggregates); i++)
		if (strcmp(aggregates[i].name, name) == 0)
			return i;
	return -1;
}

static void
refuse_aggregate(const char *text)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is no aggregate \"%s\"", text),
			 errhint("There are count, sum, avg, min, max, stddev, last, distinct, since_last, change, share and decayed_distinct; of a column: sum(column), distinct(column), share(boolean_column), decayed_distinct(column, 1 day); declared: share(condition) AS name.")));
}

RollingItem
rolling_item_named(const char *name, const char *column)
{
	int			i = find_aggregate(name);
	RollingItem item = {.column = column};

	if (i < 0)
		refuse_aggregate(name);
	item.name = aggregates[i].name;
	item.change = i == CHANGE;
	item.condition = i == SHARE;
	if (i == CHANGE)
		item.aggregate = column != NULL ? ROLLING_SUM : ROLLING_COUNT;
	else
		item.aggregate = i == SHARE ? ROLLING_AVG : i;
	return item;
}

/* Cut off the text up to the first of the ends, without spaces around; NULL: it
 * is empty, or there is none. */
static char *
cut(char **text, const char *ends)
{
	char	   *begin = *text + strspn(*text, " \t\r\n");
	char	   *end = strpbrk(begin, ends);

	if (end == NULL || end == begin)
		return NULL;
	*text = end;
	begin = pnstrdup(begin, end - begin);
	for (end = begin + strlen(begin); strchr(" \t\r\n", end[-1]) != NULL; end--)
		;
	*end = '\0';
	return begin;
}

/* Take name, name(column) or name(column, tau) apart.  False: it is not so. */
static bool
take_item_apart(const char *text, char **name, char **column, char **tau)
{
	char	   *rest = psprintf("%s\n", text);

	*column = *tau = NULL;
	*name = cut(&rest, " \t\r\n(");
	if (*name == NULL || strspn(*name, "abcdefghijklmnopqrstuvwxyz_") != strlen(*name))
		return false;
	rest += strspn(rest, " \t\r\n");
	if (*rest == '\0')
		return true;
	if (*rest++ != '(')
		return false;
	rest += strspn(rest, " \t\r\n");
	if (*rest == '"')
	{
		char	   *end = strchr(rest + 1, '"');

		if (end == NULL || end == rest + 1)
			return false;
		*column = pnstrdup(rest + 1, end - rest - 1);
		rest = end + 1;
		rest += strspn(rest, " \t\r\n");
	}
	else if ((*column = cut(&rest, "\",()")) == NULL)
		return false;
	if (*rest == ',')
	{
		rest++;
		if ((*tau = cut(&rest, "()")) == NULL)
			return false;
	}
	return *rest == ')' && strspn(rest + 1, " \t\r\n") == strlen(rest + 1);
}

RollingItem
rolling_read_item(const char *text, const char *value)
{
	char	   *name;
	char	   *column;
	char	   *tau;
	int			i;
	bool		of_column;
	RollingItem item;

	if (!take_item_apart(text, &name, &column, &tau) || (i = find_aggregate(name)) < 0)
		refuse_aggregate(text);
	of_column = aggregates[i].value || aggregates[i].id;
	if (!of_column && i != CHANGE && column != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("aggregate \"%s\" is of events, not of a column", name),
				 errhint("Write \"%s\".", name)));
	item = rolling_item_named(name, column == NULL && of_column ? value : column);
	if (of_column && item.column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("aggregate \"%s\" needs a column", text),
				 errhint("Name it, as in %s(column), or give value => 'column'.", name)));
	if ((tau != NULL) != (item.aggregate == ROLLING_DECAYED_DISTINCT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("aggregate \"%s\" is not written so", text),
				 errhint("Only decayed_distinct has a second argument, the time in which what was seen fades: decayed_distinct(column, 1 day).")));
	if (tau != NULL)
	{
		item.tau = DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(tau),
														 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
		(void) rolling_check_tau(item.tau);
	}
	return item;
}

Oid
rolling_item_type(const RollingItem *item)
{
	return item->change ? FLOAT8OID : rolling_result_type(item->aggregate);
}

char *
rolling_feature_name(const char *key, const RollingItem *item, const Interval *window, const Interval *delay)
{
	const char *column = item->change && item->column == NULL ? aggregates[ROLLING_COUNT].abbreviation : item->column;
	StringInfoData name;

	initStringInfo(&name);
	appendStringInfo(&name, "%s_%s", key, aggregates[find_aggregate(item->name)].abbreviation);
	if (column != NULL)
		appendStringInfo(&name, "_%s", column);
	appendStringInfo(&name, "_prev_%s", window_name(window));
	if (!rolling_is_zero(delay))
		appendStringInfo(&name, "_delay_%s", window_name(delay));
	return name.data;
}

PG_FUNCTION_INFO_V1(risk_window_name);

Datum
risk_window_name(PG_FUNCTION_ARGS)
{
	const Interval *window = PG_GETARG_INTERVAL_P(0);

	rolling_check_window(window);
	PG_RETURN_TEXT_P(cstring_to_text(window_name(window)));
}

PG_FUNCTION_INFO_V1(risk_rolling_feature_name);

/* (key, aggregate, value, window, delay); value may be NULL where there is none. */
Datum
risk_rolling_feature_name(PG_FUNCTION_ARGS)
{
	RollingItem item;

	for (int i = 0; i < PG_NARGS(); i++)
		if (i != 2 && PG_ARGISNULL(i))
			PG_RETURN_NULL();
	item = rolling_item_named(text_to_cstring(PG_GETARG_TEXT_PP(1)),
							  PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)));
	rolling_check_window(PG_GETARG_INTERVAL_P(3));
	rolling_check_delay(PG_GETARG_INTERVAL_P(4));
	if (!rolling_takes_value(item.aggregate) && !rolling_takes_id(item.aggregate))
		item.column = NULL;
	else if (item.column == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(rolling_feature_name(text_to_cstring(PG_GETARG_TEXT_PP(0)), &item,
														  PG_GETARG_INTERVAL_P(3), PG_GETARG_INTERVAL_P(4))));
}

/* ---- a set of features ---- */

/* An argument of features, as texts. */
static List *
texts_argument(FunctionCallInfo fcinfo, int arg)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	List	   *texts = NIL;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(arg), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			texts = lappend(texts, TextDatumGetCString(elements[i]));
	return texts;
}

/* Errors: 42883 different values of an item's column could not be counted. */
static void
check_values(Oid source, const RollingItem *item)
{
	AttrNumber	attnum = rolling_takes_id(item->aggregate) ? get_attnum(source, item->column) : InvalidAttrNumber;
	Oid			type;
	int32		typmod;
	Oid			collation;

	if (attnum == InvalidAttrNumber)
		return;
	get_atttypetypmodcoll(source, attnum, &type, &typmod, &collation);
	(void) rolling_ids_create(CurrentMemoryContext, getBaseType(type), collation);
}

PG_FUNCTION_INFO_V1(risk_rolling_column_features);

/* (source, name, key, value, windows, aggregates, delay): the rows of
 * risk.rolling_features that a set has, whose aggregates are of columns. */
Datum
risk_rolling_column_features(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	const Interval *delay;
	StringInfoData key;
	Datum	   *widths;
	bool	   *width_nulls;
	int			num_widths;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(2) || PG_ARGISNULL(4) || PG_ARGISNULL(5) || PG_ARGISNULL(6))
		return (Datum) 0;
	initStringInfo(&key);
	foreach(cell, texts_argument(fcinfo, 2))
		appendStringInfo(&key, "%s%s", key.len > 0 ? "_" : "", (char *) lfirst(cell));
	delay = PG_GETARG_INTERVAL_P(6);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(4), INTERVALOID, sizeof(Interval), false, TYPALIGN_DOUBLE,
					  &widths, &width_nulls, &num_widths);
	foreach(cell, texts_argument(fcinfo, 5))
	{
		RollingItem item = rolling_read_item(lfirst(cell), PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)));

		check_values(PG_GETARG_OID(0), &item);
		for (int i = 0; i < num_widths; i++)
		{
			/* The last three are of conditions. */
			bool		nulls[11] = {PG_ARGISNULL(0), false, PG_ARGISNULL(1), false, item.column == NULL, false, false, item.tau == NULL, true, true, true};
			Datum		values[11] = {PG_GETARG_DATUM(0), (Datum) 0, PG_GETARG_DATUM(1)};

			if (width_nulls[i])
				continue;
			values[1] = CStringGetTextDatum(rolling_feature_name(key.data, &item, DatumGetIntervalP(widths[i]), delay));
			values[3] = CStringGetTextDatum(item.name);
			values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(item.column);
			values[5] = widths[i];
			values[6] = IntervalPGetDatum(delay);
			values[7] = IntervalPGetDatum(item.tau);
			tuplestore_putvalues(info->setResult, info->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
