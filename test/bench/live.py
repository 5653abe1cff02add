"""live.py: what declared rolling features cost: lookups, inserts, storage, a whole decision.

A hot account with 50,000 events a day, a cold one with 100, and 10,000 others with 33,000 together.
A run has as many days as it is told (--days, 8 by default; 30 are 2.5 million events): more days
change no window, only what lies before it.  Whatever the engine keeps of the events is brought up to date
before anything is measured.
"""
import json
import os
import random

import decision
from report import Samples, number, progress, times
from server import pgbench_rate
from service import COLUMNS as COLUMN_LIST, FEATURES

HOT, COLD, OTHERS = 0, -1, 10000                # accounts; the others are 1 to 10,000
PER_DAY = {"hot": 50000, "cold": 100, "others": 33000}
WINDOWS = {"1 hour": "1h", "24 hours": "24h", "7 days": "7d"}
HISTORY = 200000                # events that tables of inserts begin with
BULK_ROWS = 20000
LATE_SHARES = [0, 2, 20]        # per cent
LATE_ROWS = 50000               # that a refresh has to work in
WRITERS = [1, 2, 4, 8]
COLUMNS = ", ".join(COLUMN_LIST)

EVENTS = """
    CREATE TABLE live (id bigint, account bigint, at timestamptz, amount float8);
    INSERT INTO live
        SELECT row_number() OVER (ORDER BY at), account, at, amount FROM (
            SELECT account, timestamptz '2026-01-01' + random() * {days} * interval '1 day' AS at,
                   floor(random() * 100000) AS amount
            FROM (SELECT {hot} AS account FROM generate_series(1, {days} * {per_day[hot]})
                  UNION ALL SELECT {cold} FROM generate_series(1, {days} * {per_day[cold]})
                  UNION ALL SELECT 1 + floor(random() * {others}) FROM generate_series(1, {days} * {per_day[others]})) AS a
        ) AS e ORDER BY at;
    CREATE INDEX ON live (account, at) INCLUDE (amount);
"""

# Transactions that a model scores: f0 to f27, and what came before.
PAYMENTS = """
    CREATE TABLE {table} (id bigint, account bigint, receiver int, at timestamptz, amount float8, {columns}, score float8);
    INSERT INTO {table} (id, account, receiver, at, amount, {names})
        SELECT i, 1 + (i * 7919) % {others}, i % 97, now() - interval '8 days' * (1 - i / {history}.0), i % 1000, {names}
        FROM generate_series(1, {history}) AS i JOIN transactions AS t ON t.id = 1 + i % {rows};
    CREATE INDEX ON {table} (account, at) INCLUDE (amount);
"""

SETS = [("sums", "{count,sum}"), ("shape", "{avg,stddev,min,max}"), ("receivers", "{distinct(receiver),since_last}")]


class Live:
    """The sections about declared rolling features, of one run of bench.py."""

    def __init__(self, bench):
        self.bench = bench
        self.server = bench.server
        self.report = bench.report
        self.figures = bench.figures
        self.rounds = min(3, bench.options.rounds)
        self.refreshes = self.server.value("SELECT to_regproc('risk.refresh_rolling_features') IS NOT NULL") == "t"

    # --- the engine ---------------------------------------------------------

    def declare(self, table, name, aggregates, windows):
        self.server.query(f"SELECT risk.create_rolling_features('{table}', 'account', 'at', 'amount', name => '{name}', "
                          f"windows => '{{{','.join(windows)}}}', aggregates => '{aggregates}')")

    def refresh(self, table):
        """What the engine keeps is brought up to date; its processor time, seconds."""
        cost = self.server.cost(f"CALL risk.refresh_rolling_features('{table}')")[1] if self.refreshes else 0
        self.server.query(f"VACUUM (ANALYZE) {table}")
        return cost

    def size(self):
        """Bytes of the database, of tables and indexes that are there."""
        self.server.query("VACUUM")
        return int(self.server.value("SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relkind IN ('r', 'i', 't', 'm')"))

    # --- lookups ------------------------------------------------------------

    def prepare_events(self):
        progress("live features: events")
        self.server.query("SELECT setseed(0.5);" + EVENTS.format(
            days=self.bench.options.days, hot=HOT, cold=COLD, others=OTHERS, per_day=PER_DAY))
        self.server.query("VACUUM (FREEZE, ANALYZE) live")

    @staticmethod
    def raw(windows, account, moment):
        """Counts and sums in plain SQL, on an index that covers them."""
        columns = ", ".join(f"count(*) FILTER (WHERE at >= {moment} - interval '{w}'), "
                            f"coalesce(sum(amount) FILTER (WHERE at >= {moment} - interval '{w}'), 0)" for w in windows) \
            if len(windows) > 1 else "count(*), coalesce(sum(amount), 0)"
        return (f"SELECT {columns} FROM live WHERE account = {account} "
                f"AND at >= {moment} - interval '{list(windows)[-1]}' AND at < {moment}")

    def agree_on_lookups(self, windows):
        """The same counts and sums as plain SQL, or there is nothing to compare."""
        choice = random.Random(1)
        for account in (HOT, COLD, *choice.sample(range(1, OTHERS), 20)):
            moment = f"to_timestamp({self.moments()[0] + choice.random() * 86400})"
            ours = json.loads(self.server.value(f"SELECT risk.rolling_features('live', {account}::bigint, {moment})"))
            names = [name.format(WINDOWS[w]) for w in windows
                     for name in ("account_cnt_prev_{}", "account_sum_amount_prev_{}")]
            plain = [float(value) for value in self.server.query(self.raw(windows, account, moment))[0]]
            if [float(ours[name]) for name in names] != plain:
                raise RuntimeError(f"account {account} as of {moment}: {ours}, not {plain}")

    def moments(self):
        """The last day of the events: seconds since 1970."""
        end = int(self.server.value(f"SELECT extract(epoch FROM timestamptz '2026-01-01' + interval '1 day' * {self.bench.options.days})::bigint"))
        return end - 86400, end

    def lookup_scripts(self, windows):
        """Statements of pgbench, each at a random moment of the last day."""
        moment = "\\set t random({}, {})\n".format(*self.moments())
        at = "to_timestamp(:t)"
        row = f"ROW(1, {HOT}, {at}, 1)::live"
        return {
            "empty statement": f"{moment}SELECT {at};",
            "plain SQL, hot": moment + self.raw(windows, HOT, at) + ";",
            "plain SQL, cold": moment + self.raw(windows, COLD, at) + ";",
            "lookup, hot": f"{moment}SELECT risk.rolling_features('live', {HOT}::bigint, {at});",
            "lookup, cold": f"{moment}SELECT risk.rolling_features('live', {COLD}::bigint, {at});",
            **({"lookup of a row, hot": f"{moment}SELECT risk.rolling_features('live', {row});"}
               if len(windows) > 1 else {})}

    def lookups(self):
        """Each window alone, then all; what a set costs to make, in passing."""
        rows, made = [], []
        events = int(self.server.value("SELECT count(*) FROM live"))
        for windows in (*([w] for w in WINDOWS), list(WINDOWS)):
            name = ", ".join(windows)
            before = self.size()
            self.declare("live", "sums", "{count,sum}", windows)
            seconds = self.refresh("live")
            made.append([name, number((self.size() - before) / events * 1e6 / (1 << 20)), number(seconds / events * 1e6)])
            self.agree_on_lookups(windows)
            spent = Samples()
            scripts = self.lookup_scripts(windows)
            for _ in self.bench.rounds(f"lookups, {name}", self.rounds):
                for form, script in scripts.items():
                    spent.add(form, 1e6 / pgbench_rate(script, 1, "-c max_parallel_workers_per_gather=0", clients=1))
            rows += self.lookup_rows(name, spent)
            if name in WINDOWS and name != "1 hour":
                self.register_lookups(name, spent)
            if len(windows) == 1:
                self.server.query("SELECT risk.drop_rolling_features('live')")
        self.report.section(
            "Live lookups",
            f"Count and sum before a random moment of the last day, {events:,} events in {self.bench.options.days} days: the hot account has "
            f"{PER_DAY['hot']:,} a day, the cold one {PER_DAY['cold']}, {OTHERS:,} others {PER_DAY['others']:,} together. `risk.rolling_features('live', account, moment)` beside plain SQL on an index that "
            "covers it, which gave the same results before, and beside a statement that does nothing. pgbench, prepared statements, one client, microseconds a statement end to end, "
            f"runs of 1 s, medians of {self.rounds} rounds, no parallel workers.")
        self.report.table(["windows", "statement", "us", "plain SQL / this", "this / empty", "this / cold"], rows)
        if self.refreshes:
            self.report.section(
                "What live features keep",
                "Of the same events: what a set adds to the database, MB for a million events, and the processor time "
                "to make it, microseconds an event.")
            self.report.table(["windows", "MB a million events", "us an event"], made)

    @staticmethod
    def lookup_rows(name, spent):
        return [[name, form, number(spent.median(form)),
                 times(spent.ratio(f"plain SQL, {form.split()[-1]}", form)) if form.startswith("lookup") else "",
                 times(spent.ratio(form, "empty statement")) if form != "empty statement" else "",
                 times(spent.ratio(form, form.replace("hot", "cold")))
                 if form.replace("hot", "cold") in spent.values and "hot" in form else ""] for form in spent.values]

    def register_lookups(self, name, spent):
        """The goals are of two windows; the worse of them counts where they say nothing of windows."""
        self.figures.add(f"live, {name}", spent.ratio("plain SQL, hot", "lookup, hot"))
        for other in ("empty", "cold"):
            ratio = spent.ratio("lookup, hot", "empty statement" if other == "empty" else "lookup, cold")
            goal = f"live, hot / {other}"
            self.figures.add(goal, max(ratio, self.figures.figures.get(goal, 0)))

    # --- what later rows cost ----------------------------------------------

    def late_rows(self):
        """Rows in order and late ones, worked in by a refresh."""
        if not self.refreshes:
            return
        rows = []
        for name, moment in (("in order", "max + interval '1 hour' * i / {count}"),
                             ("late", "max - random() * interval '7 days'")):
            before = self.size()
            self.server.query(
                "INSERT INTO live SELECT i, CASE WHEN i % 2 = 0 THEN {hot} ELSE 1 + i % {others} END, {moment}, i % 1000 "
                "FROM generate_series(1, {count}) AS i, (SELECT max(at) FROM live) AS m".format(
                    hot=HOT, others=OTHERS, moment=moment.format(count=LATE_ROWS), count=LATE_ROWS))
            table = int(self.server.value("SELECT pg_table_size('live') + pg_indexes_size('live')"))
            rows.append([name, number(self.refresh("live") / LATE_ROWS * 1e6), number((self.size() - before) / LATE_ROWS),
                         number(table / int(self.server.value("SELECT count(*) FROM live")))])
        self.agree_on_lookups(list(WINDOWS))
        self.report.section(
            "Working rows in",
            f"{LATE_ROWS:,} rows more, half of them of the hot account, then `risk.refresh_rolling_features('live')`: its processor time, microseconds a row; by how "
            "many bytes a row the whole database grew; and bytes a row of the table with its index. Lookups gave plain SQL's results afterwards.")
        self.report.table(["rows", "us a row", "bytes a row, all", "bytes a row, table"], rows)

    # --- inserts ------------------------------------------------------------

    def prepare_payments(self):
        """Tables with none, one and three sets, and with the scoring trigger on top."""
        self.forms = {"none": 0, "one set": 1, "three sets": 3, "three sets, score": 3}
        self.register_model()
        for form, sets in self.forms.items():
            progress(f"live features: payments, {form}")
            table = self.table(form)
            self.server.query(PAYMENTS.format(
                table=table, columns=", ".join(f"{name} real" for name in COLUMN_LIST), names=COLUMNS,
                history=HISTORY, others=OTHERS, rows=self.bench.options.rows))
            for name, aggregates in SETS[:sets]:
                self.declare(table, name, aggregates, WINDOWS)
            if sets:
                self.refresh(table)
        self.server.query(f"CREATE TRIGGER score BEFORE INSERT ON {self.table('three sets, score')} FOR EACH ROW "
                          "EXECUTE FUNCTION risk.score_on_insert('live', 'score')")
        self.server.query("VACUUM (ANALYZE)")

    def register_model(self):
        """The served model, whose last two features become rolling ones; its file too, for others."""
        with open(self.bench.model("trees500_depth6", "json"), encoding="utf-8") as file:
            model = json.load(file)
        model["learner"]["feature_names"][FEATURES:] = ["account_cnt_prev_24h", "account_sum_amount_prev_24h"]
        self.model = os.path.join(self.bench.options.scratch, "live.json")
        with open(self.model, "w", encoding="utf-8") as file:
            json.dump(model, file)
        with open(self.model, "rb") as file:
            artifact = file.read().hex()
        self.server.query("SELECT risk.create_model('live', entity_id => 'id')")
        self.server.query(f"SELECT risk.register_model('live', 'v1', '\\x{artifact}')")
        self.server.query("SELECT risk.promote('live', 'v1')")

    @staticmethod
    def table(form):
        return "payments_" + form.replace(" ", "_").replace(",", "")

    def bulk_insert(self, form, late):
        """The processor time of rows that arrive now, some of them late; microseconds a row."""
        return self.server.cost(
            f"INSERT INTO {self.table(form)} (id, account, receiver, at, amount, {COLUMNS}) "
            f"SELECT {HISTORY} + id, 1 + (id * 7919) % {OTHERS}, id % 97, "
            f"clock_timestamp() - CASE WHEN id % 100 < {late} THEN interval '1 day' * (1 + id % 6) ELSE '0' END, "
            f"id % 1000, {COLUMNS} FROM transactions WHERE id <= {BULK_ROWS}")[1] / BULK_ROWS * 1e6

    @staticmethod
    def insert_script(table, late=0, key=f"random(1, {OTHERS})"):
        """A script of pgbench: one row that happens now, or late."""
        return (f"\\set account {key}\n\\set amount random(0, 1000)\n\\set late CASE WHEN random(1, 100) <= {late} THEN random(1, 6) ELSE 0 END\n"
                f"INSERT INTO {table} (id, account, receiver, at, amount, f0, f1, f2) "
                "VALUES (1, :account, 1, clock_timestamp() - :late * interval '1 day', :amount, 1, 2, 3);")

    def inserts(self):
        bulk, rates = Samples(), Samples()
        for i in self.bench.rounds("live features, inserts"):
            for late in LATE_SHARES:
                for form, sets in self.forms.items():
                    if i == 0:                  # what is prepared once
                        self.bulk_insert(form, late)
                    bulk.add((form, late), self.bulk_insert(form, late))
                for form, sets in self.forms.items():
                    rates.add((form, late), pgbench_rate(self.insert_script(self.table(form), late), 1,
                                                         "-c synchronous_commit=off"))
            for form, sets in self.forms.items():
                if sets:
                    self.refresh(self.table(form))
        self.report.section(
            "Inserts into a table with live features",
            f"A table of {FEATURES} features besides account, time and amount, with an index on (account, time), {HISTORY:,} rows of {OTHERS:,} accounts, and no "
            "set of features; one of count and sum over three windows; two more of averages, deviations, extremes, receivers and time since the last; and on top "
            "a trigger that scores with 500 trees of depth 6, of which two features are rolling. Late rows are one to six days late. Bulk: "
            f"`INSERT ... SELECT` of {BULK_ROWS:,} rows, the server's processor time, microseconds a row. Single: pgbench, 2 clients, runs of 1 s, "
            "synchronous_commit off.")
        self.report.table(
            ["features", "late", "bulk us", "over none", "single/s", "rate / none"],
            [[form, f"{late} %", number(bulk.median((form, late))),
              number(bulk.difference((form, late), ("none", late))) if form != "none" else "",
              number(rates.median((form, late))), times(rates.ratio((form, late), ("none", late)))]
             for late in LATE_SHARES for form in self.forms])
        self.figures.add("live, bulk insert", bulk.difference(("one set", 0), ("none", 0)))
        self.figures.add("live, insert", rates.ratio(("one set", 0), ("none", 0)))

    def writers(self):
        rates = Samples()
        keys = {"one": "1", "many": f"random(1, {OTHERS})"}
        for _ in self.bench.rounds("live features, writers", self.rounds):
            for key, account in keys.items():
                for clients in WRITERS:
                    for form in ("none", "one set"):
                        script = self.insert_script(self.table(form), key=account)
                        rates.add((form, key, clients),
                                  pgbench_rate(script, 1, "-c synchronous_commit=off", clients))
        self.report.section(
            "Writers side by side",
            "The same single rows, in order, from 1 to 8 clients, all of one account or each of a random one: inserts a second.")
        self.report.table(
            ["accounts", "writers", "none", "one set", "rate / none"],
            [[key, clients, number(rates.median(("none", key, clients))), number(rates.median(("one set", key, clients))),
              times(rates.ratio(("one set", key, clients), ("none", key, clients)))] for key in keys for clients in WRITERS])

    # --- all of them --------------------------------------------------------

    def run(self):
        self.prepare_events()
        self.lookups()
        self.late_rows()
        self.prepare_payments()
        self.inserts()
        self.writers()
        scored = self.table("three sets, score")
        self.refresh(scored)
        decision.Decision(self.bench, self.model, scored, self.table("none"), HISTORY).run()
