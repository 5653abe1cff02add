/*
 * compat.h
 *		What differs between PostgreSQL 15, 16, 17 and 18, one entry each.
 *		Nothing else in the project looks at PG_VERSION_NUM.
 */
#ifndef PG_RISK_COMPAT_H
#define PG_RISK_COMPAT_H

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "pg_risk supports PostgreSQL 15 to 18"
#endif

/* 16 moved the VARDATA_ANY() family out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 lets a module say its name and version (pg_get_loaded_modules()). */
#if PG_VERSION_NUM >= 180000
#define PG_RISK_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "pg_risk", .version = PG_RISK_VERSION)
#else
#define PG_RISK_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* 16 declares this in fmgr.h. */
#if PG_VERSION_NUM < 160000
extern PGDLLEXPORT void _PG_init(void);
#endif

/* 16 keeps what settings point to in a memory context. */
#if PG_VERSION_NUM < 160000
#define guc_malloc(elevel, size) malloc(size)
#define guc_free(pointer) free(pointer)
#endif

/* 18 splits a header. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#else
#include "commands/explain.h"
#endif

/* 16 adds what failed to the results of DecodeDateTime(). */
#if PG_VERSION_NUM >= 160000
#define compat_decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz, &(DateTimeErrorExtra) {NULL})
#else
#define compat_decode_datetime DecodeDateTime
#endif

/* 16 has one such function for all kinds of objects. */
#if PG_VERSION_NUM >= 160000
#define compat_schema_aclcheck(schema, role, mode) \
	object_aclcheck(NamespaceRelationId, schema, role, mode)
#define compat_function_aclcheck(function, role, mode) \
	object_aclcheck(ProcedureRelationId, function, role, mode)
#else
#define compat_schema_aclcheck pg_namespace_aclcheck
#define compat_function_aclcheck pg_proc_aclcheck
#endif

/* 16 can leave out indexes that summarize. */
#if PG_VERSION_NUM >= 160000
#define compat_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL, false)
#else
#define compat_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL)
#endif

/* 17 has infinite intervals. */
#if PG_VERSION_NUM < 170000
#define INTERVAL_IS_NOBEGIN(interval) false
#define INTERVAL_IS_NOEND(interval) false
#endif

/* 18 counts what a scan of an index does. */
#if PG_VERSION_NUM >= 180000
#define compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* 18 knows itself whether a query runs to its end at once. */
#if PG_VERSION_NUM >= 180000
#define compat_executor_run(query, once) ExecutorRun(query, ForwardScanDirection, 0)
#else
#define compat_executor_run(query, once) ExecutorRun(query, ForwardScanDirection, 0, once)
#endif

/* 18 has generated columns that are computed when they are read. */
#if PG_VERSION_NUM >= 180000
#define compat_is_virtual(attribute) ((attribute)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define compat_is_virtual(attribute) false
#endif

#endif							/* PG_RISK_COMPAT_H */
