"""Images as bytes: which values are made so, what their codes count, and the codes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from drystone.ir.build import mapped
from drystone.ir.values import producer, producer_name
from drystone.mlir import arith, ir
from drystone.passes.dims import empty_like
from drystone.passes.layout.moves import move, permutation_of
from drystone.passes.quantizing.byte_arithmetic import code_of
from drystone.passes.quantizing.byte_convolutions import Convolution, is_average, is_largest, is_moved, keeps
from drystone.passes.rewriting import uses

#: The largest code: they are symmetric.
LARGEST = 127


class Images:
    """Values of which convolutions read bytes, and their bytes.

    steps: what a code of a value counts; made: values that are made as bytes by what makes them, since all
    that read them take bytes; codes: the bytes, once they are there.
    """

    def __init__(self, chosen: Mapping[Any, Convolution], peaks: Mapping[Any, float]) -> None:
        """chosen: convolutions by their results; peaks: the largest numbers of values that may be bytes."""
        least = float(np.finfo(np.float32).tiny)
        self._chosen = chosen
        self.steps = {value: max(peak, least) / LARGEST for value, peak in peaks.items()}
        self.codes: dict[Any, Any] = {}
        self._share_steps()
        self.made = {value for value in self.steps if producer_name(value) in ("dry.conv", "dry.pool")}
        kept = {value for value in self.made if self._can_be_made(value)}
        while kept != self.made:
            self.made = kept
            kept = {value for value in self.made if self._can_be_made(value)}

    def _share_steps(self) -> None:
        """Let a value and what has its numbers unrounded, such as a maximum, count the same."""
        pending = list(self.steps)
        while pending:
            value = pending.pop()
            source = producer(value).operation.operands[0] if keeps(producer(value)) else None
            alike = [value] if source is None else [source, *self._alike(source)]
            step = max(self.steps.get(each, 0) for each in alike)
            pending += [each for each in alike if self.steps.get(each) != step]
            self.steps |= dict.fromkeys(alike, step)

    def _alike(self, source: Any) -> list[Any]:
        """What has numbers of a value, unrounded, and a step."""
        readers = [user.results[0] for user, number in uses(source) if number == 0 and keeps(user.opview)]
        return [each for each in readers if each in self.steps]

    def _can_be_made(self, value: Any) -> bool:
        """Whether what makes a value can make bytes of it, and all that read it can take them."""
        maker = producer(value)
        if maker.operation.name == "dry.pool" and not (
            is_largest(maker) and maker.operation.operands[0] in self.made
        ):
            return False
        return all(self._takes(user, number) for user, number in uses(value))

    def _takes(self, user: Any, number: int) -> bool:
        if user.name == "dry.conv":
            return number > 1 or (number == 0 and user.results[0] in self._chosen)
        if user.name == "dry.pool":
            return user.results[0] in self.made or is_average(user.opview)
        return number == 0 and is_moved(user) and all(self._takes(*use) for use in uses(user.results[0]))

    def code(self, value: Any) -> Any:
        """The bytes of a value: moved, or rounded, at the insertion point where nothing has made them."""
        if value not in self.codes:
            source = value
            while (maker := producer(source)) is not None and is_moved(maker.operation):
                source = maker.operation.operands[0]
            moved = source is not value and source in self.made
            self.codes[value] = self._moved(value) if moved else self.rounded(value, 1 / self.steps[value])
        return self.codes[value]

    def _moved(self, value: Any) -> Any:
        """The bytes of a value that is a slice, a reshape or a transpose of another one."""
        op = value.owner
        given, p = self.code(op.operands[0]), permutation_of(value)
        if p is not None:
            return move(given, p)
        named = {key: op.attributes[key] for key in op.attributes}
        operands = [given, *list(op.operands)[1:]]
        return ir.Operation.create(op.name, [in_bytes(value)], operands, named).results[0]

    def rounded(self, value: Any, factor: float) -> Any:
        """The bytes closest to the multiple of a tensor, at the insertion point."""
        into, whole = empty_like(value), ir.AffineMap.get_identity(value.type.rank)
        into.set_type(in_bytes(value))

        def rounded(x: Any, _: Any) -> Any:
            return code_of(arith.MulFOp(x, number_of(factor)).result, -LARGEST, LARGEST)

        return mapped([value], into, [whole, whole], rounded)


def in_bytes(value: Any) -> Any:
    """The type of a value's bytes."""
    return ir.RankedTensorType.get(value.type.shape, ir.IntegerType.get_signless(8))


def times(value: Any, factor: float) -> Any:
    """A number of f32 times a constant."""
    return value if factor == 1 else arith.MulFOp(value, number_of(factor)).result


def number_of(value: float) -> Any:
    """A constant of f32."""
    return arith.ConstantOp(ir.F32Type.get(), value).result
