// case: a gate computed last, whose other factor is moved behind it, and inputs that two products share
func.func @main(%x: tensor<2x16xf32>) -> tensor<2x16xf32> {
  %wu = "dry.weight"() {key = "up"} : () -> tensor<24x16xf32>
  %wg = "dry.weight"() {key = "gate"} : () -> tensor<24x16xf32>
  %wd = "dry.weight"() {key = "down"} : () -> tensor<16x24xf32>
  %zero = arith.constant 0.0 : f32
  %u = "dry.matmul"(%x, %wu) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<2x16xf32>, tensor<24x16xf32>) -> tensor<2x24xf32>
  %p = "dry.matmul"(%x, %wg) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<2x16xf32>, tensor<24x16xf32>) -> tensor<2x24xf32>
  %e = tensor.empty() : tensor<2x24xf32>
  %g = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]} ins(%p : tensor<2x24xf32>) outs(%e : tensor<2x24xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %zero : f32
    linalg.yield %r : f32
  } -> tensor<2x24xf32>
  %h = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]} ins(%u, %g : tensor<2x24xf32>, tensor<2x24xf32>) outs(%e : tensor<2x24xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.mulf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<2x24xf32>
  %y = "dry.matmul"(%h, %wd) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<2x24xf32>, tensor<16x24xf32>) -> tensor<2x16xf32>
  return %y : tensor<2x16xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<2x16xf32>) -> tensor<2x16xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = "dry.weight"() {key = "up"} : () -> tensor<24x16xf32>
    %1 = "dry.weight"() {key = "gate"} : () -> tensor<24x16xf32>
    %2 = "dry.weight"() {key = "down"} : () -> tensor<16x24xf32>
    %3 = "dry.weight"() {key = "up.thresholds"} : () -> tensor<16xf32>
    %4 = tensor.empty() : tensor<2x16xf32>
    %5 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %3 : tensor<2x16xf32>, tensor<16xf32>) outs(%4 : tensor<2x16xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %15 = math.absf %in : f32
      %16 = arith.cmpf ole, %15, %in_0 : f32
      %cst_1 = arith.constant 0.000000e+00 : f32
      %17 = arith.select %16, %cst_1, %in : f32
      linalg.yield %17 : f32
    } -> tensor<2x16xf32>
    %6 = "dry.matmul"(%5, %1) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x16xf32>, tensor<24x16xf32>) -> tensor<2x24xf32>
    %7 = tensor.empty() : tensor<2x24xf32>
    %8 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%6 : tensor<2x24xf32>) outs(%7 : tensor<2x24xf32>) {
    ^bb0(%in: f32, %out: f32):
      %15 = arith.maximumf %in, %cst : f32
      linalg.yield %15 : f32
    } -> tensor<2x24xf32>
    %9 = "dry.weight"() {key = "down.thresholds"} : () -> tensor<24xf32>
    %10 = tensor.empty() : tensor<2x24xf32>
    %11 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%8, %9 : tensor<2x24xf32>, tensor<24xf32>) outs(%10 : tensor<2x24xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %15 = math.absf %in : f32
      %16 = arith.cmpf ole, %15, %in_0 : f32
      %cst_1 = arith.constant 0.000000e+00 : f32
      %17 = arith.select %16, %cst_1, %in : f32
      linalg.yield %17 : f32
    } -> tensor<2x24xf32>
    %12 = "dry.matmul"(%5, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x16xf32>, tensor<24x16xf32>) -> tensor<2x24xf32>
    %13 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel"]} ins(%12, %11 : tensor<2x24xf32>, tensor<2x24xf32>) outs(%7 : tensor<2x24xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %15 = arith.mulf %in, %in_0 : f32
      linalg.yield %15 : f32
    } -> tensor<2x24xf32>
    %14 = "dry.matmul"(%13, %2) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x24xf32>, tensor<16x24xf32>) -> tensor<2x16xf32>
    return %14 : tensor<2x16xf32>
  }
}
