// case: two products of one value, of which one has a bias, and one with a matrix that is not coded
func.func @main(%x: tensor<4x32xf32>) -> (tensor<4x16xf32>, tensor<4x8xf32>, tensor<4x4xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>
  %v = "dry.weight"() {key = "v"} : () -> tensor<8x32xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>
  %u = "dry.weight"() {key = "u"} : () -> tensor<4x32xf32>
  %b = "dry.weight"() {key = "b"} : () -> tensor<16xf32>
  %y = "dry.matmul"(%x, %w, %b) ({
  ^bb0(%s: f32, %c: f32):
    %t = arith.addf %s, %c : f32
    "dry.yield"(%t) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (j)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x32xf32>, tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>, tensor<16xf32>) -> tensor<4x16xf32>
  %z = "dry.matmul"(%x, %v) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x32xf32>, tensor<8x32xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>) -> tensor<4x8xf32>
  %o = "dry.matmul"(%x, %u) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x32xf32>, tensor<4x32xf32>) -> tensor<4x4xf32>
  return %y, %z, %o : tensor<4x16xf32>, tensor<4x8xf32>, tensor<4x4xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1)>
#map1 = affine_map<(d0, d1) -> (d0)>
module {
  func.func @main(%arg0: tensor<4x32xf32>) -> (tensor<4x16xf32>, tensor<4x8xf32>, tensor<4x4xf32>) {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>
    %1 = "dry.weight"() {key = "v"} : () -> tensor<8x32xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>
    %2 = "dry.weight"() {key = "u"} : () -> tensor<4x32xf32>
    %3 = "dry.weight"() {key = "b"} : () -> tensor<16xf32>
    %4:2 = "dry.round_rows"(%arg0) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 0>} : (tensor<4x32xf32>) -> (tensor<4x32xi8>, tensor<4xf32>)
    %5 = "dry.matmul"(%4#0, %0, %3, %4#1) ({
    ^bb0(%arg1: f32, %arg2: f32, %arg3: f32):
      %cst = arith.constant 0.00787401571 : f32
      %8 = arith.mulf %arg3, %cst : f32
      %9 = arith.mulf %arg1, %8 : f32
      %10 = arith.addf %9, %arg2 : f32
      "dry.yield"(%10) : (f32) -> ()
    }) {extra_maps = [#map, #map1], operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xi8>, tensor<16x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>, tensor<16xf32>, tensor<4xf32>) -> tensor<4x16xf32>
    %6 = "dry.matmul"(%4#0, %1, %4#1) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %cst = arith.constant 0.00787401571 : f32
      %8 = arith.mulf %arg2, %cst : f32
      %9 = arith.mulf %arg1, %8 : f32
      "dry.yield"(%9) : (f32) -> ()
    }) {extra_maps = [#map1], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xi8>, tensor<8x32xf32, #dry.enc<"int4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>, tensor<4xf32>) -> tensor<4x8xf32>
    %7 = "dry.matmul"(%arg0, %2) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xf32>, tensor<4x32xf32>) -> tensor<4x4xf32>
    return %5, %6, %7 : tensor<4x16xf32>, tensor<4x8xf32>, tensor<4x4xf32>
  }
}
