/*
 * rolling_random.h
 *		Random values for the tests of the rolling core, each of a style that
 *		is hard in its own way.
 */
#ifndef PG_RISK_ROLLING_RANDOM_H
#define PG_RISK_ROLLING_RANDOM_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

static uint64_t random_state = 20240229;

/* xorshift64*: every machine sees the same values. */
static inline uint64_t
random_bits(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(0x2545F4914F6CDD1D);
}

static inline uint64_t
random_below(uint64_t limit)
{
	return (random_bits() >> 11) % limit;
}

/* +-m * 2^e, m of so many bits, e evenly from lowest to highest; money: cents. */
typedef struct Style
{
	const char *name;
	int			bits;
	int			lowest;
	int			highest;
	bool		money;
} Style;

static const Style styles[] = {
	{"money", .money = true},
	{"integers past 64 bits", 53, 0, 60, false},
	{"small amounts", 53, -90, -40, false},
	{"many magnitudes", 53, -120, 60, false},
	{"the whole range", 53, -1074, 971, false},
	{"subnormal values", 40, -1074, -1060, false},
	{"about the largest", 53, 960, 971, false},
	{"few bits, near ties", 2, -60, 4, false},
	{"roots of the smallest", 53, -600, -530, false}
};

#define NUM_STYLES	(sizeof(styles) / sizeof(styles[0]))

static inline double
random_value(const Style *style)
{
	double		sign = random_below(2) ? -1 : 1;

	if (random_below(30) == 0)
		return sign * 0.0;
	if (style->money)
		return sign * (double) random_below(random_below(2) ? 10000 : 100000000) / 100;
	return sign * ldexp((double) (random_bits() >> (64 - style->bits)),
						style->lowest +
						(int) random_below((uint64_t) (style->highest - style->lowest + 1)));
}

#endif							/* PG_RISK_ROLLING_RANDOM_H */
