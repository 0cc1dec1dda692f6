"""The pass `settle-sparsity`: weights with many zeros are held without them where products are faster so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import to_element
from drystone.ir.encoding import (
    Codes,
    Compressed,
    Joined,
    Pattern,
    Sparse,
    Structured,
    encode,
    encoding_of,
    with_encoding,
)
from drystone.ir.program import Program, Zeros
from drystone.ir.sparse_tensors import BLOCKS, GROUPS, fitting
from drystone.ir.values import main_block, shape
from drystone.mlir import ir
from drystone.passes.decode_weights import read_decoded
from drystone.passes.quantize_products import Formats, holds_bytes
from drystone.passes.rewriting import erase_dead, ops, tensor_type
from drystone.passes.sparse_costs import SparseProduct, named
from drystone.passes.weight_readers import Reader, first_match, let_read, products_of, readers_of
from drystone.passes.weights import (
    coded_weight,
    drop_unused,
    is_asked,
    is_made,
    model_names,
    weight_key,
    weight_parts,
)
from drystone.targets.target import CpuTarget

#: The measured seconds of a product with this matrix for one of the dense product; None where there are none.
Timed = Callable[[SparseProduct, Array], float | None]
#: Weights of fewer numbers are not looked at, nor are those of which fewer are zeros. Numbers that are looked
#: at before all are.
_SMALL, _MANY, _SAMPLE = 4096, 0.3, 4096
#: What sparse is to take at most of dense where it is estimated, and up to what estimate it is measured.
_FASTER, _UNCERTAIN = 0.9, 1.5
#: Outputs of blocks that a kernel reads as such; numbers that are held at most for each that is not 0; what
#: zeros are looked for in.
_HIGH, _FULL = 8, 1.5
_PATTERNS: tuple[Pattern, ...] = (
    *(Structured(1, *each) for each in GROUPS),
    *(Compressed(0, block) for block in BLOCKS if block[0] >= _HIGH),
    Compressed(0),
)
#: Why a weight stays dense that something else than products read.
_READ_BESIDES = "something else than products reads it"


@dataclass(frozen=True)
class SettleSparsity:
    """Weights of products that have many zeros become sparse where a kernel for `target` takes less time with
    them than the dense one; those that are sparse become plain where none does.

    Before:  %y = "dry.matmul"(%x, %w) : (tensor<8x64xf32>, tensor<96x64xf32>)
    After:   %y = "dry.matmul"(%x, %v) : (tensor<8x64xf32>, tensor<96x64xf32, #dry.sparse<..>>)

    - Of groups of inputs (1:4, 2:4, 4:8, 1:2), blocks, and lists of elements that which takes least. Time is
      what `timed` measures or, without, what is estimated (`sparse_costs`); of any number of rows the most.
    - A weight is held as the `element` that products of f32 are computed in. A turned one becomes [outputs,
      inputs].
    - Left alone are weights that something besides products reads, products in bytes (`in_bytes`), weights
      that the first pattern of `prunings` leaves as they are, and sparse ones in formats that were asked for
      by themselves (`quantize-weights`): it is only noted how they are held.
    - With `keep` a weight stays or becomes sparse wherever that is fewer bytes.
    - What was found, and why it is held so, is noted in the program.
    """

    target: CpuTarget
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
        for reader in readers_of(program, tables=True):
            readers.setdefault(reader.key, []).append(reader)
        for op in ops(block, "dry.weight"):
            encoding = encoding_of(op.operation.results[0].type)
            if isinstance(encoding, Sparse):
                self._settle_sparse(program, op, encoding)
        for key, group in readers.items():
            self._settle_plain(program, key, group)
        erase_dead(block)
        drop_unused(program)

    def _settle_plain(self, program: Program, key: str, readers: Sequence[Reader]) -> None:
        """Let products read a plain weight that has zeros without them, where that is faster."""
        array, names = program.weights[key], model_names(program, key)
        first = first_match((each for each, _ in self.prunings), names)
        left = first is not None and dict(self.prunings)[first] is None
        if left or holds_bytes(program, self.in_bytes, key) or not _has_many_zeros(array):
            return
        reader, products = readers[0], [each for each in readers if each.kind == "product"]
        matrix, kind = reader.matrix(array), reader.weight.type
        if len(products) < len(readers) or any(each.turned != reader.turned for each in readers):
            if products:
                program.zeros.append(_Found(matrix, array.nbytes, why=_READ_BESIDES).noted(key))
            return
        found = self._found(matrix, [_rows(each.op) for each in readers], str(kind.element_type), ())
        if found.best is None or not found.sparse:
            program.zeros.append(found.noted(key))
            return
        encoding = found.best.encoding
        with ir.InsertionPoint(reader.weight.owner), reader.op.operation.location:
            made = with_encoding(tensor_type(matrix.shape, kind.element_type), encoding)
            sparse = coded_weight(program, f"{key}.sparse", encode(matrix, encoding), made)
        for each in readers:
            with ir.InsertionPoint(each.op), each.op.operation.location:
                let_read(each, sparse)
        program.zeros.append(found.noted(str(weight_key(sparse))))

    def _settle_sparse(self, program: Program, op: Any, encoding: Sparse) -> None:
        """Let products read a sparse weight as is faster: decoded, as it is, or in another pattern."""
        value = op.operation.results[0]
        key, kind = str(weight_key(value)), value.type
        products = products_of(value)
        if kind.rank != 2 or not all(each.attributes["transpose_b"].value for each in products):
            return
        element, matrix = str(kind.element_type), encoding.decode(weight_parts(program, value), kind.shape)
        found = self._found(matrix, [_rows(each) for each in products], element, (encoding,))
        if found.best is None or is_asked(key) or (is_made(key) and encoding.values != Codes(element)):
            why = "its format is asked for" if products else "no product reads it"
            program.zeros.append(replace(found, sparse=bool(products), why=why).noted(key))
            return
        with ir.InsertionPoint(op), op.operation.location:
            if not found.sparse:
                made = read_decoded(program, op, to_element(matrix, element))
            elif found.best.encoding != encoding:
                own = with_encoding(kind, found.best.encoding)
                made = coded_weight(program, f"{key}.sparse", encode(matrix, found.best.encoding), own)
                value.replace_all_uses_with(made)
            else:
                made = value
        program.zeros.append(found.noted(str(weight_key(made))))

    def _found(self, matrix: Array, rows: Sequence[int], element: str, own: Sequence[Sparse]) -> "_Found":
        """How a weight [outputs, inputs] of the element, which is held in `own` if that is sparse, is best
        held for products of so many rows."""
        held = self.element if element == "f32" and self.element else element
        dense, best = Codes(held).bytes(matrix.shape), None
        given = [Sparse(each.pattern, Codes(held)) for each in own]
        # What holds many zeros is no pattern of these.
        most = _FULL * np.count_nonzero(matrix)
        others = fitting(matrix, _PATTERNS, Codes(held))
        others = [each for each in others if prod(each.pattern.kept(matrix.shape)) <= most]
        for encoding in [*given, *others]:
            cases = [SparseProduct(n, (matrix.shape[0], matrix.shape[1]), encoding, held) for n in set(rows)]
            known = [(time, each) for each in cases if (time := each.estimated(self.target)) is not None]
            if known and len(known) == len(cases):
                time, case = max(known, key=lambda each: each[0])
                best = min(best or (time, case), (time, case), key=self._rank)
        if best is None:
            return _Found(matrix, dense, why="no kernel reads its zeros")
        time, case = best
        measured = self.timed(case, matrix) if self.timed is not None and time < _UNCERTAIN else None
        joined = case.joined(self.target)
        assert isinstance(joined, Joined)
        time, limit = (time, _FASTER) if measured is None else (measured, 1.0)
        size, name = joined.bytes(matrix.shape), named(case.encoding, joined)
        faster, smaller = time < limit, self.keep and size < dense
        at = f"{case.rows} row{'s' * (case.rows > 1)}" if case.rows else "any number of rows"
        verb = "take" if measured is not None else "are estimated to take"
        why = f"{name} {verb} {time:.2f} of the time of dense at {at}"
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

    def noted(self, key: str) -> Zeros:
        """It in the program's words, for a weight that is stored under this key."""
        outputs, inputs = self.matrix.shape
        zeros = 1 - int(np.count_nonzero(self.matrix)) / self.matrix.size
        rows = 0 if self.best is None else self.best.rows
        held, size = (self.name, self.size) if self.sparse else ("dense", self.dense)
        return Zeros(
            key, outputs, inputs, zeros, held, rows, size, self.dense, self.time, self.measured, self.why
        )


def _rows(product: Any) -> int:
    """The rows of a product; 0 where they are not known."""
    rows = shape(product.operation.results[0])[:-1]
    return 0 if None in rows else prod(n or 0 for n in rows)


def _has_many_zeros(array: Array) -> bool:
    """Whether a weight is worth a look: by numbers drawn at random first, for most have no zeros at all."""
    flat = array.reshape(-1)
    if flat.size < _SMALL:
        return False
    drawn = flat[np.random.default_rng(0).integers(0, flat.size, _SAMPLE)]
    if np.count_nonzero(drawn) > (1 - _MANY / 2) * _SAMPLE:
        return False
    return bool(np.count_nonzero(flat) <= (1 - _MANY) * flat.size)
