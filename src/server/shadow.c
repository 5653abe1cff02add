/*
 * shadow.c
 *		What is scored and logged after the caller has gone on: transactions go
 *		through the queue as bytes; the worker scores what is pending and writes
 *		risk.predictions.
 *
 * A transaction that was scored where something is written belongs to that
 * database transaction: the worker holds it until that one has ended, then
 * writes it, or, if it rolled back, leaves it out and counts it.  What a query
 * scored that wrote nothing is written whatever becomes of it: somebody has
 * seen the score.
 *
 * On a standby nothing can be written here: it is forwarded to the primary if
 * pg_risk.forward_to says where that is; otherwise the queue is emptied and
 * counted.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "lib/stringinfo.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "catalog.h"
#include "compat.h"
#include "guc.h"
#include "scorer.h"
#include "shadow.h"

/* ---- as bytes ---- */

/* What stands before the pointers of a structure goes as it is; what follows is in
 * pack_transaction(). */
#define SUBJECT_BYTES		offsetof(Subject, entity)
#define OUTCOME_BYTES		offsetof(Outcome, version)
#define TRANSACTION_BYTES	offsetof(ScoredTransaction, model)

static void
pack(StringInfo record, const void *from, Size size)
{
	appendBinaryStringInfo(record, (const char *) from, size);
}

static void
pack_string(StringInfo record, const char *string)
{
	int32		length = string ? strlen(string) + 1 : 0;

	pack(record, &length, sizeof(length));
	if (string)
		pack(record, string, length);
}

/* Number of the first outcome that has the same features: its own, and they follow; or
 * -1, it has none. */
static int
features_of(const ScoredTransaction *transaction, int number)
{
	const float *features = transaction->outcomes[number].features;
	int			first = 0;

	if (!features)
		return -1;
	while (transaction->outcomes[first].features != features)
		first++;
	return first;
}

static void
pack_outcome(StringInfo record, const ScoredTransaction *transaction, int number)
{
	const Outcome *outcome = &transaction->outcomes[number];
	int32		same = features_of(transaction, number);

	pack(record, outcome, OUTCOME_BYTES);
	pack(record, &same, sizeof(same));
	pack_string(record, outcome->version);
	pack_string(record, outcome->error);
	if (same == number)
		pack(record, outcome->features, sizeof(float) * outcome->num_features);
}

static void
pack_transaction(StringInfo record, const ScoredTransaction *transaction)
{
	const Subject *subject = &transaction->subject;

	pack(record, transaction, TRANSACTION_BYTES);
	pack(record, subject, SUBJECT_BYTES);
	pack_string(record, transaction->model);
	pack_string(record, subject->entity);
	for (int i = 0; i < subject->num_cohorts; i++)
	{
		pack_string(record, subject->cohorts[i]);
		pack_string(record, subject->values[i]);
	}
	for (int i = 0; i < transaction->num_outcomes; i++)
		pack_outcome(record, transaction, i);
}

/* Leave a transaction for the worker. */
void
shadow_enqueue(const ScoredTransaction *transaction, QueueCounters *counters)
{
	static StringInfoData record = {0};

	if (!record.data)
	{
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&record);
		MemoryContextSwitchTo(caller);
	}
	resetStringInfo(&record);
	pack_transaction(&record, transaction);
	queue_push(record.data, record.len, counters);
}

/* Copy the next bytes of a record. */
static void
unpack(const char **at, void *to, Size size)
{
	memcpy(to, *at, size);
	*at += size;
}

/* The next string of a record, in place. */
static char *
unpack_string(const char **at)
{
	char	   *string;
	int32		length;

	unpack(at, &length, sizeof(length));
	string = length > 0 ? unconstify(char *, *at) : NULL;
	*at += length;
	return string;
}

static void
unpack_outcome(const char **at, ScoredTransaction *transaction, int number)
{
	Outcome    *outcome = &transaction->outcomes[number];
	int32		same;

	unpack(at, outcome, OUTCOME_BYTES);
	unpack(at, &same, sizeof(same));
	outcome->version = unpack_string(at);
	outcome->error = unpack_string(at);
	if (same == number)
	{
		float	   *features = palloc(sizeof(float) * Max(outcome->num_features, 1));

		unpack(at, features, sizeof(float) * outcome->num_features);
		outcome->features = features;
	}
	else
		outcome->features = same >= 0 ? transaction->outcomes[same].features : NULL;
}

/* A record as the transaction that it was; strings point into the record. */
static void
unpack_transaction(const char *record, ScoredTransaction *transaction)
{
	const char *at = record;
	Subject    *subject = &transaction->subject;

	unpack(&at, transaction, TRANSACTION_BYTES);
	unpack(&at, subject, SUBJECT_BYTES);
	transaction->model = unpack_string(&at);
	subject->entity = unpack_string(&at);
	subject->cohorts = palloc(sizeof(char *) * Max(subject->num_cohorts, 1));
	subject->values = palloc(sizeof(char *) * Max(subject->num_cohorts, 1));
	for (int i = 0; i < subject->num_cohorts; i++)
	{
		subject->cohorts[i] = unpack_string(&at);
		subject->values[i] = unpack_string(&at);
	}
	transaction->outcomes = palloc(sizeof(Outcome) * transaction->num_outcomes);
	for (int i = 0; i < transaction->num_outcomes; i++)
		unpack_outcome(&at, transaction, i);
}

/* ---- scoring what is pending ---- */

/* A version that the batch at hand needs. */
typedef struct BatchScorer
{
	int64		version_id;
	Scorer		scorer;			/* its version is NULL if it cannot score: */
	Problem		problem;
} BatchScorer;

/* The scorer of a version, made at its first use in the batch. */
static BatchScorer *
batch_scorer(List **scorers, const Outcome *outcome)
{
	BatchScorer *result;
	ListCell   *cell;

	foreach(cell, *scorers)
	{
		result = lfirst(cell);
		if (result->version_id == outcome->version_id)
			return result;
	}
	result = palloc0(sizeof(BatchScorer));
	result->version_id = outcome->version_id;
	(void) scorer_open(&result->scorer, outcome->version_id, outcome->output, &result->problem);
	*scorers = lappend(*scorers, result);
	return result;
}

static void
score_pending(List **scorers, Outcome *outcome)
{
	BatchScorer *version = batch_scorer(scorers, outcome);
	Problem		problem = version->problem;

	if (version->scorer.version)
		outcome->scored = scorer_time(&version->scorer, outcome->features, &outcome->score, &outcome->latency_us, &problem);
	if (!outcome->scored)
		outcome->error = problem.message;
	outcome->pending = false;
}

/* ---- the worker's side ---- */

/* A record that waits for the end of the database transaction it belongs to. */
typedef struct HeldRecord
{
	TimestampTz scored_at;
	Size		size;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} HeldRecord;

static MemoryContext held_context = NULL;
static List *held = NIL;		/* of HeldRecord, oldest first */
static Size held_bytes = 0;

/* Attempts of a batch that may fail. */
#define MAX_FAILURES	50

/* The transactions that are written together. */
typedef struct Batch
{
	int			count;
	int			taken;			/* records looked at */
	ScoredTransaction transactions[SHADOW_BATCH_SIZE];
} Batch;

/* Does anything wait for a database transaction to end? */
bool
shadow_holds(void)
{
	return held != NIL;
}

/* Decide upon a record: it is in the batch now, or it is left out.  False: its
 * transaction has not ended yet. */
static bool
take(Batch *batch, const char *record)
{
	ScoredTransaction *transaction = &batch->transactions[batch->count];

	unpack_transaction(record, transaction);
	if (TransactionIdIsValid(transaction->xid))
	{
		if (TransactionIdIsInProgress(transaction->xid))
			return false;
		if (!TransactionIdDidCommit(transaction->xid))
		{
			queue_count(queue_counters(transaction->model), COUNT_ROLLED_BACK, 1);
			return true;
		}
	}
	batch->count++;
	return true;
}

/* Keep a record for a later batch; as much as the queue holds, at most.  What
 * finds no room is dropped, as if it had never been queued. */
static void
hold(const Batch *batch, const char *record, Size size)
{
	MemoryContext caller;
	HeldRecord *copy;

	if (held_bytes + size > (Size) guc_queue_size * 1024)
	{
		QueueCounters *counters = queue_counters(batch->transactions[batch->count].model);

		queue_count(counters, COUNT_DROPPED, 1);
		queue_count(counters, COUNT_QUEUED, -1);
		return;
	}
	if (!held_context)
		held_context = AllocSetContextCreate(TopMemoryContext, "pg_risk held predictions",
											 ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(held_context);
	copy = palloc(offsetof(HeldRecord, bytes) + size);
	copy->scored_at = batch->transactions[batch->count].scored_at;
	copy->size = size;
	memcpy(copy->bytes, record, size);
	held = lappend(held, copy);
	held_bytes += size;
	MemoryContextSwitchTo(caller);
}

/* Give what is held back to the queue: this worker leaves, another one comes. */
void
shadow_hand_over(void)
{
	ListCell   *cell;

	foreach(cell, held)
	{
		HeldRecord *record = lfirst(cell);
		ScoredTransaction transaction;
		QueueCounters *counters;

		unpack_transaction(record->bytes, &transaction);
		counters = queue_counters(transaction.model);
		queue_count(counters, COUNT_QUEUED, -1);	/* it was counted before */
		queue_push(record->bytes, record->size, counters);
	}
	held = NIL;
	held_bytes = 0;
}

/* Take what has been held and can be decided upon now; the batch gets a copy. */
static void
take_held(Batch *batch)
{
	ListCell   *cell;

	foreach(cell, held)
	{
		HeldRecord *record = lfirst(cell);
		char	   *copy;

		if (batch->count == SHADOW_BATCH_SIZE)
			break;
		copy = palloc(record->size);
		memcpy(copy, record->bytes, record->size);
		if (!take(batch, copy))
			continue;
		batch->taken++;
		held_bytes -= record->size;
		held = foreach_delete_current(held, cell);
		pfree(record);
	}
}

/* Fill a batch from what has been held and from the queue. */
static void
fill_batch(Batch *batch)
{
	char	   *record;
	Size		size;

	take_held(batch);
	while (batch->taken < SHADOW_BATCH_SIZE && batch->count < SHADOW_BATCH_SIZE &&
		   (record = queue_pop(&size)) != NULL)
	{
		batch->taken++;
		if (!take(batch, record))
			hold(batch, record, size);
	}
}

/* A time before which whatever was put into the queue has been taken from it and
 * is not held. */
static TimestampTz
taken_until(void)
{
	TimestampTz until = queue_popped_until();
	ListCell   *cell;

	foreach(cell, held)
		until = Min(until, ((HeldRecord *) lfirst(cell))->scored_at);
	return until;
}

/* Score what is pending in a part of a batch, and write it. */
static void
write_part(Batch *batch, int first, int count)
{
	List	   *scorers = NIL;

	for (int i = first; i < first + count; i++)
	{
		ScoredTransaction *transaction = &batch->transactions[i];

		for (int j = 0; j < transaction->num_outcomes; j++)
		{
			if (transaction->outcomes[j].pending)
				score_pending(&scorers, &transaction->outcomes[j]);
		}
	}
	prediction_write(batch->transactions + first, count);
	if (prediction_writable())
		prediction_flushed(taken_until());
}

/* Count what became of a part of a batch, by model. */
static void
count_part(const Batch *batch, int first, int count, QueueCount what)
{
	for (int i = first; i < first + count; i++)
		queue_count(queue_counters(batch->transactions[i].model), what, 1);
}

/* Write a part of a batch in a database transaction of its own; an error is
 * reported. */
static bool
try_part(Batch *batch, int first, int count)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	StartTransactionCommand();
	PG_TRY();
	{
		catalog_hold();
		PushActiveSnapshot(GetTransactionSnapshot());
		MemoryContextSwitchTo(context);
		write_part(batch, first, count);
		PopActiveSnapshot();
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return done;
}

/*
 * Write a part of a batch.  One transaction that cannot be written must not take
 * the others with it, so what fails is halved until it is alone; but if too much
 * fails, it is not for the rows, and the rest is given up.
 */
static void
write_or_halve(Batch *batch, int first, int count, int *failures)
{
	int			half = count / 2;

	if (*failures < MAX_FAILURES && try_part(batch, first, count))
	{
		count_part(batch, first, count, COUNT_LOGGED);
		return;
	}
	++*failures;
	if (count == 1 || *failures >= MAX_FAILURES || !prediction_writable())
	{
		count_part(batch, first, count, COUNT_FAILED);
		return;
	}
	write_or_halve(batch, first, half, failures);
	write_or_halve(batch, first + half, count - half, failures);
}

/*
 * Score and write the next transactions of the queue; returns how many have been
 * looked at.  What cannot be written is reported, counted and given up.
 */
int
shadow_flush(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_risk batch",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Batch	   *batch = palloc(sizeof(Batch));
	int			failures = 0;
	int			taken;

	batch->count = batch->taken = 0;
	(void) queue_popped_until();	/* what is there now */
	fill_batch(batch);
	taken = batch->taken;
	if (batch->count > 0 && !prediction_writable() && guc_forward_to[0] == '\0')
		count_part(batch, 0, batch->count, COUNT_NOT_LOGGED);
	else if (batch->count > 0)
		write_or_halve(batch, 0, batch->count, &failures);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return taken;
}
