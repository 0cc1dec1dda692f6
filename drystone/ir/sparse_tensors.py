"""Sparse matrices of scipy and torch, one pattern from another, the best for zeros, how MLIR spells one."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir.elements import numpy_dtype, widen
from drystone.ir.encoding import (
    Bitmap,
    Codes,
    Compressed,
    Coordinates,
    Parts,
    Pattern,
    Positions,
    Sparse,
    Structured,
    encode,
)
from drystone.ir.encoding.parts import take

#: Elements of the IR that values of numpy are held as.
_ELEMENTS = {
    "float64": "f64",
    "float32": "f32",
    "float16": "f16",
    "int8": "i8",
    "int32": "i32",
    "int64": "i64",
}
#: Patterns that zeros are tried for: N:M along the last axis, and blocks that units of processors take.
GROUPS = ((1, 4), (2, 4), (4, 8), (1, 2))
BLOCKS = ((4, 4), (8, 8), (16, 16), (32, 32), (16, 64), (1, 16), (16, 1))


def from_scipy(matrix: Any) -> tuple[Parts, Sparse]:
    """The parts and the encoding of a matrix of scipy.sparse [rows, columns]: CSR, CSC, BSR, COO; others
    become CSR. Elements that it lists are held, 0 or not; those listed twice are added up. Raises UserError
    for elements that the IR has none for."""
    element = _ELEMENTS.get(str(matrix.dtype))
    if element is None or matrix.ndim != 2:
        raise UserError(
            f"a sparse matrix of {matrix.dtype} with {matrix.ndim} axes",
            hint=f"matrices of {', '.join(_ELEMENTS)} with two axes can be held",
        )
    kind = matrix.format if matrix.format in ("csr", "csc", "bsr", "coo") else "csr"
    held = matrix.asformat(kind).copy()
    held.sum_duplicates()
    if kind == "coo":
        order = np.lexsort((held.col, held.row))
        pattern: Pattern = Coordinates(len(held.data))
        where = {"index": np.array([held.row[order], held.col[order]])}
        return _declared(where, held.data[order], pattern, element, matrix.shape)
    if kind != "bsr":
        held.sort_indices()
    block = tuple(map(int, held.blocksize)) if kind == "bsr" else (1, 1)
    pattern = Compressed(len(held.indices), (block[0], block[1]), 1 if kind == "csc" else 0)
    return _declared(
        {"index": held.indices, "starts": held.indptr}, held.data, pattern, element, matrix.shape
    )


def _declared(
    where: Parts, values: Array, pattern: Pattern, element: str, shape: Sequence[int]
) -> tuple[Parts, Sparse]:
    """The parts, in the shapes and elements that the encoding says, and that."""
    encoding = Sparse(pattern, Codes(element))
    declared, parts = encoding.parts(shape), where | {"values": values}
    return {
        name: np.ascontiguousarray(parts[name], numpy_dtype(held)).reshape(extents)
        for name, (extents, held) in declared.items()
    }, encoding


def from_torch(tensor: Any, element: str) -> tuple[Parts, Sparse]:
    """The parts and the encoding of a sparse matrix of torch [rows, columns], of CSR, CSC, BSR, BSC or COO,
    whose numbers are elements of the IR. COO may have any number of axes. Elements that it lists are held, 0
    or not; those listed twice are added up. Raises UserError for batches of matrices, and for elements that
    are themselves tensors (dense dimensions)."""
    shape, tensor = tuple(map(int, tensor.shape)), tensor.detach().cpu()
    kind = str(tensor.layout).removeprefix("torch.sparse_")
    if tensor.dense_dim() or (kind != "coo" and len(shape) != 2):
        raise UserError(
            f"a sparse tensor {list(shape)} of torch with {tensor.dense_dim()} dense dimensions",
            hint="matrices of elements, or of blocks of them, can be held",
        )
    if kind == "coo":
        summed = tensor.coalesce()
        index, held = summed.indices().numpy(), summed.values()
        return _declared({"index": index}, _numbers(held), Coordinates(held.shape[0]), element, shape)
    axis = 0 if kind in ("csr", "bsr") else 1
    starts, index = (
        (tensor.crow_indices(), tensor.col_indices())
        if axis == 0
        else (tensor.ccol_indices(), tensor.row_indices())
    )
    values = _numbers(tensor.values())
    block = (values.shape[1], values.shape[2]) if kind in ("bsr", "bsc") else (1, 1)
    where = {"index": index.numpy(), "starts": starts.numpy()}
    return _declared(where, values, Compressed(len(values), block, axis), element, shape)


def _numbers(values: Any) -> Array:
    """A dense tensor of torch as numpy has it: numbers of 16 bits that it has none for as their bits."""
    import torch

    plain = values.contiguous()
    array: Array = plain.view(torch.uint16).numpy() if plain.dtype == torch.bfloat16 else plain.numpy()
    return array


def to_torch(parts: Parts, encoding: Sparse, shape: Sequence[int]) -> Any:
    """The sparse matrix of torch that one [rows, columns] is: CSR, CSC, BSR or COO, by its pattern; of others
    CSR. Values are decoded."""
    import torch

    held = to_scipy(parts, encoding, shape)
    values = torch.from_numpy(np.ascontiguousarray(held.data))
    size = tuple(shape)
    if held.format == "coo":
        return torch.sparse_coo_tensor(np.array([held.row, held.col]), values, size)
    made = {
        "csr": torch.sparse_csr_tensor,
        "csc": torch.sparse_csc_tensor,
        "bsr": torch.sparse_bsr_tensor,
    }[held.format]
    starts, index = (torch.from_numpy(each.astype(np.int64)) for each in (held.indptr, held.indices))
    return made(starts, index, values, size)


def to_scipy(parts: Parts, encoding: Sparse, shape: Sequence[int]) -> Any:
    """The matrix of scipy.sparse that a sparse matrix [rows, columns] is: CSR, CSC, BSR or COO, by its
    pattern; of others CSR. Values are decoded."""
    from scipy import sparse

    pattern = encoding.pattern
    values = encoding.values.decode(take("values", parts), pattern.kept(shape))
    plain = isinstance(encoding.values, Codes) and not encoding.values.coded
    values = values.astype(widen(parts["values"]).dtype) if plain else values.astype(np.float32)
    if isinstance(pattern, Compressed) and not pattern.strip:
        listed = (values, parts["index"].astype(np.int32), parts["starts"])
        if pattern.block != (1, 1):
            if pattern.axis == 0 and not any(n % b for n, b in zip(shape, pattern.block, strict=True)):
                return sparse.bsr_array(listed, shape=tuple(shape), blocksize=pattern.block)
        else:
            return (sparse.csr_array if pattern.axis == 0 else sparse.csc_array)(listed, shape=tuple(shape))
    places = pattern.places(parts, shape)
    inside = places >= 0
    row, column = np.divmod(places[inside], shape[1])
    found = sparse.coo_array((values[inside], (row, column)), shape=tuple(shape))
    return found if isinstance(pattern, Coordinates) else found.tocsr()


def converted(parts: Parts, encoding: Sparse, shape: Sequence[int], pattern: Pattern) -> tuple[Parts, Sparse]:
    """The same tensor in another pattern, which becomes as large as it needs to be for all elements that are
    not 0. Raises UserError where it cannot hold them."""
    numbers = encoding.decode(parts, shape)
    found = Sparse(pattern.settled(numbers), encoding.values)
    made = encode(numbers, found)
    if not np.array_equal(found.decode(made, shape) != 0, numbers != 0):
        raise UserError(
            f"{found.pattern} leaves out elements of a sparse tensor {list(shape)} that are not 0",
            hint="prune it to the pattern first, or take one that holds any number of them",
        )
    return made, found


def best_pattern(numbers: Array, values: Codes) -> Sparse | None:
    """The encoding, of some known ones, that holds all that is not 0 of a tensor in the fewest bytes, of
    which it takes fewer than the plain `values` would; of those that take as many the most regular. None
    where none does."""
    shape = numbers.shape
    if numbers.size == 0 or len(shape) < 2:
        return None
    given: list[Pattern] = [Structured(axis, n, m) for n, m in GROUPS for axis in (len(shape) - 1, 0)]
    given += [Positions(axis, 0) for axis in range(len(shape))]
    given += [Compressed(0, block) for block in BLOCKS]
    given += [Compressed(0), Compressed(0, axis=1), Bitmap(0)]
    best = min(fitting(numbers, given, values), key=lambda each: each.bytes(shape))
    return best if best.bytes(shape) < values.bytes(shape) else None


def fitting(numbers: Array, patterns: Iterable[Pattern], values: Codes) -> list[Sparse]:
    """The encodings, in order, of those of some patterns that hold all that is not 0 of a tensor; blocks are
    no larger than it."""
    found, whole = [], numbers != 0
    for pattern in patterns:
        if isinstance(pattern, Compressed) and any(
            n < b for n, b in zip(numbers.shape, pattern.block, strict=False)
        ):
            continue
        settled = pattern.settled(whole)
        if not isinstance(settled, Structured) or _fits(settled, whole):
            found.append(Sparse(settled, values))
    return found


def _fits(pattern: Structured, numbers: Array) -> bool:
    """Whether no group has more elements that are not 0 than are held."""
    turned = np.moveaxis(numbers != 0, pattern.axis, -1)
    turned = np.pad(turned, [*[(0, 0)] * (turned.ndim - 1), (0, -turned.shape[-1] % pattern.of)])
    counts = turned.reshape(-1, pattern.of).sum(1)
    return bool(counts.max(initial=0) <= pattern.kept_of)


def sparse_tensor_encoding(pattern: Pattern, rank: int, index: int = 0) -> str | None:
    """The attribute of MLIR's dialect `sparse_tensor` that spells a pattern of a tensor of a rank; None where
    it has none (bitmaps; blocks of more than two axes). index: bits of an index (0: those of a machine's)."""
    dims = [f"d{d}" for d in range(rank)]
    bits = ""
    match pattern:
        case Structured():
            own = dims[pattern.axis]
            levels = [f"{d} floordiv {pattern.of} : dense" if d == own else f"{d} : dense" for d in dims]
            levels.append(f"{own} mod {pattern.of} : structured[{pattern.kept_of}, {pattern.of}]")
        case Compressed(strip=0) if rank == 2:
            order = dims if pattern.axis == 0 else dims[::-1]
            if pattern.block == (1, 1):
                levels = [f"{order[0]} : dense", f"{order[1]} : compressed"]
            else:
                size = dict(zip(dims, pattern.block, strict=True))
                levels = [f"{order[0]} floordiv {size[order[0]]} : dense"]
                levels += [f"{order[1]} floordiv {size[order[1]]} : compressed"]
                levels += [f"{d} mod {size[d]} : dense" for d in dims]
            bits = ", posWidth = 32"
        case Coordinates() if rank:
            others = [f"{d} : singleton(nonunique, soa)" for d in dims[1:-1]]
            others += [f"{d} : singleton(soa)" for d in dims[1:][-1:]]
            levels = [f"{dims[0]} : compressed{'(nonunique)' if rank > 1 else ''}", *others]
        case Positions():
            order = [dims[pattern.axis], *(d for d in dims if d != dims[pattern.axis])]
            levels = [f"{order[0]} : compressed", *(f"{d} : dense" for d in order[1:])]
        case _:
            return None
    bits += f", crdWidth = {index}" if index else ""
    return f"#sparse_tensor.encoding<{{ map = ({', '.join(dims)}) -> ({', '.join(levels)}){bits} }}>"
