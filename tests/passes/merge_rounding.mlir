// case: rows that nothing else reads
func.func @main(%x: tensor<6x8xf32>, %r: tensor<6x8xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>) {
  %g = "dry.weight"() {key = "g"} : () -> tensor<8xf32>
  %e0 = tensor.empty() : tensor<6x8xf32>
  %y = call @norm(%x, %g, %r, %e0) : (tensor<6x8xf32>, tensor<8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  %f = "dry.weight"() {key = "f"} : () -> tensor<8xf32>
  %e1 = tensor.empty() : tensor<6x8xi8>
  %e2 = tensor.empty() : tensor<6xf32>
  %e4 = tensor.empty() : tensor<6xf32>
  %q:3 = call @round(%y, %f, %e1, %e2, %e4) : (tensor<6x8xf32>, tensor<8xf32>, tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>)
  return %q#0, %q#1, %q#2 : tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>
}
func.func private @norm(%x: tensor<6x8xf32>, %g: tensor<8xf32>, %r: tensor<6x8xf32>, %o0: tensor<6x8xf32>) -> tensor<6x8xf32> {
  %y = "dry.norm"(%x, %g, %r) {kind = "layer", axes = 1 : i64, eps = 1.0e-5 : f64, operandSegmentSizes = array<i32: 1, 1, 0, 1>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  return %y : tensor<6x8xf32>
}
func.func private @round(%x: tensor<6x8xf32>, %f: tensor<8xf32>, %o0: tensor<6x8xi8>, %o1: tensor<6xf32>, %o2: tensor<6xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>) {
  %q:3 = "dry.round_rows"(%x, %f) {operandSegmentSizes = array<i32: 1, 1>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<6x8xf32>, tensor<8xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>)
  return %q#0, %q#1, %q#2 : tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<6x8xf32>, %arg1: tensor<6x8xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>) {
    %0 = "dry.weight"() {key = "g"} : () -> tensor<8xf32>
    %1 = "dry.weight"() {key = "f"} : () -> tensor<8xf32>
    %2 = tensor.empty() : tensor<6x8xi8>
    %3 = tensor.empty() : tensor<6xf32>
    %4 = tensor.empty() : tensor<6xf32>
    %5:3 = call @round_rows_62108484d8fd(%arg0, %0, %arg1, %1, %2, %3, %4) : (tensor<6x8xf32>, tensor<8xf32>, tensor<6x8xf32>, tensor<8xf32>, tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>)
    return %5#0, %5#1, %5#2 : tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>
  }
  func.func private @round_rows_62108484d8fd(%arg0: tensor<6x8xf32>, %arg1: tensor<8xf32>, %arg2: tensor<6x8xf32>, %arg3: tensor<8xf32>, %arg4: tensor<6x8xi8>, %arg5: tensor<6xf32>, %arg6: tensor<6xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>) {
    %0 = "dry.norm"(%arg0, %arg1, %arg2) {axes = 1 : i64, eps = 1.000000e-05 : f64, kind = "layer", operandSegmentSizes = array<i32: 1, 1, 0, 1>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %1:3 = "dry.round_rows"(%0, %arg3) {operandSegmentSizes = array<i32: 1, 1>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<6x8xf32>, tensor<8xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>)
    return %1#0, %1#1, %1#2 : tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>
  }
}

// case: rows that are a residual as well, of a sum that is too
func.func @main(%x: tensor<?x8xf32>, %r: tensor<?x8xf32>) -> (tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>, tensor<?x8xf32>, tensor<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %g = "dry.weight"() {key = "g"} : () -> tensor<8xf32>
  %e0 = tensor.empty(%n) : tensor<?x8xf32>
  %e3 = tensor.empty(%n) : tensor<?x8xf32>
  %y:2 = call @norm(%x, %g, %r, %e0, %e3) : (tensor<?x8xf32>, tensor<8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>)
  %f = "dry.weight"() {key = "f"} : () -> tensor<8xf32>
  %e1 = tensor.empty(%n) : tensor<?x8xi8>
  %e2 = tensor.empty(%n) : tensor<?xf32>
  %e4 = tensor.empty(%n) : tensor<?xf32>
  %q:3 = call @round(%y#0, %f, %e1, %e2, %e4) : (tensor<?x8xf32>, tensor<8xf32>, tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>) -> (tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>)
  return %q#0, %q#1, %q#2, %y#0, %y#1 : tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>, tensor<?x8xf32>, tensor<?x8xf32>
}
func.func private @norm(%x: tensor<?x8xf32>, %g: tensor<8xf32>, %r: tensor<?x8xf32>, %o0: tensor<?x8xf32>, %o1: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %y:2 = "dry.norm"(%x, %g, %r) {kind = "layer", axes = 1 : i64, eps = 1.0e-5 : f64, operandSegmentSizes = array<i32: 1, 1, 0, 1>, resultSegmentSizes = array<i32: 1, 1>} : (tensor<?x8xf32>, tensor<8xf32>, tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>)
  return %y#0, %y#1 : tensor<?x8xf32>, tensor<?x8xf32>
}
func.func private @round(%x: tensor<?x8xf32>, %f: tensor<8xf32>, %o0: tensor<?x8xi8>, %o1: tensor<?xf32>, %o2: tensor<?xf32>) -> (tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>) {
  %q:3 = "dry.round_rows"(%x, %f) {operandSegmentSizes = array<i32: 1, 1>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<?x8xf32>, tensor<8xf32>) -> (tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>)
  return %q#0, %q#1, %q#2 : tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<?x8xf32>, %arg1: tensor<?x8xf32>) -> (tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>, tensor<?x8xf32>, tensor<?x8xf32>) {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x8xf32>
    %0 = "dry.weight"() {key = "g"} : () -> tensor<8xf32>
    %1 = tensor.empty(%dim) : tensor<?x8xf32>
    %2 = tensor.empty(%dim) : tensor<?x8xf32>
    %3 = "dry.weight"() {key = "f"} : () -> tensor<8xf32>
    %4 = tensor.empty(%dim) : tensor<?x8xi8>
    %5 = tensor.empty(%dim) : tensor<?xf32>
    %6 = tensor.empty(%dim) : tensor<?xf32>
    %7:5 = call @round_rows_7b0f4e3ab8d9(%arg0, %0, %arg1, %3, %1, %2, %4, %5, %6) : (tensor<?x8xf32>, tensor<8xf32>, tensor<?x8xf32>, tensor<8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>)
    return %7#2, %7#3, %7#4, %7#0, %7#1 : tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>, tensor<?x8xf32>, tensor<?x8xf32>
  }
  func.func private @round_rows_7b0f4e3ab8d9(%arg0: tensor<?x8xf32>, %arg1: tensor<8xf32>, %arg2: tensor<?x8xf32>, %arg3: tensor<8xf32>, %arg4: tensor<?x8xf32>, %arg5: tensor<?x8xf32>, %arg6: tensor<?x8xi8>, %arg7: tensor<?xf32>, %arg8: tensor<?xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>) attributes {dry.in_place = [array<i64: 0, 0>, array<i64: 0, 2>, array<i64: 1, 0>, array<i64: 1, 2>]} {
    %0:2 = "dry.norm"(%arg0, %arg1, %arg2) {axes = 1 : i64, eps = 1.000000e-05 : f64, kind = "layer", operandSegmentSizes = array<i32: 1, 1, 0, 1>, resultSegmentSizes = array<i32: 1, 1>} : (tensor<?x8xf32>, tensor<8xf32>, tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>)
    %1:3 = "dry.round_rows"(%0#0, %arg3) {operandSegmentSizes = array<i32: 1, 1>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<?x8xf32>, tensor<8xf32>) -> (tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>)
    return %0#0, %0#1, %1#0, %1#1, %1#2 : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xi8>, tensor<?xf32>, tensor<?xf32>
  }
}

// case: not rows that something else reads before
func.func @main(%x: tensor<6x8xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>, tensor<6x8xf32>) {
  %e0 = tensor.empty() : tensor<6x8xf32>
  %y = call @norm(%x, %e0) : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  %e3 = tensor.empty() : tensor<6x8xf32>
  %z = call @norm(%y, %e3) : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  %e1 = tensor.empty() : tensor<6x8xi8>
  %e2 = tensor.empty() : tensor<6xf32>
  %e4 = tensor.empty() : tensor<6xf32>
  %q:3 = call @round(%y, %e1, %e2, %e4) : (tensor<6x8xf32>, tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>)
  return %q#0, %q#1, %q#2, %z : tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>, tensor<6x8xf32>
}
func.func private @norm(%x: tensor<6x8xf32>, %o: tensor<6x8xf32>) -> tensor<6x8xf32> {
  %y = "dry.norm"(%x) {kind = "rms", axes = 1 : i64, eps = 1.0e-5 : f64, operandSegmentSizes = array<i32: 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>) -> tensor<6x8xf32>
  return %y : tensor<6x8xf32>
}
func.func private @round(%x: tensor<6x8xf32>, %o0: tensor<6x8xi8>, %o1: tensor<6xf32>, %o2: tensor<6xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>) {
  %q:3 = "dry.round_rows"(%x) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<6x8xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>)
  return %q#0, %q#1, %q#2 : tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<6x8xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>, tensor<6x8xf32>) {
    %0 = tensor.empty() : tensor<6x8xf32>
    %1 = call @norm(%arg0, %0) : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %2 = tensor.empty() : tensor<6x8xf32>
    %3 = call @norm(%1, %2) : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %4 = tensor.empty() : tensor<6x8xi8>
    %5 = tensor.empty() : tensor<6xf32>
    %6 = tensor.empty() : tensor<6xf32>
    %7:3 = call @round(%1, %4, %5, %6) : (tensor<6x8xf32>, tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>)
    return %7#0, %7#1, %7#2, %3 : tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>, tensor<6x8xf32>
  }
  func.func private @norm(%arg0: tensor<6x8xf32>, %arg1: tensor<6x8xf32>) -> tensor<6x8xf32> {
    %0 = "dry.norm"(%arg0) {axes = 1 : i64, eps = 1.000000e-05 : f64, kind = "rms", operandSegmentSizes = array<i32: 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>) -> tensor<6x8xf32>
    return %0 : tensor<6x8xf32>
  }
  func.func private @round(%arg0: tensor<6x8xf32>, %arg1: tensor<6x8xi8>, %arg2: tensor<6xf32>, %arg3: tensor<6xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>) {
    %0:3 = "dry.round_rows"(%arg0) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<6x8xf32>) -> (tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>)
    return %0#0, %0#1, %0#2 : tensor<6x8xi8>, tensor<6xf32>, tensor<6xf32>
  }
}

// case: nor rows that are normalized together
func.func @main(%x: tensor<3x6x8xf32>) -> (tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>) {
  %e0 = tensor.empty() : tensor<3x6x8xf32>
  %y = call @norm(%x, %e0) : (tensor<3x6x8xf32>, tensor<3x6x8xf32>) -> tensor<3x6x8xf32>
  %e1 = tensor.empty() : tensor<3x6x8xi8>
  %e2 = tensor.empty() : tensor<3x6xf32>
  %e4 = tensor.empty() : tensor<3x6xf32>
  %q:3 = call @round(%y, %e1, %e2, %e4) : (tensor<3x6x8xf32>, tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>) -> (tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>)
  return %q#0, %q#1, %q#2 : tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>
}
func.func private @norm(%x: tensor<3x6x8xf32>, %o: tensor<3x6x8xf32>) -> tensor<3x6x8xf32> {
  %y = "dry.norm"(%x) {kind = "rms", axes = 2 : i64, eps = 1.0e-5 : f64, operandSegmentSizes = array<i32: 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<3x6x8xf32>) -> tensor<3x6x8xf32>
  return %y : tensor<3x6x8xf32>
}
func.func private @round(%x: tensor<3x6x8xf32>, %o0: tensor<3x6x8xi8>, %o1: tensor<3x6xf32>, %o2: tensor<3x6xf32>) -> (tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>) {
  %q:3 = "dry.round_rows"(%x) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<3x6x8xf32>) -> (tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>)
  return %q#0, %q#1, %q#2 : tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<3x6x8xf32>) -> (tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>) {
    %0 = tensor.empty() : tensor<3x6x8xf32>
    %1 = call @norm(%arg0, %0) : (tensor<3x6x8xf32>, tensor<3x6x8xf32>) -> tensor<3x6x8xf32>
    %2 = tensor.empty() : tensor<3x6x8xi8>
    %3 = tensor.empty() : tensor<3x6xf32>
    %4 = tensor.empty() : tensor<3x6xf32>
    %5:3 = call @round(%1, %2, %3, %4) : (tensor<3x6x8xf32>, tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>) -> (tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>)
    return %5#0, %5#1, %5#2 : tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>
  }
  func.func private @norm(%arg0: tensor<3x6x8xf32>, %arg1: tensor<3x6x8xf32>) -> tensor<3x6x8xf32> {
    %0 = "dry.norm"(%arg0) {axes = 2 : i64, eps = 1.000000e-05 : f64, kind = "rms", operandSegmentSizes = array<i32: 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<3x6x8xf32>) -> tensor<3x6x8xf32>
    return %0 : tensor<3x6x8xf32>
  }
  func.func private @round(%arg0: tensor<3x6x8xf32>, %arg1: tensor<3x6x8xi8>, %arg2: tensor<3x6xf32>, %arg3: tensor<3x6xf32>) -> (tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>) {
    %0:3 = "dry.round_rows"(%arg0) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 1>} : (tensor<3x6x8xf32>) -> (tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>)
    return %0#0, %0#1, %0#2 : tensor<3x6x8xi8>, tensor<3x6xf32>, tensor<3x6xf32>
  }
}
