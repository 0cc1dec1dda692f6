"""Quantized programs (PT2E, torchao): weights they dequantize become constants of an encoding, bit for bit,
and what they do to activations operations of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from drystone import mlir
from drystone.frontend import affine, import_model
from drystone.ir.context import new_context
from drystone.ir.encoded import encoding_of
from drystone.ir.encoding import Codes, Per, decode, part_key
from drystone.ir.interpreter import run
from drystone.ir.program import Program

assert affine.rules()  # importing it registers the operations
OPS = torch.ops.quantized_decomposed
I8, U8, F32 = torch.int8, torch.uint8, torch.float32


class Calls(nn.Module):
    """One call of a function with buffers of its own."""

    def __init__(self, function: Callable[..., Any], **buffers: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, **dict(self.named_buffers()))


def imported(model: Any, *inputs: torch.Tensor) -> Program:
    return import_model(model, inputs, ctx=new_context())


def random_codes(shape: tuple[int, ...], low: int, high: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randint(low, high + 1, shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def spread(*shape: int, dtype: torch.dtype = F32) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(1)) / 100 + 0.001).to(dtype)


def points(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return random_codes(shape, -20, 20, dtype)


W8, U, W4 = (
    random_codes((12, 32), -128, 127, I8),
    random_codes((12, 32), 0, 255, U8),
    random_codes((12, 32), -8, 7, I8),
)
KERNEL = random_codes((6, 4, 3, 3), -127, 127, I8)
F8 = torch.randn(12, 32, generator=torch.Generator().manual_seed(0)).to(torch.float8_e4m3fn)

#: What dequantizes a weight: the function of it and other buffers, these, and the encoding that is to be.
WEIGHTS: dict[str, tuple[Callable[..., torch.Tensor], dict[str, torch.Tensor], str, Per]] = {
    "tensor": (
        lambda w: OPS.dequantize_per_tensor(w, 0.013, 3, -128, 127, I8),
        {"w": W8},
        "int8",
        Per.tensor(),
    ),
    "unsigned": (
        lambda w: OPS.dequantize_per_tensor(w, 0.1, 117, 0, 255, U8),
        {"w": U},
        "uint8",
        Per.tensor(),
    ),
    "tensors": (
        lambda w, s, z: OPS.dequantize_per_tensor.tensor(w, s, z, -128, 127, I8),
        {"w": W8, "s": spread(1), "z": points(1)},
        "int8",
        Per.tensor(),
    ),
    "channel": (
        lambda w, s, z: OPS.dequantize_per_channel(w, s, z, 0, -128, 127, I8),
        {"w": W8, "s": spread(12), "z": points(12)},
        "int8",
        Per.row(1),
    ),
    "channel, no zero points": (
        lambda w, s: OPS.dequantize_per_channel(w, s, None, 1, -128, 127, I8),
        {"w": W8, "s": spread(32)},
        "int8",
        Per.row(0),
    ),
    "convolution": (
        lambda w, s, z: OPS.dequantize_per_channel(w, s, z, 0, -127, 127, I8),
        {"w": KERNEL, "s": spread(6), "z": torch.zeros(6, dtype=torch.int64)},
        "int8",
        Per((1, 2, 3), (0, 0, 0), "each"),
    ),
    "group": (
        lambda w, s, z: OPS.dequantize_per_channel_group(w, s, z, -8, 7, I8, 8, F32),
        {"w": W4, "s": spread(12, 4), "z": points(12, 4, dtype=torch.int32)},
        "int4",
        Per.group(1, 8),
    ),
    "scales of f64": (
        lambda w, s, z: OPS.dequantize_per_channel_group(w, s, z, -8, 7, I8, 32, F32),
        {"w": W4, "s": spread(12, 1, dtype=torch.float64), "z": points(12, 1)},
        "int4",
        Per.row(1),
    ),
    "floats": (
        lambda w: OPS.dequantize_per_tensor(w, 0.013, 0, -448, 448, torch.float8_e4m3fn),
        {"w": F8},
        "e4m3",
        Per.tensor(),
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_dequantized_weight_is_a_constant_of_an_encoding(name: str) -> None:
    function, buffers, code, per = WEIGHTS[name]
    wanted = function(**buffers)
    program = imported(Calls(lambda x, **own: x + function(**own), **buffers), torch.zeros(wanted.shape))
    (weight,) = [op for op in mlir.walk(program.module) if op.operation.name == "dry.weight"]
    kind, key = weight.out.type, weight.key.value
    assert key == "w_dequantized"
    encoding = encoding_of(kind)
    assert isinstance(encoding, Codes) and encoding.element == code
    assert encoding.scale is not None and encoding.scale.per == per
    centred = name not in ("channel, no zero points", "convolution", "floats")
    assert (encoding.scale.zero_point is not None) == centred
    parts = {part: program.weights[part_key(key, part)] for part in encoding.parts(kind.shape)}
    assert np.array_equal(decode(parts, encoding, kind.shape, "f32"), wanted.numpy())
    # Nothing else of it is left.
    assert set(program.weights) == {part_key(key, part) for part in parts}
    assert np.array_equal(run(program, [np.zeros(wanted.shape, np.float32)])[0], wanted.numpy())


def test_a_constant_that_is_quantized_and_dequantized_is_held_in_codes() -> None:
    scale, zero, weight = (
        spread(12),
        points(12),
        torch.randn(12, 32, generator=torch.Generator().manual_seed(0)),
    )

    def function(w: torch.Tensor, s: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        codes = OPS.quantize_per_channel(w, s, z, 0, -128, 127, I8)
        return OPS.dequantize_per_channel(codes, s, z, 0, -128, 127, I8)

    program = imported(
        Calls(lambda x, **own: x + function(**own), w=weight, s=scale, z=zero), torch.zeros(12, 32)
    )
    assert 'key = "w_dequantized"} : () -> tensor<12x32xf32, #dry.enc<"int8"' in mlir.text(program.module)
    assert np.array_equal(
        run(program, [np.zeros((12, 32), np.float32)])[0], function(weight, scale, zero).numpy()
    )


@pytest.mark.parametrize(
    ("dtype", "scales"), [(torch.bfloat16, torch.bfloat16), (F32, torch.bfloat16), (F32, F32)]
)
def test_what_no_encoding_gives_exactly_stays_an_operation(dtype: torch.dtype, scales: torch.dtype) -> None:
    s, z = spread(12, 4, dtype=scales), points(12, 4)

    def function(w: torch.Tensor, s: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return OPS.dequantize_per_channel_group(w, s, z, -8, 7, I8, 8, dtype).to(F32)

    program = imported(Calls(lambda x, **own: x + function(**own), w=W4, s=s, z=z), torch.zeros(12, 32))
    # Products of bf16 are rounded to it before they are widened to f32.
    assert ("w_dequantized" in program.weights) == (dtype == scales)
    assert np.array_equal(run(program, [np.zeros((12, 32), np.float32)])[0], function(W4, s, z).numpy())


@pytest.mark.parametrize(("codes", "code"), [(W8, "int8"), (U, "uint8"), (W4, "int4"), (F8, "e4m3")])
def test_codes_that_are_converted_are_held_as_such(codes: torch.Tensor, code: str) -> None:
    def function(w: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return w.t().to(F32) * s

    program = imported(
        Calls(lambda x, **own: x + function(**own), w=codes, s=spread(12)), torch.zeros(32, 12)
    )
    text = mlir.text(program.module)
    assert f'key = "w_dequantized"}} : () -> tensor<32x12xf32, #dry.enc<"{code}", unit, unit>>' in text
    wanted = function(codes, spread(12))
    assert np.array_equal(run(program, [np.zeros((32, 12), np.float32)])[0], wanted.numpy())


def test_int32_biases_stay_operations() -> None:
    bias = random_codes((12,), -(10**6), 10**6, torch.int32)

    def function(b: torch.Tensor) -> torch.Tensor:
        return OPS.dequantize_per_tensor(b, 1e-4, 0, -(2**31), 2**31 - 1, torch.int32)

    program = imported(Calls(lambda x, **own: x + function(**own), b=bias), torch.zeros(12))
    assert np.array_equal(run(program, [np.zeros(12, np.float32)])[0], function(bias).numpy())


def per_tensor(x: torch.Tensor) -> Any:
    codes = OPS.quantize_per_tensor(x, 0.021, 114, 0, 255, U8)
    return codes, OPS.dequantize_per_tensor(codes, 0.021, 114, 0, 255, U8)


def chosen(x: torch.Tensor) -> Any:
    scale, zero = OPS.choose_qparams.tensor(x, 0, 255, 1.2e-7, U8)
    codes = OPS.quantize_per_tensor.tensor(x, scale, zero, 0, 255, U8)
    return scale, zero, codes, OPS.dequantize_per_tensor.tensor(codes, scale, zero, 0, 255, U8)


def chosen_symmetric(x: torch.Tensor) -> Any:
    scale, zero = OPS.choose_qparams_symmetric.tensor(x, -127, 127, 1.2e-7, I8)
    low, high = torch.tensor(-127), torch.tensor(127)
    codes = OPS.quantize_per_tensor.tensor2(x, scale, zero, low, high, I8)
    return scale, zero, codes, OPS.dequantize_per_tensor.tensor2(codes, scale, zero, low, high, I8)


CHANNELS = spread(32), points(32)
GROUPS = spread(16, 4) * 10, points(16, 4)


def per_channel(x: torch.Tensor) -> Any:
    codes = OPS.quantize_per_channel(x, *CHANNELS, 1, -128, 127, I8)
    return codes, OPS.dequantize_per_channel(codes, *CHANNELS, 1, -128, 127, I8)


def per_token(x: torch.Tensor) -> Any:
    scale, zero = OPS.choose_qparams_per_token_asymmetric(x, I8)
    codes = OPS.quantize_per_token(x, scale, zero, -128, 127, I8)
    return scale, zero, codes, OPS.dequantize_per_token(codes, scale, zero, -128, 127, I8, F32)


def per_group(x: torch.Tensor) -> Any:
    codes = OPS.quantize_per_channel_group(x, *GROUPS, -8, 7, I8, 8)
    return codes, OPS.dequantize_per_channel_group(codes, *GROUPS, -8, 7, I8, 8, F32)


ACTIVATIONS = (per_tensor, chosen, chosen_symmetric, per_channel, per_token, per_group)


@pytest.mark.parametrize("function", ACTIVATIONS, ids=lambda function: function.__name__)
def test_activations_are_quantized_as_torch_does(function: Callable[..., Any]) -> None:
    x = torch.randn(16, 32, generator=torch.Generator().manual_seed(0)) * 2
    with torch.no_grad():
        wanted = function(x)
    got = run(imported(Calls(function), x), [x.numpy()])
    for one, other in zip(got, wanted, strict=True):
        assert np.array_equal(one.view(other.numpy().dtype) if one.dtype == np.int8 else one, other.numpy())


def test_a_program_of_the_users_stays_as_it_is() -> None:
    function, buffers, *_ = WEIGHTS["channel"]
    program = torch.export.export(
        Calls(lambda x, **own: x + function(**own), **buffers), (torch.zeros(12, 32),)
    )
    before = str(program)
    texts = [mlir.text(imported(program).module) for _ in range(2)]
    assert texts[0] == texts[1]
    assert str(program) == before
    assert "w_dequantized" not in program.constants


def test_a_quantized_program_is_read_from_a_file(tmp_path: Path) -> None:
    function, buffers, *_ = WEIGHTS["channel"]
    model = Calls(lambda x, **own: torch.nn.functional.linear(x, function(**own)), **buffers)
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    torch.export.save(torch.export.export(model, (x,)), tmp_path / "model.pt2")
    program = imported(tmp_path / "model.pt2")
    assert '#dry.enc<"int8"' in mlir.text(program.module)
    np.testing.assert_allclose(run(program, [x.numpy()])[0], model(x).numpy(), rtol=1e-5, atol=1e-5)
