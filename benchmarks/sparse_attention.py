"""Attention whose queries see a part of the keys, beside the same one dense, and torch's: what
`benchmarks.sparse` times besides products."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import drystone
import drystone.ops

#: Queries and keys of a tile that is computed or not.
TILE = 64


@dataclass(frozen=True)
class Sight:
    """Attention of so many heads of a depth, with as many queries as keys: each query sees the `window` last
    keys up to its own or, where that is 0, those of the tiles that are drawn, a part of all, and its own."""

    window: int = 0
    part: float = 1.0
    length: int = 2048
    heads: int = 8
    depth: int = 64

    def blocks(self) -> Tensor:
        """The tiles that are computed, bool [1, queries / 64, keys / 64]."""
        tiles = self.length // TILE
        drawn = torch.rand(tiles, tiles, generator=torch.Generator().manual_seed(0)) < self.part
        return (drawn | torch.eye(tiles, dtype=torch.bool))[None]

    def mask(self) -> Tensor:
        """Which keys each query sees, bool [queries, keys]."""
        if not self.window:
            return self.blocks()[0].repeat_interleave(TILE, 0).repeat_interleave(TILE, 1)
        places = torch.arange(self.length)
        before = places[:, None] - places
        return (before >= 0) & (before < self.window)

    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values."""
        torch.manual_seed(0)
        q, k, v = (torch.randn(1, self.heads, self.length, self.depth) for _ in range(3))
        return q, k, v


SIGHT = {
    "attention, 2048, window of 256, f32": Sight(window=256),
    "attention, 2048, 20% of tiles, f32": Sight(part=0.2),
}


class Seen(nn.Module):
    """Attention of what is seen, or of everything."""

    def __init__(self, sight: Sight | None) -> None:
        super().__init__()
        self.sight = sight
        if sight is not None and not sight.window:
            self.register_buffer("blocks", sight.blocks())

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.sight is None:
            return F.scaled_dot_product_attention(q, k, v)
        if self.sight.window:
            return drystone.ops.attention(q, k, v, causal=True, window=self.sight.window)
        return drystone.ops.attention(q, k, v, blocks=self.blocks, tile=(TILE, TILE))


def own(sight: Sight) -> dict[str, Callable[[], object]]:
    """drystone's attention, of what is seen and of everything."""
    inputs, options = sight.inputs(), drystone.Options(threads=2)
    sparse, dense = (drystone.compile(Seen(each).eval(), inputs, options=options) for each in (sight, None))
    wanted = F.scaled_dot_product_attention(*inputs, attn_mask=sight.mask())
    torch.testing.assert_close(sparse(*inputs), wanted, rtol=1e-3, atol=1e-4)
    return {"sparse": lambda: sparse(*inputs), "dense": lambda: dense(*inputs)}


def peers(sight: Sight) -> Mapping[str, Callable[[], Callable[[], object]]]:
    """By their names, how torch's calls are made: with the mask, and with tiles that are left out."""

    def masked() -> Callable[[], object]:
        inputs, mask = sight.inputs(), sight.mask()
        return lambda: F.scaled_dot_product_attention(*inputs, attn_mask=mask)

    def flex() -> Callable[[], object]:
        inputs, mask = sight.inputs(), sight.mask()
        listed = create_block_mask(
            lambda _, __, i, j: mask[i, j], None, None, sight.length, sight.length, "cpu", TILE
        )
        compiled = torch.compile(flex_attention)
        return lambda: compiled(*inputs, block_mask=listed)

    return {"torch SDPA": masked, "torch flex_attention": flex}
