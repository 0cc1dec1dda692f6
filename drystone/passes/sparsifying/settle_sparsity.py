"""The pass `settle-sparsity`: weights with many zeros are held without them where products are faster so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import to_element, widen
from drystone.ir.encoded import encoding_of, with_encoding
from drystone.ir.encoding import Codes, Compressed, Flat, Joined, Pattern, Sparse, Structured, encode
from drystone.ir.program import Program
from drystone.ir.sparse_tensors import BLOCKS, GROUPS, fitting
from drystone.ir.values import main_block
from drystone.mlir import ir
from drystone.passes.layout.decode_weights import read_decoded
from drystone.passes.layout.lists import matrix_of
from drystone.passes.layout.panels import RowLists
from drystone.passes.quantizing.quantize_products import Formats, holds_bytes
from drystone.passes.rewriting import erase_dead, ops
from drystone.passes.sparsifying.sparse_costs import SparseProduct, named
from drystone.passes.weight_readers import (
    Reader,
    convolutions_of,
    factors_of,
    first_match,
    let_read,
    readers_of,
)
from drystone.passes.weights import (
    coded_weight,
    drop_unused,
    is_asked,
    is_made,
    model_names,
    weight_key,
    weight_parts,
)
from drystone.sparse_weight import SparseWeight
from drystone.targets.target import Target

#: The measured seconds of a product with this matrix for one of the dense product; None where there are none.
Timed = Callable[[SparseProduct, Array], float | None]
#: Weights of fewer numbers are not looked at, nor are those of which fewer are zeros. Numbers that are looked
#: at before all are.
_SMALL, _MANY, _SAMPLE = 4096, 0.3, 4096
#: What sparse is to take at most of dense where it is estimated, and up to what estimate it is measured.
_FASTER, _UNCERTAIN = 0.9, 1.5
#: What lists of a table that is looked up are to take at most of its bytes.
_TABLE = 0.5
#: Outputs of blocks that a kernel reads as such; numbers that are held at most for each that is not 0; what
#: zeros are looked for in.
_HIGH, _FULL = 8, 1.5
_PATTERNS: tuple[Pattern, ...] = (
    *(Structured(1, *each) for each in GROUPS),
    *(Compressed(0, block) for block in BLOCKS if block[0] >= _HIGH),
    Compressed(0),
)
#: Numbers of sparse weights of which more are never laid out to be looked at.
_LARGE = 1 << 28
#: Why a weight stays dense that something else than products read.
_READ_BESIDES = "operations of several kinds read it"


@dataclass(frozen=True)
class SettleSparsity:
    """Weights of products and convolutions that have many zeros become sparse where a kernel for `target` is
    faster with them than the dense one; those that are sparse become plain where none is.

    Before:  %y = "dry.matmul"(%x, %w) : (tensor<8x64xf32>, tensor<96x64xf32>)
    After:   %y = "dry.matmul"(%x, %v) : (tensor<8x64xf32>, tensor<96x64xf32, #dry.sparse<..>>)

    - Of groups of inputs (1:4, 2:4, 4:8, 1:2), blocks, and lists of elements that which takes least. Time is
      what `timed` measures or, without, what is estimated (`sparse_costs`); of any number of rows the most.
    - A weight is held as the `element` that products of f32 are computed in. A turned one becomes [outputs,
      inputs].
    - A matrix that is the left operand of products is looked at in the same way, by columns of the right one;
      it is not measured.
    - A table of embeddings becomes lists of its rows where these take half of its bytes or less.
    - Of a convolution the matrix [O, taps * C]: lists of f32, and groups of channels; time is
      estimated.
    - Left alone are weights that operations of several kinds read, products in bytes (`in_bytes`), weights
      that the first pattern of `prunings` leaves as they are, and sparse ones in formats that were asked for
      by themselves (`quantize-weights`): it is only noted how they are held.
    - With `keep` a weight stays or becomes sparse wherever that is fewer bytes.
    - What was found, and why it is held so, is noted in the program.
    """

    target: Target
    element: str | None = None
    in_bytes: Formats = ()
    prunings: Sequence[tuple[str, object | None]] = ()
    keep: bool = False
    timed: Timed | None = None
    name: ClassVar[str] = "settle-sparsity"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        readers: dict[str, list[Reader]] = {}
        for reader in readers_of(program, tables=True, left=True):
            readers.setdefault(reader.key, []).append(reader)
        for op in ops(block, "dry.weight"):
            encoding = encoding_of(op.operation.results[0].type)
            if isinstance(encoding, Sparse) or (
                isinstance(encoding, Flat) and isinstance(encoding.base, Sparse)
            ):
                self._settle_sparse(program, op, encoding)
        for key, group in readers.items():
            self._settle_plain(program, key, group)
        erase_dead(block)
        drop_unused(program)

    def _settle_plain(self, program: Program, key: str, readers: Sequence[Reader]) -> None:
        """Let products read a plain weight that has zeros without them, where that is faster."""
        array, names = program.weights[key], model_names(program, key)
        first = first_match((each for each, _ in self.prunings), names)
        stays = first is not None and dict(self.prunings)[first] is None
        if stays or holds_bytes(program, self.in_bytes, key) or not _has_many_zeros(array):
            return
        reader = readers[0]
        matrix, kind = reader.matrix(array), reader.weight.type
        alike = all((each.kind, each.turned) == (reader.kind, reader.turned) for each in readers)
        if not alike:
            program.zeros.append(_Found(matrix, array.nbytes, why=_READ_BESIDES).noted(key))
            return
        if reader.kind == "table":
            found, encoding = self._of_table(matrix, str(kind.element_type))
        else:
            left, read = reader.kind == "left", [each.op for each in readers]
            found = self._found(matrix, read, str(kind.element_type), (), left)
            encoding = None if found.best is None else found.best.encoding
        if encoding is None or not found.sparse:
            program.zeros.append(found.noted(key))
            return
        with ir.InsertionPoint(reader.weight.owner), reader.op.operation.location:
            sparse = coded_weight(program, f"{key}.sparse", encode(matrix, encoding), reader.held(encoding))
        for each in readers:
            with ir.InsertionPoint(each.op), each.op.operation.location:
                let_read(each, sparse)
        program.zeros.append(found.noted(str(weight_key(sparse))))

    def _of_table(self, matrix: Array, element: str) -> "tuple[_Found, Sparse | None]":
        """How a table of an embedding, rows of which are looked up, is best held: in lists or as it is."""
        encoding, dense = Sparse(Compressed(0), Codes(element)).settled(matrix), Codes(element)
        whole = dense.bytes(matrix.shape)
        joined = RowLists((matrix.shape[0], matrix.shape[1]), 0, 1).joined(encoding)
        if isinstance(joined, str):
            return _Found(matrix, whole, why=joined), None
        size, most = joined.bytes(matrix.shape), 1 if self.keep else _TABLE
        why = f"lists take {size / whole:.0%} of the bytes, and are taken up to {most:.0%}"
        return _Found(matrix, whole, None, 1.0, False, size < most * whole, size, "lists", why), encoding

    def _settle_sparse(self, program: Program, op: Any, encoding: Sparse | Flat) -> None:
        """Let products read a sparse weight as is faster: decoded, as it is, or in another pattern."""
        value = op.operation.results[0]
        key, kind = str(weight_key(value)), value.type
        factors = factors_of(value)
        read = [user for user, _ in factors] or convolutions_of(value)
        left = bool(factors) and factors[0][1] == 0
        turned = [
            user
            for user, number in factors
            if (number == 0) != left or (number == 1 and not user.attributes["transpose_b"].value)
        ]
        flat, own = isinstance(encoding, Flat), matrix_of(encoding)
        if (kind.rank != 2 and not flat) or turned or prod(kind.shape) > _LARGE:
            return
        element, array = str(kind.element_type), encoding.decode(weight_parts(program, value), kind.shape)
        matrix = encoding.joined(array) if isinstance(encoding, Flat) else array
        found = self._found(matrix, read, element, (own,), left)
        if found.best is None or is_asked(key) or (is_made(key) and own.values != Codes(element)):
            why = found.why if found.best is None else "its format is asked for"
            program.zeros.append(replace(found, sparse=found.best is not None, why=why).noted(key))
            return
        with ir.InsertionPoint(op), op.operation.location:
            if not found.sparse:
                made = read_decoded(program, op, to_element(array, element))
            elif found.best.encoding != own:
                best = found.best.encoding
                typed = with_encoding(
                    kind, replace(encoding, base=best) if isinstance(encoding, Flat) else best
                )
                made = coded_weight(program, f"{key}.sparse", encode(matrix, best), typed)
                value.replace_all_uses_with(made)
            else:
                made = value
        program.zeros.append(found.noted(str(weight_key(made))))

    def _found(
        self, matrix: Array, read: Sequence[Any], element: str, own: Sequence[Sparse], left: bool
    ) -> "_Found":
        """How a weight [outputs, inputs] of the element, which is held in `own` if that is sparse, is best
        held for the products, or convolutions, that read it, as their left operand or not."""
        held = self.element if element == "f32" and self.element else element
        extents = matrix.shape[0], matrix.shape[1]
        dense, best = Codes(held).bytes(extents), None
        given = [Sparse(each.pattern, Codes(held)) for each in own]
        # What holds many zeros is no pattern of these.
        most = _FULL * np.count_nonzero(matrix)
        others = fitting(matrix, _PATTERNS, Codes(held))
        others = [each for each in others if prod(each.pattern.kept(matrix.shape)) <= most]
        for encoding in [*given, *others]:
            cases = [
                SparseProduct.of(each.operation, extents, encoding, held, self.target, left=left)
                for each in read
            ]
            known = [
                (time, each)
                for each in cases
                if each is not None and (time := each.estimated(self.target)) is not None
            ]
            if known and len(known) == len(cases):
                time, case = max(known, key=lambda each: each[0])
                best = min(best or (time, case), (time, case), key=self._rank)
        if best is None:
            return _Found(matrix, dense, why="no kernel reads its zeros")
        time, case = best
        sure = self.timed is None or case.kernel or left or time >= _UNCERTAIN
        measured = None if sure or self.timed is None else self.timed(case, matrix)
        joined = case.joined(self.target)
        assert isinstance(joined, Joined)
        size = joined.bytes(case.tensor)
        time, limit = (time, _FASTER) if measured is None else (measured, 1.0)
        name = named(case.encoding, joined)
        faster, smaller = time < limit, self.keep and size < dense
        vector = "column" if left else "row"
        at = (
            f" at {case.rows} {vector}{'s' * (case.rows > 1)}"
            if case.rows
            else f" at any number of {vector}s"
        )
        verb = "take" if measured is not None else "are estimated to take"
        why = f"{name} {verb} {time:.2f} of the time of dense{'' if case.kernel else at}"
        level = case.pays_from(self.target, _FASTER) if measured is None and not faster else None
        why += "" if level is None else f", and pay from {level:.0%} zeros"
        why += "" if faster or not smaller else "; fewer bytes are asked for"
        return _Found(matrix, dense, case, time, measured is not None, faster or smaller, size, name, why)

    def _rank(self, found: tuple[float, SparseProduct]) -> tuple[float, float]:
        """What is to be least: time, and bytes of what takes as long; or the other way round."""
        time, size = found[0], float(found[1].size)
        return (size, time) if self.keep else (time, size)


@dataclass(frozen=True)
class _Found:
    """The best product with a sparse matrix, if any, what it takes, and whether it is taken."""

    matrix: Array
    dense: int
    best: SparseProduct | None = None
    time: float = 1.0
    measured: bool = False
    sparse: bool = False
    size: int = 0
    name: str = "dense"
    why: str = ""

    def noted(self, key: str) -> SparseWeight:
        """It in the program's words, for a weight that is stored under this key."""
        outputs, inputs = self.matrix.shape
        zeros = 1 - int(np.count_nonzero(self.matrix)) / self.matrix.size
        rows = 0 if self.best is None else self.best.rows
        held, size = (self.name, self.size) if self.sparse else ("dense", self.dense)
        return SparseWeight(
            key, outputs, inputs, zeros, held, rows, size, self.dense, self.time, self.measured, self.why
        )


def _has_many_zeros(array: Array) -> bool:
    """Whether a weight is worth a look: by numbers drawn at random first, for most have no zeros at all."""
    flat = array.reshape(-1)
    if flat.size < _SMALL:
        return False
    # In bf16, whose bits numpy has, -0 is none.
    drawn = widen(flat[np.random.default_rng(0).integers(0, flat.size, _SAMPLE)])
    if np.count_nonzero(drawn) > (1 - _MANY / 2) * _SAMPLE:
        return False
    return bool(np.count_nonzero(widen(flat)) <= (1 - _MANY) * flat.size)
