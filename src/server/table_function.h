/*
 * table_function.h
 *		Functions in FROM whose rows are made one by one, as they are asked for.
 */
#ifndef PG_RISK_TABLE_FUNCTION_H
#define PG_RISK_TABLE_FUNCTION_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "fmgr.h"

typedef struct TableFunction TableFunction;

struct TableFunction
{
	PGFunction	address;		/* that SQL calls */
	const char *name;

	/* A call begins; its rows are to have the columns of result. */
	void	   *(*begin) (const TableFunction *function, const NullableDatum *args, TupleDesc result);

	/* A row, as long as the next is not asked for.  False: there is none. */
	bool		(*next) (void *call, Datum *values, bool *nulls);

	/* The same rows from the first one on.  NULL: the call begins anew. */
	void		(*rewind) (void *call);
	void		(*end) (void *call);
};

/* All rows at once, where no scan stands in for the function. */
extern Datum table_function_call(const TableFunction *function, FunctionCallInfo fcinfo);

extern void table_function_init(void);

#endif							/* PG_RISK_TABLE_FUNCTION_H */
