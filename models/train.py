#!/usr/bin/env python3
"""train.py: trains the example models card_fraud v1 and v2 on the simulator's output.

Writes, beside itself or into --out:

    card_fraud_v1.json              100 trees of depth 5, numeric features only
    card_fraud_v2.ubj               300 trees of depth 6, country and merchant
                                    category as categorical features
    card_fraud_v2.categories.json   feature -> names in the order of their codes
    card_fraud_v1.card.json         model cards: what, on which data, how good
    card_fraud_v2.card.json
    expected.csv                    probe rows and what libxgboost answers

The models learn from the first 70 % of one bank's days and are measured on the
rest of them.  The same XGBoost release gives the same files (one thread, fixed
seeds); --date is all that changes in the cards.

Needs numpy and xgboost, 1.7 to 3.3.
"""
import argparse
import csv
import datetime
import json
import os

import numpy as np
import xgboost as xgb

import simulate

SEED = 20260101         # of the training data; the demo's bank is another one
PROBE_SEED = 777
ROWS = 200000
DAYS = 60
START = datetime.date(2025, 9, 1)
LEARN = 0.7             # of the days

NUMERIC = [
    "amount", "hour", "is_weekend", "customer_tx_count_1h", "customer_tx_count_24h",
    "customer_amount_sum_24h", "seconds_since_last_tx", "amount_ratio_to_customer_mean",
    "amount_ratio_to_merchant_mean", "merchant_tx_count_1h", "is_new_device",
    "is_new_country", "is_new_merchant", "km_from_last_tx"]
CATEGORICAL = {
    "country": sorted(c.code for c in simulate.COUNTRIES),
    "merchant_category": sorted(c.name for c in simulate.CATEGORIES)}

MODELS = {
    "v1": {
        "file": "card_fraud_v1.json",
        "features": NUMERIC,
        "trees": 100,
        "parameters": {"max_depth": 5, "eta": 0.1, "min_child_weight": 5, "subsample": 0.8}},
    "v2": {
        "file": "card_fraud_v2.ubj",
        "features": NUMERIC + list(CATEGORICAL),
        "trees": 300,
        "parameters": {"max_depth": 6, "eta": 0.05, "min_child_weight": 8, "gamma": 0.5,
                       "subsample": 0.8, "colsample_bytree": 0.5, "max_cat_to_onehot": 4}},
}
COMMON = {"objective": "binary:logistic", "tree_method": "hist", "nthread": 1, "seed": 1}


def simulated_rows(rows, seed):
    """The simulator's rows as dicts of text, in time order."""
    world, payments = simulate.simulate(rows, seed, DAYS, rows // 60, START)
    return list(csv.DictReader(simulate.add_features(world, payments), simulate.COLUMNS))


def number(feature, text):
    """One field as the model sees it: NULL is NaN, a category is its place in the sorted names."""
    if text == "":
        return np.nan
    if feature in CATEGORICAL:
        return CATEGORICAL[feature].index(text)
    return {"false": 0, "true": 1}[text] if text in ("false", "true") else float(text)


def matrix(rows, features):
    return np.array([[number(f, row[f]) for f in features] for row in rows], dtype=np.float32)


def dmatrix(values, features, label=None):
    kinds = ["c" if f in CATEGORICAL else "q" for f in features]
    return xgb.DMatrix(values, label=label, feature_names=features, feature_types=kinds,
                       enable_categorical=True, nthread=1)


def metrics(score, label):
    """Ranking quality: area under the ROC curve, average precision, and the catch of 1 % alerts.

    Ties share their ranks in the AUC (Mann-Whitney U); average precision takes one step for
    each distinct score, as scikit-learn does.
    """
    distinct, group, size = np.unique(-score, return_inverse=True, return_counts=True)
    frauds = np.bincount(group, weights=label, minlength=len(distinct))
    seen = np.cumsum(size)
    caught = np.cumsum(frauds)
    total = caught[-1]
    clean = size - frauds
    below = (len(score) - total) - np.cumsum(clean)
    alerts = np.argsort(-score, kind="stable")[:len(score) // 100]
    return {
        "auc": round(float(np.sum(frauds * (below + clean / 2)) / (total * clean.sum())), 4),
        "average_precision": round(float(np.sum(frauds / total * caught / seen)), 4),
        "precision_at_1_percent": round(float(label[alerts].mean()), 4),
        "recall_at_1_percent": round(float(label[alerts].sum() / total), 4)}


def recall_by_pattern(score, rows):
    """Of each fraud pattern, the share among the 1 % highest scores."""
    limit = np.sort(score)[-(len(score) // 100)]
    result = {}
    for pattern in sorted({row["fraud_pattern"] for row in rows} - {""}):
        hits = [s >= limit for s, row in zip(score, rows) if row["fraud_pattern"] == pattern]
        result[pattern] = round(sum(hits) / len(hits), 3)
    return result


def train(version, rows, cut, folder, date):
    """One model: trained on rows before cut, measured on the others; returns booster and card."""
    plan = MODELS[version]
    values = matrix(rows, plan["features"])
    label = np.array([row["is_fraud"] == "true" for row in rows], dtype=np.float32)
    booster = xgb.train({**COMMON, **plan["parameters"]},
                        dmatrix(values[:cut], plan["features"], label[:cut]), plan["trees"])
    booster.save_model(os.path.join(folder, plan["file"]))
    score = booster.predict(dmatrix(values[cut:], plan["features"]))
    card = {
        "model": "card_fraud",
        "version": version,
        "purpose": "Score of a card payment: the probability that it is fraud. An example "
                   "trained on invented data; not for real decisions.",
        "trained_by": "models/train.py of pg_risk",
        "trained_on": str(date),
        "xgboost": xgb.__version__,
        "parameters": {**COMMON, **plan["parameters"], "trees": plan["trees"]},
        "data": {
            "source": "models/simulate.py", "seed": SEED, "rows": ROWS,
            "learned_from": {"rows": cut, "to": rows[cut - 1]["tx_datetime"],
                             "frauds": int(label[:cut].sum())},
            "held_out": {"rows": len(rows) - cut, "from": rows[cut]["tx_datetime"],
                         "frauds": int(label[cut:].sum())}},
        "metrics": metrics(score, label[cut:]),
        "recall_at_1_percent_by_pattern": recall_by_pattern(score, rows[cut:]),
        "features": plan["features"],
        "categorical_features": [f for f in plan["features"] if f in CATEGORICAL]}
    write_json(card, folder, "card_fraud_%s.card.json" % version)
    return booster, card


def write_json(value, folder, name):
    with open(os.path.join(folder, name), "w") as out:
        json.dump(value, out, indent=2)
        out.write("\n")


def thresholds(booster, features):
    """{feature: sorted split values} of the numeric splits, read from the saved model."""
    model = json.loads(booster.save_raw("json").decode())
    result = {}
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        kinds = tree["split_type"]
        for node, left in enumerate(tree["left_children"]):
            if left != -1 and kinds[node] == 0:
                feature = features[tree["split_indices"][node]]
                result.setdefault(feature, set()).add(np.float32(tree["split_conditions"][node]))
    return {feature: sorted(values) for feature, values in result.items()}


def probe_rows(boosters):
    """200 rows: one all missing, one all zero; payments of another bank, half of them frauds;
    then rows whose values lie on or one float32 beside split values, a fifth missing."""
    rng = np.random.RandomState(PROBE_SEED)
    features = MODELS["v2"]["features"]
    rows = simulated_rows(20000, PROBE_SEED)
    frauds = [row for row in rows if row["is_fraud"] == "true"][:60]
    others = [row for row in rows if row["is_fraud"] == "false"][::len(rows) // 60][:60]
    real = matrix(frauds + others, features)
    edges = {}
    for version, booster in boosters.items():
        for feature, values in thresholds(booster, MODELS[version]["features"]).items():
            edges.setdefault(feature, []).extend(values)
    made = np.zeros((200 - 2 - len(real), len(features)), dtype=np.float32)
    for i in range(made.shape[0]):
        for j, feature in enumerate(features):
            if feature in CATEGORICAL:
                made[i, j] = rng.randint(len(CATEGORICAL[feature]))
            else:
                edge = edges[feature][rng.randint(len(edges[feature]))]
                toward = np.float32((-np.inf, np.inf, edge)[rng.randint(3)])
                made[i, j] = np.nextafter(edge, toward)
            if rng.randint(5) == 0:
                made[i, j] = np.nan
    return np.vstack([np.full((1, len(features)), np.nan, dtype=np.float32),
                      np.zeros((1, len(features)), dtype=np.float32), real, made])


def field(feature, value):
    """A float32 as CSV text that reads back as the same float32; a category by its name."""
    if np.isnan(value):
        return ""
    return CATEGORICAL[feature][int(value)] if feature in CATEGORICAL else "%.9g" % value


def write_expected(boosters, folder):
    features = MODELS["v2"]["features"]
    probes = probe_rows(boosters)
    answers = []
    for version, booster in boosters.items():
        data = dmatrix(probes[:, :len(MODELS[version]["features"])], MODELS[version]["features"])
        answers += [booster.predict(data, output_margin=True), booster.predict(data)]
    with open(os.path.join(folder, "expected.csv"), "w", newline="") as out:
        out.write("row," + ",".join(features) + ",v1_margin,v1_prediction,v2_margin,v2_prediction\n")
        for i, probe in enumerate(probes):
            fields = [field(f, value) for f, value in zip(features, probe)]
            fields += ["%.9g" % answer[i] for answer in answers]
            out.write("%d,%s\n" % (i + 1, ",".join(fields)))


def print_table(cards, folder):
    """The measured quality as Markdown."""
    print("| model | trees | bytes | AUC | average precision | precision, recall at 1 % alerts |")
    print("|---|---|---|---|---|---|")
    for version, card in cards.items():
        got = card["metrics"]
        size = os.path.getsize(os.path.join(folder, MODELS[version]["file"]))
        print("| %s | %d | %s | %.4f | %.4f | %.3f, %.3f |" % (
            version, MODELS[version]["trees"], format(size, ","), got["auc"],
            got["average_precision"], got["precision_at_1_percent"], got["recall_at_1_percent"]))
    print("\n| recall at 1 %% alerts | %s |" % " | ".join(cards))
    print("|---|%s" % ("---|" * len(cards)))
    for pattern in cards["v1"]["recall_at_1_percent_by_pattern"]:
        print("| %s | %s |" % (pattern, " | ".join(
            "%.3f" % card["recall_at_1_percent_by_pattern"][pattern] for card in cards.values())))


def main():
    parser = argparse.ArgumentParser(description="Trains the example models.")
    parser.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)),
                        help="folder to write to, default: where this program is")
    parser.add_argument("--date", type=datetime.date.fromisoformat, default=datetime.date.today(),
                        help="date to write into the cards, default: today")
    options = parser.parse_args()

    rows = simulated_rows(ROWS, SEED)
    last_day = str(START + datetime.timedelta(int(DAYS * LEARN)))
    cut = sum(row["tx_datetime"] < last_day for row in rows)
    boosters = {}
    cards = {}
    for version in MODELS:
        boosters[version], cards[version] = train(version, rows, cut, options.out, options.date)
    write_json(CATEGORICAL, options.out, "card_fraud_v2.categories.json")
    write_expected(boosters, options.out)
    print_table(cards, options.out)


if __name__ == "__main__":
    main()
