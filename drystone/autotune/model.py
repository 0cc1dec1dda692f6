"""Cost models: what a kernel with given parameters is expected to take, and the choice made by one."""

from collections.abc import Mapping
from typing import Protocol

from drystone.codegen.search import Point, Space
from drystone.errors import InternalError

#: What a model predicts from: the problem's sizes and a point's parameters, by name.
Features = Mapping[str, float]


class CostModel(Protocol):
    """Anything that predicts times. Only their order matters for a choice."""

    def predict(self, features: Features) -> float:
        """The expected seconds of one call of a kernel."""
        ...


def choose(space: Space, model: CostModel, features: Features) -> Point:
    """The point of `space` that `model` expects to be fastest for a problem of these features; the first of
    equals.

    Raises InternalError where no point satisfies the constraints, or a parameter has a feature's name.
    """
    if clash := sorted(features.keys() & {parameter.name for parameter in space.parameters}):
        raise InternalError(f"{', '.join(clash)} names both a feature and a parameter")
    best: tuple[float, Point] | None = None
    for point in space.points():
        seconds = model.predict({**features, **point})
        if best is None or seconds < best[0]:
            best = seconds, point
    if best is None:
        raise InternalError("no point of the search space satisfies its constraints")
    return best[1]
