/*
 * batch_avx512.c
 *		Many rows at once, by ranks (batch_block.h), for AVX-512 with VBMI: comparisons
 *		into masks, and leaves looked up 16 rows at a time.
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

typedef __m512i Lanes;
typedef uint32_t Words __attribute__((vector_size(LANES)));

/* 16 bytes as words. */
TARGET static ALWAYS_INLINE Words
widen(const uint8_t *bytes)
{
	return (Words) _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *) bytes));
}

/* 16 bytes four times each. */
TARGET static ALWAYS_INLINE Words
repeat(const int8_t *bytes)
{
	__m512i		four_times = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);

	return (Words) _mm512_shuffle_epi8((__m512i) widen((const uint8_t *) bytes), four_times);
}

/* How many of 16 cuts are <= value. */
TARGET static ALWAYS_INLINE uint32_t
count_cuts(float value, const float *cuts)
{
	return _mm_popcnt_u32(_mm512_cmp_ps_mask(_mm512_set1_ps(value), _mm512_load_ps(cuts), _CMP_GE_OQ));
}

/* The rows that a node sends right. */
TARGET static ALWAYS_INLINE __mmask64
goes_right(const Lanes *ranks, uint32_t cut)
{
	return _mm512_cmpge_epi8_mask(*ranks, _mm512_set1_epi32(cut));
}

/* Which of two leaves. */
TARGET static ALWAYS_INLINE Lanes
lowest(const Lanes *ranks, uint32_t cut, uint32_t leaf)
{
	(void) leaf;
	return _mm512_maskz_mov_epi8(goes_right(ranks, cut), _mm512_set1_epi8(1));
}

/* The left child's leaf, or the right child's, which comes after all of the left one's. */
TARGET static ALWAYS_INLINE Lanes
choose(const Lanes *ranks, uint32_t cut, Lanes left, Lanes right, uint32_t num_left)
{
	return _mm512_mask_add_epi8(left, goes_right(ranks, cut), right, _mm512_set1_epi8(num_left));
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
