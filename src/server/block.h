/*
 * block.h
 *		Rows gathered to be scored at once, by one version or several.
 */
#ifndef PG_RISK_BLOCK_H
#define PG_RISK_BLOCK_H

#include "bind.h"
#include "scorer.h"

/* About what is held of rows at once. */
#define BLOCK_BYTES		(16 * 1024 * 1024)

/* One version at work on the block. */
typedef struct BlockSide
{
	Scorer		scorer;
	Binding    *binding;
	float	   *features;		/* [capacity][num_features]; may be another side's */
	float	   *margins;		/* [capacity][num_outputs] */
	void	   *scratch;
} BlockSide;

typedef struct Block
{
	int			capacity;		/* rows */
	int			num_rows;		/* so far */
	int			num_sides;
	BlockSide  *sides;			/* [max_sides] */
} Block;

extern void block_init(Block *block, int max_sides);
extern bool block_add_version(Block *block, int64 version_id, int positive_class, Problem *problem);
extern void block_allocate(Block *block, Size more);
extern bool block_take(Block *block, TupleTableSlot *slot, Problem *problem);
extern void block_score(Block *block);
extern double block_score_of(Block *block, int side, int row);

#endif							/* PG_RISK_BLOCK_H */
