/*
 * forest_kernel_test.c
 *		Unit tests of the kernels of the forest core (src/forest): each that
 *		this processor has gives the reference's margins in every bit, for
 *		forests of every shape and rows on and beside their thresholds.  And the
 *		proof of a plan: it finds nothing wrong with any of these, and does
 *		with most damage.
 *
 * PG_RISK_LONG=1 scores over ten million rows with each.
 */
#include "forest_models.h"
#include "kernel.h"

#define LONG_ROWS	10000000

static const struct
{
	ForestKernel kernel;
	const char *name;
}			kernels[] = {
	{FOREST_KERNEL_WALK, "walk"},
	{FOREST_KERNEL_KEYS, "keys"},
	{FOREST_KERNEL_PLAIN, "plain"},
	{FOREST_KERNEL_AVX2, "AVX2"},
	{FOREST_KERNEL_AVX512, "AVX-512"},
};

#define NUM_KERNELS		(sizeof(kernels) / sizeof(kernels[0]))

/* What the kernels have done so far. */
static uint64_t rows_scored[NUM_KERNELS];
static uint64_t rows_in_blocks[NUM_KERNELS][2][2][3];	/* by wide, categories, PlanLeaves */
static uint64_t rows_wanted = 1;	/* multiplies the number of rows of a forest */

/* ---- one forest ---- */

/* Aligned to 64 and of exactly this size, so that sanitizers see its end. */
static void *
allocate_aligned(size_t size)
{
	void	   *block = NULL;

	if (posix_memalign(&block, 64, size) != 0)
		exit(1);
	return block;
}

/* The plan of a forest for a kernel, moved from where it was built; NULL: it has none. */
static void *
make_plan(const Forest *forest, ForestKernel kernel)
{
	size_t		room = forest_plan_room(forest, kernel);
	void	   *memory = room > 0 ? allocate_aligned(room) : NULL;
	size_t		size = room > 0 ? forest_plan_build(forest, kernel, memory) : 0;
	void	   *plan = NULL;

	if (size > 0)
	{
		plan = allocate_aligned(size);
		memcpy(plan, memory, size);
		memset(memory, 0xff, room);
	}
	free(memory);
	return plan;
}

/* Rows of a batch for which a kernel's margins are not the expected ones. */
static uint64_t
count_batch_differences(const Forest *forest, const float *rows, size_t num_rows,
						const float *expected)
{
	uint32_t	outputs = forest->header->num_outputs;
	float	   *margins = malloc(num_rows * outputs * sizeof(float));
	void	   *scratch = malloc(forest_batch_scratch_size(forest) + 1);
	uint64_t	differences = 0;
	size_t		i;

	memset(scratch, 0x7f, forest_batch_scratch_size(forest));	/* any bytes, these the worst */
	forest_margins_batch(forest, rows, num_rows, scratch, margins);
	for (i = 0; i < num_rows; i++)
		differences += !same_floats(margins + i * outputs, expected + i * outputs, outputs);
	free(margins);
	free(scratch);
	return differences;
}

/* Rows for which a kernel's margins, one by one, are not the expected ones. */
static uint64_t
count_row_differences(const Forest *forest, const float *rows, size_t num_rows,
					  const float *expected)
{
	uint32_t	outputs = forest->header->num_outputs;
	float	   *row = malloc(forest->header->num_features * sizeof(float));
	float	   *margins = malloc(outputs * sizeof(float));
	void	   *scratch = malloc(forest_scratch_size(forest));
	uint64_t	differences = 0;
	size_t		i;

	for (i = 0; i < num_rows; i++)
	{
		memcpy(row, rows + i * forest->header->num_features,
			   forest->header->num_features * sizeof(float));
		forest_margins(forest, row, scratch, margins);
		differences += !same_floats(margins, expected + i * outputs, outputs);
	}
	free(row);
	free(margins);
	free(scratch);
	return differences;
}

/* Made-up rows of a source, and the reference's margins. */
static void
make_rows(const ForestSource *source, const Forest *forest, size_t num_rows, float **rows, float **expected)
{
	uint32_t	outputs = source->num_outputs;
	size_t		i;

	*rows = malloc(num_rows * source->num_features * sizeof(float));
	*expected = malloc(num_rows * outputs * sizeof(float));
	for (i = 0; i < num_rows; i++)
	{
		random_row(source, *rows + i * source->num_features);
		forest_margins_reference(forest, *rows + i * source->num_features, *expected + i * outputs);
	}
}

/* Some rows by all kernels against what is expected; returns rows that differ. */
static uint64_t
score_by_kernels(const Forest *forest, const float *rows, size_t num_rows, const float *expected)
{
	uint64_t	differences = 0;
	size_t		i;

	for (i = 0; i < NUM_KERNELS; i++)
	{
		Forest		other = *forest;

		if (!forest_set_kernel(&other, kernels[i].kernel))
			continue;
		differences += count_row_differences(&other, rows, num_rows, expected);
		differences += count_batch_differences(&other, rows, num_rows, expected);
		rows_scored[i] += num_rows;
		if (other.batch_kernel != NULL && num_rows >= KERNEL_LEAST_BLOCK)
			rows_in_blocks[i][plan_is_wide(forest->plan)][forest->plan->num_categorical > 0]
				[forest->plan->kind] += num_rows;
	}
	return differences;
}

/* Made-up rows, likewise. */
static uint64_t
score_rows(const ForestSource *source, const Forest *forest, size_t num_rows)
{
	float	   *rows;
	float	   *expected;
	uint64_t	differences;

	make_rows(source, forest, num_rows, &rows, &expected);
	differences = score_by_kernels(forest, rows, num_rows, expected);
	free(rows);
	free(expected);
	return differences;
}

/* Many rows, in batches of many lengths. */
static uint64_t
count_differences(const ForestSource *source, const Forest *forest, uint64_t num_rows)
{
	uint64_t	differences = 0;

	while (num_rows > 0)
	{
		size_t		some = 1 + random_below(300);

		if (some > num_rows)
			some = num_rows;
		differences += score_rows(source, forest, some);
		num_rows -= some;
	}
	return differences;
}

static uint64_t num_pauses;

static void
count_pause(void)
{
	num_pauses++;
}

/* Prove a forest with its plan; returns the kernel that is wrong. */
static ForestKernel
prove(const Forest *forest)
{
	void	   *memory = malloc(forest_proof_room(forest));
	ForestKernel wrong = forest_prove(forest, count_pause, memory);

	free(memory);
	return wrong;
}

/* With the plan for a kernel; *ranked: it has those. */
static uint64_t
score_planned(const ForestSource *source, const Forest *forest, ForestKernel kernel,
			  uint64_t num_rows, bool *ranked)
{
	Forest		planned = *forest;
	void	   *plan = make_plan(forest, kernel);
	uint64_t	differences;

	forest_use_plan(&planned, plan);
	*ranked = planned.plan != NULL && planned.plan->num_groups > 0;
	differences = count_differences(source, &planned, num_rows * rows_wanted);
	differences += prove(&planned) != FOREST_KERNEL_AUTO;
	free(plan);
	return differences;
}

/*
 * Score made-up rows of a source with all kernels, and prove them.  has_plan: has the plan ranks?
 */
static uint64_t
score_source(const ForestSource *source, bool has_plan, uint64_t num_rows, bool *planned)
{
	Forest		forest;
	void	   *image = open_source(source, &forest);
	bool		ranked;
	uint64_t	differences;

	if (image == NULL)
		return num_rows;
	differences = score_planned(source, &forest, FOREST_KERNEL_KEYS, num_rows, &ranked);
	differences += score_planned(source, &forest, FOREST_KERNEL_AUTO, num_rows, &ranked);
	*planned = ranked == has_plan;
	free(image);
	free_all();
	return differences;
}

/* Made-up forests of a kind, scored by all kernels. */
static void
check_spec(const ModelSpec *spec, bool has_plan, uint32_t rounds, uint32_t num_rows)
{
	uint64_t	differences = 0;
	bool		all_planned = true;
	bool		planned = true;
	uint32_t	i;

	for (i = 0; i < rounds; i++)
	{
		differences += score_source(random_source(spec), has_plan, num_rows, &planned);
		all_planned = all_planned && planned;
	}
	ok(differences == 0 && all_planned, "kernels and reference agree: %s, %u trees, depth %u, "
	   "%u features%s (%llu differ)", spec->name, spec->num_trees, spec->max_depth,
	   spec->num_features, all_planned ? "" : "; there are ranks or none, against expectation",
	   (unsigned long long) differences);
}

/* ---- shapes ---- */

/* All depths and numbers of trees around the sizes of groups. */
static void
test_depths(void)
{
	static const uint32_t num_trees[] = {1, 7, 8, 9, 16, 65};
	ModelSpec	spec = {.name = "numeric",.kind = FOREST_TREES,.num_features = 12,
	.num_outputs = 1,.missing = NAN};
	size_t		i;

	for (spec.max_depth = 1; spec.max_depth <= 9; spec.max_depth++)
		for (i = 0; i < sizeof(num_trees) / sizeof(num_trees[0]); i++)
		{
			spec.num_trees = num_trees[i];
			spec.num_splits = 2u << spec.max_depth;
			check_spec(&spec, true, 3, 200);
		}
	spec.name = "lopsided";
	spec.chain = true;
	for (spec.num_splits = 6; spec.num_splits <= 21; spec.num_splits += 3)
	{
		spec.max_depth = spec.num_splits;
		check_spec(&spec, true, 3, 200);
	}
	spec.name = "numeric";
	spec.max_depth = 6;
	spec.chain = false;
	spec.num_splits = 200;
	spec.num_trees = 500;
	check_spec(&spec, true, 1, 100);
	spec.max_depth = 8;
	check_spec(&spec, true, 1, 100);
	spec.name = "single leaves";
	spec.num_splits = 0;
	spec.num_trees = 13;
	check_spec(&spec, true, 2, 20);
}

/* Numbers of slots around the sizes of registers and tables. */
static void
test_slots(void)
{
	static const uint32_t num_features[] = {1, 15, 16, 17, 32, 33, 48, 49, 63, 64, 65, 127, 128,
	129, 255, 256};
	static const uint32_t num_wide[] = {257, 300, 1000, 5000};
	ModelSpec	spec = {.name = "features",.kind = FOREST_TREES,.num_trees = 60,
	.num_splits = 150,.num_outputs = 1,.missing = NAN};
	size_t		i;

	for (i = 0; i < sizeof(num_features) / sizeof(num_features[0]); i++)
		for (spec.max_depth = 6; spec.max_depth <= 8; spec.max_depth += 2)
		{
			spec.num_features = num_features[i];
			check_spec(&spec, true, 1, 100);
		}
	spec.name = "wide";
	for (i = 0; i < sizeof(num_wide) / sizeof(num_wide[0]); i++)
	{
		spec.num_features = num_wide[i];
		for (spec.max_depth = 6; spec.max_depth <= 10; spec.max_depth += 2)
			check_spec(&spec, true, 1, 300);
	}
	spec.name = "too many features";
	spec.num_trees = 400;
	spec.num_features = 40000;
	check_spec(&spec, false, 1, 100);
}

/* Give the splits of one feature so many distinct thresholds, in turn. */
static void
limit_thresholds(const ForestSource *source, uint32_t count)
{
	uint32_t	next = 0;
	uint32_t	i;
	uint32_t	k;

	for (i = 0; i < source->num_trees; i++)
		for (k = 0; k < source->trees[i].num_nodes; k++)
			if (source->trees[i].left[k] != -1)
				((float *) source->trees[i].condition)[k] = (float) (next++ % count);
}

/* Numbers of thresholds around the sizes of blocks and parts. */
static void
test_thresholds(void)
{
	static const uint32_t counts[] = {1, 2, 15, 16, 17, 31, 32, 33, 239, 240, 252, 253, 254, 256,
	506, 507, 600, 2000};
	ModelSpec	spec = {.name = "thresholds",.kind = FOREST_TREES,.num_trees = 150,
	.num_splits = 200,.num_features = 1,.num_outputs = 1,.missing = NAN,.max_depth = 6};
	size_t		i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
	{
		ForestSource *source = random_source(&spec);
		bool		planned = true;
		uint64_t	differences;

		limit_thresholds(source, counts[i]);
		differences = score_source(source, true, 600, &planned);
		ok(differences == 0 && planned, "kernels and reference agree: %u thresholds (%llu differ)",
		   counts[i], (unsigned long long) differences);
	}
}

/* Categories beside more numeric features than a byte can number. */
static void
test_wide_categories(void)
{
	ModelSpec	spec = {.name = "wide, categories",.kind = FOREST_TREES,.num_trees = 30,
	.num_splits = 60,.num_features = 405,.num_outputs = 1,.missing = NAN,
	.categorical = 20,.max_category = 40,.set_size = 15};
	uint32_t	next = 0;
	uint32_t	i;
	uint32_t	k;

	for (spec.max_depth = 6; spec.max_depth <= 10; spec.max_depth += 2)
	{
		ForestSource *source = random_source(&spec);
		bool		planned = true;
		uint64_t	differences;

		for (i = 0; i < source->num_trees; i++)
			for (k = 0; k < source->trees[i].num_nodes; k++)
				((int32_t *) source->trees[i].feature)[k] = source->trees[i].categorical[k] ?
					(int32_t) (400 + k % 5) : (int32_t) (next++ % 400);
		differences = score_source(source, true, 600, &planned);
		ok(differences == 0 && planned, "kernels and reference agree: categories beside 400 "
		   "features, depth %u (%llu differ)", spec.max_depth, (unsigned long long) differences);
	}
}

/* Declared missing values, weights, outputs with and without trees. */
static void
test_kinds(void)
{
	static const float missing[] = {0.0f, -999.0f, INFINITY, -INFINITY};
	ModelSpec	spec = {.name = "declared missing value",.kind = FOREST_TREES,.num_trees = 30,
	.num_splits = 60,.num_features = 6,.num_outputs = 1,.max_depth = 6};
	size_t		i;

	for (i = 0; i < 4; i++)
	{
		spec.missing = missing[i];
		check_spec(&spec, true, 3, 200);
	}
	spec.missing = NAN;
	spec.name = "many outputs, dart";
	spec.dart = true;
	spec.num_outputs = 5;
	check_spec(&spec, true, 3, 200);
	spec.num_trees = 100;
	spec.num_splits = 200;
	spec.max_depth = 7;
	check_spec(&spec, true, 3, 100);
	spec.name = "more outputs than trees";
	spec.num_outputs = 150;
	spec.max_depth = 6;
	check_spec(&spec, true, 3, 200);
}

/* Categories in the upper levels and below, with and without numeric splits beside them. */
static void
test_categories(void)
{
	static const uint32_t max_category[] = {0, 1, 30, 31, 32, 60};
	ModelSpec	spec = {.name = "categories",.kind = FOREST_TREES,.num_trees = 45,
	.num_splits = 100,.num_features = 7,.num_outputs = 1,.missing = NAN};
	size_t		i;

	for (i = 0; i < sizeof(max_category) / sizeof(max_category[0]); i++)
	{
		spec.max_category = max_category[i];
		spec.set_size = 1 + max_category[i] / 2;
		spec.missing = i % 2 == 0 ? NAN : 7.0f;
		for (spec.max_depth = 5; spec.max_depth <= 11; spec.max_depth += 2)
		{
			spec.categorical = spec.max_depth == 9 ? 100 : 30;
			check_spec(&spec, true, 2, 200);
		}
	}
	spec.name = "categories, many outputs";
	spec.max_category = 30;
	spec.set_size = 16;
	spec.max_depth = 6;
	spec.num_outputs = 5;
	check_spec(&spec, true, 3, 200);
	spec.name = "categories that take too much room";
	spec.num_outputs = 1;
	spec.max_category = 100000;
	spec.set_size = 1;
	check_spec(&spec, false, 1, 100);
}

/* Vector leaves, below which there is nothing or more levels. */
static void
test_vectors(void)
{
	ModelSpec	spec = {.name = "vector leaves",.kind = FOREST_TREES,.num_trees = 21,
	.num_splits = 60,.num_features = 9,.num_outputs = 4,.vectors = true,.missing = NAN};

	for (spec.max_depth = 2; spec.max_depth <= 10; spec.max_depth += 2)
	{
		spec.categorical = spec.max_depth == 8 ? 40 : 0;
		spec.max_category = 20;
		spec.set_size = 10;
		check_spec(&spec, true, 3, 300);
	}
}

/* All other kinds, of which some have a plan. */
static void
test_all_specs(void)
{
	size_t		i;

	for (i = 0; i < NUM_SPECS; i++)
	{
		bool		planned;
		uint64_t	differences = score_source(random_source(&specs[i]), true, 300, &planned);

		ok(differences == 0, "kernels and reference agree: %s (%llu differ)", specs[i].name,
		   (unsigned long long) differences);
	}
}

/* Sums that stay -0: nothing is added but leaves, and in no other order. */
static void
test_negative_zero(void)
{
	static const float minus_zero[] = {-0.0f};
	static const float condition[] = {0.5f, -0.0f, -0.0f};
	ForestSourceTree tree = stump;
	ForestSource source = stump_source;
	bool		planned;

	tree.condition = condition;
	source.trees = &tree;
	source.base_margins = minus_zero;
	ok(score_source(&source, true, 20, &planned) == 0 && planned,
	   "kernels and reference agree: a sum of -0");
}

/* ---- the proof ---- */

/* The parts of a plan that decide what a row scores. */
typedef enum PlanPart
{
	PART_SLOTS,
	PART_CUTS,
	PART_MISSING,
	PART_RECORD_SLOTS,
	PART_RECORD_CUTS,
	PART_LEAVES,
	PART_THRESHOLDS,
	PART_CATEGORIES,
	PART_KEYS,
	NUM_PARTS
} PlanPart;

static const char *const part_names[NUM_PARTS] = {"slots", "cuts", "missing", "slots of records",
 "cuts of records", "leaves", "thresholds", "categories", "keys"};

/* What was done to a plan: a byte has another value. */
typedef struct Damage
{
	uint8_t    *byte;			/* NULL: this plan has no such part */
	uint8_t		before;
} Damage;

/* Give a byte another value below the limit. */
static void
damage_byte(Damage *damage, void *byte, uint32_t limit)
{
	damage->byte = byte;
	damage->before = *damage->byte;
	*damage->byte = (damage->before + 1 + random_below(limit - 1)) % limit;
}

/* Turn one of a byte's lowest bits. */
static void
damage_bit(Damage *damage, void *byte, uint32_t num_bits)
{
	damage->byte = byte;
	damage->before = *damage->byte;
	*damage->byte ^= 1 << random_below(num_bits);
}

/* A lower twig of a tree. */
static PlanTwig *
lower_twig(ForestPlan *plan, uint32_t tree, uint32_t twig)
{
	return (PlanTwig *) ((char *) plan + plan->twigs + (tree * PLAN_TWIG + twig) * plan_twig_size(plan->kind));
}

/* Damage a part of the upper levels. */
static void
damage_upper(ForestPlan *plan, PlanPart part, uint32_t tree, uint32_t node, Damage *damage)
{
	PlanTops   *tops = (PlanTops *) ((char *) plan + plan->tops) + tree / PLAN_GROUP;
	uint32_t	place = plan_place(node) % PLAN_TWIG;
	PlanTwig   *twig = lower_twig(plan, tree, plan_place(node) / PLAN_TWIG % PLAN_TWIG);
	uint8_t    *slots = node < PLAN_TWIG ? tops->slots[tree % PLAN_GROUP] : twig->slots;
	int8_t	   *cuts = node < PLAN_TWIG ? tops->cuts[tree % PLAN_GROUP] : twig->cuts;

	if (part == PART_SLOTS && plan->num_slots > 1 && !plan_is_wide(plan))
		damage_byte(damage, &slots[place], plan->num_slots);
	else if (part == PART_CUTS)
		damage_byte(damage, &cuts[place], 256);
	else if (part == PART_MISSING)
	{
		damage->byte = (uint8_t *) &cuts[PLAN_TWIG - 1];
		damage->before = *damage->byte;
		*damage->byte ^= 1 << place;
	}
}

/* Damage what is below them, or what all trees share: of ranks. */
static void
damage_lower(ForestPlan *plan, PlanPart part, uint32_t tree, uint32_t node, Damage *damage)
{
	PlanRecord *record = (PlanRecord *) ((char *) plan + plan->records) + tree * PLAN_NODES + node;
	PlanBranch *branch = (PlanBranch *) lower_twig(plan, tree, node / PLAN_TWIG);
	float	   *thresholds = (float *) ((char *) plan + plan->cuts);
	PlanCategories *categories = (PlanCategories *) ((char *) plan + plan->categories);
	uint32_t	threshold = random_below((plan->outputs - plan->cuts) / sizeof(float));

	if (part == PART_RECORD_SLOTS && plan->kind == PLAN_RECORDS)
		damage_byte(damage, &record->slots[random_below(3)], plan->num_slots);
	else if (part == PART_RECORD_CUTS && plan->kind == PLAN_RECORDS)
		damage_byte(damage, &record->cuts[random_below(3)], 256);
	else if (part == PART_LEAVES && plan->kind == PLAN_RECORDS)
		damage_bit(damage, (uint8_t *) &record->leaves[random_below(4)] + 2, 7);
	else if (part == PART_LEAVES && plan->kind == PLAN_LEAVES)
		damage_bit(damage, (uint8_t *) &branch->below.leaves[node % PLAN_TWIG] + 2, 7);
	else if (part == PART_THRESHOLDS && !isnan(thresholds[threshold]))
		damage_byte(damage, &thresholds[threshold], 256);
	else if (part == PART_CATEGORIES && plan->num_categorical > 0)
	{
		categories += random_below(PLAN_SECTION(plan, uint32_t, category_begins)[plan->num_groups]);
		damage_bit(damage, (uint64_t *) ((char *) plan + categories->words) +
				   random_below(categories->last) * PLAN_GROUP + tree % PLAN_GROUP, 8);
	}
}

/* Damage a high bit of a node's key or of every other leaf: of a word above a slot. */
static void
damage_keys(ForestPlan *plan, Damage *damage)
{
	uint64_t   *words = (uint64_t *) ((char *) plan + plan->keys);
	uint8_t    *word = (uint8_t *) &words[random_below((plan->size - plan->keys) / sizeof(uint64_t))];

	damage_bit(damage, word + 6, 7);
}

/* How often damage was made, changed a score, was found. */
typedef struct Found
{
	uint32_t	made;
	uint32_t	mattered;
	uint32_t	found;
} Found;

/* Damage a plan again and again, and count what the proof finds of what changes scores. */
static void
damage_plan(const ForestSource *source, const Forest *forest, ForestPlan *plan, Found *counts)
{
	float	   *rows;
	float	   *expected;
	uint32_t	i;

	make_rows(source, forest, 300, &rows, &expected);
	for (i = 0; i < NUM_PARTS * 12; i++)
	{
		Found	   *count = &counts[i % NUM_PARTS];
		Damage		damage = {NULL, 0};
		uint32_t	tree = random_below(source->num_trees);
		uint32_t	node = 1 + random_below(i % 24 < 12 ? 3 : PLAN_NODES - 1);
		bool		found;
		bool		matters;

		if (plan->num_groups > 0)
			damage_upper(plan, i % NUM_PARTS, tree, node, &damage);
		if (damage.byte == NULL && plan->num_groups > 0)
			damage_lower(plan, i % NUM_PARTS, tree, node, &damage);
		if (i % NUM_PARTS == PART_KEYS && plan->keys > 0)
			damage_keys(plan, &damage);
		if (damage.byte == NULL)
			continue;
		found = prove(forest) != FOREST_KERNEL_AUTO;
		matters = found || score_by_kernels(forest, rows, 300, expected) > 0;
		*damage.byte = damage.before;
		count->made++;
		count->mattered += matters;
		count->found += found;
	}
	free(rows);
	free(expected);
}

/* The proof finds what is wrong with a plan. */
static void
test_damage(void)
{
	static const ModelSpec shapes[] = {
		{.name = "leaves",.num_trees = 30,.num_splits = 63,.num_features = 12,.max_depth = 6},
		{.name = "more slots",.num_trees = 30,.num_splits = 63,.num_features = 90,.max_depth = 6},
		{.name = "records",.num_trees = 20,.num_splits = 200,.num_features = 20,.max_depth = 8},
		{.name = "starts",.num_trees = 20,.num_splits = 120,.num_features = 20,.max_depth = 11},
		{.name = "categories",.num_trees = 30,.num_splits = 63,.num_features = 12,.max_depth = 6,
		.categorical = 40,.max_category = 30,.set_size = 10},
		{.name = "long rows",.num_trees = 8,.num_splits = 20,.num_features = 30000,.max_depth = 6},
		{.name = "keys",.num_trees = 60,.num_splits = 63,.num_features = 3000,.max_depth = 6},
	};
	Found		counts[NUM_PARTS] = {{0, 0, 0}};
	Found		all = {0, 0, 0};
	uint32_t	i;

	for (i = 0; i < 2 * sizeof(shapes) / sizeof(shapes[0]); i++)
	{
		ModelSpec	spec = shapes[i / 2];
		ForestSource *source;
		Forest		forest;
		void	   *image;
		void	   *plan;

		spec.kind = FOREST_TREES;
		spec.num_outputs = 1;
		spec.missing = i % 2 == 0 ? NAN : 1.0f;
		source = random_source(&spec);
		image = open_source(source, &forest);
		plan = make_plan(&forest, FOREST_KERNEL_AUTO);
		forest_use_plan(&forest, plan);
		if (plan != NULL)
			damage_plan(source, &forest, plan, counts);
		free(plan);
		free(image);
		free_all();
	}
	for (i = 0; i < NUM_PARTS; i++)
	{
		printf("# damaged %s: %u, of which %u changed scores, of which %u were found\n", part_names[i],
			   counts[i].made, counts[i].mattered, counts[i].found);
		all.mattered += counts[i].mattered;
		all.found += counts[i].found;
	}
	ok(all.found >= all.mattered / 10 * 9, "nine tenths of damage that changes scores are found (%u of %u)",
	   all.found, all.mattered);
}

/* A forest that not even the walk scores as the reference does is known by that. */
static void
test_wrong_walk(void)
{
	ModelSpec	spec = {.name = "categories",.kind = FOREST_TREES,.num_trees = 10,.num_splits = 30,
	.num_features = 5,.num_outputs = 1,.missing = NAN,.categorical = 50,.max_category = 30,.set_size = 10};
	Forest		forest;
	void	   *image = open_source(random_source(&spec), &forest);

	ok(prove(&forest) == FOREST_KERNEL_AUTO, "a forest without a plan is proved");
	forest.first_categorical = forest.header->num_slots;
	forest_use_plan(&forest, NULL);
	ok(prove(&forest) == FOREST_KERNEL_WALK, "a walk that takes categories for numbers is not");
	free(image);
	free_all();
}

/* A proof takes little memory however long rows are, can be left at each of them, and finds
 * mistakes even so. */
static void
test_long_rows(void)
{
	ModelSpec	spec = {.name = "a million features",.kind = FOREST_TREES,.num_trees = 16,.num_splits = 63,
	.num_features = FOREST_MAX_FEATURES,.num_outputs = 1,.max_depth = 6,.missing = NAN};
	Forest		forest;
	void	   *image = open_source(random_source(&spec), &forest);
	ForestPlan *plan = make_plan(&forest, FOREST_KERNEL_AUTO);
	size_t		room;
	bool		whole;
	size_t		i;

	forest_use_plan(&forest, plan);
	room = forest_proof_room(&forest);
	ok(room < 48 << 20, "a proof of rows of a million features takes little memory (%zu MB)", room >> 20);
	num_pauses = 0;
	whole = prove(&forest) == FOREST_KERNEL_AUTO;
	ok(whole && num_pauses >= 3 * 128, "which is enough, and can be left again and again (%u times)",
	   (unsigned) num_pauses);
	for (i = plan->keys; plan->keys > 0 && i < plan->size; i += sizeof(uint64_t))
		((uint8_t *) plan)[i + 6] ^= 0x40;
	for (i = 0; i < plan->num_groups * PLAN_GROUP * PLAN_NODES; i++)
		((PlanBranch *) lower_twig(plan, 0, i / PLAN_TWIG))->below.leaves[i % PLAN_TWIG] += 1;
	ok(prove(&forest) != FOREST_KERNEL_AUTO, "and finds what is wrong with the plan");
	free(plan);
	free(image);
	free_all();
}

/* ---- the choice of a kernel ---- */

static void
test_choice(void)
{
	ModelSpec	spec = {.name = "linear",.kind = FOREST_LINEAR,.num_features = 3,
	.num_outputs = 1,.missing = NAN};
	Forest		forest;
	void	   *image = open_source(&stump_source, &forest);
	void	   *plan;

	ok(!forest_set_kernel(&forest, FOREST_KERNEL_PLAIN) &&
	   !forest_set_kernel(&forest, FOREST_KERNEL_AVX2) &&
	   !forest_set_kernel(&forest, FOREST_KERNEL_AVX512), "without a plan there is only the walk");
	ok(strcmp(forest.kernel_name, "walk") == 0, "which is used");
	plan = make_plan(&forest, FOREST_KERNEL_AUTO);
	forest_use_plan(&forest, plan);
	ok(plan != NULL && strcmp(forest.kernel_name, "walk") != 0, "a plan is used");
	ok(forest_set_kernel(&forest, FOREST_KERNEL_WALK) &&
	   strcmp(forest.kernel_name, "walk") == 0, "the walk can be asked for all the same");
	ok(forest_set_kernel(&forest, FOREST_KERNEL_PLAIN) && forest.batch_kernel != NULL &&
	   strcmp(forest.kernel_name, "walk; ranks for batches") == 0,
	   "with ranks for batches, on any processor");
	free(plan);
	free(image);

	image = open_source(random_source(&spec), &forest);
	ok(forest_plan_room(&forest, FOREST_KERNEL_AUTO) == 0 && strcmp(forest.kernel_name, "linear") == 0,
	   "a linear forest has no plan");
	free(image);
	free_all();
}

/* What a made-up forest is scored by with the plan for a kernel; NULL: this kernel cannot. */
static const char *
kernel_of(const ModelSpec *spec, ForestKernel kernel)
{
	Forest		forest;
	void	   *image = open_source(random_source(spec), &forest);
	void	   *plan = image != NULL ? make_plan(&forest, kernel) : NULL;
	const char *name = NULL;

	if (image != NULL)
		forest_use_plan(&forest, plan);
	if (image != NULL && forest_set_kernel(&forest, kernel))
		name = forest.kernel_name;
	free(plan);
	free(image);
	free_all();
	return name;
}

/* Which forests keys are for, and which take them of themselves. */
static void
test_keys_choice(void)
{
	ModelSpec	wide = {.name = "wide",.kind = FOREST_TREES,.num_trees = 200,.num_splits = 63,
	.num_features = 3000,.num_outputs = 1,.missing = NAN,.max_depth = 6};
	ModelSpec	deep = wide;
	ModelSpec	stumps = wide;
	ModelSpec	categories = wide;
	ModelSpec	vectors = wide;
	ModelSpec	narrow = wide;
	const char *name = kernel_of(&wide, FOREST_KERNEL_AUTO);

	ok(name != NULL && strncmp(name, "keys; ranks", 11) == 0, "many slots: keys for one row, on any processor");
	deep.num_splits = 9;
	deep.chain = true;
	deep.max_depth = 0;
	stumps.max_depth = 1;
	categories.categorical = 10;
	categories.max_category = 5;
	categories.set_size = 2;
	vectors.vectors = true;
	ok(kernel_of(&deep, FOREST_KERNEL_KEYS) == NULL && kernel_of(&stumps, FOREST_KERNEL_KEYS) == NULL &&
	   kernel_of(&categories, FOREST_KERNEL_KEYS) == NULL &&
	   kernel_of(&vectors, FOREST_KERNEL_KEYS) == NULL,
	   "no keys: nine levels, one, categories, vector leaves");
	narrow.num_features = 20;
	name = kernel_of(&narrow, FOREST_KERNEL_KEYS);
	ok(name != NULL && strcmp(name, "keys") == 0, "keys can be asked for");
	name = kernel_of(&narrow, FOREST_KERNEL_AUTO);
	ok(name != NULL && (strncmp(name, "ranks", 5) == 0) ==
	   (forest_has_kernel(FOREST_KERNEL_AVX2) || forest_has_kernel(FOREST_KERNEL_AVX512)),
	   "few slots: ranks, where the processor has them for one row");
}

/* Has some kernel that there is scored less than the long mode wants? */
static bool
wants_more(void)
{
	bool		more = false;
	size_t		i;

	for (i = 0; i < NUM_KERNELS; i++)
		more = more || (rows_scored[i] > 0 && rows_scored[i] < LONG_ROWS);
	return more;
}

/* A kernel of ranks has scored blocks of rows of all shapes of plans. */
static void
check_blocks(size_t kernel)
{
	uint32_t	missed = 0;
	uint32_t	i;

	for (i = 0; i < 12; i++)
	{
		bool		wide = i / 6 == 1;
		bool		categories = i / 3 % 2 == 1;

		if (categories && i % 3 == PLAN_RECORDS)
			continue;			/* there is no such plan */
		missed += rows_in_blocks[kernel][wide][categories][i % 3] == 0;
	}
	if (!forest_has_kernel(kernels[kernel].kernel))
		printf("# no %s\n", kernels[kernel].name);
	else
		ok(missed == (kernels[kernel].kernel < FOREST_KERNEL_PLAIN ? 10 : 0),
		   "%s: %llu rows, in batches of all shapes but %u", kernels[kernel].name,
		   (unsigned long long) rows_scored[kernel], missed);
}

int
main(void)
{
	const char *mode = getenv("PG_RISK_LONG");
	size_t		i;

	test_choice();
	test_keys_choice();
	test_damage();
	test_wrong_walk();
	test_long_rows();
	do
	{
		test_depths();
		test_slots();
		test_thresholds();
		test_kinds();
		test_categories();
		test_wide_categories();
		test_vectors();
		test_negative_zero();
		test_all_specs();
		rows_wanted = 100;
	} while (mode != NULL && strcmp(mode, "1") == 0 && wants_more());
	for (i = 0; i < NUM_KERNELS; i++)
		check_blocks(i);
	return done_testing();
}
