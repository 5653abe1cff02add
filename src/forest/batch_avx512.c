/*
 * batch_avx512.c
 *		Many rows at once, by ranks (plan.h), for AVX-512 with VBMI.
 *
 * Rows are taken in blocks of 128.  A block's ranks are turned into planes: for
 * each slot the bytes of all rows, once with missing values that go left and
 * once with such that go right.  A tree is then evaluated from its lowest
 * nodes upwards, for all rows of the block at the same time: each row carries
 * the number of the leaf that it would reach below a node, and a node's comparison
 * chooses for each row between what its two children say.  No row is
 * ever moved, so the cost of a node does not depend on where rows go.
 *
 * Leaves are looked up and added in tree order, 16 rows at a time.  Records are
 * decided row by row, while those of one tree are at hand.  Forests with
 * categories, or that are walked on from level 6, have no kernel for many rows.
 */
#include "kernel.h"
#include "rank.h"
#include "pure.h"

#ifdef HAVE_X86_KERNELS
#include <immintrin.h>

#define TARGET	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")))

#define BLOCK		KERNEL_BLOCK
#define BLOCK_BITS	7
#define LANES		16			/* float32 values of a register */

/* A number for each row of a block. */
typedef struct Numbers
{
	__m512i		low;
	__m512i		high;
} Numbers;

/* A tree, ready to be compared with a block. */
typedef struct BlockTree
{
	uint32_t	planes[PLAN_NODES]; /* where the plane of a node begins */
	uint32_t	cuts[PLAN_NODES];	/* four times the same byte */
} BlockTree;

/* ---- ranks ---- */

/* How many of 16 cuts are <= value. */
TARGET static ALWAYS_INLINE uint32_t
count_cuts(__m512 value, __m512 cuts)
{
	return _mm_popcnt_u32(_mm512_cmp_ps_mask(value, cuts, _CMP_GE_OQ));
}

/* The rows among 64 whose value is missing. */
TARGET static ALWAYS_INLINE uint64_t
find_missing(const float *values, __m512 declared)
{
	uint64_t	missing = 0;
	uint32_t	i;

#pragma GCC unroll 4
	for (i = 0; i < 64; i += LANES)
	{
		__m512		some = _mm512_load_ps(values + i);

		missing |= (uint64_t) (_mm512_cmp_ps_mask(some, some, _CMP_UNORD_Q) |
							   _mm512_cmp_ps_mask(some, declared, _CMP_EQ_OQ)) << i;
	}
	return missing;
}

/* Rank one feature of all rows by the cuts of one slot. */
TARGET static ALWAYS_INLINE void
rank_column(const float *column, size_t stride, uint32_t num_rows, const float *cuts, bool is_short,
			float *values, int8_t *ranks)
{
	__m512		first = _mm512_load_ps(cuts);
	uint32_t	i;

#pragma GCC unroll 4
	for (i = 0; i < num_rows; i++)
	{
		__m512		value = _mm512_set1_ps(column[i * stride]);
		uint32_t	rank = count_cuts(value, first);

		if (!is_short)
		{
			rank *= PLAN_BLOCK;
			rank += count_cuts(value, _mm512_load_ps(cuts + PLAN_BLOCK + rank));
		}
		values[i] = column[i * stride];
		ranks[i] = rank + PLAN_LEAST;
	}
}

/* Write the planes of a block; rows past its end have any ranks. */
TARGET static void
rank_block(const Forest *forest, const float *rows, uint32_t num_rows, int8_t *planes)
{
	const ForestPlan *plan = forest->plan;
	const uint32_t *features = PLAN_SECTION(plan, uint32_t, features);
	const uint32_t *blocks = PLAN_SECTION(plan, uint32_t, blocks);
	const float *cuts = PLAN_SECTION(plan, float, cuts);
	__m512		declared = _mm512_set1_ps(forest->header->missing);
	float		values[BLOCK] __attribute__((aligned(64))) = {0};
	int8_t		ranks[BLOCK] __attribute__((aligned(64))) = {0};
	uint32_t	slot;
	uint32_t	i;

	for (slot = 0; slot < plan->num_slots; slot++)
	{
		const float *column = rows + features[slot];
		int8_t	   *left = planes + (size_t) slot * BLOCK;
		int8_t	   *right = left + PLAN_MAX_SLOTS * BLOCK;

		if (slot < plan->num_short)
			rank_column(column, forest->header->num_features, num_rows,
						cuts + blocks[slot] * PLAN_BLOCK, true, values, ranks);
		else
			rank_column(column, forest->header->num_features, num_rows,
						cuts + blocks[slot] * PLAN_BLOCK, false, values, ranks);
		for (i = 0; i < BLOCK; i += 64)
		{
			__m512i		some = _mm512_load_si512(ranks + i);
			uint64_t	missing = find_missing(values + i, declared);

			_mm512_store_si512(left + i, _mm512_mask_mov_epi8(some, missing,
															  _mm512_set1_epi8(PLAN_LEAST)));
			_mm512_store_si512(right + i, _mm512_mask_mov_epi8(some, missing,
															   _mm512_set1_epi8(PLAN_MISSING)));
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
	const __m512i four_times = _mm512_setr_epi32(0, 0x01010101, 0x02020202, 0x03030303,
												 0x04040404, 0x05050505, 0x06060606, 0x07070707,
												 0x08080808, 0x09090909, 0x0a0a0a0a, 0x0b0b0b0b,
												 0x0c0c0c0c, 0x0d0d0d0d, 0x0e0e0e0e, 0x0f0f0f0f);
	const PlanTree *source = &group->trees[number];
	__m512i		cuts = _mm512_load_si512(source->cuts);
	uint32_t	i;

#pragma GCC unroll 4
	for (i = 0; i < PLAN_NODES; i += LANES)
	{
		__m512i		slots = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *) (source->slots + i)));
		__mmask16	goes_right = ~(group->missing_left[number] >> i);

		slots = _mm512_mask_add_epi32(slots, goes_right, slots, _mm512_set1_epi32(PLAN_MAX_SLOTS));
		_mm512_store_si512(tree->planes + i, _mm512_slli_epi32(slots, BLOCK_BITS));
		_mm512_store_si512(tree->cuts + i,
						   _mm512_permutexvar_epi8(_mm512_add_epi8(four_times, _mm512_set1_epi8(i)),
												   cuts));
	}
}

/* Let a node choose for each row: the left child's leaf, or the right child's. */
TARGET static ALWAYS_INLINE Numbers
choose(const BlockTree *tree, const int8_t *planes, uint32_t node, Numbers left, Numbers right,
	   uint32_t num_left)
{
	const int8_t *ranks = planes + tree->planes[node];
	__m512i		cut = _mm512_set1_epi32(tree->cuts[node]);
	__m512i		offset = _mm512_set1_epi8(num_left);
	Numbers		numbers;

	numbers.low = _mm512_mask_add_epi8(left.low, _mm512_cmpge_epi8_mask(_mm512_load_si512(ranks), cut),
									   right.low, offset);
	numbers.high = _mm512_mask_add_epi8(left.high,
										_mm512_cmpge_epi8_mask(_mm512_load_si512(ranks + 64), cut),
										right.high, offset);
	return numbers;
}

/* The leaf below a node, of `levels` levels; those one level lower have another function. */
#define DEFINE_SUBTREE(levels, lower) \
TARGET static ALWAYS_INLINE Numbers \
subtree_##levels(const BlockTree *tree, const int8_t *planes, uint32_t node) \
{ \
	Numbers		left = subtree_##lower(tree, planes, 2 * node); \
	Numbers		right = subtree_##lower(tree, planes, 2 * node + 1); \
	\
	return choose(tree, planes, node, left, right, 1 << lower); \
}

TARGET static ALWAYS_INLINE Numbers
subtree_0(const BlockTree *tree, const int8_t *planes, uint32_t node)
{
	Numbers		zero = {_mm512_setzero_si512(), _mm512_setzero_si512()};

	(void) tree;
	(void) planes;
	(void) node;
	return zero;
}

DEFINE_SUBTREE(1, 0)
DEFINE_SUBTREE(2, 1)
DEFINE_SUBTREE(3, 2)
DEFINE_SUBTREE(4, 3)
DEFINE_SUBTREE(5, 4)
DEFINE_SUBTREE(6, 5)

/* Look up the leaves of all rows and add them. */
TARGET static ALWAYS_INLINE void
add_block_leaves(const float *leaves, Numbers numbers, __m512 *sums)
{
	__m512		table0 = _mm512_load_ps(leaves);
	__m512		table1 = _mm512_load_ps(leaves + 16);
	__m512		table2 = _mm512_load_ps(leaves + 32);
	__m512		table3 = _mm512_load_ps(leaves + 48);
	uint8_t		bytes[BLOCK] __attribute__((aligned(64)));
	uint32_t	i;

	_mm512_store_si512(bytes, numbers.low);
	_mm512_store_si512(bytes + 64, numbers.high);
#pragma GCC unroll 8
	for (i = 0; i < BLOCK / LANES; i++)
	{
		__m512i		number = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *) bytes + i));
		__m512		low = _mm512_permutex2var_ps(table0, number, table1);
		__m512		high = _mm512_permutex2var_ps(table2, number, table3);
		__mmask16	upper = _mm512_test_epi32_mask(number, _mm512_set1_epi32(32));

		sums[i] = _mm512_add_ps(sums[i], _mm512_mask_blend_ps(upper, low, high));
	}
}

/* Decide the records that all rows have reached and add their leaves. */
TARGET static ALWAYS_INLINE void
add_block_records(const PlanRecord *records, Numbers numbers, const int8_t *planes, float *sums)
{
	uint8_t		bytes[BLOCK] __attribute__((aligned(64)));
	uint32_t	row;

	_mm512_store_si512(bytes, numbers.low);
	_mm512_store_si512(bytes + 64, numbers.high);
#pragma GCC unroll 4
	for (row = 0; row < BLOCK; row++)
		sums[row] += record_leaf(&records[bytes[row]], planes + row, BLOCK);
}

/* ---- the kernel ---- */

/* All trees of one output from group `first` on, for a block; returns the next group. */
TARGET static ALWAYS_INLINE uint32_t
sum_output(const Forest *forest, uint32_t first, const int8_t *planes, float *sums, bool records)
{
	const ForestPlan *plan = forest->plan;
	const PlanGroup *groups = PLAN_SECTION(plan, PlanGroup, groups);
	const uint32_t *outputs = PLAN_SECTION(plan, uint32_t, outputs);
	uint32_t	output = outputs[first];
	__m512		lanes[BLOCK / LANES];
	BlockTree	tree __attribute__((aligned(64)));
	uint32_t	group;
	uint32_t	i;

	for (i = 0; i < BLOCK / LANES; i++)
		lanes[i] = _mm512_set1_ps(forest->base_margins[output]);
	for (group = first; group < plan->num_groups && outputs[group] == output; group++)
		for (i = 0; i < PLAN_GROUP; i++)
		{
			size_t		leaf = ((size_t) group * PLAN_GROUP + i) * PLAN_NODES;
			const PlanRecord *record = PLAN_SECTION(plan, PlanRecord, leaves) + leaf;
			Numbers		numbers;

			if (records)
				prefetch_tree(record + PLAN_NODES);
			prepare_tree(&groups[group], i, &tree);
			numbers = subtree_6(&tree, planes, 1);
			if (records)
				add_block_records(record, numbers, planes, (float *) lanes);
			else
				add_block_leaves(PLAN_SECTION(plan, float, leaves) + leaf, numbers, lanes);
		}
	for (i = 0; i < BLOCK / LANES; i++)
		_mm512_store_ps(sums + i * LANES, lanes[i]);
	return group;
}

TARGET static ALWAYS_INLINE void
block_margins(const Forest *forest, const float *rows, uint32_t num_rows, void *scratch,
			  float *margins, bool records)
{
	const ForestPlan *plan = forest->plan;
	const uint32_t *outputs = PLAN_SECTION(plan, uint32_t, outputs);
	uint32_t	num_outputs = forest->header->num_outputs;
	float		sums[BLOCK] __attribute__((aligned(64)));
	uint32_t	group = 0;
	uint32_t	row;

	rank_block(forest, rows, num_rows, scratch);
	while (group < plan->num_groups)
	{
		uint32_t	output = outputs[group];

		group = sum_output(forest, group, scratch, sums, records);
		for (row = 0; row < num_rows; row++)
			margins[(size_t) row * num_outputs + output] = sums[row];
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
avx512_batch_kernel(const ForestPlan *plan)
{
	if (plan->kind == PLAN_STARTS || plan->num_categorical > 0)
		return NULL;
	return plan->kind == PLAN_RECORDS ? records_block : leaves_block;
}

#endif							/* HAVE_X86_KERNELS */
