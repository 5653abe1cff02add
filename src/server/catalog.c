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
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "storage/lmgr.h"
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

/*
 * Keep the extension until the transaction ends.  Who drops it locks it first and then
 * its tables, in whatever order; so the worker does this before it locks any.
 */
void
catalog_hold(void)
{
	Oid			extension = get_extension_oid("pg_risk", true);

	if (OidIsValid(extension))
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
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

/* Rows of a table, found by an index (or none: all), as the active snapshot sees them. */
typedef struct Search
{
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;			/* good until the next one; NULL: there are no more */
} Search;

static void
search_next(Search *search)
{
	search->tuple = systable_getnext(search->scan);
}

/* Find the first row. */
static Search
search_begin(Oid table, Oid index, int nkeys, ScanKey keys)
{
	Search		search;

	search.rel = table_open(table, AccessShareLock);
	search.scan = systable_beginscan(search.rel, index, OidIsValid(index), GetActiveSnapshot(), nkeys, keys);
	search_next(&search);
	return search;
}

/* Was a row found? */
static bool
search_end(const Search *search)
{
	systable_endscan(search->scan);
	table_close(search->rel, AccessShareLock);
	return HeapTupleIsValid(search->tuple);
}

/* A column of the row. */
static Datum
found_column(const Search *search, AttrNumber column, bool *isnull)
{
	return heap_getattr(search->tuple, column, RelationGetDescr(search->rel), isnull);
}

/* Columns that may be NULL, or not. */
static char *
found_text(const Search *search, AttrNumber column)
{
	bool		isnull;
	Datum		value = found_column(search, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static double
found_float8(const Search *search, AttrNumber column)
{
	bool		isnull;
	Datum		value = found_column(search, column, &isnull);

	return isnull ? 0 : DatumGetFloat8(value);
}

static Datum
found_value(const Search *search, AttrNumber column)
{
	bool		isnull;
	Datum		value = found_column(search, column, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("null value in column %d of %s", column, RelationGetRelationName(search->rel))));
	return value;
}

/* The columns that name the subject of a transaction, and the model's bands. */
static void
read_names(const Search *found, Route *route)
{
	bool		isnull;
	Datum		value;
	Datum	   *names;
	bool	   *nulls;

	route->entity_id = found_text(found, Anum_definitions_entity_id);
	route->event_time = found_text(found, Anum_definitions_event_time);
	deconstruct_array(DatumGetArrayTypePCopy(found_value(found, Anum_definitions_cohorts)), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, &nulls, &route->num_cohorts);
	route->cohorts = palloc(sizeof(char *) * Max(route->num_cohorts, 1));
	for (int i = 0; i < route->num_cohorts; i++)
		route->cohorts[i] = nulls[i] ? pstrdup("") : TextDatumGetCString(names[i]);
	value = found_column(found, Anum_definitions_bands, &isnull);
	if (!isnull)
		route->bands = DatumGetJsonbPCopy(value);
}

/* The settings of a model, as a route without versions; in the caller's memory.
 * Errors: 42704 no such model. */
void
catalog_read_settings(const text *model, Route *route)
{
	ScanKeyData key;
	Search		found;

	memset(route, 0, sizeof(Route));
	text_key(&key, Anum_definitions_model, model);
	found = search_begin(catalog_oids()->definitions, catalog_oids()->definitions_pkey, 1, &key);
	if (HeapTupleIsValid(found.tuple))
	{
		char	   *log = found_text(&found, Anum_definitions_log);
		char	   *features = found_text(&found, Anum_definitions_log_features);
		char	   *on_missing = found_text(&found, Anum_definitions_on_missing);
		bool		isnull;
		Datum		positive_class = found_column(&found, Anum_definitions_positive_class, &isnull);

		route->positive_class = isnull ? -1 : DatumGetInt32(positive_class);
		route->log = strcmp(log, "off") == 0 ? LOG_OFF :
			strcmp(log, "queued") == 0 ? LOG_QUEUED : LOG_TRANSACTIONAL;
		route->log_percent = found_float8(&found, Anum_definitions_log_percent);
		route->log_features = strcmp(features, "none") == 0 ? FEATURES_NONE :
			strcmp(features, "hash") == 0 ? FEATURES_HASH : FEATURES_FULL;
		route->has_fallback = strcmp(on_missing, "fallback") == 0;
		route->fallback_score = found_float8(&found, Anum_definitions_fallback_score);
		read_names(&found, route);
	}
	if (!search_end(&found))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist", text_to_cstring(model)),
				 errhint("SELECT model FROM risk.models lists those that exist.")));
}

/*
 * The roles of a model's versions and its settings, in the caller's memory.
 * Errors: 42704 no such model.
 */
void
catalog_read_route(const char *model, Route *route)
{
	text	   *name = cstring_to_text(model);
	ScanKeyData key;
	Search		found;

	catalog_read_settings(name, route);
	text_key(&key, Anum_roles_model, name);
	found = search_begin(catalog_oids()->roles, catalog_oids()->roles_pkey, 1, &key);
	for (; HeapTupleIsValid(found.tuple); search_next(&found))
	{
		char	   *role = TextDatumGetCString(found_value(&found, Anum_roles_role));
		RoutedVersion routed = {
			.version_id = DatumGetInt64(found_value(&found, Anum_roles_version_id)),
			.percent = DatumGetFloat8(found_value(&found, Anum_roles_percent)),
			.salt = DatumGetInt64(found_value(&found, Anum_roles_salt))
		};

		if (strcmp(role, "champion") == 0)
			route->champion = routed;
		else if (strcmp(role, "canary") == 0)
			route->canary = routed;
		else if (!DatumGetBool(found_value(&found, Anum_roles_paused)))
		{
			route->shadows = route->num_shadows == 0 ? palloc(sizeof(RoutedVersion)) :
				repalloc(route->shadows, sizeof(RoutedVersion) * (route->num_shadows + 1));
			route->shadows[route->num_shadows++] = routed;
		}
	}
	search_end(&found);
	pfree(name);
}

/* The version of a name, of a model that there is.  Errors: 42704 no such version. */
int64
catalog_version(const text *model, const text *version)
{
	ScanKeyData keys[2];
	Search		found;
	int64		version_id = 0;

	text_key(&keys[0], Anum_versions_model, model);
	text_key(&keys[1], Anum_versions_version, version);
	found = search_begin(catalog_oids()->versions, catalog_oids()->versions_name_key, 2, keys);
	if (HeapTupleIsValid(found.tuple))
		version_id = DatumGetInt64(found_value(&found, Anum_versions_version_id));
	if (!search_end(&found))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("version \"%s\" of model \"%s\" does not exist",
						text_to_cstring(version), text_to_cstring(model)),
				 errhint("SELECT version FROM risk.model_versions_info lists those that are registered.")));
	return version_id;
}

/* Numbers (int64 *) of the versions that have a role. */
List *
catalog_versions_with_role(void)
{
	Search		found = search_begin(catalog_oids()->roles, InvalidOid, 0, NULL);
	List	   *result = NIL;

	for (; HeapTupleIsValid(found.tuple); search_next(&found))
	{
		int64	   *version_id = palloc(sizeof(int64));

		*version_id = DatumGetInt64(found_value(&found, Anum_roles_version_id));
		result = lappend(result, version_id);
	}
	search_end(&found);
	return result;
}

/* Find the one row of a version. */
static Search
search_version(int64 version_id)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_versions_version_id, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(version_id));
	return search_begin(catalog_oids()->versions, catalog_oids()->versions_pkey, 1, &key);
}

/* All of a version but its artifact and its image; false: there is no such
 * version. */
bool
catalog_read_version(int64 version_id, VersionRow *row)
{
	Search		found = search_version(version_id);

	if (HeapTupleIsValid(found.tuple))
	{
		bytea	   *hash = DatumGetByteaPP(found_value(&found, Anum_versions_image_sha256));
		Datum		names;
		bool		isnull;

		if (VARSIZE_ANY_EXHDR(hash) != IMAGE_HASH_LENGTH)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("image_sha256 in risk.model_versions has a wrong length")));
		memcpy(row->image_hash, VARDATA_ANY(hash), IMAGE_HASH_LENGTH);
		row->model = TextDatumGetCString(found_value(&found, Anum_versions_model));
		row->version = TextDatumGetCString(found_value(&found, Anum_versions_version));
		row->metadata = DatumGetJsonbPCopy(found_value(&found, Anum_versions_metadata));
		row->categories = DatumGetJsonbPCopy(found_value(&found, Anum_versions_categories));
		names = found_column(&found, Anum_versions_feature_names, &isnull);
		row->feature_names = isnull ? NULL : DatumGetArrayTypePCopy(names);
	}
	return search_end(&found);
}

/* The forest image of a version that the same snapshot has seen. */
bytea *
catalog_read_image(int64 version_id)
{
	Search		found = search_version(version_id);
	bytea	   *image;

	if (!HeapTupleIsValid(found.tuple))
		elog(ERROR, "version number %lld vanished", (long long) version_id);
	image = DatumGetByteaPCopy(found_value(&found, Anum_versions_image));
	search_end(&found);
	return image;
}

/* Code and text of a reason, text datums in the caller's memory; false: the model
 * has none for it. */
bool
catalog_read_reason(const text *model, const char *feature, const char *direction,
					Datum *code, Datum *reason)
{
	ScanKeyData keys[3];
	Search		found;

	text_key(&keys[0], Anum_reasons_model, model);
	text_key(&keys[1], Anum_reasons_feature, cstring_to_text(feature));
	text_key(&keys[2], Anum_reasons_direction, cstring_to_text(direction));
	found = search_begin(catalog_oids()->reasons, catalog_oids()->reasons_pkey, 3, keys);
	if (HeapTupleIsValid(found.tuple))
	{
		*code = PointerGetDatum(DatumGetTextPCopy(found_value(&found, Anum_reasons_code)));
		*reason = PointerGetDatum(DatumGetTextPCopy(found_value(&found, Anum_reasons_text)));
	}
	return search_end(&found);
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
