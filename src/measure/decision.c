/*
 * decision.c
 *		What deciding by a threshold costs.
 */
#include <math.h>

#include "measure.h"
#include "../forest/pure.h"

/*
 * What the decision about one row costs: a missed positive its amount (NaN:
 * not known, counts 1), a flagged negative the review.  A score at the
 * threshold is flagged.  Unknown rows cost nothing.
 */
static double
loss_of(double score, MeasureLabel label, double amount, double threshold, double review_cost)
{
	if (label == MEASURE_POSITIVE && !(score >= threshold))
		return isnan(amount) ? 1 : amount;
	if (label == MEASURE_NEGATIVE && score >= threshold)
		return review_cost;
	return 0;
}

/* Count what flagging at a threshold does to the judged rows. */
void
measure_decide(const double *scores, const int8_t *labels, const double *amounts,
			   size_t n, double threshold, double review_cost, MeasureDecisions *decisions)
{
	size_t		i;

	*decisions = (MeasureDecisions) {0};
	for (i = 0; i < n; i++)
	{
		bool		flagged = scores[i] >= threshold;

		decisions->judged += labels[i] != MEASURE_UNKNOWN;
		decisions->positives += labels[i] == MEASURE_POSITIVE;
		decisions->true_positives += flagged && labels[i] == MEASURE_POSITIVE;
		decisions->false_positives += flagged && labels[i] == MEASURE_NEGATIVE;
		decisions->loss += loss_of(scores[i], (MeasureLabel) labels[i], amounts[i], threshold, review_cost);
	}
}

/* Count whom each version flags, and who is flagged by one alone. */
MeasureFlips
measure_flips(const double *champion, const double *challenger, size_t n, double threshold)
{
	MeasureFlips flips = {0};
	size_t		i;

	for (i = 0; i < n; i++)
	{
		bool		by_champion = champion[i] >= threshold;
		bool		by_challenger = challenger[i] >= threshold;

		flips.champion += by_champion;
		flips.challenger += by_challenger;
		flips.only_champion += by_champion && !by_challenger;
		flips.only_challenger += by_challenger && !by_champion;
	}
	return flips;
}

/* The mean of (challenger's loss - champion's loss) over the judged rows, with
 * its interval. */
MeasureEstimate
measure_loss_difference(const double *champion, const double *challenger,
						const int8_t *labels, const double *amounts, size_t n,
						double threshold, double review_cost)
{
	double		mean = 0;
	double		squares = 0;
	size_t		judged = 0;
	size_t		i;

	for (i = 0; i < n; i++)
	{
		MeasureLabel label = (MeasureLabel) labels[i];

		if (label == MEASURE_UNKNOWN)
			continue;
		measure_add(&mean, &squares, ++judged,
					loss_of(challenger[i], label, amounts[i], threshold, review_cost) -
					loss_of(champion[i], label, amounts[i], threshold, review_cost));
	}
	return measure_mean_interval(mean, squares, judged);
}
