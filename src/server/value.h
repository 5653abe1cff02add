/*
 * value.h
 *		Values of SQL types as features.
 */
#ifndef PG_RISK_VALUE_H
#define PG_RISK_VALUE_H

#include "postgres.h"

#include "utils/numeric.h"

#include "version.h"

/* How a value becomes a number. */
typedef enum ValueKind
{
	VALUE_UNSUPPORTED,
	VALUE_INT2,
	VALUE_INT4,
	VALUE_INT8,
	VALUE_FLOAT4,
	VALUE_FLOAT8,
	VALUE_NUMERIC,
	VALUE_BOOL,
	VALUE_DATE,
	VALUE_TIMESTAMP,
	VALUE_INTERVAL,
	VALUE_TEXT,
	VALUE_BPCHAR,
	VALUE_NAME,
	VALUE_ENUM
} ValueKind;

static inline bool
value_is_text(ValueKind kind)
{
	return kind >= VALUE_TEXT;
}

extern ValueKind value_kind(Oid type);
extern double value_of_numeric(Numeric numeric);
extern float value_number_feature(const CategoryMap *categories, double number);
extern float value_feature(ValueKind kind, const CategoryMap *categories, Datum value);

#endif							/* PG_RISK_VALUE_H */
