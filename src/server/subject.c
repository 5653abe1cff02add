/*
 * subject.c
 *		What a transaction is about: entity, event time, cohorts; read from the
 *		columns (or members) that the model names.
 *
 * Whatever is not there, or is no time, is not known: a transaction is scored
 * all the same.  Times that are written as text are read without errors.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "member.h"
#include "subject.h"
#include "value.h"

typedef struct SubjectColumn
{
	AttrNumber	attnum;			/* 0: there is no such column */
	Oid			type;			/* domains as their base type */
	bool		unsettled;		/* its text depends on settings */
	FmgrInfo	output;
} SubjectColumn;

struct SubjectReader
{
	SubjectColumn entity;
	SubjectColumn event_time;
	SubjectColumn cohorts[FLEXIBLE_ARRAY_MEMBER];
};

static void
find_subject_column(SubjectColumn *column, TupleDesc tupdesc, const char *name)
{
	Oid			output;
	bool		is_varlena;

	column->attnum = name ? Max(bind_find_column(tupdesc, name), 0) : 0;
	if (column->attnum == 0)
		return;
	column->type = getBaseType(TupleDescAttr(tupdesc, column->attnum - 1)->atttypid);
	getTypeOutputInfo(column->type, &output, &is_varlena);
	fmgr_info(output, &column->output);
	column->unsettled = func_volatile(output) != PROVOLATILE_IMMUTABLE ||
		column->type == BYTEAOID || column->type == FLOAT4OID || column->type == FLOAT8OID;
}

/* Find the columns of the subject in a row type. */
SubjectReader *
subject_reader(const Route *route, TupleDesc tupdesc)
{
	SubjectReader *reader = palloc0(offsetof(SubjectReader, cohorts) +
									sizeof(SubjectColumn) * route->num_cohorts);

	find_subject_column(&reader->entity, tupdesc, route->entity_id);
	find_subject_column(&reader->event_time, tupdesc, route->event_time);
	for (int i = 0; i < route->num_cohorts; i++)
		find_subject_column(&reader->cohorts[i], tupdesc, route->cohorts[i]);
	return reader;
}

/* Text that is the same in every session, whatever its settings: who decides is
 * chosen by it. */
static char *
settled_text(const SubjectColumn *column, Datum value)
{
	static const char *const settings[][2] = {
		{"bytea_output", "hex"}, {"datestyle", "ISO"}, {"extra_float_digits", "1"},
		{"intervalstyle", "postgres"}, {"lc_monetary", "C"}, {"timezone", "UTC"}
	};
	int			nest = guc_settle(settings, lengthof(settings));
	char	   *text = OutputFunctionCall(unconstify(FmgrInfo *, &column->output), value);

	AtEOXact_GUC(true, nest);
	return text;
}

/* A column's value.  False: it is not known. */
static bool
column_value(const SubjectColumn *column, TupleTableSlot *slot, Datum *value)
{
	bool		isnull = true;

	if (column->attnum != 0)
		*value = slot_getattr(slot, column->attnum, &isnull);
	return !isnull;
}

/* A column's value as text; the common types without their output function. */
static char *
column_text(const SubjectColumn *column, TupleTableSlot *slot)
{
	Datum		value;
	char	   *digits;

	if (!column_value(column, slot, &value))
		return NULL;
	switch (column->type)
	{
		case TEXTOID:
		case VARCHAROID:
			return TextDatumGetCString(value);
		case INT4OID:
		case INT8OID:
			digits = palloc(MAXINT8LEN + 1);
			pg_lltoa(column->type == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value), digits);
			return digits;
		case BOOLOID:			/* as in JSON */
			return pstrdup(DatumGetBool(value) ? "true" : "false");
		default:
			return column->unsettled ? settled_text(column, value) :
				OutputFunctionCall(unconstify(FmgrInfo *, &column->output), value);
	}
}

/* The entity of a row, as text; NULL: not known. */
text *
subject_entity(const SubjectReader *reader, TupleTableSlot *slot)
{
	const SubjectColumn *column = &reader->entity;
	Datum		value;
	text	   *digits;

	if (!column_value(column, slot, &value))
		return NULL;
	switch (column->type)
	{
		case TEXTOID:
		case VARCHAROID:
			return DatumGetTextPCopy(value);
		case INT4OID:
		case INT8OID:
			digits = palloc(VARHDRSZ + MAXINT8LEN + 1);
			SET_VARSIZE(digits, VARHDRSZ + pg_lltoa(column->type == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value),
													VARDATA(digits)));
			return digits;
		default:
			return cstring_to_text(column_text(column, slot));
	}
}

/* A text as a time; false: it is none. */
static bool
text_time(const char *string, TimestampTz *result)
{
	char		work[MAXDATELEN + MAXDATEFIELDS];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nf;
	int			dtype;
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;

	return ParseDateTime(string, work, sizeof(work), field, ftype, MAXDATEFIELDS, &nf) == 0 &&
		compat_decode_datetime(field, ftype, nf, &dtype, &tm, &fsec, &tz) == 0 &&
		dtype == DTK_DATE &&
		tm2timestamp(&tm, fsec, &tz, result) == 0;
}

/* A column's value as a time; false: it is none. */
static bool
column_time(const SubjectColumn *column, TupleTableSlot *slot, TimestampTz *result)
{
	Datum		value;
	int			overflow = 0;

	if (!column_value(column, slot, &value))
		return false;
	switch (column->type)
	{
		case TIMESTAMPTZOID:
			*result = DatumGetTimestampTz(value);
			return true;
		case TIMESTAMPOID:
			*result = timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value), &overflow);
			return overflow == 0;
		case DATEOID:
			*result = date2timestamptz_opt_overflow(DatumGetDateADT(value), &overflow);
			return overflow == 0;
		case TEXTOID:
		case VARCHAROID:
			return text_time(TextDatumGetCString(value), result);
		default:
			return false;
	}
}

/* The subject of a row. */
void
subject_of_row(const SubjectReader *reader, const Route *route, TupleTableSlot *slot,
			   Subject *subject)
{
	subject_unknown(route, subject);
	subject->entity = column_text(&reader->entity, slot);
	subject->has_event_time = column_time(&reader->event_time, slot, &subject->event_time);
	for (int i = 0; i < route->num_cohorts; i++)
		subject->values[i] = column_text(&reader->cohorts[i], slot);
}

/* A member of a JSON object; NULL: there is none, or it is null. */
static JsonbValue *
json_member(const Jsonb *jsonb, const char *name)
{
	JsonbValue *value = name ? member_of(jsonb, name, NULL) : NULL;

	return value && value->type != jbvNull ? value : NULL;
}

static char *
json_text(const JsonbValue *value)
{
	if (!value)
		return NULL;
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return numeric_normalize(value->val.numeric);
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/* A member as a time: a string, or seconds since 1970 as in features. */
static bool
json_time(const JsonbValue *value, TimestampTz *result)
{
	double		seconds;

	if (!value)
		return false;
	if (value->type == jbvString)
		return text_time(json_text(value), result);
	if (value->type != jbvNumeric)
		return false;
	seconds = value_of_numeric(value->val.numeric);
	if (!(fabs(seconds) < 9.0e12))
		return false;
	*result = (TimestampTz) rint((seconds - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (double) SECS_PER_DAY) * USECS_PER_SEC);
	return IS_VALID_TIMESTAMP(*result);
}

/* The subject of a JSON object. */
void
subject_of_jsonb(const Route *route, const Jsonb *jsonb, Subject *subject)
{
	subject_unknown(route, subject);
	subject->entity = json_text(json_member(jsonb, route->entity_id));
	subject->has_event_time = json_time(json_member(jsonb, route->event_time), &subject->event_time);
	for (int i = 0; i < route->num_cohorts; i++)
		subject->values[i] = json_text(json_member(jsonb, route->cohorts[i]));
}

/* The subject of what has no names: an array. */
void
subject_unknown(const Route *route, Subject *subject)
{
	memset(subject, 0, sizeof(Subject));
	subject->num_cohorts = route->num_cohorts;
	subject->cohorts = route->cohorts;
	if (route->num_cohorts > 0)
		subject->values = palloc0(sizeof(char *) * route->num_cohorts);
}

/* The cohort of a subject as an object, {"country": "FR"}; NULL: the model has
 * no cohorts. */
Jsonb *
subject_cohort(const Subject *subject)
{
	JsonbParseState *state = NULL;

	if (subject->num_cohorts == 0)
		return NULL;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < subject->num_cohorts; i++)
		member_push_text(&state, subject->cohorts[i], subject->values[i]);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
