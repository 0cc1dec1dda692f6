// case: a batch norm and a rectifier
func.func @main(%x: tensor<1x8x5x5xf32>) -> tensor<1x4x5x5xf32> {
  %zero = arith.constant 0.0 : f32
  %w = "dry.weight"() {key = "w"} : () -> tensor<4x8x3x3xf32>
  %m = "dry.weight"() {key = "m"} : () -> tensor<4xf32>
  %g = "dry.weight"() {key = "g"} : () -> tensor<4x1x1xf32>
  %beta = "dry.weight"() {key = "b"} : () -> tensor<4xf32>
  %y = "dry.conv"(%x, %w, %m, %g, %beta) ({
  ^bb0(%a: f32, %b: f32, %c: f32, %d: f32):
    %p = arith.subf %a, %b : f32
    %q = arith.mulf %p, %c : f32
    %r = arith.addf %d, %q : f32
    %s = arith.maximumf %r, %zero : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {strides = [1, 1], padding = [1, 1, 1, 1], dilation = [1, 1], output_padding = [0, 0], groups = 1 : i64,
      transposed = false, layout = "nchw", extra_maps = [affine_map<(n, c, h, w) -> (c)>, affine_map<(n, c, h, w) -> (c, 0, 0)>, affine_map<(n, c, h, w) -> (c)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0, 0, 0, 0>}
    : (tensor<1x8x5x5xf32>, tensor<4x8x3x3xf32>, tensor<4xf32>, tensor<4x1x1xf32>, tensor<4xf32>) -> tensor<1x4x5x5xf32>
  return %y : tensor<1x4x5x5xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d1)>
module {
  func.func @main(%arg0: tensor<1x8x5x5xf32>) -> tensor<1x4x5x5xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = "dry.weight"() {key = "w.scaled"} : () -> tensor<4x8x3x3xf32>
    %1 = "dry.weight"() {key = "w.shift"} : () -> tensor<4xf32>
    %2 = "dry.conv"(%arg0, %0, %1) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %3 = arith.addf %arg1, %arg2 : f32
      %4 = arith.maximumf %3, %cst : f32
      "dry.yield"(%4) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x8x5x5xf32>, tensor<4x8x3x3xf32>, tensor<4xf32>) -> tensor<1x4x5x5xf32>
    return %2 : tensor<1x4x5x5xf32>
  }
}

// case: a scale of a product, and one that is an input and stays
func.func @main(%x: tensor<4x8xf32>, %s0: tensor<6xf32>) -> tensor<4x6xf32> {
  %two = arith.constant 2.0 : f32
  %w = "dry.weight"() {key = "w"} : () -> tensor<6x8xf32>
  %beta = "dry.weight"() {key = "b"} : () -> tensor<6xf32>
  %y = "dry.matmul"(%x, %w, %beta, %s0) ({
  ^bb0(%a: f32, %c: f32, %d: f32):
    %p = arith.addf %a, %c : f32
    %q = arith.divf %p, %two : f32
    %r = arith.mulf %q, %d : f32
    "dry.yield"(%r) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<6x8xf32>, tensor<6xf32>, tensor<6xf32>) -> tensor<4x6xf32>
  return %y : tensor<4x6xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<4x8xf32>, %arg1: tensor<6xf32>) -> tensor<4x6xf32> {
    %0 = "dry.weight"() {key = "w.scaled"} : () -> tensor<6x8xf32>
    %1 = "dry.weight"() {key = "w.shift"} : () -> tensor<6xf32>
    %2 = "dry.matmul"(%arg0, %0, %arg1, %1) ({
    ^bb0(%arg2: f32, %arg3: f32, %arg4: f32):
      %3 = arith.addf %arg2, %arg4 : f32
      %4 = arith.mulf %3, %arg3 : f32
      "dry.yield"(%4) : (f32) -> ()
    }) {extra_maps = [#map, #map], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<6x8xf32>, tensor<6xf32>, tensor<6xf32>) -> tensor<4x6xf32>
    return %2 : tensor<4x6xf32>
  }
}

// case: a norm whose weights hold one number each
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x6xf32> {
  %gain = arith.constant dense<0.5> : tensor<6xf32>
  %shift = arith.constant dense<0.0> : tensor<6xf32>
  %w = "dry.weight"() {key = "w"} : () -> tensor<6x8xf32>
  %y = "dry.matmul"(%x, %w, %gain, %shift) ({
  ^bb0(%a: f32, %c: f32, %d: f32):
    %p = arith.mulf %a, %c : f32
    %q = arith.addf %p, %d : f32
    %r = math.absf %q : f32
    "dry.yield"(%r) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<6x8xf32>, tensor<6xf32>, tensor<6xf32>) -> tensor<4x6xf32>
  return %y : tensor<4x6xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> tensor<4x6xf32> {
    %0 = "dry.weight"() {key = "w.scaled"} : () -> tensor<6x8xf32>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      %2 = math.absf %arg1 : f32
      "dry.yield"(%2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<6x8xf32>) -> tensor<4x6xf32>
    return %1 : tensor<4x6xf32>
  }
}

// case: one shift of one number
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x6xf32> {
  %shift = arith.constant dense<0.5> : tensor<6xf32>
  %w = "dry.weight"() {key = "w"} : () -> tensor<6x8xf32>
  %y = "dry.matmul"(%x, %w, %shift) ({
  ^bb0(%a: f32, %c: f32):
    %p = arith.subf %c, %a : f32
    "dry.yield"(%p) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<6x8xf32>, tensor<6xf32>) -> tensor<4x6xf32>
  return %y : tensor<4x6xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> tensor<4x6xf32> {
    %0 = "dry.weight"() {key = "w.scaled"} : () -> tensor<6x8xf32>
    %1 = "dry.weight"() {key = "w.shift"} : () -> tensor<6xf32>
    %2 = "dry.matmul"(%arg0, %0, %1) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %3 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%3) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<6x8xf32>, tensor<6xf32>) -> tensor<4x6xf32>
    return %2 : tensor<4x6xf32>
  }
}
