"""Operations of arith and math on registers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles.integers import INTEGER_OPERATIONS, integer_operation
from drystone.codegen.cpu.tiles.math import APPROXIMATIONS
from drystone.codegen.cpu.tiles.powers import power
from drystone.codegen.cpu.tiles.values import Full, Row, Value
from drystone.codegen.elements import is_float, width
from drystone.codegen.tile import Apply

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering

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

    def unrounded(self, row: Row, j: int) -> str | None:
        """The f32 that is rounded."""
        loose = self.op == "arith.truncf" and self.attributes.get("ties") == "any"
        if not loose or self.scalar or (self.dtype, self.args[0].dtype) != ("bf16", "f32"):
            return None
        return self.args[0].spread(self.row(self.args[0], row), j)

    def wide(self, row: Row, j: int, group: int) -> str:
        """Bytes in memory with their bits changed, as unsigned operands of dot units are made."""
        constant = self.args[1] if self.op == "arith.xori" and len(self.args) == 2 else None
        if not isinstance(constant, Full) or constant.constant is None:
            return super().wide(row, j, group)
        kind = f"vector<{self.low.lanes * group}x{self.args[0].dtype}>"
        mask = self.low.emit.constant(constant.constant, kind)
        return self.low.emit.binary("arith.xori", self.args[0].wide(row, j, group), mask, kind)

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

    if op in ("arith.extf", "arith.truncf"):
        return low.convert(args[0], dtypes[0], dtype, vector=vector)
    if "bf16" in (*dtypes, dtype) and op not in ("arith.select", "arith.bitcast"):
        pairs = zip(args, dtypes, strict=True)
        wide = [low.convert(a, t, "f32", vector=vector) if t == "bf16" else a for a, t in pairs]
        computed = "f32" if dtype == "bf16" else dtype
        held = ["f32" if t == "bf16" else t for t in dtypes]
        out = operate(low, op, attributes, wide, held, computed, vector=vector)
        return low.convert(out, computed, dtype, vector=vector)
    emit, listed = low.emit, ", ".join(args)
    if op in ("arith.cmpf", "arith.cmpi"):
        return emit.pure(f"{op} {attributes['predicate']}, {listed} : {kind(dtypes[0])}")
    if op in _CASTS:
        if dtypes[0] == dtype:
            return args[0]
        if op in ("arith.fptosi", "arith.fptoui") and 1 < width(dtype) < 32:
            # An unsigned byte may come as a signed one; vectors would take numbers above 127 for 127.
            whole = emit.pure(f"arith.fptosi {args[0]} : {kind(dtypes[0])} to {kind('i32')}")
            return emit.pure(f"arith.trunci {whole} : {kind('i32')} to {kind(dtype)}")
        return emit.pure(f"{op} {args[0]} : {kind(dtypes[0])} to {kind(dtype)}")
    if op == "arith.select":
        return emit.pure(f"{op} {listed} : {kind('i1')}, {kind(dtype)}")
    if op in INTEGER_OPERATIONS:
        return integer_operation(low, op, args, dtype, vector=vector)
    if op in _INTRINSICS:
        types = ", ".join([kind(dtype)] * len(args))
        return emit.pure(f"llvm.intr.{_INTRINSICS[op]}({listed}) : ({types}) -> {kind(dtype)}")
    if op == "math.rsqrt":
        root = operate(low, "math.sqrt", {}, args, dtypes, dtype, vector=vector)
        return emit.pure(f"arith.divf {emit.constant(1, kind(dtype))}, {root} : {kind(dtype)}")
    if op == "math.fpowi":
        exponent = low.convert(args[1], dtypes[1], dtype, vector=vector)
        return _function(low, "math.powf", [args[0], exponent], dtype, vector=vector)
    if op == "math.exp" and attributes.get("domain") == "negative" and dtype == "f32":
        op = "math.exp of negative"
    if attributes.get("digits") == "few" and dtype == "f32":
        op = f"{op} of few digits"
    if op.startswith("math."):
        return _function(low, op, args, dtype, vector=vector)
    fast = " fastmath<contract>" if op in _CONTRACT else ""
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
