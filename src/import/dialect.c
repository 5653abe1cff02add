/*
 * dialect.c
 *		A model as UBJSON in the dialect of the installed libxgboost.
 *
 * libxgboost must read the model as its writer meant it, and must not see a
 * stranger's bytes.  So the model is written anew: known fields only, values
 * as the document has them, lengths and types as libxgboost saves them itself.
 * Where releases differ the model is changed, and LibraryModel.read_as says so:
 *
 *	base_score	One number up to 3.0, which takes a list for 0.5; from 3.1 one
 *				for each output.  Different numbers for an old library become
 *				base margins of the rows.
 *	dart		weight_drop stands around the trees (up to 3.2), beside them
 *				(3.3) or among them (3.4).
 *	vector leaves	In base_weights from 2.0, in leaf_weights from 3.2; a
 *				library without the model's layout gets a scalar tree for each
 *				output, which adds the same leaves in the same order.
 *	covers		Releases insist on sum_hessian, which predictions do not use: 0
 *				where the model has none.
 *	objective	One that the library lacks is stood in for by another for the
 *				margins, and its base margins come with the rows.
 *
 * Without these a library reads models of other releases wrongly and without
 * an error.  boost_from_average is always 0 and boosted_rounds of a linear
 * model positive: else 3.x takes some old models for untrained ones.
 */
#include <stdio.h>
#include <string.h>

#include "library.h"

/* The release that is written for, and what goes there. */
typedef struct Writer
{
	const Model *model;
	int			release;
	Buffer	   *out;
	const Objective *objective; /* the library's */
	bool		is_split;		/* vector leaves become scalar trees */
} Writer;

/* ---- UBJSON ---- */

/* A number of a width, big-endian. */
static void
put_number(Writer *writer, uint64_t bits, unsigned width)
{
	char	   *at = buffer_reserve(writer->out, width);

	for (unsigned i = width; i > 0; i--, bits >>= 8)
		at[i - 1] = (char) (bits & 0xFF);
	writer->out->size += width;
}

/* A mark of the format. */
static void
put_mark(Writer *writer, char mark)
{
	buffer_add(writer->out, &mark, 1);
}

/* A length and a text, as keys are. */
static void
put_key(Writer *writer, const char *key)
{
	put_mark(writer, 'L');
	put_number(writer, strlen(key), 8);
	buffer_add(writer->out, key, strlen(key));
}

/* A string as value. */
static void
put_text(Writer *writer, const char *key, const char *text)
{
	put_key(writer, key);
	put_mark(writer, 'S');
	put_key(writer, text);
}

/* A number as a string, as parameters are. */
static void
put_number_text(Writer *writer, const char *key, uint64_t number)
{
	char		text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long) number);
	put_text(writer, key, text);
}

/* Begin an object under a key; end it with put_mark(writer, '}'). */
static void
put_object(Writer *writer, const char *key)
{
	put_key(writer, key);
	put_mark(writer, '{');
}

/* Begin a list of so many values, each with its type. */
static void
put_list(Writer *writer, const char *key, uint64_t count)
{
	put_key(writer, key);
	buffer_add(writer->out, "[#L", 3);
	put_number(writer, count, 8);
}

/* Begin an array of a type. */
static void
put_array(Writer *writer, const char *key, char type, uint64_t count)
{
	put_key(writer, key);
	buffer_add(writer->out, "[$", 2);
	put_mark(writer, type);
	buffer_add(writer->out, "#L", 2);
	put_number(writer, count, 8);
}

/* An integer in a list. */
static void
put_integer(Writer *writer, int64_t integer)
{
	put_mark(writer, 'l');
	put_number(writer, (uint64_t) integer, 4);
}

/* Arrays of float32, int32, int64 (from int32) and uint8; NULL is all zero. */
static void
put_floats(Writer *writer, const char *key, const float *floats, uint64_t count)
{
	put_array(writer, key, 'd', count);
	for (uint64_t i = 0; i < count; i++)
	{
		uint32_t	bits = 0;

		if (floats != NULL)
			memcpy(&bits, &floats[i], sizeof(bits));
		put_number(writer, bits, 4);
	}
}

static void
put_ints(Writer *writer, const char *key, const int32_t *ints, uint64_t count)
{
	put_array(writer, key, 'l', count);
	for (uint64_t i = 0; i < count; i++)
		put_number(writer, (uint64_t) (int64_t) ints[i], 4);
}

static void
put_longs(Writer *writer, const char *key, const int32_t *ints, uint64_t count)
{
	put_array(writer, key, 'L', count);
	for (uint64_t i = 0; i < count; i++)
		put_number(writer, (uint64_t) (int64_t) ints[i], 8);
}

static void
put_bytes(Writer *writer, const char *key, const uint8_t *bytes, uint64_t count)
{
	put_array(writer, key, 'U', count);
	buffer_add(writer->out, bytes, count);
}

/* ---- the model ---- */

/* Note a change. */
static void
note(LibraryModel *loaded, const char *change)
{
	buffer_print(&loaded->read_as, "%s%s", loaded->read_as.size > 0 ? "; " : "", change);
}

/* One tree; output < 0 as it is, else the scalar tree of that output. */
static void
write_tree(Writer *writer, uint32_t index, uint32_t id, int64_t output)
{
	const Model *model = writer->model;
	const ForestSourceTree *tree = &model->trees[index];
	const ModelTree *detail = &model->details[index];
	uint32_t	n = tree->num_nodes;
	bool		is_vector = model->has_vector_leaves && output < 0;
	const float *conditions = tree->condition;
	const int32_t *right = detail->right;
	Buffer		scalar = {0};
	Buffer		scalar_right = {0};

	if (output >= 0)
	{
		float	   *leaves = (float *) (void *) buffer_reserve(&scalar, n * sizeof(float));
		int32_t    *none = (int32_t *) (void *) buffer_reserve(&scalar_right, n * sizeof(int32_t));

		for (uint32_t i = 0; i < n; i++)
		{
			bool		is_leaf = tree->left[i] == -1;

			leaves[i] = !is_leaf ? tree->condition[i] :
				tree->leaf_vectors[(size_t) tree->leaf_vector[i] * model->num_outputs +
								   (size_t) output];
			none[i] = is_leaf ? -1 : right[i];
		}
		conditions = leaves;
		right = none;
	}

	put_mark(writer, '{');
	put_floats(writer, "base_weights", output < 0 ? detail->base_weights : NULL,
			   is_vector ? (uint64_t) n * model->num_outputs : n);
	put_ints(writer, "categories", tree->categories, detail->num_categories);
	put_ints(writer, "categories_nodes", detail->set_nodes, detail->num_sets);
	put_longs(writer, "categories_segments", detail->set_segments, detail->num_sets);
	put_longs(writer, "categories_sizes", detail->set_sizes, detail->num_sets);
	put_bytes(writer, "default_left", tree->default_left, n);
	put_key(writer, "id");
	put_integer(writer, id);
	if (is_vector && detail->leaf_weights != NULL)
		put_floats(writer, "leaf_weights", detail->leaf_weights, detail->num_leaf_weights);
	put_ints(writer, "left_children", tree->left, n);
	put_floats(writer, "loss_changes", detail->loss_changes, n);
	put_ints(writer, "parents", detail->parents, n);
	put_ints(writer, "right_children", right, n);
	put_floats(writer, "split_conditions", conditions, n);
	put_ints(writer, "split_indices", tree->feature, n);
	put_bytes(writer, "split_type", detail->split_type, n);
	put_floats(writer, "sum_hessian", detail->sum_hessian, n);
	put_object(writer, "tree_param");
	put_number_text(writer, "num_deleted", detail->num_deleted);
	put_number_text(writer, "num_feature", model->num_features);
	put_number_text(writer, "num_nodes", n);
	put_number_text(writer, "size_leaf_vector", is_vector ? model->num_outputs :
					writer->release < RELEASE_ROUNDS ? 0 : 1);
	put_mark(writer, '}');
	put_mark(writer, '}');
	buffer_free(&scalar);
	buffer_free(&scalar_right);
}

/*
 * All trees.  When vectors are split, a round of p trees becomes p trees for
 * the first output, then p for the next: the order that libxgboost keeps.
 */
static void
write_trees(Writer *writer)
{
	const Model *model = writer->model;
	uint32_t	copies = writer->is_split ? model->num_outputs : 1;
	uint32_t	parallel = model->num_parallel_tree;
	uint32_t	num_trees = model->num_trees * copies;
	uint32_t	per_round = model->trees_per_round * copies;

	put_object(writer, "gbtree_model_param");
	put_number_text(writer, "num_parallel_tree", parallel);
	put_number_text(writer, "num_trees", num_trees);
	put_number_text(writer, "size_leaf_vector", 0);
	put_mark(writer, '}');
	put_list(writer, "trees", num_trees);
	for (uint32_t i = 0; i < num_trees; i++)
	{
		if (writer->is_split)
			write_tree(writer, i / per_round * parallel + i % parallel, i,
					   i / parallel % copies);
		else
			write_tree(writer, i, i, -1);
	}
	put_list(writer, "tree_info", num_trees);
	for (uint32_t i = 0; i < num_trees; i++)
		put_integer(writer, writer->is_split ? i / parallel % copies : model->trees[i].output);
	if (writer->release >= RELEASE_ROUNDS)
	{
		put_list(writer, "iteration_indptr", num_trees / per_round + 1);
		for (uint32_t i = 0; i <= num_trees; i += per_round)
			put_integer(writer, i);
	}
	if (writer->release >= RELEASE_BASE_VECTOR)
	{
		put_object(writer, "cats");
		put_list(writer, "enc", 0);
		put_ints(writer, "feature_segments", NULL, 0);
		put_ints(writer, "sorted_idx", NULL, 0);
		put_mark(writer, '}');
	}
}

/* DART's weights. */
static void
write_tree_weights(Writer *writer)
{
	const Model *model = writer->model;
	uint32_t	copies = writer->is_split ? model->num_outputs : 1;
	uint32_t	parallel = model->num_parallel_tree;

	put_list(writer, "weight_drop", (uint64_t) model->num_trees * copies);
	for (uint32_t i = 0; i < model->num_trees * copies; i++)
	{
		uint32_t	tree = i / (model->trees_per_round * copies) * parallel + i % parallel;
		uint32_t	bits;

		memcpy(&bits, &model->tree_weights[writer->is_split ? tree : i], sizeof(bits));
		put_mark(writer, 'd');
		put_number(writer, bits, 4);
	}
}

/* The booster: trees, with DART's weights in the place of the release; or weights. */
static void
write_booster(Writer *writer)
{
	const Model *model = writer->model;
	bool		is_dart = model->booster == BOOSTER_DART;
	bool		is_around = is_dart && writer->release < RELEASE_DART_BESIDE;

	put_object(writer, "gradient_booster");
	if (model->booster == BOOSTER_GBLINEAR)
	{
		put_text(writer, "name", "gblinear");
		put_object(writer, "model");
		put_key(writer, "boosted_rounds");
		put_integer(writer, model->rounds > 0 ? model->rounds : 1);
		put_floats(writer, "weights", model->weights,
				   (uint64_t) (model->num_features + 1) * model->num_outputs);
		put_mark(writer, '}');
		put_mark(writer, '}');
		return;
	}
	put_text(writer, "name", is_around ? "dart" : "gbtree");
	if (is_around)
	{
		put_object(writer, "gbtree");
		put_text(writer, "name", "gbtree");
	}
	put_object(writer, "model");
	write_trees(writer);
	if (is_dart && writer->release >= RELEASE_DART_INSIDE)
		write_tree_weights(writer);
	put_mark(writer, '}');
	if (is_around)
		put_mark(writer, '}');
	if (is_dart && writer->release < RELEASE_DART_INSIDE)
		write_tree_weights(writer);
	put_mark(writer, '}');
}

/*
 * The base score as text: as written where the library reads that, one number
 * where one is meant, else a number that every objective takes and that the
 * base margins of the rows replace.
 */
static void
write_base_score(Writer *writer, LibraryModel *loaded)
{
	const Model *model = writer->model;
	bool		is_one = true;
	Buffer		list = {0};

	for (uint32_t i = 1; i < model->num_base_scores; i++)
		is_one = is_one && memcmp(&model->base_scores[i], &model->base_scores[0],
								  sizeof(float)) == 0;
	if (model->booster == BOOSTER_GBLINEAR)
		is_one = true;			/* the others are not looked at */
	if (writer->objective->link != model->objective->link ||
		(writer->release < RELEASE_BASE_VECTOR && !is_one))
	{
		loaded->wants_margins = true;
		note(loaded, "base margins given with the rows");
		put_text(writer, "base_score", "5E-1");
		return;
	}
	if (writer->release < RELEASE_BASE_VECTOR || model->num_base_scores == 1)
	{
		if (model->release >= RELEASE_BASE_VECTOR && writer->release < RELEASE_BASE_VECTOR)
			note(loaded, "base_score as one number");
		put_text(writer, "base_score", model->base_score_texts[0]);
		return;
	}
	for (uint32_t i = 0; i < model->num_base_scores; i++)
		buffer_print(&list, "%s%s", i == 0 ? "[" : ",", model->base_score_texts[i]);
	buffer_add(&list, "]", 2);
	put_text(writer, "base_score", list.data);
	buffer_free(&list);
}

/* The objective with every parameter block that some release wants. */
static void
write_objective(Writer *writer)
{
	const Model *model = writer->model;

	put_object(writer, "objective");
	put_text(writer, "name", writer->objective->name);
	for (int i = 0; i < 2 && writer->objective->parameters[i].block != NULL; i++)
	{
		const ObjectiveParameter *parameter = &writer->objective->parameters[i];

		put_object(writer, parameter->block);
		if (parameter->value != NULL)
			put_text(writer, parameter->name, parameter->value);
		else if (writer->objective->is_multiclass)
			put_number_text(writer, parameter->name, model->num_classes);
		else
			put_text(writer, parameter->name, model->alphas);
		put_mark(writer, '}');
	}
	put_mark(writer, '}');
}

/* Choose what the library gets instead of what it lacks, and say so. */
static void
choose_dialect(Writer *writer, LibraryModel *loaded)
{
	const Model *model = writer->model;

	writer->objective = model->objective;
	loaded->has_objective = model->objective->since <= writer->release;
	if (!loaded->has_objective)
	{
		writer->objective = objective_stand_in();
		note(loaded, "another objective for the margins");
	}
	writer->is_split = model->has_vector_leaves &&
		(writer->release < RELEASE_ROUNDS ||
		 model->has_leaf_weights != (writer->release >= RELEASE_LEAF_WEIGHTS));
	if (writer->is_split)
		note(loaded, "vector leaves as one tree for each output");
	if (model->booster == BOOSTER_DART &&
		(model->release >= RELEASE_DART_INSIDE) + (model->release >= RELEASE_DART_BESIDE) !=
		(writer->release >= RELEASE_DART_INSIDE) + (writer->release >= RELEASE_DART_BESIDE))
		note(loaded, "weight_drop in its other place");
	for (uint32_t i = 0; i < model->num_trees; i++)
	{
		if (model->details[i].sum_hessian == NULL)
		{
			note(loaded, "covers of 0 where there are none");
			break;
		}
	}
}

/* See library.h. */
void
dialect_write(const Model *model, int release, Buffer *ubjson, LibraryModel *loaded)
{
	Writer		writer = {model, release, ubjson, NULL, false};

	choose_dialect(&writer, loaded);
	put_mark(&writer, '{');
	put_object(&writer, "learner");
	put_object(&writer, "attributes");
	put_mark(&writer, '}');
	put_list(&writer, "feature_names", 0);
	put_list(&writer, "feature_types", 0);
	write_booster(&writer);
	put_object(&writer, "learner_model_param");
	write_base_score(&writer, loaded);
	put_text(&writer, "boost_from_average", "0");
	put_number_text(&writer, "num_class", model->num_classes);
	put_number_text(&writer, "num_feature", model->num_features);
	put_number_text(&writer, "num_target", model->num_targets);
	put_mark(&writer, '}');
	write_objective(&writer);
	put_mark(&writer, '}');
	put_list(&writer, "version", 3);
	put_integer(&writer, release / 1000);
	put_integer(&writer, release % 1000);
	put_integer(&writer, 0);
	put_mark(&writer, '}');
}
