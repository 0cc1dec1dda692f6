"""Matrix products of signed bytes with a coded matrix: integers of groups are summed exactly, then scaled.

Dot units sum bytes of activations times those of codes in 32 bits; a group's scale makes its sum real:

    sum of a[k] (q[k] - z) s  =  s (sum of a[k] (q[k] + c) - (z + c) sum of a[k])

with c so that q + c are unsigned bytes, as vectors multiply them. For tile registers a part of a panel is
laid down as bytes q - z, while all rows of the step pass by.
"""

from drystone.codegen.families.decoding import in_all_bytes
from drystone.codegen.families.matmul_form import places
from drystone.codegen.families.matmul_panels import Meanwhile, Step
from drystone.codegen.tile import Index, Tensor, Tile, index

#: k that a lane sums at once, lanes of a register, and bytes of codes that are asked for ahead.
_LANE, _LANES, _AHEAD = 4, 16, 4096


class BytesStep(Step):
    """Some rows of one panel of codes."""

    #: The part of the panel that is laid down, and the k that it starts at.
    bytes: tuple[Tensor, Index] | None = None
    #: Sums of four neighbouring k of every row [rows, k / 4], where something is taken from codes.
    fours: Tensor | None = None

    @property
    def taken(self) -> bool:
        """Whether something is taken from the unsigned bytes: a zero point, or what makes them unsigned."""
        return self.coded.zeros or self.coded.bias() != 0

    def in_panel(self) -> None:
        """All rows in one panel."""
        if not self.p.tiles and self.taken:
            self.fours = self.sums_of_fours()
            for step in self.inner:
                assert isinstance(step, BytesStep)
                step.fours = self.fours
        if self.inner or self.p.block:
            self.in_order()
        else:
            super().in_panel()

    def sums_of_fours(self) -> Tensor:
        """The sums of four neighbouring k of all rows: a dot unit adds them up as products with ones."""
        t, p, depth = self.t, self.p, self.coded.depth
        fours = t.scratch((p.rows, depth // _LANE), "i32")
        ones, zeros = t.full(1, (1, _LANE), "ui8"), t.full(0, (1, _LANES), "i32")

        def some(k: Index) -> None:
            for row in range(p.rows):
                total = t.dot(zeros, ones, self.rows_of_a(self.m + row, k, 1, _LANES * _LANE))
                t.store(fours, [row, k // _LANE], total)

        t.loop(depth, _LANES * _LANE, some)
        return fours

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
            c.prefetch(t, self.panel, at, _AHEAD)
            for j in range(0, c.run, _LANE):
                own = t.split(c.in_bytes(t, words, j), "ui8")
                total = t.dot(total, self.rows_of_a(m, at + j, rows, _LANE), own)
            return total

        zeros = t.full(0, (rows, c.width), "i32")
        (total,) = t.loop(k + size, c.run, strings, [zeros], lower=k)
        real = t.apply("arith.sitofp", total, dtype="f32")
        made = c.factors(t, self.panel, k)
        if self.fours is not None:
            of_a = t.load(self.fours, [m - self.m, k // _LANE], [rows, size // _LANE])
            of_a = t.apply("arith.sitofp", t.reduce("arith.addi", of_a, 1), dtype="f32")
            less = t.full(c.bias(), (1, 1), "f32")
            less = less if made.zero is None else t.apply("arith.addf", made.zero, less)
            real = t.apply("arith.subf", real, t.apply("arith.mulf", of_a, less))
        return t.apply("arith.addf", sums, real if made.scale is None else self.scaled(real, made.scale))

    def scaled(self, real: Tile, scale: Tile) -> Tile:
        """Sums times the scales of their outputs."""
        return self.t.apply("arith.mulf", real, scale)

    def prepare(self, first: Index, end: Index) -> None:
        """Lay the part of the panel down that the rows pass by, as bytes that lie as the unit takes them."""
        t, p, c = self.t, self.p, self.coded
        size = p.block or 0
        kept = t.scratch((size * c.width,), "i8")
        words_of = kept.part(0, (size // _LANE, c.width), "i32")
        span = c.group or size

        def group(k: Index) -> None:
            zero = self.zeros_in_bytes(k)

            def strings(at: Index) -> None:
                words = c.words(t, self.panel, at)
                for j in range(0, c.run, _LANE):
                    word = c.in_bytes(t, words, j, signed=True)
                    if zero is not None:  # byte by byte, which the highest bit keeps apart
                        high = in_all_bytes(t, 128)
                        word = t.apply("arith.subi", t.apply("arith.ori", word, high), zero)
                        word = t.apply("arith.xori", word, high)
                    t.store(words_of, [(at - first + j) // _LANE, 0], word)

            t.loop((k + span).min(end), c.run, strings, lower=k)

        t.loop(end, span, group, lower=first)
        self.bytes = kept.part(0, (size // _LANE, c.width * _LANE), "i8"), first

    def zeros_in_bytes(self, k: Index) -> Tile | None:
        """What is taken from the signed bytes of codes, four times in a word; None where that is nothing."""
        t, c = self.t, self.coded
        zero, bias = c.factors(t, self.panel, k).zero, c.bias(signed=True)
        if zero is None:
            return in_all_bytes(t, bias) if bias else None
        less = t.apply("arith.fptosi", t.apply("arith.addf", zero, t.full(bias, (1, 1), "f32")), dtype="i32")
        return t.apply("arith.muli", less, in_all_bytes(t, 1))

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
        span = c.group or self.p.block or 0

        def group(k: Index) -> None:
            def products(at: Index, total: Tile) -> Tile:
                if meanwhile is not None:
                    meanwhile(at)
                left = self.rows_of_a(m, at, rows, depth)
                return t.dot(total, left, self.right(at, depth), tiles=True)

            zeros = t.full(0, (rows, width), "i32")
            (total,) = t.loop((k + span).min(k1), depth, products, [zeros], lower=k)
            t.store(whole, [0, 0], total)
            scale = c.factors(t, self.panel, k).scale

            def row(i: Index) -> None:
                some = t.apply("arith.sitofp", t.load(whole, [i, 0], [1, width]), dtype="f32")
                some = some if scale is None else self.scaled(some, scale)
                t.store(real, [i, 0], t.apply("arith.addf", t.load(real, [i, 0], [1, width]), some))

            t.loop(rows, 1, row)

        t.loop(k1, span, group, lower=k0)
        return t.load(real, [0, 0], [rows, width])
