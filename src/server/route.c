/*
 * route.c
 *		The route of a model: whom a canary or a shadow gets, and what a score
 *		leads to.
 *
 * catalog.c reads it, with the statement's snapshot.  A process remembers what it
 * has read, with the state of the tables (changes.c): as long as snapshots see
 * that state, reading again would find the same.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "catalog.h"
#include "changes.h"
#include "compat.h"
#include "route.h"
#include "value.h"

/* Routes that a process remembers. */
#define MAX_REMEMBERED	64

typedef struct RememberedRoute
{
	struct RememberedRoute *next;
	char	   *model;
	MemoryContext context;		/* holds all of this */
	Route		route;
} RememberedRoute;

static RememberedRoute *remembered = NULL;
static int	num_remembered = 0;
static uint64 remembered_generation = 0;

/* ---- what is remembered ---- */

static char *
copy_name(const char *name)
{
	return name ? pstrdup(name) : NULL;
}

/* Copy a route into the current memory context. */
static void
copy_route(Route *to, const Route *from)
{
	*to = *from;
	if (from->num_shadows > 0)
	{
		to->shadows = palloc(sizeof(RoutedVersion) * from->num_shadows);
		memcpy(to->shadows, from->shadows, sizeof(RoutedVersion) * from->num_shadows);
	}
	to->entity_id = copy_name(from->entity_id);
	to->event_time = copy_name(from->event_time);
	if (from->num_cohorts > 0)
		to->cohorts = palloc(sizeof(char *) * from->num_cohorts);
	for (int i = 0; i < from->num_cohorts; i++)
		to->cohorts[i] = pstrdup(from->cohorts[i]);
	if (from->bands)
		to->bands = (Jsonb *) DatumGetPointer(datumCopy(PointerGetDatum(from->bands), false, -1));
}

/* Take a route off the list. */
static void
forget(RememberedRoute **link)
{
	RememberedRoute *route = *link;

	*link = route->next;
	num_remembered--;
	MemoryContextDelete(route->context);
}

/* Remember a route, of a state that no other one of the model has. */
static void
remember(const char *model, const Route *route)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk route",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	RememberedRoute *entry = palloc(sizeof(RememberedRoute));

	entry->model = pstrdup(model);
	entry->context = context;
	copy_route(&entry->route, route);
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(context, TopMemoryContext);
	entry->next = remembered;
	remembered = entry;
	num_remembered++;
}

/* The remembered route of a model, or NULL; one of another state is forgotten. */
static const Route *
recall(const char *model, uint64 state)
{
	RememberedRoute **link = &remembered;
	uint64		generation = catalog_route_generation();

	if (remembered_generation != generation || num_remembered > MAX_REMEMBERED)
	{
		while (remembered)
			forget(&remembered);
		remembered_generation = generation;
	}
	while (*link)
	{
		if (strcmp((*link)->model, model) != 0)
			link = &(*link)->next;
		else if ((*link)->route.state != state)
			forget(link);
		else
			return &(*link)->route;
	}
	return NULL;
}

/*
 * The roles of a model's versions and its settings, as the active snapshot sees
 * them, in the caller's memory.  Errors: 42704 no such model.
 */
void
route_read(const char *model, Route *route)
{
	uint64		state = 0;
	bool		seen = changes_seen(GetActiveSnapshot(), &state);
	const Route *known = seen ? recall(model, state) : NULL;

	if (known)
	{
		copy_route(route, known);
		return;
	}
	catalog_read_route(model, route);
	route->seen = seen;
	route->state = state;
	route->generation = remembered_generation;
	if (seen)
		remember(model, route);
}

/* Would the active snapshot see the route that was read? */
bool
route_is_same(const Route *route)
{
	uint64		state;

	return route->seen && changes_seen(GetActiveSnapshot(), &state) && route->state == state &&
		route->generation == catalog_route_generation();
}

/* ---- what it says ---- */

const char *
route_role_name(VersionRole role)
{
	static const char *const names[] = {"champion", "canary", "shadow", "fallback"};

	return names[role];
}

/* Say that nobody decides. */
void
route_no_champion(const char *model, Problem *problem)
{
	problem_set(problem, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				psprintf("model \"%s\" has no champion", model),
				"Make a registered version the champion with risk.promote(), or name one with version => '...'.");
}

/*
 * Where an entity stands between 0 and 100: a canary of that many per cent of
 * the traffic decides those that stand below.  The hash is the one of hash
 * partitioning, so an entity keeps its place from release to release; another
 * salt gives another order.  SQL's hashtextextended() is the same hash.
 */
static double
entity_percent(const char *entity, int length, int64 salt)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) entity, length, (uint64) salt);

	return (double) (hash >> 11) * (100.0 / (UINT64CONST(1) << 53));
}

/* Is an entity among these per cent?  One that is not known (NULL) is only
 * where all are. */
bool
route_selects(double percent, int64 salt, const char *entity)
{
	if (percent >= 100)
		return true;
	return entity && entity_percent(entity, strlen(entity), salt) < percent;
}

/* The action of the band that a score falls into; NULL: none. */
char *
route_action(const Route *route, double score)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;
	char	   *action = NULL;
	double		highest = 0;

	if (!route->bands)
		return NULL;
	iterator = JsonbIteratorInit(&route->bands->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && value.type == jbvNumeric)
		{
			double		bound = value_of_numeric(value.val.numeric);

			if (score >= bound && (!action || bound > highest))
			{
				action = key;
				highest = bound;
			}
		}
	}
	return action;
}

PG_FUNCTION_INFO_V1(risk_entity_percent);

/* risk.entity_percent(entity_id, salt) */
Datum
risk_entity_percent(PG_FUNCTION_ARGS)
{
	text	   *entity = PG_GETARG_TEXT_PP(0);

	PG_RETURN_FLOAT8(entity_percent(VARDATA_ANY(entity), VARSIZE_ANY_EXHDR(entity),
										  PG_GETARG_INT64(1)));
}
