/*
 * numbers.h
 *		What the plan, its proof and the importer's probes have in common:
 *		thresholds in order, and random numbers that are the same everywhere.
 */
#ifndef PG_RISK_FOREST_NUMBERS_H
#define PG_RISK_FOREST_NUMBERS_H

#include <stdint.h>
#include <stdlib.h>

/* Order of floats for qsort() and bsearch(); none is NaN. */
static inline int
compare_floats(const void *left, const void *right)
{
	float		a = *(const float *) left;
	float		b = *(const float *) right;

	return (a > b) - (a < b);
}

/* Sort numbers and drop doubles; returns how many are left. */
static inline uint32_t
sort_distinct(float *numbers, uint32_t count)
{
	uint32_t	distinct = 0;
	uint32_t	i;

	qsort(numbers, count, sizeof(float), compare_floats);
	for (i = 0; i < count; i++)
		if (distinct == 0 || numbers[i] != numbers[distinct - 1])
			numbers[distinct++] = numbers[i];
	return distinct;
}

/* A number below the limit: xorshift64* (Marsaglia; Vigna, An experimental exploration, 2016). */
static inline uint32_t
draw_below(uint64_t *state, uint32_t limit)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t) ((*state * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % limit;
}

#endif							/* PG_RISK_FOREST_NUMBERS_H */
