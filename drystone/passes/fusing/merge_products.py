"""The pass `merge-products`: products that read the same left operand are one kernel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.errors import InternalError
from drystone.ir.encoded import encoding_of, panel_width, storage_bytes
from drystone.ir.program import Program
from drystone.ir.values import attribute, main_block, shape
from drystone.mlir import ir
from drystone.passes.generic import is_identity
from drystone.passes.outlining.merging import Called, Merger
from drystone.passes.patching.patch_features import PIECE
from drystone.passes.rewriting import latest_first, ops, uses
from drystone.passes.weights import weight_key

#: Bytes of the pages at both ends of a weight.
_PAGES = 8192


@dataclass(frozen=True)
class MergeProducts:
    """Outlined products of the same a with packed weights become one kernel.

    Before:  %g = call @matmul_1(%x, %gate, %e0) ; %y = call @matmul_2(%x, %up, %g, %e1)
    After:   %y = call @matmul_3(%x, %gate, %up, %e1)

    - The statistics of a product's rows are made with it.
    - A product that only the epilogue of another one reads, element for element (an MLP's gate: silu(gate) *
      up), is computed beside it, tile by tile, and is never in memory. Not where there are known to be less
      than `rows` rows: what that saves is little beside the weights, which are read best one by one.
    - Products of one tensor (queries, keys and values) share one grid: one hand-over between the threads, one
      end to wait for. Each keeps its weight, epilogue and result. Where the later ones need nothing that is
      computed after the first, their columns are whole panels, and `products` come together at most.
    - Products with codes like those with numbers, where they are coded alike.
    - Products of different pieces of a run (`patch`) stay apart, and so do those that would read more than
      `weights` bytes of weights together, where this is said.
    """

    products: int = 4
    rows: int = 32
    weights: int | None = None
    name: ClassVar[str] = "merge-products"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        merger = _Merger(program, self.rows, self.weights)
        for call in _calls(program):
            merger.take_scores(call)
        for call in _calls(program):
            merger.take_in(call)
        for call in _calls(program):
            merger.share(call, self.products)
        merger.drop_unused()


def _calls(program: Program) -> list[Any]:
    return [op.operation for op in ops(main_block(program), "func.call")]


def _a(products: Called) -> Any:
    """The left operand, outside."""
    return products.given(products.mains[0].operands[0])


class _Merger(Merger):
    def __init__(self, program: Program, rows: int, weights: int | None) -> None:
        super().__init__(program)
        self.rows, self.weights = rows, weights

    def products(self, call: Any) -> Called | None:
        """What a call multiplies; None where its kernel is of another kind."""
        found = self.called(call, {"dry.matmul"})
        packed = found is not None and all(panel_width(op.operands[1].type) for op in found.mains)
        return found if packed else None

    def take_scores(self, call: Any) -> None:
        """Make the scores that a call gives the statistics of in its kernel."""
        own = self.called(call, {"dry.row_stats"})
        if own is None:
            return
        scores = self.products(_a(own).owner)
        if scores is None:
            raise InternalError("statistics of the rows of what is no product with a packed weight")
        self._one([scores, own], [own], "row_stats")

    def take_in(self, call: Any) -> None:
        """Compute what the epilogue of a call's product reads of other products beside it."""
        own = self.products(call)
        while own is not None:
            inner = next((found for value in own.inputs if (found := self._read_only_by(own, value))), None)
            own = None if inner is None else self.products(self._one([inner, own], [own]))

    def _read_only_by(self, own: Called, value: Any) -> Called | None:
        """The product that makes a value, where `own` is all that reads it, element for element."""
        made = value.owner
        if isinstance(made, ir.Block) or made.name != "func.call" or len(uses(value)) != 1:
            return None
        inner, main = self.products(made), own.mains[-1]
        if inner is None or len(inner.mains) > 1 or _a(inner) != _a(own):
            return None
        argument = list(own.kernel.entry_block.arguments)[list(own.call.operands).index(value)]
        reads = [number for user, number in uses(argument) if user == main]
        maps = list(main.attributes["extra_maps"])
        if len(uses(argument)) != 1 or reads[:1] < [2] or not is_identity(maps[reads[0] - 2].value):
            return None
        other = inner.mains[0]
        alike = other.operands[1].type == main.operands[1].type and _flag(other) == _flag(main)
        extents = shape(main.results[0])
        if not alike or shape(other.results[0]) != extents or (extents[0] or self.rows) < self.rows:
            return None
        return inner if self._together([inner, own]) else None

    def _together(self, group: Sequence[Called]) -> bool:
        """Whether products are of one piece, or of none, and read no more of weights than is allowed."""
        read = [each.given(main.operands[1]) for each in group for main in each.mains]
        pieces = {str(attribute(value.owner, PIECE)) for value in read if weight_key(value) is not None}
        return len(pieces) < 2 and (self.weights is None or sum(map(_bytes, read)) <= self.weights)

    def share(self, call: Any, most: int) -> None:
        """Merge a call with later ones of the same left operand."""
        own = self.products(call) if call.parent is not None else None
        if own is None or not _whole_panels(own):
            return
        group = [own]
        later = [user for user, _ in uses(_a(own)) if user.name == "func.call" and user != call]
        for user in reversed(latest_first(op.opview for op in later)):
            other = self.products(user.operation)
            if other is None or _a(other) != _a(own) or not _alike(own, other):
                continue
            more = [*group, other]
            few = sum(len(each.mains) for each in more) <= most
            if few and self._together(more) and _moved_before(other.call, call):
                group = more
        if len(group) > 1:
            self._one(group, group)

    def _one(self, group: Sequence[Called], stored: Sequence[Called], kind: str = "matmul") -> Any:
        """One call in the place of several, at the first one of `stored`, whose results it has."""
        wanted = [result for each in stored for result in each.call.results]
        return self.merge(group, wanted, stored[0].call, kind)


def _bytes(weight: Any) -> int:
    """What a weight has in memory, with the pages it may share with others."""
    return storage_bytes(weight.type) + _PAGES


def _flag(main: Any) -> bool:
    return bool(main.attributes["transpose_b"].value)


def _whole_panels(products: Called) -> bool:
    """Whether the columns of every product are panels without a ragged end."""
    for main in products.mains:
        width, columns = panel_width(main.operands[1].type), shape(main.results[0])[-1]
        if not width or len(shape(main.results[0])) != 2 or not columns:
            return False
        if columns % width:
            return False
    return True


def _alike(one: Called, other: Called) -> bool:
    """Whether a schedule of one product can be one of the other."""
    if not _whole_panels(other):
        return False
    held = [encoding_of(each.mains[0].operands[1].type) for each in (one, other)]
    results = [each.mains[0].results[0].type.element_type for each in (one, other)]
    return held[0] == held[1] and results[0] == results[1] and _flag(one.mains[0]) == _flag(other.mains[0])


def _moved_before(call: Any, first: Any) -> bool:
    """Move what a call needs, where that is no computation, before another call; whether that can be done."""
    if call.is_before_in_block(first):
        return False
    found: list[Any] = []
    pending = list(call.operands)
    while pending:
        made = pending.pop().owner
        if isinstance(made, ir.Block) or made.is_before_in_block(first) or made in found:
            continue
        if made.name in ("func.call", "tensor.extract") or made == first:
            return False
        found.append(made)
        pending.extend(made.operands)
    for op in [op.operation for op in first.block.operations if op.operation in found]:
        op.move_before(first)
    return True
