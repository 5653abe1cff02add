/*
 * tile_build.c
 *		Making tiles: of the keys that lookups ask for (tile_shared.c), or of all
 *		that risk.refresh_rolling_features() finds.
 *
 * Making tiles takes several transactions (tiling.c): one that plans, one that sets
 * the fence, and when that is passed those that build.  Each takes the advisory lock
 * of the source first, as declarations do, then the locks of all tables that it reads,
 * and only then the snapshot with which it reads rows, tiles and deltas, so what it
 * writes follows from one state; writers and lookups do not wait for any of that.
 *
 * A tile is made every TILE_EVENTS events of a key, between two instants; also before
 * an instant of as many, so that there is one between it and any edge of a window.  Deltas
 * that tiles have passed by are folded in by making the tiles after them anew, from
 * the rows; then all deltas of the key that the snapshot sees are done with: what is
 * not in a tile is read as a row.  Tiles that no window reaches from the
 * planned time, or from as much earlier, go; those of keys that nobody asks for any
 * more with risk.sweep_tiles().
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "distinct.h"
#include "history.h"
#include "tile.h"
#include "tile_build.h"
#include "tile_extrema.h"
#include "tile_shared.h"

#define TILE_EVENTS		32

/* A request is not waited for longer than this many ms: whoever needs it asks again. */
#define PATIENCE_MS		60000

/* From as early as tiles are kept. */
#define EVERYTHING		PG_INT64_MIN

/* After so long the worker commits what it has made. */
#define STEP_MS			500

/* ---- the row of a tiling ---- */

/* Insert the row of a tiling, or write what has changed of it. */
static void
write_row(Tiling *tiling, bool insert)
{
	Relation	rel = table_open(tiling_tables()->tilings, RowExclusiveLock);
	bool		fenced = FullTransactionIdIsValid(tiling->fence);
	Datum		values[] = {
		Int32GetDatum(tiling->id),
		ObjectIdGetDatum(tiling->query->source),
		CStringGetTextDatum(tiling->query->set),
		Int64GetDatum(tiling->stored_footing),
		Int64GetDatum(tiling->planned),
		UInt64GetDatum(U64FromFullTransactionId(tiling->fence)),
		Int64GetDatum(tiling->built)
	};
	bool		nulls[lengthof(values)] = {[5] = !fenced};
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);

	if (insert)
		CatalogTupleInsert(rel, tuple);
	else
		CatalogTupleUpdate(rel, &tiling->row, tuple);
	CacheInvalidateRelcache(rel);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

/* The tiling has another footing: it goes, and so do its tiles, in time. */
static void
retire(Tiling *tiling)
{
	Relation	rel = table_open(tiling_tables()->tilings, RowExclusiveLock);

	CatalogTupleDelete(rel, &tiling->row);
	CacheInvalidateRelcache(rel);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

static int32
next_id(void)
{
	return DatumGetInt64(DirectFunctionCall1(nextval_oid, ObjectIdGetDatum(tiling_tables()->ids)));
}

/* Are all transactions over that the fence was set for, as a snapshot sees it? */
static bool
fence_passed(FullTransactionId fence, Snapshot snapshot)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	uint64		oldest = next - (uint32) ((uint32) next - snapshot->xmin);

	return oldest >= U64FromFullTransactionId(fence);
}

/* A time up to which tiles can be asked for: no later than now, since a row from the
 * future must not make all others late; of dates, not of today. */
int64
tile_build_until(const Tiling *tiling, int64 until)
{
	int64		now = clock_now();

	if (tiling->query->spec.time_type == TIMESTAMPOID)
		now = DatumGetTimestamp(DirectFunctionCall2(timestamptz_zone,
													CStringGetTextDatum(pg_get_timezone_name(tiling->query->spec.zone)),
													TimestampTzGetDatum(now)));
	if (tiling->query->time_column == DATEOID)
		now -= now % USECS_PER_DAY;
	return Min(until, now);
}

/*
 * Take the next step towards tiles of what is before a time; snapshot is younger
 * than the lock.  True: they can be made.  Each step is for a transaction of its own,
 * and seen by a later one when the former is over for all.
 */
static bool
prepare(Tiling *tiling, int64 until, Snapshot snapshot)
{
	Tiling		changed = *tiling;

	if (tiling->id != 0 && TransactionIdIsCurrentTransactionId(tiling->written_by))
		return false;
	if (tiling->id != 0 && tiling->footing != tiling->stored_footing)
	{
		retire(tiling);
		return false;
	}
	if (tiling->id == 0 || (tiling->planned == tiling->built && tiling->planned < until))
	{
		bool		insert = tiling->id == 0;

		if (insert)
		{
			changed.id = next_id();
			changed.stored_footing = tiling->footing;
			changed.built = DT_NOBEGIN;
		}
		changed.planned = until;
		changed.fence = InvalidFullTransactionId;
		write_row(&changed, insert);
		return false;
	}
	if (tiling->planned > tiling->built)
	{
		if (!FullTransactionIdIsValid(tiling->fence))
		{
			changed.fence = ReadNextFullTransactionId();
			write_row(&changed, false);
			return false;
		}
		if (!fence_passed(tiling->fence, snapshot))
			return false;
		changed.built = tiling->planned;
		write_row(&changed, false);
	}
	return true;
}

/* ---- building ---- */

typedef struct Builder
{
	const Tiling *tiling;
	const bytea *key;
	MemoryContext scratch;		/* of an event */
	Totals	   *totals;			/* of the key's events so far */
	ExtremaBuilder *extrema;	/* NULL: the set has none */
	int64		first;			/* time of the first tile */
	int64		known_until;	/* before this time what was made is right */
	int64		tiled;			/* time of the last tile, */
	int64		since;			/* and events since */
	int64		last;			/* time of the last event */
	Datum	   *values;			/* [num_columns] */
	bool	   *nulls;

	/* The first events of the last instant, which wait until it is known whether
	 * there are so many that a tile comes before them; -1: there are. */
	int			num_held;
	MemoryContext held;
	Datum	   *held_values;	/* [TILE_EVENTS][num_values of the query] */
	bool	   *held_nulls;
} Builder;

/* Insert the tile of the events so far, which were before a time. */
static void
insert_tile(Builder *builder, int64 time)
{
	Tile		tile = {.time = time,.totals = builder->totals};

	if (builder->extrema)
		tile.extrema = tile_extrema_next(builder->extrema, &tile.seq);
	tile_insert(builder->tiling, builder->key, &tile, false);
	builder->tiled = time;
	builder->since = 0;
}

/* Add an event to the totals. */
static void
add_event(Builder *builder, const Datum *values, const bool *nulls)
{
	const Tiling *tiling = builder->tiling;
	MemoryContext caller = MemoryContextSwitchTo(builder->scratch);

	for (int i = 0; i < tiling->num_columns; i++)
	{
		builder->values[i] = values[tiling->values[i]];
		builder->nulls[i] = nulls[tiling->values[i]];
	}
	totals_event(builder->totals, builder->values, builder->nulls, 1);
	if (builder->extrema)
		tile_extrema_event(builder->extrema, values, nulls);
	builder->since++;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(builder->scratch);
}

/* Have an event of the last instant wait. */
static void
hold_event(Builder *builder, const Datum *values, const bool *nulls)
{
	const HistorySpec *spec = &builder->tiling->query->spec;
	Datum	   *held = builder->held_values + builder->num_held * spec->num_values;
	MemoryContext caller = MemoryContextSwitchTo(builder->held);

	for (int i = 0; i < spec->num_values; i++)
		held[i] = spec->values[i].type == NUMERICOID && !nulls[i] ? datumCopy(values[i], false, -1) : values[i];
	memcpy(builder->held_nulls + builder->num_held * spec->num_values, nulls, spec->num_values);
	builder->num_held++;
	MemoryContextSwitchTo(caller);
}

/* Add those that wait. */
static void
add_held(Builder *builder)
{
	int			num_values = builder->tiling->query->spec.num_values;

	for (int i = 0; i < builder->num_held; i++)
		add_event(builder, builder->held_values + i * num_values, builder->held_nulls + i * num_values);
	builder->num_held = 0;
	MemoryContextReset(builder->held);
}

/* All events of the last instant are there. */
static void
end_instant(Builder *builder)
{
	add_held(builder);
	if (builder->since >= TILE_EVENTS)
		insert_tile(builder, builder->last + 1);
}

static void
build_event(void *arg, int64 time, const Datum *values, const bool *nulls)
{
	Builder    *builder = arg;

	if (time > builder->last)
		end_instant(builder);
	builder->last = time;
	if (builder->num_held < 0)
	{
		add_event(builder, values, nulls);
		return;
	}
	hold_event(builder, values, nulls);
	if (builder->num_held < TILE_EVENTS)
		return;
	if (builder->tiled < time)
		insert_tile(builder, time);
	add_held(builder);
	builder->num_held = -1;
}

/* The times that windows can reach from what is built, and from as much earlier. */
static int64
kept_from(const Tiling *tiling)
{
	const HistorySpec *spec = &tiling->query->spec;
	int64	   *lower = palloc(sizeof(int64) * spec->num_windows);
	int64	   *upper = palloc(sizeof(int64) * spec->num_windows);

	history_bounds(spec, tiling->planned, lower, upper);
	for (int i = 1; i < spec->num_windows; i++)
		lower[0] = Min(lower[0], lower[i]);
	return lower[0] - Min(tiling->planned - lower[0], lower[0] - MIN_TIMESTAMP);
}

int64
tile_build_kept(Oid source, const char *set)
{
	Tiling	   *tiling = tiling_find(source, set);

	return tiling && tiling->id != 0 ? kept_from(tiling) : EVERYTHING;
}

/* Delete what a key has in a table with times from one to before another. */
static void
delete_rows(const Tiling *tiling, const bytea *key, TileTable table, int64 from, int64 to)
{
	TileReader	reader;
	int64		time;

	tile_reader_open(&reader, tiling, key, table);
	for (bool any = tile_find(&reader, from, false, &time); any && time < to; any = tile_next(&reader, &time))
		tile_delete(&reader);
	tile_reader_close(&reader);
}

/* The earliest delta of a key among times; to: there is none. */
static int64
earliest_delta(const Tiling *tiling, const bytea *key, int64 from, int64 to)
{
	TileReader	reader;
	int64		time;
	bool		any;

	tile_reader_open(&reader, tiling, key, TILE_DELTAS);
	any = tile_find(&reader, from, false, &time);
	tile_reader_close(&reader);
	return any && time < to ? time : to;
}

/*
 * Where building goes on: the last tile that is right, with its totals; those
 * after it go.  Where tiles begin later than what is asked for (and kept), or there
 * are none, the first one is made, of nothing.  All are deleted that end before kept.
 */
static int64
begin_tiles(Builder *builder, int64 from, int64 kept)
{
	const Tiling *tiling = builder->tiling;
	TileReader	reader;
	int64		begin = Max(from, kept);
	int64		last;
	int64		earliest = 0;
	bool		any;

	delete_rows(tiling, builder->key, TILE_TOTALS, PG_INT64_MIN, kept);
	tile_reader_open(&reader, tiling, builder->key, TILE_TOTALS);
	any = tile_find(&reader, kept, false, &builder->first) && (builder->first <= begin || from < kept);
	if (any)
	{
		if (builder->extrema)
			earliest = tile_seq(&reader);
		(void) tile_find(&reader, PG_INT64_MAX, true, &last);
		builder->known_until = earliest_delta(tiling, builder->key, builder->first, PG_INT64_MAX);
		(void) tile_find(&reader, Min(builder->known_until, last), true, &begin);
		tile_totals(&reader, builder->totals);
		if (builder->extrema)
			tile_extrema_go_on(builder->extrema, earliest, tile_seq(&reader));
	}
	tile_reader_close(&reader);
	delete_rows(tiling, builder->key, TILE_TOTALS, any ? begin + 1 : kept, PG_INT64_MAX);
	builder->tiled = begin;
	if (!any)
	{
		builder->first = begin;
		builder->known_until = PG_INT64_MIN;
		insert_tile(builder, begin);
	}
	if (tiling->counted)
	{
		delete_rows(tiling, builder->key, TILE_DISTINCTS, PG_INT64_MIN, kept);
		if (!distinct_goes_on(tiling, builder->key, builder->first, builder->known_until))
			delete_rows(tiling, builder->key, TILE_DISTINCTS, kept, PG_INT64_MAX);
		else if (builder->known_until < PG_INT64_MAX)
			delete_rows(tiling, builder->key, TILE_DISTINCTS, Max(builder->known_until + 1, kept), PG_INT64_MAX);
	}
	return begin;
}

/* Read the events of a key as the table's owner, whom row security does not stop. */
static void
read_as_owner(Builder *builder, Oid owner, const Datum *key, int64 from)
{
	const Tiling *tiling = builder->tiling;
	Oid			user;
	int			security;
	int			nesting;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(owner, security | SECURITY_RESTRICTED_OPERATION);
	nesting = NewGUCNestLevel();
	if (from < tiling->planned)
	{
		live_scan(tiling->query, key, &(LiveRange) {from, tiling->planned}, 1, &(LiveView) {0}, build_event, builder);
		end_instant(builder);
	}
	if (tiling->counted)
		distinct_build(tiling, builder->key, key, builder->first, builder->known_until);
	AtEOXact_GUC(false, nesting);
	SetUserIdAndSecContext(user, security);
}

static Oid
owner_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/* Make the tiles of a key, as the active snapshot sees its events; from: the
 * earliest time that is asked for. */
static void
build(const Tiling *tiling, const bytea *key, int64 from)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk tiles", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	int64		kept = kept_from(tiling);
	Oid			owner = owner_of(tiling->query->source);
	Datum	   *values = palloc(sizeof(Datum) * tiling->query->num_keys);
	Builder		builder = {
		.tiling = tiling,
		.key = key,
		.scratch = AllocSetContextCreate(context, "pg_risk tiled event", ALLOCSET_SMALL_SIZES),
		.totals = totals_create(tiling->columns, tiling->num_columns),
		.last = PG_INT64_MIN,
		.values = palloc(sizeof(Datum) * (tiling->num_columns + 1)),
		.nulls = palloc(sizeof(bool) * (tiling->num_columns + 1)),
		.held = AllocSetContextCreate(context, "pg_risk held events", ALLOCSET_SMALL_SIZES),
		.held_values = palloc(sizeof(Datum) * (TILE_EVENTS * tiling->query->spec.num_values + 1)),
		.held_nulls = palloc(sizeof(bool) * (TILE_EVENTS * tiling->query->spec.num_values + 1))
	};

	if (tiling->num_extrema > 0)
		builder.extrema = tile_extrema_begin(tiling, key);
	tiling_key_values(tiling->query, key, values);
	from = begin_tiles(&builder, from == EVERYTHING ? kept : from, kept);
	if (OidIsValid(owner))
		read_as_owner(&builder, owner, values, from);
	if (builder.extrema)
		tile_extrema_end(builder.extrema);
	delete_rows(tiling, key, TILE_DELTAS, PG_INT64_MIN, PG_INT64_MAX);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* The lock that declarations of a source take, too. */
static Datum
source_lock(Oid source)
{
	return DirectFunctionCall2Coll(hashtextextended, DEFAULT_COLLATION_OID,
								   CStringGetTextDatum("pg_risk.rolling"), Int64GetDatum((int64) source));
}

/* Lock a source and its partitions for reading.  False: somebody changes one of them,
 * and may go on to what is locked already, so they are not waited for. */
static bool
lock_tables(Oid source)
{
	List	   *tables = find_all_inheritors(source, NoLock, NULL);
	ListCell   *cell;

	foreach(cell, tables)
	{
		if (!ConditionalLockRelationOid(lfirst_oid(cell), AccessShareLock))
			return false;
	}
	return true;
}

/*
 * Take the next step towards tiles of a set, and of a key if it is given, with the
 * lock of its source.  True: there is nothing more to do.
 */
static bool
advance(Oid source, const char *set, int64 until, const bytea *key, int64 from)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Tiling	   *tiling;
	bool		done;

	PushActiveSnapshot(snapshot);
	tiling = tiling_find(source, set);
	done = !tiling || !tiling_stands(tiling);
	if (!done && prepare(tiling, until, snapshot))
	{
		done = key || tiling->planned >= until; /* or somebody else has planned less */
		if (key)
			build(tiling_find(source, set), key, from);
	}
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
	return done;
}

void
tile_build_step(void *unused)
{
	TileRequest *wanted;
	int			count = tile_requests_wanted(&wanted);
	TimestampTz start = GetCurrentTimestamp();

	for (int i = 0; i < count && !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), STEP_MS); i++)
	{
		const TileRequest *request = &wanted[i];

		CHECK_FOR_INTERRUPTS();
		tile_request_set_wanted(request, false); /* also if there is an error */
		if (!TimestampDifferenceExceeds(request->asked_at, GetCurrentTimestamp(), PATIENCE_MS) &&
			!(DatumGetBool(DirectFunctionCall1(pg_try_advisory_xact_lock_int8, source_lock(request->source))) &&
			  lock_tables(request->source) &&
			  advance(request->source, NameStr(request->set), request->until, (const bytea *) request->key, request->from)))
			tile_request_set_wanted(request, true);
	}
}

/* The same for who refreshes a set, who waits for the advisory lock. */
bool
tile_build_advance(Oid source, const char *set, int64 until, const bytea *key)
{
	(void) DirectFunctionCall1(pg_advisory_xact_lock_int8, source_lock(source));
	return lock_tables(source) && advance(source, set, until, key, EVERYTHING);
}
