// case: outlier columns, and an epilogue
func.func @main(%x: tensor<4x32xf32>, %b: tensor<16xf32>) -> tensor<4x16xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.outlier_columns<#dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.enc<"f16", unit, unit>, 1, 3>>
  %out = "dry.matmul"(%x, %w, %b) ({
  ^bb0(%a: f32, %c: f32):
    %s = arith.addf %a, %c : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(m, n) -> (n)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x32xf32>, tensor<16x32xf32, #dry.outlier_columns<#dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.enc<"f16", unit, unit>, 1, 3>>, tensor<16xf32>) -> tensor<4x16xf32>
  return %out : tensor<4x16xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1)>
#map1 = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<4x32xf32>, %arg1: tensor<16xf32>) -> tensor<4x16xf32> {
    %0 = "dry.weight"() {key = "w.columns"} : () -> tensor<3xi64>
    %1 = tensor.empty() : tensor<4x3xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<3xi64>) outs(%1 : tensor<4x3xf32>) {
    ^bb0(%in: i64, %out: f32):
      %7 = linalg.index 0 : index
      %8 = arith.index_cast %in : i64 to index
      %extracted = tensor.extract %arg0[%7, %8] : tensor<4x32xf32>
      linalg.yield %extracted : f32
    } -> tensor<4x3xf32>
    %3 = "dry.weight"() {key = "w.term"} : () -> tensor<16x3xf32, #dry.enc<"f16", unit, unit>>
    %4 = "dry.matmul"(%2, %3) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x3xf32>, tensor<16x3xf32, #dry.enc<"f16", unit, unit>>) -> tensor<4x16xf32>
    %5 = "dry.weight"() {key = "w.term.2"} : () -> tensor<16x32xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>
    %6 = "dry.matmul"(%arg0, %5, %arg1, %4) ({
    ^bb0(%arg2: f32, %arg3: f32, %arg4: f32):
      %7 = arith.addf %arg2, %arg4 : f32
      %8 = arith.addf %7, %arg3 : f32
      "dry.yield"(%8) : (f32) -> ()
    }) {extra_maps = [#map, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xf32>, tensor<16x32xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>, tensor<16xf32>, tensor<4x16xf32>) -> tensor<4x16xf32>
    return %6 : tensor<4x16xf32>
  }
}

// case: a sum with low rank, of inputs by outputs in another order, of any number of rows
func.func @main(%x: tensor<?x32xf32>) -> tensor<?x16xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<32x16xf32, #dry.permuted<#dry.sum<[#dry.enc<"int4", #dry.scale<#dry.per<[0], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.low_rank<2, #dry.enc<"f16", unit, unit>, #dry.enc<"f16", unit, unit>>]>, 0>>
  %out = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x32xf32>, tensor<32x16xf32, #dry.permuted<#dry.sum<[#dry.enc<"int4", #dry.scale<#dry.per<[0], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.low_rank<2, #dry.enc<"f16", unit, unit>, #dry.enc<"f16", unit, unit>>]>, 0>>) -> tensor<?x16xf32>
  return %out : tensor<?x16xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1)>
#map1 = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<?x32xf32>) -> tensor<?x16xf32> {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x32xf32>
    %0 = "dry.weight"() {key = "w.columns"} : () -> tensor<32xi64>
    %1 = tensor.empty(%dim) : tensor<?x32xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<32xi64>) outs(%1 : tensor<?x32xf32>) {
    ^bb0(%in: i64, %out: f32):
      %9 = linalg.index 0 : index
      %10 = arith.index_cast %in : i64 to index
      %extracted = tensor.extract %arg0[%9, %10] : tensor<?x32xf32>
      linalg.yield %extracted : f32
    } -> tensor<?x32xf32>
    %3 = "dry.weight"() {key = "w.term"} : () -> tensor<32x2xf32, #dry.enc<"f16", unit, unit>>
    %4 = "dry.matmul"(%2, %3) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<?x32xf32>, tensor<32x2xf32, #dry.enc<"f16", unit, unit>>) -> tensor<?x2xf32>
    %5 = "dry.weight"() {key = "w.term.2"} : () -> tensor<2x16xf32, #dry.enc<"f16", unit, unit>>
    %6 = "dry.matmul"(%4, %5) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<?x2xf32>, tensor<2x16xf32, #dry.enc<"f16", unit, unit>>) -> tensor<?x16xf32>
    %7 = "dry.weight"() {key = "w.term.3"} : () -> tensor<32x16xf32, #dry.enc<"int4", #dry.scale<#dry.per<[0], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>
    %8 = "dry.matmul"(%2, %7, %6) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %9 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map1], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<?x32xf32>, tensor<32x16xf32, #dry.enc<"int4", #dry.scale<#dry.per<[0], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>, tensor<?x16xf32>) -> tensor<?x16xf32>
    return %8 : tensor<?x16xf32>
  }
}

// case: outlier elements in few columns, ranges, a diagonal
func.func @main(%x: tensor<4x32xf32>) -> tensor<4x16xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.diagonal<#dry.mixed<1, [24, 8], [#dry.outlier_elements<#dry.enc<"int4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.enc<"f16", unit, unit>, 2>, #dry.enc<"f16", unit, unit>]>, 1, #dry.enc<"f32", unit, unit>>>
  %out = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x32xf32>, tensor<16x32xf32, #dry.diagonal<#dry.mixed<1, [24, 8], [#dry.outlier_elements<#dry.enc<"int4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.enc<"f16", unit, unit>, 2>, #dry.enc<"f16", unit, unit>]>, 1, #dry.enc<"f32", unit, unit>>>) -> tensor<4x16xf32>
  return %out : tensor<4x16xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<4x32xf32>) -> tensor<4x16xf32> {
    %0 = "dry.weight"() {key = "w.factors"} : () -> tensor<32xf32>
    %1 = tensor.empty() : tensor<4x32xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %0 : tensor<4x32xf32>, tensor<32xf32>) outs(%1 : tensor<4x32xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %18 = arith.mulf %in, %in_0 : f32
      linalg.yield %18 : f32
    } -> tensor<4x32xf32>
    %3 = "dry.weight"() {key = "w.columns"} : () -> tensor<24xi64>
    %4 = tensor.empty() : tensor<4x24xf32>
    %5 = linalg.generic {indexing_maps = [#map1, #map], iterator_types = ["parallel", "parallel"]} ins(%3 : tensor<24xi64>) outs(%4 : tensor<4x24xf32>) {
    ^bb0(%in: i64, %out: f32):
      %18 = linalg.index 0 : index
      %19 = arith.index_cast %in : i64 to index
      %extracted = tensor.extract %2[%18, %19] : tensor<4x32xf32>
      linalg.yield %extracted : f32
    } -> tensor<4x24xf32>
    %6 = "dry.weight"() {key = "w.columns.2"} : () -> tensor<2xi64>
    %7 = tensor.empty() : tensor<4x2xf32>
    %8 = linalg.generic {indexing_maps = [#map1, #map], iterator_types = ["parallel", "parallel"]} ins(%6 : tensor<2xi64>) outs(%7 : tensor<4x2xf32>) {
    ^bb0(%in: i64, %out: f32):
      %18 = linalg.index 0 : index
      %19 = arith.index_cast %in : i64 to index
      %extracted = tensor.extract %5[%18, %19] : tensor<4x24xf32>
      linalg.yield %extracted : f32
    } -> tensor<4x2xf32>
    %9 = "dry.weight"() {key = "w.term"} : () -> tensor<16x2xf32, #dry.enc<"f16", unit, unit>>
    %10 = "dry.matmul"(%8, %9) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x2xf32>, tensor<16x2xf32, #dry.enc<"f16", unit, unit>>) -> tensor<4x16xf32>
    %11 = "dry.weight"() {key = "w.columns.3"} : () -> tensor<8xi64>
    %12 = tensor.empty() : tensor<4x8xf32>
    %13 = linalg.generic {indexing_maps = [#map1, #map], iterator_types = ["parallel", "parallel"]} ins(%11 : tensor<8xi64>) outs(%12 : tensor<4x8xf32>) {
    ^bb0(%in: i64, %out: f32):
      %18 = linalg.index 0 : index
      %19 = arith.index_cast %in : i64 to index
      %extracted = tensor.extract %2[%18, %19] : tensor<4x32xf32>
      linalg.yield %extracted : f32
    } -> tensor<4x8xf32>
    %14 = "dry.weight"() {key = "w.term.2"} : () -> tensor<16x8xf32, #dry.enc<"f16", unit, unit>>
    %15 = "dry.matmul"(%13, %14, %10) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %18 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%18) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<16x8xf32, #dry.enc<"f16", unit, unit>>, tensor<4x16xf32>) -> tensor<4x16xf32>
    %16 = "dry.weight"() {key = "w.term.3"} : () -> tensor<16x24xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>
    %17 = "dry.matmul"(%5, %16, %15) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %18 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%18) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x24xf32>, tensor<16x24xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>, tensor<4x16xf32>) -> tensor<4x16xf32>
    return %17 : tensor<4x16xf32>
  }
}

// case: what no kernel reads is left
func.func @main(%x: tensor<4x32xf32>) -> tensor<4x16xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.sum<[#dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.product<[#dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.enc<"f16", unit, unit>]>]>>
  %out = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x32xf32>, tensor<16x32xf32, #dry.sum<[#dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.product<[#dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.enc<"f16", unit, unit>]>]>>) -> tensor<4x16xf32>
  return %out : tensor<4x16xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x32xf32>) -> tensor<4x16xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.sum<[#dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.product<[#dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.enc<"f16", unit, unit>]>]>>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xf32>, tensor<16x32xf32, #dry.sum<[#dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.product<[#dry.enc<"int4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, #dry.enc<"f16", unit, unit>]>]>>) -> tensor<4x16xf32>
    return %1 : tensor<4x16xf32>
  }
}
