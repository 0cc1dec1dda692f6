"""Structured operations: linalg.generic and every named operation of linalg, by their maps and their region.
 Every operand is read as an array over the iteration space (a view where it only broadcasts), the region runs
once on whole arrays, and the results are moved where the output's map says. Reductions take the first way
that fits:
- a plain contraction (sum of products, read through permutations): np.einsum in float64;
- every result combines its old value by one associative operation: the other operations on whole arrays, then
  one reduction (in pieces, where the iteration space is large);
- any other region (argmax, ...): in order over the reduced dimensions, on whole arrays over the others.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir import scalars
from drystone.ir.elements import to_element, widen
from drystone.ir.interpreter.machine import Machine, fault, handles
from drystone.ir.interpreter.scalar import affine_value
from drystone.ir.values import dims_of
from drystone.mlir import ir, linalg

#: Elements of an iteration space above which a reduction is done in pieces.
_PIECE = 1 << 24


@dataclass(frozen=True)
class _Space:
    """The iteration space of an operation: extents, maps of its operands, and which dimensions are
    reduced."""

    extents: tuple[int, ...]
    maps: tuple[Any, ...]
    reduced: tuple[int, ...]

    def points(self) -> list[Array]:
        """The position of every dimension, shaped to broadcast over the space."""
        return points_of(self.extents)

    def points_of_outputs(self) -> list[Array]:
        """As `points`, with one position for each reduced dimension."""
        return [
            point[(slice(1),) * point.ndim] if d in self.reduced else point
            for d, point in enumerate(self.points())
        ]


def _along(positions: Array, dim: int, rank: int) -> Array:
    return positions.reshape([positions.size if d == dim else 1 for d in range(rank)])


def points_of(extents: Sequence[int]) -> list[Array]:
    """The position of every dimension, shaped to broadcast over a space of these extents."""
    return [_along(np.arange(n), d, len(extents)) for d, n in enumerate(extents)]


def extents_of(maps: Sequence[Any], arrays: Sequence[Array]) -> list[int | None]:
    """The extents of the space that arrays are read from through maps; None for one that none states."""
    extents: list[int | None] = [None] * maps[0].n_dims
    for affine_map, array in zip(maps, arrays, strict=True):
        for axis, position in enumerate(dims_of(affine_map)):
            if position is not None:
                extents[position] = array.shape[axis]
    return extents


def _space(op: Any, args: Sequence[Array], outputs: int) -> _Space:
    maps = [ir.AffineMapAttr(attribute).value for attribute in linalg.get_indexing_maps(op)]
    extents = extents_of(maps, args)
    if None in extents:
        raise fault(op, "no operand states the extent of one of its loops")
    old = list(op.operation.regions[0].blocks[0].arguments)[-outputs:]
    # A result that does not read its old value takes the last one written, whatever its map leaves out.
    read_again = [m for m, argument in zip(maps[-outputs:], old, strict=True) if _uses(argument)]
    reduced = tuple(d for d in range(len(extents)) if any(d not in _used(m) for m in read_again))
    if any(d in _used(m) for m in maps[-outputs:] for d in reduced):
        raise fault(op, "one result keeps a dimension that another one reduces")
    return _Space(tuple(n or 0 for n in extents), tuple(maps), reduced)


def _used(affine_map: Any) -> set[int]:
    return {d for d in range(affine_map.n_dims) for expr in affine_map.results if _mentions(expr, d)}


def _mentions(expr: Any, dim: int) -> bool:
    expr = expr.maybe_downcast()
    if isinstance(expr, ir.AffineDimExpr):
        return bool(expr.position == dim)
    if isinstance(expr, ir.AffineBinaryExpr):
        return _mentions(expr.lhs, dim) or _mentions(expr.rhs, dim)
    return False


def read(array: Array, affine_map: Any, points: Sequence[Array]) -> Array:
    """The operand's element at each of the points (a range per dimension), broadcasting over all of them."""
    positions = dims_of(affine_map)
    plain = [p for p in positions if p is not None]
    if len(plain) == len(positions) and len(set(plain)) == len(plain):
        starts = [int(points[p].flat[0]) if points[p].size else 0 for p in plain]
        ranges = [slice(start, start + points[p].size) for start, p in zip(starts, plain, strict=True)]
        shape = [points[d].size if d in plain else 1 for d in range(len(points))]
        return array[tuple(ranges)].transpose(np.argsort(plain)).reshape(shape)
    found = array[tuple(affine_value(expr, list(points), []) for expr in affine_map.results)]
    return found.reshape([1] * (len(points) - found.ndim) + list(found.shape))


def _write(value: Array, affine_map: Any, space: _Space, old: Array) -> Array:
    """The output `old` with the values of the space (reduced dimensions 1) where the map says."""
    used = _used(affine_map)
    if any(n == 0 and d not in used for d, n in enumerate(space.extents)):
        return old
    shape = [1 if d in space.reduced else n for d, n in enumerate(space.extents)]
    last = tuple(slice(None) if d in used else slice(-1, None) for d in range(len(shape)))
    value = np.broadcast_to(value, shape)[last]
    plain = [p for p in dims_of(affine_map) if p is not None]
    if len(plain) == old.ndim and len(set(plain)) == len(plain):
        flat = value.reshape([n for d, n in enumerate(shape) if d in used])
        return np.ascontiguousarray(flat.transpose(np.argsort(np.argsort(plain)))).reshape(old.shape)
    out = old.copy()
    where = [affine_value(expr, space.points_of_outputs(), []) for expr in affine_map.results]
    out[tuple(np.broadcast_to(at, value.shape) for at in where)] = value
    return out


@handles("linalg.index")
def _index(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    return [machine.points[op.operation.attributes["dim"].value]]


@handles("linalg.*")
def _structured(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    if linalg.get_indexing_maps(op) is None:
        raise fault(op, "the reference interpreter does not know this operation")
    outputs = len(op.operation.results)
    space = _space(op, args, outputs)
    block = op.operation.regions[0].blocks[0]
    if not space.reduced:
        values = _elements(machine, block, args, space, space.points())
    else:
        summed = _contraction(block, args, space)
        values = _reduction(machine, block, args, space, outputs) if summed is None else summed
    outs, maps = args[len(args) - outputs :], space.maps[len(args) - outputs :]
    return [_write(v, m, space, old) for v, m, old in zip(values, maps, outs, strict=True)]


def _elements(
    machine: Machine, block: Any, args: Sequence[Array], space: _Space, points: Sequence[Array]
) -> list[Array]:
    """What the region yields at each of the points."""
    inner = replace(machine, points=tuple(points))
    elements = [read(array, m, points) for array, m in zip(args, space.maps, strict=True)]
    return inner.block(block, elements[: len(block.arguments)])


def _contraction(block: Any, args: Sequence[Array], space: _Space) -> list[Array] | None:
    """The sum of products of two operands, where that is all the region does and each is read plainly."""
    if [op.operation.name for op in block.operations] != ["arith.mulf", "arith.addf", "linalg.yield"]:
        return None
    left, right, old = block.arguments[0], block.arguments[1], block.arguments[len(block.arguments) - 1]
    product, total, _ = (op.operation for op in block.operations)
    labels = [dims_of(m) for m in space.maps]
    factors, terms = list(product.operands), list(total.operands)
    plain = all(None not in axes and len(set(axes)) == len(axes) for axes in labels)
    if len(args) != 3 or not plain or left not in factors or right not in factors or old not in terms:
        return None
    a, b, start = (widen(array).astype(np.float64) for array in args)
    letters = ["".join(chr(ord("a") + (p or 0)) for p in axes) for axes in labels]
    summed = start + np.einsum(f"{letters[0]},{letters[1]}->{letters[2]}", a, b, optimize=True)
    dtype = str(old.type)
    # Given back over the space, as the other ways do.
    return [read(to_element(summed, dtype), space.maps[2], space.points_of_outputs())]


def _combiners(block: Any, outputs: int) -> list[tuple[Any, Any]] | None:
    """For each result, the operation that combines its old value with a new element (None where it does not
    read its old value), and that element; None where the region has another form."""
    old = list(block.arguments)[len(block.arguments) - outputs :]
    *_, last = block.operations
    found = []
    for accumulator, value in zip(old, last.operation.operands, strict=True):
        if not _uses(accumulator):
            found.append((None, value))
            continue
        op = None if isinstance(value, ir.BlockArgument) else value.owner.operation
        if op is None or not scalars.reduces(op.name) or _uses(accumulator) != 1 or _uses(value) != 1:
            return None
        operands = list(op.operands)
        if accumulator not in operands:
            return None
        found.append((op, operands[1 - operands.index(accumulator)]))
    return found


def _uses(value: Any) -> int:
    return len(list(value.uses))


def _reduction(
    machine: Machine, block: Any, args: Sequence[Array], space: _Space, outputs: int
) -> list[Array]:
    """The results of a region with reduced dimensions, over the space with those dimensions 1."""
    first = len(args) - outputs
    outs = space.points_of_outputs()
    totals = [read(array, m, outs) for array, m in zip(args[first:], space.maps[first:], strict=True)]
    combiners = _combiners(block, outputs)
    if combiners is None:
        return _in_order(machine, block, args[:first], totals, space)
    for points in _pieces(space):
        inner = replace(machine, points=tuple(points))
        elements = [read(array, m, points) for array, m in zip(args, space.maps, strict=True)]
        inner.execute(block, elements, [op for op, _ in combiners if op is not None])
        shape = [point.size for point in points]
        for number, (op, value) in enumerate(combiners):
            whole = np.broadcast_to(inner.values[value], shape)
            if op is None:
                last = tuple(slice(-1 if d in space.reduced else 0, None) for d in range(len(shape)))
                totals[number] = whole[last]
                continue
            totals[number] = scalars.reduce(op.name, whole, space.reduced, totals[number], str(value.type))
    return totals


def _pieces(space: _Space) -> Iterator[list[Array]]:
    """The points of the space, cut along its largest reduced dimension where they are very many."""
    if 0 in [space.extents[d] for d in space.reduced]:
        return
    cut = max(space.reduced, key=lambda d: space.extents[d])
    pieces = min(space.extents[cut], prod(space.extents) // _PIECE + 1) or 1
    for part in np.array_split(np.arange(space.extents[cut]), pieces):
        points = space.points()
        points[cut] = _along(part, cut, len(points))
        yield points


def _in_order(
    machine: Machine, block: Any, inputs: Sequence[Array], totals: list[Array], space: _Space
) -> list[Array]:
    """The region run once per point of the reduced dimensions, in order, on whole arrays over the others."""
    points = space.points()
    for position in itertools.product(*(range(space.extents[d]) for d in space.reduced)):
        for d, at in zip(space.reduced, position, strict=True):
            points[d] = np.full([1] * len(points), at)
        elements = [read(array, m, points) for array, m in zip(inputs, space.maps, strict=False)]
        totals = replace(machine, points=tuple(points)).block(block, [*elements, *totals])
    return totals
