#!/usr/bin/env python3
"""export.py MODEL.ubj QUERY: scores a query outside of the server, as notebooks do.

COPY out as CSV, pandas, libxgboost with 2 threads; nothing is written back.
Prints the seconds that it took, starting Python and loading the model left out,
and the sum of the scores.  Needs pandas.
"""
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import xgboost as xgb


def main():
    model, query = sys.argv[1:]
    booster = xgb.Booster()
    booster.load_model(model)
    booster.set_param("nthread", 2)
    start = time.perf_counter()
    with subprocess.Popen(["psql", "-X", "-q", "-d", "bench", "-c",
                           f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)"],
                          stdout=subprocess.PIPE) as copy:
        rows = pd.read_csv(copy.stdout, dtype=np.float32)
    if copy.returncode != 0:
        sys.exit("psql failed")
    scores = booster.inplace_predict(rows.to_numpy())
    print(time.perf_counter() - start, float(scores.sum(dtype=np.float64)))


if __name__ == "__main__":
    main()
