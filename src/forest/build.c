/*
 * build.c
 *		From trees as XGBoost stores them to a forest image.
 *
 * Two passes over the trees.  The first verifies the source, counts, and
 * marks which slots are used; then sizes and slot numbers are known, and the
 * second writes the image.  Both walk a tree breadth first, which is the order
 * of the nodes in the image: the top of a tree, which every row visits, is
 * packed into few cache lines, and children are close to their parent.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "pure.h"

/* Slots that a feature can have: numeric or categorical, missing left or not. */
#define SLOTS_PER_FEATURE	4

/* A slot kind is the slot's flags; used as index in Builder.slot_numbers. */
#define SLOT_KEY(feature, flags)	((size_t) (feature) * SLOTS_PER_FEATURE + (flags))

typedef struct Builder
{
	const ForestSource *source;
	ForestHeader header;
	uint32_t   *slot_numbers;	/* by SLOT_KEY; first pass: 1 when used */
	uint32_t   *order;			/* nodes of the current tree, breadth first */
	uint8_t    *reached;		/* by node of the current tree */
	uint32_t	num_ordered;	/* length of order */
	uint32_t	depth;			/* of the current tree */
	uint32_t   *inner;			/* see ForestTreeSplits */
	double	   *reach;
	uint32_t   *latest;
	bool		vectors;		/* leaves are vectors */
} Builder;

/* Where the second pass stands in the image. */
typedef struct Writer
{
	ForestSlot *slots;
	ForestTree *trees;
	ForestNode *nodes;
	uint32_t   *category_sets;
	float	   *leaf_vectors;
	double	   *expected;
	ForestSplit *splits;		/* of the next tree; NULL: none are written */
	uint32_t	num_nodes;
	uint32_t	category_words;
	uint32_t	num_leaf_vectors;
} Writer;

static bool
is_leaf(const ForestSourceTree *tree, uint32_t node)
{
	return tree->left[node] == -1;
}

static bool
is_categorical(const ForestSourceTree *tree, uint32_t node)
{
	return tree->categorical != NULL && tree->categorical[node] != 0;
}

/* Flags of the slot that an inner node reads. */
static uint32_t
slot_flags(const ForestSourceTree *tree, uint32_t node)
{
	return (is_categorical(tree, node) ? FOREST_SLOT_CATEGORICAL : 0) |
		(tree->default_left[node] ? FOREST_SLOT_MISSING_LEFT : 0);
}

/* Length of a categorical node's set in bits: up to its highest category. */
static uint32_t
set_bits(const ForestSourceTree *tree, uint32_t node)
{
	uint32_t	bits = 1;
	int32_t		i;

	for (i = 0; i < tree->set_size[node]; i++)
	{
		uint32_t	category = tree->categories[tree->set_begin[node] + i];

		if (bits < category + 2)
			bits = category + 2;
	}
	return bits;
}

/* A value of a leaf as it is added to a margin: times the tree's weight. */
static float
weighted(const ForestSourceTree *tree, float value)
{
	return tree->weight == 1.0f ? value : tree->weight * value;
}

/* Put a child at the end of the order; false when it cannot be there. */
static bool
reach(Builder *builder, const ForestSourceTree *tree, int32_t node)
{
	if ((uint32_t) node >= tree->num_nodes || builder->reached[node])
		return false;			/* a negative number is out of range, too */
	builder->reached[node] = 1;
	builder->order[builder->num_ordered++] = node;
	return true;
}

/*
 * Fill builder->order with the tree's nodes, breadth first, and set its depth.
 * A node reached twice would be a shared one or a cycle.
 */
static const char *
order_tree(Builder *builder, const ForestSourceTree *tree)
{
	uint32_t	level_end = 1;
	uint32_t	i;

	memset(builder->reached, 0, tree->num_nodes);
	builder->num_ordered = 0;
	builder->depth = 0;
	reach(builder, tree, 0);
	for (i = 0; i < builder->num_ordered; i++)
	{
		uint32_t	node = builder->order[i];

		if (i == level_end)
		{
			level_end = builder->num_ordered;
			if (++builder->depth > FOREST_MAX_DEPTH)
				return "tree is too deep";
		}
		if (!is_leaf(tree, node) &&
			(!reach(builder, tree, tree->left[node]) ||
			 !reach(builder, tree, tree->right[node])))
			return "child of a node is out of range or reached twice";
	}
	return NULL;
}

/* Verify a leaf and count its vector. */
static const char *
plan_leaf(Builder *builder, const ForestSourceTree *tree, uint32_t node)
{
	uint32_t	num_outputs = builder->source->num_outputs;
	const float *vector;
	uint32_t	i;

	if (!builder->vectors)
		return isfinite(weighted(tree, tree->condition[node])) ?
			NULL : "leaf value is not finite";
	if (tree->leaf_vector[node] < 0)
		return "leaf without a vector";
	vector = tree->leaf_vectors + (size_t) tree->leaf_vector[node] * num_outputs;
	for (i = 0; i < num_outputs; i++)
		if (!isfinite(weighted(tree, vector[i])))
			return "leaf value is not finite";
	builder->header.num_leaf_vectors++;
	return NULL;
}

/* Verify a categorical node's set and count its words. */
static const char *
plan_set(Builder *builder, const ForestSourceTree *tree, uint32_t node)
{
	uint32_t	words;
	int32_t		i;

	if (tree->set_begin[node] < 0 || tree->set_size[node] < 0 ||
		tree->set_begin[node] > INT32_MAX - tree->set_size[node])
		return "category set out of range";
	for (i = 0; i < tree->set_size[node]; i++)
	{
		int32_t		category = tree->categories[tree->set_begin[node] + i];

		if (category < 0 || category >= FOREST_MAX_CATEGORY)
			return "category out of range";
	}
	words = 1 + forest_set_words(set_bits(tree, node));
	if (words > FOREST_MAX_CATEGORY_WORDS - builder->header.num_category_words)
		return "too many categories";
	builder->header.num_category_words += words;
	return NULL;
}

/* Verify an inner node and mark its slot as used. */
static const char *
plan_split(Builder *builder, const ForestSourceTree *tree, uint32_t node)
{
	uint32_t	flags = slot_flags(tree, node);
	int32_t		feature = tree->feature[node];

	if (feature < 0 || (uint32_t) feature >= builder->source->num_features)
		return "feature of a node is out of range";
	builder->slot_numbers[SLOT_KEY(feature, flags)] = 1;
	if (flags & FOREST_SLOT_CATEGORICAL)
		return plan_set(builder, tree, node);
	if (isnan(tree->condition[node]))
		return "threshold is not a number";
	if (tree->condition[node] == -INFINITY && (flags & FOREST_SLOT_MISSING_LEFT))
		return "threshold is -infinity where missing values go left";
	return NULL;
}

/* Are the covers of all nodes in use known? */
static bool
has_covers(const Builder *builder, const ForestSourceTree *tree)
{
	uint32_t	i;

	if (tree->cover == NULL)
		return false;
	for (i = 0; i < builder->num_ordered; i++)
	{
		float		cover = tree->cover[builder->order[i]];

		if (!isfinite(cover) || cover < 0.0f)
			return false;
	}
	return true;
}

/* First pass over one tree: verify and count. */
static const char *
plan_tree(Builder *builder, const ForestSourceTree *tree)
{
	ForestHeader *header = &builder->header;
	const char *wrong;
	uint32_t	i;

	if ((tree->leaf_vectors != NULL) != builder->vectors)
		return "some leaves are vectors and some are not";
	if (tree->output >= (builder->vectors ? 1 : builder->source->num_outputs))
		return "output of a tree is out of range";
	wrong = order_tree(builder, tree);
	if (wrong != NULL)
		return wrong;
	if (builder->num_ordered > FOREST_MAX_NODES - header->num_nodes)
		return "too many nodes";
	header->num_nodes += builder->num_ordered;
	if (header->max_depth < builder->depth)
		header->max_depth = builder->depth;
	header->has_splits = header->has_splits && has_covers(builder, tree);
	for (i = 0; i < builder->num_ordered; i++)
	{
		uint32_t	node = builder->order[i];

		if (is_leaf(tree, node))
			wrong = plan_leaf(builder, tree, node);
		else
			wrong = plan_split(builder, tree, node);
		if (wrong != NULL)
			return wrong;
	}
	return NULL;
}

/* Working memory for trees of the source's sizes. */
static const char *
allocate_work(Builder *builder)
{
	const ForestSource *source = builder->source;
	uint32_t	largest = 0;
	uint32_t	i;

	if (source->num_trees < 1 || source->num_trees > FOREST_MAX_TREES)
		return "number of trees out of range";
	for (i = 0; i < source->num_trees; i++)
	{
		uint32_t	num_nodes = source->trees[i].num_nodes;

		if (num_nodes < 1 || num_nodes > FOREST_MAX_NODES)
			return "number of nodes of a tree is out of range";
		if (largest < num_nodes)
			largest = num_nodes;
	}
	builder->slot_numbers = calloc(SLOT_KEY(source->num_features, 0), sizeof(uint32_t));
	builder->order = malloc(largest * sizeof(uint32_t));
	builder->reached = malloc(largest);
	builder->inner = malloc((largest / 2 + 1) * sizeof(uint32_t));
	builder->reach = malloc(largest * sizeof(double));
	builder->latest = calloc(source->num_features, sizeof(uint32_t));
	if (builder->slot_numbers == NULL || builder->order == NULL || builder->reached == NULL ||
		builder->inner == NULL || builder->reach == NULL || builder->latest == NULL)
		return "out of memory";
	return NULL;
}

/*
 * Give the used slots their numbers, in the order that layout.h states; with
 * slots != NULL describe them there as well.  Returns how many there are.
 */
static uint32_t
number_slots(Builder *builder, ForestSlot *slots)
{
	uint32_t	num_slots = 1;
	uint32_t	categorical;
	uint32_t	feature;
	uint32_t	left;

	for (categorical = 0; categorical <= FOREST_SLOT_CATEGORICAL;
		 categorical += FOREST_SLOT_CATEGORICAL)
		for (feature = 0; feature < builder->source->num_features; feature++)
			for (left = 0; left <= FOREST_SLOT_MISSING_LEFT;
				 left += FOREST_SLOT_MISSING_LEFT)
			{
				uint32_t   *number = &builder->slot_numbers[SLOT_KEY(feature, categorical | left)];

				if (*number == 0)
					continue;
				*number = num_slots++;
				if (slots != NULL)
				{
					slots[*number].feature = feature;
					slots[*number].flags = categorical | left;
				}
			}
	return num_slots;
}

/* First pass: verify all of the source and fill in the header. */
static const char *
plan_forest(Builder *builder)
{
	const ForestSource *source = builder->source;
	ForestHeader *header = &builder->header;
	const char *wrong;
	uint32_t	i;

	header->magic = FOREST_MAGIC;
	header->image_version = FOREST_IMAGE_VERSION;
	header->kind = source->kind;
	header->transform = source->transform;
	header->num_features = source->num_features;
	header->num_outputs = source->num_outputs;
	header->missing = isnan(source->missing) ? NAN : source->missing;
	if (source->num_features < 1 || source->num_features > FOREST_MAX_FEATURES)
		return "number of features out of range";
	if (source->num_outputs < 1 || source->num_outputs > FOREST_MAX_OUTPUTS)
		return "number of outputs out of range";
	for (i = 0; i < source->num_outputs; i++)
		if (!isfinite(source->base_margins[i]))
			return "base margin is not finite";
	if (source->kind == FOREST_TREES)
	{
		wrong = allocate_work(builder);
		if (wrong != NULL)
			return wrong;
		header->num_trees = source->num_trees;
		header->has_splits = 1;
		builder->vectors = source->trees[0].leaf_vectors != NULL;
		for (i = 0; i < source->num_trees; i++)
		{
			wrong = plan_tree(builder, &source->trees[i]);
			if (wrong != NULL)
				return wrong;
		}
		header->num_slots = number_slots(builder, NULL);
		header->slot_bits = forest_slot_bits(header->num_slots);
	}
	return forest_check_header(header);
}

/* Copy a leaf, its weight multiplied in. */
static void
write_leaf(const Builder *builder, Writer *writer, const ForestSourceTree *tree,
		   uint32_t node, ForestNode *out)
{
	uint32_t	num_outputs = builder->source->num_outputs;
	const float *from;
	float	   *to;
	uint32_t	i;

	if (!builder->vectors)
	{
		out->value.cut = weighted(tree, tree->condition[node]);
		return;
	}
	from = tree->leaf_vectors + (size_t) tree->leaf_vector[node] * num_outputs;
	to = writer->leaf_vectors + (size_t) writer->num_leaf_vectors * num_outputs;
	for (i = 0; i < num_outputs; i++)
		to[i] = weighted(tree, from[i]);
	out->value.vector = writer->num_leaf_vectors++;
}

/* Write the set of a categorical node: its length, then a bit per category. */
static void
write_set(Writer *writer, const ForestSourceTree *tree, uint32_t node, ForestNode *out)
{
	uint32_t   *set = writer->category_sets + writer->category_words;
	int32_t		i;

	set[0] = set_bits(tree, node);
	set[1] |= 1;
	for (i = 0; i < tree->set_size[node]; i++)
	{
		uint32_t	bit = tree->categories[tree->set_begin[node] + i] + 1;

		set[1 + bit / 32] |= UINT32_C(1) << (bit % 32);
	}
	out->value.set = writer->category_words;
	writer->category_words += 1 + forest_set_words(set[0]);
}

/*
 * Share of a split's left child in what both got.  Where training saw nothing
 * (0 / 0 in libxgboost) each has half.
 */
static float
left_share(float left, float right)
{
	double		both = (double) left + right;

	return both > 0 ? (float) (left / both) : 0.5f;
}

/* Complete the splits of a tree that has been written. */
static void
write_splits(Builder *builder, Writer *writer, const ForestNode *nodes, ForestTree *to)
{
	ForestTreeSplits tree = {
		.nodes = nodes,.num_nodes = builder->num_ordered,
		.slots = writer->slots,.slot_bits = builder->header.slot_bits,
		.splits = writer->splits,.inner = builder->inner,
		.reach = builder->reach,.latest = builder->latest
	};

	to->path_features = forest_link_splits(&tree);
	forest_expect_tree(&tree, to->output, builder->source->num_outputs,
					   builder->vectors ? writer->leaf_vectors : NULL, writer->expected);
	writer->splits += forest_num_splits(builder->num_ordered, 1);
}

/* Second pass over one tree; false when a step is too long for a node. */
static bool
write_tree(Builder *builder, Writer *writer, const ForestSourceTree *tree)
{
	uint32_t	slot_bits = builder->header.slot_bits;
	ForestNode *nodes = writer->nodes + writer->num_nodes;
	uint32_t	children = 1;
	uint32_t	i;

	order_tree(builder, tree);
	writer->trees->root = writer->num_nodes;
	writer->trees->depth = builder->depth;
	writer->trees->output = tree->output;
	writer->num_nodes += builder->num_ordered;
	for (i = 0; i < builder->num_ordered; i++)
	{
		uint32_t	node = builder->order[i];
		uint32_t	flags;

		if (is_leaf(tree, node))
		{
			write_leaf(builder, writer, tree, node, &nodes[i]);
			continue;
		}
		if ((uint64_t) (children - i) >> (32 - slot_bits) != 0)
			return false;
		flags = slot_flags(tree, node);
		nodes[i].step = (uint32_t) ((uint64_t) (children - i) << slot_bits) |
			builder->slot_numbers[SLOT_KEY(tree->feature[node], flags)];
		if (writer->splits != NULL)
			writer->splits[children / 2].left_share =
				left_share(tree->cover[builder->order[children]],
						   tree->cover[builder->order[children + 1]]);
		children += 2;
		if (flags & FOREST_SLOT_CATEGORICAL)
			write_set(writer, tree, node, &nodes[i]);
		else
			nodes[i].value.cut = tree->condition[node];
	}
	if (writer->splits != NULL)
		write_splits(builder, writer, nodes, writer->trees);
	writer->trees++;
	return true;
}

/* Second pass: a new image in memory from calloc(), so that gaps are 0. */
static void *
write_forest(Builder *builder, const char **why)
{
	const ForestSource *source = builder->source;
	ForestLayout layout;
	Writer		writer;
	char	   *image;
	uint32_t	i;

	forest_lay_out(&builder->header, &layout);
	builder->header.image_size = layout.size;
	image = layout.size > SIZE_MAX ? NULL : calloc(1, layout.size);
	if (image == NULL)
	{
		*why = "out of memory";
		return NULL;
	}
	memcpy(image, &builder->header, sizeof(ForestHeader));
	memcpy(image + layout.base_margins, source->base_margins,
		   source->num_outputs * sizeof(float));
	if (source->kind == FOREST_LINEAR)
	{
		memcpy(image + layout.weights, source->weights,
			   ((size_t) source->num_features + 1) * source->num_outputs * sizeof(float));
		return image;
	}
	memset(&writer, 0, sizeof(writer));
	writer.slots = (ForestSlot *) (image + layout.slots);
	writer.trees = (ForestTree *) (image + layout.trees);
	writer.nodes = (ForestNode *) (image + layout.nodes);
	writer.category_sets = (uint32_t *) (image + layout.category_sets);
	writer.leaf_vectors = (float *) (image + layout.leaf_vectors);
	if (builder->header.has_splits)
	{
		writer.expected = (double *) (image + layout.expected);
		writer.splits = (ForestSplit *) (image + layout.splits);
		for (i = 0; i < source->num_outputs; i++)
			writer.expected[i] = source->base_margins[i];
	}
	number_slots(builder, writer.slots);
	for (i = 0; i < source->num_trees; i++)
		if (!write_tree(builder, &writer, &source->trees[i]))
		{
			*why = "tree is too wide for the number of features in use";
			free(image);
			return NULL;
		}
	return image;
}

/* Are the weights of a linear source finite? */
static const char *
check_weights(const ForestSource *source)
{
	size_t		num_weights = ((size_t) source->num_features + 1) * source->num_outputs;
	size_t		i;

	for (i = 0; i < num_weights; i++)
		if (!isfinite(source->weights[i]))
			return "weight is not finite";
	return NULL;
}

void *
forest_build(const ForestSource *source, size_t *size, const char **why)
{
	Builder		builder;
	void	   *image = NULL;

	memset(&builder, 0, sizeof(builder));
	builder.source = source;
	*why = plan_forest(&builder);
	if (*why == NULL && source->kind == FOREST_LINEAR)
		*why = check_weights(source);
	if (*why == NULL)
		image = write_forest(&builder, why);
	if (image != NULL)
		*size = builder.header.image_size;
	free(builder.slot_numbers);
	free(builder.order);
	free(builder.reached);
	free(builder.inner);
	free(builder.reach);
	free(builder.latest);
	return image;
}
