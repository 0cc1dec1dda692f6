"""Sparse encodings: patterns hold what they say, to scipy and back, and spelled for MLIR."""

import numpy as np
import pytest
import torch
from scipy import sparse

from drystone.errors import UserError
from drystone.ir import formats
from drystone.ir.context import new_context
from drystone.ir.encoding import (
    Bitmap,
    Codes,
    Compressed,
    Coordinates,
    Diagonal,
    Pack,
    Pattern,
    Planes,
    Positions,
    Scale,
    Sparse,
    Structured,
    decode,
    encode,
)
from drystone.ir.sparse_tensors import (
    best_pattern,
    converted,
    from_scipy,
    from_torch,
    sparse_tensor_encoding,
    to_scipy,
    to_torch,
)
from drystone.mlir import ir

PLAIN = Codes("f32")
SHAPE = (24, 37)


def matrix(density: float, shape: tuple[int, ...] = SHAPE, seed: int = 5) -> np.ndarray:
    """Normal numbers, so many of them not 0."""
    random = np.random.default_rng(seed)
    return np.where(random.random(shape) < density, random.standard_normal(shape), 0).astype(np.float32)


PATTERNS: dict[str, Pattern] = {
    "csr": Compressed(0),
    "csc": Compressed(0, axis=1),
    "bsr": Compressed(0, (5, 4)),
    "bsc": Compressed(0, (4, 16), 1),
    "csr in strips": Compressed(0, strip=8),
    "bsc in strips": Compressed(0, (3, 2), 1, 4),
    "coo": Coordinates(0),
    "bitmap": Bitmap(0),
    "rows": Positions(0, 0),
}


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("density", [0.0, 0.03, 1.0])
def test_a_settled_pattern_holds_all_that_is_not_zero(name: str, density: float) -> None:
    array = matrix(density)
    encoding = Sparse(PATTERNS[name], PLAIN).settled(array)
    np.testing.assert_array_equal(decode(encode(array, encoding), encoding, SHAPE, "f32"), array)


def test_n_of_m_holds_the_largest_of_every_group() -> None:
    array = np.array([[1, -4, 3, 2, 0, 0, 0, 5, 7, -6]], np.float32)
    encoding = Sparse(Structured(1, 2, 4), PLAIN)
    parts = encode(array, encoding)
    held = np.array([[0, -4, 3, 0, 0, 0, 0, 5, 7, -6]], np.float32)
    np.testing.assert_array_equal(decode(parts, encoding, array.shape, "f32"), held)
    np.testing.assert_array_equal(parts["values"], [[-4, 3, 0, 5, 7, -6]])
    assert parts["index"].tolist() == [
        [0b1100_1001, 0b0100]
    ]  # places 1 2 0 3 0 1 of two bits, the first lowest


def test_bytes_are_those_of_the_formats() -> None:
    shape = (64, 256)
    assert Sparse(Structured(1, 2, 4), Codes("bf16")).bits(shape) == 0.5625 * 16
    assert Sparse(Structured(1, 2, 4), formats.int8_row()).bits(shape) == (0.5 * 8 + 0.5 * 2) + 32 / 256
    assert Sparse(Bitmap(1000), PLAIN).bytes(shape) == 64 * 256 // 8 + 4000
    assert Sparse(Compressed(7, (16, 64)), Codes("bf16")).bytes(shape) == 7 * (16 * 64 * 2 + 2) + 4 * 5


def test_values_may_have_any_format() -> None:
    """Half a step of a byte's scale is the most that is lost, and 0 stays 0."""
    array = matrix(0.2)
    for pattern in (*PATTERNS.values(), Structured(1, 3, 4)):
        encoding = Sparse(pattern, Codes("int8", Scale())).settled(array)
        back = decode(encode(array, encoding), encoding, SHAPE, "f64")
        kept = decode(
            encode(array, Sparse(encoding.pattern, PLAIN)), Sparse(encoding.pattern, PLAIN), SHAPE, "f64"
        )
        assert np.abs(back - kept).max() <= np.abs(array).max() / 127 / 2 + 1e-9
        assert not back[kept == 0].any()


def test_scales_of_rows_go_around_it() -> None:
    array = matrix(0.2) * (10.0 ** (np.arange(24) % 7))[:, None]
    inner = Sparse(Compressed(0), PLAIN).settled(array)
    encoding = Diagonal(Sparse(inner.pattern, Codes("int8", Scale())), 0, PLAIN)
    scales = np.abs(array).max(1).astype(np.float32)
    parts = encode(array, encoding, {"diagonal": 1 / scales})
    back = decode(parts, encoding, SHAPE, "f64")
    assert (np.abs(back - array).max(1) <= scales / 127 / 2 * 1.001).all()


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "coo", "dok"])
def test_matrices_of_scipy_come_and_go(kind: str) -> None:
    array = matrix(0.1, (24, 40))
    given = sparse.csr_array(array)
    given = given.tobsr((3, 4)) if kind == "bsr" else given.asformat(kind)
    parts, encoding = from_scipy(given)
    assert {n: p.shape for n, p in parts.items()} == {
        n: held for n, (held, _) in encoding.parts(array.shape).items()
    }
    np.testing.assert_array_equal(decode(parts, encoding, array.shape, "f32"), array)
    again = to_scipy(parts, encoding, array.shape)
    assert again.format == (kind if kind != "dok" else "csr")
    assert again.dtype == given.dtype
    np.testing.assert_array_equal(again.toarray(), array)


def test_what_scipy_lists_twice_is_added_up_and_zeros_stay_listed() -> None:
    given = sparse.coo_array(([1.0, 2.0, 0.0], ([0, 0, 1], [3, 3, 2])), shape=(2, 4))
    parts, encoding = from_scipy(given)
    assert encoding.pattern == Coordinates(2)
    np.testing.assert_array_equal(decode(parts, encoding, (2, 4), "f64"), [[0, 0, 0, 3], [0, 0, 0, 0]])


def test_a_matrix_of_complex_numbers_is_refused() -> None:
    with pytest.raises(UserError, match="a sparse matrix of complex128 with 2 axes"):
        from_scipy(sparse.csr_array(np.eye(3, dtype=np.complex128)))


@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize("target", PATTERNS)
def test_every_pattern_becomes_every_other(source: str, target: str) -> None:
    array = matrix(0.1)
    first = Sparse(PATTERNS[source], PLAIN).settled(array)
    parts, encoding = converted(encode(array, first), first, SHAPE, PATTERNS[target])
    np.testing.assert_array_equal(decode(parts, encoding, SHAPE, "f32"), array)
    np.testing.assert_array_equal(to_scipy(parts, encoding, SHAPE).toarray(), array)


def test_a_pattern_that_leaves_something_out_is_refused() -> None:
    array = np.ones((4, 8), np.float32)
    encoding = Sparse(Bitmap(32), PLAIN)
    with pytest.raises(UserError, match="leaves out elements"):
        converted(encode(array, encoding), encoding, array.shape, Structured(1, 2, 4))


def test_the_best_pattern_is_the_one_of_the_fewest_bytes() -> None:
    random = np.random.default_rng(3)
    blocks = np.kron(random.random((8, 16)) < 0.2, np.ones((16, 16))) * random.standard_normal((128, 256))
    found = best_pattern(blocks, PLAIN)
    assert found is not None and isinstance(found.pattern, Compressed) and min(found.pattern.block) >= 16
    halves = Sparse(Structured(1, 2, 4), PLAIN)
    dense = random.standard_normal((128, 256))
    structured = decode(encode(dense, halves), halves, dense.shape, "f32")
    assert best_pattern(structured, PLAIN) == halves
    assert best_pattern(dense, PLAIN) is None
    few = best_pattern(matrix(0.01, (128, 256)), PLAIN)
    assert few is not None and isinstance(few.pattern, Compressed) and few.pattern.block == (1, 1)
    some = best_pattern(matrix(0.5, (128, 256)), PLAIN)
    assert some is not None and isinstance(some.pattern, Bitmap)
    dense[:, random.permutation(256)[:200]] = 0
    assert best_pattern(dense, PLAIN) == Sparse(Positions(1, 56), PLAIN)


@pytest.mark.parametrize("pattern", [*PATTERNS.values(), Structured(0, 2, 4), Structured(1, 1, 4)])
def test_mlir_has_the_pattern(pattern: Pattern) -> None:
    spelled = sparse_tensor_encoding(pattern, 2, index=16)
    strips = isinstance(pattern, Compressed) and pattern.strip > 0
    assert (spelled is None) == (isinstance(pattern, Bitmap) or strips)
    with new_context(), ir.Location.unknown():
        if spelled is not None:
            kind = ir.Type.parse(f"tensor<24x40xf32, {spelled}>")
            assert ir.RankedTensorType(kind).encoding is not None


def test_problems_are_said() -> None:
    assert list(Sparse(Structured(2, 2, 4), PLAIN).problems((4, 4))) == ["groups along axis 2 of rank 2"]
    assert list(Sparse(Structured(1, 5, 4), PLAIN).problems((4, 4))) == ["5 of every 4 elements"]
    assert list(Sparse(Compressed(5, (2, 2)), PLAIN).problems((4, 4))) == ["5 blocks [2, 2] of 4"]
    assert list(Sparse(Positions(1, 5), PLAIN).problems((4, 4))) == ["5 positions along an axis of 4"]
    assert (
        next(Sparse(Bitmap(2), Codes("int4", None, Planes(Pack((3,), (2,))))).problems((4, 4)))[:8]
        == "values: "
    )


LAYOUTS = {
    "csr": lambda dense: dense.to_sparse_csr(),
    "csc": lambda dense: dense.to_sparse_csc(),
    "coo": lambda dense: dense.to_sparse_coo(),
    "bsr": lambda dense: dense.to_sparse_bsr((4, 2)),
    "bsc": lambda dense: dense.to_sparse_bsc((2, 4)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_from_torch_and_back(layout: str) -> None:
    dense = torch.from_numpy(matrix(0.2, (24, 36)))
    given = LAYOUTS[layout](dense)
    parts, encoding = from_torch(given, "f32")
    np.testing.assert_array_equal(decode(parts, encoding, dense.shape, "f32"), dense)
    back = to_torch(parts, encoding, tuple(dense.shape))
    assert back.layout == (given.layout if layout != "bsc" else torch.sparse_csr)
    assert torch.equal(back.to_dense(), dense)


def test_short_elements_and_those_listed_twice_from_torch() -> None:
    dense = torch.from_numpy(matrix(0.2)).to(torch.bfloat16)
    parts, encoding = from_torch(dense.to_sparse_csr(), "bf16")
    np.testing.assert_array_equal(decode(parts, encoding, SHAPE, "f32"), dense.float())
    twice = torch.sparse_coo_tensor([[1, 0, 1], [2, 3, 2]], [1.0, 2.0, 4.0], (2, 4))
    parts, encoding = from_torch(twice, "f32")
    np.testing.assert_array_equal(decode(parts, encoding, (2, 4), "f32"), [[0, 0, 0, 2], [0, 0, 5, 0]])
    with pytest.raises(UserError, match="dense dimensions"):
        from_torch(torch.ones(4, 3, 2).to_sparse_csr(dense_dim=1), "f32")
