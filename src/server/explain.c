/*
 * explain.c
 *		Why a transaction scores as it does: what each feature adds to the
 *		margin, and the reasons that the model's owner has for it.
 *
 * The version that explains is the one that decides upon the transaction.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "catalog.h"
#include "compat.h"
#include "score.h"

/* A feature's part in a margin. */
typedef struct Part
{
	int			feature;
	double		contribution;
} Part;

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

/* Add one part to the result. */
static void
put_part(ReturnSetInfo *rsinfo, const text *model, const Decision *decision, const Part *part,
		 int rank, double total)
{
	const Version *version = decision->scorer->version;
	const char *name = version->features[part->feature].name;
	const char *direction = part->contribution > 0 ? "increases" : "decreases";
	char	   *value = describe_value(version, part->feature, decision->features[part->feature]);
	Datum		values[8];
	bool		nulls[8] = {false};

	if (!name)					/* as XGBoost calls it */
		name = psprintf("f%d", part->feature);
	values[0] = Int32GetDatum(rank);
	values[1] = CStringGetTextDatum(name);
	nulls[2] = value == NULL;
	if (value)
		values[2] = CStringGetTextDatum(value);
	values[3] = Float8GetDatum(part->contribution);
	values[4] = Float8GetDatum(fabs(part->contribution) / total);
	values[5] = CStringGetTextDatum(direction);
	nulls[6] = nulls[7] = !catalog_read_reason(model, name, direction, &values[6], &values[7]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

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
	double	   *contributions;
	double		total = 0;
	Part	   *parts;
	int			num_parts = 0;

	if (top < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("top must not be negative"),
				 errhint("NULL asks for all features that add something.")));
	InitMaterializedSRF(fcinfo, 0);
	if (!score_call(fcinfo, CALL_UNLOGGED, false, &decision))
		return (Datum) 0;
	contributions = explain_decision(&decision);
	parts = palloc_extended(sizeof(Part) * decision.scorer->version->num_features, MCXT_ALLOC_HUGE);
	for (int i = 0; i < decision.scorer->version->num_features; i++)
	{
		total += fabs(contributions[i]);
		if (contributions[i] != 0)
			parts[num_parts++] = (Part) {i, contributions[i]};
	}
	qsort(parts, num_parts, sizeof(Part), compare_parts);
	for (int i = 0; i < num_parts && i < top; i++)
		put_part((ReturnSetInfo *) fcinfo->resultinfo, PG_GETARG_TEXT_PP(0), &decision,
				 &parts[i], i + 1, total);
	return (Datum) 0;
}
