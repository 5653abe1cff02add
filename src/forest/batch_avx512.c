/*
 * batch_avx512.c
 *		Many rows at once, by ranks (batch_block.h), for AVX-512 with VBMI: comparisons
 *		into masks, cuts and leaves looked up by permutations.
 *
 * A tree is evaluated from its root downwards.  On each level there is one comparison:
 * each row's rank is picked from the planes of the level's nodes, by the masks of the
 * comparisons above.  To pick takes half as much as to compare at all nodes.
 */
#include "kernel.h"
#include "rank.h"
#include "pure.h"

#ifdef HAVE_X86_KERNELS
#include <immintrin.h>

#define BATCH_KERNEL	avx512_batch_kernel
#define TARGET			__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")))

#define LANES			64
#define FLOATS			16		/* of a register */
#define STRIP			KERNEL_BLOCK	/* rows of two registers */

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

typedef Lanes Cuts;

/* 16 bytes as words. */
TARGET static ALWAYS_INLINE Words
widen(const uint8_t *bytes)
{
	return (Words) _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *) bytes));
}

/* The second twins of slots, but where missing goes left. */
TARGET static ALWAYS_INLINE Words
choose_twins(Words slots, uint32_t missing_left, uint32_t num_twins)
{
	return (Words) _mm512_mask_add_epi32((__m512i) slots, ~missing_left, (__m512i) slots,
										 _mm512_set1_epi32(num_twins));
}

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

TARGET static ALWAYS_INLINE void
prepare_cuts(const int8_t *source, Cuts *cuts)
{
	*cuts = _mm512_load_si512(source);
}

/* The ranks of a node. */
TARGET static ALWAYS_INLINE Bytes
pick_0(const uint32_t *planes, const int8_t *ranks, const Turns *turns, uint32_t node,
	   uint32_t distance)
{
	const Lanes *plane = (const Lanes *) (ranks + planes[node]);

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
cuts_of_level(Lanes cuts, uint32_t level)
{
	static const Numbers leaves = { /* as nodes below the lowest */
		64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79,
		80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95,
		96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111,
		112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127
	};

	return _mm512_permutexvar_epi8((Lanes) (leaves >> (PLAN_LEVELS - level)), cuts);
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
	take_turns(pick_##level(planes, ranks, turns, 1 << (level), 1), cuts_of_level(*cuts, level), \
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

/* Look up the leaves of all rows and add them. */
TARGET static ALWAYS_INLINE void
add_block_leaves(const float *leaves, const uint8_t *numbers, float *sums)
{
	__m512		table0 = _mm512_load_ps(leaves);
	__m512		table1 = _mm512_load_ps(leaves + 16);
	__m512		table2 = _mm512_load_ps(leaves + 32);
	__m512		table3 = _mm512_load_ps(leaves + 48);
	uint32_t	row;

#pragma GCC unroll 8
	for (row = 0; row < KERNEL_BLOCK; row += FLOATS)
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
