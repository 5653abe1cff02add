/*
 * live_extrema.c
 *		Minima and maxima of the windows of a lookup that tiles answer.
 *
 * Tiles and deltas of rows that came have extrema, which are merged with those of the
 * rows at the edges.  A delta of a row that went matters only if its value is the
 * extremum found: then that may be gone.  What is between the two tiles around it is
 * then read as rows, a hole in the window, and merged with what tiles say of the rest,
 * which may leave another value in doubt.  Values that are in doubt are few, since
 * deltas are folded in when they are many; a lookup that finds more reads rows alone.
 */
#include "postgres.h"

#include "live_extrema.h"
#include "tile_extrema.h"

#define MAX_HOLES	32

/* A window. */
typedef struct ExtremaWindow
{
	bool		asked;			/* some extremum is */
	int64		from;			/* between tiles of these times, */
	int64		to;				/* from < to unless there are none, */
	int64		first;			/* and of these numbers */
	int64		last;
	Rank	   *tiled;			/* of tiles and deltas outside of holes */
	Rank	   *rows;			/* of rows */
} ExtremaWindow;

typedef struct ExtremaDelta
{
	int64		time;
	bool		gone;
	Rank	   *ranks;
} ExtremaDelta;

/* What is between a tile and the one before is read as rows. */
typedef struct Hole
{
	int64		from;
	int64		to;
	int64		seq;
} Hole;

struct LiveExtrema
{
	const Tiling *tiling;
	const bytea *key;
	int			count;			/* extrema */
	int		   *places;			/* [count] in the query's values; -1: not asked for */
	Rank	   *row;			/* of the row at hand */
	int			num_windows;
	ExtremaWindow *windows;
	int			num_deltas;
	int			allocated;
	ExtremaDelta *deltas;
	int			num_holes;
	Hole		holes[MAX_HOLES];	/* in order of time */
	const Hole *hole;			/* that is being read */
	LiveReading *reading;
};

int
live_extremum(const LiveQuery *query, const RollingAsked *feature, const Tiling *tiling)
{
	for (int i = 0; i < tiling->num_extrema; i++)
	{
		if (tiling->extrema[i].max == (feature->aggregate == ROLLING_MAX) &&
			strcmp(tiling->query->columns[tiling->extrema_values[i]], query->columns[feature->column]) == 0)
			return i;
	}
	return -1;
}

static Rank *
no_ranks(int count)
{
	Rank	   *ranks = palloc(sizeof(Rank) * count);

	extrema_reset(ranks, count);
	return ranks;
}

LiveExtrema *
live_extrema_create(const LiveQuery *query, const int *extrema, const Tiling *tiling, const bytea *key)
{
	LiveExtrema *x = palloc0(sizeof(LiveExtrema));
	int			count = tiling->num_extrema;

	x->tiling = tiling;
	x->key = key;
	x->count = count;
	x->places = palloc(sizeof(int) * count);
	memset(x->places, -1, sizeof(int) * count);
	x->row = palloc(sizeof(Rank) * count);
	x->num_windows = query->spec.num_windows;
	x->windows = palloc0(sizeof(ExtremaWindow) * x->num_windows);
	for (int i = 0; i < x->num_windows; i++)
	{
		x->windows[i].tiled = no_ranks(count);
		x->windows[i].rows = no_ranks(count);
	}
	for (int i = 0; i < query->spec.num_features; i++)
	{
		if (extrema[i] < 0)
			continue;
		x->places[extrema[i]] = query->spec.features[i].column;
		x->windows[query->spec.features[i].window].asked = true;
	}
	return x;
}

/* ---- tiles and deltas ---- */

static bool
in_hole(const LiveExtrema *x, int64 time)
{
	for (int i = 0; i < x->num_holes; i++)
	{
		if (time >= x->holes[i].from && time < x->holes[i].to)
			return true;
	}
	return false;
}

/* Is a delta between the tiles of a window, and not in a hole? */
static bool
counts(const LiveExtrema *x, const ExtremaWindow *w, const ExtremaDelta *delta)
{
	return delta->time >= w->from && delta->time < w->to && !in_hole(x, delta->time);
}

/* Set what tiles say of a window, outside of holes. */
static void
take_tiles(const LiveExtrema *x, TileReader *reader, ExtremaWindow *w)
{
	int64		first = w->first;

	extrema_reset(w->tiled, x->count);
	for (int i = 0; i < x->num_holes; i++)
	{
		const Hole *hole = &x->holes[i];

		if (hole->seq <= w->first || hole->seq > w->last)
			continue;
		tile_extrema_between(reader, first, hole->seq - 1, w->tiled);
		first = hole->seq;
	}
	tile_extrema_between(reader, first, w->last, w->tiled);
}

/* Add the rows that have come. */
static void
take_deltas(const LiveExtrema *x, ExtremaWindow *w)
{
	for (int i = 0; i < x->num_deltas; i++)
	{
		const ExtremaDelta *delta = &x->deltas[i];

		if (!delta->gone && counts(x, w, delta))
			extrema_merge(w->tiled, delta->ranks, x->count);
	}
}

void
live_extrema_window(LiveExtrema *x, TileReader *reader, int window, int64 from, int64 to, int64 first, int64 last)
{
	ExtremaWindow *w = &x->windows[window];

	if (!w->asked)
		return;
	w->from = from;
	w->to = to;
	w->first = first;
	w->last = last;
	take_tiles(x, reader, w);
}

void
live_extrema_delta(LiveExtrema *x, TileReader *reader, int64 time, bool gone)
{
	ExtremaDelta *delta;

	if (x->num_deltas == x->allocated)
	{
		Size		size;

		x->allocated = Max(x->allocated * 2, 32);
		size = sizeof(ExtremaDelta) * x->allocated;
		x->deltas = x->deltas ? repalloc_huge(x->deltas, size) : palloc(size);
	}
	delta = &x->deltas[x->num_deltas++];
	delta->time = time;
	delta->gone = gone;
	delta->ranks = palloc(sizeof(Rank) * x->count);
	extrema_load(tile_extrema(reader), 0, delta->ranks, x->count);
}

/* ---- values in doubt ---- */

/* Is an extremum of a window in doubt, since a row has gone? */
static bool
doubts(const LiveExtrema *x, const ExtremaWindow *w, const ExtremaDelta *delta)
{
	for (int i = 0; i < x->count; i++)
	{
		if (x->places[i] >= 0 && delta->ranks[i] <= w->tiled[i] && delta->ranks[i] < w->rows[i])
			return true;
	}
	return false;
}

/* A delta that leaves a window in doubt; NULL: there is none. */
static const ExtremaDelta *
find_doubt(const LiveExtrema *x)
{
	for (int i = 0; i < x->num_windows; i++)
	{
		const ExtremaWindow *w = &x->windows[i];

		for (int j = 0; j < x->num_deltas; j++)
		{
			const ExtremaDelta *delta = &x->deltas[j];

			if (delta->gone && doubts(x, w, delta) && counts(x, w, delta))
				return delta;
		}
	}
	return NULL;
}

/* Take a row in a hole: into the windows that it is in. */
static void
take_row(void *arg, int64 time, const Datum *values, const bool *nulls)
{
	LiveExtrema *x = arg;

	live_note_read(x->reading, time);
	live_extrema_row(x, values, nulls);
	for (int i = 0; i < x->num_windows; i++)
	{
		if (time >= x->windows[i].from && time < x->windows[i].to)
			live_extrema_add(x, i);
	}
}

/* The hole around a time.  Errors: XX001 there are no tiles around it. */
static const Hole *
make_hole(LiveExtrema *x, TileReader *reader, int64 time)
{
	int			place = x->num_holes;
	Hole		hole;

	if (!tile_find(reader, time, true, &hole.from) || !tile_find(reader, time + 1, false, &hole.to))
		totals_report_damage();
	hole.seq = tile_seq(reader);
	for (; place > 0 && x->holes[place - 1].seq > hole.seq; place--)
		x->holes[place] = x->holes[place - 1];
	x->holes[place] = hole;
	x->num_holes++;
	return &x->holes[place];
}

bool
live_extrema_settle(LiveExtrema *x, LiveQuery *query, const Datum *key, const LiveView *view, LiveReading *reading)
{
	const ExtremaDelta *doubt;
	TileReader	reader;

	x->reading = reading;
	for (int i = 0; i < x->num_windows; i++)
		take_deltas(x, &x->windows[i]);
	if (!find_doubt(x))
		return true;
	tile_reader_open(&reader, x->tiling, x->key, TILE_TOTALS);
	while ((doubt = find_doubt(x)) && x->num_holes < MAX_HOLES)
	{
		const Hole *hole = make_hole(x, &reader, doubt->time);

		live_scan(query, key, &(LiveRange) {hole->from, hole->to}, 1, view, take_row, x);
		for (int i = 0; i < x->num_windows; i++)
		{
			ExtremaWindow *w = &x->windows[i];

			if (hole->from < w->from || hole->to > w->to)
				continue;
			take_tiles(x, &reader, w);
			take_deltas(x, w);
		}
	}
	tile_reader_close(&reader);
	return !doubt;
}

/* ---- rows ---- */

void
live_extrema_row(LiveExtrema *x, const Datum *values, const bool *nulls)
{
	extrema_of_event(x->tiling->extrema, x->places, values, nulls, x->row, x->count);
}

void
live_extrema_add(LiveExtrema *x, int window)
{
	extrema_merge(x->windows[window].rows, x->row, x->count);
}

bool
live_extrema_result(const LiveExtrema *x, int window, int extremum, double *result)
{
	const ExtremaWindow *w = &x->windows[window];

	return extremum_value(&x->tiling->extrema[extremum], Min(w->tiled[extremum], w->rows[extremum]), result);
}
