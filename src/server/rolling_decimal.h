/*
 * rolling_decimal.h
 *		Sums of windows of numerics, by PostgreSQL's own arithmetic.
 */
#ifndef PG_RISK_ROLLING_DECIMAL_H
#define PG_RISK_ROLLING_DECIMAL_H

#include "utils/palloc.h"

typedef struct RollingDecimal RollingDecimal;

extern RollingDecimal *rolling_decimal_create(MemoryContext context);

/* Another key follows. */
extern void rolling_decimal_reset(RollingDecimal *decimal);

/* Add a value at a time, not before the latest. */
extern void rolling_decimal_add(RollingDecimal *decimal, int64 time, Datum value);

/* The sum of the values with times in [lower, upper), a numeric without zeros at
 * its end, and how many they are. */
extern Datum rolling_decimal_sum(const RollingDecimal *decimal, int64 lower, int64 upper, int64 *count);

/* A sum of the finite ones, and how many are not: as one numeric, without zeros
 * at its end. */
extern Datum rolling_decimal_value(Datum sum, int64 nans, int64 infinities, int64 negative_infinities);

/* The average of so many values with that sum: as SQL's avg(numeric) has it, rounded
 * to float8. */
extern double rolling_decimal_avg(Datum sum, int64 count);

/* The sum, or else average, of a window of numerics or bigints as float8.  False: an
 * average of none. */
extern bool rolling_decimal_result(const RollingDecimal *decimal, Oid type, bool average,
								   int64 lower, int64 upper, double *result);

/* No lower bound will be before a time. */
extern void rolling_decimal_forget(RollingDecimal *decimal, int64 time);

#endif							/* PG_RISK_ROLLING_DECIMAL_H */
