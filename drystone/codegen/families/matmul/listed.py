"""Products with a matrix whose elements are listed, output by output.

For many vectors, lanes are vectors: a strip of their numbers lies side by side, so that it stays in the first
cache, and every element that is listed adds those of one input, times a number, to the sums of its output.
Strips make the lists of one short enough for that (cache blocking: Nishtala et al. 2007, section 3). For few,
lanes are elements of a list, whose inputs are gathered.
"""

from collections.abc import Callable
from dataclasses import dataclass

from drystone.codegen.elements import width as bits_of
from drystone.codegen.families.dry_op import widened_to
from drystone.codegen.families.matmul.form import MatMulForm, program, promises
from drystone.codegen.families.sparse.listed import ListedMatrix, added, steps_of_outputs
from drystone.codegen.families.sparse.vectors import Vectors
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index
from drystone.targets.target import Target

#: Registers of sums of one output. Vectors up to which inputs are gathered.
_VECTORS, _GATHERED = 8, 3
#: The part of a matrix from which on its elements are many.
_MANY = 0.25


def listed_product(form: MatMulForm, target: Target) -> TileProgram:
    """The program of a product one of whose matrices is listed."""
    lanes, matrix = target.lanes(bits_of(form.dtype)), form.sparse
    vectors, count = Vectors(form, lanes), Vectors(form, lanes).known
    assert isinstance(matrix, ListedMatrix)
    width = _VECTORS * lanes if count is None else min(_VECTORS, -(-count // lanes)) * lanes
    # Where elements are many, that vectors share loads of numbers and places outweighs that they are turned.
    many = matrix.pattern.count > _MANY * matrix.outputs * matrix.depth
    if count == width == _VECTORS * lanes and not vectors.lie(width) and not many:
        width //= 2  # no thread turns what another one turns
    groups = None if count is None or count <= _GATHERED else -(-count // width)
    parts = steps_of_outputs(groups, target.threads)
    high = -(-(vectors.outputs.constant or 1) // (parts * lanes)) * lanes

    def body(t: TileBuilder) -> None:
        promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(form.batch)]

        def step(*at: Index) -> None:
            *batch, n, m = at
            made = _Step(vectors, t, matrix.prepared(t), lanes, width, high, tuple(batch), m, n)
            if count is not None:
                made.gathered() if count <= _GATHERED else made.turned()
                return
            t.when(_GATHERED, vectors.count, made.turned)
            t.when(vectors.count, _GATHERED + 1, made.gathered)

        t.grid([*axes, (vectors.outputs, high), (vectors.count, width)], step)

    return program(form, body)


@dataclass(frozen=True)
class _Step:
    """Some outputs, from n on, of some vectors, from m on."""

    vectors: Vectors
    t: TileBuilder
    matrix: ListedMatrix
    lanes: int
    width: int  #: vectors
    high: int  #: outputs
    batch: tuple[Index, ...]
    m: Index
    n: Index

    @property
    def dtype(self) -> str:
        """The element that is summed in."""
        return self.vectors.form.dtype

    @property
    def outputs(self) -> Index:
        """Outputs of this step."""
        return (self.vectors.outputs - self.n).min(self.high)

    @property
    def count(self) -> Index:
        """Vectors of this step."""
        return (self.vectors.count - self.m).min(self.width)

    def turned(self) -> None:
        """Lanes are vectors."""
        t, strips, width = self.t, self.matrix.strips, self.width
        laid = None if self.vectors.lie(width) else t.scratch((self.matrix.strip, width), self.dtype)
        # Where vectors are columns an output's sums are a piece of a row of the result.
        rows = self.vectors.across
        sums = None if rows and strips == 1 else t.scratch((self.high, width), self.dtype)

        def begun(i: Index) -> Tile:
            return t.full(0, (1, width), self.dtype)

        def kept(i: Index) -> Tile:
            return begun(i) if sums is None or strips == 1 else t.load(sums, [i, 0], (1, width))

        def keep(i: Index, acc: Tile) -> None:
            if sums is not None:
                t.store(sums, [i, 0], acc)

        def end(i: Index, acc: Tile) -> None:
            self.vectors.finish(t, acc, self.batch, self.m, self.n + i)

        last = index(strips - 1)
        if strips > 1:
            self.strip(laid, index(0), begun, keep)
            t.loop(last, 1, lambda s: self.strip(laid, s, kept, keep), lower=1)
        self.strip(laid, last, kept, end if rows else keep)
        if sums is not None and not rows:
            counts = self.count, self.outputs
            self.vectors.finish_all(t, sums, self.batch, (self.m, self.n), counts)

    def strip(
        self,
        laid: Tensor | None,
        strip: Index,
        begin: Callable[[Index], Tile],
        end: Callable[[Index, Tile], None],
    ) -> None:
        """The products of all lists of a strip with the vectors, which are laid out there where they do not
        lie so."""
        t, k = self.t, strip * self.matrix.strip
        if laid is not None:
            self.vectors.lay(t, laid, self.batch, self.m, self.count, k)

        def numbers(column: Index) -> Tile:
            if laid is not None:
                return t.load(laid, [column, 0], (1, self.width))
            return self.vectors.tile(t, self.batch, self.m, k + column, (1, self.width))

        def product(j: Index, acc: Tile) -> Tile:
            return t.dot(acc, self.number(j, 1), numbers(self.matrix.column(t, j)))

        def output(i: Index) -> None:
            bounds = self.matrix.bounds(t, strip, self.n + i)
            end(i, added(t, begin(i), bounds, product, self.lanes))

        t.loop(self.outputs, 1, output)

    def number(self, j: Index, count: int) -> Tile:
        """Numbers of a list, [1, count], in the element that is summed in."""
        return widened_to(self.t, self.matrix.numbers(self.t, j, count), self.dtype)

    def gathered(self) -> None:
        """Lanes are elements of a list."""
        t, n, matrix = self.t, self.lanes, self.matrix
        sums = t.scratch((n, n), self.dtype)

        def vector(m: Index) -> None:
            def block(i: Index) -> None:
                t.loop((self.outputs - i).min(n), 1, lambda o: output(i, o))
                total = t.reduce("arith.addf", t.load(sums, [0, 0], [n, n]), 1)
                self.vectors.finish(t, total, self.batch, m, self.n + i)

            def output(i: Index, o: Index) -> None:
                def strip(s: Index, acc: Tile) -> Tile:
                    return self.picked(m, s, self.n + i + o, acc)

                (acc,) = t.loop(matrix.strips, 1, strip, [t.full(0, (1, n), self.dtype)])
                t.store(sums, [o, 0], acc)

            t.loop(self.outputs, n, block)

        t.loop(self.m + self.count, 1, vector, lower=self.m)

    def picked(self, m: Index, s: Index, output: Index, acc: Tile) -> Tile:
        """Sums of a vector and the products with the elements of a list."""
        t, n, matrix = self.t, self.lanes, self.matrix
        first, end = matrix.bounds(t, s, output)

        def some(j: Index, acc: Tile) -> Tile:
            columns = matrix.columns(t, j, n)
            if matrix.strips > 1:
                columns = t.apply("arith.addi", columns, t.full(s * matrix.strip, (1, 1), "i32"))
            x = self.vectors.gathered(t, self.batch, m, columns)
            place, last = t.iota(j, (1, n), 1, "i32"), t.full(end, (1, 1), "i32")
            inside = t.apply("arith.cmpi", place, last, predicate="slt", dtype="i1")
            numbers = t.apply(
                "arith.select",
                inside,
                self.number(j, n),
                t.full(0, (1, 1), self.dtype),
                dtype=self.dtype,
            )
            return t.apply("math.fma", numbers, x, acc)

        return t.loop(end, n, some, [acc], lower=first)[0]
