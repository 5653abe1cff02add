/*
 * interval.c
 *		What chance alone may do: intervals and tests of counts and means.
 */
#include <math.h>

#include "measure.h"
#include "../forest/pure.h"

/* Up to so many discordant pairs McNemar's test is exact. */
#define MCNEMAR_EXACT	1000

/* 97.5 % quantile of the normal distribution: half of an interval's width, in
 * standard errors. */
#define Z95		1.9599639845400545

/* Two-sided probability of a standard normal value at least this far from 0. */
static double
normal_p(double z)
{
	return erfc(fabs(z) / sqrt(2));
}

/*
 * McNemar's test (1947) of paired decisions, from the numbers of pairs that
 * only the one version flags and only the other: the two-sided p-value of
 * "either is as likely".  Exact (binomial) for small counts; beyond, chi-square
 * with Edwards' continuity correction (1948).  No such pairs: 1.
 */
double
measure_mcnemar(size_t only_one, size_t only_other)
{
	size_t		n = only_one + only_other;
	size_t		fewer = only_one < only_other ? only_one : only_other;
	double		distance;

	if (n <= MCNEMAR_EXACT)
	{
		double		term = ldexp(1, -(int) n);	/* P(X = 0), X binomial(n, 1/2) */
		double		tail = term;
		size_t		i;

		for (i = 1; i <= fewer; i++)
		{
			term *= (double) (n - i + 1) / i;
			tail += term;
		}
		return fmin(1, 2 * tail);
	}
	distance = fmax(0, (double) (n - 2 * fewer) - 1);
	return normal_p(distance / sqrt((double) n));
}

/* A proportion with Wilson's score interval (1927).  NaN: no trials. */
MeasureEstimate
measure_proportion(size_t hits, size_t trials)
{
	MeasureEstimate result = {NAN, NAN, NAN, NAN};
	double		n = trials;
	double		share = hits / n;
	double		z2 = Z95 * Z95;
	double		center;
	double		half;

	if (trials == 0)
		return result;
	center = (share + z2 / (2 * n)) / (1 + z2 / n);
	half = Z95 / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n));
	result.value = share;
	result.low = hits == 0 ? 0 : center - half;
	result.high = hits == trials ? 1 : center + half;
	return result;
}

/*
 * Interval and p-value of an estimate that is normally distributed with that
 * standard error.  An error of 0 says nothing about chance: there is neither,
 * but for an estimate of exactly 0 (nothing differs: 0 to 0, p 1).
 */
MeasureEstimate
measure_normal(double value, double error)
{
	MeasureEstimate result = {value, NAN, NAN, NAN};

	if (error > 0)
	{
		result.low = value - Z95 * error;
		result.high = value + Z95 * error;
		result.p = normal_p(value / error);
	}
	else if (error == 0 && value == 0)
	{
		result.low = result.high = 0;
		result.p = 1;
	}
	return result;
}

/* Take the n-th value (from 1) into a mean and the sum of squared distances
 * from it, both 0 at first (Welford 1962). */
void
measure_add(double *mean, double *squares, size_t n, double value)
{
	double		distance = value - *mean;

	*mean += distance / n;
	*squares += distance * (value - *mean);
}

/* The mean of n values with its interval, from what measure_add() made; fewer
 * than two have no interval, and none has no mean, nor have infinite ones. */
MeasureEstimate
measure_mean_interval(double mean, double squares, size_t n)
{
	return measure_normal(n && isfinite(mean) ? mean : NAN, n < 2 ? NAN : sqrt(squares / (n - 1.0) / n));
}
