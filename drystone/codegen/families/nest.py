"""Loop nests: which dimension of which tensor each loop walks, with neighbouring loops joined."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import width
from drystone.codegen.tile import Index, Tensor, TileBuilder
from drystone.mlir import ir

Dims = tuple[int | None, ...]


@dataclass(frozen=True)
class Access:
    """A tensor and, for each of its dimensions, the loop that walks it (None: position 0)."""

    tensor: Tensor
    dims: Dims


@dataclass(frozen=True)
class Nest:
    """Loops, outermost first: extents, the dimensions of the operation each stands for, and the accesses in
    terms of them."""

    extents: tuple[Index, ...]
    members: tuple[tuple[int, ...], ...]
    accesses: tuple[Access, ...]

    def element(self, loop: int) -> str:
        """The widest element that is walked by a loop."""
        return max((a.tensor.dtype for a in self.accesses if loop in a.dims), key=width)

    def promise(self, t: TileBuilder) -> None:
        """Say that what one loop walks is equally long in every tensor."""
        for access in self.accesses:
            for axis, dim in enumerate(access.dims):
                if dim is not None:
                    t.same(self.extents[dim], access.tensor.dim(axis))


def dims_of(affine_map: Any) -> Dims | None:
    """The loops a map reads through: dimensions, each at most once, and constants 0; else None."""
    dims: list[int | None] = []
    for result in affine_map.results:
        if isinstance(result, ir.AffineDimExpr):
            if result.position in dims:
                return None
            dims.append(result.position)
        elif isinstance(result, ir.AffineConstantExpr) and result.value == 0:
            dims.append(None)
        else:
            return None
    return tuple(dims)


Form = tuple[dict[int, int], int]


def forms_of(affine_map: Any) -> tuple[Form, ...] | None:
    """Every result of a map as ({loop: factor}, constant); None where one is not a sum of such terms."""
    forms = [_form(result) for result in affine_map.results]
    found = tuple(form for form in forms if form is not None)
    return found if len(found) == len(forms) else None


def _form(expression: Any) -> Form | None:
    if isinstance(expression, ir.AffineDimExpr):
        return {expression.position: 1}, 0
    if isinstance(expression, ir.AffineConstantExpr):
        return {}, expression.value
    if not isinstance(expression, ir.AffineAddExpr | ir.AffineMulExpr):
        return None
    left, right = _form(expression.lhs), _form(expression.rhs)
    if left is None or right is None:
        return None
    (a, one), (b, other) = left, right
    if isinstance(expression, ir.AffineAddExpr):
        return {dim: a.get(dim, 0) + b.get(dim, 0) for dim in {**a, **b}}, one + other
    if a and b:
        return None
    return {dim: factor * (one if b else other) for dim, factor in {**a, **b}.items()}, one * other


def make_nest(
    accesses: Sequence[Access], order: Sequence[int], kinds: Sequence[Any], apart: Collection[int] = ()
) -> Nest:
    """Loops in `order`, without those of extent 1, neighbours joined where every access allows it, both are
    of one of the `kinds` and neither must stay `apart`."""
    unit = {
        dim for access in accesses for axis, dim in enumerate(access.dims) if access.tensor.shape[axis] == 1
    }
    kept = [dim for dim in order if dim not in unit]
    plain = [Access(a.tensor, tuple(None if d in unit else d for d in a.dims)) for a in accesses]
    members: list[tuple[int, ...]] = []
    for dim in kept:
        if members and _joined(plain, members[-1][-1], dim, kinds, apart):
            members[-1] = (*members[-1], dim)
        else:
            members.append((dim,))
    joined = tuple(_collapse(access, members) for access in plain)
    return Nest(tuple(_extent(joined, i) for i in range(len(members))), tuple(members), joined)


def _joined(accesses: list[Access], a: int, b: int, kinds: Sequence[Any], apart: Collection[int]) -> bool:
    if kinds[a] != kinds[b] or a in apart or b in apart:
        return False
    return all(_neighbours(access, a, b) for access in accesses)


def _neighbours(access: Access, a: int, b: int) -> bool:
    if (a in access.dims) != (b in access.dims):
        return False
    if a not in access.dims:
        return True
    first, second = access.dims.index(a), access.dims.index(b)
    between = range(first + 1, second)
    return first < second and all(
        access.dims[axis] is None and access.tensor.shape[axis] == 1 for axis in between
    )


def _collapse(access: Access, members: list[tuple[int, ...]]) -> Access:
    loop_of = {dim: i for i, group in enumerate(members) for dim in group}
    groups: list[list[int]] = []
    dims: list[int | None] = []
    for axis, dim in enumerate(access.dims):
        loop = None if dim is None else loop_of[dim]
        vanishing = loop is None and access.tensor.shape[axis] == 1
        if groups and (vanishing or (loop is not None and dims[-1] == loop)):
            groups[-1].append(axis)
        elif groups and dims[-1] is None and all(access.tensor.shape[g] == 1 for g in groups[-1]):
            groups[-1].append(axis)
            dims[-1] = loop
        else:
            groups.append([axis])
            dims.append(loop)
    return Access(access.tensor.collapse(groups), tuple(dims))


def _extent(accesses: Sequence[Access], loop: int) -> Index:
    found = [a.tensor.dim(a.dims.index(loop)) for a in accesses if loop in a.dims]
    known = [extent for extent in found if extent.constant is not None]
    return known[0] if known else found[-1]
