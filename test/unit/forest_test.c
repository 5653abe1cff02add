/*
 * forest_test.c
 *		Unit tests of scoring with the forest core (src/forest).
 *
 * Three readings of one model must agree in every bit: the kernel, the
 * reference scorer, and the evaluator of forest_models.h; and all of them with
 * what was worked out by hand.
 */
#include "forest_models.h"

/* ---- agreement of the three readings ---- */

/* Number of rows in which the readings differ; rows are made up. */
static uint32_t
count_differences(const ForestSource *source, const Forest *forest, uint32_t num_rows)
{
	uint32_t	outputs = source->num_outputs;
	float	   *row = allocate(source->num_features * sizeof(float));
	float	   *expected = allocate(outputs * sizeof(float));
	float	   *reference = allocate(outputs * sizeof(float));
	float	   *margins = allocate(outputs * sizeof(float));
	void	   *scratch = allocate(forest_scratch_size(forest));
	uint32_t	differences = 0;

	while (num_rows-- > 0)
	{
		random_row(source, row);
		source_margins(source, row, expected);
		forest_margins_reference(forest, row, reference);
		forest_margins(forest, row, scratch, margins);
		differences += !same_floats(reference, expected, outputs) ||
			!same_floats(margins, expected, outputs);
	}
	return differences;
}

static void
test_agreement(void)
{
	size_t		i;
	int			round;

	for (i = 0; i < NUM_SPECS; i++)
	{
		uint32_t	differences = 0;

		for (round = 0; round < 6; round++)
		{
			ForestSource *source = random_source(&specs[i]);
			Forest		forest;
			void	   *image = open_source(source, &forest);

			if (image != NULL)
				differences += count_differences(source, &forest, 300);
			free(image);
			free_all();
		}
		ok(differences == 0, "kernel, reference and source agree: %s (%u differ)",
		   specs[i].name, differences);
	}
}

/* A chain of 5000 splits, a row that goes all the way down, 10^5 trees. */
static void
test_extremes(void)
{
	ModelSpec	deep = {.kind = FOREST_TREES,.num_trees = 3,.num_splits = 5000,
		.num_features = 4,.num_outputs = 1,.chain = true,.missing = NAN};
	ModelSpec	many = {.kind = FOREST_TREES,.num_trees = 20000,.num_splits = 3,
	.num_features = 9,.num_outputs = 2,.missing = NAN};
	ForestSource *source = random_source(&deep);
	Forest		forest;
	void	   *image;
	uint32_t	i;
	uint32_t	k;

	for (k = 0; k < 3; k++)
		for (i = 0; i < source->trees[k].num_nodes; i++)
			((uint8_t *) source->trees[k].default_left)[i] = 1;
	image = open_source(source, &forest);
	if (image != NULL)
	{
		ok(forest.header->max_depth == 5000, "a chain is as deep as it has splits");
		ok(count_differences(source, &forest, 200) == 0, "a chain of 5000 splits is scored");
	}
	free(image);
	free_all();

	source = random_source(&many);
	((ForestSourceTree *) source->trees)[0].output = 1;
	source->num_trees = many.num_trees;
	image = open_source(source, &forest);
	if (image != NULL)
		ok(count_differences(source, &forest, 20) == 0, "20000 trees are scored");
	free(image);
	free_all();
}

/* ---- hand-made trees ---- */

/* The margin of a one-feature forest of one output. */
static float
margin_of(const ForestSource *source, float value)
{
	Forest		forest;
	void	   *image = open_source(source, &forest);
	void	   *scratch;
	float		margin = NAN;

	if (image == NULL)
		return margin;
	scratch = allocate(forest_scratch_size(&forest));
	forest_margins(&forest, &value, scratch, &margin);
	free(image);
	return margin;
}

static void
test_by_hand(void)
{
	static const uint8_t categorical[] = {1, 0, 0};
	static const int32_t begins[] = {1, 0, 0};
	static const int32_t sizes[] = {2, 0, 0};
	static const int32_t categories[] = {9, 0, 64};
	static const uint8_t goes_right[] = {0, 0, 0};
	static const float unreachable[] = {-INFINITY, -1.0f, 1.0f};
	ForestSourceTree tree = stump;
	ForestSource source = stump_source;

	ok(margin_of(&source, 0.25f) == -0.75f, "below the threshold goes left");
	ok(margin_of(&source, 0.5f) == 1.25f, "the threshold itself goes right");
	ok(margin_of(&source, nextafterf(0.5f, 0.0f)) == -0.75f, "one step below it goes left");
	ok(margin_of(&source, NAN) == -0.75f, "missing goes its way");
	source.missing = 7.0f;
	ok(margin_of(&source, 7.0f) == -0.75f, "so does the declared missing value");
	tree.weight = 0.5f;
	source.trees = &tree;
	ok(margin_of(&source, 1.0f) == 0.75f, "a weight is multiplied in");
	tree.weight = 1.0f;
	tree.default_left = goes_right;
	ok(margin_of(&source, NAN) == 1.25f, "missing can go right");
	tree.condition = unreachable;
	ok(margin_of(&source, -INFINITY) == 1.25f, "nothing is below -infinity");

	tree.condition = stump_condition;
	tree.categorical = categorical;
	tree.set_begin = begins;
	tree.set_size = sizes;
	tree.categories = categories;
	ok(margin_of(&source, 0.9f) == 1.25f, "a category in the set goes right, truncated");
	ok(margin_of(&source, 64.0f) == 1.25f, "a high category in the set goes right");
	ok(margin_of(&source, 9.0f) == -0.75f, "a category of another set goes left");
	ok(margin_of(&source, -0.5f) == -0.75f, "a negative category goes left");
	ok(margin_of(&source, 1e30f) == -0.75f, "an impossible category goes left");
	ok(margin_of(&source, 65.0f) == -0.75f, "an unknown category goes left");
	ok(margin_of(&source, NAN) == 1.25f, "a missing category goes its way");
	tree.default_left = stump_default;
	ok(margin_of(&source, NAN) == -0.75f, "a missing category can go left");
	free_all();
}

/* A row need only hold the features in use: others are not read. */
static void
test_unused_features(void)
{
	static const int32_t feature[] = {5, 0, 0};
	ForestSourceTree tree = stump;
	ForestSource source = stump_source;
	Forest		forest;
	void	   *image;

	tree.feature = feature;
	source.trees = &tree;
	source.num_features = FOREST_MAX_FEATURES;
	image = open_source(&source, &forest);
	if (image != NULL)
	{
		float	   *row = allocate(6 * sizeof(float));
		float		margin;

		row[5] = 1.0f;
		ok(forest.header->num_slots == 2, "only features in use have slots");
		forest_margins(&forest, row, allocate(forest_scratch_size(&forest)), &margin);
		ok(margin == 1.25f, "of a million features only those in use are read");
	}
	free(image);
	free_all();
}

/*
 * Stumps over so many features that slots need 20 bits, and one full tree:
 * its steps fit the 12 bits that are left, or the forest is refused.
 */
static void
test_wide(void)
{
	uint32_t	num_stumps = (1 << 19) + 1;
	uint32_t	num_nodes = (1 << 14) - 1;
	ForestSourceTree *trees = allocate((num_stumps + 1) * sizeof(ForestSourceTree));
	ForestSourceTree *full = &trees[num_stumps];
	int32_t    *feature = allocate((num_stumps + num_nodes) * sizeof(int32_t));
	int32_t    *left = allocate(num_nodes * sizeof(int32_t));
	int32_t    *right = allocate(num_nodes * sizeof(int32_t));
	ForestSource source = stump_source;
	Forest		forest;
	void	   *image;
	size_t		size;
	const char *why = NULL;
	uint32_t	i;

	for (i = 0; i < num_stumps + num_nodes; i++)
		feature[i] = i % num_stumps;
	for (i = 0; i < num_stumps; i++)
	{
		trees[i] = stump;
		trees[i].feature = feature + i;
	}
	*full = stump;
	full->num_nodes = num_nodes;
	full->feature = feature;
	full->left = left;
	full->right = right;
	full->condition = allocate(num_nodes * sizeof(float));
	full->default_left = memset(allocate(num_nodes), 1, num_nodes);
	source.num_features = num_stumps;
	source.num_trees = num_stumps + 1;
	source.trees = trees;
	for (i = 0; i < num_nodes; i++)
	{
		left[i] = i < num_nodes / 4 ? (int32_t) (2 * i + 1) : -1;
		right[i] = left[i] + 1;
	}
	image = open_source(&source, &forest);
	if (image != NULL)
	{
		ok(forest.header->slot_bits == 20, "half a million slots need 20 bits");
		ok(count_differences(&source, &forest, 1) == 0, "half a million slots are scored");
	}
	free(image);
	for (i = 0; i < num_nodes / 2; i++)
	{
		left[i] = 2 * i + 1;
		right[i] = 2 * i + 2;
	}
	image = forest_build(&source, &size, &why);
	ok(image == NULL, "a tree too wide for its slots is refused: %s",
	   why != NULL ? why : "it is not");
	free(image);
	free_all();
}

/* ---- transformations ---- */

/* Transform margins in place and compare with what is expected. */
static void
check_transform(ForestTransform transform, const char *name, uint32_t count,
				const float *margins, const float *expected)
{
	ForestHeader header = {.kind = FOREST_LINEAR,.transform = transform,.num_outputs = count};
	Forest		forest = {.header = &header};
	uint32_t	num_predictions = forest_num_predictions(&forest);
	float		values[8];
	bool		equal = true;
	uint32_t	i;

	memcpy(values, margins, count * sizeof(float));
	forest_transform(&forest, values, values);
	for (i = 0; i < num_predictions; i++)
		equal = equal && values[i] >= nextafterf(expected[i], -INFINITY) &&
			values[i] <= nextafterf(expected[i], INFINITY);
	ok(equal, "transformation in place: %s", name);
}

static void
test_transforms(void)
{
	static const float margins[] = {0.0f, 1.5f, -2.0f, 1.5f, -1000.0f};
	static const float sigmoids[] = {0.5f, 0.817574441f, 0.119202919f, 0.817574441f, 3.00e-39f};
	static const float powers[] = {1.0f, 4.48168898f, 0.135335281f, 4.48168898f, 0.0f};
	static const float hinges[] = {0.0f, 1.0f, 0.0f, 1.0f, 0.0f};
	static const float shares[] = {0.0990225151f, 0.443788111f, 0.0134012401f, 0.443788111f};
	static const float expectiles[] = {0.0f, 1.70141423f, 1.82834327f, 3.52975750f};
	static const float greatest[] = {1.0f};
	ForestHeader header = {.transform = FOREST_SIGMOID,.num_outputs = 1};
	Forest		forest = {.header = &header};
	float		value = -1000.0f;

	check_transform(FOREST_IDENTITY, "identity", 5, margins, margins);
	check_transform(FOREST_SIGMOID, "sigmoid", 4, margins, sigmoids);
	check_transform(FOREST_EXP, "exponential", 5, margins, powers);
	check_transform(FOREST_HINGE, "hinge", 5, margins, hinges);
	check_transform(FOREST_SOFTMAX, "softmax", 4, margins, shares);
	check_transform(FOREST_ARGMAX, "argmax, first of equals", 5, margins, greatest);
	check_transform(FOREST_EXPECTILE, "expectiles", 4, margins, expectiles);
	forest_transform(&forest, &value, &value);
	ok(value > 0.0f && value < 1e-38f, "the least sigmoid is not 0");
}

int
main(void)
{
	test_by_hand();
	test_agreement();
	test_extremes();
	test_unused_features();
	test_wide();
	test_transforms();
	return done_testing();
}
