// case: bytes from image to image: a ReLU, a depthwise one, residuals, a maximum
func.func @main(%x: tensor<1x6x6x8xf32>) -> tensor<1x3x3x8xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x8x3x3xf32>
  %b = "dry.weight"() {key = "b"} : () -> tensor<16xf32>
  %d = "dry.weight"() {key = "d"} : () -> tensor<16x1x3x3xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<8x16x1x1xf32>
  %u = "dry.weight"() {key = "u"} : () -> tensor<8x8x1x1xf32>
  %zero = arith.constant 0.0 : f32
  %less = arith.constant 0.01 : f32
  %y = "dry.conv"(%x, %w, %b) ({
  ^bb0(%s: f32, %c: f32):
    %t = arith.addf %s, %c : f32
    %m = arith.maximumf %t, %zero : f32
    "dry.yield"(%m) : (f32) -> ()
  }) {dilation = [1, 1], layout = "nhwc", output_padding = [0, 0], strides = [1, 1], transposed = false, padding = [1, 1, 1, 1], groups = 1 : i64, extra_maps = [affine_map<(n, h, w, c) -> (c)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x6x6x8xf32>, tensor<16x8x3x3xf32>, tensor<16xf32>) -> tensor<1x6x6x16xf32>
  %z = "dry.conv"(%y, %d) ({
  ^bb0(%s: f32):
    %t = arith.mulf %s, %less : f32
    "dry.yield"(%t) : (f32) -> ()
  }) {dilation = [1, 1], layout = "nhwc", output_padding = [0, 0], strides = [1, 1], transposed = false, padding = [1, 1, 1, 1], groups = 16 : i64, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x6x6x16xf32>, tensor<16x1x3x3xf32>) -> tensor<1x6x6x16xf32>
  %p = "dry.conv"(%z, %v, %x) ({
  ^bb0(%s: f32, %r: f32):
    %t = arith.addf %s, %r : f32
    "dry.yield"(%t) : (f32) -> ()
  }) {dilation = [1, 1], layout = "nhwc", output_padding = [0, 0], strides = [1, 1], transposed = false, padding = [0, 0, 0, 0], groups = 1 : i64, extra_maps = [affine_map<(n, h, w, c) -> (n, h, w, c)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x6x6x16xf32>, tensor<8x16x1x1xf32>, tensor<1x6x6x8xf32>) -> tensor<1x6x6x8xf32>
  %q = "dry.pool"(%p) {dilation = [1, 1], divisor = 0 : i64, kernel = [2, 2], kind = "max", layout = "nhwc", padding = [0, 0, 0, 0], strides = [2, 2]} : (tensor<1x6x6x8xf32>) -> tensor<1x3x3x8xf32>
  %o = "dry.conv"(%q, %u, %q) ({
  ^bb0(%s: f32, %r: f32):
    %t = arith.addf %s, %r : f32
    "dry.yield"(%t) : (f32) -> ()
  }) {dilation = [1, 1], layout = "nhwc", output_padding = [0, 0], strides = [1, 1], transposed = false, padding = [0, 0, 0, 0], groups = 1 : i64, extra_maps = [affine_map<(n, h, w, c) -> (n, h, w, c)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x3x3x8xf32>, tensor<8x8x1x1xf32>, tensor<1x3x3x8xf32>) -> tensor<1x3x3x8xf32>
  return %o : tensor<1x3x3x8xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d3)>
module {
  func.func @main(%arg0: tensor<1x6x6x8xf32>) -> tensor<1x3x3x8xf32> {
    %0 = "dry.weight"() {key = "d"} : () -> tensor<16x1x3x3xf32>
    %cst = arith.constant 0.00999999977 : f32
    %1 = "dry.weight"() {key = "b.steps"} : () -> tensor<16xf32>
    %2 = tensor.empty() : tensor<1x6x6x8xi8>
    %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x6x6x8xf32>) outs(%2 : tensor<1x6x6x8xi8>) {
    ^bb0(%in: f32, %out: i8):
      %cst_0 = arith.constant 3.175000e+01 : f32
      %15 = arith.mulf %in, %cst_0 : f32
      %cst_1 = arith.constant 0x4B400000 : f32
      %16 = arith.addf %15, %cst_1 : f32
      %17 = arith.bitcast %16 : f32 to i32
      %c1262485377_i32 = arith.constant 1262485377 : i32
      %18 = arith.maxsi %17, %c1262485377_i32 : i32
      %c1262485631_i32 = arith.constant 1262485631 : i32
      %19 = arith.minsi %18, %c1262485631_i32 : i32
      %20 = arith.trunci %19 : i32 to i8
      linalg.yield %20 : i8
    } -> tensor<1x6x6x8xi8>
    %4 = "dry.weight"() {key = "w.int8"} : () -> tensor<16x8x3x3xi8>
    %5 = "dry.weight"() {key = "w.scale"} : () -> tensor<16xf32>
    %6 = "dry.conv"(%3, %4, %1, %5) ({
    ^bb0(%arg1: i32, %arg2: f32, %arg3: f32):
      %15 = arith.sitofp %arg1 : i32 to f32
      %16 = arith.mulf %15, %arg3 : f32
      %cst_0 = arith.constant 0.000000e+00 : f32
      %17 = arith.addf %16, %arg2 : f32
      %cst_1 = arith.constant 0x4B400000 : f32
      %18 = arith.addf %17, %cst_1 : f32
      %19 = arith.bitcast %18 : f32 to i32
      %c1262485504_i32 = arith.constant 1262485504 : i32
      %20 = arith.maxsi %19, %c1262485504_i32 : i32
      %c1262485631_i32 = arith.constant 1262485631 : i32
      %21 = arith.minsi %20, %c1262485631_i32 : i32
      %22 = arith.trunci %21 : i32 to i8
      "dry.yield"(%22) : (i8) -> ()
    }) {dilation = [1, 1], extra_maps = [#map1, #map1], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x6x6x8xi8>, tensor<16x8x3x3xi8>, tensor<16xf32>, tensor<16xf32>) -> tensor<1x6x6x16xi8>
    %7 = "dry.conv"(%6, %0) ({
    ^bb0(%arg1: f32):
      %cst_0 = arith.constant 0.314960629 : f32
      %15 = arith.mulf %arg1, %cst_0 : f32
      %16 = arith.mulf %15, %cst : f32
      %cst_1 = arith.constant 84.6666641 : f32
      %17 = arith.mulf %16, %cst_1 : f32
      %cst_2 = arith.constant 0x4B400000 : f32
      %18 = arith.addf %17, %cst_2 : f32
      %19 = arith.bitcast %18 : f32 to i32
      %c1262485377_i32 = arith.constant 1262485377 : i32
      %20 = arith.maxsi %19, %c1262485377_i32 : i32
      %c1262485631_i32 = arith.constant 1262485631 : i32
      %21 = arith.minsi %20, %c1262485631_i32 : i32
      %22 = arith.trunci %21 : i32 to i8
      "dry.yield"(%22) : (i8) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 16 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x6x6x16xi8>, tensor<16x1x3x3xf32>) -> tensor<1x6x6x16xi8>
    %8 = "dry.weight"() {key = "v.int8"} : () -> tensor<8x16x1x1xi8>
    %9 = "dry.weight"() {key = "v.scale"} : () -> tensor<8xf32>
    %10 = "dry.conv"(%7, %8, %arg0, %9) ({
    ^bb0(%arg1: i32, %arg2: f32, %arg3: f32):
      %15 = arith.sitofp %arg1 : i32 to f32
      %16 = arith.mulf %15, %arg3 : f32
      %cst_0 = arith.constant 21.166666 : f32
      %17 = arith.mulf %arg2, %cst_0 : f32
      %18 = arith.addf %16, %17 : f32
      %cst_1 = arith.constant 0x4B400000 : f32
      %19 = arith.addf %18, %cst_1 : f32
      %20 = arith.bitcast %19 : f32 to i32
      %c1262485377_i32 = arith.constant 1262485377 : i32
      %21 = arith.maxsi %20, %c1262485377_i32 : i32
      %c1262485631_i32 = arith.constant 1262485631 : i32
      %22 = arith.minsi %21, %c1262485631_i32 : i32
      %23 = arith.trunci %22 : i32 to i8
      "dry.yield"(%23) : (i8) -> ()
    }) {dilation = [1, 1], extra_maps = [#map, #map1], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x6x6x16xi8>, tensor<8x16x1x1xi8>, tensor<1x6x6x8xf32>, tensor<8xf32>) -> tensor<1x6x6x8xi8>
    %11 = "dry.pool"(%10) {dilation = [1, 1], divisor = 0 : i64, kernel = [2, 2], kind = "max", layout = "nhwc", padding = [0, 0, 0, 0], strides = [2, 2]} : (tensor<1x6x6x8xi8>) -> tensor<1x3x3x8xi8>
    %12 = "dry.weight"() {key = "u.int8"} : () -> tensor<8x8x1x1xi8>
    %13 = "dry.weight"() {key = "u.scale"} : () -> tensor<8xf32>
    %14 = "dry.conv"(%11, %12, %11, %13) ({
    ^bb0(%arg1: i32, %arg2: i8, %arg3: f32):
      %15 = arith.sitofp %arg1 : i32 to f32
      %16 = arith.mulf %15, %arg3 : f32
      %17 = arith.sitofp %arg2 : i8 to f32
      %cst_0 = arith.constant 0.0472440943 : f32
      %18 = arith.mulf %17, %cst_0 : f32
      %19 = arith.addf %16, %18 : f32
      "dry.yield"(%19) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map, #map1], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x3x3x8xi8>, tensor<8x8x1x1xi8>, tensor<1x3x3x8xi8>, tensor<8xf32>) -> tensor<1x3x3x8xf32>
    return %14 : tensor<1x3x3x8xf32>
  }
}

// case: what the caller gets stays as it is and a copy is rounded; channels that fill no lane
func.func @main(%x: tensor<1x6x6x6xf32>) -> (tensor<1x6x6x8xf32>, tensor<1x6x6x8xf32>) {
  %w = "dry.weight"() {key = "a"} : () -> tensor<8x6x1x1xf32>
  %v = "dry.weight"() {key = "e"} : () -> tensor<8x8x1x1xf32>
  %y = "dry.conv"(%x, %w) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {dilation = [1, 1], layout = "nhwc", output_padding = [0, 0], strides = [1, 1], transposed = false, padding = [0, 0, 0, 0], groups = 1 : i64, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x6x6x6xf32>, tensor<8x6x1x1xf32>) -> tensor<1x6x6x8xf32>
  %z = "dry.conv"(%y, %v) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {dilation = [1, 1], layout = "nhwc", output_padding = [0, 0], strides = [1, 1], transposed = false, padding = [0, 0, 0, 0], groups = 1 : i64, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x6x6x8xf32>, tensor<8x8x1x1xf32>) -> tensor<1x6x6x8xf32>
  return %y, %z : tensor<1x6x6x8xf32>, tensor<1x6x6x8xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d3)>
module {
  func.func @main(%arg0: tensor<1x6x6x6xf32>) -> (tensor<1x6x6x8xf32>, tensor<1x6x6x8xf32>) {
    %0 = tensor.empty() : tensor<1x6x6x6xi8>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x6x6x6xf32>) outs(%0 : tensor<1x6x6x6xi8>) {
    ^bb0(%in: f32, %out: i8):
      %cst = arith.constant 3.175000e+01 : f32
      %10 = arith.mulf %in, %cst : f32
      %cst_0 = arith.constant 0x4B400000 : f32
      %11 = arith.addf %10, %cst_0 : f32
      %12 = arith.bitcast %11 : f32 to i32
      %c1262485377_i32 = arith.constant 1262485377 : i32
      %13 = arith.maxsi %12, %c1262485377_i32 : i32
      %c1262485631_i32 = arith.constant 1262485631 : i32
      %14 = arith.minsi %13, %c1262485631_i32 : i32
      %15 = arith.trunci %14 : i32 to i8
      linalg.yield %15 : i8
    } -> tensor<1x6x6x6xi8>
    %2 = "dry.weight"() {key = "a.int8"} : () -> tensor<8x6x1x1xi8>
    %3 = "dry.weight"() {key = "a.scale"} : () -> tensor<8xf32>
    %4 = "dry.conv"(%1, %2, %3) ({
    ^bb0(%arg1: i32, %arg2: f32):
      %10 = arith.sitofp %arg1 : i32 to f32
      %11 = arith.mulf %10, %arg2 : f32
      "dry.yield"(%11) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map1], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x6x6x6xi8>, tensor<8x6x1x1xi8>, tensor<8xf32>) -> tensor<1x6x6x8xf32>
    %5 = tensor.empty() : tensor<1x6x6x8xi8>
    %6 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%4 : tensor<1x6x6x8xf32>) outs(%5 : tensor<1x6x6x8xi8>) {
    ^bb0(%in: f32, %out: i8):
      %cst = arith.constant 1.270000e+01 : f32
      %10 = arith.mulf %in, %cst : f32
      %cst_0 = arith.constant 0x4B400000 : f32
      %11 = arith.addf %10, %cst_0 : f32
      %12 = arith.bitcast %11 : f32 to i32
      %c1262485377_i32 = arith.constant 1262485377 : i32
      %13 = arith.maxsi %12, %c1262485377_i32 : i32
      %c1262485631_i32 = arith.constant 1262485631 : i32
      %14 = arith.minsi %13, %c1262485631_i32 : i32
      %15 = arith.trunci %14 : i32 to i8
      linalg.yield %15 : i8
    } -> tensor<1x6x6x8xi8>
    %7 = "dry.weight"() {key = "e.int8"} : () -> tensor<8x8x1x1xi8>
    %8 = "dry.weight"() {key = "e.scale"} : () -> tensor<8xf32>
    %9 = "dry.conv"(%6, %7, %8) ({
    ^bb0(%arg1: i32, %arg2: f32):
      %10 = arith.sitofp %arg1 : i32 to f32
      %11 = arith.mulf %10, %arg2 : f32
      "dry.yield"(%11) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map1], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x6x6x8xi8>, tensor<8x8x1x1xi8>, tensor<8xf32>) -> tensor<1x6x6x8xf32>
    return %4, %9 : tensor<1x6x6x8xf32>, tensor<1x6x6x8xf32>
  }
}
