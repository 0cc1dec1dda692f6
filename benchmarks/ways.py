"""Few rows times codes in every way: decoded, rows in bytes, looked up in tables.

    python -m benchmarks.ways                                # one row, weights from memory
    python -m benchmarks.ways --cached --formats w1 w2       # weights that stay in caches
    python -m benchmarks.ways --shape 11008 4096 --write benchmarks/results/coded-ways.md

Each way is measured at the schedules that the cost model ranks first, as the tuner measures them: in turns
with what `compile` takes, whose time is told too. From memory nearly 1 GiB of copies take turns.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.kernels import FORMATS, THREADS, Coded
from drystone import machine, targets
from drystone.autotune.explore import first_choice, ranking
from drystone.autotune.schedules import Schedules
from drystone.autotune.task import Task
from drystone.autotune.trial import Bench
from drystone.codegen.families.matmul.schedule import DECODED, IN_BYTES, LOOKED_UP
from drystone.codegen.search import Point

NAMES = {DECODED: "decoded", IN_BYTES: "in bytes", LOOKED_UP: "looked up"}
#: Schedules of each way that are measured, and about the seconds of each.
_TRIED, _SECONDS = 3, 0.25


@dataclass(frozen=True)
class Row:
    """Seconds of one call: of the schedule that `compile` takes without tuning, and of each way's best."""

    name: str
    size: int
    first: float
    best: dict[int, float]

    def __str__(self) -> str:
        cells = [self._cell(self.best[way]) if way in self.best else "" for way in NAMES]
        return f"| {self.name} | {self.size / 1e6:.2f} | {' | '.join(cells)} | {self._cell(self.first)} |"

    def _cell(self, seconds: float) -> str:
        return f"{seconds * 1e3:.3f} ({self.size / seconds / 1e9:.1f})"


def tried(schedules: Schedules) -> list[Point]:
    """The schedules of each way that the cost model ranks first."""
    rank = ranking(schedules, None)
    assert rank is not None
    costs = dict(enumerate(rank(schedules.points)))
    ranked = [schedules.points[i] for i in sorted(costs, key=lambda i: costs[i])]
    return [point for way in NAMES for point in [p for p in ranked if p["way"] == way][:_TRIED]]


def measured(name: str, task: Task) -> Row:
    """A row of the table."""
    schedules, bench = Schedules(task), Bench(task)
    try:
        best: dict[int, float] = {}
        for point in tried(schedules):
            seconds = bench.measure(point, _SECONDS).seconds
            best[point["way"]] = min(seconds, best.get(point["way"], seconds))
        first = bench.measure(first_choice(schedules), _SECONDS).seconds
    finally:
        bench.close()
    return Row(name, bench.weight_bytes, first, best)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=2, default=(4096, 4096), help="outputs and inputs")
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--formats", nargs="*", choices=FORMATS, default=[*FORMATS])
    parser.add_argument("--cached", action="store_true", help="weights stay in the caches")
    parser.add_argument("--write", type=Path, help="add the table to this file")
    given = parser.parse_args()
    (n, k), where = given.shape, "in the caches" if given.cached else "from memory"
    lines = [
        f"{given.rows} x {k} x {n}, weights {where}, {THREADS} threads, {machine.cpu_name()}: ms (GB/s)",
        "",
        f"| format | MB | {' | '.join(NAMES.values())} | first choice |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    print("\n".join(lines), flush=True)
    for name in given.formats:
        case = Coded("", given.rows, k, n, not given.cached, name, FORMATS[name])
        row = measured(name, replace(case.task(targets.resolve("cpu")), cold=case.cold))
        lines.append(str(row))
        print(row, flush=True)
    if given.write is not None:
        before = given.write.read_text() + "\n" if given.write.exists() else ""
        given.write.write_text(before + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
