/*
 * guc.c
 *		The settings of pg_risk.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"
#include "utils/timestamp.h"

#include "../forest/forest.h"
#include "compat.h"
#include "guc.h"

int			guc_cache_size;
char	   *guc_importer_path;
int			guc_import_memory;
int			guc_import_cpu_time;
int			guc_import_open_files;
int			guc_import_timeout;
int			guc_worker_naptime;
int			guc_queue_size;
int			guc_queue_databases;
int			guc_flush_interval;
bool		guc_log_queries;
bool		guc_use_tiles;
bool		guc_block_scoring;
int			guc_kernel;
char	   *guc_forward_to;
int			guc_max_workers;
int			guc_evaluation_timeout;
bool		guc_clock_set;
TimestampTz guc_clock;

static int	prediction_retention;	/* days, 0: for ever; SQL reads it */
static char *clock_text;

static const struct config_enum_entry kernels[] = {
	{"auto", FOREST_KERNEL_AUTO, false},
	{"walk", FOREST_KERNEL_WALK, false},
	{"keys", FOREST_KERNEL_KEYS, false},
	{"plain", FOREST_KERNEL_PLAIN, false},
	{"avx2", FOREST_KERNEL_AVX2, false},
	{"avx512", FOREST_KERNEL_AVX512, false},
	{NULL, 0, false}
};

/* What pg_risk.kernel calls a kernel. */
const char *
guc_kernel_name(int kernel)
{
	const struct config_enum_entry *entry = kernels;

	while (entry->val != kernel)
		entry++;
	return entry->name;
}

static bool
check_kernel(int *newval, void **extra, GucSource source)
{
	if (forest_has_kernel(*newval))
		return true;
	GUC_check_errcode(ERRCODE_FEATURE_NOT_SUPPORTED);
	GUC_check_errdetail("The processor of this server does not have what it needs.");
	GUC_check_errhint("Set it to auto.");
	return false;
}

/*
 * Is the text a time, with its zone?  Only forms that mean the same in every
 * session are read: the configuration file is, without a transaction.
 */
static bool
check_clock(char **newval, void **extra, GucSource source)
{
	struct pg_tm tm = {0};
	double		second;
	int			length = 0;
	TimestampTz *time;

	*extra = NULL;
	if ((*newval)[0] == '\0')
		return true;
	time = guc_malloc(LOG, sizeof(TimestampTz));
	if (!time)
		return false;
	if (sscanf(*newval, "%4d-%2d-%2d %2d:%2d:%lf+00%n",
			   &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &second, &length) == 6 &&
		(*newval)[length] == '\0' && length > 0 &&
		tm.tm_mon >= 1 && tm.tm_mon <= 12 && tm.tm_mday >= 1 && tm.tm_mday <= 31 && tm.tm_hour >= 0 && tm.tm_hour < 24 &&
		tm.tm_min >= 0 && tm.tm_min < 60 && second >= 0 && second < 60)
	{
		tm.tm_sec = (int) second;
		if (tm2timestamp(&tm, (fsec_t) ((second - tm.tm_sec) * USECS_PER_SEC), NULL, time) == 0)
		{
			*extra = time;
			return true;
		}
	}
	guc_free(time);
	GUC_check_errhint("Write it as 2026-01-31 12:00:00+00, or leave it empty.");
	return false;
}

static void
assign_clock(const char *newval, void *extra)
{
	guc_clock_set = extra != NULL;
	if (extra)
		guc_clock = *(TimestampTz *) extra;
}

/* Settings that are whole numbers. */
static const struct
{
	const char *name;
	int		   *variable;
	int			value;			/* unless it is set */
	int			least;
	int			greatest;
	GucContext	context;
	int			unit;
	const char *what;
	const char *more;
}			numbers[] = {
	{"pg_risk.cache_size", &guc_cache_size, 64 * 1024, 1024, INT_MAX, PGC_POSTMASTER, GUC_UNIT_KB,
		"Shared memory for the forests of model versions.",
		"One copy of each version in use, for the whole server."},
	{"pg_risk.import_memory", &guc_import_memory, 2048, 64, 1 << 20, PGC_SUSET, GUC_UNIT_MB,
		"Limit on the memory of an import.", NULL},
	{"pg_risk.import_cpu_time", &guc_import_cpu_time, 60, 1, 7 * 86400, PGC_SUSET, GUC_UNIT_S,
		"Limit on the CPU time of an import.", NULL},
	{"pg_risk.import_open_files", &guc_import_open_files, 64, 16, 65536, PGC_SUSET, 0,
		"Limit on the open files of an import.", NULL},
	{"pg_risk.import_timeout", &guc_import_timeout, 120 * 1000, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS,
		"Limit on the duration of an import.",
		"0 means no limit."},
	{"pg_risk.worker_naptime", &guc_worker_naptime, 60, 1, 86400, PGC_SIGHUP, GUC_UNIT_S,
		"Time between two rounds of the background worker over all databases.",
		"A committed promotion wakes it at once."},
	{"pg_risk.max_workers", &guc_max_workers, 4, 1, 64, PGC_SIGHUP, 0,
		"How many databases have a background worker at a time.",
		"Each takes a slot of max_worker_processes while it has something to do."},
	{"pg_risk.queue_size", &guc_queue_size, 4 * 1024, 64, 1024 * 1024, PGC_POSTMASTER, GUC_UNIT_KB,
		"Shared memory for the predictions of a database that wait to be logged.",
		"When it is full, further ones are dropped and counted."},
	{"pg_risk.queue_databases", &guc_queue_databases, 4, 1, 256, PGC_POSTMASTER, 0,
		"How many databases can have such a queue.", NULL},
	{"pg_risk.flush_interval", &guc_flush_interval, 1000, 10, 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS,
		"Time between two flushes of a queue to risk.predictions.",
		"A queue that is half full is flushed at once."},
	{"pg_risk.evaluation_timeout", &guc_evaluation_timeout, 60 * 1000, 100, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
		"How long the worker lets the gates of a rollout take.",
		"Gates that take longer are an alert, and are evaluated again after the rollout's interval."},
	{"pg_risk.prediction_retention", &prediction_retention, 90, 0, 36500, PGC_SIGHUP, 0,
		"Days for which predictions and results of gates are kept.",
		"0 means for ever."}
};

/* Define all settings; called once, while the library is preloaded. */
void
guc_define(void)
{
	for (int i = 0; i < lengthof(numbers); i++)
		DefineCustomIntVariable(numbers[i].name, numbers[i].what, numbers[i].more, numbers[i].variable, numbers[i].value,
								numbers[i].least, numbers[i].greatest, numbers[i].context, numbers[i].unit,
								NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_risk.use_tiles",
							 "Have tiles answer lookups of rolling features, where there are some.",
							 "Without them the same results come from rows alone.",
							 &guc_use_tiles, true, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_risk.log_queries",
							 "Scores of this session's queries are logged, where the model logs.",
							 "Turn it off for dashboards and notebooks: what they score is no traffic.",
							 &guc_log_queries, true, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_risk.block_scoring",
							 "Plain queries score the rows of a table in blocks.",
							 "Scores are the same; EXPLAIN shows a node that makes them.",
							 &guc_block_scoring, true, PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_risk.importer_path",
							   "Path of the importer program.",
							   "Empty: pg_risk_xgboost in the directory of the server program.",
							   &guc_importer_path, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_risk.forward_to",
							   "Connection string of the primary, where a standby's worker logs predictions.",
							   "Empty: predictions of a standby are counted and not logged. Needs the extension dblink.",
							   &guc_forward_to, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomEnumVariable("pg_risk.kernel",
							 "What adds up the trees of a forest, from the next transaction on.",
							 "auto: the fastest that the processor and the forest have. All give the same bits.",
							 &guc_kernel, FOREST_KERNEL_AUTO, kernels, PGC_USERSET, 0, check_kernel, NULL, NULL);
	DefineCustomStringVariable("pg_risk.clock",
							   "A time at which pg_risk's clock stands still, in tests.",
							   "Empty: the machine's clock. Otherwise a time in UTC, such as 2026-01-31 12:00:00+00.",
							   &clock_text, "", PGC_SUSET, 0, check_clock, assign_clock, NULL);
	MarkGUCPrefixReserved("pg_risk");
}

int
guc_settle(const char *const settings[][2], int count)
{
	int			nest = NewGUCNestLevel();

	for (int i = 0; i < count; i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest;
}
