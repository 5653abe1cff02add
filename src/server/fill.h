/*
 * fill.h
 *		Columns of a tuple given values.
 */
#ifndef PG_RISK_FILL_H
#define PG_RISK_FILL_H

#include "access/htup.h"
#include "access/tupdesc.h"

extern HeapTuple fill_columns(HeapTuple tuple, TupleDesc tupdesc, int count, const int *columns,
							  const Datum *values, const bool *nulls);

#endif							/* PG_RISK_FILL_H */
