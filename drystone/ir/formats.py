"""Named formats: compositions of the parts that encodings are made of (`drystone.ir.encoding`).

`axis` is the one a product sums over, 1 of a weight [outputs, inputs]: groups run along it, and a row is what
is summed for one output, or one token of an activation. Whatever a function takes has a default that is the
format's own. Scales are chosen by range unless `encode` is told to search."""

import inspect
from collections.abc import Callable
from functools import cache
from statistics import NormalDist
from typing import TypeVar

from drystone.ir.encoding import (
    Base3,
    Codes,
    Diagonal,
    Encoding,
    Huffman,
    Interleaved,
    Layout,
    Learned,
    LowRank,
    Mixed,
    OutlierColumns,
    OutlierElements,
    Per,
    Permuted,
    Planes,
    Product,
    Scale,
    Split,
    Sum,
    Table,
)
from drystone.registry import Registry

#: Every format by its name.
TABLE: Registry[Callable[..., Encoding]] = Registry("format")
_Made = TypeVar("_Made", bound=Callable[..., Encoding])

_F32, _F16, _POWER = Codes("f32"), Codes("f16"), Codes("e8m0")


def needed(function: Callable[..., Encoding]) -> list[str]:
    """What a format needs to know: its parameters without a default."""
    taken = inspect.signature(function).parameters
    return [name for name, each in taken.items() if each.default is inspect.Parameter.empty]


def _named(function: _Made) -> _Made:
    """Put a format into the table, under the name of its function."""
    TABLE.add(function.__name__, function)
    return function


@_named
def int8_tensor() -> Codes:
    """Bytes with one scale: static activations."""
    return Codes("int8", Scale())


@_named
def int8_row(axis: int = 1) -> Codes:
    """Bytes with a scale for every output channel, or token."""
    return Codes("int8", Scale(Per.row(axis)))


@_named
def int4_row(axis: int = 1) -> Codes:
    """4 bits with a scale for every output channel, or token (Agile-Quant: Shen et al. 2023)."""
    return Codes("int4", Scale(Per.row(axis)))


def integers(bits: int, group: int = 128, axis: int = 1, layout: Layout | None = None) -> Codes:
    """Integers of few bits, a scale and a zero point for each group: what GPTQ (Frantar et al. 2022) and AWQ
    (Lin et al. 2023) make, and with bit planes what T-MAC (Wei et al. 2024) reads."""
    code = f"uint{bits}"
    return Codes(code, Scale(Per.group(axis, group), _F16, zero_point=Codes(code)), layout)


@_named
def w4(group: int = 128, axis: int = 1) -> Codes:
    """`integers` of 4 bits."""
    return integers(4, group, axis)


@_named
def w3(group: int = 128, axis: int = 1) -> Codes:
    """`integers` of 3 bits."""
    return integers(3, group, axis)


@_named
def w2(group: int = 128, axis: int = 1) -> Codes:
    """`integers` of 2 bits."""
    return integers(2, group, axis)


@_named
def tmac(bits: int = 4, group: int = 128, axis: int = 1) -> Codes:
    """`integers` in bit planes (T-MAC)."""
    return integers(bits, group, axis, Planes())


@_named
def llm_int8(columns: int, axis: int = 1) -> OutlierColumns:
    """`int8_row`, and some positions of the sum in f16 (LLM.int8(): Dettmers et al. 2022); of an activation
    as many as `columns_beyond` 6."""
    return OutlierColumns(int8_row(axis), _F16, axis, columns)


@_named
def smoothquant(axis: int = 1) -> Diagonal:
    """`int8_row` of a weight times what its activation is divided by (SmoothQuant: Xiao et al. 2023)."""
    return Diagonal(int8_row(axis), axis, _F32)


@_named
def awq(group: int = 128, axis: int = 1) -> Diagonal:
    """`w4` of a weight times what its activation is divided by (AWQ: Lin et al. 2023)."""
    return Diagonal(w4(group, axis), axis, _F32)


@_named
def gptq(group: int = 128, axis: int = 1) -> Permuted:
    """`w4` in the order of activations (GPTQ with act-order: Frantar et al. 2022)."""
    return Permuted(w4(group, axis), axis)


@_named
def spqr(outliers: int, group: int = 16, axis: int = 1) -> OutlierElements:
    """3 bits in groups of 16 with scales and zero points of 3 bits in groups of 16 outputs, and the largest
    elements in f16 (SpQR: Dettmers et al. 2023)."""
    second = Scale(Per.group(1 - axis, 16), _F16, minimum=_F16)
    scale = Scale(Per.group(axis, group), Codes("uint3", second), zero_point=Codes("uint3", second))
    return OutlierElements(Codes("uint3", scale), _F16, outliers)


@_named
def bcq(bits: int = 3, group: int = 128, axis: int = 1, held: Encoding = _F16) -> Sum:
    """A sum of signs with a scale each (binary coding: Xu et al. 2018)."""
    return Sum((Codes("bip1", Scale(Per.group(axis, group), held)),) * bits)


@_named
def shiftadd(bits: int = 3, group: int = 128, axis: int = 1) -> Sum:
    """`bcq` whose scales are sums of three powers of two, so that products are shifts (ShiftAddLLM: You et
    al. 2024)."""
    return bcq(bits, group, axis, Sum((Codes("pot5", Scale(held=_POWER)),) * 3))


@_named
def bitmod4(group: int = 128, axis: int = 1) -> Codes:
    """e2m1 and one of -5, 5, -8, 8 in the place of the second zero (BitMoD: Chen et al. 2025)."""
    plain = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
    return _bitmod(plain, (-5.0, 5.0, -8.0, 8.0), group, axis)


@_named
def bitmod3(group: int = 128, axis: int = 1) -> Codes:
    """0, +-1, +-2, +-4 and one of -3, 3, -6, 6 (BitMoD: Chen et al. 2025)."""
    return _bitmod((0.0, 1.0, 2.0, 4.0, -1.0, -2.0, -4.0), (-3.0, 3.0, -6.0, 6.0), group, axis)


def _bitmod(plain: tuple[float, ...], special: tuple[float, ...], group: int, axis: int) -> Codes:
    table = Table(tuple((*plain, number) for number in special))
    return Codes(table, Scale(Per.group(axis, group), _F16))


@_named
def bipolar(bits: int = 2, axis: int = 1) -> Codes:
    """Odd numbers in bit planes: products of planes are sums of +-1 (ABQ-LLM: Zeng et al. 2024)."""
    return Codes(f"bip{bits}", Scale(Per.row(axis), _F16), Planes())


@_named
def fp6(axis: int = 1) -> Codes:
    """e3m2 in pieces of 2 and 4 bits (FP6-LLM: Xia et al. 2024)."""
    return Codes("e3m2", Scale(Per.row(axis), _F16), Split((2, 4)))


@_named
def fp8(code: str = "e4m3", axis: int = 1) -> Codes:
    """Floats of 8 bits with a scale for every row."""
    return Codes(code, Scale(Per.row(axis)))


@_named
def fp8_block(code: str = "e4m3", sizes: tuple[int, ...] = (128, 128)) -> Codes:
    """Floats of 8 bits with a scale for every block (DeepSeek-V3, 2024, section 3.3)."""
    return Codes(code, Scale(Per.block(sizes)))


@_named
def bfp(bits: int = 4, group: int = 32, axis: int = 1) -> Permuted:
    """Block floating point: integers with a common exponent, channels sorted by norm (Trukhanov and
    Soloveychik 2024)."""
    return Permuted(Codes(f"int{bits}", Scale(Per.group(axis, group), _POWER)), axis)


@_named
def dgq(group: int = 128, axis: int = 1) -> Codes:
    """4 bits with integer scales in groups and one real scale for every output: sums of products stay
    integers (DGQ: Zhang et al. 2023)."""
    held = Codes("int8", Scale(Per.row(axis)))
    return Codes("uint4", Scale(Per.group(axis, group), held, zero_point=Codes("uint4")))


@_named
def comet(wide: int, narrow: int, axis: int = 1) -> Permuted:
    """Channels ordered so that the `wide` largest, in whole blocks of 128, take 8 bits and the others 4
    (COMET: Liu et al. 2024, W4Ax)."""
    sizes = narrow, wide
    ranges = tuple(Codes(code, Scale(Per.group(axis, 128), _F16)) for code in ("int4", "int8"))
    return Permuted(Mixed(axis, sizes, ranges), axis)


@_named
def adadim(along_outputs: bool, bits: int = 4, group: int = 128, axis: int = 1) -> Codes:
    """`integers` in groups along the inputs or along the outputs, as a layer's error asks for (AdaDim: Heo et
    al. 2024)."""
    return integers(bits, group, 1 - axis if along_outputs else axis)


@_named
def bitstack(blocks: int = 4, rank: int = 16, axis: int = 1) -> Diagonal:
    """A sum, to be cut anywhere, of signs times the `rank` largest singular parts of magnitudes, of a weight
    scaled by its activations (BitStack: Wang et al. 2024)."""
    return Diagonal(Sum((Product((Codes("bip1"), LowRank(rank, _F16, _F16))),) * blocks), axis, _F32)


@_named
def palettized(bits: int = 4, per: Per | None = None) -> Codes:
    """Learned codebooks (eDKM: Cho et al. 2023), one for all unless `per` says."""
    return Codes(Learned(bits, _F16, per or Per.tensor()))


@_named
def dfloat11(layout: Huffman | None = None) -> Codes:
    """bf16 without loss, its exponents entropy coded (DFloat11: Zhang et al. 2025); how many bytes those take
    is in the layout, which `Encoding.settled` finds for the numbers."""
    return Codes("bf16", None, layout or Huffman())


@_named
def ternary(group: int = 0, axis: int = 1, layout: Layout | None = None) -> Codes:
    """-1, 0 and 1 times a scale for all, or for each group, in 2 bits unless the layout is another (BitNet
    b1.58: Ma et al. 2024; with absolute means where scales are chosen by range)."""
    per = Per.group(axis, group) if group else Per.tensor()
    return Codes("ternary", Scale(per, _F16), layout)


@_named
def ternary_i2s(group: int = 0, axis: int = 1) -> Codes:
    """`ternary` as bitnet.cpp's I2_S has it: 128 codes to 32 bytes."""
    return ternary(group, axis, Interleaved(128, high_first=True))


@_named
def ternary_base3(group: int = 256, axis: int = 1) -> Codes:
    """`ternary` with five codes to a byte: 1.6 bits."""
    return ternary(group, axis, Base3())


@_named
def binary(axis: int = 1, group: int = 0) -> Codes:
    """Signs times the mean magnitude of a row (XNOR-Net: Rastegari et al. 2016), or of a group."""
    return Codes("bip1", Scale(Per.group(axis, group) if group else Per.row(axis), _F16))


@_named
def denseshift(bits: int = 3, axis: int = 1) -> Codes:
    """Signed powers of two without zero (DenseShift: Li et al. 2022)."""
    return Codes(f"pot{bits}", Scale(Per.row(axis), _F16))


def corrected(base: Encoding, rank: int) -> Sum:
    """An encoding, and what it lacks in `rank` singular parts, in f16."""
    return Sum((base, LowRank(rank, _F16, _F16)))


@_named
def int21(rank: int = 16, group: int = 128, axis: int = 1) -> Sum:
    """`w2` and what it lacks in `rank` singular parts (INT2.1: Chai et al. 2023)."""
    return corrected(w2(group, axis), rank)


@_named
def hgf(rank: int = 16) -> Sum:
    """`ternary` and what it lacks in `rank` singular parts; their gate is in the left matrix (hybrid gated
    flow)."""
    return corrected(ternary(), rank)


@cache
def _normal_float() -> tuple[float, ...]:
    offset = (1 - 1 / 32 + 1 - 1 / 30) / 2
    quantile = NormalDist().inv_cdf
    above = [quantile(offset + (0.5 - offset) * i / 8) for i in range(8)]
    below = [-quantile(offset + (0.5 - offset) * i / 7) for i in range(7)]
    return tuple(number / above[0] for number in sorted([*below, 0.0, *above]))


@_named
def nf4(group: int = 64, axis: int = 1) -> Codes:
    """Quantiles of the normal distribution (NF4 of QLoRA: Dettmers et al. 2023, appendix E)."""
    return Codes(Table((_normal_float(),)), Scale(Per.group(axis, group), _F16))


@cache
def _dynamic_tree() -> tuple[float, ...]:
    """A sign, leading zeros for a decimal exponent, a one, and a fraction in what bits are left: the middles
    of equal parts between 0.1 and 1. Two codes are over, for 0 and 1."""
    found = [0.0, 1.0]
    for bits in range(7):
        step = 0.9 / 2**bits
        middles = [0.1 + step * (part + 0.5) for part in range(2**bits)]
        found += [sign * middle * 10.0 ** (bits - 6) for sign in (1, -1) for middle in middles]
    return tuple(sorted(found))


@_named
def dynamic8(group: int = 2048, axis: int = 1) -> Codes:
    """The dynamic tree of 256 numbers that 8-bit optimizers hold their states in (Dettmers et al. 2022,
    section 1.3), in groups."""
    return Codes(Table((_dynamic_tree(),)), Scale(Per.group(axis, group)))


@_named
def mxfp4(axis: int = 1) -> Codes:
    """e2m1 in groups of 32 with a power of two (OCP Microscaling 1.0, section 5; the order of nibbles is
    GGUF's)."""
    return Codes("e2m1", Scale(Per.group(axis, 32), _POWER), Interleaved(32))


@_named
def mxfp8(code: str = "e4m3", axis: int = 1) -> Codes:
    """e4m3 or e5m2 in groups of 32 with a power of two (OCP Microscaling 1.0, section 5)."""
    return Codes(code, Scale(Per.group(axis, 32), _POWER))


@_named
def nvfp4(axis: int = 1) -> Codes:
    """e2m1 in groups of 16 with an e4m3 scale, and one f32 scale for all (NVIDIA's NVFP4; the order of
    nibbles is GGUF's)."""
    return Codes("e2m1", Scale(Per.group(axis, 16), Codes("ue4m3", Scale())), Interleaved(16))


@_named
def q4_0(axis: int = 1) -> Codes:
    """GGUF's Q4_0: 4 bits in groups of 32."""
    return Codes("int4", Scale(Per.group(axis, 32), _F16), Interleaved(32, offset=True))


@_named
def q4_1(axis: int = 1) -> Codes:
    """GGUF's Q4_1: 4 bits in groups of 32 with a minimum."""
    return Codes("uint4", Scale(Per.group(axis, 32), _F16, minimum=_F16), Interleaved(32))


@_named
def q5_0(axis: int = 1) -> Codes:
    """GGUF's Q5_0: 5 bits in groups of 32."""
    return Codes("int5", Scale(Per.group(axis, 32), _F16))


@_named
def q5_1(axis: int = 1) -> Codes:
    """GGUF's Q5_1: 5 bits in groups of 32 with a minimum."""
    return Codes("uint5", Scale(Per.group(axis, 32), _F16, minimum=_F16))


@_named
def q8_0(axis: int = 1) -> Codes:
    """GGUF's Q8_0: bytes in groups of 32."""
    return Codes("int8", Scale(Per.group(axis, 32), _F16))


@_named
def q2_k(axis: int = 1) -> Codes:
    """GGUF's Q2_K: 2 bits in groups of 16, whose scales and minima of 4 bits have scales for 16 groups."""
    second = Codes("uint4", Scale(Per.group(axis, 16), _F16))
    return Codes("uint2", Scale(Per.group(axis, 16), second, minimum=second))


@_named
def q3_k(axis: int = 1) -> Codes:
    """GGUF's Q3_K: 3 bits in groups of 16, with scales of 6 bits that have a scale for 16 groups."""
    return Codes("int3", Scale(Per.group(axis, 16), Codes("int6", Scale(Per.group(axis, 16), _F16))))


@_named
def q4_k(axis: int = 1) -> Codes:
    """GGUF's Q4_K: 4 bits in groups of 32, with scales and minima of 6 bits that have scales for 8 groups."""
    second = Codes("uint6", Scale(Per.group(axis, 8), _F16))
    return Codes("uint4", Scale(Per.group(axis, 32), second, minimum=second), Interleaved(64))


@_named
def q5_k(axis: int = 1) -> Codes:
    """GGUF's Q5_K: `q4_k` of 5 bits."""
    second = Codes("uint6", Scale(Per.group(axis, 8), _F16))
    return Codes("uint5", Scale(Per.group(axis, 32), second, minimum=second))


@_named
def q6_k(axis: int = 1) -> Codes:
    """GGUF's Q6_K: 6 bits in groups of 16, with scales of a byte that have a scale for 16 groups."""
    return Codes("int6", Scale(Per.group(axis, 16), Codes("int8", Scale(Per.group(axis, 16), _F16))))


#: What the codes of IQ4_NL and IQ4_XS stand for.
_NON_LINEAR = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


@_named
def iq4_nl(axis: int = 1) -> Codes:
    """GGUF's IQ4_NL: a codebook of 16 numbers, denser near 0, in groups of 32."""
    table = Table((tuple(map(float, _NON_LINEAR)),))
    return Codes(table, Scale(Per.group(axis, 32), _F16), Interleaved(32))


@_named
def iq4_xs(axis: int = 1) -> Codes:
    """GGUF's IQ4_XS: `iq4_nl` with scales of 6 bits that have a scale for 8 groups."""
    held = Codes("int6", Scale(Per.group(axis, 8), _F16))
    return Codes(iq4_nl(axis).element, Scale(Per.group(axis, 32), held), Interleaved(32))


@_named
def tq1_0(axis: int = 1) -> Codes:
    """The numbers of GGUF's TQ1_0: `ternary_base3`."""
    return ternary_base3(256, axis)


@_named
def tq2_0(axis: int = 1) -> Codes:
    """GGUF's TQ2_0: `ternary` in groups of 256, in 2 bits."""
    return ternary(256, axis, Interleaved(128))


@_named
def nvfp4_blocks(axis: int = 1) -> Codes:
    """`nvfp4` without the scale for all, as the blocks of GGUF's NVFP4 are."""
    return Codes("e2m1", Scale(Per.group(axis, 16), Codes("ue4m3")), Interleaved(16))


@_named
def q1_0(axis: int = 1) -> Codes:
    """GGUF's Q1_0: signs in groups of 128 with the mean magnitude."""
    return binary(axis, 128)


@_named
def q2_0(axis: int = 1) -> Codes:
    """GGUF's Q2_0: -1, 0, 1 and 2 in groups of 64."""
    return Codes(Table(((-1.0, 0.0, 1.0, 2.0),)), Scale(Per.group(axis, 64), _F16))
