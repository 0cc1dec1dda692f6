// case: a selective scan of any length
func.func @main(%dt: tensor<2x?x6xf32>, %u: tensor<2x?x6xf32>, %b: tensor<2x?x4xf32>, %c: tensor<2x?x4xf32>) -> tensor<2x?x6xf32> {
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %a = "dry.weight"() {key = "a"} : () -> tensor<6x4xf32>
  %n = tensor.dim %dt, %c1 : tensor<2x?x6xf32>
  %e = tensor.empty(%n) : tensor<2x?x6x4xf32>
  %wide = tensor.expand_shape %dt [[0], [1], [2, 3]] output_shape [2, %n, 6, 1] : tensor<2x?x6xf32> into tensor<2x?x6x1xf32>
  %f = linalg.generic {
    indexing_maps = [affine_map<(b, l, c, s) -> (b, l, c, 0)>, affine_map<(b, l, c, s) -> (c, s)>, affine_map<(b, l, c, s) -> (b, l, c, s)>],
    iterator_types = ["parallel", "parallel", "parallel", "parallel"]
  } ins(%wide, %a : tensor<2x?x6x1xf32>, tensor<6x4xf32>) outs(%e : tensor<2x?x6x4xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %r = arith.mulf %p, %q : f32
    %t = math.exp %r : f32
    linalg.yield %t : f32
  } -> tensor<2x?x6x4xf32>
  %x = linalg.generic {
    indexing_maps = [affine_map<(b, l, c, s) -> (b, l, c)>, affine_map<(b, l, c, s) -> (b, l, c)>, affine_map<(b, l, c, s) -> (b, l, s)>, affine_map<(b, l, c, s) -> (b, l, c, s)>],
    iterator_types = ["parallel", "parallel", "parallel", "parallel"]
  } ins(%dt, %u, %b : tensor<2x?x6xf32>, tensor<2x?x6xf32>, tensor<2x?x4xf32>) outs(%e : tensor<2x?x6x4xf32>) {
  ^bb0(%p: f32, %q: f32, %r: f32, %o: f32):
    %s = arith.mulf %p, %q : f32
    %t = arith.mulf %s, %r : f32
    linalg.yield %t : f32
  } -> tensor<2x?x6x4xf32>
  %h = "dry.linear_scan"(%x, %f) {dim = 1 : i64} : (tensor<2x?x6x4xf32>, tensor<2x?x6x4xf32>) -> tensor<2x?x6x4xf32>
  %i = tensor.empty(%n) : tensor<2x?x6xf32>
  %start = linalg.fill ins(%zero : f32) outs(%i : tensor<2x?x6xf32>) -> tensor<2x?x6xf32>
  %y = linalg.generic {
    indexing_maps = [affine_map<(b, l, c, s) -> (b, l, c, s)>, affine_map<(b, l, c, s) -> (b, l, s)>, affine_map<(b, l, c, s) -> (b, l, c)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction"]
  } ins(%h, %c : tensor<2x?x6x4xf32>, tensor<2x?x4xf32>) outs(%start : tensor<2x?x6xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %s = arith.mulf %p, %q : f32
    %t = arith.addf %s, %o : f32
    linalg.yield %t : f32
  } -> tensor<2x?x6xf32>
  return %y : tensor<2x?x6xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, 0)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#map3 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
module {
  func.func @main(%arg0: tensor<2x?x6xf32>, %arg1: tensor<2x?x6xf32>, %arg2: tensor<2x?x4xf32>, %arg3: tensor<2x?x4xf32>) -> tensor<2x?x6xf32> {
    %c1 = arith.constant 1 : index
    %0 = "dry.weight"() {key = "a"} : () -> tensor<6x4xf32>
    %dim = tensor.dim %arg0, %c1 : tensor<2x?x6xf32>
    %expanded = tensor.expand_shape %arg0 [[0], [1], [2, 3]] output_shape [2, %dim, 6, 1] : tensor<2x?x6xf32> into tensor<2x?x6x1xf32>
    %1 = "dry.selective_scan"(%expanded, %0, %arg0, %arg1, %arg2, %arg3) ({
    ^bb0(%arg4: f32, %arg5: f32, %arg6: f32, %arg7: f32, %arg8: f32, %arg9: f32):
      %2 = arith.mulf %arg4, %arg5 : f32
      %3 = math.exp %2 : f32
      %4 = arith.mulf %arg6, %arg7 : f32
      %5 = arith.mulf %4, %arg8 : f32
      "dry.coefficients"(%3, %5, %arg9) {operandSegmentSizes = array<i32: 1, 1, 1>} : (f32, f32, f32) -> ()
    }) {dim = 1 : i64, indexing_maps = [#map, #map1, #map2, #map2, #map3, #map3], operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0, 0>, summed = true} : (tensor<2x?x6x1xf32>, tensor<6x4xf32>, tensor<2x?x6xf32>, tensor<2x?x6xf32>, tensor<2x?x4xf32>, tensor<2x?x4xf32>) -> tensor<2x?x6xf32>
    return %1 : tensor<2x?x6xf32>
  }
}

// case: states read by a product with one column
func.func @main(%f: tensor<2x5x6x4xf32>, %x: tensor<2x5x6x4xf32>, %c: tensor<2x5x4x1xf32>) -> tensor<2x5x6x1xf32> {
  %h = "dry.linear_scan"(%x, %f) {dim = 1 : i64} : (tensor<2x5x6x4xf32>, tensor<2x5x6x4xf32>) -> tensor<2x5x6x4xf32>
  %y = "dry.matmul"(%h, %c) ({
  ^bb0(%p: f32):
    "dry.yield"(%p) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<2x5x6x4xf32>, tensor<2x5x4x1xf32>) -> tensor<2x5x6x1xf32>
  return %y : tensor<2x5x6x1xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3, 0)>
module {
  func.func @main(%arg0: tensor<2x5x6x4xf32>, %arg1: tensor<2x5x6x4xf32>, %arg2: tensor<2x5x4x1xf32>) -> tensor<2x5x6x1xf32> {
    %0 = "dry.selective_scan"(%arg0, %arg1, %arg2) ({
    ^bb0(%arg3: f32, %arg4: f32, %arg5: f32):
      "dry.coefficients"(%arg3, %arg4, %arg5) {operandSegmentSizes = array<i32: 1, 1, 1>} : (f32, f32, f32) -> ()
    }) {dim = 1 : i64, indexing_maps = [#map, #map, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, summed = true} : (tensor<2x5x6x4xf32>, tensor<2x5x6x4xf32>, tensor<2x5x4x1xf32>) -> tensor<2x5x6xf32>
    %expanded = tensor.expand_shape %0 [[0], [1], [2, 3]] output_shape [2, 5, 6, 1] : tensor<2x5x6xf32> into tensor<2x5x6x1xf32>
    return %expanded : tensor<2x5x6x1xf32>
  }
}

// case: a product that does more than sum stays
func.func @main(%f: tensor<2x5x6x4xf32>, %x: tensor<2x5x6x4xf32>, %c: tensor<2x5x4x1xf32>) -> tensor<2x5x6x1xf32> {
  %h = "dry.linear_scan"(%x, %f) {dim = 1 : i64} : (tensor<2x5x6x4xf32>, tensor<2x5x6x4xf32>) -> tensor<2x5x6x4xf32>
  %y = "dry.matmul"(%h, %c) ({
  ^bb0(%p: f32):
    %r = arith.negf %p : f32
    "dry.yield"(%r) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<2x5x6x4xf32>, tensor<2x5x4x1xf32>) -> tensor<2x5x6x1xf32>
  return %y : tensor<2x5x6x1xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<2x5x6x4xf32>, %arg1: tensor<2x5x6x4xf32>, %arg2: tensor<2x5x4x1xf32>) -> tensor<2x5x6x1xf32> {
    %0 = "dry.linear_scan"(%arg1, %arg0) {dim = 1 : i64} : (tensor<2x5x6x4xf32>, tensor<2x5x6x4xf32>) -> tensor<2x5x6x4xf32>
    %1 = "dry.matmul"(%0, %arg2) ({
    ^bb0(%arg3: f32):
      %2 = arith.negf %arg3 : f32
      "dry.yield"(%2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<2x5x6x4xf32>, tensor<2x5x4x1xf32>) -> tensor<2x5x6x1xf32>
    return %1 : tensor<2x5x6x1xf32>
  }
}

// case: states that are returned as well, and a factor that something else reads
func.func @main(%d: tensor<5x6xf32>, %x: tensor<5x6xf32>) -> (tensor<5x6xf32>, tensor<5x6xf32>) {
  %e = tensor.empty() : tensor<5x6xf32>
  %f = linalg.generic {
    indexing_maps = [affine_map<(l, c) -> (l, c)>, affine_map<(l, c) -> (l, c)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%d : tensor<5x6xf32>) outs(%e : tensor<5x6xf32>) {
  ^bb0(%p: f32, %o: f32):
    %r = math.exp %p : f32
    linalg.yield %r : f32
  } -> tensor<5x6xf32>
  %g = linalg.generic {
    indexing_maps = [affine_map<(l, c) -> (l, c)>, affine_map<(l, c) -> (l, c)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%x : tensor<5x6xf32>) outs(%e : tensor<5x6xf32>) {
  ^bb0(%p: f32, %o: f32):
    %r = arith.negf %p : f32
    linalg.yield %r : f32
  } -> tensor<5x6xf32>
  %h = "dry.linear_scan"(%g, %f) {dim = 0 : i64} : (tensor<5x6xf32>, tensor<5x6xf32>) -> tensor<5x6xf32>
  return %h, %f : tensor<5x6xf32>, tensor<5x6xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<5x6xf32>, %arg1: tensor<5x6xf32>) -> (tensor<5x6xf32>, tensor<5x6xf32>) {
    %0 = tensor.empty() : tensor<5x6xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0 : tensor<5x6xf32>) outs(%0 : tensor<5x6xf32>) {
    ^bb0(%in: f32, %out: f32):
      %3 = math.exp %in : f32
      linalg.yield %3 : f32
    } -> tensor<5x6xf32>
    %2 = "dry.selective_scan"(%1, %arg1) ({
    ^bb0(%arg2: f32, %arg3: f32):
      %3 = arith.negf %arg3 : f32
      "dry.coefficients"(%arg2, %3) {operandSegmentSizes = array<i32: 1, 1, 0>} : (f32, f32) -> ()
    }) {dim = 0 : i64, indexing_maps = [#map, #map], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>, summed = false} : (tensor<5x6xf32>, tensor<5x6xf32>) -> tensor<5x6xf32>
    return %2, %1 : tensor<5x6xf32>, tensor<5x6xf32>
  }
}

// case: along the last dimension nothing changes
func.func @main(%d: tensor<5x6xf32>, %x: tensor<5x6xf32>) -> tensor<5x6xf32> {
  %e = tensor.empty() : tensor<5x6xf32>
  %f = linalg.generic {
    indexing_maps = [affine_map<(l, c) -> (l, c)>, affine_map<(l, c) -> (l, c)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%d : tensor<5x6xf32>) outs(%e : tensor<5x6xf32>) {
  ^bb0(%p: f32, %o: f32):
    %r = math.exp %p : f32
    linalg.yield %r : f32
  } -> tensor<5x6xf32>
  %h = "dry.linear_scan"(%x, %f) {dim = 1 : i64} : (tensor<5x6xf32>, tensor<5x6xf32>) -> tensor<5x6xf32>
  return %h : tensor<5x6xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<5x6xf32>, %arg1: tensor<5x6xf32>) -> tensor<5x6xf32> {
    %0 = tensor.empty() : tensor<5x6xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0 : tensor<5x6xf32>) outs(%0 : tensor<5x6xf32>) {
    ^bb0(%in: f32, %out: f32):
      %3 = math.exp %in : f32
      linalg.yield %3 : f32
    } -> tensor<5x6xf32>
    %2 = "dry.linear_scan"(%arg1, %1) {dim = 1 : i64} : (tensor<5x6xf32>, tensor<5x6xf32>) -> tensor<5x6xf32>
    return %2 : tensor<5x6xf32>
  }
}

// case: states read by a product of joined dimensions, as einsum makes it
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map3 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
module {
  func.func @main(%arg0: tensor<2x3x8xf32>, %arg1: tensor<2x3x8xf32>, %arg2: tensor<2x3x4xf32>, %arg3: tensor<2x3x4xf32>) -> tensor<2x3x8xf32> {
    %0 = "dry.weight"() {key = "A"} : () -> tensor<8x4xf32>
    %1 = tensor.empty() : tensor<2x3x8x4xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map1, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0, %0 : tensor<2x3x8xf32>, tensor<8x4xf32>) outs(%1 : tensor<2x3x8x4xf32>) {
    ^bb0(%in: f32, %in_3: f32, %out: f32):
      %6 = arith.mulf %in, %in_3 : f32
      %7 = math.exp %6 : f32
      linalg.yield %7 : f32
    } -> tensor<2x3x8x4xf32>
    %3 = linalg.generic {indexing_maps = [#map3, #map, #map, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg2, %arg0, %arg1 : tensor<2x3x4xf32>, tensor<2x3x8xf32>, tensor<2x3x8xf32>) outs(%1 : tensor<2x3x8x4xf32>) {
    ^bb0(%in: f32, %in_3: f32, %in_4: f32, %out: f32):
      %6 = arith.mulf %in_3, %in_4 : f32
      %7 = arith.mulf %6, %in : f32
      linalg.yield %7 : f32
    } -> tensor<2x3x8x4xf32>
    %4 = "dry.linear_scan"(%3, %2) {dim = 1 : i64} : (tensor<2x3x8x4xf32>, tensor<2x3x8x4xf32>) -> tensor<2x3x8x4xf32>
    %expanded = tensor.expand_shape %arg3 [[0], [1], [2, 3]] output_shape [2, 3, 4, 1] : tensor<2x3x4xf32> into tensor<2x3x4x1xf32>
    %collapsed = tensor.collapse_shape %4 [[0, 1], [2], [3]] : tensor<2x3x8x4xf32> into tensor<6x8x4xf32>
    %collapsed_0 = tensor.collapse_shape %expanded [[0, 1], [2], [3]] : tensor<2x3x4x1xf32> into tensor<6x4x1xf32>
    %5 = "dry.matmul"(%collapsed, %collapsed_0) ({
    ^bb0(%arg4: f32):
      "dry.yield"(%arg4) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<6x8x4xf32>, tensor<6x4x1xf32>) -> tensor<6x8x1xf32>
    %expanded_1 = tensor.expand_shape %5 [[0, 1], [2], [3]] output_shape [2, 3, 8, 1] : tensor<6x8x1xf32> into tensor<2x3x8x1xf32>
    %collapsed_2 = tensor.collapse_shape %expanded_1 [[0], [1], [2, 3]] : tensor<2x3x8x1xf32> into tensor<2x3x8xf32>
    return %collapsed_2 : tensor<2x3x8xf32>
  }
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
#map3 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3, 0)>
module {
  func.func @main(%arg0: tensor<2x3x8xf32>, %arg1: tensor<2x3x8xf32>, %arg2: tensor<2x3x4xf32>, %arg3: tensor<2x3x4xf32>) -> tensor<2x3x8xf32> {
    %0 = "dry.weight"() {key = "A"} : () -> tensor<8x4xf32>
    %expanded = tensor.expand_shape %arg3 [[0], [1], [2, 3]] output_shape [2, 3, 4, 1] : tensor<2x3x4xf32> into tensor<2x3x4x1xf32>
    %collapsed = tensor.collapse_shape %expanded [[0, 1], [2], [3]] : tensor<2x3x4x1xf32> into tensor<6x4x1xf32>
    %expanded_0 = tensor.expand_shape %collapsed [[0, 1], [2], [3]] output_shape [2, 3, 4, 1] : tensor<6x4x1xf32> into tensor<2x3x4x1xf32>
    %1 = "dry.selective_scan"(%arg0, %0, %arg2, %arg1, %expanded_0) ({
    ^bb0(%arg4: f32, %arg5: f32, %arg6: f32, %arg7: f32, %arg8: f32):
      %2 = arith.mulf %arg4, %arg5 : f32
      %3 = math.exp %2 : f32
      %4 = arith.mulf %arg4, %arg7 : f32
      %5 = arith.mulf %4, %arg6 : f32
      "dry.coefficients"(%3, %5, %arg8) {operandSegmentSizes = array<i32: 1, 1, 1>} : (f32, f32, f32) -> ()
    }) {dim = 1 : i64, indexing_maps = [#map, #map1, #map2, #map, #map3], operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0, 0>, summed = true} : (tensor<2x3x8xf32>, tensor<8x4xf32>, tensor<2x3x4xf32>, tensor<2x3x8xf32>, tensor<2x3x4x1xf32>) -> tensor<2x3x8xf32>
    %collapsed_1 = tensor.collapse_shape %1 [[0, 1], [2]] : tensor<2x3x8xf32> into tensor<6x8xf32>
    %expanded_2 = tensor.expand_shape %collapsed_1 [[0], [1, 2]] output_shape [6, 8, 1] : tensor<6x8xf32> into tensor<6x8x1xf32>
    %expanded_3 = tensor.expand_shape %expanded_2 [[0, 1], [2], [3]] output_shape [2, 3, 8, 1] : tensor<6x8x1xf32> into tensor<2x3x8x1xf32>
    %collapsed_4 = tensor.collapse_shape %expanded_3 [[0], [1], [2, 3]] : tensor<2x3x8x1xf32> into tensor<2x3x8xf32>
    return %collapsed_4 : tensor<2x3x8xf32>
  }
}

// case: states read by a product with one row
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map3 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
#map4 = affine_map<(d0, d1, d2, d3) -> (d3, d0, d2, d1)>
module {
  func.func @main(%arg0: tensor<1x3x8xf32>, %arg1: tensor<1x3x8xf32>, %arg2: tensor<1x3x4xf32>, %arg3: tensor<1x3x4xf32>) -> tensor<1x3x8xf32> {
    %0 = "dry.weight"() {key = "A"} : () -> tensor<8x4xf32>
    %1 = tensor.empty() : tensor<1x3x8x4xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map1, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0, %0 : tensor<1x3x8xf32>, tensor<8x4xf32>) outs(%1 : tensor<1x3x8x4xf32>) {
    ^bb0(%in: f32, %in_4: f32, %out: f32):
      %8 = arith.mulf %in, %in_4 : f32
      %9 = math.exp %8 : f32
      linalg.yield %9 : f32
    } -> tensor<1x3x8x4xf32>
    %3 = linalg.generic {indexing_maps = [#map3, #map, #map, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg2, %arg0, %arg1 : tensor<1x3x4xf32>, tensor<1x3x8xf32>, tensor<1x3x8xf32>) outs(%1 : tensor<1x3x8x4xf32>) {
    ^bb0(%in: f32, %in_4: f32, %in_5: f32, %out: f32):
      %8 = arith.mulf %in_4, %in_5 : f32
      %9 = arith.mulf %8, %in : f32
      linalg.yield %9 : f32
    } -> tensor<1x3x8x4xf32>
    %4 = "dry.linear_scan"(%3, %2) {dim = 1 : i64} : (tensor<1x3x8x4xf32>, tensor<1x3x8x4xf32>) -> tensor<1x3x8x4xf32>
    %collapsed = tensor.collapse_shape %arg3 [[0, 1], [2]] : tensor<1x3x4xf32> into tensor<3x4xf32>
    %expanded = tensor.expand_shape %collapsed [[0, 1], [2]] output_shape [3, 1, 4] : tensor<3x4xf32> into tensor<3x1x4xf32>
    %5 = tensor.empty() : tensor<3x4x8x1xf32>
    %6 = linalg.generic {indexing_maps = [#map4, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%4 : tensor<1x3x8x4xf32>) outs(%5 : tensor<3x4x8x1xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<3x4x8x1xf32>
    %collapsed_0 = tensor.collapse_shape %6 [[0], [1], [2, 3]] : tensor<3x4x8x1xf32> into tensor<3x4x8xf32>
    %7 = "dry.matmul"(%expanded, %collapsed_0) ({
    ^bb0(%arg4: f32):
      "dry.yield"(%arg4) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<3x1x4xf32>, tensor<3x4x8xf32>) -> tensor<3x1x8xf32>
    %expanded_1 = tensor.expand_shape %7 [[0], [1], [2, 3]] output_shape [3, 1, 1, 8] : tensor<3x1x8xf32> into tensor<3x1x1x8xf32>
    %collapsed_2 = tensor.collapse_shape %expanded_1 [[0, 1, 2], [3]] : tensor<3x1x1x8xf32> into tensor<3x8xf32>
    %expanded_3 = tensor.expand_shape %collapsed_2 [[0, 1], [2]] output_shape [1, 3, 8] : tensor<3x8xf32> into tensor<1x3x8xf32>
    return %expanded_3 : tensor<1x3x8xf32>
  }
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
#map3 = affine_map<(d0, d1, d2, d3) -> (d1, 0, d3)>
module {
  func.func @main(%arg0: tensor<1x3x8xf32>, %arg1: tensor<1x3x8xf32>, %arg2: tensor<1x3x4xf32>, %arg3: tensor<1x3x4xf32>) -> tensor<1x3x8xf32> {
    %0 = "dry.weight"() {key = "A"} : () -> tensor<8x4xf32>
    %collapsed = tensor.collapse_shape %arg3 [[0, 1], [2]] : tensor<1x3x4xf32> into tensor<3x4xf32>
    %expanded = tensor.expand_shape %collapsed [[0, 1], [2]] output_shape [3, 1, 4] : tensor<3x4xf32> into tensor<3x1x4xf32>
    %1 = "dry.selective_scan"(%arg0, %0, %arg2, %arg1, %expanded) ({
    ^bb0(%arg4: f32, %arg5: f32, %arg6: f32, %arg7: f32, %arg8: f32):
      %2 = arith.mulf %arg4, %arg5 : f32
      %3 = math.exp %2 : f32
      %4 = arith.mulf %arg4, %arg7 : f32
      %5 = arith.mulf %4, %arg6 : f32
      "dry.coefficients"(%3, %5, %arg8) {operandSegmentSizes = array<i32: 1, 1, 1>} : (f32, f32, f32) -> ()
    }) {dim = 1 : i64, indexing_maps = [#map, #map1, #map2, #map, #map3], operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0, 0>, summed = true} : (tensor<1x3x8xf32>, tensor<8x4xf32>, tensor<1x3x4xf32>, tensor<1x3x8xf32>, tensor<3x1x4xf32>) -> tensor<1x3x8xf32>
    %collapsed_0 = tensor.collapse_shape %1 [[0, 1], [2]] : tensor<1x3x8xf32> into tensor<3x8xf32>
    %expanded_1 = tensor.expand_shape %collapsed_0 [[0, 1], [2]] output_shape [3, 1, 8] : tensor<3x8xf32> into tensor<3x1x8xf32>
    %expanded_2 = tensor.expand_shape %expanded_1 [[0], [1], [2, 3]] output_shape [3, 1, 1, 8] : tensor<3x1x8xf32> into tensor<3x1x1x8xf32>
    %collapsed_3 = tensor.collapse_shape %expanded_2 [[0, 1, 2], [3]] : tensor<3x1x1x8xf32> into tensor<3x8xf32>
    %expanded_4 = tensor.expand_shape %collapsed_3 [[0, 1], [2]] output_shape [1, 3, 8] : tensor<3x8xf32> into tensor<1x3x8xf32>
    return %expanded_4 : tensor<1x3x8xf32>
  }
}
