/*
 * guc.h
 *		The settings of pg_risk (all start with "pg_risk.").
 */
#ifndef PG_RISK_GUC_H
#define PG_RISK_GUC_H

#include "datatype/timestamp.h"

extern int	guc_cache_size;		/* kB of shared memory for forest images */
extern char *guc_importer_path; /* importer program; empty: beside postgres */
extern int	guc_import_memory;	/* MB of address space of an import */
extern int	guc_import_cpu_time;	/* seconds of CPU time of an import */
extern int	guc_import_open_files;	/* file descriptors of an import */
extern int	guc_import_timeout; /* ms an import may take; 0: no limit */
extern int	guc_worker_naptime; /* seconds between the launcher's rounds */
extern int	guc_queue_size;		/* kB of each database's queue */
extern int	guc_queue_databases;	/* databases that can have one */
extern int	guc_flush_interval; /* ms between two flushes of a queue */
extern bool guc_log_queries;	/* this session's queries are logged */
extern bool guc_use_tiles;	/* tiles answer lookups */
extern bool guc_block_scoring;	/* plain queries score in blocks */
extern int	guc_kernel;			/* ForestKernel that scores; see version.c */
extern char *guc_forward_to;	/* where a standby logs; empty: nowhere */
extern int	guc_max_workers;	/* databases that have a worker at a time */
extern int	guc_evaluation_timeout; /* ms that the gates of a rollout may take */

extern bool guc_clock_set;		/* the clock stands still, at guc_clock */
extern TimestampTz guc_clock;

extern void guc_define(void);

extern const char *guc_kernel_name(int kernel);

/* Set settings {name, value} until AtEOXact_GUC(true, what this returns), or the
 * end of the (sub)transaction. */
extern int	guc_settle(const char *const settings[][2], int count);

#endif							/* PG_RISK_GUC_H */
