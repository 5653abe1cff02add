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

/* [t - delay - width, t - delay); previous: the window before that one. */
typedef struct RollingWindow
{
	Interval	width;
	Interval	delay;
	bool		previous;
} RollingWindow;

/* What is asked.  The first column of ids is of this type, if there is one. */
typedef struct RollingRunSpec
{
	Oid			time_type;
	int			num_windows;
	const RollingWindow *windows;
	int			num_features;
	const RollingFeature *features;
	int			num_columns;
	Oid			id_type;		/* InvalidOid: no ids */
	Oid			collation;
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

/* The fields from time on are the caller's to fill and to read. */
typedef struct RollingRun
{
	RollingRunSpec spec;		/* arrays copied */
	Rolling    *engine;
	RollingIds *ids;
	bool		calendar;		/* a window more, which holds back what bounds may
								 * come back to */
	int64		held;			/* its lower bound */
	int64	   *lower;			/* [num_windows + 1] */
	int64	   *upper;

	int64		time;			/* of the event */
	double	   *values;			/* [num_columns] */
	bool	   *nulls;
	uint64		id;
	double	   *results;		/* [num_features] */
	bool	   *no_results;
} RollingRun;

/* Lives in, and takes its memory from, the context. */
extern RollingRun *rolling_run_create(MemoryContext context, const RollingRunSpec *spec);

/* Another key follows. */
extern void rolling_run_reset(RollingRun *run);

/* The id of a value, into run->id. */
extern void rolling_run_set_id(RollingRun *run, Datum value, bool null);

/* Ask about the event in the fields, then add it.  Times must not go back. */
extern void rolling_run_step(RollingRun *run);

#endif							/* PG_RISK_ROLLING_RUN_H */
