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

/* Number of the zero bits above the highest set one; of 0: 127.  Both halves
 * are looked at, as which one it is in cannot be foreseen. */
static inline int
leading_zeros(uint128 value)
{
	uint64_t	high = (uint64_t) (value >> 64);
	int			of_high = __builtin_clzll(high | 1);
	int			of_low = 64 + __builtin_clzll((uint64_t) value | 1);

	return high != 0 ? of_high : of_low;
}

/* The absolute value of a signed number. */
static inline uint128
absolute(uint128 value)
{
	uint128		sign = (uint128) ((int128) value >> 127);

	return (value ^ sign) - sign;
}

/* top * 2^exponent, top < 2^63: as round_number() when that is not simple. */
extern double round_extreme(bool negative, uint64_t top, int exponent);

/*
 * The float8 nearest to +-(bits + rest) * 2^exponent, ties to even; rest is a
 * fraction that is above 0 if more, and then bits has at least 64 bits.  No
 * branch depends on the value, 0 included, but for extreme ones.
 *
 * The top 63 bits, the lowest of which tells whether any are set below, are
 * rounded to 53 by the conversion; scaling them is exact.
 */
static inline double
round_number(bool negative, uint128 bits, int exponent, bool more)
{
	int			zeros = leading_zeros(bits);
	uint64_t	top;
	uint64_t	scale;
	double		unit;

	negative &= bits != 0;		/* there is no -0 */
	bits <<= zeros;
	top = (uint64_t) (bits >> 65);
	top |= (((uint64_t) bits) | ((uint64_t) (bits >> 64) & 1) | more) != 0;
	exponent += 65 - zeros;
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

/* +-(bits + rest) * 2^exponent / n, correctly rounded; bits' highest is set
 * or there is no rest, 0 < n < 2^63. */
static inline double
round_quotient(bool negative, uint128 bits, int exponent, bool more, uint64_t n)
{
	uint64_t	high;
	uint64_t	low;
	uint64_t	rest;
	int			zeros;

	if (bits == 0)
		return 0;
	zeros = leading_zeros(bits);
	bits <<= zeros;
	high = (uint64_t) (bits >> 64) / n;
	low = divide_limbs((uint64_t) (bits >> 64) % n, (uint64_t) bits, n, &rest);
	return round_number(negative, (uint128) high << 64 | low, exponent - zeros, more || rest != 0);
}

#endif							/* PG_RISK_ROLLING_NUMBER_H */
