/*
 * batch_avx2.c
 *		Many rows at once, by ranks (plan.h), for AVX2: as batch_avx512.c, whose
 *		explanation holds here, with 32 rows in a register.
 *
 * There are not enough registers for a whole block, so a tree is evaluated for
 * 64 rows after the other.  Lowest nodes begin with the numbers of their own
 * leaves, so that all others only choose: the greater number, if the right child's,
 * which are all greater, count for nothing where a row goes left.
 */
#include "kernel.h"
#include "rank.h"
#include "rank_avx2.h"
#include "pure.h"

#ifdef HAVE_X86_KERNELS

#define BLOCK		KERNEL_BLOCK
#define STRIP		64			/* rows of two registers */
#define LOWEST		(PLAN_NODES / 2)	/* the first node of the lowest level */

/* A number for each row of a strip. */
typedef struct Numbers
{
	__m256i		low;
	__m256i		high;
} Numbers;

/* A tree, ready to be compared with a block. */
typedef struct BlockTree
{
	uint32_t	planes[PLAN_NODES]; /* where the plane of a node begins */
	uint32_t	cuts[PLAN_NODES];	/* four times the same byte */
} BlockTree;

/* ---- ranks ---- */

/* Rank one feature of all rows by the cuts of one slot. */
TARGET static ALWAYS_INLINE void
rank_column(const float *column, size_t stride, uint32_t num_rows, const float *cuts, bool is_short,
			float *values, int8_t *ranks)
{
	uint32_t	i;

#pragma GCC unroll 4
	for (i = 0; i < num_rows; i++)
	{
		__m256		value = _mm256_set1_ps(column[i * stride]);
		uint32_t	twice = count_cuts_twice(value, cuts);

		if (!is_short)
		{
			twice *= PLAN_BLOCK;
			twice += count_cuts_twice(value, cuts + PLAN_BLOCK + twice / 2);
		}
		values[i] = column[i * stride];
		ranks[i] = twice / 2 + PLAN_LEAST;
	}
}

/* Write the planes of a block; rows past its end have any ranks. */
TARGET static void
rank_block(const Forest *forest, const float *rows, uint32_t num_rows, int8_t *planes)
{
	const ForestPlan *plan = forest->plan;
	const uint32_t *features = PLAN_SECTION(plan, uint32_t, features);
	const uint32_t *blocks = PLAN_SECTION(plan, uint32_t, blocks);
	__m256		declared = _mm256_set1_ps(forest->header->missing);
	float		values[BLOCK] __attribute__((aligned(32))) = {0};
	int8_t		ranks[BLOCK] __attribute__((aligned(32))) = {0};
	uint32_t	slot;
	uint32_t	i;

	for (slot = 0; slot < plan->num_slots; slot++)
	{
		const float *cuts = PLAN_SECTION(plan, float, cuts) + blocks[slot] * PLAN_BLOCK;
		const float *column = rows + features[slot];
		int8_t	   *left = planes + (size_t) slot * BLOCK;
		int8_t	   *right = left + PLAN_MAX_SLOTS * BLOCK;

		if (slot < plan->num_short)
			rank_column(column, forest->header->num_features, num_rows, cuts, true, values, ranks);
		else
			rank_column(column, forest->header->num_features, num_rows, cuts, false, values, ranks);
		for (i = 0; i < BLOCK; i += 32)
		{
			__m256i		some = _mm256_load_si256((const __m256i *) (ranks + i));
			__m256i		missing = find_missing(values + i, declared);

			_mm256_store_si256((__m256i *) (left + i),
							   _mm256_blendv_epi8(some, _mm256_set1_epi8(PLAN_LEAST), missing));
			_mm256_store_si256((__m256i *) (right + i),
							   _mm256_blendv_epi8(some, _mm256_set1_epi8(PLAN_MISSING), missing));
		}
	}
}

/* ---- trees ---- */

/*
 * Make a tree ready: its nodes' planes and cuts in the form that nodes load.
 * Not inlined, or the compiler takes them out of registers, which costs more.
 */
TARGET static __attribute__((noinline)) void
prepare_tree(const PlanGroup *group, uint32_t number, BlockTree *tree)
{
	const PlanTree *source = &group->trees[number];
	const __m256i order = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	uint32_t	i;

	for (i = 0; i < PLAN_NODES; i += 8)
	{
		__m256i		slots = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) (source->slots + i)));
		__m256i		cuts = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) (source->cuts + i)));
		__m256i		goes_right = _mm256_set1_epi32(~(group->missing_left[number] >> i));
		__m256i		twin = _mm256_and_si256(_mm256_srlv_epi32(goes_right, order), _mm256_set1_epi32(1));

		slots = _mm256_add_epi32(slots, _mm256_mullo_epi32(twin, _mm256_set1_epi32(PLAN_MAX_SLOTS)));
		_mm256_store_si256((__m256i *) (tree->planes + i),
						   _mm256_mullo_epi32(slots, _mm256_set1_epi32(BLOCK)));
		_mm256_store_si256((__m256i *) (tree->cuts + i),
						   _mm256_mullo_epi32(cuts, _mm256_set1_epi32(0x01010101)));
	}
}

/* The rows that a node sends left. */
TARGET static ALWAYS_INLINE Numbers
goes_left(const BlockTree *tree, const int8_t *ranks, uint32_t node)
{
	const __m256i *plane = (const __m256i *) (ranks + tree->planes[node]);
	__m256i		cut = _mm256_set1_epi32(tree->cuts[node]);

	return (Numbers) {
		_mm256_cmpgt_epi8(cut, _mm256_load_si256(plane)),
		_mm256_cmpgt_epi8(cut, _mm256_load_si256(plane + 1))
	};
}

/* A lowest node: its right leaf's number, or one less. */
TARGET static ALWAYS_INLINE Numbers
subtree_1(const BlockTree *tree, const int8_t *ranks, uint32_t node)
{
	Numbers		goes = goes_left(tree, ranks, node);
	__m256i		leaf = _mm256_set1_epi8(2 * (node - LOWEST) + 1);

	return (Numbers) {_mm256_add_epi8(leaf, goes.low), _mm256_add_epi8(leaf, goes.high)};
}

/* Choose what the left child says, or the right one, whose numbers are all higher. */
TARGET static ALWAYS_INLINE __m256i
choose(__m256i goes_left, __m256i left, __m256i right)
{
	return _mm256_max_epu8(left, _mm256_andnot_si256(goes_left, right));
}

/* A node of so many levels. */
#define DEFINE_SUBTREE(levels, lower) \
TARGET static ALWAYS_INLINE Numbers \
subtree_##levels(const BlockTree *tree, const int8_t *ranks, uint32_t node) \
{ \
	Numbers		left = subtree_##lower(tree, ranks, 2 * node); \
	Numbers		right = subtree_##lower(tree, ranks, 2 * node + 1); \
	Numbers		goes = goes_left(tree, ranks, node); \
	\
	return (Numbers) { \
		choose(goes.low, left.low, right.low), choose(goes.high, left.high, right.high) \
	}; \
}

DEFINE_SUBTREE(2, 1)
DEFINE_SUBTREE(3, 2)
DEFINE_SUBTREE(4, 3)
DEFINE_SUBTREE(5, 4)
DEFINE_SUBTREE(6, 5)

/*
 * The numbers of a strip's leaves.  Not inlined, or the compiler keeps all that nodes
 * load for the next strip, where there is no room for it.
 */
TARGET static __attribute__((noinline)) void
number_leaves(const BlockTree *tree, const int8_t *ranks, uint8_t *numbers)
{
	Numbers		some = subtree_6(tree, ranks, 1);

	_mm256_store_si256((__m256i *) numbers, some.low);
	_mm256_store_si256((__m256i *) numbers + 1, some.high);
}

/* Add the leaves of a tree to all rows' sums. */
TARGET static ALWAYS_INLINE void
add_tree(const ForestPlan *plan, size_t tree_number, const BlockTree *tree, const int8_t *planes,
		 float *sums, bool records)
{
	size_t		first = tree_number * PLAN_NODES;
	const float *leaves = PLAN_SECTION(plan, float, leaves) + first;
	const PlanRecord *record = PLAN_SECTION(plan, PlanRecord, leaves) + first;
	uint8_t		numbers[BLOCK] __attribute__((aligned(32)));
	uint32_t	row;

	if (records)
		prefetch_tree(record + PLAN_NODES);
	for (row = 0; row < BLOCK; row += STRIP)
		number_leaves(tree, planes + row, numbers + row);
#pragma GCC unroll 8
	for (row = 0; row < BLOCK; row++)
		sums[row] += records ? record_leaf(&record[numbers[row]], planes + row, BLOCK) :
			leaves[numbers[row]];
}

/* ---- the kernel ---- */

TARGET static ALWAYS_INLINE void
block_margins(const Forest *forest, const float *rows, uint32_t num_rows, void *scratch,
			  float *margins, bool records)
{
	const ForestPlan *plan = forest->plan;
	const PlanGroup *groups = PLAN_SECTION(plan, PlanGroup, groups);
	const uint32_t *outputs = PLAN_SECTION(plan, uint32_t, outputs);
	uint32_t	num_outputs = forest->header->num_outputs;
	float		sums[BLOCK];
	BlockTree	tree __attribute__((aligned(32)));
	uint32_t	group;
	uint32_t	i;

	rank_block(forest, rows, num_rows, scratch);
	for (group = 0; group < plan->num_groups; group++)
	{
		uint32_t	output = outputs[group];

		if (group == 0 || outputs[group - 1] != output)
			for (i = 0; i < BLOCK; i++)
				sums[i] = forest->base_margins[output];
		for (i = 0; i < PLAN_GROUP; i++)
		{
			prepare_tree(&groups[group], i, &tree);
			add_tree(plan, (size_t) group * PLAN_GROUP + i, &tree, scratch, sums, records);
		}
		if (group + 1 == plan->num_groups || outputs[group + 1] != output)
			for (i = 0; i < num_rows; i++)
				margins[(size_t) i * num_outputs + output] = sums[i];
	}
}

#define DEFINE_KERNEL(name, records) \
TARGET static void \
name(const Forest *forest, const float *rows, uint32_t num_rows, void *scratch, float *margins) \
{ \
	block_margins(forest, rows, num_rows, scratch, margins, records); \
}

DEFINE_KERNEL(leaves_block, false)
DEFINE_KERNEL(records_block, true)

BatchKernel
avx2_batch_kernel(const ForestPlan *plan)
{
	if (plan->kind == PLAN_STARTS || plan->num_categorical > 0)
		return NULL;
	return plan->kind == PLAN_RECORDS ? records_block : leaves_block;
}

#endif							/* HAVE_X86_KERNELS */
