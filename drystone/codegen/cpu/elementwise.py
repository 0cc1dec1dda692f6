"""Operations of arith and math on registers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from drystone.codegen.cpu.lowering import is_float, width
from drystone.codegen.cpu.math import APPROXIMATIONS, power
from drystone.codegen.cpu.values import Full, Row, Value
from drystone.codegen.tile import Apply

if TYPE_CHECKING:
    from drystone.codegen.cpu.lowering import Lowering

_CASTS = frozenset(
    "arith." + name
    for name in (
        *("extf", "truncf", "extsi", "extui", "trunci", "sitofp"),
        *("uitofp", "fptosi", "fptoui", "bitcast", "index_cast", "index_castui"),
    )
)
# Exact operations, straight to what LLVM knows of them.
_INTRINSICS = {
    "math.sqrt": "sqrt",
    "math.absf": "fabs",
    "math.floor": "floor",
    "math.ceil": "ceil",
    "math.roundeven": "roundeven",
    "math.round": "round",
    "math.trunc": "trunc",
    "math.copysign": "copysign",
    "math.fma": "fma",
}
# A product and a sum become one fused operation where they meet.
_CONTRACT = frozenset({"arith.addf", "arith.subf", "arith.mulf"})
_DIVISIONS = frozenset({"arith.divsi", "arith.remsi", "arith.floordivsi", "arith.ceildivsi"})
_UNSIGNED_DIVISIONS = frozenset({"arith.divui", "arith.remui", "arith.ceildivui"})
_EXACT_ON_INTEGERS = frozenset(
    {"math.absi", "math.ctlz", "math.cttz", "math.ctpop", "math.ipowi", "math.fpowi"}
)


class Applied(Value):
    """An elementwise operation."""

    def __init__(self, low: "Lowering", s: Apply) -> None:
        super().__init__(low, s.result.number, s.result.shape, s.result.dtype)
        self.op, self.attributes = s.op, dict(s.attributes)
        self.args = [low.value(arg) for arg in s.args]
        self.reads = frozenset().union(*(arg.reads for arg in self.args))

    def settle(self) -> None:
        """Make all parts now; the arguments may still read memory for others."""
        self.parts()
        self.reads = frozenset()

    def row(self, arg: Value, row: Row) -> Row:
        """The row of an argument that meets a row of the result."""
        missing = len(self.shape) - len(arg.shape)
        return tuple(0 if n == 1 else i for i, n in zip(row[missing:], arg.shape[:-1], strict=False))

    def make(self, row: Row, j: int) -> str:
        if self.scalar and self.op in APPROXIMATIONS and width(self.args[0].dtype) <= 32:
            return self.packed(row)
        if self.scalar:
            parts = [arg.part(self.row(arg, row)) for arg in self.args]
        else:
            parts = [arg.spread(self.row(arg, row), j) for arg in self.args]
        if self.op == "math.powf" and isinstance(self.args[1], Full):
            known = power(self.low, parts[0], self.args[1].constant, self.dtype, vector=not self.scalar)
            if known is not None:
                return known
        kinds = [arg.dtype for arg in self.args]
        return operate(self.low, self.op, self.attributes, parts, kinds, self.dtype, vector=not self.scalar)

    def packed(self, row: Row) -> str:
        """A column of scalars under a function made for vectors: several rows at once."""
        low, rows = self.low, list(self.rows())
        first = rows.index(row) // low.lanes * low.lanes
        group = rows[first : first + low.lanes]
        filled = [group[i] if i < len(group) else group[0] for i in range(low.lanes)]
        parts = []
        for arg in self.args:
            scalars = [arg.part(self.row(arg, r)) for r in filled]
            one = len(set(scalars)) == 1
            parts.append(low.spread(scalars[0], arg.dtype) if one else low.gathered(scalars, arg.dtype))
        kinds = [arg.dtype for arg in self.args]
        whole = operate(low, self.op, self.attributes, parts, kinds, self.dtype, vector=True)
        kind = low.vector(self.dtype)
        for i, r in enumerate(group):
            one_part = low.emit.pure(f"vector.extract {whole}[{i}] : {self.dtype} from {kind}")
            low.emit.remember((self.number, r, 0), one_part)
        return low.emit.pure(f"vector.extract {whole}[{group.index(row)}] : {self.dtype} from {kind}")


def operate(
    low: "Lowering",
    op: str,
    attributes: Mapping[str, str],
    args: Sequence[str],
    dtypes: Sequence[str],
    dtype: str,
    *,
    vector: bool,
) -> str:
    """Emit one operation on scalars or registers."""

    def kind(name: str) -> str:
        return low.vector(name) if vector else name

    emit, listed = low.emit, ", ".join(args)
    if op in ("arith.cmpf", "arith.cmpi"):
        return emit.pure(f"{op} {attributes['predicate']}, {listed} : {kind(dtypes[0])}")
    if op in _CASTS:
        if dtypes[0] == dtype:
            return args[0]
        return emit.pure(f"{op} {args[0]} : {kind(dtypes[0])} to {kind(dtype)}")
    if op == "arith.select":
        return emit.pure(f"{op} {listed} : {kind('i1')}, {kind(dtype)}")
    if op in _DIVISIONS or op in _UNSIGNED_DIVISIONS:
        return _divide(low, op, args, dtype, vector=vector)
    if op in _INTRINSICS:
        types = ", ".join([kind(dtype)] * len(args))
        return emit.pure(f"llvm.intr.{_INTRINSICS[op]}({listed}) : ({types}) -> {kind(dtype)}")
    if op == "math.rsqrt":
        root = operate(low, "math.sqrt", {}, args, dtypes, dtype, vector=vector)
        return emit.pure(f"arith.divf {emit.constant(1, kind(dtype))}, {root} : {kind(dtype)}")
    if op.startswith("math.") and op not in _EXACT_ON_INTEGERS:
        return _function(low, op, args, dtype, vector=vector)
    fast = " fastmath<contract>" if op in _CONTRACT else ""
    if op == "math.fpowi":
        return emit.pure(f"{op} {listed} : {kind(dtypes[0])}, {kind(dtypes[1])}")
    return emit.pure(f"{op} {listed}{fast} : {kind(dtype)}")


def _function(low: "Lowering", op: str, args: Sequence[str], dtype: str, *, vector: bool) -> str:
    """A function of the dialect math: computed here in f32, by the C library in f64 or where it is rare."""
    emit = low.emit
    if width(dtype) < 32:
        wide = [low.convert(arg, dtype, "f32", vector=vector) for arg in args]
        return low.convert(_function(low, op, wide, "f32", vector=vector), "f32", dtype, vector=vector)
    if dtype == "f64" or op not in APPROXIMATIONS:
        kind = low.vector(dtype) if vector else dtype
        return emit.pure(f"{op} {', '.join(args)} : {kind}")
    if vector:
        key = (op, *args)
        known = emit.recall(key)
        return known if known is not None else emit.remember(key, APPROXIMATIONS[op](low, *args))
    whole = _function(low, op, [low.spread(arg, dtype) for arg in args], dtype, vector=True)
    return emit.pure(f"vector.extract {whole}[0] : {dtype} from {low.vector(dtype)}")


def _divide(low: "Lowering", op: str, args: Sequence[str], dtype: str, *, vector: bool) -> str:
    """Integer division that cannot trap: lanes outside a tile hold anything, a zero too."""
    emit, kind = low.emit, low.vector(dtype) if vector else dtype
    flag = low.vector("i1") if vector else "i1"
    a, b = args
    one, zero, minus = (emit.constant(n, kind) for n in (1, 0, -1))
    odd = emit.compare("eq", b, zero, kind)
    signed = op in _DIVISIONS and dtype != "i1"
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


def combine(low: "Lowering", op: str, a: str, b: str, dtype: str, *, vector: bool) -> str:
    """A reduction's operation on two parts."""
    return operate(low, op, {}, [a, b], [dtype, dtype], dtype, vector=vector)


def tree(low: "Lowering", op: str, parts: Sequence[str], dtype: str, *, vector: bool) -> str:
    """All parts combined, neighbours first: short chains, small rounding errors."""
    level = list(parts)
    while len(level) > 1:
        pairs = [
            combine(low, op, level[i], level[i + 1], dtype, vector=vector)
            for i in range(0, len(level) - 1, 2)
        ]
        level = pairs + level[len(level) & ~1 :]
    return level[0]


def neutral(op: str, dtype: str) -> float | None:
    """The number that changes nothing under a reduction's operation; None where there is none."""
    name = op.removeprefix("arith.")
    if name in ("addf", "addi", "ori", "xori", "maxui"):
        return -0.0 if name == "addf" else 0
    if name in ("mulf", "muli"):
        return 1
    if name in ("maximumf", "maxnumf", "minimumf", "minnumf") and is_float(dtype):
        return float("-inf") if name.startswith("max") else float("inf")
    bits = width(dtype)
    if name in ("andi", "minui"):
        return -1
    if name in ("maxsi", "minsi"):
        return float(-(2 ** (bits - 1))) if name == "maxsi" else int(2 ** (bits - 1)) - 1
    return None
