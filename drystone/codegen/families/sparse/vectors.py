"""The vectors that the sparse matrix of a product multiplies: lanes of its kernels are vectors, or what a
vector is summed over."""

from collections.abc import Sequence
from dataclasses import dataclass

from drystone.codegen.families.dry_op import widened_to
from drystone.codegen.families.matmul.form import MatMulForm, finish, places
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index


@dataclass(frozen=True)
class Vectors:
    """Rows of a or, where the sparse matrix is a, columns of b (rows of it where that is transposed)."""

    form: MatMulForm
    lanes: int  #: of a register of sums

    @property
    def across(self) -> bool:
        """Whether sums of neighbouring vectors lie side by side in the result."""
        return self.form.left

    @property
    def columns(self) -> bool:
        """Whether their numbers for one input lie side by side: they are columns of what holds them."""
        return self.form.left and not self.form.transposed

    @property
    def held(self) -> Tensor:
        """What holds them."""
        return self.form.b if self.across else self.form.a

    @property
    def known(self) -> int | None:
        """How many there are; None where that is known at the call."""
        return self.form.out.shape[self.form.batch + self.across]

    @property
    def count(self) -> Index:
        """How many there are."""
        return self.form.out.dim(self.form.batch + self.across)

    @property
    def outputs(self) -> Index:
        """Outputs of the matrix."""
        return self.form.out.dim(self.form.batch + 1 - self.across)

    def lie(self, width: int) -> bool:
        """Whether the same number of so many vectors, which are all there are, lies side by side, numbers in
        one piece of memory."""
        return self.columns and self.known == width and self.held.held == self.form.dtype

    def read(self, batch: Sequence[Index], vector: Index, k: Index) -> list[Index]:
        """Where number k of a vector lies."""
        at = places(self.form, self.held, batch)
        return [*at, k, vector] if self.columns else [*at, vector, k]

    def tile(
        self, t: TileBuilder, batch: Sequence[Index], vector: Index, k: Index, shape: tuple[int, int]
    ) -> Tile:
        """Numbers of some vectors from k on, [numbers, vectors], in the element that is summed in."""
        tile = self._as_it_lies(t, batch, vector, k, shape)
        return tile if self.columns else t.transpose(tile)

    def rows(
        self, t: TileBuilder, batch: Sequence[Index], vector: Index, k: Index, shape: tuple[int, int]
    ) -> Tile:
        """The same, [vectors, numbers]."""
        tile = self._as_it_lies(t, batch, vector, k, shape[::-1])
        return t.transpose(tile) if self.columns else tile

    def _as_it_lies(
        self, t: TileBuilder, batch: Sequence[Index], vector: Index, k: Index, shape: tuple[int, int]
    ) -> Tile:
        sizes = [*([None] * (len(self.held.shape) - 2)), *(shape if self.columns else shape[::-1])]
        return widened_to(t, t.load(self.held, self.read(batch, vector, k), sizes), self.form.dtype)

    def gathered(self, t: TileBuilder, batch: Sequence[Index], vector: Index, inputs: Tile) -> Tile:
        """The numbers of a vector at some inputs, which all are there, in the element that is summed in."""
        *lead, first, last = (t.full(at, (1, 1), "i64") for at in self.read(batch, vector, index(0)))
        at = [*lead, inputs, last] if self.columns else [*lead, first, inputs]
        return widened_to(t, t.gather(self.held, at, inside=True), self.form.dtype)

    def lay(
        self, t: TileBuilder, into: Tensor, batch: Sequence[Index], vector: Index, count: Index, k: Index
    ) -> None:
        """Write numbers from k on of so many vectors into scratch [numbers, vectors]."""
        numbers, width = (n or 1 for n in into.shape)
        if self.columns:

            def row(i: Index) -> None:
                t.store(into, [i, 0], self.tile(t, batch, vector, k + i, (1, width)))

            t.loop((self.form.depth - k).min(numbers), 1, row)
            return
        side = self.lanes

        def square(i: Index, j: Index) -> None:
            t.store(into, [i, j], self.tile(t, batch, vector + j, k + i, (side, side)))

        t.loop(numbers, side, lambda i: t.loop(count, side, lambda j: square(i, j)) and None)

    def finish(
        self, t: TileBuilder, sums: Tile, batch: Sequence[Index], vector: Index, output: Index
    ) -> None:
        """The epilogue and the result of sums [outputs, vectors]."""
        if self.across:
            finish(self.form, t, sums, [*batch, output, vector])
        else:
            finish(self.form, t, t.transpose(sums), [*batch, vector, output])

    def finish_all(
        self,
        t: TileBuilder,
        sums: Tensor,
        batch: Sequence[Index],
        first: tuple[Index, Index],
        counts: tuple[Index, Index],
    ) -> None:
        """The epilogue and the result of sums in scratch [outputs, vectors], from the first vector and output
        on, so many of both."""
        (vector, output), side = first, self.lanes

        def square(i: Index, j: Index) -> None:
            self.finish(t, t.load(sums, [i, j], [side, side]), batch, vector + j, output + i)

        t.loop(counts[1], side, lambda i: t.loop(counts[0], side, lambda j: square(i, j)) and None)
