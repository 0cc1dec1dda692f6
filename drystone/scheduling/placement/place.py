"""Offsets for fixed lifetimes: best fit for a quick answer, exact search, CP-SAT for the rest.

The exact search has a long tail: with one order of blocks it finds a
placement in hundreds of states, with another one it does not end (Gomes, Selman and Kautz, "Boosting
Combinatorial Search Through Randomization", AAAI 1998). So strategies take turns, and from round to round a
turn is twice as long.
"""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from drystone.scheduling import solver
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Block, load, unit
from drystone.scheduling.order.greedy import best_fit, height
from drystone.scheduling.placement.exact import Search, Spent, Strategy

#: What best fit costs, for each block.
_FIT = 4e-5
#: Steps of the exact search in a second of effort, and what is taken where nothing is said.
_STEPS, _USUAL = 3_000_000, 10.0
#: Steps of a strategy's first turn for every block alive in a section, and at least.
_TURN, _LEAST = 200, 50_000
#: Blocks, and blocks alive in all sections together, up to which the exact search is tried.
_MANY, _LARGE = 10_000, 400_000
#: Orders of blocks, largest feature first (Width of the lifetime, siZe, Area, Total of the fullest section),
#: and the valley that comes first.
_FIRST = (
    ("WAT", "few"),
    ("TAW", "tight"),
    ("AW", "few"),
    ("TZW", "tight"),
    ("WAT", "low"),
    ("TAW", "few"),
)


@dataclass(frozen=True)
class Placement:
    """Offsets in the order of the blocks ("placed"), or none: because there are none within the capacity
    ("impossible", proven), or because none were found in time ("unknown"). `bound`: bytes that every
    placement needs, proven."""

    status: Literal["placed", "impossible", "unknown"]
    offsets: list[int]
    height: int
    bound: int


def place(
    blocks: Sequence[Block],
    capacity: int,
    *,
    effort: Effort | None = None,
    known: Sequence[int] | None = None,
) -> Placement:
    """Offsets of the blocks within `capacity` bytes. `known`: a placement to start from, of any height."""
    effort = effort or Effort(_USUAL)
    effort.spend(_FIT * len(blocks))
    least, best = load(blocks), _best_known(blocks, known)
    if least > capacity:
        return Placement("impossible", [], 0, least)
    if height(blocks, best) <= capacity:
        return Placement("placed", best, height(blocks, best), least)
    return _Placer(blocks, effort).within(capacity, best, least, math.inf)


def minimize(
    blocks: Sequence[Block],
    *,
    capacity: int | None = None,
    effort: Effort | None = None,
    known: Sequence[int] | None = None,
) -> Placement:
    """The lowest placement found, proven lowest where its height is its bound. Where there is a capacity, a
    higher one is none: "impossible" or "unknown" then."""
    effort = effort or Effort(_USUAL)
    effort.spend(_FIT * len(blocks))
    placer = _Placer(blocks, effort)
    best, least = _best_known(blocks, known), load(blocks)
    if capacity is not None and least <= capacity < height(blocks, best):
        found = placer.within(capacity, best, least, math.inf)
        if found.status != "placed":
            return found
        best = found.offsets
    found = placer.lowest(best, least)
    if capacity is None or found.height <= capacity:
        return found
    return Placement("impossible" if found.bound > capacity else "unknown", [], 0, found.bound)


def _best_known(blocks: Sequence[Block], known: Sequence[int] | None) -> list[int]:
    quick = best_fit(blocks)
    return quick if known is None else min(list(known), quick, key=lambda offsets: height(blocks, offsets))


class _Placer:
    """Searches for placements of some blocks until the effort is spent."""

    def __init__(self, blocks: Sequence[Block], effort: Effort) -> None:
        self.blocks, self.effort = blocks, effort
        # The exact search knows no blocks that use a part of their bytes only.
        self.exact = len(blocks) <= _MANY and not any(g.low < g.high for block in blocks for g in block.gaps)

    def within(self, capacity: int, hint: Sequence[int], bound: int, turns: float) -> Placement:
        """Any placement within `capacity`, after so many turns: in each round all strategies of the exact
        search and then CP-SAT, with as much effort as they had. A round is twice as long as the last."""
        search = Search(self.blocks, capacity) if self.exact else None
        if search is not None and search.crowd > _LARGE:
            search = None
        turn = _LEAST if search is None else max(_LEAST, _TURN * search.crowd)
        for number, strategy in enumerate(_strategies(search)):
            if not self.effort.left or number >= turns:
                break
            if strategy is None or search is None:
                found = self._solve(capacity, capacity, hint, len(_FIRST) * turn / _STEPS)
            else:
                found = self._search(search, strategy, turn)
            if found is not None and not found.offsets:
                return Placement("impossible", [], 0, max(bound, capacity + 1))
            if found is not None:
                return Placement("placed", found.offsets, height(self.blocks, found.offsets), bound)
            if number % (len(_FIRST) + 1) == len(_FIRST):
                turn *= 2
        return Placement("unknown", [], 0, bound)

    def lowest(self, best: list[int], bound: int) -> Placement:
        """The lowest placement: at the bound if there is one, then halving what lies between, then CP-SAT."""
        step, most, turns = unit(self.blocks), height(self.blocks, best), len(_FIRST)
        while bound < most and self.effort.left:
            failed = bound - 1
            while bound < most and self.effort.left:
                target = bound if failed < bound else failed + (most - failed) // (2 * step) * step
                if target == failed:
                    break
                found = self.within(target, best, bound, turns)
                bound = min(most, -(-found.bound // step) * step)
                if found.status == "placed":
                    best, most = found.offsets, found.height
                else:
                    failed = target
            if bound < most:
                solved = self._solve(bound, most, best, turns / len(_FIRST))
                if solved is not None and solved.offsets:
                    best, most = solved.offsets, height(self.blocks, solved.offsets)
                bound = min(most, max(bound, solved.bound if solved is not None else 0))
            turns *= 2
        return Placement("placed", best, most, bound)

    def _search(self, search: Search, strategy: Strategy, steps: int) -> solver.Placed | None:
        granted = int(min(steps, self.effort.left * _STEPS, self.effort.clock * _STEPS)) + 1
        before = search.steps
        try:
            offsets = search.run(strategy, granted)
        except Spent:
            return None
        finally:
            self.effort.spend((search.steps - before) / _STEPS)
        return solver.Placed(offsets or [], 0)

    def _solve(self, least: int, most: int, hint: Sequence[int], effort: float) -> solver.Placed | None:
        """What CP-SAT finds between two heights; None if nothing, and nothing is proven."""
        found = solver.place(self.blocks, hint, least, most, self.effort.limited(effort))
        return found if found.offsets or found.bound > least else None


def _strategies(search: Search | None) -> Iterator[Strategy | None]:
    """Endless turns; None where it is CP-SAT's."""
    rng = random.Random(0)
    features = {} if search is None else search.features()
    for turn in itertools.count():
        for names, choice in _FIRST:
            if search is None:
                yield None
                continue
            noise = [rng.uniform(0.7, 1.3) if turn else 1.0 for _ in range(search.total)]
            columns = [[n * by for n, by in zip(features[name], noise, strict=True)] for name in names]
            yield Strategy(_ranks(list(zip(*columns, strict=True))), choice)
        yield None


def _ranks(keys: Sequence[Sequence[float]]) -> tuple[int, ...]:
    """The place of each block when they are sorted by their keys, the largest first."""
    order = sorted(range(len(keys)), key=lambda block: [-key for key in keys[block]])
    places = [0] * len(keys)
    for place, block in enumerate(order):
        places[block] = place
    return tuple(places)
