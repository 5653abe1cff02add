/*
 * keys.c
 *		The kernel of keys: forests of numeric splits up to depth 8 and any number of
 *		slots, on any processor; what it needs of a plan, and one row scored with it.
 *
 * A key is a float as a whole number of the same order: key(x) < key(c) is x < c,
 * exactly.  No key of a number is 0 or the highest; these two are missing values
 * that go left and right.  So a row needs one operation for each slot, no search.
 *
 * A node is one word: the key of its cut less 1, above its slot.  A row has for each
 * slot a word with the key above zeros.  The row goes right where the node's
 * word is the lower one: that is so if key(x) > key(cut) - 1, whatever the slot.
 * The word 0, which is that of nodes below a leaf, is below none, since slot 0 is 0.
 *
 * Trees are filled up to one depth, node 1 is the root and the children of k are 2k and
 * 2k + 1: so a step is two loads, one comparison and one addition with its carry.
 * What takes time then is that cache lines come from far, and that a step waits
 * for the one before.  So the last three levels of a subtree stand together with its
 * leaves, which makes a path of depth 6 three lines, and LANES trees are walked at once.
 */
#include <string.h>

#include "kernel.h"
#include "layout.h"
#include "pure.h"

#define LANES			16		/* trees walked at once */
#define LEVELS			3		/* of a block */
#define MAX_TOP_LEVELS	5		/* above the blocks */
#define LEAST_DEPTH		2		/* trees of one split are not worth it */

/* A subtree of three levels, and its leaves. */
typedef struct KeyBlock
{
	uint64_t	nodes[1 << LEVELS]; /* node 0 unused */
	float		leaves[1 << LEVELS];
} KeyBlock;

/* A tree: its upper levels, uint64_t [1 << top_levels], and as many blocks. */
static ALWAYS_INLINE size_t
tree_size(uint32_t top_levels)
{
	return (sizeof(uint64_t) + sizeof(KeyBlock)) << top_levels;
}

static uint32_t
top_levels_of(const Forest *forest)
{
	uint32_t	depth = forest->header->max_depth;

	return depth > LEVELS ? depth - LEVELS : 0;
}

/* The key of a number. */
static ALWAYS_INLINE uint32_t
key_of(float value)
{
	uint32_t	bits;

	value += 0.0f;				/* -0 and 0 are equal */
	memcpy(&bits, &value, sizeof(bits));
	return bits ^ ((uint32_t) ((int32_t) bits >> 31) | UINT32_C(0x80000000));
}

/* ---- what the plan has of it ---- */

/* See plan.h. */
uint64_t
keys_size(const Forest *forest)
{
	const ForestHeader *header = forest->header;

	if (header->kind != FOREST_TREES || header->num_leaf_vectors > 0 ||
		forest->first_categorical < header->num_slots ||
		header->max_depth < LEAST_DEPTH || header->max_depth > MAX_TOP_LEVELS + LEVELS)
		return 0;
	return header->num_trees * (uint64_t) tree_size(top_levels_of(forest));
}

/* The word of an inner node of the image. */
static uint64_t
word_of(const Forest *forest, const ForestNode *node)
{
	return (uint64_t) (key_of(node->value.cut) - 1) << 32 | forest_slot_of_node(forest, node);
}

/*
 * Write what is below node `at` of the image into a block, as its node `number`.
 * A leaf above the last level is the leaf of all places below it.
 */
static void
write_block(const Forest *forest, KeyBlock *block, uint32_t at, uint32_t number)
{
	const ForestNode *node = &forest->nodes[at];
	uint32_t	child = at + (node->step >> forest->header->slot_bits);

	if (number >= 1 << LEVELS)
	{
		block->leaves[number - (1 << LEVELS)] = node->value.cut;
		return;
	}
	if (node->step != 0)
		block->nodes[number] = word_of(forest, node);
	write_block(forest, block, child, 2 * number);
	write_block(forest, block, child + (node->step != 0), 2 * number + 1);
}

/* The same for the upper levels of a tree, and its blocks. */
static void
write_tree(const Forest *forest, uint64_t *tree, uint32_t at, uint32_t number)
{
	const ForestNode *node = &forest->nodes[at];
	uint32_t	num_blocks = 1 << top_levels_of(forest);
	uint32_t	child = at + (node->step >> forest->header->slot_bits);

	if (number >= num_blocks)
	{
		write_block(forest, (KeyBlock *) (tree + num_blocks) + number - num_blocks, at, 1);
		return;
	}
	if (node->step != 0)
		tree[number] = word_of(forest, node);
	write_tree(forest, tree, child, 2 * number);
	write_tree(forest, tree, child + (node->step != 0), 2 * number + 1);
}

/* See plan.h. */
void
keys_write(const Forest *forest, void *keys)
{
	size_t		size = tree_size(top_levels_of(forest));
	uint32_t	i;

	for (i = 0; i < forest->header->num_trees; i++)
		write_tree(forest, (uint64_t *) ((char *) keys + i * size), forest->trees[i].root, 1);
}

/* ---- a row ---- */

/* The words of a row, [num_slots]. */
static __attribute__((noinline)) void
fill_words(const Forest *forest, const float *row, uint64_t *words)
{
	const ForestSlot *slots = forest->slots;
	float		declared = forest->header->missing;
	uint32_t	num_slots = forest->header->num_slots;
	uint32_t	i;

	words[0] = 0;
	for (i = 1; i < num_slots; i++)
	{
		float		value = row[slots[i].feature];
		uint32_t	missing = -(uint32_t) ((value != value) | (value == declared));
		uint32_t	goes_right = slots[i].flags / FOREST_SLOT_MISSING_LEFT - 1;

		words[i] = (uint64_t) ((missing & goes_right) | (~missing & key_of(value))) << 32;
	}
}

/* The child of a node. */
static ALWAYS_INLINE uint64_t
step(uint64_t number, uint64_t node, const uint64_t *words)
{
#ifdef HAVE_X86_KERNELS
	/* compilers do not see that the comparison's carry can be added at once: a tenth less time */
	__asm__("cmpq %2, %1\n\tadcq %0, %0"
			: "+r" (number) : "r" (node), "m" (words[(uint32_t) node]) : "cc");
	return number;
#else
	return number + number + (node < words[(uint32_t) node]);
#endif
}

/* Walk `count` trees to their leaves; count and top_levels are constants. */
static ALWAYS_INLINE void
walk_trees(const uint64_t *trees, uint32_t count, uint32_t top_levels, const uint64_t *words,
		   const float **leaves)
{
	const size_t stride = tree_size(top_levels) / sizeof(uint64_t);
	const KeyBlock *blocks[LANES];
	uint64_t	at[LANES];
	uint32_t	level;
	uint32_t	lane;

#pragma GCC unroll 16
	for (lane = 0; lane < count; lane++)
		at[lane] = 1;
#pragma GCC unroll 8
	for (level = 0; level < top_levels; level++)
#pragma GCC unroll 16
		for (lane = 0; lane < count; lane++)
			at[lane] = step(at[lane], trees[lane * stride + at[lane]], words);
#pragma GCC unroll 16
	for (lane = 0; lane < count; lane++)
	{
		blocks[lane] = (const KeyBlock *) (trees + lane * stride + (1 << top_levels)) +
			at[lane] - (1 << top_levels);
		if (top_levels > LEVELS)	/* large forests, of which the second cache has not all */
			__builtin_prefetch(blocks[lane]->leaves);
		at[lane] = 1;
	}
#pragma GCC unroll 8
	for (level = 0; level < LEVELS; level++)
#pragma GCC unroll 16
		for (lane = 0; lane < count; lane++)
			at[lane] = step(at[lane], blocks[lane]->nodes[at[lane]], words);
#pragma GCC unroll 16
	for (lane = 0; lane < count; lane++)
		leaves[lane] = &blocks[lane]->leaves[at[lane] - (1 << LEVELS)];
}

/* Add the leaves of trees in their order. */
static ALWAYS_INLINE void
add_leaves(const Forest *forest, uint32_t first, uint32_t count, const float *const *leaves,
		   float *margins)
{
	const ForestTree *trees = &forest->trees[first];
	float		sum = margins[0];	/* of a single output, kept in a register */
	uint32_t	lane;

	if (forest->header->num_outputs > 1)
	{
		for (lane = 0; lane < count; lane++)
			margins[trees[lane].output] += *leaves[lane];
		return;
	}
#pragma GCC unroll 16
	for (lane = 0; lane < count; lane++)
		sum += *leaves[lane];
	margins[0] = sum;
}

/* The body of them all; top_levels is a constant. */
static ALWAYS_INLINE void
add_forest(const Forest *forest, const float *row, void *scratch, float *margins, uint32_t top_levels)
{
	const uint64_t *trees = PLAN_SECTION(forest->plan, uint64_t, keys);
	size_t		stride = tree_size(top_levels) / sizeof(uint64_t);
	uint32_t	num_trees = forest->header->num_trees;
	const float *leaves[LANES];
	uint32_t	i;

	fill_words(forest, row, scratch);
	for (i = 0; num_trees - i >= LANES; i += LANES)
	{
		walk_trees(trees + i * stride, LANES, top_levels, scratch, leaves);
		add_leaves(forest, i, LANES, leaves, margins);
	}
	for (; i < num_trees; i++)
	{
		walk_trees(trees + i * stride, 1, top_levels, scratch, leaves);
		add_leaves(forest, i, 1, leaves, margins);
	}
}

#define DEFINE_KERNEL(depth, top_levels) \
static void \
depth_##depth(const Forest *forest, const float *row, void *scratch, float *margins) \
{ \
	add_forest(forest, row, scratch, margins, top_levels); \
}

DEFINE_KERNEL(3, 0)
DEFINE_KERNEL(4, 1)
DEFINE_KERNEL(5, 2)
DEFINE_KERNEL(6, 3)
DEFINE_KERNEL(7, 4)
DEFINE_KERNEL(8, 5)

/* See kernel.h. */
RowKernel
keys_kernel(const Forest *forest)
{
	static const RowKernel kernels[MAX_TOP_LEVELS + 1] = {
		depth_3, depth_4, depth_5, depth_6, depth_7, depth_8
	};

	if (forest->plan == NULL || forest->plan->keys == 0)
		return NULL;
	return kernels[top_levels_of(forest)];
}
