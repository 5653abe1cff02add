/*
 * rank_avx2.h
 *		What the kernels with AVX2 share: values compared with cuts.
 */
#ifndef PG_RISK_FOREST_RANK_AVX2_H
#define PG_RISK_FOREST_RANK_AVX2_H

#include "kernel.h"

#ifdef HAVE_X86_KERNELS
#include <immintrin.h>

#define TARGET	__attribute__((target("avx2,popcnt")))

/* Twice the number of 16 cuts that are <= value. */
TARGET static ALWAYS_INLINE uint32_t
count_cuts_twice(__m256 value, const float *cuts)
{
	__m256		low = _mm256_cmp_ps(value, _mm256_load_ps(cuts), _CMP_GE_OQ);
	__m256		high = _mm256_cmp_ps(value, _mm256_load_ps(cuts + 8), _CMP_GE_OQ);

	return _mm_popcnt_u32(_mm256_movemask_epi8(_mm256_packs_epi32(_mm256_castps_si256(low),
																  _mm256_castps_si256(high))));
}

/* Which of 8 values are missing. */
TARGET static ALWAYS_INLINE __m256i
find_8_missing(const float *values, __m256 declared)
{
	__m256		some = _mm256_load_ps(values);

	return _mm256_castps_si256(_mm256_or_ps(_mm256_cmp_ps(some, some, _CMP_UNORD_Q),
											_mm256_cmp_ps(some, declared, _CMP_EQ_OQ)));
}

/* Which of 32 are: bytes. */
TARGET static ALWAYS_INLINE __m256i
find_missing(const float *values, __m256 declared)
{
	__m256i		low = _mm256_packs_epi32(find_8_missing(values, declared),
										 find_8_missing(values + 8, declared));
	__m256i		high = _mm256_packs_epi32(find_8_missing(values + 16, declared),
										  find_8_missing(values + 24, declared));

	/* packing puts together what is in the same half */
	return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high),
									   _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

#endif							/* HAVE_X86_KERNELS */

#endif							/* PG_RISK_FOREST_RANK_AVX2_H */
