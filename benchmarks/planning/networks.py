"""Ten networks whose activations are planned, written out from their papers; only their shapes matter.

Those that are measured elsewhere too are in benchmarks/models.py. Weights are made on torch's meta device.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.models import ViTTiny, mobilenet_v2, resnet50


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution with its batch norm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class _Residual(nn.Module):
    """The block of ResNet-18: two 3 x 3 convolutions, the shortcut projected where the shape changes."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(inputs, width, 3, stride), nn.ReLU(), _conv(width, width, 3))
        self.shortcut = nn.Identity() if stride == 1 else _conv(inputs, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def resnet18() -> nn.Module:
    """ResNet-18 (He et al. 2015)."""
    blocks = []
    for inputs, width in ((64, 64), (64, 128), (128, 256), (256, 512)):
        blocks += [_Residual(inputs, width, width // inputs), _Residual(width, width, 1)]
    stem = (_conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def resnext50() -> nn.Module:
    """ResNeXt-50, 32 groups of 4 channels."""
    return resnet50(groups=32)


class _DenseLayer(nn.Module):
    """Norm, 1 x 1 to four times the growth, 3 x 3 to the growth; beside what came in."""

    def __init__(self, inputs: int, growth: int = 32) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.squeeze = _conv(inputs, 4 * growth, 1)
        self.grow = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.grow(F.relu(self.squeeze(F.relu(self.norm(x)))))], 1)


def densenet121() -> nn.Module:
    """DenseNet-121 (Huang et al. 2016), padded before its first two layers as Keras has it."""
    stem = (nn.ZeroPad2d(3), nn.Conv2d(3, 64, 7, 2, bias=False), nn.BatchNorm2d(64), nn.ReLU())
    layers: list[nn.Module] = [*stem, nn.ZeroPad2d(1), nn.MaxPool2d(3, 2)]
    channels = 64
    for stage, count in enumerate((6, 12, 24, 16)):
        if stage:
            half = nn.Conv2d(channels, channels // 2, 1, bias=False)
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), half, nn.AvgPool2d(2)]
            channels //= 2
        for _ in range(count):
            layers.append(_DenseLayer(channels))
            channels += 32
    layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(channels, 1000))


class _Fire(nn.Module):
    """SqueezeNet's block: squeeze, then expand by 1 x 1 and by 3 x 3."""

    def __init__(self, inputs: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, narrow, 1)
        self.point, self.square = nn.Conv2d(narrow, wide, 1), nn.Conv2d(narrow, wide, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.point(x)), F.relu(self.square(x))], 1)


def squeezenet() -> nn.Module:
    """SqueezeNet 1.1 (Iandola et al. 2016)."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(_Fire(64, 16, 64), _Fire(128, 16, 64), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(_Fire(128, 32, 128), _Fire(256, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(_Fire(256, 48, 192), _Fire(384, 48, 192), _Fire(384, 64, 256), _Fire(512, 64, 256)),
        *(nn.Conv2d(512, 1000, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-lite0: B0 (Tan and Le 2019) without squeeze and excitation, with ReLU6."""
    return mobilenet_v2(
        (
            (1, 16, 1, 1, 3),
            (6, 24, 2, 2, 3),
            (6, 40, 2, 2, 5),
            (6, 80, 3, 2, 3),
            (6, 112, 3, 1, 5),
            (6, 192, 4, 2, 5),
            (6, 320, 1, 1, 3),
        )
    )


class _BertLayer(nn.Module):
    """An encoder layer with its norms after the sums."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out, self.norm1, self.norm2 = nn.Linear(width, width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            projection(x).reshape(batch, length, self.heads, -1).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        x = self.norm1(self.out(mixed) + x)
        return self.norm2(self.narrow(F.gelu(self.wide(x))) + x)


class BertSmall(nn.Module):
    """BERT-small (Turc et al. 2019): 4 layers, 512 wide, 8 heads, with its pooler. ids: [1, 128]."""

    def __init__(self, width: int = 512, depth: int = 4, heads: int = 8) -> None:
        super().__init__()
        self.words, self.types = nn.Embedding(30522, width), nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 128, width))
        self.norm, self.pooler = nn.LayerNorm(width), nn.Linear(width, width)
        self.layers = nn.Sequential(*(_BertLayer(width, heads) for _ in range(depth)))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.norm(self.words(ids) + (self.types + self.positions))
        return torch.tanh(self.pooler(self.layers(x)[:, 0]))


class _Separable(nn.Module):
    """DARTS' separable convolution: relu, depthwise, pointwise, norm; `times` over, the first one dilated or
    with a stride."""

    def __init__(self, channels: int, stride: int, times: int = 2, dilation: int = 1) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    channels,
                    channels,
                    3,
                    stride if not stage else 1,
                    dilation,
                    dilation,
                    groups=channels,
                    bias=False,
                ),
                _conv(channels, channels, 1),
            )
            for stage in range(times)
        )

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(F.relu(x))
        return x


class _FactorizedReduce(nn.Module):
    """Half the size by two pointwise convolutions with a stride, one of them a pixel on."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))


class _ReluConv(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = _conv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.relu(x))


#: The genotype DARTS_V2 of Liu et al. 2018: two edges (operation, from which state) for each new state.
_NORMAL = (
    ("separable", 0),
    ("separable", 1),
    ("separable", 0),
    ("separable", 1),
    ("separable", 1),
    ("skip", 0),
    ("skip", 0),
    ("dilated", 2),
)
_REDUCE = (
    ("pool", 0),
    ("pool", 1),
    ("skip", 2),
    ("pool", 1),
    ("pool", 0),
    ("skip", 2),
    ("skip", 2),
    ("pool", 1),
)


class _Cell(nn.Module):
    """Two inputs, four states of two edges each, put side by side."""

    def __init__(self, before: int, inputs: int, channels: int, halves: bool, halved: bool) -> None:
        super().__init__()
        self.edges = _REDUCE if halves else _NORMAL
        self.first = _FactorizedReduce(before, channels) if halved else _ReluConv(before, channels)
        self.second = _ReluConv(inputs, channels)
        self.operations = nn.ModuleList(
            _edge(kind, channels, 2 if halves and source < 2 else 1) for kind, source in self.edges
        )

    def forward(self, before: Tensor, x: Tensor) -> Tensor:
        states = [self.first(before), self.second(x)]
        for index in range(0, len(self.edges), 2):
            one, other = (self.operations[i](states[self.edges[i][1]]) for i in (index, index + 1))
            states.append(one + other)
        return torch.cat(states[2:], 1)


def _edge(kind: str, channels: int, stride: int) -> nn.Module:
    if kind == "pool":
        return nn.Sequential(nn.MaxPool2d(3, stride, 1))
    if kind == "skip":
        return nn.Identity() if stride == 1 else _FactorizedReduce(channels, channels)
    return _Separable(channels, stride) if kind == "separable" else _Separable(channels, stride, 1, 2)


class Darts(nn.Module):
    """The network of 14 DARTS cells for ImageNet (Liu et al. 2018), 48 channels at first."""

    def __init__(self, channels: int = 48, cells: int = 14) -> None:
        super().__init__()
        half = channels // 2
        self.stem = nn.Sequential(_conv(3, half, 3, 2), nn.ReLU(), _conv(half, channels, 3, 2))
        self.stem2 = nn.Sequential(nn.ReLU(), _conv(channels, channels, 3, 2))
        self.cells = nn.ModuleList()
        before, inputs, halved = channels, channels, True
        for cell in range(cells):
            halves = cell in (cells // 3, 2 * cells // 3)
            channels *= 2 if halves else 1
            self.cells.append(_Cell(before, inputs, channels, halves, halved))
            before, inputs, halved = inputs, 4 * channels, halves
        self.head = nn.Linear(inputs, 1000)

    def forward(self, x: Tensor) -> Tensor:
        before = self.stem(x)
        x = self.stem2(before)
        for cell in self.cells:
            before, x = x, cell(before, x)
        return self.head(x.mean((2, 3)))


#: What is planned, by name; an image of 224 x 224 goes in, to BERT 128 tokens.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ResNet-18": resnet18,
    "ResNet-50": resnet50,
    "ResNeXt-50": resnext50,
    "MobileNetV2": mobilenet_v2,
    "DenseNet-121": densenet121,
    "SqueezeNet1.1": squeezenet,
    "EfficientNet-lite0": efficientnet_lite0,
    "ViT-Tiny/16": ViTTiny,
    "BERT-small": BertSmall,
    "DARTS": Darts,
}


def build(name: str) -> tuple[nn.Module, Tensor]:
    """A network in eval mode and its input, both without data."""
    with torch.device("meta"):
        model = NETWORKS[name]().eval()
        tokens = torch.zeros(1, 128, dtype=torch.int32)
        return model, tokens if name.startswith("BERT") else torch.zeros(1, 3, 224, 224)
