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
 * led elsewhere than the row goes: then it surely is unknown.  So two passes
 * over a tree do: down, the probability R of reaching each node; up, the
 * expected value V of each.  A split whose feature may be known adds to its
 * feature's value
 *
 *	 integral of R (V(hot) - V(cold)) (-dp/dt),  -dp/dt = s c / (t + (1 - t) s)^2
 *
 * where hot is the child that the row goes to, and cold the other one.  The
 * integrand is a polynomial in t of degree m - 1, with m different features on
 * a path at most, so Gauss-Legendre quadrature with m / 2 points is exact.  (Yu
 * et al., Linear TreeSHAP, 2022, interpolate the same polynomials.)
 *
 * Points are the lanes of a vector: four serve a tree with up to eight features on
 * a path; for more, both passes are made for every four points.  Time: nodes
 * times m / 8.  No branch in the passes depends on the row.
 */
#include <math.h>
#include <string.h>

#include "layout.h"
#include "pure.h"

#define LANES	4

/* Four points of the rule, or a value at each of them. */
typedef float Points __attribute__((vector_size(LANES * sizeof(float))));

/*
 * Four points of the quadrature, as they enter p(t) where a feature is known with
 * probability t; and where it surely is not, which is at t = 0.
 */
typedef struct Rule
{
	Points		known;			/* t */
	Points		unknown;		/* 1 - t */
	Points		slope;			/* -dp/dt is p(t) times this over (t + (1 - t) s) */
	Points		weights;
} Rule;

/* A node of the tree at hand. */
typedef struct Place
{
	Points		reach;			/* R */
	float		share;			/* s, for further splits on the feature that led here */
	uint32_t	is_hot;			/* 1: the row goes here as far as that feature goes */
} Place;

/* Is lost in the sum with any share but 0, which must not be a divisor. */
#define LEAST_SHARE		1e-30f

/* An inner node of the tree at hand, with this row. */
typedef struct Claim
{
	Points		cold;			/* p: probability of going where the row does not */
	Points		weight;			/* of V(hot) - V(cold) in the feature's value */
	uint32_t	node;
	uint32_t	right;			/* 1: the row goes right */
	uint32_t	slot;
} Claim;

/* What is needed besides the forest, all of it in the caller's scratch space. */
typedef struct Work
{
	Rule	   *rules;			/* [most blocks][surely unknown, known with t] */
	Points	   *sums;			/* [num_slots]: what a slot's splits add */
	Place	   *places;			/* [most nodes] */
	Points	   *values;			/* likewise: V */
	Claim	   *claims;			/* [most splits + 1] */
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
	work->rules = take(&end, 2 * most_blocks, sizeof(Rule));
	work->sums = take(&end, header->num_slots, sizeof(Points));
	work->places = take(&end, most_nodes, sizeof(Place));
	work->values = take(&end, most_nodes, sizeof(Points));
	work->claims = take(&end, most_nodes / 2 + 1, sizeof(Claim));
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
make_rules(uint32_t blocks, Rule *rules)
{
	uint32_t	n = blocks * LANES;
	Rule	   *rule;
	double		rest = 1;
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
		rule = &rules[i / LANES * 2];
		rule[0].weights[i % LANES] = (float) (1 / ((1 - x * x) * slope * slope));
		rule[1].known[i % LANES] = (float) ((1 + x) / 2);
		rest -= rule[0].weights[i % LANES];
	}
	rules[0].weights[0] += (float) rest;	/* what rounding has taken away */
	for (i = 0; i < blocks; i++, rules += 2)
	{
		rules[0].known = rules[0].slope = (Points) {0};
		rules[0].unknown = 1.0f - rules[0].known;
		rules[1].unknown = 1.0f - rules[1].known;
		rules[1].slope = 1.0f / (rules[1].unknown * rules[1].unknown);
		rules[1].weights = rules[0].weights;
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

/*
 * What both walks need of a tree: its inner nodes, in order, and its leaves'
 * values.  Without branches: where the leaves are is too irregular to foresee.
 */
static void
open_tree(const Forest *forest, const ForestNode *nodes, uint32_t num_nodes,
		  uint32_t output, const Work *work)
{
	uint32_t	num_outputs = forest->header->num_outputs;
	uint32_t	k = 0;
	uint32_t	i;

	for (i = 0; i < num_nodes; i++)
	{
		work->claims[k].node = i;
		k += nodes[i].step != 0;
		work->values[i] = nodes[i].value.cut - (Points) {0};
	}
	for (i = 0; forest->header->num_leaf_vectors > 0 && i < num_nodes; i++)
		if (nodes[i].step == 0)
			work->values[i] = forest->leaf_vectors[(size_t) nodes[i].value.vector * num_outputs +
												   output] - (Points) {0};
}

/* Down a tree: where the row goes, and the probabilities of reaching nodes. */
static void
walk_down(const Forest *forest, const ForestNode *nodes, const ForestSplit *splits,
		  uint32_t num_splits, const Rule *rules, const Work *work)
{
	uint32_t	slot_mask = (UINT32_C(1) << forest->header->slot_bits) - 1;
	Place	   *children = work->places + 1;
	Claim	   *claim = work->claims;
	const ForestSplit *end = splits + num_splits;

	work->places[0].reach = rules->weights;
	work->places[0].share = 1.0f;
	work->places[0].is_hot = 1;
	for (; splits < end; splits++, children += 2, claim++)
	{
		const ForestNode *node = &nodes[claim->node];
		const Place *above = &work->places[splits->previous];
		const Rule *rule = &rules[above->is_hot];
		Points		reach = work->places[claim->node].reach;
		uint32_t	slot = node->step & slot_mask;
		uint32_t	right = goes_right(forest, node, slot, work->slots);
		Place	   *hot = &children[right];
		Place	   *cold = &children[1 - right];
		float		share = above->share * fabsf((float) (1 - right) - splits->left_share);
		Points		odds = rule->unknown / (rule->known + rule->unknown * above->share);
		Points		to_cold = odds * share;

		claim->right = right;
		claim->slot = slot;
		claim->cold = to_cold;
		to_cold *= reach;
		claim->weight = to_cold * odds * rule->slope;
		hot->reach = reach - to_cold;
		hot->share = above->share - share + LEAST_SHARE;
		hot->is_hot = above->is_hot;
		cold->reach = to_cold;
		cold->share = 1.0f;
		cold->is_hot = 0;
	}
}

/* Up a tree: the expected value of each node, and what splits claim. */
static void
walk_up(uint32_t num_splits, const Work *work)
{
	const Claim *claim = work->claims + num_splits;
	const Points *children = work->values + 2 * num_splits + 1;

	while (claim > work->claims)
	{
		Points		hot;
		Points		difference;

		claim--;
		children -= 2;
		hot = children[claim->right];
		difference = hot - children[1 - claim->right];
		work->values[claim->node] = hot - claim->cold * difference;
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
		open_tree(forest, nodes, num_nodes, output, work);
		for (block = 0; block < blocks; block++)
		{
			walk_down(forest, nodes, splits, num_nodes / 2, &work->rules[2 * block], work);
			walk_up(num_nodes / 2, work);
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
		make_rules(blocks, work.rules);
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
