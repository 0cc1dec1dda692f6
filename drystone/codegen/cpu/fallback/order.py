"""The order of a linalg operation's loops: the output's own order, reductions inside all but the last loop.

    out[m, n] += a[m, k] b[k, n]:   m, n, k  ->  m, k, n

so that the innermost loop runs along contiguous memory without a dependence, and is vectorized.
"""

from typing import Any

from drystone.mlir import ir, run_pipeline, walk

_KEPT = frozenset({"linalg.fill", "linalg.copy", "linalg.generic", "linalg.index", "linalg.yield"})


def arrange(function: Any) -> None:
    """Reorder the loops of every linalg operation of a kernel function (in a module of its own)."""
    names = [op.operation.name for op in walk(function)]
    if any(name.startswith("linalg.") and name not in _KEPT for name in names):
        module = ir.Module.parse(str(function.operation.get_asm()))
        run_pipeline(module, "func.func(linalg-generalize-named-ops)")
        (general,) = module.body.operations
        old, new = function.regions[0].blocks[0], general.regions[0].blocks[0]
        _replace_body(old, new)
    for op in walk(function):
        if op.operation.name == "linalg.generic":
            _interchange(op.operation)


def _replace_body(old: Any, new: Any) -> None:
    for op in reversed(list(old.operations)):
        op.operation.erase()
    for mine, theirs in zip(old.arguments, new.arguments, strict=True):
        theirs.replace_all_uses_with(mine)
    for op in list(new.operations):
        old.append(op)


def _interchange(op: Any) -> None:
    permutation = _permutation(op)
    if permutation is None:
        return
    count = len(permutation)
    place = {loop: new for new, loop in enumerate(permutation)}
    fresh = [ir.AffineExpr.get_dim(place[loop]) for loop in range(count)]
    maps = [ir.AffineMapAttr(m).value for m in op.attributes["indexing_maps"]]
    moved = [
        ir.AffineMap.get(count, 0, [expr.compose(ir.AffineMap.get(count, 0, fresh)) for expr in m.results])
        for m in maps
    ]
    kinds = list(op.attributes["iterator_types"])
    op.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in moved])
    op.attributes["iterator_types"] = ir.ArrayAttr.get([kinds[loop] for loop in permutation])
    for inner in walk(op):
        if inner.operation.name == "linalg.index":
            dim = ir.IntegerAttr(inner.operation.attributes["dim"]).value
            kind = ir.IntegerType.get_signless(64)
            inner.operation.attributes["dim"] = ir.IntegerAttr.get(kind, place[dim])


def _permutation(op: Any) -> list[int] | None:
    """The loops in their new order; None where it is the present one or the output has none of its own."""
    maps = [ir.AffineMapAttr(m).value for m in op.attributes["indexing_maps"]]
    output = maps[len(op.operands) - len(op.results)]
    written = [expr.maybe_downcast() for expr in output.results]
    if not all(isinstance(expr, ir.AffineDimExpr) for expr in written):
        return None
    front = [expr.position for expr in written]
    kinds = [str(kind) for kind in op.attributes["iterator_types"]]
    rest = [loop for loop in range(len(kinds)) if loop not in front]
    if len(set(front)) != len(front) or any("parallel" in kinds[loop] for loop in rest):
        return None
    shape: list[int] = list(op.results[0].type.shape) if len(op.results) else []
    # A last dimension of one element is no loop to vectorize.
    inner = front[-1:] if rest and front and shape[-1] != 1 else []
    wanted = [*front[: len(front) - len(inner)], *rest, *inner]
    return None if wanted == list(range(len(kinds))) else wanted
