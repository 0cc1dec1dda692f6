"""Methods of rounding a weight, by name."""

from dataclasses import dataclass, replace
from typing import ClassVar

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir.encoding import BY_RANGE, SEARCHED, Codes, Encoding, Learned, Parts, Per, Search, encode
from drystone.ir.encoding.settled import Settled
from drystone.passes.rounding.descent import descended, refitted
from drystone.passes.rounding.feedback import rounded
from drystone.passes.rounding.seen import Seen, output_error

_SWEEPS, _REFITS = 4, 2
#: Codes whose scales are searched through, and else multiples of the scale that the range asks for, where
#: columns are rounded one by one.
_FEW_BITS, _SMALLER = 2, Search((1.0, 0.9, 0.8, 0.7))


@dataclass(frozen=True)
class Method:
    """How the codes of a weight [n, k] are chosen: by the nearest numbers with searched scales, unless one or
    more of these say. scaled: after scaling by activations (AWQ); fed_back: with feedback (GPTQ); descended:
    then by coordinate descent, with scales fitted anew in between; corrected: so that the mean error of every
    output is left to its bias, which makes up for it (Nagel et al. 2019, section 4.2)."""

    scaled: bool = False
    fed_back: bool = False
    descended: bool = False
    corrected: bool = False

    WORDS: ClassVar[dict[str, str]] = {
        "awq": "scaled",
        "gptq": "fed_back",
        "rounding": "descended",
        "bias": "corrected",
    }

    @staticmethod
    def of(name: str) -> "Method":
        """By name: "nearest", or some of "awq", "gptq", "rounding" and "bias" with + between them. Raises
        UserError for any other."""
        words = [] if name == "nearest" else name.split("+")
        unknown = [word for word in words if word not in Method.WORDS]
        if unknown:
            raise UserError(
                f"quantize: no method is called {unknown[0]!r}",
                hint='give "nearest", "awq", "gptq", "rounding", "bias", or several as "gptq+awq"',
            )
        return Method(**{Method.WORDS[word]: True for word in words})

    @property
    def calibrated(self) -> bool:
        """Whether it needs to know what the weight is multiplied with."""
        return self != Method()

    @property
    def judged(self) -> "Method":
        """The method by which it is judged what factors are worth: descent gains about the same for all."""
        return replace(self, fed_back=self.fed_back or self.descended, descended=False)

    def shown(self, seen: Seen) -> Seen:
        """What counts of what calibration showed."""
        return seen.centred if self.corrected else seen

    def parts(self, matrix: Array, encoding: Encoding, seen: Seen | None) -> Parts:
        """The parts that hold a weight, f64 [n, k] (scaled already where that is asked for)."""
        careful = seen is not None and seen.moment.any() and (self.fed_back or self.descended)
        if seen is None or not careful or not isinstance(encoding, Codes) or not is_stepwise(encoding):
            return encode(matrix, encoding, search=SEARCHED)
        hessian = self.shown(seen).hessian
        moment, given = hessian.matrix, _start(matrix, encoding, hessian.matrix)
        settled = Settled.of(encoding, given, matrix.shape)
        found = rounded(matrix, settled, hessian) if self.fed_back else encoding.decode(given, matrix.shape)
        for _ in range(_REFITS if self.descended else 0):
            found = descended(matrix, found, settled.turned().nearest, moment, _SWEEPS)
            given = refitted(encoding, _held(encoding, given, found), matrix, moment)
            settled = Settled.of(encoding, given, matrix.shape)
            found = encoding.decode(given, matrix.shape)
        if self.descended:
            found = descended(matrix, found, settled.turned().nearest, moment, _SWEEPS)
        return _held(encoding, given, found)


def _start(matrix: Array, encoding: Codes, moment: Array) -> Parts:
    """Scales by range, or smaller ones that leave the least squared error of the numbers: what costs the
    outputs less, since large numbers that are cut off may be those that matter. Codes of very few bits are
    searched through."""
    searches = (BY_RANGE, SEARCHED if encoding.code.bits <= _FEW_BITS else _SMALLER)
    found = [encode(matrix, encoding, search=search) for search in searches]
    errors = [output_error(encoding.decode(parts, matrix.shape) - matrix, moment) for parts in found]
    return found[errors[1] < errors[0]]


def is_stepwise(encoding: Encoding) -> bool:
    """Whether an element can be rounded for itself once scales, or the numbers of a codebook that all share,
    are settled: methods other than "nearest" and "awq" need that."""
    if not isinstance(encoding, Codes) or not encoding.coded:
        return False
    return not isinstance(encoding.element, Learned) or encoding.element.per == Per.tensor()


def _held(encoding: Codes, parts: Parts, numbers: Array) -> Parts:
    """The codes of numbers that are held exactly, with the scales there are."""
    settled = {name: part for name, part in parts.items() if name != "codes"}
    return encoding.encode(numbers, settled, BY_RANGE)
