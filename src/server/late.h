/*
 * late.h
 *		Rows that tiles have passed by: each change of one leaves a delta.
 */
#ifndef PG_RISK_LATE_H
#define PG_RISK_LATE_H

extern void late_init(void);

/* Has this transaction changed rows whose deltas are not written yet?  Then tiles
 * do not say what its running statement has done. */
extern bool late_pending(void);

#endif							/* PG_RISK_LATE_H */
