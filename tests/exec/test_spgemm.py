"""Products of two sparse matrices against scipy's, and the statements they are written with."""

import numpy as np
import pytest
import torch
from scipy import sparse as scipy_sparse

from drystone import UserError, sparse
from drystone.codegen import interpret
from drystone.codegen.cpu.alone import alone
from drystone.codegen.families.matmul.spgemm import STRIP, counting, multiplying
from drystone.codegen.tile import Index, Tensor, TileBuilder, tile_program
from drystone.targets import registry


def matrix(shape: tuple[int, int], density: float, dtype: type = np.float32, seed: int = 0) -> object:
    random = np.random.default_rng(seed + shape[0])
    made = scipy_sparse.random_array(shape, density=density, format="csr", rng=random, dtype=dtype)
    made.data = random.standard_normal(made.nnz).astype(dtype)
    return made


def check(found: object, a: object, b: object) -> None:
    """The same places as scipy's, in order, and the same numbers up to rounding."""
    expected = a @ b
    expected.sort_indices()
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.indices, expected.indices)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    exact = abs(a).astype(np.float64) @ abs(b).astype(np.float64)
    exact.sort_indices()
    np.testing.assert_array_less(
        np.abs(found.data - expected.data), 40 * np.finfo(found.dtype).eps * exact.data + 1e-300
    )


SHAPES = [
    (1, 1, 1, 1.0),
    (37, 20, 50, 0.2),
    (300, 90, 70, 0.02),
    (200, 150, 3000, 0.05),
    (150, 300, 4000, 0.01),
    (150, 300, 4000, 0.003),
    (9, 8, 7, 0.0),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_any_shapes(shape: tuple[int, int, int, float], dtype: type, threads: int) -> None:
    """Rows of many elements, of few, and of fewer, whose columns are listed; empty ones too."""
    m, k, n, density = shape
    a, b = matrix((m, k), density, dtype), matrix((k, n), density, dtype, 1)
    a.data[a.indptr[m // 2] : a.indptr[m // 2 + 1]] = 0
    check(sparse.matmul(a, b, threads=threads), a, b)


@pytest.mark.parametrize("density", [0.0001, 0.01])
def test_strips_of_columns(density: float) -> None:
    a, b = matrix((60, 50), 0.2), matrix((50, 2 * STRIP + 77), density)
    check(sparse.matmul(a, b), a, b)


def test_no_rows_and_no_columns() -> None:
    for m, k, n in ((0, 4, 5), (4, 0, 5), (4, 5, 0)):
        found = sparse.matmul(matrix((m, k), 0.5), matrix((k, n), 0.5))
        assert found.shape == (m, n) and found.nnz == 0


def test_sums_of_zero_are_left_out_but_by_torch_and_numbers_need_not_be_finite() -> None:
    a = scipy_sparse.csr_array(np.array([[1, -1], [0, 2], [np.inf, 1]], np.float32))
    b = scipy_sparse.csr_array(np.array([[3, 1], [3, np.nan]], np.float32))
    found = sparse.matmul(a, b)
    np.testing.assert_array_equal(found.indices, [1, 0, 1, 0, 1])
    np.testing.assert_array_equal(found.data, [np.nan, 6, np.nan, np.inf, np.nan])
    dense = torch.tensor([[1.0, -1], [0, 2]]).to_sparse_csr()
    listed = sparse.matmul(dense, torch.tensor([[3.0, 1], [3, 1]]).to_sparse_csr())
    assert listed.values().tolist() == [0, 0, 6, 2]


def test_elements_that_are_listed_twice_and_other_forms() -> None:
    a = scipy_sparse.coo_array((np.ones(3, np.float32), ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    b = scipy_sparse.csr_array(
        (np.array([1, 2, 4], np.float64), np.array([1, 0, 1]), np.array([0, 3, 3])), shape=(2, 2)
    )
    found = sparse.matmul(a, b)
    np.testing.assert_array_equal(found.toarray(), a.toarray() @ b.toarray())
    assert found.dtype == np.float64


def test_tensors_of_torch() -> None:
    torch.manual_seed(0)
    a, b = (torch.randn(n, 20) * (torch.rand(n, 20) < 0.2) for n in (30, 20))
    found = sparse.matmul(a.to_sparse_csr(), b.to_sparse_coo())
    assert found.layout == torch.sparse_csr
    torch.testing.assert_close(found.to_dense(), a @ b)


def test_what_is_refused() -> None:
    plain = matrix((4, 5), 0.5)
    with pytest.raises(UserError, match=r"\[4, 5\] times one \[4, 5\]"):
        sparse.matmul(plain, plain)
    with pytest.raises(UserError, match="a is int64"):
        sparse.matmul(plain.astype(np.int64), plain)
    with pytest.raises(UserError, match="b is float32"):
        sparse.matmul(plain, np.ones((5, 2), np.float32))


@pytest.mark.parametrize("machine", ["cpu:avx2", "cpu"])
def test_the_meaning_of_the_programs(machine: str) -> None:
    """Counts, and the elements where they are asked for, as the interpreter and the kernels give them."""
    target = registry.resolve(machine)
    a, b = matrix((5, 6), 0.4), matrix((6, 700), 0.03)
    lists = [each.astype(np.int32) for each in (a.indptr, a.indices, b.indptr, b.indices)]
    expected = a @ b
    expected.sort_indices()
    counts, first = np.diff(expected.indptr).reshape(-1, 1), expected.indptr[:-1].reshape(-1, 1)
    programs = counting(target), multiplying("f32", target)
    for count, multiply in (
        tuple((lambda arrays, scalars=(), p=p: interpret.run(p, arrays, scalars)) for p in programs),
        tuple(alone(p, target) for p in programs),
    ):
        found = np.full((5, 1), 77, np.int32)
        count([*lists, found])
        np.testing.assert_array_equal(found, counts)
        columns, values = np.full(expected.nnz, 77, np.int32), np.full(expected.nnz, 77, np.float32)
        zeros = np.zeros((5, 1), np.int32)
        multiply([*lists, found, first.astype(np.int64), a.data, b.data, columns, values, zeros], [700])
        assert not zeros.any()
        np.testing.assert_array_equal(columns, expected.indices)
        np.testing.assert_allclose(values, expected.data, rtol=1e-5)


@pytest.mark.parametrize("machine", ["cpu:avx2", "cpu"])
@pytest.mark.parametrize("element", ["f32", "f64", "i32"])
def test_elements_with_positions_of_their_own(machine: str, element: str) -> None:
    """Scattered and compressed; what is left out stays as it was."""
    target = registry.resolve(machine)
    n = target.lanes(32)
    x, where, keep = (
        Tensor(name, dtype, (n,)) for name, dtype in zip("xwk", (element, "i32", "i32"), strict=True)
    )
    scattered, compressed = Tensor("s", element, (2 * n,)), Tensor("c", element, (None,))

    def body(t: TileBuilder) -> None:
        def step(_: Index) -> None:
            value, at, kept = (t.reshape(t.load(each, [0], [n]), (1, n)) for each in (x, where, keep))
            chosen = t.apply("arith.cmpi", kept, t.full(0, (1, 1), "i32"), predicate="ne", dtype="i1")
            t.scatter(scattered, [at], value, chosen)
            t.compress(compressed, 3, value, chosen)

        t.grid([(1, 1)], step)

    program = tile_program("placed", [x, where, keep, scattered, compressed], body)
    random = np.random.default_rng(3)
    kind = {"f32": np.float32, "f64": np.float64, "i32": np.int32}[element]
    given = [np.arange(n).astype(kind), random.permutation(2 * n)[:n].astype(np.int32)]
    chosen = (random.random(n) < 0.6).astype(np.int32)
    results = []
    for run in (lambda arrays: interpret.run(program, arrays), alone(program, target)):
        arrays = [*given, chosen, np.full(2 * n, 77, kind), np.full(int(chosen.sum()) + 5, 77, kind)]
        run(arrays)
        results.append(arrays[3:])
    expected = np.full(2 * n, 77, kind)
    expected[given[1][chosen == 1]] = given[0][chosen == 1]
    for one, other in results:
        np.testing.assert_array_equal(one, expected)
        np.testing.assert_array_equal(other, [77, 77, 77, *given[0][chosen == 1], 77, 77])
