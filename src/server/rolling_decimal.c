/*
 * rolling_decimal.c
 *		The sum of a moving window of numerics, by PostgreSQL's own arithmetic:
 *		exact, so what left the window can be subtracted.
 *
 * NaN and the infinities cannot, so they are counted aside.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "rolling_decimal.h"

#define LEAST_ITEMS		64

typedef struct Item
{
	int64		time;
	Datum		value;
} Item;

/* 0 <= begin <= end <= count: of the items kept, begin .. end - 1 are in the
 * window. */
struct RollingDecimal
{
	MemoryContext context;
	Item	   *items;
	int64		allocated;
	int64		count;
	int64		begin;
	int64		end;
	int64		lower;
	int64		upper;
	Datum		sum;			/* of those that are finite; 0: nothing yet */
	int64		nans;
	int64		infinities;
	int64		negative_infinities;
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
	MemoryContext context = decimal->context;

	MemoryContextReset(context);
	memset(decimal, 0, sizeof(*decimal));
	decimal->context = context;
	decimal->lower = decimal->upper = PG_INT64_MIN;
	decimal->allocated = LEAST_ITEMS;
	decimal->items = MemoryContextAlloc(context, LEAST_ITEMS * sizeof(Item));
}

/* A value comes into the window: by 1; it goes out: by -1. */
static void
follow(RollingDecimal *decimal, Datum value, int by)
{
	Numeric		number = DatumGetNumeric(value);
	Datum		old = decimal->sum;

	if (numeric_is_nan(number))
		decimal->nans += by;
	else if (numeric_is_inf(number))
	{
		if (DatumGetInt32(DirectFunctionCall2(numeric_cmp, value,
											  DirectFunctionCall1(int4_numeric, Int32GetDatum(0)))) > 0)
			decimal->infinities += by;
		else
			decimal->negative_infinities += by;
	}
	else
	{
		decimal->sum = old == (Datum) 0 ? datumCopy(value, false, -1) :
			DirectFunctionCall2(by > 0 ? numeric_add : numeric_sub, old, value);
		if (old != (Datum) 0)
			pfree(DatumGetPointer(old));
	}
}

/* Forget what no bound can come back to; seldom, and then much. */
static void
forget(RollingDecimal *decimal, int64 kept)
{
	int64		n = 0;

	while (n < decimal->begin && decimal->items[n].time < kept)
		n++;
	if (n < LEAST_ITEMS || n < decimal->count / 2)
		return;
	for (int64 i = 0; i < n; i++)
		pfree(DatumGetPointer(decimal->items[i].value));
	memmove(decimal->items, decimal->items + n, (decimal->count - n) * sizeof(Item));
	decimal->count -= n;
	decimal->begin -= n;
	decimal->end -= n;
}

static Datum
special(const char *name)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(name), ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

Datum
rolling_decimal_sum(RollingDecimal *decimal, int64 lower, int64 upper, int64 kept)
{
	MemoryContext before = MemoryContextSwitchTo(decimal->context);

	if (lower < decimal->lower || upper < decimal->upper)
	{
		while (decimal->begin < decimal->end)
			follow(decimal, decimal->items[decimal->begin++].value, -1);
		decimal->begin = decimal->end = 0;
	}
	decimal->lower = lower;
	decimal->upper = upper;
	for (; decimal->end < decimal->count && decimal->items[decimal->end].time < upper; decimal->end++)
		follow(decimal, decimal->items[decimal->end].value, 1);
	for (; decimal->begin < decimal->end && decimal->items[decimal->begin].time < lower; decimal->begin++)
		follow(decimal, decimal->items[decimal->begin].value, -1);
	forget(decimal, kept);
	MemoryContextSwitchTo(before);

	if (decimal->nans > 0 || (decimal->infinities > 0 && decimal->negative_infinities > 0))
		return special("NaN");
	if (decimal->infinities > 0)
		return special("Infinity");
	if (decimal->negative_infinities > 0)
		return special("-Infinity");
	if (decimal->sum == (Datum) 0)
		return DirectFunctionCall1(int4_numeric, Int32GetDatum(0));
	return DirectFunctionCall1(numeric_trim_scale, decimal->sum);
}

void
rolling_decimal_add(RollingDecimal *decimal, int64 time, Datum value)
{
	MemoryContext before = MemoryContextSwitchTo(decimal->context);

	if (decimal->count == decimal->allocated)
	{
		decimal->allocated *= 2;
		decimal->items = repalloc_huge(decimal->items, decimal->allocated * sizeof(Item));
	}
	decimal->items[decimal->count++] = (Item) {time, datumCopy(value, false, -1)};
	MemoryContextSwitchTo(before);
}
