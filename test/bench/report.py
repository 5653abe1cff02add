"""report.py: samples taken in rounds, and the Markdown they are printed as."""
import datetime
import os
import platform
import re
import statistics
import subprocess
import sys


def progress(text):
    """A line for who waits; not part of the report."""
    print(f"    {text}", file=sys.stderr, flush=True)


class Samples:
    """Values by name, one for each round.  All names are measured in turn within a round, so
    what the machine's other work does to one, it does to all: comparisons are made within a
    round, then the median over the rounds is taken."""

    def __init__(self):
        self.values = {}

    def add(self, name, value):
        self.values.setdefault(name, []).append(value)

    def median(self, name):
        return statistics.median(self.values[name])

    def ratio(self, name, other):
        """How many times `other` a value is."""
        return statistics.median(a / b for a, b in zip(self.values[name], self.values[other]))

    def difference(self, name, other):
        """By how much a value exceeds `other`."""
        return statistics.median(a - b for a, b in zip(self.values[name], self.values[other]))


class Report:
    """Prints Markdown as it comes in, and keeps it for a file."""

    def __init__(self):
        self.text = ""

    def write(self, text=""):
        print(text, flush=True)
        self.text += text + "\n"

    def move_up(self, start, place):
        """What was written last, from `start` on, stands in the file where `place` was."""
        self.text = self.text[:place] + self.text[start:] + self.text[place:start]

    def section(self, title, text):
        self.write(f"\n## {title}\n\n{text}\n")

    def table(self, head, rows):
        """Columns aligned, numbers to the right."""
        cells = [head] + [[str(cell) for cell in row] for row in rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
        for number, row in enumerate(cells):
            self.write("| " + " | ".join(
                cell.rjust(width) if i > 0 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths))) + " |")
            if number == 0:
                self.write("|" + "|".join("-" * (width + 1) + ("-" if i == 0 else ":")
                                          for i, width in enumerate(widths)) + "|")


def number(value):
    """With thousands separated, and three digits at least where it is small."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def times(value):
    return number(value) + "x"


def mebibytes(size):
    return f"{size / (1 << 20):.2f} MB"


def load():
    """Load average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def first_match(path, pattern):
    """What a file says, or nothing."""
    with open(path, encoding="utf-8", errors="replace") as file:
        found = re.search(pattern, file.read())
    return found[1].strip() if found else None


def machine():
    """What the figures were taken on."""
    cpu = first_match("/proc/cpuinfo", r"model name\s*:(.*)") or platform.machine()
    memory = int(first_match("/proc/meminfo", r"MemTotal:\s*(\d+)")) / (1 << 20)
    system = first_match("/etc/os-release", r'PRETTY_NAME="?([^"\n]*)')
    return (f"{cpu} ({platform.machine()}), {len(os.sched_getaffinity(0))} cores, "
            f"{memory:.0f} GB of memory, {system}, Linux {platform.release()}")


def compiler():
    """The compiler of PATH or CC, and its version."""
    name = os.environ.get("CC", "gcc")
    version = subprocess.run([name, "-dumpfullversion", "-dumpversion"],
                             capture_output=True, text=True, check=False).stdout.split()
    return f"{os.path.basename(name)} {version[0] if version else ''}".strip()


def today():
    return datetime.date.today().isoformat()
