/*
 * catalog.h
 *		The tables of schema risk, as C sees them.
 */
#ifndef PG_RISK_CATALOG_H
#define PG_RISK_CATALOG_H

#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/jsonb.h"

#include "cache.h"
#include "route.h"

/* A row of risk.model_versions, in the caller's memory. */
typedef struct VersionRow
{
	char	   *model;
	char	   *version;
	uint8		image_hash[IMAGE_HASH_LENGTH];
	Jsonb	   *metadata;
	ArrayType  *feature_names;	/* NULL: none */
	Jsonb	   *categories;
} VersionRow;

extern void catalog_init(void);
extern bool catalog_installed(void);
extern void catalog_hold(void);
extern Oid	catalog_owner(void);

/* Who has which role, and which version has which name: as the active
 * snapshot sees it. */
extern void catalog_read_settings(const text *model, Route *route);
extern void catalog_read_route(const char *model, Route *route);
extern int64 catalog_version(const text *model, const text *version);
extern List *catalog_versions_with_role(void);
extern bool catalog_read_version(int64 version_id, VersionRow *row);
extern bytea *catalog_read_image(int64 version_id);
extern bool catalog_read_reason(const text *model, const char *feature, const char *direction,
								Datum *code, Datum *reason);

/* Count the changes that this process heard of: those of risk.model_versions, and
 * those to the definitions of the tables that routes are in. */
extern uint64 catalog_generation(void);
extern uint64 catalog_route_generation(void);

#endif							/* PG_RISK_CATALOG_H */
