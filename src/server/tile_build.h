/*
 * tile_build.h
 *		Making tiles: who asks for them, and the worker that makes them.
 */
#ifndef PG_RISK_TILE_BUILD_H
#define PG_RISK_TILE_BUILD_H

#include "tiling.h"

extern void tile_build_shmem_request(void);
extern void tile_build_shmem_startup(void);

/* Have the worker make tiles of a key, of events from a time on, and before
 * another. */
extern void tile_request(const Tiling *tiling, const bytea *key, int64 from, int64 until);

/* For the worker: is anything asked for in this database; and do a part of it, in
 * a transaction of its own. */
extern bool tile_build_wanted(void);
extern void tile_build_step(void *unused);

/* Take a step towards tiles of what is before a time, or of a key, in a transaction
 * of its own.  True: that is done, or cannot be. */
extern bool tile_build_advance(Oid source, const char *set, int64 until, const bytea *key);

#endif							/* PG_RISK_TILE_BUILD_H */
