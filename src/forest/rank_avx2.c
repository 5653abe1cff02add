/*
 * rank_avx2.c
 *		The kernel of ranks (plan.h) for AVX2.
 *
 * A byte shuffle looks up 16 ranks only, by the low four bits of a slot's
 * number, and gives 0 when the number is negative.  So the table of ranks is
 * kept as differences: the first 16 ranks, then how each next 16 differ (by
 * exclusive or) from those before.  A slot takes the first table and all those
 * that its number, less 16 for each, does not make negative: what is left of
 * the exclusive ors is its rank.  Past four tables walking is faster.
 *
 * 32 nodes are decided at once, the leaves of four trees found at once, and
 * the sum is added some groups behind, as in rank_avx512.c; categories and what
 * is below the upper levels likewise.
 */
#include "kernel.h"
#include "rank.h"
#include "rank_avx2.h"
#include "pure.h"

#ifdef HAVE_X86_KERNELS

#define TABLE		16			/* ranks of a table */
#define MAX_TABLES	4

#define RING		8			/* groups in the pipeline, a power of 2 */
#define INDEX_LAG	3			/* groups between deciding and finding leaves */
#define ADD_LAG		4			/* between deciding and adding */
#define RECORD_LAG	7			/* records are to be fetched before */

#define WORDS		(2 * PLAN_GROUP)	/* of 32 nodes, in a group */

/* What a group leaves for the next step of the pipeline. */
typedef struct Stage
{
	uint32_t	left[RING][WORDS] __attribute__((aligned(32)));	/* rank < cut */
	uint32_t	missing[RING][WORDS] __attribute__((aligned(32)));	/* rank is missing */
	uintptr_t	leaves[RING][PLAN_GROUP] __attribute__((aligned(32)));	/* where they,
																	 * or their records, are */
} Stage;

/* ---- ranks ---- */

/* Turn a row into ranks, a byte for each slot. */
TARGET static ALWAYS_INLINE void
rank_row(const Forest *forest, const float *row, int8_t *ranks)
{
	const ForestPlan *plan = forest->plan;
	const uint32_t *features = PLAN_SECTION(plan, uint32_t, features);
	const uint32_t *blocks = PLAN_SECTION(plan, uint32_t, blocks);
	const float *cuts = PLAN_SECTION(plan, float, cuts);
	__m256		declared = _mm256_set1_ps(forest->header->missing);
	float		values[MAX_TABLES * TABLE] __attribute__((aligned(32))) = {0};
	uint32_t	i;

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

/* The ranks as tables of differences, the same in both halves of a register. */
TARGET static ALWAYS_INLINE void
make_tables(__m256i *tables, const int8_t *ranks, uint32_t num_tables)
{
	uint32_t	i;

	for (i = 0; i < num_tables; i++)
	{
		__m128i		some = _mm_load_si128((const __m128i *) ranks + i);

		if (i > 0)
			some = _mm_xor_si128(some, _mm_load_si128((const __m128i *) ranks + i - 1));
		tables[i] = _mm256_broadcastsi128_si256(some);
	}
}

/* ---- trees ---- */

/* The ranks of 32 slots. */
TARGET static ALWAYS_INLINE __m256i
look_up(const __m256i *tables, __m256i slots, uint32_t num_tables)
{
	__m256i		ranks = _mm256_shuffle_epi8(tables[0], slots);
	uint32_t	i;

#pragma GCC unroll 4
	for (i = 1; i < num_tables; i++)
	{
		slots = _mm256_sub_epi8(slots, _mm256_set1_epi8(TABLE));
		ranks = _mm256_xor_si256(ranks, _mm256_shuffle_epi8(tables[i], slots));
	}
	return ranks;
}

/*
 * Decide the upper nodes of 8 trees, 32 at a time.  The words are written as
 * volatile ones: else the compiler collects them in vectors, which costs more.
 */
TARGET static ALWAYS_INLINE void
decide(const PlanGroup *group, const __m256i *tables, uint32_t num_tables,
	   volatile uint32_t *left, volatile uint32_t *missing)
{
	uint32_t	i;

#pragma GCC unroll 16
	for (i = 0; i < WORDS; i++)
	{
		const PlanTree *tree = &group->trees[i / 2];
		__m256i		slots = _mm256_load_si256((const __m256i *) tree->slots + i % 2);
		__m256i		cuts = _mm256_load_si256((const __m256i *) tree->cuts + i % 2);
		__m256i		ranks = look_up(tables, slots, num_tables);

		left[i] = _mm256_movemask_epi8(_mm256_cmpgt_epi8(cuts, ranks));
		missing[i] = _mm256_movemask_epi8(_mm256_cmpeq_epi8(ranks,
															_mm256_set1_epi8(PLAN_MISSING)));
	}
}

/* Where rows go left in 4 trees, missing values with them. */
TARGET static ALWAYS_INLINE __m256i
goes_left(__m256i left, __m256i missing, __m256i missing_left)
{
	return _mm256_or_si256(left, _mm256_and_si256(missing, missing_left));
}

/* But not where they go right by their categories; half: which 4 trees of the group. */
TARGET static ALWAYS_INLINE __m256i
drop_categories(__m256i left, const ForestPlan *plan, uint32_t group, uint32_t half,
				const uint32_t *places)
{
	const uint32_t *begins = PLAN_SECTION(plan, uint32_t, category_begins);
	const PlanCategories *categories = PLAN_SECTION(plan, PlanCategories, categories);
	uint32_t	i;

	for (i = begins[group]; i < begins[group + 1]; i++)
	{
		const uint64_t *words = category_words(plan, &categories[i], places);

		left = _mm256_andnot_si256(_mm256_load_si256((const __m256i *) words + half), left);
	}
	return left;
}

/* Follow the decisions of 4 trees to their leaves, which are numbered from 64. */
TARGET static ALWAYS_INLINE __m256i
find_leaves(__m256i bits)
{
	const __m256i one = _mm256_set1_epi64x(1);
	__m256i		index = one;
	uint32_t	i;

	/* 2 * index + 1, but for rows that go left */
#pragma GCC unroll 6
	for (i = 0; i < PLAN_LEVELS; i++)
		index = _mm256_add_epi64(_mm256_add_epi64(index, index),
								 _mm256_andnot_si256(_mm256_srlv_epi64(bits, index), one));
	return index;
}

/* Where the leaves of 4 trees begin, and how far those of the next 4 are from there. */
typedef struct Leaves
{
	__m256i		first;
	__m256i		stride;
} Leaves;

/* Those of the first group, less 64 for each since indexes begin there. */
TARGET static ALWAYS_INLINE Leaves
first_leaves(const ForestPlan *plan, PlanLeaves kind)
{
	int64_t		tree_size = PLAN_NODES * plan_leaf_size(kind);
	int64_t		start = (int64_t) (intptr_t) PLAN_SECTION(plan, char, leaves) - tree_size;
	Leaves		leaves;

	leaves.first = _mm256_setr_epi64x(start, start + tree_size, start + 2 * tree_size,
									  start + 3 * tree_size);
	leaves.stride = _mm256_set1_epi64x(4 * tree_size);
	return leaves;
}

/* The addresses of the leaves, or records, that were found in the next 4 trees. */
TARGET static ALWAYS_INLINE __m256i
leaf_addresses(Leaves *leaves, __m256i index, PlanLeaves kind)
{
	__m256i		addresses = _mm256_add_epi64(leaves->first,
											 _mm256_slli_epi64(index, kind == PLAN_RECORDS ? 5 : 2));

	leaves->first = _mm256_add_epi64(leaves->first, leaves->stride);
	return addresses;
}

/* Write the ranks for records; see PlanTwins. */
TARGET static ALWAYS_INLINE void
make_twins(PlanTwins *twins, const int8_t *ranks, uint32_t num_tables)
{
	uint32_t	i;

	for (i = 0; i < num_tables * TABLE; i++)
	{
		twins->ranks[i] = ranks[i] == PLAN_MISSING ? PLAN_LEAST : ranks[i];
		twins->ranks[PLAN_MAX_SLOTS + i] = ranks[i];
	}
}

/* ---- the kernel ---- */

TARGET static ALWAYS_INLINE void
add_trees(const Forest *forest, const float *row, void *scratch, float *margins, uint32_t num_tables,
		  PlanLeaves kind)
{
	const ForestPlan *plan = forest->plan;
	const PlanGroup *groups = PLAN_SECTION(plan, PlanGroup, groups);
	const uint32_t *outputs = PLAN_SECTION(plan, uint32_t, outputs);
	uint32_t	num_groups = plan->num_groups;
	uint32_t	add_lag = kind == PLAN_RECORDS ? RECORD_LAG : ADD_LAG;
	uint32_t	output = outputs[0];
	float		sum = margins[output];
	Leaves		leaves = first_leaves(plan, kind);
	int8_t		ranks[MAX_TABLES * TABLE] __attribute__((aligned(32))) = {0};
	__m256i		tables[MAX_TABLES];
	Stage		stage;
	PlanTwins	twins;
	uint32_t	places[PLAN_MAX_CATEGORICAL];
	uint32_t   *starts = forest_starts(forest, scratch);
	uint32_t	step;

	rank_row(forest, row, ranks);
	make_tables(tables, ranks, num_tables);
	if (plan->num_categorical > 0)
		find_categories(forest, row, places);
	if (kind == PLAN_RECORDS)
		make_twins(&twins, ranks, num_tables);
	for (step = 0; step < num_groups + add_lag; step++)
	{
		if (step < num_groups)
			decide(&groups[step], tables, num_tables, stage.left[step % RING],
				   stage.missing[step % RING]);
		if (step >= INDEX_LAG && step - INDEX_LAG < num_groups)
		{
			uint32_t	group = step - INDEX_LAG;
			const __m256i *left = (const __m256i *) stage.left[group % RING];
			const __m256i *missing = (const __m256i *) stage.missing[group % RING];
			const __m256i *missing_left = (const __m256i *) groups[group].missing_left;
			__m256i    *addresses = (__m256i *) stage.leaves[group % RING];

			for (uint32_t i = 0; i < 2; i++)
			{
				__m256i		words = goes_left(left[i], missing[i], missing_left[i]);

				if (plan->num_categorical > 0)
					words = drop_categories(words, plan, group, i, places);
				_mm256_store_si256(&addresses[i],
								   leaf_addresses(&leaves, find_leaves(words), kind));
			}
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

#define DEFINE_KERNEL(name, num_tables, kind) \
TARGET static void \
name(const Forest *forest, const float *row, void *scratch, float *margins) \
{ \
	add_trees(forest, row, scratch, margins, num_tables, kind); \
}

DEFINE_KERNEL(leaves_16, 1, PLAN_LEAVES)
DEFINE_KERNEL(leaves_32, 2, PLAN_LEAVES)
DEFINE_KERNEL(leaves_48, 3, PLAN_LEAVES)
DEFINE_KERNEL(leaves_64, 4, PLAN_LEAVES)
DEFINE_KERNEL(records_16, 1, PLAN_RECORDS)
DEFINE_KERNEL(records_32, 2, PLAN_RECORDS)
DEFINE_KERNEL(records_48, 3, PLAN_RECORDS)
DEFINE_KERNEL(records_64, 4, PLAN_RECORDS)
DEFINE_KERNEL(starts_16, 1, PLAN_STARTS)
DEFINE_KERNEL(starts_32, 2, PLAN_STARTS)
DEFINE_KERNEL(starts_48, 3, PLAN_STARTS)
DEFINE_KERNEL(starts_64, 4, PLAN_STARTS)

RowKernel
avx2_kernel(const ForestPlan *plan)
{
	static const RowKernel kernels[3][MAX_TABLES] = {
		{leaves_16, leaves_32, leaves_48, leaves_64},
		{records_16, records_32, records_48, records_64},
		{starts_16, starts_32, starts_48, starts_64}
	};

	if (plan->num_slots > MAX_TABLES * TABLE)
		return NULL;
	return kernels[plan->kind][plan->num_slots > 0 ? (plan->num_slots - 1) / TABLE : 0];
}

#endif							/* HAVE_X86_KERNELS */
