// case: attention between projections
func.func @main(%x: tensor<2x6x8xf32>) -> tensor<2x6x8xf32> {
  %s = "dry.weight"() {key = "s"} : () -> tensor<8x8xf32>
  %t = "dry.weight"() {key = "t"} : () -> tensor<8x8xf32>
  %u = "dry.weight"() {key = "u"} : () -> tensor<8x8xf32>
  %vw = "dry.weight"() {key = "vw"} : () -> tensor<8x8xf32>
  %q0 = "dry.matmul"(%x, %s) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<2x6x8xf32>, tensor<8x8xf32>) -> tensor<2x6x8xf32>
  %q0x = tensor.expand_shape %q0 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x2x4xf32>
  %qe = tensor.empty() : tensor<2x2x6x4xf32>
  %q = linalg.generic {
    indexing_maps = [affine_map<(i, j, k, l) -> (i, k, j, l)>, affine_map<(i, j, k, l) -> (i, j, k, l)>],
    iterator_types = ["parallel", "parallel", "parallel", "parallel"]
  } ins(%q0x : tensor<2x6x2x4xf32>) outs(%qe : tensor<2x2x6x4xf32>) {
  ^bb0(%p: f32, %o: f32):
    linalg.yield %p : f32
  } -> tensor<2x2x6x4xf32>
  %k0 = "dry.matmul"(%x, %t) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<2x6x8xf32>, tensor<8x8xf32>) -> tensor<2x6x8xf32>
  %k0x = tensor.expand_shape %k0 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x2x4xf32>
  %ke = tensor.empty() : tensor<2x2x6x4xf32>
  %k = linalg.generic {
    indexing_maps = [affine_map<(i, j, k, l) -> (i, k, j, l)>, affine_map<(i, j, k, l) -> (i, j, k, l)>],
    iterator_types = ["parallel", "parallel", "parallel", "parallel"]
  } ins(%k0x : tensor<2x6x2x4xf32>) outs(%ke : tensor<2x2x6x4xf32>) {
  ^bb0(%p: f32, %o: f32):
    linalg.yield %p : f32
  } -> tensor<2x2x6x4xf32>
  %v0 = "dry.matmul"(%x, %u) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<2x6x8xf32>, tensor<8x8xf32>) -> tensor<2x6x8xf32>
  %v0x = tensor.expand_shape %v0 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x2x4xf32>
  %ve = tensor.empty() : tensor<2x2x6x4xf32>
  %v = linalg.generic {
    indexing_maps = [affine_map<(i, j, k, l) -> (i, k, j, l)>, affine_map<(i, j, k, l) -> (i, j, k, l)>],
    iterator_types = ["parallel", "parallel", "parallel", "parallel"]
  } ins(%v0x : tensor<2x6x2x4xf32>) outs(%ve : tensor<2x2x6x4xf32>) {
  ^bb0(%p: f32, %o: f32):
    linalg.yield %p : f32
  } -> tensor<2x2x6x4xf32>
  %y = "dry.attention"(%q, %k, %v) {scale = 0.5 : f64, causal = true, sinks = 0 : i64, tile = [], layout = "bhsd",
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0>} : (tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>) -> tensor<2x2x6x4xf32>
  %ze = tensor.empty() : tensor<2x6x2x4xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(i, j, k, l) -> (i, k, j, l)>, affine_map<(i, j, k, l) -> (i, j, k, l)>],
    iterator_types = ["parallel", "parallel", "parallel", "parallel"]
  } ins(%y : tensor<2x2x6x4xf32>) outs(%ze : tensor<2x6x2x4xf32>) {
  ^bb0(%p: f32, %o: f32):
    linalg.yield %p : f32
  } -> tensor<2x6x2x4xf32>
  %c = tensor.collapse_shape %z [[0], [1], [2, 3]] : tensor<2x6x2x4xf32> into tensor<2x6x8xf32>
  %r = "dry.matmul"(%c, %vw) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<2x6x8xf32>, tensor<8x8xf32>) -> tensor<2x6x8xf32>
  return %r : tensor<2x6x8xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<2x6x8xf32>) -> tensor<2x6x8xf32> {
    %0 = "dry.weight"() {key = "s"} : () -> tensor<8x8xf32>
    %1 = "dry.weight"() {key = "t"} : () -> tensor<8x8xf32>
    %2 = "dry.weight"() {key = "u"} : () -> tensor<8x8xf32>
    %3 = "dry.weight"() {key = "vw"} : () -> tensor<8x8xf32>
    %4 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>) -> tensor<2x6x8xf32>
    %expanded = tensor.expand_shape %4 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x2x4xf32>
    %5 = "dry.matmul"(%arg0, %1) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>) -> tensor<2x6x8xf32>
    %expanded_0 = tensor.expand_shape %5 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x2x4xf32>
    %6 = "dry.matmul"(%arg0, %2) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>) -> tensor<2x6x8xf32>
    %expanded_1 = tensor.expand_shape %6 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x2x4xf32>
    %7 = "dry.attention"(%expanded, %expanded_0, %expanded_1) {causal = true, layout = "bshd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>) -> tensor<2x6x2x4xf32>
    %collapsed = tensor.collapse_shape %7 [[0], [1], [2, 3]] : tensor<2x6x2x4xf32> into tensor<2x6x8xf32>
    %8 = "dry.matmul"(%collapsed, %3) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>) -> tensor<2x6x8xf32>
    return %8 : tensor<2x6x8xf32>
  }
}

// case: queries, keys and values of one product
func.func @main(%x: tensor<2x6x8xf32>) -> tensor<2x2x6x4xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<24x8xf32>
  %b0 = "dry.weight"() {key = "b0"} : () -> tensor<24xf32>
  %y = "dry.matmul"(%x, %w, %b0) ({
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j, k) -> (k)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<2x6x8xf32>, tensor<24x8xf32>, tensor<24xf32>) -> tensor<2x6x24xf32>
  %e = tensor.expand_shape %y [[0], [1], [2, 3, 4]] output_shape [2, 6, 3, 2, 4] : tensor<2x6x24xf32> into tensor<2x6x3x2x4xf32>
  %te = tensor.empty() : tensor<3x2x2x6x4xf32>
  %t = linalg.generic {
    indexing_maps = [affine_map<(i, j, k, l, m) -> (j, l, i, k, m)>, affine_map<(i, j, k, l, m) -> (i, j, k, l, m)>],
    iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]
  } ins(%e : tensor<2x6x3x2x4xf32>) outs(%te : tensor<3x2x2x6x4xf32>) {
  ^bb0(%p: f32, %o: f32):
    linalg.yield %p : f32
  } -> tensor<3x2x2x6x4xf32>
  %qs = tensor.extract_slice %t[0, 0, 0, 0, 0] [1, 2, 2, 6, 4] [1, 1, 1, 1, 1] : tensor<3x2x2x6x4xf32> to tensor<1x2x2x6x4xf32>
  %q = tensor.collapse_shape %qs [[0, 1], [2], [3], [4]] : tensor<1x2x2x6x4xf32> into tensor<2x2x6x4xf32>
  %ks = tensor.extract_slice %t[1, 0, 0, 0, 0] [1, 2, 2, 6, 4] [1, 1, 1, 1, 1] : tensor<3x2x2x6x4xf32> to tensor<1x2x2x6x4xf32>
  %k = tensor.collapse_shape %ks [[0, 1], [2], [3], [4]] : tensor<1x2x2x6x4xf32> into tensor<2x2x6x4xf32>
  %vs = tensor.extract_slice %t[2, 0, 0, 0, 0] [1, 2, 2, 6, 4] [1, 1, 1, 1, 1] : tensor<3x2x2x6x4xf32> to tensor<1x2x2x6x4xf32>
  %v = tensor.collapse_shape %vs [[0, 1], [2], [3], [4]] : tensor<1x2x2x6x4xf32> into tensor<2x2x6x4xf32>
  %z = "dry.attention"(%q, %k, %v) {scale = 0.5 : f64, causal = false, sinks = 0 : i64, tile = [], layout = "bhsd",
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0>} : (tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>) -> tensor<2x2x6x4xf32>
  return %z : tensor<2x2x6x4xf32>
}

// after:
#map = affine_map<(d0, d1, d2) -> (d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d2, d1, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<2x6x8xf32>) -> tensor<2x2x6x4xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<24x8xf32>
    %1 = "dry.weight"() {key = "b0"} : () -> tensor<24xf32>
    %extracted_slice = tensor.extract_slice %1[16] [8] [1] : tensor<24xf32> to tensor<8xf32>
    %extracted_slice_0 = tensor.extract_slice %0[16, 0] [8, 8] [1, 1] : tensor<24x8xf32> to tensor<8x8xf32>
    %2 = "dry.matmul"(%arg0, %extracted_slice_0, %extracted_slice) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %8 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%8) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x6x8xf32>
    %extracted_slice_1 = tensor.extract_slice %1[8] [8] [1] : tensor<24xf32> to tensor<8xf32>
    %extracted_slice_2 = tensor.extract_slice %0[8, 0] [8, 8] [1, 1] : tensor<24x8xf32> to tensor<8x8xf32>
    %3 = "dry.matmul"(%arg0, %extracted_slice_2, %extracted_slice_1) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %8 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%8) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x6x8xf32>
    %extracted_slice_3 = tensor.extract_slice %1[0] [8] [1] : tensor<24xf32> to tensor<8xf32>
    %extracted_slice_4 = tensor.extract_slice %0[0, 0] [8, 8] [1, 1] : tensor<24x8xf32> to tensor<8x8xf32>
    %4 = "dry.matmul"(%arg0, %extracted_slice_4, %extracted_slice_3) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %8 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%8) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x6x8xf32>
    %expanded = tensor.expand_shape %4 [[0], [1], [2, 3, 4]] output_shape [2, 6, 1, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x1x2x4xf32>
    %expanded_5 = tensor.expand_shape %3 [[0], [1], [2, 3, 4]] output_shape [2, 6, 1, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x1x2x4xf32>
    %expanded_6 = tensor.expand_shape %2 [[0], [1], [2, 3, 4]] output_shape [2, 6, 1, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x1x2x4xf32>
    %collapsed = tensor.collapse_shape %expanded [[0], [1, 2], [3], [4]] : tensor<2x6x1x2x4xf32> into tensor<2x6x2x4xf32>
    %collapsed_7 = tensor.collapse_shape %expanded_5 [[0], [1, 2], [3], [4]] : tensor<2x6x1x2x4xf32> into tensor<2x6x2x4xf32>
    %collapsed_8 = tensor.collapse_shape %expanded_6 [[0], [1, 2], [3], [4]] : tensor<2x6x1x2x4xf32> into tensor<2x6x2x4xf32>
    %5 = "dry.attention"(%collapsed, %collapsed_7, %collapsed_8) {causal = false, layout = "bshd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>) -> tensor<2x6x2x4xf32>
    %6 = tensor.empty() : tensor<2x2x6x4xf32>
    %7 = linalg.generic {indexing_maps = [#map1, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%5 : tensor<2x6x2x4xf32>) outs(%6 : tensor<2x2x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<2x2x6x4xf32>
    return %7 : tensor<2x2x6x4xf32>
  }
}

// case: a swapped b
func.func @main(%x: tensor<4x8xf32>, %u: tensor<6x8xf32>) -> tensor<4x6xf32> {
  %te = tensor.empty() : tensor<8x6xf32>
  %t = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%u : tensor<6x8xf32>) outs(%te : tensor<8x6xf32>) {
  ^bb0(%p: f32, %o: f32):
    linalg.yield %p : f32
  } -> tensor<8x6xf32>
  %y = "dry.matmul"(%x, %t) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<8x6xf32>) -> tensor<4x6xf32>
  return %y : tensor<4x6xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x8xf32>, %arg1: tensor<6x8xf32>) -> tensor<4x6xf32> {
    %0 = "dry.matmul"(%arg0, %arg1) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<6x8xf32>) -> tensor<4x6xf32>
    return %0 : tensor<4x6xf32>
  }
}
