/*
 * identity.c
 *		The ids of events: which were seen in a window, and how long ago.
 *
 * Events with one id are linked to each other, once for all windows: an event
 * that comes into a window brings a new id unless the one before it is in
 * there, and one that goes takes its id along unless the one after it is.
 */
#include "engine.h"
#include "../forest/pure.h"

#define LEAST_TABLE		16

/* ---- the table of latest events ---- */

/* The place of an id, or the free one where it would go. */
static Latest *
place_of(const Identity *identity, uint64_t id)
{
	uint64_t	hash = id * UINT64_C(0x9E3779B97F4A7C15);
	uint64_t	i = (hash ^ hash >> 32) & identity->table_mask;

	while (identity->table[i].event != NO_EVENT && identity->table[i].id != id)
		i = (i + 1) & identity->table_mask;
	return &identity->table[i];
}

/* A new table, of the ids that are not forgotten, at most half full with one
 * more.  False: no memory. */
static bool
rebuild(Rolling *r, Identity *identity)
{
	Identity	old = *identity;
	uint64_t	places = old.table != NULL ? old.table_mask + 1 : 0;
	uint64_t	kept = 1;
	uint64_t	size = LEAST_TABLE;
	uint64_t	i;

	for (i = 0; i < places; i++)
		kept += old.table[i].event >= r->first;
	while (size < 2 * kept)
		size *= 2;
	identity->table = r->spec.resize(r->spec.context, NULL, size * sizeof(Latest));
	if (identity->table == NULL)
	{
		identity->table = old.table;
		return false;
	}
	identity->table_mask = size - 1;
	identity->table_used = kept - 1;
	for (i = 0; i < size; i++)
		identity->table[i].event = NO_EVENT;
	for (i = 0; i < places; i++)
		if (old.table[i].event >= r->first)
			*place_of(identity, old.table[i].id) = old.table[i];
	if (old.table != NULL)
		r->spec.resize(r->spec.context, old.table, 0);
	return true;
}

/* The latest event of an id before past, which may be too old to be kept;
 * NO_EVENT: there was none. */
static int64_t
latest_of(const Identity *identity, uint64_t id)
{
	if (id == ROLLING_NULL_ID || identity->table == NULL)
		return NO_EVENT;
	return place_of(identity, id)->event;
}

/* Link event past, which is the next in order, with those of its id.  False:
 * no memory. */
bool
identity_link(Rolling *r, Identity *identity, int64_t event)
{
	Link	   *link = &identity->links[event & r->mask];
	Latest	   *latest;

	link->previous = NO_EVENT;
	link->following = INT64_MAX;
	if (link->id == ROLLING_NULL_ID)
		return true;
	if ((identity->table == NULL || 4 * identity->table_used >= 3 * identity->table_mask) &&
		!rebuild(r, identity))
		return false;
	latest = place_of(identity, link->id);
	identity->table_used += latest->event == NO_EVENT;
	if (latest->event >= r->first)
	{
		link->previous = latest->event;
		identity->links[latest->event & r->mask].following = event;
	}
	latest->id = link->id;
	latest->event = event;
	return true;
}

/* ---- the decayed distinct count ---- */

/* a - b, or the least number if that is below. */
static int64_t
minus(int64_t a, int64_t b)
{
	int64_t		result;

	return __builtin_sub_overflow(a, b, &result) ? INT64_MIN : result;
}

/* A moment rounded down to a multiple of a step. */
static int64_t
round_down(int64_t time, int64_t step)
{
	int64_t		rest = time % step;

	return minus(time, rest < 0 ? rest + step : rest);
}

/* What an event weighs, as of the feature's anchor. */
static double
weight(const Rolling *r, const Feature *f, int64_t event)
{
	return exp((double) (time_of(r, event) - f->anchor) / (double) f->what.tau);
}

/* Move the feature to a moment with another anchor: all weights are new.  An
 * event is weighed at most 64 / 16 + 1 times. */
static void
weigh_anew(Rolling *r, Feature *f, const Window *w, int64_t oldest)
{
	const Link *links = r->identities[f->what.column].links;
	int64_t		i;

	exact_init(&f->sum);
	while (f->begin < w->end && time_of(r, f->begin) < oldest)
		f->begin++;
	for (i = f->begin; i < w->end; i++)
	{
		const Link *link = &links[i & r->mask];

		if (link->id != ROLLING_NULL_ID && link->following >= w->end)
			exact_add(&f->sum, weight(r, f, i));
	}
	f->end = w->end;
}

/* The same with the anchor as it was: weigh what came and what went. */
static void
weigh_changes(Rolling *r, Feature *f, const Window *w, int64_t oldest)
{
	const Link *links = r->identities[f->what.column].links;

	for (; f->end < w->end; f->end++)
	{
		const Link *link = &links[f->end & r->mask];

		if (link->id == ROLLING_NULL_ID)
			continue;
		if (link->previous >= f->begin)
			exact_subtract(&f->sum, weight(r, f, link->previous));
		exact_add(&f->sum, weight(r, f, f->end));
	}
	for (; f->begin < f->end && time_of(r, f->begin) < oldest; f->begin++)
	{
		const Link *link = &links[f->begin & r->mask];

		if (link->id != ROLLING_NULL_ID && link->following >= f->end)
			exact_subtract(&f->sum, weight(r, f, f->begin));
	}
}

/* The decayed distinct count at a moment; own: the id of its event, or NULL. */
double
identity_decayed(Rolling *r, Feature *f, const Window *w, uint64_t own)
{
	const Identity *identity = &r->identities[f->what.column];
	int64_t		anchor = round_down(r->now, ROLLING_DECAY_STEP * f->what.tau);
	int64_t		oldest = minus(r->now, ROLLING_DECAY_LIMIT * f->what.tau);
	int64_t		seen = latest_of(identity, own);
	double		sum;

	oldest = oldest > w->lower ? oldest : w->lower;
	if (anchor != f->anchor)
	{
		f->anchor = anchor;
		weigh_anew(r, f, w, oldest);
	}
	else
		weigh_changes(r, f, w, oldest);

	while (seen >= w->end)
		seen = identity->links[seen & r->mask].previous;
	if (seen >= f->begin)
		exact_subtract(&f->sum, weight(r, f, seen));
	sum = exact_sum(&f->sum) * exp(-(double) (r->now - anchor) / (double) f->what.tau);
	if (seen >= f->begin)
		exact_add(&f->sum, weight(r, f, seen));
	return sum + (own != ROLLING_NULL_ID);
}
