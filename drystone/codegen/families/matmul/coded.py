"""Matrix products whose right operand is decoded: a step of the grid with codes in the place of numbers.

For few rows, which are bound by the reading of b, codes are decoded in registers (of short integers see
`split`); what all numbers of a group are multiplied with, or less by, is put in once for its sums:

    sum of a[k] (q[k] - z) s  =  s (sum of a[k] q[k] - z sum of a[k])

For more rows a part of a panel is decoded into memory that stays in the cache while the rows pass by.
"""

from collections.abc import Sequence
from math import gcd

from drystone.codegen.families.codes.decoding import CodedMatrix, lay_numbers
from drystone.codegen.families.dry_op import widened
from drystone.codegen.families.matmul.form import places
from drystone.codegen.families.matmul.panels import Step
from drystone.codegen.tile import Index, Tensor, Tile, index

#: Rows up to which factors are put in once for the sums of a group.
_FACTORED = 2
#: Sums that are formed side by side, so that no operation waits for the one before.
_CHAINS = 4
#: Columns of a that are summed at once, and k of a round that takes several groups.
_SUMMED, _UNROLLED = 128, 64


class CodedStep(Step):
    """Some rows of one panel of codes."""

    #: The part of the panel that is decoded, and the k that it starts at.
    decoded: tuple[Tensor, Index] | None = None
    #: The matrix as the rows of the panel read it.
    read: CodedMatrix | None = None

    @property
    def coded(self) -> CodedMatrix:
        """What b is decoded by."""
        return self.read or super().coded

    def in_panel(self) -> None:
        """All rows in one panel."""
        if self.inner or self.p.block:
            self.in_order()
        else:
            super().in_panel()

    def whole(self, m: Index) -> Tile:
        """The products of all k in a few rows."""
        self.read = super().coded.with_seconds(self.t, self.panel)
        sums, t, c = self.start(m), self.t, self.coded
        if not c.group:
            return self.of_group(m, sums, index(0), self.form.depth)
        span = max(c.group, c.run)
        # Neighbouring groups whose scales share bytes, so that it is known where in them.
        beside = c.sharing if c.depth % (span * c.sharing) == 0 and span * c.sharing <= _UNROLLED else 1

        def groups(k: Index, sums: Tile) -> Tile:
            for first in range(0, span * beside, span):
                end = k + (first + span)
                end = end if c.depth % span == 0 else end.min(self.form.depth)
                sums = self.of_group(m, sums, k + first, end)
            return sums

        return t.loop(self.form.depth, span * beside, groups, [sums])[0]

    def of_group(self, m: Index, sums: Tile, k: Index, end: Index) -> Tile:
        """sums and the products of the groups from k up to `end`: one, or those of a string of codes."""
        t, c = self.t, self.coded
        if self.p.rows > _FACTORED:
            return self.scaled_before(m, sums, k, end)
        if 0 < c.group < c.run:
            words = c.words(t, self.panel, k)
            for first in range(0, c.run, c.group):
                part = t.full(0, sums.shape, "f32")
                for j in range(first, first + c.group):
                    part = t.dot(part, self.column(m, k + j), c.number(t, words, j))
                sums = self.put_in(m, sums, part, k + first)
            return sums
        return self.put_in(m, sums, self.unscaled(m, k, end), k)

    def unscaled(self, m: Index, k: Index, end: Index) -> Tile:
        """The products with the numbers of codes as they are."""
        t, c = self.t, self.coded
        vectors = -(-c.width // 16) * self.p.rows
        chains = max(1, _CHAINS // vectors)
        while (c.group or c.run * chains) % (c.run * chains):
            chains //= 2
        zeros = [t.full(0, (self.p.rows, c.width), "f32") for _ in range(chains)]

        def strings(k: Index, *parts: Tile) -> list[Tile]:
            made = []
            for number, part in enumerate(parts):
                first = k + number * c.run
                words = c.words(t, self.panel, first)
                c.prefetch(t, self.panel, first, self.p.ahead_bytes)
                for j in range(c.run):
                    part = t.dot(part, self.column(m, first + j), c.number(t, words, j))
                made.append(part)
            return made

        first, *others = t.loop(end, c.run * chains, strings, zeros, lower=k)
        for other in others:
            first = t.apply("arith.addf", first, other)
        return first

    def put_in(self, m: Index, sums: Tile, part: Tile, k: Index) -> Tile:
        """sums and the unscaled products of a group, with its factors."""
        t, c = self.t, self.coded
        made = c.factors(t, self.panel, k)
        total = self.row_total(m, k) if c.zeros else None
        if made.zero is not None and total is not None:
            part = t.apply("arith.subf", part, t.apply("arith.mulf", total, made.zero))
        if made.scale is not None:
            part = t.apply("arith.mulf", part, made.scale)
        sums = t.apply("arith.addf", sums, part)
        if made.minimum is not None and total is not None:
            sums = t.apply("arith.subf", sums, t.apply("arith.mulf", total, made.minimum))
        return sums

    def row_total(self, m: Index, k: Index) -> Tile:
        """The sum of a group of columns of a from k on, [rows, 1]."""
        t, rows, size = self.t, self.p.rows, self.coded.group or self.coded.depth
        if size <= _SUMMED:
            return t.reduce("arith.addf", self.columns(m, k, size), 1)
        wide = gcd(size, _SUMMED) if self.coded.group else _SUMMED

        def add(at: Index, total: Tile) -> Tile:
            return t.apply("arith.addf", total, self.columns(m, at, wide))

        (total,) = t.loop(k + size, wide, add, [t.full(0, (rows, wide), "f32")], lower=k)
        return t.reduce("arith.addf", total, 1)

    def column(self, m: Index, k: Index) -> Tile:
        """One column of the rows m.. of a."""
        return self.columns(m, k, 1)

    def columns(self, m: Index, k: Index, count: int) -> Tile:
        """Some columns of the rows m.. of a; what lies beyond is zero."""
        at = [*places(self.form, self.form.a, self.batch), m, k]
        return widened(
            self.t, self.t.load(self.form.a, at, [*([None] * self.form.batch), self.p.rows, count])
        )

    def scaled_before(self, m: Index, sums: Tile, k: Index, end: Index) -> Tile:
        """sums and the products of the groups from k up to `end`, each number decoded before."""
        t, c = self.t, self.coded
        made = [c.factors(t, self.panel, k + first).with_shift(t) for first in self.groups_of_a_string()]

        def strings(at: Index, sums: Tile) -> Tile:
            words = c.words(t, self.panel, at)
            for j in range(c.run):
                number = made[j * len(made) // c.run].real(t, c.number(t, words, j))
                sums = t.dot(sums, self.column(m, at + j), number)
            return sums

        return t.loop(end, c.run, strings, [sums], lower=k)[0]

    def groups_of_a_string(self) -> range:
        """Where in a string of codes its groups start: one at its start, or several short ones."""
        c = self.coded
        return range(0, c.run, c.group if 0 < c.group < c.run else c.run)

    def prepare(self, first: Index, end: Index) -> None:
        """Decode the part of the panel that the rows pass by."""
        t, p, c = self.t, self.p, self.coded
        size = -(-max(p.block or 0, p.rest) // c.run) * c.run
        kept, row = self.memory(size, c.run, c.width)
        unit = gcd(size, c.group) if c.group else size
        unit = unit if unit % c.run == 0 else c.run

        def factors(k: Index) -> None:
            made = [c.factors(t, self.panel, k + j).with_shift(t) for j in self.groups_of_a_string()]

            def strings(at: Index) -> None:
                words = c.words(t, self.panel, at)
                numbers = [made[j * len(made) // c.run].real(t, c.number(t, words, j)) for j in range(c.run)]
                self.lay(kept, row, at - first, numbers)

            t.loop((k + unit).min(end), c.run, strings, lower=k)

        t.loop(end, unit, factors, lower=first)
        self.decoded = kept, first

    def memory(self, size: int, run: int, width: int) -> tuple[Tensor, Tensor | None]:
        """Memory for so many k of a panel as the rows read them, and for a run of numbers as they are
        decoded, where those are others."""
        t, group = self.t, self.form.group
        if group == 1:
            return t.scratch((size, width), "f32"), None
        return t.scratch((size // group, width * group), "bf16"), t.scratch((run, width), "f32")

    def lay(self, kept: Tensor, row: Tensor | None, at: Index, numbers: Sequence[Tile]) -> None:
        """Write the numbers of neighbouring k, from one that is the `at`-th of the part on, as the rows read
        them."""
        t, group = self.t, self.form.group

        def store(j: int, some: Tile) -> None:
            t.store(kept, [at + j if group == 1 else at // group + j // group, 0], some)

        lay_numbers(t, numbers, row, group, store)

    def right(self, k: Index, depth: int) -> Tile:
        """`depth` rows of what is decoded, from k."""
        assert self.decoded is not None
        kept, first = self.decoded
        group = self.form.group
        return self.t.load(kept, [(k - first) // group, 0], [depth // group, self.p.width * group])
