/*
 * rank_row.h
 *		One row, by ranks (plan.h): what the kernels for all widths of vectors have in
 *		common.  Each includes it after it has defined
 *			TARGET			what the processor needs
 *			Ranks			those of a row, as they are looked up
 *			rank_row()		turn a row into ranks, a byte for each slot
 *			load_ranks()	the same as they are looked up
 *			decide_tops()	decide the tops of 8 trees: a byte for each
 *			decide_twigs()	the same for 8 twigs that are anywhere
 * Their `size`, slots that there is room for, is a constant.
 *
 * Trees are taken in groups of 8.  Their tops are decided at once; each byte of decisions
 * tells in a table one of 8 ways, and so the lower twig.  These 8 are put together and
 * decided at once; with a second table each tells its leaf, in the cache line
 * it came from.  So a tree costs one line and a quarter.
 *
 * The sum is a chain of float32 additions in tree order.  The processor does what is
 * independent of it ahead, if not too much waits: so the tops of a group are decided while
 * the group before is at its leaves.  That takes about as long as the chain: a shorter one
 * alone would gain little.
 *
 * Records are far apart: they are fetched some groups before they are needed.
 *
 * Categories are words that are or'ed to the decisions.  Where a tree goes on
 * below, what is found is not a leaf but the start of a walk.
 */

#define RING		8			/* groups whose records are fetched, a power of 2 */
#define RECORD_LAG	5			/* groups between finding records and adding their leaves */

/* ---- ways ---- */

/* The way out of a twig, by the decisions of its nodes, from the lowest bit; bit 7 says nothing. */
#define WAY(bits) \
	((bits) & 1 ? 4 + ((bits) & 4 ? 2 + ((bits) >> 6 & 1) : (bits) >> 5 & 1) : \
	 (bits) & 2 ? 2 + ((bits) >> 4 & 1) : (bits) >> 3 & 1)
#define WAYS_4(times, bits) times * (WAY(bits)), times * (WAY((bits) + 1)), \
	times * (WAY((bits) + 2)), times * (WAY((bits) + 3))
#define WAYS_16(times, bits) WAYS_4(times, bits), WAYS_4(times, (bits) + 4), \
	WAYS_4(times, (bits) + 8), WAYS_4(times, (bits) + 12)
#define WAYS_64(times, bits) WAYS_16(times, bits), WAYS_16(times, (bits) + 16), \
	WAYS_16(times, (bits) + 32), WAYS_16(times, (bits) + 48)
#define WAYS_256(times) {WAYS_64(times, 0), WAYS_64(times, 64), WAYS_64(times, 128), WAYS_64(times, 192)}

static const struct Ways
{
	uint16_t	branches[256];	/* in bytes */
	uint8_t		leaves[256];
}			ways = {WAYS_256(sizeof(PlanBranch)), WAYS_256(1)};

/* The lower twigs of 8 trees to which their decisions lead. */
static ALWAYS_INLINE void
find_twigs(const PlanTwig **twigs, const char *trees, uint64_t decisions, PlanLeaves kind)
{
	const size_t size = plan_twig_size(kind);
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
		twigs[i] = (const PlanTwig *)
			(trees + i * PLAN_TWIG * size + ways.branches[(uint8_t) (decisions >> 8 * i)] * size / sizeof(PlanBranch));
}

/* ---- categories ---- */

/* What a row's categories say of the trees of a group. */
TARGET static ALWAYS_INLINE void
find_words(const ForestPlan *plan, uint32_t group, const uint32_t *places, uint64_t *words)
{
	const uint32_t *begins = PLAN_SECTION(plan, uint32_t, category_begins);
	const PlanCategories *categories = PLAN_SECTION(plan, PlanCategories, categories);
	uint32_t	i;
	uint32_t	k;

	for (k = 0; k < PLAN_GROUP; k++)
		words[k] = 0;
	for (i = begins[group]; i < begins[group + 1]; i++)
	{
		const uint64_t *some = category_words(plan, &categories[i], places);

		for (k = 0; k < PLAN_GROUP; k++)
			words[k] |= some[k];
	}
}

/* The bits of their upper twigs: the highest of each byte of a word. */
TARGET static ALWAYS_INLINE uint64_t
upper_bits(const uint64_t *words)
{
	uint64_t	bits = 0;
	uint32_t	i;

	for (i = 0; i < PLAN_GROUP; i++)
		bits |= ((words[i] & UINT64_C(0x0080808080808080)) * UINT64_C(0x0002040810204080) >> 56) << 8 * i;
	return bits;
}

/* Those of the lower twigs that these decisions lead to. */
TARGET static ALWAYS_INLINE uint64_t
lower_bits(const uint64_t *words, uint64_t decisions)
{
	uint64_t	bits = 0;
	uint32_t	i;

	for (i = 0; i < PLAN_GROUP; i++)
		bits |= (words[i] >> 8 * ways.leaves[(uint8_t) (decisions >> 8 * i)] & 127) << 8 * i;
	return bits;
}

/* ---- the kernel ---- */

/* Ranks of a row by twins; see PlanTwins. */
TARGET static ALWAYS_INLINE void
make_twins(PlanTwins *twins, const int8_t *ranks, uint32_t size)
{
	uint32_t	i;

	for (i = 0; i < size; i++)
	{
		twins->ranks[i] = ranks[i] + 1;
		twins->ranks[PLAN_MAX_SLOTS + i] = ranks[i];
	}
}

/* Go on with the margin of another output; most forests have but one. */
static ALWAYS_INLINE void
switch_output(float *sum, float *margins, uint32_t *output, uint32_t next)
{
	if (next != *output)
	{
		margins[*output] = *sum;
		*output = next;
		*sum = margins[next];
	}
}

/* Add the leaves of 8 branches in tree order, by their decisions. */
static ALWAYS_INLINE float
add_leaves(float sum, const PlanTwig *const *twigs, uint64_t decisions)
{
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
	{
		sum += ((const PlanBranch *) twigs[i])->below.leaves[ways.leaves[(uint8_t) (decisions >> 8 * i)]];
		/* or the compiler begins with all 8, for which there are not enough registers */
		__asm__ volatile ("" : "+x" (sum));
	}
	return sum;
}

/* Note where the walk goes on in 8 trees. */
static ALWAYS_INLINE void
copy_starts(uint32_t *starts, const PlanTwig *const *twigs, uint64_t decisions)
{
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
		starts[i] = ((const PlanBranch *) twigs[i])->below.starts[ways.leaves[(uint8_t) (decisions >> 8 * i)]];
}

/* Note the records of 8 trees, and fetch them.  In both sections trees and ways stand in the same
 * order, so a twig tells where its records are. */
static ALWAYS_INLINE void
fetch_records(const ForestPlan *plan, const PlanRecord **found, const PlanTwig *const *twigs, uint64_t decisions)
{
	const char *first = PLAN_SECTION(plan, char, twigs);
	const char *records = PLAN_SECTION(plan, char, records);
	const size_t ratio = PLAN_TWIG * sizeof(PlanRecord) / sizeof(PlanTwig);
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
	{
		size_t		distance = (const char *) twigs[i] - first;
		size_t		way = ways.leaves[(uint8_t) (decisions >> 8 * i)];

		found[i] = (const PlanRecord *) (records + distance * ratio + way * sizeof(PlanRecord));
		__builtin_prefetch(found[i]);
	}
}

/* Add the leaves of 8 records. */
static ALWAYS_INLINE float
add_records(float sum, const PlanRecord *const *found, const PlanTwins *twins)
{
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
		sum += record_leaf(found[i], twins->ranks, 1);
	return sum;
}

TARGET static ALWAYS_INLINE void
add_trees(const Forest *forest, const float *row, void *scratch, float *margins, uint32_t size,
		  PlanLeaves kind, bool categorical)
{
	const ForestPlan *plan = forest->plan;
	const PlanTops *tops = PLAN_SECTION(plan, PlanTops, tops);
	const char *trees = PLAN_SECTION(plan, char, twigs);
	const uint32_t *outputs = PLAN_SECTION(plan, uint32_t, outputs);
	uint32_t	num_groups = plan->num_groups;
	uint32_t	lag = kind == PLAN_RECORDS ? RECORD_LAG : 0;
	uint32_t	output = outputs[0];
	float		sum = margins[output];
	int8_t		bytes[PLAN_MAX_SLOTS] __attribute__((aligned(64)));
	Ranks		ranks;
	PlanTwins	twins;
	const PlanRecord *found[RING][PLAN_GROUP];
	uint32_t	places[PLAN_MAX_CATEGORICAL];
	uint64_t	words[PLAN_GROUP];
	uint32_t   *starts = forest_starts(forest, scratch);
	uint64_t	next;
	uint32_t	step;

	rank_row(forest, row, bytes, size);
	load_ranks(&ranks, bytes, size);
	if (categorical)
		find_categories(forest, row, places);
	if (kind == PLAN_RECORDS)
		make_twins(&twins, bytes, size);
	next = decide_tops(&tops[0], &ranks, size);
	for (step = 0; step < num_groups + lag; step++)
	{
		uint64_t	upper = next;
		uint64_t	lower;
		const PlanTwig *twigs[PLAN_GROUP];

		if (kind == PLAN_RECORDS && step >= lag)
		{
			switch_output(&sum, margins, &output, outputs[step - lag]);
			sum = add_records(sum, found[(step - lag) % RING], &twins);
		}
		/* past the last group any bytes: twigs stand behind the tops, more than is read of them */
		next = decide_tops(&tops[step + 1], &ranks, size);
		if (step < num_groups)
		{
			if (categorical)
			{
				find_words(plan, step, places, words);
				upper |= upper_bits(words);
			}
			find_twigs(twigs, trees, upper, kind);
			trees += PLAN_GROUP * PLAN_TWIG * plan_twig_size(kind);
			lower = decide_twigs(twigs, &ranks, size);
			if (categorical)
				lower |= lower_bits(words, upper);
			if (kind == PLAN_LEAVES)
			{
				switch_output(&sum, margins, &output, outputs[step]);
				sum = add_leaves(sum, twigs, lower);
			}
			else if (kind == PLAN_STARTS)
				copy_starts(starts + (size_t) step * PLAN_GROUP, twigs, lower);
			else
				fetch_records(plan, found[step % RING], twigs, lower);
		}
	}
	margins[output] = sum;
	if (kind == PLAN_STARTS)
		walk_on(forest, row, scratch, margins);
}

#define DEFINE_KERNEL(name, size, kind, categorical) \
TARGET static void \
name##_##size(const Forest *forest, const float *row, void *scratch, float *margins) \
{ \
	add_trees(forest, row, scratch, margins, size, kind, categorical); \
}

/* All that there are with room for so many slots. */
#define DEFINE_KERNELS(size) \
	DEFINE_KERNEL(leaves, size, PLAN_LEAVES, false) \
	DEFINE_KERNEL(records, size, PLAN_RECORDS, false) \
	DEFINE_KERNEL(starts, size, PLAN_STARTS, false) \
	DEFINE_KERNEL(categorical_leaves, size, PLAN_LEAVES, true) \
	DEFINE_KERNEL(categorical_starts, size, PLAN_STARTS, true)

/* The one of them that a plan needs; there are no records with categories. */
#define CHOOSE_KERNEL(plan, size) \
	((plan)->kind == PLAN_RECORDS ? records_##size : \
	 (plan)->kind == PLAN_LEAVES ? ((plan)->num_categorical > 0 ? categorical_leaves_##size : leaves_##size) : \
	 (plan)->num_categorical > 0 ? categorical_starts_##size : starts_##size)
