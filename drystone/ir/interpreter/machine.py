"""The machine of the reference interpreter: values of SSA names, and one handler per operation.

A tensor is a numpy array (elements as `ir.elements` holds them), a scalar an array of rank 0. Inside the
region of a structured operation a scalar is an array over the whole iteration space (or broadcasts to it), so
that the same handlers evaluate one element or all of them at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import InternalError
from drystone.ir.elements import numpy_dtype, to_element, widen
from drystone.ir.encoded import encoding_of
from drystone.ir.encoding import Codes
from drystone.mlir import ir, ir_place
from drystone.registry import Registry

#: (machine, operation, values of its operands) -> values of its results.
Handler = Callable[["Machine", Any, list[Array]], Sequence[Array]]

HANDLERS: Registry[Handler] = Registry("operation")


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for the operations of these names."""

    def register(handler: Handler) -> Handler:
        for name in names:
            HANDLERS.add(name, handler)
        return handler

    return register


def fault(op: Any, what: str) -> InternalError:
    """An error that names the operation and the line of the model it came from."""
    place = ir_place(op)
    where = f" at {place}" if place is not None else ""
    return InternalError(f"{op.operation.name}{where}: {what}")


def element_name(kind: Any) -> str:
    """The element of a tensor type, or a scalar type itself, as the IR spells it."""
    return str(kind.element_type if isinstance(kind, ir.ShapedType) else kind)


def undefined(shape: Sequence[int], dtype: str) -> Array:
    """Memory nobody has written yet: NaN, or a number that no index should be."""
    held = np.dtype(numpy_dtype(dtype))
    filler = np.nan if held.kind in "fc" else 0x7FFF if dtype == "bf16" else np.iinfo(np.int8).min
    return np.full(tuple(shape), held.kind == "b" or filler, held)


@dataclass
class Machine:
    """Evaluates operations. functions: those of the module by name, for calls. points: the position of every
    dimension of the iteration space while a structured operation's region runs. guarded: some elements take a
    branch that is not theirs, whose result is dropped, so that positions outside a tensor are no fault."""

    weights: Mapping[str, Array] | Any
    functions: Mapping[str, Any]
    values: dict[Any, Array] = field(default_factory=dict)
    points: tuple[Array, ...] = ()
    guarded: bool = False

    def call(self, function: Any, args: Sequence[Array]) -> list[Array]:
        """The results of a function."""
        inner = Machine(self.weights, self.functions)
        return inner.block(function.regions[0].blocks[0], args)

    def execute(self, block: Any, args: Sequence[Array], skip: Sequence[Any] = ()) -> Any:
        """Run a block of one exit but for its terminator (returned) and the operations in `skip`."""
        for argument, value in zip(block.arguments, args, strict=True):
            self.values[argument] = value
        *body, last = block.operations
        for op in body:
            if op.operation not in skip:
                self.run(op)
        return last

    def block(self, block: Any, args: Sequence[Array]) -> list[Array]:
        """Run a block of one exit: the values of its terminator's operands."""
        last = self.execute(block, args)
        return [self.values[value] for value in last.operation.operands]

    def region(self, op: Any, args: Sequence[Array], number: int = 0) -> list[Array]:
        """Run one of the regions of `op`."""
        return self.block(op.operation.regions[number].blocks[0], args)

    def run(self, op: Any) -> None:
        """Run one operation: its results become known."""
        operation = op.operation
        handler = HANDLERS.get(operation.name) or HANDLERS.get(operation.name.split(".")[0] + ".*")
        if handler is None:
            raise fault(op, "the reference interpreter does not know this operation")
        try:
            results = handler(self, op.opview, [self.values[value] for value in operation.operands])
        except (ValueError, IndexError, TypeError, KeyError) as error:
            raise fault(op, f"evaluation failed: {error}") from error
        for result, value in zip(operation.results, results, strict=True):
            self.values[result] = _held(value, result.type)


def _held(value: Array, kind: Any) -> Array:
    """What is left of a result once it is held as the element its type says (only weights are scaled)."""
    if not isinstance(kind, ir.RankedTensorType) or kind.encoding is None:
        return value
    held, element = encoding_of(kind), str(kind.element_type)
    if not isinstance(held, Codes) or held.coded or held.held_as == element:
        return value
    return to_element(widen(to_element(widen(value), held.held_as)), element)
