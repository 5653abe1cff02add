/*
 * walk.c
 *		The kernel for all forests of trees and all processors: fill the slots
 *		from a row, walk all trees, add up their leaves in tree order in float32.
 *
 * The walk is bound by latency, not by work: a step is a few instructions, but
 * each waits for the one before.  So it walks LANES trees at once, which
 * are independent, and does not branch on where a row goes (a mispredicted branch
 * costs more than a step).  All lanes take as many steps as the deepest tree
 * of the block needs; those that reach their leaf early stay on it.
 *
 * The body is specialised by constant arguments for what a forest has: numeric
 * splits only or categories too, and one output, many outputs or vector leaves.
 */
#include <string.h>

#include "kernel.h"
#include "layout.h"
#include "pure.h"

#define LANES			16		/* trees walked at once */
#define SURE_STEPS		8		/* steps before asking whether all are at leaves */

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
 * One step in all lanes.  Returns 0 only when every lane already was at a leaf.
 * Unrolled when count is a constant, also at -O2: that saves a fifth.
 */
static ALWAYS_INLINE uint32_t
step_lanes(const Walk *walk, uint32_t *at, uint32_t count, bool categories)
{
	uint32_t	moved = 0;
	uint32_t	lane;

#pragma GCC unroll 16
	for (lane = 0; lane < count; lane++)
	{
		uint32_t	step = walk->nodes[at[lane]].step;

		moved |= step;
		at[lane] = next_node(walk, at[lane], step, categories);
	}
	return moved;
}

/* Walk some trees from their roots to their leaves. */
static ALWAYS_INLINE void
walk_trees(const Walk *walk, const ForestTree *trees, uint32_t count,
		   bool categories, uint32_t *at)
{
	uint32_t	depth = 0;
	uint32_t	sure;
	uint32_t	lane;

	for (lane = 0; lane < count; lane++)
	{
		at[lane] = trees[lane].root;
		if (depth < trees[lane].depth)
			depth = trees[lane].depth;
	}
	sure = depth < SURE_STEPS ? depth : SURE_STEPS;
	depth -= sure;
	while (sure-- > 0)
		step_lanes(walk, at, count, categories);
	while (depth-- > 0)
		if (step_lanes(walk, at, count, categories) == 0)
			break;
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

/* The body of them all; `categories` and `kind` are constants. */
static ALWAYS_INLINE void
add_trees(const Forest *forest, const float *row, uint32_t *slots, float *margins,
		  bool categories, LeafKind kind)
{
	const ForestHeader *header = forest->header;
	const ForestTree *trees = forest->trees;
	Walk		walk;
	uint32_t	at[LANES];
	uint32_t	first;

	forest_fill_slots(forest, row, slots);
	walk.nodes = forest->nodes;
	walk.slots = slots;
	walk.category_sets = forest->category_sets;
	walk.slot_bits = header->slot_bits;
	walk.slot_mask = (UINT32_C(1) << header->slot_bits) - 1;
	walk.first_categorical = forest->first_categorical;
	for (first = 0; header->num_trees - first >= LANES; first += LANES)
	{
		walk_trees(&walk, &trees[first], LANES, categories, at);
		add_leaves(forest, &trees[first], at, LANES, kind, margins);
	}
	walk_trees(&walk, &trees[first], header->num_trees - first, categories, at);
	add_leaves(forest, &trees[first], at, header->num_trees - first, kind, margins);
}

#define DEFINE_WALK(name, categories, kind) \
static void \
name(const Forest *forest, const float *row, void *scratch, float *margins) \
{ \
	add_trees(forest, row, scratch, margins, categories, kind); \
}

DEFINE_WALK(numeric_single, false, LEAF_SINGLE)
DEFINE_WALK(numeric_multi, false, LEAF_MULTI)
DEFINE_WALK(numeric_vector, false, LEAF_VECTOR)
DEFINE_WALK(categorical_single, true, LEAF_SINGLE)
DEFINE_WALK(categorical_multi, true, LEAF_MULTI)
DEFINE_WALK(categorical_vector, true, LEAF_VECTOR)

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
	const ForestHeader *header = forest->header;
	bool		categories = forest->first_categorical < header->num_slots;
	LeafKind	kind = LEAF_SINGLE;

	if (header->num_leaf_vectors > 0)
		kind = LEAF_VECTOR;
	else if (header->num_outputs > 1)
		kind = LEAF_MULTI;
	*name = walks[categories][kind].name;
	return walks[categories][kind].kernel;
}
