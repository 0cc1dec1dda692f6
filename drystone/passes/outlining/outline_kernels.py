"""The pass `outline-kernels`: every computation becomes a call of a kernel function."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from drystone.ir.buffers import RESHAPES
from drystone.ir.dialect import TERMINATORS
from drystone.ir.program import Program
from drystone.ir.values import (
    captured,
    constant_value,
    is_tensor,
    main_block,
    producer_name,
    splat,
)
from drystone.mlir import arith, func, ir, linalg, tensor
from drystone.passes.dims import empty_like, extent, same_extent
from drystone.passes.layout.moves import sizes_of
from drystone.passes.outlining.kernels import Needs, destinations_in, fill_body, name_kernel
from drystone.passes.rewriting import erase_dead, ops, uses

#: Operations of `@main` that are views or scalar work; those of arith and math stay where they make scalars.
_STAY = frozenset(
    {
        "dry.weight",
        "tensor.expand_shape",
        "tensor.collapse_shape",
        "tensor.cast",
        "tensor.empty",
        "tensor.extract",
        "tensor.dim",
        "cf.assert",
        "func.return",
        "func.call",
    }
)
_SCALAR_DIALECTS = ("arith.", "math.", "affine.", "complex.", "index.")
#: Operations whose place in a tensor is passed to their kernel, so that it serves others of the same form.
_MOVES = frozenset({"tensor.extract_slice", "tensor.insert_slice"})
_VIEWS = RESHAPES | {"tensor.extract_slice", "tensor.extract"}


@dataclass(frozen=True)
class OutlineKernels:
    """Give every computation of `@main` a private function with destinations, called from `@main`.

    Before:  %e = tensor.empty() : tensor<4x8xf32>
             %r = linalg.generic {..} ins(%x : ..) outs(%e : ..) {..} -> tensor<4x8xf32>
    After:   %e = tensor.empty() : tensor<4x8xf32>
             %r = call @map_1f0c..(%x, %e) : (..) -> tensor<4x8xf32>
             func.func private @map_1f0c..(%x: .., %init: ..) -> tensor<4x8xf32> { the operation; return }

    - A kernel's arguments are tensor inputs (each once), one destination per result, then scalars. Fills,
      empties and constants that an operation starts from go into its kernel. Where it updates a real tensor,
      that is an input, and the kernel copies it to the destination first.
    - Places that a slice or an insertion has as operands become scalars also where they are constants.
    - Left in `@main`: weights, views, contiguous slices, scalar work, asserts.
    - The name is `<kind>_<hash of the text>`; kernels of equal text are one. A call has the model's location.
    - `dry.in_place` on a kernel lists [result, argument] pairs that may share memory when the argument dies.
    - Every tensor `@main` returns is a reshape of a kernel's result, each of a different one: copies are
      made where an input, a weight, a slice or the same result twice would be returned.
    - Scalars that an operation with regions makes travel as tensors of rank 0.
    """

    name: ClassVar[str] = "outline-kernels"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        outliner = _Outliner(program.module)
        for op in ops(block):
            if not _stays(op):
                outliner.outline(op)
        outliner.own_results(ops(block, "func.return")[0])
        erase_dead(block)


def _stays(op: Any) -> bool:
    name = op.operation.name
    if name in _STAY:
        return True
    if name == "tensor.extract_slice":
        return is_contiguous(op)
    return name.startswith(_SCALAR_DIALECTS) and not any(is_tensor(result) for result in op.operation.results)


def is_contiguous(op: Any) -> bool:
    """Whether a tensor.extract_slice is one stretch of its source: unit dimensions, then one of any part,
    then full ones."""
    operation = op.operation
    source = operation.operands[0]
    if any(stride != 1 for stride in operation.attributes["static_strides"]):
        return False
    values = sizes_of(op)
    axis = 0
    while axis < len(values) and values[axis] == 1:
        axis += 1
    # The dimension at `axis` may be cut; those behind it may not.
    return all(same_extent(values[d], extent(source, d)) for d in range(axis + 1, len(values)))


def _kind(op: Any) -> str:
    name = str(op.operation.name)
    if name == "linalg.generic":
        return "reduce" if "reduction" in str(op.operation.attributes["iterator_types"]) else "map"
    return name.split(".")[-1]


def _reads_memory(name: str) -> bool:
    """Whether the operation of this name takes tensors only as memory, also where they are constants."""
    return name in _VIEWS or (name.startswith("dry.") and name not in TERMINATORS)


def _is_destination(owner: Any, number: int) -> bool:
    return owner.parent.name == "func.func" and number in destinations_in(owner)


def _init_for(op: Any, value: Any) -> Any:
    """The destination of one result: a scalar's is a tensor of rank 0."""
    if is_tensor(value):
        return empty_like(value)
    return tensor.EmptyOp([], value.type).result


@dataclass
class _Outliner:
    """Moves operations into kernels. `kernels` are the names made so far."""

    module: Any
    kernels: set[str] = field(default_factory=set)

    def outline(self, op: Any) -> None:
        """Replace one operation by a call. Fills and constants become kernels for those uses only that need
        them whole; other kernels start from their own."""
        if op.operation.name == "arith.constant":
            whole = [use for use in uses(op.operation.results[0]) if _reads_memory(use[0].name)]
        elif op.operation.name == "linalg.fill" and producer_name(op.operation.operands[1]) == "tensor.empty":
            whole = [use for use in uses(op.operation.results[0]) if not _is_destination(*use)]
        else:
            self._call(op)
            return
        if whole:
            with ir.InsertionPoint.after(op), op.operation.location:
                copy = op.operation.clone() if op.operation.name == "linalg.fill" else _copy(op.result).owner
            for owner, number in whole:
                owner.operands[number] = copy.results[0]
            self._call(copy.opview)

    def _call(self, op: Any) -> None:
        operation = op.operation
        destinations = destinations_in(op)
        outside = captured(op)
        body = Needs()
        for number, value in enumerate(operation.operands):
            if number in destinations:
                body.take_destination(op, number, value)
            elif operation.name in _MOVES and not is_tensor(value):
                body.take_place(value)
            else:
                body.take(value)
        for value in outside:
            body.take(value)
        results = list(operation.results)
        with ir.InsertionPoint(op), operation.location:
            inits = [_init_for(op, value) for value in results]
            types = [value.type for value in inits]
            arguments = [*body.inputs, *inits, *body.scalars]
            kernel = self._function([value.type for value in arguments], types)
            call = func.CallOp(types, kernel.sym_name.value, arguments)
            for value, made in zip(results, call.results, strict=True):
                kept = made if is_tensor(value) else tensor.ExtractOp(made, []).result
                value.replace_all_uses_with(kept)
        fill_body(kernel, op, body, destinations, outside)
        name_kernel(kernel, call, _kind(op), self.kernels)

    def _function(self, arguments: list[Any], results: list[Any]) -> Any:
        with ir.InsertionPoint(self.module.body), ir.Location.unknown():
            kernel = func.FuncOp("kernel", (arguments, results), visibility="private")
            kernel.add_entry_block()
        return kernel

    def own_results(self, last: Any) -> None:
        """Copy returned tensors that are not a kernel's result of their own, and constants."""
        seen: list[Any] = []
        for number, value in enumerate(last.operation.operands):
            root = value
            while producer_name(root) in RESHAPES:
                root = root.owner.operation.operands[0]
            owned = producer_name(root) == "func.call" and root not in seen
            if is_tensor(value) and not owned:
                with ir.InsertionPoint(last), last.operation.location:
                    last.operation.operands[number] = _copy(value)
                self._call(last.operation.operands[number].owner.opview)
                root = last.operation.operands[number]
            seen.append(root)


def _copy(value: Any) -> Any:
    """A copy of a tensor into a new one, or a constant's value filled into one."""
    one = splat(constant_value(value))
    into = empty_like(value)
    if one is not None:
        return linalg.fill(arith.ConstantOp(value.type.element_type, one), outs=[into])
    return linalg.copy(value, outs=[into])
