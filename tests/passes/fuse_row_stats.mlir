// case: a loss and a choice of logits
#row = affine_map<(i) -> (i)>
#none = affine_map<(i) -> ()>
#all = affine_map<(i, j, k) -> (i, j, k)>
#rows = affine_map<(i, j, k) -> (i, j)>
func.func @main(%h: tensor<16x4xf32>, %t: tensor<16xi64>) -> (tensor<f32>, tensor<2x8xi64>) {
  %w = "dry.weight"() {key = "head"} : () -> tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %x = "dry.matmul"(%h, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<16x4xf32>, tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<16x8192xf32>
  %y = tensor.expand_shape %x [[0, 1], [2]] output_shape [2, 8, 8192] : tensor<16x8192xf32> into tensor<2x8x8192xf32>
  %least = arith.constant 0xFF800000 : f32
  %first = arith.constant 0 : i64
  %e0 = tensor.empty() : tensor<2x8xf32>
  %f0 = linalg.fill ins(%least : f32) outs(%e0 : tensor<2x8xf32>) -> tensor<2x8xf32>
  %e1 = tensor.empty() : tensor<2x8xi64>
  %f1 = linalg.fill ins(%first : i64) outs(%e1 : tensor<2x8xi64>) -> tensor<2x8xi64>
  %best:2 = linalg.generic {indexing_maps = [#all, #rows, #rows], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%y : tensor<2x8x8192xf32>) outs(%f0, %f1 : tensor<2x8xf32>, tensor<2x8xi64>) {
  ^bb0(%v: f32, %o: f32, %p: i64):
    %i = linalg.index 2 : index
    %n = arith.index_cast %i : index to i64
    %m = arith.maximumf %v, %o : f32
    %c = arith.cmpf ogt, %v, %o : f32
    %s = arith.select %c, %n, %p : i64
    linalg.yield %m, %s : f32, i64
  } -> (tensor<2x8xf32>, tensor<2x8xi64>)
  %peak, %rest = "dry.logsumexp"(%x) {dim = 1 : i64} : (tensor<16x8192xf32>) -> (tensor<16xf32>, tensor<16xf32>)
  %zero = arith.constant 0.0 : f32
  %e2 = tensor.empty() : tensor<f32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<f32>) -> tensor<f32>
  %loss = linalg.generic {indexing_maps = [#row, #row, #row, #none], iterator_types = ["reduction"]}
    ins(%t, %peak, %rest : tensor<16xi64>, tensor<16xf32>, tensor<16xf32>) outs(%f2 : tensor<f32>) {
  ^bb0(%g: i64, %a: f32, %b: f32, %o: f32):
    %r = linalg.index 0 : index
    %k = arith.index_cast %g : i64 to index
    %l = tensor.extract %x[%r, %k] : tensor<16x8192xf32>
    %d = arith.subf %a, %l : f32
    %q = arith.addf %d, %b : f32
    %u = arith.addf %q, %o : f32
    linalg.yield %u : f32
  } -> tensor<f32>
  return %loss, %best#1 : tensor<f32>, tensor<2x8xi64>
}

// after:
#map = affine_map<(d0) -> (d0)>
#map1 = affine_map<(d0) -> ()>
module {
  func.func @main(%arg0: tensor<16x4xf32>, %arg1: tensor<16xi64>) -> (tensor<f32>, tensor<2x8xi64>) {
    %0 = "dry.weight"() {key = "head"} : () -> tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<16x4xf32>, tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<16x8192xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %2 = tensor.empty() : tensor<f32>
    %3 = linalg.fill ins(%cst : f32) outs(%2 : tensor<f32>) -> tensor<f32>
    %4 = tensor.empty() : tensor<16xi64>
    %5 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]} ins(%arg1 : tensor<16xi64>) outs(%4 : tensor<16xi64>) {
    ^bb0(%in: i64, %out: i64):
      %8 = arith.index_cast %in : i64 to index
      %9 = arith.index_cast %8 : index to i64
      linalg.yield %9 : i64
    } -> tensor<16xi64>
    %6:4 = "dry.row_stats"(%1, %5) {operandSegmentSizes = array<i32: 1, 1>, resultSegmentSizes = array<i32: 1, 1, 1, 1, 0>} : (tensor<16x8192xf32>, tensor<16xi64>) -> (tensor<16xf32>, tensor<16xf32>, tensor<16xi64>, tensor<16xf32>)
    %expanded = tensor.expand_shape %6#2 [[0, 1]] output_shape [2, 8] : tensor<16xi64> into tensor<2x8xi64>
    %7 = linalg.generic {indexing_maps = [#map, #map, #map, #map, #map1], iterator_types = ["reduction"]} ins(%arg1, %6#0, %6#1, %6#3 : tensor<16xi64>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) outs(%3 : tensor<f32>) {
    ^bb0(%in: i64, %in_0: f32, %in_1: f32, %in_2: f32, %out: f32):
      %8 = linalg.index 0 : index
      %9 = arith.index_cast %in : i64 to index
      %10 = arith.subf %in_0, %in_2 : f32
      %11 = arith.addf %10, %in_1 : f32
      %12 = arith.addf %11, %out : f32
      linalg.yield %12 : f32
    } -> tensor<f32>
    return %7, %expanded : tensor<f32>, tensor<2x8xi64>
  }
}

// case: logits that are a result stay
func.func @main(%h: tensor<16x4xf32>) -> (tensor<16x8192xf32>, tensor<16xf32>, tensor<16xf32>) {
  %w = "dry.weight"() {key = "head"} : () -> tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %x = "dry.matmul"(%h, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<16x4xf32>, tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<16x8192xf32>
  %peak, %rest = "dry.logsumexp"(%x) {dim = 1 : i64} : (tensor<16x8192xf32>) -> (tensor<16xf32>, tensor<16xf32>)
  return %x, %peak, %rest : tensor<16x8192xf32>, tensor<16xf32>, tensor<16xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<16x4xf32>) -> (tensor<16x8192xf32>, tensor<16xf32>, tensor<16xf32>) {
    %0 = "dry.weight"() {key = "head"} : () -> tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<16x4xf32>, tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<16x8192xf32>
    %2:2 = "dry.logsumexp"(%1) {dim = 1 : i64} : (tensor<16x8192xf32>) -> (tensor<16xf32>, tensor<16xf32>)
    return %1, %2#0, %2#1 : tensor<16x8192xf32>, tensor<16xf32>, tensor<16xf32>
  }
}

// case: a smoothed loss, its sums along rows before what picks
#all = affine_map<(i, j) -> (i, j)>
#of = affine_map<(i, j) -> (i)>
#row = affine_map<(i) -> (i)>
#none = affine_map<(i) -> ()>
func.func @main(%h: tensor<16x4xf32>, %t: tensor<16xi64>) -> tensor<f32> {
  %w = "dry.weight"() {key = "head"} : () -> tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %x = "dry.matmul"(%h, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<16x4xf32>, tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<16x8192xf32>
  %peak, %rest = "dry.logsumexp"(%x) {dim = 1 : i64} : (tensor<16x8192xf32>) -> (tensor<16xf32>, tensor<16xf32>)
  %zero = arith.constant 0.0 : f32
  %part = arith.constant 0.001 : f32
  %e1 = tensor.empty() : tensor<16xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<16xf32>) -> tensor<16xf32>
  %sums = linalg.generic {indexing_maps = [#all, #of, #of, #of], iterator_types = ["parallel", "reduction"]}
    ins(%x, %peak, %rest : tensor<16x8192xf32>, tensor<16xf32>, tensor<16xf32>) outs(%f1 : tensor<16xf32>) {
  ^bb0(%l: f32, %a: f32, %b: f32, %o: f32):
    %d = arith.subf %l, %a : f32
    %q = arith.subf %d, %b : f32
    %m = arith.mulf %q, %part : f32
    %u = arith.addf %m, %o : f32
    linalg.yield %u : f32
  } -> tensor<16xf32>
  %e2 = tensor.empty() : tensor<f32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<f32>) -> tensor<f32>
  %loss = linalg.generic {indexing_maps = [#row, #row, #row, #row, #none], iterator_types = ["reduction"]}
    ins(%t, %peak, %rest, %sums : tensor<16xi64>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) outs(%f2 : tensor<f32>) {
  ^bb0(%g: i64, %a: f32, %b: f32, %s: f32, %o: f32):
    %r = linalg.index 0 : index
    %k = arith.index_cast %g : i64 to index
    %l = tensor.extract %x[%r, %k] : tensor<16x8192xf32>
    %d = arith.subf %a, %l : f32
    %q = arith.addf %d, %b : f32
    %p = arith.subf %q, %s : f32
    %u = arith.addf %p, %o : f32
    linalg.yield %u : f32
  } -> tensor<f32>
  return %loss : tensor<f32>
}

// after:
#map = affine_map<(d0) -> (d0)>
#map1 = affine_map<(d0) -> ()>
module {
  func.func @main(%arg0: tensor<16x4xf32>, %arg1: tensor<16xi64>) -> tensor<f32> {
    %0 = "dry.weight"() {key = "head"} : () -> tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<16x4xf32>, tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<16x8192xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %cst_0 = arith.constant 1.000000e-03 : f32
    %2 = tensor.empty() : tensor<16xi64>
    %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]} ins(%arg1 : tensor<16xi64>) outs(%2 : tensor<16xi64>) {
    ^bb0(%in: i64, %out: i64):
      %10 = arith.index_cast %in : i64 to index
      %11 = arith.index_cast %10 : index to i64
      linalg.yield %11 : i64
    } -> tensor<16xi64>
    %4:4 = "dry.row_stats"(%1, %3) {operandSegmentSizes = array<i32: 1, 1>, resultSegmentSizes = array<i32: 1, 1, 0, 1, 1>} : (tensor<16x8192xf32>, tensor<16xi64>) -> (tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>)
    %5 = tensor.empty() : tensor<16xf32>
    %6 = linalg.generic {indexing_maps = [#map, #map, #map, #map], iterator_types = ["parallel"]} ins(%4#3, %4#0, %4#1 : tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) outs(%5 : tensor<16xf32>) {
    ^bb0(%in: f32, %in_1: f32, %in_2: f32, %out: f32):
      %cst_3 = arith.constant 8.192000e+03 : f32
      %10 = arith.mulf %in_1, %cst_3 : f32
      %11 = arith.subf %in, %10 : f32
      %cst_4 = arith.constant 8.192000e+03 : f32
      %12 = arith.mulf %in_2, %cst_4 : f32
      %13 = arith.subf %11, %12 : f32
      %14 = arith.mulf %13, %cst_0 : f32
      linalg.yield %14 : f32
    } -> tensor<16xf32>
    %7 = tensor.empty() : tensor<f32>
    %8 = linalg.fill ins(%cst : f32) outs(%7 : tensor<f32>) -> tensor<f32>
    %9 = linalg.generic {indexing_maps = [#map, #map, #map, #map, #map, #map1], iterator_types = ["reduction"]} ins(%arg1, %4#0, %4#1, %6, %4#2 : tensor<16xi64>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) outs(%8 : tensor<f32>) {
    ^bb0(%in: i64, %in_1: f32, %in_2: f32, %in_3: f32, %in_4: f32, %out: f32):
      %10 = linalg.index 0 : index
      %11 = arith.index_cast %in : i64 to index
      %12 = arith.subf %in_1, %in_4 : f32
      %13 = arith.addf %12, %in_2 : f32
      %14 = arith.subf %13, %in_3 : f32
      %15 = arith.addf %14, %out : f32
      linalg.yield %15 : f32
    } -> tensor<f32>
    return %9 : tensor<f32>
  }
}

// case: the sum of all logits, masked by row; a sum of squares stays
#all = affine_map<(i, j) -> (i, j)>
#of = affine_map<(i, j) -> (i)>
#none = affine_map<(i, j) -> ()>
func.func @main(%h: tensor<16x4xf32>, %c: tensor<16xi1>) -> (tensor<f32>, tensor<f32>) {
  %w = "dry.weight"() {key = "head"} : () -> tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %x = "dry.matmul"(%h, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<16x4xf32>, tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<16x8192xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %sum = linalg.generic {indexing_maps = [#of, #all, #none], iterator_types = ["reduction", "reduction"]}
    ins(%c, %x : tensor<16xi1>, tensor<16x8192xf32>) outs(%f : tensor<f32>) {
  ^bb0(%g: i1, %l: f32, %o: f32):
    %n = arith.negf %l : f32
    %s = arith.select %g, %n, %zero : f32
    %u = arith.addf %o, %s : f32
    linalg.yield %u : f32
  } -> tensor<f32>
  %y = "dry.matmul"(%h, %w) ({
  ^bb0(%a: f32):
    %m = arith.negf %a : f32
    "dry.yield"(%m) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<16x4xf32>, tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<16x8192xf32>
  %squares = linalg.generic {indexing_maps = [#all, #none], iterator_types = ["reduction", "reduction"]}
    ins(%y : tensor<16x8192xf32>) outs(%f : tensor<f32>) {
  ^bb0(%l: f32, %o: f32):
    %s = arith.mulf %l, %l : f32
    %u = arith.addf %o, %s : f32
    linalg.yield %u : f32
  } -> tensor<f32>
  return %sum, %squares : tensor<f32>, tensor<f32>
}

// after:
#map = affine_map<(d0) -> (d0)>
#map1 = affine_map<(d0) -> ()>
#map2 = affine_map<(d0, d1) -> (d0, d1)>
#map3 = affine_map<(d0, d1) -> ()>
module {
  func.func @main(%arg0: tensor<16x4xf32>, %arg1: tensor<16xi1>) -> (tensor<f32>, tensor<f32>) {
    %0 = "dry.weight"() {key = "head"} : () -> tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg2: f32):
      "dry.yield"(%arg2) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<16x4xf32>, tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<16x8192xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %2 = tensor.empty() : tensor<f32>
    %3 = linalg.fill ins(%cst : f32) outs(%2 : tensor<f32>) -> tensor<f32>
    %4:2 = "dry.row_stats"(%1) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 0, 0, 0, 1>} : (tensor<16x8192xf32>) -> (tensor<16xf32>, tensor<16xf32>)
    %5 = linalg.generic {indexing_maps = [#map, #map, #map1], iterator_types = ["reduction"]} ins(%arg1, %4#1 : tensor<16xi1>, tensor<16xf32>) outs(%3 : tensor<f32>) {
    ^bb0(%in: i1, %in_0: f32, %out: f32):
      %8 = arith.negf %in_0 : f32
      %cst_1 = arith.constant 8.192000e+03 : f32
      %9 = arith.mulf %cst, %cst_1 : f32
      %10 = arith.select %in, %8, %9 : f32
      %11 = arith.addf %10, %out : f32
      linalg.yield %11 : f32
    } -> tensor<f32>
    %6 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg2: f32):
      %8 = arith.negf %arg2 : f32
      "dry.yield"(%8) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<16x4xf32>, tensor<8192x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<16x8192xf32>
    %7 = linalg.generic {indexing_maps = [#map2, #map3], iterator_types = ["reduction", "reduction"]} ins(%6 : tensor<16x8192xf32>) outs(%3 : tensor<f32>) {
    ^bb0(%in: f32, %out: f32):
      %8 = arith.mulf %in, %in : f32
      %9 = arith.addf %out, %8 : f32
      linalg.yield %9 : f32
    } -> tensor<f32>
    return %5, %7 : tensor<f32>, tensor<f32>
  }
}
