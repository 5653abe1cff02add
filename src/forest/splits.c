/*
 * splits.c
 *		What the builder adds to an image for contributions (contribute.c).
 *
 * Trees are known here as the image has them: breadth first, so the k-th inner
 * node's children are the nodes 2k + 1 and 2k + 2, and left children have odd
 * numbers.
 */
#include "layout.h"
#include "pure.h"

/* The feature of an inner node. */
static uint32_t
feature_of(const ForestTreeSplits *tree, uint32_t node)
{
	return tree->slots[tree->nodes[node].step &
					   ((UINT32_C(1) << tree->slot_bits) - 1)].feature;
}

/*
 * Link each split with the nearest one above on the same feature.  Walks the
 * tree depth first; latest[feature] is where the last split on it led, and is all
 * 0 again in the end.  Returns how many different features are on a path, at
 * most.
 */
uint32_t
forest_link_splits(const ForestTreeSplits *tree)
{
	uint32_t   *latest = tree->latest;
	uint32_t	num_features = 0;
	uint32_t	most = 0;
	uint32_t	at = 0;
	uint32_t	k;

	for (k = 0; at < tree->num_nodes; at++)
		if (tree->nodes[at].step != 0)
			tree->inner[k++] = at;
	at = 0;
	for (;;)
	{
		uint32_t	feature;

		if (tree->nodes[at].step != 0)
		{
			k = (at + (tree->nodes[at].step >> tree->slot_bits)) / 2;
			feature = feature_of(tree, at);
			tree->splits[k].previous = latest[feature];
			num_features += latest[feature] == 0;
			if (most < num_features)
				most = num_features;
			latest[feature] = at = 2 * k + 1;
			continue;
		}
		while (at != 0 && at % 2 == 0)	/* back from right children */
		{
			k = (at - 1) / 2;
			at = tree->inner[k];
			feature = feature_of(tree, at);
			latest[feature] = tree->splits[k].previous;
			num_features -= latest[feature] == 0;
		}
		if (at == 0)
			return most;
		latest[feature_of(tree, tree->inner[at / 2])] = at + 1;
		at++;
	}
}

/*
 * Add a tree's expected value to the margins: its leaves' values weighted by the
 * shares of the splits that lead there.
 */
void
forest_expect_tree(const ForestTreeSplits *tree, uint32_t output, uint32_t num_outputs,
				   const float *leaf_vectors, double *expected)
{
	double	   *reach = tree->reach;
	uint32_t	k = 0;
	uint32_t	i;
	uint32_t	j;

	reach[0] = 1;
	for (i = 0; i < tree->num_nodes; i++)
	{
		const ForestNode *node = &tree->nodes[i];

		if (node->step != 0)
		{
			reach[2 * k + 1] = reach[i] * tree->splits[k].left_share;
			reach[2 * k + 2] = reach[i] - reach[2 * k + 1];
			k++;
		}
		else if (leaf_vectors == NULL)
			expected[output] += reach[i] * node->value.cut;
		else
			for (j = 0; j < num_outputs; j++)
				expected[j] += reach[i] *
					leaf_vectors[(size_t) node->value.vector * num_outputs + j];
	}
}
