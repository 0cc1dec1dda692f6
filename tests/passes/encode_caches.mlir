// case: rows are written at positions and read with the others
// states: keys, values
func.func @main(%q: tensor<1x4x3x8xf32>, %new: tensor<3x1x2x1x8xf32>, %at: tensor<3x1xi64>,
                %keys: tensor<1x2x6x8xf32>, %values: tensor<1x2x6x8xf32>)
    -> (tensor<1x4x3x8xf32>, tensor<1x2x6x8xf32>, tensor<1x2x6x8xf32>) {
  %k = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false)
      ins(%new, %at : tensor<3x1x2x1x8xf32>, tensor<3x1xi64>) outs(%keys : tensor<1x2x6x8xf32>) {
    ^bb0(%a: f32, %b: f32):
      tm_tensor.yield %a : f32
    } -> tensor<1x2x6x8xf32>
  %v = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false)
      ins(%new, %at : tensor<3x1x2x1x8xf32>, tensor<3x1xi64>) outs(%values : tensor<1x2x6x8xf32>) {
    ^bb0(%a: f32, %b: f32):
      tm_tensor.yield %a : f32
    } -> tensor<1x2x6x8xf32>
  %y = "dry.attention"(%q, %k, %v) {scale = 0.3 : f64, causal = true, sinks = 0 : i64, tile = [],
      layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>}
      : (tensor<1x4x3x8xf32>, tensor<1x2x6x8xf32>, tensor<1x2x6x8xf32>) -> tensor<1x4x3x8xf32>
  return %y, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x6x8xf32>, tensor<1x2x6x8xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<3x1x2x1x8xf32>, %arg2: tensor<3x1xi64>, %arg3: tensor<1x2x6x8xi8>, %arg4: tensor<1x2x6xf32>, %arg5: tensor<1x2x6x8xi8>, %arg6: tensor<1x2x6xf32>) -> (tensor<1x4x3x8xf32>, tensor<1x2x6x8xi8>, tensor<1x2x6xf32>, tensor<1x2x6x8xi8>, tensor<1x2x6xf32>) {
    %0:2 = "dry.round_rows"(%arg1) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 0>} : (tensor<3x1x2x1x8xf32>) -> (tensor<3x1x2x1x8xi8>, tensor<3x1x2x1xf32>)
    %1 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%0#0, %arg2 : tensor<3x1x2x1x8xi8>, tensor<3x1xi64>) outs(%arg3 : tensor<1x2x6x8xi8>) {
    ^bb0(%arg7: i8, %arg8: i8):
      tm_tensor.yield %arg7 : i8
    } -> tensor<1x2x6x8xi8>
    %2 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%0#1, %arg2 : tensor<3x1x2x1xf32>, tensor<3x1xi64>) outs(%arg4 : tensor<1x2x6xf32>) {
    ^bb0(%arg7: f32, %arg8: f32):
      tm_tensor.yield %arg7 : f32
    } -> tensor<1x2x6xf32>
    %3:2 = "dry.round_rows"(%arg1) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 0>} : (tensor<3x1x2x1x8xf32>) -> (tensor<3x1x2x1x8xi8>, tensor<3x1x2x1xf32>)
    %4 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%3#0, %arg2 : tensor<3x1x2x1x8xi8>, tensor<3x1xi64>) outs(%arg5 : tensor<1x2x6x8xi8>) {
    ^bb0(%arg7: i8, %arg8: i8):
      tm_tensor.yield %arg7 : i8
    } -> tensor<1x2x6x8xi8>
    %5 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%3#1, %arg2 : tensor<3x1x2x1xf32>, tensor<3x1xi64>) outs(%arg6 : tensor<1x2x6xf32>) {
    ^bb0(%arg7: f32, %arg8: f32):
      tm_tensor.yield %arg7 : f32
    } -> tensor<1x2x6xf32>
    %6 = "dry.attention"(%arg0, %1, %4, %2, %5) {causal = true, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 1, 1>, scale = 3.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<1x4x3x8xf32>, tensor<1x2x6x8xi8>, tensor<1x2x6x8xi8>, tensor<1x2x6xf32>, tensor<1x2x6xf32>) -> tensor<1x4x3x8xf32>
    return %6, %1, %2, %4, %5 : tensor<1x4x3x8xf32>, tensor<1x2x6x8xi8>, tensor<1x2x6xf32>, tensor<1x2x6x8xi8>, tensor<1x2x6xf32>
  }
}

// case: values that something else reads stay as they are
// states: keys, values
func.func @main(%q: tensor<1x2x1x8xf32>, %new: tensor<1x1x2x1x8xf32>, %at: tensor<1x1xi64>,
                %keys: tensor<1x2x6x8xf32>, %values: tensor<1x2x6x8xf32>)
    -> (tensor<1x2x1x8xf32>, tensor<1x2x6x8xf32>, tensor<1x2x6x8xf32>, tensor<1x2x6x8xf32>) {
  %k = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false)
      ins(%new, %at : tensor<1x1x2x1x8xf32>, tensor<1x1xi64>) outs(%keys : tensor<1x2x6x8xf32>) {
    ^bb0(%a: f32, %b: f32):
      tm_tensor.yield %a : f32
    } -> tensor<1x2x6x8xf32>
  %v = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false)
      ins(%new, %at : tensor<1x1x2x1x8xf32>, tensor<1x1xi64>) outs(%values : tensor<1x2x6x8xf32>) {
    ^bb0(%a: f32, %b: f32):
      tm_tensor.yield %a : f32
    } -> tensor<1x2x6x8xf32>
  %y = "dry.attention"(%q, %k, %v) {scale = 0.3 : f64, causal = false, sinks = 0 : i64, tile = [],
      layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>}
      : (tensor<1x2x1x8xf32>, tensor<1x2x6x8xf32>, tensor<1x2x6x8xf32>) -> tensor<1x2x1x8xf32>
  %e = tensor.empty() : tensor<1x2x6x8xf32>
  %seen = linalg.exp ins(%v : tensor<1x2x6x8xf32>) outs(%e : tensor<1x2x6x8xf32>) -> tensor<1x2x6x8xf32>
  return %y, %seen, %k, %v : tensor<1x2x1x8xf32>, tensor<1x2x6x8xf32>, tensor<1x2x6x8xf32>, tensor<1x2x6x8xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<1x2x1x8xf32>, %arg1: tensor<1x1x2x1x8xf32>, %arg2: tensor<1x1xi64>, %arg3: tensor<1x2x6x8xi8>, %arg4: tensor<1x2x6xf32>, %arg5: tensor<1x2x6x8xf32>) -> (tensor<1x2x1x8xf32>, tensor<1x2x6x8xf32>, tensor<1x2x6x8xi8>, tensor<1x2x6xf32>, tensor<1x2x6x8xf32>) {
    %0:2 = "dry.round_rows"(%arg1) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 0>} : (tensor<1x1x2x1x8xf32>) -> (tensor<1x1x2x1x8xi8>, tensor<1x1x2x1xf32>)
    %1 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%0#0, %arg2 : tensor<1x1x2x1x8xi8>, tensor<1x1xi64>) outs(%arg3 : tensor<1x2x6x8xi8>) {
    ^bb0(%arg6: i8, %arg7: i8):
      tm_tensor.yield %arg6 : i8
    } -> tensor<1x2x6x8xi8>
    %2 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%0#1, %arg2 : tensor<1x1x2x1xf32>, tensor<1x1xi64>) outs(%arg4 : tensor<1x2x6xf32>) {
    ^bb0(%arg6: f32, %arg7: f32):
      tm_tensor.yield %arg6 : f32
    } -> tensor<1x2x6xf32>
    %3 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%arg1, %arg2 : tensor<1x1x2x1x8xf32>, tensor<1x1xi64>) outs(%arg5 : tensor<1x2x6x8xf32>) {
    ^bb0(%arg6: f32, %arg7: f32):
      tm_tensor.yield %arg6 : f32
    } -> tensor<1x2x6x8xf32>
    %4 = "dry.attention"(%arg0, %1, %3, %2) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 1, 0>, scale = 3.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<1x2x1x8xf32>, tensor<1x2x6x8xi8>, tensor<1x2x6x8xf32>, tensor<1x2x6xf32>) -> tensor<1x2x1x8xf32>
    %5 = tensor.empty() : tensor<1x2x6x8xf32>
    %6 = linalg.exp ins(%3 : tensor<1x2x6x8xf32>) outs(%5 : tensor<1x2x6x8xf32>) -> tensor<1x2x6x8xf32>
    return %4, %6, %1, %2, %3 : tensor<1x2x1x8xf32>, tensor<1x2x6x8xf32>, tensor<1x2x6x8xi8>, tensor<1x2x6xf32>, tensor<1x2x6x8xf32>
  }
}
