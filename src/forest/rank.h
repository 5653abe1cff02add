/*
 * rank.h
 *		What the kernels of ranks share: categories, and what is done with the
 *		leaves that were found.  `kind`, what those of the plan are, is a constant.
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

/* The places of a row's categories; see PlanCategories. */
static inline void
find_categories(const Forest *forest, const float *row, uint32_t *places)
{
	const ForestPlan *plan = forest->plan;
	const uint32_t *features = PLAN_SECTION(plan, uint32_t, category_features);
	uint32_t	i;

	for (i = 0; i < plan->num_categorical; i++)
	{
		float		value = row[features[i]];

		if (value != value || value == forest->header->missing)
			places[i] = 0;
		else if (value < 0.0f || value >= (float) FOREST_MAX_CATEGORY)
			places[i] = UINT32_MAX;
		else
			places[i] = (uint32_t) value + 1;
	}
}

/* The words of 8 trees for a row. */
static ALWAYS_INLINE const uint64_t *
category_words(const ForestPlan *plan, const PlanCategories *categories, const uint32_t *places)
{
	uint32_t	place = places[categories->feature];

	if (place > categories->last)
		place = categories->last;
	return (const uint64_t *) ((const char *) plan + categories->words) + (size_t) place * PLAN_GROUP;
}

/* Add the leaves or records of 8 trees, in order. */
static ALWAYS_INLINE float
add_leaves(float sum, const PlanTwins *twins, const uintptr_t *leaves, PlanLeaves kind)
{
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
		sum += kind == PLAN_RECORDS ? record_leaf((const PlanRecord *) leaves[i], twins->ranks, 1) :
			*(const float *) leaves[i];
	return sum;
}

/* Note where the walk goes on in 8 trees. */
static ALWAYS_INLINE void
copy_starts(uint32_t *starts, const uintptr_t *leaves)
{
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
		starts[i] = *(const uint32_t *) leaves[i];
}

/* Records are far apart: fetch those of 8 trees before they are needed. */
static ALWAYS_INLINE void
prefetch_records(const uintptr_t *records)
{
	uint32_t	i;

#pragma GCC unroll 8
	for (i = 0; i < PLAN_GROUP; i++)
		__builtin_prefetch((const void *) records[i]);
}

/* Fetch all records of a tree, before a block of rows needs them. */
static ALWAYS_INLINE void
prefetch_tree(const PlanRecord *records)
{
	uint32_t	i;

	for (i = 0; i < PLAN_NODES; i += PLAN_ALIGNMENT / sizeof(PlanRecord))
		__builtin_prefetch(&records[i]);
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
