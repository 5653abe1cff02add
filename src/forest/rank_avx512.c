/*
 * rank_avx512.c
 *		The kernel of ranks (plan.h) for AVX-512 with VBMI.
 *
 * A tree's upper six levels take one permutation (the row's ranks to 64 nodes)
 * and two comparisons (with the cuts, and with "missing"); if all nodes together
 * use few twins (plan.h), one comparison.  That gives a word of
 * 64 decisions, in which the way to the leaf is found for 8 trees at once: six
 * times index = 2 * index + bit number `index`.
 *
 * The sum is a chain of float32 additions in tree order, which nothing can
 * shorten.  So the steps run as a pipeline over groups of 8 trees: while the
 * leaves of one group are added, the indexes of a later one are found and the
 * nodes of a still later one decided, and the chain hides the rest.
 *
 * The commonest forests, of few twins and no more than these six levels, do without
 * the pipeline: with their nodes in another order (plan_few_place()) two tables give the
 * way to the leaf in so few instructions that the processor keeps enough trees in flight.
 *
 * Categories are words that are or'ed to the decisions.  Where a tree goes on
 * below, what is found is not a leaf but the start of a walk.
 */
#include "kernel.h"
#include "rank.h"
#include "pure.h"

#ifdef HAVE_X86_KERNELS
#include <immintrin.h>

#define TARGET	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,bmi2,popcnt")))

#define RING		16			/* groups in the pipeline, a power of 2 */
#define INDEX_LAG	4			/* groups between deciding and finding leaves */
#define ADD_LAG		6			/* between deciding and adding */
#define RECORD_LAG	13			/* records are to be fetched before */

#define REGISTER	64			/* ranks in a register */
#define MAX_REGISTERS	(PLAN_MAX_SLOTS / REGISTER)

/* What a group leaves for the next step of the pipeline. */
typedef struct Stage
{
	__m512i		right[RING];	/* of 8 trees: nodes at which rank >= cut */
	__m512i		missing[RING];	/* nodes at which the rank is missing */
	uintptr_t	leaves[RING][PLAN_GROUP];	/* where they, or their records, are */
} Stage;

/* ---- ranks ---- */

/* How many of 16 cuts are <= value. */
TARGET static ALWAYS_INLINE uint32_t
count_cuts(__m512 value, const float *cuts)
{
	return _mm_popcnt_u32(_mm512_cmp_ps_mask(value, _mm512_load_ps(cuts), _CMP_GE_OQ));
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
TARGET static ALWAYS_INLINE void
rank_row(const Forest *forest, const float *row, __m512i *ranks, uint32_t registers)
{
	const ForestPlan *plan = forest->plan;
	const uint32_t *features = PLAN_SECTION(plan, uint32_t, features);
	const uint32_t *blocks = PLAN_SECTION(plan, uint32_t, blocks);
	const float *cuts = PLAN_SECTION(plan, float, cuts);
	uint32_t	num_slots = plan->num_slots;
	int8_t		bytes[MAX_REGISTERS * REGISTER] __attribute__((aligned(64)));
	float		values[MAX_REGISTERS * REGISTER] __attribute__((aligned(64)));
	uint32_t	i;

	for (i = 0; i < registers; i++)
		_mm512_store_si512((__m512i *) bytes + i, _mm512_setzero_si512());
	for (i = 0; i < plan->num_short; i++)
	{
		values[i] = row[features[i]];
		bytes[i] = count_cuts(_mm512_set1_ps(values[i]), cuts + i * PLAN_BLOCK) + PLAN_LEAST;
	}
#pragma GCC unroll 4
	for (; i < num_slots; i++)
	{
		const float *pivots = cuts + blocks[i] * PLAN_BLOCK;
		__m512		value = _mm512_set1_ps(row[features[i]]);
		uint32_t	full = count_cuts(value, pivots) * PLAN_BLOCK;

		values[i] = row[features[i]];
		bytes[i] = full + count_cuts(value, pivots + PLAN_BLOCK + full) + PLAN_LEAST;
	}
	for (i = 0; i < registers; i++)
	{
		uint64_t	missing = i * REGISTER >= num_slots ? 0 :
			find_missing(values + i * REGISTER, num_slots - i * REGISTER,
						 _mm512_set1_ps(forest->header->missing));

		ranks[i] = _mm512_mask_mov_epi8(_mm512_load_si512((__m512i *) bytes + i), missing,
										_mm512_set1_epi8(PLAN_MISSING));
	}
}

/* ---- the pipeline's steps ---- */

/* The ranks of 64 slots. */
TARGET static ALWAYS_INLINE __m512i
look_up(const __m512i *ranks, __m512i slots, uint32_t registers)
{
	__m512i		low;
	__m512i		high;

	if (registers == 1)
		return _mm512_permutexvar_epi8(slots, ranks[0]);
	low = _mm512_permutex2var_epi8(ranks[0], slots, ranks[1]);
	if (registers == 2)
		return low;
	high = _mm512_permutex2var_epi8(ranks[2], slots, ranks[3]);
	return _mm512_mask_blend_epi8(_mm512_movepi8_mask(slots), low, high);
}

/* The ranks of few twins, from those of the slots, which may be many: those that are
 * asked below the upper levels have no twins here. */
TARGET static ALWAYS_INLINE __m512i
rank_few(const ForestPlan *plan, const __m512i *ranks, uint32_t registers)
{
	__m512i		few = look_up(ranks, _mm512_load_si512(PLAN_SECTION(plan, uint8_t, few_slots)), registers);
	uint64_t	missing = _mm512_cmpeq_epi8_mask(few, _mm512_set1_epi8(PLAN_MISSING));

	return _mm512_mask_mov_epi8(few, missing & plan->few_left, _mm512_set1_epi8(PLAN_LEAST));
}

/* Decide the upper nodes of 8 trees. */
TARGET static ALWAYS_INLINE void
decide(const PlanGroup *group, const __m512i *ranks, uint32_t registers,
	   __m512i *right, __m512i *missing)
{
	uint64_t   *right_words = (uint64_t *) right;
	uint64_t   *missing_words = (uint64_t *) missing;
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
	{
		const PlanTree *tree = &group->trees[i];
		__m512i		rank = look_up(ranks, _mm512_load_si512(tree->slots), registers);

		right_words[i] = _mm512_cmpge_epi8_mask(rank, _mm512_load_si512(tree->cuts));
		missing_words[i] = _mm512_cmpeq_epi8_mask(rank, _mm512_set1_epi8(PLAN_MISSING));
	}
}

/* The same of one tree, where there are few twins, which know about missing values. */
TARGET static ALWAYS_INLINE uint64_t
decide_few(const PlanTree *tree, __m512i ranks)
{
	__m512i		rank = _mm512_permutexvar_epi8(_mm512_load_si512(tree->slots), ranks);

	return _mm512_cmpge_epi8_mask(rank, _mm512_load_si512(tree->cuts));
}

TARGET static ALWAYS_INLINE void
decide_few_trees(const PlanTree *trees, __m512i ranks, __m512i *right)
{
	uint64_t   *right_words = (uint64_t *) right;
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
		right_words[i] = decide_few(&trees[i], ranks);
}

/* Where rows go right, but not where what is missing goes left. */
TARGET static ALWAYS_INLINE __m512i
goes_right(__m512i right, __m512i missing, const PlanGroup *group)
{
	return _mm512_ternarylogic_epi64(right, missing, _mm512_load_si512(group->missing_left), 0x70);
}

/* And where they go right by their categories. */
TARGET static ALWAYS_INLINE __m512i
add_categories(__m512i right, const ForestPlan *plan, uint32_t group, const uint32_t *places)
{
	const uint32_t *begins = PLAN_SECTION(plan, uint32_t, category_begins);
	const PlanCategories *categories = PLAN_SECTION(plan, PlanCategories, categories);
	uint32_t	i;

	for (i = begins[group]; i < begins[group + 1]; i++)
		right = _mm512_or_si512(right, _mm512_load_si512(category_words(plan, &categories[i],
																		places)));
	return right;
}

/* Follow the decisions of 8 trees to their leaves, which are numbered from 64. */
TARGET static ALWAYS_INLINE __m512i
find_leaves(__m512i bits)
{
	const __m512i one = _mm512_set1_epi64(1);
	__m512i		index = one;
	uint32_t	i;

#pragma GCC unroll 6
	for (i = 0; i < PLAN_LEVELS; i++)
	{
		__m512i		bit = _mm512_srlv_epi64(bits, index);

		/* 2 * index | (bit & 1) */
		index = _mm512_ternarylogic_epi64(_mm512_add_epi64(index, index), bit, one, 0xF8);
	}
	return index;
}

/* Where the leaves of 8 trees begin, and how far those of the next 8 are from there. */
typedef struct Leaves
{
	__m512i		first;
	__m512i		stride;
} Leaves;

/* Those of the first group, less 64 for each since indexes begin there. */
TARGET static ALWAYS_INLINE Leaves
first_leaves(const ForestPlan *plan, PlanLeaves kind)
{
	int64_t		tree_size = PLAN_NODES * plan_leaf_size(kind);
	int64_t		start = (int64_t) (intptr_t) PLAN_SECTION(plan, char, leaves) - tree_size;
	Leaves		leaves;

	leaves.first = _mm512_add_epi64(_mm512_set1_epi64(start),
									_mm512_setr_epi64(0, tree_size, 2 * tree_size, 3 * tree_size,
													  4 * tree_size, 5 * tree_size,
													  6 * tree_size, 7 * tree_size));
	leaves.stride = _mm512_set1_epi64(PLAN_GROUP * tree_size);
	return leaves;
}

/* The addresses of the leaves, or records, that were found in the next 8 trees. */
TARGET static ALWAYS_INLINE __m512i
leaf_addresses(Leaves *leaves, __m512i index, PlanLeaves kind)
{
	__m512i		addresses = _mm512_add_epi64(leaves->first,
											 _mm512_slli_epi64(index, kind == PLAN_RECORDS ? 5 : 2));

	leaves->first = _mm512_add_epi64(leaves->first, leaves->stride);
	return addresses;
}

/* Write the ranks for records; see PlanTwins. */
TARGET static ALWAYS_INLINE void
make_twins(PlanTwins *twins, const __m512i *ranks, uint32_t registers)
{
	const __m512i missing = _mm512_set1_epi8(PLAN_MISSING);
	uint32_t	i;

	for (i = 0; i < registers; i++)
	{
		__m512i		left = _mm512_mask_mov_epi8(ranks[i],
												_mm512_cmpeq_epi8_mask(ranks[i], missing),
												_mm512_set1_epi8(PLAN_LEAST));

		_mm512_storeu_si512(twins->ranks + i * REGISTER, left);
		_mm512_storeu_si512(twins->ranks + PLAN_MAX_SLOTS + i * REGISTER, ranks[i]);
	}
}

/* ---- the kernel ---- */

TARGET static ALWAYS_INLINE void
add_trees(const Forest *forest, const float *row, void *scratch, float *margins, uint32_t registers,
		  bool few, PlanLeaves kind)
{
	const ForestPlan *plan = forest->plan;
	const PlanGroup *groups = PLAN_SECTION(plan, PlanGroup, groups);
	const uint32_t *outputs = PLAN_SECTION(plan, uint32_t, outputs);
	uint32_t	num_groups = plan->num_groups;
	uint32_t	add_lag = kind == PLAN_RECORDS ? RECORD_LAG : ADD_LAG;
	uint32_t	output = outputs[0];
	float		sum = margins[output];
	Leaves		leaves = first_leaves(plan, kind);
	const PlanTree *few_trees = PLAN_SECTION(plan, PlanTree, few);
	__m512i		ranks[MAX_REGISTERS];
	__m512i		few_ranks;
	PlanTwins	twins;
	Stage		stage;
	uint32_t	places[PLAN_MAX_CATEGORICAL];
	uint32_t   *starts = forest_starts(forest, scratch);
	uint32_t	step;

	rank_row(forest, row, ranks, registers);
	if (few)
		few_ranks = rank_few(plan, ranks, registers);
	if (plan->num_categorical > 0)
		find_categories(forest, row, places);
	if (kind == PLAN_RECORDS)
		make_twins(&twins, ranks, registers);
	for (step = 0; step < num_groups + add_lag; step++)
	{
		if (step < num_groups && few)
			decide_few_trees(few_trees + (size_t) step * PLAN_GROUP, few_ranks,
							 &stage.right[step % RING]);
		else if (step < num_groups)
			decide(&groups[step], ranks, registers, &stage.right[step % RING],
				   &stage.missing[step % RING]);
		if (step >= INDEX_LAG && step - INDEX_LAG < num_groups)
		{
			uint32_t	group = step - INDEX_LAG;
			__m512i		right = stage.right[group % RING];

			if (!few)
				right = goes_right(right, stage.missing[group % RING], &groups[group]);
			if (plan->num_categorical > 0)
				right = add_categories(right, plan, group, places);
			_mm512_storeu_si512(stage.leaves[group % RING],
								leaf_addresses(&leaves, find_leaves(right), kind));
			if (kind == PLAN_RECORDS)
				prefetch_records(stage.leaves[group % RING]);
		}
		if (step >= add_lag)
		{
			uint32_t	group = step - add_lag;

			if (kind == PLAN_STARTS)
			{
				copy_starts(starts + (size_t) group * PLAN_GROUP, stage.leaves[group % RING]);
				continue;
			}
			switch_output(&sum, margins, &output, outputs[group]);
			sum = add_leaves(sum, &twins, stage.leaves[group % RING], kind);
		}
	}
	margins[output] = sum;
	if (kind == PLAN_STARTS)
		walk_on(forest, row, scratch, margins);
}

/* ---- few twins, in bytes ---- */

/*
 * The way through three levels, by the decisions of their seven nodes in order; and
 * the number of the first leaf there, after the upper three.
 */
#define WAY(bits) \
	((bits) & 1 ? 4 + ((bits) & 4 ? 2 + ((bits) >> 6 & 1) : (bits) >> 5 & 1) : \
	 (bits) & 2 ? 2 + ((bits) >> 4 & 1) : (bits) >> 3 & 1)
#define WAYS_4(times, bits) times * (WAY(bits)), times * (WAY((bits) + 1)), \
	times * (WAY((bits) + 2)), times * (WAY((bits) + 3))
#define WAYS_16(times, bits) WAYS_4(times, bits), WAYS_4(times, (bits) + 4), \
	WAYS_4(times, (bits) + 8), WAYS_4(times, (bits) + 12)
#define WAYS_64(times, bits) WAYS_16(times, bits), WAYS_16(times, (bits) + 16), \
	WAYS_16(times, (bits) + 32), WAYS_16(times, (bits) + 48)

static const uint8_t ways[128] = {WAYS_64(1, 0), WAYS_64(1, 64)};
static const uint8_t first_of_ways[128] = {WAYS_64(8, 0), WAYS_64(8, 64)};

/* The number of the leaf that a tree's decisions lead to; 8 leaves are below a byte. */
TARGET static ALWAYS_INLINE size_t
find_leaf(uint64_t right)
{
	size_t		first = first_of_ways[_pext_u64(right, PLAN_UPPER_BITS)];

	return first + ways[right >> first & 127];
}

/* All trees, one after the other: the processor does what is independent ahead of the sum. */
TARGET static void
leaves_in_bytes(const Forest *forest, const float *row, void *scratch, float *margins)
{
	const ForestPlan *plan = forest->plan;
	const PlanTree *trees = PLAN_SECTION(plan, PlanTree, few);
	const float *leaves = PLAN_SECTION(plan, float, leaves);
	const uint32_t *outputs = PLAN_SECTION(plan, uint32_t, outputs);
	uint32_t	output = outputs[0];
	float		sum = margins[output];
	__m512i		ranks;
	uint32_t	group;
	uint32_t	i;

	(void) scratch;
	rank_row(forest, row, &ranks, 1);
	ranks = rank_few(plan, &ranks, 1);
	for (group = 0; group < plan->num_groups; group++)
	{
		switch_output(&sum, margins, &output, outputs[group]);
#pragma GCC unroll 8
		for (i = 0; i < PLAN_GROUP; i++)
		{
			sum += leaves[i * PLAN_NODES + find_leaf(decide_few(&trees[i], ranks))];
			/* or the compiler begins with all 8, for which there are not enough registers */
			__asm__ volatile ("" : "+x" (sum));
		}
		trees += PLAN_GROUP;
		leaves += PLAN_GROUP * PLAN_NODES;
	}
	margins[output] = sum;
}

/* ---- kernels ---- */

#define DEFINE_KERNEL(name, registers, few, kind) \
TARGET static void \
name(const Forest *forest, const float *row, void *scratch, float *margins) \
{ \
	add_trees(forest, row, scratch, margins, registers, few, kind); \
}

DEFINE_KERNEL(leaves_few, 1, true, PLAN_LEAVES)
DEFINE_KERNEL(leaves_64, 1, false, PLAN_LEAVES)
DEFINE_KERNEL(leaves_128, 2, false, PLAN_LEAVES)
DEFINE_KERNEL(leaves_256, 4, false, PLAN_LEAVES)
DEFINE_KERNEL(records_few, 1, true, PLAN_RECORDS)
DEFINE_KERNEL(records_few_256, 4, true, PLAN_RECORDS)
DEFINE_KERNEL(records_64, 1, false, PLAN_RECORDS)
DEFINE_KERNEL(records_128, 2, false, PLAN_RECORDS)
DEFINE_KERNEL(records_256, 4, false, PLAN_RECORDS)
DEFINE_KERNEL(starts_few, 1, true, PLAN_STARTS)
DEFINE_KERNEL(starts_few_256, 4, true, PLAN_STARTS)
DEFINE_KERNEL(starts_64, 1, false, PLAN_STARTS)
DEFINE_KERNEL(starts_128, 2, false, PLAN_STARTS)
DEFINE_KERNEL(starts_256, 4, false, PLAN_STARTS)

RowKernel
avx512_kernel(const ForestPlan *plan)
{
	static const RowKernel kernels[3][3] = {
		{leaves_64, leaves_128, leaves_256},
		{records_64, records_128, records_256},
		{starts_64, starts_128, starts_256}
	};
	/* leaves have no slots but those of the upper levels */
	static const RowKernel few_kernels[3][3] = {
		{leaves_few, leaves_128, leaves_256},
		{records_few, records_few_256, records_few_256},
		{starts_few, starts_few_256, starts_few_256}
	};
	uint32_t	size = plan->num_slots <= REGISTER ? 0 : plan->num_slots <= 2 * REGISTER ? 1 : 2;

	if (plan->num_few == 0)
		return kernels[plan->kind][size];
	if (size == 0 && plan_few_in_bytes(plan))
		return leaves_in_bytes;
	return few_kernels[plan->kind][size];
}

#endif							/* HAVE_X86_KERNELS */
