"""What must hold of a program after every pass: MLIR's rules, those of dry, its weights and its signature."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from drystone.errors import InternalError
from drystone.ir.dialect import TERMINATORS
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoded import encoding_of, storage_element, storage_shape
from drystone.ir.encoding import Codes, Joined, part_key
from drystone.ir.program import Program, TensorSpec, WeightStore
from drystone.ir.rules import RULES, agree, results
from drystone.ir.values import dims_of, shape
from drystone.mlir import ir, ir_place, walk


def verify(program: Program) -> None:
    """Raises InternalError naming the first operation, and the line of the model, where a rule is broken."""
    try:
        program.module.operation.verify()
    except ir.MLIRError as error:
        raise InternalError(f"the module is not valid MLIR\n{error}") from error
    for op in walk(program.module):
        operation = op.operation
        if not operation.name.startswith("dry.") or operation.name in TERMINATORS:
            continue
        problems = _weight(operation, program.weights) if operation.name == "dry.weight" else _dry(operation)
        for problem in problems:
            place = ir_place(op)
            raise InternalError(f"{operation.name}{f' at {place}' if place else ''}: {problem}")
    _signature(program)


def _dry(op: Any) -> Iterator[str]:
    rule = RULES.get(op.name)
    if rule is None:
        yield "the dialect has no such operation"
        return
    for value in (*op.operands, *op.results):
        if not isinstance(value.type, ir.RankedTensorType):
            yield f"{value.type} is not a ranked tensor"
            return
        yield from _encoding(value.type)
    # Extents of results are only asked of operands in order.
    sound = True
    for problem in rule(op):
        sound = False
        yield problem
    if sound:
        yield from results(op)
    if "extra_maps" in op.attributes:
        yield from _epilogue(op)


def _encoding(kind: Any) -> Iterator[str]:
    if kind.encoding is None:
        return
    encoding = encoding_of(kind)
    if not kind.has_static_shape and not isinstance(encoding, Codes):
        yield f"{kind}: only static shapes are held in several encodings"
        return
    dynamic = ir.ShapedType.get_dynamic_size()
    extents = tuple(1 if n == dynamic else n for n in kind.shape)
    yield from (f"{kind}: {problem}" for problem in encoding.problems(extents))


def _epilogue(op: Any) -> Iterator[str]:
    region, result = op.regions[0], op.results[0]
    extras = list(op.operands)[2:]
    if len(region.blocks) != 1:
        yield f"the epilogue has {len(region.blocks)} blocks"
        return
    block = region.blocks[0]
    kinds = [argument.type for argument in block.arguments]
    if kinds[1:] != [extra.type.element_type for extra in extras]:
        yield f"the epilogue takes {[str(kind) for kind in kinds]} for {len(extras)} extras"
    *body, last = (inner.operation for inner in block.operations)
    for inner in body:
        if inner.name.split(".")[0] not in ("arith", "math"):
            yield f"the epilogue holds {inner.name}"
        if any(not _is_inside(value, block) for value in inner.operands):
            yield f"{inner.name} in the epilogue uses a value from outside"
    if last.name != "dry.yield" or [v.type for v in last.operands] != [result.type.element_type]:
        yield f"the epilogue ends in {last.name} and does not yield one {result.type.element_type}"
    elif not _is_inside(last.operands[0], block):
        yield "the epilogue yields a value from outside"
    maps = [ir.AffineMapAttr(item).value for item in op.attributes["extra_maps"]]
    if len(maps) != len(extras):
        yield f"{len(maps)} maps for {len(extras)} extras"
    for number, (affine_map, extra) in enumerate(zip(maps, extras, strict=False)):
        yield from (f"extra {number}: {problem}" for problem in _extra(affine_map, extra, result))


def _is_inside(value: Any, block: Any) -> bool:
    """Whether a value is the block's own, or a constant: canonicalization moves those out of every region."""
    owner = value.owner
    if isinstance(owner, ir.Block):
        return bool(owner == block)
    return bool(owner.operation.block == block) or owner.operation.name == "arith.constant"


def _extra(affine_map: Any, extra: Any, result: Any) -> Iterator[str]:
    if affine_map.n_dims != result.type.rank or affine_map.n_symbols:
        yield f"{affine_map} is no map of the result's {result.type.rank} dimensions"
    elif len(affine_map.results) != extra.type.rank:
        yield f"{affine_map} does not index {extra.type}"
    else:
        for axis, dim in enumerate(dims_of(affine_map)):
            if dim is not None:
                there, here = shape(extra)[axis], shape(result)[dim]
                if not agree(there, here):
                    yield f"extent {there} is read along one of {here}"


def _weight(op: Any, weights: WeightStore) -> Iterator[str]:
    kind, key = op.results[0].type, ir.StringAttr(op.attributes["key"]).value
    sound = True
    for problem in _encoding(kind):
        sound = False
        yield problem
    if not kind.has_static_shape:
        yield f"weight {key} has the dynamic type {kind}"
        return
    if not sound:
        return
    for part, (stored, dtype) in encoding_of(kind).parts(kind.shape).items():
        name = part_key(key, part)
        if name not in weights:
            yield f"the store has no weight {name}"
            continue
        held = weights[name]
        if held.shape != stored or held.dtype != np.dtype(numpy_dtype(dtype)):
            yield f"weight {name} is held as {held.dtype}{list(held.shape)}, {kind} is {dtype}{list(stored)}"


def _signature(program: Program) -> None:
    mains = [op for op in program.module.body.operations if _name(op) == "main"]
    if len(mains) != 1:
        raise InternalError(f"the module has {len(mains)} functions @main")
    kind, signature = mains[0].operation.attributes["function_type"].value, program.signature
    _match("input", (*signature.inputs, *signature.states), kind.inputs)
    _match("output", (*signature.outputs, *signature.states), kind.results)


def _name(op: Any) -> str | None:
    attributes = op.operation.attributes
    return str(attributes["sym_name"].value) if "sym_name" in attributes else None


def _match(what: str, specs: tuple[TensorSpec, ...], kinds: Any) -> None:
    if len(specs) != len(kinds):
        raise InternalError(f"the signature states {len(specs)} {what}s and states, @main has {len(kinds)}")
    dynamic = ir.ShapedType.get_dynamic_size()
    for spec, kind in zip(specs, kinds, strict=True):
        # The IR has no unsigned elements.
        element = spec.dtype.removeprefix("u")
        held, extents = str(kind.element_type), tuple(kind.shape)
        if isinstance(encoding_of(kind), Joined):
            held, extents = storage_element(kind), storage_shape(kind)
        same = len(spec.shape) == len(extents) and all(
            m == dynamic or isinstance(n, str) or n == m for n, m in zip(spec.shape, extents, strict=True)
        )
        if held.removeprefix("u") != element or not same:
            raise InternalError(f"{what} {spec.name} is {spec.dtype}{list(spec.shape)}, @main has {kind}")
