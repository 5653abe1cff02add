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
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "catalog.h"
#include "compat.h"
#include "explain.h"
#include "member.h"
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
 * Make sure that a version can be explained.
 *
 * Errors: 55000 several outputs, and the model does not say which one it is;
 * 0A000 the artifact lacks what is needed.
 */
void
explain_require(const Scorer *scorer)
{
	const Version *version = scorer->version;
	Problem		problem = {0};

	if (!scorer_has_output(scorer, &problem))
		problem_raise(&problem);
	if (!forest_explains(&version->forest))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("version \"%s\" of model \"%s\" cannot be explained",
						version->name, version->model),
				 errdetail("Its artifact does not tell the covers (sum_hessian) of its nodes."),
				 errhint("Save the model with a release of XGBoost that writes them: for vector leaves 3.2 or later.")));
}

/* Contributions to the margin of a decision, [num_features + 1], the expected
 * margin last; in the caller's memory.  Errors: those of explain_require(). */
static double *
explain_decision(const Decision *decision)
{
	const Scorer *scorer = decision->scorer;
	const Forest *forest = &scorer->version->forest;
	double	   *contributions;
	void	   *scratch;

	explain_require(scorer);
	contributions = palloc_extended(sizeof(double) * (scorer->version->num_features + 1), MCXT_ALLOC_HUGE);
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
	int			order = float8_cmp_internal(fabs(right->contribution), fabs(left->contribution));

	return order != 0 ? order : left->feature - right->feature;
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

/* The parts of a margin. */
static Parts
rank_parts(const double *contributions, int num_features)
{
	Parts		parts = {0};

	parts.parts = palloc_extended(sizeof(Part) * Max(num_features, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < num_features; i++)
	{
		parts.total += fabs(contributions[i]);
		if (contributions[i] != 0)
			parts.parts[parts.count++] = (Part) {i, contributions[i]};
	}
	qsort(parts.parts, parts.count, sizeof(Part), compare_parts);
	return parts;
}

/* The first reasons of a row, *count of them at most; in the caller's memory. */
static Reason *
find_reasons(const text *model, const Version *version, const float *features,
			 const double *contributions, int *count)
{
	Parts		parts = rank_parts(contributions, version->num_features);
	Reason	   *reasons;

	*count = Min(*count, parts.count);
	reasons = palloc0(sizeof(Reason) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		const Part *part = &parts.parts[i];
		Reason	   *reason = &reasons[i];

		reason->feature = version->features[part->feature].name;
		if (!reason->feature)	/* as XGBoost calls it */
			reason->feature = psprintf("f%d", part->feature);
		reason->value = describe_value(version, part->feature, features[part->feature]);
		reason->contribution = part->contribution;
		reason->share = fabs(part->contribution) / parts.total;
		reason->direction = part->contribution > 0 ? "increases" : "decreases";
		reason->has_code = catalog_read_reason(model, reason->feature, reason->direction,
											   &reason->code, &reason->text);
	}
	pfree(parts.parts);
	return reasons;
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
		member_push_text(&state, "feature", reason->feature);
		member_push_text(&state, "value", reason->value);
		member_push_number(&state, "contribution", reason->contribution);
		member_push_number(&state, "share", reason->share);
		member_push_text(&state, "direction", reason->direction);
		member_push_text(&state, "reason_code", reason->has_code ? TextDatumGetCString(reason->code) : NULL);
		member_push_text(&state, "reason_text", reason->has_code ? TextDatumGetCString(reason->text) : NULL);
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

/* The first reasons of a row, as a value of a type that stores them: those of
 * risk.explain_transaction(). */
Datum
explain_row(const text *model, const Version *version, const float *features,
			const double *contributions, int top, Oid type)
{
	int			count = top;
	Reason	   *reasons = find_reasons(model, version, features, contributions, &count);

	return type == JSONBOID ? reasons_as_jsonb(reasons, count) : reasons_as_codes(reasons, count);
}

/* The same of a decision.  False: what decided cannot be explained. */
bool
explain_reasons(const text *model, const Decision *decision, int top, Oid type, Datum *reasons)
{
	if (!decision->scorer || !forest_explains(&decision->scorer->version->forest))
		return false;
	*reasons = explain_row(model, decision->scorer->version, decision->features,
						   explain_decision(decision), top, type);
	return true;
}

/* Contributions as float8[]. */
Datum
explain_array(const double *contributions, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		elements[i] = Float8GetDatum(contributions[i]);
	return PointerGetDatum(construct_array(elements, count, FLOAT8OID, sizeof(float8),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* How many reasons are wanted: NULL is all.  Errors: 22023. */
int
explain_top(NullableDatum top)
{
	if (top.isnull)
		return INT_MAX;
	if (DatumGetInt32(top.value) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("top must not be negative"),
				 errhint("NULL asks for all features that add something.")));
	return DatumGetInt32(top.value);
}

/* ---- the functions ---- */

PG_FUNCTION_INFO_V1(risk_contributions);
PG_FUNCTION_INFO_V1(risk_explain_transaction);

/* risk.contributions(model, transaction, version) */
Datum
risk_contributions(PG_FUNCTION_ARGS)
{
	Decision	decision;

	if (!score_call(fcinfo, CALL_UNLOGGED, false, &decision))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(explain_array(explain_decision(&decision),
								  decision.scorer->version->num_features + 1));
}

/* risk.explain_transaction(model, transaction, version, top) */
Datum
risk_explain_transaction(PG_FUNCTION_ARGS)
{
	int			count = explain_top(fcinfo->args[3]);
	Decision	decision;
	Reason	   *reasons;

	/* To find out the result's columns would leave memory behind in each call of a query. */
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (!score_call(fcinfo, CALL_UNLOGGED, false, &decision))
		return (Datum) 0;
	reasons = find_reasons(PG_GETARG_TEXT_PP(0), decision.scorer->version, decision.features,
						   explain_decision(&decision), &count);
	for (int i = 0; i < count; i++)
		put_reason((ReturnSetInfo *) fcinfo->resultinfo, i + 1, &reasons[i]);
	return (Datum) 0;
}
