"""What methods of compression cost three models in quality.

python -m benchmarks.quality [--seeds 3] [--stretches 24] [--models bytes,minilm] [--only "w4;auto"]
                             [--output folder]

A byte-level language model of 6.6 million parameters, as it is trained and with planted outlier channels
(mean of the seeds; "seeds": each of them): by how much its loss on unseen text rises, and the standard error
of that (losses are compared byte by byte, and stretches of text taken for independent), the divergence of its
distributions, and how often another byte is the likeliest. A classifier of digits: how often another class
is. MiniLM: the mean cosine of embeddings, and the rank correlation of the similarities of sentences. Bits are
those of a weight, with everything that is stored counted. The language model is trained on the first run, in
about ten minutes for each seed.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.quality import digits, language, sentences
from benchmarks.quality.measures import Distance
from benchmarks.quality.methods import METHODS, Calibrated, Compressed, Inputs
from benchmarks.table import show

#: Sentences that are judged, and what is seen in calibration: stretches, images and sentences.
_SENTENCES = 96
_SEEN, _IMAGES, _READ = 24, 256, 32

Method = Callable[[Calibrated], Compressed]


@dataclass(frozen=True)
class Case:
    """A model with what calibration shows of it, what it is given, what it gives, and the right classes."""

    calibrated: Calibrated
    inputs: Inputs
    given: Tensor
    targets: Tensor

    @staticmethod
    def of(model: nn.Module, seen: Inputs, inputs: Inputs, targets: Tensor) -> "Case":
        """A model that is calibrated on `seen` and judged on `inputs`."""
        return Case(Calibrated.of(model, seen), inputs, _run(model, inputs), targets)

    def distance(self, made: nn.Module) -> Distance:
        """How far another model is from it."""
        return Distance.of(self.given, _run(made, self.inputs), self.targets)


def _run(model: nn.Module, inputs: Inputs) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(*inputs)
    return found


def language_cases(seeds: int, stretches: int, *, planted: bool) -> list[Case]:
    """The language models as trained, or with outliers, on so many stretches of unseen text."""
    batch = language.samples(stretches, 0)
    seen = (language.samples(_SEEN, 1, held_out=False)[:, :-1],)
    inputs, targets, found = (batch[:, :-1],), batch[:, 1:], []
    for seed in range(seeds):
        model = language.trained(seed)
        own = _run(model, inputs)
        if planted:
            model = language.with_outliers(model)
            torch.testing.assert_close(_run(model, inputs), own, rtol=1e-3, atol=1e-3)
        found.append(Case.of(model, seen, inputs, targets))
    return found


def language_cells(method: Method, cases: list[Case]) -> list[str]:
    """Bits and the mean distance of several models."""
    made = [method(case.calibrated) for case in cases]
    found = [case.distance(each.model) for case, each in zip(cases, made, strict=True)]
    mean = Distance.mean(found)
    bits = f"{made[0].bits:.2f}"
    return [
        bits,
        f"{mean.loss:+.5f} ± {mean.error:.5f}",
        f"{mean.divergence:.5f}",
        f"{100 * mean.flips:.2f} %",
    ]


def seed_cells(method: Method, cases: list[Case]) -> list[str]:
    """Bits and the distance of each of several models."""
    made = [method(case.calibrated) for case in cases]
    found = [case.distance(each.model) for case, each in zip(cases, made, strict=True)]
    losses, divergences = (
        (f"{each.loss:+.4f}" for each in found),
        (f"{each.divergence:.5f}" for each in found),
    )
    return [f"{made[0].bits:.2f}", " ".join(losses), " ".join(divergences)]


def digit_cells(method: Method, cases: list[Case]) -> list[str]:
    """Bits and flips of the classifier."""
    made = method(cases[0].calibrated)
    return [f"{made.bits:.2f}", f"{100 * cases[0].distance(made.model).flips:.2f} %"]


def sentence_cells(method: Method, cases: list[Case]) -> list[str]:
    """Bits and the agreement of embeddings."""
    (case,) = cases
    made = method(case.calibrated)
    agreed = sentences.Agreement.of(case.given, _run(made.model, case.inputs))
    return [f"{made.bits:.2f}", f"{agreed.mean:.5f}", f"{agreed.ranks:.4f}"]


def digit_cases() -> list[Case]:
    """The classifier of digits."""
    known, _, images, classes = digits.data()
    return [Case.of(digits.trained(0), (known[:_IMAGES],), (images,), classes)]


def sentence_cases() -> list[Case]:
    """MiniLM."""
    tokens, none = sentences.tokens(_SENTENCES + _READ), torch.empty(0, dtype=torch.int64)
    read, judged = (tuple(each[part] for each in tokens) for part in (slice(_READ), slice(_READ, None)))
    return [Case.of(sentences.model(), read, judged, none)]


#: By the name of a model: the columns about it, what is measured, and the cases for so many seeds and
#: stretches.
MODELS: dict[str, tuple[str, Callable[[Method, list[Case]], list[str]], Callable[[int, int], list[Case]]]] = {
    "bytes": ("bits | loss | divergence | flips", language_cells, partial(language_cases, planted=False)),
    "outliers": ("bits | loss | divergence | flips", language_cells, partial(language_cases, planted=True)),
    "seeds": ("bits | loss of each | divergence of each", seed_cells, partial(language_cases, planted=False)),
    "digits": ("bits | flips", digit_cells, lambda *_: digit_cases()),
    "minilm": ("bits | cosine | ranks", sentence_cells, lambda *_: sentence_cases()),
}


def main() -> None:
    """Print a table for each model, and write them if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--stretches", type=int, default=24, help="of text for the language models")
    models = ",".join(name for name in MODELS if name != "seeds")
    parser.add_argument("--models", default=models, help="names with commas between them")
    parser.add_argument("--only", default="", help="methods whose name has one of these, with ; between them")
    parser.add_argument("--output", type=Path, help="a folder: a file for each model")
    arguments = parser.parse_args()
    parts = arguments.only.split(";")
    chosen = {name: each for name, each in METHODS.items() if any(part in name for part in parts)}
    for name in arguments.models.split(","):
        columns, cells, made = MODELS[name]
        cases = made(arguments.seeds, arguments.stretches)
        head = f"| {name} | {columns} |\n|{'---|' * (columns.count('|') + 2)}\n"
        rows = (f"| {' | '.join([each, *cells(method, cases)])} |" for each, method in chosen.items())
        show(head, rows, None if arguments.output is None else arguments.output / f"quality_{name}.md")


if __name__ == "__main__":
    main()
