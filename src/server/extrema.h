/*
 * extrema.h
 *		The least and the greatest of a set of events, which can be merged, but not
 *		taken away.
 */
#ifndef PG_RISK_EXTREMA_H
#define PG_RISK_EXTREMA_H

#include "postgres.h"

/* A minimum, or a maximum, of a column of values. */
typedef struct Extremum
{
	Oid			type;			/* its base type */
	bool		max;
} Extremum;

/* The place of a value in the order of an extremum: the first one is it. */
typedef uint64 Rank;

/* Behind all values: there is none. */
#define RANK_NONE	PG_UINT64_MAX

extern Rank extremum_rank(const Extremum *extremum, Datum value);

/* The value of a rank; false: NULL. */
extern bool extremum_value(const Extremum *extremum, Rank rank, double *value);

/* Ranks of several extrema: of an event, where values has those of place[i], or none
 * if it is below 0; of nothing; what comes first of these and others. */
extern void extrema_of_event(const Extremum *extrema, const int *places, const Datum *values, const bool *nulls,
							 Rank *ranks, int count);
extern void extrema_reset(Rank *ranks, int count);
extern void extrema_merge(Rank *ranks, const Rank *others, int count);

/* The stored form of as many ranks at several levels, of which the higher ones are
 * of all that the lower ones are of, and more: levels[depth][count]. */
#define EXTREMA_MAX_DEPTH	63

extern bytea *extrema_store(const Rank *levels, int depth, int count);
extern void extrema_load(const bytea *stored, int level, Rank *ranks, int count);

#endif							/* PG_RISK_EXTREMA_H */
