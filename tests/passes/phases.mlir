// case: four taps, two apart, with a bias
func.func @main(%x: tensor<2x5x3x6xf32>) -> tensor<2x10x6x4xf32> {
  %zero = arith.constant 0.0 : f32
  %w = "dry.weight"() {key = "w"} : () -> tensor<6x4x4x4xf32>
  %m = "dry.weight"() {key = "m"} : () -> tensor<4x1x1xf32>
  %y = "dry.conv"(%x, %w, %m) ({
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    %r = arith.maximumf %s, %zero : f32
    "dry.yield"(%r) : (f32) -> ()
  }) {strides = [2, 2], padding = [1, 1, 1, 1], dilation = [1, 1], output_padding = [0, 0], groups = 1 : i64,
      transposed = true, layout = "nhwc", extra_maps = [affine_map<(n, h, w, c) -> (c, 0, 0)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<2x5x3x6xf32>, tensor<6x4x4x4xf32>, tensor<4x1x1xf32>) -> tensor<2x10x6x4xf32>
  return %y : tensor<2x10x6x4xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d3, 0, 0)>
#map1 = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1, d3, d2, d4, d5)>
#map2 = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1, d2, d3, d4, d5)>
module {
  func.func @main(%arg0: tensor<2x5x3x6xf32>) -> tensor<2x10x6x4xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = "dry.weight"() {key = "w.phases"} : () -> tensor<16x6x2x2xf32>
    %1 = "dry.weight"() {key = "m.phases"} : () -> tensor<16x1x1xf32>
    %2 = "dry.conv"(%arg0, %0, %1) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %5 = arith.addf %arg1, %arg2 : f32
      %6 = arith.maximumf %5, %cst : f32
      "dry.yield"(%6) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<2x5x3x6xf32>, tensor<16x6x2x2xf32>, tensor<16x1x1xf32>) -> tensor<2x6x4x16xf32>
    %expanded = tensor.expand_shape %2 [[0], [1], [2], [3, 4, 5]] output_shape [2, 6, 4, 2, 2, 4] : tensor<2x6x4x16xf32> into tensor<2x6x4x2x2x4xf32>
    %3 = tensor.empty() : tensor<2x6x2x4x2x4xf32>
    %4 = linalg.generic {indexing_maps = [#map1, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%expanded : tensor<2x6x4x2x2x4xf32>) outs(%3 : tensor<2x6x2x4x2x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<2x6x2x4x2x4xf32>
    %collapsed = tensor.collapse_shape %4 [[0], [1, 2], [3, 4], [5]] : tensor<2x6x2x4x2x4xf32> into tensor<2x12x8x4xf32>
    %extracted_slice = tensor.extract_slice %collapsed[0, 1, 1, 0] [2, 10, 6, 4] [1, 1, 1, 1] : tensor<2x12x8x4xf32> to tensor<2x10x6x4xf32>
    return %extracted_slice : tensor<2x10x6x4xf32>
  }
}

// case: along one dimension, as many taps as a step, any batch
func.func @main(%x: tensor<?x7x3xf32>) -> tensor<?x21x5xf32> {
  %zero = arith.constant 0.0 : f32
  %w = "dry.weight"() {key = "w"} : () -> tensor<3x5x3xf32>
  %y = "dry.conv"(%x, %w) ({
  ^bb0(%a: f32):
    %r = arith.maximumf %a, %zero : f32
    "dry.yield"(%r) : (f32) -> ()
  }) {strides = [3], padding = [0, 0], dilation = [1], output_padding = [0], groups = 1 : i64,
      transposed = true, layout = "nhwc", extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x7x3xf32>, tensor<3x5x3xf32>) -> tensor<?x21x5xf32>
  return %y : tensor<?x21x5xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<?x7x3xf32>) -> tensor<?x21x5xf32> {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x7x3xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %0 = "dry.weight"() {key = "w.phases"} : () -> tensor<15x3x1xf32>
    %1 = "dry.conv"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      %2 = arith.maximumf %arg1, %cst : f32
      "dry.yield"(%2) : (f32) -> ()
    }) {dilation = [1], extra_maps = [], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0], padding = [0, 0], strides = [1], transposed = false} : (tensor<?x7x3xf32>, tensor<15x3x1xf32>) -> tensor<?x7x15xf32>
    %expanded = tensor.expand_shape %1 [[0], [1], [2, 3]] output_shape [%dim, 7, 3, 5] : tensor<?x7x15xf32> into tensor<?x7x3x5xf32>
    %collapsed = tensor.collapse_shape %expanded [[0], [1, 2], [3]] : tensor<?x7x3x5xf32> into tensor<?x21x5xf32>
    return %collapsed : tensor<?x21x5xf32>
  }
}

// case: a step of one
func.func @main(%x: tensor<1x4x5x3xf32>) -> tensor<1x4x6x2xf32> {
  %zero = arith.constant 0.0 : f32
  %w = "dry.weight"() {key = "w"} : () -> tensor<3x2x3x3xf32>
  %y = "dry.conv"(%x, %w) ({
  ^bb0(%a: f32):
    %r = arith.maximumf %a, %zero : f32
    "dry.yield"(%r) : (f32) -> ()
  }) {strides = [1, 1], padding = [1, 1, 1, 1], dilation = [1, 1], output_padding = [0, 1], groups = 1 : i64,
      transposed = true, layout = "nhwc", extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x4x5x3xf32>, tensor<3x2x3x3xf32>) -> tensor<1x4x6x2xf32>
  return %y : tensor<1x4x6x2xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<1x4x5x3xf32>) -> tensor<1x4x6x2xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = "dry.weight"() {key = "w.phases"} : () -> tensor<2x3x3x3xf32>
    %1 = "dry.conv"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      %2 = arith.maximumf %arg1, %cst : f32
      "dry.yield"(%2) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 2], strides = [1, 1], transposed = false} : (tensor<1x4x5x3xf32>, tensor<2x3x3x3xf32>) -> tensor<1x4x6x2xf32>
    return %1 : tensor<1x4x6x2xf32>
  }
}

// case: more taps of zeros than pay
func.func @main(%x: tensor<1x4x4x3xf32>) -> tensor<1x8x8x2xf32> {
  %zero = arith.constant 0.0 : f32
  %w = "dry.weight"() {key = "w"} : () -> tensor<3x2x3x3xf32>
  %y = "dry.conv"(%x, %w) ({
  ^bb0(%a: f32):
    %r = arith.maximumf %a, %zero : f32
    "dry.yield"(%r) : (f32) -> ()
  }) {strides = [2, 2], padding = [1, 1, 1, 1], dilation = [1, 1], output_padding = [1, 1], groups = 1 : i64,
      transposed = true, layout = "nhwc", extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x4x4x3xf32>, tensor<3x2x3x3xf32>) -> tensor<1x8x8x2xf32>
  return %y : tensor<1x8x8x2xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<1x4x4x3xf32>) -> tensor<1x8x8x2xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = "dry.weight"() {key = "w"} : () -> tensor<3x2x3x3xf32>
    %1 = "dry.conv"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      %2 = arith.maximumf %arg1, %cst : f32
      "dry.yield"(%2) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [1, 1], padding = [1, 1, 1, 1], strides = [2, 2], transposed = true} : (tensor<1x4x4x3xf32>, tensor<3x2x3x3xf32>) -> tensor<1x8x8x2xf32>
    return %1 : tensor<1x8x8x2xf32>
  }
}
