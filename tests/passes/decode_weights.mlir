// case: a weight in groups, one kept short, one that is both copied and read
func.func @main(%x: tensor<4x32xf32>) -> (tensor<4x16xf32>, tensor<4x16xf32>, tensor<16x32xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>
  %v = "dry.weight"() {key = "v"} : () -> tensor<16x32xf32, #dry.enc<"bf16", unit, unit>>
  %e = tensor.empty() : tensor<16x32xf32>
  %p = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%w : tensor<16x32xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>)
      outs(%e : tensor<16x32xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  } -> tensor<16x32xf32>
  %q = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%v : tensor<16x32xf32, #dry.enc<"bf16", unit, unit>>)
      outs(%e : tensor<16x32xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  } -> tensor<16x32xf32>
  %out_a = "dry.matmul"(%x, %p) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x32xf32>, tensor<16x32xf32>) -> tensor<4x16xf32>
  %out_b = "dry.matmul"(%x, %v) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x32xf32>, tensor<16x32xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<4x16xf32>
  return %out_a, %out_b, %q : tensor<4x16xf32>, tensor<4x16xf32>, tensor<16x32xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x32xf32>) -> (tensor<4x16xf32>, tensor<4x16xf32>, tensor<16x32xf32>) {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>
    %1 = "dry.weight"() {key = "v.decoded"} : () -> tensor<16x32xf32>
    %2 = "dry.weight"() {key = "v"} : () -> tensor<16x32xf32, #dry.enc<"bf16", unit, unit>>
    %3 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xf32>, tensor<16x32xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>) -> tensor<4x16xf32>
    %4 = "dry.matmul"(%arg0, %2) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xf32>, tensor<16x32xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<4x16xf32>
    return %3, %4, %1 : tensor<4x16xf32>, tensor<4x16xf32>, tensor<16x32xf32>
  }
}

// case: a product that reads what is held in encodings of two levels
func.func @main(%x: tensor<4x32xf32>) -> tensor<4x16xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.permuted<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>, 1>>
  %out = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x32xf32>, tensor<16x32xf32, #dry.permuted<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>, 1>>) -> tensor<4x16xf32>
  return %out : tensor<4x16xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x32xf32>) -> tensor<4x16xf32> {
    %0 = "dry.weight"() {key = "w.decoded"} : () -> tensor<16x32xf32>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xf32>, tensor<16x32xf32>) -> tensor<4x16xf32>
    return %1 : tensor<4x16xf32>
  }
}

// case: one that a product and a lookup read, one in an order of its own
func.func @main(%x: tensor<4x32xf32>, %i: tensor<3xi64>) -> (tensor<4x16xf32>, tensor<4x16xf32>, tensor<3x32xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>
  %v = "dry.weight"() {key = "v"} : () -> tensor<16x32xf32, #dry.permuted<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>, 1>>
  %e = tensor.empty() : tensor<16x32xf32>
  %p = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%w : tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>) outs(%e : tensor<16x32xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  } -> tensor<16x32xf32>
  %q = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%v : tensor<16x32xf32, #dry.permuted<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>, 1>>) outs(%e : tensor<16x32xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  } -> tensor<16x32xf32>
  %out_a = "dry.matmul"(%x, %p) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x32xf32>, tensor<16x32xf32>) -> tensor<4x16xf32>
  %out_b = "dry.matmul"(%x, %q) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x32xf32>, tensor<16x32xf32>) -> tensor<4x16xf32>
  %out_c = "dry.embedding"(%p, %i) : (tensor<16x32xf32>, tensor<3xi64>) -> tensor<3x32xf32>
  return %out_a, %out_b, %out_c : tensor<4x16xf32>, tensor<4x16xf32>, tensor<3x32xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x32xf32>, %arg1: tensor<3xi64>) -> (tensor<4x16xf32>, tensor<4x16xf32>, tensor<3x32xf32>) {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>
    %1 = "dry.weight"() {key = "v.decoded"} : () -> tensor<16x32xf32>
    %2 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xf32>, tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>) -> tensor<4x16xf32>
    %3 = "dry.matmul"(%arg0, %1) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xf32>, tensor<16x32xf32>) -> tensor<4x16xf32>
    %4 = "dry.embedding"(%0, %arg1) : (tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>, tensor<3xi64>) -> tensor<3x32xf32>
    return %2, %3, %4 : tensor<4x16xf32>, tensor<4x16xf32>, tensor<3x32xf32>
  }
}

// case: one that a lookup reads, one that a map reads besides
func.func @main(%i: tensor<3xi64>) -> (tensor<3x32xf32>, tensor<3x32xf32>, tensor<16x32xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>
  %v = "dry.weight"() {key = "v"} : () -> tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>
  %e = tensor.empty() : tensor<16x32xf32>
  %p = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%v : tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>) outs(%e : tensor<16x32xf32>) {
  ^bb0(%a: f32, %b: f32):
    %d = arith.addf %a, %a : f32
    linalg.yield %d : f32
  } -> tensor<16x32xf32>
  %out_a = "dry.embedding"(%w, %i) : (tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>, tensor<3xi64>) -> tensor<3x32xf32>
  %out_b = "dry.embedding"(%v, %i) : (tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>, tensor<3xi64>) -> tensor<3x32xf32>
  return %out_a, %out_b, %p : tensor<3x32xf32>, tensor<3x32xf32>, tensor<16x32xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<3xi64>) -> (tensor<3x32xf32>, tensor<3x32xf32>, tensor<16x32xf32>) {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>
    %1 = "dry.weight"() {key = "v.decoded"} : () -> tensor<16x32xf32>
    %2 = tensor.empty() : tensor<16x32xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%1 : tensor<16x32xf32>) outs(%2 : tensor<16x32xf32>) {
    ^bb0(%in: f32, %out: f32):
      %6 = arith.addf %in, %in : f32
      linalg.yield %6 : f32
    } -> tensor<16x32xf32>
    %4 = "dry.embedding"(%0, %arg0) : (tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>, tensor<3xi64>) -> tensor<3x32xf32>
    %5 = "dry.embedding"(%1, %arg0) : (tensor<16x32xf32>, tensor<3xi64>) -> tensor<3x32xf32>
    return %4, %5, %3 : tensor<3x32xf32>, tensor<3x32xf32>, tensor<16x32xf32>
  }
}

// case: lists that a convolution reads as its weight, and more of them than it does
func.func @main(%x: tensor<1x16x5x5xf32>) -> (tensor<1x8x3x3xf32>, tensor<1x8x3x3xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x16x3x3xf32, #dry.flat<#dry.sparse<#dry.compressed<200 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>, [0, 2, 3, 1]>>
  %v = "dry.weight"() {key = "v"} : () -> tensor<8x16x3x3xf32, #dry.flat<#dry.sparse<#dry.compressed<900 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>, [0, 2, 3, 1]>>
  %out_a = "dry.conv"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {strides = [1, 1], padding = [0, 0, 0, 0], dilation = [1, 1], output_padding = [0, 0], groups = 1, transposed = false,
      layout = "nchw", extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x16x5x5xf32>, tensor<8x16x3x3xf32, #dry.flat<#dry.sparse<#dry.compressed<200 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>, [0, 2, 3, 1]>>) -> tensor<1x8x3x3xf32>
  %out_b = "dry.conv"(%x, %v) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {strides = [1, 1], padding = [0, 0, 0, 0], dilation = [1, 1], output_padding = [0, 0], groups = 1, transposed = false,
      layout = "nchw", extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x16x5x5xf32>, tensor<8x16x3x3xf32, #dry.flat<#dry.sparse<#dry.compressed<900 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>, [0, 2, 3, 1]>>) -> tensor<1x8x3x3xf32>
  return %out_a, %out_b : tensor<1x8x3x3xf32>, tensor<1x8x3x3xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<1x16x5x5xf32>) -> (tensor<1x8x3x3xf32>, tensor<1x8x3x3xf32>) {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<8x16x3x3xf32, #dry.flat<#dry.sparse<#dry.compressed<200 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>, [0, 2, 3, 1]>>
    %1 = "dry.weight"() {key = "v.decoded"} : () -> tensor<8x16x3x3xf32>
    %2 = "dry.conv"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x16x5x5xf32>, tensor<8x16x3x3xf32, #dry.flat<#dry.sparse<#dry.compressed<200 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>, [0, 2, 3, 1]>>) -> tensor<1x8x3x3xf32>
    %3 = "dry.conv"(%arg0, %1) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x16x5x5xf32>, tensor<8x16x3x3xf32>) -> tensor<1x8x3x3xf32>
    return %2, %3 : tensor<1x8x3x3xf32>, tensor<1x8x3x3xf32>
  }
}

// case: products that upstream passes compile read lists, of a matrix and of it turned
func.func @main(%x: tensor<6x4xf64>) -> (tensor<8x4xf64>, tensor<4x8xf64>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x6xf64, #dry.sparse<#dry.compressed<9 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f64", unit, unit>>>
  %e = tensor.empty() : tensor<8x6xf64>
  %p = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%w : tensor<8x6xf64, #dry.sparse<#dry.compressed<9 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f64", unit, unit>>>) outs(%e : tensor<8x6xf64>) {
  ^bb0(%a: f64, %b: f64):
    linalg.yield %a : f64
  } -> tensor<8x6xf64>
  %zero = arith.constant 0.0 : f64
  %e1 = tensor.empty() : tensor<8x4xf64>
  %f1 = linalg.fill ins(%zero : f64) outs(%e1 : tensor<8x4xf64>) -> tensor<8x4xf64>
  %y = linalg.matmul ins(%p, %x : tensor<8x6xf64>, tensor<6x4xf64>) outs(%f1 : tensor<8x4xf64>) -> tensor<8x4xf64>
  %e2 = tensor.empty() : tensor<4x6xf64>
  %t = linalg.transpose ins(%x : tensor<6x4xf64>) outs(%e2 : tensor<4x6xf64>) permutation = [1, 0]
  %e3 = tensor.empty() : tensor<6x8xf64>
  %u = linalg.transpose ins(%p : tensor<8x6xf64>) outs(%e3 : tensor<6x8xf64>) permutation = [1, 0]
  %e4 = tensor.empty() : tensor<4x8xf64>
  %f4 = linalg.fill ins(%zero : f64) outs(%e4 : tensor<4x8xf64>) -> tensor<4x8xf64>
  %z = linalg.matmul ins(%t, %u : tensor<4x6xf64>, tensor<6x8xf64>) outs(%f4 : tensor<4x8xf64>) -> tensor<4x8xf64>
  return %y, %z : tensor<8x4xf64>, tensor<4x8xf64>
}

// after:
module {
  func.func @main(%arg0: tensor<6x4xf64>) -> (tensor<8x4xf64>, tensor<4x8xf64>) {
    %0 = "dry.weight"() {key = "w.lists"} : () -> tensor<8x6xf64, #dry.joined<#dry.sparse<#dry.compressed<9 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f64", unit, unit>>>>
    %1 = "dry.weight"() {key = "w.lists"} : () -> tensor<6x8xf64, #dry.joined<#dry.sparse<#dry.compressed<9 : i64, [1, 1], 1 : i64, 0 : i64>, #dry.enc<"f64", unit, unit>>>>
    %cst = arith.constant 0.000000e+00 : f64
    %2 = tensor.empty() : tensor<8x4xf64>
    %3 = linalg.fill ins(%cst : f64) outs(%2 : tensor<8x4xf64>) -> tensor<8x4xf64>
    %4 = linalg.matmul ins(%0, %arg0 : tensor<8x6xf64, #dry.joined<#dry.sparse<#dry.compressed<9 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f64", unit, unit>>>>, tensor<6x4xf64>) outs(%3 : tensor<8x4xf64>) -> tensor<8x4xf64>
    %5 = tensor.empty() : tensor<4x6xf64>
    %transposed = linalg.transpose ins(%arg0 : tensor<6x4xf64>) outs(%5 : tensor<4x6xf64>) permutation = [1, 0] 
    %6 = tensor.empty() : tensor<4x8xf64>
    %7 = linalg.fill ins(%cst : f64) outs(%6 : tensor<4x8xf64>) -> tensor<4x8xf64>
    %8 = linalg.matmul ins(%transposed, %1 : tensor<4x6xf64>, tensor<6x8xf64, #dry.joined<#dry.sparse<#dry.compressed<9 : i64, [1, 1], 1 : i64, 0 : i64>, #dry.enc<"f64", unit, unit>>>>) outs(%7 : tensor<4x8xf64>) -> tensor<4x8xf64>
    return %4, %8 : tensor<8x4xf64>, tensor<4x8xf64>
  }
}
