"""drystone beside torch eager, fp32: error, time, compile time, memory. Interleaved, medians, 2 threads.

Use: python -m benchmarks.fp32 [model ...] [--output benchmarks/results/fp32.md]

Every model is measured in a process of its own. RSS is the process's largest resident memory once it is
compiled, torch and the model itself included.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

import drystone
from benchmarks import isolated
from benchmarks.models import Decoder, build

MODELS = {
    "minilm": ("MiniLM-L6, real weights, seq 128", 1),
    "minilm-32": ("the same, batch 32", 32),
    "resnet50": ("ResNet-50", 1),
    "mobilenet_v2": ("MobileNetV2", 1),
    "vit_tiny": ("ViT-Tiny/16", 1),
    "lstm": ("LSTM 3 x 256, 160 steps", 1),
    "gru": ("GRU 3 x 256, 160 steps", 1),
    "decoder": ("decoder of TinyLlama's widths, 4 layers", 1),
}
THREADS = 2


def error(got: torch.Tensor, want: torch.Tensor) -> float:
    """Relative L2 error in float64."""
    return float((got.double() - want.double()).norm() / want.double().norm())


def interleaved(calls: list[Callable[[], Any]], seconds: float) -> list[float]:
    """Median seconds of each call, taken in turns for about `seconds`.

    Each timed call follows an untimed one of its own: so it finds its threads awake and its caches warm, and
    the other's threads, which spin for a while when their work is done, asleep.
    """
    for call in calls:
        call()
    began = time.perf_counter()
    for call in calls:
        call()
    rounds = max(5, min(200, int(seconds / 2 / (time.perf_counter() - began))))
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, taken in zip(calls, times, strict=True):
            call()
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


class Compiled:
    """A compiled model with the seconds and the largest resident MiB that compiling took."""

    def __init__(self, model: Any, inputs: tuple[Any, ...], dynamic_shapes: Any = None) -> None:
        began = time.perf_counter()
        self.fitted = drystone.compile(model, inputs, dynamic_shapes=dynamic_shapes)
        self.seconds = time.perf_counter() - began
        self.resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def row(self, label: str, worst: str, ours: float, theirs: float) -> str:
        """A line of the table; times in seconds."""
        m = self.fitted.memory
        cells = [label, worst, f"{ours * 1e3:.2f}", f"{theirs * 1e3:.2f}", f"{ours / theirs:.2f}"]
        cells += [f"{self.seconds:.1f}", f"{m.arena / 2**20:.2f}", f"{m.weights / 2**20:.1f}"]
        return "| " + " | ".join([*cells, f"{self.resident:.0f}"]) + " |"


def measure(key: str, seconds: float) -> list[str]:
    """One row: a model called with the same inputs by torch and by drystone."""
    label, batch = MODELS[key]
    model, inputs = build(key.split("-")[0], batch)
    compiled = Compiled(model, inputs)
    with torch.inference_mode():
        worst = error(compiled.fitted(*inputs), model(*inputs))
        calls = [lambda: compiled.fitted.call(inputs, threads=THREADS), lambda: model(*inputs)]
        ours, theirs = interleaved(calls, seconds)
    return [compiled.row(label, f"{worst:.1e}", ours, theirs)]


def measure_decoder(seconds: float, steps: int = 32, prompt: int = 512) -> list[str]:
    """Two rows: prefill of a prompt, then greedy single-token steps, through caches of the same shape."""
    torch.manual_seed(0)
    model = Decoder(room=prompt + steps).eval()
    ids, at = torch.randint(0, 32000, (1, prompt)), torch.arange(prompt)
    count = torch.export.Dim("count", min=1, max=prompt)
    compiled = Compiled(model, (ids, at), ({1: count}, {0: count}))

    def generate(call: Callable[..., Any]) -> tuple[list[int], list[torch.Tensor], float]:
        logits = [call(ids, at)]
        tokens = [int(logits[-1].argmax())]
        start = time.perf_counter()
        for step in range(steps):
            logits.append(call(torch.tensor([[tokens[-1]]]), torch.tensor([prompt + step])))
            tokens.append(int(logits[-1].argmax()))
        return tokens, logits, (time.perf_counter() - start) / steps

    with torch.inference_mode():
        tokens, logits, _ = generate(compiled.fitted)
        wanted, reference, _ = generate(model)
        worst = max(error(a, b) for a, b in zip(logits, reference, strict=True))
        prefill = interleaved([lambda: compiled.fitted(ids, at), lambda: model(ids, at)], seconds)
        turns = [(generate(compiled.fitted)[2], generate(model)[2]) for _ in range(5)]
        decode = [statistics.median(times) for times in zip(*turns, strict=True)]
    verdict = f"{worst:.1e}, {'same' if tokens == wanted else 'DIFFERENT'} tokens"
    label = MODELS["decoder"][0]
    return [
        compiled.row(f"{label}, prefill {prompt}", verdict, *prefill),
        compiled.row(f"the same, {steps} single tokens with the cache", verdict, *decode),
    ]


def work(job: tuple[str, float]) -> list[str]:
    """The rows of one model, measured in this process."""
    key, seconds = job
    torch.set_num_threads(THREADS)
    return measure_decoder(seconds) if key == "decoder" else measure(key, seconds)


def table(keys: list[str], seconds: float) -> str:
    """The whole table, a process a model, one after the other."""
    columns = ["model", "relative L2 error", "drystone ms", "torch eager ms", "ratio"]
    columns += ["compile s", "arena MiB", "weights MiB", "RSS MiB"]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for key in track(keys, "models", console=Console(stderr=True), transient=True):
        ((_, rows),) = isolated.run(work, [(key, seconds)], workers=1, seconds=900)
        lines += [f"| {MODELS[key][0]} | {rows} |"] if isinstance(rows, str) else rows
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help=", ".join(MODELS))
    parser.add_argument("--seconds", type=float, default=20.0, help="time per model")
    parser.add_argument("--output", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    unknown = set(arguments.models) - set(MODELS)
    if unknown:
        parser.error(f"no model {sorted(unknown)}; there are {', '.join(MODELS)}")
    text = table(arguments.models or list(MODELS), arguments.seconds)
    print(text, end="")
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
