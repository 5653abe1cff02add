/*
 * batch_lanes.h
 *		Many rows at once (batch_block.h), by vectors of any width.  Included by a
 *		kernel after it has defined BATCH_KERNEL, TARGET, LANES, Words, widen(), repeat(), count_cuts(), and CHOOSE(mask, one,
 *		other), where one is less than other, if there is a quicker way than by bits.
 *
 * Lowest nodes begin with the numbers of their own leaves, so that all others
 * only choose.
 */

typedef uint8_t Lanes __attribute__((vector_size(LANES)));
typedef int8_t Ranks __attribute__((vector_size(LANES)));

#ifndef CHOOSE
#define CHOOSE(mask, one, other)	(((one) & (mask)) | ((other) & ~(mask)))
#endif

/* The rows that a node sends left: all bits of them. */
TARGET static ALWAYS_INLINE Lanes
goes_left(const Lanes *ranks, uint32_t cut)
{
	return (Lanes) ((Ranks) (cut - (Words) {0}) > *(const Ranks *) ranks);
}

/* The number of a leaf, or the next one. */
TARGET static ALWAYS_INLINE Lanes
lowest(const Lanes *ranks, uint32_t cut, uint32_t leaf)
{
	return (uint8_t) (leaf + 1) + goes_left(ranks, cut);
}

/* What the left child says, or the right one. */
TARGET static ALWAYS_INLINE Lanes
choose(const Lanes *ranks, uint32_t cut, Lanes left, Lanes right, uint32_t num_left)
{
	Lanes		goes = goes_left(ranks, cut);

	(void) num_left;
	return CHOOSE(goes, left, right);
}

/* Look up the leaves of all rows and add them. */
TARGET static ALWAYS_INLINE void
add_block_leaves(const float *leaves, const uint8_t *numbers, float *sums)
{
	uint32_t	row;

#pragma GCC unroll 8
	for (row = 0; row < KERNEL_BLOCK; row++)
		sums[row] += leaves[numbers[row]];
}

#include "batch_block.h"
