"""What planning may still take: one account that every stage draws from, and a clock as the last resort.

Effort is counted: a stage pays for its steps what they take on a common machine, in seconds and rather too
much than too little, so that the same question has the same answer. Where a machine is so slow or busy that
the clock's limit comes first, that ends what betters a plan.
"""

import math
from time import monotonic


class Effort:
    """Seconds of a common machine that may be spent, by the stages that share them, and none once
    `time_limit` seconds have passed on the clock. A `part` is an account within this one."""

    def __init__(self, seconds: float, time_limit: float = math.inf, within: "Effort | None" = None) -> None:
        self._left, self._within = seconds, within
        self._end: float = within._end if within is not None else monotonic() + time_limit

    @property
    def left(self) -> float:
        """What may still be spent."""
        if monotonic() >= self._end:
            return 0.0
        return max(0.0, self._left if self._within is None else min(self._left, self._within.left))

    @property
    def clock(self) -> float:
        """The seconds that the clock leaves."""
        return max(0.0, self._end - monotonic())

    def part(self, share: float) -> "Effort":
        """An account of this part of what is left; what it does not need stays here."""
        return Effort(self.left * share, within=self)

    def limited(self, seconds: float) -> "Effort":
        """An account of so much, or what is left."""
        return Effort(min(seconds, self.left), within=self)

    def spend(self, seconds: float) -> None:
        """Pay for what was done."""
        self._left -= seconds
        if self._within is not None:
            self._within.spend(seconds)
