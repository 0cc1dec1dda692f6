"""The pass `simplify`: the plain form that the other passes expect."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.program import Program
from drystone.ir.values import constant_int, constant_value, main_block, nested, producer_name, shape
from drystone.mlir import arith, ir, run_pipeline, tensor
from drystone.passes.dims import empty_like
from drystone.passes.generic import as_view, body, collapse, drop_units, expand, generalize
from drystone.passes.rebuild import inline_scalars
from drystone.passes.rewriting import erase_dead, index_constant, ops, replace

#: Named linalg operations that stay as they are: as generics they would be fused with what feeds them, and
#: that be computed anew for every window or row.
_HEAVY = ("linalg.conv", "linalg.depthwise", "linalg.pooling")
_KEPT = frozenset(
    {"linalg.generic", "linalg.fill", "linalg.pack", "linalg.unpack", "linalg.softmax", "linalg.index"}
)
#: Divisors between this and its inverse have a reciprocal of full precision in f16 already.
_LEAST = 1e-4


@dataclass(frozen=True)
class Simplify:
    """Upstream canonicalization and common subexpressions, and our own rules.

    - linalg.transpose, broadcast, map, reduce, elementwise named operations and arithmetic on whole tensors
      -> linalg.generic, so that one kernel family serves them
    - linalg.copy %x                                      -> %x
    - a transpose or broadcast over dimensions of extent 1 only -> tensor.expand_shape / collapse_shape
    - tensor.reshape                                      -> tensor.collapse_shape, expand_shape
    - cf.assert true                                      -> nothing
    - cf.assert inside a computation on elements -> nothing: torch has no such check (a zero divisor),
      or leaves it to the caller (an index out of range, as for dry.embedding)
    - x / constant in a body -> x * (1 / constant), rounded once more: division takes several times as long
    - an input that is a fill or a constant of one value -> a scalar in the body
    - an input read at position 0 of a dimension of extent 1 -> read without the dimension

    Before:  %t = linalg.transpose ins(%x : tensor<1x8xf32>) outs(%e : tensor<8x1xf32>) permutation = [1, 0]
    After:   %c = tensor.collapse_shape %x [[0, 1]] : tensor<1x8xf32> into tensor<8xf32>
             %t = tensor.expand_shape %c [[0, 1]] output_shape [8, 1] : tensor<8xf32> into tensor<8x1xf32>
    """

    name: ClassVar[str] = "simplify"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        run_pipeline(program.module, "canonicalize,cse,func.func(convert-elementwise-to-linalg)")
        block = main_block(program)
        for op in ops(block):
            _simplify(op)
        erase_dead(block)
        run_pipeline(program.module, "canonicalize,cse")


def _simplify(op: Any) -> None:
    operation = op.operation
    name = operation.name
    if name == "cf.assert" and constant_int(operation.operands[0]) in (1, -1):
        operation.erase()
    elif name == "linalg.copy" and operation.operands[0].type == operation.results[0].type:
        operation.results[0].replace_all_uses_with(operation.operands[0])
    elif name == "tensor.reshape":
        replace(operation.results[0], _reshape(op))
    elif name.startswith("linalg."):
        if name not in _KEPT and not name.startswith(_HEAVY) and "mat" not in name and "dot" not in name:
            op = generalize(op)
        view = as_view(op)
        if view is not None:
            replace(op.operation.results[0], view)
        elif op.operation.name == "linalg.generic":
            for inner in nested(op):
                _simplify_scalar(inner)
            op = inline_scalars(op)
            drop_units(op)
            _empty_inits(op)


def _simplify_scalar(op: Any) -> None:
    """One operation in the body of a linalg.generic."""
    operation = op.operation
    if operation.name == "cf.assert":
        operation.erase()
    elif operation.name == "arith.divf":
        divisor = constant_value(operation.operands[1])
        if divisor is None or not _LEAST < abs(divisor.value) < 1 / _LEAST:
            return
        with ir.InsertionPoint(op), operation.location:
            kind = operation.results[0].type
            factor = arith.ConstantOp(kind, ir.FloatAttr.get(kind, 1 / divisor.value)).result
            product = arith.MulFOp(operation.operands[0], factor).result
        operation.results[0].replace_all_uses_with(product)
        operation.erase()


def _empty_inits(op: Any) -> None:
    """Let results that do not start from anything start from an empty tensor, which nothing has to make."""
    operands = op.operation.operands
    arguments = list(body(op).arguments)
    for number in range(len(operands) - len(op.operation.results), len(operands)):
        unread = not any(True for _ in arguments[number].uses)
        if unread and producer_name(operands[number]) != "tensor.empty":
            with ir.InsertionPoint(op), op.operation.location:
                operands[number] = empty_like(operands[number])


def _reshape(op: Any) -> Any:
    """A tensor.reshape as a view by way of one dimension."""
    source, sizes = op.operation.operands
    wanted = op.operation.results[0].type
    rank = len(shape(source))
    with ir.InsertionPoint(op), op.operation.location:
        flat = collapse(source, [list(range(rank))] if rank else [])
        if not rank:
            flat = expand(flat, [], [1])
        if not wanted.rank:
            return collapse(flat, [])
        new = []
        for axis in range(wanted.rank):
            if wanted.is_dynamic_dim(axis):
                at = tensor.ExtractOp(sizes, [index_constant(axis)]).result
                new.append(
                    at
                    if isinstance(at.type, ir.IndexType)
                    else arith.IndexCastOp(ir.IndexType.get(), at).result
                )
            else:
                new.append(wanted.get_dim_size(axis))
        return expand(flat, [list(range(wanted.rank))], new)
