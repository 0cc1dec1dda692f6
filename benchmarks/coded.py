"""Products of few rows with weights that are codes, beside the same with weights of bf16 and f32.

    python -m benchmarks.coded --shape 4096 4096 --rows 1 --gib 0.5
    python -m benchmarks.coded --shape 2048 2048 --gib 0.05 --formats F32 w4 gptq outliers low_rank

A model of so many layers side by side that the codes of Q4_0 take --gib, compiled once for each format; calls
take turns, and medians are printed with the bytes of weights that they read in a second. The numbers do not
matter and are made of a few random blocks.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import torch
from torch import nn

import drystone
from drystone.ir import formats
from drystone.ir.encoding import Codes, Encoding, OutlierColumns

FORMATS = ("F32", "BF16", "Q4_0", "Q4_K", "Q6_K", "Q8_0", "MXFP4")
#: Of random weights, whose scales are searched for: groups of 128, those in another order, with 16 columns of
#: the inputs kept apart, and with what they lack in 16 singular parts (of a random matrix next to nothing).
ENCODED: dict[str, Encoding] = {
    "w4": formats.w4(),
    "gptq": formats.gptq(),
    "outliers": OutlierColumns(formats.w4(), Codes("f16"), 1, 16),
    "low_rank": formats.corrected(formats.w4(), 16),
}
ROUNDS = 11


class Layers(nn.Module):
    """Products of one tensor with several matrices, largest elements of each."""

    def __init__(self, count: int, n: int, k: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(k, n, bias=False) for _ in range(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([layer(x).amax() for layer in self.layers])


def written(path: Path, name: str, count: int, n: int, k: int) -> Path:
    """A GGUF file of this format with the weights."""
    random, kind = np.random.default_rng(0), gguf.GGMLQuantizationType[name]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    file = gguf.GGUFWriter(path, "layers")
    for number in range(count):
        if name in ("F32", "BF16"):
            real = random.standard_normal((1, k)).astype(np.float32) / k
            raw = np.tile(real.view(np.uint16)[:, 1::2] if name == "BF16" else real, (n, 1))
        else:
            raw = np.tile(random.integers(0, 60, (1, k // block * size)).astype(np.uint8), (n, 1))
        data = raw.view(np.uint8) if name == "BF16" else raw
        file.add_tensor(f"layers.{number}.weight", data, raw_dtype=kind)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def compiled(name: str, count: int, n: int, k: int, rows: int) -> drystone.Fitted:
    """The model with weights of this format."""
    options = drystone.Options(compute="bf16" if name == "BF16" else None, threads=2)
    with torch.device("meta"):
        model = Layers(count, n, k).eval()
    if name in ENCODED:
        model = model.to_empty(device="cpu")
        for layer in model.layers:
            layer.weight.data.normal_()
        how = {".*": drystone.Quantize(ENCODED[name], method="nearest")}
        return drystone.compile(model, (torch.randn(rows, k),), quantize=how, options=options)
    with tempfile.TemporaryDirectory() as folder:
        file = written(Path(folder) / "weights.gguf", name, count, n, k)
        return drystone.compile(model, (torch.randn(rows, k),), checkpoint=file, options=options)


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=2, default=(4096, 4096), help="outputs and inputs")
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--gib", type=float, default=0.5)
    parser.add_argument("--formats", nargs="*", default=FORMATS)
    given = parser.parse_args()
    n, k = given.shape
    count = max(1, round(given.gib * 2**30 / (n * k * 4.5 / 8)))
    x = torch.randn(given.rows, k)
    models = {name: compiled(name, count, n, k, given.rows) for name in given.formats}
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(ROUNDS + 1):
        for name, model in models.items():
            took = seconds(lambda model=model: model(x))
            if number:
                times[name].append(took)
    print(f"{count} products of {given.rows} x {k} x {n}, two threads")
    for name, model in models.items():
        took = float(np.median(times[name]))
        size = model.memory.weights
        print(f"{name:8} {took / count * 1e6:8.0f} us a product  {size / took / 1e9:5.1f} GB/s of weights")


if __name__ == "__main__":
    main()
