/*
 * forest_bench.c
 *		What a row costs: forest_margins() and forest_margins_batch() against
 *		libxgboost's in-place prediction, one row a call and all rows in one
 *		call, in one process, alternating, over the same rows; with
 *		"contributions", forest_contributions() and forest_contributions_batch()
 *		against its pred_contribs;
 *		with "matrix", forest_margins() against its prediction by way of a
 *		DMatrix, for boosters that cannot predict in place, or give other bits
 *		then (dart); with a library of compiled.py, its margin() as well.  Beside
 *		one row a call, of models with one output: its additions alone, of leaves
 *		found before.
 *
 *		forest_bench MODEL.ubj IMAGE_FILE FEATURES [contributions | matrix | LIBRARY.so]
 *
 * Prints two lines for each kernel that the forest and the processor have, each with
 * the plan made for it, the one that the server would take first: "row" and "batch",
 * with the median nanoseconds a row of each side over the repetitions, their ratio, and
 * in how many rows a margin differs in any bit (0 is what the forest promises), or the
 * largest difference of two contributions.  One thread; rows are random, a tenth of the
 * values missing.
 */
#define _GNU_SOURCE				/* RTLD_DEFAULT */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xgboost/c_api.h>

#include "bench.h"
#include "contribute.h"
#include "forest.h"

#define NUM_ROWS		2000
#define NUM_KERNELS		4
#define NUM_VECTORS		3
#define NUM_SIDES		(NUM_KERNELS + 2)
#define FOREST_PASSES	10		/* the forest is quick: measure it for longer */
#define EXPLAINED_ROWS	64		/* contributions take libxgboost longer */

static const char predict_config[] =
"{\"type\": 1, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, "
"\"strict_shape\": true, \"missing\": NaN, \"cache_id\": 0}";

static const char contributions_config[] =
"{\"type\": 2, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, "
"\"strict_shape\": true}";

/* What measures libxgboost: its booster, and how it is asked for margins. */
typedef struct Rival
{
	BoosterHandle booster;
	DMatrixHandle proxy;		/* of predictions in place */
	bool		matrix;			/* by way of a DMatrix */
	float		(*compiled) (const float *row); /* the same model as code, or NULL */
} Rival;

/* A call of libxgboost that has to succeed. */
static void
xgboost(int result)
{
	if (result != 0)
		fail("libxgboost", XGBGetLastError());
}

/* All bytes of a file. */
static void *
read_file(const char *name, size_t *size)
{
	FILE	   *file = fopen(name, "rb");
	void	   *bytes;
	long		length;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (length = ftell(file)) < 0)
		fail(name, "cannot be read");
	rewind(file);
	*size = (size_t) length;
	bytes = allocate(*size);
	if (fread(bytes, 1, *size, file) != *size)
		fail(name, "cannot be read");
	fclose(file);
	return bytes;
}

/* Values like those of transactions: bell-shaped, skewed, small counts. */
static void
fill_rows(float *rows, uint32_t num_features)
{
	uint64_t	state = 42;
	size_t		i;

	for (i = 0; i < (size_t) NUM_ROWS * num_features; i++)
	{
		double		bell = uniform(&state) + uniform(&state) + uniform(&state) - 1.5;

		if (uniform(&state) < 0.1)
			memset(&rows[i], 0xff, sizeof(float));	/* a NaN */
		else if (i % 3 == 0)
			rows[i] = (float) (2 * bell);
		else if (i % 3 == 1)
			rows[i] = (float) (1 / (uniform(&state) + 0.05));
		else
			rows[i] = (float) (int) (8 * uniform(&state));
	}
}

/* A prediction in place. */
static const float *
predict_in_place(const Rival *rival, const float *rows, size_t num_rows, uint32_t num_features)
{
	char		values[160];
	const bst_ulong *shape;
	bst_ulong	dimensions;
	const float *result;

	snprintf(values, sizeof(values),
			 "{\"data\": [%zu, true], \"shape\": [%zu, %u], \"typestr\": \"<f4\", "
			 "\"version\": 3}", (size_t) rows, num_rows, num_features);
	xgboost(XGBoosterPredictFromDense(rival->booster, values, predict_config, rival->proxy,
									  &shape, &dimensions, &result));
	return result;
}

/* A prediction by way of a DMatrix, of which `width` values a row are copied. */
static void
predict_matrix(BoosterHandle booster, const char *config, const float *rows, size_t num_rows,
			   uint32_t num_features, size_t width, float *values)
{
	DMatrixHandle matrix;
	const bst_ulong *shape;
	bst_ulong	dimensions;
	const float *result;

	xgboost(XGDMatrixCreateFromMat(rows, num_rows, num_features, NAN, &matrix));
	xgboost(XGBoosterPredictFromDMatrix(booster, matrix, config, &shape, &dimensions, &result));
	memcpy(values, result, num_rows * width * sizeof(float));
	xgboost(XGDMatrixFree(matrix));
}

/* libxgboost, so many rows a call; returns seconds. */
static double
run_xgboost(const Rival *rival, const float *rows, size_t rows_a_call,
			const ForestHeader *header, float *margins)
{
	double		start = seconds();
	size_t		row;

	for (row = 0; row < NUM_ROWS; row += rows_a_call)
	{
		const float *values = rows + row * header->num_features;
		float	   *into = margins + row * header->num_outputs;

		if (rival->matrix)
			predict_matrix(rival->booster, predict_config, values, rows_a_call,
						   header->num_features, header->num_outputs, into);
		else
			memcpy(into, predict_in_place(rival, values, rows_a_call, header->num_features),
				   rows_a_call * header->num_outputs * sizeof(float));
	}
	return seconds() - start;
}

/* The model as code, row by row; returns seconds. */
static double
run_compiled(const Rival *rival, const float *rows, uint32_t num_features, float *margins)
{
	double		start = seconds();
	size_t		row;

	for (row = 0; row < NUM_ROWS; row++)
		margins[row] = rival->compiled(rows + row * num_features);
	return seconds() - start;
}

/* The forest, row by row or all at once; returns seconds for one pass over the rows. */
static double
run_forest(const Forest *forest, const float *rows, bool batch, void *scratch, float *margins)
{
	const ForestHeader *header = forest->header;
	double		start = seconds();
	int			pass;
	size_t		row;

	for (pass = 0; pass < FOREST_PASSES; pass++)
		if (batch)
			forest_margins_batch(forest, rows, NUM_ROWS, scratch, margins);
		else
			for (row = 0; row < NUM_ROWS; row++)
				forest_margins(forest, rows + row * header->num_features, scratch,
							   margins + row * header->num_outputs);
	return (seconds() - start) / FOREST_PASSES;
}

/* What no way of scoring can avoid that keeps libxgboost's order: each addition waits for the one before. */
static __attribute__((noinline)) float
add_leaves(const float *leaves, uint32_t num_trees, float margin)
{
	uint32_t	tree;

#pragma GCC unroll 8
	for (tree = 0; tree < num_trees; tree++)
		margin += leaves[tree];
	return margin;
}

/* The leaves [NUM_ROWS][num_trees] added up, row by row; returns seconds for one pass over the rows. */
static double
run_additions(const Forest *forest, const float *leaves, float *margins)
{
	uint32_t	num_trees = forest->header->num_trees;
	double		start = seconds();
	int			pass;
	size_t		row;

	for (pass = 0; pass < FOREST_PASSES; pass++)
		for (row = 0; row < NUM_ROWS; row++)
			margins[row] = add_leaves(leaves + row * num_trees, num_trees, forest->base_margins[0]);
	return (seconds() - start) / FOREST_PASSES;
}

/* libxgboost's contributions, so many rows a call, [rows][outputs][features + 1];
 * returns seconds. */
static double
run_xgboost_contributions(BoosterHandle booster, const float *rows, size_t rows_a_call,
						  const ForestHeader *header, float *contributions)
{
	size_t		width = (size_t) header->num_outputs * (header->num_features + 1);
	double		start = seconds();
	size_t		row;

	for (row = 0; row < EXPLAINED_ROWS; row += rows_a_call)
		predict_matrix(booster, contributions_config, rows + row * header->num_features, rows_a_call,
					   header->num_features, width, contributions + row * width);
	return seconds() - start;
}

/* The forest's, likewise but [outputs][rows]; returns seconds for one pass over the rows. */
static double
run_forest_contributions(const Forest *forest, const float *rows, bool batch, void *scratch,
						 double *contributions)
{
	const ForestHeader *header = forest->header;
	size_t		width = header->num_features + 1;
	double		start = seconds();
	int			pass;
	size_t		row;
	uint32_t	output;

	for (pass = 0; pass < FOREST_PASSES; pass++)
		for (output = 0; output < header->num_outputs; output++)
		{
			double	   *found = contributions + output * EXPLAINED_ROWS * width;

			if (batch)
				forest_contributions_batch(forest, rows, EXPLAINED_ROWS, output, scratch, found);
			else
				for (row = 0; row < EXPLAINED_ROWS; row++)
					forest_contributions(forest, rows + row * header->num_features, output, scratch,
										 found + row * width);
		}
	return (seconds() - start) / FOREST_PASSES;
}

/* One thread for libxgboost, through the OpenMP run time that it brought along. */
static void
limit_threads(void)
{
	void		(*set_num_threads) (int);

	*(void **) &set_num_threads = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
	if (set_num_threads != NULL)
		set_num_threads(1);
}

/* Load a model into libxgboost with one thread. */
static BoosterHandle
load_booster(const char *name)
{
	BoosterHandle booster;
	size_t		size;
	void	   *model = read_file(name, &size);

	limit_threads();
	xgboost(XGBoosterCreate(NULL, 0, &booster));
	xgboost(XGBoosterSetParam(booster, "nthread", "1"));
	xgboost(XGBoosterLoadModelFromBuffer(booster, model, size));
	free(model);
	return booster;
}

/* One kernel, the model as code, or the additions alone: its forest and what was measured. */
typedef struct Side
{
	Forest		forest;
	const char *name;
	bool		compiled;
	float	   *leaves;			/* of the additions alone, else NULL */
	double		nanoseconds[REPETITIONS];
	int			differing;		/* rows */
} Side;

/* Give the forest the plan that a kernel needs, if it can have one; it stays. */
static void
make_plan(Forest *forest, ForestKernel kernel)
{
	size_t		room = forest_plan_room(forest, kernel);
	void	   *plan = aligned_alloc(64, (room + 63) & ~(size_t) 63);

	if (room > 0 && plan != NULL && forest_plan_build(forest, kernel, plan) > 0)
		forest_use_plan(forest, plan);
}

/* The leaf of each row in each tree, [NUM_ROWS][num_trees]: the margin of a forest of that tree alone. */
static float *
find_leaves(const Forest *forest, const float *rows)
{
	static const float zero;
	ForestHeader header = *forest->header;
	uint32_t	num_trees = header.num_trees;
	float	   *leaves = allocate((size_t) NUM_ROWS * num_trees * sizeof(float));
	Forest		one = *forest;
	size_t		row;
	uint32_t	tree;

	header.num_trees = 1;
	one.header = &header;
	one.base_margins = &zero;
	for (row = 0; row < NUM_ROWS; row++)
		for (tree = 0; tree < num_trees; tree++)
		{
			one.trees = &forest->trees[tree];
			forest_margins_reference(&one, rows + row * header.num_features, &leaves[row * num_trees + tree]);
		}
	return leaves;
}

/* The forest with each kernel that there is, and beside one row a call the code, if there is any, and
 * the additions alone; returns their number. */
static int
find_sides(const Forest *forest, const Rival *rival, bool batch, const float *rows, Side *sides)
{
	static const ForestKernel kernels[NUM_KERNELS] = {FOREST_KERNEL_AVX512, FOREST_KERNEL_AVX2,
	FOREST_KERNEL_PLAIN, FOREST_KERNEL_WALK};
	int			count = 0;
	int			i;

	for (i = 0; i < NUM_KERNELS; i++)
	{
		Side	   *side = &sides[count];

		*side = (Side) {.forest = *forest};
		make_plan(&side->forest, kernels[i]);
		count += forest_set_kernel(&side->forest, kernels[i]);
		side->name = side->forest.kernel_name;
	}
	if (rival->compiled != NULL && !batch)
		sides[count++] = (Side) {.forest = *forest, .name = "compiled if-else", .compiled = true};
	if (!batch && forest->header->kind == FOREST_TREES && forest->header->num_outputs == 1)
		sides[count++] = (Side) {.forest = *forest, .name = "additions alone", .leaves = find_leaves(forest, rows)};
	return count;
}

/* Rows in which any bit of a margin differs. */
static int
count_differing(const float *expected, const float *margins, size_t width)
{
	int			differing = 0;
	size_t		i;

	for (i = 0; i < NUM_ROWS; i++)
		differing += memcmp((const char *) expected + i * width,
							(const char *) margins + i * width, width) != 0;
	return differing;
}

/* One pass of a side over the rows; returns seconds. */
static double
run_side(const Side *side, const Rival *rival, const float *rows, bool batch, void *scratch,
		 float *margins)
{
	if (side->compiled)
		return run_compiled(rival, rows, side->forest.header->num_features, margins);
	if (side->leaves != NULL)
		return run_additions(&side->forest, side->leaves, margins);
	return run_forest(&side->forest, rows, batch, scratch, margins);
}

/* Measure all sides in turn, row by row or all rows at once, and print their lines. */
static void
compare(const char *name, const Forest *forest, const Rival *rival, bool batch)
{
	const ForestHeader *header = forest->header;
	size_t		rows_a_call = batch ? NUM_ROWS : 1;
	size_t		width = header->num_outputs * sizeof(float);
	float	   *rows = allocate((size_t) NUM_ROWS * header->num_features * sizeof(float));
	float	   *expected = allocate(NUM_ROWS * width);
	float	   *margins = allocate(NUM_ROWS * width);
	void	   *scratch;
	size_t		scratch_size = 0;
	double		theirs[REPETITIONS];
	Side		sides[NUM_SIDES];
	int			num_sides;
	int			i;
	int			k;

	fill_rows(rows, header->num_features);
	num_sides = find_sides(forest, rival, batch, rows, sides);
	for (k = 0; k < num_sides; k++)
		if (scratch_size < forest_batch_scratch_size(&sides[k].forest))
			scratch_size = forest_batch_scratch_size(&sides[k].forest);
	scratch = allocate(scratch_size);
	run_xgboost(rival, rows, rows_a_call, header, expected);
	for (k = 0; k < num_sides; k++)
	{
		run_side(&sides[k], rival, rows, batch, scratch, margins);
		sides[k].differing = count_differing(expected, margins, width);
	}
	for (i = 0; i < REPETITIONS; i++)
	{
		theirs[i] = run_xgboost(rival, rows, rows_a_call, header, expected) * 1e9 / NUM_ROWS;
		for (k = 0; k < num_sides; k++)
			sides[k].nanoseconds[i] = run_side(&sides[k], rival, rows, batch, scratch, margins) *
				1e9 / NUM_ROWS;
	}
	for (k = 0; k < num_sides; k++)
	{
		printf("%-24s %7u trees  %-16s %-5s  libxgboost %9.0f ns  forest %9.1f ns  %6.1fx  "
			   "differing rows %d of %d\n", name, header->num_trees,
			   sides[k].name, batch ? "batch" : "row", median(theirs),
			   median(sides[k].nanoseconds), median(theirs) / median(sides[k].nanoseconds),
			   sides[k].differing, NUM_ROWS);
		free(sides[k].leaves);
	}
	free(rows);
	free(expected);
	free(margins);
	free(scratch);
}

/* Largest difference of two contributions, and the largest of them. */
static double
largest_difference(const ForestHeader *header, const float *expected, const double *found,
				   double *largest)
{
	size_t		width = header->num_features + 1;
	double		worst = 0;
	size_t		row;
	size_t		output;
	size_t		i;

	*largest = 0;
	for (row = 0; row < EXPLAINED_ROWS; row++)
		for (output = 0; output < header->num_outputs; output++)
			for (i = 0; i < width; i++)
			{
				double		one = found[(output * EXPLAINED_ROWS + row) * width + i];

				worst = fmax(worst, fabs(one - expected[(row * header->num_outputs + output) *
														width + i]));
				*largest = fmax(*largest, fabs(one));
			}
	return worst;
}

/* Measure all sides' contributions in turn, row by row or all rows at once, and
 * print their lines. */
static void
compare_contributions(const char *name, const Forest *forest, BoosterHandle booster, bool batch)
{
	static const ForestKernel kernels[NUM_VECTORS] = {FOREST_KERNEL_AVX512, FOREST_KERNEL_AVX2,
	FOREST_KERNEL_WALK};
	const ForestHeader *header = forest->header;
	size_t		rows_a_call = batch ? EXPLAINED_ROWS : 1;
	size_t		count = (size_t) EXPLAINED_ROWS * header->num_outputs * (header->num_features + 1);
	float	   *rows = allocate((size_t) NUM_ROWS * header->num_features * sizeof(float));
	float	   *expected = allocate(count * sizeof(float));
	double	   *found = allocate(count * sizeof(double));
	double		theirs[REPETITIONS];
	Side		sides[NUM_VECTORS];
	void	   *scratch[NUM_VECTORS];
	int			num_sides = 0;
	int			i;
	int			k;

	fill_rows(rows, header->num_features);
	for (k = 0; k < NUM_VECTORS; k++)
		if (forest_has_kernel(kernels[k]))
		{
			sides[num_sides].forest = *forest;
			sides[num_sides].forest.contribute = contribute_kernel(kernels[k]);
			scratch[num_sides] = allocate(forest_contributions_batch_scratch_size(&sides[num_sides].forest));
			num_sides++;
		}
	for (i = 0; i < REPETITIONS; i++)
	{
		theirs[i] = run_xgboost_contributions(booster, rows, rows_a_call, header, expected) * 1e9 /
			EXPLAINED_ROWS;
		for (k = 0; k < num_sides; k++)
			sides[k].nanoseconds[i] = run_forest_contributions(&sides[k].forest, rows, batch, scratch[k], found) *
				1e9 / EXPLAINED_ROWS;
	}
	for (k = 0; k < num_sides; k++)
	{
		double		largest;
		double		worst;

		run_forest_contributions(&sides[k].forest, rows, batch, scratch[k], found);
		worst = largest_difference(header, expected, found, &largest);
		printf("%-24s %7u trees  %-16s %-5s  libxgboost %9.0f ns  forest %9.1f ns  %6.1fx  "
			   "largest difference %.1e of %.2f\n", name, header->num_trees,
			   sides[k].forest.contribute->name, batch ? "batch" : "row", median(theirs),
			   median(sides[k].nanoseconds), median(theirs) / median(sides[k].nanoseconds),
			   worst, largest);
		free(scratch[k]);
	}
	free(rows);
	free(expected);
	free(found);
}

/* margin() of a library of compiled.py; it stays. */
static float (*
load_compiled(const char *name)) (const float *)
{
	void	   *library = dlopen(name, RTLD_NOW);
	float		(*margin) (const float *) = NULL;

	if (library != NULL)
		*(void **) &margin = dlsym(library, "margin");
	if (margin == NULL)
		fail(name, dlerror());
	return margin;
}

int
main(int argc, char **argv)
{
	Rival		rival = {0};
	Forest		forest;
	size_t		size;
	void	   *image;
	const char *slash;
	const char *name;
	const char *wrong;
	const char *mode;

	if (argc < 4 || argc > 5)
	{
		fprintf(stderr, "usage: forest_bench MODEL.ubj IMAGE_FILE FEATURES "
				"[contributions | matrix | LIBRARY.so]\n");
		return 2;
	}
	mode = argc == 5 ? argv[4] : "";
	image = read_file(argv[2], &size);
	wrong = forest_check(image, size);
	if (wrong != NULL)
		fail(argv[2], wrong);
	forest_open(&forest, image);
	if (strtoul(argv[3], NULL, 10) != forest.header->num_features)
		fail(argv[2], "another number of features");
	rival.booster = load_booster(argv[1]);
	xgboost(XGProxyDMatrixCreate(&rival.proxy));
	rival.matrix = strcmp(mode, "matrix") == 0;
	if (strstr(mode, ".so") != NULL)
		rival.compiled = load_compiled(mode);
	slash = strrchr(argv[1], '/');
	name = slash != NULL ? slash + 1 : argv[1];
	if (strcmp(mode, "contributions") == 0)
	{
		compare_contributions(name, &forest, rival.booster, false);
		compare_contributions(name, &forest, rival.booster, true);
	}
	else
	{
		compare(name, &forest, &rival, false);
		compare(name, &forest, &rival, true);
	}
	XGDMatrixFree(rival.proxy);
	XGBoosterFree(rival.booster);
	free(image);
	return 0;
}
