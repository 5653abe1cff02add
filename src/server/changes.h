/*
 * changes.h
 *		Whether two snapshots see the same models and roles, told without reading
 *		them.
 */
#ifndef PG_RISK_CHANGES_H
#define PG_RISK_CHANGES_H

#include "utils/snapshot.h"

extern void changes_shmem_request(void);
extern void changes_shmem_startup(void);

extern void changes_note(void);
extern bool changes_seen(Snapshot snapshot, uint64 *state);

#endif							/* PG_RISK_CHANGES_H */
