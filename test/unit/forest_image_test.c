/*
 * forest_image_test.c
 *		Unit tests of what the forest core refuses (src/forest).
 *
 * The builder refuses sources that no image can hold; the check refuses bytes
 * that are no sound image.  What the check lets through is scored: with
 * -fsanitize=address,undefined, which make sees to, that proves it harmless.
 */
#include "forest_models.h"

/* ---- what the builder refuses ---- */

/* A small source of its own, with categories, to be spoiled. */
static ForestSource *
small_source(bool vectors)
{
	ModelSpec	spec = {.kind = FOREST_TREES,.num_trees = 3,.num_splits = 6,.num_features = 3,
		.num_outputs = 2,.categorical = 40,.max_category = 40,.set_size = 3,
	.chain = true,.missing = NAN};

	spec.vectors = vectors;
	return random_source(&spec);
}

/* The first reachable node of the first tree that is (not) categorical. */
static uint32_t
find_split(const ForestSourceTree *tree, bool categorical)
{
	uint32_t	node;

	for (node = 0; node < tree->num_nodes; node++)
		if (tree->left[node] != -1 && (tree->categorical[node] != 0) == categorical &&
			(!categorical || tree->set_size[node] > 0))
			return node;
	return UINT32_MAX;
}

#define NUM_SPOILED_SPLITS	14
#define NUM_SPOILS			27

/* Spoil a split of a source's first tree in one of several ways; says which. */
static const char *
spoil_split(ForestSource *source, int way, uint32_t numeric, uint32_t categorical)
{
	ForestSourceTree *tree = (ForestSourceTree *) source->trees;
	int32_t    *left = (int32_t *) tree->left;
	int32_t    *right = (int32_t *) tree->right;
	float	   *condition = (float *) tree->condition;

	switch (way)
	{
		case 0:
			left[numeric] = tree->num_nodes;
			return "left child out of range";
		case 1:
			right[numeric] = -1;
			return "right child absent";
		case 2:
			left[numeric] = -2;
			return "left child negative";
		case 3:
			right[numeric] = 0;
			return "a cycle through the root";
		case 4:
			right[numeric] = numeric;
			return "a node that is its own child";
		case 5:
			right[numeric] = left[numeric];
			return "a shared child";
		case 6:
			condition[numeric] = NAN;
			return "a threshold that is not a number";
		case 7:
			condition[numeric] = -INFINITY;
			((uint8_t *) tree->default_left)[numeric] = 1;
			return "a threshold that missing cannot pass";
		case 8:
			((int32_t *) tree->feature)[numeric] = 3;
			return "a feature out of range";
		case 9:
			((int32_t *) tree->feature)[numeric] = -1;
			return "a negative feature";
		case 10:
			((int32_t *) tree->categories)[tree->set_begin[categorical]] = 1 << 24;
			return "a category out of range";
		case 11:
			((int32_t *) tree->categories)[tree->set_begin[categorical]] = -1;
			return "a negative category";
		case 12:
			((int32_t *) tree->set_size)[categorical] = -1;
			return "a negative set size";
		case 13:
			((int32_t *) tree->set_begin)[categorical] = -1;
			return "a negative set position";
	}
	return NULL;
}

/* Spoil a source's counts, kinds or leaves in one of several ways; says which. */
static const char *
spoil_rest(ForestSource *source, int way)
{
	ForestSourceTree *tree = (ForestSourceTree *) source->trees;
	float	   *condition = (float *) tree->condition;
	uint32_t	leaf = 0;

	while (tree->left[leaf] != -1)
		leaf = tree->right[leaf];
	switch (way)
	{
		case 14:
			tree->num_nodes = 0;
			return "a tree without nodes";
		case 15:
			tree->num_nodes = FOREST_MAX_NODES + 1;
			return "a tree of too many nodes";
		case 16:
			source->num_features = 0;
			return "no features";
		case 17:
			source->num_features = FOREST_MAX_FEATURES + 1;
			return "too many features";
		case 18:
			source->num_outputs = 0;
			return "no outputs";
		case 19:
			source->num_outputs = FOREST_MAX_OUTPUTS + 1;
			return "too many outputs";
		case 20:
			source->num_trees = 0;
			return "no trees";
		case 21:
			((float *) source->base_margins)[1] = INFINITY;
			return "a base margin that is not finite";
		case 22:
			source->kind = (ForestKind) 3;
			return "an unknown kind";
		case 23:
			source->transform = (ForestTransform) (FOREST_EXPECTILE + 1);
			return "an unknown transformation";
		case 24:
			tree->output = 2;
			return "an output out of range";
		case 25:
			if (tree->leaf_vectors != NULL)
				((float *) tree->leaf_vectors)[2 * leaf + 1] = NAN;
			condition[leaf] = -INFINITY;
			return "a leaf that is not finite";
		case 26:
			if (tree->leaf_vectors != NULL)
				((float *) tree->leaf_vectors)[2 * leaf] = FLT_MAX;
			condition[leaf] = FLT_MAX;
			tree->weight = 2.0f;
			return "a weighted leaf that is not finite";
	}
	return NULL;
}

/* Is this source refused with a reason? */
static bool
is_refused(const ForestSource *source, const char **why)
{
	size_t		size = 0;
	void	   *image;

	*why = NULL;
	image = forest_build(source, &size, why);
	free(image);
	return image == NULL && *why != NULL;
}

static void
test_refusals(void)
{
	ForestSource *source;
	const char *why;
	bool		refused;
	int			way;
	int			vectors;

	for (vectors = 0; vectors <= 1; vectors++)
		for (way = 0; way < NUM_SPOILS;)
		{
			uint32_t	numeric;
			uint32_t	categorical;
			const char *what;

			source = small_source(vectors);
			numeric = find_split(source->trees, false);
			categorical = find_split(source->trees, true);
			if (numeric != UINT32_MAX && categorical != UINT32_MAX &&
				!is_refused(source, &why))
			{
				what = way < NUM_SPOILED_SPLITS ?
					spoil_split(source, way, numeric, categorical) : spoil_rest(source, way);
				way++;
				refused = is_refused(source, &why);
				ok(refused, "refused: %s (%s)", what, refused ? why : "it is not");
			}
			free_all();
		}

	source = small_source(true);
	((ForestSourceTree *) source->trees)[1].leaf_vectors = NULL;
	refused = is_refused(source, &why);
	ok(refused, "refused: leaves of two kinds (%s)", refused ? why : "it is not");
	source = small_source(true);
	((int32_t *) source->trees[0].leaf_vector)[source->trees[0].right[0]] = -1;
	((int32_t *) source->trees[0].left)[source->trees[0].right[0]] = -1;
	refused = is_refused(source, &why);
	ok(refused, "refused: a leaf without a vector (%s)", refused ? why : "it is not");
	free_all();

	source = random_source(&specs[NUM_SPECS - 1]);
	((float *) source->weights)[3] = NAN;
	refused = is_refused(source, &why);
	ok(refused, "refused: a weight that is not finite (%s)", refused ? why : "it is not");
	free_all();
}

/* ---- what the check refuses ---- */

/* Score some rows with an image that was accepted; the sanitizers watch. */
static void
score_accepted(const void *image)
{
	Forest		forest;
	ForestSource any = {.num_trees = 0};
	uint32_t	i;

	forest_open(&forest, image);
	any.num_features = forest.header->num_features;
	any.missing = forest.header->missing;
	if (any.num_features > 1000)
		return;					/* rows of some megabytes: too slow for so many */
	for (i = 0; i < 3; i++)
	{
		uint32_t	outputs = forest.header->num_outputs;
		float	   *row = allocate(any.num_features * sizeof(float));
		float	   *margins = allocate(outputs * sizeof(float));
		float	   *reference = allocate(outputs * sizeof(float));

		random_row(&any, row);
		forest_margins(&forest, row, allocate(forest_scratch_size(&forest)), margins);
		forest_margins_reference(&forest, row, reference);
		if (!same_floats(margins, reference, outputs))
			ok(false, "an accepted image is scored alike by kernel and reference");
		if (forest_explains(&forest))
			forest_contributions(&forest, row, outputs - 1,
								 allocate(forest_contributions_scratch_size(&forest)),
								 allocate((any.num_features + 1) * sizeof(double)));
		forest_transform(&forest, margins, allocate(forest_num_predictions(&forest) *
													sizeof(float)));
		free_all();
	}
}

/* Check an image of exactly this size; score with it when it is accepted. */
static bool
try_image(const void *image, size_t size)
{
	void	   *copy = malloc(size > 0 ? size : 1);
	bool		accepted;

	memcpy(copy, image, size);
	accepted = forest_check(copy, size) == NULL;
	if (accepted)
		score_accepted(copy);
	free(copy);
	return accepted;
}

/* Put several other values into each byte and each word of an image. */
static void
corrupt_image(const char *name, char *image, size_t size)
{
	static const uint32_t words[] = {0, 1, 2, 3, UINT32_C(0x7fc00000), UINT32_C(0x7f800000),
		UINT32_C(0xff800000), UINT32_C(0x7fffffff), UINT32_C(0x80000000), UINT32_MAX};
	uint32_t	accepted = 0;
	uint32_t	tried = 0;
	size_t		i;
	uint32_t	k;

	for (i = 0; i < size; i++)
	{
		char		saved = image[i];

		for (k = 0; k < 8; k++)
		{
			image[i] = (char) (saved ^ (k < 4 ? 1 << 2 * k : (int) random_bits()));
			tried++;
			accepted += try_image(image, size);
		}
		image[i] = saved;
	}
	for (i = 0; i + 4 <= size; i += 4)
	{
		uint32_t	saved;

		memcpy(&saved, image + i, 4);
		for (k = 0; k < 14; k++)
		{
			uint32_t	word = k < 10 ? words[k] : saved + (k - 10) - (k > 11 ? 0 : 2);

			memcpy(image + i, &word, 4);
			tried++;
			accepted += try_image(image, size);
		}
		memcpy(image + i, &saved, 4);
	}
	ok(try_image(image, size) && accepted < tried,
	   "corrupt images are refused or harmless: %s (%u of %u accepted)", name, accepted, tried);
}

static void
test_corruption(void)
{
	size_t		i;

	for (i = 0; i < NUM_SPECS; i++)
	{
		ModelSpec	spec = specs[i];
		ForestSource *source;
		const char *why;
		char	   *image;
		size_t		size;
		size_t		length;
		uint32_t	accepted = 0;

		if (spec.num_trees > 3)
			spec.num_trees = 3;
		if (spec.num_splits > 6)
			spec.num_splits = 6;
		if (spec.max_category > 100)
			spec.max_category = 100;
		source = random_source(&spec);
		image = forest_build(source, &size, &why);
		free_all();
		if (image == NULL)
		{
			ok(false, "image is built: %s", why);
			continue;
		}
		for (length = 0; length < size; length++)
			accepted += try_image(image, length);
		ok(accepted == 0, "cut images are refused at every length: %s", spec.name);
		corrupt_image(spec.name, image, size);
		free(image);
	}
}

/* A change to one word of an image, and the reason for which it is refused. */
typedef struct Patch
{
	size_t		offset;
	uint32_t	value;
	const char *reason;
} Patch;

/* Apply each patch alone: the check must refuse the image for its reason. */
static void
expect_reasons(char *image, const Patch *patches, size_t num_patches)
{
	size_t		size = ((const ForestHeader *) image)->image_size;
	size_t		i;

	for (i = 0; i < num_patches; i++)
	{
		uint32_t	saved;
		const char *reason;

		memcpy(&saved, image + patches[i].offset, 4);
		memcpy(image + patches[i].offset, &patches[i].value, 4);
		reason = forest_check(image, size);
		ok(reason != NULL && strcmp(reason, patches[i].reason) == 0,
		   "check says: %s", reason != NULL ? reason : "nothing");
		memcpy(image + patches[i].offset, &saved, 4);
	}
	ok(forest_check(image, size) == NULL, "the image is sound again");
}

#define EXPECT_REASONS(image, patches) \
	expect_reasons(image, patches, sizeof(patches) / sizeof((patches)[0]))

/* Each rule about headers, slots, trees and numeric nodes by its own violation. */
static void
test_check_reasons(void)
{
	Forest		forest;
	char	   *image = open_source(&stump_source, &forest);
	size_t		base = (const char *) forest.base_margins - image;
	size_t		slots = (const char *) forest.slots - image;
	size_t		trees = (const char *) forest.trees - image;
	size_t		nodes = (const char *) forest.nodes - image;
	const Patch patches[] = {
		{0, 0, "not a forest image of this byte order"},
		{4, 1, "forest image of another version"},
		{8, 0, "image size does not fit its contents"},
		{16, 3, "unknown kind of forest"},
		{16, FOREST_LINEAR, "linear forest with trees"},
		{20, 0, "unknown transformation"},
		{20, 8, "unknown transformation"},
		{24, 0, "number of features out of range"},
		{28, FOREST_MAX_OUTPUTS + 1, "number of outputs out of range"},
		{32, 0, "number of trees out of range"},
		{36, 0, "number of nodes out of range"},
		{40, 0, "number of slots out of range"},
		{40, 6, "number of slots out of range"},
		{44, 2, "slot width does not fit the number of slots"},
		{48, UINT32_MAX, "number of category words out of range"},
		{52, 4, "number of leaf vectors out of range"},
		{56, 0, "depth of the forest is wrong"},
		{56, FOREST_MAX_DEPTH + 1, "depth out of range"},
		{64, 1, "image size does not fit its contents"},
		{64, 2, "reserved field of the header is in use"},
		{68, 1, "reserved field of the header is in use"},
		{base, UINT32_C(0x7f800000), "base margin is not finite"},
		{base + 4, 1, "bytes between sections are in use"},
		{slots, 1, "slot 0 is not empty"},
		{slots + 4, FOREST_SLOT_MISSING_LEFT, "slot 0 is not empty"},
		{slots + 8, 1, "slot of a feature that does not exist"},
		{slots + 12, 4, "unknown flag of a slot"},
		{slots + 12, FOREST_SLOT_CATEGORICAL, "category set out of place"},
		{trees, 1, "first tree does not begin at the first node"},
		{trees + 4, 2, "depth of a tree is wrong"},
		{trees + 4, 0, "depth of a tree is wrong"},
		{trees + 8, 1, "output of a tree out of range"},
		{trees + 12, 1, "number of features on a path out of range"},
		{nodes, UINT32_C(0x7fc00000), "threshold is not a number"},
		{nodes, UINT32_C(0xff800000), "threshold that missing values cannot pass on the left"},
		{nodes + 4, 0, "node without a parent"},
		{nodes + 4, 1, "children of a node out of place"},
		{nodes + 4, 2 << 1 | 1, "children of a node out of place"},
		{nodes + 4, 1 << 1, "slot of a node out of range"},
		{nodes + 8, UINT32_C(0xff800000), "leaf value is not finite"},
		{nodes + 16, UINT32_C(0x7fc00000), "leaf value is not finite"},
		{nodes + 12, 1 << 1 | 1, "children of a node out of place"},
		{nodes + 20, 1, "children of a node out of place"},
	};

	EXPECT_REASONS(image, patches);
	ok(forest_check(NULL, 0) != NULL, "no image is no sound image");
	free(image);
}

/* The rules about what contributions need. */
static void
test_check_splits(void)
{
	static const float cover[] = {4, 1, 3};
	ForestSourceTree tree = stump;
	ForestSource source = stump_source;
	Forest		forest;
	char	   *image;
	size_t		trees;
	size_t		expected;
	size_t		splits;

	tree.cover = cover;
	source.trees = &tree;
	image = open_source(&source, &forest);
	trees = (const char *) forest.trees - image;
	expected = (const char *) forest.expected - image;
	splits = (const char *) forest.splits - image;
	ok(forest.splits[0].left_share == 0.25f && forest.splits[0].previous == 0 &&
	   forest.trees[0].path_features == 1 && forest.expected[0] == 0.25 - 0.25 + 0.75,
	   "shares and the expected margin are those of the covers");
	{
		const Patch patches[] = {
			{trees + 12, 2, "number of features on a path out of range"},
			{expected + 4, UINT32_C(0x7ff00000), "expected margin is not finite"},
			{splits, UINT32_C(0x7fc00000), "share of a split out of range"},
			{splits, UINT32_C(0x3f800001), "share of a split out of range"},
			{splits, UINT32_C(0xbf800000), "share of a split out of range"},
			{splits + 4, 1, "link of a split out of place"},
		};

		EXPECT_REASONS(image, patches);
	}
	free(image);
}

/* The rules about sets, and about trees that follow one another. */
static void
test_check_sets(void)
{
	static const uint8_t categorical[] = {1, 0, 0};
	static const int32_t begins[] = {0, 0, 0};
	static const int32_t sizes[] = {1, 0, 0};
	static const int32_t categories[] = {33};
	static const int32_t feature[] = {1, 0, 0};
	ForestSourceTree two[2] = {stump, stump};
	ForestSource source = stump_source;
	Forest		forest;
	char	   *image;
	size_t		slots;
	size_t		roots;
	size_t		nodes;
	size_t		sets;

	two[1].feature = feature;
	source.num_features = 2;
	source.num_trees = 2;
	source.trees = two;
	image = open_source(&source, &forest);
	slots = (const char *) forest.slots - image;
	roots = (const char *) forest.trees - image;
	{
		const Patch patches[] = {
			{slots + 16, 0, "slots are not in order"},
			{slots + 12, 3, "slots are not in order"},
			{roots + 16, 0, "root of a tree out of place"},
			{roots + 16, 2, "children of a node out of place"},
			{roots + 16, 4, "node without a parent"},
			{roots + 16, 6, "node without a parent"},
			{roots + 16, 7, "root of a tree out of place"},
		};

		EXPECT_REASONS(image, patches);
	}
	free(image);

	two[1].categorical = categorical;
	two[1].set_begin = begins;
	two[1].set_size = sizes;
	two[1].categories = categories;
	image = open_source(&source, &forest);
	nodes = (const char *) forest.nodes - image;
	sets = (const char *) forest.category_sets - image;
	{
		const Patch patches[] = {
			{48, 4, "category sets that no node uses"},
			{nodes + 24, 1, "category set out of place"},
			{nodes + 24, UINT32_MAX, "category set out of place"},
			{sets, 0, "size of a category set out of range"},
			{sets, FOREST_MAX_CATEGORY + 2, "size of a category set out of range"},
			{sets, 65, "category set does not fit"},
			{sets, 34, "category set with bits past its end"},
			{sets + 4, 0, "category set without bit 0"},
			{sets + 8, 1 << 3, "category set with bits past its end"},
			{sets + 12, 1, "bytes between sections are in use"},
		};

		EXPECT_REASONS(image, patches);
	}
	free(image);
}

/* The rules about vector leaves. */
static void
test_check_vectors(void)
{
	static const int32_t rows[] = {0, 0, 1};
	static const float vectors[] = {1, 2};
	ForestSourceTree tree = stump;
	ForestSource source = stump_source;
	Forest		forest;
	char	   *image;
	size_t		nodes;
	size_t		values;

	tree.leaf_vector = rows;
	tree.leaf_vectors = vectors;
	source.trees = &tree;
	image = open_source(&source, &forest);
	nodes = (const char *) forest.nodes - image;
	values = (const char *) forest.leaf_vectors - image;
	{
		const Patch patches[] = {
			{nodes + 8, 1, "leaf vector out of place"},
			{nodes + 16, 2, "leaf vector out of place"},
			{nodes + 16, UINT32_C(0xff800000), "leaf vector out of place"},
			{values, UINT32_C(0x7fc00000), "leaf value is not finite"},
			{values + 4, UINT32_C(0xff800000), "leaf value is not finite"},
			{52, 3, "image size does not fit its contents"},
			{52, 1, "bytes between sections are in use"},
		};

		EXPECT_REASONS(image, patches);
	}
	free(image);
}

int
main(void)
{
	test_refusals();
	test_check_reasons();
	test_check_splits();
	test_check_sets();
	test_check_vectors();
	test_corruption();
	return done_testing();
}
