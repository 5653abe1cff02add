/*
 * measure_test.c
 *		Unit tests of the yardsticks (src/measure): against figures that other
 *		people's libraries computed of the same rows (measure_values.py), and
 *		against counting by brute force.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "material.h"
#include "measure.h"
#include "tap.h"

#define NUM_QUANTILES	7
#define LENGTH(array)	(sizeof(array) / sizeof((array)[0]))

static const double quantiles[NUM_QUANTILES] = {0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99};

/* What is expected of the scores of one version. */
typedef struct SideValues
{
	double		mean;
	double		quantiles[NUM_QUANTILES];
	double		auc[3];			/* and its interval */
	double		average_precision;
	double		review[2];		/* precision, recall */
	size_t		flagged;
	size_t		true_positives;
	size_t		false_positives;
	double		loss;
} SideValues;

/* How rows are made, see make_rows(), and what is expected of them. */
typedef struct SetValues
{
	const char *name;
	uint64_t	seed;
	size_t		rows;
	uint32_t	levels;
	uint32_t	jitter;
	uint32_t	lift;
	int			shift;
	uint32_t	positives;		/* of 1000 rows, as are the next two */
	uint32_t	unknown;
	uint32_t	infinite;
	double		threshold;
	double		cost;
	double		review;
	double		checksum;
	SideValues	champion;
	SideValues	challenger;
	size_t		judged;
	size_t		positive_rows;
	size_t		only_champion;
	size_t		only_challenger;
	double		auc_difference[4];	/* value, low, high, p: MeasureEstimate */
	double		mean_shift[4];
	double		ks;
	double		psi;
	double		loss_difference[4];
} SetValues;

typedef struct KsValues
{
	size_t		n;
	size_t		m;
	int			percent;
	double		distance;
	double		limit;
	double		exact;			/* NAN: not known */
} KsValues;

typedef struct McnemarValues
{
	size_t		only_one;
	size_t		only_other;
	double		p;
} McnemarValues;

typedef struct ProportionValues
{
	size_t		hits;
	size_t		trials;
	double		low;
	double		high;
} ProportionValues;

#include "measure_values.h"

/* ---- rows ---- */

typedef struct Rows
{
	size_t		n;
	double	   *champion;
	double	   *challenger;
	int8_t	   *labels;
	double	   *amounts;
} Rows;

static Rows
allocate_rows(size_t n)
{
	return (Rows) {
		n, allocate(n * sizeof(double)), allocate(n * sizeof(double)),
			allocate(n), allocate(n * sizeof(double))
	};
}

static double
make_score(const SetValues *set, uint32_t base)
{
	uint32_t	kind = random_below(1000);
	double		value = (base + random_below(set->jitter)) / 1024.0;

	return kind < set->infinite ? -INFINITY : kind < 2 * set->infinite ? INFINITY : value;
}

/* The same rows as make_rows() of measure_values.py. */
static Rows
make_rows(const SetValues *set)
{
	Rows		rows = allocate_rows(set->rows);
	size_t		i;

	random_state = set->seed;
	for (i = 0; i < rows.n; i++)
	{
		bool		positive = random_below(1000) < set->positives;
		bool		known = random_below(1000) >= set->unknown;
		uint32_t	base = random_below(set->levels) + (positive ? set->lift : 0);
		uint32_t	amount;

		rows.labels[i] = known ? positive : MEASURE_UNKNOWN;
		rows.champion[i] = make_score(set, base);
		rows.challenger[i] = make_score(set, base) + set->shift / 1024.0;
		amount = random_below(10);
		rows.amounts[i] = amount ? amount * amount / 4.0 : NAN;
	}
	return rows;
}

/* Rows in the order of their values. */
static MeasureRank *
in_order(const double *values, size_t n)
{
	MeasureRank *order = allocate(n * sizeof(MeasureRank));
	MeasureRank *scratch = allocate(n * sizeof(MeasureRank));

	if (!measure_order(values, n, order, scratch))
		ok(false, "values are ordered");
	return order;
}

/* ---- comparing ---- */

/* Both alike but for rounding, or both not a number. */
static bool
same(double got, double expected)
{
	return (isnan(got) && isnan(expected)) || got == expected ||
		fabs(got - expected) <= 1e-13 + 1e-11 * fabs(expected);
}

/* Alike in proportion, however small. */
static bool
same_p(double got, double expected)
{
	return (isnan(got) && isnan(expected)) || fabs(got - expected) <= 1e-9 * expected;
}

/* Whether a figure is what is expected; says so if it is not. */
static bool
expect(const char *what, double got, double expected)
{
	if (same(got, expected))
		return true;
	printf("# %s: %.17g, expected %.17g\n", what, got, expected);
	return false;
}

static bool
expect_estimate(const char *what, MeasureEstimate got, const double *expected)
{
	bool		held = expect(what, got.value, expected[0]);

	held &= expect("low", got.low, expected[1]);
	held &= expect("high", got.high, expected[2]);
	if (!same_p(got.p, expected[3]))
		held = expect("p", got.p, expected[3]);
	return held;
}

/* The same bits, or neither a number: nothing in between was rounded otherwise. */
static bool
identical(double a, double b)
{
	return a == b || (isnan(a) && isnan(b));
}

/* One is the other of what was compared the other way round. */
static bool
opposite(MeasureEstimate a, MeasureEstimate b)
{
	return identical(a.value, -b.value) && identical(a.low, -b.high) &&
		identical(a.high, -b.low) && identical(a.p, b.p);
}

static bool
is_unknown(MeasureEstimate estimate)
{
	return isnan(estimate.value) && isnan(estimate.low) && isnan(estimate.high) && isnan(estimate.p);
}

/* ---- recorded figures ---- */

/* What is known of one version alone; placements is filled. */
static bool
side_agrees(const SetValues *set, const Rows *rows, const double *scores, size_t flagged,
			const SideValues *expected, double *placements)
{
	const MeasureRank *order = in_order(scores, rows->n);
	MeasureReview review = measure_review(order, rows->n, rows->labels, set->review);
	MeasureDecisions made;
	bool		held = true;
	int			i;

	held &= expect("mean", measure_mean(scores, rows->n), expected->mean);
	for (i = 0; i < NUM_QUANTILES; i++)
		held &= expect("quantile", measure_quantile(order, rows->n, quantiles[i]), expected->quantiles[i]);
	held &= expect("auc", measure_auc(order, rows->n, rows->labels, placements), expected->auc[0]);
	held &= expect("average precision", measure_average_precision(order, rows->n, rows->labels),
				   expected->average_precision);
	held &= expect("precision of the review", review.precision, expected->review[0]);
	held &= expect("recall of the review", review.recall, expected->review[1]);
	held &= expect("flagged", flagged, expected->flagged);

	measure_decide(scores, rows->labels, rows->amounts, rows->n, set->threshold, set->cost, &made);
	held &= expect("judged", made.judged, set->judged);
	held &= expect("positives", made.positives, set->positive_rows);
	held &= expect("true positives", made.true_positives, expected->true_positives);
	held &= expect("false positives", made.false_positives, expected->false_positives);
	held &= expect("loss", made.loss, expected->loss);
	return held;
}

static bool
areas_agree(const SetValues *set, const Rows *rows, const double *champion, const double *challenger)
{
	MeasureAreas areas;
	bool		held = true;

	measure_areas(champion, challenger, rows->labels, rows->n, &areas);
	held &= expect("champion's auc, low", areas.champion.low, set->champion.auc[1]);
	held &= expect("champion's auc, high", areas.champion.high, set->champion.auc[2]);
	held &= expect("challenger's auc, low", areas.challenger.low, set->challenger.auc[1]);
	held &= expect("challenger's auc, high", areas.challenger.high, set->challenger.auc[2]);
	held &= expect_estimate("auc difference", areas.difference, set->auc_difference);
	return held;
}

static double
checksum(const Rows *rows)
{
	double		sum = 0;
	size_t		i;

	for (i = 0; i < rows->n; i++)
		sum += fmax(-9, fmin(9, rows->champion[i])) + 2 * fmax(-9, fmin(9, rows->challenger[i])) +
			rows->labels[i] + (isnan(rows->amounts[i]) ? 0 : rows->amounts[i]);
	return sum;
}

static void
test_set(const SetValues *set)
{
	Rows		rows = make_rows(set);
	const MeasureRank *champion = in_order(rows.champion, rows.n);
	const MeasureRank *challenger = in_order(rows.challenger, rows.n);
	double	   *champion_placements = allocate(rows.n * sizeof(double));
	double	   *challenger_placements = allocate(rows.n * sizeof(double));
	MeasureFlips flips = measure_flips(rows.champion, rows.challenger, rows.n, set->threshold);
	bool		two_classes = set->positive_rows > 0 && set->positive_rows < set->judged;

	ok(checksum(&rows) == set->checksum, "%s: the rows are those of the script", set->name);
	ok(side_agrees(set, &rows, rows.champion, flips.champion, &set->champion, champion_placements),
	   "%s: champion", set->name);
	ok(side_agrees(set, &rows, rows.challenger, flips.challenger, &set->challenger, challenger_placements),
	   "%s: challenger", set->name);
	if (two_classes)
		ok(areas_agree(set, &rows, champion_placements, challenger_placements),
		   "%s: intervals of areas", set->name);
	ok(flips.only_champion == set->only_champion && flips.only_challenger == set->only_challenger,
	   "%s: flips", set->name);
	ok(expect("ks", measure_ks(champion, rows.n, challenger, rows.n), set->ks), "%s: KS", set->name);
	ok(expect("psi", measure_psi(champion, challenger, rows.n), set->psi), "%s: PSI", set->name);
	ok(expect_estimate("mean shift", measure_mean_shift(rows.champion, rows.challenger, rows.n),
					   set->mean_shift), "%s: mean shift", set->name);
	ok(expect_estimate("loss difference",
					   measure_loss_difference(rows.champion, rows.challenger, rows.labels, rows.amounts,
											   rows.n, set->threshold, set->cost),
					   set->loss_difference), "%s: loss difference", set->name);
	free_all();
}

/* Statistic, limit, and how far the limit is from SciPy's exact p-value. */
static void
test_ks(void)
{
	size_t		statistics = 0;
	size_t		limits = 0;
	size_t		exact = 0;
	size_t		i;
	size_t		j;

	for (i = 0; i < LENGTH(ks_values); i++)
	{
		const KsValues *v = &ks_values[i];
		double	   *x = allocate(v->n * sizeof(double));
		double	   *y = allocate(v->m * sizeof(double));
		double		p = measure_ks_p(v->distance, v->n, v->m);
		double		tolerance = v->n == v->m ? 0.35 / v->n : 0.3 * sqrt(1.0 / v->n + 1.0 / v->m);

		for (j = 0; j < v->n; j++)
			x[j] = 200.0 * v->m * j;
		for (j = 0; j < v->m; j++)
			y[j] = 100.0 * v->n * (2 * j + 1) + 2.0 * v->n * v->m * v->percent;
		statistics += !expect("ks", measure_ks(in_order(x, v->n), v->n, in_order(y, v->m), v->m), v->distance);
		limits += !same_p(p, v->limit);
		exact += fabs(p - v->exact) > tolerance;
		free_all();
	}
	ok(statistics == 0, "KS: statistics of %zu pairs of samples", LENGTH(ks_values));
	ok(limits == 0, "KS: p is the limit distribution's, from 1 to 1e-70");
	ok(exact == 0, "KS: p is within 0.35 / n of the exact one for samples of one size");
	ok(measure_ks_p(0, 10, 10) == 1 && measure_ks_p(1, 100000, 100000) == 0, "KS: ends of p");
	ok(isnan(measure_ks_p(NAN, 10, 10)) && isnan(measure_ks_p(0.5, 0, 0)), "KS: no p of nothing");
}

static void
test_counts(void)
{
	size_t		wrong = 0;
	size_t		i;

	for (i = 0; i < LENGTH(mcnemar_values); i++)
	{
		const McnemarValues *v = &mcnemar_values[i];
		double		p = measure_mcnemar(v->only_one, v->only_other);

		if (same_p(p, v->p) && p == measure_mcnemar(v->only_other, v->only_one))
			continue;
		wrong++;
		printf("# McNemar of %zu and %zu: %.17g, expected %.17g\n", v->only_one, v->only_other, p, v->p);
	}
	ok(wrong == 0, "McNemar: p of %zu pairs of counts, either way round", LENGTH(mcnemar_values));

	wrong = 0;
	for (i = 0; i < LENGTH(proportion_values); i++)
	{
		const ProportionValues *v = &proportion_values[i];
		MeasureEstimate got = measure_proportion(v->hits, v->trials);

		wrong += !expect("low", got.low, v->low) || !expect("high", got.high, v->high) ||
			got.value != (double) v->hits / v->trials || !isnan(got.p);
	}
	ok(wrong == 0, "Wilson's interval of %zu proportions", LENGTH(proportion_values));
	wrong = 0;
	for (i = 1; i <= 10000; i++)
		wrong += measure_proportion(0, i).low != 0 || measure_proportion(i, i).high != 1;
	ok(wrong == 0, "Wilson's interval of none begins at 0, of all ends at 1, exactly");
	ok(is_unknown(measure_proportion(0, 0)), "no proportion of no trials");
}

/* ---- order ---- */

static double
random_double(void)
{
	static const double special[] = {
		0.0, -0.0, INFINITY, -INFINITY, DBL_MIN, -DBL_MIN, DBL_MIN / 1024, -DBL_MIN / 1024, 0x1p-1074,
		-0x1p-1074, DBL_MAX, -DBL_MAX, 1.0, -1.0, 1.0 + DBL_EPSILON, 0.5
	};
	uint64_t	bits = (uint64_t) random_bits() << 32;
	double		value;

	bits |= random_bits();
	memcpy(&value, &bits, sizeof(value));
	return random_below(4) == 0 || isnan(value) ? special[random_below(LENGTH(special))] : value;
}

static int
compare_ranks(const void *a, const void *b)
{
	const MeasureRank *left = a;
	const MeasureRank *right = b;

	if (left->value != right->value)
		return left->value < right->value ? -1 : 1;
	return left->row < right->row ? -1 : left->row > right->row;
}

/* Whether the order is what qsort() makes, and no value is -0. */
static bool
is_sorted(const double *values, size_t n)
{
	const MeasureRank *order = in_order(values, n);
	MeasureRank *expected = allocate(n * sizeof(MeasureRank));
	size_t		i;

	for (i = 0; i < n; i++)
		expected[i] = (MeasureRank) {values[i], (uint32_t) i};
	qsort(expected, n, sizeof(MeasureRank), compare_ranks);
	for (i = 0; i < n; i++)
		if (order[i].row != expected[i].row || order[i].value != expected[i].value ||
			(order[i].value == 0 && signbit(order[i].value)))
			return false;
	return true;
}

static void
test_order(void)
{
	static const size_t sizes[] = {0, 1, 2, 3, 10, 255, 256, 257, 5000, 100000};
	MeasureRank order[3];
	MeasureRank scratch[3];
	size_t		i;
	size_t		j;

	for (i = 0; i < LENGTH(sizes); i++)
	{
		double	   *values = allocate(sizes[i] * sizeof(double));

		for (j = 0; j < sizes[i]; j++)
			values[j] = random_double();
		ok(is_sorted(values, sizes[i]), "order of %zu doubles of all kinds", sizes[i]);
		for (j = 0; j < sizes[i]; j++)
			values[j] = (float) random_bits() / 4294967296.0f;
		ok(is_sorted(values, sizes[i]), "order of %zu floats", sizes[i]);
		for (j = 0; j < sizes[i]; j++)
			values[j] = random_below(3) - 1.0;
		ok(is_sorted(values, sizes[i]), "order of %zu ties", sizes[i]);
		free_all();
	}
	for (i = 0; i < 3; i++)
	{
		double		values[3] = {1, 2, 3};

		values[i] = i == 1 ? -NAN : NAN;
		ok(!measure_order(values, 3, order, scratch), "NaN in row %zu is refused", i);
	}
	ok(!measure_order(NULL, (size_t) MEASURE_MAX_ROWS + 1, NULL, NULL), "too many rows are refused");
}

/* The least value, the greatest, and what is between infinite ones. */
static void
test_quantile(void)
{
	static const double values[] = {5, -INFINITY, 2, INFINITY};
	const MeasureRank *order = in_order(values, 4);

	ok(measure_quantile(order, 4, 0) == -INFINITY && measure_quantile(order, 4, 1) == INFINITY &&
	   measure_quantile(order + 1, 2, 0) == 2 && measure_quantile(order + 1, 2, 1) == 5,
	   "the quantiles 0 and 1 are the least and the greatest value");
	ok(measure_quantile(order + 1, 2, 0.25) == 2.75, "a quantile is interpolated");
	ok(measure_quantile(order, 4, 0.1) == -INFINITY && measure_quantile(order, 4, 0.9) == INFINITY,
	   "between a value and an infinite one a quantile is infinite");
	ok(isnan(measure_quantile(order, 0, 0.5)), "no quantile of no rows");
	free_all();
}

/* ---- brute force ---- */

/* Random rows: few distinct scores, infinite ones, all kinds of labels. */
static Rows
random_rows(size_t n, uint32_t levels)
{
	Rows		rows = allocate_rows(n);
	uint32_t	kinds = 2 + random_below(2);
	size_t		i;

	for (i = 0; i < n; i++)
	{
		uint32_t	level = random_below(levels + 1);

		rows.champion[i] = level == levels ? INFINITY : level / 8.0;
		level = random_below(levels + 1);
		rows.challenger[i] = level == levels ? -INFINITY : level / 8.0;
		rows.labels[i] = (int8_t) (random_below(kinds) - (kinds - 2));
		rows.amounts[i] = random_below(5) ? random_below(100) / 4.0 : NAN;
	}
	return rows;
}

/* The area by counting pairs of a positive and a negative. */
static double
count_auc(const double *scores, const int8_t *labels, size_t n)
{
	size_t		pairs = 0;
	size_t		halves = 0;
	size_t		i;
	size_t		j;

	for (i = 0; i < n; i++)
		for (j = 0; j < n; j++)
			if (labels[i] == MEASURE_POSITIVE && labels[j] == MEASURE_NEGATIVE)
			{
				pairs++;
				halves += (scores[i] > scores[j]) + (scores[i] >= scores[j]);
			}
	return pairs ? halves / 2.0 / pairs : NAN;
}

/* Average precision by its definition: the mean over the positives of the
 * precision of flagging from their score on. */
static double
count_average_precision(const double *scores, const int8_t *labels, size_t n)
{
	size_t		positives = 0;
	double		sum = 0;
	size_t		i;
	size_t		j;

	for (i = 0; i < n; i++)
	{
		size_t		hits = 0;
		size_t		flagged = 0;

		if (labels[i] != MEASURE_POSITIVE)
			continue;
		for (j = 0; j < n; j++)
			if (scores[j] >= scores[i] && labels[j] != MEASURE_UNKNOWN)
			{
				flagged++;
				hits += labels[j] == MEASURE_POSITIVE;
			}
		sum += (double) hits / flagged;
		positives++;
	}
	return positives ? sum / positives : NAN;
}

/* The greatest distance of the distribution functions, at each of the values. */
static double
count_ks(const double *a, const double *b, size_t n)
{
	double		greatest = 0;
	size_t		i;
	size_t		j;

	for (i = 0; i < 2 * n; i++)
	{
		double		value = i < n ? a[i] : b[i - n];
		int			distance = 0;

		for (j = 0; j < n; j++)
			distance += (a[j] <= value) - (b[j] <= value);
		greatest = fmax(greatest, abs(distance) / (double) n);
	}
	return greatest;
}

static void
test_brute_force(void)
{
	size_t		wrong = 0;
	int			round;

	random_state = 5;
	for (round = 0; round < 500; round++)
	{
		size_t		n = 1 + random_below(40);
		Rows		rows = random_rows(n, 1 + random_below(30));
		const MeasureRank *champion = in_order(rows.champion, n);
		const MeasureRank *challenger = in_order(rows.challenger, n);
		double	   *placements = allocate(n * sizeof(double));

		wrong += !expect("auc", measure_auc(champion, n, rows.labels, placements),
						 count_auc(rows.champion, rows.labels, n)) ||
			!expect("average precision", measure_average_precision(challenger, n, rows.labels),
					count_average_precision(rows.challenger, rows.labels, n)) ||
			!expect("ks", measure_ks(champion, n, challenger, n),
					count_ks(rows.champion, rows.challenger, n));
		free_all();
	}
	ok(wrong == 0, "area, average precision and KS are what counting finds");
}

/* 100,000 rows of 500 scores, whose area is counted by score. */
static void
test_many_rows(void)
{
	enum
	{
		ROWS = 100000, LEVELS = 500
	};
	Rows		rows = allocate_rows(ROWS);
	double	   *placements = allocate(ROWS * sizeof(double));
	uint64_t	counts[LEVELS][2] = {{0}};
	uint64_t	totals[2] = {0};
	uint64_t	halves = 0;
	size_t		i;

	for (i = 0; i < ROWS; i++)
	{
		uint32_t	level = random_below(LEVELS);

		rows.labels[i] = random_below(3 * LEVELS) < level;
		rows.champion[i] = level / 7.0;
		counts[level][rows.labels[i]]++;
	}
	for (i = 0; i < LEVELS; i++)
	{
		halves += counts[i][1] * (2 * totals[0] + counts[i][0]);
		totals[0] += counts[i][0];
		totals[1] += counts[i][1];
	}
	ok(expect("auc", measure_auc(in_order(rows.champion, ROWS), ROWS, rows.labels, placements),
			  halves / 2.0 / totals[0] / totals[1]), "the area of 100000 rows");
	free_all();
}

/* ---- what must not matter ---- */

/* The same rows in another order. */
static Rows
shuffle(const Rows *rows)
{
	Rows		shuffled = allocate_rows(rows->n);
	size_t	   *from = allocate(rows->n * sizeof(size_t));
	size_t		i;

	for (i = 0; i < rows->n; i++)
	{
		size_t		j = random_below(i + 1);

		from[i] = from[j];
		from[j] = i;
	}
	for (i = 0; i < rows->n; i++)
	{
		shuffled.champion[i] = rows->champion[from[i]];
		shuffled.challenger[i] = rows->challenger[from[i]];
		shuffled.labels[i] = rows->labels[from[i]];
		shuffled.amounts[i] = rows->amounts[from[i]];
	}
	return shuffled;
}

/* Whether all figures that walk the order are the same bits. */
static bool
same_walks(const Rows *a, const Rows *b, double per_1000)
{
	size_t		n = a->n;
	const MeasureRank *left = in_order(a->champion, n);
	const MeasureRank *right = in_order(b->champion, n);
	const MeasureRank *left_other = in_order(a->challenger, n);
	const MeasureRank *right_other = in_order(b->challenger, n);
	double	   *placements = allocate(n * sizeof(double));
	MeasureReview one = measure_review(left, n, a->labels, per_1000);
	MeasureReview other = measure_review(right, n, b->labels, per_1000);

	return identical(measure_auc(left, n, a->labels, placements),
					 measure_auc(right, n, b->labels, placements)) &&
		identical(measure_average_precision(left, n, a->labels),
				  measure_average_precision(right, n, b->labels)) &&
		identical(one.precision, other.precision) && identical(one.recall, other.recall) &&
		identical(measure_ks(left, n, left_other, n), measure_ks(right, n, right_other, n)) &&
		identical(measure_psi(left, left_other, n), measure_psi(right, right_other, n));
}

/* Whether all that compares two versions turns round with them. */
static bool
turns_round(const Rows *rows)
{
	size_t		n = rows->n;
	const double *a = rows->champion;
	const double *b = rows->challenger;
	const MeasureRank *order_a = in_order(a, n);
	const MeasureRank *order_b = in_order(b, n);
	double	   *placements_a = allocate(n * sizeof(double));
	double	   *placements_b = allocate(n * sizeof(double));
	MeasureAreas areas;
	MeasureAreas turned;
	MeasureFlips flips = measure_flips(a, b, n, 1);
	MeasureFlips turned_flips = measure_flips(b, a, n, 1);

	(void) measure_auc(order_a, n, rows->labels, placements_a);
	(void) measure_auc(order_b, n, rows->labels, placements_b);
	measure_areas(placements_a, placements_b, rows->labels, n, &areas);
	measure_areas(placements_b, placements_a, rows->labels, n, &turned);
	return opposite(areas.difference, turned.difference) &&
		identical(areas.champion.low, turned.challenger.low) &&
		opposite(measure_mean_shift(a, b, n), measure_mean_shift(b, a, n)) &&
		opposite(measure_loss_difference(a, b, rows->labels, rows->amounts, n, 1, 0.3),
				 measure_loss_difference(b, a, rows->labels, rows->amounts, n, 1, 0.3)) &&
		measure_ks(order_a, n, order_b, n) == measure_ks(order_b, n, order_a, n) &&
		flips.champion == turned_flips.challenger &&
		flips.only_champion == turned_flips.only_challenger;
}

static void
test_invariance(void)
{
	size_t		by_order = 0;
	size_t		by_side = 0;
	int			round;

	random_state = 6;
	for (round = 0; round < 300; round++)
	{
		Rows		rows = random_rows(1 + random_below(80), 1 + random_below(20));
		Rows		shuffled = shuffle(&rows);

		by_order += !same_walks(&rows, &shuffled, random_below(1100));
		by_side += !turns_round(&rows);
		free_all();
	}
	ok(by_order == 0, "the order of tied rows does not matter");
	ok(by_side == 0, "versions that change places negate differences and keep p");
}

/* ---- what is not defined ---- */

static void
test_nothing(void)
{
	MeasureDecisions made;
	MeasureReview review = measure_review(NULL, 0, NULL, 100);

	measure_decide(NULL, NULL, NULL, 0, 1, 1, &made);
	ok(made.judged == 0 && made.loss == 0, "nothing is decided of no rows");
	ok(isnan(measure_auc(NULL, 0, NULL, NULL)) && isnan(measure_average_precision(NULL, 0, NULL)) &&
	   isnan(review.precision) && isnan(review.recall), "no rank of no rows");
	ok(isnan(measure_ks(NULL, 0, NULL, 0)) && isnan(measure_psi(NULL, NULL, 0)) &&
	   isnan(measure_mean(NULL, 0)), "no distribution of no rows");
	ok(is_unknown(measure_mean_shift(NULL, NULL, 0)) &&
	   is_unknown(measure_loss_difference(NULL, NULL, NULL, NULL, 0, 1, 1)), "no difference of no rows");
}

/* Scores that part the classes completely, in the right order and in the wrong
 * one, have an area without an interval; so has a single row of a class. */
static void
test_no_interval(void)
{
	static const double right[] = {1, 2, 3, 4};
	static const double wrong[] = {4, 3, 2, 1};
	static const int8_t labels[] = {0, 0, 1, 1};
	static const int8_t single[] = {0, 0, 0, 1};
	double		placements[2][4];
	MeasureAreas areas;

	measure_auc(in_order(right, 4), 4, labels, placements[0]);
	measure_auc(in_order(wrong, 4), 4, labels, placements[1]);
	measure_areas(placements[0], placements[1], labels, 4, &areas);
	ok(areas.champion.value == 1 && isnan(areas.champion.low) && isnan(areas.champion.high),
	   "an area of 1 has no interval");
	ok(areas.challenger.value == 0 && isnan(areas.challenger.low) && isnan(areas.challenger.high),
	   "an area of 0 has none either");
	ok(areas.difference.value == -1 && isnan(areas.difference.low) && isnan(areas.difference.p),
	   "nor has their difference");

	measure_auc(in_order(right, 4), 4, single, placements[0]);
	measure_areas(placements[0], placements[0], single, 4, &areas);
	ok(areas.difference.value == 0 && isnan(areas.difference.low) && isnan(areas.difference.p),
	   "one positive is not enough for an interval");
	free_all();
}

/* A mean of infinite differences is none, wherever they are. */
static void
test_infinite_shift(void)
{
	static const double finite[] = {1, 2, 3};
	size_t		i;

	for (i = 0; i < 3; i++)
	{
		double		infinite[] = {1, 2, 3};

		infinite[i] = INFINITY;
		ok(is_unknown(measure_mean_shift(finite, infinite, 3)) &&
		   is_unknown(measure_mean_shift(infinite, finite, 3)), "no mean shift: row %zu is infinite", i);
	}
}

/* Welford's sums do not lose a small spread around a large mean. */
static void
test_precision(void)
{
	static const double values[] = {1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16};
	double		mean = 0;
	double		squares = 0;
	MeasureEstimate estimate;
	size_t		i;

	for (i = 0; i < 4; i++)
		measure_add(&mean, &squares, i + 1, values[i]);
	estimate = measure_mean_interval(mean, squares, 4);
	ok(mean == 1e9 + 10 && squares == 90, "mean and squares around a large mean");
	ok(fabs(estimate.high - estimate.low - 2 * 1.959963984540054 * sqrt(30 / 4.0)) < 1e-6,
	   "the interval of a mean");
}

int
main(void)
{
	size_t		i;

	for (i = 0; i < LENGTH(set_values); i++)
		test_set(&set_values[i]);
	test_ks();
	test_counts();
	test_order();
	test_quantile();
	test_brute_force();
	test_many_rows();
	test_invariance();
	test_nothing();
	test_no_interval();
	test_infinite_shift();
	test_precision();
	return done_testing();
}
