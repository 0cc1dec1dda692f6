"""Reading ahead: while a packed matrix is multiplied panel by panel, the next panel is asked for."""

from dataclasses import dataclass

from drystone.codegen.elements import width
from drystone.codegen.operands import Tensor
from drystone.codegen.tile import Index, TileBuilder
from drystone.targets.target import Target

#: Bits of a cache line.
_LINE = 512
#: The part of the second cache from which on a weight of a convolution is likely not to be there any more
#: when the model comes to it again.
_GONE = 0.125


def come_from_memory(weights: int, target: Target) -> bool:
    """Whether so many bytes of weights of one convolution do."""
    return weights >= _GONE * target.l2


@dataclass(frozen=True)
class Ahead:
    """Panels, [panel, elements], each a run of memory that is read again and again through so many rounds of
    products.

    A panel that comes from memory holds up the first rows that pass by it, while the others do not use the
    memory. So some of the next panel is asked for, into the second cache, in every round.
    """

    panels: Tensor
    rounds: int

    @staticmethod
    def of(packed: Tensor, rounds: int) -> "Ahead":
        """Of a tensor whose first dimension counts panels."""
        return Ahead(packed.collapse([[0], list(range(1, len(packed.shape)))]), rounds)

    def ask(self, t: TileBuilder, panel: Index, done: Index) -> None:
        """In a round of `panel` before which others are `done`: ask for its share of the panel after it."""
        line = _LINE // width(self.panels.held)
        size = self.panels.shape[1] or line
        lines = -(-size // line)
        some = min(-(-lines // self.rounds) * line, size)
        first = (done * lines // self.rounds * line).min(size - some)
        t.prefetch(self.panels, [panel + 1, first], [None, some], read=True, far=True)
