/*
 * image.c
 *		The forest image as bytes: where its sections stand, and the proof that
 *		bytes from elsewhere are a sound image.
 *
 * forest_check() is what stands between a damaged table row and a crash of the
 * server: after it, scoring trusts every index.  It takes one pass over the
 * image, no recursion and no memory.  That works because the image is
 * canonical (layout.h): in breadth-first order the children of the next inner
 * node can only be the next two nodes, so no node is shared, forgotten or
 * reached twice, and the depth of a tree is the number of its levels less one.
 */
#include <math.h>
#include <string.h>

#include "layout.h"
#include "pure.h"

/* How far the check has come in the sections that nodes use in order. */
typedef struct CheckState
{
	Forest		forest;
	uint32_t	category_words; /* used so far */
	uint32_t	leaf_vectors;	/* used so far */
	uint32_t	splits;			/* likewise */
} CheckState;

/* Make room for an array at the next multiple of 8; returns its offset. */
static uint64_t
place_section(uint64_t *end, uint64_t count, uint64_t width)
{
	uint64_t	offset = *end;

	*end = (offset + count * width + 7) & ~UINT64_C(7);
	return offset;
}

/*
 * Offsets of all sections.  Counts within the limits of forest.h keep every
 * product below 2^45.
 */
void
forest_lay_out(const ForestHeader *header, ForestLayout *layout)
{
	uint64_t	outputs = header->num_outputs;
	uint64_t	weights = 0;
	uint64_t	splits = 0;
	uint64_t	end = sizeof(ForestHeader);

	if (header->kind == FOREST_LINEAR)
		weights = ((uint64_t) header->num_features + 1) * outputs;
	if (header->has_splits)
		splits = forest_num_splits(header->num_nodes, header->num_trees);
	layout->base_margins = place_section(&end, outputs, sizeof(float));
	layout->slots = place_section(&end, header->num_slots, sizeof(ForestSlot));
	layout->trees = place_section(&end, header->num_trees, sizeof(ForestTree));
	layout->nodes = place_section(&end, header->num_nodes, sizeof(ForestNode));
	layout->category_sets = place_section(&end, header->num_category_words,
										  sizeof(uint32_t));
	layout->leaf_vectors = place_section(&end, header->num_leaf_vectors * outputs,
										 sizeof(float));
	layout->weights = place_section(&end, weights, sizeof(float));
	layout->expected = place_section(&end, header->has_splits ? outputs : 0, sizeof(double));
	layout->splits = place_section(&end, splits, sizeof(ForestSplit));
	layout->size = end;
}

/*
 * Counts within limits and in keeping with the kind.  The builder asks this
 * too, so whatever is built can also be read.
 */
const char *
forest_check_header(const ForestHeader *header)
{
	if (header->transform < FOREST_IDENTITY || header->transform > FOREST_EXPECTILE)
		return "unknown transformation";
	if (header->num_features < 1 || header->num_features > FOREST_MAX_FEATURES)
		return "number of features out of range";
	if (header->num_outputs < 1 || header->num_outputs > FOREST_MAX_OUTPUTS)
		return "number of outputs out of range";
	if (header->has_splits > 1 || header->reserved != 0)
		return "reserved field of the header is in use";
	if (header->kind == FOREST_LINEAR)
	{
		if (header->num_trees != 0 || header->num_nodes != 0 ||
			header->num_slots != 0 || header->slot_bits != 0 ||
			header->num_category_words != 0 || header->num_leaf_vectors != 0 ||
			header->max_depth != 0 || header->has_splits != 0)
			return "linear forest with trees";
		return NULL;
	}
	if (header->kind != FOREST_TREES)
		return "unknown kind of forest";
	if (header->num_trees < 1 || header->num_trees > FOREST_MAX_TREES)
		return "number of trees out of range";
	if (header->num_nodes < header->num_trees || header->num_nodes > FOREST_MAX_NODES)
		return "number of nodes out of range";
	if (header->num_slots < 1 || header->num_slots > 4 * header->num_features + 1)
		return "number of slots out of range";
	if (header->slot_bits != forest_slot_bits(header->num_slots))
		return "slot width does not fit the number of slots";
	if (header->num_category_words > FOREST_MAX_CATEGORY_WORDS)
		return "number of category words out of range";
	if (header->num_leaf_vectors > header->num_nodes)
		return "number of leaf vectors out of range";
	if (header->max_depth > FOREST_MAX_DEPTH)
		return "depth out of range";
	return NULL;
}

/* Are all these numbers finite? */
static bool
all_finite(const float *values, uint64_t count)
{
	uint64_t	i;

	for (i = 0; i < count; i++)
		if (!isfinite(values[i]))
			return false;
	return true;
}

/* Are the bytes that fill a section up to a multiple of 8 zero? */
static bool
padding_is_zero(const char *image, uint64_t section, uint64_t length)
{
	uint64_t	end = section + length;

	while (end % 8 != 0)
		if (image[end++] != 0)
			return false;
	return true;
}

/* Sections of 4-byte values can end in half a unit: check what fills it up. */
static bool
check_padding(const char *image, const ForestLayout *layout, const ForestHeader *header)
{
	uint64_t	outputs = header->num_outputs;

	if (!padding_is_zero(image, layout->base_margins, outputs * 4) ||
		!padding_is_zero(image, layout->category_sets,
						 (uint64_t) header->num_category_words * 4) ||
		!padding_is_zero(image, layout->leaf_vectors,
						 header->num_leaf_vectors * outputs * 4))
		return false;
	return header->kind != FOREST_LINEAR ||
		padding_is_zero(image, layout->weights,
						((uint64_t) header->num_features + 1) * outputs * 4);
}

/* A number by which slots are sorted; see layout.h. */
static uint64_t
slot_order(const ForestSlot *slot)
{
	uint64_t	categorical = (slot->flags & FOREST_SLOT_CATEGORICAL) != 0;
	uint64_t	left = (slot->flags & FOREST_SLOT_MISSING_LEFT) != 0;

	return categorical << 33 | (uint64_t) slot->feature << 1 | left;
}

/* Slot 0 is the leaves'; the others name existing features, in order. */
static const char *
check_slots(const Forest *forest)
{
	const ForestHeader *header = forest->header;
	const ForestSlot *slots = forest->slots;
	uint32_t	i;

	if (slots[0].feature != 0 || slots[0].flags != 0)
		return "slot 0 is not empty";
	for (i = 1; i < header->num_slots; i++)
	{
		if (slots[i].feature >= header->num_features)
			return "slot of a feature that does not exist";
		if ((slots[i].flags & ~(uint32_t) (FOREST_SLOT_CATEGORICAL |
										   FOREST_SLOT_MISSING_LEFT)) != 0)
			return "unknown flag of a slot";
		if (i > 1 && slot_order(&slots[i]) <= slot_order(&slots[i - 1]))
			return "slots are not in order";
	}
	return NULL;
}

/* The set of a categorical node: the next one, whole, with bit 0 set. */
static const char *
check_set(CheckState *state, uint32_t set)
{
	const uint32_t *sets = state->forest.category_sets;
	uint32_t	num_words = state->forest.header->num_category_words;
	uint32_t	num_bits;
	uint32_t	words;

	if (set != state->category_words || num_words - set < 2)
		return "category set out of place";
	num_bits = sets[set];
	if (num_bits < 1 || num_bits > FOREST_MAX_CATEGORY + 1)
		return "size of a category set out of range";
	words = forest_set_words(num_bits);
	if (words > num_words - set - 1)
		return "category set does not fit";
	if ((sets[set + 1] & 1) == 0)
		return "category set without bit 0";
	if (num_bits % 32 != 0 && sets[set + words] >> (num_bits % 32) != 0)
		return "category set with bits past its end";
	state->category_words = set + 1 + words;
	return NULL;
}

/* A leaf's value; -infinity would break the leaf's hold on itself. */
static const char *
check_leaf(CheckState *state, const ForestNode *node)
{
	if (state->forest.header->num_leaf_vectors == 0)
		return isfinite(node->value.cut) ? NULL : "leaf value is not finite";
	if (node->value.vector != state->leaf_vectors)
		return "leaf vector out of place";
	state->leaf_vectors++;
	return NULL;
}

/* An inner node's slot and what is compared with it. */
static const char *
check_split(CheckState *state, const ForestNode *node)
{
	const ForestHeader *header = state->forest.header;
	uint32_t	slot = forest_slot_of_node(&state->forest, node);
	uint32_t	flags;

	if (slot == 0 || slot >= header->num_slots)
		return "slot of a node out of range";
	flags = state->forest.slots[slot].flags;
	if (flags & FOREST_SLOT_CATEGORICAL)
		return check_set(state, node->value.set);
	if (isnan(node->value.cut))
		return "threshold is not a number";
	if (node->value.cut == -INFINITY && (flags & FOREST_SLOT_MISSING_LEFT))
		return "threshold that missing values cannot pass on the left";
	return NULL;
}

/*
 * The split of the inner node `node` of a tree: a share, and a link to a node
 * that comes before the node's children.
 */
static const char *
check_share(CheckState *state, uint32_t node)
{
	const ForestSplit *split = &state->forest.splits[state->splits];

	if (!state->forest.header->has_splits)
		return NULL;
	state->splits++;
	if (!(split->left_share >= 0.0f && split->left_share <= 1.0f))
		return "share of a split out of range";
	return split->previous <= node ? NULL : "link of a split out of place";
}

/*
 * The nodes of one tree, level by level: `open` is where the next inner node's
 * children must be, `level_end` where the current level ends.
 */
static const char *
check_tree(CheckState *state, uint32_t tree, uint32_t *depth)
{
	const ForestHeader *header = state->forest.header;
	const ForestNode *nodes = state->forest.nodes + state->forest.trees[tree].root;
	uint32_t	num_nodes = forest_tree_size(&state->forest, tree);
	uint32_t	level_end = 1;
	uint32_t	open = 1;
	uint32_t	i;

	*depth = 0;
	for (i = 0; i < num_nodes; i++)
	{
		const char *wrong;

		if (i == level_end)
		{
			level_end = open;
			(*depth)++;
		}
		if (i >= level_end)
			return "node without a parent";
		if (nodes[i].step == 0)
			wrong = check_leaf(state, &nodes[i]);
		else
		{
			if (num_nodes - open < 2 || nodes[i].step >> header->slot_bits != open - i)
				return "children of a node out of place";
			open += 2;
			wrong = check_split(state, &nodes[i]);
			if (wrong == NULL)
				wrong = check_share(state, i);
		}
		if (wrong != NULL)
			return wrong;
	}
	return NULL;
}

/* All trees, one after the other without gaps, and all that they refer to. */
static const char *
check_trees(CheckState *state)
{
	const ForestHeader *header = state->forest.header;
	const ForestTree *trees = state->forest.trees;
	uint32_t	max_depth = 0;
	uint32_t	i;

	if (trees[0].root != 0)
		return "first tree does not begin at the first node";
	for (i = 0; i < header->num_trees; i++)
	{
		uint32_t	end = header->num_nodes;
		uint32_t	depth;
		const char *wrong;

		if (i + 1 < header->num_trees)
			end = trees[i + 1].root;
		if (end > header->num_nodes || trees[i].root >= end)
			return "root of a tree out of place";
		if (trees[i].output >= (header->num_leaf_vectors ? 1 : header->num_outputs))
			return "output of a tree out of range";
		wrong = check_tree(state, i, &depth);
		if (wrong != NULL)
			return wrong;
		if (trees[i].depth != depth)
			return "depth of a tree is wrong";
		if (trees[i].path_features > (header->has_splits ? depth : 0))
			return "number of features on a path out of range";
		if (max_depth < depth)
			max_depth = depth;
	}
	if (header->max_depth != max_depth)
		return "depth of the forest is wrong";
	if (state->category_words != header->num_category_words)
		return "category sets that no node uses";
	/* a kernel for categories looks at the first set in any case: see score.c */
	if (header->num_category_words == 0 &&
		(state->forest.slots[header->num_slots - 1].flags & FOREST_SLOT_CATEGORICAL))
		return "categorical slot that no node uses";
	if (state->leaf_vectors != header->num_leaf_vectors)
		return "leaf vectors that no leaf uses";
	return NULL;
}

const char *
forest_check(const void *image, size_t size)
{
	const ForestHeader *header = image;
	ForestLayout layout;
	CheckState	state;
	uint64_t	outputs;
	uint64_t	i;
	const char *wrong;

	if (image == NULL || (uintptr_t) image % 8 != 0)
		return "image is not aligned";
	if (size < sizeof(ForestHeader))
		return "image is shorter than its header";
	if (header->magic != FOREST_MAGIC)
		return "not a forest image of this byte order";
	if (header->image_version != FOREST_IMAGE_VERSION)
		return "forest image of another version";
	wrong = forest_check_header(header);
	if (wrong != NULL)
		return wrong;
	forest_lay_out(header, &layout);
	if (layout.size != header->image_size || layout.size != size)
		return "image size does not fit its contents";
	if (!check_padding(image, &layout, header))
		return "bytes between sections are in use";

	memset(&state, 0, sizeof(state));
	forest_point(&state.forest, image);
	outputs = header->num_outputs;
	if (!all_finite(state.forest.base_margins, outputs))
		return "base margin is not finite";
	if (header->kind == FOREST_LINEAR)
		return all_finite(state.forest.weights, (header->num_features + 1) * outputs) ?
			NULL : "weight is not finite";
	if (!all_finite(state.forest.leaf_vectors, header->num_leaf_vectors * outputs))
		return "leaf value is not finite";
	for (i = 0; header->has_splits && i < outputs; i++)
		if (!isfinite(state.forest.expected[i]))
			return "expected margin is not finite";
	wrong = check_slots(&state.forest);
	return wrong != NULL ? wrong : check_trees(&state);
}

/* Pointers to all sections, from counts that have been checked. */
void
forest_point(Forest *forest, const void *image)
{
	const char *start = image;
	ForestLayout layout;

	forest->header = image;
	forest_lay_out(forest->header, &layout);
	forest->base_margins = (const float *) (start + layout.base_margins);
	forest->slots = (const ForestSlot *) (start + layout.slots);
	forest->trees = (const ForestTree *) (start + layout.trees);
	forest->nodes = (const ForestNode *) (start + layout.nodes);
	forest->category_sets = (const uint32_t *) (start + layout.category_sets);
	forest->leaf_vectors = (const float *) (start + layout.leaf_vectors);
	forest->weights = (const float *) (start + layout.weights);
	forest->expected = (const double *) (start + layout.expected);
	forest->splits = (const ForestSplit *) (start + layout.splits);
}

/* The first slot that holds a category; num_slots when there is none. */
static uint32_t
first_categorical_slot(const Forest *forest)
{
	uint32_t	low = 0;
	uint32_t	high = forest->header->num_slots;

	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (forest->slots[middle].flags & FOREST_SLOT_CATEGORICAL)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

void
forest_open(Forest *forest, const void *image)
{
	forest_point(forest, image);
	forest->first_categorical = first_categorical_slot(forest);
	forest_use_plan(forest, NULL);
}
