// case: products that read one value, of which one weight is turned and one is known to calibration
func.func @main(%x: tensor<4x16xf32>) -> (tensor<4x24xf32>, tensor<4x8xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<24x16xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<16x8xf32>
  %b = "dry.weight"() {key = "b"} : () -> tensor<24xf32>
  %y = "dry.matmul"(%x, %w, %b) ({
  ^bb0(%s: f32, %c: f32):
    %t = arith.addf %s, %c : f32
    "dry.yield"(%t) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (j)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x16xf32>, tensor<24x16xf32>, tensor<24xf32>) -> tensor<4x24xf32>
  %z = "dry.matmul"(%x, %v) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x16xf32>, tensor<16x8xf32>) -> tensor<4x8xf32>
  return %y, %z : tensor<4x24xf32>, tensor<4x8xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<4x16xf32>) -> (tensor<4x24xf32>, tensor<4x8xf32>) {
    %0 = "dry.weight"() {key = "w.coded"} : () -> tensor<24x16xf32, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint8", unit, unit>, unit>, unit>>
    %1 = "dry.weight"() {key = "v.coded"} : () -> tensor<8x16xf32, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint8", unit, unit>, unit>, unit>>
    %2 = "dry.weight"() {key = "w.scaling"} : () -> tensor<16xf32>
    %3 = tensor.empty() : tensor<4x16xf32>
    %4 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %2 : tensor<4x16xf32>, tensor<16xf32>) outs(%3 : tensor<4x16xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %8 = arith.mulf %in, %in_0 : f32
      linalg.yield %8 : f32
    } -> tensor<4x16xf32>
    %5 = "dry.weight"() {key = "w.bias"} : () -> tensor<24xf32>
    %6 = "dry.matmul"(%4, %0, %5) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %8 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%8) : (f32) -> ()
    }) {extra_maps = [#map1], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x16xf32>, tensor<24x16xf32, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint8", unit, unit>, unit>, unit>>, tensor<24xf32>) -> tensor<4x24xf32>
    %7 = "dry.matmul"(%arg0, %1) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x16xf32>, tensor<8x16xf32, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint8", unit, unit>, unit>, unit>>) -> tensor<4x8xf32>
    return %6, %7 : tensor<4x24xf32>, tensor<4x8xf32>
  }
}

// case: a convolution, and a table that is also a product's weight
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
    %0 = "dry.weight"() {key = "c.coded"} : () -> tensor<4x3x3x3xf32, #dry.flat<#dry.enc<"uint8", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint8", unit, unit>, unit>, unit>, [0, 2, 3, 1]>>
    %1 = "dry.weight"() {key = "t.coded"} : () -> tensor<10x8xf32, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint8", unit, unit>, unit>, unit>>
    %2 = "dry.conv"(%arg0, %0) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 0, 0, 0], strides = [1, 1], transposed = false} : (tensor<1x3x6x6xf32>, tensor<4x3x3x3xf32, #dry.flat<#dry.enc<"uint8", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint8", unit, unit>, unit>, unit>, [0, 2, 3, 1]>>) -> tensor<1x4x4x4xf32>
    %3 = "dry.embedding"(%1, %arg1) : (tensor<10x8xf32, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint8", unit, unit>, unit>, unit>>, tensor<5xi64>) -> tensor<5x8xf32>
    %4 = "dry.matmul"(%arg2, %1) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<5x8xf32>, tensor<10x8xf32, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint8", unit, unit>, unit>, unit>>) -> tensor<5x10xf32>
    return %2, %3, %4 : tensor<1x4x4x4xf32>, tensor<5x8xf32>, tensor<5x10xf32>
  }
}

// case: a weight in bf16 that is read in f32, with a bias that calibration does not know of
func.func @main(%x: tensor<4x16xf32>) -> tensor<4x8xf32> {
  %w = "dry.weight"() {key = "v"} : () -> tensor<8x16xbf16>
  %b = "dry.weight"() {key = "b"} : () -> tensor<8xf32>
  %e = tensor.empty() : tensor<8x16xf32>
  %f = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%w : tensor<8x16xbf16>) outs(%e : tensor<8x16xf32>) {
  ^bb0(%s: bf16, %o: f32):
    %t = arith.extf %s : bf16 to f32
    linalg.yield %t : f32
  } -> tensor<8x16xf32>
  %y = "dry.matmul"(%x, %f, %b) ({
  ^bb0(%s: f32, %c: f32):
    %t = arith.addf %s, %c : f32
    "dry.yield"(%t) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (j)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<4x16xf32>, tensor<8x16xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<4x16xf32>) -> tensor<4x8xf32> {
    %0 = "dry.weight"() {key = "v.coded"} : () -> tensor<8x16xbf16, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint8", unit, unit>, unit>, unit>>
    %1 = "dry.weight"() {key = "b"} : () -> tensor<8xf32>
    %2 = tensor.empty() : tensor<8x16xbf16>
    %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<8x16xbf16, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [16], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint8", unit, unit>, unit>, unit>>) outs(%2 : tensor<8x16xbf16>) {
    ^bb0(%in: bf16, %out: bf16):
      linalg.yield %in : bf16
    } -> tensor<8x16xbf16>
    %4 = tensor.empty() : tensor<8x16xf32>
    %5 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%3 : tensor<8x16xbf16>) outs(%4 : tensor<8x16xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %7 = arith.extf %in : bf16 to f32
      linalg.yield %7 : f32
    } -> tensor<8x16xf32>
    %6 = "dry.matmul"(%arg0, %5, %1) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %7 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%7) : (f32) -> ()
    }) {extra_maps = [#map1], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x16xf32>, tensor<8x16xf32>, tensor<8xf32>) -> tensor<4x8xf32>
    return %6 : tensor<4x8xf32>
  }
}
