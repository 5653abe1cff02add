/*
 * rank_avx2.c
 *		The kernel of ranks for one row (rank_row.h), for AVX2.
 *
 * A byte shuffle looks up 16 ranks only, by the low four bits of a slot's
 * number, and gives 0 when the number is negative.  So the table of ranks is
 * kept as differences: the first 16 ranks, then how each next 16 differ (by
 * exclusive or) from those before.  A slot takes the first table and all those
 * that its number, less 16 for each, does not make negative: what is left of
 * the exclusive ors is its rank.  Past four tables other ways are faster.
 */
#include <string.h>

#include "kernel.h"
#include "rank.h"
#include "rank_avx2.h"
#include "pure.h"

#ifdef HAVE_X86_KERNELS

#define TABLE		16			/* ranks of a table */
#define MAX_SLOTS	64

/* Tables of differences, the same in both halves of a register. */
typedef struct Ranks
{
	__m256i		tables[MAX_SLOTS / TABLE];
} Ranks;

/* ---- ranks ---- */

/* Turn a row into ranks, a byte for each slot. */
TARGET static __attribute__((noinline)) void
rank_row(const Forest *forest, const float *row, int8_t *ranks, uint32_t size)
{
	const ForestPlan *plan = forest->plan;
	const uint32_t *features = PLAN_SECTION(plan, uint32_t, features);
	const uint32_t *blocks = PLAN_SECTION(plan, uint32_t, blocks);
	const float *cuts = PLAN_SECTION(plan, float, cuts);
	__m256		declared = _mm256_set1_ps(forest->header->missing);
	float		values[MAX_SLOTS] __attribute__((aligned(32)));
	uint32_t	i;

	memset(ranks, 0, size);
	memset(values, 0, size * sizeof(float));
	for (i = 0; i < plan->num_slots; i++)
	{
		const float *block = cuts + blocks[i] * PLAN_BLOCK;
		__m256		value = _mm256_set1_ps(row[features[i]]);
		uint32_t	twice = count_cuts_twice(value, block);

		if (i >= plan->num_short)
		{
			twice *= PLAN_BLOCK;
			twice += count_cuts_twice(value, block + PLAN_BLOCK + twice / 2);
		}
		values[i] = row[features[i]];
		ranks[i] = twice / 2 + PLAN_LEAST;
	}
	for (i = 0; i < plan->num_slots; i += 32)
	{
		__m256i    *some = (__m256i *) (ranks + i);

		*some = _mm256_blendv_epi8(*some, _mm256_set1_epi8(PLAN_MISSING),
								   find_missing(values + i, declared));
	}
}

TARGET static ALWAYS_INLINE void
load_ranks(Ranks *ranks, const int8_t *bytes, uint32_t size)
{
	uint32_t	i;

	for (i = 0; i < size; i += TABLE)
	{
		__m128i		some = _mm_load_si128((const __m128i *) (bytes + i));

		if (i > 0)
			some = _mm_xor_si128(some, _mm_load_si128((const __m128i *) (bytes + i - TABLE)));
		ranks->tables[i / TABLE] = _mm256_broadcastsi128_si256(some);
	}
}

/* The ranks of 32 slots. */
TARGET static ALWAYS_INLINE __m256i
look_up(const Ranks *ranks, __m256i slots, uint32_t size)
{
	__m256i		some = _mm256_shuffle_epi8(ranks->tables[0], slots);
	uint32_t	i;

#pragma GCC unroll 4
	for (i = 1; i < size / TABLE; i++)
	{
		slots = _mm256_sub_epi8(slots, _mm256_set1_epi8(TABLE));
		some = _mm256_xor_si256(some, _mm256_shuffle_epi8(ranks->tables[i], slots));
	}
	return some;
}

/* ---- decisions ---- */

/* Decide 4 twigs. */
TARGET static ALWAYS_INLINE uint32_t
decide(__m256i slots, __m256i cuts, const Ranks *ranks, uint32_t size)
{
	const __m256i last = _mm256_setr_epi64x(0x0707070707070707, 0x0f0f0f0f0f0f0f0f,
											0x0707070707070707, 0x0f0f0f0f0f0f0f0f);
	const __m256i nodes = _mm256_set1_epi64x(0x0040201008040201);
	__m256i		missing_left = _mm256_and_si256(_mm256_shuffle_epi8(cuts, last), nodes);
	__m256i		rank = look_up(ranks, slots, size);

	/* less -1 */
	rank = _mm256_sub_epi8(rank, _mm256_cmpeq_epi8(missing_left, nodes));
	return ~_mm256_movemask_epi8(_mm256_cmpgt_epi8(cuts, rank));
}

TARGET static ALWAYS_INLINE uint64_t
decide_tops(const PlanTops *tops, const Ranks *ranks, uint32_t size)
{
	const __m256i *slots = (const __m256i *) tops->slots;
	const __m256i *cuts = (const __m256i *) tops->cuts;
	uint32_t	low = decide(_mm256_load_si256(&slots[0]), _mm256_load_si256(&cuts[0]), ranks, size);
	uint32_t	high = decide(_mm256_load_si256(&slots[1]), _mm256_load_si256(&cuts[1]), ranks, size);

	return (uint64_t) high << 32 | low;
}

TARGET static ALWAYS_INLINE uint32_t
decide_4_twigs(const PlanTwig *const *twigs, const Ranks *ranks, uint32_t size)
{
	__m256i		even = _mm256_loadu2_m128i((const __m128i *) twigs[2], (const __m128i *) twigs[0]);
	__m256i		odd = _mm256_loadu2_m128i((const __m128i *) twigs[3], (const __m128i *) twigs[1]);

	return decide(_mm256_unpacklo_epi64(even, odd), _mm256_unpackhi_epi64(even, odd), ranks, size);
}

TARGET static ALWAYS_INLINE uint64_t
decide_twigs(const PlanTwig *const *twigs, const Ranks *ranks, uint32_t size)
{
	uint32_t	low = decide_4_twigs(twigs, ranks, size);
	uint32_t	high = decide_4_twigs(twigs + 4, ranks, size);

	return (uint64_t) high << 32 | low;
}

#include "rank_row.h"

DEFINE_KERNELS(32)
DEFINE_KERNELS(64)

RowKernel
avx2_kernel(const ForestPlan *plan)
{
	if (plan->num_slots > MAX_SLOTS)
		return NULL;
	return plan->num_slots <= 32 ? CHOOSE_KERNEL(plan, 32) : CHOOSE_KERNEL(plan, 64);
}

#endif							/* HAVE_X86_KERNELS */
