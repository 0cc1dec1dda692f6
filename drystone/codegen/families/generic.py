"""A linalg operation as its families read it: loops, accesses, and the region that handles one element."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from drystone.codegen.families.nest import Access, Dims, Form, dims_of, forms_of
from drystone.codegen.families.outlined import Outlined, number
from drystone.codegen.families.region import apply_region
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index
from drystone.ir.values import producer_name
from drystone.mlir import ir, linalg

_HEAVY = ("math.", "arith.divf", "arith.rem", "arith.divsi", "arith.divui", "arith.floordivsi")
_CHEAP_MATH = ("math.absf", "math.floor", "math.ceil", "math.sqrt", "math.fma", "math.absi", "math.copysign")


@dataclass(frozen=True)
class Operand:
    """One argument of the region's block: read from a tensor, or a scalar value of the body (a number, a
    scalar parameter); None for the old content of a destination that the region does not read. `window`: the
    position along every dimension where that is not one loop each."""

    source: Any
    dims: Dims
    window: tuple[Form, ...] | None = None

    @property
    def read(self) -> bool:
        """Whether it is a tensor read through plain loops."""
        return isinstance(self.source, Tensor) and self.window is None


@dataclass(frozen=True)
class Generic:
    """A linalg operation between the tensors of an outlined kernel."""

    around: Outlined
    block: Any
    operands: tuple[Operand, ...]
    results: tuple[Access, ...]
    reduced: frozenset[int]
    loops: int

    @property
    def reads(self) -> list[Access]:
        """The accesses of the operands that are tensors, in order."""
        return [Access(o.source, o.dims) for o in self.operands if o.read]

    @property
    def indexed(self) -> set[int]:
        """The loops whose positions the region asks for."""
        found = {ir.IntegerAttr(op.operation.attributes["dim"]).value for op in self._ops("linalg.index")}
        return found.union(*(terms for o in self.operands for terms, _ in o.window or ()))

    @property
    def gathered(self) -> list[Tensor | None]:
        """The tensors the region gathers from."""
        return [self.around.tensor(op.operation.operands[0]) for op in self._ops("tensor.extract")]

    @property
    def heavy(self) -> bool:
        """Whether an element costs much more than moving it."""
        names = [op.operation.name for op in self.block.operations]
        return len(names) > 16 or any(n.startswith(_HEAVY) and n not in _CHEAP_MATH for n in names)

    def _ops(self, name: str) -> list[Any]:
        return [op for op in self.block.operations if op.operation.name == name]

    def apply(self, t: TileBuilder, tiles: list[Tile | None], position: "Positions") -> list[Tile]:
        """The region on tiles, one for each operand (None: a scalar, or not used)."""
        captured = self.around.captures(t, self.block)
        for argument, operand, tile in zip(self.block.arguments, self.operands, tiles, strict=True):
            if tile is not None:
                captured[argument] = tile
            elif operand.window is not None:
                captured[argument] = position.window(t, operand.source, operand.window)
            elif operand.source is not None:
                captured[argument] = self.around.tile(t, operand.source)

        def gather(op: Any, indices: list[Tile]) -> Tile:
            source = self.around.tensor(op.operands[0])
            assert source is not None
            return position.gather(t, op, source, indices)

        tile_of = partial(position.tile, t)
        return apply_region(t, self.block, (), index_tiles=tile_of, captured=captured, gather=gather)


@dataclass(frozen=True)
class Positions:
    """Where a tile stands: the start along every loop of the operation, the extent of the tile along those it
    spreads over (in the order of its dimensions)."""

    starts: dict[int, Index]
    sizes: dict[int, int]

    def tile(self, t: TileBuilder, dim: int) -> Tile:
        """The positions along one loop, in a shape that broadcasts against the tile."""
        start = self.starts.get(dim, index(0))
        if dim not in self.sizes:
            return t.full(start, (1,), "i64")
        axes = list(self.sizes)
        shape = [self.sizes[d] if d == dim else 1 for d in axes[axes.index(dim) :]]
        return t.iota(start, shape, 0)

    def gather(self, t: TileBuilder, op: Any, source: Tensor, indices: list[Tile]) -> Tile:
        """A tile of a tensor.extract: one load where its rows lie whole, else element by element."""
        last = self._row(op)
        if last is None or any(tile.shape not in ((), (1,)) for tile in indices[:-1]):
            return t.gather(source, indices) if indices else t.load(source, (), ())
        at = [clamp(t, tile, source, axis) for axis, tile in enumerate(indices[:-1])]
        return t.load(source, (*at, self.starts[last]), (*(None for _ in at), self.sizes[last]))

    def window(self, t: TileBuilder, source: Tensor, forms: Sequence[Form]) -> Tile:
        """The tile at positions that are sums: one load along at most one loop, else element by element."""
        spread = [(axis, dim) for axis, (terms, _) in enumerate(forms) for dim in terms if dim in self.sizes]
        if len(spread) > 1 or any(forms[axis][0][dim] < 1 for axis, dim in spread):
            return t.gather(source, [self._sum(t, form) for form in forms])
        at = [
            sum((self.starts.get(dim, index(0)) * n for dim, n in terms.items()), index(constant))
            for terms, constant in forms
        ]
        shape: list[int | None] = [None] * len(forms)
        steps = [1] * len(forms)
        for axis, dim in spread:
            shape[axis], steps[axis] = self.sizes[dim], forms[axis][0][dim]
        tile = t.load(source, at, shape, steps=steps)
        axes = list(self.sizes)
        behind = sum(len(axes) - 1 - axes.index(dim) for _, dim in spread)
        return t.reshape(tile, (*tile.shape, *[1] * behind))

    def _sum(self, t: TileBuilder, form: Form) -> Tile:
        """A position of a gather."""
        terms, constant = form
        total = t.full(constant, (1,), "i64")
        for dim, factor in terms.items():
            term = t.apply("arith.muli", self.tile(t, dim), t.full(factor, (1,), "i64"))
            total = t.apply("arith.addi", total, term)
        return total

    def _row(self, op: Any) -> int | None:
        operands = list(op.operands)
        if len(operands) < 2 or producer_name(operands[-1]) != "linalg.index":
            return None
        dim = int(ir.IntegerAttr(operands[-1].owner.attributes["dim"]).value)
        return dim if list(self.sizes) == [dim] else None


def clamp(t: TileBuilder, tile: Tile, source: Tensor, axis: int) -> Index:
    """The position a tile of one integer names, moved into the tensor where it is outside."""
    return t.element(tile).min(source.dim(axis) - 1).max(0)


def generic(around: Outlined) -> Generic | None:
    """Read the main operation of a kernel as loops; None where its maps or its region are of another form."""
    operation = around.main.operation
    if not operation.name.startswith("linalg.") or len(operation.regions) != 1:
        return None
    (block,) = operation.regions[0].blocks
    maps = [ir.AffineMapAttr(m).value for m in linalg.get_indexing_maps(operation)]
    count = len(operation.results)
    written_dims = [found for found in map(dims_of, maps[-count:]) if found is not None]
    if len(written_dims) < count or not around.region(block, gathers=True):
        return None
    results = tuple(Access(*pair) for pair in zip(around.inits, written_dims, strict=True))
    operands = _operands(around, block, list(operation.operands), maps, count)
    if operands is None:
        return None
    loops = maps[0].n_dims
    written = {dim for access in results for dim in access.dims}
    reduced = frozenset(range(loops)) - {dim for dim in written if dim is not None}
    found = Generic(around, block, operands, results, reduced, loops)
    return None if None in found.gathered else found


def _operands(
    around: Outlined, block: Any, values: list[Any], maps: list[Any], results: int
) -> tuple[Operand, ...] | None:
    found = []
    for place, (value, argument, through) in enumerate(zip(values, block.arguments, maps, strict=True)):
        source: Any = None
        dims, window = dims_of(through), None
        if len(list(argument.uses)):
            destination = place >= len(values) - results
            source = around.start(value) if destination else (around.tensor(value) or value)
            if source is None or not (isinstance(source, Tensor) or _scalar(around, source)):
                return None
        if dims is None and isinstance(source, Tensor):
            window = forms_of(through)
            if window is None:
                return None
        found.append(Operand(source, dims or (), window))
    return tuple(found)


def _scalar(around: Outlined, value: Any) -> bool:
    return number(value) is not None or around.known(value)
