/*
 * measure.h
 *		The yardsticks: how a challenger's scores compare with the champion's on
 *		the same transactions, and with what the transactions turned out to be.
 *
 * Everything works on plain arrays, one element a transaction.  Most begins
 * with the rows in the order of one version's scores, which is made once
 * (measure_order) and walked by each yardstick, so the whole is O(n) for
 * radix-sorted scores.  Equal scores are one step of every walk: no figure
 * depends on the order of tied rows.
 *
 * Scores are never NaN: measure_order() refuses them.  Infinite ones are
 * ordinary values, of which there is no mean shift.  A figure that is not
 * defined (no rows, one class only) is NaN.
 *
 * Everything here is pure C: memory is the caller's, no I/O, no globals.
 */
#ifndef PG_RISK_MEASURE_H
#define PG_RISK_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEASURE_MAX_ROWS	UINT32_MAX

/* What a transaction turned out to be. */
typedef enum MeasureLabel
{
	MEASURE_UNKNOWN = -1,		/* not judged: all yardsticks of labels pass it over */
	MEASURE_NEGATIVE = 0,
	MEASURE_POSITIVE = 1
} MeasureLabel;

/* A row in the order of its value, ascending. */
typedef struct MeasureRank
{
	double		value;
	uint32_t	row;
} MeasureRank;

/* A figure with its 95 % confidence interval; p is that of "it is 0". */
typedef struct MeasureEstimate
{
	double		value;
	double		low;
	double		high;
	double		p;
} MeasureEstimate;

/* The areas under two ROC curves of the same rows. */
typedef struct MeasureAreas
{
	MeasureEstimate champion;	/* p is not set */
	MeasureEstimate challenger; /* p is not set */
	MeasureEstimate difference; /* challenger - champion */
} MeasureAreas;

/* Who flags what, of the same rows. */
typedef struct MeasureFlips
{
	size_t		champion;		/* flagged by the champion */
	size_t		challenger;
	size_t		only_champion;	/* by the champion alone */
	size_t		only_challenger;
} MeasureFlips;

/* What flagging at a threshold does to the judged rows. */
typedef struct MeasureDecisions
{
	size_t		judged;			/* rows with a label */
	size_t		positives;
	size_t		true_positives; /* flagged, and positive */
	size_t		false_positives;	/* flagged, and negative */
	double		loss;			/* what the decisions cost; see decision.c */
} MeasureDecisions;

/* What reviewing the rows of the highest scores finds. */
typedef struct MeasureReview
{
	double		precision;
	double		recall;
} MeasureReview;

/* sort.c */
extern bool measure_order(const double *values, size_t n,
						  MeasureRank *order, MeasureRank *scratch);
extern double measure_quantile(const MeasureRank *order, size_t n, double fraction);

/* shift.c */
extern double measure_ks(const MeasureRank *a, size_t n, const MeasureRank *b, size_t m);
extern double measure_ks_p(double distance, size_t n, size_t m);
extern double measure_psi(const MeasureRank *champion, const MeasureRank *challenger, size_t n);
extern double measure_mean(const double *values, size_t n);
extern MeasureEstimate measure_mean_shift(const double *champion, const double *challenger, size_t n);

/* interval.c */
extern double measure_mcnemar(size_t only_one, size_t only_other);
extern MeasureEstimate measure_proportion(size_t hits, size_t trials);
extern void measure_add(double *mean, double *squares, size_t n, double value);
extern MeasureEstimate measure_normal(double value, double error);
extern MeasureEstimate measure_mean_interval(double mean, double squares, size_t n);

/* rank.c */
extern double measure_auc(const MeasureRank *order, size_t n, const int8_t *labels,
						  double *placements);
extern void measure_areas(const double *champion, const double *challenger,
						  const int8_t *labels, size_t n, MeasureAreas *areas);
extern double measure_average_precision(const MeasureRank *order, size_t n, const int8_t *labels);
extern MeasureReview measure_review(const MeasureRank *order, size_t n, const int8_t *labels,
									double per_1000);

/* decision.c */
extern void measure_decide(const double *scores, const int8_t *labels, const double *amounts,
						   size_t n, double threshold, double review_cost,
						   MeasureDecisions *decisions);
extern MeasureFlips measure_flips(const double *champion, const double *challenger, size_t n,
								  double threshold);
extern MeasureEstimate measure_loss_difference(const double *champion, const double *challenger,
											   const int8_t *labels, const double *amounts, size_t n,
											   double threshold, double review_cost);

#endif							/* PG_RISK_MEASURE_H */
