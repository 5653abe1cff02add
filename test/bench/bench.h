/*
 * bench.h
 *		What the programs that measure the pure cores share.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPETITIONS		9

/* Give up with a message. */
static _Noreturn void
fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

/* Memory or the end of the program. */
static void *
allocate(size_t size)
{
	void	   *block = malloc(size > 0 ? size : 1);

	if (block == NULL)
		fail("malloc", "out of memory");
	return block;
}

/* Seconds of processor time of this thread: other load disturbs it little. */
static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/* A number from 0 to 1 (xorshift64*, so that every machine sees the same ones). */
static double
uniform(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (double) (*state * UINT64_C(0x2545F4914F6CDD1D) >> 11) / 9007199254740992.0;
}

static int
compare_doubles(const void *left, const void *right)
{
	double		a = *(const double *) left;
	double		b = *(const double *) right;

	return (a > b) - (a < b);
}

/* Of all repetitions. */
static double
median(double *values)
{
	qsort(values, REPETITIONS, sizeof(double), compare_doubles);
	return values[REPETITIONS / 2];
}

#endif							/* BENCH_H */
