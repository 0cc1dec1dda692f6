"""The meaning of every scalar operation (dialects arith, math and complex) on numpy arrays.

One table, used by the reference interpreter of the IR and by the interpreter of tile programs. Arrays hold
their elements as `ir.elements` says. Integers wrap; an operation on unsigned numbers views them as such and
gives signed ones back. Functions of the dialect math are computed in float64 and rounded once to the element.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import InternalError
from drystone.ir.elements import numpy_dtype, to_element, widen


def _signed(array: Array) -> Array:
    if array.dtype == np.bool_:
        return -array.astype(np.int8)
    return np.asarray(array.view(f"i{array.dtype.itemsize}")) if array.dtype.kind == "u" else array


def _unsigned(array: Array) -> Array:
    return np.asarray(array.view(f"u{array.dtype.itemsize}")) if array.dtype.kind in "iub" else array


def _div_trunc(a: Array, b: Array) -> Array:
    quotient = a // b
    return np.asarray(quotient + ((np.fmod(a, b) != 0) & ((a < 0) != (b < 0))))


def _div_ceil(a: Array, b: Array) -> Array:
    return np.asarray(a // b + (a % b != 0))


def _round_away(x: Array) -> Array:
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(1.0, x), whole)


def _int_power(base: Array, exponent: Array) -> Array:
    """Wrapping integer power; negative exponents as 1 / base^n truncated to an integer."""
    base, exponent = np.broadcast_arrays(base, exponent)
    out, square, left = np.ones_like(base), base.copy(), np.maximum(exponent, 0)
    while left.any():
        out = np.where(left & 1, out * square, out)
        square, left = square * square, left >> 1
    inverse = np.where(base == 1, 1, np.where(base == -1, np.where(exponent & 1, -1, 1), 0))
    return np.where(exponent < 0, inverse, out)


def _bit_count(of: Callable[[Array, int], Array]) -> Callable[[Array], Array]:
    return lambda x: of(x, x.dtype.itemsize * 8)


def _leading_zeros(x: Array, bits: int) -> Array:
    count = np.full(x.shape, bits, np.uint8)
    for position in range(bits):
        count = np.where((x >> x.dtype.type(position)) & x.dtype.type(1), bits - 1 - position, count)
    return count


def _trailing_zeros(x: Array, bits: int) -> Array:
    count = np.full(x.shape, bits, np.uint8)
    for position in reversed(range(bits)):
        count = np.where((x >> x.dtype.type(position)) & x.dtype.type(1), position, count)
    return count


def _python(function: Callable[[float], float]) -> Callable[[Array], Array]:
    ufunc = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(ufunc(x), dtype=np.float64)


def _is_subnormal(x: Array) -> Array:
    return np.asarray((x != 0) & (np.abs(x) < np.finfo(x.dtype).tiny))


def _unit_sign(z: Array) -> Array:
    size = np.abs(z)
    return np.where(size == 0, 0, z / np.where(size == 0, 1, size))


_Function = Callable[..., Any]

_FLOAT: dict[str, _Function] = {
    "arith.addf": np.add,
    "arith.subf": np.subtract,
    "arith.mulf": np.multiply,
    "arith.divf": np.divide,
    "arith.remf": np.fmod,
    "arith.negf": np.negative,
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
    "arith.extf": lambda x: x,
    "arith.truncf": lambda x: x,
    "arith.convertf": lambda x: x,
    "arith.flush_denormals": lambda x: np.where(_is_subnormal(x), np.copysign(0, x), x),
    "math.absf": np.abs,
    "math.copysign": np.copysign,
    "math.isfinite": np.isfinite,
    "math.isinf": np.isinf,
    "math.isnan": np.isnan,
    "math.isnormal": lambda x: np.isfinite(x) & (x != 0) & ~_is_subnormal(x),
}

_MATH: dict[str, _Function] = {
    "math.acos": np.arccos,
    "math.acosh": np.arccosh,
    "math.asin": np.arcsin,
    "math.asinh": np.arcsinh,
    "math.atan": np.arctan,
    "math.atan2": np.arctan2,
    "math.atanh": np.arctanh,
    "math.cbrt": np.cbrt,
    "math.clampf": np.clip,
    "math.ceil": np.ceil,
    "math.cos": np.cos,
    "math.cosh": np.cosh,
    "math.erf": _python(math.erf),
    "math.erfc": _python(math.erfc),
    "math.exp": np.exp,
    "math.exp2": np.exp2,
    "math.expm1": np.expm1,
    "math.floor": np.floor,
    "math.fma": lambda a, b, c: a * b + c,
    "math.fpowi": np.power,
    "math.log": np.log,
    "math.log10": np.log10,
    "math.log1p": np.log1p,
    "math.log2": np.log2,
    "math.powf": np.power,
    "math.round": _round_away,
    "math.roundeven": np.rint,
    "math.rsqrt": lambda x: 1 / np.sqrt(x),
    "math.sin": np.sin,
    "math.sinh": np.sinh,
    "math.sqrt": np.sqrt,
    "math.tan": np.tan,
    "math.tanh": np.tanh,
    "math.trunc": np.trunc,
}

_SIGNED: dict[str, _Function] = {
    "arith.addi": np.add,
    "arith.subi": np.subtract,
    "arith.muli": np.multiply,
    "arith.divsi": _div_trunc,
    "arith.floordivsi": np.floor_divide,
    "arith.ceildivsi": _div_ceil,
    "arith.remsi": np.fmod,
    "arith.andi": np.bitwise_and,
    "arith.ori": np.bitwise_or,
    "arith.xori": np.bitwise_xor,
    "arith.shli": np.left_shift,
    "arith.shrsi": np.right_shift,
    "arith.maxsi": np.maximum,
    "arith.minsi": np.minimum,
    "arith.extsi": lambda x: x,
    "arith.trunci": lambda x: x,
    "arith.sitofp": lambda x: x,
    "arith.index_cast": lambda x: x,
    "math.absi": np.abs,
    "math.ipowi": _int_power,
}

_UNSIGNED: dict[str, _Function] = {
    "arith.divui": np.floor_divide,
    "arith.ceildivui": _div_ceil,
    "arith.remui": np.fmod,
    "arith.shrui": np.right_shift,
    "arith.maxui": np.maximum,
    "arith.minui": np.minimum,
    "arith.extui": lambda x: x,
    "arith.uitofp": lambda x: x,
    "arith.index_castui": lambda x: x,
    "math.ctlz": _bit_count(_leading_zeros),
    "math.cttz": _bit_count(_trailing_zeros),
    "math.ctpop": _bit_count(lambda x, bits: np.bitwise_count(x)),
}

_COMPLEX: dict[str, _Function] = {
    "complex.abs": np.abs,
    "complex.add": np.add,
    "complex.angle": np.angle,
    "complex.atan2": lambda y, x: -1j * np.log((x + 1j * y) / np.sqrt(x * x + y * y)),
    "complex.conj": np.conj,
    "complex.cos": np.cos,
    "complex.create": lambda re, im: re + 1j * im,
    "complex.div": np.divide,
    "complex.eq": np.equal,
    "complex.exp": np.exp,
    "complex.expm1": np.expm1,
    "complex.im": np.imag,
    "complex.log": np.log,
    "complex.log1p": np.log1p,
    "complex.mul": np.multiply,
    "complex.neg": np.negative,
    "complex.neq": np.not_equal,
    "complex.pow": np.power,
    "complex.powi": np.power,
    "complex.re": np.real,
    "complex.rsqrt": lambda z: 1 / np.sqrt(z),
    "complex.sign": _unit_sign,
    "complex.sin": np.sin,
    "complex.sqrt": np.sqrt,
    "complex.sub": np.subtract,
    "complex.tan": np.tan,
    "complex.tanh": np.tanh,
}

_FLOAT_PREDICATES = (
    *("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord"),
    *("ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true"),
)
_INTEGER_PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
_COMPARE: dict[str, _Function] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def _compare_floats(predicate: str, a: Array, b: Array) -> Array:
    if predicate in ("false", "true"):
        return np.full(np.broadcast_shapes(a.shape, b.shape), predicate == "true")
    unordered = np.isnan(a) | np.isnan(b)
    if predicate in ("ord", "uno"):
        return unordered if predicate == "uno" else ~unordered
    holds = _COMPARE[predicate[1:]](a, b)
    return np.asarray(holds | unordered if predicate[0] == "u" else holds & ~unordered)


def _compare_integers(predicate: str, a: Array, b: Array) -> Array:
    view = _unsigned if predicate in ("ult", "ule", "ugt", "uge") else _signed
    compared: Array = _COMPARE[predicate[-2:]](view(a), view(b))
    return compared


def _predicate(attributes: Mapping[str, str], names: Sequence[str]) -> str:
    """The predicate's name, also where it is given by its number in MLIR's enumeration."""
    given = attributes["predicate"]
    return names[int(given)] if given.isdigit() else given


def _integer_of(value: Array, dtype: str, *, unsigned: bool) -> Array:
    if dtype == "i1":
        return np.asarray(value != 0)
    size = np.dtype(numpy_dtype(dtype)).itemsize
    whole = np.trunc(value)
    return np.asarray(whole.astype(f"u{size}").view(f"i{size}") if unsigned else whole.astype(f"i{size}"))


def _bitcast(value: Array, dtype: str) -> Array:
    held = np.dtype(numpy_dtype(dtype))
    return value if value.dtype == held else np.ascontiguousarray(value).view(held).reshape(value.shape)


def _wide(array: Array) -> Array:
    return widen(array).astype(np.float64, copy=False)


def _each(view: Callable[[Array], Array]) -> Callable[[Sequence[Array]], list[Array]]:
    return lambda arrays: [view(array) for array in arrays]


def _special(op: str, arrays: list[Array], attributes: Mapping[str, str], dtype: str) -> Array | None:
    """The operations whose meaning needs more than the elements."""
    match op:
        case "arith.select":
            return np.where(*arrays)
        case "arith.bitcast":
            return _bitcast(arrays[0], dtype)
        case "arith.fptosi" | "arith.fptoui":
            return _integer_of(widen(arrays[0]), dtype, unsigned=op == "arith.fptoui")
        case "arith.cmpf":
            left, right = map(widen, arrays)
            return _compare_floats(_predicate(attributes, _FLOAT_PREDICATES), left, right)
        case "arith.cmpi":
            return _compare_integers(_predicate(attributes, _INTEGER_PREDICATES), *arrays)
    return None


_REDUCING = (
    *("arith.addf", "arith.mulf", "arith.maximumf", "arith.minimumf", "arith.maxnumf", "arith.minnumf"),
    *("arith.addi", "arith.muli", "arith.maxsi", "arith.minsi", "arith.maxui", "arith.minui"),
    *("arith.andi", "arith.ori", "arith.xori"),
)


def known(op: str) -> bool:
    """Whether `apply` knows the operation of this full name."""
    special = ("select", "cmpf", "cmpi", "fptosi", "fptoui", "bitcast")
    tables = (_FLOAT, _MATH, _SIGNED, _UNSIGNED, _COMPLEX)
    return op in {f"arith.{name}" for name in special} or any(op in table for table in tables)


def reduces(op: str) -> bool:
    """Whether `reduce` can combine elements by the operation of this name, in any order."""
    return op in _REDUCING


def reduce(op: str, array: Array, axes: Sequence[int], initial: Array, dtype: str) -> Array:
    """`initial` combined by `op` with all elements along `axes` (kept with extent 1); sums and products of
    reals are formed in float64 and rounded once."""
    table = _FLOAT if op in _FLOAT else _UNSIGNED if op in _UNSIGNED else _SIGNED
    view = _wide if op in _FLOAT else _unsigned if op in _UNSIGNED else _signed
    elements, start = view(np.asarray(array)), view(np.asarray(initial))
    function: Any = table[op]
    with np.errstate(all="ignore"):
        if 0 not in [elements.shape[axis] for axis in axes]:
            combined = function.reduce(elements, axis=tuple(axes), dtype=elements.dtype, keepdims=True)
            start = function(start, combined)
        return to_element(start, dtype)


def apply(op: str, args: Sequence[Array], attributes: Mapping[str, str], dtype: str) -> Array:
    """The scalar operation `op` ("arith.addf") on every element; arguments broadcast as in numpy.

    attributes: {"predicate": "ogt"} for comparisons. dtype: the result's element ("i1" for a comparison).
    Raises InternalError for an operation that is not known.
    """
    arrays = [np.asarray(arg) for arg in args]
    with np.errstate(all="ignore"):
        special = _special(op, arrays, attributes, dtype)
        if special is not None:
            # Bits are moved, not numbers: bf16 is not to be rounded again.
            return special
        for table, prepare in (
            (_FLOAT, _each(widen)),
            (_MATH, _each(_wide)),
            (_SIGNED, _each(_signed)),
            (_UNSIGNED, _each(_unsigned)),
            (_COMPLEX, _each(widen)),
        ):
            if op in table:
                return to_element(table[op](*prepare(arrays)), dtype)
    raise InternalError(f"no meaning is known for the scalar operation {op}")
