/*
 * score.c
 *		Scoring with images that were accepted: rows of every kind of number,
 *		memory of exactly the promised sizes, and all kernels against the
 *		reference.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forest/forest.h"
#include "fuzz.h"
#include "guard.h"

#define MANY_FEATURES	4096

/* Equal bit for bit, but for the bits of what is not a number. */
static bool
same_floats(const float *left, const float *right, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
	{
		if (memcmp(&left[i], &right[i], sizeof(float)) != 0 && !(isnan(left[i]) && isnan(right[i])))
			return false;
	}
	return true;
}

/* See fuzz.h. */
uint32_t
score_num_rows(const void *image)
{
	return ((const ForestHeader *) image)->num_features > MANY_FEATURES ? 1 : 12;
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

/* The forest's plan, moved to memory of exactly its size; NULL: it has none. */
static void *
make_plan(const Forest *forest)
{
	size_t		room = forest_plan_room(forest);
	void	   *memory = NULL;
	void	   *plan = NULL;
	size_t		size = 0;

	if (room > 0 && posix_memalign(&memory, 64, room) == 0)
		size = forest_plan_build(forest, memory);
	if (size > 0 && posix_memalign(&plan, 64, size) == 0)
		memcpy(plan, memory, size);
	free(memory);
	return plan;
}

/* A row by all kernels and by the reference. */
static void
score_row(Forest *forest, const float *row, void *scratch, float *margins, float *reference)
{
	forest_margins_reference(forest, row, reference);
	for (ForestKernel kernel = FOREST_KERNEL_WALK; kernel <= FOREST_KERNEL_AVX512; kernel++)
	{
		if (!forest_set_kernel(forest, kernel))
			continue;
		forest_margins(forest, row, scratch, margins);
		if (!same_floats(margins, reference, forest->header->num_outputs))
			fuzz_fail("kernel \"%s\" and reference disagree", forest->kernel_name);
	}
}

/* Explain all rows together. */
static void
explain_rows(const Forest *forest, const float *rows, uint32_t num_rows)
{
	void	   *scratch = guard_malloc(forest_contributions_batch_scratch_size(forest));
	double	   *contributions = guard_malloc(num_rows * (forest->header->num_features + (size_t) 1) *
											 sizeof(double));

	forest_contributions_batch(forest, rows, num_rows, forest->header->num_outputs - 1, scratch,
							   contributions);
	free(contributions);
	free(scratch);
}

/* See fuzz.h. */
void
score_image(const void *image, const float *rows, uint32_t num_rows)
{
	Forest		forest;
	uint32_t	num_outputs;
	void	   *plan;
	void	   *scratch;
	float	   *margins;
	float	   *reference;
	float	   *predictions;
	double	   *contributions;
	void	   *work;

	forest_open(&forest, image);
	plan = make_plan(&forest);
	forest_use_plan(&forest, plan);
	num_outputs = forest.header->num_outputs;
	scratch = guard_malloc(forest_scratch_size(&forest));
	margins = guard_malloc(num_outputs * sizeof(float));
	reference = guard_malloc(num_outputs * sizeof(float));
	predictions = guard_malloc(forest_num_predictions(&forest) * sizeof(float));
	contributions = guard_malloc((forest.header->num_features + 1) * sizeof(double));
	work = guard_malloc(forest_contributions_scratch_size(&forest));
	for (uint32_t i = 0; i < num_rows; i++)
	{
		const float *row = rows + (size_t) i * forest.header->num_features;

		score_row(&forest, row, scratch, margins, reference);
		forest_transform(&forest, reference, predictions);
		if (forest_explains(&forest))
			forest_contributions(&forest, row, i % num_outputs, work, contributions);
	}
	if (forest_explains(&forest))
		explain_rows(&forest, rows, num_rows);
	free(work);
	free(contributions);
	free(predictions);
	free(reference);
	free(margins);
	free(scratch);
	free(plan);
}
