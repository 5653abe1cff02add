/*
 * catalog.c
 *		The tables of schema risk, as C sees them.
 *
 * Roles and names are read with the snapshot of the statement that asks, so
 * they are what any SELECT of that statement would see: a rollout takes effect
 * at COMMIT, for every process, on standbys too; own changes are seen, aborted
 * ones are not; and all processes of a parallel query agree.  A scan of these
 * small tables costs about a microsecond a statement.
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

#include "catalog.h"
#include "worker.h"

/* Columns, in the order of the install script. */
enum
{
	Anum_definitions_model = 1,
	Anum_definitions_positive_class = 5
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
	Anum_roles_role
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
} CatalogOids;

static CatalogOids oids = {false};
static uint64 generation = 0;

/* One of our tables, or everything, has changed: only note it. */
static void
relation_invalidated(Datum arg, Oid relid)
{
	if (relid == InvalidOid || !oids.valid || relid == oids.versions)
		generation++;
	else if (relid != oids.roles && relid != oids.definitions)
		return;
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
		oids.valid = true;
	}
	return &oids;
}

static void
text_key(ScanKey key, AttrNumber column, const text *value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, InvalidOid,
						   DEFAULT_COLLATION_OID, F_TEXTEQ, PointerGetDatum(value));
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
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

/* Raise the error that fits when a model has no row of its own. */
static void
require_model(const text *model)
{
	ScanKeyData key;
	Datum		value;
	bool		isnull;

	text_key(&key, Anum_definitions_model, model);
	if (!fetch_column(catalog_oids()->definitions, catalog_oids()->definitions_pkey,
					  1, &key, Anum_definitions_positive_class, &value, &isnull))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist", text_to_cstring(model)),
				 errhint("SELECT model FROM risk.models lists those that exist.")));
}

/* The version that decides.  Errors: 42704 no such model, 55000 no champion. */
int64
catalog_champion(const text *model)
{
	Relation	rel = table_open(catalog_oids()->roles, AccessShareLock);
	TupleDesc	tupdesc = RelationGetDescr(rel);
	int64		version_id = 0;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	text_key(&key, Anum_roles_model, model);
	scan = systable_beginscan(rel, catalog_oids()->roles_pkey, true, GetActiveSnapshot(), 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		text	   *role = DatumGetTextPP(heap_getattr(tuple, Anum_roles_role, tupdesc, &isnull));

		if (*VARDATA_ANY(role) == 'c' && VARSIZE_ANY_EXHDR(role) == strlen("champion"))
			version_id = DatumGetInt64(heap_getattr(tuple, Anum_roles_version_id, tupdesc, &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (version_id == 0)
	{
		require_model(model);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no champion", text_to_cstring(model)),
				 errhint("Make a registered version the champion with risk.promote(), or name one with version => '...'.")));
	}
	return version_id;
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
		require_model(model);
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
	ScanKeyData key;
	Datum		value;
	bool		isnull;

	text_key(&key, Anum_definitions_model, model);
	if (!fetch_column(catalog_oids()->definitions, catalog_oids()->definitions_pkey,
					  1, &key, Anum_definitions_positive_class, &value, &isnull) || isnull)
		return -1;
	return DatumGetInt32(value);
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
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/* A scan of the one row of a version, which must be there: its number comes
 * from a row that the same snapshot sees. */
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
	if (!HeapTupleIsValid(*tuple))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("risk.model_versions has no version number %lld",
						(long long) version_id),
				 errhint("Promote a version that is registered. If this one should be, try REINDEX TABLE risk.model_versions.")));
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

/* All of a version but its artifact and its image. */
void
catalog_read_version(int64 version_id, VersionRow *row)
{
	Relation	rel;
	HeapTuple	tuple;
	SysScanDesc scan = begin_version_scan(&rel, version_id, &tuple);
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
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* The forest image of a version. */
bytea *
catalog_read_image(int64 version_id)
{
	Relation	rel;
	HeapTuple	tuple;
	SysScanDesc scan = begin_version_scan(&rel, version_id, &tuple);
	bytea	   *image = DatumGetByteaPCopy(version_column(rel, tuple, Anum_versions_image));

	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return image;
}

PG_FUNCTION_INFO_V1(risk_catalog_changed);

/*
 * Trigger of risk.model_versions and risk.model_roles.  What changes
 * in the roles is nothing that processes remember.
 */
Datum
risk_catalog_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as a trigger", "catalog_changed")));
	if (RelationGetRelid(trigger->tg_relation) == catalog_oids()->versions)
		CacheInvalidateRelcache(trigger->tg_relation);
	worker_wake_at_commit();
	return PointerGetDatum(NULL);
}
