#!/usr/bin/env python3
"""train_models.py DIRECTORY [KIND ...]: trains the models that the benchmarks score with.

Writes the models of recipes.py, each as .json and .ubj, and those of the kinds
that are named, or of all; what is there already stays.  What the installed
libxgboost cannot train is left out, with a word.  The rows are synthetic: a
third of the features (f0 to f29, or more) bell-shaped, log-normal and small
counts each, a tenth of the values missing, one row in ten positive, or classes
of one size.  Trees grow nearly full, as those of large training sets do.

Needs numpy and xgboost, 1.7 to 3.3.
"""
import os
import sys

import numpy as np
import xgboost as xgb

from recipes import KINDS, MODELS

VERSION = tuple(int(part) for part in xgb.__version__.split(".")[:2])


def make_rows(recipe):
    """Values of all rows, and the class of each."""
    random = np.random.default_rng(1)
    shape = (recipe.rows, recipe.features)
    values = random.standard_normal(shape)
    values[:, 1::3] = np.exp(values[:, 1::3])
    values[:, 2::3] = random.poisson(2, (recipe.rows, recipe.features // 3))
    evidence = (values[:, 0] * values[:, 3] + np.log(values[:, 1]) + 0.5 * values[:, 2]
                + np.sin(values[:, 4]) + (values[:, 6] > 0.7) * (values[:, 5] > 2)
                + 0.1 * values.sum(axis=1) + random.standard_normal(recipe.rows))
    bounds = ([0.9] if recipe.classes == 2
              else np.arange(1, recipe.classes) / recipe.classes)
    classes = np.searchsorted(np.quantile(evidence, bounds), evidence)
    values[random.random(shape) < 0.1] = np.nan
    return values.astype(np.float32), classes.astype(np.float32)


def make_data(recipe):
    """The same for libxgboost."""
    values, classes = make_rows(recipe)
    names = [f"f{i}" for i in range(recipe.features)]
    types = None
    if recipe.categories:
        types = ["c" if i % 3 == 2 else "q" for i in range(recipe.features)]
    return xgb.DMatrix(values, classes, feature_names=names, feature_types=types,
                       enable_categorical=recipe.categories)


def train(recipe, data):
    """One model."""
    parameters = {
        "tree_method": "hist", "max_bin": 256, "max_depth": recipe.depth, "eta": recipe.rate,
        "subsample": 0.8, "min_child_weight": 0.01, "nthread": 1, "seed": recipe.seed}
    if recipe.classes > 2:
        parameters.update(objective="multi:softprob", num_class=recipe.classes)
    else:
        parameters.update(objective="binary:logistic", base_score=0.1)
    if recipe.parameters.get("booster") == "gblinear":
        parameters = {key: parameters[key] for key in ("objective", "base_score", "nthread", "seed")}
    parameters.update(recipe.parameters)
    return xgb.train(parameters, data, recipe.trees)


def main():
    directory, *kinds = sys.argv[1:]
    os.makedirs(directory, exist_ok=True)
    recipes = dict(MODELS)
    recipes.update(KINDS if kinds == ["all"] else {kind: KINDS[kind] for kind in kinds})
    made, data = None, None
    for name, recipe in recipes.items():
        path = os.path.join(directory, name)
        if os.path.exists(path + ".json") and os.path.exists(path + ".ubj"):
            continue
        if recipe.since > VERSION:
            print(f"not trained: {name}: needs libxgboost {'.'.join(map(str, recipe.since))}",
                  file=sys.stderr)
            continue
        rows = (recipe.features, recipe.rows, recipe.classes, recipe.categories)
        if rows != made:
            made, data = rows, make_data(recipe)
        print(f"training {name}", file=sys.stderr, flush=True)
        booster = train(recipe, data)
        for ending in ("ubj", "json"):          # whole files only, should this be interrupted
            booster.save_model(f"{path}.new.{ending}")
            os.replace(f"{path}.new.{ending}", f"{path}.{ending}")


if __name__ == "__main__":
    main()
