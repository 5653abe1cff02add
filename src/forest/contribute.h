/*
 * contribute.h
 *		What the forms of contributions share: one row (contribute.c,
 *		contribute_avx512.c), many rows (contribute_rows.c).  Private to src/forest.
 *
 * Words are those of contribute.c, which explains them.  All forms compute the
 * same numbers from the same numbers in the same order, only others of them at
 * once, so they give the same bits on every processor.
 */
#ifndef PG_RISK_FOREST_CONTRIBUTE_H
#define PG_RISK_FOREST_CONTRIBUTE_H

#include <math.h>

#include "kernel.h"
#include "layout.h"

#define POINTS			4
#define BLOCK_ROWS		64		/* explained together */
#define SPARE			16		/* places after arrays, which a vector may touch */

/* Four points of a rule, or a value at each of them. */
typedef float Points __attribute__((vector_size(POINTS * sizeof(float))));

/* Up to four points of the quadrature; the others weigh nothing. */
typedef struct Rule
{
	uint32_t	num_points;		/* of the whole rule: it is for such trees */
	uint32_t	first;			/* of the points here */
	uint32_t	count;			/* of them */
	Points		known;			/* t */
	Points		unknown;		/* 1 - t */
	Points		weights;
	double		scales[POINTS]; /* what sums are multiplied by in the end */
} Rule;

/* A fork with another one above on the same feature. */
typedef struct Repeat
{
	uint32_t	above;			/* the nearest such fork */
	uint32_t	right;			/* 1: it is on the way to the right there */
	float		share;			/* s */
} Repeat;

/* The forks (inner nodes) of the tree at hand, whatever the row; the children of
 * number k are the nodes 2k + 1 and 2k + 2. */
typedef struct Forks
{
	uint32_t	count;
	uint32_t	lowest;			/* from here on all children are leaves */
	uint32_t   *nodes;			/* [count]: which ones they are */
	uint32_t   *slots;			/* [count] */
	uint32_t   *repeats;		/* [count]: which of the repeats; 0: none */
	uint32_t	num_repeats;	/* with number 0, which is none */
	uint32_t   *repeat_forks;	/* [num_repeats] */
	Repeat	   *list;			/* [num_repeats] */
	float	   *leaves;			/* of each node: its value, if it is a leaf */
} Forks;

/* How many points a tree takes: half as many as features on a path; beyond four,
 * all lanes are used. */
static inline uint32_t
points_of(const ForestTree *tree)
{
	uint32_t	points = (tree->path_features + 1) / 2;

	return points <= POINTS ? points : (points + POINTS - 1) / POINTS * POINTS;
}

/* Is the tree to be explained with this rule, for this output? */
static inline bool
is_for_rule(const Forest *forest, const ForestTree *tree, const Rule *rule, uint32_t output)
{
	return points_of(tree) == rule->num_points &&
		(forest->header->num_leaf_vectors > 0 || tree->output == output);
}

static inline const ForestSplit *
splits_of(const Forest *forest, uint32_t tree)
{
	return forest->splits + forest_num_splits(forest->trees[tree].root, tree);
}

/* The share of a fork's left or right child in its cover. */
static ALWAYS_INLINE float
share_of(const ForestSplit *split, uint32_t right)
{
	return fabsf((float) right - split->left_share);
}

/* Note the next fork of a tree. */
static ALWAYS_INLINE void
add_fork(Forks *forks, const ForestNode *node, const ForestSplit *split, uint32_t slot_mask)
{
	uint32_t	repeated = split->previous != 0;

	forks->slots[forks->count] = node->step & slot_mask;
	forks->repeats[forks->count] = forks->num_repeats & -repeated;
	forks->repeat_forks[forks->num_repeats] = forks->count++;
	forks->num_repeats += repeated;
}

/* The forks are known: which ones are the lowest?  Nodes stand level by level, so
 * after the last fork there are only leaves. */
static ALWAYS_INLINE void
find_lowest(Forks *forks)
{
	forks->lowest = forks->count > 0 ? (forks->nodes[forks->count - 1] + 1) / 2 : 0;
}

/* Complete a repeat, after those before it. */
static ALWAYS_INLINE Repeat *
complete_repeat(const Forks *forks, const ForestSplit *splits, uint32_t number)
{
	Repeat	   *repeat = &forks->list[number];
	uint32_t	previous = splits[forks->repeat_forks[number]].previous;

	repeat->above = (previous - 1) / 2;
	repeat->right = 1 - previous % 2;
	repeat->share = forks->list[forks->repeats[repeat->above]].share *
		share_of(&splits[repeat->above], repeat->right);
	return repeat;
}

/* The value of a leaf; of a fork any number, which asks for no branch. */
static ALWAYS_INLINE float
leaf_value(const Forest *forest, const ForestNode *node, uint32_t output)
{
	if (forest->header->num_leaf_vectors == 0)
		return node->value.cut;
	return node->step != 0 ? 0.0f : forest->leaf_vectors[(size_t) node->value.vector *
														  forest->header->num_outputs + output];
}

/* The next array in scratch space, aligned for vectors. */
static inline void *
take_scratch(uintptr_t *end, size_t count, size_t width)
{
	uintptr_t	start = (*end + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;

	*end = start + count * width;
	return (void *) start;
}

/* Arrays for the forks of a tree of so many nodes. */
static inline void
take_forks(uintptr_t *end, uint32_t most_nodes, Forks *forks)
{
	uint32_t	count = most_nodes / 2 + 1 + SPARE;

	forks->nodes = take_scratch(end, count, sizeof(uint32_t));
	forks->slots = take_scratch(end, count, sizeof(uint32_t));
	forks->repeats = take_scratch(end, count, sizeof(uint32_t));
	forks->repeat_forks = take_scratch(end, count + 1, sizeof(uint32_t));
	forks->list = take_scratch(end, count + 1, sizeof(Repeat));
	forks->leaves = take_scratch(end, most_nodes + SPARE, sizeof(float));
}

/* ---- kernels ---- */

/* A repeat, with this row. */
typedef struct PointState
{
	Points		unknown;		/* A */
	Points		weight;			/* B */
} PointState;

/* One row. */
typedef struct RowWork
{
	Forks		forks;
	uint32_t   *slots;			/* [num_slots]: the row */
	Points	   *sums;			/* [num_slots]: what a slot's forks add */
	/* of the tree at hand */
	Points	   *reach;			/* of each node: R */
	Points	   *values;			/* of each node: V */
	Points	   *colds;			/* of each fork: p */
	Points	   *to_colds;		/* of each fork: R p */
	float	   *cold_shares;	/* of each fork: c */
	uint32_t   *rights;			/* of each fork, 1: the row goes right */
	float	   *cuts;			/* of each fork, if the kernel notes them */
	uint32_t   *hot;			/* of each repeat, 1: the row comes here as far as its
								 * feature goes */
	PointState *states;			/* of each repeat; number 0: of all other forks */
} RowWork;

/*
 * Up to BLOCK_ROWS rows, in chunks of as many lanes as the kernel has; what is
 * said to be a vector below is an array of so many numbers.
 */
typedef struct RowsWork
{
	Forks		forks;
	uint32_t	num_chunks;
	uint32_t   *slots;			/* vectors [num_chunks][num_slots]: the rows */
	uint32_t   *row_slots;		/* [num_slots]: one of them */
	float	   *sums;			/* vectors [num_chunks][POINTS][num_slots] */
	/* of the tree at hand, vectors */
	float	   *reach;			/* likewise */
	float	   *values;
	float	   *cold_shares;
	int32_t    *rights;			/* all bits or none */
	int32_t    *hot;			/* likewise */
	float	   *states;			/* of each repeat A, then B */
} RowsWork;

/* Add to the sums what all trees make that are for a rule. */
typedef struct ContributeKernel
{
	void		(*explain_row) (const Forest *forest, const Rule *rule, uint32_t output,
								RowWork *work);
	void		(*explain_rows) (const Forest *forest, const Rule *rule, uint32_t output,
								 RowsWork *work);
	uint32_t	lanes;			/* of explain_rows */
	const char *name;
} ContributeKernel;

extern void contribute_row(const Forest *forest, const Rule *rule, uint32_t output, RowWork *work);
extern void contribute_row_avx512(const Forest *forest, const Rule *rule, uint32_t output,
								  RowWork *work);

/* The kernel for this processor, or of a kind that it has (FOREST_KERNEL_...). */
extern const ContributeKernel *contribute_kernel(ForestKernel kernel);

/* ---- one row, a fork at a time ---- */

/* The states of all repeats, once it is known where the row goes. */
static ALWAYS_INLINE void
find_states(const Rule *rule, const ForestSplit *splits, const RowWork *work)
{
	typedef int32_t Mask __attribute__((vector_size(sizeof(Points))));
	const Points one = 1.0f - (Points) {0};
	const Forks *forks = &work->forks;
	uint32_t	i;

	forks->list[0].share = 1.0f;
	work->hot[0] = 1;
	work->states[0] = (PointState) {rule->unknown, one};
	for (i = 1; i < forks->num_repeats; i++)
	{
		const Repeat *repeat = complete_repeat(forks, splits, i);
		uint32_t	hot = work->hot[forks->repeats[repeat->above]] &
			(work->rights[repeat->above] == repeat->right);
		Points		rest = rule->unknown * repeat->share;
		Points		weight = 1.0f / (rule->known + rest);
		Mask		mask = -(int32_t) hot - (Mask) {0};

		work->hot[i] = hot;
		work->states[i].unknown = (Points) (((Mask) (rest * weight) & mask) | ((Mask) one & ~mask));
		work->states[i].weight = (Points) ((Mask) weight & mask);
	}
}

/* The values of nodes that forks above the lowest ones have. */
static ALWAYS_INLINE void
spread_leaves(const RowWork *work)
{
	uint32_t	i;

	for (i = 0; i < 2 * work->forks.lowest + 1; i++)
		work->values[i] = work->forks.leaves[i] - (Points) {0};
}

/* Down a fork. */
static ALWAYS_INLINE void
step_down(const RowWork *work, uint32_t fork)
{
	Points	   *children = work->reach + 2 * fork + 1;
	uint32_t	right = work->rights[fork];
	Points		reach = work->reach[work->forks.nodes[fork]];
	Points		cold = work->cold_shares[fork] * work->states[work->forks.repeats[fork]].unknown;

	work->colds[fork] = cold;
	work->to_colds[fork] = children[1 - right] = cold * reach;
	children[right] = reach - cold * reach;
}

/* Up a fork. */
static ALWAYS_INLINE void
step_up(const RowWork *work, uint32_t fork)
{
	const Points *children = work->values + 2 * fork + 1;
	uint32_t	right = work->rights[fork];
	Points		hot = children[right];
	Points		difference = hot - children[1 - right];

	work->values[work->forks.nodes[fork]] = hot - work->colds[fork] * difference;
	work->sums[work->forks.slots[fork]] += work->to_colds[fork] *
		work->states[work->forks.repeats[fork]].weight * difference;
}

/* Down and up a lowest fork. */
static ALWAYS_INLINE void
step_lowest(const RowWork *work, uint32_t fork)
{
	const PointState *state = &work->states[work->forks.repeats[fork]];
	const float *children = work->forks.leaves + 2 * fork + 1;
	uint32_t	node = work->forks.nodes[fork];
	uint32_t	right = work->rights[fork];
	float		hot = children[right];
	float		difference = hot - children[1 - right];
	Points		cold = work->cold_shares[fork] * state->unknown;

	work->values[node] = hot - cold * difference;
	work->sums[work->forks.slots[fork]] += cold * work->reach[node] * state->weight * difference;
}

#endif							/* PG_RISK_FOREST_CONTRIBUTE_H */
