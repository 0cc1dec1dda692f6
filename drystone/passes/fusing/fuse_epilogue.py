"""The pass `fuse-epilogue`: maps over the result of a product or a convolution become its epilogue."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.dialect import MAX_EXTRAS
from drystone.ir.program import Program
from drystone.ir.values import dims_of, is_tensor, main_block, producer, shape
from drystone.mlir import ir
from drystone.passes.fusing.epilogues import extras_of, is_plain, projects, remade, with_epilogue
from drystone.passes.generic import body, composed, is_identity, is_parallel, maps_of
from drystone.passes.regions import copy_body
from drystone.passes.rewriting import erase_dead, latest_first, ops, uses


@dataclass(frozen=True)
class FuseEpilogue:
    """Biases, activations, residual additions and scalings are applied before a result is stored.

    Before:  %y = "dry.matmul"(%a, %w) {identity} ; %z = linalg.generic ins(%y, %bias) {gelu(y + bias)}
    After:   %z = "dry.matmul"(%a, %w, %bias) {gelu(y + bias)}

    - The map is a linalg.generic over parallel dimensions, the only user of the result, with one result of
      the same type, which it computes element for element from it (through permutations of its loops). What a
      matrix product is stored as may be another element than that of its sums, a convolution as bytes.
    - Its body is of the dialects arith and math, and takes only constants from outside.
    - Other inputs become extras where their maps are projections (or position 0), `MAX_EXTRAS` at most. What
      a map makes of bytes for an extra the epilogue makes itself.
    """

    name: ClassVar[str] = "fuse-epilogue"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "linalg.generic"):
            _fuse(op)
        for op in ops(block, *with_epilogue()):
            _read_bytes(op)
        erase_dead(block)


def _fuse(op: Any) -> None:
    """Move one map into the epilogue of an input of it, where one takes it."""
    if len(op.operation.results) != 1 or not is_parallel(op):
        return
    block = body(op)
    if any(True for _ in block.arguments[len(block.arguments) - 1].uses) or not is_plain(op):
        return
    out = maps_of(op)[-1]
    if not out.is_permutation:
        return
    candidates = []
    for value, map_ in zip(list(op.operation.operands)[:-1], maps_of(op), strict=False):
        made = producer(value) if is_tensor(value) else None
        if made is not None and made.operation.name in with_epilogue() and map_ == out:
            candidates.append(made)
    # The latest one: the others are then extras that are computed before it.
    for made in latest_first(candidates):
        if _takes(op, made, out):
            _merge(op, made, out)
            return


def _takes(op: Any, made: Any, out: Any) -> bool:
    result, stored = made.operation.results[0], op.operation.results[0]
    able = made.operation.name == "dry.matmul" or str(stored.type.element_type) == "i8"
    if result.type != stored.type and not (able and shape(result) == shape(stored)):
        return False
    if any(user != op.operation for user, _ in uses(result)):
        return False
    others = 0
    for value, map_ in zip(list(op.operation.operands)[:-1], maps_of(op), strict=False):
        if value == result:
            if map_ != out:
                return False
            continue
        if not is_tensor(value) or not projects(value, map_):
            return False
        others += 1
    return len(extras_of(made)) + others <= MAX_EXTRAS


def _merge(op: Any, made: Any, out: Any) -> None:
    result = made.operation.results[0]
    # Loops of the map -> dimensions of the result.
    place = ir.AffineMap.get(
        out.n_dims, 0, [ir.AffineExpr.get_dim(dims_of(out).index(d)) for d in range(out.n_dims)]
    )
    own = extras_of(made)
    extras = list(own)
    where: list[int | None] = []
    for value, map_ in zip(list(op.operation.operands)[:-1], maps_of(op), strict=False):
        if value == result:
            where.append(None)
            continue
        read = composed(map_, place)
        same = [k for k, extra in enumerate(extras) if extra == (value, read)]
        where.append(same[0] if same else len(extras))
        if not same:
            extras.append((value, read))
    with ir.InsertionPoint(op), made.operation.location:
        stored = op.operation.results[0].type
        fused, block = remade(made, list(made.operation.operands)[:2], extras, stored)
    arguments = list(block.arguments)
    with ir.InsertionPoint(block), op.operation.location:
        old = made.operation.regions[0].blocks[0]
        (element,) = copy_body(old, dict(zip(old.arguments, arguments[: 1 + len(own)], strict=True)))
        stands = [element if k is None else arguments[1 + k] for k in where]
        (value,) = copy_body(body(op), dict(zip(list(body(op).arguments)[:-1], stands, strict=True)))
        ir.Operation.create("dry.yield", operands=[value])
    op.operation.results[0].replace_all_uses_with(fused.operation.results[0])
    op.operation.erase()
    made.operation.erase()


def _read_bytes(op: Any) -> None:
    """Let an epilogue make of bytes what maps make of them."""
    extras = extras_of(op)
    makers = [_of_bytes(value) for value, _ in extras]
    if not any(makers):
        return
    read = [
        (value if maker is None else maker.operation.operands[0], map_)
        for (value, map_), maker in zip(extras, makers, strict=True)
    ]
    with ir.InsertionPoint(op), op.operation.location:
        made, block = remade(op, list(op.operation.operands)[:2], read)
        total, *given = block.arguments
        with ir.InsertionPoint(block):
            known = {op.operation.regions[0].blocks[0].arguments[0]: total}
            for number, (argument, maker) in enumerate(zip(given, makers, strict=True), 1):
                if maker is not None:
                    (argument,) = copy_body(body(maker), {body(maker).arguments[0]: argument})
                known[op.operation.regions[0].blocks[0].arguments[number]] = argument
            values = copy_body(op.operation.regions[0].blocks[0], known)
            ir.Operation.create("dry.yield", operands=values)
    op.operation.results[0].replace_all_uses_with(made.operation.results[0])
    op.operation.erase()


def _of_bytes(value: Any) -> Any:
    """The map that makes a tensor element for element of one of bytes; None where none does."""
    op = producer(value)
    if op is None or op.operation.name != "linalg.generic" or len(op.operation.operands) != 2:
        return None
    plain = all(map(is_identity, maps_of(op))) and is_plain(op)
    return op if plain and str(op.operation.operands[0].type.element_type) == "i8" else None
