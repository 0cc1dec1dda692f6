// case: through a convolution, a product and a reshape
func.func @main(%x: tensor<?x3x16x16xf32>) -> tensor<?x16xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<4x3x4x4xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<16x64xf32>
  %y = "dry.conv"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {strides = [4, 4], padding = [0, 0, 0, 0], dilation = [1, 1], output_padding = [0, 0], groups = 1 : i64,
      transposed = false, layout = "nchw", extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x3x16x16xf32>, tensor<4x3x4x4xf32>) -> tensor<?x4x4x4xf32>
  %flat = tensor.collapse_shape %y [[0], [1, 2, 3]] : tensor<?x4x4x4xf32> into tensor<?x64xf32>
  %z = "dry.matmul"(%flat, %v) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x64xf32>, tensor<16x64xf32>) -> tensor<?x16xf32>
  %c0 = arith.constant 0 : index
  %n = tensor.dim %z, %c0 : tensor<?x16xf32>
  %e = tensor.empty(%n) : tensor<?x16xf32>
  %u = linalg.exp ins(%z : tensor<?x16xf32>) outs(%e : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %u : tensor<?x16xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<?x3x16x16xf32>) -> tensor<?x16xf32> {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x3x16x16xf32>
    %0 = "dry.weight"() {key = "w"} : () -> tensor<4x3x4x4xf32>
    %1 = "dry.weight"() {key = "v"} : () -> tensor<16x64xf32>
    %2 = "dry.conv"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [4, 4], transposed = false} : (tensor<?x3x16x16xf32>, tensor<4x3x4x4xf32>) -> tensor<?x4x4x4xf32>
    %collapsed = tensor.collapse_shape %2 [[0], [1, 2, 3]] : tensor<?x4x4x4xf32> into tensor<?x64xf32>
    %3 = "dry.matmul"(%collapsed, %1) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<?x64xf32>, tensor<16x64xf32>) -> tensor<?x16xf32>
    %4 = tensor.empty(%dim) : tensor<?x16xf32>
    %5 = linalg.exp ins(%3 : tensor<?x16xf32>) outs(%4 : tensor<?x16xf32>) -> tensor<?x16xf32>
    return %5 : tensor<?x16xf32>
  }
}

// case: through pooling, padding and concatenation
func.func @main(%x: tensor<1x?x2xf32>) -> (tensor<1x?x2xf32>, tensor<i64>) {
  %zero = arith.constant 0.0 : f32
  %p = "dry.pool"(%x) {kind = "max", kernel = [2], strides = [1], padding = [1, 1], dilation = [1],
      divisor = 0 : i64, layout = "nhwc"} : (tensor<1x?x2xf32>) -> tensor<1x?x2xf32>
  %q = tensor.pad %p low[0, 2, 0] high[0, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index):
    tensor.yield %zero : f32
  } : tensor<1x?x2xf32> to tensor<1x?x2xf32>
  %r = tensor.concat dim(1) %q, %x : (tensor<1x?x2xf32>, tensor<1x?x2xf32>) -> tensor<1x?x2xf32>
  %c1 = arith.constant 1 : index
  %n = tensor.dim %r, %c1 : tensor<1x?x2xf32>
  %m = arith.index_cast %n : index to i64
  %t = tensor.from_elements %m : tensor<i64>
  return %r, %t : tensor<1x?x2xf32>, tensor<i64>
}

// after:
#map = affine_map<()[s0] -> (s0 * 2 + 4)>
module {
  func.func @main(%arg0: tensor<1x?x2xf32>) -> (tensor<1x?x2xf32>, tensor<i64>) {
    %cst = arith.constant 0.000000e+00 : f32
    %c1 = arith.constant 1 : index
    %dim = tensor.dim %arg0, %c1 : tensor<1x?x2xf32>
    %0 = "dry.pool"(%arg0) {dilation = [1], divisor = 0 : i64, kernel = [2], kind = "max", layout = "nhwc", padding = [1, 1], strides = [1]} : (tensor<1x?x2xf32>) -> tensor<1x?x2xf32>
    %padded = tensor.pad %0 low[0, 2, 0] high[0, 1, 0] {
    ^bb0(%arg1: index, %arg2: index, %arg3: index):
      tensor.yield %cst : f32
    } : tensor<1x?x2xf32> to tensor<1x?x2xf32>
    %concat = tensor.concat dim(1) %padded, %arg0 : (tensor<1x?x2xf32>, tensor<1x?x2xf32>) -> tensor<1x?x2xf32>
    %1 = affine.apply #map()[%dim]
    %2 = arith.index_cast %1 : index to i64
    %from_elements = tensor.from_elements %2 : tensor<i64>
    return %concat, %from_elements : tensor<1x?x2xf32>, tensor<i64>
  }
}
