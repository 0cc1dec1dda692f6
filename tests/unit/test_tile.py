"""The tile vocabulary: what is recorded, how it prints, what it refuses."""

from collections.abc import Callable

import numpy as np
import pytest

from drystone.codegen import interpret
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index, tile_program
from tests.exec.kernels import compiled

A, B, C = (Tensor(name, "f32", shape) for name, shape in (("a", (None, 8)), ("b", (8, 4)), ("c", (None, 4))))


def product(t: TileBuilder) -> None:
    """c = a b"""

    def step(i: Index) -> None:
        def products(k: Index, acc: Tile) -> Tile:
            return t.dot(acc, t.load(A, [i, k], (2, 4)), t.load(B, [k, 0], (4, 4)))

        (acc,) = t.loop(8, 4, products, [t.full(0.0, (2, 4), "f32")])
        t.store(C, [i, 0], acc)

    t.same(A.dim(0), C.dim(0))
    t.grid([(C.dim(0), 2)], step)


def test_a_program_prints() -> None:
    assert str(tile_program("product", [A, B, C], product)) == (
        "product(a: ?x8 f32, b: 8x4 f32, c: ?x4 f32)\n"
        "  same dim(a, 0) = dim(c, 0)\n"
        "  grid i0 to dim(c, 0) step 2\n"
        "    %0 = full 0.0 (2, 4) f32\n"
        "    %5 = loop i1 = 0 to 8 step 4 (%1 = %0)\n"
        "      %2 = load a[i0:+2, i1:+4]\n"
        "      %3 = load b[i1:+4, 0:+4]\n"
        "      %4 = dot %1 + %2 @ %3\n"
        "      yield %4\n"
        "    store c[i0:+2, 0:+4], %5\n"
    )


def test_a_program_runs_to_the_edge() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((5, 8)).astype("f"), rng.standard_normal((8, 4)).astype("f")
    c = np.zeros((5, 4), "f")
    interpret.run(tile_program("product", [A, B, C], product), [a, b, c])
    np.testing.assert_allclose(c, a @ b, rtol=1e-5, atol=1e-5)


def test_arrays_that_do_not_fit_are_refused() -> None:
    program = tile_program("product", [A, B, C], product)
    with pytest.raises(ValueError, match="b: 8x4 f32 called with float32"):
        interpret.run(program, [np.zeros((5, 8), "f"), np.zeros((9, 4), "f"), np.zeros((5, 4), "f")])
    with pytest.raises(ValueError, match="2 arrays"):
        interpret.run(program, [np.zeros((5, 8), "f"), np.zeros((8, 4), "f")])


def test_scratch_starts_as_garbage_that_shows() -> None:
    out = Tensor("a0", "f32", (3,))

    def body(t: TileBuilder) -> None:
        kept = t.scratch((3,), "f32")
        t.grid([(1, 1)], lambda i: t.store(out, [0], t.load(kept, [0], (3,))))

    result = np.zeros(3, "f")
    interpret.run(tile_program("garbage", [out], body), [result])
    assert np.isnan(result).all()


def test_what_lies_outside_is_filled_and_not_written() -> None:
    source, out = Tensor("a0", "i32", (4,)), Tensor("a1", "i32", (4,))

    def body(t: TileBuilder) -> None:
        t.grid([(1, 1)], lambda i: t.store(out, [-1], t.load(source, [-2], (6,), fill=7)))

    result = np.zeros(4, np.int32)
    interpret.run(tile_program("edges", [source, out], body), [np.arange(1, 5, dtype=np.int32), result])
    assert result.tolist() == [7, 1, 2, 3]


def test_rounds_read_what_the_round_before_wrote() -> None:
    x, out = Tensor("a0", "f32", (None,)), Tensor("a1", "f32", (None,))

    def body(t: TileBuilder) -> None:
        kept = t.shared([2, x.dim(0)], "f32")

        def cell(r: Index, i: Index) -> None:
            def start() -> None:
                t.store(kept, [0, i], t.load(x, [i], (1,)), (None, 1))

            def turn() -> None:  # every element becomes its neighbour on the right
                old = t.load(kept, [(r + 1) % 2, (i + 1) % x.dim(0)], (None, 1))
                t.store(kept, [r % 2, i], old, (None, 1))
                t.store(out, [i], old)

            t.when(r, 1, start)
            t.when(0, r, turn)

        t.same(x.dim(0), out.dim(0))
        t.rounds(4, lambda r: t.grid([(x.dim(0), 1)], lambda i: cell(r, i)))

    program = tile_program("turns", [x, out], body)
    assert "  shared w0: 2x? f32\n" in str(program) and "  rounds i0 to 4\n  grid i1 to" in str(program)
    result = np.zeros(5, "f")
    interpret.run(program, [np.arange(5, dtype="f"), result])
    assert result.tolist() == [3, 4, 0, 1, 2]
    lowered = np.zeros(5, "f")
    compiled(program)([np.arange(5, dtype="f"), lowered], singly=True)
    assert lowered.tolist() == result.tolist()


def test_index_expressions_fold() -> None:
    i = Index("var", ("i",))
    assert (i + 0, i * 1, i // 1, i * 0) == (i, i, i, index(0))
    assert [n.constant for n in (index(7) // 2, index(7) % 4, index(7).ceildiv(2), index(-7) // 2)] == [
        3,
        3,
        4,
        -4,
    ]
    assert str((i * 4 + 3).min(A.dim(0))) == "min(add(mul(i, 4), 3), dim(a, 0))"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: t.dot(t.full(0, (2, 4), "f32"), t.load(A, [0, 0], (2, 3)), t.load(B, [0, 0], (4, 4))),
        lambda t: t.apply("arith.addf", t.full(0, (2, 4), "f32"), t.full(0, (3, 4), "f32")),
        lambda t: t.store(C, [0, 0], t.full(0, (2, 4), "f32"), (2, 5)),
        lambda t: t.reshape(t.full(0, (2, 4), "f32"), (8, 1)),
        lambda t: t.loop(4, 1, lambda i, x: t.full(0, (3,), "f32"), [t.full(0, (2,), "f32")]),
    ],
)
def test_shapes_that_do_not_meet_are_refused(wrong: Callable[[TileBuilder], object]) -> None:
    with pytest.raises(ValueError):
        wrong(TileBuilder())


def test_a_program_is_one_grid() -> None:
    with pytest.raises(ValueError, match="one grid"):
        tile_program("none", [C], lambda t: t.loop(1, 1, lambda i: None) and None)
