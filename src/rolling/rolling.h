/*
 * rolling.h
 *		The windows: what happened to a key in the time before an event.  Exact
 *		sums, and aggregates of several sliding windows in one pass.
 *
 * Exact sums
 *
 * A finite float8 is a multiple of 2^-1074, so a sum of them is an integer of
 * some 2200 bits at most.  ExactSum holds that integer, of which only the
 * 64-bit limbs in use are touched: two for ordinary amounts of money.  What is
 * added can be subtracted again, and sums can be merged, in any order: the
 * state depends on the multiset alone.  Nothing is rounded before a result is
 * asked for, and then once, to the nearest float8, ties to even.
 *
 *	- NaN, +infinity and -infinity are counted aside, so they can be subtracted
 *	  as well.  A sum or average with a NaN, or with both infinities, is NaN;
 *	  with one infinity it is that; a standard deviation with any is NaN.
 *	  Counts below 0 (a retraction not yet merged with what it retracts) count
 *	  as none.
 *	- A sum beyond the float8 range is an infinity of its sign (PostgreSQL's
 *	  sum() raises an error; the caller can tell by exact_finite(), which holds
 *	  all the same).  An average or standard deviation does not suffer from
 *	  that: neither passes through the rounded sum.
 *	- -0 counts as 0, and a zero result is always +0.
 *	- numeric values: exact_add_integer() takes any with a finite binary
 *	  expansion, such as integers past 64 bits.  0.1 has none: what is not
 *	  m * 2^k remains with PostgreSQL's own numeric arithmetic, which is exact,
 *	  or is a sum of integers that is divided in the end (exact_avg()).
 *	- The number of values is the caller's to keep, below 2^62.
 *
 * Windows
 *
 * The events of one key come in ascending order of time.  A window is
 * [lower, upper) in event time; the caller gives both bounds for every event.
 * A bound may go back for one key (calendar arithmetic does: the month before
 * 30 March, 23:00 begins later than that before 31 March, 1:00), but to no
 * event older than the least lower bound of the last moment asked about; a
 * window without features can hold that back.  It costs a walk over its events.
 *
 *	 the last hour		   lower = t - 1 h		  upper = t
 *	 with a delay of 7 d   lower = t - 7 d - w	  upper = t - 7 d
 *	 the window before	   lower = t - 2 w		  upper = t - w
 *
 * A share is the average of a column of 1 and 0; the rate of change that of two
 * windows, see rolling_change().
 *
 * So an event counts only what is strictly earlier, the lower bound included,
 * and events at one instant never count each other.  rolling_ask() gives the
 * features of a moment, rolling_add() adds an event to the history; an event
 * that is to have features is asked about and then added:
 *
 *	 for each key:
 *		 rolling_reset(r);
 *		 for each event in order of time:
 *			 rolling_ask(r, &event, lower, upper, results, nulls);
 *			 rolling_add(r, &event);
 *
 * Where many events of a key are there at once, and windows are of the same length
 * for all of them, rolling_pass() does the same in less time.
 *
 * Both are O(1) for each window and feature, amortised over the events of a
 * key.  Memory: of an event 8 bytes, and for each column of values 32, of ids
 * 24, for each minimum or maximum 8; an id takes at most 64 more in the table
 * that finds it.  There is room for at most twice the events that were ever
 * kept at once, which are those from the oldest lower bound on (and 64, and those
 * of a block).
 *
 * How: running totals of each column are kept with the events in 128-bit fixed
 * point, so that the sum of any window is one exact subtraction; of integers it is
 * rounded by one conversion.  A column
 * whose values do not fit together into 128 bits (they span more than 100, or
 * are not finite) changes to an ExactSum a feature for the rest of the key.
 *
 * Everything here is pure C: memory by the caller's function, no I/O, no
 * globals; errors are returned.
 */
#ifndef PG_RISK_ROLLING_H
#define PG_RISK_ROLLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- exact sums (exact.c) ---- */

/*
 * Limb i weighs 2^(64 i - 2176).  The lowest bit of a square of a float8 is
 * 2^-2148; values and squares are below 2^2048, and the last two limbs
 * take what many of them sum up to.
 */
#define EXACT_LIMBS			68
#define EXACT_LOWEST_BIT	(-2176)
#define EXACT_HIGHEST_BIT	2048	/* values are below 2 to this power */

typedef struct ExactSum
{
	int64_t		nans;
	int64_t		infinities;
	int64_t		negative_infinities;
	int32_t		begin;			/* limbs begin .. end - 1 are in use: two's */
	int32_t		end;			/* complement, all below are 0 */
	uint64_t	limbs[EXACT_LIMBS];
} ExactSum;

extern void exact_init(ExactSum *sum);

extern void exact_add(ExactSum *sum, double value);
extern void exact_subtract(ExactSum *sum, double value);

/* The square of a value, exact too; one that is not finite adds nothing. */
extern void exact_add_square(ExactSum *sum, double value);
extern void exact_subtract_square(ExactSum *sum, double value);

/* Add (or subtract: negative) the integer of the limbs, lowest first, times
 * 2^exponent.  False, and nothing is added: a bit is below EXACT_LOWEST_BIT or
 * not below EXACT_HIGHEST_BIT. */
extern bool exact_add_integer(ExactSum *sum, bool negative,
							  const uint64_t *limbs, size_t count, int exponent);

/* Add or subtract all that was added to another sum. */
extern void exact_merge(ExactSum *sum, const ExactSum *other);
extern void exact_unmerge(ExactSum *sum, const ExactSum *other);

/* The sum; whether only finite values are in it; it divided by n > 0; and the
 * sample standard deviation of n > 1 values, from their sum and that of their
 * squares: sqrt((n * squares - sum^2) / (n (n - 1))).  Each is correctly
 * rounded.  NaN if squares cannot be those of the values. */
extern double exact_sum(const ExactSum *sum);
extern bool exact_finite(const ExactSum *sum);
extern double exact_avg(const ExactSum *sum, uint64_t n);
extern double exact_stddev(const ExactSum *sum, const ExactSum *squares, uint64_t n);

/*
 * The stored form: 2 bytes, 24 more if there are special values, then the
 * integer's bytes without the zeros below and the copies of the sign above.
 * Equal sums have equal bytes.  exact_store() returns their number;
 * exact_load() returns false unless the bytes are such a form.
 */
#define EXACT_MAX_BYTES		(26 + 8 * EXACT_LIMBS)

extern size_t exact_store(const ExactSum *sum, uint8_t *bytes);
extern bool exact_load(ExactSum *sum, const uint8_t *bytes, size_t size);

/* ---- windows (window.c, column.c, identity.c) ---- */

typedef enum RollingAggregate
{
	ROLLING_COUNT,				/* events, those with NULL values included */
	ROLLING_SUM,				/* of no values: 0 */
	ROLLING_AVG,				/* of no values, here and below: NULL */
	ROLLING_STDDEV,				/* of a sample; of one value: NULL */
	ROLLING_MIN,				/* NaN is above all other values, as in SQL */
	ROLLING_MAX,
	ROLLING_LAST,				/* latest value; the greatest of one instant */
	ROLLING_SINCE_LAST,			/* seconds since the latest event, or NULL */
	ROLLING_DISTINCT,			/* different ids; of none: 0 */
	ROLLING_DECAYED_DISTINCT	/* see ROLLING_DECAY_LIMIT */
} RollingAggregate;

/*
 * The decayed distinct count is the sum over the ids c in the window of
 * exp(-(t - last seen c) / tau), and 1 for that of the event itself, which is
 * seen at t.  Ids last seen more than 64 tau ago (e^-64 = 2e-28) count as not in
 * the window.
 *
 * Computed so that it takes constant time and has the same bits everywhere:
 * the moment a is t rounded down to a multiple of 16 tau; exp((last - a) / tau)
 * is one float8 for each id but the event's own; their sum, correctly rounded,
 * times exp(-(t - a) / tau), plus 1 for the event's own id.
 */
#define ROLLING_DECAY_LIMIT		64
#define ROLLING_DECAY_STEP		16
#define ROLLING_MAX_TAU			(INT64_MAX / 1024)

typedef struct RollingFeature
{
	RollingAggregate aggregate;
	uint32_t	window;
	uint32_t	column;			/* of values, or for the distinct ones of ids */
	int64_t		tau;			/* of a decayed one: microseconds, > 0 */
} RollingFeature;

typedef struct RollingSpec
{
	uint32_t	num_windows;	/* at least 1 */
	uint32_t	num_columns;	/* of values */
	uint32_t	num_id_columns;
	uint32_t	num_features;
	const RollingFeature *features;

	/* As realloc(), asked only for a new block (block is NULL), aligned to 8,
	 * or to free one (size is 0); may return NULL, or not return. */
	void	   *(*resize) (void *context, void *block, size_t size);
	void	   *context;

	/* [num_columns], 1 to 2^63 - 1: sums of a column are divided by it before they
	 * are rounded, so that those of decimals are sums of integers.  NULL: all 1. */
	const uint64_t *divisors;
} RollingSpec;

/* Ids are numbers that the caller gave to the different values of a column. */
#define ROLLING_NULL_ID		UINT64_MAX

typedef struct RollingEvent
{
	int64_t		time;			/* microseconds */
	const double *values;		/* [num_columns]; asking does not look at them */
	const bool *nulls;			/* [num_columns]; NULL: none is */
	const uint64_t *ids;		/* [num_id_columns]; asking: the event's own, or NULL */
} RollingEvent;

typedef enum RollingStatus
{
	ROLLING_OK,
	ROLLING_DISORDER,			/* time goes back, a bound is above the
								 * next, or too old; nothing is changed */
	ROLLING_NO_MEMORY			/* only rolling_free() may follow */
} RollingStatus;

typedef struct Rolling Rolling;

/* NULL: no memory, or the spec names what it does not have. */
extern Rolling *rolling_create(const RollingSpec *spec);
extern void rolling_free(Rolling *r);

/* Forget all events: another key follows. */
extern void rolling_reset(Rolling *r);

/* The features of a moment, from the events strictly earlier.  lower, upper:
 * [num_windows], upper NULL: event->time; results, nulls: [num_features]. */
extern RollingStatus rolling_ask(Rolling *r, const RollingEvent *event,
								 const int64_t *lower, const int64_t *upper,
								 double *results, bool *nulls);

/* Add an event to the history. */
extern RollingStatus rolling_add(Rolling *r, const RollingEvent *event);

/* What is subtracted from a time for the bounds of a window. */
typedef struct RollingOffsets
{
	int64_t		lower;
	int64_t		upper;
} RollingOffsets;

/* Events in order of time, and room for their features. */
#define ROLLING_BLOCK	256

typedef struct RollingBlock
{
	size_t		count;			/* at most ROLLING_BLOCK */
	const int64_t *times;
	const double *values;		/* [count][num_columns] */
	const bool *nulls;
	const uint64_t *ids;		/* [count][num_id_columns]; NULL: there are none */
	double	   *results;		/* [count][num_features] */
	bool	   *no_results;
} RollingBlock;

/* Ask about each event and add it, as the two functions do in turn; faster where
 * the features are counts, sums, averages and times since the last event.  offsets:
 * [num_windows].  After ROLLING_DISORDER only rolling_reset() may follow. */
extern RollingStatus rolling_pass(Rolling *r, const RollingBlock *block, const RollingOffsets *offsets);

/* Events that are kept at the moment. */
extern size_t rolling_num_events(const Rolling *r);

/* Rate of change from the window before: (current - previous) / previous;
 * NaN (for NULL) if previous is 0. */
extern double rolling_change(double current, double previous);

/* ---- order (sort.c) ---- */

/* An event that waits for its turn. */
typedef struct RollingPlace
{
	int64_t		time;
	uint64_t	row;			/* the caller's */
} RollingPlace;

/* Bring fewer than 2^32 places in order of time; those of one instant stay as they
 * are.  scratch has room for as many; returns the one that they are in. */
extern RollingPlace *rolling_sort(RollingPlace *places, RollingPlace *scratch, size_t count);

#endif							/* PG_RISK_ROLLING_H */
