#!/usr/bin/env python3
"""bench.py: measures pg_risk side by side with what it replaces, and prints a report.

Run by run.sh, which makes what it needs: the programs, the models of
train_models.py and a private cluster (PGHOST, PGPORT, PGUSER).  Everything
that is compared is measured in turn, in rounds (see report.Samples).
"""
import argparse
import fcntl
import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import compiled
import kinds
import live
import recipes
import report
import rolling
import rollout
from goals import AVX512, GOALS, Figures
from recipes import FEATURES, TOLERANCE
from report import Samples, mebibytes, number, progress, times
from server import Connection, pgbench, private_memory, wait_for_end

IN_PROCESS = ["trees100_depth6", "trees500_depth6", "trees2000_depth8", "trees500_depth6_wide"]
COMPILED, ADDITIONS = "compiled if-else", "additions alone"     # as forest_bench calls them
SERVED = "trees500_depth6"      # the model of everything in the server
LARGE = "trees2000_depth8"      # but of first scores
PYTHON_ROWS = 5000
PYTHON_BATCH_ROWS = 100000
INSERT_ROWS = 50000             # of a bulk insert
PYTHON_INSERT_ROWS = 2000
FOLDER = os.path.dirname(os.path.abspath(__file__))

COLUMNS = ", ".join(f"f{i}" for i in range(FEATURES))
BY_ROW = "risk.score_transaction('m', t)"
BY_BATCH = "SELECT sum(score) FROM risk.score_batch('m', '{}', id_column => 'id')"
EMPTY, CONSTANT = "C, empty", "C, constant"    # what the server takes for any function
BY_PYTHON = f"python_score(array[{COLUMNS}])"
SCAN = "sum(f29)"               # the least that a query over the rows does


class Measured(NamedTuple):
    """A line of forest_bench: nanoseconds a row of two sides, and how their results differ."""

    trees: str
    kernel: str
    call: str
    xgboost: float
    forest: float
    difference: str


class Bench:
    """One run: its options, a connection and the report."""

    def __init__(self, options):
        self.options = options
        self.report = report.Report()
        self.figures = Figures()
        self.server = Connection()
        path = self.server.value("SHOW data_directory") + "/postmaster.pid"
        with open(path, encoding="ascii") as file:
            self.postmaster = int(file.readline())

    def model(self, name, ending="ubj"):
        return os.path.join(self.options.models, f"{name}.{ending}")

    @staticmethod
    def registration(model, version, path):
        """The statement that registers the model of a file."""
        with open(path, "rb") as file:
            return f"SELECT risk.register_model('{model}', '{version}', '\\x{file.read().hex()}')"

    def register(self, model, path):
        """Make the model of a file the champion; its certificate."""
        self.server.query(f"SELECT risk.create_model('{model}')")
        certificate = self.server.value(self.registration(model, "v1", path))
        self.server.query(f"SELECT risk.promote('{model}', 'v1')")
        return json.loads(certificate)

    def rounds(self, what, count=None):
        """Counts the rounds of a section, telling who waits."""
        count = count or self.options.rounds
        for i in range(count):
            progress(f"{what}: round {i + 1} of {count}")
            yield i

    # --- what the report begins with ----------------------------------------

    def introduce(self, certificate):
        """The machine, the versions and the rules."""
        write = self.report.write
        write("# Performance")
        write()
        command = " ".join(["make bench"] + [
            f"{name}={shlex.quote(os.environ[name])}"
            for name in ("REPORT", "PARTS", "KINDS", "ROWS", "DAYS", "ROUNDS", "SECONDS_EACH")
            if os.environ.get(name)])
        write(f"Printed by `{command}` on {report.today()}: every figure of this page comes from "
              "that one run.")
        write()
        write(f"- Machine: {report.machine()}; load average {report.load()} at the start.")
        write(f"- PostgreSQL {self.server.value('SHOW server_version')}, "
              f"libxgboost {certificate['library']}, {report.compiler()}, pg_risk "
              + self.server.value("SELECT extversion FROM pg_extension WHERE extname = 'pg_risk'")
              + ".")
        write("- What is compared is measured in turn, round by round; medians of "
              f"{self.options.rounds} rounds unless stated. A ratio or difference is the median of "
              "those within a round, so it is not exactly that of the medians. Compare ratios, "
              "not absolute times, with those of other machines.")
        wide = recipes.MODELS["trees500_depth6_wide"].features
        write(f"- Models: {FEATURES} features ({wide} the wide one), binary:logistic; in the server: "
              f"{SERVED}. Rows: synthetic, a tenth of the values missing.")

    def agree(self):
        """PL/Python and pg_risk give the same scores, or there is nothing to compare."""
        far = self.server.value(
            f"SELECT count(*) FROM (SELECT * FROM transactions LIMIT 1000) AS t "
            f"WHERE (abs({BY_ROW} - {BY_PYTHON}) <= {TOLERANCE}) IS NOT TRUE")
        if far != "0":
            raise RuntimeError(f"{far} of 1,000 rows have another score in PL/Python")

    # --- 1: one row, in process ---------------------------------------------

    def in_process(self):
        self.report.section(
            "In process",
            "One thread, nanoseconds a row, one row a call and 2,000 rows in one call (batch): "
            "each kernel of the forest that this processor has, the first being the one that the "
            "server takes, against libxgboost's in-place prediction "
            "(`XGBoosterPredictFromDense`), margins compared bit for bit; medians of 9 passes and "
            f"their ratios, processor time. {COMPILED}: the model as C code, as TL2cgen writes it, each "
            f"tree as nested ifs, compiled by the system's compiler with -O3. {ADDITIONS}: the leaves of "
            "a row, found before, added up in float32 in the order of the trees, which gives the margin.")
        rows = []
        for name in IN_PROCESS:
            progress(f"in process: {name}")
            lines = self.run_forest_bench(name, recipes.MODELS[name], *self.compiled(name))
            spent = {(line.call, line.kernel): line.forest for line in lines}
            for line in lines:
                rows.append([name, line.call, line.kernel, number(line.xgboost), number(line.forest),
                             times(line.xgboost / line.forest), line.difference])
                if (line.call, name, line.kernel) in GOALS:
                    self.figures.add((line.call, name, line.kernel), line.xgboost / line.forest,
                                     line.xgboost / spent["row", ADDITIONS] if line.call == "row" else None)
            if {("row", COMPILED), ("row", AVX512)} <= spent.keys():
                self.figures.add("compiled", *(spent["row", COMPILED] / spent["row", other]
                                               for other in (AVX512, ADDITIONS)))
        self.report.table(["model", "call", "kernel", "libxgboost", "this", "libxgboost / this",
                           "rows that differ"], rows)
        self.contributions()

    def compiled(self, name):
        """The library of a model as code, of the served one alone: compiling takes long."""
        if name != SERVED:
            return []
        progress(f"in process: {name} as code")
        return [compiled.library(self.model(name, "json"), self.options.scratch)]

    def run_forest_bench(self, name, recipe, *arguments):
        """What the program measures of a model, which is imported for it."""
        image = os.path.join(self.options.scratch, "image")
        with open(self.model(name), "rb") as model, open(image, "wb") as file:
            answer = subprocess.run([self.options.importer, "import"], stdin=model, stdout=subprocess.PIPE,
                                    check=True).stdout
            file.write(answer.partition(b"\n")[2])
        printed = subprocess.run([self.options.forest_bench, self.model(name), image,
                                  str(recipe.features), *arguments],
                                 stdout=subprocess.PIPE, text=True, check=True).stdout
        return [Measured(trees, kernel, call, float(xgboost), float(forest), difference)
                for trees, kernel, call, xgboost, forest, difference in re.findall(
                    r" (\d+) trees +(.*\S) +(row|batch) +libxgboost +([\d.]+) ns +forest +([\d.]+) ns "
                    r".*(?:differing rows|largest difference) (.*)", printed)]

    def contributions(self):
        """The same for what each feature adds."""
        self.report.section(
            "Contributions, in process",
            "Likewise: `forest_contributions()` and, 64 rows in one call, "
            "`forest_contributions_batch()` against libxgboost's `pred_contribs`, microseconds a "
            "row; the largest difference of two contributions, and the largest contribution. All "
            "vectors give the same bits.")
        rows = []
        for name in IN_PROCESS:
            progress(f"contributions: {name}")
            for line in self.run_forest_bench(name, recipes.MODELS[name], "contributions"):
                rows.append([name, line.call, line.kernel, number(line.xgboost / 1000),
                             number(line.forest / 1000), times(line.xgboost / line.forest),
                             *line.difference.split(" of ")])
                if name == SERVED and line.kernel == "AVX-512":
                    self.figures.add(("contributions", line.call), line.xgboost / line.forest)
        self.report.table(["model", "call", "vectors", "libxgboost", "this", "libxgboost / this",
                           "largest difference", "largest"], rows)

    # --- 2: many rows -------------------------------------------------------

    def forms(self):
        """Queries over many rows: name, statement, number of rows."""
        rows, json_rows = self.options.rows, self.options.json_rows
        python_rows = min(PYTHON_ROWS, rows)
        return [
            ("count(*)", "SELECT count(*) FROM transactions", rows),
            (SCAN, f"SELECT {SCAN} FROM transactions", rows),
            ("score, row", f"SELECT sum({BY_ROW}) FROM transactions AS t", rows),
            ("score, real[]", "SELECT sum(risk.score_transaction('m', features)) "
                              "FROM transactions_array", rows),
            ("score, jsonb", "SELECT sum(risk.score_transaction('m', transaction)) "
                             "FROM transactions_jsonb", json_rows),
            ("PL/Python, real[]", "SELECT sum(python_score(features)) FROM transactions_array "
                                  f"WHERE id <= {python_rows}", python_rows)]

    def many_rows(self):
        forms = self.forms()
        settings = {
            "serial": "SET max_parallel_workers_per_gather = 0",
            "parallel": "SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; "
                        "SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0"}
        self.report.section(
            "Many rows, in SQL",
            f"`SELECT sum(...)` over a table in memory, nanoseconds a row: {forms[0][2]:,} rows; "
            f"{forms[-2][2]:,} for jsonb and {forms[-1][2]:,} for PL/Python (the Booster cached in "
            "the session, one row a call, serial only), whose figures are per row too. Processor "
            "time is that of the serial query, and what ratios are of. Parallel: 2 workers and "
            "the leader.")
        elapsed, cpu = Samples(), Samples()
        self.server.query("SET enable_indexonlyscan = off")
        for table in ("transactions", "transactions_array", "transactions_jsonb"):
            self.server.query(f"SELECT count(*) FROM {table}")
        for i in self.rounds("many rows"):
            for mode, setting in settings.items():
                self.server.query(setting)
                for name, sql, count in forms:
                    if mode == "parallel" and name.startswith("PL/Python"):
                        continue
                    if i == 0:
                        self.require_plan(sql, mode)
                    seconds, cpu_seconds = self.server.cost(sql)
                    elapsed.add((mode, name), seconds / count * 1e9)
                    if mode == "serial":
                        cpu.add(name, cpu_seconds / count * 1e9)
        self.server.query("RESET ALL")
        python = forms[-1][0]
        table = []
        for name, _, _ in forms:
            parallel = ("parallel", name)
            table.append([
                name, number(cpu.median(name)),
                number(cpu.difference(name, SCAN)) if "score" in name else "",
                times(cpu.ratio(python, name)) if "score" in name else "",
                number(elapsed.median(("serial", name))),
                number(elapsed.median(parallel)) if parallel in elapsed.values else ""])
        self.report.table(["sum of", "processor time", f"over {SCAN}", "PL/Python / this",
                           "elapsed, serial", "elapsed, parallel"], table)
        both = ("score, row", SCAN)
        self.figures.add("per row", *(cpu.ratio(python, name) for name in both))
        self.figures.add("row argument", cpu.ratio("score, row", "score, real[]"))
        processes = min(3, len(os.sched_getaffinity(0)))
        self.figures.add("parallel", *(elapsed.ratio(("serial", name), ("parallel", name)) / processes
                                       for name in both))

    def require_plan(self, sql, mode):
        """Workers where they are to be measured, and only there."""
        plan = "\n".join(row[0] for row in self.server.query("EXPLAIN " + sql))
        if ("Workers Planned: 2" in plan) != (mode == "parallel"):
            raise RuntimeError(f"not a {mode} plan:\n{plan}")

    def whole_tables(self):
        """A table or query at once, and what does the same."""
        rows = self.options.rows
        python_rows = min(PYTHON_BATCH_ROWS, rows)
        python_source = f"SELECT * FROM transactions WHERE id <= {python_rows}"
        exports = importlib.util.find_spec("pandas") is not None
        by_row = f"SELECT sum({BY_ROW}) FROM transactions AS t"
        self.server.query(self.registration("m", "v2", self.model("challenger1")))
        forms = {
            SCAN: (f"SELECT {SCAN} FROM transactions", rows),
            "score_transaction(), row by row": (
                f"SET LOCAL pg_risk.block_scoring = off; {by_row}", rows),
            "score_transaction()": (by_row, rows),
            "score_batch()": (BY_BATCH.format("transactions"), rows),
            "compare_versions()": ("SELECT * FROM risk.compare_versions('m', 'v1', 'v2', "
                                   "'transactions')", rows),
            "PL/Python": (f"SELECT sum(score) FROM python_score_batch('{python_source}')",
                          python_rows)}
        self.report.section(
            "Whole tables",
            f"`risk.score_batch('m', 'transactions')` over {rows:,} rows; {SCAN}, which only reads "
            "them; a plain query, which "
            "scores in blocks as well, and with `pg_risk.block_scoring = off` row by row; two "
            "versions of the same size over the same rows, with all figures; and PL/Python, "
            f"which reads {python_rows:,} of the rows with a cursor, predicts blocks of 10,000 "
            "of them as NumPy arrays with the Booster cached, and yields id and score as "
            "`risk.score_batch()` does. One process each, no parallel query; processor time in "
            "nanoseconds a row, the statement's whole cost. "
            + ("COPY out: the same rows as PL/Python's as CSV into pandas, then libxgboost with 2 threads, "
               "nothing written back; elapsed time, beside that of `score_batch()` over all rows." if exports
               else "COPY out into pandas is left out: it is not installed."))
        self.server.query("SET max_parallel_workers_per_gather = 0")
        ours, theirs = (float(self.server.value(sql)) for sql in (
            BY_BATCH.format(python_source), forms["PL/Python"][0]))
        if not abs(ours - theirs) <= TOLERANCE * python_rows:
            raise RuntimeError(f"sums of scores: {ours} and PL/Python's {theirs}")
        elapsed, cpu = Samples(), Samples()
        for _ in self.rounds("whole tables"):
            for name, (sql, count) in forms.items():
                seconds, cpu_seconds = self.server.cost(sql)
                elapsed.add(name, seconds / count * 1e9)
                cpu.add(name, cpu_seconds / count * 1e9)
            if exports:
                elapsed.add("COPY out", self.export(python_rows, theirs) / python_rows * 1e9)
        self.server.query("RESET ALL")
        names = [*forms, *(["COPY out"] if exports else [])]
        self.report.table(
            ["form", "elapsed", "processor time", "PL/Python / this", "row by row / this",
             "COPY out / this, elapsed"],
            [[name, number(elapsed.median(name)), *(
                [number(cpu.median(name)), times(cpu.ratio("PL/Python", name)),
                 times(cpu.ratio("score_transaction(), row by row", name))] if name in forms else [""] * 3),
              times(elapsed.ratio("COPY out", name)) if exports else ""] for name in names])
        both = ("score_batch()", SCAN)
        self.figures.add("whole table", *(cpu.ratio("PL/Python", name) for name in both))
        if exports:
            self.figures.add("copy", *(elapsed.ratio("COPY out", name) for name in both))

    def export(self, count, wanted):
        """Seconds of export.py for so many rows, whose scores must add up to what is wanted."""
        line = subprocess.run(
            [sys.executable, os.path.join(FOLDER, "export.py"), self.model(SERVED),
             f"SELECT {COLUMNS} FROM transactions WHERE id <= {count}"],
            stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        if not abs(float(line[1]) - wanted) <= TOLERANCE * count:
            raise RuntimeError(f"sums of scores: COPY out's {line[1]} and {wanted}")
        return float(line[0])

    # --- 3: statements of clients -------------------------------------------

    def run_clients(self, what, scripts, settings="", between=None):
        """Every script in turn, round by round: samples of rate and of processor time.  Before
        each, `between` is called with its name."""
        rates, costs = Samples(), Samples()
        for _ in self.rounds(what):
            for name, script in scripts.items():
                if between:
                    between(name)
                rate, cost = pgbench(script, self.options.seconds, self.postmaster, settings)
                rates.add(name, rate)
                costs.add(name, cost)
        return rates, costs

    def lookups(self):
        self.report.section(
            "One transaction by its key",
            f"pgbench, prepared statements, 2 clients, runs of {self.options.seconds} s: "
            "statements a second, and the server's processor time for a statement in "
            f"microseconds, each client's first one left out. {EMPTY}: a function that does not "
            "look at the row, so what is over f29 there is the server's, which makes the row.")
        scripts = {
            name: f"\\set id random(1, {self.options.rows})\n"
                  f"SELECT {what} FROM transactions AS t WHERE id = :id;"
            for name, what in (("f29", "f29"), (EMPTY, "empty_score('m', t)"), ("score, row", BY_ROW),
                               ("PL/Python", BY_PYTHON))}
        rates, costs = self.run_clients("by key", scripts)
        self.report.table(
            ["select", "statements/s", "server us", "over f29"],
            [[name, number(rates.median(name)), number(costs.median(name)),
              number(costs.difference(name, "f29")) if name != "f29" else ""]
             for name in scripts])
        self.figures.add("by key", *(costs.difference(name, "f29") for name in ("score, row", EMPTY)))

    @staticmethod
    def insert_script(table):
        """A script of pgbench that inserts one row of 30 random values."""
        kinds = ["random_gaussian(-3000, 3000, 4.0) / 1000.0",
                 "exp(random_gaussian(-3000, 3000, 4.0) / 1000.0)", "random(0, 7)"]
        values = "".join(f"\\set f{i} {kinds[i % 3]}\n" for i in range(FEATURES))
        parameters = ", ".join(f":f{i}" for i in range(FEATURES))
        return (f"\\set id random(1, 1000000000)\n{values}"
                f"INSERT INTO {table} (id, {COLUMNS}) VALUES (:id, {parameters});")

    def bulk_insert(self, table, count):
        """The processor time of INSERT ... SELECT into an empty table, microseconds a row."""
        columns = "id, " + COLUMNS
        seconds = self.server.cost(f"INSERT INTO {table} ({columns}) SELECT {columns} "
                                   f"FROM transactions WHERE id <= {count}")[1]
        self.server.query(f"TRUNCATE {table}")
        return seconds / count * 1e6

    def bulk_inserts(self):
        """What triggers cost where nothing else does."""
        tables = {"none": ("inserts_plain", INSERT_ROWS), "plpgsql, empty": ("inserts_noop", INSERT_ROWS),
                  CONSTANT: ("inserts_constant", INSERT_ROWS),
                  "pg_risk": ("inserts_scored", INSERT_ROWS),
                  "PL/Python": ("inserts_python", PYTHON_INSERT_ROWS)}
        costs = Samples()
        for i in self.rounds("bulk inserts", self.options.rounds + 1):
            for name, (table, count) in tables.items():
                cost = self.bulk_insert(table, count)
                if i > 0:                       # the first round is for what is prepared once
                    costs.add(name, cost)
        self.report.section(
            "Bulk inserts with a scoring trigger",
            f"`INSERT ... SELECT` of {INSERT_ROWS:,} rows of {FEATURES} values "
            f"({PYTHON_INSERT_ROWS:,} for PL/Python): the server's processor time, microseconds a row. "
            f"{CONSTANT}: a trigger in C that sets the score to a constant, by the server's own means.")
        self.report.table(["trigger", "us", "over none"], [
            [name, number(costs.median(name)),
             number(costs.difference(name, "none")) if name != "none" else ""] for name in tables])
        self.figures.add("bulk insert", *(costs.difference(name, "none") for name in ("pg_risk", CONSTANT)))

    def inserts(self):
        self.report.section(
            "Inserts with a scoring trigger",
            f"pgbench, prepared statements, 2 clients, runs of {self.options.seconds} s; each "
            "inserts one row of 30 random values into a table without a trigger, with one in C that "
            "sets the score to a constant, with `risk.score_on_insert()`, and with a trigger in "
            "PL/Python. Microseconds are the server's processor time for an insert, each client's "
            "first one left out.")
        scripts = {
            name: self.insert_script(table)
            for name, table in (("none", "inserts_plain"), (CONSTANT, "inserts_constant"),
                                ("pg_risk", "inserts_scored"), ("PL/Python", "inserts_python"))}
        table = []
        for commit in ("off", "on"):
            rates, costs = self.run_clients(
                f"inserts, synchronous_commit {commit}", scripts,
                f"-c synchronous_commit={commit}",
                lambda _: self.server.query(
                    "TRUNCATE inserts_plain, inserts_constant, inserts_scored, inserts_python"))
            for name in scripts:
                table.append([
                    name, commit, number(rates.median(name)), times(rates.ratio(name, "none")),
                    number(costs.median(name)),
                    number(costs.difference(name, "none")) if name != "none" else ""])
            self.figures.add(f"insert, {commit}", *(rates.ratio(name, "none") for name in ("pg_risk", CONSTANT)))
        self.report.table(["trigger", "synchronous_commit", "inserts/s", "rate / none",
                           "server us", "over none"], table)

    # --- 4: a new connection ------------------------------------------------

    def connections(self):
        count = 2 * self.options.rounds + 1
        self.report.section(
            "A new connection",
            "Milliseconds from before connecting to the first answer, and the server process's "
            "private memory after it (private mappings only; shared memory holds the model). "
            f"Each line is a statement in connections of its own; medians of {count} rounds.")
        self.register("large", self.model(LARGE))
        key = "FROM transactions AS t WHERE id = 1"
        base, row, by_key, large = "a C function", "f29 by key", "score, row by key", f"score by {LARGE}"
        first = {
            base: "SELECT risk.window_name('1 hour')",
            row: f"SELECT f29 {key}",
            by_key: f"SELECT {BY_ROW} {key}",
            large: f"SELECT risk.score_transaction('large', t) {key}",
            "PL/Python by key": f"SELECT {BY_PYTHON} {key}"}
        durations, memories = Samples(), Samples()
        for _ in self.rounds("new connection", count):
            for name, sql in first.items():
                start = time.perf_counter()
                with Connection() as connection:
                    connection.query(sql)
                    durations.add(name, (time.perf_counter() - start) * 1000)
                    memories.add(name, private_memory(connection.pid))
                wait_for_end(connection.pid)    # or the next one waits for its pages to be freed
        self.report.table(
            ["first statement", "connect to answer, ms", "over a C function", "private memory",
             "over a C function"],
            [[name, number(durations.median(name)),
              number(durations.difference(name, base)) if name != base else "",
              mebibytes(memories.median(name)),
              mebibytes(memories.difference(name, base)) if name != base else ""]
             for name in first])
        image, plan = map(int, self.server.query(
            "SELECT image_bytes, plan_bytes FROM risk.cached_models WHERE model = 'm' AND version = 'v1'")[0])
        self.report.write(
            f"\nIn shared memory, once for all connections, of {SERVED}: the plan, which scoring touches, "
            f"{mebibytes(plan)}; the image, {mebibytes(image)}.")
        self.figures.add("first score", *(durations.difference(name, base) for name in (by_key, row)))
        self.figures.add("first score, memory", *(max(memories.difference(name, base) for name in names) / (1 << 20)
                                                  for names in ((by_key, large), (row,))))
        self.figures.add("plan", plan / 1024)

    # --- 5: import ----------------------------------------------------------

    def run_import(self, path):
        """Run the importer on a file of a large model: its answer, seconds, bytes of memory at its peak."""
        start = time.perf_counter()
        with open(path, "rb") as model, subprocess.Popen(
                [self.options.importer, "import"], stdin=model, stdout=subprocess.PIPE) as process:
            # It answers last, and cannot end before a small pipe is read: its
            # peak is known then.  (rusage would count this program's pages.)
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
            answer = process.stdout.read(1)
            peak = report.first_match(f"/proc/{process.pid}/status", r"VmHWM:\s*(\d+)")
            answer += process.stdout.read()
        if process.returncode != 0:
            raise RuntimeError(f"{path}: {answer.decode()}")
        return answer, time.perf_counter() - start, int(peak) * 1024

    def imports(self):
        count = min(3, self.options.rounds)
        self.report.section(
            "Import",
            "The importer program (`pg_risk_xgboost import`, one process): seconds to read, "
            "flatten and certify a model, and its memory at the peak; medians of "
            f"{count} rounds.")
        durations, memories, images = Samples(), Samples(), {}
        files = [(name, ending) for name in IN_PROCESS for ending in ("ubj", "json")]
        for _ in self.rounds("import", count):
            for key in files:
                answer, seconds, memory = self.run_import(self.model(*key))
                durations.add(key, seconds)
                memories.add(key, memory)
                images[key] = len(answer.partition(b"\n")[2])
        self.report.table(
            ["model", "file", "image", "seconds", "peak memory"],
            [[".".join(key), mebibytes(os.path.getsize(self.model(*key))),
              mebibytes(images[key]), number(durations.median(key)),
              mebibytes(memories.median(key))] for key in files])

    def scoring(self):
        for section in (self.in_process, self.many_rows, self.whole_tables, self.lookups,
                        self.bulk_inserts, self.inserts, self.connections, self.imports):
            section()

    def run(self):
        progress("tables")
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "bench", "-f",
                        os.path.join(FOLDER, "setup.sql"),
                        "-v", f"rows={self.options.rows}",
                        "-v", f"json_rows={self.options.json_rows}",
                        "-v", f"bare={self.options.scratch}/bare.so"],
                       check=True, stdout=subprocess.DEVNULL)
        certificate = self.register("m", self.model(SERVED))
        self.agree()
        self.introduce(certificate)
        place = len(self.report.text)
        for name, part in PARTS.items():
            if name in self.options.parts:
                part(self)
        self.report.write(f"\nLoad average at the end: {report.load()}.")
        end = len(self.report.text)
        self.figures.write(self.report)
        self.report.move_up(end, place)


PARTS = {
    "scoring": Bench.scoring,
    "kinds": lambda bench: kinds.Kinds(bench).run(),
    "rollout": lambda bench: rollout.Rollout(bench).run(),
    "rolling": lambda bench: rolling.Rolling(bench).run(),
    "live": lambda bench: live.Live(bench).run()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", required=True, help="folder of train_models.py's files")
    parser.add_argument("--forest-bench", required=True, help="the program")
    parser.add_argument("--importer", required=True, help="the program")
    parser.add_argument("--scratch", required=True, help="folder for what is made")
    parser.add_argument("--report", help="file that the report is written to as well")
    parser.add_argument("--parts", default="scoring rollout rolling live", type=str.split,
                        help="what is measured")
    parser.add_argument("--days", type=int, default=8, help="of events for live features")
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=1, help="of one run of pgbench")
    options = parser.parse_args()
    if options.days < 8:
        parser.error("windows of 7 days before any moment of the last day need 8 days")
    for name in set(options.parts) - PARTS.keys():
        parser.error(f"there is no part \"{name}\": there are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))   # what it started ends with it
    options.json_rows = max(options.rows // 10, 1)

    start = time.monotonic()
    bench = Bench(options)
    bench.run()
    if options.report:
        with open(options.report, "w", encoding="utf-8") as file:
            file.write(bench.report.text)
        progress(f"written to {options.report}")
    progress(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
