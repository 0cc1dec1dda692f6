"""What calibration shows of tensors that are rounded to bytes, and the ends that their codes are to have."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError

#: Numbers beyond stand for infinity.
HUGE = 1e29
#: The ways to choose ends, and the percentile that is meant where none is given.
MIN_MAX, MSE, PERCENTILE = "minmax", "mse", 99.99
#: Ends that are tried: the largest number times powers of this; and the end 0, which all numbers are beyond.
_STEP, _TRIED = 0.92, 48
#: Steps between the ends of bytes, and from 0 to the end of symmetric ones.
STEPS, HALF = 255, 127


@dataclass(frozen=True)
class Range:
    """What calibration showed of a tensor: its least and largest number, those that stand for infinities
    apart, and whether there were any. bytes: the ends for 8 bits, where these are others."""

    low: float
    high: float
    masked: bool = False
    bytes: tuple[float, float] | None = None

    def __or__(self, other: "Range") -> "Range":
        ends = None
        if self.bytes is not None or other.bytes is not None:
            (low, high), (least, most) = self.ends, other.ends
            ends = min(low, least), max(high, most)
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Range(low, high, self.masked or other.masked, ends)

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest number that codes of 8 bits stand for."""
        return (self.low, self.high) if self.bytes is None else self.bytes

    @property
    def peak(self) -> float:
        """The largest magnitude that codes of 8 bits around 0 stand for."""
        return max(-self.ends[0], self.ends[1], 0.0)


@dataclass(frozen=True)
class Extremes:
    """The least and largest number of a tensor, f32 [k] or [] (of all its columns, or in all), and whether
    there were some that stand for infinities, which are left out."""

    low: Array
    high: Array
    masked: bool = False

    @property
    def range(self) -> Range:
        """Of all columns."""
        low, high = float(np.min(self.low, initial=np.inf)), float(np.max(self.high, initial=-np.inf))
        # Where all numbers stand for infinities, none was seen.
        return Range(low, high, self.masked) if high > -HUGE else Range(0, 0, masked=self.masked)

    @property
    def peaks(self) -> Array:
        """The largest magnitude of each column."""
        return np.maximum(np.maximum(-self.low, self.high), 0).astype(np.float32)


@dataclass(frozen=True)
class Tails:
    """How a tensor's numbers lie beyond ends that are tried, f64: how many are above each, the sum of the
    squares of what they are above it, and the same below the ends negated; the last end is 0. square: for
    columns, their mean squares times rows; spread: the sum of the squares of what rows span."""

    above: Array
    excess: Array
    below: Array
    shortfall: Array
    count: float = 0.0
    square: Array | None = None
    spread: float = 0.0

    def __add__(self, other: "Tails") -> "Tails":
        return Tails(
            self.above + other.above,
            self.excess + other.excess,
            self.below + other.below,
            self.shortfall + other.shortfall,
            self.count + other.count,
            self.square if self.square is None else self.square + other.square,
            self.spread + other.spread,
        )

    @property
    def numbers(self) -> float:
        """How many are not 0, which has a code."""
        return float(self.above[-1] + self.below[-1])


@dataclass(frozen=True)
class Observer:
    """How the ends of static codes of 8 bits are found, for every kind of tensor in the same way.

    ends: "minmax", the least and the largest number that calibration showed; "mse", those with the least
    squared error on its numbers; or a percentile such as 99.99: that share of the numbers is within each end.
    """

    ends: str | float = MIN_MAX

    @staticmethod
    def of(given: str | float) -> "Observer":
        """As the user spells it. Raises UserError for what is no such way."""
        if given == "percentile":
            return Observer(PERCENTILE)
        number = isinstance(given, int | float) and not isinstance(given, bool) and 50 < given <= 100
        if given in (MIN_MAX, MSE) or number:
            return Observer(given)
        raise UserError(
            f"quantize: ranges={given!r} is no way to find the ends of codes",
            hint=f'give "{MIN_MAX}", "{MSE}", "percentile" or a percentile such as {PERCENTILE}',
        )

    @property
    def looks_twice(self) -> bool:
        """Whether extremes alone do not say which ends to take."""
        return self.ends != MIN_MAX

    def tried(self, seen: Range) -> Array:
        """The ends that calls are to be looked at for, f32, falling, the last 0."""
        peak = max(-seen.low, seen.high, 0.0)
        powers = _STEP ** np.arange(_TRIED if self.looks_twice else 1)
        return np.append(peak * powers, 0).astype(np.float32)

    def range(self, seen: Range, tails: Tails | None = None, centred: bool = False) -> Range:
        """The range with the ends for bytes, that are symmetric where `centred`."""
        if tails is None or not self.looks_twice:
            return seen
        tried = self.tried(seen).astype(np.float64)
        if self.ends == MSE:
            low, high = _least(tails, tried, centred)
        else:
            beyond = (1 - float(self.ends) / 100) * tails.count
            low, high = (
                float(tried[np.flatnonzero(counts <= beyond)[-1]]) for counts in (tails.below, tails.above)
            )
        return replace(seen, bytes=(max(-low, min(seen.low, 0.0)), min(high, max(seen.high, 0.0))))

    def error(self, seen: Range, tails: Tails) -> float:
        """The squared error of all numbers as bytes with a zero point: a twelfth of a step squared for each
        that is not 0, and what the numbers beyond the ends are beyond them."""
        found, tried = self.range(seen, tails), self.tried(seen)
        low, high = max(-found.ends[0], 0.0), max(found.ends[1], 0.0)
        cut = 0.0
        for end, beyond in ((low, tails.shortfall), (high, tails.excess)):
            cut += float(beyond[np.flatnonzero(tried >= end * (1 - 1e-6))[-1]])
        return cut + tails.numbers * ((low + high) / STEPS) ** 2 / 12


def _least(tails: Tails, tried: Array, centred: bool) -> tuple[float, float]:
    """The ends, of those that were tried, with the least squared error."""
    if centred:
        cost = tails.excess + tails.shortfall + tails.numbers * (tried / HALF) ** 2 / 12
        best = float(tried[int(np.argmin(cost))])
        return best, best
    steps = (tried[:, None] + tried) / STEPS
    cost = tails.shortfall[:, None] + tails.excess + tails.numbers * steps**2 / 12
    low, high = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return float(tried[low]), float(tried[high])


def extremes_of(runs: Iterable[Mapping[str, Array]]) -> dict[str, Extremes]:
    """By names of tensors what `ObserveRanges` gives of their ends, over calls. Raises UserError where it is
    not a number."""
    found: dict[str, Array] = {}
    for results in runs:
        for key, peaks in results.items():
            found[key] = np.maximum(found.get(key, -np.inf), peaks)
    if any(np.isnan(peaks).any() for peaks in found.values()):
        raise UserError("calibration: the model computes NaN", hint="leave out the calls that give it")
    names = dict.fromkeys(key.partition(" ")[2] for key in found)
    return {
        name: Extremes(
            -found[f"low {name}"], found[f"high {name}"], bool((found[f"least {name}"] > HUGE).any())
        )
        for name in names
    }


def tails_of(runs: Iterable[Mapping[str, Array]]) -> dict[str, Tails]:
    """By names of tensors what `ObserveRanges` gives of ends that are tried, summed over calls."""
    found: dict[str, Tails] = {}
    for results in runs:
        for name in [key.partition(" ")[2] for key in results if key.startswith("count ")]:
            square, spread = results.get(f"square {name}"), results.get(f"spread {name}")
            tails = Tails(
                results[f"above {name}"],
                results[f"excess {name}"],
                results[f"below {name}"],
                results[f"shortfall {name}"],
                float(results[f"count {name}"]),
                square,
                0.0 if spread is None else float(spread[0]),
            )
            found[name] = found[name] + tails if name in found else tails
    return found
