"""Gated MLPs whose weights do not fit the budget: what is read for a row, and how long it takes.

    python -m benchmarks.streaming_neurons FOLDER [--layers 6] [--ram 256MB] [--output benchmarks/results/..]

Layers of 2048 x 5632 in bf16, 70 % of zeros behind the gate or, with a prompt of 32 rows, of neurons that it
fixes. Weights come as a whole, as rows of neurons that are live (side by side, none staying), or as such rows
that stay for four calls more. FOLDER needs room for all artifacts, and keeps them. The ways take turns in a
process with numpy alone, on two threads: medians of calls, and of the time that threads computed. "At hand":
the system has the file in its own memory, which no budget counts. "From disk": before each call it is told to
let go of what the process does not hold (posix_fadvise, POSIX_FADV_DONTNEED). Peaks are of a process for each
way, less the interpreter. Rows are a walk, x' = 0.9 x + 0.44 noise, or have nothing to do with each other.
All ways must give the same results.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

#: For how many calls rows stay, by way; None: weights come as a whole.
WAYS = {"whole weights": None, "rows": 0, "rows, window of 4": 4}
#: What says which rows are live, and whether rows of x follow from each other.
KINDS = ("row, a walk", "row, unlike", "prompt")
MODES = ("at hand", "from disk")
LEVEL = 0.7

_CHILD = """
import json, os, sys, time
import numpy as np
from drystone.runtime.fitted import load

calls, mode, kind, *paths = sys.argv[1:]

def now(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024

def bf16(x):
    return (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)

before = now("VmRSS")
models = [load(path, verify=False) for path in paths]
files = [os.open(path, os.O_RDONLY) for path in paths]
rng = np.random.default_rng(0)
x = rng.standard_normal((32, 2048))
if kind == "prompt":
    for model in models:
        model(bf16(x))
x, found = x[:1], [{"times": [], "worked": [], "read": [], "results": []} for _ in models]
for number in range(int(calls)):
    keep = 0.0 if kind == "row, unlike" else 0.9
    x = keep * x + (1 - keep**2) ** 0.5 * rng.standard_normal(x.shape)
    for model, file, said in zip(models, files, found):
        if mode != "at hand":
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        seen, worked, began = model.rows_read, time.process_time(), time.perf_counter()
        result = model(bf16(x))
        said["times"].append(time.perf_counter() - began)
        said["worked"].append(time.process_time() - worked)
        said["read"].append(model.rows_read - seen)
        said["results"].append(result.tobytes().hex())
for model, said in zip(models, found):
    m = model.manifest
    sizes = m.sizes(m.weights)
    whole = sum(sizes[slot] for _, _, slot in m.streaming.reads)
    said |= {"read": [whole + each for each in said["read"]], "resident": model.memory.resident}
print(json.dumps({"ways": found, "peak": now("VmHWM") - before}))
"""
#: Calls that are not counted: windows fill.
_FIRST = 5


def build(folder: Path, layers: int, ram: str) -> None:
    """Compile what is not there yet."""
    missing = [
        (name, prompt)
        for name in WAYS
        for prompt in (False, True)
        if not _path(folder, name, prompt).exists()
    ]
    if not missing:
        return
    import torch
    from torch import nn

    import drystone
    from benchmarks.activations import Layer

    torch.manual_seed(0)
    model = nn.Sequential(*(Layer(2048, 5632, False) for _ in range(layers))).to(torch.bfloat16).eval()
    seen = [(torch.randn(1, 2048).to(torch.bfloat16),) for _ in range(32)]
    options, budget = drystone.Options(threads=2, progress=False), drystone.Budget(ram=ram)
    rows = ({0: torch.export.Dim("rows", min=1, max=len(seen))},)
    for name, prompt in missing:
        how = drystone.Skip(LEVEL, per="prompt" if prompt else "row", window=WAYS[name])
        fitted = drystone.compile(
            model,
            (torch.cat([each for (each,) in seen]),) if prompt else seen[0],
            skip={".*down.*": how},
            calibration=None if prompt else seen,
            dynamic_shapes=rows if prompt else None,
            budget=budget,
            options=options,
        )
        print(name, fitted.memory, flush=True)
        fitted.save(_path(folder, name, prompt))


def _path(folder: Path, name: str, prompt: bool) -> Path:
    return folder / f"{name.replace(' ', '').replace(',', '-')}-{'prompt' if prompt else 'row'}.dry"


def _run(kind: str, mode: str, calls: int, paths: list[Path]) -> dict[str, Any]:
    command = [sys.executable, "-c", _CHILD, str(calls), mode, kind, *map(str, paths)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def table(folder: Path, calls: int) -> str:
    """The lines. Raises AssertionError where results differ."""
    lines = [
        "| live for each | weights come as | MB read | ms, at hand | ms, from disk | ms computing, from disk "
        "| MB resident | MB peak |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        paths = [_path(folder, name, kind == "prompt") for name in WAYS]
        hand, disk = (_run(kind, mode, calls, paths)["ways"] for mode in MODES)
        results = [each["results"] for each in (*hand, *disk)]
        assert all(each == results[0] for each in results), "results differ"
        for name, path, near, far in zip(WAYS, paths, hand, disk, strict=True):
            timed = [near["times"], far["times"], far["worked"]]
            times = " | ".join(f"{1000 * median(each[_FIRST:]):.1f}" for each in timed)
            peak = _run(kind, MODES[0], _FIRST, [path])["peak"]
            read, resident, most = (
                f"{size / 1e6:,.0f}" for size in (median(near["read"][_FIRST:]), near["resident"], peak)
            )
            lines.append(f"| {kind} | {name} | {read} | {times} | {resident} | {most} |")
            print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table and, where asked, write it."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--ram", default="256MB")
    parser.add_argument("--calls", type=int, default=16)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    build(given.folder, given.layers, given.ram)
    text = table(given.folder, given.calls)
    if given.output is not None:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
