"""The pass `multiply-codes`: what multiplies dequantized numbers multiplies their codes."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.build import integers, mapped
from drystone.ir.program import Program
from drystone.ir.shapes import layouts
from drystone.ir.values import main_block, producer
from drystone.ir.windows import is_view
from drystone.mlir import arith, ints, ir, tensor
from drystone.passes.dims import empty_like
from drystone.passes.fusing.epilogues import extras_of, remade, take_epilogue
from drystone.passes.integers.scalar_chains import Rounded, dequantized, limits, rounded
from drystone.passes.quantizing.byte_arithmetic import code_of
from drystone.passes.quantizing.coded_factors import Factors
from drystone.passes.rewriting import erase_dead, only_user, ops, tensor_type
from drystone.passes.weights import drop_unused, new_weight
from drystone.targets.target import Target

#: What unsigned codes are lowered by, so that they have a sign.
_HALF = 128


@dataclass(frozen=True)
class MultiplyCodes:
    """Convolutions and products whose factors are both dequantized, activations with one scale and zero point
    that are constants, weights with a scale for all or for each output, multiply the codes: what PT2E makes.

    Before:  %x = linalg.generic ins(%q) {(float(q) - 3) * 0.02} : tensor<..xi8> ; %p = copy(%w)
             %y = "dry.conv"(%x, %p, %b) {sum + b} ; %z = linalg.generic ins(%y) {int(clamp(round(y / 0.1)))}
    After:   %y = "dry.conv"(%q', %codes, %b, %t, %s) {float(sum - t[o]) * s[o] + b}
             %z = linalg.generic ins(%y) {code of y / 0.1}

    - Sums are exact, and so are codes, but where the number that is rounded lies at a tie: it comes of other
      roundings of f32 than torch's.
    - Unsigned codes are held 128 lower, in signed bytes. Sums of codes have those of zero points, t, taken
      off; where an image is padded and its zero point is not code 0 it is padded by a kernel of its own.
    - What rounds numbers to codes becomes one map, of which bounds before it (ReLU) become a part. Maxima of
      windows and views are taken of codes, before what dequantizes them and after what rounds them; rounding
      what was dequantized with the same scale gives the codes.
    - On a `target` with dot units for bytes: convolutions without groups, and depthwise ones, whose weights
      of integers stay f32; products with a matrix whose inputs are a multiple of 4. Others stay as they are.
    """

    target: Target | None = None
    name: ClassVar[str] = "multiply-codes"

    def on(self, target: Target) -> "MultiplyCodes":
        """The pass for a target."""
        return replace(self, target=target)

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        if self.target is None or self.target.neighbours("i8", "i8") == 1:
            return
        block = main_block(program)
        found = [op for op in ops(block, "dry.conv", "dry.matmul") if Factors.of(program, op, self.target)]
        if any(_reads_codes(op.operation.operands[0]) for op in found):
            _Rewriter(program, self.target).run()
            erase_dead(block)
            drop_unused(program)


def _reads_codes(value: Any) -> bool:
    """Whether a value is dequantized, or a view or maxima of what is."""
    op = producer(value)
    if op is not None and (is_view(op) or _is_largest(op)):
        return _reads_codes(op.operation.operands[0])
    return dequantized(value) is not None


def _is_largest(op: Any) -> bool:
    return bool(op.operation.name == "dry.pool" and op.operation.attributes["kind"].value == "max")


@dataclass(frozen=True)
class _Coded:
    """(codes - zero) * scale, of signed bytes."""

    codes: Any
    scale: float
    zero: int


@dataclass
class _Rewriter:
    """codes: by a value in f32 the signed codes behind it; signed: by integers of 8 bits these as signed."""

    program: Program
    target: Target
    codes: dict[Any, _Coded] = field(default_factory=dict)
    signed: dict[Any, Any] = field(default_factory=dict)

    def run(self) -> None:
        """All operations, in order."""
        for op in ops(main_block(self.program)):
            operation = op.operation
            if operation.name == "linalg.generic" and len(operation.results) == 1:
                self._dequantize(op)
            elif (is_view(op) or _is_largest(op)) and operation.operands[0] in self.codes:
                self._move(op)
            elif operation.name in ("dry.conv", "dry.matmul") and operation.operands[0] in self.codes:
                self._multiply(op)

    def _dequantize(self, op: Any) -> None:
        """Let what dequantizes do so from signed codes, in one map."""
        found = dequantized(op.operation.results[0])
        if found is None:
            return
        with ir.InsertionPoint(op), op.operation.location:
            codes = self._signed(found.codes, unsigned=found.unsigned)
            self._give(op, _Coded(codes, found.scale, found.zero - _HALF * found.unsigned))

    def _give(self, op: Any, coded: _Coded) -> None:
        """Put what these codes stand for in the place of an operation's result, at the insertion point."""
        result = op.operation.results[0]
        whole = ir.AffineMap.get_identity(result.type.rank)

        def real(code: Any, _: Any) -> Any:
            value = arith.SIToFPOp(ir.F32Type.get(), code).result
            value = arith.SubFOp(value, _number(coded.zero)).result if coded.zero else value
            return arith.MulFOp(value, _number(coded.scale)).result

        made = mapped([coded.codes], empty_like(result), [whole, whole], real)
        result.replace_all_uses_with(made)
        self.codes[made] = coded

    def _move(self, op: Any) -> None:
        """A view, or maxima, of the codes."""
        coded = self.codes[op.operation.operands[0]]
        with ir.InsertionPoint(op), op.operation.location:
            self._give(op, replace(coded, codes=_of_bytes(op, coded.codes)))

    def _signed(self, value: Any, *, unsigned: bool) -> Any:
        """Integers of 8 bits as signed ones, those without a sign 128 lower."""
        if value in self.signed:
            return self.signed[value]
        found, whole = rounded(value), ir.AffineMap.get_identity(value.type.rank)
        if found is not None and (found.low >= 0 if unsigned else found.high < _HALF):
            made = self._rounded(found, -_HALF * unsigned)
        elif unsigned:

            def lowered(code: Any, _: Any) -> Any:
                return arith.XOrIOp(code, arith.ConstantOp(code.type, -_HALF).result).result

            made = mapped([value], empty_like(value), [whole, whole], lowered)
        else:
            made = value
        self.signed[value] = made
        return made

    def _rounded(self, found: Rounded, offset: int) -> Any:
        """The codes, plus `offset`, that numbers are rounded to, made of what bounds and maxima are taken
        of."""
        source, low, high = found.source, found.low - found.zero, found.high - found.zero
        coded = self.codes.get(source)
        if coded is not None and _same_codes(coded, found, offset):
            return coded.codes
        while (bound := limits(source)) is not None and only_user(source) is not None:
            limit = float(np.rint(np.float32(bound[1]) * np.float32(found.factor)))
            limit = int(min(max(limit, low), high))
            low, high = (limit, high) if bound[2] else (low, limit)
            source = bound[0]
        largest = producer(source)
        pooled = largest is not None and _is_largest(largest) and only_user(source) is not None
        if largest is not None and pooled:
            inner = replace(found, source=largest.operation.operands[0], low=low + found.zero)
            return _of_bytes(largest, self._rounded(replace(inner, high=high + found.zero), offset))
        whole, into = ir.AffineMap.get_identity(source.type.rank), empty_like(source)
        into.set_type(_in_bytes(source))

        def code(x: Any, _: Any) -> Any:
            value = arith.MulFOp(x, _number(found.factor)).result
            return code_of(value, low, high, found.zero + offset)

        return mapped([source], into, [whole, whole], code)

    def _multiply(self, op: Any) -> None:
        """Put a product of codes in the place of one of numbers."""
        factors = Factors.of(self.program, op, self.target)
        if factors is None:
            return
        coded, extras = self.codes[op.operation.operands[0]], extras_of(op)
        byte, i32, f32 = ir.IntegerType.get_signless(8), ir.IntegerType.get_signless(32), ir.F32Type.get()
        with ir.InsertionPoint(op), op.operation.location:
            codes, attributes = self._padded(op, coded)
            weight = self._weight(f"{factors.key}.codes", factors.codes, f32 if factors.depthwise else byte)
            rank = op.operation.results[0].type.rank
            outputs = ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(factors.axis)])
            more = []
            if coded.zero:
                more.append((self._weight(f"{factors.key}.zero", factors.sums * coded.zero, i32), outputs))
            scales = (factors.scales * coded.scale).astype(np.float32)
            more.append((self._weight(f"{factors.key}.factor", scales, f32), outputs))
            sums = f32 if factors.depthwise else i32
            made, block = remade(op, [codes, weight], [*extras, *more], None, attributes, sums=sums)
            with ir.InsertionPoint(block):
                total, *_, scale = block.arguments
                total = arith.FPToSIOp(i32, total).result if factors.depthwise else total
                total = arith.SubIOp(total, block.arguments[-2]).result if coded.zero else total
                real = arith.MulFOp(arith.SIToFPOp(f32, total).result, scale).result
        take_epilogue(op, made, total=real)

    def _weight(self, key: str, array: Array, element: Any) -> Any:
        kind = {"i32": np.int32, "i8": np.int8, "f32": np.float32}[str(element)]
        return new_weight(self.program, key, array.astype(kind), tensor_type(array.shape, element))

    def _padded(self, op: Any, coded: _Coded) -> tuple[Any, dict[str, Any]]:
        """The codes that a product reads, padded where its own padding would not be their zero point; and its
        attributes that change so."""
        if op.operation.name != "dry.conv" or not coded.zero:
            return coded.codes, {}
        padding = ints(op.operation.attributes["padding"])
        if not any(padding):
            return coded.codes, {}
        first = layouts(op.operation.attributes["layout"].value)[0] == "nchw"
        outer, inner = ([0, 0], []) if first else ([0], [0])
        low, high = ([*outer, *padding[side::2], *inner] for side in (0, 1))
        kind = coded.codes.type
        dynamic = ir.ShapedType.get_dynamic_size()
        extents = [n if n == dynamic else n + a + b for n, a, b in zip(kind.shape, low, high, strict=True)]
        made = tensor.PadOp(
            ir.RankedTensorType.get(extents, kind.element_type), coded.codes, [], [], low, high
        )
        inside = made.operation.regions[0].blocks.append(*[ir.IndexType.get()] * kind.rank)
        zero = arith.ConstantOp(kind.element_type, coded.zero, ip=ir.InsertionPoint(made)).result
        with ir.InsertionPoint(inside):
            tensor.YieldOp(zero)
        return made.result, {"padding": integers([0] * len(padding))}


def _same_codes(coded: _Coded, found: Rounded, offset: int) -> bool:
    """Whether rounding what codes stand for gives each of the codes again."""
    codes = np.arange(-_HALF, _HALF)
    real = (codes - coded.zero).astype(np.float32) * np.float32(coded.scale)
    whole = np.clip(np.rint(real * np.float32(found.factor)) + found.zero, found.low, found.high) + offset
    return bool((whole == codes).all())


def _of_bytes(op: Any, codes: Any) -> Any:
    """What an operation gives for codes, in the place of the numbers they stand for."""
    made = op.operation.clone()
    made.operation.operands[0] = codes
    made.operation.results[0].set_type(_in_bytes(made.operation.results[0]))
    return made.operation.results[0]


def _in_bytes(value: Any) -> Any:
    """The type of a tensor's shape with elements of 8 bits."""
    return ir.RankedTensorType.get(value.type.shape, ir.IntegerType.get_signless(8))


def _number(value: float) -> Any:
    return arith.ConstantOp(ir.F32Type.get(), float(value)).result
