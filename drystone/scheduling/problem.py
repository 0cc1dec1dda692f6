"""The planner's input and output: plain data, no compiler types.

A Problem is a graph of operations over tensors of known size and a list of memory levels. A Plan is an order,
a home for every tensor over the steps it lives, and the moves between levels.
"""

from dataclasses import dataclass
from typing import Literal

from drystone.targets.target import Level


@dataclass(frozen=True)
class Tensor:
    """A buffer to place: `size` in bytes at the declared bounds. `where` names the user's layer in
    messages."""

    name: str
    size: int
    where: str = ""


@dataclass(frozen=True)
class Operation:
    """A kernel call: tensors read and written, working memory in bytes live during its step only, and pairs
    (output, input) that may share one home when the input dies here."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    scratch: int = 0
    in_place: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Problem:
    """Operations in one valid order, the tensors they touch, the levels from fast to slow.

    A tensor no operation produces lives from the start; one in `kept` lives to the end.
    """

    operations: tuple[Operation, ...]
    tensors: tuple[Tensor, ...]
    levels: tuple[Level, ...]
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Home:
    """Tensor `tensor` stands at `offset` of `level` during the steps start <= step < end."""

    tensor: str
    level: str
    offset: int
    start: int
    end: int


@dataclass(frozen=True)
class Move:
    """Before step `step`: fetch or evict a tensor from one level to another, or compute it again."""

    step: int
    tensor: str
    kind: Literal["fetch", "evict", "recompute"]
    source: str
    destination: str


@dataclass(frozen=True)
class Plan:
    """The order of operations by name, homes, moves, bytes used of each level (`peaks`), the proven lower
    bound on the first level's peak, and how it was found: "optimal", "feasible" or "greedy".

    Scratch of an operation has a home under the name "<operation>.scratch".
    """

    order: tuple[str, ...]
    homes: tuple[Home, ...]
    moves: tuple[Move, ...]
    peaks: dict[str, int]
    bound: int
    status: Literal["optimal", "feasible", "greedy"]
