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
 *		forks above on the same feature; 1 when there are none
 *
 * a fork is reached with the feature still unknown with probability
 *
 *	 A(t) = (1 - t) s / (t + (1 - t) s)
 *
 * (given that it is reached), and the walk goes to the child that the row does
 * not go to with probability p = A c.  Where a fork above on that feature led
 * elsewhere than the row goes, the feature surely is unknown: A = 1.  So two
 * passes over a tree do: down, the probability R of reaching each node; up, the
 * expected value V of each.  A fork whose feature may be known adds to its
 * feature's value the integral of
 *
 *	 R (V(hot) - V(cold)) (-dp/dt),  -dp/dt = p B / (1 - t),  B(t) = 1 / (t + (1 - t) s)
 *
 * where hot is the child that the row goes to, and cold the other one, which is
 * reached with probability R p; where the feature surely is unknown, B = 0.  The
 * division by 1 - t is left for the end.  The integrand is a polynomial in t of
 * degree m - 1, with m different features on a path at most, so Gauss-Legendre
 * quadrature with m / 2 points is exact.  (Yu et al., Linear TreeSHAP, 2022,
 * interpolate the same polynomials.)
 *
 * A and B differ from 1 - t and 1 only at repeats: forks with another one above
 * on the same feature, which are few.  s does not depend on the row: it is the
 * product of shares on the way to the fork; a row is or is not still "hot" there.
 *
 * One row: points are the lanes of a vector: four serve a tree with up to eight
 * features on a path; for more, all trees are walked for every four points.
 * Many rows: rows are the lanes, and points come one after the other
 * (contribute_lanes.h).  No branch in the passes depends on the row.  The lowest
 * forks, about half of all, have but leaves below them: there both passes are one
 * step.
 */
#include <math.h>
#include <string.h>

#include "contribute.h"
#include "pure.h"

/* Fewer rows than this cost more as a block than one by one. */
#define LEAST_ROWS		4

/* Blocks are not for larger forests: they take some 300 bytes a node of the largest
 * tree, and 1.3 kB a slot. */
#define MOST_NODES		65536
#define MOST_SLOTS		16384

/* ---- scratch space ---- */

/* Nodes of the largest tree. */
static uint32_t
find_most_nodes(const Forest *forest)
{
	uint32_t	most = 1;
	uint32_t	i;

	for (i = 0; i < forest->header->num_trees; i++)
		if (most < forest_tree_size(forest, i))
			most = forest_tree_size(forest, i);
	return most;
}

/* Room for Points of each node: that of node 1 is aligned to 64, so that the children
 * of forks 2k and 2k + 1 are. */
static Points *
take_nodes(uintptr_t *end, uint32_t most_nodes)
{
	return (Points *) take_scratch(end, most_nodes + 3, sizeof(Points)) + 3;
}

/* Divide scratch space for one row; returns its size. */
static size_t
lay_out_row(const Forest *forest, void *scratch, RowWork *work)
{
	uint32_t	num_slots = forest->header->num_slots;
	uint32_t	most_nodes = find_most_nodes(forest);
	uint32_t	most_forks = most_nodes / 2;
	uintptr_t	end = (uintptr_t) scratch;

	take_forks(&end, most_nodes, &work->forks);
	work->slots = take_scratch(&end, num_slots, sizeof(uint32_t));
	work->sums = take_scratch(&end, num_slots, sizeof(Points));
	work->reach = take_nodes(&end, most_nodes);
	work->values = take_nodes(&end, most_nodes);
	work->colds = take_scratch(&end, most_forks, sizeof(Points));
	work->to_colds = take_scratch(&end, most_forks, sizeof(Points));
	work->cold_shares = take_scratch(&end, most_forks + SPARE, sizeof(float));
	work->rights = take_scratch(&end, most_forks + SPARE, sizeof(uint32_t));
	work->cuts = take_scratch(&end, most_forks + SPARE, sizeof(float));
	work->hot = take_scratch(&end, most_forks + 1, sizeof(uint32_t));
	work->states = take_scratch(&end, most_forks + 1, sizeof(PointState));
	return end + PLAN_ALIGNMENT - (uintptr_t) scratch;
}

/* Divide scratch space for a block of rows; returns its size. */
static size_t
lay_out_rows(const Forest *forest, void *scratch, RowsWork *work)
{
	size_t		vector = forest->contribute->lanes * sizeof(float);
	size_t		most_chunks = BLOCK_ROWS / forest->contribute->lanes;
	uint32_t	num_slots = forest->header->num_slots;
	uint32_t	most_nodes = find_most_nodes(forest);
	uint32_t	most_forks = most_nodes / 2;
	uintptr_t	end = (uintptr_t) scratch;

	take_forks(&end, most_nodes, &work->forks);
	work->slots = take_scratch(&end, most_chunks * num_slots, vector);
	work->sums = take_scratch(&end, most_chunks * POINTS * num_slots, vector);
	work->reach = take_scratch(&end, most_nodes, vector);
	work->values = take_scratch(&end, most_nodes, vector);
	work->cold_shares = take_scratch(&end, most_forks, vector);
	work->rights = take_scratch(&end, most_forks, vector);
	work->hot = take_scratch(&end, most_forks + 1, vector);
	work->states = take_scratch(&end, 2 * (most_forks + 1), vector);
	work->row_slots = take_scratch(&end, num_slots, sizeof(uint32_t));
	return end + PLAN_ALIGNMENT - (uintptr_t) scratch;
}

/* Can many rows be explained together? */
static bool
takes_blocks(const Forest *forest)
{
	return forest->header->kind != FOREST_LINEAR && find_most_nodes(forest) <= MOST_NODES &&
		forest->header->num_slots <= MOST_SLOTS;
}

size_t
forest_contributions_scratch_size(const Forest *forest)
{
	RowWork		work;

	return forest->header->kind == FOREST_LINEAR ? 0 : lay_out_row(forest, NULL, &work);
}

size_t
forest_contributions_batch_scratch_size(const Forest *forest)
{
	RowsWork	work;
	size_t		row = forest_contributions_scratch_size(forest);
	size_t		rows = takes_blocks(forest) ? lay_out_rows(forest, NULL, &work) : 0;

	return row > rows ? row : rows;
}

/* ---- the rule ---- */

/*
 * Point i of the n of Gauss-Legendre quadrature on 0 to 1: a root of the Legendre
 * polynomial of degree n by Newton's method, from its asymptotic place.  Returns
 * the weight; *rest is the point's distance from 1.
 */
static double
find_point(uint32_t i, uint32_t n, double *rest)
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
	*rest = (1 - x) / 2;
	return 1 / ((1 - x * x) * slope * slope);
}

/* The points of a rule from `first` on, four at most. */
static void
make_rule(uint32_t num_points, uint32_t first, Rule *rule)
{
	uint32_t	i;

	rule->num_points = num_points;
	rule->first = first;
	rule->count = num_points - first < POINTS ? num_points - first : POINTS;
	rule->known = rule->unknown = 0.5f + (Points) {0};
	rule->weights = (Points) {0};
	for (i = 0; i < rule->count; i++)
	{
		double		rest;
		double		weight = find_point(first + i, num_points, &rest);

		rule->known[i] = (float) (1 - rest);
		rule->unknown[i] = (float) rest;
		rule->weights[i] = (float) weight;
		rule->scales[i] = weight / rule->weights[i] / rule->unknown[i];
	}
}

/* The next rule that some tree wants, or the next points of a long one; the first
 * comes after zeroes.  False: there is none. */
static bool
next_rule(const Forest *forest, Rule *rule)
{
	uint32_t	next = UINT32_MAX;
	uint32_t	i;

	if (rule->first + rule->count < rule->num_points)
	{
		make_rule(rule->num_points, rule->first + rule->count, rule);
		return true;
	}
	for (i = 0; i < forest->header->num_trees; i++)
	{
		uint32_t	points = points_of(&forest->trees[i]);

		if (points > rule->num_points && points < next)
			next = points;
	}
	if (next == UINT32_MAX)
		return false;
	make_rule(next, 0, rule);
	return true;
}

/* ---- one row ---- */

/* Does the row go right at a fork? */
static inline uint32_t
goes_right(const Forest *forest, const ForestNode *node, uint32_t slot, const uint32_t *slots)
{
	float		value;

	if (slot >= forest->first_categorical)
		return forest_in_set(forest->category_sets + node->value.set, slots[slot]);
	memcpy(&value, &slots[slot], sizeof(value));
	return !(value < node->value.cut);
}

/* Find the forks of a tree and where the row goes.  Where the leaves are is too
 * irregular to foresee, so the loop over nodes has no branches. */
static ALWAYS_INLINE void
open_tree(const Forest *forest, uint32_t tree, uint32_t output, RowWork *work)
{
	const ForestNode *nodes = forest->nodes + forest->trees[tree].root;
	const ForestSplit *splits = splits_of(forest, tree);
	uint32_t	slot_mask = (UINT32_C(1) << forest->header->slot_bits) - 1;
	uint32_t	num_nodes = forest_tree_size(forest, tree);
	Forks		forks = work->forks;	/* in registers */
	uint32_t	k = 0;
	uint32_t	i;

	for (i = 0; i < num_nodes; i++)
	{
		forks.nodes[k] = i;
		k += nodes[i].step != 0;
		forks.leaves[i] = leaf_value(forest, &nodes[i], output);
	}
	forks.count = 0;
	forks.num_repeats = 1;
	for (i = 0; i < k; i++)
	{
		const ForestNode *node = &nodes[forks.nodes[i]];
		uint32_t	right = goes_right(forest, node, node->step & slot_mask, work->slots);

		add_fork(&forks, node, &splits[i], slot_mask);
		work->rights[i] = right;
		work->cold_shares[i] = share_of(&splits[i], 1 - right);
	}
	find_lowest(&forks);
	work->forks = forks;
}

/* See contribute.h; any processor. */
void
contribute_row(const Forest *forest, const Rule *rule, uint32_t output, RowWork *work)
{
	RowWork		local = *work;	/* in registers */
	uint32_t	i;
	uint32_t	k;

	for (i = 0; i < forest->header->num_trees; i++)
	{
		if (!is_for_rule(forest, &forest->trees[i], rule, output))
			continue;
		open_tree(forest, i, output, &local);
		find_states(rule, splits_of(forest, i), &local);
		spread_leaves(&local);
		local.reach[0] = rule->weights;
		for (k = 0; k < local.forks.lowest; k++)
			step_down(&local, k);
		for (k = local.forks.count; k > local.forks.lowest; k--)
			step_lowest(&local, k - 1);
		while (k-- > 0)
			step_up(&local, k);
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

/* Add what the sums of a row say.  Those of a slot, and of a point, are so far apart. */
static void
add_sums(const Forest *forest, const Rule *rule, const float *sums, size_t slot_stride,
		 size_t point_stride, double *contributions)
{
	uint32_t	slot;
	uint32_t	point;

	for (slot = 1; slot < forest->header->num_slots; slot++)
	{
		double		sum = 0;

		for (point = 0; point < rule->count; point++)
			sum += sums[slot * slot_stride + point * point_stride] * rule->scales[point];
		contributions[forest->slots[slot].feature] += sum;
	}
}

/* What contributions start from. */
static void
begin_contributions(const Forest *forest, uint32_t output, double *contributions)
{
	uint32_t	num_features = forest->header->num_features;
	uint32_t	i;

	for (i = 0; i < num_features; i++)
		contributions[i] = 0;
	contributions[num_features] = forest->expected[output];
}

void
forest_contributions(const Forest *forest, const float *row, uint32_t output,
					 void *scratch, double *contributions)
{
	uint32_t	num_slots = forest->header->num_slots;
	Rule		rule = {0};
	RowWork		work;

	if (forest->header->kind == FOREST_LINEAR)
	{
		linear_contributions(forest, row, output, contributions);
		return;
	}
	begin_contributions(forest, output, contributions);
	lay_out_row(forest, scratch, &work);
	forest_fill_slots(forest, row, work.slots);
	while (next_rule(forest, &rule))
	{
		memset(work.sums, 0, num_slots * sizeof(Points));
		forest->contribute->explain_row(forest, &rule, output, &work);
		add_sums(forest, &rule, (const float *) work.sums, POINTS, 1, contributions);
	}
}

/* ---- many rows ---- */

/* Fill the slots of a block; lanes without a row repeat the last one. */
static void
fill_block(const Forest *forest, const float *rows, uint32_t num_rows, RowsWork *work)
{
	uint32_t	lanes = forest->contribute->lanes;
	uint32_t	num_slots = forest->header->num_slots;
	uint32_t	i;
	uint32_t	slot;

	work->num_chunks = (num_rows + lanes - 1) / lanes;
	for (i = 0; i < work->num_chunks * lanes; i++)
	{
		uint32_t   *slots = work->slots + (size_t) (i / lanes) * lanes * num_slots + i % lanes;

		if (i < num_rows)
			forest_fill_slots(forest, rows + (size_t) i * forest->header->num_features,
							  work->row_slots);
		for (slot = 0; slot < num_slots; slot++)
			slots[(size_t) slot * lanes] = work->row_slots[slot];
	}
}

/* Explain a block of rows. */
static void
explain_block(const Forest *forest, const float *rows, uint32_t num_rows, uint32_t output,
			  void *scratch, double *contributions)
{
	uint32_t	num_slots = forest->header->num_slots;
	uint32_t	width = forest->header->num_features + 1;
	size_t		lanes = forest->contribute->lanes;
	size_t		chunk_size = POINTS * num_slots * lanes;
	Rule		rule = {0};
	RowsWork	work;
	uint32_t	i;

	lay_out_rows(forest, scratch, &work);
	fill_block(forest, rows, num_rows, &work);
	for (i = 0; i < num_rows; i++)
		begin_contributions(forest, output, contributions + (size_t) i * width);
	while (next_rule(forest, &rule))
	{
		memset(work.sums, 0, work.num_chunks * chunk_size * sizeof(float));
		forest->contribute->explain_rows(forest, &rule, output, &work);
		for (i = 0; i < num_rows; i++)
			add_sums(forest, &rule, work.sums + i / lanes * chunk_size + i % lanes, lanes,
					 num_slots * lanes, contributions + (size_t) i * width);
	}
}

void
forest_contributions_batch(const Forest *forest, const float *rows, size_t num_rows,
						   uint32_t output, void *scratch, double *contributions)
{
	bool		as_blocks = takes_blocks(forest);

	while (num_rows > 0)
	{
		uint32_t	some = 1;

		if (as_blocks && num_rows >= LEAST_ROWS)
		{
			some = num_rows < BLOCK_ROWS ? num_rows : BLOCK_ROWS;
			explain_block(forest, rows, some, output, scratch, contributions);
		}
		else
			forest_contributions(forest, rows, output, scratch, contributions);
		rows += (size_t) some * forest->header->num_features;
		contributions += (size_t) some * (forest->header->num_features + 1);
		num_rows -= some;
	}
}
