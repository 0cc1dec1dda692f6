"""Embeddings whose tables are codes, executed, against decoded tables; tables that products read too."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.codegen import families, interpret
from drystone.codegen.tile import TileProgram
from drystone.ir import dialect, formats
from drystone.ir.elements import to_element, widen
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import SEARCHED, Encoding, decode, encode
from drystone.mlir import func, ir
from drystone.passes.layout.panels import Panels
from drystone.targets import registry
from tests.exec.families import shared_context
from tests.exec.kernels import compiled
from tests.exec.test_coded import FORMATS


def lookup(
    encoding: Encoding, width: int, rows: int, columns: int, target: Any, element: str = "f32"
) -> tuple[TileProgram, list[Any], Any]:
    """The program of a lookup in a coded table in panels of a width, what it is called with, its result."""
    rng = np.random.default_rng(rows + columns)
    shape = rows, columns
    parts = encode(rng.standard_normal(shape).astype(np.float32), encoding)
    panels = Panels(shape, 0, width)
    joined = panels.joined(encoding)
    assert not isinstance(joined, str) and not panels.problem(parts, encoding)
    indices = np.array([[0, rows - 1, 5], [rows - 1, 17, 1]])
    with shared_context(), ir.Location.unknown():
        real = ir.F32Type.get() if element == "f32" else ir.BF16Type.get()
        table = with_encoding(ir.RankedTensorType.get(shape, real), joined)
        given = ir.RankedTensorType.get([2, 3], ir.IntegerType.get_signless(64))
        out = ir.RankedTensorType.get([2, 3, columns], real)
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            kernel = func.FuncOp("k", ir.FunctionType.get([table, given, out], [out]), visibility="private")
            block = kernel.add_entry_block()
            with ir.InsertionPoint(block):
                made = dialect.Embedding(out, *list(block.arguments)[:2])
                func.ReturnOp([made.out])
        program = families.tile_program_of(kernel, target)
    assert program is not None
    empty = to_element(np.full((2, 3, columns), 77, np.float32), element)
    expected = decode(parts, encoding, shape, "f32")[indices]
    return program, [panels.join(parts, encoding), indices, empty], expected


def check(results: Any, expected: Any, tolerance: float = 1e-6) -> None:
    """Compare, relative to the largest."""
    np.testing.assert_allclose(widen(results), expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("name", FORMATS)
def test_formats(name: str) -> None:
    """By turns in panels as products have them, and row by row; groups and words end inside both."""
    width, target = [(32, "cpu"), (1, "cpu:avx2")][[*FORMATS].index(name) % 2]
    machine = registry.resolve(target)
    program, arrays, expected = lookup(FORMATS[name], width, 70, 200, machine)
    call = compiled(program, machine)
    call(arrays)
    check(arrays[-1], expected)
    other, arrays, expected = lookup(FORMATS[name], 33 - width, 40, 100, machine)
    interpret.run(other, arrays)
    check(arrays[-1], expected)


def test_rows_in_bf16() -> None:
    for name in ("q4_k", "w3"):
        program, arrays, expected = lookup(FORMATS[name], 32, 40, 96, registry.resolve("cpu"), "bf16")
        compiled(program)(arrays)
        check(arrays[-1], expected, 2.0**-8)


@pytest.mark.parametrize("target", ["cpu:avx512", "cpu:avx2"])
def test_numbers_outside_a_table_read_no_other_memory(target: str) -> None:
    program, arrays, _ = lookup(formats.w4(32), 32, 40, 64, registry.resolve("cpu"))
    first, second = arrays[1].copy(), arrays[1].copy()
    first[0], second[0] = (-1, 40, 2**40), (0, 39, 39)
    results = []
    for indices in (first, second):
        given = [arrays[0], indices, arrays[2].copy()]
        compiled(program)(given)
        results.append(given[-1])
    np.testing.assert_array_equal(*results)


class Decoder(nn.Module):
    """Tokens, positions, a layer, and a head that may share the table of the tokens."""

    def __init__(self, *, tied: bool) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(300, 64), nn.Embedding(40, 64)
        self.layer, self.head = nn.Linear(64, 64), nn.Linear(64, 300, bias=False)
        if tied:
            self.head.weight = self.tokens.weight

    def forward(self, tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.positions(places)
        return self.head(torch.relu(self.layer(x)))


#: A call of a decoder.
CALL = torch.tensor([[0, 299, 17, 5, 17]]), torch.tensor([[0, 1, 2, 3, 39]])


def decoder(*, tied: bool, dtype: torch.dtype = torch.float32) -> nn.Module:
    """One with seeded numbers."""
    torch.manual_seed(7)
    return Decoder(tied=tied).eval().to(dtype)


def rounded(model: nn.Module, encoding: Encoding, names: tuple[str, ...]) -> Any:
    """The results in float64 where these weights hold the numbers of their codes."""
    same = decoder(tied=model.get_parameter("head.weight") is model.get_parameter("tokens.weight"))
    with torch.no_grad():
        for name in names:
            weight = same.get_parameter(name)
            array = weight.numpy()
            found = decode(encode(array, encoding, search=SEARCHED), encoding, array.shape, "f32")
            weight.copy_(torch.from_numpy(found))
    return same.double()(*CALL).detach().numpy()


@pytest.mark.parametrize("name", ["w4", "q4_k", "q6_k", "q8_0", "mxfp4", "nf4", "ternary", "w3"])
def test_tied_weights_are_held_once_as_codes(name: str) -> None:
    model, encoding = decoder(tied=True), formats.TABLE[name]()
    fitted = drystone.compile(model, CALL, quantize={"head.*": name})
    check(fitted(*CALL).numpy(), rounded(model, encoding, ("head.weight",)), 1e-5)
    held = {leaf.name: leaf for leaf in fitted.manifest.weights}
    assert [each for each in held if each.startswith("head.weight")] == ["head.weight.coded.packed"]
    assert not any(leaf.shape[:1] == (300,) or leaf.shape[:2] == (10, 64) for leaf in held.values())


@pytest.mark.parametrize("how", ["rows", "calibrated", "static"])
def test_tied_weights_of_products_in_bytes_are_held_once(how: str) -> None:
    model, calls = decoder(tied=True), None if how == "rows" else [CALL]
    asked = drystone.Quantize("int8", dynamic=False) if how == "static" else "int8"
    fitted = drystone.compile(model, CALL, quantize={"head.*": asked}, calibration=calls)
    with torch.no_grad():
        wanted = rounded(model, formats.int8_row(), ("head.weight",))
    result = fitted(*CALL).numpy()
    assert np.linalg.norm(result - wanted) < 2e-2 * np.linalg.norm(wanted)
    held = {leaf.name: leaf for leaf in fitted.manifest.weights if leaf.name.startswith("head.weight")}
    sizes = {name: np.prod(leaf.shape) for name, leaf in held.items()}
    assert [name for name, size in sizes.items() if size >= 300 * 64] == ["head.weight.int8.packed"]
    assert held["head.weight.int8.packed"].dtype == "i8"


class Tied(nn.Module):
    """Rows of a table, and the products of others with all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(70, 20)

    def forward(self, tokens: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.table(tokens), x @ self.table.weight.T


def test_rows_of_bytes_are_codes_times_their_scales() -> None:
    """Rows of the last panel too, which is not full, and for numbers of rows known at the call."""
    torch.manual_seed(3)
    model, tokens, x = Tied().eval(), torch.tensor([[0, 69, 5], [64, 31, 32]]), torch.randn(4, 20)
    dynamic = {"tokens": {0: torch.export.Dim("calls", min=1, max=9)}, "x": None}
    fitted = drystone.compile(model, (tokens, x), quantize="int8", dynamic_shapes=dynamic)
    array, encoding = model.table.weight.detach().numpy(), formats.int8_row()
    table = decode(encode(array, encoding), encoding, array.shape, "f32")
    for some in (tokens, tokens[:1]):
        check(fitted(some, x)[0].numpy(), table[some.numpy()])
    check(fitted(tokens, x)[1].numpy(), x.numpy() @ table.T, 1e-2)


def test_a_shared_weight_goes_by_all_its_names(tmp_path: Path) -> None:
    sizes = []
    for pattern in (r"tokens\.weight", r"head\.weight"):
        model = decoder(tied=True)
        fitted = drystone.compile(model, CALL, quantize={pattern: "q8_0"})
        check(fitted(*CALL).numpy(), rounded(model, formats.q8_0(), ("head.weight",)), 1e-5)
        fitted.save(tmp_path / "model.dry")
        sizes.append((tmp_path / "model.dry").stat().st_size)
    plain = tmp_path / "plain.dry"
    drystone.compile(decoder(tied=True), CALL).save(plain)
    # A table and its packed copy in 32 bits; codes of 8.5 bits instead.
    saved = 300 * 64 * (4 + 4) - 320 * 64 * 8.5 / 8
    assert plain.stat().st_size - max(sizes) > 0.9 * saved


def test_patterns_in_order_for_a_weight_of_two_names() -> None:
    """The first pattern counts that matches one of them, for bytes and codes alike."""
    for asked, some in ((None, {"layer.weight"}), ("int8", {"head.weight", "layer.weight"})):
        fitted = drystone.compile(decoder(tied=True), CALL, quantize={"tokens.*": asked, ".*": "int8"})
        held = [leaf.name for leaf in fitted.manifest.weights if leaf.dtype == "i8"]
        assert {".".join(name.split(".")[:2]) for name in held} == some


def test_tables_of_their_own() -> None:
    model = decoder(tied=False)
    fitted = drystone.compile(model, CALL, quantize={"tokens.*": "q4_0", "positions.*": "q4_0"})
    names = ("tokens.weight", "positions.weight")
    check(fitted(*CALL).numpy(), rounded(model, formats.q4_0(), names), 1e-5)
    held = [leaf.name for leaf in fitted.manifest.weights]
    assert {"tokens.weight.coded.packed", "positions.weight.coded.packed"} <= {*held}
    assert not any("decoded" in name for name in held)


def test_models_in_bf16() -> None:
    model = decoder(tied=True, dtype=torch.bfloat16)
    fitted = drystone.compile(model, CALL, quantize="w4")
    held = [leaf.name for leaf in fitted.manifest.weights if leaf.name.startswith("head")]
    assert held == ["head.weight.coded.packed"]
    encoding = formats.w4()
    array = model.get_parameter("head.weight").detach().float().numpy()
    table = decode(encode(array, encoding, search=SEARCHED), encoding, array.shape, "f32")
    layer = {n: model.get_parameter(f"layer.{n}").detach().float().numpy() for n in ("weight", "bias")}
    layer["weight"] = decode(encode(layer["weight"], encoding, search=SEARCHED), encoding, (64, 64), "f32")
    places = model.get_parameter("positions.weight").detach().float().numpy()[CALL[1].numpy()]
    x = table[CALL[0].numpy()] + places
    expected = np.maximum(x @ layer["weight"].T + layer["bias"], 0) @ table.T
    check(fitted(*CALL).float().numpy(), expected, 2e-2)
