/*
 * tile.h
 *		The rows of risk.rolling_tiles, risk.rolling_deltas and risk.rolling_distincts.
 */
#ifndef PG_RISK_TILE_H
#define PG_RISK_TILE_H

#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "executor/tuptable.h"

#include "tiling.h"

typedef enum TileTable
{
	TILE_TOTALS,				/* tiles */
	TILE_DELTAS,
	TILE_DISTINCTS				/* counts of different values (distinct.c) */
} TileTable;

/* What has a key, as the snapshot that was active at first sees it. */
typedef struct TileReader
{
	MemoryContext context;		/* that it lives in */
	const Tiling *tiling;
	Relation	rel;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	ScanKeyData keys[4];		/* tiling, key, time from, time to */
	Relation	seq_index;		/* NULL: not needed yet */
	IndexScanDesc seq_scan;
	int64		last;			/* number of a tile, and its extrema, of which many */
	const bytea *last_extrema;	/* levels are read; NULL: not yet */
} TileReader;

/* What there is to insert. */
typedef struct Tile
{
	int64		time;
	const Totals *totals;
	const bytea *extrema;		/* NULL: the set has none */
	int64		seq;			/* number of a tile with extrema */
	const bytea *items;			/* of a delta; NULL: nothing counts them */
} Tile;

extern void tile_reader_open(TileReader *reader, const Tiling *tiling, const bytea *key, TileTable table);
extern void tile_reader_close(TileReader *reader);

/* Find the last one not after a time, or the first one not before it; then the
 * next one later.  False: there is none.  time: of a tile, up to when it is. */
extern bool tile_find(TileReader *reader, int64 time, bool before, int64 *found);
extern bool tile_next(TileReader *reader, int64 *found);

/* Find one that is likely to be near; no other one can be asked for afterwards. */
extern bool tile_find_near(TileReader *reader, int64 time, bool before, int64 *reach, int64 *found);

/* Find a tile by its number, no matter which others have been asked for. */
extern bool tile_find_seq(TileReader *reader, int64 seq);

/* Of the row at hand.  Errors: XX001 it has no extrema, or no number. */
extern void tile_totals(TileReader *reader, Totals *totals);
extern int64 tile_events(TileReader *reader);
extern const bytea *tile_extrema(TileReader *reader);
extern int64 tile_seq(TileReader *reader);
extern const bytea *tile_items(TileReader *reader);
extern const bytea *tile_counts(TileReader *reader);
extern void tile_delete(TileReader *reader);

extern void tile_insert(const Tiling *tiling, const bytea *key, const Tile *tile, bool delta);
extern void tile_insert_counts(const Tiling *tiling, const bytea *key, int64 time, const bytea *counts);

#endif							/* PG_RISK_TILE_H */
