"""The pass `quantize-convolutions`: convolutions of bytes, between which activations travel as bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.build import integer, mapped
from drystone.ir.encoding import encode
from drystone.ir.formats import int8_row
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import arith, ir
from drystone.passes.dims import empty_like
from drystone.passes.fusing.epilogues import extras_of, remade
from drystone.passes.generic import last_dim
from drystone.passes.quantizing.byte_arithmetic import (
    code_of,
    is_homogeneous,
    real_of,
    scaled_value,
    unclamped,
)
from drystone.passes.quantizing.byte_convolutions import Convolution, chosen, is_average, observed
from drystone.passes.quantizing.byte_images import LARGEST, Images, in_bytes, times
from drystone.passes.quantizing.observe_ranges import Point
from drystone.passes.quantizing.quantize_products import Formats
from drystone.passes.quantizing.ranges import Range
from drystone.passes.rewriting import erase_dead, ops, tensor_type
from drystone.passes.weights import drop_unused, new_weight, weight_key
from drystone.targets.target import Target


@dataclass(frozen=True)
class QuantizeConvolutions:
    """Convolutions whose weights `formats` names "int8" for, and of whose images `ranges` knows how large
    their numbers are, multiply bytes; what lies between them is rounded to bytes where it is made.

    Before:  %y = "dry.conv"(%x, %w, %b) {relu(sum + b)} : (tensor<..xf32>, tensor<..xf32>, ..)
             %z = "dry.conv"(%y, %v) {sum}
    After:   %q = linalg.generic ins(%x) {round(x / 0.02)} : tensor<..xi8>
             %r = "dry.conv"(%q, %c, %b.scaled, %s) {round(relu(sum * s[o] + b / 0.07))} : tensor<..xi8>
             %z = "dry.conv"(%r, %d, %t) {sum * t[o]} : tensor<..xf32>

    - Images have one scale, fixed beforehand, and no zero point, so that padding is a code of 0 and signed
      bytes are multiplied as they are; after a ReLU this leaves 7 bits of the 8. Weights have a scale for
      every output channel; scales of batch norms are part of them before they are rounded.
    - Where `target` has a unit for bytes: of results that are channels last. Channels that do not fill its
      lanes, or do not lie side by side (a model's images), the kernel copies so that they do. Neighbouring
      groups are joined, with zeros in the weight, until their inputs fill lanes and their outputs registers.
      Of depthwise convolutions the image alone is held in bytes: their weights are few, and their products
      take less time than moving the image does.
    - A result is made as bytes where all that read it are such convolutions, the epilogues of convolutions
      (residuals), averages, or maximum pools whose result is one of bytes, also behind slices, reshapes and
      transposes, which are then of bytes; others keep f32, and a copy is rounded. Averages of bytes are f32,
      and one map makes of them what they count, or bytes again.
    - An epilogue of additions, maxima and minima computes multiples of the step it is rounded to.
    """

    formats: Formats = ()
    ranges: Mapping[str, Range] = field(default_factory=dict)
    target: Target | None = None
    name: ClassVar[str] = "quantize-convolutions"

    def on(self, target: Target) -> "QuantizeConvolutions":
        """The pass for a target."""
        return replace(self, target=target)

    def points(self, program: Program, target: Target | None) -> dict[str, Point]:
        """What is to be observed: images that would be held in bytes, by the name of the convolution's weight
        and the number of the operand, and what is averaged, by a number."""
        found: dict[str, Point] = {}
        for name, value in observed(program, chosen(program, target, self.formats)):
            found.setdefault(name, Point(value))
        return found

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        found = chosen(program, self.target, self.formats)
        taken = {each.op.operation.results[0]: each for each in found if f"{each.name} 0" in self.ranges}
        if not taken:
            return
        images = Images(taken, self._peaks(program, found))
        for op in ops(main_block(program), "dry.conv", "dry.pool"):
            result = op.operation.results[0]
            if op.operation.name == "dry.pool":
                _pool(images, op)
            elif result in taken or result in images.made or images.made.intersection(op.extras):
                _Replacement(program, images, taken.get(result), op).run()
        erase_dead(main_block(program))
        drop_unused(program)

    def _peaks(self, program: Program, convolutions: Sequence[Convolution]) -> dict[Any, float]:
        """By value the largest number that calibration showed."""
        found: dict[Any, float] = {}
        for name, value in observed(program, convolutions):
            if name in self.ranges:
                found[value] = max(found.get(value, 0), self.ranges[name].peak)
        return found


def _pool(images: Images, op: Any) -> None:
    """Let a pool read bytes where its image is made as bytes."""
    operation = op.operation
    image, result = operation.operands[0], operation.results[0]
    if result in images.made:
        with ir.InsertionPoint(op), operation.location:
            images.codes[result] = _pooled(images, op, in_bytes(result))
    elif is_average(op) and image in images.made:
        _average(images, op)


def _average(images: Images, op: Any) -> None:
    """An average of bytes, in f32, and what it counts."""
    image, result = op.operation.operands[0], op.operation.results[0]
    step, whole = images.steps[image], [ir.AffineMap.get_identity(result.type.rank)] * 2
    with ir.InsertionPoint(op), op.operation.location:
        pooled = _pooled(images, op, result.type)
        if result in images.steps:
            images.codes[result] = images.rounded(pooled, step / images.steps[result])
        real = mapped([pooled], empty_like(result), whole, lambda x, _: times(x, step))
    if result in images.steps:
        images.steps[real], images.codes[real] = images.steps[result], images.codes[result]
    result.replace_all_uses_with(real)
    op.operation.erase()


def _pooled(images: Images, op: Any, kind: Any) -> Any:
    """The same pool of bytes."""
    operation = op.operation
    named = {key: operation.attributes[key] for key in operation.attributes}
    given = [images.codes[operation.operands[0]]]
    return ir.Operation.create("dry.pool", [kind], given, named, loc=operation.location).results[0]


class _Replacement:
    """A convolution that takes the place of one: of bytes, or with bytes for residuals or for its result."""

    def __init__(self, program: Program, images: Images, own: Convolution | None, op: Any) -> None:
        """own: what it is among those of bytes, None where it is none."""
        self.program, self.images, self.own = program, images, own
        self.op, self.result = op, op.operation.results[0]
        step = images.steps[self.result] if self.result in images.made else None
        #: What the sums, and all that the epilogue computes, are multiplied with.
        self.factor = 1 / step if step is not None and is_homogeneous(op) else 1.0
        self.last = None if step is None else 1 / step / self.factor

    def run(self) -> None:
        """Put it there."""
        op, images, rank = self.op, self.images, self.result.type.rank
        with ir.InsertionPoint(op), op.operation.location:
            operands, extras = list(op.operation.operands)[:2], [self._extra(*each) for each in extras_of(op)]
            scale = None
            if self.own is not None:
                operands = [images.code(operands[0]), operands[1]]
                if not self.own.depthwise:
                    operands[1], scale = self._weight()
            outputs = last_dim(rank)
            more = [] if scale is None else [(scale, outputs)]
            kind = self.result.type if self.last is None else in_bytes(self.result)
            wide = ir.IntegerType.get_signless(32) if scale is not None else ir.F32Type.get()
            groups = op.operation.attributes["groups"].value // (1 if self.own is None else self.own.joined)
            named = {"groups": integer(groups)}
            made, block = remade(op, operands, [*extras, *more], kind, named, sums=wide)
            with ir.InsertionPoint(block):
                ir.Operation.create("dry.yield", operands=[self._body(block, scale is not None)])
        if self.last is None:
            if self.result in images.steps:
                images.steps[made.operation.results[0]] = images.steps[self.result]
            self.result.replace_all_uses_with(made.operation.results[0])
        else:
            images.codes[self.result] = made.operation.results[0]

    def _extra(self, value: Any, map_: Any) -> tuple[Any, Any]:
        """What is read in the place of an extra."""
        if value in self.images.made:
            return self.images.codes[value], map_
        key = weight_key(value)
        if key is None or self.factor == 1:
            return value, map_
        array = np.asarray(self.program.weights[key]) * np.float32(self.factor)
        return new_weight(self.program, f"{key}.steps", array.astype(np.float32), value.type), map_

    def _weight(self) -> tuple[Any, Any]:
        """Codes, and for every output channel what a sum counts."""
        assert self.own is not None
        array = np.asarray(self.program.weights[self.own.key])
        parts = encode(array.reshape(len(array), -1), int8_row(1))
        codes = _joined(np.ascontiguousarray(parts["codes"]).reshape(array.shape), self.own)
        step = self.images.steps[self.op.operation.operands[0]] * self.factor
        scales = (parts["scale"].reshape(-1).astype(np.float64) * step).astype(np.float32)
        byte, program, key = ir.IntegerType.get_signless(8), self.program, self.own.key
        return (
            new_weight(program, f"{key}.int8", codes, tensor_type(codes.shape, byte)),
            new_weight(program, f"{key}.scale", scales, tensor_type(scales.shape, ir.F32Type.get())),
        )

    def _body(self, block: Any, scaled: bool) -> Any:
        """What is stored of an element."""
        old = self.op.operation.regions[0].blocks[0]
        total, *more = block.arguments
        if scaled:
            real = arith.MulFOp(real_of(total), more[-1]).result
        elif self.own is not None:
            real = times(total, self.images.steps[self.op.operation.operands[0]] * self.factor)
        else:
            real = times(total, self.factor)
        known = {old.arguments[0]: real}
        for argument, given, (value, _) in zip(
            list(old.arguments)[1:], more, extras_of(self.op), strict=False
        ):
            if value in self.images.made:
                known[argument] = times(real_of(given), self.images.steps[value] * self.factor)
            else:
                known[argument] = given if weight_key(value) is not None else times(given, self.factor)
        (value,) = list(old.operations)[-1].operation.operands
        if self.last is None:
            return scaled_value(old, value, known, self.factor)
        step = self.images.steps[self.result]
        value, low, high = unclamped(
            value, -LARGEST, LARGEST, lambda bound: int(np.rint(np.clip(bound / step, -LARGEST, LARGEST)))
        )
        return code_of(times(scaled_value(old, value, known, self.factor), self.last), low, high)


def _joined(codes: Array, own: Convolution) -> Array:
    """The codes of a weight [O, C / groups, *K] in whose groups several of the model's are one."""
    if own.joined == 1:
        return codes
    outside, inside = codes.shape[:2]
    each = outside // own.op.operation.attributes["groups"].value
    wide = np.zeros((outside, own.joined * inside, *codes.shape[2:]), codes.dtype)
    for output in range(outside):
        first = output // each % own.joined * inside
        wide[output, first : first + inside] = codes[output]
    return wide
