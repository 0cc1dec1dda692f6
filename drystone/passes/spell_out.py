"""The pass `spell-out`: attention and functions in epilogues stand by themselves."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from drystone.ir.build import generic, mapped
from drystone.ir.program import Program
from drystone.ir.values import main_block, operand_groups
from drystone.mlir import arith, ir
from drystone.passes.dims import empty_like
from drystone.passes.fusing.epilogues import PRODUCTS, extras_of, remade
from drystone.passes.integers.attention import spell_out_attention
from drystone.passes.integers.fixed import Leaf, Sum
from drystone.passes.integers.making import spread
from drystone.passes.integers.regions import Region, functions
from drystone.passes.regions import copy_value
from drystone.passes.rewriting import erase_dead, ops
from drystone.passes.weights import weight_key


@dataclass(frozen=True)
class SpellOut:
    """Attention is two products with a softmax between them, and what an epilogue computes by other functions
    than arithmetic is a map of its own: every number that has to be rounded is an element of a tensor.

    Before:  %y = "dry.matmul"(%x, %w, %b) {gelu(sum + b)} ; %z = "dry.attention"(%q, %k, %v)
    After:   %u = "dry.matmul"(%x, %w, %b) {sum + b} ; %y = linalg.generic ins(%u) {gelu(u)}
             %s = "dry.matmul"(%q, %k) {sum * scale} ; %p = "dry.softmax"(%s) ; %z = "dry.matmul"(%p, %v)

    - A sum that is normalized stands by itself, too.
    - An epilogue is split where one number decides all that follows, or else at the argument of its
      functions.
    """

    name: ClassVar[str] = "spell-out"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        for op in ops(main_block(program), "dry.attention"):
            with ir.InsertionPoint(op), op.operation.location:
                spell_out_attention(op)
        for op in ops(main_block(program), "dry.norm"):
            with ir.InsertionPoint(op), op.operation.location:
                _sum_apart(op)
        for op in ops(main_block(program), *PRODUCTS):
            with ir.InsertionPoint(op), op.operation.location:
                _split(program, op)
        erase_dead(main_block(program))


def _sum_apart(op: Any) -> None:
    """Let the sum that is normalized stand by itself."""
    operation = op.operation
    x, *given = operand_groups(op)
    if not given[-1]:
        return
    total = mapped(
        [x[0], given[-1][0]],
        empty_like(x[0]),
        [ir.AffineMap.get_identity(x[0].type.rank)] * 3,
        lambda one, other, _: arith.AddFOp(one, other).result,
    )
    named = {key: operation.attributes[key] for key in operation.attributes}
    named["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([1, len(given[0]), len(given[1]), 0])
    named["resultSegmentSizes"] = ir.DenseI32ArrayAttr.get([1, 0])
    made = ir.Operation.create(
        "dry.norm", [operation.results[0].type], [total, *given[0], *given[1]], named, loc=operation.location
    )
    for old, new in zip(operation.results, [made.results[0], total], strict=False):
        old.replace_all_uses_with(new)
    operation.erase()


def _split(program: Program, op: Any) -> None:
    """Give an epilogue's functions a map of their own."""
    block = op.operation.regions[0].blocks[0]
    result = list(block.operations)[-1].operation.operands[0]
    known: dict[Any, Any] = {block.arguments[0]: Sum.term(Leaf(0, -1, 1))}
    for argument, (value, map_) in zip(list(block.arguments)[1:], extras_of(op), strict=True):
        key = weight_key(value)
        array = None if key is None else spread(np.asarray(program.weights[key]), map_)
        known[argument] = Sum.term(Leaf(0, -1, 1)) if array is None else array
    region = Region(op, known, {}, 1e30, lambda entries: None)
    found = functions(region, block)
    if not found:
        return
    cut = region.cut(result)
    if cut == result:
        cuts = {region.cut(value) for value in found}
        cut = cuts.pop() if len(cuts) == 1 else block.arguments[0]
    _apart(op, block, cut, result)


def _apart(op: Any, block: Any, cut: Any, result: Any) -> None:
    """Let an operation store what `cut` is, and a map compute the result of it."""
    operation = op.operation
    extras, arguments = extras_of(op), list(block.arguments)[1:]
    kind = operation.results[0].type
    first = [n for n, argument in enumerate(arguments) if _reads(cut, argument)]
    made, inner = remade(op, list(operation.operands)[:2], [extras[n] for n in first])
    with ir.InsertionPoint(inner):
        known = dict(zip([arguments[n] for n in first], list(inner.arguments)[1:], strict=True))
        value = copy_value(cut, {block.arguments[0]: inner.arguments[0], **known}, _no_position)
        ir.Operation.create("dry.yield", operands=[value])
    stored = made.operation.results[0]
    second = [n for n, argument in enumerate(arguments) if _reads(result, argument, cut)]
    same = ir.AffineMap.get_identity(kind.rank)
    values = [stored, *(extras[n][0] for n in second)]
    maps = [same, *(extras[n][1] for n in second), same]
    after = generic(values, [empty_like(operation.results[0])], maps, ["parallel"] * kind.rank)
    body = after.operation.regions[0].blocks.append(*(v.type.element_type for v in values), kind.element_type)
    with ir.InsertionPoint(body):
        known = dict(zip([cut, *(arguments[n] for n in second)], body.arguments, strict=False))
        ir.Operation.create("linalg.yield", operands=[copy_value(result, known, _no_position)])
    operation.results[0].replace_all_uses_with(after.operation.results[0])


def _reads(value: Any, argument: Any, cut: Any = None) -> bool:
    """Whether a value is computed of an argument, also otherwise than through `cut`."""
    if value == argument:
        return True
    if (cut is not None and value == cut) or isinstance(value.owner, ir.Block):
        return False
    return any(_reads(each, argument, cut) for each in value.owner.operands)


def _no_position(dim: int) -> Any:
    raise AssertionError(f"an epilogue has no position {dim}")
