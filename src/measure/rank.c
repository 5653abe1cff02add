/*
 * rank.c
 *		How well scores put positive rows above negative ones: the area under
 *		the ROC curve, average precision, and what a review of the top finds.
 */
#include <math.h>

#include "measure.h"
#include "../forest/pure.h"

/* A run of rows with equal scores. */
typedef struct Tie
{
	size_t		end;			/* one past its last row */
	size_t		positives;
	size_t		negatives;
} Tie;

/* The tie that begins at a row (step 1), or ends before it (step -1). */
static Tie
tie_at(const MeasureRank *order, size_t n, size_t i, int step, const int8_t *labels)
{
	Tie			tie = {i, 0, 0};
	double		value = order[step > 0 ? i : i - 1].value;

	while (step > 0 ? tie.end < n && order[tie.end].value == value
		   : tie.end > 0 && order[tie.end - 1].value == value)
	{
		int8_t		label = labels[order[step > 0 ? tie.end : tie.end - 1].row];

		tie.positives += label == MEASURE_POSITIVE;
		tie.negatives += label == MEASURE_NEGATIVE;
		tie.end += step;
	}
	return tie;
}

/* Numbers of positive and negative rows. */
static void
count_classes(const int8_t *labels, size_t n, size_t *positives, size_t *negatives)
{
	size_t		i;

	*positives = *negatives = 0;
	for (i = 0; i < n; i++)
	{
		*positives += labels[i] == MEASURE_POSITIVE;
		*negatives += labels[i] == MEASURE_NEGATIVE;
	}
}

/*
 * The area under the ROC curve: the probability that a positive row scores
 * higher than a negative one, ties counted half (Mann and Whitney 1947).
 * placements[row] becomes the share of the other class that the row stands on
 * the right side of: DeLong's structural components.  The counts of one walk
 * are differences of midranks, so it is Sun and Xu's fast form (2014).
 * NaN unless there are both classes.
 */
double
measure_auc(const MeasureRank *order, size_t n, const int8_t *labels, double *placements)
{
	size_t		positives;
	size_t		negatives;
	size_t		positives_below = 0;
	size_t		negatives_below = 0;
	double		sum = 0;
	size_t		i = 0;

	count_classes(labels, n, &positives, &negatives);
	if (positives == 0 || negatives == 0)
		return NAN;
	while (i < n)
	{
		Tie			tie = tie_at(order, n, i, 1, labels);
		double		beaten = (negatives_below + 0.5 * tie.negatives) / negatives;
		double		beaten_by = (positives - positives_below - 0.5 * tie.positives) / positives;

		for (; i < tie.end; i++)
		{
			int8_t		label = labels[order[i].row];

			placements[order[i].row] = label == MEASURE_POSITIVE ? beaten : beaten_by;
		}
		sum += tie.positives * beaten;
		positives_below += tie.positives;
		negatives_below += tie.negatives;
	}
	return sum / positives;
}

/* Mean of (b - a), or of b if a is NULL, over the rows of a class, and the
 * variance of that mean; NaN where they have none. */
static double
class_mean(const double *a, const double *b, const int8_t *labels, size_t n,
		   MeasureLabel class, double *variance)
{
	double		mean = 0;
	double		squares = 0;
	size_t		count = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		if (labels[i] == class)
			measure_add(&mean, &squares, ++count, a ? b[i] - a[i] : b[i]);
	*variance = count < 2 ? NAN : squares / (count - 1.0) / count;
	return count ? mean : NAN;
}

/* The area of b, or if a is given the difference of two, with its interval. */
static MeasureEstimate
area(const double *a, const double *b, const int8_t *labels, size_t n)
{
	MeasureEstimate result;
	double		of_positives;
	double		of_negatives;
	double		value;
	double		error;

	class_mean(a, b, labels, n, MEASURE_NEGATIVE, &of_negatives);
	value = class_mean(a, b, labels, n, MEASURE_POSITIVE, &of_positives);
	error = sqrt(of_positives + of_negatives);
	/* an area of 0 is not "nothing differs" */
	result = measure_normal(value, a || error > 0 ? error : NAN);
	result.low = result.low < (a ? -1 : 0) ? (a ? -1 : 0) : result.low;
	result.high = result.high > 1 ? 1 : result.high;
	return result;
}

/*
 * Both areas and their difference, from the placements that measure_auc()
 * made of each version's scores: DeLong, DeLong and Clarke-Pearson (1988).
 * The variance of a difference is that of the differences of placements, which
 * is the formula with the covariance multiplied out.
 *
 * Intervals need two rows of each class.  An area whose variance is 0 (all
 * positives above all negatives or below, all scores equal) has none; for a
 * difference see measure_normal().
 */
void
measure_areas(const double *champion, const double *challenger,
			  const int8_t *labels, size_t n, MeasureAreas *areas)
{
	areas->champion = area(NULL, champion, labels, n);
	areas->challenger = area(NULL, challenger, labels, n);
	areas->difference = area(champion, challenger, labels, n);
}

/*
 * Average precision: the sum over the distinct scores, from high to low, of
 * precision times the growth of recall (scikit-learn's
 * average_precision_score).  NaN: no positive rows.
 */
double
measure_average_precision(const MeasureRank *order, size_t n, const int8_t *labels)
{
	size_t		positives = 0;
	size_t		flagged = 0;
	double		sum = 0;
	size_t		i = n;

	while (i > 0)
	{
		Tie			tie = tie_at(order, n, i, -1, labels);

		positives += tie.positives;
		flagged += tie.positives + tie.negatives;
		if (tie.positives > 0)
			sum += (double) tie.positives * positives / flagged;
		i = tie.end;
	}
	return positives ? sum / positives : NAN;
}

/*
 * Precision and recall of reviewing so many per 1000 of the judged rows, those
 * of the highest scores: k = per_1000 / 1000 * rows, rounded.  Where the last
 * of them is one of several with the same score, any of these could be
 * reviewed: the figure is the mean over all choices.  NaN: k is 0, there are
 * no positive rows (recall), or no capacity is given (NaN).
 */
MeasureReview
measure_review(const MeasureRank *order, size_t n, const int8_t *labels, double per_1000)
{
	MeasureReview result = {NAN, NAN};
	size_t		positives;
	size_t		negatives;
	double		capacity;
	double		left;
	double		found = 0;
	size_t		i = n;

	count_classes(labels, n, &positives, &negatives);
	capacity = floor(per_1000 / 1000 * (positives + negatives) + 0.5);
	if (!(capacity > 0))
		return result;
	for (left = capacity; i > 0 && left > 0;)
	{
		Tie			tie = tie_at(order, n, i, -1, labels);
		double		size = (double) tie.positives + tie.negatives;
		double		reviewed = fmin(left, size);

		if (size > 0)
			found += reviewed * tie.positives / size;
		left -= reviewed;
		i = tie.end;
	}
	result.precision = found / (capacity - left);
	if (positives > 0)
		result.recall = found / positives;
	return result;
}
