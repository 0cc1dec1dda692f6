"""Powers of floating-point numbers on registers."""

import math
from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles.registers import Registers

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering


def powf(low: "Lowering", x: str, y: str) -> str:
    """x^y, by 2^(y log2 |x|) in f64: log2 by the series of artanh, 2^r by Taylor's."""
    v = Registers(low)
    size = v.magnitude(x)
    w, wide_x = v.widen(size)
    _, wide_y = v.widen(y)
    bits, root_half = w.bits(wide_x), w.whole(0x3FE6A09E667F3BCD)
    e = w.iop("shrsi", w.iop("subi", bits, root_half), w.whole(52))
    m = w.floats(w.iop("subi", bits, w.iop("shli", e, w.whole(52))))
    s = w.div(w.sub(m, w.number(1.0)), w.add(m, w.number(1.0)))
    series = w.poly(w.mul(s, s), [2 / math.log(2) / (2 * k + 1) for k in range(8)])
    product = w.mul(w.fma(s, series, w.real(e)), wide_y)
    product = w.most(w.least(product, 200.0), -200.0)
    magic = 1.5 * 2.0**52
    shifted = w.add(product, w.number(magic))
    r = w.mul(w.sub(product, w.sub(shifted, w.number(magic))), w.number(math.log(2)))
    grown = w.poly(r, [1 / math.factorial(k) for k in range(11)])
    n = w.iop("subi", w.bits(shifted), w.bits(w.number(magic)))
    scale = w.floats(w.iop("shli", w.iop("addi", n, w.whole(1023)), w.whole(52)))
    return _power_borders(v, x, y, size, w.narrow(w.mul(grown, scale)))


def _power_borders(v: Registers, x: str, y: str, size: str, out: str) -> str:
    """The cases of x^y that the logarithm does not know."""
    zero, one, infinite = v.number(0.0), v.number(1.0), v.number(math.inf)
    up = v.test("ogt", y, zero)
    # |x| = 0 or infinity: the result is 0 or infinity by the sign of y.
    vanishing = v.pick(up, zero, infinite)
    out = v.pick(v.test("oeq", size, zero), vanishing, out)
    out = v.pick(v.test("oeq", size, infinite), v.pick(up, infinite, zero), out)
    # y infinite: by whether |x| is above 1.
    above = v.test("ogt", size, one)
    outward = v.pick(above, infinite, zero)
    inward = v.pick(above, zero, infinite)
    limit = v.pick(v.test("oeq", size, one), one, v.pick(up, outward, inward))
    out = v.pick(v.test("oeq", v.magnitude(y), infinite), limit, out)
    # x negative: an odd y gives its sign, no integer gives NaN.
    half = v.mul(y, v.number(0.5))
    floor = v.emit.pure(f"llvm.intr.floor({y}) : ({v.kind}) -> {v.kind}")
    floor_half = v.emit.pure(f"llvm.intr.floor({half}) : ({v.kind}) -> {v.kind}")
    integer = v.test("oeq", floor, y)
    odd = v.both(integer, v.test("one", floor_half, half))
    out = v.pick(odd, v.signed(out, x), out)
    finite = v.test("olt", size, infinite)
    negative = v.both(finite, v.test("olt", x, zero))
    broken = v.both(negative, v.test("one", floor, y))
    out = v.pick(broken, v.number(math.nan), out)
    out = v.pick(v.test("uno", x, y), v.number(math.nan), out)
    certain = v.emit.binary("arith.ori", v.test("oeq", y, zero), v.test("oeq", x, one), v.flag)
    return v.pick(certain, one, out)


def power(low: "Lowering", x: str, exponent: float | None, dtype: str, *, vector: bool) -> str | None:
    """x to a constant power where that is a few exact operations; None otherwise."""
    emit, kind = low.emit, low.vector(dtype) if vector else dtype
    one = emit.constant(1, kind)

    def root() -> str:
        # Unlike the root, the power takes -0 to 0.
        shifted = emit.binary("arith.addf", x, emit.constant(0, kind), kind)
        return emit.pure(f"llvm.intr.sqrt({shifted}) : ({kind}) -> {kind}")

    match exponent:
        case 1:
            return x
        case 2:
            return emit.binary("arith.mulf", x, x, kind)
        case 3:
            return emit.binary("arith.mulf", emit.binary("arith.mulf", x, x, kind), x, kind)
        case -1:
            return emit.binary("arith.divf", one, x, kind)
        case 0.5:
            return root()
        case -0.5:
            return emit.binary("arith.divf", one, root(), kind)
    return None
