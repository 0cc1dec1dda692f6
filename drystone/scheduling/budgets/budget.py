"""What to say where a plan needs more memory than there is."""

from typing import Any

from drystone.errors import UserError
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph
from drystone.scheduling.placement.conflict import Conflict, cannot_share
from drystone.scheduling.problem import Plan

_UNITS = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
_SHOWN = 8


class OverBudget(UserError):
    """There is too little memory for every plan that was looked for; `least` bytes would do, `proven` is what
    no plan of the program as a whole can do without, `why` says what needs the former and `driver` what the
    latter, if that is one operation: its name; where states and weights count, their names as well.

    `room` is what there was for activations, where all else takes `apart` bytes. Where weights may come and
    go, of `total` bytes `beside` are for what is neither activations nor weights of one step. `pieces`: about
    what would do with layers computed piece by piece, where that is less than `least`.
    """

    def __init__(
        self,
        what: str,
        *,
        why: str,
        least: int,
        proven: int,
        room: int,
        driver: str = "",
        beside: int | None = None,
        total: int = 0,
        apart: int = 0,
        pieces: int | None = None,
    ) -> None:
        self.why, self.least, self.proven, self.room = why, least, proven, room
        self.driver, self.beside, self.total = driver, beside, total
        self.apart, self.pieces = apart, least if pieces is None else pieces
        met = f"ram={least} (no plan of the model as a whole can need less than {proven} bytes)"
        if pieces is not None:
            met = f"about ram={pieces}, with layers computed piece by piece; as a whole {met}"
        super().__init__(
            what,
            hint=f"{why}\n  the least budget this version can meet: {met}; "
            "smaller inputs or a smaller batch need less",
        )

    @property
    def together(self) -> int | None:
        """What there was for activations and the weights of one step; None where weights are not counted."""
        return None if self.beside is None else self.total - self.beside

    def with_pieces(self, alone: int | None, together: int | None = None) -> "OverBudget":
        """The same, saying what could do with layers computed piece by piece: where activations need `alone`
        bytes, or they and the weights of one step `together`; None where that is not possible."""
        pairs = (alone, self.apart), (together, self.beside or 0)
        could = [least + beside for least, beside in pairs if least]
        needed = min(could, default=self.least)
        return self if needed >= self.least else self.changed(pieces=needed)

    def changed(self, what: str = "", **changes: Any) -> "OverBudget":
        """The same with something else in it."""
        names = ("why", "least", "proven", "room", "driver", "beside", "total", "apart")
        return OverBudget(what or self.what, **{name: getattr(self, name) for name in names} | changes)


def spell_bytes(size: int) -> str:
    """The amount in the largest unit that keeps it readable: "640 B", "1.50 MiB"."""
    for unit, scale in _UNITS.items():
        if size >= scale:
            return f"{size / scale:.2f} {unit}"
    return f"{size} B"


def too_small(graph: Graph, plan: Plan, least: int, effort: Effort) -> OverBudget:
    """What to say where the first level is too small: `plan` is the one of least peak in which nothing moves,
    `least` the capacity that would do. It names the step that needs most, and tensors that cannot share the
    level under this order (an irreducible set, where it is proven within the effort)."""
    problem, level = graph.problem, graph.problem.levels[0]
    peak, capacity = plan.peaks[level.name], level.capacity or 0
    blocks = graph.blocks([graph.number[name] for name in plan.order])
    alive = [
        [block for block in blocks if block.start <= step < block.end] for step in range(len(plan.order))
    ]
    fullest = max(range(len(alive)), key=lambda step: sum(block.size for block in alive[step]))
    conflict = cannot_share(blocks, capacity, effort)
    if conflict is None:
        guilty, why = alive[fullest], "tensors alive then"
    else:
        guilty = list(conflict.blocks)
        why = "these cannot share the budget in this order"
        why += " (any of them left out, the others can)" if conflict.irreducible else ""
        why = why if len(guilty) > 1 else "this alone does not fit the budget"
    names = Conflict(tuple(guilty), False).layers(problem)
    listed = sorted(zip(guilty, names, strict=True), key=lambda pair: (-pair[0].size, pair[1]))
    shown = [f"    {spell_bytes(block.size):>11}  {name}" for block, name in listed[:_SHOWN]]
    shown += [f"    and {len(listed) - _SHOWN} more"] if len(listed) > _SHOWN else []
    step = plan.order[fullest]
    place = next((op.where for op in problem.operations if op.name == step), "") or step
    text = "\n".join(shown)
    needed = spell_bytes(peak)
    if least < peak:
        needed += f", with part of it computed again or moved {spell_bytes(least)}"
    proven = plan.bound if graph.rigid else graph.least()
    return OverBudget(
        f"the activations need {needed}, the budget is {spell_bytes(capacity)}",
        why=f"the fullest step is {place}; {why}:\n{text}",
        least=least,
        proven=proven,
        room=capacity,
        driver=graph.neediest() if proven == graph.least() else "",
    )
