"""Products with sparse weights beside the same ones dense, and beside the sparse products of torch and scipy.

    python -m benchmarks.sparse [work ...] [--rounds 40] [--output benchmarks/results/sparse.md]

Calls take turns; medians of whole calls, and ratios of these. A layer has x as [rows, inputs], as models
have it; peers are given x already turned, as their products want it. Work that is bound by memory is a row of
layers whose weights no cache holds.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import drystone
from drystone.ir import formats
from drystone.ir.encoding import Codes, Compressed, Encoding, Pattern, Sparse, Structured


@dataclass(frozen=True)
class Work:
    """`rows` by `layers` square matrices of a `size`, with zeros in a pattern; asked: ratios to the dense
    product and to the best sparse peer."""

    pattern: Pattern
    rows: int
    zeros: float
    values: Encoding
    size: int = 1024
    layers: int = 1
    asked: tuple[float | None, float | None] = (None, None)


PLAIN, SHORT, GROUPS = Codes("f32"), Codes("bf16"), Structured(1, 2, 4)
BLOCKS = Compressed(0, (16, 16))
WORK = {
    "90 % zeros, 128 rows, f32": Work(Compressed(0), 128, 0.9, PLAIN, asked=(0.5, 0.5)),
    "95 % zeros, 128 rows, f32": Work(Compressed(0), 128, 0.95, PLAIN, asked=(0.3, 0.5)),
    "90 % zeros, 1 row, f32": Work(Compressed(0), 1, 0.9, PLAIN, 4096, 3),
    "80 % of blocks 16x16, 128 rows, f32": Work(BLOCKS, 128, 0.8, PLAIN, asked=(0.35, 0.5)),
    "80 % of blocks 16x16, 128 rows, bf16": Work(BLOCKS, 128, 0.8, SHORT, asked=(0.35, 0.5)),
    "2:4, 1 row, f32": Work(GROUPS, 1, 0.5, PLAIN, 4096, 3, (0.65, 0.5)),
    "2:4, 1 row, bf16": Work(GROUPS, 1, 0.5, SHORT, 4096, 3, (0.65, 0.5)),
    "2:4, 1 row, int8": Work(GROUPS, 1, 0.5, formats.int8_row(), 4096, 3, (0.65, 0.5)),
    "2:4, 128 rows, f32": Work(GROUPS, 128, 0.5, PLAIN, asked=(0.8, None)),
}


class Layers(nn.Module):
    """Square matrices one after the other."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(size, size, bias=False) for _ in range(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def zeroed(weight: torch.Tensor, work: Work) -> None:
    """Put zeros into a weight: the least of every group, or some at random."""
    if isinstance(work.pattern, Structured):
        groups = weight.view(len(weight), -1, work.pattern.of)
        least = groups.abs().argsort(-1)[..., : work.pattern.of - work.pattern.kept_of]
        groups.scatter_(-1, least, 0)
        return
    assert isinstance(work.pattern, Compressed)
    blocks = [n // b for n, b in zip(weight.shape, work.pattern.block, strict=True)]
    kept = (torch.rand(blocks) >= work.zeros).numpy()
    weight.mul_(torch.from_numpy(np.kron(kept, np.ones(work.pattern.block))))


def calls(work: Work) -> dict[str, Callable[[], object]]:
    """What is timed: drystone sparse and dense, and the peers."""
    torch.manual_seed(0)
    model, x = Layers(work.layers, work.size).eval(), torch.randn(work.rows, work.size)
    for layer in model.layers:
        zeroed(layer.weight.data, work)
    weights = [layer.weight.detach() for layer in model.layers]
    element = work.values.element if isinstance(work.values, Codes) else ""
    options = drystone.Options(compute="bf16" if element == "bf16" else None, threads=2)

    def compiled(encoding: Encoding) -> drystone.Fitted:
        how = {".*": drystone.Quantize(encoding, method="nearest")}
        return drystone.compile(model, (x,), quantize=how, options=options)

    held = compiled(Sparse(work.pattern, work.values))
    dense = (
        drystone.compile(model, (x,), options=options, sparsify={".*": None})  # zeros are not looked for
        if element in ("f32", "bf16")
        else compiled(work.values)
    )
    error = (held(x) - dense(x)).abs().max() / dense(x).abs().max()
    assert error < 0.02, f"sparse and dense differ by {error}"
    found: dict[str, Callable[[], object]] = {"sparse": lambda: held(x), "dense": lambda: dense(x)}
    turned = x.T.contiguous()

    def chain(matrices: list[torch.Tensor]) -> Callable[[], object]:
        def call() -> object:
            y = turned
            for matrix in matrices:
                y = matrix @ y
            return y

        return call

    found["torch CSR"] = chain([w.to_sparse_csr() for w in weights])
    if isinstance(work.pattern, Compressed) and work.pattern.block != (1, 1):
        found["torch BSR"] = chain([w.to_sparse_bsr(work.pattern.block) for w in weights])
    from scipy import sparse

    listed, plain = [sparse.csr_array(w.numpy()) for w in weights], turned.numpy()

    def by_scipy() -> object:
        y = plain
        for matrix in listed:
            y = matrix @ y
        return y

    found["scipy"] = by_scipy
    return found


def times(work: Work, rounds: int) -> dict[str, float]:
    """Median seconds of a call of each."""
    given = calls(work)
    taken: dict[str, list[float]] = {name: [] for name in given}
    with torch.inference_mode():
        for number in range(rounds + 3):
            for name, call in given.items():
                begin = time.perf_counter()
                call()
                if number >= 3:
                    taken[name].append(time.perf_counter() - begin)
    return {name: float(np.median(each)) for name, each in taken.items()}


def row(name: str, rounds: int) -> str:
    """A row of the table."""
    work, found = WORK[name], times(WORK[name], rounds)
    peer = min((each for each in found if each not in ("sparse", "dense")), key=found.__getitem__)
    asked = ["" if each is None else f"{each:g}" for each in work.asked]
    ratios = [f"{found['sparse'] / found[each]:.2f}" for each in ("dense", peer)]
    us = [f"{1e6 * found[each]:.0f}" for each in ("sparse", "dense", peer)]
    cells = [name, us[0], us[1], ratios[0], asked[0], f"{peer} {us[2]}", ratios[1], asked[1]]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", nargs="*", default=list(WORK), help=", ".join(WORK))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    lines = [
        "| work | sparse, us | dense, us | ratio | asked | best sparse peer, us | ratio | asked |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    print("\n".join(lines))
    for name in arguments.work:
        lines.append(row(name, arguments.rounds))
        print(lines[-1], flush=True)
    if arguments.output is not None:
        head = "Products with sparse weights on two threads: `python -m benchmarks.sparse`\n\n"
        arguments.output.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
