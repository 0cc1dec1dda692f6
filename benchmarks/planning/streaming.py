"""A decoder of 1.1 billion parameters in bf16 whose weights do not fit the budget: memory, and time a token.

python -m benchmarks.planning.streaming FOLDER [--tokens 16] [--output benchmarks/results/streaming.md]

TinyLlama's widths with random weights; FOLDER needs 10 GB and keeps the artifacts for next time. Each line
is a process of its own with numpy alone, which decodes greedily from one token; in turns, medians of all. "At
hand": the system has the file in its own memory, which no budget counts. "From disk": after each token it is
told to let go of what the process does not hold; with and without the thread that reads ahead. All lines must
give the same tokens.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

#: Names and budgets.
MODELS = {"resident": None, "1.5 GB": "1.5GB", "1 GB": "1GB", "0.5 GB": "0.5GB"}
MODES = ("at hand", "from disk", "from disk, nothing read ahead")
_ROUNDS = 2

_CHILD = """
import json, os, sys, time
import numpy as np
from drystone.runtime import stored
from drystone.runtime.fitted import load

path, tokens, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if mode.endswith("nothing read ahead"):
    stored.Stored.ahead = lambda self, slot, wanted: None

def now(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024

before = now("VmRSS")
model = load(path, verify=False)
ids, times = [1], []
file = os.open(path, os.O_RDONLY)
for position in range(tokens):
    if mode != "at hand":
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.perf_counter()
    logits = model(np.array([[ids[-1]]]), np.array([position]))
    times.append(time.perf_counter() - began)
    ids.append(int(logits.argmax()))
print(json.dumps({"ids": ids, "times": times[2:], "peak": now("VmHWM"), "before": before}))
"""


def build(folder: Path) -> None:
    """Compile what is not there yet."""
    missing = [name for name in MODELS if not _path(folder, name).exists()]
    if not missing:
        return
    import torch

    import drystone
    from benchmarks.models import Decoder

    torch.manual_seed(0)
    decoder = Decoder(layers=22).eval()
    example = (torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    options = drystone.Options(compute="bf16", progress=False)
    for name in missing:
        budget = drystone.Budget(ram=MODELS[name])
        fitted = drystone.compile(decoder, example, budget=budget, options=options)
        print(name, fitted.memory, flush=True)
        fitted.save(_path(folder, name))


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '')}.dry"


def run(folder: Path, tokens: int) -> dict[tuple[str, str], list[dict[str, object]]]:
    """What each process says, by model and mode."""
    found: dict[tuple[str, str], list[dict[str, object]]] = {}
    for _ in range(_ROUNDS):
        for name in MODELS:
            for mode in MODES:
                if name == "resident" and mode == MODES[1]:
                    continue  # it has no such thread
                command = [sys.executable, "-c", _CHILD, str(_path(folder, name)), str(tokens), mode]
                printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found.setdefault((name, mode), []).append(json.loads(printed))
    return found


def table(found: dict[tuple[str, str], list[dict[str, object]]]) -> str:
    """The lines. Raises AssertionError where tokens differ."""
    said = [each for runs in found.values() for each in runs]
    assert all(each["ids"] == said[0]["ids"] for each in said), "the tokens differ"
    lines = ["| budget | " + " | ".join(f"ms a token, {mode}" for mode in MODES) + " | peak of the process |"]
    lines.append("|---|---|---|---|---|")
    for name in MODELS:
        cells = []
        for mode in MODES:
            times = [t for each in found.get((name, mode), []) for t in _numbers(each["times"])]
            cells.append(f"{1000 * median(times):,.0f}" if times else "—")
        peak = max(
            float(str(each["peak"])) for (model, _), runs in found.items() if model == name for each in runs
        )
        lines.append(f"| {name} | {' | '.join(cells)} | {peak / 2**20:,.0f} MiB |")
    return "\n".join(lines) + "\n"


def _numbers(values: object) -> list[float]:
    assert isinstance(values, list)
    return [float(value) for value in values]


def main() -> None:
    """Print the table and, where asked, write it."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    build(arguments.folder)
    text = table(run(arguments.folder, arguments.tokens))
    print(text, end="")
    if arguments.output is not None:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
