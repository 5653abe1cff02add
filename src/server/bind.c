/*
 * bind.c
 *		From a transaction, whatever its SQL type, to a row of features: one
 *		float32 per feature in the model's order, NaN where the value is missing.
 *
 * Columns are matched with feature names once per row type and version; the
 * match (Binding) is remembered with the version.  A row type is known by the
 * type cache's identifier of its descriptor, which changes with the type.
 *
 * A feature without a column of its name may be a rolling feature that is
 * declared on the row's table (live.c); that is looked up as of the row's event
 * time.
 *
 * value.c has the conversions of values.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "parser/parse_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "bound.h"
#include "compat.h"
#include "member.h"
#include "rolling_names.h"

/* What a transaction of this SQL type is.  Errors: 42804 nothing we can score. */
InputKind
bind_input_kind(Oid type)
{
	Oid			base;

	/* First what most calls are about: it takes one look-up. */
	if (OidIsValid(type) && type_is_rowtype(type))
		return INPUT_ROW;
	base = OidIsValid(type) ? getBaseType(type) : InvalidOid;
	if (base == JSONBOID)
		return INPUT_JSONB;
	if (OidIsValid(base) && OidIsValid(get_element_type(base)))
		return INPUT_ARRAY;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("cannot score a value of type %s",
					OidIsValid(type) ? format_type_be(type) : "unknown"),
			 errhint("Pass a row (the alias of a table that is no column's name, or ROW(...)::its_type), jsonb, or an array of real in feature order.")));
	return INPUT_ROW;
}

/* ---- rows ---- */

/* A model without names can only be given arrays. */
static bool
has_names(const Version *version, Problem *problem)
{
	if (!version->has_names)
		problem_set(problem, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					psprintf("version \"%s\" of model \"%s\" has no feature names",
							 version->name, version->model),
					"Pass an array in feature order, or register the artifact again with feature_names => ARRAY[...].");
	return version->has_names;
}

/* Has the transaction all features?  Else say which it does not have: those of this
 * array. */
static bool
has_all(const Version *version, const bool *unmatched, const char *what, const char *hint, Problem *problem)
{
	StringInfoData list;
	int			count = 0;

	initStringInfo(&list);
	for (int i = 0; i < version->num_features; i++)
	{
		if (unmatched[i])
			appendStringInfo(&list, "%s\"%s\"", count++ ? ", " : "", version->features[i].name);
	}
	if (count == 0)
		return true;
	problem_set(problem, ERRCODE_UNDEFINED_COLUMN,
				psprintf("%d of %d features of version \"%s\" of model \"%s\" %s no %s",
						 count, version->num_features, version->name, version->model,
						 count == 1 ? "has" : "have", what),
				hint);
	problem->detail = psprintf("Unmatched: %s.", list.data);
	return false;
}

/* The column of a name: 0 when there is none, -1 when there are several. */
AttrNumber
bind_find_column(TupleDesc tupdesc, const char *name)
{
	AttrNumber	found = 0;

	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(tupdesc, i);

		if (attribute->attisdropped || strcmp(NameStr(attribute->attname), name) != 0)
			continue;
		if (found)
			return -1;
		found = i + 1;
	}
	return found;
}

/* Does a column's type suit a feature?  Problems: 42804 it does not. */
static bool
bind_column(BoundColumn *column, const VersionFeature *feature, Oid type, Problem *problem)
{
	const char *type_name = format_type_be(type);

	column->kind = value_kind(type);
	if (column->kind == VALUE_UNSUPPORTED)
		problem_set(problem, ERRCODE_DATATYPE_MISMATCH,
					psprintf("column \"%s\" of type %s cannot be a feature", feature->name, type_name),
					"Cast it to a number, boolean, date, timestamp, interval, or to text where the feature is categorical.");
	else if (!value_is_text(column->kind))
	{
		/* Numbers are the names of integer categories, else the codes. */
		if (feature->categories && !category_map_is_text(feature->categories))
			column->categories = feature->categories;
		return true;
	}
	else if (!feature->categorical)
		problem_set(problem, ERRCODE_DATATYPE_MISMATCH,
					psprintf("column \"%s\" is of type %s, the feature is numeric", feature->name, type_name),
					"Cast the column to the number that the model was trained with; a missing value is NULL::real.");
	else if (!feature->categories)
		problem_set(problem, ERRCODE_DATATYPE_MISMATCH,
					psprintf("column \"%s\" is of type %s, and the categories of the feature are not known",
							 feature->name, type_name),
					psprintf("Register the artifact again with categories => '{\"%s\": [...]}', listing them in code order, or pass the codes.",
							 feature->name));
	else if (!category_map_is_text(feature->categories))
		problem_set(problem, ERRCODE_DATATYPE_MISMATCH,
					psprintf("column \"%s\" is of type %s, the categories of the feature are integers",
							 feature->name, type_name),
					"Cast the column to an integer.");
	else
	{
		column->categories = feature->categories;
		return true;
	}
	return false;
}

/* The type cache's identifier of a row type's descriptor. */
static uint64
row_type_identifier(Oid type, int32 typmod, TypeCacheEntry **type_cache)
{
	if (type == RECORDOID)
	{
		*type_cache = NULL;
		return assign_record_type_identifier(type, typmod);
	}
	*type_cache = lookup_type_cache(type, TYPECACHE_TUPDESC);
	return (*type_cache)->tupDesc_identifier;
}

/* Find the columns that a lookup is given. */
static bool
match_inputs(BoundQuery *bound, TupleDesc tupdesc, Problem *problem)
{
	bound->attnums = palloc(sizeof(AttrNumber) * live_num_inputs(bound->query));
	for (int i = 0; i < live_num_inputs(bound->query); i++)
	{
		const LiveInput *input = live_input(bound->query, i);
		AttrNumber	attnum = bind_find_column(tupdesc, input->column);
		Oid			type = InvalidOid;

		if (attnum > 0)
			type = getBaseType(TupleDescAttr(tupdesc, attnum - 1)->atttypid);
		if (i == live_num_keys(bound->query))
		{
			bound->time_type = type;
			type = LIVE_MOMENT_TYPE(type);
		}
		if (type != input->type)
		{
			problem_set(problem, ERRCODE_UNDEFINED_COLUMN,
						psprintf("the transaction has no column \"%s\" of type %s, which its rolling features need",
								 input->column, format_type_be(input->type)),
						"A row of the table itself has it.");
			return false;
		}
		bound->attnums[i] = attnum;
	}
	return true;
}

/* Take the features that a lookup answers off the unmatched ones. */
static bool
match_query(Binding *binding, LiveQuery *query, bool *unmatched, Problem *problem)
{
	BoundQuery *bound = &binding->queries[binding->num_queries++];

	bound->query = query;
	for (int i = 0; i < live_num_results(query); i++)
	{
		bool	   *feature = &unmatched[live_result_position(query, i)];

		if (!*feature)
		{
			problem_set(problem, ERRCODE_AMBIGUOUS_COLUMN,
						psprintf("rolling feature \"%s\" is declared on several tables of the source",
								 live_result_name(query, i)),
						"Select it as a column, or the columns of one of the tables alone.");
			return false;
		}
		*feature = false;
	}
	return match_inputs(bound, binding->tupdesc, problem);
}

#define HINT_COLUMNS "Columns are matched by name, letter case included. Rename or add them in a subquery, e.g. SELECT amt AS \"amount\""

/* Find the unmatched features among the rolling ones of the rows' tables. */
static bool
match_rolling(Binding *binding, const Version *version, const List *tables, bool *unmatched, Problem *problem)
{
	const char **wanted = palloc0(sizeof(char *) * version->num_features);
	List	   *queries = NIL;
	ListCell   *cell;

	for (int i = 0; i < version->num_features; i++)
		wanted[i] = unmatched[i] ? version->features[i].name : NULL;
	binding->generation = live_generation();
	foreach(cell, tables)
	{
		if (!problem->sqlstate)
			queries = list_concat(queries, live_queries(lfirst_oid(cell), wanted, version->num_features, problem));
	}
	if (problem->sqlstate)
		return false;
	binding->queries = palloc(sizeof(BoundQuery) * (list_length(queries) + 1));
	foreach(cell, queries)
	{
		if (!match_query(binding, lfirst(cell), unmatched, problem))
			return false;
	}
	return has_all(version, unmatched, "column in the transaction",
				   tables ? HINT_COLUMNS "; or declare rolling features of the names with risk.create_rolling_features()." :
				   HINT_COLUMNS ".", problem);
}

/* Find the column of each feature, or the lookup. */
static bool
match_columns(Binding *binding, const Version *version, const List *tables, Problem *problem)
{
	TupleDesc	tupdesc = binding->tupdesc;
	bool	   *unmatched = palloc0(sizeof(bool) * version->num_features);
	bool		complete = true;

	for (int i = 0; i < version->num_features; i++)
	{
		AttrNumber	attnum = bind_find_column(tupdesc, version->features[i].name);

		if (attnum < 0)
		{
			problem_set(problem, ERRCODE_AMBIGUOUS_COLUMN,
						psprintf("column \"%s\" appears more than once in the transaction",
								 version->features[i].name),
						"Name each column once, with AS where two tables have it.");
			return false;
		}
		binding->columns[i].attnum = attnum;
		unmatched[i] = attnum == 0;
		complete &= attnum != 0;
	}
	if (!complete && !match_rolling(binding, version, tables, unmatched, problem))
		return false;
	for (int i = 0; i < version->num_features; i++)
	{
		Oid			type;

		if (binding->columns[i].attnum == 0)
			continue;
		type = TupleDescAttr(tupdesc, binding->columns[i].attnum - 1)->atttypid;

		if (!bind_column(&binding->columns[i], &version->features[i], type, problem))
			return false;
	}
	return true;
}

/* Match the columns of a row type, whose rows come from these tables, with a
 * version's features; NULL: there is a problem. */
static Binding *
make_binding(const Version *version, Oid type, int32 typmod, const List *tables, Problem *problem)
{
	int			n = version->num_features;
	TupleDesc	tupdesc = lookup_rowtype_tupdesc_copy(type, typmod);
	Binding    *binding = palloc0(offsetof(Binding, columns) + sizeof(BoundColumn) * n);

	binding->type = type;
	binding->typmod = typmod;
	binding->identifier = row_type_identifier(type, typmod, &binding->type_cache);
	binding->tupdesc = tupdesc;
	binding->num_features = n;
	if (!has_names(version, problem) || !match_columns(binding, version, tables, problem))
		return NULL;
	binding->stored = stored_row(binding);
	return binding;
}

/* The table whose rows are of a type, as a list; none: its rows come from anywhere. */
static List *
row_type_table(Oid type)
{
	Oid			relid = type == RECORDOID ? InvalidOid : typeidTypeRelid(type);

	return OidIsValid(relid) && get_rel_relkind(relid) != RELKIND_COMPOSITE_TYPE ? list_make1_oid(relid) : NIL;
}

/* Is a row of this type one that the binding was made for? */
bool
bind_is_current(const Binding *binding, Oid type, int32 typmod)
{
	return binding->type == type && binding->typmod == typmod &&
		(binding->num_queries == 0 || binding->generation == live_generation()) &&
		(binding->type_cache == NULL ||
		 binding->type_cache->tupDesc_identifier == binding->identifier);
}

/*
 * The match of a row type with a version's features; NULL: there is a problem,
 * described in the caller's memory.
 *
 * Problems: 42703 features without a column, or columns that rolling features
 * need gone; 42804 wrong type of a column, 42702 column twice, 55000 the version has no feature names.
 */
Binding *
bind_row_type(Version *version, Oid type, int32 typmod, Problem *problem)
{
	TypeCacheEntry *type_cache;
	uint64		identifier = row_type_identifier(type, typmod, &type_cache);
	MemoryContext building;
	MemoryContext caller;
	Binding    *binding;

	for (binding = version->bindings; binding; binding = binding->next)
	{
		if (binding->type == type && binding->typmod == typmod &&
			binding->identifier == identifier &&
			(binding->num_queries == 0 || binding->generation == live_generation()))
			return binding;
	}

	/* A binding that fails halfway goes with the caller's context. */
	building = AllocSetContextCreate(CurrentMemoryContext, "pg_risk binding",
									 ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(building);
	binding = make_binding(version, type, typmod, row_type_table(type), problem);
	MemoryContextSwitchTo(caller);
	if (!binding)
		return NULL;
	MemoryContextSetParent(building, version->context);
	binding->next = version->bindings;
	version->bindings = binding;
	version->num_bindings++;
	return binding;
}

/*
 * The same for the rows of a query, of a blessed descriptor: rolling features
 * are those of the tables whose columns they have.  In the caller's memory.
 *
 * Problems: also 42702 several tables have a rolling feature.
 */
Binding *
bind_query(const Version *version, TupleDesc tupdesc, const List *tables, Problem *problem)
{
	return make_binding(version, RECORDOID, tupdesc->tdtypmod, tables, problem);
}

static bool
is_stored(const Binding *binding, AttrNumber attnum, const char *what, const char *name, Problem *problem)
{
	if (!TupleDescAttr(binding->tupdesc, attnum - 1)->attgenerated)
		return true;
	problem_set(problem, ERRCODE_FEATURE_NOT_SUPPORTED,
				psprintf("%s \"%s\" is a generated column, which is computed after BEFORE triggers", what, name),
				"Make it an ordinary column that another BEFORE trigger fills, or score in a query.");
	return false;
}

/*
 * Are all features, and what lookups are given, stored columns?  In a BEFORE trigger generated ones have not
 * been computed, and would count as missing.  Problems: 0A000.
 */
bool
bind_is_stored(const Binding *binding, const Version *version, Problem *problem)
{
	for (int i = 0; i < binding->num_features; i++)
	{
		AttrNumber	attnum = binding->columns[i].attnum;

		if (attnum != 0 && !is_stored(binding, attnum, "feature", version->features[i].name, problem))
			return false;
	}
	for (int i = 0; i < binding->num_queries; i++)
	{
		const BoundQuery *bound = &binding->queries[i];

		for (int j = 0; j < live_num_inputs(bound->query); j++)
		{
			if (!is_stored(binding, bound->attnums[j], "column", live_input(bound->query, j)->column, problem))
				return false;
		}
	}
	return true;
}

/* Are there features that take a query? */
bool
bind_looks_up(const Binding *binding)
{
	return binding->num_queries > 0;
}

/* A slot for tuples of the row type, which is good as long as the binding. */
TupleTableSlot *
bind_make_slot(const Binding *binding)
{
	return MakeSingleTupleTableSlot(binding->tupdesc, &TTSOpsHeapTuple);
}

/* The rolling features of a row that a lookup answers. */
static bool
look_up(const BoundQuery *bound, const TupleTableSlot *slot, const LiveView *view, float *row, Problem *problem)
{
	int			num_inputs = live_num_inputs(bound->query);
	int			num_results = live_num_results(bound->query);
	int			time = live_num_keys(bound->query);
	Datum	   *inputs = palloc(sizeof(Datum) * num_inputs);
	bool	   *input_nulls = palloc(sizeof(bool) * num_inputs);
	double	   *results = palloc(sizeof(double) * num_results);
	bool	   *nulls = palloc(sizeof(bool) * num_results);
	bool		known;

	for (int i = 0; i < num_inputs; i++)
	{
		inputs[i] = slot->tts_values[bound->attnums[i] - 1];
		input_nulls[i] = slot->tts_isnull[bound->attnums[i] - 1];
	}
	if (!input_nulls[time])
		inputs[time] = TimestampGetDatum(rolling_time(inputs[time], bound->time_type));
	known = live_lookup(bound->query, inputs, input_nulls, view, results, nulls, problem);
	for (int i = 0; known && i < num_results; i++)
		row[live_result_position(bound->query, i)] = nulls[i] ? get_float4_nan() : (float) results[i];
	pfree(inputs);
	pfree(input_nulls);
	pfree(results);
	pfree(nulls);
	return known;
}

/* The tuple in a slot, as it is stored; NULL: there is only what it is made of. */
static HeapTuple
slot_tuple(TupleTableSlot *slot)
{
	if (TTS_IS_BUFFERTUPLE(slot))
		return ((BufferHeapTupleTableSlot *) slot)->base.tuple;
	if (TTS_IS_HEAPTUPLE(slot))
		return ((HeapTupleTableSlot *) slot)->tuple;
	if (TTS_IS_MINIMALTUPLE(slot))
		return ((MinimalTupleTableSlot *) slot)->tuple;
	return NULL;
}

/*
 * Features of a row in a slot, whose descriptor is that of the row type; rolling ones
 * as the view sees the table.  Problems and errors: those of live_lookup().
 */
bool
bind_features(const Binding *binding, TupleTableSlot *slot, const LiveView *view, float *row,
			  Problem *problem)
{
	HeapTuple	tuple = binding->stored ? slot_tuple(slot) : NULL;

	if (tuple && stored_features(binding, tuple, row))
		return true;
	slot_getallattrs(slot);
	for (int i = 0; i < binding->num_queries; i++)
	{
		if (!look_up(&binding->queries[i], slot, view, row, problem))
			return false;
	}
	for (int i = 0; i < binding->num_features; i++)
	{
		const BoundColumn *column = &binding->columns[i];
		int			position = column->attnum - 1;

		if (column->attnum == 0)
			continue;
		if (slot->tts_isnull[position])
			row[i] = NAN;
		else if (column->kind == VALUE_FLOAT4 && !column->categories)
			row[i] = DatumGetFloat4(slot->tts_values[position]);	/* as it is, and the most frequent */
		else
			row[i] = value_feature(column->kind, column->categories, slot->tts_values[position]);
	}
	return true;
}

/* ---- jsonb ---- */

/* What to_jsonb() makes of numbers that JSON does not have. */
static bool
special_number(const JsonbValue *value, double *number)
{
	static const struct
	{
		const char *name;
		double		number;
	}			specials[] = {
		{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}
	};

	for (int i = 0; i < lengthof(specials); i++)
	{
		*number = specials[i].number;
		if (value->val.string.len == strlen(specials[i].name) &&
			memcmp(value->val.string.val, specials[i].name, value->val.string.len) == 0)
			return true;
	}
	return false;
}

/* One member of a JSON object as a feature.  False: it cannot be one. */
static bool
json_feature(const VersionFeature *feature, const JsonbValue *value, float *result,
			 Problem *problem)
{
	const CategoryMap *categories = feature->categories;
	bool		by_name = categories && category_map_is_text(categories);
	double		number;

	switch (value->type)
	{
		case jbvNull:
			*result = get_float4_nan();
			return true;
		case jbvNumeric:
			number = value_of_numeric(value->val.numeric);
			break;
		case jbvBool:
			number = value->val.boolean ? 1 : 0;
			break;
		case jbvString:
			if (by_name)
			{
				*result = category_of_text(categories, value->val.string.val, value->val.string.len);
				return true;
			}
			if (special_number(value, &number))
				break;
			problem_set(problem, ERRCODE_DATATYPE_MISMATCH,
						psprintf("feature \"%s\" is a JSON string, a number is expected", feature->name),
						feature->categorical && !categories ?
						psprintf("Register the artifact again with categories => '{\"%s\": [...]}', or give the category's code.", feature->name) :
						"Write numbers without quotation marks, dates and timestamps as seconds since 1970, null for a missing value.");
			return false;
		default:
			problem_set(problem, ERRCODE_DATATYPE_MISMATCH,
						psprintf("feature \"%s\" is a JSON object or array, a number is expected", feature->name),
						"Features are members of the top-level object.");
			return false;
	}
	*result = value_number_feature(by_name ? NULL : categories, number);
	return true;
}

/*
 * Features of a JSON object.  null is missing; a member that is not there is
 * a problem, since a misspelt one would change the score unnoticed.
 *
 * Problems: 42703 features without a member, 42804 not a number, 22023 not an
 * object, 55000 the version has no feature names.
 */
bool
bind_jsonb(const Version *version, const Jsonb *jsonb, float *row, Problem *problem)
{
	bool	   *unmatched = NULL;

	if (!has_names(version, problem))
		return false;
	if (!JB_ROOT_IS_OBJECT(jsonb))
	{
		problem_set(problem, ERRCODE_INVALID_PARAMETER_VALUE,
					"the transaction must be a JSON object",
					"For example '{\"amount\": 12.5, \"hour\": 3}'::jsonb.");
		return false;
	}
	for (int i = 0; i < version->num_features; i++)
	{
		const VersionFeature *feature = &version->features[i];
		JsonbValue	buffer;
		JsonbValue *value = member_of(jsonb, feature->name, &buffer);

		if (value)
		{
			if (!json_feature(feature, value, &row[i], problem))
				return false;
		}
		else
		{
			if (!unmatched)
				unmatched = palloc0(sizeof(bool) * version->num_features);
			unmatched[i] = true;
		}
	}
	return !unmatched || has_all(version, unmatched, "member in the JSON object",
								 "Members are matched by name, letter case included. Write null for a value that is missing.",
								 problem);
}

/* ---- arrays ---- */

/*
 * Features of an array in feature order; categories are codes.
 *
 * Problems: 42804 not numbers, 2202E not as many as there are features.
 */
bool
bind_array(const Version *version, ArrayType *array, float *row, Problem *problem)
{
	Oid			element = ARR_ELEMTYPE(array);
	ValueKind	kind = value_kind(element);
	int			count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (kind == VALUE_UNSUPPORTED || value_is_text(kind))
	{
		problem_set(problem, ERRCODE_DATATYPE_MISMATCH,
					psprintf("cannot score an array of %s", format_type_be(element)),
					"Pass real[] or double precision[]; categorical features as the codes of their categories.");
		return false;
	}
	if (ARR_NDIM(array) > 1 || count != version->num_features)
	{
		problem_set(problem, ERRCODE_ARRAY_SUBSCRIPT_ERROR,
					ARR_NDIM(array) > 1 ?
					"the transaction must be an array of one dimension" :
					psprintf("the transaction has %d elements, version \"%s\" of model \"%s\" has %d features",
							 count, version->name, version->model, version->num_features),
					"Give one element for each feature, in the model's order; NULL is missing.");
		return false;
	}

	if (!ARR_HASNULL(array) && kind == VALUE_FLOAT4)
		memcpy(row, ARR_DATA_PTR(array), sizeof(float) * count);
	else if (!ARR_HASNULL(array) && kind == VALUE_FLOAT8)
	{
		const float8 *values = (const float8 *) ARR_DATA_PTR(array);

		for (int i = 0; i < count; i++)
			row[i] = (float) values[i];
	}
	else
	{
		Datum	   *values;
		bool	   *nulls;
		int16		length;
		bool		by_value;
		char		alignment;

		get_typlenbyvalalign(element, &length, &by_value, &alignment);
		deconstruct_array(array, element, length, by_value, alignment, &values, &nulls, &count);
		for (int i = 0; i < count; i++)
			row[i] = nulls[i] ? get_float4_nan() : value_feature(kind, NULL, values[i]);
	}
	return true;
}
