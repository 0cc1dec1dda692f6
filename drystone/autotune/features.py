"""What a model learns from: numbers that describe a kernel's schedule, read off its tile program.

As in AutoTVM (Chen et al., "Learning to Optimize Tensor Programs", NeurIPS 2018, section 3.1) and Ansor
(Zheng et al., OSDI 2020, section 5.2): per loop nest the arithmetic done and thrown away, registers, bytes by
the loop they move in, working sets beside the caches, how the grid fills the threads.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drystone.codegen.cpu.tiles.usage import inner
from drystone.codegen.elements import width
from drystone.codegen.index import folded
from drystone.codegen.search import Point, Search
from drystone.codegen.tile import Apply, Dot, Index, Load, Loop, Statement, Store, Tensor, TileProgram
from drystone.targets.target import Target

#: Trips assumed of a loop whose bounds depend on more than extents.
_TRIPS = 32
#: Bytes in which the sets of a first cache repeat (64 sets of 64 bytes on every x86 core), and of one line.
_SETS, _LINE = 4096, 64
#: Operations that a function such as exp counts as.
_FUNCTION = 20


def describe(
    search: Search, point: Point, program: TileProgram, extents: Sequence[Sequence[int]], target: Target
) -> dict[str, float]:
    """The features of a kernel built at `point`; extents of its tensors where they are dynamic.

    Names are those of the search's own features (as powers of two), its parameters, and the ones made here.
    """
    own = {f"size.{name}": _log(value) for name, value in search.features.items()}
    chosen = {f"point.{name}": float(value) for name, value in point.items()}
    return {**own, **chosen, **_Walk(program, extents, target).features()}


@dataclass(frozen=True)
class _Place:
    """A statement, the trips of the loops around it (outermost first), the innermost one's variable."""

    statement: Statement
    trips: tuple[int, ...]
    variable: Index | None


class _Walk:
    def __init__(self, program: TileProgram, extents: Sequence[Sequence[int]], target: Target) -> None:
        self._program, self._target = program, target
        named = zip(program.tensors, extents, strict=True)
        self._extents = {tensor.name: tuple(given) for tensor, given in named}
        self._middles: dict[Index, int] = {}
        self._units = 1
        grid = program.grid
        for variable, extent, step in zip(grid.vars, grid.extents, grid.steps, strict=True):
            units = max(1, -(-self._value(extent) // step))
            self._units *= units
            self._middles[variable] = units // 2 * step
        self._places = list(self._visit(program.grid.body, (), None))

    def features(self) -> dict[str, float]:
        """All but the search's own."""
        target, units = self._target, self._units
        share = -(-units // target.threads) * target.threads / units
        found = {
            "threads": float(target.threads),
            "units": _log(units),
            "imbalance": share,
            "registers": float(target.registers),
            "lanes": float(target.lanes(32)),
            "l1": _log(target.l1),
            "l2": _log(target.l2),
            "scratch": _log(sum(_size(t) for t in self._program.scratch)),
        }
        return found | self._dots() | self._memory() | self._rest()

    def _dots(self) -> dict[str, float]:
        """The largest dot by work: its registers, chains and loop."""
        dots = [p for p in self._places if isinstance(p.statement, Dot)]
        if not dots:
            return {"flops": 0.0}
        work = [_flops(p.statement) * math.prod(p.trips) for p in dots]
        most = dots[work.index(max(work))]
        dot = most.statement
        assert isinstance(dot, Dot)
        rows, columns = dot.acc.shape
        vectors = -(-columns // self._target.lanes(max(32, width(dot.acc.dtype))))
        return {
            "flops": _log(self._units * sum(work)),
            "rows": float(rows),
            "vectors": float(vectors),
            "sums": float(rows * vectors),
            "used": (rows * vectors + vectors + 1) / self._target.registers,
            "loads_per_fma": (rows + vectors) / (rows * vectors),
            "bits": float(width(dot.a.dtype)),
            "group": float(dot.group),
            "unrolled": float(dot.a.shape[1]),
            "depth": float(len(most.trips)),
            "inner_trips": _log(most.trips[-1] if most.trips else 1),
            "outer_trips": _log(math.prod(most.trips[:-1])),
        }

    def _memory(self) -> dict[str, float]:
        """Bytes loaded and stored, the innermost loops' working sets, rows that meet in a set of the
        cache."""
        loaded = stored = 0.0
        working = crowd = 0.0
        for place in self._places:
            s = place.statement
            if isinstance(s, Load):
                size = math.prod(s.result.shape) * width(s.source.held) / 8
                loaded += size * math.prod(place.trips)
                moves = place.variable is not None and any(_mentions(at, place.variable) for at in s.at)
                working += size * (place.trips[-1] if moves else 1)
                crowd = max(crowd, self._crowd(s))
            elif isinstance(s, Store):
                stored += math.prod(s.value.shape) * width(s.target.held) / 8 * math.prod(place.trips)
        flops = sum(_flops(p.statement) * math.prod(p.trips) for p in self._places)
        return {
            "loaded": _log(self._units * loaded),
            "stored": _log(self._units * stored),
            "intensity": _log(flops / max(1.0, loaded + stored)),
            "per_unit": _log(loaded),
            "working": _log(working),
            "of_l1": working / self._target.l1,
            "of_l2": working / self._target.l2,
            "crowd": crowd,
        }

    def _rest(self) -> dict[str, float]:
        """Work beside the dots."""
        applied = functions = 0.0
        for place in self._places:
            if isinstance(place.statement, Apply):
                count = math.prod(place.statement.result.shape) * math.prod(place.trips)
                applied += count
                functions += count * place.statement.op.startswith("math.")
        return {"applied": _log(self._units * applied), "functions": _log(self._units * functions)}

    def _crowd(self, load: Load) -> float:
        """Lines of a load that fall into one set of the first cache, beside the lines a set holds."""
        most = 0.0
        extents = self._shape(load.source)
        for axis, size in enumerate(load.sizes):
            stride = math.prod(extents[axis + 1 :]) * width(load.source.held) // 8 * load.steps[axis]
            if size is not None and size > 1 and stride >= _LINE:
                sets = _SETS // math.gcd(stride, _SETS)
                most = max(most, size / min(sets, _SETS // _LINE))
        return most * _SETS / self._target.l1

    def _shape(self, tensor: Tensor) -> tuple[int, ...]:
        return tuple(self._value(tensor.dim(axis)) for axis in range(len(tensor.shape)))

    def _visit(
        self, body: Sequence[Statement], trips: tuple[int, ...], variable: Index | None
    ) -> Iterator[_Place]:
        for s in body:
            yield _Place(s, trips, variable)
            if isinstance(s, Loop):
                yield from self._visit(s.body, (*trips, self._trips(s)), s.var)
            else:
                yield from self._visit(inner(s), trips, variable)

    def _trips(self, loop: Loop) -> int:
        """How often the loop's body runs; takes its variable to be in the middle from then on."""
        try:
            lower = self._value(loop.lower)
            trips = max(1, -(-(self._value(loop.upper) - lower) // loop.step))
        except KeyError:
            lower, trips = 0, _TRIPS
        self._middles[loop.var] = lower + trips // 2 * loop.step
        return trips

    def _value(self, e: Index) -> int:
        """An index expression where every variable is in the middle of its values. Raises KeyError where it
        depends on data."""
        match e.kind:
            case "const":
                return int(e.args[0])
            case "var":
                return self._middles.get(e, 0)
            case "dim" if e.args[0] in self._extents:
                return self._extents[str(e.args[0])][int(e.args[1])]
            case "scalar" | "element" | "distinct" | "dim":
                raise KeyError(str(e))
        a, b = (self._value(arg) for arg in e.args)
        return folded(e.kind, a, b)


def _flops(s: Statement) -> float:
    return 2.0 * math.prod(s.a.shape) * s.acc.shape[1] if isinstance(s, Dot) else 0.0


def _mentions(e: Index, variable: Index) -> bool:
    return e == variable or any(isinstance(arg, Index) and _mentions(arg, variable) for arg in e.args)


def _size(tensor: Tensor) -> float:
    return math.prod(n or 1 for n in tensor.shape) * width(tensor.dtype) / 8


def _log(value: float) -> float:
    return math.log2(1 + value)
