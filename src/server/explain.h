/*
 * explain.h
 *		Why a transaction scores as it does, for those who store it.
 */
#ifndef PG_RISK_EXPLAIN_H
#define PG_RISK_EXPLAIN_H

#include "decide.h"

extern bool explain_stores_as(Oid type);
extern bool explain_reasons(const text *model, const Decision *decision, int top, Oid type,
							Datum *reasons);

#endif							/* PG_RISK_EXPLAIN_H */
