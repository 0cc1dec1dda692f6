"""Weights with many zeros, and channels that are gone, as the compiler tells of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SparseWeight:
    """What was found of a weight with many zeros, and how it is held.

    weight: its name; while passes run, what it is stored under. outputs, inputs: its extents. zeros: the part
    of its numbers that are. held: as "lists", "blocks 16x16", "2:4", .. or "dense". rows: it is multiplied
    with (0: any number). size: bytes that it takes, and `dense` as plain numbers. time: of the kernel that
    reads it without zeros, or the best that could, for one of the dense kernel; `measured` or estimated. why:
    it is held so. call: the first kernel call that reads it (-1: none).
    """

    weight: str
    outputs: int
    inputs: int
    zeros: float
    held: str
    rows: int
    size: int
    dense: int
    time: float
    measured: bool
    why: str
    call: int = -1

    @property
    def sparse(self) -> bool:
        """Whether it is held without its zeros."""
        return self.held != "dense"

    def __str__(self) -> str:
        held = (
            f"held as {self.held}, {self.size / self.dense:.0%} of the bytes" if self.sparse else "held dense"
        )
        return f"{self.weight}: {self.zeros:.0%} zeros, {held}: {self.why}"


@dataclass(frozen=True)
class Removed:
    """Channels and neurons, or `heads` of attention, that were to go: the names of the weights whose outputs
    they are, how many there were and are, and why all stay ("": they need not)."""

    weights: tuple[str, ...]
    heads: bool
    units: int
    left: int
    why: str

    def __str__(self) -> str:
        named, what = ", ".join(self.weights), "heads" if self.heads else "channels"
        stay = f"all {self.units} {what} stay: {self.why}"
        return f"{named}: {stay if self.why else f'{self.left} of {self.units} {what} are left'}"
