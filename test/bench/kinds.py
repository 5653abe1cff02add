"""kinds.py: the kinds of models that there are, each with the kernel it takes, beside libxgboost.

In process, one thread, one row a call and many; on request, since training them takes minutes.
"""
import os
import re

import recipes
from report import number, progress, times

MATRIX = ("dart", "gblinear")   # boosters of which libxgboost's DMatrix is asked


class Kinds:
    """The section, of one run of bench.py."""

    def __init__(self, bench):
        self.bench = bench
        self.report = bench.report

    def measure(self, name, recipe):
        """By call: kernel, trees, libxgboost's and the forest's nanoseconds, rows that differ."""
        matrix = recipe.parameters.get("booster") in MATRIX
        lines = self.bench.run_forest_bench(name, recipe, *(["matrix"] if matrix else []))
        found = {}
        for line in re.finditer(r" (\d+) trees +(.*\S) +(row|batch) +libxgboost +(\d+) ns +forest +"
                                r"(\d+) ns .*differing rows (\d+) of \d+", lines):
            trees, kernel, call, xgboost, forest, differing = line.groups()
            found.setdefault(call, (kernel, trees, int(xgboost), int(forest), int(differing)))
        return found["row"], found["batch"]

    def run(self):
        rows, missing = [], []
        for name, recipe in recipes.KINDS.items():
            if not os.path.exists(self.bench.model(name)):
                missing.append(name)
                continue
            progress(f"kinds: {name}")
            row, batch = self.measure(name, recipe)
            rows.append([name, row[1], row[0], *(
                cell for _, _, xgboost, forest, _ in (row, batch)
                for cell in (number(xgboost), number(forest), times(xgboost / forest))), row[4] + batch[4]])
        self.report.section(
            "Kinds of models",
            "In process, one thread: the kernel that the server takes on this processor, nanoseconds a "
            "row of libxgboost and of the forest, one row a call and 2,000 rows in one call; in how many "
            "of the 4,000 any bit of a margin differs. 30 features and depth 6 where nothing is said. "
            "Of dart and gblinear libxgboost predicts by way of a DMatrix: in place it gives other bits "
            "of the one and refuses the other."
            + (f" Not trained by this libxgboost: {', '.join(missing)}." if missing else ""))
        self.report.table(["kind", "trees", "kernel", "row: libxgboost", "forest", "ratio",
                           "batch: libxgboost", "forest", "ratio", "rows that differ"], rows)
