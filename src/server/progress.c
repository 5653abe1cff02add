/*
 * progress.c
 *		How far the calls that score whole tables have come, for other sessions:
 *		risk.batch_progress.
 *
 * Each call has a slot in shared memory while it runs, as long as there are free
 * ones; a call without is not shown.  The LWLock protects all of a slot but rows,
 * which only its call writes.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "progress.h"

#define NUM_SLOTS	64

struct ProgressSlot
{
	int			pid;			/* 0: free */
	Oid			database;
	Oid			role;
	int64		version_id;
	int64		other_version_id;	/* 0: none */
	TimestampTz started_at;
	pg_atomic_uint64 rows;		/* scored */
};

typedef struct ProgressShared
{
	LWLock	   *lock;
	ProgressSlot slots[NUM_SLOTS];
} ProgressShared;

static ProgressShared *shared = NULL;

void
progress_shmem_request(void)
{
	RequestAddinShmemSpace(sizeof(ProgressShared));
	RequestNamedLWLockTranche("pg_risk_progress", 1);
}

void
progress_shmem_startup(void)
{
	bool		found;

	shared = ShmemInitStruct("pg_risk progress", sizeof(ProgressShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(ProgressShared));
		shared->lock = &GetNamedLWLockTranche("pg_risk_progress")->lock;
		for (int i = 0; i < NUM_SLOTS; i++)
			pg_atomic_init_u64(&shared->slots[i].rows, 0);
	}
}

/* Take a slot that is free. */
static ProgressSlot *
take_slot(int64 version_id, int64 other_version_id)
{
	ProgressSlot *taken = NULL;
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < NUM_SLOTS && !taken; i++)
	{
		if (shared->slots[i].pid == 0)
			taken = &shared->slots[i];
	}
	if (taken)
	{
		taken->pid = MyProcPid;
		taken->database = MyDatabaseId;
		taken->role = GetUserId();
		taken->version_id = version_id;
		taken->other_version_id = other_version_id;
		taken->started_at = now;
		pg_atomic_write_u64(&taken->rows, 0);
	}
	LWLockRelease(shared->lock);
	return taken;
}

static void
free_slot(void *slot)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	((ProgressSlot *) slot)->pid = 0;
	LWLockRelease(shared->lock);
}

/* A call begins; it ends with the context, whatever becomes of it. */
ProgressSlot *
progress_start(MemoryContext context, int64 version_id, int64 other_version_id)
{
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));
	ProgressSlot *slot = take_slot(version_id, other_version_id);

	if (slot)
	{
		*callback = (MemoryContextCallback) {.func = free_slot,.arg = slot};
		MemoryContextRegisterResetCallback(context, callback);
	}
	return slot;
}

/* So many rows have been scored. */
void
progress_rows(ProgressSlot *slot, uint64 rows)
{
	if (slot)
		pg_atomic_write_u64(&slot->rows, rows);
}

PG_FUNCTION_INFO_V1(risk_batch_calls);

/* risk.batch_calls(): the calls of this database. */
Datum
risk_batch_calls(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	ProgressSlot slots[NUM_SLOTS];

	InitMaterializedSRF(fcinfo, 0);
	LWLockAcquire(shared->lock, LW_SHARED);
	memcpy(slots, shared->slots, sizeof(slots));
	LWLockRelease(shared->lock);
	for (int i = 0; i < NUM_SLOTS; i++)
	{
		const ProgressSlot *slot = &slots[i];
		Datum		values[6] = {
			Int32GetDatum(slot->pid), ObjectIdGetDatum(slot->role),
			Int64GetDatum(slot->version_id), Int64GetDatum(slot->other_version_id),
			TimestampTzGetDatum(slot->started_at),
			Int64GetDatum((int64) pg_atomic_read_u64(&shared->slots[i].rows))
		};
		bool		nulls[6] = {false, false, false, slot->other_version_id == 0};

		if (slot->pid != 0 && slot->database == MyDatabaseId)
			tuplestore_putvalues(info->setResult, info->setDesc, values, nulls);
	}
	return (Datum) 0;
}
