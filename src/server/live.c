/*
 * live.c
 *		Declared rolling features: what is declared, as queries.
 *
 * What is declared is read from risk.rolling_sets and risk.rolling_features
 * with a catalog snapshot and made into queries, which callers keep as long as
 * live_generation() is the same.  The relcache callback only counts: changes of
 * those two tables (their triggers invalidate them) and of the sources.
 *
 * This file makes the queries; live_events.c reads the events for them.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "condition.h"
#include "live_query.h"
#include "rolling_names.h"

/* Columns, in the order of the install script. */
enum
{
	Anum_sets_source = 1,
	Anum_sets_name,
	Anum_sets_key,
	Anum_sets_event_time,
	Anum_sets_value,
	Anum_sets_windows,
	Anum_sets_aggregates,
	Anum_sets_known_time,
	Anum_sets_delay,
	Anum_sets_time_zone
};
enum
{
	Anum_features_source = 1,
	Anum_features_feature,
	Anum_features_set_name,
	Anum_features_aggregate,
	Anum_features_column_name,
	Anum_features_width,
	Anum_features_delay,
	Anum_features_tau,
	Anum_features_condition,
	Anum_features_condition_columns,
	Anum_features_condition_types
};

/* ---- what has changed ---- */

static uint64 generation = 1;
static Oid *watched = NULL;		/* relations whose changes count */
static int	num_watched = 0;

/* Partitions that are being detached are there for older snapshots only: what was made
 * while there were some is for snapshots that see the same as this one. */
static bool detaching = false;
static SnapshotData seen_by;

static void
relation_invalidated(Datum arg, Oid relid)
{
	bool		counts = relid == InvalidOid;

	for (int i = 0; !counts && i < num_watched; i++)
		counts = watched[i] == relid;
	if (counts)
		generation++;
}

static bool
sees_the_same(const SnapshotData *snapshot)
{
	return snapshot->xmin == seen_by.xmin && snapshot->xmax == seen_by.xmax &&
		snapshot->xcnt == seen_by.xcnt && snapshot->subxcnt == seen_by.subxcnt;
}

void
live_init(void)
{
	CacheRegisterRelcacheCallback(relation_invalidated, (Datum) 0);
}

uint64
live_generation(void)
{
	if (detaching && !(ActiveSnapshotSet() && sees_the_same(GetActiveSnapshot())))
	{
		detaching = false;
		generation++;
	}
	return generation;
}

/* Have changes of a relation count. */
void
live_watch(Oid relid)
{
	for (int i = 0; i < num_watched; i++)
	{
		if (watched[i] == relid)
			return;
	}
	watched = watched ? repalloc(watched, sizeof(Oid) * (num_watched + 1)) :
		MemoryContextAlloc(TopMemoryContext, sizeof(Oid));
	watched[num_watched++] = relid;
}

static bool
find_detaching(Oid table)
{
	bool		found = false;
	TransactionId since = InvalidTransactionId;
	List	   *partitions;
	ListCell   *cell;

	if (get_rel_relkind(table) != RELKIND_PARTITIONED_TABLE)
		return false;
	live_watch(table);
	partitions = find_inheritance_children_extended(table, true, NoLock, &found, &since);
	foreach(cell, partitions)
		found |= find_detaching(lfirst_oid(cell));
	return found;
}

/* Is something to be made of a table's partitions while one of them, at whatever level,
 * is being detached?  Under the active snapshot. */
bool
live_detaching(Oid source)
{
	bool		found = find_detaching(source);

	if (found)
	{
		detaching = true;
		seen_by = *GetActiveSnapshot();
	}
	return found;
}

/* ---- what is declared ---- */

static char *
text_column(HeapTuple tuple, TupleDesc tupdesc, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, tupdesc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static ArrayType *
array_column_or_null(HeapTuple tuple, TupleDesc tupdesc, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, tupdesc, &isnull);

	return isnull ? NULL : DatumGetArrayTypePCopy(value);
}

static ArrayType *
array_column(HeapTuple tuple, TupleDesc tupdesc, AttrNumber column)
{
	ArrayType  *result = array_column_or_null(tuple, tupdesc, column);

	if (!result)
		elog(ERROR, "unexpected null in column %d", column);
	return result;
}

static Interval
interval_column(HeapTuple tuple, TupleDesc tupdesc, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, tupdesc, &isnull);

	return isnull ? (Interval) {0} : *DatumGetIntervalP(value);
}

/* Begin to read the rows of a source. */
static SysScanDesc
begin_scan(const char *table, const char *index, Oid source, Relation *rel)
{
	Oid			namespace = get_namespace_oid("risk", true);
	Oid			relid = OidIsValid(namespace) ? get_relname_relid(table, namespace) : InvalidOid;
	ScanKeyData key;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"risk.%s\" does not exist", table),
				 errhint("Run CREATE EXTENSION pg_risk in this database.")));
	live_watch(relid);
	*rel = table_open(relid, AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(source));
	return systable_beginscan(*rel, get_relname_relid(index, namespace), true, NULL, 1, &key);
}

/* A column of the source.  False: there is none, and it is listed, once. */
static bool
find_column(Oid source, const char *name, Oid *type, Oid *collation, StringInfo missing)
{
	AttrNumber	attnum = get_attnum(source, name);
	int32		typmod;

	if (attnum > 0)
	{
		get_atttypetypmodcoll(source, attnum, type, &typmod, collation);
		*type = getBaseType(*type);
		return true;
	}
	if (!strstr(missing->data, psprintf("\"%s\"", name)))
		appendStringInfo(missing, "%s\"%s\"", missing->len ? ", " : "", name);
	return false;
}

/* Room for the name of a column of values, or of ids, which come after all values. */
static char **
insert_column(LiveQuery *query, bool id)
{
	int			count = query->spec.num_values + query->spec.num_ids;
	int			place = id ? count : query->spec.num_values;

	memmove(&query->columns[place + 1], &query->columns[place], sizeof(char *) * (count - place));
	return &query->columns[place];
}

/* The index of a column of values or ids; added if it is not there. */
static int
add_column(LiveQuery *query, bool id, const char *name, StringInfo missing)
{
	HistorySpec *spec = &query->spec;
	int			begin = id ? spec->num_values : 0;
	int			end = spec->num_values + (id ? spec->num_ids : 0);
	RollingColumn column = {InvalidOid, InvalidOid};

	for (int i = begin; i < end; i++)
	{
		if (query->columns[i] && strcmp(query->columns[i], name) == 0)
			return i - begin;
	}
	(void) find_column(query->source, name, &column.type, &column.collation, missing);
	*insert_column(query, id) = pstrdup(name);
	if (id)
		spec->ids[spec->num_ids++] = column;
	else
	{
		query->conditions[spec->num_values] = (LiveCondition) {NULL, false, false, NULL};
		spec->values[spec->num_values++] = column;
	}
	return end - begin;
}

/* Do the columns of a condition still have the types that it was declared with? */
static bool
has_types(Oid source, const Datum *names, int count, ArrayType *types)
{
	Datum	   *declared;
	int			num_declared;

	deconstruct_array(types, REGTYPEOID, sizeof(Oid), true, TYPALIGN_INT, &declared, NULL, &num_declared);
	for (int i = 0; i < count && count == num_declared; i++)
	{
		if (get_atttype(source, get_attnum(source, TextDatumGetCString(names[i]))) != DatumGetObjectId(declared[i]))
			return false;
	}
	return count == num_declared;
}

/* The same of a condition, as values; types NULL: it is not plain. */
static int
add_condition(LiveQuery *query, char *condition, ArrayType *columns, ArrayType *types, StringInfo missing)
{
	HistorySpec *spec = &query->spec;
	Datum	   *names;
	int			count;
	Oid			type;
	Oid			collation;
	bool		same_types;

	for (int i = 0; i < spec->num_values; i++)
	{
		if (query->conditions[i].text && strcmp(query->conditions[i].text, condition) == 0)
			return i;
	}
	deconstruct_array(columns, TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &count);
	for (int i = 0; i < count; i++)
		(void) find_column(query->source, TextDatumGetCString(names[i]), &type, &collation, missing);
	*insert_column(query, false) = NULL;
	same_types = types && has_types(query->source, names, count, types);
	query->conditions[spec->num_values] = (LiveCondition) {condition, types != NULL, same_types, NULL};
	spec->values[spec->num_values] = (RollingColumn) {BOOLOID, InvalidOid};
	return spec->num_values++;
}

/* Have the columns of a condition selected. */
static void
need_columns(LiveQuery *query, Relation rel, Expr *condition)
{
	int			begin = query->spec.num_values + query->spec.num_ids;
	List	   *vars = pull_var_clause((Node *) condition, 0);
	ListCell   *cell;

	foreach(cell, vars)
	{
		AttrNumber	attnum = lfirst_node(Var, cell)->varattno;
		int			i = 0;

		while (i < query->num_needed && query->needed[i] != attnum)
			i++;
		if (i < query->num_needed)
			continue;
		query->columns = repalloc(query->columns, sizeof(char *) * (begin + i + 1));
		query->columns[begin + i] = pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname));
		query->needed[query->num_needed++] = attnum;
	}
}

/*
 * Make a condition ready.  One for tiles has to be plain, and is evaluated for whoever
 * writes, who need not have the right to call what it calls.
 */
static void
prepare_condition(LiveQuery *query, LiveCondition *condition, Relation rel, bool for_tiles)
{
	Expr	   *expr = condition_parse(rel, condition->text);
	Oid			user;
	int			security;

	if (for_tiles && !condition_is_plain(rel, expr))
		return;
	need_columns(query, rel, expr);
	GetUserIdAndSecContext(&user, &security);
	if (for_tiles)
		SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, security | SECURITY_LOCAL_USERID_CHANGE);
	condition->state = ExecInitExpr(expression_planner(expr), NULL);
	SetUserIdAndSecContext(user, security);
	if (query->evaluation)
		return;
	query->evaluation = CreateStandaloneExprContext();
	query->evaluation->ecxt_scantuple = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(rel)), &TTSOpsVirtual);
}

/* Make those of a query ready, over the columns of the table that was asked about: who
 * writes into a partition has locked no parent. */
static void
prepare_conditions(LiveQuery *query, Oid relid, bool for_tiles)
{
	Relation	rel = NULL;

	query->num_needed = 0;
	for (int i = 0; i < query->spec.num_values; i++)
	{
		LiveCondition *condition = &query->conditions[i];

		if (!condition->text || (for_tiles && !(condition->plain && condition->same_types)))
			continue;
		if (!rel)
		{
			rel = table_open(relid, AccessShareLock);
			query->needed = palloc(sizeof(AttrNumber) * RelationGetNumberOfAttributes(rel));
		}
		prepare_condition(query, condition, rel, for_tiles);
	}
	if (rel)
		table_close(rel, AccessShareLock);
}

/* Where a feature is in what is wanted; -1: it is not.  NULL: all are. */
static int
wanted_position(const char *const *wanted, int num_wanted, const char *name)
{
	if (!wanted)
		return 0;
	for (int i = 0; i < num_wanted; i++)
	{
		if (wanted[i] && strcmp(wanted[i], name) == 0)
			return i;
	}
	return -1;
}

/* Add a declared feature to its set's query. */
static void
add_feature(LiveQuery *query, HeapTuple tuple, TupleDesc tupdesc, const char *name, int position,
			StringInfo missing)
{
	HistorySpec *spec = &query->spec;
	RollingAsked *feature = &spec->features[spec->num_features];
	char	   *column = text_column(tuple, tupdesc, Anum_features_column_name);	/* or NULL */
	char	   *condition = text_column(tuple, tupdesc, Anum_features_condition);
	RollingItem item = rolling_item_named(text_column(tuple, tupdesc, Anum_features_aggregate), column);
	Interval	width = interval_column(tuple, tupdesc, Anum_features_width);
	Interval	delay = interval_column(tuple, tupdesc, Anum_features_delay);
	Interval	tau = interval_column(tuple, tupdesc, Anum_features_tau);

	feature->aggregate = item.aggregate;
	feature->change = item.change;
	feature->window = rolling_add_window(spec->windows, &spec->num_windows, &width, &delay, feature->change);
	if (condition)
		feature->column = add_condition(query, condition, array_column(tuple, tupdesc, Anum_features_condition_columns),
										array_column_or_null(tuple, tupdesc, Anum_features_condition_types), missing);
	else
		feature->column = column ? add_column(query, rolling_takes_id(feature->aggregate), column, missing) : 0;
	feature->tau = feature->aggregate == ROLLING_DECAYED_DISTINCT ? rolling_check_tau(&tau) : 0;
	query->names[spec->num_features] = pstrdup(name);
	query->positions[spec->num_features++] = position;
}

static void *
resize(void *array, Size size)
{
	return array ? repalloc(array, size) : palloc(size);
}

/* Room for so many features, each with a column and two windows at most. */
static void
make_room(LiveQuery *query, int capacity)
{
	HistorySpec *spec = &query->spec;

	spec->features = resize(spec->features, sizeof(RollingAsked) * capacity);
	spec->values = resize(spec->values, sizeof(RollingColumn) * capacity);
	spec->ids = resize(spec->ids, sizeof(RollingColumn) * capacity);
	spec->windows = resize(spec->windows, sizeof(RollingWindow) * capacity * 2);
	query->columns = resize(query->columns, sizeof(char *) * capacity);
	query->conditions = resize(query->conditions, sizeof(LiveCondition) * capacity);
	query->names = resize(query->names, sizeof(char *) * capacity);
	query->positions = resize(query->positions, sizeof(int) * capacity);
}

/* Add those declared features of a set that are wanted. */
static void
add_features(LiveQuery *query, const char *const *wanted, int num_wanted, StringInfo missing)
{
	Relation	rel;
	SysScanDesc scan = begin_scan("rolling_features", "rolling_features_pkey", query->source, &rel);
	HeapTuple	tuple;
	int			capacity = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc	tupdesc = RelationGetDescr(rel);
		char	   *name = text_column(tuple, tupdesc, Anum_features_feature);
		int			position = wanted_position(wanted, num_wanted, name);

		if (position < 0 || strcmp(text_column(tuple, tupdesc, Anum_features_set_name), query->set) != 0)
			continue;
		if (query->spec.num_features == capacity)
		{
			capacity = Max(capacity * 2, 8);
			make_room(query, capacity);
		}
		add_feature(query, tuple, tupdesc, name, position, missing);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* What a lookup of the query is to be given. */
static void
set_inputs(LiveQuery *query, ArrayType *key, char *event_time, StringInfo missing)
{
	Datum	   *keys;
	Oid			collation;
	HistorySpec *spec = &query->spec;

	deconstruct_array(key, TEXTOID, -1, false, TYPALIGN_INT, &keys, NULL, &query->num_keys);
	query->inputs = palloc0(sizeof(LiveInput) * (query->num_keys + 1 + spec->num_ids));
	query->key_collations = palloc0(sizeof(Oid) * query->num_keys);
	for (int i = 0; i < query->num_keys; i++)
		query->inputs[i].column = TextDatumGetCString(keys[i]);
	query->inputs[query->num_keys].column = event_time;
	for (int i = 0; i < spec->num_ids; i++)
		query->inputs[query->num_keys + 1 + i].column = query->columns[spec->num_values + i];
	query->num_inputs = query->num_keys + 1 + spec->num_ids;
	for (int i = 0; i < query->num_inputs; i++)
	{
		LiveInput  *input = &query->inputs[i];

		/* What the ids miss is listed already. */
		if (i <= query->num_keys)
			(void) find_column(query->source, input->column, &input->type,
							   i < query->num_keys ? &query->key_collations[i] : &collation, missing);
		else
			input->type = spec->ids[i - query->num_keys - 1].type;
	}
	query->time_column = query->inputs[query->num_keys].type;
	spec->time_type = LIVE_MOMENT_TYPE(query->time_column);
	query->inputs[query->num_keys].type = spec->time_type;
}

static void
free_plan(void *arg)
{
	LiveQuery  *query = arg;

	if (query->plan)
		SPI_freeplan(query->plan);
	if (query->row_plan)
		SPI_freeplan(query->row_plan);
}

/* Are types still what they were when the set was declared, and is its time zone
 * known here? */
static bool
check_types(LiveQuery *query, const char *zone, Problem *problem)
{
	HistorySpec *spec = &query->spec;
	char	   *what = NULL;

	spec->zone = pg_tzset(zone);
	if (!spec->zone)
		what = psprintf("time zone \"%s\" of rolling features \"%s\" is not known here", zone, query->set);
	if (!rolling_is_time(spec->time_type))
		what = psprintf("column \"%s\" is no time any more", query->inputs[query->num_keys].column);
	for (int i = 0; i < spec->num_values; i++)
	{
		if (!rolling_is_number(spec->values[i].type))
			what = psprintf("column \"%s\" is no number any more", query->columns[i]);
	}
	if (what)
		problem_set(problem, ERRCODE_DATATYPE_MISMATCH, what,
					"Change the features with risk.alter_rolling_features().");
	return what == NULL;
}

/* A query of one declared set; NULL: none of its features is wanted, or there
 * is a problem. */
static LiveQuery *
make_query(HeapTuple tuple, TupleDesc tupdesc, const char *const *wanted, int num_wanted, Problem *problem)
{
	LiveQuery  *query = palloc0(sizeof(LiveQuery));
	StringInfoData missing;
	char	   *zone = text_column(tuple, tupdesc, Anum_sets_time_zone);
	bool		isnull;
	Oid			collation;
	char	   *event_time = text_column(tuple, tupdesc, Anum_sets_event_time);

	initStringInfo(&missing);
	query->source = DatumGetObjectId(heap_getattr(tuple, Anum_sets_source, tupdesc, &isnull));
	query->set = text_column(tuple, tupdesc, Anum_sets_name);
	query->context = CurrentMemoryContext;
	query->known_time = text_column(tuple, tupdesc, Anum_sets_known_time);
	add_features(query, wanted, num_wanted, &missing);
	if (query->spec.num_features == 0)
		return NULL;
	set_inputs(query, array_column(tuple, tupdesc, Anum_sets_key), event_time, &missing);
	if (query->known_time)
		(void) find_column(query->source, query->known_time, &query->known_type, &collation, &missing);
	if (missing.len)
	{
		problem_set(problem, ERRCODE_UNDEFINED_COLUMN,
					psprintf("table \"%s\" no longer has all columns of its rolling features \"%s\"",
							 get_rel_name(query->source), query->set),
					"Name others with risk.alter_rolling_features(), or drop the features with risk.drop_rolling_features().");
		problem->detail = psprintf("Missing: %s.", missing.data);
		return NULL;
	}
	if (!check_types(query, zone, problem))
		return NULL;
	query->free_plan.func = free_plan;
	query->free_plan.arg = query;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &query->free_plan);
	return query;
}

/* Add the queries of the sets of one table, but for those with a problem; nothing
 * after the first one, if it is wanted. */
static List *
add_queries(List *queries, Oid source, const char *const *wanted, int num_wanted, Problem *problem)
{
	Problem		ignored;
	Relation	rel;
	SysScanDesc scan = begin_scan("rolling_sets", "rolling_sets_pkey", source, &rel);
	HeapTuple	tuple;

	live_watch(source);
	while (!(problem && problem->sqlstate) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		LiveQuery  *query = make_query(tuple, RelationGetDescr(rel), wanted, num_wanted, problem ? problem : &ignored);

		if (query)
			queries = lappend(queries, query);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return queries;
}

/*
 * Queries for those of the wanted features (NULL entries are none) that are
 * declared on a table, or on one that it is a partition of.  problem NULL: sets
 * with one are left out, and those conditions that are plain are made ready; else all
 * are, by the first lookup.  That can fail, which is nothing to those who write into
 * the table, nor who ask for another set.
 *
 * Problems: 42703 a column of the source is gone, 42804 its type has changed.
 */
List *
live_queries(Oid relid, const char *const *wanted, int num_wanted, Problem *problem)
{
	List	   *queries = add_queries(NIL, relid, wanted, num_wanted, problem);
	ListCell   *cell;

	if (get_rel_relispartition(relid))
	{
		ListCell   *ancestor;
		List	   *ancestors = get_partition_ancestors(relid);

		foreach(ancestor, ancestors)
		{
			if (!(problem && problem->sqlstate))
				queries = add_queries(queries, lfirst_oid(ancestor), wanted, num_wanted, problem);
		}
	}
	foreach(cell, queries)
	{
		LiveQuery  *query = lfirst(cell);

		if (problem)
			query->unprepared = relid;
		else
			prepare_conditions(query, relid, true);
	}
	return queries;
}

/* Make all conditions of a query ready, if they are not.  Errors: those of condition_parse(). */
void
live_prepare(LiveQuery *query)
{
	MemoryContext caller;

	if (!OidIsValid(query->unprepared))
		return;
	caller = MemoryContextSwitchTo(query->context);
	prepare_conditions(query, query->unprepared, false);
	query->unprepared = InvalidOid;
	MemoryContextSwitchTo(caller);
}

const char *
live_set(const LiveQuery *query)
{
	return query->set;
}

int
live_num_keys(const LiveQuery *query)
{
	return query->num_keys;
}

int
live_num_inputs(const LiveQuery *query)
{
	return query->num_inputs;
}

const LiveInput *
live_input(const LiveQuery *query, int i)
{
	return &query->inputs[i];
}

int
live_num_results(const LiveQuery *query)
{
	return query->spec.num_features;
}

const char *
live_result_name(const LiveQuery *query, int i)
{
	return query->names[i];
}

int
live_result_position(const LiveQuery *query, int i)
{
	return query->positions[i];
}
