"""kinds.py: the kinds of models that there are, each with the kernel it takes, beside libxgboost.

In process, one thread, one row a call and many; on request, since training them takes minutes.
"""
import os

import recipes
from report import number, progress, times

MATRIX = ("dart", "gblinear")   # boosters of which libxgboost's DMatrix is asked


class Kinds:
    """The section, of one run of bench.py."""

    def __init__(self, bench):
        self.bench = bench
        self.report = bench.report

    def measure(self, name, recipe):
        """One row a call, and many: with the kernel that the server takes, the first one."""
        matrix = recipe.parameters.get("booster") in MATRIX
        found = {}
        for line in self.bench.run_forest_bench(name, recipe, *(["matrix"] if matrix else [])):
            found.setdefault(line.call, line)
        return found["row"], found["batch"]

    def run(self):
        rows, missing = [], []
        for name, recipe in recipes.KINDS.items():
            if not os.path.exists(self.bench.model(name)):
                missing.append(name)
                continue
            progress(f"kinds: {name}")
            calls = self.measure(name, recipe)
            rows.append([name, calls[0].trees, calls[0].kernel, *(
                cell for line in calls
                for cell in (number(line.xgboost), number(line.forest), times(line.xgboost / line.forest))),
                sum(int(line.difference.split()[0]) for line in calls)])
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
