"""What every kernel of a compiled model costs: measured time beside bytes, flops and the machine's peak."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drystone.files import write_text
from drystone.png import write_png
from drystone.runtime import peaks
from drystone.runtime.manifest import KernelCall, Manifest
from drystone.sparse_weight import SparseWeight

if TYPE_CHECKING:
    from drystone.runtime.fitted import Fitted


@dataclass(frozen=True)
class Row:
    """A kernel call, its median time in seconds, and its share of the measured peak that limits it."""

    call: KernelCall
    seconds: float
    share: float


@dataclass(frozen=True)
class Layer:
    """A weight with many zeros and the kernel call that reads it; where that reads others too its rates are
    those of all."""

    weight: SparseWeight
    row: Row

    @property
    def equivalent(self) -> float:
        """Operations in a second of a dense kernel that takes as long."""
        return self.row.call.flops / self.row.seconds if self.row.seconds > 0 else 0.0

    @property
    def effective(self) -> float:
        """Operations in a second on numbers that are not 0."""
        return self.equivalent * (1 - self.weight.zeros)

    @property
    def speed(self) -> str:
        """How fast the sparse kernel is beside the dense one: "2.13x estimated"."""
        if self.weight.time <= 0:
            return ""
        how = "measured" if self.weight.measured else "estimated"
        return f"{1 / self.weight.time:.2f}x {how}"

    def __str__(self) -> str:
        each = self.weight
        return (
            f"{each.weight[:40]:40} {each.held[:20]:20} {100 * each.zeros:5.1f} {each.size / 1024:9.1f} "
            f"{100 * each.size / each.dense:5.0f}% {self.effective / 1e9:9.1f} {self.equivalent / 1e9:9.1f} "
            f" {self.speed}"
        )


#: The head of the table of layers.
_LAYERS = (
    f"{'weight with zeros':40} {'held':20} {'zeros':>5} {'KiB':>9} {'dense':>6} {'GFLOP/s':>9} "
    f"{'as dense':>9}  beside dense"
)


@dataclass(frozen=True)
class Report:
    """Rows in execution order; `seconds` is the median of whole calls, `picked` the mean of the bytes that a
    call reads of weights of which rows come when they are read. `str()` gives a table.

    Times are those of the calling thread: where several kernels run without waiting for each other, it may
    have done little of one and much of the next.
    """

    rows: tuple[Row, ...]
    seconds: float
    threads: int
    peaks: peaks.Peaks
    manifest: Manifest
    picked: int = 0

    @property
    def total(self) -> float:
        """The sum of all kernels' seconds."""
        return sum(row.seconds for row in self.rows) or 1.0

    @property
    def longest(self) -> float:
        """The seconds of the kernel that takes most."""
        return max((row.seconds for row in self.rows), default=0.0) or 1.0

    @property
    def layers(self) -> list[Layer]:
        """Weights with many zeros whose kernels are known."""
        return [Layer(each, self.rows[each.call]) for each in self.manifest.sparsity if each.call >= 0]

    @property
    def traffic(self) -> str:
        """Bytes that kernels read and write, of the model as it was written and as it is compiled."""
        before, after = (f"{n / 2**20:.1f} MiB" for n in (self.manifest.unfused, self.manifest.moved))
        return f"bytes moved: {before} before fusion, {after} after"

    @property
    def streamed(self) -> str:
        """One line about the weights that come and go in each run; "" where all stay."""
        plan, m = self.manifest.streaming, self.manifest
        if plan is None:
            return ""
        sizes = m.sizes(m.weights)
        come = [slot for _, _, slot in plan.reads]
        stay, read = (f"{sum(sizes[slot] for slot in slots) / 2**20:.1f} MiB" for slots in (plan.kept, come))
        tables = ", ".join(m.weights[slot].name for slot in plan.tables)
        return (
            f"weights: {stay} stay ({len(plan.kept)} of {len(sizes)}), {read} come and go in each run "
            f"({len(set(come))}), at most {plan.resident / 2**20:.1f} MiB are there at once"
            + (f"; only rows are read of {tables}" if tables else "")
            + (f"; {self._windows}" if plan.windows else "")
        )

    @property
    def _windows(self) -> str:
        """What comes of weights row by row."""
        plan, m = self.manifest.streaming, self.manifest
        assert plan is not None
        names = ", ".join(m.weights[slot].name for slot, *_ in plan.windows)
        stay = sum(pages for *_, pages in plan.windows) * 4096
        return (
            f"rows come when they are read of {names}: {self.picked / 2**20:.2f} MiB a call, "
            f"of which at most {stay / 2**20:.1f} MiB stay"
        )

    @property
    def summary(self) -> str:
        """One line about the whole model."""
        return (
            f"{self.manifest.counted}, {self.seconds * 1e3:.3f} ms a call on {self.threads} "
            f"thread{'s' if self.threads > 1 else ''}; "
            f"{self.manifest.divided}, at least {self.manifest.plan['bound']} needed; "
            f"this machine reaches {self.peaks}"
        )

    def __str__(self) -> str:
        lines = [f"{'kernel':28} {'us':>9} {'%':>5} {'MFLOP':>9} {'KiB':>9} {'of peak':>8}  from"]
        for row in self.rows:
            part = 100 * row.seconds / self.total
            lines.append(
                f"{row.call.name[:28]:28} {row.seconds * 1e6:9.1f} {part:5.1f} {row.call.flops / 1e6:9.2f} "
                f"{row.call.bytes / 1024:9.1f} {100 * row.share:7.0f}%  {row.call.where}"
            )
        m = self.manifest
        notes = map(str, (*m.patched, *m.attention, *m.formats, *m.removed))
        layers = [_LAYERS, *map(str, self.layers), *map(str, m.sparsity)] if m.sparsity else []
        said = filter(None, (self.summary, self.traffic, self.streamed))
        return "\n".join([*lines, *said, *notes, *layers])

    def to_html(self, path: str | Path) -> Path:
        """Write the table and the picture of the memory plan as one self-contained page."""
        import jinja2

        source = files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        target = Path(path)
        write_text(target, environment.from_string(source).render(report=self))
        return target

    def to_png(self, path: str | Path) -> Path:
        """Draw the picture of the memory plan into a file; it takes the package resvg-py."""
        return write_png(self.manifest.picture, path)


def measure(fitted: "Fitted", inputs: Sequence[Any], runs: int, threads: int) -> Report:
    """Run the model `runs` times with the kernels' clock on; medians."""
    calls = fitted.manifest.kernels
    profile = np.zeros((runs, len(calls), 2), np.int64)
    whole = []
    fitted.execute(inputs, threads=threads)
    before = fitted.rows_read
    for run in range(runs):
        start = time.perf_counter()
        fitted.execute(inputs, threads=threads, profile=profile[run])
        whole.append(time.perf_counter() - start)
    picked = (fitted.rows_read - before) // runs
    seconds = np.median(profile[..., 1] - profile[..., 0], axis=0) * 1e-9
    machine = peaks.measure()
    rows = [
        Row(call, took, machine.least(call.flops, call.bytes) / took if took > 0 else 0.0)
        for call, took in zip(calls, seconds.tolist(), strict=True)
    ]
    return Report(tuple(rows), float(np.median(whole)), threads, machine, fitted.manifest, picked)
