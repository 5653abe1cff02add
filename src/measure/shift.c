/*
 * shift.c
 *		How far the distribution of one version's scores is from the other's.
 */
#include <math.h>

#include "measure.h"
#include "../forest/pure.h"

#define PI	3.14159265358979323846

/* Bins of the PSI before ties: deciles. */
#define PSI_BINS	10

/* What each bin of the PSI has before anything is counted. */
#define PSI_PRIOR	0.5

/*
 * The two-sample Kolmogorov-Smirnov statistic: the greatest distance of the
 * two empirical distribution functions (Smirnov 1939).  NaN: an empty sample.
 */
double
measure_ks(const MeasureRank *a, size_t n, const MeasureRank *b, size_t m)
{
	double		greatest = 0;
	size_t		i = 0;
	size_t		j = 0;

	if (n == 0 || m == 0)
		return NAN;
	while (i < n && j < m)
	{
		double		value = fmin(a[i].value, b[j].value);
		double		distance;

		while (i < n && a[i].value == value)
			i++;
		while (j < m && b[j].value == value)
			j++;
		distance = fabs((double) i / n - (double) j / m);
		greatest = fmax(greatest, distance);
	}
	return greatest;
}

/*
 * Probability of at least this statistic if both samples were drawn from one
 * distribution: Q(sqrt(nm/(n+m)) D), the limit for large samples (Kolmogorov
 * 1933).  Two series that are each other's theta transform; each converges in
 * a few terms where it is used.  For independent samples of n each it is within
 * 0.35 / n of the exact one (measure_test.c).  The scores of the same
 * transactions depend on each other, so that a distance as great is less
 * probable than it says.
 */
double
measure_ks_p(double distance, size_t n, size_t m)
{
	double		x = sqrt((double) n * m / ((double) n + m)) * distance;
	double		sum = 0;
	int			k;

	if (isnan(x))
		return NAN;
	if (x < 0.05)				/* 1 - Q is below the least double */
		return 1;
	if (x < 1)
	{
		for (k = 1; k < 20; k += 2)
			sum += exp(-k * k * PI * PI / (8 * x * x));
		return 1 - sqrt(2 * PI) / x * sum;
	}
	for (k = 1; k < 10; k++)
		sum += (k % 2 ? 2 : -2) * exp(-2.0 * k * k * x * x);
	return sum;
}

/* How many rows from i on are below the edge, or (closed) not above it. */
static size_t
count_below(const MeasureRank *order, size_t n, size_t *i, double edge, bool closed)
{
	size_t		start = *i;

	while (*i < n && (order[*i].value < edge || (closed && order[*i].value == edge)))
		(*i)++;
	return *i - start;
}

/*
 * The population stability index of the challenger against the champion: the
 * symmetrised relative entropy sum (q - p) ln(q / p) of binned scores
 * (Siddiqi, Credit Risk Scorecards, 2006).  Edges of the bins are the deciles
 * of the champion, each distinct one once; the rows at an edge are in the bin
 * above it.  A value that is several deciles is a bin of its own, so that a
 * shift away from it, to either side, shows.  Shares are smoothed: (count +
 * 1/2) / (n + bins/2), finite for empty bins; equal counts give exactly 0.
 */
double
measure_psi(const MeasureRank *champion, const MeasureRank *challenger, size_t n)
{
	double		edges[PSI_BINS];
	bool		closed[PSI_BINS];
	int			num_edges = 0;
	size_t		i = 0;
	size_t		j = 0;
	double		psi = 0;
	double		total;
	int			k;

	if (n == 0)
		return NAN;
	for (k = 1; k < PSI_BINS; k++)
	{
		double		decile = measure_quantile(champion, n, (double) k / PSI_BINS);

		if (num_edges > 0 && edges[num_edges - 1] == decile)
		{
			if (closed[num_edges - 1])
				continue;
			closed[num_edges] = true;
		}
		else
			closed[num_edges] = false;
		edges[num_edges++] = decile;
	}
	edges[num_edges] = INFINITY;
	closed[num_edges++] = true;

	total = n + PSI_PRIOR * num_edges;
	for (k = 0; k < num_edges; k++)
	{
		double		p = (count_below(champion, n, &i, edges[k], closed[k]) + PSI_PRIOR) / total;
		double		q = (count_below(challenger, n, &j, edges[k], closed[k]) + PSI_PRIOR) / total;

		psi += (q - p) * log(q / p);
	}
	return psi;
}

/* The arithmetic mean.  NaN: no rows. */
double
measure_mean(const double *values, size_t n)
{
	double		sum = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		sum += values[i];
	return n ? sum / n : NAN;
}

/* The mean of (challenger - champion), with its interval. */
MeasureEstimate
measure_mean_shift(const double *champion, const double *challenger, size_t n)
{
	double		mean = 0;
	double		squares = 0;
	size_t		i;

	for (i = 0; i < n; i++)
		measure_add(&mean, &squares, i + 1, challenger[i] - champion[i]);
	return measure_mean_interval(mean, squares, n);
}
