"""States that attention reads as keys or values, and rows are written to: finding and replacing them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir.encoding import part_key
from drystone.ir.program import Program, TensorSpec
from drystone.ir.values import main_block
from drystone.mlir import func, ir
from drystone.passes.results import declare
from drystone.passes.rewriting import ops, tensor_type, uses

#: Positions of keys and values among the operands of attention, and among its groups of these.
KEYS, VALUES = 1, 2
#: The part of a cache of some positions that says whose row each place has; -1: none.
PLACES = "places"
_SCATTER = "tm_tensor.scatter"


@dataclass(frozen=True)
class Cache:
    """A state [images, heads, positions, width], or positions before heads, that can be held otherwise: its
    number, the operation that writes rows to it, and what reads it afterwards: operations and the number of
    the operand."""

    number: int
    spec: TensorSpec
    key: str
    write: Any
    reads: tuple[tuple[Any, int], ...]

    @property
    def dims(self) -> list[int]:
        """The dimensions that rows are found by."""
        return list(ir.DenseI64ArrayAttr(self.write.attributes["dimension_map"]))

    @property
    def axis(self) -> int:
        """The axis of positions; that of heads is the other one of 1 and 2."""
        return positions_axis(self.reads[0][0])

    @property
    def is_keys(self) -> bool:
        """Whether its rows are keys of the first attention that reads them."""
        return self.reads[0][1] == KEYS

    def by_position(self) -> tuple[int, ...]:
        """The shape of the state. Raises UserError where rows are not found by their position alone."""
        shape = tuple(n for n in self.spec.shape if isinstance(n, int))
        if len(shape) < 4 or self.dims != [self.axis]:
            raise UserError(
                f"caches: rows of {self.spec.name} {list(self.spec.shape)} are not found by their position "
                "alone, or there are not always as many",
                hint='hold it in "int8", or as it is (None)',
            )
        return shape


def positions_axis(op: Any) -> int:
    """The axis of positions of what an attention reads and gives."""
    return 2 if ir.StringAttr(op.attributes["layout"]).value == "bhsd" else 1


@dataclass(frozen=True)
class State:
    """A state as it becomes: how it is called, the key of what it first holds, and its new value."""

    spec: TensorSpec
    key: str
    value: Any


def part_of(program: Program, cache: Cache, argument: Any, part: str, element: str, first: Array) -> State:
    """A part of what becomes of a cache as a state of its own, behind the arguments that there are: it holds
    `first` at first and, so far, keeps what it holds. "codes" keep the cache's name."""
    own = argument.owner.add_argument(tensor_type(first.shape, ir.Type.parse(element)), argument.location)
    spec = TensorSpec(part_key(cache.spec.name, part), element, first.shape)
    return State(spec, program.weights.add(f"{cache.key}.{part}", first), own)


def found(program: Program) -> Iterator[Cache]:
    """The states of f32 that attention alone reads, after rows are written to them."""
    signature, block = program.signature, main_block(program)
    for number, (spec, key) in enumerate(zip(signature.states, signature.initial, strict=True)):
        written = uses(block.arguments[len(signature.inputs) + number])
        if spec.dtype != "f32" or len(spec.shape) != 4 or len(written) != 1 or not _is_write(*written[0]):
            continue
        write = written[0][0]
        kept = len(signature.outputs) + number
        reads = [use for use in uses(write.results[0]) if (use[0].name, use[1]) != ("func.return", kept)]
        if reads and all(op.name == "dry.attention" and at in (KEYS, VALUES) for op, at in reads):
            yield Cache(number, spec, key, write, tuple(reads))


def _is_write(op: Any, operand: int) -> bool:
    """Whether an operation puts whole rows in the place of some that a tensor has."""
    if op.name != _SCATTER or operand != len(op.operands) - 1:
        return False
    body = op.regions[0].blocks[0]
    new = body.operations[0].operation.operands[0] == body.arguments[0]
    last = op.operands[operand].type.rank - 1
    return new and last not in ir.DenseI64ArrayAttr(op.attributes["dimension_map"])


def renewed(program: Program, make: Callable[[int, Any], list[State] | None]) -> list[State]:
    """All states in order, with arguments of their own behind the old ones: what `make` gives for the number
    of a state and its old argument, or the state as it is where that is None."""
    signature, block = program.signature, main_block(program)
    (last,) = ops(block, "func.return")
    results = list(last.operation.operands)[len(signature.outputs) :]
    states: list[State] = []
    for number, (spec, key) in enumerate(zip(signature.states, signature.initial, strict=True)):
        argument = block.arguments[len(signature.inputs) + number]
        made = make(number, argument)
        if made is None:
            argument.replace_all_uses_with(block.add_argument(argument.type, argument.location))
            made = [State(spec, key, results[number])]
        states += made
    return states


def settle(program: Program, states: Sequence[State], writes: Iterable[Any]) -> None:
    """Let the program return these states and no longer take the old ones, whose writes nobody reads."""
    signature, block = program.signature, main_block(program)
    (last,) = ops(block, "func.return")
    with ir.InsertionPoint(last), last.operation.location:
        outputs = list(last.operation.operands)[: len(signature.outputs)]
        func.ReturnOp([*outputs, *(state.value for state in states)])
    last.operation.erase()
    for write in writes:
        write.erase()
    for _ in signature.states:
        block.erase_argument(len(signature.inputs))
    declare(program)
    specs, keys = tuple(state.spec for state in states), tuple(state.key for state in states)
    program.signature = replace(signature, states=specs, initial=keys)


def reread(op: Any, groups: Sequence[Sequence[Any]], **changed: Any) -> None:
    """Let an attention read these groups of operands, with some attributes changed."""
    op.results[0].replace_all_uses_with(attending(op, groups, op.results[0].type, **changed))
    op.erase()


def attending(op: Any, groups: Sequence[Sequence[Any]], kind: Any, **changed: Any) -> Any:
    """The result, of this type, of an attention like another one that reads these groups of operands, made
    before it."""
    named = {name: op.attributes[name] for name in op.attributes} | changed
    named["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([len(group) for group in groups])
    operands = [value for group in groups for value in group]
    with ir.InsertionPoint(op), op.location:
        return ir.Operation.create(op.name, [kind], operands, named).results[0]
