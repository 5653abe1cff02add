/*
 * rolling_decimal.c
 *		Sums of windows of numerics, by PostgreSQL's own arithmetic: exact, so
 *		that of a window is the difference of two running totals.
 *
 * NaN and the infinities have no difference, so they are counted aside.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "rolling_decimal.h"

#define LEAST_ITEMS		64

/* A value's time, and the totals up to it. */
typedef struct Item
{
	int64		time;
	Datum		sum;			/* of those that are finite */
	int64		values;
	int64		nans;
	int64		infinities;
	int64		negative_infinities;
} Item;

/* items[0] has the totals of what came before: its time does not count. */
struct RollingDecimal
{
	MemoryContext context;
	Item	   *items;
	int64		allocated;
	int64		count;
};

RollingDecimal *
rolling_decimal_create(MemoryContext context)
{
	RollingDecimal *decimal = MemoryContextAllocZero(context, sizeof(RollingDecimal));

	decimal->context = AllocSetContextCreate(context, "pg_risk decimals", ALLOCSET_DEFAULT_SIZES);
	rolling_decimal_reset(decimal);
	return decimal;
}

void
rolling_decimal_reset(RollingDecimal *decimal)
{
	MemoryContext before = MemoryContextSwitchTo(decimal->context);

	MemoryContextReset(decimal->context);
	decimal->allocated = LEAST_ITEMS;
	decimal->items = palloc(LEAST_ITEMS * sizeof(Item));
	decimal->items[0] = (Item) {.sum = NumericGetDatum(int64_to_numeric(0))};
	decimal->count = 1;
	MemoryContextSwitchTo(before);
}

void
rolling_decimal_add(RollingDecimal *decimal, int64 time, Datum value)
{
	MemoryContext before = MemoryContextSwitchTo(decimal->context);
	Numeric		number = DatumGetNumeric(value);
	Item	   *item;

	if (decimal->count == decimal->allocated)
	{
		decimal->allocated *= 2;
		decimal->items = repalloc_huge(decimal->items, decimal->allocated * sizeof(Item));
	}
	item = &decimal->items[decimal->count++];
	*item = item[-1];
	item->time = time;
	item->values++;
	if (numeric_is_nan(number))
		item->nans++;
	else if (!numeric_is_inf(number))
		item->sum = DirectFunctionCall2(numeric_add, item->sum, value);
	else if (DatumGetBool(DirectFunctionCall2(numeric_gt, value, decimal->items[0].sum)))
		item->infinities++;
	else
		item->negative_infinities++;
	MemoryContextSwitchTo(before);
}

/* The latest item before a time. */
static int64
latest_before(const RollingDecimal *decimal, int64 time)
{
	int64		low = 0;
	int64		high = decimal->count - 1;

	while (low < high)
	{
		int64		middle = low + (high - low + 1) / 2;

		if (decimal->items[middle].time < time)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

static Datum
special(const char *name)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(name), ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

Datum
rolling_decimal_value(Datum sum, int64 nans, int64 infinities, int64 negative_infinities)
{
	if (nans > 0 || (infinities > 0 && negative_infinities > 0))
		return special("NaN");
	if (infinities > 0)
		return special("Infinity");
	if (negative_infinities > 0)
		return special("-Infinity");
	return DirectFunctionCall1(numeric_trim_scale, sum);
}

Datum
rolling_decimal_sum(const RollingDecimal *decimal, int64 lower, int64 upper, int64 *count)
{
	const Item *begin = &decimal->items[latest_before(decimal, lower)];
	const Item *end = &decimal->items[latest_before(decimal, Max(lower, upper))];

	*count = end->values - begin->values;
	return rolling_decimal_value(DirectFunctionCall2(numeric_sub, end->sum, begin->sum),
								 end->nans - begin->nans, end->infinities - begin->infinities,
								 end->negative_infinities - begin->negative_infinities);
}

static double
to_float8(Datum value)
{
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
}

double
rolling_decimal_avg(Datum sum, int64 count)
{
	return to_float8(DirectFunctionCall2(numeric_div, sum, NumericGetDatum(int64_to_numeric(count))));
}

/*
 * The float8 nearest to the average, for bigint, whose other averages are correctly
 * rounded.  PostgreSQL divides to 16 digits, or as many decimals as its arguments have.
 * An integer over a count below 2^63 that lies just between two float8s has no more than
 * 63 decimals, and others are further from there than 10^-54.
 */
static double
nearest_avg(Datum sum, int64 count)
{
	return rolling_decimal_avg(DirectFunctionCall2(numeric_round, sum, Int32GetDatum(80)), count);
}

bool
rolling_decimal_result(const RollingDecimal *decimal, Oid type, bool average, int64 lower, int64 upper, double *result)
{
	int64		count;
	Datum		sum = rolling_decimal_sum(decimal, lower, upper, &count);

	if (!average)
		*result = to_float8(sum);
	else if (count > 0)
		*result = type == INT8OID ? nearest_avg(sum, count) : rolling_decimal_avg(sum, count);
	return !average || count > 0;
}

/* Seldom, and then much. */
void
rolling_decimal_forget(RollingDecimal *decimal, int64 time)
{
	int64		n = latest_before(decimal, time);

	if (n < LEAST_ITEMS || n < decimal->count / 2)
		return;
	for (int64 i = 0; i < n; i++)
	{
		/* Those that are not finite share a sum. */
		if (decimal->items[i].sum != decimal->items[i + 1].sum)
			pfree(DatumGetPointer(decimal->items[i].sum));
	}
	memmove(decimal->items, decimal->items + n, (decimal->count - n) * sizeof(Item));
	decimal->count -= n;
}
