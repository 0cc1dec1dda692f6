// case: the gate of an MLP is not in memory
func.func @main(%x: tensor<40x4xf32>) -> tensor<40x32xf32> {
  %wg = "dry.weight"() {key = "gate"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e0 = tensor.empty() : tensor<40x32xf32>
  %g = call @gate(%x, %wg, %e0) : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x32xf32>) -> tensor<40x32xf32>
  %wu = "dry.weight"() {key = "up"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e1 = tensor.empty() : tensor<40x32xf32>
  %y = call @up(%x, %wu, %g, %e1) : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x32xf32>, tensor<40x32xf32>) -> tensor<40x32xf32>
  return %y : tensor<40x32xf32>
}
func.func private @gate(%x: tensor<40x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %o: tensor<40x32xf32>) -> tensor<40x32xf32> {
  %one = arith.constant 1.0 : f32
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    %c = arith.negf %a : f32
    %d = math.exp %c : f32
    %e = arith.addf %d, %one : f32
    %f = arith.divf %a, %e : f32
    "dry.yield"(%f) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<40x32xf32>
  return %y : tensor<40x32xf32>
}
func.func private @up(%x: tensor<40x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %e0: tensor<40x32xf32>, %o: tensor<40x32xf32>) -> tensor<40x32xf32> {
  %y = "dry.matmul"(%x, %w, %e0) ({
  ^bb0(%a: f32, %b0: f32):
    %c = arith.mulf %a, %b0 : f32
    "dry.yield"(%c) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (i, j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x32xf32>) -> tensor<40x32xf32>
  return %y : tensor<40x32xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<40x4xf32>) -> tensor<40x32xf32> {
    %0 = "dry.weight"() {key = "gate"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = "dry.weight"() {key = "up"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %2 = tensor.empty() : tensor<40x32xf32>
    %3 = call @matmul_9a94e648c35a(%arg0, %0, %1, %2) : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x32xf32>) -> tensor<40x32xf32>
    return %3 : tensor<40x32xf32>
  }
  func.func private @matmul_9a94e648c35a(%arg0: tensor<40x4xf32>, %arg1: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg3: tensor<40x32xf32>) -> tensor<40x32xf32> {
    %cst = arith.constant 1.000000e+00 : f32
    %0 = "dry.matmul"(%arg0, %arg1) ({
    ^bb0(%arg4: f32):
      %2 = arith.negf %arg4 : f32
      %3 = math.exp %2 : f32
      %4 = arith.addf %3, %cst : f32
      %5 = arith.divf %arg4, %4 : f32
      "dry.yield"(%5) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<40x32xf32>
    %1 = "dry.matmul"(%arg0, %arg2, %0) ({
    ^bb0(%arg4: f32, %arg5: f32):
      %2 = arith.mulf %arg4, %arg5 : f32
      "dry.yield"(%2) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x32xf32>) -> tensor<40x32xf32>
    return %1 : tensor<40x32xf32>
  }
}

// case: nor where rows are known at the call only
func.func @main(%x: tensor<?x4xf32>) -> tensor<?x40xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %wg = "dry.weight"() {key = "gate"} : () -> tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e0 = tensor.empty(%n) : tensor<?x40xf32>
  %g = call @gate(%x, %wg, %e0) : (tensor<?x4xf32>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<?x40xf32>) -> tensor<?x40xf32>
  %wu = "dry.weight"() {key = "up"} : () -> tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e1 = tensor.empty(%n) : tensor<?x40xf32>
  %y = call @up(%x, %wu, %g, %e1) : (tensor<?x4xf32>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<?x40xf32>, tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}
func.func private @gate(%x: tensor<?x4xf32>, %w: tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %o: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %one = arith.constant 1.0 : f32
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    %c = arith.negf %a : f32
    %d = math.exp %c : f32
    %e = arith.addf %d, %one : f32
    %f = arith.divf %a, %e : f32
    "dry.yield"(%f) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x4xf32>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}
func.func private @up(%x: tensor<?x4xf32>, %w: tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %e0: tensor<?x40xf32>, %o: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = "dry.matmul"(%x, %w, %e0) ({
  ^bb0(%a: f32, %b0: f32):
    %c = arith.mulf %a, %b0 : f32
    "dry.yield"(%c) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (i, j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<?x4xf32>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<?x4xf32>) -> tensor<?x40xf32> {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x4xf32>
    %0 = "dry.weight"() {key = "gate"} : () -> tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = "dry.weight"() {key = "up"} : () -> tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %2 = tensor.empty(%dim) : tensor<?x40xf32>
    %3 = call @matmul_2bc39ed70852(%arg0, %0, %1, %2) : (tensor<?x4xf32>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<?x40xf32>) -> tensor<?x40xf32>
    return %3 : tensor<?x40xf32>
  }
  func.func private @matmul_2bc39ed70852(%arg0: tensor<?x4xf32>, %arg1: tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg3: tensor<?x40xf32>) -> tensor<?x40xf32> {
    %cst = arith.constant 1.000000e+00 : f32
    %0 = "dry.matmul"(%arg0, %arg1) ({
    ^bb0(%arg4: f32):
      %2 = arith.negf %arg4 : f32
      %3 = math.exp %2 : f32
      %4 = arith.addf %3, %cst : f32
      %5 = arith.divf %arg4, %4 : f32
      "dry.yield"(%5) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<?x4xf32>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<?x40xf32>
    %1 = "dry.matmul"(%arg0, %arg2, %0) ({
    ^bb0(%arg4: f32, %arg5: f32):
      %2 = arith.mulf %arg4, %arg5 : f32
      "dry.yield"(%2) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<?x4xf32>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<?x40xf32>) -> tensor<?x40xf32>
    return %1 : tensor<?x40xf32>
  }
}

// case: not for few rows
func.func @main(%x: tensor<8x4xf32>) -> tensor<8x32xf32> {
  %wg = "dry.weight"() {key = "gate"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e0 = tensor.empty() : tensor<8x32xf32>
  %g = call @gate(%x, %wg, %e0) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %wu = "dry.weight"() {key = "up"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e1 = tensor.empty() : tensor<8x32xf32>
  %y = call @up(%x, %wu, %g, %e1) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  return %y : tensor<8x32xf32>
}
func.func private @gate(%x: tensor<8x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %o: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %one = arith.constant 1.0 : f32
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    %c = arith.negf %a : f32
    %d = math.exp %c : f32
    %e = arith.addf %d, %one : f32
    %f = arith.divf %a, %e : f32
    "dry.yield"(%f) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x32xf32>
  return %y : tensor<8x32xf32>
}
func.func private @up(%x: tensor<8x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %e0: tensor<8x32xf32>, %o: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %y = "dry.matmul"(%x, %w, %e0) ({
  ^bb0(%a: f32, %b0: f32):
    %c = arith.mulf %a, %b0 : f32
    "dry.yield"(%c) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (i, j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>) -> tensor<8x32xf32>
  return %y : tensor<8x32xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<8x4xf32>) -> tensor<8x32xf32> {
    %0 = "dry.weight"() {key = "gate"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = tensor.empty() : tensor<8x32xf32>
    %2 = call @gate(%arg0, %0, %1) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>) -> tensor<8x32xf32>
    %3 = "dry.weight"() {key = "up"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %4 = tensor.empty() : tensor<8x32xf32>
    %5 = call @up(%arg0, %3, %2, %4) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
    return %5 : tensor<8x32xf32>
  }
  func.func private @gate(%arg0: tensor<8x4xf32>, %arg1: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<8x32xf32>) -> tensor<8x32xf32> {
    %cst = arith.constant 1.000000e+00 : f32
    %0 = "dry.matmul"(%arg0, %arg1) ({
    ^bb0(%arg3: f32):
      %1 = arith.negf %arg3 : f32
      %2 = math.exp %1 : f32
      %3 = arith.addf %2, %cst : f32
      %4 = arith.divf %arg3, %3 : f32
      "dry.yield"(%4) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x32xf32>
    return %0 : tensor<8x32xf32>
  }
  func.func private @up(%arg0: tensor<8x4xf32>, %arg1: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<8x32xf32>, %arg3: tensor<8x32xf32>) -> tensor<8x32xf32> {
    %0 = "dry.matmul"(%arg0, %arg1, %arg2) ({
    ^bb0(%arg4: f32, %arg5: f32):
      %1 = arith.mulf %arg4, %arg5 : f32
      "dry.yield"(%1) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>) -> tensor<8x32xf32>
    return %0 : tensor<8x32xf32>
  }
}

// case: not where something else reads the gate
func.func @main(%x: tensor<40x4xf32>) -> (tensor<40x32xf32>, tensor<40x32xf32>) {
  %wg = "dry.weight"() {key = "gate"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e0 = tensor.empty() : tensor<40x32xf32>
  %g = call @gate(%x, %wg, %e0) : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x32xf32>) -> tensor<40x32xf32>
  %wu = "dry.weight"() {key = "up"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e1 = tensor.empty() : tensor<40x32xf32>
  %y = call @up(%x, %wu, %g, %e1) : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x32xf32>, tensor<40x32xf32>) -> tensor<40x32xf32>
  return %y, %g : tensor<40x32xf32>, tensor<40x32xf32>
}
func.func private @gate(%x: tensor<40x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %o: tensor<40x32xf32>) -> tensor<40x32xf32> {
  %one = arith.constant 1.0 : f32
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    %c = arith.negf %a : f32
    %d = math.exp %c : f32
    %e = arith.addf %d, %one : f32
    %f = arith.divf %a, %e : f32
    "dry.yield"(%f) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<40x32xf32>
  return %y : tensor<40x32xf32>
}
func.func private @up(%x: tensor<40x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %e0: tensor<40x32xf32>, %o: tensor<40x32xf32>) -> tensor<40x32xf32> {
  %y = "dry.matmul"(%x, %w, %e0) ({
  ^bb0(%a: f32, %b0: f32):
    %c = arith.mulf %a, %b0 : f32
    "dry.yield"(%c) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (i, j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x32xf32>) -> tensor<40x32xf32>
  return %y : tensor<40x32xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<40x4xf32>) -> (tensor<40x32xf32>, tensor<40x32xf32>) {
    %0 = "dry.weight"() {key = "gate"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = tensor.empty() : tensor<40x32xf32>
    %2 = call @gate(%arg0, %0, %1) : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x32xf32>) -> tensor<40x32xf32>
    %3 = "dry.weight"() {key = "up"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %4 = tensor.empty() : tensor<40x32xf32>
    %5 = call @up(%arg0, %3, %2, %4) : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x32xf32>, tensor<40x32xf32>) -> tensor<40x32xf32>
    return %5, %2 : tensor<40x32xf32>, tensor<40x32xf32>
  }
  func.func private @gate(%arg0: tensor<40x4xf32>, %arg1: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<40x32xf32>) -> tensor<40x32xf32> {
    %cst = arith.constant 1.000000e+00 : f32
    %0 = "dry.matmul"(%arg0, %arg1) ({
    ^bb0(%arg3: f32):
      %1 = arith.negf %arg3 : f32
      %2 = math.exp %1 : f32
      %3 = arith.addf %2, %cst : f32
      %4 = arith.divf %arg3, %3 : f32
      "dry.yield"(%4) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<40x32xf32>
    return %0 : tensor<40x32xf32>
  }
  func.func private @up(%arg0: tensor<40x4xf32>, %arg1: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<40x32xf32>, %arg3: tensor<40x32xf32>) -> tensor<40x32xf32> {
    %0 = "dry.matmul"(%arg0, %arg1, %arg2) ({
    ^bb0(%arg4: f32, %arg5: f32):
      %1 = arith.mulf %arg4, %arg5 : f32
      "dry.yield"(%1) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<40x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<40x32xf32>) -> tensor<40x32xf32>
    return %0 : tensor<40x32xf32>
  }
}

// case: queries, keys and values
func.func @main(%x: tensor<8x4xf32>) -> (tensor<8x64xf32>, tensor<8x32xf32>, tensor<8x32xf32>) {
  %w0 = "dry.weight"() {key = "w0"} : () -> tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e0 = tensor.empty() : tensor<8x64xf32>
  %y0 = call @plain64(%x, %w0, %e0) : (tensor<8x4xf32>, tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x64xf32>) -> tensor<8x64xf32>
  %w1 = "dry.weight"() {key = "w1"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e1 = tensor.empty() : tensor<8x32xf32>
  %b = "dry.weight"() {key = "bias"} : () -> tensor<32xf32>
  %y1 = call @added(%x, %w1, %b, %e1) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %w2 = "dry.weight"() {key = "w2"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e2 = tensor.empty() : tensor<8x32xf32>
  %y2 = call @plain32(%x, %w2, %e2) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>) -> tensor<8x32xf32>
  return %y0, %y1, %y2 : tensor<8x64xf32>, tensor<8x32xf32>, tensor<8x32xf32>
}
func.func private @plain64(%x: tensor<8x4xf32>, %w: tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %o: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<8x4xf32>, tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x64xf32>
  return %y : tensor<8x64xf32>
}
func.func private @added(%x: tensor<8x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %e0: tensor<32xf32>, %o: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %y = "dry.matmul"(%x, %w, %e0) ({
  ^bb0(%a: f32, %b0: f32):
    %c = arith.addf %a, %b0 : f32
    "dry.yield"(%c) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32xf32>) -> tensor<8x32xf32>
  return %y : tensor<8x32xf32>
}
func.func private @plain32(%x: tensor<8x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %o: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x32xf32>
  return %y : tensor<8x32xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<8x4xf32>) -> (tensor<8x64xf32>, tensor<8x32xf32>, tensor<8x32xf32>) {
    %0 = "dry.weight"() {key = "w0"} : () -> tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = tensor.empty() : tensor<8x64xf32>
    %2 = "dry.weight"() {key = "w1"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %3 = tensor.empty() : tensor<8x32xf32>
    %4 = "dry.weight"() {key = "bias"} : () -> tensor<32xf32>
    %5 = "dry.weight"() {key = "w2"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %6 = tensor.empty() : tensor<8x32xf32>
    %7:3 = call @matmul_78fe1e95e002(%arg0, %0, %2, %4, %5, %1, %3, %6) : (tensor<8x4xf32>, tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x64xf32>, tensor<8x32xf32>, tensor<8x32xf32>) -> (tensor<8x64xf32>, tensor<8x32xf32>, tensor<8x32xf32>)
    return %7#0, %7#1, %7#2 : tensor<8x64xf32>, tensor<8x32xf32>, tensor<8x32xf32>
  }
  func.func private @matmul_78fe1e95e002(%arg0: tensor<8x4xf32>, %arg1: tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg3: tensor<32xf32>, %arg4: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg5: tensor<8x64xf32>, %arg6: tensor<8x32xf32>, %arg7: tensor<8x32xf32>) -> (tensor<8x64xf32>, tensor<8x32xf32>, tensor<8x32xf32>) {
    %0 = "dry.matmul"(%arg0, %arg1) ({
    ^bb0(%arg8: f32):
      "dry.yield"(%arg8) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<8x4xf32>, tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x64xf32>
    %1 = "dry.matmul"(%arg0, %arg2, %arg3) ({
    ^bb0(%arg8: f32, %arg9: f32):
      %3 = arith.addf %arg8, %arg9 : f32
      "dry.yield"(%3) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32xf32>) -> tensor<8x32xf32>
    %2 = "dry.matmul"(%arg0, %arg4) ({
    ^bb0(%arg8: f32):
      "dry.yield"(%arg8) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x32xf32>
    return %0, %1, %2 : tensor<8x64xf32>, tensor<8x32xf32>, tensor<8x32xf32>
  }
}

// case: not with a ragged end of columns
func.func @main(%x: tensor<8x4xf32>) -> (tensor<8x40xf32>, tensor<8x32xf32>, tensor<8x32xf32>) {
  %w0 = "dry.weight"() {key = "w0"} : () -> tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e0 = tensor.empty() : tensor<8x40xf32>
  %y0 = call @plain40(%x, %w0, %e0) : (tensor<8x4xf32>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x40xf32>) -> tensor<8x40xf32>
  %w1 = "dry.weight"() {key = "w1"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e1 = tensor.empty() : tensor<8x32xf32>
  %b = "dry.weight"() {key = "bias"} : () -> tensor<32xf32>
  %y1 = call @added(%x, %w1, %b, %e1) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %w2 = "dry.weight"() {key = "w2"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e2 = tensor.empty() : tensor<8x32xf32>
  %y2 = call @plain32(%x, %w2, %e2) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>) -> tensor<8x32xf32>
  return %y0, %y1, %y2 : tensor<8x40xf32>, tensor<8x32xf32>, tensor<8x32xf32>
}
func.func private @plain40(%x: tensor<8x4xf32>, %w: tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %o: tensor<8x40xf32>) -> tensor<8x40xf32> {
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<8x4xf32>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x40xf32>
  return %y : tensor<8x40xf32>
}
func.func private @added(%x: tensor<8x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %e0: tensor<32xf32>, %o: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %y = "dry.matmul"(%x, %w, %e0) ({
  ^bb0(%a: f32, %b0: f32):
    %c = arith.addf %a, %b0 : f32
    "dry.yield"(%c) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32xf32>) -> tensor<8x32xf32>
  return %y : tensor<8x32xf32>
}
func.func private @plain32(%x: tensor<8x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %o: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x32xf32>
  return %y : tensor<8x32xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d1)>
module {
  func.func @main(%arg0: tensor<8x4xf32>) -> (tensor<8x40xf32>, tensor<8x32xf32>, tensor<8x32xf32>) {
    %0 = "dry.weight"() {key = "w0"} : () -> tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = tensor.empty() : tensor<8x40xf32>
    %2 = call @plain40(%arg0, %0, %1) : (tensor<8x4xf32>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x40xf32>) -> tensor<8x40xf32>
    %3 = "dry.weight"() {key = "w1"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %4 = tensor.empty() : tensor<8x32xf32>
    %5 = "dry.weight"() {key = "bias"} : () -> tensor<32xf32>
    %6 = "dry.weight"() {key = "w2"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %7 = tensor.empty() : tensor<8x32xf32>
    %8:2 = call @matmul_9f80e26d59e7(%arg0, %3, %5, %6, %4, %7) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>, tensor<8x32xf32>) -> (tensor<8x32xf32>, tensor<8x32xf32>)
    return %2, %8#0, %8#1 : tensor<8x40xf32>, tensor<8x32xf32>, tensor<8x32xf32>
  }
  func.func private @plain40(%arg0: tensor<8x4xf32>, %arg1: tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<8x40xf32>) -> tensor<8x40xf32> {
    %0 = "dry.matmul"(%arg0, %arg1) ({
    ^bb0(%arg3: f32):
      "dry.yield"(%arg3) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<8x4xf32>, tensor<40x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x40xf32>
    return %0 : tensor<8x40xf32>
  }
  func.func private @matmul_9f80e26d59e7(%arg0: tensor<8x4xf32>, %arg1: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<32xf32>, %arg3: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg4: tensor<8x32xf32>, %arg5: tensor<8x32xf32>) -> (tensor<8x32xf32>, tensor<8x32xf32>) {
    %0 = "dry.matmul"(%arg0, %arg1, %arg2) ({
    ^bb0(%arg6: f32, %arg7: f32):
      %2 = arith.addf %arg6, %arg7 : f32
      "dry.yield"(%2) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32xf32>) -> tensor<8x32xf32>
    %1 = "dry.matmul"(%arg0, %arg3) ({
    ^bb0(%arg6: f32):
      "dry.yield"(%arg6) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x32xf32>
    return %0, %1 : tensor<8x32xf32>, tensor<8x32xf32>
  }
}

// case: a product that adds another one comes after it
func.func @main(%x: tensor<8x4xf32>) -> (tensor<8x32xf32>, tensor<8x32xf32>, tensor<8x32xf32>) {
  %w0 = "dry.weight"() {key = "w0"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e0 = tensor.empty() : tensor<8x32xf32>
  %y0 = call @plain32(%x, %w0, %e0) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %w1 = "dry.weight"() {key = "w1"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e1 = tensor.empty() : tensor<8x32xf32>
  %y1 = call @added(%x, %w1, %y0, %e1) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %w2 = "dry.weight"() {key = "w2"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e2 = tensor.empty() : tensor<8x32xf32>
  %y2 = call @plain32(%x, %w2, %e2) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>) -> tensor<8x32xf32>
  return %y0, %y1, %y2 : tensor<8x32xf32>, tensor<8x32xf32>, tensor<8x32xf32>
}
func.func private @plain32(%x: tensor<8x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %o: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x32xf32>
  return %y : tensor<8x32xf32>
}
func.func private @added(%x: tensor<8x4xf32>, %w: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %e0: tensor<8x32xf32>, %o: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %y = "dry.matmul"(%x, %w, %e0) ({
  ^bb0(%a: f32, %b0: f32):
    %c = arith.addf %a, %b0 : f32
    "dry.yield"(%c) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [affine_map<(i, j) -> (i, j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>) -> tensor<8x32xf32>
  return %y : tensor<8x32xf32>
}

// after:
#map = affine_map<(d0, d1) -> (d0, d1)>
module {
  func.func @main(%arg0: tensor<8x4xf32>) -> (tensor<8x32xf32>, tensor<8x32xf32>, tensor<8x32xf32>) {
    %0 = "dry.weight"() {key = "w0"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = tensor.empty() : tensor<8x32xf32>
    %2 = "dry.weight"() {key = "w2"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %3 = tensor.empty() : tensor<8x32xf32>
    %4:2 = call @matmul_41b98206bf88(%arg0, %0, %2, %1, %3) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>, tensor<8x32xf32>) -> (tensor<8x32xf32>, tensor<8x32xf32>)
    %5 = "dry.weight"() {key = "w1"} : () -> tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %6 = tensor.empty() : tensor<8x32xf32>
    %7 = call @added(%arg0, %5, %4#0, %6) : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
    return %4#0, %7, %4#1 : tensor<8x32xf32>, tensor<8x32xf32>, tensor<8x32xf32>
  }
  func.func private @added(%arg0: tensor<8x4xf32>, %arg1: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<8x32xf32>, %arg3: tensor<8x32xf32>) -> tensor<8x32xf32> {
    %0 = "dry.matmul"(%arg0, %arg1, %arg2) ({
    ^bb0(%arg4: f32, %arg5: f32):
      %1 = arith.addf %arg4, %arg5 : f32
      "dry.yield"(%1) : (f32) -> ()
    }) {extra_maps = [#map], operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<8x32xf32>) -> tensor<8x32xf32>
    return %0 : tensor<8x32xf32>
  }
  func.func private @matmul_41b98206bf88(%arg0: tensor<8x4xf32>, %arg1: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg3: tensor<8x32xf32>, %arg4: tensor<8x32xf32>) -> (tensor<8x32xf32>, tensor<8x32xf32>) {
    %0 = "dry.matmul"(%arg0, %arg1) ({
    ^bb0(%arg5: f32):
      "dry.yield"(%arg5) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x32xf32>
    %1 = "dry.matmul"(%arg0, %arg2) ({
    ^bb0(%arg5: f32):
      "dry.yield"(%arg5) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<8x4xf32>, tensor<32x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<8x32xf32>
    return %0, %1 : tensor<8x32xf32>, tensor<8x32xf32>
  }
}

// case: statistics of a product's rows are made with it
func.func @main(%h: tensor<6x4xf32>) -> (tensor<6xf32>, tensor<6xi64>) {
  %w = "dry.weight"() {key = "head"} : () -> tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
  %e0 = tensor.empty() : tensor<6x64xf32>
  %x = call @scores(%h, %w, %e0) : (tensor<6x4xf32>, tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<6x64xf32>) -> tensor<6x64xf32>
  %e1 = tensor.empty() : tensor<6xf32>
  %e2 = tensor.empty() : tensor<6xi64>
  %r:2 = call @stats(%x, %e1, %e2) : (tensor<6x64xf32>, tensor<6xf32>, tensor<6xi64>) -> (tensor<6xf32>, tensor<6xi64>)
  return %r#0, %r#1 : tensor<6xf32>, tensor<6xi64>
}
func.func private @scores(%x: tensor<6x4xf32>, %w: tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %o: tensor<6x64xf32>) -> tensor<6x64xf32> {
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }) {transpose_b = true, extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}
    : (tensor<6x4xf32>, tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<6x64xf32>
  return %y : tensor<6x64xf32>
}
func.func private @stats(%x: tensor<6x64xf32>, %o: tensor<6xf32>, %p: tensor<6xi64>) -> (tensor<6xf32>, tensor<6xi64>) {
  %r:2 = "dry.row_stats"(%x) {resultSegmentSizes = array<i32: 1, 0, 1, 0, 0>, operandSegmentSizes = array<i32: 1, 0>} : (tensor<6x64xf32>) -> (tensor<6xf32>, tensor<6xi64>)
  return %r#0, %r#1 : tensor<6xf32>, tensor<6xi64>
}

// after:
module {
  func.func @main(%arg0: tensor<6x4xf32>) -> (tensor<6xf32>, tensor<6xi64>) {
    %0 = "dry.weight"() {key = "head"} : () -> tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>
    %1 = tensor.empty() : tensor<6xf32>
    %2 = tensor.empty() : tensor<6xi64>
    %3:2 = call @row_stats_d1126af49b4f(%arg0, %0, %1, %2) : (tensor<6x4xf32>, tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, tensor<6xf32>, tensor<6xi64>) -> (tensor<6xf32>, tensor<6xi64>)
    return %3#0, %3#1 : tensor<6xf32>, tensor<6xi64>
  }
  func.func private @row_stats_d1126af49b4f(%arg0: tensor<6x4xf32>, %arg1: tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>, %arg2: tensor<6xf32>, %arg3: tensor<6xi64>) -> (tensor<6xf32>, tensor<6xi64>) {
    %0 = "dry.matmul"(%arg0, %arg1) ({
    ^bb0(%arg4: f32):
      "dry.yield"(%arg4) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<6x4xf32>, tensor<64x4xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>) -> tensor<6x64xf32>
    %1:2 = "dry.row_stats"(%0) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 0, 1, 0, 0>} : (tensor<6x64xf32>) -> (tensor<6xf32>, tensor<6xi64>)
    return %1#0, %1#1 : tensor<6xf32>, tensor<6xi64>
  }
}
