/*
 * source.h
 *		Rows of a table or query that an argument of a function names.
 */
#ifndef PG_RISK_SOURCE_H
#define PG_RISK_SOURCE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "tcop/dest.h"

extern char *source_from_item(const char *source);
extern void source_read(const char *query, DestReceiver *receiver, List **tables);

#endif							/* PG_RISK_SOURCE_H */
