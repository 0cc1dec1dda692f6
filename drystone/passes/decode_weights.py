"""The pass `decode-weights`: what no kernel reads as it is held is decoded before the model runs."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoding import Codes, Pack, decode, encoding_of, part_key, with_encoding
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import ir
from drystone.passes.generic import is_identity, maps_of, moved_input
from drystone.passes.rewriting import erase_dead, ops, uses
from drystone.passes.weights import drop_unused, new_weight


@dataclass(frozen=True)
class DecodeWeights:
    """Weights in encodings that no kernel reads become plain, as do those that are copied into plain ones.

    Before:  %w = "dry.weight"() {key = "w"} : tensor<64x32xf32, #dry.enc<"int4", #dry.scale<..>, unit>>
             %p = linalg.generic ins(%w) outs(%e : tensor<64x32xf32>) {copy}
             %y = "dry.matmul"(%x, %p)
    After:   %p = "dry.weight"() {key = "w.decoded"} : tensor<64x32xf32>
             %y = "dry.matmul"(%x, %p)

    - Kernels read plain elements, also shorter ones, and their blocked layouts; of those that a copy widens
      `choose-precision` decides later which stay short.
    - Without `numbers`, weights of zeros that take no memory stand for the decoded ones: for programs that
      are only counted.
    """

    numbers: bool = True
    name: ClassVar[str] = "decode-weights"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "dry.weight"):
            self._decode(program, op)
        erase_dead(block)
        drop_unused(program)

    def _decode(self, program: Program, op: Any) -> None:
        value = op.operation.results[0]
        kind, key = value.type, op.operation.attributes["key"].value
        if kind.encoding is None:
            return
        found = uses(value)
        copies = [user for user, _ in found if _is_copy(user)]
        read = found if not _is_read(encoding_of(kind)) else [use for use in found if use[0] in copies]
        if not read:
            return
        with ir.InsertionPoint(op), op.operation.location:
            plain = with_encoding(kind, None)
            made = new_weight(program, f"{key}.decoded", self._array(program, key, kind), plain)
        for user, number in read:
            if user in copies:
                user.results[0].replace_all_uses_with(made)
            else:
                user.operands[number] = made

    def _array(self, program: Program, key: str, kind: Any) -> Array:
        element, shape = str(kind.element_type), tuple(kind.shape)
        if not self.numbers:
            return np.broadcast_to(np.zeros((), numpy_dtype(element)), shape)
        encoding = encoding_of(kind)
        parts = {part: program.weights[part_key(key, part)] for part in encoding.parts(shape)}
        return np.ascontiguousarray(decode(parts, encoding, shape, element))


def _is_read(encoding: Any) -> bool:
    """Whether kernels read what is held so."""
    return (
        isinstance(encoding, Codes)
        and not encoding.coded
        and (encoding.layout is None or isinstance(encoding.layout, Pack))
    )


def _is_copy(op: Any) -> bool:
    """Whether an operation copies its one input into a plain tensor."""
    copies = moved_input(op)
    return copies is not None and is_identity(maps_of(op)[0]) and op.results[0].type.encoding is None
