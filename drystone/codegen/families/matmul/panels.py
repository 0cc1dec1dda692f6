"""Matrix products whose right operand is read row by row: packed in panels, or as it lies."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from drystone.codegen.families.ahead import Ahead
from drystone.codegen.families.codes.decoding import CodedMatrix
from drystone.codegen.families.codes.schedule import coded_schedule
from drystone.codegen.families.dry_op import laid_down, widened
from drystone.codegen.families.matmul.form import (
    MatMulForm,
    finish,
    finish_rows,
    places,
    plain_b,
    program,
    promises,
)
from drystone.codegen.families.matmul.schedule import (
    DECODED,
    FEW,
    LOOKED_UP,
    Product,
    Schedule,
    schedule,
)
from drystone.codegen.families.tiling import awaited
from drystone.codegen.search import Point
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index
from drystone.targets.target import Target

#: What is done beside the products of a round, which starts at some k.
Meanwhile = Callable[[Index], None]
#: Sums that a dot unit of short integers makes at once.
_LANES = 16
#: Schedules for calls of few rows: up to how many, and which.
_Shorter = Sequence[tuple[int, Schedule]]


def panels(forms: Sequence[MatMulForm], product: Product, point: Point, target: Target) -> TileProgram:
    """The program of a point of the search space. Several products of the same a lie side by side: their
    panels follow each other in the grid."""
    form = forms[0]
    rank, p = form.batch, _schedule(product, point, target)
    if len(forms) > 1 and any((f.out.shape[-1] or 1) % p.wide for f in forms):
        p = replace(p, wide=p.width)
    heights: list[int] = []
    if form.out.shape[rank] is None and form.coded is not None:
        heights = [rows for rows in (1, FEW) if rows < p.rows]
    elif form.out.shape[rank] is None and (p.tiles or not p.block):
        # Few rows (a decoder's step) are bound by the reading of b: rows that are not there would hold it up.
        heights = [rows for rows in ([1] if product.tile is None else [1, FEW]) if rows < p.rows]
        # What stays in the cache while rows pass by is worth its trouble where there are some.
        heights += [p.rows] if p.block else []
    few = [point | {"rows": rows} | ({"passes": 1} if "passes" in point else {}) for rows in heights]
    shorter = [(each["rows"], replace(_schedule(product, each, target), wide=p.wide)) for each in few]

    def body(t: TileBuilder) -> None:
        for each in forms:
            promises(each, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]
        columns = form.out.dim(rank + 1)
        for other in forms[1:]:
            columns = columns + other.out.dim(rank + 1)
        across, down = (columns, p.wide), (form.out.dim(rank), p.high)
        axes += [down, across] if p.by_rows else [across, down]

        def step(*at: Index) -> None:
            *batch, first, second = at
            n, m = (second, first) if p.by_rows else (first, second)
            _side_by_side([step_of(each, product, t, p, *batch, n, m) for each in forms], shorter)

        t.grid(axes, step)

    return program(form, body)


def _schedule(product: Product, point: Point, target: Target) -> Schedule:
    """The schedule of a point, by how b is held."""
    return coded_schedule(product, point) if product.strings else schedule(product, point, target)


def _side_by_side(steps: Sequence["Step"], shorter: _Shorter) -> None:
    """The step of the product in whose columns a place is."""
    if len(steps) == 1:
        _by_height(steps[0], shorter)
        return
    first = index(0)
    for number, step in enumerate(steps):
        _in_columns(step, first, shorter, after=number > 0)
        first = first + step.form.out.dim(step.form.batch + 1)


def _in_columns(step: "Step", first: Index, shorter: _Shorter, *, after: bool) -> None:
    """The step where it is one of the columns from `first` on; `after`: there are others before."""
    t, n, columns = step.t, step.n, step.form.out.dim(step.form.batch + 1)
    # The bounds say nothing new, but let places be proven to lie inside.
    own = step.at_column((n - first).max(0).min(columns - step.p.wide))

    def run() -> None:
        _by_height(own, shorter)

    t.when(n, first + columns, (lambda: t.when(first - 1, n, run)) if after else run)


def _by_height(step: "Step", shorter: _Shorter) -> None:
    """The step by the first schedule that has all rows there are, or by its own."""
    t, height = step.t, step.form.out.dim(step.form.batch)
    least = 0
    for rows, p in shorter:
        few = step_of(step.form, step.product, t, p, *step.at)

        def run(few: Step = few, least: int = least) -> None:
            t.when(least, height, few.run)

        t.when(height, rows + 1, run)
        least = rows
    if least:
        t.when(least, height, step.run)
    else:
        step.run()


def step_of(form: MatMulForm, product: Product, t: TileBuilder, p: Schedule, *at: Index) -> "Step":
    """The step of a product, by how its b is held."""
    if form.coded is None and form.sparse is None:
        return Step(form, product, t, p, *at)
    from drystone.codegen.families.matmul.bytes import BytesStep
    from drystone.codegen.families.matmul.coded import CodedStep
    from drystone.codegen.families.matmul.grouped import GroupedStep
    from drystone.codegen.families.matmul.split import SplitStep, splits
    from drystone.codegen.families.matmul.tables import TableStep, pieces_of

    if form.coded is None:
        return GroupedStep(form, product, t, p, *at)
    if form.a.held == "i8":
        return BytesStep(form, product, t, p, *at)
    alike = all(each.coded is not None and _alike(each.coded, form.coded) for _, each in form.inner)
    if p.way == DECODED or not alike or not splits(form.coded):
        return CodedStep(form, product, t, p, *at)
    looked_up = p.way == LOOKED_UP and pieces_of(form.coded.codes.code)
    return (TableStep if looked_up else SplitStep)(form, product, t, p, *at)


def _alike(one: CodedMatrix, other: CodedMatrix) -> bool:
    """Whether two matrices are multiplied with the same bytes."""
    return (one.codes.code, one.group, one.depth) == (other.codes.code, other.group, other.depth)


class Step:
    """One step of the grid: some rows of one panel, in one place of the batch."""

    def __init__(self, form: MatMulForm, product: Product, t: TileBuilder, p: Schedule, *at: Index) -> None:
        self.form, self.product, self.t, self.p, self.at = form, product, t, p, at
        *self.batch, self.n, self.m = at
        self.offset = product.offset and not p.tiles
        self.inner = [step_of(inner, product, t, p, *at) for _, inner in form.inner]
        #: What the sums of the step's rows start from, where that is not zero.
        self.first: Tensor | None = None

    @property
    def coded(self) -> CodedMatrix:
        """What b is decoded by, where it is coded."""
        assert self.form.coded is not None
        return self.form.coded

    @property
    def panel(self) -> Index:
        """The panel of a coded b."""
        return self.n // self.coded.width

    def at_column(self, n: Index) -> "Step":
        """The step elsewhere in its rows."""
        other = step_of(self.form, self.product, self.t, self.p, *self.batch, n, self.m)
        for step in (other, *other.inner):
            step.first = self.first
        return other

    def prepare(self, first: Index, end: Index) -> None:
        """Before the rows pass by the k from `first` up to `end`."""

    def run(self) -> None:
        """Do it, in one panel after the other."""
        t, p, n = self.t, self.p, self.n
        if self.offset:
            self.first = self.first_sums()
        if p.late and not self.inner:
            self.overlapping()
        elif p.wide > p.width:
            t.loop(self.strip(), p.width, lambda j: self.at_column(n + j).in_panel())
        else:
            self.at_column(n).in_panel()

    def in_panel(self) -> None:
        """All rows in one panel."""
        if self.inner and self.p.rows == 1 and not self.p.block:
            self.in_one_pass()
        elif self.inner or self.p.block or self.p.high > self.p.rows:
            self.in_order()
        else:
            finish(self.form, self.t, self.whole(self.m), [*self.batch, self.m, self.n])

    def whole(self, m: Index) -> Tile:
        """The products of all k in rows m.."""
        return self.whole_beside(m)

    def whole_beside(self, m: Index, meanwhile: Meanwhile | None = None) -> Tile:
        """The same; `meanwhile` is done in the rounds that make them."""

        def beside(k: Index) -> None:
            if self.p.tiles:
                self.await_result(m, k, self.form.depth - self.p.rest)
            if self.p.ahead and self.form.by_panels:
                self.await_panel(m, k)
            if meanwhile is not None:
                meanwhile(k)

        acc = self.sums(m, self.start(m), index(0), self.form.depth - self.p.rest, self.p.depth, beside)
        return self.last(m, laid_down(self.t, acc)) if self.p.rest else acc

    def in_one_pass(self) -> None:
        """All products in one pass over k: one row is bound by the reading of b, which goes on through every
        panel without a break."""
        t, steps = self.t, [*self.inner, self]

        def products(k: Index, *accs: Tile) -> list[Tile]:
            left = self.left(self.m, k, self.p.depth)
            pairs = zip(steps, accs, strict=True)
            return [t.dot(acc, left, step.right(k, self.p.depth)) for step, acc in pairs]

        starts = [step.start(self.m) for step in steps]
        *others, acc = t.loop(self.form.depth, self.p.depth, products, starts)
        kept = [(t.scratch(other.shape, other.dtype), index(0)) for other in others]
        for (sums, _), other in zip(kept, others, strict=True):
            t.store(sums, [0, 0], other)
        finish(self.form, t, acc, [*self.batch, self.m, self.n], kept)

    def in_order(self) -> None:
        """All rows by the panel of one product after the other, or by one part of it after the other, so that
        each stays in the cache meanwhile."""
        form, t, p, first = self.form, self.t, self.p, self.m
        end = self.end()
        others = [step.kept_sums(end) for step in self.inner]
        own = self.kept_sums(end) if p.block else None

        def close(i: Index) -> None:
            acc = self.whole(first + i) if own is None else t.load(own, [i, 0], [p.rows, p.width])
            finish(form, t, acc, [*self.batch, first + i, self.n], [(sums, i) for sums in others])

        t.loop(end, p.rows, close)

    def overlapping(self) -> None:
        """One tile of sums after the other, of all rows by a panel or of all panels by a tile of rows: what
        follows on the sums of a tile is done in the rounds that make the next one's, some rows in each. Tile
        registers are busy meanwhile, and more instructions than a core looks ahead lie between the products
        of two tiles."""
        form, t, p = self.form, self.t, self.p
        across = p.wide > p.width
        end, size = (self.strip(), p.width) if across else (self.end(), p.rows)
        sums = t.scratch((p.rows, p.width), form.dtype)
        rounds = ((form.depth - p.rest).constant or p.depth) // p.depth

        def tile_at(i: Index) -> tuple[Step, Index]:
            return (self.at_column(self.n + i), self.m) if across else (self, self.m + i)

        def finished(i: Index, first: Index, last: Index) -> None:
            step, m = tile_at(i)
            finish_rows(form, t, sums, [*self.batch, m, step.n], first, last)

        def tile(i: Index) -> None:
            def some_rows(k: Index) -> None:
                at = k // p.depth
                some = [at * p.rows // rounds, (at + 1) * p.rows // rounds]
                first, last = [row.min(self.rows()) for row in some] if across else some
                finished(i - size, first, last)

            step, m = tile_at(i)
            t.store(sums, [0, 0], step.whole_beside(m, some_rows))

        first, m = tile_at(index(0))
        t.store(sums, [0, 0], first.whole(m))
        t.loop(end, size, tile, lower=size)
        last = (end - 1) // size * size
        finished(last, index(0), self.rows() if across else end - last)

    def rows(self) -> Index:
        """How many rows of the step's first tile there are."""
        height, rows = self.form.out.dim(self.form.batch), self.p.rows
        return index(rows) if (height.constant or 1) % rows == 0 else (height - self.m).min(rows)

    def strip(self) -> Index:
        """How many columns of the step there are."""
        return (self.form.out.dim(self.form.batch + 1) - self.n).min(self.p.wide)

    def kept_sums(self, end: Index) -> Tensor:
        """The sums of all rows up to `end`, in scratch."""
        t, p = self.t, self.p
        sums = t.scratch((p.high, p.width), self.form.dtype)
        if p.block:
            self.in_blocks(sums, end)
        else:
            t.loop(end, p.rows, lambda i: t.store(sums, [i, 0], self.whole(self.m + i)))
        return sums

    def end(self) -> Index:
        """How many rows of the step there are."""
        return (self.form.out.dim(self.form.batch) - self.m).min(self.p.high)

    def start(self, m: Index) -> Tile:
        """What the sums of rows m.. start from."""
        t, p = self.t, self.p
        zeros = t.full(0, (p.rows, p.width), self.form.dtype)
        if self.first is None:
            return zeros
        return t.apply("arith.addi", zeros, t.load(self.first, [m - self.m, 0], [p.rows, 1]))

    def first_sums(self) -> Tensor:
        """What b + 128 in place of b adds to the sums of all rows, taken from them beforehand."""
        t, p = self.t, self.p
        first = t.scratch((p.high, 1), self.form.dtype)

        def rows(i: Index) -> None:
            for row, total in enumerate(self.row_sums(self.m + i)):
                t.store(first, [i + row, 0], t.apply("arith.muli", total, t.full(-128, (1, 1), "i32")))

        t.loop(self.end(), p.rows, rows)
        return first

    def row_sums(self, m: Index) -> list[Tile]:
        """The sums of a's rows m.., one tile for each: a dot unit adds them up as products with ones."""
        form, t, lanes = self.form, self.t, _LANES
        ones = t.full(1, (1, form.group), "ui8")

        def add(k: Index, *sums: Tile) -> list[Tile]:
            added = []
            for row, acc in enumerate(sums):
                at = [*places(form, form.a, self.batch), m + row, k]
                sizes = [*([None] * form.batch), 1, lanes * form.group]
                added.append(t.dot(acc, ones, t.load(form.a, at, sizes, held=True)))
            return added

        zeros = [t.full(0, (1, lanes), "i32") for _ in range(self.p.rows)]
        return [t.reduce("arith.addi", acc, 1) for acc in t.loop(form.depth, lanes * form.group, add, zeros)]

    def left(self, m: Index, k: Index, depth: int) -> Tile:
        """Rows m.. of a, `depth` columns from k, as they are held where a dot unit takes them so."""
        form, t, p = self.form, self.t, self.p
        at = [*places(form, form.a, self.batch), m, k]
        sizes = [*([None] * form.batch), p.rows, depth]
        if form.group > 1 or self.product.run:
            return t.load(form.a, at, sizes, held=True)
        return widened(t, t.load(form.a, at, sizes))

    def right(self, k: Index, depth: int) -> Tile:
        """`depth` rows of b from k in the panel."""
        form, t, p, n = self.form, self.t, self.p, self.n
        if form.group == 1 and form.pack is None:
            return widened(t, t.load(form.b, *plain_b(form, self.batch, [k, n], [depth, p.width])))
        at, sizes = self.in_packed(k, depth)
        if form.group > 1:
            b = t.load(form.b, at, sizes, held=True)
            return t.apply("arith.xori", b, t.full(-128, (1, 1), "i8"), dtype="ui8") if self.offset else b
        if self.product.run:
            return t.load(form.b, at, sizes, held=True)
        return widened(t, t.load(form.b, at, sizes))

    def in_packed(self, k: Index, depth: int) -> tuple[list[Index], list[int | None]]:
        """Where `depth` rows of the panel of a packed b lie from k on: place and sizes of a load."""
        form, p, panel = self.form, self.p, self.n // self.p.width
        if form.group > 1:
            at = [panel, k // form.group, index(0)]
            return at, [None, depth // form.group, p.width * form.group]
        if form.by_panels:
            return [panel, k, index(0)], [None, depth, p.width]
        return [k, panel, index(0)], [depth, None, p.width]

    def sums(
        self, m: Index, acc: Tile, k0: Index, k1: Index, depth: int, meanwhile: Meanwhile | None = None
    ) -> Tile:
        """acc and the products of k0 .. k1, `depth` of them in a round that does `meanwhile` too."""

        def products(k: Index, acc: Tile) -> Tile:
            if meanwhile is not None:
                meanwhile(k)
            return self.t.dot(acc, self.left(m, k, depth), self.right(k, depth), tiles=self.p.tiles)

        return self.t.loop(k1, depth, products, [acc], lower=k0)[0]

    def await_result(self, m: Index, k: Index, depth: Index) -> None:
        """Ask for some rows of the result in the round from k on, for all of them in `depth`."""
        rounds = (depth.constant or 0) // self.p.depth or self.p.rows
        row, some = awaited(k, self.p.depth, rounds, self.p.rows)
        sizes = [*([None] * self.form.batch), some, self.p.width]
        self.t.prefetch(self.form.out, [*self.batch, m + row, self.n], sizes)

    def await_panel(self, m: Index, k: Index) -> None:
        """Ask for some of the next panel beside the products of rows m.. from k on, for all of it while all
        rows pass by."""
        form, p = self.form, self.p
        rows = (m - self.m) if p.by_rows else m
        tiles = -(-(p.high if p.by_rows else self.product.m or p.high) // p.rows)
        rounds = ((form.depth - p.rest).constant or p.depth) // p.depth
        ahead = Ahead.of(form.b, tiles * rounds)
        ahead.ask(self.t, self.n // p.width, rows // p.rows * rounds + k // p.depth)

    def last(self, m: Index, acc: Tile) -> Tile:
        """acc and the products of the k at the end that tiles of the usual shape leave over."""
        end, rest = self.form.depth, self.p.rest
        return self.sums(m, acc, end - rest, end, rest)

    def in_blocks(self, partial: Tensor, end: Index) -> None:
        """Several register tiles through one part of k after the other."""
        form, t, p, first = self.form, self.t, self.p, self.m

        def clear(i: Index) -> None:
            t.store(partial, [i, 0], self.start(first + i))

        def block(k: Index) -> None:
            self.prepare(k, (k + (p.block or 0)).min(form.depth - p.rest))

            def rows(i: Index) -> None:
                acc = t.load(partial, [i, 0], [p.rows, p.width])
                last = (k + (p.block or 0)).min(form.depth - p.rest)
                t.store(partial, [i, 0], self.sums(first + i, acc, k, last, p.depth))

            t.loop(end, p.rows, rows)

        def rest(i: Index) -> None:
            acc = t.load(partial, [i, 0], [p.rows, p.width])
            t.store(partial, [i, 0], self.last(first + i, acc))

        t.loop(end, p.rows, clear)
        t.loop(form.depth - p.rest, p.block or 1, block)
        if p.rest:
            self.prepare(form.depth - p.rest, form.depth)
            t.loop(end, p.rows, rest)
