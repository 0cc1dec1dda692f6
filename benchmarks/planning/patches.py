"""Peak memory of three networks at int8, as they are and piece by piece, beside published figures.

python -m benchmarks.planning.patches [--output benchmarks/results/patches.md]

The figures compared with (MCUNetV2 for MobileNetV2, msf-CNN for the others) leave out the network's input;
both ways are given. Residuals are counted; every plan is checked. "In place" lets depthwise convolutions of
stride 1 write over their input, the rows that they still need being kept on the stack; pieces do without.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from drystone.ir.pieces import Read, Step, Window
from drystone.scheduling import check, plan
from drystone.scheduling.pieces.patched import choices_of, patched_problem
from drystone.scheduling.pieces.spans import Layer, Net

_HEAD = """\
| network | published | input | whole | depthwise in place | piece by piece | work | spans | operations |
|---|---|---|---|---|---|---|---|---|
"""
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
        over = depthwise and stride == 1
        self.layers.append(Layer(name, tuple(read.value for read in reads), work, step, in_place=over))
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


NETWORKS = {
    "MobileNetV2-224": (network(224, 32, mobilenet_v2(1), 1280), 172_000),
    "MobileNetV2-0.35-144": (network(144, 16, mobilenet_v2(0.35), 1280), 21_389),
    "MCUNet-320KB r176": (network(176, 16, MCUNET), 94_224),
}


def row(name: str, net: Net, published: int, counted: bool) -> str:
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


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    print(_HEAD, end="")
    lines = []
    for name, (net, published) in NETWORKS.items():
        for counted in (False, True):
            lines.append(row(name, net, published, counted))
            print(lines[-1], flush=True)
    if arguments.output is not None:
        arguments.output.write_text(_HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
