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

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
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
				 errhint("Count the different values of a type that can be hashed, such as text.")));
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

/* ---- a run ---- */

void *
rolling_resize(void *context, void *block, size_t size)
{
	if (block == NULL)
		return MemoryContextAllocHuge(context, size);
	pfree(block);
	return NULL;
}

RollingRun *
rolling_run_create(MemoryContext context, const RollingRunSpec *spec)
{
	MemoryContext before = MemoryContextSwitchTo(context);
	RollingRun *run = palloc0(sizeof(RollingRun));
	RollingSpec engine = {.num_columns = spec->num_columns,.num_id_columns = OidIsValid(spec->id_type),
		.num_features = spec->num_features,.resize = rolling_resize,.context = context};
	RollingWindow *windows = palloc(spec->num_windows * sizeof(RollingWindow));
	RollingFeature *features = palloc(spec->num_features * sizeof(RollingFeature));
	int			i;

	memcpy(windows, spec->windows, spec->num_windows * sizeof(RollingWindow));
	memcpy(features, spec->features, spec->num_features * sizeof(RollingFeature));
	run->spec = *spec;
	run->spec.windows = windows;
	run->spec.features = engine.features = features;
	for (i = 0; i < spec->num_windows; i++)
		run->calendar |= rolling_has_calendar(&windows[i].width, spec->time_type) ||
			rolling_has_calendar(&windows[i].delay, spec->time_type);
	engine.num_windows = spec->num_windows + run->calendar;
	run->lower = palloc((spec->num_windows + 1) * sizeof(int64));
	run->upper = palloc((spec->num_windows + 1) * sizeof(int64));
	run->values = palloc0(spec->num_columns * sizeof(double));
	run->nulls = palloc0(spec->num_columns * sizeof(bool));
	run->results = palloc(spec->num_features * sizeof(double));
	run->no_results = palloc(spec->num_features * sizeof(bool));
	run->held = PG_INT64_MIN;
	if (OidIsValid(spec->id_type))
		run->ids = rolling_ids_create(context, spec->id_type, spec->collation);
	run->engine = rolling_create(&engine);
	if (run->engine == NULL)
		elog(ERROR, "rolling features are not what the engine takes");
	MemoryContextSwitchTo(before);
	return run;
}

void
rolling_run_reset(RollingRun *run)
{
	rolling_reset(run->engine);
	run->held = PG_INT64_MIN;
	if (run->ids != NULL)
		rolling_ids_reset(run->ids);
}

void
rolling_run_set_id(RollingRun *run, Datum value, bool null)
{
	run->id = rolling_ids_number(run->ids, value, null, rolling_num_events(run->engine));
}

void
rolling_bounds(const RollingWindow *window, int64 time, Oid type, int64 *lower, int64 *upper)
{
	*upper = rolling_time_before(time, &window->delay, type);
	if (window->previous)
		*upper = rolling_time_before(*upper, &window->width, type);
	*lower = rolling_time_before(*upper, &window->width, type);
}

/* Both bounds of all windows, and what must not be forgotten yet. */
static void
set_bounds(RollingRun *run)
{
	int			n = run->spec.num_windows;
	int64		oldest = run->time;
	int			i;

	for (i = 0; i < n; i++)
	{
		rolling_bounds(&run->spec.windows[i], run->time, run->spec.time_type, &run->lower[i], &run->upper[i]);
		oldest = Min(oldest, run->lower[i]);
	}
	if (oldest > PG_INT64_MIN + ROLLING_CALENDAR_SLACK)
		run->held = Max(run->held, oldest - ROLLING_CALENDAR_SLACK);
	run->lower[n] = run->upper[n] = run->held;
}

void
rolling_run_step(RollingRun *run)
{
	RollingEvent event = {.time = run->time,.values = run->values,.nulls = run->nulls,.ids = &run->id};

	set_bounds(run);
	if (rolling_ask(run->engine, &event, run->lower, run->upper, run->results, run->no_results) != ROLLING_OK ||
		rolling_add(run->engine, &event) != ROLLING_OK)
		elog(ERROR, "rolling features: times are out of order");
}
