/*
 * tile.c
 *		The rows of risk.rolling_tiles, risk.rolling_deltas and risk.rolling_distincts.
 *
 * The tables have the same first three columns and an index on them: a tiling, a
 * key, a time.  Tiles and deltas have totals: of a tile, those of the key's events
 * before that time (from some time on, the same for all tiles of the key); of a
 * delta, those of a row of that time that came, or, negative, went.  Where a set has
 * minima or maxima, they also have these (tile_extrema.c), and tiles are numbered; by
 * their numbers they are found through an index of their own, which is partial, so
 * that others are not in it.  What the bytes are about different values, a delta's
 * items and counts, distinct.c knows.
 *
 * Rows are written as heap rows, whoever the user is: only the extension's own
 * functions get here.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/indexing.h"
#include "common/int.h"
#include "executor/executor.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "tile.h"

enum
{
	Anum_tile_tiling = 1,
	Anum_tile_key,
	Anum_tile_time,
	Anum_tile_events,
	Anum_tile_totals,
	Anum_tile_extrema,
	Anum_tile_seq,				/* of tiles, */
	Anum_delta_items = Anum_tile_seq,	/* and of deltas */
	Anum_distinct_counts = Anum_tile_events
};
#define NUM_COLUMNS Anum_tile_seq

void
tile_reader_open(TileReader *reader, const Tiling *tiling, const bytea *key, TileTable table)
{
	const TilingTables *tables = tiling_tables();
	const Oid	heaps[] = {tables->tiles, tables->deltas, tables->distincts};
	const Oid	indexes[] = {tables->tiles_pkey, tables->deltas_key, tables->distincts_pkey};

	reader->context = CurrentMemoryContext;
	reader->tiling = tiling;
	reader->rel = table_open(heaps[table], AccessShareLock);
	reader->index = index_open(indexes[table], AccessShareLock);
	reader->scan = compat_index_beginscan(reader->rel, reader->index, GetActiveSnapshot(), lengthof(reader->keys));
	reader->slot = table_slot_create(reader->rel, NULL);
	ScanKeyInit(&reader->keys[0], Anum_tile_tiling, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(tiling->id));
	ScanKeyInit(&reader->keys[1], Anum_tile_key, BTEqualStrategyNumber, F_BYTEAEQ, PointerGetDatum(key));
	reader->seq_index = NULL;
	reader->last_extrema = NULL;
}

void
tile_reader_close(TileReader *reader)
{
	if (reader->seq_index)
	{
		index_endscan(reader->seq_scan);
		index_close(reader->seq_index, AccessShareLock);
	}
	index_endscan(reader->scan);
	ExecDropSingleTupleTableSlot(reader->slot);
	index_close(reader->index, AccessShareLock);
	table_close(reader->rel, AccessShareLock);
}

static bool
get_row(TileReader *reader, ScanDirection direction, int64 *found)
{
	bool		isnull;

	if (!index_getnext_slot(reader->scan, direction, reader->slot))
		return false;
	*found = DatumGetInt64(slot_getattr(reader->slot, Anum_tile_time, &isnull));
	return true;
}

/* Find the last one from low on and not after high, or the first one. */
static bool
find_between(TileReader *reader, int64 low, int64 high, ScanDirection direction, int64 *found)
{
	ScanKeyInit(&reader->keys[2], Anum_tile_time, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(low));
	ScanKeyInit(&reader->keys[3], Anum_tile_time, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(high));
	index_rescan(reader->scan, reader->keys, lengthof(reader->keys), NULL, 0);
	return get_row(reader, direction, found);
}

bool
tile_find(TileReader *reader, int64 time, bool before, int64 *found)
{
	if (before)
		return find_between(reader, PG_INT64_MIN, time, BackwardScanDirection, found);
	return find_between(reader, time, PG_INT64_MAX, ForwardScanDirection, found);
}

/*
 * A scan of a btree looks at all rows of a page that it may return, even if one
 * is wanted, and a page has some hundred tiles of a hot key.  So it is asked for a
 * few first: those within half of the reach, which is some eight times the distance in
 * which tiles were found lately.
 */
bool
tile_find_near(TileReader *reader, int64 time, bool before, int64 *reach, int64 *found)
{
	int64		low;
	int64		high;
	int64		distance;

	if (pg_sub_s64_overflow(time, *reach / 2, &low))
		low = PG_INT64_MIN;
	if (pg_add_s64_overflow(time, *reach / 2, &high))
		high = PG_INT64_MAX;
	if (before ? find_between(reader, low, time, BackwardScanDirection, found) :
		find_between(reader, time, high, ForwardScanDirection, found))
	{
		distance = before ? time - *found : *found - time;
		*reach = Min(*reach - *reach / 8 + distance, PG_INT64_MAX / 4);
		return true;
	}
	if (!tile_find(reader, time, before, found))
		return false;
	if (*reach == 0)
		*reach = Min(Min((before ? time - *found : *found - time), PG_INT64_MAX / 64) * 8, PG_INT64_MAX / 4);
	return true;
}

/* After one that was found as not before a time. */
bool
tile_next(TileReader *reader, int64 *found)
{
	return get_row(reader, ForwardScanDirection, found);
}

/* A scan allocates when it first needs to, and may be asked in a context that goes. */
bool
tile_find_seq(TileReader *reader, int64 seq)
{
	MemoryContext caller = MemoryContextSwitchTo(reader->context);
	ScanKeyData keys[3] = {reader->keys[0], reader->keys[1]};
	bool		found;

	if (!reader->seq_index)
	{
		reader->seq_index = index_open(tiling_tables()->tiles_seq, AccessShareLock);
		reader->seq_scan = compat_index_beginscan(reader->rel, reader->seq_index, GetActiveSnapshot(), lengthof(keys));
	}
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(seq));
	index_rescan(reader->seq_scan, keys, lengthof(keys), NULL, 0);
	found = index_getnext_slot(reader->seq_scan, ForwardScanDirection, reader->slot);
	MemoryContextSwitchTo(caller);
	return found;
}

/* How many events the tile or delta at hand is of. */
int64
tile_events(TileReader *reader)
{
	bool		isnull;

	return DatumGetInt64(slot_getattr(reader->slot, Anum_tile_events, &isnull));
}

/* The totals of the row at hand. */
void
tile_totals(TileReader *reader, Totals *totals)
{
	bool		isnull;

	totals_load(totals, tile_events(reader), DatumGetByteaPP(slot_getattr(reader->slot, Anum_tile_totals, &isnull)));
}

/* Of the delta at hand; NULL: they are not known. */
const bytea *
tile_items(TileReader *reader)
{
	bool		isnull;
	Datum		items = slot_getattr(reader->slot, Anum_delta_items, &isnull);

	return isnull ? NULL : DatumGetByteaPP(items);
}

const bytea *
tile_counts(TileReader *reader)
{
	bool		isnull;

	return DatumGetByteaPP(slot_getattr(reader->slot, Anum_distinct_counts, &isnull));
}

const bytea *
tile_extrema(TileReader *reader)
{
	bool		isnull;
	Datum		extrema = slot_getattr(reader->slot, Anum_tile_extrema, &isnull);

	if (isnull)
		totals_report_damage();
	return DatumGetByteaPP(extrema);
}

int64
tile_seq(TileReader *reader)
{
	bool		isnull;
	Datum		seq = slot_getattr(reader->slot, Anum_tile_seq, &isnull);

	if (isnull)
		totals_report_damage();
	return DatumGetInt64(seq);
}

/* Delete the row at hand, which nobody else does meanwhile. */
void
tile_delete(TileReader *reader)
{
	simple_heap_delete(reader->rel, &reader->slot->tts_tid);
}

/* As CatalogTupleInsert(), which knows no partial index. */
static void
insert_tile(Relation rel, HeapTuple tuple)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);

	simple_heap_insert(rel, tuple);
	ExecStoreHeapTuple(tuple, slot, false);
	InitResultRelInfo(target, rel, 1, NULL, 0);
	ExecOpenIndices(target, false);
	(void) compat_insert_index_tuples(target, slot, estate);
	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

void
tile_insert(const Tiling *tiling, const bytea *key, const Tile *tile, bool delta)
{
	Relation	rel = table_open(delta ? tiling_tables()->deltas : tiling_tables()->tiles, RowExclusiveLock);
	Datum		values[NUM_COLUMNS] = {
		Int32GetDatum(tiling->id),
		PointerGetDatum(key),
		Int64GetDatum(tile->time),
		Int64GetDatum(tile->totals->events),
		PointerGetDatum(totals_store(tile->totals)),
		PointerGetDatum(tile->extrema),
		delta ? PointerGetDatum(tile->items) : Int64GetDatum(tile->seq)
	};
	bool		nulls[NUM_COLUMNS] = {
		[Anum_tile_extrema - 1] = !tile->extrema,
		[Anum_tile_seq - 1] = delta ? !tile->items : !tile->extrema
	};
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);

	if (delta)
		CatalogTupleInsert(rel, tuple);
	else
		insert_tile(rel, tuple);
	heap_freetuple(tuple);
	table_close(rel, RowExclusiveLock);
}

void
tile_insert_counts(const Tiling *tiling, const bytea *key, int64 time, const bytea *counts)
{
	Relation	rel = table_open(tiling_tables()->distincts, RowExclusiveLock);
	Datum		values[Anum_distinct_counts] = {
		Int32GetDatum(tiling->id),
		PointerGetDatum(key),
		Int64GetDatum(time),
		PointerGetDatum(counts)
	};
	bool		nulls[Anum_distinct_counts] = {false};
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);

	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
	table_close(rel, RowExclusiveLock);
}
