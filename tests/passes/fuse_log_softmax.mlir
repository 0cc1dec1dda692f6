// case: elements picked by index, and a sum; logits that were moved
func.func @main(%x: tensor<2x?x8xf32>, %t: tensor<2x?xi64>) -> (tensor<2x?xf32>, tensor<2x?xf32>) {
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c1 : tensor<2x?x8xf32>
  %e = tensor.empty(%n) : tensor<2x8x?xf32>
  %f = tensor.empty(%n) : tensor<2x?xf32>
  %m = linalg.generic {
    indexing_maps = [affine_map<(b, c, i) -> (b, i, c)>, affine_map<(b, c, i) -> (b, c, i)>],
    iterator_types = ["parallel", "parallel", "parallel"]
  } ins(%x : tensor<2x?x8xf32>) outs(%e : tensor<2x8x?xf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  } -> tensor<2x8x?xf32>
  %l = "dry.softmax"(%m) {dim = 1 : i64, log = true} : (tensor<2x8x?xf32>) -> tensor<2x8x?xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(b, i) -> (b, i)>, affine_map<(b, i) -> (b, i)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%t : tensor<2x?xi64>) outs(%f : tensor<2x?xf32>) {
  ^bb0(%a: i64, %o: f32):
    %b = linalg.index 0 : index
    %i = linalg.index 1 : index
    %k = arith.index_cast %a : i64 to index
    %r = tensor.extract %l[%b, %k, %i] : tensor<2x8x?xf32>
    linalg.yield %r : f32
  } -> tensor<2x?xf32>
  %g = linalg.fill ins(%zero : f32) outs(%f : tensor<2x?xf32>) -> tensor<2x?xf32>
  %s = linalg.generic {
    indexing_maps = [affine_map<(b, i, c) -> (b, c, i)>, affine_map<(b, i, c) -> (b, i)>],
    iterator_types = ["parallel", "parallel", "reduction"]
  } ins(%l : tensor<2x8x?xf32>) outs(%g : tensor<2x?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<2x?xf32>
  return %z, %s : tensor<2x?xf32>, tensor<2x?xf32>
}

// after:
#map = affine_map<(d0, d1, d2) -> (d0, d2, d1)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map2 = affine_map<(d0, d1, d2) -> (d0, d2)>
#map3 = affine_map<(d0, d1) -> (d0, d1)>
#map4 = affine_map<(d0, d1, d2) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<2x?x8xf32>, %arg1: tensor<2x?xi64>) -> (tensor<2x?xf32>, tensor<2x?xf32>) {
    %c1 = arith.constant 1 : index
    %cst = arith.constant 0.000000e+00 : f32
    %dim = tensor.dim %arg0, %c1 : tensor<2x?x8xf32>
    %0 = tensor.empty(%dim) : tensor<2x8x?xf32>
    %1 = tensor.empty(%dim) : tensor<2x?xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0 : tensor<2x?x8xf32>) outs(%0 : tensor<2x8x?xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<2x8x?xf32>
    %3:2 = "dry.logsumexp"(%arg0) {dim = 2 : i64} : (tensor<2x?x8xf32>) -> (tensor<2x?xf32>, tensor<2x?xf32>)
    %4 = tensor.empty(%dim) : tensor<2x8x?xf32>
    %5 = linalg.generic {indexing_maps = [#map1, #map2, #map2, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%2, %3#0, %3#1 : tensor<2x8x?xf32>, tensor<2x?xf32>, tensor<2x?xf32>) outs(%4 : tensor<2x8x?xf32>) {
    ^bb0(%in: f32, %in_0: f32, %in_1: f32, %out: f32):
      %9 = arith.subf %in, %in_0 : f32
      %10 = arith.subf %9, %in_1 : f32
      linalg.yield %10 : f32
    } -> tensor<2x8x?xf32>
    %6 = linalg.generic {indexing_maps = [#map3, #map3], iterator_types = ["parallel", "parallel"]} ins(%arg1 : tensor<2x?xi64>) outs(%1 : tensor<2x?xf32>) {
    ^bb0(%in: i64, %out: f32):
      %9 = linalg.index 0 : index
      %10 = linalg.index 1 : index
      %11 = arith.index_cast %in : i64 to index
      %extracted = tensor.extract %5[%9, %11, %10] : tensor<2x8x?xf32>
      linalg.yield %extracted : f32
    } -> tensor<2x?xf32>
    %7 = linalg.fill ins(%cst : f32) outs(%1 : tensor<2x?xf32>) -> tensor<2x?xf32>
    %8 = linalg.generic {indexing_maps = [#map, #map4, #map4, #map4], iterator_types = ["parallel", "parallel", "reduction"]} ins(%2, %3#0, %3#1 : tensor<2x8x?xf32>, tensor<2x?xf32>, tensor<2x?xf32>) outs(%7 : tensor<2x?xf32>) {
    ^bb0(%in: f32, %in_0: f32, %in_1: f32, %out: f32):
      %9 = arith.subf %in, %in_0 : f32
      %10 = arith.subf %9, %in_1 : f32
      %11 = arith.addf %10, %out : f32
      linalg.yield %11 : f32
    } -> tensor<2x?xf32>
    return %6, %8 : tensor<2x?xf32>, tensor<2x?xf32>
  }
}

// case: not where it is wanted whole, or no logarithm
func.func @main(%x: tensor<4x8xf32>, %t: tensor<4xi64>) -> (tensor<4xf32>, tensor<4x8xf32>) {
  %f = tensor.empty() : tensor<4xf32>
  %l = "dry.softmax"(%x) {dim = 1 : i64, log = true} : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %p = "dry.softmax"(%x) {dim = 1 : i64, log = false} : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
    iterator_types = ["parallel"]
  } ins(%t : tensor<4xi64>) outs(%f : tensor<4xf32>) {
  ^bb0(%a: i64, %o: f32):
    %i = linalg.index 0 : index
    %k = arith.index_cast %a : i64 to index
    %r = tensor.extract %l[%i, %k] : tensor<4x8xf32>
    %q = tensor.extract %p[%i, %k] : tensor<4x8xf32>
    %s = arith.addf %q, %r : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  return %z, %l : tensor<4xf32>, tensor<4x8xf32>
}

// after:
#map = affine_map<(d0) -> (d0)>
module {
  func.func @main(%arg0: tensor<4x8xf32>, %arg1: tensor<4xi64>) -> (tensor<4xf32>, tensor<4x8xf32>) {
    %0 = tensor.empty() : tensor<4xf32>
    %1 = "dry.softmax"(%arg0) {dim = 1 : i64, log = true} : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %2 = "dry.softmax"(%arg0) {dim = 1 : i64, log = false} : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]} ins(%arg1 : tensor<4xi64>) outs(%0 : tensor<4xf32>) {
    ^bb0(%in: i64, %out: f32):
      %4 = linalg.index 0 : index
      %5 = arith.index_cast %in : i64 to index
      %extracted = tensor.extract %1[%4, %5] : tensor<4x8xf32>
      %extracted_0 = tensor.extract %2[%4, %5] : tensor<4x8xf32>
      %6 = arith.addf %extracted_0, %extracted : f32
      linalg.yield %6 : f32
    } -> tensor<4xf32>
    return %3, %1 : tensor<4xf32>, tensor<4x8xf32>
  }
}
