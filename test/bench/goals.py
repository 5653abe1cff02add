"""goals.py: what pg_risk is to reach, all of it in one place.

Sections of the benchmarks report their figures by a goal's name; the report begins with
the table of all goals.  A goal that a run does not measure (another processor, a part that
was left out, a program that is not installed) says so.
"""
from typing import NamedTuple

from report import number


class Goal(NamedTuple):
    """A figure and its limit."""

    text: str
    limit: float
    unit: str = "x"
    at_least: bool = True

    def meets(self, figure):
        return figure >= self.limit if self.at_least else figure <= self.limit

    def value(self, figure):
        return number(figure) + self.unit

    def bound(self):
        return f"{'at least' if self.at_least else 'at most'} {self.limit:,g}{self.unit}"


def at_most(text, limit, unit="x"):
    return Goal(text, limit, unit, at_least=False)


AVX512, AVX2, PLAIN = "ranks, AVX-512", "ranks, AVX2", "keys; ranks for batches"

# "N / this" is how many times as long N takes; in process, "this" is the forest.  Their names
# there: call, model, kernel.
GOALS = {
    ("row", "trees500_depth6", AVX512):
        Goal("one row in process, 500 trees of depth 6, AVX-512: libxgboost / this", 70),
    ("row", "trees100_depth6", AVX512): Goal("the same, 100 trees of depth 6", 150),
    ("row", "trees2000_depth8", AVX512): Goal("the same, 2,000 trees of depth 8", 30),
    ("row", "trees500_depth6_wide", AVX512): Goal("the same, 500 trees of depth 6, 200 features", 40),
    "compiled":
        Goal("one row in process, 500 trees of depth 6, AVX-512: compiled if-else / this", 40),
    ("row", "trees500_depth6", AVX2):
        Goal("one row in process, 500 trees of depth 6, AVX2: libxgboost / this", 25),
    ("row", "trees500_depth6", PLAIN): Goal("the same, plain x86-64", 16),
    ("batch", "trees500_depth6", AVX512):
        Goal("batch in process, 500 trees of depth 6, AVX-512: libxgboost / this", 50),
    ("batch", "trees500_depth6", AVX2): Goal("the same, AVX2", 20),
    ("contributions", "row"):
        Goal("contributions of one row, 500 trees of depth 6: libxgboost / this", 25),
    ("contributions", "batch"): Goal("the same, in batches", 100),
    "plan": at_most("500 trees of depth 6 in shared memory: what scoring touches", 300, " KB"),

    "per row":
        Goal("sum(score_transaction(model, t)): PL/Python with the Booster cached / this", 90),
    "row argument": at_most("the same: a row argument / an array argument", 1.2),
    "parallel": Goal("the same: serial / parallel query, for each core", 0.9),
    "whole table": Goal("score_batch(): PL/Python, blocks of 10,000 rows in NumPy / this", 40),
    "copy":
        Goal("the same, on one core: COPY out, pandas, libxgboost with 2 threads / this, elapsed", 25),
    "by key": at_most("one row by primary key, prepared: over the SELECT without scoring", 3, " us"),
    "bulk insert": at_most("scoring trigger, bulk insert: over no trigger, for each row", 1.3, " us"),
    "insert, on": Goal("scoring trigger, single rows, synchronous_commit on (PostgreSQL's default): "
                       "rate / rate without", 0.95),
    "insert, off": Goal("the same, synchronous_commit off", 0.95),
    "first score": at_most("first score in a new connection: over a C function", 1, " ms"),
    "first score, memory": at_most("the same: private memory, also of the largest model", 1, " MB"),
    "queued": at_most("to log by way of the queue, without shadows: over a call that is not logged", 1000, " ns"),

    "rolling_table, native": Goal("rolling_table(), all windows: best native form / this", 15),
    "rolling_table, EXCLUDE GROUP": Goal("the same: EXCLUDE GROUP / this", 1000),
    "rolling_table, DuckDB": Goal("the same: DuckDB / this", 12),
    "rolling_array, native":
        Goal("window function, all windows in one call: best native form / this", 4),
    "rolling_array, DuckDB": Goal("the same: DuckDB / this", 3),
    "rolling_array, flat": at_most("the same: a row of a key of 64,000 rows / of 1,000 rows", 1.1),

    "live, 24 hours": Goal("live lookup, hot key, 24 hours: plain SQL / this", 100),
    "live, 7 days": Goal("the same, 7 days", 900),
    "live, hot / empty": at_most("the same: this / an empty statement, end to end", 1.3),
    "live, hot / cold": at_most("the same: this / a cold key", 2),
    "live, insert, on":
        Goal("one feature set, single rows in order, synchronous_commit on: rate / rate without", 0.9),
    "live, insert, off": Goal("the same, synchronous_commit off", 0.9),
    "live, bulk insert":
        at_most("one feature set, bulk insert in order: over none, for each row", 1, " us"),
    "decision, HTTP": Goal("whole decision, median: threaded HTTP service / this", 4),
    "decision, Flask": Goal("the same: Flask and gunicorn / this", 6),
}


class Figures:
    """What a run measured of the goals."""

    def __init__(self):
        self.figures, self.bare = {}, {}

    def add(self, name, figure, bare=None):
        """A figure of a goal, which must be one; and the same with the least work in place of ours,
        where that can be measured."""
        if name not in GOALS:
            raise KeyError(f"there is no goal {name!r}")
        self.figures[name] = figure
        if bare is not None:
            self.bare[name] = bare

    @staticmethod
    def short(figures):
        """Names of the goals that figures do not meet."""
        return {name for name, figure in figures.items() if not GOALS[name].meets(figure)}

    def write(self, report):
        """The table."""
        short = self.short(self.figures)
        report.section(
            "Goals",
            f"{len(self.figures)} of {len(GOALS)} were measured in this run, {len(short)} of them fall "
            f"short; of {len(short & self.short(self.bare))} of these, so does the bare figure. \"N / this\" "
            "is how many times as long N takes. Bare: the figure that the same rounds give for the least "
            "work in place of ours, be it an empty function or statement, a scan or a lookup of a row, or a "
            "row's leaves added up. The other sections say what was measured, and how.")
        report.table(["goal", "", "figure", "bare", "met"], [
            [goal.text, goal.bound(),
             *(goal.value(figures[name]) if name in figures else "" for figures in (self.figures, self.bare)),
             "not measured" if name not in self.figures
             else "**falls short**" if name in short else "yes"]
            for name, goal in GOALS.items()])
