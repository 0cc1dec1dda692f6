"""What a `dry.attention` says, and where its tiles lie."""

from dataclasses import dataclass
from typing import Any, TypeVar

from drystone.codegen.elements import wide
from drystone.codegen.families.dry_op import DryOp, dry_op, widened
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index
from drystone.mlir import ir

P = TypeVar("P")


@dataclass(frozen=True)
class AttentionForm:
    """The operation's tensors and attributes; `repeat` query heads share a key head; dtype is the element
    computed in; depth and depth_v are the extents of keys and values."""

    op: DryOp
    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None
    out: Tensor
    scale: float
    causal: bool
    heads_first: bool
    repeat: int
    dtype: str
    depth: int
    depth_v: int

    def place(self, b: P, h: P, s: P, d: P) -> list[P]:
        """Image, head, position and depth in the order of the layout."""
        return [b, h, s, d] if self.heads_first else [b, s, h, d]

    def extent(self, tensor: Tensor, axis: int) -> Index:
        """The extent of a dimension, numbered as in [B, H, S, D]."""
        return tensor.dim(self.place(0, 1, 2, 3).index(axis))

    def known(self, tensor: Tensor, axis: int) -> int | None:
        """The same where it is static."""
        return self.extent(tensor, axis).constant

    @property
    def square(self) -> bool:
        """Whether there is a mask with both queries and keys."""
        return self.mask is not None and 1 not in self.mask.shape[2:]

    def kv_head(self, h: Index) -> Index:
        """The key head of a query head."""
        return h // self.repeat

    def promise(self, t: TileBuilder) -> None:
        """State which extents are equal."""
        for axis in (0, 1, 2):
            t.same(self.extent(self.q, axis), self.extent(self.out, axis))
        t.same(self.extent(self.k, 0), self.extent(self.q, 0))
        t.same(self.extent(self.v, 0), self.extent(self.q, 0))
        t.same(self.extent(self.v, 1), self.extent(self.k, 1))
        t.same(self.extent(self.v, 2), self.extent(self.k, 2))
        if self.mask is not None:
            whole = [self.extent(self.q, axis) for axis in (0, 1, 2)] + [self.extent(self.k, 2)]
            for axis, extent in enumerate(whole):
                if self.mask.shape[axis] != 1:
                    t.same(self.mask.dim(axis), extent)

    def masked(
        self,
        t: TileBuilder,
        scores: Tile,
        b: Index,
        h: Index,
        queries: tuple[Index, int | None],
        keys: tuple[Index, int],
    ) -> Tile:
        """The mask applied to scores [keys, queries] (queries None: [keys], the only way for a `square` mask)
        of these starts and extents."""
        if self.mask is None:
            return scores
        (q, width), (k, count) = queries, keys
        at: list[Index] = []
        sizes: list[int | None] = []
        for axis, (start, size) in enumerate(((b, None), (h, None), (q, width), (k, count))):
            one = self.mask.shape[axis] == 1
            at.append(index(0) if one else start)
            sizes.append(None if one else size)
        tile = t.load(self.mask, at, sizes)
        if width is not None:
            tile = t.reshape(tile, [sizes[3] or 1, sizes[2] or 1])
        elif not tile.shape:
            tile = t.reshape(tile, [1])
        if self.mask.dtype == "i1":
            never = t.full(float("-inf"), (1,) * len(scores.shape), self.dtype)
            return t.apply("arith.select", tile, scores, never, dtype=self.dtype)
        return t.apply("arith.addf", scores, widened(t, tile))


def attention_form(kernel: Any) -> AttentionForm:
    """Read the kernel function of a `dry.attention`."""
    op = dry_op(kernel)
    main = op.main
    q, k, v = (op.tensor(value) for value in (main.q, main.k, main.v))
    masks = op.all(main.mask)
    heads_first = ir.StringAttr(main.layout).value == "bhsd"
    axis = 1 if heads_first else 2
    return AttentionForm(
        op=op,
        q=q,
        k=k,
        v=v,
        mask=masks[0] if masks else None,
        out=op.inits[0],
        scale=ir.FloatAttr(main.scale).value,
        causal=bool(ir.IntegerAttr(main.causal).value),
        heads_first=heads_first,
        repeat=(q.shape[axis] or 1) // (k.shape[axis] or 1),
        dtype=wide(q.dtype),
        depth=q.shape[3] or 0,
        depth_v=v.shape[3] or 0,
    )
