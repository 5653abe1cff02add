/*
 * rolling_table.h
 *		Rolling features of all rows of a table or query, row by row.
 */
#ifndef PG_RISK_ROLLING_TABLE_H
#define PG_RISK_ROLLING_TABLE_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "fmgr.h"
#include "nodes/primnodes.h"

#define ROLLING_TABLE_ARGS	7

typedef struct RollingTable RollingTable;

/* Read the source; result: what is wanted, by the names of its columns. */
extern RollingTable *rolling_table_begin(const NullableDatum *args, TupleDesc result);

/* A row, as long as the next is not asked for.  False: there is none. */
extern bool rolling_table_next(RollingTable *table, Datum *values, bool *nulls);
extern void rolling_table_rewind(RollingTable *table);
extern void rolling_table_end(RollingTable *table);

extern Datum risk_rolling_table(PG_FUNCTION_ARGS);

/* rolling.c */
extern void rolling_init(void);

/* rolling_scan.c */
extern void rolling_scan_init(void);

#endif							/* PG_RISK_ROLLING_TABLE_H */
