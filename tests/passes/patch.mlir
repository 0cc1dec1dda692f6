// case: a residual block in two bands, whose common rows are computed twice
func.func @main(%x: tensor<1x6x6x4xf32>) -> tensor<1x6x6x4xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<4x4x3x3xf32>
  %v = "dry.weight"() {key = "v"} : () -> tensor<4x1x3x3xf32>
  %y = "dry.conv"(%x, %w) ({
  ^bb0(%e: f32):
    "dry.yield"(%e) : (f32) -> ()
  }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x6x6x4xf32>, tensor<4x4x3x3xf32>) -> tensor<1x6x6x4xf32>
  %z = "dry.conv"(%y, %v, %x) ({
  ^bb0(%e: f32, %r: f32):
    %s = arith.addf %e, %r : f32
    "dry.yield"(%s) : (f32) -> ()
  }) {dilation = [1, 1], extra_maps = [affine_map<(n, h, w, c) -> (n, h, w, c)>], groups = 4 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x6x6x4xf32>, tensor<4x1x3x3xf32>, tensor<1x6x6x4xf32>) -> tensor<1x6x6x4xf32>
  return %z : tensor<1x6x6x4xf32>
}

// after:
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @main(%arg0: tensor<1x6x6x4xf32>) -> tensor<1x6x6x4xf32> {
    %0 = "dry.weight"() {key = "w"} : () -> tensor<4x4x3x3xf32>
    %1 = "dry.weight"() {key = "v"} : () -> tensor<4x1x3x3xf32>
    %extracted_slice = tensor.extract_slice %arg0[0, 0, 0, 0] [1, 5, 6, 4] [1, 1, 1, 1] : tensor<1x6x6x4xf32> to tensor<1x5x6x4xf32>
    %2 = "dry.conv"(%extracted_slice, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 0, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x5x6x4xf32>, tensor<4x4x3x3xf32>) -> tensor<1x4x6x4xf32>
    %extracted_slice_0 = tensor.extract_slice %arg0[0, 0, 0, 0] [1, 3, 6, 4] [1, 1, 1, 1] : tensor<1x6x6x4xf32> to tensor<1x3x6x4xf32>
    %3 = "dry.conv"(%2, %1, %extracted_slice_0) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %7 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%7) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map], groups = 4 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [1, 0, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x4x6x4xf32>, tensor<4x1x3x3xf32>, tensor<1x3x6x4xf32>) -> tensor<1x3x6x4xf32>
    %4 = tensor.empty() : tensor<1x6x6x4xf32>
    %c0 = arith.constant 0 : index
    %c0_1 = arith.constant 0 : index
    %c0_2 = arith.constant 0 : index
    %c0_3 = arith.constant 0 : index
    %inserted_slice = tensor.insert_slice %3 into %4[%c0, %c0_1, %c0_2, %c0_3] [1, 3, 6, 4] [1, 1, 1, 1] : tensor<1x3x6x4xf32> into tensor<1x6x6x4xf32>
    %extracted_slice_4 = tensor.extract_slice %arg0[0, 1, 0, 0] [1, 5, 6, 4] [1, 1, 1, 1] : tensor<1x6x6x4xf32> to tensor<1x5x6x4xf32>
    %5 = "dry.conv"(%extracted_slice_4, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [], groups = 1 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x5x6x4xf32>, tensor<4x4x3x3xf32>) -> tensor<1x4x6x4xf32>
    %extracted_slice_5 = tensor.extract_slice %arg0[0, 3, 0, 0] [1, 3, 6, 4] [1, 1, 1, 1] : tensor<1x6x6x4xf32> to tensor<1x3x6x4xf32>
    %6 = "dry.conv"(%5, %1, %extracted_slice_5) ({
    ^bb0(%arg1: f32, %arg2: f32):
      %7 = arith.addf %arg1, %arg2 : f32
      "dry.yield"(%7) : (f32) -> ()
    }) {dilation = [1, 1], extra_maps = [#map], groups = 4 : i64, layout = "nhwc", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0, 0, 0>, output_padding = [0, 0], padding = [0, 1, 1, 1], strides = [1, 1], transposed = false} : (tensor<1x4x6x4xf32>, tensor<4x1x3x3xf32>, tensor<1x3x6x4xf32>) -> tensor<1x3x6x4xf32>
    %c0_6 = arith.constant 0 : index
    %c3 = arith.constant 3 : index
    %c0_7 = arith.constant 0 : index
    %c0_8 = arith.constant 0 : index
    %inserted_slice_9 = tensor.insert_slice %6 into %inserted_slice[%c0_6, %c3, %c0_7, %c0_8] [1, 3, 6, 4] [1, 1, 1, 1] : tensor<1x3x6x4xf32> into tensor<1x6x6x4xf32>
    return %inserted_slice_9 : tensor<1x6x6x4xf32>
  }
}
