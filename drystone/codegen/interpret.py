"""What a tile program means, in numpy: obvious and slow. Every lowering is held against this."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from drystone.codegen.index import folded
from drystone.codegen.statements import Valued
from drystone.codegen.tile import (
    Apply,
    Beside,
    Compress,
    Dot,
    Full,
    Gather,
    Grid,
    Index,
    Interleave,
    Iota,
    LaneDot,
    Load,
    Lookup,
    Loop,
    Prefetch,
    Reduce,
    Reshape,
    Scalar,
    Scatter,
    Shuffle,
    Split,
    Statement,
    Store,
    Tensor,
    Tile,
    TileProgram,
    Transpose,
    When,
)
from drystone.dtypes import Array
from drystone.errors import InternalError
from drystone.ir.elements import numpy_dtype, to_element, widen
from drystone.ir.scalars import apply


def run(program: TileProgram, arrays: Sequence[Array], scalars: Sequence[Any] = ()) -> None:
    """Run the program on `arrays` (one per tensor of the program, in order; stores are written into them) and
    `scalars` (one per scalar)."""
    if len(arrays) != len(program.tensors) or len(scalars) != len(program.scalars):
        raise ValueError(f"{program.family}: called with {len(arrays)} arrays and {len(scalars)} scalars")
    for tensor, array in zip(program.tensors, arrays, strict=True):
        fits = all(n in (None, m) for n, m in zip(tensor.shape, array.shape, strict=True))
        if not fits or array.dtype != numpy_dtype(tensor.held):
            raise ValueError(f"{program.family}: {tensor} called with {array.dtype} {array.shape}")
    values = {s.name: value for s, value in zip(program.scalars, scalars, strict=True)}
    named = {t.name: array for t, array in zip(program.tensors, arrays, strict=True)}
    whole = Frame(named, values)
    # Working memory starts as garbage, here as garbage that shows.
    named |= {s.tensor.name: garbage(s.tensor, [whole.index(e) for e in s.extents]) for s in program.shared}
    ends = whole.starts(program.grid)
    rounds = 1 if program.rounds is None else whole.index(program.rounds.extent)
    for number, start in product(range(rounds), product(*ends)):
        frame = Frame({**named, **{t.name: garbage(t) for t in program.scratch}}, values)
        if program.rounds is not None:
            frame.vars[program.rounds.var.args[0]] = number
        frame.vars.update(zip((v.args[0] for v in program.grid.vars), start, strict=True))
        frame.execute(program.grid.body)


def garbage(tensor: Tensor, extents: Sequence[int] | None = None) -> Array:
    """Working memory as a kernel finds it; `extents` where the tensor's are not all known."""
    dtype = np.dtype(numpy_dtype(tensor.held))
    # All bits set is NaN in every floating-point format.
    shape = [n or 0 for n in tensor.shape] if extents is None else list(extents)
    filler = np.full([*shape, dtype.itemsize], 255, np.uint8)
    return np.asarray(filler.view(dtype)[..., 0] if dtype != np.bool_ else filler[..., 0] != 0)


def _converted(array: Array, before: str, after: str) -> Array:
    """An array of one element as another."""
    return array if before == after else to_element(widen(array), after)


@dataclass
class Frame:
    """One step of the grid: what its tensors, scalars, variables and tiles hold."""

    tensors: Mapping[str, Array]
    scalars: Mapping[str, Any]
    vars: dict[str, int] = field(default_factory=dict)
    tiles: dict[int, Array] = field(default_factory=dict)

    def index(self, e: Index) -> int:
        """The value of an index expression."""
        match e.kind:
            case "const":
                return int(e.args[0])
            case "var":
                return self.vars[e.args[0]]
            case "dim":
                return int(self.tensors[e.args[0]].shape[e.args[1]])
            case "scalar":
                return int(self.scalars[e.args[0]])
            case "distinct":
                one, other = (self.tensors[name] for name in e.args)
                return int(not np.shares_memory(one, other))
            case "element":
                value = int(self.tiles[e.args[0]].reshape(()))
                if e.args[1:] and not e.args[1] <= value <= e.args[2]:
                    raise InternalError(f"{e} is {value}, not within {e.args[1]} and {e.args[2]}")
                return value
        a, b = (self.index(arg) for arg in e.args)
        return folded(e.kind, a, b)

    def starts(self, grid: Grid) -> list[range]:
        """The starts along every axis of the grid."""
        return [range(0, self.index(e), step) for e, step in zip(grid.extents, grid.steps, strict=True)]

    def execute(self, body: Sequence[Statement]) -> None:
        """Run statements in order."""
        for s in body:
            match s:
                case Loop():
                    self.loop(s)
                case When():
                    if self.index(s.left) < self.index(s.right):
                        self.execute(s.body)
                case Beside():
                    self.execute(s.body)
                case Store():
                    self.store(s)
                case Scatter():
                    self.scatter(s)
                case Compress():
                    self.compress(s)
                case Prefetch():
                    pass
                case Grid():
                    raise ValueError("a grid inside a grid")
                case _:
                    value = self.value(s)
                    assert value.shape == s.result.shape, f"{s} gives {value.shape}"
                    self.tiles[s.result.number] = value

    def value(self, s: Valued) -> Array:
        """The tile a statement makes."""
        match s:
            case Load():
                return self.load(s)
            case Gather():
                return self.gather(s)
            case Lookup():
                if isinstance(s.numbers, Tile):
                    return _looked_up(self.tiles[s.numbers.number], self.tiles[s.index.number])
                return _looked_up(np.array(s.numbers, np.float32), self.tiles[s.index.number])
            case Shuffle():
                found = np.take(self.tiles[s.table.number][0], self.tiles[s.index.number] & 63)
                return found.view(numpy_dtype(s.result.dtype))
            case Full():
                value: Any = s.value
                if isinstance(value, Scalar):
                    value = self.scalars[value.name]
                elif isinstance(value, Index):
                    value = self.index(value)
                return to_element(np.full(s.result.shape, value), s.result.dtype)
            case Iota():
                shape = [1] * len(s.result.shape)
                shape[s.axis] = s.result.shape[s.axis]
                ramp = self.index(s.start) + np.arange(shape[s.axis])
                return to_element(np.broadcast_to(ramp.reshape(shape), s.result.shape), s.result.dtype)
            case Apply():
                args = [self.tiles[t.number] for t in s.args]
                out = apply(s.op, args, dict(s.attributes), s.result.dtype)
                return np.array(np.broadcast_to(out, s.result.shape))
            case Dot():
                acc, a, b = (widen(self.tiles[t.number]) for t in (s.acc, s.a, s.b))
                if s.group > 1:
                    b = b.reshape(len(b), -1, s.group).swapaxes(1, 2).reshape(-1, acc.shape[1])
                return to_element(acc + a.astype(acc.dtype) @ b.astype(acc.dtype), s.result.dtype)
            case LaneDot():
                acc, a, b = (widen(self.tiles[t.number]).astype(np.int64) for t in (s.acc, s.a, s.b))
                return to_element(acc + (a * b).reshape(*acc.shape, 4).sum(-1), s.result.dtype)
            case Reduce():
                parts = np.split(self.tiles[s.arg.number], s.arg.shape[s.axis], s.axis)
                return np.asarray(reduce(lambda x, y: apply(s.op, [x, y], {}, s.result.dtype), parts))
            case Transpose():
                return self.tiles[s.arg.number].transpose(s.permutation)
            case Interleave():
                rows = self.tiles[s.arg.number].reshape(s.result.shape[0], -1, s.arg.shape[1])
                return rows.swapaxes(1, 2).reshape(s.result.shape)
            case Split():
                return np.ascontiguousarray(self.tiles[s.arg.number]).view(numpy_dtype(s.result.dtype))
            case Reshape():
                return self.tiles[s.arg.number].reshape(s.result.shape)

    def array(self, tensor: Tensor) -> Array:
        """The memory of a tensor or of a view of one."""
        if tensor.base is None:
            return self.tensors[tensor.name]
        array = self.tensors[tensor.base.name]
        if tensor.offset is not None:
            dtype = np.dtype(numpy_dtype(tensor.held))
            extents = [n or 0 for n in tensor.shape]
            end = tensor.offset + math.prod(extents) * dtype.itemsize
            return np.asarray(array[tensor.offset : end].view(dtype).reshape(extents))
        shape = [math.prod(array.shape[g] for g in group) for group in tensor.groups]
        view = array.view()
        view.shape = tuple(shape)  # unlike reshape, this fails rather than copies
        return view

    def gather(self, s: Gather) -> Array:
        """Each element from its own position, clamped into the tensor."""
        source = self.array(s.source)
        where = [self.tiles[t.number] for t in s.indices]
        inside = [np.clip(w, 0, n - 1) for w, n in zip(where, source.shape, strict=True)]
        if s.inside and any((i != w).any() for i, w in zip(inside, where, strict=True)):
            raise InternalError(f"positions outside {s.source} were promised to lie inside")
        found = _converted(source[tuple(inside)], s.source.held, s.result.dtype)
        return np.array(np.broadcast_to(found, s.result.shape))

    def places(self, s: Load | Store, shape: tuple[int, ...]) -> tuple[list[Array], list[Array]]:
        """Per dimension of the tensor: the positions a load or store touches, and which lie inside."""
        where = []
        for at, size, step in zip(s.at, s.sizes, s.steps, strict=True):
            where.append(self.index(at) + step * np.arange(1 if size is None else size))
        return where, [(w >= 0) & (w < extent) for w, extent in zip(where, shape, strict=True)]

    def load(self, s: Load) -> Array:
        """What lies inside the tensor, `fill` elsewhere."""
        source = self.array(s.source)
        where, inside = self.places(s, source.shape)
        tile = to_element(np.full([len(w) for w in where], s.fill), s.source.held)
        tile[np.ix_(*inside)] = source[np.ix_(*(w[i] for w, i in zip(where, inside, strict=True)))]
        return _converted(tile, s.source.held, s.result.dtype).reshape(s.result.shape)

    def store(self, s: Store) -> None:
        """Write what lies inside the tensor."""
        target = self.array(s.target)
        where, inside = self.places(s, target.shape)
        tile = _converted(self.tiles[s.value.number], s.value.dtype, s.target.held)
        tile = tile.reshape([len(w) for w in where])
        target[np.ix_(*(w[i] for w, i in zip(where, inside, strict=True)))] = tile[np.ix_(*inside)]

    def scatter(self, s: Scatter) -> None:
        """Each element that is kept to its own position."""
        keep = self.tiles[s.keep.number]
        where = tuple(self.tiles[t.number][keep] for t in s.indices)
        target = self.array(s.target)
        if any(((w < 0) | (w >= n)).any() for w, n in zip(where, target.shape, strict=True)):
            raise InternalError(f"positions outside {s.target} were promised to lie inside")
        target[where] = _converted(self.tiles[s.value.number][keep], s.value.dtype, s.target.held)

    def compress(self, s: Compress) -> None:
        """The elements that are kept, side by side."""
        kept = self.tiles[s.value.number][self.tiles[s.keep.number]]
        target, at = self.array(s.target), self.index(s.at)
        if not 0 <= at <= at + len(kept) <= len(target):
            raise InternalError(f"{len(kept)} elements at {at} do not lie inside {s.target}")
        target[at : at + len(kept)] = _converted(kept, s.value.dtype, s.target.held)

    def loop(self, s: Loop) -> None:
        """As scf.for: the carried tiles go round."""
        now = [self.tiles[t.number] for t in s.initial]
        for start in range(self.index(s.lower), self.index(s.upper), s.step):
            self.vars[s.var.args[0]] = start
            self.bind(s.carried, now)
            self.execute(s.body)
            now = [self.tiles[t.number] for t in s.yielded]
        self.bind(s.results, now)

    def bind(self, tiles: Sequence[Tile], values: Sequence[Array]) -> None:
        """Name values."""
        self.tiles.update((t.number, value) for t, value in zip(tiles, values, strict=True))


def _looked_up(table: Array, index: Array) -> Array:
    """The elements of a table's rows that the low bits of indices say."""
    places = index.astype(np.int64) & (table.shape[-1] - 1)
    rows = np.broadcast_shapes(table.shape[:-1], places.shape[:-1]) if places.ndim else ()
    wide = [np.broadcast_to(each, (*rows, each.shape[-1])) for each in (table, places)]
    return np.take_along_axis(wide[0], wide[1], axis=-1)
