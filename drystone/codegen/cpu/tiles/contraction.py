"""Dots and reductions."""

from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles import matrix
from drystone.codegen.cpu.tiles.elementwise import combine, neutral, tree
from drystone.codegen.cpu.tiles.values import Full, Ready, Row, Value
from drystone.codegen.elements import is_float
from drystone.codegen.tile import Dot, LaneDot, Reduce
from drystone.errors import InternalError
from drystone.targets.dots import DotUnit

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering

_REDUCTIONS = {
    "arith.addf": "add",
    "arith.addi": "add",
    "arith.mulf": "mul",
    "arith.muli": "mul",
    "arith.maximumf": "maximumf",
    "arith.minimumf": "minimumf",
    "arith.maxnumf": "maxnumf",
    "arith.minnumf": "minnumf",
    "arith.maxsi": "maxsi",
    "arith.minsi": "minsi",
    "arith.maxui": "maxui",
    "arith.minui": "minui",
    "arith.andi": "and",
    "arith.ori": "or",
    "arith.xori": "xor",
}


def dot(low: "Lowering", s: Dot) -> None:
    """acc + a b: for each k the rows of b in registers, elements of a broadcast from memory."""
    unit = matrix.unit_of(low, s)
    if unit is not None and isinstance(low.value(s.acc), matrix.InTiles):
        matrix.dot(low, s, unit)
        return
    if s.group > 1:
        grouped_dot(low, s)
        return
    short = low.target.dot(s.a.dtype, s.b.dtype)
    if short is not None and short.run and _fits_run(low, s, short):
        dot_in_run(low, s, short)
        return
    acc, b = low.value(s.acc), low.value(s.b)
    left = _left(low, low.value(s.a))
    vector, dtype = not acc.scalar, s.acc.dtype
    sums = acc.parts()
    for k in range(s.a.shape[1]):
        right = [low.convert(b.part((k,), j), b.dtype, dtype, vector=vector) for j in range(acc.vectors)]
        for m in range(s.a.shape[0]):
            one = low.convert(left.element((m, k)), left.dtype, dtype, vector=False)
            spread = low.spread(one, dtype) if vector else one
            for j, part in enumerate(right):
                at = m * acc.vectors + j
                sums[at] = _fused(low, spread, part, sums[at], dtype, vector=vector)
    low.values[s.result.number] = Ready(low, s.result.number, s.result.shape, dtype, sums)


def grouped_dot(low: "Lowering", s: Dot) -> None:
    """The same where b is interleaved, by a unit that sums a group of neighbouring k in a lane: groups of a
    are broadcast as one word."""
    unit = low.target.dot(s.a.dtype, s.b.dtype)
    if unit is None or unit.group != s.group:
        raise InternalError(
            f"{low.target.name} has no unit for {s.a.dtype} and {s.b.dtype}, {s.group} at once"
        )
    acc, b = low.value(s.acc), low.value(s.b)
    left = _left(low, low.value(s.a))
    # MLIR's arithmetic knows integers without a sign.
    elements = [t.removeprefix("u") for t in (unit.a, unit.b)]
    kinds = [low.vector(unit.acc), *(f"vector<{low.lanes * s.group}x{t}>" for t in elements)]
    sums = acc.parts()
    for k in range(s.b.shape[0]):
        right = [b.wide((k,), j, s.group) for j in range(acc.vectors)]
        for m in range(s.a.shape[0]):
            spread = low.emit.pure(
                f"vector.bitcast {low.spread(left.word((m, k * s.group), s.group), 'i32')} "
                f": {low.vector('i32')} to {kinds[1]}"
            )
            for j, part in enumerate(right):
                at = m * acc.vectors + j
                pair = (spread, part) if s.a.dtype == unit.a else (part, spread)
                sums[at] = low.emit.pure(
                    f'llvm.call_intrinsic "{unit.intrinsic}"({", ".join((sums[at], *pair))}) '
                    f": ({', '.join(kinds)}) -> {kinds[0]}"
                )
    low.values[s.result.number] = Ready(low, s.result.number, s.result.shape, s.result.dtype, sums)


def lane_dot(low: "Lowering", s: LaneDot) -> None:
    """acc and the products of bytes, lane by lane."""
    unit = low.target.dot(s.a.dtype, s.b.dtype)
    if unit is None or unit.group != s.a.shape[1] // s.acc.shape[1]:
        raise InternalError(f"{low.target.name} has no unit for {s.a.dtype} and {s.b.dtype}")
    acc, a, b = (low.value(t) for t in (s.acc, s.a, s.b))
    whole, some = low.vector(unit.acc), f"vector<{low.lanes * unit.group}xi8>"
    sums = [
        low.emit.pure(
            f'llvm.call_intrinsic "{unit.intrinsic}"'
            f"({acc.part(row, j)}, {a.wide(row, j, unit.group)}, {b.wide(row, j, unit.group)}) "
            f": ({whole}, {some}, {some}) -> {whole}"
        )
        for row, j in acc.places()
    ]
    low.values[s.result.number] = Ready(low, s.result.number, s.result.shape, s.result.dtype, sums)


def _fits_run(low: "Lowering", s: Dot, unit: DotUnit) -> bool:
    """Whether short sums may be taken: of no more k than their precision bears, of whole registers."""
    depth, columns = s.b.shape
    return depth <= unit.run and columns % min(unit.columns, -(-columns // low.lanes) * low.lanes) == 0


def dot_in_run(low: "Lowering", s: Dot, unit: DotUnit) -> None:
    """The same by a unit with short sums: all k of the statement are summed in them, then added to wide
    ones."""
    acc, b = low.value(s.acc), low.value(s.b)
    left = _left(low, low.value(s.a))
    # Two vectors of 32-bit elements are one of the unit's, and a last single one half of it.
    count = min(unit.columns // low.lanes, acc.vectors)
    kind = f"vector<{count * low.lanes}x{unit.a}>"
    places = [(m, first) for m in range(s.a.shape[0]) for first in range(0, acc.vectors, count)]
    short: dict[tuple[int, int], str] = {}
    for k in range(s.a.shape[1]):
        right = [b.wide((k,), first // count, count) for first in range(0, acc.vectors, count)]
        for m, first in places:
            one = low.emit.pure(f"vector.broadcast {left.element((m, k))} : {unit.a} to {kind}")
            pair = f"{one}, {right[first // count]}"
            if k == 0:
                short[m, first] = low.emit.pure(f"arith.mulf {pair} : {kind}")
            else:
                listed = f"({pair}, {short[m, first]}) : ({kind}, {kind}, {kind}) -> {kind}"
                short[m, first] = low.emit.pure(f"llvm.intr.fma{listed}")
    sums = acc.parts()
    for (m, first), whole in short.items():
        for j in range(count):
            at = m * acc.vectors + first + j
            part = low.convert(_slice(low, whole, unit.a, count, j), unit.a, s.acc.dtype, vector=True)
            sums[at] = low.emit.binary("arith.addf", sums[at], part, low.vector(s.acc.dtype))
    low.values[s.result.number] = Ready(low, s.result.number, s.result.shape, s.result.dtype, sums)


def _slice(low: "Lowering", whole: str, dtype: str, count: int, j: int) -> str:
    """Part `j` of `count` in a vector; each has as many lanes as registers of 32-bit elements."""
    if count == 1:
        return whole
    place = f"offsets = [{j * low.lanes}], sizes = [{low.lanes}], strides = [1]"
    kinds = f"vector<{count * low.lanes}x{dtype}> to {low.vector(dtype)}"
    return low.emit.pure(f"vector.extract_strided_slice {whole} {{{place}}} : {kinds}")


def _left(low: "Lowering", a: Value) -> Value:
    """Something that gives elements cheaply: a constant, memory as it is, or a computed tile laid down on the
    stack."""
    if a.direct or a.scalar or isinstance(a, Full):
        return a
    return Spilled(low, a)


class Spilled(Value):
    """A computed tile on the stack, read element by element."""

    def __init__(self, low: "Lowering", of: Value) -> None:
        super().__init__(low, -1 - of.number, of.shape, of.dtype)
        self.row_length = of.vectors * low.lanes
        elements = self.row_length * (of.shape[0] if len(of.shape) > 1 else 1)
        self.name = low.stack(elements, of.dtype, f"left {of.number}")
        self.flat = f"memref<{elements}x{of.dtype}>"
        for row, j in of.places():
            at = low.emit.number((row[0] if row else 0) * self.row_length + j * low.lanes)
            low.emit.line(f"vector.store {of.part(row, j)}, {self.name}[{at}] : {self.flat}, {of.kind}")

    def element(self, position: tuple[int, ...]) -> str:
        """One element."""
        at = self.low.emit.number(position[0] * self.row_length + position[1])
        return self.low.emit.fresh(f"memref.load {self.name}[{at}] : {self.flat}")

    def word(self, position: tuple[int, ...], count: int) -> str:
        """Neighbouring elements."""
        at = self.low.emit.number(position[0] * self.row_length + position[1])
        return self.low.word(f"{self.name}[{at}] : {self.flat}", count, self.dtype)


def _fused(low: "Lowering", a: str, b: str, c: str, dtype: str, *, vector: bool) -> str:
    kind = low.vector(dtype) if vector else dtype
    if is_float(dtype):
        return low.emit.pure(f"llvm.intr.fma({a}, {b}, {c}) : ({kind}, {kind}, {kind}) -> {kind}")
    return low.emit.binary("arith.addi", low.emit.binary("arith.muli", a, b, kind), c, kind)


def reduction(low: "Lowering", s: Reduce) -> None:
    """Combine along an axis."""
    arg = low.value(s.arg)
    rank = len(arg.shape)
    if s.axis % rank == rank - 1:
        parts = [_row(low, s.op, arg, row) for row in arg.rows()]
    else:
        axis = s.axis % rank
        parts = []
        rows = list(arg.rows())
        for row, j in [(r, j) for r in rows if r[axis] == 0 for j in range(arg.vectors)]:
            line = [arg.part((*row[:axis], i, *row[axis + 1 :]), j) for i in range(arg.shape[axis])]
            parts.append(tree(low, s.op, line, arg.dtype, vector=not arg.scalar))
    low.values[s.result.number] = Ready(low, s.result.number, s.result.shape, s.result.dtype, parts)


def _row(low: "Lowering", op: str, arg: Value, row: Row) -> str:
    """A row combined to a scalar: its vectors lane by lane, then the lanes."""
    if arg.scalar:
        return arg.part(row)
    identity, kind = neutral(op, arg.dtype), low.vector(arg.dtype)
    if identity is None or op not in _REDUCTIONS:
        elements = [arg.element((*row, i)) for i in range(arg.last)]
        return tree(low, op, elements, arg.dtype, vector=False)
    parts = [arg.part(row, j) for j in range(arg.vectors)]
    live = arg.live(arg.vectors - 1)
    if live < low.lanes:
        mask = low.emit.ramp([int(i < live) for i in range(low.lanes)], "i1")
        other = low.emit.constant(identity, kind)
        parts[-1] = low.emit.pure(f"arith.select {mask}, {parts[-1]}, {other} : {low.vector('i1')}, {kind}")
    whole = tree(low, op, parts, arg.dtype, vector=True)
    fast = " fastmath<reassoc>" if is_float(arg.dtype) else ""
    name = _REDUCTIONS[op]
    return low.emit.pure(f"vector.reduction <{name}>, {whole}{fast} : {kind} into {arg.dtype}")


__all__ = ["combine", "dot", "lane_dot", "reduction"]
