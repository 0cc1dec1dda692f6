"""The best tile of a group: all tiles worth trying, priced at once.

Cells of one size that come from the same kind of move (along a row, along a column, from nowhere) take the
same time, so a group's time is a sum over twelve classes of tiles. A traversal by rows or by columns, back
and forth, moves along one dimension at a time; no other order reads less.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from drystone.scheduling.mlsys.group import Amounts, Form

Array = np.ndarray[Any, np.dtype[np.float64]]
_Grid = tuple[Array, Array]
#: Sizes of a tile's side that are tried for a cut sum besides powers of two.
_LARGE = 9
#: Heights that are tried for each width with the whole sum, and widths for each height.
_LARGEST = 2
#: Depths between the even and the largest part of a sum.
_PARTS = 16


@dataclass(frozen=True)
class Tiling:
    """A group's time with the tile (width, height, depth) and the traversal that give it."""

    time: float
    tile: tuple[int, int, int]
    by_columns: bool


class Pricer:
    """Prices forms for one machine, each once."""

    def __init__(self, capacity: int, bandwidth: float, native: tuple[int, int]) -> None:
        self.capacity, self.bandwidth, self.native = capacity, bandwidth, native
        self.known: dict[Form, Tiling | None] = {}
        self.refined: dict[Form, Tiling] = {}

    def best(self, form: Form) -> Tiling | None:
        """The best of the tiles most likely to be; None where no tile fits the memory."""
        if form not in self.known:
            self.known[form] = self._price(form, *self._likely(form))
        return self.known[form]

    def refine(self, form: Form, found: Tiling) -> Tiling:
        """The best of all tiles that cut the shape evenly, with many depths, or else the one found."""
        if form in self.refined:
            return self.refined[form]
        best = found
        heights = self._sides(form.height, self.native[1])
        for width in [form.sum] if form.square else self._sides(form.width, self.native[0]):
            w, h = _product([width], heights)
            tiling = self._price(form, *self._whole(form, w, h), *self._cut(form, w, h, many=True))
            if tiling is not None and tiling.time < best.time:
                best = tiling
        self.refined[form] = best
        return best

    @staticmethod
    @cache
    def _sides(length: int, native: int) -> list[int]:
        """Sizes that cut a length evenly into some number of pieces, from the largest."""
        first = -(-length // native)
        return list(dict.fromkeys(-(-length // pieces) for pieces in range(first, length + 1)))

    @staticmethod
    @cache
    def _grids(width: int, height: int, native: tuple[int, int]) -> tuple[_Grid, _Grid]:
        """All tiles that cut a shape evenly, and few: the largest sizes and the powers of two below."""
        sides = [Pricer._sides(length, most) for length, most in zip((width, height), native, strict=True)]
        few = [[*all[:_LARGE], *(x for x in all[_LARGE:] if not x & (x - 1))] for all in sides]
        return _product(sides[0], sides[1]), _product(few[0], few[1])

    def _likely(self, form: Form) -> tuple[Array, ...]:
        """For an uncut sum the highest tiles of a width that fit and the widest of a height, for a cut one
        few sizes: a larger tile is better but for how it divides the shape."""
        if form.square:
            widths = [form.sum] if form.sum <= self.native[0] else []
            grid = few = _product(widths, self._sides(form.height, self.native[1]))
        else:
            grid, few = self._grids(form.width, form.height, self.native)
        w, h, k = self._whole(form, *grid)
        chosen: list[int] = []
        for along in (w, h):
            seen: dict[float, int] = {}
            for at, size in enumerate(along.tolist()):  # from the largest
                seen[size] = seen.get(size, 0) + 1
                if seen[size] <= _LARGEST:
                    chosen.append(at)
        return (*(column[chosen] for column in (w, h, k)), *self._cut(form, *few, many=False))

    def _price(self, form: Form, *tiles: Array) -> Tiling | None:
        """The best of some uncut and some cut tiles."""
        w, h, k = (np.concatenate(pair) for pair in zip(tiles[:3], tiles[3:], strict=True))
        if not len(w):
            return None
        rows, columns = _Cells(self, form, w, h, k).times()
        by_columns = bool(columns.min() < rows.min())
        times = columns if by_columns else rows
        at = int(times.argmin())
        return Tiling(float(times[at]), (int(w[at]), int(h[at]), int(k[at])), by_columns)

    def _room(self, form: Form, w: Array, h: Array) -> tuple[Array, Array]:
        """Elements free but for what grows with the depth, and what each term of it takes."""
        hw, by_h, by_w, hk, wk, by_k = form.space
        free = self.capacity - form.resident - (form.results + hw) * w * h - by_h * h - by_w * w
        return free, hk * h + wk * w + by_k

    def _whole(self, form: Form, w: Array, h: Array) -> tuple[Array, Array, Array]:
        """The tiles that fit with the whole sum."""
        total = float(max(form.sum, 1))
        free, each = self._room(form, w, h)
        fits = free >= each * total
        return w[fits], h[fits], np.full(int(fits.sum()), total)

    def _cut(self, form: Form, w: Array, h: Array, many: bool) -> tuple[Array, Array, Array]:
        """The tiles that fit with a part of the sum only, with its largest and its even parts: a larger part
        is better but for how it divides the sum."""
        free, each = self._room(form, w, h)
        fits = (free < each * form.sum) & (free >= each) & (w >= form.least[0]) & (h >= form.least[1])
        fits &= form.cut
        w, h, free, each = w[fits], h[fits], free[fits], each[fits]
        most = np.floor(free / each)
        count = np.ceil(form.sum / most)
        even = np.ceil(form.sum / count)
        depths = [most, even, np.ceil(form.sum / (count + 1))]
        if many:
            depths += [np.ceil(even + (most - even) * part / _PARTS) for part in range(1, _PARTS)]
            depths += [np.ceil(form.sum / (count + more)) for more in range(2, 6)]
        return np.tile(w, len(depths)), np.tile(h, len(depths)), np.concatenate(depths)


def _product(widths: list[int], heights: list[int]) -> tuple[Array, Array]:
    w, h = np.meshgrid(np.array(widths, dtype=np.float64), np.array(heights, dtype=np.float64))
    return w.ravel(), h.ravel()


class _Cells:
    """The time of a form for arrays of tiles."""

    def __init__(self, pricer: Pricer, form: Form, w: Array, h: Array, k: Array) -> None:
        self.form, self.bandwidth = form, pricer.bandwidth
        self.k = k
        self.columns, self.rows = np.ceil(form.width / w), np.ceil(form.height / h)
        self.parts = np.ceil(form.sum / k) if form.sum else np.ones_like(k)
        # Heights and widths of a tile, by whether it is in the last row and the last column: (2, 2, tiles).
        last_h = form.height - (self.rows - 1) * h
        last_w = form.width - (self.columns - 1) * w
        self.h = np.stack([h, last_h])[:, None, :]
        self.w = np.stack([w, last_w])[None, :, :]

    def times(self) -> tuple[Array, Array]:
        """The time of all cells, going by rows and going by columns."""
        down, along, first = (self._tile(*moves) for moves in ((True, False), (False, True), (True, True)))
        starts = self._start()
        everything = _outer(self.rows, self.columns)
        turns_down = _turns(self.rows, self.columns)
        turns_along = _turns(self.columns, self.rows).transpose(1, 0, 2)
        rows = first * starts + down * turns_down + along * (everything - turns_down - starts)
        columns = first * starts + along * turns_along + down * (everything - turns_along - starts)
        return rows.sum(axis=(0, 1)), columns.sum(axis=(0, 1))

    def _start(self) -> Array:
        """One tile, the first: in the last row where there is one row, and so for columns."""
        row = np.stack([self.rows > 1, self.rows <= 1])[:, None, :]
        column = np.stack([self.columns > 1, self.columns <= 1])[None, :, :]
        return np.asarray(row & column, dtype=np.float64)

    def _tile(self, down: bool, along: bool) -> Array:
        """The time of a tile that is in another row (`down`) or column (`along`) than the one before."""
        form, bandwidth = self.form, self.bandwidth
        written = form.written * self.h * self.w
        uncut: Array = np.maximum(
            form.pointwise + form.products, (self._first(0, down, along, self.k) + written) / bandwidth
        )
        if not form.cut or not form.sum:
            return uncut
        share = form.products * self.k / form.sum
        rest = form.sum - (self.parts - 1) * self.k
        start = np.maximum(form.pointwise + share, self._first(1, down, along, self.k) / bandwidth)
        middle = np.maximum(share, self._elements(form.later, self.k) / bandwidth)
        end = np.maximum(
            form.products * rest / form.sum, (self._elements(form.later, rest) + written) / bandwidth
        )
        cut: Array = start + (self.parts - 2) * middle + end
        return np.asarray(np.where(self.parts > 1, cut, uncut))

    def _first(self, cut: int, down: bool, along: bool, depth: Array) -> Array:
        """Elements read in the first part of a tile."""
        hw, h, w, hk, wk, k = self.form.moved[cut]
        start = down and along
        moved = (
            hw,
            h * down,
            w * along,
            hk * (down or cut),
            wk * (along or cut),
            k * (start or cut),
        )
        a, b, c, d, e, f = (x + y for x, y in zip(self.form.always[cut], moved, strict=True))
        return self._elements((a, b, c, d, e, f), depth)

    def _elements(self, amounts: Amounts, depth: Array) -> Array:
        hw, h, w, hk, wk, k = amounts
        rows, columns = (h + hk * depth) * self.h, (w + wk * depth) * self.w
        return np.asarray(hw * self.h * self.w + rows + columns + k * depth)


def _outer(rows: Array, columns: Array) -> Array:
    """Numbers of tiles by whether they are in the last row and the last column."""
    row = np.stack([rows - 1, np.ones_like(rows)])[:, None, :]
    column = np.stack([columns - 1, np.ones_like(columns)])[None, :, :]
    return np.asarray(row * column)


def _turns(rows: Array, columns: Array) -> Array:
    """Numbers of tiles that start a row other than the first, going back and forth: the odd rows start in the
    last column."""
    inner = np.maximum(rows - 2, 0)  # rows 1, 2, ... before the last
    odd = np.where(columns > 1, np.ceil(inner / 2), inner)
    more = rows > 1
    odd_last = np.where(columns > 1, (rows - 1) % 2 == 1, True)
    last = np.stack([more & ~odd_last, more & odd_last])
    return np.stack([np.stack([inner - odd, odd]), last.astype(np.float64)])
