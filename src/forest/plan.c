/*
 * plan.c
 *		From a checked forest image to its plan (plan.h).
 *
 * All memory is the caller's: the plan grows at the front of the block, the
 * working memory stands at its end.  First the cuts of each feature are
 * collected and sorted, which gives the slots; then each tree is written, level
 * by level, its cuts looked up.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "pure.h"

/* A plan may be so many times as large as its image, small ones excepted. */
#define MAX_GROWTH		4
#define SMALL_PLAN		(64 * 1024)

/* Leaves and record nodes of a whole tree: those of depth 8 at most. */
#define MAX_LEAVES		(PLAN_NODES << PLAN_RECORD_LEVELS)

#define IMAGE_SLOTS		(2 * PLAN_MAX_SLOTS + 1)

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
	PlanFeature features[PLAN_MAX_SLOTS];
	uint16_t	feature_of_slot[IMAGE_SLOTS];	/* by slot of the image */
	uint8_t		slot_of_part[PLAN_MAX_SLOTS];
	float	   *cuts;			/* working memory: [num_nodes] */
	uint32_t   *positions;		/* and [num_outputs]: where its next tree goes */
} Planner;

/* ---- sizes ---- */

static uint64_t
aligned(uint64_t size)
{
	return (size + PLAN_ALIGNMENT - 1) & ~(uint64_t) (PLAN_ALIGNMENT - 1);
}

static uint64_t
leaves_size(const Forest *forest)
{
	return forest->header->max_depth > PLAN_LEVELS ? sizeof(PlanRecord) : sizeof(float);
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
	return max_groups(forest->header) *
		(sizeof(PlanGroup) + PLAN_GROUP * PLAN_NODES * leaves_size(forest));
}

/*
 * Can this forest have a plan, as far as its header and slots tell?  Trees of
 * one or two levels, or an output each, are better walked than filled up.
 */
static bool
can_plan(const Forest *forest)
{
	const ForestHeader *header = forest->header;

	return header->kind == FOREST_TREES && header->num_leaf_vectors == 0 &&
		forest->first_categorical == header->num_slots &&
		header->num_slots <= IMAGE_SLOTS &&
		header->max_depth <= PLAN_LEVELS + PLAN_RECORD_LEVELS &&
		max_trees_size(forest) <= SMALL_PLAN + MAX_GROWTH * header->image_size;
}

/* At most so many bytes. */
static uint64_t
max_size(const Forest *forest)
{
	uint64_t	groups = max_groups(forest->header);
	uint64_t	blocks = forest->header->num_nodes / PLAN_BLOCK + 2 * PLAN_MAX_SLOTS;

	return aligned(sizeof(ForestPlan)) + 2 * aligned(PLAN_MAX_SLOTS * sizeof(uint32_t)) +
		blocks * PLAN_BLOCK * sizeof(float) + aligned(groups * sizeof(uint32_t)) + max_trees_size(forest);
}

size_t
forest_plan_room(const Forest *forest)
{
	const ForestHeader *header = forest->header;

	if (!kernel_wants_plan() || !can_plan(forest))
		return 0;
	return max_size(forest) + header->num_nodes * sizeof(float) +
		header->num_outputs * sizeof(uint32_t);
}

/* ---- cuts and slots ---- */

static int
compare_floats(const void *left, const void *right)
{
	float		a = *(const float *) left;
	float		b = *(const float *) right;

	return (a > b) - (a < b);
}

/* Number the features in use; slots of one feature are neighbours. */
static bool
find_features(Planner *planner)
{
	const ForestSlot *slots = planner->forest->slots;
	uint32_t	i;

	for (i = 1; i < planner->forest->header->num_slots; i++)
	{
		if (i == 1 || slots[i].feature != slots[i - 1].feature)
		{
			if (planner->num_features == PLAN_MAX_SLOTS)
				return false;
			planner->features[planner->num_features++].feature = slots[i].feature;
		}
		planner->feature_of_slot[i] = planner->num_features - 1;
	}
	return true;
}

/* The feature that a node of the image splits by; NULL: it is a leaf. */
static PlanFeature *
feature_of_node(Planner *planner, const ForestNode *node)
{
	uint32_t	mask = (UINT32_C(1) << planner->forest->header->slot_bits) - 1;

	if (node->step == 0)
		return NULL;
	return &planner->features[planner->feature_of_slot[node->step & mask]];
}

/* Collect the cuts of each feature, sort them, drop doubles. */
static void
collect_cuts(Planner *planner)
{
	const ForestNode *nodes = planner->forest->nodes;
	uint32_t	num_nodes = planner->forest->header->num_nodes;
	float	   *end = planner->cuts;
	uint32_t	i;
	uint32_t	k;

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
	{
		PlanFeature *feature = &planner->features[i];
		uint32_t	distinct = 0;

		qsort(feature->cuts, feature->num_cuts, sizeof(float), compare_floats);
		for (k = 0; k < feature->num_cuts; k++)
			if (distinct == 0 || feature->cuts[k] != feature->cuts[distinct - 1])
				feature->cuts[distinct++] = feature->cuts[k];
		feature->num_cuts = distinct;
	}
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

/* All slots, the short ones first.  False: more than a byte can number. */
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
		if (num_parts > PLAN_MAX_SLOTS)
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
	uint8_t		slot;
	int8_t		cut;
	bool		missing_left;
} Decision;

/* The same question as a node of the image asks, in ranks. */
static Decision
decision_of(Planner *planner, const ForestNode *node)
{
	const Forest *forest = planner->forest;
	const PlanFeature *feature = feature_of_node(planner, node);
	uint32_t	slot = node->step & ((UINT32_C(1) << forest->header->slot_bits) - 1);
	uint32_t	low = 0;
	uint32_t	high = feature->num_cuts;
	Decision	decision;

	while (high - low > 1)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (feature->cuts[middle] <= node->value.cut)
			low = middle;
		else
			high = middle;
	}
	decision.slot = planner->slot_of_part[feature->first_part + low / PLAN_MAX_CUTS];
	decision.cut = (int) (low % PLAN_MAX_CUTS) + 1 + PLAN_LEAST;
	decision.missing_left = (forest->slots[slot].flags & FOREST_SLOT_MISSING_LEFT) != 0;
	return decision;
}

/* Write the question of node `number` of a tree, in its upper levels or a record. */
static void
write_decision(PlanGroup *group, uint32_t tree, PlanRecord *records, uint32_t number,
			   Decision decision)
{
	uint32_t	above = number;
	uint32_t	within = 1;
	PlanRecord *record;

	if (number < PLAN_NODES)
	{
		group->trees[tree].slots[number] = decision.slot;
		group->trees[tree].cuts[number] = decision.cut;
		if (decision.missing_left)
			group->missing_left[tree] |= UINT64_C(1) << number;
		return;
	}
	while (above >= 2 * PLAN_NODES)
	{
		within = 2 * within + above % 2;
		above /= 2;
	}
	record = &records[above - PLAN_NODES];
	record->slots[within - 1] = decision.slot + (decision.missing_left ? 0 : PLAN_MAX_SLOTS);
	record->cuts[within - 1] = decision.cut;
}

/*
 * Write a tree of the image, level by level.  A leaf above the last level is
 * both of its own children.
 */
static void
write_tree(Planner *planner, const ForestTree *tree, uint32_t position)
{
	ForestPlan *plan = planner->plan;
	const ForestNode *nodes = planner->forest->nodes;
	PlanGroup  *group = (PlanGroup *) ((char *) plan + plan->groups) + position / PLAN_GROUP;
	float	   *leaves = (float *) ((char *) plan + plan->leaves);
	PlanRecord *records = (PlanRecord *) leaves + (size_t) position * PLAN_NODES;
	uint32_t	num_leaves = plan->has_records ? MAX_LEAVES : PLAN_NODES;
	uint32_t	at[2 * MAX_LEAVES];
	uint32_t	i;

	leaves += (size_t) position * PLAN_NODES;
	at[1] = tree->root;
	for (i = 1; i < num_leaves; i++)
	{
		const ForestNode *node = &nodes[at[i]];
		uint32_t	child = at[i] + (node->step >> planner->forest->header->slot_bits);

		at[2 * i] = child;
		at[2 * i + 1] = node->step == 0 ? child : child + 1;
		if (node->step != 0)
			write_decision(group, position % PLAN_GROUP, records, i,
						   decision_of(planner, node));
	}
	for (i = 0; i < num_leaves; i++)
	{
		float		value = nodes[at[num_leaves + i]].value.cut;

		if (plan->has_records)
			records[i / 4].leaves[i % 4] = value;
		else
			leaves[i] = value;
	}
}

/* Trees that an output's last group lacks add -0, which changes no sum. */
static void
fill_group(ForestPlan *plan, uint32_t position)
{
	char	   *leaves = (char *) plan + plan->leaves;
	uint32_t	i;

	for (; position % PLAN_GROUP != 0; position++)
		for (i = 0; i < PLAN_NODES; i++)
		{
			size_t		at = (size_t) position * PLAN_NODES + i;

			if (plan->has_records)
				for (int k = 0; k < 4; k++)
					((PlanRecord *) leaves)[at].leaves[k] = -0.0f;
			else
				((float *) leaves)[at] = -0.0f;
		}
}

/* Lay out the groups and tell where each output's trees begin. */
static void
make_groups(Planner *planner)
{
	const Forest *forest = planner->forest;
	ForestPlan *plan = planner->plan;
	uint32_t   *outputs = (uint32_t *) ((char *) plan + plan->outputs);
	uint32_t	i;
	uint32_t	k;

	for (i = 0; i < forest->header->num_trees; i++)
		planner->positions[forest->trees[i].output]++;
	for (i = 0; i < forest->header->num_outputs; i++)
	{
		uint32_t	groups = (planner->positions[i] + PLAN_GROUP - 1) / PLAN_GROUP;

		planner->positions[i] = plan->num_groups * PLAN_GROUP;
		for (k = 0; k < groups; k++)
			outputs[plan->num_groups++] = i;
	}
	plan->has_records = forest->header->max_depth > PLAN_LEVELS;
	plan->groups = plan->outputs + aligned((uint64_t) plan->num_groups * sizeof(uint32_t));
	plan->leaves = plan->groups + (uint64_t) plan->num_groups * sizeof(PlanGroup);
	plan->size = plan->leaves +
		(uint64_t) plan->num_groups * PLAN_GROUP * PLAN_NODES * leaves_size(forest);
}

/* All trees, each where its output's next one goes. */
static void
write_trees(Planner *planner)
{
	const ForestHeader *header = planner->forest->header;
	const ForestTree *trees = planner->forest->trees;
	uint32_t	i;

	for (i = 0; i < header->num_trees; i++)
		write_tree(planner, &trees[i], planner->positions[trees[i].output]++);
	for (i = 0; i < header->num_outputs; i++)
		fill_group(planner->plan, planner->positions[i]);
}

size_t
forest_plan_build(const Forest *forest, void *memory)
{
	const ForestHeader *header = forest->header;
	Planner		planner;

	if (forest_plan_room(forest) == 0)
		return 0;
	memset(memory, 0, forest_plan_room(forest));
	memset(&planner, 0, sizeof(planner));
	planner.forest = forest;
	planner.plan = memory;
	planner.cuts = (float *) ((char *) memory + max_size(forest));
	planner.positions = (uint32_t *) (planner.cuts + header->num_nodes);
	if (!find_features(&planner) || !make_slots(&planner))
		return 0;
	make_groups(&planner);
	write_trees(&planner);
	planner.plan->size = aligned(planner.plan->size);
	return planner.plan->size;
}
