"""Weights that are no plain numbers in the form that kernels of products read."""

from dataclasses import dataclass

from drystone.dtypes import Array
from drystone.ir.encoding import Encoding, Joined, Parts, Sparse
from drystone.passes.coded import CodePanels
from drystone.passes.lists import Lists


@dataclass(frozen=True)
class Panels:
    """How a matrix of a shape lies for a product: its outputs along `axis`, in panels of `width`. Of a
    sparse one: `rows` it is multiplied with (0: any number), `group` neighbouring inputs that a unit sums,
    `taps` of a convolution; `left`: it is the left operand, and multiplied with so many columns."""

    shape: tuple[int, int]
    axis: int
    width: int
    rows: int = 0
    group: int = 1
    taps: int = 0
    left: bool = False

    @property
    def lists(self) -> Lists:
        """How it lies where it is sparse."""
        return Lists(self.shape, self.axis, self.width, self.rows, self.group, self.taps, self.left)

    @property
    def codes(self) -> CodePanels:
        """How it lies where it has codes."""
        return CodePanels(self.shape, self.axis, self.width)

    def joined(self, encoding: Encoding) -> Joined | str:
        """The encoding in which a kernel reads the numbers of another one; or why none does."""
        return self.lists.joined(encoding) if isinstance(encoding, Sparse) else self.codes.joined(encoding)

    def problem(self, parts: Parts, encoding: Encoding) -> str:
        """Why kernels do not read the numbers of these parts; "" where they do."""
        if isinstance(encoding, Sparse):
            return self.lists.problem(parts, encoding)
        return self.codes.problem(parts, encoding)

    def join(self, parts: Parts, encoding: Encoding) -> Array:
        """The array of `joined` with the numbers of these parts."""
        if isinstance(encoding, Sparse):
            return self.lists.join(parts, encoding)
        return self.codes.join(parts, encoding)
