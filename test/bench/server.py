"""server.py: what the benchmarks need of a server, with nothing to install.

A connection that speaks PostgreSQL's simple query protocol over a Unix socket
(PGHOST, PGPORT, PGUSER; no password), so that the time to connect is the
server's and not a client program's; the private memory of a process; the
processor time of processes that ended; pgbench.
"""
import os
import re
import socket
import struct
import subprocess
import time


class Connection:
    """One connection; pid is its server process."""

    def __init__(self, database="bench"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"{os.environ['PGHOST']}/.s.PGSQL.{os.environ['PGPORT']}")
        self.stream = self.socket.makefile("rb")
        self.pid = None
        words = ["user", os.environ["PGUSER"], "database", database, ""]
        body = struct.pack("!i", 3 << 16) + b"".join(w.encode() + b"\0" for w in words)
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self._receive()

    def _receive(self):
        """Messages up to "ready for query"; the rows among them, as text."""
        rows, error = [], None
        while True:
            kind, length = struct.unpack("!ci", self.stream.read(5))
            body = self.stream.read(length - 4)
            if kind == b"D":
                rows.append(self._row(body))
            elif kind == b"E":
                error = dict((f[:1], f[1:].decode()) for f in body.split(b"\0") if f)
            elif kind == b"K":
                self.pid = struct.unpack("!i", body[:4])[0]
            if kind == b"Z" or (kind == b"E" and error[b"S"] == "FATAL"):
                break
        if error:
            raise RuntimeError(error[b"M"])
        return rows

    @staticmethod
    def _row(body):
        """The values of one row."""
        values, at = [], 2
        for _ in range(struct.unpack("!h", body[:2])[0]):
            length = struct.unpack("!i", body[at:at + 4])[0]
            at += 4
            values.append(body[at:at + length].decode() if length >= 0 else None)
            at += max(length, 0)
        return values

    def query(self, sql):
        """Run statements; the rows."""
        body = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
        return self._receive()

    def value(self, sql):
        """The only value of the only row."""
        return self.query(sql)[0][0]

    def cost(self, sql):
        """How long a statement took, and the processor time of this connection's server
        process for it; seconds."""
        cpu = process_cpu(self.pid)
        start = time.perf_counter()
        self.query(sql)
        return time.perf_counter() - start, process_cpu(self.pid) - cpu

    def close(self):
        self.socket.sendall(b"X\0\0\0\4")
        self.stream.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def process_cpu(pid):
    """Processor seconds of a process so far."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


def private_memory(pid):
    """Bytes in a process's private mappings that no other process shares: shared memory that
    only this process happened to touch is left out, as are untouched pages of the postmaster."""
    total, private = 0, False
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if re.match(r"[0-9a-f]+-[0-9a-f]+$", words[0]):
                private = words[1].endswith("p")
            elif private and words[0] in ("Private_Clean:", "Private_Dirty:"):
                total += int(words[1]) * 1024
    return total


def wait_for_end(pid):
    """Until a server process is gone, and its processor time in the postmaster's account."""
    while os.path.exists(f"/proc/{pid}"):
        time.sleep(0.005)


def ended_processes_cpu(postmaster):
    """Processor seconds of the server processes that have ended."""
    with open(f"/proc/{postmaster}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def _run_pgbench(script, length, settings, clients=2):
    """One run, prepared statements: transactions, and transactions a second."""
    run = subprocess.run(
        ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)), *length,
         "-f", "-", "bench"],
        input=script, env=dict(os.environ, PGOPTIONS=settings), capture_output=True, text=True,
        check=False)
    if run.returncode != 0:
        raise RuntimeError(run.stderr)
    return (int(re.search(r"actually processed: (\d+)", run.stdout)[1]),
            float(re.search(r"tps = ([\d.]+)", run.stdout)[1]))


def pgbench_rate(script, seconds, settings="", clients=2):
    """Transactions a second, connecting left out."""
    return _run_pgbench(script, ["-T", str(seconds)], settings, clients)[1]


def _pgbench_cost(script, length, postmaster, settings):
    """One run with 2 clients: transactions, seconds, processor seconds of the server."""
    before = ended_processes_cpu(postmaster)
    transactions, rate = _run_pgbench(script, length, settings)
    time.sleep(0.3)                             # for its server processes to end
    return transactions, transactions / rate, ended_processes_cpu(postmaster) - before


def pgbench(script, seconds, postmaster, settings=""):
    """Run a script with prepared statements: transactions a second, and microseconds of the
    server's processor time for each.  Connecting and each client's first transaction (which may
    load a model) are measured alone and taken off."""
    first = _pgbench_cost(script, ["-t", "1"], postmaster, settings)
    length = seconds + round(first[1])
    whole = _pgbench_cost(script, ["-T", str(length)], postmaster, settings)
    transactions, elapsed, cpu = (w - f for w, f in zip(whole, first))
    return transactions / elapsed, cpu / transactions * 1e6
