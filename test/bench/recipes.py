"""recipes.py: the models that the benchmarks score with; train_models.py trains them."""
from typing import NamedTuple

FEATURES = 30
TOLERANCE = 1e-6                # how far two scores of a row may be apart, for their libms differ


class Recipe(NamedTuple):
    """How a model is trained."""

    trees: int                  # rounds, where there are several classes
    depth: int = 6
    rate: float = 0.1
    seed: int = 1
    features: int = FEATURES
    rows: int = 10000
    classes: int = 2
    categories: bool = False    # the small counts are categories
    parameters: dict = {}       # and what else libxgboost is told
    since: tuple = (1, 7)       # the first libxgboost that can


MODELS = {
    "trees100_depth6": Recipe(100, 6, 0.1),
    "trees500_depth6": Recipe(500, 6, 0.05),
    "trees2000_depth8": Recipe(2000, 8, 0.02),
    "trees500_depth6_wide": Recipe(500, 6, 0.05, features=200),
    "challenger1": Recipe(500, 6, 0.05, seed=2),
    "challenger2": Recipe(500, 6, 0.05, seed=3),
    "challenger3": Recipe(500, 6, 0.05, seed=4)}

# One of each kind, on request (KINDS=all).
KINDS = {
    "categorical": Recipe(300, categories=True),
    "dart": Recipe(200, parameters={"booster": "dart", "rate_drop": 0.1}),
    "multi-class": Recipe(100, classes=5),
    "vector leaves": Recipe(100, classes=5, since=(2, 0),
                            parameters={"multi_strategy": "multi_output_tree"}),
    "gblinear": Recipe(50, parameters={"booster": "gblinear"}),
    "random forest": Recipe(1, 8, 1, parameters={"num_parallel_tree": 300, "colsample_bynode": 0.5}),
    "depth 8": Recipe(300, 8),
    "depth 9": Recipe(300, 9),
    "depth 12": Recipe(300, 12),
    "depth 16": Recipe(300, 16),
    "depth 20": Recipe(300, 20),
    "lopsided": Recipe(300, 0, parameters={"grow_policy": "lossguide", "max_leaves": 64}),
    "2,000 thresholds a feature": Recipe(500, parameters={"max_bin": 2048}),
    "300 features": Recipe(300, features=300),
    "3,000 features": Recipe(100, features=3000, rows=2000, parameters={"max_bin": 64}),
    "10,000 trees": Recipe(10000, 4, 0.01, rows=2000, parameters={"max_bin": 64}),
    "10 trees": Recipe(10, 3, 0.3),
    "one stump": Recipe(1, 1, 0.3)}
