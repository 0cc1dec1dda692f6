"""Methods of rounding a weight, by name."""

from dataclasses import dataclass
from typing import ClassVar

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir.encoding import SEARCHED, Codes, Encoding, Learned, Parts, encode
from drystone.ir.encoding.settled import Settled
from drystone.passes.rounding.descent import descended, refitted
from drystone.passes.rounding.feedback import rounded
from drystone.passes.rounding.seen import Seen

#: The share of the mean of H's diagonal that is added to it.
_DAMPING = 0.01
_SWEEPS, _REFITS = 4, 2


@dataclass(frozen=True)
class Method:
    """How the codes of a weight [n, k] are chosen: by the nearest numbers with searched scales, unless one or
    more of these say. scaled: after scaling by activations (AWQ); fed_back: with feedback (GPTQ); descended:
    then by coordinate descent, with scales fitted anew in between."""

    scaled: bool = False
    fed_back: bool = False
    descended: bool = False

    WORDS: ClassVar[dict[str, str]] = {"awq": "scaled", "gptq": "fed_back", "rounding": "descended"}

    @staticmethod
    def of(name: str) -> "Method":
        """By name: "nearest", or some of "awq", "gptq" and "rounding" with + between them. Raises UserError
        for any other."""
        words = [] if name == "nearest" else name.split("+")
        unknown = [word for word in words if word not in Method.WORDS]
        if unknown:
            raise UserError(
                f"quantize: no method is called {unknown[0]!r}",
                hint='give "nearest", "awq", "gptq", "rounding", or several as "gptq+awq"',
            )
        return Method(**{Method.WORDS[word]: True for word in words})

    @property
    def calibrated(self) -> bool:
        """Whether it needs to know what the weight is multiplied with."""
        return self != Method()

    def parts(self, matrix: Array, encoding: Encoding, seen: Seen | None) -> Parts:
        """The parts that hold a weight, f64 [n, k] (scaled already where that is asked for)."""
        given = encode(matrix, encoding, search=SEARCHED)
        if seen is None or not (self.fed_back or self.descended) or not isinstance(encoding, Codes):
            return given
        if not is_stepwise(encoding):
            return given
        moment = seen.damped(_DAMPING)
        settled = Settled.of(encoding, given, matrix.shape)
        found = rounded(matrix, settled, moment) if self.fed_back else encoding.decode(given, matrix.shape)
        for _ in range(_REFITS if self.descended else 0):
            found = descended(matrix, found, settled, moment, _SWEEPS)
            given = refitted(encoding, _held(encoding, given, found), matrix, moment)
            settled = Settled.of(encoding, given, matrix.shape)
            found = encoding.decode(given, matrix.shape)
        if self.descended:
            found = descended(matrix, found, settled, moment, _SWEEPS)
        return _held(encoding, given, found)


def is_stepwise(encoding: Encoding) -> bool:
    """Whether an element can be rounded for itself once scales are settled: methods other than "nearest" and
    "awq" need that."""
    return isinstance(encoding, Codes) and encoding.coded and not isinstance(encoding.element, Learned)


def _held(encoding: Codes, parts: Parts, numbers: Array) -> Parts:
    """The codes of numbers that are held exactly, with the scales there are."""
    settled = {name: part for name, part in parts.items() if name != "codes"}
    return encoding.encode(numbers, settled, SEARCHED)
