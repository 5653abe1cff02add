/*
 * bind.h
 *		From a transaction, whatever its SQL type, to a row of features.
 */
#ifndef PG_RISK_BIND_H
#define PG_RISK_BIND_H

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "utils/array.h"
#include "utils/jsonb.h"

#include "live.h"
#include "problem.h"
#include "version.h"

/* The SQL types that a transaction can have. */
typedef enum InputKind
{
	INPUT_ROW,
	INPUT_JSONB,
	INPUT_ARRAY
} InputKind;

typedef struct Binding Binding;

extern InputKind bind_input_kind(Oid type);
extern AttrNumber bind_find_column(TupleDesc tupdesc, const char *name);
extern Binding *bind_row_type(Version *version, Oid type, int32 typmod, Problem *problem);
extern Binding *bind_query(const Version *version, TupleDesc tupdesc, const List *tables, Problem *problem);
extern bool bind_is_current(const Binding *binding, Oid type, int32 typmod);

extern bool bind_looks_up(const Binding *binding);
extern bool bind_is_stored(const Binding *binding, const Version *version, Problem *problem);

extern TupleTableSlot *bind_make_slot(const Binding *binding);
extern bool bind_features(const Binding *binding, TupleTableSlot *slot, const LiveView *view,
						  float *row, Problem *problem);
extern bool bind_jsonb(const Version *version, const Jsonb *jsonb, float *row, Problem *problem);
extern bool bind_array(const Version *version, ArrayType *array, float *row, Problem *problem);

#endif							/* PG_RISK_BIND_H */
