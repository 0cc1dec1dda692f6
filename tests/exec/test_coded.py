"""Products with coded matrices, executed, against decoded matrices in float64."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.codegen import families, interpret
from drystone.codegen.tile import TileProgram
from drystone.ir import build, dialect, formats
from drystone.ir.elements import to_element, widen
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import SEARCHED, Codes, Encoding, Per, Scale, Table, decode, encode
from drystone.mlir import func, ir
from drystone.passes.layout.pack_weights import panel_width
from drystone.passes.layout.panels import Panels
from drystone.targets import registry
from drystone.targets.target import CpuTarget
from tests import quantized
from tests.exec.families import shared_context
from tests.exec.kernels import compiled

#: Formats that kernels decode, with groups that divide none of the sums below.
FORMATS: dict[str, Encoding] = {
    "w4": formats.w4(),
    "w4, groups of 32": formats.w4(32),
    "w3": formats.w3(64),
    "w2": formats.w2(32),
    "5 bits": formats.integers(5, 32),
    "6 bits": formats.integers(6, 64),
    "7 bits": formats.integers(7, 64),
    "8 bits": formats.integers(8, 32),
    "dgq": formats.dgq(32),
    "int8_row": formats.int8_row(),
    "int8_tensor": formats.int8_tensor(),
    "q4_0": formats.q4_0(),
    "q4_1": formats.q4_1(),
    "q5_0": formats.q5_0(),
    "q5_1": formats.q5_1(),
    "q8_0": formats.q8_0(),
    "spqr": formats.spqr(1).base,
    "q2_k": formats.q2_k(),
    "q3_k": formats.q3_k(),
    "q4_k": formats.q4_k(),
    "q5_k": formats.q5_k(),
    "q6_k": formats.q6_k(),
    "iq4_nl": formats.iq4_nl(),
    "iq4_xs": formats.iq4_xs(),
    "mxfp4": formats.mxfp4(),
    "mxfp8": formats.mxfp8(),
    "mxfp8 of e5m2": formats.mxfp8("e5m2"),
    "nvfp4": formats.nvfp4(),
    "fp6": formats.fp6(),
    "e2m3": Codes("e2m3", Scale(Per.group(1, 32))),
    "fp8": formats.fp8(),
    "fp8_block": formats.fp8_block(sizes=(16, 48)),
    "nf4": formats.nf4(),
    "tmac": formats.tmac(3, 32),
    "bipolar": formats.bipolar(3),
    "binary": formats.binary(),
    "q1_0": formats.q1_0(),
    "q2_0": formats.q2_0(),
    "ternary": formats.ternary(),
    "ternary of groups": formats.ternary(64),
    "tq1_0": formats.tq1_0(),
    "denseshift": formats.denseshift(),
    "a codebook of 32": Codes(Table((tuple(float(i * abs(i)) for i in range(-16, 16)),)), Scale(Per.row(1))),
    "codes without scales": Codes("e4m3"),
    "scales of scales of several panels": Codes(
        "uint4",
        Scale(
            Per.group(1, 32),
            Codes("uint2", Scale(Per.block((64, 2)), Codes("f16"), minimum=Codes("f16"))),
            minimum=Codes("uint6", Scale(Per.block((8, 3)), Codes("bf16"), zero_point=Codes("f32"))),
        ),
    ),
    "scales of outputs that share scales": Codes(
        "int4", Scale(Per.row(1), Codes("uint8", Scale(Per.group(0, 16), Codes("f16"))))
    ),
    "scales of scales that fill no panel": Codes(
        "int3", Scale(Per.group(1, 16), Codes("int4", Scale(Per.block((24, 0)), Codes("f16"))))
    ),
}


def product(
    encoding: Encoding,
    m: int,
    n: int,
    k: int,
    target: Any,
    *,
    axis: int = 0,
    dynamic: bool = False,
    element: str = "f32",
    choice: Mapping[str, int] | None = None,
    given: Any = None,
    left: bool = False,
) -> tuple[TileProgram, list[Any], Any]:
    """The program of a product with a coded matrix, what it is called with, and its result in float64.
    choice: parameters of its schedule; given: the numbers of the matrix; left: it is the left operand,
    [n, k], and the other one is [k, m] or, with axis 1, [m, k]."""
    rng = np.random.default_rng(m + n + k)
    shape = (n, k) if axis == 0 or left else (k, n)
    matrix = rng.standard_normal(shape).astype(np.float32) if given is None else given
    parts = encode(matrix, encoding)
    outputs = 0 if left else axis
    panels = Panels((shape[0], shape[1]), outputs, panel_width(target, n), 0 if dynamic else m, left=left)
    joined = panels.joined(encoding)
    assert not isinstance(joined, str) and not panels.problem(parts, encoding)
    stored = panels.join(parts, encoding)
    numbers = decode(parts, encoding, shape, "f32")
    np.testing.assert_array_equal(decode({"codes": stored}, joined, shape, "f32"), numbers)
    columns = left and axis == 0
    x = to_element(rng.uniform(-1, 1, (k, m) if columns else (m, k)), element)
    with shared_context(), ir.Location.unknown():
        unknown, f32 = ir.ShapedType.get_dynamic_size(), ir.F32Type.get()
        rows = unknown if dynamic else m
        other = ir.RankedTensorType.get([k, rows] if columns else [rows, k], f32)
        weight = with_encoding(ir.RankedTensorType.get(shape, f32), joined)
        out = ir.RankedTensorType.get([n, rows] if left else [rows, n], f32)
        given = [with_encoding(other, Codes(element)), weight][:: -1 if left else 1]
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            kernel = func.FuncOp("k", ir.FunctionType.get([*given, out], [out]), visibility="private")
            block = kernel.add_entry_block()
            with ir.InsertionPoint(block):
                made = dialect.MatMul(
                    out,
                    block.arguments[0],
                    block.arguments[1],
                    [],
                    transpose_b=build.flag(axis == (1 if left else 0)),
                    extra_maps=build.maps([]),
                )
                build.identity_epilogue(made, f32)
                func.ReturnOp([made.out])
        search = None if choice is None else families.search_of(kernel, target)
        point = None if search is None else search.default | dict(choice or {})
        program = families.tile_program_of(kernel, target, point)
    assert program is not None
    wide, vectors = numbers.astype(np.float64), widen(x).astype(np.float64)
    if left:
        expected = wide @ (vectors if columns else vectors.T)
        return program, [stored, x, np.full((n, m), 77, np.float32)], expected
    expected = vectors @ (wide.T if axis == 0 else wide)
    return program, [x, stored, np.full((m, n), 77, np.float32)], expected


def check(results: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Compare, relative to the largest."""
    np.testing.assert_allclose(results, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def check_compiled(program: TileProgram, arrays: Any, expected: Any, machine: CpuTarget) -> None:
    """Compile it for a machine, run its steps together and singly, and compare both results."""
    call = compiled(program, machine)
    for singly in (False, True):
        call(arrays, singly=singly)
        check(arrays[-1], expected)


@pytest.mark.parametrize("name", FORMATS)
def test_formats(name: str) -> None:
    """By turns one row on vectors of 256 bits, and one or several on this machine's; what a format's programs
    mean for both numbers of rows is the test after this."""
    turn = [*FORMATS].index(name) % 2
    for m, target in ((1, "cpu:avx2"), (7, "cpu")) if turn else ((1, "cpu"),):
        machine = registry.resolve(target)
        check_compiled(*product(FORMATS[name], m, 80, 200, machine), machine)


@pytest.mark.parametrize("name", FORMATS)
def test_the_meaning_of_the_programs(name: str) -> None:
    for m in (1, 3):
        program, arrays, expected = product(FORMATS[name], m, 40, 100, registry.resolve("cpu:avx512"))
        interpret.run(program, arrays)
        check(arrays[-1], expected)


@pytest.mark.parametrize("name", FORMATS)
def test_panels_take_the_bytes_of_the_format(name: str) -> None:
    """Codes of 3 bits that are scales take 4, those of 6 a byte. Five ternary codes to a byte become four;
    scales of blocks of outputs, and those that fill no panel, are held for every output."""
    shape, encoding = (1024, 1024), FORMATS[name]
    joined = Panels(shape, 0, 32).joined(encoding)
    assert not isinstance(joined, str)
    more = {"tq1_0": 1.24, "fp8_block": 1.08, "scales of scales that fill no panel": 1.54}
    assert joined.bits(shape) == pytest.approx(encoding.bits(shape) * more.get(name, 1), rel=0.04)


@pytest.mark.parametrize("name", ["w4", "q4_k", "w3", "mxfp8", "spqr"])
def test_rows_known_at_the_call(name: str) -> None:
    program, *_ = product(FORMATS[name], 1, 70, 160, registry.resolve("cpu"), dynamic=True)
    call = compiled(program)
    for m in (1, 3, 17, 130):
        same, arrays, expected = product(FORMATS[name], m, 70, 160, registry.resolve("cpu"), dynamic=True)
        assert str(same) == str(program)
        call(arrays)
        check(arrays[-1], expected)


@pytest.mark.parametrize("k", [30, 1030])
@pytest.mark.parametrize("m", [1, 2, 3, 33])
def test_sums_that_end_inside_a_word_and_a_group(m: int, k: int) -> None:
    for name in ("w4, groups of 32", "w3", "int8_row"):
        program, arrays, expected = product(FORMATS[name], m, 33, k, registry.resolve("cpu"))
        compiled(program)(arrays)
        check(arrays[-1], expected)


@pytest.mark.parametrize("m", [1, 20])
def test_matrices_of_inputs_by_outputs(m: int) -> None:
    spqr = formats.spqr(1, axis=0).base
    for encoding in (formats.w4(32, axis=0), formats.q4_k(axis=0), formats.int8_row(axis=0), spqr):
        program, arrays, expected = product(encoding, m, 64, 96, registry.resolve("cpu"), axis=1)
        compiled(program)(arrays)
        check(arrays[-1], expected)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(
    ("m", "target"), [(1, "cpu"), (4, "cpu"), (40, "cpu"), (200, "cpu"), (40, "cpu:zen4")]
)
def test_activations_in_bf16(target: str, m: int, dynamic: bool) -> None:
    machine = registry.resolve(target)
    name, k = ("w4", 1100) if dynamic == (m in (4, 200)) else ("w3", 2080)
    program, arrays, expected = product(FORMATS[name], m, 64, k, machine, dynamic=dynamic, element="bf16")
    compiled(program, machine)(arrays)
    check(arrays[-1], expected, 1e-5 if m <= 4 else 1e-2)


@pytest.mark.parametrize("name", ["w4", "int8_row"])
def test_rows_in_bytes_of_far_apart_and_missing_numbers(name: str) -> None:
    # Several panels a step; numbers far below the largest of their group; rows of 0, of tiny, of infinite.
    n, k = 2080, 600
    program, arrays, _ = product(FORMATS[name], 4, n, k, registry.resolve("cpu"))
    a = np.random.default_rng(1).standard_normal((4, k)).astype(np.float32)
    a[0] *= 2.0 ** np.linspace(-30, 30, k, dtype=np.float32)
    a[1], a[2], a[3, 7] = a[1] * np.float32(1e-30), 0, np.inf
    arrays[0] = a
    compiled(program)(arrays)
    matrix = np.random.default_rng(4 + n + k).standard_normal((n, k)).astype(np.float32)
    numbers = decode(encode(matrix, FORMATS[name]), FORMATS[name], (n, k), "f32").astype(np.float64)
    for result, row in zip(arrays[-1][:3], a, strict=False):
        check(result, row.astype(np.float64) @ numbers.T)
    assert not np.isfinite(arrays[-1][3]).any()


class Gated(nn.Module):
    """Products of one tensor, one of which only another one's epilogue reads."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up, self.other = (nn.Linear(96, 64, bias=False) for _ in range(3))
        self.down = nn.Linear(64, 40)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x)), self.other(x)


def decoded(model: nn.Module, encoding: Encoding) -> nn.Module:
    """The model with its products' weights rounded as `compile(.., quantize=..)` rounds them."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().numpy()
            parts = encode(weight, encoding, search=SEARCHED)
            layer.weight.data = torch.from_numpy(decode(parts, encoding, weight.shape, "f32"))
    return model


@pytest.mark.parametrize("rows", [1, 50, None])
def test_merged_products_and_saved_models(rows: int | None, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, dynamic = Gated().eval(), {"x": {0: torch.export.Dim("rows", min=1, max=200)}}
    x = torch.randn(rows or 150, 96)
    fitted = drystone.compile(model, (x,), quantize={".*": "w4"}, dynamic_shapes=None if rows else dynamic)
    fitted.save(tmp_path / "gated.dry")
    again = drystone.load(tmp_path / "gated.dry")
    decoded(model, formats.w4())
    for count in (rows,) if rows else (1, 3, 20, 150):
        some = x[:count]
        with torch.no_grad():
            wanted = model(some)
        for each in (fitted, again):
            for result, right in zip(each(some), wanted, strict=True):
                torch.testing.assert_close(result, right, rtol=1e-5, atol=1e-5)
    kernels = [call.name for call in fitted.manifest.kernels if call.name.startswith("matmul")]
    assert len(kernels) == (3 if rows == 1 else 2)


def test_budgets_and_files_count_codes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain, x = (
        nn.Sequential(*(nn.Linear(1024, 1024, bias=False) for _ in range(6))).eval(),
        torch.randn(2, 1024),
    )
    file, kind = gguf.GGUFWriter(tmp_path / "model.gguf", "model"), gguf.GGMLQuantizationType.Q4_0
    for name, tensor in plain.state_dict().items():
        file.add_tensor(name, gguf.quants.quantize(tensor.numpy(), kind), raw_dtype=kind)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    whole, tight = (
        drystone.compile(plain, (x,), checkpoint=tmp_path / "model.gguf", budget=drystone.Budget(ram=ram))
        for ram in ("5MB", "3MB")
    )
    numbers = drystone.compile(plain, (x,), budget=drystone.Budget(ram="9MB"))
    assert numbers.manifest.streaming is not None and whole.manifest.streaming is None
    assert tight.manifest.streaming is not None
    assert torch.equal(whole(x), tight(x))
    whole.save(tmp_path / "coded.dry")
    codes = 6 * 2**20 * 4.5 / 8
    assert whole.memory.weights == codes
    assert (tmp_path / "coded.dry").stat().st_size < codes + 60_000
    assert torch.equal(drystone.load(tmp_path / "coded.dry")(x), whole(x))


GROUPS = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32}


@pytest.mark.parametrize("rows", [1, 40])
def test_models_in_bf16(rows: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = quantized.integers(np.random.default_rng(0), 96, 256, GROUPS, pack=True, zeros="packed")
    tensors, weight = made
    method = {"quant_method": "compressed-tensors", "format": "pack-quantized"}
    config = {**method, "config_groups": {"a": {"targets": ["Linear"], "weights": GROUPS}}}
    folder = quantized.write(tmp_path / "model", {f"0.{n}": t for n, t in tensors.items()}, config)
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(256, 96, bias=False), nn.ReLU()).bfloat16().eval()
    x = torch.randn(rows, 256).bfloat16()
    fitted = drystone.compile(model, (x,), checkpoint=folder)
    assert fitted.memory.weights == 256 * 96 * (4 + 20 / 32) / 8
    wanted = torch.relu(x.double() @ torch.from_numpy(weight).double().T)
    assert (fitted(x).double() - wanted).norm() < 5e-3 * wanted.norm()


@pytest.mark.parametrize("rows", [1, 40])
def test_products_computed_in_bf16(rows: int) -> None:
    torch.manual_seed(0)
    model, x = Gated().eval(), torch.randn(rows, 96)
    options = drystone.Options(compute="bf16")
    fitted = drystone.compile(model, (x,), quantize={".*": "w4"}, options=options)
    with torch.no_grad():
        wanted = decoded(model, formats.w4())(x)
    for result, right in zip(fitted(x), wanted, strict=True):
        assert (result - right).norm() < 1e-2 * right.norm()
