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
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>} : (tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>) -> tensor<2x2x6x4xf32>
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
    %7 = "dry.attention"(%expanded, %expanded_0, %expanded_1) {causal = true, layout = "bshd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>) -> tensor<2x6x2x4xf32>
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
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>} : (tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>) -> tensor<2x2x6x4xf32>
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
    %5 = "dry.attention"(%collapsed, %collapsed_7, %collapsed_8) {causal = false, layout = "bshd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>) -> tensor<2x6x2x4xf32>
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

// case: the joint projection of torch.nn.MultiheadAttention
#map = affine_map<(d0, d1, d2) -> (d1, d0, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map2 = affine_map<(d0, d1, d2) -> (d2)>
#map3 = affine_map<(d0, d1, d2, d3, d4) -> (d3, d1, d2, d0, d4)>
#map4 = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3, d4)>
#map5 = affine_map<(d0, d1, d2, d3) -> (d1, d2, d0, d3)>
#map6 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map7 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<2x6x8xf32>) -> tensor<2x6x8xf32> {
    %0 = "dry.weight"() {key = "a.in_proj_weight"} : () -> tensor<24x8xf32>
    %1 = "dry.weight"() {key = "a.in_proj_bias"} : () -> tensor<24xf32>
    %2 = "dry.weight"() {key = "a.out_proj.weight"} : () -> tensor<8x8xf32>
    %3 = "dry.weight"() {key = "a.out_proj.bias"} : () -> tensor<8xf32>
    %4 = tensor.empty() : tensor<6x2x8xf32>
    %5 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0 : tensor<2x6x8xf32>) outs(%4 : tensor<6x2x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<6x2x8xf32>
    %6 = "dry.matmul"(%5, %0, %1) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %19 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%19) : (f32) -> ()
    }) {extra_maps = [#map2], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<6x2x8xf32>, tensor<24x8xf32>, tensor<24xf32>) -> tensor<6x2x24xf32>
    %expanded = tensor.expand_shape %6 [[0, 1], [2], [3, 4]] output_shape [1, 6, 2, 3, 8] : tensor<6x2x24xf32> into tensor<1x6x2x3x8xf32>
    %7 = tensor.empty() : tensor<3x6x2x1x8xf32>
    %8 = linalg.generic {indexing_maps = [#map3, #map4], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%expanded : tensor<1x6x2x3x8xf32>) outs(%7 : tensor<3x6x2x1x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<3x6x2x1x8xf32>
    %collapsed = tensor.collapse_shape %8 [[0], [1], [2, 3], [4]] : tensor<3x6x2x1x8xf32> into tensor<3x6x2x8xf32>
    %extracted_slice = tensor.extract_slice %collapsed[0, 0, 0, 0] [1, 6, 2, 8] [1, 1, 1, 1] : tensor<3x6x2x8xf32> to tensor<1x6x2x8xf32>
    %extracted_slice_0 = tensor.extract_slice %collapsed[1, 0, 0, 0] [1, 6, 2, 8] [1, 1, 1, 1] : tensor<3x6x2x8xf32> to tensor<1x6x2x8xf32>
    %extracted_slice_1 = tensor.extract_slice %collapsed[2, 0, 0, 0] [1, 6, 2, 8] [1, 1, 1, 1] : tensor<3x6x2x8xf32> to tensor<1x6x2x8xf32>
    %collapsed_2 = tensor.collapse_shape %extracted_slice [[0, 1], [2, 3]] : tensor<1x6x2x8xf32> into tensor<6x16xf32>
    %expanded_3 = tensor.expand_shape %collapsed_2 [[0], [1, 2]] output_shape [6, 4, 4] : tensor<6x16xf32> into tensor<6x4x4xf32>
    %9 = tensor.empty() : tensor<4x6x4xf32>
    %10 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_3 : tensor<6x4x4xf32>) outs(%9 : tensor<4x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<4x6x4xf32>
    %collapsed_4 = tensor.collapse_shape %extracted_slice_0 [[0, 1], [2, 3]] : tensor<1x6x2x8xf32> into tensor<6x16xf32>
    %expanded_5 = tensor.expand_shape %collapsed_4 [[0], [1, 2]] output_shape [6, 4, 4] : tensor<6x16xf32> into tensor<6x4x4xf32>
    %11 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_5 : tensor<6x4x4xf32>) outs(%9 : tensor<4x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<4x6x4xf32>
    %collapsed_6 = tensor.collapse_shape %extracted_slice_1 [[0, 1], [2, 3]] : tensor<1x6x2x8xf32> into tensor<6x16xf32>
    %expanded_7 = tensor.expand_shape %collapsed_6 [[0], [1, 2]] output_shape [6, 4, 4] : tensor<6x16xf32> into tensor<6x4x4xf32>
    %12 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_7 : tensor<6x4x4xf32>) outs(%9 : tensor<4x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<4x6x4xf32>
    %expanded_8 = tensor.expand_shape %10 [[0, 1], [2], [3]] output_shape [2, 2, 6, 4] : tensor<4x6x4xf32> into tensor<2x2x6x4xf32>
    %expanded_9 = tensor.expand_shape %11 [[0, 1], [2], [3]] output_shape [2, 2, 6, 4] : tensor<4x6x4xf32> into tensor<2x2x6x4xf32>
    %expanded_10 = tensor.expand_shape %12 [[0, 1], [2], [3]] output_shape [2, 2, 6, 4] : tensor<4x6x4xf32> into tensor<2x2x6x4xf32>
    %13 = "dry.attention"(%expanded_8, %expanded_9, %expanded_10) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>) -> tensor<2x2x6x4xf32>
    %14 = tensor.empty() : tensor<6x2x2x4xf32>
    %15 = linalg.generic {indexing_maps = [#map5, #map6], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%13 : tensor<2x2x6x4xf32>) outs(%14 : tensor<6x2x2x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<6x2x2x4xf32>
    %collapsed_11 = tensor.collapse_shape %15 [[0, 1], [2, 3]] : tensor<6x2x2x4xf32> into tensor<12x8xf32>
    %16 = "dry.matmul"(%collapsed_11, %2, %3) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %19 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%19) : (f32) -> ()
    }) {extra_maps = [#map7], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<12x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<12x8xf32>
    %expanded_12 = tensor.expand_shape %16 [[0, 1], [2]] output_shape [6, 2, 8] : tensor<12x8xf32> into tensor<6x2x8xf32>
    %17 = tensor.empty() : tensor<2x6x8xf32>
    %18 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_12 : tensor<6x2x8xf32>) outs(%17 : tensor<2x6x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<2x6x8xf32>
    return %18 : tensor<2x6x8xf32>
  }
}

// after:
#map = affine_map<(d0, d1, d2) -> (d2)>
module {
  func.func @main(%arg0: tensor<2x6x8xf32>) -> tensor<2x6x8xf32> {
    %0 = "dry.weight"() {key = "a.in_proj_weight"} : () -> tensor<24x8xf32>
    %1 = "dry.weight"() {key = "a.in_proj_bias"} : () -> tensor<24xf32>
    %2 = "dry.weight"() {key = "a.out_proj.weight"} : () -> tensor<8x8xf32>
    %3 = "dry.weight"() {key = "a.out_proj.bias"} : () -> tensor<8xf32>
    %extracted_slice = tensor.extract_slice %1[16] [8] [1] : tensor<24xf32> to tensor<8xf32>
    %extracted_slice_0 = tensor.extract_slice %0[16, 0] [8, 8] [1, 1] : tensor<24x8xf32> to tensor<8x8xf32>
    %4 = "dry.matmul"(%arg0, %extracted_slice_0, %extracted_slice) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %9 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x6x8xf32>
    %extracted_slice_1 = tensor.extract_slice %1[8] [8] [1] : tensor<24xf32> to tensor<8xf32>
    %extracted_slice_2 = tensor.extract_slice %0[8, 0] [8, 8] [1, 1] : tensor<24x8xf32> to tensor<8x8xf32>
    %5 = "dry.matmul"(%arg0, %extracted_slice_2, %extracted_slice_1) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %9 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x6x8xf32>
    %extracted_slice_3 = tensor.extract_slice %1[0] [8] [1] : tensor<24xf32> to tensor<8xf32>
    %extracted_slice_4 = tensor.extract_slice %0[0, 0] [8, 8] [1, 1] : tensor<24x8xf32> to tensor<8x8xf32>
    %6 = "dry.matmul"(%arg0, %extracted_slice_4, %extracted_slice_3) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %9 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x6x8xf32>
    %expanded = tensor.expand_shape %6 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x2x4xf32>
    %expanded_5 = tensor.expand_shape %5 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x2x4xf32>
    %expanded_6 = tensor.expand_shape %4 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x2x4xf32>
    %7 = "dry.attention"(%expanded, %expanded_5, %expanded_6) {causal = false, layout = "bshd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>) -> tensor<2x6x2x4xf32>
    %collapsed = tensor.collapse_shape %7 [[0], [1], [2, 3]] : tensor<2x6x2x4xf32> into tensor<2x6x8xf32>
    %8 = "dry.matmul"(%collapsed, %2, %3) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %9 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x6x8xf32>
    return %8 : tensor<2x6x8xf32>
  }
}

// case: positions whose number is not known
#map = affine_map<(d0, d1, d2) -> (d1, d0, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map2 = affine_map<(d0, d1, d2) -> (d2)>
#map3 = affine_map<(d0, d1, d2, d3, d4) -> (d3, d1, d2, d0, d4)>
#map4 = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3, d4)>
#map5 = affine_map<(d0, d1, d2, d3) -> (d1, d2, d0, d3)>
#map6 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map7 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<2x?x8xf32>) -> tensor<2x?x8xf32> {
    %c1 = arith.constant 1 : index
    %0 = "dry.weight"() {key = "a.in_proj_weight"} : () -> tensor<24x8xf32>
    %1 = "dry.weight"() {key = "a.in_proj_bias"} : () -> tensor<24xf32>
    %2 = "dry.weight"() {key = "a.out_proj.weight"} : () -> tensor<8x8xf32>
    %3 = "dry.weight"() {key = "a.out_proj.bias"} : () -> tensor<8xf32>
    %dim = tensor.dim %arg0, %c1 : tensor<2x?x8xf32>
    %4 = tensor.empty(%dim) : tensor<?x2x8xf32>
    %5 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0 : tensor<2x?x8xf32>) outs(%4 : tensor<?x2x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<?x2x8xf32>
    %6 = "dry.matmul"(%5, %0, %1) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %19 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%19) : (f32) -> ()
    }) {extra_maps = [#map2], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<?x2x8xf32>, tensor<24x8xf32>, tensor<24xf32>) -> tensor<?x2x24xf32>
    %expanded = tensor.expand_shape %6 [[0, 1], [2], [3, 4]] output_shape [1, %dim, 2, 3, 8] : tensor<?x2x24xf32> into tensor<1x?x2x3x8xf32>
    %7 = tensor.empty(%dim) : tensor<3x?x2x1x8xf32>
    %8 = linalg.generic {indexing_maps = [#map3, #map4], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%expanded : tensor<1x?x2x3x8xf32>) outs(%7 : tensor<3x?x2x1x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<3x?x2x1x8xf32>
    %collapsed = tensor.collapse_shape %8 [[0], [1], [2, 3], [4]] : tensor<3x?x2x1x8xf32> into tensor<3x?x2x8xf32>
    %extracted_slice = tensor.extract_slice %collapsed[0, 0, 0, 0] [1, %dim, 2, 8] [1, 1, 1, 1] : tensor<3x?x2x8xf32> to tensor<?x2x8xf32>
    %extracted_slice_0 = tensor.extract_slice %collapsed[1, 0, 0, 0] [1, %dim, 2, 8] [1, 1, 1, 1] : tensor<3x?x2x8xf32> to tensor<?x2x8xf32>
    %extracted_slice_1 = tensor.extract_slice %collapsed[2, 0, 0, 0] [1, %dim, 2, 8] [1, 1, 1, 1] : tensor<3x?x2x8xf32> to tensor<?x2x8xf32>
    %collapsed_2 = tensor.collapse_shape %extracted_slice [[0], [1, 2]] : tensor<?x2x8xf32> into tensor<?x16xf32>
    %expanded_3 = tensor.expand_shape %collapsed_2 [[0], [1, 2]] output_shape [%dim, 4, 4] : tensor<?x16xf32> into tensor<?x4x4xf32>
    %9 = tensor.empty(%dim) : tensor<4x?x4xf32>
    %10 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_3 : tensor<?x4x4xf32>) outs(%9 : tensor<4x?x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<4x?x4xf32>
    %collapsed_4 = tensor.collapse_shape %extracted_slice_0 [[0], [1, 2]] : tensor<?x2x8xf32> into tensor<?x16xf32>
    %expanded_5 = tensor.expand_shape %collapsed_4 [[0], [1, 2]] output_shape [%dim, 4, 4] : tensor<?x16xf32> into tensor<?x4x4xf32>
    %11 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_5 : tensor<?x4x4xf32>) outs(%9 : tensor<4x?x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<4x?x4xf32>
    %collapsed_6 = tensor.collapse_shape %extracted_slice_1 [[0], [1, 2]] : tensor<?x2x8xf32> into tensor<?x16xf32>
    %expanded_7 = tensor.expand_shape %collapsed_6 [[0], [1, 2]] output_shape [%dim, 4, 4] : tensor<?x16xf32> into tensor<?x4x4xf32>
    %12 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_7 : tensor<?x4x4xf32>) outs(%9 : tensor<4x?x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<4x?x4xf32>
    %expanded_8 = tensor.expand_shape %10 [[0, 1], [2], [3]] output_shape [2, 2, %dim, 4] : tensor<4x?x4xf32> into tensor<2x2x?x4xf32>
    %expanded_9 = tensor.expand_shape %11 [[0, 1], [2], [3]] output_shape [2, 2, %dim, 4] : tensor<4x?x4xf32> into tensor<2x2x?x4xf32>
    %expanded_10 = tensor.expand_shape %12 [[0, 1], [2], [3]] output_shape [2, 2, %dim, 4] : tensor<4x?x4xf32> into tensor<2x2x?x4xf32>
    %13 = "dry.attention"(%expanded_8, %expanded_9, %expanded_10) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x2x?x4xf32>, tensor<2x2x?x4xf32>, tensor<2x2x?x4xf32>) -> tensor<2x2x?x4xf32>
    %14 = tensor.empty(%dim) : tensor<?x2x2x4xf32>
    %15 = linalg.generic {indexing_maps = [#map5, #map6], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%13 : tensor<2x2x?x4xf32>) outs(%14 : tensor<?x2x2x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<?x2x2x4xf32>
    %collapsed_11 = tensor.collapse_shape %15 [[0, 1], [2, 3]] : tensor<?x2x2x4xf32> into tensor<?x8xf32>
    %16 = "dry.matmul"(%collapsed_11, %2, %3) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %19 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%19) : (f32) -> ()
    }) {extra_maps = [#map7], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<?x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
    %expanded_12 = tensor.expand_shape %16 [[0, 1], [2]] output_shape [%dim, 2, 8] : tensor<?x8xf32> into tensor<?x2x8xf32>
    %17 = tensor.empty(%dim) : tensor<2x?x8xf32>
    %18 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_12 : tensor<?x2x8xf32>) outs(%17 : tensor<2x?x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<2x?x8xf32>
    return %18 : tensor<2x?x8xf32>
  }
}

// after:
#map = affine_map<(d0, d1, d2) -> (d2)>
module {
  func.func @main(%arg0: tensor<2x?x8xf32>) -> tensor<2x?x8xf32> {
    %c1 = arith.constant 1 : index
    %0 = "dry.weight"() {key = "a.in_proj_weight"} : () -> tensor<24x8xf32>
    %1 = "dry.weight"() {key = "a.in_proj_bias"} : () -> tensor<24xf32>
    %2 = "dry.weight"() {key = "a.out_proj.weight"} : () -> tensor<8x8xf32>
    %3 = "dry.weight"() {key = "a.out_proj.bias"} : () -> tensor<8xf32>
    %dim = tensor.dim %arg0, %c1 : tensor<2x?x8xf32>
    %extracted_slice = tensor.extract_slice %1[16] [8] [1] : tensor<24xf32> to tensor<8xf32>
    %extracted_slice_0 = tensor.extract_slice %0[16, 0] [8, 8] [1, 1] : tensor<24x8xf32> to tensor<8x8xf32>
    %4 = "dry.matmul"(%arg0, %extracted_slice_0, %extracted_slice) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %9 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x?x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x?x8xf32>
    %extracted_slice_1 = tensor.extract_slice %1[8] [8] [1] : tensor<24xf32> to tensor<8xf32>
    %extracted_slice_2 = tensor.extract_slice %0[8, 0] [8, 8] [1, 1] : tensor<24x8xf32> to tensor<8x8xf32>
    %5 = "dry.matmul"(%arg0, %extracted_slice_2, %extracted_slice_1) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %9 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x?x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x?x8xf32>
    %extracted_slice_3 = tensor.extract_slice %1[0] [8] [1] : tensor<24xf32> to tensor<8xf32>
    %extracted_slice_4 = tensor.extract_slice %0[0, 0] [8, 8] [1, 1] : tensor<24x8xf32> to tensor<8x8xf32>
    %6 = "dry.matmul"(%arg0, %extracted_slice_4, %extracted_slice_3) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %9 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x?x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x?x8xf32>
    %expanded = tensor.expand_shape %6 [[0], [1], [2, 3]] output_shape [2, %dim, 2, 4] : tensor<2x?x8xf32> into tensor<2x?x2x4xf32>
    %expanded_5 = tensor.expand_shape %5 [[0], [1], [2, 3]] output_shape [2, %dim, 2, 4] : tensor<2x?x8xf32> into tensor<2x?x2x4xf32>
    %expanded_6 = tensor.expand_shape %4 [[0], [1], [2, 3]] output_shape [2, %dim, 2, 4] : tensor<2x?x8xf32> into tensor<2x?x2x4xf32>
    %7 = "dry.attention"(%expanded, %expanded_5, %expanded_6) {causal = false, layout = "bshd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x?x2x4xf32>, tensor<2x?x2x4xf32>, tensor<2x?x2x4xf32>) -> tensor<2x?x2x4xf32>
    %collapsed = tensor.collapse_shape %7 [[0], [1], [2, 3]] : tensor<2x?x2x4xf32> into tensor<2x?x8xf32>
    %8 = "dry.matmul"(%collapsed, %2, %3) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %9 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x?x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x?x8xf32>
    return %8 : tensor<2x?x8xf32>
  }
}

// case: keys and values of one part of the weights
#map = affine_map<(d0, d1, d2) -> (d1, d0, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map2 = affine_map<(d0, d1, d2) -> (d2)>
#map3 = affine_map<(d0, d1, d2, d3, d4) -> (d3, d1, d2, d0, d4)>
#map4 = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3, d4)>
#map5 = affine_map<(d0, d1, d2, d3) -> (d1, d2, d0, d3)>
#map6 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map7 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<2x6x8xf32>, %arg1: tensor<2x5x8xf32>) -> tensor<2x6x8xf32> {
    %0 = "dry.weight"() {key = "a.in_proj_weight"} : () -> tensor<24x8xf32>
    %1 = "dry.weight"() {key = "a.in_proj_bias"} : () -> tensor<24xf32>
    %2 = "dry.weight"() {key = "a.out_proj.weight"} : () -> tensor<8x8xf32>
    %3 = "dry.weight"() {key = "a.out_proj.bias"} : () -> tensor<8xf32>
    %4 = tensor.empty() : tensor<6x2x8xf32>
    %5 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0 : tensor<2x6x8xf32>) outs(%4 : tensor<6x2x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<6x2x8xf32>
    %6 = tensor.empty() : tensor<5x2x8xf32>
    %7 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg1 : tensor<2x5x8xf32>) outs(%6 : tensor<5x2x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<5x2x8xf32>
    %extracted_slice = tensor.extract_slice %0[0, 0] [8, 8] [1, 1] : tensor<24x8xf32> to tensor<8x8xf32>
    %extracted_slice_0 = tensor.extract_slice %0[8, 0] [16, 8] [1, 1] : tensor<24x8xf32> to tensor<16x8xf32>
    %extracted_slice_1 = tensor.extract_slice %1[0] [8] [1] : tensor<24xf32> to tensor<8xf32>
    %extracted_slice_2 = tensor.extract_slice %1[8] [16] [1] : tensor<24xf32> to tensor<16xf32>
    %8 = "dry.matmul"(%5, %extracted_slice, %extracted_slice_1) ({
    ^bb0(%arg2: f32, %arg3: f32):
      %23 = arith.addf %arg2, %arg3 : f32
      "dry.yield"(%23) : (f32) -> ()
    }) {extra_maps = [#map2], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<6x2x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<6x2x8xf32>
    %9 = "dry.matmul"(%7, %extracted_slice_0, %extracted_slice_2) ({
    ^bb0(%arg2: f32, %arg3: f32):
      %23 = arith.addf %arg2, %arg3 : f32
      "dry.yield"(%23) : (f32) -> ()
    }) {extra_maps = [#map2], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<5x2x8xf32>, tensor<16x8xf32>, tensor<16xf32>) -> tensor<5x2x16xf32>
    %expanded = tensor.expand_shape %9 [[0, 1], [2], [3, 4]] output_shape [1, 5, 2, 2, 8] : tensor<5x2x16xf32> into tensor<1x5x2x2x8xf32>
    %10 = tensor.empty() : tensor<2x5x2x1x8xf32>
    %11 = linalg.generic {indexing_maps = [#map3, #map4], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%expanded : tensor<1x5x2x2x8xf32>) outs(%10 : tensor<2x5x2x1x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<2x5x2x1x8xf32>
    %collapsed = tensor.collapse_shape %11 [[0], [1], [2, 3], [4]] : tensor<2x5x2x1x8xf32> into tensor<2x5x2x8xf32>
    %extracted_slice_3 = tensor.extract_slice %collapsed[0, 0, 0, 0] [1, 5, 2, 8] [1, 1, 1, 1] : tensor<2x5x2x8xf32> to tensor<1x5x2x8xf32>
    %extracted_slice_4 = tensor.extract_slice %collapsed[1, 0, 0, 0] [1, 5, 2, 8] [1, 1, 1, 1] : tensor<2x5x2x8xf32> to tensor<1x5x2x8xf32>
    %collapsed_5 = tensor.collapse_shape %8 [[0], [1, 2]] : tensor<6x2x8xf32> into tensor<6x16xf32>
    %expanded_6 = tensor.expand_shape %collapsed_5 [[0], [1, 2]] output_shape [6, 4, 4] : tensor<6x16xf32> into tensor<6x4x4xf32>
    %12 = tensor.empty() : tensor<4x6x4xf32>
    %13 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_6 : tensor<6x4x4xf32>) outs(%12 : tensor<4x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<4x6x4xf32>
    %collapsed_7 = tensor.collapse_shape %extracted_slice_3 [[0, 1], [2, 3]] : tensor<1x5x2x8xf32> into tensor<5x16xf32>
    %expanded_8 = tensor.expand_shape %collapsed_7 [[0], [1, 2]] output_shape [5, 4, 4] : tensor<5x16xf32> into tensor<5x4x4xf32>
    %14 = tensor.empty() : tensor<4x5x4xf32>
    %15 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_8 : tensor<5x4x4xf32>) outs(%14 : tensor<4x5x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<4x5x4xf32>
    %collapsed_9 = tensor.collapse_shape %extracted_slice_4 [[0, 1], [2, 3]] : tensor<1x5x2x8xf32> into tensor<5x16xf32>
    %expanded_10 = tensor.expand_shape %collapsed_9 [[0], [1, 2]] output_shape [5, 4, 4] : tensor<5x16xf32> into tensor<5x4x4xf32>
    %16 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_10 : tensor<5x4x4xf32>) outs(%14 : tensor<4x5x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<4x5x4xf32>
    %expanded_11 = tensor.expand_shape %13 [[0, 1], [2], [3]] output_shape [2, 2, 6, 4] : tensor<4x6x4xf32> into tensor<2x2x6x4xf32>
    %expanded_12 = tensor.expand_shape %15 [[0, 1], [2], [3]] output_shape [2, 2, 5, 4] : tensor<4x5x4xf32> into tensor<2x2x5x4xf32>
    %expanded_13 = tensor.expand_shape %16 [[0, 1], [2], [3]] output_shape [2, 2, 5, 4] : tensor<4x5x4xf32> into tensor<2x2x5x4xf32>
    %17 = "dry.attention"(%expanded_11, %expanded_12, %expanded_13) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x2x6x4xf32>, tensor<2x2x5x4xf32>, tensor<2x2x5x4xf32>) -> tensor<2x2x6x4xf32>
    %18 = tensor.empty() : tensor<6x2x2x4xf32>
    %19 = linalg.generic {indexing_maps = [#map5, #map6], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%17 : tensor<2x2x6x4xf32>) outs(%18 : tensor<6x2x2x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<6x2x2x4xf32>
    %collapsed_14 = tensor.collapse_shape %19 [[0, 1], [2, 3]] : tensor<6x2x2x4xf32> into tensor<12x8xf32>
    %20 = "dry.matmul"(%collapsed_14, %2, %3) ({
    ^bb0(%arg2: f32, %arg3: f32):
      %23 = arith.addf %arg2, %arg3 : f32
      "dry.yield"(%23) : (f32) -> ()
    }) {extra_maps = [#map7], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<12x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<12x8xf32>
    %expanded_15 = tensor.expand_shape %20 [[0, 1], [2]] output_shape [6, 2, 8] : tensor<12x8xf32> into tensor<6x2x8xf32>
    %21 = tensor.empty() : tensor<2x6x8xf32>
    %22 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_15 : tensor<6x2x8xf32>) outs(%21 : tensor<2x6x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<2x6x8xf32>
    return %22 : tensor<2x6x8xf32>
  }
}

// after:
#map = affine_map<(d0, d1, d2) -> (d2)>
module {
  func.func @main(%arg0: tensor<2x6x8xf32>, %arg1: tensor<2x5x8xf32>) -> tensor<2x6x8xf32> {
    %0 = "dry.weight"() {key = "a.in_proj_weight"} : () -> tensor<24x8xf32>
    %1 = "dry.weight"() {key = "a.in_proj_bias"} : () -> tensor<24xf32>
    %2 = "dry.weight"() {key = "a.out_proj.weight"} : () -> tensor<8x8xf32>
    %3 = "dry.weight"() {key = "a.out_proj.bias"} : () -> tensor<8xf32>
    %extracted_slice = tensor.extract_slice %0[0, 0] [8, 8] [1, 1] : tensor<24x8xf32> to tensor<8x8xf32>
    %extracted_slice_0 = tensor.extract_slice %0[8, 0] [16, 8] [1, 1] : tensor<24x8xf32> to tensor<16x8xf32>
    %extracted_slice_1 = tensor.extract_slice %1[0] [8] [1] : tensor<24xf32> to tensor<8xf32>
    %extracted_slice_2 = tensor.extract_slice %1[8] [16] [1] : tensor<24xf32> to tensor<16xf32>
    %4 = "dry.matmul"(%arg0, %extracted_slice, %extracted_slice_1) ({
    ^bb0(%arg2: f32, %arg3: f32):
      %9 = arith.addf %arg2, %arg3 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x6x8xf32>
    %extracted_slice_3 = tensor.extract_slice %extracted_slice_2[8] [8] [1] : tensor<16xf32> to tensor<8xf32>
    %extracted_slice_4 = tensor.extract_slice %extracted_slice_0[8, 0] [8, 8] [1, 1] : tensor<16x8xf32> to tensor<8x8xf32>
    %5 = "dry.matmul"(%arg1, %extracted_slice_4, %extracted_slice_3) ({
    ^bb0(%arg2: f32, %arg3: f32):
      %9 = arith.addf %arg2, %arg3 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x5x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x5x8xf32>
    %extracted_slice_5 = tensor.extract_slice %extracted_slice_2[0] [8] [1] : tensor<16xf32> to tensor<8xf32>
    %extracted_slice_6 = tensor.extract_slice %extracted_slice_0[0, 0] [8, 8] [1, 1] : tensor<16x8xf32> to tensor<8x8xf32>
    %6 = "dry.matmul"(%arg1, %extracted_slice_6, %extracted_slice_5) ({
    ^bb0(%arg2: f32, %arg3: f32):
      %9 = arith.addf %arg2, %arg3 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x5x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x5x8xf32>
    %expanded = tensor.expand_shape %4 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xf32> into tensor<2x6x2x4xf32>
    %expanded_7 = tensor.expand_shape %6 [[0], [1], [2, 3]] output_shape [2, 5, 2, 4] : tensor<2x5x8xf32> into tensor<2x5x2x4xf32>
    %expanded_8 = tensor.expand_shape %5 [[0], [1], [2, 3]] output_shape [2, 5, 2, 4] : tensor<2x5x8xf32> into tensor<2x5x2x4xf32>
    %7 = "dry.attention"(%expanded, %expanded_7, %expanded_8) {causal = false, layout = "bshd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x6x2x4xf32>, tensor<2x5x2x4xf32>, tensor<2x5x2x4xf32>) -> tensor<2x6x2x4xf32>
    %collapsed = tensor.collapse_shape %7 [[0], [1], [2, 3]] : tensor<2x6x2x4xf32> into tensor<2x6x8xf32>
    %8 = "dry.matmul"(%collapsed, %2, %3) ({
    ^bb0(%arg2: f32, %arg3: f32):
      %9 = arith.addf %arg2, %arg3 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<2x6x8xf32>
    return %8 : tensor<2x6x8xf32>
  }
}

// case: moved rows that are joined before they are moved back
func.func @main(%x: tensor<2x6x8xf32>) -> tensor<8x12xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x8xf32>
  %te = tensor.empty() : tensor<6x2x8xf32>
  %t = linalg.generic {
    indexing_maps = [affine_map<(i, j, k) -> (j, i, k)>, affine_map<(i, j, k) -> (i, j, k)>],
    iterator_types = ["parallel", "parallel", "parallel"]
  } ins(%x : tensor<2x6x8xf32>) outs(%te : tensor<6x2x8xf32>) {
  ^bb0(%p: f32, %o: f32):
    linalg.yield %p : f32
  } -> tensor<6x2x8xf32>
  %y = "dry.matmul"(%t, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<6x2x8xf32>, tensor<8x8xf32>) -> tensor<6x2x8xf32>
  %c = tensor.collapse_shape %y [[0, 1], [2]] : tensor<6x2x8xf32> into tensor<12x8xf32>
  %ue = tensor.empty() : tensor<8x12xf32>
  %u = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%c : tensor<12x8xf32>) outs(%ue : tensor<8x12xf32>) {
  ^bb0(%p: f32, %o: f32):
    linalg.yield %p : f32
  } -> tensor<8x12xf32>
  return %u : tensor<8x12xf32>
}

// after:
#map = affine_map<(d0, d1, d2) -> (d1, d0, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map2 = affine_map<(d0, d1) -> (d1, d0)>
#map3 = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<2x6x8xf32>) -> tensor<8x12xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<8x8xf32>
    %1 = tensor.empty() : tensor<6x2x8xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0 : tensor<2x6x8xf32>) outs(%1 : tensor<6x2x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<6x2x8xf32>
    %3 = "dry.matmul"(%2, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<6x2x8xf32>, tensor<8x8xf32>) -> tensor<6x2x8xf32>
    %collapsed = tensor.collapse_shape %3 [[0, 1], [2]] : tensor<6x2x8xf32> into tensor<12x8xf32>
    %4 = tensor.empty() : tensor<8x12xf32>
    %5 = linalg.generic {indexing_maps = [#map2, #map3], iterator_types = ["parallel", "parallel"]} ins(%collapsed : tensor<12x8xf32>) outs(%4 : tensor<8x12xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<8x12xf32>
    return %5 : tensor<8x12xf32>
  }
}

// case: queries, keys and values of bf16, computed with as f32
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1) -> (d0, d1)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d2, d1, d3)>
#map3 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<2x6x8xbf16>) -> tensor<2x6x8xbf16> {
    %0 = "dry.weight"() {key = "q.weight"} : () -> tensor<8x8xbf16>
    %1 = tensor.empty() : tensor<2x6x8xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0 : tensor<2x6x8xbf16>) outs(%1 : tensor<2x6x8xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %16 = arith.extf %in : bf16 to f32
      linalg.yield %16 : f32
    } -> tensor<2x6x8xf32>
    %3 = tensor.empty() : tensor<8x8xf32>
    %4 = linalg.generic {indexing_maps = [#map1, #map1], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<8x8xbf16>) outs(%3 : tensor<8x8xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %16 = arith.extf %in : bf16 to f32
      linalg.yield %16 : f32
    } -> tensor<8x8xf32>
    %5 = "dry.matmul"(%2, %4) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>) -> tensor<2x6x8xf32>
    %6 = tensor.empty() : tensor<2x6x8xbf16>
    %7 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%5 : tensor<2x6x8xf32>) outs(%6 : tensor<2x6x8xbf16>) {
    ^bb0(%in: f32, %out: bf16):
      %16 = arith.truncf %in : f32 to bf16
      linalg.yield %16 : bf16
    } -> tensor<2x6x8xbf16>
    %expanded = tensor.expand_shape %7 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xbf16> into tensor<2x6x2x4xbf16>
    %8 = tensor.empty() : tensor<2x2x6x4xbf16>
    %9 = linalg.generic {indexing_maps = [#map2, #map3], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded : tensor<2x6x2x4xbf16>) outs(%8 : tensor<2x2x6x4xbf16>) {
    ^bb0(%in: bf16, %out: bf16):
      linalg.yield %in : bf16
    } -> tensor<2x2x6x4xbf16>
    %10 = tensor.empty() : tensor<2x2x6x4xf32>
    %11 = linalg.generic {indexing_maps = [#map3, #map3], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%9 : tensor<2x2x6x4xbf16>) outs(%10 : tensor<2x2x6x4xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %16 = arith.extf %in : bf16 to f32
      linalg.yield %16 : f32
    } -> tensor<2x2x6x4xf32>
    %12 = "dry.attention"(%11, %11, %11) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>) -> tensor<2x2x6x4xf32>
    %13 = linalg.generic {indexing_maps = [#map3, #map3], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%12 : tensor<2x2x6x4xf32>) outs(%8 : tensor<2x2x6x4xbf16>) {
    ^bb0(%in: f32, %out: bf16):
      %16 = arith.truncf %in : f32 to bf16
      linalg.yield %16 : bf16
    } -> tensor<2x2x6x4xbf16>
    %14 = tensor.empty() : tensor<2x6x2x4xbf16>
    %15 = linalg.generic {indexing_maps = [#map2, #map3], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%13 : tensor<2x2x6x4xbf16>) outs(%14 : tensor<2x6x2x4xbf16>) {
    ^bb0(%in: bf16, %out: bf16):
      linalg.yield %in : bf16
    } -> tensor<2x6x2x4xbf16>
    %collapsed = tensor.collapse_shape %15 [[0], [1], [2, 3]] : tensor<2x6x2x4xbf16> into tensor<2x6x8xbf16>
    return %collapsed : tensor<2x6x8xbf16>
  }
}

// after:
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1) -> (d0, d1)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<2x6x8xbf16>) -> tensor<2x6x8xbf16> {
    %0 = "dry.weight"() {key = "q.weight"} : () -> tensor<8x8xbf16>
    %1 = tensor.empty() : tensor<2x6x8xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0 : tensor<2x6x8xbf16>) outs(%1 : tensor<2x6x8xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %13 = arith.extf %in : bf16 to f32
      linalg.yield %13 : f32
    } -> tensor<2x6x8xf32>
    %3 = tensor.empty() : tensor<8x8xf32>
    %4 = linalg.generic {indexing_maps = [#map1, #map1], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<8x8xbf16>) outs(%3 : tensor<8x8xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %13 = arith.extf %in : bf16 to f32
      linalg.yield %13 : f32
    } -> tensor<8x8xf32>
    %5 = "dry.matmul"(%2, %4) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x6x8xf32>, tensor<8x8xf32>) -> tensor<2x6x8xf32>
    %6 = tensor.empty() : tensor<2x6x8xbf16>
    %7 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%5 : tensor<2x6x8xf32>) outs(%6 : tensor<2x6x8xbf16>) {
    ^bb0(%in: f32, %out: bf16):
      %13 = arith.truncf %in : f32 to bf16
      linalg.yield %13 : bf16
    } -> tensor<2x6x8xbf16>
    %expanded = tensor.expand_shape %7 [[0], [1], [2, 3]] output_shape [2, 6, 2, 4] : tensor<2x6x8xbf16> into tensor<2x6x2x4xbf16>
    %8 = tensor.empty() : tensor<2x6x2x4xf32>
    %9 = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded : tensor<2x6x2x4xbf16>) outs(%8 : tensor<2x6x2x4xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %13 = arith.extf %in : bf16 to f32
      linalg.yield %13 : f32
    } -> tensor<2x6x2x4xf32>
    %10 = "dry.attention"(%9, %9, %9) {causal = false, layout = "bshd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32>) -> tensor<2x6x2x4xf32>
    %11 = tensor.empty() : tensor<2x6x2x4xbf16>
    %12 = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%10 : tensor<2x6x2x4xf32>) outs(%11 : tensor<2x6x2x4xbf16>) {
    ^bb0(%in: f32, %out: bf16):
      %13 = arith.truncf %in : f32 to bf16
      linalg.yield %13 : bf16
    } -> tensor<2x6x2x4xbf16>
    %collapsed = tensor.collapse_shape %12 [[0], [1], [2, 3]] : tensor<2x6x2x4xbf16> into tensor<2x6x8xbf16>
    return %collapsed : tensor<2x6x8xbf16>
  }
}
