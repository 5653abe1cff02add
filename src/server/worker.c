/*
 * worker.c
 *		The background worker that loads versions ahead of their use.
 *
 * One launcher per server, registered at start, keeps the list of databases;
 * it has no database of its own, as autovacuum's launcher.  For each database
 * with something to do it starts a worker, which connects, loads the forests
 * of the versions that have a role, and leaves.  A worker never stays, so it
 * neither blocks DROP DATABASE nor holds a slot of max_worker_processes, and
 * what it does is bounded by what is registered.
 *
 *	 database seen first ──► worker ──► no extension: left alone until woken
 *							   │
 *							   └──► extension: again every worker_naptime,
 *									and at once after a COMMIT that changed roles
 *
 * Everything works without the worker: whoever scores first loads the version.
 *
 * Locking.  `registry->lock` protects the list; it is held for a few memory
 * accesses.  The launcher alone removes databases.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "compat.h"
#include "guc.h"
#include "version.h"
#include "worker.h"

#define MAX_DATABASES 256

/* How soon to try again when there was no slot for a worker. */
#define SLOT_RETRY_SECONDS 5

typedef struct RegisteredDatabase
{
	Oid			oid;
	bool		installed;		/* has the extension, as far as we know */
	bool		wanted;			/* a worker has something to do there */
} RegisteredDatabase;

typedef struct Registry
{
	LWLock	   *lock;
	Latch	   *launcher;		/* NULL: not running */
	int			count;
	RegisteredDatabase databases[MAX_DATABASES];
} Registry;

static Registry *registry = NULL;
static bool wake_pending = false;	/* at commit of this transaction */

/* ---- shared memory ---- */

void
worker_shmem_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(Registry)));
	RequestNamedLWLockTranche("PgRiskWorker", 1);
}

void
worker_shmem_startup(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	registry = ShmemInitStruct("pg_risk worker", sizeof(Registry), &found);
	if (!found)
	{
		memset(registry, 0, sizeof(Registry));
		registry->lock = &(GetNamedLWLockTranche("PgRiskWorker"))->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

/* The entry of a database, made when it is new; NULL when the list is full.
 * The lock is held exclusively. */
static RegisteredDatabase *
database_entry(Oid oid)
{
	RegisteredDatabase *entry;

	for (int i = 0; i < registry->count; i++)
	{
		if (registry->databases[i].oid == oid)
			return &registry->databases[i];
	}
	if (registry->count == MAX_DATABASES)
		return NULL;
	entry = &registry->databases[registry->count++];
	entry->oid = oid;
	entry->installed = false;
	entry->wanted = true;
	return entry;
}

/* Note whether a database has the extension. */
static void
set_installed(Oid oid, bool installed)
{
	RegisteredDatabase *entry;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	entry = database_entry(oid);
	if (entry)
		entry->installed = installed;
	LWLockRelease(registry->lock);
}

/* Have the launcher look at a database. */
static void
set_wanted(Oid oid)
{
	RegisteredDatabase *entry;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	entry = database_entry(oid);
	if (entry)
		entry->wanted = true;
	if (registry->launcher && registry->launcher != MyLatch)
		SetLatch(registry->launcher);
	LWLockRelease(registry->lock);
}

/* ---- waking ---- */

/* At commit: have the launcher look at this database. */
static void
transaction_ended(XactEvent event, void *arg)
{
	if (!wake_pending)
		return;
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		wake_pending = false;
	if (event != XACT_EVENT_COMMIT)
		return;
	wake_pending = false;
	set_wanted(MyDatabaseId);
}

/* When this transaction commits, have a worker load what has a role. */
void
worker_wake_at_commit(void)
{
	wake_pending = true;
}

PG_FUNCTION_INFO_V1(risk_wake_worker);

/* risk.wake_worker() */
Datum
risk_wake_worker(PG_FUNCTION_ARGS)
{
	worker_wake_at_commit();
	PG_RETURN_VOID();
}

/* ---- the worker of a database ---- */

/*
 * Load one version, in a subtransaction.  What goes wrong (no room, a damaged
 * row) is a warning in the log: the others are loaded all the same, and scoring
 * says it to users.  A shutdown is no error: it ends the process.
 */
static void
load_version(int64 version_id)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		(void) version_use(version_id);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("could not load version number %lld: %s",
						(long long) version_id, error->message),
				 error->hint ? errhint("%s", error->hint) : 0));
		FreeErrorData(error);
	}
	PG_END_TRY();
}

/* Main function of a database's worker; the argument is the database. */
void
risk_worker_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);
	bool		installed;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "loading versions that have a role");
	installed = catalog_installed();
	set_installed(database, installed);
	if (installed)
	{
		ListCell   *cell;

		foreach(cell, catalog_versions_with_role())
			load_version(*(int64 *) lfirst(cell));
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* ---- the launcher ---- */

/* Bring the list up to date with pg_database. */
static void
refresh_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	Oid			present[MAX_DATABASES];
	int			count = 0;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (count < MAX_DATABASES &&
		   HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (database->datallowconn && !database->datistemplate)
			present[count++] = database->oid;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	for (int i = registry->count - 1; i >= 0; i--)
	{
		bool		found = false;

		for (int j = 0; j < count && !found; j++)
			found = present[j] == registry->databases[i].oid;
		if (!found)
			registry->databases[i] = registry->databases[--registry->count];
	}
	for (int j = 0; j < count; j++)
	{
		RegisteredDatabase *entry = database_entry(present[j]);

		if (entry && entry->installed)
			entry->wanted = true;
	}
	LWLockRelease(registry->lock);
}

/* Take a database in which a worker has something to do off the list. */
static Oid
next_wanted_database(void)
{
	Oid			result = InvalidOid;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	for (int i = 0; i < registry->count && result == InvalidOid; i++)
	{
		if (registry->databases[i].wanted)
		{
			registry->databases[i].wanted = false;
			result = registry->databases[i].oid;
		}
	}
	LWLockRelease(registry->lock);
	return result;
}

static TimestampTz
seconds_from_now(int seconds)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) seconds * 1000);
}

/* Start the worker of a database and wait until it has left.  False when all
 * slots for background workers are taken. */
static bool
run_worker(Oid database)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	strlcpy(worker.bgw_name, "pg_risk worker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "pg_risk worker", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "pg_risk", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "risk_worker_main", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;

	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		return false;
	if (WaitForBackgroundWorkerShutdown(handle) == BGWH_POSTMASTER_DIED)
		proc_exit(1);
	pfree(handle);
	return true;
}

static void
launcher_exits(int code, Datum arg)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	registry->launcher = NULL;
	LWLockRelease(registry->lock);
}

/* Main function of the launcher. */
void
risk_launcher_main(Datum arg)
{
	TimestampTz next_round = 0;

	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	before_shmem_exit(launcher_exits, (Datum) 0);
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	registry->launcher = MyLatch;
	LWLockRelease(registry->lock);

	for (;;)
	{
		Oid			database;

		/* First, for what comes from here on must wake us below. */
		ResetLatch(MyLatch);

		/* Status 1: unless the server stops, the postmaster restarts us. */
		if (ShutdownRequestPending)
			proc_exit(1);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			next_round = Min(next_round, seconds_from_now(guc_worker_naptime));
		}

		if (GetCurrentTimestamp() >= next_round)
		{
			refresh_databases();
			next_round = seconds_from_now(guc_worker_naptime);
		}

		/* Waiting for a worker uses the latch: look at everything again. */
		database = next_wanted_database();
		if (OidIsValid(database) && run_worker(database))
			continue;
		if (OidIsValid(database))
		{
			set_wanted(database);
			next_round = Min(next_round, seconds_from_now(SLOT_RETRY_SECONDS));
		}

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next_round),
						 PG_WAIT_EXTENSION);
	}
}

/* Register the launcher and the commit callback; runs in the postmaster. */
void
worker_init(void)
{
	BackgroundWorker launcher = {0};

	RegisterXactCallback(transaction_ended, NULL);

	strlcpy(launcher.bgw_name, "pg_risk launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_type, "pg_risk launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_library_name, "pg_risk", BGW_MAXLEN);
	strlcpy(launcher.bgw_function_name, "risk_launcher_main", BGW_MAXLEN);
	launcher.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	launcher.bgw_start_time = BgWorkerStart_ConsistentState;
	launcher.bgw_restart_time = 5;
	RegisterBackgroundWorker(&launcher);
}
