/*
 * rolling_bench.c
 *		What one event costs: count and exact sum over 1 hour, 24 hours and 7
 *		days, against running sums in float8 that go over the same arrays in the
 *		same run.
 *
 *		rolling_bench [EVENTS [KEYS]]
 *
 * The events are by default 1,000,000 of 10,000 keys, zipf 0.9, in 30 days,
 * whole seconds (ties), amounts in cents; already in order of key and time.
 * Both sides write all results.  Then what other aggregates of the three
 * windows cost, by themselves.  Prints medians in nanoseconds an event, and in
 * how many results the sums in float8 have drifted from the exact ones.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "rolling.h"

#define WINDOWS			3
#define SECOND			INT64_C(1000000)
#define PERIOD			(30 * 86400)	/* seconds */

static uint64_t randomness = 42;

static const int64_t widths[WINDOWS] = {3600 * SECOND, 86400 * SECOND, 7 * 86400 * SECOND};

typedef struct Event
{
	uint32_t	key;
	uint32_t	other;			/* a counterparty */
	int64_t		time;
	double		amount;
} Event;

typedef struct Data
{
	Event	   *events;
	size_t		count;
	double	   *results;		/* [count][2 * WINDOWS] */
	bool		nulls[2 * WINDOWS];
	bool		block_nulls[ROLLING_BLOCK * 2 * WINDOWS];
} Data;

static int
compare_events(const void *left, const void *right)
{
	const Event *a = left;
	const Event *b = right;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (a->time > b->time) - (a->time < b->time);
}

/* The number whose share of a cumulative distribution a draw falls in. */
static uint32_t
draw(const double *cumulative, uint32_t count)
{
	double		point = uniform(&randomness) * cumulative[count - 1];
	uint32_t	low = 0;
	uint32_t	high = count - 1;

	while (low < high)
	{
		uint32_t	middle = (low + high) / 2;

		if (cumulative[middle] < point)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
make_events(Data *data, size_t count, uint32_t keys)
{
	double	   *cumulative = allocate(keys * sizeof(double));
	double		total = 0;
	size_t		i;

	data->count = count;
	data->events = allocate(count * sizeof(Event));
	data->results = allocate(count * 2 * WINDOWS * sizeof(double));
	for (i = 0; i < keys; i++)
		cumulative[i] = total += pow((double) i + 1, -0.9);
	for (i = 0; i < count; i++)
	{
		data->events[i].key = draw(cumulative, keys);
		data->events[i].other = (uint32_t) (uniform(&randomness) * 1000);
		data->events[i].time = (int64_t) (uniform(&randomness) * PERIOD) * SECOND;
		data->events[i].amount = floor(pow(10, 2 + 4 * uniform(&randomness))) / 100;
	}
	qsort(data->events, count, sizeof(Event), compare_events);
	free(cumulative);
}

/* The plain way: two pointers into the arrays, a running sum in float8. */
static double
run_plain(Data *data)
{
	const Event *events = data->events;
	double		start = seconds();
	size_t		low[WINDOWS];
	double		sums[WINDOWS];
	size_t		high = 0;
	size_t		i;
	int			k;

	for (i = 0; i < data->count; i++)
	{
		if (i == 0 || events[i].key != events[i - 1].key)
			for (high = i, k = 0; k < WINDOWS; k++)
			{
				low[k] = i;
				sums[k] = 0;
			}
		for (; events[high].time < events[i].time; high++)
			for (k = 0; k < WINDOWS; k++)
				sums[k] += events[high].amount;
		for (k = 0; k < WINDOWS; k++)
		{
			for (; low[k] < high && events[low[k]].time < events[i].time - widths[k]; low[k]++)
				sums[k] -= events[low[k]].amount;
			data->results[2 * (i * WINDOWS + k)] = (double) (high - low[k]);
			data->results[2 * (i * WINDOWS + k) + 1] = sums[k];
		}
	}
	return (seconds() - start) * 1e9 / (double) data->count;
}

static void *
resize(void *context, void *block, size_t size)
{
	(void) context;
	if (size > 0)
		return realloc(block, size);
	free(block);
	return NULL;
}

/* Features of each window: one or two of these. */
static Rolling *
make_engine(int count, const RollingAggregate *aggregates)
{
	RollingFeature features[2 * WINDOWS];
	RollingSpec spec = {WINDOWS, 1, 1, (uint32_t) count * WINDOWS, features, resize, NULL, NULL};
	int			i;

	for (i = 0; i < count * WINDOWS; i++)
		features[i] = (RollingFeature) {aggregates[i % count], (uint32_t) (i / count), 0, 3600 * SECOND};
	spec.num_columns = aggregates[count - 1] < ROLLING_DISTINCT;
	spec.num_id_columns = !spec.num_columns;
	return rolling_create(&spec);
}

static double
run_rolling(Rolling *r, Data *data)
{
	double		start = seconds();
	size_t		i;
	int			k;

	for (i = 0; i < data->count; i++)
	{
		const Event *event = &data->events[i];
		uint64_t	id = event->other;
		RollingEvent now = {event->time, &event->amount, NULL, &id};
		int64_t		lower[WINDOWS];

		if (i == 0 || event->key != event[-1].key)
			rolling_reset(r);
		for (k = 0; k < WINDOWS; k++)
			lower[k] = event->time - widths[k];
		if (rolling_ask(r, &now, lower, NULL,
						data->results + i * 2 * WINDOWS, data->nulls) != ROLLING_OK ||
			rolling_add(r, &now) != ROLLING_OK)
			fail("rolling_add", "an event is refused");
	}
	return (seconds() - start) * 1e9 / (double) data->count;
}

/* The same, many events of a key at once. */
static double
run_blocks(Rolling *r, Data *data)
{
	static const bool nulls[ROLLING_BLOCK];
	static const RollingOffsets offsets[WINDOWS] = {{3600 * SECOND, 0}, {86400 * SECOND, 0}, {7 * 86400 * SECOND, 0}};
	double		start = seconds();
	int64_t		times[ROLLING_BLOCK];
	double		values[ROLLING_BLOCK];
	size_t		i;
	size_t		n;

	for (i = 0; i < data->count; i += n)
	{
		const Event *event = &data->events[i];
		RollingBlock block = {0, times, values, nulls, NULL, data->results + i * 2 * WINDOWS, data->block_nulls};

		for (n = 0; n < ROLLING_BLOCK && i + n < data->count && event[n].key == event->key; n++)
		{
			times[n] = event[n].time;
			values[n] = event[n].amount;
		}
		block.count = n;
		if (i == 0 || event->key != event[-1].key)
			rolling_reset(r);
		if (rolling_pass(r, &block, offsets) != ROLLING_OK)
			fail("rolling_pass", "events are refused");
	}
	return (seconds() - start) * 1e9 / (double) data->count;
}

/* Count and sum: both sides in turn. */
static void
compare(Data *data)
{
	static const RollingAggregate aggregates[] = {ROLLING_COUNT, ROLLING_SUM};
	size_t		num_results = data->count * 2 * WINDOWS;
	double	   *plain = allocate(num_results * sizeof(double));
	Rolling    *r = make_engine(2, aggregates);
	double		theirs[REPETITIONS];
	double		ours[REPETITIONS];
	double		blocks[REPETITIONS];
	size_t		wrong_counts = 0;
	size_t		drifted = 0;
	size_t		i;

	for (i = 0; i < REPETITIONS; i++)
	{
		theirs[i] = run_plain(data);
		memcpy(plain, data->results, num_results * sizeof(double));
		ours[i] = run_rolling(r, data);
		blocks[i] = run_blocks(r, data);
	}
	for (i = 0; i < num_results; i += 2)
	{
		wrong_counts += plain[i] != data->results[i];
		drifted += plain[i + 1] != data->results[i + 1];
	}
	printf("count and sum, 3 windows  float8 %6.1f ns  exact %6.1f ns  ratio %.2f  in blocks %6.1f ns  "
		   "drifted sums %zu of %zu, different counts %zu\n",
		   median(theirs), median(ours), median(ours) / median(theirs), median(blocks),
		   drifted, num_results / 2, wrong_counts);
	rolling_free(r);
	free(plain);
}

int
main(int argc, char **argv)
{
	static const char *const names[] = {
		"count", "sum", "avg", "stddev", "min", "max", "last", "since_last", "distinct",
		"decayed_distinct"
	};
	static Data data;
	int			aggregate;

	make_events(&data, argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000,
				argc > 2 ? (uint32_t) strtoul(argv[2], NULL, 10) : 10000);
	compare(&data);
	for (aggregate = ROLLING_COUNT; aggregate <= ROLLING_DECAYED_DISTINCT; aggregate++)
	{
		RollingAggregate one = (RollingAggregate) aggregate;
		Rolling    *r = make_engine(1, &one);
		double		times[REPETITIONS];
		int			i;

		for (i = 0; i < REPETITIONS; i++)
			times[i] = run_rolling(r, &data);
		printf("%-16s, 3 windows  %6.1f ns\n", names[aggregate], median(times));
		rolling_free(r);
	}
	free(data.events);
	free(data.results);
	return 0;
}
