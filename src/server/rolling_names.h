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

/* A value of such a type in microseconds; a date is its midnight, and infinity where no
 * timestamp is so late. */
extern int64 rolling_time(Datum value, Oid type);

/* time - interval, as PostgreSQL computes it for the type, and never above time; the first
 * of all times, if it would be earlier. */
extern int64 rolling_time_before(int64 time, const Interval *interval, Oid type);

/* Whether that depends on the calendar, so that a bound may go back; then by
 * at most so many microseconds, behind the greatest that was. */
extern bool rolling_has_calendar(const Interval *interval, Oid type);

/* Whether all days near those from one time to another are of 24 hours, in the
 * session's time zone. */
extern bool rolling_is_steady(int64 from, int64 to);

#define ROLLING_CALENDAR_SLACK	(5 * USECS_PER_DAY)

/* Raise an error unless the interval is a window (finite, longer than zero), or
 * a delay (finite, zero or longer). */
extern void rolling_check_window(const Interval *window);
extern void rolling_check_delay(const Interval *delay);
extern bool rolling_is_zero(const Interval *interval);

/* Microseconds of tau; an error unless the engine takes it. */
extern int64 rolling_check_tau(const Interval *tau);

/* Whether the core's aggregate needs a value, or an id, of the event; its
 * result's type. */
extern bool rolling_takes_value(RollingAggregate aggregate);
extern bool rolling_takes_id(RollingAggregate aggregate);
extern Oid	rolling_result_type(RollingAggregate aggregate);

/* An aggregate as it is asked for, and what the core computes for it. */
typedef struct RollingItem
{
	const char *name;			/* count, sum, ..., share, change */
	RollingAggregate aggregate;
	bool		change;			/* of that, against the window before */
	bool		condition;		/* the column is of conditions */
	const char *column;			/* NULL: of events */
	Interval   *tau;			/* NULL: there is none */
} RollingItem;

/* An aggregate by its name, or an error; column may be NULL. */
extern RollingItem rolling_item_named(const char *name, const char *column);

/* The same as it is written: count, sum(column), decayed_distinct(column, 1 day).
 * value: the column of what names none and needs one, or NULL. */
extern RollingItem rolling_read_item(const char *text, const char *value);

/* Type of a feature; {key}_cnt_prev_{w}, {key}_since_last_prev_{w},
 * {key}_change_cnt_prev_{w} or else {key}_{aggregate}_{column}_prev_{w}, with a
 * delay and _delay_{d}. */
extern Oid	rolling_item_type(const RollingItem *item);
extern char *rolling_feature_name(const char *key, const RollingItem *item,
								  const Interval *window, const Interval *delay);

#endif							/* PG_RISK_ROLLING_NAMES_H */
