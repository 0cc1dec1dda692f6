"""Matrix products whose right operand is read row by row: packed in panels, or as it lies."""

from collections.abc import Sequence

from drystone.codegen.families.dry_op import widened
from drystone.codegen.families.matmul_form import MatMulForm, finish, places, program, promises
from drystone.codegen.families.matmul_schedule import FEW, Product, Schedule, schedule
from drystone.codegen.search import Point
from drystone.codegen.tile import Index, Tile, TileBuilder, TileProgram, index
from drystone.targets.target import CpuTarget


def panels(form: MatMulForm, product: Product, point: Point, target: CpuTarget) -> TileProgram:
    """The program of a point of the search space."""
    rank, p = form.batch, schedule(product, point, target)
    # Few rows (a decoder's step) are bound by the reading of b: rows that are not there would hold it up.
    few = [] if form.out.shape[rank] is not None else [1] if product.tile is None else [1, FEW]
    points = [{**point, "rows": rows} for rows in few if rows < p.rows and not p.block]
    shorter = [schedule(product, fewer, target) for fewer in points]

    def body(t: TileBuilder) -> None:
        promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]
        across, down = (form.out.dim(rank + 1), p.width), (form.out.dim(rank), p.high)
        axes += [down, across] if p.by_rows else [across, down]

        def step(*at: Index) -> None:
            *batch, first, second = at
            n, m = (second, first) if p.by_rows else (first, second)
            _by_height(_Step(form, product, t, p, *batch, n, m), shorter)

        t.grid(axes, step)

    return program(form, body)


def _by_height(step: "_Step", shorter: Sequence[Schedule]) -> None:
    """The step by the first schedule that has all rows there are, or by its own."""
    t, height = step.t, step.form.out.dim(step.form.batch)
    least = 0
    for p in shorter:
        few = _Step(step.form, step.product, t, p, *step.at)

        def run(few: _Step = few, least: int = least) -> None:
            t.when(least, height, few.run)

        t.when(height, p.rows + 1, run)
        least = p.rows
    if least:
        t.when(least, height, step.run)
    else:
        step.run()


class _Step:
    """One step of the grid: some rows of one panel, in one place of the batch."""

    def __init__(self, form: MatMulForm, product: Product, t: TileBuilder, p: Schedule, *at: Index) -> None:
        self.form, self.product, self.t, self.p, self.at = form, product, t, p, at
        *self.batch, self.n, self.m = at
        in_tiles = product.tile is not None and p.rows >= product.tile.rows
        self.offset = product.offset and not in_tiles

    def run(self) -> None:
        """Do it."""
        if self.p.block:
            self.in_blocks()
        elif self.p.high > self.p.rows:
            self.t.loop(self.end(), self.p.rows, lambda i: self.at_once(self.m + i))
        else:
            self.at_once(self.m)

    def at_once(self, m: Index) -> None:
        """The register tile of rows m.., all k in one pass."""
        acc = self.sums(m, self.start(m), index(0), self.form.depth)
        finish(self.form, self.t, acc, [*self.batch, m, self.n])

    def end(self) -> Index:
        """How many rows of the step there are."""
        return (self.form.out.dim(self.form.batch) - self.m).min(self.p.high)

    def start(self, m: Index) -> Tile:
        """What the sums of rows m.. start from: zero, less what b + 128 in place of b adds to them."""
        form, t, p = self.form, self.t, self.p
        zeros = t.full(0, (p.rows, p.width), form.dtype)
        if not self.offset:
            return zeros
        wide = 16
        at, sizes = [*places(form, form.a, self.batch), m], [*([None] * form.batch), p.rows, wide]

        def row_sums(k: Index, acc: Tile) -> Tile:
            a = t.load(form.a, [*at, k], sizes)
            return t.apply("arith.addi", acc, t.apply("arith.extsi", a, dtype="i32"))

        (total,) = t.loop(form.depth, wide, row_sums, [t.full(0, (p.rows, wide), "i32")])
        total = t.apply("arith.muli", t.reduce("arith.addi", total, 1), t.full(-128, (1, 1), "i32"))
        return t.apply("arith.addi", zeros, total)

    def left(self, m: Index, k: Index) -> Tile:
        """Rows m.. of a from k, as they are held where a dot unit takes them so."""
        form, t, p = self.form, self.t, self.p
        at = [*places(form, form.a, self.batch), m, k]
        sizes = [*([None] * form.batch), p.rows, p.depth]
        if form.group > 1:
            return t.load(form.a, at, sizes, held=True)
        return widened(t, t.load(form.a, at, sizes))

    def right(self, k: Index) -> Tile:
        """Rows k.. of b in the panel."""
        form, t, p, n = self.form, self.t, self.p, self.n
        if form.group > 1:
            at = [n // p.width, k // form.group, index(0)]
            b = t.load(form.b, at, [None, p.depth // form.group, p.width * form.group], held=True)
            return t.apply("arith.xori", b, t.full(-128, (1, 1), "i8"), dtype="ui8") if self.offset else b
        if form.pack is None:
            at = [*places(form, form.b, self.batch), k, n]
            return widened(t, t.load(form.b, at, [*([None] * (len(at) - 2)), p.depth, p.width]))
        outer = form.pack.outer_perm or (0, 1)
        blocks_first = outer[0] == form.pack.inner_dims[0]
        block = n // p.width
        at = [block, k, index(0)] if blocks_first else [k, block, index(0)]
        sizes = [None, p.depth, p.width] if blocks_first else [p.depth, None, p.width]
        return widened(t, t.load(form.b, at, sizes))

    def sums(self, m: Index, acc: Tile, k0: Index, k1: Index) -> Tile:
        """acc and the products of k0 .. k1."""

        def products(k: Index, acc: Tile) -> Tile:
            return self.t.dot(acc, self.left(m, k), self.right(k))

        return self.t.loop(k1, self.p.depth, products, [acc], lower=k0)[0]

    def in_blocks(self) -> None:
        """Several register tiles through one part of k after the other."""
        form, t, p, first = self.form, self.t, self.p, self.m
        partial = t.scratch((p.high, p.width), form.dtype)
        end = self.end()

        def clear(i: Index) -> None:
            t.store(partial, [i, 0], self.start(first + i))

        def block(k: Index) -> None:
            def rows(i: Index) -> None:
                acc = t.load(partial, [i, 0], [p.rows, p.width])
                last = (k + (p.block or 0)).min(form.depth)
                t.store(partial, [i, 0], self.sums(first + i, acc, k, last))

            t.loop(end, p.rows, rows)

        def close(i: Index) -> None:
            acc = t.load(partial, [i, 0], [p.rows, p.width])
            finish(form, t, acc, [*self.batch, first + i, self.n])

        t.loop(end, p.rows, clear)
        t.loop(form.depth, p.block or 1, block)
        t.loop(end, p.rows, close)
