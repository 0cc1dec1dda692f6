"""The pass `fold-weights`: a weight that a model computes from others, such as one times a mask, is one."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.build import flag
from drystone.ir.interpreter.machine import Machine
from drystone.ir.program import Program
from drystone.ir.values import captured, main_block, producer
from drystone.mlir import ir
from drystone.passes.generic import unwidened
from drystone.passes.rewriting import erase_dead, ops
from drystone.passes.weights import drop_unused, new_weight, weight_key

#: What a mapped weight may be computed by, besides maps.
_HELPERS = frozenset({"dry.weight", "tensor.empty", "linalg.fill", "arith.constant", "linalg.generic"})
#: Operations of a map's body that only move a number.
_MOVES = frozenset({"linalg.yield", "arith.extf", "arith.truncf"})
#: What `torch.nn.utils.prune` puts behind the name of a parameter that it masks.
_MASKED = "_orig"


@dataclass(frozen=True)
class FoldWeights:
    """Evaluate what products and convolutions multiply by, where maps of weights give it, and read a weight
    that is transposed first as it lies.

    Before:  %w = linalg.generic ins(%orig, %mask) {mul} ; %y = "dry.matmul"(%x, %w)
             %t = linalg.transpose ins(%v) permutation = [1, 0] ; %z = "dry.matmul"(%x, %t)
    After:   %w = "dry.weight"() {key = "fc.weight.folded"} ; %y = "dry.matmul"(%x, %w)
             %z = "dry.matmul"(%x, %v) {transpose_b = true}

    - So that passes which look for weights find these too: `torch.nn.utils.prune` masks in every call, models
      write x @ w.T, and torch w @ x with x of three axes as one product of rows.
    - The weight has the name of the first one that it is computed from, without the `_orig` of a mask, and
      patterns for weights match that as well as its own.
    - Only plain floats, from weights that are not coded: what decodes codes is `multiply-codes`' business.
    """

    name: ClassVar[str] = "fold-weights"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        wanted = dict.fromkeys(
            value
            for op in ops(block, "dry.matmul", "dry.conv")
            if _is_computed(value := unwidened(op.operation.operands[1]))
        )
        for value in wanted:
            _fold(program, value)
        for op in ops(block, "dry.matmul"):
            _read_as_it_lies(op.operation)
        erase_dead(block)
        drop_unused(program)


def _read_as_it_lies(op: Any) -> None:
    """Let a product of a matrix that is a weight with its axes swapped read that."""
    made = producer(op.operands[1])
    if made is None or made.operation.name != "linalg.transpose" or op.operands[1].type.rank != 2:
        return
    given = made.operation.operands[0]
    if weight_key(unwidened(given)) is None:
        return
    op.operands[1] = given
    op.attributes["transpose_b"] = flag(not op.attributes["transpose_b"].value)


def _is_computed(value: Any) -> bool:
    """Whether arithmetic on weights alone gives a value."""
    op = producer(value)
    if op is None or op.operation.name != "linalg.generic":
        return False
    inner = [each.operation.name for each in op.operation.regions[0].blocks[0].operations]
    if set(inner) <= _MOVES or not isinstance(value.type.element_type, ir.FloatType):
        return False
    return _keys(value) is not None


def _keys(value: Any) -> list[str] | None:
    """The names of the weights that a value is computed from by maps; None where by anything else, or from
    weights that are coded."""
    op = producer(value)
    if op is None or op.operation.name not in _HELPERS:
        return None
    if op.operation.name == "dry.weight":
        return None if value.type.encoding is not None else [str(weight_key(value))]
    found = [_keys(operand) for operand in [*op.operation.operands, *captured(op)]]
    known = [keys for keys in found if keys is not None]
    return [key for keys in known for key in keys] if len(known) == len(found) else None


def _fold(program: Program, value: Any) -> None:
    """Put a weight in place of a value."""
    machine, done = Machine(program.weights, {}), set[Any]()

    def evaluate(each: Any) -> None:
        op = each.owner.operation
        if op in done:
            return
        done.add(op)
        for operand in [*op.operands, *captured(op)]:
            evaluate(operand)
        machine.run(op)

    evaluate(value)
    keys = _keys(value) or []
    key = next((each for each in keys if each.endswith(_MASKED)), keys[0] if keys else "constant")
    base = key.removesuffix(_MASKED)
    with ir.InsertionPoint(value.owner), value.owner.location:
        made = new_weight(program, f"{base}.folded", machine.values[value], value.type)
    program.weights.call(str(weight_key(made)), dict.fromkeys((base, *program.weights.names(key))))
    value.replace_all_uses_with(made)
