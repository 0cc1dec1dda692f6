"""The pass `merge-products`: products that read the same left operand are one kernel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.errors import InternalError
from drystone.ir.encoding import codes_of, storage_bytes
from drystone.ir.program import Program
from drystone.ir.values import attribute, main_block, nested, shape
from drystone.mlir import func, ir
from drystone.passes.generic import is_identity
from drystone.passes.kernels import name_kernel
from drystone.passes.patch_features import PIECE
from drystone.passes.rewriting import erase_dead, latest_first, ops, uses
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


@dataclass(frozen=True)
class _Products:
    """A call of a kernel of products only, its function, and its operations in order."""

    call: Any
    kernel: Any
    mains: tuple[Any, ...]

    def given(self, argument: Any) -> Any:
        """What the call gives for an argument of the kernel."""
        return self.call.operands[list(self.kernel.entry_block.arguments).index(argument)]

    @property
    def a(self) -> Any:
        """The left operand, outside."""
        return self.given(self.mains[0].operands[0])

    @property
    def inputs(self) -> list[Any]:
        """The operands of the call but for the destinations."""
        return list(self.call.operands)[: len(self.call.operands) - len(self.call.results)]

    @property
    def inits(self) -> list[Any]:
        """The destinations."""
        return list(self.call.operands)[len(self.call.operands) - len(self.call.results) :]


class _Merger:
    def __init__(self, program: Program, rows: int, weights: int | None) -> None:
        self.program, self.rows, self.weights = program, rows, weights
        self.kernels = {
            op.operation.attributes["sym_name"].value: op for op in program.module.body.operations
        }
        self.names = set(self.kernels)

    def products(self, call: Any) -> _Products | None:
        """What a call multiplies; None where its kernel is of another kind."""
        kernel = self.kernels[call.attributes["callee"].value]
        inner = [op.operation for op in kernel.entry_block.operations]
        mains = tuple(op for op in inner if op.name == "dry.matmul")
        others = {op.name for op in inner} - {"dry.matmul", "arith.constant", "func.return"}
        packed = all(codes_of(op.operands[1].type).pack is not None for op in mains)
        return _Products(call, kernel, mains) if mains and packed and not others else None

    def take_scores(self, call: Any) -> None:
        """Make the scores that a call gives the statistics of in its kernel."""
        kernel = self.kernels[call.attributes["callee"].value]
        first = next(iter(kernel.entry_block.operations)).operation
        if first.name != "dry.row_stats":
            return
        own = _Products(call, kernel, (first,))
        scores = self.products(own.a.owner)
        if scores is None:
            raise InternalError("statistics of the rows of what is no product with a packed weight")
        self._merge([scores, own], [own], "row_stats")

    def take_in(self, call: Any) -> None:
        """Compute what the epilogue of a call's product reads of other products beside it."""
        own = self.products(call)
        while own is not None:
            inner = next((found for value in own.inputs if (found := self._read_only_by(own, value))), None)
            own = None if inner is None else self.products(self._merge([inner, own], [own]))

    def _read_only_by(self, own: _Products, value: Any) -> _Products | None:
        """The product that makes a value, where `own` is all that reads it, element for element."""
        made = value.owner
        if isinstance(made, ir.Block) or made.name != "func.call" or len(uses(value)) != 1:
            return None
        inner, main = self.products(made), own.mains[-1]
        if inner is None or len(inner.mains) > 1 or inner.a != own.a:
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

    def _together(self, group: Sequence[_Products]) -> bool:
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
        later = [user for user, _ in uses(own.a) if user.name == "func.call" and user != call]
        for user in reversed(latest_first(op.opview for op in later)):
            other = self.products(user.operation)
            if other is None or other.a != own.a or not _alike(own, other):
                continue
            more = [*group, other]
            few = sum(len(each.mains) for each in more) <= most
            if few and self._together(more) and _moved_before(other.call, call):
                group = more
        if len(group) > 1:
            self._merge(group, group)

    def _merge(self, group: Sequence[_Products], stored: Sequence[_Products], kind: str = "matmul") -> Any:
        """One call in the place of several, at the first one of `stored`, whose results it has."""
        made = [result for each in group if each not in stored for result in each.call.results]
        inputs: list[Any] = []
        for each in group:
            inputs += [value for value in each.inputs if value not in inputs and value not in made]
        inits = [value for each in stored for value in each.inits]
        types = [value.type for value in inits]
        with ir.InsertionPoint(self.program.module.body), ir.Location.unknown():
            kernel = func.FuncOp("kernel", ([v.type for v in (*inputs, *inits)], types), visibility="private")
            block = kernel.add_entry_block()
        known = dict(zip([*inputs, *inits], block.arguments, strict=True))
        returned = []
        with ir.InsertionPoint(block):
            for each in group:
                results = _copied(each, known)
                known.update(zip(each.call.results, results, strict=True))
                returned += results if each in stored else []
            with stored[0].call.location:
                func.ReturnOp(returned)
        # One part for each of the calls it stands for.
        layers = ir.Location.fused([each.call.location for each in group])
        with ir.InsertionPoint(stored[0].call), layers:
            call = func.CallOp(types, "kernel", [*inputs, *inits]).operation
        name_kernel(kernel, call, kind, self.names)
        self.kernels.setdefault(call.attributes["callee"].value, kernel)
        old = [result for each in stored for result in each.call.results]
        for value, new in zip(old, call.results, strict=True):
            value.replace_all_uses_with(new)
        for each in reversed(group):
            each.call.erase()
        return call

    def drop_unused(self) -> None:
        """Erase kernels that nothing calls any more, and destinations of what is not stored."""
        called = {call.attributes["callee"].value for call in _calls(self.program)}
        for name in self.kernels.keys() - called - {"main"}:
            self.kernels[name].operation.erase()
        erase_dead(main_block(self.program))


def _bytes(weight: Any) -> int:
    """What a weight has in memory, with the pages it may share with others."""
    return storage_bytes(weight.type) + _PAGES


def _flag(main: Any) -> bool:
    return bool(main.attributes["transpose_b"].value)


def _whole_panels(products: _Products) -> bool:
    """Whether the columns of every product are panels without a ragged end."""
    for main in products.mains:
        layout = codes_of(main.operands[1].type).pack
        columns = shape(main.results[0])[-1]
        if layout is None or len(shape(main.results[0])) != 2 or not columns:
            return False
        if columns % layout.inner_tiles[0]:
            return False
    return True


def _alike(one: _Products, other: _Products) -> bool:
    """Whether a schedule of one product can be one of the other."""
    if not _whole_panels(other):
        return False
    held = [codes_of(each.mains[0].operands[1].type) for each in (one, other)]
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


def _copied(products: _Products, known: dict[Any, Any]) -> list[Any]:
    """The operations of a kernel at the insertion point; the values it returns. known: what stands for the
    operands of its call."""
    arguments = list(products.kernel.entry_block.arguments)
    inside = {
        argument: known[value]
        for argument, value in zip(arguments, products.call.operands, strict=True)
        if value in known
    }
    for op in products.kernel.entry_block.operations:
        if op.operation.name == "func.return":
            return [inside[value] for value in op.operation.operands]
        copy = op.operation.clone()
        for each in [copy, *(inner.operation for inner in nested(copy.opview))]:
            for number, value in enumerate(each.operands):
                if value in inside:
                    each.operands[number] = inside[value]
        inside.update(zip(op.operation.results, copy.results, strict=True))
    return []
