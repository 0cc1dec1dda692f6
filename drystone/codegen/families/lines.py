"""A tensor as lines along one of its dimensions, as softmax and what is like it walk them.

Along the last dimension lanes are neighbouring positions of a line; along another one, neighbouring lines.
"""

from collections.abc import Callable
from dataclasses import dataclass

from drystone.codegen.elements import wide
from drystone.codegen.families.rows import over_rows, split_at
from drystone.codegen.families.tiling import tile_width
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder
from drystone.targets.target import Target


@dataclass(frozen=True)
class Lines:
    """The lines of `x`, whose other dimensions are joined, `extent` long. A tile is `width` elements;
    `across`: they are positions of one line and not one of each of several lines."""

    x: Tensor
    extent: Index
    width: int
    across: bool

    @property
    def step(self) -> int:
        """Positions of a line in one tile."""
        return self.width if self.across else 1

    @property
    def held(self) -> str:
        """What sums are held in."""
        return wide(self.x.dtype)

    def place(self, line: list[Index], j: Index) -> tuple[list[Index], list[int | None]]:
        """Place and shape of the tile at position `j` of a line."""
        if self.across:
            return [*line, j], [*(None for _ in line), self.width]
        return [*line[:-1], j, line[-1]], [*(None for _ in line), self.width]

    def combined(self, t: TileBuilder, op: str, lanes: Tile) -> Tile:
        """What the lanes of one line come to; those of several lines stay apart."""
        return t.reduce(op, lanes, 0) if self.across else lanes

    def each(self, t: TileBuilder, one: Callable[[list[Index]], None]) -> None:
        """The grid that runs `one` on every line, or on as many as there are lanes."""
        rank = len(self.x.shape)
        if not self.across:
            axes: list[tuple[Index | int, int]] = [(self.x.dim(rank - 1), self.width)]
            if rank == 3:
                axes.insert(0, (self.x.dim(0), 1))
            t.grid(axes, lambda *start: one(list(start)))
        elif rank == 1:
            t.grid([(1, 1)], lambda _: one([]))
        else:
            over_rows(t, self.x.dim(0), self.extent, lambda r: one([r]))


def joined(tensor: Tensor, dim: int, across: bool) -> Tensor:
    """A tensor of the lines' own shape with the dimensions beside theirs joined."""
    return split_at(tensor, *((dim,) if across else (dim, dim + 1)))


def lines_of(x: Tensor, dim: int, target: Target) -> Lines:
    """The lines of a tensor along a dimension."""
    across = all(n == 1 for n in x.shape[dim + 1 :])
    x = joined(x, dim, across)
    lanes = x.dim(len(x.shape) - 1)
    width = tile_width(target, wide(x.dtype), lanes, 4 if across else 2)
    return Lines(x, x.dim(1 if dim else 0), width, across)
