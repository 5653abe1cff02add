/*
 * rolling_table.h
 *		Rolling features of all rows of a table or query, row by row.
 */
#ifndef PG_RISK_ROLLING_TABLE_H
#define PG_RISK_ROLLING_TABLE_H

#include "table_function.h"

extern const TableFunction rolling_table_function;

/* rolling.c */
extern void rolling_init(void);

#endif							/* PG_RISK_ROLLING_TABLE_H */
