/*
 * worker.c
 *		The background workers: they load versions ahead of their use, score
 *		shadows and write what the queue holds, judge rollouts, make tiles of
 *		rolling features, and look after the partitions of risk.predictions.
 *
 * One launcher per server, registered at start, keeps the list of databases;
 * it has no database of its own, as autovacuum's launcher.  For each database
 * with something to do it starts a worker, which connects, does it, stays as
 * long as the queue brings work, and leaves.  So an idle worker neither blocks
 * DROP DATABASE nor holds a slot of max_worker_processes.
 *
 *	 database seen first ──► worker ──► no extension: left alone until called
 *							   │
 *							   └──► extension: again every worker_naptime, when
 *									a rollout is due, and at once after a COMMIT
 *									that changed roles, or when the queue of the
 *									database gets something
 *
 * Scoring works without any worker: whoever scores first loads the version.
 *
 * Each of a worker's transactions begins with a lock on the extension
 * (catalog_hold()): who drops that has no lock yet that the worker would wait for.
 *
 * Locking.  `registry->lock` protects the list; it is held for a few memory
 * accesses.  The launcher alone removes databases.  A database has one worker
 * at most: the launcher knows those that are running; what a database wants
 * meanwhile is left for its worker to see, or for the next one.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "cache.h"
#include "catalog.h"
#include "clock.h"
#include "compat.h"
#include "guc.h"
#include "queue.h"
#include "shadow.h"
#include "tile_build.h"
#include "tile_shared.h"
#include "version.h"
#include "worker.h"

#define MAX_DATABASES 256
#define MAX_WORKERS 64			/* of pg_risk.max_workers */

/* How soon to try again when there was no slot for a worker. */
#define SLOT_RETRY_SECONDS 5

/* Batches that a worker flushes before it looks after its other duties. */
#define MAX_BATCHES 100

/* Rollouts that it judges before it looks after its other duties. */
#define MAX_ROLLOUTS 16

/* How often is looked whether an attempt takes too long. */
#define WATCH_MS 1000

/* After so long a worker makes room if another database waits for one. */
#define TURN_MS 5000

/* How long a worker waits for more after the queue's last record. */
#define LINGER_MS 2000

/* How soon it looks again whether tiles that are asked for can be made. */
#define TILES_MS 100

typedef struct RegisteredDatabase
{
	Oid			oid;
	bool		installed;		/* has the extension, as far as we know */
	bool		wanted;			/* a worker has something to do there */
	TimestampTz next_due;		/* when it has again; 0: it does not know */
	TimestampTz served_at;		/* when a worker was last started; 0: never */
} RegisteredDatabase;

typedef struct Registry
{
	LWLock	   *lock;
	Latch	   *launcher;		/* NULL: not running */
	bool		crowded;		/* a database waits for another one's worker to leave */
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

	registry = ShmemInitStruct("pg_risk worker", sizeof(Registry), &found);
	if (!found)
	{
		memset(registry, 0, sizeof(Registry));
		registry->lock = &(GetNamedLWLockTranche("PgRiskWorker"))->lock;
	}
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
	entry->next_due = 0;
	entry->served_at = 0;
	return entry;
}

/* Note whether a database has the extension, and when it is due again. */
static void
set_state(Oid oid, bool installed, TimestampTz next_due)
{
	RegisteredDatabase *entry;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	entry = database_entry(oid);
	if (entry)
	{
		entry->installed = installed;
		entry->next_due = next_due;
	}
	LWLockRelease(registry->lock);
}

/* Has somebody asked for a worker since this was last asked?  crowded: other
 * databases wait for their turn. */
static bool
take_wanted(Oid oid, bool *crowded)
{
	RegisteredDatabase *entry;
	bool		wanted = false;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	entry = database_entry(oid);
	if (entry)
	{
		wanted = entry->wanted;
		entry->wanted = false;
	}
	*crowded = registry->crowded;
	LWLockRelease(registry->lock);
	return wanted;
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

/* Have a worker look at this database now. */
void
worker_call(void)
{
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

static volatile sig_atomic_t cancellable = false;
static volatile sig_atomic_t strikes = 0;	/* against what is being attempted */
static TimestampTz attempt_ends;	/* when it has taken too long */
static TimeoutId attempt_watch;

/*
 * Each second of an attempt: if it takes too long, or goes on when the worker
 * is to leave, it is cancelled; if it survives that, as a user's function may,
 * the process ends.
 */
static void
watch_attempt(void)
{
	if (!ShutdownRequestPending && GetCurrentTimestamp() < attempt_ends)
		return;
	InterruptPending = true;
	QueryCancelPending = true;
	if (++strikes > 1)
		ProcDiePending = true;
	SetLatch(MyLatch);
}

/*
 * Leave after what is at hand.  What may take long, or wait for a lock, is
 * cancelled; the queue is flushed to the end.
 */
static void
worker_sigterm(SIGNAL_ARGS)
{
	if (cancellable)
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SignalHandlerForShutdownRequest(postgres_signal_arg);
}

/*
 * Do something in a transaction of its own that may fail: then it is reported
 * in the log, and the worker goes on.
 */
static bool
attempt(void (*work) (void *result), void *result, const char *activity)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	pgstat_report_activity(STATE_RUNNING, activity);
	strikes = 0;
	attempt_ends = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), guc_evaluation_timeout);
	enable_timeout_every(attempt_watch, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WATCH_MS), WATCH_MS);
	PG_TRY();
	{
		cancellable = true;
		StartTransactionCommand();
		catalog_hold();
		PushActiveSnapshot(GetTransactionSnapshot());
		work(result);
		PopActiveSnapshot();
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	disable_timeout(attempt_watch, false);
	cancellable = false;
	QueryCancelPending = false;
	MemoryContextSwitchTo(context);
	pgstat_report_activity(STATE_IDLE, NULL);
	return done;
}

/* Is the extension there?  Then load the versions that have a role, with their plans if
 * these have room by now.  What cannot be loaded is a warning; the others are, and
 * scoring says it to users. */
static void
load_versions(void *installed)
{
	ListCell   *cell;

	*(bool *) installed = catalog_installed();
	if (!*(bool *) installed)
		return;
	cache_release_planless();
	foreach(cell, catalog_versions_with_role())
	{
		int64		version_id = *(int64 *) lfirst(cell);
		Problem		problem;

		CHECK_FOR_INTERRUPTS();
		if (!version_use(version_id, &problem))
			ereport(WARNING,
					(errcode(problem.sqlstate),
					 errmsg("could not load version number %lld: %s",
							(long long) version_id, problem.message),
					 problem.hint ? errhint("%s", problem.hint) : 0));
	}
}

/* A function of the extension that tells when it has something to do again. */
typedef struct Errand
{
	const char *sql;
	TimestampTz next_due;		/* 0: it does not know */
} Errand;

static void
run_errand(void *errand)
{
	const char *sql = ((Errand *) errand)->sql;
	Datum		value;
	bool		isnull;

	SPI_connect();
	if (SPI_execute(sql, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not run \"%s\"", sql);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	((Errand *) errand)->next_due = isnull ? 0 : DatumGetTimestampTz(value);
	SPI_finish();
}

/* Note that the queue is empty and nobody attends to it. */
static void
end_session(void *unused)
{
	SPI_connect();
	if (SPI_execute("SELECT risk.queue_left()", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run risk.queue_left()");
	SPI_finish();
}

/*
 * Flush the queue; returns whether there was anything.  A batch that is not full
 * is the last one, for traffic that never ends must not keep the worker from
 * its other duties; nor must a queue that fills as fast as it is emptied.
 */
static bool
flush_queue(void)
{
	bool		any = false;
	int			batches = 0;
	int			taken;

	pgstat_report_activity(STATE_RUNNING, "logging predictions");
	do
	{
		taken = shadow_flush();
		any |= taken > 0;
		CHECK_FOR_INTERRUPTS();
	} while (taken >= SHADOW_BATCH_SIZE && ++batches < MAX_BATCHES);
	if (batches == MAX_BATCHES)
		SetLatch(MyLatch);		/* go on at once */
	pgstat_report_activity(STATE_IDLE, NULL);
	return any;
}

/*
 * What is due by the clock: partitions and alerts, then rollouts, each in a
 * transaction of its own and for a limited time, so that nothing waits for
 * another one's gates; the queue is flushed in between.  What stays due because
 * somebody is moving it is left for the next time.  Returns when something is
 * due again, 0: that is not known.
 */
static TimestampTz
run_errands(void)
{
	Errand		upkeep = {"SELECT risk.worker_upkeep()", 0};
	Errand		rollouts = {"SELECT risk.run_rollouts(at_most => 1)", 0};

	(void) attempt(run_errand, &upkeep, "looking after partitions");
	for (int i = 0; i < MAX_ROLLOUTS && !ShutdownRequestPending; i++)
	{
		if (!attempt(run_errand, &rollouts, "judging rollouts"))
			return 0;
		if (rollouts.next_due == 0 || rollouts.next_due > clock_now())
			break;
		(void) flush_queue();
	}
	if (upkeep.next_due == 0 || rollouts.next_due == 0)
		return Max(upkeep.next_due, rollouts.next_due);
	return Min(upkeep.next_due, rollouts.next_due);
}

/* Make the tiles that lookups ask for, as far as that can be done now.  Whether
 * there is more to do. */
static bool
make_tiles(void)
{
	if (RecoveryInProgress() || ShutdownRequestPending || !tile_wanted())
		return false;
	(void) attempt(tile_build_step, NULL, "making tiles of rolling features");
	return tile_wanted();
}

/* Leave, if nothing has come for a while; then the queue is nobody's. */
static bool
may_leave(TimestampTz last_work, bool *session)
{
	if (shadow_holds() || tile_wanted() ||
		!TimestampDifferenceExceeds(last_work, GetCurrentTimestamp(), LINGER_MS))
		return false;
	if (*session && !RecoveryInProgress())
		(void) attempt(end_session, NULL, "leaving the queue");
	*session = false;
	return queue_leave();
}

/*
 * Leave because it is told to.  If the server stops, so do the transactions that
 * something waits for; otherwise it is left to another worker, which the queue
 * calls when this one is gone.
 */
static void
leave_in_haste(void)
{
	for (int waits = 0; (void) flush_queue(), shadow_holds() && waits < 10; waits++)
		pg_usleep(50000L);
	if (!shadow_holds() && !RecoveryInProgress())
		(void) attempt(end_session, NULL, "leaving the queue");
	shadow_hand_over();
}

/* Does somebody wait for the database to be left, as who drops or copies it does? */
static bool
database_claimed(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	if (LockAcquire(&tag, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, RowExclusiveLock, true);
	return false;
}

/* All that a worker does between its coming and its leaving. */
static void
serve_database(Oid database)
{
	TimestampTz next_due = 0;
	TimestampTz last_work = 0;	/* of the queue */
	bool		session = false;	/* something has been flushed */
	bool		installed = false;
	bool		first = true;
	bool		crowded = false;
	bool		tiles;			/* more of them are wanted */
	TimestampTz came_at = GetCurrentTimestamp();

	while (!ShutdownRequestPending)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (take_wanted(database, &crowded) || first)
		{
			(void) attempt(load_versions, &installed, "loading versions that have a role");
			next_due = 1;		/* roles may have changed */
		}
		if (!installed)
			break;
		if (first)
			(void) queue_attend();
		first = false;
		if (flush_queue())
		{
			session = true;
			last_work = GetCurrentTimestamp();
		}
		if (!RecoveryInProgress() && !ShutdownRequestPending &&
			next_due != 0 && next_due <= clock_now())
			next_due = run_errands();
		tiles = make_tiles();
		if (may_leave(last_work, &session))
			break;
		if ((crowded && TimestampDifferenceExceeds(came_at, GetCurrentTimestamp(), TURN_MS)) || database_claimed())
		{
			shadow_hand_over();	/* to our next turn */
			set_state(database, true, next_due);
			return;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 tiles ? Min(TILES_MS, guc_flush_interval) : guc_flush_interval, PG_WAIT_EXTENSION);
	}
	if (ShutdownRequestPending && installed)
		leave_in_haste();
	set_state(database, installed, installed ? next_due : 0);
}

/* Main function of a database's worker; the argument is the database. */
void
risk_worker_main(Datum arg)
{
	/* Settings of the database and its owner are for people. */
	static const char *const settings[][2] = {
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"lock_timeout", "0"},
		{"datestyle", "ISO"},
		{"timezone", "UTC"},
		{"extra_float_digits", "1"}
	};

	pqsignal(SIGTERM, worker_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	attempt_watch = RegisterTimeout(USER_TIMEOUT, watch_attempt);
	serve_database(DatumGetObjectId(arg));
}

/* ---- the launcher ---- */

/* The workers that are running, as far as the launcher knows. */
static struct
{
	Oid			database;
	BackgroundWorkerHandle *handle;
}			running[MAX_WORKERS];
static int	num_running = 0;

static bool
is_running(Oid database)
{
	for (int i = 0; i < num_running; i++)
	{
		if (running[i].database == database)
			return true;
	}
	return false;
}

/* Forget the workers that have left. */
static void
reap_workers(void)
{
	for (int i = num_running - 1; i >= 0; i--)
	{
		pid_t		pid;

		if (GetBackgroundWorkerPid(running[i].handle, &pid) != BGWH_STOPPED)
			continue;
		pfree(running[i].handle);
		running[i] = running[--num_running];
	}
}

/* Bring the list up to date with pg_database. */
static void
refresh_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	Oid			served[MAX_DATABASES];
	int			count = 0;
	List	   *present = NIL;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		present = lappend_oid(present, database->oid);
		if (database->datallowconn && !database->datistemplate && count < MAX_DATABASES)
			served[count++] = database->oid;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	queue_forget_databases(present);
	CommitTransactionCommand();

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	for (int i = registry->count - 1; i >= 0; i--)
	{
		bool		found = false;

		for (int j = 0; j < count && !found; j++)
			found = served[j] == registry->databases[i].oid;
		if (!found)
			registry->databases[i] = registry->databases[--registry->count];
	}
	for (int j = 0; j < count; j++)
	{
		RegisteredDatabase *entry = database_entry(served[j]);

		if (entry && entry->installed)
			entry->wanted = true;
	}
	LWLockRelease(registry->lock);
}

/*
 * Take a database in which a worker has something to do off the list, the one
 * that has waited longest; those that have one are left.  next_due: when the next
 * one is due by itself.
 */
static Oid
next_wanted_database(TimestampTz *next_due)
{
	TimestampTz now = clock_now();
	RegisteredDatabase *chosen = NULL;
	Oid			result = InvalidOid;

	*next_due = DT_NOEND;
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	for (int i = 0; i < registry->count; i++)
	{
		RegisteredDatabase *entry = &registry->databases[i];

		if (is_running(entry->oid))
			continue;
		if (entry->next_due != 0 && entry->next_due <= now)
		{
			entry->wanted = true;
			entry->next_due = 0;
		}
		if (entry->next_due != 0)
			*next_due = Min(*next_due, entry->next_due);
		if (entry->wanted && (!chosen || entry->served_at < chosen->served_at))
			chosen = entry;
	}
	if (chosen)
	{
		chosen->wanted = false;
		chosen->served_at = GetCurrentTimestamp();
		result = chosen->oid;
	}
	else
		registry->crowded = false;
	LWLockRelease(registry->lock);
	return result;
}

static TimestampTz
seconds_from_now(int seconds)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) seconds * 1000);
}

/* Say from time to time that work is left undone. */
static void
complain_of_slots(void)
{
	static TimestampTz last = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(last, now, 60 * 1000))
		return;
	last = now;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("pg_risk could not start a worker: there is no free slot"),
			 errdetail("Predictions are not logged and rollouts are not judged meanwhile."),
			 errhint("Raise max_worker_processes.")));
}

/* Start the worker of a database.  False when there are as many as there may
 * be, or all slots for background workers are taken. */
static bool
start_worker(Oid database)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	if (num_running >= guc_max_workers)
	{
		LWLockAcquire(registry->lock, LW_EXCLUSIVE);
		registry->crowded = true;
		LWLockRelease(registry->lock);
		return false;
	}
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
	{
		complain_of_slots();
		return false;
	}
	running[num_running].database = database;
	running[num_running++].handle = handle;
	return true;
}

/* Start a worker wherever one has something to do; returns when to look again
 * unless something happens before. */
static TimestampTz
start_workers(void)
{
	for (;;)
	{
		TimestampTz next_due;
		Oid			database = next_wanted_database(&next_due);

		if (!OidIsValid(database))
			return guc_clock_set ? DT_NOEND : next_due;
		if (!start_worker(database))
		{
			set_wanted(database);
			return seconds_from_now(SLOT_RETRY_SECONDS);
		}
	}
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
		TimestampTz wakeup;

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

		reap_workers();
		if (GetCurrentTimestamp() >= next_round)
		{
			refresh_databases();
			next_round = seconds_from_now(guc_worker_naptime);
		}
		wakeup = Min(start_workers(), next_round);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 TimestampDifferenceMilliseconds(GetCurrentTimestamp(), wakeup),
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
