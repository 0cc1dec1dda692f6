"""Which operations multiply by a weight of the model or look up its rows, and as what matrix they see it."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir.build import flag, mapped
from drystone.ir.elements import to_element, widen
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import Codes, Encoding, Sparse, by_taps
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import arith, ir, tensor
from drystone.passes.generic import is_identity, is_widened, maps_of, moved_input, unwidened
from drystone.passes.rewriting import ops, tensor_type, uses
from drystone.passes.weights import weight_key

Wanted = TypeVar("Wanted")
#: The elements whose numbers can be rounded.
_FLOATS = ("f32", "f16", "bf16")
#: What the weights are that an argument asks something for.
_WHAT = {
    "quantize": "whose bits can be fewer",
    "sparsify": "that can be pruned",
    "skip": "of which rows can be left out",
}
#: Names of weights that an error shows.
_SHOWN = 8


@dataclass(frozen=True)
class Reader:
    """An operation and the key of the weight it reads, as it is or in a longer float, operand `number`. kind:
    "product", "left" (of a product whose left operand it is), "conv" or "table"."""

    op: Any
    key: str
    kind: str

    @property
    def number(self) -> int:
        """The place of the weight among the operands."""
        return 0 if self.kind in ("table", "left") else 1

    @property
    def read(self) -> Any:
        """What the operation reads: the weight, or that in a longer float."""
        return self.op.operation.operands[self.number]

    @property
    def weight(self) -> Any:
        """The weight as the model holds it."""
        return unwidened(self.read)

    @property
    def x(self) -> Any:
        """What the weight is multiplied with; None for a table."""
        return None if self.kind == "table" else self.op.operation.operands[1 - self.number]

    @property
    def turned(self) -> bool:
        """Whether the weight is held [inputs, outputs]."""
        return self.kind == "product" and not self.op.operation.attributes["transpose_b"].value

    @property
    def extents(self) -> tuple[int, int]:
        """Outputs and inputs."""
        outputs, *inputs = list(self.weight.type.shape)[:: -1 if self.turned else 1]
        return outputs, prod(inputs)

    def matrix(self, array: Array) -> Array:
        """The weight's array as f64 [outputs, inputs]: those of a convolution are taps times channels, the
        channels of a tap side by side; the rows of a table are outputs."""
        wide = widen(array).astype(np.float64)
        if self.kind == "conv":
            return by_taps(Codes("f64"), wide.ndim).joined(wide)
        return wide.T if self.turned else wide

    def array(self, matrix: Array) -> Array:
        """The array that `matrix` makes a matrix of."""
        kind = self.weight.type
        if self.kind == "conv":
            matrix = by_taps(Codes("f64"), kind.rank).parted(matrix, list(kind.shape))
        held = to_element(matrix.T if self.turned else matrix, str(kind.element_type))
        return np.ascontiguousarray(held)

    def held(self, encoding: Encoding) -> Any:
        """The type of the weight where its matrix is held in an encoding: of a convolution that of the tensor
        that it makes a matrix of."""
        kind = self.weight.type
        if self.kind == "conv":
            return with_encoding(kind, by_taps(encoding, kind.rank))
        return with_encoding(tensor_type(self.extents, kind.element_type), encoding)


def readers_of(program: Program, *, tables: bool, left: bool = False) -> list[Reader]:
    """The readers of plain weights of floats in `@main`, in order: products with matrices, with `left` those
    whose left operand one is too, convolutions that are not transposed, and with `tables` embeddings; those
    of a weight that a product reads in any case."""
    found = []
    for op in ops(main_block(program), "dry.matmul", "dry.conv", "dry.embedding"):
        kind = {"dry.matmul": "product", "dry.conv": "conv"}.get(op.operation.name, "table")
        a, *others = (unwidened(each) for each in op.operation.operands)
        value = a if kind == "table" else others[0]
        if kind == "product" and left and weight_key(a) is not None and weight_key(value) is None:
            kind, value = "left", a
        key, held = weight_key(value), value.type
        if key is None or held.encoding is not None or str(held.element_type) not in _FLOATS:
            continue
        if held.rank != 2 if kind != "conv" else op.operation.attributes["transposed"].value:
            continue
        found.append(Reader(op, key, kind))
    multiplied = {each.key for each in found if each.kind != "table"}
    return [each for each in found if tables or each.key in multiplied]


def _is_for(wanted: object, reader: Reader) -> bool:
    """Whether what is asked for is done to a weight: one that is a left operand becomes sparse or stays."""
    encoding = getattr(wanted, "encoding", None)
    return reader.kind != "left" or encoding is None or isinstance(encoding, Sparse)


def first_match(patterns: Iterable[str], names: Iterable[str]) -> str | None:
    """The first regular expression that matches all of one of a weight's names."""
    called = tuple(names)
    return next((each for each in patterns if any(re.fullmatch(each, name) for name in called)), None)


def asked_of(pairs: Sequence[tuple[str, Wanted]], names: Iterable[str]) -> Wanted | None:
    """What the first pattern that matches one of a weight's names asks for; None where none does."""
    pattern = first_match((each for each, _ in pairs), names)
    return None if pattern is None else dict(pairs)[pattern]


def no_match(
    pattern: str, keys: Sequence[str], what: str, none: str, argument: str = "quantize"
) -> UserError:
    """The error for a pattern in an argument that matches none of these keys, which `what` says what they are
    of."""
    shown = ", ".join(dict.fromkeys(keys[:_SHOWN])) + (", .." if len(keys) > _SHOWN else "")
    return UserError(
        f"{argument}: {pattern!r} matches no weight {what}", hint=f"these can: {shown}" if keys else none
    )


def asked(
    program: Program,
    pairs: Sequence[tuple[str, Wanted | None]],
    *,
    tables: bool,
    others: Collection[str] = (),
    argument: str = "quantize",
) -> list[list[tuple[Reader, Wanted]]]:
    """The readers, those that multiply one value together, of weights for which the first pattern that
    matches asks for something, and what. Raises UserError for a pattern of the `argument` that matches none
    and is not among `others`."""
    if not pairs:
        return []
    readers, matched = readers_of(program, tables=tables, left=True), set[str | None](others)
    found = dict[Any, list[tuple[Reader, Wanted]]]()
    for reader in readers:
        pattern = first_match((each for each, _ in pairs), program.weights.names(reader.key))
        wanted = None if pattern is None else dict(pairs)[pattern]
        if not _is_for(wanted, reader):
            continue
        matched.add(pattern)
        if wanted is not None:
            together = unwidened(reader.x) if reader.kind == "product" else reader.op.operation
            found.setdefault(together, []).append((reader, wanted))
    for pattern, _ in pairs:
        if pattern not in matched:
            keys = [reader.key for reader in readers if _is_for(dict(pairs)[pattern], reader)]
            none = (
                "no product or convolution reads a weight of the model as it is; left operands can be sparse"
            )
            raise no_match(pattern, keys, _WHAT[argument], none, argument)
    return list(found.values())


def let_read(reader: Reader, coded: Any, x: Any | None = None) -> None:
    """Let a reader have a weight of a type of `Reader.held`, at the insertion point, and another x if one is
    given."""
    op, kind, wide = reader.op.operation, reader.weight.type, reader.read.type
    if kind != wide:
        coded = _copied(_copied(coded, kind.element_type), wide.element_type)
    op.operands[reader.number] = coded
    if x is not None:
        op.operands[0] = x
    if reader.turned:
        op.attributes["transpose_b"] = flag(True)


def _copied(value: Any, element: Any) -> Any:
    """A plain copy of a tensor, or that in a longer float."""
    same = [ir.AffineMap.get_identity(value.type.rank)] * 2
    into = tensor.EmptyOp(list(value.type.shape), element).result
    if value.type.element_type == element:
        return mapped([value], into, same, lambda number, _: number)
    return mapped([value], into, same, lambda number, _: arith.ExtFOp(element, number).result)


def is_copy(op: Any) -> bool:
    """Whether an operation copies its one input into a plain tensor."""
    copies = moved_input(op)
    return copies is not None and is_identity(maps_of(op)[0]) and op.results[0].type.encoding is None


def reads_of(weight: Any) -> list[tuple[Any, int]]:
    """What reads a weight, and as which operand: as it is held, copied into a plain tensor, or that in a
    longer float."""
    found = []
    for user, number in uses(weight):
        copied = uses(user.results[0]) if is_copy(user) else [(user, number)]
        for reader, place in copied:
            found += uses(reader.results[0]) if is_widened(reader) else [(reader, place)]
    return found


def convolutions_of(weight: Any) -> list[Any]:
    """The convolutions whose weight [O, C, *K] this is, in any of these ways."""
    return [user for user, number in reads_of(weight) if (user.name, number) == ("dry.conv", 1)]


def factors_of(weight: Any) -> list[tuple[Any, int]]:
    """The products that a weight is a factor of, in any of these ways, and which operand it is."""
    return [(user, number) for user, number in reads_of(weight) if user.name == "dry.matmul" and number < 2]


def products_of(weight: Any) -> list[Any]:
    """The products whose right operand a weight is."""
    return [user for user, number in factors_of(weight) if number == 1]
