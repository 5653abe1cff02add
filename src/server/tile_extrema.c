/*
 * tile_extrema.c
 *		Minima and maxima of what is between two tiles of a key.
 *
 * They cannot be taken away, so they have no running total.  The tiles of a key are
 * numbered, and each has the extrema of what is between it and the tile 2^level
 * before it, for each level for which there is such a tile.  What is between any two
 * tiles is two such stretches, which may overlap: one ends at the last tile, one
 * begins at the first.  (Bender, Farach-Colton, The LCA Problem Revisited, 2000:
 * the sparse table.)
 *
 * A level of a tile is the level below of that tile and of an earlier one.  Tiles
 * that are made together keep theirs in memory: of each level as many as are still
 * needed.  Those of tiles that were there before are read.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "tile_extrema.h"

struct ExtremaBuilder
{
	MemoryContext context;
	const Tiling *tiling;
	TileReader	reader;			/* of tiles that were there before */
	int64		earliest;		/* number of the first tile there is, */
	int64		made;			/* of the first one made here, */
	int64		next;			/* and of the next one */
	Rank	   *events;			/* [num_extrema] since the last one */
	Rank	   *event;
	Rank	   *levels;			/* [EXTREMA_MAX_DEPTH + 1][num_extrema] of the next one */
	Rank	   *before[EXTREMA_MAX_DEPTH];	/* [2^level][num_extrema], that of tile i
											 * at i % 2^level; NULL: not needed yet */
};

/* A builder for a key without tiles. */
ExtremaBuilder *
tile_extrema_begin(const Tiling *tiling, const bytea *key)
{
	ExtremaBuilder *builder = palloc0(sizeof(ExtremaBuilder));
	Size		size = sizeof(Rank) * tiling->num_extrema;

	builder->context = CurrentMemoryContext;
	builder->tiling = tiling;
	builder->events = palloc(size);
	builder->event = palloc(size);
	builder->levels = palloc(size * (EXTREMA_MAX_DEPTH + 1));
	extrema_reset(builder->events, tiling->num_extrema);
	tile_reader_open(&builder->reader, tiling, key, TILE_TOTALS);
	return builder;
}

void
tile_extrema_end(ExtremaBuilder *builder)
{
	tile_reader_close(&builder->reader);
}

void
tile_extrema_go_on(ExtremaBuilder *builder, int64 earliest, int64 seq)
{
	builder->earliest = earliest;
	builder->made = builder->next = seq + 1;
}

void
tile_extrema_event(ExtremaBuilder *builder, const Datum *values, const bool *nulls)
{
	const Tiling *tiling = builder->tiling;

	extrema_of_event(tiling->extrema, tiling->extrema_values, values, nulls, builder->event, tiling->num_extrema);
	extrema_merge(builder->events, builder->event, tiling->num_extrema);
}

/* Read a level of a tile. */
static void
read_level(TileReader *reader, int64 seq, int level, Rank *ranks)
{
	if (!tile_find_seq(reader, seq))
		totals_report_damage();
	extrema_load(tile_extrema(reader), level, ranks, reader->tiling->num_extrema);
}

/* The place in memory of a level of the next tile and, until that is there, of the
 * tile 2^level before. */
static Rank *
place_of_level(ExtremaBuilder *builder, int level)
{
	int64		tiles = INT64CONST(1) << level;
	Size		size = sizeof(Rank) * builder->tiling->num_extrema;

	if (!builder->before[level])
		builder->before[level] = MemoryContextAllocHuge(builder->context, tiles * size);
	return builder->before[level] + builder->next % tiles * builder->tiling->num_extrema;
}

bytea *
tile_extrema_next(ExtremaBuilder *builder, int64 *seq)
{
	int			count = builder->tiling->num_extrema;
	Size		size = sizeof(Rank) * count;
	int			depth = 0;

	memcpy(builder->levels, builder->events, size);
	while (depth < EXTREMA_MAX_DEPTH && builder->next - builder->earliest >= INT64CONST(1) << depth)
	{
		Rank	   *level = builder->levels + depth * count;
		Rank	   *place = place_of_level(builder, depth);
		int64		earlier = builder->next - (INT64CONST(1) << depth);

		if (earlier - builder->earliest >= INT64CONST(1) << depth)
		{
			if (earlier >= builder->made)
				memcpy(level + count, place, size);
			else
				read_level(&builder->reader, earlier, depth, level + count);
			extrema_merge(level + count, level, count);
		}
		memcpy(place, level, size);
		depth++;
	}
	*seq = builder->next++;
	extrema_reset(builder->events, count);
	return extrema_store(builder->levels, depth, count);
}

/* The extrema of a tile that windows end at, mostly all of a lookup. */
static const bytea *
extrema_of_last(TileReader *reader, int64 seq)
{
	const bytea *extrema;

	if (reader->last_extrema && reader->last == seq)
		return reader->last_extrema;
	if (!tile_find_seq(reader, seq))
		totals_report_damage();
	extrema = tile_extrema(reader);
	reader->last = seq;
	reader->last_extrema = memcpy(MemoryContextAlloc(reader->context, VARSIZE_ANY(extrema)), extrema, VARSIZE_ANY(extrema));
	return reader->last_extrema;
}

void
tile_extrema_between(TileReader *reader, int64 first, int64 last, Rank *ranks)
{
	int			count = reader->tiling->num_extrema;
	Rank	   *stretch;
	int			level;

	if (first >= last)
		return;
	stretch = palloc(sizeof(Rank) * count);
	level = pg_leftmost_one_pos64(last - first);
	extrema_load(extrema_of_last(reader, last), level, stretch, count);
	extrema_merge(ranks, stretch, count);
	if (last - first > INT64CONST(1) << level)
	{
		read_level(reader, first + (INT64CONST(1) << level), level, stretch);
		extrema_merge(ranks, stretch, count);
	}
	pfree(stretch);
}
