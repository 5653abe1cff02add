/*
 * catalog.c
 *		The tables of schema risk, as C sees them.
 *
 * Roles and names are read with the snapshot of the statement that asks, so
 * they are what any SELECT of that statement would see: a rollout takes effect
 * at COMMIT, for every process, on standbys too; own changes are seen, aborted
 * ones are not; and all processes of a parallel query agree.
 *
 * The big immutable part of a version is remembered by each process (see
 * version.c).  Triggers on that table invalidate its relcache entry, and the
 * callback here counts that, so what is remembered is dropped when a version
 * is, or the extension.  The callback reads nothing.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "changes.h"
#include "worker.h"

/* Columns, in the order of the install script. */
enum
{
	Anum_definitions_model = 1,
	Anum_definitions_entity_id,
	Anum_definitions_event_time,
	Anum_definitions_cohorts,
	Anum_definitions_positive_class,
	Anum_definitions_log,
	Anum_definitions_log_percent,
	Anum_definitions_log_features,
	Anum_definitions_on_missing,
	Anum_definitions_fallback_score,
	Anum_definitions_bands
};
enum
{
	Anum_versions_version_id = 1,
	Anum_versions_model,
	Anum_versions_version,
	Anum_versions_artifact,
	Anum_versions_artifact_sha256,
	Anum_versions_image,
	Anum_versions_image_sha256,
	Anum_versions_metadata,
	Anum_versions_feature_names,
	Anum_versions_categories
};
enum
{
	Anum_roles_model = 1,
	Anum_roles_version_id,
	Anum_roles_role,
	Anum_roles_percent,
	Anum_roles_salt,
	Anum_roles_paused
};

enum
{
	Anum_reasons_model = 1,
	Anum_reasons_feature,
	Anum_reasons_direction,
	Anum_reasons_code,
	Anum_reasons_text
};

/* A table and the indexes that are read through. */
typedef struct CatalogOids
{
	bool		valid;
	Oid			definitions;
	Oid			definitions_pkey;
	Oid			versions;
	Oid			versions_pkey;
	Oid			versions_name_key;
	Oid			roles;
	Oid			roles_pkey;
	Oid			reasons;
	Oid			reasons_pkey;
	Oid			predictions;
	Oid			owner;			/* of predictions */
} CatalogOids;

static CatalogOids oids = {false};
static uint64 generation = 0;
static uint64 route_generation = 0;

/* One of our tables, or everything, has changed: only note it. */
static void
relation_invalidated(Datum arg, Oid relid)
{
	bool		any = relid == InvalidOid || !oids.valid;

	if (any || relid == oids.versions)
		generation++;
	if (any || relid == oids.roles || relid == oids.definitions)
		route_generation++;
	if (any || relid == oids.versions || relid == oids.roles || relid == oids.definitions ||
		relid == oids.reasons || relid == oids.predictions)
		oids.valid = false;
}

void
catalog_init(void)
{
	/* Registered in the postmaster, inherited by every process. */
	CacheRegisterRelcacheCallback(relation_invalidated, (Datum) 0);
}

uint64
catalog_generation(void)
{
	return generation;
}

/* Is the extension created in this database? */
bool
catalog_installed(void)
{
	return OidIsValid(get_extension_oid("pg_risk", true));
}

static Oid
relation_oid(const char *name, Oid namespace)
{
	Oid			relid = get_relname_relid(name, namespace);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"risk.%s\" does not exist", name),
				 errhint("Run CREATE EXTENSION pg_risk in this database.")));
	return relid;
}

static Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* The OIDs of our tables, looked up again after an invalidation. */
static const CatalogOids *
catalog_oids(void)
{
	if (!oids.valid)
	{
		Oid			namespace = get_namespace_oid("risk", false);

		oids.definitions = relation_oid("model_definitions", namespace);
		oids.definitions_pkey = relation_oid("model_definitions_pkey", namespace);
		oids.versions = relation_oid("model_versions", namespace);
		oids.versions_pkey = relation_oid("model_versions_pkey", namespace);
		oids.versions_name_key = relation_oid("model_versions_model_version_key", namespace);
		oids.roles = relation_oid("model_roles", namespace);
		oids.roles_pkey = relation_oid("model_roles_pkey", namespace);
		oids.reasons = relation_oid("reason_codes", namespace);
		oids.reasons_pkey = relation_oid("reason_codes_pkey", namespace);
		oids.predictions = relation_oid("predictions", namespace);
		oids.owner = relation_owner(oids.predictions);
		oids.valid = true;
	}
	return &oids;
}

/* Who remembers routes reads no table, so the tables are looked for here: it is by
 * their OIDs that other invalidations are told from theirs. */
uint64
catalog_route_generation(void)
{
	(void) catalog_oids();
	return route_generation;
}

/* The role that writes predictions: the owner of their table. */
Oid
catalog_owner(void)
{
	return catalog_oids()->owner;
}

static void
text_key(ScanKey key, AttrNumber column, const text *value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, InvalidOid,
						   DEFAULT_COLLATION_OID, F_TEXTEQ, PointerGetDatum(value));
}

static void
end_scan(Relation rel, SysScanDesc scan)
{
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* A column of the one row that the keys select; false when there is no row. */
static bool
fetch_column(Oid table, Oid index, int nkeys, ScanKey keys, AttrNumber column,
			 Datum *value, bool *isnull)
{
	Relation	rel = table_open(table, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, index, true, GetActiveSnapshot(), nkeys, keys);
	HeapTuple	tuple = systable_getnext(scan);

	/* Only columns passed by value, so the row need not outlive the scan. */
	if (HeapTupleIsValid(tuple))
		*value = heap_getattr(tuple, column, RelationGetDescr(rel), isnull);
	end_scan(rel, scan);
	return HeapTupleIsValid(tuple);
}

static void
report_no_model(const text *model)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("model \"%s\" does not exist", text_to_cstring(model)),
			 errhint("SELECT model FROM risk.models lists those that exist.")));
}

/* A number in the row of a model; false: NULL.  Errors: 42704 no such model. */
static bool
fetch_definition(const text *model, AttrNumber column, Datum *value)
{
	ScanKeyData key;
	bool		isnull;

	text_key(&key, Anum_definitions_model, model);
	if (!fetch_column(catalog_oids()->definitions, catalog_oids()->definitions_pkey,
					  1, &key, column, value, &isnull))
		report_no_model(model);
	return !isnull;
}

/* A column of the model's row as a C string; NULL is NULL. */
static char *
definition_text(Relation rel, HeapTuple tuple, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, RelationGetDescr(rel), &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static double
definition_float8(Relation rel, HeapTuple tuple, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, RelationGetDescr(rel), &isnull);

	return isnull ? 0 : DatumGetFloat8(value);
}

/* The columns that name the subject of a transaction, and the model's bands. */
static void
read_names(Relation rel, HeapTuple tuple, Route *route)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);
	bool		isnull;
	Datum		value;

	route->entity_id = definition_text(rel, tuple, Anum_definitions_entity_id);
	route->event_time = definition_text(rel, tuple, Anum_definitions_event_time);
	value = heap_getattr(tuple, Anum_definitions_cohorts, tupdesc, &isnull);
	if (!isnull)
	{
		Datum	   *names;
		bool	   *nulls;

		deconstruct_array(DatumGetArrayTypePCopy(value), TEXTOID, -1, false, TYPALIGN_INT,
						  &names, &nulls, &route->num_cohorts);
		route->cohorts = palloc(sizeof(char *) * Max(route->num_cohorts, 1));
		for (int i = 0; i < route->num_cohorts; i++)
			route->cohorts[i] = nulls[i] ? pstrdup("") : TextDatumGetCString(names[i]);
	}
	value = heap_getattr(tuple, Anum_definitions_bands, tupdesc, &isnull);
	if (!isnull)
		route->bands = DatumGetJsonbPCopy(value);
}

/* The settings of a model.  Errors: 42704 no such model. */
static void
read_settings(const text *model, Route *route)
{
	Relation	rel = table_open(catalog_oids()->definitions, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	text_key(&key, Anum_definitions_model, model);
	scan = systable_beginscan(rel, catalog_oids()->definitions_pkey, true, GetActiveSnapshot(), 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		char	   *log = definition_text(rel, tuple, Anum_definitions_log);
		char	   *features = definition_text(rel, tuple, Anum_definitions_log_features);
		char	   *on_missing = definition_text(rel, tuple, Anum_definitions_on_missing);
		bool		isnull;
		Datum		positive_class = heap_getattr(tuple, Anum_definitions_positive_class,
												  RelationGetDescr(rel), &isnull);

		route->positive_class = isnull ? -1 : DatumGetInt32(positive_class);
		route->log = strcmp(log, "off") == 0 ? LOG_OFF :
			strcmp(log, "queued") == 0 ? LOG_QUEUED : LOG_TRANSACTIONAL;
		route->log_percent = definition_float8(rel, tuple, Anum_definitions_log_percent);
		route->log_features = strcmp(features, "none") == 0 ? FEATURES_NONE :
			strcmp(features, "hash") == 0 ? FEATURES_HASH : FEATURES_FULL;
		route->has_fallback = strcmp(on_missing, "fallback") == 0;
		route->fallback_score = definition_float8(rel, tuple, Anum_definitions_fallback_score);
		read_names(rel, tuple, route);
	}
	end_scan(rel, scan);
	if (!HeapTupleIsValid(tuple))
		report_no_model(model);
}

/*
 * The roles of a model's versions and its settings, in the caller's memory.
 * Errors: 42704 no such model.
 */
void
catalog_read_route(const char *model, Route *route)
{
	text	   *name = cstring_to_text(model);
	Relation	rel;
	TupleDesc	tupdesc;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	memset(route, 0, sizeof(Route));
	read_settings(name, route);
	rel = table_open(catalog_oids()->roles, AccessShareLock);
	tupdesc = RelationGetDescr(rel);
	text_key(&key, Anum_roles_model, name);
	scan = systable_beginscan(rel, catalog_oids()->roles_pkey, true, GetActiveSnapshot(), 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		char	   *role = TextDatumGetCString(heap_getattr(tuple, Anum_roles_role, tupdesc, &isnull));
		RoutedVersion routed = {
			.version_id = DatumGetInt64(heap_getattr(tuple, Anum_roles_version_id, tupdesc, &isnull)),
			.percent = DatumGetFloat8(heap_getattr(tuple, Anum_roles_percent, tupdesc, &isnull)),
			.salt = DatumGetInt64(heap_getattr(tuple, Anum_roles_salt, tupdesc, &isnull))
		};

		if (strcmp(role, "champion") == 0)
			route->champion = routed;
		else if (strcmp(role, "canary") == 0)
			route->canary = routed;
		else if (!DatumGetBool(heap_getattr(tuple, Anum_roles_paused, tupdesc, &isnull)))
		{
			route->shadows = route->num_shadows == 0 ? palloc(sizeof(RoutedVersion)) :
				repalloc(route->shadows, sizeof(RoutedVersion) * (route->num_shadows + 1));
			route->shadows[route->num_shadows++] = routed;
		}
	}
	end_scan(rel, scan);
	pfree(name);
}

/* The version of a name.  Errors: 42704 no such model or version. */
int64
catalog_version(const text *model, const text *version)
{
	ScanKeyData keys[2];
	Datum		version_id;
	bool		isnull;

	text_key(&keys[0], Anum_versions_model, model);
	text_key(&keys[1], Anum_versions_version, version);
	if (!fetch_column(catalog_oids()->versions, catalog_oids()->versions_name_key, 2, keys,
					  Anum_versions_version_id, &version_id, &isnull))
	{
		(void) fetch_definition(model, Anum_definitions_positive_class, &version_id);
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("version \"%s\" of model \"%s\" does not exist",
						text_to_cstring(version), text_to_cstring(model)),
				 errhint("SELECT version FROM risk.model_versions_info lists those that are registered.")));
	}
	return DatumGetInt64(version_id);
}

/* Which output is the score; -1 when the model does not say. */
int
catalog_positive_class(const text *model)
{
	Datum		value;

	return fetch_definition(model, Anum_definitions_positive_class, &value) ? DatumGetInt32(value) : -1;
}

/* Numbers (int64 *) of the versions that have a role. */
List *
catalog_versions_with_role(void)
{
	Relation	rel = table_open(catalog_oids()->roles, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, GetActiveSnapshot(), 0, NULL);
	List	   *result = NIL;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		int64	   *version_id = palloc(sizeof(int64));
		bool		isnull;

		*version_id = DatumGetInt64(heap_getattr(tuple, Anum_roles_version_id,
												 RelationGetDescr(rel), &isnull));
		result = lappend(result, version_id);
	}
	end_scan(rel, scan);
	return result;
}

/* A scan of the one row of a version. */
static SysScanDesc
begin_version_scan(Relation *rel, int64 version_id, HeapTuple *tuple)
{
	ScanKeyData key;
	SysScanDesc scan;

	*rel = table_open(catalog_oids()->versions, AccessShareLock);
	ScanKeyInit(&key, Anum_versions_version_id, BTEqualStrategyNumber,
				F_INT8EQ, Int64GetDatum(version_id));
	scan = systable_beginscan(*rel, catalog_oids()->versions_pkey, true,
							  GetActiveSnapshot(), 1, &key);
	*tuple = systable_getnext(scan);
	return scan;
}

static Datum
version_column(Relation rel, HeapTuple tuple, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, RelationGetDescr(rel), &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("null value in column %d of risk.model_versions", column)));
	return value;
}

/* All of a version but its artifact and its image; false: there is no such
 * version. */
bool
catalog_read_version(int64 version_id, VersionRow *row)
{
	Relation	rel;
	HeapTuple	tuple;
	SysScanDesc scan = begin_version_scan(&rel, version_id, &tuple);

	if (HeapTupleIsValid(tuple))
	{
		bytea	   *hash = DatumGetByteaPP(version_column(rel, tuple, Anum_versions_image_sha256));
		Datum		names;
		bool		isnull;

		if (VARSIZE_ANY_EXHDR(hash) != IMAGE_HASH_LENGTH)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("image_sha256 in risk.model_versions has a wrong length")));
		memcpy(row->image_hash, VARDATA_ANY(hash), IMAGE_HASH_LENGTH);
		row->model = TextDatumGetCString(version_column(rel, tuple, Anum_versions_model));
		row->version = TextDatumGetCString(version_column(rel, tuple, Anum_versions_version));
		row->metadata = DatumGetJsonbPCopy(version_column(rel, tuple, Anum_versions_metadata));
		row->categories = DatumGetJsonbPCopy(version_column(rel, tuple, Anum_versions_categories));
		names = heap_getattr(tuple, Anum_versions_feature_names, RelationGetDescr(rel), &isnull);
		row->feature_names = isnull ? NULL : DatumGetArrayTypePCopy(names);
	}
	end_scan(rel, scan);
	return HeapTupleIsValid(tuple);
}

/* The forest image of a version that the same snapshot has seen. */
bytea *
catalog_read_image(int64 version_id)
{
	Relation	rel;
	HeapTuple	tuple;
	SysScanDesc scan = begin_version_scan(&rel, version_id, &tuple);
	bytea	   *image;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "version number %lld vanished", (long long) version_id);
	image = DatumGetByteaPCopy(version_column(rel, tuple, Anum_versions_image));
	end_scan(rel, scan);
	return image;
}

/* Code and text of a reason, text datums in the caller's memory; false: the model
 * has none for it. */
bool
catalog_read_reason(const text *model, const char *feature, const char *direction,
					Datum *code, Datum *reason)
{
	Relation	rel = table_open(catalog_oids()->reasons, AccessShareLock);
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;

	text_key(&keys[0], Anum_reasons_model, model);
	text_key(&keys[1], Anum_reasons_feature, cstring_to_text(feature));
	text_key(&keys[2], Anum_reasons_direction, cstring_to_text(direction));
	scan = systable_beginscan(rel, catalog_oids()->reasons_pkey, true, GetActiveSnapshot(), 3, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		*code = PointerGetDatum(DatumGetTextPCopy(heap_getattr(tuple, Anum_reasons_code,
															   RelationGetDescr(rel), &isnull)));
		*reason = PointerGetDatum(DatumGetTextPCopy(heap_getattr(tuple, Anum_reasons_text,
																 RelationGetDescr(rel), &isnull)));
	}
	end_scan(rel, scan);
	return HeapTupleIsValid(tuple);
}

PG_FUNCTION_INFO_V1(risk_catalog_changed);

/*
 * Trigger of the tables of models, versions, roles and rolling features.  What
 * processes remember of models and roles has its own way of being found out
 * (changes.c), before the change can be seen.
 */
Datum
risk_catalog_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Oid			relid;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as a trigger", "catalog_changed")));
	relid = RelationGetRelid(trigger->tg_relation);
	if (relid == catalog_oids()->definitions || relid == catalog_oids()->roles)
		changes_note();
	else
		CacheInvalidateRelcache(trigger->tg_relation);
	if (relid != catalog_oids()->definitions)
		worker_wake_at_commit();
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return PointerGetDatum(NULL);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple);
}
