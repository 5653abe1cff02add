/*
 * member.h
 *		Members of JSON objects, read and written.
 */
#ifndef PG_RISK_MEMBER_H
#define PG_RISK_MEMBER_H

#include "postgres.h"

#include "utils/jsonb.h"

extern JsonbValue *member_of(const Jsonb *object, const char *name, JsonbValue *buffer);
extern void member_push_text(JsonbParseState **state, const char *name, const char *text);
extern void member_push_number(JsonbParseState **state, const char *name, double number);

#endif							/* PG_RISK_MEMBER_H */
