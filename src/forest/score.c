/*
 * score.c
 *		Scoring: the base margins, and on them what the kernel adds; linear
 *		forests; and the reference that every kernel must equal.
 */
#include <math.h>
#include <string.h>

#include "kernel.h"
#include "layout.h"
#include "pure.h"

#ifdef __FAST_MATH__
#error "scores must be exact: do not compile with -ffast-math"
#endif

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
	const ForestHeader *header = forest->header;
	size_t		num_starts = 0;
	size_t		walked;
	size_t		words = 0;

	if (header->max_depth > PLAN_LEVELS || header->num_leaf_vectors > 0)
		num_starts = header->num_trees + PLAN_GROUP;
	walked = forest_slots_size(forest) + 2 * num_starts * sizeof(uint32_t);
	if (forest->plan != NULL && forest->plan->keys > 0)
		words = header->num_slots * sizeof(uint64_t);
	return words > walked ? words : walked;
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
	forest->kernel(forest, row, scratch, margins);
}

/* ---- many rows ---- */

size_t
forest_batch_scratch_size(const Forest *forest)
{
	size_t		planes = 0;

	if (forest->batch_kernel != NULL)
		planes = block_layout(forest).size + PLAN_ALIGNMENT;
	return planes > forest_scratch_size(forest) ? planes : forest_scratch_size(forest);
}

/* A block of rows; outputs without trees have their base margin. */
static void
block_margins(const Forest *forest, const float *rows, uint32_t num_rows, void *scratch,
			  float *margins)
{
	uint32_t	num_outputs = forest->header->num_outputs;
	uintptr_t	aligned = ((uintptr_t) scratch + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
	uint32_t	i;

	for (i = 0; i < num_rows; i++)
		memcpy(margins + (size_t) i * num_outputs, forest->base_margins,
			   num_outputs * sizeof(float));
	forest->batch_kernel(forest, rows, num_rows, (void *) aligned, margins);
}

void
forest_margins_batch(const Forest *forest, const float *rows, size_t num_rows, void *scratch,
					 float *margins)
{
	while (num_rows > 0)
	{
		uint32_t	some = 1;

		if (forest->batch_kernel != NULL && num_rows >= KERNEL_LEAST_BLOCK)
		{
			some = num_rows < KERNEL_BLOCK ? num_rows : KERNEL_BLOCK;
			block_margins(forest, rows, some, scratch, margins);
		}
		else
			forest_margins(forest, rows, scratch, margins);
		rows += (size_t) some * forest->header->num_features;
		margins += (size_t) some * forest->header->num_outputs;
		num_rows -= some;
	}
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

/* See layout.h. */
uint32_t
forest_reference_next(const Forest *forest, uint32_t at, const float *row)
{
	const ForestNode *node = &forest->nodes[at];
	const ForestSlot *slot = &forest->slots[forest_slot_of_node(forest, node)];
	float		value = row[slot->feature];
	bool		left;

	if (isnan(value) || value == forest->header->missing)
		left = (slot->flags & FOREST_SLOT_MISSING_LEFT) != 0;
	else if (slot->flags & FOREST_SLOT_CATEGORICAL)
		left = !reference_in_set(forest->category_sets + node->value.set, value);
	else
		left = value < node->value.cut;
	return at + (node->step >> forest->header->slot_bits) + (left ? 0 : 1);
}

/* The leaf of a tree in which a row ends. */
static uint32_t
reference_leaf(const Forest *forest, const ForestTree *tree, const float *row)
{
	uint32_t	at = tree->root;

	while (forest->nodes[at].step != 0)
		at = forest_reference_next(forest, at, row);
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
