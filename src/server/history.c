/*
 * history.c
 *		The events of one key as SQL values, and their rolling features: Datums
 *		in, the core's numbers (src/rolling) out.  Live lookups and training sets
 *		both come through here, so what they answer has the same bits.
 *
 * Events are added in order of time and asked about in any; in ascending order
 * it is one pass.  Asked what was known at some moment, an event that came
 * later does not count; where that makes a difference, the windows are made
 * anew without such events.
 *
 * Ids, bounds and decimal sums are those of window functions (rolling_run.c,
 * rolling_decimal.c).  Values are the nearest float8.  Sums and averages of
 * numeric, and of bigint past 2^53, are computed as numeric: sums are exact and
 * rounded to float8 once, so are averages of bigint; those of numeric are SQL's.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "compat.h"
#include "history.h"
#include "rolling_decimal.h"

/* Events in the core, and where sums need it as numeric. */
typedef struct Pass
{
	Rolling    *core;			/* NULL: not needed yet */
	int64		end;			/* events before this one are in it */
	int64		knowledge;		/* as far as they were known then */
	RollingDecimal **decimals;	/* [num_values], NULL: not needed yet; */
	int64	   *decimal_ends;	/* likewise */
} Pass;

struct History
{
	const HistorySpec *spec;
	MemoryContext context;		/* what is made once */
	MemoryContext events;		/* what goes with the key */
	MemoryContext scratch;		/* what goes with the call */
	int64		count;
	int64		capacity;
	int64	   *times;			/* [capacity], and so on */
	int64	   *known;
	int64		last_known;		/* the greatest of known */
	double	   *values;			/* [capacity][num_values] */
	bool	   *nulls;
	Datum	   *originals;		/* of those that are not float8: */
	bool	   *decimal;		/* [num_values] sums need them */
	uint64	   *ids;			/* [capacity][num_ids] */
	RollingIds **numbers;		/* [num_ids] */

	Pass		all;			/* whatever was known */
	Pass		known_then;		/* at the moment asked about */

	/* of the moment asked about */
	int64	   *lower;			/* [num_windows] */
	int64	   *upper;
	double	   *results;		/* of the core's features, [num_results] */
	bool	   *result_nulls;
};

/* ---- windows ---- */

/* The bounds of the windows of a moment, days and months in the time zone of
 * the spec: [num_windows] each. */
void
history_bounds(const HistorySpec *spec, int64 time, int64 *lower, int64 *upper)
{
	pg_tz	   *session = session_timezone;

	PG_TRY();
	{
		session_timezone = spec->zone;
		for (int i = 0; i < spec->num_windows; i++)
			rolling_bounds(&spec->windows[i], time, spec->time_type, &lower[i], &upper[i]);
	}
	PG_FINALLY();
	{
		session_timezone = session;
	}
	PG_END_TRY();
}

/* The first event that is not earlier. */
static int64
first_from(const History *h, int64 time)
{
	int64		low = 0;
	int64		high = h->count;

	while (low < high)
	{
		int64		middle = low + (high - low) / 2;

		if (h->times[middle] < time)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- events ---- */

static void *
enlarge(void *array, Size size, int64 capacity, int64 per_event)
{
	size *= Max(capacity * per_event, 1);
	return array ? repalloc_huge(array, size) :
		MemoryContextAllocExtended(CurrentMemoryContext, size, MCXT_ALLOC_HUGE);
}

static void
make_room(History *h)
{
	MemoryContext caller = MemoryContextSwitchTo(h->events);

	h->capacity = Max(h->capacity * 2, 64);
	h->times = enlarge(h->times, sizeof(int64), h->capacity, 1);
	h->known = enlarge(h->known, sizeof(int64), h->capacity, 1);
	h->values = enlarge(h->values, sizeof(double), h->capacity, h->spec->num_values);
	h->nulls = enlarge(h->nulls, sizeof(bool), h->capacity, h->spec->num_values);
	h->originals = enlarge(h->originals, sizeof(Datum), h->capacity, h->spec->num_values);
	h->ids = enlarge(h->ids, sizeof(uint64), h->capacity, h->spec->num_ids);
	MemoryContextSwitchTo(caller);
}

/* Add an event that is not earlier than the one before: values, then ids. */
void
history_add(History *h, int64 time, int64 known, const Datum *values, const bool *nulls)
{
	const HistorySpec *spec = h->spec;
	int64		event = h->count;
	MemoryContext outer = MemoryContextSwitchTo(h->scratch);

	if (event == h->capacity)
		make_room(h);
	h->times[event] = time;
	h->known[event] = known;
	h->last_known = Max(h->last_known, known);
	for (int i = 0; i < spec->num_values; i++)
	{
		int64		cell = event * spec->num_values + i;

		h->nulls[cell] = nulls[i];
		h->values[cell] = nulls[i] ? 0 : rolling_float8(spec->values[i].type, values[i]);
		h->decimal[i] |= !nulls[i] && rolling_is_decimal(spec->values[i].type, values[i]);
		h->originals[cell] = values[i];
		if (!nulls[i] && spec->values[i].type == NUMERICOID)
		{
			MemoryContext caller = MemoryContextSwitchTo(h->events);

			h->originals[cell] = datumCopy(values[i], false, -1);
			MemoryContextSwitchTo(caller);
		}
	}
	for (int i = 0; i < spec->num_ids; i++)
		h->ids[event * spec->num_ids + i] = rolling_ids_number(h->numbers[i], values[spec->num_values + i],
															   nulls[spec->num_values + i], ROLLING_ALL_IDS);
	h->count++;
	MemoryContextSwitchTo(outer);
	MemoryContextReset(h->scratch);
}

/* ---- the core ---- */

static Rolling *
create_core(const HistorySpec *spec, MemoryContext context)
{
	RollingFeature *features = palloc(sizeof(RollingFeature) * (spec->num_features * 2 + 1));
	RollingSpec core = {
		.num_windows = spec->num_windows,
		.num_columns = spec->num_values,
		.num_id_columns = spec->num_ids,
		.num_features = rolling_core_features(spec->features, spec->num_features, features),
		.features = features,
		.resize = rolling_resize,
		.context = context
	};
	Rolling    *result = rolling_create(&core);

	if (!result)
		elog(ERROR, "could not create rolling windows");
	return result;
}

/* Begin anew, at an event. */
static void
pass_reset(const History *h, Pass *pass, int64 begin, int64 knowledge)
{
	const HistorySpec *spec = h->spec;

	if (!pass->core)
	{
		pass->core = create_core(spec, h->context);
		pass->decimals = MemoryContextAllocZero(h->context, sizeof(RollingDecimal *) * (spec->num_values + 1));
		pass->decimal_ends = MemoryContextAlloc(h->context, sizeof(int64) * (spec->num_values + 1));
	}
	rolling_reset(pass->core);
	pass->end = begin;
	pass->knowledge = knowledge;
	for (int i = 0; i < spec->num_values; i++)
	{
		pass->decimal_ends[i] = begin;
		if (pass->decimals[i])
			rolling_decimal_reset(pass->decimals[i]);
	}
}

/* Add the events before one to the core, and ask it.  False: times or bounds
 * have gone back. */
static bool
pass_ask(History *h, Pass *pass, const RollingEvent *moment, int64 end)
{
	for (; pass->end < end; pass->end++)
	{
		RollingEvent event = {
			.time = h->times[pass->end],
			.values = h->values + pass->end * h->spec->num_values,
			.nulls = h->nulls + pass->end * h->spec->num_values,
			.ids = h->ids + pass->end * h->spec->num_ids
		};

		if (h->known[pass->end] <= pass->knowledge && rolling_add(pass->core, &event) != ROLLING_OK)
			return false;
	}
	return rolling_ask(pass->core, moment, h->lower, h->upper, h->results, h->result_nulls) == ROLLING_OK;
}

/* ---- decimal sums ---- */

/* A column of the events in the core as numeric. */
static RollingDecimal *
pass_decimal(const History *h, Pass *pass, int column)
{
	bool		is_int8 = h->spec->values[column].type == INT8OID;

	if (!pass->decimals[column])
		pass->decimals[column] = rolling_decimal_create(h->context);
	for (int64 i = pass->decimal_ends[column]; i < pass->end; i++)
	{
		int64		cell = i * h->spec->num_values + column;
		Datum		value = h->originals[cell];

		if (h->known[i] > pass->knowledge || h->nulls[cell])
			continue;
		value = rolling_to_numeric(value, h->spec->values[column].type);
		rolling_decimal_add(pass->decimals[column], h->times[i], value);
		if (is_int8)
			pfree(DatumGetPointer(value));
	}
	pass->decimal_ends[column] = pass->end;
	return pass->decimals[column];
}

/* Sums and averages of a window that are of numeric, for the core's results. */
static void
set_decimal_results(History *h, Pass *pass, const RollingAsked *feature, int window, int place)
{
	if ((feature->aggregate == ROLLING_SUM || feature->aggregate == ROLLING_AVG) && h->decimal[feature->column])
		h->result_nulls[place] = !rolling_decimal_result(pass_decimal(h, pass, feature->column), h->spec->values[feature->column].type,
														 feature->aggregate == ROLLING_AVG, h->lower[window], h->upper[window], &h->results[place]);
}

/* ---- asking ---- */

/* An empty history, in the current memory context. */
History *
history_create(const HistorySpec *spec)
{
	History    *h = palloc0(sizeof(History));
	int			num_results = spec->num_features * 2 + 1;

	h->spec = spec;
	h->context = CurrentMemoryContext;
	h->events = AllocSetContextCreate(CurrentMemoryContext, "pg_risk history", ALLOCSET_DEFAULT_SIZES);
	h->scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_risk history scratch", ALLOCSET_SMALL_SIZES);
	h->decimal = palloc0(sizeof(bool) * (spec->num_values + 1));
	h->numbers = palloc(sizeof(RollingIds *) * (spec->num_ids + 1));
	h->lower = palloc(sizeof(int64) * spec->num_windows);
	h->upper = palloc(sizeof(int64) * spec->num_windows);
	h->results = palloc(sizeof(double) * num_results);
	h->result_nulls = palloc(sizeof(bool) * num_results);
	pass_reset(h, &h->all, 0, HISTORY_EVERYTHING);
	h->last_known = HISTORY_ALWAYS;
	for (int i = 0; i < spec->num_ids; i++)
		h->numbers[i] = rolling_ids_create(h->context, spec->ids[i].type, spec->ids[i].collation);
	return h;
}

/* Forget all events: another key follows. */
void
history_reset(History *h)
{
	MemoryContextReset(h->events);
	h->count = h->capacity = 0;
	h->times = h->known = NULL;
	h->values = NULL;
	h->nulls = NULL;
	h->originals = NULL;
	h->ids = NULL;
	h->last_known = HISTORY_ALWAYS;
	memset(h->decimal, 0, sizeof(bool) * h->spec->num_values);
	for (int i = 0; i < h->spec->num_ids; i++)
		rolling_ids_reset(h->numbers[i]);
	pass_reset(h, &h->all, 0, HISTORY_EVERYTHING);
}

/* Was all of begin .. end - 1 known? */
static bool
all_known(const History *h, int64 begin, int64 end, int64 knowledge)
{
	if (h->last_known <= knowledge)
		return true;
	for (int64 i = begin; i < end; i++)
	{
		if (h->known[i] > knowledge)
			return false;
	}
	return true;
}

/* Ask the core, from begin .. end - 1; which pass it was. */
static Pass *
ask_core(History *h, const RollingEvent *moment, int64 begin, int64 end, int64 knowledge)
{
	if (all_known(h, begin, end, knowledge) && pass_ask(h, &h->all, moment, end))
		return &h->all;
	/* Calendars, too, can take the bounds back. */
	pass_reset(h, &h->known_then, begin, knowledge);
	if (!pass_ask(h, &h->known_then, moment, end))
		elog(ERROR, "events of a key are out of order");
	return &h->known_then;
}

/*
 * The features of a moment, from what was known of the events that are
 * strictly earlier.  own: the event's own values of the id columns; NULL: there
 * is no event.
 */
void
history_ask(History *h, int64 time, const Datum *own, const bool *own_nulls, int64 knowledge,
			double *results, bool *nulls)
{
	const HistorySpec *spec = h->spec;
	MemoryContext outer = MemoryContextSwitchTo(h->scratch);
	uint64	   *ids = palloc(sizeof(uint64) * (spec->num_ids + 1));
	RollingEvent moment = {.time = time,.ids = own ? ids : NULL};
	Pass	   *pass;
	int64		oldest = time;
	int			n = spec->num_features;

	for (int i = 0; own && i < spec->num_ids; i++)
		ids[i] = rolling_ids_number(h->numbers[i], own[i], own_nulls[i], ROLLING_ALL_IDS);
	history_bounds(spec, time, h->lower, h->upper);
	for (int i = 0; i < spec->num_windows; i++)
		oldest = Min(oldest, h->lower[i]);
	pass = ask_core(h, &moment, first_from(h, oldest), first_from(h, time), knowledge);
	for (int i = 0; i < spec->num_features; i++)
	{
		set_decimal_results(h, pass, &spec->features[i], spec->features[i].window, i);
		if (spec->features[i].change)
			set_decimal_results(h, pass, &spec->features[i], spec->features[i].window + 1, n++);
	}
	rolling_set_changes(spec->features, spec->num_features, h->results, h->result_nulls);
	memcpy(results, h->results, sizeof(double) * spec->num_features);
	memcpy(nulls, h->result_nulls, sizeof(bool) * spec->num_features);
	MemoryContextSwitchTo(outer);
	MemoryContextReset(h->scratch);
}
