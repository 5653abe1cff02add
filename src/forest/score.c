/*
 * score.c
 *		Scoring: fill the slots from a row, walk all trees, add up their leaves
 *		in tree order in float32.
 *
 * The walk is bound by latency, not by work: a step is a few instructions, but
 * each waits for the one before.  So a kernel walks LANES trees at once, which
 * are independent, and does not branch on where a row goes (a mispredicted branch
 * costs more than a step).  All lanes take as many steps as the deepest tree
 * of the block needs; those that reach their leaf early stay on it.
 *
 * The kernels are one body, specialised by constant arguments for what a
 * forest has: numeric splits only or categories too, and one output, many
 * outputs or vector leaves.
 */
#include <math.h>
#include <string.h>

#include "layout.h"
#include "pure.h"

#ifdef __FAST_MATH__
#error "scores must be exact: do not compile with -ffast-math"
#endif

#define LANES			16		/* trees walked at once */
#define SURE_STEPS		8		/* steps before asking whether all are at leaves */

#define BITS_INFINITY	UINT32_C(0x7f800000)
#define BITS_SIGN		UINT32_C(0x80000000)

#define ALWAYS_INLINE	inline __attribute__((always_inline))

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

/* ---- kernels ---- */

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

/* The body of all kernels; `categories` and `kind` are constants. */
static ALWAYS_INLINE void
add_trees(const Forest *forest, const uint32_t *slots, float *margins,
		  bool categories, LeafKind kind)
{
	const ForestHeader *header = forest->header;
	const ForestTree *trees = forest->trees;
	Walk		walk;
	uint32_t	at[LANES];
	uint32_t	first;

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

#define DEFINE_KERNEL(name, categories, kind) \
static void \
name(const Forest *forest, const uint32_t *slots, float *margins) \
{ \
	add_trees(forest, slots, margins, categories, kind); \
}

DEFINE_KERNEL(numeric_single, false, LEAF_SINGLE)
DEFINE_KERNEL(numeric_multi, false, LEAF_MULTI)
DEFINE_KERNEL(numeric_vector, false, LEAF_VECTOR)
DEFINE_KERNEL(categorical_single, true, LEAF_SINGLE)
DEFINE_KERNEL(categorical_multi, true, LEAF_MULTI)
DEFINE_KERNEL(categorical_vector, true, LEAF_VECTOR)

void
forest_choose_kernel(Forest *forest)
{
	static const struct
	{
		ForestKernelFunction function;
		const char *name;
	}			kernels[2][3] = {
		{{numeric_single, "numeric"}, {numeric_multi, "numeric, many outputs"},
		{numeric_vector, "numeric, vector leaves"}},
		{{categorical_single, "categories"}, {categorical_multi, "categories, many outputs"},
		{categorical_vector, "categories, vector leaves"}},
	};
	const ForestHeader *header = forest->header;
	bool		categories = forest->first_categorical < header->num_slots;
	LeafKind	kind = LEAF_SINGLE;

	if (header->kind == FOREST_LINEAR)
	{
		forest->kernel = NULL;
		forest->kernel_name = "linear";
		return;
	}
	if (header->num_leaf_vectors > 0)
		kind = LEAF_VECTOR;
	else if (header->num_outputs > 1)
		kind = LEAF_MULTI;
	forest->kernel = kernels[categories][kind].function;
	forest->kernel_name = kernels[categories][kind].name;
}

/* ---- margins ---- */

/*
 * Linear: bias and base margin, then weight times value in feature order;
 * missing values add nothing (libxgboost: src/gbm/gblinear.cc).
 */
static void
linear_margins(const Forest *forest, const float *row, float *margins)
{
	const ForestHeader *header = forest->header;
	uint32_t	num_outputs = header->num_outputs;
	const float *weights = forest->weights;
	const float *biases = weights + (size_t) header->num_features * num_outputs;
	uint32_t	feature;
	uint32_t	i;

	for (i = 0; i < num_outputs; i++)
		margins[i] = biases[i] + forest->base_margins[i];
	for (feature = 0; feature < header->num_features; feature++)
	{
		float		value = row[feature];

		if (!isnan(value) && value != header->missing)
			for (i = 0; i < num_outputs; i++)
				margins[i] += value * weights[i];
		weights += num_outputs;
	}
}

size_t
forest_scratch_size(const Forest *forest)
{
	return ((size_t) forest->header->num_slots * sizeof(uint32_t) + 7) & ~(size_t) 7;
}

void
forest_margins(const Forest *forest, const float *row, void *scratch, float *margins)
{
	if (forest->header->kind == FOREST_LINEAR)
	{
		linear_margins(forest, row, margins);
		return;
	}
	memcpy(margins, forest->base_margins, forest->header->num_outputs * sizeof(float));
	forest_fill_slots(forest, row, scratch);
	forest->kernel(forest, scratch, margins);
}

/* ---- reference ---- */

/* Does a value go right at a categorical split? */
static bool
reference_in_set(const uint32_t *set, float value)
{
	uint32_t	bit;

	if (value < 0.0f || value >= (float) FOREST_MAX_CATEGORY)
		return false;
	bit = (uint32_t) value + 1;
	return bit < set[0] && (set[1 + bit / 32] >> (bit % 32) & 1) != 0;
}

/* The leaf of a tree in which a row ends; decides each node from the row. */
static uint32_t
reference_leaf(const Forest *forest, const ForestTree *tree, const float *row)
{
	const ForestHeader *header = forest->header;
	uint32_t	at = tree->root;

	while (forest->nodes[at].step != 0)
	{
		const ForestNode *node = &forest->nodes[at];
		const ForestSlot *slot = &forest->slots[node->step &
												((UINT32_C(1) << header->slot_bits) - 1)];
		float		value = row[slot->feature];
		bool		left;

		if (isnan(value) || value == header->missing)
			left = (slot->flags & FOREST_SLOT_MISSING_LEFT) != 0;
		else if (slot->flags & FOREST_SLOT_CATEGORICAL)
			left = !reference_in_set(forest->category_sets + node->value.set, value);
		else
			left = value < node->value.cut;
		at += (node->step >> header->slot_bits) + (left ? 0 : 1);
	}
	return at;
}

void
forest_margins_reference(const Forest *forest, const float *row, float *margins)
{
	const ForestHeader *header = forest->header;
	uint32_t	i;
	uint32_t	output;

	if (header->kind == FOREST_LINEAR)
	{
		linear_margins(forest, row, margins);
		return;
	}
	for (output = 0; output < header->num_outputs; output++)
		margins[output] = forest->base_margins[output];
	for (i = 0; i < header->num_trees; i++)
	{
		const ForestTree *tree = &forest->trees[i];
		const ForestNode *leaf = &forest->nodes[reference_leaf(forest, tree, row)];
		const float *vector = forest->leaf_vectors;

		if (header->num_leaf_vectors == 0)
		{
			margins[tree->output] += leaf->value.cut;
			continue;
		}
		vector += (size_t) leaf->value.vector * header->num_outputs;
		for (output = 0; output < header->num_outputs; output++)
			margins[output] += vector[output];
	}
}
