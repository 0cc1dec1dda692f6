// case: a product with a flag, along the first of two loops
func.func @main(%x: tensor<?x8xf32>, %w: tensor<8xf32>, %t: tensor<8xi64>) -> tensor<8xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0 : i64
  %e = tensor.empty() : tensor<8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8xf32>) -> tensor<8xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(c, i) -> (c, i)>, affine_map<(c, i) -> (i)>, affine_map<(c, i) -> (i)>, affine_map<(c, i) -> (i)>],
    iterator_types = ["reduction", "parallel"]
  } ins(%x, %w, %t : tensor<?x8xf32>, tensor<8xf32>, tensor<8xi64>) outs(%f : tensor<8xf32>) {
  ^bb0(%a: f32, %b: f32, %k: i64, %o: f32):
    %p = linalg.index 0 : index
    %q = arith.index_cast %p : index to i64
    %n = arith.maxsi %k, %low : i64
    %s = arith.cmpi eq, %q, %n : i64
    %u = arith.uitofp %s : i1 to f32
    %v = arith.mulf %u, %a : f32
    %r = arith.mulf %v, %b : f32
    %y = arith.addf %o, %r : f32
    linalg.yield %y : f32
  } -> tensor<8xf32>
  return %z : tensor<8xf32>
}

// after:
#map = affine_map<(d0) -> (d0)>
module {
  func.func @main(%arg0: tensor<?x8xf32>, %arg1: tensor<8xf32>, %arg2: tensor<8xi64>) -> tensor<8xf32> {
    %c0_i64 = arith.constant 0 : i64
    %cst = arith.constant 0.000000e+00 : f32
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x8xf32>
    %0 = tensor.empty() : tensor<8xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel"]} ins(%arg1, %arg2 : tensor<8xf32>, tensor<8xi64>) outs(%0 : tensor<8xf32>) {
    ^bb0(%in: f32, %in_0: i64, %out: f32):
      %2 = arith.maxsi %in_0, %c0_i64 : i64
      %3 = arith.index_cast %2 : i64 to index
      %4 = arith.cmpi ult, %3, %dim : index
      %5 = arith.select %4, %3, %c0 : index
      %6 = linalg.index 0 : index
      %extracted = tensor.extract %arg0[%5, %6] : tensor<?x8xf32>
      %7 = arith.uitofp %4 : i1 to f32
      %8 = arith.mulf %7, %extracted : f32
      %9 = arith.mulf %8, %in : f32
      %10 = arith.addf %9, %cst : f32
      linalg.yield %10 : f32
    } -> tensor<8xf32>
    return %1 : tensor<8xf32>
  }
}

// case: a choice between something and 0
func.func @main(%x: tensor<4x8xf32>, %t: tensor<4xi64>) -> tensor<4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(i, c) -> (i, c)>, affine_map<(i, c) -> (i)>, affine_map<(i, c) -> (i)>],
    iterator_types = ["parallel", "reduction"]
  } ins(%x, %t : tensor<4x8xf32>, tensor<4xi64>) outs(%f : tensor<4xf32>) {
  ^bb0(%a: f32, %k: i64, %o: f32):
    %p = linalg.index 1 : index
    %q = arith.index_cast %p : index to i64
    %s = arith.cmpi eq, %k, %q : i64
    %r = arith.select %s, %a, %zero : f32
    %y = arith.addf %r, %o : f32
    linalg.yield %y : f32
  } -> tensor<4xf32>
  return %z : tensor<4xf32>
}

// after:
#map = affine_map<(d0) -> (d0)>
module {
  func.func @main(%arg0: tensor<4x8xf32>, %arg1: tensor<4xi64>) -> tensor<4xf32> {
    %c0 = arith.constant 0 : index
    %c8 = arith.constant 8 : index
    %cst = arith.constant 0.000000e+00 : f32
    %0 = tensor.empty() : tensor<4xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]} ins(%arg1 : tensor<4xi64>) outs(%0 : tensor<4xf32>) {
    ^bb0(%in: i64, %out: f32):
      %2 = arith.index_cast %in : i64 to index
      %3 = arith.cmpi ult, %2, %c8 : index
      %4 = arith.select %3, %2, %c0 : index
      %5 = linalg.index 0 : index
      %extracted = tensor.extract %arg0[%5, %4] : tensor<4x8xf32>
      %6 = arith.select %3, %extracted, %cst : f32
      %7 = arith.addf %6, %cst : f32
      linalg.yield %7 : f32
    } -> tensor<4xf32>
    return %1 : tensor<4xf32>
  }
}

// case: not where other terms count, or the value changes along the loop
func.func @main(%x: tensor<4x8xf32>, %t: tensor<4xi64>, %v: tensor<8xi64>) -> (tensor<4xf32>, tensor<4xf32>) {
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %e = tensor.empty() : tensor<4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %z = linalg.generic {
    indexing_maps = [affine_map<(i, c) -> (i, c)>, affine_map<(i, c) -> (i)>, affine_map<(i, c) -> (i)>],
    iterator_types = ["parallel", "reduction"]
  } ins(%x, %t : tensor<4x8xf32>, tensor<4xi64>) outs(%f : tensor<4xf32>) {
  ^bb0(%a: f32, %k: i64, %o: f32):
    %p = linalg.index 1 : index
    %q = arith.index_cast %p : index to i64
    %s = arith.cmpi eq, %k, %q : i64
    %r = arith.select %s, %a, %one : f32
    %y = arith.addf %r, %o : f32
    linalg.yield %y : f32
  } -> tensor<4xf32>
  %w = linalg.generic {
    indexing_maps = [affine_map<(i, c) -> (i, c)>, affine_map<(i, c) -> (c)>, affine_map<(i, c) -> (i)>],
    iterator_types = ["parallel", "reduction"]
  } ins(%x, %v : tensor<4x8xf32>, tensor<8xi64>) outs(%f : tensor<4xf32>) {
  ^bb0(%a: f32, %k: i64, %o: f32):
    %p = linalg.index 1 : index
    %q = arith.index_cast %p : index to i64
    %s = arith.cmpi eq, %k, %q : i64
    %r = arith.select %s, %a, %zero : f32
    %y = arith.addf %r, %o : f32
    linalg.yield %y : f32
  } -> tensor<4xf32>
  return %z, %w : tensor<4xf32>, tensor<4xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d0)>
#map2 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<4x8xf32>, %arg1: tensor<4xi64>, %arg2: tensor<8xi64>) -> (tensor<4xf32>, tensor<4xf32>) {
    %cst = arith.constant 0.000000e+00 : f32
    %cst_0 = arith.constant 1.000000e+00 : f32
    %0 = tensor.empty() : tensor<4xf32>
    %1 = linalg.fill ins(%cst : f32) outs(%0 : tensor<4xf32>) -> tensor<4xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map1, #map1], iterator_types = ["parallel", "reduction"]} ins(%arg0, %arg1 : tensor<4x8xf32>, tensor<4xi64>) outs(%1 : tensor<4xf32>) {
    ^bb0(%in: f32, %in_1: i64, %out: f32):
      %4 = linalg.index 1 : index
      %5 = arith.index_cast %4 : index to i64
      %6 = arith.cmpi eq, %in_1, %5 : i64
      %7 = arith.select %6, %in, %cst_0 : f32
      %8 = arith.addf %7, %out : f32
      linalg.yield %8 : f32
    } -> tensor<4xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map2, #map1], iterator_types = ["parallel", "reduction"]} ins(%arg0, %arg2 : tensor<4x8xf32>, tensor<8xi64>) outs(%1 : tensor<4xf32>) {
    ^bb0(%in: f32, %in_1: i64, %out: f32):
      %4 = linalg.index 1 : index
      %5 = arith.index_cast %4 : index to i64
      %6 = arith.cmpi eq, %in_1, %5 : i64
      %7 = arith.select %6, %in, %cst : f32
      %8 = arith.addf %7, %out : f32
      linalg.yield %8 : f32
    } -> tensor<4xf32>
    return %2, %3 : tensor<4xf32>, tensor<4xf32>
  }
}
