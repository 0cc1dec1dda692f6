// case: a convolution with a bias and a ReLU, a function, a residual
func.func @main(%x: tensor<1x4x4x8xf32>) -> tensor<1x4x4x8xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x8x3x3xf32>
  %b = "dry.weight"() {key = "b"} : () -> tensor<8xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<8x8x1x1xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x4x4x8xf32>
  %y = "dry.conv"(%x, %w, %b) ({
  ^bb0(%s: f32, %c: f32):
    %t = arith.addf %s, %c : f32
    %m = arith.maximumf %t, %zero : f32
    "dry.yield"(%m) : (f32) -> ()
  }) {dilation = [1, 1], layout = "nhwc", output_padding = [0, 0], strides = [1, 1], transposed = false, padding = [1, 1, 1, 1], groups = 1 : i64, extra_maps = [affine_map<(n, h, w, c) -> (c)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x4x4x8xf32>, tensor<8x8x3x3xf32>, tensor<8xf32>) -> tensor<1x4x4x8xf32>
  %t = linalg.generic {indexing_maps = [affine_map<(n, h, w, c) -> (n, h, w, c)>, affine_map<(n, h, w, c) -> (n, h, w, c)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%y : tensor<1x4x4x8xf32>) outs(%e : tensor<1x4x4x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %f = math.tanh %a : f32
    linalg.yield %f : f32
  } -> tensor<1x4x4x8xf32>
  %z = "dry.conv"(%t, %v, %y) ({
  ^bb0(%s: f32, %r: f32):
    %u = arith.addf %s, %r : f32
    "dry.yield"(%u) : (f32) -> ()
  }) {dilation = [1, 1], layout = "nhwc", output_padding = [0, 0], strides = [1, 1], transposed = false, padding = [0, 0, 0, 0], groups = 1 : i64, extra_maps = [affine_map<(n, h, w, c) -> (n, h, w, c)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x4x4x8xf32>, tensor<8x8x1x1xf32>, tensor<1x4x4x8xf32>) -> tensor<1x4x4x8xf32>
  return %z : tensor<1x4x4x8xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d3)>
module {
  func.func @main(%arg0: tensor<1x4x4x8xf32>) -> tensor<1x4x4x8xf32> {
    %0 = tensor.empty() : tensor<1x4x4x8xi8>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x4x4x8xf32>) outs(%0 : tensor<1x4x4x8xi8>) {
    ^bb0(%in: f32, %out: i8):
      %cst = arith.constant 3.175000e+01 : f32
      %15 = arith.mulf %in, %cst : f32
      %cst_0 = arith.constant -1.270000e+02 : f32
      %16 = arith.cmpf ogt, %15, %cst_0 : f32
      %17 = arith.select %16, %15, %cst_0 : f32
      %cst_1 = arith.constant 1.270000e+02 : f32
      %18 = arith.cmpf olt, %17, %cst_1 : f32
      %19 = arith.select %18, %17, %cst_1 : f32
      %20 = math.roundeven %19 : f32
      %21 = arith.fptosi %20 : f32 to i32
      %22 = arith.trunci %21 : i32 to i8
      linalg.yield %22 : i8
    } -> tensor<1x4x4x8xi8>
    %2 = "dry.weight"() {key = "w.int8"} : () -> tensor<8x8x3x3xi8>
    %3 = "dry.weight"() {key = "w.integers"} : () -> tensor<8xi32>
    %4 = "dry.weight"() {key = "w.integers.2"} : () -> tensor<8xi64>
    %5 = "dry.conv"(%1, %2, %3, %4) ({
    ^bb0(%arg1: i32, %arg2: i32, %arg3: i64):
      %15 = arith.extsi %arg1 : i32 to i64
      %16 = arith.extsi %arg2 : i32 to i64
      %17 = arith.muli %15, %16 : i64
      %18 = arith.addi %17, %arg3 : i64
      %c0_i64 = arith.constant 0 : i64
      %19 = arith.maxsi %18, %c0_i64 : i64
      %c1073741824_i64 = arith.constant 1073741824 : i64
      %20 = arith.addi %19, %c1073741824_i64 : i64
      %c31_i64 = arith.constant 31 : i64
      %21 = arith.shrsi %20, %c31_i64 : i64
      %c-32767_i64 = arith.constant -32767 : i64
      %22 = arith.maxsi %21, %c-32767_i64 : i64
      %c32767_i64 = arith.constant 32767 : i64
      %23 = arith.minsi %22, %c32767_i64 : i64
      %24 = arith.trunci %23 : i64 to i16
      "dry.yield"(%24) : (i16) -> ()
    }) {dilation = [1, 1], extra_maps = [#map1, #map1], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x4x4x8xi8>, tensor<8x8x3x3xi8>, tensor<8xi32>, tensor<8xi64>) -> tensor<1x4x4x8xi16>
    %6 = "dry.weight"() {key = "table"} : () -> tensor<2048xi8>
    %7 = tensor.empty() : tensor<1x4x4x8xi8>
    %8 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%5 : tensor<1x4x4x8xi16>) outs(%7 : tensor<1x4x4x8xi8>) {
    ^bb0(%in: i16, %out: i8):
      %15 = arith.extsi %in : i16 to i64
      %c2146500578_i64 = arith.constant 2146500578 : i64
      %16 = arith.muli %15, %c2146500578_i64 : i64
      %c70368744177664_i64 = arith.constant 70368744177664 : i64
      %17 = arith.addi %16, %c70368744177664_i64 : i64
      %c36_i64 = arith.constant 36 : i64
      %18 = arith.shrsi %17, %c36_i64 : i64
      %c0_i64 = arith.constant 0 : i64
      %19 = arith.maxsi %18, %c0_i64 : i64
      %c2047_i64 = arith.constant 2047 : i64
      %20 = arith.minsi %19, %c2047_i64 : i64
      %21 = arith.index_cast %20 : i64 to index
      %extracted = tensor.extract %6[%21] : tensor<2048xi8>
      %22 = arith.extsi %extracted : i8 to i64
      %23 = arith.trunci %22 : i64 to i8
      linalg.yield %23 : i8
    } -> tensor<1x4x4x8xi8>
    %9 = "dry.weight"() {key = "v.int8"} : () -> tensor<8x8x1x1xi8>
    %10 = "dry.weight"() {key = "v.integers"} : () -> tensor<8xi32>
    %11 = "dry.weight"() {key = "v.integers.2"} : () -> tensor<8xi32>
    %12 = "dry.conv"(%8, %9, %5, %10, %11) ({
    ^bb0(%arg1: i32, %arg2: i16, %arg3: i32, %arg4: i32):
      %15 = arith.extsi %arg1 : i32 to i64
      %16 = arith.extsi %arg3 : i32 to i64
      %17 = arith.muli %15, %16 : i64
      %18 = arith.extsi %arg2 : i16 to i64
      %c1908874354_i64 = arith.constant 1908874354 : i64
      %19 = arith.muli %18, %c1908874354_i64 : i64
      %20 = arith.addi %17, %19 : i64
      %21 = arith.extsi %arg4 : i32 to i64
      %22 = arith.addi %20, %21 : i64
      %c31_i64 = arith.constant 31 : i64
      %23 = arith.shrsi %22, %c31_i64 : i64
      %c-32767_i64 = arith.constant -32767 : i64
      %24 = arith.maxsi %23, %c-32767_i64 : i64
      %c32767_i64 = arith.constant 32767 : i64
      %25 = arith.minsi %24, %c32767_i64 : i64
      %26 = arith.trunci %25 : i64 to i16
      "dry.yield"(%26) : (i16) -> ()
    }) {dilation = [1, 1], extra_maps = [#map, #map1, #map1], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x4x4x8xi8>, tensor<8x8x1x1xi8>, tensor<1x4x4x8xi16>, tensor<8xi32>, tensor<8xi32>) -> tensor<1x4x4x8xi16>
    %13 = tensor.empty() : tensor<1x4x4x8xf32>
    %14 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%12 : tensor<1x4x4x8xi16>) outs(%13 : tensor<1x4x4x8xf32>) {
    ^bb0(%in: i16, %out: f32):
      %15 = arith.extsi %in : i16 to i32
      %16 = arith.sitofp %15 : i32 to f32
      %cst = arith.constant 0.00137333293 : f32
      %17 = arith.mulf %16, %cst : f32
      linalg.yield %17 : f32
    } -> tensor<1x4x4x8xf32>
    return %14 : tensor<1x4x4x8xf32>
  }
}

// case: a product, and a sum of squares along its rows
func.func @main(%x: tensor<2x8xf32>) -> tensor<2xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<4x8xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2xf32>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<2x8xf32>, tensor<4x8xf32>) -> tensor<2x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2xf32>) -> tensor<2xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>], iterator_types = ["parallel", "reduction"]} ins(%y : tensor<2x4xf32>) outs(%f : tensor<2xf32>) {
  ^bb0(%a: f32, %o: f32):
    %q = arith.mulf %a, %a : f32
    %t = arith.addf %q, %o : f32
    linalg.yield %t : f32
  } -> tensor<2xf32>
  return %r : tensor<2xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d1)>
#map2 = affine_map<(d0, d1) -> (d0)>
#map3 = affine_map<(d0) -> (d0)>
module {
  func.func @main(%arg0: tensor<2x8xf32>) -> tensor<2xf32> {
    %0 = tensor.empty() : tensor<2x8xi8>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0 : tensor<2x8xf32>) outs(%0 : tensor<2x8xi8>) {
    ^bb0(%in: f32, %out: i8):
      %cst = arith.constant 36.4285698 : f32
      %13 = arith.mulf %in, %cst : f32
      %cst_0 = arith.constant -1.090000e+02 : f32
      %14 = arith.cmpf ogt, %13, %cst_0 : f32
      %15 = arith.select %14, %13, %cst_0 : f32
      %cst_1 = arith.constant 1.460000e+02 : f32
      %16 = arith.cmpf olt, %15, %cst_1 : f32
      %17 = arith.select %16, %15, %cst_1 : f32
      %18 = math.roundeven %17 : f32
      %19 = arith.fptosi %18 : f32 to i32
      %c-19_i32 = arith.constant -19 : i32
      %20 = arith.addi %19, %c-19_i32 : i32
      %21 = arith.trunci %20 : i32 to i8
      linalg.yield %21 : i8
    } -> tensor<2x8xi8>
    %2 = "dry.weight"() {key = "w.int8"} : () -> tensor<4x8xi8>
    %3 = "dry.weight"() {key = "w.integers"} : () -> tensor<4xi32>
    %4 = "dry.weight"() {key = "w.integers.2"} : () -> tensor<4xi64>
    %5 = "dry.matmul"(%1, %2, %3, %4) ({
    ^bb0(%arg1: i32, %arg2: i32, %arg3: i64):
      %13 = arith.extsi %arg1 : i32 to i64
      %14 = arith.extsi %arg2 : i32 to i64
      %15 = arith.muli %13, %14 : i64
      %16 = arith.addi %15, %arg3 : i64
      %c30_i64 = arith.constant 30 : i64
      %17 = arith.shrsi %16, %c30_i64 : i64
      %c-32767_i64 = arith.constant -32767 : i64
      %18 = arith.maxsi %17, %c-32767_i64 : i64
      %c32767_i64 = arith.constant 32767 : i64
      %19 = arith.minsi %18, %c32767_i64 : i64
      %20 = arith.trunci %19 : i64 to i16
      "dry.yield"(%20) : (i16) -> ()
    }) {extra_maps = [#map1, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x8xi8>, tensor<4x8xi8>, tensor<4xi32>, tensor<4xi64>) -> tensor<2x4xi16>
    %6 = tensor.empty() : tensor<2xi64>
    %c0_i64 = arith.constant 0 : i64
    %7 = linalg.fill ins(%c0_i64 : i64) outs(%6 : tensor<2xi64>) -> tensor<2xi64>
    %8 = linalg.generic {indexing_maps = [#map, #map2], iterator_types = ["parallel", "reduction"]} ins(%5 : tensor<2x4xi16>) outs(%7 : tensor<2xi64>) {
    ^bb0(%in: i16, %out: i64):
      %13 = arith.extsi %in : i16 to i64
      %14 = arith.muli %13, %13 : i64
      %15 = arith.addi %14, %out : i64
      linalg.yield %15 : i64
    } -> tensor<2xi64>
    %9 = tensor.empty() : tensor<2xi16>
    %10 = linalg.generic {indexing_maps = [#map3, #map3], iterator_types = ["parallel"]} ins(%8 : tensor<2xi64>) outs(%9 : tensor<2xi16>) {
    ^bb0(%in: i64, %out: i16):
      %c966397134_i64 = arith.constant 966397134 : i64
      %13 = arith.muli %in, %c966397134_i64 : i64
      %c17592186044416_i64 = arith.constant 17592186044416 : i64
      %14 = arith.addi %13, %c17592186044416_i64 : i64
      %c45_i64 = arith.constant 45 : i64
      %15 = arith.shrsi %14, %c45_i64 : i64
      %c-32767_i64 = arith.constant -32767 : i64
      %16 = arith.maxsi %15, %c-32767_i64 : i64
      %c32767_i64 = arith.constant 32767 : i64
      %17 = arith.minsi %16, %c32767_i64 : i64
      %18 = arith.trunci %17 : i64 to i16
      linalg.yield %18 : i16
    } -> tensor<2xi16>
    %11 = tensor.empty() : tensor<2xf32>
    %12 = linalg.generic {indexing_maps = [#map3, #map3], iterator_types = ["parallel"]} ins(%10 : tensor<2xi16>) outs(%11 : tensor<2xf32>) {
    ^bb0(%in: i16, %out: f32):
      %13 = arith.extsi %in : i16 to i32
      %14 = arith.sitofp %13 : i32 to f32
      %cst = arith.constant 0.00274666585 : f32
      %15 = arith.mulf %14, %cst : f32
      linalg.yield %15 : f32
    } -> tensor<2xf32>
    return %12 : tensor<2xf32>
  }
}
