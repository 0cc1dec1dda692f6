"""GGUF files: blocks as the package `gguf` decodes them, names, the order of rows, and what is refused."""

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from torch import nn

from drystone import Checkpoint, UserError, mlir
from drystone.dtypes import Array
from drystone.frontend import import_model
from drystone.frontend.checkpoints import opened
from drystone.frontend.checkpoints.blocks import BLOCKS
from drystone.frontend.checkpoints.names import renamed
from drystone.ir.context import new_context
from drystone.ir.encoding import Codes, decode
from drystone.ir.program import Program

KINDS = gguf.GGMLQuantizationType
ROWS, COLUMNS = 6, 512
#: Bits where our parts take others than the file: five ternary digits to a byte up to the end of a row.
OTHERS = {KINDS.TQ1_0: 103 * 8 / COLUMNS + 16 / 256}


def blocks_of(kind: KINDS, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Random bytes that are blocks of a kind, but for codes that stand for nothing."""
    if kind in (KINDS.TQ1_0, KINDS.TQ2_0):
        return np.asarray(gguf.quants.quantize(random.standard_normal(shape).astype(np.float32), kind))
    numbers, size = gguf.GGML_QUANT_SIZES[kind]
    raw = random.integers(0, 256, (*shape[:-1], shape[-1] // numbers, size), dtype=np.uint8)
    if kind == KINDS.NVFP4:
        raw[..., :4] %= 127
    if kind == KINDS.MXFP4:
        raw[..., 0] %= 255
    return raw.reshape(*shape[:-1], -1)


def write(path: Path, tensors: Mapping[str, tuple[Array, KINDS]], **numbers: int) -> Path:
    """A file with tensors as bytes of their kinds."""
    file = gguf.GGUFWriter(path, "llama" if numbers else "toy")
    file.add_array("tokenizer.ggml.tokens", ["a", "b", "c"])
    for name, number in numbers.items():
        file.add_uint32(f"llama.{name.replace('__', '.')}", number)
    for name, (raw, kind) in tensors.items():
        file.add_tensor(name, raw, raw_dtype=kind)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def plain(array: Array) -> tuple[Array, KINDS]:
    return array.astype(np.float32), KINDS.F32


@pytest.mark.parametrize("number", BLOCKS, ids=lambda number: KINDS(number).name)
def test_blocks_decode_as_gguf_decodes_them(number: int) -> None:
    kind, block = KINDS(number), BLOCKS[number]
    assert (block.numbers, block.bytes) == gguf.GGML_QUANT_SIZES[kind]
    for shape in ((ROWS, COLUMNS), (2, 3, COLUMNS)):
        raw = blocks_of(kind, shape, np.random.default_rng(number))
        with np.errstate(invalid="ignore", over="ignore"):
            theirs = gguf.quants.dequantize(raw, kind)
            encoding, parts = block.held(raw.reshape(*shape[:-1], -1, block.bytes))
            ours = decode(parts, encoding, shape, "f32")
        assert np.array_equal(ours, theirs, equal_nan=True)
        assert list(encoding.problems(shape)) == []
        assert {name: part.shape for name, part in parts.items()} == {
            name: held for name, (held, _) in encoding.parts(shape).items()
        }
        assert encoding.bits(shape) == OTHERS.get(kind, 8 * block.bytes / block.numbers)


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 256)
        self.norm = nn.LayerNorm(256)
        self.up = nn.Linear(256, 32)
        self.head = nn.Linear(256, 8, bias=False)
        self.head.weight = self.table.weight

    def forward(self, i: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.norm(self.table(i))
        return self.up(x), self.head(x)


def toy_tensors() -> dict[str, tuple[Array, KINDS]]:
    random = np.random.default_rng(0)
    return {
        "table.weight": (blocks_of(KINDS.Q4_K, (8, 256), random), KINDS.Q4_K),
        "norm.weight": plain(random.standard_normal(256)),
        "norm.bias": plain(random.standard_normal(256)),
        "up.weight": (random.standard_normal((32, 256)).astype(np.float16), KINDS.F16),
        "up.bias": plain(random.standard_normal(32)),
    }


def imported(checkpoint: Checkpoint, model: nn.Module | None = None) -> Program:
    with torch.device("meta"):
        model = model or Toy()
    return import_model(model.eval(), (torch.tensor([1, 2]),), checkpoint=checkpoint, ctx=new_context())


def test_a_tensor_is_a_constant_whose_type_has_the_encoding(tmp_path: Path) -> None:
    tensors = toy_tensors()
    program = imported(Checkpoint(write(tmp_path / "toy.gguf", tensors)))
    text = mlir.text(program.module)
    assert (
        '"dry.weight"() {key = "head.weight"} : () -> tensor<8x256xf32, #dry.enc<"uint4", #dry.scale<' in text
    )
    assert '{key = "up.weight"} : () -> tensor<32x256xf32, #dry.enc<"f16", unit, unit>>' in text
    assert '{key = "norm.weight"} : () -> tensor<256xf32>' in text
    # Both names of the table are one weight, whose bytes are those of the file.
    assert text.count('key = "head.weight"') == 1
    table = [name for name in program.weights if name.startswith("head.")]
    assert sum(program.weights[name].nbytes for name in table) == tensors["table.weight"][0].nbytes
    assert not [name for name in program.weights if name.startswith("table")]


def test_names_are_mapped_by_patterns() -> None:
    names = {"layers.*.attn.*.weight": "blk.*.attn_*.weight", "layers.*": "blk.*.rest", "out": "output.*"}
    assert renamed("layers.3.attn.q.weight", names) == "blk.3.attn_q.weight"
    assert renamed("layers.3.norm", names) == "blk.3.norm.rest"
    assert renamed("out", names) == "output.*"
    assert renamed("layer", names) is None


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(32, 16, bias=False), nn.Linear(32, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.q_proj(x), self.k_proj(x)], -1)


class Llama(nn.Module):
    """The names that transformers' Llama has, as far as these tests go."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.Module()
        layer.self_attn = Attention()
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(8, 32)
        self.model.layers = nn.ModuleList([layer])

    def forward(self, i: torch.Tensor) -> torch.Tensor:
        return self.model.layers[0].self_attn(self.model.embed_tokens(i))


def paired(rows: Array, heads: int) -> Array:
    """Rows as llama.cpp's converter writes them: those of the two halves of a head in turns."""
    return rows.reshape(heads, 2, -1, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)


@pytest.mark.parametrize("names", [None, "llama"])
def test_llama_is_known_by_transformers_names_and_its_rows_are_put_back(
    tmp_path: Path, names: str | None
) -> None:
    random = np.random.default_rng(0)
    q, k = (random.standard_normal((n, 32)).astype(np.float32) for n in (16, 8))
    held = {name: gguf.quants.quantize(rows, KINDS.Q8_0) for name, rows in (("q", q), ("k", k))}
    path = write(
        tmp_path / "llama.gguf",
        {
            "token_embd.weight": plain(random.standard_normal((8, 32))),
            "blk.0.attn_q.weight": (paired(held["q"], 4), KINDS.Q8_0),
            "blk.0.attn_k.weight": (paired(held["k"], 2), KINDS.Q8_0),
            "rope_freqs.weight": plain(np.ones(4)),
        },
        attention__head_count=4,
        attention__head_count_kv=2,
    )
    given = opened(Checkpoint(path, names=names))
    for name, rows in (("q", q), ("k", k)):
        found = given.find([f"model.layers.0.self_attn.{name}_proj.weight"], rows.shape, "f32")
        assert found is not None
        ours = decode(found.parts, found.encoding, rows.shape, "f32")
        assert np.array_equal(ours, gguf.quants.dequantize(held[name], KINDS.Q8_0))
    # By the file's own names rows stay as they are.
    if names is None:
        found = given.find(["blk.0.attn_q.weight"], q.shape, "f32")
        assert found is not None
        assert np.array_equal(found.parts["codes"], paired(held["q"], 4)[:, 2:].view(np.int8))
    assert "model.layers.0.self_attn.q_proj.weight" in imported(Checkpoint(path, names), Llama()).weights
    # So do names that a map leads to transformers'.
    given = opened(Checkpoint(path, names={"wrapped.*": "*"}))
    found = given.find(["wrapped.model.layers.0.self_attn.q_proj.weight"], q.shape, "f32")
    assert found is not None
    assert np.array_equal(found.parts["codes"], held["q"][:, 2:].view(np.int8))


@pytest.mark.parametrize("kind", [KINDS.F16, KINDS.BF16, KINDS.F64])
def test_floats_are_elements(tmp_path: Path, kind: KINDS) -> None:
    numbers = np.random.default_rng(0).standard_normal((4, 32)).astype(np.float32)
    raw = numbers.astype(np.float64) if kind == KINDS.F64 else gguf.quants.quantize(numbers, kind)
    found = opened(Checkpoint(write(tmp_path / "f.gguf", {"w": (raw, kind)}))).find(["w"], (4, 32), "f32")
    assert found is not None
    assert found.encoding == Codes({"F16": "f16", "BF16": "bf16", "F64": "f64"}[kind.name])
    theirs = numbers if kind == KINDS.F64 else gguf.quants.dequantize(raw, kind)
    assert np.array_equal(decode(found.parts, found.encoding, (4, 32), "f32"), theirs)


def refused(checkpoint: Checkpoint) -> str:
    with pytest.raises(UserError) as caught:
        imported(checkpoint)
    return str(caught.value)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    tensors = toy_tensors()
    path = tmp_path / "toy.gguf"
    without = {name: tensor for name, tensor in tensors.items() if name != "up.weight"}
    said = refused(Checkpoint(write(path, {**without, "up.wheight": tensors["up.weight"]})))
    assert "it lacks 1 of the model's parameters: up.weight" in said
    assert "it has up.wheight" in said
    assert "names=" in said
    said = refused(Checkpoint(write(path, {**tensors, "gate.weight": tensors["up.weight"]})))
    assert "takes nothing from 1 of its tensors: gate.weight" in said
    assert "strict=False" in said
    assert imported(Checkpoint(path, strict=False))
    said = refused(Checkpoint(write(path, {**tensors, "up.bias": plain(np.ones(33))})))
    assert "up.bias has shape [33], that of the model is [32]" in said
    said = refused(Checkpoint(write(path, {**tensors, "up.bias": (np.ones(32, np.int32), KINDS.I32)})))
    assert "up.bias is of i32, that of the model is of f32" in said
    said = refused(Checkpoint(path, names="lama"))
    assert "names='lama' is no map" in said


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    assert "there is no checkpoint" in refused(Checkpoint(tmp_path / "none.gguf"))
    other = tmp_path / "model.bin"
    other.write_bytes(b"x")
    assert "no .gguf or .safetensors file" in refused(Checkpoint(other))
    path = write(tmp_path / "toy.gguf", toy_tensors())
    whole = path.read_bytes()
    for content, what in (
        (b"", "does not begin with GGUF"),
        (b"GGML" + whole[4:], "does not begin with GGUF"),
        (whole[:4] + b"\1" + whole[5:], "version 1"),
        (whole[:60], "its head cannot be read"),
        (whole[:-512], "the file ends inside"),
    ):
        path.write_bytes(content)
        assert what in refused(Checkpoint(path))
    file = gguf.GGUFWriter(path, "toy")
    file.add_uint16("split.count", 3)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.close()
    assert "it is one of 3 files" in refused(Checkpoint(path))
    kind = KINDS.IQ2_S
    raw = blocks_of(kind, (8, 256), np.random.default_rng(0))
    said = refused(Checkpoint(write(path, {**toy_tensors(), "table.weight": (raw, kind)})))
    assert "table.weight is of GGUF's type 22, which drystone does not know" in said
    assert "Q4_0" in said


class Shifted(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.ones(256))

    def forward(self, i: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        up, head = super().forward(i)
        return up + self.shift[:32], head


def test_a_buffer_without_values_is_named(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = Shifted()
    with pytest.raises(UserError, match="the weight shift is on the meta device"):
        imported(Checkpoint(write(tmp_path / "toy.gguf", toy_tensors())), model)
