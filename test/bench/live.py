"""live.py: what declared rolling features cost: lookups, inserts, storage, a whole decision.

A run has as many days of events.py as it is told (--days, 8 by default; 30 are 2.5 million
events): more days change no window, only what lies before it.  Whatever the engine keeps of the
events is brought up to date before anything is measured.
"""
import json
import os
import random

import decision
import distinct
from events import COLD, EVENTS, HOT, OTHERS, PER_DAY, WINDOWS
from recipes import FEATURES
from report import Samples, number, progress, times
from server import pgbench_rate
from service import COLUMNS as VALUES

SUMS = {"cnt": "count(*) {}", "sum_amount": "coalesce(sum(amount) {}, 0)"}      # features, in SQL
EXTREMES = {"min_amount": "min(amount) {}", "max_amount": "max(amount) {}"}
HISTORY = 200000                # rows that tables of inserts begin with
BULK_ROWS = 20000
LATE_SHARES = [0, 2, 20]        # per cent
LATER_ROWS = 50000              # that a refresh has to work in
WRITERS = [1, 2, 4, 8]
COMMITS = ["on", "off"]         # synchronous_commit
ASYNCHRONOUS = "-c synchronous_commit=off"
NAMES = ", ".join(VALUES)

MORE_EVENTS = """
    INSERT INTO kept SELECT i, CASE WHEN i % 2 = 0 THEN {hot} ELSE 1 + i % {others} END, {at}, i % 1000
    FROM generate_series(1, {count}) AS i, (SELECT max(at) AS latest FROM kept) AS m
"""

# Transactions that a model scores: their values, and what came before.
PAYMENTS = """
    CREATE TABLE {table} (id bigint, account bigint, receiver int, at timestamptz, amount float8,
                          {columns}, score float8);
    INSERT INTO {table} (id, account, receiver, at, amount, {names})
        SELECT i, 1 + (i * 7919) % {others}, i % 97,
               now() - interval '8 days' * (1 - i / {history}.0), i % 1000, {names}
        FROM generate_series(1, {history}) AS i JOIN transactions AS t ON t.id = 1 + i % {rows};
    CREATE INDEX ON {table} (account, at) INCLUDE (amount);
"""

BULK_INSERT = """
    INSERT INTO {table} (id, account, receiver, at, amount, {names})
    SELECT {history} + id, 1 + (id * 7919) % {others}, id % 97,
           clock_timestamp() - interval '1 day' * CASE WHEN id % 100 < {late} THEN 1 + id % 6 ELSE 0 END,
           id % 1000, {names}
    FROM transactions WHERE id <= {count}
"""

SETS = [("sums", "{count,sum}"), ("shape", "{avg,stddev,min,max}"),
        ("receivers", "{distinct(receiver),since_last}")]
FORMS = {"none": 0, "one set": 1, "three sets": 3, "three sets, score": 3}      # sets of each


def table_of(form):
    return "payments_" + form.replace(",", "").replace(" ", "_")


class Live:
    """The sections about declared rolling features, of one run of bench.py."""

    moment = "to_timestamp(:t)"     # of a lookup by pgbench

    def __init__(self, bench):
        self.bench = bench
        self.server = bench.server
        self.report = bench.report
        self.figures = bench.figures
        self.days = bench.options.days
        self.rounds = min(3, bench.options.rounds)
        self.seconds = bench.options.seconds    # of one run of pgbench

    # --- the engine ---------------------------------------------------------

    def declare(self, table, name, aggregates, windows):
        self.server.query(
            f"SELECT risk.create_rolling_features('{table}', 'account', 'at', 'amount', "
            f"name => '{name}', windows => '{{{','.join(windows)}}}', aggregates => '{aggregates}')")

    def refresh(self, table):
        """What the engine keeps is brought up to date; its processor time, seconds."""
        cost = self.server.cost(f"CALL risk.refresh_rolling_features('{table}')")[1]
        self.server.query(f"VACUUM (ANALYZE) {table}")
        return cost

    def size(self):
        """Bytes of all tables and indexes."""
        self.server.query("VACUUM")
        return int(self.server.value("SELECT sum(pg_relation_size(oid)) FROM pg_class "
                                     "WHERE relkind IN ('r', 'i', 't', 'm')"))

    # --- storage ------------------------------------------------------------

    def storage(self):
        """What the engine keeps of a copy of the events, and what rows cost that it works in."""
        progress("live features: storage")
        self.server.query("CREATE TABLE kept (LIKE live INCLUDING ALL); INSERT INTO kept SELECT * FROM live")
        events = self.count("kept")
        base = self.size() - self.table_size("kept")
        self.declare("kept", "extremes", "{min,max}", list(WINDOWS))
        rows = [self.work_in(f"{events:,}, already there: min and max", events, base)]
        self.server.query("SELECT risk.drop_rolling_features('kept'); SELECT risk.sweep_tiles()")
        self.server.query("VACUUM FULL risk.rolling_tiles")
        self.declare("kept", "sums", "{count,sum}", list(WINDOWS))
        rows.append(self.work_in(f"{events:,}, already there", events, base))
        for name, at in (("in order", f"latest + interval '1 hour' * i / {LATER_ROWS}"),
                         ("late", "latest - random() * interval '7 days'")):
            self.server.query(MORE_EVENTS.format(hot=HOT, others=OTHERS, count=LATER_ROWS, at=at))
            rows.append(self.work_in(f"{LATER_ROWS:,} more, {name}", LATER_ROWS, base))
        self.agree_on_lookups("kept", list(WINDOWS))
        self.server.query("SELECT risk.drop_rolling_features('kept'); DROP TABLE kept")
        self.report.section(
            "What live features keep",
            "A set of count and sum over three windows, and first one of min and max: the processor time of "
            "`risk.refresh_rolling_features()` for rows that are there already, and that come later, half "
            "of these of the hot account; and afterwards what is kept beside the table, and the table "
            "with its index, MB for a million events. The events are those of the next section. Lookups "
            "gave plain SQL's results afterwards.")
        self.report.table(["rows", "us a row", "kept", "table"], rows)

    def work_in(self, name, count, base):
        """A refresh after so many rows, as a row of the report."""
        seconds = self.refresh("kept")
        table = self.table_size("kept")
        million = self.count("kept") / 1e6 * (1 << 20)
        return [name, number(seconds / count * 1e6), number((self.size() - table - base) / million),
                number(table / million)]

    def count(self, table):
        return int(self.server.value(f"SELECT count(*) FROM {table}"))

    def table_size(self, table):
        return int(self.server.value(f"SELECT pg_total_relation_size('{table}')"))

    # --- lookups ------------------------------------------------------------

    def prepare_events(self):
        progress("live features: events")
        self.server.query(EVENTS.format(days=self.days, hot=HOT, cold=COLD, others=OTHERS,
                                        per_day=PER_DAY))
        self.server.query("VACUUM (FREEZE, ANALYZE) live")

    def end(self):
        """Where the events end: seconds since 1970."""
        return int(self.server.value("SELECT extract(epoch FROM timestamptz '2026-01-01' "
                                     f"+ {self.days} * interval '1 day')::bigint"))

    @staticmethod
    def plain(table, windows, account, moment, features=SUMS):
        """Features in plain SQL, on an index that covers them."""
        def of(window):
            since = f"FILTER (WHERE at >= {moment} - interval '{window}')" if len(windows) > 1 else ""
            return ", ".join(feature.format(since) for feature in features.values())

        return (f"SELECT {', '.join(map(of, windows))} FROM {table} WHERE account = {account} "
                f"AND at >= {moment} - interval '{windows[-1]}' AND at < {moment}")

    def agree_on_lookups(self, table, windows, features=SUMS):
        """The same features as plain SQL, on the last day and so beyond what is timed, or
        there is nothing to compare."""
        choice = random.Random(1)
        names = [f"account_{feature}_prev_{WINDOWS[window]}" for window in windows for feature in features]
        for account in (HOT, COLD, *choice.sample(range(1, OTHERS + 1), 20)):
            moment = f"to_timestamp({self.end() - choice.random() * 86400})"
            ours = json.loads(self.server.value(
                f"SELECT risk.rolling_features('{table}', {account}::bigint, {moment})"))
            plain = self.server.query(self.plain(table, windows, account, moment, features))[0]
            if [ours[name] for name in names] != [value and float(value) for value in plain]:
                raise RuntimeError(f"account {account} as of {moment}: {ours}, not {plain}")

    def lookup_statements(self, windows, features):
        moment, lookup = self.moment, "SELECT risk.rolling_features('live', {}::bigint, {})"
        statements = {
            "empty statement": f"SELECT {moment}",
            "a row by its key": f"SELECT f29 FROM transactions WHERE id = :t % {self.bench.options.rows} + 1",
            "plain SQL, hot": self.plain("live", windows, HOT, moment, features),
            "plain SQL, cold": self.plain("live", windows, COLD, moment, features),
            "lookup, hot": lookup.format(HOT, moment),
            "lookup, cold": lookup.format(COLD, moment)}
        if len(windows) > 1:
            statements["lookup of a row, hot"] = (
                f"SELECT risk.rolling_features('live', ROW(1, {HOT}, {moment}, 1)::live)")
        return statements

    def time_lookups(self, what, statements, settings=None):
        """Microseconds of statements end to end, each at a random moment of the last hour; some
        with settings of their own."""
        end, spent = self.end(), Samples()
        for _ in self.bench.rounds(what, self.rounds):
            for form, sql in statements.items():
                spent.add(form, 1e6 / pgbench_rate(
                    f"\\set t random({end - 3600}, {end})\n{sql};", self.seconds,
                    f"-c max_parallel_workers_per_gather=0 {(settings or {}).get(form, '')}", clients=1))
        return spent

    def lookups(self):
        """Minima and maxima; counts and sums, of each window alone, then of all."""
        rows = []
        for windows, features in ((list(WINDOWS), EXTREMES), *(([window], SUMS) for window in WINDOWS),
                                  (list(WINDOWS), SUMS)):
            name = ("min, max: " if features is EXTREMES else "") + ", ".join(windows)
            self.declare("live", "lookups", "{min,max}" if features is EXTREMES else "{count,sum}", windows)
            self.refresh("live")
            self.agree_on_lookups("live", windows, features)
            spent = self.time_lookups(f"lookups, {name}", self.lookup_statements(windows, features))
            rows += self.lookup_rows(name, spent)
            self.add_figures(name, spent)
            if (windows, features) != (list(WINDOWS), SUMS):
                self.server.query("SELECT risk.drop_rolling_features('live')")
        self.report_lookups(rows)

    @staticmethod
    def lookup_rows(name, spent):
        rows = []
        for form in spent.values:
            what, _, account = form.partition(", ")
            cold = f"{what}, cold"
            rows.append([
                name, form, number(spent.median(form)),
                times(spent.ratio(f"plain SQL, {account}", form)) if "lookup" in what else "",
                times(spent.ratio(form, "empty statement")) if form != "empty statement" else "",
                times(spent.ratio(form, cold)) if account == "hot" and cold in spent.values else ""])
        return rows

    def add_figures(self, name, spent):
        """What lookups in two of the windows say of the goals: those that name no window are of the
        worse of the two."""
        if name not in ("24 hours", "7 days"):
            return
        hot, empty = "lookup, hot", "empty statement"
        self.figures.add(f"live, {name}", *(spent.ratio("plain SQL, hot", form) for form in (hot, empty)))
        for goal, other, least in (("live, hot / empty", empty, ["a row by its key"]),
                                   ("live, hot / cold", "lookup, cold", [])):
            if spent.ratio(hot, other) > self.figures.figures.get(goal, 0):
                self.figures.add(goal, *(spent.ratio(form, other) for form in [hot, *least]))

    def report_lookups(self, rows):
        self.report.section(
            "Live lookups",
            "Count and sum, or where it says so min and max, before a random moment of the last hour of "
            f"{self.count('live'):,} events in {self.days} days: the hot account has {PER_DAY['hot']:,} a day, "
            f"the cold one {PER_DAY['cold']}, {OTHERS:,} others {PER_DAY['others']:,} together. "
            "`risk.rolling_features('live', account, moment)` beside plain SQL on an index that covers "
            "it, which gave the same results before, a statement that does nothing, and one that reads a "
            "row by its primary key. "
            "pgbench, prepared statements, one client, microseconds a statement end to end, runs of "
            f"{self.seconds} s, medians of {self.rounds} rounds, no parallel workers.")
        self.report.table(["windows", "statement", "us", "plain SQL / this", "this / empty", "this / cold"],
                          rows)

    # --- inserts ------------------------------------------------------------

    def register_model(self):
        """The served model, whose last two features become rolling ones; its file."""
        with open(self.bench.model("trees500_depth6", "json"), encoding="utf-8") as file:
            model = json.load(file)
        model["learner"]["feature_names"][len(VALUES):FEATURES] = [
            "account_cnt_prev_24h", "account_sum_amount_prev_24h"]
        path = os.path.join(self.bench.options.scratch, "live.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(model, file)
        self.bench.register("live", path)
        return path

    def prepare_payments(self):
        """A table of each form: none, one and three sets, and with the scoring trigger on top."""
        columns = ", ".join(f"{name} real" for name in VALUES)
        for form, sets in FORMS.items():
            progress(f"live features: payments, {form}")
            self.server.query(PAYMENTS.format(
                table=table_of(form), columns=columns, names=NAMES, history=HISTORY, others=OTHERS,
                rows=self.bench.options.rows))
            for name, aggregates in SETS[:sets]:
                self.declare(table_of(form), name, aggregates, WINDOWS)
        self.server.query(f"CREATE TRIGGER score BEFORE INSERT ON {table_of('three sets, score')} "
                          "FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('live', 'score')")
        self.refresh_payments()

    def refresh_payments(self):
        for form, sets in FORMS.items():
            if sets:
                self.refresh(table_of(form))

    def bulk_insert(self, form, late):
        """The processor time of rows that happen now, some of them late; microseconds a row."""
        return self.server.cost(BULK_INSERT.format(
            table=table_of(form), names=NAMES, history=HISTORY, others=OTHERS, late=late,
            count=BULK_ROWS))[1] / BULK_ROWS * 1e6

    @staticmethod
    def insert_script(form, late=0, account=f"random(1, {OTHERS})"):
        """A script of pgbench: one row that happens now, or late."""
        return (f"\\set account {account}\n\\set amount random(0, 1000)\n"
                f"\\set late CASE WHEN random(1, 100) <= {late} THEN random(1, 6) ELSE 0 END\n"
                f"INSERT INTO {table_of(form)} (id, account, receiver, at, amount, f0, f1, f2) VALUES "
                "(1, :account, 1, clock_timestamp() - :late * interval '1 day', :amount, 1, 2, 3);")

    @staticmethod
    def insert_row(form, late, bulk, rates):
        row = [form, f"{late} %", number(bulk.median((form, late))),
               number(bulk.difference((form, late), ("none", late))) if form != "none" else ""]
        for commit in COMMITS:
            row += [number(rates.median((form, late, commit))),
                    times(rates.ratio((form, late, commit), ("none", late, commit)))]
        return row

    def inserts(self):
        bulk, rates = Samples(), Samples()
        for i in self.bench.rounds("live features, inserts"):
            for late in LATE_SHARES:
                for form in FORMS:
                    if i == 0:                  # what is prepared once
                        self.bulk_insert(form, late)
                    bulk.add((form, late), self.bulk_insert(form, late))
                for commit in COMMITS:          # what is compared, one right after the other
                    for form in FORMS:
                        rates.add((form, late, commit),
                                  pgbench_rate(self.insert_script(form, late), self.seconds,
                                               f"-c synchronous_commit={commit}"))
            self.refresh_payments()
        self.report.section(
            "Inserts into a table with live features",
            f"A table of {len(VALUES)} values besides account, time and amount, with an index on "
            f"(account, time), {HISTORY:,} rows of {OTHERS:,} accounts, and no set of features; one of "
            "count and sum over three windows; two more of averages, deviations, extremes, receivers "
            "and time since the last; and on top a trigger that scores with 500 trees of depth 6, of "
            "which two features are rolling. Late rows are one to six days late. Bulk: "
            f"`INSERT ... SELECT` of {BULK_ROWS:,} rows, the server's processor time, microseconds a "
            f"row. Single: pgbench, 2 clients, runs of {self.seconds} s, with synchronous_commit on and off.")
        self.report.table(
            ["features", "late", "bulk us", "over none", "single/s, on", "rate / none",
             "single/s, off", "rate / none"],
            [self.insert_row(form, late, bulk, rates) for late in LATE_SHARES for form in FORMS])
        self.figures.add("live, bulk insert", bulk.difference(("one set", 0), ("none", 0)))
        for commit in COMMITS:
            self.figures.add(f"live, insert, {commit}",
                             rates.ratio(("one set", 0, commit), ("none", 0, commit)))

    def writers(self):
        rates = Samples()
        accounts = {"one": "1", "many": f"random(1, {OTHERS})"}
        forms = ("none", "one set")
        for _ in self.bench.rounds("live features, writers", self.rounds):
            for whose, account in accounts.items():
                for clients in WRITERS:
                    for form in forms:
                        script = self.insert_script(form, account=account)
                        rates.add((form, whose, clients),
                                  pgbench_rate(script, self.seconds, ASYNCHRONOUS, clients))
        self.report.section(
            "Writers side by side",
            "The same single rows, in order, synchronous_commit off, from 1 to 8 clients, all of one "
            f"account or each of a random one: inserts a second; medians of {self.rounds} rounds.")
        self.report.table(
            ["accounts", "writers", *forms, "rate / none"],
            [[whose, clients, *(number(rates.median((form, whose, clients))) for form in forms),
              times(rates.ratio(("one set", whose, clients), ("none", whose, clients)))]
             for whose in accounts for clients in WRITERS])

    def run(self):
        self.prepare_events()
        self.storage()
        self.lookups()
        distinct.Distinct(self).run()
        model = self.register_model()
        self.prepare_payments()
        self.inserts()
        self.writers()
        scored, plain = table_of("three sets, score"), table_of("none")
        self.server.query(f"CREATE INDEX ON {scored} (id)")
        self.refresh_payments()
        decision.Decision(self.bench, model, scored, plain, HISTORY).run()
