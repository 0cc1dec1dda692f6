"""Arenas and times of models with and without what makes tensors smaller or lets them share memory.

python -m benchmarks.planning.rewrites [--output benchmarks/results/rewrites.md]

Residuals that are overwritten by the sum that reads them, logits that are never stored, and those that are
not computed as a loss leaves them out, are turned off in the compiler for the left columns; a depthwise
convolution writes over its input where a budget asks for it.
Times are medians of interleaved calls on two threads in fp32.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import drystone
from benchmarks.models import InvertedResidual, ViTTiny, mobilenet_v2, resnet50
from benchmarks.table import show
from drystone.passes.fusing.fuse_row_stats import FuseRowStats
from drystone.passes.fusing.slice_rows import SliceRows
from drystone.passes.outlining import in_place

_HEAD = """\
| model | arena without | with | ms without | with | time |
|---|---|---|---|---|---|
"""
_CALLS = 15


class Head(nn.Module):
    """A vocabulary's projection of two texts, and the loss or the choice that reads its logits."""

    def __init__(self, width: int, words: int, what: str) -> None:
        super().__init__()
        self.project, self.what = nn.Linear(width, words, bias=False), what

    def forward(self, hidden: Tensor, target: Tensor) -> Tensor:
        logits = self.project(hidden)
        if self.what == "argmax":
            return logits.argmax(-1)
        if self.what == "loss of the next token":
            logits, target = logits[:, :-1], target[:, 1:]
        smoothing = 0.1 if self.what == "smoothed cross entropy" else 0.0
        return F.cross_entropy(logits.flatten(0, 1), target.flatten(), label_smoothing=smoothing)


def _compiled(model: nn.Module, inputs: tuple[Tensor, ...], ram: int | None = None) -> drystone.Fitted:
    budget = drystone.Budget(ram=None if ram is None else {"ram": ram})
    return drystone.compile(model.eval(), inputs, budget=budget, options=drystone.Options(threads=2))


def row(name: str, without: drystone.Fitted, fitted: drystone.Fitted, inputs: tuple[Tensor, ...]) -> str:
    """One line of the table; the two must agree."""
    for one, other in zip(*(torch.as_tensor(f(*inputs)).reshape(-1) for f in (without, fitted)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_CALLS):
        for each, spent in zip((without, fitted), times, strict=True):
            began = time.perf_counter()
            each(*inputs)
            spent.append(1e3 * (time.perf_counter() - began))
    ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
    arenas = [f"{each.memory.arena:,}" for each in (without, fitted)]
    medians = [f"{statistics.median(spent):.2f}" for spent in times]
    return f"| {' | '.join([name, *arenas, *medians, f'{ratio:.2f}'])} |"


def residuals(name: str, model: nn.Module, image: Tensor) -> str:
    """A network whose sums take the place of what they read."""
    with mock.patch.object(in_place, "_line_by_line", lambda *_: []):
        without = _compiled(model, (image,))
    return row(name, without, _compiled(model, (image,)), (image,))


def depthwise(name: str, model: nn.Module, image: Tensor, ram: int) -> str:
    """A network within a budget that its depthwise convolutions meet by writing over their inputs."""
    return row(name, _compiled(model, (image,)), _compiled(model, (image,), ram), (image,))


def logits(rows: int, words: int, width: int, what: str) -> str:
    """The end of a language model."""
    model = Head(width, words, what)
    inputs = torch.randn(2, rows // 2, width), torch.randint(0, words, (2, rows // 2))
    nothing = {"new": lambda *_: None}
    with mock.patch.object(FuseRowStats, "run", **nothing), mock.patch.object(SliceRows, "run", **nothing):
        without = _compiled(model, inputs)
    name = f"{what} of {rows} x {words:,} logits, width {width}"
    return row(name, without, _compiled(model, inputs), inputs)


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    image = torch.randn(1, 3, 224, 224)
    # The second block of MobileNetV2 at 56 x 56: input, 144 channels once, and a little more.
    block, budget = InvertedResidual(24, 24, 1, 6), 4 * 56 * 56 * (144 + 24) + 2048
    cases: list[Callable[[], Any]] = [
        lambda: residuals("ResNet-50", resnet50(), image),
        lambda: residuals("MobileNetV2", mobilenet_v2(), image),
        lambda: residuals("ViT-Tiny", ViTTiny(), image),
        lambda: depthwise("a block of MobileNetV2", block, torch.randn(1, 24, 56, 56), budget),
        lambda: logits(256, 32000, 768, "cross entropy"),
        lambda: logits(256, 32000, 768, "smoothed cross entropy"),
        lambda: logits(256, 32000, 768, "loss of the next token"),
        lambda: logits(256, 32000, 768, "argmax"),
        lambda: logits(512, 16000, 512, "cross entropy"),
    ]
    show(_HEAD, (case() for case in cases), arguments.output)


if __name__ == "__main__":
    main()
