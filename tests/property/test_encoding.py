"""Encodings mean what their docstring says: layouts are exact, integers are off by half a scale at most."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drystone.ir.context import new_context
from drystone.ir.elements import from_bf16, numpy_dtype, to_bf16
from drystone.ir.encoded import encoding_of, storage_bytes, storage_element, storage_shape, with_encoding
from drystone.ir.encoding import (
    Base3,
    Bitmap,
    Bundle,
    Codes,
    Compressed,
    Coordinates,
    Diagonal,
    Encoding,
    Flat,
    Interleaved,
    Joined,
    Layout,
    Learned,
    LowRank,
    Mixed,
    OutlierColumns,
    OutlierElements,
    Pack,
    Pattern,
    Per,
    Permuted,
    Planes,
    Positions,
    Product,
    Recent,
    Rotated,
    Scale,
    Sparse,
    Split,
    Stacked,
    Strings,
    Structured,
    Sum,
    Table,
    Words,
    decode,
    encode,
)
from drystone.ir.encoding.code import code_of
from drystone.mlir import ir

CONTEXT = new_context()
quick = settings(max_examples=60, deadline=None, derandomize=True)
shapes = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)
codes = st.sampled_from(
    ["int2", "int3", "int4", "uint4", "int5", "int8", "uint8", "int12", "int16", "uint16"]
)


@st.composite
def packs(draw: st.DrawFn, rank: int) -> Pack:
    order = tuple(draw(st.permutations(range(rank))))
    tiled = tuple(draw(st.permutations(range(rank))))[: draw(st.integers(0, rank))]
    tiles = tuple(draw(st.integers(1, 5)) for _ in tiled)
    return Pack(tiled, tiles, draw(st.sampled_from([order, ()])))


@st.composite
def affine(draw: st.DrawFn) -> tuple[tuple[int, ...], Codes]:
    shape = draw(shapes)
    axis, size = draw(st.integers(0, len(shape) - 1)), draw(st.integers(1, 5))
    block = tuple(draw(st.integers(0, 4)) for _ in shape)
    geometries = [Per.tensor(), Per.axis(axis), Per.row(axis), Per.group(axis, size), Per.block(block)]
    code = draw(codes)
    zero_point = Codes(code) if draw(st.booleans()) else None
    scale = Scale(draw(st.sampled_from(geometries)), zero_point=zero_point)
    return shape, Codes(code, scale, draw(st.none() | packs(len(shape))))


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal(shape) * 10.0 ** random.integers(-6, 6)).astype(np.float32)


LISTED = Table(((-1.0, -0.25, 0.0, 0.5, 1.0), (-2.0, -1.0, 0.0, 1.0, 3.0)))
ELEMENTS = ["f32", "f16", "bf16"]
CODES = ["int2", "uint4", "int7", "int12", "bip1", "bip3", "e2m1", "e4m3", "e5m2", "ternary", "pot3", "e3m2"]


@st.composite
def layouts(draw: st.DrawFn, rank: int, name: str) -> Layout | None:
    """Any layout for codes of a name."""
    code, order = code_of(name), draw(packs(rank))
    given: list[Layout | None] = [None, order]
    if code.bits <= 8:
        low = draw(st.integers(0, code.bits))
        given += [
            Planes(order),
            Split((code.bits - low, low) if 0 < low < code.bits else (code.bits,), order),
        ]
    if code.bits <= 8 and rank == 2:
        given.append(Words(draw(st.integers(0, 1)), draw(st.integers(1, 5))))
    if code.bits <= 8 and rank > 1:
        given.append(Strings(draw(st.integers(0, rank - 2))))
    if code.bits in (1, 2, 4):
        given.append(Interleaved(8 * draw(st.integers(1, 3)), draw(st.booleans()), draw(st.booleans())))
    if name == "ternary":
        given.append(Base3(order))
    if name == "bf16":
        given = [None, order]
    return draw(st.sampled_from(given))


@st.composite
def geometries(draw: st.DrawFn, rank: int) -> Per:
    if not rank:
        return Per.tensor()
    axis, size = draw(st.integers(0, rank - 1)), draw(st.integers(1, 5))
    block = tuple(draw(st.integers(0, 4)) for _ in range(rank))
    chosen = [Per.tensor(), Per.axis(axis), Per.row(axis), Per.group(axis, size), Per.block(block)]
    return draw(st.sampled_from(chosen))


@st.composite
def leaves(draw: st.DrawFn, shape: tuple[int, ...], depth: int = 2) -> Codes:
    """Codes with scales that have scales, or elements."""
    if depth == 0 or draw(st.booleans()):
        element = draw(st.sampled_from(ELEMENTS))
        return Codes(element, None, draw(layouts(len(shape), element)))
    per = draw(geometries(len(shape)))
    inner = per.shape(shape)
    held = draw(st.sampled_from([Codes("e8m0"), draw(leaves(inner, depth - 1))]))
    if draw(st.booleans()) and held != Codes("e8m0"):
        code = draw(st.sampled_from(["uint3", "uint4", "uint8"]))
        child = draw(st.sampled_from([Codes(code), draw(leaves(inner, depth - 1))]))
        zero = {"zero_point": child} if child == Codes(code) else {"minimum": child}
        return Codes(code, Scale(per, held, **zero), draw(layouts(len(shape), code)))
    if draw(st.integers(0, 4)) == 0:
        book = draw(st.sampled_from([LISTED, Learned(2, Codes("f16")), Learned(3, Codes("f32"), per)]))
        return Codes(book, Scale(per, held))
    code = draw(st.sampled_from(CODES))
    return Codes(code, Scale(per, held), draw(layouts(len(shape), code)))


@st.composite
def patterns(draw: st.DrawFn, shape: tuple[int, ...]) -> Pattern:
    """Any pattern for a tensor of this shape."""
    axis = draw(st.integers(0, len(shape) - 1))
    of = draw(st.integers(2, 9))
    block = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    blocks = -(-shape[0] // block[0]) * -(-int(np.prod(shape[1:])) // block[1])
    count = draw(st.integers(0, int(np.prod(shape))))
    given = [
        Structured(axis, draw(st.integers(1, of)), of),
        Compressed(draw(st.integers(0, blocks)), block, draw(st.integers(0, 1)), draw(st.integers(0, 4))),
        Compressed(count),
        Coordinates(count),
        Bitmap(count),
        Positions(axis, draw(st.integers(0, shape[axis]))),
    ]
    return draw(st.sampled_from(given))


@st.composite
def encodings(draw: st.DrawFn, shape: tuple[int, ...], depth: int = 2) -> Encoding:
    """Any composition for a tensor of this shape."""
    kind = draw(st.integers(0, 14)) if depth else 0
    axis = draw(st.integers(0, len(shape) - 1))
    extent = shape[axis]

    def child(extents: tuple[int, ...] = shape) -> Encoding:
        return draw(encodings(extents, depth - 1))

    def along(size: int) -> tuple[int, ...]:
        return tuple(size if d == axis else n for d, n in enumerate(shape))

    if kind == 1:
        return Sum(tuple(child() for _ in range(draw(st.integers(1, 3)))))
    if kind == 2:
        return Product((Codes("bip1"), child()))
    if kind == 3 and len(shape) > 1:
        columns = int(np.prod(shape[1:]))
        rank = draw(st.integers(1, min(shape[0], columns)))
        return LowRank(rank, child((shape[0], rank)), child((rank, columns)))
    if kind == 4:
        count = draw(st.integers(1, extent))
        return OutlierColumns(child(), child(along(count)), axis, count)
    if kind == 5:
        count = draw(st.integers(1, int(np.prod(shape))))
        return OutlierElements(child(), child((count,)), count)
    if kind == 6 and extent > 1:
        cut = draw(st.integers(1, extent - 1))
        return Mixed(axis, (cut, extent - cut), (child(along(cut)), child(along(extent - cut))))
    if kind == 7:
        return Permuted(child(), axis)
    if kind == 8:
        return Diagonal(child(), axis, Codes("f32"))
    if kind == 9:
        return Rotated(child(), axis, 2 ** draw(st.integers(0, 3)))
    if kind == 10:
        return Joined(child())
    if kind == 11 and axis + 1 < len(shape):
        size = draw(st.integers(1, extent))
        return Recent(draw(leaves(shape)), axis, size, draw(leaves(along(size))))
    if kind == 12:
        pattern = draw(patterns(shape))
        if np.prod(pattern.kept(shape)):
            return Sparse(pattern, child(pattern.kept(shape)))
    if kind == 13 and len(shape) == 3:
        turned = draw(st.integers(0, 1))
        return Stacked(child(Stacked(Codes("f32"), turned).matrix(shape)), turned)
    if kind == 14 and len(shape) > 1:
        order = draw(st.permutations(range(len(shape))))
        return Flat(child(Flat(Codes("f32"), tuple(order)).matrix(shape)), tuple(order))
    return draw(leaves(shape))


@st.composite
def held_tensors(draw: st.DrawFn) -> tuple[tuple[int, ...], Encoding]:
    shape = draw(shapes)
    return shape, draw(encodings(shape))


@quick
@given(st.data(), shapes, st.integers(0, 1000))
def test_a_layout_only_moves_elements(data: st.DataObject, shape: tuple[int, ...], seed: int) -> None:
    encoding = Codes("f32", None, data.draw(packs(len(shape))))
    array = numbers(shape, seed)
    parts = encode(array, encoding)
    np.testing.assert_array_equal(decode(parts, encoding, shape, "f32"), array)
    assert np.abs(parts["codes"]).sum(dtype=np.float64) == np.abs(array).sum(dtype=np.float64)


@quick
@given(st.data(), st.tuples(st.integers(1, 9), st.integers(1, 9)), st.integers(0, 1000))
def test_rows_of_several_matrices_lie_side_by_side(
    data: st.DataObject, shape: tuple[int, int], seed: int
) -> None:
    count = data.draw(st.integers(1, 4))
    orders = [data.draw(st.sampled_from([(0, 1), (1, 0)])) for _ in range(count)]
    arrays = [numbers(shape if order == (0, 1) else shape[::-1], seed + n) for n, order in enumerate(orders)]
    held = [Codes("f32", None, Bundle((), (), order, place, count)) for place, order in enumerate(orders)]
    both = list(zip(arrays, held, strict=True))
    shared = sum(encode(array, each)["codes"] for array, each in both)
    assert shared.shape == (shape[0], count, shape[1])
    for array, each in both:
        assert not list(each.problems(array.shape))
        np.testing.assert_array_equal(decode({"codes": shared}, each, array.shape, "f32"), array)
    assert list(Bundle((), (), (0, 1), count, count).problems(shape, code_of("f32")))


@quick
@given(st.data(), shapes, st.integers(0, 1000))
def test_a_part_of_a_layout_is_the_layout_of_a_part(
    data: st.DataObject, shape: tuple[int, ...], seed: int
) -> None:
    layout, array = data.draw(packs(len(shape))), numbers(shape, seed)
    dim = data.draw(st.integers(0, len(shape) - 1))
    first = data.draw(st.integers(0, shape[dim] - 1))
    end = data.draw(st.integers(first + 1, shape[dim]))
    expected = layout.apply(array.take(range(first, end), dim))
    np.testing.assert_array_equal(layout.part(layout.apply(array), shape, dim, first, end), expected)


@quick
@given(affine(), st.integers(0, 1000))
def test_affine_integers_are_off_by_half_a_scale(case: tuple[tuple[int, ...], Codes], seed: int) -> None:
    shape, encoding = case
    array = numbers(shape, seed)
    assert encoding.scale is not None
    if encoding.code.low == 0 and not encoding.scale.zero_point:
        array = np.abs(array)
    parts = encode(array, encoding)
    back = decode(parts, encoding, shape, "f64")
    scale = encoding.scale.values("scale", parts, shape)
    assert (np.abs(back - array) <= scale * (0.5 + 1e-9)).all()


@quick
@given(st.data(), shapes, st.sampled_from(CODES + ELEMENTS), st.integers(0, 1000))
def test_no_layout_changes_codes(data: st.DataObject, shape: tuple[int, ...], name: str, seed: int) -> None:
    code, layout = code_of(name), data.draw(layouts(len(shape), name))
    codes = code.encode(
        code.decode(np.arange(3).astype(np.uint8)) if name == "ternary" else numbers(shape, seed)
    )
    codes = np.resize(codes, shape)
    encoding = Codes(name, None, layout)
    np.testing.assert_array_equal(encoding.stored(encoding.laid(codes), shape), codes)


@quick
@given(held_tensors(), st.integers(0, 1000))
def test_parts_have_the_declared_shapes(case: tuple[tuple[int, ...], Encoding], seed: int) -> None:
    shape, encoding = case
    assert not list(encoding.problems(shape))
    parts = encode(np.random.default_rng(seed).standard_normal(shape), encoding)
    assert {name: (part.shape, part.dtype) for name, part in parts.items()} == {
        name: (held, np.dtype(numpy_dtype(element)))
        for name, (held, element) in encoding.parts(shape).items()
    }
    with CONTEXT, ir.Location.unknown():
        kind = with_encoding(ir.RankedTensorType.get(shape, ir.F32Type.get()), encoding)
        if len(parts) == 1:
            (held,) = encoding.parts(shape).values()
            assert (storage_shape(kind), storage_element(kind)) == held
        assert storage_bytes(kind) == encoding.bytes(shape) == sum(part.nbytes for part in parts.values())


def test_recent_rows_are_read_in_the_place_of_their_codes() -> None:
    encoding = Recent(Codes("int4", Scale()), 1, 2, Codes("f32"))
    array = numbers((2, 5, 3), 3)
    parts = encode(array, encoding)
    plain = decode(parts, encoding, array.shape, "f32")
    parts["rows"][1, 1], parts["places"][1, 1] = [7.5, 8.5, 9.5], 3
    plain[1, 3] = [7.5, 8.5, 9.5]
    np.testing.assert_array_equal(decode(parts, encoding, array.shape, "f32"), plain)


@pytest.mark.parametrize("element", ["int4", "uint4", "int8", "uint8"])
@pytest.mark.parametrize("zero_point", [0, 3])
def test_every_code_decodes_exactly_and_encodes_to_itself(element: str, zero_point: int) -> None:
    encoding = Codes(element, Scale(zero_point=Codes("int8")))
    low, high = encoding.code.low, encoding.code.high
    every = np.arange(low, high + 1)
    scales = {"scale": np.array(0.25, np.float32), "zero_point": np.array(zero_point, np.int8)}
    real = (0.25 * (every - zero_point)).astype(np.float32)
    parts = encode(real, encoding, scales)
    np.testing.assert_array_equal(decode(parts, encoding, real.shape, "f32"), real)
    assert len(np.unique(real)) == high - low + 1


def test_short_codes_share_bytes_lowest_bits_first() -> None:
    scales = {"scale": np.array(1, np.float32)}
    parts = encode(np.array([1, -2, 7], np.float32), Codes("int4", Scale()), scales)
    assert parts["codes"].tolist() == [0xE1, 0x07]


def test_a_packed_matrix_lies_as_the_kernels_read_it() -> None:
    array = np.arange(6 * 5, dtype=np.float32).reshape(6, 5)
    stored = encode(array, Codes("f32", None, Pack((0,), (4,))))["codes"]
    assert stored.shape == (2, 5, 4)
    np.testing.assert_array_equal(stored[0], array[:4].T)
    np.testing.assert_array_equal(stored[1, :, 2:], 0)


@quick
@given(held_tensors(), st.integers(0, 1000))
def test_settled_parts_are_kept(case: tuple[tuple[int, ...], Encoding], seed: int) -> None:
    shape, encoding = case
    array = np.random.default_rng(seed).standard_normal(shape)
    parts = encode(array, encoding)
    again = encode(array, encoding, parts)
    assert parts.keys() == again.keys()
    assert decode(parts, encoding, shape, "f64").shape == shape
    for name, part in parts.items():
        np.testing.assert_array_equal(again[name], part, err_msg=name)


@quick
@given(st.data(), shapes, st.integers(0, 1000))
def test_exact_rewrites_are_exact(data: st.DataObject, shape: tuple[int, ...], seed: int) -> None:
    array, axis = (
        np.random.default_rng(seed).standard_normal(shape),
        data.draw(st.integers(0, len(shape) - 1)),
    )
    base = Codes("f64")
    for encoding in (Permuted(base, axis), Diagonal(base, axis, Codes("f32")), Rotated(base, axis, 4)):
        back = decode(encode(array, encoding), encoding, shape, "f64")
        np.testing.assert_allclose(back, array, rtol=1e-12, atol=1e-12)


@quick
@given(held_tensors())
def test_attributes_and_types_carry_the_encoding(case: tuple[tuple[int, ...], Encoding]) -> None:
    shape, encoding = case
    with CONTEXT, ir.Location.unknown():
        plain = ir.RankedTensorType.get(shape, ir.F32Type.get())
        kind = with_encoding(plain, encoding)
        assert encoding_of(ir.Type.parse(str(kind))) == encoding
        assert with_encoding(kind, None) == plain == with_encoding(kind, Codes("f32"))


@quick
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_bf16_rounds_to_nearest(number: float) -> None:
    given_value = np.float32(number)
    bits = to_bf16(given_value)
    kept = from_bf16(bits).astype(np.float64)
    if not np.isfinite(kept):
        return
    around = [from_bf16(np.uint16((int(bits) + step) & 0xFFFF)).astype(np.float64) for step in (-1, 1)]
    errors = [abs(float(n) - float(given_value)) for n in around if np.isfinite(n)]
    assert all(abs(float(kept) - float(given_value)) <= e for e in errors)
