// case: with a gain; by itself, beside the sum it is taken of; a quotient that goes on
#map = affine_map<(i, j, k) -> (i, j, k)>
#row = affine_map<(i, j, k) -> (i, j)>
#one = affine_map<(i, j, k) -> (i, j, 0)>
#last = affine_map<(i, j, k) -> (k)>
func.func @main(%x: tensor<2x?x8xf32>, %g: tensor<8xf32>) -> (tensor<2x?x8xf32>, tensor<2x?x8xf32>) {
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %eighth = arith.constant 0.125 : f32
  %eight = arith.constant 8.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %n = tensor.dim %x, %c1 : tensor<2x?x8xf32>
  %e = tensor.empty(%n) : tensor<2x?x8xf32>
  %f = tensor.empty(%n) : tensor<2x?x1xf32>
  %z = linalg.fill ins(%zero : f32) outs(%f : tensor<2x?x1xf32>) -> tensor<2x?x1xf32>
  %s = linalg.generic {indexing_maps = [#map, #one], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%x : tensor<2x?x8xf32>) outs(%z : tensor<2x?x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %1 = arith.mulf %a, %a : f32
    %2 = arith.addf %1, %o : f32
    linalg.yield %2 : f32
  } -> tensor<2x?x1xf32>
  %r = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<2x?x1xf32>) outs(%f : tensor<2x?x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %1 = arith.mulf %a, %eighth : f32
    %2 = arith.addf %1, %eps : f32
    %3 = math.rsqrt %2 : f32
    linalg.yield %3 : f32
  } -> tensor<2x?x1xf32>
  %c = tensor.collapse_shape %r [[0], [1, 2]] : tensor<2x?x1xf32> into tensor<2x?xf32>
  %y = linalg.generic {indexing_maps = [#last, #map, #row, #map], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%g, %x, %c : tensor<8xf32>, tensor<2x?x8xf32>, tensor<2x?xf32>) outs(%e : tensor<2x?x8xf32>) {
  ^bb0(%b: f32, %a: f32, %p: f32, %o: f32):
    %1 = arith.mulf %a, %p : f32
    %2 = arith.mulf %b, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<2x?x8xf32>
  %q = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<2x?x1xf32>) outs(%f : tensor<2x?x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %1 = arith.divf %a, %eight : f32
    %2 = arith.addf %1, %eps : f32
    %3 = math.sqrt %2 : f32
    linalg.yield %3 : f32
  } -> tensor<2x?x1xf32>
  %w = linalg.generic {indexing_maps = [#map, #one, #map], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%x, %q : tensor<2x?x8xf32>, tensor<2x?x1xf32>) outs(%e : tensor<2x?x8xf32>) {
  ^bb0(%a: f32, %p: f32, %o: f32):
    %1 = arith.divf %a, %p : f32
    %2 = math.tanh %1 : f32
    linalg.yield %2 : f32
  } -> tensor<2x?x8xf32>
  return %y, %w : tensor<2x?x8xf32>, tensor<2x?x8xf32>
}

// after:
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
module {
  func.func @main(%arg0: tensor<2x?x8xf32>, %arg1: tensor<8xf32>) -> (tensor<2x?x8xf32>, tensor<2x?x8xf32>) {
    %c1 = arith.constant 1 : index
    %dim = tensor.dim %arg0, %c1 : tensor<2x?x8xf32>
    %0 = tensor.empty(%dim) : tensor<2x?x8xf32>
    %1 = "dry.norm"(%arg0, %arg1) {axes = 1 : i64, eps = 9.9999997473787516E-6 : f64, kind = "rms", operandSegmentSizes = array<i32: 1, 1, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<2x?x8xf32>, tensor<8xf32>) -> tensor<2x?x8xf32>
    %2 = "dry.norm"(%arg0) {axes = 1 : i64, eps = 9.9999997473787516E-6 : f64, kind = "rms", operandSegmentSizes = array<i32: 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<2x?x8xf32>) -> tensor<2x?x8xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%2 : tensor<2x?x8xf32>) outs(%0 : tensor<2x?x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %4 = math.tanh %in : f32
      linalg.yield %4 : f32
    } -> tensor<2x?x8xf32>
    return %1, %3 : tensor<2x?x8xf32>, tensor<2x?x8xf32>
  }
}

// case: not where another number divides the sum
#map = affine_map<(i, k) -> (i, k)>
#row = affine_map<(i, k) -> (i)>
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %seven = arith.constant 7.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %e = tensor.empty() : tensor<4x8xf32>
  %f = tensor.empty() : tensor<4xf32>
  %z = linalg.fill ins(%zero : f32) outs(%f : tensor<4xf32>) -> tensor<4xf32>
  %s = linalg.generic {indexing_maps = [#map, #row], iterator_types = ["parallel", "reduction"]}
    ins(%x : tensor<4x8xf32>) outs(%z : tensor<4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %1 = arith.mulf %a, %a : f32
    %2 = arith.addf %1, %o : f32
    linalg.yield %2 : f32
  } -> tensor<4xf32>
  %q = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
    ins(%s : tensor<4xf32>) outs(%f : tensor<4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %1 = arith.divf %a, %seven : f32
    %2 = arith.addf %1, %eps : f32
    %3 = math.rsqrt %2 : f32
    linalg.yield %3 : f32
  } -> tensor<4xf32>
  %w = linalg.generic {indexing_maps = [#map, #row, #map], iterator_types = ["parallel", "parallel"]}
    ins(%x, %q : tensor<4x8xf32>, tensor<4xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %p: f32, %o: f32):
    %1 = arith.mulf %a, %p : f32
    linalg.yield %1 : f32
  } -> tensor<4x8xf32>
  return %w : tensor<4x8xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d0)>
#map2 = affine_map<(d0) -> (d0)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> tensor<4x8xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %cst_0 = arith.constant 7.000000e+00 : f32
    %cst_1 = arith.constant 9.99999974E-6 : f32
    %0 = tensor.empty() : tensor<4x8xf32>
    %1 = tensor.empty() : tensor<4xf32>
    %2 = linalg.fill ins(%cst : f32) outs(%1 : tensor<4xf32>) -> tensor<4xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%arg0 : tensor<4x8xf32>) outs(%2 : tensor<4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %6 = arith.mulf %in, %in : f32
      %7 = arith.addf %6, %out : f32
      linalg.yield %7 : f32
    } -> tensor<4xf32>
    %4 = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel"]} ins(%3 : tensor<4xf32>) outs(%1 : tensor<4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %6 = arith.divf %in, %cst_0 : f32
      %7 = arith.addf %6, %cst_1 : f32
      %8 = math.rsqrt %7 : f32
      linalg.yield %8 : f32
    } -> tensor<4xf32>
    %5 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %4 : tensor<4x8xf32>, tensor<4xf32>) outs(%0 : tensor<4x8xf32>) {
    ^bb0(%in: f32, %in_2: f32, %out: f32):
      %6 = arith.mulf %in, %in_2 : f32
      linalg.yield %6 : f32
    } -> tensor<4x8xf32>
    return %5 : tensor<4x8xf32>
  }
}
