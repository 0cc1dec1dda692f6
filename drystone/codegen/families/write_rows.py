"""dry.write_rows: rows enter a cache of codes.

A step of the grid takes one head of keys or values and handles its rows in order, so that positions named
twice, and blocks that fill up in the middle of a call, are right. A row of a block of its own is rounded at
once; a block of several positions when its last one is written, from what the cache reads as then (KIVI: Liu
et al., ICML 2024, algorithm 1, where groups of keys leave the residual).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import lowest
from drystone.codegen.families.attention.cached import CachedRows
from drystone.codegen.families.codes.numbers import code_numbers
from drystone.codegen.families.dry_op import dry_ops
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, distinct, index, tile_program
from drystone.ir.dialect import END_STEP
from drystone.ir.values import uncast
from drystone.mlir import ir
from drystone.targets.target import Target

#: Image, head, position and number of a row.
_Place = tuple[Index, Index, Index, Index]
#: Adding this leaves the integer nearest to a number of 0 to 255 in the low bits.
_SHIFT = 1.5 * 2.0**23
#: Bytes of the old cache that are copied at a time.
_COPIED = 64


@dataclass(frozen=True)
class _Held:
    """A scale, one over it (0 where it is 0) and a minimum, as they are held."""

    scale: Tile
    inverse: Tile
    minimum: Tile


@dataclass(frozen=True)
class _Writer:
    """The cache as it was, as bytes, as it will be, the rows that enter it [n, the extents of the cache, with
    or without that of the positions], and how many places are tried for each end of a block's numbers."""

    before: Tensor
    out: Tensor
    cache: CachedRows
    rows: Tensor
    at: Tensor
    tries: int

    def body(self, t: TileBuilder) -> None:
        """Two rounds: the old content, where the result has memory of its own, and the rows."""
        t.same(self.rows.dim(0), self.at.dim(0))
        heads = self.cache.heads

        def write(b: Index, g: Index) -> None:
            t.loop(self.rows.dim(0), 1, lambda n: self.write(t, b, g, n))

        def step(r: Index, b: Index, g: Index) -> None:
            own = distinct(self.before, self.out)
            t.when(r, 1, lambda: t.when(0, own, lambda: self.copy(t, b * heads + g)))
            t.when(0, r, lambda: write(b, g))

        axes = [(index(self.cache.shape[0]), 1), (index(heads), 1)]
        t.rounds(2, lambda r: t.grid(axes, lambda b, g: step(r, b, g)))

    def copy(self, t: TileBuilder, share: Index) -> None:
        """One step's share of the old content."""
        size, steps = self.out.shape[0] or 0, self.cache.shape[0] * self.cache.heads
        each = -(-size // (steps * _COPIED)) * _COPIED
        end = ((share + 1) * each).min(size)

        def some(at: Index) -> None:
            t.store(self.out, [at], t.load(self.before, [at], [_COPIED]))

        t.loop(end, _COPIED, some, lower=share * each)

    def row(self, t: TileBuilder, b: Index, g: Index, n: Index, d: Index) -> Tile:
        """The numbers of a new row from d on: [width]."""
        c = self.cache
        at, sizes = c.place(b, g, index(0), d), [None, None, None, c.width]
        if len(self.rows.shape) == 4:
            del at[c.axis], sizes[c.axis]
        return t.load(self.rows, [n, *at], [None, *sizes])

    def write(self, t: TileBuilder, b: Index, g: Index, n: Index) -> None:
        """One row."""
        c = self.cache
        p = t.element(t.load(self.at, [n, index(0)], [None, None])).min(c.positions - 1).max(0)
        if c.ring:
            slot = p % c.ring
            t.store(c.tensors["places"], c.place(b, g, slot, index(0))[:3], t.full(p, (), "i32"), [None] * 3)

            def enter(d: Index) -> None:
                place = c.place(b, g, slot, d)
                t.store(c.tensors["rows"], place, self.row(t, b, g, n, d), [None, None, None, c.width])

            t.loop(c.depth, c.width, enter)
        if c.block == 1:
            t.loop(c.depth, c.width, lambda d: self.round_row(t, b, g, p, d, self.row(t, b, g, n, d)))
        else:
            t.when(c.block - 2, p % c.block, lambda: self.round_block(t, b, g, p // c.block * c.block))

    def round_row(self, t: TileBuilder, b: Index, g: Index, p: Index, d: Index, x: Tile) -> None:
        """Numbers that share a scale become codes of position p, beside those of the others of its run."""
        x = t.reshape(x, [1, self.cache.width])
        low, high = (t.reduce(f"arith.{op}", x, 1) for op in ("minimumf", "maximumf"))

        def error(held: "_Held") -> Tile:
            return t.reduce("arith.addf", self.squares(t, x, held), 1)

        ends = self.searched(t, (b, g, p, d), (low, high), error)
        self.put(t, (b, g, p, d), self.codes(t, x, self.settle(t, (b, g, p, d), ends)), 1)

    def put(self, t: TileBuilder, at: _Place, string: Tile, count: int) -> None:
        """The codes of `count` positions come into their word, beside those of the others of its run."""
        c, (b, g, p, d) = self.cache, at
        if count < c.run:
            bits = c.codes.code.bits
            low = t.full(p % c.run * bits, (1, 1), "i32")
            own = t.apply("arith.shli", t.full(2 ** (count * bits) - 1, (1, 1), "i32"), low)
            others = t.apply("arith.xori", own, t.full(-1, (1, 1), "i32"))
            word = t.apply("arith.andi", c.load_word(t, b, g, p // c.run, d), others)
            string = t.apply("arith.ori", word, t.apply("arith.shli", string, low))
        c.store_word(t, b, g, p // c.run, d, string)

    def round_block(self, t: TileBuilder, b: Index, g: Index, first: Index) -> None:
        """The positions of a block become codes, as the cache reads them now."""
        c = self.cache
        before = index(0) if c.span == c.run else first % c.run
        held = t.scratch([max(c.block, c.run), c.depth], "f32")
        c.read(t, b, g, first - before, first + c.block, held)

        def row(j: Index, d: Index) -> Tile:
            return t.load(held, [before + j, d], [1, c.width])

        def some(d: Index) -> None:
            def wider(j: Index, low: Tile, high: Tile) -> list[Tile]:
                x = row(j, d)
                return [t.apply("arith.minimumf", low, x), t.apply("arith.maximumf", high, x)]

            def error(factors: "_Held") -> Tile:
                def add(j: Index, sum_: Tile) -> Tile:
                    return t.apply("arith.addf", sum_, self.squares(t, row(j, d), factors))

                return t.loop(c.block, 1, add, [t.full(0, (1, c.width), "f32")])[0]

            one = row(index(0), d)
            low, high = t.loop(c.block, 1, wider, [one, one], lower=1)
            ends = self.searched(t, (b, g, first, d), (low, high), error)
            factors = self.settle(t, (b, g, first, d), ends)

            def together(j: Index) -> None:
                string = t.full(0, (1, c.width), "i32")
                for k in range(c.span):
                    low = t.full(k * c.codes.code.bits, (1, 1), "i32")
                    code = self.codes(t, row(j + k, d), factors)
                    string = t.apply("arith.ori", string, t.apply("arith.shli", code, low))
                self.put(t, (b, g, first + j, d), string, c.span)

            t.loop(c.block, c.span, together)

        t.loop(c.depth, c.width, some)

    def searched(
        self,
        t: TileBuilder,
        at: _Place,
        ends: tuple[Tile, Tile],
        error: Callable[["_Held"], Tile],
    ) -> tuple[Tile, Tile]:
        """The ends, of those that are tried, that leave the least `error`."""
        if self.tries == 1:
            return ends
        low, high = ends
        step = t.apply("arith.mulf", t.apply("arith.subf", high, low), self.number(t, END_STEP))

        def moved(count: Index) -> Tile:
            times = t.apply("arith.sitofp", t.full(count, (1, 1), "i32"), dtype="f32")
            return t.apply("arith.mulf", step, times)

        def attempt(n: Index, *best: Tile) -> list[Tile]:
            new_low = t.apply("arith.addf", low, moved(n // self.tries))
            new_high = t.apply("arith.subf", high, moved(n % self.tries))
            made = error(self.settle(t, at, (new_low, new_high)))
            less = t.apply("arith.cmpf", made, best[0], dtype="i1", predicate="olt")
            found = zip((made, new_low, new_high), best, strict=True)
            return [t.apply("arith.select", less, new, old, dtype="f32") for new, old in found]

        most = t.full(-lowest("f32"), low.shape, "f32")
        _, low, high = t.loop(self.tries**2, 1, attempt, [most, low, high])
        return low, high

    def settle(self, t: TileBuilder, at: _Place, ends: tuple[Tile, Tile]) -> "_Held":
        """Keep the scale and the minimum of numbers between two ends."""
        low, high = ends
        step = t.apply("arith.mulf", t.apply("arith.subf", high, low), self.number(t, 1 / self.most))
        negative = t.apply("arith.subf", self.number(t, 0), low)
        for name, tile in (("scale", step), ("minimum", negative)):
            self.cache.keep_factor(t, name, *at, tile)
        scale, minimum = (self.cache.factor(t, name, *at) for name in ("scale", "minimum"))
        flat = t.apply("arith.cmpf", scale, self.number(t, 0), dtype="i1", predicate="oeq")
        inverse = t.apply("arith.divf", self.number(t, 1), scale)
        inverse = t.apply("arith.select", flat, self.number(t, 0), inverse, dtype="f32")
        return _Held(scale, inverse, minimum)

    def squares(self, t: TileBuilder, x: Tile, held: "_Held") -> Tile:
        """The squares of what numbers differ from those of their codes by."""
        number = code_numbers(t, self.cache.codes.code, self.codes(t, x, held))
        number = t.apply("arith.subf", t.apply("arith.mulf", number, held.scale), held.minimum)
        rest = t.apply("arith.subf", number, x)
        return t.apply("arith.mulf", rest, rest)

    def codes(self, t: TileBuilder, x: Tile, held: "_Held") -> Tile:
        """The codes of numbers, i32."""
        x = t.apply("arith.mulf", t.apply("arith.addf", x, held.minimum), held.inverse)
        x = t.apply("arith.maximumf", x, self.number(t, 0))
        x = t.apply("arith.minimumf", x, self.number(t, self.most))
        shifted = t.apply("arith.addf", x, self.number(t, _SHIFT))
        return t.apply("arith.andi", t.apply("arith.bitcast", shifted, dtype="i32"), self.mask(t))

    @property
    def most(self) -> float:
        """The largest code."""
        return self.cache.codes.code.high

    def mask(self, t: TileBuilder) -> Tile:
        """The bits of a code."""
        return t.full(int(self.most), (1, 1), "i32")

    @staticmethod
    def number(t: TileBuilder, value: float) -> Tile:
        """One number."""
        return t.full(value, (1, 1), "f32")


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel of one dry.write_rows."""
    (op,) = dry_ops(kernel)
    (out,), main = op.inits, op.main
    cache = CachedRows.of(uncast(main.cache).type, out, ir.IntegerAttr(main.axis).value)
    tries = ir.IntegerAttr(main.tries).value
    found = _Writer(op.tensor(main.cache), out, cache, op.tensor(main.rows), op.tensor(main.at), tries)
    return tile_program("write_rows", op.tensors, found.body, op.scalars)
