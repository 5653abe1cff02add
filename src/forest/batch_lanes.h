/*
 * batch_lanes.h
 *		Many rows at once (batch_block.h), by vectors of any width.  Included by a
 *		kernel after it has defined BATCH_KERNEL, TARGET, LANES, Words, widen(), count_cuts(),
 *		repeat(), which gives bytes four times each, and CHOOSE(mask, one,
 *		other), where one is less than other, if there is a quicker way than by bits.
 *
 * Trees are evaluated from their lowest nodes upwards: each row carries the number of
 * the leaf that it would reach below a node, and a node's comparison chooses for each
 * row between what its two children say.  Lowest nodes begin with the numbers of their own
 * leaves, so that all others only choose.
 */

#include <string.h>

#define STRIP	(2 * LANES)
#define LEAF_STEP	(sizeof(PlanBranch) / sizeof(float))

typedef uint8_t Lanes __attribute__((vector_size(LANES)));
typedef int8_t Ranks __attribute__((vector_size(LANES)));

/* A number for each row of a strip. */
typedef struct Numbers
{
	Lanes		low;
	Lanes		high;
} Numbers;

/* Four times the same byte, as nodes load it. */
typedef struct Cuts
{
	uint32_t	words[PLAN_PLACES];
} Cuts;

#ifndef CHOOSE
#define CHOOSE(mask, one, other)	(((one) & (mask)) | ((other) & ~(mask)))
#endif

/* The second twins of slots, but where missing goes left. */
TARGET static ALWAYS_INLINE Words
choose_twins(Words slots, uint32_t missing_left, uint32_t num_twins)
{
	static const Words bits = {
		1 << 0, 1 << 1, 1 << 2, 1 << 3,
#if LANES > 16
		1 << 4, 1 << 5, 1 << 6, 1 << 7
#endif
	};

	return slots + ((Words) ((bits & missing_left) == 0) & num_twins);
}

/* How many of a block of cuts are <= each value, one cut after the other. */
TARGET static ALWAYS_INLINE void
count_all(const float *values, const float *cuts, int32_t *counts)
{
	uint32_t	i;

	memset(counts, 0, KERNEL_BLOCK * sizeof(int32_t));
	for (; *cuts == *cuts; cuts++)
		for (i = 0; i < KERNEL_BLOCK; i++)
			counts[i] += values[i] >= *cuts;
}

/* A twig's cuts, and where the planes of its nodes begin. */
TARGET static ALWAYS_INLINE void
prepare_twig(const uint8_t *slots, const int8_t *cuts, const uint8_t *high_slots, uint32_t num_twins,
			 uint32_t *planes, uint32_t *words)
{
	uint32_t	i;

	for (i = 0; i < PLAN_TWIG; i += LANES / 4)
	{
		Words		some = widen(slots + i);

		if (high_slots != NULL)
			some |= widen(high_slots + i) << 8;
		*(Words *) (planes + i) = choose_twins(some, cuts[PLAN_TWIG - 1] >> i, num_twins) * KERNEL_BLOCK;
		*(Words *) (words + i) = repeat(cuts + i);
	}
}

TARGET static ALWAYS_INLINE void
prepare_twigs(const uint8_t *top_slots, const int8_t *top_cuts, const char *twigs, size_t twig_size,
			  const uint8_t *high_slots, uint32_t num_twins, uint32_t *planes, Cuts *cuts)
{
	uint32_t	i;

	for (i = 0; i < PLAN_NODES; i += PLAN_TWIG)
	{
		const PlanTwig *twig = (const PlanTwig *) (twigs + i / PLAN_TWIG * twig_size);

		prepare_twig(twig->slots, twig->cuts, high_slots != NULL ? high_slots + i : NULL, num_twins,
					 planes + i, cuts->words + i);
	}
	prepare_twig(top_slots, top_cuts, high_slots != NULL ? high_slots + i : NULL, num_twins, planes + i,
				 cuts->words + i);
}

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
choose(const Lanes *ranks, uint32_t cut, Lanes left, Lanes right)
{
	Lanes		goes = goes_left(ranks, cut);

	return CHOOSE(goes, left, right);
}

/* A lowest node. */
TARGET static ALWAYS_INLINE Numbers
subtree_1(const uint32_t *planes, const Cuts *cuts, const int8_t *ranks, uint32_t node)
{
	const Lanes *plane = (const Lanes *) (ranks + planes[plan_place(node)]);
	uint32_t	cut = cuts->words[plan_place(node)];
	uint32_t	leaf = (node - PLAN_NODES / 2) / (PLAN_TWIG / 2) * LEAF_STEP + 2 * node % PLAN_TWIG;

	return (Numbers) {
		lowest(plane, cut, leaf), lowest(plane + 1, cut, leaf)
	};
}

/* A node of so many levels; those one level lower have another function. */
#define DEFINE_SUBTREE(levels, lower) \
TARGET static ALWAYS_INLINE Numbers \
subtree_##levels(const uint32_t *planes, const Cuts *cuts, const int8_t *ranks, uint32_t node) \
{ \
	Numbers		left = subtree_##lower(planes, cuts, ranks, 2 * node); \
	Numbers		right = subtree_##lower(planes, cuts, ranks, 2 * node + 1); \
	const Lanes *plane = (const Lanes *) (ranks + planes[plan_place(node)]); \
	uint32_t	cut = cuts->words[plan_place(node)]; \
	\
	return (Numbers) { \
		choose(plane, cut, left.low, right.low), \
		choose(plane + 1, cut, left.high, right.high) \
	}; \
}

DEFINE_SUBTREE(2, 1)
DEFINE_SUBTREE(3, 2)
DEFINE_SUBTREE(4, 3)
DEFINE_SUBTREE(5, 4)
DEFINE_SUBTREE(6, 5)

/*
 * The numbers of a strip's leaves.  Not inlined, or the compiler keeps all that nodes
 * load for the next strip, where there is no room for it.
 */
TARGET static __attribute__((noinline)) void
number_leaves(const uint32_t *planes, const Cuts *cuts, const int8_t *ranks, uint8_t *numbers)
{
	Numbers		some = subtree_6(planes, cuts, ranks, 1);

	((Lanes *) numbers)[0] = some.low;
	((Lanes *) numbers)[1] = some.high;
}

/* Look up the leaves of all rows and add them. */
TARGET static ALWAYS_INLINE void
add_block_leaves(const PlanBranch *branches, const uint8_t *numbers, uint32_t num_rows, float *sums)
{
	const float *leaves = branches->below.leaves;
	uint32_t	row;
#pragma GCC unroll 8
	for (row = 0; row < num_rows; row++)
		sums[row] += leaves[numbers[row]];
}

#include "batch_block.h"
