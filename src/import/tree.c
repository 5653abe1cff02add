/*
 * tree.c
 *		One tree of a model's document, checked.
 *
 * libxgboost trusts these arrays: it follows children, parents and category
 * segments without a look, and takes the right child to be the left one's
 * neighbour.  What passes here is safe to hand to it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "memory.h"
#include "refusal.h"

/* What is known while one tree is read. */
typedef struct TreeReader
{
	const Value *tree;
	uint32_t	index;
	uint32_t	num_nodes;
	const Model *model;
	ForestSourceTree *forest;
	ModelTree  *detail;
} TreeReader;

/* Refuse for this tree. */
static void __attribute__((noreturn))
bad_tree(const TreeReader *reader, const char *what)
{
	model_malformed("%s in tree %u", what, reader->index);
}

/* Whether libxgboost takes a node for one that pruning has deleted. */
static bool
is_deleted(const TreeReader *reader, uint32_t node)
{
	return node > 0 && reader->forest->feature[node] == DELETED_NODE_FEATURE &&
		reader->forest->default_left[node];
}

/*
 * Walk from the root: every node that is reached is reached once and knows its
 * parent; children are neighbours; features exist.  The others must be marked
 * as deleted, and their number be what the tree says.
 */
static void
check_shape(const TreeReader *reader)
{
	ForestSourceTree *forest = reader->forest;
	ModelTree  *detail = reader->detail;
	uint32_t	num_nodes = reader->num_nodes;
	uint8_t    *reached = calloc(num_nodes, 1);
	int32_t    *queue = malloc(num_nodes * sizeof(int32_t));
	uint32_t	num_reached = 1;

	if (reached == NULL || queue == NULL)
		refuse(REFUSE_LIMIT, NULL, "out of memory while checking the model");
	queue[0] = 0;
	reached[0] = 1;
	for (uint32_t at = 0; at < num_reached; at++)
	{
		int32_t		node = queue[at];
		int32_t		left = forest->left[node];

		if (left == -1)
			continue;
		if (left < 1 || (uint32_t) left + 1 >= num_nodes)
			bad_tree(reader, "a child out of range");
		if (detail->right[node] != left + 1)
			bad_tree(reader, "a right child that is not next to the left one");
		if ((uint32_t) forest->feature[node] >= reader->model->num_features)
			bad_tree(reader, "a split on a feature that does not exist");
		for (int32_t child = left; child <= left + 1; child++)
		{
			if (reached[child])
				bad_tree(reader, "a node with two parents");
			if (detail->parents[child] != node)
				bad_tree(reader, "a node with a wrong parent");
			reached[child] = 1;
			queue[num_reached++] = child;
		}
	}

	for (uint32_t i = 1; i < num_nodes; i++)
	{
		if ((uint32_t) detail->parents[i] >= num_nodes)
			bad_tree(reader, "a parent out of range");
		if (reached[i] == is_deleted(reader, i))
			bad_tree(reader, reached[i] ? "a deleted node that is in use" :
					 "a node that cannot be reached");
	}
	detail->num_deleted = num_nodes - num_reached;
	free(queue);
	free(reached);
}

/* The categorical splits: each has one set, in node order, of real categories. */
static void
read_categories(const TreeReader *reader)
{
	const Value *tree = reader->tree;
	ForestSourceTree *forest = reader->forest;
	ModelTree  *detail = reader->detail;
	uint32_t	num_nodes = reader->num_nodes;
	uint32_t	num_categorical = 0;
	int32_t    *begin;
	int32_t    *size;

	for (uint32_t i = 0; i < num_nodes; i++)
	{
		if (detail->split_type[i] == 0)
			continue;
		if (forest->left[i] == -1)
			bad_tree(reader, "a categorical leaf");
		num_categorical++;
	}
	if (num_categorical == 0 && document_member(tree, "categories_nodes") == NULL)
		return;
	detail->set_nodes = field_ints(tree, "categories_nodes", num_categorical, NULL,
								   0, (int64_t) num_nodes - 1);
	if (num_categorical == 0)
		return;

	forest->categories = field_ints(tree, "categories", FIELD_ANY_LENGTH,
									&detail->num_categories, 0, FOREST_MAX_CATEGORY - 1);
	detail->set_segments = field_ints(tree, "categories_segments", num_categorical, NULL,
									  0, detail->num_categories);
	detail->set_sizes = field_ints(tree, "categories_sizes", num_categorical, NULL,
								   1, detail->num_categories);
	begin = region_get_zero(num_nodes, sizeof(int32_t));
	size = region_get_zero(num_nodes, sizeof(int32_t));
	for (uint32_t i = 0; i < num_categorical; i++)
	{
		int32_t		node = detail->set_nodes[i];

		if (detail->split_type[node] == 0 ||
			(i > 0 && node <= detail->set_nodes[i - 1]))
			bad_tree(reader, "a set of categories for the wrong node");
		if ((int64_t) detail->set_segments[i] + detail->set_sizes[i] > detail->num_categories)
			bad_tree(reader, "a set of categories out of range");
		begin[node] = detail->set_segments[i];
		size[node] = detail->set_sizes[i];
	}
	detail->num_sets = num_categorical;
	forest->categorical = detail->split_type;
	forest->set_begin = begin;
	forest->set_size = size;
}

/*
 * Vector leaves.  Up to 3.1 base_weights has a vector for each node; since 3.2
 * leaf_weights has one for each leaf, whose right child is its row.
 */
static void
read_vector_leaves(const TreeReader *reader)
{
	const Model *model = reader->model;
	ForestSourceTree *forest = reader->forest;
	ModelTree  *detail = reader->detail;
	uint32_t	num_nodes = reader->num_nodes;
	int32_t    *rows = region_get_zero(num_nodes, sizeof(int32_t));
	uint32_t	num_rows = num_nodes;

	if (document_member(reader->tree, "leaf_weights") != NULL)
	{
		detail->leaf_weights = field_floats(reader->tree, "leaf_weights", FIELD_ANY_LENGTH,
											&detail->num_leaf_weights);
		num_rows = detail->num_leaf_weights / model->num_outputs;
	}
	for (uint32_t i = 0; i < num_nodes; i++)
	{
		if (forest->left[i] != -1)
			continue;
		rows[i] = detail->leaf_weights != NULL ? detail->right[i] : (int32_t) i;
		if (rows[i] < 0 || (uint32_t) rows[i] >= num_rows)
			bad_tree(reader, "a leaf out of range");
	}
	forest->leaf_vector = rows;
	forest->leaf_vectors = detail->leaf_weights != NULL ?
		detail->leaf_weights : detail->base_weights;
}

/* Thresholds and leaves are numbers, but for what a categorical node has there. */
static void
check_numbers(const TreeReader *reader)
{
	const ForestSourceTree *forest = reader->forest;

	for (uint32_t i = 0; i < reader->num_nodes; i++)
	{
		float		condition = forest->condition[i];

		if (is_deleted(reader, i))
			continue;
		if (forest->left[i] == -1 && forest->leaf_vectors == NULL)
		{
			if (!isfinite(condition))
				model_diverged("a leaf that is not a finite number in tree %u", reader->index);
			if (reader->detail->right[i] != -1)
				bad_tree(reader, "a leaf with a right child");
		}
		else if (forest->left[i] != -1 && !reader->detail->split_type[i] && isnan(condition))
			bad_tree(reader, "a threshold that is not a number");
	}
}

/* See fields.h. */
void
tree_read(const Value *tree, uint32_t index, const Model *model,
		  ForestSourceTree *forest, ModelTree *detail)
{
	TreeReader	reader = {tree, index, 0, model, forest, detail};
	const Value *parameters = field_object(tree, "tree_param");
	const Value *id = document_member(tree, "id");
	uint32_t	num_nodes = (uint32_t) field_number(parameters, "num_nodes", 1, 1 << 24,
													FIELD_REQUIRED);
	int64_t		vector_size = field_number(parameters, "size_leaf_vector", 0,
										   FOREST_MAX_OUTPUTS, 0);
	int64_t		num_features = field_number(parameters, "num_feature", 0, INT32_MAX, 0);
	int64_t		num_deleted = field_number(parameters, "num_deleted", 0, num_nodes, -1);

	reader.num_nodes = num_nodes;
	if (id == NULL || id->kind != VALUE_INTEGER || id->as.integer != index)
		bad_tree(&reader, "a wrong id");
	if (num_features != 0 && num_features != model->num_features)
		bad_tree(&reader, "a wrong number of features");
	if ((vector_size > 1) != model->has_vector_leaves ||
		(vector_size > 1 && vector_size != model->num_outputs))
		bad_tree(&reader, "an unexpected size of leaves");
	if (vector_size > 1 && (uint64_t) num_nodes * model->num_outputs > INT32_MAX)
		bad_tree(&reader, "too many leaf values");

	forest->num_nodes = num_nodes;
	forest->weight = 1.0f;
	forest->left = field_ints(tree, "left_children", num_nodes, NULL, -1, num_nodes - 1);
	detail->right = field_ints(tree, "right_children", num_nodes, NULL, -1, num_nodes - 1);
	forest->right = detail->right;
	detail->parents = field_ints(tree, "parents", num_nodes, NULL, -1, INT32_MAX);
	forest->feature = field_ints(tree, "split_indices", num_nodes, NULL, 0, INT32_MAX);
	forest->condition = field_floats(tree, "split_conditions", num_nodes, NULL);
	forest->default_left = field_bits(tree, "default_left", num_nodes);
	detail->split_type = document_member(tree, "split_type") != NULL ?
		field_bits(tree, "split_type", num_nodes) : region_get_zero(num_nodes, 1);
	detail->base_weights = field_floats(tree, "base_weights",
										vector_size > 1 ? num_nodes * model->num_outputs : num_nodes, NULL);
	if (document_member(tree, "loss_changes") != NULL)
		detail->loss_changes = field_floats(tree, "loss_changes", num_nodes, NULL);
	if (document_member(tree, "sum_hessian") != NULL)
		detail->sum_hessian = field_floats(tree, "sum_hessian", num_nodes, NULL);
	forest->cover = detail->sum_hessian;

	check_shape(&reader);
	if (num_deleted >= 0 && num_deleted != detail->num_deleted)
		bad_tree(&reader, "a wrong number of deleted nodes");
	read_categories(&reader);
	if (model->has_vector_leaves)
		read_vector_leaves(&reader);
	check_numbers(&reader);
}
