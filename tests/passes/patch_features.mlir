// case: a gated pair of products and the one that reads them, whose bias and residual come once
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %g = "dry.weight"() {key = "g"} : () -> tensor<96x8xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %u = "dry.weight"() {key = "u"} : () -> tensor<8x96xf32>
  %d = "dry.weight"() {key = "d"} : () -> tensor<8x96xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 1]>>>
  %b = "dry.weight"() {key = "b"} : () -> tensor<96xf32>
  %c = "dry.weight"() {key = "c"} : () -> tensor<8xf32>
  %gate = "dry.matmul"(%x, %g, %b) ({
  ^bb0(%e: f32, %bias: f32):
    %s = arith.addf %e, %bias : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {extra_maps = [affine_map<(m, n) -> (n)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<96x8xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<96xf32>) -> tensor<4x96xf32>
  %up = "dry.matmul"(%x, %u, %gate) ({
  ^bb0(%e: f32, %o: f32):
    %s = arith.mulf %e, %o : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {extra_maps = [affine_map<(m, n) -> (m, n)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xf32>, tensor<8x96xf32>, tensor<4x96xf32>) -> tensor<4x96xf32>
  %y = "dry.matmul"(%up, %d, %c, %x) ({
  ^bb0(%e: f32, %bias: f32, %r: f32):
    %s = arith.addf %e, %bias : f32
    %t = arith.addf %s, %r : f32
    "dry.yield"(%t) : (f32) -> ()
  }) {extra_maps = [affine_map<(m, n) -> (n)>, affine_map<(m, n) -> (m, n)>], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x96xf32>, tensor<8x96xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 1]>>>, tensor<8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1)>
#map1 = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> tensor<4x8xf32> {
    %0 = "dry.weight"() {key = "c"} : () -> tensor<8xf32>
    %1 = "dry.weight"() {dry.piece = "0.0", key = "g[0:0:64]"} : () -> tensor<64x8xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %2 = "dry.weight"() {dry.piece = "0.0", key = "b[0:0:64]"} : () -> tensor<64xf32>
    %3 = "dry.matmul"(%arg0, %1, %2) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %15 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%15) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<64x8xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<64xf32>) -> tensor<4x64xf32>
    %4 = "dry.weight"() {dry.piece = "0.0", key = "u[1:0:64]"} : () -> tensor<8x64xf32>
    %5 = "dry.matmul"(%arg0, %4, %3) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %15 = arith.mulf %arg1, %arg2 : f32
      "dry.yield"(%15) : (f32) -> ()
    }) {extra_maps = [#map1], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xf32>, tensor<8x64xf32>, tensor<4x64xf32>) -> tensor<4x64xf32>
    %6 = "dry.weight"() {dry.piece = "0.0", key = "d[1:0:64]"} : () -> tensor<8x64xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 1]>>>
    %7 = "dry.matmul"(%5, %6) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x64xf32>, tensor<8x64xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 1]>>>) -> tensor<4x8xf32>
    %8 = "dry.weight"() {dry.piece = "0.1", key = "g[0:64:96]"} : () -> tensor<32x8xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %9 = "dry.weight"() {dry.piece = "0.1", key = "b[0:64:96]"} : () -> tensor<32xf32>
    %10 = "dry.matmul"(%arg0, %8, %9) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %15 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%15) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<32x8xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32xf32>) -> tensor<4x32xf32>
    %11 = "dry.weight"() {dry.piece = "0.1", key = "u[1:64:96]"} : () -> tensor<8x32xf32>
    %12 = "dry.matmul"(%arg0, %11, %10) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %15 = arith.mulf %arg1, %arg2 : f32
      "dry.yield"(%15) : (f32) -> ()
    }) {extra_maps = [#map1], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xf32>, tensor<8x32xf32>, tensor<4x32xf32>) -> tensor<4x32xf32>
    %13 = "dry.weight"() {dry.piece = "0.1", key = "d[1:64:96]"} : () -> tensor<8x32xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 1]>>>
    %14 = "dry.matmul"(%12, %13, %7, %0, %arg0) ({
    ^bb0(%arg1: f32, %arg2: f32, %arg3: f32, %arg4: f32):
      %15 = arith.addf %arg2, %arg1 : f32
      %16 = arith.addf %15, %arg3 : f32
      %17 = arith.addf %16, %arg4 : f32
      "dry.yield"(%17) : (f32) -> ()
    }) {extra_maps = [#map1, #map, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xf32>, tensor<8x32xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 1]>>>, tensor<4x8xf32>, tensor<8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    return %14 : tensor<4x8xf32>
  }
}

// case: an inverted bottleneck along its channels
func.func @main(%x: tensor<1x6x6x4xf32>) -> tensor<1x6x6x4xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<64x4x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>
  %v = "dry.weight"() {key = "v"} : () -> tensor<64x1x3x3xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>
  %p = "dry.weight"() {key = "p"} : () -> tensor<4x64x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>
  %scale = arith.constant dense<2.0> : tensor<64xf32>
  %y = "dry.conv"(%x, %w, %scale) ({
  ^bb0(%e: f32, %o: f32):
    %s = arith.mulf %e, %o : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {dilation = [1, 1], extra_maps = [affine_map<(n, h, w, c) -> (c)>], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x6x6x4xf32>, tensor<64x4x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>, tensor<64xf32>) -> tensor<1x6x6x64xf32>
  %z = "dry.conv"(%y, %v) ({
  ^bb0(%e: f32):
    "dry.yield"(%e) : (f32) -> ()
  }) {dilation = [1, 1], extra_maps = [], groups = 64 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x6x6x64xf32>, tensor<64x1x3x3xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>) -> tensor<1x6x6x64xf32>
  %q = "dry.conv"(%z, %p, %x) ({
  ^bb0(%e: f32, %r: f32):
    %s = arith.addf %e, %r : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {dilation = [1, 1], extra_maps = [affine_map<(n, h, w, c) -> (n, h, w, c)>], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x6x6x64xf32>, tensor<4x64x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>, tensor<1x6x6x4xf32>) -> tensor<1x6x6x4xf32>
  return %q : tensor<1x6x6x4xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<1x6x6x4xf32>) -> tensor<1x6x6x4xf32> {
    %0 = "dry.weight"() {dry.piece = "0.0", key = "w[0:0:32]"} : () -> tensor<32x4x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>
    %cst = arith.constant dense<2.000000e+00> : tensor<32xf32>
    %1 = "dry.conv"(%arg0, %0, %cst) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %12 = arith.mulf %arg1, %arg2 : f32
      "dry.yield"(%12) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x6x6x4xf32>, tensor<32x4x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>, tensor<32xf32>) -> tensor<1x6x6x32xf32>
    %2 = "dry.weight"() {dry.piece = "0.0", key = "v[0:0:32]"} : () -> tensor<32x1x3x3xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>
    %3 = "dry.conv"(%1, %2) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 32 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x6x6x32xf32>, tensor<32x1x3x3xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>) -> tensor<1x6x6x32xf32>
    %4 = "dry.weight"() {dry.piece = "0.0", key = "p[1:0:32]"} : () -> tensor<4x32x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>
    %5 = "dry.conv"(%3, %4) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x6x6x32xf32>, tensor<4x32x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>) -> tensor<1x6x6x4xf32>
    %6 = "dry.weight"() {dry.piece = "0.1", key = "w[0:32:64]"} : () -> tensor<32x4x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>
    %cst_0 = arith.constant dense<2.000000e+00> : tensor<32xf32>
    %7 = "dry.conv"(%arg0, %6, %cst_0) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %12 = arith.mulf %arg1, %arg2 : f32
      "dry.yield"(%12) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x6x6x4xf32>, tensor<32x4x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>, tensor<32xf32>) -> tensor<1x6x6x32xf32>
    %8 = "dry.weight"() {dry.piece = "0.1", key = "v[0:32:64]"} : () -> tensor<32x1x3x3xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>
    %9 = "dry.conv"(%7, %8) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 32 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x6x6x32xf32>, tensor<32x1x3x3xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>) -> tensor<1x6x6x32xf32>
    %10 = "dry.weight"() {dry.piece = "0.1", key = "p[1:32:64]"} : () -> tensor<4x32x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>
    %11 = "dry.conv"(%9, %10, %5, %arg0) ({
    ^bb0(%arg1: f32, %arg2: f32, %arg3: f32):
      %12 = arith.addf %arg2, %arg1 : f32
      %13 = arith.addf %12, %arg3 : f32
      "dry.yield"(%13) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map1, #map1], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x6x6x32xf32>, tensor<4x32x1x1xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>, tensor<1x6x6x4xf32>, tensor<1x6x6x4xf32>) -> tensor<1x6x6x4xf32>
    return %11 : tensor<1x6x6x4xf32>
  }
}
