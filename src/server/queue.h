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

/* What became of the transactions of a model, since the server started. */
typedef struct QueueCounters
{
	pg_atomic_uint64 key;		/* database and model; 0: free */
	pg_atomic_uint64 queued;	/* put into the queue */
	pg_atomic_uint64 logged;	/* written to risk.predictions by the worker */
	pg_atomic_uint64 dropped;	/* lost because the queue was full, or for want of one */
	pg_atomic_uint64 failed;	/* lost because they could not be written */
	pg_atomic_uint64 rolled_back;	/* left out: their transaction rolled back */
	pg_atomic_uint64 not_logged;	/* left out: this is a standby */
	pg_atomic_uint64 fallbacks; /* decided by the fallback score */
	pg_atomic_uint64 dropped_reported;	/* of these, those that alerts have told */
	pg_atomic_uint64 failed_reported;
	pg_atomic_uint64 fallbacks_reported;
} QueueCounters;

extern void queue_shmem_request(void);
extern void queue_shmem_startup(void);

extern QueueCounters *queue_counters(const char *model);
extern void queue_push(const void *record, Size size, QueueCounters *counters);

/* For the one worker of a database. */
extern bool queue_attend(void);
extern void *queue_pop(Size *size);
extern TimestampTz queue_popped_until(void);
extern bool queue_leave(void);
extern void queue_forget_databases(const List *present);

#endif							/* PG_RISK_QUEUE_H */
