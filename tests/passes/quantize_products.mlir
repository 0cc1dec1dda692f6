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
    %1:2 = "dry.round_rows"(%arg0) {operandSegmentSizes = array<i32: 1, 0>} : (tensor<4x8xf32>) -> (tensor<4x8xi8>, tensor<4xf32>)
    %2 = "dry.weight"() {key = "w.int8"} : () -> tensor<16x8xi8>
    %3 = "dry.weight"() {key = "w.scale"} : () -> tensor<16xf32>
    %4 = "dry.matmul"(%1#0, %2, %0, %3, %1#1) ({
    ^bb0(%arg1: i32, %arg2: f32, %arg3: f32, %arg4: f32):
      %8 = arith.sitofp %arg1 : i32 to f32
      %9 = arith.mulf %8, %arg4 : f32
      %10 = arith.mulf %9, %arg3 : f32
      %11 = arith.addf %10, %arg2 : f32
      "dry.yield"(%11) : (f32) -> ()
    }) {extra_maps = [#map, #map, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xi8>, tensor<16x8xi8>, tensor<16xf32>, tensor<16xf32>, tensor<4xf32>) -> tensor<4x16xf32>
    %5 = "dry.weight"() {key = "v.int8"} : () -> tensor<8x4xi8>
    %6 = "dry.weight"() {key = "v.scale"} : () -> tensor<4xf32>
    %7 = "dry.matmul"(%1#0, %5, %6, %1#1) ({
    ^bb0(%arg1: i32, %arg2: f32, %arg3: f32):
      %8 = arith.sitofp %arg1 : i32 to f32
      %9 = arith.mulf %8, %arg3 : f32
      %10 = arith.mulf %9, %arg2 : f32
      "dry.yield"(%10) : (f32) -> ()
    }) {extra_maps = [#map, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xi8>, tensor<8x4xi8>, tensor<4xf32>, tensor<4xf32>) -> tensor<4x4xf32>
    return %4, %7 : tensor<4x16xf32>, tensor<4x4xf32>
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
    %1:2 = "dry.round_rows"(%arg0) {operandSegmentSizes = array<i32: 1, 0>} : (tensor<2x?x8xf32>) -> (tensor<2x?x8xi8>, tensor<2x?xf32>)
    %2 = "dry.weight"() {key = "w.int8"} : () -> tensor<4x8xi8>
    %3 = "dry.weight"() {key = "w.scale"} : () -> tensor<4xf32>
    %4 = "dry.matmul"(%1#0, %2, %3, %1#1) ({
    ^bb0(%arg2: i32, %arg3: f32, %arg4: f32):
      %6 = arith.sitofp %arg2 : i32 to f32
      %7 = arith.mulf %6, %arg4 : f32
      %8 = arith.mulf %7, %arg3 : f32
      "dry.yield"(%8) : (f32) -> ()
    }) {extra_maps = [#map, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x?x8xi8>, tensor<4x8xi8>, tensor<4xf32>, tensor<2x?xf32>) -> tensor<2x?x4xf32>
    %5 = "dry.matmul"(%arg1, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x4xf32>
    return %4, %5 : tensor<2x?x4xf32>, tensor<4x4xf32>
  }
}
