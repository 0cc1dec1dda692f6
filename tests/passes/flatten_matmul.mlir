// case: an extra along all rows, one along the columns
func.func @main(%x: tensor<?x6x8xf32>, %r: tensor<?x6x16xf32>) -> tensor<?x6x16xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
  %b0 = "dry.weight"() {key = "b0"} : () -> tensor<1x1x16xf32>
  %y = "dry.matmul"(%x, %w, %r, %b0) ({
  ^bb0(%a: f32, %b: f32, %c: f32):
    %s = arith.addf %a, %b : f32
    %t = arith.mulf %s, %c : f32
    "dry.yield"(%t) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (0, 0, k)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x6x8xf32>, tensor<16x8xf32>, tensor<?x6x16xf32>, tensor<1x1x16xf32>) -> tensor<?x6x16xf32>
  return %y : tensor<?x6x16xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<?x6x8xf32>, %arg1: tensor<?x6x16xf32>) -> tensor<?x6x16xf32> {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x6x8xf32>
    %0 = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
    %1 = "dry.weight"() {key = "b0"} : () -> tensor<1x1x16xf32>
    %collapsed = tensor.collapse_shape %arg0 [[0, 1], [2]] : tensor<?x6x8xf32> into tensor<?x8xf32>
    %collapsed_0 = tensor.collapse_shape %arg1 [[0, 1], [2]] : tensor<?x6x16xf32> into tensor<?x16xf32>
    %collapsed_1 = tensor.collapse_shape %1 [[0, 1, 2]] : tensor<1x1x16xf32> into tensor<16xf32>
    %2 = "dry.matmul"(%collapsed, %0, %collapsed_0, %collapsed_1) ({
    ^bb0(%arg2: f32, %arg3: f32, %arg4: f32):
      %3 = arith.addf %arg2, %arg3 : f32
      %4 = arith.mulf %3, %arg4 : f32
      "dry.yield"(%4) : (f32) -> ()
    }) {extra_maps = [#map, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<?x8xf32>, tensor<16x8xf32>, tensor<?x16xf32>, tensor<16xf32>) -> tensor<?x16xf32>
    %expanded = tensor.expand_shape %2 [[0, 1], [2]] output_shape [%dim, 6, 16] : tensor<?x16xf32> into tensor<?x6x16xf32>
    return %expanded : tensor<?x6x16xf32>
  }
}

// case: not with an extra along some of the rows
func.func @main(%x: tensor<2x6x8xf32>, %r: tensor<6x16xf32>) -> tensor<2x6x16xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
  %y = "dry.matmul"(%x, %w, %r) ({
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j, k) -> (j, k)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<2x6x8xf32>, tensor<16x8xf32>, tensor<6x16xf32>) -> tensor<2x6x16xf32>
  return %y : tensor<2x6x16xf32>
}

// after:
#map = affine_map<(d0, d1, d2) -> (d1, d2)>
module {
  func.func @main(%arg0: tensor<2x6x8xf32>, %arg1: tensor<6x16xf32>) -> tensor<2x6x16xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
    %1 = "dry.matmul"(%arg0, %0, %arg1) ({
    ^bb0(%arg2: f32, %arg3: f32):
      %2 = arith.addf %arg2, %arg3 : f32
      "dry.yield"(%2) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<16x8xf32>, tensor<6x16xf32>) -> tensor<2x6x16xf32>
    return %1 : tensor<2x6x16xf32>
  }
}

// case: one row, beside which a residual is one row too
func.func @main(%x: tensor<1x1x8xf32>, %r: tensor<1x1x16xf32>) -> tensor<1x1x16xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
  %y = "dry.matmul"(%x, %w, %r) ({
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j, k) -> (i, j, k)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x1x8xf32>, tensor<16x8xf32>, tensor<1x1x16xf32>) -> tensor<1x1x16xf32>
  return %y : tensor<1x1x16xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<1x1x8xf32>, %arg1: tensor<1x1x16xf32>) -> tensor<1x1x16xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
    %collapsed = tensor.collapse_shape %arg0 [[0, 1], [2]] : tensor<1x1x8xf32> into tensor<1x8xf32>
    %collapsed_0 = tensor.collapse_shape %arg1 [[0, 1], [2]] : tensor<1x1x16xf32> into tensor<1x16xf32>
    %1 = "dry.matmul"(%collapsed, %0, %collapsed_0) ({
    ^bb0(%arg2: f32, %arg3: f32):
      %2 = arith.addf %arg2, %arg3 : f32
      "dry.yield"(%2) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<1x8xf32>, tensor<16x8xf32>, tensor<1x16xf32>) -> tensor<1x16xf32>
    %expanded = tensor.expand_shape %1 [[0, 1], [2]] output_shape [1, 1, 16] : tensor<1x16xf32> into tensor<1x1x16xf32>
    return %expanded : tensor<1x1x16xf32>
  }
}
