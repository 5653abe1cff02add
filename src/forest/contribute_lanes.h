/*
 * contribute_lanes.h
 *		Contributions of many rows, for so many rows at once as a vector of the
 *		processor has lanes.  Included by contribute_rows.c once for each LANES, with
 *		TARGET, which says what the processor needs, and NAME(), which tells the
 *		functions apart.
 *
 * The passes are those of contribute.c, one point after the other.  What is the
 * same for all rows, the forks of a tree, is found once for a block.
 */

typedef float NAME(Vector) __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t NAME(Mask) __attribute__((vector_size(LANES * sizeof(int32_t))));

#define Vector	NAME(Vector)
#define Mask	NAME(Mask)

/* Where the mask is set the one, else the other. */
#define CHOOSE(mask, one, other) \
	((Vector) (((Mask) (one) & (mask)) | ((Mask) (other) & ~(mask))))

/* Where the rows of a chunk go at a fork of categories. */
TARGET static ALWAYS_INLINE Mask
NAME(in_set)(const uint32_t *set, const uint32_t *bits)
{
	Mask		right;
	uint32_t	i;

	for (i = 0; i < LANES; i++)
		right[i] = -(int32_t) forest_in_set(set, bits[i]);
	return right;
}

/* Where the rows of a chunk go at all forks, and where they still may be hot. */
TARGET static ALWAYS_INLINE void
NAME(decide)(const Forest *forest, uint32_t tree, const uint32_t *slots, const RowsWork *work)
{
	const Forks *forks = &work->forks;
	const ForestNode *nodes = forest->nodes + forest->trees[tree].root;
	const ForestSplit *splits = splits_of(forest, tree);
	Vector	   *cold_shares = (Vector *) work->cold_shares;
	Mask	   *rights = (Mask *) work->rights;
	Mask	   *hot = (Mask *) work->hot;
	uint32_t	i;

	for (i = 0; i < forks->count; i++)
	{
		const ForestNode *node = &nodes[forks->nodes[i]];
		const uint32_t *values = slots + (size_t) forks->slots[i] * LANES;
		Mask		right;

		if (forks->slots[i] >= forest->first_categorical)
			right = NAME(in_set)(forest->category_sets + node->value.set, values);
		else
			right = ~(Mask) (*(const Vector *) values < node->value.cut);
		rights[i] = right;
		cold_shares[i] = CHOOSE(right, share_of(&splits[i], 0) - (Vector) {0},
								share_of(&splits[i], 1) - (Vector) {0});
	}
	hot[0] = ~(Mask) {0};
	for (i = 1; i < forks->num_repeats; i++)
	{
		const Repeat *repeat = &forks->list[i];
		Mask		right = rights[repeat->above];

		hot[i] = hot[forks->repeats[repeat->above]] & (repeat->right ? right : ~right);
	}
}

/* The states of all repeats at a point. */
TARGET static ALWAYS_INLINE void
NAME(find_states)(float known, float unknown, const RowsWork *work)
{
	const Vector one = 1.0f - (Vector) {0};
	const Mask *hot = (const Mask *) work->hot;
	Vector	   *states = (Vector *) work->states;
	uint32_t	i;

	states[0] = unknown - (Vector) {0};
	states[1] = one;
	for (i = 1; i < work->forks.num_repeats; i++)
	{
		float		rest = unknown * work->forks.list[i].share;
		float		weight = 1.0f / (known + rest);

		states[2 * i] = CHOOSE(hot[i], rest * weight - (Vector) {0}, one);
		states[2 * i + 1] = CHOOSE(hot[i], weight - (Vector) {0}, (Vector) {0});
	}
}

/* Down and up a tree at a point, for a chunk. */
TARGET static ALWAYS_INLINE void
NAME(walk)(float root, const RowsWork *work, Vector *sums)
{
	const Forks *forks = &work->forks;
	const Vector *cold_shares = (const Vector *) work->cold_shares;
	const Mask *rights = (const Mask *) work->rights;
	const Vector *states = (const Vector *) work->states;
	Vector	   *reach = (Vector *) work->reach;
	Vector	   *values = (Vector *) work->values;
	uint32_t	k;

	reach[0] = root - (Vector) {0};
	for (k = 0; k < forks->lowest; k++)
	{
		Vector		to_cold = cold_shares[k] * states[2 * forks->repeats[k]] * reach[forks->nodes[k]];
		Vector		to_hot = reach[forks->nodes[k]] - to_cold;

		reach[2 * k + 1] = CHOOSE(rights[k], to_cold, to_hot);
		reach[2 * k + 2] = CHOOSE(rights[k], to_hot, to_cold);
	}
	for (k = forks->count; k-- > 0;)
	{
		bool		is_lowest = k >= forks->lowest;
		Vector		left = is_lowest ? forks->leaves[2 * k + 1] - (Vector) {0} : values[2 * k + 1];
		Vector		right = is_lowest ? forks->leaves[2 * k + 2] - (Vector) {0} : values[2 * k + 2];
		Vector		hot = CHOOSE(rights[k], right, left);
		Vector		difference = hot - CHOOSE(rights[k], left, right);
		Vector		cold = cold_shares[k] * states[2 * forks->repeats[k]];

		values[forks->nodes[k]] = hot - cold * difference;
		sums[forks->slots[k]] += cold * reach[forks->nodes[k]] * states[2 * forks->repeats[k] + 1] *
			difference;
	}
}

/* What is the same for all rows: the forks, and the values of leaves.  Where the
 * leaves are is too irregular to foresee, so the loop has no branches. */
TARGET static ALWAYS_INLINE void
NAME(open_tree)(const Forest *forest, uint32_t tree, uint32_t output, RowsWork *work)
{
	const ForestNode *nodes = forest->nodes + forest->trees[tree].root;
	const ForestSplit *splits = splits_of(forest, tree);
	uint32_t	slot_mask = (UINT32_C(1) << forest->header->slot_bits) - 1;
	uint32_t	num_nodes = forest_tree_size(forest, tree);
	Vector	   *values = (Vector *) work->values;
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
		add_fork(&forks, &nodes[forks.nodes[i]], &splits[i], slot_mask);
	forks.list[0].share = 1.0f;
	for (i = 1; i < forks.num_repeats; i++)
		complete_repeat(&forks, splits, i);
	find_lowest(&forks);
	for (i = 0; i < 2 * forks.lowest + 1; i++)
		values[i] = forks.leaves[i] - (Vector) {0};
	work->forks = forks;
}

TARGET static void
NAME(explain_rows)(const Forest *forest, const Rule *rule, uint32_t output, RowsWork *work)
{
	uint32_t	num_slots = forest->header->num_slots;
	uint32_t	tree;
	uint32_t	chunk;
	uint32_t	point;

	for (tree = 0; tree < forest->header->num_trees; tree++)
	{
		if (!is_for_rule(forest, &forest->trees[tree], rule, output))
			continue;
		NAME(open_tree)(forest, tree, output, work);
		for (chunk = 0; chunk < work->num_chunks; chunk++)
		{
			NAME(decide)(forest, tree, work->slots + (size_t) chunk * num_slots * LANES, work);
			for (point = 0; point < rule->count; point++)
			{
				NAME(find_states)(rule->known[point], rule->unknown[point], work);
				NAME(walk)(rule->weights[point], work, (Vector *) work->sums +
						   ((size_t) chunk * POINTS + point) * num_slots);
			}
		}
	}
}

#undef CHOOSE
#undef Vector
#undef Mask
#undef NAME
#undef TARGET
#undef LANES
