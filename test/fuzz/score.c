/*
 * score.c
 *		Scoring with images that were accepted: rows of every kind of number,
 *		memory of exactly the promised sizes, and all kernels, row by row and in
 *		batches, against the reference; the proof of a plan, which must find
 *		nothing; explanations against each other.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forest/forest.h"
#include "fuzz.h"
#include "guard.h"

#define MANY_FEATURES	4096
#define EXPLAINED_ALONE	3		/* rows; others are explained in a batch only */
#define MANY_ROWS		129		/* with so many, the forest is proved, too */

/* Equal bit for bit, but for the bits of what is not a number. */
static bool
same_floats(const float *left, const float *right, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		if (memcmp(&left[i], &right[i], sizeof(float)) != 0 && !(isnan(left[i]) && isnan(right[i])))
			return false;
	}
	return true;
}

/* See fuzz.h. */
uint32_t
score_num_rows(const void *image, Random *random)
{
	if (((const ForestHeader *) image)->num_features > MANY_FEATURES)
		return 1;
	return random_below(random, 10) == 0 ? MANY_ROWS : 17;
}

/* A number to score: missing, special, a category, or one from the nodes. */
static float
odd_number(const Forest *forest, Random *random)
{
	static const float numbers[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 31.0f, 32.0f, 63.0f, 255.0f,
		16777215.0f, 16777216.0f, -0.5f, 1e-45f, -1e-45f, 3.4028235e38f, -3.4028235e38f,
	INFINITY, -INFINITY, 4294967296.0f, 2147483648.0f};
	float		value = NAN;
	uint32_t	bits;

	switch (random_below(random, 8))
	{
		case 0:
			break;
		case 1:
			value = forest->header->missing;
			break;
		case 2:
			value = numbers[random_below(random, sizeof(numbers) / sizeof(numbers[0]))];
			break;
		case 3:
			bits = (uint32_t) random_bits(random);
			memcpy(&value, &bits, sizeof(value));
			break;
		case 4:
		case 5:
			value = (float) random_below(random, 70);
			break;
		default:
			if (forest->header->num_nodes > 0)
				value = forest->nodes[random_below(random, forest->header->num_nodes)].value.cut;
			if (random_below(random, 2) == 0)
				value = nextafterf(value, random_below(random, 2) == 0 ? INFINITY : -INFINITY);
			break;
	}
	return value;
}

/* See fuzz.h. */
void
score_fill_rows(const void *image, float *rows, uint32_t num_rows, Random *random)
{
	Forest		forest;

	forest_open(&forest, image);
	for (size_t i = 0; i < (size_t) num_rows * forest.header->num_features; i++)
		rows[i] = odd_number(&forest, random);
}

/* The forest's plan for a kernel, moved to memory of exactly its size; NULL: it has none. */
static void *
make_plan(const Forest *forest, ForestKernel kernel)
{
	size_t		room = forest_plan_room(forest, kernel);
	void	   *memory = NULL;
	void	   *plan = NULL;
	size_t		size = 0;

	if (room > 0 && posix_memalign(&memory, 64, room) == 0)
		size = forest_plan_build(forest, kernel, memory);
	if (size > 0 && posix_memalign(&plan, 64, size) == 0)
		memcpy(plan, memory, size);
	free(memory);
	return plan;
}

/* Equal bit for bit, likewise. */
static bool
same_doubles(const double *left, const double *right, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		if (memcmp(&left[i], &right[i], sizeof(double)) != 0 && !(isnan(left[i]) && isnan(right[i])))
			return false;
	}
	return true;
}

/* All rows with the kernel in use, one by one and together. */
static void
score_rows(const Forest *forest, const float *rows, uint32_t num_rows, const float *expected)
{
	uint32_t	num_outputs = forest->header->num_outputs;
	float	   *margins = guard_malloc((size_t) num_rows * num_outputs * sizeof(float));
	void	   *scratch = guard_malloc(forest_scratch_size(forest));
	void	   *batch_scratch = guard_malloc(forest_batch_scratch_size(forest));

	for (size_t i = 0; i < num_rows; i++)
	{
		forest_margins(forest, rows + i * forest->header->num_features, scratch, margins);
		if (!same_floats(margins, expected + i * num_outputs, num_outputs))
			fuzz_fail("kernel \"%s\" and reference disagree", forest->kernel_name);
	}
	forest_margins_batch(forest, rows, num_rows, batch_scratch, margins);
	if (!same_floats(margins, expected, num_rows * num_outputs))
		fuzz_fail("kernel \"%s\" in a batch and reference disagree", forest->kernel_name);
	free(batch_scratch);
	free(scratch);
	free(margins);
}

/* Explain all rows together, and the first of them one by one. */
static void
explain_rows(const Forest *forest, const float *rows, uint32_t num_rows, double *contributions)
{
	uint32_t	output = forest->header->num_nodes % forest->header->num_outputs;
	size_t		width = forest->header->num_features + (size_t) 1;
	double	   *alone = guard_malloc(width * sizeof(double));
	void	   *scratch = guard_malloc(forest_contributions_scratch_size(forest));
	void	   *batch_scratch = guard_malloc(forest_contributions_batch_scratch_size(forest));

	forest_contributions_batch(forest, rows, num_rows, output, batch_scratch, contributions);
	for (size_t i = 0; i < num_rows && i < EXPLAINED_ALONE; i++)
	{
		forest_contributions(forest, rows + i * (width - 1), output, scratch, alone);
		if (!same_doubles(alone, contributions + i * width, width))
			fuzz_fail("kernel \"%s\" explains a row of a batch otherwise", forest->kernel_name);
	}
	free(batch_scratch);
	free(scratch);
	free(alone);
}

/* Explain with the kernel in use; *first: what another one said, or NULL. */
static void
explain_likewise(const Forest *forest, const float *rows, uint32_t num_rows, double **first)
{
	size_t		count = num_rows * (forest->header->num_features + (size_t) 1);
	double	   *contributions = guard_malloc(count * sizeof(double));

	explain_rows(forest, rows, num_rows, contributions);
	if (*first == NULL)
	{
		*first = contributions;
		return;
	}
	if (!same_doubles(*first, contributions, count))
		fuzz_fail("kernel \"%s\" explains otherwise than another", forest->kernel_name);
	free(contributions);
}

/* The margins of all rows by the reference. */
static float *
reference_margins(const Forest *forest, const float *rows, uint32_t num_rows)
{
	uint32_t	num_outputs = forest->header->num_outputs;
	float	   *margins = guard_malloc((size_t) num_rows * num_outputs * sizeof(float));
	float	   *predictions = guard_malloc(forest_num_predictions(forest) * sizeof(float));

	for (size_t i = 0; i < num_rows; i++)
	{
		forest_margins_reference(forest, rows + i * forest->header->num_features,
								 margins + i * num_outputs);
		forest_transform(forest, margins + i * num_outputs, predictions);
	}
	free(predictions);
	return margins;
}

static void
go_on(void)
{
}

/* Nothing is wrong with the forest and its plan. */
static void
prove(const Forest *forest)
{
	void	   *memory = guard_malloc(forest_proof_room(forest));
	ForestKernel wrong = forest_prove(forest, go_on, memory);

	if (wrong != FOREST_KERNEL_AUTO)
		fuzz_fail("kernel %d and reference disagree on rows of the proof", (int) wrong);
	free(memory);
}

/* See fuzz.h. */
void
score_image(const void *image, const float *rows, uint32_t num_rows)
{
	Forest		forest;
	float	   *expected;
	double	   *contributions = NULL;

	forest_open(&forest, image);
	expected = reference_margins(&forest, rows, num_rows);
	for (ForestKernel kernel = FOREST_KERNEL_WALK; kernel <= FOREST_KERNEL_AVX512; kernel++)
	{
		void	   *plan = make_plan(&forest, kernel);

		forest_use_plan(&forest, plan);
		if (num_rows == MANY_ROWS)
			prove(&forest);
		if (forest_set_kernel(&forest, kernel))
		{
			score_rows(&forest, rows, num_rows, expected);
			if (forest_explains(&forest))
				explain_likewise(&forest, rows, num_rows, &contributions);
		}
		forest_use_plan(&forest, NULL);
		free(plan);
	}
	free(contributions);
	free(expected);
}
