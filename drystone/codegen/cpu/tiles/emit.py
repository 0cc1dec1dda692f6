"""Writing MLIR text: fresh names, constants at the function's entry, and no operation twice in a scope."""

import math
import struct
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager

from drystone.codegen.tile import Index

_BINARY = {"add": "arith.addi", "sub": "arith.subi", "mul": "arith.muli"}
_LIMITS = {"min": "arith.minsi", "max": "arith.maxsi"}


def literal(value: float, dtype: str) -> str:
    """A number as MLIR spells it for an element type."""
    if dtype == "i1":
        return "true" if value else "false"
    if dtype.startswith("i"):
        return str(int(value))
    if math.isfinite(value):
        return f"{float(value):.17e}"
    # Infinity and NaN have no decimal spelling.
    if dtype == "f64":
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    if dtype == "f16":
        return f"0x{struct.unpack('<H', struct.pack('<e', value))[0]:04X}"
    return f"0x{bits >> 16:04X}" if dtype == "bf16" else f"0x{bits:08X}"


class Emitter:
    """The body of one function under construction.

    `entry` comes first and holds constants, views of the arguments and scratch; `lines` follow. `pure` and
    `remember` look through the regions that enclose the present one, so a value is computed once where that
    is right and never used outside the region it is made in.
    """

    def __init__(self) -> None:
        self.entry: list[str] = []
        self.lines: list[str] = []
        self.vars: dict[Index, str] = {}
        self._constants: dict[Hashable, str] = {}
        self._scopes: list[dict[Hashable, str]] = [{}]
        self._names = 0
        self._depth = 1

    def name(self) -> str:
        """A fresh SSA name."""
        self._names += 1
        return f"%{self._names}"

    def line(self, text: str) -> None:
        """One line in the present region."""
        self.lines.append("  " * self._depth + text)

    def fresh(self, text: str) -> str:
        """The result of an operation that must not be shared, a load."""
        name = self.name()
        self.line(f"{name} = {text}")
        return name

    def pure(self, text: str) -> str:
        """The result of an operation without effects."""
        known = self.recall(text)
        return known if known is not None else self.remember(text, self.fresh(text))

    def recall(self, key: Hashable) -> str | None:
        """What `remember` was told in this region or one around it."""
        return next((scope[key] for scope in reversed(self._scopes) if key in scope), None)

    def remember(self, key: Hashable, name: str) -> str:
        """Keep a name for this region and those inside it."""
        self._scopes[-1][key] = name
        return name

    def at_entry(self, text: str, key: Hashable = None) -> str:
        """The result of an operation at the function's entry, shared by those of one key (or one text)."""
        key = text if key is None else key
        if key not in self._constants:
            self._constants[key] = self.name()
            self.entry.append(f"  {self._constants[key]} = {text}")
        return self._constants[key]

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Lines of the present region whose names are not used after them."""
        self._scopes.append({})
        yield
        self._scopes.pop()

    @contextmanager
    def region(self, head: str | None, tail: str = "}") -> Iterator[None]:
        """A nested region: `head` opens it (None: a tail has), `tail` closes it."""
        if head is not None:
            self.line(head)
        self._depth += 1
        with self.scope():
            yield
        self._depth -= 1
        self.line(tail)

    def constant(self, value: float, kind: str) -> str:
        """A constant of a scalar or vector type."""
        dtype = kind.removesuffix(">").rsplit("x", 1)[-1] if kind.startswith("vector") else kind
        spelled = literal(value, "i64" if dtype == "index" else dtype)
        if kind.startswith("vector"):
            return self.at_entry(f"arith.constant dense<{spelled}> : {kind}")
        return self.at_entry(f"arith.constant {spelled}" + ("" if kind == "i1" else f" : {kind}"))

    def ramp(self, values: Sequence[float], dtype: str) -> str:
        """A constant vector of numbers (or of flags)."""
        spelled = ", ".join(literal(v, dtype) for v in values)
        return self.at_entry(f"arith.constant dense<[{spelled}]> : vector<{len(values)}x{dtype}>")

    def number(self, value: int) -> str:
        """An index constant."""
        return self.constant(value, "index")

    def binary(self, op: str, a: str, b: str, kind: str = "index") -> str:
        """An operation on two operands of one type."""
        return self.pure(f"{op} {a}, {b} : {kind}")

    def compare(self, predicate: str, a: str, b: str, kind: str = "index") -> str:
        """An integer comparison."""
        return self.pure(f"arith.cmpi {predicate}, {a}, {b} : {kind}")

    def arithmetic(self, kind: str, a: str, b: str, *, nonnegative: bool) -> str:
        """An inner node of an index expression; divisors are positive; `nonnegative`: so is `a`."""
        if kind in _BINARY or kind in _LIMITS:
            return self.binary(_BINARY.get(kind) or _LIMITS[kind], a, b)
        if kind == "ceildiv":
            up = self.binary("arith.addi", a, self.binary("arith.subi", b, self.number(1)))
            return self.arithmetic("floordiv", up, b, nonnegative=nonnegative)
        if nonnegative:
            return self.binary("arith.divui" if kind == "floordiv" else "arith.remui", a, b)
        # Below zero: floor(a / b) = -1 - (-1 - a) / b.
        minus = self.number(-1)
        flipped = self.binary("arith.divsi", self.binary("arith.subi", minus, a), b)
        below = self.binary("arith.subi", minus, flipped)
        negative = self.compare("slt", a, self.number(0))
        quotient = self.pure(f"arith.select {negative}, {below}, {self.binary('arith.divsi', a, b)} : index")
        if kind == "floordiv":
            return quotient
        return self.binary("arith.subi", a, self.binary("arith.muli", quotient, b))
