/*
 * live.h
 *		Declared rolling features: looked up for a row as of its event time.
 */
#ifndef PG_RISK_LIVE_H
#define PG_RISK_LIVE_H

#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"

#include "problem.h"

/* Declared features of one key of a table, as a lookup answers them. */
typedef struct LiveQuery LiveQuery;

/* The type of the moments of a column of times: a date is midnight of its day. */
#define LIVE_MOMENT_TYPE(type) ((type) == DATEOID ? TIMESTAMPOID : (type))

/* What a lookup is given, in this order: the key's columns, the event time (as a
 * moment), and the columns of which the event's own value counts. */
typedef struct LiveInput
{
	char	   *column;
	Oid			type;			/* domains as their base type */
} LiveInput;

/* How a lookup looks at the table. */
typedef struct LiveView
{
	bool		own_command;	/* rows that the running command has written, too */
	Oid			old_table;		/* not this row, which is being updated: */
	ItemPointer old_row;		/* or NULL */
} LiveView;

extern void live_init(void);

/* Changes whenever what was declared, or a table of it, may have changed: then
 * queries must be made anew. */
extern uint64 live_generation(void);
extern void live_watch(Oid relid);
extern bool live_detaching(Oid source);

/* Queries (LiveQuery *) in the current memory context for those of the wanted
 * features that are declared on the table or what it is a partition of; NULL:
 * all.  A result's position is that in wanted. */
extern List *live_queries(Oid relid, const char *const *wanted, int num_wanted, Problem *problem);

extern const char *live_set(const LiveQuery *query);
extern int	live_num_keys(const LiveQuery *query);
extern int	live_num_inputs(const LiveQuery *query);
extern const LiveInput *live_input(const LiveQuery *query, int i);
extern int	live_num_results(const LiveQuery *query);
extern const char *live_result_name(const LiveQuery *query, int i);
extern int	live_result_position(const LiveQuery *query, int i);

extern bool live_lookup(LiveQuery *query, const Datum *inputs, const bool *input_nulls,
						const LiveView *view, double *results, bool *nulls, Problem *problem);

/* Called for each event, with its row and features. */
typedef void (*LiveReport) (void *arg, Oid table, ItemPointer row, const double *results, const bool *nulls);

extern void live_replay(LiveQuery *query, int64 from, int64 to, bool as_known, LiveReport report, void *arg);

#endif							/* PG_RISK_LIVE_H */
