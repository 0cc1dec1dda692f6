"""The schedule taken without tuning beside the best that the tuner finds.

Use: python -m benchmarks.tuning [products pairs convolutions attention] [--database FILE] [--minutes 5]
     [--compute bf16] [--output benchmarks/results/tuning.md]

The tuner gets 24 trials for each kernel (--trials; fewer where there are fewer schedules, which are all
measured then; none that the database holds already); then the fastest and the first choices are timed again,
longer, in turns with the default schedule. With --output, rows that the file's .json neighbour holds of other
kernels are kept. With --train, kernels of seeded random sizes are measured at random schedules instead, and
what the database holds of them makes a model, which --learned compares with the first choice in a column of
its own; no kernel of the table is among them.
"""

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.kernels import CASES, Case, Conv, Product, tasks
from drystone import machine
from drystone.autotune import explore
from drystone.autotune.database import Database
from drystone.autotune.learned import Learned, learn
from drystone.autotune.measurements import Measurement, point_text
from drystone.autotune.schedules import Schedules
from drystone.autotune.session import Limits, Session
from drystone.autotune.task import Task, Tunable
from drystone.autotune.worker import Worker
from drystone.codegen.search import Point
from drystone.options import ELEMENTS

_ABOUT = """\
The schedule taken without tuning beside the best that the tuner found: times relative to the best, {machine},
2 threads, {element} where nothing else is said. *default*: the rule of the kernel's family; *first choice*:
what `compile` takes.

"""
#: Random schedules of a kernel that is learned from.
_SAMPLE = 24
#: Seconds of calls in a trial that is learned from, and in one of those that decide; how many of these, and
#: of how many of the fastest schedules.
_SHORT, _LONG, _AGAIN, _FINALISTS = 0.06, 0.25, 3, 3


@dataclass(frozen=True)
class Row:
    """A kernel's times relative to the best schedule: the family's default, and the first choice of each way
    to choose. best: seconds."""

    kernel: str
    schedules: int
    best: float
    default: float
    choices: dict[str, float]


class Exhausted(Exception):
    """The time is up."""


class Measuring:
    """Measures what a database lacks, until the time is up. trials: of the tuner, for one kernel."""

    def __init__(self, database: Database, minutes: float, trials: int = 0) -> None:
        self._database, self._worker, self._trials = database, Worker(), trials
        self._end = time.monotonic() + 60 * minutes

    def tune(self, task: Task, schedules: Schedules) -> None:
        """Give the tuner its trials."""
        known = {point_text(m.point) for m in self._database.of(task.signature())}
        trials = min(self._trials, len(schedules.points)) - len(known)
        if trials > 0:
            limits = Limits(trials, self._left())
            Session([Tunable("kernel", task, 1)], self._database, self._worker, limits).run()
            self._left()

    def sample(self, task: Task, schedules: Schedules) -> None:
        """Random schedules, the same every time."""
        points = random.Random(task.label).sample(schedules.points, min(_SAMPLE, len(schedules.points)))
        known = {point_text(m.point) for m in self._database.of(task.signature())}
        for point in points:
            if point_text(point) not in known:
                self._one(task, schedules, point, _SHORT)

    def again(self, task: Task, schedules: Schedules, points: Iterable[Point]) -> None:
        """These schedules until each was measured so often that its median decides."""
        for point in points:
            made = sum(m.point == point for m in self._database.of(task.signature()))
            for _ in range(1 + _AGAIN - made):
                self._one(task, schedules, point, _LONG)

    def close(self) -> None:
        """End the child."""
        self._worker.close()

    def _left(self) -> float:
        """Seconds that are left. Raises Exhausted."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise Exhausted
        return left

    def _one(self, task: Task, schedules: Schedules, point: Point, seconds: float) -> None:
        self._left()
        (outcome,) = self._worker.measure(task, [point], seconds)
        self._database.record(task, point, outcome, schedules.describe(point))


def ratios(measured: Sequence[Measurement]) -> dict[str, float]:
    """By point, the median time relative to the default schedule's; of points measured again without the
    first, short trial."""
    found: dict[str, list[float]] = {}
    for each in measured:
        if each.outcome.ratio is not None:
            found.setdefault(point_text(each.point), []).append(each.outcome.ratio)
    return {key: statistics.median(times[1:] or times) for key, times in found.items()}


def row(case: Case, task: Task, measuring: Measuring, database: Database, learned: Learned | None) -> Row:
    """Measure one kernel and compare the choices."""
    schedules = Schedules(task)
    measuring.tune(task, schedules)
    choices = {"first choice": explore.first_choice(schedules)}
    if learned is not None:
        choices["learned"] = explore.first_choice(schedules, learned)
    fastest = sorted(ratios(database.of(task.signature())).items(), key=lambda pair: pair[1])
    finalists = [key for key, _ in fastest[:_FINALISTS]]
    decide = {*finalists, *(point_text(p) for p in (schedules.default, *choices.values()))}
    measuring.again(task, schedules, [p for p in schedules.points if point_text(p) in decide])
    measured = database.of(task.signature())
    sure = {key: ratio for key, ratio in ratios(measured).items() if key in decide}
    best = min(sure.values())
    baseline = statistics.median(m.outcome.baseline for m in measured if m.outcome.baseline)
    return Row(
        str(case),
        len(schedules.points),
        best * baseline,
        sure[point_text(schedules.default)] / best,
        {name: sure[point_text(point)] / best for name, point in choices.items()},
    )


def compared(
    cases: Sequence[Case], compute: str, measuring: Measuring, database: Database, learned: Learned | None
) -> tuple[list[Row], bool]:
    """The rows of the kernels that were measured in time, and whether these are all."""
    rows: list[Row] = []
    try:
        for case, task in _shown(tasks(cases, compute), len(cases)):
            rows.append(row(case, task, measuring, database, learned))
    except Exhausted:
        return rows, False
    finally:
        measuring.close()
    return rows, True


def kept(rows: Sequence[Row], path: Path) -> list[Row]:
    """These rows and those of other kernels that the file holds, in the table's order; the file holds all
    then."""
    held = [Row(**each) for each in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []
    found = {each.kernel: each for each in (*held, *rows)}
    every = [found[name] for name in map(str, chain(*CASES.values())) if name in found]
    path.write_text(json.dumps([asdict(each) for each in every], indent=1) + "\n", encoding="utf-8")
    return every


def table(rows: Sequence[Row]) -> str:
    """The rows, and what they come to."""
    names = list(dict.fromkeys(name for each in rows for name in each.choices))
    head = ["kernel", "schedules", "best ms", "default", *names]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for each in rows:
        times = [each.default, *(each.choices.get(name, math.nan) for name in names)]
        cells = [each.kernel, str(each.schedules), f"{each.best * 1e3:.3f}"]
        cells += ["—" if math.isnan(t) else f"{t:.2f}" for t in times]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for name in ("default", *names):
        times = [
            each.default if name == "default" else each.choices[name]
            for each in rows
            if name == "default" or name in each.choices
        ]
        mean = math.exp(statistics.fmean(map(math.log, times)))
        within = sum(t <= 1.15 for t in times)
        lines.append(f"- {name}: {mean:.3f} of the best (geometric mean), {max(times):.2f} at most, ")
        lines[-1] += f"{within} of {len(times)} within 15 %"
    return "\n".join(lines) + "\n"


def sampled(count: int, seed: int) -> list[Case]:
    """Products and convolutions of random sizes, none of them in the table."""
    rng = random.Random(seed)
    wide = [64, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1000, 1024, 1280, 1536, 2048]
    deep = [*wide, 3072, 4096, 5632]
    cases: list[Case] = []
    while len(cases) < count:
        cold = rng.random() < 0.5
        if rng.random() < 0.5:
            rows = rng.choice([1, 4, 16, 50, 64, 100, 128, 197, 256, 400, 512, 784, 1024, 3136])
            case: Case = Product("random", rows, rng.choice(deep), rng.choice(deep), cold)
            size = rows * case.k * case.n
        else:
            kernel, side = rng.choice([1, 1, 3]), rng.choice([7, 14, 20, 28, 40, 56, 80])
            inputs, outputs = rng.choice(wide), rng.choice(wide)
            case = Conv("random", 1, inputs, outputs, side, kernel, rng.choice([1, 1, 1, 2]), 1, cold)
            size = side * side * inputs * outputs * kernel * kernel
        if 2e6 < size < 1e9 and case not in chain(*CASES.values()):
            cases.append(case)
    return cases


def collect(database: Database, minutes: float, count: int, seed: int = 1) -> bool:
    """Measure random schedules of random kernels; whether all were done."""
    measuring = Measuring(database, minutes)
    try:
        for _, task in _shown(tasks(sampled(count, seed)), count):
            measuring.sample(task, Schedules(task))
    except Exhausted:
        return False
    finally:
        measuring.close()
    return True


def _shown(items: Iterable[tuple[Case, Task]], count: int) -> Iterable[tuple[Case, Task]]:
    return track(items, "kernels", total=count, console=Console(stderr=True), transient=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="family", help=", ".join(CASES))
    parser.add_argument(
        "--database", default="tuning-benchmark.db", help="measurements, kept from run to run"
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="stop measuring then; run again to go on")
    parser.add_argument("--trials", type=int, default=24, help="of the tuner, for each kernel")
    parser.add_argument("--compute", choices=list(ELEMENTS), default="f32", help="as in Options")
    parser.add_argument("--output", type=Path, help="also write the table here")
    parser.add_argument("--train", type=int, metavar="COUNT", help="measure random kernels; write the model")
    parser.add_argument("--learned", type=Path, help="a model that --train made: to read, or to write")
    arguments = parser.parse_args()
    if unknown := set(arguments.families) - set(CASES):
        parser.error(f"no family {sorted(unknown)}; there are {', '.join(CASES)}")
    database = Database(arguments.database)
    if arguments.train:
        done = collect(database, arguments.minutes, arguments.train)
        model = learn(database.latest(100_000))
        if model is not None:
            (arguments.learned or Path("learned.json")).write_text(model.text(), encoding="utf-8")
        print(f"learned from {len(database.latest(100_000))} measurements")
        raise SystemExit(0 if done else "the time is up: run again to go on")
    learned = Learned.of_text(arguments.learned.read_text()) if arguments.learned else None
    cases = list(chain(*(CASES[name] for name in arguments.families or CASES)))
    measuring = Measuring(database, arguments.minutes, arguments.trials)
    rows, done = compared(cases, arguments.compute, measuring, database, learned)
    print(table(rows) if rows else "", end="")
    if arguments.output and rows:
        every = kept(rows, arguments.output.with_suffix(".json"))
        arguments.output.write_text(
            _ABOUT.format(machine=machine.cpu_name(), element=arguments.compute) + table(every),
            encoding="utf-8",
        )
    if not done:
        raise SystemExit("the time is up: run again to go on")


if __name__ == "__main__":
    main()
