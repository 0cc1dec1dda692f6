"""The pass `fuse-residual`: a residual addition becomes part of the normalization that reads its sum."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.dialect import Norm
from drystone.ir.program import Program
from drystone.ir.values import main_block, operand_groups, producer
from drystone.mlir import ir
from drystone.passes.generic import body, is_identity, is_producer, maps_of
from drystone.passes.rewriting import erase_dead, ops, read_later, uses


@dataclass(frozen=True)
class FuseResidual:
    """A sum is normalized where it is made, and stored only where it is needed again.

    Before:  %h = linalg.generic ins(%x, %f) {add} ; %n = "dry.norm"(%h) ; %z = linalg.generic ins(%h, ..)
    After:   %n, %h = "dry.norm"(%x) {residual %f} ; %z = linalg.generic ins(%h, ..)

    - The sum is a linalg.generic over parallel dimensions that adds its two inputs element for element, all
      of one type. (A sum whose second term is a product is that product's epilogue.)
    - Whoever else reads the sum comes after the normalization.
    """

    name: ClassVar[str] = "fuse-residual"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "dry.norm"):
            (value,), *scales, residual = operand_groups(op)
            added = producer(value)
            if not residual and added is not None and _is_sum(added) and read_later(value, op):
                _fuse(op, value, scales)
        erase_dead(block)


def _is_sum(op: Any) -> bool:
    """Whether an operation adds two tensors."""
    if op.operation.name != "linalg.generic" or len(op.operation.operands) != 3 or not is_producer(op):
        return False
    (added, *rest), block = list(body(op).operations), body(op)
    if not all(is_identity(map_) for map_ in maps_of(op)) or added.operation.name != "arith.addf":
        return False
    terms = set(added.operation.operands) == set(list(block.arguments)[:2])
    yields = len(rest) == 1 and rest[0].operation.operands[0] == added.operation.results[0]
    return terms and yields and len({value.type for value in op.operation.operands}) == 1


def _fuse(op: Any, value: Any, scales: list[list[Any]]) -> None:
    operation = op.operation
    wanted = [value.type] if len(uses(value)) > 1 else []
    x, residual = list(value.owner.operation.operands)[:2]
    named = {key: operation.attributes[key] for key in ("kind", "axes", "eps")}
    with ir.InsertionPoint(op), operation.location:
        made = Norm([operation.results[0].type, *wanted], x, *scales, [residual], **named)
    operation.results[0].replace_all_uses_with(made.out)
    operation.erase()
    for total in made.outs[1:]:
        value.replace_all_uses_with(total)
