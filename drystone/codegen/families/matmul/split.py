"""Few rows times a matrix of short integers, without rounding the rows: each number is taken apart into three
signed bytes, which dot units multiply with the codes of four neighbouring k at once.

    a[k] = 2^e (2^16 h[k] + 2^8 m[k] + l[k])        e: one for some neighbouring k, by the largest |a| of them
    sum of a[k] q[k] = 2^e (2^16 sum of h[k] q[k] + 2^8 sum of m[k] q[k] + sum of l[k] q[k])

The three sums are exact. What is lost of a number is at most 2^-22 of the largest beside it, about what sums
in f32 lose; numbers of bf16 are held as they are, down to 2^-14 of the largest. An instruction makes four
products for each of the three bytes, and codes need not become floats: about a third of the instructions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd

from drystone.codegen.families.codes.decoding import CodedMatrix
from drystone.codegen.families.dry_op import widened
from drystone.codegen.families.matmul.coded import CodedStep
from drystone.codegen.families.matmul.form import finish, places
from drystone.codegen.families.matmul.panels import Step
from drystone.codegen.tile import Index, Tensor, Tile, index
from drystone.ir.encoding import Words
from drystone.ir.encoding.code import Code

#: Bytes of a number, and k that a lane sums at once.
BYTES, _LANE = 3, 4
#: k that share an exponent where all share their scale; k of a register, and those that are split at once.
_SPAN, _LANES, _AT_ONCE = 256, 16, 64
#: k of a group from which on it is worth it that three sums come out of each, not one.
_LEAST = 64
#: Bits of f32: its fraction, all but the sign, the exponent; and bits of the largest integer, below it one.
_FRACTION, _POSITIVE, _EXPONENT, _TOP = 23, 0x7FFFFFFF, 0x7F800000, 21
#: What rounds a number below 2^22 to an integer when it is added, its bits, and 128 in each of three bytes.
_SHIFT, _SHIFT_BITS, _HALVES = 1.5 * 2.0**23, 0x4B400000, 0x808080


def are_split_for(code: Code, group: int) -> bool:
    """Whether rows are split for codes: they lie in bytes, in groups along k that are not short (0: all in
    one)."""
    return Words.in_bytes(code) and (group == 0 or group >= _LEAST)


def splits(matrix: CodedMatrix) -> bool:
    """Whether rows are split for a coded matrix, whose groups are then whole registers."""
    return are_split_for(matrix.codes.code, matrix.group) and matrix.group % max(matrix.run, _LANES) == 0


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

    @property
    def top(self) -> int:
        """The exponent that integers have for the largest number."""
        return _TOP

    def run(self) -> None:
        """Do it, some panels side by side after the others, with rows that are taken apart once."""
        self.parts = self.split_rows()
        t, p = self.t, self.p
        beside = p.beside if not self.inner and p.wide % (p.beside * p.width) == 0 else 1

        def some(j: Index) -> None:
            places = [self.n + j + i * p.width for i in range(beside)]
            if beside == 1:
                self.at_column(places[0]).in_panel()
            else:
                self.in_panels([step for n in places if isinstance(step := self.at_column(n), SplitStep)])

        if p.wide > beside * p.width:
            t.loop(self.strip(), beside * p.width, some)
        else:
            some(index(0))

    def in_panels(self, steps: Sequence["SplitStep"]) -> None:
        """All rows in panels side by side."""

        def rows(m: Index) -> None:
            for step, sums in zip(steps, self.side_by_side(steps, m), strict=True):
                finish(step.form, self.t, sums, [*step.batch, m, step.n])

        if self.p.high > self.p.rows:
            self.t.loop(self.end(), self.p.rows, lambda i: rows(self.m + i))
        else:
            rows(self.m)

    def at_column(self, n: Index) -> Step:
        """The step elsewhere in its rows."""
        other = super().at_column(n)
        for step in (other, *other.inner):
            assert isinstance(step, SplitStep)
            step.parts = self.parts
        return other

    def split_rows(self) -> Parts:
        """All rows of the step in bytes."""
        t, rows, span, matrices = self.t, self.p.high, self.span, [s.coded for s in (self, *self.inner)]
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
            t.store(parts.starts, [row + number * self.p.high, block], less)

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
                t.store(parts.bytes, [row + number * self.p.high, j], byte)
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
        power = t.apply("arith.maxsi", power, self.integer(self.top + 1 << _FRACTION))
        step = t.apply("arith.subi", power, self.integer(self.top << _FRACTION))
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

    def whole(self, m: Index) -> Tile:
        """The products of all k in a few rows."""
        return self.side_by_side([self], m)[0]

    def side_by_side(self, steps: Sequence["SplitStep"], m: Index) -> list[Tile]:
        """The products of all k in a few rows, of several panels."""
        t, depth, group = self.t, self.form.depth, self.coded.group

        def blocks(k: Index, *sums: Tile) -> list[Tile]:
            end = k + self.span if self.coded.depth % self.span == 0 else (k + self.span).min(depth)
            parts = self.of_spans(steps, m, k, end)
            if not group:
                return [t.apply("arith.addf", *both) for both in zip(sums, parts, strict=True)]
            each = zip(steps, sums, parts, strict=True)
            return [step.put_in(m, total, part, k) for step, total, part in each]

        found = t.loop(depth, self.span, blocks, [step.start(m) for step in steps])
        if group:
            return list(found)
        return [
            step.put_in(m, step.start(m), part, index(0)) for step, part in zip(steps, found, strict=True)
        ]

    def of_spans(self, steps: Sequence["SplitStep"], m: Index, k: Index, end: Index) -> list[Tile]:
        """The products with the numbers of codes as they are, of k that share an exponent."""
        t, c, rows, parts = self.t, self.coded, self.p.rows, self.parts
        assert parts is not None
        first, block = m - self.m, k // self.span

        def strings(at: Index, *sums: Tile) -> list[Tile]:
            words, found = self.words_of(steps, at), list(sums)
            for j in range(0, c.run, _LANE):
                sizes = [rows, _LANE]
                places = [[first + number * self.p.high, at + j] for number in range(BYTES)]
                lefts = [t.load(parts.bytes, place, sizes, held=True) for place in places]
                for panel, own in enumerate(words):
                    codes = t.split(c.in_bytes(t, own, j), "ui8")
                    for number, left in enumerate(lefts, BYTES * panel):
                        found[number] = t.dot(found[number], left, codes)
            return found

        starts = [t.full(0, (rows, c.width), "i32") for _ in range(BYTES)]
        if parts.starts is not None:
            held = [t.load(parts.starts, [first + n * self.p.high, block], [rows, 1]) for n in range(BYTES)]
            starts = [t.apply("arith.addi", *both) for both in zip(starts, held, strict=True)]
        return self.joined(t.loop(end, c.run, strings, starts * len(steps), lower=k), first, block)

    def words_of(self, steps: Sequence["SplitStep"], k: Index) -> list[list[Tile]]:
        """The words of strings that start at k, of each panel; those ahead are asked for."""
        for step in steps:
            step.coded.prefetch(self.t, step.panel, k, self.p.ahead_bytes)
        return [step.coded.words(self.t, step.panel, k) for step in steps]

    def joined(self, sums: Sequence[Tile], row: Index, block: Index) -> list[Tile]:
        """What sums of the three bytes of rows stand for, from `row` on in the step."""
        t, parts, found = self.t, self.parts, []
        assert parts is not None
        byte = t.full(256.0, (1, 1), "f32")
        step = t.load(parts.steps, [row, block], [sums[0].shape[0], 1])
        for i in range(0, len(sums), BYTES):
            low, middle, high = (t.apply("arith.sitofp", part, dtype="f32") for part in sums[i : i + BYTES])
            whole = t.apply("math.fma", t.apply("math.fma", high, byte, middle), byte, low)
            found.append(t.apply("arith.mulf", whole, step))
        return found

    def row_total(self, m: Index, k: Index) -> Tile:
        """The sum of a group of columns of a from k on, [rows, 1]."""
        assert self.parts is not None and self.parts.totals is not None
        t, rows, totals = self.t, self.p.rows, self.parts.totals
        if self.coded.group:
            return t.load(totals, [m - self.m, k // self.span], [rows, 1])
        blocks = totals.shape[1] or 1
        return t.reduce("arith.addf", t.load(totals, [m - self.m, index(0)], [rows, blocks]), 1)
