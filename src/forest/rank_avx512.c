/*
 * rank_avx512.c
 *		The kernel of ranks for one row (rank_row.h), for AVX-512 with VBMI: one
 *		permutation and one comparison decide 8 twigs.
 */
#include "kernel.h"
#include "rank.h"
#include "rank_avx512.h"
#include "pure.h"

#ifdef HAVE_X86_KERNELS

#define REGISTER	64			/* ranks in a register */

typedef struct Ranks
{
	__m512i		registers[PLAN_MAX_SLOTS / REGISTER];
} Ranks;

/* ---- ranks ---- */

/* How many of 16 cuts are <= value.  (Of 64 bits, or compilers count 16 of them and then widen that.) */
TARGET static ALWAYS_INLINE uint32_t
count_cuts(__m512 value, const float *cuts)
{
	return _mm_popcnt_u64(_mm512_cmp_ps_mask(value, _mm512_load_ps(cuts), _CMP_GE_OQ));
}

/* The slots of 64 whose value is missing. */
TARGET static ALWAYS_INLINE uint64_t
find_missing(const float *values, uint32_t count, __m512 declared)
{
	uint64_t	missing = 0;
	uint32_t	i;

	for (i = 0; i < count && i < REGISTER; i += 16)
	{
		__mmask16	inside = count - i >= 16 ? 0xffff : (1u << (count - i)) - 1;
		__m512		some = _mm512_maskz_loadu_ps(inside, values + i);

		missing |= (uint64_t) (_mm512_cmp_ps_mask(some, some, _CMP_UNORD_Q) |
							   _mm512_cmp_ps_mask(some, declared, _CMP_EQ_OQ)) << i;
	}
	return missing;
}

/* Turn a row into ranks, a byte for each slot. */
TARGET static __attribute__((noinline)) void
rank_row(const Forest *forest, const float *row, int8_t *ranks, uint32_t size)
{
	const ForestPlan *plan = forest->plan;
	const uint32_t *features = PLAN_SECTION(plan, uint32_t, features);
	const uint32_t *blocks = PLAN_SECTION(plan, uint32_t, blocks);
	const float *cuts = PLAN_SECTION(plan, float, cuts);
	uint32_t	num_slots = plan->num_slots;
	float		values[PLAN_MAX_SLOTS] __attribute__((aligned(64)));
	uint32_t	i;

	for (i = 0; i < size; i += REGISTER)
		_mm512_store_si512(ranks + i, _mm512_setzero_si512());
	for (i = 0; i < plan->num_short; i++)
	{
		values[i] = row[features[i]];
		ranks[i] = count_cuts(_mm512_set1_ps(values[i]), cuts + i * PLAN_BLOCK) + PLAN_LEAST;
	}
#pragma GCC unroll 4
	for (; i < num_slots; i++)
	{
		const float *pivots = cuts + blocks[i] * PLAN_BLOCK;
		__m512		value = _mm512_set1_ps(row[features[i]]);
		uint32_t	full = count_cuts(value, pivots) * PLAN_BLOCK;

		values[i] = row[features[i]];
		ranks[i] = full + count_cuts(value, pivots + PLAN_BLOCK + full) + PLAN_LEAST;
	}
	for (i = 0; i < num_slots; i += REGISTER)
	{
		uint64_t	missing = find_missing(values + i, num_slots - i,
										   _mm512_set1_ps(forest->header->missing));

		_mm512_store_si512(ranks + i, _mm512_mask_mov_epi8(_mm512_load_si512(ranks + i), missing,
														   _mm512_set1_epi8(PLAN_MISSING)));
	}
}

TARGET static ALWAYS_INLINE void
load_ranks(Ranks *ranks, const int8_t *bytes, uint32_t size)
{
	uint32_t	i;

	for (i = 0; i < size; i += REGISTER)
		ranks->registers[i / REGISTER] = _mm512_load_si512(bytes + i);
}

/* The ranks of 64 slots. */
TARGET static ALWAYS_INLINE __m512i
look_up(const Ranks *ranks, __m512i slots, uint32_t size)
{
	const __m512i *some = ranks->registers;
	__m512i		low;
	__m512i		high;

	if (size <= REGISTER)
		return _mm512_permutexvar_epi8(slots, some[0]);
	low = _mm512_permutex2var_epi8(some[0], slots, some[1]);
	if (size <= 2 * REGISTER)
		return low;
	high = _mm512_permutex2var_epi8(some[2], slots, some[3]);
	return _mm512_mask_blend_epi8(_mm512_movepi8_mask(slots), low, high);
}

/* ---- decisions ---- */

/* Decide 8 twigs. */
TARGET static ALWAYS_INLINE uint64_t
decide(Twigs twigs, const Ranks *ranks, uint32_t size)
{
	__m512i		rank = look_up(ranks, twigs.slots, size);

	rank = _mm512_mask_add_epi8(rank, missing_left(twigs.cuts), rank, _mm512_set1_epi8(1));
	return _mm512_cmpge_epi8_mask(rank, twigs.cuts);
}

TARGET static ALWAYS_INLINE uint64_t
decide_tops(const PlanTops *tops, const Ranks *ranks, uint32_t size)
{
	return decide((Twigs) {_mm512_load_si512(tops->slots), _mm512_load_si512(tops->cuts)}, ranks, size);
}

TARGET static ALWAYS_INLINE uint64_t
decide_twigs(const PlanTwig *const *twigs, const Ranks *ranks, uint32_t size)
{
	return decide(load_twigs(twigs), ranks, size);
}

#include "rank_row.h"

DEFINE_KERNELS(64)
DEFINE_KERNELS(128)
DEFINE_KERNELS(256)

RowKernel
avx512_kernel(const ForestPlan *plan)
{
	return plan->num_slots <= 64 ? CHOOSE_KERNEL(plan, 64) :
		plan->num_slots <= 128 ? CHOOSE_KERNEL(plan, 128) : CHOOSE_KERNEL(plan, 256);
}

#endif							/* HAVE_X86_KERNELS */
