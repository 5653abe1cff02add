/*
 * rolling_names.h
 *		What all rolling features have in common, however they are asked for:
 *		bounds of windows, names of windows, aggregates and features.
 */
#ifndef PG_RISK_ROLLING_NAMES_H
#define PG_RISK_ROLLING_NAMES_H

#include "datatype/timestamp.h"

#include "rolling/rolling.h"

/* The time types that events may have. */
extern bool rolling_is_time(Oid type);

/* A value of such a type in microseconds; a date is its midnight. */
extern int64 rolling_time(Datum value, Oid type);

/* time - interval, as PostgreSQL computes it for the type, and never above time. */
extern int64 rolling_time_before(int64 time, const Interval *interval, Oid type);

/* Whether that depends on the calendar, so that a bound may go back; then by
 * at most so many microseconds, behind the greatest that was. */
extern bool rolling_has_calendar(const Interval *interval, Oid type);

#define ROLLING_CALENDAR_SLACK	(5 * USECS_PER_DAY)

/* Raise an error unless the interval is a window (finite, longer than zero), or
 * a delay (finite, zero or longer). */
extern void rolling_check_window(const Interval *window);
extern void rolling_check_delay(const Interval *delay);

/* Microseconds of tau; an error unless the engine takes it. */
extern int64 rolling_check_tau(const Interval *tau);

/* 10m, 1h, 24h, 7d, 1mo, 1y, 1d12h: equal intervals alone have equal names. */
extern char *rolling_window_name(const Interval *window);

/* Whether an aggregate needs a value, or an id, of the event; its result's type. */
extern const char *rolling_aggregate_name(RollingAggregate aggregate);
extern RollingAggregate rolling_aggregate_named(const char *name);	/* or an error */
extern bool rolling_takes_value(RollingAggregate aggregate);
extern bool rolling_takes_id(RollingAggregate aggregate);
extern Oid	rolling_result_type(RollingAggregate aggregate);

/* {key}_cnt_prev_{w}, {key}_since_last_prev_{w}, {key}_{aggregate}_{value}_prev_{w} */
extern char *rolling_feature_name(const char *key, RollingAggregate aggregate,
								  const char *value, const Interval *window);

#endif							/* PG_RISK_ROLLING_NAMES_H */
