"""Tile programs lowered and executed, against their meaning in numpy."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from drystone.codegen import interpret
from drystone.codegen.tile import Index, Scalar, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.ir.elements import numpy_dtype, to_element, widen
from drystone.targets import registry
from tests.exec.kernels import compiled

TARGETS = ("cpu:avx2", "cpu")


def random(tensor: Tensor, dynamic: int = 23, *, low: int = -9, high: int = 9) -> Any:
    """Numbers of a tensor's element; `dynamic` is the extent of its dynamic dimensions."""
    rng = np.random.default_rng(len(tensor.name) + len(tensor.shape))
    shape = [dynamic if n is None else n for n in tensor.shape]
    if tensor.dtype[0] == "i":
        return rng.integers(low, high, shape).astype(numpy_dtype(tensor.dtype))
    return to_element(rng.uniform(-2, 2, shape), tensor.dtype)


def agree(program: TileProgram, arrays: Sequence[Any], scalars: Sequence[Any] = ()) -> None:
    """The same numbers from the interpreter and from machine code, for every target."""
    expected = [a.copy() for a in arrays]
    interpret.run(program, expected, scalars)
    for name in TARGETS:
        call = compiled(program, registry.resolve(name))
        for singly in (False, True):
            found = [a.copy() for a in arrays]
            call(found, scalars, singly=singly)
            for tensor, one, other in zip(program.tensors, found, expected, strict=True):
                loose = 1e-2 if tensor.dtype in ("f16",) else 2e-5
                if tensor.dtype in ("f32", "f64", "f16"):
                    np.testing.assert_allclose(one, other, rtol=loose, atol=loose)
                else:
                    np.testing.assert_array_equal(one, other)


def one_step(
    tensors: Sequence[Tensor], body: Callable[[TileBuilder], None], scalars: Sequence[Scalar] = ()
) -> TileProgram:
    """A program whose grid has one step."""
    return tile_program("test", tensors, lambda t: t.grid([(1, 1)], lambda i: body(t)), scalars)


def mapped(op: str, dtypes: Sequence[str], shape: tuple[int, ...], **attributes: str) -> TileProgram:
    """out = op(inputs), the last of `dtypes` being that of the result."""
    tensors = [Tensor(f"a{i}", dtype, shape) for i, dtype in enumerate(dtypes)]

    def body(t: TileBuilder) -> None:
        tiles = [t.load(x, [0] * len(shape), shape) for x in tensors[:-1]]
        t.store(tensors[-1], [0] * len(shape), t.apply(op, *tiles, dtype=dtypes[-1], **attributes))

    return one_step(tensors, body)


def call_mapped(program: TileProgram) -> None:
    agree(program, [random(t) for t in program.tensors])


@pytest.mark.parametrize("dtype", ["f32", "f64", "f16", "bf16", "i8", "i16", "i32", "i64", "i1"])
@pytest.mark.parametrize("width", [1, 5, 40])
def test_elements_of_every_type_move(dtype: str, width: int) -> None:
    call_mapped(mapped("arith.select", ["i1", dtype, dtype, dtype], (3, width)))


@pytest.mark.parametrize(
    "op", ["divsi", "remsi", "floordivsi", "ceildivsi", "divui", "remui", "maxsi", "shli"]
)
@pytest.mark.parametrize("dtype", ["i32", "i64"])
def test_integer_operations(op: str, dtype: str) -> None:
    program = mapped("math.ipowi" if op == "powi" else f"arith.{op}", [dtype] * 3, (2, 21))
    arrays = [random(t, low=1, high=9) for t in program.tensors]
    if "ui" not in op and op != "shli":
        arrays[0], arrays[1][0] = arrays[0] - 5, -arrays[1][0]
    agree(program, arrays)


@pytest.mark.parametrize(
    ("op", "dtypes"),
    [
        ("arith.extf", ("f16", "f32")),
        ("arith.truncf", ("f32", "bf16")),
        ("arith.sitofp", ("i64", "f32")),
        ("arith.fptosi", ("f32", "i32")),
        ("arith.extui", ("i1", "i64")),
        ("arith.trunci", ("i64", "i8")),
        ("arith.bitcast", ("f32", "i32")),
        ("math.ctpop", ("i32", "i32")),
        ("math.ctlz", ("i32", "i32")),
        ("math.absi", ("i64", "i64")),
        ("math.floor", ("f32", "f32")),
        ("math.round", ("f64", "f64")),
        ("math.exp", ("f64", "f64")),
        ("math.tanh", ("f16", "f16")),
        ("math.atan", ("f32", "f32")),
    ],
)
def test_operations_of_one_operand(op: str, dtypes: tuple[str, str]) -> None:
    for width in (1, 19):
        call_mapped(mapped(op, dtypes, (2, width)))


def test_comparisons() -> None:
    for predicate in ("ogt", "ule", "une"):
        call_mapped(mapped("arith.cmpf", ["f32", "f32", "i1"], (2, 18), predicate=predicate))
    for predicate in ("slt", "ult", "eq"):
        call_mapped(mapped("arith.cmpi", ["i8", "i8", "i1"], (2, 18), predicate=predicate))


@pytest.mark.parametrize("shape", [(1,), (1, 1), (5, 16), (3, 21), (2, 3, 40), (4, 1)])
@pytest.mark.parametrize("op", ["arith.addf", "arith.maximumf", "arith.minnumf", "arith.mulf"])
def test_reductions(op: str, shape: tuple[int, ...]) -> None:
    source = Tensor("a0", "f32", shape)
    kept = [tuple(1 if d == axis else n for d, n in enumerate(shape)) for axis in range(len(shape))]
    outs = [Tensor(f"a{1 + i}", "f32", k) for i, k in enumerate(kept)]

    def body(t: TileBuilder) -> None:
        tile = t.load(source, [0] * len(shape), shape)
        for axis, out in enumerate(outs):
            t.store(out, [0] * len(shape), t.reduce(op, tile, axis))

    agree(one_step([source, *outs], body), [random(t) for t in (source, *outs)])


@pytest.mark.parametrize(
    ("op", "dtype"),
    [("arith.andi", "i1"), ("arith.ori", "i1"), ("arith.maxsi", "i64"), ("arith.addi", "i32")],
)
def test_reductions_of_integers(op: str, dtype: str) -> None:
    source, out = Tensor("a0", dtype, (3, 21)), Tensor("a1", dtype, (3, 1))

    def body(t: TileBuilder) -> None:
        t.store(out, [0, 0], t.reduce(op, t.load(source, [0, 0], (3, 21)), 1))

    agree(one_step([source, out], body), [random(t) for t in (source, out)])


@pytest.mark.parametrize(
    ("rows", "columns", "group"), [(4, 32, 2), (2, 16, 2), (6, 20, 2), (8, 16, 4), (2, 1, 2)]
)
def test_rows_side_by_side(rows: int, columns: int, group: int) -> None:
    source, out = Tensor("a0", "f32", (rows, columns)), Tensor("a1", "f32", (rows // group, columns * group))

    def body(t: TileBuilder) -> None:
        tile = t.load(source, [0, 0], (rows, columns))
        t.store(out, [0, 0], t.interleave(t.apply("arith.addf", tile, tile), group))

    agree(one_step([source, out], body), [random(t) for t in (source, out)])


@pytest.mark.parametrize(
    ("rows", "columns"), [(16, 16), (16, 40), (37, 35), (8, 32), (5, 19), (1, 7), (32, 1)]
)
def test_transposes(rows: int, columns: int) -> None:
    source, out = Tensor("a0", "f32", (rows, columns)), Tensor("a1", "f32", (columns, rows))
    doubled = Tensor("a2", "f32", (columns, rows))

    def body(t: TileBuilder) -> None:
        tile = t.load(source, [0, 0], (rows, columns))
        t.store(out, [0, 0], t.transpose(tile))
        t.store(doubled, [0, 0], t.transpose(t.apply("arith.addf", tile, tile)))

    agree(one_step([source, out, doubled], body), [random(t) for t in (source, out, doubled)])


@pytest.mark.parametrize("ties", ["", "any"])
@pytest.mark.parametrize(("rows", "columns"), [(4, 32), (2, 16), (6, 20)])
def test_rounded_rows_side_by_side(rows: int, columns: int, ties: str) -> None:
    a, out = Tensor("a", "f32", (rows, columns)), Tensor("out", "bf16", (rows // 2, 2 * columns))
    attributes = {"ties": ties} if ties else {}

    def body(t: TileBuilder) -> None:
        short = t.apply("arith.truncf", t.load(a, [0, 0], [rows, columns]), dtype="bf16", **attributes)
        t.store(out, [0, 0], t.interleave(short, 2))

    x = random(a)
    x[0, :8] = [np.inf, -np.inf, np.nan, 0, 1 + 2**-8, 1 + 3 * 2**-8, 255.7, 3e38]
    halves = np.full((rows // 2, 2 * columns), -1).astype(numpy_dtype("bf16"))
    expected = [x.copy(), halves.copy()]
    interpret.run(one_step([a, out], body), expected)
    for name in TARGETS:
        found = [x.copy(), halves.copy()]
        compiled(one_step([a, out], body), registry.resolve(name))(found)
        one, other = (widen(arrays[1]) for arrays in (found, expected))
        tie = np.zeros(one.shape, bool)
        tie[0, [8, 10]] = bool(ties)
        np.testing.assert_array_equal(one[~tie], other[~tie])
        np.testing.assert_allclose(one[tie], other[tie], rtol=2**-7)


@pytest.mark.parametrize("ends", [(-128, 127), (0, 127), (-128, 90), (-7, 5), (-300, 127)])
@pytest.mark.parametrize(("rows", "columns"), [(1, 16), (3, 16), (5, 32), (2, 48), (3, 64), (2, 80), (4, 24)])
def test_numbers_rounded_to_bytes(rows: int, columns: int, ends: tuple[int, int]) -> None:
    x, out = Tensor("x", "f32", (rows, columns)), Tensor("out", "i8", (rows + 1, columns + 2))
    shift, zero = 1.5 * 2.0**23, 0x4B400000

    def body(t: TileBuilder) -> None:
        total = t.apply("arith.addf", t.load(x, [0, 0], [rows, columns]), t.full(shift, (1, 1), "f32"))
        bits = t.apply("arith.bitcast", total, dtype="i32")
        bits = t.apply("arith.maxsi", bits, t.full(zero + ends[0], (1, 1), "i32"))
        bits = t.apply("arith.minsi", bits, t.full(zero + ends[1], (1, 1), "i32"))
        t.store(out, [0, 1], t.apply("arith.trunci", bits, dtype="i8"), [rows, columns])

    program = one_step([x, out], body)
    numbers = np.random.default_rng(rows).uniform(-150, 150, (rows, columns)).astype(np.float32)
    numbers[0, :12] = [0.5, 1.5, -0.5, -2.5, 126.5, 127.5, -128.5, 4e6, -4e6, 3e38, -np.inf, np.inf]
    numbers[-1, -4:] = [-0.0, 126.49999, -127.5, -3e9]
    agree(program, [numbers, np.full((rows + 1, columns + 2), 77, np.int8)])
    # Of what is no number any byte between the ends.
    numbers[0, 0] = np.nan
    for name in TARGETS:
        found = [numbers.copy(), np.zeros((rows + 1, columns + 2), np.int8)]
        compiled(program, registry.resolve(name))(found)
        assert found[1][0, 1] in range(max(ends[0], -128), ends[1] + 1) or ends[0] < -128


def test_bodies_beside_each_other() -> None:
    tensors = [Tensor(name, "f32", (8, 40)) for name in ("a0", "a1", "a2", "a3")]
    a, b, c, d = tensors

    def body(t: TileBuilder) -> None:
        def turn(k: Index, total: Tile) -> Sequence[Tile]:
            def first() -> None:
                tile = t.load(a, [k, 0], [1, 40])
                t.store(c, [k, 0], t.apply("math.exp2", tile, digits="few"))
                t.loop(k, 1, lambda j: t.store(c, [k, j], t.load(b, [j, k], [None, 1]), [None, 1]))

            def second() -> Sequence[Tile]:
                # The same load and numbers as in the first body, which may come later.
                tile = t.load(a, [k, 0], [1, 40])
                few = t.apply("math.exp2", tile, digits="few")
                (sum_,) = t.loop(4, 1, lambda j, s: t.apply("arith.addf", s, few), [tile])
                return [t.apply("arith.addf", total, sum_)]

            return t.beside(first, second)

        (total,) = t.loop(8, 1, turn, [t.full(0, (1, 40), "f32")])
        t.loop(8, 1, lambda k: t.store(d, [k, 0], total))

    program = one_step(tensors, body)
    assert "beside" in str(program)
    arrays = [random(t) for t in tensors]
    expected = [a.copy() for a in arrays]
    interpret.run(program, expected)
    for name in TARGETS:
        found = [a.copy() for a in arrays]
        compiled(program, registry.resolve(name))(found)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-4)


def test_dimensions_of_extent_one_come_and_go() -> None:
    source, out = Tensor("a0", "f32", (20,)), Tensor("a1", "f32", (20, 24))

    def body(t: TileBuilder) -> None:
        tile = t.load(source, [0], (20,))
        column = t.reshape(t.apply("arith.negf", tile), (20, 1))
        row = t.reshape(t.load(source, [0], (24,)), (1, 24))
        t.store(out, [0, 0], t.apply("arith.addf", t.apply("math.exp", column), row))

    agree(one_step([source, out], body), [random(t) for t in (source, out)])


@pytest.mark.parametrize("extent", [1, 15, 32, 57])
def test_edges_of_dynamic_tensors(extent: int) -> None:
    source, out = Tensor("a0", "f32", (None, 30)), Tensor("a1", "f32", (None, 30))

    def body(t: TileBuilder) -> None:
        t.same(source.dim(0), out.dim(0))

        def step(i: Index, j: Index) -> None:
            t.store(out, [i, j], t.apply("arith.mulf", *[t.load(source, [i, j], (4, 20), fill=3.0)] * 2))

        t.grid([(out.dim(0), 4), (30, 20)], step)

    agree(tile_program("edges", [source, out], body), [random(t, extent) for t in (source, out)])


@pytest.mark.parametrize("dtype", ["f32", "i64", "i8", "i1"])
def test_windows_that_hang_over_both_ends(dtype: str) -> None:
    source, out = Tensor("a0", dtype, (3, 29)), Tensor("a1", dtype, (3, 40))

    def body(t: TileBuilder) -> None:
        def step(i: Index, j: Index) -> None:
            t.store(out, [i, j], t.load(source, [i - 1, j - 3], (2, 24), fill=1))

        t.grid([(3, 2), (40, 24)], step)

    agree(tile_program("windows", [source, out], body), [random(t) for t in (source, out)])


def test_steps_along_every_dimension() -> None:
    source, out = Tensor("a0", "f32", (11, 50)), Tensor("a1", "f32", (6, 50))

    def body(t: TileBuilder) -> None:
        tile = t.load(source, [0, -1], (4, 20), steps=(3, 3), fill=7.0)
        t.store(out, [0, 1], tile, steps=(2, 2))

    agree(one_step([source, out], body), [random(t) for t in (source, out)])


def test_vectors_along_an_outer_dimension() -> None:
    source, out = Tensor("a0", "f32", (None, 6)), Tensor("a1", "f32", (None, 6))

    def body(t: TileBuilder) -> None:
        def step(i: Index, j: Index) -> None:
            t.store(out, [i, j], t.load(source, [i, j], (20, None)), (20, None))

        t.grid([(out.dim(0), 20), (6, 1)], step)

    agree(tile_program("columns", [source, out], body), [random(t) for t in (source, out)])


@pytest.mark.parametrize("depth", [1, 8, 19])
def test_products_from_memory_computed_and_transposed(depth: int) -> None:
    a, b = Tensor("a0", "f32", (6, depth)), Tensor("a1", "f32", (depth, 20))
    outs = [Tensor(f"a{i}", "f32", (6, 20)) for i in (2, 3, 4)]

    def body(t: TileBuilder) -> None:
        zero = t.full(0.0, (6, 20), "f32")
        left, right = t.load(a, [0, 0], (6, depth)), t.load(b, [0, 0], (depth, 20))
        t.store(outs[0], [0, 0], t.dot(zero, left, right))
        t.store(outs[1], [0, 0], t.dot(zero, t.apply("math.exp", left), right))
        again = t.transpose(t.dot(t.full(1.0, (20, 6), "f32"), t.transpose(right), t.transpose(left)))
        t.store(outs[2], [0, 0], again)

    agree(one_step([a, b, *outs], body), [random(t) for t in (a, b, *outs)])


@pytest.mark.parametrize("dtypes", [("f16", "f32"), ("i8", "i32"), ("f64", "f64"), ("f32", "f64")])
def test_products_of_other_types(dtypes: tuple[str, str]) -> None:
    a, b = Tensor("a0", dtypes[0], (3, 7)), Tensor("a1", dtypes[0], (7, 17))
    out = Tensor("a2", dtypes[1], (3, 17))

    def body(t: TileBuilder) -> None:
        acc = t.full(0, (3, 17), dtypes[1])
        t.store(out, [0, 0], t.dot(acc, t.load(a, [0, 0], (3, 7)), t.load(b, [0, 0], (7, 17))))

    agree(one_step([a, b, out], body), [random(t) for t in (a, b, out)])


@pytest.mark.parametrize(("rows", "depth"), [(1, 1), (5, 8), (9, 30), (16, 33)])
def test_rows_that_are_not_stored_do_not_matter(rows: int, depth: int) -> None:
    a, b = Tensor("a0", "f32", (None, None)), Tensor("a1", "f32", (None, 20))
    out, total = Tensor("a2", "f32", (None, 20)), Tensor("a3", "f32", (1, 20))

    def body(t: TileBuilder) -> None:
        t.same(a.dim(0), out.dim(0))
        t.same(a.dim(1), b.dim(0))

        def step(i: Index) -> None:
            def products(k: Index, acc: Tile) -> Tile:
                return t.dot(acc, t.load(a, [i, k], (6, 4)), t.load(b, [k, 0], (4, 20)))

            (acc,) = t.loop(a.dim(1), 4, products, [t.full(0.0, (6, 20), "f32")])
            t.store(out, [i, 0], acc)
            # A sum over the rows does see them: they count as zeros.
            t.when(out.dim(0), i + 7, lambda: t.store(total, [0, 0], t.reduce("arith.addf", acc, 0)))

        t.grid([(out.dim(0), 6)], step)

    arrays = [np.ones((rows, depth), np.float32), np.ones((depth, 20), np.float32)]
    arrays += [np.zeros((rows, 20), np.float32), np.zeros((1, 20), np.float32)]
    agree(tile_program("rows", [a, b, out, total], body), arrays)


def test_what_is_loaded_is_what_was_there() -> None:
    """Loads are made late; a store between must not be seen."""
    out, scratch_out = Tensor("a0", "f32", (2, 20)), Tensor("a1", "f32", (2, 20))

    def body(t: TileBuilder) -> None:
        kept = t.scratch((2, 20), "f32")
        before = t.load(out, [0, 0], (2, 20))
        negative = t.apply("arith.negf", before)
        t.store(out, [0, 0], t.full(5.0, (2, 20), "f32"))
        t.store(kept, [0, 0], t.load(out, [0, 0], (2, 20)))
        first = t.load(kept, [0, 0], (2, 20))

        def rounds(i: Index) -> None:
            t.store(kept, [0, 0], t.apply("arith.addf", t.load(kept, [0, 0], (2, 20)), before))

        t.loop(3, 1, rounds)
        last = t.load(kept, [0, 0], (2, 20))
        t.store(scratch_out, [0, 0], t.apply("arith.mulf", t.apply("arith.addf", first, last), negative))

    agree(one_step([out, scratch_out], body), [random(t) for t in (out, scratch_out)])


def test_left_operand_in_scratch_that_changes() -> None:
    b, out = Tensor("a0", "f32", (4, 20)), Tensor("a1", "f32", (3, 20))

    def body(t: TileBuilder) -> None:
        p = t.scratch((3, 4), "f32")

        def rounds(i: Index, acc: Tile) -> Tile:
            t.store(p, [0, 0], t.apply("arith.addf", t.full(i, (3, 4), "f32"), t.full(0.5, (3, 4), "f32")))
            left = t.load(p, [0, 0], (3, 4))
            t.store(p, [0, 0], t.full(99.0, (3, 4), "f32"))
            return t.dot(acc, left, t.load(b, [0, 0], (4, 20)))

        t.store(out, [0, 0], t.loop(3, 1, rounds, [t.full(0.0, (3, 20), "f32")])[0])

    agree(one_step([b, out], body), [random(t) for t in (b, out)])


@pytest.mark.parametrize("count", [0, 1, 7, 40])
def test_loops_with_bounds_known_at_the_call(count: int) -> None:
    source, out = Tensor("a0", "f32", (None, 20)), Tensor("a1", "f32", (2, 20))

    def body(t: TileBuilder) -> None:
        def rounds(i: Index, total: Tile, peak: Tile) -> list[Tile]:
            rows = t.load(source, [i, 0], (4, 20))
            total = t.apply("arith.addf", total, t.reduce("arith.addf", rows, 0))
            rest = t.full(source.dim(0) - i, (1, 20), "f32")
            return [total, t.apply("arith.maximumf", peak, rest)]

        start = t.full(0.0, (1, 20), "f32")
        total, peak = t.loop(Index("scalar", ("n0",)), 4, rounds, [start, start])
        t.store(out, [0, 0], total)
        t.store(out, [1, 0], peak)

    program = one_step([source, out], body, [Scalar("n0", "index")])
    agree(program, [random(t, max(1, count)) for t in (source, out)], [count])


def test_gathers_and_elements() -> None:
    table, places = Tensor("a0", "f32", (None, 20)), Tensor("a1", "i64", (9,))
    out, mixed = Tensor("a2", "f32", (9, 20)), Tensor("a3", "f32", (9,))

    def body(t: TileBuilder) -> None:
        def step(i: Index) -> None:
            row = t.element(t.load(places, [i], (None,)))
            t.store(out, [i, 0], t.load(table, [row, 0], (None, 20)), (None, 20))
            which = t.load(places, [0], (9,))
            t.store(mixed, [0], t.gather(table, [which, t.full(3, (9,), "i64")]))

        t.grid([(9, 1)], step)

    program = tile_program("gathers", [table, places, out, mixed], body)
    agree(program, [random(t) if t is not places else np.arange(-1, 26, 3) for t in program.tensors])


def test_scalars_iotas_and_quotients() -> None:
    out, floats = Tensor("a0", "i64", (5, 20)), Tensor("a1", "f32", (5, 20))

    def body(t: TileBuilder) -> None:
        def step(i: Index, j: Index) -> None:
            place = t.apply("arith.addi", t.iota(i - 3, (2, 1), 0), t.iota(j, (1, 20), 1))
            indices = t.full((i - 3) // 2 + (i - 3) % 2 * 10 + (i * 7).ceildiv(3), (2, 20), "i64")
            t.store(out, [i, j], t.apply("arith.addi", place, indices))
            t.store(floats, [i, j], t.full(Scalar("n0", "f32"), (2, 20), "f32"))

        t.grid([(5, 2), (20, 20)], step)

    program = tile_program("scalars", [out, floats], body, [Scalar("n0", "f32")])
    agree(program, [random(t) for t in (out, floats)], [2.5])


def test_joined_dimensions() -> None:
    source, out = Tensor("a0", "f32", (None, 3, 10)), Tensor("a1", "f32", (None, 30))
    view = source.collapse([[0], [1, 2]])

    def body(t: TileBuilder) -> None:
        t.grid([(out.dim(0), 4)], lambda i: t.store(out, [i, 0], t.load(view, [i, 0], (4, 30))))

    agree(tile_program("views", [source, out], body), [random(t) for t in (source, out)])


def test_what_is_asked_for_beforehand_changes_nothing() -> None:
    source, out = Tensor("a0", "f32", (None, 40)), Tensor("a1", "f32", (None, 40))

    def row(t: TileBuilder, i: Index) -> None:
        t.prefetch(out, [i + 1, 8], (4, 40))  # over both ends
        t.store(out, [i, 0], t.load(source, [i, 0], (4, 40)))

    program = tile_program("ahead", [source, out], lambda t: t.grid([(out.dim(0), 4)], lambda i: row(t, i)))
    assert "prefetch a1[add(i0, 1):+4, 8:+40]" in str(program)
    agree(program, [random(t) for t in (source, out)])


def test_nothing_to_do() -> None:
    source, out = Tensor("a0", "f32", (None, 20)), Tensor("a1", "f32", (None, 20))

    def body(t: TileBuilder) -> None:
        t.grid([(out.dim(0), 4)], lambda i: t.store(out, [i, 0], t.load(source, [i, 0], (4, 20))))

    agree(tile_program("empty", [source, out], body), [random(t, 0) for t in (source, out)])
