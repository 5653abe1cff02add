/*
 * source.c
 *		Rows of a table or query that an argument of a function names.
 *
 * They are read with the rights and the search_path of whoever calls, under the
 * snapshot of the calling statement.  A source only reads: functions in it that
 * write are refused as in a read-only transaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "nodes/primnodes.h"
#include "utils/plancache.h"
#include "utils/varlena.h"

#include "source.h"

/* What stands after FROM for a source: the name of a table, or a query. */
char *
source_from_item(const char *source)
{
	List	   *names;

	return psprintf(SplitIdentifierString(pstrdup(source), '.', &names) ?
					"%s AS source" : "(%s\n) AS source", source);
}

/* The tables whose columns the columns of a plan's rows are. */
static List *
plan_tables(SPIPlanPtr plan)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
	Query	   *query = linitial_node(Query, source->query_list);
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

/*
 * Run a query that was made of a source, and send its rows to the receiver: they
 * are kept nowhere on the way.  tables, unless NULL, will be those whose columns
 * the rows have, from before the receiver begins until it ends.
 *
 * Errors: 42601 not one query, 0A000 or 25006 it writes or locks; its own.
 */
void
source_read(const char *query, DestReceiver *receiver, List **tables)
{
	SPIPrepareOptions preparing = {.cursorOptions = CURSOR_OPT_PARALLEL_OK};
	SPIExecuteOptions running = {.read_only = true,.must_return_tuples = true,.dest = receiver};
	bool		read_only = XactReadOnly;
	SPIPlanPtr	plan;

	SPI_connect();
	plan = SPI_prepare_extended(query, &preparing);
	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("source is not one query"),
				 errhint("Give the name of a table, or one SELECT without a semicolon.")));

	if (tables)
		*tables = plan_tables(plan);

	/* Who catches an error ends a (sub)transaction, which restores it. */
	XactReadOnly = true;
	SPI_execute_plan_extended(plan, &running);
	XactReadOnly = read_only;
	SPI_finish();
}
