// case: one number decides all that follows
func.func @main(%x: tensor<2x8xf32>) -> tensor<2x4xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<4x8xf32>
  %b = "dry.weight"() {key = "b"} : () -> tensor<4xf32>
  %y = "dry.matmul"(%x, %w, %b) ({
  ^bb0(%s: f32, %c: f32):
    %t = arith.addf %s, %c : f32
    %f = math.tanh %t : f32
    %g = arith.mulf %t, %f : f32
    "dry.yield"(%g) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(m, n) -> (n)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<2x8xf32>, tensor<4x8xf32>, tensor<4xf32>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1)>
#map1 = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<2x8xf32>) -> tensor<2x4xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<4x8xf32>
    %1 = "dry.weight"() {key = "b"} : () -> tensor<4xf32>
    %2 = "dry.matmul"(%arg0, %0, %1) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %5 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%5) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x8xf32>, tensor<4x8xf32>, tensor<4xf32>) -> tensor<2x4xf32>
    %3 = tensor.empty() : tensor<2x4xf32>
    %4 = linalg.generic {indexing_maps = [#map1, #map1], iterator_types = ["parallel", "parallel"]} ins(%2 : tensor<2x4xf32>) outs(%3 : tensor<2x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %5 = math.tanh %in : f32
      %6 = arith.mulf %in, %5 : f32
      linalg.yield %6 : f32
    } -> tensor<2x4xf32>
    return %4 : tensor<2x4xf32>
  }
}

// case: the argument of a function, and another tensor
func.func @main(%x: tensor<2x8xf32>, %r: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<4x8xf32>
  %two = arith.constant 2.0 : f32
  %y = "dry.matmul"(%x, %w, %r) ({
  ^bb0(%s: f32, %c: f32):
    %t = arith.mulf %s, %two : f32
    %f = math.exp %t : f32
    %g = arith.mulf %c, %f : f32
    "dry.yield"(%g) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(m, n) -> (m, n)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<2x8xf32>, tensor<4x8xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<2x8xf32>, %arg1: tensor<2x4xf32>) -> tensor<2x4xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<4x8xf32>
    %cst = arith.constant 2.000000e+00 : f32
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x8xf32>, tensor<4x8xf32>) -> tensor<2x4xf32>
    %2 = tensor.empty() : tensor<2x4xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel"]} ins(%1, %arg1 : tensor<2x4xf32>, tensor<2x4xf32>) outs(%2 : tensor<2x4xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %4 = arith.mulf %in, %cst : f32
      %5 = math.exp %4 : f32
      %6 = arith.mulf %in_0, %5 : f32
      linalg.yield %6 : f32
    } -> tensor<2x4xf32>
    return %3 : tensor<2x4xf32>
  }
}

// case: attention of few keys
func.func @main(%q: tensor<1x3x4x8xf32>, %k: tensor<1x5x2x8xf32>, %v: tensor<1x5x2x8xf32>) -> tensor<1x3x4x8xf32> {
  %y = "dry.attention"(%q, %k, %v) {causal = true, layout = "bshd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 0.25 : f64, sinks = 0 : i64, tile = []} : (tensor<1x3x4x8xf32>, tensor<1x5x2x8xf32>, tensor<1x5x2x8xf32>) -> tensor<1x3x4x8xf32>
  return %y : tensor<1x3x4x8xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d2, d1, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d3, d4)>
#map3 = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3, d4)>
module {
  func.func @main(%arg0: tensor<1x3x4x8xf32>, %arg1: tensor<1x5x2x8xf32>, %arg2: tensor<1x5x2x8xf32>) -> tensor<1x3x4x8xf32> {
    %0 = tensor.empty() : tensor<1x4x3x8xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x3x4x8xf32>) outs(%0 : tensor<1x4x3x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x4x3x8xf32>
    %2 = tensor.empty() : tensor<1x2x5x8xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg1 : tensor<1x5x2x8xf32>) outs(%2 : tensor<1x2x5x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x5x8xf32>
    %4 = tensor.empty() : tensor<1x2x5x8xf32>
    %5 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg2 : tensor<1x5x2x8xf32>) outs(%4 : tensor<1x2x5x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x5x8xf32>
    %6 = tensor.empty() : tensor<1x2x2x5x8xf32>
    %7 = linalg.generic {indexing_maps = [#map2, #map3], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%3 : tensor<1x2x5x8xf32>) outs(%6 : tensor<1x2x2x5x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x2x5x8xf32>
    %collapsed = tensor.collapse_shape %7 [[0], [1, 2], [3], [4]] : tensor<1x2x2x5x8xf32> into tensor<1x4x5x8xf32>
    %8 = tensor.empty() : tensor<1x2x2x5x8xf32>
    %9 = linalg.generic {indexing_maps = [#map2, #map3], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%5 : tensor<1x2x5x8xf32>) outs(%8 : tensor<1x2x2x5x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x2x5x8xf32>
    %collapsed_0 = tensor.collapse_shape %9 [[0], [1, 2], [3], [4]] : tensor<1x2x2x5x8xf32> into tensor<1x4x5x8xf32>
    %10 = "dry.matmul"(%1, %collapsed) ({
    ^bb0(%arg3: f32):
      %cst = arith.constant 2.500000e-01 : f32
      %17 = arith.mulf %arg3, %cst : f32
      "dry.yield"(%17) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<1x4x3x8xf32>, tensor<1x4x5x8xf32>) -> tensor<1x4x3x5xf32>
    %11 = tensor.empty() : tensor<1x4x3x5xf32>
    %12 = linalg.generic {indexing_maps = [#map1, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%10 : tensor<1x4x3x5xf32>) outs(%11 : tensor<1x4x3x5xf32>) {
    ^bb0(%in: f32, %out: f32):
      %cst = arith.constant 0xFF800000 : f32
      %17 = linalg.index 3 : index
      %18 = linalg.index 2 : index
      %19 = arith.cmpi sle, %17, %18 : index
      %20 = arith.select %19, %in, %cst : f32
      linalg.yield %20 : f32
    } -> tensor<1x4x3x5xf32>
    %13 = "dry.softmax"(%12) {dim = 3 : i64, log = false} : (tensor<1x4x3x5xf32>) -> tensor<1x4x3x5xf32>
    %14 = "dry.matmul"(%13, %collapsed_0) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x4x3x5xf32>, tensor<1x4x5x8xf32>) -> tensor<1x4x3x8xf32>
    %15 = tensor.empty() : tensor<1x3x4x8xf32>
    %16 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%14 : tensor<1x4x3x8xf32>) outs(%15 : tensor<1x3x4x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x3x4x8xf32>
    return %16 : tensor<1x3x4x8xf32>
  }
}
