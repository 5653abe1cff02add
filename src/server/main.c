/*
 * main.c
 *		The module's entry point: the only file that knows all the others.
 *
 * Nothing happens here but registration.  Lock order, from the outside in:
 *
 *	 1. rows and tables of schema risk, as SQL takes them;
 *	 2. the cache's LWLock (cache.c): held for list and arena bookkeeping only,
 *		never across I/O, palloc or anything that can raise an error;
 *	 3. the worker registry's LWLock (worker.c): likewise; never with 2;
 *	 4. the LWLocks of batches (progress.c) and of requests for tiles
 *		(tile_shared.c): likewise; never with another one.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/guc.h"

#include "cache.h"
#include "catalog.h"
#include "changes.h"
#include "compat.h"
#include "decide.h"
#include "guc.h"
#include "late.h"
#include "live.h"
#include "progress.h"
#include "queue.h"
#include "rolling_table.h"
#include "score_scan.h"
#include "table_function.h"
#include "tile_shared.h"
#include "tiling.h"
#include "version.h"
#include "worker.h"

PG_RISK_MODULE_MAGIC;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
risk_shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	cache_shmem_request();
	changes_shmem_request();
	worker_shmem_request();
	queue_shmem_request();
	progress_shmem_request();
	tile_shared_shmem_request();
}

static void
risk_shmem_startup(void)
{
	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	cache_shmem_startup();
	changes_shmem_startup();
	worker_shmem_startup();
	queue_shmem_startup();
	progress_shmem_startup();
	tile_shared_shmem_startup();
	LWLockRelease(AddinShmemInitLock);
}

void
_PG_init(void)
{
	/* pg_upgrade only wants to see that the library is there. */
	if (IsBinaryUpgrade)
		return;

	if (!process_shared_preload_libraries_in_progress)
	{
		const char *current = GetConfigOption("shared_preload_libraries", true, false);

		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_risk must be loaded when the server starts"),
				 errhint("Set shared_preload_libraries = '%s%spg_risk' in postgresql.conf and restart the server.",
						 current ? current : "",
						 current && current[0] ? ", " : "")));
	}

	guc_define();
	version_init();
	catalog_init();
	live_init();
	tiling_init();
	late_init();
	rolling_init();
	table_function_init();
	worker_init();
	decide_init();
	score_plan_init();
	score_scan_init();

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = risk_shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = risk_shmem_startup;
}
