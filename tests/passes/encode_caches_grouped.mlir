// case: keys by channel, values by token, the newest rows as they were written
// states: keys, values
func.func @main(%q: tensor<1x4x3x8xf32>, %new: tensor<3x1x2x1x8xf32>, %at: tensor<3x1xi64>,
                %keys: tensor<1x2x32x8xf32>, %values: tensor<1x2x32x8xf32>)
    -> (tensor<1x4x3x8xf32>, tensor<1x2x32x8xf32>, tensor<1x2x32x8xf32>) {
  %k = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false)
      ins(%new, %at : tensor<3x1x2x1x8xf32>, tensor<3x1xi64>) outs(%keys : tensor<1x2x32x8xf32>) {
    ^bb0(%a: f32, %b: f32):
      tm_tensor.yield %a : f32
    } -> tensor<1x2x32x8xf32>
  %v = tm_tensor.scatter {dimension_map = array<i64: 2>} unique_indices(false)
      ins(%new, %at : tensor<3x1x2x1x8xf32>, tensor<3x1xi64>) outs(%values : tensor<1x2x32x8xf32>) {
    ^bb0(%a: f32, %b: f32):
      tm_tensor.yield %a : f32
    } -> tensor<1x2x32x8xf32>
  %y = "dry.attention"(%q, %k, %v) {scale = 0.3 : f64, causal = false, sinks = 0 : i64, tile = [],
      layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>}
      : (tensor<1x4x3x8xf32>, tensor<1x2x32x8xf32>, tensor<1x2x32x8xf32>) -> tensor<1x4x3x8xf32>
  return %y, %k, %v : tensor<1x4x3x8xf32>, tensor<1x2x32x8xf32>, tensor<1x2x32x8xf32>
}

// after:
module {
  func.func @main(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<3x1x2x1x8xf32>, %arg2: tensor<3x1xi64>, %arg3: tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[2], [16], "each">, #dry.enc<"f16", unit, unit>, unit, #dry.enc<"f16", unit, unit>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>, %arg4: tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[3], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>, unit, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>) -> (tensor<1x4x3x8xf32>, tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[2], [16], "each">, #dry.enc<"f16", unit, unit>, unit, #dry.enc<"f16", unit, unit>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>, tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[3], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>, unit, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>) {
    %0 = "dry.write_rows"(%arg3, %arg1, %arg2) {axis = 2 : i64, tries = 1 : i64} : (tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[2], [16], "each">, #dry.enc<"f16", unit, unit>, unit, #dry.enc<"f16", unit, unit>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>, tensor<3x1x2x1x8xf32>, tensor<3x1xi64>) -> tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[2], [16], "each">, #dry.enc<"f16", unit, unit>, unit, #dry.enc<"f16", unit, unit>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>
    %1 = "dry.write_rows"(%arg4, %arg1, %arg2) {axis = 2 : i64, tries = 1 : i64} : (tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[3], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>, unit, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>, tensor<3x1x2x1x8xf32>, tensor<3x1xi64>) -> tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[3], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>, unit, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>
    %2 = "dry.attention"(%arg0, %0, %1) {causal = false, layout = "bhsd", operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>, scale = 3.000000e-01 : f64, sinks = 0 : i64, tile = []} : (tensor<1x4x3x8xf32>, tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[2], [16], "each">, #dry.enc<"f16", unit, unit>, unit, #dry.enc<"f16", unit, unit>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>, tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[3], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>, unit, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>) -> tensor<1x4x3x8xf32>
    return %2, %0, %1 : tensor<1x4x3x8xf32>, tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[2], [16], "each">, #dry.enc<"f16", unit, unit>, unit, #dry.enc<"f16", unit, unit>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>, tensor<1x2x32x8xf32, #dry.joined<#dry.recent<#dry.enc<"uint8", #dry.scale<#dry.per<[3], [8], "each">, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>, unit, #dry.enc<"f16", unit, #dry.pack<[], [], [0, 1, 3, 2]>>>, #dry.strings<2 : i64>>, 2 : i64, 16 : i64, #dry.enc<"bf16", unit, unit>>>>
  }
}
