/*
 * route.c
 *		The route of a model: whom a canary or a shadow gets, and what a score
 *		leads to.  catalog.c reads it.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "compat.h"
#include "route.h"

const char *
route_role_name(VersionRole role)
{
	static const char *const names[] = {"champion", "canary", "shadow", "fallback"};

	return names[role];
}

/* Say that nobody decides. */
void
route_no_champion(const char *model, Problem *problem)
{
	problem_set(problem, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				psprintf("model \"%s\" has no champion", model),
				pstrdup("Make a registered version the champion with risk.promote(), or name one with version => '...'."));
}

/*
 * Where an entity stands between 0 and 100: a canary of that many per cent of
 * the traffic decides those that stand below.  The hash is the one of hash
 * partitioning, so an entity keeps its place from release to release; another
 * salt gives another order.  SQL's hashtextextended() is the same hash.
 */
static double
entity_percent(const char *entity, int length, int64 salt)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) entity, length, (uint64) salt);

	return (double) (hash >> 11) * (100.0 / (UINT64CONST(1) << 53));
}

/* Is an entity among these per cent?  One that is not known (NULL) is only
 * where all are. */
bool
route_selects(double percent, int64 salt, const char *entity)
{
	if (percent >= 100)
		return true;
	return entity && entity_percent(entity, strlen(entity), salt) < percent;
}

/* The action of the band that a score falls into; NULL: none. */
char *
route_action(const Route *route, double score)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;
	char	   *action = NULL;
	double		highest = 0;

	if (!route->bands)
		return NULL;
	iterator = JsonbIteratorInit(&route->bands->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && value.type == jbvNumeric)
		{
			double		bound = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
																   NumericGetDatum(value.val.numeric)));

			if (score >= bound && (!action || bound > highest))
			{
				action = key;
				highest = bound;
			}
		}
	}
	return action;
}

PG_FUNCTION_INFO_V1(risk_entity_percent);

/* risk.entity_percent(entity_id, salt) */
Datum
risk_entity_percent(PG_FUNCTION_ARGS)
{
	text	   *entity = PG_GETARG_TEXT_PP(0);

	PG_RETURN_FLOAT8(entity_percent(VARDATA_ANY(entity), VARSIZE_ANY_EXHDR(entity),
										  PG_GETARG_INT64(1)));
}
