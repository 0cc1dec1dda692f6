"""Models compiled for a small fast memory level beside a large slow one: what moves, and what that takes.

python -m benchmarks.planning.levels [--output benchmarks/results/levels.md]

Both levels are parts of this machine's memory, so that the last columns are what the copies themselves cost.
The fast level is the smallest that `drystone.fit` finds a plan for, and half way from there to where nothing
moves. Times are medians of interleaved calls on two threads in fp32.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

import drystone
from benchmarks.planning import networks
from benchmarks.table import show
from drystone.targets import Level, resolve

_HEAD = """\
| model | one level | fast level | slow level | copies | bytes moved | gap | ms in one | in two | time |
|---|---|---|---|---|---|---|---|---|---|
"""
NAMES = ("ResNet-50", "MobileNetV2", "DenseNet-121", "ViT-Tiny/16", "BERT-small", "DARTS")
_CALLS = 15


def rows(name: str, model: nn.Module, x: Tensor) -> Iterator[str]:
    """The lines of a model."""
    options = drystone.Options(threads=2)
    board = replace(resolve("cpu"), name="two levels", levels=(Level("fast"), Level("slow")))
    whole = drystone.compile(model.eval(), (x,), options=options)
    curve = drystone.fit(model, (x,), board, points=3, level="fast", options=options)
    for point in curve.points[:-1]:
        limits = drystone.Budget(ram={"fast": point.ram})
        fitted = drystone.compile(model, (x,), board, budget=limits, options=options)
        yield row(name, whole, fitted, x)


def row(name: str, whole: drystone.Fitted, fitted: drystone.Fitted, x: Tensor) -> str:
    """One line of the table; the two must agree."""
    torch.testing.assert_close(fitted(x), whole(x), rtol=1e-4, atol=1e-4)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_CALLS):
        for each, spent in zip((whole, fitted), times, strict=True):
            began = time.perf_counter()
            each(x)
            spent.append(1e3 * (time.perf_counter() - began))
    ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
    plan, copies = fitted.memory.plan, [c for c in fitted.manifest.kernels if c.kind == "copy"]
    moved = sum(call.bytes // 2 for call in copies)
    gap = "proved" if plan["gap"] == 0 else "?" if plan["gap"] is None else f"{100 * plan['gap']:.0f} %"
    sizes = [whole.memory.arena, plan["peaks"]["fast"], plan["peaks"].get("slow", 0)]
    cells = [name, *(f"{size:,}" for size in sizes), str(len(copies)), f"{moved:,}", gap]
    return f"| {' | '.join([*cells, *(f'{statistics.median(t):.2f}' for t in times), f'{ratio:.2f}'])} |"


def _model(name: str) -> tuple[nn.Module, Tensor]:
    """A network with random weights, and its input."""
    words = torch.randint(0, 1000, (1, 128), dtype=torch.int32)
    return networks.NETWORKS[name](), words if name.startswith("BERT") else torch.randn(1, 3, 224, 224)


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    show(_HEAD, (line for name in NAMES for line in rows(name, *_model(name))), arguments.output)


if __name__ == "__main__":
    main()
