/*
 * decide.c
 *		A transaction scored along the route of its model: by the champion, or
 *		by the canary if it is the one for this entity; logged, and scored by the
 *		shadows, as the model's settings say.
 *
 * What a call site needs (versions, matches of the row type, buffers) is
 * resolved at its first call in a statement and kept.  A statement
 * is told from the next one by its snapshot: the route is read with that
 * snapshot, so as long as the snapshot is the same, the route is.
 *
 * What is resolved outlives the statement: a client's next one likely makes the same
 * call, and takes the site over if it would find the same (resolved_before()).  Between
 * transactions a site pins nothing.
 *
 * Only the version that decides can fail a call.  A canary that cannot score
 * leaves the decision to the champion; shadows and failed canaries are logged
 * with their errors, and gates see them.  If the champion cannot score either,
 * the model's fallback score decides, if it has one.
 *
 * What can be foreseen to be wrong is a value (problem.h).  What cannot, an
 * error while rolling features are read from their table, is caught where the
 * version does not decide; not in parallel workers and their leaders, which
 * must not begin subtransactions: there it fails the call.
 */
#include "postgres.h"

#include "access/xact.h"
#include "optimizer/planner.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "catalog.h"
#include "clock.h"
#include "compat.h"
#include "decide.h"
#include "guc.h"
#include "prediction.h"
#include "queue.h"
#include "shadow.h"
#include "subject.h"

/*
 * What decides which rows of a table a statement sees.  Equal in two calls:
 * they see the same route.
 */
typedef struct Sight
{
	uint64		transaction;
	SubTransactionId subtransaction;
	TransactionId xmin;
	TransactionId xmax;
	uint32		xcnt;
	int32		subxcnt;
	CommandId	curcid;
	uint64		completions;
} Sight;

/* A version that may have to score at a call site. */
typedef struct Contender
{
	VersionRole role;
	RoutedVersion routed;
	Scorer		scorer;			/* its version is NULL if it cannot score: */
	Problem		problem;		/* this is why, for all transactions */
	const char *version;		/* name; NULL: not known */
	Binding    *binding;		/* of the last row type */
	Problem		unbound;		/* why this row type cannot be matched: */
	Oid			unbound_type;
	int32		unbound_typmod;
	bool		same_features;	/* as the first contender */
	float	   *buffer;

	/* of the transaction at hand */
	const float *features;		/* NULL: not made yet */
	double		score;
	float		latency_us;
} Contender;

struct CallSite
{
	MemoryContextCallback leave;
	CallSite   *next;			/* of those that are idle */
	CallKind	kind;
	InputKind	input;
	MemoryContext context;		/* holds what resolve() makes */
	MemoryContext row_context;	/* in it: what is made for a row type */
	Sight		sight;
	text	   *model;			/* as given in the last call */
	text	   *version_name;	/* NULL: the route decides */

	/* what resolve() makes */
	bool		resolved;		/* all of it */
	bool		has_route;
	Route		route;
	const char *model_name;
	int			num_contenders;
	Contender  *contenders;		/* the champion or the version named, the canary
								 * if there is one, the shadows if they are
								 * logged */
	Contender  *canary;			/* NULL: none */
	bool		logs;			/* some transactions are logged */
	QueueCounters *counters;
	bool		warned;			/* of the fallback score, in this statement */
	SubjectReader *reader;		/* of the row type: */
	Oid			reader_type;
	int32		reader_typmod;
	TupleTableSlot *row;		/* for rows that a binding is of: */
	const Binding *row_of;		/* NULL: not made yet */

	/* of the transaction at hand */
	TupleTableSlot *slot;		/* with its row; NULL: not in one yet */
};

/* The transaction at hand, and what came of it. */
typedef struct Turn
{
	const Input *input;
	Subject		subject;
	Contender  *chosen;			/* who was to decide */
	Problem		canary_problem; /* why the canary that was chosen could not */
	Problem		problem;		/* why the champion could not */
} Turn;

/* ---- planning ---- */

/* The planner evaluates a score of constants to estimate how many rows a
 * condition leaves: nobody sees that score, so it is no prediction. */
static int	planning = 0;
static planner_hook_type previous_planner = NULL;

static PlannedStmt *
plan_quietly(Query *query, const char *text, int options, ParamListInfo parameters)
{
	PlannedStmt *plan;

	planning++;
	PG_TRY();
	{
		plan = (previous_planner ? previous_planner : standard_planner) (query, text, options, parameters);
	}
	PG_FINALLY();
	{
		planning--;
	}
	PG_END_TRY();
	return plan;
}

void
decide_init(void)
{
	previous_planner = planner_hook;
	planner_hook = plan_quietly;
}

/* ---- statements ---- */

static void
take_sight(Sight *sight)
{
	Snapshot	snapshot = GetActiveSnapshot();

	sight->transaction = version_transaction();
	sight->subtransaction = GetCurrentSubTransactionId();
	sight->xmin = snapshot->xmin;
	sight->xmax = snapshot->xmax;
	sight->xcnt = snapshot->xcnt;
	sight->subxcnt = snapshot->subxcnt;
	sight->curcid = snapshot->curcid;
	sight->completions = snapshot->snapXactCompletionCount;
}

static bool
same_sight(const Sight *a, const Sight *b)
{
	return a->transaction == b->transaction &&
		a->subtransaction == b->subtransaction &&
		a->xmin == b->xmin && a->xmax == b->xmax &&
		a->xcnt == b->xcnt && a->subxcnt == b->subxcnt &&
		a->curcid == b->curcid && a->completions == b->completions;
}

static bool
same_text(const text *a, const text *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

static text *
copy_text(const text *value)
{
	return value ? (text *) DatumGetPointer(datumCopy(PointerGetDatum(value), false, -1)) : NULL;
}

/* Get a version ready; what is wrong with it is noted.  Runs in the call
 * site's memory. */
static Contender *
add_contender(CallSite *site, VersionRole role, const RoutedVersion *routed, int positive_class)
{
	Contender  *contender = &site->contenders[site->num_contenders++];
	Contender  *first = site->contenders;
	VersionRow	row;

	memset(contender, 0, sizeof(Contender));
	contender->role = role;
	contender->routed = *routed;
	if (routed->version_id == 0)
	{
		route_no_champion(site->model_name, &contender->problem);
		return contender;
	}
	if (!scorer_open(&contender->scorer, routed->version_id, positive_class, &contender->problem))
	{
		if (catalog_read_version(routed->version_id, &row))
			contender->version = row.version;
		return contender;
	}
	contender->version = contender->scorer.version->name;
	contender->buffer = palloc(sizeof(float) * Max(contender->scorer.version->num_features, 1));
	contender->same_features = contender != first && first->scorer.version &&
		version_same_features(first->scorer.version, contender->scorer.version);
	return contender;
}

static bool
has_canary(const Route *route)
{
	return route->canary.version_id != 0 && route->canary.percent > 0;
}

/* Are some transactions of such calls logged? */
static bool
logs_calls(const Route *route, CallKind kind)
{
	return route->log != LOG_OFF && kind != CALL_UNLOGGED && (kind == CALL_TRIGGER || guc_log_queries);
}

/* The contenders of the route.  Runs in the call site's memory. */
static void
resolve_route(CallSite *site)
{
	Route	   *route = &site->route;

	route_read(site->model_name, route);
	site->logs = logs_calls(route, site->kind);
	site->contenders = palloc(sizeof(Contender) * (2 + route->num_shadows));
	add_contender(site, ROLE_CHAMPION, &route->champion, route->positive_class);
	if (has_canary(route))
		site->canary = add_contender(site, ROLE_CANARY, &route->canary, route->positive_class);
	if (site->logs)
	{
		for (int i = 0; i < route->num_shadows; i++)
			add_contender(site, ROLE_SHADOW, &route->shadows[i], route->positive_class);
	}
	if (site->logs || route->has_fallback)
		site->counters = queue_counters(site->model_name);
}

/*
 * Does one version decide upon all transactions of a query, with nothing to log?
 * Then which one, and the class whose probability is the score.
 *
 * Errors: 42704 no such model or version.
 */
bool
decide_alone(const text *model, const text *version_name, int64 *version_id, int *positive_class)
{
	Route		route;

	if (version_name)
	{
		catalog_read_settings(model, &route);
		*version_id = catalog_version(model, version_name);
		*positive_class = route.positive_class;
		return true;
	}
	route_read(text_to_cstring(model), &route);
	*version_id = route.champion.version_id;
	*positive_class = route.positive_class;
	return *version_id != 0 && !has_canary(&route) && !logs_calls(&route, CALL_QUERY);
}

/* Would a statement find what the site has resolved for another one?  Then the versions
 * are good for its transaction, too.  Matches of row types are looked at with each row,
 * but not why there is none. */
static bool
resolved_before(CallSite *site)
{
	if (!site->has_route || !route_is_same(&site->route) || site->logs != logs_calls(&site->route, site->kind))
		return false;
	for (int i = 0; i < site->num_contenders; i++)
	{
		Contender  *contender = &site->contenders[i];

		if (contender->unbound.sqlstate || !contender->scorer.version || !scorer_open_again(&contender->scorer))
			return false;
	}
	site->warned = false;
	return true;
}

/* Find the versions and make the buffers for them. */
static void
resolve(CallSite *site, const text *model, const text *version_name)
{
	MemoryContext caller;

	memset(&site->resolved, 0, sizeof(CallSite) - offsetof(CallSite, resolved));
	MemoryContextReset(site->context);
	caller = MemoryContextSwitchTo(site->context);
	site->row_context = AllocSetContextCreate(site->context, "pg_risk row type", ALLOCSET_SMALL_SIZES);
	site->model = copy_text(model);
	site->version_name = copy_text(version_name);
	site->model_name = text_to_cstring(model);
	site->has_route = version_name == NULL;
	if (version_name)
	{
		RoutedVersion named = {0};

		catalog_read_settings(model, &site->route);
		named.version_id = catalog_version(model, version_name);
		site->contenders = palloc(sizeof(Contender));
		add_contender(site, ROLE_CHAMPION, &named, site->route.positive_class);
	}
	else
		resolve_route(site);
	MemoryContextSwitchTo(caller);
	site->resolved = true;
}

/* ---- call sites ---- */

/* What a call has resolved is kept when its statement ends, since another one like
 * it is likely: the first is the one that ended last. */
#define MAX_IDLE		16
static CallSite *idle = NULL;

/* The statement of a site has ended. */
static void
leave(void *arg)
{
	CallSite   *site = arg;
	int			count = 0;

	site->next = idle;
	idle = site;
	for (CallSite **link = &idle; *link; link = &(*link)->next)
	{
		if (++count <= MAX_IDLE)
			continue;
		site = *link;
		*link = NULL;
		MemoryContextDelete(site->context);
		pfree(site);
		return;
	}
}

/* Take an idle site that has been resolved for such calls; NULL: there is none. */
static CallSite *
take_idle(CallKind kind, InputKind input, const text *model, const text *version_name)
{
	for (CallSite **link = &idle; *link; link = &(*link)->next)
	{
		CallSite   *site = *link;

		if (site->kind == kind && site->input == input && site->resolved &&
			same_text(model, site->model) && same_text(version_name, site->version_name))
		{
			*link = site->next;
			site->sight.transaction = 0;	/* none: to be looked at anew */
			return site;
		}
	}
	return NULL;
}

/* The call site of a function or trigger in a statement that is good as long as this
 * memory. */
CallSite *
decide_call_site(MemoryContext statement, CallKind kind, InputKind input, const text *model, const text *version_name)
{
	CallSite   *site = take_idle(kind, input, model, version_name);

	if (!site)
	{
		site = MemoryContextAllocZero(TopMemoryContext, sizeof(CallSite));
		site->context = AllocSetContextCreate(TopMemoryContext, "pg_risk call site", ALLOCSET_SMALL_SIZES);
		site->kind = kind;
		site->input = input;
	}
	site->leave = (MemoryContextCallback) {.func = leave,.arg = site};
	MemoryContextRegisterResetCallback(statement, &site->leave);
	return site;
}

InputKind
decide_input_kind(const CallSite *site)
{
	return site->input;
}

/*
 * Make sure that what the call site has resolved is what this call is about.
 * There may be no snapshot yet, as in a domain's check after
 * COMMIT in a procedure.
 *
 * Errors: 42704 no such model or version.
 */
void
decide_prepare(CallSite *site, const text *model, const text *version_name)
{
	bool		push = !ActiveSnapshotSet();
	Sight		sight;

	if (push)
		PushActiveSnapshot(GetTransactionSnapshot());
	take_sight(&sight);
	if (!site->resolved || !same_text(model, site->model) || !same_text(version_name, site->version_name) ||
		(!same_sight(&sight, &site->sight) && !resolved_before(site)))
		resolve(site, model, version_name);
	site->sight = sight;
	if (push)
		PopActiveSnapshot();
}

/* ---- one transaction ---- */

/* Match a row's type with the features; what is wrong is remembered. */
static bool
bind_contender(CallSite *site, Contender *contender, const Input *input, Problem *problem)
{
	MemoryContext caller;

	if (contender->binding && bind_is_current(contender->binding, input->type, input->typmod))
		return true;
	if (!contender->unbound.sqlstate || contender->unbound_type != input->type ||
		contender->unbound_typmod != input->typmod)
	{
		site->reader = NULL;
		contender->binding = bind_row_type(contender->scorer.version, input->type, input->typmod, problem);
		if (contender->binding &&
			(site->kind != CALL_TRIGGER || bind_is_stored(contender->binding, contender->scorer.version, problem)))
			return true;
		contender->binding = NULL;
		caller = MemoryContextSwitchTo(site->context);
		problem_copy(&contender->unbound, problem);
		MemoryContextSwitchTo(caller);
		contender->unbound_type = input->type;
		contender->unbound_typmod = input->typmod;
	}
	*problem = contender->unbound;
	return false;
}

/* Put the row into a slot.  Calls that are made meanwhile, by the policies of what is
 * looked up, have theirs. */
static TupleTableSlot *
bound_slot(CallSite *site, const Binding *binding, const Input *input)
{
	MemoryContext caller;

	if (site->row_of != binding)
	{
		/* What was made for another row type, of a statement before it maybe, goes. */
		site->row_of = NULL;
		site->reader = NULL;
		MemoryContextReset(site->row_context);
		caller = MemoryContextSwitchTo(site->row_context);
		site->row = bind_make_slot(binding);
		site->row_of = binding;
		MemoryContextSwitchTo(caller);
	}
	return ExecStoreHeapTuple(input->tuple, site->row, false);
}

/* Match the row with a contender's features, and put it into a slot. */
static bool
take_row(CallSite *site, Contender *contender, const Input *input, Problem *problem)
{
	if (!contender->scorer.version)
	{
		*problem = contender->problem;
		return false;
	}
	if (!bind_contender(site, contender, input, problem))
		return false;
	if (!site->slot)
		site->slot = bound_slot(site, contender->binding, input);
	return true;
}

/* bind_features() where an error is a problem, but for those by which the
 * transaction is to end: it was cancelled, or cannot be serialized. */
static bool
try_features(CallSite *site, Contender *contender, const Input *input, Problem *problem)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool made = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		made = bind_features(contender->binding, site->slot, &input->view, contender->buffer, problem);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		problem_of_error(problem, error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return made;
}

/* Features that another contender has made and that are the same; or NULL. */
static const float *
shared_features(const CallSite *site, const Contender *contender)
{
	const Contender *champion = &site->contenders[0];

	if (contender != champion)
		return contender->same_features ? champion->features : NULL;
	return site->canary && site->canary->same_features ? site->canary->features : NULL;
}

/* Make the features of the transaction at hand.  decides: errors are errors. */
static bool
make_features(CallSite *site, Contender *contender, const Input *input, bool decides, Problem *problem)
{
	bool		made = true;

	if (!contender->features)
		contender->features = shared_features(site, contender);
	if (contender->features)
		return true;
	if (!contender->scorer.version)
	{
		*problem = contender->problem;
		return false;
	}
	switch (input->kind)
	{
		case INPUT_ROW:
			made = take_row(site, contender, input, problem);
			if (!made)
				break;
			if (decides || !bind_looks_up(contender->binding) || IsInParallelMode())
				made = bind_features(contender->binding, site->slot, &input->view, contender->buffer, problem);
			else
				made = try_features(site, contender, input, problem);
			break;
		case INPUT_JSONB:
			made = bind_jsonb(contender->scorer.version, input->jsonb, contender->buffer, problem);
			break;
		case INPUT_ARRAY:
			made = bind_array(contender->scorer.version, input->array, contender->buffer, problem);
			break;
	}
	if (made)
		contender->features = contender->buffer;
	return made;
}

/* Score the transaction at hand.  decides: nobody stands in. */
static bool
score(CallSite *site, Contender *contender, const Input *input, bool decides, bool want_score, Problem *problem)
{
	if (!make_features(site, contender, input, decides, problem))
		return false;
	if (site->logs)
		return scorer_time(&contender->scorer, contender->features, &contender->score, &contender->latency_us, problem);
	scorer_margins(&contender->scorer, contender->features);
	return !want_score || scorer_score(&contender->scorer, &contender->score, problem);
}

/* A row in a slot that no version could be matched with. */
static TupleTableSlot *
unbound_slot(const Input *input)
{
	TupleDesc	tupdesc = lookup_rowtype_tupdesc_copy(input->type, input->typmod);

	return ExecStoreHeapTuple(input->tuple, MakeSingleTupleTableSlot(tupdesc, &TTSOpsHeapTuple), false);
}

/* Whom the transaction at hand is about. */
static void
read_subject(CallSite *site, const Input *input, Subject *subject)
{
	if (input->kind == INPUT_JSONB)
		subject_of_jsonb(&site->route, input->jsonb, subject);
	else if (input->kind == INPUT_ARRAY)
		subject_unknown(&site->route, subject);
	else
	{
		if (!site->slot)
			site->slot = unbound_slot(input);
		if (!site->reader || site->reader_type != input->type || site->reader_typmod != input->typmod)
		{
			MemoryContext caller = MemoryContextSwitchTo(site->row_context);

			site->reader = subject_reader(&site->route, site->slot->tts_tupleDescriptor);
			site->reader_type = input->type;
			site->reader_typmod = input->typmod;
			MemoryContextSwitchTo(caller);
		}
		subject_of_row(site->reader, &site->route, site->slot, subject);
	}
}

/* ---- logging ---- */

/* What a contender made of the transaction at hand: its score, or, if there is
 * a problem, none. */
static Outcome
outcome_of(const Contender *contender, const Problem *problem)
{
	return (Outcome)
	{
		.role = contender->role,
			.scored = problem->sqlstate == 0,
			.score = contender->score,
			.latency_us = contender->latency_us,
			.version_id = contender->routed.version_id,
			.version = contender->version,
			.output = contender->scorer.output,
			.error = problem->message,
			.features = contender->features,
			.num_features = contender->features ? contender->scorer.version->num_features : 0
	};
}

/* The outcome of a contender that does not decide: scored now, or left for the
 * worker to score. */
static Outcome
outcome_beside(CallSite *site, Contender *contender, const Input *input, bool now)
{
	Problem		problem = {0};
	Outcome		outcome;

	if (now)
		(void) score(site, contender, input, false, true, &problem);
	else
		(void) make_features(site, contender, input, false, &problem);
	outcome = outcome_of(contender, &problem);
	if (!now && problem.sqlstate == 0)
	{
		outcome.scored = false;
		outcome.pending = true;
	}
	return outcome;
}

/* Log a decision: with the transaction that is running, or by way of the
 * queue. */
static void
log_decision(CallSite *site, const Turn *turn, const Decision *decision)
{
	bool		now = site->kind == CALL_TRIGGER && site->route.log == LOG_TRANSACTIONAL;
	Outcome    *outcomes = palloc(sizeof(Outcome) * (site->num_contenders + 1));
	ScoredTransaction transaction = {
		.model = site->model_name,
		.subject = turn->subject,
		.scored_at = clock_now(),
		.in_trigger = site->kind == CALL_TRIGGER,
		.log_features = site->route.log_features,
		.outcomes = outcomes
	};
	int			n = 0;

	if (decision->role == ROLE_FALLBACK)
		outcomes[n++] = (Outcome)
	{
		.role = ROLE_FALLBACK,.scored = true,.score = decision->score,.error = turn->problem.message
	};
	else if (decision->role == ROLE_CANARY)
	{
		outcomes[n] = outcome_beside(site, &site->contenders[0], turn->input, now);
		outcomes[n++].reference = true;
	}
	else
		outcomes[n++] = outcome_of(&site->contenders[0], &(Problem) {0});
	if (turn->chosen->role == ROLE_CANARY)
		outcomes[n++] = outcome_of(turn->chosen, &turn->canary_problem);
	for (int i = 1; i < site->num_contenders; i++)
	{
		Contender  *contender = &site->contenders[i];

		if (contender->role == ROLE_SHADOW &&
			route_selects(contender->routed.percent, contender->routed.salt, turn->subject.entity))
			outcomes[n++] = outcome_beside(site, contender, turn->input, now);
	}
	transaction.num_outcomes = n;
	if (now)
		prediction_write(&transaction, 1);
	else
	{
		/* In a trigger something will be written: it stands or falls with that. */
		transaction.xid = site->kind == CALL_TRIGGER ? GetCurrentTransactionId() : GetCurrentTransactionIdIfAny();
		if (!TransactionIdIsValid(transaction.xid))
			transaction.xid = GetTopTransactionIdIfAny();
		shadow_enqueue(&transaction, site->counters);
	}
	pfree(outcomes);
}

/* ---- deciding ---- */

/* No version can score: the fallback score, or the error that it is. */
static void
fall_back(CallSite *site, bool want_score, const Problem *problem, Decision *decision)
{
	if (!site->has_route || !site->route.has_fallback || !want_score)
		problem_raise(problem);
	if (!site->warned)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("no version of model \"%s\" can score: its fallback score decides", site->model_name),
				 errdetail_internal("%s", problem->message),
				 errhint("SELECT * FROM risk.open_alerts; risk.alter_model(..., on_missing => 'error') makes this an error.")));
	site->warned = true;
	queue_count(site->counters, COUNT_FALLBACKS, 1);
	decision->role = ROLE_FALLBACK;
	decision->scorer = NULL;
	decision->score = site->route.fallback_score;
}

/*
 * Score a transaction, after decide_prepare(), and log it if the model wants it.
 * want_score: not only margins.
 *
 * Errors: why the deciding version cannot score; see bind.c, scorer.c and
 * version.c.
 */
void
decide(CallSite *site, const Input *input, bool want_score, Decision *decision)
{
	Contender  *champion = &site->contenders[0];
	Turn		turn = {.input = input,.chosen = champion};

	site->slot = NULL;
	for (int i = 0; i < site->num_contenders; i++)
		site->contenders[i].features = NULL;

	if (site->canary || site->logs)
	{
		/* The champion's match is likely there; any way will do. */
		if (input->kind == INPUT_ROW)
			(void) take_row(site, champion, input, &(Problem) {0});
		read_subject(site, input, &turn.subject);
		if (site->canary &&
			route_selects(site->canary->routed.percent, site->canary->routed.salt, turn.subject.entity))
			turn.chosen = site->canary;
	}

	if (turn.chosen != champion && !score(site, turn.chosen, input, false, want_score, &turn.canary_problem))
		*decision = (Decision) {ROLE_CHAMPION, &champion->scorer, 0, NULL};
	else
		*decision = (Decision) {turn.chosen->role, &turn.chosen->scorer, turn.chosen->score, turn.chosen->features};

	if (decision->role == ROLE_CHAMPION)
	{
		if (score(site, champion, input, true, want_score, &turn.problem))
		{
			decision->score = champion->score;
			decision->features = champion->features;
		}
		else
			fall_back(site, want_score, &turn.problem, decision);
	}
	if (site->logs && planning == 0 && route_selects(site->route.log_percent, 0, turn.subject.entity))
		log_decision(site, &turn, decision);
}

/* What a score leads to by the model's bands; NULL: it has none, or a version
 * was named. */
char *
decide_action(const CallSite *site, double score)
{
	return site->has_route ? route_action(&site->route, score) : NULL;
}
