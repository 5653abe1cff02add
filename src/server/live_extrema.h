/*
 * live_extrema.h
 *		Minima and maxima of the windows of a lookup that tiles answer.
 */
#ifndef PG_RISK_LIVE_EXTREMA_H
#define PG_RISK_LIVE_EXTREMA_H

#include "live_query.h"
#include "tile.h"

typedef struct LiveExtrema LiveExtrema;

/* Which of a tiling's extrema a feature of a query is; -1: none. */
extern int	live_extremum(const LiveQuery *query, const RollingAsked *feature, const Tiling *tiling);

/* extrema: [num_features] that. */
extern LiveExtrema *live_extrema_create(const LiveQuery *query, const int *extrema, const Tiling *tiling, const bytea *key);

/* What is between two tiles is in a window; first and last are their numbers. */
extern void live_extrema_window(LiveExtrema *x, TileReader *reader, int window,
								int64 from, int64 to, int64 first, int64 last);

/* The delta at hand, of a row that has come or gone. */
extern void live_extrema_delta(LiveExtrema *x, TileReader *reader, int64 time, bool gone);

/* What the deltas mean.  False: too many of the values are gone. */
extern bool live_extrema_settle(LiveExtrema *x, LiveQuery *query, const Datum *key, const LiveView *view,
								LiveReading *reading);

/* Take a row; add it to a window. */
extern void live_extrema_row(LiveExtrema *x, const Datum *values, const bool *nulls);
extern void live_extrema_add(LiveExtrema *x, int window);

/* False: NULL. */
extern bool live_extrema_result(const LiveExtrema *x, int window, int extremum, double *result);

#endif							/* PG_RISK_LIVE_EXTREMA_H */
