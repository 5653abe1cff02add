/*
 * probes.c
 *		Rows that try a model where readings could differ: on its thresholds,
 *		one float32 beside them, missing, unseen categories, and rows that lead
 *		to leaves which nothing else has reached.
 *
 * Three rows are fixed (all missing, all zero, all of the declared missing
 * value); half of the others are drawn feature by feature, half are drawn and
 * then bent towards a leaf of some tree.  Deterministic: the seed comes from
 * the model.
 */
#include <math.h>

#include "../forest/numbers.h"
#include "certify.h"

#define MAX_PATH	256

/* What the trees ask about one feature. */
typedef struct Feature
{
	uint32_t	first;			/* its thresholds in Prober.thresholds */
	uint32_t	count;
	int32_t		max_category;	/* -1: not categorical */
} Feature;

typedef struct Prober
{
	const ForestSource *source;
	const Model *model;
	uint64_t	state;			/* of the random numbers */
	Feature    *features;
	float	   *thresholds;		/* by feature, ascending, each once */
	uint8_t    *visited;		/* nodes of all trees */
	size_t	   *first_node;		/* of each tree, in visited */
	size_t		num_nodes;
	uint8_t    *is_exhausted;	/* trees without an unvisited leaf */
	uint32_t	next_tree;		/* where the search for one goes on */
} Prober;

/* A random number below the limit. */
static uint32_t
draw(Prober *prober, uint32_t limit)
{
	return draw_below(&prober->state, limit);
}

/* Whether node i is a split, and a categorical one. */
static bool
is_split(const ForestSourceTree *tree, uint32_t i)
{
	return tree->left[i] != -1 && tree->feature[i] != DELETED_NODE_FEATURE;
}

static bool
is_categorical(const ForestSourceTree *tree, uint32_t i)
{
	return tree->categorical != NULL && tree->categorical[i];
}

/* Note a categorical split's largest category. */
static void
see_categories(Feature *feature, const ForestSourceTree *tree, uint32_t i)
{
	for (int32_t j = 0; j < tree->set_size[i]; j++)
	{
		int32_t		category = tree->categories[tree->set_begin[i] + j];

		if (category > feature->max_category)
			feature->max_category = category;
	}
}

/* Count thresholds by feature, then gather, sort and thin them. */
static void
gather_thresholds(Prober *prober)
{
	const ForestSource *source = prober->source;
	uint32_t	num_features = source->num_features;
	uint32_t	total = 0;

	prober->features = region_get_zero(num_features, sizeof(Feature));
	for (uint32_t f = 0; f < num_features; f++)
		prober->features[f].max_category = -1;
	for (int pass = 0; pass < 2; pass++)
	{
		for (uint32_t t = 0; t < source->num_trees; t++)
		{
			const ForestSourceTree *tree = &source->trees[t];

			for (uint32_t i = 0; i < tree->num_nodes; i++)
			{
				Feature    *feature;

				if (!is_split(tree, i))
					continue;
				feature = &prober->features[tree->feature[i]];
				if (is_categorical(tree, i))
					see_categories(feature, tree, i);
				else if (pass == 1)
					prober->thresholds[feature->first + feature->count++] = tree->condition[i];
				else
					feature->count++;
			}
		}
		for (uint32_t f = 0; pass == 0 && f < num_features; f++)
		{
			prober->features[f].first = total;
			total += prober->features[f].count;
			prober->features[f].count = 0;
		}
		if (pass == 0)
			prober->thresholds = region_get(total, sizeof(float));
	}
	for (uint32_t f = 0; f < num_features; f++)
	{
		Feature    *feature = &prober->features[f];

		feature->count = sort_distinct(prober->thresholds + feature->first, feature->count);
	}
}

/* A value that libxgboost accepts in a row: infinite ones it does not. */
static float
bounded(float value)
{
	return isinf(value) ? copysignf(3.4028235e38f, value) : value;
}

/* A category of the feature, or a value that is none. */
static float
draw_category(Prober *prober, const Feature *feature)
{
	switch (draw(prober, 16))
	{
		case 0:
			return -1.0f;
		case 1:
			return (float) FOREST_MAX_CATEGORY;
		case 2:
			return (float) draw(prober, (uint32_t) feature->max_category + 1) + 0.5f;
		default:
			return (float) draw(prober, (uint32_t) feature->max_category + 3);
	}
}

/* A value to try a feature with. */
static float
draw_value(Prober *prober, const Feature *feature)
{
	uint32_t	kind = draw(prober, 20);
	float		threshold;

	if (kind < 3)
		return NAN;
	if (kind == 3)
		return prober->source->missing;
	if (feature->max_category >= 0 && (feature->count == 0 || kind % 2 == 0))
		return draw_category(prober, feature);
	if (feature->count == 0)
		return (float) draw(prober, 4) - 1.0f;
	if (kind == 4)
		return 0.0f;
	threshold = prober->thresholds[feature->first + draw(prober, feature->count)];
	if (kind < 10)
		return bounded(threshold);
	return bounded(nextafterf(threshold, kind < 15 ? -INFINITY : INFINITY));
}

/* The way that a row takes at a split, as XGBoost goes. */
static bool
goes_right(const ForestSourceTree *tree, uint32_t node, const float *row, float missing)
{
	float		value = row[tree->feature[node]];

	if (isnan(value) || value == missing)
		return !tree->default_left[node];
	if (!is_categorical(tree, node))
		return !(value < tree->condition[node]);
	if (value < 0.0f || value >= (float) FOREST_MAX_CATEGORY)
		return false;
	for (int32_t j = 0; j < tree->set_size[node]; j++)
	{
		if (tree->categories[tree->set_begin[node] + j] == (int32_t) value)
			return true;
	}
	return false;
}

/* Mark the nodes that a row visits. */
static void
visit(Prober *prober, const float *row)
{
	const ForestSource *source = prober->source;

	for (uint32_t t = 0; t < source->num_trees; t++)
	{
		const ForestSourceTree *tree = &source->trees[t];
		uint8_t    *visited = prober->visited + prober->first_node[t];
		uint32_t	node = 0;

		visited[0] = 1;
		while (tree->left[node] != -1)
		{
			node = (uint32_t) tree->left[node] + goes_right(tree, node, row, source->missing);
			visited[node] = 1;
		}
	}
}

/* Find a leaf that no row has reached; false when there is none. */
static bool
find_leaf(Prober *prober, uint32_t *tree_index, uint32_t *leaf)
{
	const ForestSource *source = prober->source;

	for (uint32_t t = 0; t < source->num_trees; t++)
	{
		uint32_t	at = (prober->next_tree + t) % source->num_trees;
		const ForestSourceTree *tree = &source->trees[at];

		for (uint32_t i = 0; !prober->is_exhausted[at] && i < tree->num_nodes; i++)
		{
			if (tree->left[i] == -1 && tree->feature[i] != DELETED_NODE_FEATURE &&
				!prober->visited[prober->first_node[at] + i])
			{
				prober->next_tree = at + 1;
				*tree_index = at;
				*leaf = i;
				return true;
			}
		}
		prober->is_exhausted[at] = 1;
	}
	return false;
}

/* A category that goes the wanted way at a split. */
static float
category_towards(Prober *prober, const ForestSourceTree *tree, uint32_t node, bool right)
{
	if (right)
		return (float) tree->categories[tree->set_begin[node] +
										(int32_t) draw(prober, (uint32_t) tree->set_size[node])];
	for (int32_t category = 0; category < 64; category++)
	{
		float		row_value = (float) category;
		bool		in_set = false;

		for (int32_t j = 0; j < tree->set_size[node]; j++)
			in_set = in_set || tree->categories[tree->set_begin[node] + j] == category;
		if (!in_set && draw(prober, 2) == 0)
			return row_value;
	}
	return -1.0f;
}

/*
 * Change a row so that it comes to a leaf: going up from the leaf, each split
 * that the row would take the wrong way gets a value just on the right side,
 * between what the deeper splits of that feature already ask for.
 */
static void
bend(Prober *prober, uint32_t tree_index, uint32_t leaf, float *row)
{
	const ForestSourceTree *tree = &prober->source->trees[tree_index];
	const int32_t *parents = prober->model->details[tree_index].parents;
	uint32_t	path[MAX_PATH];
	uint32_t	length = 0;

	for (uint32_t node = leaf; node != 0 && length < MAX_PATH; node = (uint32_t) parents[node])
		path[length++] = node;
	for (uint32_t i = length; i > 0; i--)
	{
		uint32_t	node = path[i - 1];
		uint32_t	split = (uint32_t) parents[node];
		int32_t		feature = tree->feature[split];
		bool		right = node != (uint32_t) tree->left[split];
		float		low = -INFINITY;
		float		high = INFINITY;

		if (goes_right(tree, split, row, prober->source->missing) == right)
			continue;
		if (is_categorical(tree, split))
		{
			row[feature] = category_towards(prober, tree, split, right);
			continue;
		}
		for (uint32_t j = 0; j < length; j++)
		{
			uint32_t	other = (uint32_t) parents[path[j]];

			if (tree->feature[other] != feature || is_categorical(tree, other))
				continue;
			if (path[j] == (uint32_t) tree->left[other])
				high = fminf(high, tree->condition[other]);
			else
				low = fmaxf(low, tree->condition[other]);
		}
		row[feature] = bounded(isinf(low) || (!isinf(high) && draw(prober, 2) == 0) ?
							  nextafterf(high, -INFINITY) : low);
	}
}

/* Count what the rows try. */
static void
count_kinds(const Prober *prober, const Probes *probes, Certificate *certificate)
{
	uint32_t	num_features = prober->source->num_features;

	for (size_t i = 0; i < (size_t) probes->num_rows * num_features; i++)
	{
		const Feature *feature = &prober->features[i % num_features];
		const float *thresholds = prober->thresholds + feature->first;
		float		value = probes->rows[i];
		float		near[3] = {value, nextafterf(value, -INFINITY), nextafterf(value, INFINITY)};
		bool		found[3];

		if (isnan(value) || value == prober->source->missing)
		{
			certificate->missing_values++;
			continue;
		}
		if (feature->max_category >= 0)
			certificate->unseen_categories +=
				value < 0.0f || value >= (float) feature->max_category + 1.0f;
		if (feature->count == 0)
			continue;
		for (int j = 0; j < 3; j++)
			found[j] = bsearch(&near[j], thresholds, feature->count, sizeof(float),
							   compare_floats) != NULL;
		certificate->on_threshold += found[0];
		certificate->beside_threshold += !found[0] && (found[1] || found[2]);
	}
	for (size_t i = 0; i < prober->num_nodes; i++)
		certificate->nodes_visited += prober->visited[i];
}

/* Fill one row; the first three are fixed. */
static void
fill_row(Prober *prober, uint32_t index, bool is_bent, float *row)
{
	uint32_t	tree;
	uint32_t	leaf;

	for (uint32_t f = 0; f < prober->source->num_features; f++)
		row[f] = index == 0 ? NAN : index == 1 ? 0.0f : index == 2 ? prober->source->missing :
			draw_value(prober, &prober->features[f]);
	if (is_bent && find_leaf(prober, &tree, &leaf))
		bend(prober, tree, leaf, row);
	for (uint32_t f = 0; f < prober->source->num_features; f++)
		row[f] = bounded(row[f]);
	visit(prober, row);
}

/* See certify.h. */
void
probes_make(const ForestSource *source, const Model *model, uint32_t max_rows,
			uint64_t seed, Probes *probes, Certificate *certificate)
{
	Prober		prober = {.source = source,.model = model,.state = seed | 1};

	prober.first_node = region_get(source->num_trees, sizeof(size_t));
	for (uint32_t t = 0; t < source->num_trees; t++)
	{
		prober.first_node[t] = prober.num_nodes;
		prober.num_nodes += source->trees[t].num_nodes;
	}
	prober.visited = region_get_zero(prober.num_nodes, 1);
	prober.is_exhausted = region_get_zero(source->num_trees, 1);
	gather_thresholds(&prober);

	probes->num_rows = max_rows;
	probes->rows = region_get((size_t) max_rows * source->num_features, sizeof(float));
	for (uint32_t i = 0; i < max_rows; i++)
		fill_row(&prober, i, i > max_rows / 2,
				 probes->rows + (size_t) i * source->num_features);
	count_kinds(&prober, probes, certificate);
}
