/*
 * score_scan.h
 *		Plain queries whose scores are computed for blocks of rows.
 */
#ifndef PG_RISK_SCORE_SCAN_H
#define PG_RISK_SCORE_SCAN_H

#include "postgres.h"

#include "nodes/plannodes.h"

/*
 * The plan node that scores the rows of its outer plan.  Its scan tuple
 * (custom_scan_tlist) is a score for each call of risk.score_transaction(), then
 * the row of that plan.  custom_exprs are the calls, over the outer plan's row,
 * all on a RowExpr of the same columns, with which that row begins.
 * custom_private is a list of one list: which of its columns are used, from 1.
 */

extern void score_scan_init(void);
extern CustomScan *score_scan_make(void);

extern void score_plan_init(void);

#endif							/* PG_RISK_SCORE_SCAN_H */
