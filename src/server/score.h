/*
 * score.h
 *		Calls of functions that score a transaction.
 */
#ifndef PG_RISK_SCORE_H
#define PG_RISK_SCORE_H

#include "decide.h"

extern Datum risk_score_transaction(PG_FUNCTION_ARGS);
extern CallSite *score_call(FunctionCallInfo fcinfo, CallKind kind, bool want_score,
							Decision *decision);

#endif							/* PG_RISK_SCORE_H */
