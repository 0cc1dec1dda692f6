// case: a scale and a zero point that calibration fixed
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x4xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<4x8xf32>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x4xf32>
  return %y : tensor<4x4xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> tensor<4x4xf32> {
    %0 = "dry.weight"() {key = "w.smooth"} : () -> tensor<8xf32>
    %1 = tensor.empty() : tensor<4x8xi8>
    %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %0 : tensor<4x8xf32>, tensor<8xf32>) outs(%1 : tensor<4x8xi8>) {
    ^bb0(%in: f32, %in_0: f32, %out: i8):
      %7 = arith.mulf %in, %in_0 : f32
      %cst = arith.constant 0x4B400000 : f32
      %8 = arith.addf %7, %cst : f32
      %9 = arith.bitcast %8 : f32 to i32
      %c1262485386_i32 = arith.constant 1262485386 : i32
      %10 = arith.maxsi %9, %c1262485386_i32 : i32
      %c1262485641_i32 = arith.constant 1262485641 : i32
      %11 = arith.minsi %10, %c1262485641_i32 : i32
      %c-10_i32 = arith.constant -10 : i32
      %12 = arith.addi %11, %c-10_i32 : i32
      %13 = arith.trunci %12 : i32 to i8
      linalg.yield %13 : i8
    } -> tensor<4x8xi8>
    %3 = "dry.weight"() {key = "w.int8"} : () -> tensor<4x8xi8>
    %4 = "dry.weight"() {key = "w.scale"} : () -> tensor<4xf32>
    %5 = "dry.weight"() {key = "w.shift"} : () -> tensor<4xf32>
    %6 = "dry.matmul"(%2, %3, %4, %5) ({
    ^bb0(%arg1: i32, %arg2: f32, %arg3: f32):
      %7 = arith.sitofp %arg1 : i32 to f32
      %8 = arith.mulf %7, %arg2 : f32
      %9 = arith.addf %8, %arg3 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map1, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xi8>, tensor<4x8xi8>, tensor<4xf32>, tensor<4xf32>) -> tensor<4x4xf32>
    return %6 : tensor<4x4xf32>
  }
}
