// case: products in both orders, one that shares its weight with a lookup, one of one column
func.func @main(%x: tensor<4x8xf32>, %i: tensor<4xi64>) -> (tensor<4x40xf32>, tensor<4x20xf32>, tensor<4x8xf32>, tensor<4x1xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<40x8xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<8x20xf32>
  %u = "dry.weight"() {key = "u"} : () -> tensor<8x1xf32>
  %out_a = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<40x8xf32>) -> tensor<4x40xf32>
  %out_b = "dry.matmul"(%x, %v) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<8x20xf32>) -> tensor<4x20xf32>
  %out_c = "dry.embedding"(%w, %i) : (tensor<40x8xf32>, tensor<4xi64>) -> tensor<4x8xf32>
  %out_d = "dry.matmul"(%x, %u) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x8xf32>, tensor<8x1xf32>) -> tensor<4x1xf32>
  return %out_a, %out_b, %out_c, %out_d : tensor<4x40xf32>, tensor<4x20xf32>, tensor<4x8xf32>, tensor<4x1xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x8xf32>, %arg1: tensor<4xi64>) -> (tensor<4x40xf32>, tensor<4x20xf32>, tensor<4x8xf32>, tensor<4x1xf32>) {
    %0 = "dry.weight"() {key = "w.packed"} : () -> tensor<40x8xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 1]>>>
    %1 = "dry.weight"() {key = "w"} : () -> tensor<40x8xf32>
    %2 = "dry.weight"() {key = "v.packed"} : () -> tensor<8x20xf32, #dry.enc<"f32", unit, #dry.pack<[1], [16], [1, 0]>>>
    %3 = "dry.weight"() {key = "u"} : () -> tensor<8x1xf32>
    %4 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x8xf32>, tensor<40x8xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 1]>>>) -> tensor<4x40xf32>
    %5 = "dry.matmul"(%arg0, %2) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xf32>, tensor<8x20xf32, #dry.enc<"f32", unit, #dry.pack<[1], [16], [1, 0]>>>) -> tensor<4x20xf32>
    %6 = "dry.embedding"(%1, %arg1) : (tensor<40x8xf32>, tensor<4xi64>) -> tensor<4x8xf32>
    %7 = "dry.matmul"(%arg0, %3) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<4x8xf32>, tensor<8x1xf32>) -> tensor<4x1xf32>
    return %4, %5, %6, %7 : tensor<4x40xf32>, tensor<4x20xf32>, tensor<4x8xf32>, tensor<4x1xf32>
  }
}

// case: convolutions, one per channel, one grouped with channels that fill no register, one of layout nchw
func.func @main(%x: tensor<1x5x5x8xf32>, %z: tensor<1x8x5x5xf32>) -> (tensor<1x5x5x8xf32>, tensor<1x5x5x8xf32>, tensor<1x8x5x5xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8x8x3x3xf32>
  %d = "dry.weight"() {key = "d"} : () -> tensor<8x1x3x3xf32>
  %g = "dry.weight"() {key = "g"} : () -> tensor<8x4x3x3xf32>
  %out_a = "dry.conv"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {strides = [1, 1], padding = [1, 1, 1, 1], dilation = [1, 1], output_padding = [0, 0], groups = 1 : i64,
      transposed = false, layout = "nhwc", extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x5x5x8xf32>, tensor<8x8x3x3xf32>) -> tensor<1x5x5x8xf32>
  %out_b = "dry.conv"(%out_a, %d) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {strides = [1, 1], padding = [1, 1, 1, 1], dilation = [1, 1], output_padding = [0, 0], groups = 8 : i64,
      transposed = false, layout = "nhwc", extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x5x5x8xf32>, tensor<8x1x3x3xf32>) -> tensor<1x5x5x8xf32>
  %out_c = "dry.conv"(%out_b, %g) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {strides = [1, 1], padding = [1, 1, 1, 1], dilation = [1, 1], output_padding = [0, 0], groups = 2 : i64,
      transposed = false, layout = "nhwc", extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x5x5x8xf32>, tensor<8x4x3x3xf32>) -> tensor<1x5x5x8xf32>
  %out_e = "dry.conv"(%z, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {strides = [1, 1], padding = [1, 1, 1, 1], dilation = [1, 1], output_padding = [0, 0], groups = 1 : i64,
      transposed = false, layout = "nchw", extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<1x8x5x5xf32>, tensor<8x8x3x3xf32>) -> tensor<1x8x5x5xf32>
  return %out_a, %out_c, %out_e : tensor<1x5x5x8xf32>, tensor<1x5x5x8xf32>, tensor<1x8x5x5xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<1x5x5x8xf32>, %arg1: tensor<1x8x5x5xf32>) -> (tensor<1x5x5x8xf32>, tensor<1x5x5x8xf32>, tensor<1x8x5x5xf32>) {
    %0 = "dry.weight"() {key = "w.packed"} : () -> tensor<8x8x3x3xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>
    %1 = "dry.weight"() {key = "w"} : () -> tensor<8x8x3x3xf32>
    %2 = "dry.weight"() {key = "d.packed"} : () -> tensor<8x1x3x3xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>
    %3 = "dry.weight"() {key = "g"} : () -> tensor<8x4x3x3xf32>
    %4 = "dry.conv"(%arg0, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x5x5x8xf32>, tensor<8x8x3x3xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>) -> tensor<1x5x5x8xf32>
    %5 = "dry.conv"(%4, %2) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 8 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x5x5x8xf32>, tensor<8x1x3x3xf32, #dry.enc<"f32", unit, #dry.pack<[0], [16], [0, 2, 3, 1]>>>) -> tensor<1x5x5x8xf32>
    %6 = "dry.conv"(%5, %3) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 2 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x5x5x8xf32>, tensor<8x4x3x3xf32>) -> tensor<1x5x5x8xf32>
    %7 = "dry.conv"(%arg1, %1) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nchw", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x8x5x5xf32>, tensor<8x8x3x3xf32>) -> tensor<1x8x5x5xf32>
    return %4, %6, %7 : tensor<1x5x5x8xf32>, tensor<1x5x5x8xf32>, tensor<1x8x5x5xf32>
  }
}

// case: codes whose scales and minima have scales
func.func @main(%x: tensor<4x32xf32>) -> tensor<4x40xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<40x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [32], "each">, #dry.enc<"uint6", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, unit, #dry.enc<"uint6", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>, #dry.interleaved<64, false, false>>>
  %out_a = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x32xf32>, tensor<40x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [32], "each">, #dry.enc<"uint6", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>, unit, #dry.enc<"uint6", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, unit, unit>, unit>>, #dry.interleaved<64, false, false>>>) -> tensor<4x40xf32>
  return %out_a : tensor<4x40xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x32xf32>) -> tensor<4x40xf32> {
    %0 = "dry.weight"() {key = "w.packed"} : () -> tensor<40x32xf32, #dry.joined<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [32], "each">, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[0], [16], [0, 1]>>, unit, unit>, #dry.pack<[0], [16], [0, 1]>>, unit, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[0], [16], [0, 1]>>, unit, unit>, #dry.pack<[0], [16], [0, 1]>>>, #dry.words<0 : i64, 16 : i64>>>>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xf32>, tensor<40x32xf32, #dry.joined<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [32], "each">, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[0], [16], [0, 1]>>, unit, unit>, #dry.pack<[0], [16], [0, 1]>>, unit, #dry.enc<"uint8", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[0], [16], [0, 1]>>, unit, unit>, #dry.pack<[0], [16], [0, 1]>>>, #dry.words<0 : i64, 16 : i64>>>>) -> tensor<4x40xf32>
    return %1 : tensor<4x40xf32>
  }
}

// case: codes that a product and a lookup read, codes that a lookup alone reads
func.func @main(%x: tensor<4x32xf32>, %i: tensor<3xi64>) -> (tensor<4x40xf32>, tensor<3x32xf32>, tensor<3x32xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<40x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>
  %v = "dry.weight"() {key = "v"} : () -> tensor<20x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>
  %out_a = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<4x32xf32>, tensor<40x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>) -> tensor<4x40xf32>
  %out_b = "dry.embedding"(%w, %i) : (tensor<40x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>, tensor<3xi64>) -> tensor<3x32xf32>
  %out_c = "dry.embedding"(%v, %i) : (tensor<20x32xf32, #dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, unit>, #dry.enc<"uint4", unit, unit>, unit>, unit>>, tensor<3xi64>) -> tensor<3x32xf32>
  return %out_a, %out_b, %out_c : tensor<4x40xf32>, tensor<3x32xf32>, tensor<3x32xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x32xf32>, %arg1: tensor<3xi64>) -> (tensor<4x40xf32>, tensor<3x32xf32>, tensor<3x32xf32>) {
    %0 = "dry.weight"() {key = "w.packed"} : () -> tensor<40x32xf32, #dry.joined<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[0], [16], [0, 1]>>, #dry.enc<"uint4", unit, #dry.pack<[0, 1], [16, 2], [0, 1]>>, unit>, #dry.words<0 : i64, 16 : i64>>>>
    %1 = "dry.weight"() {key = "w.packed"} : () -> tensor<40x32xf32, #dry.joined<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[0], [16], [0, 1]>>, #dry.enc<"uint4", unit, #dry.pack<[0, 1], [16, 2], [0, 1]>>, unit>, #dry.words<0 : i64, 16 : i64>>>>
    %2 = "dry.weight"() {key = "v.packed"} : () -> tensor<20x32xf32, #dry.joined<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[0], [1], [0, 1]>>, #dry.enc<"uint4", unit, #dry.pack<[0, 1], [1, 2], [0, 1]>>, unit>, #dry.words<0 : i64, 1 : i64>>>>
    %3 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<4x32xf32>, tensor<40x32xf32, #dry.joined<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[0], [16], [0, 1]>>, #dry.enc<"uint4", unit, #dry.pack<[0, 1], [16, 2], [0, 1]>>, unit>, #dry.words<0 : i64, 16 : i64>>>>) -> tensor<4x40xf32>
    %4 = "dry.embedding"(%1, %arg1) : (tensor<40x32xf32, #dry.joined<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[0], [16], [0, 1]>>, #dry.enc<"uint4", unit, #dry.pack<[0, 1], [16, 2], [0, 1]>>, unit>, #dry.words<0 : i64, 16 : i64>>>>, tensor<3xi64>) -> tensor<3x32xf32>
    %5 = "dry.embedding"(%2, %arg1) : (tensor<20x32xf32, #dry.joined<#dry.enc<"uint4", #dry.scale<#dry.per<[1], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[0], [1], [0, 1]>>, #dry.enc<"uint4", unit, #dry.pack<[0, 1], [1, 2], [0, 1]>>, unit>, #dry.words<0 : i64, 1 : i64>>>>, tensor<3xi64>) -> tensor<3x32xf32>
    return %3, %4, %5 : tensor<4x40xf32>, tensor<3x32xf32>, tensor<3x32xf32>
  }
}

// case: what thresholds leave zeros in is multiplied with a weight held input by input; what is multiplied with it, output by output
func.func @main(%x: tensor<1x16xf32>, %g: tensor<1x24xf32>, %t: tensor<24xf32>) -> tensor<1x16xf32> {
  %wu = "dry.weight"() {key = "up"} : () -> tensor<16x24xf32>
  %wd = "dry.weight"() {key = "down"} : () -> tensor<16x24xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x24xf32>
  %z = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]} ins(%g, %t : tensor<1x24xf32>, tensor<24xf32>) outs(%e : tensor<1x24xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = math.absf %a : f32
    %c = arith.cmpf ole, %m, %b : f32
    %r = arith.select %c, %zero, %a : f32
    linalg.yield %r : f32
  } -> tensor<1x24xf32>
  %h = "dry.matmul"(%x, %wu, %z) ({
  ^bb0(%s: f32, %f: f32):
    %r = arith.mulf %s, %f : f32
    "dry.yield"(%r) : (f32) -> ()
  }) {transpose_b = false, extra_maps = [affine_map<(m, n) -> (m, n)>], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x16xf32>, tensor<16x24xf32>, tensor<1x24xf32>) -> tensor<1x24xf32>
  %y = "dry.matmul"(%h, %wd) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<1x24xf32>, tensor<16x24xf32>) -> tensor<1x16xf32>
  return %y : tensor<1x16xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<1x16xf32>, %arg1: tensor<1x24xf32>, %arg2: tensor<24xf32>) -> tensor<1x16xf32> {
    %0 = "dry.weight"() {key = "up.packed"} : () -> tensor<16x24xf32, #dry.enc<"f32", unit, #dry.pack<[], [], [1, 0]>>>
    %1 = "dry.weight"() {key = "down.packed"} : () -> tensor<16x24xf32, #dry.enc<"f32", unit, #dry.pack<[], [], [1, 0]>>>
    %cst = arith.constant 0.000000e+00 : f32
    %2 = tensor.empty() : tensor<1x24xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%arg1, %arg2 : tensor<1x24xf32>, tensor<24xf32>) outs(%2 : tensor<1x24xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %6 = math.absf %in : f32
      %7 = arith.cmpf ole, %6, %in_0 : f32
      %8 = arith.select %7, %cst, %in : f32
      linalg.yield %8 : f32
    } -> tensor<1x24xf32>
    %4 = "dry.matmul"(%arg0, %0, %3) ({
    ^bb0(%arg3: f32, %arg4: f32):
      %6 = arith.mulf %arg3, %arg4 : f32
      "dry.yield"(%6) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x16xf32>, tensor<16x24xf32, #dry.enc<"f32", unit, #dry.pack<[], [], [1, 0]>>>, tensor<1x24xf32>) -> tensor<1x24xf32>
    %5 = "dry.matmul"(%4, %1) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<1x24xf32>, tensor<16x24xf32, #dry.enc<"f32", unit, #dry.pack<[], [], [1, 0]>>>) -> tensor<1x16xf32>
    return %5 : tensor<1x16xf32>
  }
}
