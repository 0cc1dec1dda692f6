"""How slices come before moves and reshapes, down to products that give each slice by itself."""

from typing import Any

from drystone.ir.values import dims_of, operand_groups, producer_name, shape
from drystone.mlir import ints, ir
from drystone.passes.dims import Extent, extent, same_extent
from drystone.passes.fusing.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import collapse, expand, through_units
from drystone.passes.layout.moves import cut, permutation_of, sizes_of
from drystone.passes.rewriting import replace, uses


def bounds_of(op: Any) -> tuple[list[int], list[Extent]] | None:
    """Offsets and sizes of a slice with known offsets and unit strides, of every dimension of its source."""
    attributes = op.operation.attributes
    _, offsets, _, strides = operand_groups(op)
    if offsets or strides or set(attributes["static_strides"]) - {1}:
        return None
    return list(attributes["static_offsets"]), sizes_of(op)


def slice_before_collapse(op: Any) -> None:
    """slice(collapse(move)) -> collapse(slice(move)), where only dimensions of extent 1 are dropped."""
    value, bounds = op.operation.operands[0], bounds_of(op)
    if bounds is None or producer_name(value) != "tensor.collapse_shape":
        return
    source = value.owner.operation.operands[0]
    groups = [ints(group) for group in value.owner.operation.attributes["reassociation"]]
    extents = shape(source)
    if permutation_of(source) is None or any(sum(extents[d] != 1 for d in group) > 1 for group in groups):
        return
    offsets: list[int] = [0] * len(extents)
    sizes: list[Extent] = [1] * len(extents)
    for group, offset, size in zip(groups, *bounds, strict=True):
        d = next((d for d in group if extents[d] != 1), group[0])
        offsets[d], sizes[d] = offset, size
    with ir.InsertionPoint(op), op.operation.location:
        part = collapse(cut(source, offsets, sizes, [1] * len(sizes)), groups)
        part = through_units(part, op.operation.results[0].type)
    replace(op.operation.results[0], part)
    op.operation.erase()


def slice_before_expand(op: Any) -> None:
    """slice(expand(product)) -> expand(slice(product)), where the slice is one stretch of every dimension."""
    value = op.operation.operands[0]
    bounds = bounds_of(op)
    if bounds is None or producer_name(value) != "tensor.expand_shape":
        return
    product = value.owner.operation.operands[0]
    extents = shape(value)
    if producer_name(product) != "dry.matmul":
        return
    groups = [ints(group) for group in value.owner.operation.attributes["reassociation"]]
    offsets, sizes = [], []
    for group in groups:
        long = [d for d in group if extents[d] != 1]
        if len(long) == 1:
            offsets.append(bounds[0][long[0]])
            sizes.append(bounds[1][long[0]])
            continue
        stretch, offset, size = 1, 0, 1
        for d in reversed(long):
            n = extents[d]
            if n is None or (bounds[1][d] != n and any(bounds[1][e] != 1 for e in long if e < d)):
                return
            offset += bounds[0][d] * stretch
            size *= bounds[1][d]
            stretch *= n
        offsets.append(offset)
        sizes.append(size)
    with ir.InsertionPoint(op), op.operation.location:
        part = cut(product, offsets, sizes, [1] * len(sizes))
        whole = through_units(expand(part, groups, bounds[1]), op.operation.results[0].type)
    replace(op.operation.results[0], whole)
    op.operation.erase()


def split(op: Any) -> None:
    """One product for each slice of the columns, where only such slices of one with a weight are read."""
    operation = op.operation
    result = operation.results[0]
    a, b = list(operation.operands)[:2]
    rank = result.type.rank
    users = [user.opview for user, _ in uses(result)]
    if len(users) < 2 or not _is_weight(b) or b.type.rank != 2:
        return
    if any(user.operation.name != "tensor.extract_slice" for user in users):
        return
    with ir.InsertionPoint(op), operation.location:
        rows = [extent(result, d) for d in range(rank - 1)]
    cuts = [bounds_of(user) for user in users]
    for user, bounds in zip(users, cuts, strict=True):
        if bounds is None or user.operation.results[0].type.rank != rank:
            return
        if not all(same_extent(size, n) for size, n in zip(bounds[1][:-1], rows, strict=True)):
            return
    major = 0 if operation.attributes["transpose_b"].value else 1
    for user, bounds in zip(users, cuts, strict=True):
        assert bounds is not None
        start, size = bounds[0][-1], bounds[1][-1]
        with ir.InsertionPoint(op), operation.location:
            extras = [
                (_columns(value, dims_of(map_), rank - 1, start, size), map_) for value, map_ in extras_of(op)
            ]
            weight = _columns(b, [0, 1], major, start, size)
            kind = user.operation.results[0].type
            made, _ = remade(op, [a, weight], extras, kind)
            copy = operation.clone()
        take_epilogue(copy.opview, made)
        user.operation.results[0].replace_all_uses_with(made.operation.results[0])
        user.operation.erase()
    operation.erase()


def _is_weight(value: Any) -> bool:
    """Whether a tensor is a weight, or a slice of one."""
    while producer_name(value) == "tensor.extract_slice":
        value = value.owner.operation.operands[0]
    return producer_name(value) == "dry.weight"


def _columns(value: Any, dims: list[int | None], dim: int, start: int, size: Extent) -> Any:
    """The part of a tensor, whose dimensions are `dims`, for a stretch of dimension `dim`."""
    if dim not in dims:
        return value
    at = dims.index(dim)
    offsets = [start if d == at else 0 for d in range(len(dims))]
    sizes = [size if d == at else extent(value, d) for d in range(len(dims))]
    return cut(value, offsets, sizes, [1] * len(dims))
