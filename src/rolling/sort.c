/*
 * sort.c
 *		The events of a key into the order of their times: few by insertion,
 *		many by a radix sort.
 *
 * Bits that all times have alike cost nothing, above and below: of times in
 * whole seconds the lowest six are such.  Of those that differ the highest put
 * times that are spread out almost into order, and insertion does the rest.
 */
#include <string.h>

#include "rolling.h"
#include "../forest/pure.h"

#define FEW			12
#define DIGIT		9			/* bits */
#define SPARE		2			/* bits more than there are times take */

/* False: it was given up, as it takes more than so many moves. */
static bool
insert(RollingPlace *places, size_t count, size_t moves)
{
	size_t		i;

	for (i = 1; i < count; i++)
	{
		RollingPlace place = places[i];
		size_t		to = i;

		for (; to > 0 && places[to - 1].time > place.time; to--)
			places[to] = places[to - 1];
		places[to] = place;
		if (i - to > moves)
			return false;
		moves -= i - to;
	}
	return true;
}

/* Copy places in the order of one digit. */
static void
sort_digit(const RollingPlace *from, RollingPlace *to, size_t count, int64_t least, int shift, int bits)
{
	uint64_t	mask = (UINT64_C(1) << bits) - 1;
	uint32_t	begin[1 << DIGIT];
	uint32_t	sum = 0;
	size_t		i;

	memset(begin, 0, sizeof(begin[0]) << bits);
	for (i = 0; i < count; i++)
		begin[((uint64_t) from[i].time - (uint64_t) least) >> shift & mask]++;
	for (i = 0; i <= mask; i++)
	{
		uint32_t	size = begin[i];

		begin[i] = sum;
		sum += size;
	}
	for (i = 0; i < count; i++)
		to[begin[((uint64_t) from[i].time - (uint64_t) least) >> shift & mask]++] = from[i];
}

/* In the order of so many bits from one on; returns the array that they are in. */
static RollingPlace *
sort_bits(RollingPlace *places, RollingPlace *scratch, size_t count, int64_t least, int low, int bits)
{
	int			digits = (bits + DIGIT - 1) / DIGIT;

	bits = (bits + digits - 1) / digits;
	for (; digits > 0; digits--, low += bits)
	{
		RollingPlace *sorted = scratch;

		sort_digit(places, sorted, count, least, low, bits);
		scratch = places;
		places = sorted;
	}
	return places;
}

RollingPlace *
rolling_sort(RollingPlace *places, RollingPlace *scratch, size_t count)
{
	int64_t		least = INT64_MAX;
	uint64_t	differ = 0;
	int			low;
	int			bits;
	int			enough;
	size_t		i;

	if (count <= FEW)
	{
		insert(places, count, SIZE_MAX);
		return places;
	}
	for (i = 0; i < count; i++)
		least = places[i].time < least ? places[i].time : least;
	for (i = 0; i < count; i++)
		differ |= (uint64_t) places[i].time - (uint64_t) least;
	if (differ == 0)
		return places;
	low = __builtin_ctzll(differ);
	bits = 64 - __builtin_clzll(differ) - low;
	enough = 64 - __builtin_clzll(count) + SPARE;
	if (bits > enough)
	{
		RollingPlace *sorted = sort_bits(places, scratch, count, least, low + bits - enough, enough);

		scratch = sorted == places ? scratch : places;
		places = sorted;
		if (insert(places, count, count))
			return places;
	}
	return sort_bits(places, scratch, count, least, low, bits);
}
