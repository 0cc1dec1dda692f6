"""Builds small modules of dry operations for the tests of the IR."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from drystone.ir import build
from drystone.ir.context import new_context
from drystone.ir.dialect import MAX_EXTRAS, Coefficients, RowStats, SelectiveScan, WithEpilogue, Yield
from drystone.ir.encoded import encoding_of, storage_element, storage_shape
from drystone.ir.encoding import Joined
from drystone.ir.program import Program, Signature, TensorSpec, WeightStore
from drystone.mlir import arith, func, ir, parse
from tests.elements import element as element_of

CONTEXT = new_context()


def attribute(value: Any) -> Any:
    """The attribute a dry operation takes for a Python value."""
    makers: dict[type, Callable[[Any], Any]] = {
        bool: build.flag,
        int: build.integer,
        float: build.number,
        str: build.string,
    }
    if isinstance(value, list):
        return build.integers(value) if not value or isinstance(value[0], int) else build.maps(value)
    return makers[type(value)](value)


def tensor(shape: Sequence[int], element: str = "f32") -> Any:
    """A tensor type; -1 is a dynamic dimension."""
    dynamic = ir.ShapedType.get_dynamic_size()
    return ir.RankedTensorType.get([dynamic if n < 0 else n for n in shape], ir.Type.parse(element))


def make(
    what: Any, out: Any, *operands: Any, extras: Sequence[Any] = (), body: Any = None, **attributes: Any
) -> Any:
    """One dry operation; `extras`, `extra_maps` and `body(block arguments) -> value` make its epilogue."""
    values = {name: attribute(value) for name, value in attributes.items()}
    with_epilogue = issubclass(what, WithEpilogue)
    if with_epilogue:
        values.setdefault("extra_maps", build.maps([]))
        operands = (*operands, list(extras))
    op = what(out, *operands, **values)
    if with_epilogue and body is None:
        element = op.out.type.element_type
        build.identity_epilogue(op, element, [extra.type.element_type for extra in extras])
    elif with_epilogue:
        build_epilogue(op, [extra.type.element_type for extra in extras], body)
    return op


def build_epilogue(op: Any, extras: Sequence[Any], body: Any) -> None:
    """Give `op` the epilogue that `body(arguments)` builds."""
    block = op.epilogue.blocks[0] if len(op.epilogue.blocks) else op.epilogue.blocks.append()
    for kind in (op.out.type.element_type, *extras):
        block.add_argument(kind, op.location)
    with ir.InsertionPoint(block):
        Yield(body(block.arguments))


def selective_scan(
    inputs: Sequence[Any], reads: Sequence[Sequence[int]], dim: int, out: Any, *, summed: bool = True
) -> Any:
    """A scan along `dim` of h[t] = i * h[t - 1] + j of its first and last input, weighted by i + j where it
    is `summed`; reads: the dimensions of h that each input is read at."""
    rank = out.rank + summed
    maps = [ir.AffineMap.get(rank, 0, [ir.AffineExpr.get_dim(d) for d in dims]) for dims in reads]
    groups = [[value] for value in inputs] + [[]] * (MAX_EXTRAS - len(inputs))
    flags = {"summed": build.flag(summed), "indexing_maps": build.maps(maps)}
    op = SelectiveScan(out, *groups, dim=build.integer(dim), **flags)
    block = op.step.blocks[0] if len(op.step.blocks) else op.step.blocks.append()
    for value in inputs:
        block.add_argument(value.type.element_type, op.location)
    with ir.InsertionPoint(block):
        first, last = block.arguments[0], block.arguments[len(inputs) - 1]
        Coefficients(first, last, [arith.addf(first, last)] if summed else [])
    return op.out


def row_stats(x: Any, pick: Any) -> list[Any]:
    """Everything that is asked of rows of scores."""
    rows, element = [x.type.get_dim_size(0)], str(x.type.element_type)
    real = tensor(rows, element)
    place = tensor(rows, "i64")
    return list(RowStats(real, [real], [place], [real], [real], x, [pick]).operation.results)


def program(
    types: Callable[[], Sequence[Any]],
    body: Callable[..., Sequence[Any]],
    weights: dict[str, np.ndarray] | None = None,
) -> Program:
    """A program whose @main takes arguments of `types()` and returns the values `body(*arguments)` makes."""
    with CONTEXT, ir.Location.file("model.py", 7, 3):
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            main = func.FuncOp("main", (list(types()), []))
        block = main.add_entry_block()
        with ir.InsertionPoint(block):
            results = list(body(*block.arguments))
            func.ReturnOp(results)
        kinds = [value.type for value in results]
        main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(list(types()), kinds))
    store = WeightStore()
    for name, array in (weights or {}).items():
        store.add(name, array)
    return Program(module, store, signature_of(module))


def signature_of(module: Any) -> Signature:
    """The signature of @main: tensors in, tensors out."""
    kind = next(iter(module.body.operations)).attributes["function_type"].value
    dynamic = ir.ShapedType.get_dynamic_size()

    def specs(kinds: Sequence[Any]) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                f"t{i}", *_stored(k, tuple(f"n{d}" if n == dynamic else n for d, n in enumerate(k.shape)))
            )
            for i, k in enumerate(kinds)
        )

    return Signature(specs(kind.inputs), specs(kind.results), None, None)


def _stored(kind: Any, shape: tuple[int | str, ...]) -> tuple[str, tuple[int | str, ...]]:
    """Element and shape of a tensor as a caller gives it."""
    if isinstance(encoding_of(kind), Joined):
        return storage_element(kind), storage_shape(kind)
    return str(kind.element_type), shape


def from_text(source: str) -> Program:
    """A program without weights from its text."""
    module = parse(source, CONTEXT)
    return Program(module, WeightStore(), signature_of(module))


def types_of(arrays: Sequence[np.ndarray]) -> list[Any]:
    """The tensor types of arrays."""
    return [tensor(array.shape, element_of(array)) for array in arrays]
