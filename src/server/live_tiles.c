/*
 * live_tiles.c
 *		Lookups that tiles answer: what a hot key costs is what a cold one does.
 *
 * A window [lower, upper) of a key is
 *
 *	 rows [lower, first)  +  tile(last) - tile(first)  +  deltas [first, last)  +  rows [last, upper)
 *
 * where first is the earliest tile not before lower, and last the latest one not
 * after upper; all under one snapshot.  There are few rows at each edge, since
 * tiles are made every so many events.  A window without two tiles in it is rows
 * alone.
 *
 * Aggregates that add up are answered so; minima and maxima, of stretches between
 * tiles (live_extrema.c); and the latest event, which is among the rows at the end.
 * Counts of different values are corrected from known ones (distinct.c).  A query
 * with others reads rows (live_events.c); whoever had to read many asks for
 * tiles (tile_build.c).
 */
#include "postgres.h"

#include <math.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/inval.h"
#include "utils/rls.h"

#include "distinct.h"
#include "guc.h"
#include "late.h"
#include "live_extrema.h"
#include "live_query.h"
#include "tile.h"
#include "tile_build.h"
#include "tile_shared.h"
#include "tiling.h"

/* A lookup that had to read more events than this asks for tiles. */
#define MANY_EVENTS		128

struct LiveTiling
{
	uint64		generation;		/* of what follows */
	Tiling	   *tiling;			/* NULL: none answers the query */
	int		   *columns;		/* [num_values] of the query: which of the tiling's; -1: none */
	int		   *extrema;		/* [num_features] of the query: which of the tiling's; -1: none */
	bool		extreme;		/* there are some */
	bool		latest;			/* the latest event is asked for */
	bool		adds_up;		/* anything but counts of different values, */
	bool	   *windows;		/* [num_windows] in which of them */
	LiveDistinct *distinct;		/* different values are counted; NULL: none */
	TileCounters *counters;		/* of the set; NULL: not counted */
	int64		reach[64];		/* of tile_find_near(), by hashes of keys */
};

/* ---- what can be answered ---- */

static bool
is_latest(const RollingAsked *feature)
{
	return feature->aggregate == ROLLING_LAST || feature->aggregate == ROLLING_SINCE_LAST;
}

/* Can the tiles of a tiling, with such columns, answer all features? */
static bool
answers(const LiveQuery *query, const Tiling *tiling, LiveTiling *lt)
{
	for (int i = 0; i < query->spec.num_features; i++)
	{
		const RollingAsked *feature = &query->spec.features[i];

		lt->extrema[i] = -1;
		if (feature->aggregate != ROLLING_DISTINCT)
			lt->adds_up = lt->windows[feature->window] = true;
		if (feature->change)
			lt->windows[feature->window + 1] = true;
		switch (feature->aggregate)
		{
			case ROLLING_COUNT:
				break;
			case ROLLING_SUM:
			case ROLLING_AVG:
			case ROLLING_STDDEV:
				if (lt->columns[feature->column] < 0)
					return false;
				break;
			case ROLLING_MIN:
			case ROLLING_MAX:
				lt->extrema[i] = live_extremum(query, feature, tiling);
				if (lt->extrema[i] < 0)
					return false;
				lt->extreme = true;
				break;
			case ROLLING_LAST:
			case ROLLING_SINCE_LAST:
				lt->latest = true;
				break;
			case ROLLING_DISTINCT:
				break;
			default:
				return false;
		}
	}
	return !lt->distinct || distinct_find(lt->distinct, tiling);
}

/* Is a value of a query the same column or condition as one of a tiling's? */
static bool
is_same_value(const LiveQuery *query, int i, const LiveQuery *tiled, int j)
{
	const char *condition = query->conditions[i].text;

	if (condition)
		return tiled->conditions[j].text && strcmp(tiled->conditions[j].text, condition) == 0;
	return tiled->columns[j] && strcmp(tiled->columns[j], query->columns[i]) == 0;
}

/* Find the tiling of a query's set, and where its columns are. */
static void
find_tiling(const LiveQuery *query, LiveTiling *lt)
{
	Tiling	   *tiling;

	lt->generation = tiling_generation();
	tiling = tiling_find(query->source, query->set);
	lt->tiling = NULL;
	lt->extreme = lt->latest = lt->adds_up = false;
	memset(lt->windows, false, query->spec.num_windows);
	lt->counters = tile_counters(query->source, query->set);
	for (int i = 0; i < query->spec.num_values; i++)
	{
		lt->columns[i] = -1;
		for (int j = 0; tiling && j < tiling->num_columns; j++)
		{
			if (is_same_value(query, i, tiling->query, tiling->values[j]))
				lt->columns[i] = j;
		}
	}
	if (tiling && answers(query, tiling, lt))
		lt->tiling = tiling;
}

static LiveTiling *
query_tiling(LiveQuery *query)
{
	if (!query->tiling)
	{
		MemoryContext caller = MemoryContextSwitchTo(query->context);
		LiveTiling *lt = palloc0(sizeof(LiveTiling));

		lt->columns = palloc(sizeof(int) * (query->spec.num_values + 1));
		lt->extrema = palloc(sizeof(int) * (query->spec.num_features + 1));
		lt->windows = palloc(query->spec.num_windows);
		lt->distinct = distinct_create(query);
		MemoryContextSwitchTo(caller);
		query->tiling = lt;
	}
	if (query->tiling->generation != tiling_generation())
		find_tiling(query, query->tiling);
	return query->tiling;
}

/* ---- a lookup ---- */

/* A window: rows from lower to before first and from last to before upper, and
 * what the tiles of first and last differ by. */
typedef struct Span
{
	int64		lower;
	int64		first;
	int64		last;
	int64		upper;
	bool		tiled;			/* otherwise rows from lower to before upper */
	Totals	   *totals;
} Span;

/* A tile at an edge. */
typedef struct Edge
{
	int64		time;			/* of the edge */
	bool		before;
	int64		tile;			/* up to when it is */
	Totals	   *totals;			/* NULL: there is none */
	int64		seq;			/* its number, if it has one */
} Edge;

typedef struct TiledLookup
{
	const LiveQuery *query;
	LiveTiling *lt;
	int			num_edges;
	Edge	   *edges;			/* [num_windows * 2 + 1] */
	int			num_spans;
	Span	   *spans;			/* one a window */
	Datum	   *values;			/* [num_columns] of the tiling */
	bool	   *nulls;
	int64	   *reach;			/* of the key */
	LiveExtrema *extrema;		/* NULL: there are none */
	History    *history;		/* of the rows at the end; NULL: not needed */
	int64		history_from;
	LiveReading reading;
} TiledLookup;

static bool
reads_row(const Span *span, int64 time)
{
	if (time < span->lower || time >= span->upper)
		return false;
	return !span->tiled || time < span->first || time >= span->last;
}

/* Take a row: into the spans that it is at an edge of. */
static void
take_row(void *arg, int64 time, const Datum *values, const bool *nulls)
{
	TiledLookup *lookup = arg;

	live_note_read(&lookup->reading, time);
	for (int i = 0; i < lookup->query->spec.num_values; i++)
	{
		int			column = lookup->lt->columns[i];

		if (column >= 0)
		{
			lookup->values[column] = values[i];
			lookup->nulls[column] = nulls[i];
		}
	}
	if (lookup->extrema)
		live_extrema_row(lookup->extrema, values, nulls);
	for (int i = 0; i < lookup->num_spans; i++)
	{
		if (!reads_row(&lookup->spans[i], time))
			continue;
		totals_event(lookup->spans[i].totals, lookup->values, lookup->nulls, 1);
		if (lookup->extrema)
			live_extrema_add(lookup->extrema, i);
	}
	if (lookup->history && time >= lookup->history_from)
		history_add(lookup->history, time, HISTORY_ALWAYS, values, nulls);
}

/*
 * Find the tile at an edge of a window: the last one before its upper bound, or the
 * first one after its lower bound.  Windows that end together have it in common.
 * Where the latest event is asked for, the very last tile is left to the rows, so
 * that it is among them.  NULL: there is none.
 */
static const Edge *
find_edge(TiledLookup *lookup, TileReader *reader, int64 time, bool before)
{
	LiveTiling *lt = lookup->lt;
	Edge	   *edge;

	for (int i = 0; i < lookup->num_edges; i++)
	{
		edge = &lookup->edges[i];
		if (edge->time == time && edge->before == before)
			return edge->totals ? edge : NULL;
	}
	edge = &lookup->edges[lookup->num_edges++];
	edge->time = time;
	edge->before = before;
	edge->totals = NULL;
	if (!tile_find_near(reader, time, before, lookup->reach, &edge->tile) ||
		(before && lt->latest && !tile_find_near(reader, edge->tile - 1, true, lookup->reach, &edge->tile)))
		return NULL;
	edge->totals = totals_create(lt->tiling->columns, lt->tiling->num_columns);
	tile_totals(reader, edge->totals);
	if (lookup->extrema)
		edge->seq = tile_seq(reader);
	return edge;
}

/* Find the tiles of a window, and what they differ by. */
static void
set_span(TiledLookup *lookup, TileReader *reader, Span *span)
{
	const Tiling *tiling = lookup->lt->tiling;
	const Edge *first = find_edge(lookup, reader, span->lower, false);
	const Edge *last = first && first->tile < span->upper ? find_edge(lookup, reader, span->upper, true) : NULL;

	span->totals = totals_create(tiling->columns, tiling->num_columns);
	span->tiled = last && first->tile < last->tile;
	if (!span->tiled)
		return;
	span->first = first->tile;
	span->last = last->tile;
	totals_merge(span->totals, last->totals, 1);
	totals_merge(span->totals, first->totals, -1);
	if (lookup->extrema)
		live_extrema_window(lookup->extrema, reader, span - lookup->spans, first->tile, last->tile, first->seq, last->seq);
}

/* Find the tiles of all windows.  False: there are none, so they are rows. */
static bool
set_spans(TiledLookup *lookup, const bytea *key, const int64 *lower, const int64 *upper)
{
	TileReader	reader;
	int64		oldest = PG_INT64_MAX;
	bool		tiled = false;
	bool		any;

	for (int i = 0; i < lookup->num_spans; i++)
		oldest = lookup->lt->windows[i] ? Min(oldest, lower[i]) : oldest;
	tile_reader_open(&reader, lookup->lt->tiling, key, TILE_TOTALS);
	any = find_edge(lookup, &reader, oldest, false) != NULL;
	for (int i = 0; any && i < lookup->num_spans; i++)
	{
		Span	   *span = &lookup->spans[i];

		if (!lookup->lt->windows[i])
			continue;
		span->lower = lower[i];
		span->upper = upper[i];
		set_span(lookup, &reader, span);
		tiled |= span->tiled;
	}
	tile_reader_close(&reader);
	return tiled;
}

/* Add the deltas between the tiles of the windows. */
static void
add_deltas(TiledLookup *lookup, const bytea *key)
{
	const Tiling *tiling = lookup->lt->tiling;
	Totals	   *delta = totals_create(tiling->columns, tiling->num_columns);
	TileReader	reader;
	int64		from = PG_INT64_MAX;
	int64		to = PG_INT64_MIN;
	int64		time;
	bool		any;

	for (int i = 0; i < lookup->num_spans; i++)
	{
		if (!lookup->spans[i].tiled)
			continue;
		from = Min(from, lookup->spans[i].first);
		to = Max(to, lookup->spans[i].last);
	}
	tile_reader_open(&reader, tiling, key, TILE_DELTAS);
	for (any = tile_find(&reader, from, false, &time); any && time < to; any = tile_next(&reader, &time))
	{
		tile_totals(&reader, delta);
		live_note_read(&lookup->reading, time);
		if (lookup->extrema)
			live_extrema_delta(lookup->extrema, &reader, time, delta->events < 0);
		for (int i = 0; i < lookup->num_spans; i++)
		{
			Span	   *span = &lookup->spans[i];

			if (span->tiled && time >= span->first && time < span->last)
				totals_merge(span->totals, delta, 1);
		}
	}
	tile_reader_close(&reader);
}

/* From a time on, where the rows end that some window reads from there; the time
 * itself: none does. */
static int64
rows_until(const TiledLookup *lookup, int64 from)
{
	int64		until = from;

	for (int i = 0; i < lookup->num_spans; i++)
	{
		const Span *span = &lookup->spans[i];

		if (reads_row(span, until))
		{
			until = span->tiled && until < span->first ? span->first : span->upper;
			i = -1;				/* another one may go on from there */
		}
	}
	return until;
}

/* The next time from which some window reads rows; PG_INT64_MAX: none. */
static int64
rows_from(const TiledLookup *lookup, int64 time)
{
	int64		from = PG_INT64_MAX;

	for (int i = 0; i < lookup->num_spans; i++)
	{
		const Span *span = &lookup->spans[i];

		if (reads_row(span, time))
			return time;
		if (span->lower >= time && reads_row(span, span->lower))
			from = Min(from, span->lower);
		if (span->tiled && span->last >= time && span->last < span->upper)
			from = Min(from, span->last);
	}
	return from;
}

/* Read the rows at the edges of all windows, each once, in order of time. */
static void
read_edges(TiledLookup *lookup, LiveQuery *query, const Datum *key, const LiveView *view)
{
	LiveRange  *ranges = palloc(sizeof(LiveRange) * lookup->num_spans * 2);
	int			num_ranges = 0;
	int64		from = PG_INT64_MIN;

	while ((from = rows_from(lookup, from)) != PG_INT64_MAX)
	{
		int64		until = rows_until(lookup, from);

		ranges[num_ranges++] = (LiveRange) {from, until};
		from = until;
	}
	live_scan(query, key, ranges, num_ranges, view, take_row, lookup);
}

/* From when on all rows of the windows are read in which the latest is asked for. */
static int64
latest_from(const TiledLookup *lookup)
{
	const HistorySpec *spec = &lookup->query->spec;
	int64		from = PG_INT64_MAX;

	for (int i = 0; i < spec->num_features; i++)
	{
		const Span *span = &lookup->spans[spec->features[i].window];

		if (is_latest(&spec->features[i]))
			from = Min(from, span->tiled ? span->last : span->lower);
	}
	return from;
}

/* Find what is in all windows.  False: there are no tiles in them. */
static bool
fill_spans(TiledLookup *lookup, LiveQuery *query, const Datum *key, const bytea *bytes, const LiveView *view,
		   const int64 *lower, const int64 *upper)
{
	if (!set_spans(lookup, bytes, lower, upper))
		return false;
	if (lookup->lt->latest)
	{
		lookup->history = history_create(&query->spec);
		lookup->history_from = latest_from(lookup);
	}
	add_deltas(lookup, bytes);
	if (lookup->extrema && !live_extrema_settle(lookup->extrema, query, key, view, &lookup->reading))
		return false;
	read_edges(lookup, query, key, view);
	return true;
}

/* ---- results ---- */

/* What a feature adds up to in a window.  False: NULL. */
static bool
span_result(const TiledLookup *lookup, const RollingAsked *feature, int window, double *result)
{
	const Totals *totals = lookup->spans[window].totals;
	int			extremum = lookup->lt->extrema[feature - lookup->query->spec.features];

	if (extremum >= 0)
		return live_extrema_result(lookup->extrema, window, extremum, result);
	if (feature->aggregate != ROLLING_COUNT)
		return totals_result(totals, feature->aggregate, lookup->lt->columns[feature->column], result);
	*result = totals->events;
	return true;
}

/* The results that add up. */
static void
add_up(const TiledLookup *lookup, double *results, bool *nulls)
{
	const HistorySpec *spec = &lookup->query->spec;

	for (int i = 0; i < spec->num_features; i++)
	{
		const RollingAsked *feature = &spec->features[i];
		double		previous;

		if (is_latest(feature) || feature->aggregate == ROLLING_DISTINCT)
			continue;
		nulls[i] = !span_result(lookup, feature, feature->window, &results[i]);
		if (feature->change)
		{
			(void) span_result(lookup, feature, feature->window + 1, &previous);
			results[i] = rolling_change(results[i], previous);
			nulls[i] = isnan(results[i]);
		}
		results[i] += 0.0;		/* -0 is 0 */
	}
}

/* The results of the latest event.  False: it is not among the rows at the end. */
static bool
find_latest(const TiledLookup *lookup, int64 time, double *results, bool *nulls)
{
	const HistorySpec *spec = &lookup->query->spec;
	double	   *latest = palloc(sizeof(double) * spec->num_features);
	bool	   *none = palloc(sizeof(bool) * spec->num_features);

	history_ask(lookup->history, time, NULL, NULL, HISTORY_EVERYTHING, latest, none);
	for (int i = 0; i < spec->num_features; i++)
	{
		const RollingAsked *feature = &spec->features[i];

		if (!is_latest(feature))
			continue;
		if (none[i] && lookup->spans[feature->window].lower < lookup->history_from)
			return false;
		results[i] = latest[i];
		nulls[i] = none[i];
	}
	return true;
}

/* Has the running statement changed rows of which deltas are missing?  The parallel
 * workers of one that may have do not know. */
static bool
deltas_missing(void)
{
	return late_pending() || (IsParallelWorker() && TransactionIdIsValid(GetTopTransactionIdIfAny()));
}

/* Can tiles answer a query for the current user, in the running statement? */
static bool
may_use_tiles(LiveQuery *query, const LiveView *view)
{
	Tiling	   *tiling = query_tiling(query)->tiling;

	return guc_use_tiles && tiling && tiling->id != 0 && !view->old_row && !deltas_missing() &&
		tiling_stands(tiling) && tiling->footing == tiling->stored_footing &&
		check_enable_rls(query->source, InvalidOid, true) != RLS_ENABLED && tiling_visible(tiling);
}

/* Answer by what is known of the table.  False: tiles cannot tell, or there are none. */
static bool
look_up(LiveQuery *query, const Datum *key, int64 time, const LiveView *view, LiveReading *reading,
		double *results, bool *nulls)
{
	int			num_windows = query->spec.num_windows;
	int64	   *lower = palloc(sizeof(int64) * num_windows);
	int64	   *upper = palloc(sizeof(int64) * num_windows);
	bytea	   *bytes;
	TiledLookup lookup = {.query = query,.num_spans = num_windows};

	if (!may_use_tiles(query, view))
		return false;
	bytes = tiling_key(query, key);
	if (!bytes)
		return false;
	lookup.lt = query->tiling;
	lookup.edges = palloc(sizeof(Edge) * (num_windows * 2 + 1));
	lookup.spans = palloc0(sizeof(Span) * num_windows);
	lookup.values = palloc(sizeof(Datum) * (lookup.lt->tiling->num_columns + 1));
	lookup.nulls = palloc(sizeof(bool) * (lookup.lt->tiling->num_columns + 1));
	memset(lookup.nulls, true, lookup.lt->tiling->num_columns + 1);
	lookup.reach = &lookup.lt->reach[hash_bytes((unsigned char *) VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ) % lengthof(lookup.lt->reach)];
	if (lookup.lt->extreme)
		lookup.extrema = live_extrema_create(query, lookup.lt->extrema, lookup.lt->tiling, bytes);
	history_bounds(&query->spec, time, lower, upper);
	if (lookup.lt->adds_up && !fill_spans(&lookup, query, key, bytes, view, lower, upper))
		return false;
	if (lookup.lt->distinct &&
		!distinct_lookup(lookup.lt->distinct, key, bytes, time, lower, upper, &lookup.reading, results, nulls))
		return false;
	if (lookup.history && !find_latest(&lookup, time, results, nulls))
		return false;
	add_up(&lookup, results, nulls);
	*reading = lookup.reading;
	return true;
}

/*
 * The features of a key as of a time, as the active snapshot sees it.  False:
 * tiles cannot tell, or there are none.
 *
 * A snapshot can be younger than what was heard, in a function that holds all locks
 * that it needs: triggers may have been disabled, and rows have come unseen, since.
 * What is heard while it is looked up, as that the table has been vacuumed, may have
 * been so before: then it is made once more.
 */
bool
live_tiled_lookup(LiveQuery *query, const Datum *key, int64 time, const LiveView *view,
				  double *results, bool *nulls)
{
	for (int i = 0; i < 2; i++)
	{
		uint64		generation;
		LiveReading reading;

		AcceptInvalidationMessages();
		generation = live_generation();
		if (!look_up(query, key, time, view, &reading, results, nulls))
			return false;
		if (generation == live_generation())
		{
			live_note_lookup(query, key, time, true, &reading); /* which may find other tilings */
			return true;
		}
	}
	return false;
}

/*
 * Of what tiles would have spared a lookup: events before this time.  The latest of
 * those that were read are left out, since more may come among them; of dates none, but
 * more may come of the day that is still going on (tile_build_until()).
 */
static int64
spared_until(const LiveQuery *query, const LiveReading *reading)
{
	int64		latest = reading->recent[(reading->events - 1) % LIVE_RECENT_EVENTS];

	if (query->time_column == DATEOID && latest < END_TIMESTAMP)
		return latest + USECS_PER_DAY;
	return reading->recent[reading->events % LIVE_RECENT_EVENTS];
}

/* Ask for tiles of a key. */
static void
ask_for_tiles(LiveQuery *query, Tiling *tiling, const Datum *key, int64 time, const LiveReading *reading)
{
	int64	   *lower = palloc(sizeof(int64) * query->spec.num_windows);
	int64	   *upper = palloc(sizeof(int64) * query->spec.num_windows);
	bytea	   *bytes = tiling_key(query, key);
	int64		until = PG_INT64_MIN;

	if (!bytes)
		return;
	history_bounds(&query->spec, time, lower, upper);
	for (int i = 1; i < query->spec.num_windows; i++)
		lower[0] = Min(lower[0], lower[i]);
	if (reading->events > MANY_EVENTS)
		until = spared_until(query, reading);
	if (reading->edges > MANY_EVENTS)
		until = Max(until, reading->edges_until);
	tile_request(tiling, bytes, lower[0], tile_build_until(tiling, until));
}

/* Count a lookup as of a time, and ask for tiles if they would have spared it the
 * reading of many events. */
void
live_note_lookup(LiveQuery *query, const Datum *key, int64 time, bool by_tiles, const LiveReading *reading)
{
	const LiveTiling *lt = query_tiling(query);

	if (lt->counters)
	{
		pg_atomic_fetch_add_u64(by_tiles ? &lt->counters->by_tiles : &lt->counters->by_rows, 1);
		pg_atomic_fetch_add_u64(&lt->counters->events, reading->events + reading->edges);
	}
	if ((reading->events > MANY_EVENTS || reading->edges > MANY_EVENTS) &&
		guc_use_tiles && lt->tiling && tiling_stands(lt->tiling))
		ask_for_tiles(query, lt->tiling, key, time, reading);
}
