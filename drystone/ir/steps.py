"""A planned program as the code generator sees it: what runs, step by step, and where everything lies."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Copy:
    """A buffer that moves to another memory level: addresses in the arena, in bytes; `levels` names the two
    in messages ("sram to dram")."""

    buffer: str
    source: int
    destination: int
    levels: str


@dataclass(frozen=True)
class Window:
    """A weight, by key, of which rows come when they are read: for how many runs they stay that do not read
    them, and how many pages stay from run to run, at most."""

    key: str
    runs: int
    pages: int


@dataclass(frozen=True)
class Step:
    """A kernel call by name (ir.buffers; some run more than once), where the arena buffers that are there
    during it start, in bytes, what is copied before it, in this order, and the weights, by key, that are not
    needed for now after it, and those of which some rows may stay."""

    call: str
    places: Mapping[str, int]
    copies: tuple[Copy, ...] = ()
    drops: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
