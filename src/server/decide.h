/*
 * decide.h
 *		A transaction scored along the route of its model.
 */
#ifndef PG_RISK_DECIDE_H
#define PG_RISK_DECIDE_H

#include "bind.h"
#include "route.h"
#include "scorer.h"

/* Who calls: may it be logged, and how. */
typedef enum CallKind
{
	CALL_UNLOGGED,				/* only looks */
	CALL_QUERY,					/* never writes: logged by way of the queue */
	CALL_TRIGGER				/* part of a transaction that writes */
} CallKind;

/* A transaction as it was passed. */
typedef struct Input
{
	InputKind	kind;
	HeapTuple	tuple;			/* INPUT_ROW, and its type */
	Oid			type;
	int32		typmod;
	LiveView	view;			/* of its table, for rolling features */
	const Jsonb *jsonb;			/* INPUT_JSONB */
	ArrayType  *array;			/* INPUT_ARRAY */
} Input;

typedef struct Decision
{
	VersionRole role;
	Scorer	   *scorer;			/* with the margins; NULL: ROLE_FALLBACK */
	double		score;			/* if one was asked for */
	const float *features;		/* of the scorer's version; good until the next call */
} Decision;

typedef struct CallSite CallSite;

extern void decide_init(void);
extern bool decide_alone(const text *model, const text *version_name, int64 *version_id, int *positive_class);
extern CallSite *decide_call_site(MemoryContext statement, CallKind kind, InputKind input, const text *model,
								  const text *version_name);
extern InputKind decide_input_kind(const CallSite *site);
extern void decide_prepare(CallSite *site, const text *model, const text *version_name);
extern void decide(CallSite *site, const Input *input, bool want_score, Decision *decision);
extern char *decide_action(const CallSite *site, double score);

#endif							/* PG_RISK_DECIDE_H */
