/*
 * rolling.c
 *		Rolling features as window functions: risk.rolling_count(ts, interval)
 *		OVER (PARTITION BY key ORDER BY ts), and the others.
 *
 * Results do not depend on the frame clause: the functions see to their windows
 * themselves, and where there is none the planner is spared the default one.  They
 * go over a partition once, in its order, which must be that of the time argument;
 * a row without a time has no result and is no event.
 *
 * The engine lives as long as the query, and forgets its events when another
 * partition begins: what is there of a partition is in its local memory.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "optimizer/clauses.h"
#include "optimizer/planner.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "windowapi.h"

#include "compat.h"
#include "rolling_decimal.h"
#include "rolling_names.h"
#include "rolling_run.h"
#include "rolling_table.h"

/* Rows after which the partition is told that the earlier ones are not needed. */
#define ROWS_OF_A_MARK	1024

#define NO_ARG		(-1)

/* What a function computes, and which argument is what. */
typedef struct Shape
{
	RollingAggregate aggregate;
	bool		change;			/* from the previous window */
	bool		decimal;		/* the value is numeric, and kept aside */
	int			value;			/* of the aggregate, or its id */
	int			time;
	int			window;
	int			delay;
	int			tau;
	int			aggregates;		/* several of them */
} Shape;

/* fn_extra: for as long as the query runs, or its windows stay the same. */
typedef struct Call
{
	RollingRun *run;
	MemoryContext context;
	bool		fixed;			/* windows and the like cannot change between rows */
	bool		ordered;		/* the ORDER BY is known to tell times apart */
	TupleDesc	result;			/* if it is a row */
	RollingDecimal *decimal;
} Call;

/* A partition's local memory, zero at its beginning. */
typedef struct Partition
{
	bool		begun;
	int64		rows;			/* seen, with a time */
	int64		position;		/* of the latest of them */
	int64		time;
} Partition;

/* ---- arguments ---- */

static const char *
function_name(FunctionCallInfo fcinfo)
{
	return get_func_name(fcinfo->flinfo->fn_oid);
}

/* An argument that must not be NULL. */
static Datum
needed(FunctionCallInfo fcinfo, int arg, const char *what)
{
	bool		null;
	Datum		value = WinGetFuncArgCurrent(PG_WINDOW_OBJECT(), arg, &null);

	if (null)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of risk.%s() must not be null", what, function_name(fcinfo))));
	return value;
}

/* The windows: an interval, or an array of them. */
static Interval *
get_windows(FunctionCallInfo fcinfo, const Shape *shape, int *count)
{
	Datum		value = needed(fcinfo, shape->window, "window");
	Interval   *windows;
	Datum	   *elements;
	bool	   *nulls;
	int			i;

	*count = 1;
	if (get_fn_expr_argtype(fcinfo->flinfo, shape->window) == INTERVALOID)
		windows = DatumGetIntervalP(value);
	else
	{
		ArrayType  *array = DatumGetArrayTypeP(value);

		deconstruct_array(array, INTERVALOID, sizeof(Interval), false, TYPALIGN_DOUBLE,
						  &elements, &nulls, count);
		if (ARR_NDIM(array) != 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("windows of risk.%s() must be an array of one dimension with at least one interval",
							function_name(fcinfo)),
					 errhint("Write for example '{1 hour,1 day,7 days}'.")));
		windows = palloc(*count * sizeof(Interval));
		for (i = 0; i < *count; i++)
		{
			if (nulls[i])
				ereport(ERROR,
						(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						 errmsg("window of risk.%s() must not be null", function_name(fcinfo))));
			windows[i] = *DatumGetIntervalP(elements[i]);
		}
	}
	for (i = 0; i < *count; i++)
		rolling_check_window(&windows[i]);
	return windows;
}

/* The aggregates that are asked for. */
static RollingAggregate *
get_aggregates(FunctionCallInfo fcinfo, const Shape *shape, int *count)
{
	RollingAggregate *aggregates;
	Datum	   *names;
	bool	   *nulls;

	deconstruct_array(DatumGetArrayTypeP(needed(fcinfo, shape->aggregates, "aggregates")),
					  TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, count);
	aggregates = palloc((*count + 1) * sizeof(RollingAggregate));
	for (int i = 0; i < *count; i++)
	{
		RollingItem item;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("aggregate of risk.%s() must not be null", function_name(fcinfo))));
		item = rolling_item_named(TextDatumGetCString(names[i]), NULL);
		aggregates[i] = item.aggregate;
		if (item.change || item.condition || (!rolling_takes_value(item.aggregate) && item.aggregate != ROLLING_COUNT))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("risk.%s() does not have aggregate \"%s\"", function_name(fcinfo), item.name),
					 errhint("It has count and the aggregates of values; use the window function of that name.")));
	}
	return aggregates;
}

/* All that must be the same in all rows. */
static RollingRunSpec
read_spec(FunctionCallInfo fcinfo, const Shape *shape)
{
	RollingRunSpec spec = {.time_type = get_fn_expr_argtype(fcinfo->flinfo, shape->time)};
	int			count;
	Interval   *widths = get_windows(fcinfo, shape, &count);
	Interval	delay = {0};
	int64		tau = 0;
	RollingAggregate one = shape->aggregate;
	RollingAggregate *aggregates = &one;
	int			num_aggregates = 1;
	RollingWindow *windows = palloc0((count + shape->change) * sizeof(RollingWindow));
	RollingColumn *column = palloc0(sizeof(RollingColumn));
	RollingAsked *features;

	if (shape->delay != NO_ARG)
	{
		delay = *DatumGetIntervalP(needed(fcinfo, shape->delay, "delay"));
		rolling_check_delay(&delay);
	}
	if (shape->tau != NO_ARG)
		tau = rolling_check_tau(DatumGetIntervalP(needed(fcinfo, shape->tau, "tau")));
	if (shape->aggregates != NO_ARG)
		aggregates = get_aggregates(fcinfo, shape, &num_aggregates);
	features = palloc0(count * num_aggregates * sizeof(RollingAsked));
	for (int i = 0; i < count; i++)
		windows[i] = (RollingWindow) {widths[i], delay, false};
	for (int k = 0; k < num_aggregates; k++)
		for (int i = 0; i < count; i++)
			features[spec.num_features++] = (RollingAsked) {aggregates[k], shape->change, i, 0, tau};
	if (shape->change)
		windows[count] = (RollingWindow) {widths[0], delay, true};
	spec.num_windows = count + shape->change;
	spec.windows = windows;
	spec.features = features;
	if (shape->value != NO_ARG)
		*column = (RollingColumn) {get_fn_expr_argtype(fcinfo->flinfo, shape->value), PG_GET_COLLATION()};
	spec.ids = spec.values = column;
	spec.num_ids = shape->value != NO_ARG && rolling_takes_id(shape->aggregate);
	spec.num_values = shape->value != NO_ARG && !shape->decimal && !spec.num_ids;
	return spec;
}

/* Whether two specs ask the same; types are those of the expression. */
static bool
same_spec(const RollingRunSpec *a, const RollingRunSpec *b)
{
	if (a->num_windows != b->num_windows || a->num_features != b->num_features)
		return false;
	for (int i = 0; i < a->num_windows; i++)
		if (memcmp(&a->windows[i].width, &b->windows[i].width, sizeof(Interval)) != 0 ||
			memcmp(&a->windows[i].delay, &b->windows[i].delay, sizeof(Interval)) != 0)
			return false;
	for (int i = 0; i < a->num_features; i++)
		if (a->features[i].aggregate != b->features[i].aggregate ||
			a->features[i].tau != b->features[i].tau)
			return false;
	return true;
}

static bool
is_fixed(FunctionCallInfo fcinfo, int arg)
{
	return arg == NO_ARG || get_fn_expr_arg_stable(fcinfo->flinfo, arg);
}

/* What the query keeps, made with its first row. */
static Call *
begin_call(FunctionCallInfo fcinfo, const Shape *shape)
{
	Call	   *call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Call));
	RollingRunSpec spec = read_spec(fcinfo, shape);

	call->context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "pg_risk windows",
										  ALLOCSET_DEFAULT_SIZES);
	call->run = rolling_run_create(call->context, &spec, 1);
	call->fixed = is_fixed(fcinfo, shape->window) && is_fixed(fcinfo, shape->delay) &&
		is_fixed(fcinfo, shape->tau) && is_fixed(fcinfo, shape->aggregates);
	if (shape->aggregates != NO_ARG)
	{
		MemoryContext before = MemoryContextSwitchTo(call->context);

		if (get_call_result_type(fcinfo, NULL, &call->result) == TYPEFUNC_COMPOSITE)
			call->result = BlessTupleDesc(CreateTupleDescCopy(call->result));
		MemoryContextSwitchTo(before);
	}
	if (shape->decimal)
		call->decimal = rolling_decimal_create(call->context);
	fcinfo->flinfo->fn_extra = call;
	return call;
}

/*
 * What the query keeps, for a row.  Windows that are not constants may be others in
 * another partition, as when a lateral subquery runs again.
 */
static Call *
get_call(FunctionCallInfo fcinfo, const Shape *shape, Partition *partition)
{
	Call	   *call = fcinfo->flinfo->fn_extra;
	RollingRunSpec spec;

	if (call != NULL && !call->fixed)
	{
		spec = read_spec(fcinfo, shape);
		if (!same_spec(&spec, &call->run->spec))
		{
			if (partition->begun)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("windows of risk.%s() must be the same in all rows", function_name(fcinfo)),
						 errhint("Write one call for each window.")));
			MemoryContextDelete(call->context);
			pfree(call);
			call = NULL;
		}
	}
	partition->begun = true;
	return call != NULL ? call : begin_call(fcinfo, shape);
}

/* ---- rows ---- */

static void
refuse_order(FunctionCallInfo fcinfo, const Shape *shape, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_WINDOWING_ERROR),
			 errmsg("risk.%s() needs its rows in ascending order of its time argument", function_name(fcinfo)),
			 errdetail_internal("%s", detail),
			 errhint("Write risk.%s(%s\"time\", ...) OVER (PARTITION BY \"key\" ORDER BY \"time\").",
					 function_name(fcinfo), shape->value != NO_ARG ? "\"value\", " : "")));
}

/* See that rows come in the order of their times, by intent and not by luck:
 * rows that ORDER BY does not tell apart must be of one instant. */
static void
check_order(FunctionCallInfo fcinfo, const Shape *shape, Call *call, Partition *partition, int64 time)
{
	WindowObject winobj = PG_WINDOW_OBJECT();
	int64		position = WinGetCurrentPosition(winobj);

	if (partition->rows > 0 && time < partition->time)
		refuse_order(fcinfo, shape, "A row is earlier than the one before it.");
	if (partition->rows > 0 && time > partition->time && !call->ordered)
	{
		if (WinRowsArePeers(winobj, partition->position, position))
			refuse_order(fcinfo, shape, "Rows of different times are peers: there is no ORDER BY, or not by that time.");
		call->ordered = true;
	}
	if (call->ordered && position % ROWS_OF_A_MARK == 0)
		WinSetMarkPosition(winobj, position);
	partition->position = position;
	partition->time = time;
	partition->rows++;
}

/* The row's value into the fields of the run. */
static void
set_value(FunctionCallInfo fcinfo, const Shape *shape, Call *call)
{
	RollingRun *run = call->run;
	bool		null;
	Datum		value = WinGetFuncArgCurrent(PG_WINDOW_OBJECT(), shape->value, &null);

	if (run->spec.num_ids > 0)
		rolling_run_set_id(run, 0, 0, value, null);
	else
		rolling_run_set_value(run, 0, 0, value, null);
}

/* Have the results of the current row in call->run.  False: it has no time. */
static bool
step(FunctionCallInfo fcinfo, const Shape *shape, Call **made)
{
	WindowObject winobj = PG_WINDOW_OBJECT();
	Partition  *partition = WinGetPartitionLocalMemory(winobj, sizeof(Partition));
	Call	   *call = get_call(fcinfo, shape, partition);
	Datum		time;
	bool		null;

	*made = call;
	time = WinGetFuncArgCurrent(winobj, shape->time, &null);
	if (null)
		return false;
	if (partition->rows == 0)
	{
		rolling_run_reset(call->run);
		if (call->decimal != NULL)
			rolling_decimal_reset(call->decimal);
	}
	call->run->times[0] = rolling_time(time, call->run->spec.time_type);
	check_order(fcinfo, shape, call, partition, call->run->times[0]);
	if (shape->value != NO_ARG && !shape->decimal)
		set_value(fcinfo, shape, call);
	rolling_run_step(call->run, 1);
	return true;
}

/* ---- results ---- */

static Datum
to_datum(RollingAggregate aggregate, double result)
{
	if (rolling_result_type(aggregate) == INT8OID)
		return Int64GetDatum((int64) result);
	return Float8GetDatum(result);
}

static Datum
one_result(FunctionCallInfo fcinfo, const Shape *shape)
{
	Call	   *call;
	double		result;

	if (!step(fcinfo, shape, &call) || call->run->no_results[0])
		PG_RETURN_NULL();
	result = call->run->results[0];
	return shape->change ? Float8GetDatum(result) : to_datum(shape->aggregate, result);
}

StaticAssertDecl(FLOAT8PASSBYVAL, "int8 and float8 are elements of arrays as they are Datums");

/* An array of int8 or float8.  That without a NULL is made here: it is most of
 * what a call costs. */
static Datum
array_of_results(const RollingRun *run, int first, int count, Oid type)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + count * sizeof(Datum);
	ArrayType  *array = palloc(size);
	Datum	   *elements;

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = type;
	ARR_DIMS(array)[0] = count;
	ARR_LBOUND(array)[0] = 1;
	elements = (Datum *) ARR_DATA_PTR(array);
	for (int i = 0; i < count; i++)
		elements[i] = type == INT8OID ? Int64GetDatum((int64) run->results[first + i]) :
			Float8GetDatum(run->results[first + i]);
	if (memchr(&run->no_results[first], true, count) == NULL)
		return PointerGetDatum(array);
	return PointerGetDatum(construct_md_array(elements, &run->no_results[first], 1, ARR_DIMS(array),
											  ARR_LBOUND(array), type, sizeof(float8), FLOAT8PASSBYVAL,
											  TYPALIGN_DOUBLE));
}

static const Shape shape_of_many = {.value = 0,.time = 1,.window = 2,.aggregates = 3,.delay = NO_ARG,.tau = NO_ARG};

PG_FUNCTION_INFO_V1(risk_rolling_array);

/* (value, time, windows, aggregates) */
Datum
risk_rolling_array(PG_FUNCTION_ARGS)
{
	Call	   *call;

	if (!step(fcinfo, &shape_of_many, &call))
		PG_RETURN_NULL();
	return array_of_results(call->run, 0, call->run->spec.num_features, FLOAT8OID);
}

PG_FUNCTION_INFO_V1(risk_rolling_stats);

/* The same in columns; which were not asked for are NULL. */
Datum
risk_rolling_stats(PG_FUNCTION_ARGS)
{
	static const RollingAggregate columns[] = {
		ROLLING_COUNT, ROLLING_SUM, ROLLING_AVG, ROLLING_MIN, ROLLING_MAX, ROLLING_STDDEV, ROLLING_LAST
	};
	Datum		values[lengthof(columns)] = {0};
	bool		nulls[lengthof(columns)];
	const RollingRun *run;
	Call	   *call;

	if (!step(fcinfo, &shape_of_many, &call))
		PG_RETURN_NULL();
	run = call->run;
	memset(nulls, true, sizeof(nulls));
	for (int i = 0; i < run->spec.num_features; i += run->spec.num_windows)
		for (int k = 0; k < lengthof(columns); k++)
			if (columns[k] == run->spec.features[i].aggregate)
			{
				values[k] = array_of_results(run, i, run->spec.num_windows, rolling_result_type(columns[k]));
				nulls[k] = false;
			}
	return HeapTupleGetDatum(heap_form_tuple(call->result, values, nulls));
}

/* The sum of the numerics in the window, and how many they are; (value, time,
 * window, delay): the run gives the bounds.  False: the row has no time. */
static bool
decimal_sum(FunctionCallInfo fcinfo, Datum *sum, int64 *count)
{
	static const Shape shape = {.value = 0,.time = 1,.window = 2,.delay = 3,.tau = NO_ARG,
		.aggregates = NO_ARG,.aggregate = ROLLING_COUNT,.decimal = true};
	const RollingRun *run;
	Call	   *call;
	Datum		value;
	bool		null;

	if (!step(fcinfo, &shape, &call))
		return false;
	run = call->run;
	*sum = rolling_decimal_sum(call->decimal, run->lower[0], run->upper[0], count);
	rolling_decimal_forget(call->decimal, run->calendar ? run->held : run->lower[0]);
	value = WinGetFuncArgCurrent(PG_WINDOW_OBJECT(), shape.value, &null);
	if (!null)
		rolling_decimal_add(call->decimal, run->times[0], PointerGetDatum(PG_DETOAST_DATUM(value)));
	return true;
}

PG_FUNCTION_INFO_V1(risk_rolling_sum_decimal);
PG_FUNCTION_INFO_V1(risk_rolling_avg_decimal);

Datum
risk_rolling_sum_decimal(PG_FUNCTION_ARGS)
{
	Datum		sum;
	int64		count;

	if (!decimal_sum(fcinfo, &sum, &count))
		PG_RETURN_NULL();
	return sum;
}

Datum
risk_rolling_avg_decimal(PG_FUNCTION_ARGS)
{
	Datum		sum;
	int64		count;

	if (!decimal_sum(fcinfo, &sum, &count) || count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(rolling_decimal_avg(sum, count));
}

/* (time, window, delay), (value, time, window, delay), and so on */
#define ROLLING_FUNCTION(name, ...) \
	PG_FUNCTION_INFO_V1(name); \
	Datum name(PG_FUNCTION_ARGS) \
	{ \
		static const Shape shape = {__VA_ARGS__, .aggregates = NO_ARG}; \
		return one_result(fcinfo, &shape); \
	} \
	extern int	no_such_variable

#define OF_EVENTS	.value = NO_ARG, .time = 0, .window = 1, .tau = NO_ARG
#define OF_VALUES	.value = 0, .time = 1, .window = 2, .tau = NO_ARG

ROLLING_FUNCTION(risk_rolling_count, OF_EVENTS, .delay = 2, .aggregate = ROLLING_COUNT);
ROLLING_FUNCTION(risk_rolling_since_last, OF_EVENTS, .delay = NO_ARG, .aggregate = ROLLING_SINCE_LAST);
ROLLING_FUNCTION(risk_rolling_change_count, OF_EVENTS, .delay = 2, .aggregate = ROLLING_COUNT, .change = true);
ROLLING_FUNCTION(risk_rolling_change, OF_VALUES, .delay = 3, .aggregate = ROLLING_SUM, .change = true);
ROLLING_FUNCTION(risk_rolling_sum, OF_VALUES, .delay = 3, .aggregate = ROLLING_SUM);
ROLLING_FUNCTION(risk_rolling_avg, OF_VALUES, .delay = 3, .aggregate = ROLLING_AVG);
ROLLING_FUNCTION(risk_rolling_min, OF_VALUES, .delay = 3, .aggregate = ROLLING_MIN);
ROLLING_FUNCTION(risk_rolling_max, OF_VALUES, .delay = 3, .aggregate = ROLLING_MAX);
ROLLING_FUNCTION(risk_rolling_stddev, OF_VALUES, .delay = 3, .aggregate = ROLLING_STDDEV);
ROLLING_FUNCTION(risk_rolling_last, OF_VALUES, .delay = 3, .aggregate = ROLLING_LAST);
ROLLING_FUNCTION(risk_rolling_distinct, OF_VALUES, .delay = 3, .aggregate = ROLLING_DISTINCT);
ROLLING_FUNCTION(risk_decayed_distinct, .value = 0, .time = 1, .window = 2, .tau = 3, .delay = NO_ARG,
				 .aggregate = ROLLING_DECAYED_DISTINCT);

/* ---- the frame ---- */

/* Whether a function is one of these: all window functions of the library are. */
static bool
is_rolling(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	bool		is = false;
	bool		null;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (form->prolang == ClanguageId && form->prokind == PROKIND_WINDOW)
	{
		Datum		library = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_probin, &null);

		is = strcmp(TextDatumGetCString(library), "$libdir/pg_risk") == 0;
	}
	ReleaseSysCache(tuple);
	return is;
}

static create_upper_paths_hook_type previous_hook = NULL;

/*
 * The executor goes along with the end of a frame whether a function looks at it or
 * not, and that of the default frame costs a comparison with the row after, which is
 * a tenth of a query.  A window that only these functions are over gets a frame
 * whose ends are known; 16 lets PostgreSQL's own functions ask for the same.
 */
static void
simplify_frames(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input, RelOptInfo *output, void *extra)
{
	WindowFuncLists *functions;
	ListCell   *cell;
	ListCell   *function;

	if (previous_hook)
		previous_hook(root, stage, input, output, extra);
	if (stage != UPPERREL_WINDOW)
		return;
	functions = find_window_functions((Node *) root->processed_tlist, list_length(root->parse->windowClause));
	foreach(cell, root->parse->windowClause)
	{
		WindowClause *window = lfirst_node(WindowClause, cell);
		bool		simple = window->frameOptions == FRAMEOPTION_DEFAULTS;

		foreach(function, functions->windowFuncs[window->winref])
			simple = simple && is_rolling(lfirst_node(WindowFunc, function)->winfnoid);
		if (simple)
			window->frameOptions = FRAMEOPTION_NONDEFAULT | FRAMEOPTION_ROWS |
				FRAMEOPTION_START_UNBOUNDED_PRECEDING | FRAMEOPTION_END_CURRENT_ROW;
	}
}

void
rolling_init(void)
{
	previous_hook = create_upper_paths_hook;
	create_upper_paths_hook = simplify_frames;
}
