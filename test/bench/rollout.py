"""rollout.py: what rollouts cost: logging and shadows, the queue, a change of route, a report.

Each combination of log and shadows is a model of its own, all with the same
champion, so that within a round nothing is altered and no route changes.
"""
import contextlib
import os
import threading
import time

from report import Samples, number, progress, times
from server import Connection, process_cpu, wait_for_end

QUEUE_ROWS = 20000              # rows of a statement whose requests must fit into the queue
INSERT_ROWS = 10000             # of a bulk insert
SHADOWS = ["challenger1", "challenger2", "challenger3"]
LOGS = [("off", 0)] + [(log, shadows) for log in ("queued", "transactional")
                       for shadows in (0, 1, 3)]
QUEUED = [(log, shadows) for log, shadows in LOGS if log == "queued"]

# The area under the ROC curve of a score: the ranks' mean where scores are equal.
PLAIN_AUC = """
    WITH pair AS (
        SELECT p.score, p.champion_score, l.label
        FROM risk.predictions AS p JOIN risk.labels AS l ON l.entity_id = p.entity_id
        WHERE p.model = 'report' AND p.version = 'challenger1' AND p.role = 'shadow'
    ), ranked AS (
        SELECT label,
               rank() OVER s + (count(*) OVER (PARTITION BY score) - 1) / 2.0::float8 AS r,
               rank() OVER c + (count(*) OVER (PARTITION BY champion_score) - 1) / 2.0::float8 AS cr
        FROM pair WINDOW s AS (ORDER BY score), c AS (ORDER BY champion_score)
    ), total AS (
        SELECT sum(r) FILTER (WHERE label) AS r, sum(cr) FILTER (WHERE label) AS cr,
               count(*) FILTER (WHERE label)::float8 AS p, count(*) FILTER (WHERE NOT label) AS n
        FROM ranked
    )
    SELECT (r - p * (p + 1) / 2) / (p * n), (cr - p * (p + 1) / 2) / (p * n) FROM total"""


def model_of(log, shadows):
    return f"{log}_{shadows}"


class Rollout:
    """The sections about rollouts, of one run of bench.py."""

    def __init__(self, bench):
        self.bench = bench
        self.server = bench.server
        self.report = bench.report

    def register(self, model, champion, others=()):
        """A model, its champion and other versions."""
        self.server.query(f"SELECT risk.create_model('{model}', entity_id => 'id')")
        for name in (champion, *others):
            self.server.query(self.bench.registration(model, name, self.bench.model(name)))
        self.server.query(f"SELECT risk.promote('{model}', '{champion}')")

    def prepare(self):
        """The models, and a table with a scoring trigger for each."""
        progress("rollouts: models")
        for log, shadows in LOGS:
            model = model_of(log, shadows)
            self.register(model, "trees500_depth6", SHADOWS[:shadows])
            self.server.query(f"SELECT risk.alter_model('{model}', log => '{log}')")
            for shadow in SHADOWS[:shadows]:
                self.server.query(f"SELECT risk.start_shadow('{model}', '{shadow}')")
            self.server.query(f"CREATE TABLE inserts_{model} (LIKE inserts_plain); "
                              f"CREATE TRIGGER score BEFORE INSERT ON inserts_{model} FOR EACH ROW "
                              f"EXECUTE FUNCTION risk.score_on_insert('{model}', 'score')")
        for log in ("off", "queued"):
            self.register(f"small_{log}", "trees100_depth6")
            self.server.query(f"SELECT risk.alter_model('small_{log}', log => '{log}')")
        self.register("route", "trees500_depth6", SHADOWS[:1])
        self.register("canary", "trees500_depth6", SHADOWS[:1])
        self.server.query("SELECT risk.alter_model('canary', log => 'queued'); "
                          "SELECT risk.start_canary('canary', 'challenger1', 5)")
        self.register("report", "trees500_depth6", SHADOWS[:1])
        self.server.query("CREATE TABLE plain AS SELECT 0 AS n")

    # --- the worker ---------------------------------------------------------

    def worker(self):
        """The worker's process, if there is one."""
        rows = self.server.query("SELECT pid FROM pg_stat_activity "
                                 "WHERE backend_type = 'pg_risk worker' AND datname = 'bench'")
        return int(rows[0][0]) if rows else None

    def wait_for(self, sql):
        """Until a query says true."""
        while self.server.value(sql) != "t":
            time.sleep(0.005)

    def drain(self):
        """Until everything that was queued is written."""
        self.wait_for("SELECT sum(waiting) = 0 FROM risk.queue_status")

    def dismiss_worker(self):
        """What is queued is written, and no worker is there: the next request calls one."""
        self.drain()
        pid = self.worker()
        if pid:
            self.server.query(f"SELECT pg_terminate_backend({pid})")
            wait_for_end(pid)

    @contextlib.contextmanager
    def held_worker(self):
        """The worker waits for a lock, and takes no processor time, until the end of this."""
        self.drain()
        with Connection() as holder:
            holder.query("BEGIN; LOCK TABLE risk.predictions IN SHARE MODE")
            self.server.query(self.scores("queued_0", 1))
            self.wait_for("SELECT EXISTS (SELECT FROM pg_locks AS l, pg_stat_activity AS a "
                          "WHERE l.pid = a.pid AND a.backend_type = 'pg_risk worker' "
                          "AND NOT l.granted)")
            yield
            holder.query("COMMIT")

    def dropped(self):
        """Requests for which the queue had no room, so far."""
        return int(self.server.value("SELECT sum(dropped) FROM risk.queue_status"))

    @staticmethod
    def scores(model, count, first=1):
        """A query that scores so many rows of the table."""
        return (f"SELECT sum(risk.score_transaction('{model}', t)) FROM transactions AS t "
                f"WHERE id >= {first} AND id < {first + count}")

    def cost(self, model):
        """Processor time of the caller, nanoseconds a row."""
        return self.server.cost(self.scores(model, QUEUE_ROWS))[1] / QUEUE_ROWS * 1e9

    # --- what a query pays --------------------------------------------------

    def queries(self):
        """The caller's costs, and in passing the worker's: it writes what has been queued."""
        idle, busy, writer = Samples(), Samples(), Samples()
        before = self.dropped()
        self.server.query("SET max_parallel_workers_per_gather = 0; SET pg_risk.block_scoring = off")
        for key in QUEUED:
            self.cost(model_of(*key))
        self.drain()
        self.server.query("TRUNCATE risk.predictions")
        for _ in self.bench.rounds("queueing"):
            for key in QUEUED:
                with self.held_worker():
                    self.cost("off_0")          # what other statements did to caches is over
                    idle.add(("off", key[1]), self.cost("off_0"))
                    idle.add(key, self.cost(model_of(*key)))
                    self.server.query("SET pg_risk.block_scoring = on")
                    idle.add("blocks", self.cost("off_0"))
                    self.server.query("SET pg_risk.block_scoring = off")
                    pid = self.worker()
                    start, cpu = time.perf_counter(), process_cpu(pid)
                self.drain()
                self.add_written(writer, key, time.perf_counter() - start, process_cpu(pid) - cpu)
            with self.held_worker():            # much to write, when it is let go
                self.cost("queued_3")
            for key in QUEUED:
                busy.add(("off", key[1]), self.cost("off_0"))
                busy.add(key, self.cost(model_of(*key)))
            if self.server.value("SELECT sum(waiting) > 3 * "
                                 f"{QUEUE_ROWS} FROM risk.queue_status") != "t":
                raise RuntimeError("the worker had nothing left to write")
            self.drain()
            self.server.query("TRUNCATE risk.predictions")
        dropped = self.dropped() - before
        self.server.query("RESET ALL")
        self.report_queries(idle, busy, dropped)
        self.report_writer(writer)

    def report_queries(self, idle, busy, dropped):
        self.report.section(
            "What a query pays for logging",
            f"`SELECT sum(risk.score_transaction('m', t))` over {QUEUE_ROWS:,} rows: the caller's "
            "processor time, nanoseconds a row, and what logging adds to it (to the same query "
            "with log off, right before), while the worker is held back by a lock and while it "
            "writes, a process of its own. `pg_risk.block_scoring` is off on both sides: transactions "
            "that are logged are scored row by row, whatever it is, and what blocks save is no cost of "
            "the log; in blocks: the query without a log as it is by default. A query always logs by "
            "way of the queue, so `transactional` is `queued` here. Shadows are challengers of "
            f"the champion's size, with its features. Dropped requests: {dropped}.")
        def extra(samples, shadows):
            return samples.difference(("queued", shadows), ("off", shadows))

        self.report.table(
            ["log", "shadows", "worker held", "over off", "worker writing", "over off"],
            [["off, in blocks", 0, number(idle.median("blocks")), "", "", ""],
             ["off", 0, number(idle.median(("off", 0))), "", number(busy.median(("off", 0))), ""]]
            + [["queued", shadows, number(idle.median(("queued", shadows))),
                number(extra(idle, shadows)), number(busy.median(("queued", shadows))),
                number(extra(busy, shadows))] for _, shadows in QUEUED])
        self.bench.figures.add("queued", max(extra(samples, 0) for samples in (idle, busy)))

    # --- what the worker writes ---------------------------------------------

    def add_written(self, samples, key, seconds, cpu):
        """Samples of the worker's writing, and of writing the same rows by one statement."""
        self.server.query("CREATE TABLE written AS SELECT * FROM risk.predictions; "
                          "TRUNCATE risk.predictions")
        rows = int(self.server.value("SELECT count(*) FROM written"))
        plain = self.server.cost("INSERT INTO risk.predictions SELECT * FROM written")
        self.server.query("DROP TABLE written; TRUNCATE risk.predictions")
        for name, value in (("transactions", QUEUE_ROWS / seconds), ("rows", rows / seconds),
                            ("worker", cpu / rows * 1e6), ("plain", plain[1] / rows * 1e6)):
            samples.add((key, name), value)

    def report_writer(self, writer):
        self.report.section(
            "What the worker writes",
            f"The requests of {QUEUE_ROWS:,} transactions, from the moment it is let go until all "
            "are committed: it scores the shadows and inserts into `risk.predictions`, a row for "
            "the champion and one for each shadow. Beside it: one `INSERT ... SELECT` of the same "
            "rows into the same table. Processor time in microseconds a row.")
        self.report.table(
            ["shadows", "transactions/s", "rows/s", "worker", "INSERT ... SELECT", "ratio"],
            [[shadows, *(number(writer.median((("queued", shadows), name)))
                         for name in ("transactions", "rows", "worker", "plain")),
              times(writer.ratio((("queued", shadows), "worker"), (("queued", shadows), "plain")))]
             for _, shadows in QUEUED])

    # --- how fast it can be queued ------------------------------------------

    def together(self, connections, model, total):
        """Score rows in several sessions at a time: rows a second, processor nanoseconds a row."""
        count = total // len(connections)
        spent = []

        def score(place, connection):
            spent.append(connection.cost(self.scores(model, count, 1 + place * count))[1])

        threads = [threading.Thread(target=score, args=pair) for pair in enumerate(connections)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - start
        if len(spent) != len(connections):
            raise RuntimeError("a session failed")
        return total / elapsed, sum(spent) / total * 1e9

    def full_queue(self):
        """Processor nanoseconds a row of a query that finds the queue full, at every row."""
        lost = 0
        with self.held_worker():
            while lost < QUEUE_ROWS:
                before = self.dropped()
                cost = self.cost("small_queued")
                lost = self.dropped() - before
        return cost

    def puts(self):
        rates, costs = Samples(), Samples()
        dropped, off = 0, ("off", 1)
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(Connection()) for _ in range(4)]
            for connection in (self.server, *connections):
                connection.query("SET max_parallel_workers_per_gather = 0; SET pg_risk.block_scoring = off")
                for log in ("off", "queued"):
                    connection.query(self.scores(f"small_{log}", 1000))
            for _ in self.bench.rounds("putting"):
                before = self.dropped()
                for sessions in (1, 4):
                    for log in ("off", "queued"):
                        with self.held_worker():
                            rate, cost = self.together(connections[:sessions], f"small_{log}",
                                                       2 * QUEUE_ROWS)
                        rates.add((log, sessions), rate)
                        costs.add((log, sessions), cost)
                dropped += self.dropped() - before
                costs.add("full", self.full_queue())
                self.drain()
                self.server.query("TRUNCATE risk.predictions")
        self.server.query("RESET ALL")
        self.report.section(
            "How fast requests can be queued",
            f"{2 * QUEUE_ROWS:,} rows scored row by row in one session, and in four at a time, by a smaller "
            "champion (trees100_depth6), the worker held back: rows a second together, and the "
            "callers' processor time, nanoseconds a row. Full: the queue was filled before, so "
            f"that each request is dropped and counted. Dropped otherwise: {dropped}.")
        table = []
        for sessions in (1, 4):
            for log in ("off", "queued"):
                key = (log, sessions)
                table.append([
                    log, sessions, number(rates.median(key)),
                    times(rates.ratio(key, ("off", sessions))), number(costs.median(key)),
                    number(costs.difference(key, ("off", sessions))) if log != "off" else ""])
        table.append(["full", 1, "", "", number(costs.median("full")),
                      number(costs.difference("full", off))])
        self.report.table(["log", "sessions", "rows/s", "rate / off", "processor time", "over off"],
                          table)

    # --- what a trigger pays ------------------------------------------------

    def bulk_inserts(self):
        """Microseconds of the caller's processor time for a row, by table."""
        tables = ["plain"] + [model_of(*key) for key in LOGS]
        costs = Samples()
        for i in self.bench.rounds("bulk inserts", self.bench.options.rounds + 1):
            for name in tables:
                self.drain()
                cost = self.bench.bulk_insert(f"inserts_{name}", INSERT_ROWS)
                if i > 0:                       # the first round is for what is prepared once
                    costs.add(name, cost)
            self.drain()
            self.server.query("TRUNCATE risk.predictions")
        return costs

    def single_inserts(self):
        """Rates, and microseconds of processor time, of inserts by pgbench."""
        tables = ["plain"] + [model_of(*key) for key in LOGS]

        def between(name):
            self.dismiss_worker()
            self.server.query(f"TRUNCATE inserts_{name}, risk.predictions")

        scripts = {name: self.bench.insert_script(f"inserts_{name}") for name in tables}
        return self.bench.run_clients("single inserts", scripts, "-c synchronous_commit=off",
                                      between)

    def triggers(self):
        before = self.dropped()
        bulk = self.bulk_inserts()
        rates, costs = self.single_inserts()
        self.drain()
        self.report.section(
            "What a scoring trigger pays for logging",
            f"Bulk: `INSERT ... SELECT` of {INSERT_ROWS:,} rows, the caller's processor time, "
            "microseconds a row. Single: pgbench, 2 clients, synchronous_commit off, as in "
            "the section about inserts: the clients' server processes, microseconds an insert, "
            "the worker's not among them; but it takes its share of the cores from the rate. A "
            "`transactional` log is written by the insert itself, shadows scored first. "
            f"Dropped requests: {self.dropped() - before}.")
        off, table = model_of("off", 0), []
        for name, log, shadows in [("plain", "no trigger", "")] + [
                (model_of(*key), *key) for key in LOGS]:
            logs = name not in ("plain", off)
            table.append([
                log, shadows, number(bulk.median(name)),
                number(bulk.difference(name, off)) if logs else "",
                number(rates.median(name)), times(rates.ratio(name, off)),
                number(costs.median(name)), number(costs.difference(name, off)) if logs else ""])
        self.report.table(["log", "shadows", "bulk us", "over off", "single/s", "rate / off",
                           "single us", "over off"], table)

    # --- a change of route --------------------------------------------------

    def route_changes(self):
        count = 10 * self.bench.options.rounds
        changes = {
            "UPDATE": ("route", "UPDATE plain SET n = n + 1", "UPDATE plain SET n = n + 1"),
            "promote()": ("route", "SELECT risk.promote('route', 'challenger1')",
                          "SELECT risk.promote('route', 'trees500_depth6')"),
            "set_canary()": ("canary", "SELECT risk.set_canary('canary', 10)",
                             "SELECT risk.set_canary('canary', 5)")}
        progress(f"route: {count} changes of each kind")
        commits, elapsed, cpu = Samples(), Samples(), Samples()
        with Connection() as scorer, Connection() as other:
            for i in range(count):
                for name, (model, *ways) in changes.items():
                    sql = self.scores(model, 1, 1 + i % self.bench.options.rows)
                    for _ in range(10):
                        before = scorer.cost(sql)
                    commits.add(name, other.cost(ways[i % 2])[0] * 1000)
                    for when, cost in (("before", before), ("first", scorer.cost(sql)),
                                       ("second", scorer.cost(sql))):
                        elapsed.add((name, when), cost[0] * 1e6)
                        cpu.add((name, when), cost[1] * 1e6)
        self.dismiss_worker()
        self.report_route_changes(changes, commits, elapsed, cpu, count)

    def report_route_changes(self, changes, commits, elapsed, cpu, count):
        self.report.section(
            "A change of route",
            "One session changes a route, each change a transaction of its own: milliseconds "
            "until it is committed. Another session scores a row by its key: microseconds of its "
            "tenth statement in a row before the change, of the first one after, and of the "
            "second. The first one comes after a pause, so it is compared with the first one "
            "after an UPDATE of one row of a plain table: elapsed, and processor time. The "
            f"versions are in memory. Medians of {count} changes.")
        table = []
        for name in changes:
            first, usual = (name, "first"), ("UPDATE", "first")
            moved = name != "UPDATE"
            table.append([
                name, number(commits.median(name)),
                times(commits.ratio(name, "UPDATE")) if moved else "",
                *(number(elapsed.median((name, when))) for when in ("before", "first", "second")),
                number(elapsed.difference(first, usual)) if moved else "",
                number(cpu.difference(first, usual)) if moved else ""])
        self.report.table(["change", "commit, ms", "this / UPDATE", "before, us", "first, us",
                           "second, us", "first over UPDATE's", "processor time"], table)

    # --- scoring while routes change ----------------------------------------

    def latencies(self, scorer, ways):
        """Microseconds of each score of some seconds, in order of size, and how many changes
        another session committed meanwhile."""
        sql, spent, changes = self.scores("route", 1), [], 0
        stop = threading.Event()

        def change():
            nonlocal changes
            with Connection() as other:
                while ways and not stop.is_set():
                    other.query(ways[changes % 2])
                    changes += 1

        thread = threading.Thread(target=change)
        thread.start()
        end = time.perf_counter() + self.bench.options.seconds
        while time.perf_counter() < end:
            spent.append(scorer.cost(sql)[0] * 1e6)
        stop.set()
        thread.join()
        return sorted(spent), changes

    def moving_routes(self):
        others = {
            "nothing": [],
            "an UPDATE after the other": ["UPDATE plain SET n = n + 1"] * 2,
            "a promote() after the other": [f"SELECT risk.promote('route', '{version}')"
                                            for version in (SHADOWS[0], "trees500_depth6")]}
        samples, changes = Samples(), dict.fromkeys(others, 0)
        with Connection() as scorer:
            for _ in self.bench.rounds("moving routes"):
                for name, ways in others.items():
                    spent, count = self.latencies(scorer, ways)
                    changes[name] += count
                    for share in (0.5, 0.99, 0.999):
                        samples.add((name, share), spent[int(share * len(spent))])
                    samples.add((name, 1), spent[-1])
        self.dismiss_worker()
        self.report.section(
            "Scoring while routes change",
            "One session scores a row by its key, statement after statement, while another one "
            f"does something else, in runs of {self.bench.options.seconds} s: microseconds of a "
            "statement, its client's side included. An UPDATE of one row of a plain table "
            "takes a commit and the other core as a promotion does.")
        self.report.table(
            ["the other one does", "changes", "median", "p99", "p99.9", "longest", "longest / UPDATE's"],
            [[name, f"{changes[name]:,}", *(number(samples.median((name, share)))
                                            for share in (0.5, 0.99, 0.999, 1)),
              times(samples.ratio((name, 1), ("an UPDATE after the other", 1)))]
             for name in others])

    # --- a report -----------------------------------------------------------

    def fill_report(self):
        """Pairs and labels as a day of a shadow would have left them."""
        rows = self.bench.options.rows
        self.server.query(f"""
            TRUNCATE risk.predictions;
            SELECT risk.alter_model('report', label_maturity => '0', decision_threshold => 0.9,
                                    review_capacity => 10);
            SELECT setseed(0.5);
            INSERT INTO risk.predictions
                (model, entity_id, event_time, scored_at, version, role, score, champion_version,
                 champion_score, latency_us, champion_latency_us, missing_share, source)
            SELECT 'report', id::text, now(),
                   now() + (date_trunc('day', now(), 'UTC') + interval '1 day' - now()) * (id - 1) / {rows},
                   'challenger1', 'shadow', least(s + 0.1 * random(), 1)::real, 'trees500_depth6',
                   s::real, 7 + random(), 7 + random(), 0.1, 'trigger'
            FROM (SELECT id, random() AS s FROM generate_series(1, {rows}) AS id) AS g;
            INSERT INTO risk.labels (entity_id, label, source, amount)
            SELECT entity_id, random() < 0.1 * champion_score ^ 4, 'chargeback', 100 * random()
            FROM risk.predictions""")
        for table in ("risk.predictions", "risk.labels"):
            self.server.query(f"VACUUM (FREEZE, ANALYZE) {table}")

    def reports(self):
        progress("report: rows")
        self.fill_report()
        rows, count = self.bench.options.rows, min(3, self.bench.options.rounds)
        arguments, plain = "('report', 'challenger1')", "both AUCs in plain SQL"
        forms = {
            "count(*) of the pairs": "SELECT count(*) FROM risk.predictions WHERE model = 'report' "
                                     "AND version = 'challenger1' AND role = 'shadow'",
            plain: PLAIN_AUC,
            "risk.canary_report()": f"SELECT * FROM risk.canary_report{arguments}",
            "risk.canary_report_text()": f"SELECT risk.canary_report_text{arguments}"}
        self.server.query("SET max_parallel_workers_per_gather = 0")
        self.agree_on_auc(arguments)
        elapsed, cpu = Samples(), Samples()
        for _ in self.bench.rounds("report", count):
            for name, sql in forms.items():
                seconds, cpu_seconds = self.server.cost(sql)
                elapsed.add(name, seconds)
                cpu.add(name, cpu_seconds)
        self.server.query("RESET ALL")
        self.report.section(
            "A report",
            f"{rows:,} pairs of one version with the champion, each with a label: all figures of "
            "`risk.canary_report()`, beside the two AUCs alone, computed by window functions "
            "and compared with the report's before. Seconds, without parallel workers; the ratio "
            f"is that of processor times; medians of {count} rounds. The rows were inserted by "
            "SQL, scores and labels random.")
        self.report.table(["what", "elapsed", "processor time", "this / AUCs in SQL"],
                          [[name, number(elapsed.median(name)), number(cpu.median(name)),
                            times(cpu.ratio(name, plain))] for name in forms])

    def agree_on_auc(self, arguments):
        """The report and plain SQL have the same AUCs, or there is nothing to compare."""
        ours = self.server.query(f"SELECT challenger, champion FROM risk.canary_report{arguments} "
                                 "WHERE metric = 'auc'")
        plain = self.server.query(PLAIN_AUC)
        for one, other in zip(ours[0], plain[0]):
            if abs(float(one) - float(other)) > 1e-9:
                raise RuntimeError(f"AUC {one} of the report, {other} of plain SQL")

    def run(self):
        self.prepare()
        for section in (self.queries, self.puts, self.triggers, self.route_changes,
                        self.moving_routes, self.reports):
            section()
