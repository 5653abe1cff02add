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
 * than 253 cuts is split into parts of 253, each with ranks of its own.  A
 * part is a slot of the plan: a row is first turned into one rank for each
 * slot.  Bytes are signed, ranks begin at PLAN_LEAST; PLAN_MISSING, above all
 * ranks, stands for a missing value.
 *
 * Twigs.  A twig is three levels of a tree: seven nodes, from its root downwards and from
 * left to right, and eight ways out.  The upper six levels of a tree are nine
 * twigs, one at the top and one for each of its ways; a row asks but two of them.  Seven slots
 * and seven cuts are 16 bytes with a place that is left, so that one permutation and one
 * comparison decide the twigs of many trees.  Tops of 8 trees stand together; what is
 * below, a twig and its leaves, is one cache line.  Shallow trees are filled up: below a leaf
 * all leaves have its value, and it does not matter what is decided there.
 *
 * Where a missing value goes left, rank and cut are one higher, in 8 bits: so the
 * highest rank becomes the lowest, and no node has to ask what is missing.  The
 * place that is left has a bit for each such node of its twig.
 *
 * Forests of depth 7 and 8 have twigs without leaves, and a record for each way out: the
 * three nodes and four leaves below it.
 *
 * Deeper forests, those of depth 7 and 8 with categories, and vector leaves have
 * instead of leaves numbers of nodes in the image, from where the walk goes on (walk.c).
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
#define PLAN_TWIG_LEVELS	3
#define PLAN_LEVELS		6		/* of two twigs */
#define PLAN_NODES		64		/* of these levels, node 0 unused; as many leaves */
#define PLAN_TWIG		8		/* places of a twig, its ways out, and twigs below the top */
#define PLAN_PLACES		(PLAN_NODES + PLAN_TWIG)	/* of all twigs of a tree */
#define PLAN_RECORD_LEVELS	2	/* decided by a record */
#define PLAN_MAX_SLOTS	256		/* that a byte can number */
#define PLAN_MAX_WIDE	(1 << 14)	/* slots of a wide plan */
#define PLAN_MAX_CATEGORICAL	256 /* features */
#define PLAN_MAX_CUTS	253		/* of a slot: ranks are 8 bits, with one for missing and one higher */
#define PLAN_BLOCK		16		/* cuts that are compared at once */
#define PLAN_LEAST		(-128)	/* rank of what is below all cuts */
#define PLAN_MISSING	127

/* What stands below the upper levels. */
typedef enum PlanLeaves
{
	PLAN_LEAVES,				/* leaves */
	PLAN_RECORDS,				/* records: two more levels */
	PLAN_STARTS					/* where to walk on, nodes of the image */
} PlanLeaves;

/* Three levels of a tree.  The last slot is 0; the last cut has a bit for each node at which
 * what is missing goes left. */
typedef struct PlanTwig
{
	uint8_t		slots[PLAN_TWIG];
	int8_t		cuts[PLAN_TWIG];
} PlanTwig;

/* The upper twigs of a group, slots and cuts of all trees together. */
typedef struct PlanTops
{
	uint8_t		slots[PLAN_GROUP][PLAN_TWIG];
	int8_t		cuts[PLAN_GROUP][PLAN_TWIG];
} PlanTops;

/* A lower twig with its leaves. */
typedef struct PlanBranch
{
	PlanTwig	twig;
	union
	{
		float		leaves[PLAN_TWIG];
		uint32_t	starts[PLAN_TWIG];
	}			below;
	uint8_t		reserved[16];	/* 0 */
} PlanBranch;

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

/* Below a way out of a lower twig.  Its slots are numbers in PlanTwins. */
typedef struct PlanRecord
{
	float		leaves[4];
	uint16_t	slots[3];		/* of the upper node, its left and its right child */
	int8_t		cuts[3];
	uint8_t		reserved[7];	/* 0 */
} PlanRecord;

/*
 * Every slot has a twin for each direction of missing values.  Ranks of a row by twins:
 * those one higher, for nodes at which missing goes left, then, from plan_num_twins() on, the
 * others.
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
	/* sections, in bytes from the plan's start */
	uint32_t	features;		/* uint32_t [num_slots]: place in the row */
	uint32_t	blocks;			/* uint32_t [num_slots]: first block */
	uint32_t	cuts;			/* float [..][PLAN_BLOCK] */
	uint32_t	outputs;		/* uint32_t [num_groups] */
	uint64_t	tops;			/* PlanTops [num_groups] */
	uint64_t	twigs;			/* PlanBranch, or PlanTwig of a plan with records,
								 * [num_groups * 8][8] */
	uint64_t	records;		/* PlanRecord [num_groups * 8][64] */
	uint64_t	high_slots;		/* uint8_t [num_groups * 8][PLAN_PLACES], of a wide plan */
	uint64_t	category_features;	/* uint32_t [num_categorical]: place in the row */
	uint64_t	category_begins;	/* uint32_t [num_groups + 1]: first of a group */
	uint64_t	categories;		/* PlanCategories [] */
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
 * The place of a node among the twigs of its tree, the top being the last: the
 * children of node k are 2k and 2k + 1, the root is 1.
 */
static inline uint32_t
plan_place(uint32_t node)
{
	uint32_t	first = node < 16 ? 1 : node < 32 ? 2 : 4;	/* of its level, in its twig */

	if (node < PLAN_TWIG)
		return PLAN_NODES + node - 1;
	return (node / first - PLAN_TWIG) * PLAN_TWIG + first - 1 + node % first;
}

/*
 * A word with a bit for each node has the twigs' nodes in their places; those of the
 * top have the last place of each lower twig.
 */
static inline uint32_t
plan_bit_of_place(uint32_t place)
{
	return place < PLAN_NODES ? place : (place - PLAN_NODES) * PLAN_TWIG + PLAN_TWIG - 1;
}

static inline uint32_t
plan_place_of_bit(uint32_t bit)
{
	return bit % PLAN_TWIG < PLAN_TWIG - 1 ? bit : PLAN_NODES + bit / PLAN_TWIG;
}

/* From one lower twig to the next, bytes. */
static inline size_t
plan_twig_size(uint32_t kind)
{
	return kind == PLAN_RECORDS ? sizeof(PlanTwig) : sizeof(PlanBranch);
}

/* A section of a plan. */
#define PLAN_SECTION(plan, type, section) \
	((const type *) ((const char *) (plan) + (plan)->section))

/* keys.c: bytes that the kernel of keys needs; 0: it is not for this forest. */
extern uint64_t keys_size(const Forest *forest);

/* Write them, into zeros. */
extern void keys_write(const Forest *forest, void *keys);

#endif							/* PG_RISK_FOREST_PLAN_H */
