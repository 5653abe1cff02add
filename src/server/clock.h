/*
 * clock.h
 *		The clock of everything that depends on time.
 */
#ifndef PG_RISK_CLOCK_H
#define PG_RISK_CLOCK_H

#include "datatype/timestamp.h"

extern TimestampTz clock_now(void);

#endif							/* PG_RISK_CLOCK_H */
