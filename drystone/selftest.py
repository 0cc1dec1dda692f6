"""A fixed set of small models, compiled for a target, executed there and compared with the interpreter."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from drystone import frontend
from drystone.compiler import compile
from drystone.ir.context import new_context
from drystone.ir.interpreter import run as interpret

if TYPE_CHECKING:

    class Module:
        """nn.Module, which type checking does not look into."""

        def eval(self) -> Any: ...

else:
    Module = nn.Module

#: Largest accepted relative L2 error against the interpreter, which computes in float64.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Result:
    """One model's outcome; `error` is the relative L2 error over all outputs."""

    model: str
    ok: bool
    error: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{'ok  ' if self.ok else 'FAIL'}  {self.model:20} error {self.error:.1e}  {self.seconds:.1f} s"
        )


class DigitsCNN(Module):
    """A small convolutional classifier of 8 x 8 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.features(x).flatten(1)).log_softmax(-1)


class Recurrent(Module):
    """Two layers of a bidirectional LSTM and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(12, 20, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(40, 7)

    def forward(self, x: torch.Tensor) -> Any:
        hidden, (last, _) = self.lstm(x)
        return self.head(hidden), last


class MixedBag(Module):
    """Operators of many kinds, several of them left to the upstream lowering."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 6)
        self.up = nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> Any:
        picked = self.table(ids)
        image = self.up(x).tanh()
        pooled = nn.functional.avg_pool2d(image, 2, padding=1)
        return {
            "sorted": picked.sort(-1).values,
            "best": pooled.flatten(1).argmax(1),
            "running": x.cumsum(2),
            "joined": torch.cat([pooled, pooled.flip(3)], 1),
            "where": torch.where(x > 0, x.exp(), x.abs().sqrt()),
        }


def _block() -> Any:
    return nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True)


MODELS: dict[str, tuple[Callable[[], Any], Callable[[], tuple[torch.Tensor, ...]]]] = {
    "digits CNN": (DigitsCNN, lambda: (torch.randn(3, 1, 8, 8),)),
    "transformer block": (_block, lambda: (torch.randn(2, 10, 32),)),
    "LSTM": (Recurrent, lambda: (torch.randn(2, 9, 12),)),
    "mixed bag": (MixedBag, lambda: (torch.randn(2, 3, 6, 6), torch.randint(0, 11, (2, 5)))),
}


def run(target: str) -> Iterator[Result]:
    """Compile, execute and compare every model, one result each as it is there."""
    for name, (make, inputs) in MODELS.items():
        torch.manual_seed(0)
        model, args = make().eval(), inputs()
        began = time.monotonic()
        fitted = compile(model, args, target=target)
        arrays = [arg.numpy() for arg in args]
        got = fitted.execute(arrays, threads=fitted.threads)
        program = frontend.import_model(model, args, ctx=new_context())
        want = interpret(program, arrays)
        error = max(_difference(a, b) for a, b in zip(got, want, strict=True))
        yield Result(name, error <= TOLERANCE, error, time.monotonic() - began)


def _difference(got: Any, want: Any) -> float:
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    a, b = got.astype(np.float64), want.astype(np.float64)
    scale = float(np.linalg.norm(b)) or 1.0
    return float(np.linalg.norm(a - b)) / scale
