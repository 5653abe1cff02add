/*
 * batch_block.h
 *		Many rows at once, by ranks (plan.h): what the kernels for all widths of
 *		vectors have in common.  Each includes it after it has defined
 *			BATCH_KERNEL	its name (kernel.h)
 *			TARGET			what the processor needs
 *			Lanes			a vector of bytes, one for each of LANES rows
 *			count_cuts()	how many of 16 cuts are <= a value
 *			count_all()		the same for all values of a block, in as many cuts
 *			Cuts			those of a tree, in the form that nodes load
 *			prepare_twigs()	a tree's cuts, and where the planes of its nodes begin
 *			number_leaves()	in which leaves of a tree STRIP rows end
 *			LEAF_STEP		between the numbers of a branch's first leaf and the next one's
 *			add_block_leaves()	look up leaves of all rows and add them
 *
 * Rows are taken in blocks of up to 256.  A block's ranks are turned into planes: for
 * each slot the bytes of all rows, once for nodes at which missing values go left and
 * once for the others.  A tree is then made ready and evaluated for a strip at a time, as
 * many rows as two vectors hold.  No row is ever moved, so the cost of a node does not depend
 * on where rows go.
 *
 * Leaves are looked up and added in tree order.  Records are
 * decided row by row, while those of one tree are at hand; where a tree goes on below, all rows
 * are walked to its leaves.  What categories say of 8 trees is found row by row, in words with
 * a bit for each node, and turned into planes by node.
 */

#include <string.h>

#include "layout.h"

#define BLOCK	KERNEL_BLOCK
#define PARTS	(PLAN_GROUP * 8 / LANES)	/* vectors that hold a word for each tree of a group */

/* A block of rows and its scratch space. */
typedef struct Block
{
	const Forest *forest;
	uint32_t	num_rows;
	uint32_t	num_filled;		/* of whole strips */
	BlockLayout layout;
	char	   *scratch;
	float	   *margins;
} Block;

typedef uint64_t Longs __attribute__((vector_size(LANES)));

/* A tree, ready to be compared with a block. */
typedef struct BlockTree
{
	uint32_t	planes[PLAN_PLACES]; /* where the plane of a place's node begins */
	Cuts		cuts;
} BlockTree;

/* ---- ranks ---- */

/* The values of a feature, and the line of memory that comes next in each row. */
static ALWAYS_INLINE void
gather(const float *column, size_t stride, uint32_t num_rows, float *values)
{
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < num_rows; i++)
	{
		values[i] = column[i * stride];
		__builtin_prefetch(&column[i * stride + PLAN_ALIGNMENT / sizeof(float)]);
	}
}

/* Go on from pivots to the blocks that they tell. */
TARGET static ALWAYS_INLINE void
count_on(const float *values, const float *blocks, int32_t *counts)
{
	uint32_t	i;

#pragma GCC unroll 4
	for (i = 0; i < BLOCK; i++)
	{
		counts[i] *= PLAN_BLOCK;
		counts[i] += count_cuts(values[i], blocks + counts[i]);
	}
}

/* Write the planes of a block; rows past its end have any ranks. */
TARGET static void
rank_block(const Forest *forest, const float *rows, uint32_t num_rows, int8_t *planes)
{
	const ForestPlan *plan = forest->plan;
	const uint32_t *features = PLAN_SECTION(plan, uint32_t, features);
	const uint32_t *blocks = PLAN_SECTION(plan, uint32_t, blocks);
	float		declared = forest->header->missing;
	float		values[BLOCK] __attribute__((aligned(64))) = {0};
	int32_t		counts[BLOCK] __attribute__((aligned(64)));
	uint32_t	slot;
	uint32_t	i;

	/* nodes that compare nothing have slot 0, if there are others or not */
	memset(planes, PLAN_LEAST, BLOCK);
	for (slot = 0; slot < plan->num_slots; slot++)
	{
		const float *cuts = PLAN_SECTION(plan, float, cuts) + blocks[slot] * PLAN_BLOCK;
		int8_t	   *restrict left = planes + (size_t) slot * BLOCK;
		int8_t	   *restrict right = left + (size_t) plan_num_twins(plan) * BLOCK;

		gather(rows + features[slot], forest->header->num_features, num_rows, values);
		count_all(values, cuts, counts);
		if (slot >= plan->num_short)
			count_on(values, cuts + PLAN_BLOCK, counts);
		for (i = 0; i < BLOCK; i++)
		{
			bool		missing = (values[i] != values[i]) | (values[i] == declared);

			right[i] = missing ? PLAN_MISSING : counts[i] + PLAN_LEAST;
			left[i] = right[i] + 1;
		}
	}
}

/* ---- trees ---- */

/*
 * Make a tree ready: its nodes' planes and cuts in the form that nodes load.
 * Not inlined, or the compiler takes them out of registers, which costs more.
 */
TARGET static __attribute__((noinline)) void
prepare_tree(const ForestPlan *plan, size_t number, BlockTree *restrict tree)
{
	const PlanTops *tops = PLAN_SECTION(plan, PlanTops, tops) + number / PLAN_GROUP;
	size_t		twig_size = plan_twig_size(plan->kind);
	const char *twigs = PLAN_SECTION(plan, char, twigs) + number * PLAN_TWIG * twig_size;
	const uint8_t *high_slots = plan_is_wide(plan) ?
		PLAN_SECTION(plan, uint8_t, high_slots) + number * PLAN_PLACES : NULL;

	prepare_twigs(tops->slots[number % PLAN_GROUP], tops->cuts[number % PLAN_GROUP], twigs, twig_size,
				  high_slots, plan_num_twins(plan), tree->planes, &tree->cuts);
}

/* ---- categories ---- */

/* Make the bytes of 8 rows' words those of 8 words' rows, for some trees at once. */
TARGET static ALWAYS_INLINE void
transpose(Longs *words)
{
	uint32_t	width;
	uint32_t	k;

#pragma GCC unroll 3
	for (width = 1; width < 8; width *= 2)
	{
		uint64_t	mask = UINT64_MAX / ((UINT64_C(1) << 8 * width) + 1);	/* every other `width` bytes */

#pragma GCC unroll 8
		for (k = 0; k < 8; k++)
			if ((k & width) == 0)
			{
				Longs		swap = ((words[k] >> 8 * width) ^ words[k + width]) & mask;

				words[k] ^= swap << 8 * width;
				words[k + width] ^= swap;
			}
	}
}

/* The words of a group (PlanCategories) for 8 rows; places: of the first of them.  Those past
 * the block's end have any places, and so some word of the tables. */
TARGET static ALWAYS_INLINE void
add_words(const ForestPlan *plan, uint32_t group, const uint32_t *places, Longs (*words)[8])
{
	const uint32_t *begins = PLAN_SECTION(plan, uint32_t, category_begins);
	const PlanCategories *categories = PLAN_SECTION(plan, PlanCategories, categories);
	uint32_t	i;
	uint32_t	k;
	uint32_t	part;

#pragma GCC unroll 8
	for (part = 0; part < PARTS; part++)
#pragma GCC unroll 8
		for (k = 0; k < 8; k++)
			words[part][k] = (Longs) {0};
	for (i = begins[group]; i < begins[group + 1]; i++)
#pragma GCC unroll 8
		for (k = 0; k < 8; k++)
		{
			const Longs *some = (const Longs *)
				category_words(plan, &categories[i], places + (size_t) k * plan->num_categorical);

#pragma GCC unroll 8
			for (part = 0; part < PARTS; part++)
				words[part][k] |= some[part];
		}
}

/*
 * What its words say of all rows, by tree and byte; asked: for each tree the nodes that send
 * any row right.
 */
TARGET static void
find_words(const Block *block, uint32_t group, Longs *asked)
{
	const ForestPlan *plan = block->forest->plan;
	const uint32_t *places = (const uint32_t *) (block->scratch + block->layout.places);
	uint8_t    *bytes = (uint8_t *) (block->scratch + block->layout.words);
	uint32_t	row;
	uint32_t	part;
	uint32_t	i;
	uint32_t	k;

	memset(asked, 0, PARTS * sizeof(*asked));
	for (row = 0; row < block->num_rows; row += 8)
	{
		Longs		words[PARTS][8];

		add_words(plan, group, places + (size_t) row * plan->num_categorical, words);
		for (part = 0; part < PARTS; part++)
		{
			uint8_t    *into = bytes + part * LANES * BLOCK + row;

			for (k = 0; k < 8; k++)
				asked[part] |= words[part][k];
			transpose(words[part]);
			for (k = 0; k < 8; k++)
				for (i = 0; i < LANES / 8; i++)
					memcpy(into + (i * 8 + k) * BLOCK, (const uint64_t *) &words[part][k] + i,
						   sizeof(uint64_t));
		}
	}
}

/*
 * Give the nodes of a group's tree that are asked for categories planes of their own, in which a
 * row is missing where it goes right.  Without, a node sends none right.
 */
TARGET static void
place_sets(const Block *block, uint32_t number, uint64_t asked, BlockTree *tree)
{
	const uint8_t *words = (const uint8_t *) block->scratch + block->layout.words + number * 8 * BLOCK;
	uint32_t	i;

	for (; asked != 0; asked &= asked - 1)
	{
		uint32_t	node = __builtin_ctzll(asked);
		uint32_t	plane = block->layout.sets + node * BLOCK;
		const uint8_t *bytes = words + node / 8 * BLOCK;
		int8_t	   *restrict ranks = (int8_t *) block->scratch + plane;
		uint8_t		bit = 1 << node % 8;

		for (i = 0; i < BLOCK; i++)
			ranks[i] = (bytes[i] & bit) != 0 ? PLAN_MISSING : PLAN_LEAST;
		tree->planes[plan_place_of_bit(node)] = plane;
	}
}

/* ---- leaves ---- */

/* Fetch all records of a tree, before a block of rows needs them. */
static ALWAYS_INLINE void
prefetch_tree(const PlanRecord *records)
{
	uint32_t	i;

	for (i = 0; i < PLAN_NODES; i += PLAN_ALIGNMENT / sizeof(PlanRecord))
		__builtin_prefetch(&records[i]);
}

/* Decide the records that all rows have reached and add their leaves. */
TARGET static ALWAYS_INLINE void
add_records(const PlanRecord *records, uint8_t *numbers, uint32_t num_rows, const int8_t *planes,
			float *sums)
{
	uint32_t	row;

	for (row = 0; row < num_rows; row++)
		numbers[row] = numbers[row] / LEAF_STEP * PLAN_TWIG + numbers[row] % LEAF_STEP;
#pragma GCC unroll 4
	for (row = 0; row < num_rows; row++)
		sums[row] += record_leaf(&records[numbers[row]], planes + row, BLOCK);
}

/* Note where all rows' walks go on, and walk them. */
TARGET static ALWAYS_INLINE void
walk_tree(const Forest *forest, uint32_t number, const PlanBranch *branches, const uint8_t *numbers,
		  const uint32_t *slots, uint32_t num_rows, float *margins)
{
	uint32_t	at[BLOCK];
	uint32_t	row;

	if (number >= forest->header->num_trees)
		return;
	for (row = 0; row < num_rows; row++)
		at[row] = branches[numbers[row] / LEAF_STEP].below.starts[numbers[row] % LEAF_STEP];
	walk_block_on(forest, number, slots, num_rows, at, margins);
}

/* ---- the kernel ---- */

/* All that is known of the rows before the first tree. */
TARGET static void
open_block(const Block *block, const float *rows)
{
	const ForestHeader *header = block->forest->header;
	const ForestPlan *plan = block->forest->plan;
	uint32_t   *places = (uint32_t *) (block->scratch + block->layout.places);
	uint32_t   *slots = (uint32_t *) (block->scratch + block->layout.slots);
	uint32_t	i;

	rank_block(block->forest, rows, block->num_rows, (int8_t *) block->scratch);
	for (i = 0; i < block->num_rows && plan->num_categorical > 0; i++)
		find_categories(block->forest, rows + (size_t) i * header->num_features,
						places + (size_t) i * plan->num_categorical);
	for (i = 0; i < block->num_rows && header->max_depth > PLAN_LEVELS && plan->kind == PLAN_STARTS; i++)
		forest_fill_slots(block->forest, rows + (size_t) i * header->num_features,
						  slots + (size_t) i * header->num_slots);
}

/* Add the leaves of a tree to all rows' sums, or margins where they are walked to. */
TARGET static ALWAYS_INLINE void
add_tree(const Block *block, uint32_t number, const BlockTree *tree, float *sums, PlanLeaves kind)
{
	const ForestPlan *plan = block->forest->plan;
	const int8_t *planes = (const int8_t *) block->scratch;
	const PlanRecord *records = PLAN_SECTION(plan, PlanRecord, records) + (size_t) number * PLAN_NODES;
	const PlanBranch *branches = PLAN_SECTION(plan, PlanBranch, twigs) + (size_t) number * PLAN_TWIG;
	uint8_t		numbers[BLOCK] __attribute__((aligned(64)));
	uint32_t	row;

	if (kind == PLAN_RECORDS)
		prefetch_tree(records + PLAN_NODES);
	for (row = 0; row < block->num_filled; row += STRIP)
		number_leaves(tree->planes, &tree->cuts, planes + row, numbers + row);
	if (kind == PLAN_RECORDS)
		add_records(records, numbers, block->num_filled, planes, sums);
	else if (kind == PLAN_LEAVES)
		add_block_leaves(branches, numbers, block->num_filled, sums);
	else
		walk_tree(block->forest, number, branches, numbers,
				  (const uint32_t *) (block->scratch + block->layout.slots), block->num_rows,
				  block->margins);
}

TARGET static ALWAYS_INLINE void
add_trees(const Block *block, PlanLeaves kind)
{
	const Forest *forest = block->forest;
	const ForestPlan *plan = forest->plan;
	const uint32_t *outputs = PLAN_SECTION(plan, uint32_t, outputs);
	uint32_t	num_outputs = forest->header->num_outputs;
	Longs		asked[PARTS];
	float		sums[BLOCK] __attribute__((aligned(64)));
	BlockTree	tree __attribute__((aligned(64)));
	uint32_t	group;
	uint32_t	i;

	for (group = 0; group < plan->num_groups; group++)
	{
		uint32_t	output = outputs[group];

		if (kind != PLAN_STARTS && (group == 0 || outputs[group - 1] != output))
			for (i = 0; i < BLOCK; i++)
				sums[i] = forest->base_margins[output];
		if (plan->num_categorical > 0)
			find_words(block, group, asked);
		for (i = 0; i < PLAN_GROUP; i++)
		{
			uint32_t	number = group * PLAN_GROUP + i;

			prepare_tree(plan, number, &tree);
			if (plan->num_categorical > 0)
				place_sets(block, i, ((const uint64_t *) asked)[i], &tree);
			add_tree(block, number, &tree, sums, kind);
		}
		if (kind != PLAN_STARTS && (group + 1 == plan->num_groups || outputs[group + 1] != output))
			for (i = 0; i < block->num_rows; i++)
				block->margins[(size_t) i * num_outputs + output] = sums[i];
	}
}

#define DEFINE_KERNEL(name, kind) \
TARGET static void \
name(const Forest *forest, const float *rows, uint32_t num_rows, void *scratch, float *margins) \
{ \
	Block		block = {forest, num_rows, (num_rows + STRIP - 1) / STRIP * STRIP, block_layout(forest), scratch, margins}; \
	\
	open_block(&block, rows); \
	add_trees(&block, kind); \
}

DEFINE_KERNEL(leaves_block, PLAN_LEAVES)
DEFINE_KERNEL(records_block, PLAN_RECORDS)
DEFINE_KERNEL(starts_block, PLAN_STARTS)

BatchKernel
BATCH_KERNEL(const ForestPlan *plan)
{
	static const BatchKernel kernels[] = {leaves_block, records_block, starts_block};

	return kernels[plan->kind];
}
