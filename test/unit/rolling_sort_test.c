/*
 * rolling_sort_test.c
 *		Unit tests of the order of events (src/rolling/sort.c): the same as a
 *		sort of times and rows by comparison, at each size where the way changes.
 */
#include <stdlib.h>
#include <string.h>

#include "rolling.h"
#include "rolling_random.h"
#include "tap.h"

#define MOST		100000

/* Times of a kind that is hard in its own way. */
typedef enum Kind
{
	SECONDS,					/* a month of them, with ties */
	MICROSECONDS,
	ANY,						/* all 64 bits */
	EXTREMES,					/* the least, the greatest, and around 0 */
	CLUSTER,					/* most within seconds */
	ONE_INSTANT,
	ASCENDING,
	DESCENDING
} Kind;

static const char *const names[] = {"seconds", "microseconds", "any times", "extremes", "clusters", "one instant", "ascending", "descending"};

static int64_t
random_time(Kind kind, size_t i)
{
	static const int64_t extremes[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};

	switch (kind)
	{
		case SECONDS:
			return INT64_C(820540800000000) + (int64_t) random_below(30 * 86400) * 1000000;
		case MICROSECONDS:
			return (int64_t) random_below(UINT64_C(1) << 42) - (INT64_C(1) << 41);
		case ANY:
			return (int64_t) random_bits();
		case EXTREMES:
			return extremes[random_below(sizeof(extremes) / sizeof(extremes[0]))];
		case CLUSTER:
			return (int64_t) random_below(i % 50 > 0 ? 5000000 : INT64_C(1) << 50);
		case ASCENDING:
			return (int64_t) (i / 2) * 64;
		case DESCENDING:
			return -(int64_t) (i / 2) * 64;
		default:
			return INT64_MIN;
	}
}

static int
compare(const void *a, const void *b)
{
	const RollingPlace *x = a;
	const RollingPlace *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

/* Whether one more array of such times is sorted as the oracle does. */
static bool
sorts(Kind kind, size_t count, RollingPlace *places, RollingPlace *scratch, RollingPlace *wanted)
{
	const RollingPlace *sorted;
	size_t		i;

	for (i = 0; i < count; i++)
		places[i] = (RollingPlace) {random_time(kind, i), i};
	memcpy(wanted, places, count * sizeof(RollingPlace));
	qsort(wanted, count, sizeof(RollingPlace), compare);
	sorted = rolling_sort(places, scratch, count);
	return (sorted == places || sorted == scratch) && memcmp(sorted, wanted, count * sizeof(RollingPlace)) == 0;
}

int
main(void)
{
	static const size_t sizes[] = {1000, 4095, 4096, 4097, MOST};
	RollingPlace *arrays[3];
	int			kind;
	size_t		i;

	for (i = 0; i < 3; i++)
		arrays[i] = malloc(MOST * sizeof(RollingPlace));
	for (kind = SECONDS; kind <= DESCENDING; kind++)
	{
		bool		held = true;
		size_t		size;

		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			held &= sorts(kind, sizes[i], arrays[0], arrays[1], arrays[2]);
		for (size = 0; size < 300; size++)
			held &= sorts(kind, size, arrays[0], arrays[1], arrays[2]);
		ok(held, "%s are sorted as by comparison, those of one instant as they were", names[kind]);
	}
	for (i = 0; i < 3; i++)
		free(arrays[i]);
	return done_testing();
}
