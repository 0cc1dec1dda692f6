"""The pass `fold-batch-norm`: scales and shifts per output channel become part of weight and bias."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.program import Program
from drystone.ir.values import constant_value, dims_of, main_block, number_of, splat
from drystone.mlir import arith, ir
from drystone.passes.fusing.epilogues import PRODUCTS, extras_of, remade, take_epilogue
from drystone.passes.rewriting import erase_dead, ops, tensor_type, uses
from drystone.passes.weights import drop_unused, new_weight, weight_key

_AFFINE = ("arith.addf", "arith.subf", "arith.mulf", "arith.divf", "arith.negf")


@dataclass(frozen=True)
class FoldBatchNorm:
    """An epilogue that starts with y * s[c] + t[c], c the output channel, needs only the addition.

    Before:  "dry.conv"(%x, %w, %s, %t) {y * s + t, then the rest}
    After:   "dry.conv"(%x, %w.scaled, %w.shift) {y + shift, then the rest}

    - s and t come of any additions, subtractions, products and quotients with weights read along the output
      channels alone, with tensors that hold one number, or with numbers, each value used once. Batch
      normalization in inference is one case.
    - The weight is a float, read by this operation only; channels of transposed convolutions in one group.
    - Scaled in float64, rounded once.
    """

    name: ClassVar[str] = "fold-batch-norm"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, *PRODUCTS):
            _fold(program, op)
        erase_dead(block)
        drop_unused(program)


@dataclass
class _Chain:
    """The operations that scale and shift the element, their last value, and what they come to."""

    steps: list[Any]
    value: Any
    scale: Array
    shift: Array


def _channel_axes(op: Any) -> tuple[int, int] | None:
    """The output channels' axis in the result and in the weight; None where the weight has no single one."""
    attributes = op.operation.attributes
    rank = op.operation.results[0].type.rank
    if op.operation.name == "dry.matmul":
        if op.operation.operands[1].type.rank != 2:
            return None
        return rank - 1, 0 if attributes["transpose_b"].value else 1
    axis = 1 if attributes["layout"].value == "nchw" else rank - 1
    if not attributes["transposed"].value:
        return axis, 0
    return (axis, 1) if attributes["groups"].value == 1 else None


def _per_channel(program: Program, op: Any, axis: int) -> dict[Any, Array]:
    """The block arguments of the epilogue that are weights along the output channels or the same everywhere,
    with their numbers."""
    found = {}
    for argument, (value, map_) in _read(op):
        if str(argument.type) not in ("f32", "f64"):
            continue
        key, one = weight_key(value), number_of(splat(constant_value(value)))
        if one is not None:
            found[argument] = np.full(1, one, np.float64)
        elif key is not None and [d for d in dims_of(map_) if d is not None] == [axis]:
            found[argument] = program.weights[key].astype(np.float64).reshape(-1)
    return found


def _read(op: Any) -> list[tuple[Any, tuple[Any, Any]]]:
    """The block arguments of the epilogue beside the element; of what each is an element, and which."""
    return list(zip(list(op.operation.regions[0].blocks[0].arguments)[1:], extras_of(op), strict=True))


def _chain(op: Any, known: dict[Any, Array], channels: int) -> _Chain:
    """Follow the element through the operations that scale or shift it."""
    chain = _Chain([], op.operation.regions[0].blocks[0].arguments[0], np.ones(channels), np.zeros(channels))
    while True:
        found = uses(chain.value)
        step = found[0][0] if len(found) == 1 else None
        if step is None or step.name not in _AFFINE:
            return chain
        place = found[0][1]
        if step.name == "arith.negf":
            chain.scale, chain.shift = -chain.scale, -chain.shift
        else:
            other = step.operands[1 - place]
            number = known.get(other, _number(other))
            if number is None or (step.name == "arith.divf" and place == 1):
                return chain
            _apply(chain, step.name, place, number)
        chain.steps.append(step)
        chain.value = step.results[0]


def _number(value: Any) -> Any:
    constant = constant_value(value)
    return np.float64(constant.value) if isinstance(constant, ir.FloatAttr) else None


def _apply(chain: _Chain, name: str, place: int, number: Any) -> None:
    if name == "arith.addf":
        chain.shift = chain.shift + number
    elif name == "arith.subf":
        sign = 1 if place == 0 else -1
        chain.scale, chain.shift = sign * chain.scale, sign * (chain.shift - number)
    else:
        factor = number if name == "arith.mulf" else 1 / number
        chain.scale, chain.shift = chain.scale * factor, chain.shift * factor


def _fold(program: Program, op: Any) -> None:
    operation = op.operation
    weight = operation.operands[1]
    key, axes = weight_key(weight), _channel_axes(op)
    kind = weight.type
    if key is None or axes is None or kind.encoding is not None:
        return
    if str(kind.element_type) not in ("f32", "f64"):
        return
    axis, major = axes
    channels = kind.get_dim_size(major)
    known = _per_channel(program, op, axis)
    chain = _chain(op, known, channels)
    scaled = bool(np.any(chain.scale != 1))
    # One addition of what the epilogue reads anyhow stays; a tensor of one number would have to be made.
    numbers = any(weight_key(value) is None and argument in known for argument, (value, _) in _read(op))
    if len(chain.steps) < (1 if numbers else 2) and not scaled:
        return
    if scaled and (len(uses(weight)) != 1 or not np.all(np.isfinite(chain.scale))):
        return
    _replace(program, op, chain, key, axis, major, scaled)


def _replace(program: Program, op: Any, chain: _Chain, key: str, axis: int, major: int, scaled: bool) -> None:
    operation = op.operation
    x, weight = list(operation.operands)[:2]
    element = weight.type.element_type
    array = program.weights[key]
    with ir.InsertionPoint(op), operation.location:
        if scaled:
            spread = [-1 if d == major else 1 for d in range(array.ndim)]
            product = (array * chain.scale.reshape(spread)).astype(array.dtype)
            weight = new_weight(program, f"{key}.scaled", product, weight.type)
    block = operation.regions[0].blocks[0]
    shifted = bool(np.any(chain.shift != 0))
    bias = None
    if shifted:
        bias = block.add_argument(block.arguments[0].type, operation.location)
        with ir.InsertionPoint(chain.steps[0]), operation.location:
            value = arith.AddFOp(block.arguments[0], bias).result
    else:
        value = block.arguments[0]
    chain.value.replace_all_uses_with(value)
    for step in reversed(chain.steps):
        step.erase()
    own = extras_of(op)
    arguments = list(block.arguments)
    kept = [k for k in range(len(own)) if uses(arguments[1 + k])]
    extras = [own[k] for k in kept]
    with ir.InsertionPoint(op), operation.location:
        if bias is not None:
            rank = operation.results[0].type.rank
            read = ir.AffineMap.get(rank, 0, [ir.AffineExpr.get_dim(axis)])
            held = chain.shift.astype(array.dtype)
            kind = tensor_type([len(held)], element)
            extras.append((new_weight(program, f"{key}.shift", held, kind), read))
            kept.append(len(own))
        made, _ = remade(op, [x, weight], extras)
    take_epilogue(op, made, kept)
