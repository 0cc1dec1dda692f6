"""The planner's input and output: plain data, no compiler types.

A Problem is a graph of operations over tensors of known size and a list of memory levels. A Plan is an order,
a home for every tensor over the steps it lives, and the moves between levels.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

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
    """A kernel call: tensors read and written, working memory in bytes live during its step only, pairs
    (output, input) of equal size that may share one home when the input dies here, and the operations that
    must come before it for other reasons than its inputs (memory that is not planned). `where` names the
    user's layer in messages."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    scratch: int = 0
    in_place: tuple[tuple[str, str], ...] = ()
    after: tuple[str, ...] = ()
    where: str = ""


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


def offsets(plan: Plan) -> dict[str, int]:
    """The first home's offset of every tensor, for code generation."""
    found: dict[str, int] = {}
    for home in plan.homes:
        found.setdefault(home.tensor, home.offset)
    return found


def as_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able values, for an artifact's manifest."""
    return {**asdict(plan), "gap": plan_gap(plan)}


def plan_gap(plan: Plan) -> float:
    """How far above the proven bound the plan may be, as a part of the bound; 0 where it is optimal."""
    peak = next(iter(plan.peaks.values()), 0)
    return (peak - plan.bound) / plan.bound if plan.bound else 0.0
