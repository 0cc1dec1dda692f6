"""Encodings mean what their docstring says: layouts are exact, integers are off by half a scale at most."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drystone.ir.elements import from_bf16, to_bf16
from drystone.ir.encoding import (
    Encoding,
    Pack,
    Scale,
    decode,
    encode,
    encoding_of,
    storage_bytes,
    storage_parts,
    storage_shape,
    with_encoding,
)
from drystone.mlir import context, ir

CONTEXT = context()
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
def affine(draw: st.DrawFn) -> tuple[tuple[int, ...], Encoding]:
    shape = draw(shapes)
    geometry = draw(st.sampled_from(["tensor", "axis", "group"]))
    axis = draw(st.integers(0, len(shape) - 1)) if geometry != "tensor" else 0
    group = draw(st.integers(1, 5)) if geometry == "group" else 0
    scale = Scale(geometry, axis, group, draw(st.booleans()))
    return shape, Encoding(draw(codes), scale, draw(st.none() | packs(len(shape))))


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal(shape) * 10.0 ** random.integers(-6, 6)).astype(np.float32)


@quick
@given(st.data(), shapes, st.integers(0, 1000))
def test_a_layout_only_moves_elements(data: st.DataObject, shape: tuple[int, ...], seed: int) -> None:
    encoding = Encoding("f32", None, data.draw(packs(len(shape))))
    array = numbers(shape, seed)
    parts = encode(array, encoding)
    np.testing.assert_array_equal(decode(parts, encoding, shape, "f32"), array)
    assert np.abs(parts["codes"]).sum(dtype=np.float64) == np.abs(array).sum(dtype=np.float64)


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
def test_affine_integers_are_off_by_half_a_scale(case: tuple[tuple[int, ...], Encoding], seed: int) -> None:
    shape, encoding = case
    array = numbers(shape, seed)
    assert encoding.scale is not None
    if encoding.limits[0] == 0 and not encoding.scale.zero_point:
        array = np.abs(array)
    parts = encode(array, encoding)
    back = decode(parts, encoding, shape, "f64")
    scale = encoding.scale.spread(parts["scale"].astype(np.float64), shape)
    assert (np.abs(back - array) <= scale * (0.5 + 1e-9)).all()


@quick
@given(affine(), st.integers(0, 1000))
def test_parts_have_the_declared_shapes(case: tuple[tuple[int, ...], Encoding], seed: int) -> None:
    shape, encoding = case
    parts = encode(numbers(shape, seed), encoding)
    declared = storage_parts(shape, encoding)
    assert {name: part.shape for name, part in parts.items()} == {n: s for n, (s, _) in declared.items()}
    with CONTEXT, ir.Location.unknown():
        kind = with_encoding(ir.RankedTensorType.get(shape, ir.F32Type.get()), encoding)
        assert storage_shape(kind) == parts["codes"].shape
        assert storage_bytes(kind) == sum(part.nbytes for part in parts.values())


@pytest.mark.parametrize("element", ["int4", "uint4", "int8", "uint8"])
@pytest.mark.parametrize("zero_point", [0, 3])
def test_every_code_decodes_exactly_and_encodes_to_itself(element: str, zero_point: int) -> None:
    encoding = Encoding(element, Scale(zero_point=True))
    low, high = encoding.limits
    every = np.arange(low, high + 1)
    scales = {"scale": np.array(0.25, np.float32), "zero_point": np.array(zero_point, np.int8)}
    real = (0.25 * (every - zero_point)).astype(np.float32)
    parts = encode(real, encoding, scales)
    np.testing.assert_array_equal(decode(parts, encoding, real.shape, "f32"), real)
    assert len(np.unique(real)) == high - low + 1


def test_short_codes_share_bytes_lowest_bits_first() -> None:
    scales = {"scale": np.array(1, np.float32)}
    parts = encode(np.array([1, -2, 7], np.float32), Encoding("int4", Scale()), scales)
    assert parts["codes"].tolist() == [0xE1, 0x07]


def test_a_packed_matrix_lies_as_the_kernels_read_it() -> None:
    array = np.arange(6 * 5, dtype=np.float32).reshape(6, 5)
    stored = encode(array, Encoding("f32", None, Pack((0,), (4,))))["codes"]
    assert stored.shape == (2, 5, 4)
    np.testing.assert_array_equal(stored[0], array[:4].T)
    np.testing.assert_array_equal(stored[1, :, 2:], 0)


@quick
@given(affine())
def test_attributes_and_types_carry_the_encoding(case: tuple[tuple[int, ...], Encoding]) -> None:
    shape, encoding = case
    with CONTEXT, ir.Location.unknown():
        plain = ir.RankedTensorType.get(shape, ir.F32Type.get())
        kind = with_encoding(plain, encoding)
        assert encoding_of(ir.Type.parse(str(kind))) == encoding
        assert with_encoding(kind, None) == plain == with_encoding(kind, Encoding("f32"))


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
