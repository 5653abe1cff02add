/*
 * rolling_window_test.c
 *		Unit tests of the windows (src/rolling/window.c, column.c, identity.c).
 *
 * The oracle goes over all events for each result, with the semantics of
 * rolling.h in their plainest form.  Sums, averages and deviations it takes
 * from fresh exact sums, which have a test of their own; so equal bits here
 * mean that nothing drifts.
 */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "rolling.h"
#include "rolling_random.h"
#include "tap.h"

/* ---- memory that counts, and can run out ---- */

static long blocks = 0;
static size_t bytes = 0;
static long allocations_left = -1;	/* -1: no end */

static void *
resize(void *context, void *block, size_t size)
{
	size_t	   *start = block != NULL ? (size_t *) block - 1 : NULL;

	(void) context;
	if (start != NULL)
	{
		blocks--;
		bytes -= *start;
	}
	if (size == 0)
	{
		free(start);
		return NULL;
	}
	if (allocations_left == 0)
		return NULL;
	allocations_left -= allocations_left > 0;
	start = realloc(start, size + sizeof(size_t));	/* aligned to 8, as palloc() does */
	*start = size;
	blocks++;
	bytes += size;
	return start + 1;
}

/* ---- a stream and its oracle ---- */

#define WINDOWS		5
#define COLUMNS		2
#define ID_COLUMNS	2
#define EVENTS		400
#define MOST_DELAY	200
#define EACH		(8 * COLUMNS + 2 * ID_COLUMNS)	/* features of a window, at most */

typedef struct Stream
{
	int			count;
	int64_t		times[EVENTS];
	double		values[EVENTS][COLUMNS];
	bool		nulls[EVENTS][COLUMNS];
	uint64_t	ids[EVENTS][ID_COLUMNS];
	int64_t		widths[WINDOWS];
	int64_t		delays[WINDOWS];
	int64_t		unsteadiness;	/* bounds go back by less than this */
	bool		finite;			/* all values are */
} Stream;

static RollingFeature features[WINDOWS * EACH];
static const uint64_t divisors[COLUMNS] = {1, 1000};
static uint32_t num_features = 0;

static void
add_feature(RollingAggregate aggregate, uint32_t window, uint32_t column, int64_t tau)
{
	features[num_features++] = (RollingFeature) {aggregate, window, column, tau};
}

/* Every aggregate of every column, of ids as well, over every window; or, as windows then need
 * not follow events, only those that come from the ends of a window. */
static void
make_features(bool all, bool of_ids)
{
	uint32_t	window;
	uint32_t	column;
	int			aggregate;

	num_features = 0;
	for (window = 0; window < WINDOWS; window++)
	{
		add_feature(ROLLING_COUNT, window, 0, 0);
		add_feature(ROLLING_SINCE_LAST, window, 0, 0);
		for (column = 0; column < COLUMNS; column++)
			for (aggregate = ROLLING_SUM; aggregate <= (all ? ROLLING_LAST : ROLLING_AVG); aggregate++)
				add_feature((RollingAggregate) aggregate, window, column, 0);
		for (column = 0; column < ID_COLUMNS && of_ids; column++)
		{
			if (all)
				add_feature(ROLLING_DISTINCT, window, column, 0);
			add_feature(ROLLING_DECAYED_DISTINCT, window, column, column ? 7 : 1000);
		}
	}
}

/* What the oracle says: NaN with *null when there is no value. */
typedef struct Answer
{
	double		value;
	bool		null;
} Answer;

/* The order of PostgreSQL: NaN is above all. */
static bool
is_above(double a, double b)
{
	return isnan(a) ? !isnan(b) : a > b;
}

/* Aggregates of values over events that are in the window. */
static Answer
of_values(const Stream *s, const RollingFeature *f, int64_t lower, int64_t upper)
{
	Answer		answer = {NAN, true};
	ExactSum	sum;
	ExactSum	squares;
	uint64_t	n = 0;
	int64_t		latest = 0;
	int			i;

	exact_init(&sum);
	exact_init(&squares);
	for (i = 0; i < s->count; i++)
	{
		double		value = s->values[i][f->column] + 0.0;

		if (s->times[i] < lower || s->times[i] >= upper || s->nulls[i][f->column])
			continue;
		exact_add(&sum, value);
		exact_add_square(&squares, value);
		if (n++ == 0 ||
			(f->aggregate == ROLLING_MIN && is_above(answer.value, value)) ||
			(f->aggregate == ROLLING_MAX && is_above(value, answer.value)) ||
			(f->aggregate == ROLLING_LAST &&
			 (s->times[i] > latest ||
			  (s->times[i] == latest && is_above(value, answer.value)))))
		{
			latest = s->times[i];
			answer.value = value;
		}
	}
	answer.null = n < 1;
	if (f->aggregate == ROLLING_SUM)
		answer = (Answer) {exact_avg(&sum, divisors[f->column]), false};
	else if (f->aggregate == ROLLING_AVG && n > 0)
		answer.value = exact_avg(&sum, n);
	else if (f->aggregate == ROLLING_STDDEV)
	{
		answer.null = n < 2;
		answer.value = n < 2 ? NAN : exact_stddev(&sum, &squares, n);
	}
	return answer;
}

static int64_t
round_down(int64_t time, int64_t step)
{
	return time - ((time % step) + step) % step;
}

/* Aggregates of ids: an event speaks for its id if no later one in the window
 * does. */
static Answer
of_ids(const Stream *s, const RollingFeature *f, int64_t lower, int64_t upper,
	   int64_t time, uint64_t own)
{
	bool		decayed = f->aggregate == ROLLING_DECAYED_DISTINCT;
	int64_t		anchor = decayed ? round_down(time, 16 * f->tau) : 0;
	ExactSum	sum;
	int			count = 0;
	int			i;
	int			j;

	if (decayed && lower < time - 64 * f->tau)
		lower = time - 64 * f->tau;
	exact_init(&sum);
	for (i = 0; i < s->count; i++)
	{
		uint64_t	id = s->ids[i][f->column];
		bool		speaks = id != ROLLING_NULL_ID && s->times[i] >= lower && s->times[i] < upper;

		for (j = i + 1; speaks && j < s->count && s->times[j] < upper; j++)
			speaks = s->ids[j][f->column] != id;
		count += speaks;
		if (speaks && decayed && id != own)
			exact_add(&sum, exp((double) (s->times[i] - anchor) / (double) f->tau));
	}
	if (decayed)
		return (Answer) {exact_sum(&sum) * exp(-(double) (time - anchor) / (double) f->tau) +
			(own != ROLLING_NULL_ID), false};
	return (Answer) {count, false};
}

static Answer
oracle(const Stream *s, const RollingFeature *f, int64_t time, const uint64_t *own)
{
	int64_t		upper = time - s->delays[f->window];
	int64_t		lower = upper - s->widths[f->window];
	Answer		answer = {NAN, true};
	int			count = 0;
	int			i;

	if (f->aggregate == ROLLING_DISTINCT || f->aggregate == ROLLING_DECAYED_DISTINCT)
		return of_ids(s, f, lower, upper, time, own[f->column]);
	if (f->aggregate != ROLLING_COUNT && f->aggregate != ROLLING_SINCE_LAST)
		return of_values(s, f, lower, upper);
	for (i = 0; i < s->count; i++)
		if (s->times[i] >= lower && s->times[i] < upper)
		{
			count++;
			answer = (Answer) {(double) (time - s->times[i]) / 1e6, false};
		}
	return f->aggregate == ROLLING_COUNT ? (Answer) {count, false} : answer;
}

static bool
same_bits(double a, double b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* The next event of a stream: often at the instant of the one before it. */
static void
make_event(Stream *s, const Style *style, int64_t step)
{
	int			i = s->count;
	int			column;

	s->times[i] = i > 0 ? s->times[i - 1] : (int64_t) random_below(2000) - 1000;
	if (random_below(3) > 0)
		s->times[i] += (int64_t) random_below((uint64_t) (random_below(20) == 0 ? 50 * step : step));
	for (column = 0; column < COLUMNS; column++)
	{
		s->values[i][column] = random_value(style);
		s->nulls[i][column] = random_below(8) == 0;
		if (random_below(200) == 0 && column == 1 && !s->finite)
			s->values[i][column] = random_below(2) ? NAN : random_below(2) ? INFINITY : -INFINITY;
	}
	for (column = 0; column < ID_COLUMNS; column++)
		s->ids[i][column] = random_below(10) == 0 ? ROLLING_NULL_ID : random_below(column ? 6 : 40);
}

/* Number of the features whose results are not the oracle's. */
static int
count_wrong(const Stream *s, int64_t time, const uint64_t *own,
			const double *results, const bool *nulls, int *by_aggregate)
{
	int			wrong = 0;
	uint32_t	i;

	for (i = 0; i < num_features; i++)
	{
		Answer		answer = oracle(s, &features[i], time, own);

		if (answer.null == nulls[i] && (answer.null || same_bits(answer.value, results[i]) ||
										(isnan(answer.value) && isnan(results[i]))))
			continue;
		by_aggregate[features[i].aggregate]++;
		wrong++;
	}
	return wrong;
}

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static Rolling *
make_engine(void)
{
	RollingSpec spec = {WINDOWS + 1, COLUMNS, ID_COLUMNS, num_features, features, resize, NULL, divisors};

	return rolling_create(&spec);
}

/*
 * One key: most events are asked about, all are added; every result is
 * compared.  Where bounds are unsteady, the window without features holds back
 * what they may come back to.
 */
static int
run_key(Rolling *r, Stream *s, const Style *style, int events, int64_t step, int *by_aggregate)
{
	double		results[WINDOWS * EACH];
	bool		nulls[WINDOWS * EACH];
	int64_t		delays[WINDOWS];
	int			wrong = 0;
	int			k;

	memcpy(delays, s->delays, sizeof(delays));
	rolling_reset(r);
	for (s->count = 0; s->count < events; s->count++)
	{
		int			i = s->count;
		bool		ask = random_below(10) > 0;
		RollingEvent event = {.values = s->values[i],.nulls = s->nulls[i],.ids = s->ids[i]};
		int64_t		lower[WINDOWS + 1];
		int64_t		upper[WINDOWS + 1];

		make_event(s, style, step);
		event.time = s->times[i];
		lower[WINDOWS] = upper[WINDOWS] = event.time;
		for (k = 0; k < WINDOWS; k++)
		{
			lower[WINDOWS] = least(lower[WINDOWS], event.time - delays[k] - s->widths[k] - s->unsteadiness);
			if (s->unsteadiness > 0 && random_below(4) == 0)
				s->delays[k] = delays[k] + (int64_t) random_below((uint64_t) s->unsteadiness);
			upper[k] = event.time - s->delays[k];
			lower[k] = upper[k] - s->widths[k];
		}
		if (ask && rolling_ask(r, &event, lower, upper, results, nulls) != ROLLING_OK)
			return -1;
		if (ask)
			wrong += count_wrong(s, event.time, event.ids, results, nulls, by_aggregate);
		if (rolling_add(r, &event) != ROLLING_OK)
			return -1;
	}
	return wrong;
}

static void
test_streams(const Style *style, bool all)
{
	Rolling    *r;
	int			by_aggregate[ROLLING_DECAYED_DISTINCT + 1] = {0};
	int			wrong = 0;
	int			round;
	int			k;

	make_features(all, true);
	r = make_engine();
	for (round = 0; round < 12; round++)
	{
		static Stream s;

		for (k = 0; k < WINDOWS; k++)
		{
			s.widths[k] = 1 + (int64_t) random_below(round % 2 ? 100 : 3000);
			s.delays[k] = k < 3 ? 0 : (int64_t) random_below(MOST_DELAY);
		}
		s.unsteadiness = round % 4 == 3 ? 100 : 0;
		s.delays[4] = s.widths[0];	/* the window before */
		s.widths[4] = s.widths[0];
		wrong += run_key(r, &s, style, round < 8 ? 40 : EVENTS / (round < 11 ? 3 : 1),
						 round % 3 ? 10 : 300, by_aggregate);
	}
	ok(wrong == 0, "%s are those of brute force: %s (%d are not)",
	   all ? "all aggregates" : "counts and sums", style->name, wrong);
	for (k = 0; k <= ROLLING_DECAYED_DISTINCT; k++)
		if (by_aggregate[k] > 0)
			printf("# aggregate %d: %d\n", k, by_aggregate[k]);
	rolling_free(r);
	ok(blocks == 0 && bytes == 0, "and no memory is left behind");
}

/* One key: all events are asked about and added, most of them many at once; a few
 * windows change in between. */
static int
run_blocks(Rolling *r, Stream *s, const Style *style, int64_t step, int *by_aggregate)
{
	static double results[ROLLING_BLOCK * WINDOWS * EACH];
	static bool nulls[ROLLING_BLOCK * WINDOWS * EACH];
	RollingOffsets offsets[WINDOWS + 1];
	int			wrong = 0;
	int			i;
	int			k;

	rolling_reset(r);
	for (s->count = 0; s->count < EVENTS; s->count++)
		make_event(s, style, step);
	for (i = 0; i < EVENTS;)
	{
		int			count = (int) least(1 + (int64_t) random_below(random_below(2) ? 10 : ROLLING_BLOCK), EVENTS - i);
		RollingBlock block = {(size_t) count, s->times + i, s->values[i], s->nulls[i], s->ids[i], results, nulls};

		offsets[WINDOWS] = (RollingOffsets) {s->unsteadiness + MOST_DELAY, 0};
		for (k = 0; k < WINDOWS; k++)
		{
			if (random_below(10) == 0)
			{
				s->widths[k] = 1 + (int64_t) random_below((uint64_t) s->unsteadiness);
				s->delays[k] = k < 3 ? 0 : (int64_t) random_below(MOST_DELAY);
			}
			offsets[k] = (RollingOffsets) {s->delays[k] + s->widths[k], s->delays[k]};
		}
		if (rolling_pass(r, &block, offsets) != ROLLING_OK)
			return -1;
		for (k = 0; k < count; k++, i++)
			wrong += count_wrong(s, s->times[i], s->ids[i], results + k * (int) num_features,
								 nulls + k * (int) num_features, by_aggregate);
	}
	return wrong;
}

static void
test_blocks(const Style *style, bool all)
{
	static Stream s = {.delays = {0, 0, 0, 100, 20}};	/* those of windows 3 and 4 change */
	int			by_aggregate[ROLLING_DECAYED_DISTINCT + 1] = {0};
	int			wrong = 0;
	int			round;
	int			k;

	make_features(all, all);
	for (round = 0; round < 3; round++)
	{
		RollingSpec spec = {WINDOWS + 1, COLUMNS, all ? ID_COLUMNS : 0, num_features, features, resize, NULL, divisors};
		Rolling    *r = rolling_create(&spec);

		s.unsteadiness = round % 2 ? 100 : 3000;	/* no window is wider */
		s.finite = round < 2;
		for (k = 0; k < WINDOWS; k++)
			s.widths[k] = 1 + (int64_t) random_below((uint64_t) s.unsteadiness);
		wrong += run_blocks(r, &s, style, round % 3 ? 10 : 300, by_aggregate);
		rolling_free(r);
	}
	ok(wrong == 0 && blocks == 0, "and those of many events at once: %s, %s (%d are not)",
	   all ? "all aggregates" : "from the ends of windows", style->name, wrong);
}

/* ---- one window of one feature, by hand ---- */

static Rolling *
make_one(RollingAggregate aggregate, int64_t tau)
{
	static RollingFeature feature;
	RollingSpec one = {1, 1, 1, 1, &feature, resize, NULL, NULL};

	feature = (RollingFeature) {aggregate, 0, 0, tau};
	return rolling_create(&one);
}

/* Ask about an event and add it. */
static double
next(Rolling *r, int64_t time, int64_t width, double value, uint64_t id)
{
	RollingEvent event = {time, &value, NULL, &id};
	int64_t		lower = time - width;
	double		result = NAN;
	bool		null;

	if (rolling_ask(r, &event, &lower, NULL, &result, &null) != ROLLING_OK ||
		rolling_add(r, &event) != ROLLING_OK)
		return -1;
	return result;
}

#define HOUR	INT64_C(3600000000)

/* Four transfers of one sender, the last two at one instant. */
static void
test_by_hand(void)
{
	static const int64_t times[] = {0, HOUR / 2, HOUR, HOUR};
	static const double values[] = {10, 5, 2, 3};
	static const double counts[] = {0, 1, 2, 2};
	static const double sums[] = {0, 10, 15, 15};
	Rolling    *count = make_one(ROLLING_COUNT, 0);
	Rolling    *sum = make_one(ROLLING_SUM, 0);
	Rolling    *seen = make_one(ROLLING_DECAYED_DISTINCT, HOUR);
	bool		held = true;
	double		expected = 1 + exp(-1) + exp(-0.5);
	int			i;

	for (i = 0; i < 4; i++)
	{
		held = held && next(count, times[i], HOUR, values[i], 0) == counts[i];
		held = held && next(sum, times[i], HOUR, values[i], 0) == sums[i];
	}
	ok(held, "previous hours: the lower bound counts, the same instant does not");
	for (i = 0, held = true; i < 3; i++)
		held = held && next(seen, 10 * times[i], 1000 * HOUR, 0, 7) == 1;
	ok(held, "only the event's own id decays to 1");
	ok(next(seen, 100 * HOUR, 2000 * HOUR, 0, ROLLING_NULL_ID) < 1e-30, "and to nothing without it");
	rolling_reset(seen);
	next(seen, 0, HOUR, 0, 1);
	next(seen, HOUR / 2, HOUR, 0, 2);
	ok(fabs(next(seen, HOUR, HOUR, 0, 3) - expected) < 1e-14, "three ids, two of them decayed");
	ok(rolling_change(30, 20) == 0.5 && rolling_change(10, 20) == -0.5 && !signbit(rolling_change(-3, -3)) &&
	   isnan(rolling_change(1, 0)), "the rate of change");
	rolling_free(count);
	rolling_free(sum);
	rolling_free(seen);
}

static void
test_extreme_times(void)
{
	Rolling    *r = make_one(ROLLING_DECAYED_DISTINCT, ROLLING_MAX_TAU);
	RollingEvent event = {INT64_MIN, (const double[]) {1}, NULL, (const uint64_t[]) {1}};
	int64_t		lower = INT64_MIN;
	double		result;
	bool		null;

	rolling_ask(r, &event, &lower, NULL, &result, &null);
	ok(result == 1 && rolling_add(r, &event) == ROLLING_OK, "the earliest time");
	event.time = INT64_MAX;
	rolling_ask(r, &event, &lower, NULL, &result, &null);
	ok(result == 1 && rolling_add(r, &event) == ROLLING_OK, "and the latest");
	rolling_free(r);
}

static void
test_disorder(void)
{
	Rolling    *r = make_one(ROLLING_SUM, 0);
	RollingEvent event = {100, (const double[]) {1}, NULL, (const uint64_t[]) {1}};
	int64_t		lower = 50;
	int64_t		upper = 90;
	double		result;
	bool		null;

	ok(rolling_ask(r, &event, &lower, &upper, &result, &null) == ROLLING_OK &&
	   rolling_add(r, &event) == ROLLING_OK, "events in order");
	event.time = 99;
	ok(rolling_ask(r, &event, &lower, &upper, &result, &null) == ROLLING_DISORDER &&
	   rolling_add(r, &event) == ROLLING_DISORDER, "time does not go back");
	event.time = 200;
	lower = 49;
	ok(rolling_ask(r, &event, &lower, &upper, &result, &null) == ROLLING_DISORDER,
	   "nor the lower bound of the only window");
	lower = 50;
	upper = 201;
	ok(rolling_ask(r, &event, &lower, &upper, &result, &null) == ROLLING_DISORDER,
	   "no window ends in the future");
	upper = 150;
	lower = 151;
	ok(rolling_ask(r, &event, &lower, &upper, &result, &null) == ROLLING_DISORDER,
	   "or before it begins");
	upper = lower;
	ok(rolling_ask(r, &event, &lower, &upper, &result, &null) == ROLLING_OK && result == 0,
	   "an empty window is one");
	rolling_free(r);
}

/* The same of a block of two events. */
static RollingStatus
pass(int64_t first, int64_t second, RollingOffsets offsets)
{
	static const RollingFeature count = {ROLLING_COUNT, 0, 0, 0};
	const RollingSpec spec = {1, 1, 0, 1, &count, resize, NULL, NULL};
	Rolling    *r = rolling_create(&spec);
	double		results[2];
	bool		no_results[2];
	RollingBlock block = {2, (const int64_t[]) {first, second}, (const double[]) {1, 2},
		(const bool[]) {false, false}, NULL, results, no_results};
	RollingStatus status = rolling_pass(r, &block, &offsets);

	rolling_free(r);
	return status;
}

static void
test_disorder_of_blocks(void)
{
	ok(pass(100, 100, (RollingOffsets) {50, 10}) == ROLLING_OK, "a block in order");
	ok(pass(100, 99, (RollingOffsets) {50, 10}) == ROLLING_DISORDER, "one in which time goes back");
	ok(pass(100, 101, (RollingOffsets) {50, -1}) == ROLLING_DISORDER, "one of a window that ends in the future");
	ok(pass(100, 101, (RollingOffsets) {10, 50}) == ROLLING_DISORDER, "or before it begins");
	ok(pass(INT64_MIN + 5, 101, (RollingOffsets) {10, 0}) == ROLLING_DISORDER, "or before all times");
}

static void
test_specs(void)
{
	static const RollingFeature bad[] = {
		{ROLLING_COUNT, 1, 0, 0}, {ROLLING_SUM, 0, 1, 0}, {ROLLING_DISTINCT, 0, 1, 0},
		{ROLLING_DECAYED_DISTINCT, 0, 0, 0}, {ROLLING_DECAYED_DISTINCT, 0, 0, -5},
		{ROLLING_DECAYED_DISTINCT, 0, 0, INT64_MAX}, {(RollingAggregate) 10, 0, 0, 0}
	};
	static const uint64_t zero[] = {0};
	RollingSpec none = {0, 1, 1, 0, bad, resize, NULL, NULL};
	RollingSpec division = {1, 1, 1, 0, bad, resize, NULL, zero};
	int			refused = 0;
	size_t		i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		RollingSpec one = {1, 1, 1, 1, &bad[i], resize, NULL, NULL};

		refused += rolling_create(&one) == NULL;
	}
	ok(refused == 7 && rolling_create(&none) == NULL && rolling_create(&division) == NULL, "specs that make no sense are refused");
}

/* ---- memory ---- */

/* It is bounded by the events in the window, whatever number goes by. */
static void
test_bounded_memory(void)
{
	Rolling    *r = make_engine();
	double		results[WINDOWS * EACH];
	bool		nulls[WINDOWS * EACH];
	size_t		before = 0;
	int64_t		i;
	int			k;

	for (i = 0; i < 60000; i++)
	{
		uint64_t	ids[] = {(uint64_t) i, (uint64_t) i / 3};
		double		values[] = {(double) i, 1 / (i + 1.0)};
		RollingEvent event = {i, values, NULL, ids};
		int64_t		lower[WINDOWS + 1];

		if (i % 20000 == 0)
			rolling_reset(r);
		for (k = 0; k < WINDOWS; k++)
			lower[k] = i - 10 * (k + 1);
		lower[WINDOWS] = i;
		if (rolling_ask(r, &event, lower, NULL, results, nulls) != ROLLING_OK ||
			rolling_add(r, &event) != ROLLING_OK)
			break;
		if (i == 200)
			before = bytes;
	}
	ok(i == 60000 && bytes == before && rolling_num_events(r) == 51,
	   "60000 events in windows of 10 to 50 take the memory of 200");
	rolling_free(r);
}

/* An engine whose memory runs out says so, and can be freed. */
static void
test_no_memory(void)
{
	static Stream s = {.widths = {10, 100, 1000, 10000, 1000000}};
	int			by_aggregate[ROLLING_DECAYED_DISTINCT + 1] = {0};
	long		most;
	int			wrong = 0;

	for (most = 0; most < 400; most++)
	{
		Rolling    *r;

		allocations_left = most;
		r = make_engine();
		if (r != NULL)
		{
			wrong += run_key(r, &s, &styles[0], 150, 10, by_aggregate) > 0;
			rolling_free(r);
		}
	}
	allocations_left = -1;
	ok(wrong == 0 && blocks == 0, "running out of memory is reported at any point");
}

int
main(void)
{
	size_t		i;

	test_by_hand();
	test_extreme_times();
	test_disorder();
	test_disorder_of_blocks();
	test_specs();
	for (i = 0; i < NUM_STYLES; i++)
	{
		test_streams(&styles[i], false);
		test_streams(&styles[i], true);
		test_blocks(&styles[i], false);
		test_blocks(&styles[i], true);
	}
	test_bounded_memory();
	test_no_memory();
	return done_testing();
}
