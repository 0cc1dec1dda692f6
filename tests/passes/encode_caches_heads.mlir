// case: heads that are held differently have attentions of their own
// states: keys, values
func.func @main(%q: tensor<1x6x2x8xf32>, %new: tensor<2x1x3x1x8xf32>, %at: tensor<2x1xi64>,
                %mask: tensor<1x6x2x6xf32>, %keys: tensor<1x3x6x8xf32>, %values: tensor<1x3x6x8xf32>)
    -> (tensor<1x6x2x8xf32>, tensor<1x3x6x8xf32>, tensor<1x3x6x8xf32>) {
  %k = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false)
      ins(%new, %at : tensor<2x1x3x1x8xf32>, tensor<2x1xi64>) outs(%keys : tensor<1x3x6x8xf32>) {
    ^bb0(%a: f32, %b: f32):
      tm_tensor.yield %a : f32
    } -> tensor<1x3x6x8xf32>
  %v = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false)
      ins(%new, %at : tensor<2x1x3x1x8xf32>, tensor<2x1xi64>) outs(%values : tensor<1x3x6x8xf32>) {
    ^bb0(%a: f32, %b: f32):
      tm_tensor.yield %a : f32
    } -> tensor<1x3x6x8xf32>
  %y = "dry.attention"(%q, %k, %v, %mask) {scale = 0.3 : f64, causal = false, sinks = 0 : i64, tile = [],
      layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0>}
      : (tensor<1x6x2x8xf32>, tensor<1x3x6x8xf32>, tensor<1x3x6x8xf32>, tensor<1x6x2x6xf32>) -> tensor<1x6x2x8xf32>
  return %y, %k, %v : tensor<1x6x2x8xf32>, tensor<1x3x6x8xf32>, tensor<1x3x6x8xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<1x6x2x8xf32>, %arg1: tensor<2x1x3x1x8xf32>, %arg2: tensor<2x1xi64>, %arg3: tensor<1x6x2x6xf32>, %arg4: tensor<1x2x6x8xi8>, %arg5: tensor<1x2x6xf32>, %arg6: tensor<1x1x6x8xf32>, %arg7: tensor<1x2x6x8xf32>, %arg8: tensor<1x1x6x8xf32>) -> (tensor<1x6x2x8xf32>, tensor<1x2x6x8xi8>, tensor<1x2x6xf32>, tensor<1x1x6x8xf32>, tensor<1x2x6x8xf32>, tensor<1x1x6x8xf32>) {
    %extracted_slice = tensor.extract_slice %arg1[0, 0, 0, 0, 0] [2, 1, 1, 1, 8] [1, 1, 1, 1, 1] : tensor<2x1x3x1x8xf32> to tensor<2x1x1x1x8xf32>
    %extracted_slice_0 = tensor.extract_slice %arg1[0, 0, 2, 0, 0] [2, 1, 1, 1, 8] [1, 1, 1, 1, 1] : tensor<2x1x3x1x8xf32> to tensor<2x1x1x1x8xf32>
    %concat = tensor.concat dim(2) %extracted_slice, %extracted_slice_0 : (tensor<2x1x1x1x8xf32>, tensor<2x1x1x1x8xf32>) -> tensor<2x1x2x1x8xf32>
    %0:2 = "dry.round_rows"(%concat) {operandSegmentSizes = array<i32: 1, 0>, resultSegmentSizes = array<i32: 1, 1, 0>} : (tensor<2x1x2x1x8xf32>) -> (tensor<2x1x2x1x8xi8>, tensor<2x1x2x1xf32>)
    %1 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%0#0, %arg2 : tensor<2x1x2x1x8xi8>, tensor<2x1xi64>) outs(%arg4 : tensor<1x2x6x8xi8>) {
    ^bb0(%arg9: i8, %arg10: i8):
      tm_tensor.yield %arg9 : i8
    } -> tensor<1x2x6x8xi8>
    %2 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%0#1, %arg2 : tensor<2x1x2x1xf32>, tensor<2x1xi64>) outs(%arg5 : tensor<1x2x6xf32>) {
    ^bb0(%arg9: f32, %arg10: f32):
      tm_tensor.yield %arg9 : f32
    } -> tensor<1x2x6xf32>
    %extracted_slice_1 = tensor.extract_slice %arg1[0, 0, 1, 0, 0] [2, 1, 1, 1, 8] [1, 1, 1, 1, 1] : tensor<2x1x3x1x8xf32> to tensor<2x1x1x1x8xf32>
    %3 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%extracted_slice_1, %arg2 : tensor<2x1x1x1x8xf32>, tensor<2x1xi64>) outs(%arg6 : tensor<1x1x6x8xf32>) {
    ^bb0(%arg9: f32, %arg10: f32):
      tm_tensor.yield %arg9 : f32
    } -> tensor<1x1x6x8xf32>
    %extracted_slice_2 = tensor.extract_slice %arg1[0, 0, 0, 0, 0] [2, 1, 1, 1, 8] [1, 1, 1, 1, 1] : tensor<2x1x3x1x8xf32> to tensor<2x1x1x1x8xf32>
    %extracted_slice_3 = tensor.extract_slice %arg1[0, 0, 2, 0, 0] [2, 1, 1, 1, 8] [1, 1, 1, 1, 1] : tensor<2x1x3x1x8xf32> to tensor<2x1x1x1x8xf32>
    %concat_4 = tensor.concat dim(2) %extracted_slice_2, %extracted_slice_3 : (tensor<2x1x1x1x8xf32>, tensor<2x1x1x1x8xf32>) -> tensor<2x1x2x1x8xf32>
    %4 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%concat_4, %arg2 : tensor<2x1x2x1x8xf32>, tensor<2x1xi64>) outs(%arg7 : tensor<1x2x6x8xf32>) {
    ^bb0(%arg9: f32, %arg10: f32):
      tm_tensor.yield %arg9 : f32
    } -> tensor<1x2x6x8xf32>
    %extracted_slice_5 = tensor.extract_slice %arg1[0, 0, 1, 0, 0] [2, 1, 1, 1, 8] [1, 1, 1, 1, 1] : tensor<2x1x3x1x8xf32> to tensor<2x1x1x1x8xf32>
    %5 = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false) ins(%extracted_slice_5, %arg2 : tensor<2x1x1x1x8xf32>, tensor<2x1xi64>) outs(%arg8 : tensor<1x1x6x8xf32>) {
    ^bb0(%arg9: f32, %arg10: f32):
      tm_tensor.yield %arg9 : f32
    } -> tensor<1x1x6x8xf32>
    %extracted_slice_6 = tensor.extract_slice %arg0[0, 0, 0, 0] [1, 2, 2, 8] [1, 1, 1, 1] : tensor<1x6x2x8xf32> to tensor<1x2x2x8xf32>
    %extracted_slice_7 = tensor.extract_slice %arg0[0, 4, 0, 0] [1, 2, 2, 8] [1, 1, 1, 1] : tensor<1x6x2x8xf32> to tensor<1x2x2x8xf32>
    %concat_8 = tensor.concat dim(1) %extracted_slice_6, %extracted_slice_7 : (tensor<1x2x2x8xf32>, tensor<1x2x2x8xf32>) -> tensor<1x4x2x8xf32>
    %extracted_slice_9 = tensor.extract_slice %arg3[0, 0, 0, 0] [1, 2, 2, 6] [1, 1, 1, 1] : tensor<1x6x2x6xf32> to tensor<1x2x2x6xf32>
    %extracted_slice_10 = tensor.extract_slice %arg3[0, 4, 0, 0] [1, 2, 2, 6] [1, 1, 1, 1] : tensor<1x6x2x6xf32> to tensor<1x2x2x6xf32>
    %concat_11 = tensor.concat dim(1) %extracted_slice_9, %extracted_slice_10 : (tensor<1x2x2x6xf32>, tensor<1x2x2x6xf32>) -> tensor<1x4x2x6xf32>
    %6 = "dry.attention"(%concat_8, %1, %4, %concat_11, %2) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 1, 0>, scale = 3.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<1x4x2x8xf32>, tensor<1x2x6x8xi8>, tensor<1x2x6x8xf32>, tensor<1x4x2x6xf32>, tensor<1x2x6xf32>) -> tensor<1x4x2x8xf32>
    %extracted_slice_12 = tensor.extract_slice %arg0[0, 2, 0, 0] [1, 2, 2, 8] [1, 1, 1, 1] : tensor<1x6x2x8xf32> to tensor<1x2x2x8xf32>
    %extracted_slice_13 = tensor.extract_slice %arg3[0, 2, 0, 0] [1, 2, 2, 6] [1, 1, 1, 1] : tensor<1x6x2x6xf32> to tensor<1x2x2x6xf32>
    %7 = "dry.attention"(%extracted_slice_12, %3, %5, %extracted_slice_13) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0>, scale = 3.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<1x2x2x8xf32>, tensor<1x1x6x8xf32>, tensor<1x1x6x8xf32>, tensor<1x2x2x6xf32>) -> tensor<1x2x2x8xf32>
    %concat_14 = tensor.concat dim(1) %6, %7 : (tensor<1x4x2x8xf32>, tensor<1x2x2x8xf32>) -> tensor<1x6x2x8xf32>
    %extracted_slice_15 = tensor.extract_slice %concat_14[0, 0, 0, 0] [1, 2, 2, 8] [1, 1, 1, 1] : tensor<1x6x2x8xf32> to tensor<1x2x2x8xf32>
    %extracted_slice_16 = tensor.extract_slice %concat_14[0, 4, 0, 0] [1, 2, 2, 8] [1, 1, 1, 1] : tensor<1x6x2x8xf32> to tensor<1x2x2x8xf32>
    %extracted_slice_17 = tensor.extract_slice %concat_14[0, 2, 0, 0] [1, 2, 2, 8] [1, 1, 1, 1] : tensor<1x6x2x8xf32> to tensor<1x2x2x8xf32>
    %concat_18 = tensor.concat dim(1) %extracted_slice_15, %extracted_slice_16, %extracted_slice_17 : (tensor<1x2x2x8xf32>, tensor<1x2x2x8xf32>, tensor<1x2x2x8xf32>) -> tensor<1x6x2x8xf32>
    return %concat_18, %1, %2, %3, %4, %5 : tensor<1x6x2x8xf32>, tensor<1x2x6x8xi8>, tensor<1x2x6xf32>, tensor<1x1x6x8xf32>, tensor<1x2x6x8xf32>, tensor<1x1x6x8xf32>
  }
}
