/*
 * live_index.c
 *		The events of a key between two times, straight through an index of a plain
 *		table: what a prepared statement would do, without what it costs to start
 *		one.
 *
 * Only for tables whose rows need nothing but reading: no partitions, children,
 * row security that applies to the user, or columns that are computed when read.
 * Everything else goes through SPI (live_events.c), which may SELECT the same.
 *
 * A probe counts rows of a key that have a value in a column, up to some number:
 * through an index on key, column and event time, of each partition if there are
 * any.  For lookups that tiles answer (distinct.c).
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
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "compat.h"
#include "live_query.h"

struct LiveIndex
{
	Oid			index;			/* InvalidOid: there is none that serves */
	TransactionId not_before;	/* older snapshots may find it wrong (indcheckxmin) */
	ScanDirection direction;	/* in which it is in order of time */
	ScanKeyData *keys;			/* [num_keys + 2]: key, lower, upper */
	int		   *key_of;			/* [num_keys]: which of the query's is the index's */
	AttrNumber	time;
	AttrNumber *columns;		/* of values, then ids */
	AttrNumber	last;			/* the last of all these */
	AttrNumber *stored;			/* the same columns in the index; */
	bool		covers;			/* it has all of them */
	Datum	   *values;
	bool	   *nulls;
};

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

/* Find what is read in the index itself. */
static void
set_stored(LiveIndex *result, const LiveQuery *query, Relation index)
{
	result->covers = true;
	for (int i = 0; i < query->spec.num_values + query->spec.num_ids; i++)
	{
		int			column = 0;

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
	int			num_columns = query->spec.num_values + query->spec.num_ids;

	result->time = get_attnum(query->source, query->inputs[query->num_keys].column);
	result->last = result->time;
	for (int i = 0; i < num_columns; i++)
	{
		AttrNumber	attnum = query->columns[i] ? get_attnum(query->source, query->columns[i]) : InvalidAttrNumber;

		if (attnum <= 0 || compat_is_virtual(TupleDescAttr(RelationGetDescr(rel), attnum - 1)))
			return false;
		result->columns[i] = attnum;
		result->last = Max(result->last, attnum);
	}
	return result->time > 0 &&
		getBaseType(TupleDescAttr(RelationGetDescr(rel), result->time - 1)->atttypid) == query->spec.time_type;
}

/* partition: the table may be one. */
static LiveIndex *
find_index(const LiveQuery *query, bool partition)
{
	int			n = query->num_keys;
	int			num_columns = query->spec.num_values + query->spec.num_ids;
	MemoryContext caller = MemoryContextSwitchTo(query->context);
	LiveIndex  *result = palloc0(sizeof(LiveIndex));
	Relation	rel = try_table_open(query->source, AccessShareLock);

	result->keys = palloc(sizeof(ScanKeyData) * (n + 2));
	result->key_of = palloc(sizeof(int) * n);
	result->columns = palloc(sizeof(AttrNumber) * (num_columns + 1));
	result->stored = palloc(sizeof(AttrNumber) * (num_columns + 1));
	result->values = palloc(sizeof(Datum) * (num_columns + 1));
	result->nulls = palloc(sizeof(bool) * (num_columns + 1));
	if (rel && rel->rd_rel->relkind == RELKIND_RELATION && !rel->rd_rel->relhassubclass &&
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

static bool
is_usable(const LiveIndex *index)
{
	return OidIsValid(index->index) && TransactionIdPrecedes(index->not_before, TransactionXmin);
}

/* Can the current user's lookups go this way?  That the user may SELECT what
 * they read has been seen to. */
bool
live_index_usable(LiveQuery *query)
{
	if (!query->index)
		query->index = find_index(query, false);
	return is_usable(query->index) && check_enable_rls(query->source, InvalidOid, true) != RLS_ENABLED;
}

/* Take an event whose columns are among values. */
static void
take_event(LiveQuery *query, const Datum *values, const bool *nulls, const AttrNumber *columns, AttrNumber time,
		   LiveTake take, void *arg)
{
	LiveIndex  *by = query->index;

	for (int i = 0; i < query->spec.num_values + query->spec.num_ids; i++)
	{
		by->values[i] = values[columns[i] - 1];
		by->nulls[i] = nulls[columns[i] - 1];
	}
	take(arg, DatumGetInt64(values[time - 1]), by->values, by->nulls);
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

/* Take the events of a key that are within ranges, by time, as the active snapshot
 * sees them; from the index alone where it has them, of pages that all can see. */
void
live_index_scan(LiveQuery *query, const Datum *key, const LiveRange *ranges, int num_ranges,
				const LiveView *view, LiveTake take, void *arg)
{
	LiveIndex  *by = query->index;
	int			n = query->num_keys;
	Relation	rel = table_open(query->source, AccessShareLock);
	Relation	index = index_open(by->index, AccessShareLock);
	IndexScanDesc scan = compat_index_beginscan(rel, index, GetActiveSnapshot(), n + 2);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Buffer		visible = InvalidBuffer;

	scan->xs_want_itup = by->covers && !view->old_row;
	for (int i = 0; i < n; i++)
		by->keys[i].sk_argument = key[by->key_of[i]];
	for (int i = 0; i < num_ranges; i++)
	{
		by->keys[n].sk_argument = Int64GetDatum(ranges[i].lower);
		by->keys[n + 1].sk_argument = Int64GetDatum(ranges[i].upper);
		index_rescan(scan, by->keys, n + 2, NULL, 0);
		take_events(query, scan, slot, &visible, view, take, arg);
	}
	if (BufferIsValid(visible))
		ReleaseBuffer(visible);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
}

/* ---- probes ---- */

/* A table, or a partition. */
typedef struct Probed
{
	LiveQuery	query;			/* with the column in the key */
	int64		from;			/* times that its rows can have, */
	int64		until;			/* up to this one */
} Probed;

struct LiveProbe
{
	int			num_tables;
	Probed	   *tables;			/* the latest first */
};

/* A table that is being probed. */
typedef struct ProbedTable
{
	Relation	rel;			/* NULL: not yet */
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} ProbedTable;

struct LiveProbeScan
{
	LiveProbe  *probe;
	ProbedTable tables[FLEXIBLE_ARRAY_MEMBER];
};

/* A bound of ranges of time; otherwise: it has none. */
static int64
range_bound(PartitionBoundInfo bounds, int i, int64 otherwise)
{
	if (i < 0 || bounds->kind[i][0] != PARTITION_RANGE_DATUM_VALUE)
		return otherwise;
	return DatumGetInt64(bounds->datums[i][0]);
}

/* Find the times that rows of a partition can have, as far as its parent is
 * partitioned by ranges of time. */
static void
find_times(Probed *table, Oid relid)
{
	const LiveQuery *query = &table->query;
	List	   *ancestors = get_rel_relispartition(relid) ? get_partition_ancestors(relid) : NIL;
	Relation	parent = ancestors ? try_table_open(linitial_oid(ancestors), AccessShareLock) : NULL;
	PartitionKey key;
	PartitionDesc partitions;

	table->from = PG_INT64_MIN;
	table->until = PG_INT64_MAX;
	if (!parent)
		return;
	key = RelationGetPartitionKey(parent);
	partitions = RelationGetPartitionDesc(parent, false);
	if (key->strategy == PARTITION_STRATEGY_RANGE &&
		key->partattrs[0] == get_attnum(RelationGetRelid(parent), query->inputs[query->num_keys].column) &&
		key->parttypid[0] == query->spec.time_type &&
		key->partopfamily[0] == lookup_type_cache(query->spec.time_type, TYPECACHE_BTREE_OPFAMILY)->btree_opf)
	{
		PartitionBoundInfo bounds = partitions->boundinfo;

		for (int i = 0; bounds && i < bounds->ndatums; i++)
		{
			if (bounds->indexes[i] < 0 || partitions->oids[bounds->indexes[i]] != relid)
				continue;
			table->from = range_bound(bounds, i - 1, PG_INT64_MIN);
			table->until = range_bound(bounds, i, PG_INT64_MAX);
		}
	}
	table_close(parent, AccessShareLock);
}

static void
set_probed(Probed *table, const LiveQuery *query, int id, Oid relid)
{
	LiveQuery  *by = &table->query;
	int			n = query->num_keys;

	by->source = relid;
	by->set = query->set;
	by->context = query->context;
	by->num_keys = n + 1;
	by->inputs = palloc(sizeof(LiveInput) * (n + 2));
	memcpy(by->inputs, query->inputs, sizeof(LiveInput) * n);
	by->inputs[n] = (LiveInput) {query->columns[query->spec.num_values + id], query->spec.ids[id].type};
	by->inputs[n + 1] = query->inputs[n];
	by->key_collations = palloc(sizeof(Oid) * (n + 1));
	memcpy(by->key_collations, query->key_collations, sizeof(Oid) * n);
	by->key_collations[n] = query->spec.ids[id].collation;
	by->spec.time_type = query->spec.time_type;
	by->index = find_index(by, true);
	find_times(table, relid);
}

static int
compare_probed(const void *a, const void *b)
{
	int64		x = ((const Probed *) a)->from;
	int64		y = ((const Probed *) b)->from;

	return x > y ? -1 : x < y;
}

static LiveProbe *
make_probe(const LiveQuery *query, int id)
{
	LiveProbe  *probe = palloc0(sizeof(LiveProbe));
	List	   *tables = find_all_inheritors(query->source, NoLock, NULL);
	ListCell   *cell;

	probe->tables = palloc0(sizeof(Probed) * list_length(tables));
	foreach(cell, tables)
	{
		live_watch(lfirst_oid(cell));
		if (get_rel_relkind(lfirst_oid(cell)) != RELKIND_PARTITIONED_TABLE)
			set_probed(&probe->tables[probe->num_tables++], query, id, lfirst_oid(cell));
	}
	qsort(probe->tables, probe->num_tables, sizeof(Probed), compare_probed);
	return probe;
}

/* The probe of a column of ids, which lives as long as the query. */
LiveProbe *
live_probe(LiveQuery *query, int id)
{
	MemoryContext caller = MemoryContextSwitchTo(query->context);

	if (!query->probes)
		query->probes = palloc0(sizeof(LiveProbe *) * query->spec.num_ids);
	if (!query->probes[id])
		query->probes[id] = make_probe(query, id);
	MemoryContextSwitchTo(caller);
	return query->probes[id];
}

/* Is there an index that serves for each table? */
bool
live_probe_exists(const LiveProbe *probe)
{
	for (int i = 0; i < probe->num_tables; i++)
	{
		if (!OidIsValid(probe->tables[i].query.index->index))
			return false;
	}
	return true;
}

/* Can the active snapshot use them all?  Rights are the caller's matter. */
bool
live_probe_usable(LiveProbe *probe)
{
	for (int i = 0; i < probe->num_tables; i++)
	{
		if (!is_usable(probe->tables[i].query.index))
			return false;
	}
	return true;
}

LiveProbeScan *
live_probe_open(LiveProbe *probe)
{
	LiveProbeScan *scan = palloc0(offsetof(LiveProbeScan, tables) + sizeof(ProbedTable) * probe->num_tables);

	scan->probe = probe;
	return scan;
}

static void
begin_range(IndexScanDesc scan, LiveIndex *by, int n, const Datum *key, int64 lower, int64 upper)
{
	for (int i = 0; i < n; i++)
		by->keys[i].sk_argument = key[by->key_of[i]];
	by->keys[n].sk_argument = Int64GetDatum(lower);
	by->keys[n + 1].sk_argument = Int64GetDatum(upper);
	index_rescan(scan, by->keys, n + 2, NULL, 0);
}

/* False: what was there when the probe was made is gone, or going. */
static bool
open_table(ProbedTable *table, const LiveQuery *by)
{
	table->rel = try_table_open(by->source, AccessShareLock);
	if (!table->rel)
		return false;
	table->index = try_relation_open(by->index->index, AccessShareLock);
	if (!table->index || !table->index->rd_index->indisvalid)
		return false;
	table->scan = compat_index_beginscan(table->rel, table->index, GetActiveSnapshot(), by->num_keys + 2);
	table->slot = table_slot_create(table->rel, NULL);
	return true;
}

/*
 * How many rows from lower to before upper have a key, whose last part is the value
 * of the column; of each table as many are counted as are asked for.  latest: the
 * time of the latest one.  -1: an index is gone.
 */
int64
live_probe_count(LiveProbeScan *scan, const Datum *key, int64 lower, int64 upper, int64 most, int64 *latest)
{
	int64		count = 0;

	*latest = PG_INT64_MIN;
	for (int i = 0; i < scan->probe->num_tables && lower < upper; i++)
	{
		ProbedTable *table = &scan->tables[i];
		const Probed *probed = &scan->probe->tables[i];
		const LiveQuery *by = &probed->query;
		bool		isnull;

		if (lower > probed->until || upper <= probed->from || (count >= most && *latest >= probed->until))
			continue;
		if (!table->slot && !open_table(table, by))
			return -1;
		begin_range(table->scan, by->index, by->num_keys, key, lower, upper);
		for (int64 j = 0; j < most && index_getnext_slot(table->scan, -by->index->direction, table->slot); j++)
		{
			CHECK_FOR_INTERRUPTS();
			*latest = Max(*latest, DatumGetInt64(slot_getattr(table->slot, by->index->time, &isnull)));
			count++;
		}
	}
	return count;
}

void
live_probe_close(LiveProbeScan *scan)
{
	for (int i = 0; i < scan->probe->num_tables; i++)
	{
		ProbedTable *table = &scan->tables[i];

		if (table->slot)
		{
			index_endscan(table->scan);
			ExecDropSingleTupleTableSlot(table->slot);
		}
		if (table->index)
			relation_close(table->index, AccessShareLock);
		if (table->rel)
			table_close(table->rel, AccessShareLock);
	}
}
