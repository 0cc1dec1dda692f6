"""Products with sparse matrices beside the same ones dense, and the sparse products of torch and scipy.

    python -m benchmarks.sparse [work ...] [--rounds 40] [--output benchmarks/results/sparse.md]

Medians of whole calls, and their ratios. drystone's sparse and dense calls take turns, some at a time, in
a process of their own, those of each peer in another one, for threads of a library that wait hold up those
of others. A layer x w^T has x as [rows, inputs], as models have it; peers are given x already turned, as
their products want it. Layers w x ("left") read x [inputs, columns], as peers do. Work that is bound by
memory is a row of layers whose weights no cache holds. Two sparse matrices are beside scipy's and torch's,
and attention of some of the keys is beside that of all and torch's of the same.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import drystone
from benchmarks import sparse_attention
from benchmarks.isolated import run
from benchmarks.sparse_attention import SIGHT
from drystone.ir import formats
from drystone.ir.encoding import Codes, Compressed, Encoding, Pattern, Sparse, Structured


@dataclass(frozen=True)
class Work:
    """`rows`, or columns of what is to the right of a matrix on the `left`, by `layers` square matrices of a
    `size`, with zeros in a pattern; asked: ratios to the dense product and to the best sparse peer."""

    pattern: Pattern
    rows: int
    zeros: float
    values: Encoding
    size: int = 1024
    layers: int = 1
    asked: tuple[float | None, float | None] = (None, None)
    left: bool = False


PLAIN, SHORT, GROUPS = Codes("f32"), Codes("bf16"), Structured(1, 2, 4)
BLOCKS = Compressed(0, (16, 16))
LISTS = {
    f"{zeros:.0%} zeros, {rows}, f32": Work(Compressed(0), rows, zeros, PLAIN)
    for zeros in (0.9, 0.95)
    for rows in (16, 128, 512)
}
ASKED = {"90% zeros, 128, f32": (0.5, 0.5), "95% zeros, 128, f32": (0.3, 0.5)}
RIGHT = {
    **LISTS,
    "90% zeros, 1, f32": Work(Compressed(0), 1, 0.9, PLAIN, 4096, 3),
    "80% of blocks 16x16, 128, f32": Work(BLOCKS, 128, 0.8, PLAIN, asked=(0.35, 0.5)),
    "80% of blocks 16x16, 128, bf16": Work(BLOCKS, 128, 0.8, SHORT, asked=(0.35, 0.5)),
    "2:4, 1, f32": Work(GROUPS, 1, 0.5, PLAIN, 4096, 6, (0.65, 0.5)),
    "2:4, 1, bf16": Work(GROUPS, 1, 0.5, SHORT, 4096, 12, (0.65, 0.5)),
    "2:4, 1, int8": Work(GROUPS, 1, 0.5, formats.int8_row(), 4096, 3, (0.65, 0.5)),
    "2:4, 1, w4": Work(GROUPS, 1, 0.5, formats.w4(64), 4096, 3),
    "2:4, 128, f32": Work(GROUPS, 128, 0.5, PLAIN, asked=(0.8, None)),
    "2:4, 128, bf16": Work(GROUPS, 128, 0.5, SHORT),
    "2:4, 512, bf16": Work(GROUPS, 512, 0.5, SHORT),
    "2:4, 128, int8": Work(GROUPS, 128, 0.5, formats.int8_row()),
}
LEFT = {
    f"left: {name}": replace(RIGHT[name], left=True, asked=ASKED.get(name, RIGHT[name].asked))
    for name in [*LISTS, "90% zeros, 1, f32", "80% of blocks 16x16, 128, f32"]
}
WORK = {**{name: replace(work, asked=ASKED.get(name, work.asked)) for name, work in RIGHT.items()}, **LEFT}
#: The product of two sparse matrices, of a size and with a part that is not 0.
BOTH = "both sparse, 4096, 1%, f32"
OWN = ("sparse", "dense")
#: Calls that are timed one after the other, and those before, after which caches hold what they read.
RUN, WARM = 10, 2


class Layers(nn.Module):
    """Square matrices one after the other, to the right of x or to its left."""

    def __init__(self, count: int, size: int, *, left: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(size, size, bias=False) for _ in range(count))
        self.left = left

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer.weight @ x if self.left else layer(x)
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


def model_of(work: Work) -> tuple[Layers, torch.Tensor]:
    """The layers, and what they are called with."""
    torch.manual_seed(0)
    shape = (work.size, work.rows) if work.left else (work.rows, work.size)
    model, x = Layers(work.layers, work.size, left=work.left).eval(), torch.randn(shape)
    for layer in model.layers:
        zeroed(layer.weight.data, work)
    return model, x


def own(work: Work) -> dict[str, Callable[[], object]]:
    """drystone's products, sparse and dense."""
    model, x = model_of(work)
    element = work.values.element if isinstance(work.values, Codes) else ""
    options = drystone.Options(compute="bf16" if element == "bf16" else None, threads=2)

    def compiled(encoding: Encoding) -> drystone.Fitted:
        how = {".*": drystone.Quantize(encoding, method="nearest")}
        return drystone.compile(model, (x,), quantize=how, options=options)

    held = compiled(Sparse(work.pattern, work.values))
    plain = element in ("f32", "bf16")
    dense = (
        drystone.compile(model, (x,), sparsify={".*": None}, options=options)
        if plain
        else compiled(work.values)
    )
    # Codes of few bits are others where zeros are none of the numbers that share a scale.
    right = model(x).detach()
    off, least = (float((each(x) - right).norm() / right.norm()) for each in (held, dense))
    assert off < 0.02 + 1.2 * least < 0.3, f"off by {off} where dense is by {least}"
    return {"sparse": lambda: held(x), "dense": lambda: dense(x)}


def peers(work: Work) -> dict[str, Callable[[], object]]:
    """The products of torch and scipy."""
    model, x = model_of(work)
    weights = [layer.weight.detach() for layer in model.layers]
    turned = x if work.left else x.T.contiguous()

    def chain(matrices: list[Any], given: Any) -> Callable[[], object]:
        def call() -> object:
            y = given
            for matrix in matrices:
                y = matrix @ y
            return y

        return call

    found = {"torch CSR": chain([w.to_sparse_csr() for w in weights], turned)}
    if isinstance(work.pattern, Compressed) and work.pattern.block != (1, 1):
        found["torch BSR"] = chain([w.to_sparse_bsr(work.pattern.block) for w in weights], turned)
    from scipy import sparse

    found["scipy"] = chain([sparse.csr_array(w.numpy()) for w in weights], turned.numpy())
    return found


def both(name: str) -> Callable[[], object]:
    """A product of two sparse matrices."""
    from scipy import sparse

    random = np.random.default_rng(0)
    a, b = (
        sparse.random_array((4096, 4096), density=0.01, format="csr", rng=random, dtype=np.float32)
        for _ in range(2)
    )
    if name == "sparse":
        return lambda: drystone.sparse.matmul(a, b, threads=2)
    if name == "scipy":
        return lambda: a @ b
    left, right = (torch.from_numpy(each.toarray()).to_sparse_csr() for each in (a, b))
    return lambda: left @ right


def measured(job: tuple[str, str, int]) -> dict[str, float]:
    """Median seconds of a call of each of a work's calls: "own", or a peer's."""
    name, who, rounds = job
    torch.set_num_threads(2)
    if name == BOTH:
        given = {who: both(who)}
    elif name in SIGHT:
        sight = SIGHT[name]
        given = sparse_attention.own(sight) if who == "own" else {who: sparse_attention.peers(sight)[who]()}
    else:
        given = own(WORK[name]) if who == "own" else {who: peers(WORK[name])[who]}
    taken: dict[str, list[float]] = {each: [] for each in given}
    with torch.inference_mode():
        for number in range(-(-rounds // RUN) + 1):
            for each, call in given.items():
                for again in range(-WARM, RUN):
                    begin = time.perf_counter()
                    call()
                    if number and again >= 0:
                        taken[each].append(time.perf_counter() - begin)
    return {each: float(np.median(seconds)) for each, seconds in taken.items()}


def beside(name: str) -> list[str]:
    """Who is timed in a process of its own: "own" stands for both of drystone's."""
    if name == BOTH:
        return ["sparse", "torch CSR", "scipy"]
    if name in SIGHT:
        return ["own", *sparse_attention.peers(SIGHT[name])]
    pattern = WORK[name].pattern
    blocks = isinstance(pattern, Compressed) and pattern.block != (1, 1)
    return ["own", "torch CSR", "scipy", *(["torch BSR"] if blocks else [])]


def times(name: str, rounds: int) -> dict[str, float]:
    """Median seconds of a call of each, one process after the other."""
    found: dict[str, float] = {}
    for each in beside(name):
        for _, result in run(measured, [(name, each, rounds)], workers=1):
            if isinstance(result, str):
                raise RuntimeError(f"{name}, {each}: {result}")
            found |= result
    return found


def row(name: str, found: Mapping[str, float]) -> str:
    """A row of the table."""
    peer = min((each for each in found if each not in OWN), key=found.__getitem__)
    asked = (None, 0.8) if name == BOTH else WORK[name].asked if name in WORK else (None, None)
    wanted = ["" if each is None else f"{each:g}" for each in asked]
    us = [f"{1e6 * found[each]:.0f}" if each in found else "" for each in (*OWN, peer)]
    ratios = [f"{found['sparse'] / found[each]:.2f}" if each in found else "" for each in ("dense", peer)]
    cells = [name, us[0], us[1], ratios[0], wanted[0], f"{peer} {us[2]}", ratios[1], wanted[1]]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table, and write it."""
    names = [*WORK, BOTH, *SIGHT]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", nargs="*", default=names, help="; ".join(names).replace("%", "%%"))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    lines = [
        "| work | sparse, us | dense, us | ratio | asked | best sparse peer, us | ratio | asked |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    print("\n".join(lines))
    for name in arguments.work:
        lines.append(row(name, times(name, arguments.rounds)))
        print(lines[-1], flush=True)
    if arguments.output is not None:
        head = "Products with sparse matrices on two threads: `python -m benchmarks.sparse`\n\n"
        arguments.output.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
