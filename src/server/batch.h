/*
 * batch.h
 *		Scores of a whole table or query, row by row.
 */
#ifndef PG_RISK_BATCH_H
#define PG_RISK_BATCH_H

#include "table_function.h"

#define NUM_BATCH_FUNCTIONS	5

extern const TableFunction *const batch_functions[NUM_BATCH_FUNCTIONS];

#endif							/* PG_RISK_BATCH_H */
