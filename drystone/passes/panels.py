"""Weights that are no plain numbers in the form that kernels of products read."""

from dataclasses import dataclass

from drystone.dtypes import Array
from drystone.ir.encoding import Encoding, Flat, Joined, Parts, Sparse
from drystone.passes.coded import CodePanels
from drystone.passes.lists import Lists


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


def _sparse(encoding: Encoding) -> Sparse | Flat | None:
    """An encoding that holds some elements of a matrix, or of the tensor that it is one of; None for
    others."""
    if isinstance(encoding, Flat) and isinstance(encoding.base, Sparse):
        return encoding
    return encoding if isinstance(encoding, Sparse) else None
