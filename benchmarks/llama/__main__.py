"""A decoder of TinyLlama's widths: tokens a second of drystone and of llama.cpp, on the same weights.

    python -m benchmarks.llama prepare FOLDER              # files and compiled models, some minutes and 6 GB
    python -m benchmarks.llama measure FOLDER --llama-cpp python

llama.cpp is run by llama-cpp-python, an optional dependency that may be installed in another environment
(--llama-cpp names its Python), built from source for this machine:

    CMAKE_ARGS="-DGGML_NATIVE=ON -DCMAKE_CXX_FLAGS=-fno-dse" pip install --no-binary llama-cpp-python \\
        llama-cpp-python

(Without -fno-dse GCC 12 leaves out what its AMX kernels set tiles up with, and they stop with an illegal
instruction.) Every model has a process of its own; prompts and steps take turns.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.llama import files, ours
from benchmarks.llama.worker import CLOCKS
from benchmarks.peers import machine

THREADS, PROMPT, ROOM, STEPS = 2, 512, 544, 16
LLAMA_CPP = "llama.cpp"


@dataclass
class Process:
    """A model in its process (see `benchmarks.llama.worker.serve`), and the seconds of its calls."""

    command: Sequence[str]
    prompts: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.child = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.answer()

    def answer(self) -> list[float]:
        """What the process says next."""
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.command)} ended with {self.child.wait()}")
        return list(json.loads(line))

    def ask(self, words: str) -> list[float]:
        """Let it do something."""
        assert self.child.stdin is not None
        print(words, file=self.child.stdin, flush=True)
        return self.answer()

    def turn(self) -> None:
        """A prompt and the steps after it."""
        self.prompts += self.ask("prompt")
        self.steps += self.ask(f"steps {STEPS}")


def prepare(folder: Path, layers: int) -> None:
    """Write the files, and compile every variant."""
    folder.mkdir(parents=True, exist_ok=True)
    model = files.decoder(layers, ROOM)
    files.written(folder / files.BLOCKS, model, layers, ROOM)
    files.in_groups(folder / files.GROUPS, model)
    del model
    for variant in ours.VARIANTS:
        fitted = ours.compiled(variant, folder, layers, PROMPT, ROOM, THREADS)
        fitted.save(folder / f"{variant}.dry")
        # A step looks one row of the embedding up; the caches' first values are weights too.
        table = [leaf for leaf in fitted.manifest.weights if leaf.name.startswith("embed.")]
        read = fitted.memory.weights - fitted.memory.states - sum(fitted.manifest.sizes(table))
        (folder / f"{variant}.bytes").write_text(str(read))


def measure(
    folder: Path, python: str, rounds: int, clock: str, threads: int
) -> tuple[dict[str, Process], float]:
    """All models that are there in turns, after one that does not count; and bytes of memory
    that are read in a second."""
    here = [sys.executable, "-m", "benchmarks.llama.ours"]
    paths = [(name, folder / f"{name}.dry") for name in ours.VARIANTS]
    more = [clock, str(threads), str(PROMPT)]
    found = {name: Process([*here, str(path), *more]) for name, path in paths if path.exists()}
    if subprocess.run([python, "-c", "import llama_cpp"], capture_output=True, check=False).returncode:
        print(f"{python} has no llama-cpp-python: not installed", file=sys.stderr)
    else:
        worker, model = Path(__file__).with_name("worker.py"), folder / files.BLOCKS
        found[LLAMA_CPP] = Process([python, str(worker), str(model), *more, str(ROOM)])
    for process in found.values():
        process.turn()
        process.prompts.clear()
        process.steps.clear()
    # What a processor's time says nothing of: how fast memory is.
    read = [_read(threads)] if clock == "wall" else []
    for number in range(rounds):
        order = list(found.values())
        for process in order[number % len(order) :] + order[: number % len(order)]:
            process.turn()
    read += [_read(threads)] if clock == "wall" else []
    return found, max(read, default=math.nan)


def _read(threads: int) -> float:
    """Bytes of memory that a plain pass reads in a second."""
    return machine.peaks(threads).get("read", math.nan)


def table(folder: Path, found: dict[str, Process], read: float, how: str) -> list[str]:
    """Lines of a table in Markdown; `how` it was measured."""
    peer = found.get(LLAMA_CPP)
    lines = [
        f"{machine.description()}; {how}; medians of {len(next(iter(found.values())).prompts)} "
        f"prompts of {PROMPT} tokens and {STEPS} steps after each, in turns."
        + ("" if math.isnan(read) else f" Memory is read with {read / 1e9:.1f} GB/s at most."),
        "",
        "| | prompt, tokens/s | ratio | steps, tokens/s | ratio | weights, GB/s | of memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, process in found.items():
        prompt, step = statistics.median(process.prompts), statistics.median(process.steps)
        ratios = ["", ""] if peer is None else [f"{ratio:.2f}" for ratio in ratios_to(peer, process)]
        known = folder / f"{name}.bytes"
        held = int(known.read_text()) if known.exists() else matrices(folder)
        lines.append(
            f"| {name} | {PROMPT / prompt:.0f} | {ratios[0]} | {1 / step:.1f} | {ratios[1]} "
            f"| {held / step / 1e9:.1f} | {'' if math.isnan(read) else f'{held / step / read:.0%}'} |"
        )
    return lines


def ratios_to(peer: Process, process: Process) -> tuple[float, float]:
    """How many times as fast prompts and steps are, medians over turns."""
    prompts = [theirs / own for theirs, own in zip(peer.prompts, process.prompts, strict=True)]
    medians = [
        [statistics.median(each.steps[at : at + STEPS]) for at in range(0, len(each.steps), STEPS)]
        for each in (peer, process)
    ]
    steps = [theirs / own for theirs, own in zip(*medians, strict=True)]
    return statistics.median(prompts), statistics.median(steps)


def matrices(folder: Path) -> int:
    """Bytes of the matrices that a step of the file's model reads."""
    table_bytes = files.VOCABULARY * files.WIDTHS[0] * 18 // 32
    return (folder / files.BLOCKS).stat().st_size - table_bytes


def agreement(found: dict[str, Process]) -> list[str]:
    """How far the logits behind the prompt are from those of the last model, relative to them."""
    for process in found.values():
        process.ask("prompt")
    all_logits = {name: np.array(process.ask("logits")) for name, process in found.items()}
    first, reference = next(reversed(all_logits.items()))
    return [
        f"{name} to {first}: {np.linalg.norm(x - reference) / np.linalg.norm(reference):.3f}"
        for name, x in all_logits.items()
    ]


def main() -> None:
    """Prepare or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["prepare", "measure"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--llama-cpp", default=sys.executable, help="a Python that has llama-cpp-python")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="where others compute, with one thread: processor"
    )
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.what == "prepare":
        prepare(given.folder, given.layers)
        return
    found, read = measure(given.folder, given.llama_cpp, given.rounds, given.clock, given.threads)
    how = f"threads: {given.threads}; seconds of the {given.clock}"
    lines = table(given.folder, found, read, how)
    print("\n".join([*lines, "", *agreement(found)]))
    if given.output is not None:
        given.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
