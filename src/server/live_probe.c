/*
 * live_probe.c
 *		How many rows of a key have a value in a column, as far as is asked: through an
 *		index on key, column and event time, of each partition if there are any.
 *
 * For counts of different values that are known but for a few (distinct.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "compat.h"
#include "live_index.h"
#include "rolling_names.h"

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
range_bound(PartitionBoundInfo bounds, int i, Oid type, int64 otherwise)
{
	if (i < 0 || bounds->kind[i][0] != PARTITION_RANGE_DATUM_VALUE)
		return otherwise;
	return rolling_time(bounds->datums[i][0], type);
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
		key->parttypid[0] == query->time_column &&
		key->partopfamily[0] == lookup_type_cache(query->time_column, TYPECACHE_BTREE_OPFAMILY)->btree_opf)
	{
		PartitionBoundInfo bounds = partitions->boundinfo;

		for (int i = 0; bounds && i < bounds->ndatums; i++)
		{
			if (bounds->indexes[i] < 0 || partitions->oids[bounds->indexes[i]] != relid)
				continue;
			table->from = range_bound(bounds, i - 1, query->time_column, PG_INT64_MIN);
			table->until = range_bound(bounds, i, query->time_column, PG_INT64_MAX);
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
	by->time_column = query->time_column;
	by->index = live_index_find(by, true);
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
		if (!live_index_serves(probe->tables[i].query.index))
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

/* False: what was there when the probe was made is gone, or going. */
static bool
open_table(ProbedTable *table, const LiveQuery *by)
{
	table->rel = try_table_open(by->source, AccessShareLock);
	if (!table->rel)
		return false;
	table->index = live_index_open(by->index);
	if (!table->index)
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
		live_index_begin(by->index, table->scan, by->num_keys, key, lower, upper);
		for (int64 j = 0; j < most && index_getnext_slot(table->scan, -by->index->direction, table->slot); j++)
		{
			CHECK_FOR_INTERRUPTS();
			*latest = Max(*latest, rolling_time(slot_getattr(table->slot, by->index->time, &isnull), by->time_column));
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
			index_close(table->index, AccessShareLock);
		if (table->rel)
			table_close(table->rel, AccessShareLock);
	}
}
