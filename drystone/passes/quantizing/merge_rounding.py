"""The pass `merge-rounding`: rows are rounded to bytes by the kernel that makes them."""

from dataclasses import dataclass
from typing import ClassVar

from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.passes.outlining.merging import Called, Merger
from drystone.passes.rewriting import ops, read_later, uses


@dataclass(frozen=True)
class MergeRounding:
    """An outlined normalization rounds its rows itself, for products of bytes that read them.

    Before:  %y = call @norm_1(%x, %e0) ; %q, %p = call @round_rows_2(%y, %e1, %e2) ; .. %y ..
    After:   %y, %q, %p = call @round_rows_3(%x, %e0, %e1, %e2) ; .. %y ..

    - Along the last dimension only.
    - The normalized rows are a result only where something else reads them (a residual), which then comes
      after the rounding.
    """

    name: ClassVar[str] = "merge-rounding"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        merger = Merger(program)
        for op in ops(main_block(program), "func.call"):
            own = merger.called(op.operation, {"dry.round_rows"})
            made = None if own is None else _maker(merger, own)
            if own is not None and made is not None:
                rest = [value for value in made.call.results if any(u != own.call for u, _ in uses(value))]
                merger.merge([made, own], [*rest, *own.call.results], own.call, "round_rows")
        merger.drop_unused()


def _maker(merger: Merger, own: Called) -> Called | None:
    """The call of a normalization that makes the rows which `own` rounds, if it can round them."""
    (rounding,) = own.mains
    rows = own.given(rounding.operands[0])
    made = merger.made_by(rows, {"dry.norm"})
    if made is None:
        return None
    (norm,) = made.mains
    first = norm.results[0] == list(made.kernel.entry_block.operations)[-1].operation.operands[0]
    alone = norm.attributes["axes"].value == 1 and rows == made.call.results[0] and first
    return made if alone and all(read_later(value, own.call) for value in made.call.results) else None
