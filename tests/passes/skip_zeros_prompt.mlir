// case: neurons that calls of many rows make live, and calls of one row leave out
func.func @main(%x: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %wu = "dry.weight"() {key = "up"} : () -> tensor<24x16xf32>
  %wd = "dry.weight"() {key = "down"} : () -> tensor<16x24xf32>
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x16xf32>
  %u = "dry.matmul"(%x, %wu) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<?x16xf32>, tensor<24x16xf32>) -> tensor<?x24xf32>
  %e = tensor.empty(%n) : tensor<?x24xf32>
  %h = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]} ins(%u : tensor<?x24xf32>) outs(%e : tensor<?x24xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %zero : f32
    linalg.yield %r : f32
  } -> tensor<?x24xf32>
  %y = "dry.matmul"(%h, %wd) ({
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>} : (tensor<?x24xf32>, tensor<16x24xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// after:
#map = affine_map<()[s0] -> ((s0 + 6) floordiv 8)>
#map1 = affine_map<()[s0, s1] -> (s0 + s1 - 1)>
#map2 = affine_map<(d0, d1) -> (d0, d1)>
#map3 = affine_map<(d0, d1) -> (d1)>
#map4 = affine_map<(d0, d1) -> (d0)>
#map5 = affine_map<(d0, d1) -> (0, d1)>
#map6 = affine_map<(d0, d1, d2) -> (d0, d1)>
#map7 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map8 = affine_map<()[s0] -> (s0 * 12)>
module {
  func.func @main(%arg0: tensor<?x16xf32>, %arg1: tensor<1x24xf32>, %arg2: tensor<1x24xf32>) -> (tensor<?x16xf32>, tensor<1x24xf32>, tensor<1x24xf32>) {
    %c0 = arith.constant 0 : index
    %cst = arith.constant 0.000000e+00 : f32
    %0 = "dry.weight"() {key = "up"} : () -> tensor<24x16xf32>
    %1 = "dry.weight"() {key = "down"} : () -> tensor<16x24xf32>
    %dim = tensor.dim %arg0, %c0 : tensor<?x16xf32>
    %2 = affine.apply #map()[%dim]
    %3 = affine.apply #map1()[%dim, %2]
    %cst_0 = arith.constant 1.000000e+00 : f32
    %4 = tensor.empty(%2) : tensor<?x24xf32>
    %5 = linalg.fill ins(%cst_0 : f32) outs(%4 : tensor<?x24xf32>) -> tensor<?x24xf32>
    %c0_i64 = arith.constant 0 : i64
    %6 = tensor.empty(%2) : tensor<?x1xi64>
    %7 = linalg.fill ins(%c0_i64 : i64) outs(%6 : tensor<?x1xi64>) -> tensor<?x1xi64>
    %8 = tm_tensor.scatter {dimension_map = array<i64: 0>} unique_indices(false) ins(%5, %7 : tensor<?x24xf32>, tensor<?x1xi64>) outs(%arg1 : tensor<1x24xf32>) {
    ^bb0(%arg3: f32, %arg4: f32):
      tm_tensor.yield %arg3 : f32
    } -> tensor<1x24xf32>
    %collapsed = tensor.collapse_shape %8 [[0, 1]] : tensor<1x24xf32> into tensor<24xf32>
    %9 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<?x16xf32>, tensor<24x16xf32>) -> tensor<?x24xf32>
    %10 = tensor.empty(%dim) : tensor<?x24xf32>
    %11 = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel", "parallel"]} ins(%9 : tensor<?x24xf32>) outs(%10 : tensor<?x24xf32>) {
    ^bb0(%in: f32, %out: f32):
      %36 = arith.maximumf %in, %cst : f32
      linalg.yield %36 : f32
    } -> tensor<?x24xf32>
    %12 = tensor.empty(%dim) : tensor<?x24xf32>
    %13 = linalg.generic {indexing_maps = [#map2, #map3, #map2], iterator_types = ["parallel", "parallel"]} ins(%11, %collapsed : tensor<?x24xf32>, tensor<24xf32>) outs(%12 : tensor<?x24xf32>) {
    ^bb0(%in: f32, %in_8: f32, %out: f32):
      %cst_9 = arith.constant 0.000000e+00 : f32
      %36 = math.absf %in_8 : f32
      %37 = arith.cmpf ole, %36, %cst_9 : f32
      %cst_10 = arith.constant 0.000000e+00 : f32
      %38 = arith.select %37, %cst_10, %in : f32
      linalg.yield %38 : f32
    } -> tensor<?x24xf32>
    %extracted_slice = tensor.extract_slice %13[0, 0] [%3, 24] [1, 1] : tensor<?x24xf32> to tensor<?x24xf32>
    %14 = "dry.weight"() {key = "down.squares"} : () -> tensor<24xf32>
    %cst_1 = arith.constant 0.000000e+00 : f32
    %15 = tensor.empty(%3) : tensor<?xf32>
    %16 = linalg.fill ins(%cst_1 : f32) outs(%15 : tensor<?xf32>) -> tensor<?xf32>
    %17 = linalg.generic {indexing_maps = [#map2, #map4], iterator_types = ["parallel", "reduction"]} ins(%extracted_slice : tensor<?x24xf32>) outs(%16 : tensor<?xf32>) {
    ^bb0(%in: f32, %out: f32):
      %36 = arith.mulf %in, %in : f32
      %37 = arith.addf %out, %36 : f32
      linalg.yield %37 : f32
    } -> tensor<?xf32>
    %collapsed_2 = tensor.collapse_shape %arg2 [[0, 1]] : tensor<1x24xf32> into tensor<24xf32>
    %18 = linalg.generic {indexing_maps = [#map2, #map4, #map3, #map3], iterator_types = ["reduction", "parallel"]} ins(%extracted_slice, %17, %14 : tensor<?x24xf32>, tensor<?xf32>, tensor<24xf32>) outs(%collapsed_2 : tensor<24xf32>) {
    ^bb0(%in: f32, %in_8: f32, %in_9: f32, %out: f32):
      %cst_10 = arith.constant 1.17549435E-38 : f32
      %36 = arith.mulf %in, %in : f32
      %37 = arith.maximumf %in_8, %cst_10 : f32
      %38 = arith.divf %36, %37 : f32
      %39 = arith.mulf %38, %in_9 : f32
      %40 = arith.addf %out, %39 : f32
      linalg.yield %40 : f32
    } -> tensor<24xf32>
    %expanded = tensor.expand_shape %18 [[0, 1]] output_shape [1, 24] : tensor<24xf32> into tensor<1x24xf32>
    %19 = tensor.empty(%2) : tensor<?x24xf32>
    %20 = linalg.generic {indexing_maps = [#map5, #map2], iterator_types = ["parallel", "parallel"]} ins(%expanded : tensor<1x24xf32>) outs(%19 : tensor<?x24xf32>) {
    ^bb0(%in: f32, %out: f32):
      %36 = arith.negf %in : f32
      linalg.yield %36 : f32
    } -> tensor<?x24xf32>
    %21 = tensor.empty(%2) : tensor<?x24xi64>
    %22 = linalg.generic {indexing_maps = [#map2], iterator_types = ["parallel", "parallel"]} outs(%21 : tensor<?x24xi64>) {
    ^bb0(%out: i64):
      %36 = linalg.index 1 : index
      %37 = arith.index_cast %36 : index to i64
      linalg.yield %37 : i64
    } -> tensor<?x24xi64>
    %23:2 = tm_tensor.sort dimension(1) outs(%20, %22 : tensor<?x24xf32>, tensor<?x24xi64>) {
    ^bb0(%arg3: f32, %arg4: f32, %arg5: i64, %arg6: i64):
      %36 = arith.cmpf ole, %arg3, %arg4 : f32
      tm_tensor.yield %36 : i1
    } -> tensor<?x24xf32>, tensor<?x24xi64>
    %extracted_slice_3 = tensor.extract_slice %23#1[0, 0] [%2, 12] [1, 1] : tensor<?x24xi64> to tensor<?x12xi64>
    %24 = tensor.empty(%2) : tensor<?x12x2xi64>
    %25 = linalg.generic {indexing_maps = [#map6, #map7], iterator_types = ["parallel", "parallel", "parallel"]} ins(%extracted_slice_3 : tensor<?x12xi64>) outs(%24 : tensor<?x12x2xi64>) {
    ^bb0(%in: i64, %out: i64):
      %c0_i64_8 = arith.constant 0 : i64
      %36 = linalg.index 2 : index
      %c0_9 = arith.constant 0 : index
      %37 = arith.cmpi eq, %36, %c0_9 : index
      %38 = arith.select %37, %c0_i64_8, %in : i64
      linalg.yield %38 : i64
    } -> tensor<?x12x2xi64>
    %collapsed_4 = tensor.collapse_shape %25 [[0, 1], [2]] : tensor<?x12x2xi64> into tensor<?x2xi64>
    %cst_5 = arith.constant 0.000000e+00 : f32
    %26 = tensor.empty(%2) : tensor<?x24xf32>
    %27 = linalg.fill ins(%cst_5 : f32) outs(%26 : tensor<?x24xf32>) -> tensor<?x24xf32>
    %28 = affine.apply #map8()[%2]
    %cst_6 = arith.constant 1.000000e+00 : f32
    %29 = tensor.empty(%28) : tensor<?xf32>
    %30 = linalg.fill ins(%cst_6 : f32) outs(%29 : tensor<?xf32>) -> tensor<?xf32>
    %c0_i64_7 = arith.constant 0 : i64
    %31 = tensor.empty(%2) : tensor<?x1xi64>
    %32 = linalg.fill ins(%c0_i64_7 : i64) outs(%31 : tensor<?x1xi64>) -> tensor<?x1xi64>
    %33 = tm_tensor.scatter {dimension_map = array<i64: 0>} unique_indices(false) ins(%27, %32 : tensor<?x24xf32>, tensor<?x1xi64>) outs(%arg1 : tensor<1x24xf32>) {
    ^bb0(%arg3: f32, %arg4: f32):
      tm_tensor.yield %arg3 : f32
    } -> tensor<1x24xf32>
    %34 = tm_tensor.scatter {dimension_map = array<i64: 0, 1>} unique_indices(false) ins(%30, %collapsed_4 : tensor<?xf32>, tensor<?x2xi64>) outs(%33 : tensor<1x24xf32>) {
    ^bb0(%arg3: f32, %arg4: f32):
      tm_tensor.yield %arg3 : f32
    } -> tensor<1x24xf32>
    %35 = "dry.matmul"(%13, %1) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<?x24xf32>, tensor<16x24xf32>) -> tensor<?x16xf32>
    return %35, %34, %expanded : tensor<?x16xf32>, tensor<1x24xf32>, tensor<1x24xf32>
  }
}
