"""Tuning: measure schedules of a program's kernels, the promising ones first, until the budget is spent.

Every kernel gets trials in proportion to its share of the model's time, by D'Hondt's rule: the next batch
goes to the greatest share / (batches + 1). So the split is right whenever the time is up.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drystone.autotune.database import Database
from drystone.autotune.explore import propose, ranking
from drystone.autotune.learned import Learned, learn
from drystone.autotune.measurements import Best, Measurement, best_of, point_text
from drystone.autotune.schedules import Schedules
from drystone.autotune.task import Tunable
from drystone.autotune.worker import Measurer, Outcome
from drystone.codegen.search import Point
from drystone.ir.context import new_context

#: Trials between two trainings of the model, at least.
BATCH = 8
#: Kernels below this share of the time of all are left as they are.
_SHARE = 0.01
#: How many of the fastest are timed again at the end, how often, and for how many seconds each.
_FINALISTS, _AGAIN, _LONGER = 3, 2, 0.25
#: About the seconds that one trial calls the kernel for.
_SECONDS = 0.1
#: Measurements a model is trained on: at least so many, and at most (the newest).
_ENOUGH, _MOST = 32, 5000


@dataclass(frozen=True)
class Limits:
    """When to stop: after so many trials, or seconds, whichever is first; None is no limit."""

    trials: int | None
    seconds: float | None


@dataclass(frozen=True)
class Tuned:
    """What came of one kernel: its names in the program, what it is, calls in a run of the model, trials ever
    made, and its best schedule with its time beside the default's. Where no trial succeeded best is None and
    `failure` says why."""

    names: tuple[str, ...]
    label: str
    calls: int
    trials: int
    best: Best | None
    failure: str = ""


@dataclass(frozen=True)
class Progress:
    """How far tuning is: trials made of how many, the part of the budget that is spent, the kernel at work,
    its best time so far, and how much faster the tuned kernels are in all."""

    trials: int
    limit: int | None
    spent: float
    label: str
    best: Best | None
    speedup: float


Watch = Callable[[Progress], None]


@dataclass
class _Job:
    """One distinct kernel."""

    kernels: list[Tunable]
    schedules: Schedules
    measured: list[Measurement]
    rng: random.Random
    batches: int = 0

    @property
    def calls(self) -> int:
        return sum(kernel.calls for kernel in self.kernels)

    @property
    def label(self) -> str:
        return self.schedules.task.label

    @property
    def baseline(self) -> float | None:
        """Seconds of the default schedule; None where it could not be measured."""
        found = [m.outcome.baseline for m in self.measured if m.outcome.baseline is not None]
        return statistics.median(found) if found else None

    @property
    def weight(self) -> float:
        """Seconds of a run of the model."""
        return self.calls * (self.baseline or 0.0)

    @property
    def best(self) -> Best | None:
        return best_of(self.measured)

    def untried(self) -> list[Point]:
        """The points that were never measured."""
        tried = {point_text(m.point) for m in self.measured}
        return [point for point in self.schedules.points if point_text(point) not in tried]


class Session:
    """One tuning of a program's kernels. Every trial is in the database as soon as it is made, so a session
    that is stopped loses nothing; the next one goes on from there."""

    def __init__(
        self,
        kernels: Sequence[Tunable],
        database: Database,
        measurer: Measurer,
        limits: Limits,
        *,
        seed: int = 0,
        watch: Watch = lambda state: None,
    ) -> None:
        self._database, self._measurer = database, measurer
        self._limits, self._watch = limits, watch
        self._began = time.monotonic()
        self._trials = 0
        self._history = database.latest(_MOST)
        self._model: Learned | None = None
        self._jobs = self._distinct(kernels, seed)

    def run(self) -> list[Tuned]:
        """Spend the budget; what came of each kernel worth tuning."""
        for job in self._jobs:
            if job.baseline is None and not self._over():
                self._measure(job, [job.schedules.default], _SECONDS)
        total = sum(job.weight for job in self._jobs)
        worth = [job for job in self._jobs if job.weight > _SHARE * total]
        touched = []
        while not self._over() and (left := [job for job in worth if job.untried()]):
            job = max(left, key=lambda job: job.weight / (job.batches + 1))
            self._batch(job)
            touched.append(job)
        for job in worth:
            if job in touched:
                self._confirm(job)
        return [self._outcome(job) for job in self._jobs if job in worth or job.baseline is None]

    def _distinct(self, kernels: Sequence[Tunable], seed: int) -> list[_Job]:
        shared = new_context()
        jobs: dict[str, _Job] = {}
        for kernel in kernels:
            signature = kernel.task.signature()
            if signature in jobs:
                jobs[signature].kernels.append(kernel)
                continue
            schedules = Schedules(kernel.task, shared)
            rng = random.Random(f"{seed} {signature}")
            jobs[signature] = _Job([kernel], schedules, self._database.of(signature), rng)
        return list(jobs.values())

    def _over(self) -> bool:
        return self._spent() >= 1

    def _spent(self) -> float:
        """The part of the budget that is gone."""
        parts = [0.0]
        if self._limits.trials is not None:
            parts.append(self._trials / self._limits.trials)
        if self._limits.seconds is not None:
            parts.append((time.monotonic() - self._began) / self._limits.seconds)
        return min(1.0, max(parts))

    def _batch(self, job: _Job) -> None:
        """Measure the most promising of a job's points."""
        count = max(BATCH, 2 * self._measurer.width)
        if self._limits.trials is not None:
            count = min(count, self._limits.trials - self._trials)
        if len(self._history) >= _ENOUGH:
            self._model = learn(self._history[-_MOST:])
        points = job.untried()
        rank = ranking(job.schedules, self._model)
        expected = None if rank is None else rank(points)
        job.batches += 1
        self._measure(job, propose(points, expected, count, job.rng), _SECONDS)

    def _measure(self, job: _Job, points: list[Point], seconds: float, counted: bool = True) -> None:
        width = self._measurer.width
        for start in range(0, len(points), width):
            if counted and start and self._over():
                break
            part = points[start : start + width]
            outcomes = self._measurer.measure(job.schedules.task, part, seconds)
            for point, outcome in zip(part, outcomes, strict=True):
                self._keep(job, point, outcome)
            self._trials += len(part) * counted
            best = job.best
            self._watch(
                Progress(self._trials, self._limits.trials, self._spent(), job.label, best, self._speedup())
            )

    def _keep(self, job: _Job, point: Point, outcome: Outcome) -> None:
        made = self._database.record(job.schedules.task, point, outcome, job.schedules.describe(point))
        job.measured.append(made)
        self._history.append(made)

    def _confirm(self, job: _Job) -> None:
        """Time the fastest again: the fastest of many single trials is often the luckiest."""
        ratios = [(m.outcome.ratio, m.point) for m in job.measured if m.outcome.ratio is not None]
        ranked = [point for _, point in sorted(ratios, key=lambda pair: pair[0] or 0.0)]
        finalists = list({point_text(point): point for point in ranked}.values())[:_FINALISTS]
        default = job.schedules.default
        # The default too, so that nothing slower takes its place.
        for point in [*finalists, *([] if default in finalists else [default])]:
            made = sum(m.point == point for m in job.measured)
            self._measure(job, [point] * max(0, 1 + _AGAIN - made), _LONGER, counted=False)

    def _speedup(self) -> float:
        """Of all kernels together, so far."""
        before = sum(job.weight for job in self._jobs)
        after = sum(job.weight / max(1.0, job.best.speedup) if job.best else job.weight for job in self._jobs)
        return before / after if after else 1.0

    def _outcome(self, job: _Job) -> Tuned:
        names = tuple(kernel.name for kernel in job.kernels)
        failed = [f"{m.outcome.status}: {m.outcome.detail}" for m in job.measured]
        failure = failed[-1] if failed and job.baseline is None else ""
        return Tuned(names, job.label, job.calls, len(job.measured), job.best, failure)
