/*
 * shadow.h
 *		What is scored and logged after the caller has gone on.
 */
#ifndef PG_RISK_SHADOW_H
#define PG_RISK_SHADOW_H

#include "prediction.h"
#include "queue.h"

/* Transactions that are written together. */
#define SHADOW_BATCH_SIZE	1000

extern void shadow_enqueue(const ScoredTransaction *transaction, QueueCounters *counters);
extern int	shadow_flush(void);
extern bool shadow_holds(void);
extern void shadow_hand_over(void);

#endif							/* PG_RISK_SHADOW_H */
