/*
 * walk.c
 *		The kernel for all forests of trees and all processors: fill the slots
 *		from a row, walk all trees, add up their leaves in tree order in float32.
 *
 * The walk is bound by latency, not by work: a step is a few instructions, but
 * each waits for the one before.  So it walks LANES trees at once, which
 * are independent, and does not branch on where a row goes (a mispredicted branch
 * costs more than a step).  All lanes take as many steps as the deepest tree
 * of the block needs, 8 at most; those that reach their leaf early stay on it.
 * Deeper paths of all trees are then walked to their ends together.
 *
 * The body is specialised by constant arguments for what a forest has: numeric
 * splits only or categories too, and one output, many outputs or vector leaves;
 * and for where it begins: at the roots, or where a kernel of ranks has come to.
 */
#include <string.h>

#include "kernel.h"
#include "layout.h"
#include "pure.h"

#define LANES			16		/* trees walked at once */
#define LANE_STEPS		8		/* before asking which are at leaves */
#define BLOCK_STEPS		3		/* of a block of rows, likewise */

#define BITS_INFINITY	UINT32_C(0x7f800000)
#define BITS_SIGN		UINT32_C(0x80000000)

/* What a forest's leaves are. */
typedef enum LeafKind
{
	LEAF_SINGLE,				/* values of one output */
	LEAF_MULTI,					/* values, of the tree's output */
	LEAF_VECTOR					/* a value for each output */
} LeafKind;

/* What a walk needs, in registers. */
typedef struct Walk
{
	const ForestNode *nodes;
	const uint32_t *slots;
	const uint32_t *category_sets;
	uint32_t	slot_bits;
	uint32_t	slot_mask;
	uint32_t	first_categorical;
} Walk;

static ALWAYS_INLINE float
float_of_bits(uint32_t bits)
{
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static ALWAYS_INLINE uint32_t
bits_of_float(float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* ---- slots ---- */

/* The value of a row as a bit number; see forest.h. */
static uint32_t
category_bit(float value, bool missing, bool missing_left)
{
	if (missing)
		return missing_left ? UINT32_MAX : 0;
	if (value < 0.0f || value >= (float) FOREST_MAX_CATEGORY)
		return UINT32_MAX;
	return (uint32_t) value + 1;
}

/* Only features that some node uses are read. */
void
forest_fill_slots(const Forest *forest, const float *row, uint32_t *slots)
{
	const ForestSlot *kinds = forest->slots;
	float		declared = forest->header->missing;
	uint32_t	i;

	slots[0] = BITS_SIGN | BITS_INFINITY;
	for (i = 1; i < forest->first_categorical; i++)
	{
		float		value = row[kinds[i].feature];
		uint32_t	missing = -(uint32_t) ((value != value) | (value == declared));
		uint32_t	sign = kinds[i].flags / FOREST_SLOT_MISSING_LEFT * BITS_SIGN;

		slots[i] = (missing & (sign | BITS_INFINITY)) | (~missing & bits_of_float(value));
	}
	for (; i < forest->header->num_slots; i++)
	{
		float		value = row[kinds[i].feature];

		slots[i] = category_bit(value, value != value || value == declared,
								kinds[i].flags & FOREST_SLOT_MISSING_LEFT);
	}
}

/* ---- walks ---- */

/*
 * The node after `at`; a leaf is its own.  Whether a split is categorical is the
 * one branch: looking into some set at every split takes a third longer.
 */
static ALWAYS_INLINE uint32_t
next_node(const Walk *walk, uint32_t at, uint32_t step, bool categories)
{
	const ForestNode *node = &walk->nodes[at];
	uint32_t	slot = step & walk->slot_mask;
	uint32_t	value = walk->slots[slot];
	uint32_t	right = !(float_of_bits(value) < node->value.cut);

	if (categories && slot >= walk->first_categorical)
		right = forest_in_set(walk->category_sets + node->value.set, value);
	return at + (step >> walk->slot_bits) + right;
}

/*
 * One step in all lanes.  Unrolled when count is a constant, also at -O2: that
 * saves a fifth.
 */
static ALWAYS_INLINE void
step_lanes(const Walk *walk, uint32_t *at, uint32_t count, bool categories)
{
	uint32_t	lane;

#pragma GCC unroll 16
	for (lane = 0; lane < count; lane++)
		at[lane] = next_node(walk, at[lane], walk->nodes[at[lane]].step, categories);
}

/* Walk some trees from their roots, as far as the deepest goes, but only so many steps. */
static ALWAYS_INLINE void
walk_trees(const Walk *walk, const ForestTree *trees, uint32_t count, bool categories, uint32_t *at)
{
	uint32_t	depth = 0;
	uint32_t	lane;

	for (lane = 0; lane < count; lane++)
	{
		at[lane] = trees[lane].root;
		if (depth < trees[lane].depth)
			depth = trees[lane].depth;
	}
	if (depth > LANE_STEPS)
		depth = LANE_STEPS;
	while (depth-- > 0)
		step_lanes(walk, at, count, categories);
}

/*
 * Walk on from at[] until all trees are at their leaves.  The trees that are not
 * are kept in a list, from which each round drops those that have come to
 * their end; so few deep paths do not make all others wait.
 */
static ALWAYS_INLINE void
finish_trees(const Walk *walk, uint32_t num_trees, bool categories, uint32_t *at, uint32_t *list)
{
	uint32_t	count = 0;
	uint32_t	kept;
	uint32_t	i;

	for (i = 0; i < num_trees; i++)
	{
		list[count] = i;
		count += walk->nodes[at[i]].step != 0;
	}
	for (; count > 0; count = kept)
		for (kept = 0, i = 0; i < count; i++)
		{
			uint32_t	tree = list[i];
			uint32_t	next = next_node(walk, at[tree], walk->nodes[at[tree]].step, categories);

			at[tree] = next;
			list[kept] = tree;
			kept += walk->nodes[next].step != 0;
		}
}

/* Add the leaves of some trees to the margins, in tree order. */
static ALWAYS_INLINE void
add_leaves(const Forest *forest, const ForestTree *trees, const uint32_t *at,
		   uint32_t count, LeafKind kind, float *margins)
{
	uint32_t	num_outputs = kind == LEAF_VECTOR ? forest->header->num_outputs : 1;
	float		sum = margins[0];	/* of a single output, kept in a register */
	uint32_t	lane;
	uint32_t	i;

	for (lane = 0; lane < count; lane++)
	{
		const ForestNode *leaf = &forest->nodes[at[lane]];

		if (kind == LEAF_SINGLE)
			sum += leaf->value.cut;
		else if (kind == LEAF_MULTI)
			margins[trees[lane].output] += leaf->value.cut;
		else
			for (i = 0; i < num_outputs; i++)
				margins[i] += forest->leaf_vectors[(size_t) leaf->value.vector * num_outputs + i];
	}
	if (kind == LEAF_SINGLE)
		margins[0] = sum;
}

/* What a walk needs; the slots of a row may come later. */
static ALWAYS_INLINE Walk
make_walk(const Forest *forest, const uint32_t *slots)
{
	Walk		walk;

	walk.nodes = forest->nodes;
	walk.slots = slots;
	walk.category_sets = forest->category_sets;
	walk.slot_bits = forest->header->slot_bits;
	walk.slot_mask = (UINT32_C(1) << forest->header->slot_bits) - 1;
	walk.first_categorical = forest->first_categorical;
	return walk;
}

/* What a walk over a row needs. */
static ALWAYS_INLINE Walk
start_walk(const Forest *forest, const float *row, uint32_t *slots)
{
	forest_fill_slots(forest, row, slots);
	return make_walk(forest, slots);
}

/* All trees from where at[] says. */
static ALWAYS_INLINE void
finish_and_add(const Forest *forest, const Walk *walk, uint32_t *at, float *margins,
			   bool categories, LeafKind kind)
{
	uint32_t	num_trees = forest->header->num_trees;

	finish_trees(walk, num_trees, categories, at, at + num_trees);
	add_leaves(forest, forest->trees, at, num_trees, kind, margins);
}

/* The body of them all; `categories` and `kind` are constants. */
static ALWAYS_INLINE void
add_trees(const Forest *forest, const float *row, void *scratch, float *margins,
		  bool categories, LeafKind kind)
{
	const ForestHeader *header = forest->header;
	const ForestTree *trees = forest->trees;
	bool		deep = header->max_depth > LANE_STEPS;
	Walk		walk = start_walk(forest, row, scratch);
	uint32_t	lanes[LANES];
	uint32_t   *all = forest_starts(forest, scratch);
	uint32_t   *at = lanes;
	uint32_t	first;

	for (first = 0; header->num_trees - first >= LANES; first += LANES)
	{
		if (deep)
			at = all + first;
		walk_trees(&walk, &trees[first], LANES, categories, at);
		if (!deep)
			add_leaves(forest, &trees[first], at, LANES, kind, margins);
	}
	if (deep)
		at = all + first;
	walk_trees(&walk, &trees[first], header->num_trees - first, categories, at);
	if (deep)
		finish_and_add(forest, &walk, all, margins, categories, kind);
	else
		add_leaves(forest, &trees[first], at, header->num_trees - first, kind, margins);
}

/* The same when a kernel of ranks has come to level 6. */
static ALWAYS_INLINE void
add_started(const Forest *forest, const float *row, void *scratch, float *margins,
			bool categories, LeafKind kind)
{
	uint32_t   *at = forest_starts(forest, scratch);

	if (forest->header->max_depth > PLAN_LEVELS)
	{
		Walk		walk = start_walk(forest, row, scratch);

		finish_and_add(forest, &walk, at, margins, categories, kind);
	}
	else
		add_leaves(forest, forest->trees, at, forest->header->num_trees, kind, margins);
}

/* The node after `at` for a row of many. */
static ALWAYS_INLINE uint32_t
next_of_row(Walk walk, const uint32_t *slots, uint32_t at, bool categories)
{
	walk.slots = slots;
	return next_node(&walk, at, walk.nodes[at].step, categories);
}

/*
 * One tree for many rows when a kernel of ranks has come to level 6: as finish_trees(), with
 * rows for trees; but first, in a tree that has many nodes there, some steps of all rows.
 */
static ALWAYS_INLINE void
add_block_started(const Forest *forest, uint32_t tree, const uint32_t *slots, uint32_t num_rows,
				  uint32_t *at, float *margins, bool categories, LeafKind kind)
{
	Walk		walk = make_walk(forest, slots);
	size_t		num_slots = forest->header->num_slots;
	bool		many = forest_tree_size(forest, tree) > 4 * PLAN_NODES;
	uint32_t	all_steps = many ? BLOCK_STEPS : 0;
	uint32_t	list[KERNEL_BLOCK];
	uint32_t	count = 0;
	uint32_t	kept;
	uint32_t	step;
	uint32_t	i;

	for (step = 0; step < all_steps; step++)
#pragma GCC unroll 4
		for (i = 0; i < num_rows; i++)
			at[i] = next_of_row(walk, slots + i * num_slots, at[i], categories);
	for (i = 0; i < num_rows && forest->trees[tree].depth > PLAN_LEVELS + all_steps; i++)
	{
		list[count] = i;
		count += walk.nodes[at[i]].step != 0;
	}
	for (; count > 0; count = kept)
		for (kept = 0, i = 0; i < count; i++)
		{
			uint32_t	row = list[i];
			uint32_t	next = next_of_row(walk, slots + row * num_slots, at[row], categories);

			at[row] = next;
			list[kept] = row;
			kept += walk.nodes[next].step != 0;
		}
	for (i = 0; i < num_rows; i++)
		add_leaves(forest, &forest->trees[tree], &at[i], 1, kind,
				   margins + (size_t) i * forest->header->num_outputs);
}

#define DEFINE_WALK(name, categories, kind) \
static void \
name(const Forest *forest, const float *row, void *scratch, float *margins) \
{ \
	add_trees(forest, row, scratch, margins, categories, kind); \
} \
\
static void \
name##_on(const Forest *forest, const float *row, void *scratch, float *margins) \
{ \
	add_started(forest, row, scratch, margins, categories, kind); \
} \
\
static void \
name##_block(const Forest *forest, uint32_t tree, const uint32_t *slots, uint32_t num_rows, \
			 uint32_t *at, float *margins) \
{ \
	add_block_started(forest, tree, slots, num_rows, at, margins, categories, kind); \
}

DEFINE_WALK(numeric_single, false, LEAF_SINGLE)
DEFINE_WALK(numeric_multi, false, LEAF_MULTI)
DEFINE_WALK(numeric_vector, false, LEAF_VECTOR)
DEFINE_WALK(categorical_single, true, LEAF_SINGLE)
DEFINE_WALK(categorical_multi, true, LEAF_MULTI)
DEFINE_WALK(categorical_vector, true, LEAF_VECTOR)

/* What a forest's leaves are. */
static LeafKind
leaf_kind(const Forest *forest)
{
	if (forest->header->num_leaf_vectors > 0)
		return LEAF_VECTOR;
	return forest->header->num_outputs > 1 ? LEAF_MULTI : LEAF_SINGLE;
}

/* See kernel.h. */
void
walk_on(const Forest *forest, const float *row, void *scratch, float *margins)
{
	static const RowKernel walks[2][3] = {
		{numeric_single_on, numeric_multi_on, numeric_vector_on},
		{categorical_single_on, categorical_multi_on, categorical_vector_on}
	};
	bool		categories = forest->first_categorical < forest->header->num_slots;

	walks[categories][leaf_kind(forest)] (forest, row, scratch, margins);
}

/* See kernel.h. */
void
walk_block_on(const Forest *forest, uint32_t tree, const uint32_t *slots, uint32_t num_rows,
			  uint32_t *at, float *margins)
{
	static void (*const walks[2][3]) (const Forest *, uint32_t, const uint32_t *, uint32_t,
									  uint32_t *, float *) = {
		{numeric_single_block, numeric_multi_block, numeric_vector_block},
		{categorical_single_block, categorical_multi_block, categorical_vector_block}
	};
	bool		categories = forest->first_categorical < forest->header->num_slots;

	walks[categories][leaf_kind(forest)] (forest, tree, slots, num_rows, at, margins);
}

/* The walk that a forest needs. */
RowKernel
walk_kernel(const Forest *forest, const char **name)
{
	static const struct
	{
		RowKernel	kernel;
		const char *name;
	}			walks[2][3] = {
		{{numeric_single, "walk"}, {numeric_multi, "walk, many outputs"},
		{numeric_vector, "walk, vector leaves"}},
		{{categorical_single, "walk, categories"},
			{categorical_multi, "walk, categories, many outputs"},
		{categorical_vector, "walk, categories, vector leaves"}},
	};
	bool		categories = forest->first_categorical < forest->header->num_slots;
	LeafKind	kind = leaf_kind(forest);

	*name = walks[categories][kind].name;
	return walks[categories][kind].kernel;
}
