"""Writers and decoders of the ways in which checkpoints are quantized, from the descriptions of the formats:
number by number, and nothing shared with drystone's own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

#: The numbers of e2m1, by code.
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def write(folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any] | None) -> Path:
    """A folder as transformers has them, in two files where there are several tensors."""
    folder.mkdir(exist_ok=True)
    names = sorted(tensors)
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :])):
        if part:
            save_file({n: tensors[n].contiguous() for n in part}, folder / f"model-{number}.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps({"quantization_config": config}))
    return folder


def packed(codes: np.ndarray, bits: int, whole: bool = False) -> torch.Tensor:
    """Codes along the last axis as words of 32 bits, one after the other in a stream; with `whole` no code
    is in two words."""
    out = []
    for row in codes.reshape(-1, codes.shape[-1]):
        stream, at, words = 0, 0, 1
        for code in row:
            if whole and at % 32 + bits > 32:
                at += 32 - at % 32
            stream |= int(code) << at
            at += bits
            words = max(words, -(-at // 32))
        out.append([stream >> 32 * word & 0xFFFFFFFF for word in range(words)])
    found = np.array(out, np.uint32).view(np.int32)
    return torch.from_numpy(found.reshape(*codes.shape[:-1], -1))


def gptq(random: np.random.Generator, outputs: int, inputs: int, bits: int, group: int, **how: Any) -> Any:
    """(tensors, weight) of a layer. v2: zero points as they are; order: groups in any order; scales: their
    element."""
    size = inputs if group < 0 else group
    groups = -(-inputs // size)
    codes = random.integers(0, 2**bits, (inputs, outputs))
    zeros = random.integers(0, 2**bits, (groups, outputs)) + (not how.get("v2"))
    scales = torch.from_numpy(random.uniform(0.001, 0.1, (groups, outputs))).to(
        how.get("scales", torch.float16)
    )
    index = np.arange(inputs) // size
    if how.get("order"):
        index = random.permutation(index)
    tensors = {
        "qweight": packed(codes.T, bits).T,
        "qzeros": packed(zeros - (not how.get("v2")), bits),
        "scales": scales,
        "g_idx": torch.from_numpy(index.astype(np.int32)),
    }
    real = scales.to(torch.float64).numpy()
    weight = np.empty((outputs, inputs))
    for k in range(inputs):
        for n in range(outputs):
            g = index[k]
            weight[n, k] = real[g, n] * (int(codes[k, n]) - int(zeros[g, n]))
    return tensors, weight.astype(np.float32)


def awq(random: np.random.Generator, outputs: int, inputs: int, group: int) -> Any:
    """(tensors, weight) of a layer."""
    groups = inputs // group
    codes = random.integers(0, 16, (inputs, outputs))
    zeros = random.integers(0, 16, (groups, outputs))
    scales = torch.from_numpy(random.uniform(0.001, 0.1, (groups, outputs))).to(torch.float16)

    def words(numbers: np.ndarray) -> torch.Tensor:
        out = np.zeros((len(numbers), outputs // 8), np.uint32)
        for i in range(len(numbers)):
            for j in range(outputs // 8):
                for place, column in enumerate(AWQ_ORDER):
                    out[i, j] |= np.uint32(int(numbers[i, 8 * j + column]) << 4 * place)
        return torch.from_numpy(out.view(np.int32))

    real = scales.to(torch.float64).numpy()
    weight = [
        [real[k // group, n] * (int(codes[k, n]) - int(zeros[k // group, n])) for k in range(inputs)]
        for n in range(outputs)
    ]
    tensors = {"qweight": words(codes), "qzeros": words(zeros), "scales": scales}
    return tensors, np.array(weight).astype(np.float32)


def integers(
    random: np.random.Generator, outputs: int, inputs: int, scheme: dict[str, Any], **how: Any
) -> Any:
    """(tensors, weight) of a layer of compressed-tensors whose codes are integers. scheme: its "weights" in
    config.json. pack: codes in words. order: groups in any order. zeros: "packed" or "bytes"; else none."""
    bits, strategy = scheme["num_bits"], scheme["strategy"]
    low = -(2 ** (bits - 1))
    codes = random.integers(low, -low, (outputs, inputs))
    blocks = {"tensor": (1,), "channel": (outputs, 1)}.get(strategy)
    size = scheme.get("group_size") or inputs
    blocks = blocks or (outputs, -(-inputs // size))
    scales = torch.from_numpy(random.uniform(0.001, 0.1, blocks)).to(torch.bfloat16)
    zeros = random.integers(low, -low, blocks) if how.get("zeros") else np.zeros(blocks, np.int64)
    index = np.arange(inputs) // size
    tensors = {"weight_scale": scales}
    if how.get("order"):
        index = random.permutation(index)
        tensors["weight_g_idx"] = torch.from_numpy(index.astype(np.int32))
    if how.get("pack"):
        tensors["weight_packed"] = packed(codes - low, bits, whole=True)
        tensors["weight_shape"] = torch.tensor([outputs, inputs])
    else:
        tensors["weight"] = torch.from_numpy(codes.astype(np.int8))
    if how.get("zeros") == "packed":
        tensors["weight_zero_point"] = packed(zeros.T - low, bits, whole=True).T
    elif how.get("zeros"):
        tensors["weight_zero_point"] = torch.from_numpy(zeros.astype(np.int8))
    weight = np.empty((outputs, inputs))
    for n in range(outputs):
        for k in range(inputs):
            place = {"tensor": (0,), "channel": (n, 0)}.get(strategy, (n, index[k]))
            weight[n, k] = float(scales[place]) * (int(codes[n, k]) - int(zeros[place]))
    return tensors, weight.astype(np.float32)


def floats(
    random: np.random.Generator, outputs: int, inputs: int, blocks: tuple[int, int], **how: Any
) -> Any:
    """(tensors, weight) of a layer of e4m3 with a scale for each block of so many outputs and inputs. powers:
    scales are powers of two in a byte."""
    codes = torch.from_numpy(random.standard_normal((outputs, inputs)) * 50).to(torch.float8_e4m3fn)
    shape = -(-outputs // blocks[0]), -(-inputs // blocks[1])
    scales = torch.from_numpy(random.uniform(0.001, 0.1, shape)).to(torch.float32)
    tensors = {"weight": codes, "weight_scale": scales}
    if how.get("powers"):
        tensors["weight_scale"] = torch.from_numpy(random.integers(120, 132, shape).astype(np.uint8))
        scales = torch.exp2(tensors["weight_scale"].float() - 127)
    numbers, weight = codes.float(), torch.empty(outputs, inputs)
    for n in range(outputs):
        for k in range(inputs):
            weight[n, k] = numbers[n, k] * scales[n // blocks[0], k // blocks[1]]
    return tensors, weight.numpy()


def fours(random: np.random.Generator, outputs: int, inputs: int, nvidia: bool) -> Any:
    """(tensors, weight) of a layer of e2m1: NVFP4, whose scales of e4m3 are divided by another, or MXFP4."""
    codes = random.integers(0, 16, (outputs, inputs))
    group = 16 if nvidia else 32
    bytes_ = (codes[:, ::2] | codes[:, 1::2] << 4).astype(np.uint8)
    tensors = {"weight_packed": torch.from_numpy(bytes_)}
    shape = outputs, inputs // group
    if nvidia:
        tensors["weight_scale"] = torch.from_numpy(random.uniform(1, 448, shape)).to(torch.float8_e4m3fn)
        tensors["weight_global_scale"] = torch.tensor([1234.567])
        # In f32, as the writer of the format computes it.
        scales = tensors["weight_scale"].float() / tensors["weight_global_scale"]
    else:
        tensors["weight_scale"] = torch.from_numpy(random.integers(110, 132, shape).astype(np.uint8))
        scales = torch.exp2(tensors["weight_scale"].float() - 127)
    weight = torch.empty(outputs, inputs)
    for n in range(outputs):
        for k in range(inputs):
            weight[n, k] = torch.tensor(E2M1[codes[n, k]]) * scales[n, k // group]
    return tensors, weight.numpy()


def masked(weight: torch.Tensor, flat: bool) -> dict[str, torch.Tensor]:
    """The tensors of a layer of compressed-tensors whose weight [outputs, inputs] is sparse: rows as long as
    each other (2:4), or all numbers one behind the other."""
    numbers = weight.float().numpy()
    bits = np.zeros((weight.shape[0], -(-weight.shape[1] // 8)), np.uint8)
    for n, k in zip(*np.nonzero(numbers), strict=True):
        bits[n, k // 8] |= 1 << k % 8
    values = weight[torch.from_numpy(numbers != 0)]
    tensors = {"bitmask": torch.from_numpy(bits), "compressed": values}
    counts = torch.from_numpy((numbers != 0).sum(1))
    if flat:
        tensors["row_offsets"] = torch.cumsum(counts, 0) - counts
        return tensors | {"shape": torch.tensor(weight.shape)}
    return tensors | {
        "compressed": values.reshape(len(weight), -1),
        "shape": torch.tensor(weight.shape).reshape(-1, 1),
    }
