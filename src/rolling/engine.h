/*
 * engine.h
 *		What the parts of the windows share: the history of a key, its columns,
 *		its windows, and what each feature remembers.
 *
 * Events are numbered in the order in which they are added, and numbering goes
 * on over keys, so whatever still names an event of an earlier key names one
 * that is too old.  Event i of the history is element i & mask of its arrays.
 *
 *	 first <= begin <= end <= past <= next
 *
 * Events from first on are kept, begin .. end - 1 are in a window, those
 * before past are earlier than the last moment asked about.
 */
#ifndef PG_RISK_ROLLING_ENGINE_H
#define PG_RISK_ROLLING_ENGINE_H

#include "number.h"

#define NO_EVENT		(-1)

/*
 * A value with what stands before it: the total of the values of all earlier
 * events, in units of the column's 2^base and modulo 2^128, and their number.
 * An event has a value if the count of the next one is greater.
 */
typedef struct Cell
{
	uint64_t	total[2];		/* lowest first: a uint128 would ask for alignment */
	int64_t		count;
	double		value;
} Cell;

/*
 * Values fit if they are multiples of 2^base below 2^(base + FIXED_BITS): the
 * sum of MOST_FIXED of them is then within a signed 128-bit integer.
 */
#define FIXED_BITS		100
#define MOST_FIXED		(INT64_C(1) << 27)
#define HIGHEST_BASE	(1024 - FIXED_BITS)
#define LOWEST_BASE		(-1074)	/* of any value; 2^(base + 64) is a normal float8 */

/* Money's: from 2^-12 to 2^36 all float8 values fit. */
#define FIRST_BASE		(-64)

typedef struct Column
{
	Cell	   *cells;			/* [capacity]; of event next, what stands before it */
	uint64_t	divisor;		/* of sums */
	int			base;
	int			refits;			/* of this key */
	bool		wide;			/* values do not fit: the features have exact sums */
} Column;

/* The id of an event, and the events before and after that have it too. */
typedef struct Link
{
	uint64_t	id;
	int64_t		previous;		/* or NO_EVENT */
	int64_t		following;		/* or INT64_MAX */
} Link;

/* The latest event of an id; a place in the table with NO_EVENT is free. */
typedef struct Latest
{
	uint64_t	id;
	int64_t		event;
} Latest;

typedef struct Identity
{
	Link	   *links;			/* [capacity], up to event past - 1 */
	Latest	   *table;			/* open addressing; [table_mask + 1] */
	uint64_t	table_mask;
	uint64_t	table_used;		/* places not free */
} Identity;

typedef struct Window
{
	int64_t		lower;
	int64_t		upper;
	int64_t		begin;
	int64_t		end;
	bool		busy;			/* features follow the events that come and go */
} Window;

/* Where a window is at an event of a block. */
typedef struct Ends
{
	int64_t		begin;
	int64_t		end;
} Ends;

typedef struct Feature
{
	RollingFeature what;
	uint32_t	place;			/* in the spec, and of its result */
	int64_t    *queue;			/* [capacity]; minimum and maximum: events that */
	int64_t		head;			/* may become it, head .. tail - 1 */
	int64_t		tail;
	int64_t		last;			/* an event of the latest instant with a value */
	double		value;			/* the greatest of that instant */
	int64_t		distinct;
	int64_t		begin;			/* decayed: events in sum, as of anchor */
	int64_t		end;
	int64_t		anchor;
	ExactSum	sum;			/* of a wide column; decayed: of the terms */
	ExactSum	squares;
} Feature;

struct Rolling
{
	RollingSpec spec;
	int64_t		first;
	int64_t		past;
	int64_t		next;
	int64_t		mask;
	int64_t		now;			/* the last moment asked about */
	int64_t		latest;			/* the time of the last event */
	int64_t		oldest;			/* all events from then on are kept */
	int64_t    *times;			/* [capacity]; of event next, INT64_MAX: a mark */
	Column	   *columns;
	Identity   *identities;
	Window	   *windows;
	int64_t    *lower;			/* of blocks, NULL before the first: the bounds of */
	int64_t    *upper;			/* an event, [num_windows], */
	Ends	   *ends;			/* and where windows are, [num_windows][ROLLING_BLOCK] */
	Feature    *features;		/* counts, then sums, then others */
	uint32_t	sums;			/* where these begin */
	uint32_t	others;
};

/* column.c */
extern bool to_fixed_slowly(double value, int base, uint128 *amount);
extern bool column_refit(Rolling *r, uint32_t column);
extern void column_widen(Rolling *r, uint32_t column);
extern void column_enter(const Rolling *r, Feature *f, int64_t event);
extern void column_leave(const Rolling *r, Feature *f, int64_t event);
extern double column_stddev(const Rolling *r, const Feature *f, const Window *w, int64_t n);

/* identity.c */
extern bool identity_link(Rolling *r, Identity *identity, int64_t event);
extern double identity_decayed(Rolling *r, Feature *f, const Window *w, uint64_t own);

static inline int64_t
time_of(const Rolling *r, int64_t event)
{
	return r->times[event & r->mask];
}

static inline Cell *
cell_of(const Rolling *r, uint32_t column, int64_t event)
{
	return &r->columns[column].cells[event & r->mask];
}

static inline bool
has_value(const Rolling *r, uint32_t column, int64_t event)
{
	return cell_of(r, column, event + 1)->count > cell_of(r, column, event)->count;
}

/* What the values of a window sum up to, +-(high * 2^64 + low) in units of the
 * column's 2^base. */
typedef struct Total
{
	uint64_t	high;
	uint64_t	low;
	bool		negative;
} Total;

static inline Total
total_of(const Rolling *r, uint32_t column, const Window *w)
{
	const uint64_t *begin = cell_of(r, column, w->begin)->total;
	const uint64_t *end = cell_of(r, column, w->end)->total;
	uint64_t	low = end[0] - begin[0];
	uint64_t	high = end[1] - begin[1] - (end[0] < begin[0]);
	uint64_t	sign = -(high >> 63);

	/* Where it is negative, its two's complement. */
	low = (low ^ sign) - sign;
	high = (high ^ sign) + (sign & (low == 0));
	return (Total) {high, low, sign & 1};
}

/*
 * Whether the low limb of that is 0, as it is for integers in units of 2^FIRST_BASE.
 * Then the high one, with its sign, is all of it, in units of 2^(base + 64).
 */
static inline bool
is_short_total(const Rolling *r, uint32_t column, const Window *w, int64_t *high)
{
	const uint64_t *begin = cell_of(r, column, w->begin)->total;
	const uint64_t *end = cell_of(r, column, w->end)->total;

	*high = (int64_t) (end[1] - begin[1]);
	return end[0] == begin[0];
}

/* A value in units of 2^base.  False: it does not fit; what is not finite, seen
 * as a number, is too great for the highest base. */
static inline bool
to_fixed(double value, int base, uint128 *amount)
{
	Parts		parts = take_apart(value);
	int			shift = parts.exponent - base;

	if (shift < 0 || shift > FIXED_BITS - 53)
		return to_fixed_slowly(value, base, amount);
	*amount = (uint128) parts.mantissa << shift;
	if (parts.negative)
		*amount = -*amount;
	return true;
}

#endif							/* PG_RISK_ROLLING_ENGINE_H */
