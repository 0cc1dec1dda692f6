"""A byte-level language model, trained in minutes on the sources of Python's standard library.

That text is on every machine that runs this. Weights are kept in drystone's cache folder by seed, so that
they are trained once.
"""

import math
import os
import sysconfig
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from drystone.env import cache_folder

#: Bytes that the model sees at once.
CONTEXT = 256
#: Every so many files of the text are held out.
_HELD_OUT = 20
_LEFT_OUT = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3"})
_BATCH, _STEPS, _WARM_UP, _RATE = 8, 400, 40, 2e-3


class Layer(nn.Module):
    """A pre-norm layer with rotary positions and a gated MLP, as in Llama (Touvron et al. 2023)."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
        self.q, self.k = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.v, self.o = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        h = self.norm1(x)
        q, k, v = self._split(self.q(h)), self._split(self.k(h)), self._split(self.v(h))
        q, k = (
            each * cos + torch.cat([-each.chunk(2, -1)[1], each.chunk(2, -1)[0]], -1) * sin for each in (q, k)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(mixed.transpose(1, 2).flatten(2))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class ByteModel(nn.Module):
    """Logits of the next byte, f32 [batch, length, 256], for bytes i64 [batch, length]; 6.6 million
    parameters."""

    def __init__(self, width: int = 256, layers: int = 8, heads: int = 4, hidden: int = 704) -> None:
        super().__init__()
        self.embed = nn.Embedding(256, width)
        self.layers = nn.ModuleList(Layer(width, heads, hidden) for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(width, eps=1e-5), nn.Linear(width, 256, bias=False)
        size = width // heads
        angles = torch.outer(
            torch.arange(CONTEXT).float(), 10000.0 ** (-torch.arange(0, size, 2).float() / size)
        )
        self.register_buffer("cos", torch.cat([angles, angles], -1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat([angles, angles], -1).sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = (2 * layers) ** -0.5 if name.endswith(("o.weight", "down.weight")) else 1.0
                nn.init.normal_(parameter, std=0.02 * deep)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.head(self.norm(x))


@cache
def text(*, held_out: bool) -> np.ndarray:
    """The bytes to learn from, or those that nobody has seen."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(path for path in root.rglob("*.py") if _LEFT_OUT.isdisjoint(path.relative_to(root).parts))
    chosen = [path for n, path in enumerate(files) if (n % _HELD_OUT == 0) == held_out]
    return np.frombuffer(b"\n".join(path.read_bytes() for path in chosen), np.uint8)


def samples(count: int, seed: int, *, held_out: bool = True) -> Tensor:
    """Stretches of the text, i64 [count, CONTEXT + 1], at places chosen by the seed."""
    source, draw = text(held_out=held_out), np.random.default_rng(seed)
    places = draw.integers(0, source.size - CONTEXT - 1, count)
    return torch.from_numpy(np.stack([source[p : p + CONTEXT + 1] for p in places]).astype(np.int64))


def _rate(step: int) -> float:
    """A short rise, then half a cosine down to a tenth."""
    if step < _WARM_UP:
        return _RATE * (step + 1) / _WARM_UP
    done = (step - _WARM_UP) / (_STEPS - _WARM_UP)
    return _RATE * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def _losses(model: ByteModel, seed: int) -> Iterator[float]:
    """Train, giving the loss of each step."""
    split: tuple[list[Tensor], list[Tensor]] = ([], [])
    for parameter in model.parameters():
        split[parameter.dim() == 2].append(parameter)
    groups = [{"params": split[1], "weight_decay": 0.1}, {"params": split[0], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=_RATE, betas=(0.9, 0.95))
    for step in range(_STEPS):
        batch = samples(_BATCH, seed * 1_000_003 + step, held_out=False)
        for group in optimizer.param_groups:
            group["lr"] = _rate(step)
        yield learn(model, optimizer, batch)


def learn(model: ByteModel, optimizer: torch.optim.Optimizer, batch: Tensor) -> float:
    """The loss of stretches of bytes [count, length + 1], and a step of the optimizer by its gradient."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch[:, :-1]).flatten(0, 1)
    loss = F.cross_entropy(logits.float(), batch[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def trained(seed: int) -> ByteModel:
    """The model of this seed in eval mode, trained now or from the cache."""
    torch.manual_seed(seed)
    model = ByteModel()
    path = cache_folder() / "quality" / f"bytes-{seed}-{_STEPS}.safetensors"
    if path.exists():
        model.load_state_dict(load_file(path))
        return model.eval()
    began = time.monotonic()
    for step, loss in enumerate(_losses(model, seed)):
        if step % 50 == 0 or step == _STEPS - 1:
            print(f"seed {seed}, step {step}: loss {loss:.3f}, {time.monotonic() - began:.0f} s", flush=True)
    keep(model, path)
    return model.eval()


def keep(model: nn.Module, path: Path) -> None:
    """Write a model's state for those who look for it there: the whole file appears at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    save_file(model.state_dict(), part)
    part.replace(path)


def with_outliers(model: ByteModel, channels: int = 4, factor: float = 30.0) -> ByteModel:
    """The same function with planted outlier channels, as large models have them: what a norm gives is larger
    by `factor` in some channels, and what reads it has smaller weights there. Changes the model itself."""
    with torch.no_grad():
        for number, layer in enumerate(model.layers):
            chosen = torch.randperm(
                layer.norm1.weight.numel(), generator=torch.Generator().manual_seed(number)
            )
            where = chosen[:channels]
            for norm, readers in (
                (layer.norm1, (layer.q, layer.k, layer.v)),
                (layer.norm2, (layer.gate, layer.up)),
            ):
                norm.weight[where] *= factor
                for reader in readers:
                    reader.weight[:, where] /= factor
    return model
