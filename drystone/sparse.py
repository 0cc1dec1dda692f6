"""Products of two sparse matrices."""

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from drystone.codegen.cpu.alone import Alone, alone
from drystone.codegen.families.matmul.spgemm import STRIP, counting, multiplying
from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.targets import cpu

__all__ = ["matmul"]

#: Elements of numbers, and what the kernels call them.
_ELEMENTS = {"float32": "f32", "float64": "f64"}


def matmul(a: Any, b: Any, *, threads: int = 0) -> Any:
    """The product of two sparse matrices, a [m, k] and b [k, n], as CSR, the columns of each row in order.

    a, b: matrices of scipy.sparse, or sparse tensors of torch, of float32 or float64; if the two differ the
    result is of float64. It is what b is: torch's where that is torch's, else an array of scipy.sparse, which
    leaves sums of 0 out, as these do; torch lists them. threads: 0 for as many as there are cores.

    Rows of b are added up in a row with a place for every column (Gustavson, ACM TOMS 4(3), 1978): no hash
    table, as SMASH has one (Kanellopoulos et al. 2019), for a strip of 32768 columns stays in a second cache,
    and what is read from it is in order; a few columns are listed and sorted. Wider products are formed strip
    by strip.

    Raises UserError for other elements, shapes that do not fit, and results of 2^31 elements and more.
    """
    if find_spec("scipy") is None:
        raise UserError("products of sparse matrices need scipy", hint="pip install drystone[sparse]")
    torch = type(b).__module__.startswith("torch")
    left, right = _csr(a, "a"), _csr(b, "b")
    if left.shape[1] != right.shape[0]:
        raise UserError(
            f"a sparse matrix {list(left.shape)} times one {list(right.shape)}",
            hint="a has as many columns as b has rows",
        )
    dtype = np.result_type(left.dtype, right.dtype)
    starts, columns, values, zeros = _product(
        left.astype(dtype, copy=False), right.astype(dtype, copy=False), threads
    )
    shape = (left.shape[0], right.shape[1])
    if torch:
        import torch as library

        parts = [
            library.from_numpy(each) for each in (starts.astype(np.int64), columns.astype(np.int64), values)
        ]
        return library.sparse_csr_tensor(*parts, size=shape, check_invariants=False)
    from scipy import sparse

    made = sparse.csr_array((values, columns, starts), shape=shape)
    made.has_canonical_format = True
    if zeros:
        made.eliminate_zeros()
    return made


def _csr(matrix: Any, name: str) -> Any:
    """A matrix as scipy's CSR, of which no row lists a column twice."""
    from scipy import sparse

    if type(matrix).__module__.startswith("torch"):
        held = matrix.detach().to_sparse_csr()
        parts = (held.values(), held.col_indices(), held.crow_indices())
        matrix = sparse.csr_array(tuple(each.numpy() for each in parts), shape=tuple(held.shape))
    if not sparse.issparse(matrix) or matrix.ndim != 2 or str(matrix.dtype) not in _ELEMENTS:
        what = f"{matrix.dtype} {list(matrix.shape)}" if hasattr(matrix, "dtype") else type(matrix).__name__
        raise UserError(
            f"{name} is {what}",
            hint="give a sparse matrix of scipy or torch, of float32 or float64",
        )
    held = matrix.tocsr()
    if not held.has_canonical_format:
        held = held.copy()
        held.sum_duplicates()
    if held.nnz >= 2**31:
        raise UserError(f"{name} has {held.nnz} elements", hint="matrices of up to 2^31 can be multiplied")
    return held


@cache
def _counting() -> Alone:
    target = cpu.detect()
    return alone(counting(target), target)


@cache
def _multiplying(element: str) -> Alone:
    target = cpu.detect()
    return alone(multiplying(element, target), target)


def _product(a: Any, b: Any, threads: int) -> tuple[Array, Array, Array, bool]:
    """Starts, columns and numbers of a product, and whether some of those are 0."""
    (m, _), (_, n) = a.shape, b.shape
    strips = max(1, -(-n // STRIP))
    lists = [_ints(a.indptr), _ints(a.indices), *_in_strips(b, strips)]
    *lists, numbers = lists
    counts = np.zeros((m, strips), np.int32)
    _counting()([*lists, counts], threads=threads)
    ends = np.cumsum(counts.ravel(), dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    if total >= 2**31:
        raise UserError(f"the product has {total} elements", hint="multiply parts of the rows of a")
    first = (ends - counts.ravel()).reshape(m, strips)
    columns, values = np.empty(total, np.int32), np.empty(total, a.dtype)
    element = _ELEMENTS[str(a.dtype)]
    zeros = np.zeros((m, strips), np.int32)
    given = [*lists, counts, first, np.ascontiguousarray(a.data), numbers, columns, values, zeros]
    _multiplying(element)(given, [n], threads=threads)
    starts = np.append(first[:, 0] if m else np.zeros(0, np.int64), total).astype(np.int32)
    return starts, columns, values, bool(zeros.any())


def _in_strips(b: Any, strips: int) -> list[Array]:
    """Starts, columns counted from their strip's first, and numbers of b's rows, strip after strip."""
    if strips == 1:
        return [_ints(b.indptr), _ints(b.indices), np.ascontiguousarray(b.data)]
    strip, within = np.divmod(b.indices, STRIP)
    rows = np.repeat(np.arange(b.shape[0]), np.diff(b.indptr))
    lists = strip.astype(np.int64) * b.shape[0] + rows
    order = np.argsort(lists, kind="stable")
    starts = np.searchsorted(lists[order], np.arange(strips * b.shape[0] + 1))
    return [_ints(starts), _ints(within[order]), np.ascontiguousarray(b.data[order])]


def _ints(array: Array) -> Array:
    return np.ascontiguousarray(array, np.int32)
