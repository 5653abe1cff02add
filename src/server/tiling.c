/*
 * tiling.c
 *		Which sets of rolling features have tiles, and whether these can be trusted.
 *
 * A tile says what the events of a key up to a moment add up to.  Rows that come
 * later but happened before it leave a delta in their own transaction (late.c);
 * a lookup takes the difference of two tiles, the deltas between them, and the
 * rows at the edges (live_tiles.c).  Tiles, deltas and rows are read with one
 * snapshot, so a lookup says what the rows alone would.
 *
 * That rests on triggers having seen every change of the rows, and on the rows
 * being those that were added up.  The footing is a hash of all of that: the
 * files of the table and its partitions, and the columns and triggers with the
 * transactions that last touched them.  TRUNCATE, a partition that comes or goes,
 * a trigger that was disabled for a while change it; rolled back, it is as before.
 * A tiling whose stored footing is another one is not used, and is made anew.
 *
 * A tiling has two times.  Rows before `planned` leave deltas; `built` follows
 * when all transactions that may have seen an earlier plan are over (`fence`):
 * then all rows before it are in the table for a new snapshot, or will leave a
 * delta.  Tiles are made of what is before `built` (tile_build.c).
 *
 * Owns risk.rolling_tilings' memory in a process: one cache, dropped whenever
 * anything of it may have changed.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "compat.h"
#include "tiling.h"

/* Columns, in the order of the install script. */
enum
{
	Anum_tilings_tiling = 1,
	Anum_tilings_source,
	Anum_tilings_set_name,
	Anum_tilings_footing,
	Anum_tilings_planned,
	Anum_tilings_fence,
	Anum_tilings_built
};

/* The tilings that a table's rows belong to. */
typedef struct TableTilings
{
	Oid			relid;
	List	   *tilings;		/* of it, and of what it is a partition of */
	int64		late_before;	/* rows before this leave deltas somewhere */
} TableTilings;

static uint64 changes = 1;		/* of risk.rolling_tilings */
static TilingTables tables;
static uint64 cached_generation = 0;
static MemoryContext cache_context = NULL;
static HTAB *cache = NULL;

static void
relation_invalidated(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == tables.tilings)
		changes++;
}

void
tiling_init(void)
{
	CacheRegisterRelcacheCallback(relation_invalidated, (Datum) 0);
}

uint64
tiling_generation(void)
{
	return changes + live_generation();
}

/* ---- footing ---- */

/* What the tiles of a set rest on, as bytes. */
typedef struct Footing
{
	StringInfoData bytes;
	bool		stands;			/* can they be trusted? */
	const char *obstacle;		/* why not, if other triggers would not help; or NULL */
} Footing;

static void
refuse(Footing *footing, const char *obstacle)
{
	footing->stands = false;
	if (!footing->obstacle)
		footing->obstacle = obstacle;
}

static void
add_bytes(Footing *footing, const void *bytes, int length)
{
	appendBinaryStringInfo(&footing->bytes, bytes, length);
}

/* Is a trigger for an event time: is the column in its condition, and its argument? */
static bool
is_for_time(HeapTuple trigger, Relation triggers, AttrNumber attnum, const char *name)
{
	bool		isnull;
	Datum		condition = heap_getattr(trigger, Anum_pg_trigger_tgqual, RelationGetDescr(triggers), &isnull);
	Bitmapset  *columns = NULL;
	Node	   *node;
	bytea	   *arguments;
	Size		length = strlen(name) + 1;

	if (isnull)
		return false;
	node = stringToNode(TextDatumGetCString(condition));
	pull_varattnos(node, PRS2_OLD_VARNO, &columns);
	pull_varattnos(node, PRS2_NEW_VARNO, &columns);
	arguments = DatumGetByteaPP(heap_getattr(trigger, Anum_pg_trigger_tgargs, RelationGetDescr(triggers), &isnull));
	return bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, columns) &&
		VARSIZE_ANY_EXHDR(arguments) == length && memcmp(VARDATA_ANY(arguments), name, length) == 0;
}

/* Add the triggers of a table that note late rows, if they see all. */
static void
add_triggers(Footing *footing, Oid relid, AttrNumber time, const char *name, Oid note_late)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			seen = 0;
	const int	all = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);
		TransactionId touched = HeapTupleHeaderGetRawXmin(tuple->t_data);

		if (trigger->tgfoid != note_late || trigger->tgenabled != TRIGGER_FIRES_ALWAYS ||
			!is_for_time(tuple, triggers, time, name))
			continue;
		seen |= trigger->tgtype & all;
		add_bytes(footing, &trigger->oid, sizeof(Oid));
		add_bytes(footing, &touched, sizeof(touched));
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	if (seen != all)
		refuse(footing, NULL);
}

/* Add a column, with the transaction that last touched what it is; its number. */
static AttrNumber
add_column(Footing *footing, Oid relid, const char *name)
{
	HeapTuple	tuple = SearchSysCacheAttName(relid, name);
	Form_pg_attribute attribute;
	TransactionId touched;
	AttrNumber	attnum;

	if (!HeapTupleIsValid(tuple))
	{
		refuse(footing, NULL);
		return InvalidAttrNumber;
	}
	attribute = (Form_pg_attribute) GETSTRUCT(tuple);
	touched = HeapTupleHeaderGetRawXmin(tuple->t_data);
	attnum = attribute->attnum;
	if (compat_is_virtual(attribute))
		refuse(footing, psprintf("column \"%s\" is virtual", name));
	add_bytes(footing, &attnum, sizeof(attnum));
	add_bytes(footing, &touched, sizeof(touched));
	ReleaseSysCache(tuple);
	return attnum;
}

/* Rows of some tables change unseen, as those of an unlogged one do in a crash. */
static void
check_table(Footing *footing, Relation rel)
{
	const char *name = RelationGetRelationName(rel);

	if (rel->rd_rel->relkind != RELKIND_RELATION && rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		refuse(footing, psprintf("\"%s\" is a foreign table", name));
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		refuse(footing, psprintf("table \"%s\" is unlogged", name));
	if (rel->rd_rel->relforcerowsecurity)
		refuse(footing, psprintf("table \"%s\" forces row-level security upon its owner", name));
}

/* Add a table: its file, the places of the columns, and the triggers. */
static void
add_table(Footing *footing, const Tiling *tiling, Oid relid, Oid note_late)
{
	const LiveQuery *query = tiling->query;
	const LiveQuery *counted = tiling->counted;
	char	  **needed = query->columns + query->spec.num_values + query->spec.num_ids;
	Relation	rel = try_relation_open(relid, AccessShareLock);
	AttrNumber	attnum = InvalidAttrNumber;
	const char *name = NULL;

	if (!rel)
	{
		refuse(footing, NULL);
		return;
	}
	check_table(footing, rel);
	add_bytes(footing, &relid, sizeof(Oid));
	add_bytes(footing, &rel->rd_rel->relfilenode, sizeof(Oid));
	for (int i = 0; counted && i < counted->spec.num_ids; i++)
		(void) add_column(footing, relid, counted->columns[i]);
	for (int i = 0; i < query->num_needed; i++)
		(void) add_column(footing, relid, needed[i]);
	for (int i = 0; i < query->spec.num_values + query->num_keys + 1; i++)
	{
		name = i < query->spec.num_values ? query->columns[i] : query->inputs[i - query->spec.num_values].column;
		if (name)				/* no condition */
			attnum = add_column(footing, relid, name);
	}
	add_triggers(footing, relid, attnum, name, note_late);
	relation_close(rel, AccessShareLock);
}

/* ---- what is tiled ---- */

/* Can totals answer a feature? */
static bool
adds_up(const RollingAsked *feature)
{
	return feature->aggregate == ROLLING_SUM || feature->aggregate == ROLLING_AVG ||
		feature->aggregate == ROLLING_STDDEV;
}

/* Is a value a condition that tiles do not know, as it may fail? */
static bool
is_unknown(const LiveQuery *query, int value)
{
	return query->conditions[value].text && !query->conditions[value].state;
}

/* The columns and conditions of a set that are added up. */
static void
find_columns(Tiling *tiling)
{
	const HistorySpec *spec = &tiling->query->spec;

	tiling->columns = palloc0(sizeof(TotalsColumn) * (spec->num_values + 1));
	tiling->values = palloc(sizeof(int) * (spec->num_values + 1));
	for (int i = 0; i < spec->num_values; i++)
	{
		TotalsColumn column = {spec->values[i].type, false};
		bool		needed = false;

		for (int j = 0; j < spec->num_features; j++)
		{
			const RollingAsked *feature = &spec->features[j];

			if (feature->column != i || !adds_up(feature) || is_unknown(tiling->query, i))
				continue;
			needed = true;
			column.squares |= feature->aggregate == ROLLING_STDDEV;
		}
		if (needed)
		{
			tiling->values[tiling->num_columns] = i;
			tiling->columns[tiling->num_columns++] = column;
		}
	}
}

/* The minima and maxima of a set. */
static void
find_extrema(Tiling *tiling)
{
	const HistorySpec *spec = &tiling->query->spec;

	tiling->extrema = palloc(sizeof(Extremum) * (spec->num_values * 2 + 1));
	tiling->extrema_values = palloc(sizeof(int) * (spec->num_values * 2 + 1));
	for (int i = 0; i < spec->num_values * 2; i++)
	{
		Extremum	extremum = {spec->values[i / 2].type, i % 2 == 1};
		bool		needed = false;

		for (int j = 0; j < spec->num_features; j++)
			needed |= spec->features[j].column == i / 2 &&
				spec->features[j].aggregate == (extremum.max ? ROLLING_MAX : ROLLING_MIN);
		if (needed)
		{
			tiling->extrema_values[tiling->num_extrema] = i / 2;
			tiling->extrema[tiling->num_extrema++] = extremum;
		}
	}
}

/* Can values of a type be told apart by bytes, without calling anybody's code? */
static bool
has_bytes(Oid type, Oid collation)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case UUIDOID:
		case BYTEAOID:
		case NUMERICOID:
			return true;
		case TEXTOID:
		case VARCHAROID:
			return !OidIsValid(collation) || get_collation_isdeterministic(collation);
		default:
			return false;
	}
}

/* Does a feature count different values, which have bytes? */
static bool
counts_values(const LiveQuery *query, const RollingAsked *feature)
{
	return feature->aggregate == ROLLING_DISTINCT &&
		has_bytes(query->spec.ids[feature->column].type, query->spec.ids[feature->column].collation);
}

/* Is there an index that leads to them? */
static bool
can_probe(LiveQuery *query, const RollingAsked *feature)
{
	return live_probe_exists(live_probe(query, feature->column));
}

/* The query of those features of a set; NULL: there is none. */
static LiveQuery *
find_counted(LiveQuery *query)
{
	const HistorySpec *spec = &query->spec;
	const char **names = palloc(sizeof(char *) * spec->num_features);
	int			count = 0;
	List	   *queries = NIL;
	ListCell   *cell;

	for (int i = 0; i < spec->num_features; i++)
	{
		if (counts_values(query, &spec->features[i]) && can_probe(query, &spec->features[i]))
			names[count++] = query->names[i];
	}
	if (count > 0)
		queries = live_queries(query->source, names, count, NULL);
	foreach(cell, queries)
	{
		LiveQuery  *counted = lfirst(cell);

		if (counted->source == query->source && strcmp(counted->set, query->set) == 0)
			return counted;
	}
	return NULL;
}

/* Read the row of a tiling, if there is one. */
static void
read_row(Tiling *tiling)
{
	Relation	rel = table_open(tables.tilings, AccessShareLock);
	TupleDesc	tupdesc = RelationGetDescr(rel);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;

	ScanKeyInit(&keys[0], Anum_tilings_source, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(tiling->query->source));
	ScanKeyInit(&keys[1], Anum_tilings_set_name, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(tiling->query->set));
	keys[1].sk_collation = DEFAULT_COLLATION_OID;
	scan = systable_beginscan(rel, tables.tilings_set_key, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		tiling->id = DatumGetInt32(heap_getattr(tuple, Anum_tilings_tiling, tupdesc, &isnull));
		tiling->stored_footing = DatumGetInt64(heap_getattr(tuple, Anum_tilings_footing, tupdesc, &isnull));
		tiling->planned = DatumGetInt64(heap_getattr(tuple, Anum_tilings_planned, tupdesc, &isnull));
		tiling->built = DatumGetInt64(heap_getattr(tuple, Anum_tilings_built, tupdesc, &isnull));
		tiling->fence = FullTransactionIdFromU64(DatumGetUInt64(heap_getattr(tuple, Anum_tilings_fence, tupdesc, &isnull)));
		if (isnull)
			tiling->fence = InvalidFullTransactionId;
		tiling->row = tuple->t_self;
		tiling->written_by = HeapTupleHeaderGetXmin(tuple->t_data);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Have keys bytes? */
static void
check_types(Footing *footing, const LiveQuery *query)
{
	for (int i = 0; i < query->num_keys; i++)
	{
		Oid			type = query->inputs[i].type;

		if (!has_bytes(type, InvalidOid))
			refuse(footing, psprintf("keys are of type %s", format_type_be(type)));
		else if (!has_bytes(type, query->key_collations[i]))
			refuse(footing, "keys are of a nondeterministic collation");
	}
}

/* Add which conditions are added up, since tiles of others have other columns. */
static void
add_conditions(Footing *footing, const LiveQuery *query)
{
	for (int i = 0; i < query->spec.num_values; i++)
	{
		if (query->conditions[i].state)
			add_bytes(footing, query->conditions[i].text, strlen(query->conditions[i].text) + 1);
	}
}

/* What the tiles of a set would rest on. */
static Footing
find_footing(const Tiling *tiling)
{
	static const Oid no_arguments[1] = {InvalidOid};
	const LiveQuery *query = tiling->query;
	Oid			note_late = LookupFuncName(list_make2(makeString("risk"), makeString("note_late")), 0, no_arguments, true);
	List	   *tables = find_all_inheritors(query->source, NoLock, NULL);
	Footing		footing = {.stands = OidIsValid(note_late)};
	ListCell   *cell;

	initStringInfo(&footing.bytes);
	check_types(&footing, query);
	add_conditions(&footing, query);
	if (list_length(tables) > 1 && get_rel_relkind(query->source) != RELKIND_PARTITIONED_TABLE)
		refuse(&footing, "the table has children that are no partitions");	/* whose changes triggers do not see */
	if (live_detaching(query->source))
		refuse(&footing, "a partition is being detached");	/* which is no place of late rows any more */
	foreach(cell, tables)
	{
		live_watch(lfirst_oid(cell));
		add_table(&footing, tiling, lfirst_oid(cell), note_late);
	}
	return footing;
}

const char *
tiling_time(const Tiling *tiling)
{
	return tiling->query->inputs[tiling->query->num_keys].column;
}

bool
tiling_stands(Tiling *tiling)
{
	if (!tiling->footing_known)
	{
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk footing", ALLOCSET_DEFAULT_SIZES);
		MemoryContext caller = MemoryContextSwitchTo(context);
		Footing		footing = find_footing(tiling);

		tiling->footing = (int64) hash_bytes_extended((unsigned char *) footing.bytes.data, footing.bytes.len, 0);
		tiling->stands = footing.stands;
		tiling->obstacle = footing.obstacle ? MemoryContextStrdup(cache_context, footing.obstacle) : NULL;
		tiling->footing_known = true;
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(context);
	}
	return tiling->stands;
}

static Tiling *
make_tiling(LiveQuery *query)
{
	Tiling	   *tiling = palloc0(sizeof(Tiling));

	tiling->query = query;
	find_columns(tiling);
	find_extrema(tiling);
	tiling->counted = find_counted(query);
	read_row(tiling);
	return tiling;
}

/* Find the tables.  False: the extension is not there. */
static bool
find_tables(void)
{
	Oid			namespace = get_namespace_oid("risk", true);

	if (!OidIsValid(namespace))
		return false;
	tables = (TilingTables)
	{
		.tilings = get_relname_relid("rolling_tilings", namespace),
		.tilings_pkey = get_relname_relid("rolling_tilings_pkey", namespace),
		.tilings_set_key = get_relname_relid("rolling_tilings_source_set_name_key", namespace),
		.ids = get_relname_relid("rolling_tilings_tiling_seq", namespace),
		.tiles = get_relname_relid("rolling_tiles", namespace),
		.tiles_pkey = get_relname_relid("rolling_tiles_pkey", namespace),
		.tiles_seq = get_relname_relid("rolling_tiles_seq", namespace),
		.deltas = get_relname_relid("rolling_deltas", namespace),
		.deltas_key = get_relname_relid("rolling_deltas_key", namespace),
		.distincts = get_relname_relid("rolling_distincts", namespace),
		.distincts_pkey = get_relname_relid("rolling_distincts_pkey", namespace)
	};
	return OidIsValid(tables.tilings);
}

const TilingTables *
tiling_tables(void)
{
	return &tables;
}

static void
reset_cache(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(TableTilings)};

	if (cache_context)
		MemoryContextReset(cache_context);
	else
		cache_context = AllocSetContextCreate(TopMemoryContext, "pg_risk tilings", ALLOCSET_DEFAULT_SIZES);
	control.hcxt = cache_context;
	cache = hash_create("pg_risk tilings", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* The tilings of a table, in the current memory context. */
static List *
make_list(Oid relid)
{
	List	   *result = NIL;
	ListCell   *cell;

	if (!find_tables())
		return NIL;
	foreach(cell, live_queries(relid, NULL, 0, NULL))
		result = lappend(result, make_tiling(lfirst(cell)));
	return result;
}

/*
 * The tilings (Tiling *) of the sets that are declared on a table or on what it
 * is a partition of; late_before: rows of it before that time leave a delta in one.
 */
List *
tiling_list(Oid relid, int64 *late_before)
{
	uint64		generation = tiling_generation();
	TableTilings *entry;

	if (generation != cached_generation)
		reset_cache();
	entry = hash_search(cache, &relid, HASH_FIND, NULL);
	if (!entry)
	{
		MemoryContext caller = MemoryContextSwitchTo(cache_context);
		List	   *tilings;
		ListCell   *cell;

		cached_generation = 0;	/* until this has worked */
		tilings = make_list(relid);
		MemoryContextSwitchTo(caller);
		entry = hash_search(cache, &relid, HASH_ENTER, NULL);
		entry->tilings = tilings;
		entry->late_before = PG_INT64_MIN;
		foreach(cell, tilings)
		{
			const Tiling *tiling = lfirst(cell);

			if (tiling->id != 0)
				entry->late_before = Max(entry->late_before, tiling->planned);
		}
	}
	cached_generation = generation;
	if (late_before)
		*late_before = entry->late_before;
	return entry->tilings;
}

/* NULL: nothing of that name is declared on the table. */
Tiling *
tiling_find(Oid source, const char *set)
{
	ListCell   *cell;

	foreach(cell, tiling_list(source, NULL))
	{
		Tiling	   *tiling = lfirst(cell);

		if (tiling->query->source == source && strcmp(tiling->query->set, set) == 0)
			return tiling;
	}
	return NULL;
}

/* The command that makes an index, without which different values cannot be counted. */
static char *
missing_index(const Tiling *tiling)
{
	LiveQuery  *query = tiling->query;
	StringInfoData command;

	for (int i = 0; i < query->spec.num_features; i++)
	{
		const RollingAsked *feature = &query->spec.features[i];
		const char *column;

		if (!counts_values(query, feature) || can_probe(query, feature))
			continue;
		column = query->columns[query->spec.num_values + feature->column];
		initStringInfo(&command);
		appendStringInfo(&command, "distinct(%s) is answered by rows: CREATE INDEX ON %s (", column,
						 quote_qualified_identifier(get_namespace_name(get_rel_namespace(query->source)), get_rel_name(query->source)));
		for (int j = 0; j < query->num_keys; j++)
			appendStringInfo(&command, "%s, ", quote_identifier(query->inputs[j].column));
		appendStringInfo(&command, "%s, %s)", quote_identifier(column), quote_identifier(tiling_time(tiling)));
		return command.data;
	}
	return NULL;
}

/* Why tiles do not know a condition. */
static char *
unknown_condition(const LiveQuery *query)
{
	for (int i = 0; i < query->spec.num_values; i++)
	{
		const LiveCondition *condition = &query->conditions[i];

		if (is_unknown(query, i))
			return psprintf("condition %s is answered by rows: %s", condition->text, condition->plain && !condition->same_types ?
							"its columns have other types than when it was declared, which risk.alter_rolling_features() takes note of" :
							"it is more than simple comparisons; a generated column can hold it");
	}
	return NULL;
}

char *
tiling_problem(Oid source, const char *set)
{
	Tiling	   *tiling = tiling_find(source, set);
	char	   *missing;

	if (!tiling)
		return NULL;
	if (tiling_stands(tiling))
	{
		missing = missing_index(tiling);
		return missing ? missing : unknown_condition(tiling->query);
	}
	return tiling->obstacle ? psprintf("there can be no tiles: %s", tiling->obstacle) : NULL;
}

/* Is the row visible where it was when it was read?  As long as nothing is known to
 * have changed, that place is still there. */
static bool
visible_in_place(const Tiling *tiling, Relation rel)
{
	HeapTupleData tuple = {.t_self = tiling->row};
	Buffer		buffer;
	bool		isnull;
	bool		visible;

	if (cached_generation != tiling_generation() || !heap_fetch(rel, GetActiveSnapshot(), &tuple, &buffer, false))
		return false;
	visible = DatumGetInt32(heap_getattr(&tuple, Anum_tilings_tiling, RelationGetDescr(rel), &isnull)) == tiling->id;
	ReleaseBuffer(buffer);
	return visible;
}

/* Another version of the row will do, too. */
static bool
visible_by_key(const Tiling *tiling, Relation rel)
{
	ScanKeyData key;
	SysScanDesc scan;
	bool		visible;

	ScanKeyInit(&key, Anum_tilings_tiling, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(tiling->id));
	scan = systable_beginscan(rel, tables.tilings_pkey, true, GetActiveSnapshot(), 1, &key);
	visible = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	return visible;
}

bool
tiling_visible(const Tiling *tiling)
{
	Relation	rel = table_open(tables.tilings, AccessShareLock);
	bool		visible = visible_in_place(tiling, rel) || visible_by_key(tiling, rel);

	table_close(rel, AccessShareLock);
	return visible;
}

/* ---- keys ---- */

/* The bytes of a value whose equality is not that of its Datum; NULL: it is. */
static const void *
value_bytes(Oid type, Datum value, int32 *length)
{
	switch (type)
	{
		case UUIDOID:
			*length = UUID_LEN;
			return DatumGetUUIDP(value)->data;
		case TEXTOID:
		case VARCHAROID:
		case BYTEAOID:
			{
				struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

				*length = VARSIZE_ANY_EXHDR(bytes);
				return VARDATA_ANY(bytes);
			}
		case NUMERICOID:
			{
				const char *text = numeric_normalize(DatumGetNumeric(value));

				*length = strlen(text);
				return text;
			}
		default:
			return NULL;
	}
}

/* What equals nothing else has its length before it. */
void
tiling_put_value(StringInfo bytes, Oid type, Datum value)
{
	int32		length;
	const void *data = value_bytes(type, value, &length);

	if (data)
	{
		appendBinaryStringInfo(bytes, (const char *) &length, sizeof(length));
		appendBinaryStringInfo(bytes, data, length);
	}
	else
	{
		if (type == OIDOID)		/* of a tuple it has the sign of an integer */
			value = ObjectIdGetDatum(DatumGetObjectId(value));
		appendBinaryStringInfo(bytes, (const char *) &value, sizeof(Datum));
	}
}

bytea *
tiling_key(const LiveQuery *query, const Datum *key)
{
	StringInfoData bytes;

	initStringInfo(&bytes);
	appendStringInfoSpaces(&bytes, VARHDRSZ);
	for (int i = 0; i < query->num_keys; i++)
	{
		tiling_put_value(&bytes, query->inputs[i].type, key[i]);
		if (bytes.len > TILING_KEY_BYTES)
			return NULL;
	}
	SET_VARSIZE(bytes.data, bytes.len);
	return (bytea *) bytes.data;
}

static Datum
value_of_bytes(Oid type, const char *data, int32 length)
{
	switch (type)
	{
		case UUIDOID:
			return PointerGetDatum(memcpy(palloc(UUID_LEN), data, UUID_LEN));
		case NUMERICOID:
			return DirectFunctionCall3(numeric_in, CStringGetDatum(pnstrdup(data, length)),
									   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		default:
			return PointerGetDatum(cstring_to_text_with_len(data, length));
	}
}

bool
tiling_get_value(const char **data, const char *end, Oid type, Datum *value)
{
	int32		length;

	if (get_typbyval(type))
	{
		if (end - *data < sizeof(Datum))
			return false;
		memcpy(value, *data, sizeof(Datum));
		*data += sizeof(Datum);
		return true;
	}
	if (end - *data < sizeof(length))
		return false;
	memcpy(&length, *data, sizeof(length));
	*data += sizeof(length);
	if (length < 0 || length > end - *data || (type == UUIDOID && length != UUID_LEN))
		return false;
	*value = value_of_bytes(type, *data, length);
	*data += length;
	return true;
}

/* The key that the bytes are of.  Errors: 22023 tiling_key() did not make them. */
void
tiling_key_values(const LiveQuery *query, const bytea *bytes, Datum *key)
{
	const char *data = VARDATA_ANY(bytes);
	const char *end = data + VARSIZE_ANY_EXHDR(bytes);
	bool		valid = true;

	for (int i = 0; i < query->num_keys && valid; i++)
		valid = tiling_get_value(&data, end, query->inputs[i].type, &key[i]);
	if (!valid || data != end)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("not a key of rolling features \"%s\"", query->set),
				 errhint("risk.tile_key() makes keys.")));
}
