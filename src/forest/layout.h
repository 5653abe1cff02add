/*
 * layout.h
 *		Where the sections of a forest image stand; shared by the builder and
 *		the reader, so that the two cannot disagree.
 *
 * Sections follow the header in this order, each at a multiple of 8 bytes; the
 * bytes between them are 0.  The image is canonical: one forest has exactly
 * one image, so forest_check() can verify it in one pass without memory.
 *	- Slots are sorted by (categorical, feature, missing left), each at most
 *	  once, after slot 0.
 *	- A tree's nodes stand breadth first: the children of its k-th inner node
 *	  (from 0) are its nodes 2k + 1 and 2k + 2.
 *	- Category sets and leaf vectors stand in the order of the nodes that use
 *	  them, one node each.
 *	- Splits stand in the order of the inner nodes.  That they are true is the
 *	  builder's word: the check sees to it that they are harmless.
 */
#ifndef PG_RISK_FOREST_LAYOUT_H
#define PG_RISK_FOREST_LAYOUT_H

#include "forest.h"

/* Offsets from the image's start, in bytes. */
typedef struct ForestLayout
{
	uint64_t	base_margins;
	uint64_t	slots;
	uint64_t	trees;
	uint64_t	nodes;
	uint64_t	category_sets;
	uint64_t	leaf_vectors;
	uint64_t	weights;
	uint64_t	expected;
	uint64_t	splits;
	uint64_t	size;
} ForestLayout;

/* Compute the layout; cannot overflow when the counts are within limits. */
extern void forest_lay_out(const ForestHeader *header, ForestLayout *layout);

/* NULL when the header's own fields make sense together, else what is wrong. */
extern const char *forest_check_header(const ForestHeader *header);

/* Set the pointers of *forest; forest_open() does the rest. */
extern void forest_point(Forest *forest, const void *image);

/* Turn a row into slots, [num_slots]. */
extern void forest_fill_slots(const Forest *forest, const float *row, uint32_t *slots);

/* The least number of bits that hold the numbers 0 .. num_slots - 1. */
static inline uint32_t
forest_slot_bits(uint32_t num_slots)
{
	uint32_t	bits = 0;

	while ((UINT32_C(1) << bits) < num_slots)
		bits++;
	return bits;
}

/* Inner nodes of so many trees that have so many nodes together. */
static inline uint32_t
forest_num_splits(uint32_t num_nodes, uint32_t num_trees)
{
	return (num_nodes - num_trees) / 2;
}

/* Number of a tree's nodes. */
static inline uint32_t
forest_tree_size(const Forest *forest, uint32_t tree)
{
	uint32_t	end = tree + 1 == forest->header->num_trees ?
		forest->header->num_nodes : forest->trees[tree + 1].root;

	return end - forest->trees[tree].root;
}

/* The slot that an inner node asks. */
static inline uint32_t
forest_slot_of_node(const Forest *forest, const ForestNode *node)
{
	return node->step & ((UINT32_C(1) << forest->header->slot_bits) - 1);
}

/* score.c: the node after an inner one, decided from the row. */
extern uint32_t forest_reference_next(const Forest *forest, uint32_t at, const float *row);

/*
 * 1 when the slot's bit is in the set that starts at `set`, else 0.  For a bit
 * past the end some word is read all the same, and its answer dropped.
 */
static inline __attribute__((always_inline)) uint32_t
forest_in_set(const uint32_t *set, uint32_t bit)
{
	uint32_t	inside = bit < set[0];
	uint32_t	word = set[1 + (bit / 32 & -inside)];

	return inside & (word >> (bit % 32));
}

/* Words that a category set of so many bits takes, its length word left out. */
static inline uint32_t
forest_set_words(uint32_t num_bits)
{
	return (num_bits + 31) / 32;
}

/* splits.c: complete the splits of a tree whose shares are known; see there. */
typedef struct ForestTreeSplits
{
	const ForestNode *nodes;	/* of the tree, [num_nodes] */
	uint32_t	num_nodes;
	const ForestSlot *slots;
	uint32_t	slot_bits;
	ForestSplit *splits;		/* of the tree: left_share is there */
	uint32_t   *inner;			/* room for [num_nodes / 2] */
	double	   *reach;			/* room for [num_nodes] */
	uint32_t   *latest;			/* [num_features], zero */
} ForestTreeSplits;

extern uint32_t forest_link_splits(const ForestTreeSplits *tree);
extern void forest_expect_tree(const ForestTreeSplits *tree, uint32_t output,
							   uint32_t num_outputs, const float *leaf_vectors,
							   double *expected);

#endif							/* PG_RISK_FOREST_LAYOUT_H */
