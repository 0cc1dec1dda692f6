// case: destinations, fills, scalars, shared kernels
func.func @main(%x: tensor<?x8xf32>) -> (tensor<?xf32>, tensor<?x8xf32>) {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %m = arith.index_cast %n : index to i64
  %q = arith.sitofp %m : i64 to f32
  %e0 = tensor.empty(%n) : tensor<?x8xf32>
  %y0 = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]
  } ins(%x : tensor<?x8xf32>) outs(%e0 : tensor<?x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.divf %a, %q : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32>
  %e1 = tensor.empty(%n) : tensor<?x8xf32>
  %y1 = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]
  } ins(%y0 : tensor<?x8xf32>) outs(%e1 : tensor<?x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.divf %a, %q : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32>
  %f = tensor.empty(%n) : tensor<?xf32>
  %g = linalg.fill ins(%zero : f32) outs(%f : tensor<?xf32>) -> tensor<?xf32>
  %s = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]
  } ins(%y1 : tensor<?x8xf32>) outs(%g : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32>
  return %s, %y1 : tensor<?xf32>, tensor<?x8xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d0)>
module {
  func.func @main(%arg0: tensor<?x8xf32>) -> (tensor<?xf32>, tensor<?x8xf32>) {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x8xf32>
    %0 = arith.index_cast %dim : index to i64
    %1 = arith.sitofp %0 : i64 to f32
    %2 = tensor.empty(%dim) : tensor<?x8xf32>
    %3 = call @map_67b716145b0b(%arg0, %2, %1) : (tensor<?x8xf32>, tensor<?x8xf32>, f32) -> tensor<?x8xf32>
    %4 = tensor.empty(%dim) : tensor<?x8xf32>
    %5 = call @map_67b716145b0b(%3, %4, %1) : (tensor<?x8xf32>, tensor<?x8xf32>, f32) -> tensor<?x8xf32>
    %6 = tensor.empty(%dim) : tensor<?xf32>
    %7 = call @reduce_a0a6542ee10f(%5, %6) : (tensor<?x8xf32>, tensor<?xf32>) -> tensor<?xf32>
    return %7, %5 : tensor<?xf32>, tensor<?x8xf32>
  }
  func.func private @map_67b716145b0b(%arg0: tensor<?x8xf32>, %arg1: tensor<?x8xf32>, %arg2: f32) -> tensor<?x8xf32> attributes {dry.in_place = [array<i64: 0, 0>]} {
    %0 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0 : tensor<?x8xf32>) outs(%arg1 : tensor<?x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %1 = arith.divf %in, %arg2 : f32
      linalg.yield %1 : f32
    } -> tensor<?x8xf32>
    return %0 : tensor<?x8xf32>
  }
  func.func private @reduce_a0a6542ee10f(%arg0: tensor<?x8xf32>, %arg1: tensor<?xf32>) -> tensor<?xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = linalg.fill ins(%cst : f32) outs(%arg1 : tensor<?xf32>) -> tensor<?xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%arg0 : tensor<?x8xf32>) outs(%0 : tensor<?xf32>) {
    ^bb0(%in: f32, %out: f32):
      %2 = arith.addf %in, %out : f32
      linalg.yield %2 : f32
    } -> tensor<?xf32>
    return %1 : tensor<?xf32>
  }
}

// case: updates, slices, padding, control flow
func.func @main(%x: tensor<4x8xf32>, %u: tensor<2x8xf32>, %k: tensor<i64>) -> (tensor<4x8xf32>, tensor<2x8xf32>, tensor<4x2xf32>, tensor<6x8xf32>, tensor<4x8xf32>) {
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %a = tensor.insert_slice %u into %x[1, 0] [2, 8] [1, 1] : tensor<2x8xf32> into tensor<4x8xf32>
  %b = tensor.extract_slice %a[1, 0] [2, 8] [1, 1] : tensor<4x8xf32> to tensor<2x8xf32>
  %be = tensor.empty() : tensor<2x8xf32>
  %bx = linalg.exp ins(%b : tensor<2x8xf32>) outs(%be : tensor<2x8xf32>) -> tensor<2x8xf32>
  %c = tensor.extract_slice %a[0, 3] [4, 2] [1, 1] : tensor<4x8xf32> to tensor<4x2xf32>
  %p = tensor.pad %a low[2, 0] high[0, 0] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<4x8xf32> to tensor<6x8xf32>
  %t = tensor.extract %k[] : tensor<i64>
  %n = arith.index_cast %t : i64 to index
  %r = scf.for %i = %c0 to %n step %one iter_args(%acc = %x) -> (tensor<4x8xf32>) {
    %d = tensor.insert %zero into %acc[%i, %c0] : tensor<4x8xf32>
    scf.yield %d : tensor<4x8xf32>
  }
  return %a, %bx, %c, %p, %r : tensor<4x8xf32>, tensor<2x8xf32>, tensor<4x2xf32>, tensor<6x8xf32>, tensor<4x8xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x8xf32>, %arg1: tensor<2x8xf32>, %arg2: tensor<i64>) -> (tensor<4x8xf32>, tensor<2x8xf32>, tensor<4x2xf32>, tensor<6x8xf32>, tensor<4x8xf32>) {
    %0 = tensor.empty() : tensor<4x8xf32>
    %1 = call @insert_slice_b58715b2ae7a(%arg1, %arg0, %0) : (tensor<2x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    %extracted_slice = tensor.extract_slice %1[1, 0] [2, 8] [1, 1] : tensor<4x8xf32> to tensor<2x8xf32>
    %2 = tensor.empty() : tensor<2x8xf32>
    %3 = call @exp_312c97461e86(%extracted_slice, %2) : (tensor<2x8xf32>, tensor<2x8xf32>) -> tensor<2x8xf32>
    %4 = tensor.empty() : tensor<4x2xf32>
    %5 = call @extract_slice_d3c4a91b0cc1(%1, %4) : (tensor<4x8xf32>, tensor<4x2xf32>) -> tensor<4x2xf32>
    %6 = tensor.empty() : tensor<6x8xf32>
    %7 = call @pad_4c99f5a20475(%1, %6) : (tensor<4x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %extracted = tensor.extract %arg2[] : tensor<i64>
    %8 = arith.index_cast %extracted : i64 to index
    %9 = tensor.empty() : tensor<4x8xf32>
    %10 = call @for_e4c637cc3b83(%arg0, %9, %8) : (tensor<4x8xf32>, tensor<4x8xf32>, index) -> tensor<4x8xf32>
    return %1, %3, %5, %7, %10 : tensor<4x8xf32>, tensor<2x8xf32>, tensor<4x2xf32>, tensor<6x8xf32>, tensor<4x8xf32>
  }
  func.func private @insert_slice_b58715b2ae7a(%arg0: tensor<2x8xf32>, %arg1: tensor<4x8xf32>, %arg2: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {dry.in_place = [array<i64: 0, 1>]} {
    %0 = linalg.copy {cast = #linalg.type_fn<cast_signed>} ins(%arg1 : tensor<4x8xf32>) outs(%arg2 : tensor<4x8xf32>) -> tensor<4x8xf32>
    %inserted_slice = tensor.insert_slice %arg0 into %0[1, 0] [2, 8] [1, 1] : tensor<2x8xf32> into tensor<4x8xf32>
    return %inserted_slice : tensor<4x8xf32>
  }
  func.func private @exp_312c97461e86(%arg0: tensor<2x8xf32>, %arg1: tensor<2x8xf32>) -> tensor<2x8xf32> {
    %0 = linalg.exp ins(%arg0 : tensor<2x8xf32>) outs(%arg1 : tensor<2x8xf32>) -> tensor<2x8xf32>
    return %0 : tensor<2x8xf32>
  }
  func.func private @extract_slice_d3c4a91b0cc1(%arg0: tensor<4x8xf32>, %arg1: tensor<4x2xf32>) -> tensor<4x2xf32> {
    %extracted_slice = tensor.extract_slice %arg0[0, 3] [4, 2] [1, 1] : tensor<4x8xf32> to tensor<4x2xf32>
    return %extracted_slice : tensor<4x2xf32>
  }
  func.func private @pad_4c99f5a20475(%arg0: tensor<4x8xf32>, %arg1: tensor<6x8xf32>) -> tensor<6x8xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %padded = tensor.pad %arg0 low[2, 0] high[0, 0] {
    ^bb0(%arg2: index, %arg3: index):
      tensor.yield %cst : f32
    } : tensor<4x8xf32> to tensor<6x8xf32>
    return %padded : tensor<6x8xf32>
  }
  func.func private @for_e4c637cc3b83(%arg0: tensor<4x8xf32>, %arg1: tensor<4x8xf32>, %arg2: index) -> tensor<4x8xf32> attributes {dry.in_place = [array<i64: 0, 0>]} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %0 = linalg.copy {cast = #linalg.type_fn<cast_signed>} ins(%arg0 : tensor<4x8xf32>) outs(%arg1 : tensor<4x8xf32>) -> tensor<4x8xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %1 = scf.for %arg3 = %c0 to %arg2 step %c1 iter_args(%arg4 = %0) -> (tensor<4x8xf32>) {
      %inserted = tensor.insert %cst into %arg4[%arg3, %c0] : tensor<4x8xf32>
      scf.yield %inserted : tensor<4x8xf32>
    }
    return %1 : tensor<4x8xf32>
  }
}

// case: every result has memory of its own
func.func @main(%x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<8x4xf32>, tensor<4x8xf32>, tensor<8xf32>, tensor<2xf32>) {
  %w = "dry.weight"() {key = "w"} : () -> tensor<8xf32>
  %two = arith.constant dense<2.0> : tensor<2xf32>
  %e = tensor.empty() : tensor<4x8xf32>
  %y = linalg.exp ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
  %f = tensor.collapse_shape %y [[0, 1]] : tensor<4x8xf32> into tensor<32xf32>
  %z = tensor.expand_shape %f [[0, 1]] output_shape [8, 4] : tensor<32xf32> into tensor<8x4xf32>
  return %y, %z, %x, %w, %two : tensor<4x8xf32>, tensor<8x4xf32>, tensor<4x8xf32>, tensor<8xf32>, tensor<2xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<8x4xf32>, tensor<4x8xf32>, tensor<8xf32>, tensor<2xf32>) {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<8xf32>
    %1 = tensor.empty() : tensor<4x8xf32>
    %2 = call @exp_4b87117cb773(%arg0, %1) : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    %collapsed = tensor.collapse_shape %2 [[0, 1]] : tensor<4x8xf32> into tensor<32xf32>
    %expanded = tensor.expand_shape %collapsed [[0, 1]] output_shape [8, 4] : tensor<32xf32> into tensor<8x4xf32>
    %3 = tensor.empty() : tensor<8x4xf32>
    %4 = call @copy_34f91aba8d7c(%expanded, %3) : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<8x4xf32>
    %5 = tensor.empty() : tensor<4x8xf32>
    %6 = call @copy_e23adbb23608(%arg0, %5) : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    %7 = tensor.empty() : tensor<8xf32>
    %8 = call @copy_07f6c052a4e2(%0, %7) : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    %9 = tensor.empty() : tensor<2xf32>
    %10 = call @fill_8fa8486d18e9(%9) : (tensor<2xf32>) -> tensor<2xf32>
    return %2, %4, %6, %8, %10 : tensor<4x8xf32>, tensor<8x4xf32>, tensor<4x8xf32>, tensor<8xf32>, tensor<2xf32>
  }
  func.func private @exp_4b87117cb773(%arg0: tensor<4x8xf32>, %arg1: tensor<4x8xf32>) -> tensor<4x8xf32> {
    %0 = linalg.exp ins(%arg0 : tensor<4x8xf32>) outs(%arg1 : tensor<4x8xf32>) -> tensor<4x8xf32>
    return %0 : tensor<4x8xf32>
  }
  func.func private @copy_34f91aba8d7c(%arg0: tensor<8x4xf32>, %arg1: tensor<8x4xf32>) -> tensor<8x4xf32> {
    %0 = linalg.copy {cast = #linalg.type_fn<cast_signed>} ins(%arg0 : tensor<8x4xf32>) outs(%arg1 : tensor<8x4xf32>) -> tensor<8x4xf32>
    return %0 : tensor<8x4xf32>
  }
  func.func private @copy_e23adbb23608(%arg0: tensor<4x8xf32>, %arg1: tensor<4x8xf32>) -> tensor<4x8xf32> {
    %0 = linalg.copy {cast = #linalg.type_fn<cast_signed>} ins(%arg0 : tensor<4x8xf32>) outs(%arg1 : tensor<4x8xf32>) -> tensor<4x8xf32>
    return %0 : tensor<4x8xf32>
  }
  func.func private @copy_07f6c052a4e2(%arg0: tensor<8xf32>, %arg1: tensor<8xf32>) -> tensor<8xf32> {
    %0 = linalg.copy {cast = #linalg.type_fn<cast_signed>} ins(%arg0 : tensor<8xf32>) outs(%arg1 : tensor<8xf32>) -> tensor<8xf32>
    return %0 : tensor<8xf32>
  }
  func.func private @fill_8fa8486d18e9(%arg0: tensor<2xf32>) -> tensor<2xf32> {
    %cst = arith.constant 2.000000e+00 : f32
    %0 = linalg.fill ins(%cst : f32) outs(%arg0 : tensor<2xf32>) -> tensor<2xf32>
    return %0 : tensor<2xf32>
  }
}
