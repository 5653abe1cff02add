/*
 * column.c
 *		The values of events: running totals while they fit into 128 bits,
 *		else exact sums that follow each window; minima, maxima and last values.
 */
#include "engine.h"
#include "../forest/pure.h"

/* Refits that a key may cost: each goes over all of its history. */
#define MOST_REFITS		16

/* ---- fixed point ---- */

/* The bits of a value other than 0, without the zeros below. */
static Parts
significant(double value)
{
	Parts		parts = take_apart(value);
	int			zeros = __builtin_ctzll(parts.mantissa);

	parts.mantissa >>= zeros;
	parts.exponent += zeros;
	return parts;
}

static int
bit_length(uint64_t value)
{
	return 64 - __builtin_clzll(value);
}

/* See to_fixed(). */
bool
to_fixed_slowly(double value, int base, uint128 *amount)
{
	Parts		parts;

	*amount = 0;
	if (value == 0)
		return true;
	parts = significant(value);
	if (parts.exponent < base ||
		parts.exponent + bit_length(parts.mantissa) > base + FIXED_BITS)
		return false;
	*amount = (uint128) parts.mantissa << (parts.exponent - base);
	if (parts.negative)
		*amount = -*amount;
	return true;
}

/* Totals of the whole history anew, in units of 2^base. */
static void
total_anew(Rolling *r, uint32_t column)
{
	uint128		total = 0;
	uint128		amount;
	int64_t		i;

	for (i = r->first; i <= r->next; i++)
	{
		Cell	   *cell = cell_of(r, column, i);

		cell->total[0] = (uint64_t) total;
		cell->total[1] = (uint64_t) (total >> 64);
		if (i < r->next && has_value(r, column, i) &&
			to_fixed(cell->value, r->columns[column].base, &amount))
			total += amount;
	}
}

/*
 * Choose the column's base so that all values of the history fit, with as much
 * room below as above.  False: there is none.
 */
bool
column_refit(Rolling *r, uint32_t column)
{
	int			lowest = INT16_MAX;
	int			highest = INT16_MIN;
	int64_t		i;

	if (r->columns[column].refits++ >= MOST_REFITS)
		return false;
	for (i = r->first; i < r->next; i++)
	{
		double		value = cell_of(r, column, i)->value;
		Parts		parts;
		int			top;

		if (!has_value(r, column, i) || value == 0)
			continue;
		if (!isfinite(value))
			return false;
		parts = significant(value);
		top = parts.exponent + bit_length(parts.mantissa);
		lowest = parts.exponent < lowest ? parts.exponent : lowest;
		highest = top > highest ? top : highest;
	}
	if (highest - lowest > FIXED_BITS)
		return false;
	lowest -= (FIXED_BITS - (highest - lowest)) / 2;
	lowest = lowest < HIGHEST_BASE ? lowest : HIGHEST_BASE;
	r->columns[column].base = lowest > LOWEST_BASE ? lowest : LOWEST_BASE;
	total_anew(r, column);
	return true;
}

/* Change a column to exact sums: those of the windows as they are. */
void
column_widen(Rolling *r, uint32_t column)
{
	uint32_t	i;

	r->columns[column].wide = true;
	for (i = 0; i < r->spec.num_features; i++)
	{
		Feature    *f = &r->features[i];
		Window	   *w = &r->windows[f->what.window];
		int64_t		event;

		if (f->what.column != column ||
			(f->what.aggregate != ROLLING_SUM && f->what.aggregate != ROLLING_AVG &&
			 f->what.aggregate != ROLLING_STDDEV))
			continue;
		w->busy = true;
		exact_init(&f->sum);
		for (event = w->begin; event < w->end; event++)
			if (has_value(r, column, event))
				exact_add(&f->sum, cell_of(r, column, event)->value);
	}
}

/* ---- what features remember ---- */

/* Whether a is greater: NaN is above all others. */
static bool
above(double a, double b)
{
	return a > b || (isnan(a) && !isnan(b));
}

/* Queue an event for the minimum or maximum; those that it outlives and is no
 * worse than go. */
static void
enqueue(const Rolling *r, Feature *f, int64_t event, double value)
{
	while (f->tail > f->head)
	{
		double		other = cell_of(r, f->what.column, f->queue[(f->tail - 1) & r->mask])->value;

		if (f->what.aggregate == ROLLING_MAX ? above(other, value) : above(value, other))
			break;
		f->tail--;
	}
	f->queue[f->tail++ & r->mask] = event;
}

/* An event comes into the feature's window. */
void
column_enter(const Rolling *r, Feature *f, int64_t event)
{
	double		value = cell_of(r, f->what.column, event)->value;

	if (!has_value(r, f->what.column, event))
		return;
	switch (f->what.aggregate)
	{
		case ROLLING_STDDEV:
			exact_add_square(&f->squares, value);
			/* FALLTHROUGH */
		case ROLLING_SUM:
		case ROLLING_AVG:
			if (r->columns[f->what.column].wide)
				exact_add(&f->sum, value);
			break;
		case ROLLING_MIN:
		case ROLLING_MAX:
			enqueue(r, f, event, value);
			break;
		case ROLLING_LAST:
			if (f->last < r->first || time_of(r, f->last) < time_of(r, event) ||
				above(value, f->value))
				f->value = value;
			f->last = event;
			break;
		default:
			break;
	}
}

/* An event goes out of the feature's window. */
void
column_leave(const Rolling *r, Feature *f, int64_t event)
{
	double		value = cell_of(r, f->what.column, event)->value;

	if (!has_value(r, f->what.column, event))
		return;
	switch (f->what.aggregate)
	{
		case ROLLING_STDDEV:
			exact_subtract_square(&f->squares, value);
			/* FALLTHROUGH */
		case ROLLING_SUM:
		case ROLLING_AVG:
			if (r->columns[f->what.column].wide)
				exact_subtract(&f->sum, value);
			break;
		case ROLLING_MIN:
		case ROLLING_MAX:
			if (f->head < f->tail && f->queue[f->head & r->mask] == event)
				f->head++;
			break;
		default:
			break;
	}
}

/* The standard deviation of a window's n > 1 values. */
double
column_stddev(const Rolling *r, const Feature *f, const Window *w, int64_t n)
{
	Total		total = total_of(r, f->what.column, w);
	ExactSum	sum;

	if (r->columns[f->what.column].wide)
		return exact_stddev(&f->sum, &f->squares, (uint64_t) n);
	exact_init(&sum);
	exact_add_integer(&sum, false, (const uint64_t[]) {total.low, total.high}, 2,
					  r->columns[f->what.column].base);
	return exact_stddev(&sum, &f->squares, (uint64_t) n);
}
