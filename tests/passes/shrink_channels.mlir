// case: a convolution with a batch norm, a residual, a depthwise one and what reads it flat; the result stays
func.func @main(%x: tensor<1x3x4x4xf32>) -> tensor<1x5xf32> {
  %a = "dry.weight"() {key = "a"} : () -> tensor<16x3x3x3xf32>
  %g = "dry.weight"() {key = "g"} : () -> tensor<16xf32>
  %c = "dry.weight"() {key = "c"} : () -> tensor<16x16x1x1xf32>
  %d = "dry.weight"() {key = "d"} : () -> tensor<16x1x3x3xf32>
  %f = "dry.weight"() {key = "f"} : () -> tensor<5x256xf32>
  %h = "dry.conv"(%x, %a) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x3x4x4xf32>, tensor<16x3x3x3xf32>) -> tensor<1x16x4x4xf32>
  %gain = tensor.expand_shape %g [[0, 1, 2]] output_shape [16, 1, 1] : tensor<16xf32> into tensor<16x1x1xf32>
  %e = tensor.empty() : tensor<1x16x4x4xf32>
  %n = linalg.generic {indexing_maps = [affine_map<(n, c, i, j) -> (n, c, i, j)>, affine_map<(n, c, i, j) -> (c, 0, 0)>, affine_map<(n, c, i, j) -> (n, c, i, j)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%h, %gain : tensor<1x16x4x4xf32>, tensor<16x1x1xf32>) outs(%e : tensor<1x16x4x4xf32>) {
  ^bb0(%1: f32, %2: f32, %3: f32):
    %4 = arith.mulf %1, %2 : f32
    linalg.yield %4 : f32
  } -> tensor<1x16x4x4xf32>
  %k = "dry.conv"(%n, %c) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x16x4x4xf32>, tensor<16x16x1x1xf32>) -> tensor<1x16x4x4xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(n, c, i, j) -> (n, c, i, j)>, affine_map<(n, c, i, j) -> (n, c, i, j)>, affine_map<(n, c, i, j) -> (n, c, i, j)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%n, %k : tensor<1x16x4x4xf32>, tensor<1x16x4x4xf32>) outs(%e : tensor<1x16x4x4xf32>) {
  ^bb0(%1: f32, %2: f32, %3: f32):
    %4 = arith.addf %1, %2 : f32
    linalg.yield %4 : f32
  } -> tensor<1x16x4x4xf32>
  %m = "dry.conv"(%r, %d) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {dilation = [1, 1], extra_maps = [], groups = 16 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x16x4x4xf32>, tensor<16x1x3x3xf32>) -> tensor<1x16x4x4xf32>
  %q = tensor.collapse_shape %m [[0], [1, 2, 3]] : tensor<1x16x4x4xf32> into tensor<1x256xf32>
  %y = "dry.matmul"(%q, %f) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x256xf32>, tensor<5x256xf32>) -> tensor<1x5xf32>
  return %y : tensor<1x5xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d1, 0, 0)>
module {
  func.func @main(%arg0: tensor<1x3x4x4xf32>) -> tensor<1x5xf32> {
    %0 = "dry.weight"() {key = "a"} : () -> tensor<12x3x3x3xf32>
    %1 = "dry.weight"() {key = "g"} : () -> tensor<12xf32>
    %2 = "dry.weight"() {key = "c"} : () -> tensor<12x12x1x1xf32>
    %3 = "dry.weight"() {key = "d"} : () -> tensor<12x1x3x3xf32>
    %4 = "dry.weight"() {key = "f"} : () -> tensor<5x192xf32>
    %5 = "dry.conv"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x3x4x4xf32>, tensor<12x3x3x3xf32>) -> tensor<1x12x4x4xf32>
    %expanded = tensor.expand_shape %1 [[0, 1, 2]] output_shape [12, 1, 1] : tensor<12xf32> into tensor<12x1x1xf32>
    %6 = tensor.empty() : tensor<1x12x4x4xf32>
    %7 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%5, %expanded : tensor<1x12x4x4xf32>, tensor<12x1x1xf32>) outs(%6 : tensor<1x12x4x4xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %13 = arith.mulf %in, %in_0 : f32
      linalg.yield %13 : f32
    } -> tensor<1x12x4x4xf32>
    %8 = "dry.conv"(%7, %2) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x12x4x4xf32>, tensor<12x12x1x1xf32>) -> tensor<1x12x4x4xf32>
    %9 = tensor.empty() : tensor<1x12x4x4xf32>
    %10 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%7, %8 : tensor<1x12x4x4xf32>, tensor<1x12x4x4xf32>) outs(%9 : tensor<1x12x4x4xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %13 = arith.addf %in, %in_0 : f32
      linalg.yield %13 : f32
    } -> tensor<1x12x4x4xf32>
    %11 = "dry.conv"(%10, %3) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 12 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x12x4x4xf32>, tensor<12x1x3x3xf32>) -> tensor<1x12x4x4xf32>
    %collapsed = tensor.collapse_shape %11 [[0], [1, 2, 3]] : tensor<1x12x4x4xf32> into tensor<1x192xf32>
    %12 = "dry.matmul"(%collapsed, %4) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<1x192xf32>, tensor<5x192xf32>) -> tensor<1x5xf32>
    return %12 : tensor<1x5xf32>
  }
}
