"""Convolutions with sparse weights beside the same ones dense.

    python -m benchmarks.sparse_convolutions [work ...] [--seconds 1]

Calls of the compiled convolution on two threads, sparse and dense, take turns; weights are in the caches.
Both have a transpose before and one behind. Bytes are those of all weights beside those of dense ones.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

import drystone
from drystone.autotune.trial import in_turns
from drystone.ir.encoding import Codes, Compressed, Pattern, Sparse, Structured, by_taps, decode, encode

_THREADS = 2


@dataclass(frozen=True)
class Layer:
    """Channels, the width of a square of taps, and of a square image."""

    inside: int
    outside: int
    taps: int
    width: int

    def __str__(self) -> str:
        return f"{self.inside} to {self.outside}, {self.taps} x {self.taps}, {self.width} x {self.width}"


#: Those of a ResNet.
LAYERS = (
    Layer(64, 64, 3, 56),
    Layer(128, 128, 3, 28),
    Layer(256, 256, 3, 14),
    Layer(512, 512, 3, 7),
    Layer(64, 256, 1, 56),
    Layer(512, 2048, 1, 7),
)
#: Patterns, the part of blocks that are zeros, and the element of what is held.
WORK: dict[str, tuple[Pattern, float, str]] = {
    "2:4, f32": (Structured(1, 2, 4), 0.0, "f32"),
    "2:4, bf16": (Structured(1, 2, 4), 0.0, "bf16"),
    "90% zeros, f32": (Compressed(0), 0.9, "f32"),
    "80% of blocks 16x16, f32": (Compressed(0, (16, 16)), 0.8, "f32"),
    "80% of blocks 16x16, bf16": (Compressed(0, (16, 16)), 0.8, "bf16"),
}


def pruned(layer: Layer, name: str) -> tuple[nn.Conv2d, Sparse]:
    """A convolution with zeros in a pattern, and how its matrix is held."""
    pattern, zeros, element = WORK[name]
    torch.manual_seed(0)
    conv = nn.Conv2d(layer.inside, layer.outside, layer.taps, padding=layer.taps // 2, bias=False).eval()
    array = conv.weight.detach().double().numpy()
    encoding, shape = by_taps(Sparse(pattern, Codes(element)), array.ndim), array.shape
    if isinstance(pattern, Compressed):
        matrix, random = encoding.joined(array), np.random.default_rng(0)
        grid = [n // b for n, b in zip(matrix.shape, pattern.block, strict=True)]
        array = encoding.parted(np.kron(random.random(grid) >= zeros, np.ones(pattern.block)) * matrix, shape)
        encoding = encoding.settled(array)
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(decode(encode(array, encoding), encoding, shape, "f32")))
    assert isinstance(encoding.base, Sparse)
    return conv, encoding.base


def ratios(layer: Layer, name: str, seconds: float) -> tuple[float, float, float]:
    """Seconds of the dense convolution, and time and bytes of the sparse one beside it."""
    conv, encoding = pruned(layer, name)
    x, element = torch.randn(1, layer.inside, layer.width, layer.width), WORK[name][2]
    compute = None if element == "f32" else element
    options = drystone.Options(compute=compute, threads=_THREADS, progress=False)
    how = drystone.Quantize(encoding, method="nearest")
    sparse = drystone.compile(conv, (x,), quantize={".*": how}, options=options)
    dense = drystone.compile(conv, (x,), sparsify={".*": None}, options=options)
    assert float((sparse(x) - dense(x)).norm() / dense(x).norm()) < 1e-4

    def timed(fitted: drystone.Fitted) -> Callable[[], float]:
        def call() -> float:
            began = time.perf_counter()
            fitted.execute([x.numpy()], threads=_THREADS)
            return time.perf_counter() - began

        return call

    found = in_turns(timed(sparse), timed(dense), seconds)
    return found.baseline, found.seconds / found.baseline, sparse.memory.weights / dense.memory.weights


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", nargs="*", default=[*WORK], help="; ".join(WORK).replace("%", "%%"))
    parser.add_argument("--seconds", type=float, default=1.0, help="for each ratio")
    arguments = parser.parse_args()
    print("| convolution | pattern | dense, us | time | bytes |\n| --- | --- | --- | --- | --- |")
    for name in arguments.work:
        for layer in LAYERS:
            taken, part, size = ratios(layer, name, arguments.seconds)
            print(f"| {layer} | {name} | {1e6 * taken:.0f} | {part:.2f} | {size:.2f} |", flush=True)


if __name__ == "__main__":
    main()
