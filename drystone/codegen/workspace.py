"""Workspaces: memory that all threads share while a kernel runs, as one more destination of the kernel.

So the planner gives it a place in the arena like any other result.
"""

from typing import Any

from drystone.codegen.tile import Index, Shared, TileProgram
from drystone.ir.values import tensors
from drystone.mlir import arith, func, ir, tensor

_NAME = "dry.workspaces"


def workspaces(kernel: Any) -> int:
    """How many of a kernel function's destinations, the last ones, are workspaces."""
    attributes = kernel.operation.attributes
    return ir.IntegerAttr(attributes[_NAME]).value if _NAME in attributes else 0


def give(kernel: Any, calls: list[Any], program: TileProgram) -> None:
    """Give an outlined kernel function, and every call of it, a destination for each shared tensor of its
    tile program; they come behind its scalars and its other results.

    Before:  %r = call @attention_1f(%q, %k, %v, %e) : (..) -> tensor<..>
    After:   %w = tensor.empty(%n) : tensor<?x8x64xf32>
             %r:2 = call @attention_1f(%q, %k, %v, %e, %w) : (..) -> (tensor<..>, tensor<?x8x64xf32>)
    """
    kinds = [_kind(shared) for shared in program.shared]
    _grow(kernel, kinds)
    for call in calls:
        with ir.InsertionPoint(call), call.location:
            own = [_empty(shared, call, program) for shared in program.shared]
            types = [*(value.type for value in call.results), *kinds]
            new = func.CallOp(types, call.attributes["callee"].value, [*call.operands, *own])
        for old, value in zip(call.results, new.results, strict=False):
            old.replace_all_uses_with(value)
        call.erase()


def _grow(kernel: Any, kinds: list[Any]) -> None:
    """Add arguments of these types to a kernel function, which returns them."""
    block = kernel.regions[0].blocks[0]
    made = [block.add_argument(kind, ir.Location.unknown()) for kind in kinds]
    last = list(block.operations)[-1].operation
    with ir.InsertionPoint(last), last.location:
        func.ReturnOp([*last.operands, *made])
    last.erase()
    before = kernel.attributes["function_type"].value
    after = ir.FunctionType.get([*before.inputs, *kinds], [*before.results, *kinds])
    kernel.attributes["function_type"] = ir.TypeAttr.get(after)
    kernel.attributes[_NAME] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), len(kinds))


def _empty(shared: Shared, call: Any, program: TileProgram) -> Any:
    """A workspace of one call."""
    given = {t.name: v for t, v in zip(program.tensors, tensors(call.operands), strict=True)}
    sizes = [
        n if n is not None else _extent(given, e)
        for n, e in zip(shared.tensor.shape, shared.extents, strict=True)
    ]
    return tensor.EmptyOp(sizes, ir.Type.parse(shared.tensor.dtype)).result


def _extent(given: dict[str, Any], extent: Index) -> Any:
    """The value of an extent of a parameter."""
    name, axis = extent.args
    return tensor.dim(given[name], arith.constant(ir.IndexType.get(), axis))


def _kind(shared: Shared) -> Any:
    unknown = ir.ShapedType.get_dynamic_size()
    shape = [unknown if n is None else n for n in shared.tensor.shape]
    return ir.RankedTensorType.get(shape, ir.Type.parse(shared.tensor.dtype))
