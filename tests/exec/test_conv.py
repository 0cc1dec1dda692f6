"""Convolutions as machine code against the reference interpreter."""

from typing import Any

import numpy as np
import pytest

from drystone.codegen import families
from drystone.mlir import ir
from drystone.targets import registry
from tests.exec import dry_cases
from tests.exec.families import shared_context

BLOCKED: dict[str, Any] = {"channels": 32, "out": 64, "pack": 32, "size": (9, 14), "padding": [1] * 4}
IMAGE: dict[str, Any] = {**BLOCKED, "channels": 3, "layout": "nchw-nhwc"}
POINTWISE: dict[str, Any] = {**BLOCKED, "kernel": (1, 1), "padding": None}
DEPTHWISE: dict[str, Any] = {"channels": 40, "out": 40, "groups": 40, "size": (9, 13), "padding": [1] * 4}
CASES: dict[str, dict[str, Any]] = {
    "blocked": {**BLOCKED, "extras": 2},
    "batch": {**BLOCKED, "batch": 3},
    "ragged channels": {**BLOCKED, "channels": 21, "out": 50, "extras": 2},
    "two lines": {**BLOCKED, "size": (7, 7), "extras": 1},
    "asymmetric padding": {**BLOCKED, "padding": [0, 2, 3, 1]},
    "strided": {**BLOCKED, "strides": [2, 2], "size": (15, 29)},
    "strided, no padding": {**BLOCKED, "strides": [2, 3], "padding": None},
    "dilated": {**BLOCKED, "dilation": [2, 3], "padding": [2, 2, 3, 3]},
    "stem": {**BLOCKED, "channels": 3, "kernel": (7, 7), "strides": [2, 2], "size": (23, 40), "extras": 1},
    "image": {
        **IMAGE,
        "kernel": (7, 7),
        "strides": [2, 2],
        "padding": [3] * 4,
        "size": (23, 61),
        "extras": 1,
    },
    "image, asymmetric padding": {**IMAGE, "padding": [0, 2, 2, 1], "batch": 2, "extras": 2},
    "image, patches": {**IMAGE, "kernel": (16, 16), "strides": [16, 16], "size": (32, 80), "padding": None},
    "image, 1-D, dilated": {**IMAGE, "kernel": (3,), "dilation": [2], "size": (50,), "padding": [2, 2]},
    "image, 3-D": {**IMAGE, "kernel": (2, 3, 3), "size": (4, 5, 19), "padding": [1] * 6},
    "image, height known at the call": {**IMAGE, "batch": 2, "dynamic": (0, 2)},
    "image, plain weight": {**IMAGE, "pack": 0},
    "image, width known at the call": {**IMAGE, "dynamic": (0, 2, 3)},
    "height known at the call": {**BLOCKED, "batch": 2, "dynamic": (0, 1)},
    "padding beyond the image": {**BLOCKED, "size": (3, 5), "padding": [3, 4, 4, 3], "extras": 1},
    "lines that meet in the cache": {
        **BLOCKED,
        "channels": 1024,
        "strides": [1, 2],
        "size": (5, 40),
        "out": 32,
    },
    "grouped": {**BLOCKED, "groups": 2},
    "1-D": {**BLOCKED, "size": (50,), "kernel": (5,), "padding": [2, 2]},
    "3-D": {**BLOCKED, "size": (4, 5, 6), "kernel": (3, 3, 3), "padding": [1] * 6},
    "dynamic": {**BLOCKED, "batch": 2, "dynamic": (0, 1, 2), "extras": 2},
    "dynamic, smaller than a tile": {**BLOCKED, "size": (3, 2), "dynamic": (0, 1, 2)},
    "pointwise": {**POINTWISE, "extras": 2},
    "pointwise, dynamic": {**POINTWISE, "dynamic": (0, 1, 2)},
    "pointwise, strided": {**POINTWISE, "strides": [2, 3], "size": (9, 14), "batch": 2, "extras": 2},
    "pointwise, strided, 1-D": {**POINTWISE, "strides": [2], "size": (30,), "kernel": (1,), "extras": 1},
    "pointwise, strided, 3-D": {**POINTWISE, "strides": [1, 2, 2], "size": (3, 5, 6), "kernel": (1, 1, 1)},
    "pointwise, pixels that meet in the cache": {**POINTWISE, "channels": 1024, "size": (5, 7)},
    "depthwise": {**DEPTHWISE, "pack": 32, "extras": 2},
    "depthwise, strided": {**DEPTHWISE, "pack": 32, "strides": [2, 2]},
    "depthwise, plain weight, dynamic": {**DEPTHWISE, "dynamic": (0, 1, 2)},
    "depthwise, 5 taps, dilated": {
        **DEPTHWISE,
        "kernel": (5, 5),
        "dilation": [2, 1],
        "padding": [4, 4, 2, 1],
    },
    "depthwise, wider than the image": {
        **DEPTHWISE,
        "size": (2, 2),
        "kernel": (5, 5),
        "padding": [2] * 4,
    },
    "plain weight": {"padding": [1] * 4, "out": 40, "extras": 2},
    "channels first": {"layout": "nchw", "padding": [1] * 4, "strides": [2, 2], "extras": 2},
    "channels first, groups": {"groups": 4, "out": 20, "layout": "nchw", "padding": [1] * 4},
    "channels first, dynamic": {"layout": "nchw", "padding": [1] * 4, "dynamic": (0, 2, 3)},
    "channels first, 3-D": {"layout": "nchw", "size": (3, 4, 5), "kernel": (2, 2, 2)},
    "small groups": {"groups": 4, "out": 16, "pack": 16, "padding": [1] * 4},
    "transposed": {"transposed": True, "strides": [2, 3], "output_padding": [1, 0], "extras": 2},
    "transposed, packed": {
        **BLOCKED,
        "transposed": True,
        "strides": [2, 2],
        "kernel": (4, 4),
        "size": (5, 6),
    },
    "transposed, dilated, groups": {
        "transposed": True,
        "groups": 2,
        "strides": [2, 3],
        "dilation": [3, 2],
        "layout": "nchw",
    },
    "transposed, 1-D, dynamic": {
        "transposed": True,
        "size": (5,),
        "kernel": (4,),
        "strides": [2],
        "dynamic": (0, 1),
    },
}


@pytest.mark.parametrize("name", CASES)
def test_convolution_computes_what_the_reference_says(name: str) -> None:
    case = dry_cases.conv(**CASES[name])
    case.check(case.executed(), 1e-5)


def test_units_of_the_grid_are_independent() -> None:
    case = dry_cases.conv(**{**BLOCKED, "batch": 2, "out": 160, "extras": 2})
    case.check(case.executed(singly=True), 1e-5)


@pytest.mark.parametrize("name", ["blocked", "stem", "depthwise", "pointwise, dynamic", "channels first"])
def test_narrower_vectors_compute_the_same(name: str) -> None:
    case = dry_cases.conv(**CASES[name])
    case.check(case.executed(registry.resolve("cpu:avx2")), 1e-5)


DEEP: dict[str, Any] = {**BLOCKED, "channels": 200, "size": (5, 7)}
WIDE: dict[str, Any] = {**POINTWISE, "channels": 256, "out": 512, "size": (5, 7)}
#: Whether the next block of the weight is asked for while the image passes by one.
ASKED: dict[str, tuple[dict[str, Any], bool]] = {
    "direct": (DEEP, True),
    "direct, strided, batch": ({**DEEP, "strides": [2, 2], "batch": 2, "extras": 1}, True),
    "direct, several blocks together": (BLOCKED, False),
    "direct, one block": ({**DEEP, "out": 32}, False),
    "pointwise": (WIDE, True),
    "pointwise, ragged, batch": ({**WIDE, "out": 500, "batch": 2, "extras": 1}, True),
    "pointwise, strided": ({**WIDE, "strides": [2, 2], "size": (6, 9)}, True),
    "pointwise, few weights": (POINTWISE, False),
    "pointwise, more pixels than weights": ({**WIDE, "size": (40, 40)}, False),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_next_block_of_the_weight_is_asked_for(name: str) -> None:
    form, asked = ASKED[name]
    case, machine = dry_cases.conv(**form), registry.resolve("cpu:avx512")
    with shared_context(), ir.Location.unknown():
        program = families.tile_program_of(case.function, machine)
    assert ("prefetch to read" in str(program)) == asked
    case.check(case.executed(machine), 1e-4)


@pytest.mark.parametrize(("element", "tolerance"), [(np.float64, 1e-12), (np.float16, 2e-3), (np.int32, 0)])
@pytest.mark.parametrize(
    "form", [BLOCKED, DEPTHWISE, {"layout": "nchw"}], ids=["blocked", "depthwise", "nchw"]
)
def test_other_elements(form: dict[str, Any], element: Any, tolerance: float) -> None:
    case = dry_cases.conv(**form, element=element)
    case.check(case.executed(), tolerance)


BYTES: dict[str, Any] = {**BLOCKED, "group": 4, "stored": np.int8, "extras": 2}
STRIDED_IMAGE: dict[str, Any] = {
    **BYTES,
    "layout": "nchw-nhwc",
    "channels": 3,
    "size": (23, 35),
    "kernel": (7, 7),
    "strides": [2, 2],
    "padding": [3, 3, 2, 4],
    "batch": 2,
}
IN_BYTES: dict[str, dict[str, Any]] = {
    "flat": BYTES,
    "sums": {**BYTES, "stored": np.int32, "extras": 0},
    "long lines": {**BYTES, "size": (5, 40)},
    "long lines, strided": {**BYTES, "size": (9, 61), "strides": [2, 2]},
    "ragged channels": {**BYTES, "channels": 68, "out": 50},
    "few channels": {**BYTES, "channels": 12, "out": 50},
    "few channels, strided": {**BYTES, "channels": 4, "strides": [2, 2], "size": (15, 29)},
    "strided": {**BYTES, "strides": [2, 2], "size": (15, 29), "channels": 64},
    "not whole lanes": {**BYTES, "channels": 21, "size": (7, 30)},
    "not whole lanes, flat": {**BYTES, "channels": 21, "batch": 2},
    "image": {**BYTES, "layout": "nchw-nhwc", "channels": 3, "size": (9, 70)},
    "image, strided": STRIDED_IMAGE,
    "image, long strides": {**STRIDED_IMAGE, "kernel": (7, 5), "strides": [3, 2], "out": 70},
    "grey image": {**BYTES, "layout": "nchw-nhwc", "channels": 1, "size": (12, 19), "kernel": (5, 4)},
    "image, dilated": {**BYTES, "layout": "nchw-nhwc", "channels": 2, "size": (14, 40), "dilation": [3, 2]},
    "image, height known at the call": {
        **BYTES,
        "layout": "nchw-nhwc",
        "channels": 3,
        "size": (9, 20),
        "dynamic": (0, 2),
        "batch": 2,
    },
    "image, pointwise": {**BYTES, "layout": "nchw-nhwc", "channels": 3, "kernel": (1, 1), "padding": None},
    "dilated": {**BYTES, "dilation": [2, 3], "padding": [2, 2, 3, 3]},
    "padding beyond the image": {**BYTES, "size": (3, 5), "padding": [3, 4, 4, 3]},
    "batch": {**BYTES, "batch": 3, "channels": 64, "size": (7, 7)},
    "height known at the call": {**BYTES, "batch": 2, "dynamic": (0, 1)},
    "1-D": {**BYTES, "size": (50,), "kernel": (5,), "padding": [2, 2]},
    "3-D": {**BYTES, "size": (4, 5, 6), "kernel": (3, 3, 3), "padding": [1] * 6},
    "pointwise": {**BYTES, "kernel": (1, 1), "padding": None},
    "pointwise, ragged": {**BYTES, "kernel": (1, 1), "padding": None, "channels": 100, "out": 50},
    "pointwise, few channels": {**BYTES, "kernel": (1, 1), "padding": None, "channels": 8},
    "pointwise, strided": {**BYTES, "kernel": (1, 1), "padding": None, "strides": [2, 2], "batch": 2},
    "pointwise, not whole lanes": {**BYTES, "kernel": (1, 1), "padding": None, "channels": 67},
    "pointwise, not whole lanes, dynamic": {
        **BYTES,
        "kernel": (1, 1),
        "padding": None,
        "channels": 6,
        "dynamic": (0, 1, 2),
    },
    "pointwise, dynamic": {**BYTES, "kernel": (1, 1), "padding": None, "dynamic": (0, 1, 2)},
    "plain weight": {**BYTES, "pack": 0},
    "odd channels": {**BYTES, "channels": 21, "pack": 0},
    "groups": {**BYTES, "pack": 0, "groups": 2},
    "groups of whole lanes": {**BYTES, "channels": 24, "out": 64, "groups": 2, "size": (7, 30)},
    "channels first": {**BYTES, "pack": 0, "layout": "nchw", "stored": np.int32, "extras": 0},
    "depthwise": {**DEPTHWISE, "stored": np.int8, "extras": 2},
    "depthwise, strided": {**DEPTHWISE, "stored": np.int8, "extras": 2, "strides": [2, 2]},
}


@pytest.mark.parametrize("target", ["cpu", "cpu:zen4"])
@pytest.mark.parametrize("name", IN_BYTES)
def test_sums_of_bytes_are_exact(name: str, target: str) -> None:
    case = dry_cases.conv(**IN_BYTES[name])
    (result,) = case.executed(registry.resolve(target))
    np.testing.assert_array_equal(result, case.expected[0])


#: Those that stay different where no weight is packed and no bytes are taken four at a time.
OF_PLAIN_WEIGHTS = [
    *("flat", "sums", "ragged channels", "few channels, strided", "image, strided", "grey image"),
    *("image, height known at the call", "image, pointwise", "dilated", "padding beyond the image", "batch"),
    *("height known at the call", "1-D", "3-D", "pointwise, strided", "pointwise, not whole lanes, dynamic"),
    *("groups", "channels first", "depthwise", "depthwise, strided"),
]


@pytest.mark.parametrize("name", OF_PLAIN_WEIGHTS)
def test_sums_of_bytes_are_exact_where_none_are_multiplied_at_once(name: str) -> None:
    case = dry_cases.conv(**{**IN_BYTES[name], "pack": 0})
    (result,) = case.executed(registry.resolve("cpu:avx2"))
    np.testing.assert_array_equal(result, case.expected[0])


SEARCHED: dict[str, dict[str, Any]] = {
    "direct": {**BLOCKED, "out": 96, "extras": 1},
    "image": {**IMAGE, "kernel": (5, 5), "strides": [2, 2], "out": 96},
    "pointwise": {**POINTWISE, "out": 96, "extras": 1},
    "pointwise, strided": {**POINTWISE, "strides": [2, 2], "out": 96, "size": (12, 14)},
    "depthwise": CASES["depthwise"],
    "depthwise, strided": CASES["depthwise, strided"],
    "depthwise, dynamic": CASES["depthwise, plain weight, dynamic"],
}


@pytest.mark.parametrize("name", SEARCHED)
def test_every_schedule_computes_the_same(name: str) -> None:
    case = dry_cases.conv(**SEARCHED[name])
    search = case.search()
    points = list(search.space.points())
    assert search.default in search.space and len(points) > 20
    for point in points[:: max(1, len(points) // 6)]:
        case.check(case.executed(program=search.build(point)), 1e-5)
