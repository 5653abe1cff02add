/*
 * number.h
 *		float8 to and from integers: taking a value apart, and the one place
 *		where exact results are rounded.
 */
#ifndef PG_RISK_ROLLING_NUMBER_H
#define PG_RISK_ROLLING_NUMBER_H

#include <math.h>
#include <string.h>

#include "rolling.h"

typedef unsigned __int128 uint128;
typedef __int128 int128;

/* A finite float8 is +-mantissa * 2^exponent, mantissa < 2^53. */
typedef struct Parts
{
	uint64_t	mantissa;
	int			exponent;
	bool		negative;
} Parts;

static inline Parts
take_apart(double value)
{
	uint64_t	bits;
	uint64_t	mantissa;
	int			exponent;

	memcpy(&bits, &value, sizeof(bits));
	mantissa = bits & ((UINT64_C(1) << 52) - 1);
	exponent = (int) (bits >> 52) & 2047;
	if (exponent > 0)
		mantissa |= UINT64_C(1) << 52;
	else
		exponent = 1;			/* a subnormal */
	return (Parts) {mantissa, exponent - 1075, bits >> 63};
}

/* value * 2^exponent, which is a normal float8 and nothing that has to be rounded. */
static inline double
scale(double value, int exponent)
{
	uint64_t	bits = (uint64_t) (exponent + 1023) << 52;
	double		unit;

	memcpy(&unit, &bits, sizeof(unit));
	return value * unit;
}

/* top * 2^exponent, top < 2^63: as round_number() when that is not simple. */
extern double round_extreme(bool negative, uint64_t top, int exponent);

/*
 * The float8 nearest to +-(high * 2^64 + low + rest) * 2^exponent, ties to
 * even; rest is a fraction that is above 0 if more, and then the integer has at
 * least 64 bits; 0 is not negative.  No
 * branch depends on the value, 0 included, but for extreme ones.
 *
 * The top 63 bits, the lowest of which tells whether any are set below, are
 * rounded to 53 by the conversion; scaling them is exact.
 */
static inline double
round_number(bool negative, uint64_t high, uint64_t low, int exponent, bool more)
{
	uint64_t	only_low = -(uint64_t) (high == 0);
	int			zeros;
	uint64_t	top;
	uint64_t	scale;
	double		unit;

	high |= low & only_low;
	low &= ~only_low;
	zeros = __builtin_clzll(high | 1);
	top = high << zeros | low >> 1 >> (63 - zeros);
	top = top >> 1 | (top & 1) | (low << zeros != 0) | more;
	exponent += 65 - zeros - (int) (only_low & 64);
	if (exponent < -1022 || exponent > 900)
		return round_extreme(negative, top, exponent);
	scale = (uint64_t) (exponent + 1023) << 52 | (uint64_t) negative << 63;
	memcpy(&unit, &scale, sizeof(unit));
	return (double) (int64_t) top * unit;
}

/* The quotient of two limbs over one, high < divisor, so it fits into a limb. */
static inline uint64_t
divide_limbs(uint64_t high, uint64_t low, uint64_t divisor, uint64_t *rest)
{
	uint128		dividend = (uint128) high << 64 | low;
	uint64_t	quotient = (uint64_t) (dividend / divisor);

	*rest = low - quotient * divisor;
	return quotient;
}

/* The same divided by n, 0 < n < 2^63; if more, the highest bit is set. */
static inline double
round_quotient(bool negative, uint64_t high, uint64_t low, int exponent, bool more, uint64_t n)
{
	uint64_t	rest;

	while (high >> 48 == 0 && (high | low) != 0)
	{
		high = high << 16 | low >> 48;
		low <<= 16;
		exponent -= 16;
	}
	low = divide_limbs(high % n, low, n, &rest);
	return round_number(negative, high / n, low, exponent, more || rest != 0);
}

#endif							/* PG_RISK_ROLLING_NUMBER_H */
