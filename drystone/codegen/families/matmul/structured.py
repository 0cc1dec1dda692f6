"""Products of few vectors with a matrix of whose every m neighbouring inputs n are held (N:M).

Lanes are outputs. A register of words has the places of elements of neighbouring outputs in its lanes, which
shifts bring down; they pick the elements of a vector's m inputs that each output multiplies. So the numbers
that are 0 are neither read nor multiplied.
"""

from dataclasses import dataclass

from drystone.codegen.elements import width as bits_of
from drystone.codegen.families.matmul.form import MatMulForm, finish, program, promises
from drystone.codegen.families.sparse.structured import StructuredMatrix
from drystone.codegen.families.sparse.vectors import Vectors
from drystone.codegen.families.tiling import even
from drystone.codegen.tile import Index, Tile, TileBuilder, TileProgram
from drystone.targets.target import Target

#: Sums that are formed side by side, so that no operation waits for the one before; vectors at most.
_CHAINS, _VECTORS = 4, 8
#: Vectors up to which inputs are picked for each.
FEW_VECTORS = 16


def structured_product(form: MatMulForm, target: Target) -> TileProgram:
    """The program of a product one of whose matrices is held in panels of N:M."""
    matrix, vectors = form.sparse, Vectors(form, target.lanes(bits_of(form.dtype)))
    assert isinstance(matrix, StructuredMatrix)
    some = even(vectors.known, _VECTORS)

    def body(t: TileBuilder) -> None:
        promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(form.batch)]

        def step(*at: Index) -> None:
            *batch, m, n = at
            _Step(vectors, t, matrix, some, tuple(batch), m, n).run()

        t.grid([*axes, (vectors.count, some), (vectors.outputs, matrix.width)], step)

    return program(form, body)


def one_vector(
    vectors: Vectors, t: TileBuilder, matrix: StructuredMatrix, batch: tuple[Index, ...], m: Index, n: Index
) -> None:
    """The products of vector m with the outputs of a panel, from n on."""
    _Step(vectors, t, matrix, 1, batch, m, n).run()


@dataclass(frozen=True)
class _Step:
    """Some vectors, from m on, and the outputs of a panel, from n on."""

    vectors: Vectors
    t: TileBuilder
    matrix: StructuredMatrix
    some: int
    batch: tuple[Index, ...]
    m: Index
    n: Index

    def run(self) -> None:
        """Do it."""
        t, matrix, chains = self.t, self.matrix, max(1, _CHAINS // self.some)
        panel, zero = self.n // matrix.width, t.full(0, (self.some, matrix.width), self.vectors.form.dtype)

        def some(first: Index, *sums: Tile) -> list[Tile]:
            accs, tables = list(sums), dict[int, Tile]()
            matrix.prefetch(t, panel, first, matrix.span)
            places = matrix.places(t, panel, first, matrix.span)
            for j, number in enumerate(matrix.numbers(t, panel, first, matrix.span)):
                group = j // matrix.kept_of
                if group not in tables:
                    tables[group] = self.inputs(first // matrix.kept_of * matrix.group + group * matrix.group)
                x = t.lookup(places[j], tables[group])
                accs[j % chains] = t.apply("math.fma", number, x, accs[j % chains])
            return accs

        total, *others = t.loop(matrix.slots, matrix.span, some, [zero] * chains)
        for other in others:
            total = t.apply("arith.addf", total, other)
        total = t.transpose(total) if self.vectors.across else total
        place = [self.n, self.m] if self.vectors.across else [self.m, self.n]
        finish(self.vectors.form, t, total, [*self.batch, *place])

    def inputs(self, k: Index) -> Tile:
        """The inputs of a group of every vector, [vectors, of]."""
        return self.vectors.rows(self.t, self.batch, self.m, k, (self.some, self.matrix.group))
