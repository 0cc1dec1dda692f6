"""Which memory every tensor of the outlined `@main` lies in: arguments, results, weights, or the arena.

Views share the memory of what they view. A kernel's result lies in the caller's output where `@main` returns
it or it is written over to make what that returns, in a state where it may take the old value's place, and in
the arena otherwise. Both the planner (what is to be placed) and the code generator (where everything is) read
this.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from drystone.errors import InternalError
from drystone.ir.bounds import Bounds
from drystone.ir.encoded import storage_bytes
from drystone.ir.program import Program
from drystone.ir.values import function, main_block, producer_name, tensors
from drystone.mlir import ints, ir, ir_place

#: Operations that give all elements of their first operand, in order, in another shape.
RESHAPES = frozenset({"tensor.expand_shape", "tensor.collapse_shape", "tensor.cast"})
#: Operations of `@main` that give another view of their first operand's memory.
VIEWS = RESHAPES | {"tensor.extract_slice"}

#: The pair [result, argument] of a kernel function whose program may write the one over the other because it
#: was made for that (codegen.over); `dry.in_place` has those of which this is true anyway.
OVER = "dry.over"


@dataclass(frozen=True)
class Buffer:
    """A stretch of memory: where it is, its place among those of its kind (a weight's: in the order of first
    use), and its size in bytes at the symbols' upper bounds. where: the line of the model it comes from."""

    name: str
    kind: Literal["input", "output", "state", "weight", "arena"]
    slot: int
    size: int
    where: str = ""


@dataclass(frozen=True)
class Call:
    """A kernel call: its name (unique), the operation, the names of the buffers it reads and writes (one per
    result), and pairs (written, read) of arena buffers that may share memory when the read one dies here.

    Reads include what the call's scalars were loaded from.
    """

    name: str
    op: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    in_place: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Buffers:
    """The buffers by name in order of definition; the calls in textual order; the buffer of every tensor
    value of `@main` but destinations; weight keys in order; and for every state whether its result is
    written straight into it (otherwise it is copied at the end)."""

    buffers: Mapping[str, Buffer]
    calls: tuple[Call, ...]
    of: Mapping[Any, str]
    weights: tuple[str, ...]
    direct: tuple[bool, ...]


def buffers(program: Program) -> Buffers:
    """Find the buffers of an outlined program.

    Raises UserError where a tensor's size depends on data.
    """
    return _Analysis(program).run()


class _Analysis:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._bounds = Bounds(program)
        self._block = main_block(program)
        self._buffers: dict[str, Buffer] = {}
        self._of: dict[Any, str] = {}
        self._weights: list[str] = []
        self._calls: list[Call] = []
        self._homes: dict[Any, tuple[Literal["output", "state"], int]] = {}

    def run(self) -> Buffers:
        inputs = len(self._program.signature.inputs)
        for argument in self._block.arguments:
            state = argument.arg_number >= inputs
            slot = argument.arg_number - inputs * state
            self._add(
                argument, f"{'state' if state else 'input'}.{slot}", "state" if state else "input", slot
            )
        direct = self._find_returned()
        for op in self._block.operations:
            operation = op.operation
            if operation.name == "dry.weight":
                self._weight(operation)
            elif operation.name in VIEWS:
                self._of[operation.results[0]] = self._of[operation.operands[0]]
            elif operation.name == "func.call":
                self._call(operation)
        return Buffers(self._buffers, tuple(self._calls), self._of, tuple(self._weights), direct)

    def _add(self, value: Any, name: str, kind: Any, slot: int) -> None:
        if name not in self._buffers:
            place = None if isinstance(value.owner, ir.Block) else ir_place(value.owner)
            size = self._size(value)
            self._buffers[name] = Buffer(name, kind, slot, size, "" if place is None else str(place))
        self._of[value] = name

    def _size(self, value: Any) -> int:
        return storage_bytes(value.type, self._bounds.extents(value))

    def _weight(self, operation: Any) -> None:
        key = operation.attributes["key"].value
        if key not in self._weights:
            self._weights.append(key)
        slot = self._weights.index(key)
        self._add(operation.results[0], f"weight.{slot}", "weight", slot)

    def _find_returned(self) -> tuple[bool, ...]:
        """Note which results lie in outputs and states; whether each state is written directly."""
        returned = list(list(self._block.operations)[-1].operation.operands)
        outputs = len(self._program.signature.outputs)
        direct = []
        for number, value in enumerate(returned):
            root = _root(value)
            if (
                producer_name(root) != "func.call"
                or _is_slice(value)
                or (number < outputs and root in self._homes)
            ):
                raise InternalError(
                    f"@main returns value {number}, which is not a kernel's result of its own"
                )
            if number < outputs:
                self._homes[root] = ("output", number)
                self._lie_there_before(root)
            else:
                straight = root not in self._homes and self._replaces(root, number - outputs)
                direct.append(straight)
                if straight:
                    self._homes[root] = ("state", number - outputs)
        return tuple(direct)

    def _lie_there_before(self, result: Any) -> None:
        """What is written over to make an output lies there itself, where nothing else reads it."""
        while result is not None:
            over = _in_place(self._program, result.owner).get(result, ())
            alone = [v for v in over if producer_name(v) == "func.call" and len(list(v.uses)) == 1]
            known = [v for v in alone if v.type == result.type and v not in self._homes]
            if known:
                self._homes[known[0]] = self._homes[result]
            result = known[0] if known else None

    def _replaces(self, result: Any, state: int) -> bool:
        """Whether a result may be written over the old value of a state: its kernel reads that in place, and
        every other reader comes before it in every order."""
        old = self._block.arguments[len(self._program.signature.inputs) + state]
        call = result.owner
        if not any(_root(operand) == old for operand in _in_place(self._program, call).get(result, ())):
            return False
        needed = _ancestors(call)
        return all(reader == call or reader in needed for reader in _readers(old))

    def _call(self, call: Any) -> None:
        name = f"{len(self._calls)}.{call.attributes['callee'].value}"
        outputs = []
        for number, result in enumerate(call.results):
            kind, slot = self._homes.get(result, ("arena", len(self._buffers)))
            self._add(result, f"{name}.{number}" if kind == "arena" else f"{kind}.{slot}", kind, slot)
            outputs.append(self._of[result])
        read = dict.fromkeys(self._of[value] for value in _reads(call))
        pairs = [
            (self._of[result], self._of[operand])
            for result, operands in _in_place(self._program, call).items()
            for operand in operands
        ]
        arena = [p for p in pairs if all(self._buffers[n].kind == "arena" for n in p) and self._whole(*p)]
        self._calls.append(Call(name, call, tuple(read), tuple(outputs), tuple(arena)))

    def _whole(self, written: str, read: str) -> bool:
        return self._buffers[written].size <= self._buffers[read].size


def _root(value: Any) -> Any:
    """What a view is a view of."""
    while producer_name(value) in VIEWS:
        value = value.owner.operands[0]
    return value


def _is_slice(value: Any) -> bool:
    while producer_name(value) in VIEWS:
        if value.owner.name == "tensor.extract_slice":
            return True
        value = value.owner.operands[0]
    return False


def _in_place(program: Program, call: Any) -> dict[Any, list[Any]]:
    """Result -> operands whose memory it may overwrite; slices do not count, and neither does an operand that
    the kernel reads a second time through another argument."""
    kernel = function(program, call.attributes["callee"].value)
    pairs = [kernel.attributes[OVER]] if OVER in kernel.attributes else []
    if "dry.in_place" in kernel.attributes:
        pairs += list(kernel.attributes["dry.in_place"])
    found: dict[Any, list[Any]] = {}
    roots = [_root(value) for value in tensors(call.operands)]
    for pair in pairs:
        result, argument = ints(pair) if isinstance(pair, ir.ArrayAttr) else list(ir.DenseI64ArrayAttr(pair))
        operand = call.operands[argument]
        if not _is_slice(operand) and roots.count(_root(operand)) == 1:
            found.setdefault(call.results[result], []).append(operand)
    return found


def _reads(call: Any) -> Iterator[Any]:
    """Tensors a call reads: its inputs, then those its scalars and extents were loaded from."""
    given = tensors(call.operands)
    yield from given[: len(given) - len(call.results)]
    pending, seen = list(call.operands), set()
    while pending:
        value = pending.pop()
        owner = value.owner
        if isinstance(owner, ir.Block) or owner.name in ("func.call", "dry.weight") or value in seen:
            continue
        seen.add(value)
        if owner.name == "tensor.extract":
            yield owner.operands[0]
        pending.extend(owner.operands)


def _readers(value: Any) -> list[Any]:
    """Operations that read the memory of a value or of its views."""
    found = []
    for use in value.uses:
        owner = use.owner.operation
        if owner.name in VIEWS:
            found.extend(_readers(owner.results[0]))
        elif owner.name != "tensor.dim":
            found.append(owner)
    return found


def _ancestors(operation: Any) -> set[Any]:
    """Every operation that this one needs."""
    found: set[Any] = set()
    pending = [operation]
    while pending:
        for value in pending.pop().operands:
            if not isinstance(value.owner, ir.Block) and value.owner not in found:
                found.add(value.owner)
                pending.append(value.owner)
    return found


__all__ = ["OVER", "RESHAPES", "VIEWS", "Buffer", "Buffers", "Call", "buffers"]
