#!/usr/bin/env python3
"""The figures that measure_test.c expects, computed by other people's libraries.

Makes the same rows as measure_test.c from the same random numbers, has
scikit-learn, SciPy, statsmodels and NumPy measure them, and prints
measure_values.h.  What those do not have (DeLong's interval, the PSI, the review
of the top, the loss) is written here in its plainest form: matrices of all pairs
and masks, nothing sorted, nothing walked.

Needs numpy, scipy, scikit-learn and statsmodels; on Debian 12:
    apt-get install python3-numpy python3-scipy python3-sklearn python3-statsmodels
Run by hand when a set or a figure is added:
    python3 test/unit/measure_values.py >test/unit/measure_values.h
"""
import math
import warnings
from fractions import Fraction

import numpy as np
import scipy
import sklearn
import statsmodels
from scipy import stats
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

Z95 = stats.norm.ppf(0.975)

# ---- the rows, as make_rows() of measure_test.c ----

# levels: a score is (below levels + below jitter + lift if positive) / 1024;
# positives, unknown, infinite: rows in 1000; review: reviewed rows in 1000
FIELDS = "name seed rows levels jitter lift shift positives unknown infinite threshold cost review"
SETS = [
    ("plain",                       11, 300,  4096, 1024,  700,   0, 150,   0,  0, 3.0,   0.25,   50),
    ("many ties",                   12, 300,     6,    3,    2,   0, 300, 200,  0, 0.005, 0.5,   100),
    ("two scores",                  13, 120,     2,    1,    0,   0, 400,   0,  0, 0.001, 1,     200),
    ("few positives",               14, 250,  1024,  300,  500,  20,  20,   0,  0, 1.4,   0.1,     7),
    ("few negatives",               15, 250,  1024,  300,  100, -50, 970,   0,  0, 0.5,   0.1,    29),
    ("few labels",                  16, 280,   512,  128,   60,  40, 300, 900,  0, 0.4,   2,     300),
    ("infinite scores",             17, 200,   256,  128,   90,   0, 250, 100, 60, 0.25,  0.25,  150),
    ("shifted",                     18, 270,   700,   90,   80, 300, 200, 100,  0, 0.75,  0.25,   40),
    ("apart: no interval",          19,  60,     8,    4, 4096,   0, 400,   0,  0, 2.0,   0.25,  400),
    ("challenger is the champion",  20, 140,   900,    1,  100,   0, 300,  50,  0, 0.6,   0.25,   75),
    ("all equal",                   21,  30,     1,    1,    0,   0, 500,   0,  0, 0.0,   0.25,  500),
    ("all moved alike",             22,  80,   200,    1,   20,  64, 300,   0,  0, 0.15,  0.25,  250),
    ("five rows",                   23,   5,     9,    5,    3,   0, 500,   0,  0, 0.005, 0.25,  500),
    ("one positive",                24,   6,     9,    5,    0,   0, 150,   0,  0, 0.003, 0.25,  300),
    ("no negative",                 25,  20,    30,   10,    0,   0, 1000,  0,  0, 0.02,  0.25,  100),
    ("no positive",                 26,  20,    30,   10,    0,   5,   0, 300,  0, 0.02,  0.25,  100),
    ("no labels",                   27,  40,    30,   10,    0,   5,   0, 1000, 0, 0.02,  0.25,  100),
    ("one row",                     28,   1,    30,   10,    0,   5, 1000,  0,  0, 0.02,  0.25, 1000),
    ("all reviewed and more",       29,  50,    40,   20,   10,   5, 300,   0,  0, 0.03,  0.25, 1500),
    ("none reviewed",               30,  50,    40,   20,   10,   5, 300,   0,  0, 0.03,  0.25,    9),
]

UNKNOWN, NEGATIVE, POSITIVE = -1, 0, 1


class Random:
    """xorshift64*, as material.h."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        mask = 2**64 - 1
        self.state ^= self.state >> 12
        self.state = (self.state ^ self.state << 25) & mask
        self.state ^= self.state >> 27
        return ((self.state * 0x2545F4914F6CDD1D & mask) >> 32) % limit


def make_rows(s):
    """Arrays champion, challenger, labels, amounts."""
    random = Random(s.seed)

    def score(base):
        kind = random.below(1000)
        value = (base + random.below(s.jitter)) / 1024
        return -math.inf if kind < s.infinite else math.inf if kind < 2 * s.infinite else value

    rows = []
    for _ in range(s.rows):
        kind = random.below(1000)
        known = random.below(1000) >= s.unknown
        label = UNKNOWN if not known else POSITIVE if kind < s.positives else NEGATIVE
        base = random.below(s.levels) + (s.lift if kind < s.positives else 0)
        champion = score(base)
        challenger = score(base) + s.shift / 1024
        amount = random.below(10)
        rows.append((champion, challenger, label, amount * amount / 4 if amount else math.nan))
    return [np.array(column) for column in zip(*rows)]


# ---- the figures ----

def finite(scores):
    """Scores in the same order, for libraries that refuse infinite ones; what a
    quantile makes of these is infinite again."""
    return np.clip(scores, -1e30, 1e30)


def normal(value, variance, least=-math.inf, most=math.inf):
    """Value, interval within the possible, p.  No variance: nothing differs, or
    nothing is known about chance."""
    if variance < 1e-15:
        return [0, 0, 0, 1] if abs(value) < 1e-15 else [value] + [math.nan] * 3
    error = math.sqrt(variance)
    return [value, max(value - Z95 * error, least), min(value + Z95 * error, most),
            2 * stats.norm.sf(abs(value) / error)]


def delong(scores, labels):
    """DeLong's covariance matrix of areas, from the matrices of all pairs."""
    m, n = (labels == POSITIVE).sum(), (labels == NEGATIVE).sum()
    wins = [np.heaviside(finite(s)[labels == POSITIVE][:, None] - finite(s)[labels == NEGATIVE][None, :], 0.5)
            for s in scores]
    if m < 2 or n < 2:
        return np.full((2, 2), math.nan)
    return (np.cov(np.stack([w.mean(axis=1) for w in wins])) / m +
            np.cov(np.stack([w.mean(axis=0) for w in wins])) / n)


def areas(champion, challenger, labels):
    """Champion's area, challenger's, difference."""
    known = labels != UNKNOWN
    if len(set(labels[known])) < 2:
        return [[math.nan] * 4] * 3
    auc = [roc_auc_score(labels[known], finite(s)[known]) for s in (champion, challenger)]
    v = delong((champion, challenger), labels)
    return (normal(auc[0], v[0, 0], 0, 1), normal(auc[1], v[1, 1], 0, 1),
            normal(auc[1] - auc[0], v[0, 0] + v[1, 1] - 2 * v[0, 1], -1, 1))


def review(scores, labels, per_1000):
    """Expected precision and recall of the top k, ties in any order: each row's
    chance to be among them."""
    known = labels != UNKNOWN
    y, s = labels[known], scores[known]
    k = min(int(math.floor(Fraction(per_1000) * len(y) / 1000 + Fraction(1, 2))), len(y))
    if k == 0:
        return math.nan, math.nan
    chance = [min(1, max(0, Fraction(k - int((s > v).sum()), int((s == v).sum())))) for v in s]
    found = sum(c for c, label in zip(chance, y) if label == POSITIVE)
    positives = int((y == POSITIVE).sum())
    return float(found / k), float(found / positives) if positives else math.nan


def losses(scores, labels, amounts, s):
    flagged = scores >= s.threshold
    return (np.where((labels == POSITIVE) & ~flagged, np.where(np.isnan(amounts), 1, amounts), 0) +
            np.where((labels == NEGATIVE) & flagged, s.cost, 0))


def psi(champion, challenger):
    """Bins between the distinct deciles; a repeated decile is a bin too."""
    deciles = np.quantile(finite(champion), np.arange(1, 10) / 10)
    bins = []
    low = -math.inf
    for edge in sorted(set(deciles)):
        bins.append(lambda x, a=low, b=edge: (x >= a) & (x < b))
        if (deciles == edge).sum() > 1:
            bins.append(lambda x, a=edge: x == a)
            low = np.nextafter(edge, math.inf)
        else:
            low = edge
    bins.append(lambda x, a=low: x >= a)
    p, q = (np.array([b(finite(s)).sum() + 0.5 for b in bins]) for s in (champion, challenger))
    p, q = p / p.sum(), q / q.sum()
    return ((q - p) * np.log(q / p)).sum()


def mean_interval(values):
    """Mean, interval, p."""
    if len(values) == 0 or not np.isfinite(values).all():
        return [math.nan] * 4
    return normal(values.mean(), values.var(ddof=1) / len(values) if len(values) > 1 else math.nan)


def side(scores, labels, amounts, area, s):
    """The figures of one version."""
    known = labels != UNKNOWN
    y, flagged = labels[known], (scores >= s.threshold)[known]
    _, fp, _, tp = confusion_matrix(y, flagged, labels=[0, 1]).ravel() if len(y) else [0] * 4
    quantiles = np.quantile(finite(scores), np.array([1, 5, 25, 50, 75, 95, 99]) / 100)
    return {
        "mean": scores.mean(),
        "quantiles": [q if abs(q) < 1e20 else math.copysign(math.inf, q) for q in quantiles],
        "auc": area[:3],
        "average_precision":
            average_precision_score(y, finite(scores)[known]) if (y == POSITIVE).any() else math.nan,
        "review": list(review(scores, labels, s.review)),
        "flagged": (scores >= s.threshold).sum(),
        "true_positives": tp,
        "false_positives": fp,
        "loss": losses(scores, labels, amounts, s).sum(),
    }


def values_of(s):
    champion, challenger, labels, amounts = make_rows(s)
    known = labels != UNKNOWN
    of_champion, of_challenger, difference = areas(champion, challenger, labels)
    ks = stats.ks_2samp(finite(champion), finite(challenger), method="asymp").statistic
    a, b = champion >= s.threshold, challenger >= s.threshold
    return {
        **vars(s),
        "checksum": finite(champion).clip(-9, 9).sum() + 2 * finite(challenger).clip(-9, 9).sum()
            + labels.sum() + np.nansum(amounts),
        "champion": side(champion, labels, amounts, of_champion, s),
        "challenger": side(challenger, labels, amounts, of_challenger, s),
        "judged": known.sum(),
        "positive_rows": (labels == POSITIVE).sum(),
        "only_champion": (a & ~b).sum(),
        "only_challenger": (b & ~a).sum(),
        "auc_difference": difference,
        "mean_shift": mean_interval(challenger - champion),
        "ks": ks,
        "psi": psi(champion, challenger),
        "loss_difference": mean_interval(
            (losses(challenger, labels, amounts, s) - losses(champion, labels, amounts, s))[known]),
    }


def ks_cases():
    """Two rows of evenly spaced values, one moved: statistic, limit, exact p."""
    for n, m in ((2, 2), (5, 5), (7, 12), (30, 30), (100, 100), (100, 160), (300, 300), (1000, 1000), (900, 400)):
        before = None
        for percent in (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 40):
            x = 200 * m * np.arange(n)
            y = 100 * n * (2 * np.arange(m) + 1) + 2 * n * m * percent
            distance = stats.ks_2samp(x, y, method="asymp").statistic
            if distance == before:
                continue
            before = distance
            try:
                exact = stats.ks_2samp(x, y, method="exact").pvalue
            except RuntimeWarning:         # it gives up, and says so
                exact = math.nan
            yield [n, m, percent, distance, stats.kstwobign.sf(math.sqrt(n * m / (n + m)) * distance), exact]


def mcnemar_cases():
    for n in (0, 1, 2, 5, 6, 10, 33, 100, 500, 999, 1000, 1001, 1500, 10000, 1000000):
        for a in sorted({0, 1, n // 10, n // 4, n * 2 // 5, n * 9 // 20, n * 49 // 100, (n - 1) // 2, n // 2}):
            if 0 <= a <= n:
                exact = n <= 1000
                # statsmodels' correction goes below 0 where both are alike
                p = 1 if 2 * a == n else mcnemar([[0, a], [n - a, 0]], exact=exact, correction=True).pvalue
                yield [a, n - a, p]


def proportion_cases():
    for trials in (1, 2, 3, 10, 50, 997, 100000, 4000000000):
        for hits in sorted({0, 1, 2, trials // 100, trials // 3, trials // 2, trials - 1, trials}):
            if hits <= trials:
                low, high = proportion_confint(hits, float(trials), alpha=0.05, method="wilson")
                yield [hits, trials, low, high]


# ---- the header ----

def literal(value):
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return "{" + ", ".join(f".{k} = {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(literal, value)) + "}"
    if isinstance(value, (int, np.integer)):
        return str(value) if abs(value) < 2**31 else f"{value}u"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return "NAN" if math.isnan(value) else repr(float(value))


def table(type_name, name, rows):
    print(f"\nstatic const {type_name} {name}[] = {{")
    for row in rows:
        print("\t" + literal(row) + ",")
    print("};")


class Set:
    def __init__(self, row):
        self.__dict__.update(zip(FIELDS.split(), row))


def main():
    warnings.simplefilter("error")
    print(f"""/*
 * measure_values.h
 *		What measure_test.c expects.  Made by
 *			python3 test/unit/measure_values.py >test/unit/measure_values.h
 *		with NumPy {np.__version__}, SciPy {scipy.__version__}, scikit-learn {sklearn.__version__}, statsmodels {statsmodels.__version__}.
 */
/* *INDENT-OFF* */""")
    with np.errstate(invalid="ignore", divide="ignore"):    # infinite less infinite, p of one row
        table("SetValues", "set_values", [values_of(Set(row)) for row in SETS])
    table("KsValues", "ks_values", ks_cases())
    table("McnemarValues", "mcnemar_values", mcnemar_cases())
    table("ProportionValues", "proportion_values", proportion_cases())


main()
