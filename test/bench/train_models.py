#!/usr/bin/env python3
"""train_models.py DIRECTORY: trains the models that the benchmarks score with.

Writes trees100_depth6, trees500_depth6 and trees2000_depth8, and challengers of
the second one that differ by their seed, each as .json and .ubj; what is there
already stays.  The rows are synthetic: 30 features f0 to
f29, a third of them bell-shaped, log-normal and small counts each, a tenth of
the values missing, one row in ten positive.  Trees grow nearly full, as those
of large training sets do.

Needs numpy and xgboost, 1.7 to 3.3.
"""
import os
import sys

import numpy as np
import xgboost as xgb

FEATURES = 30
ROWS = 10000
MODELS = {                      # name: trees, depth, learning rate, seed
    "trees100_depth6": (100, 6, 0.1, 1),
    "trees500_depth6": (500, 6, 0.05, 1),
    "trees2000_depth8": (2000, 8, 0.02, 1),
    "challenger1": (500, 6, 0.05, 2),
    "challenger2": (500, 6, 0.05, 3),
    "challenger3": (500, 6, 0.05, 4)}


def rows(random):
    """Values of all rows, and which rows are positive."""
    values = random.standard_normal((ROWS, FEATURES))
    values[:, 1::3] = np.exp(values[:, 1::3])
    values[:, 2::3] = random.poisson(2, (ROWS, FEATURES // 3))
    evidence = (values[:, 0] * values[:, 3] + np.log(values[:, 1]) + 0.5 * values[:, 2]
                + np.sin(values[:, 4]) + (values[:, 6] > 0.7) * (values[:, 5] > 2)
                + 0.1 * values.sum(axis=1) + random.standard_normal(ROWS))
    positive = evidence > np.quantile(evidence, 0.9)
    values[random.random((ROWS, FEATURES)) < 0.1] = np.nan
    return values.astype(np.float32), positive.astype(np.float32)


def train(data, trees, depth, rate, seed):
    """One model."""
    parameters = {
        "objective": "binary:logistic", "tree_method": "hist", "max_bin": 256,
        "base_score": 0.1, "max_depth": depth, "eta": rate, "subsample": 0.8,
        "min_child_weight": 0.01, "nthread": 1, "seed": seed}
    return xgb.train(parameters, data, trees)


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    data = None
    for name, (trees, depth, rate, seed) in MODELS.items():
        path = os.path.join(directory, name)
        if os.path.exists(path + ".json") and os.path.exists(path + ".ubj"):
            continue
        if data is None:
            values, positive = rows(np.random.default_rng(1))
            names = [f"f{i}" for i in range(FEATURES)]
            data = xgb.DMatrix(values, positive, feature_names=names)
        print(f"training {name}", file=sys.stderr, flush=True)
        booster = train(data, trees, depth, rate, seed)
        for ending in ("ubj", "json"):          # whole files only, should this be interrupted
            booster.save_model(f"{path}.new.{ending}")
            os.replace(f"{path}.new.{ending}", f"{path}.{ending}")


if __name__ == "__main__":
    main()
