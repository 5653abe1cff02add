"""rolling.py: what rolling features cost beside the native forms that give the same.

One million events (or --rows) of 10,000 keys whose sizes follow Zipf's law, over 30 days in whole
seconds, so with ties; count and sum over 1 hour, 24 hours and 7 days.  DuckDB is measured where Node.js
finds the package @duckdb/node-api (NODE_PATH, see run.sh).
"""
import os
import shutil
import subprocess

from events import WINDOWS
from report import Samples, number, progress, times

KEYS = 10000
SIZES = [1000, 8000, 64000]     # rows of a key whose rows are alike

SCHEMA = """
    CREATE TABLE events (id bigint, key int, at timestamptz, cents bigint, value float8);
    WITH weight AS (SELECT array_agg(w ORDER BY key) AS up_to, max(w) AS total FROM (
        SELECT key, sum(key ^ -0.9) OVER (ORDER BY key)::float8 AS w FROM generate_series(1, {keys}) AS key) AS x)
    INSERT INTO events
        SELECT i, width_bucket(random() * total, up_to),
               timestamptz '2026-01-01' + floor(random() * 30 * 86400) * interval '1 second',
               cents, cents FROM weight, generate_series(1, {rows}) AS i,
               LATERAL (SELECT floor(random() * 100000)::bigint + i * 0 AS cents) AS c;
    CREATE INDEX ON events (key, at) INCLUDE (cents, value);
    CREATE TABLE sized (size int, at timestamptz, cents bigint, value float8);
    INSERT INTO sized SELECT size, timestamptz '2026-01-01' + floor(random() * 30 * 86400) * interval '1 second', i, i
        FROM unnest('{{{sizes}}}'::int[]) AS size, generate_series(1, size) AS i;
    CREATE INDEX ON sized (size, at) INCLUDE (cents, value);
"""

# Of counts n0, n1, ... and sums s0, s1, ...
TOTALS = ", ".join(f"sum({result}{i})" for result in "ns" for i in range(len(WINDOWS)))
WINDOWS_ARRAY = "'{" + ",".join(WINDOWS) + "}'"


def native(frame_end, table="events", key="key"):
    """Counts and sums in plain SQL."""
    columns = ", ".join(f"count(*) OVER w{i} AS n{i}, sum(cents) OVER w{i} AS s{i}" for i in range(3))
    windows = ", ".join(f"w{i} AS (PARTITION BY {key} ORDER BY at RANGE BETWEEN '{w}' PRECEDING AND {frame_end})"
                        for i, w in enumerate(WINDOWS))
    return f"SELECT {TOTALS} FROM (SELECT {columns} FROM {table} WINDOW {windows}) AS x"


def by_array(table="events", key="key"):
    totals = ", ".join(f"sum(f[{i}])" for i in range(1, 7))
    return (f"SELECT {totals} FROM (SELECT risk.rolling_array(value, at, {WINDOWS_ARRAY}, '{{count,sum}}') "
            f"OVER (PARTITION BY {key} ORDER BY at) AS f FROM {table}) AS x")


def by_stats():
    totals = ", ".join([f"sum((f).counts[{i}])" for i in (1, 2, 3)] + [f"sum((f).sums[{i}])" for i in (1, 2, 3)])
    return (f"SELECT {totals} FROM (SELECT risk.rolling_stats(value, at, {WINDOWS_ARRAY}, '{{count,sum}}') "
            "OVER (PARTITION BY key ORDER BY at) AS f FROM events) AS x")


def by_calls():
    columns = ", ".join(f"risk.rolling_count(at, '{w}') OVER k AS n{i}, risk.rolling_sum(value, at, '{w}') OVER k AS s{i}"
                        for i, w in enumerate(WINDOWS))
    return f"SELECT {TOTALS} FROM (SELECT {columns} FROM events WINDOW k AS (PARTITION BY key ORDER BY at)) AS x"


def by_table():
    names = [f"key_{feature}_prev_{window}" for feature in ("cnt", "sum_value") for window in WINDOWS.values()]
    totals = ", ".join(f"sum({name})" for name in names)
    columns = ", ".join(f"{name} {'bigint' if 'cnt' in name else 'float8'}" for name in names)
    return (f"SELECT {totals} FROM risk.rolling_table('events', 'key', 'at', 'value', {WINDOWS_ARRAY}) "
            f"AS t ({columns})")


class Rolling:
    """The sections about rolling features, of one run of bench.py."""

    def __init__(self, bench):
        self.bench = bench
        self.server = bench.server
        self.report = bench.report
        self.figures = bench.figures

    def prepare(self):
        progress("rolling features: events")
        self.server.query(SCHEMA.format(keys=KEYS, rows=self.bench.options.rows,
                                        sizes=",".join(map(str, SIZES))))
        self.server.query("VACUUM ANALYZE events")
        self.server.query("VACUUM ANALYZE sized")

    def agree(self, forms):
        """All forms give the same totals, or there is nothing to compare."""
        wanted = None
        for name, sql in forms.items():
            totals = [float(total) for total in self.server.query(sql)[0]]
            wanted = wanted or totals
            if totals != wanted:
                raise RuntimeError(f"{name}: {totals}, not {wanted}")
        return wanted

    def prepare_duckdb(self):
        """DuckDB's version, and its command with the events in a file; None where it is not installed."""
        node = shutil.which("node")
        version = node and subprocess.run([node, "-p", "require('@duckdb/node-api').version()"],
                                          capture_output=True, text=True, check=False).stdout.strip()
        if not version:
            return None, None
        path = os.path.join(self.bench.options.scratch, "events.csv")
        with open(path, "w", encoding="ascii") as file:
            subprocess.run(["psql", "-X", "-q", "-d", "bench", "-c",
                            "COPY (SELECT key, at AT TIME ZONE 'UTC', value FROM events) TO STDOUT (FORMAT csv)"],
                           stdout=file, check=True)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rolling_duckdb.js")
        return version, [node, script, path]

    def duckdb(self, command, totals):
        """Milliseconds, elapsed and of processor time."""
        line = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        if [float(total) for total in line[2:]] != totals:
            raise RuntimeError(f"DuckDB: {line[2:]}, not {totals}")
        return float(line[0]), float(line[1])

    def all_rows(self):
        best = "native, '1 microsecond' PRECEDING"
        exclude = "native, EXCLUDE GROUP"
        duckdb = "DuckDB, EXCLUDE GROUP"
        array, table = "rolling_array: one call", "rolling_table"
        numbered, read = "row_number()", "the table, six sums"
        forms = {
            best: native("'1 microsecond' PRECEDING"),
            "rolling_count, rolling_sum: six calls": by_calls(),
            "rolling_stats: one call": by_stats(),
            array: by_array(),
            table: by_table()}
        compared = forms | {
            numbered: "SELECT sum(n) FROM (SELECT row_number() OVER (PARTITION BY key ORDER BY at) AS n "
                      "FROM events) AS x",
            read: "SELECT sum(cents), sum(cents + 1), sum(cents + 2), "
                  "sum(value), sum(value + 1), sum(value + 2) FROM events"}
        progress("rolling features: native forms agree")
        totals = self.agree(forms)
        version, command = self.prepare_duckdb()
        elapsed, cpu = Samples(), Samples()
        for _ in self.bench.rounds("rolling features"):
            for name, sql in compared.items():
                seconds, cpu_seconds = self.server.cost(sql)
                elapsed.add(name, seconds * 1000)
                cpu.add(name, cpu_seconds * 1000)
            if command:
                milliseconds, cpu_milliseconds = self.duckdb(command, totals)
                elapsed.add(duckdb, milliseconds)
                cpu.add(duckdb, cpu_milliseconds)
        progress("rolling features: EXCLUDE GROUP, once")
        seconds, cpu_seconds = self.server.cost(native("CURRENT ROW EXCLUDE GROUP"))
        elapsed.add(exclude, seconds * 1000)
        cpu.add(exclude, cpu_seconds * 1000)
        self.report.section(
            "Rolling features of all rows",
            f"Count and sum over {', '.join(WINDOWS)} before each of {self.bench.options.rows:,} events "
            f"of {KEYS:,} keys (Zipf), added up so that every result is looked at; all forms gave the "
            "same totals before. Native forms add up bigint, whose frames move in constant time; "
            "pg_risk's sums are exact for float8. An index gives the order, which rolling_table does without. "
            "Milliseconds, without parallel workers; ratios are of processor times within a round; EXCLUDE "
            "GROUP ran once. The last two lines are less than any form has to do: rows numbered in that order, "
            "and six sums of what is in the table. DuckDB"
            + (f" {version}: in memory, one thread, float8." if command else " is not installed."))
        self.report.table(
            ["form", "elapsed", "processor time", "native / this", "EXCLUDE GROUP / this", "DuckDB / this"],
            [[name, number(elapsed.median(name)), number(cpu.median(name)),
              times(cpu.ratio(best, name)) if name in compared else "",
              times(cpu.median(exclude) / cpu.median(name)) if name in compared else "",
              times(cpu.ratio(duckdb, name)) if name in compared and command else ""]
             for name in [exclude, *([duckdb] if command else []), *compared]])
        for goal, both in (("rolling_table", (table, read)), ("rolling_array", (array, numbered))):
            self.figures.add(f"{goal}, native", *(cpu.ratio(best, name) for name in both))
            if command:
                self.figures.add(f"{goal}, DuckDB", *(cpu.ratio(duckdb, name) for name in both))
        self.figures.add("rolling_table, EXCLUDE GROUP",
                         *(cpu.median(exclude) / cpu.median(name) for name in (table, read)))

    def by_size(self):
        """Nanoseconds of processor time a row as keys grow."""
        spent = Samples()
        forms = {"native": native("'1 microsecond' PRECEDING", "sized WHERE size = {size}", "size"),
                 "rolling_array": by_array("sized WHERE size = {size}", "size")}
        for _ in self.bench.rounds("rows of a key"):
            for size in SIZES:
                for name, sql in forms.items():
                    repeats = max(SIZES) // size
                    seconds = sum(self.server.cost(sql.replace("{size}", str(size)))[1] for _ in range(repeats))
                    spent.add((name, size), seconds / repeats / size * 1e9)
        self.report.section(
            "Rolling features as keys grow",
            "The same for one key of so many events in 30 days: nanoseconds of processor time a row.")
        self.report.table(["form"] + [f"{size:,} rows" for size in SIZES],
                          [[name] + [number(spent.median((name, size))) for size in SIZES] for name in forms])
        self.figures.add("rolling_array, flat",
                         spent.ratio(("rolling_array", max(SIZES)), ("rolling_array", min(SIZES))))

    def run(self):
        self.prepare()
        self.server.query("SET max_parallel_workers_per_gather = 0")
        self.all_rows()
        self.by_size()
        self.server.query("RESET ALL")
