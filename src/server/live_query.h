/*
 * live_query.h
 *		What a query of declared rolling features is; shared by the files that make
 *		it (live.c) and answer it.
 */
#ifndef PG_RISK_LIVE_QUERY_H
#define PG_RISK_LIVE_QUERY_H

#include "postgres.h"

#include "executor/executor.h"
#include "executor/spi.h"

#include "history.h"
#include "live.h"

/* What is selected of an event, in this order; then values, ids, the columns of
 * conditions, and keys. */
enum
{
	EVENT_TABLE,
	EVENT_ROW,
	EVENT_TIME,
	EVENT_KNOWN,
	EVENT_VALUES
};

/* A value that is no column, but a condition over those that are selected. */
typedef struct LiveCondition
{
	char	   *text;			/* NULL: a column */
	bool		plain;			/* it was when it was declared, */
	bool		same_types;		/* and its columns have the types of then */
	ExprState  *state;			/* NULL: not ready */
} LiveCondition;

/* How the events of a key are reached through an index (live_index.c). */
typedef struct LiveIndex LiveIndex;

/* How rows of a key are counted that have a value (live_probe.c). */
typedef struct LiveProbe LiveProbe;
typedef struct LiveProbeScan LiveProbeScan;

/* Which tiles answer it (live_tiles.c). */
typedef struct LiveTiling LiveTiling;

struct LiveQuery
{
	Oid			source;
	char	   *set;
	MemoryContext context;		/* that it lives in */
	int			num_keys;
	int			num_inputs;
	Oid		   *key_collations; /* [num_keys] */
	LiveInput  *inputs;			/* keys, event time, own values of the ids */
	char	   *known_time;		/* NULL: none */
	Oid			known_type;
	Oid			time_column;	/* type of the column of event time, which is
								 * spec.time_type or date */
	HistorySpec spec;
	char	  **columns;		/* of values, then of ids: names; NULL of a
								 * condition; then what conditions need */
	int			num_needed;		/* the latter, */
	AttrNumber *needed;			/* and their numbers where conditions have them */
	LiveCondition *conditions;	/* [spec.num_values] */
	Oid			unprepared;		/* they are to be made ready over the columns of this
								 * table; or InvalidOid */
	ExprContext *evaluation;	/* of those that are ready; NULL: none is */
	char	  **names;			/* [spec.num_features] */
	int		   *positions;		/* in what was wanted */
	SPIPlanPtr	plan;			/* NULL: not made yet */
	SPIPlanPtr	row_plan;		/* likewise; says which row it is */
	LiveIndex  *index;			/* likewise */
	LiveProbe **probes;			/* likewise; [spec.num_ids] */
	LiveTiling *tiling;			/* likewise */
	MemoryContextCallback free_plan;
};

/* Takes an event: values, then ids, as the query lists them. */
typedef void (*LiveTake) (void *arg, int64 time, const Datum *values, const bool *nulls);

/* Events that were read for a lookup, the latest ones of which tiles are not to
 * cover: more may come among them. */
#define LIVE_RECENT_EVENTS	32

typedef struct LiveReading
{
	int64		events;
	int64		recent[LIVE_RECENT_EVENTS]; /* times; of event i at i % LIVE_RECENT_EVENTS */
	int64		edges;			/* read for counts of different values; with tiles */
	int64		edges_until;	/* of what is before this time they would be fewer */
} LiveReading;

static inline void
live_note_read(LiveReading *reading, int64 time)
{
	reading->recent[reading->events++ % LIVE_RECENT_EVENTS] = time;
}

static inline void
live_note_edges(LiveReading *reading, int64 count, int64 until)
{
	reading->edges = count;
	reading->edges_until = until;
}

/* Times from lower to before upper. */
typedef struct LiveRange
{
	int64		lower;
	int64		upper;
} LiveRange;

/* live_events.c */
extern void live_prepare(LiveQuery *query);
extern void live_evaluate(const LiveQuery *query, Datum *values, bool *nulls);
extern void live_scan(LiveQuery *query, const Datum *key, const LiveRange *ranges, int num_ranges,
					  const LiveView *view, LiveTake take, void *arg);

/* live_index.c */
extern bool live_index_usable(LiveQuery *query);
extern bool live_index_scan(LiveQuery *query, const Datum *key, const LiveRange *ranges, int num_ranges,
							const LiveView *view, LiveTake take, void *arg);

/* live_probe.c */
extern LiveProbe *live_probe(LiveQuery *query, int id);
extern bool live_probe_exists(const LiveProbe *probe);
extern bool live_probe_usable(LiveProbe *probe);
extern LiveProbeScan *live_probe_open(LiveProbe *probe);
extern int64 live_probe_count(LiveProbeScan *scan, const Datum *key, int64 lower, int64 upper, int64 most, int64 *latest);
extern void live_probe_close(LiveProbeScan *scan);

/* live_tiles.c */
extern bool live_tiled_lookup(LiveQuery *query, const Datum *key, int64 time, const LiveView *view,
							  double *results, bool *nulls);
extern void live_note_lookup(LiveQuery *query, const Datum *key, int64 time, bool by_tiles,
							 const LiveReading *reading);

#endif							/* PG_RISK_LIVE_QUERY_H */
