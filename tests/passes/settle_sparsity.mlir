// case: few elements stay lists in place of coordinates, many become plain, and what was asked for by a format stays
func.func @main(%x: tensor<128x64xf32>) -> (tensor<128x96xf32>, tensor<128x96xf32>, tensor<128x96xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<96x64xf32, #dry.sparse<#dry.coordinates<100 : i64>, #dry.enc<"f32", unit, unit>>>
  %v = "dry.weight"() {key = "v.pruned"} : () -> tensor<96x64xf32, #dry.sparse<#dry.compressed<5000 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>>
  %u = "dry.weight"() {key = "u.coded"} : () -> tensor<96x64xf32, #dry.sparse<#dry.compressed<5000 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<128x64xf32>, tensor<96x64xf32, #dry.sparse<#dry.coordinates<100 : i64>, #dry.enc<"f32", unit, unit>>>) -> tensor<128x96xf32>
  %z = "dry.matmul"(%x, %v) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<128x64xf32>, tensor<96x64xf32, #dry.sparse<#dry.compressed<5000 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>>) -> tensor<128x96xf32>
  %q = "dry.matmul"(%x, %u) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<128x64xf32>, tensor<96x64xf32, #dry.sparse<#dry.compressed<5000 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>>) -> tensor<128x96xf32>
  return %y, %z, %q : tensor<128x96xf32>, tensor<128x96xf32>, tensor<128x96xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<128x64xf32>) -> (tensor<128x96xf32>, tensor<128x96xf32>, tensor<128x96xf32>) {
    %0 = "dry.weight"() {key = "w.decoded"} : () -> tensor<96x64xf32>
    %1 = "dry.weight"() {key = "v.pruned.decoded"} : () -> tensor<96x64xf32>
    %2 = "dry.weight"() {key = "u.coded"} : () -> tensor<96x64xf32, #dry.sparse<#dry.compressed<5000 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>>
    %3 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<128x64xf32>, tensor<96x64xf32>) -> tensor<128x96xf32>
    %4 = "dry.matmul"(%arg0, %1) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<128x64xf32>, tensor<96x64xf32>) -> tensor<128x96xf32>
    %5 = "dry.matmul"(%arg0, %2) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<128x64xf32>, tensor<96x64xf32, #dry.sparse<#dry.compressed<5000 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>>) -> tensor<128x96xf32>
    return %3, %4, %5 : tensor<128x96xf32>, tensor<128x96xf32>, tensor<128x96xf32>
  }
}
