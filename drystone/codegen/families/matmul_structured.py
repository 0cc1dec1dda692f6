"""Products of few rows with a matrix of whose every m neighbouring inputs n are held (N:M).

Lanes are outputs. A register of words has the places of elements of neighbouring outputs in its lanes, which
shifts bring down; they pick the elements of a row's m inputs that each output multiplies. So the numbers that
are 0 are neither read nor multiplied.
"""

from dataclasses import dataclass

from drystone.codegen.families.dry_op import widened
from drystone.codegen.families.matmul_form import MatMulForm, finish, places, program, promises
from drystone.codegen.families.structured import StructuredMatrix
from drystone.codegen.families.tiling import even
from drystone.codegen.tile import Index, Tile, TileBuilder, TileProgram
from drystone.targets.target import CpuTarget

#: Sums that are formed side by side, so that no operation waits for the one before; rows at most.
_CHAINS, _ROWS = 4, 8


def structured_product(form: MatMulForm, target: CpuTarget) -> TileProgram:
    """The program of a product whose b is held in panels of N:M."""
    rank, matrix = form.batch, form.sparse
    assert isinstance(matrix, StructuredMatrix)
    rows = even(form.out.shape[rank], _ROWS)

    def body(t: TileBuilder) -> None:
        promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]

        def step(*at: Index) -> None:
            *batch, m, n = at
            _Step(form, t, matrix, rows, tuple(batch), m, n).run()

        t.grid([*axes, (form.out.dim(rank), rows), (form.out.dim(rank + 1), matrix.width)], step)

    return program(form, body)


@dataclass(frozen=True)
class _Step:
    """Some rows, from m on, of the outputs of a panel, from n on."""

    form: MatMulForm
    t: TileBuilder
    matrix: StructuredMatrix
    rows: int
    batch: tuple[Index, ...]
    m: Index
    n: Index

    def run(self) -> None:
        """Do it."""
        t, matrix, chains = self.t, self.matrix, max(1, _CHAINS // self.rows)
        panel, zero = self.n // matrix.width, t.full(0, (self.rows, matrix.width), self.form.dtype)

        def some(first: Index, *sums: Tile) -> list[Tile]:
            accs, tables = list(sums), dict[int, Tile]()
            matrix.prefetch(t, panel, first, matrix.span)
            for at in range(0, matrix.span, matrix.run):
                words = matrix.words(t, panel, first + at)
                for j in range(at, at + matrix.run):
                    group = j // matrix.kept_of
                    if group not in tables:
                        tables[group] = self.inputs(
                            first // matrix.kept_of * matrix.group + group * matrix.group
                        )
                    x = t.lookup(matrix.place(t, words, j - at), tables[group])
                    number = matrix.number(t, panel, first + j)
                    accs[j % chains] = t.apply("math.fma", number, x, accs[j % chains])
            return accs

        total, *others = t.loop(matrix.slots, matrix.span, some, [zero] * chains)
        for other in others:
            total = t.apply("arith.addf", total, other)
        scale = matrix.scale(t, panel)
        total = total if scale is None else t.apply("arith.mulf", total, scale)
        finish(self.form, t, total, [*self.batch, self.m, self.n])

    def inputs(self, k: Index) -> Tile:
        """The inputs of a group of every row, [rows, of]."""
        at = [*places(self.form, self.form.a, self.batch), self.m, k]
        return widened(
            self.t, self.t.load(self.form.a, at, [*([None] * self.form.batch), self.rows, self.matrix.group])
        )
