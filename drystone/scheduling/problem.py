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
    messages. `home` is the slower level in which it always lies, as weights and inputs may: its first fetch
    costs what any fetch costs, and it is never written back."""

    name: str
    size: int
    where: str = ""
    home: str = ""


@dataclass(frozen=True)
class Operation:
    """A kernel call: tensors read and written, working memory in bytes live during its step only, pairs
    (output, input), the output no larger, that may start at one place when the input dies here, and the
    operations that must come before it for other reasons than its inputs (memory that is not planned).
    `where` names the user's layer in messages. `work` is what running it once more costs, in bytes moved;
    None: it may run only once. `time` is how long it runs, in the unit in which the levels' bandwidths are
    given."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    scratch: int = 0
    in_place: tuple[tuple[str, str], ...] = ()
    after: tuple[str, ...] = ()
    where: str = ""
    work: int | None = None
    time: int = 0


@dataclass(frozen=True)
class Problem:
    """Operations in one valid order, the tensors they touch, the levels from fast to slow.

    A tensor that no operation produces lives from the start: in the slower level it names as its home, else
    in the first. One in `kept` lives to the end. Operations work on the first level, and on others where they
    are `direct`.
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
    """Copy a tensor from its home in one level to a home in another, complete before step `step`. It begins
    before step `since`, or where that is None before `step` itself: there the home in the destination starts,
    and the tensor stays in the source until `step`. Moves that begin before the same step are made in the
    order given."""

    step: int
    tensor: str
    source: str
    destination: str
    since: int | None = None

    @property
    def begins(self) -> int:
        """The step before which the copy begins."""
        return self.step if self.since is None else self.since


@dataclass(frozen=True)
class Plan:
    """Operations by name in the order they run (one that runs again is there again), homes, moves, and bytes
    used of each level (`peaks`) with the proven lower bound on the first level's (`bound`).

    `cost` is what the plan spends: bytes moved to or from a slower level, or accessed there, times what that
    level's bytes cost, and the work of what runs again. `cost_bound` is the least that any plan of this
    capacity must spend. `time` is when all is done if operations run one after the other and, beside them,
    each slower level moves one tensor after the other. `status` is "optimal" where cost, and without any cost
    the peak, is proven least; "feasible" and "greedy" say whether the solver found the plan or did not better
    the quick answer. Scratch of an operation has a home under the name "<operation>.scratch".
    """

    order: tuple[str, ...]
    homes: tuple[Home, ...]
    moves: tuple[Move, ...]
    peaks: dict[str, int]
    bound: int
    status: Literal["optimal", "feasible", "greedy"]
    cost: int = 0
    cost_bound: int = 0
    time: int = 0


def as_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able values, for an artifact's manifest; its gap is None where nothing is proven."""
    gap = plan_gap(plan)
    return {**asdict(plan), "gap": None if gap == float("inf") else gap}


def plan_gap(plan: Plan) -> float:
    """How far above the proven bound the plan's cost (without any: its peak) may be, as a part of the bound;
    0 where it is optimal."""
    found, bound = next(iter(plan.peaks.values()), 0), plan.bound
    if plan.cost:
        found, bound = plan.cost, plan.cost_bound
    if plan.status == "optimal" or found == bound:
        return 0.0
    return (found - bound) / bound if bound else float("inf")
