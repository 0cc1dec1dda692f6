// case: named operations become generics
func.func @main(%x: tensor<4x8xf32>) -> (tensor<8x4xf32>, tensor<4x8xf32>, tensor<4xf32>) {
  %e = tensor.empty() : tensor<8x4xf32>
  %t = linalg.transpose ins(%x : tensor<4x8xf32>) outs(%e : tensor<8x4xf32>) permutation = [1, 0]
  %s = arith.addf %x, %x : tensor<4x8xf32>
  %zero = arith.constant 0.0 : f32
  %f = tensor.empty() : tensor<4xf32>
  %g = linalg.fill ins(%zero : f32) outs(%f : tensor<4xf32>) -> tensor<4xf32>
  %r = linalg.reduce { arith.addf } ins(%x : tensor<4x8xf32>) outs(%g : tensor<4xf32>) dimensions = [1]
  return %t, %s, %r : tensor<8x4xf32>, tensor<4x8xf32>, tensor<4xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1, d0)>
#map1 = affine_map<(d0, d1) -> (d0, d1)>
#map2 = affine_map<(d0, d1) -> (d0)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> (tensor<8x4xf32>, tensor<4x8xf32>, tensor<4xf32>) {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = tensor.empty() : tensor<8x4xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel"]} ins(%arg0 : tensor<4x8xf32>) outs(%0 : tensor<8x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<8x4xf32>
    %2 = tensor.empty() : tensor<4x8xf32>
    %3 = linalg.generic {indexing_maps = [#map1, #map1, #map1], iterator_types = ["parallel", "parallel"]} ins(%arg0, %arg0 : tensor<4x8xf32>, tensor<4x8xf32>) outs(%2 : tensor<4x8xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %7 = arith.addf %in, %in_0 : f32
      linalg.yield %7 : f32
    } -> tensor<4x8xf32>
    %4 = tensor.empty() : tensor<4xf32>
    %5 = linalg.fill ins(%cst : f32) outs(%4 : tensor<4xf32>) -> tensor<4xf32>
    %6 = linalg.generic {indexing_maps = [#map1, #map2], iterator_types = ["parallel", "reduction"]} ins(%arg0 : tensor<4x8xf32>) outs(%5 : tensor<4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %7 = arith.addf %out, %in : f32
      linalg.yield %7 : f32
    } -> tensor<4xf32>
    return %1, %3, %6 : tensor<8x4xf32>, tensor<4x8xf32>, tensor<4xf32>
  }
}

// case: copies and moves of unit dimensions go
func.func @main(%x: tensor<1x8xf32>) -> (tensor<8x1xf32>, tensor<1x8xf32>) {
  %e = tensor.empty() : tensor<8x1xf32>
  %t = linalg.transpose ins(%x : tensor<1x8xf32>) outs(%e : tensor<8x1xf32>) permutation = [1, 0]
  %c = tensor.empty() : tensor<1x8xf32>
  %y = linalg.copy ins(%x : tensor<1x8xf32>) outs(%c : tensor<1x8xf32>) -> tensor<1x8xf32>
  return %t, %y : tensor<8x1xf32>, tensor<1x8xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<1x8xf32>) -> (tensor<8x1xf32>, tensor<1x8xf32>) {
    %collapsed = tensor.collapse_shape %arg0 [[0, 1]] : tensor<1x8xf32> into tensor<8xf32>
    %expanded = tensor.expand_shape %collapsed [[0, 1]] output_shape [8, 1] : tensor<8xf32> into tensor<8x1xf32>
    return %expanded, %arg0 : tensor<8x1xf32>, tensor<1x8xf32>
  }
}

// case: reshape by a shape of values
func.func @main(%x: tensor<4x?xf32>) -> tensor<?x2xf32> {
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %n = tensor.dim %x, %c1 : tensor<4x?xf32>
  %m = arith.muli %n, %c2 : index
  %shape = tensor.from_elements %m, %c2 : tensor<2xindex>
  %y = tensor.reshape %x(%shape) : (tensor<4x?xf32>, tensor<2xindex>) -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x?xf32>) -> tensor<?x2xf32> {
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %dim = tensor.dim %arg0, %c1 : tensor<4x?xf32>
    %0 = arith.muli %dim, %c2 : index
    %collapsed = tensor.collapse_shape %arg0 [[0, 1]] : tensor<4x?xf32> into tensor<?xf32>
    %expanded = tensor.expand_shape %collapsed [[0, 1]] output_shape [%0, 2] : tensor<?xf32> into tensor<?x2xf32>
    return %expanded : tensor<?x2xf32>
  }
}

// case: asserts, uniform inputs, positions of unit dimensions and constant divisors
func.func @main(%x: tensor<4x8xf32>, %v: tensor<4x1xf32>) -> tensor<4x8xf32> {
  %true = arith.constant true
  cf.assert %true, "always"
  %two = arith.constant dense<2.0> : tensor<f32>
  %four = arith.constant 4.0 : f32
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8xf32>
  %y = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, 0)>, affine_map<(i, j) -> ()>,
                     affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%x, %v, %two : tensor<4x8xf32>, tensor<4x1xf32>, tensor<f32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %o: f32):
    %ok = arith.cmpf one, %four, %zero : f32
    cf.assert %ok, "no element is zero"
    %p = arith.divf %a, %four : f32
    %q = arith.mulf %p, %b : f32
    %r = arith.addf %q, %c : f32
    linalg.yield %r : f32
  } -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d0)>
module {
  func.func @main(%arg0: tensor<4x8xf32>, %arg1: tensor<4x1xf32>) -> tensor<4x8xf32> {
    %cst = arith.constant 2.500000e-01 : f32
    %cst_0 = arith.constant 2.000000e+00 : f32
    %0 = tensor.empty() : tensor<4x8xf32>
    %collapsed = tensor.collapse_shape %arg1 [[0, 1]] : tensor<4x1xf32> into tensor<4xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %collapsed : tensor<4x8xf32>, tensor<4xf32>) outs(%0 : tensor<4x8xf32>) {
    ^bb0(%in: f32, %in_1: f32, %out: f32):
      %2 = arith.mulf %in, %cst : f32
      %3 = arith.mulf %2, %in_1 : f32
      %4 = arith.addf %3, %cst_0 : f32
      linalg.yield %4 : f32
    } -> tensor<4x8xf32>
    return %1 : tensor<4x8xf32>
  }
}
