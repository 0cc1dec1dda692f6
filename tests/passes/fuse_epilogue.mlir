// case: bias, exact GELU and a residual addition
func.func @main(%x: tensor<?x8xf32>, %r: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %c0 = arith.constant 0 : index
  %half = arith.constant 0.5 : f32
  %one = arith.constant 1.0 : f32
  %root = arith.constant 0.70710678 : f32
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<16xf32>
  %y = "dry.matmul"(%x, %w, %v) ({
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x8xf32>, tensor<16x8xf32>, tensor<16xf32>) -> tensor<?x16xf32>
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%n) : tensor<?x16xf32>
  %g = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%y : tensor<?x16xf32>) outs(%e : tensor<?x16xf32>) {
  ^bb0(%a: f32, %o: f32):
    %p = arith.mulf %a, %root : f32
    %q = math.erf %p : f32
    %s = arith.addf %q, %one : f32
    %t = arith.mulf %s, %half : f32
    %u = arith.mulf %a, %t : f32
    linalg.yield %u : f32
  } -> tensor<?x16xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%r, %g : tensor<?x16xf32>, tensor<?x16xf32>) outs(%e : tensor<?x16xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %u = arith.addf %a, %b : f32
    linalg.yield %u : f32
  } -> tensor<?x16xf32>
  return %z : tensor<?x16xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1)>
#map1 = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<?x8xf32>, %arg1: tensor<?x16xf32>) -> tensor<?x16xf32> {
    %cst = arith.constant 5.000000e-01 : f32
    %cst_0 = arith.constant 1.000000e+00 : f32
    %cst_1 = arith.constant 0.707106769 : f32
    %0 = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
    %1 = "dry.weight"() {key = "v"} : () -> tensor<16xf32>
    %2 = "dry.matmul"(%arg0, %0, %1, %arg1) ({
    ^bb0(%arg2: f32, %arg3: f32, %arg4: f32):
      %3 = arith.addf %arg2, %arg3 : f32
      %4 = arith.mulf %3, %cst_1 : f32
      %5 = math.erf %4 : f32
      %6 = arith.addf %5, %cst_0 : f32
      %7 = arith.mulf %6, %cst : f32
      %8 = arith.mulf %3, %7 : f32
      %9 = arith.addf %arg4, %8 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<?x8xf32>, tensor<16x8xf32>, tensor<16xf32>, tensor<?x16xf32>) -> tensor<?x16xf32>
    return %2 : tensor<?x16xf32>
  }
}

// case: not where the result is read elsewhere, or moved
func.func @main(%x: tensor<4x8xf32>) -> (tensor<4x16xf32>, tensor<4x16xf32>, tensor<16x4xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x16xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<8x16xf32>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  %u = "dry.matmul"(%x, %v) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  %e = tensor.empty() : tensor<4x16xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%y : tensor<4x16xf32>) outs(%e : tensor<4x16xf32>) {
  ^bb0(%a: f32, %o: f32):
    %p = math.exp %a : f32
    linalg.yield %p : f32
  } -> tensor<4x16xf32>
  %f = tensor.empty() : tensor<16x4xf32>
  %t = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%u : tensor<4x16xf32>) outs(%f : tensor<16x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %p = math.exp %a : f32
    linalg.yield %p : f32
  } -> tensor<16x4xf32>
  return %y, %z, %t : tensor<4x16xf32>, tensor<4x16xf32>, tensor<16x4xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d1, d0)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> (tensor<4x16xf32>, tensor<4x16xf32>, tensor<16x4xf32>) {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<8x16xf32>
    %1 = "dry.weight"() {key = "v"} : () -> tensor<8x16xf32>
    %2 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
    %3 = "dry.matmul"(%arg0, %1) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
    %4 = tensor.empty() : tensor<4x16xf32>
    %5 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%2 : tensor<4x16xf32>) outs(%4 : tensor<4x16xf32>) {
    ^bb0(%in: f32, %out: f32):
      %8 = math.exp %in : f32
      linalg.yield %8 : f32
    } -> tensor<4x16xf32>
    %6 = tensor.empty() : tensor<16x4xf32>
    %7 = linalg.generic {indexing_maps = [#map1, #map], iterator_types = ["parallel", "parallel"]} ins(%3 : tensor<4x16xf32>) outs(%6 : tensor<16x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %8 = math.exp %in : f32
      linalg.yield %8 : f32
    } -> tensor<16x4xf32>
    return %2, %5, %7 : tensor<4x16xf32>, tensor<4x16xf32>, tensor<16x4xf32>
  }
}

// case: two products that are added: the later one takes the earlier one
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x8xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<8x8xf32>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %u = "dry.matmul"(%x, %v) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %e = tensor.empty() : tensor<4x8xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%y, %u : tensor<4x8xf32>, tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.subf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<4x8xf32>
  return %z : tensor<4x8xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> tensor<4x8xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<8x8xf32>
    %1 = "dry.weight"() {key = "v"} : () -> tensor<8x8xf32>
    %2 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
    %3 = "dry.matmul"(%arg0, %1, %2) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %4 = arith.subf %arg2, %arg1 : f32
      "dry.yield"(%4) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<8x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    return %3 : tensor<4x8xf32>
  }
}

// case: a convolution stores bytes, and reads a residual of bytes
func.func @main(%x: tensor<1x3x3x4xf32>, %r: tensor<1x3x3x8xi8>) -> tensor<1x3x3x8xi8> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x4x1x1xf32>
  %e = tensor.empty() : tensor<1x3x3x8xf32>
  %b = tensor.empty() : tensor<1x3x3x8xi8>
  %half = arith.constant 0.5 : f32
  %y = "dry.conv"(%x, %w) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {dilation = [1, 1], layout = "nhwc", output_padding = [0, 0], strides = [1, 1], transposed = false, padding = [0, 0, 0, 0], groups = 1 : i64, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x3x3x4xf32>, tensor<8x4x1x1xf32>) -> tensor<1x3x3x8xf32>
  %d = linalg.generic {indexing_maps = [affine_map<(n, h, w, c) -> (n, h, w, c)>, affine_map<(n, h, w, c) -> (n, h, w, c)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r : tensor<1x3x3x8xi8>) outs(%e : tensor<1x3x3x8xf32>) {
  ^bb0(%in: i8, %out: f32):
    %t = arith.sitofp %in : i8 to f32
    %u = arith.mulf %t, %half : f32
    linalg.yield %u : f32
  } -> tensor<1x3x3x8xf32>
  %z = linalg.generic {indexing_maps = [affine_map<(n, h, w, c) -> (n, h, w, c)>, affine_map<(n, h, w, c) -> (n, h, w, c)>, affine_map<(n, h, w, c) -> (n, h, w, c)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%y, %d : tensor<1x3x3x8xf32>, tensor<1x3x3x8xf32>) outs(%e : tensor<1x3x3x8xf32>) {
  ^bb0(%in: f32, %more: f32, %out: f32):
    %t = arith.addf %in, %more : f32
    linalg.yield %t : f32
  } -> tensor<1x3x3x8xf32>
  %q = linalg.generic {indexing_maps = [affine_map<(n, h, w, c) -> (n, h, w, c)>, affine_map<(n, h, w, c) -> (n, h, w, c)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%z : tensor<1x3x3x8xf32>) outs(%b : tensor<1x3x3x8xi8>) {
  ^bb0(%in: f32, %out: i8):
    %t = arith.fptosi %in : f32 to i8
    linalg.yield %t : i8
  } -> tensor<1x3x3x8xi8>
  return %q : tensor<1x3x3x8xi8>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<1x3x3x4xf32>, %arg1: tensor<1x3x3x8xi8>) -> tensor<1x3x3x8xi8> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<8x4x1x1xf32>
    %cst = arith.constant 5.000000e-01 : f32
    %1 = "dry.conv"(%arg0, %0, %arg1) ({
    ^bb0(%arg2: f32, %arg3: i8):
      %2 = arith.sitofp %arg3 : i8 to f32
      %3 = arith.mulf %2, %cst : f32
      %4 = arith.addf %arg2, %3 : f32
      %5 = arith.fptosi %4 : f32 to i8
      "dry.yield"(%5) : (i8) -> ()
    }) {dilation = [1, 1], extra_maps = [#map], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x3x3x4xf32>, tensor<8x4x1x1xf32>, tensor<1x3x3x8xi8>) -> tensor<1x3x3x8xi8>
    return %1 : tensor<1x3x3x8xi8>
  }
}
