"""How moves of rows pass through products with a plain matrix, where another move behind undoes them."""

from typing import Any

from drystone.ir.values import dims_of, producer_name, shape
from drystone.mlir import ints, ir
from drystone.passes.fusing.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import collapse
from drystone.passes.layout.moves import Permutation, move, permutation_of, reshape_of_moved, sink, source_of
from drystone.passes.rewriting import only_user, replace, tensor_type

_RESHAPES = ("tensor.expand_shape", "tensor.collapse_shape")


def pass_rows(op: Any) -> bool:
    """product(move(a)) -> move(product(a)); whether that was done."""
    operation = op.operation
    a, b = list(operation.operands)[:2]
    p = permutation_of(a)
    if p is None or b.type.rank != 2:
        return False
    return _replace(op, operation.results[0], source_of(a), p)


def keep_rows_apart(op: Any) -> bool:
    """expand(product(collapse(move(a)))) -> move(product(a)), where the rows are joined for the product only;
    whether that was done."""
    operation = op.operation
    a, b = list(operation.operands)[:2]
    user = only_user(operation.results[0])
    if user is None or user.operation.name != "tensor.expand_shape" or a.type.rank != 2 or b.type.rank != 2:
        return False
    moved = a.owner.operation.operands[0] if producer_name(a) == "tensor.collapse_shape" else None
    if moved is None or permutation_of(moved) is None:
        return False
    whole = user.operation.results[0]
    rows, columns = (ints(group) for group in a.owner.operation.attributes["reassociation"])
    extents = shape(whole)
    # One extent may be unknown: it follows from the others and the number of rows.
    same = extents[:-1] == [shape(moved)[d] for d in rows] and extents.count(None) <= 1
    if not same or extents[-1] != shape(operation.results[0])[1]:
        return False
    with ir.InsertionPoint(op), operation.location:
        joined = collapse(moved, [*([row] for row in rows), columns])
        kept = joined if joined == moved else sink(joined.owner.opview)
    p = None if kept is None else permutation_of(kept)
    return p is not None and _replace(op, whole, source_of(kept), p)


def _moved_back(value: Any, p: Permutation) -> bool:
    """Whether all that reads a value is one move that a move of the value by `p` reaches through reshapes."""
    user = only_user(value)
    while user is not None and user.operation.name in _RESHAPES:
        found = reshape_of_moved(user, p)
        if found is None:
            return False
        p = found[1]
        user = only_user(user.operation.results[0])
    if user is None or user.operation.name != "linalg.generic":
        return False
    return permutation_of(user.operation.results[0]) is not None


def _replace(op: Any, old: Any, a: Any, p: Permutation) -> bool:
    """Put the product of `a`, moved by `p`, in the place of `old` (the result of `op` or a reshape of it)
    where that is moved again behind; not where the epilogue reads rows."""
    operation = op.operation
    columns = {operation.results[0].type.rank - 1}
    if p[-1] != len(p) - 1 or any(set(dims_of(map_)) - columns for _, map_ in extras_of(op)):
        return False
    if not _moved_back(old, p):
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
    if old != operation.results[0]:
        old.owner.operation.erase()
    take_epilogue(op, made)
    return True
