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
#map = affine_map<(d0, d1) -> (d1)>
#map1 = affine_map<(d0, d1) -> (d0)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> (tensor<4x16xf32>, tensor<4x4xf32>) {
    %0 = "dry.weight"() {key = "b"} : () -> tensor<16xf32>
    %1:3 = "dry.round_rows"(%arg0) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<4x8xf32>) -> (tensor<4x8xi8>, tensor<4xf32>, tensor<4xf32>)
    %2 = "dry.weight"() {key = "w.int8"} : () -> tensor<16x8xi8>
    %3 = "dry.weight"() {key = "w.scale"} : () -> tensor<16xf32>
    %4 = "dry.weight"() {key = "w.sum"} : () -> tensor<16xf32>
    %5 = "dry.matmul"(%1#0, %2, %0, %3, %4, %1#1, %1#2) ({
    ^bb0(%arg1: i32, %arg2: f32, %arg3: f32, %arg4: f32, %arg5: f32, %arg6: f32):
      %10 = arith.sitofp %arg1 : i32 to f32
      %11 = arith.mulf %10, %arg5 : f32
      %12 = arith.mulf %arg6, %arg4 : f32
      %13 = arith.addf %11, %12 : f32
      %14 = arith.mulf %13, %arg3 : f32
      %15 = arith.addf %14, %arg2 : f32
      "dry.yield"(%15) : (f32) -> ()
    }) {extra_maps = [#map, #map, #map, #map1, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 1, 0, 0, 0>, transpose_b = true} : (tensor<4x8xi8>, tensor<16x8xi8>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<4x16xf32>
    %6 = "dry.weight"() {key = "v.int8"} : () -> tensor<8x4xi8>
    %7 = "dry.weight"() {key = "v.scale"} : () -> tensor<4xf32>
    %8 = "dry.weight"() {key = "v.sum"} : () -> tensor<4xf32>
    %9 = "dry.matmul"(%1#0, %6, %7, %8, %1#1, %1#2) ({
    ^bb0(%arg1: i32, %arg2: f32, %arg3: f32, %arg4: f32, %arg5: f32):
      %10 = arith.sitofp %arg1 : i32 to f32
      %11 = arith.mulf %10, %arg4 : f32
      %12 = arith.mulf %arg5, %arg3 : f32
      %13 = arith.addf %11, %12 : f32
      %14 = arith.mulf %13, %arg2 : f32
      "dry.yield"(%14) : (f32) -> ()
    }) {extra_maps = [#map, #map, #map1, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xi8>, tensor<8x4xi8>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<4x4xf32>
    return %5, %9 : tensor<4x16xf32>, tensor<4x4xf32>
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
#map = affine_map<(d0, d1, d2) -> (d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<2x?x8xf32>, %arg1: tensor<4x6xf32>) -> (tensor<2x?x4xf32>, tensor<4x4xf32>) {
    %0 = "dry.weight"() {key = "v"} : () -> tensor<4x6xf32>
    %1:3 = "dry.round_rows"(%arg0) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<2x?x8xf32>) -> (tensor<2x?x8xi8>, tensor<2x?xf32>, tensor<2x?xf32>)
    %2 = "dry.weight"() {key = "w.int8"} : () -> tensor<4x8xi8>
    %3 = "dry.weight"() {key = "w.scale"} : () -> tensor<4xf32>
    %4 = "dry.weight"() {key = "w.sum"} : () -> tensor<4xf32>
    %5 = "dry.matmul"(%1#0, %2, %3, %4, %1#1, %1#2) ({
    ^bb0(%arg2: i32, %arg3: f32, %arg4: f32, %arg5: f32, %arg6: f32):
      %7 = arith.sitofp %arg2 : i32 to f32
      %8 = arith.mulf %7, %arg5 : f32
      %9 = arith.mulf %arg6, %arg4 : f32
      %10 = arith.addf %8, %9 : f32
      %11 = arith.mulf %10, %arg3 : f32
      "dry.yield"(%11) : (f32) -> ()
    }) {extra_maps = [#map, #map, #map1, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x?x8xi8>, tensor<4x8xi8>, tensor<4xf32>, tensor<4xf32>, tensor<2x?xf32>, tensor<2x?xf32>) -> tensor<2x?x4xf32>
    %6 = "dry.matmul"(%arg1, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x4xf32>
    return %5, %6 : tensor<2x?x4xf32>, tensor<4x4xf32>
  }
}

// case: a table that rows are looked up in too
func.func @main(%i: tensor<3xi64>, %x: tensor<4x8xf32>) -> (tensor<3x8xf32>, tensor<4x16xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
  %e = "dry.embedding"(%w, %i) : (tensor<16x8xf32>, tensor<3xi64>) -> tensor<3x8xf32>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  return %e, %y : tensor<3x8xf32>, tensor<4x16xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d0, 0)>
#map2 = affine_map<(d0, d1) -> (d1)>
#map3 = affine_map<(d0, d1) -> (d0)>
module {
  func.func @main(%arg0: tensor<3xi64>, %arg1: tensor<4x8xf32>) -> (tensor<3x8xf32>, tensor<4x16xf32>) {
    %0 = "dry.weight"() {key = "w.int8"} : () -> tensor<16x8xi8>
    %1 = "dry.weight"() {key = "w.rows"} : () -> tensor<16x1xf32>
    %2 = "dry.embedding"(%0, %arg0) : (tensor<16x8xi8>, tensor<3xi64>) -> tensor<3x8xi8>
    %3 = "dry.embedding"(%1, %arg0) : (tensor<16x1xf32>, tensor<3xi64>) -> tensor<3x1xf32>
    %4 = tensor.empty() : tensor<3x8xf32>
    %5 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%2, %3 : tensor<3x8xi8>, tensor<3x1xf32>) outs(%4 : tensor<3x8xf32>) {
    ^bb0(%in: i8, %in_0: f32, %out: f32):
      %11 = arith.sitofp %in : i8 to f32
      %12 = arith.mulf %11, %in_0 : f32
      linalg.yield %12 : f32
    } -> tensor<3x8xf32>
    %6:3 = "dry.round_rows"(%arg1) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<4x8xf32>) -> (tensor<4x8xi8>, tensor<4xf32>, tensor<4xf32>)
    %7 = "dry.weight"() {key = "w.int8"} : () -> tensor<16x8xi8>
    %8 = "dry.weight"() {key = "w.scale"} : () -> tensor<16xf32>
    %9 = "dry.weight"() {key = "w.sum"} : () -> tensor<16xf32>
    %10 = "dry.matmul"(%6#0, %7, %8, %9, %6#1, %6#2) ({
    ^bb0(%arg2: i32, %arg3: f32, %arg4: f32, %arg5: f32, %arg6: f32):
      %11 = arith.sitofp %arg2 : i32 to f32
      %12 = arith.mulf %11, %arg5 : f32
      %13 = arith.mulf %arg6, %arg4 : f32
      %14 = arith.addf %12, %13 : f32
      %15 = arith.mulf %14, %arg3 : f32
      "dry.yield"(%15) : (f32) -> ()
    }) {extra_maps = [#map2, #map2, #map3, #map3], operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xi8>, tensor<16x8xi8>, tensor<16xf32>, tensor<16xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<4x16xf32>
    return %5, %10 : tensor<3x8xf32>, tensor<4x16xf32>
  }
}
