"""What a `dry.attention` says, and where its tiles lie."""

from dataclasses import dataclass
from typing import Any, TypeVar

from drystone.codegen.elements import wide
from drystone.codegen.families.attention.cached import CachedRows
from drystone.codegen.families.dry_op import DryOp, dry_op
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index
from drystone.ir.encoded import is_coded
from drystone.ir.values import uncast
from drystone.mlir import ints, ir
from drystone.targets.target import Target

P = TypeVar("P")


@dataclass(frozen=True)
class AttentionForm:
    """The operation's tensors and attributes; `repeat` query heads share a key head; dtype is the element
    computed in; depth and depth_v are the extents of keys and values; tile has the queries and keys of a
    tile of blocks."""

    op: DryOp
    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None
    span: Tensor | None
    blocks: Tensor | None
    out: Tensor
    scale: float
    causal: bool
    sinks: int
    tile: tuple[int, ...]
    heads_first: bool
    repeat: int
    dtype: str
    depth: int
    depth_v: int
    #: The largest of each key and value, [B, G, T] in the order of the layout, where they are bytes.
    key_peaks: Tensor | None = None
    value_peaks: Tensor | None = None
    #: The element that a dot unit multiplies in pairs, where queries, keys and values are held so.
    short: str | None = None
    #: Keys and values that are codes; k and v are then what these stand for, in no memory.
    key_cache: CachedRows | None = None
    value_cache: CachedRows | None = None

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
    def queries(self) -> Index:
        """How many queries a head has."""
        return self.extent(self.q, 2)

    @property
    def keys(self) -> Index:
        """How many keys a head has."""
        return self.extent(self.k, 2)

    @property
    def groups(self) -> Index:
        """How many heads of keys there are."""
        return self.extent(self.k, 1)

    @property
    def images(self) -> Index:
        """The batch."""
        return self.extent(self.out, 0)

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
            _promise(t, self.mask, whole)
        for peaks in (self.key_peaks, self.value_peaks):
            if peaks is not None:
                for axis in range(3):
                    t.same(peaks.dim(axis), self.k.dim(axis))
        if self.span is not None:
            _promise(t, self.span, [self.span.dim(0), self.images, self.queries])

    def scales(self, t: TileBuilder, peaks: Tensor, at: tuple[Index, Index, Index], count: int) -> Tile:
        """What the bytes of `count` keys or values of an image and a head, from a position on, are multiplied
        by: [count]."""
        b, group, first = at
        place = self.place(b, group, first, index(0))[:3]
        tile = t.load(peaks, place, self.place(None, None, count, None)[:3])
        return t.apply("arith.mulf", tile, t.full(1 / 127, (1,), tile.dtype))


def _promise(t: TileBuilder, tensor: Tensor, whole: list[Index]) -> None:
    for axis, extent in enumerate(whole):
        if tensor.shape[axis] != 1:
            t.same(tensor.dim(axis), extent)


def attention_form(kernel: Any, target: Target) -> AttentionForm:
    """Read the kernel function of a `dry.attention`."""
    op = dry_op(kernel)
    main = op.main
    heads_first = ir.StringAttr(main.layout).value == "bhsd"
    axis = 1 if heads_first else 2
    caches = [_cache(op, value, 3 - axis) for value in (main.k, main.v)]
    q = op.tensor(main.q)
    k, v = (
        op.tensor(value) if cache is None else Tensor(op.tensor(value).name, "f32", cache.shape)
        for value, cache in zip((main.k, main.v), caches, strict=True)
    )
    mask, span, blocks, key_peaks, value_peaks = (
        next(iter(op.all(group)), None)
        for group in (main.mask, main.span, main.blocks, main.key_peaks, main.value_peaks)
    )
    return AttentionForm(
        op=op,
        q=q,
        k=k,
        v=v,
        mask=mask,
        span=span,
        blocks=blocks,
        out=op.inits[0],
        scale=ir.FloatAttr(main.scale).value,
        causal=bool(ir.IntegerAttr(main.causal).value),
        sinks=ir.IntegerAttr(main.sinks).value,
        tile=tuple(ints(main.tile)),
        heads_first=heads_first,
        repeat=(q.shape[axis] or 1) // (k.shape[axis] or 1),
        dtype=wide(q.dtype),
        depth=q.shape[3] or 0,
        depth_v=v.shape[3] or 0,
        key_peaks=key_peaks,
        value_peaks=value_peaks,
        short=_short((q, k, v), target) if (q.shape[3] or 1) % 2 == 0 and caches == [None, None] else None,
        key_cache=caches[0],
        value_cache=caches[1],
    )


def _cache(op: DryOp, value: Any, axis: int) -> CachedRows | None:
    """The codes that keys or values with positions along an axis are; None where they are no codes."""
    kind = uncast(value).type
    return CachedRows.of(kind, op.tensor(value), axis) if is_coded(kind) else None


def _short(tensors: tuple[Tensor, ...], target: Target) -> str | None:
    held = {tensor.held for tensor in tensors}
    unit = target.dot(*2 * tuple(held)) if len(held) == 1 else None
    return held.pop() if unit is not None and unit.group == 2 else None
