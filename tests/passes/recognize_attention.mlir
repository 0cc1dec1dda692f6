// case: a causal mask of constants
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map2 = affine_map<(d0) -> (d0)>
#map3 = affine_map<(d0, d1) -> (d1)>
#map4 = affine_map<(d0, d1) -> (d0)>
#map5 = affine_map<(d0, d1) -> (d0, d1)>
#map6 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
module {
  func.func @main(%arg0: tensor<1x2x6x4xf32>, %arg1: tensor<1x2x6x4xf32>, %arg2: tensor<1x2x6x4xf32>) -> tensor<1x2x6x4xf32> {
    %cst = arith.constant 5.000000e-01 : f32
    %cst_0 = arith.constant 0xFF800000 : f32
    %true = arith.constant true
    %c0_i64 = arith.constant 0 : i64
    %0 = tensor.empty() : tensor<1x2x4x6xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg1 : tensor<1x2x6x4xf32>) outs(%0 : tensor<1x2x4x6xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x4x6xf32>
    %2 = "dry.matmul"(%arg0, %1) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x2x6x4xf32>, tensor<1x2x4x6xf32>) -> tensor<1x2x6x6xf32>
    %3 = tensor.empty() : tensor<1x2x6x6xf32>
    %4 = linalg.generic {indexing_maps = [#map1, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%2 : tensor<1x2x6x6xf32>) outs(%3 : tensor<1x2x6x6xf32>) {
    ^bb0(%in: f32, %out: f32):
      %15 = arith.mulf %in, %cst : f32
      linalg.yield %15 : f32
    } -> tensor<1x2x6x6xf32>
    %5 = tensor.empty() : tensor<6x6xi1>
    %6 = tensor.empty() : tensor<6xi64>
    %7 = linalg.generic {indexing_maps = [#map2], iterator_types = ["parallel"]} outs(%6 : tensor<6xi64>) {
    ^bb0(%out: i64):
      %15 = linalg.index 0 : index
      %16 = arith.index_cast %15 : index to i64
      linalg.yield %16 : i64
    } -> tensor<6xi64>
    %8 = tensor.empty() : tensor<6x6xi64>
    %9 = linalg.generic {indexing_maps = [#map3, #map4, #map5], iterator_types = ["parallel", "parallel"]} ins(%7, %7 : tensor<6xi64>, tensor<6xi64>) outs(%8 : tensor<6x6xi64>) {
    ^bb0(%in: i64, %in_1: i64, %out: i64):
      %15 = arith.subi %in, %in_1 : i64
      linalg.yield %15 : i64
    } -> tensor<6x6xi64>
    %10 = linalg.generic {indexing_maps = [#map5, #map5], iterator_types = ["parallel", "parallel"]} ins(%9 : tensor<6x6xi64>) outs(%5 : tensor<6x6xi1>) {
    ^bb0(%in: i64, %out: i1):
      %15 = arith.cmpi sle, %in, %c0_i64 : i64
      linalg.yield %15 : i1
    } -> tensor<6x6xi1>
    %11 = linalg.generic {indexing_maps = [#map5, #map5], iterator_types = ["parallel", "parallel"]} ins(%10 : tensor<6x6xi1>) outs(%5 : tensor<6x6xi1>) {
    ^bb0(%in: i1, %out: i1):
      %15 = arith.xori %in, %true : i1
      linalg.yield %15 : i1
    } -> tensor<6x6xi1>
    %12 = linalg.generic {indexing_maps = [#map6, #map1, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%11, %4 : tensor<6x6xi1>, tensor<1x2x6x6xf32>) outs(%3 : tensor<1x2x6x6xf32>) {
    ^bb0(%in: i1, %in_1: f32, %out: f32):
      %15 = arith.select %in, %cst_0, %in_1 : f32
      linalg.yield %15 : f32
    } -> tensor<1x2x6x6xf32>
    %13 = "dry.softmax"(%12) {dim = 3 : i64, log = false} : (tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xf32>
    %14 = "dry.matmul"(%13, %arg2) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x2x6x6xf32>, tensor<1x2x6x4xf32>) -> tensor<1x2x6x4xf32>
    return %14 : tensor<1x2x6x4xf32>
  }
}

// after:
module {
  func.func @main(%arg0: tensor<1x2x6x4xf32>, %arg1: tensor<1x2x6x4xf32>, %arg2: tensor<1x2x6x4xf32>) -> tensor<1x2x6x4xf32> {
    %0 = "dry.attention"(%arg0, %arg1, %arg2) {causal = true, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>) -> tensor<1x2x6x4xf32>
    return %0 : tensor<1x2x6x4xf32>
  }
}

// case: a window with sinks, positions before heads
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d2, d1, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map3 = affine_map<(d0) -> (d0)>
#map4 = affine_map<(d0, d1) -> (d1)>
#map5 = affine_map<(d0, d1) -> (d0)>
#map6 = affine_map<(d0, d1) -> (d0, d1)>
#map7 = affine_map<(d0, d1, d2, d3) -> (d0, d3, d1, d2)>
#map8 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
module {
  func.func @main(%arg0: tensor<1x6x8xf32>) -> tensor<1x2x6x4xf32> {
    %cst = arith.constant 0xFF800000 : f32
    %c3_i64 = arith.constant 3 : i64
    %c1_i64 = arith.constant 1 : i64
    %cst_0 = arith.constant 1.000000e+00 : f32
    %cst_1 = arith.constant 2.000000e+00 : f32
    %cst_2 = arith.constant 5.000000e-01 : f32
    %0 = tensor.empty() : tensor<1x6x8xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x6x8xf32>) outs(%0 : tensor<1x6x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %25 = arith.addf %in, %cst_0 : f32
      linalg.yield %25 : f32
    } -> tensor<1x6x8xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x6x8xf32>) outs(%0 : tensor<1x6x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %25 = arith.addf %in, %cst_1 : f32
      linalg.yield %25 : f32
    } -> tensor<1x6x8xf32>
    %expanded = tensor.expand_shape %arg0 [[0], [1], [2, 3]] output_shape [1, 6, 2, 4] : tensor<1x6x8xf32> into tensor<1x6x2x4xf32>
    %3 = tensor.empty() : tensor<1x2x6x4xf32>
    %4 = linalg.generic {indexing_maps = [#map1, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded : tensor<1x6x2x4xf32>) outs(%3 : tensor<1x2x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x6x4xf32>
    %expanded_3 = tensor.expand_shape %1 [[0], [1], [2, 3]] output_shape [1, 6, 2, 4] : tensor<1x6x8xf32> into tensor<1x6x2x4xf32>
    %expanded_4 = tensor.expand_shape %2 [[0], [1], [2, 3]] output_shape [1, 6, 2, 4] : tensor<1x6x8xf32> into tensor<1x6x2x4xf32>
    %5 = linalg.generic {indexing_maps = [#map1, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded_4 : tensor<1x6x2x4xf32>) outs(%3 : tensor<1x2x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x6x4xf32>
    %6 = tensor.empty() : tensor<6xi64>
    %7 = linalg.generic {indexing_maps = [#map3], iterator_types = ["parallel"]} outs(%6 : tensor<6xi64>) {
    ^bb0(%out: i64):
      %25 = linalg.index 0 : index
      %26 = arith.index_cast %25 : index to i64
      linalg.yield %26 : i64
    } -> tensor<6xi64>
    %expanded_5 = tensor.expand_shape %7 [[0, 1]] output_shape [1, 6] : tensor<6xi64> into tensor<1x6xi64>
    %8 = tensor.empty() : tensor<6x6xi1>
    %9 = linalg.generic {indexing_maps = [#map4, #map5, #map6], iterator_types = ["parallel", "parallel"]} ins(%7, %7 : tensor<6xi64>, tensor<6xi64>) outs(%8 : tensor<6x6xi1>) {
    ^bb0(%in: i64, %in_6: i64, %out: i1):
      %25 = arith.cmpi sle, %in, %in_6 : i64
      linalg.yield %25 : i1
    } -> tensor<6x6xi1>
    %10 = tensor.empty() : tensor<6x6xi64>
    %11 = linalg.generic {indexing_maps = [#map5, #map4, #map6], iterator_types = ["parallel", "parallel"]} ins(%7, %7 : tensor<6xi64>, tensor<6xi64>) outs(%10 : tensor<6x6xi64>) {
    ^bb0(%in: i64, %in_6: i64, %out: i64):
      %25 = arith.subi %in, %in_6 : i64
      linalg.yield %25 : i64
    } -> tensor<6x6xi64>
    %12 = linalg.generic {indexing_maps = [#map6, #map6], iterator_types = ["parallel", "parallel"]} ins(%11 : tensor<6x6xi64>) outs(%8 : tensor<6x6xi1>) {
    ^bb0(%in: i64, %out: i1):
      %25 = arith.cmpi slt, %in, %c3_i64 : i64
      linalg.yield %25 : i1
    } -> tensor<6x6xi1>
    %13 = tensor.empty() : tensor<1x6xi1>
    %14 = linalg.generic {indexing_maps = [#map6, #map6], iterator_types = ["parallel", "parallel"]} ins(%expanded_5 : tensor<1x6xi64>) outs(%13 : tensor<1x6xi1>) {
    ^bb0(%in: i64, %out: i1):
      %25 = arith.cmpi slt, %in, %c1_i64 : i64
      linalg.yield %25 : i1
    } -> tensor<1x6xi1>
    %collapsed = tensor.collapse_shape %14 [[0, 1]] : tensor<1x6xi1> into tensor<6xi1>
    %15 = linalg.generic {indexing_maps = [#map6, #map4, #map6], iterator_types = ["parallel", "parallel"]} ins(%12, %collapsed : tensor<6x6xi1>, tensor<6xi1>) outs(%8 : tensor<6x6xi1>) {
    ^bb0(%in: i1, %in_6: i1, %out: i1):
      %25 = arith.ori %in, %in_6 : i1
      linalg.yield %25 : i1
    } -> tensor<6x6xi1>
    %16 = linalg.generic {indexing_maps = [#map6, #map6, #map6], iterator_types = ["parallel", "parallel"]} ins(%9, %15 : tensor<6x6xi1>, tensor<6x6xi1>) outs(%8 : tensor<6x6xi1>) {
    ^bb0(%in: i1, %in_6: i1, %out: i1):
      %25 = arith.andi %in, %in_6 : i1
      linalg.yield %25 : i1
    } -> tensor<6x6xi1>
    %17 = tensor.empty() : tensor<1x2x4x6xf32>
    %18 = linalg.generic {indexing_maps = [#map7, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded_3 : tensor<1x6x2x4xf32>) outs(%17 : tensor<1x2x4x6xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x4x6xf32>
    %19 = "dry.matmul"(%4, %18) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x2x6x4xf32>, tensor<1x2x4x6xf32>) -> tensor<1x2x6x6xf32>
    %20 = tensor.empty() : tensor<1x2x6x6xf32>
    %21 = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%19 : tensor<1x2x6x6xf32>) outs(%20 : tensor<1x2x6x6xf32>) {
    ^bb0(%in: f32, %out: f32):
      %25 = arith.mulf %in, %cst_2 : f32
      linalg.yield %25 : f32
    } -> tensor<1x2x6x6xf32>
    %22 = linalg.generic {indexing_maps = [#map8, #map2, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%16, %21 : tensor<6x6xi1>, tensor<1x2x6x6xf32>) outs(%20 : tensor<1x2x6x6xf32>) {
    ^bb0(%in: i1, %in_6: f32, %out: f32):
      %25 = arith.select %in, %in_6, %cst : f32
      linalg.yield %25 : f32
    } -> tensor<1x2x6x6xf32>
    %23 = "dry.softmax"(%22) {dim = 3 : i64, log = false} : (tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xf32>
    %24 = "dry.matmul"(%23, %5) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x2x6x6xf32>, tensor<1x2x6x4xf32>) -> tensor<1x2x6x4xf32>
    return %24 : tensor<1x2x6x4xf32>
  }
}

// after:
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d2, d1, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<1x6x8xf32>) -> tensor<1x2x6x4xf32> {
    %c0 = arith.constant 0 : index
    %c2147483647_i64 = arith.constant 2147483647 : i64
    %c-2_i64 = arith.constant -2 : i64
    %c0_i64 = arith.constant 0 : i64
    %cst = arith.constant 1.000000e+00 : f32
    %cst_0 = arith.constant 2.000000e+00 : f32
    %0 = tensor.empty() : tensor<1x6x8xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x6x8xf32>) outs(%0 : tensor<1x6x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %10 = arith.addf %in, %cst : f32
      linalg.yield %10 : f32
    } -> tensor<1x6x8xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x6x8xf32>) outs(%0 : tensor<1x6x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %10 = arith.addf %in, %cst_0 : f32
      linalg.yield %10 : f32
    } -> tensor<1x6x8xf32>
    %expanded = tensor.expand_shape %arg0 [[0], [1], [2, 3]] output_shape [1, 6, 2, 4] : tensor<1x6x8xf32> into tensor<1x6x2x4xf32>
    %expanded_1 = tensor.expand_shape %1 [[0], [1], [2, 3]] output_shape [1, 6, 2, 4] : tensor<1x6x8xf32> into tensor<1x6x2x4xf32>
    %expanded_2 = tensor.expand_shape %2 [[0], [1], [2, 3]] output_shape [1, 6, 2, 4] : tensor<1x6x8xf32> into tensor<1x6x2x4xf32>
    %3 = tensor.empty() : tensor<1x2x6x4xf32>
    %4 = linalg.generic {indexing_maps = [#map1, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded : tensor<1x6x2x4xf32>) outs(%3 : tensor<1x2x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x6x4xf32>
    %5 = linalg.generic {indexing_maps = [#map1, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded_1 : tensor<1x6x2x4xf32>) outs(%3 : tensor<1x2x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x6x4xf32>
    %6 = linalg.generic {indexing_maps = [#map1, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded_2 : tensor<1x6x2x4xf32>) outs(%3 : tensor<1x2x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x6x4xf32>
    %7 = tensor.empty() : tensor<2x1x6xi64>
    %8 = linalg.generic {indexing_maps = [#map], iterator_types = ["parallel", "parallel", "parallel"]} outs(%7 : tensor<2x1x6xi64>) {
    ^bb0(%out: i64):
      %10 = linalg.index 2 : index
      %11 = arith.index_cast %10 : index to i64
      %12 = arith.addi %11, %c-2_i64 : i64
      %13 = arith.maxsi %12, %c0_i64 : i64
      %14 = linalg.index 0 : index
      %15 = arith.cmpi eq, %14, %c0 : index
      %16 = arith.select %15, %13, %c2147483647_i64 : i64
      linalg.yield %16 : i64
    } -> tensor<2x1x6xi64>
    %9 = "dry.attention"(%4, %5, %6, %8) {causal = true, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 1, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 1 : i64, tile = []} : (tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>, tensor<2x1x6xi64>) -> tensor<1x2x6x4xf32>
    return %9 : tensor<1x2x6x4xf32>
  }
}

// case: groups of heads, a factor of the queries, an added mask
#map = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d3, d4)>
#map1 = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3, d4)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map3 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3, d2)>
#map4 = affine_map<(d0, d1, d2, d3) -> (d0, d3)>
module {
  func.func @main(%arg0: tensor<1x2x6x4xf32>, %arg1: tensor<1x1x6x4xf32>, %arg2: tensor<1x1x6x4xf32>, %arg3: tensor<1x1x1x6xf32>) -> tensor<1x2x6x4xf32> {
    %cst = arith.constant 5.000000e-01 : f32
    %0 = tensor.empty() : tensor<1x1x2x6x4xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%arg1 : tensor<1x1x6x4xf32>) outs(%0 : tensor<1x1x2x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x1x2x6x4xf32>
    %collapsed = tensor.collapse_shape %1 [[0], [1, 2], [3], [4]] : tensor<1x1x2x6x4xf32> into tensor<1x2x6x4xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%arg2 : tensor<1x1x6x4xf32>) outs(%0 : tensor<1x1x2x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x1x2x6x4xf32>
    %collapsed_0 = tensor.collapse_shape %2 [[0], [1, 2], [3], [4]] : tensor<1x1x2x6x4xf32> into tensor<1x2x6x4xf32>
    %3 = tensor.empty() : tensor<1x2x6x4xf32>
    %4 = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x2x6x4xf32>) outs(%3 : tensor<1x2x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %12 = arith.mulf %in, %cst : f32
      linalg.yield %12 : f32
    } -> tensor<1x2x6x4xf32>
    %5 = tensor.empty() : tensor<1x2x4x6xf32>
    %6 = linalg.generic {indexing_maps = [#map3, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%collapsed : tensor<1x2x6x4xf32>) outs(%5 : tensor<1x2x4x6xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x4x6xf32>
    %7 = "dry.matmul"(%4, %6) ({
    ^bb0(%arg4: f32):
      "dry.yield"(%arg4) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x2x6x4xf32>, tensor<1x2x4x6xf32>) -> tensor<1x2x6x6xf32>
    %8 = tensor.empty() : tensor<1x2x6x6xf32>
    %collapsed_1 = tensor.collapse_shape %arg3 [[0], [1, 2, 3]] : tensor<1x1x1x6xf32> into tensor<1x6xf32>
    %9 = linalg.generic {indexing_maps = [#map2, #map4, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%7, %collapsed_1 : tensor<1x2x6x6xf32>, tensor<1x6xf32>) outs(%8 : tensor<1x2x6x6xf32>) {
    ^bb0(%in: f32, %in_2: f32, %out: f32):
      %12 = arith.addf %in, %in_2 : f32
      linalg.yield %12 : f32
    } -> tensor<1x2x6x6xf32>
    %10 = "dry.softmax"(%9) {dim = 3 : i64, log = false} : (tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xf32>
    %11 = "dry.matmul"(%10, %collapsed_0) ({
    ^bb0(%arg4: f32):
      "dry.yield"(%arg4) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x2x6x6xf32>, tensor<1x2x6x4xf32>) -> tensor<1x2x6x4xf32>
    return %11 : tensor<1x2x6x4xf32>
  }
}

// after:
module {
  func.func @main(%arg0: tensor<1x2x6x4xf32>, %arg1: tensor<1x1x6x4xf32>, %arg2: tensor<1x1x6x4xf32>, %arg3: tensor<1x1x1x6xf32>) -> tensor<1x2x6x4xf32> {
    %0 = "dry.attention"(%arg0, %arg1, %arg2, %arg3) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<1x2x6x4xf32>, tensor<1x1x6x4xf32>, tensor<1x1x6x4xf32>, tensor<1x1x1x6xf32>) -> tensor<1x2x6x4xf32>
    return %0 : tensor<1x2x6x4xf32>
  }
}

// case: flat batches, lengths at run time
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d2, d1)>
#map2 = affine_map<(d0) -> (d0)>
#map3 = affine_map<(d0, d1) -> (d1)>
#map4 = affine_map<(d0, d1) -> (d0)>
#map5 = affine_map<(d0, d1) -> (d0, d1)>
#map6 = affine_map<(d0, d1, d2, d3) -> (d0, d3)>
#map7 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<1x2x6x4xf32>, %arg1: tensor<1x2x6x4xf32>, %arg2: tensor<1x2x6x4xf32>, %arg3: tensor<1xi64>) -> tensor<2x6x4xf32> {
    %cst = arith.constant 0xFF800000 : f32
    %cst_0 = arith.constant 5.000000e-01 : f32
    %collapsed = tensor.collapse_shape %arg0 [[0, 1], [2], [3]] : tensor<1x2x6x4xf32> into tensor<2x6x4xf32>
    %collapsed_1 = tensor.collapse_shape %arg1 [[0, 1], [2], [3]] : tensor<1x2x6x4xf32> into tensor<2x6x4xf32>
    %collapsed_2 = tensor.collapse_shape %arg2 [[0, 1], [2], [3]] : tensor<1x2x6x4xf32> into tensor<2x6x4xf32>
    %0 = tensor.empty() : tensor<2x6x4xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%collapsed : tensor<2x6x4xf32>) outs(%0 : tensor<2x6x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %13 = arith.mulf %in, %cst_0 : f32
      linalg.yield %13 : f32
    } -> tensor<2x6x4xf32>
    %2 = tensor.empty() : tensor<2x4x6xf32>
    %3 = linalg.generic {indexing_maps = [#map1, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%collapsed_1 : tensor<2x6x4xf32>) outs(%2 : tensor<2x4x6xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<2x4x6xf32>
    %4 = "dry.matmul"(%1, %3) ({
    ^bb0(%arg4: f32):
      "dry.yield"(%arg4) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<2x6x4xf32>, tensor<2x4x6xf32>) -> tensor<2x6x6xf32>
    %expanded = tensor.expand_shape %4 [[0, 1], [2], [3]] output_shape [1, 2, 6, 6] : tensor<2x6x6xf32> into tensor<1x2x6x6xf32>
    %5 = tensor.empty() : tensor<6xi64>
    %6 = linalg.generic {indexing_maps = [#map2], iterator_types = ["parallel"]} outs(%5 : tensor<6xi64>) {
    ^bb0(%out: i64):
      %13 = linalg.index 0 : index
      %14 = arith.index_cast %13 : index to i64
      linalg.yield %14 : i64
    } -> tensor<6xi64>
    %7 = tensor.empty() : tensor<1x6xi1>
    %8 = linalg.generic {indexing_maps = [#map3, #map4, #map5], iterator_types = ["parallel", "parallel"]} ins(%6, %arg3 : tensor<6xi64>, tensor<1xi64>) outs(%7 : tensor<1x6xi1>) {
    ^bb0(%in: i64, %in_4: i64, %out: i1):
      %13 = arith.cmpi sgt, %in, %in_4 : i64
      linalg.yield %13 : i1
    } -> tensor<1x6xi1>
    %9 = tensor.empty() : tensor<1x2x6x6xf32>
    %10 = linalg.generic {indexing_maps = [#map6, #map7, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%8, %expanded : tensor<1x6xi1>, tensor<1x2x6x6xf32>) outs(%9 : tensor<1x2x6x6xf32>) {
    ^bb0(%in: i1, %in_4: f32, %out: f32):
      %13 = arith.select %in, %cst, %in_4 : f32
      linalg.yield %13 : f32
    } -> tensor<1x2x6x6xf32>
    %collapsed_3 = tensor.collapse_shape %10 [[0, 1], [2], [3]] : tensor<1x2x6x6xf32> into tensor<2x6x6xf32>
    %11 = "dry.softmax"(%collapsed_3) {dim = 2 : i64, log = false} : (tensor<2x6x6xf32>) -> tensor<2x6x6xf32>
    %12 = "dry.matmul"(%11, %collapsed_2) ({
    ^bb0(%arg4: f32):
      "dry.yield"(%arg4) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<2x6x6xf32>, tensor<2x6x4xf32>) -> tensor<2x6x4xf32>
    return %12 : tensor<2x6x4xf32>
  }
}

// after:
#map = affine_map<(d0, d1, d2) -> (d1)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
module {
  func.func @main(%arg0: tensor<1x2x6x4xf32>, %arg1: tensor<1x2x6x4xf32>, %arg2: tensor<1x2x6x4xf32>, %arg3: tensor<1xi64>) -> tensor<2x6x4xf32> {
    %c0 = arith.constant 0 : index
    %c1_i64 = arith.constant 1 : i64
    %c2147483647_i64 = arith.constant 2147483647 : i64
    %c0_i64 = arith.constant 0 : i64
    %0 = tensor.empty() : tensor<2x1x1xi64>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg3 : tensor<1xi64>) outs(%0 : tensor<2x1x1xi64>) {
    ^bb0(%in: i64, %out: i64):
      %3 = arith.addi %in, %c1_i64 : i64
      %4 = arith.minsi %3, %c2147483647_i64 : i64
      %5 = linalg.index 0 : index
      %6 = arith.cmpi eq, %5, %c0 : index
      %7 = arith.select %6, %c0_i64, %4 : i64
      linalg.yield %7 : i64
    } -> tensor<2x1x1xi64>
    %2 = "dry.attention"(%arg0, %arg1, %arg2, %1) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 1, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>, tensor<2x1x1xi64>) -> tensor<1x2x6x4xf32>
    %collapsed = tensor.collapse_shape %2 [[0, 1], [2], [3]] : tensor<1x2x6x4xf32> into tensor<2x6x4xf32>
    return %collapsed : tensor<2x6x4xf32>
  }
}

// case: not where the weights are read besides
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<1x2x6x4xf32>, %arg1: tensor<1x2x6x4xf32>, %arg2: tensor<1x2x6x4xf32>) -> (tensor<1x2x6x4xf32>, tensor<1x2x6x6xf32>) {
    %0 = tensor.empty() : tensor<1x2x4x6xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg1 : tensor<1x2x6x4xf32>) outs(%0 : tensor<1x2x4x6xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x4x6xf32>
    %2 = "dry.matmul"(%arg0, %1) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x2x6x4xf32>, tensor<1x2x4x6xf32>) -> tensor<1x2x6x6xf32>
    %3 = "dry.softmax"(%2) {dim = 3 : i64, log = false} : (tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xf32>
    %4 = "dry.matmul"(%3, %arg2) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x2x6x6xf32>, tensor<1x2x6x4xf32>) -> tensor<1x2x6x4xf32>
    return %4, %3 : tensor<1x2x6x4xf32>, tensor<1x2x6x6xf32>
  }
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<1x2x6x4xf32>, %arg1: tensor<1x2x6x4xf32>, %arg2: tensor<1x2x6x4xf32>) -> (tensor<1x2x6x4xf32>, tensor<1x2x6x6xf32>) {
    %0 = tensor.empty() : tensor<1x2x4x6xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg1 : tensor<1x2x6x4xf32>) outs(%0 : tensor<1x2x4x6xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<1x2x4x6xf32>
    %2 = "dry.matmul"(%arg0, %1) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x2x6x4xf32>, tensor<1x2x4x6xf32>) -> tensor<1x2x6x6xf32>
    %3 = "dry.softmax"(%2) {dim = 3 : i64, log = false} : (tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xf32>
    %4 = "dry.matmul"(%3, %arg2) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = false} : (tensor<1x2x6x6xf32>, tensor<1x2x6x4xf32>) -> tensor<1x2x6x4xf32>
    return %4, %3 : tensor<1x2x6x4xf32>, tensor<1x2x6x6xf32>
  }
}

// case: positions at run time
#map = affine_map<(d0) -> (d0)>
#map1 = affine_map<(d0, d1) -> (d0)>
#map2 = affine_map<(d0, d1) -> (d1)>
#map3 = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<1x2x2x4xf32>, %arg1: tensor<1x2x6x4xf32>, %arg2: tensor<1x2x6x4xf32>, %arg3: tensor<2xi64>) -> tensor<1x2x2x4xf32> {
    %0 = tensor.empty() : tensor<6xi64>
    %1 = linalg.generic {indexing_maps = [#map], iterator_types = ["parallel"]} outs(%0 : tensor<6xi64>) {
    ^bb0(%out: i64):
      %5 = linalg.index 0 : index
      %6 = arith.index_cast %5 : index to i64
      linalg.yield %6 : i64
    } -> tensor<6xi64>
    %2 = tensor.empty() : tensor<2x6xi1>
    %3 = linalg.generic {indexing_maps = [#map1, #map2, #map3], iterator_types = ["parallel", "parallel"]} ins(%arg3, %1 : tensor<2xi64>, tensor<6xi64>) outs(%2 : tensor<2x6xi1>) {
    ^bb0(%in: i64, %in_0: i64, %out: i1):
      %5 = arith.cmpi sge, %in, %in_0 : i64
      linalg.yield %5 : i1
    } -> tensor<2x6xi1>
    %expanded = tensor.expand_shape %3 [[0, 1, 2], [3]] output_shape [1, 1, 2, 6] : tensor<2x6xi1> into tensor<1x1x2x6xi1>
    %4 = "dry.attention"(%arg0, %arg1, %arg2, %expanded) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<1x2x2x4xf32>, tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>, tensor<1x1x2x6xi1>) -> tensor<1x2x2x4xf32>
    return %4 : tensor<1x2x2x4xf32>
  }
}

// after:
#map = affine_map<(d0, d1, d2) -> (d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
module {
  func.func @main(%arg0: tensor<1x2x2x4xf32>, %arg1: tensor<1x2x6x4xf32>, %arg2: tensor<1x2x6x4xf32>, %arg3: tensor<2xi64>) -> tensor<1x2x2x4xf32> {
    %c0 = arith.constant 0 : index
    %c1_i64 = arith.constant 1 : i64
    %c2147483647_i64 = arith.constant 2147483647 : i64
    %c0_i64 = arith.constant 0 : i64
    %0 = tensor.empty() : tensor<2x1x2xi64>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg3 : tensor<2xi64>) outs(%0 : tensor<2x1x2xi64>) {
    ^bb0(%in: i64, %out: i64):
      %3 = arith.addi %in, %c1_i64 : i64
      %4 = arith.minsi %3, %c2147483647_i64 : i64
      %5 = linalg.index 0 : index
      %6 = arith.cmpi eq, %5, %c0 : index
      %7 = arith.select %6, %c0_i64, %4 : i64
      linalg.yield %7 : i64
    } -> tensor<2x1x2xi64>
    %2 = "dry.attention"(%arg0, %arg1, %arg2, %1) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 1, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<1x2x2x4xf32>, tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>, tensor<2x1x2xi64>) -> tensor<1x2x2x4xf32>
    return %2 : tensor<1x2x2x4xf32>
  }
}

// case: a mask of padded keys, the same for all queries
func.func @main(%q: tensor<2x2x5x4xf32>, %k: tensor<2x2x6x4xf32>, %keep: tensor<2x6xi64>) -> tensor<2x2x5x4xf32> {
  %all = arith.constant dense<true> : tensor<2x5xi1>
  %zero = arith.constant 0 : i64
  %e = tensor.empty() : tensor<2x1x5x6xi1>
  %m = linalg.generic {indexing_maps = [affine_map<(b, h, s, t) -> (b, s)>, affine_map<(b, h, s, t) -> (b, t)>, affine_map<(b, h, s, t) -> (b, h, s, t)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%all, %keep : tensor<2x5xi1>, tensor<2x6xi64>) outs(%e : tensor<2x1x5x6xi1>) {
  ^bb0(%a: i1, %b: i64, %o: i1):
    %c = arith.cmpi ne, %b, %zero : i64
    %d = arith.andi %a, %c : i1
    linalg.yield %d : i1
  } -> tensor<2x1x5x6xi1>
  %y = "dry.attention"(%q, %k, %k, %m) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0>, scale = 0.5 : f64, sinks = 0 : i64, tile = []} : (tensor<2x2x5x4xf32>, tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>, tensor<2x1x5x6xi1>) -> tensor<2x2x5x4xf32>
  return %y : tensor<2x2x5x4xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<2x2x5x4xf32>, %arg1: tensor<2x2x6x4xf32>, %arg2: tensor<2x6xi64>) -> tensor<2x2x5x4xf32> {
    %c0_i64 = arith.constant 0 : i64
    %0 = tensor.empty() : tensor<2x1x1x6xi1>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg2 : tensor<2x6xi64>) outs(%0 : tensor<2x1x1x6xi1>) {
    ^bb0(%in: i64, %out: i1):
      %3 = arith.cmpi ne, %in, %c0_i64 : i64
      linalg.yield %3 : i1
    } -> tensor<2x1x1x6xi1>
    %2 = "dry.attention"(%arg0, %arg1, %arg1, %1) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0>, scale = 5.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<2x2x5x4xf32>, tensor<2x2x6x4xf32>, tensor<2x2x6x4xf32>, tensor<2x1x1x6xi1>) -> tensor<2x2x5x4xf32>
    return %2 : tensor<2x2x5x4xf32>
  }
}
