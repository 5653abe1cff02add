/*
 * rolling_rows.h
 *		Rows that come in any order and go in that of key and time.
 */
#ifndef PG_RISK_ROLLING_ROWS_H
#define PG_RISK_ROLLING_ROWS_H

#include "postgres.h"

#include "executor/tuptable.h"

typedef struct RollingRows RollingRows;

/* A row, as long as the next is not asked for. */
typedef struct RollingRow
{
	bool		new_key;		/* it has another key than the one before, or none */
	bool		timeless;
	int64		time;
	const Datum *values;		/* that went along */
	const bool *nulls;
} RollingRow;

/* source begins with the columns of the key and the time; values go along. */
extern RollingRows *rolling_rows_create(MemoryContext context, TupleDesc source, int num_keys, TupleDesc values);
extern void rolling_rows_add(RollingRows *rows, const TupleTableSlot *source, const Datum *values, const bool *nulls);

/* All rows are there; then they can be read, more than once. */
extern void rolling_rows_sort(RollingRows *rows);
extern void rolling_rows_rewind(RollingRows *rows);
extern bool rolling_rows_next(RollingRows *rows, RollingRow *row);

/* The least and greatest time; false: there are no rows with one. */
extern bool rolling_rows_range(const RollingRows *rows, int64 *range);

/* Close files; memory goes with the context. */
extern void rolling_rows_end(RollingRows *rows);

#endif							/* PG_RISK_ROLLING_ROWS_H */
