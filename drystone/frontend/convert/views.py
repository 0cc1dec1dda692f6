"""Reshapes of tensors with dynamic dimensions, and parts taken out of them.

Torch-mlir's lowering of these guesses which dimensions belong together; the symbols of the graph say it.
Static shapes are left to it.
"""

from collections.abc import Sequence
from typing import Any

import sympy

from drystone.frontend.convert.common import axis, extent, rank
from drystone.frontend.importer import Converter
from drystone.frontend.shapes import fixed
from drystone.frontend.types import Site
from drystone.mlir import arith, ir, tensor


def _view(at: Site, self: Any, size: Sequence[Any]) -> Sequence[Any] | None:
    before, after = self.meta["val"].shape, at.node.meta["val"].shape
    if fixed(*after) and 0 in after:
        # Torch-mlir divides by the extents.
        return [tensor.empty(at.out().shape, at.out().element_type)]
    if fixed(*before, *after) or not before or not after:
        return None
    groups = reassociate([_formula(n) for n in before], [_formula(n) for n in after])
    value = at.tensor(self)
    if len(groups) < len(before):
        value = tensor.collapse_shape(_collapsed(value.type, groups), value, [source for source, _ in groups])
    if len(groups) < len(after):
        extents = _extents(at, value, size, [result for _, result in groups])
        static = [n if isinstance(n, int) else ir.ShapedType.get_dynamic_size() for n in after]
        value = tensor.expand_shape(at.out(), value, [result for _, result in groups], extents, static)
    return [value]


def _reshape(at: Site, self: Any, shape: Sequence[Any]) -> Sequence[Any] | None:
    return _view(at, self, shape)


def reassociate(before: Sequence[Any], after: Sequence[Any]) -> list[tuple[list[int], list[int]]]:
    """Groups of neighbouring dimensions that hold the same number of elements before and after a reshape.

    The extents are sympy expressions. Where nothing tells how dimensions divide, the rest is one group.
    """
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) and j < len(after):
        source, result = [i], [j]
        have, want = before[i], after[j]
        i, j = i + 1, j + 1
        while sympy.expand(have - want) != 0:
            if i < len(before) and (_divides(have, want) or j == len(after)):
                have, i = have * before[i], i + 1
                source.append(i - 1)
            elif j < len(after) and (_divides(want, have) or i == len(before)):
                want, j = want * after[j], j + 1
                result.append(j - 1)
            else:
                source, result = list(range(source[0], len(before))), list(range(result[0], len(after)))
                i, j = len(before), len(after)
                break
        groups.append((source, result))
    # Units at the end belong to the last group.
    groups[-1][0].extend(range(i, len(before)))
    groups[-1][1].extend(range(j, len(after)))
    return groups


def _divides(divisor: Any, number: Any) -> bool:
    return bool(sympy.cancel(number / divisor).as_numer_denom()[1] == 1)


def _formula(extent: Any) -> Any:
    return sympy.Integer(extent) if isinstance(extent, int) else extent.node.expr


def _collapsed(kind: Any, groups: list[tuple[list[int], list[int]]]) -> Any:
    shape = []
    for source, _ in groups:
        if any(kind.is_dynamic_dim(d) for d in source):
            shape.append(ir.ShapedType.get_dynamic_size())
        else:
            shape.append(int(sympy.prod([kind.get_dim_size(d) for d in source])))
    return ir.RankedTensorType.get(shape, kind.element_type)


def _extents(at: Site, value: Any, size: Sequence[Any], groups: list[list[int]]) -> list[Any]:
    """The dynamic extents of the result: the view's own arguments; -1 from its group's extent."""
    shape = at.node.meta["val"].shape
    found = []
    for number, group in enumerate(groups):
        for d in group:
            if isinstance(shape[d], int):
                continue
            if len(group) == 1:
                found.append(extent(value, number))
            elif isinstance(size[d], int):
                others = [at.index(size[o]) for o in group if o != d]
                total = extent(value, number)
                for other in others:
                    total = arith.DivUIOp(total, other).result
                found.append(total)
            else:
                found.append(at.index(size[d]))
    return found


def _select(at: Site, self: Any, dim: int, index: Any) -> Sequence[Any] | None:
    shape = self.meta["val"].shape
    at_axis = axis(dim, self)
    if fixed(*shape) or not isinstance(index, int) or (index < 0 and not fixed(shape[at_axis])):
        return None
    value = at.tensor(self)
    dynamic = ir.ShapedType.get_dynamic_size()
    sizes = [1 if d == at_axis else n if isinstance(n, int) else dynamic for d, n in enumerate(shape)]
    offsets = [0] * rank(self)
    offsets[at_axis] = index % shape[at_axis] if index < 0 else index
    return [
        tensor.ExtractSliceOp(
            at.out(),
            value,
            [],
            [extent(value, d) for d, n in enumerate(sizes) if n == dynamic],
            [],
            offsets,
            sizes,
            [1] * rank(self),
        ).result
    ]


CONVERTERS: dict[str, Converter] = {
    "aten.view.default": _view,
    "aten.reshape.default": _reshape,
    "aten._unsafe_view.default": _view,
    "aten.select.int": _select,
}
