/*
 * problem.c
 *		Why a version cannot score, as a value.
 */
#include "postgres.h"

#include "problem.h"

/* Strings are kept, not copied. */
void
problem_set(Problem *problem, int sqlstate, const char *message, const char *hint)
{
	problem->sqlstate = sqlstate;
	problem->message = message;
	problem->detail = NULL;
	problem->hint = hint;
}

/* Strings are kept, not copied. */
void
problem_of_error(Problem *problem, const ErrorData *error)
{
	problem_set(problem, error->sqlerrcode, error->message ? error->message : "missing error text", error->hint);
	problem->detail = error->detail;
}

/* Copy into the current memory context. */
void
problem_copy(Problem *copy, const Problem *problem)
{
	copy->sqlstate = problem->sqlstate;
	copy->message = pstrdup(problem->message);
	copy->detail = problem->detail ? pstrdup(problem->detail) : NULL;
	copy->hint = problem->hint ? pstrdup(problem->hint) : NULL;
}

/* Raise it as the error that it is. */
void
problem_raise(const Problem *problem)
{
	ereport(ERROR,
			(errcode(problem->sqlstate),
			 errmsg_internal("%s", problem->message),
			 problem->detail ? errdetail_internal("%s", problem->detail) : 0,
			 problem->hint ? errhint("%s", problem->hint) : 0));
	pg_unreachable();
}
