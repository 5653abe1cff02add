/*
 * worker.h
 *		The background worker that loads versions ahead of their use.
 */
#ifndef PG_RISK_WORKER_H
#define PG_RISK_WORKER_H

#include "postgres.h"

extern void worker_init(void);
extern void worker_shmem_request(void);
extern void worker_shmem_startup(void);
extern void worker_wake_at_commit(void);
extern void worker_call(void);

extern PGDLLEXPORT void risk_launcher_main(Datum arg);
extern PGDLLEXPORT void risk_worker_main(Datum arg);

#endif							/* PG_RISK_WORKER_H */
