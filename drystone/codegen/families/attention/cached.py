"""Rows of keys or values that a cache holds as codes, as kernels read them.

A run of neighbouring positions is a string of bits in a register's lanes, one lane for each number of a row
(`Strings`): a shift brings the codes of one position down. The rows of a ring (`Recent`) are read in their
place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from drystone.codegen.families.codes.decoding import parts
from drystone.codegen.families.codes.numbers import code_numbers, number
from drystone.codegen.families.tiling import divisor
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index
from drystone.errors import InternalError
from drystone.ir.encoded import encoding_of
from drystone.ir.encoding import Codes, Encoding, Joined, Recent, Words

P = TypeVar("P")
#: Most numbers of a row that are decoded together: four registers.
_TOGETHER = 64


@dataclass(frozen=True)
class CachedRows:
    """A cache [B, G, T, D], or [B, T, G, D], of codes whose positions are along `axis`: its parts, each a
    tensor that lies in the parameter's bytes."""

    codes: Codes
    tensors: Mapping[str, Tensor]
    shape: tuple[int, ...]
    axis: int
    ring: int  #: positions that are held as they are; 0: none

    @staticmethod
    def of(kind: Any, tensor: Tensor, axis: int) -> "CachedRows":
        """The cache of a tensor type that lies in a parameter."""
        encoding, shape = encoding_of(kind), tuple(kind.shape)
        if not isinstance(encoding, Joined):
            raise InternalError(f"no kernel reads rows of {kind}")
        base: Encoding = encoding.base
        found, ring = parts(encoding, shape, tensor), 0
        if isinstance(base, Recent):
            found = {
                name.removeprefix("base.").replace("base", "codes"): each for name, each in found.items()
            }
            ring, base = base.size, base.base
        if not isinstance(base, Codes) or base.scale is None or base.scale.minimum is None:
            raise InternalError(f"no kernel reads rows of {kind}")
        return CachedRows(base, found, shape, axis, ring)

    @property
    def heads_first(self) -> bool:
        """Whether heads stand before positions."""
        return self.axis == 2

    @property
    def depth(self) -> int:
        """Numbers of a row."""
        return self.shape[3]

    @property
    def positions(self) -> int:
        """Rows of a head."""
        return self.shape[self.axis]

    @property
    def heads(self) -> int:
        """Heads of an image."""
        return self.shape[3 - self.axis]

    @property
    def run(self) -> int:
        """Neighbouring positions whose codes are a string in one word."""
        return Words.run(self.codes.code)

    @property
    def block(self) -> int:
        """Positions that share their scales."""
        assert self.codes.scale is not None
        return self.codes.scale.per.all_sizes(4)[self.axis]

    @property
    def span(self) -> int:
        """Positions that share their scales and a word."""
        return min(self.block, self.run)

    @property
    def group(self) -> int:
        """Neighbouring numbers of a row that share a scale."""
        assert self.codes.scale is not None
        return self.codes.scale.per.all_sizes(4)[3]

    @property
    def width(self) -> int:
        """Numbers of a row that are handled together."""
        return self.group if self.block == 1 else divisor(self.depth, _TOGETHER)

    def place(self, b: P, g: P, p: P, d: P) -> list[P]:
        """Image, head, position and number of a row in the order of the layout."""
        return [b, g, p, d] if self.heads_first else [b, p, g, d]

    def words(self, b: P, g: P, run: P, word: P, d: P) -> list[P]:
        """The same of words, of which a run has several."""
        return [b, g, run, word, d] if self.heads_first else [b, run, word, g, d]

    def load_word(self, t: TileBuilder, b: Index, g: Index, run: Index, d: Index) -> Tile:
        """The word of a run, for the numbers of a row from d on: [1, width]."""
        at = self.words(b, g, run, index(0), d)
        tile = t.load(self.tensors["codes"], at, self.words(None, None, None, None, self.width))
        return t.reshape(tile, [1, self.width])

    def store_word(self, t: TileBuilder, b: Index, g: Index, run: Index, d: Index, word: Tile) -> None:
        """Write what `load_word` reads."""
        at = self.words(b, g, run, index(0), d)
        tile = t.reshape(word, [self.width])
        t.store(self.tensors["codes"], at, tile, self.words(None, None, None, None, self.width))

    def factor(self, t: TileBuilder, name: str, b: Index, g: Index, p: Index, d: Index) -> Tile:
        """The "scale" or "minimum" of position p's numbers from d on: [1, width] or [1, 1]."""
        if self.block == 1:
            return t.reshape(t.load(self.tensors[name], [b, g, d // self.group, p], [None] * 4), [1, 1])
        at = self.place(b, g, p // self.block, d)
        return t.reshape(t.load(self.tensors[name], at, [None, None, None, self.width]), [1, self.width])

    def factors(self, t: TileBuilder, name: str, at: tuple[Index, ...], count: int) -> Tile:
        """The "scale" or "minimum" of the numbers from d on of `count` positions that have one each, at =
        image, head, first position and d: [count]."""
        b, g, p, d = at
        return t.load(self.tensors[name], [b, g, d // self.group, p], [None, None, None, count])

    def number(self, t: TileBuilder, word: Tile, j: int) -> Tile:
        """The numbers of the codes of the j-th position of a run in a register of words, unscaled."""
        return number(t, self.codes.code, [word], j)

    def numbers(self, t: TileBuilder, word: Tile, first: Index, count: int) -> Tile:
        """The numbers of the codes of `count` positions of a run from one on in a register of words [1,
        lanes], unscaled: [count, lanes]."""
        code = self.codes.code
        step = t.full(code.bits, (1, 1), "i32")
        low = t.apply("arith.muli", t.iota(first, (count, 1), 0, "i32"), step)
        return code_numbers(t, code, t.apply("arith.shrui", word, low))

    def keep_factor(
        self, t: TileBuilder, name: str, b: Index, g: Index, p: Index, d: Index, tile: Tile
    ) -> None:
        """Write what `factor` reads."""
        if self.block == 1:
            t.store(self.tensors[name], [b, g, d // self.group, p], t.reshape(tile, []), [None] * 4)
            return
        at = self.place(b, g, p // self.block, d)
        t.store(self.tensors[name], at, t.reshape(tile, [self.width]), [None, None, None, self.width])

    def read(self, t: TileBuilder, b: Index, g: Index, start: Index, end: Index, rows: Tensor) -> None:
        """Put the rows of an image and a head from `start`, a multiple of a run, to `end` into `rows` [some
        positions, depth], whole runs."""

        def run(p: Index) -> None:
            def some(d: Index) -> None:
                word = self.load_word(t, b, g, p // self.run, d)
                for first in range(0, self.run, self.span):
                    scale, minimum = (
                        self.factor(t, name, b, g, p + first, d) for name in ("scale", "minimum")
                    )
                    for j in range(first, first + self.span):
                        x = self._real(t, self.number(t, word, j), scale, minimum)
                        t.store(rows, [p - start + j, d], x)

            t.loop(self.depth, self.width, some)

        t.loop(end, self.run, run, lower=start)
        if self.ring:
            self._overlay(t, b, g, start, end, rows)

    @staticmethod
    def _real(t: TileBuilder, code: Tile, scale: Tile, minimum: Tile) -> Tile:
        return t.apply("arith.subf", t.apply("arith.mulf", code, scale), minimum)

    def _overlay(self, t: TileBuilder, b: Index, g: Index, start: Index, end: Index, rows: Tensor) -> None:
        """The rows of the ring that lie between two positions, over what their codes say."""

        def one(slot: Index) -> None:
            held = t.load(self.tensors["places"], self.place(b, g, slot, index(0))[:3], [None] * 3)
            p = t.element(held)

            def copy(d: Index) -> None:
                x = t.load(self.tensors["rows"], self.place(b, g, slot, d), [None, None, None, self.width])
                t.store(rows, [p - start, d], t.reshape(x, [1, self.width]))

            def inside() -> None:
                t.loop(self.depth, self.width, copy)

            t.when(start - 1, p, lambda: t.when(p, end, inside))

        t.loop(self.ring, 1, one)
