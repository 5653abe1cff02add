#!/usr/bin/env python3
"""make_corpus.py: makes the seeds of the fuzz targets, corpus/*.json and *.ubj.

Small models of every kind, trained by the installed XGBoost (1.7) on random
numbers, and the same models in the dialects of later and earlier releases:
where those differ is told in src/import/dialect.c.  Each model is written in
JSON and in UBJSON.  Other files in the folder are inputs that once broke
something; they stay.

Needs numpy and xgboost 1.7.
"""
import copy
import json
import os
import struct
import tempfile

import numpy as np
import xgboost as xgb

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
ROWS = 80
NAMES = ["amount", "country \u00fc", "hour", "a\"b"]
COMMON = {"max_depth": 2, "seed": 1, "nthread": 1, "verbosity": 0, "eta": 0.6}
TYPES = {
    "d": ["base_weights", "split_conditions", "loss_changes", "sum_hessian", "weights",
          "leaf_weights"],
    "l": ["left_children", "right_children", "parents", "split_indices", "categories",
          "categories_nodes", "offsets", "feature_segments", "sorted_idx"],
    "L": ["categories_segments", "categories_sizes"],
    "U": ["default_left", "split_type"],
    "i": ["values"]}
TYPE_OF = {key: mark for mark, keys in TYPES.items() for key in keys}
PACK = {"d": ">f", "l": ">i", "L": ">q", "U": ">B", "i": ">b", "I": ">h"}


# --- UBJSON -------------------------------------------------------------------

def length(number):
    return b"L" + struct.pack(">q", number)


def ubjson(value, key=""):
    """A value as XGBoost writes it: typed arrays where the key has a type."""
    if value is None:
        return b"Z"
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, int):
        widths = (("i", 7), ("I", 15), ("l", 31), ("L", 63))
        mark = next(m for m, bits in widths if abs(value) < 1 << bits)
        return mark.encode() + struct.pack(PACK[mark], value)
    if isinstance(value, float):
        return b"d" + struct.pack(">f", value)
    if isinstance(value, str):
        return b"S" + length(len(value.encode())) + value.encode()
    if isinstance(value, dict):
        return b"{" + b"".join(length(len(k.encode())) + k.encode() + ubjson(v, k)
                               for k, v in value.items()) + b"}"
    if key in TYPE_OF and not any(isinstance(v, (dict, list)) for v in value):
        mark = TYPE_OF[key]
        return b"[$" + mark.encode() + b"#" + length(len(value)) + b"".join(
            struct.pack(PACK[mark], v) for v in value)
    return b"[#" + length(len(value)) + b"".join(ubjson(v) for v in value)


# --- Models of the installed release ------------------------------------------

def train(parameters, rounds=2, categories=0, targets=1, classes=0, names=False, **options):
    """A small model as a document."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, 4)).astype(np.float32)
    x[rng.random(x.shape) < 0.15] = np.nan
    types = ["float"] * 4
    if categories:
        x[:, 1] = rng.integers(0, categories, ROWS)
        x[:, 3] = rng.integers(0, 3, ROWS)
        types[1] = types[3] = "c"
    known = np.nan_to_num(x)
    signal = known[:, 0] + known[:, 2] ** 2 + np.sin(known[:, 1] * 2)
    if categories:
        signal = rng.normal(size=categories)[x[:, 1].astype(int)] * 3 + x[:, 3]
    y = (signal > 0.5).astype(float)
    if classes:
        y = np.digitize(signal, [0.0, 1.0]).astype(float)
    if targets > 1:
        y = np.stack([signal, -signal ** 2], axis=1)
    data = xgb.DMatrix(x, y, feature_types=types if categories or names else None,
                       feature_names=NAMES if names else None, enable_categorical=True)
    booster = xgb.train({**COMMON, **parameters}, data, rounds, **options,
                        evals=[(data, "train")], verbose_eval=False)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.json")
        booster.save_model(path)
        with open(path, encoding="utf-8") as file:
            return json.load(file)


def trained():
    """Name and document of each kind of model."""
    hist = {"tree_method": "hist"}
    logistic = {"objective": "binary:logistic"}
    yield "gbtree", train(logistic, names=True)
    yield "early", train(logistic, rounds=4, early_stopping_rounds=2)
    yield "pruned", train({**logistic, "tree_method": "exact", "max_depth": 4, "gamma": 1.0})
    yield "parallel", train({"objective": "reg:squarederror", "num_parallel_tree": 3,
                             "subsample": 0.6})
    yield "poisson", train({"objective": "count:poisson", "base_score": 1.5}, rounds=1)
    yield "dart", train({**logistic, "booster": "dart", "rate_drop": 0.5}, rounds=3)
    yield "linear", train({"objective": "reg:squarederror", "booster": "gblinear"}, rounds=3)
    yield "linear_multi", train({"objective": "multi:softprob", "booster": "gblinear",
                                 "num_class": 3}, classes=3)
    yield "multi", train({"objective": "multi:softprob", "num_class": 3}, rounds=1, classes=3)
    yield "argmax", train({"objective": "multi:softmax", "num_class": 3, "num_parallel_tree": 2},
                          rounds=1, classes=3)
    yield "targets", train({"objective": "reg:squarederror"}, rounds=1, targets=2)
    yield "onehot", train({**hist, **logistic, "max_cat_to_onehot": 100}, categories=5)
    yield "partition", train({**hist, **logistic, "max_cat_to_onehot": 1, "max_depth": 3},
                             categories=70)
    yield "stump", train({"objective": "binary:hinge", "max_depth": 1}, rounds=1)


# --- The dialects of other releases -------------------------------------------

def booster_of(model):
    return model["learner"]["gradient_booster"]


def later(model, version):
    """The model as a release from 2.0 on writes it."""
    model = copy.deepcopy(model)
    booster = booster_of(model)
    body = booster.get("gbtree", booster)["model"]
    parameters = model["learner"]["learner_model_param"]
    model["version"] = list(version)
    if "trees" in body:
        outputs = max(int(parameters["num_class"]), int(parameters["num_target"]), 1)
        step = outputs * int(body["gbtree_model_param"]["num_parallel_tree"])
        body["iteration_indptr"] = list(range(0, len(body["trees"]) + 1, step))
        for tree in body["trees"]:
            tree["tree_param"]["size_leaf_vector"] = "1"
    if version >= (3, 1):
        count = max(int(parameters["num_class"]), int(parameters["num_target"]), 1)
        parameters["base_score"] = "[" + ",".join([parameters["base_score"]] * count) + "]"
        body["cats"] = {"enc": [], "feature_segments": [], "sorted_idx": []}
    return model


def earlier(model):
    """The model as XGBoost 1.0 wrote it: no categories, few parameters."""
    model = copy.deepcopy(model)
    model["version"] = [1, 0, 0]
    for key in ("feature_names", "feature_types"):
        del model["learner"][key]
    body = booster_of(model)["model"]
    del body["gbtree_model_param"]["num_parallel_tree"]
    for tree in body["trees"]:
        for key in ("split_type", "categories", "categories_nodes", "categories_segments",
                    "categories_sizes"):
            del tree[key]
        tree["default_left"] = [bool(bit) for bit in tree["default_left"]]
    return model


def vector_leaves(model, version):
    """One tree for both targets: leaves of two values, in either layout."""
    model = later(model, version)
    body = booster_of(model)["model"]
    tree = body["trees"][0]
    nodes = len(tree["left_children"])
    leaves = [i for i in range(nodes) if tree["left_children"][i] == -1]
    body["trees"] = [tree]
    body["tree_info"] = [0]
    body["iteration_indptr"] = [0, 1]
    body["gbtree_model_param"]["num_trees"] = "1"
    tree["tree_param"]["size_leaf_vector"] = "2"
    tree["base_weights"] = [round(0.1 * i - 0.3, 1) for i in range(2 * nodes)]
    if version >= (3, 2):
        tree["leaf_weights"] = [round(0.5 * i - 1.0, 1) for i in range(2 * len(leaves))]
        for row, leaf in enumerate(leaves):
            tree["right_children"][leaf] = row
    return model


def with_objective(model, name, block, parameters):
    model = copy.deepcopy(model)
    model["learner"]["objective"] = {"name": name, block: parameters}
    return model


def edited(models):
    """Name and document of each variant."""
    yield "gbtree_1_0", earlier(models["gbtree"])
    yield "gbtree_3_0", later(models["gbtree"], (3, 0, 0))
    yield "multi_3_1", later(models["multi"], (3, 1, 0))
    yield "targets_3_3", later(models["targets"], (3, 3, 0))
    yield "linear_3_3", later(models["linear"], (3, 3, 0))
    yield "vectors_2_1", vector_leaves(models["targets"], (2, 1, 0))
    yield "vectors_3_2", vector_leaves(models["targets"], (3, 2, 0))

    model = later(models["onehot"], (3, 3, 0))
    names = "".join("AT BE CH DE FR".split()).encode()
    booster_of(model)["model"]["cats"]["enc"] = [
        {"offsets": [], "values": []}, {"offsets": [0, 2, 4, 6, 8, 10], "values": list(names)},
        {"offsets": [], "values": []}, {"type": 5, "values": [0, 10, 20]}]
    yield "onehot_3_3", model

    for version in ((3, 3, 0), (3, 4, 0)):
        model = later(models["dart"], version)
        booster = booster_of(model)
        inner = {"model": booster["gbtree"]["model"], "name": "gbtree"}
        if version == (3, 3, 0):
            inner["weight_drop"] = booster["weight_drop"]
        else:
            inner["model"]["weight_drop"] = booster["weight_drop"][:-1]
        model["learner"]["gradient_booster"] = inner
        yield "dart_%d_%d" % version[:2], model

    model = with_objective(later(models["targets"], (3, 0, 0)), "reg:quantileerror",
                           "quantile_loss_param", {"quantile_alpha": "[0.25,0.75]"})
    yield "quantile_3_0", model
    model = with_objective(later(models["targets"], (3, 3, 0)), "reg:expectileerror",
                           "expectile_loss_param", {"expectile_alpha": "[0.25,0.75]"})
    model["learner"]["learner_model_param"]["base_score"] = "[-1E-1,4E-1]"
    yield "expectile_3_3", model


# --- All of them ---------------------------------------------------------------

def rounded(value):
    """Fewer digits and no blanks: small seeds are mutated more."""
    if isinstance(value, float):
        return float("%.4g" % value)
    if isinstance(value, list):
        return [rounded(v) for v in value]
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return value


def main():
    os.makedirs(FOLDER, exist_ok=True)
    models = {name: rounded(model) for name, model in trained()}
    models.update(edited(models))
    for name, model in models.items():
        with open(os.path.join(FOLDER, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(model, file, separators=(",", ":"), ensure_ascii=False)
        with open(os.path.join(FOLDER, name + ".ubj"), "wb") as file:
            file.write(ubjson(model))


if __name__ == "__main__":
    main()
