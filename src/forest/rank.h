/*
 * rank.h
 *		What the kernels of ranks share: adding up leaves that were found.
 *		`records` is a constant: are the leaves of this plan records?
 */
#ifndef PG_RISK_FOREST_RANK_H
#define PG_RISK_FOREST_RANK_H

#include "kernel.h"

/* The leaf that a record leads to; ranks: as PlanTwins, each so many bytes apart. */
static ALWAYS_INLINE float
record_leaf(const PlanRecord *record, const int8_t *ranks, size_t stride)
{
	uint32_t	upper = ranks[record->slots[0] * stride] >= record->cuts[0];
	uint32_t	lower = ranks[record->slots[1 + upper] * stride] >= record->cuts[1 + upper];

	return record->leaves[2 * upper + lower];
}

/* Add the leaves of 8 trees, in order. */
static ALWAYS_INLINE float
add_leaves(float sum, const ForestPlan *plan, const PlanTwins *twins, uint32_t group,
		   const uint64_t *numbers, bool records)
{
	size_t		first = (size_t) group * PLAN_GROUP * PLAN_NODES;
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
	{
		size_t		leaf = first + i * PLAN_NODES + numbers[i] - PLAN_NODES;

		if (records)
			sum += record_leaf(PLAN_SECTION(plan, PlanRecord, leaves) + leaf, twins->ranks, 1);
		else
			sum += PLAN_SECTION(plan, float, leaves)[leaf];
	}
	return sum;
}

/* Records are far apart: fetch those of 8 trees before they are needed. */
static ALWAYS_INLINE void
prefetch_records(const ForestPlan *plan, uint32_t group, const uint64_t *numbers)
{
	const PlanRecord *first = PLAN_SECTION(plan, PlanRecord, leaves) +
		(size_t) group * PLAN_GROUP * PLAN_NODES;
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
		__builtin_prefetch(first + i * PLAN_NODES + numbers[i] - PLAN_NODES);
}

/* Go on with the margin of another output; most forests have but one. */
static ALWAYS_INLINE void
switch_output(float *sum, float *margins, uint32_t *output, uint32_t next)
{
	if (next != *output)
	{
		margins[*output] = *sum;
		*output = next;
		*sum = margins[next];
	}
}

#endif							/* PG_RISK_FOREST_RANK_H */
