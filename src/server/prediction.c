/*
 * prediction.c
 *		Writes the rows of risk.predictions.
 *
 * Rows are inserted by saved plans, of 1, 2, 4, ... rows, as the owner of the
 * table: who may score need not be able to write there.  They are part of the
 * transaction that is running.
 *
 * On a standby the worker hands the same rows to risk.forward_predictions(),
 * which inserts them on the primary, in one transaction there.
 */
#include "postgres.h"

#include <math.h>

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "compat.h"
#include "prediction.h"

/* As much of an entity's id as an index can hold. */
#define MAX_ENTITY_BYTES	1000

/* The columns of risk.predictions, in its order. */
enum
{
	COLUMN_MODEL,
	COLUMN_ENTITY_ID,
	COLUMN_EVENT_TIME,
	COLUMN_SCORED_AT,
	COLUMN_VERSION,
	COLUMN_ROLE,
	COLUMN_SCORE,
	COLUMN_CHAMPION_VERSION,
	COLUMN_CHAMPION_SCORE,
	COLUMN_LATENCY_US,
	COLUMN_CHAMPION_LATENCY_US,
	COLUMN_MISSING_SHARE,
	COLUMN_COHORT,
	COLUMN_FEATURES_HASH,
	COLUMN_FEATURES,
	COLUMN_SOURCE,
	COLUMN_ERROR,
	NUM_COLUMNS
};

static const struct
{
	const char *name;
	Oid			type;
}			columns[NUM_COLUMNS] = {
	[COLUMN_MODEL] = {"model", TEXTOID},
	[COLUMN_ENTITY_ID] = {"entity_id", TEXTOID},
	[COLUMN_EVENT_TIME] = {"event_time", TIMESTAMPTZOID},
	[COLUMN_SCORED_AT] = {"scored_at", TIMESTAMPTZOID},
	[COLUMN_VERSION] = {"version", TEXTOID},
	[COLUMN_ROLE] = {"role", TEXTOID},
	[COLUMN_SCORE] = {"score", FLOAT8OID},
	[COLUMN_CHAMPION_VERSION] = {"champion_version", TEXTOID},
	[COLUMN_CHAMPION_SCORE] = {"champion_score", FLOAT8OID},
	[COLUMN_LATENCY_US] = {"latency_us", FLOAT4OID},
	[COLUMN_CHAMPION_LATENCY_US] = {"champion_latency_us", FLOAT4OID},
	[COLUMN_MISSING_SHARE] = {"missing_share", FLOAT4OID},
	[COLUMN_COHORT] = {"cohort", JSONBOID},
	[COLUMN_FEATURES_HASH] = {"features_hash", INT8OID},
	[COLUMN_FEATURES] = {"features", FLOAT4ARRAYOID},
	[COLUMN_SOURCE] = {"source", TEXTOID},
	[COLUMN_ERROR] = {"error", TEXTOID}
};

#define NUM_PLANS		6
#define ROWS_AT_ONCE	(1 << (NUM_PLANS - 1))

/* The plan that inserts, or forwards, this many rows. */
static SPIPlanPtr
insert_plan(int rows, bool forward)
{
	Oid			types[ROWS_AT_ONCE * NUM_COLUMNS];
	StringInfoData sql;
	SPIPlanPtr	plan;

	initStringInfo(&sql);
	if (forward)
		appendStringInfoString(&sql, "SELECT risk.forward_predictions(array_agg(ROW(p.*)::risk.predictions)) FROM (VALUES ");
	else
	{
		appendStringInfoString(&sql, "INSERT INTO risk.predictions (");
		for (int i = 0; i < NUM_COLUMNS; i++)
			appendStringInfo(&sql, "%s%s", i ? ", " : "", columns[i].name);
		appendStringInfoString(&sql, ") VALUES ");
	}
	for (int row = 0; row < rows; row++)
	{
		for (int i = 0; i < NUM_COLUMNS; i++)
		{
			int			parameter = row * NUM_COLUMNS + i;

			types[parameter] = columns[i].type;
			appendStringInfo(&sql, "%s$%d", i ? ", " : row ? "), (" : "(", parameter + 1);
		}
	}
	appendStringInfoChar(&sql, ')');
	if (forward)
		appendStringInfoString(&sql, ") AS p");
	plan = SPI_prepare(sql.data, rows * NUM_COLUMNS, types);
	if (!plan || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data, SPI_result_code_string(SPI_result));
	pfree(sql.data);
	return plan;
}

bool
prediction_writable(void)
{
	return !RecoveryInProgress();
}

/* Rows that wait to be inserted together. */
typedef struct Batch
{
	int			rows;
	Datum		values[ROWS_AT_ONCE * NUM_COLUMNS];
	char		nulls[ROWS_AT_ONCE * NUM_COLUMNS];
} Batch;

/* Insert so many rows: a power of two. */
static void
insert_rows(const Datum *values, const char *nulls, int rows)
{
	static SPIPlanPtr plans[2][NUM_PLANS];	/* forward or not; by the number of rows */
	bool		forward = !prediction_writable();
	SPIPlanPtr *plan = &plans[forward][pg_leftmost_one_pos32(rows)];
	int			result;

	if (!*plan)
		*plan = insert_plan(rows, forward);
	result = SPI_execute_plan(*plan, unconstify(Datum *, values), nulls, false, 0);
	if (result != SPI_OK_INSERT && result != SPI_OK_SELECT)
		elog(ERROR, "could not insert predictions: %s", SPI_result_code_string(result));
}

/* Insert what waits, by as few statements as there are plans for: what one
 * costs to start is more than what a row costs. */
static void
flush_batch(Batch *batch)
{
	int			done = 0;

	for (int rows = ROWS_AT_ONCE; rows > 0; rows /= 2)
	{
		if (batch->rows - done < rows)
			continue;
		insert_rows(batch->values + done * NUM_COLUMNS, batch->nulls + done * NUM_COLUMNS, rows);
		done += rows;
	}
	batch->rows = 0;
}

/* ---- values ---- */

static void
put(Batch *batch, int column, Datum value)
{
	batch->values[batch->rows * NUM_COLUMNS + column] = value;
	batch->nulls[batch->rows * NUM_COLUMNS + column] = ' ';
}

static void
put_text(Batch *batch, int column, const char *value)
{
	if (value)
		put(batch, column, CStringGetTextDatum(value));
}

/* Share of the features that are missing, 0 to 1. */
static float
missing_share(const Outcome *outcome)
{
	int			missing = 0;

	for (int i = 0; i < outcome->num_features; i++)
		missing += isnan(outcome->features[i]) != 0;
	return outcome->num_features ? (float) missing / outcome->num_features : 0;
}

static Datum
features_array(const Outcome *outcome)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(outcome->num_features, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(outcome->num_features, 1));
	int			length = outcome->num_features;
	int			lower_bound = 1;

	for (int i = 0; i < outcome->num_features; i++)
	{
		nulls[i] = isnan(outcome->features[i]) != 0;
		elements[i] = Float4GetDatum(outcome->features[i]);
	}
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &length, &lower_bound,
											  FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
}

/* Add the row of one outcome to the batch. */
static void
add_row(Batch *batch, const ScoredTransaction *transaction, const Outcome *outcome,
		const Outcome *champion, const Jsonb *cohort)
{
	const Subject *subject = &transaction->subject;

	memset(batch->nulls + batch->rows * NUM_COLUMNS, 'n', NUM_COLUMNS);
	put_text(batch, COLUMN_MODEL, transaction->model);
	if (subject->entity)
		put(batch, COLUMN_ENTITY_ID, PointerGetDatum(cstring_to_text_with_len(subject->entity,
																	  pg_mbcliplen(subject->entity, strlen(subject->entity), MAX_ENTITY_BYTES))));
	if (subject->has_event_time)
		put(batch, COLUMN_EVENT_TIME, TimestampTzGetDatum(subject->event_time));
	put(batch, COLUMN_SCORED_AT, TimestampTzGetDatum(transaction->scored_at));
	put_text(batch, COLUMN_VERSION, outcome->version);
	put_text(batch, COLUMN_ROLE, route_role_name(outcome->role));
	if (outcome->scored)
		put(batch, COLUMN_SCORE, Float8GetDatum(outcome->score));
	if (champion)
		put_text(batch, COLUMN_CHAMPION_VERSION, champion->version);
	if (champion && champion->scored)
	{
		put(batch, COLUMN_CHAMPION_SCORE, Float8GetDatum(champion->score));
		put(batch, COLUMN_CHAMPION_LATENCY_US, Float4GetDatum(champion->latency_us));
	}
	if (outcome->scored && outcome->version_id != 0)
		put(batch, COLUMN_LATENCY_US, Float4GetDatum(outcome->latency_us));
	if (outcome->features)
	{
		put(batch, COLUMN_MISSING_SHARE, Float4GetDatum(missing_share(outcome)));
		if (transaction->log_features == FEATURES_HASH)
			put(batch, COLUMN_FEATURES_HASH, Int64GetDatum((int64) hash_bytes_extended((const unsigned char *) outcome->features,
																	 sizeof(float) * outcome->num_features, 0)));
		if (transaction->log_features == FEATURES_FULL)
			put(batch, COLUMN_FEATURES, features_array(outcome));
	}
	if (cohort)
		put(batch, COLUMN_COHORT, JsonbPGetDatum(cohort));
	put_text(batch, COLUMN_SOURCE, transaction->in_trigger ? "trigger" : "query");
	put_text(batch, COLUMN_ERROR, outcome->error);
	if (++batch->rows == ROWS_AT_ONCE)
		flush_batch(batch);
}

/* Add the rows of a transaction: one for each outcome. */
static void
add_transaction(Batch *batch, const ScoredTransaction *transaction)
{
	const Outcome *champion = NULL;
	Jsonb	   *cohort = subject_cohort(&transaction->subject);

	for (int i = 0; i < transaction->num_outcomes; i++)
	{
		if (transaction->outcomes[i].role == ROLE_CHAMPION)
			champion = &transaction->outcomes[i];
	}
	for (int i = 0; i < transaction->num_outcomes; i++)
	{
		if (!transaction->outcomes[i].reference)
			add_row(batch, transaction, &transaction->outcomes[i], champion, cohort);
	}
}

/* Call a function of the extension that takes nothing and returns nothing. */
static void
call(const char *sql)
{
	if (SPI_execute(sql, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\"", sql);
}

/*
 * Insert the predictions of transactions, on a standby by way of its primary;
 * no outcome is pending.  Errors: those of an INSERT, and of dblink.
 */
void
prediction_write(const ScoredTransaction *transactions, int count)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk predictions",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Batch	   *batch = palloc(sizeof(Batch));
	bool		forward = !prediction_writable();
	Oid			user;
	int			security;

	batch->rows = 0;
	GetUserIdAndSecContext(&user, &security);
	if (!forward)
		SetUserIdAndSecContext(catalog_owner(), security | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	MemoryContextSwitchTo(context);
	if (forward)
		call("SELECT risk.begin_forwarding()");
	for (int i = 0; i < count; i++)
		add_transaction(batch, &transactions[i]);
	flush_batch(batch);
	if (forward)
		call("SELECT risk.end_forwarding()");
	SPI_finish();
	SetUserIdAndSecContext(user, security);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* Note in risk.queue_sessions that what was put into the queue before that time
 * is written. */
void
prediction_flushed(TimestampTz popped_until)
{
	Oid			type = TIMESTAMPTZOID;
	Datum		until = TimestampTzGetDatum(popped_until);

	SPI_connect();
	if (SPI_execute_with_args("SELECT risk.queue_flushed($1)", 1, &type, &until, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not note that the queue has been emptied");
	SPI_finish();
}
