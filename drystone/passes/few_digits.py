"""The pass `few-digits`: what is rounded to bytes is computed to few digits."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.build import string
from drystone.ir.dialect import DIGITS
from drystone.ir.program import Program
from drystone.ir.values import main_block, nested
from drystone.ir.windows import is_view
from drystone.passes.rewriting import ops, uses

#: Functions that can be computed to few digits.
_FUNCTIONS = ("math.exp", "math.exp2", "math.erf", "math.tanh")


@dataclass(frozen=True)
class FewDigits:
    """Functions in the epilogue of a product, or in a map, whose result is read only to be rounded to bytes.

    Before:  %y = "dry.matmul"(%x, %w) {.. math.erf ..} ; %q, %p = "dry.round_rows"(%y)
    After:   %y = "dry.matmul"(%x, %w) {.. math.erf {dry.digits = "few"} ..} ; ..

    - They are exp, exp2, erf and tanh: an activation. A code is a 254th of what the largest number of its row
      spans; these are off by 2^-12.
    """

    name: ClassVar[str] = "few-digits"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        for op in ops(main_block(program), "dry.matmul", "linalg.generic"):
            if all(_rounded(value) for value in op.operation.results):
                for inner in nested(op):
                    if inner.operation.name in _FUNCTIONS:
                        inner.operation.attributes[DIGITS] = string("few")


def _rounded(value: Any) -> bool:
    """Whether all that reads a value, or a view of it, rounds it to bytes."""
    readers = [user for user, _ in uses(value)]
    return bool(readers) and all(
        user.name == "dry.round_rows" or (is_view(user.opview) and _rounded(user.results[0]))
        for user in readers
    )
