"""Operations that replace rows of a tensor: a cache is written at the positions of the new tokens."""

from collections.abc import Sequence
from typing import Any

import torch

from drystone.frontend.convert.common import extent, rank
from drystone.frontend.importer import Converter
from drystone.frontend.types import Site
from drystone.ir.build import scatter
from drystone.mlir import arith, ir, linalg, tensor


def _index_put(
    at: Site, self: Any, indices: Sequence[Any], values: Any, accumulate: bool
) -> Sequence[Any] | None:
    given = [(place, index) for place, index in enumerate(indices) if index is not None]
    if accumulate or len(given) != 1 or rank(given[0][1]) != 1:
        return None
    place, index = given[0]
    wanted, shape = list(self.meta["val"].shape), list(values.meta["val"].shape)
    wanted[place] = index.meta["val"].shape[0]
    missing = len(wanted) - len(shape)
    same = self.meta["val"].dtype == values.meta["val"].dtype
    if index.meta["val"].dtype not in (torch.int64, torch.int32) or not same or not shape:
        return None
    if [1] * missing + shape != wanted:
        return None
    new = at.tensor(values)
    if missing:
        groups = [list(range(missing + 1)), *([missing + d] for d in range(1, len(shape)))]
        new = _expanded(new, groups, [*[1] * missing, *new.type.shape])
    before = at.tensor(self)
    return [_rows(before, place, _counted(at.tensor(index), before, place), new)]


def _counted(index: Any, of: Any, place: int) -> Any:
    """Positions, those below 0 counted from the end of a dimension."""
    element = index.type.element_type
    length = arith.IndexCastOp(element, extent(of, place)).result
    zero = arith.ConstantOp(element, ir.IntegerAttr.get(element, 0)).result
    sizes = _unknown(index) or [index.type.get_dim_size(0)]
    length, zero = (linalg.fill(one, outs=[tensor.empty(sizes, element)]) for one in (length, zero))
    below = arith.CmpIOp(arith.CmpIPredicate.slt, index, zero).result
    return arith.SelectOp(below, arith.AddIOp(index, length).result, index).result


def _unknown(value: Any) -> list[Any]:
    """The dynamic extents of a tensor."""
    return [extent(value, d) for d in range(value.type.rank) if value.type.is_dynamic_dim(d)]


def _expanded(value: Any, groups: list[list[int]], shape: Sequence[int]) -> Any:
    """A tensor with more dimensions of extent 1."""
    kind = ir.RankedTensorType.get(shape, value.type.element_type)
    return tensor.ExpandShapeOp(kind, value, groups, _unknown(value), shape).result


def _rows(before: Any, place: int, index: Any, new: Any) -> Any:
    """A tensor with its position index[n] along dimension `place` replaced by position n of the new rows."""
    count, kind = before.type.rank, new.type
    order = [place, *(d for d in range(count) if d != place)]
    if place:
        sizes = [extent(new, d) if kind.is_dynamic_dim(d) else kind.get_dim_size(d) for d in order]
        init = tensor.EmptyOp(sizes, kind.element_type).result
        new = linalg.transpose(new, outs=[init], permutation=order).results[0]
    # One position of the dimension in each update: [n, *before, 1, *behind].
    shape = list(new.type.shape)
    groups = [[d + (d > place)] for d in range(count)]
    groups[place].append(place + 1)
    updates = _expanded(new, groups, [*shape[: place + 1], 1, *shape[place + 1 :]])
    indices = _expanded(index, [[0, 1]], [*index.type.shape, 1])
    return scatter(before, updates, indices, [place])


CONVERTERS: dict[str, Converter] = {
    "aten.index_put.default": _index_put,
}
