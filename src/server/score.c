/*
 * score.c
 *		The scoring functions and the scoring trigger: Datums in, the forest's
 *		numbers out.
 *
 * What a call site needs (version, match of the row type, buffers) is resolved
 * at its first call in a statement and kept in fn_extra.  A statement is told
 * from the next one by its snapshot: the route is read with that snapshot, so
 * as long as the snapshot is the same, the route is.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "bind.h"
#include "catalog.h"
#include "compat.h"
#include "version.h"

/*
 * What decides which rows of a table a statement sees.  Equal in two calls:
 * they see the same route.
 */
typedef struct Sight
{
	uint64		transaction;
	SubTransactionId subtransaction;
	TransactionId xmin;
	TransactionId xmax;
	uint32		xcnt;
	int32		subxcnt;
	CommandId	curcid;
	uint64		completions;
} Sight;

/* State of a call site, in fn_extra. */
typedef struct CallSite
{
	MemoryContext context;		/* holds what resolve() makes */
	Sight		sight;
	text	   *model;			/* as given in the last call */
	text	   *version_name;	/* NULL: the champion */
	InputKind	input;
	Version    *version;		/* NULL: not resolved */
	Binding    *binding;		/* of the last row type; rows only */
	int			positive_class; /* of the model; -1: it has none */
	float	   *row;
	float	   *margins;
	float	   *predictions;
	void	   *scratch;
} CallSite;

static void
take_sight(Sight *sight)
{
	Snapshot	snapshot = GetActiveSnapshot();

	sight->transaction = version_transaction();
	sight->subtransaction = GetCurrentSubTransactionId();
	sight->xmin = snapshot->xmin;
	sight->xmax = snapshot->xmax;
	sight->xcnt = snapshot->xcnt;
	sight->subxcnt = snapshot->subxcnt;
	sight->curcid = snapshot->curcid;
	sight->completions = snapshot->snapXactCompletionCount;
}

static bool
same_sight(const Sight *a, const Sight *b)
{
	return a->transaction == b->transaction &&
		a->subtransaction == b->subtransaction &&
		a->xmin == b->xmin && a->xmax == b->xmax &&
		a->xcnt == b->xcnt && a->subxcnt == b->subxcnt &&
		a->curcid == b->curcid && a->completions == b->completions;
}

static bool
same_text(const text *a, const text *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* Find the version and make the buffers for it. */
static void
resolve(CallSite *site, const text *model, const text *version_name, const Sight *sight)
{
	int64		version_id = version_name ? catalog_version(model, version_name) :
		catalog_champion(model);
	Version    *version = version_use(version_id);
	uint32		num_outputs = version->forest.header->num_outputs;
	MemoryContext caller;

	site->version = NULL;		/* until all of this has worked */
	MemoryContextReset(site->context);
	caller = MemoryContextSwitchTo(site->context);
	site->model = (text *) DatumGetPointer(datumCopy(PointerGetDatum(model), false, -1));
	site->version_name = version_name == NULL ? NULL :
		(text *) DatumGetPointer(datumCopy(PointerGetDatum(version_name), false, -1));
	site->binding = NULL;
	site->positive_class = num_outputs > 1 ? catalog_positive_class(model) : 0;
	site->row = palloc(sizeof(float) * Max(version->num_features, 1));
	site->margins = palloc(sizeof(float) * num_outputs);
	site->predictions = palloc(sizeof(float) * num_outputs);
	site->scratch = palloc(Max(forest_scratch_size(&version->forest), 1));
	site->sight = *sight;
	site->version = version;
	MemoryContextSwitchTo(caller);
}

/* The call site of a function call or of a trigger, made at the first call. */
static CallSite *
get_call_site(FmgrInfo *flinfo, InputKind input)
{
	CallSite   *site = flinfo->fn_extra;

	if (!site)
	{
		site = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(CallSite));
		site->context = AllocSetContextCreate(flinfo->fn_mcxt, "pg_risk call site",
											  ALLOCSET_SMALL_SIZES);
		site->input = input;
		flinfo->fn_extra = site;
	}
	return site;
}

/*
 * Make sure that the call site's version is the one for this call.  There may
 * be no snapshot yet, as in a domain's check after COMMIT in a procedure.
 */
static void
prepare_call(CallSite *site, const text *model, const text *version_name)
{
	bool		push = !ActiveSnapshotSet();
	Sight		sight;

	if (push)
		PushActiveSnapshot(GetTransactionSnapshot());
	take_sight(&sight);
	if (site->version == NULL || !same_sight(&sight, &site->sight) ||
		!same_text(model, site->model) || !same_text(version_name, site->version_name))
		resolve(site, model, version_name, &sight);
	if (push)
		PopActiveSnapshot();
}

static void
read_row(CallSite *site, Datum datum)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(datum);
	Oid			type = HeapTupleHeaderGetTypeId(header);
	int32		typmod = HeapTupleHeaderGetTypMod(header);
	HeapTupleData tuple;

	if (!site->binding || !bind_is_current(site->binding, type, typmod))
		site->binding = bind_row_type(site->version, type, typmod);
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	bind_row(site->binding, &tuple, site->row);
	if ((Pointer) header != DatumGetPointer(datum))
		pfree(header);
}

/*
 * Arguments of a scoring function to margins.  NULL when the transaction is
 * NULL: then the result is NULL.
 */
static CallSite *
margins_of_call(FunctionCallInfo fcinfo)
{
	CallSite   *site = fcinfo->flinfo->fn_extra;

	if (!site)
		site = get_call_site(fcinfo->flinfo,
							 bind_input_kind(get_fn_expr_argtype(fcinfo->flinfo, 1)));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("model must not be null"),
				 errhint("SELECT model FROM risk.models lists those that exist.")));
	if (PG_ARGISNULL(1))
		return NULL;

	prepare_call(site, PG_GETARG_TEXT_PP(0), PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2));
	switch (site->input)
	{
		case INPUT_ROW:
			read_row(site, PG_GETARG_DATUM(1));
			break;
		case INPUT_JSONB:
			bind_jsonb(site->version, PG_GETARG_DATUM(1), site->row);
			break;
		case INPUT_ARRAY:
			bind_array(site->version, PG_GETARG_DATUM(1), site->row);
			break;
	}
	forest_margins(&site->version->forest, site->row, site->scratch, site->margins);
	return site;
}

/* Which output's prediction is the score.  Errors: 55000 the model does not say. */
static int
score_output(const CallSite *site)
{
	int			num_outputs = site->version->forest.header->num_outputs;
	int			output = site->positive_class;

	if (output < 0 || output >= num_outputs)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 output < 0 ?
				 errmsg("version \"%s\" of model \"%s\" has %d outputs, a score is one number",
						site->version->name, site->version->model, num_outputs) :
				 errmsg("positive_class of model \"%s\" is %d, version \"%s\" has outputs 0 to %d",
						site->version->model, output, site->version->name, num_outputs - 1),
				 errhint("Use risk.score_vector() for all outputs, or say which one is the score with risk.alter_model(..., positive_class => N).")));
	return output;
}

/* The score of the margins at hand. */
static float
score_of_margins(CallSite *site)
{
	Forest	   *forest = &site->version->forest;
	ForestTransform transform = forest->header->transform;
	int			output = score_output(site);

	/* A class number is no score: the class's probability is. */
	if (transform == FOREST_ARGMAX)
		transform = FOREST_SOFTMAX;
	forest_transform_as(transform, forest->header->num_outputs, site->margins,
						site->predictions);
	return site->predictions[output];
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
PG_FUNCTION_INFO_V1(risk_score_on_insert);

/* risk.score_transaction(model, transaction, version): the score. */
Datum
risk_score_transaction(PG_FUNCTION_ARGS)
{
	CallSite   *site = margins_of_call(fcinfo);

	if (!site)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(score_of_margins(site));
}

/* risk.score_margin(model, transaction, version): margins, one per output. */
Datum
risk_score_margin(PG_FUNCTION_ARGS)
{
	CallSite   *site = margins_of_call(fcinfo);

	if (!site)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(float8_array(site->margins, site->version->forest.header->num_outputs));
}

/* risk.score_vector(model, transaction, version): all predictions. */
Datum
risk_score_vector(PG_FUNCTION_ARGS)
{
	CallSite   *site = margins_of_call(fcinfo);

	if (!site)
		PG_RETURN_NULL();
	forest_transform(&site->version->forest, site->margins, site->predictions);
	PG_RETURN_DATUM(float8_array(site->predictions,
								 forest_num_predictions(&site->version->forest)));
}

/* ---- trigger ---- */

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
				 errhint("The arguments of trigger \"%s\" are: model, column for the score, column for the version (optional).",
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
score_value(TupleDesc tupdesc, AttrNumber attnum, float score)
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

/* A generated column is computed after the trigger, so it would count as
 * missing: refuse it.  Errors: 0A000. */
static void
refuse_generated_features(const Version *version, TupleDesc tupdesc)
{
	for (int i = 0; i < version->num_features; i++)
	{
		AttrNumber	attnum = SPI_fnumber(tupdesc, version->features[i].name);

		if (attnum > 0 && TupleDescAttr(tupdesc, attnum - 1)->attgenerated)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("feature \"%s\" is a generated column, which is computed after BEFORE triggers",
							version->features[i].name),
					 errhint("Make it an ordinary column that another BEFORE trigger fills, or score in a query.")));
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
	if (trigger->tg_trigger->tgnargs < 2 || trigger->tg_trigger->tgnargs > 3)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" gives risk.score_on_insert() %d arguments",
						trigger->tg_trigger->tgname, trigger->tg_trigger->tgnargs),
				 errhint("The arguments are: model, column for the score, column for the version (optional).")));
	return trigger;
}

/*
 * Trigger: score the new row and fill its score column, and its version
 * column where one is named.
 */
Datum
risk_score_on_insert(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = check_trigger(fcinfo);
	Relation	rel = trigger->tg_relation;
	TupleDesc	tupdesc = RelationGetDescr(rel);
	char	  **arguments = trigger->tg_trigger->tgargs;
	int			ncolumns = trigger->tg_trigger->tgnargs - 1;
	HeapTuple	tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;
	CallSite   *site = get_call_site(fcinfo->flinfo, INPUT_ROW);
	int			columns[2];
	Datum		values[2];
	bool		nulls[2] = {false, false};

	prepare_call(site, cstring_to_text(arguments[0]), NULL);
	if (!site->binding || !bind_is_current(site->binding, rel->rd_rel->reltype, -1))
	{
		site->binding = bind_row_type(site->version, rel->rd_rel->reltype, -1);
		refuse_generated_features(site->version, tupdesc);
	}
	bind_row(site->binding, tuple, site->row);
	forest_margins(&site->version->forest, site->row, site->scratch, site->margins);

	columns[0] = target_column(trigger, 1);
	values[0] = score_value(tupdesc, columns[0], score_of_margins(site));
	if (ncolumns == 2)
	{
		columns[1] = target_column(trigger, 2);
		if (columns[1] == columns[0])
			ereport(ERROR,
					(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
					 errmsg("trigger \"%s\" names column \"%s\" for the score and for the version",
							trigger->tg_trigger->tgname, arguments[1]),
					 errhint("Name two columns, or only one for the score.")));
		values[1] = column_value(tupdesc, columns[1], site->version->name);
	}
	return PointerGetDatum(heap_modify_tuple_by_cols(tuple, tupdesc, ncolumns,
													 columns, values, nulls));
}
