"""distinct.py: what it costs to know how many different values a column has in the windows of a
hot key: of some thousand values that come again and again, and of such that hardly ever do.

The events are those of events.py.
"""
import json
import random

from events import COLD, HOT, WINDOWS
from report import number, progress, times

COLUMNS = {"few": "floor(5000 * random() ^ 2)::int", "many": "floor(1e9 * random())::bigint"}

PARTIES = """
    CREATE TABLE parties AS SELECT account, at, {columns} FROM live ORDER BY at;
    CREATE INDEX ON parties (account, at) INCLUDE (few, many);
    CREATE INDEX ON parties (account, few, at);
    CREATE INDEX ON parties (account, many, at);
"""


class Distinct:
    """The section about counts of different values, of a run of live.py."""

    def __init__(self, live):
        self.live = live
        self.server = live.server

    @staticmethod
    def plain(column, account, moment):
        counts = (f"count(DISTINCT {column}) FILTER (WHERE at >= {moment} - interval '{window}')"
                  for window in WINDOWS)
        return (f"SELECT {', '.join(counts)} FROM parties WHERE account = {account} "
                f"AND at >= {moment} - interval '7 days' AND at < {moment}")

    @staticmethod
    def lookup(account, moment):
        return f"SELECT risk.rolling_features('parties', {account}::bigint, {moment})"

    def agree(self, column):
        """The same counts as plain SQL, or there is nothing to compare."""
        choice = random.Random(1)
        for account in (HOT, HOT, COLD):
            moment = f"to_timestamp({self.live.end() - choice.random() * 86400})"
            ours = json.loads(self.server.value(self.lookup(account, moment)))
            plain = self.server.query(self.plain(column, account, moment))[0]
            names = [f"account_distinct_{column}_prev_{window}" for window in WINDOWS.values()]
            if [int(ours[name]) for name in names] != [int(count) for count in plain]:
                raise RuntimeError(f"account {account} as of {moment}: {ours}, not {plain}")

    def lookups(self, column):
        """Rows of the report."""
        moment = self.live.moment
        hot = self.lookup(HOT, moment)
        statements = {"plain SQL, hot": self.plain(column, HOT, moment), "by rows, hot": hot,
                      "lookup, hot": hot, "lookup, cold": self.lookup(COLD, moment)}
        spent = self.live.time_lookups(f"counts of different values, {column}", statements,
                                       {"by rows, hot": "-c pg_risk.use_tiles=off"})
        return [[column, form, number(spent.median(form)),
                 times(spent.ratio("plain SQL, hot", form)) if form.endswith("hot") else "",
                 times(spent.ratio("by rows, hot", form)) if form.endswith("hot") else ""]
                for form in statements]

    def run(self):
        progress("live features: counts of different values")
        columns = ", ".join(f"{value} AS {name}" for name, value in COLUMNS.items())
        self.server.query(PARTIES.format(columns=columns))
        self.server.query("VACUUM (FREEZE, ANALYZE) parties")
        events = int(self.server.value("SELECT count(*) FROM parties"))
        kept, rows = [], []
        for column in COLUMNS:
            before = self.live.size()
            self.server.query(
                "SELECT risk.create_rolling_features('parties', 'account', 'at', "
                f"windows => '{{{','.join(WINDOWS)}}}', aggregates => '{{distinct({column})}}')")
            spent = self.live.refresh("parties")
            kept.append(f"{column}: {number(spent / events * 1e6)} us and "
                        f"{number((self.live.size() - before) / events * 1e6 / (1 << 20))} MB")
            self.agree(column)
            rows += self.lookups(column)
            self.server.query("SELECT risk.drop_rolling_features('parties'); SELECT risk.sweep_tiles()")
        self.server.query("DROP TABLE parties")
        self.live.report.section(
            "Live counts of different values",
            "The same events with two more columns, `few` of 5,000 values and `many` of mostly different "
            "ones: how many different values each has within 1 hour, 24 hours and 7 days before a random "
            "moment of the last hour. Plain SQL reads an index that covers it; lookups, with tiles and by "
            "rows (`pg_risk.use_tiles` off), gave the same results before. As in the section above. What "
            f"`risk.refresh_rolling_features()` took of processor time for a row, and kept for a million: "
            f"{'; '.join(kept)}.")
        self.live.report.table(["column", "statement", "us", "plain SQL / this", "by rows / this"], rows)
