"""decision.py: a whole decision end to end: from a transaction, with its live features, to a score.

In the database it is one statement; beside it are services that run the same SQL and
score with libxgboost (service.py), as separate processes, one request after the other on a
connection that stays.
"""
import contextlib
import http.client
import importlib.util
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import time

import service
from recipes import TOLERANCE
from report import Samples, number, progress, times

DECISIONS = 300                 # of each kind in a round
ARRIVING = 1000000000           # added to the ids of transactions that are sent
IN_DATABASE, HTTP, FLASK = "pg_risk", "threaded HTTP service", "Flask and gunicorn"
EMPTY = "empty statement", ""   # client, and what it was asked for


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Remote:
    """A client of a service, which it starts and stops."""

    def __init__(self, command, port, environment):
        self.process = subprocess.Popen(command, env=dict(os.environ, **environment),
                                        cwd=os.path.dirname(os.path.abspath(__file__)))
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.connection.connect()
                return
            except ConnectionError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise RuntimeError(f"{command[0]} did not start") from None
                time.sleep(0.05)

    def ask(self, *request):
        self.connection.request(*request)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{request[:2]}: {response.status} {body.decode()}")
        return float(body)

    def score(self, transaction):
        return self.ask("GET", f"/score?id={transaction['id']}")

    def insert(self, transaction):
        return self.ask("POST", "/insert", json.dumps(transaction),
                        {"Content-Type": "application/json"})

    def close(self):
        self.connection.close()
        self.process.terminate()
        self.process.wait()


class Local:
    """A client of the database alone."""

    def __init__(self, table):
        self.query = service.connect()
        for statement in (
                "PREPARE decide (bigint) AS "
                f"SELECT risk.score_transaction('live', t) FROM {table} AS t WHERE id = $1",
                "SET synchronous_commit = off",
                f"PREPARE store AS {service.insert_statement(table)} RETURNING score"):
            self.query(statement)

    def score(self, transaction):
        return float(self.query(f"EXECUTE decide ({transaction['id']})")[0][0])

    def insert(self, transaction):
        return float(self.query(f"EXECUTE store ({service.literals(transaction)})")[0][0])


class Decision:
    """The section: decisions about the transactions of one table, `scored`, which has live
    features, the scoring trigger and an index on id; services insert into one without, `plain`."""

    def __init__(self, bench, model, scored, plain, count):
        self.bench = bench
        self.server = bench.server
        self.report = bench.report
        self.scored = scored
        self.environment = {"MODEL": model, "TABLE": scored, "INSERTS": plain}
        self.count = count                      # transactions that both tables begin with
        self.rounds = min(3, bench.options.rounds)

    def start_services(self, stack):
        """Those that can be had."""
        clients = {}
        port = free_port()
        clients[HTTP] = Remote([sys.executable, "service.py", str(port)], port, self.environment)
        stack.callback(clients[HTTP].close)
        gunicorn = shutil.which("gunicorn")
        if gunicorn and importlib.util.find_spec("flask"):
            port = free_port()
            clients[FLASK] = Remote(
                [gunicorn, "--worker-class", "gthread", "--threads", "4", "--log-level", "error",
                 "--bind", f"127.0.0.1:{port}", "service:app"], port, self.environment)
            stack.callback(clients[FLASK].close)
        return clients

    def transactions(self):
        """Some that are stored, as a client would send them."""
        choice = random.Random(1)
        ids = choice.sample(range(self.count // 2, self.count), DECISIONS)
        columns = ", ".join(service.COLUMNS)
        # a set of Python prints as an array of PostgreSQL
        rows = self.server.query(f"SELECT id, account, amount, {columns} FROM {self.scored} "
                                 f"WHERE id = ANY ('{set(ids)}')")
        return [{"id": int(row[0]), "account": int(row[1]), "amount": float(row[2]),
                 "features": [None if value is None else float(value) for value in row[3:]]} for row in rows]

    @staticmethod
    def agree(clients, transactions):
        """All give the same scores, or there is nothing to compare."""
        for transaction in transactions:
            scores = [client.score(transaction) for client in clients.values()]
            if not max(scores) - min(scores) <= TOLERANCE:
                raise RuntimeError(f"scores of transaction {transaction['id']}: {scores}")

    def measure(self, clients, transactions):
        """Medians and 99th percentiles, microseconds, by client and what it was asked for: one after
        the other, so that the processor has just done something else for each."""
        forms = {(name, what): getattr(client, what)
                 for what in ("score", "insert") for name, client in clients.items()}
        query = service.connect()
        forms[EMPTY] = lambda _: query("SELECT 1")
        medians, tails = Samples(), Samples()
        for _ in self.bench.rounds("decisions", self.rounds):
            spent = {form: [] for form in forms}
            for transaction in transactions:
                arriving = {**transaction, "id": transaction["id"] + ARRIVING}
                for form, decide in forms.items():
                    start = time.perf_counter()
                    decide(arriving if form[1] == "insert" else transaction)
                    spent[form].append((time.perf_counter() - start) * 1e6)
            for form, values in spent.items():
                medians.add(form, statistics.median(values))
                tails.add(form, statistics.quantiles(values, n=100)[98])
        return medians, tails

    def run(self):
        progress("decisions: services")
        with contextlib.ExitStack() as stack:
            clients = {IN_DATABASE: Local(self.scored), **self.start_services(stack)}
            transactions = self.transactions()
            self.agree(clients, transactions)
            medians, tails = self.measure(clients, transactions)
        driver = "psycopg2" if importlib.util.find_spec("psycopg2") else "a driver in Python"
        self.report.section(
            "A whole decision",
            f"What a client waits for, microseconds: {service.FEATURES} values of a transaction, count "
            "and sum of the 24 hours before it of its account, and the score of 500 trees of depth 6. `score`: the "
            "transaction is stored, and named by its id. `insert`: the client sends it, and it is stored "
            "with its score, synchronous_commit off. In the database each is one prepared statement, by "
            "`risk.score_transaction()` or the scoring trigger, with the three sets of features of the "
            "sections above; the services run plain SQL on an index that covers it, prepared, score by "
            "libxgboost with one thread, and keep connections. One client, "
            f"{DECISIONS} decisions in turn, through {driver}; medians of {self.rounds} rounds; all gave "
            "the same scores before. Accounts have some 3 events a day: a busy one would cost the "
            "services more." + ("" if FLASK in clients else " Flask and gunicorn are not installed."))
        self.report.table(
            ["client of", "decision", "median us", "p99 us", "this / pg_risk, median", "this / pg_risk, p99"],
            [[name, what, number(medians.median((name, what))), number(tails.median((name, what))),
              *(times(samples.ratio((name, what), (IN_DATABASE, what))) if what else ""
                for samples in (medians, tails))]
             for name, what in sorted(medians.values, key=lambda form: form[1])])
        for name, goal in ((HTTP, "decision, HTTP"), (FLASK, "decision, Flask")):
            if name in clients:
                self.bench.figures.add(goal, *(medians.ratio((name, "score"), form)
                                               for form in ((IN_DATABASE, "score"), EMPTY)))
