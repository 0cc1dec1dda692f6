"""Models whose weights come from quantized checkpoints, compiled, beside torch on the decoded weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from torch import nn

import drystone
from tests import quantized

KINDS = gguf.GGMLQuantizationType
NVFP4 = "nvfp4-pack-quantized"


class Toy(nn.Module):
    """Two layers behind a table that the last product reads too."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.table = nn.Embedding(16, 256)
        self.norm = nn.LayerNorm(256)
        self.up, self.down = nn.Linear(256, inner), nn.Linear(inner, 256, bias=False)
        self.head = nn.Linear(256, 16, bias=False)
        self.head.weight = self.table.weight

    def forward(self, i: torch.Tensor) -> torch.Tensor:
        x = self.table(i)
        return self.head(x + self.down(torch.relu(self.up(self.norm(x)))))


def toy(inner: int = 512) -> nn.Module:
    torch.manual_seed(0)
    return Toy(inner).eval()


def blank(inner: int = 512) -> nn.Module:
    with torch.device("meta"):
        return Toy(inner).eval()


def check(fitted: drystone.Fitted, decoded: dict[str, np.ndarray]) -> None:
    """See that a compiled model gives what torch does with these weights."""
    model = toy(len(decoded["up.weight"]))
    state = {name: torch.from_numpy(np.array(array)) for name, array in decoded.items()}
    model.load_state_dict({**model.state_dict(), **state, "head.weight": state["table.weight"]})
    i = torch.arange(10)
    with torch.no_grad():
        wanted = model(i)
    torch.testing.assert_close(fitted(i), wanted, rtol=2e-5, atol=2e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("kind", [KINDS.Q4_0, KINDS.Q5_1, KINDS.Q3_K, KINDS.Q6_K, KINDS.BF16])
def test_gguf(tmp_path: Path, kind: KINDS) -> None:
    random = np.random.default_rng(kind.value)
    file, decoded = gguf.GGUFWriter(tmp_path / "toy.gguf", "toy"), {}
    for name, tensor in toy().state_dict().items():
        if name == "head.weight":
            continue
        own = kind if tensor.dim() == 2 else KINDS.F32
        if own in (KINDS.Q3_K, KINDS.Q6_K):  # which the package does not write
            raw = random.integers(
                0, 256, (len(tensor), gguf.GGML_QUANT_SIZES[own][1] * tensor.shape[1] // 256)
            )
            blocks = raw.astype(np.uint8).reshape(len(tensor), -1, gguf.GGML_QUANT_SIZES[own][1])
            blocks[..., -2:] = np.frombuffer(np.float16(1e-4).tobytes(), np.uint8)
            raw = blocks.reshape(len(tensor), -1)
        else:
            raw = gguf.quants.quantize(tensor.numpy(), own)
        file.add_tensor(name, raw, raw_dtype=own)
        decoded[name] = gguf.quants.dequantize(raw, own).reshape(tensor.shape)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    fitted = drystone.compile(blank(), torch.arange(10), checkpoint=tmp_path / "toy.gguf")
    check(fitted, decoded)
    fitted.save(tmp_path / "toy.dry")
    check(drystone.load(tmp_path / "toy.dry"), decoded)


GROUPS = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32}
COMPRESSED = {"quant_method": "compressed-tensors", "format": "pack-quantized"}
NVIDIA = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
#: How layers are quantized: what makes one of a shape, and what config.json says.
FOLDERS: dict[str, tuple[Callable[..., Any], dict[str, Any] | None]] = {
    "gptq": (
        lambda random, n, k: quantized.gptq(random, n, k, 3, 64, order=True),
        {"quant_method": "gptq", "bits": 3, "group_size": 64, "desc_act": True},
    ),
    "awq": (
        lambda random, n, k: quantized.awq(random, n, k, 32),
        {"quant_method": "awq", "bits": 4, "group_size": 32},
    ),
    "compressed-tensors": (
        lambda random, n, k: quantized.integers(random, n, k, GROUPS, pack=True, zeros="packed"),
        {**COMPRESSED, "config_groups": {"a": {"targets": ["Linear"], "weights": GROUPS}}},
    ),
    "nvfp4": (
        lambda random, n, k: quantized.fours(random, n, k, True),
        {**COMPRESSED, "config_groups": {"a": {"targets": ["Linear"], "weights": NVIDIA, "format": NVFP4}}},
    ),
    "plain": (lambda random, n, k: {"weight": torch.randn(n, k)}, None),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    random, (make, config) = np.random.default_rng(0), FOLDERS[name]
    tensors, decoded = {}, {}
    for layer, size in {"up": (64, 256), "down": (256, 64)}.items():
        made = make(random, *size)
        own, weight = made if isinstance(made, tuple) else (made, made["weight"].numpy())
        tensors |= {f"{layer}.{part}": tensor for part, tensor in own.items()}
        decoded[f"{layer}.weight"] = weight
    others = {n: t.to(torch.bfloat16) for n, t in toy(64).state_dict().items() if n not in decoded}
    others.pop("head.weight")
    decoded |= {n: t.float().numpy() for n, t in others.items()}
    folder = quantized.write(tmp_path / "model", tensors | others, config)
    fitted = drystone.compile(blank(64), torch.arange(10), checkpoint=drystone.Checkpoint(folder))
    check(fitted, decoded)
