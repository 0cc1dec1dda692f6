"""Weights that are no plain numbers in the form that kernels of products read."""

from dataclasses import dataclass
from math import prod

from drystone.dtypes import Array
from drystone.ir.encoding import Compressed, Encoding, Flat, Joined, Parts, Sparse
from drystone.passes.layout.coded import CodePanels
from drystone.passes.layout.lists import READ, Lists, listed_values, matrix_of


@dataclass(frozen=True)
class Panels(Lists):
    """How a matrix lies for a product: as `Lists` say where it is sparse, else its codes in panels of `width`
    outputs."""

    @property
    def codes(self) -> CodePanels:
        """How it lies where it has codes."""
        return CodePanels(self.shape, self.axis, self.width)

    def joined(self, encoding: Encoding) -> Joined | str:
        """The encoding in which a kernel reads the numbers of another one; or why none does."""
        sparse = _sparse(encoding)
        return self.codes.joined(encoding) if sparse is None else super().joined(sparse)

    def problem(self, parts: Parts, encoding: Encoding) -> str:
        """Why kernels do not read the numbers of these parts; "" where they do."""
        sparse = _sparse(encoding)
        return self.codes.problem(parts, encoding) if sparse is None else super().problem(parts, sparse)

    def join(self, parts: Parts, encoding: Encoding) -> Array:
        """The array of `joined` with the numbers of these parts."""
        sparse = _sparse(encoding)
        return self.codes.join(parts, encoding) if sparse is None else super().join(parts, sparse)


@dataclass(frozen=True)
class RowLists(Panels):
    """How the sparse table of an embedding lies: the elements of each row in a list."""

    def joined(self, encoding: Encoding) -> Joined | str:
        """The encoding in which a kernel reads the numbers of another one; or why none does."""
        sparse = _sparse(encoding)
        if sparse is None:
            return super().joined(encoding)
        pattern, held = matrix_of(sparse).pattern, listed_values(matrix_of(sparse).values)
        if held is None:
            return f"kernels read lists of {', '.join(READ)} and of integers with one scale"
        joined = Joined(Sparse(Compressed(prod(pattern.kept(self.shape))), held))
        return joined if joined.bytes(self.shape) < held.bytes(self.shape) else "its lists take as many bytes"


def _sparse(encoding: Encoding) -> Sparse | Flat | None:
    """An encoding that holds some elements of a matrix, or of the tensor that it is one of; None for
    others."""
    if isinstance(encoding, Flat) and isinstance(encoding.base, Sparse):
        return encoding
    return encoding if isinstance(encoding, Sparse) else None
