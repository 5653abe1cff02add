/*
 * bound.h
 *		How the columns of a row type are matched with features: for bind.c,
 *		which matches them, and stored.c, which reads stored tuples.
 */
#ifndef PG_RISK_BOUND_H
#define PG_RISK_BOUND_H

#include "postgres.h"

#include "utils/typcache.h"

#include "bind.h"
#include "value.h"

typedef struct BoundColumn
{
	AttrNumber	attnum;			/* which column feeds the feature; 0: a lookup */
	ValueKind	kind;
	const CategoryMap *categories;	/* value names a category; NULL: it is a number */
} BoundColumn;

/* Rolling features that one lookup answers. */
typedef struct BoundQuery
{
	LiveQuery  *query;
	AttrNumber *attnums;		/* [live_num_inputs()] columns that it is given */
	Oid			time_type;		/* of that of the event time */
} BoundQuery;

/* How stored tuples are read; see stored.c. */
typedef struct StoredRow StoredRow;

struct Binding
{
	struct Binding *next;
	Oid			type;
	int32		typmod;
	uint64		identifier;		/* of the descriptor; see typcache.h */
	TypeCacheEntry *type_cache; /* NULL for record types, which never change */
	TupleDesc	tupdesc;
	int			num_queries;
	BoundQuery *queries;
	uint64		generation;		/* live_generation() of the queries */
	StoredRow  *stored;			/* how stored tuples are read; NULL: they are taken apart */
	int			num_features;
	BoundColumn columns[FLEXIBLE_ARRAY_MEMBER];
};

extern StoredRow *stored_row(const Binding *binding);
extern bool stored_features(const Binding *binding, HeapTuple tuple, float *row);

#endif							/* PG_RISK_BOUND_H */
