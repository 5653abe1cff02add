/*
 * gate.c
 *		Gates whose metric is a function of the user's own.
 *
 * Whoever edits risk.gates decides which functions the background worker
 * calls, so they are called as an index's functions are in maintenance: as
 * their owner, who cannot regain the caller's rights in a security-restricted
 * operation, and with the settings that they change undone afterwards.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(risk_call_gate_function);

/* The result of a gate's function as a double. */
static Datum
as_float8(Datum value, Oid type)
{
	switch (type)
	{
		case FLOAT8OID:
			return value;
		case FLOAT4OID:
			return DirectFunctionCall1(ftod, value);
		case NUMERICOID:
			return DirectFunctionCall1(numeric_float8, value);
		case INT8OID:
			return DirectFunctionCall1(i8tod, value);
		case INT4OID:
			return DirectFunctionCall1(i4tod, value);
		case INT2OID:
			return DirectFunctionCall1(i2tod, value);
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("a gate's function must return a number, not %s", format_type_be(type))));
	}
}

/* The function of a signature such as 'schema.name(text,text,timestamptz,timestamptz)'. */
static Oid
find_function(const char *signature)
{
	Datum		found = DirectFunctionCall1(regprocedurein, CStringGetDatum(signature));
	Oid		   *types;
	int			count;

	(void) get_func_signature(DatumGetObjectId(found), &types, &count);
	if (count != 4 || types[0] != TEXTOID || types[1] != TEXTOID ||
		types[2] != TIMESTAMPTZOID || types[3] != TIMESTAMPTZOID ||
		get_func_retset(DatumGetObjectId(found)) ||
		get_func_prokind(DatumGetObjectId(found)) != PROKIND_FUNCTION)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("%s is no function that a gate can call", signature),
				 errhint("It takes model, version, since and until (text, text, timestamptz, timestamptz) and returns one number.")));
	return DatumGetObjectId(found);
}

static Oid
function_owner(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * risk.call_gate_function(function, model, version, since, until): its value,
 * NULL included.  An error leaves user and settings to the abort of the
 * (sub)transaction.
 */
Datum
risk_call_gate_function(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(call, 4);
	Oid			function = find_function(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	FmgrInfo	finfo;
	Datum		result;
	Oid			user;
	int			sec_context;
	int			nest_level;

	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(function_owner(function), sec_context | SECURITY_RESTRICTED_OPERATION);
	nest_level = NewGUCNestLevel();

	fmgr_info(function, &finfo);
	InitFunctionCallInfoData(*call, &finfo, 4, DEFAULT_COLLATION_OID, NULL, NULL);
	for (int i = 0; i < 4; i++)
	{
		call->args[i].value = PG_GETARG_DATUM(i + 1);
		call->args[i].isnull = false;
	}
	result = FunctionCallInvoke(call);
	if (!call->isnull)
		result = as_float8(result, get_func_rettype(function));

	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(user, sec_context);
	if (call->isnull)
		PG_RETURN_NULL();
	return result;
}
