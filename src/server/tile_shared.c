/*
 * tile_shared.c
 *		What processes share about tiles: the keys that lookups ask for, and how
 *		many lookups tiles have answered.
 *
 * A lookup that had to read many events leaves a request and calls the worker.
 * Requests are hints: one that is lost, or came too often, comes again with the
 * next lookup.
 *
 * The lock is held for a few memory accesses; counters are atomic.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "tile_shared.h"
#include "worker.h"

#define NUM_REQUESTS	64
#define NUM_COUNTERS	256

/* A key is not looked after again within so many ms. */
#define REST_MS			1000

typedef struct TileShared
{
	LWLock	   *lock;
	TileRequest requests[NUM_REQUESTS];
	TileCounters counters[NUM_COUNTERS];
} TileShared;

static TileShared *shared = NULL;

void
tile_shared_shmem_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(TileShared)));
	RequestNamedLWLockTranche("PgRiskTiles", 1);
}

void
tile_shared_shmem_startup(void)
{
	bool		found;

	shared = ShmemInitStruct("pg_risk tiles", sizeof(TileShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(TileShared));
		shared->lock = &(GetNamedLWLockTranche("PgRiskTiles"))->lock;
	}
}

static bool
same_request(const TileRequest *a, const TileRequest *b)
{
	return a->database == b->database && a->source == b->source &&
		strcmp(NameStr(a->set), NameStr(b->set)) == 0 &&
		VARSIZE(a->key) == VARSIZE(b->key) && memcmp(a->key, b->key, VARSIZE(a->key)) == 0;
}

/* The place of a request: its own, a free one, or that of what was done longest
 * ago; NULL: all are wanted.  The lock is held. */
static TileRequest *
request_place(const TileRequest *request)
{
	TileRequest    *place = NULL;

	for (int i = 0; i < NUM_REQUESTS; i++)
	{
		TileRequest    *other = &shared->requests[i];

		if (OidIsValid(other->database) && same_request(other, request))
			return other;
		if (!other->wanted && (!place || other->served_at < place->served_at))
			place = other;
	}
	return place;
}

void
tile_request(const Tiling *tiling, const bytea *key, int64 from, int64 until)
{
	TileRequest		request = {
		.database = MyDatabaseId,
		.source = tiling->query->source,
		.from = from,
		.until = until,
		.wanted = true,
		.asked_at = GetCurrentTimestamp()
	};
	TileRequest    *place;
	bool		call = false;

	if (RecoveryInProgress())
		return;
	namestrcpy(&request.set, tiling->query->set);
	memcpy(request.key, key, VARSIZE(key));

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	place = request_place(&request);
	if (place && place->wanted)
	{
		place->from = Min(place->from, from);
		place->until = Max(place->until, until);
	}
	else if (place && (!OidIsValid(place->database) || !same_request(place, &request) ||
					   TimestampDifferenceExceeds(place->served_at, request.asked_at, REST_MS)))
	{
		*place = request;
		call = true;
	}
	LWLockRelease(shared->lock);
	if (call)
		worker_call();
}

/* What is wanted in this database, in the current memory context. */
int
tile_requests_wanted(TileRequest **result)
{
	int			count = 0;

	*result = palloc(sizeof(TileRequest) * NUM_REQUESTS);
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < NUM_REQUESTS; i++)
	{
		if (shared->requests[i].wanted && shared->requests[i].database == MyDatabaseId)
			(*result)[count++] = shared->requests[i];
	}
	LWLockRelease(shared->lock);
	return count;
}

/* Note that a request is wanted still, or not. */
void
tile_request_set_wanted(const TileRequest *request, bool wanted)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < NUM_REQUESTS; i++)
	{
		if (same_request(&shared->requests[i], request))
		{
			shared->requests[i].wanted = wanted;
			shared->requests[i].served_at = GetCurrentTimestamp();
		}
	}
	LWLockRelease(shared->lock);
}

bool
tile_wanted(void)
{
	TileRequest *wanted;
	int			count = tile_requests_wanted(&wanted);

	pfree(wanted);
	return count > 0;
}

/* ---- counters ---- */

/* Those of a set; NULL: there are too many sets. */
TileCounters *
tile_counters(Oid source, const char *set)
{
	TileCounters *result = NULL;
	NameData	name;

	namestrcpy(&name, set);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < NUM_COUNTERS && !result; i++)
	{
		TileCounters *counters = &shared->counters[i];

		if (!OidIsValid(counters->database))
		{
			counters->database = MyDatabaseId;
			counters->source = source;
			counters->set = name;
			pg_atomic_init_u64(&counters->by_tiles, 0);
			pg_atomic_init_u64(&counters->by_rows, 0);
			pg_atomic_init_u64(&counters->events, 0);
		}
		if (counters->database == MyDatabaseId && counters->source == source && strcmp(NameStr(counters->set), NameStr(name)) == 0)
			result = counters;
	}
	LWLockRelease(shared->lock);
	return result;
}

PG_FUNCTION_INFO_V1(risk_tile_counters);

/* risk.tile_counters(source, name) */
Datum
risk_tile_counters(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	TileCounters *counters = tile_counters(PG_GETARG_OID(0), name);
	TupleDesc	tupdesc;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!counters)
		PG_RETURN_NULL();
	values[0] = Int64GetDatum((int64) pg_atomic_read_u64(&counters->by_tiles));
	values[1] = Int64GetDatum((int64) pg_atomic_read_u64(&counters->by_rows));
	values[2] = Int64GetDatum((int64) pg_atomic_read_u64(&counters->events));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
