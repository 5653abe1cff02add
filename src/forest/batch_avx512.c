/*
 * batch_avx512.c
 *		Many rows at once, by ranks (batch_block.h), for AVX-512 with VBMI: comparisons
 *		into masks, cuts and leaves looked up by permutations.
 *
 * A tree is evaluated from its root downwards.  On each level there is one comparison:
 * each row's rank is picked from the planes of the level's nodes, by the masks of the
 * comparisons above.  To pick takes half as much as to compare at all nodes.
 */
#include <string.h>

#include "kernel.h"
#include "rank.h"
#include "rank_avx512.h"
#include "pure.h"

#ifdef HAVE_X86_KERNELS

#define BATCH_KERNEL	avx512_batch_kernel

#define LANES			64
#define FLOATS			16		/* of a register */
#define STRIP			(2 * LANES)	/* rows of two registers */
#define LEAF_STEP		PLAN_TWIG

typedef __m512i Lanes;
typedef uint32_t Words __attribute__((vector_size(LANES)));
typedef uint8_t Numbers __attribute__((vector_size(LANES)));

/* A byte for each row. */
typedef struct Bytes
{
	Lanes		low;
	Lanes		high;
} Bytes;

/* The rows that go right on a level. */
typedef struct Turns
{
	__mmask64	low;
	__mmask64	high;
} Turns;

/* Those of the top, eight times, and of the lower twigs. */
typedef struct Cuts
{
	Lanes		top;
	Lanes		lower;
} Cuts;

/* How many of 16 cuts are <= value. */
TARGET static ALWAYS_INLINE uint32_t
count_cuts(float value, const float *cuts)
{
	return _mm_popcnt_u32(_mm512_cmp_ps_mask(_mm512_set1_ps(value), _mm512_load_ps(cuts), _CMP_GE_OQ));
}

/*
 * How many of 16 cuts are <= each value; the last is NaN.  Four steps of a binary search in a
 * register, which begins with the cut that step asks first: of what follows the 16 nothing is
 * asked.
 */
TARGET static ALWAYS_INLINE void
count_all(const float *values, const float *cuts, int32_t *counts)
{
	uint32_t	i;
	uint32_t	step;

	for (i = 0; i < KERNEL_BLOCK; i += FLOATS)
	{
		__m512		value = _mm512_load_ps(values + i);
		__m512i		count = _mm512_setzero_si512();

#pragma GCC unroll 4
		for (step = PLAN_BLOCK / 2; step > 0; step /= 2)
		{
			__m512		cut = _mm512_permutexvar_ps(count, _mm512_loadu_ps(cuts + step - 1));

			count = _mm512_mask_add_epi32(count, _mm512_cmp_ps_mask(value, cut, _CMP_GE_OQ), count,
										  _mm512_set1_epi32(step));
		}
		_mm512_store_si512(counts + i, count);
	}
}

/* Where the planes of 16 nodes begin; high: the upper bytes of their slots, of wide plans. */
TARGET static ALWAYS_INLINE __m512i
place_nodes(__m128i slots, __m128i high, bool is_wide, __mmask16 left, uint32_t num_twins)
{
	Words		some = (Words) _mm512_cvtepu8_epi32(slots);

	if (is_wide)
		some |= (Words) _mm512_cvtepu8_epi32(high) << 8;
	some = (Words) _mm512_mask_add_epi32((__m512i) some, ~left, (__m512i) some,
										 _mm512_set1_epi32(num_twins));
	return (__m512i) (some * KERNEL_BLOCK);
}

TARGET static ALWAYS_INLINE void
prepare_twigs(const uint8_t *top_slots, const int8_t *top_cuts, const char *twigs, size_t twig_size,
			  const uint8_t *high_slots, uint32_t num_twins, uint32_t *planes, Cuts *cuts)
{
	const PlanTwig *lower[PLAN_TWIG];
	uint8_t		slots[PLAN_NODES] __attribute__((aligned(64)));
	__m128i		high = _mm_setzero_si128();
	bool		is_wide = high_slots != NULL;
	Twigs		some;
	uint64_t	left;
	uint64_t	top;
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_TWIG; i++)
		lower[i] = (const PlanTwig *) (twigs + i * twig_size);
	some = load_twigs(lower);
	left = missing_left(some.cuts);
	memcpy(&top, top_cuts, sizeof(top));
	cuts->top = _mm512_set1_epi64(top);
	cuts->lower = some.cuts;
	_mm512_store_si512(slots, some.slots);
#pragma GCC unroll 4
	for (i = 0; i < PLAN_NODES; i += 16)
	{
		if (is_wide)
			high = _mm_loadu_si128((const __m128i *) (high_slots + i));
		_mm512_storeu_si512(planes + i, place_nodes(_mm_load_si128((const __m128i *) (slots + i)), high,
													is_wide, left >> i, num_twins));
	}
	if (is_wide)
		high = _mm_loadl_epi64((const __m128i *) (high_slots + i));
	_mm256_storeu_si256((__m256i *) (planes + i),
						_mm512_castsi512_si256(place_nodes(_mm_loadl_epi64((const __m128i *) top_slots), high,
														   is_wide, top >> 56, num_twins)));
}

/* The ranks of a node. */
TARGET static ALWAYS_INLINE Bytes
pick_0(const uint32_t *planes, const int8_t *ranks, const Turns *turns, uint32_t node,
	   uint32_t distance)
{
	const Lanes *plane = (const Lanes *) (ranks + planes[plan_place(node)]);

	(void) turns;
	(void) distance;
	return (Bytes) {plane[0], plane[1]};
}

/*
 * Each row's rank of the node to which so many turns have led it.  The last turn decided
 * between neighbours, at this distance; those before it, at twice the distance each.
 */
#define DEFINE_PICK(num_turns, last) \
TARGET static ALWAYS_INLINE Bytes \
pick_##num_turns(const uint32_t *planes, const int8_t *ranks, const Turns *turns, uint32_t node, \
				 uint32_t distance) \
{ \
	Bytes		left = pick_##last(planes, ranks, turns, node, 2 * distance); \
	Bytes		right = pick_##last(planes, ranks, turns, node + distance, 2 * distance); \
	\
	return (Bytes) { \
		_mm512_mask_blend_epi8(turns[last].low, left.low, right.low), \
		_mm512_mask_blend_epi8(turns[last].high, left.high, right.high) \
	}; \
}

DEFINE_PICK(1, 0)
DEFINE_PICK(2, 1)
DEFINE_PICK(3, 2)
DEFINE_PICK(4, 3)
DEFINE_PICK(5, 4)

/* What rows compare with on a level, by the number of the first leaf below their node. */
TARGET static ALWAYS_INLINE Lanes
cuts_of_level(const Cuts *cuts, uint32_t level)
{
	static const Numbers leaves = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
		16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
		32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
		48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63
	};
	uint32_t	in_twig = level % PLAN_TWIG_LEVELS;
	uint8_t		first = (1 << in_twig) - 1; /* node of its level, in its twig */
	uint8_t		below = PLAN_TWIG_LEVELS - in_twig;

	if (level < PLAN_TWIG_LEVELS)
		return _mm512_permutexvar_epi8((Lanes) (first + (leaves / PLAN_TWIG >> below)), cuts->top);
	return _mm512_permutexvar_epi8((Lanes) (leaves / PLAN_TWIG * PLAN_TWIG + first +
											(leaves % PLAN_TWIG >> below)), cuts->lower);
}

/* Let the nodes of a level decide; numbers: of the first leaf below. */
TARGET static ALWAYS_INLINE void
take_turns(Bytes ranks, Lanes cuts, Turns *turns, Bytes *numbers, uint32_t num_left)
{
	Lanes		offset = _mm512_set1_epi8(num_left);

	turns->low = _mm512_cmpge_epi8_mask(ranks.low, _mm512_permutexvar_epi8(numbers->low, cuts));
	turns->high = _mm512_cmpge_epi8_mask(ranks.high, _mm512_permutexvar_epi8(numbers->high, cuts));
	numbers->low = _mm512_mask_add_epi8(numbers->low, turns->low, numbers->low, offset);
	numbers->high = _mm512_mask_add_epi8(numbers->high, turns->high, numbers->high, offset);
}

#define TAKE_TURNS(level) \
	take_turns(pick_##level(planes, ranks, turns, 1 << (level), 1), cuts_of_level(cuts, level), \
			   &turns[level], &some, PLAN_NODES / 2 >> (level))

/* Not inlined: there are registers for this, but not for sums as well. */
TARGET static __attribute__((noinline)) void
number_leaves(const uint32_t *planes, const Cuts *cuts, const int8_t *ranks, uint8_t *numbers)
{
	Turns		turns[PLAN_LEVELS];
	Bytes		some = {_mm512_setzero_si512(), _mm512_setzero_si512()};

	TAKE_TURNS(0);
	TAKE_TURNS(1);
	TAKE_TURNS(2);
	TAKE_TURNS(3);
	TAKE_TURNS(4);
	TAKE_TURNS(5);
	((Lanes *) numbers)[0] = some.low;
	((Lanes *) numbers)[1] = some.high;
}

/* The leaves of two branches. */
TARGET static ALWAYS_INLINE __m512
load_leaves(const PlanBranch *branches)
{
	return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(branches[0].below.leaves)),
							  _mm256_loadu_ps(branches[1].below.leaves), 1);
}

/* Look up the leaves of all rows and add them. */
TARGET static ALWAYS_INLINE void
add_block_leaves(const PlanBranch *branches, const uint8_t *numbers, uint32_t num_rows, float *sums)
{
	__m512		table0 = load_leaves(branches);
	__m512		table1 = load_leaves(branches + 2);
	__m512		table2 = load_leaves(branches + 4);
	__m512		table3 = load_leaves(branches + 6);
	uint32_t	row;

#pragma GCC unroll 8
	for (row = 0; row < num_rows; row += FLOATS)
	{
		__m512i		number = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *) (numbers + row)));
		__m512		low = _mm512_permutex2var_ps(table0, number, table1);
		__m512		high = _mm512_permutex2var_ps(table2, number, table3);
		__mmask16	upper = _mm512_test_epi32_mask(number, _mm512_set1_epi32(32));

		_mm512_store_ps(sums + row, _mm512_add_ps(_mm512_load_ps(sums + row),
												  _mm512_mask_blend_ps(upper, low, high)));
	}
}

#include "batch_block.h"

#endif							/* HAVE_X86_KERNELS */
