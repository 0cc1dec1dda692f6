"""What caches of fewer bits, or of fewer positions, cost a language model that writes with them.

python -m benchmarks.quality.caches [--seeds 3] [--stretches 1] [--only "kivi2;int8"] [--output folder]

The byte-level model of `benchmarks.quality.language`, trained on for stretches of 1024 bytes (once for each
seed, in some minutes), reads unseen text byte by byte as it would write it: every byte enters the caches, and
attention reads what they hold of those before. Against the same with caches in f32: the bytes of all caches
with scales, minima and rings, beside those of f32 and of bf16; the share of positions at which the same byte
is the likeliest; the mean divergence of the distributions, and by how much the loss rises, in nats. The first
256 bytes are left out, whose rows are all in the window at some time.

Where positions are dropped, the first 512 bytes are a prompt, which comes in calls of 64 and is left out.
Where some caches have more bits, they are those that alone change the distributions most on a stretch of the
text that the model was trained on.
"""

import argparse
from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

import drystone
from benchmarks.quality import language
from benchmarks.quality.measures import Distance
from benchmarks.table import show
from drystone import Cache, Coded, Keep
from drystone.caches import Held
from drystone.env import cache_folder

#: Positions of a cache; those at its start that are not judged; a prompt, and the rows of its calls.
ROOM, _LEFT_OUT, PROMPT, ROWS = 1024, 256, 512, 64
#: Rows of a call where it is looked for the caches that matter most.
_TOGETHER = 32
#: Training for longer stretches: steps, those of a slow start, their rate, and the base of the angles (as
#: in Xiong et al. 2023).
_STEPS, _WARM_UP, _RATE, _BASE = 16, 3, 6e-4, 80000.0

#: How the caches of a model are held.
Holding = Held | Mapping[str, Held]


def stretches(count: int, seed: int, *, held_out: bool) -> Tensor:
    """Stretches of the text, i64 [count, ROOM + 1]."""
    source = torch.from_numpy(language.text(held_out=held_out).copy())
    places = torch.randint(source.numel() - ROOM - 1, (count,), generator=torch.Generator().manual_seed(seed))
    return torch.stack([source[p : p + ROOM + 1] for p in places.tolist()]).long()


def _angles(size: int) -> Tensor:
    """Rotary angles [ROOM, size]."""
    rates = _BASE ** (-torch.arange(0, size, 2).float() / size)
    angles = torch.outer(torch.arange(ROOM).float(), rates)
    return torch.cat([angles, angles], -1)


def longer(seed: int) -> language.ByteModel:
    """The model of this seed for stretches of ROOM bytes, trained now or from the cache."""
    path = cache_folder() / "quality" / f"bytes-{seed}-room-{ROOM}-{_STEPS}.safetensors"
    model = language.ByteModel() if path.exists() else language.trained(seed)
    angles = _angles(model.cos.shape[1])
    model.cos, model.sin = angles.cos(), angles.sin()
    if path.exists():
        model.load_state_dict(load_file(path))
        return model.eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    for step in range(_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1.0, (step + 1) / _WARM_UP) * (1 - step / _STEPS)
        loss = language.learn(model, optimizer, stretches(1, seed * 1_000_003 + step, held_out=False))
        if step % 5 == 0 or step == _STEPS - 1:
            print(f"seed {seed}, step {step}: loss {loss:.3f}", flush=True)
    save_file(model.state_dict(), path)
    return model.eval()


class Writing(nn.Module):
    """The same model with a cache of ROOM positions for keys and values of each layer: logits [1, n, 256] of
    the bytes after those, i64 [1, n], that come at positions i64 [n]."""

    def __init__(self, model: language.ByteModel) -> None:
        super().__init__()
        self.model = model
        heads, size = model.layers[0].heads, model.cos.shape[1]
        for number in range(len(model.layers)):
            for name in ("keys", "values"):
                self.register_buffer(f"layer{number}_{name}", torch.zeros(1, heads, ROOM, size))

    def _attended(self, number: int, x: Tensor, at: Tensor) -> Tensor:
        layer: Any = self.model.layers[number]
        cos, sin = self.model.cos[at], self.model.sin[at]
        q, k, v = (
            each(x).unflatten(-1, (layer.heads, -1)).transpose(1, 2) for each in (layer.q, layer.k, layer.v)
        )
        q, k = (
            each * cos + torch.cat([-each.chunk(2, -1)[1], each.chunk(2, -1)[0]], -1) * sin for each in (q, k)
        )
        keys = self.get_buffer(f"layer{number}_keys").index_copy_(2, at, k)
        values = self.get_buffer(f"layer{number}_values").index_copy_(2, at, v)
        mask = (at[:, None] >= torch.arange(ROOM))[None, None]
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        return layer.o(mixed.transpose(1, 2).flatten(2))

    def forward(self, ids: Tensor, at: Tensor) -> Tensor:
        x = self.model.embed(ids)
        for number, layer in enumerate(self.model.layers):
            x = x + self._attended(number, layer.norm1(x), at)
            h = layer.norm2(x)
            x = x + layer.down(F.silu(layer.gate(h)) * layer.up(h))
        return self.model.head(self.model.norm(x))


def written(
    model: Writing, given: Mapping[str, Any], texts: Tensor, rows: int = 1, prompt: int = 0
) -> tuple[Tensor, int]:
    """The logits after every byte of some stretches [count, positions], which come in calls of so many rows
    one after the other, those of a prompt of so many bytes in calls of ROWS, [count, positions, 256], and the
    bytes of the caches. given: more arguments of `compile`."""
    most, dim = (ROWS, torch.export.Dim("rows", min=1, max=ROWS)) if prompt else (rows, None)
    fitted = drystone.compile(
        model,
        (texts[:1, :most], torch.arange(most)),
        dynamic_shapes=None if dim is None else ({1: dim}, {0: dim}),
        **given,
    )
    starts, found = [*range(0, prompt, most), *range(prompt, texts.shape[1] + 1, rows)], list[Tensor]()
    for ids in texts:
        fitted.reset()
        calls = ((ids[None, p:q], torch.arange(p, q)) for p, q in pairwise(starts))
        found.append(torch.cat([fitted(*call).clone() for call in calls], 1))
    return torch.cat(found), fitted.memory.states


@cache
def _moving(model: Writing) -> list[str]:
    """The caches, those first that move the distributions most where they alone are held as "kivi2"."""
    ids, names = stretches(1, 11, held_out=False), [name for name, _ in model.named_buffers(recurse=False)]
    kinds: list[Holding | None] = [None, *({name: "kivi2"} for name in names)]
    own, *others = (
        written(model, {"caches": held}, ids[:, :-1], _TOGETHER)[0][:, _LEFT_OUT:] for held in kinds
    )
    targets = ids[:, _LEFT_OUT + 1 :]
    distances = (Distance.of(own, other, targets) for other in others)
    moved = {name: each.divergence for name, each in zip(names, distances, strict=True)}
    return sorted(moved, key=lambda name: -moved[name])


def mixed(model: Writing, more: int) -> Holding:
    """As "kivi2" holds them, but for so many caches that move the distributions most, which have 4 bits."""
    return {name: "kivi4" if n < more else "kivi2" for n, name in enumerate(_moving(model))}


#: How caches are held, by what it is called.
CACHES: Mapping[str, Holding | Callable[[Writing], Holding]] = {
    "int8": "int8",
    "int4": "int4",
    "kivi4": "kivi4",
    "kivi2": "kivi2",
    "kivi2, keys in groups of 8": Cache(Coded(2, by="channel", group=8), Coded(2), window=64),
    "kivi2, 6 of 16 caches in 4 bits": partial(mixed, more=6),
    "k4v2": "k4v2",
    "2 bits by token": Cache(Coded(2), Coded(2), window=64),
    "sinks, window of 252": Keep(4, 252),
    "sinks, window of 60, 192 heavy hitters": Keep(4, 60, heavy=192),
    "sinks, window of 60, 192 by SnapKV": Keep(4, 60, snap=192),
    "sinks, window of 124": Keep(4, 124),
    "sinks, window of 60, 64 heavy hitters": Keep(4, 60, heavy=64),
    "sinks, window of 60, 64 by SnapKV": Keep(4, 60, snap=64),
}


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--stretches", type=int, default=1, help="of unseen text")
    parser.add_argument("--only", default="", help="formats whose name has one of these, with ; between them")
    parser.add_argument("--output", type=Path, help="a folder for the table")
    arguments = parser.parse_args()
    chosen = {
        name: e for name, e in CACHES.items() if any(part in name for part in arguments.only.split(";"))
    }
    ids = stretches(arguments.stretches, 7, held_out=True)
    rows: dict[str, list[Distance]] = {name: [] for name in chosen}
    sizes: dict[str, int] = {}
    for seed in range(arguments.seeds):
        model = Writing(longer(seed)).eval()
        reference, sizes["f32"] = written(model, {}, ids[:, :-1])
        for name, each in chosen.items():
            held = each(model) if callable(each) else each
            prompt = PROMPT if isinstance(held, Keep) else 0
            other, sizes[name] = written(model, {"caches": held}, ids[:, :-1], prompt=prompt)
            left = prompt or _LEFT_OUT
            rows[name].append(Distance.of(reference[:, left:], other[:, left:], ids[:, left + 1 :]))
            print(f"seed {seed}, {name}: {rows[name][-1]}", flush=True)
    columns = f"| caches of {ROOM} positions | KB | of f32 | of bf16 | same byte | divergence | loss |"
    head = f"{columns}\n|{'---|' * 7}\n"
    lines = [f"| f32 | {sizes['f32'] / 1e3:.0f} | 1 | 2 | | | |"]
    for name, found in rows.items():
        mean, of = Distance.mean(found), sizes[name] / sizes["f32"]
        each = ", ".join(f"{100 - 100 * one.flips:.2f}" for one in found)
        lines.append(
            f"| {name} | {sizes[name] / 1e3:.0f} | {of:.3f} | {2 * of:.3f} | {100 - 100 * mean.flips:.2f} % "
            f"({each}) | {mean.divergence:.5f} | {mean.loss:+.4f} |"
        )
    show(head, lines, None if arguments.output is None else arguments.output / "caches.md")


if __name__ == "__main__":
    main()
