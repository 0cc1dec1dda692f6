"""Scalars in C: how an element is held and computed with, and the operations of arith and math on them.

A value of f16 or bf16 is a float that such an element can hold, in memory its 16 bits. Functions of math are
computed in double and rounded once. Compile what comes of this with -fwrapv and -ffp-contract=off.
"""

import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files

from drystone.codegen.elements import is_float, width
from drystone.codegen.index import Index
from drystone.errors import InternalError

_HALVES = ("f16", "bf16")
#: Of comparisons by their numbers in MLIR's enumerations.
_FLOAT_PREDICATES = (
    *("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord"),
    *("ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true"),
)
_INTEGER_PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_CALLED = {"floordiv": "dry_floordiv", "ceildiv": "dry_ceildiv", "mod": "dry_mod"}
_CALLED |= {"min": "dry_min", "max": "dry_max"}
_INFIX = {"add": "+", "sub": "-", "mul": "*"}

_FLOATS: Mapping[str, str] = {
    "arith.addf": "{0} + {1}",
    "arith.subf": "{0} - {1}",
    "arith.mulf": "{0} * {1}",
    "arith.divf": "{0} / {1}",
    "arith.remf": "fmod({0}, {1})",
    "arith.negf": "-{0}",
    "arith.maximumf": "dry_maximum({0}, {1})",
    "arith.minimumf": "dry_minimum({0}, {1})",
    "arith.maxnumf": "fmax({0}, {1})",
    "arith.minnumf": "fmin({0}, {1})",
    "arith.extf": "{0}",
    "arith.truncf": "{0}",
    "arith.convertf": "{0}",
    "math.absf": "fabs({0})",
    "math.copysign": "copysign({0}, {1})",
    "math.fma": "fma({0}, {1}, {2})",
    "math.clampf": "fmin(fmax({0}, {1}), {2})",
    "math.powf": "pow({0}, {1})",
    "math.fpowi": "pow({0}, (double){1})",
    "math.roundeven": "rint({0})",
    "math.rsqrt": "1.0 / sqrt({0})",
    "math.atan2": "atan2({0}, {1})",
    **{
        f"math.{name}": f"{name}({{0}})"
        for name in (
            *(
                "acos",
                "acosh",
                "asin",
                "asinh",
                "atan",
                "atanh",
                "cbrt",
                "ceil",
                "cos",
                "cosh",
                "erf",
                "erfc",
            ),
            *("exp", "exp2", "expm1", "floor", "log", "log10", "log1p", "log2", "round", "sin", "sinh"),
            *("sqrt", "tan", "tanh", "trunc"),
        )
    },
}
_FLAGS: Mapping[str, str] = {
    "math.isnan": "isnan({0})",
    "math.isinf": "isinf({0})",
    "math.isfinite": "isfinite({0})",
    "math.isnormal": "isnormal({0})",
}
_SIGNED: Mapping[str, str] = {
    "arith.addi": "{0} + {1}",
    "arith.subi": "{0} - {1}",
    "arith.muli": "{0} * {1}",
    "arith.divsi": "{0} / {1}",
    "arith.remsi": "{0} % {1}",
    "arith.floordivsi": "dry_floordiv({0}, {1})",
    "arith.ceildivsi": "dry_ceildiv({0}, {1})",
    "arith.andi": "{0} & {1}",
    "arith.ori": "{0} | {1}",
    "arith.xori": "{0} ^ {1}",
    "arith.shli": "{0} << {1}",
    "arith.shrsi": "{0} >> {1}",
    "arith.maxsi": "dry_max({0}, {1})",
    "arith.minsi": "dry_min({0}, {1})",
    "arith.extsi": "{0}",
    "arith.trunci": "{0}",
    "arith.sitofp": "{0}",
    "arith.index_cast": "{0}",
    "arith.fptosi": "{0}",
    "math.absi": "{0} < 0 ? -{0} : {0}",
}
_UNSIGNED: Mapping[str, str] = {
    "arith.divui": "{0} / {1}",
    "arith.remui": "{0} % {1}",
    "arith.ceildivui": "{0} / {1} + ({0} % {1} != 0)",
    "arith.shrui": "{0} >> {1}",
    "arith.maxui": "dry_maxu({0}, {1})",
    "arith.minui": "dry_minu({0}, {1})",
    "arith.extui": "{0}",
    "arith.uitofp": "{0}",
    "arith.index_castui": "{0}",
    "math.ctpop": "dry_ctpop({0})",
    "math.ctlz": "dry_ctlz({0}, {bits})",
    "math.cttz": "dry_cttz({0}, {bits})",
}


def prelude() -> str:
    """What the expressions call, to stand before them."""
    return files(__package__).joinpath("prelude.h").read_text()


def identifier(name: str) -> str:
    """A name of the IR as one of C."""
    return re.sub(r"\W", "_", name)


def _bits(element: str) -> int:
    return 64 if element == "index" else width(element)


def held(element: str) -> str:
    """The type of an element in memory. Raises InternalError for one that C has no type for."""
    if element in ("f32", "f64"):
        return {"f32": "float", "f64": "double"}[element]
    bits = max(8, _bits(element))
    return f"uint{bits}_t" if element in (*_HALVES, "ui8", "i1") else f"int{bits}_t"


def valued(element: str) -> str:
    """The type of a value of this element."""
    return "float" if element in _HALVES else held(element)


def loaded(element: str, text: str) -> str:
    """The value of what is in memory."""
    return f"dry_bits_{element}({text})" if element in _HALVES else text


def stored(element: str, text: str) -> str:
    """What a value is in memory."""
    return f"dry_{element}_bits({text})" if element in _HALVES else text


def rounded(element: str, text: str) -> str:
    """A number as a value of an element."""
    if element in _HALVES:
        return f"dry_round_{element}({text})"
    return f"(({text}) & 1)" if element == "i1" else f"({valued(element)})({text})"


def constant(value: float, element: str) -> str:
    """A number of this element; a float by its bits, so that infinities and NaN are numbers too."""
    if not is_float(element):
        whole = int(value)
        return f"(-{-whole - 1}ll - 1)" if whole < 0 else f"{whole}ll"
    number = float(value)
    if math.isfinite(number):
        return f"({valued(element)}){number.hex()}"
    bits = struct.unpack("<Q", struct.pack("<d", number))[0]
    return f"({valued(element)})dry_bits_f64({bits}u)"


def size(e: Index, leaf: Callable[[Index], str]) -> str:
    """An index expression as an int64_t; `leaf`: of what is no number and has no parts."""
    if e.kind == "const":
        return f"INT64_C({e.args[0]})" if e.args[0] >= 0 else f"(-INT64_C({-e.args[0]}))"
    if e.kind in _INFIX or e.kind in _CALLED:
        a, b = (size(each, leaf) for each in e.args)
        return f"({a} {_INFIX[e.kind]} {b})" if e.kind in _INFIX else f"{_CALLED[e.kind]}({a}, {b})"
    return leaf(e)


def expression(
    op: str, args: Sequence[str], elements: Sequence[str], element: str, attributes: Mapping[str, str]
) -> str:
    """The operation `op` ("arith.addf") on values of these elements, as a value of `element`; `ir.scalars`
    says what it means. Raises InternalError for an operation that C has no words for."""
    texts = [f"({text})" for text in args]
    match op:
        case "arith.select":
            return f"({texts[0]} ? {texts[1]} : {texts[2]})"
        case "arith.constant":
            return rounded(element, _number(attributes["value"], element))
        case "arith.cmpf":
            return _compared(texts, attributes["predicate"], _FLOAT_PREDICATES)
        case "arith.cmpi":
            name = _predicate(attributes["predicate"], _INTEGER_PREDICATES)
            taken = _unsigned if name[0] == "u" else _signed
            texts = [taken(text, each) for text, each in zip(texts, elements, strict=True)]
            return f"({texts[0]} {_SIGNS[name[-2:]]} {texts[1]})"
        case "arith.bitcast":
            return _bitcast(texts[0], elements[0], element)
        case "arith.fptosi" | "arith.fptoui" if element == "i1":
            return f"({texts[0]} != 0)"
        case "arith.fptoui":
            return f"({valued(element)})(uint{max(8, _bits(element))}_t)({texts[0]})"
    for table in (_FLOATS, _FLAGS, _SIGNED, _UNSIGNED):
        if op in table:
            if not is_float(elements[0]):
                view = _unsigned if table is _UNSIGNED else _signed
                texts = [view(text, each) for text, each in zip(texts, elements, strict=True)]
            text = table[op].format(*texts, bits=_bits(elements[0]))
            return f"({text})" if table is _FLAGS else rounded(element, text)
    raise InternalError(f"no C is known for the scalar operation {op}")


def _number(text: str, element: str) -> str:
    if text in ("true", "false"):
        return str(int(text == "true"))
    if text.startswith("0x") and is_float(element):
        return f"dry_bits_{element}({text}u)"
    return constant(float(text) if is_float(element) else int(text), element)


def _signed(text: str, element: str) -> str:
    return f"-{text}" if element == "i1" else f"(int{_bits(element)}_t){text}"


def _unsigned(text: str, element: str) -> str:
    return text if element == "i1" else f"(uint{_bits(element)}_t){text}"


def _predicate(given: str, names: Sequence[str]) -> str:
    return names[int(given)] if given.isdigit() else given


def _compared(texts: Sequence[str], given: str, names: Sequence[str]) -> str:
    a, b = texts
    name = _predicate(given, names)
    apart = f"({a} != {a} || {b} != {b})"
    if name in ("false", "true"):
        return str(int(name == "true"))
    if name in ("ord", "uno"):
        return f"(!{apart})" if name == "ord" else apart
    holds = f"{a} {_SIGNS[name[1:]]} {b}"
    return f"({apart} || {holds})" if name[0] == "u" else f"(!{apart} && {holds})"


def _bitcast(text: str, before: str, after: str) -> str:
    """Bits of one element taken for another one of the same width."""
    bits = f"dry_{before}_bits({text})" if is_float(before) else f"(uint{_bits(before)}_t){text}"
    return f"dry_bits_{after}({bits})" if is_float(after) else f"({valued(after)})({bits})"
