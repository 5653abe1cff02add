/*
 * rolling_run.c
 *		The windows' core over Datums: bounds from intervals, ids from values of
 *		any type that can be hashed, memory from a context.
 *
 * The core wants numbers for ids.  Values of the short integer types are their
 * own; others get one from a hash table, which is swept when most of what is in
 * it has left the history, so that it is as small as that is.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "rolling_names.h"
#include "rolling_run.h"

#define LEAST_IDS		64

/* ---- values to ids ---- */

typedef struct IdEntry
{
	Datum		value;
	uint64		id;
	uint64		last;			/* number of the latest event that has it */
	uint32		hash;
	char		status;
} IdEntry;

struct RollingIds
{
	struct id_hash *table;		/* NULL: values are their own numbers */
	MemoryContext context;		/* of the values */
	TypeCacheEntry *type;
	FmgrInfo	hash;
	FmgrInfo	equal;
	Oid			collation;
	uint64		events;
	uint64		next;
};

static uint32
id_hash_value(RollingIds *ids, Datum value)
{
	return DatumGetUInt32(FunctionCall1Coll(&ids->hash, ids->collation, value));
}

static bool
id_equal(RollingIds *ids, Datum a, Datum b)
{
	return DatumGetBool(FunctionCall2Coll(&ids->equal, ids->collation, a, b));
}

#define SH_PREFIX id
#define SH_ELEMENT_TYPE IdEntry
#define SH_KEY_TYPE Datum
#define SH_KEY value
#define SH_HASH_KEY(tb, key) id_hash_value((tb)->private_data, key)
#define SH_EQUAL(tb, a, b) id_equal((tb)->private_data, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, entry) (entry)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Whether a value is a number of which ROLLING_NULL_ID is none. */
static bool
is_own_id(Oid type)
{
	return type == INT4OID || type == INT2OID || type == OIDOID || type == DATEOID || type == BOOLOID;
}

/* Errors: 42883 the type cannot be hashed. */
RollingIds *
rolling_ids_create(MemoryContext context, Oid type, Oid collation)
{
	RollingIds *ids = MemoryContextAllocZero(context, sizeof(RollingIds));

	if (is_own_id(type))
		return ids;
	ids->type = lookup_type_cache(type, TYPECACHE_HASH_PROC | TYPECACHE_EQ_OPR_FINFO);
	if (!OidIsValid(ids->type->hash_proc) || !OidIsValid(ids->type->eq_opr_finfo.fn_oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify a hash function for type %s", format_type_be(type)),
				 errhint("Use a type that can be hashed, such as text.")));
	fmgr_info_cxt(ids->type->hash_proc, &ids->hash, context);
	fmgr_info_cxt(ids->type->eq_opr_finfo.fn_oid, &ids->equal, context);
	ids->collation = collation;
	ids->context = AllocSetContextCreate(context, "pg_risk ids", ALLOCSET_DEFAULT_SIZES);
	ids->table = id_create(ids->context, LEAST_IDS, ids);
	return ids;
}

void
rolling_ids_reset(RollingIds *ids)
{
	if (ids->table == NULL)
		return;
	MemoryContextReset(ids->context);
	ids->table = id_create(ids->context, LEAST_IDS, ids);
	ids->events = 0;
}

/* Copy what the kept events may have to a new table. */
static void
ids_sweep(RollingIds *ids, uint64 kept)
{
	MemoryContext old = ids->context;
	struct id_hash *table = ids->table;
	id_iterator iterator;
	IdEntry    *entry;

	ids->context = AllocSetContextCreate(MemoryContextGetParent(old), "pg_risk ids",
										 ALLOCSET_DEFAULT_SIZES);
	ids->table = id_create(ids->context, LEAST_IDS, ids);
	id_start_iterate(table, &iterator);
	while ((entry = id_iterate(table, &iterator)) != NULL)
	{
		MemoryContext before;
		IdEntry    *new;
		bool		found;

		if (entry->last + kept < ids->events)
			continue;
		before = MemoryContextSwitchTo(ids->context);
		new = id_insert_hash(ids->table, datumCopy(entry->value, ids->type->typbyval, ids->type->typlen),
							 entry->hash, &found);
		MemoryContextSwitchTo(before);
		new->id = entry->id;
		new->last = entry->last;
	}
	MemoryContextDelete(old);
}

uint64
rolling_ids_number(RollingIds *ids, Datum value, bool null, uint64 kept)
{
	IdEntry    *entry;
	uint32		hash;
	bool		found;

	if (null)
		return ROLLING_NULL_ID;
	if (ids->table == NULL)
		return (uint32) value;
	ids->events++;
	if (kept != ROLLING_ALL_IDS && ids->table->members > 2 * kept + LEAST_IDS)
		ids_sweep(ids, kept);
	if (ids->type->typlen == -1)
		value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(value));
	hash = id_hash_value(ids, value);
	entry = id_lookup_hash(ids->table, value, hash);
	if (entry == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(ids->context);

		entry = id_insert_hash(ids->table, datumCopy(value, ids->type->typbyval, ids->type->typlen),
							   hash, &found);
		MemoryContextSwitchTo(before);
		entry->id = ids->next++;
	}
	entry->last = ids->events;
	return entry->id;
}

/* ---- values and features ---- */

bool
rolling_is_number(Oid type)
{
	return type == FLOAT8OID || type == FLOAT4OID || type == NUMERICOID || type == INT8OID ||
		type == INT4OID || type == INT2OID || type == BOOLOID;
}

double
rolling_float8(Oid type, Datum value)
{
	switch (type)
	{
		case BOOLOID:
			return DatumGetBool(value);
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		case FLOAT4OID:
			return DatumGetFloat4(value);
		case FLOAT8OID:
			return DatumGetFloat8(value);
		case NUMERICOID:
			return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
		default:
			elog(ERROR, "unexpected type %u of a value", type);
	}
}

bool
rolling_is_decimal(Oid type, Datum value)
{
	return type == NUMERICOID ||
		(type == INT8OID && (DatumGetInt64(value) > INT64CONST(1) << 53 || DatumGetInt64(value) < -(INT64CONST(1) << 53)));
}

Datum
rolling_to_numeric(Datum value, Oid type)
{
	return type == INT8OID ? NumericGetDatum(int64_to_numeric(DatumGetInt64(value))) : value;
}

int
rolling_add_window(RollingWindow *windows, int *count, const Interval *width, const Interval *delay, bool change)
{
	int			i;

	for (i = 0; i < *count; i++)
		if (!windows[i].previous && memcmp(&windows[i].width, width, sizeof(Interval)) == 0 &&
			memcmp(&windows[i].delay, delay, sizeof(Interval)) == 0 &&
			(!change || (i + 1 < *count && windows[i + 1].previous)))
			return i;
	windows[(*count)++] = (RollingWindow) {*width, *delay, false};
	if (change)
		windows[(*count)++] = (RollingWindow) {*width, *delay, true};
	return i;
}

int
rolling_core_features(const RollingAsked *asked, int count, RollingFeature *features)
{
	int			n = count;

	for (int i = 0; i < count; i++)
	{
		features[i] = (RollingFeature) {asked[i].aggregate, asked[i].window, asked[i].column, asked[i].tau};
		if (asked[i].change)
		{
			features[n] = features[i];
			features[n++].window++;
		}
	}
	return n;
}

void
rolling_set_changes(const RollingAsked *asked, int count, double *results, bool *nulls)
{
	int			n = count;

	for (int i = 0; i < count; i++)
		if (asked[i].change)
		{
			results[i] = rolling_change(results[i], results[n++]);
			nulls[i] = isnan(results[i]);
		}
}

/* ---- a run ---- */

void *
rolling_resize(void *context, void *block, size_t size)
{
	if (block == NULL)
		return MemoryContextAllocHuge(context, size);
	pfree(block);
	return NULL;
}

static void *
copy_array(const void *array, Size size)
{
	return memcpy(palloc(size + 1), array, size);
}

/* Whether days of a window before the times of a range are of 24 hours; before all
 * times there are, where none is given, as in UTC. */
static bool
is_steady(const int64 *range, int64 width)
{
	if (range == NULL)
		return rolling_is_steady(MIN_TIMESTAMP + 4 * USECS_PER_DAY, END_TIMESTAMP);
	return range[0] >= MIN_TIMESTAMP + width && rolling_is_steady(range[0] - width, range[1]);
}

/* What is subtracted from all times for the bounds of a window.  False: that
 * depends on the calendar. */
static bool
find_offsets(RollingRun *run, const RollingWindow *window, RollingOffsets *offsets)
{
	const RollingRunSpec *spec = &run->spec;
	bool		calendar = rolling_has_calendar(&window->width, spec->time_type) ||
		rolling_has_calendar(&window->delay, spec->time_type);
	int64		width;
	int64		delay;

	if (window->width.month != 0 || window->delay.month != 0 ||
		pg_add_s64_overflow(window->width.time, window->width.day * USECS_PER_DAY, &width) ||
		pg_add_s64_overflow(window->delay.time, window->delay.day * USECS_PER_DAY, &delay) ||
		(window->previous && pg_add_s64_overflow(delay, width, &delay)) ||
		pg_add_s64_overflow(delay, width, &width))
		return false;
	if (calendar && !is_steady(spec->range, width))
		return false;
	*offsets = (RollingOffsets) {width, delay};
	run->least = Max(run->least, MIN_TIMESTAMP + width);
	return true;
}

/* The core, and where the run's results go. */
static void
create_engine(RollingRun *run, MemoryContext context, int room)
{
	const RollingRunSpec *spec = &run->spec;
	RollingFeature *features = palloc((2 * spec->num_features + 1) * sizeof(RollingFeature));
	RollingSpec engine = {.num_windows = spec->num_windows + run->calendar,.num_columns = spec->num_values,
		.num_id_columns = spec->num_ids,.features = features,.divisors = spec->divisors,
		.resize = rolling_resize,.context = context};

	engine.num_features = rolling_core_features(spec->features, spec->num_features, features);
	run->any_decimal |= engine.num_features > spec->num_features;
	run->num_results = engine.num_features;
	run->results = palloc((room * run->num_results + 1) * sizeof(double));
	run->no_results = palloc((room * run->num_results + 1) * sizeof(bool));
	run->engine = rolling_create(&engine);
	if (run->engine == NULL)
		elog(ERROR, "rolling features are not what the engine takes");
}

RollingRun *
rolling_run_create(MemoryContext context, const RollingRunSpec *spec, int room)
{
	MemoryContext before = MemoryContextSwitchTo(context);
	RollingRun *run = palloc0(sizeof(RollingRun));
	int			i;

	run->spec = *spec;
	run->spec.windows = copy_array(spec->windows, spec->num_windows * sizeof(RollingWindow));
	run->spec.features = copy_array(spec->features, spec->num_features * sizeof(RollingAsked));
	run->spec.values = copy_array(spec->values, spec->num_values * sizeof(RollingColumn));
	run->offsets = palloc(spec->num_windows * sizeof(RollingOffsets));
	run->steady = palloc(spec->num_windows * sizeof(bool));
	run->least = PG_INT64_MIN;
	for (i = 0; i < spec->num_windows; i++)
	{
		run->steady[i] = find_offsets(run, &spec->windows[i], &run->offsets[i]);
		run->calendar |= !run->steady[i];
	}
	run->lower = palloc((spec->num_windows + 1) * sizeof(int64));
	run->upper = palloc((spec->num_windows + 1) * sizeof(int64));
	run->times = palloc(room * sizeof(int64));
	run->values = palloc0((room * spec->num_values + 1) * sizeof(double));
	run->nulls = palloc0((room * spec->num_values + 1) * sizeof(bool));
	run->originals = palloc0((room * spec->num_values + 1) * sizeof(Datum));
	run->decimals = palloc0((spec->num_values + 1) * sizeof(RollingDecimal *));
	run->decimal = palloc0((spec->num_values + 1) * sizeof(bool));
	run->inexact = palloc0((room * spec->num_values + 1) * sizeof(bool));
	for (i = 0; i < spec->num_values; i++)
		if (spec->decimals != NULL && spec->decimals[i])
		{
			run->decimals[i] = rolling_decimal_create(context);
			run->any_decimal = true;
		}
	run->numbers = palloc((spec->num_ids + 1) * sizeof(RollingIds *));
	run->ids = palloc((room * spec->num_ids + 1) * sizeof(uint64));
	for (i = 0; i < spec->num_ids; i++)
		run->numbers[i] = rolling_ids_create(context, spec->ids[i].type, spec->ids[i].collation);
	run->held = PG_INT64_MIN;
	create_engine(run, context, room);
	run->spec.ids = NULL;
	run->spec.decimals = NULL;
	run->spec.divisors = NULL;
	run->spec.range = NULL;
	MemoryContextSwitchTo(before);
	return run;
}

void
rolling_run_reset(RollingRun *run)
{
	rolling_reset(run->engine);
	run->held = PG_INT64_MIN;
	for (int i = 0; i < run->spec.num_ids; i++)
		rolling_ids_reset(run->numbers[i]);
	for (int i = 0; i < run->spec.num_values; i++)
	{
		run->decimal[i] = false;
		if (run->decimals[i] != NULL)
			rolling_decimal_reset(run->decimals[i]);
	}
}

void
rolling_run_set_value(RollingRun *run, int event, int column, Datum value, bool null)
{
	int			i = event * run->spec.num_values + column;
	Oid			type = run->spec.values[column].type;

	run->originals[i] = value;
	run->nulls[i] = null;
	run->inexact[i] = !null && rolling_is_decimal(type, value);
	run->values[i] = null ? 0 : rolling_float8(type, value);
}

void
rolling_run_set_id(RollingRun *run, int event, int column, Datum value, bool null)
{
	run->ids[event * run->spec.num_ids + column] =
		rolling_ids_number(run->numbers[column], value, null, rolling_num_events(run->engine) + event);
}

void
rolling_bounds(const RollingWindow *window, int64 time, Oid type, int64 *lower, int64 *upper)
{
	*upper = rolling_is_zero(&window->delay) ? time : rolling_time_before(time, &window->delay, type);
	if (window->previous)
		*upper = rolling_time_before(*upper, &window->width, type);
	*lower = rolling_time_before(*upper, &window->width, type);
}

/* Both bounds of all windows, and what must not be forgotten yet. */
static void
set_bounds(RollingRun *run, int64 time)
{
	int			n = run->spec.num_windows;
	int64		oldest = time;
	int			i;

	for (i = 0; i < n; i++)
	{
		if (run->steady[i] && time >= run->least && time < END_TIMESTAMP)
		{
			run->upper[i] = time - run->offsets[i].upper;
			run->lower[i] = time - run->offsets[i].lower;
		}
		else
			rolling_bounds(&run->spec.windows[i], time, run->spec.time_type, &run->lower[i], &run->upper[i]);
		oldest = Min(oldest, run->lower[i]);
	}
	run->oldest = oldest;
	if (!run->calendar)
		return;
	if (oldest > PG_INT64_MIN + ROLLING_CALENDAR_SLACK)
		run->held = Max(run->held, oldest - ROLLING_CALENDAR_SLACK);
	run->oldest = run->lower[n] = run->upper[n] = run->held;
}

/* Sums and averages of a column that are of numeric, for the core's results. */
static void
set_decimal_results(RollingRun *run, const RollingAsked *feature, int window, double *result, bool *no_result)
{
	if ((feature->aggregate == ROLLING_SUM || feature->aggregate == ROLLING_AVG) &&
		run->decimals[feature->column] != NULL && run->decimal[feature->column])
		*no_result = !rolling_decimal_result(run->decimals[feature->column], run->spec.values[feature->column].type,
											 feature->aggregate == ROLLING_AVG,
											 run->lower[window], run->upper[window], result);
}

/* Add the event to what sums of numeric are made of. */
static void
add_decimal(RollingRun *run, int event, int column)
{
	int			i = event * run->spec.num_values + column;

	rolling_decimal_forget(run->decimals[column], run->oldest);
	if (!run->nulls[i])
		rolling_decimal_add(run->decimals[column], run->times[event],
							rolling_to_numeric(run->originals[i], run->spec.values[column].type));
	run->decimal[column] |= run->inexact[i];
}

/* What the core leaves to do: results of numeric, and changes. */
static void
finish_results(RollingRun *run, int event)
{
	const RollingRunSpec *spec = &run->spec;
	double	   *results = run->results + event * run->num_results;
	bool	   *no_results = run->no_results + event * run->num_results;
	int			n = spec->num_features;

	for (int i = 0; i < spec->num_features; i++)
	{
		const RollingAsked *feature = &spec->features[i];

		set_decimal_results(run, feature, feature->window, &results[i], &no_results[i]);
		if (feature->change)
		{
			set_decimal_results(run, feature, feature->window + 1, &results[n], &no_results[n]);
			n++;
		}
	}
	rolling_set_changes(spec->features, spec->num_features, results, no_results);
	for (int i = 0; i < spec->num_values; i++)
		if (run->decimals[i] != NULL)
			add_decimal(run, event, i);
}

static void
check_status(RollingStatus status)
{
	if (status != ROLLING_OK)
		elog(ERROR, "rolling features: times are out of order");
}

/* One event. */
static void
step(RollingRun *run, int i)
{
	RollingEvent event = {
		.time = run->times[i],
		.values = run->values + i * run->spec.num_values,
		.nulls = run->nulls + i * run->spec.num_values,
		.ids = run->ids + i * run->spec.num_ids
	};

	set_bounds(run, event.time);
	check_status(rolling_ask(run->engine, &event, run->lower, run->upper, run->results + i * run->num_results,
							 run->no_results + i * run->num_results));
	check_status(rolling_add(run->engine, &event));
	if (run->any_decimal)
		finish_results(run, i);
}

void
rolling_run_step(RollingRun *run, int count)
{
	RollingBlock block = {count, run->times, run->values, run->nulls, run->ids, run->results, run->no_results};

	if (count > 1 && !run->calendar && !run->any_decimal && run->times[0] >= run->least &&
		run->times[count - 1] < END_TIMESTAMP)
		check_status(rolling_pass(run->engine, &block, run->offsets));
	else
		for (int i = 0; i < count; i++)
			step(run, i);
}
