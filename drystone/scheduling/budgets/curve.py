"""How much memory a program needs, and what needing less costs: what a range of budgets gets."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import le
from typing import Any

from drystone.scheduling.budgets.allot import Allotment
from drystone.scheduling.budgets.budget import spell_bytes
from drystone.scheduling.problem import Plan, Problem, plan_gap


@dataclass(frozen=True)
class Point:
    """What a budget of `ram` bytes gets.

    extra: what its calls take beyond those of the plan without a budget, as a part of those. moved: bytes
    copied between levels. read: bytes of weights that each run reads from the model's file. how: what is done
    to need less.
    """

    ram: int
    extra: float
    moved: int
    read: int
    how: tuple[str, ...]
    memory: Allotment

    @property
    def problem(self) -> Problem:
        """The problem of the activations."""
        return self.memory.problem

    @property
    def plan(self) -> Plan:
        """The activations' plan."""
        return self.memory.plan

    @property
    def gap(self) -> float:
        """How far the cost of the activations' plan (without any: their bytes) may be above the least, as a
        part of what is proven; infinite where nothing is."""
        return plan_gap(self.plan)

    @property
    def proof(self) -> str:
        """What is known about how good the activations' plan is."""
        if not self.gap:
            return "proven least"
        return "not proven" if self.gap == float("inf") else f"at most {100 * self.gap:.1f} % above least"

    @property
    def cost(self) -> tuple[int, float]:
        """What points are compared by: what traffic costs, and work."""
        work = {op.name: op.work or 0 for op in self.problem.operations}
        again = sum(work[name] for name in self.plan.order) - sum(work.values())
        return self.plan.cost - again + self.read, self.extra

    def beats(self, other: "Point") -> bool:
        """Whether it needs no more than another, and neither its traffic nor its work costs more."""
        return self.ram <= other.ram and all(map(le, self.cost, other.cost))

    def data(self) -> dict[str, Any]:
        """The point as JSON has it."""
        return {
            "ram": self.ram,
            "activations": self.memory.arena.size,
            "states": self.memory.states,
            "weights": self.memory.resident,
            "extra": self.extra,
            "moved": self.moved,
            "read": self.read,
            "gap": None if self.gap == float("inf") else self.gap,
            "how": list(self.how),
        }


@dataclass(frozen=True)
class Curve:
    """Points from the least memory to that above which nothing is gained; each costs more than the next.

    level: the memory level whose bytes are counted; "" where that is all memory, states and weights as well.
    bound: bytes below which no plan of this program as a whole can be; `driver`: the operation that needs
    them for itself, where one does; of all memory, what they are for. `str()` gives a table.
    """

    points: tuple[Point, ...]
    level: str
    bound: int
    driver: str = ""

    def data(self) -> dict[str, Any]:
        """The curve as JSON has it."""
        points = [point.data() for point in self.points]
        return {"level": self.level or None, "bound": self.bound, "driver": self.driver, "points": points}

    def __str__(self) -> str:
        columns = [column for column in _COLUMNS if column.shown(self)]
        rows = [[column.title for column in columns]]
        rows += [[column.cell(point, self) for column in columns] for point in self.points]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = []
        for cells in rows:
            padded = (
                cell.ljust(width) if column.left else cell.rjust(width)
                for cell, width, column in zip(cells, widths, columns, strict=True)
            )
            lines.append("  ".join(padded).rstrip())
        why = f": {self.driver}{' needs them for itself' if self.level else ''}" if self.driver else ""
        lines.append(f"no plan of the program as a whole can need less than {self.bound:,} bytes{why}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[Point, Curve], str]
    shown: Callable[[Curve], bool] = lambda curve: True
    left: bool = False


def _all_memory(curve: Curve) -> bool:
    return not curve.level


_COLUMNS = (
    _Column("ram", lambda p, c: f"{p.ram:,} B"),
    _Column("", lambda p, c: spell_bytes(p.ram)),
    _Column("of the most", lambda p, c: f"{100 * p.ram / (c.points[-1].ram or 1):.1f} %"),
    _Column("activations", lambda p, c: spell_bytes(p.memory.arena.size), _all_memory),
    _Column(
        "states",
        lambda p, c: spell_bytes(p.memory.states),
        lambda c: not c.level and any(p.memory.states for p in c.points),
    ),
    _Column("weights", lambda p, c: spell_bytes(p.memory.resident), _all_memory),
    _Column("read a run", lambda p, c: spell_bytes(p.read), lambda c: any(p.read for p in c.points)),
    _Column("extra work", lambda p, c: f"{100 * p.extra:.1f} %"),
    _Column("bytes moved", lambda p, c: f"{p.moved:,}", lambda c: any(p.moved for p in c.points)),
    _Column("cost", lambda p, c: p.proof, lambda c: bool(c.level), left=True),
    _Column("how", lambda p, c: ", ".join(p.how), lambda c: any(p.how for p in c.points), left=True),
)
