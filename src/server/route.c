/*
 * route.c
 *		The roles of a model's versions at this moment, and who scores what.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"

#include "compat.h"
#include "route.h"

/*
 * Where an entity stands between 0 and 100: a canary of that many per cent of
 * the traffic decides those that stand below.  The hash is the one of hash
 * partitioning, so an entity keeps its place from release to release; another
 * salt gives another order.  SQL's hashtextextended() is the same hash.
 */
double
route_entity_percent(const char *entity, int length, int64 salt)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) entity, length, (uint64) salt);

	return (double) (hash >> 11) * (100.0 / (UINT64CONST(1) << 53));
}

PG_FUNCTION_INFO_V1(risk_entity_percent);

/* risk.entity_percent(entity_id, salt) */
Datum
risk_entity_percent(PG_FUNCTION_ARGS)
{
	text	   *entity = PG_GETARG_TEXT_PP(0);

	PG_RETURN_FLOAT8(route_entity_percent(VARDATA_ANY(entity), VARSIZE_ANY_EXHDR(entity),
										  PG_GETARG_INT64(1)));
}
