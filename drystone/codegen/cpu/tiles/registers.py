"""Arithmetic on whole registers, written as calls: the language of the approximations in `math`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering


class Registers:
    """Operations on vectors of one floating-point element (f32 or f64) and of the integer of its width."""

    def __init__(self, low: "Lowering", dtype: str = "f32") -> None:
        self.low, self.emit, self.dtype = low, low.emit, dtype
        self.integer = "i" + dtype[1:]
        self.kind, self.ikind, self.flag = (low.vector(t) for t in (dtype, self.integer, "i1"))

    def number(self, value: float) -> str:
        """A constant in all lanes."""
        return self.emit.constant(value, self.kind)

    def whole(self, value: int) -> str:
        """An integer constant in all lanes."""
        return self.emit.constant(value, self.ikind)

    def add(self, a: str, b: str) -> str:
        """a + b"""
        return self.emit.binary("arith.addf", a, b, self.kind)

    def sub(self, a: str, b: str) -> str:
        """a - b"""
        return self.emit.binary("arith.subf", a, b, self.kind)

    def mul(self, a: str, b: str) -> str:
        """a * b"""
        return self.emit.binary("arith.mulf", a, b, self.kind)

    def div(self, a: str, b: str) -> str:
        """a / b"""
        return self.emit.binary("arith.divf", a, b, self.kind)

    def fma(self, a: str, b: str, c: str) -> str:
        """a * b + c, rounded once"""
        return self.emit.pure(
            f"llvm.intr.fma({a}, {b}, {c}) : ({self.kind}, {self.kind}, {self.kind}) -> {self.kind}"
        )

    def poly(self, x: str, coefficients: Sequence[float]) -> str:
        """c[0] + c[1] x + c[2] x^2 + ..."""
        out = self.number(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            out = self.fma(out, x, self.number(c))
        return out

    def fraction(self, x: str) -> str:
        """x - floor(x), on registers of 512 bits; 0 for infinities"""
        down = self.emit.at_entry("llvm.mlir.constant(1 : i32) : i32")
        return self._masked("reduce", (x, down), (self.kind, "i32"))

    def scaled(self, x: str, n: str) -> str:
        """x 2^floor(n), on registers of 512 bits"""
        return self._masked("scalef", (x, n), (self.kind, self.kind))

    def _masked(self, name: str, args: Sequence[str], kinds: Sequence[str]) -> str:
        """An instruction of AVX-512 on all lanes, rounding as always."""
        every = self.emit.at_entry("llvm.mlir.constant(-1 : i16) : i16")
        rounding = self.emit.at_entry("llvm.mlir.constant(4 : i32) : i32")
        listed = ", ".join((*args, self.number(0.0), every, rounding))
        types = ", ".join((*kinds, self.kind, "i16", "i32"))
        return self.emit.pure(
            f'llvm.call_intrinsic "llvm.x86.avx512.mask.{name}.ps.512"({listed}) : ({types}) -> {self.kind}'
        )

    def magnitude(self, x: str) -> str:
        """|x|"""
        return self.emit.pure(f"llvm.intr.fabs({x}) : ({self.kind}) -> {self.kind}")

    def signed(self, x: str, sign: str) -> str:
        """|x| with the sign of another"""
        return self.emit.pure(f"llvm.intr.copysign({x}, {sign}) : ({self.kind}, {self.kind}) -> {self.kind}")

    def root(self, x: str) -> str:
        """The square root"""
        return self.emit.pure(f"llvm.intr.sqrt({x}) : ({self.kind}) -> {self.kind}")

    def test(self, predicate: str, a: str, b: str) -> str:
        """A comparison of floats"""
        return self.emit.pure(f"arith.cmpf {predicate}, {a}, {b} : {self.kind}")

    def itest(self, predicate: str, a: str, b: str) -> str:
        """A comparison of integers"""
        return self.emit.compare(predicate, a, b, self.ikind)

    def pick(self, condition: str, a: str, b: str) -> str:
        """a where the condition holds, else b"""
        return self.emit.pure(f"arith.select {condition}, {a}, {b} : {self.flag}, {self.kind}")

    def both(self, a: str, b: str) -> str:
        """Both conditions"""
        return self.emit.binary("arith.andi", a, b, self.flag)

    def bits(self, x: str) -> str:
        """The bits as integers"""
        return self.emit.pure(f"arith.bitcast {x} : {self.kind} to {self.ikind}")

    def floats(self, x: str) -> str:
        """Bits as floats"""
        return self.emit.pure(f"arith.bitcast {x} : {self.ikind} to {self.kind}")

    def iop(self, op: str, a: str, b: str) -> str:
        """An integer operation of arith: addi, subi, shli, shrsi, andi, ori, xori"""
        return self.emit.binary(f"arith.{op}", a, b, self.ikind)

    def real(self, x: str) -> str:
        """Integers as floats"""
        return self.emit.pure(f"arith.sitofp {x} : {self.ikind} to {self.kind}")

    def least(self, x: str, bound: float) -> str:
        """x, or the bound where x is greater; NaN stays"""
        limit = self.number(bound)
        return self.pick(self.test("ogt", x, limit), limit, x)

    def most(self, x: str, bound: float) -> str:
        """x, or the bound where x is smaller; NaN stays"""
        limit = self.number(bound)
        return self.pick(self.test("olt", x, limit), limit, x)

    def widen(self, x: str) -> tuple["Registers", str]:
        """f32 as f64"""
        wide = Registers(self.low, "f64")
        return wide, self.emit.pure(f"arith.extf {x} : {self.kind} to {wide.kind}")

    def narrow(self, x: str) -> str:
        """f64 rounded to f32"""
        return self.emit.pure(f"arith.truncf {x} : {self.kind} to {self.low.vector('f32')}")
