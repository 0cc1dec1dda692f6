"""A picture of the ratios to the best peer."""

import math
from pathlib import Path

from benchmarks.peers.measure import Result
from benchmarks.peers.table import Records, best_peer, ours
from benchmarks.peers.workloads import WORKLOADS

_COLORS = {"fp32": "#4878a8", "bf16": "#d08030", "int8": "#58925a"}
_PLAIN = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}


def draw(records: Records, path: Path) -> None:
    """Bars of drystone's time over the best peer's, with ticks where they should end."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars = [
        (workload, arithmetic, ratio)
        for workload, arithmetic, result in records.ordered()
        if isinstance(result, Result) and not math.isnan(ratio := _ratio(result))
    ]
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.27 * len(bars)), layout="constrained")
    longest = max((ratio for *_, ratio in bars), default=1.0)
    for place, (workload, arithmetic, ratio) in enumerate(bars):
        axes.barh(place, ratio, color=_COLORS[arithmetic], height=0.7)
        axes.text(ratio + 0.01 * longest, place, f"{ratio:.2f}", va="center", fontsize=8, bbox=_PLAIN)
        target = WORKLOADS[workload].wanted.get(arithmetic)
        if target is not None:
            axes.plot([target.ratio] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2)
    axes.axvline(1.0, color="gray", linewidth=1, linestyle="--", zorder=0)
    axes.set_yticks(
        range(len(bars)), [f"{workload} {arithmetic}" for workload, arithmetic, _ in bars], fontsize=8
    )
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, max(1.1, 1.1 * longest))
    axes.set_xlabel("drystone's time / best peer's time (smaller is better; black: wanted)")
    axes.set_title(f"{records.machine}; {records.threads} threads", fontsize=8)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _ratio(result: Result) -> float:
    row, best = ours(result), best_peer(result)
    return row.time / best.time if row and best else math.nan
