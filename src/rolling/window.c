/*
 * window.c
 *		The history of a key and the windows that move over it.
 *
 * A moment asked about moves each window to its bounds: amortised one step at
 * each end for each event.  Counts, sums and averages of columns in fixed
 * point need no more than these ends; a window with other features is busy and
 * shows them each event that comes and goes.
 */
#include "engine.h"
#include "../forest/pure.h"

#define LEAST_EVENTS	64

/* ---- life ---- */

static void *
allocate(Rolling *r, size_t count, size_t width)
{
	void	   *block = r->spec.resize(r->spec.context, NULL, count > 0 ? count * width : 1);

	if (block != NULL)
		memset(block, 0, count * width);
	return block;
}

static void
release(Rolling *r, void *block)
{
	if (block != NULL)
		r->spec.resize(r->spec.context, block, 0);
}

static bool
of_ids(const RollingFeature *f)
{
	return f->aggregate == ROLLING_DISTINCT || f->aggregate == ROLLING_DECAYED_DISTINCT;
}

static bool
of_values(const RollingFeature *f)
{
	return f->aggregate != ROLLING_COUNT && f->aggregate != ROLLING_SINCE_LAST && !of_ids(f);
}

static bool
is_extreme(const RollingFeature *f)
{
	return f->aggregate == ROLLING_MIN || f->aggregate == ROLLING_MAX;
}

/* Whether a feature has to see the events of its window come and go. */
static bool
follows_events(const Rolling *r, const RollingFeature *f)
{
	switch (f->aggregate)
	{
		case ROLLING_SUM:
		case ROLLING_AVG:
			return r->columns[f->column].wide;
		case ROLLING_STDDEV:
		case ROLLING_MIN:
		case ROLLING_MAX:
		case ROLLING_LAST:
		case ROLLING_DISTINCT:
			return true;
		default:
			return false;
	}
}

/* Whether all that the features name is there. */
static bool
spec_is_sound(const RollingSpec *spec)
{
	uint32_t	i;

	for (i = 0; i < spec->num_features; i++)
	{
		const RollingFeature *f = &spec->features[i];

		if (f->window >= spec->num_windows || (uint32_t) f->aggregate > ROLLING_DECAYED_DISTINCT ||
			(of_values(f) && f->column >= spec->num_columns) ||
			(of_ids(f) && f->column >= spec->num_id_columns) ||
			(f->aggregate == ROLLING_DECAYED_DISTINCT &&
			 (f->tau <= 0 || f->tau > ROLLING_MAX_TAU)))
			return false;
	}
	for (i = 0; i < spec->num_columns && spec->divisors != NULL; i++)
		if (spec->divisors[i] == 0 || spec->divisors[i] >> 63 != 0)
			return false;
	return spec->num_windows > 0;
}

/*
 * Move an array of elements by event number from places & mask to places &
 * new_mask of a new one; elements from .. to - 1 are kept.  array points to the
 * pointer to it.
 */
static bool
regrow(Rolling *r, void *array, size_t width, int64_t from, int64_t to, int64_t new_mask)
{
	char	   *old;
	char	   *new = allocate(r, (size_t) new_mask + 1, width);
	int64_t		i;

	if (new == NULL)
		return false;
	memcpy(&old, array, sizeof(old));
	for (i = from; i < to; i++)
		memcpy(new + (size_t) (i & new_mask) * width, old + (size_t) (i & r->mask) * width, width);
	release(r, old);
	memcpy(array, &new, sizeof(new));
	return true;
}

/* Make room for so many events, a power of two.  Times and cells have one more
 * element than there are events, except before the first time. */
static bool
set_capacity(Rolling *r, int64_t capacity)
{
	int64_t		mask = capacity - 1;
	int64_t		end = r->times != NULL ? r->next + 1 : r->first;
	bool		done;
	uint32_t	i;

	done = regrow(r, &r->times, sizeof(int64_t), r->first, end, mask);
	for (i = 0; i < r->spec.num_columns && done; i++)
		done = regrow(r, &r->columns[i].cells, sizeof(Cell), r->first, end, mask);
	for (i = 0; i < r->spec.num_id_columns && done; i++)
		done = regrow(r, &r->identities[i].links, sizeof(Link), r->first, r->next, mask);
	for (i = 0; i < r->spec.num_features && done; i++)
		if (is_extreme(&r->features[i].what))
			done = regrow(r, &r->features[i].queue, sizeof(int64_t),
						  r->features[i].head, r->features[i].tail, mask);
	r->mask = mask;
	for (i = 0; i < r->spec.num_columns && done && capacity > MOST_FIXED; i++)
		if (!r->columns[i].wide)
			column_widen(r, i);
	return done;
}

/* The arrays that an engine begins with; features in the order of aggregates. */
static bool
set_up(Rolling *r)
{
	const RollingSpec *spec = &r->spec;
	uint32_t	n = 0;
	int			aggregate;
	uint32_t	i;

	r->columns = allocate(r, spec->num_columns, sizeof(Column));
	r->identities = allocate(r, spec->num_id_columns, sizeof(Identity));
	r->windows = allocate(r, spec->num_windows, sizeof(Window));
	r->features = allocate(r, spec->num_features, sizeof(Feature));
	if (r->columns == NULL || r->identities == NULL || r->windows == NULL || r->features == NULL)
		return false;
	for (i = 0; i < spec->num_columns; i++)
		r->columns[i].divisor = spec->divisors != NULL ? spec->divisors[i] : 1;
	for (aggregate = 0; aggregate <= ROLLING_DECAYED_DISTINCT; aggregate++)
	{
		for (i = 0; i < spec->num_features; i++)
			if (spec->features[i].aggregate == (RollingAggregate) aggregate)
			{
				r->features[n].what = spec->features[i];
				r->features[n++].place = i;
			}
		if (aggregate == ROLLING_COUNT)
			r->sums = n;
		if (aggregate == ROLLING_SUM)
			r->others = n;
	}
	return set_capacity(r, LEAST_EVENTS);
}

Rolling *
rolling_create(const RollingSpec *spec)
{
	Rolling    *r;

	if (!spec_is_sound(spec))
		return NULL;
	r = spec->resize(spec->context, NULL, sizeof(Rolling));
	if (r == NULL)
		return NULL;
	memset(r, 0, sizeof(*r));
	r->spec = *spec;
	if (!set_up(r))
	{
		rolling_free(r);
		return NULL;
	}
	rolling_reset(r);
	return r;
}

void
rolling_free(Rolling *r)
{
	uint32_t	i;

	for (i = 0; r->columns != NULL && i < r->spec.num_columns; i++)
		release(r, r->columns[i].cells);
	for (i = 0; r->identities != NULL && i < r->spec.num_id_columns; i++)
	{
		release(r, r->identities[i].links);
		release(r, r->identities[i].table);
	}
	for (i = 0; r->features != NULL && i < r->spec.num_features; i++)
		release(r, r->features[i].queue);
	release(r, r->columns);
	release(r, r->identities);
	release(r, r->windows);
	release(r, r->lower);
	release(r, r->upper);
	release(r, r->ends);
	release(r, r->features);
	release(r, r->times);
	release(r, r);
}

/* A feature has seen no event yet, the next is this. */
static void
forget(Feature *f, int64_t event)
{
	f->head = f->tail = 0;
	f->last = NO_EVENT;
	f->distinct = 0;
	f->begin = f->end = event;
	exact_init(&f->sum);
	exact_init(&f->squares);
}

/* Numbers go on to one that is at the arrays' beginning, which is in the cache
 * if keys are short.  Its cell keeps what it holds: only differences count. */
void
rolling_reset(Rolling *r)
{
	uint32_t	i;

	r->next = (r->next + r->mask) & ~r->mask;
	r->first = r->past = r->next;
	r->times[0] = INT64_MAX;
	r->now = r->latest = INT64_MIN;
	for (i = 0; i < r->spec.num_columns; i++)
	{
		r->columns[i].base = FIRST_BASE;
		r->columns[i].refits = 0;
		r->columns[i].wide = r->mask >= MOST_FIXED;
	}
	r->oldest = INT64_MIN;
	for (i = 0; i < r->spec.num_windows; i++)
		r->windows[i] = (Window) {INT64_MIN, INT64_MIN, r->next, r->next, false};
	for (i = 0; i < r->spec.num_features; i++)
	{
		forget(&r->features[i], r->next);
		r->windows[r->features[i].what.window].busy |= follows_events(r, &r->features[i].what);
	}
}

size_t
rolling_num_events(const Rolling *r)
{
	return (size_t) (r->next - r->first);
}

/* ---- asking ---- */

/* Time does not go back, no bound is above the next, and events that a lower
 * bound comes back to are still kept. */
static bool
in_order(const Rolling *r, int64_t time, const int64_t *lower, const int64_t *upper)
{
	bool		held = time >= r->now;
	uint32_t	i;

	for (i = 0; i < r->spec.num_windows; i++)
	{
		int64_t		end = upper != NULL ? upper[i] : time;

		held &= r->oldest <= lower[i] && lower[i] <= end && end <= time;
	}
	return held;
}

/* An event comes into a feature's window: by 1; it goes out: by -1. */
static void
follow(Rolling *r, uint32_t window, int64_t event, int by)
{
	const Window *w = &r->windows[window];
	uint32_t	i;

	for (i = 0; i < r->spec.num_features; i++)
	{
		Feature    *f = &r->features[i];

		if (f->what.window != window)
			continue;
		if (f->what.aggregate == ROLLING_DISTINCT)
		{
			const Link *link = &r->identities[f->what.column].links[event & r->mask];

			if (link->id != ROLLING_NULL_ID &&
				(by > 0 ? link->previous < w->begin : link->following >= w->end))
				f->distinct += by;
		}
		else if (of_values(&f->what))
			(by > 0 ? column_enter : column_leave) (r, f, event);
	}
}

/* Move a busy window to its bounds. */
static void
move_busy(Rolling *r, uint32_t window)
{
	Window	   *w = &r->windows[window];

	for (; time_of(r, w->end) < w->upper; w->end++)
		follow(r, window, w->end, 1);
	for (; time_of(r, w->begin) < w->lower; w->begin++)
		follow(r, window, w->begin, -1);
}

/* A bound of a window goes back: it begins anew with the events that are kept. */
static void
go_back(Rolling *r, uint32_t window)
{
	uint32_t	i;

	r->windows[window].begin = r->windows[window].end = r->first;
	for (i = 0; i < r->spec.num_features; i++)
		if (r->features[i].what.window == window)
			forget(&r->features[i], r->first);
}

/*
 * The first event from a place on that is not before a time; there is one, the
 * mark behind the last.  How many steps it takes, mostly 0 to 2, cannot be
 * foreseen: these do without a branch, and none waits for the one before.
 */
static inline int64_t
find(const Rolling *r, int64_t event, int64_t time)
{
	bool		first = time_of(r, event) < time;
	bool		second = first & (time_of(r, event + 1) < time);
	bool		third = second & (time_of(r, event + 2) < time);

	event += first + second + third;
	while (third && time_of(r, event) < time)
		event++;
	return event;
}

/* Move a window to its bounds. */
static inline void
move(Rolling *r, uint32_t window)
{
	Window	   *w = &r->windows[window];

	if (w->busy)
	{
		move_busy(r, window);
		return;
	}
	w->end = w->upper == r->now ? r->past : find(r, w->end, w->upper);
	w->begin = find(r, w->begin, w->lower);
}

/* Number of the values in a window. */
static inline int64_t
num_values(const Rolling *r, uint32_t column, const Window *w)
{
	return cell_of(r, column, w->end)->count - cell_of(r, column, w->begin)->count;
}

/* The sum of a column. */
static inline double
sum(const Rolling *r, const Feature *f, const Window *w)
{
	const Column *column = &r->columns[f->what.column];
	Total		total;
	int64_t		high;

	if (column->wide)
		return exact_avg(&f->sum, column->divisor);
	if (column->divisor == 1 && is_short_total(r, f->what.column, w, &high))
		return scale((double) high, column->base + 64);
	total = total_of(r, f->what.column, w);
	if (column->divisor != 1)
		return round_quotient(total.negative, total.high, total.low, column->base, false, column->divisor);
	return round_number(total.negative, total.high, total.low, column->base, false);
}

/* The average of n > 0 values. */
static double
average(const Rolling *r, const Feature *f, const Window *w, int64_t n)
{
	const Column *column = &r->columns[f->what.column];
	Total		total = total_of(r, f->what.column, w);

	if (column->wide)
		return exact_avg(&f->sum, (uint64_t) n);
	return round_quotient(total.negative, total.high, total.low, column->base, false, (uint64_t) n);
}

/* The value of a feature that needs at least one of its column, or NaN. */
static double
result_of_values(const Rolling *r, const Feature *f, const Window *w, bool *null)
{
	int64_t		n = num_values(r, f->what.column, w);

	*null = n < (f->what.aggregate == ROLLING_STDDEV ? 2 : 1);
	if (*null)
		return NAN;
	switch (f->what.aggregate)
	{
		case ROLLING_AVG:
			return average(r, f, w, n);
		case ROLLING_STDDEV:
			return column_stddev(r, f, w, n);
		case ROLLING_LAST:
			return f->value;
		default:				/* minimum, maximum */
			return cell_of(r, f->what.column, f->queue[f->head & r->mask])->value;
	}
}

/* Seconds since the latest event of a window, or NaN. */
static double
since_last(const Rolling *r, const Window *w, bool *null)
{
	*null = w->begin == w->end;
	if (*null)
		return NAN;
	return (double) ((uint64_t) r->now - (uint64_t) time_of(r, w->end - 1)) / 1e6;
}

/* The result of a feature that is neither a count nor a sum. */
static double
other_result(Rolling *r, const RollingEvent *event, Feature *f, const Window *w, bool *null)
{
	*null = false;
	switch (f->what.aggregate)
	{
		case ROLLING_SINCE_LAST:
			return since_last(r, w, null);
		case ROLLING_DISTINCT:
			return (double) f->distinct;
		case ROLLING_DECAYED_DISTINCT:
			return identity_decayed(r, f, w, event->ids != NULL ? event->ids[f->what.column] : ROLLING_NULL_ID);
		default:
			return result_of_values(r, f, w, null);
	}
}

/* All results; the features are in the order of their aggregates. */
static inline void
answer(Rolling *r, const RollingEvent *event, double *results, bool *nulls)
{
	uint32_t	i;

	for (i = 0; i < r->sums; i++)
	{
		const Feature *f = &r->features[i];
		const Window *w = &r->windows[f->what.window];

		nulls[f->place] = false;
		results[f->place] = (double) (w->end - w->begin);
	}
	for (; i < r->others; i++)
	{
		const Feature *f = &r->features[i];

		nulls[f->place] = false;
		results[f->place] = sum(r, f, &r->windows[f->what.window]);
	}
	for (; i < r->spec.num_features; i++)
	{
		Feature    *f = &r->features[i];

		results[f->place] = other_result(r, event, f, &r->windows[f->what.window], &nulls[f->place]);
	}
}

RollingStatus
rolling_ask(Rolling *r, const RollingEvent *event, const int64_t *lower, const int64_t *upper,
			double *results, bool *nulls)
{
	int64_t		first = INT64_MAX;
	int64_t		oldest = INT64_MAX;
	uint32_t	i;

	if (!in_order(r, event->time, lower, upper))
		return ROLLING_DISORDER;
	r->now = event->time;
	for (; time_of(r, r->past) < r->now; r->past++)
		for (i = 0; i < r->spec.num_id_columns; i++)
			if (!identity_link(r, &r->identities[i], r->past))
				return ROLLING_NO_MEMORY;
	for (i = 0; i < r->spec.num_windows; i++)
	{
		Window	   *w = &r->windows[i];
		int64_t		end = upper != NULL ? upper[i] : r->now;

		if (lower[i] < w->lower || end < w->upper)
			go_back(r, i);
		w->lower = lower[i];
		w->upper = end;
		move(r, i);
		first = w->begin < first ? w->begin : first;
		oldest = w->lower < oldest ? w->lower : oldest;
	}
	r->first = first;
	r->oldest = oldest;
	answer(r, event, results, nulls);
	return ROLLING_OK;
}

double
rolling_change(double current, double previous)
{
	return previous != 0 ? (current - previous) / previous + 0.0 : NAN;	/* not -0 */
}

/* ---- adding ---- */

/* Put a value, or none, into the cell of the latest event, and what stands
 * before the next into the cell after it. */
static inline void
put(Rolling *r, uint32_t column, double value, bool null)
{
	Column	   *c = &r->columns[column];
	Cell	   *cell = cell_of(r, column, r->next - 1);
	Cell	   *after = cell_of(r, column, r->next);
	uint128		total = (uint128) cell->total[1] << 64 | cell->total[0];
	uint128		amount = 0;
	bool		fits = null || c->wide || to_fixed(value, c->base, &amount);

	total += amount;
	cell->value = value + 0.0;	/* -0 becomes 0, its equal */
	after->count = cell->count + !null;
	after->total[0] = (uint64_t) total;
	after->total[1] = (uint64_t) (total >> 64);
	if (!fits && !column_refit(r, column))
		column_widen(r, column);
}

static inline RollingStatus
add(Rolling *r, const RollingEvent *event)
{
	uint32_t	i;

	if (event->time < r->now || event->time < r->latest)
		return ROLLING_DISORDER;
	/* One element is for what stands before the event to come, and the mark. */
	if (r->next - r->first >= r->mask && !set_capacity(r, 2 * (r->mask + 1)))
		return ROLLING_NO_MEMORY;
	r->latest = event->time;
	r->times[r->next & r->mask] = event->time;
	for (i = 0; i < r->spec.num_id_columns; i++)
		r->identities[i].links[r->next & r->mask].id = event->ids[i];
	r->next++;
	r->times[r->next & r->mask] = INT64_MAX;
	for (i = 0; i < r->spec.num_columns; i++)
		put(r, i, event->values[i], event->nulls != NULL && event->nulls[i]);
	return ROLLING_OK;
}

RollingStatus
rolling_add(Rolling *r, const RollingEvent *event)
{
	return add(r, event);
}

/* ---- many events ---- */

/* What only blocks need.  False: no memory. */
static bool
set_up_block(Rolling *r)
{
	if (r->ends == NULL)
	{
		r->lower = allocate(r, r->spec.num_windows, sizeof(int64_t));
		r->upper = allocate(r, r->spec.num_windows, sizeof(int64_t));
		r->ends = allocate(r, r->spec.num_windows, ROLLING_BLOCK * sizeof(Ends));
	}
	return r->lower != NULL && r->upper != NULL && r->ends != NULL;
}

/* The bound of a window; what is too early for a number becomes too late. */
static inline int64_t
before(int64_t time, int64_t offset)
{
	return (int64_t) ((uint64_t) time - (uint64_t) offset);
}

/* An event of a block. */
static inline RollingEvent
event_of(const RollingSpec *spec, const RollingBlock *block, size_t i)
{
	return (RollingEvent) {block->times[i], block->values + i * spec->num_columns,
		block->nulls + i * spec->num_columns,
		spec->num_id_columns > 0 ? block->ids + i * spec->num_id_columns : NULL};
}

/* Whether all features come from the ends of windows, none of which goes back at
 * the first time of a block. */
static bool
only_ends(const Rolling *r, int64_t time, const RollingOffsets *offsets)
{
	bool		held = r->spec.num_id_columns == 0;
	uint32_t	i;

	for (i = 0; i < r->spec.num_windows; i++)
	{
		const Window *w = &r->windows[i];
		int64_t		lower = before(time, offsets[i].lower);
		int64_t		upper = before(time, offsets[i].upper);

		held &= !w->busy && w->lower <= lower && w->upper <= upper && lower <= upper && upper <= time;
	}
	return held;
}

/* Where the windows are at each event of a block: event by event, as the windows do
 * not wait for each other. */
static void
move_along(Rolling *r, const RollingBlock *block, const RollingOffsets *offsets)
{
	uint32_t	k;
	size_t		i;

	for (i = 0; i < block->count; i++)
	{
		int64_t		time = block->times[i];

		r->past = find(r, r->past, time);
		for (k = 0; k < r->spec.num_windows; k++)
		{
			Window	   *w = &r->windows[k];

			w->begin = find(r, w->begin, time - offsets[k].lower);
			w->end = offsets[k].upper == 0 ? r->past : find(r, w->end, time - offsets[k].upper);
			r->ends[k * ROLLING_BLOCK + i] = (Ends) {w->begin, w->end};
		}
	}
}

/* The results of a feature at the events of a block. */
static void
answer_along(Rolling *r, uint32_t feature, const RollingBlock *block)
{
	Feature    *f = &r->features[feature];
	const Ends *ends = &r->ends[f->what.window * ROLLING_BLOCK];
	uint32_t	each = r->spec.num_features;
	double	   *results = block->results + f->place;
	size_t		i;

	if (feature < r->sums)
		for (i = 0; i < block->count; i++)
			results[i * each] = (double) (ends[i].end - ends[i].begin);
	else if (feature < r->others)
		for (i = 0; i < block->count; i++)
			results[i * each] = sum(r, f, &(Window) {.begin = ends[i].begin,.end = ends[i].end});
	else
		for (i = 0; i < block->count; i++)
		{
			r->now = block->times[i];
			results[i * each] = other_result(r, NULL, f, &(Window) {.begin = ends[i].begin,.end = ends[i].end},
											 &block->no_results[i * each + f->place]);
		}
}

/* All features of the events of a block, which are in the history. */
static void
answer_block(Rolling *r, const RollingBlock *block, const RollingOffsets *offsets)
{
	uint32_t	i;

	move_along(r, block, offsets);
	memset(block->no_results, false, block->count * r->spec.num_features);
	for (i = 0; i < r->spec.num_features; i++)
		answer_along(r, i, block);
	r->now = r->oldest = block->times[block->count - 1];
	r->first = r->past;
	for (i = 0; i < r->spec.num_windows; i++)
	{
		Window	   *w = &r->windows[i];

		w->lower = r->now - offsets[i].lower;
		w->upper = r->now - offsets[i].upper;
		r->first = w->begin < r->first ? w->begin : r->first;
		r->oldest = w->lower < r->oldest ? w->lower : r->oldest;
	}
}

RollingStatus
rolling_pass(Rolling *r, const RollingBlock *block, const RollingOffsets *offsets)
{
	const RollingSpec *spec = &r->spec;
	RollingStatus status = set_up_block(r) ? ROLLING_OK : ROLLING_NO_MEMORY;
	RollingEvent event;
	uint32_t	k;
	size_t		i;

	for (i = 0; i < block->count && status == ROLLING_OK; i++)
	{
		event = event_of(spec, block, i);
		status = add(r, &event);
	}
	if (status == ROLLING_OK && block->count > 0 && only_ends(r, block->times[0], offsets))
	{
		answer_block(r, block, offsets);
		return ROLLING_OK;
	}
	for (i = 0; i < block->count && status == ROLLING_OK; i++)
	{
		event = event_of(spec, block, i);
		for (k = 0; k < spec->num_windows; k++)
		{
			r->lower[k] = before(event.time, offsets[k].lower);
			r->upper[k] = before(event.time, offsets[k].upper);
		}
		status = rolling_ask(r, &event, r->lower, r->upper, block->results + i * spec->num_features,
							 block->no_results + i * spec->num_features);
	}
	return status;
}
