// case: a weight and a transpose, behind a dimension of extent 1
func.func @main(%x: tensor<8x4xf32>, %w: tensor<8xf32>, %t: tensor<4xi64>) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4x8xf32>
  %f = tensor.empty() : tensor<4xf32>
  %c0 = arith.constant 0 : index
  %m = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%x : tensor<8x4xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  } -> tensor<4x8xf32>
  %y = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%m, %w : tensor<4x8xf32>, tensor<8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.mulf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<4x8xf32>
  %u = tensor.expand_shape %y [[0, 1], [2]] output_shape [4, 1, 8] : tensor<4x8xf32> into tensor<4x1x8xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
    iterator_types = ["parallel"]
  } ins(%t : tensor<4xi64>) outs(%f : tensor<4xf32>) {
  ^bb0(%a: i64, %o: f32):
    %i = linalg.index 0 : index
    %k = arith.index_cast %a : i64 to index
    %r = tensor.extract %u[%i, %c0, %k] : tensor<4x1x8xf32>
    linalg.yield %r : f32
  } -> tensor<4xf32>
  return %z : tensor<4xf32>
}

// after:
#map = affine_map<(d0) -> (d0)>
module {
  func.func @main(%arg0: tensor<8x4xf32>, %arg1: tensor<8xf32>, %arg2: tensor<4xi64>) -> tensor<4xf32> {
    %0 = tensor.empty() : tensor<4xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]} ins(%arg2 : tensor<4xi64>) outs(%0 : tensor<4xf32>) {
    ^bb0(%in: i64, %out: f32):
      %2 = linalg.index 0 : index
      %3 = arith.index_cast %in : i64 to index
      %extracted = tensor.extract %arg0[%3, %2] : tensor<8x4xf32>
      %extracted_0 = tensor.extract %arg1[%3] : tensor<8xf32>
      %4 = arith.mulf %extracted, %extracted_0 : f32
      linalg.yield %4 : f32
    } -> tensor<4xf32>
    return %1 : tensor<4xf32>
  }
}

// case: not where the map is stored all the same, or slow
func.func @main(%x: tensor<8xf32>, %t: tensor<4xi64>) -> (tensor<4xf32>, tensor<8xf32>) {
  %e = tensor.empty() : tensor<8xf32>
  %f = tensor.empty() : tensor<4xf32>
  %y = linalg.generic {
    indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
    iterator_types = ["parallel"]
  } ins(%x : tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.mulf %a, %a : f32
    linalg.yield %r : f32
  } -> tensor<8xf32>
  %s = linalg.generic {
    indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
    iterator_types = ["parallel"]
  } ins(%x : tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = math.exp %a : f32
    linalg.yield %r : f32
  } -> tensor<8xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
    iterator_types = ["parallel"]
  } ins(%t : tensor<4xi64>) outs(%f : tensor<4xf32>) {
  ^bb0(%a: i64, %o: f32):
    %k = arith.index_cast %a : i64 to index
    %r = tensor.extract %y[%k] : tensor<8xf32>
    %q = tensor.extract %s[%k] : tensor<8xf32>
    %p = arith.addf %q, %r : f32
    linalg.yield %p : f32
  } -> tensor<4xf32>
  return %z, %y : tensor<4xf32>, tensor<8xf32>
}

// after:
#map = affine_map<(d0) -> (d0)>
module {
  func.func @main(%arg0: tensor<8xf32>, %arg1: tensor<4xi64>) -> (tensor<4xf32>, tensor<8xf32>) {
    %0 = tensor.empty() : tensor<8xf32>
    %1 = tensor.empty() : tensor<4xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]} ins(%arg0 : tensor<8xf32>) outs(%0 : tensor<8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %5 = arith.mulf %in, %in : f32
      linalg.yield %5 : f32
    } -> tensor<8xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]} ins(%arg0 : tensor<8xf32>) outs(%0 : tensor<8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %5 = math.exp %in : f32
      linalg.yield %5 : f32
    } -> tensor<8xf32>
    %4 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]} ins(%arg1 : tensor<4xi64>) outs(%1 : tensor<4xf32>) {
    ^bb0(%in: i64, %out: f32):
      %5 = arith.index_cast %in : i64 to index
      %extracted = tensor.extract %2[%5] : tensor<8xf32>
      %extracted_0 = tensor.extract %3[%5] : tensor<8xf32>
      %6 = arith.addf %extracted_0, %extracted : f32
      linalg.yield %6 : f32
    } -> tensor<4xf32>
    return %4, %2 : tensor<4xf32>, tensor<8xf32>
  }
}
