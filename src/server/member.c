/*
 * member.c
 *		Members of JSON objects: read by their names, and added to an object that
 *		is being built, as to_jsonb() has them.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "member.h"

/* The member of a name, in the buffer; NULL: there is none, or it is in no object. */
JsonbValue *
member_of(const Jsonb *object, const char *name, JsonbValue *buffer)
{
	return !JB_ROOT_IS_OBJECT(object) ? NULL :
		getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &object->root), name, strlen(name), buffer);
}

static JsonbValue
string_value(const char *string)
{
	return (JsonbValue) {.type = jbvString,.val.string = {strlen(string), unconstify(char *, string)}};
}

static void
push(JsonbParseState **state, const char *name, JsonbValue value)
{
	JsonbValue	key = string_value(name);

	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* Add a text; NULL: null.  The object points to both strings until it is made. */
void
member_push_text(JsonbParseState **state, const char *name, const char *text)
{
	push(state, name, text ? string_value(text) : (JsonbValue) {.type = jbvNull});
}

/* A finite number as the numeric of its shortest digits. */
static Numeric
shortest_numeric(double number)
{
	if (fabs(number) < 1e15 && number == rint(number))
		return int64_to_numeric((int64) number);
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(double_to_shortest_decimal(number)),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/* Add a number; JSON has none that is not finite: then it is a string. */
void
member_push_number(JsonbParseState **state, const char *name, double number)
{
	if (isfinite(number))
		push(state, name, (JsonbValue) {.type = jbvNumeric,.val.numeric = shortest_numeric(number)});
	else
		member_push_text(state, name, double_to_shortest_decimal(number));
}
