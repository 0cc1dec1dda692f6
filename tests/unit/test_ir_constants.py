"""Constants of every form the IR writes them in become the numpy arrays they stand for."""

import numpy as np
import pytest

from drystone.ir.constants import constant_array
from drystone.mlir import parse, walk
from tests.unit.ir_cases import CONTEXT

RESOURCES = '{-# dialect_resources: { builtin: { q: "0x080000000001", r: "0x08000000003C0040" } } #-}'
FORMS = [
    ("arith.constant dense_resource<q> : tensor<2xi1>", np.array([False, True])),
    ("arith.constant dense_resource<r> : tensor<2xf16>", np.array([1, 2], np.float16)),
    ("arith.constant dense<[1.5, -2.0]> : tensor<2xbf16>", np.array([0x3FC0, 0xC000], np.uint16)),
    ("arith.constant dense<1.5> : tensor<2x1xbf16>", np.full((2, 1), 0x3FC0, np.uint16)),
    ("arith.constant dense<[(1.5,2.0), (0.0,-1.0)]> : tensor<2xcomplex<f32>>",
     np.array([1.5 + 2j, -1j], np.complex64)),
    ("arith.constant dense<(1.5,2.0)> : tensor<3xcomplex<f64>>", np.full(3, 1.5 + 2j)),
    ("complex.constant [0.5 : f32, -1.0 : f32] : complex<f32>", np.array(0.5 - 1j, np.complex64)),
    ("arith.constant dense<[true, false, true]> : tensor<3xi1>", np.array([True, False, True])),
    ("arith.constant dense<> : tensor<0xf32>", np.zeros(0, np.float32)),
    ("arith.constant dense<[[1, -2]]> : tensor<1x2xi8>", np.array([[1, -2]], np.int8)),
    ("arith.constant dense<[0xFF800000, 1.0]> : tensor<2xf32>", np.array([-np.inf, 1], np.float32)),
    ("arith.constant dense<[1.5, 2.0]> : tensor<2xf16>", np.array([1.5, 2], np.float16)),
    ("arith.constant true", np.array(True)),
    ("arith.constant -3 : i32", np.array(-3, np.int32)),
    ("arith.constant 2 : index", np.array(2, np.int64)),
    ("arith.constant 1.5 : bf16", np.array(0x3FC0, np.uint16)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FORMS, ids=[text for text, _ in FORMS])
def test_constant(text: str, expected: np.ndarray) -> None:
    module = parse(f"func.func @f() {{ %0 = {text} return }} {RESOURCES}", CONTEXT)
    array = constant_array(walk(module)[1])
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


def test_many_numbers_are_written_as_bytes() -> None:
    values = ", ".join(f"{n}.0" for n in range(200))
    source = f"func.func @f() {{ %0 = arith.constant dense<[{values}]> : tensor<200xbf16> return }}"
    module = parse(source, CONTEXT)
    array = constant_array(walk(module)[1])
    np.testing.assert_array_equal((array.astype(np.uint32) << 16).view(np.float32), np.arange(200))
