/*
 * history.h
 *		The events of one key as SQL values, and their rolling features.
 */
#ifndef PG_RISK_HISTORY_H
#define PG_RISK_HISTORY_H

#include "postgres.h"

#include "pgtime.h"

#include "rolling_run.h"

typedef struct HistorySpec
{
	Oid			time_type;
	pg_tz	   *zone;			/* of days and months */
	int			num_windows;
	RollingWindow *windows;
	int			num_values;
	RollingColumn *values;
	int			num_ids;
	RollingColumn *ids;
	int			num_features;
	RollingAsked *features;
} HistorySpec;

/* What is always known, and who knows everything. */
#define HISTORY_ALWAYS		PG_INT64_MIN
#define HISTORY_EVERYTHING	PG_INT64_MAX

typedef struct History History;

extern void history_bounds(const HistorySpec *spec, int64 time, int64 *lower, int64 *upper);
extern History *history_create(const HistorySpec *spec);
extern void history_reset(History *h);
extern void history_add(History *h, int64 time, int64 known, const Datum *values, const bool *nulls);
extern void history_ask(History *h, int64 time, const Datum *own, const bool *own_nulls,
						int64 knowledge, double *results, bool *nulls);

#endif							/* PG_RISK_HISTORY_H */
