/*
 * rank_avx512.h
 *		What the kernels with AVX-512 share: twigs put together.
 */
#ifndef PG_RISK_FOREST_RANK_AVX512_H
#define PG_RISK_FOREST_RANK_AVX512_H

#include "kernel.h"

#ifdef HAVE_X86_KERNELS
#include <immintrin.h>

#define TARGET	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")))

/* 8 twigs, slots and cuts apart. */
typedef struct Twigs
{
	__m512i		slots;
	__m512i		cuts;
} Twigs;

/* Every other one of 8 twigs, each where its address says. */
TARGET static ALWAYS_INLINE __m512i
load_4_twigs(const PlanTwig *const *twigs)
{
	__m512i		some = _mm512_castsi128_si512(_mm_load_si128((const __m128i *) twigs[0]));

	some = _mm512_inserti32x4(some, _mm_load_si128((const __m128i *) twigs[2]), 1);
	some = _mm512_inserti32x4(some, _mm_load_si128((const __m128i *) twigs[4]), 2);
	return _mm512_inserti32x4(some, _mm_load_si128((const __m128i *) twigs[6]), 3);
}

TARGET static ALWAYS_INLINE Twigs
load_twigs(const PlanTwig *const *twigs)
{
	__m512i		even = load_4_twigs(twigs);
	__m512i		odd = load_4_twigs(twigs + 1);

	return (Twigs) {_mm512_unpacklo_epi64(even, odd), _mm512_unpackhi_epi64(even, odd)};
}

/* The nodes of 8 twigs at which what is missing goes left. */
TARGET static ALWAYS_INLINE __mmask64
missing_left(__m512i cuts)
{
	const __m512i last = _mm512_set4_epi32(0x0f0f0f0f, 0x0f0f0f0f, 0x07070707, 0x07070707);
	const __m512i nodes = _mm512_set1_epi64(UINT64_C(0x0040201008040201));

	return _mm512_test_epi8_mask(_mm512_shuffle_epi8(cuts, last), nodes);
}

#endif							/* HAVE_X86_KERNELS */

#endif							/* PG_RISK_FOREST_RANK_AVX512_H */
