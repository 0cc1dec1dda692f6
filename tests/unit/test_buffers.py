"""Which memory the tensors of an outlined program lie in."""

import pytest

from drystone import mlir
from drystone.errors import UserError
from drystone.ir.bounds import Bounds
from drystone.ir.buffers import buffers
from drystone.ir.context import new_context
from drystone.ir.program import Program, Signature, TensorSpec, WeightStore
from drystone.ir.values import main_block

KERNELS = """
func.func private @twice(%x: tensor<?x8xf32>, %o: tensor<?x8xf32>) -> tensor<?x8xf32>
  attributes {dry.in_place = [array<i64: 0, 0>]} { return %o : tensor<?x8xf32> }
func.func private @put(%old: tensor<4xf32>, %o: tensor<4xf32>, %i: index) -> tensor<4xf32>
  attributes {dry.in_place = [array<i64: 0, 0>]} { return %o : tensor<4xf32> }
func.func private @flat(%x: tensor<?xf32>, %o: tensor<4xf32>) -> tensor<4xf32> { return %o : tensor<4xf32> }
"""


def program(main: str, inputs=(("n", 8),), states=(), outputs=1) -> Program:
    f32 = [TensorSpec(f"x{i}", "f32", tuple(shape)) for i, shape in enumerate(inputs)]
    held = [TensorSpec(f"s{i}", "f32", tuple(shape)) for i, shape in enumerate(states)]
    out = tuple(TensorSpec(f"y{i}", "f32", ()) for i in range(outputs))
    signature = Signature(tuple(f32), out, None, None, {"n": (1, 10)}, tuple(held), ())
    return Program(mlir.parse(KERNELS + main, new_context()), WeightStore(), signature)


CHAIN = """
func.func @main(%x: tensor<?x8xf32>) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %a = call @twice(%x, %e) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b = call @twice(%a, %e) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %c = call @twice(%b, %e) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %f = tensor.collapse_shape %c [[0, 1]] : tensor<?x8xf32> into tensor<?xf32>
  return %f : tensor<?xf32>
}
"""


#: The last one does not write over what it reads.
FLAT = CHAIN.replace("tensor<?xf32> {", "tensor<4xf32> {").replace(
    "return %f : tensor<?xf32>",
    """%d = tensor.empty() : tensor<4xf32>
  %g = call @flat(%f, %d) : (tensor<?xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %g : tensor<4xf32>""",
)


def test_results_lie_in_the_arena_and_returned_ones_in_outputs():
    found = buffers(program(FLAT))
    kinds = ["arena", "arena", "arena", "output"]
    assert [found.buffers[n].kind for c in found.calls for n in c.outputs] == kinds
    assert [found.buffers[c.inputs[0]].kind for c in found.calls] == ["input", *kinds[:-1]]


def test_what_an_output_is_written_over_lies_there():
    found = buffers(program(CHAIN))
    assert [found.buffers[n].kind for c in found.calls for n in c.outputs] == ["output"] * 3
    assert [found.buffers[c.inputs[0]].kind for c in found.calls] == ["input", "output", "output"]
    assert {b.size for b in found.buffers.values()} == {10 * 8 * 4}


def test_only_arena_buffers_share_memory():
    found = buffers(program(FLAT))
    first, second, _, last = found.calls
    assert first.in_place == () and last.in_place == ()
    assert second.in_place == ((second.outputs[0], first.outputs[0]),)


STATE = """
func.func @main(%x: tensor<?x8xf32>, %s: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %e = tensor.empty() : tensor<4xf32>
  %new = call @put(%s, %e, %c1) : (tensor<4xf32>, tensor<4xf32>, index) -> tensor<4xf32>
  %d = tensor.cast %{read} : tensor<4xf32> to tensor<?xf32>
  %y = call @flat(%d, %e) : (tensor<?xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %y, %new : tensor<4xf32>, tensor<4xf32>
}}
"""


@pytest.mark.parametrize("read, direct", [("new", True), ("s", False)])
def test_a_state_is_written_in_place_unless_its_old_value_is_read_elsewhere(read, direct):
    found = buffers(program(STATE.format(read=read), states=[(4,)]))
    assert found.direct == (direct,)
    assert found.buffers[found.calls[0].outputs[0]].kind == ("state" if direct else "arena")


def test_a_call_reads_what_its_scalars_were_loaded_from():
    main = """
func.func @main(%x: tensor<?x8xf32>, %s: tensor<4xf32>) -> (tensor<4xf32>) {
  %c1 = arith.constant 1 : index
  %e = tensor.empty() : tensor<4xf32>
  %a = call @put(%s, %e, %c1) : (tensor<4xf32>, tensor<4xf32>, index) -> tensor<4xf32>
  %v = tensor.extract %a[%c1] : tensor<4xf32>
  %i = arith.fptosi %v : f32 to i64
  %j = arith.index_cast %i : i64 to index
  %b = call @put(%s, %e, %j) : (tensor<4xf32>, tensor<4xf32>, index) -> tensor<4xf32>
  return %b : tensor<4xf32>
}
"""
    first, second = buffers(program(main, inputs=[("n", 8), (4,)])).calls
    assert first.outputs[0] in second.inputs


def test_bounds_follow_index_arithmetic():
    main = """
func.func @main(%x: tensor<?x8xf32>, %z: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %c3 = arith.constant 3 : index
  %n = tensor.dim %z, %c0 : tensor<?x8xf32>
  %a = affine.apply affine_map<()[s0] -> (s0 * 2 + 1)>()[%n]
  %b = arith.divsi %a, %c3 : index
  %c = arith.subi %a, %b : index
  %d = arith.remsi %c, %c3 : index
  %m = arith.maxsi %d, %b : index
  %e = tensor.empty(%m) : tensor<?x8xf32>
  %r = call @twice(%x, %e) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}
"""
    made = program(main, inputs=[("n", 8), ("2*n - 1", 8)])
    bounds = Bounds(made)
    value = [list(op.operation.results) for op in main_block(made).operations]
    assert bounds.of(value[3][0]) == (3, 39)
    assert bounds.of(value[4][0]) == (1, 13)
    assert bounds.of(value[5][0]) == (-10, 38)
    assert bounds.of(value[6][0]) == (-2, 2)
    assert bounds.extents(value[9][0]) == (13, 8)


def test_a_size_that_depends_on_data_is_an_error():
    main = """
func.func @main(%x: tensor<?x8xf32>, %k: tensor<index>) -> tensor<?x8xf32> {
  %n = tensor.extract %k[] : tensor<index>
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %r = call @twice(%x, %e) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}
"""
    with pytest.raises(UserError, match="depends on the data"):
        buffers(program(main, inputs=[("n", 8), ()]))
