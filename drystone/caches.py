"""What the user asks for with `caches=`: how keys and values are held between calls."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from drystone.errors import UserError
from drystone.options import by_pattern


@dataclass(frozen=True)
class Cache:
    """A cache of keys or values as codes of a few bits, each with a scale and a minimum (f16) that it shares
    with its neighbours.

    bits: of a code: 2, 4 or 8. keys, values: which numbers are neighbours, where a state is read as keys or
    as values: `group` numbers of one position ("token"), rounded when its row is written, or one number of
    `group` positions ("channel"), rounded when the last of them is written. window: so many positions, those
    written last, are read as they were written, held as `held` ("f32", "f16" or "bf16"); 0: none. Where a
    group has several positions it is a multiple of the group, since until all are there they are nowhere
    else; and the group is a multiple of the 32 / bits codes of a word.

    search: a group's codes reach between the two of 25 pairs of ends that leave the least squared error (the
    least and the largest number, each moved in by 0 to 4 twentieths of their distance), not just between the
    least and the largest number. None: for codes of 2 bits, where it gains most.
    """

    bits: int = 4
    keys: str = "token"
    values: str = "token"
    group: int = 32
    window: int = 0
    held: str = "bf16"
    search: bool | None = None

    @property
    def searched(self) -> bool:
        """Whether ends are searched for."""
        return self.bits == 2 if self.search is None else self.search

    def block(self, *, keys: bool) -> int:
        """How many positions share a scale, where a state is read as keys, or as values."""
        return self.group if (self.keys if keys else self.values) == "channel" else 1

    def __post_init__(self) -> None:
        if self.bits not in (2, 4, 8):
            raise UserError(f"Cache(bits={self.bits!r}): codes have 2, 4 or 8 bits", hint="give one of them")
        for name in ("keys", "values"):
            if getattr(self, name) not in ("token", "channel"):
                raise UserError(
                    f"Cache({name}={getattr(self, name)!r}) names no neighbours",
                    hint='give "token" or "channel"',
                )
        if self.held not in ("f32", "f16", "bf16"):
            raise UserError(f"Cache(held={self.held!r}) is no element", hint='give "f32", "f16" or "bf16"')
        if self.group < 1 or self.window < 0:
            raise UserError(f"{self}: a group has numbers, a window none or some", hint="give others")
        if "channel" not in (self.keys, self.values):
            return
        if self.group % (32 // self.bits):
            raise UserError(
                f"Cache(group={self.group}): {self.bits} bits of {self.group} positions are no whole words",
                hint=f"give a multiple of {32 // self.bits}",
            )
        if not self.window or self.window % self.group:
            raise UserError(
                f"Cache(window={self.window}) holds no whole groups of {self.group} positions",
                hint=f"give window={max(1, -(-self.window // self.group)) * self.group}",
            )


@dataclass(frozen=True)
class Keep:
    """A cache that keeps some positions only: the first `sinks` and, of those that a query sees, the last
    `window` (StreamingLLM: Xiao et al., ICLR 2024). The others are seen by no query any more, and the buffer
    has no room for them.

    heavy: of the positions between, so many at least stay for each head by themselves: those that queries of
    this head have given the most weight so far (H2O: Zhang et al., NeurIPS 2023).
    encoding: what the rows that are kept are held as: a name or a `Cache` (None: as they are). Where that has
    groups of several positions, the sinks are whole groups.
    """

    sinks: int = 4
    window: int = 1024
    heavy: int = 0
    encoding: str | Cache | None = None

    def __post_init__(self) -> None:
        if self.sinks < 0 or self.window < 1 or self.heavy < 0:
            raise UserError(
                f"{self} keeps no positions",
                hint="give sinks and heavy of 0 and more, a window of 1 and more",
            )
        if self.heavy and self.encoding is not None:
            raise UserError(
                f"Keep(heavy={self.heavy}, encoding=..): rows of positions that are chosen by their weights "
                "are kept as they are",
                hint="leave one of both out",
            )
        if self.encoding is not None:
            object.__setattr__(self, "encoding", _named(self.encoding, (str, Cache)))
        held = self.encoding
        group = max(held.block(keys=keys) for keys in (True, False)) if isinstance(held, Cache) else 1
        if self.sinks % group:
            raise UserError(
                f"Keep(sinks={self.sinks}) and codes in groups of {group} positions: newer rows would change "
                "the scales of sinks",
                hint=f"give sinks={-(-self.sinks // group) * group}, or 0",
            )

    @property
    def plain(self) -> "Keep":
        """The same positions as they are."""
        return replace(self, encoding=None)

    def room(self, rows: int) -> int:
        """Places for what is kept where a call writes so many rows at most; those after the sinks are a ring
        of whole windows of the encoding, so that rows enter its ring in order."""
        whole = max(1, self.encoding.window) if isinstance(self.encoding, Cache) else 1
        return self.sinks + -(-(self.heavy + self.window + rows - 1) // whole) * whole


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
    "int4": Cache(4, group=64),
    "kivi4": Cache(4, keys="channel", window=64),
    "kivi2": Cache(2, keys="channel", window=64),
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
