"""Named formats: their error is that of reference figures, their numbers those of other decoders."""

from collections.abc import Callable

import gguf
import ml_dtypes
import numpy as np
import pytest

from benchmarks.formats import REFERENCE, Row, distributions, error
from drystone.ir import formats
from drystone.ir.elements import from_bf16, to_bf16
from drystone.ir.encoding import BY_RANGE, Codes, Encoding, Huffman, Interleaved, decode, encode
from drystone.ir.encoding.entropy import code_lengths

ROWS, COLUMNS = 3, 512
KINDS = gguf.GGMLQuantizationType
#: Bits of a weight where groups divide it: what the formats' papers say.
BITS = {
    "int8_row": 8 + 32 / 1024,
    "w4": 4 + 20 / 128,
    "w2": 2 + 18 / 128,
    "tmac": 4 + 20 / 128,
    "bitmod4": 4 + 18 / 128,
    "bitmod3": 3 + 18 / 128,
    "fp6": 6 + 16 / 1024,
    "bcq": 3 + 48 / 128,
    "dgq": 4 + 12 / 128 + 32 / 1024,
    "nf4": 4.25,
    "mxfp4": 4.25,
    "mxfp8": 8.25,
    "nvfp4": 4.5 + 32 / 1024**2,
    "q4_0": 4.5,
    "q8_0": 8.5,
    "q4_k": 4.5,
    "q6_k": 6.5625,
    "q1_0": 1.125,
    "q2_0": 2.25,
    "ternary": 2 + 16 / 1024**2,
    "ternary_base3": 205 * 8 / 1024 + 16 / 256,
    "denseshift": 3 + 16 / 1024,
}


@pytest.mark.parametrize("name", BITS)
def test_bits_of_a_weight_count_everything(name: str) -> None:
    assert formats.TABLE[name]().bits((1024, 1024)) == BITS[name]


@pytest.mark.parametrize("row", REFERENCE, ids=lambda row: row.name)
def test_error_is_that_of_the_reference(row: Row) -> None:
    """Of a part of the numbers, whose own error is within 1.5 % of that of all."""
    assert row.reference is not None
    part = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)[:256]
    assert error(part, row.encoding, row.search) == pytest.approx(row.reference[0], rel=0.02)


#: Systems of quantization, the format that holds their numbers, and its squared error on normal numbers.
SYSTEMS: dict[str, tuple[Encoding, float]] = {
    "LLM.int8": (formats.llm_int8(16), 5.93e-5),
    "SpQR": (formats.spqr(1000), 0.0216),
    "ShiftAddLLM": (formats.shiftadd(), 0.0578),
    "ABQ-LLM": (formats.bipolar(4), 0.0177),
    "T-MAC": (formats.tmac(), 0.0101),
    "block floating point": (formats.bfp(), 0.0172),
    "DGQ": (formats.dgq(), 0.0101),
    "COMET": (formats.comet(128, 896), 0.0118),
    "AdaDim": (formats.adadim(True), 0.0101),
    "MobileQuant": (formats.smoothquant(), 4.89e-5),
    "BitStack": (formats.bitstack(), 0.0161),
    "eDKM": (formats.palettized(), 0.0096),
    "DFloat11": (formats.dfloat11(Huffman()), 2.76e-6),
    "BitNet": (formats.ternary_i2s(), 0.263),
    "BitNet in base 3": (formats.ternary_base3(), 0.262),
    "BiBench": (formats.binary(), 0.363),
    "DenseShift": (formats.denseshift(), 0.059),
    "Agile-Quant": (formats.int4_row(), 0.0203),
    "INT2.1": (formats.int21(), 0.222),
    "HGF": (formats.hgf(), 0.23),
    "8-bit optimizers": (formats.dynamic8(), 1.43e-4),
    "GPTQ": (formats.gptq(), 0.0101),
    "AWQ": (formats.awq(), 0.0106),
    "DeepSeek-V3": (formats.fp8_block(), 6.98e-4),
    "IQ4_XS": (formats.iq4_xs(), 0.00752),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_have_formats(name: str) -> None:
    encoding, wanted = SYSTEMS[name]
    array = np.random.default_rng(0).standard_normal((256, 1024)).astype(np.float32)
    encoding = encoding.settled(array.astype(np.float64))
    assert not list(encoding.problems(array.shape))
    assert error(array, encoding) == pytest.approx(wanted, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("row", REFERENCE, ids=lambda row: row.name)
def test_error_is_that_of_the_reference_on_all_numbers(row: Row) -> None:
    assert row.reference is not None
    found = [error(array, row.encoding, row.search) for array in distributions()]
    assert found == pytest.approx(row.reference, rel=0.01)


def random_bytes(block: int, per: int) -> np.ndarray:
    """Random blocks of a GGUF tensor."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (ROWS, COLUMNS // per, block), dtype=np.uint8)


def finite_halves(blocks: np.ndarray, at: int) -> np.ndarray:
    """The f16 numbers at a place of every block, made finite."""
    blocks[..., at + 1] &= 0xBB
    return np.ascontiguousarray(blocks[..., at : at + 2]).view(np.float16)[..., 0]


def q4_0() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    blocks = random_bytes(18, 32)
    return blocks, {"scale": finite_halves(blocks, 0), "codes": blocks[..., 2:]}


def q8_0() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    blocks = random_bytes(34, 32)
    scale = finite_halves(blocks, 0)
    return blocks, {"scale": scale, "codes": blocks[..., 2:].reshape(ROWS, COLUMNS).view(np.int8)}


def mxfp4() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    blocks = random_bytes(17, 32)
    blocks[..., 0] = np.minimum(blocks[..., 0], 250)
    return blocks, {"scale": blocks[..., 0], "codes": blocks[..., 1:]}


def nvfp4() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    blocks = random_bytes(36, 64)
    blocks[..., :4] = np.minimum(blocks[..., :4] & 0x7F, 0x7E)
    scale = blocks[..., :4].reshape(ROWS, COLUMNS // 16)
    codes = blocks[..., 4:].reshape(ROWS, COLUMNS // 16, 8)
    return blocks, {"scale": scale, "scale.scale": np.array(1, np.float32), "codes": codes}


def q4_k() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    blocks = random_bytes(144, 256)
    d, dmin = finite_halves(blocks, 0), finite_halves(blocks, 2)
    low, high, rest = (blocks[..., 4 + 4 * i : 8 + 4 * i] for i in range(3))
    scales = np.concatenate([low & 63, rest & 15 | low >> 6 << 4], -1).reshape(ROWS, COLUMNS // 32)
    minima = np.concatenate([high & 63, rest >> 4 | high >> 6 << 4], -1).reshape(ROWS, COLUMNS // 32)
    six = Codes("uint6")
    parts = {"scale": six.laid(scales)["codes"], "minimum": six.laid(minima)["codes"]}
    codes = blocks[..., 16:].reshape(ROWS, COLUMNS // 64, 32)
    return blocks, parts | {"scale.scale": d, "minimum.scale": dmin, "codes": codes}


def q6_k() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    blocks = random_bytes(210, 256)
    d = finite_halves(blocks, 208)
    low = blocks[..., :128].reshape(ROWS, -1, 2, 2, 32)  # [.., half, 32 of 64, byte]
    high = blocks[..., 128:192].reshape(ROWS, -1, 2, 32)
    quarters = [low[..., q % 2, :] >> 4 * (q // 2) & 15 | (high >> 2 * q & 3) << 4 for q in range(4)]
    codes = np.stack(quarters, -2).reshape(ROWS, COLUMNS).astype(np.int8) - np.int8(32)
    scales = blocks[..., 192:208].reshape(ROWS, COLUMNS // 16).view(np.int8)
    return blocks, {"scale": scales, "scale.scale": d, "codes": Codes("int6").laid(codes)["codes"]}


def tq2_0() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    blocks = random_bytes(66, 256)
    blocks[..., :64] &= ~(blocks[..., :64] >> 1) | 0xAA  # no code is 3
    scale = finite_halves(blocks, 64)
    return blocks, {"scale": scale, "codes": blocks[..., :64].reshape(ROWS, COLUMNS // 128, 32)}


GGUF: dict[str, tuple[Callable[[], tuple[np.ndarray, dict[str, np.ndarray]]], Encoding]] = {
    "Q4_0": (q4_0, formats.q4_0()),
    "Q8_0": (q8_0, formats.q8_0()),
    "MXFP4": (mxfp4, formats.mxfp4()),
    "NVFP4": (nvfp4, formats.nvfp4()),
    "Q4_K": (q4_k, formats.q4_k()),
    "Q6_K": (q6_k, formats.q6_k()),
    "TQ2_0": (tq2_0, formats.ternary(256, layout=Interleaved(128))),
}


@pytest.mark.parametrize("name", GGUF)
def test_blocks_of_gguf_are_parts(name: str) -> None:
    make, encoding = GGUF[name]
    blocks, parts = make()
    theirs = gguf.quants.dequantize(blocks.reshape(ROWS, -1), KINDS[name])
    ours = decode(parts, encoding, (ROWS, COLUMNS), "f32")
    np.testing.assert_array_equal(ours, theirs)
    declared = encoding.parts((ROWS, COLUMNS))
    assert {part: array.shape for part, array in parts.items()} == {p: s for p, (s, _) in declared.items()}


def test_microscaled_bytes_are_floats_times_powers() -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(8, 32)
    powers = np.array([0, 1, 100, 126, 127, 128, 150, 200], np.uint8)[:, None]
    real = codes.view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    scales = powers.view(ml_dtypes.float8_e8m0fnu).astype(np.float64)
    ours = decode({"codes": codes, "scale": powers}, formats.mxfp8(), (8, 32), "f64")
    np.testing.assert_array_equal(ours, real * scales)


def test_bf16_is_held_without_loss() -> None:
    every = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    encoding = formats.dfloat11(Huffman.of(every, block=1000))
    np.testing.assert_array_equal(decode(encode(every, encoding), encoding, every.shape, "bf16"), every)


def test_bf16_of_a_normal_distribution_takes_10_6_bits() -> None:
    array = to_bf16(np.random.default_rng(0).normal(0, 0.02, (1024, 1024)))
    encoding = formats.dfloat11().settled(from_bf16(array))
    assert encoding == formats.dfloat11(Huffman.of(array))
    np.testing.assert_array_equal(decode(encode(array, encoding), encoding, array.shape, "bf16"), array)
    assert encoding.bits(array.shape) == pytest.approx(10.6, abs=0.02)


def test_huffman_codes_are_short_and_complete() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 45:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    for counts in ([3], [0, 5, 0, 5], [1, 2, 4, 8, 16], fibonacci):
        lengths = code_lengths(np.array(counts))
        used = lengths[np.array(counts) > 0]
        assert used.max() <= 32 and (lengths[np.array(counts) == 0] == 0).all()
        assert (0.5**used).sum() == 1 or len(used) == 1


def test_searching_scales_never_loses() -> None:
    array = np.random.default_rng(0).standard_t(4, (64, 256)).astype(np.float32)
    for row in REFERENCE:
        assert error(array, row.encoding, row.search) <= error(array, row.encoding, BY_RANGE) * 1.001 or (
            row.search.factors == (2.0,)
        )


def test_normal_floats_are_those_of_the_paper() -> None:
    element = formats.nf4().element
    assert not isinstance(element, str) and hasattr(element, "tables")
    (table,) = element.tables
    assert len(table) == 16 and table[7] == 0 and (table[0], table[15]) == (-1, 1)
    np.testing.assert_allclose(table[8:11], [0.0795803, 0.1609302, 0.2461123], atol=1e-6)
    np.testing.assert_allclose(table[1:4], [-0.6961928, -0.5250731, -0.3949175], atol=1e-6)


def test_a_sum_is_cut_anywhere() -> None:
    array = np.random.default_rng(0).standard_normal((64, 64))
    stack = formats.bitstack(6, 4).base
    parts = encode(array, stack)
    errors = []
    for count in range(1, 7):
        first = stack.prefix(count)
        own = {name: parts[name] for name in first.parts(array.shape)}
        errors.append(np.square(decode(own, first, array.shape, "f64") - array).sum())
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.05 * errors[0]


def test_what_is_lacking_in_singular_parts_is_their_tail() -> None:
    """Eckart and Young: a correction of rank r leaves the singular values after r."""
    array = np.random.default_rng(0).standard_normal((48, 64))
    plain = formats.w2(64)
    lacking = array - decode(encode(array, plain), plain, array.shape, "f64")
    values = np.linalg.svd(lacking, compute_uv=False)
    for rank in (1, 8, 32):
        encoding = formats.int21(rank, 64)
        left = array - decode(encode(array, encoding), encoding, array.shape, "f64")
        assert np.square(left).sum() == pytest.approx(np.square(values[rank:]).sum(), rel=1e-3)


def test_outliers_leave_the_scales_of_others_alone() -> None:
    array = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    array[:, 7] *= 60
    apart, rows = formats.llm_int8(1), formats.int8_row()
    parts = encode(array, apart)
    assert parts["index"].tolist() == [7] and parts["kept"].shape == (64, 1)
    regular = np.delete(np.arange(256), 7)

    def lost(encoding: Encoding) -> float:
        back = decode(encode(array, encoding), encoding, array.shape, "f64")
        return float(np.square(back - array)[:, regular].sum())

    assert lost(apart) < lost(rows) / 10
    none = formats.llm_int8(0)
    np.testing.assert_array_equal(
        decode(encode(array, none), none, array.shape, "f32"),
        decode(encode(array, rows), rows, array.shape, "f32"),
    )


def test_dense_and_sparse_parts_add_up() -> None:
    array = np.random.default_rng(0).standard_t(2, (40, 96)).astype(np.float32)
    encoding = formats.spqr(100)
    parts = encode(array, encoding)
    back = decode(parts, encoding, array.shape, "f64")
    largest = np.argsort(-np.abs(array).ravel())[:100]
    np.testing.assert_allclose(back.ravel()[largest], array.ravel()[largest], rtol=2e-3)
    assert parts["starts"][-1] == 100 and (np.diff(parts["starts"]) >= 0).all()


def test_sorted_channels_share_exponents() -> None:
    random = np.random.default_rng(0)
    array = random.standard_normal((64, 256)) * np.exp2(random.integers(-4, 5, 256))
    held = formats.bfp()

    def lost(encoding: Encoding) -> float:
        """The error of a channel beside its own numbers, on average."""
        back = decode(encode(array, encoding), encoding, array.shape, "f64")
        return float((np.square(back - array).sum(0) / np.square(array).sum(0)).mean())

    assert lost(held) < lost(held.base) / 4
    parts = encode(array, held)
    mirrored = encode(array, held, {"order": np.arange(256)[::-1].astype(np.int16)})
    assert sorted(parts["order"]) == list(range(256)) and mirrored["order"][0] == 255


def test_given_scales_are_kept() -> None:
    array = np.random.default_rng(0).standard_normal((4, 128))
    given = {"diagonal": np.linspace(0.5, 2, 128).astype(np.float32)}
    parts = encode(array, formats.awq(), given)
    np.testing.assert_array_equal(parts["diagonal"], given["diagonal"])
    scaled = encode(array * given["diagonal"].astype(np.float64), formats.w4())
    np.testing.assert_array_equal(parts["base"], scaled["codes"])
