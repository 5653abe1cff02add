/*
 * bare.c
 *		What the server itself takes, whatever is called: a function of a row that does
 *		not look at it, and a trigger that sets the last column to a constant.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/rel.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(empty_score);
PG_FUNCTION_INFO_V1(constant_score);

Datum
empty_score(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(0.123456789012345);
}

Datum
constant_score(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	tupdesc = RelationGetDescr(trigger->tg_relation);
	int			column = tupdesc->natts;
	Datum		value = Float8GetDatum(0.123456789012345);
	bool		isnull = false;

	return PointerGetDatum(heap_modify_tuple_by_cols(trigger->tg_trigtuple, tupdesc, 1, &column, &value, &isnull));
}
