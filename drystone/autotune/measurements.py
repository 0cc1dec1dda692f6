"""Measurements of schedules, and the best of a kernel's."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from drystone.autotune.worker import Outcome
from drystone.codegen.search import Point


@dataclass(frozen=True)
class Measurement:
    """One trial as it is kept: what of, what came of it, the features models learn from, and when it was
    (seconds since 1970)."""

    signature: str
    point: Point
    outcome: Outcome
    features: dict[str, float]
    at: float


@dataclass(frozen=True)
class Best:
    """The fastest schedule known of a kernel; its time and the default schedule's, medians."""

    point: Point
    seconds: float
    baseline: float

    @property
    def speedup(self) -> float:
        """How many times faster than the default schedule."""
        return self.baseline / self.seconds


def best_of(measurements: Iterable[Measurement]) -> Best | None:
    """The point of the least median ratio to the default. Points that failed in any trial are out; where some
    were measured again, only those count (one fast trial may be luck). None where nothing was measured."""
    groups: dict[str, list[Measurement]] = defaultdict(list)
    for each in measurements:
        groups[point_text(each.point)].append(each)
    sound = [g for g in groups.values() if all(m.outcome.ratio is not None for m in g)]
    again = [group for group in sound if len(group) > 1] or sound
    found: list[tuple[float, Best]] = []
    for group in again:
        ratio = statistics.median(m.outcome.ratio or 0.0 for m in group)
        baseline = statistics.median(m.outcome.baseline or 0.0 for m in group)
        found.append((ratio, Best(group[0].point, ratio * baseline, baseline)))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def point_text(point: Point) -> str:
    """A point as text, the same for the same point."""
    return json.dumps(point, sort_keys=True)
