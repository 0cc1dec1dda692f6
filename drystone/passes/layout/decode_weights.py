"""The pass `decode-weights`: what no kernel reads as it is held is decoded before the model runs."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoded import encoding_of, with_encoding
from drystone.ir.encoding import Codes, Encoding, Flat, Joined, Pack, Parts, Sparse, decode
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import ir
from drystone.passes.layout.pack_weights import panels_of, panels_of_convolution, panels_of_table
from drystone.passes.layout.panels import Panels
from drystone.passes.layout.upstream_lists import read_upstream
from drystone.passes.quantizing.quantize_products import Formats, holds_bytes
from drystone.passes.rewriting import erase_dead, ops, uses
from drystone.passes.weight_readers import convolutions_of, factors_of, is_copy, reads_of
from drystone.passes.weights import drop_unused, new_weight, stored_weight, weight_key, weight_parts
from drystone.targets.target import Target

#: An operation and the number of an operand.
_Use = tuple[Any, int]
#: Weights that are decoded at a time: each takes three times its memory meanwhile.
_THREADS = 8


@dataclass(frozen=True)
class DecodeWeights:
    """Weights in encodings that no kernel reads become plain, as do those that are copied into plain ones.

    Before:  %w = "dry.weight"() {key = "w"} : tensor<64x32xf32, #dry.enc<"int4", #dry.scale<..>, unit>>
             %p = linalg.generic ins(%w) outs(%e : tensor<64x32xf32>) {copy}
             %y = "dry.matmul"(%x, %p) ; %z = "dry.conv"(%u, %p)
    After:   %p = "dry.weight"() {key = "w.decoded"} : tensor<64x32xf32>
             %y = "dry.matmul"(%x, %w) ; %z = "dry.conv"(%u, %p)

    - Kernels read plain elements, also shorter ones, and their blocked layouts; of those that a copy widens
      `choose-precision` decides later which stay short.
    - Products with a matrix, on `target`, read codes with scales: of up to 8 bits, integers, floats or a
      codebook of at most 32 numbers; with a scale for all, for each output, for groups along the inputs that
      end where words of 32 bits do, or for blocks; with zero points or minima, and scales that have scales.
      Decoded are what `split-products` leaves of sums, outliers, ranges and other coordinates, products
      of codes, codebooks that are learned or chosen for each group, groups along the outputs, and codes or
      scales some of which are no finite numbers. Without a target all are decoded, and with one those of
      which `formats` ask `quantize-products` to make bytes.
    - Products read sparse matrices of f32, f16 or bf16, and of integers of up to 8 bits with one scale, in
      any pattern, and blocks of bytes with a scale for each, as either operand; blocks, and N:M along the
      inputs, of all codes that they read of any matrix, to the right of x, with factors of blocks, outputs,
      or groups along the inputs of a block or along what N:M holds. Convolutions read such a matrix [O, taps
      * C] as their weight: groups of channels of all of these, and lists of blocks and elements. Products of
      f64, which upstream passes compile, read rows of a sparse matrix of elements that are less than half of
      it.
    - Embeddings read codes of the same kinds, unless something reads the weight decoded besides.
    - In a model in f16 or bf16 numbers that products read are not rounded to its element.
    - What else reads such a weight reads it decoded.
    - Without `numbers`, weights of zeros that take no memory stand for the decoded ones: for programs that
      are only counted.
    """

    target: Target | None = None
    formats: Formats = ()
    numbers: bool = True
    name: ClassVar[str] = "decode-weights"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        kept: list[_Use] = []
        for op in ops(block, "dry.weight"):
            value = op.operation.results[0]
            if self.target is not None and not holds_bytes(program, self.formats, str(weight_key(value))):
                kept += _kept(program, value, self.target)
        erase_dead(block)
        weights = [(op, _reads(op.operation.results[0], kept)) for op in ops(block, "dry.weight")]
        found = [(op, reads) for op, reads in weights if reads]
        held = [_held(program, op) for op, _ in found]
        with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
            arrays = list(pool.map(self._decoded, held))
        for (op, reads), array in zip(found, arrays, strict=True):
            read_decoded(program, op, array, reads)
        erase_dead(block)
        drop_unused(program)

    def _decoded(self, held: tuple[Parts, Encoding, tuple[int, ...], str]) -> Array:
        parts, encoding, shape, element = held
        if not self.numbers:
            return np.broadcast_to(np.zeros((), numpy_dtype(element)), shape)
        return np.ascontiguousarray(decode(parts, encoding, shape, element))


def read_decoded(program: Program, op: Any, array: Array, reads: list[_Use] | None = None) -> Any:
    """Let these uses of a weight, or all, read it decoded, as this array; that weight."""
    value = op.operation.results[0]
    with ir.InsertionPoint(op), op.operation.location:
        made = new_weight(program, f"{weight_key(value)}.decoded", array, with_encoding(value.type, None))
    for user, number in uses(value) if reads is None else reads:
        if is_copy(user):
            user.results[0].replace_all_uses_with(made)
        else:
            user.operands[number] = made
    return made


def _held(program: Program, op: Any) -> tuple[Parts, Encoding, tuple[int, ...], str]:
    """What `decode` takes for a weight."""
    value = op.operation.results[0]
    kind = value.type
    return weight_parts(program, value), encoding_of(kind), tuple(kind.shape), str(kind.element_type)


def _kept(program: Program, value: Any, target: Target) -> list[_Use]:
    """The products and embeddings that read a weight's codes, as their kernels can, in place of decoded
    copies."""
    if value.type.encoding is None or _is_read(encoding_of(value.type)):
        return []
    encoding, parts = encoding_of(value.type), weight_parts(program, value)
    problems: dict[Panels, str] = {}
    kept = []

    def keep(user: Any, number: int, panels: Panels | None) -> None:
        if panels is None:
            return
        if panels not in problems:
            problems[panels] = panels.problem(parts, encoding)
        if not problems[panels]:
            _read_codes(value, user, number)
            kept.append((user, number))

    read_upstream(program, value, reads_of(value))
    for user, number in factors_of(value):
        keep(user, number, panels_of(user, target, number, encoding))
    if isinstance(encoding, Flat) and isinstance(encoding.base, Sparse):
        for user in convolutions_of(value):
            keep(user, 1, panels_of_convolution(user, target))
    left = [use for use in reads_of(value) if use not in kept]
    if all((user.name, number) == ("dry.embedding", 0) for user, number in left):
        for user, number in left:
            keep(user, number, panels_of_table(value.type))
    return kept


def _read_codes(value: Any, user: Any, number: int) -> None:
    """Let an operation read the codes of a weight, with the element that it reads."""
    kind = with_encoding(with_encoding(user.operands[number].type, None), encoding_of(value.type))
    with ir.InsertionPoint(value.owner), value.owner.location:
        user.operands[number] = value if kind == value.type else stored_weight(str(weight_key(value)), kind)


def _reads(value: Any, kept: list[_Use]) -> list[_Use]:
    """The uses of a weight that are to read it decoded; `kept`: those that read codes."""
    if value.type.encoding is None:
        return []
    found = uses(value)
    if _is_read(encoding_of(value.type)):
        return [use for use in found if is_copy(use[0])]
    return [use for use in found if use not in kept]


def _is_read(encoding: Any) -> bool:
    """Whether kernels read what is held so."""
    if isinstance(encoding, Joined):
        return True
    plain = isinstance(encoding, Codes) and not encoding.coded
    return plain and (encoding.layout is None or isinstance(encoding.layout, Pack))
