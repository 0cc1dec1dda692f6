"""Few rows times a matrix of short integers, without rounding the rows: each number is taken apart into three
signed bytes, which dot units multiply with the codes of four neighbouring k at once.

    a[k] = 2^e (2^16 h[k] + 2^8 m[k] + l[k])        e: one for some neighbouring k, by the largest |a| of them
    sum of a[k] q[k] = 2^e (2^16 sum of h[k] q[k] + 2^8 sum of m[k] q[k] + sum of l[k] q[k])

The three sums are exact. What is lost of a number is at most 2^-22 of the largest beside it, about what sums
in f32 lose; numbers of bf16 are held as they are, down to 2^-14 of the largest. An instruction makes four
products for each of the three bytes, and codes need not become floats: about a third of the instructions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd

from drystone.codegen.families.decoding import CodedMatrix
from drystone.codegen.families.dry_op import widened
from drystone.codegen.families.matmul_coded import CodedStep
from drystone.codegen.families.matmul_form import places
from drystone.codegen.families.matmul_panels import Step
from drystone.codegen.tile import Index, Tensor, Tile, index
from drystone.ir.encoding.code import Code, Integers

#: Bytes of a number, k that a lane sums at once, and bytes of codes that are asked for ahead.
BYTES, _LANE, _AHEAD = 3, 4, 4096
#: k that share an exponent where all share their scale; k of a register, and those that are split at once.
_SPAN, _LANES, _AT_ONCE = 256, 16, 64
#: k of a group from which on it is worth it that three sums come out of each, not one.
_LEAST = 64
#: Bits of f32: its fraction, all but the sign, the exponent; and bits of the largest integer, below it one.
_FRACTION, _POSITIVE, _EXPONENT, _TOP = 23, 0x7FFFFFFF, 0x7F800000, 21
#: What rounds a number below 2^22 to an integer when it is added, its bits, and 128 in each of three bytes.
_SHIFT, _SHIFT_BITS, _HALVES = 1.5 * 2.0**23, 0x4B400000, 0x808080


def are_in_bytes(code: Code, group: int) -> bool:
    """Whether codes are integers that lie in bytes, in groups along k that are not short (0: all in one)."""
    return isinstance(code, Integers) and code.bits in (1, 2, 4, 8) and (group == 0 or group >= _LEAST)


def splits(matrix: CodedMatrix) -> bool:
    """Whether rows are split for a coded matrix: its codes are in bytes, in groups of whole registers."""
    return are_in_bytes(matrix.codes.code, matrix.group) and matrix.group % max(matrix.run, _LANES) == 0


@dataclass(frozen=True)
class Parts:
    """Rows in bytes i8 [3 rows, k], all of the lowest bytes first; for neighbouring k that share it 2^e f32
    [rows, k / span]; what the sums of products start from i32 [3 rows, k / span], where codes are held with
    something added; and sums of the rows f32 [rows, k / span], where something is taken from codes."""

    bytes: Tensor
    steps: Tensor
    starts: Tensor | None
    totals: Tensor | None


class SplitStep(CodedStep):
    """Some rows of one or several panels of codes."""

    #: The rows of the step, once they are split.
    parts: Parts | None = None

    @property
    def span(self) -> int:
        """Neighbouring k that share an exponent."""
        return self.coded.group or _SPAN

    def run(self) -> None:
        """Do it, in one panel after the other, with rows that are split once."""
        self.parts = self.split_rows()
        super().run()

    def at_column(self, n: Index) -> Step:
        """The step elsewhere in its rows."""
        other = super().at_column(n)
        for step in (other, *other.inner):
            assert isinstance(step, SplitStep)
            step.parts = self.parts
        return other

    def split_rows(self) -> Parts:
        """All rows of the step in bytes."""
        t, rows, span, matrices = self.t, self.p.rows, self.span, [s.coded for s in (self, *self.inner)]
        blocks = -(-self.coded.depth // span)
        parts = Parts(
            t.scratch((BYTES * rows, blocks * span), "i8"),
            t.scratch((rows, blocks), "f32"),
            t.scratch((BYTES * rows, blocks), "i32") if self.coded.bias() else None,
            t.scratch((rows, blocks), "f32") if any(c.zeros for c in matrices) else None,
        )
        t.loop(rows, 1, lambda row: t.loop(blocks * span, span, lambda k: self.split(parts, row, k)) and None)
        return parts

    def split(self, parts: Parts, row: Index, k: Index) -> None:
        """The numbers of a row from k on that share an exponent, in bytes."""
        t, some, block = self.t, gcd(self.span, _AT_ONCE), k // self.span
        at = [*places(self.form, self.form.a, self.batch), self.m + row]

        def numbers(j: Index) -> Tile:
            sizes = [*([None] * self.form.batch), 1, some]
            return widened(t, t.load(self.form.a, [*at, j], sizes))

        def look(j: Index, peak: Tile, total: Tile) -> list[Tile]:
            x = numbers(j)
            bits = t.apply("arith.andi", t.apply("arith.bitcast", x, dtype="i32"), self.integer(_POSITIVE))
            return [t.apply("arith.maxsi", peak, bits), t.apply("arith.addf", total, x)]

        zeros = [t.full(0, (1, some), dtype) for dtype in ("i32", "f32")]
        peak, total = t.loop(k + self.span, some, look, zeros, lower=k)
        step, inverse = self.exponent(t.reduce("arith.maxsi", peak, 1))
        t.store(parts.steps, [row, block], step)
        if parts.totals is not None:
            t.store(parts.totals, [row, block], t.reduce("arith.addf", total, 1))
        sums = self.write(parts, row, k, lambda j: t.apply("math.fma", numbers(j), inverse, self.shift()))
        for number, each in enumerate(sums):
            assert parts.starts is not None
            less = t.apply("arith.muli", t.reduce("arith.addi", each, 1), self.integer(-self.coded.bias()))
            t.store(parts.starts, [row + number * self.p.rows, block], less)

    def write(self, parts: Parts, row: Index, k: Index, shifted: Callable[[Index], Tile]) -> list[Tile]:
        """Write the bytes of integers that `shifted` gives, beside what rounded them; the sums of each of the
        three bytes, where something is taken for them."""
        t, some = self.t, gcd(self.span, _AT_ONCE)

        def apart(j: Index, *sums: Tile) -> list[Tile]:
            whole = t.apply("arith.bitcast", shifted(j), dtype="i32")
            whole = t.apply("arith.addi", whole, self.integer(_HALVES - _SHIFT_BITS))
            whole, added = t.apply("arith.xori", whole, self.integer(_HALVES)), []
            for number in range(BYTES):
                low = t.apply("arith.shrui", whole, self.integer(8 * number)) if number else whole
                byte = t.apply("arith.trunci", low, dtype="i8")
                t.store(parts.bytes, [row + number * self.p.rows, j], byte)
                if sums:
                    wide = t.apply("arith.extsi", byte, dtype="i32")
                    added.append(t.apply("arith.addi", sums[number], wide))
            return added

        count = 0 if parts.starts is None else BYTES
        zeros = [t.full(0, (1, some), "i32") for _ in range(count)]
        return list(t.loop(k + self.span, some, apart, zeros, lower=k))

    def exponent(self, peak: Tile) -> tuple[Tile, Tile]:
        """2^e for numbers whose largest has these bits, and 2^-e; no number where that is none."""
        t = self.t
        power = t.apply("arith.andi", peak, self.integer(_EXPONENT))
        power = t.apply("arith.maxsi", power, self.integer(_TOP + 1 << _FRACTION))
        step = t.apply("arith.subi", power, self.integer(_TOP << _FRACTION))
        inverse = t.apply("arith.subi", self.integer(254 << _FRACTION), step)
        largest = t.apply("arith.bitcast", peak, dtype="f32")
        faulty = t.apply("arith.subf", largest, largest)
        step, inverse = (t.apply("arith.bitcast", each, dtype="f32") for each in (step, inverse))
        return t.apply("arith.addf", step, faulty), inverse

    def shift(self) -> Tile:
        """What rounds when it is added."""
        return self.t.full(_SHIFT, (1, 1), "f32")

    def integer(self, value: int) -> Tile:
        """An integer for all lanes."""
        return self.t.full(value, (1, 1), "i32")

    def of_group(self, m: Index, sums: Tile, k: Index, end: Index) -> Tile:
        """sums and the products of the group from k up to `end`."""
        return self.put_in(m, sums, self.unscaled(m, k, end), k)

    def unscaled(self, m: Index, k: Index, end: Index) -> Tile:
        """The products with the numbers of codes as they are."""
        t, shape = self.t, (self.p.rows, self.coded.width)
        if self.coded.group:
            return self.of_span(m, k, end)

        def block(at: Index, part: Tile) -> Tile:
            return t.apply("arith.addf", part, self.of_span(m, at, (at + self.span).min(end)))

        return t.loop(end, self.span, block, [t.full(0, shape, "f32")], lower=k)[0]

    def of_span(self, m: Index, k: Index, end: Index) -> Tile:
        """The same of k that share an exponent."""
        t, c, rows, parts = self.t, self.coded, self.p.rows, self.parts
        assert parts is not None
        first, block = m - self.m, k // self.span

        def strings(at: Index, *sums: Tile) -> list[Tile]:
            words, found = c.words(t, self.panel, at), list(sums)
            c.prefetch(t, self.panel, at, _AHEAD)
            for j in range(0, c.run, _LANE):
                own = t.split(c.in_bytes(t, words, j), "ui8")
                for number in range(BYTES):
                    left = t.load(parts.bytes, [first + number * rows, at + j], [rows, _LANE], held=True)
                    found[number] = t.dot(found[number], left, own)
            return found

        starts = [t.full(0, (rows, c.width), "i32") for _ in range(BYTES)]
        if parts.starts is not None:
            held = [t.load(parts.starts, [first + n * rows, block], [rows, 1]) for n in range(BYTES)]
            starts = [t.apply("arith.addi", *both) for both in zip(starts, held, strict=True)]
        low, middle, high = (
            t.apply("arith.sitofp", total, dtype="f32")
            for total in t.loop(end, c.run, strings, starts, lower=k)
        )
        byte = t.full(256.0, (1, 1), "f32")
        whole = t.apply("math.fma", t.apply("math.fma", high, byte, middle), byte, low)
        return t.apply("arith.mulf", whole, t.load(parts.steps, [first, block], [rows, 1]))

    def row_total(self, m: Index, k: Index) -> Tile:
        """The sum of a group of columns of a from k on, [rows, 1]."""
        assert self.parts is not None and self.parts.totals is not None
        t, rows, totals = self.t, self.p.rows, self.parts.totals
        if self.coded.group:
            return t.load(totals, [m - self.m, k // self.span], [rows, 1])
        blocks = totals.shape[1] or 1
        return t.reduce("arith.addf", t.load(totals, [m - self.m, index(0)], [rows, blocks]), 1)
