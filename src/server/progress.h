/*
 * progress.h
 *		How far the calls that score whole tables have come.
 */
#ifndef PG_RISK_PROGRESS_H
#define PG_RISK_PROGRESS_H

#include "postgres.h"

/* A call that is shown; NULL: one too many. */
typedef struct ProgressSlot ProgressSlot;

extern void progress_shmem_request(void);
extern void progress_shmem_startup(void);

extern ProgressSlot *progress_start(MemoryContext context, int64 version_id, int64 other_version_id);
extern void progress_rows(ProgressSlot *slot, uint64 rows);

#endif							/* PG_RISK_PROGRESS_H */
