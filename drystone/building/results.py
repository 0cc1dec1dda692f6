"""What came of each artifact, for people and for machines."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drystone.building.settings import Limits, seconds
from drystone.options import byte_count
from drystone.runtime.fitted import Fitted

#: What may come of an artifact, and whether that is as it should be.
STATES = {"built": True, "fresh": True, "stale": True, "failed": False, "stopped": False}


@dataclass(frozen=True)
class Result:
    """status: "built"; "fresh": nothing had changed; "stale": it would be built; "failed": `error` says why;
    "stopped": it was not begun, or not ended. why: what had changed. seconds: that building took. fault: the
    failure is one of drystone. missed: limits that are not kept.

    measured: `difference`, the largest of an output from the model's (`runtime.accuracy.distance`), or
    `not_compared` or `not_run`, why there is none; `latency`, in seconds; `ram`, all that is in memory while
    it runs; `arena`, `weights`, `states` and `file`, in bytes; `kernels`; `peak`, bytes that building took.
    """

    name: str
    output: str
    model: str
    variant: str
    target: str
    status: str
    why: tuple[str, ...] = ()
    seconds: float | None = None
    error: str = ""
    fault: bool = False
    missed: tuple[str, ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the artifact is there and within its limits."""
        return STATES[self.status] and not self.missed


def sizes(fitted: Fitted) -> dict[str, Any]:
    """What is measured of an artifact without running it."""
    memory = fitted.memory
    return {
        "ram": memory.ram,
        "arena": memory.arena,
        "weights": memory.weights,
        "states": memory.states,
        "kernels": len(fitted.manifest.kernels),
    }


def missed(limits: Limits, tolerance: float | None, measured: Mapping[str, Any]) -> tuple[str, ...]:
    """The limits that an artifact does not keep; tolerance: of its difference from the model."""
    found = []
    difference, latency = measured.get("difference"), measured.get("latency")
    if difference is not None and tolerance is not None and not difference <= tolerance:
        found.append(f"outputs differ by {difference:.1e} from the model's, {tolerance:g} is allowed")
    for name, limit in (("ram", limits.ram), ("weights", limits.weights)):
        if isinstance(limit, int | str) and measured.get(name, 0) > byte_count(limit):
            found.append(f"{name} takes {measured[name]} bytes, {limit} is allowed")
    if limits.latency is not None and latency is not None and latency > seconds(limits.latency):
        most = seconds(limits.latency) * 1e3
        found.append(f"a call takes {latency * 1e3:.3g} ms, {most:g} ms are allowed")
    return tuple(found)


def to_json(results: Sequence[Result]) -> str:
    """All results, as one document."""
    document = {
        "ok": all(each.ok for each in results),
        "results": [{**dataclasses.asdict(each), "ok": each.ok} for each in results],
    }
    return json.dumps(document, indent=1) + "\n"


def exit_code(results: Sequence[Result]) -> int:
    """As of every command: 0 done, 1 something failed, 3 a fault of drystone."""
    if any(each.fault for each in results):
        return 3
    return 0 if all(each.ok for each in results) else 1
