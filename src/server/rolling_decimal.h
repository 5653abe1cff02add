/*
 * rolling_decimal.h
 *		The sum of a moving window of numerics, by PostgreSQL's own arithmetic.
 */
#ifndef PG_RISK_ROLLING_DECIMAL_H
#define PG_RISK_ROLLING_DECIMAL_H

#include "utils/palloc.h"

typedef struct RollingDecimal RollingDecimal;

extern RollingDecimal *rolling_decimal_create(MemoryContext context);

/* Another key follows. */
extern void rolling_decimal_reset(RollingDecimal *decimal);

/* The sum of the values with times in [lower, upper), a numeric without zeros at
 * its end.  Bounds may go back, but to nothing before kept. */
extern Datum rolling_decimal_sum(RollingDecimal *decimal, int64 lower, int64 upper, int64 kept);

/* Add a value at a time, not before the latest. */
extern void rolling_decimal_add(RollingDecimal *decimal, int64 time, Datum value);

#endif							/* PG_RISK_ROLLING_DECIMAL_H */
