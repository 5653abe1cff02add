/*
 * totals.h
 *		What a set of events adds up to: exact counts and sums, which can be added,
 *		taken away, merged and stored in any order.
 */
#ifndef PG_RISK_TOTALS_H
#define PG_RISK_TOTALS_H

#include "postgres.h"

#include "rolling/rolling.h"

/* A column of values, and what of it is added up. */
typedef struct TotalsColumn
{
	Oid			type;			/* its base type */
	bool		squares;		/* for standard deviations, too */
} TotalsColumn;

/* Of the values of one column. */
typedef struct Total
{
	int64		values;			/* that are not NULL */
	ExactSum	sum;			/* of all types but numeric */
	Datum		decimal;		/* of numeric: of those that are finite; */
	int64		nans;			/* and how many are not */
	int64		infinities;
	int64		negative_infinities;
	ExactSum	rounded;		/* with squares: of the nearest float8s, */
	ExactSum	squares;		/* and of their squares */
} Total;

typedef struct Totals
{
	int			num_columns;
	const TotalsColumn *columns;
	MemoryContext context;		/* of the decimals */
	int64		events;
	Total		of[FLEXIBLE_ARRAY_MEMBER];
} Totals;

extern Totals *totals_create(const TotalsColumn *columns, int num_columns);
extern void totals_event(Totals *totals, const Datum *values, const bool *nulls, int sign);
extern void totals_merge(Totals *totals, const Totals *other, int sign);

/* What is stored about rolling features cannot be read.  Errors: XX001, always. */
extern void totals_report_damage(void);

extern bytea *totals_store(const Totals *totals);
extern void totals_load(Totals *totals, int64 events, const bytea *stored);

/* A sum, average or standard deviation; false: NULL. */
extern bool totals_result(const Totals *totals, RollingAggregate aggregate, int column, double *result);

#endif							/* PG_RISK_TOTALS_H */
