/*
 * guc.c
 *		The settings of pg_risk.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "guc.h"

int			guc_cache_size;
char	   *guc_importer_path;
int			guc_import_memory;
int			guc_import_cpu_time;
int			guc_import_open_files;
int			guc_import_timeout;
int			guc_worker_naptime;

/* Define all settings; called once, while the library is preloaded. */
void
guc_define(void)
{
	DefineCustomIntVariable("pg_risk.cache_size",
							"Shared memory for the forests of model versions.",
							"One copy of each version in use, for the whole server.",
							&guc_cache_size, 64 * 1024, 1024, INT_MAX,
							PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomStringVariable("pg_risk.importer_path",
							   "Path of the importer program.",
							   "Empty: pg_risk_xgboost in the directory of the server program.",
							   &guc_importer_path, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	DefineCustomIntVariable("pg_risk.import_memory",
							"Limit on the memory of an import.",
							NULL,
							&guc_import_memory, 2048, 64, 1 << 20,
							PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);

	DefineCustomIntVariable("pg_risk.import_cpu_time",
							"Limit on the CPU time of an import.",
							NULL,
							&guc_import_cpu_time, 60, 1, 7 * 86400,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("pg_risk.import_open_files",
							"Limit on the open files of an import.",
							NULL,
							&guc_import_open_files, 64, 16, 65536,
							PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("pg_risk.import_timeout",
							"Limit on the duration of an import.",
							"0 means no limit.",
							&guc_import_timeout, 120 * 1000, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("pg_risk.worker_naptime",
							"Time between two rounds of the background worker over all databases.",
							"A committed promotion wakes it at once.",
							&guc_worker_naptime, 60, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);

	MarkGUCPrefixReserved("pg_risk");
}
