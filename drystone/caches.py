"""What the user asks for with `caches=`: how keys and values are held between calls."""

from collections.abc import Mapping
from dataclasses import dataclass

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
    """

    bits: int = 4
    keys: str = "token"
    values: str = "token"
    group: int = 32
    window: int = 0
    held: str = "bf16"

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
    """A cache that keeps some positions only, as they are: the first `sinks` and, of those that a query sees,
    the last `window` (StreamingLLM: Xiao et al., ICLR 2024). The others are seen by no query any more, and
    the buffer has no room for them."""

    sinks: int = 4
    window: int = 1024

    def __post_init__(self) -> None:
        if self.sinks < 0 or self.window < 1:
            raise UserError(
                f"{self} keeps no positions", hint="give sinks of 0 and more, a window of 1 and more"
            )


#: What a cache is held in: a row of bytes with its peak, codes, or some rows as they are.
Held = str | Cache | Keep
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


def caches_of(given: Held | Mapping[str, Held | None] | None) -> Caches:
    """Pairs of a regular expression for states' names and what the state is to be held in, from
    `compile(..., caches=)`. Raises UserError for what there is not, or what is no regular expression."""
    found = []
    for pattern, each in by_pattern("caches", given):
        named = NAMED.get(each) if isinstance(each, str) else each
        if each is not None and not isinstance(named, str | Cache | Keep):
            raise UserError(
                f"caches: attention reads no keys and values held as {each!r}",
                hint=f"give {', '.join(map(repr, NAMED))}, a drystone.Cache or Keep, or None for what stays",
            )
        found.append((pattern, named))
    return tuple(found)
