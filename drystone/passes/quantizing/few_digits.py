"""The pass `few-digits`: what is rounded to bytes is computed to few digits."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.build import string
from drystone.ir.dialect import DIGITS
from drystone.ir.program import Program
from drystone.ir.values import main_block, nested
from drystone.passes.rewriting import ops, read_only_by

#: Functions that can be computed to few digits.
_FUNCTIONS = ("math.exp", "math.exp2", "math.erf", "math.tanh")


@dataclass(frozen=True)
class FewDigits:
    """Functions in the epilogue of a product, or in a map, whose result is bytes, or read only to be rounded
    to bytes.

    Before:  %y = "dry.matmul"(%x, %w) {.. math.erf ..} ; %q, %p = "dry.round_rows"(%y)
    After:   %y = "dry.matmul"(%x, %w) {.. math.erf {dry.digits = "few"} ..} ; ..

    - They are exp, exp2, erf and tanh: an activation. A code is a 254th of what the largest number of its row
      spans; these are off by 2^-12.
    """

    name: ClassVar[str] = "few-digits"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        for op in ops(main_block(program), "dry.matmul", "dry.conv", "linalg.generic"):
            if all(_is_rounded(value) for value in op.operation.results):
                for inner in nested(op):
                    if inner.operation.name in _FUNCTIONS:
                        inner.operation.attributes[DIGITS] = string("few")


def _is_rounded(value: Any) -> bool:
    return str(value.type.element_type) == "i8" or read_only_by(value, "dry.round_rows")
