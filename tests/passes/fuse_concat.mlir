// case: rotary positions: halves turned against each other inside the map that reads them
func.func @main(%x: tensor<2x3x8xf32>, %c: tensor<2x8xf32>, %s: tensor<2x8xf32>) -> tensor<3x2x8xf32> {
  %low = tensor.extract_slice %x[0, 0, 0] [2, 3, 4] [1, 1, 1] : tensor<2x3x8xf32> to tensor<2x3x4xf32>
  %high = tensor.extract_slice %x[0, 0, 4] [2, 3, 4] [1, 1, 1] : tensor<2x3x8xf32> to tensor<2x3x4xf32>
  %e = tensor.empty() : tensor<2x3x4xf32>
  %n = linalg.generic {
    indexing_maps = [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j, k)>],
    iterator_types = ["parallel", "parallel", "parallel"]
  } ins(%high : tensor<2x3x4xf32>) outs(%e : tensor<2x3x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.negf %a : f32
    linalg.yield %r : f32
  } -> tensor<2x3x4xf32>
  %t = tensor.concat dim(2) %n, %low : (tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> tensor<2x3x8xf32>
  %f = tensor.empty() : tensor<3x2x8xf32>
  %y = linalg.generic {
    indexing_maps = [affine_map<(j, i, k) -> (i, j, k)>, affine_map<(j, i, k) -> (i, k)>,
                     affine_map<(j, i, k) -> (i, j, k)>, affine_map<(j, i, k) -> (i, k)>,
                     affine_map<(j, i, k) -> (j, i, k)>],
    iterator_types = ["parallel", "parallel", "parallel"]
  } ins(%x, %c, %t, %s : tensor<2x3x8xf32>, tensor<2x8xf32>, tensor<2x3x8xf32>, tensor<2x8xf32>)
    outs(%f : tensor<3x2x8xf32>) {
  ^bb0(%a: f32, %b: f32, %u: f32, %v: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.mulf %u, %v : f32
    %r = arith.addf %p, %q : f32
    linalg.yield %r : f32
  } -> tensor<3x2x8xf32>
  return %y : tensor<3x2x8xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d1, d0, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d1, d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d1, d0, 0, d3)>
#map3 = affine_map<(d0, d1, d2, d3) -> (d1, d0, 1, d3)>
#map4 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<2x3x8xf32>, %arg1: tensor<2x8xf32>, %arg2: tensor<2x8xf32>) -> tensor<3x2x8xf32> {
    %c0 = arith.constant 0 : index
    %expanded = tensor.expand_shape %arg0 [[0], [1], [2, 3]] output_shape [2, 3, 2, 4] : tensor<2x3x8xf32> into tensor<2x3x2x4xf32>
    %expanded_0 = tensor.expand_shape %arg1 [[0], [1, 2]] output_shape [2, 2, 4] : tensor<2x8xf32> into tensor<2x2x4xf32>
    %expanded_1 = tensor.expand_shape %arg2 [[0], [1, 2]] output_shape [2, 2, 4] : tensor<2x8xf32> into tensor<2x2x4xf32>
    %0 = tensor.empty() : tensor<3x2x2x4xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map1, #map1, #map2, #map3, #map4], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded, %expanded_0, %expanded_1, %expanded, %expanded : tensor<2x3x2x4xf32>, tensor<2x2x4xf32>, tensor<2x2x4xf32>, tensor<2x3x2x4xf32>, tensor<2x3x2x4xf32>) outs(%0 : tensor<3x2x2x4xf32>) {
    ^bb0(%in: f32, %in_2: f32, %in_3: f32, %in_4: f32, %in_5: f32, %out: f32):
      %2 = arith.negf %in_5 : f32
      %3 = linalg.index 2 : index
      %4 = arith.cmpi eq, %3, %c0 : index
      %5 = arith.select %4, %2, %in_4 : f32
      %6 = arith.mulf %in, %in_2 : f32
      %7 = arith.mulf %5, %in_3 : f32
      %8 = arith.addf %6, %7 : f32
      linalg.yield %8 : f32
    } -> tensor<3x2x2x4xf32>
    %collapsed = tensor.collapse_shape %1 [[0], [1], [2, 3]] : tensor<3x2x2x4xf32> into tensor<3x2x8xf32>
    return %collapsed : tensor<3x2x8xf32>
  }
}

// case: cheap maps laid one after the other, read by a product
func.func @main(%x: tensor<?x4xf32>, %z: tensor<?x4xf32>) -> tensor<?x3xf32> {
  %c0 = arith.constant 0 : index
  %d = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%d) : tensor<?x4xf32>
  %p = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%x, %z : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.mulf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<?x4xf32>
  %q = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%x, %z : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.subf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<?x4xf32>
  %t = tensor.concat dim(1) %p, %q : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x8xf32>
  %w = "dry.weight"() {key = "w"} : () -> tensor<3x8xf32>
  %y = "dry.matmul"(%t, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x8xf32>, tensor<3x8xf32>) -> tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

// after:
#map = affine_map<(d0, d1, d2) -> (d0, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
module {
  func.func @main(%arg0: tensor<?x4xf32>, %arg1: tensor<?x4xf32>) -> tensor<?x3xf32> {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x4xf32>
    %0 = tensor.empty(%dim) : tensor<?x2x4xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map, #map1], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0, %arg1 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%0 : tensor<?x2x4xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %4 = arith.subf %in, %in_0 : f32
      %5 = arith.mulf %in, %in_0 : f32
      %6 = linalg.index 1 : index
      %7 = arith.cmpi eq, %6, %c0 : index
      %8 = arith.select %7, %5, %4 : f32
      linalg.yield %8 : f32
    } -> tensor<?x2x4xf32>
    %collapsed = tensor.collapse_shape %1 [[0], [1, 2]] : tensor<?x2x4xf32> into tensor<?x8xf32>
    %2 = "dry.weight"() {key = "w"} : () -> tensor<3x8xf32>
    %3 = "dry.matmul"(%collapsed, %2) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<?x8xf32>, tensor<3x8xf32>) -> tensor<?x3xf32>
    return %3 : tensor<?x3xf32>
  }
}

// case: not of unequal parts, nor where a part is a tensor that is there already, or costly
func.func @main(%x: tensor<2x4xf32>, %z: tensor<2x4xf32>) -> (tensor<2x8xf32>, tensor<2x8xf32>) {
  %e = tensor.empty() : tensor<2x4xf32>
  %p = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%x : tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = math.tanh %a : f32
    linalg.yield %r : f32
  } -> tensor<2x4xf32>
  %q = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%x : tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.negf %a : f32
    linalg.yield %r : f32
  } -> tensor<2x4xf32>
  %t = tensor.concat dim(1) %p, %q : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>
  %u = tensor.concat dim(1) %z, %q : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>
  return %t, %u : tensor<2x8xf32>, tensor<2x8xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<2x4xf32>, %arg1: tensor<2x4xf32>) -> (tensor<2x8xf32>, tensor<2x8xf32>) {
    %0 = tensor.empty() : tensor<2x4xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0 : tensor<2x4xf32>) outs(%0 : tensor<2x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %3 = math.tanh %in : f32
      linalg.yield %3 : f32
    } -> tensor<2x4xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0 : tensor<2x4xf32>) outs(%0 : tensor<2x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %3 = arith.negf %in : f32
      linalg.yield %3 : f32
    } -> tensor<2x4xf32>
    %concat = tensor.concat dim(1) %1, %2 : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>
    %concat_0 = tensor.concat dim(1) %arg1, %2 : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>
    return %concat, %concat_0 : tensor<2x8xf32>, tensor<2x8xf32>
  }
}
