/*
 * live_index.c
 *		The events of a key between two times, straight through an index of a plain
 *		table: what a prepared statement would do, without what it costs to start
 *		one.
 *
 * Only for tables whose rows need nothing but reading: no partitions, children,
 * row security that applies to the user, or columns that are computed when read.
 * Everything else goes through SPI (live_events.c), which may SELECT the same.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/visibilitymap.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "compat.h"
#include "live_index.h"
#include "rolling_names.h"

/* A condition on a column of an index; equality is that of a type.  False: it
 * cannot have that. */
static bool
set_condition(ScanKey key, Relation index, int column, StrategyNumber strategy, Oid equal_type)
{
	Oid			type = index->rd_opcintype[column];
	Oid			operator = get_opfamily_member(index->rd_opfamily[column], type, type, strategy);

	if (!OidIsValid(operator) ||
		(OidIsValid(equal_type) && operator != lookup_type_cache(equal_type, TYPECACHE_EQ_OPR)->eq_opr))
		return false;
	ScanKeyEntryInitialize(key, 0, column + 1, strategy, InvalidOid, index->rd_indcollation[column],
						   get_opcode(operator), (Datum) 0);
	return true;
}

/* Which column of the query's key this is; -1: none. */
static int
key_column(const LiveQuery *query, AttrNumber attnum)
{
	for (int i = 0; i < query->num_keys; i++)
	{
		if (get_attnum(query->source, query->inputs[i].column) == attnum)
			return i;
	}
	return -1;
}

/* How many columns are read, conditions in their places included. */
static int
count_columns(const LiveQuery *query)
{
	return query->spec.num_values + query->spec.num_ids + query->num_needed;
}

/* Find what is read in the index itself. */
static void
set_stored(LiveIndex *result, const LiveQuery *query, Relation index)
{
	result->covers = true;
	for (int i = 0; i < count_columns(query); i++)
	{
		int			column = 0;

		if (!query->columns[i])
			continue;
		while (column < index->rd_index->indnatts && index->rd_index->indkey.values[column] != result->columns[i])
			column++;
		/* It may have another type there, as a name has. */
		if (column == index->rd_index->indnatts ||
			TupleDescAttr(RelationGetDescr(index), column)->atttypid != get_atttype(query->source, result->columns[i]))
			result->covers = false;
		result->stored[i] = column + 1;
	}
}

/* Does an index lead from the key to its events in order of time?  Then how. */
static bool
set_index(LiveIndex *result, const LiveQuery *query, Relation index)
{
	int			n = query->num_keys;
	uint64		found = 0;

	if (index->rd_rel->relam != BTREE_AM_OID || !index->rd_index->indisvalid ||
		index->rd_index->indnkeyatts <= n || n > 63 || RelationGetIndexPredicate(index) != NIL ||
		index->rd_index->indkey.values[n] != result->time)
		return false;
	for (int i = 0; i < n; i++)
	{
		int			key = key_column(query, index->rd_index->indkey.values[i]);

		if (key < 0 || index->rd_indcollation[i] != query->key_collations[key] ||
			!set_condition(&result->keys[i], index, i, BTEqualStrategyNumber, query->inputs[key].type))
			return false;
		result->key_of[i] = key;
		found |= UINT64CONST(1) << key;
	}
	if (found != (UINT64CONST(1) << n) - 1 ||
		!set_condition(&result->keys[n], index, n, BTGreaterEqualStrategyNumber, InvalidOid) ||
		!set_condition(&result->keys[n + 1], index, n, BTLessStrategyNumber, InvalidOid))
		return false;
	set_stored(result, query, index);
	result->index = RelationGetRelid(index);
	result->not_before = index->rd_index->indcheckxmin ?
		HeapTupleHeaderGetXmin(index->rd_indextuple->t_data) : FrozenTransactionId;
	result->direction = index->rd_indoption[n] & INDOPTION_DESC ? BackwardScanDirection : ForwardScanDirection;
	return true;
}

/* The columns that are read; false: one needs more than reading. */
static bool
set_columns(LiveIndex *result, const LiveQuery *query, Relation rel)
{
	result->time = get_attnum(query->source, query->inputs[query->num_keys].column);
	result->time_type = query->time_column;
	result->last = result->time;
	for (int i = 0; i < count_columns(query); i++)
	{
		AttrNumber	attnum;

		result->nulls[i] = true;
		if (!query->columns[i])
			continue;
		attnum = get_attnum(query->source, query->columns[i]);
		if (attnum <= 0 || compat_is_virtual(TupleDescAttr(RelationGetDescr(rel), attnum - 1)))
			return false;
		result->columns[i] = attnum;
		result->last = Max(result->last, attnum);
	}
	return result->time > 0 &&
		getBaseType(TupleDescAttr(RelationGetDescr(rel), result->time - 1)->atttypid) == query->time_column;
}

/* Are all of its rows its own?  A table is said to have children from the first one on until
 * it is analyzed without. */
static bool
has_no_children(Relation rel)
{
	return !rel->rd_rel->relhassubclass || find_inheritance_children(RelationGetRelid(rel), NoLock) == NIL;
}

/* partition: the table may be one.  In the query's memory. */
LiveIndex *
live_index_find(const LiveQuery *query, bool partition)
{
	int			n = query->num_keys;
	int			num_columns = count_columns(query);
	MemoryContext caller = MemoryContextSwitchTo(query->context);
	LiveIndex  *result = palloc0(sizeof(LiveIndex));
	Relation	rel = try_table_open(query->source, AccessShareLock);

	result->keys = palloc(sizeof(ScanKeyData) * (n + 2));
	result->key_of = palloc(sizeof(int) * n);
	result->columns = palloc(sizeof(AttrNumber) * (num_columns + 1));
	result->stored = palloc(sizeof(AttrNumber) * (num_columns + 1));
	result->values = palloc(sizeof(Datum) * (num_columns + 1));
	result->nulls = palloc(sizeof(bool) * (num_columns + 1));
	if (rel && rel->rd_rel->relkind == RELKIND_RELATION && has_no_children(rel) &&
		(partition || !rel->rd_rel->relispartition) && set_columns(result, query, rel))
	{
		List	   *indexes = RelationGetIndexList(rel);
		ListCell   *cell;

		foreach(cell, indexes)
		{
			Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

			if (!OidIsValid(result->index))
				(void) set_index(result, query, index);
			index_close(index, AccessShareLock);
		}
	}
	if (rel)
		table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(caller);
	return result;
}

/* Is there one, and can the active snapshot use it? */
bool
live_index_serves(const LiveIndex *index)
{
	return OidIsValid(index->index) && TransactionIdPrecedes(index->not_before, TransactionXmin);
}

/* Can the current user's lookups go this way?  That the user may SELECT what
 * they read has been seen to. */
bool
live_index_usable(LiveQuery *query)
{
	if (!query->index)
		query->index = live_index_find(query, false);
	return live_index_serves(query->index) && check_enable_rls(query->source, InvalidOid, true) != RLS_ENABLED;
}

/* Open it.  NULL: it is gone since it was found, or going; the table is locked. */
Relation
live_index_open(const LiveIndex *by)
{
	Relation	index = try_relation_open(by->index, AccessShareLock);

	if (index && !index->rd_index->indisvalid)
	{
		relation_close(index, AccessShareLock);
		index = NULL;
	}
	return index;
}

/* A bound as the column of event time has it: the first date that is not before it. */
static Datum
time_bound(const LiveIndex *by, int64 bound)
{
	if (by->time_type != DATEOID)
		return Int64GetDatum(bound);
	return DateADTGetDatum((DateADT) (bound / USECS_PER_DAY + (bound % USECS_PER_DAY > 0)));
}

/* Begin to scan the events of a key of n columns from lower to before upper. */
void
live_index_begin(LiveIndex *by, IndexScanDesc scan, int n, const Datum *key, int64 lower, int64 upper)
{
	for (int i = 0; i < n; i++)
		by->keys[i].sk_argument = key[by->key_of[i]];
	by->keys[n].sk_argument = time_bound(by, lower);
	by->keys[n + 1].sk_argument = time_bound(by, upper);
	index_rescan(scan, by->keys, n + 2, NULL, 0);
}

/* Take an event whose columns are among values. */
static void
take_event(LiveQuery *query, const Datum *values, const bool *nulls, const AttrNumber *columns, AttrNumber time,
		   LiveTake take, void *arg)
{
	LiveIndex  *by = query->index;

	for (int i = 0; i < count_columns(query); i++)
	{
		if (!query->columns[i])
			continue;			/* a condition */
		by->values[i] = values[columns[i] - 1];
		by->nulls[i] = nulls[columns[i] - 1];
	}
	live_evaluate(query, by->values, by->nulls);
	take(arg, rolling_time(values[time - 1], by->time_type), by->values, by->nulls);
}

/* Take the events that a scan finds. */
static void
take_events(LiveQuery *query, IndexScanDesc scan, TupleTableSlot *slot, Buffer *visible,
			const LiveView *view, LiveTake take, void *arg)
{
	const LiveIndex *by = query->index;
	ItemPointer tid;

	while ((tid = index_getnext_tid(scan, by->direction)) != NULL)
	{
		BlockNumber block = ItemPointerGetBlockNumber(tid);

		CHECK_FOR_INTERRUPTS();
		if (scan->xs_want_itup && VM_ALL_VISIBLE(scan->heapRelation, block, visible))
		{
			Datum		values[INDEX_MAX_KEYS];
			bool		nulls[INDEX_MAX_KEYS];

			PredicateLockPage(scan->heapRelation, block, scan->xs_snapshot);
			index_deform_tuple(scan->xs_itup, scan->xs_itupdesc, values, nulls);
			take_event(query, values, nulls, by->stored, query->num_keys + 1, take, arg);
		}
		else if (index_fetch_heap(scan, slot) &&
				 (!view->old_row || slot->tts_tableOid != view->old_table ||
				  !ItemPointerEquals(&slot->tts_tid, view->old_row)))
		{
			slot_getsomeattrs(slot, by->last);
			take_event(query, slot->tts_values, slot->tts_isnull, by->columns, by->time, take, arg);
		}
	}
}

/*
 * Take the events of a key that are within ranges, by time, as the active snapshot
 * sees them; from the index alone where it has them, of pages that all can see.
 * False: the index is gone, and nothing was taken.
 */
bool
live_index_scan(LiveQuery *query, const Datum *key, const LiveRange *ranges, int num_ranges,
				const LiveView *view, LiveTake take, void *arg)
{
	LiveIndex  *by = query->index;
	int			n = query->num_keys;
	Relation	rel = table_open(query->source, AccessShareLock);
	Relation	index = live_index_open(by);
	Buffer		visible = InvalidBuffer;
	IndexScanDesc scan;
	TupleTableSlot *slot;

	if (!index)
	{
		table_close(rel, AccessShareLock);
		return false;
	}
	scan = compat_index_beginscan(rel, index, GetActiveSnapshot(), n + 2);
	slot = table_slot_create(rel, NULL);
	scan->xs_want_itup = by->covers && !view->old_row;
	for (int i = 0; i < num_ranges; i++)
	{
		live_index_begin(by, scan, n, key, ranges[i].lower, ranges[i].upper);
		take_events(query, scan, slot, &visible, view, take, arg);
	}
	if (BufferIsValid(visible))
		ReleaseBuffer(visible);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return true;
}
