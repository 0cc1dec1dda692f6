"""Records of measurements, and the tables made of them."""

import dataclasses
import json
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.adapters import PEERS
from benchmarks.peers.measure import Result, Row
from benchmarks.peers.workloads import BEYOND_CACHES, SIZES, WORKLOADS


@dataclass
class Records:
    """Results by workload and arithmetic, on one machine with one number of threads.

    A result may be a text: why the process that measured it gave none.
    """

    machine: str
    threads: int
    peaks: dict[str, float] = field(default_factory=dict)
    results: dict[tuple[str, str], Result | str] = field(default_factory=dict)

    def read(self, path: Path) -> None:
        """Take over what a file holds of the same machine."""
        data = json.loads(path.read_text(encoding="utf-8"))
        if (data["machine"], data["threads"]) != (self.machine, self.threads):
            return
        self.peaks = data["peaks"]
        for key, value in data["results"].items():
            workload, arithmetic = key.split("/")
            self.results[workload, arithmetic] = _result(value) if isinstance(value, dict) else value

    def write(self, path: Path) -> None:
        results = {
            f"{workload}/{arithmetic}": result if isinstance(result, str) else dataclasses.asdict(result)
            for (workload, arithmetic), result in sorted(self.results.items())
        }
        data = {**vars(self), "results": results}
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    def raise_peaks(self, measured: dict[str, float]) -> None:
        """Take over what is above the peaks so far: a neighbour can only lower what is measured."""
        self.peaks |= {name: max(peak, self.peaks.get(name, 0.0)) for name, peak in measured.items()}

    def has(self, workload: str, arithmetic: str, peers: Collection[str]) -> bool:
        """Whether all these peers were measured at once."""
        result = self.results.get((workload, arithmetic))
        return isinstance(result, Result) and {row.peer for row in result.rows} >= set(peers)

    def ordered(self) -> Iterator[tuple[str, str, Result | str]]:
        for workload in WORKLOADS:
            for arithmetic in SIZES:
                if (workload, arithmetic) in self.results:
                    yield workload, arithmetic, self.results[workload, arithmetic]

    def at_peak(self, workload: str, arithmetic: str, result: Result) -> float:
        """The seconds at the measured peak: for operations, or for bytes where memory is the bound."""
        if WORKLOADS[workload].bound == "memory":
            return result.read / self.peaks.get("read", math.nan)
        return result.flops / self.peaks.get(arithmetic, math.nan)


def _result(data: dict[str, Any]) -> Result:
    return Result(**{**data, "rows": [Row(**row) for row in data["rows"]]})


def best_peer(result: Result) -> Row | None:
    """The fastest that is not drystone."""
    peers = [row for row in result.rows if row.peer != "drystone" and not math.isnan(row.time)]
    return min(peers, key=lambda row: row.time, default=None)


def ours(result: Result) -> Row | None:
    return next((row for row in result.rows if row.peer == "drystone"), None)


def markdown(records: Records) -> str:
    """The page: the machine, drystone against the best peer, and every figure of every peer."""
    peaks = ", ".join(
        f"{name} {value / 1e9:.0f} {'GB/s from memory' if name == 'read' else 'G operations/s'}"
        for name, value in records.peaks.items()
    )
    head = [f"{records.machine}; {records.threads} threads. Measured peaks: {peaks or 'none'}.", ""]
    return "\n".join([*head, *_verdicts(records), "", *_details(records), ""])


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float, form: str) -> str:
    return "—" if math.isnan(value) else format(value, form)


def _verdicts(records: Records) -> Iterator[str]:
    columns = ["work", "arithmetic", "drystone ms", "best peer", "ms", "ratio", "wanted", "ratio at peak"]
    columns += ["share of peak", "wanted"]
    yield _line(*columns)
    yield "|---" * len(columns) + "|"
    for workload, arithmetic, result in records.ordered():
        if isinstance(result, str):
            yield _line(WORKLOADS[workload].label, arithmetic, result, *[""] * 7)
            continue
        row, best = ours(result), best_peer(result)
        target = WORKLOADS[workload].wanted.get(arithmetic)
        time, theirs = (one.time if one else math.nan for one in (row, best))
        peak = records.at_peak(workload, arithmetic, result)
        yield _line(
            WORKLOADS[workload].label,
            arithmetic,
            row.failed if row and row.failed else _number(time * 1e3, ".2f"),
            PEERS[best.peer][0] if best else "—",
            _number(theirs * 1e3, ".2f"),
            _number(time / theirs, ".2f"),
            _wanted("<=", target.ratio if target else None, time / theirs, ".2f"),
            _number(peak / theirs, ".2f"),
            _number(peak / time, ".0%"),
            _wanted(">=", target.share if target else None, peak / time, ".0%"),
        )


def _wanted(sign: str, bound: float | None, value: float, form: str) -> str:
    if bound is None:
        return ""
    met = value <= bound if sign == "<=" else value >= bound
    return f"{sign} {bound:{form}} {'met' if met else 'NOT MET'}"


def _details(records: Records) -> Iterator[str]:
    columns = ("work", "arithmetic", "peer", "ms", "iqr", "to best peer", "share of peak", "compile s")
    columns += ("compile MiB", "run MiB", "artifact MiB", "error")
    yield _line(*columns)
    yield "|---" * len(columns) + "|"
    for workload, arithmetic, result in records.ordered():
        if isinstance(result, str):
            continue
        best, of = best_peer(result), "of peak"
        if WORKLOADS[workload].bound == "memory":
            of = "of memory" if result.working_set > BEYOND_CACHES else "of memory, cache-resident"
        for row in result.rows:
            name = PEERS[row.peer][0]
            if row.failed:
                yield _line(workload, arithmetic, name, row.failed, *[""] * 8)
                continue
            yield _line(
                workload,
                arithmetic,
                name,
                _number(row.time * 1e3, ".3f"),
                _number(row.spread, ".0%"),
                _number(row.time / best.time if best else math.nan, ".2f"),
                _number(records.at_peak(workload, arithmetic, result) / row.time, ".0%") + f" {of}",
                _number(row.compile, ".1f"),
                *(_number(value / 2**20, ".1f") for value in (row.compile_peak, row.run_peak, row.artifact)),
                _number(row.error, ".1e")
                + (f", {row.tokens} {'largest' if arithmetic == 'int8' else 'tokens'}" if row.tokens else ""),
            )
