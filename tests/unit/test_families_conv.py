"""Tile programs of convolutions against the reference interpreter, in numpy."""

from typing import Any

import pytest

from tests.exec import dry_cases

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "blocked": ("conv", {"channels": 16, "out": 32, "pack": 32, "padding": [1] * 4, "extras": 2}),
    "blocked, no padding": ("conv", {"channels": 16, "out": 64, "pack": 32}),
    "ragged channels": ("conv", {"channels": 20, "out": 40, "pack": 32, "padding": [1] * 4}),
    "two lines": ("conv", {"channels": 16, "out": 32, "pack": 32, "size": (7, 7), "padding": [1] * 4}),
    "asymmetric padding": ("conv", {"channels": 16, "out": 32, "pack": 32, "padding": [0, 2, 1, 3]}),
    "strided, dilated": (
        "conv",
        {"channels": 16, "out": 32, "pack": 32, "size": (9, 11), "strides": [2, 3], "dilation": [2, 1]},
    ),
    "few channels": (
        "conv",
        {
            "channels": 3,
            "out": 48,
            "pack": 32,
            "size": (9, 10),
            "kernel": (5, 7),
            "strides": [2, 2],
            "padding": [2, 2, 3, 3],
        },
    ),
    "grouped": ("conv", {"channels": 16, "out": 128, "pack": 32, "groups": 2, "padding": [1] * 4}),
    "1-D": (
        "conv",
        {"channels": 16, "out": 32, "pack": 32, "size": (13,), "kernel": (3,), "padding": [1, 1]},
    ),
    "3-D": (
        "conv",
        {"channels": 16, "out": 32, "pack": 32, "size": (3, 4, 5), "kernel": (2, 3, 3), "padding": [1] * 6},
    ),
    "dynamic": (
        "conv",
        {"channels": 16, "out": 32, "pack": 32, "padding": [1] * 4, "dynamic": (0, 1, 2), "extras": 2},
    ),
    "pointwise": (
        "conv_pointwise",
        {"batch": 2, "channels": 24, "out": 40, "pack": 32, "kernel": (1, 1), "extras": 2},
    ),
    "pointwise, dynamic": (
        "conv_pointwise",
        {"channels": 8, "out": 32, "pack": 32, "kernel": (1, 1), "dynamic": (0, 1)},
    ),
    "depthwise": (
        "conv_depthwise",
        {
            "channels": 40,
            "out": 40,
            "groups": 40,
            "pack": 32,
            "size": (7, 9),
            "padding": [1] * 4,
            "extras": 1,
        },
    ),
    "depthwise, plain, strided": (
        "conv_depthwise",
        {
            "channels": 16,
            "out": 16,
            "groups": 16,
            "size": (9, 12),
            "strides": [2, 2],
            "padding": [0, 1, 1, 0],
        },
    ),
    "depthwise, dynamic, dilated": (
        "conv_depthwise",
        {
            "channels": 16,
            "out": 16,
            "groups": 16,
            "padding": [2] * 4,
            "dilation": [2, 2],
            "dynamic": (0, 1, 2),
        },
    ),
    "plain weight": ("conv_any", {"padding": [1] * 4, "extras": 2}),
    "channels first": ("conv_any", {"layout": "nchw", "padding": [1] * 4, "strides": [2, 2], "extras": 2}),
    "channels first, packed": ("conv_any", {"layout": "nchw", "out": 40, "pack": 32, "padding": [1] * 4}),
    "small groups": ("conv_any", {"groups": 4, "out": 16, "pack": 16, "padding": [1] * 4}),
    "channels first, groups": ("conv_any", {"groups": 4, "out": 20, "layout": "nchw", "padding": [1] * 4}),
    "transposed": (
        "conv_any",
        {"transposed": True, "strides": [2, 3], "output_padding": [1, 0], "extras": 2},
    ),
    "transposed, packed, padded": (
        "conv_any",
        {"transposed": True, "out": 40, "pack": 32, "strides": [2, 2], "padding": [1] * 4},
    ),
    "transposed, dilated, groups": (
        "conv_any",
        {"transposed": True, "groups": 2, "strides": [2, 3], "dilation": [3, 2], "layout": "nchw"},
    ),
    "transposed, 1-D": ("conv_any", {"transposed": True, "size": (5,), "kernel": (4,), "strides": [2]}),
}


@pytest.mark.parametrize("name", CASES)
def test_convolution_means_what_the_reference_says(name: str) -> None:
    family, arguments = CASES[name]
    case = dry_cases.conv(**arguments)
    used, results = case.interpreted()
    assert used == family
    case.check(results)
