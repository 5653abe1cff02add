/*
 * sort.c
 *		The events of a key into the order of their times: few by insertion,
 *		many by a radix sort.
 *
 * Bits that all times have alike cost nothing, above and below: of times in
 * whole seconds the lowest six are such.
 */
#include <string.h>

#include "rolling.h"
#include "../forest/pure.h"

#define FEW			40
#define NARROW		8			/* bits of a digit, if there are fewer */
#define MANY		4096		/* times than this; else */
#define WIDE		11

static void
insert(RollingPlace *places, size_t count)
{
	size_t		i;

	for (i = 1; i < count; i++)
	{
		RollingPlace place = places[i];
		size_t		to = i;

		for (; to > 0 && places[to - 1].time > place.time; to--)
			places[to] = places[to - 1];
		places[to] = place;
	}
}

/* Copy places in the order of one digit. */
static void
sort_digit(const RollingPlace *from, RollingPlace *to, size_t count, int64_t least, int shift, int bits)
{
	uint64_t	mask = (UINT64_C(1) << bits) - 1;
	uint32_t	begin[1 << WIDE];
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

RollingPlace *
rolling_sort(RollingPlace *places, RollingPlace *scratch, size_t count)
{
	int64_t		least = INT64_MAX;
	uint64_t	differ = 0;
	int			most = count < MANY ? NARROW : WIDE;
	int			low;
	int			digits;
	int			bits;
	size_t		i;

	if (count <= FEW)
	{
		insert(places, count);
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
	digits = (bits + most - 1) / most;
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
