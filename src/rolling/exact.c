/*
 * exact.c
 *		Exact sums: a long integer that grows where the values are, and the
 *		three results that are rounded from it.
 *
 * The idea of summing into a fixed-point number as wide as the float8 range is
 * Kulisch's; here only a span of its limbs is in use, carries are added at
 * once, and the span grows by a limb when the highest one overflows.
 */
#include "number.h"
#include "../forest/pure.h"

void
exact_init(ExactSum *sum)
{
	memset(sum, 0, offsetof(ExactSum, limbs));
}

/* ---- adding ---- */

/* What stands above the limbs in use: all bits are copies of the sign. */
static inline uint64_t
extension(const ExactSum *sum)
{
	return sum->end > sum->begin && sum->limbs[sum->end - 1] >> 63 ? UINT64_MAX : 0;
}

/* Take limbs begin .. end - 1 into use, and all between them and the others. */
static void __attribute__((noinline))
cover(ExactSum *sum, int begin, int end)
{
	uint64_t	above = extension(sum);

	if (sum->begin == sum->end)
		sum->begin = sum->end = begin;
	while (sum->begin > begin)
		sum->limbs[--sum->begin] = 0;
	while (sum->end < end)
		sum->limbs[sum->end++] = above;
}

/*
 * Add low to limb i and high, with its sign, to all above; the limbs i and
 * i + 1 are in use.  The carry goes on until it is spent or at the top, where
 * two's complement overflows into a new limb.
 */
static inline void
add_limbs(ExactSum *sum, int i, uint64_t low, uint64_t high)
{
	uint64_t	sign = high >> 63 ? UINT64_MAX : 0;
	uint64_t	addend = high;
	uint64_t	old;
	uint64_t	carry = __builtin_add_overflow(sum->limbs[i], low, &sum->limbs[i]);

	for (i++;; i++)
	{
		uint128		total = (uint128) sum->limbs[i] + addend + carry;

		old = sum->limbs[i];
		sum->limbs[i] = (uint64_t) total;
		carry = (uint64_t) (total >> 64);
		if (i == sum->end - 1)
			break;
		if (sign + carry == 0)
			return;
		addend = sign;
	}
	if (((old ^ sum->limbs[i]) & (addend ^ sum->limbs[i])) >> 63 && sum->end < EXACT_LIMBS)
		sum->limbs[sum->end++] = old >> 63 ? UINT64_MAX : 0;
}

/* Add +-magnitude * 2^exponent; all of it is within the limbs. */
static inline void
add_bits(ExactSum *sum, bool negative, uint64_t magnitude, int exponent)
{
	int			place = exponent - EXACT_LOWEST_BIT;
	int			i = place >> 6;
	uint128		value = (uint128) magnitude << (place & 63);	/* below 2^127 */

	if (magnitude == 0)
		return;					/* lest the limbs of a 0 come into use */
	value = negative ? -value : value;
	if (i < sum->begin || i + 2 > sum->end)
		cover(sum, i, i + 2);
	add_limbs(sum, i, (uint64_t) value, (uint64_t) (value >> 64));
}

/* Count a value that is not finite, by 1 or -1. */
static void
count_special(ExactSum *sum, double value, int by)
{
	if (isnan(value))
		sum->nans += by;
	else if (value > 0)
		sum->infinities += by;
	else
		sum->negative_infinities += by;
}

void
exact_add(ExactSum *sum, double value)
{
	Parts		parts = take_apart(value);

	if (!isfinite(value))
		count_special(sum, value, 1);
	else
		add_bits(sum, parts.negative, parts.mantissa, parts.exponent);
}

void
exact_subtract(ExactSum *sum, double value)
{
	Parts		parts = take_apart(value);

	if (!isfinite(value))
		count_special(sum, value, -1);
	else
		add_bits(sum, !parts.negative, parts.mantissa, parts.exponent);
}

/* Add the square, of 106 bits, in two pieces. */
static void
add_square(ExactSum *sum, bool negative, double value)
{
	Parts		parts = take_apart(value);
	uint128		square = (uint128) parts.mantissa * parts.mantissa;

	if (!isfinite(value))
		return;
	add_bits(sum, negative, (uint64_t) square, 2 * parts.exponent);
	add_bits(sum, negative, (uint64_t) (square >> 64), 2 * parts.exponent + 64);
}

void
exact_add_square(ExactSum *sum, double value)
{
	add_square(sum, false, value);
}

void
exact_subtract_square(ExactSum *sum, double value)
{
	add_square(sum, true, value);
}

bool
exact_add_integer(ExactSum *sum, bool negative,
				  const uint64_t *limbs, size_t count, int exponent)
{
	size_t		begin = 0;
	size_t		i;
	int64_t		lowest;
	int64_t		highest;

	while (count > 0 && limbs[count - 1] == 0)
		count--;
	while (begin < count && limbs[begin] == 0)
		begin++;
	if (begin == count)
		return true;
	if (count > INT32_MAX)
		return false;
	lowest = exponent + 64 * (int64_t) begin + __builtin_ctzll(limbs[begin]);
	highest = exponent + 64 * (int64_t) count - 1 - __builtin_clzll(limbs[count - 1]);
	if (lowest < EXACT_LOWEST_BIT || highest >= EXACT_HIGHEST_BIT)
		return false;
	for (i = begin; i < count; i++)
	{
		int			zeros = limbs[i] != 0 ? __builtin_ctzll(limbs[i]) : 0;

		if (limbs[i] != 0)
			add_bits(sum, negative, limbs[i] >> zeros, exponent + 64 * (int) i + zeros);
	}
	return true;
}

/* Add a number of limbs at once: other, or what it is the negative of. */
static void
add_sum(ExactSum *sum, const ExactSum *other, int by)
{
	uint64_t	turn = by < 0 ? UINT64_MAX : 0;
	uint64_t	carry = by < 0;
	uint64_t	sign = extension(other) ^ turn;
	uint64_t	addend = 0;
	uint64_t	old = 0;
	int			i;

	sum->nans += by * other->nans;
	sum->infinities += by * other->infinities;
	sum->negative_infinities += by * other->negative_infinities;
	if (other->begin == other->end)
		return;
	cover(sum, other->begin, other->end);
	for (i = other->begin; i < sum->end; i++)
	{
		uint128		total;

		addend = i < other->end ? other->limbs[i] ^ turn : sign;
		old = sum->limbs[i];
		total = (uint128) old + addend + carry;
		sum->limbs[i] = (uint64_t) total;
		carry = (uint64_t) (total >> 64);
	}
	i--;
	if (((old ^ sum->limbs[i]) & (addend ^ sum->limbs[i])) >> 63 && sum->end < EXACT_LIMBS)
		sum->limbs[sum->end++] = old >> 63 ? UINT64_MAX : 0;
}

void
exact_merge(ExactSum *sum, const ExactSum *other)
{
	add_sum(sum, other, 1);
}

void
exact_unmerge(ExactSum *sum, const ExactSum *other)
{
	add_sum(sum, other, -1);
}

/* ---- results ---- */

/* The absolute value of a sum's limbs; returns whether it is negative. */
static bool
magnitude_of(const ExactSum *sum, uint64_t *magnitude)
{
	int			count = sum->end - sum->begin;
	uint64_t	turn = extension(sum);
	uint64_t	carry = turn & 1;
	int			i;

	for (i = 0; i < count; i++)
		carry = __builtin_add_overflow(sum->limbs[sum->begin + i] ^ turn, carry, &magnitude[i]);
	return turn != 0;
}

/*
 * The highest limbs of a number, shifted so that the highest bit is set, into
 * top[width]; all 0 for 0.  Returns what exponent makes them the number's
 * size; *more becomes true if a bit is set below them.
 */
static int
highest_limbs(const uint64_t *limbs, int count, uint64_t *top, int width, bool *more)
{
	int			shift;
	int			i;

	while (count > 0 && limbs[count - 1] == 0)
		count--;
	shift = count > 0 ? __builtin_clzll(limbs[count - 1]) : 0;
	for (i = 0; i < width; i++)
	{
		int			from = count - width + i;
		uint64_t	here = from >= 0 ? limbs[from] : 0;
		uint64_t	below = from >= 1 ? limbs[from - 1] : 0;

		top[i] = shift > 0 ? here << shift | below >> (64 - shift) : here;
	}
	i = count - width - 1;
	if (i >= 0)
		*more |= limbs[i] << shift != 0;
	while (--i >= 0)
		*more |= limbs[i] != 0;
	return 64 * (count - width) - shift;
}

/* The sum divided by n, rounded; 1: the sum. */
static double
rounded(const ExactSum *sum, uint64_t n)
{
	uint64_t	magnitude[EXACT_LIMBS];
	uint64_t	top[2];
	bool		negative = magnitude_of(sum, magnitude);
	bool		more = false;
	int			exponent = highest_limbs(magnitude, sum->end - sum->begin, top, 2, &more);

	exponent += 64 * sum->begin + EXACT_LOWEST_BIT;
	return n == 1 ? round_number(negative, top[1], top[0], exponent, more) :
		round_quotient(negative, top[1], top[0], exponent, more, n);
}

bool
exact_finite(const ExactSum *sum)
{
	return sum->nans <= 0 && sum->infinities <= 0 && sum->negative_infinities <= 0;
}

/* The sum, or average, of values that are not all finite. */
static double
special_sum(const ExactSum *sum)
{
	if (sum->nans > 0 || (sum->infinities > 0 && sum->negative_infinities > 0))
		return NAN;
	return sum->infinities > 0 ? INFINITY : -INFINITY;
}

double
exact_sum(const ExactSum *sum)
{
	return exact_finite(sum) ? rounded(sum, 1) : special_sum(sum);
}

double
exact_avg(const ExactSum *sum, uint64_t n)
{
	return exact_finite(sum) ? rounded(sum, n) : special_sum(sum);
}

/* Divide limbs by a number, in place; returns the remainder. */
static uint64_t
divide(uint64_t *limbs, int count, uint64_t divisor)
{
	uint64_t	rest = 0;

	while (--count >= 0)
		limbs[count] = divide_limbs(rest, limbs[count], divisor, &rest);
	return rest;
}

/* The integer square root of a number of 127 or 128 bits.  A float8 root is
 * right to some 2^12; a step of Newton's is never too low, and too high by less
 * than 1. */
static uint64_t
square_root(uint128 square)
{
	double		estimate = sqrt(ldexp((double) (uint64_t) (square >> 64), 64));
	uint64_t	root = estimate < 0x1p64 ? (uint64_t) estimate : UINT64_MAX;
	uint128		sum = (uint128) root + square / root;

	root = sum >> 65 ? UINT64_MAX : (uint64_t) (sum >> 1);
	if ((uint128) root * root > square)
		root--;
	return root;
}

/* The numerator of a variance has the limbs of a square, and one for n. */
#define VARIANCE_LIMBS	(2 * EXACT_LIMBS + 2)

/*
 * n * squares - sum^2, into limbs that weigh 2^(64 *base) times those of a
 * square of a sum's; returns their number, or 0 if it is below 0.
 */
static int
variance_numerator(const ExactSum *sum, const ExactSum *squares, uint64_t n,
				   uint64_t *limbs, int *base)
{
	uint64_t	magnitude[EXACT_LIMBS];
	int			count = sum->end - sum->begin;
	int			unit = -EXACT_LOWEST_BIT / 64;	/* limb of 2^0 */
	int			begin = squares->begin + unit;	/* in limbs of a square's */
	int			end = squares->end + unit + 1;
	uint64_t	carry = 0;
	uint64_t	borrow = 0;
	int			i;
	int			j;

	begin = begin < 2 * sum->begin ? begin : 2 * sum->begin;
	end = end > 2 * sum->end + 1 ? end : 2 * sum->end + 1;
	*base = begin;
	memset(limbs, 0, (size_t) (end - begin) * sizeof(*limbs));
	for (i = squares->begin; i < squares->end; i++)
	{
		uint128		product = (uint128) squares->limbs[i] * n + carry;

		limbs[i + unit - begin] = (uint64_t) product;
		carry = (uint64_t) (product >> 64);
	}
	limbs[squares->end + unit - begin] = carry;

	magnitude_of(sum, magnitude);
	for (i = 0; i < count; i++)
	{
		int			row = 2 * sum->begin + i - begin;

		carry = 0;
		for (j = 0; row + j < end - begin && (j < count || carry != 0); j++)
		{
			uint128		product = (j < count ? (uint128) magnitude[i] * magnitude[j] : 0) + carry;

			carry = (uint64_t) (product >> 64);
			carry += __builtin_sub_overflow(limbs[row + j], (uint64_t) product, &limbs[row + j]);
		}
		borrow |= carry;
	}
	return borrow == 0 ? end - begin : 0;
}

double
exact_stddev(const ExactSum *sum, const ExactSum *squares, uint64_t n)
{
	uint64_t	limbs[VARIANCE_LIMBS];
	uint64_t	top[4];
	uint64_t	high[2];
	bool		more = false;
	int			count;
	int			base;
	int			exponent;
	uint128		square;
	uint64_t	root;

	if (!exact_finite(sum) || extension(squares) != 0)
		return NAN;
	count = variance_numerator(sum, squares, n, limbs, &base);
	if (count == 0)
		return NAN;
	exponent = highest_limbs(limbs, count, top, 4, &more);
	exponent += 64 * base + 2 * EXACT_LOWEST_BIT;
	if (top[3] == 0)
		return 0;
	more |= divide(top, 4, n) != 0;
	more |= divide(top, 4, n - 1) != 0;
	exponent += highest_limbs(top, 4, high, 2, &more);
	square = (uint128) high[1] << 64 | high[0];
	if (exponent & 1)
	{
		more |= square & 1;
		square >>= 1;
		exponent++;
	}
	root = square_root(square);
	more |= (uint128) root * root != square;
	return round_number(false, 0, root, exponent / 2, more);
}

/* Results below 2^-959 or so, where the scale is not a float8 of its own or
 * fewer than 53 bits are left, and those that may be too great. */
double
round_extreme(bool negative, uint64_t top, int exponent)
{
	int			drop = -1074 - exponent;	/* bits below the lowest of all */
	double		result;

	if (drop <= 10)				/* 53 of 63 bits are left */
		result = ldexp((double) (int64_t) top, exponent);
	else if (drop >= 64)
		result = 0;
	else
	{
		uint64_t	half = UINT64_C(1) << (drop - 1);
		uint64_t	rest = top & (half + (half - 1));
		uint64_t	whole = top >> drop;

		whole += rest > half || (rest == half && (whole & 1));
		result = ldexp((double) whole, -1074);
	}
	return negative && result != 0 ? -result : result;
}

/* ---- the stored form ---- */

/* The first two bytes, lowest first: place of the lowest byte, and a flag. */
#define STORED_PLACE		1023
#define STORED_SPECIAL		1024

static uint8_t
byte_at(const ExactSum *sum, int place)
{
	return (uint8_t) (sum->limbs[place / 8] >> (8 * (place % 8)));
}

/* Write or read an integer of 8 bytes, lowest first. */
static void
store_count(uint8_t *bytes, int64_t count)
{
	int			i;

	for (i = 0; i < 8; i++)
		bytes[i] = (uint8_t) ((uint64_t) count >> (8 * i));
}

static int64_t
load_count(const uint8_t *bytes)
{
	uint64_t	count = 0;
	int			i;

	for (i = 0; i < 8; i++)
		count |= (uint64_t) bytes[i] << (8 * i);
	return (int64_t) count;
}

size_t
exact_store(const ExactSum *sum, uint8_t *bytes)
{
	bool		special = sum->nans != 0 || sum->infinities != 0 || sum->negative_infinities != 0;
	uint8_t		above = (uint8_t) extension(sum);
	int			begin = 8 * sum->begin;
	int			end = 8 * sum->end;
	size_t		size = 2;
	int			header;

	while (begin < end && byte_at(sum, begin) == 0)
		begin++;
	while (end - 1 > begin && byte_at(sum, end - 1) == above &&
		   (byte_at(sum, end - 2) ^ above) < 0x80)
		end--;
	header = (begin < end ? begin : 0) | (special ? STORED_SPECIAL : 0);
	bytes[0] = (uint8_t) header;
	bytes[1] = (uint8_t) (header >> 8);
	if (special)
	{
		store_count(bytes + 2, sum->nans);
		store_count(bytes + 10, sum->infinities);
		store_count(bytes + 18, sum->negative_infinities);
		size += 24;
	}
	for (; begin < end; begin++)
		bytes[size++] = byte_at(sum, begin);
	return size;
}

bool
exact_load(ExactSum *sum, const uint8_t *bytes, size_t size)
{
	int			header;
	int			place;
	uint8_t		above;
	size_t		i;

	exact_init(sum);
	if (size < 2)
		return false;
	header = bytes[0] | bytes[1] << 8;
	place = header & STORED_PLACE;
	bytes += 2;
	size -= 2;
	if (header & STORED_SPECIAL)
	{
		if (size < 24)
			return false;
		sum->nans = load_count(bytes);
		sum->infinities = load_count(bytes + 8);
		sum->negative_infinities = load_count(bytes + 16);
		if (sum->nans == 0 && sum->infinities == 0 && sum->negative_infinities == 0)
			return false;
		bytes += 24;
		size -= 24;
	}
	if (header & ~(STORED_PLACE | STORED_SPECIAL))
		return false;
	if (size == 0)
		return place == 0;
	if (size > 8 * EXACT_LIMBS || place + size > 8 * (EXACT_LIMBS - 1) || bytes[0] == 0)
		return false;
	above = bytes[size - 1] >= 0x80 ? 0xff : 0;
	if (size > 1 && bytes[size - 1] == above && (bytes[size - 2] ^ above) < 0x80)
		return false;
	cover(sum, place / 8, (int) (place + size + 7) / 8);
	for (i = 0; i < size; i++)
		sum->limbs[(place + i) / 8] |= (uint64_t) bytes[i] << (8 * ((place + i) % 8));
	for (i += place; i % 8 != 0; i++)
		sum->limbs[i / 8] |= (uint64_t) above << (8 * (i % 8));
	return true;
}
