/*
 * distinct.h
 *		How many different values a column has in windows of a hot key.
 */
#ifndef PG_RISK_DISTINCT_H
#define PG_RISK_DISTINCT_H

#include "live_query.h"
#include "tiling.h"

/* How many different values rows have from lower to before upper. */
typedef struct DistinctCount
{
	int64		lower;
	int64		upper;
	int64		count;
} DistinctCount;

/* A count that is known, and the same of another window. */
typedef struct DistinctAsked
{
	int			id;				/* which of the query's */
	DistinctCount known;
	DistinctCount now;
} DistinctAsked;

/* What of a query counts (distinct.c). */
typedef struct LiveDistinct LiveDistinct;

/* The stored forms: a row's values of what is counted, and counts, one a feature. */
extern bytea *distinct_store_items(const LiveQuery *counted, const Datum *items, const bool *nulls);
extern bytea *distinct_store_counts(const DistinctCount *counts, int num, int64 time);
extern void distinct_load_counts(DistinctCount *counts, int num, const bytea *stored, int64 time);

/* For distinct_build.c: now, where nothing that is known has changed. */
extern void distinct_follow(LiveQuery *counted, const Datum *key, DistinctAsked *asked);

/* For lookups: what counts in a query, and which counts of a tiling answer it. */
extern LiveDistinct *distinct_create(LiveQuery *query);
extern bool distinct_find(LiveDistinct *distinct, const Tiling *tiling);
extern bool distinct_lookup(LiveDistinct *distinct, const Datum *key, const bytea *bytes, int64 time,
							const int64 *lower, const int64 *upper, LiveReading *reading,
							double *results, bool *nulls);

/* distinct_build.c */
extern bool distinct_goes_on(const Tiling *tiling, const bytea *bytes, int64 first, int64 known_until);
extern void distinct_build(const Tiling *tiling, const bytea *bytes, const Datum *key, int64 first, int64 known_until);

#endif							/* PG_RISK_DISTINCT_H */
