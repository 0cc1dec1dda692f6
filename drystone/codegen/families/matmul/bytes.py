"""Matrix products of signed bytes with a coded matrix: integers of groups are summed exactly, then scaled.

Dot units sum bytes of activations times those of codes in 32 bits; a group's scale makes its sum real:

    sum of a[k] (q[k] - z) s  =  s (sum of a[k] (q[k] + c) - (z + c) sum of a[k])

with c so that q + c are unsigned bytes, as vectors multiply them. For tile registers a part of a panel is
laid down as bytes q - z, while all rows of the step pass by; zero points that leave no bytes, and minima, are
taken from sums there too. The sums of a are found once for the panels of a step.
"""

from dataclasses import replace
from math import gcd

from drystone.codegen.families.codes.scales import Factors
from drystone.codegen.families.matmul.form import places
from drystone.codegen.families.matmul.panels import Meanwhile, Step
from drystone.codegen.families.tiling import chunk_end
from drystone.codegen.tile import Index, Tensor, Tile, index

#: k that a lane sums at once, and lanes of a register.
_LANE, _LANES = 4, 16


class BytesStep(Step):
    """Some rows of one panel of codes."""

    #: The part of the panel that is laid down, and the k that it starts at.
    bytes: tuple[Tensor, Index] | None = None
    #: Sums of the rows over the k that are summed together, with the other sign, f32 [high, k / span], where
    #: they are needed.
    totals: Tensor | None = None

    @property
    def span(self) -> int:
        """Neighbouring k whose products are summed as integers."""
        return self.coded.group or (self.p.block if self.p.tiles else None) or self.coded.depth

    @property
    def needs_totals(self) -> bool:
        """Whether something is taken from sums: minima and zero points, or what makes bytes unsigned; bytes
        that are laid down are without it where it is a byte."""
        if self.p.tiles:
            return self.coded.lowered
        return self.coded.zeros or self.coded.bias() != 0

    def run(self) -> None:
        """Do it, in one panel after the other, with rows that are summed once."""
        found: dict[int, Tensor] = {}
        for step in (self, *self.inner):
            assert isinstance(step, BytesStep)
            if step.needs_totals:
                if step.span not in found:
                    found[step.span] = step.row_totals()
                step.totals = found[step.span]
        super().run()

    def at_column(self, n: Index) -> Step:
        """The step elsewhere in its rows."""
        other = super().at_column(n)
        for own, step in zip((self, *self.inner), (other, *other.inner), strict=True):
            assert isinstance(own, BytesStep) and isinstance(step, BytesStep)
            step.totals = own.totals
        return other

    def in_panel(self) -> None:
        """All rows in one panel."""
        if self.inner or self.p.block:
            self.in_order()
        else:
            super().in_panel()

    def row_totals(self) -> Tensor:
        """The sums of all rows over each span, with the other sign: a dot unit adds four k up as a product
        with ones."""
        t, span, depth = self.t, self.span, self.coded.depth
        totals = t.scratch((self.p.high, -(-depth // span)), "f32")
        fours = t.scratch((-(-depth // _LANE),), "i32")
        ones, zeros = t.full(1, (1, _LANE), "ui8"), t.full(0, (1, _LANES), "i32")
        some = gcd(span // _LANE, _LANES)

        def row(i: Index) -> None:
            def four(k: Index) -> None:
                total = t.dot(zeros, ones, self.rows_of_a(self.m + i, k, 1, _LANES * _LANE))
                t.store(fours, [k // _LANE], t.reshape(total, [_LANES]))

            def group(k: Index) -> None:
                def add(at: Index, total: Tile) -> Tile:
                    return t.apply("arith.addi", total, t.load(fours, [at // _LANE], [some]))

                end = chunk_end(k, span, index(depth))
                (total,) = t.loop(end, some * _LANE, add, [t.full(0, (some,), "i32")], lower=k)
                total = t.apply("arith.sitofp", t.reduce("arith.addi", total, 0), dtype="f32")
                less = t.apply("arith.negf", total)
                t.store(totals, [i, k // span], t.reshape(less, [1, 1]))

            t.loop(depth, _LANES * _LANE, four)
            t.loop(depth, span, group)

        t.loop(self.end(), 1, row)
        return totals

    def rows_of_a(self, m: Index, k: Index, rows: int, depth: int) -> Tile:
        """Rows m.. of a, as they are held."""
        at = [*places(self.form, self.form.a, self.batch), m, k]
        return self.t.load(self.form.a, at, [*([None] * self.form.batch), rows, depth], held=True)

    def whole(self, m: Index) -> Tile:
        """The products of all k in a few rows."""
        c = self.coded
        if not c.group:
            return self.of_group(m, self.start(m), index(0))
        return self.t.loop(c.depth, c.group, lambda k, sums: self.of_group(m, sums, k), [self.start(m)])[0]

    def of_group(self, m: Index, sums: Tile, k: Index) -> Tile:
        """sums and the products of the group from k on."""
        t, c, rows = self.t, self.coded, self.p.rows
        size = c.group or c.depth

        def strings(at: Index, total: Tile) -> Tile:
            words = c.words(t, self.panel, at)
            c.prefetch(t, self.panel, at, self.p.ahead_bytes)
            for j in range(0, c.run, _LANE):
                own = t.split(c.in_bytes(t, words, j), "ui8")
                total = t.dot(total, self.rows_of_a(m, at + j, rows, _LANE), own)
            return total

        zeros = t.full(0, (rows, c.width), "i32")
        (total,) = t.loop(k + size, c.run, strings, [zeros], lower=k)
        made, bias = c.factors(t, self.panel, k), c.bias()
        if bias:
            more = t.full(bias, (1, 1), "f32")
            zero = more if made.zero is None else t.apply("arith.addf", made.zero, more)
            made = replace(made, zero=zero)
        return self.put_in(made, m - self.m, k, rows, sums, total)

    def put_in(self, made: Factors, row: Index, k: Index, rows: int, sums: Tile, total: Tile) -> Tile:
        """sums and the integer sums of the k from k on that share these factors, of some rows of the step:
        (total - zero a) scale - minimum a, with a the sum of the row."""
        t = self.t
        real = t.apply("arith.sitofp", total, dtype="f32")
        less = None if self.totals is None else t.load(self.totals, [row, k // self.span], [rows, 1])
        if made.zero is not None and less is not None:
            real = t.apply("math.fma", less, made.zero, real)
        if made.scale is None:
            sums = t.apply("arith.addf", sums, real)
        else:
            sums = t.apply("math.fma", real, made.scale, sums)
        if made.minimum is not None and less is not None:
            sums = t.apply("math.fma", less, made.minimum, sums)
        return sums

    def prepare(self, first: Index, end: Index) -> None:
        """Lay the part of the panel down that the rows pass by, as bytes that lie as the unit takes them."""
        t, p, c = self.t, self.p, self.coded
        size = p.block or 0
        kept = t.scratch((size * c.width,), "i8")
        words_of = kept.part(0, (size // _LANE, c.width), "i32")
        span = c.group or size

        def group(k: Index) -> None:
            zero = c.byte_zeros(t, self.panel, k)

            def strings(at: Index) -> None:
                words = c.words(t, self.panel, at)
                for j in range(0, c.run, _LANE):
                    word = c.signed_bytes(t, words, j, zero)
                    t.store(words_of, [(at - first + j) // _LANE, 0], word)

            t.loop((k + span).min(end), c.run, strings, lower=k)

        t.loop(end, span, group, lower=first)
        self.bytes = kept.part(0, (size // _LANE, c.width * _LANE), "i8"), first

    def right(self, k: Index, depth: int) -> Tile:
        """`depth` rows of what is laid down, from k."""
        assert self.bytes is not None
        kept, first = self.bytes
        at = [(k - first) // _LANE, index(0)]
        return self.t.load(kept, at, [depth // _LANE, self.p.width * _LANE], held=True)

    def sums(
        self, m: Index, acc: Tile, k0: Index, k1: Index, depth: int, meanwhile: Meanwhile | None = None
    ) -> Tile:
        """acc and the products of k0 .. k1, in groups that are summed in tile registers each."""
        t, c, rows, width = self.t, self.coded, self.p.rows, self.p.width
        real, whole = t.scratch((rows, width), "f32"), t.scratch((rows, width), "i32")
        t.store(real, [0, 0], acc)
        span = self.span

        def group(k: Index) -> None:
            def products(at: Index, total: Tile) -> Tile:
                if meanwhile is not None:
                    meanwhile(at)
                left = self.rows_of_a(m, at, rows, depth)
                return t.dot(total, left, self.right(at, depth), tiles=True)

            zeros = t.full(0, (rows, width), "i32")
            (total,) = t.loop((k + span).min(k1), depth, products, [zeros], lower=k)
            t.store(whole, [0, 0], total)
            made = c.factors(t, self.panel, k)
            made = replace(made, zero=None) if c.zeros_in_bytes else made

            def row(i: Index) -> None:
                own, some = t.load(real, [i, 0], [1, width]), t.load(whole, [i, 0], [1, width])
                t.store(real, [i, 0], self.put_in(made, m - self.m + i, k, 1, own, some))

            t.loop(rows, 1, row)

        t.loop(k1, span, group, lower=k0)
        return t.load(real, [0, 0], [rows, width])
