/*
 * model.c
 *		From a document to a checked description of its model.
 *
 * All layouts since XGBoost 1.0 are read, whatever libxgboost is installed.
 * The checks are stricter than libxgboost's own: every count agrees with every
 * length, every index is in range, and nothing is left to the library's trust.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "memory.h"
#include "refusal.h"

static const char broken_hint[] =
"The file is damaged or was edited; save the model again with Booster.save_model().";

/* XGBoost saves what it has, so saving it again is of no use. */
static const char diverged_hint[] =
"Its training diverged: look at the labels, their weights and the learning rate, and train it again.";

static void __attribute__((noreturn, format(printf, 2, 0)))
refuse_model(const char *hint, const char *format, va_list arguments)
{
	char		what[256];

	vsnprintf(what, sizeof(what), format, arguments);
	refuse(REFUSE_MALFORMED, hint, "malformed model: %s", what);
}

/* See fields.h. */
void
model_malformed(const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	refuse_model(broken_hint, format, arguments);
}

/* See fields.h. */
void
model_diverged(const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	refuse_model(diverged_hint, format, arguments);
}

/* ---- fields ---- */

/* See fields.h. */
const Value *
field_object(const Value *object, const char *key)
{
	const Value *value = document_member(object, key);

	if (value == NULL || value->kind != VALUE_OBJECT)
		model_malformed("\"%s\" is missing or is not an object", key);
	return value;
}

/* A string that must be there. */
static const char *
field_text(const Value *object, const char *key)
{
	const Value *value = document_member(object, key);

	if (value == NULL || value->kind != VALUE_STRING)
		model_malformed("\"%s\" is missing or is not a string", key);
	return value->as.string;
}

/* A whole number in decimal, nothing else; false when it is none. */
static bool
read_integer(const char *text, int64_t *number)
{
	const char *digit = text + (*text == '-');
	char	   *end;

	if (*digit < '0' || *digit > '9')
		return false;
	errno = 0;
	*number = strtoll(text, &end, 10);
	return *end == '\0' && errno == 0;
}

/* See fields.h. */
int64_t
field_number(const Value *object, const char *key, int64_t low, int64_t high,
			 int64_t absent)
{
	int64_t		number;

	if (absent != FIELD_REQUIRED && document_member(object, key) == NULL)
		return absent;
	if (!read_integer(field_text(object, key), &number))
		model_malformed("\"%s\" is not a number", key);
	if (number < low || number > high)
		model_malformed("\"%s\" is out of range", key);
	return number;
}

/* Refuse an array for its kind or length; give its length away. */
static void
check_array(const void *array, uint32_t have, const char *key, uint32_t length,
			uint32_t *count)
{
	if (array == NULL)
		model_malformed("\"%s\" is missing or has values of the wrong type", key);
	if (length != FIELD_ANY_LENGTH && have != length)
		model_malformed("\"%s\" has %u values instead of %u", key, have, length);
	if (count != NULL)
		*count = have;
}

/* See fields.h. */
const int32_t *
field_ints(const Value *object, const char *key, uint32_t length, uint32_t *count,
		   int64_t low, int64_t high)
{
	uint32_t	have = 0;
	const int32_t *ints = document_ints(document_member(object, key), &have);

	check_array(ints, have, key, length, count);
	for (uint32_t i = 0; i < have; i++)
	{
		if (ints[i] < low || ints[i] > high)
			model_malformed("\"%s\" has a value out of range", key);
	}
	return ints;
}

/* See fields.h. */
const uint8_t *
field_bits(const Value *object, const char *key, uint32_t length)
{
	uint32_t	have = 0;
	const uint8_t *bits = document_bytes(document_member(object, key), &have);

	check_array(bits, have, key, length, NULL);
	for (uint32_t i = 0; i < have; i++)
	{
		if (bits[i] > 1)
			model_malformed("\"%s\" has a value out of range", key);
	}
	return bits;
}

/* See fields.h. */
const float *
field_floats(const Value *object, const char *key, uint32_t length, uint32_t *count)
{
	uint32_t	have = 0;
	const float *floats = document_floats(document_member(object, key), &have);

	check_array(floats, have, key, length, count);
	return floats;
}

/* An array of strings, one for each feature; NULL when absent or empty. */
static const char **
feature_texts(const Value *learner, const char *key, uint32_t num_features)
{
	const Value *list = document_member(learner, key);
	const char **texts;

	if (list == NULL || (list->kind == VALUE_LIST && list->count == 0))
		return NULL;
	if (list->kind != VALUE_LIST || list->count != num_features)
		model_malformed("\"%s\" does not have one value for each feature", key);
	texts = region_get(num_features, sizeof(char *));
	for (uint32_t i = 0; i < num_features; i++)
	{
		if (list->as.items[i].kind != VALUE_STRING)
			model_malformed("\"%s\" has a value that is not a string", key);
		texts[i] = list->as.items[i].as.string;
	}
	return texts;
}

/* ---- learner ---- */

/* The release that wrote the model; refuses those we do not know. */
static void
read_release(const Value *document, Model *model)
{
	uint32_t	count = 0;
	const int32_t *version = document_ints(document_member(document, "version"), &count);
	Buffer		text = {0};

	if (version == NULL || count != 3)
		model_malformed("\"version\" is missing or does not have three numbers");
	for (uint32_t i = 0; i < 3; i++)
	{
		if (version[i] < 0 || version[i] > 999)
			model_malformed("\"version\" is out of range");
	}
	model->release = RELEASE(version[0], version[1]);
	buffer_print(&text, "%d.%d.%d", version[0], version[1], version[2]);
	model->release_text = region_get_string(text.data, text.size);
	buffer_free(&text);
	if (model->release > RELEASE_NEWEST)
		refuse(REFUSE_UNSUPPORTED,
			   "Save the model with XGBoost 3.4 or older, or update pg_risk.",
			   "model of XGBoost %s is newer than the releases known here",
			   model->release_text);
	if (model->release < RELEASE(1, 0))
		model_malformed("\"version\" is out of range");
}

/*
 * Numbers written as "x" or "[x,y]": their texts and values.  Texts are handed
 * to libxgboost as they are, so they hold nothing but finite decimal numbers.
 */
static uint32_t
read_number_list(const char *text, const char *key, uint32_t most,
				 const char **texts, float *numbers)
{
	size_t		length = strlen(text);
	uint32_t	count = 0;
	const char *end = text + length;

	if (length >= 2 && text[0] == '[' && end[-1] == ']')
	{
		text++;
		end--;
	}
	for (;;)
	{
		size_t		size = strspn(text, "0123456789+-.eE");
		char	   *number_end;

		if (count == most || size == 0 || size > 40)
			model_malformed("\"%s\" is not a number or has too many", key);
		texts[count] = region_get_string(text, size);
		numbers[count] = strtof(texts[count], &number_end);
		if (*number_end != '\0' || !isfinite(numbers[count]))
			model_malformed("\"%s\" is not a number", key);
		count++;
		text += size;
		if (text == end)
			return count;
		if (*text++ != ',')
			model_malformed("\"%s\" is not a number", key);
		text += strspn(text, " ");
	}
}

/* Feature, class and target counts, objective, base score. */
static void
read_learner_parameters(const Value *learner, Model *model)
{
	const Value *parameters = field_object(learner, "learner_model_param");
	const Value *objective = field_object(learner, "objective");
	const char *name = field_text(objective, "name");

	model->num_features = (uint32_t)
		field_number(parameters, "num_feature", 1, UINT32_MAX, FIELD_REQUIRED);
	if (model->num_features > FOREST_MAX_FEATURES)
		refuse(REFUSE_UNSUPPORTED, "Train the model on fewer features.",
			   "model has %u features, of %d that are possible",
			   model->num_features, FOREST_MAX_FEATURES);
	model->num_classes = (uint32_t)
		field_number(parameters, "num_class", 0, FOREST_MAX_OUTPUTS, 0);
	model->num_targets = (uint32_t)
		field_number(parameters, "num_target", 1, FOREST_MAX_OUTPUTS, 1);
	if (model->num_classes > 1 && model->num_targets > 1)
		refuse(REFUSE_UNSUPPORTED, "Train one model for each target.",
			   "model with several targets of several classes is not supported");
	model->num_outputs = model->num_classes > 1 ? model->num_classes : model->num_targets;

	model->objective = objective_find(name);
	if (model->objective == NULL)
		refuse(REFUSE_UNSUPPORTED, "Use one of XGBoost's own objectives.",
			   "objective \"%.64s\" is not supported", name);
	if (model->objective->is_multiclass != (model->num_classes > 1))
		model_malformed("objective \"%s\" and %u classes", name, model->num_classes);
	if (model->objective->is_multiclass &&
		field_number(field_object(objective, "softmax_multiclass_param"), "num_class",
					 0, FOREST_MAX_OUTPUTS, FIELD_REQUIRED) != model->num_classes)
		model_malformed("two different values of \"num_class\"");
}

/* The alphas of quantiles and expectiles: one for each target, 0 to 1. */
static void
read_alphas(const Value *learner, Model *model)
{
	const ObjectiveParameter *parameter = &model->objective->parameters[0];
	const char **texts = region_get(model->num_outputs, sizeof(char *));
	float	   *alphas = region_get(model->num_outputs, sizeof(float));

	if (parameter->block == NULL || parameter->value != NULL ||
		model->objective->is_multiclass)
		return;
	model->alphas = field_text(field_object(field_object(learner, "objective"),
											parameter->block), parameter->name);
	if (read_number_list(model->alphas, parameter->name, model->num_outputs,
						 texts, alphas) != model->num_outputs)
		model_malformed("\"%s\" does not have one value for each target", parameter->name);
	for (uint32_t i = 0; i < model->num_outputs; i++)
	{
		if (alphas[i] < 0.0f || alphas[i] > 1.0f || (i > 0 && alphas[i] < alphas[i - 1]))
			model_malformed("\"%s\" is out of range", parameter->name);
	}
}

/*
 * libxgboost reads at most nine digits of a base score and takes the default
 * for a longer text (src/common/charconv.cc); XGBoost 1.0 wrote such texts, as
 * others may.  Nine digits give the same float32.
 */
static const char *
shorten_number(const char *text, float number)
{
	char		shorter[32];
	int			digits = 0;

	for (const char *at = text; *at != '\0' && *at != 'e' && *at != 'E'; at++)
		digits += *at >= '0' && *at <= '9';
	if (digits <= 9)
		return text;
	snprintf(shorter, sizeof(shorter), "%.8E", (double) number);
	return region_get_string(shorter, strlen(shorter));
}

/*
 * Base score and the margins that follow from it.  A linear model adds the
 * first one to every output (src/gbm/gblinear.cc).
 */
static void
read_base_score(const Value *learner, Model *model)
{
	const char *text = field_text(field_object(learner, "learner_model_param"), "base_score");
	float	   *scores = region_get(model->num_outputs, sizeof(float));

	model->base_scores = region_get(model->num_outputs, sizeof(float));
	model->base_score_texts = region_get(model->num_outputs, sizeof(char *));
	model->base_margins = region_get(model->num_outputs, sizeof(float));
	model->num_base_scores = read_number_list(text, "base_score", model->num_outputs,
											  model->base_score_texts, model->base_scores);
	if (model->num_base_scores != 1 && model->num_base_scores != model->num_outputs)
		model_malformed("\"base_score\" does not have one value for each output");
	for (uint32_t i = 0; i < model->num_base_scores; i++)
		model->base_score_texts[i] = shorten_number(model->base_score_texts[i],
													model->base_scores[i]);
	for (uint32_t i = 0; i < model->num_outputs; i++)
		scores[i] = model->base_scores[model->num_base_scores == 1 ? 0 : i];
	if (!objective_base_margins(model->objective, scores, model->num_outputs,
								model->base_margins))
		model_malformed("\"base_score\" is out of the range of objective \"%s\"",
						model->objective->name);
	if (model->booster == BOOSTER_GBLINEAR)
	{
		for (uint32_t i = 1; i < model->num_outputs; i++)
			model->base_margins[i] = model->base_margins[0];
	}
}

/* Attributes, which are strings, and the best iteration among them. */
static void
read_attributes(const Value *learner, Model *model)
{
	const Value *attributes = document_member(learner, "attributes");
	const Value *best = document_member(attributes, "best_iteration");

	model->best_iteration = -1;
	if (attributes == NULL)
		return;
	if (attributes->kind != VALUE_OBJECT)
		model_malformed("\"attributes\" is not an object");
	for (uint32_t i = 0; i < attributes->count; i++)
	{
		if (attributes->as.members[i].value.kind != VALUE_STRING)
			model_malformed("\"attributes\" has a value that is not a string");
	}
	model->attributes = attributes;
	if (best != NULL && (!read_integer(best->as.string, &model->best_iteration) ||
						 model->best_iteration < 0 || model->best_iteration >= INT32_MAX))
		model->best_iteration = -1;
}

/* ---- boosters ---- */

/* The weights of a linear model, the biases last. */
static void
read_linear(const Value *booster, Model *model)
{
	const Value *body = field_object(booster, "model");
	const Value *rounds = document_member(body, "boosted_rounds");
	uint32_t	length = (model->num_features + 1) * model->num_outputs;

	if ((uint64_t) (model->num_features + 1) * model->num_outputs > INT32_MAX)
		model_malformed("\"weights\" is too long");
	model->weights = field_floats(body, "weights", length, NULL);
	for (uint32_t i = 0; i < length; i++)
	{
		if (!isfinite(model->weights[i]))
			model_diverged("\"weights\" has a value that is not a finite number");
	}
	model->rounds = -1;
	if (rounds != NULL)
	{
		if (rounds->kind != VALUE_INTEGER || rounds->as.integer < 0 ||
			rounds->as.integer > INT32_MAX)
			model_malformed("\"boosted_rounds\" is out of range");
		model->rounds = rounds->as.integer;
	}
}

/*
 * Number of parallel trees where the file does not tell (JSON before 1.6) or
 * may tell wrongly (old binary files, where the converting release says 1).
 * With several groups the trees of one stand together; else the attribute
 * best_ntree_limit of those releases counts trees.  1 when nothing tells.
 */
static uint32_t
infer_parallel_trees(const Model *model, const int32_t *groups_of, uint32_t groups)
{
	const Value *limit = document_member(model->attributes, "best_ntree_limit");
	int64_t		trees;
	uint32_t	parallel = 1;

	if (groups > 1)
	{
		while (parallel < model->num_trees && groups_of[parallel] == 0)
			parallel++;
		return parallel;
	}
	if (limit != NULL && model->best_iteration >= 0 &&
		read_integer(limit->as.string, &trees) && trees > 0 && trees <= model->num_trees &&
		trees % (model->best_iteration + 1) == 0)
		return (uint32_t) (trees / (model->best_iteration + 1));
	return 1;
}

/*
 * The rounds that release 2.0 and later write down must be the ones we know.
 * For an old binary file they are the converting release's guess.
 */
static void
check_round_starts(const Value *body, const Model *model)
{
	const int32_t *starts;

	if (document_member(body, "iteration_indptr") == NULL || model->format == FORMAT_BINARY)
		return;
	starts = field_ints(body, "iteration_indptr", (uint32_t) model->rounds + 1, NULL,
						0, INT32_MAX);
	for (uint32_t i = 0; i <= model->rounds; i++)
	{
		if ((uint32_t) starts[i] != i * model->trees_per_round)
			model_malformed("\"iteration_indptr\" does not fit the trees");
	}
}

/* Number of parallel trees, trees a round, rounds, and the output of each tree. */
static void
read_rounds(const Value *body, Model *model)
{
	const Value *parameters = field_object(body, "gbtree_model_param");
	uint32_t	groups = model->has_vector_leaves ? 1 : model->num_outputs;
	int64_t		parallel = field_number(parameters, "num_parallel_tree", 1,
										FOREST_MAX_TREES, 0);
	const int32_t *groups_of = field_ints(body, "tree_info", model->num_trees, NULL,
										  0, (int64_t) groups - 1);

	if (field_number(parameters, "num_trees", 1, FOREST_MAX_TREES, FIELD_REQUIRED)
		!= model->num_trees)
		model_malformed("\"num_trees\" is not the number of trees");
	if (parallel == 0 || (parallel == 1 && model->format == FORMAT_BINARY))
		parallel = infer_parallel_trees(model, groups_of, groups);
	if (parallel * groups > model->num_trees || model->num_trees % (parallel * groups) != 0)
		model_malformed("%u trees do not make whole rounds", model->num_trees);
	for (uint32_t i = 0; i < model->num_trees; i++)
	{
		if ((uint32_t) groups_of[i] != i / parallel % groups)
			model_malformed("\"tree_info\" is out of order");
		model->trees[i].output = (uint32_t) groups_of[i];
	}
	model->num_parallel_tree = (uint32_t) parallel;
	model->trees_per_round = (uint32_t) parallel * groups;
	model->rounds = model->num_trees / model->trees_per_round;
	check_round_starts(body, model);
}

/* DART adds what a tree says to nothing before it is weighted, which makes a leaf of -0 one of 0. */
static void
add_to_nothing(ForestSourceTree *tree)
{
	float	   *sums = region_get(tree->num_nodes, sizeof(float));

	for (uint32_t i = 0; i < tree->num_nodes; i++)
		sums[i] = 0.0f + tree->condition[i];
	tree->condition = sums;
}

/* The weights of DART's trees; 3.4 leaves out those that stayed 1. */
static void
read_tree_weights(const Value *object, Model *model)
{
	uint32_t	count;
	const float *weights = field_floats(object, "weight_drop", FIELD_ANY_LENGTH, &count);
	float	   *copy = region_get(model->num_trees, sizeof(float));

	if (count > model->num_trees)
		model_malformed("\"weight_drop\" has more values than there are trees");
	for (uint32_t i = 0; i < model->num_trees; i++)
	{
		copy[i] = i < count ? weights[i] : 1.0f;
		if (!isfinite(copy[i]))
			model_malformed("\"weight_drop\" has a value that is not a finite number");
		model->trees[i].weight = copy[i];
		add_to_nothing(&model->trees[i]);
	}
	model->booster = BOOSTER_DART;
	model->tree_weights = copy;
}

/* The trees of a gbtree or dart model. */
static void
read_trees(const Value *booster, Model *model)
{
	const Value *gbtree = document_member(booster, "gbtree");
	const Value *body = field_object(gbtree != NULL ? gbtree : booster, "model");
	const Value *trees = document_member(body, "trees");
	const Value *drop_holder = document_member(booster, "weight_drop") != NULL ? booster : body;

	if (trees == NULL || trees->kind != VALUE_LIST)
		model_malformed("\"trees\" is missing or is not a list");
	if (trees->count == 0)
		refuse(REFUSE_UNSUPPORTED, "Train the model for at least one round.",
			   "model has no trees");
	if (trees->count > FOREST_MAX_TREES)
		refuse(REFUSE_LIMIT, "Train a smaller model.", "model has too many trees");
	model->num_trees = trees->count;
	model->trees = region_get_zero(model->num_trees, sizeof(ForestSourceTree));
	model->details = region_get_zero(model->num_trees, sizeof(ModelTree));
	model->has_vector_leaves = model->num_outputs > 1 &&
		field_number(document_member(&trees->as.items[0], "tree_param"),
					 "size_leaf_vector", 0, FOREST_MAX_OUTPUTS, 0) > 1;

	for (uint32_t i = 0; i < model->num_trees; i++)
	{
		tree_read(&trees->as.items[i], i, model, &model->trees[i], &model->details[i]);
		if (i == 0)
			model->has_leaf_weights = model->details[0].leaf_weights != NULL;
		if (model->has_leaf_weights != (model->details[i].leaf_weights != NULL))
			model_malformed("two layouts of leaves");
	}
	read_rounds(body, model);
	if (document_member(drop_holder, "weight_drop") != NULL)
		read_tree_weights(drop_holder, model);
	else if (model->booster == BOOSTER_DART)
		model_malformed("\"weight_drop\" is missing");
	model->categories = categories_read(document_member(body, "cats"), model->num_features);
}

/* The booster, by its name. */
static void
read_booster(const Value *learner, Model *model)
{
	const Value *booster = field_object(learner, "gradient_booster");
	const char *name = field_text(booster, "name");

	if (strcmp(name, "gblinear") == 0)
	{
		model->booster = BOOSTER_GBLINEAR;
		read_linear(booster, model);
		return;
	}
	if (strcmp(name, "dart") == 0)
		model->booster = BOOSTER_DART;
	else if (strcmp(name, "gbtree") != 0)
		refuse(REFUSE_UNSUPPORTED, "Train the model with booster gbtree, dart or gblinear.",
			   "booster \"%.64s\" is not supported", name);
	read_trees(booster, model);
}

/* ---- the whole ---- */

/* Features are categorical by their type or by a split. */
static void
find_categorical(Model *model)
{
	model->is_categorical = region_get_zero(model->num_features, 1);
	for (uint32_t i = 0; model->feature_types != NULL && i < model->num_features; i++)
		model->is_categorical[i] = strcmp(model->feature_types[i], "c") == 0;
	for (uint32_t i = 0; i < model->num_trees; i++)
	{
		for (uint32_t j = 0; j < model->details[i].num_sets; j++)
			model->is_categorical[model->trees[i].feature[model->details[i].set_nodes[j]]] = 1;
	}
}

/* Documents that are something else of XGBoost's. */
static void
check_kind(const Value *document)
{
	if (document->kind != VALUE_OBJECT)
		model_malformed("it is not an object");
	if (document_member(document, "learner") != NULL)
		return;
	if (document_member(document, "Model") != NULL && document_member(document, "Config") != NULL)
		refuse(REFUSE_MALFORMED,
			   "Save the model with Booster.save_model(\"model.ubj\") and register that file.",
			   "file is a memory snapshot, not a model file");
	refuse(REFUSE_MALFORMED,
		   "Save the model with Booster.save_model(\"model.ubj\") and register that file.",
		   "file is not an XGBoost model");
}

/* See model.h. */
Model *
model_read(const Value *document, ModelFormat format)
{
	Model	   *model = region_get_zero(1, sizeof(Model));
	const Value *learner;

	check_kind(document);
	model->format = format;
	read_release(document, model);
	learner = field_object(document, "learner");
	read_learner_parameters(learner, model);
	read_alphas(learner, model);
	model->feature_names = feature_texts(learner, "feature_names", model->num_features);
	model->feature_types = feature_texts(learner, "feature_types", model->num_features);
	read_attributes(learner, model);
	read_booster(learner, model);
	read_base_score(learner, model);
	find_categorical(model);
	return model;
}

/* See model.h. */
void
model_source(const Model *model, int64_t rounds, float missing, ForestSource *source)
{
	memset(source, 0, sizeof(*source));
	source->kind = model->booster == BOOSTER_GBLINEAR ? FOREST_LINEAR : FOREST_TREES;
	source->transform = model->objective->transform;
	source->num_features = model->num_features;
	source->num_outputs = model->num_outputs;
	source->missing = missing;
	source->base_margins = model->base_margins;
	source->weights = model->weights;
	source->trees = model->trees;
	source->num_trees = rounds == 0 ? model->num_trees :
		(uint32_t) rounds * model->trees_per_round;
}
