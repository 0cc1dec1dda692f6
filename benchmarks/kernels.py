"""Single kernels as the tuner sees them: products, convolutions and attention of the models measured here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from drystone import frontend, passes, targets
from drystone.autotune.task import KERNEL, Task, tunables
from drystone.ir import build, dialect, formats
from drystone.ir.context import new_context
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import Encoding
from drystone.mlir import func, ir
from drystone.options import element_of
from drystone.passes.layout.pack_weights import panel_width
from drystone.passes.layout.panels import Panels
from drystone.targets.target import CpuTarget

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


@dataclass(frozen=True)
class Coded(Product):
    """The same without a bias, of a weight in an encoding that has a name here."""

    name: str
    encoding: Encoding

    def task(self, target: CpuTarget) -> Task:
        """The kernel, by its types alone: no weight of this size is rounded for it."""
        panels = Panels((self.n, self.k), 0, panel_width(target, self.n))
        joined = panels.joined(self.encoding)
        assert not isinstance(joined, str), joined
        with new_context(), ir.Location.unknown():
            real = ir.F32Type.get()
            a, b, out = (ir.RankedTensorType.get(shape, real) for shape in self._shapes)
            b = with_encoding(b, joined)
            module = ir.Module.create()
            with ir.InsertionPoint(module.body):
                kind = ir.FunctionType.get([a, b, out], [out])
                kernel = func.FuncOp(KERNEL, kind, visibility="private")
                block = kernel.add_entry_block()
                with ir.InsertionPoint(block):
                    given = block.arguments
                    flags = {"transpose_b": build.flag(True), "extra_maps": build.maps([])}
                    made = dialect.MatMul(out, given[0], given[1], [], **flags)
                    build.identity_epilogue(made, real)
                    func.ReturnOp([made.out])
            text = str(kernel.operation.get_asm())
        return Task(text, tuple(self._shapes), (1,), self.cold, target, THREADS)

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        return [(self.m, self.k), (self.n, self.k), (self.m, self.n)]

    def __str__(self) -> str:
        return f"{super().__str__()}, {self.name}"


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


class Scaled(nn.Module):
    """Attention of queries, keys and values [batch, heads, length, depth], or (joined) as projections give
    them: [batch, length, heads, depth]."""

    def __init__(self, causal: bool, joined: bool) -> None:
        super().__init__()
        self.causal, self.joined = causal, joined

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        if self.joined:
            q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, enable_gqa=True)
        return out.transpose(1, 2) if self.joined else out


@dataclass(frozen=True)
class Attention:
    """Attention of `heads` query heads, of which `heads // groups` share keys."""

    model: str
    batch: int
    heads: int
    groups: int
    queries: int
    keys: int
    depth: int
    causal: bool = False
    joined: bool = False
    dtype: torch.dtype = torch.float32
    cold: bool = False

    def module(self) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        """A module of this alone, and its inputs."""
        shapes = [(self.heads, self.queries), *2 * [(self.groups, self.keys)]]
        sizes = [(n, h) if self.joined else (h, n) for h, n in shapes]
        inputs = tuple(torch.randn(self.batch, *size, self.depth, dtype=self.dtype) for size in sizes)
        return Scaled(self.causal, self.joined), inputs

    def __str__(self) -> str:
        heads = f"{self.heads} heads" + (f" on {self.groups}" if self.groups < self.heads else "")
        more = ["causal"] * self.causal + ["bf16"] * (self.dtype == torch.bfloat16)
        what = f"{heads}, {self.queries} x {self.keys} x {self.depth}"
        return ", ".join([f"{self.model}: {what}", *more])


Case = Product | Coded | Pair | Conv | Attention


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
#: Formats of few bits whose products may be computed in several ways.
FORMATS: dict[str, Encoding] = {
    "w1": formats.integers(1),
    "binary": formats.binary(),
    "ternary": formats.ternary(),
    "w2": formats.w2(),
    "w3": formats.w3(),
    "w4": formats.w4(),
}
CODED = tuple(
    Coded("one token", 1, k, n, True, name, encoding)
    for k, n in ((4096, 4096), (4096, 11008))
    for name, encoding in FORMATS.items()
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
    *(
        Conv("MobileNetV2", 1, i, o, s, 1, 1, 1, False)
        for i, o, s in ((16, 96, 112), (144, 24, 56), (384, 64, 14), (160, 960, 7), (320, 1280, 7))
    ),
)
ATTENTION = (
    Attention("MiniLM", 1, 12, 12, 128, 128, 32, joined=True),
    Attention("MiniLM, batch 32", 32, 12, 12, 128, 128, 32, joined=True),
    Attention("MiniLM", 1, 12, 12, 128, 128, 32, joined=True, dtype=torch.bfloat16),
    Attention("ViT-Tiny", 1, 3, 3, 197, 197, 64, joined=True),
    Attention("long", 1, 16, 16, 1024, 1024, 64),
    Attention("long", 1, 16, 16, 1024, 1024, 64, causal=True),
    Attention("long", 1, 16, 16, 1024, 1024, 64, causal=True, dtype=torch.bfloat16),
    Attention("decoder, prefill", 1, 32, 4, 512, 512, 64, causal=True),
    Attention("decoder, one token", 1, 32, 4, 1, 544, 64),
    Attention("decoder, one token", 1, 16, 16, 1, 8192, 64),
    Attention("decoder, one token", 1, 16, 2, 1, 8192, 64),
)
CASES: dict[str, tuple[Case, ...]] = {
    "products": PRODUCTS,
    "coded": CODED,
    "pairs": PAIRS,
    "convolutions": CONVS,
    "attention": ATTENTION,
}


def tasks(
    cases: Iterable[Case], compute: str | None = None, target: str = "cpu"
) -> Iterator[tuple[Case, Task]]:
    """(case, task) of every kernel whose schedule can be chosen; compute: as in `drystone.Options`."""
    machine = targets.resolve(target)
    for case in cases:
        if isinstance(case, Coded):
            yield case, case.task(machine)
            continue
        torch.manual_seed(0)
        module, inputs = case.module()
        program = frontend.import_model(
            module.eval(), inputs, kwargs=None, dynamic_shapes=None, ctx=new_context()
        )
        passes.run(program, passes.pipeline(machine, element_of(compute)))
        for each in tunables(program, machine, THREADS):
            yield case, replace(each.task, cold=case.cold)
