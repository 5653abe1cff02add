/*
 * queue.c
 *		What backends leave for the worker of their database: a bounded queue in
 *		shared memory, and counters of what became of it.
 *
 * A queue is a ring of bytes, one for each of the first
 * pg_risk.queue_databases databases that need one.  Positions only grow; a
 * position's place is its remainder.  `tail` is where the next record begins,
 * `head` where the oldest one does.
 *
 * Any number of backends push, without a lock: one reserves its place by moving
 * the tail with compare-and-swap, copies its record there, and then sets the
 * record's first word, its length, which tells the worker that it is whole.
 * Only that worker moves the head; before it does, it fills what it has read
 * with zeros, so a first word is zero until its record is whole.  Between
 * reserving and setting the word nothing can fail; if a process is killed
 * there, the postmaster makes all shared memory anew.  A record is never
 * wrapped around: what is left at the end is skipped.
 *
 * A full queue never blocks: the record is dropped and counted.
 *
 * Who pushes calls the worker when none attends the queue, and wakes it when
 * the queue is half full.  `attended` and the emptiness of the queue are each
 * written before the other is read, on both sides, so no record is left alone.
 *
 * No locks: everything here is atomic.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "queue.h"
#include "worker.h"

#define MAX_COUNTERS	512		/* a power of two */

/* First word of a record. */
#define RECORD_LENGTH	0x7fffffff	/* bytes that it takes, this word included */
#define RECORD_SKIP		0x80000000	/* nothing but the rest of the ring */

#define RECORD_HEADER	MAXIMUM_ALIGNOF

typedef struct Queue
{
	pg_atomic_uint32 database;	/* OID; 0: free */
	pg_atomic_uint32 attended;	/* a worker is there */
	pg_atomic_uint32 called;	/* a worker was called and has not come yet */
	pg_atomic_uint32 woken;		/* the worker was woken and has not looked yet */
	Latch	   *worker;			/* good while attended */
	pg_atomic_uint64 head;
	char		padding[PG_CACHE_LINE_SIZE];
	pg_atomic_uint64 tail;
} Queue;

typedef struct QueueShared
{
	TimestampTz started_at;
	Size		capacity;		/* bytes of each ring */
	int			num_queues;
	QueueCounters counters[MAX_COUNTERS];
	QueueCounters others;		/* of models that found no place above */
	Queue		queues[FLEXIBLE_ARRAY_MEMBER];
} QueueShared;

static QueueShared *shared = NULL;
static char *rings = NULL;
static Queue *own = NULL;		/* of this database, once known */

/* ---- shared memory ---- */

static Size
shared_size(void)
{
	return offsetof(QueueShared, queues) + sizeof(Queue) * guc_queue_databases;
}

static Size
rings_size(void)
{
	return mul_size((Size) guc_queue_size * 1024, guc_queue_databases);
}

void
queue_shmem_request(void)
{
	RequestAddinShmemSpace(add_size(MAXALIGN(shared_size()), MAXALIGN(rings_size())));
}

static void
init_counters(QueueCounters *counters)
{
	pg_atomic_init_u64(&counters->key, 0);
	for (int i = 0; i < NUM_COUNTS; i++)
	{
		pg_atomic_init_u64(&counters->counts[i], 0);
		pg_atomic_init_u64(&counters->reported[i], 0);
	}
}

void
queue_shmem_startup(void)
{
	bool		found;
	bool		rings_found;

	shared = ShmemInitStruct("pg_risk queues", shared_size(), &found);
	rings = ShmemInitStruct("pg_risk queue rings", rings_size(), &rings_found);
	if (!found)
	{
		shared->started_at = GetCurrentTimestamp();
		shared->capacity = (Size) guc_queue_size * 1024;
		shared->num_queues = guc_queue_databases;
		for (int i = 0; i < MAX_COUNTERS; i++)
			init_counters(&shared->counters[i]);
		init_counters(&shared->others);
		for (int i = 0; i < shared->num_queues; i++)
		{
			Queue	   *queue = &shared->queues[i];

			pg_atomic_init_u32(&queue->database, InvalidOid);
			pg_atomic_init_u32(&queue->attended, 0);
			pg_atomic_init_u32(&queue->called, 0);
			pg_atomic_init_u32(&queue->woken, 0);
			queue->worker = NULL;
			pg_atomic_init_u64(&queue->head, 0);
			pg_atomic_init_u64(&queue->tail, 0);
		}
		/* The rings are zeros as they come from the system: not touched. */
	}
}

/* The queue of this database; one that is free becomes it.  NULL: all are
 * taken. */
static Queue *
own_queue(void)
{
	if (own && pg_atomic_read_u32(&own->database) == MyDatabaseId)
		return own;
	own = NULL;
	for (int i = 0; i < shared->num_queues && !own; i++)
	{
		uint32		database = InvalidOid;

		if (pg_atomic_compare_exchange_u32(&shared->queues[i].database, &database, MyDatabaseId) ||
			database == MyDatabaseId)
			own = &shared->queues[i];
	}
	return own;
}

static inline char *
place(const Queue *queue, uint64 position)
{
	return rings + (queue - shared->queues) * shared->capacity + position % shared->capacity;
}

/* ---- counters ---- */

/*
 * The counters of a model of this database; kept until the server stops.  A
 * linear search from the hash; a free place is taken by compare-and-swap.
 */
QueueCounters *
queue_counters(const char *model)
{
	uint64		key = hash_bytes_extended((const unsigned char *) model, strlen(model), MyDatabaseId) | 1;

	for (int i = 0; i < MAX_COUNTERS; i++)
	{
		QueueCounters *counters = &shared->counters[(key + i) % MAX_COUNTERS];
		uint64		present = 0;

		if (pg_atomic_read_u64(&counters->key) == key ||
			pg_atomic_compare_exchange_u64(&counters->key, &present, key) || present == key)
			return counters;
	}
	return &shared->others;
}

void
queue_count(QueueCounters *counters, QueueCount count, int64 more)
{
	pg_atomic_fetch_add_u64(&counters->counts[count], more);
}

/* ---- pushing ---- */

/*
 * Reserve room for a record of this many bytes; false when there is none.  What
 * is left of the ring's end is marked to be skipped.
 */
static bool
reserve(Queue *queue, Size length, uint64 *position)
{
	uint64		tail = pg_atomic_read_u64(&queue->tail);
	Size		skip;

	do
	{
		Size		rest = shared->capacity - tail % shared->capacity;

		skip = rest < length ? rest : 0;
		if (tail + skip + length - pg_atomic_read_u64(&queue->head) > shared->capacity)
			return false;
	} while (!pg_atomic_compare_exchange_u64(&queue->tail, &tail, tail + skip + length));

	if (skip > 0)
		pg_atomic_write_u32((pg_atomic_uint32 *) place(queue, tail), skip | RECORD_SKIP);
	*position = tail + skip;
	return true;
}

/* Call or wake the worker if there is a reason to. */
static void
notify_worker(Queue *queue)
{
	pg_memory_barrier();
	if (pg_atomic_read_u32(&queue->attended) == 0)
	{
		if (pg_atomic_exchange_u32(&queue->called, 1) == 0)
			worker_call();
		return;
	}
	if (pg_atomic_read_u64(&queue->tail) - pg_atomic_read_u64(&queue->head) > shared->capacity / 2 &&
		pg_atomic_exchange_u32(&queue->woken, 1) == 0)
	{
		Latch	   *latch = *(Latch *volatile *) &queue->worker;

		if (latch)
			SetLatch(latch);
	}
}

/* Put a record into the queue of this database, or drop and count it. */
void
queue_push(const void *record, Size size, QueueCounters *counters)
{
	Queue	   *queue = own_queue();
	Size		length = RECORD_HEADER + MAXALIGN(size);
	uint64		position;

	if (!queue || length > shared->capacity / 2 || !reserve(queue, length, &position))
	{
		queue_count(counters, COUNT_DROPPED, 1);
		if (queue)
			notify_worker(queue);
		return;
	}
	memcpy(place(queue, position) + RECORD_HEADER, record, size);
	pg_write_barrier();
	pg_atomic_write_u32((pg_atomic_uint32 *) place(queue, position), length);
	queue_count(counters, COUNT_QUEUED, 1);
	notify_worker(queue);
}

/* ---- the worker's side ---- */

/* However the worker ends, somebody else can be called, and is if something is
 * left. */
static void
worker_exits(int code, Datum arg)
{
	pg_atomic_write_u32(&own->attended, 0);
	pg_memory_barrier();
	if (pg_atomic_read_u64(&own->head) != pg_atomic_read_u64(&own->tail))
		notify_worker(own);
}

/* Attend to the queue of this database; false: it has none. */
bool
queue_attend(void)
{
	static bool registered = false;
	Queue	   *queue = own_queue();

	if (!queue)
		return false;
	if (!registered)
		before_shmem_exit(worker_exits, (Datum) 0);
	registered = true;
	queue->worker = MyLatch;
	pg_write_barrier();
	pg_atomic_write_u32(&queue->attended, 1);
	pg_atomic_write_u32(&queue->called, 0);
	pg_memory_barrier();
	return true;
}

/*
 * The oldest record, as a copy in the caller's memory; NULL: there is none, or
 * it is being written at this moment.
 */
void *
queue_pop(Size *size)
{
	Queue	   *queue = own_queue();

	if (!queue)
		return NULL;
	pg_atomic_write_u32(&queue->woken, 0);
	for (;;)
	{
		uint64		head = pg_atomic_read_u64(&queue->head);
		char	   *record = place(queue, head);
		uint32		word = pg_atomic_read_u32((pg_atomic_uint32 *) record);
		Size		length = word & RECORD_LENGTH;
		void	   *copy = NULL;

		if (word == 0)
			return NULL;
		pg_read_barrier();
		if (!(word & RECORD_SKIP))
		{
			*size = length - RECORD_HEADER;
			copy = palloc(*size);
			memcpy(copy, record + RECORD_HEADER, *size);
		}
		memset(record, 0, length);
		pg_memory_barrier();
		pg_atomic_write_u64(&queue->head, head + length);
		if (copy)
			return copy;
	}
}

/*
 * A time before which whatever had been pushed has been popped.  From call to
 * call it follows the tail: it advances to the time of an earlier call when all
 * that was in the queue then has been popped.
 */
TimestampTz
queue_popped_until(void)
{
	static TimestampTz until = DT_NOBEGIN;
	static TimestampTz marked_at = DT_NOBEGIN;
	static uint64 mark = 0;		/* the tail after that */

	if (own && pg_atomic_read_u64(&own->head) >= mark)
	{
		until = marked_at;
		marked_at = GetCurrentTimestamp();
		pg_memory_barrier();
		mark = pg_atomic_read_u64(&own->tail);
	}
	return until;
}

/* Leave the queue, unless something has come meanwhile: then false. */
bool
queue_leave(void)
{
	Queue	   *queue = own_queue();

	if (!queue)
		return true;
	pg_atomic_write_u32(&queue->attended, 0);
	pg_memory_barrier();
	if (pg_atomic_read_u64(&queue->head) == pg_atomic_read_u64(&queue->tail))
		return true;
	pg_atomic_write_u32(&queue->attended, 1);
	return false;
}

/* Free the queues of databases that are not among these: they were dropped, and
 * nobody can be connected to them any more. */
void
queue_forget_databases(const List *present)
{
	for (int i = 0; i < shared->num_queues; i++)
	{
		Queue	   *queue = &shared->queues[i];
		Oid			database = pg_atomic_read_u32(&queue->database);

		if (database == InvalidOid || list_member_oid(present, database))
			continue;
		memset(rings + i * shared->capacity, 0, shared->capacity);
		pg_atomic_write_u64(&queue->head, 0);
		pg_atomic_write_u64(&queue->tail, 0);
		pg_atomic_write_u32(&queue->attended, 0);
		pg_atomic_write_u32(&queue->called, 0);
		pg_memory_barrier();
		pg_atomic_write_u32(&queue->database, InvalidOid);
	}
}

PG_FUNCTION_INFO_V1(risk_queue_counters);
PG_FUNCTION_INFO_V1(risk_queue_unreported);
PG_FUNCTION_INFO_V1(risk_queue_fill);
PG_FUNCTION_INFO_V1(risk_queue_started_at);

/* Counters as a row of bigints. */
static Datum
counters_row(FunctionCallInfo fcinfo, const Datum *values)
{
	bool		nulls[NUM_COUNTS] = {false};
	TupleDesc	tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), unconstify(Datum *, values), nulls));
}

/* risk.queue_counters(model): the counters of a model of this database. */
Datum
risk_queue_counters(PG_FUNCTION_ARGS)
{
	QueueCounters *counters = queue_counters(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Datum		values[NUM_COUNTS];

	for (int i = 0; i < NUM_COUNTS; i++)
		values[i] = Int64GetDatum((int64) pg_atomic_read_u64(&counters->counts[i]));
	return counters_row(fcinfo, values);
}

/* risk.queue_unreported(model): by how much counters that alerts have to be raised about
 * have grown since they were last reported. */
Datum
risk_queue_unreported(PG_FUNCTION_ARGS)
{
	static const QueueCount alarming[] = {COUNT_DROPPED, COUNT_FAILED, COUNT_FALLBACKS};
	QueueCounters *counters = queue_counters(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Datum		values[lengthof(alarming)];

	for (int i = 0; i < lengthof(alarming); i++)
	{
		uint64		now = pg_atomic_read_u64(&counters->counts[alarming[i]]);

		values[i] = Int64GetDatum((int64) (now - pg_atomic_exchange_u64(&counters->reported[alarming[i]], now)));
	}
	return counters_row(fcinfo, values);
}

/* risk.queue_started_at(): when the counters began. */
Datum
risk_queue_started_at(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(shared->started_at);
}

/* risk.queue_fill(): how full the queue of this database is, 0 to 1; NULL: it
 * has none. */
Datum
risk_queue_fill(PG_FUNCTION_ARGS)
{
	for (int i = 0; i < shared->num_queues; i++)
	{
		Queue	   *queue = &shared->queues[i];

		if (pg_atomic_read_u32(&queue->database) == MyDatabaseId)
			PG_RETURN_FLOAT8((double) (pg_atomic_read_u64(&queue->tail) - pg_atomic_read_u64(&queue->head)) /
							 shared->capacity);
	}
	PG_RETURN_NULL();
}
