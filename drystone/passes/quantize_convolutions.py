"""The pass `quantize-convolutions`: convolutions of bytes, between which activations travel as bytes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.build import integer, mapped
from drystone.ir.dialect import MAX_EXTRAS
from drystone.ir.encoding import encode
from drystone.ir.formats import int8_row
from drystone.ir.program import Program
from drystone.ir.shapes import layouts
from drystone.ir.values import main_block, producer, producer_name, shape
from drystone.mlir import arith, ir
from drystone.passes.byte_arithmetic import code_of, is_homogeneous, real_of, scaled_value, unclamped
from drystone.passes.dims import empty_like
from drystone.passes.epilogues import extras_of, remade
from drystone.passes.generic import last_dim
from drystone.passes.moves import move, permutation_of
from drystone.passes.observe_ranges import Point
from drystone.passes.quantize_products import Formats, holds_bytes
from drystone.passes.ranges import Range
from drystone.passes.rewriting import erase_dead, ops, tensor_type, uses
from drystone.passes.unfolded import TAPS, fills_lanes, joined_groups
from drystone.passes.weights import drop_unused, model_name, new_weight, weight_key
from drystone.targets.target import CpuTarget

#: The largest code: they are symmetric.
_LARGEST = 127


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
    target: CpuTarget | None = None
    name: ClassVar[str] = "quantize-convolutions"

    def on(self, target: CpuTarget) -> "QuantizeConvolutions":
        """The pass for a target."""
        return replace(self, target=target)

    def points(self, program: Program, target: CpuTarget | None) -> dict[str, Point]:
        """What is to be observed: images that would be held in bytes, by the name of the convolution's weight
        and the number of the operand, and what is averaged, by a number."""
        found: dict[str, Point] = {}
        for name, value in _observed(program, _chosen(program, target, self.formats)):
            found.setdefault(name, Point(value))
        return found

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        found = _chosen(program, self.target, self.formats)
        chosen = {each.op.operation.results[0]: each for each in found if f"{each.name} 0" in self.ranges}
        if not chosen:
            return
        _Rewriter(program, chosen, self._peaks(program, found)).run()
        erase_dead(main_block(program))
        drop_unused(program)

    def _peaks(self, program: Program, convolutions: Sequence["_Convolution"]) -> dict[Any, float]:
        """By value the largest number that calibration showed."""
        found: dict[Any, float] = {}
        for name, value in _observed(program, convolutions):
            if name in self.ranges:
                found[value] = max(found.get(value, 0), self.ranges[name].peak)
        return found


@dataclass(frozen=True)
class _Convolution:
    """A convolution that can be one of bytes, the key of its weight, and what the model calls that; a weight
    that several read has a number for each but the first. joined: groups of the model that are one."""

    op: Any
    key: str
    name: str
    joined: int

    @property
    def depthwise(self) -> bool:
        """Whether every channel is a group."""
        return _is_depthwise(self.op)

    def images(self) -> Iterator[tuple[int, Any]]:
        """The number and value of operands that may be held in bytes: the image, and residuals."""
        operation = self.op.operation
        for number, value in enumerate(operation.operands):
            if number == 0 or (number > 1 and value.type == operation.results[0].type):
                yield number, value


def _chosen(program: Program, target: CpuTarget | None, formats: Formats) -> list[_Convolution]:
    """Convolutions that are to be ones of bytes, in order."""
    found: list[_Convolution] = []
    seen: dict[str, int] = {}
    for op in ops(main_block(program), "dry.conv") if formats and target else []:
        key = weight_key(op.operation.operands[1])
        if key is None or target is None or not _is_quantizable(op, target):
            continue
        if not holds_bytes(program, formats, key):
            continue
        name = model_name(key)
        seen[name] = seen.get(name, 0) + 1
        shown = name if seen[name] == 1 else f"{name} ({seen[name]})"
        joined = 1 if _is_depthwise(op) else joined_groups(op, target)
        found.append(
            _Convolution(op, key, shown, joined if op.operation.attributes["groups"].value > 1 else 1)
        )
    return found


def _is_depthwise(op: Any) -> bool:
    outside, inside = op.operation.operands[1].type.shape[:2]
    return bool(inside == 1 and outside == op.operation.attributes["groups"].value > 1)


def _is_quantizable(op: Any, target: CpuTarget) -> bool:
    operation = op.operation
    x, weight = operation.operands[0], operation.operands[1]
    plain = all(str(v.type.element_type) == "f32" and v.type.encoding is None for v in (x, weight))
    attributes = operation.attributes
    layout, groups = attributes["layout"].value, attributes["groups"].value
    if not plain or attributes["transposed"].value or layouts(layout)[1] != "nhwc":
        return False
    if target.neighbours("i8", "i8") == 1 or len(extras_of(op)) >= MAX_EXTRAS:
        return False
    if groups == 1:
        return fills_lanes(op, target)
    known = shape(x)[-2] is not None and weight.type.shape[-1] <= TAPS
    return layout == "nhwc" and (_is_depthwise(op) or (known and joined_groups(op, target) > 0))


@dataclass
class _Rewriter:
    """Makes convolutions of bytes. chosen: by their results; peaks: the largest numbers of values that may be
    bytes. steps: what a code of a value counts; made: values that are made as bytes; codes: the bytes."""

    program: Program
    chosen: Mapping[Any, _Convolution]
    peaks: Mapping[Any, float]
    steps: dict[Any, float] = field(default_factory=dict)
    made: set[Any] = field(default_factory=set)
    codes: dict[Any, Any] = field(default_factory=dict)

    def run(self) -> None:
        """All of them, in order."""
        self._plan()
        for op in ops(main_block(self.program), "dry.conv", "dry.pool"):
            operation = op.operation
            result = operation.results[0]
            if operation.name == "dry.pool":
                if result in self.made:
                    self._pool(op)
                elif _is_average(op) and operation.operands[0] in self.made:
                    self._average(op)
            elif result in self.chosen or result in self.made or self.made.intersection(op.extras):
                _Replacement(self, op).run()

    def _plan(self) -> None:
        """Decide which values are made as bytes, and what their codes count."""
        least = float(np.finfo(np.float32).tiny)
        self.steps = {value: max(peak, least) / _LARGEST for value, peak in self.peaks.items()}
        pending = list(self.steps)
        while pending:
            value = pending.pop()
            source = producer(value).operation.operands[0] if _keeps(producer(value)) else None
            alike = [value] if source is None else [source, *self._alike(source)]
            step = max(self.steps.get(each, 0) for each in alike)
            pending += [each for each in alike if self.steps.get(each) != step]
            self.steps |= dict.fromkeys(alike, step)
        self.made = {value for value in self.steps if producer_name(value) in ("dry.conv", "dry.pool")}
        kept = {value for value in self.made if self._can_be_made(value)}
        while kept != self.made:
            self.made = kept
            kept = {value for value in self.made if self._can_be_made(value)}

    def _alike(self, source: Any) -> list[Any]:
        """What has numbers of a value, unrounded, and a step."""
        readers = [user.results[0] for user, number in uses(source) if number == 0 and _keeps(user.opview)]
        return [each for each in readers if each in self.steps]

    def _can_be_made(self, value: Any) -> bool:
        """Whether what makes a value can make bytes of it, and all that read it can take them."""
        maker = producer(value)
        if maker.operation.name == "dry.pool" and not (
            _is_largest(maker) and maker.operation.operands[0] in self.made
        ):
            return False
        return all(self._takes(user, number) for user, number in uses(value))

    def _takes(self, user: Any, number: int) -> bool:
        if user.name == "dry.conv":
            return number > 1 or (number == 0 and user.results[0] in self.chosen)
        if user.name == "dry.pool":
            return user.results[0] in self.made or _is_average(user.opview)
        return number == 0 and _is_moved(user) and all(self._takes(*use) for use in uses(user.results[0]))

    def code(self, value: Any) -> Any:
        """The bytes of a value: moved, or rounded, at the insertion point where nothing has made them."""
        if value not in self.codes:
            source = value
            while (maker := producer(source)) is not None and _is_moved(maker.operation):
                source = maker.operation.operands[0]
            moved = source is not value and source in self.made
            self.codes[value] = self._moved(value) if moved else self._rounded(value, 1 / self.steps[value])
        return self.codes[value]

    def _moved(self, value: Any) -> Any:
        """The bytes of a value that is a slice, a reshape or a transpose of another one."""
        op = value.owner
        given, p = self.code(op.operands[0]), permutation_of(value)
        if p is not None:
            return move(given, p)
        named = {key: op.attributes[key] for key in op.attributes}
        operands = [given, *list(op.operands)[1:]]
        return ir.Operation.create(op.name, [_in_bytes(value)], operands, named).results[0]

    def _rounded(self, value: Any, factor: float) -> Any:
        """The bytes closest to the multiple of a tensor, at the insertion point."""
        into, whole = empty_like(value), ir.AffineMap.get_identity(value.type.rank)
        into.set_type(_in_bytes(value))

        def rounded(x: Any, _: Any) -> Any:
            return code_of(arith.MulFOp(x, _number(factor)).result, -_LARGEST, _LARGEST)

        return mapped([value], into, [whole, whole], rounded)

    def _pool(self, op: Any) -> None:
        """A maximum of bytes."""
        with ir.InsertionPoint(op), op.operation.location:
            result = op.operation.results[0]
            self.codes[result] = self._pooled(op, _in_bytes(result))

    def _average(self, op: Any) -> None:
        """An average of bytes, in f32, and what it counts."""
        image, result = op.operation.operands[0], op.operation.results[0]
        step, whole = self.steps[image], [ir.AffineMap.get_identity(result.type.rank)] * 2
        with ir.InsertionPoint(op), op.operation.location:
            pooled = self._pooled(op, result.type)
            if result in self.steps:
                self.codes[result] = self._rounded(pooled, step / self.steps[result])
            real = mapped([pooled], empty_like(result), whole, lambda x, _: _times(x, step))
        if result in self.steps:
            self.steps[real], self.codes[real] = self.steps[result], self.codes[result]
        result.replace_all_uses_with(real)
        op.operation.erase()

    def _pooled(self, op: Any, kind: Any) -> Any:
        """The same pool of bytes."""
        operation = op.operation
        named = {key: operation.attributes[key] for key in operation.attributes}
        given = [self.codes[operation.operands[0]]]
        return ir.Operation.create("dry.pool", [kind], given, named, loc=operation.location).results[0]


class _Replacement:
    """A convolution that takes the place of one: of bytes, or with bytes for residuals or for its result."""

    def __init__(self, to: _Rewriter, op: Any) -> None:
        self.to, self.op, self.result = to, op, op.operation.results[0]
        self.own = to.chosen.get(self.result)
        step = to.steps[self.result] if self.result in to.made else None
        #: What the sums, and all that the epilogue computes, are multiplied with.
        self.factor = 1 / step if step is not None and is_homogeneous(op) else 1.0
        self.last = None if step is None else 1 / step / self.factor

    def run(self) -> None:
        """Put it there."""
        op, to, rank = self.op, self.to, self.result.type.rank
        with ir.InsertionPoint(op), op.operation.location:
            operands, extras = list(op.operation.operands)[:2], [self._extra(*each) for each in extras_of(op)]
            scale = None
            if self.own is not None:
                operands = [to.code(operands[0]), operands[1]]
                if not self.own.depthwise:
                    operands[1], scale = self._weight()
            outputs = last_dim(rank)
            more = [] if scale is None else [(scale, outputs)]
            kind = self.result.type if self.last is None else _in_bytes(self.result)
            wide = ir.IntegerType.get_signless(32) if scale is not None else ir.F32Type.get()
            groups = op.operation.attributes["groups"].value // (1 if self.own is None else self.own.joined)
            named = {"groups": integer(groups)}
            made, block = remade(op, operands, [*extras, *more], kind, named, sums=wide)
            with ir.InsertionPoint(block):
                ir.Operation.create("dry.yield", operands=[self._body(block, scale is not None)])
        if self.last is None:
            if self.result in to.steps:
                to.steps[made.operation.results[0]] = to.steps[self.result]
            self.result.replace_all_uses_with(made.operation.results[0])
        else:
            to.codes[self.result] = made.operation.results[0]

    def _extra(self, value: Any, map_: Any) -> tuple[Any, Any]:
        """What is read in the place of an extra."""
        if value in self.to.made:
            return self.to.codes[value], map_
        key = weight_key(value)
        if key is None or self.factor == 1:
            return value, map_
        array = np.asarray(self.to.program.weights[key]) * np.float32(self.factor)
        return new_weight(self.to.program, f"{key}.steps", array.astype(np.float32), value.type), map_

    def _weight(self) -> tuple[Any, Any]:
        """Codes, and for every output channel what a sum counts."""
        assert self.own is not None
        array = np.asarray(self.to.program.weights[self.own.key])
        parts = encode(array.reshape(len(array), -1), int8_row(1))
        codes = _joined(np.ascontiguousarray(parts["codes"]).reshape(array.shape), self.own)
        step = self.to.steps[self.op.operation.operands[0]] * self.factor
        scales = (parts["scale"].reshape(-1).astype(np.float64) * step).astype(np.float32)
        byte, program, key = ir.IntegerType.get_signless(8), self.to.program, self.own.key
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
            real = _times(total, self.to.steps[self.op.operation.operands[0]] * self.factor)
        else:
            real = _times(total, self.factor)
        known = {old.arguments[0]: real}
        for argument, given, (value, _) in zip(
            list(old.arguments)[1:], more, extras_of(self.op), strict=False
        ):
            if value in self.to.made:
                known[argument] = _times(real_of(given), self.to.steps[value] * self.factor)
            else:
                known[argument] = given if weight_key(value) is not None else _times(given, self.factor)
        (value,) = list(old.operations)[-1].operation.operands
        if self.last is None:
            return scaled_value(old, value, known, self.factor)
        step = self.to.steps[self.result]
        value, low, high = unclamped(
            value, -_LARGEST, _LARGEST, lambda bound: int(np.rint(np.clip(bound / step, -_LARGEST, _LARGEST)))
        )
        return code_of(_times(scaled_value(old, value, known, self.factor), self.last), low, high)


def _joined(codes: Array, own: _Convolution) -> Array:
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


def _is_largest(op: Any) -> bool:
    """Whether an operation takes maxima of positions, channels last."""
    if op is None or op.operation.name != "dry.pool":
        return False
    kind, layout = (op.operation.attributes[name].value for name in ("kind", "layout"))
    return bool(kind == "max" and layout == "nhwc")


def _is_moved(op: Any) -> bool:
    """Whether an operation gives numbers of its first operand as they are."""
    views = ("tensor.expand_shape", "tensor.collapse_shape", "tensor.extract_slice")
    return op.name in views or (op.name == "linalg.generic" and permutation_of(op.results[0]) is not None)


def _keeps(op: Any) -> bool:
    """Whether an operation gives numbers of its first operand: as they are, or the largest."""
    return _is_largest(op) or (op is not None and _is_moved(op.operation))


def _is_average(op: Any) -> bool:
    """Whether an operation takes averages of positions, channels last."""
    kind, layout = (op.operation.attributes[name].value for name in ("kind", "layout"))
    return bool(kind == "avg" and layout == "nhwc")


def _observed(program: Program, convolutions: Sequence[_Convolution]) -> list[tuple[str, Any]]:
    """The names and values that are observed for some convolutions: their images and, where there are any,
    what is averaged."""
    found = [(f"{each.name} {number}", value) for each in convolutions for number, value in each.images()]
    averages = enumerate(_averages(program)) if found else ()
    return found + [(f"average {number}", op.operation.operands[0]) for number, op in averages]


def _averages(program: Program) -> list[Any]:
    """The averages of what convolutions or pools make."""
    pools = [op for op in ops(main_block(program), "dry.pool") if _is_average(op)]
    return [op for op in pools if producer_name(op.operation.operands[0]) in ("dry.conv", "dry.pool")]


def _in_bytes(value: Any) -> Any:
    return ir.RankedTensorType.get(value.type.shape, ir.IntegerType.get_signless(8))


def _times(value: Any, factor: float) -> Any:
    return value if factor == 1 else arith.MulFOp(value, _number(factor)).result


def _number(value: float) -> Any:
    return arith.ConstantOp(ir.F32Type.get(), value).result
