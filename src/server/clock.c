/*
 * clock.c
 *		The clock of everything that depends on time: when a prediction was
 *		scored, which partition is needed, whether a rollout is due.
 *
 * It is the machine's, unless pg_risk.clock holds another time, which then
 * stands still: tests of days of traffic take no longer than their rows.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "guc.h"

/* Now, or the time that pg_risk.clock holds. */
TimestampTz
clock_now(void)
{
	return guc_clock_set ? guc_clock : GetCurrentTimestamp();
}

PG_FUNCTION_INFO_V1(risk_clock);

/* risk.clock() */
Datum
risk_clock(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(clock_now());
}
