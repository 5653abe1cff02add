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
	uint64_t	size;
} ForestLayout;

/* Compute the layout; cannot overflow when the counts are within limits. */
extern void forest_lay_out(const ForestHeader *header, ForestLayout *layout);

/* NULL when the header's own fields make sense together, else what is wrong. */
extern const char *forest_check_header(const ForestHeader *header);

/* Set the pointers of *forest; forest_open() does the rest. */
extern void forest_point(Forest *forest, const void *image);

/* The least number of bits that hold the numbers 0 .. num_slots - 1. */
static inline uint32_t
forest_slot_bits(uint32_t num_slots)
{
	uint32_t	bits = 0;

	while ((UINT32_C(1) << bits) < num_slots)
		bits++;
	return bits;
}

/* Words that a category set of so many bits takes, its length word left out. */
static inline uint32_t
forest_set_words(uint32_t num_bits)
{
	return (num_bits + 31) / 32;
}

#endif							/* PG_RISK_FOREST_LAYOUT_H */
