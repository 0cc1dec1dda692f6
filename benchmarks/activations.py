"""Gated MLPs that leave out what meets zeros of activations, beside the same ones dense: one row.

    python -m benchmarks.activations [--level 0.7] [--rounds 40] [--layers 8] [--tune MINUTES]

Calls take turns; medians of whole calls, their ratio, and bytes of the weights that are read by the second.
The weights, in bf16 unless it is said, are of several layers, so that no cache holds them. Calibrated on rows
like the ones that are timed.
"""

import argparse
import time

import numpy as np
import torch
from torch import nn

import drystone

ELEMENTS = {"bf16": torch.bfloat16, "f32": torch.float32}


class Layer(nn.Module):
    """A normalization, a gated MLP, and the residual around both."""

    def __init__(self, inputs: int, hidden: int, relu: bool) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(inputs)
        self.gate, self.up = (nn.Linear(inputs, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, inputs, bias=False)
        self.activation = nn.functional.relu if relu else nn.functional.silu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        return x + self.down(self.activation(self.gate(y)) * self.up(y))


def ways(level: float) -> dict[str, dict[str, drystone.Skip]]:
    """What is left out: behind the gate, and of what the MLP reads too."""
    gate = {".*down.*": drystone.Skip(level)}
    return {"gate": gate, "gate and inputs": gate | {".*(gate|up).*": drystone.Skip(level)}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--level", type=float, default=0.7, help="the part of numbers that are zeros")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--shape", type=int, nargs=2, default=(2048, 5632), help="inputs and neurons")
    parser.add_argument("--element", choices=ELEMENTS, default="bf16")
    parser.add_argument("--tune", type=float, help="minutes in which the dense kernels are tuned")
    given = parser.parse_args()
    torch.manual_seed(0)
    dtype, (inputs, hidden) = ELEMENTS[given.element], given.shape
    model = nn.Sequential(*(Layer(inputs, hidden, False) for _ in range(given.layers))).to(dtype).eval()
    seen = [(torch.randn(32, inputs).to(dtype)[i : i + 1],) for i in range(32)]
    (x,) = seen[0]
    options = drystone.Options(threads=2)
    tune = None if given.tune is None else drystone.Tune(minutes=given.tune)
    calls = {"dense": drystone.compile(model, (x,), options=options, tune=tune)}
    for name, skip in ways(given.level).items():
        calls[name] = drystone.compile(model, (x,), skip=skip, calibration=seen, options=options)
    prompt = drystone.compile(
        model,
        (torch.cat([each for (each,) in seen]),),
        skip={".*down.*": drystone.Skip(given.level, per="prompt")},
        dynamic_shapes=({0: torch.export.Dim("rows", min=1, max=len(seen))},),
        options=options,
    )
    prompt(torch.cat([each for (each,) in seen]))
    calls["fixed by a prompt"] = prompt
    calls["gate, in q8_0"] = drystone.compile(
        model,
        (x,),
        skip=ways(given.level)["gate"],
        quantize={".*gate.*": drystone.Quantize("q8_0", method="nearest")},
        calibration=seen,
        options=options,
    )
    taken = {name: list[float]() for name in calls}
    for number in range(given.rounds + 3):
        for name, call in calls.items():
            begin = time.perf_counter()
            call(x)
            if number >= 3:
                taken[name].append(time.perf_counter() - begin)
    width, left = torch.finfo(dtype).bits // 8, 1 - given.level
    size = given.layers * inputs * hidden * width
    #: Of one weight of the three.
    live = {
        "dense": 3,
        "gate": 1 + 2 * left,
        "gate and inputs": 3 * left,
        "fixed by a prompt": 3 * left,
        "gate, in q8_0": 1.0625 / width + 2 * left,
    }
    dense = float(np.median(taken["dense"]))
    print("| zeros | ms | of dense | GB/s |\n| --- | --- | --- | --- |")
    for name, each in taken.items():
        median = float(np.median(each))
        speed = size * live[name] / median / 1e9
        print(f"| {name} | {median * 1e3:.2f} | {median / dense:.2f} | {speed:.1f} |")


if __name__ == "__main__":
    main()
