/*
 * batch_avx2.c
 *		Many rows at once, by ranks, for AVX2: batch_lanes.h with 32 rows in a vector.
 */
#include "kernel.h"
#include "rank.h"
#include "rank_avx2.h"
#include "pure.h"

#ifdef HAVE_X86_KERNELS

#define BATCH_KERNEL	avx2_batch_kernel
#define LANES			32
#define CHOOSE(mask, one, other) \
	((Lanes) _mm256_max_epu8((__m256i) (one), (__m256i) ((other) & ~(mask))))

typedef uint32_t Words __attribute__((vector_size(LANES)));

/* 8 bytes as words. */
TARGET static ALWAYS_INLINE Words
widen(const uint8_t *bytes)
{
	return (Words) _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) bytes));
}

/* 8 bytes four times each. */
TARGET static ALWAYS_INLINE Words
repeat(const int8_t *bytes)
{
	__m256i		four_times = _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c,
											   0, 0x04040404, 0x08080808, 0x0c0c0c0c);

	return (Words) _mm256_shuffle_epi8((__m256i) widen((const uint8_t *) bytes), four_times);
}

/* How many of 16 cuts are <= value. */
TARGET static ALWAYS_INLINE uint32_t
count_cuts(float value, const float *cuts)
{
	return count_cuts_twice(_mm256_set1_ps(value), cuts) / 2;
}

#include "batch_lanes.h"

#endif							/* HAVE_X86_KERNELS */
