// case: a projection onto a vocabulary, its bf16 weight packed in pairs, its result in parts
func.func @main(%x: tensor<2x8xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<2x96xf32> {
  %w = "dry.weight"() {key = "w"} : () -> tensor<96x8xf32, #dry.enc<"bf16", unit, #dry.pack<[0, 1], [32, 2], [0, 1]>>>
  %y = "dry.matmul"(%x, %w) ({
  ^bb0(%e: f32):
    "dry.yield"(%e) : (f32) -> ()
  }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x8xf32, #dry.enc<"bf16", unit, unit>>, tensor<96x8xf32, #dry.enc<"bf16", unit, #dry.pack<[0, 1], [32, 2], [0, 1]>>>) -> tensor<2x96xf32>
  return %y : tensor<2x96xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<2x8xf32, #dry.enc<"bf16", unit, unit>>) -> tensor<2x96xf32> {
    %0 = "dry.weight"() {dry.piece = "0.0", key = "w[0:0:32]"} : () -> tensor<32x8xf32, #dry.enc<"bf16", unit, #dry.pack<[0, 1], [32, 2], [0, 1]>>>
    %1 = "dry.matmul"(%arg0, %0) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x8xf32, #dry.enc<"bf16", unit, unit>>, tensor<32x8xf32, #dry.enc<"bf16", unit, #dry.pack<[0, 1], [32, 2], [0, 1]>>>) -> tensor<2x32xf32>
    %2 = tensor.empty() : tensor<2x96xf32>
    %c0 = arith.constant 0 : index
    %c0_0 = arith.constant 0 : index
    %inserted_slice = tensor.insert_slice %1 into %2[%c0, %c0_0] [2, 32] [1, 1] : tensor<2x32xf32> into tensor<2x96xf32>
    %3 = "dry.weight"() {dry.piece = "0.1", key = "w[0:32:64]"} : () -> tensor<32x8xf32, #dry.enc<"bf16", unit, #dry.pack<[0, 1], [32, 2], [0, 1]>>>
    %4 = "dry.matmul"(%arg0, %3) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x8xf32, #dry.enc<"bf16", unit, unit>>, tensor<32x8xf32, #dry.enc<"bf16", unit, #dry.pack<[0, 1], [32, 2], [0, 1]>>>) -> tensor<2x32xf32>
    %c0_1 = arith.constant 0 : index
    %c32 = arith.constant 32 : index
    %inserted_slice_2 = tensor.insert_slice %4 into %inserted_slice[%c0_1, %c32] [2, 32] [1, 1] : tensor<2x32xf32> into tensor<2x96xf32>
    %5 = "dry.weight"() {dry.piece = "0.2", key = "w[0:64:96]"} : () -> tensor<32x8xf32, #dry.enc<"bf16", unit, #dry.pack<[0, 1], [32, 2], [0, 1]>>>
    %6 = "dry.matmul"(%arg0, %5) ({
    ^bb0(%arg1: f32):
      "dry.yield"(%arg1) : (f32) -> ()
    }) {extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>, transpose_b = true} : (tensor<2x8xf32, #dry.enc<"bf16", unit, unit>>, tensor<32x8xf32, #dry.enc<"bf16", unit, #dry.pack<[0, 1], [32, 2], [0, 1]>>>) -> tensor<2x32xf32>
    %c0_3 = arith.constant 0 : index
    %c64 = arith.constant 64 : index
    %inserted_slice_4 = tensor.insert_slice %6 into %inserted_slice_2[%c0_3, %c64] [2, 32] [1, 1] : tensor<2x32xf32> into tensor<2x96xf32>
    return %inserted_slice_4 : tensor<2x96xf32>
  }
}
