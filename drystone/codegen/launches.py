"""What `@main` of a planned program does, line by line, as plain data: for targets whose driver is no MLIR.

%x = call @map_1f(%a, %e)       ->   Launch("map_1f", (view of %a, view of %e), ())
%n = tensor.extract %a[%c0]     ->   Read("r0", "i64", view of %a, (0,))
%m = arith.muli %n, %n          ->   Compute("r1", "i64", "arith.muli", (r0, r0), ("i64", "i64"), {})
cf.assert %ok, "too long"       ->   Check(ok, 0)
a move between memory levels    ->   Copy(view of the new place, view of the old one)

Sizes and scalars are index expressions whose leaves are numbers and names (`scalar`): those of the call's
symbols, and of what was read or computed before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from drystone.codegen.families import tile_program_of
from drystone.codegen.index import Index, folded, index
from drystone.codegen.places import Places
from drystone.codegen.places import View as Placed
from drystone.codegen.search import Point
from drystone.codegen.tile import TileProgram
from drystone.codegen.waiting import Waiting, message_of
from drystone.errors import InternalError, UserError
from drystone.ir.buffers import OVER, Buffer, Buffers, Call, buffers
from drystone.ir.program import Program
from drystone.ir.steps import Copy as Move
from drystone.ir.steps import Step
from drystone.ir.values import function, is_tensor, main_block, producer_name, tensors
from drystone.mlir import ir
from drystone.targets.target import Target

_AFFINE: tuple[tuple[Any, str], ...] = (
    (ir.AffineAddExpr, "add"),
    (ir.AffineMulExpr, "mul"),
    (ir.AffineModExpr, "mod"),
    (ir.AffineFloorDivExpr, "floordiv"),
    (ir.AffineCeilDivExpr, "ceildiv"),
)
#: Where a tensor is; its `base` is "arena", or kind and slot: "input.0", "output.1", "state.0", "weight.3".
View = Placed[Index]


@dataclass(frozen=True)
class Launch:
    """A kernel call: the kernel's function, the tensors that it is given (what it writes last) and scalars,
    with their elements."""

    kernel: str
    tensors: tuple[View, ...]
    scalars: tuple[tuple[Index, str], ...]


@dataclass(frozen=True)
class Read:
    """A scalar that is an element of a tensor."""

    name: str
    element: str
    source: View
    at: tuple[Index, ...]


@dataclass(frozen=True)
class Compute:
    """A scalar that is an operation of arith or math (`ir.scalars` says what they mean) on others, whose
    elements `elements` are; "index" is a size."""

    name: str
    element: str
    op: str
    args: tuple[Index, ...]
    elements: tuple[str, ...]
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Check:
    """The run ends where this flag is 0: it gives 1 + number."""

    holds: Index
    number: int


@dataclass(frozen=True)
class Copy:
    """A tensor to another place, as it is."""

    target: View
    source: View


Line = Launch | Read | Compute | Check | Copy


@dataclass(frozen=True)
class Launches:
    """All lines in order, and the messages of the checks."""

    lines: tuple[Line, ...]
    messages: tuple[str, ...]


def launches(program: Program, steps: Sequence[Step]) -> Launches:
    """What an outlined program does, as its plan's steps say. Raises UserError where rows of weights are to
    come from a file as they are read: code that is made of this has weights whole."""
    rows = [window.key for step in steps for window in step.windows]
    if rows:
        raise UserError(
            f"the budget leaves no room for all of {rows[0]}, and this target's code reads no rows of a file",
            hint="give a larger budget, or drystone.Skip(.., window=None): weights then come as a whole",
        )
    made = _Main(program, buffers(program))
    return Launches(tuple(made.lines_of(steps)), made.messages)


def kernels(
    program: Program, target: Target, schedules: Mapping[str, Point]
) -> Iterator[tuple[Any, str, TileProgram | None]]:
    """Every kernel function of an outlined program with its name and its tile program, None where no family
    takes it. schedules: by name, the points that are chosen; the families choose for the others."""
    names = dict.fromkeys(call.op.attributes["callee"].value for call in buffers(program).calls)
    for name in names:
        kernel = function(program, name).opview
        point = None if OVER in kernel.attributes else schedules.get(name)
        yield kernel, name, tile_program_of(kernel, target, point)


class _Main(Places[Index]):
    def __init__(self, program: Program, found: Buffers) -> None:
        super().__init__(program, found)
        self._program = program
        self._waiting = Waiting(program)
        self._names: dict[Any, Index] = {}
        self._lines: list[Line] = []
        self._count = 0
        self.messages = tuple(message_of(op) for op in self._waiting.checks)

    def lines_of(self, steps: Sequence[Step]) -> list[Line]:
        calls = {call.name: call for call in self._found.calls}
        self._take()
        for step in steps:
            for copy in step.copies:
                self._lines.append(self._copy(copy))
            self.move_to(step.places)
            self._launch(calls[step.call])
            self._waiting.ran(calls[step.call].op)
            self._take()
        if self._waiting.left:
            raise InternalError(f"@main computes {self._waiting.left[0]} from what nothing makes")
        self._keep_states()
        return self._lines

    def _launch(self, call: Call) -> None:
        given = tensors(call.op.operands)
        values = [*given[: len(given) - len(call.op.results)], *call.op.results]
        scalars = [(self.scalar(v), str(v.type)) for v in call.op.operands if not is_tensor(v)]
        views = tuple(self.view(value) for value in values)
        self._lines.append(Launch(call.op.attributes["callee"].value, views, tuple(scalars)))

    def _copy(self, copy: Move) -> Copy:
        value = next(value for value, name in self._found.of.items() if name == copy.buffer)
        source = replace(self.view(value), offset=index(copy.source))
        return Copy(replace(source, offset=index(copy.destination)), source)

    def _take(self) -> None:
        """What is read and checked as soon as it is there."""
        for op in self._waiting.due():
            if op.name == "tensor.extract":
                at = tuple(self.scalar(value) for value in list(op.operands)[1:])
                name, kind = self._name(), str(op.results[0].type)
                self._lines.append(Read(name, kind, self.view(op.operands[0]), at))
                self._names[op.results[0]] = Index("scalar", (name,))
            else:
                number = self._waiting.checks.index(op)
                self._lines.append(Check(self.scalar(op.operands[0]), number))

    def _keep_states(self) -> None:
        """New values of states that no kernel wrote straight into."""
        returned = list(list(main_block(self._program).operations)[-1].operation.operands)
        outputs = len(self._program.signature.outputs)
        for slot, direct in enumerate(self._found.direct):
            if not direct:
                source = self.view(returned[outputs + slot])
                self._lines.append(Copy(replace(source, base=f"state.{slot}", offset=index(0)), source))

    def _name(self) -> str:
        self._count += 1
        return f"r{self._count - 1}"

    # -- sizes and scalars -------------------------------------------------------------------------------

    def number(self, value: int) -> Index:
        """A known number."""
        return index(value)

    def symbol(self, name: str) -> Index:
        """A dynamic size of the call, by its name."""
        return Index("scalar", (name,))

    def memory(self, buffer: Buffer) -> str:
        """See `View`."""
        return "arena" if buffer.kind == "arena" else f"{buffer.kind}.{buffer.slot}"

    def calculated(self, op: str, a: Index, b: Index) -> Index:
        """An operation on two sizes."""
        if a.constant is not None and b.constant is not None:
            return index(folded(op, a.constant, b.constant))
        return Index(op, (a, b))

    def sum(self, a: Index, b: Index) -> Index:
        """Two sizes added."""
        return a + b

    def product(self, a: Index, b: Index) -> Index:
        """Two sizes multiplied."""
        return a * b

    def scalar(self, value: Any) -> Index:
        """A scalar value of `@main`; what it is computed from is computed before."""
        if value not in self._names:
            self._names[value] = self._scalar(value)
        return self._names[value]

    def _scalar(self, value: Any) -> Index:
        op, made_by = value.owner, producer_name(value)
        if made_by in ("", "tensor.extract"):
            raise InternalError(f"@main uses a scalar before it is there: {op}")
        if made_by == "tensor.dim":
            axis = int(op.operands[1].owner.attributes["value"].value)
            return self.extent(op.operands[0], axis)
        if made_by == "arith.constant" and isinstance(value.type, ir.IndexType):
            return index(ir.IntegerAttr(op.attributes["value"]).value)
        args = tuple(self.scalar(operand) for operand in op.operands)
        if made_by.startswith("affine."):
            mapped = ir.AffineMapAttr(op.attributes["map"]).value
            values = [self._affine(each, args, mapped.n_dims) for each in mapped.results]
            return reduce(lambda a, b: a.max(b) if made_by == "affine.max" else a.min(b), values)
        elements = tuple(str(operand.type) for operand in op.operands)
        attributes = {name: _text(op.attributes[name]) for name in op.attributes}
        name = self._name()
        self._lines.append(Compute(name, str(value.type), made_by, args, elements, attributes))
        return Index("scalar", (name,))

    def _affine(self, expression: Any, args: Sequence[Index], dims: int) -> Index:
        """An affine expression, whose symbols follow its dimensions."""
        expression = expression.maybe_downcast()
        match expression:
            case ir.AffineConstantExpr():
                return index(expression.value)
            case ir.AffineDimExpr():
                return args[int(expression.position)]
            case ir.AffineSymbolExpr():
                return args[dims + int(expression.position)]
        op = next(op for kind, op in _AFFINE if isinstance(expression, kind))
        sides = (self._affine(side, args, dims) for side in (expression.lhs, expression.rhs))
        return self.calculated(op, *sides)


def _text(attribute: Any) -> str:
    """An attribute without its type: "5", "1.5", "true"."""
    return str(attribute).split(" : ")[0]
