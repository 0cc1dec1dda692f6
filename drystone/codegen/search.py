"""Search spaces: named schedule parameters of finitely many values, and which combinations make sense.

A kernel family whose schedule can be chosen gives a `Search` for a kernel; cost models and measurements rank
its points.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from drystone.codegen.tile import TileProgram
from drystone.errors import InternalError

#: A choice for every parameter.
Point = dict[str, int]
Constraint = Callable[[Mapping[str, int]], bool]


@dataclass(frozen=True)
class Parameter:
    """A schedule parameter and the values it may take, the preferred ones first."""

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True)
class Space:
    """All points that satisfy every constraint. Raises InternalError where a name or a value is doubled, or a
    parameter has no value."""

    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        names = [parameter.name for parameter in self.parameters]
        if len(set(names)) != len(names):
            raise InternalError(f"a search space names a parameter twice: {', '.join(names)}")
        for parameter in self.parameters:
            if not parameter.values or len(set(parameter.values)) != len(parameter.values):
                raise InternalError(f"parameter {parameter.name} has no values, or one twice")

    def points(self) -> Iterator[Point]:
        """The points, in order of the parameters' values, the last parameter changing fastest."""
        names = [parameter.name for parameter in self.parameters]
        for values in product(*(parameter.values for parameter in self.parameters)):
            point = dict(zip(names, values, strict=True))
            if all(constraint(point) for constraint in self.constraints):
                yield point

    def __contains__(self, point: Mapping[str, int]) -> bool:
        values = {parameter.name: parameter.values for parameter in self.parameters}
        return (
            point.keys() == values.keys()
            and all(point[name] in values[name] for name in values)
            and all(constraint(point) for constraint in self.constraints)
        )


@dataclass(frozen=True)
class Search:
    """The schedules of one kernel: all points, the one taken without tuning, what a cost model is told of the
    kernel beside a point (sizes by name), and the program of a point."""

    space: Space
    default: Point
    features: Mapping[str, float]
    build: Callable[[Point], TileProgram]
