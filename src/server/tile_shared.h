/*
 * tile_shared.h
 *		What processes share about tiles.
 */
#ifndef PG_RISK_TILE_SHARED_H
#define PG_RISK_TILE_SHARED_H

#include "datatype/timestamp.h"
#include "port/atomics.h"

#include "tiling.h"

/* A key of which tiles are asked for. */
typedef struct TileRequest
{
	Oid			database;		/* InvalidOid: free */
	Oid			source;
	NameData	set;
	int64		from;			/* of events from then on, */
	int64		until;			/* and before */
	bool		wanted;
	TimestampTz asked_at;
	TimestampTz served_at;
	char		key[TILING_KEY_BYTES];	/* a bytea */
} TileRequest;

/* Lookups in a set of rolling features, since the server started. */
typedef struct TileCounters
{
	Oid			database;		/* InvalidOid: free */
	Oid			source;
	NameData	set;
	pg_atomic_uint64 by_tiles;	/* answered by tiles, */
	pg_atomic_uint64 by_rows;	/* or by rows alone */
	pg_atomic_uint64 events;	/* rows and deltas that were read */
} TileCounters;

extern void tile_shared_shmem_request(void);
extern void tile_shared_shmem_startup(void);

/* Have the worker make tiles of a key. */
extern void tile_request(const Tiling *tiling, const bytea *key, int64 from, int64 until);

/* For the worker. */
extern bool tile_wanted(void);
extern int	tile_requests_wanted(TileRequest **result);
extern void tile_request_set_wanted(const TileRequest *request, bool wanted);

extern TileCounters *tile_counters(Oid source, const char *set);

#endif							/* PG_RISK_TILE_SHARED_H */
