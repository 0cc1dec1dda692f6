// case: a padded image with a zero point, a ReLU and maxima before rounding, a view, a product
func.func @main(%x: tensor<1x4x6x6xf32>) -> tensor<1x8xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x4x3x3xf32, #dry.enc<"int8", #dry.scale<#dry.per<[1, 2, 3], [0, 0, 0], "each">, #dry.enc<"f32", unit, unit>, unit, unit>, unit>>
  %v = "dry.weight"() {key = "v"} : () -> tensor<8x72xf32, #dry.enc<"int8", #dry.scale<#dry.per<[1], [0], "each">, #dry.enc<"f32", unit, unit>, unit, unit>, unit>>
  %b = "dry.weight"() {key = "b"} : () -> tensor<8xf32>
  %zero = arith.constant 0.0 : f32
  %most = arith.constant 255.0 : f32
  %point = arith.constant 113.0 : f32
  %none = arith.constant 0.0 : f32
  %half = arith.constant 0.5 : f32
  %two = arith.constant 2.0 : f32
  %e1 = tensor.empty() : tensor<8x4x3x3xf32>
  %r1 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%w : tensor<8x4x3x3xf32, #dry.enc<"int8", #dry.scale<#dry.per<[1, 2, 3], [0, 0, 0], "each">, #dry.enc<"f32", unit, unit>, unit, unit>, unit>>) outs(%e1 : tensor<8x4x3x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<8x4x3x3xf32>
  %e2 = tensor.empty() : tensor<8x72xf32>
  %r2 = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>], iterator_types = ["parallel", "parallel"]} ins(%v : tensor<8x72xf32, #dry.enc<"int8", #dry.scale<#dry.per<[1], [0], "each">, #dry.enc<"f32", unit, unit>, unit, unit>, unit>>) outs(%e2 : tensor<8x72xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<8x72xf32>
  %e3 = tensor.empty() : tensor<1x4x6x6xf32>
  %r3 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%x : tensor<1x4x6x6xf32>) outs(%e3 : tensor<1x4x6x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.mulf %in, %two : f32
    linalg.yield %t : f32
  } -> tensor<1x4x6x6xf32>
  %e4 = tensor.empty() : tensor<1x4x6x6xf32>
  %r4 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r3 : tensor<1x4x6x6xf32>) outs(%e4 : tensor<1x4x6x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = math.roundeven %in : f32
    linalg.yield %t : f32
  } -> tensor<1x4x6x6xf32>
  %e5 = tensor.empty() : tensor<1x4x6x6xf32>
  %r5 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r4 : tensor<1x4x6x6xf32>) outs(%e5 : tensor<1x4x6x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.addf %in, %point : f32
    linalg.yield %t : f32
  } -> tensor<1x4x6x6xf32>
  %e6 = tensor.empty() : tensor<1x4x6x6xf32>
  %r6 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r5 : tensor<1x4x6x6xf32>) outs(%e6 : tensor<1x4x6x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %l = arith.cmpf ult, %in, %zero : f32
    %m = arith.select %l, %zero, %in : f32
    %g = arith.cmpf ugt, %m, %most : f32
    %t = arith.select %g, %most, %m : f32
    linalg.yield %t : f32
  } -> tensor<1x4x6x6xf32>
  %e7 = tensor.empty() : tensor<1x4x6x6xi8>
  %r7 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r6 : tensor<1x4x6x6xf32>) outs(%e7 : tensor<1x4x6x6xi8>) {
  ^bb0(%in: f32, %out: i8):
    %t = arith.fptosi %in : f32 to i8
    linalg.yield %t : i8
  } -> tensor<1x4x6x6xi8>
  %e8 = tensor.empty() : tensor<1x4x6x6xf32>
  %r8 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r7 : tensor<1x4x6x6xi8>) outs(%e8 : tensor<1x4x6x6xf32>) {
  ^bb0(%in: i8, %out: f32):
    %t = arith.uitofp %in : i8 to f32
    linalg.yield %t : f32
  } -> tensor<1x4x6x6xf32>
  %e9 = tensor.empty() : tensor<1x4x6x6xf32>
  %r9 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r8 : tensor<1x4x6x6xf32>) outs(%e9 : tensor<1x4x6x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.subf %in, %point : f32
    linalg.yield %t : f32
  } -> tensor<1x4x6x6xf32>
  %e10 = tensor.empty() : tensor<1x4x6x6xf32>
  %r10 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r9 : tensor<1x4x6x6xf32>) outs(%e10 : tensor<1x4x6x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.mulf %in, %half : f32
    linalg.yield %t : f32
  } -> tensor<1x4x6x6xf32>
  %r11 = "dry.conv"(%r10, %r1, %b) ({
  ^bb0(%s: f32, %c: f32):
    %t = arith.addf %s, %c : f32
    "dry.yield"(%t) : (f32) -> ()
  }) {dilation = [1, 1], layout = "nchw", output_padding = [0, 0], strides = [1, 1], transposed = false, padding = [1, 1, 1, 1], groups = 1 : i64, extra_maps = [affine_map<(n, o, h, w) -> (o)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x4x6x6xf32>, tensor<8x4x3x3xf32>, tensor<8xf32>) -> tensor<1x8x6x6xf32>
  %e12 = tensor.empty() : tensor<1x8x6x6xf32>
  %r12 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r11 : tensor<1x8x6x6xf32>) outs(%e12 : tensor<1x8x6x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %g = arith.cmpf ugt, %in, %zero : f32
    %t = arith.select %g, %in, %zero : f32
    linalg.yield %t : f32
  } -> tensor<1x8x6x6xf32>
  %pool = "dry.pool"(%r12) {dilation = [1, 1], divisor = 0 : i64, kernel = [2, 2], kind = "max", layout = "nchw", padding = [0, 0, 0, 0], strides = [2, 2]} : (tensor<1x8x6x6xf32>) -> tensor<1x8x3x3xf32>
  %e13 = tensor.empty() : tensor<1x8x3x3xf32>
  %r13 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%pool : tensor<1x8x3x3xf32>) outs(%e13 : tensor<1x8x3x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.mulf %in, %two : f32
    linalg.yield %t : f32
  } -> tensor<1x8x3x3xf32>
  %e14 = tensor.empty() : tensor<1x8x3x3xf32>
  %r14 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r13 : tensor<1x8x3x3xf32>) outs(%e14 : tensor<1x8x3x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = math.roundeven %in : f32
    linalg.yield %t : f32
  } -> tensor<1x8x3x3xf32>
  %e15 = tensor.empty() : tensor<1x8x3x3xf32>
  %r15 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r14 : tensor<1x8x3x3xf32>) outs(%e15 : tensor<1x8x3x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.addf %in, %none : f32
    linalg.yield %t : f32
  } -> tensor<1x8x3x3xf32>
  %e16 = tensor.empty() : tensor<1x8x3x3xf32>
  %r16 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r15 : tensor<1x8x3x3xf32>) outs(%e16 : tensor<1x8x3x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %l = arith.cmpf ult, %in, %zero : f32
    %m = arith.select %l, %zero, %in : f32
    %g = arith.cmpf ugt, %m, %most : f32
    %t = arith.select %g, %most, %m : f32
    linalg.yield %t : f32
  } -> tensor<1x8x3x3xf32>
  %e17 = tensor.empty() : tensor<1x8x3x3xi8>
  %r17 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r16 : tensor<1x8x3x3xf32>) outs(%e17 : tensor<1x8x3x3xi8>) {
  ^bb0(%in: f32, %out: i8):
    %t = arith.fptosi %in : f32 to i8
    linalg.yield %t : i8
  } -> tensor<1x8x3x3xi8>
  %e18 = tensor.empty() : tensor<1x8x3x3xf32>
  %r18 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r17 : tensor<1x8x3x3xi8>) outs(%e18 : tensor<1x8x3x3xf32>) {
  ^bb0(%in: i8, %out: f32):
    %t = arith.uitofp %in : i8 to f32
    linalg.yield %t : f32
  } -> tensor<1x8x3x3xf32>
  %e19 = tensor.empty() : tensor<1x8x3x3xf32>
  %r19 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r18 : tensor<1x8x3x3xf32>) outs(%e19 : tensor<1x8x3x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.mulf %in, %half : f32
    linalg.yield %t : f32
  } -> tensor<1x8x3x3xf32>
  %flat = tensor.collapse_shape %r19 [[0], [1, 2, 3]] : tensor<1x8x3x3xf32> into tensor<1x72xf32>
  %z = "dry.matmul"(%flat, %r2, %b) ({
  ^bb0(%s: f32, %c: f32):
    %t = arith.addf %s, %c : f32
    "dry.yield"(%t) : (f32) -> ()
  }) {extra_maps = [affine_map<(n, o) -> (o)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<1x72xf32>, tensor<8x72xf32>, tensor<8xf32>) -> tensor<1x8xf32>
  return %z : tensor<1x8xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d1)>
#map2 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<1x4x6x6xf32>) -> tensor<1x8xf32> {
    %0 = "dry.weight"() {key = "b"} : () -> tensor<8xf32>
    %1 = tensor.empty() : tensor<1x4x6x6xi8>
    %2 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x4x6x6xf32>) outs(%1 : tensor<1x4x6x6xi8>) {
    ^bb0(%in: f32, %out: i8):
      %cst = arith.constant 2.000000e+00 : f32
      %14 = arith.mulf %in, %cst : f32
      %cst_0 = arith.constant 0x4B400000 : f32
      %15 = arith.addf %14, %cst_0 : f32
      %16 = arith.bitcast %15 : f32 to i32
      %c1262485391_i32 = arith.constant 1262485391 : i32
      %17 = arith.maxsi %16, %c1262485391_i32 : i32
      %c1262485646_i32 = arith.constant 1262485646 : i32
      %18 = arith.minsi %17, %c1262485646_i32 : i32
      %c-15_i32 = arith.constant -15 : i32
      %19 = arith.addi %18, %c-15_i32 : i32
      %20 = arith.trunci %19 : i32 to i8
      linalg.yield %20 : i8
    } -> tensor<1x4x6x6xi8>
    %c-15_i8 = arith.constant -15 : i8
    %padded = tensor.pad %2 low[0, 0, 1, 1] high[0, 0, 1, 1] {
    ^bb0(%arg1: index, %arg2: index, %arg3: index, %arg4: index):
      tensor.yield %c-15_i8 : i8
    } : tensor<1x4x6x6xi8> to tensor<1x4x8x8xi8>
    %3 = "dry.weight"() {key = "w.codes"} : () -> tensor<8x4x3x3xi8>
    %4 = "dry.weight"() {key = "w.zero"} : () -> tensor<8xi32>
    %5 = "dry.weight"() {key = "w.factor"} : () -> tensor<8xf32>
    %6 = "dry.conv"(%padded, %3, %0, %4, %5) ({
    ^bb0(%arg1: i32, %arg2: f32, %arg3: i32, %arg4: f32):
      %14 = arith.subi %arg1, %arg3 : i32
      %15 = arith.sitofp %14 : i32 to f32
      %16 = arith.mulf %15, %arg4 : f32
      %17 = arith.addf %16, %arg2 : f32
      "dry.yield"(%17) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map1, #map1, #map1], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x4x8x8xi8>, tensor<8x4x3x3xi8>, tensor<8xf32>, tensor<8xi32>, tensor<8xf32>) -> tensor<1x8x6x6xf32>
    %7 = tensor.empty() : tensor<1x8x6x6xi8>
    %8 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%6 : tensor<1x8x6x6xf32>) outs(%7 : tensor<1x8x6x6xi8>) {
    ^bb0(%in: f32, %out: i8):
      %cst = arith.constant 2.000000e+00 : f32
      %14 = arith.mulf %in, %cst : f32
      %cst_0 = arith.constant 0x4B400000 : f32
      %15 = arith.addf %14, %cst_0 : f32
      %16 = arith.bitcast %15 : f32 to i32
      %c1262485504_i32 = arith.constant 1262485504 : i32
      %17 = arith.maxsi %16, %c1262485504_i32 : i32
      %c1262485759_i32 = arith.constant 1262485759 : i32
      %18 = arith.minsi %17, %c1262485759_i32 : i32
      %c-128_i32 = arith.constant -128 : i32
      %19 = arith.addi %18, %c-128_i32 : i32
      %20 = arith.trunci %19 : i32 to i8
      linalg.yield %20 : i8
    } -> tensor<1x8x6x6xi8>
    %9 = "dry.pool"(%8) {dilation = [1, 1], divisor = 0 : i64, kernel = [2, 2], kind = "max", layout = "nchw", padding = [0, 0, 0, 0], strides = [2, 2]} : (tensor<1x8x6x6xi8>) -> tensor<1x8x3x3xi8>
    %collapsed = tensor.collapse_shape %9 [[0], [1, 2, 3]] : tensor<1x8x3x3xi8> into tensor<1x72xi8>
    %10 = "dry.weight"() {key = "v.codes"} : () -> tensor<8x72xi8>
    %11 = "dry.weight"() {key = "v.zero"} : () -> tensor<8xi32>
    %12 = "dry.weight"() {key = "v.factor"} : () -> tensor<8xf32>
    %13 = "dry.matmul"(%collapsed, %10, %0, %11, %12) ({
    ^bb0(%arg1: i32, %arg2: f32, %arg3: i32, %arg4: f32):
      %14 = arith.subi %arg1, %arg3 : i32
      %15 = arith.sitofp %14 : i32 to f32
      %16 = arith.mulf %15, %arg4 : f32
      %17 = arith.addf %16, %arg2 : f32
      "dry.yield"(%17) : (f32) -> ()
    }) {extra_maps = [#map2, #map2, #map2], operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<1x72xi8>, tensor<8x72xi8>, tensor<8xf32>, tensor<8xi32>, tensor<8xf32>) -> tensor<1x8xf32>
    return %13 : tensor<1x8xf32>
  }
}

// case: a depthwise one, rounding what was dequantized with the same scale, integers that the caller gives
func.func @main(%x: tensor<1x8x5x5xi8>) -> tensor<1x8x3x3xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x1x3x3xf32, #dry.enc<"int8", #dry.scale<#dry.per<[2, 3], [0, 0], "each">, #dry.enc<"f32", unit, unit>, unit, unit>, unit>>
  %zero = arith.constant 0.0 : f32
  %most = arith.constant 255.0 : f32
  %point = arith.constant 113.0 : f32
  %none = arith.constant 0.0 : f32
  %half = arith.constant 0.5 : f32
  %two = arith.constant 2.0 : f32
  %e20 = tensor.empty() : tensor<8x1x3x3xf32>
  %r20 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%w : tensor<8x1x3x3xf32, #dry.enc<"int8", #dry.scale<#dry.per<[2, 3], [0, 0], "each">, #dry.enc<"f32", unit, unit>, unit, unit>, unit>>) outs(%e20 : tensor<8x1x3x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<8x1x3x3xf32>
  %e21 = tensor.empty() : tensor<1x8x5x5xf32>
  %r21 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%x : tensor<1x8x5x5xi8>) outs(%e21 : tensor<1x8x5x5xf32>) {
  ^bb0(%in: i8, %out: f32):
    %t = arith.uitofp %in : i8 to f32
    linalg.yield %t : f32
  } -> tensor<1x8x5x5xf32>
  %e22 = tensor.empty() : tensor<1x8x5x5xf32>
  %r22 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r21 : tensor<1x8x5x5xf32>) outs(%e22 : tensor<1x8x5x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.subf %in, %point : f32
    linalg.yield %t : f32
  } -> tensor<1x8x5x5xf32>
  %e23 = tensor.empty() : tensor<1x8x5x5xf32>
  %r23 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r22 : tensor<1x8x5x5xf32>) outs(%e23 : tensor<1x8x5x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.mulf %in, %half : f32
    linalg.yield %t : f32
  } -> tensor<1x8x5x5xf32>
  %e24 = tensor.empty() : tensor<1x8x5x5xf32>
  %r24 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r23 : tensor<1x8x5x5xf32>) outs(%e24 : tensor<1x8x5x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.mulf %in, %two : f32
    linalg.yield %t : f32
  } -> tensor<1x8x5x5xf32>
  %e25 = tensor.empty() : tensor<1x8x5x5xf32>
  %r25 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r24 : tensor<1x8x5x5xf32>) outs(%e25 : tensor<1x8x5x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = math.roundeven %in : f32
    linalg.yield %t : f32
  } -> tensor<1x8x5x5xf32>
  %e26 = tensor.empty() : tensor<1x8x5x5xf32>
  %r26 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r25 : tensor<1x8x5x5xf32>) outs(%e26 : tensor<1x8x5x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.addf %in, %point : f32
    linalg.yield %t : f32
  } -> tensor<1x8x5x5xf32>
  %e27 = tensor.empty() : tensor<1x8x5x5xf32>
  %r27 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r26 : tensor<1x8x5x5xf32>) outs(%e27 : tensor<1x8x5x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %l = arith.cmpf ult, %in, %zero : f32
    %m = arith.select %l, %zero, %in : f32
    %g = arith.cmpf ugt, %m, %most : f32
    %t = arith.select %g, %most, %m : f32
    linalg.yield %t : f32
  } -> tensor<1x8x5x5xf32>
  %e28 = tensor.empty() : tensor<1x8x5x5xi8>
  %r28 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r27 : tensor<1x8x5x5xf32>) outs(%e28 : tensor<1x8x5x5xi8>) {
  ^bb0(%in: f32, %out: i8):
    %t = arith.fptosi %in : f32 to i8
    linalg.yield %t : i8
  } -> tensor<1x8x5x5xi8>
  %e29 = tensor.empty() : tensor<1x8x5x5xf32>
  %r29 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r28 : tensor<1x8x5x5xi8>) outs(%e29 : tensor<1x8x5x5xf32>) {
  ^bb0(%in: i8, %out: f32):
    %t = arith.uitofp %in : i8 to f32
    linalg.yield %t : f32
  } -> tensor<1x8x5x5xf32>
  %e30 = tensor.empty() : tensor<1x8x5x5xf32>
  %r30 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r29 : tensor<1x8x5x5xf32>) outs(%e30 : tensor<1x8x5x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.subf %in, %point : f32
    linalg.yield %t : f32
  } -> tensor<1x8x5x5xf32>
  %e31 = tensor.empty() : tensor<1x8x5x5xf32>
  %r31 = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%r30 : tensor<1x8x5x5xf32>) outs(%e31 : tensor<1x8x5x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.mulf %in, %half : f32
    linalg.yield %t : f32
  } -> tensor<1x8x5x5xf32>
  %r32 = "dry.conv"(%r31, %r20) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {dilation = [1, 1], layout = "nchw", output_padding = [0, 0], strides = [1, 1], transposed = false, padding = [0, 0, 0, 0], groups = 8 : i64, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x8x5x5xf32>, tensor<8x1x3x3xf32>) -> tensor<1x8x3x3xf32>
  return %r32 : tensor<1x8x3x3xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d1)>
module {
  func.func @main(%arg0: tensor<1x8x5x5xi8>) -> tensor<1x8x3x3xf32> {
    %0 = tensor.empty() : tensor<1x8x5x5xi8>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x8x5x5xi8>) outs(%0 : tensor<1x8x5x5xi8>) {
    ^bb0(%in: i8, %out: i8):
      %c-128_i8 = arith.constant -128 : i8
      %6 = arith.xori %in, %c-128_i8 : i8
      linalg.yield %6 : i8
    } -> tensor<1x8x5x5xi8>
    %2 = "dry.weight"() {key = "w.codes"} : () -> tensor<8x1x3x3xf32>
    %3 = "dry.weight"() {key = "w.zero"} : () -> tensor<8xi32>
    %4 = "dry.weight"() {key = "w.factor"} : () -> tensor<8xf32>
    %5 = "dry.conv"(%1, %2, %3, %4) ({
    ^bb0(%arg1: f32, %arg2: i32, %arg3: f32):
      %6 = arith.fptosi %arg1 : f32 to i32
      %7 = arith.subi %6, %arg2 : i32
      %8 = arith.sitofp %7 : i32 to f32
      %9 = arith.mulf %8, %arg3 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map1, #map1], groups = 8 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x8x5x5xi8>, tensor<8x1x3x3xf32>, tensor<8xi32>, tensor<8xf32>) -> tensor<1x8x3x3xf32>
    return %5 : tensor<1x8x3x3xf32>
  }
}
