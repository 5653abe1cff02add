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
 * (custom_scan_tlist) is the row of that plan, then a score for each call of
 * risk.score_transaction(); custom_exprs are the calls, over the outer plan's
 * row; custom_private is as follows.
 */
enum
{
	SCORE_SCAN_COLUMNS,			/* list of the row's columns that are used, from 1 */
	SCORE_SCAN_ROW_TYPE			/* list of one OID: the type of the row */
};

extern void score_scan_init(void);
extern CustomScan *score_scan_make(void);

extern void score_plan_init(void);

#endif							/* PG_RISK_SCORE_SCAN_H */
