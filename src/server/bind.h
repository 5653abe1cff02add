/*
 * bind.h
 *		From a transaction, whatever its SQL type, to a row of features.
 */
#ifndef PG_RISK_BIND_H
#define PG_RISK_BIND_H

#include "access/htup.h"

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
extern Binding *bind_row_type(Version *version, Oid type, int32 typmod);
extern bool bind_is_current(const Binding *binding, Oid type, int32 typmod);

extern void bind_row(const Binding *binding, HeapTuple tuple, float *row);
extern void bind_jsonb(const Version *version, Datum jsonb, float *row);
extern void bind_array(const Version *version, Datum array, float *row);

#endif							/* PG_RISK_BIND_H */
