/*
 * late.c
 *		Rows that tiles have passed by: each change of one leaves a delta.
 *
 * The condition of an AFTER ROW trigger, risk.is_late(), is looked at right when a
 * row is inserted, updated or deleted; for rows in order that is all.  Of the late
 * ones the trigger, risk.note_late(), inserts deltas when the statement ends.
 * Until then late_pending() says that they are missing.  A table has such triggers
 * for each column that is an event time of sets, the trigger's argument.
 *
 * Who looks must know every plan (tiling.c) that was committed before a fence that
 * does not wait for this transaction: one that was set after the transaction got
 * its number.  So what is remembered of plans is brought up to date once in each
 * transaction, when it has a number; a row that was changed has given it one.
 *
 * Of conditions a delta has what they say of the row, so they are evaluated for whoever
 * writes: those that can be neither parsed nor evaluated with an error (condition.c).
 *
 * Writers take no lock beyond that of an INSERT into risk.rolling_deltas, so they
 * wait for nobody.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "nodes/primnodes.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "distinct.h"
#include "late.h"
#include "rolling_names.h"
#include "tile.h"
#include "tiling.h"

static int64 pending = 0;		/* late rows of this transaction without delta */

static void
forget_pending(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		pending = 0;
}

void
late_init(void)
{
	RegisterXactCallback(forget_pending, NULL);
}

/* What a subtransaction took back stays pending: that costs lookups time only. */
bool
late_pending(void)
{
	return pending > 0;
}

/* Hear of all plans that fences do not make wait for us. */
static void
hear_plans(void)
{
	static TransactionId heard = InvalidTransactionId;
	TransactionId ours = GetTopTransactionIdIfAny();

	if (!TransactionIdIsValid(ours) || ours != heard)
		AcceptInvalidationMessages();
	heard = ours;
}

/* Raise an error unless a function is called in a trigger's condition, of the table of its row,
 * which is the only expression that has a variable of such numbers: everybody may call
 * it there, and nobody is to ask about tables that are not theirs. */
static void
require_condition(const FmgrInfo *function)
{
	const FuncExpr *call = (const FuncExpr *) function->fn_expr;
	const Var  *table = call && IsA(call, FuncExpr) ? linitial(call->args) : NULL;

	if (!table || !IsA(table, Var) || !IS_SPECIAL_VARNO(table->varno) || table->varattno != TableOidAttributeNumber)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("risk.is_late() is for the conditions of triggers, with the table of the row"),
				 errhint("risk.create_rolling_features() makes its triggers. SELECT * FROM risk.rolling_tiles_info says until when there are tiles.")));
}

/* Is a row of a table to leave a delta? */
static bool
is_late(FmgrInfo *function, Oid relid, int64 time)
{
	static uint64 generation = 0;
	static Oid	table = InvalidOid;
	static int64 late_before;

	if (!function->fn_extra)
	{
		require_condition(function);
		function->fn_extra = &table;
	}
	hear_plans();
	if (table != relid || generation != tiling_generation())
	{
		generation = 0;			/* until this has worked */
		(void) tiling_list(relid, &late_before);
		table = relid;
		generation = tiling_generation();
	}
	if (time >= late_before)
		return false;
	pending++;
	return true;
}

PG_FUNCTION_INFO_V1(risk_is_late);
PG_FUNCTION_INFO_V1(risk_is_late_date);

/* risk.is_late(table, event_time), a moment or a date. */
Datum
risk_is_late(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_late(fcinfo->flinfo, PG_GETARG_OID(0), PG_GETARG_INT64(1)));
}

Datum
risk_is_late_date(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_late(fcinfo->flinfo, PG_GETARG_OID(0), rolling_time(PG_GETARG_DATUM(1), DATEOID)));
}

/* A row, as a set of rolling features sees it. */
typedef struct Row
{
	int64		time;
	bool		late;			/* with a key, and so on */
	Datum	   *key;
	Datum	   *values;			/* [num_columns] of the tiling */
	bool	   *nulls;
	bytea	   *items;			/* whose different ones are counted; or NULL */
	Rank	   *extrema;		/* [num_extrema] */
} Row;

static Datum
column(TupleDesc tupdesc, HeapTuple tuple, const char *name, bool *isnull)
{
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(tupdesc, i);

		if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
			return heap_getattr(tuple, i + 1, tupdesc, isnull);
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("the table no longer has column \"%s\" of its rolling features", name),
			 errhint("Name others with risk.alter_rolling_features(), or drop the features with risk.drop_rolling_features().")));
}

static bytea *
read_items(const LiveQuery *counted, TupleDesc tupdesc, HeapTuple tuple)
{
	int			count = counted->spec.num_ids;
	Datum	   *items = palloc(sizeof(Datum) * count);
	bool	   *nulls = palloc(sizeof(bool) * count);

	for (int i = 0; i < count; i++)
		items[i] = column(tupdesc, tuple, counted->columns[i], &nulls[i]);
	return distinct_store_items(counted, items, nulls);
}

/* Read what is added up of a row, and what is ordered. */
static void
read_values(const Tiling *tiling, TupleDesc tupdesc, HeapTuple tuple, Row *row)
{
	const LiveQuery *query = tiling->query;
	int			ids = query->spec.num_values;
	int			needed = ids + query->spec.num_ids;
	int			end = needed + query->num_needed;
	Datum	   *values = palloc(sizeof(Datum) * (end + 1));
	bool	   *nulls = palloc(sizeof(bool) * (end + 1));

	for (int i = 0; i < end; i++)
	{
		nulls[i] = true;
		if (query->columns[i] && (i < ids || i >= needed))
			values[i] = column(tupdesc, tuple, query->columns[i], &nulls[i]);
	}
	live_evaluate(query, values, nulls);
	for (int i = 0; i < tiling->num_columns; i++)
	{
		row->values[i] = values[tiling->values[i]];
		row->nulls[i] = nulls[tiling->values[i]];
	}
	for (int i = 0; i < tiling->num_extrema; i++)
	{
		int			value = tiling->extrema_values[i];

		row->extrema[i] = nulls[value] ? RANK_NONE : extremum_rank(&tiling->extrema[i], values[value]);
	}
}

static Row
read_row(const Tiling *tiling, TupleDesc tupdesc, HeapTuple tuple)
{
	const LiveQuery *query = tiling->query;
	Row			row = {
		.key = palloc(sizeof(Datum) * query->num_keys),
		.values = palloc(sizeof(Datum) * (tiling->num_columns + 1)),
		.nulls = palloc(sizeof(bool) * (tiling->num_columns + 1)),
		.extrema = palloc(sizeof(Rank) * (tiling->num_extrema + 1))
	};
	Datum		time;
	bool		isnull;

	time = column(tupdesc, tuple, tiling_time(tiling), &isnull);
	row.time = isnull ? 0 : rolling_time(time, query->time_column);
	row.late = !isnull && row.time < tiling->planned;
	for (int i = 0; i < query->num_keys && row.late; i++)
	{
		row.key[i] = column(tupdesc, tuple, query->inputs[i].column, &isnull);
		row.late = !isnull;
	}
	if (row.late)
		read_values(tiling, tupdesc, tuple, &row);
	if (tiling->counted && row.late)
		row.items = read_items(tiling->counted, tupdesc, tuple);
	return row;
}

/* Insert a delta of a row that has come (1) or gone (-1). */
static void
insert_delta(const Tiling *tiling, const Row *row, const bytea *key, int sign)
{
	Totals	   *totals = totals_create(tiling->columns, tiling->num_columns);
	Tile		delta = {.time = row->time,.totals = totals,.items = row->items};

	totals_event(totals, row->values, row->nulls, sign);
	if (tiling->num_extrema > 0)
		delta.extrema = extrema_store(row->extrema, 1, tiling->num_extrema);
	tile_insert(tiling, key, &delta, true);
}

static bool
same_bytes(const bytea *a, const bytea *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* Does a row add to the totals what another one did, at the same place? */
static bool
same_row(const Tiling *tiling, const Row *a, const bytea *a_key, const Row *b, const bytea *b_key)
{
	bool		same = a->time == b->time && same_bytes(a_key, b_key) &&
		(!tiling->counted || same_bytes(a->items, b->items));

	for (int i = 0; i < tiling->num_columns && same; i++)
	{
		int16		length;
		bool		by_value;

		get_typlenbyval(tiling->columns[i].type, &length, &by_value);
		same = a->nulls[i] == b->nulls[i] &&
			(a->nulls[i] || datum_image_eq(a->values[i], b->values[i], by_value, length));
	}
	for (int i = 0; i < tiling->num_extrema && same; i++)
		same = a->extrema[i] == b->extrema[i];
	return same;
}

/* Insert the deltas of a change: gone and come are NULL where there is no such row. */
static void
note_change(const Tiling *tiling, TupleDesc tupdesc, HeapTuple gone, HeapTuple come)
{
	Row			rows[2];
	bytea	   *keys[2] = {NULL, NULL};
	HeapTuple	tuples[2] = {gone, come};

	for (int i = 0; i < 2; i++)
	{
		if (!tuples[i])
			continue;
		rows[i] = read_row(tiling, tupdesc, tuples[i]);
		if (rows[i].late)
			keys[i] = tiling_key(tiling->query, rows[i].key);
	}
	if (keys[0] && keys[1] && same_row(tiling, &rows[0], keys[0], &rows[1], keys[1]))
		return;
	for (int i = 0; i < 2; i++)
	{
		if (keys[i])
			insert_delta(tiling, &rows[i], keys[i], i == 0 ? -1 : 1);
	}
}

/*
 * Is a trigger the one that notes a change?  A partition can have triggers of its
 * own and of its parents for one event time, of which the first one does.
 */
static bool
is_first(const TriggerData *fired)
{
	const Trigger *trigger = fired->tg_trigger;
	const TriggerDesc *all = fired->tg_relation->trigdesc;

	if (trigger->tgenabled != TRIGGER_FIRES_ALWAYS)
		return false;			/* no tiles rest on it */
	for (int i = 0; all && i < all->numtriggers; i++)
	{
		const Trigger *other = &all->triggers[i];

		if (other->tgoid < trigger->tgoid && other->tgfoid == trigger->tgfoid &&
			other->tgtype == trigger->tgtype && other->tgenabled == TRIGGER_FIRES_ALWAYS &&
			other->tgnargs == 1 && strcmp(other->tgargs[0], trigger->tgargs[0]) == 0)
			return false;
	}
	return true;
}

/* Insert the deltas of a change in the sets of the trigger's event time. */
static void
note_changes(const TriggerData *fired)
{
	bool		inserted = TRIGGER_FIRED_BY_INSERT(fired->tg_event);
	bool		deleted = TRIGGER_FIRED_BY_DELETE(fired->tg_event);
	ListCell   *cell;

	foreach(cell, tiling_list(RelationGetRelid(fired->tg_relation), NULL))
	{
		const Tiling *tiling = lfirst(cell);

		if (tiling->id != 0 && strcmp(tiling_time(tiling), fired->tg_trigger->tgargs[0]) == 0)
			note_change(tiling, RelationGetDescr(fired->tg_relation),
						inserted ? NULL : fired->tg_trigtuple,
						deleted ? NULL : inserted ? fired->tg_trigtuple : fired->tg_newtuple);
	}
}

PG_FUNCTION_INFO_V1(risk_note_late);

/* Trigger: the deltas of a late row. */
Datum
risk_note_late(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext context;
	MemoryContext caller;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("risk.note_late() must be fired AFTER INSERT, UPDATE or DELETE, FOR EACH ROW, with the column of event time"),
				 errhint("risk.create_rolling_features() makes its triggers.")));
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk late row", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	if (is_first(trigger))
		note_changes(trigger);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	pending = Max(pending - 1, 0);
	return PointerGetDatum(NULL);
}
