"""Products of few rows that leave out what meets numbers that are 0, which is found when the kernel runs.

A weight that is held input by input is read for the inputs that are not 0 alone: these are listed, then their
rows of the weight, times the input, are added to the sums. One that is held output by output is read for the
outputs alone whose factors in the epilogue (of an MLP, its gate) are not 0. The others are 0 times something.
(CATS: Lee et al. 2024, section 4; CHESS: He et al. 2024, section 3.4.)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from drystone.codegen.families.dry_op import widened
from drystone.codegen.families.epilogue import load_extra
from drystone.codegen.families.matmul.dots import sums_along_k
from drystone.codegen.families.matmul.form import MatMulForm, finish, places, plain_b, program, promises
from drystone.codegen.families.matmul.panels import step_of
from drystone.codegen.families.matmul.schedule import FEW, Product, Schedule, default, schedule
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram
from drystone.ir.zeros import factors
from drystone.targets.target import Target

#: What is listed is done so many at a time: their rows of the weight come out of memory side by side.
_TOGETHER = 4
#: Registers of sums that rows of the weight are added to at once; the fewest outputs of a step.
_VECTORS, _LEAST = 4, 256
#: Columns and rows of a tile where the weight lies along k and there are many rows.
_TILE = 4


def skipping_product(form: MatMulForm, product: Product, target: Target) -> TileProgram:
    """The program of a product whose b is held input by input or, `transposed`, output by output."""
    rank, lanes = form.batch, target.lanes(32)
    rows, outputs = form.out.shape[rank:]
    width = _VECTORS * lanes
    wide = max(_LEAST, -(-(outputs or 1) // (target.threads * width)) * width)
    dense = schedule(product, default(product, target), target)
    kind = _ByOutputs if form.transposed else _ByInputs
    # Whole tiles: a result may lie where an extra does, which no other step must read.
    tile = _TILE if form.transposed else dense.rows
    dense = replace(dense, wide=wide, high=-(-max(dense.high, FEW) // tile) * tile)

    def body(t: TileBuilder) -> None:
        promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]

        def step(*at: Index) -> None:
            *batch, n, m = at

            def of(count: int) -> _Step:
                return kind(form, t, lanes, width, wide, count, tuple(batch), m, n)

            if rows is not None:
                of(rows).run() if rows <= FEW else of(FEW).dense(product, dense)
                return
            height = form.out.dim(rank)
            t.when(height, 2, of(1).run)
            t.when(1, height, lambda: t.when(height, FEW + 1, of(FEW).run))
            t.when(FEW, height, lambda: of(FEW).dense(product, dense))

        t.grid([*axes, (form.out.dim(rank + 1), wide), (form.out.dim(rank), dense.high)], step)

    return program(form, body)


@dataclass(frozen=True)
class _Step(ABC):
    """`rows` rows from m on of `wide` outputs from n on."""

    form: MatMulForm
    t: TileBuilder
    lanes: int
    width: int
    wide: int
    rows: int
    batch: tuple[Index, ...]
    m: Index
    n: Index

    def in_b(self, row: Index, column: Index, columns: int) -> tuple[list[Index], list[int | None]]:
        """Where a part of a row of the weight lies: starts and sizes of a load."""
        return plain_b(self.form, self.batch, [row, column], [1, columns])

    @property
    def outputs(self) -> Index:
        """Outputs of this step."""
        return (self.form.out.dim(self.form.batch + 1) - self.n).min(self.wide)

    def run(self) -> None:
        """Do it for what is not 0."""
        t = self.t
        sums = t.scratch((self.rows, -(-self.wide // self.width) * self.width), self.form.dtype)
        zero = t.full(0, (self.rows, self.width), sums.dtype)
        t.loop(self.outputs, self.width, lambda c: t.store(sums, [0, c], zero))
        self.add(sums)

        def end(c: Index) -> None:
            tile = t.load(sums, [0, c], [self.rows, self.width])
            finish(self.form, t, tile, [*self.batch, self.m, self.n + c])

        t.loop(self.outputs, self.width, end)

    @abstractmethod
    def add(self, sums: Tensor) -> None:
        """Add the products to the sums."""

    @abstractmethod
    def dense(self, product: Product, p: Schedule) -> None:
        """Do it for all, of many rows."""

    def listed(
        self, extent: Index, most: int, given: Callable[[Index], Sequence[Tile]]
    ) -> tuple[Tensor, Index]:
        """The positions up to an extent, at most `most`, where some row has no 0 among what is given, each
        [rows or 1, 1], in scratch, and how many they are."""
        t = self.t
        places = t.scratch((most,), "i32")

        def look(at: Index, count: Tile) -> Tile:
            some = t.full(1, (1, 1), "i32")
            for each in given(at):
                zero = t.full(0, (1, 1), each.dtype)
                unlike = t.apply("arith.cmpf", each, zero, predicate="une", dtype="i1")
                some = t.apply("arith.andi", some, t.apply("arith.extui", unlike, dtype="i32"))
            if some.shape[0] > 1:
                some = t.reduce("arith.maxsi", some, 0)
            t.store(places, [t.element(count, (0, most - 1))], t.full(at, (1,), "i32"))
            return t.apply("arith.addi", count, t.reshape(some, (1,)))

        (count,) = t.loop(extent, 1, look, [t.full(0, (1,), "i32")])
        return places, t.element(count, (0, most))

    def in_groups(
        self, places: Tensor, count: Index, body: Callable[[list[Index], list[Index]], None]
    ) -> None:
        """body(some, ahead) for the positions of a list, and for those that follow them."""
        t, most = self.t, (places.shape[0] or 1) - 1

        def position(number: Index) -> Index:
            return t.element(t.load(places, [number], [None]), (0, most))

        def some(first: Index, size: int) -> None:
            after = [(first + size + i).min(count - 1) for i in range(size)]
            body([position(first + i) for i in range(size)], [position(each) for each in after])

        whole = count // _TOGETHER * _TOGETHER
        t.loop(whole, _TOGETHER, lambda first: some(first, _TOGETHER))
        t.loop(count, 1, lambda first: some(first, 1), lower=whole)


class _ByInputs(_Step):
    """The weight lies input by input, [inputs, outputs]."""

    def add(self, sums: Tensor) -> None:
        """The rows of the weight for inputs that are not 0."""
        form, t = self.form, self.t

        def inputs(k: Index) -> Tile:
            at = [*places(form, form.a, self.batch), self.m, k]
            return widened(t, t.load(form.a, at, [*([None] * form.batch), self.rows, 1]))

        def some(ks: list[Index], ahead: list[Index]) -> None:
            numbers = [inputs(k) for k in ks]

            def columns(c: Index) -> None:
                total = t.load(sums, [0, c], [self.rows, self.width])
                for k, x in zip(ks, numbers, strict=True):
                    total = t.dot(total, x, widened(t, t.load(form.b, *self.in_b(k, self.n + c, self.width))))
                for k in ahead:
                    t.prefetch(form.b, *self.in_b(k, self.n + c, self.width), read=True, far=True)
                t.store(sums, [0, c], total)

            t.loop(self.outputs, self.width, columns)

        self.in_groups(*self.listed(form.depth, form.b.shape[0] or 1, lambda k: [inputs(k)]), some)

    def dense(self, product: Product, p: Schedule) -> None:
        """As with any matrix [inputs, outputs]."""
        step_of(self.form, product, self.t, p, *self.batch, self.n, self.m).run()


class _ByOutputs(_Step):
    """The weight lies output by output, [outputs, inputs]."""

    @property
    def factors(self) -> list[int]:
        """The extras that the sums are multiplied with."""
        return factors(self.form.op.main.epilogue.blocks[0])

    def add(self, sums: Tensor) -> None:
        """The outputs whose factors are not 0."""
        form, t = self.form, self.t
        span = self.lanes

        def given(o: Index) -> list[Tile]:
            place, shape = [*self.batch, self.m, self.n + o], [*([None] * form.batch), self.rows, 1]
            return [load_extra(t, *form.extras[number], place, shape) for number in self.factors]

        def some(outputs: list[Index], ahead: list[Index]) -> None:
            def along(k: Index, *totals: Tile) -> list[Tile]:
                at = [*places(form, form.a, self.batch), self.m, k]
                x = widened(t, t.load(form.a, at, [*([None] * form.batch), self.rows, span]))
                rows = [t.load(form.b, *self.in_b(self.n + o, k, span)) for o in outputs]
                for o in ahead:
                    t.prefetch(form.b, *self.in_b(self.n + o, k, span), read=True, far=True)
                both = zip(rows, totals, strict=True)
                return [t.apply("math.fma", x, widened(t, row), total) for row, total in both]

            zero = t.full(0, (self.rows, span), sums.dtype)
            totals = t.loop(form.depth, span, along, [zero] * len(outputs))
            for o, total in zip(outputs, totals, strict=True):
                t.store(sums, [0, o], t.reduce("arith.addf", total, 1))

        self.in_groups(*self.listed(self.outputs, self.wide, given), some)

    def dense(self, product: Product, p: Schedule) -> None:
        """As with any matrix [outputs, inputs], in small tiles."""
        form, t = self.form, self.t
        high = (form.out.dim(form.batch) - self.m).min(p.high)

        def tile(i: Index, o: Index) -> None:
            place = [*self.batch, self.m + i, self.n + o]
            finish(form, t, sums_along_k(form, t, self.lanes, (_TILE, _TILE), place), place)

        t.loop(high, _TILE, lambda i: t.loop(self.outputs, _TILE, lambda o: tile(i, o)) and None)
