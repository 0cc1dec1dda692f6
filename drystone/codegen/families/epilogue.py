"""Epilogues of `dry` operations as tile operations: what happens to a result's tile before it is stored."""

from collections.abc import Sequence
from typing import Any

from drystone.codegen.families.region import apply_region, spread
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index
from drystone.errors import InternalError
from drystone.mlir import ir

#: Operations a function such as exp counts as, and the operations of the dialect math that are one.
FUNCTION = 20
CHEAP = ("math.absf", "math.sqrt", "math.fma", "math.floor", "math.ceil", "math.copysign")


def apply_epilogue(
    t: TileBuilder,
    op: Any,
    acc: Tile,
    extras: Sequence[tuple[Tensor, Any]],
    place: Sequence[Index | int],
    shape: Sequence[int | None],
    steps: Sequence[int] | None = None,
) -> Tile:
    """The epilogue of `op`, whose operands are `extras` with their maps, applied to the tile `acc` of its
    result.

    `place` is where the tile starts in every dimension of the result, `shape` its extent there, None where it
    holds one position and lacks the dimension; `steps` as in load. Returns the tile to store.
    """
    tiles = [load_extra(t, extra, m, place, shape, steps) for extra, m in extras]
    (result,) = apply_region(t, op.epilogue.blocks[0], [acc, *tiles])
    return spread(t, result, acc.shape)


def load_extra(
    t: TileBuilder,
    extra: Tensor,
    extra_map: Any,
    place: Sequence[Index | int],
    shape: Sequence[int | None],
    steps: Sequence[int] | None = None,
) -> Tile:
    """The part of `extra` that belongs to a tile of the result, in a shape that broadcasts against it.

    The map's results are dimensions of the result, each at most once, or constants.
    """
    at: list[Index] = []
    sizes: list[int | None] = []
    dims: list[int] = []
    strides: list[int] = []
    for result in extra_map.results:
        if isinstance(result, ir.AffineDimExpr):
            dim = result.position
            at.append(index(place[dim]))
            sizes.append(shape[dim])
            strides.append(1 if steps is None else steps[dim])
            if shape[dim] is not None:
                dims.append(dim)
        elif isinstance(result, ir.AffineConstantExpr):
            at.append(index(result.value))
            sizes.append(None)
            strides.append(1)
        else:
            raise InternalError(f"an epilogue's operand is read through {extra_map}")
    tile = t.load(extra, at, sizes, steps=strides)
    order = sorted(range(len(dims)), key=dims.__getitem__)
    if order != list(range(len(dims))):
        tile = t.transpose(tile, order)
    extents = {dim: shape[dim] or 1 for dim in dims}
    kept = [dim for dim, extent in enumerate(shape) if extent is not None]
    return t.reshape(tile, [extents.get(dim, 1) for dim in kept]) if dims else tile


def flattened(extras: Sequence[tuple[Tensor, Any]], rank: int) -> list[tuple[Tensor, Any]] | None:
    """An epilogue's operands for a result of `rank` dimensions whose leading ones, all but the last, are
    joined into one: views of them with maps over the two dimensions left. None where one has no such view.
    To be called with the maps' context entered."""
    found: list[tuple[Tensor, Any]] = []
    groups = [list(range(rank - 1)), [rank - 1]]
    row, column = (ir.AffineDimExpr.get(d) for d in range(2))
    for extra, extra_map in extras:
        results = list(extra_map.results)
        dims = [r.position if isinstance(r, ir.AffineDimExpr) else None for r in results]
        if dims == list(range(rank)):
            found.append((extra.collapse(groups), ir.AffineMap.get(2, 0, [row, column])))
        elif all(d is None or d == rank - 1 for d in dims):
            exprs = [r if d is None else column for r, d in zip(results, dims, strict=True)]
            found.append((extra, ir.AffineMap.get(2, 0, exprs)))
        else:
            return None
    return found


def operations(block: Any) -> int:
    """About how many machine operations a scalar region makes of each element."""
    names = [op.operation.name for op in block.operations]
    return sum(FUNCTION if name.startswith("math.") and name not in CHEAP else 1 for name in names)
