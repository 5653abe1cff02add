/*
 * kernel.h
 *		What the kernels have in common.  Private to src/forest.
 */
#ifndef PG_RISK_FOREST_KERNEL_H
#define PG_RISK_FOREST_KERNEL_H

#include "forest.h"
#include "plan.h"

#define ALWAYS_INLINE	inline __attribute__((always_inline))

/* Are there kernels for this processor family? */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86_KERNELS
#endif

typedef void (*RowKernel) (const Forest *forest, const float *row, void *scratch,
						   float *margins);

/*
 * Scratch space of one row: the slots of the walk, and behind them for each tree
 * of a deep forest the node at which the walk has come, or a kernel of
 * ranks; then room for a number each.
 */
static inline size_t
forest_slots_size(const Forest *forest)
{
	return ((size_t) forest->header->num_slots * sizeof(uint32_t) + 7) & ~(size_t) 7;
}

static inline uint32_t *
forest_starts(const Forest *forest, void *scratch)
{
	return (uint32_t *) ((char *) scratch + forest_slots_size(forest));
}

/* Many rows: at most so many at once. */
#define KERNEL_BLOCK	256

/* Fewer cost more as a block, of which ranks and strips are always whole, than one by one. */
#define KERNEL_LEAST_BLOCK	64

/* Scratch space of a block, aligned to 64, begins with the planes of ranks, by twins. */
typedef struct BlockLayout
{
	size_t		sets;			/* int8_t [64][256]: planes of a tree's categorical nodes */
	size_t		words;			/* uint8_t [8][8][256]: bytes of the words of a group */
	size_t		places;			/* uint32_t [256][num_categorical] */
	size_t		slots;			/* uint32_t [256][num_slots], of the walk */
	size_t		size;
} BlockLayout;

static inline BlockLayout
block_layout(const Forest *forest)
{
	size_t		num_categorical = forest->plan->num_categorical;
	size_t		planes = num_categorical > 0 ? PLAN_NODES * KERNEL_BLOCK : 0;
	size_t		num_slots = forest->plan->kind == PLAN_STARTS ? forest->header->num_slots : 0;
	BlockLayout layout;

	layout.sets = (size_t) 2 * plan_num_twins(forest->plan) * KERNEL_BLOCK;
	layout.words = layout.sets + planes;
	layout.places = layout.words + planes;
	layout.slots = layout.places + num_categorical * KERNEL_BLOCK * sizeof(uint32_t);
	layout.size = layout.slots + num_slots * KERNEL_BLOCK * sizeof(uint32_t);
	return layout;
}

typedef void (*BatchKernel) (const Forest *forest, const float *rows, uint32_t num_rows,
							 void *scratch, float *margins);

/* Add up all trees, walking on from forest_starts(). */
extern void walk_on(const Forest *forest, const float *row, void *scratch, float *margins);

/*
 * The leaves of one tree for many rows, added to their margins, [num_rows][num_outputs]: walks
 * on from at[] with the rows' slots, [num_rows][num_slots].
 */
extern void walk_block_on(const Forest *forest, uint32_t tree, const uint32_t *slots,
						  uint32_t num_rows, uint32_t *at, float *margins);

/* Each tells the kernel for a forest or its plan; NULL: there is none for this plan. */
extern RowKernel walk_kernel(const Forest *forest, const char **name);
extern RowKernel keys_kernel(const Forest *forest);
extern RowKernel avx2_kernel(const ForestPlan *plan);
extern RowKernel avx512_kernel(const ForestPlan *plan);
extern BatchKernel plain_batch_kernel(const ForestPlan *plan);
extern BatchKernel avx2_batch_kernel(const ForestPlan *plan);
extern BatchKernel avx512_batch_kernel(const ForestPlan *plan);

#endif							/* PG_RISK_FOREST_KERNEL_H */
