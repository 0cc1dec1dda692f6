"""What every kernel of a compiled model costs: measured time beside bytes, flops and the machine's peak."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drystone.dtypes import Array
from drystone.runtime.manifest import KernelCall, Manifest

if TYPE_CHECKING:
    from drystone.runtime.fitted import Fitted


@dataclass(frozen=True)
class Peaks:
    """What this machine reached just now: fp32 operations per second in numpy's matrix product, bytes per
    second of a copy larger than the caches (read and write counted)."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Row:
    """A kernel call with its median time in seconds and the larger of its shares of the two peaks."""

    call: KernelCall
    seconds: float
    share: float


@dataclass(frozen=True)
class Report:
    """Rows in execution order; `seconds` is the median of whole calls. `str()` gives a table."""

    rows: tuple[Row, ...]
    seconds: float
    threads: int
    peaks: Peaks
    manifest: Manifest

    def __str__(self) -> str:
        head = f"{'kernel':28} {'us':>9} {'%':>5} {'MFLOP':>9} {'KiB':>9} {'of peak':>8}  from"
        total = sum(row.seconds for row in self.rows) or 1.0
        lines = [head]
        for row in self.rows:
            lines.append(
                f"{row.call.name[:28]:28} {row.seconds * 1e6:9.1f} {100 * row.seconds / total:5.1f} "
                f"{row.call.flops / 1e6:9.2f} {row.call.bytes / 1024:9.1f} {100 * row.share:7.0f}%"
                f"  {row.call.where}"
            )
        lines.append(
            f"{len(self.rows)} kernels, {self.seconds * 1e3:.3f} ms a call on {self.threads} threads; arena "
            f"{self.manifest.arena} bytes; peak {self.peaks.flops / 1e9:.0f} GFLOP/s, "
            f"{self.peaks.bytes / 1e9:.1f} GB/s (measured)"
        )
        return "\n".join(lines)

    def to_html(self, path: str | Path) -> Path:
        """Write the table and the picture of the memory plan as one self-contained page."""
        total = sum(row.seconds for row in self.rows) or 1.0
        body = "\n".join(
            f"<tr><td>{escape(r.call.name)}</td><td>{escape(r.call.kind)}</td><td>{r.seconds * 1e6:.1f}</td>"
            f'<td><div class="bar" style="width:{100 * r.seconds / total:.2f}%"></div>'
            f"{100 * r.seconds / total:.1f}</td><td>{r.call.flops / 1e6:.2f}</td>"
            f"<td>{r.call.bytes / 1024:.1f}</td><td>{100 * r.share:.0f}</td>"
            f"<td>{escape(r.call.where)}</td></tr>"
            for r in self.rows
        )
        summary = str(self).rsplit("\n", 1)[-1]
        page = _PAGE.format(summary=escape(summary), rows=body, picture=self.manifest.picture)
        target = Path(path)
        target.write_text(page, encoding="utf-8")
        return target


def measure_peaks(threads: int) -> Peaks:
    """Time a 1024^3 product and a 128 MiB copy in numpy; the best of five."""
    a = np.ones((1024, 1024), np.float32)
    out = np.empty_like(a)
    source, target = np.ones(1 << 24, np.float64), np.empty(1 << 24, np.float64)

    def best(work: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    flops = 2 * 1024**3 / best(lambda: np.matmul(a, a, out=out))
    return Peaks(flops, 2 * source.nbytes / best(lambda: np.copyto(target, source)))


def measure(fitted: "Fitted", inputs: list[Array], runs: int, threads: int) -> Report:
    """Run the model `runs` times with the kernels' clock on; medians."""
    calls = fitted.manifest.kernels
    profile = np.zeros((runs, len(calls), 2), np.int64)
    whole = []
    fitted.execute(inputs, threads=threads)
    for run in range(runs):
        start = time.perf_counter()
        fitted.execute(inputs, threads=threads, profile=profile[run])
        whole.append(time.perf_counter() - start)
    seconds = np.median(profile[..., 1] - profile[..., 0], axis=0) * 1e-9
    peaks = measure_peaks(threads)
    rows = []
    for call, took in zip(calls, seconds.tolist(), strict=True):
        least = max(call.flops / peaks.flops, call.bytes / peaks.bytes)
        rows.append(Row(call, took, least / took if took > 0 else 0.0))
    return Report(tuple(rows), float(np.median(whole)), threads, peaks, fitted.manifest)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>drystone report</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color:
#222; }} h1, h2 {{ font-weight: 600; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 13px; }}
th, td {{ text-align: right; padding: .2rem .6rem; border-bottom: 1px solid #e3e0da; }}
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2), th:last-child, td:last-child {{ text-align:
left; }} td:last-child {{ color: #666; word-break: break-all; }}
.bar {{ height: 3px; background: #8a7f6d; }}
svg {{ width: 100%; height: auto; }}
</style></head><body>
<h1>drystone report</h1>
<p>{summary}</p>
<h2>Memory over time</h2>
{picture}
<h2>Kernels</h2>
<table><thead><tr><th>kernel</th><th>kind</th><th>&micro;s</th><th>% of time</th><th>MFLOP</th><th>KiB</th>
<th>% of peak</th><th>from</th></tr></thead><tbody>
{rows}
</tbody></table>
</body></html>
"""
