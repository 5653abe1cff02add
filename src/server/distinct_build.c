/*
 * distinct_build.c
 *		At which moments counts of different values are known, and what they are.
 *
 * A lookup reads the rows by which the bounds of its windows have moved since the
 * nearest such moment.  So there is one whenever any bound has passed by some events
 * of the key since the last one: the upper bounds go along with the events, the lower
 * ones pass by a burst of a week ago while the key is quiet.
 *
 * Where little has come since the last moment, counts follow from it as those of a
 * lookup do (distinct.c).  Else a history takes all events from the first tile on,
 * and says them all.  Windows begin no earlier than that tile, and what is stored is
 * what was counted: a lookup corrects that like anything else.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "distinct.h"
#include "tile.h"

/* A moment is known when a bound has passed so many events; that is looked at every
 * so many ones. */
#define MOMENT_EVENTS	16
#define STEP_EVENTS		4

/* A bound of windows, lower or upper. */
typedef struct Bound
{
	int			window;
	bool		upper;
	int64		passed;			/* events, since the last moment */
} Bound;

/* When a bound has passed some more events. */
typedef struct Passing
{
	int64		time;
	Bound	   *bound;
} Passing;

typedef struct Moments
{
	const Tiling *tiling;
	LiveQuery  *counted;
	const Datum *key;
	int64		first;			/* windows do not begin before this time */
	int64		start;			/* the last moment that is known, or first */
	int64	   *lower;			/* [num_windows] as of some time */
	int64	   *upper;
	int			num_bounds;
	Bound	   *bounds;
	Bound	   *bound;			/* whose passings are read */
	int64		num_passings;
	int64		capacity;
	Passing    *passings;
	int64		num_times;		/* of the moments to come */
	int64	   *times;
} Moments;

/* ---- when ---- */

static int64
bound_at(Moments *moments, const Bound *bound, int64 time)
{
	history_bounds(&moments->counted->spec, time, moments->lower, moments->upper);
	return bound->upper ? moments->upper[bound->window] : moments->lower[bound->window];
}

/* About when a bound passes an event; to the microsecond, but where calendars jump. */
static int64
passing_time(Moments *moments, const Bound *bound, int64 event)
{
	int64		time = moments->start;

	for (int i = 0; i < 2; i++)
	{
		time += event + 1 - Max(bound_at(moments, bound, time), MIN_TIMESTAMP);
		time = Min(Max(time, moments->start), moments->tiling->planned);
	}
	return time;
}

/* Take an event that the bound passes by. */
static void
take_passing(void *arg, int64 time, const Datum *values, const bool *nulls)
{
	Moments    *moments = arg;

	if (++moments->bound->passed % STEP_EVENTS != 0)
		return;
	if (moments->num_passings == moments->capacity)
	{
		moments->capacity *= 2;
		moments->passings = repalloc_huge(moments->passings, sizeof(Passing) * moments->capacity);
	}
	moments->passings[moments->num_passings++] = (Passing) {passing_time(moments, moments->bound, time), moments->bound};
}

static int
compare_passings(const void *a, const void *b)
{
	int64		x = ((const Passing *) a)->time;
	int64		y = ((const Passing *) b)->time;

	return x < y ? -1 : x > y;
}

/* The bounds of the windows; upper ones of one delay once. */
static void
find_bounds(Moments *moments)
{
	const HistorySpec *spec = &moments->counted->spec;

	moments->bounds = palloc0(sizeof(Bound) * spec->num_windows * 2);
	for (int i = 0; i < spec->num_windows; i++)
	{
		int			j = 0;

		moments->bounds[moments->num_bounds++] = (Bound) {i, false, 0};
		while (memcmp(&spec->windows[j].delay, &spec->windows[i].delay, sizeof(Interval)) != 0)
			j++;
		if (j == i)
			moments->bounds[moments->num_bounds++] = (Bound) {i, true, 0};
	}
}

/* When counts are to be known, after a time and from the start on. */
static void
find_times(Moments *moments, int64 latest)
{
	int64		planned = moments->tiling->planned;

	find_bounds(moments);
	moments->capacity = 64;
	moments->passings = palloc(sizeof(Passing) * moments->capacity);
	for (int i = 0; i < moments->num_bounds; i++)
	{
		int64		from;
		int64		until;

		moments->bound = &moments->bounds[i];
		from = Max(bound_at(moments, moments->bound, moments->start), moments->first);
		until = bound_at(moments, moments->bound, planned);
		if (from < until)
			live_scan(moments->counted, moments->key, &(LiveRange) {from, until}, 1, &(LiveView) {0}, take_passing, moments);
		moments->bound->passed = 0;
	}
	qsort(moments->passings, moments->num_passings, sizeof(Passing), compare_passings);
	moments->times = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(int64) * (moments->num_passings + 1), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < moments->num_passings; i++)
	{
		const Passing *passing = &moments->passings[i];

		passing->bound->passed += STEP_EVENTS;
		if (passing->bound->passed < MOMENT_EVENTS || passing->time <= latest)
			continue;			/* a burst of events is one moment */
		moments->times[moments->num_times++] = latest = passing->time;
		for (int j = 0; j < moments->num_bounds; j++)
			moments->bounds[j].passed = 0;
	}
}

/* ---- what ---- */

/* The windows of a moment, as far as they count. */
static void
set_windows(Moments *moments, int64 time, DistinctCount *windows)
{
	const HistorySpec *spec = &moments->counted->spec;

	history_bounds(spec, time, moments->lower, moments->upper);
	for (int i = 0; i < spec->num_features; i++)
	{
		windows[i].lower = Max(moments->lower[spec->features[i].window], moments->first);
		windows[i].upper = Max(moments->upper[spec->features[i].window], moments->first);
	}
}

/* Make the moments' counts, each from those before. */
static void
follow(Moments *moments, const bytea *bytes, const DistinctCount *known)
{
	LiveQuery  *counted = moments->counted;
	int			num = counted->spec.num_features;
	DistinctCount *counts = palloc(sizeof(DistinctCount) * num);
	DistinctAsked *asked = palloc(sizeof(DistinctAsked) * num);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_risk counts", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scratch);

	memcpy(counts, known, sizeof(DistinctCount) * num);
	for (int64 i = 0; i < moments->num_times; i++)
	{
		for (int j = 0; j < num; j++)
		{
			asked[j].id = counted->spec.features[j].column;
			asked[j].known = counts[j];
		}
		set_windows(moments, moments->times[i], counts);
		for (int j = 0; j < num; j++)
			asked[j].now = counts[j];
		distinct_follow(counted, moments->key, asked);
		for (int j = 0; j < num; j++)
			counts[j] = asked[j].now;
		tile_insert_counts(moments->tiling, bytes, moments->times[i], distinct_store_counts(counts, num, moments->times[i]));
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(caller);
}

/* What takes all events: a history, which is asked when a moment has come. */
typedef struct Replay
{
	Moments    *moments;
	const bytea *bytes;
	History    *history;
	int64		next;			/* of the moments */
	double	   *results;
	bool	   *nulls;
	DistinctCount *counts;
} Replay;

/* Make the counts of the moments that are not later. */
static void
count_until(Replay *replay, int64 time)
{
	Moments    *moments = replay->moments;
	int			num = moments->counted->spec.num_features;

	for (; replay->next < moments->num_times && moments->times[replay->next] <= time; replay->next++)
	{
		int64		moment = moments->times[replay->next];
		bytea	   *stored;

		set_windows(moments, moment, replay->counts);
		history_ask(replay->history, moment, NULL, NULL, HISTORY_EVERYTHING, replay->results, replay->nulls);
		for (int i = 0; i < num; i++)
			replay->counts[i].count = replay->results[i];
		stored = distinct_store_counts(replay->counts, num, moment);
		tile_insert_counts(moments->tiling, replay->bytes, moment, stored);
		pfree(stored);
	}
}

static void
replay_event(void *arg, int64 time, const Datum *values, const bool *nulls)
{
	Replay	   *replay = arg;

	count_until(replay, time);
	history_add(replay->history, time, HISTORY_ALWAYS, values, nulls);
}

/* Make the moments' counts from all events. */
static void
count_all(Moments *moments, const bytea *bytes)
{
	int			num = moments->counted->spec.num_features;
	Replay		replay = {
		.moments = moments,
		.bytes = bytes,
		.history = history_create(&moments->counted->spec),
		.results = palloc(sizeof(double) * num),
		.nulls = palloc(sizeof(bool) * num),
		.counts = palloc(sizeof(DistinctCount) * num)
	};

	live_scan(moments->counted, moments->key, &(LiveRange) {moments->first, moments->tiling->planned}, 1,
			  &(LiveView) {0}, replay_event, &replay);
	count_until(&replay, PG_INT64_MAX);
}

/* The counts of the last moment up to a time.  False: there are none, or of windows
 * of which changes may have been forgotten. */
static bool
find_start(const Tiling *tiling, const bytea *bytes, int64 first, int64 until, DistinctCount *known, int64 *at)
{
	int			num = tiling->counted->spec.num_features;
	TileReader	reader;
	bool		found;

	tile_reader_open(&reader, tiling, bytes, TILE_DISTINCTS);
	found = tile_find(&reader, until, true, at);
	if (found)
		distinct_load_counts(known, num, tile_counts(&reader), *at);
	tile_reader_close(&reader);
	for (int i = 0; i < num && found; i++)
		found = known[i].lower >= first;
	return found;
}

/* Do the counts of a key that are known up to a time go on?  Otherwise all are made
 * anew, and the caller deletes them. */
bool
distinct_goes_on(const Tiling *tiling, const bytea *bytes, int64 first, int64 until)
{
	DistinctCount *known = palloc(sizeof(DistinctCount) * tiling->counted->spec.num_features);
	int64		at;

	return find_start(tiling, bytes, first, until, known, &at);
}

/* Is it less to follow the moments than to count all? */
static bool
is_short(Moments *moments)
{
	int64		oldest = moments->start;

	history_bounds(&moments->counted->spec, moments->start, moments->lower, moments->upper);
	for (int i = 0; i < moments->counted->spec.num_windows; i++)
		oldest = Min(oldest, moments->lower[i]);
	return moments->tiling->planned - moments->start < (moments->start - oldest) / 8;
}

/*
 * Make the counts of a key, as the active snapshot sees its events and as far as tiles
 * can go.  first: the time of its first tile; what is known until a time is right, and
 * the caller has deleted the rest.
 */
void
distinct_build(const Tiling *tiling, const bytea *bytes, const Datum *key, int64 first, int64 until)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk moments", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	LiveQuery  *counted = tiling->counted;
	DistinctCount *known = palloc(sizeof(DistinctCount) * counted->spec.num_features);
	Moments		moments = {
		.tiling = tiling,
		.counted = counted,
		.key = key,
		.first = first,
		.lower = palloc(sizeof(int64) * counted->spec.num_windows),
		.upper = palloc(sizeof(int64) * counted->spec.num_windows)
	};
	bool		found = find_start(tiling, bytes, first, until, known, &moments.start);

	if (!found)
		moments.start = first;
	find_times(&moments, found ? moments.start : PG_INT64_MIN);
	if (moments.num_times > 0)
	{
		if (found && is_short(&moments))
			follow(&moments, bytes, known);
		else
			count_all(&moments, bytes);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
