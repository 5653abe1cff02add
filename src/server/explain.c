/*
 * explain.c
 *		Why a transaction scores as it does: what each feature adds to the
 *		margin, and the reasons that the model's owner has for it.
 *
 * The version that explains is the one that decides upon the transaction.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "catalog.h"
#include "compat.h"
#include "explain.h"
#include "score.h"

/* A feature's part in a margin. */
typedef struct Part
{
	int			feature;
	double		contribution;
} Part;

/* The parts of a margin, greatest first; features that add nothing are left out. */
typedef struct Parts
{
	Part	   *parts;
	int			count;
	double		total;			/* of their absolute values */
} Parts;

/* What is told of a part. */
typedef struct Reason
{
	const char *feature;
	char	   *value;			/* NULL: missing */
	double		contribution;
	double		share;
	const char *direction;
	bool		has_code;
	Datum		code;			/* text, as the next one */
	Datum		text;
} Reason;

/*
 * Contributions to the margin of a decision, [num_features + 1], the expected
 * margin last; in the caller's memory.
 *
 * Errors: 55000 several outputs, and the model does not say which one it is;
 * 0A000 the artifact lacks what is needed.
 */
static double *
explain_decision(const Decision *decision)
{
	const Scorer *scorer = decision->scorer;
	const Version *version = scorer->version;
	const Forest *forest = &version->forest;
	Problem		problem = {0};
	double	   *contributions;
	void	   *scratch;

	if (!scorer_has_output(scorer, &problem))
		problem_raise(&problem);
	if (!forest_explains(forest))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("version \"%s\" of model \"%s\" cannot be explained",
						version->name, version->model),
				 errdetail("Its artifact does not tell the covers (sum_hessian) of its nodes."),
				 errhint("Save the model with a release of XGBoost that writes them: for vector leaves 3.2 or later.")));
	contributions = palloc_extended(sizeof(double) * (version->num_features + 1), MCXT_ALLOC_HUGE);
	scratch = palloc_extended(Max(forest_contributions_scratch_size(forest), 1), MCXT_ALLOC_HUGE);
	forest_contributions(forest, decision->features, scorer->output, scratch, contributions);
	pfree(scratch);
	return contributions;
}

/* Greater contributions first, whichever way they point. */
static int
compare_parts(const void *a, const void *b)
{
	const Part *left = a;
	const Part *right = b;
	double		difference = fabs(right->contribution) - fabs(left->contribution);

	if (difference != 0)
		return difference > 0 ? 1 : -1;
	return left->feature - right->feature;
}

/* A feature's value as text: of a category its name; NULL: it is missing.  What
 * name a category without a code had is not known any more. */
static char *
describe_value(const Version *version, int feature, float value)
{
	const CategoryMap *categories = version->features[feature].categories;
	char	   *name = NULL;

	if (isnan(value) || value == version->forest.header->missing)
		return NULL;
	if (categories && value == CATEGORY_UNSEEN)
		return pstrdup("unseen");
	if (categories && value >= 0 && value < FOREST_MAX_CATEGORY)
		name = category_name(categories, (int) value);
	if (!name)
	{
		name = palloc(FLOAT_SHORTEST_DECIMAL_LEN);
		float_to_shortest_decimal_buf(value, name);
	}
	return name;
}

/* The parts of a decision's margin.  Errors: those of explain_decision(). */
static Parts
explain_parts(const Decision *decision)
{
	int			num_features = decision->scorer->version->num_features;
	double	   *contributions = explain_decision(decision);
	Parts		parts = {0};

	parts.parts = palloc_extended(sizeof(Part) * Max(num_features, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < num_features; i++)
	{
		parts.total += fabs(contributions[i]);
		if (contributions[i] != 0)
			parts.parts[parts.count++] = (Part) {i, contributions[i]};
	}
	pfree(contributions);
	qsort(parts.parts, parts.count, sizeof(Part), compare_parts);
	return parts;
}

/* Find what is told of a part. */
static Reason
find_reason(const text *model, const Decision *decision, const Parts *parts, int number)
{
	const Version *version = decision->scorer->version;
	const Part *part = &parts->parts[number];
	Reason		reason = {
		.feature = version->features[part->feature].name,
		.value = describe_value(version, part->feature, decision->features[part->feature]),
		.contribution = part->contribution,
		.share = fabs(part->contribution) / parts->total,
		.direction = part->contribution > 0 ? "increases" : "decreases"
	};

	if (!reason.feature)		/* as XGBoost calls it */
		reason.feature = psprintf("f%d", part->feature);
	reason.has_code = catalog_read_reason(model, reason.feature, reason.direction,
										  &reason.code, &reason.text);
	return reason;
}

/* Add one reason to the result. */
static void
put_reason(ReturnSetInfo *rsinfo, int rank, const Reason *reason)
{
	Datum		values[8];
	bool		nulls[8] = {false};

	values[0] = Int32GetDatum(rank);
	values[1] = CStringGetTextDatum(reason->feature);
	nulls[2] = reason->value == NULL;
	if (reason->value)
		values[2] = CStringGetTextDatum(reason->value);
	values[3] = Float8GetDatum(reason->contribution);
	values[4] = Float8GetDatum(reason->share);
	values[5] = CStringGetTextDatum(reason->direction);
	nulls[6] = nulls[7] = !reason->has_code;
	values[6] = reason->code;
	values[7] = reason->text;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* ---- reasons that are stored ---- */

/* Add a key and its value, a string of so many bytes, to an object; NULL: null. */
static void
push_text(JsonbParseState **state, char *name, const char *string, int length)
{
	JsonbValue	key = {.type = jbvString,.val.string = {strlen(name), name}};
	JsonbValue	value = {.type = jbvNull};

	if (string)
		value = (JsonbValue) {.type = jbvString,.val.string = {length, unconstify(char *, string)}};
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_number(JsonbParseState **state, char *name, double number)
{
	JsonbValue	key = {.type = jbvString,.val.string = {strlen(name), name}};
	JsonbValue	value = {.type = jbvNumeric};
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(number, digits);
	value.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(digits),
															ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_text_datum(JsonbParseState **state, char *name, Datum datum, bool there)
{
	text	   *value = there ? DatumGetTextPP(datum) : NULL;

	push_text(state, name, value ? VARDATA_ANY(value) : NULL, value ? VARSIZE_ANY_EXHDR(value) : 0);
}

/* Reasons as an array of objects, whose keys are the columns of
 * risk.explain_transaction(). */
static Datum
reasons_as_jsonb(const Reason *reasons, int count)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < count; i++)
	{
		const Reason *reason = &reasons[i];

		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		push_text(&state, "feature", reason->feature, strlen(reason->feature));
		push_text(&state, "value", reason->value, reason->value ? strlen(reason->value) : 0);
		push_number(&state, "contribution", reason->contribution);
		push_number(&state, "share", reason->share);
		push_text(&state, "direction", reason->direction, strlen(reason->direction));
		push_text_datum(&state, "reason_code", reason->code, reason->has_code);
		push_text_datum(&state, "reason_text", reason->text, reason->has_code);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)));
}

/* The codes of reasons that have one, each once. */
static Datum
reasons_as_codes(const Reason *reasons, int count)
{
	Datum	   *codes = palloc(sizeof(Datum) * Max(count, 1));
	int			num_codes = 0;

	for (int i = 0; i < count; i++)
	{
		bool		known = !reasons[i].has_code;

		for (int j = 0; j < num_codes && !known; j++)
			known = DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, codes[j], reasons[i].code));
		if (!known)
			codes[num_codes++] = reasons[i].code;
	}
	return PointerGetDatum(construct_array(codes, num_codes, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Can reasons be stored in a column of this type? */
bool
explain_stores_as(Oid type)
{
	return type == TEXTARRAYOID || type == JSONBOID;
}

/*
 * The first reasons of a decision, as a value of a type that stores them: those of
 * risk.explain_transaction().  False: what decided cannot be explained.
 */
bool
explain_reasons(const text *model, const Decision *decision, int top, Oid type, Datum *reasons)
{
	Reason	   *found;
	Parts		parts;
	int			count;

	if (!decision->scorer || !forest_explains(&decision->scorer->version->forest))
		return false;
	parts = explain_parts(decision);
	count = Min(parts.count, top);
	found = palloc(sizeof(Reason) * Max(count, 1));
	for (int i = 0; i < count; i++)
		found[i] = find_reason(model, decision, &parts, i);
	*reasons = type == JSONBOID ? reasons_as_jsonb(found, count) : reasons_as_codes(found, count);
	return true;
}

/* ---- the functions ---- */

PG_FUNCTION_INFO_V1(risk_contributions);
PG_FUNCTION_INFO_V1(risk_explain_transaction);

/* risk.contributions(model, transaction, version) */
Datum
risk_contributions(PG_FUNCTION_ARGS)
{
	Decision	decision;
	double	   *contributions;
	Datum	   *elements;
	int			count;

	if (!score_call(fcinfo, CALL_UNLOGGED, false, &decision))
		PG_RETURN_NULL();
	contributions = explain_decision(&decision);
	count = decision.scorer->version->num_features + 1;
	elements = palloc(sizeof(Datum) * count);
	for (int i = 0; i < count; i++)
		elements[i] = Float8GetDatum(contributions[i]);
	PG_RETURN_DATUM(PointerGetDatum(construct_array(elements, count, FLOAT8OID, sizeof(float8),
													FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
}

/* risk.explain_transaction(model, transaction, version, top) */
Datum
risk_explain_transaction(PG_FUNCTION_ARGS)
{
	int			top = PG_ARGISNULL(3) ? INT_MAX : PG_GETARG_INT32(3);
	Decision	decision;
	Parts		parts;

	if (top < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("top must not be negative"),
				 errhint("NULL asks for all features that add something.")));
	InitMaterializedSRF(fcinfo, 0);
	if (!score_call(fcinfo, CALL_UNLOGGED, false, &decision))
		return (Datum) 0;
	parts = explain_parts(&decision);
	for (int i = 0; i < parts.count && i < top; i++)
	{
		Reason		reason = find_reason(PG_GETARG_TEXT_PP(0), &decision, &parts, i);

		put_reason((ReturnSetInfo *) fcinfo->resultinfo, i + 1, &reason);
	}
	return (Datum) 0;
}
