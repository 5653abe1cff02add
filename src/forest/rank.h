/*
 * rank.h
 *		What the kernels of ranks for one row (rank_row.h) and for many
 *		(batch_block.h) share: records and categories.
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

#endif							/* PG_RISK_FOREST_RANK_H */
