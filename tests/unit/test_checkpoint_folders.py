"""Folders of safetensors: every packing of GPTQ, AWQ, compressed-tensors and FP8 beside decoders written for
the tests, and what is refused."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drystone import Checkpoint, UserError
from drystone.frontend.checkpoints import opened
from drystone.ir.elements import from_bf16
from drystone.ir.encoding import Codes, Permuted, decode
from tests import quantized

OUTPUTS, INPUTS = 32, 64
GPTQ_4 = {"quant_method": "gptq", "bits": 4, "group_size": 32}
SHAPE = (OUTPUTS, INPUTS)


def found(folder: Path, element: str = "f32", shape: tuple[int, ...] = SHAPE) -> Any:
    """The weight `layer.weight`, and how it is held."""
    held = opened(Checkpoint(folder)).find(["layer.weight"], shape, element)
    assert held is not None
    declared = {name: part for name, (part, _) in held.encoding.parts(shape).items()}
    assert {name: part.shape for name, part in held.parts.items()} == declared
    return decode(held.parts, held.encoding, shape, element), held


def written(folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any] | None) -> Path:
    return quantized.write(folder / "model", {f"layer.{name}": t for name, t in tensors.items()}, config)


GPTQ = [
    *itertools.product((2, 3, 4, 8), (32, -1), (False, True), (False, True)),
    (4, 24, True, False),
]


@pytest.mark.parametrize(("bits", "group", "order", "v2"), GPTQ)
def test_gptq(tmp_path: Path, bits: int, group: int, order: bool, v2: bool) -> None:
    random = np.random.default_rng(bits)
    tensors, weight = quantized.gptq(random, *SHAPE, bits, group, order=order, v2=v2)
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": order, "sym": False}
    config["checkpoint_format"] = "gptq_v2" if v2 else "gptq"
    ours, held = found(written(tmp_path, tensors, config))
    assert np.array_equal(ours, weight)
    assert isinstance(held.encoding, Permuted) == (order and group > 0)
    # Nothing is stored in more bits than there, but for zero points of 2^bits.
    codes = held.parts["base" if isinstance(held.encoding, Permuted) else "codes"]
    assert codes.nbytes == tensors["qweight"].nbytes


@pytest.mark.parametrize(("element", "dtype"), [("f16", torch.float16), ("bf16", torch.bfloat16)])
def test_numbers_of_short_models_are_those_that_torch_computes_in_them(
    tmp_path: Path, element: str, dtype: torch.dtype
) -> None:
    tensors, _ = quantized.gptq(np.random.default_rng(0), *SHAPE, 4, 32, scales=dtype)
    ours, _ = found(
        written(tmp_path, tensors, {"quant_method": "gptq", "bits": 4, "group_size": 32}), element
    )
    codes = tensors["qweight"][:, None] >> torch.arange(0, 32, 4)[:, None] & 15
    zeros = (tensors["qzeros"][..., None] >> torch.arange(0, 32, 4) & 15) + 1
    index = tensors["g_idx"].long()
    theirs = (codes.reshape(INPUTS, OUTPUTS) - zeros.reshape(-1, OUTPUTS)[index]) * tensors["scales"][index]
    assert theirs.dtype == dtype
    ours = from_bf16(ours) if element == "bf16" else ours
    assert np.array_equal(ours, theirs.T.float().numpy())


def test_gptq_of_a_file_of_its_own_and_of_layers_that_differ(tmp_path: Path) -> None:
    tensors, weight = quantized.gptq(np.random.default_rng(0), *SHAPE, 8, 16)
    folder = written(tmp_path, tensors, None)
    (folder / "quantize_config.json").write_text(
        '{"bits": 4, "group_size": 32, "dynamic": {"layer": {"bits": 8}}}'
    )
    assert np.array_equal(found(folder)[0], weight)


@pytest.mark.parametrize("group", [16, 64])
def test_awq(tmp_path: Path, group: int) -> None:
    tensors, weight = quantized.awq(np.random.default_rng(group), *SHAPE, group)
    config = {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm"}
    ours, held = found(written(tmp_path, tensors, config))
    assert np.array_equal(ours, weight)
    assert held.parts["codes"].nbytes == tensors["qweight"].nbytes


def compressed(form: str, **scheme: Any) -> dict[str, Any]:
    """What config.json says of compressed-tensors."""
    group = {"targets": ["Linear"], "weights": {"type": "int", "num_bits": 4, **scheme}}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": {"group_0": group}}


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("zeros", [None, "packed", "bytes"])
@pytest.mark.parametrize(
    ("strategy", "group", "order"),
    [("channel", None, False), ("group", 32, False), ("group", 24, True)],
    ids=["channel", "group", "order"],
)
def test_integers_in_words(
    tmp_path: Path, bits: int, zeros: str | None, strategy: str, group: int | None, order: bool
) -> None:
    scheme = {"num_bits": bits, "strategy": strategy, "group_size": group, "symmetric": zeros is None}
    how = {"pack": True, "zeros": zeros, "order": order}
    tensors, weight = quantized.integers(np.random.default_rng(bits), *SHAPE, scheme, **how)
    ours, held = found(written(tmp_path, tensors, compressed("pack-quantized", **scheme)))
    assert np.array_equal(ours, weight)
    assert isinstance(held.encoding, Permuted) == order


@pytest.mark.parametrize("zeros", [None, "bytes"])
@pytest.mark.parametrize(("strategy", "group"), [("tensor", None), ("channel", None), ("group", 16)])
@pytest.mark.parametrize("form", ["int-quantized", "naive-quantized"])
def test_integers_in_bytes(
    tmp_path: Path, form: str, strategy: str, group: int | None, zeros: str | None
) -> None:
    scheme = {"num_bits": 8, "strategy": strategy, "group_size": group}
    tensors, weight = quantized.integers(np.random.default_rng(0), *SHAPE, scheme, zeros=zeros)
    tensors["input_scale"] = torch.ones(1)
    ours, held = found(written(tmp_path, tensors, compressed(form, **scheme)))
    assert np.array_equal(ours, weight)
    assert held.parts["codes"].nbytes == OUTPUTS * INPUTS


@pytest.mark.parametrize(
    ("strategy", "blocks", "more"),
    [
        ("tensor", SHAPE, {}),
        ("channel", (1, INPUTS), {}),
        ("group", (1, 16), {"group_size": 16}),
        ("block", (24, 40), {"block_structure": [24, 40]}),
    ],
)
def test_floats_of_8_bits(
    tmp_path: Path, strategy: str, blocks: tuple[int, int], more: dict[str, Any]
) -> None:
    tensors, weight = quantized.floats(np.random.default_rng(0), *SHAPE, blocks)
    if strategy == "tensor":
        tensors["weight_scale"] = tensors["weight_scale"].reshape(1)
    config = compressed("float-quantized", type="float", num_bits=8, strategy=strategy, **more)
    assert np.array_equal(found(written(tmp_path, tensors, config))[0], weight)
    if strategy == "block":
        tensors["weight_scale_inv"] = tensors.pop("weight_scale")
        config = {"quant_method": "fp8", "weight_block_size": list(blocks)}
        assert np.array_equal(found(written(tmp_path, tensors, config))[0], weight)


def test_floats_of_8_bits_with_powers_of_two(tmp_path: Path) -> None:
    tensors, weight = quantized.floats(np.random.default_rng(0), *SHAPE, (1, 32), powers=True)
    config = compressed("mxfp8-quantized", type="float", num_bits=8, strategy="group", group_size=32)
    assert np.array_equal(found(written(tmp_path, tensors, config))[0], weight)


@pytest.mark.parametrize("nvidia", [True, False])
def test_floats_of_4_bits(tmp_path: Path, nvidia: bool) -> None:
    tensors, weight = quantized.fours(np.random.default_rng(0), *SHAPE, nvidia)
    form = "nvfp4-pack-quantized" if nvidia else "mxfp4-pack-quantized"
    how = (
        {"strategy": "tensor_group", "group_size": 16} if nvidia else {"strategy": "group", "group_size": 32}
    )
    ours, held = found(written(tmp_path, tensors, compressed(form, type="float", **how)))
    assert np.array_equal(ours, weight)
    assert held.parts["codes"].nbytes == tensors["weight_packed"].nbytes
    assert np.array_equal(held.parts["scale"], tensors["weight_scale"].view(torch.uint8).numpy())


def test_groups_are_found_by_the_layers_they_name(tmp_path: Path) -> None:
    scheme = {"num_bits": 8, "strategy": "channel"}
    tensors, weight = quantized.integers(np.random.default_rng(0), *SHAPE, scheme)
    for targets in (["layer"], ["re:.*ayer$"]):
        config = compressed("pack-quantized", strategy="group", group_size=32)
        config["config_groups"]["group_1"] = {
            "targets": targets,
            "weights": scheme,
            "format": "int-quantized",
        }
        assert np.array_equal(found(written(tmp_path, tensors, config))[0], weight)
    config["config_groups"] = {"group_0": {"targets": ["re:.*other"], "weights": scheme}}
    assert "no group of its config.json names it" in refused(written(tmp_path, tensors, config))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("form", ["sparse-24-bitmask", "sparse-bitmask"])
def test_sparse_weights(tmp_path: Path, form: str, dtype: torch.dtype) -> None:
    """Their zeros are there again; what a product reads of them is the compiler's business."""
    weight = torch.randn(OUTPUTS, 36, generator=torch.Generator().manual_seed(0)).to(dtype)
    if form == "sparse-bitmask":
        weight[:, ::5], weight[3] = 0, 0
    else:
        weight.view(OUTPUTS, -1, 4)[..., 1::2] = 0
    config = {"quant_method": "compressed-tensors", "sparsity_config": {"format": form}}
    folder = written(tmp_path, quantized.masked(weight, form == "sparse-bitmask"), config)
    element = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}[dtype]
    held = opened(Checkpoint(folder)).find(["layer.weight"], weight.shape, element)
    assert held is not None and held.encoding == Codes(element)
    assert np.array_equal(decode(held.parts, held.encoding, weight.shape, "f32"), weight.float().numpy())
    opened(Checkpoint(folder)).check([["layer.weight"]], [])


def test_sparse_weights_in_codes(tmp_path: Path) -> None:
    tensors, weight = quantized.floats(np.random.default_rng(0), *SHAPE, (1, INPUTS))
    left = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) < 0.5
    codes = (tensors.pop("weight").float() * left).to(torch.float8_e4m3fn)
    config = compressed("float-quantized", type="float", num_bits=8, strategy="channel")
    config["sparsity_config"] = {"format": "sparse-bitmask"}
    masked = quantized.masked(codes.view(torch.uint8), flat=True)
    masked["compressed"] = masked["compressed"].view(torch.float8_e4m3fn)
    ours, _ = found(written(tmp_path, tensors | masked, config))
    assert np.array_equal(ours, np.where(left.numpy(), weight, 0))


def test_what_cannot_be_taken_of_sparse_weights_is_named(tmp_path: Path) -> None:
    weight = torch.ones(SHAPE)
    config = {"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-bitmask"}}
    tensors = quantized.masked(weight, flat=True)
    short = tensors | {"compressed": tensors["compressed"][1:]}
    assert "layer.compressed has 2047 numbers, and layer.bitmask has 2048" in refused(
        written(tmp_path, short, config)
    )


def test_what_is_not_quantized_is_plain(tmp_path: Path) -> None:
    weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    for config in (None, GPTQ_4, compressed("pack-quantized", strategy="channel")):
        ours, held = found(written(tmp_path, {"weight": weight}, config))
        assert np.array_equal(ours, weight.float().numpy())
        assert held.encoding == Codes("bf16")


def test_biases_of_zeros_need_not_be_taken(tmp_path: Path) -> None:
    tensors, _ = quantized.gptq(np.random.default_rng(0), *SHAPE, 4, 32)
    given = opened(Checkpoint(written(tmp_path, {**tensors, "bias": torch.zeros(OUTPUTS)}, GPTQ_4)))
    given.check([["layer.weight"]], [])
    given = opened(Checkpoint(written(tmp_path, {**tensors, "bias": torch.ones(OUTPUTS)}, GPTQ_4)))
    with pytest.raises(UserError, match=r"takes nothing from 1 of its tensors: layer\.bias"):
        given.check([["layer.weight"]], [])


def refused(folder: Path, shape: tuple[int, ...] = SHAPE) -> str:
    with pytest.raises(UserError) as caught:
        found(folder, shape=shape)
    return str(caught.value)


PACKED = "pack-quantized"


@pytest.mark.parametrize(
    ("change", "config", "shape", "what"),
    [
        ({}, {**GPTQ_4, "bits": 5}, SHAPE, "qweight has shape [8, 32], the model's weight is [32, 64]"),
        ({"qweight": (10, 32)}, {**GPTQ_4, "bits": 5}, SHAPE, "codes of 5 bits"),
        ({}, GPTQ_4, (32, 128), "see that model and checkpoint have the same sizes"),
        ({}, {**GPTQ_4, "checkpoint_format": "marlin"}, SHAPE, "GPTQ in the format 'marlin'"),
        ({"scales": None}, GPTQ_4, SHAPE, "but not layer.scales"),
        ({"qzeros": (1, 4)}, GPTQ_4, SHAPE, "qzeros has shape [1, 4], the model asks for [2, 4]"),
        ({"g_idx": (64,)}, GPTQ_4, SHAPE, "its groups have not 32 positions each"),
        ({}, {"quant_method": "awq", "bits": 4, "version": "gemv"}, SHAPE, "AWQ in the format 'gemv'"),
        ({}, {"quant_method": "awq", "bits": 4}, SHAPE, "layer.qweight has shape [8, 32]"),
        ({}, {"quant_method": "hqq"}, SHAPE, "quantized by 'hqq', which drystone does not know"),
        (
            {},
            {**compressed(PACKED), "sparsity_config": {"format": "sparse-24"}},
            SHAPE,
            "its sparsity_config is 'sparse-24'",
        ),
        ({}, GPTQ_4, (2, 32, 32), "is quantized, and the model's has shape [2, 32, 32]"),
    ],
)
def test_what_cannot_be_taken_is_named(
    tmp_path: Path, change: dict[str, Any], config: dict[str, Any], shape: tuple[int, ...], what: str
) -> None:
    tensors, _ = quantized.gptq(np.random.default_rng(0), *SHAPE, 4, 32)
    for name, size in change.items():
        tensors.pop(name)
        if size is not None:
            tensors[name] = torch.zeros(size, dtype=torch.int32)
    folder = written(tmp_path, tensors, config)
    assert what in refused(folder, shape)
    assert str(folder) in refused(folder, shape)


def test_files_are_those_of_the_index_or_of_the_usual_name(tmp_path: Path) -> None:
    weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    folder = written(tmp_path, {"weight": weight}, None)
    first = next(folder.glob("*.safetensors"))
    (folder / "other.safetensors").write_bytes(b"not to be read")
    index = {"weight_map": {"layer.weight": first.name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert np.array_equal(found(folder)[0], weight.numpy())
    (folder / "model.safetensors.index.json").write_text("{")
    assert "model.safetensors.index.json is no JSON" in refused(folder)
    (folder / "model.safetensors.index.json").unlink()
    first.rename(folder / "model.safetensors")
    assert np.array_equal(found(folder)[0], weight.numpy())
    assert np.array_equal(found(folder / "model.safetensors")[0], weight.numpy())


def test_folders_without_weights_are_named(tmp_path: Path) -> None:
    assert "has no *.safetensors" in refused(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"none")
    assert "model.safetensors cannot be read" in refused(tmp_path)


@pytest.mark.parametrize(
    ("change", "form", "scheme", "what"),
    [
        ({}, "marlin-24", {"strategy": "channel"}, "in the format 'marlin-24', which drystone does not know"),
        ({}, PACKED, {"strategy": "token"}, "weight_scale is for 'token', which drystone does not know"),
        ({}, PACKED, {"strategy": "channel", "num_bits": 1}, "codes of 1 bits of int"),
        (
            {},
            PACKED,
            {"strategy": "channel", "num_bits": 8},
            "weight_packed has shape [32, 8], the model asks",
        ),
        (
            {},
            PACKED,
            {"strategy": "group", "group_size": 32},
            "weight_scale has shape [32, 1], the model asks",
        ),
        ({"weight_packed": None}, PACKED, {"strategy": "channel"}, "but not layer.weight"),
        (
            {"weight_zero_point": (3, 1)},
            PACKED,
            {"strategy": "channel"},
            "weight_zero_point has shape [3, 1]",
        ),
        ({"weight_global_scale": (1,)}, PACKED, {"strategy": "channel"}, "only scales of e4m3 are divided"),
        ({"weight_g_idx": (64,)}, PACKED, {"strategy": "channel"}, "weight_g_idx: its groups have not 64"),
    ],
)
def test_what_cannot_be_taken_of_compressed_tensors_is_named(
    tmp_path: Path, change: dict[str, Any], form: str, scheme: dict[str, Any], what: str
) -> None:
    own = {"num_bits": 4, "strategy": "channel"}
    tensors, _ = quantized.integers(np.random.default_rng(0), *SHAPE, own, pack=True)
    for name, size in change.items():
        tensors.pop(name, None)
        if size is not None:
            tensors[name] = torch.ones(size, dtype=torch.int32)
    assert what in refused(written(tmp_path, tensors, compressed(form, **scheme)))
