/*
 * distinct.c
 *		How many different values a column has in windows of a hot key.
 *
 * A count of different values is no sum: that of two spans does not say that of
 * both.  But from one moment to another little changes.  So it is known at some
 * moments (distinct_build.c), and a lookup corrects what is known at the nearest:
 * of a value that rows at the bounds have, or changes since, the question is whether
 * it is in the window now, and whether it was then.  For all other values nothing
 * has changed.
 *
 * Of the rows that such a value has now, let A be those in the window of now alone, B
 * those in the window of then alone, and C those in both; N is what the deltas in the
 * window of then add up to, so many more rows than then are there now.  The value is
 * in the window now if A + C > 0, and was then if B + C > N.  A and B are read.  C is
 * not, but found out as far as the answer depends on it: by a probe of an index that
 * leads from key and value to the times (live_probe.c).
 *
 * Counts, deltas and rows are read with one snapshot, so the result is that of the
 * rows.  Values are equal as for a history (rolling_run.c), whose equality is the
 * index's.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "distinct.h"
#include "tile.h"

/* What touches more values reads rows instead; and what is further from a known
 * moment than this part of the widest window. */
#define MOST_TOUCHED	16384
#define NEAR			4

/* ---- stored forms ---- */

/* Of each column its value, or that there is none. */
bytea *
distinct_store_items(const LiveQuery *counted, const Datum *items, const bool *nulls)
{
	StringInfoData stored;

	initStringInfo(&stored);
	appendStringInfoSpaces(&stored, VARHDRSZ);
	for (int i = 0; i < counted->spec.num_ids; i++)
	{
		appendStringInfoChar(&stored, nulls[i] ? 'n' : 'v');
		if (!nulls[i])
			tiling_put_value(&stored, counted->spec.ids[i].type, items[i]);
	}
	SET_VARSIZE(stored.data, stored.len);
	return (bytea *) stored.data;
}

/* Errors: XX001 not such a form. */
static void
load_items(const LiveQuery *counted, const bytea *stored, Datum *items, bool *nulls)
{
	const char *data = VARDATA_ANY(stored);
	const char *end = data + VARSIZE_ANY_EXHDR(stored);

	for (int i = 0; i < counted->spec.num_ids; i++)
	{
		if (data == end || (*data != 'n' && *data != 'v'))
			totals_report_damage();
		nulls[i] = *data++ == 'n';
		if (!nulls[i] && !tiling_get_value(&data, end, counted->spec.ids[i].type, &items[i]))
			totals_report_damage();
	}
	if (data != end)
		totals_report_damage();
}

/* Seven bits a byte, the lowest first; more follow where the eighth is set. */
static void
put_number(StringInfo stored, uint64 number)
{
	for (; number >= 0x80; number >>= 7)
		appendStringInfoCharMacro(stored, (char) (number | 0x80));
	appendStringInfoCharMacro(stored, (char) number);
}

static uint64
get_number(const char **data, const char *end)
{
	uint64		number = 0;

	for (int shift = 0; *data < end && shift < 64; shift += 7)
	{
		uint8		byte = *(*data)++;

		number |= (uint64) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return number;
	}
	totals_report_damage();
	return 0;
}

/* Of each count how long its window ends before the time, how wide it is, and how
 * many values there are. */
bytea *
distinct_store_counts(const DistinctCount *counts, int num, int64 time)
{
	StringInfoData stored;

	initStringInfo(&stored);
	appendStringInfoSpaces(&stored, VARHDRSZ);
	for (int i = 0; i < num; i++)
	{
		put_number(&stored, (uint64) time - counts[i].upper);
		put_number(&stored, (uint64) counts[i].upper - counts[i].lower);
		put_number(&stored, counts[i].count);
	}
	SET_VARSIZE(stored.data, stored.len);
	return (bytea *) stored.data;
}

/* Errors: XX001 not such a form. */
void
distinct_load_counts(DistinctCount *counts, int num, const bytea *stored, int64 time)
{
	const char *data = VARDATA_ANY(stored);
	const char *end = data + VARSIZE_ANY_EXHDR(stored);

	for (int i = 0; i < num; i++)
	{
		counts[i].upper = (uint64) time - get_number(&data, end);
		counts[i].lower = (uint64) counts[i].upper - get_number(&data, end);
		counts[i].count = get_number(&data, end);
	}
	if (data != end)
		totals_report_damage();
}

/* ---- corrections ---- */

/* A value that may have come or gone. */
typedef struct Touched
{
	int			id;				/* of which column */
	uint64		number;			/* equal for equal values */
	Datum		value;
	int64		time;
	int64		delta;			/* what a delta adds; 0: a row */
} Touched;

/* What was found out last about a value: the latest of its rows. */
typedef struct Seen
{
	int64		lower;
	int64		upper;			/* not above lower: nothing yet */
	int64		latest;
} Seen;

typedef struct Recount
{
	LiveQuery  *query;
	int			num_asked;
	DistinctAsked *asked;
	DistinctAsked **wide;		/* the same, those that begin early first: what is found
								 * for them answers others, too */
	Datum	   *key;			/* [num_keys + 1], the last one for a value */
	RollingIds **numbers;		/* [num_ids]; NULL: not counted */
	LiveProbeScan **probes;		/* likewise */
	MemoryContext context;		/* of what is touched, */
	int64		most;			/* which may be as much */
	bool		failed;			/* an index is gone */
	int64		num_read;
	int64		num_touched;
	int64		capacity;
	Touched    *touched;
} Recount;

static bool
covers(const DistinctCount *count, int64 time)
{
	return time >= count->lower && time < count->upper;
}

static void
touch(Recount *recount, int id, Datum value, int64 time, int64 delta)
{
	Touched    *touched;
	int16		length;
	bool		by_value;
	MemoryContext caller;

	if (recount->num_touched > recount->most)
		return;
	caller = MemoryContextSwitchTo(recount->context);
	if (recount->num_touched == recount->capacity)
	{
		recount->capacity *= 2;
		recount->touched = repalloc_huge(recount->touched, sizeof(Touched) * recount->capacity);
	}
	touched = &recount->touched[recount->num_touched++];
	touched->id = id;
	touched->number = rolling_ids_number(recount->numbers[id], value, false, ROLLING_ALL_IDS);
	get_typlenbyval(recount->query->spec.ids[id].type, &length, &by_value);
	touched->value = length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(value)) : datumCopy(value, by_value, length);
	touched->time = time;
	touched->delta = delta;
	MemoryContextSwitchTo(caller);
}

/* Take a row near a bound: its values of which a window has it that is known, or is
 * asked for, but not both. */
static void
take_row(void *arg, int64 time, const Datum *values, const bool *nulls)
{
	Recount    *recount = arg;
	const HistorySpec *spec = &recount->query->spec;

	recount->num_read++;
	for (int id = 0; id < spec->num_ids; id++)
	{
		bool		at_edge = false;

		for (int i = 0; i < recount->num_asked && !at_edge; i++)
		{
			const DistinctAsked *asked = &recount->asked[i];

			at_edge = asked->id == id && covers(&asked->known, time) != covers(&asked->now, time);
		}
		if (at_edge && !nulls[spec->num_values + id])
			touch(recount, id, values[spec->num_values + id], time, 0);
	}
}

/* The next span of times, not before one, in which rows are at a bound: between
 * two lower or two upper ones.  False: there is none. */
static bool
next_edge(const Recount *recount, int64 *from, int64 *until)
{
	int64		time = *from;
	bool		any = false;

	for (int i = 0; i < recount->num_asked * 2; i++)
	{
		const DistinctAsked *asked = &recount->asked[i / 2];
		int64		one = i % 2 ? asked->known.upper : asked->known.lower;
		int64		other = i % 2 ? asked->now.upper : asked->now.lower;
		int64		begin = Max(Min(one, other), time);
		int64		end = Max(one, other);

		if (begin >= end || (any && begin > *from))
			continue;
		*until = any && begin == *from ? Max(*until, end) : end;
		*from = begin;
		any = true;
	}
	return any;
}

static int
compare_touched(const void *a, const void *b)
{
	const Touched *x = a;
	const Touched *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* How many rows have a value in both windows, as far as that is asked. */
static int64
count_common(Recount *recount, const DistinctAsked *asked, Datum value, int64 most, Seen *seen)
{
	int64		lower = Max(asked->known.lower, asked->now.lower);
	int64		upper = Min(asked->known.upper, asked->now.upper);
	LiveProbeScan **probe = &recount->probes[asked->id];
	int64		count;

	if (lower >= upper || recount->failed)
		return 0;
	if (most == 1 && seen->lower < seen->upper && seen->lower <= lower)
	{
		if (seen->latest >= lower && seen->latest < upper)
			return 1;
		if (seen->upper == upper)
			return 0;
	}
	if (!*probe)
		*probe = live_probe_open(live_probe(recount->query, asked->id));
	recount->key[recount->query->num_keys] = value;
	seen->lower = lower;
	seen->upper = upper;
	count = live_probe_count(*probe, recount->key, lower, upper, most, &seen->latest);
	recount->failed |= count < 0;
	return count;
}

/* Set the count that is asked for right for a value, which touched .. end - 1 are. */
static void
settle(Recount *recount, DistinctAsked *asked, const Touched *touched, const Touched *end, Seen *seen)
{
	int64		come = 0;		/* A, B and N, see above */
	int64		gone = 0;
	int64		net = 0;
	Datum		value = touched->value;
	int64		common;

	for (; touched < end; touched++)
	{
		bool		then = covers(&asked->known, touched->time);

		if (touched->delta != 0)
			net += then ? touched->delta : 0;
		else if (then != covers(&asked->now, touched->time))
			*(then ? &gone : &come) += 1;
	}
	if ((come == 0 && gone == 0 && net == 0) || (come > 0 && gone > net))
		return;
	common = count_common(recount, asked, value, Max(1, net - gone + 1), seen);
	asked->now.count += (come + common > 0) - (gone + common > net);
}

static void
settle_all(Recount *recount)
{
	const Touched *end = recount->touched + recount->num_touched;
	const Touched *next;

	qsort(recount->touched, recount->num_touched, sizeof(Touched), compare_touched);
	for (const Touched *first = recount->touched; first < end; first = next)
	{
		Seen		seen = {0};

		for (next = first; next < end && compare_touched(first, next) == 0; next++);
		for (int i = 0; i < recount->num_asked; i++)
		{
			if (recount->wide[i]->id == first->id)
				settle(recount, recount->wide[i], first, next, &seen);
		}
	}
}

static int
compare_begin(const void *a, const void *b)
{
	int64		x = (*(DistinctAsked *const *) a)->now.lower;
	int64		y = (*(DistinctAsked *const *) b)->now.lower;

	return x < y ? -1 : x > y;
}

/* In the current memory context. */
static Recount
begin_recount(LiveQuery *query, const Datum *key, int num_asked, DistinctAsked *asked, int64 most)
{
	const HistorySpec *spec = &query->spec;
	Recount		recount = {
		.query = query,
		.context = CurrentMemoryContext,
		.num_asked = num_asked,
		.asked = asked,
		.wide = palloc(sizeof(DistinctAsked *) * num_asked),
		.key = palloc(sizeof(Datum) * (query->num_keys + 1)),
		.numbers = palloc0(sizeof(RollingIds *) * spec->num_ids),
		.probes = palloc0(sizeof(LiveProbeScan *) * spec->num_ids),
		.most = most,
		.capacity = 64,
		.touched = palloc(sizeof(Touched) * 64)
	};

	memcpy(recount.key, key, sizeof(Datum) * query->num_keys);
	for (int i = 0; i < num_asked; i++)
	{
		int			id = asked[i].id;

		recount.wide[i] = &asked[i];
		asked[i].now.count = asked[i].known.count;
		if (!recount.numbers[id])
			recount.numbers[id] = rolling_ids_create(CurrentMemoryContext, spec->ids[id].type, spec->ids[id].collation);
	}
	qsort(recount.wide, num_asked, sizeof(DistinctAsked *), compare_begin);
	return recount;
}

/* Correct the counts by the rows at the bounds, and by what is touched already.
 * False: it is too much, or an index is gone. */
static bool
finish_recount(Recount *recount)
{
	LiveRange  *ranges = palloc(sizeof(LiveRange) * recount->num_asked * 4);
	int			num_ranges = 0;
	int64		from = PG_INT64_MIN;
	int64		until = from;

	for (; next_edge(recount, &from, &until); from = until)
		ranges[num_ranges++] = (LiveRange) {from, until};
	live_scan(recount->query, recount->key, ranges, num_ranges, &(LiveView) {0}, take_row, recount);
	if (recount->num_touched > recount->most)
		return false;
	settle_all(recount);
	for (int i = 0; i < recount->query->spec.num_ids; i++)
	{
		if (recount->probes[i])
			live_probe_close(recount->probes[i]);
	}
	return !recount->failed;
}

/* The counts that are asked for of a key, where nothing has changed since those that
 * are known: one for each feature of the query. */
void
distinct_follow(LiveQuery *counted, const Datum *key, DistinctAsked *asked)
{
	Recount		recount = begin_recount(counted, key, counted->spec.num_features, asked, PG_INT64_MAX);

	if (!finish_recount(&recount))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("an index of table \"%s\" is gone", get_rel_name(counted->source))));
}

/* ---- lookups ---- */

struct LiveDistinct
{
	LiveQuery  *query;
	const Tiling *tiling;
	int			num_asked;
	DistinctAsked *asked;		/* one for each feature that counts: */
	int		   *features;		/* which of the query's it is, */
	int		   *counts;			/* and of the tiling's */
	int64		reach[64];		/* of tile_find_near(), by hashes of keys: counts, */
	int64		tile_reach[64];	/* and tiles */
};

/* What counts different values in a query, in the current memory context; NULL:
 * nothing does. */
LiveDistinct *
distinct_create(LiveQuery *query)
{
	const HistorySpec *spec = &query->spec;
	LiveDistinct *distinct = palloc0(sizeof(LiveDistinct));

	distinct->query = query;
	distinct->asked = palloc0(sizeof(DistinctAsked) * spec->num_features);
	distinct->features = palloc(sizeof(int) * spec->num_features);
	distinct->counts = palloc(sizeof(int) * spec->num_features);
	for (int i = 0; i < spec->num_features; i++)
	{
		if (spec->features[i].aggregate != ROLLING_DISTINCT)
			continue;
		distinct->asked[distinct->num_asked].id = spec->features[i].column;
		distinct->features[distinct->num_asked++] = i;
	}
	return distinct->num_asked > 0 ? distinct : NULL;
}

/* Find the counts of a tiling that answer.  False: they do not answer all. */
bool
distinct_find(LiveDistinct *distinct, const Tiling *tiling)
{
	LiveQuery  *counted = tiling->counted;

	distinct->tiling = tiling;
	for (int i = 0; i < distinct->num_asked; i++)
	{
		const char *name = distinct->query->names[distinct->features[i]];
		int			j = 0;

		while (counted && j < counted->spec.num_features && strcmp(counted->names[j], name) != 0)
			j++;
		if (!counted || j == counted->spec.num_features)
			return false;
		distinct->counts[i] = j;
	}
	return true;
}

static int
reach_of(const bytea *bytes)
{
	return hash_bytes((unsigned char *) VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ) % 64;
}

/* Find the counts that are known at the nearest time. */
static bool
find_known(LiveDistinct *distinct, const bytea *bytes, int64 time, DistinctCount *counts, int64 *at)
{
	int64	   *reach = &distinct->reach[reach_of(bytes)];
	int			num = distinct->tiling->counted->spec.num_features;
	TileReader	reader;
	int64		after;
	bool		found;

	tile_reader_open(&reader, distinct->tiling, bytes, TILE_DISTINCTS);
	found = tile_find_near(&reader, time, true, reach, at);
	if (found)
		distinct_load_counts(counts, num, tile_counts(&reader), *at);
	if (tile_find_near(&reader, time, false, reach, &after) && (!found || after - time < time - *at))
	{
		distinct_load_counts(counts, num, tile_counts(&reader), after);
		*at = after;
		found = true;
	}
	tile_reader_close(&reader);
	return found;
}

/* Are all changes since the counts were known that matter there?  Those before the
 * first tile are forgotten. */
static bool
changes_kept(LiveDistinct *distinct, const bytea *bytes)
{
	TileReader	reader;
	int64		oldest = PG_INT64_MAX;
	int64		tile;
	bool		found;

	for (int i = 0; i < distinct->num_asked; i++)
		oldest = Min(oldest, distinct->asked[i].known.lower);
	tile_reader_open(&reader, distinct->tiling, bytes, TILE_TOTALS);
	found = tile_find_near(&reader, oldest, true, &distinct->tile_reach[reach_of(bytes)], &tile);
	tile_reader_close(&reader);
	return found;
}

/* Is a moment so near that the bounds have moved over less than the windows have? */
static bool
is_near(const LiveDistinct *distinct, uint64 distance)
{
	uint64		widest = 0;

	for (int i = 0; i < distinct->num_asked; i++)
		widest = Max(widest, (uint64) distinct->asked[i].now.upper - distinct->asked[i].now.lower);
	return distance <= widest / NEAR;
}

/* Which of the query's ids a column of the tiling's counts is; -1: none. */
static int
asked_id(const LiveDistinct *distinct, int column)
{
	for (int i = 0; i < distinct->num_asked; i++)
	{
		if (distinct->tiling->counted->spec.features[distinct->counts[i]].column == column)
			return distinct->asked[i].id;
	}
	return -1;
}

/* Touch what a change is about.  False: that is not known, or it is too much. */
static bool
take_delta(Recount *recount, const LiveDistinct *distinct, TileReader *reader, int64 time)
{
	const LiveQuery *counted = distinct->tiling->counted;
	int			num = counted->spec.num_ids;
	Datum	   *items = palloc(sizeof(Datum) * num);
	bool	   *nulls = palloc(sizeof(bool) * num);
	const bytea *stored = tile_items(reader);

	if (!stored)
		return false;
	recount->num_read++;
	load_items(counted, stored, items, nulls);
	for (int i = 0; i < num; i++)
	{
		int			id = asked_id(distinct, i);

		if (id >= 0 && !nulls[i])
			touch(recount, id, items[i], time, tile_events(reader));
	}
	return recount->num_touched <= recount->most;
}

/* Touch what has changed since the counts were known.  False as above. */
static bool
take_deltas(Recount *recount, const LiveDistinct *distinct, const bytea *bytes)
{
	TileReader	reader;
	int64		from = PG_INT64_MAX;
	int64		to = PG_INT64_MIN;
	int64		time;
	bool		known = true;

	for (int i = 0; i < recount->num_asked; i++)
	{
		from = Min(from, recount->asked[i].known.lower);
		to = Max(to, recount->asked[i].known.upper);
	}
	tile_reader_open(&reader, distinct->tiling, bytes, TILE_DELTAS);
	for (bool any = tile_find(&reader, from, false, &time); any && known && time < to; any = tile_next(&reader, &time))
		known = take_delta(recount, distinct, &reader, time);
	tile_reader_close(&reader);
	return known;
}

/*
 * The counts of a key as of a time, in windows with these bounds, as the active
 * snapshot sees it.  False: that takes rows.
 */
bool
distinct_lookup(LiveDistinct *distinct, const Datum *key, const bytea *bytes, int64 time,
				const int64 *lower, const int64 *upper, LiveReading *reading, double *results, bool *nulls)
{
	LiveQuery  *query = distinct->query;
	DistinctCount *counts = palloc(sizeof(DistinctCount) * distinct->tiling->counted->spec.num_features);
	Recount		recount;
	int64		at;
	bool		done;

	for (int i = 0; i < distinct->num_asked; i++)
	{
		if (!live_probe_usable(live_probe(query, distinct->asked[i].id)))
			return false;
	}
	if (TIMESTAMP_NOT_FINITE(time) || !find_known(distinct, bytes, time, counts, &at))
		return false;
	for (int i = 0; i < distinct->num_asked; i++)
	{
		DistinctAsked *asked = &distinct->asked[i];
		int			window = query->spec.features[distinct->features[i]].window;

		asked->known = counts[distinct->counts[i]];
		asked->now.lower = lower[window];
		asked->now.upper = upper[window];
	}
	if (!is_near(distinct, at < time ? (uint64) time - at : (uint64) at - time) || !changes_kept(distinct, bytes))
		return false;
	recount = begin_recount(query, key, distinct->num_asked, distinct->asked, MOST_TOUCHED);
	done = take_deltas(&recount, distinct, bytes) && finish_recount(&recount);
	live_note_edges(reading, recount.num_read, at + (time - at) / 2);
	for (int i = 0; i < distinct->num_asked && done; i++)
	{
		results[distinct->features[i]] = distinct->asked[i].now.count;
		nulls[distinct->features[i]] = false;
	}
	return done;
}
