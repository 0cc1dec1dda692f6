"""A model learned from measurements: gradient-boosted trees on the features of schedules.

XGBoost (Chen and Guestrin, KDD 2016) fits it, as in AutoTVM (Chen et al., NeurIPS 2018) and Ansor (Zheng et
al., OSDI 2020). It is kept in XGBoost's own JSON and evaluated here, so that a compilation that only asks it
does not load XGBoost.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from drystone.autotune.measurements import Measurement
from drystone.dtypes import Array

#: The cost, in powers of two above the best of its kernel, of a schedule that failed, and the most of any.
_FAILED = 3.0
_ROUNDS = 60
#: Features that tell kinds of kernels and machines apart: one value of theirs says nothing of another.
_KINDS = ("bits", "group", "lanes", "registers")
_PARAMETERS = {
    "objective": "reg:squarederror",
    "max_depth": 5,
    "eta": 0.2,
    "min_child_weight": 2,
    "lambda": 1.0,
    "subsample": 0.9,
    "colsample_bytree": 0.8,
    "tree_method": "exact",
    "nthread": 1,
    "seed": 0,
}


class Learned:
    """Predicts how many powers of two a schedule is slower than the best of its kernel.

    names: the features, in the order the trees number them. seen: the values that features which tell kinds
    apart had in the measurements. document: XGBoost's JSON of the trees.
    """

    def __init__(
        self, names: Sequence[str], seen: Mapping[str, Sequence[float]], document: Mapping[str, Any]
    ) -> None:
        self.names = tuple(names)
        self._seen, self._document = dict(seen), document
        learner = document["learner"]
        base = json.loads(learner["learner_model_param"]["base_score"])
        self._base = float(base[0] if isinstance(base, list) else base)
        self._trees = [_Tree(tree) for tree in learner["gradient_booster"]["model"]["trees"]]

    def knows(self, features: Mapping[str, float]) -> bool:
        """Whether the model has seen schedules of such a kernel on such a machine."""
        alike = all(features.get(name, math.nan) in values for name, values in self._seen.items())
        return alike and features.keys() <= set(self.names)

    def costs(self, features: Sequence[Mapping[str, float]]) -> list[float]:
        """The predictions for schedules described by these features; less is faster."""
        table = _table(features, self.names)
        total = np.full(len(features), self._base, np.float32)
        for tree in self._trees:
            total += tree(table)
        return [float(cost) for cost in total]

    def text(self) -> str:
        """As JSON; the same model gives the same text."""
        document = {"features": list(self.names), "seen": self._seen, "model": self._document}
        return json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"

    @staticmethod
    def of_text(text: str) -> "Learned":
        """The inverse of `text`."""
        held = json.loads(text)
        return Learned(held["features"], held["seen"], held["model"])


def learn(measurements: Iterable[Measurement]) -> Learned | None:
    """A model of the measurements; None where fewer than two schedules of one kernel were measured.

    The same measurements give the same model.
    """
    described, costs = _samples(measurements)
    if not described:
        return None
    import xgboost

    names = sorted({name for features in described for name in features})
    data = xgboost.DMatrix(_table(described, names), label=np.array(costs, np.float32))
    trees = xgboost.train(_PARAMETERS, data, num_boost_round=_ROUNDS)
    seen = {name: sorted({f[name] for f in described if name in f}) for name in _KINDS}
    seen = {name: values for name, values in seen.items() if values}
    return Learned(names, seen, json.loads(trees.save_raw("json").decode()))


def _samples(measurements: Iterable[Measurement]) -> tuple[list[dict[str, float]], list[float]]:
    """Features and costs, of kernels of which there is something to compare."""
    groups: dict[str, list[Measurement]] = defaultdict(list)
    for each in measurements:
        groups[each.signature].append(each)
    described, costs = [], []
    for group in groups.values():
        ratios = [m.outcome.ratio for m in group if m.outcome.ratio is not None]
        if len(ratios) < 2:
            continue
        best = min(ratios)
        for m in group:
            ratio = m.outcome.ratio
            described.append(m.features)
            costs.append(_FAILED if ratio is None else min(_FAILED, math.log2(ratio / best)))
    return described, costs


def _table(features: Sequence[Mapping[str, float]], names: Sequence[str]) -> Array:
    """A row for each; NaN where a kernel has no such feature."""
    rows = [[each.get(name, math.nan) for name in names] for each in features]
    return np.array(rows, np.float32).reshape(len(features), len(names))


class _Tree:
    """One tree as XGBoost writes it: a row goes left where its feature is less than the condition, and where
    it has none, to the side the tree names; a leaf's condition is its value."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._left = np.array(tree["left_children"], np.int64)
        self._right = np.array(tree["right_children"], np.int64)
        self._feature = np.array(tree["split_indices"], np.int64)
        self._condition = np.array(tree["split_conditions"], np.float32)
        self._default_left = np.array(tree["default_left"], np.bool_)

    def __call__(self, table: Array) -> Array:
        rows = np.arange(len(table))
        at = np.zeros(len(table), np.int64)
        while (inside := self._left[at] >= 0).any():
            value = table[rows, self._feature[at]]
            left = np.where(np.isnan(value), self._default_left[at], value < self._condition[at])
            step = np.where(left, self._left[at], self._right[at])
            at = np.where(inside, step, at)
        return np.asarray(self._condition[at])
