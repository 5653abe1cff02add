/*
 * contribute.c
 *		What each feature of a row adds to a margin: exact Shapley values.
 *
 * The game is that of "path-dependent" TreeSHAP (Lundberg et al., Consistent
 * individualized feature attribution for tree ensembles, 2018), which is
 * libxgboost's pred_contribs: knowing only some features of the row, walk
 * each tree; where the feature of a split is known go where the row goes, else
 * go both ways, weighted by the covers that training saw.  The expected leaf
 * is what those features are worth together.
 *
 * The values come from the game's multilinear extension (Owen, Multilinear
 * extensions of games, 1972): let each feature be known with probability t,
 * independently, and let E(t) be the expected value.  The Shapley value of a
 * feature is the integral over t from 0 to 1 of E's derivative by that feature's
 * own probability.  E is one weighted walk, since whether a feature is known
 * matters only where the path splits on it: with
 *
 *	 c	the share in the cover of the child that the row does not go to
 *	 s	the product of the shares of the children that the row goes to, over the
 *		splits above on the same feature; 1 when there are none
 *
 * the walk goes to the child that the row does not go to with probability
 *
 *	 p(t) = (1 - t) s c / (t + (1 - t) s)
 *
 * (given that it came that far, the feature is unknown with probability
 * (1 - t) s / (t + (1 - t) s)), and p = c where a split above on that feature
 * led elsewhere than the row goes: then it surely is unknown.  So two passes over a tree do:
 * down, the probability R of reaching each node; up, the expected value V of
 * each.  A split adds to its feature's value
 *
 *	 integral of R (V(hot) - V(cold)) (-dp/dt),  -dp/dt = s c / (t + (1 - t) s)^2
 *
 * The integrand is a polynomial in t of degree m - 1, with m different features on a
 * path at most, so Gauss-Legendre quadrature with m / 2 points is exact.  (Yu
 * et al., Linear TreeSHAP, 2022, interpolates the same polynomials.)  Points
 * are the lanes of a vector: four serve a tree with up to eight features on a path;
 * for more, both passes are made for every four points.  Time: nodes times
 * m / 8.
 */
#include <math.h>
#include <string.h>

#include "layout.h"
#include "pure.h"

#define LANES	4

/* Four points of the rule, or a value at each of them. */
typedef float Points __attribute__((vector_size(LANES * sizeof(float))));

/* A split of the tree at hand, with this row. */
typedef struct Claim
{
	Points		cold;			/* probability of going where the row does not */
	Points		weight;			/* of V(hot) - V(cold) in the feature's value */
	uint32_t	hot;			/* node where the row goes; its neighbour is cold */
	uint32_t	slot;
} Claim;

/* What is needed besides the forest, all of it in the caller's scratch space. */
typedef struct Work
{
	Points	   *known;			/* the rule: points t, [most blocks] */
	Points	   *weights;		/* and their weights, likewise */
	Points	   *sums;			/* [num_slots]: what a slot's splits add */
	Points	   *values;			/* [most nodes]: R on the way down, V up */
	Claim	   *claims;			/* [most splits] */
	float	   *shares;			/* [most nodes]: s below a node, -1: surely unknown */
	uint32_t   *slots;			/* [num_slots]: the row */
	size_t		size;
} Work;

/* ---- scratch space ---- */

/* How many times four points a tree takes. */
static uint32_t
num_blocks(const ForestTree *tree)
{
	return (tree->path_features + 2 * LANES - 1) / (2 * LANES);
}

/* The next array in scratch space, aligned for vectors. */
static void *
take(uintptr_t *end, size_t count, size_t width)
{
	uintptr_t	start = (*end + sizeof(Points) - 1) / sizeof(Points) * sizeof(Points);

	*end = start + count * width;
	return (void *) start;
}

/* Divide scratch space for the largest tree; NULL: only ask for the size. */
static void
lay_out_work(const Forest *forest, void *scratch, Work *work)
{
	const ForestHeader *header = forest->header;
	uintptr_t	end = (uintptr_t) scratch;
	uint32_t	most_nodes = 1;
	uint32_t	most_blocks = 1;
	uint32_t	i;

	for (i = 0; i < header->num_trees; i++)
	{
		uint32_t	num_nodes = forest_tree_size(forest, i);

		if (most_nodes < num_nodes)
			most_nodes = num_nodes;
		if (most_blocks < num_blocks(&forest->trees[i]))
			most_blocks = num_blocks(&forest->trees[i]);
	}
	work->known = take(&end, most_blocks, sizeof(Points));
	work->weights = take(&end, most_blocks, sizeof(Points));
	work->sums = take(&end, header->num_slots, sizeof(Points));
	work->values = take(&end, most_nodes, sizeof(Points));
	work->claims = take(&end, most_nodes / 2, sizeof(Claim));
	work->shares = take(&end, most_nodes, sizeof(float));
	work->slots = take(&end, header->num_slots, sizeof(uint32_t));
	work->size = end - (uintptr_t) scratch + sizeof(Points);
}

size_t
forest_contributions_scratch_size(const Forest *forest)
{
	Work		work;

	if (forest->header->kind == FOREST_LINEAR)
		return 0;
	lay_out_work(forest, NULL, &work);
	return work.size;
}

/* ---- the rule ---- */

/*
 * Gauss-Legendre quadrature on 0 to 1: the roots of the Legendre polynomial of
 * degree n by Newton's method, from their asymptotic places.
 */
static void
make_rule(uint32_t blocks, Points *known, Points *weights)
{
	uint32_t	n = blocks * LANES;
	uint32_t	i;

	for (i = 0; i < n; i++)
	{
		double		x = cos(3.14159265358979323846 * (i + 0.75) / (n + 0.5));
		double		slope = 1;
		int			steps;

		for (steps = 0; steps < 100; steps++)
		{
			double		value = 1;
			double		before = 0;
			double		step;
			uint32_t	j;

			for (j = 0; j < n; j++)
			{
				double		next = ((2 * j + 1) * x * value - j * before) / (j + 1);

				before = value;
				value = next;
			}
			slope = n * (x * value - before) / (x * x - 1);
			step = value / slope;
			x -= step;
			if (fabs(step) < 1e-15)
				break;
		}
		known[i / LANES][i % LANES] = (float) ((1 + x) / 2);
		weights[i / LANES][i % LANES] = (float) (1 / ((1 - x * x) * slope * slope));
	}
}

/* ---- trees ---- */

/* Does the row go right at an inner node? */
static inline uint32_t
goes_right(const Forest *forest, const ForestNode *node, uint32_t slot, const uint32_t *slots)
{
	float		value;

	if (slot >= forest->first_categorical)
		return forest_in_set(forest->category_sets + node->value.set, slots[slot]);
	memcpy(&value, &slots[slot], sizeof(value));
	return !(value < node->value.cut);
}

/* Down a tree: claims and, on the way, the probabilities of reaching nodes. */
static void
walk_down(const Forest *forest, const ForestNode *nodes, const ForestSplit *splits,
		  uint32_t num_splits, uint32_t block, const Work *work)
{
	uint32_t	slot_mask = (UINT32_C(1) << forest->header->slot_bits) - 1;
	Points		known = work->known[block];
	Points		unknown = 1.0f - known;
	uint32_t	k = 0;
	uint32_t	i;

	work->values[0] = work->weights[block];
	work->shares[0] = 1.0f;
	for (i = 0; k < num_splits; i++)
	{
		Claim	   *claim = &work->claims[k];
		Points		reach = work->values[i];
		uint32_t	right;
		float		cold;
		float		share;

		if (nodes[i].step == 0)
			continue;
		claim->slot = nodes[i].step & slot_mask;
		right = goes_right(forest, &nodes[i], claim->slot, work->slots);
		claim->hot = 2 * k + 1 + right;
		cold = right ? splits[k].left_share : 1.0f - splits[k].left_share;
		share = work->shares[splits[k].previous];
		work->shares[2 * k + 1] = work->shares[2 * k + 2] = -1.0f;
		if (share < 0.0f)
		{
			claim->cold = cold - (Points) {0};
			claim->weight = (Points) {0};
		}
		else
		{
			Points		odds = 1.0f / (known + unknown * share);

			work->shares[claim->hot] = share * (1.0f - cold);
			claim->cold = unknown * odds * (share * cold);
			claim->weight = reach * odds * odds * (share * cold);
		}
		work->values[2 * k + 2 - right] = reach * claim->cold;
		work->values[claim->hot] = reach - reach * claim->cold;
		k++;
	}
}

/* Up a tree: the expected value of each node, and what splits claim. */
static void
walk_up(const Forest *forest, const ForestNode *nodes, uint32_t num_nodes,
		uint32_t output, const Work *work)
{
	uint32_t	num_outputs = forest->header->num_outputs;
	bool		vectors = forest->header->num_leaf_vectors > 0;
	Points	   *values = work->values;
	uint32_t	k = num_nodes / 2;
	uint32_t	i;

	for (i = num_nodes; i-- > 0;)
	{
		const Claim *claim;
		Points		difference;

		if (nodes[i].step == 0)
		{
			float		leaf = nodes[i].value.cut;

			if (vectors)
				leaf = forest->leaf_vectors[(size_t) nodes[i].value.vector * num_outputs +
											output];
			values[i] = leaf - (Points) {0};
			continue;
		}
		claim = &work->claims[--k];
		difference = values[claim->hot] - values[4 * k + 3 - claim->hot];
		values[i] = values[claim->hot] - claim->cold * difference;
		work->sums[claim->slot] += claim->weight * difference;
	}
}

/* All trees of an output that take so many blocks of points. */
static void
add_trees(const Forest *forest, uint32_t blocks, uint32_t output, const Work *work)
{
	const ForestHeader *header = forest->header;
	uint32_t	i;
	uint32_t	block;

	for (i = 0; i < header->num_trees; i++)
	{
		const ForestTree *tree = &forest->trees[i];
		const ForestNode *nodes = forest->nodes + tree->root;
		const ForestSplit *splits = forest->splits + forest_num_splits(tree->root, i);
		uint32_t	num_nodes = forest_tree_size(forest, i);

		if (num_blocks(tree) != blocks ||
			(header->num_leaf_vectors == 0 && tree->output != output))
			continue;
		for (block = 0; block < blocks; block++)
		{
			walk_down(forest, nodes, splits, num_nodes / 2, block, work);
			walk_up(forest, nodes, num_nodes, output, work);
		}
	}
}

/* ---- forests ---- */

bool
forest_explains(const Forest *forest)
{
	return forest->header->kind == FOREST_LINEAR || forest->header->has_splits;
}

/* Linear: weight times value; libxgboost: src/gbm/gblinear.cc. */
static void
linear_contributions(const Forest *forest, const float *row, uint32_t output,
					 double *contributions)
{
	const ForestHeader *header = forest->header;
	const float *weights = forest->weights + output;
	uint32_t	feature;

	for (feature = 0; feature < header->num_features; feature++)
	{
		float		value = row[feature];

		contributions[feature] = isnan(value) || value == header->missing ? 0 :
			value * weights[(size_t) feature * header->num_outputs];
	}
	contributions[header->num_features] = forest->base_margins[output] +
		weights[(size_t) header->num_features * header->num_outputs];
}

void
forest_contributions(const Forest *forest, const float *row, uint32_t output,
					 void *scratch, double *contributions)
{
	const ForestHeader *header = forest->header;
	uint32_t	most_blocks = 0;
	uint32_t	blocks;
	uint32_t	i;
	Work		work;

	if (header->kind == FOREST_LINEAR)
	{
		linear_contributions(forest, row, output, contributions);
		return;
	}
	lay_out_work(forest, scratch, &work);
	forest_fill_slots(forest, row, work.slots);
	memset(work.sums, 0, header->num_slots * sizeof(Points));
	for (i = 0; i < header->num_trees; i++)
		if (most_blocks < num_blocks(&forest->trees[i]))
			most_blocks = num_blocks(&forest->trees[i]);
	for (blocks = 1; blocks <= most_blocks; blocks++)
	{
		make_rule(blocks, work.known, work.weights);
		add_trees(forest, blocks, output, &work);
	}
	for (i = 0; i < header->num_features; i++)
		contributions[i] = 0;
	for (i = 1; i < header->num_slots; i++)
	{
		Points		sum = work.sums[i];

		contributions[forest->slots[i].feature] +=
			(double) sum[0] + sum[1] + sum[2] + sum[3];
	}
	contributions[header->num_features] = forest->expected[output];
}
