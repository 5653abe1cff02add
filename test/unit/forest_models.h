/*
 * forest_models.h
 *		Made-up forests and rows for the unit tests of the forest core, and an
 *		evaluator that walks the source trees themselves and knows nothing of
 *		images: the third opinion on what a score is.
 */
#ifndef PG_RISK_FOREST_MODELS_H
#define PG_RISK_FOREST_MODELS_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "forest.h"
#include "material.h"
#include "tap.h"

/* ---- numbers ---- */

/* From -range to range, with all kinds of low bits. */
static inline float
random_float(float range)
{
	return ((float) random_bits() / 2147483648.0f - 1.0f) * range;
}

/* Equal in every bit, or both not a number. */
static inline bool
same_floats(const float *left, const float *right, uint32_t count)
{
	uint32_t	i;

	for (i = 0; i < count; i++)
		if (memcmp(&left[i], &right[i], sizeof(float)) != 0 &&
			!(isnan(left[i]) && isnan(right[i])))
			return false;
	return true;
}

/* ---- the evaluator ---- */

/* The leaf of a source tree in which a row ends. */
static inline uint32_t
source_leaf(const ForestSourceTree *tree, const float *row, float missing)
{
	uint32_t	at = 0;

	while (tree->left[at] != -1)
	{
		float		value = row[tree->feature[at]];
		bool		left;
		int32_t		i;

		if (isnan(value) || value == missing)
			left = tree->default_left[at];
		else if (tree->categorical == NULL || !tree->categorical[at])
			left = value < tree->condition[at];
		else
		{
			left = true;
			if (value >= 0 && value < 16777216)
				for (i = 0; i < tree->set_size[at]; i++)
					if (tree->categories[tree->set_begin[at] + i] == (int32_t) value)
						left = false;
		}
		at = left ? tree->left[at] : tree->right[at];
	}
	return at;
}

/* Margins of a source, by XGBoost's rules. */
static inline void
source_margins(const ForestSource *source, const float *row, float *margins)
{
	uint32_t	outputs = source->num_outputs;
	uint32_t	i;
	uint32_t	k;

	for (k = 0; k < outputs; k++)
	{
		margins[k] = source->base_margins[k];
		if (source->kind != FOREST_LINEAR)
			continue;
		margins[k] += source->weights[(size_t) source->num_features * outputs + k];
		for (i = 0; i < source->num_features; i++)
			if (!isnan(row[i]) && row[i] != source->missing)
			{
				volatile float product = row[i] * source->weights[(size_t) i * outputs + k];

				margins[k] += product;
			}
	}
	for (i = 0; i < source->num_trees; i++)
	{
		const ForestSourceTree *tree = &source->trees[i];
		uint32_t	leaf = source_leaf(tree, row, source->missing);
		volatile float value;

		if (tree->leaf_vectors == NULL)
		{
			value = tree->weight * tree->condition[leaf];
			margins[tree->output] += value;
			continue;
		}
		for (k = 0; k < outputs; k++)
		{
			value = tree->weight *
				tree->leaf_vectors[(size_t) tree->leaf_vector[leaf] * outputs + k];
			margins[k] += value;
		}
	}
}

/* ---- random models ---- */

/* What kind of model to make up. */
typedef struct ModelSpec
{
	const char *name;
	ForestKind	kind;
	uint32_t	num_trees;
	uint32_t	num_splits;		/* of a tree, at most */
	uint32_t	num_features;
	uint32_t	num_outputs;
	uint32_t	categorical;	/* per cent of splits that are */
	uint32_t	max_category;
	uint32_t	set_size;		/* at most */
	bool		vectors;
	bool		dart;
	bool		chain;			/* each split below the one before */
	uint32_t	max_depth;		/* of a tree; 0: no limit */
	float		missing;
} ModelSpec;

/* A threshold, often one that others have too. */
static inline float
random_threshold(void)
{
	static const float special[] = {0.0f, -0.0f, 1.0f, FLT_MIN, -FLT_MIN / 4,
		FLT_TRUE_MIN, FLT_MAX, -FLT_MAX, -999.0f, INFINITY};

	if (random_below(8) == 0)
		return special[random_below(sizeof(special) / sizeof(special[0]))];
	return random_float(2.0f);
}

/* Turn leaf `at` of a tree under construction into a split. */
static inline void
split_leaf(const ModelSpec *spec, ForestSourceTree *tree, uint32_t at,
		   uint32_t left, uint32_t right, uint32_t *num_categories)
{
	int32_t		i;

	((int32_t *) tree->left)[at] = left;
	((int32_t *) tree->right)[at] = right;
	((int32_t *) tree->feature)[at] = random_below(spec->num_features);
	((float *) tree->condition)[at] = random_threshold();
	((uint8_t *) tree->default_left)[at] = random_below(2);
	if (random_below(100) >= spec->categorical)
		return;
	((uint8_t *) tree->categorical)[at] = 1;
	((float *) tree->condition)[at] = NAN;
	((int32_t *) tree->set_begin)[at] = *num_categories;
	((int32_t *) tree->set_size)[at] = random_below(spec->set_size + 1);
	for (i = 0; i < tree->set_size[at]; i++)
		((int32_t *) tree->categories)[(*num_categories)++] =
			random_below(spec->max_category + 1);
}

/* Node numbers in random order, the root's excepted. */
static inline uint32_t *
random_numbers(uint32_t count)
{
	uint32_t   *numbers = allocate(count * sizeof(uint32_t));
	uint32_t	i;

	for (i = 0; i < count; i++)
		numbers[i] = i;
	for (i = count - 1; i > 1; i--)
	{
		uint32_t	other = 1 + random_below(i);
		uint32_t	number = numbers[i];

		numbers[i] = numbers[other];
		numbers[other] = number;
	}
	return numbers;
}

/* Covers that add up, from those of the leaves, some of which are 0. */
static inline float
random_covers(const ForestSourceTree *tree, uint32_t node, float *cover)
{
	if (tree->left[node] == -1)
		cover[node] = random_below(6) == 0 ? 0.0f : 0.5f + (float) random_below(1000) / 16;
	else
		cover[node] = random_covers(tree, tree->left[node], cover) +
			random_covers(tree, tree->right[node], cover);
	return cover[node];
}

/* Grow a tree by splitting random leaves; its node numbers are scrambled. */
static inline void
random_tree(const ModelSpec *spec, ForestSourceTree *tree, uint32_t output)
{
	uint32_t	num_splits = spec->chain ? spec->num_splits : random_below(spec->num_splits + 1);
	uint32_t	num_nodes = 2 * num_splits + 1 + random_below(3);	/* some unreachable */
	uint32_t   *numbers = random_numbers(num_nodes);
	uint32_t   *leaves = allocate((num_splits + 1) * sizeof(uint32_t));
	uint32_t   *depths = allocate((num_splits + 1) * sizeof(uint32_t));
	uint32_t	num_leaves = 1;
	uint32_t	num_categories = 0;
	int32_t    *left = allocate(num_nodes * sizeof(int32_t));
	int32_t    *vector = allocate(num_nodes * sizeof(int32_t));
	float	   *condition = allocate(num_nodes * sizeof(float));
	float	   *vectors = allocate((size_t) num_nodes * spec->num_outputs * sizeof(float));
	float	   *cover;
	uint32_t	i;

	tree->num_nodes = num_nodes;
	tree->weight = spec->dart ? random_float(1.0f) : 1.0f;
	tree->output = spec->vectors ? 0 : output;
	tree->left = left;
	tree->right = allocate(num_nodes * sizeof(int32_t));
	tree->feature = allocate(num_nodes * sizeof(int32_t));
	tree->condition = condition;
	tree->default_left = allocate(num_nodes);
	if (spec->categorical > 0)
	{
		tree->categorical = allocate(num_nodes);
		tree->set_begin = allocate(num_nodes * sizeof(int32_t));
		tree->set_size = allocate(num_nodes * sizeof(int32_t));
		tree->categories = allocate((size_t) num_splits * spec->set_size * sizeof(int32_t));
	}
	for (i = 0; i < num_nodes; i++)
	{
		left[i] = -1;
		vector[i] = i;
		condition[i] = random_float(1.0f);
	}
	for (i = 0; i < num_nodes * spec->num_outputs; i++)
		vectors[i] = random_float(1.0f);
	if (spec->vectors)
	{
		tree->leaf_vector = vector;
		tree->leaf_vectors = vectors;
	}
	leaves[0] = 0;
	for (i = 0; i < num_splits; i++)
	{
		uint32_t	which = spec->chain ? i : random_below(num_leaves);
		uint32_t	at = leaves[which];

		if (spec->max_depth > 0 && depths[which] == spec->max_depth)
			continue;
		leaves[which] = numbers[2 * i + 1];
		leaves[num_leaves] = numbers[2 * i + 2];
		depths[num_leaves++] = ++depths[which];
		split_leaf(spec, tree, at, numbers[2 * i + 1], numbers[2 * i + 2], &num_categories);
	}
	cover = allocate(num_nodes * sizeof(float));
	random_covers(tree, 0, cover);
	tree->cover = cover;
}

/* Make up a model. */
static inline ForestSource *
random_source(const ModelSpec *spec)
{
	ForestSource *source = allocate(sizeof(ForestSource));
	ForestSourceTree *trees = allocate(spec->num_trees * sizeof(ForestSourceTree));
	float	   *base_margins = allocate(spec->num_outputs * sizeof(float));
	uint32_t	num_weights = (spec->num_features + 1) * spec->num_outputs;
	float	   *weights;
	uint32_t	i;

	source->kind = spec->kind;
	source->transform = FOREST_IDENTITY;
	source->num_features = spec->num_features;
	source->num_outputs = spec->num_outputs;
	source->missing = spec->missing;
	source->base_margins = base_margins;
	source->num_trees = spec->num_trees;
	source->trees = trees;
	for (i = 0; i < spec->num_outputs; i++)
		base_margins[i] = random_float(1.0f);
	for (i = 0; i < spec->num_trees; i++)
		random_tree(spec, &trees[i], random_below(spec->num_outputs));
	if (spec->kind == FOREST_LINEAR)
	{
		source->weights = weights = allocate(num_weights * sizeof(float));
		for (i = 0; i < num_weights; i++)
			weights[i] = random_float(1.0f);
	}
	return source;
}

/* A value that some node of the source compares with, else any. */
static inline float
value_of_source(const ForestSource *source, uint32_t feature)
{
	uint32_t	tries;

	for (tries = 0; source->num_trees > 0 && tries < 20; tries++)
	{
		const ForestSourceTree *tree = &source->trees[random_below(source->num_trees)];
		uint32_t	node = random_below(tree->num_nodes);

		if (tree->left[node] == -1 || (uint32_t) tree->feature[node] != feature)
			continue;
		if (tree->categorical == NULL || !tree->categorical[node])
			return tree->condition[node];
		if (tree->set_size[node] > 0)
			return (float) tree->categories[tree->set_begin[node] +
											random_below(tree->set_size[node])];
	}
	return random_float(3.0f);
}

/* A row of values that are likely to be handled wrong. */
static inline void
random_row(const ForestSource *source, float *row)
{
	static const float special[] = {INFINITY, -INFINITY, 0.0f, -0.0f, FLT_TRUE_MIN,
		-FLT_TRUE_MIN, FLT_MAX, -FLT_MAX, -1.0f, -0.5f, 0.5f, 31.0f, 32.0f, 63.9f, 16777214.0f,
	16777215.0f, 16777216.0f, 4294967296.0f, -999.0f};
	uint32_t	i;

	for (i = 0; i < source->num_features; i++)
	{
		float		value = value_of_source(source, i);

		switch (random_below(10))
		{
			case 0:
				value = NAN;
				break;
			case 1:
				value = source->missing;
				break;
			case 2:
				value = special[random_below(sizeof(special) / sizeof(special[0]))];
				break;
			case 3:
				value = nextafterf(value, INFINITY);
				break;
			case 4:
				value = nextafterf(value, -INFINITY);
				break;
			case 5:
				value = random_float(3.0f);
				break;
			case 6:
				value = (float) random_below(100);
				break;
			default:
				break;
		}
		row[i] = value;
	}
}

/* ---- kinds of models ---- */

static const ModelSpec specs[] = {
	{.name = "numeric",.kind = FOREST_TREES,.num_trees = 37,.num_splits = 60,
		.num_features = 12,.num_outputs = 1,.missing = NAN},
	{.name = "one tree",.kind = FOREST_TREES,.num_trees = 1,.num_splits = 30,
		.num_features = 5,.num_outputs = 1,.missing = NAN},
	{.name = "stumps",.kind = FOREST_TREES,.num_trees = 50,.num_splits = 1,
		.num_features = 3,.num_outputs = 1,.missing = NAN},
	{.name = "single leaves",.kind = FOREST_TREES,.num_trees = 33,.num_splits = 0,
		.num_features = 1,.num_outputs = 2,.missing = NAN},
	{.name = "16 trees",.kind = FOREST_TREES,.num_trees = 16,.num_splits = 20,
		.num_features = 4,.num_outputs = 1,.missing = 0.0f},
	{.name = "declared missing value",.kind = FOREST_TREES,.num_trees = 20,.num_splits = 40,
		.num_features = 6,.num_outputs = 1,.missing = -999.0f},
	{.name = "missing is infinity",.kind = FOREST_TREES,.num_trees = 20,.num_splits = 40,
		.num_features = 6,.num_outputs = 1,.missing = INFINITY},
	{.name = "one-hot categories",.kind = FOREST_TREES,.num_trees = 30,.num_splits = 40,
		.num_features = 6,.num_outputs = 1,.categorical = 60,.max_category = 9,.set_size = 1,
		.missing = NAN},
	{.name = "category sets",.kind = FOREST_TREES,.num_trees = 40,.num_splits = 40,
		.num_features = 6,.num_outputs = 1,.categorical = 50,.max_category = 200,
		.set_size = 150,.missing = NAN},
	{.name = "categories, declared missing",.kind = FOREST_TREES,.num_trees = 40,
		.num_splits = 20,.num_features = 3,.num_outputs = 3,.categorical = 100,.max_category = 40,
		.set_size = 20,.missing = 7.0f},
	{.name = "high categories",.kind = FOREST_TREES,.num_trees = 2,.num_splits = 3,
		.num_features = 2,.num_outputs = 1,.categorical = 100,.max_category = 16777215,
		.set_size = 3,.missing = NAN},
	{.name = "many outputs",.kind = FOREST_TREES,.num_trees = 60,.num_splits = 30,
		.num_features = 8,.num_outputs = 5,.missing = NAN},
	{.name = "vector leaves",.kind = FOREST_TREES,.num_trees = 20,.num_splits = 30,
		.num_features = 8,.num_outputs = 3,.vectors = true,.missing = NAN},
	{.name = "vector leaves, categories, dart",.kind = FOREST_TREES,.num_trees = 35,
		.num_splits = 30,.num_features = 8,.num_outputs = 4,.categorical = 40,.max_category = 70,
		.set_size = 30,.vectors = true,.dart = true,.missing = NAN},
	{.name = "dart weights",.kind = FOREST_TREES,.num_trees = 40,.num_splits = 30,
		.num_features = 8,.num_outputs = 2,.dart = true,.missing = NAN},
	{.name = "deep chains",.kind = FOREST_TREES,.num_trees = 19,.num_splits = 300,
		.num_features = 8,.num_outputs = 1,.chain = true,.missing = NAN},
	{.name = "deep chains with categories",.kind = FOREST_TREES,.num_trees = 17,.num_splits = 100,
		.num_features = 8,.num_outputs = 1,.categorical = 50,.max_category = 70,.set_size = 60,
		.chain = true,.missing = NAN},
	{.name = "linear",.kind = FOREST_LINEAR,.num_features = 9,.num_outputs = 1,.missing = NAN},
	{.name = "linear, many outputs",.kind = FOREST_LINEAR,.num_features = 7,.num_outputs = 3,
		.missing = 1.0f},
};

#define NUM_SPECS	(sizeof(specs) / sizeof(specs[0]))

/* A tree of one split: below 0.5 or missing -1, else 1; base margin 0.25. */
static const int32_t stump_left[] = {1, -1, -1};
static const int32_t stump_right[] = {2, -1, -1};
static const int32_t stump_feature[] = {0, 0, 0};
static const float stump_condition[] = {0.5f, -1.0f, 1.0f};
static const uint8_t stump_default[] = {1, 0, 0};
static const float zero_margin[] = {0.25f};

static const ForestSourceTree stump = {.num_nodes = 3,.weight = 1.0f,.left = stump_left,
	.right = stump_right,.feature = stump_feature,.condition = stump_condition,
.default_left = stump_default};

static const ForestSource stump_source = {.kind = FOREST_TREES,.transform = FOREST_IDENTITY,
	.num_features = 1,.num_outputs = 1,.missing = NAN,.base_margins = zero_margin,
.num_trees = 1,.trees = &stump};

/* Build, check, open; NULL with a failed test when any of it fails. */
static inline void *
open_source(const ForestSource *source, Forest *forest)
{
	size_t		size;
	const char *why = NULL;
	void	   *image = forest_build(source, &size, &why);
	const char *wrong = image != NULL ? forest_check(image, size) : why;

	if (wrong != NULL)
	{
		ok(false, "image is built and sound: %s", wrong);
		free(image);
		return NULL;
	}
	forest_open(forest, image);
	return image;
}

#endif							/* PG_RISK_FOREST_MODELS_H */
