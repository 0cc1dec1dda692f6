"""Sparse weights of products that no kernel of drystone's own multiplies (those of f64), in lists that MLIR's
own sparsification reads."""

from dataclasses import dataclass
from math import prod
from typing import Any

from drystone.ir.encoded import encoding_of, with_encoding
from drystone.ir.encoding import Codes, Compressed, Flat, Joined, Sparse
from drystone.ir.program import Program
from drystone.mlir import ir
from drystone.passes.layout.lists import Lists, matrix_of
from drystone.passes.rewriting import uses
from drystone.passes.weights import stored_weight, weight_key, weight_parts

#: The operation that upstream passes make loops of, and its factors.
_PRODUCT, _FACTORS = "linalg.matmul", (0, 1)
#: The part of a matrix that is held, up to which its lists take less time than all of it.
_WORTH = 0.5


@dataclass(frozen=True)
class UpstreamLists(Lists):
    """Lists of the elements of rows, or of columns, of any plain element."""

    def joined(self, encoding: Sparse | Flat) -> Joined | str:
        """One row after the other."""
        values, pattern = matrix_of(encoding).values, matrix_of(encoding).pattern
        count = prod(pattern.kept(self.shape))
        if not isinstance(values, Codes) or values.coded:
            return "codes are decoded"
        if count > _WORTH * prod(self.shape):
            return f"lists pay for up to {int(_WORTH * prod(self.shape))} elements, and this has {count}"
        return Joined(Sparse(Compressed(count, axis=self.axis), Codes(values.element)))


def read_upstream(program: Program, weight: Any, reads: list[tuple[Any, int]]) -> None:
    """Let those of a weight's uses that are products which upstream passes compile read it, or it turned, in
    lists, if it is sparse.

    Before:  %w = "dry.weight"() : tensor<64x96xf64, #dry.sparse<..>> ; linalg.matmul ins(%w, %x)
    After:   %w = "dry.weight"() : tensor<64x96xf64, #dry.joined<#dry.sparse<#dry.compressed<..>, "f64">>>
    """
    encoding, shape = encoding_of(weight.type), tuple(weight.type.shape)
    if not isinstance(encoding, Sparse) or len(shape) != 2:
        return
    lists = UpstreamLists((shape[0], shape[1]), axis=0, width=1)
    joined = lists.joined(encoding)
    direct = [use for use in reads if _is_factor(*use)]
    turning = [user.results[0] for user, _ in reads if user.name == "linalg.transpose"]
    turned = [use for each in turning for use in uses(each) if _is_factor(*use)]
    if isinstance(joined, str) or not direct + turned:
        return
    array = lists.join(weight_parts(program, weight), encoding)
    key = program.weights.add(f"{weight_key(weight)}.lists", array)
    if direct:
        _read(weight, key, with_encoding(weight.type, joined), direct)
    if turned:  # columns of the turned matrix are the rows of this one
        columns = UpstreamLists((shape[1], shape[0]), axis=1, width=1).joined(encoding)
        assert isinstance(columns, Joined)
        plain = ir.RankedTensorType.get(shape[::-1], weight.type.element_type)
        _read(weight, key, with_encoding(plain, columns), turned)


def _is_factor(user: Any, number: int) -> bool:
    return user.name == _PRODUCT and number in _FACTORS


def _read(weight: Any, key: str, kind: Any, reads: list[tuple[Any, int]]) -> None:
    with ir.InsertionPoint(weight.owner), weight.owner.location:
        made = stored_weight(key, kind)
    for user, number in reads:
        user.operands[number] = made
