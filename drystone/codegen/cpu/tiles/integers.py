"""Integer operations that need care: divisions, powers, counts of bits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from drystone.codegen.elements import width

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering

_SIGNED = frozenset({"arith.divsi", "arith.remsi", "arith.floordivsi", "arith.ceildivsi"})
_UNSIGNED = frozenset({"arith.divui", "arith.remui", "arith.ceildivui"})
_INTRINSICS = {
    "math.ctpop": ("ctpop", ""),
    "math.ctlz": ("ctlz", " <{is_zero_poison = false}>"),
    "math.cttz": ("cttz", " <{is_zero_poison = false}>"),
    "math.absi": ("abs", " <{is_int_min_poison = false}>"),
}
#: What `integer_operation` knows.
INTEGER_OPERATIONS = frozenset({*_SIGNED, *_UNSIGNED, *_INTRINSICS, "math.ipowi"})
#: Bits of an exponent that count; larger exponents wrap to nothing for all bases but 0, 1 and -1.
_EXPONENT_BITS = 8


def integer_operation(low: "Lowering", op: str, args: Sequence[str], dtype: str, *, vector: bool) -> str:
    """Emit one of INTEGER_OPERATIONS on scalars or registers."""
    if op == "math.ipowi":
        return _power(low, args[0], args[1], dtype, vector=vector)
    if op in _INTRINSICS:
        kind = low.vector(dtype) if vector else dtype
        name, attributes = _INTRINSICS[op]
        return low.emit.pure(f'"llvm.intr.{name}"({args[0]}){attributes} : ({kind}) -> {kind}')
    return _divide(low, op, args, dtype, vector=vector)


def _power(low: "Lowering", base: str, exponent: str, dtype: str, *, vector: bool) -> str:
    """base^exponent by squaring; negative exponents give what 1 / base^n is as an integer."""
    emit, kind = low.emit, low.vector(dtype) if vector else dtype
    flag = low.vector("i1") if vector else "i1"
    one, zero = emit.constant(1, kind), emit.constant(0, kind)
    out, square = one, base
    for bit in range(min(_EXPONENT_BITS, width(dtype) - 1)):
        used = emit.binary("arith.andi", exponent, emit.constant(1 << bit, kind), kind)
        more = emit.binary("arith.muli", out, square, kind)
        out = emit.pure(
            f"arith.select {emit.compare('ne', used, zero, kind)}, {more}, {out} : {flag}, {kind}"
        )
        square = emit.binary("arith.muli", square, square, kind)
    negative = emit.compare("slt", exponent, zero, kind)
    odd = emit.compare("ne", emit.binary("arith.andi", exponent, one, kind), zero, kind)
    sign = emit.pure(f"arith.select {odd}, {emit.constant(-1, kind)}, {one} : {flag}, {kind}")
    unit = emit.compare("eq", base, emit.constant(-1, kind), kind)
    inverse = emit.pure(f"arith.select {unit}, {sign}, {zero} : {flag}, {kind}")
    inverse = emit.pure(
        f"arith.select {emit.compare('eq', base, one, kind)}, {one}, {inverse} : {flag}, {kind}"
    )
    return emit.pure(f"arith.select {negative}, {inverse}, {out} : {flag}, {kind}")


def _divide(low: "Lowering", op: str, args: Sequence[str], dtype: str, *, vector: bool) -> str:
    """Integer division that cannot trap: lanes outside a tile hold anything, a zero too."""
    emit, kind = low.emit, low.vector(dtype) if vector else dtype
    flag = low.vector("i1") if vector else "i1"
    a, b = args
    one, zero, minus = (emit.constant(n, kind) for n in (1, 0, -1))
    odd = emit.compare("eq", b, zero, kind)
    signed = op in _SIGNED and dtype != "i1"
    if signed:
        negative = emit.compare("eq", b, minus, kind)
        odd = emit.binary("arith.ori", odd, negative, flag)
    divisor = emit.pure(f"arith.select {odd}, {one}, {b} : {flag}, {kind}")
    base = {
        "arith.floordivsi": "arith.divsi",
        "arith.ceildivsi": "arith.divsi",
        "arith.ceildivui": "arith.divui",
    }
    out = emit.binary(base.get(op, op), a, divisor, kind)
    if op not in base:
        if op == "arith.divsi" and signed:
            out = emit.pure(
                f"arith.select {negative}, {emit.binary('arith.subi', zero, a, kind)}, {out} : {flag}, {kind}"
            )
        return out
    rest = emit.binary("arith.remui" if op == "arith.ceildivui" else "arith.remsi", a, divisor, kind)
    ragged = emit.compare("ne", rest, zero, kind)
    if op != "arith.ceildivui":
        signs = emit.compare("slt", emit.binary("arith.xori", a, divisor, kind), zero, kind)
        if op == "arith.ceildivsi":
            signs = emit.binary("arith.xori", signs, emit.constant(1, flag), flag)
        ragged = emit.binary("arith.andi", ragged, signs, flag)
    step = emit.binary("arith.subi" if op == "arith.floordivsi" else "arith.addi", out, one, kind)
    out = emit.pure(f"arith.select {ragged}, {step}, {out} : {flag}, {kind}")
    if not signed:
        return out
    return emit.pure(
        f"arith.select {negative}, {emit.binary('arith.subi', zero, a, kind)}, {out} : {flag}, {kind}"
    )
