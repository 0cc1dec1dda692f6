// case: a masked weight becomes one, also where it is shared; what depends on an input stays
func.func @main(%x: tensor<4x8xf32>, %m: tensor<6x8xf32>) -> (tensor<4x6xf32>, tensor<4x6xf32>) {
  %w = "dry.weight"() {key = "fc.weight_orig"} : () -> tensor<6x8xf32>
  %k = "dry.weight"() {key = "fc.weight_mask"} : () -> tensor<6x8xf32>
  %e = tensor.empty() : tensor<6x8xf32>
  %p = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%k, %w : tensor<6x8xf32>, tensor<6x8xf32>) outs(%e : tensor<6x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %1 = arith.mulf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<6x8xf32>
  %q = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%m, %w : tensor<6x8xf32>, tensor<6x8xf32>) outs(%e : tensor<6x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %1 = arith.mulf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<6x8xf32>
  %y = "dry.matmul"(%x, %p) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x8xf32>, tensor<6x8xf32>) -> tensor<4x6xf32>
  %z = "dry.matmul"(%x, %q) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x8xf32>, tensor<6x8xf32>) -> tensor<4x6xf32>
  return %y, %z : tensor<4x6xf32>, tensor<4x6xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<4x8xf32>, %arg1: tensor<6x8xf32>) -> (tensor<4x6xf32>, tensor<4x6xf32>) {
    %0 = "dry.weight"() {key = "fc.weight_orig"} : () -> tensor<6x8xf32>
    %1 = tensor.empty() : tensor<6x8xf32>
    %2 = "dry.weight"() {key = "fc.weight.folded"} : () -> tensor<6x8xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg1, %0 : tensor<6x8xf32>, tensor<6x8xf32>) outs(%1 : tensor<6x8xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %6 = arith.mulf %in, %in_0 : f32
      linalg.yield %6 : f32
    } -> tensor<6x8xf32>
    %4 = "dry.matmul"(%arg0, %2) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<6x8xf32>) -> tensor<4x6xf32>
    %5 = "dry.matmul"(%arg0, %3) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<6x8xf32>) -> tensor<4x6xf32>
    return %4, %5 : tensor<4x6xf32>, tensor<4x6xf32>
  }
}

// case: a weight that is transposed first is read as it lies
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x6xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<6x8xf32>
  %e = tensor.empty() : tensor<8x6xf32>
  %t = linalg.transpose ins(%w : tensor<6x8xf32>) outs(%e : tensor<8x6xf32>) permutation = [1, 0]
  %y = "dry.matmul"(%x, %t) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x8xf32>, tensor<8x6xf32>) -> tensor<4x6xf32>
  return %y : tensor<4x6xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> tensor<4x6xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<6x8xf32>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<6x8xf32>) -> tensor<4x6xf32>
    return %1 : tensor<4x6xf32>
  }
}
