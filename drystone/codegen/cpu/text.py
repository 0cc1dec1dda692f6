"""MLIR as text: types, and copies of operations with names of our choice for their values."""

from collections.abc import Callable, Sequence
from typing import Any

from drystone.ir.encoded import storage_element, storage_shape
from drystone.mlir import ir


def plain(op: Any, results: Sequence[str], operands: Sequence[str]) -> str:
    """One line that does what `op`, an operation without regions, does."""
    operation = op.operation
    attributes = ", ".join(f"{name} = {operation.attributes[name]}" for name in sorted(operation.attributes))
    takes = ", ".join(str(value.type) for value in operation.operands)
    gives = ", ".join(str(value.type) for value in operation.results)
    head = f"{', '.join(results)} = " if results else ""
    braces = f" {{{attributes}}}" if attributes else ""
    return f'{head}"{operation.name}"({", ".join(operands)}){braces} : ({takes}) -> ({gives})'


def memref_type(tensor: Any) -> str:
    """The contiguous memref that holds a tensor of this type, in its storage shape."""
    dynamic = ir.ShapedType.get_dynamic_size()
    shape = "".join(f"{'?' if n == dynamic else n}x" for n in storage_shape(tensor))
    return f"memref<{shape}{storage_element(tensor)}>"


class Copier:
    """Copies scalar computations into the text of another function: `given` names values that exist there
    (or says None), `emit` takes the lines in order."""

    def __init__(self, given: Callable[[Any], str | None], emit: Callable[[str], None], prefix: str) -> None:
        self._given, self._emit, self._prefix = given, emit, prefix
        self._names: dict[Any, str] = {}

    def name(self, value: Any) -> str:
        """The value's name in the new function; what it is computed from is copied before."""
        known = self._names.get(value) or self._given(value)
        if known is None:
            op = value.owner
            operands = [self.name(operand) for operand in op.operands]
            results = [f"%{self._prefix}{len(self._names) + i}" for i in range(len(op.results))]
            for result, fresh in zip(op.results, results, strict=True):
                self._names[result] = fresh
            self._emit(plain(op, results, operands))
            known = self._names[value]
        return known
