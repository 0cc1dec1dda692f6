// case: an activation before rows are rounded
func.func @main(%x: tensor<4x8xf32>) -> (tensor<4x16xi8>, tensor<4xf32>, tensor<4xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
  %one = arith.constant 1.0 : f32
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%s: f32):
    %a = math.erf %s : f32
    %b = arith.addf %a, %one : f32
    %c = arith.mulf %s, %b : f32
    "dry.yield"(%c) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  %q, %p, %m = "dry.round_rows"(%y) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<4x16xf32>) -> (tensor<4x16xi8>, tensor<4xf32>, tensor<4xf32>)
  return %q, %p, %m : tensor<4x16xi8>, tensor<4xf32>, tensor<4xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> (tensor<4x16xi8>, tensor<4xf32>, tensor<4xf32>) {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
    %cst = arith.constant 1.000000e+00 : f32
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      %3 = math.erf %arg1 {dry.digits = "few"} : f32
      %4 = arith.addf %3, %cst : f32
      %5 = arith.mulf %arg1, %4 : f32
      "dry.yield"(%5) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
    %2:3 = "dry.round_rows"(%1) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<4x16xf32>) -> (tensor<4x16xi8>, tensor<4xf32>, tensor<4xf32>)
    return %2#0, %2#1, %2#2 : tensor<4x16xi8>, tensor<4xf32>, tensor<4xf32>
  }
}

// case: of a map whose result is read through a view; not of one that something else reads
func.func @main(%x: tensor<4x8xf32>) -> (tensor<32xi8>, tensor<f32>, tensor<f32>, tensor<4x8xi8>, tensor<4xf32>, tensor<4xf32>, tensor<4x8xf32>) {
  %e = tensor.empty() : tensor<4x8xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %b = math.exp %a : f32
    %c = math.log %b : f32
    linalg.yield %c : f32
  } -> tensor<4x8xf32>
  %z = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %b = math.tanh %a : f32
    linalg.yield %b : f32
  } -> tensor<4x8xf32>
  %v = tensor.collapse_shape %y [[0, 1]] : tensor<4x8xf32> into tensor<32xf32>
  %q, %p, %m = "dry.round_rows"(%v) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<32xf32>) -> (tensor<32xi8>, tensor<f32>, tensor<f32>)
  %r, %s, %t = "dry.round_rows"(%z) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<4x8xf32>) -> (tensor<4x8xi8>, tensor<4xf32>, tensor<4xf32>)
  return %q, %p, %m, %r, %s, %t, %z : tensor<32xi8>, tensor<f32>, tensor<f32>, tensor<4x8xi8>, tensor<4xf32>, tensor<4xf32>, tensor<4x8xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> (tensor<32xi8>, tensor<f32>, tensor<f32>, tensor<4x8xi8>, tensor<4xf32>, tensor<4xf32>, tensor<4x8xf32>) {
    %0 = tensor.empty() : tensor<4x8xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0 : tensor<4x8xf32>) outs(%0 : tensor<4x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %5 = math.exp %in {dry.digits = "few"} : f32
      %6 = math.log %5 : f32
      linalg.yield %6 : f32
    } -> tensor<4x8xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0 : tensor<4x8xf32>) outs(%0 : tensor<4x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %5 = math.tanh %in : f32
      linalg.yield %5 : f32
    } -> tensor<4x8xf32>
    %collapsed = tensor.collapse_shape %1 [[0, 1]] : tensor<4x8xf32> into tensor<32xf32>
    %3:3 = "dry.round_rows"(%collapsed) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<32xf32>) -> (tensor<32xi8>, tensor<f32>, tensor<f32>)
    %4:3 = "dry.round_rows"(%2) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<4x8xf32>) -> (tensor<4x8xi8>, tensor<4xf32>, tensor<4xf32>)
    return %3#0, %3#1, %3#2, %4#0, %4#1, %4#2, %2 : tensor<32xi8>, tensor<f32>, tensor<f32>, tensor<4x8xi8>, tensor<4xf32>, tensor<4xf32>, tensor<4x8xf32>
  }
}
