// case: two products of one value, of which one has a bias
func.func @main(%x: tensor<4x8xf32>) -> (tensor<4x16xf32>, tensor<4x4xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<8x4xf32>
  %b = "dry.weight"() {key = "b"} : () -> tensor<16xf32>
  %y = "dry.matmul"(%x, %w, %b) ({
  ^bb0(%s: f32, %c: f32):
    %t = arith.addf %s, %c : f32
    "dry.yield"(%t) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (j)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x8xf32>, tensor<16x8xf32>, tensor<16xf32>) -> tensor<4x16xf32>
  %z = "dry.matmul"(%x, %v) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x8xf32>, tensor<8x4xf32>) -> tensor<4x4xf32>
  return %y, %z : tensor<4x16xf32>, tensor<4x4xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d0)>
#map2 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> (tensor<4x16xf32>, tensor<4x4xf32>) {
    %0 = "dry.weight"() {key = "b"} : () -> tensor<16xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %1 = tensor.empty() : tensor<4xf32>
    %2 = linalg.fill ins(%cst : f32) outs(%1 : tensor<4xf32>) -> tensor<4xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%arg0 : tensor<4x8xf32>) outs(%2 : tensor<4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %12 = math.absf %in : f32
      %13 = arith.maximumf %12, %out : f32
      linalg.yield %13 : f32
    } -> tensor<4xf32>
    %4 = tensor.empty() : tensor<4x8xi8>
    %5 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %3 : tensor<4x8xf32>, tensor<4xf32>) outs(%4 : tensor<4x8xi8>) {
    ^bb0(%in: f32, %in_0: f32, %out: i8):
      %cst_1 = arith.constant 0.000000e+00 : f32
      %12 = arith.cmpf oeq, %in_0, %cst_1 : f32
      %cst_2 = arith.constant 1.270000e+02 : f32
      %13 = arith.divf %cst_2, %in_0 : f32
      %14 = arith.select %12, %in_0, %13 : f32
      %15 = arith.mulf %in, %14 : f32
      %16 = math.roundeven %15 : f32
      %cst_3 = arith.constant -1.270000e+02 : f32
      %17 = arith.cmpf ogt, %16, %cst_3 : f32
      %cst_4 = arith.constant -1.270000e+02 : f32
      %18 = arith.select %17, %16, %cst_4 : f32
      %cst_5 = arith.constant 1.270000e+02 : f32
      %19 = arith.cmpf olt, %18, %cst_5 : f32
      %cst_6 = arith.constant 1.270000e+02 : f32
      %20 = arith.select %19, %18, %cst_6 : f32
      %21 = arith.fptosi %20 : f32 to i8
      linalg.yield %21 : i8
    } -> tensor<4x8xi8>
    %6 = "dry.weight"() {key = "w.int8"} : () -> tensor<16x8xi8>
    %7 = "dry.weight"() {key = "w.scale"} : () -> tensor<16xf32>
    %8 = "dry.matmul"(%5, %6, %0, %7, %3) ({
    ^bb0(%arg1: i32, %arg2: f32, %arg3: f32, %arg4: f32):
      %12 = arith.sitofp %arg1 : i32 to f32
      %13 = arith.mulf %12, %arg4 : f32
      %14 = arith.mulf %13, %arg3 : f32
      %15 = arith.addf %14, %arg2 : f32
      "dry.yield"(%15) : (f32) -> ()
    }) {extra_maps = [#map2, #map2, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xi8>, tensor<16x8xi8>, tensor<16xf32>, tensor<16xf32>, tensor<4xf32>) -> tensor<4x16xf32>
    %9 = "dry.weight"() {key = "v.int8"} : () -> tensor<8x4xi8>
    %10 = "dry.weight"() {key = "v.scale"} : () -> tensor<4xf32>
    %11 = "dry.matmul"(%5, %9, %10, %3) ({
    ^bb0(%arg1: i32, %arg2: f32, %arg3: f32):
      %12 = arith.sitofp %arg1 : i32 to f32
      %13 = arith.mulf %12, %arg3 : f32
      %14 = arith.mulf %13, %arg2 : f32
      "dry.yield"(%14) : (f32) -> ()
    }) {extra_maps = [#map2, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xi8>, tensor<8x4xi8>, tensor<4xf32>, tensor<4xf32>) -> tensor<4x4xf32>
    return %8, %11 : tensor<4x16xf32>, tensor<4x4xf32>
  }
}

// case: rows known when it runs; a depth that no unit sums stays
func.func @main(%x: tensor<2x?x8xf32>, %u: tensor<4x6xf32>) -> (tensor<2x?x4xf32>, tensor<4x4xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<4x8xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<4x6xf32>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<2x?x8xf32>, tensor<4x8xf32>) -> tensor<2x?x4xf32>
  %z = "dry.matmul"(%u, %v) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x4xf32>
  return %y, %z : tensor<2x?x4xf32>, tensor<4x4xf32>
}

// after:
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1)>
#map2 = affine_map<(d0, d1, d2) -> (d2)>
module {
  func.func @main(%arg0: tensor<2x?x8xf32>, %arg1: tensor<4x6xf32>) -> (tensor<2x?x4xf32>, tensor<4x4xf32>) {
    %c1 = arith.constant 1 : index
    %dim = tensor.dim %arg0, %c1 : tensor<2x?x8xf32>
    %0 = "dry.weight"() {key = "v"} : () -> tensor<4x6xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %1 = tensor.empty(%dim) : tensor<2x?xf32>
    %2 = linalg.fill ins(%cst : f32) outs(%1 : tensor<2x?xf32>) -> tensor<2x?xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "reduction"]} ins(%arg0 : tensor<2x?x8xf32>) outs(%2 : tensor<2x?xf32>) {
    ^bb0(%in: f32, %out: f32):
      %10 = math.absf %in : f32
      %11 = arith.maximumf %10, %out : f32
      linalg.yield %11 : f32
    } -> tensor<2x?xf32>
    %4 = tensor.empty(%dim) : tensor<2x?x8xi8>
    %5 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0, %3 : tensor<2x?x8xf32>, tensor<2x?xf32>) outs(%4 : tensor<2x?x8xi8>) {
    ^bb0(%in: f32, %in_0: f32, %out: i8):
      %cst_1 = arith.constant 0.000000e+00 : f32
      %10 = arith.cmpf oeq, %in_0, %cst_1 : f32
      %cst_2 = arith.constant 1.270000e+02 : f32
      %11 = arith.divf %cst_2, %in_0 : f32
      %12 = arith.select %10, %in_0, %11 : f32
      %13 = arith.mulf %in, %12 : f32
      %14 = math.roundeven %13 : f32
      %cst_3 = arith.constant -1.270000e+02 : f32
      %15 = arith.cmpf ogt, %14, %cst_3 : f32
      %cst_4 = arith.constant -1.270000e+02 : f32
      %16 = arith.select %15, %14, %cst_4 : f32
      %cst_5 = arith.constant 1.270000e+02 : f32
      %17 = arith.cmpf olt, %16, %cst_5 : f32
      %cst_6 = arith.constant 1.270000e+02 : f32
      %18 = arith.select %17, %16, %cst_6 : f32
      %19 = arith.fptosi %18 : f32 to i8
      linalg.yield %19 : i8
    } -> tensor<2x?x8xi8>
    %6 = "dry.weight"() {key = "w.int8"} : () -> tensor<4x8xi8>
    %7 = "dry.weight"() {key = "w.scale"} : () -> tensor<4xf32>
    %8 = "dry.matmul"(%5, %6, %7, %3) ({
    ^bb0(%arg2: i32, %arg3: f32, %arg4: f32):
      %10 = arith.sitofp %arg2 : i32 to f32
      %11 = arith.mulf %10, %arg4 : f32
      %12 = arith.mulf %11, %arg3 : f32
      "dry.yield"(%12) : (f32) -> ()
    }) {extra_maps = [#map2, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x?x8xi8>, tensor<4x8xi8>, tensor<4xf32>, tensor<2x?xf32>) -> tensor<2x?x4xf32>
    %9 = "dry.matmul"(%arg1, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x4xf32>
    return %8, %9 : tensor<2x?x4xf32>, tensor<4x4xf32>
  }
}
