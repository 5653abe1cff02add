/*
 * rolling_rows.h
 *		Rows that come in any order and go in that of key and time.
 */
#ifndef PG_RISK_ROLLING_ROWS_H
#define PG_RISK_ROLLING_ROWS_H

#include "postgres.h"

#include "executor/tuptable.h"

#include "rolling/rolling.h"

typedef struct RollingRows RollingRows;

/* A row, as long as the next are not asked for. */
typedef struct RollingRow
{
	int64		time;
	const Datum *values;		/* that went along */
	const bool *nulls;
} RollingRow;

/* Rows of one key. */
typedef struct RollingPart
{
	bool		new_key;		/* it is another than that of the part before, or none */
	bool		timeless;
	int			count;
	RollingRow	rows[ROLLING_BLOCK];
} RollingPart;

/* source begins with the columns of the key and the time; values go along.  Rows are
 * added in a context that does not live long. */
extern RollingRows *rolling_rows_create(MemoryContext context, TupleDesc source, int num_keys, TupleDesc values);
extern void rolling_rows_add(RollingRows *rows, const TupleTableSlot *source, const Datum *values, const bool *nulls);

/* All rows are there; then they can be read, more than once, until a part has none. */
extern void rolling_rows_sort(RollingRows *rows);
extern void rolling_rows_rewind(RollingRows *rows);
extern void rolling_rows_read(RollingRows *rows, RollingPart *part);

/* The least and greatest time; false: there are no rows with one. */
extern bool rolling_rows_range(const RollingRows *rows, int64 *range);

/* Close files; memory goes with the context. */
extern void rolling_rows_end(RollingRows *rows);

#endif							/* PG_RISK_ROLLING_ROWS_H */
