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

/* Many rows: at most so many at once, with scratch space aligned to 64 for a
 * PlanTwins of each. */
#define KERNEL_BLOCK			128
#define KERNEL_BLOCK_SCRATCH	(KERNEL_BLOCK * sizeof(PlanTwins))

typedef void (*BatchKernel) (const Forest *forest, const float *rows, uint32_t num_rows,
							 void *scratch, float *margins);

/* Has this processor a kernel of ranks? */
extern bool kernel_wants_ranks(void);

/* Add up all trees, walking on from forest_starts(). */
extern void walk_on(const Forest *forest, const float *row, void *scratch, float *margins);

/* Each tells the kernel for a forest or its plan; NULL: there is none for this plan. */
extern RowKernel walk_kernel(const Forest *forest, const char **name);
extern RowKernel keys_kernel(const Forest *forest);
extern RowKernel avx2_kernel(const ForestPlan *plan);
extern RowKernel avx512_kernel(const ForestPlan *plan);
extern BatchKernel avx2_batch_kernel(const ForestPlan *plan);
extern BatchKernel avx512_batch_kernel(const ForestPlan *plan);

#endif							/* PG_RISK_FOREST_KERNEL_H */
