// case: what depends on weights alone, scalars in regions, constants of several values
func.func @main(%x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<2xf32>) {
  %eps = arith.constant 1.0e-05 : f64
  %two = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<8xf32>
  %e = tensor.empty() : tensor<8xf32>
  %s = linalg.generic {
    indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]
  } ins(%v : tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %c = arith.truncf %eps : f64 to f32
    %m = arith.mulf %a, %a : f32
    %p = arith.addf %m, %c : f32
    %q = math.rsqrt %p : f32
    linalg.yield %q : f32
  } -> tensor<8xf32>
  %f = tensor.empty() : tensor<4x8xf32>
  %y = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]
  } ins(%x, %s : tensor<4x8xf32>, tensor<8xf32>) outs(%f : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %c = arith.truncf %eps : f64 to f32
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %p, %c : f32
    linalg.yield %q : f32
  } -> tensor<4x8xf32>
  return %y, %two : tensor<4x8xf32>, tensor<2xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<2xf32>) {
    %cst = arith.constant 9.99999974E-6 : f32
    %0 = "dry.weight"() {key = "constant"} : () -> tensor<2xf32>
    %1 = "dry.weight"() {key = "v.folded"} : () -> tensor<8xf32>
    %2 = tensor.empty() : tensor<4x8xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %1 : tensor<4x8xf32>, tensor<8xf32>) outs(%2 : tensor<4x8xf32>) {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %4 = arith.mulf %in, %in_0 : f32
      %5 = arith.addf %4, %cst : f32
      linalg.yield %5 : f32
    } -> tensor<4x8xf32>
    return %3, %0 : tensor<4x8xf32>, tensor<2xf32>
  }
}

// case: a broadcast that would fill megabytes stays, and so does a slice of a weight needed whole
func.func @main(%i: tensor<4xi64>) -> (tensor<1024x1024xf32>, tensor<4x8xf32>, tensor<8x8xf32>) {
  %v = "dry.weight"() {key = "v"} : () -> tensor<1024xf32>
  %w = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
  %e = tensor.empty() : tensor<1024x1024xf32>
  %s = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]
  } ins(%v : tensor<1024xf32>) outs(%e : tensor<1024x1024xf32>) {
  ^bb0(%a: f32, %o: f32):
    %q = math.exp %a : f32
    linalg.yield %q : f32
  } -> tensor<1024x1024xf32>
  %y = "dry.embedding"(%w, %i) : (tensor<16x8xf32>, tensor<4xi64>) -> tensor<4x8xf32>
  %z = tensor.extract_slice %w[8, 0] [8, 8] [1, 1] : tensor<16x8xf32> to tensor<8x8xf32>
  return %s, %y, %z : tensor<1024x1024xf32>, tensor<4x8xf32>, tensor<8x8xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1)>
#map1 = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<4xi64>) -> (tensor<1024x1024xf32>, tensor<4x8xf32>, tensor<8x8xf32>) {
    %0 = "dry.weight"() {key = "v"} : () -> tensor<1024xf32>
    %1 = "dry.weight"() {key = "w"} : () -> tensor<16x8xf32>
    %2 = tensor.empty() : tensor<1024x1024xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<1024xf32>) outs(%2 : tensor<1024x1024xf32>) {
    ^bb0(%in: f32, %out: f32):
      %5 = math.exp %in : f32
      linalg.yield %5 : f32
    } -> tensor<1024x1024xf32>
    %4 = "dry.embedding"(%1, %arg0) : (tensor<16x8xf32>, tensor<4xi64>) -> tensor<4x8xf32>
    %extracted_slice = tensor.extract_slice %1[8, 0] [8, 8] [1, 1] : tensor<16x8xf32> to tensor<8x8xf32>
    return %3, %4, %extracted_slice : tensor<1024x1024xf32>, tensor<4x8xf32>, tensor<8x8xf32>
  }
}
