/*
 * sort.c
 *		Rows in the order of their values, and the quantiles that follow.
 */
#include <math.h>
#include <string.h>

#include "measure.h"
#include "../forest/pure.h"

#define DIGIT_BITS	8
#define DIGITS		(64 / DIGIT_BITS)
#define DIGIT_VALUES	(1 << DIGIT_BITS)

/* The bits of a double as an integer that sorts as the double does: negative
 * ones have all bits turned over, the others their sign. */
static inline uint64_t
sort_key(double value)
{
	uint64_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits ^ ((bits >> 63) ? UINT64_MAX : UINT64_C(1) << 63);
}

static inline uint32_t
digit_of(double value, int digit)
{
	return (uint32_t) (sort_key(value) >> (digit * DIGIT_BITS)) & (DIGIT_VALUES - 1);
}

/* One pass of the sort: from one array to the other, by one digit; stable. */
static void
distribute(const MeasureRank *from, MeasureRank *to, size_t n, int digit, const size_t *counts)
{
	size_t		places[DIGIT_VALUES];
	size_t		place = 0;
	size_t		i;

	for (i = 0; i < DIGIT_VALUES; i++)
	{
		places[i] = place;
		place += counts[i];
	}
	for (i = 0; i < n; i++)
		to[places[digit_of(from[i].value, digit)]++] = from[i];
}

/*
 * Put the numbers of the rows, and their values, in ascending order of value,
 * rows of equal values in their own order; scratch holds n elements too.
 * Radix sort: digits that are the same everywhere cost no pass, such as the
 * low ones of float32 scores.  False if a value is NaN or there are too many.
 */
bool
measure_order(const double *values, size_t n, MeasureRank *order, MeasureRank *scratch)
{
	size_t		counts[DIGITS][DIGIT_VALUES] = {{0}};
	MeasureRank *from = order;
	MeasureRank *to = scratch;
	size_t		i;
	int			digit;

	if (n > MEASURE_MAX_ROWS)
		return false;
	for (i = 0; i < n; i++)
	{
		if (isnan(values[i]))
			return false;
		order[i].value = values[i] + 0.0;	/* -0 becomes 0, its equal */
		order[i].row = (uint32_t) i;
		for (digit = 0; digit < DIGITS; digit++)
			counts[digit][digit_of(order[i].value, digit)]++;
	}
	for (digit = 0; digit < DIGITS && n > 0; digit++)
	{
		MeasureRank *swap = from;

		if (counts[digit][digit_of(values[0] + 0.0, digit)] == n)
			continue;
		distribute(from, to, n, digit, counts[digit]);
		from = to;
		to = swap;
	}
	if (from != order)
		memcpy(order, from, n * sizeof(*order));
	return true;
}

/*
 * The value below which that fraction (0 to 1) of the rows is, interpolated
 * between two of them: percentile_cont(), numpy's "linear".  Unlike there, what
 * is above an infinite value is that value, not NaN.  NaN: no rows.
 */
double
measure_quantile(const MeasureRank *order, size_t n, double fraction)
{
	double		position;
	double		low;
	double		high;

	if (n == 0)
		return NAN;
	position = fraction * (double) (n - 1);
	low = order[(size_t) floor(position)].value;
	high = order[(size_t) ceil(position)].value;
	if (low == high || isinf(low))
		return low;
	return low + (position - floor(position)) * (high - low);
}
