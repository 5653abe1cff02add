/*
 * contribute_test.c
 *		Unit tests of contributions (src/forest/contribute.c).
 *
 * The yardstick is the definition: a Shapley value is the mean, over all
 * orders of the features, of what a feature adds to what those before it are
 * worth together; and that is found by walking the source trees, both ways
 * where a feature is not known.  Neither knows of images or quadrature.
 */
#include "contribute.h"
#include "forest_models.h"

/* Of double sums against float32 passes, relative to what the margin is made of. */
#define TOLERANCE	5e-7

/* ---- the definition ---- */

/* Does a row go left at a node of a source tree? */
static bool
goes_left(const ForestSource *source, const ForestSourceTree *tree, uint32_t node,
		  const float *row)
{
	float		value = row[tree->feature[node]];
	int32_t		i;

	if (isnan(value) || value == source->missing)
		return tree->default_left[node];
	if (tree->categorical == NULL || !tree->categorical[node])
		return value < tree->condition[node];
	for (i = 0; i < tree->set_size[node]; i++)
		if (value >= 0 && value < 16777216 &&
			tree->categories[tree->set_begin[node] + i] == (int32_t) value)
			return false;
	return true;
}

/* Expected value below a node when the features in the mask are known. */
static double
worth(const ForestSource *source, const ForestSourceTree *tree, uint32_t node,
	  const float *row, uint32_t output, uint32_t mask)
{
	uint32_t	left = tree->left[node];
	uint32_t	right = tree->right[node];
	double		both;
	double		share;

	if (tree->left[node] == -1)
		return (double) tree->weight * (tree->leaf_vectors == NULL ? tree->condition[node] :
										tree->leaf_vectors[(size_t) tree->leaf_vector[node] *
														   source->num_outputs + output]);
	if (mask >> tree->feature[node] & 1)
		return worth(source, tree, goes_left(source, tree, node, row) ? left : right,
					 row, output, mask);
	both = (double) tree->cover[left] + tree->cover[right];
	share = both > 0 ? tree->cover[left] / both : 0.5;
	return share * worth(source, tree, left, row, output, mask) +
		(1 - share) * worth(source, tree, right, row, output, mask);
}

/* Worth of the features in the mask together. */
static double
worth_of_all(const ForestSource *source, const float *row, uint32_t output, uint32_t mask)
{
	double		sum = source->base_margins[output];
	uint32_t	i;

	for (i = 0; i < source->num_trees; i++)
		if (source->trees[i].leaf_vectors != NULL || source->trees[i].output == output)
			sum += worth(source, &source->trees[i], 0, row, output, mask);
	return sum;
}

/* What a set of so many features weighs among all orders: k! (n - 1 - k)! / n!. */
static double
order_weight(uint32_t k, uint32_t n)
{
	return exp(lgamma(k + 1.0) + lgamma(n - k) - lgamma(n + 1.0));
}

/* Contributions by definition: over all sets of features. */
static void
define_contributions(const ForestSource *source, const float *row, uint32_t output,
					 double *contributions)
{
	uint32_t	n = source->num_features;
	double	   *worths = allocate((sizeof(double)) << n);
	uint32_t	mask;
	uint32_t	i;

	for (mask = 0; mask < UINT32_C(1) << n; mask++)
		worths[mask] = worth_of_all(source, row, output, mask);
	contributions[n] = worths[0];
	for (i = 0; i < n; i++)
	{
		contributions[i] = 0;
		for (mask = 0; mask < UINT32_C(1) << n; mask++)
			if ((mask >> i & 1) == 0)
				contributions[i] += order_weight(__builtin_popcount(mask), n) *
					(worths[mask | UINT32_C(1) << i] - worths[mask]);
	}
}

/* Linear contributions by definition. */
static void
define_linear(const ForestSource *source, const float *row, uint32_t output,
			  double *contributions)
{
	uint32_t	n = source->num_features;
	uint32_t	i;

	for (i = 0; i < n; i++)
		contributions[i] = isnan(row[i]) || row[i] == source->missing ? 0 :
			(double) row[i] * source->weights[(size_t) i * source->num_outputs + output];
	contributions[n] = (double) source->base_margins[output] +
		source->weights[(size_t) n * source->num_outputs + output];
}

/* ---- comparison ---- */

/* What a margin is made of: the largest value that each tree can add. */
static double
scale_of(const ForestSource *source, const float *row)
{
	double		scale = 1;
	uint32_t	i;

	for (i = 0; i < source->num_trees; i++)
		scale += 1;
	for (i = 0; source->kind == FOREST_LINEAR && i < source->num_features; i++)
		if (!isnan(row[i]))
			scale += fabs(row[i]);
	return scale;
}

/* Largest relative difference between the forest and the definition, over some
 * rows and all outputs. */
static double
worst_difference(const ForestSource *source, const Forest *forest, uint32_t num_rows)
{
	uint32_t	n = source->num_features;
	float	   *row = allocate(n * sizeof(float));
	double	   *expected = allocate((n + 1) * sizeof(double));
	double	   *found = allocate((n + 1) * sizeof(double));
	void	   *scratch = allocate(forest_contributions_scratch_size(forest));
	double		worst = 0;
	uint32_t	output;
	uint32_t	i;

	while (num_rows-- > 0)
	{
		random_row(source, row);
		for (output = 0; output < source->num_outputs; output++)
		{
			if (source->kind == FOREST_LINEAR)
				define_linear(source, row, output, expected);
			else
				define_contributions(source, row, output, expected);
			forest_contributions(forest, row, output, scratch, found);
			for (i = 0; i <= n; i++)
			{
				double		difference = fabs(found[i] - expected[i]) / scale_of(source, row);

				if (!(difference <= worst) && !(isinf(expected[i]) && found[i] == expected[i]))
					worst = difference;
			}
		}
	}
	return worst;
}

/* Build, check and compare several models of a kind. */
static void
compare_kind(const ModelSpec *spec, int rounds, uint32_t num_rows)
{
	double		worst = 0;
	uint32_t	path_features = 0;

	while (rounds-- > 0)
	{
		ForestSource *source = random_source(spec);
		Forest		forest;
		void	   *image = open_source(source, &forest);
		double		difference;

		if (image == NULL)
			return;
		difference = worst_difference(source, &forest, num_rows);
		if (!(difference <= worst))
			worst = difference;
		if (forest.header->num_trees > 0 && path_features < forest.trees[0].path_features)
			path_features = forest.trees[0].path_features;
		free(image);
		free_all();
	}
	ok(worst <= TOLERANCE, "contributions are those of the definition: %s (%.1e, %u on a path)",
	   spec->name, worst, path_features);
}

static void
test_definition(void)
{
	ModelSpec	wide = {.name = "12 features on a path",.kind = FOREST_TREES,.num_trees = 3,
		.num_splits = 40,.num_features = 12,.num_outputs = 1,.chain = true,.missing = NAN};
	ModelSpec	wider = {.name = "17 features on a path",.kind = FOREST_TREES,.num_trees = 1,
		.num_splits = 60,.num_features = 17,.num_outputs = 1,.categorical = 20,.max_category = 5,
	.set_size = 3,.chain = true,.missing = NAN};
	ModelSpec	narrow = {.name = "one feature",.kind = FOREST_TREES,.num_trees = 9,
	.num_splits = 40,.num_features = 1,.num_outputs = 1,.missing = NAN};
	size_t		i;

	for (i = 0; i < NUM_SPECS; i++)
	{
		ModelSpec	spec = specs[i];

		if (spec.num_trees > 10)
			spec.num_trees = 10;
		if (spec.num_features > 8)
			spec.num_features = 8;
		compare_kind(&spec, 3, spec.num_splits > 60 ? 2 : 6);
	}
	compare_kind(&wide, 2, 3);
	compare_kind(&wider, 1, 1);
	compare_kind(&narrow, 5, 5);
}

/* ---- large forests ---- */

/* Largest difference between the contributions' sum and the margin. */
static double
worst_sum(const ForestSource *source, const Forest *forest, uint32_t num_rows)
{
	uint32_t	n = source->num_features;
	float	   *row = allocate(n * sizeof(float));
	float	   *margins = allocate(source->num_outputs * sizeof(float));
	double	   *found = allocate((n + 1) * sizeof(double));
	void	   *scratch = allocate(forest_contributions_scratch_size(forest));
	double		worst = 0;
	uint32_t	output;
	uint32_t	i;

	while (num_rows-- > 0)
	{
		random_row(source, row);
		forest_margins_reference(forest, row, margins);
		for (output = 0; output < source->num_outputs; output++)
		{
			double		sum = 0;

			forest_contributions(forest, row, output, scratch, found);
			for (i = 0; i <= n; i++)
				sum += found[i];
			if (!(fabs(sum - margins[output]) / scale_of(source, row) <= worst))
				worst = fabs(sum - margins[output]) / scale_of(source, row);
		}
	}
	return worst;
}

static const ModelSpec large[] = {
	{.name = "500 trees",.kind = FOREST_TREES,.num_trees = 500,.num_splits = 60,
		.num_features = 40,.num_outputs = 1,.missing = NAN},
	{.name = "300 features on a path",.kind = FOREST_TREES,.num_trees = 2,.num_splits = 900,
		.num_features = 300,.num_outputs = 1,.chain = true,.missing = NAN},
	{.name = "3 classes",.kind = FOREST_TREES,.num_trees = 90,.num_splits = 60,
		.num_features = 40,.num_outputs = 3,.missing = NAN},
	{.name = "large vector leaves with categories, dart",.kind = FOREST_TREES,
		.num_trees = 50,.num_splits = 100,.num_features = 40,.num_outputs = 3,
		.categorical = 30,.max_category = 40,.set_size = 20,.vectors = true,.dart = true,
		.missing = NAN},
};

static void
test_sums(void)
{
	size_t		i;

	for (i = 0; i < sizeof(large) / sizeof(large[0]); i++)
	{
		ForestSource *source = random_source(&large[i]);
		Forest		forest;
		void	   *image = open_source(source, &forest);
		double		worst = image != NULL ? worst_sum(source, &forest, 20) : NAN;

		ok(worst <= TOLERANCE, "contributions add up to the margin: %s (%.1e)",
		   large[i].name, worst);
		free(image);
		free_all();
	}
}

/* ---- kernels ---- */

#define MANY_ROWS	150			/* blocks, and what is left of one */

/* In how many rows the contributions of a kernel are not those of the plain one:
 * one by one, and all together. */
static uint32_t
count_differing(const ForestSource *source, const Forest *plain, const Forest *kernel,
				uint32_t num_rows)
{
	uint32_t	n = source->num_features;
	size_t		width = (n + 1) * sizeof(double);
	uint32_t	output = random_below(source->num_outputs);
	float	   *rows = allocate(num_rows * n * sizeof(float));
	double	   *expected = allocate(width);
	double	   *found = allocate(width);
	double	   *together = allocate(num_rows * width);
	void	   *scratch = allocate(forest_contributions_scratch_size(plain));
	void	   *batch_scratch = allocate(forest_contributions_batch_scratch_size(kernel));
	uint32_t	differing = 0;
	uint32_t	i;

	for (i = 0; i < num_rows; i++)
		random_row(source, rows + i * n);
	forest_contributions_batch(kernel, rows, num_rows, output, batch_scratch, together);
	for (i = 0; i < num_rows; i++)
	{
		forest_contributions(plain, rows + i * n, output, scratch, expected);
		forest_contributions(kernel, rows + i * n, output, scratch, found);
		differing += memcmp(found, expected, width) != 0 ||
			memcmp(together + i * (n + 1), expected, width) != 0;
	}
	return differing;
}

/* Compare the kernels on models of a kind. */
static void
compare_kernels(const ModelSpec *spec, int rounds)
{
	static const ForestKernel kernels[] = {FOREST_KERNEL_WALK, FOREST_KERNEL_AVX2, FOREST_KERNEL_AVX512};
	uint32_t	differing = 0;
	uint32_t	compared = 0;

	while (rounds-- > 0)
	{
		ForestSource *source = random_source(spec);
		Forest		plain;
		void	   *image = open_source(source, &plain);
		Forest		forest = plain;
		size_t		k;

		if (image == NULL)
			return;
		plain.contribute = contribute_kernel(FOREST_KERNEL_WALK);
		for (k = 0; k < sizeof(kernels) / sizeof(kernels[0]); k++)
		{
			uint32_t	num_rows = 1 + random_below(MANY_ROWS);

			if (!forest_has_kernel(kernels[k]))
				continue;
			forest.contribute = contribute_kernel(kernels[k]);
			differing += count_differing(source, &plain, &forest, num_rows);
			compared += num_rows;
		}
		free(image);
		free_all();
	}
	ok(differing == 0, "all kernels give the same contributions: %s (%u of %u rows differ)",
	   spec->name, differing, compared);
}

static void
test_kernels(void)
{
	size_t		i;

	for (i = 0; i < NUM_SPECS; i++)
		compare_kernels(&specs[i], 4);
	for (i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		compare_kernels(&large[i], 1);
}

/* ---- what cannot be explained ---- */

static void
test_without_covers(void)
{
	static const float covers[][3] = {
		{3, 1, 2}, {3, NAN, 2}, {3, 1, -2}, {INFINITY, 1, 2}
	};
	ForestSourceTree trees[2] = {stump, stump};
	ForestSource source = stump_source;
	Forest		forest;
	void	   *image = open_source(&source, &forest);
	size_t		i;

	ok(image != NULL && !forest_explains(&forest), "a forest without covers does not explain");
	free(image);
	source.num_trees = 2;
	source.trees = trees;
	trees[0].cover = covers[0];
	image = open_source(&source, &forest);
	ok(image != NULL && !forest_explains(&forest), "nor does one with a tree without covers");
	free(image);
	for (i = 0; i < sizeof(covers) / sizeof(covers[0]); i++)
	{
		trees[1].cover = covers[i];
		image = open_source(&source, &forest);
		ok(image != NULL && forest_explains(&forest) == (i == 0), "covers %g, %g, %g are %s",
		   covers[i][0], covers[i][1], covers[i][2], i == 0 ? "good" : "none");
		free(image);
	}
}

int
main(void)
{
	test_definition();
	test_sums();
	test_kernels();
	test_without_covers();
	return done_testing();
}
