"""Products with a matrix whose elements are listed, output by output.

For many rows of a, lanes are rows: a strip of a's columns is turned, so that it stays in the first cache, and
every element that is listed adds a row of it, times a number, to the sums of its output. Strips make the
lists of one short enough for that (cache blocking: Nishtala et al. 2007, section 3). For few rows, lanes are
elements of a list, whose columns of a are gathered.
"""

from dataclasses import dataclass

from drystone.codegen.elements import width as bits_of
from drystone.codegen.families.dry_op import widened_to
from drystone.codegen.families.listed import ListedMatrix, added, steps_of_outputs
from drystone.codegen.families.matmul_form import MatMulForm, finish, places, program, promises
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram
from drystone.targets.target import CpuTarget

#: Registers of sums of one output. Rows up to which columns are gathered.
_VECTORS, _GATHERED = 8, 3


def listed_product(form: MatMulForm, target: CpuTarget) -> TileProgram:
    """The program of a product whose b is listed."""
    rank, rows, matrix = form.batch, form.out.shape[form.batch], form.sparse
    assert isinstance(matrix, ListedMatrix)
    lanes = target.lanes(bits_of(form.dtype))
    width = _VECTORS * lanes if rows is None else min(_VECTORS, -(-rows // lanes)) * lanes
    outputs = form.out.shape[rank + 1] or 1
    groups = None if rows is None or rows <= _GATHERED else -(-rows // width)
    high = -(-outputs // (steps_of_outputs(groups, target.threads) * lanes)) * lanes

    def body(t: TileBuilder) -> None:
        promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]

        def step(*at: Index) -> None:
            *batch, n, m = at
            made = _Step(form, t, matrix, lanes, width, high, tuple(batch), m, n)
            if rows is not None:
                made.gathered() if rows <= _GATHERED else made.turned()
                return
            count = form.out.dim(rank)
            t.when(_GATHERED, count, made.turned)
            t.when(count, _GATHERED + 1, made.gathered)

        t.grid([*axes, (form.out.dim(rank + 1), high), (form.out.dim(rank), width)], step)

    return program(form, body)


@dataclass(frozen=True)
class _Step:
    """Some outputs, from n on, of some rows, from m on."""

    form: MatMulForm
    t: TileBuilder
    matrix: ListedMatrix
    lanes: int
    width: int  #: rows
    high: int  #: outputs
    batch: tuple[Index, ...]
    m: Index
    n: Index

    @property
    def outputs(self) -> Index:
        """Outputs of this step."""
        return (self.form.out.dim(self.form.batch + 1) - self.n).min(self.high)

    @property
    def rows(self) -> Index:
        """Rows of this step."""
        return (self.form.out.dim(self.form.batch) - self.m).min(self.width)

    def turned(self) -> None:
        """Lanes are rows."""
        t, dtype, shape = self.t, self.form.dtype, (1, self.width)
        sums = t.scratch((self.high, self.width), dtype)
        strip = self.matrix.strip
        x = t.scratch((strip, self.width), dtype)
        t.loop(self.outputs, 1, lambda i: t.store(sums, [i, 0], t.full(0, shape, dtype)))

        def product(j: Index, acc: Tile) -> Tile:
            return t.dot(acc, self.number(j, 1), t.load(x, [self.matrix.column(t, j), 0], shape))

        def some(k: Index) -> None:
            self.turn(k, x)

            def output(i: Index) -> None:
                bounds = self.matrix.bounds(t, k // strip, self.n + i)
                acc = added(t, t.load(sums, [i, 0], shape), bounds, product, self.lanes)
                t.store(sums, [i, 0], acc)

            t.loop(self.outputs, 1, output)

        t.loop(self.form.depth, strip, some)
        self.finished(sums)

    def number(self, j: Index, count: int) -> Tile:
        """Numbers of a list, [1, count], in the element that is summed in."""
        return widened_to(self.t, self.matrix.numbers(self.t, j, count), self.form.dtype)

    def turn(self, k: Index, x: Tensor) -> None:
        """The columns of a from k on as rows of x."""
        t, n = self.t, self.lanes

        def block(i: Index, j: Index) -> None:
            sizes = [*([None] * self.form.batch), n, n]
            at = [*places(self.form, self.form.a, self.batch), self.m + j, k + i]
            tile = widened_to(t, t.load(self.form.a, at, sizes), self.form.dtype)
            t.store(x, [i, j], t.transpose(tile))

        t.loop(x.dim(0), n, lambda i: t.loop(self.rows, n, lambda j: block(i, j)) and None)

    def finished(self, sums: Tensor) -> None:
        """The epilogue of all sums, which lie output by output."""
        t, n = self.t, self.lanes

        def block(i: Index, j: Index) -> None:
            tile = t.transpose(t.load(sums, [i, j], [n, n]))
            finish(self.form, t, tile, [*self.batch, self.m + j, self.n + i])

        t.loop(self.outputs, n, lambda i: t.loop(self.rows, n, lambda j: block(i, j)) and None)

    def gathered(self) -> None:
        """Lanes are elements of a list."""
        t, n, matrix = self.t, self.lanes, self.matrix
        sums = t.scratch((n, n), self.form.dtype)

        def row(m: Index) -> None:
            def block(i: Index) -> None:
                t.loop((self.outputs - i).min(n), 1, lambda o: output(i, o))
                total = t.reduce("arith.addf", t.load(sums, [0, 0], [n, n]), 1)
                finish(self.form, t, t.transpose(total), [*self.batch, m, self.n + i])

            def output(i: Index, o: Index) -> None:
                def strip(s: Index, acc: Tile) -> Tile:
                    return self.picked(m, s, self.n + i + o, acc)

                (acc,) = t.loop(matrix.strips, 1, strip, [t.full(0, (1, n), self.form.dtype)])
                t.store(sums, [o, 0], acc)

            t.loop(self.outputs, n, block)

        t.loop(self.m + self.rows, 1, row, lower=self.m)

    def picked(self, m: Index, s: Index, output: Index, acc: Tile) -> Tile:
        """Sums of a row and the products with the elements of a list."""
        t, n, matrix = self.t, self.lanes, self.matrix
        first, end = matrix.bounds(t, s, output)
        rows = [t.full(at, (1, 1), "i64") for at in (*places(self.form, self.form.a, self.batch), m)]

        def some(j: Index, acc: Tile) -> Tile:
            columns = matrix.columns(t, j, n)
            if matrix.strips > 1:
                columns = t.apply("arith.addi", columns, t.full(s * matrix.strip, (1, 1), "i32"))
            x = widened_to(t, t.gather(self.form.a, [*rows, columns], inside=True), self.form.dtype)
            place, last = t.iota(j, (1, n), 1, "i32"), t.full(end, (1, 1), "i32")
            inside = t.apply("arith.cmpi", place, last, predicate="slt", dtype="i1")
            numbers = t.apply(
                "arith.select",
                inside,
                self.number(j, n),
                t.full(0, (1, 1), self.form.dtype),
                dtype=self.form.dtype,
            )
            return t.apply("math.fma", numbers, x, acc)

        return t.loop(end, n, some, [acc], lower=first)[0]
