"""From the torch dialect to builtin tensors, and the final form of `@main`."""

from collections.abc import Mapping
from typing import Any

from drystone.errors import InternalError
from drystone.frontend.convert import CONVERTERS
from drystone.frontend.importer import import_graph
from drystone.ir.build import copied, string
from drystone.ir.dialect import Weight
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import Encoding
from drystone.mlir import func, ir, run_pipeline, tensor, walk

_TO_BACKEND = "torchdynamo-export-to-torch-backend-pipeline"
_CONVERSIONS = (
    "torch-restructure-non-constant-axes",
    "convert-torch-to-tmtensor",
    "canonicalize",
    "convert-torch-to-linalg",
    "canonicalize",
    "convert-torch-to-scf",
    "convert-torch-to-arith",
    "convert-torch-to-tensor",
    "canonicalize",
    "cse",
)
_PIPELINE = (
    f"{_TO_BACKEND},func.func({','.join(_CONVERSIONS)}),torch-func-backend-type-conversion,"
    "func.func(canonicalize,torch-finalizing-backend-type-conversion),canonicalize,cse"
)


def lower(graph: Any, ctx: ir.Context) -> Any:
    """The graph as a module of `dry` and upstream dialects; `@main` takes every placeholder.

    Raises InternalError with MLIR's diagnostics, or what torch-mlir's importer raises, where an operation
    has no lowering or one that keeps state of its own (random numbers).
    """
    module = import_graph(graph, CONVERTERS, ctx)
    run_pipeline(module, _PIPELINE)
    left = {op.operation.name for op in walk(module) if op.operation.name.startswith(("torch", "ml_program"))}
    if left:
        raise InternalError(f"torch-mlir leaves {', '.join(sorted(left))}")
    return module


def name_weights(module: Any, keys: list[str], encodings: Mapping[str, Encoding]) -> None:
    """Make the last arguments of `@main` the weights of these keys, and drop what only torch-mlir reads. What
    is held in an encoding is read through a copy without it."""
    main = next(op for op in module.body.operations if isinstance(op, func.FuncOp))
    block = main.regions[0].blocks[0]
    first = len(block.arguments) - len(keys)
    with module.context, ir.InsertionPoint.at_block_begin(block), main.location:
        for argument, key in zip(list(block.arguments)[first:], keys, strict=True):
            if any(True for _ in argument.uses):
                kind, name = with_encoding(argument.type, encodings.get(key)), ir.Location.name(key)
                value = Weight(kind, key=string(key), loc=name).out
                if kind.encoding is not None:
                    with name:
                        value = copied(value, tensor.EmptyOp(kind.shape, kind.element_type).result)
                argument.replace_all_uses_with(value)
        for index in reversed(range(first, len(block.arguments))):
            block.erase_argument(index)
        kinds = [argument.type for argument in block.arguments]
        main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, main.type.results))
        for name in [name for name in main.attributes if name.startswith("torch.")]:
            del main.attributes[name]
    module.operation.verify()
