/*
 * queue.h
 *		What backends leave for the worker of their database: a bounded queue in
 *		shared memory, and counters of what became of it.
 */
#ifndef PG_RISK_QUEUE_H
#define PG_RISK_QUEUE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "port/atomics.h"

/* What became of the transactions of a model, since the server started: the columns of
 * risk.queue_counters(), in its order. */
typedef enum QueueCount
{
	COUNT_QUEUED,				/* put into the queue */
	COUNT_LOGGED,				/* written to risk.predictions by the worker */
	COUNT_DROPPED,				/* lost because the queue was full, or for want of one */
	COUNT_FAILED,				/* lost because they could not be written */
	COUNT_ROLLED_BACK,			/* left out: their transaction rolled back */
	COUNT_NOT_LOGGED,			/* left out: this is a standby */
	COUNT_FALLBACKS,			/* decided by the fallback score */
	NUM_COUNTS
} QueueCount;

typedef struct QueueCounters
{
	pg_atomic_uint64 key;		/* database and model; 0: free */
	pg_atomic_uint64 counts[NUM_COUNTS];
	pg_atomic_uint64 reported[NUM_COUNTS];	/* of these, those that alerts have told */
} QueueCounters;

extern void queue_shmem_request(void);
extern void queue_shmem_startup(void);

extern QueueCounters *queue_counters(const char *model);
extern void queue_count(QueueCounters *counters, QueueCount count, int64 more);
extern void queue_push(const void *record, Size size, QueueCounters *counters);

/* For the one worker of a database. */
extern bool queue_attend(void);
extern void *queue_pop(Size *size);
extern TimestampTz queue_popped_until(void);
extern bool queue_leave(void);
extern void queue_forget_databases(const List *present);

#endif							/* PG_RISK_QUEUE_H */
