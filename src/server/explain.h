/*
 * explain.h
 *		Why a transaction scores as it does, for those who store it or ask for many.
 */
#ifndef PG_RISK_EXPLAIN_H
#define PG_RISK_EXPLAIN_H

#include "decide.h"

extern void explain_require(const Scorer *scorer);
extern int	explain_top(NullableDatum top);
extern bool explain_stores_as(Oid type);
extern Datum explain_row(const text *model, const Version *version, const float *features,
						 const double *contributions, int top, Oid type);
extern Datum explain_array(const double *contributions, int count);
extern bool explain_reasons(const text *model, const Decision *decision, int top, Oid type,
							Datum *reasons);

#endif							/* PG_RISK_EXPLAIN_H */
