"""The pass `decode-weights`: what no kernel reads as it is held is decoded before the model runs."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoding import Codes, Encoding, Pack, Parts, decode, encoding_of, part_key, with_encoding
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import ir
from drystone.passes.generic import is_identity, maps_of, moved_input
from drystone.passes.rewriting import erase_dead, ops, uses
from drystone.passes.weights import drop_unused, new_weight

#: Weights that are decoded at a time: each takes three times its memory meanwhile.
_THREADS = 8


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
        weights = ops(block, "dry.weight")
        found = [(op, reads) for op in weights if (reads := _reads(op.operation.results[0]))]
        held = [_held(program, op) for op, _ in found]
        with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
            arrays = list(pool.map(self._decoded, held))
        for (op, reads), array in zip(found, arrays, strict=True):
            kind = with_encoding(op.operation.results[0].type, None)
            with ir.InsertionPoint(op), op.operation.location:
                made = new_weight(program, f"{_key(op)}.decoded", array, kind)
            for user, number in reads:
                if _is_copy(user):
                    user.results[0].replace_all_uses_with(made)
                else:
                    user.operands[number] = made
        erase_dead(block)
        drop_unused(program)

    def _decoded(self, held: tuple[Parts, Encoding, tuple[int, ...], str]) -> Array:
        parts, encoding, shape, element = held
        if not self.numbers:
            return np.broadcast_to(np.zeros((), numpy_dtype(element)), shape)
        return np.ascontiguousarray(decode(parts, encoding, shape, element))


def _key(op: Any) -> str:
    return str(op.operation.attributes["key"].value)


def _held(program: Program, op: Any) -> tuple[Parts, Encoding, tuple[int, ...], str]:
    """What `decode` takes for a weight."""
    kind = op.operation.results[0].type
    encoding, shape = encoding_of(kind), tuple(kind.shape)
    parts = {part: program.weights[part_key(_key(op), part)] for part in encoding.parts(shape)}
    return parts, encoding, shape, str(kind.element_type)


def _reads(value: Any) -> list[tuple[Any, int]]:
    """The uses of a weight that are to read it decoded."""
    if value.type.encoding is None:
        return []
    found = uses(value)
    return [use for use in found if _is_copy(use[0])] if _is_read(encoding_of(value.type)) else found


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
