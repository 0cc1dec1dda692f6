"""Products of two sparse matrices, row by row (Gustavson 1978): row i of the product is the sum of those rows
of b that row i of a lists, each times a number.

They are added up in a row that has a place for every column, where bits that no sum has mark what nothing
was added to; hash tables (SMASH) take less memory, but every element is looked for, and what
they hold must be sorted. Columns of a row of b differ, so that several are added at once. For that row to
stay in the second cache b is cut into strips of columns, of which each is a product by itself. One kernel
counts the elements of every row in every strip, so that another one writes each to its place; columns are in
order by that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drystone.codegen.tile import Index, Scalar, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.targets.target import CpuTarget

#: Columns of a strip: of f64 a row of sums takes an eighth of a second cache of 2 MB.
STRIP = 1 << 15
#: Rows of a step, which begins with a cleared row of sums; columns that share a mark where elements are few.
_ROWS, _SHARED = 64, 32
#: Columns for each element of a row, from which on there are few.
_FEW = 8
#: Signalling NaNs, which no operation gives: what marks that nothing was added.
_EMPTY = {"f32": 0x7FA5A5A5, "f64": 0x7FF5A5A5A5A5A5A5}
#: Integers as long.
_BITS = {"f32": "i32", "f64": "i64"}
#: Starts and columns of a, and of b.
_LISTS = tuple(Tensor(name, "i32", (None,)) for name in ("a", "ai", "b", "bi"))


def counting(target: CpuTarget) -> TileProgram:
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


def multiplying(element: str, target: CpuTarget) -> TileProgram:
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

    def products(self, i: Index, add: Callable[..., Tile | None], carry: list[Tile]) -> tuple[Tile, ...]:
        """add(columns, which of them are inside, place in a's list, place in b's, *carried) for all elements
        of the rows of b that row i of a lists."""
        t, n = self.t, self.lanes
        a, ai, b, bi = _LISTS
        rows = (b.dim(0) - 1) // self.counts.dim(1)

        def one(p: Index, *carried: Tile) -> tuple[Tile, ...]:
            first, end = self.bounds(b, self.s * rows + t.element(t.load(ai, [p], [None])))

            def some(j: Index, *carried: Tile) -> Tile | None:
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
                self.add(i, sums, None)
                self.end(i, t.loop(columns, n, some, self.none))

            def few() -> None:
                self.add(i, sums, marks)
                groups, begun = columns.ceildiv(_SHARED), self.none[:1]
                (found,) = t.loop(groups, n, lambda g, at: marked(i, g, at), begun)
                self.end(i, t.loop(t.element(found), 1, shared, self.none))

            t.when(columns - 1, count * _FEW, many)
            t.when(0, count, lambda: t.when(count * _FEW, columns, few))

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

    def add(self, i: Index, sums: Tensor, marks: Tensor | None) -> None:
        """Add up row i of the product, and mark where there is something."""
        t, n, (an, bn) = self.step.t, self.step.lanes, self.numbers

        def one(columns: Tile, inside: Tile, p: Index, j: Index) -> None:
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

        self.step.products(i, one, [])

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
