/*
 * rolling_exact_test.c
 *		Unit tests of exact sums (src/rolling/exact.c).
 *
 * The oracle shares nothing with the code: schoolbook integers of 32-bit
 * digits that are as wide as the whole range.  It does not round; it judges
 * whether a result is the float8 nearest to the exact one, by comparing with
 * the points halfway to the result's neighbours.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rolling.h"
#include "rolling_random.h"
#include "tap.h"

/* ---- the oracle ---- */

#define DIGITS	160

/* An integer: sign and digits, lowest first.  Values are in units of 2^-1075
 * (halfway points need one bit more than float8), squares of its square. */
typedef struct Big
{
	bool		negative;
	uint32_t	digits[DIGITS];
} Big;

static int
compare_magnitudes(const Big *a, const Big *b)
{
	int			i;

	for (i = DIGITS - 1; i >= 0; i--)
		if (a->digits[i] != b->digits[i])
			return a->digits[i] < b->digits[i] ? -1 : 1;
	return 0;
}

static bool
is_zero(const Big *a)
{
	static const Big zero;

	return compare_magnitudes(a, &zero) == 0;
}

/* a + b, or a - b: the smaller in size is added to or taken from the greater. */
static Big
big_add(const Big *a, const Big *b, bool subtract)
{
	bool		b_negative = b->negative != subtract;
	bool		swap = compare_magnitudes(a, b) < 0;
	const Big  *greater = swap ? b : a;
	const Big  *smaller = swap ? a : b;
	int64_t		sign = a->negative == b_negative ? 1 : -1;
	Big			result = {0};
	int64_t		carry = 0;
	int			i;

	for (i = 0; i < DIGITS; i++)
	{
		carry += greater->digits[i] + sign * smaller->digits[i];
		result.digits[i] = (uint32_t) carry;
		carry >>= 32;
	}
	result.negative = (swap ? b_negative : a->negative) && !is_zero(&result);
	return result;
}

static Big
big_multiply(const Big *a, const Big *b)
{
	Big			result = {0};
	int			i;
	int			j;

	for (i = 0; i < DIGITS; i++)
	{
		uint64_t	carry = 0;

		for (j = 0; a->digits[i] != 0 && i + j < DIGITS; j++)
		{
			carry += (uint64_t) a->digits[i] * b->digits[j] + result.digits[i + j];
			result.digits[i + j] = (uint32_t) carry;
			carry >>= 32;
		}
	}
	result.negative = a->negative != b->negative && !is_zero(&result);
	return result;
}

static Big
big_of(uint64_t n)
{
	Big			result = {0};

	result.digits[0] = (uint32_t) n;
	result.digits[1] = (uint32_t) (n >> 32);
	return result;
}

/* Exponent of the lowest bit that a float8 of this size can have. */
static int
lowest_bit(double value)
{
	int			exponent;

	frexp(value, &exponent);
	return value == 0 || exponent - 53 < -1074 ? -1074 : exponent - 53;
}

/* mantissa * 2^exponent in units of 2^-1075. */
static Big
big_scaled(uint64_t mantissa, int exponent)
{
	Big			number = big_of(mantissa);
	Big			power = {0};
	int			place = exponent + 1075;

	power.digits[place / 32] = UINT32_C(1) << place % 32;
	return big_multiply(&number, &power);
}

static Big
big_value(double value)
{
	int			exponent = lowest_bit(value);
	Big			result = big_scaled((uint64_t) ldexp(fabs(value), -exponent), exponent);

	result.negative = value < 0;
	return result;
}

/* The point halfway from a value >= 0 to the next above; above DBL_MAX stands
 * 2^1024. */
static Big
halfway_above(double value)
{
	int			exponent = lowest_bit(value);

	return big_scaled(2 * (uint64_t) ldexp(value, -exponent) + 1, exponent - 1);
}

/* Whether the result is the rounded size of value / n or, squared, of the root
 * of it: n * halfway^power must enclose the value. */
static bool
nearest(double result, const Big *value, const Big *n, int power)
{
	uint64_t	bits;
	bool		even;
	double		size = isinf(result) ? DBL_MAX : fabs(result);
	Big			low = halfway_above(isinf(result) ? size : nextafter(size, 0));
	Big			high = halfway_above(size);
	int			below;
	int			above;

	memcpy(&bits, &result, sizeof(bits));
	even = isinf(result) || (bits & 1) == 0;
	if (isnan(result) || (result == 0 && signbit(result)) ||
		(result != 0 && signbit(result) != value->negative))
		return false;
	if (power == 2)
	{
		low = big_multiply(&low, &low);
		high = big_multiply(&high, &high);
	}
	low = big_multiply(&low, n);
	high = big_multiply(&high, n);
	below = compare_magnitudes(&low, value);
	above = compare_magnitudes(value, &high);
	return (result == 0 || (even ? below <= 0 : below < 0)) &&
		(isinf(result) || (even ? above <= 0 : above < 0));
}

/* ---- a multiset of values and what the code says of it ---- */

#define MOST	64

typedef struct Bag
{
	double		values[MOST];
	int			count;
} Bag;

/* Sum, average and standard deviation of the bag's finite values are right. */
static bool
right(const Bag *bag, const ExactSum *sum, const ExactSum *squares)
{
	Big			total = {0};
	Big			total_squares = {0};
	Big			one = big_of(1);
	Big			n = big_of((uint64_t) bag->count);
	bool		held;
	int			i;

	for (i = 0; i < bag->count; i++)
	{
		Big			value = big_value(bag->values[i]);
		Big			square = big_multiply(&value, &value);

		total = big_add(&total, &value, false);
		total_squares = big_add(&total_squares, &square, false);
	}
	held = nearest(exact_sum(sum), &total, &one, 1);
	if (bag->count > 0)
		held = held && nearest(exact_avg(sum, (uint64_t) bag->count), &total, &n, 1);
	if (bag->count > 1)
	{
		Big			less = big_of((uint64_t) bag->count - 1);
		Big			pairs = big_multiply(&n, &less);
		Big			numerator = big_multiply(&n, &total_squares);
		Big			square = big_multiply(&total, &total);

		numerator = big_add(&numerator, &square, true);
		held = held && nearest(exact_stddev(sum, squares, (uint64_t) bag->count),
							   &numerator, &pairs, 2);
	}
	return held;
}

/* The stored form, in a block of exactly its size. */
static uint8_t *
stored(const ExactSum *sum, size_t *size)
{
	uint8_t		bytes[EXACT_MAX_BYTES];
	uint8_t    *block;

	*size = exact_store(sum, bytes);
	block = malloc(*size);
	memcpy(block, bytes, *size);
	return block;
}

/* Equal sums, whatever limbs they are in. */
static bool
same(const ExactSum *a, const ExactSum *b)
{
	uint8_t		left[EXACT_MAX_BYTES];
	uint8_t		right[EXACT_MAX_BYTES];
	size_t		size = exact_store(a, left);

	return exact_store(b, right) == size && memcmp(left, right, size) == 0;
}

/* Through its stored form. */
static bool
reload(ExactSum *sum)
{
	ExactSum	copy;
	size_t		size;
	uint8_t    *bytes = stored(sum, &size);
	bool		loaded = exact_load(&copy, bytes, size);

	free(bytes);
	if (!loaded || !same(sum, &copy))
		return false;
	*sum = copy;
	return true;
}

static void
add_both(ExactSum *sum, ExactSum *squares, double value, bool subtract)
{
	(subtract ? exact_subtract : exact_add) (sum, value);
	(subtract ? exact_subtract_square : exact_add_square) (squares, value);
}

/*
 * Random streams: values come and go, are split over two sums that are merged
 * or taken apart, go through the stored form; after every few steps the state
 * is that of a fresh sum in another order, and its results are right.
 */
static void
test_streams(const Style *style)
{
	int			wrong = 0;
	int			different = 0;
	int			not_loaded = 0;
	int			round;

	for (round = 0; round < 60; round++)
	{
		Bag			bag = {.count = 0};
		ExactSum	sum[2];
		ExactSum	squares[2];
		ExactSum	fresh;
		ExactSum	fresh_squares;
		int			step;
		int			i;

		for (i = 0; i < 2; i++)
		{
			exact_init(&sum[i]);
			exact_init(&squares[i]);
		}
		for (step = 0; step < 150; step++)
		{
			int			side = (int) random_below(2);

			if (bag.count < MOST && random_below(100) < 60)
			{
				double		value = random_value(style);

				bag.values[bag.count++] = value;
				add_both(&sum[side], &squares[side], value, false);
			}
			else if (bag.count > 0)
			{
				int			leaving = (int) random_below((uint64_t) bag.count);

				add_both(&sum[side], &squares[side], bag.values[leaving], true);
				bag.values[leaving] = bag.values[--bag.count];
			}
			if (random_below(10) == 0)
				not_loaded += !reload(&sum[side]) + !reload(&squares[side]);
			if (random_below(12) != 0)
				continue;
			exact_merge(&sum[0], &sum[1]);
			exact_merge(&squares[0], &squares[1]);
			wrong += !right(&bag, &sum[0], &squares[0]);
			exact_init(&fresh);
			exact_init(&fresh_squares);
			for (i = bag.count - 1; i >= 0; i--)
				add_both(&fresh, &fresh_squares, bag.values[i], false);
			different += !same(&fresh, &sum[0]) + !same(&fresh_squares, &squares[0]);
			exact_unmerge(&sum[0], &sum[1]);
			exact_unmerge(&squares[0], &squares[1]);
		}
	}
	ok(wrong == 0, "sum, average and deviation are correctly rounded: %s (%d are not)",
	   style->name, wrong);
	ok(different == 0, "the state depends on the multiset alone: %s (%d differ)",
	   style->name, different);
	ok(not_loaded == 0, "stored and loaded again: %s (%d are not)", style->name, not_loaded);
}

/* ---- by hand ---- */

/* The sum of the values that a list ends with 0. */
static double
sum_of(const double *values)
{
	ExactSum	sum;

	exact_init(&sum);
	for (; *values != 0; values++)
		exact_add(&sum, *values);
	return exact_sum(&sum);
}

#define SUM(...) sum_of((const double[]) {__VA_ARGS__, 0})

static void
test_by_hand(void)
{
	ExactSum	sum;
	ExactSum	squares;
	int			i;

	ok(SUM(1e300, 1e-300, -1e300) == 1e-300, "what is cancelled leaves the rest whole");
	ok(SUM(1, 0x1p-53) == 1, "a tie goes to the even neighbour below");
	ok(SUM(1 + 0x1p-52, 0x1p-53) == 1 + 0x1p-51, "a tie goes to the even neighbour above");
	ok(SUM(1, 0x1p-53, 0x1p-1074) == 1 + 0x1p-52, "the least value breaks a tie");
	ok(SUM(1, 0x1p-53, 0x1p-63) == 1 + 0x1p-52, "the 64th bit breaks a tie");
	ok(SUM(1, 0x1p-53, 0x1p-128) == 1 + 0x1p-52, "and so does one that just does not fit 128");
	ok(SUM(1, 0x1p-53, -0x1p-1074) == 1, "the least value below a tie");
	ok(SUM(DBL_MAX, DBL_MAX) == INFINITY, "a sum beyond the range is infinite");
	ok(SUM(-DBL_MAX, -DBL_MAX) == -INFINITY, "and negative below it");
	ok(SUM(DBL_MAX, DBL_MAX, -DBL_MAX) == DBL_MAX, "and finite again when it is back");
	ok(SUM(DBL_MAX, 0x1p969) == DBL_MAX, "less than half a step beyond is not beyond");
	ok(SUM(DBL_MAX, 0x1p970) == INFINITY, "half a step beyond is");
	ok(SUM(0x1p-1074, 0x1p-1074) == 0x1p-1073, "subnormal values");

	exact_init(&sum);
	ok(exact_sum(&sum) == 0 && !signbit(exact_sum(&sum)), "nothing sums up to 0");
	exact_add(&sum, -0.0);
	ok(!signbit(exact_sum(&sum)), "-0 counts as 0");
	ok(sum.begin == sum.end, "and takes no limb");
	exact_add(&sum, DBL_MAX);
	exact_add(&sum, DBL_MAX);
	ok(exact_avg(&sum, 2) == DBL_MAX, "an average does not suffer from overflow");

	exact_init(&sum);
	exact_add(&sum, 3);
	exact_add(&sum, 0x3p-53);
	ok(exact_avg(&sum, 3) == 1, "an average can be a tie");
	exact_add(&sum, 0x1p-126);
	ok(exact_avg(&sum, 3) == 1 + 0x1p-52, "which the remainder of the division breaks");

	exact_init(&sum);
	exact_init(&squares);
	for (i = 0; i < 1000000; i++)
		add_both(&sum, &squares, 0.01, false);
	ok(exact_sum(&sum) == 10000 && exact_avg(&sum, 1000000) == 0.01 &&
	   exact_stddev(&sum, &squares, 1000000) == 0, "a million cents are ten thousand");
	ok(sum.end - sum.begin == 2, "money takes two limbs");
	for (i = 0; i < 1000000; i++)
		add_both(&sum, &squares, 0.01, true);
	exact_init(&squares);
	ok(same(&sum, &squares), "and retracted, nothing");
	add_both(&sum, &squares, DBL_MAX, false);
	add_both(&sum, &squares, -DBL_MAX, false);
	ok(exact_stddev(&sum, &squares, 2) == INFINITY, "a deviation beyond the range is infinite");
	exact_subtract_square(&squares, DBL_MAX);
	exact_subtract_square(&squares, DBL_MAX);
	exact_add(&sum, 1);
	ok(isnan(exact_stddev(&sum, &squares, 2)), "squares of other values have no deviation");
	exact_init(&squares);
	exact_add_square(&squares, 1);
	exact_add(&sum, 0x1p200);
	ok(isnan(exact_stddev(&sum, &squares, 2)), "nor have squares of much smaller ones");
}

/*
 * The deviation of 4t, 4t, 2t, their negatives and three zeros is 3t, which is
 * halfway between two float8 values if it is odd and has 54 bits.  Something
 * small in place of the zeros breaks the tie, wherever its bits come to stand.
 */
static void
test_deviation_ties(void)
{
	static const double t = 0x1p52 + 3;
	static const double odd[] = {0, 0x1p-8, 0x1p-71, 0x1p-72, 0x1p-300};
	size_t		i;
	int			pair;

	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		for (pair = 0; pair < 2; pair++)
		{
			const double values[] = {4 * t, -4 * t, 4 * t, -4 * t, 2 * t, -2 * t, odd[i], pair * -odd[i], 0};
			double		expected = 3 * 0x1p52 + (odd[i] == 0 ? 8 : 10);
			ExactSum	sum;
			ExactSum	squares;
			int			k;

			exact_init(&sum);
			exact_init(&squares);
			for (k = 0; k < 9; k++)
				add_both(&sum, &squares, values[k], false);
			ok(exact_stddev(&sum, &squares, 9) == expected,
			   "a deviation about a tie: %g%s", odd[i], pair ? ", and its negative" : "");
		}
}

/* Halves of the smallest float8 value. */
static void
test_least_results(void)
{
	static const uint64_t one[] = {1};
	static const uint64_t three[] = {3};
	ExactSum	sum;

	exact_init(&sum);
	exact_add_integer(&sum, false, one, 1, -1075);
	ok(exact_sum(&sum) == 0, "half of the smallest value is 0");
	exact_add_integer(&sum, true, one, 1, -1074);
	ok(exact_sum(&sum) == 0 && !signbit(exact_sum(&sum)), "nor is there a -0");
	exact_init(&sum);
	exact_add_integer(&sum, false, three, 1, -1076);
	ok(exact_sum(&sum) == 0x1p-1074, "three quarters of it are it");
	exact_add_integer(&sum, false, three, 1, -1076);
	ok(exact_sum(&sum) == 0x1p-1073, "three halves of it are even");
	exact_init(&sum);
	exact_add_integer(&sum, false, one, 1, -1076);
	ok(exact_sum(&sum) == 0, "a quarter of it is 0");
}

static void
test_special_values(void)
{
	ExactSum	sum;
	ExactSum	other;

	exact_init(&sum);
	exact_init(&other);
	exact_add(&sum, 7);
	exact_add(&sum, INFINITY);
	ok(exact_sum(&sum) == INFINITY && exact_avg(&sum, 2) == INFINITY && !exact_finite(&sum),
	   "infinity prevails over finite values");
	ok(isnan(exact_stddev(&sum, &other, 2)), "a deviation with infinity is NaN");
	exact_add(&sum, -INFINITY);
	ok(isnan(exact_sum(&sum)) && isnan(exact_avg(&sum, 3)), "both infinities are NaN");
	ok(reload(&sum), "special values are stored");
	exact_add(&other, INFINITY);
	exact_unmerge(&sum, &other);
	ok(exact_sum(&sum) == -INFINITY, "one retracted leaves the other");
	exact_subtract(&sum, -INFINITY);
	exact_add(&sum, NAN);
	ok(isnan(exact_sum(&sum)), "NaN is NaN");
	exact_init(&other);
	exact_add(&other, NAN);
	exact_unmerge(&sum, &other);
	ok(exact_sum(&sum) == 7 && exact_finite(&sum), "all retracted leave the finite values");
	exact_subtract(&sum, NAN);
	ok(exact_sum(&sum) == 7 && reload(&sum), "a retraction may come first");
	exact_add(&sum, NAN);
	exact_init(&other);
	exact_add(&other, 7);
	ok(same(&sum, &other), "and leaves no trace");
}

static void
test_integers(void)
{
	static const uint64_t wei[] = {0, 5, 1};	/* 2^128 + 5 * 2^64 */
	static const uint64_t bit[] = {1, 0};
	static const uint64_t three[] = {3};
	ExactSum	sum;
	ExactSum	other;

	exact_init(&sum);
	exact_init(&other);
	ok(exact_add_integer(&sum, false, wei, 3, 0) && exact_sum(&sum) == 0x1p128 + 0x5p64,
	   "an integer past 64 bits");
	exact_add(&other, 0x1p128);
	exact_add(&other, 0x5p64);
	ok(same(&sum, &other), "is the sum of its parts");
	ok(exact_add_integer(&sum, true, wei, 3, 0) && exact_sum(&sum) == 0, "and is retracted");
	ok(exact_add_integer(&sum, true, three, 1, -2) && exact_sum(&sum) == -0.75, "a fraction");
	ok(exact_add_integer(&sum, false, three, 0, 0) && exact_sum(&sum) == -0.75, "no limbs are 0");
	ok(exact_add_integer(&sum, false, bit, 2, EXACT_LOWEST_BIT), "the lowest bit fits");
	ok(!exact_add_integer(&sum, false, bit, 2, EXACT_LOWEST_BIT - 1), "one below does not");
	ok(exact_add_integer(&sum, false, bit, 2, EXACT_HIGHEST_BIT - 1), "the highest bit fits");
	ok(!exact_add_integer(&sum, false, three, 1, EXACT_HIGHEST_BIT - 1), "one above does not");
	ok(!exact_add_integer(&sum, false, three, 1, INT32_MAX) &&
	   !exact_add_integer(&sum, false, three, 1, INT32_MIN), "nor does what is far off");
	ok(exact_add_integer(&sum, true, bit, 2, EXACT_HIGHEST_BIT - 1) &&
	   exact_add_integer(&sum, true, bit, 2, EXACT_LOWEST_BIT) && exact_sum(&sum) == -0.75 &&
	   reload(&sum), "the whole width cancels");
}

/* ---- damaged bytes ---- */

/* Bytes are refused, or are the one form of what they say. */
static bool
sound(const uint8_t *bytes, size_t size)
{
	uint8_t    *block = malloc(size > 0 ? size : 1);
	uint8_t		again[EXACT_MAX_BYTES];
	ExactSum	sum;
	bool		held = true;

	memcpy(block, bytes, size);
	if (exact_load(&sum, block, size))
	{
		held = exact_store(&sum, again) == size && memcmp(again, block, size) == 0;
		exact_merge(&sum, &sum);
		exact_stddev(&sum, &sum, 3);
		exact_avg(&sum, 3);
	}
	free(block);
	return held;
}

static void
test_damaged_bytes(void)
{
	int			unsound = 0;
	int			refused = 0;
	int			round;

	for (round = 0; round < 200000; round++)
	{
		uint8_t		bytes[EXACT_MAX_BYTES + 8];
		ExactSum	sum;
		size_t		size;
		int			i;

		exact_init(&sum);
		for (i = (int) random_below(4); i > 0; i--)
			exact_add(&sum, random_value(&styles[random_below(NUM_STYLES)]));
		if (random_below(4) == 0)
			exact_add(&sum, INFINITY);
		size = exact_store(&sum, bytes);
		for (i = 1 + (int) random_below(3); i > 0; i--)
		{
			if (random_below(3) == 0)
				size = random_below(size + 9);
			else if (size > 0)
				bytes[random_below(size < 8 ? size : 8)] = (uint8_t) random_bits();
			size = size > EXACT_MAX_BYTES ? EXACT_MAX_BYTES : size;
			if (random_below(8) == 0 && size > 0)
				bytes[size - 1] = random_below(2) ? 0 : 0xff;
		}
		unsound += !sound(bytes, size);
		refused += !exact_load(&sum, bytes, size);
	}
	ok(unsound == 0, "no bytes are loaded that are not a stored form (%d are)", unsound);
	ok(refused > 10000 && refused < 190000, "and damaged ones are refused or others' form");
}

int
main(void)
{
	size_t		i;

	test_by_hand();
	test_deviation_ties();
	test_least_results();
	test_special_values();
	test_integers();
	for (i = 0; i < NUM_STYLES; i++)
		test_streams(&styles[i]);
	test_damaged_bytes();
	return done_testing();
}
