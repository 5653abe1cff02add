/*
 * score.c
 *		The scoring functions: Datums in, the forest's numbers out.  decide.c
 *		does what is between.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "bind.h"
#include "compat.h"
#include "decide.h"
#include "score.h"

/* A transaction as an argument, with what has to be freed afterwards. */
typedef struct Argument
{
	Input		input;
	HeapTupleData tuple;
	void	   *copy;			/* of a compressed value; NULL: there is none */
} Argument;

/* Open the transaction that is the second argument. */
static void
open_argument(FunctionCallInfo fcinfo, InputKind kind, Argument *argument)
{
	Datum		datum = PG_GETARG_DATUM(1);
	Input	   *input = &argument->input;
	void	   *value = NULL;

	input->kind = kind;
	input->view = (LiveView) {0};
	switch (kind)
	{
		case INPUT_ROW:
			{
				HeapTupleHeader header = DatumGetHeapTupleHeader(datum);

				argument->tuple.t_len = HeapTupleHeaderGetDatumLength(header);
				ItemPointerSetInvalid(&argument->tuple.t_self);
				argument->tuple.t_tableOid = InvalidOid;
				argument->tuple.t_data = header;
				input->tuple = &argument->tuple;
				input->type = HeapTupleHeaderGetTypeId(header);
				input->typmod = HeapTupleHeaderGetTypMod(header);
				value = header;
				break;
			}
		case INPUT_JSONB:
			value = DatumGetJsonbP(datum);
			input->jsonb = value;
			break;
		case INPUT_ARRAY:
			value = DatumGetArrayTypeP(datum);
			input->array = value;
			break;
	}
	argument->copy = value != DatumGetPointer(datum) ? value : NULL;
}

/*
 * Decide upon the transaction of a call of a function whose arguments are
 * model, transaction and, if it has a third one, version.  NULL when the
 * transaction is NULL: then so is the result.
 */
CallSite *
score_call(FunctionCallInfo fcinfo, CallKind kind, bool want_score, Decision *decision)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	CallSite   *site = flinfo->fn_extra;
	InputKind	input = site ? decide_input_kind(site) : bind_input_kind(get_fn_expr_argtype(flinfo, 1));
	text	   *model;
	text	   *version_name;
	Argument	argument;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("model must not be null"),
				 errhint("SELECT model FROM risk.models lists those that exist.")));
	if (PG_ARGISNULL(1))
		return NULL;
	model = PG_GETARG_TEXT_PP(0);
	version_name = PG_NARGS() < 3 || PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2);
	if (!site)
		flinfo->fn_extra = site = decide_call_site(flinfo->fn_mcxt, kind, input, model, version_name);
	decide_prepare(site, model, version_name);
	open_argument(fcinfo, input, &argument);
	decide(site, &argument.input, want_score, decision);
	if (argument.copy)
		pfree(argument.copy);
	return site;
}

static Datum
float8_array(const float *values, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		elements[i] = Float8GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, count, FLOAT8OID,
										   sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

PG_FUNCTION_INFO_V1(risk_score_transaction);
PG_FUNCTION_INFO_V1(risk_score_margin);
PG_FUNCTION_INFO_V1(risk_score_vector);
PG_FUNCTION_INFO_V1(risk_decide_transaction);

/* risk.score_transaction(model, transaction, version): the score. */
Datum
risk_score_transaction(PG_FUNCTION_ARGS)
{
	Decision	decision;

	if (!score_call(fcinfo, CALL_QUERY, true, &decision))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(decision.score);
}

/* risk.score_margin(model, transaction, version): margins, one per output. */
Datum
risk_score_margin(PG_FUNCTION_ARGS)
{
	Decision	decision;

	if (!score_call(fcinfo, CALL_UNLOGGED, false, &decision))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(float8_array(decision.scorer->margins,
								 decision.scorer->version->forest.header->num_outputs));
}

/* risk.score_vector(model, transaction, version): all predictions. */
Datum
risk_score_vector(PG_FUNCTION_ARGS)
{
	Decision	decision;
	Scorer	   *scorer;

	if (!score_call(fcinfo, CALL_UNLOGGED, false, &decision))
		PG_RETURN_NULL();
	scorer = decision.scorer;
	forest_transform(&scorer->version->forest, scorer->margins, scorer->predictions);
	PG_RETURN_DATUM(float8_array(scorer->predictions,
								 forest_num_predictions(&scorer->version->forest)));
}

/* risk.decide_transaction(model, transaction): who decided, and what. */
Datum
risk_decide_transaction(PG_FUNCTION_ARGS)
{
	Decision	decision;
	CallSite   *site = score_call(fcinfo, CALL_QUERY, true, &decision);
	TupleDesc	tupdesc;
	char	   *action;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (!site)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	action = decide_action(site, decision.score);
	nulls[0] = nulls[3] = decision.scorer == NULL;
	nulls[4] = action == NULL;
	if (decision.scorer)
	{
		values[0] = CStringGetTextDatum(decision.scorer->version->name);
		values[3] = Float8GetDatum(decision.scorer->margins[decision.scorer->output]);
	}
	values[1] = CStringGetTextDatum(route_role_name(decision.role));
	values[2] = Float8GetDatum(decision.score);
	if (action)
		values[4] = CStringGetTextDatum(action);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
