/*
 * extrema.c
 *		The least and the greatest of a set of events.
 *
 * Values are the nearest float8s, as everywhere in rolling features: rounding keeps
 * their order, so the extremum of rounded values is the rounded extremum.  A float8
 * becomes an integer of the same order (NaN above all others), for maxima of the
 * opposite one; so an extremum is a least integer, whatever it is of.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "port/pg_bitutils.h"
#include "utils/float.h"

#include "compat.h"
#include "extrema.h"
#include "rolling_run.h"
#include "totals.h"

#define SIGN	(UINT64CONST(1) << 63)

static Rank
rank_of(double number, bool max)
{
	uint64		bits;

	if (isnan(number))
		number = get_float8_nan();
	memcpy(&bits, &number, sizeof(bits));
	bits = bits & SIGN ? ~bits : bits | SIGN;
	return max ? ~bits : bits;
}

Rank
extremum_rank(const Extremum *extremum, Datum value)
{
	return rank_of(rolling_float8(extremum->type, value), extremum->max);
}

bool
extremum_value(const Extremum *extremum, Rank rank, double *value)
{
	uint64		bits = extremum->max ? ~rank : rank;

	bits = bits & SIGN ? bits & ~SIGN : ~bits;
	memcpy(value, &bits, sizeof(bits));
	return rank != RANK_NONE;
}

/* Those of one value together, which is made a number once. */
void
extrema_of_event(const Extremum *extrema, const int *places, const Datum *values, const bool *nulls,
				 Rank *ranks, int count)
{
	int			last = -1;
	double		number = 0;

	for (int i = 0; i < count; i++)
	{
		int			place = places[i];

		ranks[i] = RANK_NONE;
		if (place < 0 || nulls[place])
			continue;
		if (place != last)
			number = rolling_float8(extrema[i].type, values[place]);
		last = place;
		ranks[i] = rank_of(number, extrema[i].max);
	}
}

void
extrema_reset(Rank *ranks, int count)
{
	for (int i = 0; i < count; i++)
		ranks[i] = RANK_NONE;
}

void
extrema_merge(Rank *ranks, const Rank *others, int count)
{
	for (int i = 0; i < count; i++)
		ranks[i] = Min(ranks[i], others[i]);
}

/*
 * The number of levels; then for each extremum a word, of which a bit says that its
 * rank is another one than at the level below, and those ranks.  Higher levels
 * mostly have that of the level below.
 */
bytea *
extrema_store(const Rank *levels, int depth, int count)
{
	StringInfoData stored;

	initStringInfo(&stored);
	appendStringInfoSpaces(&stored, VARHDRSZ);
	appendStringInfoChar(&stored, depth);
	for (int i = 0; i < count && depth > 0; i++)
	{
		uint64		changes = 1;

		for (int j = 1; j < depth; j++)
		{
			if (levels[j * count + i] != levels[(j - 1) * count + i])
				changes |= UINT64CONST(1) << j;
		}
		appendBinaryStringInfo(&stored, (const char *) &changes, sizeof(changes));
		for (int j = 0; j < depth; j++)
		{
			if (changes >> j & 1)
				appendBinaryStringInfo(&stored, (const char *) &levels[j * count + i], sizeof(Rank));
		}
	}
	SET_VARSIZE(stored.data, stored.len);
	return (bytea *) stored.data;
}

/* The ranks of a level.  Errors: XX001 not such a form, or it has no such level. */
void
extrema_load(const bytea *stored, int level, Rank *ranks, int count)
{
	const char *next = VARDATA_ANY(stored);
	const char *end = next + VARSIZE_ANY_EXHDR(stored);

	if (next == end || level >= (unsigned char) *next++)
		totals_report_damage();
	for (int i = 0; i < count; i++)
	{
		uint64		changes;
		int			place;

		if (end - next < sizeof(changes))
			totals_report_damage();
		memcpy(&changes, next, sizeof(changes));
		next += sizeof(changes);
		place = pg_popcount64(changes & (PG_UINT64_MAX >> (63 - level))) - 1;
		if (place < 0 || (end - next) / sizeof(Rank) < pg_popcount64(changes))
			totals_report_damage();
		memcpy(&ranks[i], next + place * sizeof(Rank), sizeof(Rank));
		next += pg_popcount64(changes) * sizeof(Rank);
	}
}
