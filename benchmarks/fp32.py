"""drystone beside torch eager, fp32: error, time, compile time, memory. Interleaved, medians, 2 threads.

python -m benchmarks.fp32 [model ...]
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

import drystone
from benchmarks.models import Decoder, build

MODELS = {
    "minilm": ("MiniLM-L6 seq 128", 1),
    "minilm-32": ("MiniLM-L6 seq 128, batch 32", 32),
    "resnet50": ("ResNet-50", 1),
    "mobilenet_v2": ("MobileNetV2", 1),
    "vit_tiny": ("ViT-Tiny/16", 1),
    "lstm": ("LSTM 3 x 256, 160 steps", 1),
    "gru": ("GRU 3 x 256, 160 steps", 1),
    "decoder": ("decoder, 4 layers, prefill 512", 1),
}
THREADS = 2


def error(got: torch.Tensor, want: torch.Tensor) -> float:
    """Relative L2 error in float64."""
    return float((got.double() - want.double()).norm() / want.double().norm())


def interleaved(calls: list[Callable[[], Any]], seconds: float, label: str) -> list[float]:
    """Median seconds of each call, taken in turns for about `seconds`."""
    for call in calls:
        call()
    began = time.perf_counter()
    for call in calls:
        call()
    rounds = max(5, min(200, int(seconds / (time.perf_counter() - began))))
    times: list[list[float]] = [[] for _ in calls]
    for _ in track(range(rounds), label, console=Console(stderr=True), transient=True):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def row(label: str, err: str, ours: float, theirs: float, compiled: float, fitted: drystone.Fitted) -> None:
    m = fitted.memory
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {label} | {err} | {ours * 1e3:.2f} | {theirs * 1e3:.2f} | {ours / theirs:.2f} | {compiled:.1f} "
        f"| {m.arena / 2**20:.2f} | {m.weights / 2**20:.1f} | {peak:.0f} |",
        flush=True,
    )


def measure(key: str, seconds: float) -> None:
    """One row: a model called with the same inputs by torch and by drystone."""
    label, batch = MODELS[key]
    model, inputs = build(key.split("-")[0], batch)
    began = time.perf_counter()
    fitted = drystone.compile(model, inputs)
    compiled = time.perf_counter() - began
    with torch.inference_mode():
        worst = error(fitted(*inputs), model(*inputs))
        calls = [lambda: fitted.call(inputs, threads=THREADS), lambda: model(*inputs)]
        ours, theirs = interleaved(calls, seconds, label)
    row(label, f"{worst:.1e}", ours, theirs, compiled, fitted)


def measure_decoder(seconds: float, steps: int = 32, prompt: int = 512) -> None:
    """Two rows: prefill of a prompt, then greedy single-token steps, both through the same cache's shapes."""
    torch.manual_seed(0)
    model = Decoder(room=prompt + steps).eval()
    ids, at = torch.randint(0, 32000, (1, prompt)), torch.arange(prompt)
    count = torch.export.Dim("count", min=1, max=prompt)
    began = time.perf_counter()
    fitted = drystone.compile(model, (ids, at), dynamic_shapes=({1: count}, {0: count}))
    compiled = time.perf_counter() - began

    def generate(call: Callable[..., Any]) -> tuple[list[int], list[torch.Tensor], float]:
        logits = [call(ids, at)]
        tokens = [int(logits[-1].argmax())]
        start = time.perf_counter()
        for step in range(steps):
            logits.append(call(torch.tensor([[tokens[-1]]]), torch.tensor([prompt + step])))
            tokens.append(int(logits[-1].argmax()))
        return tokens, logits, (time.perf_counter() - start) / steps

    with torch.inference_mode():
        tokens, logits, _ = generate(fitted)
        wanted, reference, _ = generate(model)
        worst = max(error(a, b) for a, b in zip(logits, reference, strict=True))
        prefill = interleaved([lambda: fitted(ids, at), lambda: model(ids, at)], seconds, "prefill")
        decode = [
            statistics.median(t)
            for t in zip(*((generate(fitted)[2], generate(model)[2]) for _ in range(3)), strict=True)
        ]
    same = "same tokens" if tokens == wanted else "DIFFERENT TOKENS"
    row("decoder, 4 layers, prefill 512", f"{worst:.1e}, {same}", *prefill, compiled, fitted)
    row("decoder, one token at 512..544", f"{worst:.1e}, {same}", *decode, compiled, fitted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", choices=[*MODELS, []], default=list(MODELS))
    parser.add_argument("--seconds", type=float, default=20.0, help="time per model")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    columns = ["model", "relative L2 error", "drystone ms", "torch eager ms", "ratio"]
    columns += ["compile s", "arena MiB", "weights MiB", "peak RSS MiB"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for key in arguments.models:
        if key == "decoder":
            measure_decoder(arguments.seconds)
        else:
            measure(key, arguments.seconds)


if __name__ == "__main__":
    main()
