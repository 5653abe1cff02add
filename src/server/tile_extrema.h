/*
 * tile_extrema.h
 *		Minima and maxima of what is between two tiles of a key.
 */
#ifndef PG_RISK_TILE_EXTREMA_H
#define PG_RISK_TILE_EXTREMA_H

#include "tile.h"

/* Those of tiles that are being made. */
typedef struct ExtremaBuilder ExtremaBuilder;

extern ExtremaBuilder *tile_extrema_begin(const Tiling *tiling, const bytea *key);
extern void tile_extrema_end(ExtremaBuilder *builder);

/* Go on after a tile; earliest: the first one that there is. */
extern void tile_extrema_go_on(ExtremaBuilder *builder, int64 earliest, int64 seq);

extern void tile_extrema_event(ExtremaBuilder *builder, const Datum *values, const bool *nulls);

/* What is to be stored of the next tile, which ends after these events, and its number. */
extern bytea *tile_extrema_next(ExtremaBuilder *builder, int64 *seq);

/* Merge what is after a tile up to another one of the reader's key. */
extern void tile_extrema_between(TileReader *reader, int64 first, int64 last, Rank *ranks);

#endif							/* PG_RISK_TILE_EXTREMA_H */
