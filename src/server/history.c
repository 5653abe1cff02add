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
 * Values are the nearest float8.  Sums and averages of numeric, and of bigint
 * past 2^53, are PostgreSQL's own of numeric, rounded to float8 in the end.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "compat.h"
#include "history.h"
#include "rolling_names.h"

/* Numbers of the different values of a column: an open addressing table. */
typedef struct Numbering
{
	TypeCacheEntry *type;
	Oid			collation;
	Datum	   *values;			/* [capacity] */
	uint32	   *hashes;
	uint32		count;
	uint32		capacity;
	uint32	   *places;			/* [mask + 1]; number + 1, 0 is free */
	uint32		mask;
} Numbering;

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
	Numeric   **totals;			/* [num_values] of the values before; NULL: not
								 * made; not with NaN or infinities */
	int64	  **numbers;		/* likewise, how many values */
	bool	   *special;		/* [num_values] there are such */
	uint64	   *ids;			/* [capacity][num_ids] */
	Numbering  *numberings;		/* [num_ids] */

	Rolling    *pass;			/* events 0 .. passed - 1 are in it */
	int64		passed;
	Rolling    *anew;			/* NULL: not needed yet */

	/* of the moment asked about */
	int64	   *lower;			/* [num_windows] */
	int64	   *upper;
	double	   *results;		/* of the core's features, [num_results] */
	bool	   *result_nulls;
};

/* ---- windows ---- */

/* time - interval in the time zone of the spec. */
static int64
time_before(const HistorySpec *spec, int64 time, const Interval *interval)
{
	pg_tz	   *session = session_timezone;
	int64		result = time;

	if (!rolling_has_calendar(interval, spec->time_type))
		return rolling_time_before(time, interval, spec->time_type);
	PG_TRY();
	{
		session_timezone = spec->zone;
		result = rolling_time_before(time, interval, spec->time_type);
	}
	PG_FINALLY();
	{
		session_timezone = session;
	}
	PG_END_TRY();
	return result;
}

/* The bounds of the windows of a moment: [num_windows] each. */
void
history_bounds(const HistorySpec *spec, int64 time, int64 *lower, int64 *upper)
{
	for (int i = 0; i < spec->num_windows; i++)
	{
		const HistoryWindow *window = &spec->windows[i];

		upper[i] = time_before(spec, time, &window->delay);
		if (window->previous)
			upper[i] = time_before(spec, upper[i], &window->width);
		lower[i] = time_before(spec, upper[i], &window->width);
	}
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

/* ---- different values ---- */

static void
numbering_init(Numbering *numbering, const HistoryColumn *column)
{
	memset(numbering, 0, sizeof(Numbering));
	numbering->type = lookup_type_cache(column->type, TYPECACHE_HASH_PROC_FINFO | TYPECACHE_EQ_OPR_FINFO);
	numbering->collation = column->collation;
	if (!OidIsValid(numbering->type->hash_proc) || !OidIsValid(numbering->type->eq_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("values of type %s cannot be counted by whether they differ", format_type_be(column->type)),
				 errhint("The type has no hash function: cast the column to text in a generated column.")));
}

/* Twice the places for twice the values. */
static void
numbering_grow(Numbering *numbering)
{
	uint32		capacity = numbering->capacity ? numbering->capacity * 2 : 16;

	if (numbering->capacity)
	{
		numbering->values = repalloc_huge(numbering->values, sizeof(Datum) * capacity);
		numbering->hashes = repalloc_huge(numbering->hashes, sizeof(uint32) * capacity);
		pfree(numbering->places);
	}
	else
	{
		numbering->values = palloc(sizeof(Datum) * capacity);
		numbering->hashes = palloc(sizeof(uint32) * capacity);
	}
	numbering->capacity = capacity;
	numbering->mask = capacity * 2 - 1;
	numbering->places = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(uint32) * ((Size) numbering->mask + 1),
												   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint32 i = 0; i < numbering->count; i++)
	{
		uint32		place = numbering->hashes[i] & numbering->mask;

		while (numbering->places[place])
			place = (place + 1) & numbering->mask;
		numbering->places[place] = i + 1;
	}
}

/* The number of a value; a new one if it has none. */
static uint64
number_of(History *h, Numbering *numbering, Datum value)
{
	TypeCacheEntry *type = numbering->type;
	MemoryContext caller;
	uint32		hash = DatumGetUInt32(FunctionCall1Coll(&type->hash_proc_finfo, numbering->collation, value));
	uint32		place;
	uint32		found;

	if (numbering->count == numbering->capacity)
	{
		caller = MemoryContextSwitchTo(h->events);
		numbering_grow(numbering);
		MemoryContextSwitchTo(caller);
	}
	for (place = hash & numbering->mask; (found = numbering->places[place]) != 0; place = (place + 1) & numbering->mask)
	{
		if (numbering->hashes[found - 1] == hash &&
			DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, numbering->collation,
										   numbering->values[found - 1], value)))
			break;
	}
	if (found == 0)
	{
		caller = MemoryContextSwitchTo(h->events);
		found = numbering->places[place] = ++numbering->count;
		numbering->values[found - 1] = datumCopy(value, type->typbyval, type->typlen);
		numbering->hashes[found - 1] = hash;
		MemoryContextSwitchTo(caller);
	}
	return found - 1;
}

/* ---- events ---- */

/* The nearest float8 of a value; whether it is another number is noted. */
static double
value_float8(History *h, int column, Datum value)
{
	switch (h->spec->values[column].type)
	{
		case BOOLOID:
			return DatumGetBool(value);
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			h->decimal[column] |= llabs(DatumGetInt64(value)) > INT64CONST(1) << 53 ||
				DatumGetInt64(value) == PG_INT64_MIN;
			return DatumGetInt64(value);
		case FLOAT4OID:
			return DatumGetFloat4(value);
		case FLOAT8OID:
			return DatumGetFloat8(value);
		case NUMERICOID:
			h->decimal[column] = true;
			h->special[column] |= numeric_is_nan(DatumGetNumeric(value)) || numeric_is_inf(DatumGetNumeric(value));
			return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
		default:
			elog(ERROR, "unexpected type %u of a value", h->spec->values[column].type);
	}
}

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
		h->values[cell] = nulls[i] ? 0 : value_float8(h, i, values[i]);
		h->originals[cell] = values[i];
		if (!nulls[i] && spec->values[i].type == NUMERICOID)
		{
			MemoryContext caller = MemoryContextSwitchTo(h->events);

			h->originals[cell] = datumCopy(values[i], false, -1);
			MemoryContextSwitchTo(caller);
		}
	}
	for (int i = 0; i < spec->num_ids; i++)
		h->ids[event * spec->num_ids + i] = nulls[spec->num_values + i] ? ROLLING_NULL_ID :
			number_of(h, &h->numberings[i], values[spec->num_values + i]);
	h->count++;
	MemoryContextSwitchTo(outer);
	MemoryContextReset(h->scratch);
}

/* ---- the core ---- */

static void *
core_resize(void *context, void *block, size_t size)
{
	if (size != 0)
		return MemoryContextAllocExtended(context, size, MCXT_ALLOC_HUGE);
	pfree(block);
	return NULL;
}

/* The core's features: those of the spec, and for each change the one of the
 * previous window after it. */
static int
core_features(const HistorySpec *spec, RollingFeature *features)
{
	int			n = 0;

	for (int i = 0; i < spec->num_features; i++)
	{
		const HistoryFeature *feature = &spec->features[i];

		features[n++] = (RollingFeature)
		{
			feature->aggregate, feature->window, feature->column, feature->tau
		};
		if (feature->change)
		{
			features[n] = features[n - 1];
			features[n++].window++;
		}
	}
	return n;
}

static Rolling *
create_core(const HistorySpec *spec, MemoryContext context)
{
	RollingFeature *features = palloc(sizeof(RollingFeature) * (spec->num_features * 2 + 1));
	RollingSpec core = {
		.num_windows = spec->num_windows,
		.num_columns = spec->num_values,
		.num_id_columns = spec->num_ids,
		.num_features = core_features(spec, features),
		.features = features,
		.resize = core_resize,
		.context = context
	};
	Rolling    *result = rolling_create(&core);

	if (!result)
		elog(ERROR, "could not create rolling windows");
	return result;
}

static RollingStatus
core_add(const History *h, Rolling *core, int64 event)
{
	RollingEvent added = {
		.time = h->times[event],
		.values = h->values + event * h->spec->num_values,
		.nulls = h->nulls + event * h->spec->num_values,
		.ids = h->ids + event * h->spec->num_ids
	};

	return rolling_add(core, &added);
}

/* ---- decimal sums ---- */

static Numeric
original_numeric(const History *h, int64 event, int column)
{
	Datum		value = h->originals[event * h->spec->num_values + column];

	return h->spec->values[column].type == INT8OID ? int64_to_numeric(DatumGetInt64(value)) :
		DatumGetNumeric(value);
}

static Numeric
add_numeric(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(a), NumericGetDatum(b)));
}

/* Running totals of a column, so that a window is a difference. */
static void
make_totals(History *h, int column)
{
	MemoryContext caller = MemoryContextSwitchTo(h->events);
	Numeric    *totals = MemoryContextAllocExtended(h->events, sizeof(Numeric) * (h->count + 1), MCXT_ALLOC_HUGE);
	int64	   *numbers = MemoryContextAllocExtended(h->events, sizeof(int64) * (h->count + 1), MCXT_ALLOC_HUGE);

	totals[0] = int64_to_numeric(0);
	numbers[0] = 0;
	for (int64 i = 0; i < h->count; i++)
	{
		bool		null = h->nulls[i * h->spec->num_values + column];

		totals[i + 1] = null ? totals[i] : add_numeric(totals[i], original_numeric(h, i, column));
		numbers[i + 1] = numbers[i] + !null;
	}
	h->totals[column] = totals;
	h->numbers[column] = numbers;
	MemoryContextSwitchTo(caller);
}

/* The sum of a column in a window, as far as it was known, and of how many. */
static Numeric
decimal_total(History *h, int column, int64 begin, int64 end, int64 knowledge, int64 *number)
{
	Numeric		total;

	if (begin >= end)
	{
		*number = 0;
		return int64_to_numeric(0);
	}
	if (h->last_known <= knowledge && !h->special[column])
	{
		if (!h->totals[column])
			make_totals(h, column);
		*number = h->numbers[column][end] - h->numbers[column][begin];
		return DatumGetNumeric(DirectFunctionCall2(numeric_sub, NumericGetDatum(h->totals[column][end]),
												   NumericGetDatum(h->totals[column][begin])));
	}
	*number = 0;
	total = int64_to_numeric(0);
	for (int64 i = begin; i < end; i++)
	{
		if (h->known[i] <= knowledge && !h->nulls[i * h->spec->num_values + column])
		{
			total = add_numeric(total, original_numeric(h, i, column));
			++*number;
		}
	}
	return total;
}

/* A sum or average of a window, of numeric.  False: it is NULL. */
static bool
decimal_result(History *h, RollingAggregate aggregate, int window, int column, int64 knowledge, double *result)
{
	int64		number;
	Numeric		total = decimal_total(h, column, first_from(h, h->lower[window]),
									  first_from(h, h->upper[window]), knowledge, &number);

	if (aggregate == ROLLING_AVG)
	{
		if (number == 0)
			return false;
		total = DatumGetNumeric(DirectFunctionCall2(numeric_div, NumericGetDatum(total),
													NumericGetDatum(int64_to_numeric(number))));
	}
	*result = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(total)));
	return true;
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
	h->special = palloc0(sizeof(bool) * (spec->num_values + 1));
	h->totals = palloc0(sizeof(Numeric *) * (spec->num_values + 1));
	h->numbers = palloc0(sizeof(int64 *) * (spec->num_values + 1));
	h->numberings = palloc0(sizeof(Numbering) * (spec->num_ids + 1));
	h->lower = palloc(sizeof(int64) * spec->num_windows);
	h->upper = palloc(sizeof(int64) * spec->num_windows);
	h->results = palloc(sizeof(double) * num_results);
	h->result_nulls = palloc(sizeof(bool) * num_results);
	h->pass = create_core(spec, h->context);
	h->last_known = HISTORY_ALWAYS;
	for (int i = 0; i < spec->num_ids; i++)
		numbering_init(&h->numberings[i], &spec->ids[i]);
	return h;
}

/* Forget all events: another key follows. */
void
history_reset(History *h)
{
	MemoryContextReset(h->events);
	h->count = h->capacity = h->passed = 0;
	h->times = h->known = NULL;
	h->values = NULL;
	h->nulls = NULL;
	h->originals = NULL;
	h->ids = NULL;
	h->last_known = HISTORY_ALWAYS;
	memset(h->decimal, 0, sizeof(bool) * h->spec->num_values);
	memset(h->special, 0, sizeof(bool) * h->spec->num_values);
	memset(h->totals, 0, sizeof(Numeric *) * h->spec->num_values);
	memset(h->numbers, 0, sizeof(int64 *) * h->spec->num_values);
	for (int i = 0; i < h->spec->num_ids; i++)
		numbering_init(&h->numberings[i], &h->spec->ids[i]);
	rolling_reset(h->pass);
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

/* Ask the core, from begin .. end - 1. */
static void
ask_core(History *h, const RollingEvent *moment, int64 begin, int64 end, int64 knowledge)
{
	RollingStatus status = ROLLING_OK;

	if (all_known(h, begin, end, knowledge))
	{
		while (status == ROLLING_OK && h->passed < end)
			status = core_add(h, h->pass, h->passed++);
		if (status == ROLLING_OK)
			status = rolling_ask(h->pass, moment, h->lower, h->upper, h->results, h->result_nulls);
		if (status == ROLLING_OK)
			return;
		/* Calendars can take the bounds back. */
	}
	if (!h->anew)
		h->anew = create_core(h->spec, h->context);
	rolling_reset(h->anew);
	status = ROLLING_OK;
	for (int64 i = begin; status == ROLLING_OK && i < end; i++)
	{
		if (h->known[i] <= knowledge)
			status = core_add(h, h->anew, i);
	}
	if (status == ROLLING_OK)
		status = rolling_ask(h->anew, moment, h->lower, h->upper, h->results, h->result_nulls);
	if (status != ROLLING_OK)
		elog(ERROR, "events of a key are out of order");
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
	int64		oldest = time;
	int			n = 0;

	for (int i = 0; own && i < spec->num_ids; i++)
		ids[i] = own_nulls[i] ? ROLLING_NULL_ID : number_of(h, &h->numberings[i], own[i]);
	history_bounds(spec, time, h->lower, h->upper);
	for (int i = 0; i < spec->num_windows; i++)
		oldest = Min(oldest, h->lower[i]);
	ask_core(h, &moment, first_from(h, oldest), first_from(h, time), knowledge);
	for (int i = 0; i < spec->num_features; i++)
	{
		const HistoryFeature *feature = &spec->features[i];
		bool		decimal = (feature->aggregate == ROLLING_SUM || feature->aggregate == ROLLING_AVG) &&
			h->decimal[feature->column];

		for (int j = 0; decimal && j <= feature->change; j++)
			h->result_nulls[n + j] = !decimal_result(h, feature->aggregate, feature->window + j,
													 feature->column, knowledge, &h->results[n + j]);
		results[i] = h->results[n];
		nulls[i] = h->result_nulls[n++];
		if (feature->change)
		{
			results[i] = rolling_change(results[i], h->results[n++]);
			nulls[i] = isnan(results[i]);
		}
		results[i] += 0.0;		/* -0 is 0 */
	}
	MemoryContextSwitchTo(outer);
	MemoryContextReset(h->scratch);
}
