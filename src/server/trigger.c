/*
 * trigger.c
 *		The scoring trigger: scores the new row and fills columns of it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "bind.h"
#include "compat.h"
#include "decide.h"

/* The arguments of the trigger: the model, then columns to be filled. */
#define MAX_COLUMNS 3
#define TRIGGER_ARGUMENTS "model, column for the score, column for the version (optional), column for the role (optional)"

/* The column that a trigger argument names. */
static AttrNumber
target_column(TriggerData *trigger, int argument)
{
	const char *name = trigger->tg_trigger->tgargs[argument];
	AttrNumber	attnum = SPI_fnumber(RelationGetDescr(trigger->tg_relation), name);

	if (attnum <= 0 || TupleDescAttr(RelationGetDescr(trigger->tg_relation), attnum - 1)->attgenerated)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 attnum <= 0 ?
				 errmsg("column \"%s\" of relation \"%s\" does not exist", name,
						RelationGetRelationName(trigger->tg_relation)) :
				 errmsg("column \"%s\" of relation \"%s\" is a generated column", name,
						RelationGetRelationName(trigger->tg_relation)),
				 errhint("The arguments of trigger \"%s\" are: " TRIGGER_ARGUMENTS ".",
						 trigger->tg_trigger->tgname)));
	return attnum;
}

/* A C string as a value of a column's type, by the type's input function. */
static Datum
column_value(TupleDesc tupdesc, AttrNumber attnum, char *string)
{
	Form_pg_attribute attribute = TupleDescAttr(tupdesc, attnum - 1);
	Oid			input;
	Oid			ioparam;

	getTypeInputInfo(attribute->atttypid, &input, &ioparam);
	return OidInputFunctionCall(input, string, ioparam, attribute->atttypmod);
}

/* The score as a value of its column's type. */
static Datum
score_value(TupleDesc tupdesc, AttrNumber attnum, double score)
{
	switch (TupleDescAttr(tupdesc, attnum - 1)->atttypid)
	{
		case FLOAT8OID:
			return Float8GetDatum(score);
		case FLOAT4OID:
			return Float4GetDatum(score);
		default:
			return column_value(tupdesc, attnum,
								DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(score))));
	}
}

/* Check how the trigger was made.  Errors: 39P01. */
static TriggerData *
check_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("risk.score_on_insert() must be fired BEFORE INSERT OR UPDATE, FOR EACH ROW"),
				 errhint("CREATE TRIGGER score BEFORE INSERT ON ... FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('model', 'score_column', 'version_column').")));
	if (trigger->tg_trigger->tgnargs < 2 || trigger->tg_trigger->tgnargs > 1 + MAX_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" gives risk.score_on_insert() %d arguments",
						trigger->tg_trigger->tgname, trigger->tg_trigger->tgnargs),
				 errhint("The arguments are: " TRIGGER_ARGUMENTS ".")));
	return trigger;
}

/* The columns to be filled, each another one.  Errors: 42703, 39P01. */
static void
target_columns(TriggerData *trigger, int count, int *columns)
{
	for (int i = 0; i < count; i++)
	{
		columns[i] = target_column(trigger, i + 1);
		for (int j = 0; j < i; j++)
		{
			if (columns[i] == columns[j])
				ereport(ERROR,
						(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						 errmsg("trigger \"%s\" names column \"%s\" twice",
								trigger->tg_trigger->tgname, trigger->tg_trigger->tgargs[i + 1]),
						 errhint("Name another column for each of score, version and role.")));
		}
	}
}

PG_FUNCTION_INFO_V1(risk_score_on_insert);

/*
 * Trigger: score the new row and fill its score column, and its version and
 * role columns where they are named.
 */
Datum
risk_score_on_insert(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = check_trigger(fcinfo);
	Relation	rel = trigger->tg_relation;
	TupleDesc	tupdesc = RelationGetDescr(rel);
	int			count = trigger->tg_trigger->tgnargs - 1;
	CallSite   *site = decide_call_site(fcinfo->flinfo, CALL_TRIGGER, INPUT_ROW);
	Input		input = {
		.kind = INPUT_ROW,
		.tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple,
		.type = rel->rd_rel->reltype,
		.typmod = -1,
		.view = {.own_command = true}
	};
	Decision	decision;
	int			columns[MAX_COLUMNS];
	Datum		values[MAX_COLUMNS];
	bool		nulls[MAX_COLUMNS] = {false};

	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		/* What the row was before is not its history. */
		input.view.old_table = RelationGetRelid(rel);
		input.view.old_row = &trigger->tg_trigtuple->t_self;
	}
	target_columns(trigger, count, columns);
	decide_prepare(site, cstring_to_text(trigger->tg_trigger->tgargs[0]), NULL);
	decide(site, &input, true, &decision);

	values[0] = score_value(tupdesc, columns[0], decision.score);
	if (count > 1)
	{
		nulls[1] = decision.scorer == NULL;
		values[1] = nulls[1] ? (Datum) 0 :
			column_value(tupdesc, columns[1], decision.scorer->version->name);
	}
	if (count > 2)
		values[2] = column_value(tupdesc, columns[2], unconstify(char *, route_role_name(decision.role)));
	return PointerGetDatum(heap_modify_tuple_by_cols(input.tuple, tupdesc, count,
													 columns, values, nulls));
}
