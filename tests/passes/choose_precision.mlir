// case: a chain of products: the caller's tensors are copied, what lies between is made short
func.func @main(%x: tensor<?x8xf32>) -> (tensor<?x4xf32>, tensor<?x16xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<16x4xf32>
  %u = "dry.weight"() {key = "u"} : () -> tensor<16xf32>
  %h = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x8xf32>, tensor<16x8xf32>) -> tensor<?x16xf32>
  %n = "dry.norm"(%h, %u) {kind = "rms", axes = 1, eps = 1.0e-5 : f64, operandSegmentSizes = array<i32: 1, 1, 0, 0>}
    : (tensor<?x16xf32>, tensor<16xf32>) -> tensor<?x16xf32>
  %y = "dry.matmul"(%n, %v) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x16xf32>, tensor<16x4xf32>) -> tensor<?x4xf32>
  return %y, %h : tensor<?x4xf32>, tensor<?x16xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<?x8xf32>) -> (tensor<?x4xf32>, tensor<?x16xf32>) {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x8xf32>
    %0 = "dry.weight"() {key = "w.bf16"} : () -> tensor<16x8xf32, #dry.enc<"bf16", unit, unit>>
    %1 = "dry.weight"() {key = "v.bf16"} : () -> tensor<16x4xf32, #dry.enc<"bf16", unit, unit>>
    %2 = "dry.weight"() {key = "u"} : () -> tensor<16xf32>
    %3 = tensor.empty(%dim) : tensor<?x8xf32, #dry.enc<"bf16", unit, unit>>
    %4 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0 : tensor<?x8xf32>) outs(%3 : tensor<?x8xf32, #dry.enc<"bf16", unit, unit>>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<?x8xf32, #dry.enc<"bf16", unit, unit>>
    %5 = "dry.matmul"(%4, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<?x8xf32, #dry.enc<"bf16", unit, unit>>, tensor<16x8xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<?x16xf32>
    %6 = "dry.norm"(%5, %2) {axes = 1 : i64, eps = 1.000000e-05 : f64, kind = "rms", operandSegmentSizes = array<i32: 1, 1, 0, 0>} : (tensor<?x16xf32>, tensor<16xf32>) -> tensor<?x16xf32, #dry.enc<"bf16", unit, unit>>
    %7 = "dry.matmul"(%6, %1) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<?x16xf32, #dry.enc<"bf16", unit, unit>>, tensor<16x4xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<?x4xf32>
    return %7, %5 : tensor<?x4xf32>, tensor<?x16xf32>
  }
}

// case: views stay views, and who cannot decode reads a plain copy
func.func @main(%x: tensor<4x8xf32>) -> (tensor<2x2x4xf32>, tensor<4x20xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x16xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<16x4xf32>
  %h = "dry.softmax"(%x) {dim = 1, log = false} : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %y = "dry.matmul"(%h, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  %z = tensor.expand_shape %y [[0, 1], [2]] output_shape [2, 2, 16] : tensor<4x16xf32> into tensor<2x2x16xf32>
  %f = tensor.collapse_shape %z [[0, 1], [2]] : tensor<2x2x16xf32> into tensor<4x16xf32>
  %p = "dry.matmul"(%f, %v) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x16xf32>, tensor<16x4xf32>) -> tensor<4x4xf32>
  %q = tensor.expand_shape %p [[0, 1], [2]] output_shape [2, 2, 4] : tensor<4x4xf32> into tensor<2x2x4xf32>
  %c = tensor.concat dim(1) %f, %p : (tensor<4x16xf32>, tensor<4x4xf32>) -> tensor<4x20xf32>
  return %q, %c : tensor<2x2x4xf32>, tensor<4x20xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> (tensor<2x2x4xf32>, tensor<4x20xf32>) {
    %0 = "dry.weight"() {key = "w.bf16"} : () -> tensor<8x16xf32, #dry.enc<"bf16", unit, unit>>
    %1 = "dry.weight"() {key = "v.bf16"} : () -> tensor<16x4xf32, #dry.enc<"bf16", unit, unit>>
    %2 = "dry.softmax"(%arg0) {dim = 1 : i64, log = false} : (tensor<4x8xf32>) -> tensor<4x8xf32, #dry.enc<"bf16", unit, unit>>
    %3 = "dry.matmul"(%2, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xf32, #dry.enc<"bf16", unit, unit>>, tensor<8x16xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<4x16xf32, #dry.enc<"bf16", unit, unit>>
    %expanded = tensor.expand_shape %3 [[0, 1], [2]] output_shape [2, 2, 16] : tensor<4x16xf32, #dry.enc<"bf16", unit, unit>> into tensor<2x2x16xf32, #dry.enc<"bf16", unit, unit>>
    %collapsed = tensor.collapse_shape %expanded [[0, 1], [2]] : tensor<2x2x16xf32, #dry.enc<"bf16", unit, unit>> into tensor<4x16xf32, #dry.enc<"bf16", unit, unit>>
    %4 = "dry.matmul"(%collapsed, %1) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x16xf32, #dry.enc<"bf16", unit, unit>>, tensor<16x4xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<4x4xf32>
    %expanded_0 = tensor.expand_shape %4 [[0, 1], [2]] output_shape [2, 2, 4] : tensor<4x4xf32> into tensor<2x2x4xf32>
    %5 = tensor.empty() : tensor<4x16xf32>
    %6 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%collapsed : tensor<4x16xf32, #dry.enc<"bf16", unit, unit>>) outs(%5 : tensor<4x16xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<4x16xf32>
    %concat = tensor.concat dim(1) %6, %4 : (tensor<4x16xf32>, tensor<4x4xf32>) -> tensor<4x20xf32>
    return %expanded_0, %concat : tensor<2x2x4xf32>, tensor<4x20xf32>
  }
}

// case: k that a unit's lane does not divide: only the weight is held short, and one that is looked up too
func.func @main(%x: tensor<4x7xf32>, %i: tensor<3xi64>) -> (tensor<4x6xf32>, tensor<3x7xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<6x7xf32>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x7xf32>, tensor<6x7xf32>) -> tensor<4x6xf32>
  %e = "dry.embedding"(%w, %i) : (tensor<6x7xf32>, tensor<3xi64>) -> tensor<3x7xf32>
  return %y, %e : tensor<4x6xf32>, tensor<3x7xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x7xf32>, %arg1: tensor<3xi64>) -> (tensor<4x6xf32>, tensor<3x7xf32>) {
    %0 = "dry.weight"() {key = "w.bf16"} : () -> tensor<6x7xf32, #dry.enc<"bf16", unit, unit>>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x7xf32>, tensor<6x7xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<4x6xf32>
    %2 = "dry.embedding"(%0, %arg1) : (tensor<6x7xf32, #dry.enc<"bf16", unit, unit>>, tensor<3xi64>) -> tensor<3x7xf32>
    return %1, %2 : tensor<4x6xf32>, tensor<3x7xf32>
  }
}

// case: what max pooling reads, and what is added to a convolution's sums, is short where the result is
func.func @main(%x: tensor<1x4x4x8xf32>) -> (tensor<1x4x4x8xf32>, tensor<1x2x2x8xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x8x1x1xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<8x8x1x1xf32>
  %a = "dry.conv"(%x, %w) ({
  ^bb0(%e: f32):
    "dry.yield"(%e) : (f32) -> ()
  }) {strides = [1, 1], padding = [0, 0, 0, 0], dilation = [1, 1], output_padding = [0, 0], groups = 1 : i64,
      transposed = false, layout = "nhwc", extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x4x4x8xf32>, tensor<8x8x1x1xf32>) -> tensor<1x4x4x8xf32>
  %b = "dry.conv"(%x, %v, %a) ({
  ^bb0(%e: f32, %f: f32):
    %s = arith.addf %e, %f : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {strides = [1, 1], padding = [0, 0, 0, 0], dilation = [1, 1], output_padding = [0, 0], groups = 1 : i64,
      transposed = false, layout = "nhwc", extra_maps = [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x4x4x8xf32>, tensor<8x8x1x1xf32>, tensor<1x4x4x8xf32>) -> tensor<1x4x4x8xf32>
  %p = "dry.pool"(%b) {dilation = [1, 1], divisor = 0 : i64, kernel = [2, 2], kind = "max", layout = "nhwc",
      padding = [0, 0, 0, 0], strides = [2, 2]} : (tensor<1x4x4x8xf32>) -> tensor<1x2x2x8xf32>
  %c = "dry.conv"(%p, %v) ({
  ^bb0(%e: f32):
    "dry.yield"(%e) : (f32) -> ()
  }) {strides = [1, 1], padding = [0, 0, 0, 0], dilation = [1, 1], output_padding = [0, 0], groups = 1 : i64,
      transposed = false, layout = "nhwc", extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x2x2x8xf32>, tensor<8x8x1x1xf32>) -> tensor<1x2x2x8xf32>
  %q = "dry.pool"(%b) {dilation = [1, 1], divisor = 0 : i64, kernel = [1, 1], kind = "avg", layout = "nhwc",
      padding = [0, 0, 0, 0], strides = [1, 1]} : (tensor<1x4x4x8xf32>) -> tensor<1x4x4x8xf32>
  return %q, %c : tensor<1x4x4x8xf32>, tensor<1x2x2x8xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<1x4x4x8xf32>) -> (tensor<1x4x4x8xf32>, tensor<1x2x2x8xf32>) {
    %0 = "dry.weight"() {key = "w.bf16"} : () -> tensor<8x8x1x1xf32, #dry.enc<"bf16", unit, unit>>
    %1 = "dry.weight"() {key = "v.bf16"} : () -> tensor<8x8x1x1xf32, #dry.enc<"bf16", unit, unit>>
    %2 = tensor.empty() : tensor<1x4x4x8xf32, #dry.enc<"bf16", unit, unit>>
    %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x4x4x8xf32>) outs(%2 : tensor<1x4x4x8xf32, #dry.enc<"bf16", unit, unit>>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x4x4x8xf32, #dry.enc<"bf16", unit, unit>>
    %4 = "dry.conv"(%3, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x4x4x8xf32, #dry.enc<"bf16", unit, unit>>, tensor<8x8x1x1xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<1x4x4x8xf32, #dry.enc<"bf16", unit, unit>>
    %5 = "dry.conv"(%3, %1, %4) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %9 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x4x4x8xf32, #dry.enc<"bf16", unit, unit>>, tensor<8x8x1x1xf32, #dry.enc<"bf16", unit, unit>>, tensor<1x4x4x8xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<1x4x4x8xf32, #dry.enc<"bf16", unit, unit>>
    %6 = "dry.pool"(%5) {dilation = [1, 1], divisor = 0 : i64, kernel = [2, 2], kind = "max", layout = "nhwc", padding = [0, 0, 0, 0], strides = [2, 2]} : (tensor<1x4x4x8xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<1x2x2x8xf32, #dry.enc<"bf16", unit, unit>>
    %7 = "dry.conv"(%6, %1) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x2x2x8xf32, #dry.enc<"bf16", unit, unit>>, tensor<8x8x1x1xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<1x2x2x8xf32>
    %8 = "dry.pool"(%5) {dilation = [1, 1], divisor = 0 : i64, kernel = [1, 1], kind = "avg", layout = "nhwc", padding = [0, 0, 0, 0], strides = [1, 1]} : (tensor<1x4x4x8xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<1x4x4x8xf32>
    return %8, %7 : tensor<1x4x4x8xf32>, tensor<1x2x2x8xf32>
  }
}
