"""How moves of rows pass through products with a plain matrix, where another move behind undoes them."""

from typing import Any

from drystone.ir.values import dims_of, producer_name, shape
from drystone.mlir import ints, ir
from drystone.passes.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import collapse
from drystone.passes.moves import Permutation, move, permutation_of, sink, source_of
from drystone.passes.rewriting import only_user, replace, tensor_type

_RESHAPES = ("tensor.expand_shape", "tensor.collapse_shape")


def pass_rows(op: Any) -> bool:
    """product(move(a)) -> move(product(a)); whether that was done."""
    operation = op.operation
    a, b = list(operation.operands)[:2]
    p = permutation_of(a)
    result = operation.results[0]
    if p is None or p[-1] != len(p) - 1 or b.type.rank != 2 or not _moved_back(result):
        return False
    return _replace(op, result, source_of(a), p)


def keep_rows_apart(op: Any) -> bool:
    """expand(product(collapse(move(a)))) -> move(product(a)), where the rows are joined for the product only;
    whether that was done."""
    operation = op.operation
    a, b = list(operation.operands)[:2]
    result, user = operation.results[0], only_user(operation.results[0])
    if user is None or user.operation.name != "tensor.expand_shape" or b.type.rank != 2 or a.type.rank != 2:
        return False
    whole = user.operation.results[0]
    moved = a.owner.operation.operands[0] if producer_name(a) == "tensor.collapse_shape" else None
    if moved is None or permutation_of(moved) is None or not _moved_back(whole):
        return False
    rows, columns = (ints(group) for group in a.owner.operation.attributes["reassociation"])
    extents = shape(whole)
    if (
        extents[:-1] != shape(moved)[: len(rows)]
        or extents.count(None) > 1
        or extents[-1] != shape(result)[1]
    ):
        return False
    with ir.InsertionPoint(op), operation.location:
        joined = collapse(moved, [*([row] for row in rows), columns])
        kept = joined if joined == moved else sink(joined.owner.opview)
    p = None if kept is None else permutation_of(kept)
    if p is None or p[-1] != len(p) - 1:
        return False
    return _replace(op, whole, source_of(kept), p)


def _moved_back(value: Any) -> bool:
    """Whether all that reads a value is one move, behind reshapes."""
    user = only_user(value)
    while user is not None and user.operation.name in _RESHAPES:
        user = only_user(user.operation.results[0])
    if user is None or user.operation.name != "linalg.generic":
        return False
    return permutation_of(user.operation.results[0]) is not None


def _replace(op: Any, old: Any, a: Any, p: Permutation) -> bool:
    """Put the product of `a`, moved by `p`, in the place of `old`; not where the epilogue reads rows."""
    operation = op.operation
    last = operation.results[0].type.rank - 1
    if any(set(dims_of(map_)) - {last} for _, map_ in extras_of(op)):
        return False
    column = ir.AffineExpr.get_dim(len(p) - 1, operation.context)
    with ir.InsertionPoint(op), operation.location:
        extras = [
            (value, ir.AffineMap.get(len(p), 0, [column] * len(dims_of(map_))))
            for value, map_ in extras_of(op)
        ]
        kind = tensor_type([*shape(a)[:-1], shape(old)[-1]], old.type.element_type)
        made, _ = remade(op, [a, operation.operands[1]], extras, kind)
        replace(old, move(made.operation.results[0], p))
    take_epilogue(op, made)
    return True
