#!/usr/bin/env python3
"""service.py PORT: decides about transactions outside of the server, as services do.

Each thread has a connection and prepared statements; features come by SQL, the
score from a Booster that is loaded once.

	GET /score?id=N			the score of a stored transaction
	POST /insert			a transaction as JSON is scored and stored: its score

MODEL, TABLE and INSERTS in the environment name the file, the table that is read
and the one that rows go to.  Run alone it is the standard library's threaded
server; `gunicorn service:app` runs the same by Flask.  With psycopg2 if that is
installed, else with the benchmarks' own connection.
"""
import http.server
import json
import os
import sys
import threading
import urllib.parse

FEATURES = 28                   # columns; two rolling ones follow
COLUMNS = [f"f{i}" for i in range(FEATURES)]


def connect():
    """A function that runs a statement and returns its rows."""
    try:
        import psycopg2
    except ImportError:
        from server import Connection
        return Connection().query
    connection = psycopg2.connect(host=os.environ["PGHOST"], port=os.environ["PGPORT"],
                                  user=os.environ["PGUSER"], dbname="bench")
    connection.autocommit = True
    cursor = connection.cursor()

    def query(sql):
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []
    return query


def rolling(table, account, at):
    """Count and sum of 24 hours before a moment, on an index that covers them."""
    return (f"SELECT count(*) AS n, coalesce(sum(amount), 0) AS s FROM {table} "
            f"WHERE account = {account} AND at >= {at} - interval '24 hours' AND at < {at}")


def insert_statement(table, score=""):
    """A row of an account and an amount that happens now."""
    columns = ["id", "account", "receiver", "at", "amount", *COLUMNS]
    values = ["$1", "$2", "1", "now()", "$3", *(f"${i + 4}" for i in range(FEATURES))]
    if score:
        columns.append("score")
        values.append(score)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(values)})"


def literals(row):
    """Values of a transaction as arguments of EXECUTE."""
    return ", ".join("NULL" if value is None else repr(value)
                     for value in (row["id"], row["account"], row["amount"], *row["features"]))


class Service:
    """What both servers do with a request."""

    def __init__(self):
        import numpy
        import xgboost
        booster = xgboost.Booster()
        booster.load_model(os.environ["MODEL"])
        booster.set_param("nthread", 1)
        self.predict = lambda row: float(
            booster.inplace_predict(numpy.array([row], dtype=numpy.float32))[0])
        self.local = threading.local()

    def query(self, sql):
        if not hasattr(self.local, "query"):
            table, inserts = os.environ["TABLE"], os.environ["INSERTS"]
            self.local.query = connect()
            for statement in (
                    f"PREPARE stored (bigint) AS SELECT {', '.join(COLUMNS)}, n, s FROM {table} AS t, "
                    f"LATERAL ({rolling(table, 't.account', 't.at')}) AS r WHERE id = $1",
                    f"PREPARE history (bigint) AS {rolling(inserts, '$1', 'now()')}",
                    "SET synchronous_commit = off",
                    "PREPARE store AS " + insert_statement(inserts, f"${FEATURES + 4}")):
                self.local.query(statement)
        return self.local.query(sql)

    def score(self, transaction):
        return self.predict(self.query(f"EXECUTE stored ({int(transaction)})")[0])

    def insert(self, row):
        history = self.query(f"EXECUTE history ({row['account']})")[0]
        score = self.predict([*row["features"], *history])
        self.query(f"EXECUTE store ({literals(row)}, {score!r})")
        return score


class Handler(http.server.BaseHTTPRequestHandler):
    """The standard library's server: connections stay, an answer is one packet."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    service = None

    def answer(self, score):
        body = repr(score).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        query = urllib.parse.parse_qs(self.path.partition("?")[2])
        self.answer(self.service.score(query["id"][0]))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(self.service.insert(json.loads(body)))

    def log_message(self, *_):
        pass


def make_app():
    """The same by Flask."""
    import flask
    application, service = flask.Flask(__name__), Service()
    application.get("/score")(lambda: repr(service.score(flask.request.args["id"])))
    application.post("/insert", endpoint="insert")(lambda: repr(service.insert(flask.request.get_json())))
    return application


if __name__ == "__main__":
    Handler.service = Service()
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
elif "gunicorn" in sys.modules:
    app = make_app()
