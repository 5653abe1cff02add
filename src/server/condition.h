/*
 * condition.h
 *		Conditions over the columns of a table, as declared rolling features have
 *		them.
 */
#ifndef PG_RISK_CONDITION_H
#define PG_RISK_CONDITION_H

#include "postgres.h"

#include "nodes/primnodes.h"
#include "utils/relcache.h"

extern Expr *condition_parse(Relation rel, const char *text);
extern bool condition_is_plain(Relation rel, Expr *condition);

#endif							/* PG_RISK_CONDITION_H */
