/*
 * trigger.c
 *		The scoring trigger: scores the new row and fills columns of it; those of
 *		reasons only where the score is high, since only then an explanation is made.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "bind.h"
#include "compat.h"
#include "decide.h"
#include "explain.h"
#include "fill.h"

/* The arguments of the trigger: the model, then columns to be filled, of which all
 * but the first may be empty; then what reasons need. */
typedef enum Argument
{
	ARGUMENT_MODEL,
	ARGUMENT_SCORE,
	ARGUMENT_VERSION,
	ARGUMENT_ROLE,
	ARGUMENT_REASONS,
	ARGUMENT_THRESHOLD,
	ARGUMENT_TOP,
	NUM_ARGUMENTS
} Argument;

#define TRIGGER_ARGUMENTS "model; columns for the score, the version, the role and reasons, all but the first optional ('' for none); the score from which on reasons are stored; how many (5)"

/* The columns to be filled, by the argument that names them; 0: none. */
typedef struct Targets
{
	AttrNumber	columns[ARGUMENT_REASONS + 1];
	double		threshold;		/* of reasons */
	int			top;
} Targets;

/* A trigger in a statement. */
typedef struct Firing
{
	const Trigger *definition;
	Targets		targets;
	text	   *model;
	CallSite   *site;
} Firing;

/* The column that a trigger argument names, looked for from the end, where it likely is. */
static AttrNumber
target_column(TriggerData *trigger, int argument)
{
	const char *name = trigger->tg_trigger->tgargs[argument];
	TupleDesc	tupdesc = RelationGetDescr(trigger->tg_relation);
	AttrNumber	attnum = tupdesc->natts;

	while (attnum > 0 && (TupleDescAttr(tupdesc, attnum - 1)->attisdropped ||
						  strcmp(NameStr(TupleDescAttr(tupdesc, attnum - 1)->attname), name) != 0))
		attnum--;
	if (attnum == 0 || TupleDescAttr(tupdesc, attnum - 1)->attgenerated)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 attnum == 0 ?
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
	if (trigger->tg_trigger->tgnargs < 2 || trigger->tg_trigger->tgnargs > NUM_ARGUMENTS)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" gives risk.score_on_insert() %d arguments",
						trigger->tg_trigger->tgname, trigger->tg_trigger->tgnargs),
				 errhint("The arguments are: " TRIGGER_ARGUMENTS ".")));
	return trigger;
}

/* The number that an argument is; a count is a whole number from 1 on.  Errors: 39P01. */
static double
number_argument(TriggerData *trigger, int argument, bool is_count, const char *what)
{
	const char *string = trigger->tg_trigger->tgargs[argument];
	char	   *end;
	double		number = strtod(string, &end);

	if (end == string || *end != '\0' || isnan(number) || (is_count && (number < 1 || number != rint(number))))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" gives \"%s\" as %s", trigger->tg_trigger->tgname, string, what),
				 errhint("The arguments are: " TRIGGER_ARGUMENTS ".")));
	return number;
}

/* The score needs a column of fractions, or of text.  Errors: 42804. */
static void
check_score_column(TriggerData *trigger, AttrNumber attnum)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(trigger->tg_relation), attnum - 1);
	Oid			type = getBaseType(attribute->atttypid);

	if (type != FLOAT8OID && type != FLOAT4OID && type != NUMERICOID && TypeCategory(type) != TYPCATEGORY_STRING)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, which cannot hold a score",
						NameStr(attribute->attname), RelationGetRelationName(trigger->tg_relation),
						format_type_be(attribute->atttypid)),
				 errhint("Make it real, double precision or numeric.")));
}

/* What reasons need.  Errors: 42804, 39P01. */
static void
reasons_arguments(TriggerData *trigger, Targets *targets)
{
	const Trigger *definition = trigger->tg_trigger;
	Oid			type = TupleDescAttr(RelationGetDescr(trigger->tg_relation),
									 targets->columns[ARGUMENT_REASONS] - 1)->atttypid;

	if (!explain_stores_as(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, which cannot hold reasons",
						definition->tgargs[ARGUMENT_REASONS], RelationGetRelationName(trigger->tg_relation),
						format_type_be(type)),
				 errhint("Make it text[], for reason codes, or jsonb, for all that risk.explain_transaction() tells.")));
	if (definition->tgnargs <= ARGUMENT_THRESHOLD)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" names a column for reasons, but not the score from which on they are stored",
						definition->tgname),
				 errhint("The arguments are: " TRIGGER_ARGUMENTS ".")));
	targets->threshold = number_argument(trigger, ARGUMENT_THRESHOLD, false,
										 "the score from which on reasons are stored");
	if (definition->tgnargs > ARGUMENT_TOP)
		targets->top = Min(number_argument(trigger, ARGUMENT_TOP, true, "the number of reasons"), INT_MAX);
}

/* What the trigger is to fill, each time another column.  Errors: 42703, 42804, 39P01. */
static Targets
find_targets(TriggerData *trigger)
{
	const Trigger *definition = trigger->tg_trigger;
	Targets		targets = {.top = 5};

	for (int i = ARGUMENT_SCORE; i <= ARGUMENT_REASONS && i < definition->tgnargs; i++)
	{
		if (i > ARGUMENT_SCORE && definition->tgargs[i][0] == '\0')
			continue;
		targets.columns[i] = target_column(trigger, i);
		for (int j = ARGUMENT_SCORE; j < i; j++)
		{
			if (targets.columns[i] == targets.columns[j])
				ereport(ERROR,
						(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						 errmsg("trigger \"%s\" names column \"%s\" twice",
								definition->tgname, definition->tgargs[i]),
						 errhint("Name another column for each of score, version, role and reasons.")));
		}
	}
	check_score_column(trigger, targets.columns[ARGUMENT_SCORE]);
	if (targets.columns[ARGUMENT_REASONS])
		reasons_arguments(trigger, &targets);
	return targets;
}

/* The value of a column to be filled. */
static Datum
target_value(TriggerData *trigger, const Targets *targets, int argument, const text *model,
			 const Decision *decision, bool *isnull)
{
	TupleDesc	tupdesc = RelationGetDescr(trigger->tg_relation);
	AttrNumber	attnum = targets->columns[argument];
	Datum		reasons = (Datum) 0;

	*isnull = false;
	switch (argument)
	{
		case ARGUMENT_SCORE:
			return score_value(tupdesc, attnum, decision->score);
		case ARGUMENT_VERSION:
			*isnull = decision->scorer == NULL;
			return *isnull ? (Datum) 0 : column_value(tupdesc, attnum, decision->scorer->version->name);
		case ARGUMENT_ROLE:
			return column_value(tupdesc, attnum, unconstify(char *, route_role_name(decision->role)));
		default:
			*isnull = !(decision->score >= targets->threshold) ||
				!explain_reasons(model, decision, targets->top,
								 TupleDescAttr(tupdesc, attnum - 1)->atttypid, &reasons);
			return reasons;
	}
}

/* What the rows of a statement have in common, found out at the first one. */
static Firing *
find_firing(FmgrInfo *flinfo, TriggerData *trigger)
{
	Firing	   *firing = flinfo->fn_extra;
	MemoryContext caller;

	if (firing && firing->definition == trigger->tg_trigger)
		return firing;
	caller = MemoryContextSwitchTo(flinfo->fn_mcxt);
	firing = palloc(sizeof(Firing));
	firing->definition = trigger->tg_trigger;
	firing->targets = find_targets(trigger);
	firing->model = cstring_to_text(trigger->tg_trigger->tgargs[ARGUMENT_MODEL]);
	firing->site = decide_call_site(flinfo->fn_mcxt, CALL_TRIGGER, INPUT_ROW, firing->model, NULL);
	MemoryContextSwitchTo(caller);
	flinfo->fn_extra = firing;
	return firing;
}

PG_FUNCTION_INFO_V1(risk_score_on_insert);

/* Trigger: score the new row and fill the columns that are named. */
Datum
risk_score_on_insert(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = check_trigger(fcinfo);
	Relation	rel = trigger->tg_relation;
	const Firing *firing = find_firing(fcinfo->flinfo, trigger);
	const Targets *targets = &firing->targets;
	Input		input = {
		.kind = INPUT_ROW,
		.tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple,
		.type = rel->rd_rel->reltype,
		.typmod = -1,
		.view = {.own_command = true}
	};
	Decision	decision;
	int			columns[lengthof(targets->columns)];
	Datum		values[lengthof(targets->columns)];
	bool		nulls[lengthof(targets->columns)];
	int			count = 0;

	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		/* What the row was before is not its history. */
		input.view.old_table = RelationGetRelid(rel);
		input.view.old_row = &trigger->tg_trigtuple->t_self;
	}
	decide_prepare(firing->site, firing->model, NULL);
	decide(firing->site, &input, true, &decision);
	for (int i = ARGUMENT_SCORE; i <= ARGUMENT_REASONS; i++)
	{
		if (targets->columns[i] == 0)
			continue;
		columns[count] = targets->columns[i];
		values[count] = target_value(trigger, targets, i, firing->model, &decision, &nulls[count]);
		count++;
	}
	return PointerGetDatum(fill_columns(input.tuple, RelationGetDescr(rel), count, columns, values, nulls));
}
