/*
 * caller.c
 *		Who called a function that runs as its owner.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(risk_calling_role);

/*
 * risk.calling_role(): the role of the session, as SET ROLE left it.  What a
 * table's owner has put into an index or a view runs in others' sessions when they
 * maintain it; it is not they who call.
 */
Datum
risk_calling_role(PG_FUNCTION_ARGS)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("functions that change pg_risk cannot be called within a security-restricted operation"),
				 errhint("Do not call them in expressions of indexes, or while a materialized view is refreshed.")));
	return DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(GetOuterUserId(), false)));
}
