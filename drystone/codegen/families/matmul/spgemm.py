"""Products of two sparse matrices, row by row (Gustavson 1978): row i of the product is the sum of those rows
of b that row i of a lists, each times a number.

They are added up in a row that has a place for every column, where bits that no sum has mark what nothing
was added to; hash tables (SMASH) take less memory, but every element is looked for. Columns of a row of b
differ, so that several are added at once. For that row to stay in the second cache b is cut into strips of
columns, of which each is a product by itself. One kernel counts the elements of every row in every strip, so
that another one writes each to its place. What was added to is found by looking through the row, or through
marks of parts of it, and so in order; of few elements the columns are listed as they come, and each goes to
the place that the number of smaller ones is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drystone.codegen.tile import Index, Scalar, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.targets.target import Target

#: Columns of a strip: of f64 a row of sums takes an eighth of a second cache of 2 MB.
STRIP = 1 << 15
#: Rows of a step, which begins with a cleared row of sums; columns that share a mark where elements are few.
_ROWS, _SHARED = 128, 32
#: Columns for each element of a row, from which on there are few; elements up to which they are listed.
_FEW, _LISTED = 8, 128
#: Signalling NaNs, which no operation gives: what marks that nothing was added.
_EMPTY = {"f32": 0x7FA5A5A5, "f64": 0x7FF5A5A5A5A5A5A5}
#: Integers as long.
_BITS = {"f32": "i32", "f64": "i64"}
#: Starts and columns of a, and of b.
_LISTS = tuple(Tensor(name, "i32", (None,)) for name in ("a", "ai", "b", "bi"))


def counting(target: Target) -> TileProgram:
    """The kernel of how many elements each row of the product has in each strip.

    Takes starts [m + 1] and columns of a, starts [strips * k + 1] and columns, counted from their strip's
    first, of b, and gives counts [m, strips]; all i32.
    """
    counts = Tensor("counts", "i32", (None, None))

    def body(t: TileBuilder) -> None:
        n = target.lanes(32)

        def step(s: Index, r: Index) -> None:
            made = _Step(t, n, counts, s)
            marks = t.scratch((STRIP,), "i32")
            t.loop(STRIP, n, lambda c: t.store(marks, [c], t.full(-1, (n,), "i32")))

            def row(i: Index) -> None:
                own = t.full(i, (1, 1), "i32")

                def add(columns: Tile, inside: Tile, _: Index, __: Index, total: Tile) -> Tile:
                    other = t.apply(
                        "arith.cmpi", t.gather(marks, [columns], inside=True), own, predicate="ne", dtype="i1"
                    )
                    new = t.apply("arith.andi", other, inside)
                    t.scatter(marks, [columns], t.full(i, (1, n), "i32"), inside)
                    return t.apply("arith.addi", total, t.apply("arith.extui", new, dtype="i32"))

                (total,) = made.products(i, add, [t.full(0, (1, n), "i32")])
                t.store(counts, [i, s], t.reduce("arith.addi", total, 1))

            t.loop((r + _ROWS).min(counts.dim(0)), 1, row, lower=r)

        t.grid([(counts.dim(1), 1), (counts.dim(0), _ROWS)], step)

    return tile_program("spgemm_count", [*_LISTS, counts], body)


def multiplying(element: str, target: Target) -> TileProgram:
    """The kernel that writes the elements of the product, in an element of floats.

    Takes the lists of `counting` and its counts; where each row has its elements of each strip, [m, strips],
    i64; the numbers of a and b; gives columns, i32, and numbers of the product, and how many of these are 0
    in each row and strip that has elements, [m, strips] i32. Scalar: columns of b.
    """
    counts, first = Tensor("counts", "i32", (None, None)), Tensor("first", "i64", (None, None))
    numbers = Tensor("an", element, (None,)), Tensor("bn", element, (None,))
    columns, values = Tensor("columns", "i32", (None,)), Tensor("values", element, (None,))
    zeros = Tensor("zeros", "i32", (None, None))

    def body(t: TileBuilder) -> None:
        def step(s: Index, r: Index) -> None:
            made = _Step(t, target.lanes(32), counts, s)
            _Rows(made, element, first, numbers, (columns, values), zeros).run(r)

        t.grid([(counts.dim(1), 1), (counts.dim(0), _ROWS)], step)

    tensors = [*_LISTS, counts, first, *numbers, columns, values, zeros]
    return tile_program("spgemm", tensors, body, [Scalar("n0", "i64")])


@dataclass(frozen=True)
class _Step:
    """Some rows of the product, in strip s."""

    t: TileBuilder
    lanes: int
    counts: Tensor
    s: Index

    def bounds(self, starts: Tensor, row: Index) -> tuple[Index, Index]:
        """Where the list of a row begins, and where it ends."""
        first, end = (self.t.element(self.t.load(starts, [row + d], [None])) for d in (0, 1))
        return first, end

    def products(
        self, i: Index, add: Callable[..., Sequence[Tile] | Tile], carry: list[Tile]
    ) -> tuple[Tile, ...]:
        """add(columns, which of them are inside, place in a's list, place in b's, *carried) for all elements
        of the rows of b that row i of a lists."""
        t, n = self.t, self.lanes
        a, ai, b, bi = _LISTS
        rows = (b.dim(0) - 1) // self.counts.dim(1)

        def one(p: Index, *carried: Tile) -> tuple[Tile, ...]:
            first, end = self.bounds(b, self.s * rows + t.element(t.load(ai, [p], [None])))

            def some(j: Index, *carried: Tile) -> Sequence[Tile] | Tile:
                inside = t.apply(
                    "arith.cmpi",
                    t.iota(j, (1, n), 1, "i32"),
                    t.full(end, (1, 1), "i32"),
                    predicate="slt",
                    dtype="i1",
                )
                columns = t.reshape(t.load(bi, [j], [n]), (1, n))
                columns = t.apply("arith.select", inside, columns, t.full(0, (1, 1), "i32"), dtype="i32")
                return add(columns, inside, p, j, *carried)

            return t.loop(end, n, some, carried, lower=first)

        first, end = self.bounds(a, i)
        return t.loop(end, 1, one, carry, lower=first)


@dataclass(frozen=True)
class _Rows:
    """The rows of a step of `multiplying`."""

    step: _Step
    element: str
    first: Tensor
    numbers: tuple[Tensor, Tensor]
    out: tuple[Tensor, Tensor]
    zeros: Tensor

    def run(self, r: Index) -> None:
        """Write all rows from r on."""
        t, n, counts, s = self.step.t, self.step.lanes, self.step.counts, self.step.s
        sums = t.scratch((STRIP,), _BITS[self.element])
        marks, listed = (t.scratch((STRIP // _SHARED,), "i32") for _ in range(2))
        columns = (Index("scalar", ("n0",)) - s * STRIP).min(STRIP)
        read = columns.ceildiv(_SHARED) * _SHARED
        t.loop(read, n, lambda c: t.store(sums, [c], self.empty((n,))))
        t.loop(STRIP // _SHARED, n, lambda c: t.store(marks, [c], t.full(-1, (n,), "i32")))

        def marked(i: Index, g: Index, at: Tile) -> Tile:
            own = t.full(i, (1, 1), "i32")
            here = t.reshape(t.load(marks, [g], [n]), (1, n))
            here = t.apply("arith.cmpi", here, own, predicate="eq", dtype="i1")
            t.compress(listed, t.element(at), t.iota(g, (1, n), 1, "i32"), here)
            return self.counted(at, here)

        def row(i: Index) -> None:
            count = t.element(t.load(counts, [i, s], [None, None]))

            def some(c: Index, *done: Tile) -> tuple[Tile, ...]:
                return self.written(i, sums, c, *done)

            def shared(number: Index, *done: Tile) -> tuple[Tile, ...]:
                first = t.element(t.load(listed, [number], [None])) * _SHARED
                return t.loop(first + _SHARED, n, some, done, lower=first)

            def many() -> None:
                self.add(i, sums)
                self.end(i, t.loop(columns, n, some, self.none))

            def few() -> None:
                self.add(i, sums, marks=marks)
                groups, begun = columns.ceildiv(_SHARED), self.none[:1]
                (found,) = t.loop(groups, n, lambda g, at: marked(i, g, at), begun)
                self.end(i, t.loop(t.element(found), 1, shared, self.none))

            def fewest() -> None:
                self.add(i, sums, listed=listed)
                self.end(i, self.sorted(i, sums, listed, count))

            def some_few() -> None:
                t.when(count, _LISTED, fewest)
                t.when(_LISTED - 1, count, few)

            t.when(columns - 1, count * _FEW, many)
            t.when(0, count, lambda: t.when(count * _FEW, columns, some_few))

        t.loop((r + _ROWS).min(counts.dim(0)), 1, row, lower=r)

    @property
    def none(self) -> list[Tile]:
        """How many elements have been written before the first, and how many of them are 0."""
        return [self.step.t.full(0, (1, 1), "i32")] * 2

    def end(self, i: Index, done: Sequence[Tile]) -> None:
        """Say how many elements of a row are 0."""
        self.step.t.store(self.zeros, [i, self.step.s], done[1])

    def empty(self, shape: tuple[int, ...]) -> Tile:
        """What nothing was added to."""
        return self.step.t.full(_EMPTY[self.element], shape, _BITS[self.element])

    def add(
        self, i: Index, sums: Tensor, *, marks: Tensor | None = None, listed: Tensor | None = None
    ) -> None:
        """Add up row i of the product, and mark where there is something, or list its columns."""
        t, n, (an, bn) = self.step.t, self.step.lanes, self.numbers

        def one(columns: Tile, inside: Tile, p: Index, j: Index, *at: Tile) -> Sequence[Tile]:
            bits = t.gather(sums, [columns], inside=True)
            nothing = t.apply("arith.cmpi", bits, self.empty((1, 1)), predicate="eq", dtype="i1")
            before = t.apply("arith.bitcast", bits, dtype=self.element)
            zero = t.full(0, (1, 1), self.element)
            before = t.apply("arith.select", nothing, zero, before, dtype=self.element)
            factor = t.reshape(t.load(an, [p], [None]), (1, 1))
            numbers = t.reshape(t.load(bn, [j], [n]), (1, n))
            after = t.apply("math.fma", factor, numbers, before)
            t.scatter(sums, [columns], t.apply("arith.bitcast", after, dtype=_BITS[self.element]), inside)
            if marks is not None:
                shift = (_SHARED - 1).bit_length()
                groups = t.apply("arith.shrui", columns, t.full(shift, (1, 1), "i32"))
                t.scatter(marks, [groups], t.full(i, (1, n), "i32"), inside)
            if listed is None:
                return ()
            new = t.apply("arith.andi", nothing, inside)
            t.compress(listed, t.element(at[0]), columns, new)
            return (self.counted(at[0], new),)

        self.step.products(i, one, [] if listed is None else self.none[:1])

    def sorted(self, i: Index, sums: Tensor, listed: Tensor, count: Index) -> Sequence[Tile]:
        """Write so many elements of row i, whose columns are listed, in the order of these, and clear the
        row; how many have been written, and how many of them are 0."""
        t, n, s, (columns, values) = self.step.t, self.step.lanes, self.step.s, self.out
        start = t.element(t.load(self.first, [i, s], [None, None]))

        def some(c: Index, _: Tile, zeros: Tile) -> tuple[Tile, Tile]:
            own = t.reshape(t.load(listed, [c], [n]), (1, n))

            def passed(j: Index, rank: Tile) -> Tile:
                other = t.reshape(t.load(listed, [j], [None]), (1, 1))
                less = t.apply("arith.cmpi", other, own, predicate="slt", dtype="i1")
                return t.apply("arith.addi", rank, t.apply("arith.extui", less, dtype="i32"))

            (rank,) = t.loop(count, 1, passed, [t.full(start, (1, n), "i32")])
            last = t.full(count, (1, 1), "i32")
            inside = t.apply("arith.cmpi", t.iota(c, (1, n), 1, "i32"), last, predicate="slt", dtype="i1")
            own = t.apply("arith.select", inside, own, t.full(0, (1, 1), "i32"), dtype="i32")
            bits = t.gather(sums, [own], inside=True)
            first = t.full(s * STRIP, (1, 1), "i32")
            t.scatter(columns, [rank], t.apply("arith.addi", own, first), inside)
            numbers, zero = (
                t.apply("arith.bitcast", bits, dtype=self.element),
                t.full(0, (1, 1), self.element),
            )
            t.scatter(values, [rank], numbers, inside)
            t.scatter(sums, [own], self.empty((1, n)), inside)
            nothing = t.apply("arith.cmpf", numbers, zero, predicate="oeq", dtype="i1")
            return last, self.counted(zeros, t.apply("arith.andi", nothing, inside))

        return t.loop(count, n, some, self.none)

    def written(self, i: Index, sums: Tensor, c: Index, at: Tile, zeros: Tile) -> tuple[Tile, Tile]:
        """Write what was added up of some columns from c on, and clear it; how many elements have been
        written, and how many of them are 0."""
        t, n, s, (columns, values) = self.step.t, self.step.lanes, self.step.s, self.out
        bits = t.reshape(t.load(sums, [c], [n]), (1, n))
        there = t.apply("arith.cmpi", bits, self.empty((1, 1)), predicate="ne", dtype="i1")
        place = t.element(t.load(self.first, [i, s], [None, None])) + t.element(at)
        t.compress(columns, place, t.iota(s * STRIP + c, (1, n), 1, "i32"), there)
        numbers, zero = t.apply("arith.bitcast", bits, dtype=self.element), t.full(0, (1, 1), self.element)
        t.compress(values, place, numbers, there)
        t.store(sums, [c], self.empty((n,)))
        nothing = t.apply("arith.cmpf", numbers, zero, predicate="oeq", dtype="i1")
        return self.counted(at, there), self.counted(zeros, nothing)

    def counted(self, total: Tile, which: Tile) -> Tile:
        """A number and how many of these are true."""
        t = self.step.t
        count = t.reduce("arith.addi", t.apply("arith.extui", which, dtype="i32"), 1)
        return t.apply("arith.addi", total, count)
