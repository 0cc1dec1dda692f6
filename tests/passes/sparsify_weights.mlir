// case: products that read one value: a weight with zeros anywhere that calibration knows, and a turned one in 15:16
func.func @main(%x: tensor<4x16xf32>) -> (tensor<4x24xf32>, tensor<4x8xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<24x16xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<16x8xf32>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x16xf32>, tensor<24x16xf32>) -> tensor<4x24xf32>
  %z = "dry.matmul"(%x, %v) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x16xf32>, tensor<16x8xf32>) -> tensor<4x8xf32>
  return %y, %z : tensor<4x24xf32>, tensor<4x8xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x16xf32>) -> (tensor<4x24xf32>, tensor<4x8xf32>) {
    %0 = "dry.weight"() {key = "w.pruned"} : () -> tensor<24x16xf32, #dry.sparse<#dry.compressed<365 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>>
    %1 = "dry.weight"() {key = "v.pruned"} : () -> tensor<8x16xf32, #dry.sparse<#dry.structured<1 : i64, 15 : i64, 16 : i64, unit>, #dry.enc<"f32", unit, unit>>>
    %2 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x16xf32>, tensor<24x16xf32, #dry.sparse<#dry.compressed<365 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>>) -> tensor<4x24xf32>
    %3 = "dry.matmul"(%arg0, %1) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x16xf32>, tensor<8x16xf32, #dry.sparse<#dry.structured<1 : i64, 15 : i64, 16 : i64, unit>, #dry.enc<"f32", unit, unit>>>) -> tensor<4x8xf32>
    return %2, %3 : tensor<4x24xf32>, tensor<4x8xf32>
  }
}

// case: a convolution with zeros anywhere, and a table in 15:16 that is also a product's weight
func.func @main(%x: tensor<1x3x6x6xf32>, %i: tensor<5xi64>, %h: tensor<5x8xf32>) -> (tensor<1x4x4x4xf32>, tensor<5x8xf32>, tensor<5x10xf32>) {
  %w = "dry.weight"() {key = "c"} : () -> tensor<4x3x3x3xf32>
  %t = "dry.weight"() {key = "t"} : () -> tensor<10x8xf32>
  %y = "dry.conv"(%x, %w) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x3x6x6xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x4x4xf32>
  %e = "dry.embedding"(%t, %i) : (tensor<10x8xf32>, tensor<5xi64>) -> tensor<5x8xf32>
  %z = "dry.matmul"(%h, %t) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<5x8xf32>, tensor<10x8xf32>) -> tensor<5x10xf32>
  return %y, %e, %z : tensor<1x4x4x4xf32>, tensor<5x8xf32>, tensor<5x10xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<1x3x6x6xf32>, %arg1: tensor<5xi64>, %arg2: tensor<5x8xf32>) -> (tensor<1x4x4x4xf32>, tensor<5x8xf32>, tensor<5x10xf32>) {
    %0 = "dry.weight"() {key = "c.pruned"} : () -> tensor<4x3x3x3xf32, #dry.flat<#dry.sparse<#dry.compressed<103 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>, [0, 2, 3, 1]>>
    %1 = "dry.weight"() {key = "t"} : () -> tensor<10x8xf32>
    %2 = "dry.conv"(%arg0, %0) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x3x6x6xf32>, tensor<4x3x3x3xf32, #dry.flat<#dry.sparse<#dry.compressed<103 : i64, [1, 1], 0 : i64, 0 : i64>, #dry.enc<"f32", unit, unit>>, [0, 2, 3, 1]>>) -> tensor<1x4x4x4xf32>
    %3 = "dry.embedding"(%1, %arg1) : (tensor<10x8xf32>, tensor<5xi64>) -> tensor<5x8xf32>
    %4 = "dry.matmul"(%arg2, %1) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<5x8xf32>, tensor<10x8xf32>) -> tensor<5x10xf32>
    return %2, %3, %4 : tensor<1x4x4x4xf32>, tensor<5x8xf32>, tensor<5x10xf32>
  }
}
