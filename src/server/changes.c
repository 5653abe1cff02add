/*
 * changes.c
 *		Whether two snapshots see the same models and roles, told without reading
 *		them.
 *
 * Shared memory holds two numbers for the whole server: how often the tables
 * have been changed, the state, and the latest transaction that did so.
 * Triggers advance both within the transaction that changes, before each row does,
 * so before anybody can see what it did, itself included.
 *
 * A snapshot that began after the latest of these transactions had ended sees
 * the tables as of the state that is read then.  So two snapshots of which that
 * is true, with the same state, see the same rows: whatever one of them saw and
 * the other did not would have advanced the state in between, or be the work of
 * a transaction that had not ended for one of them.  Where it is not known to be
 * true, as while a change is about to commit, for snapshots older than a change,
 * and for the own changes of a transaction, the tables have to be read.  Nothing
 * has to happen at COMMIT or ROLLBACK, so prepared transactions are no exception.
 *
 * A standby replays changes without triggers, and a serializable transaction
 * must be seen to read: there the answer is always that it is not known.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "port/atomics.h"
#include "storage/shmem.h"

#include "changes.h"

typedef struct ChangesShared
{
	pg_atomic_uint64 state;
	pg_atomic_uint64 latest;	/* FullTransactionId; 0: not known since the
								 * server started */
} ChangesShared;

static ChangesShared *shared = NULL;

void
changes_shmem_request(void)
{
	RequestAddinShmemSpace(sizeof(ChangesShared));
}

void
changes_shmem_startup(void)
{
	bool		found;

	shared = ShmemInitStruct("pg_risk changes", sizeof(ChangesShared), &found);
	if (!found)
	{
		pg_atomic_init_u64(&shared->state, 0);
		pg_atomic_init_u64(&shared->latest, 0);
	}
}

/* Let a transaction be the latest one, unless a later one is; its number then. */
static uint64
advance_latest(uint64 xid)
{
	uint64		latest = pg_atomic_read_u64(&shared->latest);

	while (latest < xid)
	{
		if (pg_atomic_compare_exchange_u64(&shared->latest, &latest, xid))
			return xid;
	}
	return latest;
}

/* The running transaction has changed models or roles.  First the transaction,
 * then the state: who sees the state sees the transaction. */
void
changes_note(void)
{
	(void) advance_latest(U64FromFullTransactionId(GetTopFullTransactionId()));
	pg_atomic_fetch_add_u64(&shared->state, 1);
}

/*
 * Does a snapshot see all changes so far?  Then `state` is what it sees, and what
 * any other snapshot sees for which it is the same.
 */
bool
changes_seen(Snapshot snapshot, uint64 *state)
{
	uint64		latest;
	FullTransactionId next;

	if (snapshot->takenDuringRecovery || IsolationIsSerializable())
		return false;
	*state = pg_atomic_read_u64(&shared->state);
	pg_read_barrier();
	latest = pg_atomic_read_u64(&shared->latest);
	if (latest != 0 && TransactionIdFollows(snapshot->xmin, (TransactionId) latest))
		return true;

	/*
	 * In the first call since the server started nothing is known of transactions
	 * from before, of which some may be prepared: all that have begun could be it.
	 * And a change that is two billion transactions old looks like a later one.
	 */
	next = ReadNextFullTransactionId();
	if (latest == 0)
		latest = advance_latest(U64FromFullTransactionId(next) - 1);
	return U64FromFullTransactionId(next) - (uint32) (XidFromFullTransactionId(next) - snapshot->xmin) > latest;
}
