"""Functions of the dialect math on registers of f32, to about 2 units in the last place.

Arguments are reduced as by Cody and Waite (Software Manual for the Elementary Functions, 1980): the multiple
of a constant is taken off in two pieces, so that nothing is lost. The polynomials are minimax fits of the
reduced functions under the relative error of the result, their coefficients rounded to f32 one after the
other. Infinities, NaN and subnormal numbers come out as IEEE 754 recommends.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles.powers import powf
from drystone.codegen.cpu.tiles.registers import Registers

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering

# ln 2 in two pieces, the first with enough zero bits that its multiples are exact.
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_EXP = (0.5, 0.1666666567, 0.04166646302, 0.008333570324, 0.001393507817, 0.0001974024199)
# 2^r for r in 0..1 and in -1/2..1/2, to 7.5e-5
_EXP2_FEW = (0.9999252557754517, 0.6958339214324951, 0.22606605291366577, 0.07802528887987137)
_EXP2_FEW_AROUND = (0.9999279975891113, 0.6932609677314758, 0.2426113784313202, 0.055171772837638855)
_LOG = (
    *(0.3333331347, -0.2500000894, 0.2000207305, -0.1666799635, 0.1422032714),
    *(-0.1240603179, 0.1188356802, -0.1167144924, 0.06750956178),
)
_TANH = (-0.3333328068, 0.1333141029, -0.05373714119, 0.02063082531, -0.00569581287)
_ERF = (
    *(0.1283791661, -0.3761262894, 0.1128362566, -0.02685573138),
    *(0.005192405079, -0.0008049769676, 7.996649219e-05),
)
# erf(t) / t in t^2, for |t| to where 1 is as near, to 1.4e-4
_ERF_FEW, _ERF_FEW_END = (
    (
        *(1.127595186, -0.3716145456, 0.105208993, -0.02097216621),
        *(0.002718768781, -0.0002023061243, 6.478258911e-06),
    ),
    2.7,
)
# ln(1 - erf t) for t in 0.92..4
_ERFC_LOG = (
    *(0.00017468445, -1.129514933, -0.6333469152, -0.1082800403),
    *(0.02511935122, -0.004171009175, 0.0004344446061, -2.109273919e-05),
)
_SIN = (-0.1666666716, 0.008333379403, -0.0001985308627, 2.832952077e-06)
_COS = (0.04166666791, -0.001388898003, 2.482201489e-05, -2.887984749e-07)


def _reduce_exp(v: Registers, x: str) -> tuple[str, str, str]:
    """x = n ln 2 + r: n as an integer, as a float, and exp(r) - 1."""
    # Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    magic = 12582912.0
    shifted = v.fma(x, v.number(math.log2(math.e)), v.number(magic))
    n = v.sub(shifted, v.number(magic))
    r = v.fma(n, v.number(-_LN2_HIGH), x)
    r = v.fma(n, v.number(-_LN2_LOW), r)
    tail = v.fma(v.poly(r, _EXP), v.mul(r, r), r)
    whole = v.iop("subi", v.bits(shifted), v.bits(v.number(magic)))
    return whole, n, tail


def _power_of_two(v: Registers, n: str) -> str:
    """2^n for integers in -126..127."""
    return v.floats(v.iop("shli", v.iop("addi", n, v.whole(127)), v.whole(23)))


def _scaled(v: Registers, x: str, n: str) -> str:
    """x 2^n in two steps, so that n may pass the range of exponents."""
    half = v.iop("shrsi", n, v.whole(1))
    return v.mul(v.mul(x, _power_of_two(v, half)), _power_of_two(v, v.iop("subi", n, half)))


def exp(low: "Lowering", x: str) -> str:
    """e^x"""
    v = Registers(low)
    n, _, tail = _reduce_exp(v, v.most(v.least(x, 89.0), -104.0))
    return _scaled(v, v.add(tail, v.number(1.0)), n)


def _exp_inner(v: Registers, x: str) -> str:
    """e^x where neither end of the range is near."""
    n, _, tail = _reduce_exp(v, x)
    scale = _power_of_two(v, n)
    return v.fma(tail, scale, scale)


def exp_of_negative(low: "Lowering", x: str) -> str:
    """e^x for x of 0 and below; 0 below 2^-126"""
    v = Registers(low)
    # The least n leaves an exponent of 0, and so a factor of 0.
    return _exp_inner(v, v.most(x, -127 * math.log(2)))


def exp2(low: "Lowering", x: str) -> str:
    """2^x"""
    v = Registers(low)
    magic = 12582912.0
    x = v.most(v.least(x, 129.0), -152.0)
    shifted = v.add(x, v.number(magic))
    r = v.mul(v.sub(x, v.sub(shifted, v.number(magic))), v.number(math.log(2)))
    tail = v.fma(v.poly(r, _EXP), v.mul(r, r), r)
    return _scaled(v, v.add(tail, v.number(1.0)), v.iop("subi", v.bits(shifted), v.bits(v.number(magic))))


def exp2_of_few_digits(low: "Lowering", x: str) -> str:
    """2^x to 2^-13 of it; 0 or infinity beyond the range of exponents"""
    v = Registers(low)
    if low.target.vector_bits == 512:  # with instructions that take the whole part off, and put it back
        return v.scaled(v.poly(v.fraction(x), _EXP2_FEW), x)
    magic = 12582912.0
    inside = v.most(v.least(x, 127.5), -126.5)
    shifted = v.add(inside, v.number(magic))
    grown = v.poly(v.sub(inside, v.sub(shifted, v.number(magic))), _EXP2_FEW_AROUND)
    whole = v.iop("subi", v.bits(shifted), v.bits(v.number(magic)))
    # The factor of the last n, 128, is infinity: half of the result, twice.
    half = v.mul(grown, _power_of_two(v, v.iop("subi", whole, v.whole(1))))
    out = v.pick(v.test("olt", x, v.number(-125.0)), v.number(0.0), v.add(half, half))
    return v.pick(v.test("oge", x, v.number(128.0)), v.number(math.inf), out)


def exp_of_few_digits(low: "Lowering", x: str) -> str:
    """e^x to 2^-12 of it"""
    v = Registers(low)
    return exp2_of_few_digits(low, v.mul(x, v.number(math.log2(math.e))))


def tanh_of_few_digits(low: "Lowering", x: str) -> str:
    """The hyperbolic tangent to 2^-12: 1 - 2 / (e^2x + 1)"""
    v = Registers(low)
    grown = exp2_of_few_digits(low, v.mul(x, v.number(2 * math.log2(math.e))))
    return v.sub(v.number(1.0), v.div(v.number(2.0), v.add(grown, v.number(1.0))))


def erf_of_few_digits(low: "Lowering", x: str) -> str:
    """The error function to 2^-12: an odd polynomial of what is near 0, its end beyond"""
    v = Registers(low)
    x = v.most(v.least(x, _ERF_FEW_END), -_ERF_FEW_END)
    return v.mul(v.poly(v.mul(x, x), _ERF_FEW), x)


def expm1(low: "Lowering", x: str) -> str:
    """e^x - 1, exact near 0"""
    v = Registers(low)
    n, _, tail = _reduce_exp(v, v.most(v.least(x, 89.0), -25.0))
    # Half the result first: 2^128 is no f32.
    scale = _power_of_two(v, v.iop("subi", n, v.whole(1)))
    half = v.fma(tail, scale, v.sub(scale, v.number(0.5)))
    return v.pick(v.test("oeq", x, v.number(0.0)), x, v.add(half, half))


def _log_parts(v: Registers, x: str) -> tuple[str, str]:
    """x = 2^e m with m in sqrt(1/2)..sqrt(2): e as a float, and m - 1. For normal x > 0."""
    bits, root_half = v.bits(x), v.whole(0x3F3504F3)
    e = v.iop("shrsi", v.iop("subi", bits, root_half), v.whole(23))
    m = v.floats(v.iop("subi", bits, v.iop("shli", e, v.whole(23))))
    return v.real(e), v.sub(m, v.number(1.0))


def _log(v: Registers, x: str, *, base: float = math.e) -> str:
    tiny = v.test("olt", x, v.number(2.0**-126))
    e, f = _log_parts(v, v.pick(tiny, v.mul(x, v.number(2.0**23)), x))
    e = v.sub(e, v.pick(tiny, v.number(23.0), v.number(0.0)))
    square = v.mul(f, f)
    tail = v.mul(v.mul(v.poly(f, _LOG), f), square)
    tail = v.fma(square, v.number(-0.5), tail)
    if base == math.e:
        out = v.add(f, v.fma(e, v.number(_LN2_LOW), tail))
        out = v.fma(e, v.number(_LN2_HIGH), out)
    else:
        # The exponent counts in base 2: powers of two come out exact. The scale is in two pieces.
        scale = 1 / math.log(base)
        high = math.ldexp(round(math.ldexp(scale, 10)), -10)
        per_two = math.log(2) * scale
        out = v.fma(tail, v.number(scale), v.mul(f, v.number(scale - high)))
        out = v.fma(f, v.number(high), out)
        out = v.fma(e, v.number(per_two), out)
    out = v.pick(v.test("oeq", x, v.number(0.0)), v.number(-math.inf), out)
    out = v.pick(v.test("olt", x, v.number(0.0)), v.number(math.nan), out)
    # Infinity and NaN are their own logarithms.
    return v.pick(v.test("ult", x, v.number(math.inf)), v.pick(v.test("uno", x, x), x, out), x)


def log(low: "Lowering", x: str) -> str:
    """The natural logarithm"""
    return _log(Registers(low), x)


def log2(low: "Lowering", x: str) -> str:
    """The logarithm to base 2"""
    return _log(Registers(low), x, base=2)


def log10(low: "Lowering", x: str) -> str:
    """The logarithm to base 10"""
    return _log(Registers(low), x, base=10)


def log1p(low: "Lowering", x: str) -> str:
    """ln(1 + x), exact near 0: what the sum rounds away comes back as a first-order term"""
    v = Registers(low)
    u = v.add(x, v.number(1.0))
    larger, smaller = v.number(1.0), x
    big = v.test("ogt", v.magnitude(x), v.number(1.0))
    lost = v.sub(v.pick(big, larger, smaller), v.sub(u, v.pick(big, x, larger)))
    lost = v.div(lost, u)
    out = _log(v, u)
    out = v.pick(v.test("ord", lost, out), v.add(out, lost), out)
    return v.pick(v.test("olt", v.magnitude(x), v.number(2.0**-25)), x, out)


def tanh(low: "Lowering", x: str) -> str:
    """The hyperbolic tangent: an odd polynomial near 0, 1 - 2 / (e^2|x| + 1) beyond"""
    v = Registers(low)
    size = v.magnitude(x)
    z = v.mul(x, x)
    near = v.fma(v.mul(v.poly(z, _TANH), z), x, x)
    grown = _exp_inner(v, v.mul(v.least(size, 10.0), v.number(2.0)))
    one = v.number(1.0)
    far = v.sub(one, v.div(v.number(2.0), v.add(grown, one)))
    return v.signed(v.pick(v.test("olt", size, v.number(0.625)), near, far), x)


def erf(low: "Lowering", x: str) -> str:
    """The error function: an odd polynomial near 0, 1 - e^p(|x|) beyond"""
    v = Registers(low)
    size = v.magnitude(x)
    z = v.mul(x, x)
    near = v.fma(v.poly(z, _ERF), x, x)
    rest = _exp_inner(v, v.poly(v.least(size, 4.0), _ERFC_LOG))
    far = v.sub(v.number(1.0), rest)
    return v.pick(v.test("olt", size, v.number(0.927734375)), near, v.signed(far, x))


def _quadrant(v: Registers, x: str) -> tuple[str, str]:
    """x = n pi/2 + r: the low bits of n, and r. The reduction is in f64, right for |x| below 1e12."""
    wide, y = v.widen(x)
    magic = 1.5 * 2.0**52
    shifted = wide.fma(y, wide.number(2 / math.pi), wide.number(magic))
    n = wide.sub(shifted, wide.number(magic))
    r = wide.fma(n, wide.number(-math.pi / 2), y)
    r = wide.fma(n, wide.number(-6.123233995736766e-17), r)
    low_bits = v.emit.pure(f"arith.trunci {wide.bits(shifted)} : {wide.ikind} to {v.ikind}")
    return low_bits, v.most(v.least(wide.narrow(r), 0.8), -0.8)


def _wave(low: "Lowering", x: str, turn: int) -> str:
    v = Registers(low)
    n, r = _quadrant(v, x)
    n = v.iop("addi", n, v.whole(turn)) if turn else n
    z = v.mul(r, r)
    sine = v.fma(v.mul(v.poly(z, _SIN), z), r, r)
    cosine = v.fma(v.mul(v.poly(z, _COS), z), z, v.fma(z, v.number(-0.5), v.number(1.0)))
    odd = v.itest("ne", v.iop("andi", n, v.whole(1)), v.whole(0))
    out = v.pick(odd, cosine, sine)
    flip = v.iop("shli", v.iop("andi", n, v.whole(2)), v.whole(30))
    return v.floats(v.iop("xori", v.bits(out), flip))


def sin(low: "Lowering", x: str) -> str:
    """The sine"""
    return _wave(low, x, 0)


def cos(low: "Lowering", x: str) -> str:
    """The cosine"""
    return _wave(low, x, 1)


#: Functions computed here on registers of f32.
APPROXIMATIONS: dict[str, Callable[..., str]] = {
    "math.exp": exp,
    "math.exp of negative": exp_of_negative,
    "math.exp of few digits": exp_of_few_digits,
    "math.exp2": exp2,
    "math.exp2 of few digits": exp2_of_few_digits,
    "math.expm1": expm1,
    "math.log": log,
    "math.log2": log2,
    "math.log10": log10,
    "math.log1p": log1p,
    "math.tanh": tanh,
    "math.tanh of few digits": tanh_of_few_digits,
    "math.erf": erf,
    "math.erf of few digits": erf_of_few_digits,
    "math.sin": sin,
    "math.cos": cos,
    "math.powf": powf,
}
