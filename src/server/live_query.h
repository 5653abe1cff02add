/*
 * live_query.h
 *		What a query of declared rolling features is; shared by the files that make
 *		it (live.c) and answer it (live_events.c).
 */
#ifndef PG_RISK_LIVE_QUERY_H
#define PG_RISK_LIVE_QUERY_H

#include "postgres.h"

#include "executor/spi.h"

#include "history.h"
#include "live.h"

struct LiveQuery
{
	Oid			source;
	char	   *set;
	int			num_keys;
	int			num_inputs;
	Oid		   *key_collations; /* [num_keys] */
	LiveInput  *inputs;			/* keys, event time, own values of the ids */
	char	   *known_time;		/* NULL: none */
	Oid			known_type;
	HistorySpec spec;
	char	  **columns;		/* of values, then of ids: names */
	char	  **names;			/* [spec.num_features] */
	int		   *positions;		/* in what was wanted */
	SPIPlanPtr	plan;			/* NULL: not made yet */
	SPIPlanPtr	row_plan;		/* likewise; says which row it is */
	MemoryContextCallback free_plan;
};

#endif							/* PG_RISK_LIVE_QUERY_H */
