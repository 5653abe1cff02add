/*
 * problem.h
 *		Why a version cannot score, as a value.
 *
 * Who must have the score raises it; who scores beside (a shadow, a canary
 * that the champion stands in for) logs it and goes on.  That is done without
 * catching errors, since parallel workers cannot have subtransactions; what
 * only the reading of a table can tell is caught elsewhere (see decide.c).
 */
#ifndef PG_RISK_PROBLEM_H
#define PG_RISK_PROBLEM_H

#include "postgres.h"

typedef struct Problem
{
	int			sqlstate;		/* 0: there is none */
	const char *message;
	const char *detail;			/* or NULL */
	const char *hint;			/* or NULL */
} Problem;

extern void problem_set(Problem *problem, int sqlstate, const char *message, const char *hint);
extern void problem_of_error(Problem *problem, const ErrorData *error);
extern void problem_copy(Problem *copy, const Problem *problem);
extern void problem_raise(const Problem *problem);

#endif							/* PG_RISK_PROBLEM_H */
