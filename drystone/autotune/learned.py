"""A model learned from measurements: gradient-boosted trees on the features of schedules.

XGBoost (Chen and Guestrin, KDD 2016) fits it, as in AutoTVM (Chen et al., NeurIPS 2018) and Ansor (Zheng et
al., OSDI 2020). It steers the search for schedules; a first choice without measurements is made analytically,
which `python -m benchmarks.tuning --learned FILE` compares.
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
    apart had in the measurements. trees: an xgboost.Booster.
    """

    def __init__(self, names: Sequence[str], seen: Mapping[str, Sequence[float]], trees: Any) -> None:
        self._names, self._seen, self._trees = tuple(names), dict(seen), trees

    def knows(self, features: Mapping[str, float]) -> bool:
        """Whether the model has seen schedules of such a kernel on such a machine."""
        alike = all(features.get(name, math.nan) in values for name, values in self._seen.items())
        return alike and features.keys() <= set(self._names)

    def costs(self, features: Sequence[Mapping[str, float]]) -> list[float]:
        """The predictions for schedules described by these features; less is faster."""
        import xgboost

        found = self._trees.predict(xgboost.DMatrix(_table(features, self._names)))
        return [float(cost) for cost in found]

    def text(self) -> str:
        """As JSON; the same model gives the same text."""
        trees = json.loads(self._trees.save_raw("json").decode())
        document = {"features": list(self._names), "seen": self._seen, "trees": trees}
        return json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"

    @staticmethod
    def of_text(text: str) -> "Learned":
        """The inverse of `text`."""
        import xgboost

        held = json.loads(text)
        trees = xgboost.Booster()
        trees.load_model(bytearray(json.dumps(held["trees"]).encode()))
        return Learned(held["features"], held["seen"], trees)


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
    return Learned(names, seen, trees)


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
