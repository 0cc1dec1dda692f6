"""A decoder's weights as files: the GGUF file that llama.cpp runs, and a folder with groups of 128."""

import json
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from benchmarks.models import Decoder
from drystone.ir import formats
from drystone.ir.encoding import Codes, encode
from drystone.ir.encoding.parts import take

#: What the two are called in the folder that has both.
BLOCKS, GROUPS = "q4_0.gguf", "w4"
#: What the GGUF file calls the decoder's tensors.
NAMES: Mapping[str, str] = {
    "embed.weight": "token_embd.weight",
    "layers.*.norm1.weight": "blk.*.attn_norm.weight",
    "layers.*.q.weight": "blk.*.attn_q.weight",
    "layers.*.k.weight": "blk.*.attn_k.weight",
    "layers.*.v.weight": "blk.*.attn_v.weight",
    "layers.*.o.weight": "blk.*.attn_output.weight",
    "layers.*.norm2.weight": "blk.*.ffn_norm.weight",
    "layers.*.gate.weight": "blk.*.ffn_gate.weight",
    "layers.*.up.weight": "blk.*.ffn_up.weight",
    "layers.*.down.weight": "blk.*.ffn_down.weight",
    "norm.weight": "output_norm.weight",
    "head.weight": "output.weight",
}
#: The widths of TinyLlama: of tokens, heads, groups of these, inside the MLPs; and how many words there are.
WIDTHS, VOCABULARY = (2048, 32, 4, 5632), 32000


def decoder(layers: int, room: int) -> Decoder:
    """The decoder with its seeded random weights and caches of `room` positions."""
    torch.manual_seed(0)
    return Decoder(layers, room, VOCABULARY, WIDTHS).eval()


def hollow(layers: int, room: int) -> Decoder:
    """The decoder without numbers in its parameters, which a checkpoint gives."""
    with torch.device("meta"):
        model = Decoder(layers, room, VOCABULARY, WIDTHS).eval()
    for name, held in Decoder(0, room, 1, WIDTHS).named_buffers():
        setattr(model, name, held)
    for layer in model.layers:
        layer.keys, layer.values = torch.zeros(layer.keys.shape), torch.zeros(layer.values.shape)
    return model


def written(path: Path, model: nn.Module, layers: int, room: int, kind: str = "Q4_0") -> Path:
    """The file with all matrices in blocks of `kind`, and what llama.cpp wants to know of the model."""
    width, heads, groups, hidden = WIDTHS
    file = gguf.GGUFWriter(path, "llama")
    file.add_context_length(room)
    file.add_embedding_length(width)
    file.add_block_count(layers)
    file.add_feed_forward_length(hidden)
    file.add_head_count(heads)
    file.add_head_count_kv(groups)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_freq_base(10000.0)
    file.add_rope_dimension_count(width // heads)
    file.add_vocab_size(VOCABULARY)
    file.add_tokenizer_model("none")
    blocks = gguf.GGMLQuantizationType[kind]
    for name, tensor in model.named_parameters():
        known = _known(name)
        if tensor.ndim == 1:
            file.add_tensor(known, tensor.detach().numpy())
            continue
        turned = {"attn_q": heads, "attn_k": groups}.get(known.split(".")[-2])
        matrix = tensor.detach() if turned is None else _in_pairs(tensor.detach(), turned)
        data = gguf.quants.quantize(np.ascontiguousarray(matrix.numpy()), blocks)
        file.add_tensor(known, data, raw_dtype=blocks)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def in_groups(folder: Path, model: nn.Module) -> Path:
    """A folder, as compressed-tensors has them, with the matrices of products in 4 bits, scales of f16 and
    zero points for groups of 128, by range; the embedding stays as it is."""
    folder.mkdir(exist_ok=True)
    tensors, form = {}, formats.w4()
    scale = form.scale
    assert scale is not None and isinstance(scale.zero_point, Codes)
    for name, parameter in model.named_parameters():
        array = parameter.detach().numpy()
        if array.ndim == 1 or name == "embed.weight":
            tensors[name] = array
            continue
        parts = encode(array, form)
        zeros = scale.zero_point.stored(take("zero_point", parts), scale.per.shape(array.shape))
        codes = form.stored(parts, array.shape).reshape(array.shape[0], -1, 8).astype(np.uint32)
        words = (codes << 4 * np.arange(8, dtype=np.uint32)).sum(-1, dtype=np.uint32)
        layer = name.removesuffix("weight")
        tensors[f"{layer}weight_packed"] = words.view(np.int32)
        tensors[f"{layer}weight_scale"] = parts["scale"]
        tensors[f"{layer}weight_zero_point"] = zeros.astype(np.int8) - np.int8(8)
    save_file(tensors, folder / "model.safetensors")
    how = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": False}
    quantization = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": how}},
    }
    (folder / "config.json").write_text(json.dumps({"quantization_config": quantization}))
    return folder


def _known(name: str) -> str:
    """What the file calls a parameter."""
    if name in NAMES:
        return NAMES[name]
    layers, number, rest = name.split(".", 2)
    return NAMES[f"{layers}.*.{rest}"].replace("*", number)


def _in_pairs(matrix: Tensor, heads: int) -> Tensor:
    """Rows of queries or keys with what rotates together side by side, as files of this architecture have
    them."""
    rows, columns = matrix.shape
    return matrix.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)
