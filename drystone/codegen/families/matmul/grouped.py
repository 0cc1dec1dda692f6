"""Products of more than a few rows with a matrix of whose every m neighbouring inputs n are held.

A part of a panel is laid down with its zeros, in memory that stays in a cache while the rows pass by: what is
read from memory is what is held, and dense units multiply it.
"""

from drystone.codegen.families.matmul.coded import CodedStep
from drystone.codegen.families.matmul.structured import FEW_VECTORS, one_vector
from drystone.codegen.families.sparse.laid_groups import LaidGroups
from drystone.codegen.families.sparse.structured import StructuredMatrix
from drystone.codegen.families.sparse.vectors import Vectors
from drystone.codegen.tile import Index

#: Lanes of a register of sums.
_LANES = 16


class GroupedStep(CodedStep):
    """Some rows of one panel of groups."""

    @property
    def matrix(self) -> StructuredMatrix:
        """What b is."""
        assert isinstance(self.form.sparse, StructuredMatrix)
        return self.form.sparse

    @property
    def panel(self) -> Index:
        """The panel of b."""
        return self.n // self.matrix.width

    def run(self) -> None:
        """Do it; the few rows of a call that has no more, one after the other, pick what they multiply."""
        t, count = self.t, self.form.out.dim(self.form.batch)
        if count.constant is not None:
            self.in_panel()
            return
        vectors = Vectors(self.form, _LANES)

        def few() -> None:
            t.loop(
                self.end(),
                1,
                lambda i: one_vector(vectors, t, self.matrix, tuple(self.batch), self.m + i, self.n),
            )

        t.when(count, FEW_VECTORS + 1, few)
        t.when(FEW_VECTORS, count, self.in_panel)

    def prepare(self, first: Index, end: Index) -> None:
        """Lay the part of the panel down that the rows pass by, from where its words start."""
        p, unit = self.p, self.matrix.inputs
        size = -(-max(p.block or 0, p.rest) // unit) * unit + unit
        laid, start = LaidGroups.of(self.t, self.matrix, self.form.group, size), first // unit * unit
        laid.lay(self.t, self.panel, start, end)
        self.decoded = laid.numbers(), start
