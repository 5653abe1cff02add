/*
 * source.h
 *		Rows of a table or query that an argument of a function names.
 */
#ifndef PG_RISK_SOURCE_H
#define PG_RISK_SOURCE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "tcop/dest.h"

typedef struct Source Source;

extern char *source_from_item(const char *source);
extern Source *source_open(const char *query, DestReceiver *receiver, List **tables);
extern bool source_is_parallel(const Source *source);
extern void source_run(Source *source);
extern void source_close(Source *source);

#endif							/* PG_RISK_SOURCE_H */
