/*
 * tile_build.h
 *		Making tiles.
 */
#ifndef PG_RISK_TILE_BUILD_H
#define PG_RISK_TILE_BUILD_H

#include "tiling.h"

/* For the worker: do what can be done now of what is asked for, in a transaction
 * of its own. */
extern void tile_build_step(void *unused);

/* Take a step towards tiles of what is before a time, or make those of a key, in a
 * transaction of its own.  True: that is done, or cannot be. */
extern bool tile_build_advance(Oid source, const char *set, int64 until, const bytea *key);

/* A time up to which tiles can be asked for, no later than now. */
extern int64 tile_build_until(const Tiling *tiling, int64 until);

/* From when on tiles of a set are kept; PG_INT64_MIN: all are. */
extern int64 tile_build_kept(Oid source, const char *set);

#endif							/* PG_RISK_TILE_BUILD_H */
