"""Element codes: which number every pattern of a few bits is, and the nearest pattern to a number.

    int2 .. int16, uint1 .. uint16    integers; a signed one is two's complement
    bip1 .. bip8                      odd numbers -(2^n - 1) .. 2^n - 1: the sum of +-2^i over the bits
    e2m1, e3m2, e4m3, e5m2, ..        floats: sign, exponent, mantissa, bias 2^(e-1) - 1, subnormals; e4m3 has
                                      one NaN of either sign and no infinity, e5m2 all of IEEE's, others none
    ue4m3, ..                         the same of numbers not below zero: the sign bit is there and clear
    e8m0                              2^(code - 127), 255 is NaN; no zero
    ternary                           codes 0, 1, 2 are -1, 0, 1
    pot2 .. pot8                      a sign and p: +-2^-p, no zero

Rounding is to the nearest number; halfway to the even code where numbers are integers or floats, else to the
lower number. What lies beyond the range becomes the outermost finite number.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.errors import InternalError, UserError
from drystone.ir.elements import is_element, numpy_dtype, to_element, widen
from drystone.registry import Registry

#: Floats that have infinities and NaN as IEEE's, or one NaN of either sign.
_IEEE, _ONE_NAN = ("e5m2",), ("e4m3", "ue4m3")


@dataclass(frozen=True)
class Code:
    """A code of `bits` bits. `held`: the element of the IR that a code on its own is stored as."""

    #: The rule by which kernels compute the numbers of codes of more bits than can be looked up; "": there is
    #: none.
    rule: ClassVar[str] = ""

    name: str
    bits: int
    held: str

    @property
    def low(self) -> float:
        """The smallest number."""
        raise NotImplementedError

    @property
    def high(self) -> float:
        """The largest finite number."""
        raise NotImplementedError

    @property
    def powers(self) -> bool:
        """Whether every number is a power of two."""
        return False

    @property
    def mean(self) -> bool:
        """Whether 1 is the only magnitude beside 0: a scale is then a mean, no range."""
        return False

    @property
    def ramp(self) -> tuple[int, int] | None:
        """Step and least number where all numbers are integers, evenly spaced in the order of the patterns (a
        signed one's with its highest bit flipped); None where they are not."""
        return None

    def decode(self, codes: Array) -> Array:
        """The numbers (float64) of codes."""
        raise NotImplementedError

    def encode(self, numbers: Array) -> Array:
        """The codes of the nearest numbers, as `held` holds them. Raises UserError for NaN that has none."""
        raise NotImplementedError


@dataclass(frozen=True)
class Integers(Code):
    """Integers: the codes are the numbers."""

    rule = "integers"
    unsigned: bool = False

    @property
    def low(self) -> float:
        """The smallest number."""
        return 0.0 if self.unsigned else -(2.0 ** (self.bits - 1))

    @property
    def high(self) -> float:
        """The largest number."""
        return 2.0 ** (self.bits if self.unsigned else self.bits - 1) - 1

    @property
    def ramp(self) -> tuple[int, int]:
        """All integers from the smallest on."""
        return 1, int(self.low)

    def decode(self, codes: Array) -> Array:
        """The numbers (float64) of codes."""
        return codes.astype(np.float64)

    def encode(self, numbers: Array) -> Array:
        """The nearest integers in range."""
        _refuse_nan(numbers, self.name)
        return np.clip(np.rint(numbers), self.low, self.high).astype(numpy_dtype(self.held))


@dataclass(frozen=True)
class Elements(Code):
    """Elements of the IR: the numbers themselves."""

    @property
    def low(self) -> float:
        """The smallest finite number."""
        return -self.high

    @property
    def high(self) -> float:
        """The largest finite number."""
        if self.name == "bf16":
            return float(np.float64(2.0**128 - 2.0**120))
        held = np.dtype(numpy_dtype(self.name))
        return float(np.finfo(held).max if held.kind == "f" else np.iinfo(held).max)

    def decode(self, codes: Array) -> Array:
        """The numbers (float64) of elements."""
        return widen(codes).astype(np.float64)

    def encode(self, numbers: Array) -> Array:
        """The nearest elements; reals beyond the range become the outermost."""
        if np.dtype(numpy_dtype(self.name)).kind == "f" or self.name == "bf16":
            inside = np.clip(numbers, -self.high, self.high)
            numbers = np.where(np.isinf(numbers), numbers, inside)
        return to_element(numbers, self.name)


class Numbers(Code):
    """A code of at most 8 bits that is a table of numbers; unused patterns are NaN."""

    def table(self) -> Array:
        """The number of every pattern."""
        raise NotImplementedError

    @property
    def even(self) -> bool:
        """Whether halfway means the even code."""
        return False

    @cached_property
    def numbers(self) -> Array:
        """The number of every pattern."""
        return self.table()

    @cached_property
    def _order(self) -> tuple[Array, Array, Array]:
        """Finite numbers in order, their codes, and the thresholds between them."""
        finite = np.flatnonzero(np.isfinite(self.numbers))
        values, first = np.unique(self.numbers[finite], return_index=True)
        codes = finite[first]
        middle = (values[1:] + values[:-1]) / 2
        if self.even:
            middle = np.where(codes[1:] % 2 == 0, np.nextafter(middle, -np.inf), middle)
        return values, codes, middle

    @property
    def low(self) -> float:
        """The smallest number."""
        return float(self._order[0][0])

    @property
    def high(self) -> float:
        """The largest finite number."""
        return float(self._order[0][-1])

    @cached_property
    def powers(self) -> bool:
        """Whether every number is a power of two."""
        values = self._order[0]
        return bool((values > 0).all() and (np.frexp(values)[0] == 0.5).all())

    @cached_property
    def mean(self) -> bool:
        """Whether 1 is the only magnitude beside 0."""
        return set(np.abs(self._order[0])) <= {0.0, 1.0}

    def decode(self, codes: Array) -> Array:
        """The numbers (float64) of codes."""
        return self.numbers[codes]

    def encode(self, numbers: Array) -> Array:
        """The codes of the nearest numbers."""
        _, codes, middle = self._order
        numbers = np.asarray(numbers)
        out = codes.astype(np.uint8)[np.searchsorted(middle, numbers, side="left")]
        zeros = np.flatnonzero(self.numbers == 0)
        minus = zeros[np.signbit(self.numbers[zeros])]
        if len(minus):
            out = np.where((self.numbers[out] == 0) & np.signbit(numbers), np.uint8(minus[0]), out)
        return self._special(numbers, out)

    def _special(self, numbers: Array, out: Array) -> Array:
        """Infinities and NaN, where there are codes of them."""
        for infinite in (np.inf, -np.inf):
            code = np.flatnonzero(self.numbers == infinite)
            if len(code) and np.isinf(numbers).any():
                out = np.where(numbers == infinite, np.uint8(code[0]), out)
        nan = np.isnan(numbers)
        if nan.any():
            if self.name.startswith(("bip", "ternary", "pot")) or not np.isnan(self.numbers).any():
                _refuse_nan(numbers, self.name)
            out = np.where(nan, np.uint8(np.flatnonzero(np.isnan(self.numbers))[0]), out)
        return out


@dataclass(frozen=True)
class Floats(Numbers):
    """Floats of a sign (clear where `unsigned`), `exponent` and `mantissa` bits."""

    rule = "floats"
    exponent: int = 0
    mantissa: int = 0
    unsigned: bool = False

    @property
    def even(self) -> bool:
        """Halfway means the even code."""
        return True

    def table(self) -> Array:
        """The number of every pattern."""
        codes = np.arange(2**self.bits)
        fraction = (codes % 2**self.mantissa) / 2.0**self.mantissa
        power = (codes >> self.mantissa) % 2**self.exponent
        bias = 2 ** (self.exponent - 1) - 1
        if self.name == "e8m0":
            return np.where(codes == 255, np.nan, np.ldexp(1.0, codes - bias))
        normal = np.ldexp(1 + fraction, power - bias)
        out = np.where(power == 0, np.ldexp(fraction, 1 - bias), normal)
        last = power == 2**self.exponent - 1
        if self.name in _IEEE:
            out = np.where(last, np.where(fraction == 0, np.inf, np.nan), out)
        elif self.name in _ONE_NAN:
            out = np.where(last & (codes % 2**self.mantissa == 2**self.mantissa - 1), np.nan, out)
        negative = codes >> self.exponent + self.mantissa == 1
        if self.unsigned:
            return np.asarray(np.where(negative, np.nan, out), np.float64)
        return np.asarray(np.where(negative, -out, out), np.float64)


class Bipolar(Numbers):
    """Odd numbers: bit i is +2^i or -2^i."""

    @property
    def ramp(self) -> tuple[int, int]:
        """Every other integer."""
        return 2, 1 - 2**self.bits

    def table(self) -> Array:
        """The number of every pattern."""
        return np.arange(1 - 2**self.bits, 2**self.bits, 2).astype(np.float64)


class Ternary(Numbers):
    """-1, 0 and 1."""

    @property
    def ramp(self) -> tuple[int, int]:
        """The three of them."""
        return 1, -1

    def table(self) -> Array:
        """The number of every pattern."""
        return np.array([-1.0, 0.0, 1.0, np.nan])


class Potencies(Numbers):
    """Signed powers of two without a zero (DenseShift: Li et al. 2022, section 3)."""

    def table(self) -> Array:
        """The number of every pattern."""
        codes = np.arange(2**self.bits)
        half = 2 ** (self.bits - 1)
        return np.asarray(np.where(codes < half, 1.0, -1.0) * np.ldexp(1.0, -(codes % half)))


@dataclass(frozen=True)
class Listed(Numbers):
    """The numbers of a codebook, in the order of their codes."""

    listed: tuple[float, ...] = ()

    def table(self) -> Array:
        """The number of every pattern."""
        return np.array(self.listed, np.float64)


def _refuse_nan(numbers: Array, name: str) -> None:
    if np.isnan(numbers).any():
        raise UserError(
            f"an array to be held as {name} has elements that are not numbers (NaN)",
            hint="find what made them, or hold this array as floats",
        )


def listed(numbers: tuple[float, ...]) -> Listed:
    """The code of a codebook's numbers."""
    bits = max(1, (len(numbers) - 1).bit_length())
    return Listed("a codebook", bits, "ui8", tuple(numbers))


@dataclass(frozen=True)
class Family:
    """Codes with names of one form. pattern: the form, a regular expression; make: the code of a name and the
    groups of the pattern's match, None where there is none of that name."""

    pattern: str
    make: Callable[..., Code | None]


def _integers(name: str, unsigned: str, digits: str) -> Code | None:
    bits = int(digits)
    held = f"{unsigned}i{8 if bits <= 8 else 16}"
    return Integers(name, bits, held, bool(unsigned)) if (1 if unsigned else 2) <= bits <= 16 else None


def _floats(name: str, positive: str, exponent: str, mantissa: str) -> Code | None:
    e, m = int(exponent), int(mantissa)
    bits = e + m + (name != "e8m0")
    if bits > 8 or not e or not (m or name == "e8m0"):
        return None
    return Floats(name, bits, "ui8", e, m, bool(positive))


def _bipolar(name: str, digits: str) -> Code | None:
    return Bipolar(name, int(digits), "ui8") if 1 <= int(digits) <= 8 else None


def _potencies(name: str, digits: str) -> Code | None:
    return Potencies(name, int(digits), "ui8") if 2 <= int(digits) <= 8 else None


#: Every element code but the elements of the IR, which stand for themselves.
FAMILIES: Registry[Family] = Registry(
    "element code",
    {
        "integers": Family(r"(u?)int(\d+)", _integers),
        "bipolar": Family(r"bip(\d+)", _bipolar),
        "floats": Family(r"(u?)e(\d+)m(\d+)", _floats),
        "ternary": Family("ternary", lambda name: Ternary(name, 2, "ui8")),
        "potencies": Family(r"pot(\d+)", _potencies),
    },
)


def code_of(name: str) -> Code:
    """The code of this name. Raises InternalError where there is none."""
    return _code(name, FAMILIES.version)


@cache
def _code(name: str, version: int) -> Code:
    for family in FAMILIES.values():
        match = re.fullmatch(family.pattern, name)
        if match is not None:
            made = family.make(name, *match.groups())
            if made is None:
                raise InternalError(f"no element code is called {name}")
            return made
    return Elements(name, 8 * np.dtype(numpy_dtype(name)).itemsize, name)


def is_known(name: str) -> bool:
    """Whether there is a code, or a family of codes, or an element, of this name."""
    named = name in FAMILIES or is_element(name)
    return named or any(re.fullmatch(family.pattern, name) for family in FAMILIES.values())
