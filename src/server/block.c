/*
 * block.c
 *		Rows gathered to be scored at once, by one version or several: their
 *		features are taken from slots, and a full block goes through the kernel
 *		for many rows.
 *
 * What is held is bounded: fewer rows where their features take more.
 */
#include "postgres.h"

#include "block.h"

#define BLOCK_ROWS		1024
#define KERNEL_ROWS		256		/* that forest_margins_batch() likes best */

/* A block without versions, in the current memory context. */
void
block_init(Block *block, int max_sides)
{
	*block = (Block) {.sides = palloc0(sizeof(BlockSide) * max_sides)};
}

/* Add a version that scores.  Problems: those of scorer.c. */
bool
block_add_version(Block *block, int64 version_id, int positive_class, Problem *problem)
{
	BlockSide  *side = &block->sides[block->num_sides];

	if (!scorer_open(&side->scorer, version_id, positive_class, problem) ||
		!scorer_has_output(&side->scorer, problem))
		return false;
	block->num_sides++;
	return true;
}

/* Make room, when each side has its version and its binding; the caller has so many
 * bytes more for each row. */
void
block_allocate(Block *block, Size more)
{
	Size		row = 1 + more;

	for (int i = 0; i < block->num_sides; i++)
	{
		const ForestHeader *header = block->sides[i].scorer.version->forest.header;

		row += sizeof(float) * ((Size) header->num_features + header->num_outputs);
	}
	block->capacity = Max(Min(BLOCK_ROWS, BLOCK_BYTES / row), 1);
	if (block->capacity > KERNEL_ROWS)
		block->capacity -= block->capacity % KERNEL_ROWS;
	for (int i = 0; i < block->num_sides; i++)
	{
		BlockSide  *side = &block->sides[i];
		const Version *version = side->scorer.version;
		const Forest *forest = &version->forest;

		side->features = i > 0 && version_same_features(block->sides[0].scorer.version, version) ?
			block->sides[0].features :
			palloc(sizeof(float) * Max(version->num_features, 1) * block->capacity);
		side->margins = palloc(sizeof(float) * forest->header->num_outputs * block->capacity);
		side->scratch = palloc(Max(forest_batch_scratch_size(forest), 1));
	}
}

/* Take a row.  Problems: those of bind_features(). */
bool
block_take(Block *block, TupleTableSlot *slot, Problem *problem)
{
	const LiveView view = {0};

	for (int i = 0; i < block->num_sides; i++)
	{
		BlockSide  *side = &block->sides[i];
		Size		begin = (Size) block->num_rows * side->scorer.version->num_features;

		if ((i == 0 || side->features != block->sides[0].features) &&
			!bind_features(side->binding, slot, &view, side->features + begin, problem))
			return false;
	}
	block->num_rows++;
	return true;
}

/* Score the rows. */
void
block_score(Block *block)
{
	for (int i = 0; i < block->num_sides; i++)
	{
		BlockSide  *side = &block->sides[i];

		forest_margins_batch(&side->scorer.version->forest, side->features, block->num_rows,
							 side->scratch, side->margins);
	}
}

/* What a side made of a row. */
double
block_score_of(Block *block, int side, int row)
{
	Scorer	   *scorer = &block->sides[side].scorer;

	return scorer_score_of(scorer, block->sides[side].margins +
						   (Size) row * scorer->version->forest.header->num_outputs);
}
