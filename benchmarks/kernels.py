"""Single kernels as the tuner sees them: matrix products and convolutions of the models measured here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from drystone import frontend, mlir, passes, targets
from drystone.autotune.task import Task, tunables

THREADS = 2


@dataclass(frozen=True)
class Product:
    """x[m, k] times a weight [n, k], with a bias; cold: the weight comes from memory, as in a model that is
    larger than the caches."""

    model: str
    m: int
    k: int
    n: int
    cold: bool

    def module(self) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        """A module of this alone, and its input."""
        return nn.Linear(self.k, self.n), (torch.randn(self.m, self.k),)

    def __str__(self) -> str:
        return f"{self.model}: {self.m} x {self.k} x {self.n}"


class Matmul(nn.Module):
    """a @ b"""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a @ b


@dataclass(frozen=True)
class Pair:
    """A batch of products of two inputs: b lies as it is, not packed."""

    model: str
    batch: int
    m: int
    k: int
    n: int
    cold: bool = False

    def module(self) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        """A module of this alone, and its inputs."""
        return Matmul(), (torch.randn(self.batch, self.m, self.k), torch.randn(self.batch, self.k, self.n))

    def __str__(self) -> str:
        return f"{self.model}: {self.batch} of {self.m} x {self.k} x {self.n}"


@dataclass(frozen=True)
class Conv:
    """A convolution of an image of `size` x `size`, with a bias and ReLU."""

    model: str
    batch: int
    inputs: int
    outputs: int
    size: int
    kernel: int
    stride: int
    groups: int
    cold: bool

    def module(self) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        """A module of this alone, and its input."""
        conv = nn.Conv2d(
            self.inputs, self.outputs, self.kernel, self.stride, self.kernel // 2, groups=self.groups
        )
        x = torch.randn(self.batch, self.inputs, self.size, self.size)
        return nn.Sequential(conv, nn.ReLU()), (x,)

    def __str__(self) -> str:
        more = [f"stride {self.stride}"] * (self.stride > 1) + [f"{self.groups} groups"] * (self.groups > 1)
        what = f"{self.inputs} -> {self.outputs}, {self.kernel} x {self.kernel} at {self.size} x {self.size}"
        return ", ".join([f"{self.model}: {what}", *more])


Case = Product | Pair | Conv


PRODUCTS = (
    *(Product("MiniLM", 128, k, n, True) for k, n in ((384, 384), (384, 1536), (1536, 384))),
    *(Product("MiniLM, batch 32", 4096, k, n, True) for k, n in ((384, 384), (384, 1536), (1536, 384))),
    Product("1024^3", 1024, 1024, 1024, False),
    Product("128x4096x4096", 128, 4096, 4096, True),
    *(Product("ViT-Tiny", 197, k, n, False) for k, n in ((192, 576), (192, 192), (192, 768), (768, 192))),
    *(
        Product("decoder, prefill", 512, k, n, True)
        for k, n in ((2048, 2048), (2048, 256), (2048, 5632), (5632, 2048))
    ),
    *(Product("decoder, one token", 1, k, n, True) for k, n in ((2048, 2048), (2048, 5632), (5632, 2048))),
    Product("vector", 1, 4096, 11008, True),
    Product("ResNet-50, head", 16, 2048, 1000, True),
)
PAIRS = (
    Pair("two inputs", 12, 128, 32, 128),
    Pair("two inputs", 1, 512, 512, 512),
    Pair("two inputs", 4, 197, 64, 200),
)
CONVS = (
    Conv("ResNet-50", 1, 3, 64, 224, 7, 2, 1, True),
    *(
        Conv("ResNet-50", 1, i, o, s, k, stride, 1, True)
        for i, o, s, k, stride in (
            (64, 64, 56, 1, 1),
            (64, 64, 56, 3, 1),
            (64, 256, 56, 1, 1),
            (128, 128, 28, 3, 1),
            (512, 128, 28, 1, 1),
            (256, 256, 28, 3, 2),
            (256, 256, 14, 3, 1),
            (1024, 256, 14, 1, 1),
            (512, 512, 7, 3, 1),
            (512, 2048, 7, 1, 1),
            (256, 512, 56, 1, 2),
        )
    ),
    *(
        Conv("MobileNetV2", 1, c, c, s, 3, stride, c, False)
        for c, s, stride in ((96, 112, 2), (144, 56, 1), (384, 14, 1), (960, 7, 1))
    ),
    *(Conv("MobileNetV2", 1, i, o, s, 1, 1, 1, False) for i, o, s in ((16, 96, 112), (384, 64, 14))),
)


def tasks(cases: Iterable[Case], target: str = "cpu") -> Iterator[tuple[Case, Task]]:
    """(case, task) of every kernel whose schedule can be chosen."""
    machine = targets.resolve(target)
    for case in cases:
        torch.manual_seed(0)
        module, inputs = case.module()
        program = frontend.import_model(
            module.eval(), inputs, kwargs=None, dynamic_shapes=None, ctx=mlir.context()
        )
        passes.run(program, passes.pipeline(machine))
        for each in tunables(program, machine, THREADS):
            yield case, replace(each.task, cold=case.cold)
