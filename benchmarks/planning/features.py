"""Least memory of models whose products may be split along columns and rows, and what that takes.

python -m benchmarks.planning.features FOLDER [CASE ...] [--output benchmarks/results/features.md]

Activations: the least budget that pieces along rows and columns of images alone meet, and the one that pieces
along features meet too, as parts of the whole's; then, for both, the time of a call beside that of the whole.
Weights that are streamed: the least budget of all memory with and without splitting, and the time of a token
while the system has the file at hand. Medians of the ratios of interleaved calls, on two threads, in fp32 or,
where it is said, bf16. All results must agree. FOLDER keeps the artifacts for next time.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import drystone
from benchmarks.models import Decoder, EncoderBlock, InvertedResidual, ViTTiny
from drystone.errors import UserError
from drystone.scheduling.pieces import layers

_HEAD = """\
| model | arena of the whole | least, rows alone | time | least, features too | time | in pieces |
|---|---|---|---|---|---|---|
"""
_STREAMED = """
| model | weights | budget | resident | arena | ms a call | time |
|---|---|---|---|---|---|---|
"""
_CALLS = 25
#: How close to the least budget that can be met the search comes.
_CLOSE = 1.03


class Gated(nn.Module):
    """The MLP of a Llama-style decoder, with its norm and residual."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


@contextmanager
def rows_alone() -> Iterator[None]:
    """Pieces along rows and columns of images alone."""
    with (
        mock.patch.object(layers, "feature_forms", lambda ops: [None] * len(ops)),
        mock.patch.object(layers, "summing_operands", lambda op: None),
    ):
        yield


@dataclass(frozen=True)
class Case:
    """A model and its inputs; streamed: the budget is one of all memory, not of activations."""

    name: str
    model: Callable[[], nn.Module]
    inputs: tuple[Tensor, ...]
    compute: str | None = None
    streamed: bool = False

    def built(self, folder: Path) -> list[drystone.Fitted | None]:
        """The whole, and what is within the least budget without and with pieces along features; None where
        nothing less than the whole is met. Compiled where `folder` does not have it."""
        paths = [
            folder / f"{self.name}-{kind}.dry".replace(" ", "") for kind in ("whole", "rows", "features")
        ]
        if not paths[0].exists():
            torch.manual_seed(0)
            model = self.model().eval()
            options = drystone.Options(threads=2, compute=self.compute)

            def within(ram: int | None) -> drystone.Fitted:
                budget = drystone.Budget(ram=ram if self.streamed or ram is None else {"ram": ram})
                return drystone.compile(model, self.inputs, budget=budget, options=options)

            whole = within(None)
            most = whole.memory.arena
            most += whole.memory.weights + whole.memory.states if self.streamed else 0
            with rows_alone():
                rows = least(within, most)
            for path, fitted in zip(paths, (whole, rows, least(within, most)), strict=True):
                if fitted is not None:
                    fitted.save(path)
        return [drystone.load(path) if path.exists() else None for path in paths]


def least(compiled: Callable[[int], drystone.Fitted], high: int) -> drystone.Fitted | None:
    """What is compiled within the least budget that is met, `high` bytes being enough."""
    low, found = 1, None
    while high > _CLOSE * low:
        middle = (low + high) // 2
        try:
            found, high = compiled(middle), middle
        except UserError:
            low = middle
    return found


def timed(fitted: list[drystone.Fitted], inputs: tuple[Tensor, ...]) -> list[tuple[float, float]]:
    """Milliseconds of a call, and the ratio to the first one; results must agree."""
    expected = torch.as_tensor(fitted[0](*inputs))
    for each in fitted[1:]:
        torch.testing.assert_close(torch.as_tensor(each(*inputs)), expected, rtol=2e-3, atol=2e-3)
    times: list[list[float]] = [[] for _ in fitted]
    for _ in range(_CALLS):
        for each, spent in zip(fitted, times, strict=True):
            each.reset()
            began = time.perf_counter()
            each(*inputs)
            spent.append(1e3 * (time.perf_counter() - began))
    ratios = [statistics.median(b / a for a, b in zip(times[0], spent, strict=True)) for spent in times]
    return [(statistics.median(spent), ratio) for spent, ratio in zip(times, ratios, strict=True)]


def activations(case: Case, folder: Path) -> str:
    """A line of the first table."""
    whole, *others = case.built(folder)
    assert whole is not None
    ratios = [f"{ratio:.2f}" for _, ratio in timed([f for f in (whole, *others) if f], case.inputs)][1:]
    cells = [case.name, f"{whole.memory.arena:,}"]
    for each in others:
        if each is None:
            cells += ["the same", "—"]
        else:
            part = 100 * each.memory.arena / whole.memory.arena
            cells += [f"{each.memory.arena:,} ({part:.0f} %)", ratios.pop(0)]
    patched = () if others[-1] is None else others[-1].manifest.patched
    along = sum(each.features for each in patched)
    return f"| {' | '.join([*cells, f'{along} along features, {len(patched) - along} along rows'])} |\n"


def streamed(case: Case, folder: Path) -> str:
    """Lines of the second table: all weights there, the least that reads each weight whole, then less."""
    kinds = ("none", "least, weights whole", "least, weights split")
    known = [(kind, f) for kind, f in zip(kinds, case.built(folder), strict=True) if f is not None]
    lines = []
    for (kind, each), (spent, ratio) in zip(known, timed([f for _, f in known], case.inputs), strict=True):
        sizes = [f"{n / 2**20:,.1f} MiB" for n in (each.memory.resident, each.memory.arena)]
        first = [case.name, f"{each.memory.weights / 2**20:,.1f} MiB", kind]
        lines.append(f"| {' | '.join([*first, *sizes, f'{spent:.2f}', f'{ratio:.2f}'])} |\n")
    return "".join(lines)


def _blocks(block: Callable[[], nn.Module], last: nn.Module) -> nn.Module:
    return nn.Sequential(block(), block(), last)


_TOKEN = torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
CASES = {
    "mlp": Case("MLP 1024 to 4096, 128 rows", lambda: Gated(1024, 4096), (torch.ones(1, 128, 1024),)),
    "token": Case("MLP 1024 to 4096, 1 row", lambda: Gated(1024, 4096), (torch.ones(1, 1, 1024),)),
    "layers": Case(
        "2 encoder layers of ViT-Tiny",
        lambda: _blocks(lambda: EncoderBlock(192, 3), nn.LayerNorm(192)),
        (torch.linspace(-1, 1, 197 * 192).reshape(1, 197, 192),),
    ),
    "vit": Case("ViT-Tiny", ViTTiny, (torch.linspace(-1, 1, 3 * 224 * 224).reshape(1, 3, 224, 224),)),
    "bottleneck": Case(
        "2 blocks of MobileNetV2, 96 channels at 14 x 14",
        lambda: _blocks(lambda: InvertedResidual(96, 96, 1, 6), nn.ReLU()),
        (torch.linspace(-1, 1, 96 * 14 * 14).reshape(1, 96, 14, 14),),
    ),
    "decoder": Case(
        "decoder of 4 layers, 512 wide, 32,000 words, bf16",
        lambda: Decoder(layers=4, room=128, widths=(512, 8, 4, 1536)),
        _TOKEN,
        "bf16",
        True,
    ),
}


def main() -> None:
    """Print the tables, and write them if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    text = ""
    for name in arguments.cases or CASES:
        case = CASES[name]
        head = _STREAMED if case.streamed else _HEAD
        made = ("" if head in text else head) + (streamed if case.streamed else activations)(
            case, arguments.folder
        )
        print(made, end="", flush=True)
        text += made
    if arguments.output is not None:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
