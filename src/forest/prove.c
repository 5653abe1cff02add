/*
 * prove.c
 *		The proof of a plan: all kernels that can take it, one row at a time and
 *		many, against forest_margins_reference(), bit for bit.
 *
 * Rows are made from the image, so that they ask what the forest asks: a feature
 * gets a cut of some node, or the float32 next to it, a category of some node or one
 * that is in no set, a missing or an infinite value, or zero.  Then a row is steered
 * through some trees, other ones than the row before: at each node where both
 * ways are still open one is drawn, rather one that goes on, and the value is put to
 * the edge of what is left.  The same image has the same rows.
 */
#include <math.h>
#include <string.h>

#include "kernel.h"
#include "layout.h"
#include "numbers.h"
#include "pure.h"

/* Rows that are scored together: a block, then one that is not full and a multiple of nothing. */
#define MOST_ROWS		(KERNEL_BLOCK + KERNEL_LEAST_BLOCK + 1)
/* If the forest is very large: such a block alone. */
#define FEW_ROWS		(KERNEL_LEAST_BLOCK + 1)
#define LARGE_FOREST	(UINT32_C(1) << 18) /* nodes */
/* Their values, at most.  Where rows are so long that this is less than a block, nobody scores
 * them in blocks. */
#define MOST_VALUES		(UINT32_C(1) << 22)

#define LEAST_ROUNDS	2
#define LEAST_ROWS		(LEAST_ROUNDS * FEW_ROWS)	/* of all rounds */

#define STEERED_TREES	16		/* of a row */
#define MOST_BITS		256		/* of a set that are looked at to find a category */

/* What the row being steered may still be, to stay on its way: low <= value < high. */
typedef struct Bounds
{
	uint32_t	row;			/* they are of this row, counted from 1 */
	float		low;			/* -infinity: none */
	float		high;
} Bounds;

/* The working memory; what follows it is pointed to. */
typedef struct Prover
{
	const Forest *forest;
	void		(*pause) (void);
	uint64_t	state;			/* of the random numbers */
	uint32_t	num_rows;		/* of a round */
	uint32_t	row;			/* so many have been made */
	uint32_t   *begins;			/* [num_slots + 1]: first value of a slot */
	uint32_t   *values;			/* by slot: bits of a cut, or where a set is */
	Bounds	   *bounds;			/* [num_features] */
	float	   *rows;			/* [num_rows][num_features] */
	float	   *expected;		/* [num_rows][num_outputs] */
	float	   *margins;		/* likewise */
	void	   *scratch;
} Prover;

/* ---- memory ---- */

/* Rows of a round. */
static uint32_t
rows_of_round(const ForestHeader *header)
{
	uint32_t	width = header->num_features > header->num_outputs ? header->num_features :
		header->num_outputs;
	uint32_t	wanted = header->num_nodes > LARGE_FOREST ? FEW_ROWS : MOST_ROWS;
	uint32_t	most = MOST_VALUES / width;

	return most < wanted ? most : wanted;
}

/* Inner nodes of all trees. */
static uint32_t
num_values(const ForestHeader *header)
{
	return forest_num_splits(header->num_nodes, header->num_trees);
}

/* The next part of the working memory; NULL: only count it. */
static void *
take(char *memory, size_t *used, size_t size)
{
	size_t		start = *used;

	*used += (size + 7) & ~(size_t) 7;
	return memory == NULL ? NULL : memory + start;
}

/* Where everything stands; returns how many bytes that is. */
static size_t
lay_out(const Forest *forest, Prover *prover, char *memory)
{
	const ForestHeader *header = forest->header;
	size_t		num_rows = rows_of_round(header);
	size_t		used = 0;
	Forest		fastest = *forest;

	forest_set_kernel(&fastest, FOREST_KERNEL_AUTO);	/* no other one wants more scratch space */
	take(memory, &used, sizeof(Prover));
	prover->begins = take(memory, &used, (header->num_slots + 1) * sizeof(uint32_t));
	prover->values = take(memory, &used, num_values(header) * sizeof(uint32_t));
	prover->bounds = take(memory, &used, header->num_features * sizeof(Bounds));
	prover->rows = take(memory, &used, num_rows * header->num_features * sizeof(float));
	prover->expected = take(memory, &used, num_rows * header->num_outputs * sizeof(float));
	prover->margins = take(memory, &used, num_rows * header->num_outputs * sizeof(float));
	prover->scratch = take(memory, &used, forest_batch_scratch_size(&fastest));
	return used;
}

size_t
forest_proof_room(const Forest *forest)
{
	Prover		prover;

	return lay_out(forest, &prover, NULL);
}

/* ---- what the forest asks ---- */

/* Gather the values of all inner nodes by slot. */
static void
gather_values(Prover *prover)
{
	const Forest *forest = prover->forest;
	const ForestHeader *header = forest->header;
	uint32_t   *begins = prover->begins;
	uint32_t	i;

	memset(begins, 0, (header->num_slots + 1) * sizeof(uint32_t));
	for (i = 0; i < header->num_nodes; i++)
		if (forest->nodes[i].step != 0)
			begins[forest_slot_of_node(forest, &forest->nodes[i])]++;
	for (i = 1; i <= header->num_slots; i++)
		begins[i] += begins[i - 1];	/* the ends, until they are filled from there */
	for (i = 0; i < header->num_nodes; i++)
		if (forest->nodes[i].step != 0)
			prover->values[--begins[forest_slot_of_node(forest, &forest->nodes[i])]] =
				forest->nodes[i].value.set;
}

/* ---- rows ---- */

static uint32_t
draw(Prover *prover, uint32_t limit)
{
	return draw_below(&prover->state, limit);
}

/* A category, mostly one of a set: the next one there is, or the last. */
static float
draw_category(Prover *prover, const uint32_t *set)
{
	uint32_t	bit = draw(prover, set[0] + 2);
	uint32_t	i;

	switch (draw(prover, 8))
	{
		case 0:
			return -1.0f;
		case 1:
			return (float) FOREST_MAX_CATEGORY;
		case 2:
			return (float) bit + 0.5f;
		case 3:
			return (float) bit;
		default:
			for (i = 0; i < MOST_BITS && bit < set[0] && !forest_in_set(set, bit); i++)
				bit++;
			if (!forest_in_set(set, bit))
				bit = set[0] - 1;
			return (float) bit - 1.0f;
	}
}

/* A value that makes a difference to nodes of a slot. */
static float
draw_value(Prover *prover, uint32_t slot)
{
	const Forest *forest = prover->forest;
	uint32_t	first = prover->begins[slot];
	uint32_t	value = prover->values[first + draw(prover, prover->begins[slot + 1] - first)];
	float		cut;

	switch (draw(prover, 16))
	{
		case 0:
			return NAN;
		case 1:
			return forest->header->missing;
		case 2:
			return draw(prover, 2) == 0 ? -INFINITY : INFINITY;
	}
	if (slot >= forest->first_categorical)
		return draw_category(prover, forest->category_sets + value);
	memcpy(&cut, &value, sizeof(cut));
	switch (draw(prover, 8))
	{
		case 0:
			return nextafterf(cut, INFINITY);
		case 1:
		case 2:
		case 3:
			return nextafterf(cut, -INFINITY);
		default:
			return cut;
	}
}

/* A value for each slot, mostly; a feature of more than one has mostly the last one's.  The
 * others are 0. */
static void
fill_row(Prover *prover, float *row)
{
	const ForestHeader *header = prover->forest->header;
	uint32_t	slot;

	memset(row, 0, header->num_features * sizeof(float));
	for (slot = 1; slot < header->num_slots; slot++)
		if (prover->begins[slot] < prover->begins[slot + 1] && draw(prover, 4) > 0)
			row[prover->forest->slots[slot].feature] = draw_value(prover, slot);
}

/* Bounds of a feature for the row that is being made. */
static Bounds *
bounds_of(Prover *prover, uint32_t feature)
{
	Bounds	   *bounds = &prover->bounds[feature];

	if (bounds->row != prover->row)
	{
		bounds->row = prover->row;
		bounds->low = -INFINITY;
		bounds->high = INFINITY;
	}
	return bounds;
}

/* Steer a row through a tree.  Categories, and what is not a number, stay what they are. */
static void
steer(Prover *prover, const ForestTree *tree, float *row)
{
	const Forest *forest = prover->forest;
	const ForestNode *nodes = forest->nodes;
	uint32_t	at = tree->root;

	while (nodes[at].step != 0)
	{
		const ForestNode *node = &nodes[at];
		uint32_t	slot = forest_slot_of_node(forest, node);
		uint32_t	feature = forest->slots[slot].feature;
		uint32_t	child = at + (node->step >> forest->header->slot_bits);
		Bounds	   *bounds = bounds_of(prover, feature);
		float		cut = node->value.cut;
		bool		right;

		if (slot < forest->first_categorical && !isnan(row[feature]) &&
			bounds->low < cut && cut < bounds->high)
		{
			right = draw(prover, 2) == 0;
			if (nodes[child + right].step == 0 && draw(prover, 4) > 0)
				right = !right;
			if (right)
				bounds->low = cut;
			else
				bounds->high = cut;
			right = bounds->low > -INFINITY && (bounds->high == INFINITY || draw(prover, 2) == 0);
			row[feature] = right ? bounds->low : nextafterf(bounds->high, -INFINITY);
		}
		at = forest_reference_next(forest, at, row);
	}
}

/* Make the next row: the first has nothing but missing values. */
static void
make_row(Prover *prover, float *row)
{
	const ForestHeader *header = prover->forest->header;
	size_t		first = (size_t) prover->row++ * STEERED_TREES;
	uint32_t	i;

	fill_row(prover, row);
	for (i = 0; prover->row == 1 && i < header->num_features; i++)
		row[i] = NAN;
	for (i = 0; i < STEERED_TREES && i < header->num_trees; i++)
		steer(prover, &prover->forest->trees[(first + i) % header->num_trees], row);
}

/* ---- the proof ---- */

/* Equal in every bit, or both not a number, whose bits may be any. */
static bool
same_margins(const float *left, const float *right, size_t count)
{
	size_t		i;

	for (i = 0; i < count; i++)
		if (memcmp(&left[i], &right[i], sizeof(float)) != 0 && !(isnan(left[i]) && isnan(right[i])))
			return false;
	return true;
}

/* Does a forest, with the kernel in use, score the rows as expected, one by one and together? */
static bool
scores_as_expected(const Prover *prover, const Forest *forest)
{
	const ForestHeader *header = forest->header;
	size_t		count = (size_t) prover->num_rows * header->num_outputs;
	uint32_t	i;

	for (i = 0; i < prover->num_rows; i++)
	{
		prover->pause();
		forest_margins(forest, prover->rows + (size_t) i * header->num_features, prover->scratch,
					   prover->margins + (size_t) i * header->num_outputs);
	}
	if (!same_margins(prover->margins, prover->expected, count))
		return false;
	if (forest->batch_kernel == NULL)
		return true;			/* together is one by one */
	forest_margins_batch(forest, prover->rows, prover->num_rows, prover->scratch, prover->margins);
	return same_margins(prover->margins, prover->expected, count);
}

/* Make new rows and let all kernels score them; returns one that is wrong, see forest.h. */
static ForestKernel
prove_round(Prover *prover)
{
	const Forest *forest = prover->forest;
	ForestKernel kernel;
	uint32_t	i;

	for (i = 0; i < prover->num_rows; i++)
	{
		float	   *row = prover->rows + (size_t) i * forest->header->num_features;

		prover->pause();
		make_row(prover, row);
		forest_margins_reference(forest, row, prover->expected + (size_t) i * forest->header->num_outputs);
	}
	for (kernel = FOREST_KERNEL_WALK; kernel <= FOREST_KERNEL_AVX512; kernel++)
	{
		Forest		other = *forest;

		if (forest_set_kernel(&other, kernel) && !scores_as_expected(prover, &other))
			return kernel;
	}
	return FOREST_KERNEL_AUTO;
}

ForestKernel
forest_prove(const Forest *forest, void (*pause) (void), void *memory)
{
	Prover	   *prover = memory;
	ForestKernel wrong;

	memset(prover, 0, sizeof(*prover));
	lay_out(forest, prover, memory);
	prover->forest = forest;
	prover->pause = pause;
	prover->num_rows = rows_of_round(forest->header);
	prover->state = UINT64_C(0x9E3779B97F4A7C15) ^ forest->header->image_size;
	memset(prover->bounds, 0, forest->header->num_features * sizeof(Bounds));
	gather_values(prover);
	do
		wrong = prove_round(prover);
	while (wrong == FOREST_KERNEL_AUTO &&
		   (prover->row < LEAST_ROWS || prover->row < LEAST_ROUNDS * prover->num_rows));
	return wrong;
}
