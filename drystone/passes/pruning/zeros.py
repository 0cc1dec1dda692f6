"""Where a pruned weight [outputs, inputs] is to have zeros, and how many."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding import Compressed, Pattern, Structured
from drystone.ir.encoding.patterns import block_squares


class Zeros(ABC):
    """A pattern of zeros, of weights of any shape."""

    @abstractmethod
    def pattern(self, outputs: int, inputs: int) -> Pattern:
        """What holds the numbers of a weight that are left."""

    @abstractmethod
    def left(self, scores: Array, share: float = 1.0, *, whole: bool = False) -> Array:
        """Which numbers of a weight are left, bool [n, k]: those of the largest scores of an output or, with
        `whole`, of all outputs. With a share of the zeros more are; where that grows no zero has to become
        another number."""

    @abstractmethod
    def problem(self, outputs: int, inputs: int) -> str:
        """Why a weight of this shape cannot have such zeros; "" where it can."""

    @abstractmethod
    def together(self, inputs: int) -> int:
        """How many inputs, of so many, have to be decided on together."""

    def holds_all(self, outputs: int, inputs: int) -> bool:
        """Whether no number of such a weight has to be 0."""
        return False


@dataclass(frozen=True)
class Free:
    """Zeros that are chosen for each weight: anywhere, so that all together have this `level`; or, where that
    is None, in whatever pattern, or not at all, as is best within a budget."""

    level: float | None = None


@dataclass(frozen=True)
class Groups(Zeros):
    """N:M: of every `of` neighbouring inputs of an output at most `kept_of` are not 0."""

    kept_of: int
    of: int

    def pattern(self, outputs: int, inputs: int) -> Pattern:
        """Groups along the inputs."""
        return Structured(1, self.kept_of, self.of)

    def left(self, scores: Array, share: float = 1.0, *, whole: bool = False) -> Array:
        """The largest of every group, whatever they are compared with."""
        pattern = Structured(1, self.of - int(share * (self.of - self.kept_of)), self.of)
        places = pattern.places(pattern.find(scores), scores.shape)
        found = np.zeros(scores.shape, bool)
        found.flat[places[places >= 0]] = True
        return found

    def problem(self, outputs: int, inputs: int) -> str:
        """There are groups, or there is nothing to prune."""
        return ""

    def together(self, inputs: int) -> int:
        """A group."""
        return self.of

    def holds_all(self, outputs: int, inputs: int) -> bool:
        """Where there are so few inputs."""
        return inputs <= self.kept_of

    def __str__(self) -> str:
        return f"{self.kept_of}:{self.of}"


@dataclass(frozen=True)
class Blocks(Zeros):
    """The part `level` of all blocks of so many outputs and inputs, to the nearest whole number, is 0; of
    numbers where a block is one. All outputs, or rows of blocks, have as many, up to one (Sun et al. 2023,
    section 3): where they are compared with each other (`whole`), those whose numbers are small lose
    everything."""

    level: float
    block: tuple[int, int] = (1, 1)

    def pattern(self, outputs: int, inputs: int) -> Pattern:
        """Lists of blocks, output by output."""
        rows, columns = self._blocks(outputs, inputs)
        return Compressed(self._kept(rows * columns), self.block)

    def left(self, scores: Array, share: float = 1.0, *, whole: bool = False) -> Array:
        """The blocks of the largest sums of squares of every row of blocks, or of all."""
        (rows, columns), (high, wide) = self._blocks(*scores.shape), self.block
        sums = block_squares(scores, self.block)
        compared = sums.reshape(1, -1) if whole else sums
        ranks = np.argsort(np.argsort(-compared, axis=1, kind="stable"), axis=1)
        count = compared.shape[1]
        ends = np.array([self._kept(count * n) for n in range(len(compared) + 1)])
        zeros = (share * (count - np.diff(ends))).astype(int)
        found: Array = (ranks < count - zeros[:, None]).reshape(rows, columns)
        return found.repeat(high, 0).repeat(wide, 1)[: scores.shape[0], : scores.shape[1]]

    def problem(self, outputs: int, inputs: int) -> str:
        """Blocks of which none, or all, would be 0."""
        rows, columns = self._blocks(outputs, inputs)
        count = rows * columns
        if 0 < self._kept(count) < count:
            return ""
        what = "numbers" if self.block == (1, 1) else f"blocks {self.block[0]} x {self.block[1]}"
        return f"has {count} {what}, of which no part is near {self.level:g}"

    def together(self, inputs: int) -> int:
        """All: which of them matter differs, so that parts of a row have different levels."""
        return inputs

    def __str__(self) -> str:
        blocks = "" if self.block == (1, 1) else f" in blocks {self.block[0]}x{self.block[1]}"
        return f"{self.level:.0%} zeros{blocks}"

    def _blocks(self, outputs: int, inputs: int) -> tuple[int, int]:
        """Blocks along the outputs and along the inputs."""
        return -(-outputs // self.block[0]), -(-inputs // self.block[1])

    def _kept(self, count: int) -> int:
        """How many of the first so many blocks are left."""
        return count - round(self.level * count)
