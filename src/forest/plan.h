/*
 * plan.h
 *		The plan: a forest laid out once more, for kernels that decide all nodes
 *		of a tree at once, by ranks, and for that of keys.  Private to src/forest.
 *
 * A plan is made from a checked image, by the process that puts the image into
 * memory (plan.c), and never stored: image and certificate know nothing of it.
 * Like an image it holds no pointers.  It has what the kernels in use need: ranks, keys
 * (keys.c) or both.
 *
 * Ranks.  x < cut is decided by whole numbers of 8 bits, exactly.  With the
 * distinct cuts of a feature in order, rank(x) is how many of them are <= x, and
 * x < cut is rank(x) < number of the cut, counted from 1.  A feature of more
 * than 254 cuts is split into parts of 254, each with ranks of its own.  A
 * part is a slot of the plan: a row is first turned into one rank for each
 * slot.  Bytes are signed, ranks begin at PLAN_LEAST; PLAN_MISSING, above all
 * ranks, stands for a missing value.  So a node sends a row right when
 *		rank >= cut, and not (rank is PLAN_MISSING and missing goes left).
 *
 * Trees.  The upper six levels of a tree are 64 slots and 64 cuts (node 1 is
 * the root, the children of k are 2k and 2k + 1), so that one permutation and
 * one comparison decide all of them.  Shallow trees are filled up: below a leaf
 * all leaves have its value, and it does not matter what is decided there.
 * Forests of depth 7 and 8 have a record for each node of level 6: the three
 * nodes and four leaves below it.
 *
 * Deeper forests, those of depth 7 and 8 with categories, and vector leaves have
 * for each node of level 6 its number in the image instead, from where the walk
 * goes on (walk.c).
 *
 * Wide plans.  With more than 256 slots the upper bytes of their numbers stand in a
 * section of their own.  Only kernels for many rows, which move no ranks, can use them.
 *
 * Categories.  A group has for each categorical feature that its trees use a
 * table of words: what bit the nodes of 8 trees have when the row has this
 * category, one bit a node, in one cache line.  To the ranks such a node
 * never goes right.
 *
 * Trees are in groups of 8, all of one output.  An output's last group is
 * filled up with trees of -0, which change no sum; an output's trees keep
 * their order, so each margin is summed in tree order.  Where the walk goes on,
 * groups take the trees as they come.
 */
#ifndef PG_RISK_FOREST_PLAN_H
#define PG_RISK_FOREST_PLAN_H

#include "forest.h"

#define PLAN_ALIGNMENT	64		/* of a plan and its sections, bytes */
#define PLAN_GROUP		8		/* trees of a group */
#define PLAN_LEVELS		6		/* decided at once */
#define PLAN_NODES		64		/* of these levels, node 0 unused; as many leaves */
#define PLAN_RECORD_LEVELS	2	/* decided by a record */
#define PLAN_MAX_SLOTS	256		/* that a byte can number */
#define PLAN_MAX_WIDE	(1 << 14)	/* slots of a wide plan */
#define PLAN_FEW		64		/* twins that fit into one register */
#define PLAN_MAX_CATEGORICAL	256 /* features */
#define PLAN_MAX_CUTS	254		/* of a slot */
#define PLAN_BLOCK		16		/* cuts that are compared at once */
#define PLAN_LEAST		(-128)	/* rank of what is below all cuts */
#define PLAN_MISSING	127

/* What stands below the upper levels. */
typedef enum PlanLeaves
{
	PLAN_LEAVES,				/* float: the leaves */
	PLAN_RECORDS,				/* PlanRecord: two more levels */
	PLAN_STARTS					/* uint32_t: where to walk on, a node of the image */
} PlanLeaves;

typedef struct PlanTree
{
	uint8_t		slots[PLAN_NODES];
	int8_t		cuts[PLAN_NODES];
} PlanTree;

typedef struct PlanGroup
{
	uint64_t	missing_left[PLAN_GROUP];	/* a bit for each node */
	PlanTree	trees[PLAN_GROUP];
} PlanGroup;

/*
 * A categorical feature of a group.  A row's category k has the words of
 * place k + 1, a missing value those of place 0; `last`, the place of whatever is
 * in no set, has zeros.
 */
typedef struct PlanCategories
{
	uint32_t	feature;		/* number of it in category_features */
	uint32_t	last;
	uint64_t	words;			/* of place 0: uint64_t [last + 1][8], in bytes from the
								 * plan's start */
} PlanCategories;

/*
 * Below a node of level 6.  Its slots are numbers in PlanTwins, so that it need
 * not ask for missing values.
 */
typedef struct PlanRecord
{
	float		leaves[4];
	uint16_t	slots[3];		/* of the upper node, its left and its right child */
	int8_t		cuts[3];
	uint8_t		reserved[7];	/* 0 */
} PlanRecord;

/*
 * Every slot has a twin for each direction of missing values; to those nothing
 * has to be asked about what is missing.  Ranks of a row by twins: missing goes
 * left at once, right in the other half, which begins at plan_num_twins().
 */
typedef struct PlanTwins
{
	int8_t		ranks[2 * PLAN_MAX_SLOTS];	/* by slot, then by slot again */
} PlanTwins;

/*
 * The cuts of a slot are blocks of 16, filled up with NaN, one block more than
 * full ones.  Slots of one block are the first.  The others have a block of
 * pivots before them, the last cuts of all full blocks: two comparisons, with
 * the pivots and with the block that they tell, give the rank.
 */
typedef struct ForestPlan
{
	uint64_t	size;			/* bytes, header included */
	uint32_t	num_slots;
	uint32_t	num_short;		/* slots of one block, which is their number's */
	uint32_t	num_groups;		/* 0: there are no ranks */
	uint32_t	kind;			/* PlanLeaves */
	uint32_t	num_categorical;	/* features */
	uint32_t	num_few;		/* few twins; 0: the nodes use too many */
	uint64_t	few_left;		/* a bit for each of them: missing goes left */
	/* sections, in bytes from the plan's start */
	uint32_t	features;		/* uint32_t [num_slots]: place in the row */
	uint32_t	blocks;			/* uint32_t [num_slots]: first block */
	uint32_t	cuts;			/* float [..][PLAN_BLOCK] */
	uint32_t	few_slots;		/* uint8_t [PLAN_FEW]: the slot of each of few twins */
	uint32_t	outputs;		/* uint32_t [num_groups] */
	uint64_t	groups;			/* PlanGroup [num_groups] */
	uint64_t	leaves;			/* of the plan's kind: [num_groups * 8][64] */
	uint64_t	high_slots;		/* uint8_t [num_groups * 8][64], of a wide plan */
	uint64_t	category_features;	/* uint32_t [num_categorical]: place in the row */
	uint64_t	category_begins;	/* uint32_t [num_groups + 1]: first of a group */
	uint64_t	categories;		/* PlanCategories [] */
	uint64_t	few;			/* PlanTree [num_groups * 8]: with twins for slots, nodes at
								 * plan_few_place() */
	uint64_t	keys;			/* see keys.c; 0: there are none */
} ForestPlan;

/* Are there more slots than a byte can number? */
static inline bool
plan_is_wide(const ForestPlan *plan)
{
	return plan->num_slots > PLAN_MAX_SLOTS;
}

/* The number of a slot's second twin less that of its first. */
static inline uint32_t
plan_num_twins(const ForestPlan *plan)
{
	return plan_is_wide(plan) ? plan->num_slots : PLAN_MAX_SLOTS;
}

/*
 * Where a node stands in a tree of few twins.  If such trees have leaves and no
 * categories, nodes are in bytes, so that the way to a leaf can be found three levels at a
 * time: byte k has, from its lowest bit, node 8 + k and the six below it; the highest bits
 * are those of nodes 1 to 7.
 */
static inline bool
plan_few_in_bytes(const ForestPlan *plan)
{
	return plan->kind == PLAN_LEAVES && plan->num_categorical == 0;
}

static inline uint32_t
plan_few_place(const ForestPlan *plan, uint32_t node)
{
	uint32_t	first = node < 16 ? 1 : node < 32 ? 2 : 4;	/* of its level, in its byte */

	if (!plan_few_in_bytes(plan))
		return node;
	return node < 8 ? (8 * node + 63) % 64 : 8 * (node / first - 8) + first - 1 + node % first;
}

#define PLAN_UPPER_BITS		UINT64_C(0x0080808080808080)	/* those of nodes 1 to 7 */

/* Bytes of what stands below the upper levels, for each node of level 6. */
static inline size_t
plan_leaf_size(uint32_t kind)
{
	return kind == PLAN_RECORDS ? sizeof(PlanRecord) : sizeof(float);
}

/* A section of a plan. */
#define PLAN_SECTION(plan, type, section) \
	((const type *) ((const char *) (plan) + (plan)->section))

/* keys.c: bytes that the kernel of keys needs; 0: it is not for this forest. */
extern uint64_t keys_size(const Forest *forest);

/* Write them, into zeros. */
extern void keys_write(const Forest *forest, void *keys);

#endif							/* PG_RISK_FOREST_PLAN_H */
