"""The pass `choose-precision`: what dot units multiply is held in a shorter element."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.buffers import RESHAPES
from drystone.ir.build import copied
from drystone.ir.encoded import encoding_of, is_coded, with_encoding
from drystone.ir.encoding import Codes, Encoding, Flat, Sparse, Structured, decode, encode
from drystone.ir.program import Program
from drystone.ir.values import main_block, nested, producer, producer_name, shape
from drystone.mlir import ir
from drystone.passes.dims import empty_like
from drystone.passes.generic import body, is_widened
from drystone.passes.layout.unfolded import unfolds
from drystone.passes.rewriting import erase_dead, ops, uses
from drystone.passes.weights import drop_unused, new_weight, weight_key
from drystone.targets.dots import DotUnit
from drystone.targets.target import Target

#: Operands that a dot unit multiplies: the activations, the weight.
_FACTORS = ("dry.matmul",)
#: Weights that are only read: a shorter element is fewer bytes.
_READ = ("dry.recurrent",)
#: Elements that f32 is rounded to.
_SHORT = ("bf16", "f16")
#: Elements of a weight that are looked at before all are.
_FIRST = 256
#: Operations whose kernels decode what they read, and encode what they write.
_DECODE = ("dry.", "linalg.")


@dataclass(frozen=True)
class ChoosePrecision:
    """Values that products read are held as `element` ("bf16" or "f16"); None: as elements that hold them
    exactly, which are those of a model that is itself in bf16 or f16.

    Before:  %y = "dry.matmul"(%x, %w) : (tensor<8x64xf32>, tensor<64x32xf32>) -> tensor<8x32xf32>
             %z = "dry.matmul"(%y, %v) : (tensor<8x32xf32>, tensor<32x16xf32>) -> tensor<8x16xf32>
    After:   %y = .. -> tensor<8x32xf32, #dry.enc<"bf16", unit, unit>>, %w and %v of such types too

    - Weights that products and recurrent layers read. Where the target multiplies the element, the other
      factor too: it is rounded where it is made, and whoever else reads it reads it rounded; what the caller
      gives, or is given, is copied. Sums stay in f32, and so does everything no product reads.
    - Of products with codes the other factor, where the target multiplies the element (sums not short):
      the kernel decodes the codes to it.
    - The queries, keys and values of attention over many queries, where the target multiplies the element.
      Those that are widened for attention only are read as they are, whatever the number of queries.
    - Only products with a constant matrix, and k a multiple of the k one lane of the unit sums (of a run,
      where its sums are short). Convolutions without groups are products of that kind where channels are
      innermost and sums are not short; depthwise ones read such images.
    - What the largest is taken of (max pooling), where the result is held so: rounding changes no order. What
      is added to a convolution's sums and has the result's shape, where the result is rounded anyway.
    - Arithmetic stays that of f32: a kernel decodes what it loads and encodes what it stores.
    - Exactly held is a weight that is the same after rounding, and a result that its kernel has just rounded
      to the element. Without an element to round to, a product takes one that holds all its factors.
    """

    target: Target
    element: str | None = None
    name: ClassVar[str] = "choose-precision"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        holders = {
            element: _Holder(program, element) for element in ([self.element] if self.element else _SHORT)
        }
        for op in ops(block, "dry.attention"):
            _read_short(op)
        chosen = [
            (op, numbers, holder)
            for op in ops(block, "dry.conv", *_FACTORS, *_READ, "dry.attention")
            for holder in holders.values()
            if (numbers := self._held(op, holder))
            and (self.element or all(map(holder.exact, _values(op, numbers))))
        ]
        for op, numbers, holder in chosen:
            for number in numbers:
                holder.hold(op, number)
        for holder in holders.values() if self.element else ():
            for value in _behind_rounded(block):
                holder.hold_made(value)
        erase_dead(block)
        drop_unused(program)

    def _held(self, op: Any, holder: "_Holder") -> tuple[int, ...]:
        """The operands of an operation that are to be held as the holder's element."""
        unit = self.target.dot(holder.element, holder.element)
        name = op.operation.name
        if name == "dry.conv":
            if unit is None or unit.run:
                return ()
            return (0, 1) if unfolds(op, holder.element, self.target) else _of_convolution(op, unit)
        if name == "dry.attention":
            any_keys = self.target.dot(holder.element, holder.element, tiles=True) is not None
            pays = unit is not None and unit.group > 1 and _pays(op, unit.group, any_keys=any_keys)
            return (0, 1, 2) if pays else ()
        weight = op.operation.operands[1]
        if weight_key(weight) is None or weight.type.rank != 2 or str(weight.type.element_type) != "f32":
            return ()
        depth = weight.type.get_dim_size(1 if _lies_along_k(op) else 0)
        if is_coded(weight.type):
            if str(op.operation.operands[0].type.element_type) != "f32":  # rounded to bytes
                return ()
            pays = unit is not None and not unit.run and depth % unit.group == 0
            return (0,) if pays else ()
        if (
            name not in _FACTORS
            or unit is None
            or depth % unit.group
            or (unit.run and not unit.run_of(depth))
        ):
            return (1,)
        return (0, 1)


def _behind_rounded(block: Any) -> Iterator[Any]:
    """Values of which nothing is lost, or no more than is anyway, where they are rounded as the results made
    of them are; those closest to the program's end first."""
    for op in reversed(ops(block, "dry.conv", "dry.pool")):
        operation = op.operation
        result = operation.results[0]
        if result.type.encoding is None:
            continue
        if operation.name == "dry.conv":
            yield from (value for value in op.extras if value.type.shape == result.type.shape)
        elif operation.attributes["kind"].value == "max":
            yield operation.operands[0]


def _values(op: Any, numbers: tuple[int, ...]) -> list[Any]:
    return [op.operation.operands[number] for number in numbers]


def _read_short(op: Any) -> None:
    """Let attention read queries, keys and values of a short element as they are, where they are only widened
    for it."""
    for number in range(3):
        made = producer(op.operation.operands[number])
        if made is not None and is_widened(made):
            given = made.operation.operands[0]
            if str(given.type.element_type) in _SHORT:
                op.operation.operands[number] = given


def _of_convolution(op: Any, unit: DotUnit) -> tuple[int, ...]:
    """What a convolution multiplies where its channels lie side by side; of a depthwise one, whose few
    products take no time, the image only."""
    operation = op.operation
    x, weight = operation.operands[0], operation.operands[1]
    groups, transposed = (operation.attributes[name].value for name in ("groups", "transposed"))
    if transposed or operation.attributes["layout"].value != "nhwc" or weight_key(weight) is None:
        return ()
    outside, inside = weight.type.shape[:2]
    if is_coded(weight.type) and not _is_in_groups(encoding_of(weight.type)):
        return ()
    if str(weight.type.element_type) != "f32" or str(x.type.element_type) != "f32":
        return ()
    if groups == 1 and inside % unit.group == 0:
        return (0, 1)
    return (0,) if inside == 1 and outside == groups else ()


def _is_in_groups(encoding: Encoding) -> bool:
    """Whether a convolution's weight is held in groups of channels, which are laid down as units multiply
    them; lists are multiplied in f32."""
    matrix = encoding.base if isinstance(encoding, Flat) else encoding
    return isinstance(matrix, Sparse) and isinstance(matrix.pattern, Structured)


def _pays(op: Any, group: int, *, any_keys: bool) -> bool:
    """Whether attention multiplies in groups: of many queries, the same number each time; of any number of
    keys, or of whole squares of them, none of them held as codes."""
    q, k, v = list(op.operation.operands)[:3]
    if not all(
        isinstance(each.type.element_type, ir.FloatType) and not is_coded(each.type) for each in (k, v)
    ):
        return False
    positions = 2 if op.operation.attributes["layout"].value == "bhsd" else 1
    queries, keys, depth = shape(q)[positions], shape(k)[positions], shape(q)[3]
    known = queries is not None and keys is not None and depth is not None
    even = not ((0 if any_keys else (keys or 1) % 16) or (depth or 1) % group or (shape(v)[3] or 1) % 16)
    return known and even and (queries or 0) >= 64


def _lies_along_k(op: Any) -> bool:
    """Whether the weight's last dimension is the one that is summed."""
    return op.operation.name == "dry.recurrent" or bool(op.operation.attributes["transpose_b"].value)


@dataclass
class _Holder:
    """Gives values the encoding. `copies`: value -> its encoded copy, made before its first reader."""

    program: Program
    element: str
    copies: dict[Any, Any] = field(default_factory=dict)

    def exact(self, value: Any) -> bool:
        """Whether the element holds an f32 value without rounding."""
        root = _viewed(value)
        if str(root.type.element_type) == self.element:
            return True
        key = weight_key(root)
        if key is not None:
            stored = self.program.weights[key].reshape(-1)
            return self._kept(stored[:_FIRST]) and self._kept(stored)
        if not producer_name(root).startswith(_DECODE):
            return False
        regions = [region for region in root.owner.operation.regions if len(region.blocks) == 1]
        if len(regions) != 1:
            return False
        *_, last = regions[0].blocks[0].operations
        made = list(last.operation.operands)
        if len(made) != len(root.owner.operation.results):
            return False
        wide = made[root.result_number]
        return producer_name(wide) == "arith.extf" and str(wide.owner.operands[0].type) == self.element

    def _kept(self, stored: Array) -> bool:
        """Whether the element holds these numbers without rounding."""
        encoding = Codes(self.element)
        return np.array_equal(decode(encode(stored, encoding), encoding, stored.shape, "f32"), stored)

    def hold(self, op: Any, number: int) -> None:
        """Let `op` read its operand `number` held as the element."""
        value = op.operation.operands[number]
        if str(value.type.element_type) != "f32" or value.type.encoding is not None:
            return
        root = _viewed(value)
        key = weight_key(root)
        if key is not None:
            self._hold_weight(root, key)
        elif self._can_make(root):
            self._retype(root)
        else:
            if value not in self.copies:
                with ir.InsertionPoint(op), op.operation.location:
                    self.copies[value] = _copied(value, self._kind(value))
            op.operation.operands[number] = self.copies[value]

    def hold_made(self, value: Any) -> None:
        """Let the kernel that makes a value encode it, where it can and nobody wants it as it is."""
        root = _viewed(value)
        if str(value.type.element_type) == "f32" and value.type.encoding is None and self._can_make(root):
            self._retype(root)

    def _hold_weight(self, value: Any, key: str) -> None:
        encoding = Codes(self.element)
        stored = encode(self.program.weights[key], encoding)["codes"]
        with ir.InsertionPoint(value.owner), value.owner.operation.location:
            held = new_weight(self.program, f"{key}.{self.element}", stored, self._kind(value))
        value.replace_all_uses_with(held)
        self._follow(held)

    def _kind(self, value: Any) -> Any:
        return with_encoding(value.type, Codes(self.element))

    def _can_make(self, value: Any) -> bool:
        """Whether the kernel that makes a value can encode it, and nobody wants it as it is."""
        name = producer_name(value)
        if self._wanted(value) or not name.startswith(("dry.", "linalg.generic")):
            return False
        if name.startswith("dry."):
            return True
        op = value.owner.opview
        inits = list(body(op).arguments)[-len(op.operation.results) :]
        gathers = any(inner.operation.name.startswith("tensor.") for inner in nested(op))
        return not gathers and not any(True for init in inits for _ in init.uses)

    def _wanted(self, value: Any) -> bool:
        """Whether the value, or a view of it, leaves the program or is read as scalars."""
        for user, _ in uses(value):
            if user.name in RESHAPES:
                if self._wanted(user.results[0]):
                    return True
            elif user.name in ("func.return", "tensor.extract") or user.parent.name != "func.func":
                return True
        return False

    def _retype(self, value: Any) -> None:
        op = value.owner.operation
        value.set_type(self._kind(value))
        if op.name == "linalg.generic":
            place = len(op.operands) - len(op.results) + value.result_number
            with ir.InsertionPoint(op), op.location:
                op.operands[place] = empty_like(value)
        self._follow(value)

    def _follow(self, value: Any) -> None:
        """Views of an encoded value are encoded too; operations that cannot decode read a plain copy."""
        for user, number in uses(value):
            if user.name in RESHAPES:
                user.results[0].set_type(self._kind(user.results[0]))
                self._follow(user.results[0])
            elif not user.name.startswith(_DECODE) and user.name != "tensor.dim":
                with ir.InsertionPoint(user), user.location:
                    plain = with_encoding(value.type, None)
                    user.operands[number] = _copied(value, plain)


def _viewed(value: Any) -> Any:
    """The value that a view is one of."""
    while producer_name(value) in RESHAPES:
        value = value.owner.operation.operands[0]
    return value


def _copied(value: Any, kind: Any) -> Any:
    """A copy of a tensor, of another type of the same shape."""
    init = empty_like(value)
    init.set_type(kind)
    return copied(value, init)
