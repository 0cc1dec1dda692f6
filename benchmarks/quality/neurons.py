"""What it costs a language model that writes to leave neurons out that its prompt does not need.

python -m benchmarks.quality.neurons [--seeds 3] [--stretches 6] [--output folder]

The byte-level model of `benchmarks.quality.caches` reads a prompt of 512 bytes of unseen text, in calls of
64, and then 512 more, one by one as it would write them, with neurons of all its MLPs left out: those that
the prompt fixes, or for each byte its own, behind the gate, by thresholds that are calibrated on other text.
Against the same model with all neurons, on what comes after the prompt: by how much the loss rises, in nats,
of each seed, and the divergence of the distributions.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.quality.caches import PROMPT, ROWS, Writing, longer, stretches, written
from benchmarks.quality.measures import Distance
from benchmarks.table import show
from drystone import Skip

#: How neurons are left out, by what it is called.
WAYS: dict[str, dict[str, Any]] = {
    "by each byte": {},
    "by the prompt": {"per": "prompt"},
    "by votes of the prompt": {"per": "prompt", "core": 0.4},
}
LEVELS = (0.5, 0.7)


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--stretches", type=int, default=6, help="of unseen text")
    parser.add_argument("--output", type=Path, help="a folder for the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ids = stretches(arguments.stretches, 7, held_out=True)
    read = stretches(1, 11, held_out=False)[:, :ROWS]
    rows: dict[str, list[Distance]] = {}
    for seed in range(arguments.seeds):
        model = Writing(longer(seed)).eval()
        reference, _ = written(model, {}, ids[:, :-1], prompt=PROMPT)
        for level in LEVELS:
            for name, way in WAYS.items():
                given: dict[str, Any] = {"skip": {".*down.*": Skip(level, **way)}}
                if not way:
                    given["calibration"] = [(read, torch.arange(ROWS))]
                other, _ = written(model, given, ids[:, :-1], prompt=PROMPT)
                found = Distance.of(reference[:, PROMPT:], other[:, PROMPT:], ids[:, PROMPT + 1 :])
                rows.setdefault(f"{level:.0%} {name}", []).append(found)
                print(f"seed {seed}, {level:.0%} {name}: {found}", flush=True)
    lines = []
    for name, each in rows.items():
        losses, divergences = ([f"{getattr(one, of):+.4f}" for one in each] for of in ("loss", "divergence"))
        lines.append(f"| {name} | {', '.join(losses)} | {', '.join(d[1:] for d in divergences)} |")
    head = "| neurons left out | loss | divergence |\n|---|---|---|\n"
    show(head, lines, None if arguments.output is None else arguments.output / "neurons.md")


if __name__ == "__main__":
    main()
