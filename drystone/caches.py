"""What the user asks for with `caches=`: how keys and values are held between calls."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import lcm
from typing import Any

from drystone.errors import UserError
from drystone.options import by_pattern

#: Bits of a word that holds codes of neighbouring positions.
_WORD = 32


@dataclass(frozen=True)
class Coded:
    """Numbers as codes of a few bits, each with a scale and a minimum (f16) that it shares with its
    neighbours.

    bits: of a code: 2, 4 or 8. by, group: which numbers are neighbours: `group` numbers of one position
    ("token"), rounded when its row is written, or one number of `group` positions ("channel"), rounded when
    the last of them is written. Of groups of positions and the 32 / bits codes of a word one is a multiple of
    the other.

    search: a group's codes reach between the two of 25 pairs of ends that leave the least squared error (the
    least and the largest number, each moved in by 0 to 4 twentieths of their distance), not just between the
    least and the largest number. None: for codes of 2 bits, where it gains most.
    """

    bits: int = 4
    by: str = "token"
    group: int = 32
    search: bool | None = None

    @property
    def searched(self) -> bool:
        """Whether ends are searched for."""
        return self.bits == 2 if self.search is None else self.search

    @property
    def block(self) -> int:
        """How many positions share a scale."""
        return self.group if self.by == "channel" else 1

    def __post_init__(self) -> None:
        if self.bits not in (2, 4, 8):
            raise UserError(f"Coded(bits={self.bits!r}): codes have 2, 4 or 8 bits", hint="give one of them")
        if self.by not in ("token", "channel"):
            raise UserError(f"Coded(by={self.by!r}) names no neighbours", hint='give "token" or "channel"')
        if self.group < 1:
            raise UserError(f"{self}: a group has numbers", hint="give a group of 1 and more")
        word = _WORD // self.bits
        if self.by == "channel" and self.group % word and word % self.group:
            raise UserError(
                f"{self}: groups of {self.group} positions are no whole words of {word} codes, and words no "
                "whole groups",
                hint=f"give a group of {1 << self.group.bit_length() - 1} or {-(-self.group // word) * word}",
            )


@dataclass(frozen=True)
class Cache:
    """A cache of keys and values as codes: a state that is read as keys is held as `keys` say, one that is
    read as values as `values` say.

    window: so many positions, those written last, are read as they were written, held as `held` ("f32",
    "f16" or "bf16"); 0: none. Where several positions share a scale it is a multiple of these, since until
    all are there they are nowhere else.
    """

    keys: Coded
    values: Coded
    window: int = 0
    held: str = "bf16"

    @property
    def blocks(self) -> int:
        """The fewest positions that are whole groups of keys, and of values."""
        return lcm(self.keys.block, self.values.block)

    def __post_init__(self) -> None:
        for name in ("keys", "values"):
            if not isinstance(getattr(self, name), Coded):
                raise UserError(
                    f"Cache({name}={getattr(self, name)!r}) says nothing of codes",
                    hint='give a drystone.Coded, such as Coded(2, by="channel", group=8)',
                )
        if self.held not in ("f32", "f16", "bf16"):
            raise UserError(f"Cache(held={self.held!r}) is no element", hint='give "f32", "f16" or "bf16"')
        if self.window < 0:
            raise UserError(f"Cache(window={self.window}): a window has positions, or none", hint="give 0")
        blocks = self.blocks
        if blocks > 1 and (not self.window or self.window % blocks):
            raise UserError(
                f"Cache(window={self.window}) holds no whole groups of {blocks} positions",
                hint=f"give window={max(1, -(-self.window // blocks)) * blocks}",
            )


@dataclass(frozen=True)
class Keep:
    """A cache that keeps some positions only: the first `sinks` and, of those that a query sees, the last
    `window` (StreamingLLM: Xiao et al., ICLR 2024). The others are seen by no query any more, and the buffer
    has no room for them.

    heavy: of the positions between, so many at least stay, for each head by itself: those that queries of
    this head have given the most weight so far (H2O: Zhang et al., NeurIPS 2023).
    snap: so many stay that the last queries of a prompt have given the most weight (SnapKV: Li et al.,
    NeurIPS 2024). A call of `observed` rows and more is a prompt, or one more part of it: its last `observed`
    queries are asked, and the weights of its own positions are means over `pool` neighbours. Positions that
    come one by one afterwards are kept while they are in the window.
    encoding: what the rows that are kept are held as: a name or a `Cache` (None: as they are). Where that has
    groups of several positions, the sinks are whole groups.
    """

    sinks: int = 4
    window: int = 1024
    heavy: int = 0
    snap: int = 0
    observed: int = 32
    pool: int = 5
    encoding: str | Cache | None = None

    def __post_init__(self) -> None:
        if min(self.sinks, self.heavy, self.snap) < 0 or self.window < 1:
            raise UserError(
                f"{self} keeps no positions",
                hint="give sinks, heavy and snap of 0 and more, a window of 1 and more",
            )
        if self.heavy and self.snap:
            raise UserError(
                f"{self} chooses positions by the weights of all queries and by those of a prompt's last",
                hint="give heavy=0 or snap=0",
            )
        if self.chosen and self.encoding is not None:
            raise UserError(
                f"{self}: rows of positions that are chosen by their weights are kept as they are",
                hint="leave the encoding out, or give heavy=0 and snap=0",
            )
        if self.snap and not 1 <= self.observed <= self.window:
            raise UserError(
                f"{self}: the queries that are asked are some of the window's",
                hint=f"give observed of 1 to {self.window}",
            )
        if self.snap and (self.pool < 1 or self.pool % 2 == 0):
            raise UserError(
                f"Keep(pool={self.pool}): a position is in the middle of its neighbours",
                hint="give an odd pool of 1 and more",
            )
        if self.encoding is not None:
            object.__setattr__(self, "encoding", _named(self.encoding, (str, Cache)))
        group = self.encoding.blocks if isinstance(self.encoding, Cache) else 1
        if self.sinks % group:
            raise UserError(
                f"Keep(sinks={self.sinks}) and codes in groups of {group} positions: newer rows would change "
                "the scales of sinks",
                hint=f"give sinks={-(-self.sinks // group) * group}, or 0",
            )

    @property
    def chosen(self) -> int:
        """Positions that are chosen by their weights."""
        return self.heavy + self.snap

    @property
    def plain(self) -> "Keep":
        """The same positions as they are."""
        return replace(self, encoding=None)

    def room(self, rows: int) -> int:
        """Places for what is kept where a call writes so many rows at most; those after the sinks are a ring
        of whole windows of the encoding, so that rows enter its ring in order."""
        whole = max(1, self.encoding.window) if isinstance(self.encoding, Cache) else 1
        return self.sinks + -(-(self.chosen + self.window + rows - 1) // whole) * whole


@dataclass(frozen=True)
class Heads:
    """Heads of one cache that are held differently, as retrieval and streaming heads are (DuoAttention: Xiao
    et al., ICLR 2025).

    parts: for numbers of heads, as in (0, 3), what these are held as: a name, a `Cache`, a `Keep`, or None
    for as they are, what heads that are not named are too. Heads are those of keys and values; each has as
    many query heads with it as share it.
    """

    parts: Mapping[tuple[int, ...], "str | Cache | Keep | None"]

    def __post_init__(self) -> None:
        for heads in self.parts:
            if (
                not isinstance(heads, tuple)
                or not heads
                or any(not isinstance(n, int) or n < 0 for n in heads)
            ):
                raise UserError(
                    f"Heads: {heads!r} names no heads", hint="give numbers of heads, as in (0, 3)"
                )
        named = [n for heads in self.parts for n in heads]
        twice = sorted({n for n in named if named.count(n) > 1})
        if twice:
            raise UserError(f"Heads: head {twice[0]} is named twice", hint="name each head once")
        for each in self.parts.values():
            _named(each, (str, Cache, Keep))

    def held(self) -> "dict[int, str | Cache | Keep | None]":
        """What each head that is named is held as."""
        kinds = (str, Cache, Keep)
        return {n: _named(each, kinds) for heads, each in self.parts.items() for n in heads}


#: What a cache is held in: a row of bytes with its peak, codes, some rows, or heads that differ.
Held = str | Cache | Keep | Heads
#: Regular expressions of states' names, and what each is held in (None: as it is); the first match counts.
Caches = tuple[tuple[str, Held | None], ...]

#: Bytes, rounded around 0, with the largest of each row.
INT8 = "int8"
#: Formats with names. KIVI's (Liu et al., ICML 2024): keys by channel, values by token, the newest rows raw.
NAMED: Mapping[str, Held] = {
    INT8: INT8,
    "int4": Cache(Coded(4, group=64), Coded(4, group=64)),
    "kivi4": Cache(Coded(4, by="channel"), Coded(4), window=64),
    "kivi2": Cache(Coded(2, by="channel"), Coded(2), window=64),
    "k4v2": Cache(Coded(4, by="channel"), Coded(2), window=64),
}


def _named(each: Any, kinds: tuple[type, ...]) -> Any:
    """What a name stands for, or what is of one of these kinds, or None. Raises UserError for anything
    else."""
    named = NAMED.get(each) if isinstance(each, str) else each
    if each is not None and not isinstance(named, kinds):
        others = ", ".join(kind.__name__ for kind in kinds if kind is not str).replace(", ", " or ")
        raise UserError(
            f"caches: attention reads no keys and values held as {each!r}",
            hint=f"give {', '.join(map(repr, NAMED))}, a drystone.{others}, or None for what stays",
        )
    return named


def caches_of(given: Held | Mapping[str, Held | None] | None) -> Caches:
    """Pairs of a regular expression for states' names and what the state is to be held in, from
    `compile(..., caches=)`. Raises UserError for what there is not, or what is no regular expression."""
    found = []
    for pattern, each in by_pattern("caches", given):
        found.append((pattern, _named(each, (str, Cache, Keep, Heads))))
    return tuple(found)
