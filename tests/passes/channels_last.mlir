// case: moves between two convolutions cancel
func.func @main(%x: tensor<1x3x6x6xf32>) -> tensor<1x4xf32> {
  %zero = arith.constant 0.0 : f32
  %w = "dry.weight"() {key = "w"} : () -> tensor<4x3x3x3xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<4x4x3x3xf32>
  %b0 = "dry.weight"() {key = "b0"} : () -> tensor<4xf32>
  %y = "dry.conv"(%x, %w, %b0) ({
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {strides = [1, 1], padding = [1, 1, 1, 1], dilation = [1, 1], output_padding = [0, 0], groups = 1 : i64,
      transposed = false, layout = "nchw", extra_maps = [affine_map<(n, c, h, w) -> (c)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x3x6x6xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x6x6xf32>
  %ze = tensor.empty() : tensor<1x4x6x6xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(i, j, k, l) -> (i, j, k, l)>, affine_map<(i, j, k, l) -> (i, j, k, l)>],
    iterator_types = ["parallel", "parallel", "parallel", "parallel"]
  } ins(%y : tensor<1x4x6x6xf32>) outs(%ze : tensor<1x4x6x6xf32>) {
  ^bb0(%p: f32, %o: f32):
    %m = arith.maximumf %p, %zero : f32
    linalg.yield %m : f32
  } -> tensor<1x4x6x6xf32>
  %u = "dry.conv"(%z, %v, %z) ({
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {strides = [1, 1], padding = [1, 1, 1, 1], dilation = [1, 1], output_padding = [0, 0], groups = 1 : i64,
      transposed = false, layout = "nchw", extra_maps = [affine_map<(i, j, k, l) -> (i, j, k, l)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x4x6x6xf32>, tensor<4x4x3x3xf32>, tensor<1x4x6x6xf32>) -> tensor<1x4x6x6xf32>
  %pooled = "dry.pool"(%u) {kind = "avg", kernel = [6, 6], strides = [6, 6], padding = [0, 0, 0, 0], dilation = [1, 1],
      divisor = 1 : i64, layout = "nchw"} : (tensor<1x4x6x6xf32>) -> tensor<1x4x1x1xf32>
  %c = tensor.collapse_shape %pooled [[0], [1, 2, 3]] : tensor<1x4x1x1xf32> into tensor<1x4xf32>
  return %c : tensor<1x4xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<1x3x6x6xf32>) -> tensor<1x4xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = "dry.weight"() {key = "w"} : () -> tensor<4x3x3x3xf32>
    %1 = "dry.weight"() {key = "v"} : () -> tensor<4x4x3x3xf32>
    %2 = "dry.weight"() {key = "b0"} : () -> tensor<4xf32>
    %3 = "dry.conv"(%arg0, %0, %2) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %8 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%8) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map], groups = 1 : i64, layout = "nchw-nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x3x6x6xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x6x6x4xf32>
    %4 = tensor.empty() : tensor<1x6x6x4xf32>
    %5 = linalg.generic {indexing_maps = [#map1, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%3 : tensor<1x6x6x4xf32>) outs(%4 : tensor<1x6x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %8 = arith.maximumf %in, %cst : f32
      linalg.yield %8 : f32
    } -> tensor<1x6x6x4xf32>
    %6 = "dry.conv"(%5, %1, %5) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %8 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%8) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map1], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x6x6x4xf32>, tensor<4x4x3x3xf32>, tensor<1x6x6x4xf32>) -> tensor<1x6x6x4xf32>
    %7 = "dry.pool"(%6) {dilation = [1, 1], divisor = 1 : i64, kernel = [6, 6], kind = "avg", layout = "nhwc", padding = [0, 0, 0, 0], strides = [6, 6]} : (tensor<1x6x6x4xf32>) -> tensor<1x1x1x4xf32>
    %collapsed = tensor.collapse_shape %7 [[0], [1, 2, 3]] : tensor<1x1x1x4xf32> into tensor<1x4xf32>
    return %collapsed : tensor<1x4xf32>
  }
}

// case: patches of an image become rows
func.func @main(%x: tensor<1x3x6x6xf32>) -> tensor<1x9x4xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<4x3x2x2xf32>
  %y = "dry.conv"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {strides = [2, 2], padding = [0, 0, 0, 0], dilation = [1, 1], output_padding = [0, 0], groups = 1 : i64,
      transposed = false, layout = "nchw", extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x3x6x6xf32>, tensor<4x3x2x2xf32>) -> tensor<1x4x3x3xf32>
  %c = tensor.collapse_shape %y [[0], [1], [2, 3]] : tensor<1x4x3x3xf32> into tensor<1x4x9xf32>
  %te = tensor.empty() : tensor<1x9x4xf32>
  %t = linalg.generic {
    indexing_maps = [affine_map<(i, j, k) -> (i, k, j)>, affine_map<(i, j, k) -> (i, j, k)>],
    iterator_types = ["parallel", "parallel", "parallel"]
  } ins(%c : tensor<1x4x9xf32>) outs(%te : tensor<1x9x4xf32>) {
  ^bb0(%p: f32, %o: f32):
    linalg.yield %p : f32
  } -> tensor<1x9x4xf32>
  return %t : tensor<1x9x4xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<1x3x6x6xf32>) -> tensor<1x9x4xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<4x3x2x2xf32>
    %1 = "dry.conv"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw-nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [2, 2], transposed = false} : (tensor<1x3x6x6xf32>, tensor<4x3x2x2xf32>) -> tensor<1x3x3x4xf32>
    %collapsed = tensor.collapse_shape %1 [[0], [1, 2], [3]] : tensor<1x3x3x4xf32> into tensor<1x9x4xf32>
    return %collapsed : tensor<1x9x4xf32>
  }
}

// case: padding, concatenation and slices are passed
func.func @main(%x: tensor<1x3x4x4xf32>) -> tensor<1x4x4x3xf32> {
  %zero = arith.constant 0.0 : f32
  %y = "dry.pool"(%x) {kind = "max", kernel = [1, 1], strides = [1, 1], padding = [0, 0, 0, 0], dilation = [1, 1],
      divisor = 1 : i64, layout = "nchw"} : (tensor<1x3x4x4xf32>) -> tensor<1x3x4x4xf32>
  %padded = tensor.pad %y low[0, 0, 1, 0] high[0, 0, 0, 1] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<1x3x4x4xf32> to tensor<1x3x5x5xf32>
  %c = tensor.concat dim(1) %padded, %padded : (tensor<1x3x5x5xf32>, tensor<1x3x5x5xf32>) -> tensor<1x6x5x5xf32>
  %s = tensor.extract_slice %c[0, 2, 1, 0] [1, 3, 4, 4] [1, 1, 1, 1] : tensor<1x6x5x5xf32> to tensor<1x3x4x4xf32>
  %z = "dry.pool"(%s) {kind = "avg", kernel = [1, 1], strides = [1, 1], padding = [0, 0, 0, 0], dilation = [1, 1],
      divisor = 1 : i64, layout = "nchw"} : (tensor<1x3x4x4xf32>) -> tensor<1x3x4x4xf32>
  %te = tensor.empty() : tensor<1x4x4x3xf32>
  %t = linalg.generic {
    indexing_maps = [affine_map<(i, j, k, l) -> (i, l, j, k)>, affine_map<(i, j, k, l) -> (i, j, k, l)>],
    iterator_types = ["parallel", "parallel", "parallel", "parallel"]
  } ins(%z : tensor<1x3x4x4xf32>) outs(%te : tensor<1x4x4x3xf32>) {
  ^bb0(%p: f32, %o: f32):
    linalg.yield %p : f32
  } -> tensor<1x4x4x3xf32>
  return %t : tensor<1x4x4x3xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d3, d1, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<1x3x4x4xf32>) -> tensor<1x4x4x3xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = tensor.empty() : tensor<1x4x4x3xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x3x4x4xf32>) outs(%0 : tensor<1x4x4x3xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x4x4x3xf32>
    %2 = "dry.pool"(%1) {dilation = [1, 1], divisor = 1 : i64, kernel = [1, 1], kind = "max", layout = "nhwc", padding = [0, 0, 0, 0], strides = [1, 1]} : (tensor<1x4x4x3xf32>) -> tensor<1x4x4x3xf32>
    %padded = tensor.pad %2 low[0, 1, 0, 0] high[0, 0, 1, 0] {
    ^bb0(%arg1: index, %arg2: index, %arg3: index, %arg4: index):
      tensor.yield %cst : f32
    } : tensor<1x4x4x3xf32> to tensor<1x5x5x3xf32>
    %concat = tensor.concat dim(3) %padded, %padded : (tensor<1x5x5x3xf32>, tensor<1x5x5x3xf32>) -> tensor<1x5x5x6xf32>
    %extracted_slice = tensor.extract_slice %concat[0, 1, 0, 2] [1, 4, 4, 3] [1, 1, 1, 1] : tensor<1x5x5x6xf32> to tensor<1x4x4x3xf32>
    %3 = "dry.pool"(%extracted_slice) {dilation = [1, 1], divisor = 1 : i64, kernel = [1, 1], kind = "avg", layout = "nhwc", padding = [0, 0, 0, 0], strides = [1, 1]} : (tensor<1x4x4x3xf32>) -> tensor<1x4x4x3xf32>
    return %3 : tensor<1x4x4x3xf32>
  }
}
