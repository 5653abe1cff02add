/*
 * source.c
 *		Rows of a table or query that an argument of a function names.
 *
 * They are read with the rights and the search_path of whoever calls, under the
 * snapshot of the calling statement.  A source only reads: functions in it that
 * write are refused as in a read-only transaction.
 *
 * The query runs inside of the caller's, with its resources, and is kept nowhere:
 * rows come as they are asked for.  What an error leaves open is let go with the
 * caller's portal.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "nodes/primnodes.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "compat.h"
#include "source.h"

struct Source
{
	QueryDesc  *running;
};

/* What stands after FROM for a source: the name of a table, or a query. */
char *
source_from_item(const char *source)
{
	List	   *names;

	return psprintf(SplitIdentifierString(pstrdup(source), '.', &names) ?
					"%s AS source" : "(%s\n) AS source", source);
}

/* A query, parsed.  Errors: 42601 not one query; its own. */
static Query *
parse(const char *text)
{
	MemoryContext caller = CurrentMemoryContext;
	CachedPlanSource *parsed;
	SPIPlanPtr	plan;
	Query	   *query;

	SPI_connect();
	plan = SPI_prepare(text, 0, NULL);
	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("source is not one query"),
				 errhint("Give the name of a table, or one SELECT without a semicolon.")));
	parsed = linitial(SPI_plan_get_plan_sources(plan));
	MemoryContextSwitchTo(caller);
	query = copyObject(linitial_node(Query, parsed->query_list));
	SPI_finish();
	return query;
}

/* The tables whose columns the columns of a query's rows are. */
static List *
find_tables(const Query *query)
{
	List	   *tables = NIL;
	ListCell   *cell;

	foreach(cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (OidIsValid(entry->resorigtbl))
			tables = list_append_unique_oid(tables, entry->resorigtbl);
	}
	return tables;
}

/* What holds while the query is planned or runs.  Who catches an error ends a
 * (sub)transaction, which restores what the transaction may do. */
typedef struct Guard
{
	ErrorContextCallback callback;
	bool		read_only;
} Guard;

static void
name_query(void *query)
{
	errcontext("SQL statement \"%s\"", (const char *) query);
}

static void
enter(Guard *guard, const char *query)
{
	*guard = (Guard) {{error_context_stack, name_query, unconstify(char *, query)}, XactReadOnly};
	error_context_stack = &guard->callback;
	XactReadOnly = true;
}

static void
leave(const Guard *guard)
{
	XactReadOnly = guard->read_only;
	error_context_stack = guard->callback.previous;
}

/*
 * Begin a query that was made of a source, in the current memory context.  tables,
 * unless NULL, will be those whose columns the rows have.
 *
 * Errors: 42601 not one query, 0A000 it writes or locks; its own.
 */
Source *
source_open(const char *query, DestReceiver *receiver, List **tables)
{
	Source	   *source = palloc(sizeof(Source));
	Query	   *parsed = parse(query);
	PlannedStmt *plan;
	Guard		guard;

	if (tables)
		*tables = find_tables(parsed);
	enter(&guard, query);
	plan = pg_plan_query(parsed, query, CURSOR_OPT_PARALLEL_OK, NULL);
	if (!CommandIsReadOnly(plan))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("source does more than read: %s", CreateCommandName((Node *) plan)),
				 errhint("Give a query that locks and changes nothing.")));
	source->running = CreateQueryDesc(plan, query, GetActiveSnapshot(), InvalidSnapshot, receiver, NULL, NULL, 0);
	ExecutorStart(source->running, 0);
	leave(&guard);
	return source;
}

/* Do several processes read the source?  They read all of it: its receiver must not
 * pause. */
bool
source_is_parallel(const Source *source)
{
	return source->running->plannedstmt->parallelModeNeeded;
}

/*
 * Send rows to the receiver, which is told the columns before, until it pauses (its
 * receiveSlot returns false; it has that row) or there are no more.
 *
 * Errors: 25006 the source writes; its own.
 */
void
source_run(Source *source)
{
	QueryDesc  *running = source->running;
	Guard		guard;

	enter(&guard, running->sourceText);
	PushActiveSnapshot(running->snapshot);
	compat_executor_run(running, source_is_parallel(source));
	PopActiveSnapshot();
	leave(&guard);
}

void
source_close(Source *source)
{
	ExecutorFinish(source->running);
	ExecutorEnd(source->running);
	FreeQueryDesc(source->running);
}
