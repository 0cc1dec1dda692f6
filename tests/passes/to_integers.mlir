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
    %6 = tensor.empty() : tensor<1x4x4x8xi8>
    %7 = "dry.weight"() {key = "table"} : () -> tensor<2048xi8>
    %8 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%5 : tensor<1x4x4x8xi16>) outs(%6 : tensor<1x4x4x8xi8>) {
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
      %extracted = tensor.extract %7[%21] : tensor<2048xi8>
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

// case: a normalization and a softmax
func.func @main(%x: tensor<2x8xf32>) -> tensor<2x8xf32> {
  %g = "dry.weight"() {key = "g"} : () -> tensor<8xf32>
  %b = "dry.weight"() {key = "b"} : () -> tensor<8xf32>
  %y = "dry.norm"(%x, %g, %b) {axes = 1 : i64, eps = 1.0e-05 : f64, kind = "layer", operandSegmentSizes = array<i32: 1, 1, 1, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<2x8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<2x8xf32>
  %z = "dry.softmax"(%y) {dim = 1 : i64, log = false} : (tensor<2x8xf32>) -> tensor<2x8xf32>
  return %z : tensor<2x8xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d0)>
#map2 = affine_map<(d0) -> (d0)>
#map3 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<2x8xf32>) -> tensor<2x8xf32> {
    %0 = tensor.empty() : tensor<2x8xi16>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0 : tensor<2x8xf32>) outs(%0 : tensor<2x8xi16>) {
    ^bb0(%in: f32, %out: i16):
      %cst = arith.constant 8.191750e+03 : f32
      %30 = arith.mulf %in, %cst : f32
      %cst_1 = arith.constant -3.276700e+04 : f32
      %31 = arith.cmpf ogt, %30, %cst_1 : f32
      %32 = arith.select %31, %30, %cst_1 : f32
      %cst_2 = arith.constant 3.276700e+04 : f32
      %33 = arith.cmpf olt, %32, %cst_2 : f32
      %34 = arith.select %33, %32, %cst_2 : f32
      %35 = math.roundeven %34 : f32
      %36 = arith.fptosi %35 : f32 to i32
      %37 = arith.trunci %36 : i32 to i16
      linalg.yield %37 : i16
    } -> tensor<2x8xi16>
    %2 = tensor.empty() : tensor<2xi32>
    %c0_i32 = arith.constant 0 : i32
    %3 = linalg.fill ins(%c0_i32 : i32) outs(%2 : tensor<2xi32>) -> tensor<2xi32>
    %4 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%1 : tensor<2x8xi16>) outs(%3 : tensor<2xi32>) {
    ^bb0(%in: i16, %out: i32):
      %30 = arith.extsi %in : i16 to i64
      %31 = arith.trunci %30 : i64 to i32
      %32 = arith.addi %31, %out : i32
      linalg.yield %32 : i32
    } -> tensor<2xi32>
    %5 = tensor.empty() : tensor<2xi32>
    %6 = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel"]} ins(%4 : tensor<2xi32>) outs(%5 : tensor<2xi32>) {
    ^bb0(%in: i32, %out: i32):
      %30 = arith.extsi %in : i32 to i64
      %c2147483648_i64 = arith.constant 2147483648 : i64
      %31 = arith.muli %30, %c2147483648_i64 : i64
      %c33554432_i64 = arith.constant 33554432 : i64
      %32 = arith.addi %31, %c33554432_i64 : i64
      %c26_i64 = arith.constant 26 : i64
      %33 = arith.shrsi %32, %c26_i64 : i64
      %34 = arith.trunci %33 : i64 to i32
      linalg.yield %34 : i32
    } -> tensor<2xi32>
    %7 = tensor.empty() : tensor<2xi64>
    %c0_i64 = arith.constant 0 : i64
    %8 = linalg.fill ins(%c0_i64 : i64) outs(%7 : tensor<2xi64>) -> tensor<2xi64>
    %9 = linalg.generic {indexing_maps = [#map, #map1, #map1], iterator_types = ["parallel", "reduction"]} ins(%1, %6 : tensor<2x8xi16>, tensor<2xi32>) outs(%8 : tensor<2xi64>) {
    ^bb0(%in: i16, %in_1: i32, %out: i64):
      %30 = arith.extsi %in : i16 to i64
      %c256_i64 = arith.constant 256 : i64
      %31 = arith.muli %30, %c256_i64 : i64
      %32 = arith.extsi %in_1 : i32 to i64
      %33 = arith.subi %31, %32 : i64
      %34 = arith.muli %33, %33 : i64
      %35 = arith.addi %34, %out : i64
      linalg.yield %35 : i64
    } -> tensor<2xi64>
    %10 = tensor.empty() : tensor<2xi64>
    %11 = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel"]} ins(%9 : tensor<2xi64>) outs(%10 : tensor<2xi64>) {
    ^bb0(%in: i64, %out: i64):
      %c351822246_i64 = arith.constant 351822246 : i64
      %30 = arith.addi %in, %c351822246_i64 : i64
      %c0_i64_1 = arith.constant 0 : i64
      %31 = arith.maxsi %30, %c0_i64_1 : i64
      %c2147483648_i64 = arith.constant 2147483648 : i64
      %c16_i64 = arith.constant 16 : i64
      %32 = arith.shrsi %c2147483648_i64, %c16_i64 : i64
      %33 = arith.muli %32, %32 : i64
      %34 = arith.cmpi sge, %33, %31 : i64
      %35 = arith.select %34, %32, %c2147483648_i64 : i64
      %c8_i64 = arith.constant 8 : i64
      %36 = arith.shrsi %35, %c8_i64 : i64
      %37 = arith.muli %36, %36 : i64
      %38 = arith.cmpi sge, %37, %31 : i64
      %39 = arith.select %38, %36, %35 : i64
      %c4_i64 = arith.constant 4 : i64
      %40 = arith.shrsi %39, %c4_i64 : i64
      %41 = arith.muli %40, %40 : i64
      %42 = arith.cmpi sge, %41, %31 : i64
      %43 = arith.select %42, %40, %39 : i64
      %c2_i64 = arith.constant 2 : i64
      %44 = arith.shrsi %43, %c2_i64 : i64
      %45 = arith.muli %44, %44 : i64
      %46 = arith.cmpi sge, %45, %31 : i64
      %47 = arith.select %46, %44, %43 : i64
      %c1_i64 = arith.constant 1 : i64
      %48 = arith.shrsi %47, %c1_i64 : i64
      %49 = arith.muli %48, %48 : i64
      %50 = arith.cmpi sge, %49, %31 : i64
      %51 = arith.select %50, %48, %47 : i64
      %c1_i64_2 = arith.constant 1 : i64
      %52 = arith.maxsi %51, %c1_i64_2 : i64
      %53 = arith.divsi %31, %52 : i64
      %54 = arith.addi %51, %53 : i64
      %c1_i64_3 = arith.constant 1 : i64
      %55 = arith.shrsi %54, %c1_i64_3 : i64
      %c1_i64_4 = arith.constant 1 : i64
      %56 = arith.maxsi %55, %c1_i64_4 : i64
      %57 = arith.divsi %31, %56 : i64
      %58 = arith.addi %55, %57 : i64
      %c1_i64_5 = arith.constant 1 : i64
      %59 = arith.shrsi %58, %c1_i64_5 : i64
      %c1_i64_6 = arith.constant 1 : i64
      %60 = arith.maxsi %59, %c1_i64_6 : i64
      %61 = arith.divsi %31, %60 : i64
      %62 = arith.addi %59, %61 : i64
      %c1_i64_7 = arith.constant 1 : i64
      %63 = arith.shrsi %62, %c1_i64_7 : i64
      %c1_i64_8 = arith.constant 1 : i64
      %64 = arith.maxsi %63, %c1_i64_8 : i64
      %65 = arith.divsi %31, %64 : i64
      %66 = arith.addi %63, %65 : i64
      %c1_i64_9 = arith.constant 1 : i64
      %67 = arith.shrsi %66, %c1_i64_9 : i64
      %c1_i64_10 = arith.constant 1 : i64
      %68 = arith.maxsi %67, %c1_i64_10 : i64
      %69 = arith.divsi %31, %68 : i64
      %70 = arith.addi %67, %69 : i64
      %c1_i64_11 = arith.constant 1 : i64
      %71 = arith.shrsi %70, %c1_i64_11 : i64
      %c1_i64_12 = arith.constant 1 : i64
      %72 = arith.maxsi %71, %c1_i64_12 : i64
      %73 = arith.divsi %31, %72 : i64
      %74 = arith.addi %71, %73 : i64
      %c1_i64_13 = arith.constant 1 : i64
      %75 = arith.shrsi %74, %c1_i64_13 : i64
      %c1_i64_14 = arith.constant 1 : i64
      %76 = arith.maxsi %75, %c1_i64_14 : i64
      %c70368744177664_i64 = arith.constant 70368744177664 : i64
      %77 = arith.divsi %c70368744177664_i64, %76 : i64
      linalg.yield %77 : i64
    } -> tensor<2xi64>
    %12 = tensor.empty() : tensor<2x8xi16>
    %13 = "dry.weight"() {key = "integers"} : () -> tensor<8xi32>
    %14 = "dry.weight"() {key = "integers.2"} : () -> tensor<8xi64>
    %15 = linalg.generic {indexing_maps = [#map, #map1, #map1, #map3, #map3, #map], iterator_types = ["parallel", "parallel"]} ins(%1, %6, %11, %13, %14 : tensor<2x8xi16>, tensor<2xi32>, tensor<2xi64>, tensor<8xi32>, tensor<8xi64>) outs(%12 : tensor<2x8xi16>) {
    ^bb0(%in: i16, %in_1: i32, %in_2: i64, %in_3: i32, %in_4: i64, %out: i16):
      %30 = arith.extsi %in : i16 to i64
      %c256_i64 = arith.constant 256 : i64
      %31 = arith.muli %30, %c256_i64 : i64
      %32 = arith.extsi %in_1 : i32 to i64
      %33 = arith.subi %31, %32 : i64
      %34 = arith.muli %33, %in_2 : i64
      %c16_i64 = arith.constant 16 : i64
      %35 = arith.shrsi %34, %c16_i64 : i64
      %36 = arith.extsi %in_3 : i32 to i64
      %37 = arith.muli %35, %36 : i64
      %38 = arith.addi %37, %in_4 : i64
      %c46_i64 = arith.constant 46 : i64
      %39 = arith.shrsi %38, %c46_i64 : i64
      %c-32767_i64 = arith.constant -32767 : i64
      %40 = arith.maxsi %39, %c-32767_i64 : i64
      %c32767_i64 = arith.constant 32767 : i64
      %41 = arith.minsi %40, %c32767_i64 : i64
      %42 = arith.trunci %41 : i64 to i16
      linalg.yield %42 : i16
    } -> tensor<2x8xi16>
    %c-32767_i16 = arith.constant -32767 : i16
    %16 = tensor.empty() : tensor<2xi16>
    %17 = linalg.fill ins(%c-32767_i16 : i16) outs(%16 : tensor<2xi16>) -> tensor<2xi16>
    %18 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%15 : tensor<2x8xi16>) outs(%17 : tensor<2xi16>) {
    ^bb0(%in: i16, %out: i16):
      %30 = arith.maxsi %in, %out : i16
      linalg.yield %30 : i16
    } -> tensor<2xi16>
    %19 = tensor.empty() : tensor<2x8xi32>
    %20 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%15, %18 : tensor<2x8xi16>, tensor<2xi16>) outs(%19 : tensor<2x8xi32>) {
    ^bb0(%in: i16, %in_1: i16, %out: i32):
      %30 = arith.extsi %in : i16 to i64
      %31 = arith.extsi %in_1 : i16 to i64
      %32 = arith.subi %31, %30 : i64
      %c15128216_i64 = arith.constant 15128216 : i64
      %33 = arith.muli %32, %c15128216_i64 : i64
      %c20_i64 = arith.constant 20 : i64
      %34 = arith.shrsi %33, %c20_i64 : i64
      %c16_i64 = arith.constant 16 : i64
      %35 = arith.shrsi %34, %c16_i64 : i64
      %c62_i64 = arith.constant 62 : i64
      %36 = arith.minsi %35, %c62_i64 : i64
      %c65535_i64 = arith.constant 65535 : i64
      %37 = arith.andi %34, %c65535_i64 : i64
      %c7346532_i64 = arith.constant 7346532 : i64
      %38 = arith.muli %c7346532_i64, %37 : i64
      %c16_i64_2 = arith.constant 16 : i64
      %39 = arith.shrsi %38, %c16_i64_2 : i64
      %c-57151877_i64 = arith.constant -57151877 : i64
      %40 = arith.addi %39, %c-57151877_i64 : i64
      %41 = arith.muli %40, %37 : i64
      %c16_i64_3 = arith.constant 16 : i64
      %42 = arith.shrsi %41, %c16_i64_3 : i64
      %c257095898_i64 = arith.constant 257095898 : i64
      %43 = arith.addi %42, %c257095898_i64 : i64
      %44 = arith.muli %43, %37 : i64
      %c16_i64_4 = arith.constant 16 : i64
      %45 = arith.shrsi %44, %c16_i64_4 : i64
      %c-744157487_i64 = arith.constant -744157487 : i64
      %46 = arith.addi %45, %c-744157487_i64 : i64
      %47 = arith.muli %46, %37 : i64
      %c16_i64_5 = arith.constant 16 : i64
      %48 = arith.shrsi %47, %c16_i64_5 : i64
      %c1073739778_i64 = arith.constant 1073739778 : i64
      %49 = arith.addi %48, %c1073739778_i64 : i64
      %50 = arith.shrsi %49, %36 : i64
      %c1073741824_i64 = arith.constant 1073741824 : i64
      %51 = arith.muli %50, %c1073741824_i64 : i64
      %c536870912_i64 = arith.constant 536870912 : i64
      %52 = arith.addi %51, %c536870912_i64 : i64
      %c30_i64 = arith.constant 30 : i64
      %53 = arith.shrsi %52, %c30_i64 : i64
      %54 = arith.trunci %53 : i64 to i32
      linalg.yield %54 : i32
    } -> tensor<2x8xi32>
    %21 = tensor.empty() : tensor<2xi64>
    %c0_i64_0 = arith.constant 0 : i64
    %22 = linalg.fill ins(%c0_i64_0 : i64) outs(%21 : tensor<2xi64>) -> tensor<2xi64>
    %23 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%20 : tensor<2x8xi32>) outs(%22 : tensor<2xi64>) {
    ^bb0(%in: i32, %out: i64):
      %30 = arith.extsi %in : i32 to i64
      %31 = arith.addi %30, %out : i64
      linalg.yield %31 : i64
    } -> tensor<2xi64>
    %24 = tensor.empty() : tensor<2xi64>
    %25 = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel"]} ins(%23 : tensor<2xi64>) outs(%24 : tensor<2xi64>) {
    ^bb0(%in: i64, %out: i64):
      %c1_i64 = arith.constant 1 : i64
      %30 = arith.maxsi %in, %c1_i64 : i64
      %c1152921504606846976_i64 = arith.constant 1152921504606846976 : i64
      %31 = arith.divsi %c1152921504606846976_i64, %30 : i64
      linalg.yield %31 : i64
    } -> tensor<2xi64>
    %26 = tensor.empty() : tensor<2x8xi16>
    %27 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%20, %25 : tensor<2x8xi32>, tensor<2xi64>) outs(%26 : tensor<2x8xi16>) {
    ^bb0(%in: i32, %in_1: i64, %out: i16):
      %30 = arith.extsi %in : i32 to i64
      %31 = arith.muli %30, %in_1 : i64
      %c30_i64 = arith.constant 30 : i64
      %32 = arith.shrsi %31, %c30_i64 : i64
      %c2147418112_i64 = arith.constant 2147418112 : i64
      %33 = arith.muli %32, %c2147418112_i64 : i64
      %c35184372088832_i64 = arith.constant 35184372088832 : i64
      %34 = arith.addi %33, %c35184372088832_i64 : i64
      %c46_i64 = arith.constant 46 : i64
      %35 = arith.shrsi %34, %c46_i64 : i64
      %c-32767_i64 = arith.constant -32767 : i64
      %36 = arith.maxsi %35, %c-32767_i64 : i64
      %c32767_i64 = arith.constant 32767 : i64
      %37 = arith.minsi %36, %c32767_i64 : i64
      %38 = arith.trunci %37 : i64 to i16
      linalg.yield %38 : i16
    } -> tensor<2x8xi16>
    %28 = tensor.empty() : tensor<2x8xf32>
    %29 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%27 : tensor<2x8xi16>) outs(%28 : tensor<2x8xf32>) {
    ^bb0(%in: i16, %out: f32):
      %30 = arith.extsi %in : i16 to i32
      %31 = arith.sitofp %30 : i32 to f32
      %cst = arith.constant 3.05185094E-5 : f32
      %32 = arith.mulf %31, %cst : f32
      linalg.yield %32 : f32
    } -> tensor<2x8xf32>
    return %29 : tensor<2x8xf32>
  }
}
