"""Kernels lowered by upstream passes: executed and compared with numpy."""

import math

import numpy as np
import pytest

from drystone import mlir
from drystone.codegen import shared
from drystone.codegen.cpu import driver
from drystone.codegen.cpu import generate as generation
from drystone.codegen.cpu.fallback import lower as fallback
from drystone.errors import InternalError
from drystone.ir.context import new_context
from tests.exec.outlined import run_kernel

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_families(monkeypatch):
    """Every kernel takes the fallback, and is shared however small it is."""
    for module in (generation, shared):
        monkeypatch.setattr(module, "tile_program_of", lambda *given: None)
    monkeypatch.setattr(driver, "_SHARE_KERNEL", 0)
    monkeypatch.setattr(driver, "_SHARE_RUN", 0)


def f32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def check(text, inputs, wanted, scalars=(), tolerance=1e-5):
    """The kernel's results are the wanted arrays."""
    model, got = run_kernel(text, inputs, wanted, scalars)
    assert model.status == 0
    for have, want in zip(got, wanted, strict=True):
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)


def test_elementwise_with_broadcast():
    a, b = f32(300, 40), f32(40)
    check(
        """
#full = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d1)>
func.func private @k(%a: tensor<300x40xf32>, %b: tensor<40xf32>, %o: tensor<300x40xf32>)
    -> tensor<300x40xf32> {
  %r = linalg.generic {indexing_maps = [#full, #row, #full], iterator_types = ["parallel", "parallel"]}
    ins(%a, %b : tensor<300x40xf32>, tensor<40xf32>) outs(%o : tensor<300x40xf32>) {
  ^bb0(%x: f32, %y: f32, %old: f32):
    %s = arith.addf %x, %y : f32
    %e = math.erf %s : f32
    linalg.yield %e : f32
  } -> tensor<300x40xf32>
  return %r : tensor<300x40xf32>
}""",
        [a, b],
        [np.vectorize(math.erf)(a + b).astype(np.float32)],
    )


def test_matmul_of_batches():
    a, b = f32(3, 17, 33), f32(3, 33, 29)
    check(
        """
func.func private @k(%a: tensor<3x17x33xf32>, %b: tensor<3x33x29xf32>, %o: tensor<3x17x29xf32>)
    -> tensor<3x17x29xf32> {
  %z = arith.constant 0.0 : f32
  %f = linalg.fill ins(%z : f32) outs(%o : tensor<3x17x29xf32>) -> tensor<3x17x29xf32>
  %r = linalg.batch_matmul ins(%a, %b : tensor<3x17x33xf32>, tensor<3x33x29xf32>)
    outs(%f : tensor<3x17x29xf32>) -> tensor<3x17x29xf32>
  return %r : tensor<3x17x29xf32>
}""",
        [a, b],
        [a @ b],
    )


def test_a_transposed_result_is_written_in_its_own_order():
    a = f32(50, 70)
    check(
        """
#in = affine_map<(d0, d1) -> (d0, d1)>
#out = affine_map<(d0, d1) -> (d1, d0)>
func.func private @k(%a: tensor<50x70xf32>, %o: tensor<70x50xf32>) -> tensor<70x50xf32> {
  %r = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["parallel", "parallel"]}
    ins(%a : tensor<50x70xf32>) outs(%o : tensor<70x50xf32>) {
  ^bb0(%x: f32, %old: f32):
    %i = linalg.index 0 : index
    %n = arith.index_cast %i : index to i32
    %f = arith.sitofp %n : i32 to f32
    %s = arith.addf %x, %f : f32
    linalg.yield %s : f32
  } -> tensor<70x50xf32>
  return %r : tensor<70x50xf32>
}""",
        [a],
        [a.T + np.arange(50, dtype=np.float32)],
    )


GATHER = """
#row = affine_map<(d0, d1) -> (d0)>
#full = affine_map<(d0, d1) -> (d0, d1)>
func.func private @k(%t: tensor<10x64xf32>, %i: tensor<40xi64>, %o: tensor<40x64xf32>) -> tensor<40x64xf32> {
  %r = linalg.generic {indexing_maps = [#row, #full], iterator_types = ["parallel", "parallel"]}
    ins(%i : tensor<40xi64>) outs(%o : tensor<40x64xf32>) {
  ^bb0(%n: i64, %old: f32):
    %ten = arith.constant 10 : i64
    %low = arith.constant 0 : i64
    %at_least = arith.cmpi sge, %n, %low : i64
    cf.assert %at_least, "index below 0"
    %below = arith.cmpi slt, %n, %ten : i64
    cf.assert %below, "index too large"
    %row = arith.index_cast %n : i64 to index
    %column = linalg.index 1 : index
    %x = tensor.extract %t[%row, %column] : tensor<10x64xf32>
    linalg.yield %x : f32
  } -> tensor<40x64xf32>
  return %r : tensor<40x64xf32>
}"""


def test_gather():
    table, rows = f32(10, 64), RNG.integers(0, 10, 40)
    check(GATHER, [table, rows], [table[rows]])


@pytest.mark.parametrize("bad, message", [(-1, "index below 0"), (2**40, "index too large")])
def test_an_index_out_of_range_is_reported_and_touches_no_foreign_memory(bad, message):
    table, rows = f32(10, 64), np.zeros(40, np.int64)
    rows[7] = bad
    model, (got,) = run_kernel(GATHER, [table, rows], [f32(40, 64)])
    assert model.code.assertions[model.status - 1] == message
    np.testing.assert_array_equal(got[:7], table[[0] * 7])
    assert (got[7] == table[0 if bad < 0 else 9]).all()


SORT = """
func.func private @k(%x: tensor<SHAPExf32>, %i: tensor<SHAPExi64>, %o: tensor<SHAPExf32>,
    %p: tensor<SHAPExi64>) -> (tensor<SHAPExf32>, tensor<SHAPExi64>) {
  %f = linalg.copy ins(%x : tensor<SHAPExf32>) outs(%o : tensor<SHAPExf32>) -> tensor<SHAPExf32>
  %g = linalg.copy ins(%i : tensor<SHAPExi64>) outs(%p : tensor<SHAPExi64>) -> tensor<SHAPExi64>
  %r:2 = tm_tensor.sort dimension(AXIS) outs(%f, %g : tensor<SHAPExf32>, tensor<SHAPExi64>) {
  ^bb0(%a: f32, %b: f32, %c: i64, %d: i64):
    %s = arith.cmpf oge, %a, %b : f32
    tm_tensor.yield %s : i1
  } -> tensor<SHAPExf32>, tensor<SHAPExi64>
  return %r#0, %r#1 : tensor<SHAPExf32>, tensor<SHAPExi64>
}"""


@pytest.mark.parametrize("shape, axis", [((5, 23), 1), ((17, 2, 3), 0), ((1,), 0), ((30000,), 0)])
def test_sort_keeps_the_order_of_equals(shape, axis):
    a = np.round(f32(*shape) * 5)
    at = np.broadcast_to(
        np.arange(shape[axis]).reshape([-1 if d == axis else 1 for d in range(a.ndim)]), shape
    )
    order = np.argsort(-a, axis, kind="stable")
    check(
        SORT.replace("SHAPE", "x".join(map(str, shape))).replace("AXIS", str(axis)),
        [a, at],
        [np.take_along_axis(a, order, axis), order],
    )


SCATTER = """
func.func private @k(%x: tensor<6x4xf32>, %i: tensor<3x1xi32>, %u: tensor<3x4xf32>, %o: tensor<6x4xf32>)
    -> tensor<6x4xf32> {
  %f = linalg.copy ins(%x : tensor<6x4xf32>) outs(%o : tensor<6x4xf32>) -> tensor<6x4xf32>
  %r = tm_tensor.scatter {dimension_map = array<i64: 0>} unique_indices(false)
    ins(%u, %i : tensor<3x4xf32>, tensor<3x1xi32>) outs(%f : tensor<6x4xf32>) {
  ^bb0(%new: f32, %old: f32):
    %s = arith.addf %new, %old : f32
    tm_tensor.yield %s : f32
  } -> tensor<6x4xf32>
  return %r : tensor<6x4xf32>
}"""


def test_scatter_adds_into_a_copy():
    x, at, new = f32(6, 4), np.array([[5], [1], [5]], np.int32), f32(3, 4)
    want = x.copy()
    np.add.at(want, at[:, 0], new)
    check(SCATTER, [x, at, new], [want])


def test_a_scatter_out_of_range_stays_in_its_memory():
    at = np.array([[100000000], [1], [-7]], np.int32)
    model, (got,) = run_kernel(SCATTER, [f32(6, 4), at, f32(3, 4)], [f32(6, 4)])
    assert model.status == 0 and np.isfinite(got).all()


def test_scan():
    a = f32(7, 30)
    check(
        """
func.func private @k(%x: tensor<7x30xf32>, %o: tensor<7x30xf32>, %last: tensor<7xf32>)
    -> (tensor<7x30xf32>, tensor<7xf32>) {
  %z = arith.constant 0.0 : f32
  %f = linalg.fill ins(%z : f32) outs(%last : tensor<7xf32>) -> tensor<7xf32>
  %r:2 = tm_tensor.scan dimension(1) inclusive(true) ins(%x : tensor<7x30xf32>)
    outs(%o, %f : tensor<7x30xf32>, tensor<7xf32>) {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    tm_tensor.yield %s : f32
  } -> tensor<7x30xf32>, tensor<7xf32>
  return %r#0, %r#1 : tensor<7x30xf32>, tensor<7xf32>
}""",
        [a],
        [a.cumsum(1), a.sum(1)],
    )


def test_pad_concat_and_strided_slices():
    a, b = f32(5, 9), f32(5, 9)
    check(
        """
func.func private @k(%x: tensor<5x9xf32>, %o: tensor<8x12xf32>) -> tensor<8x12xf32> {
  %z = arith.constant 7.0 : f32
  %r = tensor.pad %x low[1, 0] high[2, 3] {
  ^bb0(%i: index, %j: index):
    tensor.yield %z : f32
  } : tensor<5x9xf32> to tensor<8x12xf32>
  return %r : tensor<8x12xf32>
}""",
        [a],
        [np.pad(a, ((1, 2), (0, 3)), constant_values=7)],
    )
    check(
        """
func.func private @k(%x: tensor<5x9xf32>, %y: tensor<5x9xf32>, %o: tensor<5x18xf32>) -> tensor<5x18xf32> {
  %r = tensor.concat dim(1) %x, %y : (tensor<5x9xf32>, tensor<5x9xf32>) -> tensor<5x18xf32>
  return %r : tensor<5x18xf32>
}""",
        [a, b],
        [np.concatenate([a, b], 1)],
    )
    check(
        """
func.func private @k(%x: tensor<5x9xf32>, %o: tensor<2x4xf32>, %n: index) -> tensor<2x4xf32> {
  %r = tensor.extract_slice %x[%n, 1] [2, 4] [1, 2] : tensor<5x9xf32> to tensor<2x4xf32>
  return %r : tensor<2x4xf32>
}""",
        [a],
        [a[3:5, 1:9:2]],
        [("4", "index")],  # one too far: held back to the last place that fits
    )


def test_elements_other_than_f32():
    a = RNG.standard_normal((4, 8))
    check(
        """
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func private @k(%x: tensor<4x8xf64>, %o: tensor<4x8xf16>, %p: tensor<4x8xi1>)
    -> (tensor<4x8xf16>, tensor<4x8xi1>) {
  %r:2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
    ins(%x : tensor<4x8xf64>) outs(%o, %p : tensor<4x8xf16>, tensor<4x8xi1>) {
  ^bb0(%a: f64, %b: f16, %c: i1):
    %t = math.tanh %a : f64
    %h = arith.truncf %t : f64 to f16
    %e = math.expm1 %h : f16
    %z = arith.constant 0.0 : f64
    %n = arith.cmpf ogt, %a, %z : f64
    linalg.yield %e, %n : f16, i1
  } -> (tensor<4x8xf16>, tensor<4x8xi1>)
  return %r#0, %r#1 : tensor<4x8xf16>, tensor<4x8xi1>
}""",
        [a],
        [np.expm1(np.tanh(a)).astype(np.float16), a > 0],
        tolerance=2e-3,
    )
    z = (RNG.standard_normal(6) + 1j * RNG.standard_normal(6)).astype(np.complex64)
    check(
        """
#id = affine_map<(d0) -> (d0)>
func.func private @k(%x: tensor<6xcomplex<f32>>, %o: tensor<6xcomplex<f32>>) -> tensor<6xcomplex<f32>> {
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
    ins(%x : tensor<6xcomplex<f32>>) outs(%o : tensor<6xcomplex<f32>>) {
  ^bb0(%a: complex<f32>, %b: complex<f32>):
    %m = complex.mul %a, %a : complex<f32>
    %e = complex.exp %m : complex<f32>
    linalg.yield %e : complex<f32>
  } -> tensor<6xcomplex<f32>>
  return %r : tensor<6xcomplex<f32>>
}""",
        [z],
        [np.exp(z * z)],
    )


def test_integer_powers_and_constants_of_two_kernels_do_not_clash():
    a = RNG.integers(-4, 5, (3, 4))
    table = np.arange(12).reshape(3, 4) * 3 + 1
    check(
        f"""
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func private @k(%x: tensor<3x4xi64>, %o: tensor<3x4xi64>) -> tensor<3x4xi64> {{
  %c = arith.constant dense<{table.tolist()}> : tensor<3x4xi64>
  %r = linalg.generic {{indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}}
    ins(%x, %c : tensor<3x4xi64>, tensor<3x4xi64>) outs(%o : tensor<3x4xi64>) {{
  ^bb0(%a: i64, %b: i64, %old: i64):
    %three = arith.constant 3 : i64
    %p = math.ipowi %a, %three : i64
    %s = arith.addi %p, %b : i64
    linalg.yield %s : i64
  }} -> tensor<3x4xi64>
  return %r : tensor<3x4xi64>
}}""",
        [a],
        [a**3 + table],
    )


def test_reduction_to_one_number():
    a = f32(1000)
    check(
        """
#in = affine_map<(d0) -> (d0)>
#out = affine_map<(d0) -> ()>
func.func private @k(%x: tensor<1000xf32>, %o: tensor<f32>) -> tensor<f32> {
  %z = arith.constant 0xFF800000 : f32
  %f = linalg.fill ins(%z : f32) outs(%o : tensor<f32>) -> tensor<f32>
  %r = linalg.generic {indexing_maps = [#in, #out], iterator_types = ["reduction"]}
    ins(%x : tensor<1000xf32>) outs(%f : tensor<f32>) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.maximumf %a, %b : f32
    linalg.yield %m : f32
  } -> tensor<f32>
  return %r : tensor<f32>
}""",
        [a],
        [np.array(a.max())],
    )


def lowered(text):
    module = mlir.parse(text, new_context())
    (function,) = module.body.operations
    return fallback.lower(function, "k").text


def test_units_are_outer_rows_and_enough_of_them():
    def grid(*shape):
        dims = ", ".join(f"d{i}" for i in range(len(shape)))
        loops = ", ".join(['"parallel"'] * len(shape))
        kind = f"tensor<{'x'.join(map(str, shape))}xf32>"
        return lowered(
            f"""
#id = affine_map<({dims}) -> ({dims})>
func.func private @k(%x: {kind}, %o: {kind}) -> {kind} {{
  %r = linalg.generic {{indexing_maps = [#id, #id], iterator_types = [{loops}]}}
    ins(%x : {kind}) outs(%o : {kind}) {{
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %a : f32
    linalg.yield %s : f32
  }} -> {kind}
  return %r : {kind}
}}"""
        ).count("arith.muli")

    # One multiplication in the grid for every loop that is units.
    assert grid(64, 64) == 1
    assert grid(2, 3, 64, 64) == 3
    assert grid(1, 16, 1, 16, 8) == 2
    assert grid(1, 1, 4096) == 1
    assert grid(2, 4096) == 1


def test_an_operation_of_ours_without_a_family_is_an_error():
    with pytest.raises(InternalError, match=r"no kernel family takes this dry\.softmax"):
        lowered(
            """
func.func private @k(%x: tensor<4xf32>, %o: tensor<4xf32>) -> tensor<4xf32> {
  %r = "dry.softmax"(%x) {dim = 0 : i64, log = false} : (tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}"""
        )
