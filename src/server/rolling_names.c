/*
 * rolling_names.c
 *		What all rolling features have in common, however they are asked for:
 *		bounds of windows, names of windows, aggregates and features.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "rolling_names.h"

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
	if (type == DATEOID)
		value = DirectFunctionCall1(date_timestamp, value);
	return DatumGetTimestamp(value);
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
static bool
is_steady(int64 from, int64 to)
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

/*
 * What needs no calendar is subtracted here, as PostgreSQL would with a function
 * call more; what it refuses is left to it.  An hour that a time zone leaves out
 * can put the result above the time: nothing is in between then.
 */
int64
rolling_time_before(int64 time, const Interval *interval, Oid type)
{
	int64		result;

	if (interval->month == 0 && !TIMESTAMP_NOT_FINITE(time) &&
		!pg_sub_s64_overflow(time, interval->time, &result) &&
		!pg_sub_s64_overflow(result, interval->day * USECS_PER_DAY, &result) &&
		IS_VALID_TIMESTAMP(result) &&
		(!rolling_has_calendar(interval, type) || is_steady(result, time)))
		return result;
	result = DatumGetTimestamp(DirectFunctionCall2(type == TIMESTAMPTZOID ?
												   timestamptz_mi_interval : timestamp_mi_interval,
												   TimestampGetDatum(time),
												   IntervalPGetDatum(interval)));
	return Min(result, time);
}

/* ---- windows ---- */

/* Finite, and no part of it below zero. */
static bool
is_forward(const Interval *interval)
{
	return interval->month >= 0 && interval->day >= 0 && interval->time >= 0 &&
		!INTERVAL_IS_NOBEGIN(interval) && !INTERVAL_IS_NOEND(interval);
}

static bool
is_zero(const Interval *interval)
{
	return interval->month == 0 && interval->day == 0 && interval->time == 0;
}

static char *
interval_text(const Interval *interval)
{
	return DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)));
}

void
rolling_check_window(const Interval *window)
{
	if (!is_forward(window) || is_zero(window))
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

char *
rolling_window_name(const Interval *window)
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

const char *
rolling_aggregate_name(RollingAggregate aggregate)
{
	return aggregates[aggregate].name;
}

RollingAggregate
rolling_aggregate_named(const char *name)
{
	StringInfoData known;
	int			i;

	for (i = 0; i < lengthof(aggregates); i++)
		if (strcmp(aggregates[i].name, name) == 0)
			return i;
	initStringInfo(&known);
	for (i = 0; i < lengthof(aggregates); i++)
		appendStringInfo(&known, "%s%s", i > 0 ? ", " : "", aggregates[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown aggregate: \"%s\"", name),
			 errhint("Aggregates are: %s.", known.data)));
}

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

char *
rolling_feature_name(const char *key, RollingAggregate aggregate, const char *value,
					 const Interval *window)
{
	bool		plain = !aggregates[aggregate].value && !aggregates[aggregate].id;

	return psprintf("%s_%s%s%s_prev_%s", key, aggregates[aggregate].abbreviation,
					plain ? "" : "_", plain ? "" : value, rolling_window_name(window));
}

PG_FUNCTION_INFO_V1(risk_window_name);

Datum
risk_window_name(PG_FUNCTION_ARGS)
{
	const Interval *window = PG_GETARG_INTERVAL_P(0);

	rolling_check_window(window);
	PG_RETURN_TEXT_P(cstring_to_text(rolling_window_name(window)));
}

PG_FUNCTION_INFO_V1(risk_rolling_feature_name);

/* (key, aggregate, value, window); value may be NULL where there is none. */
Datum
risk_rolling_feature_name(PG_FUNCTION_ARGS)
{
	RollingAggregate aggregate;
	const Interval *window;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	aggregate = rolling_aggregate_named(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	window = PG_GETARG_INTERVAL_P(3);
	rolling_check_window(window);
	if (PG_ARGISNULL(2) && (rolling_takes_value(aggregate) || rolling_takes_id(aggregate)))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(
									 rolling_feature_name(text_to_cstring(PG_GETARG_TEXT_PP(0)), aggregate,
														  PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)),
														  window)));
}
