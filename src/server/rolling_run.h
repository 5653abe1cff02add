/*
 * rolling_run.h
 *		The windows' core over Datums: bounds from intervals, ids from values of
 *		any type that can be hashed, memory from a context.
 */
#ifndef PG_RISK_ROLLING_RUN_H
#define PG_RISK_ROLLING_RUN_H

#include "datatype/timestamp.h"
#include "utils/palloc.h"

#include "rolling/rolling.h"
#include "rolling_decimal.h"

/* [t - delay - width, t - delay); previous: the window before that one. */
typedef struct RollingWindow
{
	Interval	width;
	Interval	delay;
	bool		previous;
} RollingWindow;

typedef struct RollingColumn
{
	Oid			type;			/* domains as their base type */
	Oid			collation;
} RollingColumn;

typedef struct RollingAsked
{
	RollingAggregate aggregate;
	bool		change;			/* of the aggregate, from the window after this in
								 * the list, which is the previous one */
	int			window;
	int			column;			/* of values, or for the distinct ones of ids */
	int64		tau;
} RollingAsked;

/* The index of a window; added if it is not there.  A change also needs the window
 * before, which comes next. */
extern int	rolling_add_window(RollingWindow *windows, int *count, const Interval *width,
							   const Interval *delay, bool change);

/* What the core is to compute: the features, then those of the previous windows
 * of changes; returns their number.  [2 * count] have room. */
extern int	rolling_core_features(const RollingAsked *asked, int count, RollingFeature *features);

/* Make changes of those results. */
extern void rolling_set_changes(const RollingAsked *asked, int count, double *results, bool *nulls);

/* The nearest float8 of a value of a type that rolling_is_number(); whether that
 * is not the value, so that sums and averages are to be PostgreSQL's. */
extern bool rolling_is_number(Oid type);
extern double rolling_float8(Oid type, Datum value);
extern bool rolling_is_decimal(Oid type, Datum value);

/* Such a value as numeric, if it is one already or bigint. */
extern Datum rolling_to_numeric(Datum value, Oid type);

/* What is asked.  sums: columns of values whose sums may have to be of numeric. */
typedef struct RollingRunSpec
{
	Oid			time_type;
	int			num_windows;
	const RollingWindow *windows;
	int			num_features;
	const RollingAsked *features;
	int			num_values;
	const RollingColumn *values;
	int			num_ids;
	const RollingColumn *ids;
	const bool *decimals;		/* [num_values]; NULL: none */
	const uint64 *divisors;		/* [num_values] see RollingSpec */
	const int64 *range;			/* [2] the times of all events; NULL: not known */
} RollingRunSpec;

/* Both bounds of a window for an event, days and months in the session's time
 * zone. */
extern void rolling_bounds(const RollingWindow *window, int64 time, Oid type, int64 *lower, int64 *upper);

/* RollingSpec.resize, of a memory context: does not return NULL. */
extern void *rolling_resize(void *context, void *block, size_t size);

/* The numbers of the different values of a column. */
typedef struct RollingIds RollingIds;

extern RollingIds *rolling_ids_create(MemoryContext context, Oid type, Oid collation);
extern void rolling_ids_reset(RollingIds *ids);

/* The number of a value; it is remembered for that of this and of at least so
 * many values before. */
extern uint64 rolling_ids_number(RollingIds *ids, Datum value, bool null, uint64 kept);

#define ROLLING_ALL_IDS		PG_UINT64_MAX

/* The fields from times on are the caller's to fill and to read, each for as many
 * events of a key as there is room for. */
typedef struct RollingRun
{
	RollingRunSpec spec;		/* windows, features and values, copied */
	Rolling    *engine;
	RollingIds **numbers;		/* [num_ids] */
	RollingDecimal **decimals;	/* [num_values]; NULL: its sums are the core's */
	bool	   *decimal;		/* [num_values] sums of this key are of numeric */
	bool	   *inexact;		/* [][num_values] those of the next events are */
	bool		any_decimal;	/* or a change: there is something left to do */
	RollingOffsets *offsets;	/* [num_windows] those of windows that are steady, */
	bool	   *steady;
	int64		least;			/* for times from then on */
	bool		calendar;		/* a window more, which holds back what bounds may
								 * come back to */
	int64		held;			/* its lower bound */
	int64		oldest;			/* the least of all lower bounds */
	int64	   *lower;			/* [num_windows + 1] */
	int64	   *upper;

	int64	   *times;
	double	   *values;			/* [][num_values] */
	bool	   *nulls;
	Datum	   *originals;		/* those of decimals */
	uint64	   *ids;			/* [][num_ids] */
	int			num_results;	/* num_features, and what changes are made of */
	double	   *results;		/* [][num_results] */
	bool	   *no_results;
} RollingRun;

/* Lives in, and takes its memory from, the context; has room for so many events,
 * at most ROLLING_BLOCK. */
extern RollingRun *rolling_run_create(MemoryContext context, const RollingRunSpec *spec, int room);

/* Another key follows. */
extern void rolling_run_reset(RollingRun *run);

/* The value of an event in a column of values, or of one of ids; as long as it
 * lives until the step. */
extern void rolling_run_set_value(RollingRun *run, int event, int column, Datum value, bool null);
extern void rolling_run_set_id(RollingRun *run, int event, int column, Datum value, bool null);

/* Ask about each of so many events in the fields, then add it.  Times must not go
 * back. */
extern void rolling_run_step(RollingRun *run, int count);

#endif							/* PG_RISK_ROLLING_RUN_H */
