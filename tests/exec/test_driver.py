"""The driver: buffers, views, dynamic sizes, states, checks, order and times of kernel calls."""

import ctypes

import numpy as np
import pytest

from drystone.codegen.cpu import driver
from drystone.errors import InternalError
from tests.exec.outlined import Model

RNG = np.random.default_rng(1)

KERNELS = """
#id1 = affine_map<(d0) -> (d0)>
#id2 = affine_map<(d0, d1) -> (d0, d1)>
func.func private @double(%a: tensor<?x8xf32>, %o: tensor<?x8xf32>) -> tensor<?x8xf32>
    attributes {dry.in_place = [array<i64: 0, 0>]} {
  %r = linalg.generic {indexing_maps = [#id2, #id2], iterator_types = ["parallel", "parallel"]}
    ins(%a : tensor<?x8xf32>) outs(%o : tensor<?x8xf32>) {
  ^bb0(%x: f32, %old: f32):
    %s = arith.addf %x, %x : f32
    linalg.yield %s : f32
  } -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}
func.func private @shift(%a: tensor<?xf32>, %o: tensor<?xf32>, %by: f32) -> tensor<?xf32> {
  %r = linalg.generic {indexing_maps = [#id1, #id1], iterator_types = ["parallel"]}
    ins(%a : tensor<?xf32>) outs(%o : tensor<?xf32>) {
  ^bb0(%x: f32, %old: f32):
    %s = arith.addf %x, %by : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  return %r : tensor<?xf32>
}
func.func private @put(%cache: tensor<6x4xf32>, %row: tensor<1x4xf32>, %o: tensor<6x4xf32>, %at: index)
    -> tensor<6x4xf32> attributes {dry.in_place = [array<i64: 0, 0>]} {
  %c = linalg.copy ins(%cache : tensor<6x4xf32>) outs(%o : tensor<6x4xf32>) -> tensor<6x4xf32>
  %r = tensor.insert_slice %row into %c[%at, 0] [1, 4] [1, 1] : tensor<1x4xf32> into tensor<6x4xf32>
  return %r : tensor<6x4xf32>
}
func.func private @total(%a: tensor<6x4xf32>, %o: tensor<4xf32>) -> tensor<4xf32> {
  %z = arith.constant 0.0 : f32
  %f = linalg.fill ins(%z : f32) outs(%o : tensor<4xf32>) -> tensor<4xf32>
  %r = linalg.generic {indexing_maps = [#id2, affine_map<(d0, d1) -> (d1)>],
    iterator_types = ["reduction", "parallel"]} ins(%a : tensor<6x4xf32>) outs(%f : tensor<4xf32>) {
  ^bb0(%x: f32, %sum: f32):
    %s = arith.addf %x, %sum : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}
"""


@pytest.fixture(params=["shared", "small"], autouse=True)
def sharing(request, monkeypatch):
    """All of it twice: with kernels shared by all threads however small, and with small ones on thread 0."""
    monkeypatch.setattr(driver, "_SHARE_RUN", 0)
    monkeypatch.setattr(driver, "_SHARE_KERNEL", 0 if request.param == "shared" else 10**9)
    return request.param == "shared"


def f32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def both(model, *inputs, **symbols):
    """The outputs, the same alone and with three threads."""
    alone = model(*inputs, **symbols)
    pool = model.pool(3)
    together = model(*inputs, pool=pool, **symbols)
    model.close(pool)
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)
    return alone


DYNAMIC = (
    KERNELS
    + """
func.func @main(%x: tensor<?x8xf32>, %y: tensor<?xf32>) -> (tensor<?x4xf32>, tensor<?xf32>) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %c8 = arith.constant 8 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %m = tensor.dim %y, %c0 : tensor<?xf32>
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %a = call @double(%x, %e) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b = call @double(%a, %e) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %flat = tensor.collapse_shape %b [[0, 1]] : tensor<?x8xf32> into tensor<?xf32>
  %nm = arith.muli %n, %c8 : index
  %f = tensor.empty(%nm) : tensor<?xf32>
  %by = arith.constant 1.5 : f32
  %c = call @shift(%flat, %f, %by) : (tensor<?xf32>, tensor<?xf32>, f32) -> tensor<?xf32>
  %h = arith.muli %n, %c2 : index
  %wide = tensor.expand_shape %c [[0, 1]] output_shape [%h, 4] : tensor<?xf32> into tensor<?x4xf32>
  %half = affine.apply affine_map<()[s0] -> (s0 floordiv 2)>()[%m]
  %part = tensor.extract_slice %y[%half] [%half] [1] : tensor<?xf32> to tensor<?xf32>
  %g = tensor.empty(%half) : tensor<?xf32>
  %d = call @shift(%part, %g, %by) : (tensor<?xf32>, tensor<?xf32>, f32) -> tensor<?xf32>
  return %wide, %d : tensor<?x4xf32>, tensor<?xf32>
}
"""
)


@pytest.mark.parametrize("n", [1, 7, 40])
def test_views_slices_and_sizes_that_the_call_decides(n):
    model = Model(
        DYNAMIC,
        ["n,8 f32", "2*n + 4 f32"],
        ["2*n,4 f32", "n + 2 f32"],
        {"n": (1, 40)},
        order=[1 - 1, 1, 3, 2],
    )
    x, y = f32(n, 8), f32(2 * n + 4)
    wide, part = both(model, x, y, n=n)
    np.testing.assert_allclose(wide, (4 * x).reshape(-1, 4) + 1.5, rtol=1e-6)
    np.testing.assert_allclose(part, y[n + 2 :] + 1.5, rtol=1e-6)
    assert [call.name for call in model.code.calls] == ["double", "double", "shift", "shift"]
    assert model.code.calls[0].bytes == 2 * 40 * 8 * 4 and model.code.calls[0].flops == 40 * 8


def test_an_order_that_breaks_dependences_or_forgets_calls_is_refused():
    arguments = (DYNAMIC, ["n,8 f32", "2*n + 4 f32"], ["2*n,4 f32", "n + 2 f32"], {"n": (1, 40)})
    with pytest.raises(InternalError, match="before what it needs"):
        Model(*arguments, order=[1, 0, 2, 3])
    with pytest.raises(InternalError, match="the plan orders"):
        Model(*arguments, order=[0, 1, 2])


STATE = (
    KERNELS
    + """
func.func @main(%row: tensor<1x4xf32>, %at: tensor<i64>, %cache: tensor<6x4xf32>, %count: tensor<?xf32>)
    -> (tensor<4xf32>, tensor<6x4xf32>, tensor<?xf32>) {
  %i = tensor.extract %at[] : tensor<i64>
  %j = arith.index_cast %i : i64 to index
  %e = tensor.empty() : tensor<6x4xf32>
  %new = call @put(%cache, %row, %e, %j)
    : (tensor<6x4xf32>, tensor<1x4xf32>, tensor<6x4xf32>, index) -> tensor<6x4xf32>
  %o = tensor.empty() : tensor<4xf32>
  %t = call @total(%new, %o) : (tensor<6x4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %c0 = arith.constant 0 : index
  %n = tensor.dim %count, %c0 : tensor<?xf32>
  %one = arith.constant 1.0 : f32
  %f = tensor.empty(%n) : tensor<?xf32>
  %more = call @shift(%count, %f, %one) : (tensor<?xf32>, tensor<?xf32>, f32) -> tensor<?xf32>
  return %t, %new, %more : tensor<4xf32>, tensor<6x4xf32>, tensor<?xf32>
}
"""
)


def test_states_keep_their_new_values():
    cache, count = f32(6, 4), f32(3)
    model = Model(
        STATE,
        ["1,4 f32", "i64"],
        ["4 f32"],
        states=[cache, count],
        state_specs=["6,4 f32", "3 f32"],
    )
    pool = model.pool(2)
    for step in range(5):
        row = f32(1, 4)
        (total,) = model(row, np.array(step), pool=pool if step % 2 else None)
        cache[step] = row
        np.testing.assert_allclose(total, cache.sum(0), rtol=1e-5)
        np.testing.assert_array_equal(model.states[0], cache)
        np.testing.assert_allclose(model.states[1], count + step + 1, rtol=1e-5)
    model.close(pool)


#: Bytes from the start of a team to its number of workers that have left the driver.
LEFT = 2 * 64 + 4


def test_a_call_ends_when_all_threads_have_left_its_code(sharing):
    model = Model(DYNAMIC, ["n,8 f32", "2*n + 4 f32"], ["2*n,4 f32", "n + 2 f32"], {"n": (1, 40)})
    pool, x, y = model.pool(3), f32(40, 8), f32(84)
    for _ in range(50):
        wide, _ = model(x, y, pool=pool, n=40)
        # None of them took part where nothing is shared.
        assert ctypes.c_int32.from_address(pool + LEFT).value == (2 if sharing else 0)
    np.testing.assert_allclose(wide, (4 * x).reshape(-1, 4) + 1.5, rtol=1e-6)
    model.close(pool)


SCALARS = (
    KERNELS
    + """
func.func @main(%x: tensor<?x8xf32>) -> (tensor<?xf32>, tensor<?xf32>) {
  %c0 = arith.constant 0 : index
  %c3 = arith.constant 3 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %m = affine.apply affine_map<()[s0] -> (s0 * 8)>()[%n]
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %a = call @double(%x, %e) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %v = tensor.extract %a[%c0, %c3] : tensor<?x8xf32>
  %limit = arith.constant 100.0 : f32
  %fine = arith.cmpf olt, %v, %limit : f32
  cf.assert %fine, "too large"
  %few = arith.constant 30 : index
  %short = arith.cmpi sle, %n, %few : index
  cf.assert %short, "too long"
  %flat = tensor.collapse_shape %a [[0, 1]] : tensor<?x8xf32> into tensor<?xf32>
  %f = tensor.empty(%m) : tensor<?xf32>
  %b = call @shift(%flat, %f, %v) : (tensor<?xf32>, tensor<?xf32>, f32) -> tensor<?xf32>
  %w = tensor.extract %b[%c0] : tensor<?xf32>
  %c = call @shift(%b, %f, %w) : (tensor<?xf32>, tensor<?xf32>, f32) -> tensor<?xf32>
  %g = call @shift(%c, %f, %w) : (tensor<?xf32>, tensor<?xf32>, f32) -> tensor<?xf32>
  return %b, %g : tensor<?xf32>, tensor<?xf32>
}
"""
)


def test_scalars_loaded_from_results_and_checks_on_them():
    model = Model(SCALARS, ["n,8 f32"], ["8*n f32", "8*n f32"], {"n": (1, 40)})
    assert model.code.assertions == ("too large (-:51)", "too long (-:54)")
    x = f32(5, 8)
    first, last = both(model, x, n=5)
    assert model.status == 0
    want = (2 * x).reshape(-1) + 2 * x[0, 3]
    np.testing.assert_allclose(first, want, rtol=1e-5)
    np.testing.assert_allclose(last, want + 2 * want[0], rtol=1e-5)
    x[0, 3] = 60
    both(model, x, n=5)
    assert model.status == 1
    both(model, f32(31, 8), n=31)
    assert model.status == 2
    both(model, f32(30, 8), n=30)
    assert model.status == 0


def test_times_of_every_kernel_call_in_order():
    model = Model(SCALARS, ["n,8 f32"], ["8*n f32", "8*n f32"], {"n": (1, 40)})
    model.profile = np.zeros((4, 2), np.int64)
    both(model, f32(4, 8), n=4)
    times = model.profile.reshape(-1)
    assert times[0] > 0 and (np.diff(times) >= 0).all()


def test_weights_are_listed_once_each_and_code_is_the_same_every_time():
    text = (
        KERNELS
        + """
func.func @main(%x: tensor<1x4xf32>) -> tensor<4xf32> {
  %w = "dry.weight"() {key = "b"} : () -> tensor<6x4xf32>
  %v = "dry.weight"() {key = "a"} : () -> tensor<4xf32>
  %u = "dry.weight"() {key = "b"} : () -> tensor<6x4xf32>
  %e = tensor.empty() : tensor<6x4xf32>
  %o = tensor.empty() : tensor<4xf32>
  %c = arith.constant 2 : index
  %p = call @put(%w, %x, %e, %c)
    : (tensor<6x4xf32>, tensor<1x4xf32>, tensor<6x4xf32>, index) -> tensor<6x4xf32>
  %q = call @put(%u, %x, %e, %c)
    : (tensor<6x4xf32>, tensor<1x4xf32>, tensor<6x4xf32>, index) -> tensor<6x4xf32>
  %t = call @total(%q, %o) : (tensor<6x4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %t : tensor<4xf32>
}
"""
    )
    weights = {"a": f32(4), "b": f32(6, 4)}
    models = [Model(text, ["1,4 f32"], ["4 f32"], weights=weights) for _ in range(2)]
    assert models[0].code.weights == ("b", "a") and models[0].code.weight_dtypes == ("f32", "f32")
    row = f32(1, 4)
    want = weights["b"].copy()
    want[2] = row
    np.testing.assert_allclose(both(models[0], row)[0], want.sum(0), rtol=1e-5)
    assert models[0].compiled.image() == models[1].compiled.image()
