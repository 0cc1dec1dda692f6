"""Weights that are no plain numbers in the form that kernels of products read."""

from dataclasses import dataclass

from drystone.dtypes import Array
from drystone.ir.encoding import Encoding, Joined, Parts, Sparse
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
        return super().joined(encoding) if isinstance(encoding, Sparse) else self.codes.joined(encoding)

    def problem(self, parts: Parts, encoding: Encoding) -> str:
        """Why kernels do not read the numbers of these parts; "" where they do."""
        if isinstance(encoding, Sparse):
            return super().problem(parts, encoding)
        return self.codes.problem(parts, encoding)

    def join(self, parts: Parts, encoding: Encoding) -> Array:
        """The array of `joined` with the numbers of these parts."""
        if isinstance(encoding, Sparse):
            return super().join(parts, encoding)
        return self.codes.join(parts, encoding)
