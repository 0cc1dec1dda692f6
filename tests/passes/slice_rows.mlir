// case: all but the last row of each, a bias and a residual
func.func @main(%x: tensor<2x5x8xf32>, %r: tensor<2x5x6xf32>, %b: tensor<6xf32>) -> tensor<2x4x6xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<6x8xf32>
  %y = "dry.matmul"(%x, %w, %b, %r) ({
  ^bb0(%a: f32, %c: f32, %d: f32):
    %p = arith.addf %a, %c : f32
    %q = arith.addf %p, %d : f32
    "dry.yield"(%q) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(n, i, j) -> (j)>, affine_map<(n, i, j) -> (n, i, j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>}
    : (tensor<2x5x8xf32>, tensor<6x8xf32>, tensor<6xf32>, tensor<2x5x6xf32>) -> tensor<2x5x6xf32>
  %z = tensor.extract_slice %y[0, 1, 0] [2, 4, 6] [1, 1, 1] : tensor<2x5x6xf32> to tensor<2x4x6xf32>
  return %z : tensor<2x4x6xf32>
}

// after:
#map = affine_map<(d0, d1, d2) -> (d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
module {
  func.func @main(%arg0: tensor<2x5x8xf32>, %arg1: tensor<2x5x6xf32>, %arg2: tensor<6xf32>) -> tensor<2x4x6xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<6x8xf32>
    %extracted_slice = tensor.extract_slice %arg0[0, 1, 0] [2, 4, 8] [1, 1, 1] : tensor<2x5x8xf32> to tensor<2x4x8xf32>
    %extracted_slice_0 = tensor.extract_slice %arg1[0, 1, 0] [2, 4, 6] [1, 1, 1] : tensor<2x5x6xf32> to tensor<2x4x6xf32>
    %1 = "dry.matmul"(%extracted_slice, %0, %arg2, %extracted_slice_0) ({
    ^bb0(%arg3: f32, %arg4: f32, %arg5: f32):
      %2 = arith.addf %arg3, %arg4 : f32
      %3 = arith.addf %2, %arg5 : f32
      "dry.yield"(%3) : (f32) -> ()
    }) {extra_maps = [#map, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x4x8xf32>, tensor<6x8xf32>, tensor<6xf32>, tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
    return %1 : tensor<2x4x6xf32>
  }
}

// case: one row of a number that is known at the call
func.func @main(%x: tensor<?x5x8xf32>) -> tensor<?x6xf32> {
  %zero = arith.constant 0 : index
  %n = tensor.dim %x, %zero : tensor<?x5x8xf32>
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x6xf32>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x5x8xf32>, tensor<8x6xf32>) -> tensor<?x5x6xf32>
  %z = tensor.extract_slice %y[0, 4, 0] [%n, 1, 6] [1, 1, 1] : tensor<?x5x6xf32> to tensor<?x6xf32>
  return %z : tensor<?x6xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<?x5x8xf32>) -> tensor<?x6xf32> {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x5x8xf32>
    %0 = "dry.weight"() {key = "w"} : () -> tensor<8x6xf32>
    %extracted_slice = tensor.extract_slice %arg0[0, 4, 0] [%dim, 1, 8] [1, 1, 1] : tensor<?x5x8xf32> to tensor<?x1x8xf32>
    %1 = "dry.matmul"(%extracted_slice, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<?x1x8xf32>, tensor<8x6xf32>) -> tensor<?x1x6xf32>
    %collapsed = tensor.collapse_shape %1 [[0, 1], [2]] : tensor<?x1x6xf32> into tensor<?x6xf32>
    return %collapsed : tensor<?x6xf32>
  }
}

// case: a product that something else reads, and a slice of columns, stay
func.func @main(%x: tensor<5x8xf32>) -> (tensor<5x6xf32>, tensor<4x6xf32>, tensor<4x3xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<6x8xf32>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<5x8xf32>, tensor<6x8xf32>) -> tensor<5x6xf32>
  %z = tensor.extract_slice %y[0, 0] [4, 6] [1, 1] : tensor<5x6xf32> to tensor<4x6xf32>
  %u = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    %m = arith.negf %a : f32
    "dry.yield"(%m) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<5x8xf32>, tensor<6x8xf32>) -> tensor<5x6xf32>
  %v = tensor.extract_slice %u[0, 0] [4, 3] [1, 1] : tensor<5x6xf32> to tensor<4x3xf32>
  return %y, %z, %v : tensor<5x6xf32>, tensor<4x6xf32>, tensor<4x3xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<5x8xf32>) -> (tensor<5x6xf32>, tensor<4x6xf32>, tensor<4x3xf32>) {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<6x8xf32>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<5x8xf32>, tensor<6x8xf32>) -> tensor<5x6xf32>
    %extracted_slice = tensor.extract_slice %1[0, 0] [4, 6] [1, 1] : tensor<5x6xf32> to tensor<4x6xf32>
    %2 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      %3 = arith.negf %arg1 : f32
      "dry.yield"(%3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<5x8xf32>, tensor<6x8xf32>) -> tensor<5x6xf32>
    %extracted_slice_0 = tensor.extract_slice %2[0, 0] [4, 3] [1, 1] : tensor<5x6xf32> to tensor<4x3xf32>
    return %1, %extracted_slice, %extracted_slice_0 : tensor<5x6xf32>, tensor<4x6xf32>, tensor<4x3xf32>
  }
}
