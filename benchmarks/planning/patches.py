"""Peak memory of three networks at int8, as they are and piece by piece, beside published figures.

python -m benchmarks.planning.patches [--output benchmarks/results/patches.md] [--compiled]

The figures compared with (MCUNetV2 for MobileNetV2, msf-CNN for the others) leave out the network's input;
both ways are given. Residuals are counted; every plan is checked. "In place" lets depthwise convolutions
write over their input, the rows that they still need being kept on the stack; pieces do without.

--compiled compiles the networks in f32 instead, within four times the published figure and within the least
that is known to do, and compares them with torch and with themselves compiled as a whole: times are medians
of interleaved calls on one thread.
"""

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

import drystone
from benchmarks.models import InvertedResidual
from benchmarks.table import show
from drystone.ir.pieces import Read, Step, Window
from drystone.runtime.memory import empty
from drystone.scheduling import check, plan
from drystone.scheduling.pieces.patched import choices_of, patched_problem
from drystone.scheduling.pieces.spans import Layer, Net

_HEAD = """\
| network | published | input | whole | depthwise in place | piece by piece | work | spans | operations |
|---|---|---|---|---|---|---|---|---|
"""
_COMPILED_HEAD = """\
| network | budget | planned | measured | calls | kernels | compiled in s | ms whole | ms in pieces | time |
|---|---|---|---|---|---|---|---|---|---|
"""
_CALLS = 9
_OPTIONS = drystone.Options(threads=1)
_BEHIND = 1 << 20
#: (expansion, channels, kernel, stride) of inverted bottlenecks.
Block = tuple[int, int, int, int]
_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(width: float) -> list[Block]:
    """The blocks of MobileNetV2, channels rounded to multiples of 8."""
    return [
        (expansion, _channels(channels * width), 3, stride if number == 0 else 1)
        for expansion, channels, count, stride in _V2
        for number in range(count)
    ]


def _channels(wanted: float) -> int:
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


#: MCUNet-320KB (mcunet-in3): the first block has no expansion.
MCUNET: list[Block] = [
    *((1, 8, 3, 1), (3, 16, 7, 2), (5, 16, 3, 1), (5, 16, 7, 1), (4, 16, 5, 1), (5, 24, 5, 2)),
    *((5, 24, 5, 1), (5, 24, 5, 1), (5, 40, 3, 2), (6, 40, 7, 1), (4, 40, 5, 1), (5, 48, 5, 1)),
    *((5, 48, 7, 1), (5, 48, 3, 1), (6, 96, 3, 2), (5, 96, 7, 1), (4, 96, 3, 1), (5, 160, 7, 1)),
]


class _Network:
    """Layers in the making; every image is square."""

    def __init__(self, resolution: int) -> None:
        self.extent = {"image": resolution}
        self.channels = {"image": 3}
        self.layers: list[Layer] = []
        self.last = "image"

    def conv(
        self, channels: int, kernel: int, stride: int = 1, depthwise: bool = False, add: str = ""
    ) -> None:
        """One convolution, and a residual."""
        x, before = self.last, self.extent[self.last]
        after, name = -(-before // stride), f"t{len(self.layers)}"
        window = Window(before, kernel, stride, kernel // 2)
        reads = [Read(x, (window, window)), *([Read(add, (Window(before),) * 2)] if add else [])]
        work = after * after * channels * kernel * kernel * (1 if depthwise else self.channels[x])
        step = Step(name, (after, after), tuple(reads))
        self.layers.append(Layer(name, tuple(read.value for read in reads), work, step, in_place=depthwise))
        self.extent[name], self.channels[name], self.last = after, channels, name

    def net(self) -> Net:
        """With the average and the product at the end, whose result is not counted."""
        channels = self.channels[self.last]
        self.layers.append(Layer("mean", (self.last,), self.extent[self.last] ** 2 * channels, averages=True))
        self.layers.append(Layer("out", ("mean",), channels * 1000))
        sizes = {name: n * n * self.channels[name] for name, n in self.extent.items()}
        return Net(tuple(self.layers), sizes | {"mean": channels, "out": 1000}, frozenset({"out"}))


def network(resolution: int, stem: int, blocks: list[Block], head: int = 0) -> Net:
    """A network of inverted bottlenecks."""
    made = _Network(resolution)
    made.conv(stem, 3, 2)
    for expansion, channels, kernel, stride in blocks:
        x, inputs = made.last, made.channels[made.last]
        hidden = inputs * expansion
        if expansion > 1:
            made.conv(hidden, 1)
        made.conv(hidden, kernel, stride, depthwise=True)
        made.conv(channels, 1, add=x if stride == 1 and inputs == channels else "")
    if head:
        made.conv(head, 1)
    return made.net()


def module(resolution: int, stem: int, blocks: list[Block], head: int = 0) -> nn.Module:
    """The same network in torch."""
    layers: list[nn.Module] = [nn.Conv2d(3, stem, 3, 2, 1), nn.ReLU6()]
    inputs = stem
    for expansion, channels, kernel, stride in blocks:
        layers.append(InvertedResidual(inputs, channels, stride, expansion, kernel))
        inputs = channels
    if head:
        layers += [nn.Conv2d(inputs, head, 1), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(head or inputs, 1000))


#: What `network` and `module` make them of, and the published figure.
SHAPES: dict[str, tuple[tuple[int, int, list[Block], int], int]] = {
    "MobileNetV2-224": ((224, 32, mobilenet_v2(1), 1280), 172_000),
    "MobileNetV2-0.35-144": ((144, 16, mobilenet_v2(0.35), 1280), 21_389),
    "MCUNet-320KB r176": ((176, 16, MCUNET, 0), 94_224),
}


def rows(name: str, net: Net, published: int) -> list[str]:
    """The lines of a network's peaks, without its input and with it."""
    return [_row(name, net, published, counted) for counted in (False, True)]


def _row(name: str, net: Net, published: int, counted: bool) -> str:
    """One line: the least work within the published figure, with the input beside it where it is counted."""
    image = net.sizes["image"]
    over = net if counted else replace(net, outside=net.outside | {"image"})
    held = replace(over, layers=tuple(replace(layer, in_place=False) for layer in over.layers))
    whole, in_place = (plan(patched_problem(each, ())).peaks["ram"] for each in (held, over))
    choice = next(choices_of(held, published + image * counted))
    problem = patched_problem(held, choice.spans, published + image * counted)
    found = plan(problem, time_limit=0)
    check(problem, found)
    cells = [name, f"{published:,}", "counted" if counted else "left out", f"{whole:,}", f"{in_place:,}"]
    cells += [f"{found.peaks['ram']:,}", f"{choice.work / net.work:.3f}", str(len(choice.spans))]
    return f"| {' | '.join(cells)} | {len(problem.operations)} |"


def compiled_rows(name: str) -> list[str]:
    """The lines of a network that is compiled, one for each budget."""
    model, image = _model(name)
    least = drystone.fit(model, (image,), level="ram", points=3, options=_OPTIONS).points[0].ram
    return [compiled_row(name, budget) for budget in (4 * SHAPES[name][1], least)]


def compiled_row(name: str, budget: int) -> str:
    """One line: a network compiled within a budget."""
    model, image = _model(name)
    whole = drystone.compile(model, (image,), options=_OPTIONS)
    began = time.perf_counter()
    fitted = drystone.compile(model, (image,), budget=drystone.Budget(ram={"ram": budget}), options=_OPTIONS)
    spent = time.perf_counter() - began
    with torch.no_grad():
        torch.testing.assert_close(fitted(image), model(image), rtol=1e-4, atol=1e-4)
    times = _interleaved([whole, fitted], image)
    ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
    calls = fitted.manifest.kernels
    cells = [name, *(f"{n:,}" for n in (budget, fitted.memory.arena, _touched(fitted, image)))]
    cells += [str(len(calls)), str(len({call.name for call in calls})), f"{spent:.0f}"]
    cells += [*(f"{statistics.median(each):.2f}" for each in times), f"{ratio:.2f}"]
    return f"| {' | '.join(cells)} |"


def _model(name: str) -> tuple[nn.Module, torch.Tensor]:
    shape, _ = SHAPES[name]
    torch.manual_seed(0)
    return module(*shape).eval(), torch.randn(1, 3, shape[0], shape[0])


def _touched(fitted: drystone.Fitted, image: torch.Tensor) -> int:
    """The bytes of an arena larger than the model's up to the last one that a call writes."""
    arena = empty([fitted.memory.arena + _BEHIND], np.uint8)
    changed = np.zeros(len(arena), bool)
    for fill in (0xAA, 0x55):
        arena[:] = fill
        fitted.call([image.numpy()], arena=arena)
        changed |= arena != fill
    return int(np.flatnonzero(changed)[-1]) + 1


def _interleaved(calls: list[drystone.Fitted], image: torch.Tensor) -> list[list[float]]:
    """Milliseconds of each of some models' calls, made in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(_CALLS + 1):
        for call, spent in zip(calls, times, strict=True):
            began = time.perf_counter()
            call(image)
            spent.append(1e3 * (time.perf_counter() - began))
    return [spent[1:] for spent in times]


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--compiled", action="store_true", help="compile the networks in f32")
    arguments = parser.parse_args()
    if arguments.compiled:
        show(_COMPILED_HEAD, (line for name in SHAPES for line in compiled_rows(name)), arguments.output)
        return
    made = (line for name, (shape, most) in SHAPES.items() for line in rows(name, network(*shape), most))
    show(_HEAD, made, arguments.output)


if __name__ == "__main__":
    main()
