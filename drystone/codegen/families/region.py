"""Scalar regions (of linalg.generic, of the epilogues of `dry` operations) as tile operations.

The region's block says what happens to one element; here every one of its values becomes a tile, every
operation one `t.apply`. Values of type index become i64.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drystone.codegen.elements import FLOATS, INTEGERS, width
from drystone.codegen.tile import Tile, TileBuilder
from drystone.errors import InternalError
from drystone.ir import dialect
from drystone.ir.values import constant_number
from drystone.mlir import ir

TERMINATORS = ("linalg.yield", *dialect.TERMINATORS, "tensor.yield", "tm_tensor.yield")

# Assertions that a gather's index is in range: gathers clamp their indices, so that nothing is read outside.
DROPPED = ("cf.assert",)

CMPI = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
CMPF = (
    *("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord"),
    *("ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true"),
)
ELEMENTS = (*INTEGERS, *FLOATS, "index")


def dtype_of(kind: Any) -> str:
    """The name of an element type as tiles spell it: index is i64."""
    name = str(kind)
    return "i64" if name == "index" else name


def supported(block: Any, *, gathers: bool = False) -> bool:
    """Whether `apply_region` can translate this block (with `gathers`, also tensor.extract inside)."""
    for op in block.operations:
        name = op.operation.name
        known = name.startswith(("arith.", "math.")) or name in ("linalg.index", *TERMINATORS, *DROPPED)
        if not known and not (gathers and name == "tensor.extract"):
            return False
        if any(str(result.type) not in ELEMENTS for result in op.operation.results):
            return False
        if any(constant_number(operand) is None and not _scalar(operand) for operand in _scalars_of(op)):
            return False
    return True


def _scalars_of(op: Any) -> list[Any]:
    operands = list(op.operation.operands)
    return operands[1:] if op.operation.name == "tensor.extract" else operands


def _scalar(value: Any) -> bool:
    return str(value.type) in ELEMENTS


def predicate(op: Any) -> str:
    """The name of a comparison's predicate."""
    names = CMPF if op.operation.name == "arith.cmpf" else CMPI
    return names[ir.IntegerAttr(op.operation.attributes["predicate"]).value]


def spread(t: TileBuilder, tile: Tile, shape: Sequence[int]) -> Tile:
    """The tile broadcast to `shape`."""
    if tile.shape == tuple(shape):
        return tile
    return t.apply("arith.select", t.full(1, shape, "i1"), tile, tile, dtype=tile.dtype)


@dataclass
class _Translation:
    t: TileBuilder
    tiles: dict[Any, Tile]
    index_tiles: Callable[[int], Tile] | None
    gather: Callable[[Any, list[Tile]], Tile] | None
    indices: dict[int, Tile] = field(default_factory=dict)

    def tile(self, value: Any) -> Tile:
        """The tile of a value: computed before, or a constant from inside or outside the region."""
        if value not in self.tiles:
            number = constant_number(value)
            if number is None:
                raise InternalError(f"a region uses a value from outside that no one gave: {value}")
            self.tiles[value] = self.t.full(number, (1,), dtype_of(value.type))
        return self.tiles[value]

    def index(self, op: Any) -> Tile:
        """The tile of positions along one dimension of the iteration."""
        dim = ir.IntegerAttr(op.operation.attributes["dim"]).value
        if self.index_tiles is None:
            raise InternalError("linalg.index in a region that has no positions")
        if dim not in self.indices:
            self.indices[dim] = self.index_tiles(dim)
        return self.indices[dim]

    def operation(self, op: Any) -> Tile:
        """The tile of an operation's only result."""
        operation = op.operation
        name, (result,) = operation.name, operation.results
        if name == "linalg.index":
            return self.index(op)
        if name == "tensor.extract":
            if self.gather is None:
                raise InternalError("tensor.extract in a region that cannot gather")
            return self.gather(operation, [self.tile(v) for v in list(operation.operands)[1:]])
        args = [self.tile(operand) for operand in operation.operands]
        if name in ("arith.index_cast", "arith.index_castui"):
            return self.cast(name, args[0], operation.operands[0], result)
        extra = {"predicate": predicate(op)} if name in ("arith.cmpi", "arith.cmpf") else {}
        if dialect.DIGITS in operation.attributes:
            extra["digits"] = ir.StringAttr(operation.attributes[dialect.DIGITS]).value
        return self.t.apply(name, *args, dtype=dtype_of(result.type), **extra)

    def cast(self, name: str, arg: Tile, source: Any, result: Any) -> Tile:
        """Between index and an integer: a change of width, or nothing."""
        before, after = width(dtype_of(source.type)), width(dtype_of(result.type))
        if before == after:
            return arg
        widen = "arith.extui" if name.endswith("ui") else "arith.extsi"
        return self.t.apply("arith.trunci" if after < before else widen, arg, dtype=dtype_of(result.type))


def apply_region(
    t: TileBuilder,
    block: Any,
    args: Sequence[Tile],
    *,
    index_tiles: Callable[[int], Tile] | None = None,
    captured: Mapping[Any, Tile] | None = None,
    gather: Callable[[Any, list[Tile]], Tile] | None = None,
) -> list[Tile]:
    """Apply a scalar region to whole tiles.

    args: one tile for each block argument that is used, in order (any shapes that broadcast). index_tiles:
    the i64 tile of positions for a linalg.index of a dimension. captured: tiles of scalar values from outside
    the region; constants from outside need none. gather: the tile of a tensor.extract, from the operation
    and the tiles of its indices. Returns the yielded tiles, whose shapes may be smaller than the broadcast
    of the arguments (see `spread`).
    """
    # Not strict: a region that ignores the old content of its results needs no tiles for it.
    tiles: dict[Any, Tile] = dict(zip(block.arguments, args, strict=False))
    tiles.update(captured or {})
    translation = _Translation(t, tiles, index_tiles, gather)
    for op in block.operations:
        name = op.operation.name
        if name in TERMINATORS:
            return [translation.tile(value) for value in op.operation.operands]
        if name in DROPPED:
            continue
        if name != "arith.constant":
            tiles[op.operation.results[0]] = translation.operation(op)
    raise InternalError("a scalar region without a yield")
