/*
 * plan.c
 *		From a checked forest image to its plan (plan.h).
 *
 * All memory is the caller's: the plan grows at the front of the block, the
 * working memory stands at its end.  First the cuts of each feature are
 * collected and sorted, which gives the slots; then each tree is written, level
 * by level, its cuts looked up; then what its categories say.
 */
#include <math.h>
#include <string.h>

#include "kernel.h"
#include "layout.h"
#include "numbers.h"
#include "pure.h"

/* Ranks or keys may be so many times as large as the image, small ones excepted. */
#define MAX_GROWTH		4
#define SMALL_PLAN		(64 * 1024)

/* Leaves and record nodes of a whole tree: those of depth 8 at most. */
#define MAX_LEAVES		(PLAN_NODES << PLAN_RECORD_LEVELS)

#define NO_TREE		UINT32_MAX

/* A feature in use: its distinct cuts, ascending, and where its parts begin. */
typedef struct PlanFeature
{
	uint32_t	feature;
	uint32_t	num_cuts;
	float	   *cuts;
	uint16_t	first_part;
} PlanFeature;

typedef struct Planner
{
	const Forest *forest;
	ForestPlan *plan;
	uint32_t	num_features;	/* in use */
	uint32_t	categorical[PLAN_MAX_CATEGORICAL];	/* place in the row */
	uint64_t	room;			/* bytes that the plan may take */
	/* working memory */
	PlanFeature *features;		/* [num_slots of the image] */
	uint16_t   *feature_of_slot;	/* likewise */
	uint16_t   *slot_of_part;	/* [max_parts()] */
	float	   *cuts;			/* [num_nodes] */
	uint32_t   *positions;		/* [num_outputs]: where its next tree goes */
	uint32_t   *order;			/* [num_groups * 8]: the tree at a position, or NO_TREE */
} Planner;

/* ---- sizes ---- */

static uint64_t
aligned(uint64_t size)
{
	return (size + PLAN_ALIGNMENT - 1) & ~(uint64_t) (PLAN_ALIGNMENT - 1);
}

/* What stands below the upper levels of this forest. */
static PlanLeaves
kind_of(const Forest *forest)
{
	const ForestHeader *header = forest->header;

	if (header->num_leaf_vectors > 0)
		return PLAN_STARTS;
	if (header->max_depth <= PLAN_LEVELS)
		return PLAN_LEAVES;
	if (header->max_depth <= PLAN_LEVELS + PLAN_RECORD_LEVELS &&
		forest->first_categorical == header->num_slots)
		return PLAN_RECORDS;
	return PLAN_STARTS;
}

/* At most so many groups: only an output's last one is not full. */
static uint64_t
max_groups(const ForestHeader *header)
{
	uint32_t	outputs = header->num_outputs < header->num_trees ?
		header->num_outputs : header->num_trees;

	return (header->num_trees + (uint64_t) outputs * (PLAN_GROUP - 1)) / PLAN_GROUP;
}

/* At most so many bytes of trees. */
static uint64_t
max_trees_size(const Forest *forest)
{
	PlanLeaves	kind = kind_of(forest);
	size_t		records = kind == PLAN_RECORDS ? PLAN_NODES * sizeof(PlanRecord) : 0;

	return max_groups(forest->header) *
		(sizeof(PlanTops) + PLAN_GROUP * (PLAN_TWIG * plan_twig_size(kind) + records));
}

/* At most so many parts of features, which become slots. */
static uint64_t
max_parts(const Forest *forest)
{
	uint64_t	parts = forest->header->num_slots +
		(uint64_t) forest->header->num_nodes / PLAN_MAX_CUTS;

	return parts < PLAN_MAX_WIDE ? parts : PLAN_MAX_WIDE;
}

/*
 * Can this forest have ranks, as far as its header and slots tell?  Trees of
 * one or two levels, or an output each, are better walked than filled up.
 */
static bool
can_rank(const Forest *forest)
{
	const ForestHeader *header = forest->header;

	return header->kind == FOREST_TREES && header->num_slots <= 2 * PLAN_MAX_WIDE + 1 &&
		max_trees_size(forest) <= SMALL_PLAN + MAX_GROWTH * header->image_size;
}

/* At most so many bytes of categories; a forest that wants more is walked. */
static uint64_t
max_categories_size(const Forest *forest)
{
	if (forest->first_categorical == forest->header->num_slots)
		return 0;
	return SMALL_PLAN + MAX_GROWTH * forest->header->image_size;
}

/* At most so many bytes without keys. */
static uint64_t
max_size(const Forest *forest)
{
	uint64_t	groups = max_groups(forest->header);
	uint64_t	parts = max_parts(forest);
	uint64_t	blocks = forest->header->num_nodes / PLAN_BLOCK + 2 * parts;

	return aligned(sizeof(ForestPlan)) + 2 * aligned(parts * sizeof(uint32_t)) +
		blocks * PLAN_BLOCK * sizeof(float) + aligned(groups * sizeof(uint32_t)) + max_trees_size(forest) +
		groups * PLAN_GROUP * PLAN_PLACES + max_categories_size(forest);
}

/* What ranks take with the memory to make them; 0: they cannot be, or are not asked for. */
static uint64_t
ranks_room(const Forest *forest, ForestKernel kernel)
{
	const ForestHeader *header = forest->header;

	if (kernel == FOREST_KERNEL_KEYS || !can_rank(forest))
		return 0;
	return max_size(forest) + header->num_slots * (sizeof(PlanFeature) + sizeof(uint16_t)) +
		max_parts(forest) * sizeof(uint16_t) + header->num_nodes * sizeof(float) +
		(header->num_outputs + max_groups(header) * PLAN_GROUP) * sizeof(uint32_t);
}

/* What keys take; 0: the forest cannot have any. */
static uint64_t
keys_room(const Forest *forest)
{
	uint64_t	size = aligned(keys_size(forest));

	return size <= SMALL_PLAN + MAX_GROWTH * forest->header->image_size ? size : 0;
}

size_t
forest_plan_room(const Forest *forest, ForestKernel kernel)
{
	uint64_t	ranks = ranks_room(forest, kernel);
	uint64_t	keys = keys_room(forest);

	return ranks + keys > 0 ? aligned(sizeof(ForestPlan)) + ranks + keys : 0;
}

/* ---- cuts and slots ---- */

/* Number the features in use; slots of one feature are neighbours. */
static bool
find_features(Planner *planner)
{
	const ForestSlot *slots = planner->forest->slots;
	uint32_t	first_categorical = planner->forest->first_categorical;
	uint32_t	num_categorical = 0;
	uint32_t	i;

	for (i = 1; i < first_categorical; i++)
	{
		if (i == 1 || slots[i].feature != slots[i - 1].feature)
			planner->features[planner->num_features++].feature = slots[i].feature;
		planner->feature_of_slot[i] = planner->num_features - 1;
	}
	for (; i < planner->forest->header->num_slots; i++)
	{
		if (i == first_categorical || slots[i].feature != slots[i - 1].feature)
		{
			if (num_categorical == PLAN_MAX_CATEGORICAL)
				return false;
			planner->categorical[num_categorical++] = slots[i].feature;
		}
		planner->feature_of_slot[i] = num_categorical - 1;
	}
	planner->plan->num_categorical = num_categorical;
	return true;
}

/* Does a node split by categories? */
static bool
is_categorical(const Forest *forest, const ForestNode *node)
{
	return node->step != 0 && forest_slot_of_node(forest, node) >= forest->first_categorical;
}

/* The feature that a node of the image compares; NULL: it is a leaf or categorical. */
static PlanFeature *
feature_of_node(Planner *planner, const ForestNode *node)
{
	if (node->step == 0 || is_categorical(planner->forest, node))
		return NULL;
	return &planner->features[planner->feature_of_slot[forest_slot_of_node(planner->forest, node)]];
}

/* Collect the cuts of each feature, sort them, drop doubles. */
static void
collect_cuts(Planner *planner)
{
	const ForestNode *nodes = planner->forest->nodes;
	uint32_t	num_nodes = planner->forest->header->num_nodes;
	float	   *end = planner->cuts;
	uint32_t	i;

	for (i = 0; i < num_nodes; i++)
	{
		PlanFeature *feature = feature_of_node(planner, &nodes[i]);

		if (feature != NULL)
			feature->num_cuts++;
	}
	for (i = 0; i < planner->num_features; i++)
	{
		planner->features[i].cuts = end;
		end += planner->features[i].num_cuts;
		planner->features[i].num_cuts = 0;
	}
	for (i = 0; i < num_nodes; i++)
	{
		PlanFeature *feature = feature_of_node(planner, &nodes[i]);

		if (feature != NULL)
			feature->cuts[feature->num_cuts++] = nodes[i].value.cut + 0.0f; /* no -0 */
	}
	for (i = 0; i < planner->num_features; i++)
		planner->features[i].num_cuts = sort_distinct(planner->features[i].cuts, planner->features[i].num_cuts);
}

/* Length of a feature's part; 0 past the last. */
static uint32_t
part_length(const PlanFeature *feature, uint32_t part)
{
	uint32_t	before = part * PLAN_MAX_CUTS;
	uint32_t	rest = feature->num_cuts > before ? feature->num_cuts - before : 0;

	return rest < PLAN_MAX_CUTS ? rest : PLAN_MAX_CUTS;
}

/* Write the cuts of a slot; returns the number of blocks. */
static uint32_t
write_cuts(float *blocks, const float *cuts, uint32_t num_cuts)
{
	uint32_t	num_full = num_cuts / PLAN_BLOCK;
	uint32_t	num_pivots = num_full > 0 ? PLAN_BLOCK : 0;	/* room for them */
	uint32_t	num_values = num_pivots + (num_full + 1) * PLAN_BLOCK;
	uint32_t	i;

	for (i = 0; i < num_values; i++)
		blocks[i] = NAN;
	for (i = 0; i < num_full; i++)
		blocks[i] = cuts[(i + 1) * PLAN_BLOCK - 1];
	memcpy(blocks + num_pivots, cuts, num_cuts * sizeof(float));
	return num_values / PLAN_BLOCK;
}

/* Give the parts of one length class their slots, and write them. */
static void
write_slots(Planner *planner, bool short_ones, uint32_t *num_blocks)
{
	ForestPlan *plan = planner->plan;
	uint32_t   *features = (uint32_t *) ((char *) plan + plan->features);
	uint32_t   *blocks = (uint32_t *) ((char *) plan + plan->blocks);
	float	   *cuts = (float *) ((char *) plan + plan->cuts);
	uint32_t	i;
	uint32_t	part;
	uint32_t	length;

	for (i = 0; i < planner->num_features; i++)
	{
		PlanFeature *feature = &planner->features[i];

		for (part = 0; (length = part_length(feature, part)) > 0; part++)
		{
			if ((length < PLAN_BLOCK) != short_ones)
				continue;
			planner->slot_of_part[feature->first_part + part] = plan->num_slots;
			features[plan->num_slots] = feature->feature;
			blocks[plan->num_slots] = *num_blocks;
			*num_blocks += write_cuts(cuts + (size_t) *num_blocks * PLAN_BLOCK,
									  feature->cuts + part * PLAN_MAX_CUTS, length);
			plan->num_slots++;
		}
	}
}

/* All slots, the short ones first.  False: too many. */
static bool
make_slots(Planner *planner)
{
	ForestPlan *plan = planner->plan;
	uint32_t	num_parts = 0;
	uint32_t	num_blocks = 0;
	uint32_t	i;

	collect_cuts(planner);
	for (i = 0; i < planner->num_features; i++)
	{
		PlanFeature *feature = &planner->features[i];

		feature->first_part = num_parts;
		num_parts += (feature->num_cuts + PLAN_MAX_CUTS - 1) / PLAN_MAX_CUTS;
		if (num_parts > PLAN_MAX_WIDE)
			return false;
	}
	plan->features = aligned(sizeof(ForestPlan));
	plan->blocks = plan->features + aligned(num_parts * sizeof(uint32_t));
	plan->cuts = plan->blocks + aligned(num_parts * sizeof(uint32_t));
	write_slots(planner, true, &num_blocks);
	plan->num_short = plan->num_slots;
	write_slots(planner, false, &num_blocks);
	plan->outputs = plan->cuts + num_blocks * PLAN_BLOCK * sizeof(float);
	return true;
}

/* ---- trees ---- */

/* What a node of the plan asks. */
typedef struct Decision
{
	uint16_t	slot;
	int8_t		cut;
	bool		missing_left;
} Decision;

/* The same question as an inner node of the image asks, in ranks. */
static Decision
decision_of(Planner *planner, const ForestNode *node)
{
	const Forest *forest = planner->forest;
	const PlanFeature *feature = feature_of_node(planner, node);
	uint32_t	slot = forest_slot_of_node(forest, node);
	uint32_t	low = 0;
	uint32_t	high;
	Decision	decision = {0, PLAN_MISSING, true};	/* never right */

	if (feature == NULL)
		return decision;
	high = feature->num_cuts;
	while (high - low > 1)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (feature->cuts[middle] <= node->value.cut)
			low = middle;
		else
			high = middle;
	}
	decision.slot = planner->slot_of_part[feature->first_part + low / PLAN_MAX_CUTS];
	decision.missing_left = (forest->slots[slot].flags & FOREST_SLOT_MISSING_LEFT) != 0;
	decision.cut = (int) (low % PLAN_MAX_CUTS) + 1 + PLAN_LEAST + decision.missing_left;
	return decision;
}

/* A lower twig of a tree. */
static PlanTwig *
lower_twig(ForestPlan *plan, uint32_t position, uint32_t twig)
{
	return (PlanTwig *) ((char *) plan + plan->twigs +
						 ((size_t) position * PLAN_TWIG + twig) * plan_twig_size(plan->kind));
}

/* Write the question of node `number` of a tree into its twig. */
static void
write_decision(ForestPlan *plan, uint32_t position, uint32_t number, Decision decision)
{
	uint32_t	place = plan_place(number);
	PlanTops   *tops = (PlanTops *) ((char *) plan + plan->tops) + position / PLAN_GROUP;
	PlanTwig   *twig = lower_twig(plan, position, place / PLAN_TWIG);
	uint8_t    *slots = number < PLAN_TWIG ? tops->slots[position % PLAN_GROUP] : twig->slots;
	int8_t	   *cuts = number < PLAN_TWIG ? tops->cuts[position % PLAN_GROUP] : twig->cuts;

	slots[place % PLAN_TWIG] = (uint8_t) decision.slot;
	cuts[place % PLAN_TWIG] = decision.cut;
	if (decision.missing_left)
		cuts[PLAN_TWIG - 1] |= 1 << place % PLAN_TWIG;
	if (plan_is_wide(plan))
		((uint8_t *) plan + plan->high_slots)[(size_t) position * PLAN_PLACES + place] = decision.slot >> 8;
}

/* The same into the record that has this node. */
static void
write_record(ForestPlan *plan, uint32_t position, uint32_t number, Decision decision)
{
	PlanRecord *records = (PlanRecord *) ((char *) plan + plan->records) + (size_t) position * PLAN_NODES;
	uint32_t	above = number < 2 * PLAN_NODES ? number : number / 2;
	uint32_t	within = number < 2 * PLAN_NODES ? 0 : 1 + number % 2;

	records[above - PLAN_NODES].slots[within] =
		decision.slot + (decision.missing_left ? 0 : plan_num_twins(plan));
	records[above - PLAN_NODES].cuts[within] = decision.cut;
}

/* Write a leaf, or where to walk on; kinds other than records have as many as nodes. */
static void
write_leaf(ForestPlan *plan, uint32_t position, uint32_t number, float leaf, uint32_t start)
{
	PlanRecord *records = (PlanRecord *) ((char *) plan + plan->records) + (size_t) position * PLAN_NODES;
	PlanBranch *branch = (PlanBranch *) lower_twig(plan, position, number / PLAN_TWIG);

	if (plan->kind == PLAN_RECORDS)
		records[number / 4].leaves[number % 4] = leaf;
	else if (plan->kind == PLAN_LEAVES)
		branch->below.leaves[number % PLAN_TWIG] = leaf;
	else
		branch->below.starts[number % PLAN_TWIG] = start;
}

/* So many has a tree. */
static uint32_t
num_leaves_of(const ForestPlan *plan)
{
	return plan->kind == PLAN_RECORDS ? MAX_LEAVES : PLAN_NODES;
}

/*
 * The nodes of a tree by their numbers, at[1] to at[2 * num_leaves - 1].  A leaf
 * above the last level is both of its own children.
 */
static void
spread_tree(const Forest *forest, const ForestTree *tree, uint32_t num_leaves, uint32_t *at)
{
	uint32_t	i;

	at[1] = tree->root;
	for (i = 1; i < num_leaves; i++)
	{
		uint32_t	step = forest->nodes[at[i]].step;
		uint32_t	child = at[i] + (step >> forest->header->slot_bits);

		at[2 * i] = child;
		at[2 * i + 1] = step == 0 ? child : child + 1;
	}
}

/* Write a tree of the image. */
static void
write_tree(Planner *planner, const ForestTree *tree, uint32_t position)
{
	ForestPlan *plan = planner->plan;
	const ForestNode *nodes = planner->forest->nodes;
	uint32_t	num_leaves = num_leaves_of(plan);
	uint32_t	at[2 * MAX_LEAVES];
	uint32_t	i;

	spread_tree(planner->forest, tree, num_leaves, at);
	for (i = 1; i < num_leaves; i++)
	{
		if (nodes[at[i]].step == 0)
			continue;
		if (i < PLAN_NODES)
			write_decision(plan, position, i, decision_of(planner, &nodes[at[i]]));
		else
			write_record(plan, position, i, decision_of(planner, &nodes[at[i]]));
	}
	for (i = 0; i < num_leaves; i++)
		write_leaf(plan, position, i, nodes[at[num_leaves + i]].value.cut, at[num_leaves + i]);
}

/* Trees that an output's last group lacks add -0, which changes no sum. */
static void
fill_group(ForestPlan *plan, uint32_t position)
{
	uint32_t	i;

	for (; position % PLAN_GROUP != 0; position++)
		for (i = 0; i < num_leaves_of(plan); i++)
			write_leaf(plan, position, i, -0.0f, 0);
}

/* The margin that a tree's group adds to. */
static uint32_t
output_of(const Planner *planner, const ForestTree *tree)
{
	return planner->plan->kind == PLAN_STARTS ? 0 : tree->output;
}

/* Lay out the groups and put the trees in order: each output's one after the other. */
static void
make_groups(Planner *planner)
{
	const Forest *forest = planner->forest;
	ForestPlan *plan = planner->plan;
	uint32_t   *outputs = (uint32_t *) ((char *) plan + plan->outputs);
	uint64_t	num_trees;
	uint32_t	i;
	uint32_t	k;

	plan->kind = kind_of(forest);
	for (i = 0; i < forest->header->num_trees; i++)
		planner->positions[output_of(planner, &forest->trees[i])]++;
	for (i = 0; i < forest->header->num_outputs; i++)
	{
		uint32_t	groups = (planner->positions[i] + PLAN_GROUP - 1) / PLAN_GROUP;

		planner->positions[i] = plan->num_groups * PLAN_GROUP;
		for (k = 0; k < groups; k++)
			outputs[plan->num_groups++] = i;
	}
	for (i = 0; i < plan->num_groups * PLAN_GROUP; i++)
		planner->order[i] = NO_TREE;
	for (i = 0; i < forest->header->num_trees; i++)
		planner->order[planner->positions[output_of(planner, &forest->trees[i])]++] = i;
	num_trees = (uint64_t) plan->num_groups * PLAN_GROUP;
	plan->tops = plan->outputs + aligned((uint64_t) plan->num_groups * sizeof(uint32_t));
	plan->twigs = plan->tops + plan->num_groups * sizeof(PlanTops);
	plan->records = plan->twigs + num_trees * PLAN_TWIG * plan_twig_size(plan->kind);
	plan->high_slots = plan->records;
	if (plan->kind == PLAN_RECORDS)
		plan->high_slots += num_trees * PLAN_NODES * sizeof(PlanRecord);
	plan->size = plan->high_slots;
	if (plan_is_wide(plan))
		plan->size += num_trees * PLAN_PLACES;
}

/* All trees, each at its position. */
static void
write_trees(Planner *planner)
{
	const Forest *forest = planner->forest;
	uint32_t	i;

	for (i = 0; i < planner->plan->num_groups * PLAN_GROUP; i++)
		if (planner->order[i] != NO_TREE)
			write_tree(planner, &forest->trees[planner->order[i]], i);
	for (i = 0; i < forest->header->num_outputs; i++)
		fill_group(planner->plan, planner->positions[i]);
}

/* ---- categories ---- */

/* The place of a value that is in no set of this feature in a group; 0: none is asked. */
static uint32_t
last_place(const Planner *planner, const uint32_t (*at)[2 * PLAN_NODES], uint32_t feature)
{
	const Forest *forest = planner->forest;
	uint32_t	last = 0;
	uint32_t	i;

	for (i = 0; i < PLAN_GROUP * PLAN_NODES; i++)
	{
		const ForestNode *node = &forest->nodes[at[i / PLAN_NODES][i % PLAN_NODES]];

		if (i % PLAN_NODES > 0 && is_categorical(forest, node) &&
			planner->feature_of_slot[forest_slot_of_node(forest, node)] == feature &&
			last < forest->category_sets[node->value.set])
			last = forest->category_sets[node->value.set];
	}
	return last;
}

/* Set a node's bit in the words of all places at which it goes right. */
static void
write_set(const Forest *forest, const ForestNode *node, uint64_t *words, uint64_t bit)
{
	const uint32_t *set = forest->category_sets + node->value.set;
	uint32_t	place;

	if ((forest->slots[forest_slot_of_node(forest, node)].flags & FOREST_SLOT_MISSING_LEFT) == 0)
		words[0] |= bit;
	for (place = 1; place < set[0]; place++)
		if (forest_in_set(set, place))
			words[place * PLAN_GROUP] |= bit;
}

/* The nodes of a group's trees; where a tree lacks, some leaf. */
static void
spread_group(const Planner *planner, uint32_t group, uint32_t (*at)[2 * PLAN_NODES])
{
	const Forest *forest = planner->forest;
	uint32_t	i;
	uint32_t	k;

	for (i = 0; i < PLAN_GROUP; i++)
	{
		uint32_t	tree = planner->order[group * PLAN_GROUP + i];

		if (tree != NO_TREE)
			spread_tree(forest, &forest->trees[tree], PLAN_NODES, at[i]);
		else
			for (k = 1; k < 2 * PLAN_NODES; k++)
				at[i][k] = forest->header->num_nodes - 1;
	}
}

/* Write a group's words of one feature.  False: there is no room. */
static bool
write_words(Planner *planner, const uint32_t (*at)[2 * PLAN_NODES], PlanCategories *categories)
{
	const Forest *forest = planner->forest;
	ForestPlan *plan = planner->plan;
	uint64_t	size = (categories->last + UINT64_C(1)) * PLAN_GROUP * sizeof(uint64_t);
	uint64_t   *words = (uint64_t *) ((char *) plan + plan->size);
	uint32_t	tree;
	uint32_t	i;

	if (size > planner->room - plan->size)
		return false;
	categories->words = plan->size;
	plan->size += size;
	for (tree = 0; tree < PLAN_GROUP; tree++)
		for (i = 1; i < PLAN_NODES; i++)
		{
			const ForestNode *node = &forest->nodes[at[tree][i]];

			if (is_categorical(forest, node) &&
				planner->feature_of_slot[forest_slot_of_node(forest, node)] == categories->feature)
				write_set(forest, node, words + tree,
						  UINT64_C(1) << plan_bit_of_place(plan_place(i)));
		}
	return true;
}

/* What all groups' trees say of categories.  False: more than there is room for. */
static bool
write_categories(Planner *planner)
{
	ForestPlan *plan = planner->plan;
	uint32_t	at[PLAN_GROUP][2 * PLAN_NODES] = {{0}};
	uint32_t   *begins;
	PlanCategories *categories;
	uint32_t	count = 0;
	uint32_t	group;
	uint32_t	i;

	if (plan->num_categorical == 0)
		return true;
	plan->category_features = aligned(plan->size);
	plan->category_begins = plan->category_features + plan->num_categorical * sizeof(uint32_t);
	plan->categories = aligned(plan->category_begins +
							   (plan->num_groups + UINT64_C(1)) * sizeof(uint32_t));
	plan->size = aligned(plan->categories +
						 (uint64_t) plan->num_groups * plan->num_categorical * sizeof(PlanCategories));
	if (plan->size > planner->room)
		return false;
	memcpy((char *) plan + plan->category_features, planner->categorical,
		   plan->num_categorical * sizeof(uint32_t));
	begins = (uint32_t *) ((char *) plan + plan->category_begins);
	categories = (PlanCategories *) ((char *) plan + plan->categories);
	for (group = 0; group < plan->num_groups; group++)
	{
		spread_group(planner, group, at);
		begins[group] = count;
		for (i = 0; i < plan->num_categorical; i++)
		{
			uint32_t	last = last_place(planner, (const uint32_t (*)[2 * PLAN_NODES]) at, i);

			if (last == 0)
				continue;
			categories[count].feature = i;
			categories[count].last = last;
			if (!write_words(planner, (const uint32_t (*)[2 * PLAN_NODES]) at, &categories[count++]))
				return false;
		}
	}
	begins[group] = count;
	return true;
}

/* ---- plans ---- */

/* Make ranks in memory that is zero.  False: the forest cannot have them. */
static bool
make_ranks(const Forest *forest, ForestPlan *plan)
{
	const ForestHeader *header = forest->header;
	Planner		planner;

	memset(&planner, 0, sizeof(planner));
	planner.forest = forest;
	planner.plan = plan;
	planner.features = (PlanFeature *) ((char *) plan + max_size(forest));
	planner.cuts = (float *) (planner.features + header->num_slots);
	planner.positions = (uint32_t *) (planner.cuts + header->num_nodes);
	planner.order = planner.positions + header->num_outputs;
	planner.feature_of_slot = (uint16_t *) (planner.order + max_groups(header) * PLAN_GROUP);
	planner.slot_of_part = planner.feature_of_slot + header->num_slots;
	planner.room = max_size(forest);
	if (!find_features(&planner) || !make_slots(&planner))
		return false;
	make_groups(&planner);
	write_trees(&planner);
	if (!write_categories(&planner))
		return false;
	plan->size = aligned(plan->size);
	return true;
}

/* Would rows be walked with this plan, if this kernel is asked for? */
static bool
walks_rows(const Forest *forest, const ForestPlan *plan, ForestKernel kernel)
{
	Forest		trial = *forest;
	const char *name;

	trial.plan = plan;
	return !forest_set_kernel(&trial, kernel) || trial.kernel == walk_kernel(forest, &name);
}

size_t
forest_plan_build(const Forest *forest, ForestKernel kernel, void *memory)
{
	ForestPlan *plan = memory;
	uint64_t	keys = keys_room(forest);

	if (forest_plan_room(forest, kernel) == 0)
		return 0;
	memset(memory, 0, forest_plan_room(forest, kernel));
	if (ranks_room(forest, kernel) == 0 || !make_ranks(forest, plan))
	{
		memset(plan, 0, sizeof(ForestPlan));
		plan->size = aligned(sizeof(ForestPlan));
	}
	if (keys > 0 && walks_rows(forest, plan, kernel))
	{
		plan->keys = plan->size;
		plan->size += keys;
		memset((char *) plan + plan->keys, 0, keys);
		keys_write(forest, (char *) plan + plan->keys);
	}
	return plan->num_groups > 0 || plan->keys > 0 ? plan->size : 0;
}
