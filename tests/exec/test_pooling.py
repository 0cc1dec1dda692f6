"""Pooling, by the meaning of its tile program and as machine code, against the reference interpreter."""

from typing import Any

import numpy as np
import pytest

from tests.exec import dry_cases

CASES: dict[str, dict[str, Any]] = {
    "max": {"channels": 70},
    "max, padded": {"padding": [1] * 4},
    "max, dilated, asymmetric": {"dilation": [2, 3], "padding": [1, 0, 0, 2], "strides": (1, 2)},
    "max, dynamic": {"padding": [1] * 4, "dynamic": (0, 1, 2)},
    "average of what is inside": {"kind": "avg", "padding": [1] * 4},
    "average with padding, ceil mode": {"kind": "avg", "padding": [1, 2, 1, 2], "divisor": 1},
    "average with a divisor": {"kind": "avg", "padding": [1] * 4, "divisor": 4},
    "global": {"kind": "avg", "size": (7, 7), "kernel": (7, 7), "channels": 33},
    "1-D": {"kind": "avg", "size": (20,), "kernel": (4,), "strides": (3,), "padding": [1, 2]},
    "3-D": {"size": (4, 5, 6), "kernel": (2, 3, 2), "strides": (2, 1, 2), "padding": [1] * 6},
}


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("name", CASES)
def test_pooling_computes_what_the_reference_says(name: str, layout: str) -> None:
    arguments = dict(CASES[name])
    if layout == "nchw" and "dynamic" in arguments:
        arguments["dynamic"] = (0, 2, 3)
    case = dry_cases.pool(layout=layout, **arguments)
    _, meant = case.interpreted()
    case.check(meant)
    case.check(case.executed(singly=True))


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize(("element", "tolerance"), [(np.float64, 1e-14), (np.float16, 1e-3), (np.int64, 0)])
def test_other_elements(layout: str, element: Any, tolerance: float) -> None:
    case = dry_cases.pool(layout=layout, element=element, padding=[1] * 4)
    case.check(case.executed(), tolerance)
