"""Products with sparse matrices, executed, against dense ones in float64."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.codegen import interpret
from drystone.ir import formats
from drystone.ir.encoding import (
    Bitmap,
    Codes,
    Compressed,
    Coordinates,
    Encoding,
    Pattern,
    Per,
    Positions,
    Scale,
    Sparse,
    Structured,
    decode,
    encode,
)
from drystone.passes.layout.panels import Panels
from drystone.targets import registry
from tests.exec.kernels import compiled
from tests.exec.test_coded import check, check_compiled, product

PATTERNS: dict[str, Pattern] = {
    "csr": Compressed(0),
    "csc": Compressed(0, axis=1),
    "blocks": Compressed(0, (8, 4)),
    "coordinates": Coordinates(0),
    "bitmap": Bitmap(0),
    "rows": Positions(0, 0),
    "columns": Positions(1, 0),
    "2:4": Structured(1, 2, 4),
    "1:4 down": Structured(0, 1, 4),
}


def sparse(
    name: str, shape: tuple[int, int], density: float, element: str = "f32"
) -> tuple[np.ndarray, Encoding]:
    """A matrix with some empty rows, and its encoding in a pattern."""
    random = np.random.default_rng(len(name) + shape[0])
    array = np.where(random.random(shape) < density, random.standard_normal(shape), 0).astype(np.float32)
    array[:: max(shape[0] // 3, 1)] = 0
    encoding = Sparse(PATTERNS[name], Codes(element)).settled(array)
    return decode(encode(array, encoding), encoding, shape, "f32"), encoding


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("axis", [0, 1])
def test_every_pattern(name: str, axis: int) -> None:
    """With few rows and with some, on vectors of 256 bits or this machine's."""
    n, k = 37, 150
    array, encoding = sparse(name, (n, k) if axis == 0 else (k, n), 0.15)
    for m, machine in ((2, registry.resolve("cpu")), (19, registry.resolve(("cpu", "cpu:avx2")[axis]))):
        check_compiled(*product(encoding, m, n, k, machine, axis=axis, given=array), machine)


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("turned", [False, True])
def test_every_pattern_on_the_left(name: str, turned: bool) -> None:
    """With few columns and with some, which lie as such or as rows."""
    n, k = 37, 150
    array, encoding = sparse(name, (n, k), 0.15)
    for m, machine in ((2, "cpu:avx2"), (19, "cpu"), (32, "cpu"), (300, "cpu")):
        target = registry.resolve(machine)
        check_compiled(*product(encoding, m, n, k, target, axis=int(turned), given=array, left=True), target)


@pytest.mark.parametrize("density", [0.0, 0.01, 0.4, 1.0])
def test_any_number_of_elements_in_strips(density: float) -> None:
    machine = registry.resolve("cpu")
    array, encoding = sparse("csr", (50, 300), density)
    for m in (1, 30, 140):
        check_compiled(*product(encoding, m, 50, 300, machine, given=array), machine)


@pytest.mark.parametrize("element", ["bf16", "f16"])
@pytest.mark.parametrize("left", [False, True])
def test_short_elements(element: str, left: bool) -> None:
    machine = registry.resolve("cpu")
    array, encoding = sparse("csr", (40, 200), 0.2, element)
    for m in (1, 16, 20):
        made = product(encoding, m, 40, 200, machine, element=element, given=array, left=left)
        check_compiled(*made, machine)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(("element", "scale"), [("int8", "f32"), ("uint4", "bf16")])
def test_lists_of_codes(element: str, scale: str, left: bool) -> None:
    """Integers with one scale: gathered for few rows, in strips for more."""
    machine, values = registry.resolve("cpu"), Codes(element, Scale(Per.tensor(), Codes(scale)))
    array, encoding = sparse("csr", (50, 300), 0.15)
    for m in (1, 20, 140):
        made = product(replace(encoding, values=values), m, 50, 300, machine, given=array, left=left)
        check_compiled(*made, machine)


def test_codes_that_no_list_has() -> None:
    """Scales of several elements of a list, and codes that are no signed bytes, are decoded."""
    for values in (Codes("int8", Scale(Per.group(0, 4))), Codes("e4m3", Scale()), Codes("uint8", Scale())):
        assert "one scale" in str(Panels((48, 64), 0, 16).joined(Sparse(Compressed(40), values)))


@pytest.mark.parametrize("left", [False, True])
def test_the_meaning_of_the_programs(left: bool) -> None:
    for m in (1, 3, 18):
        array, encoding = sparse("csr", (20, 140), 0.2)
        machine = registry.resolve("cpu:avx512")
        program, arrays, expected = product(encoding, m, 20, 140, machine, given=array, left=left)
        interpret.run(program, arrays)
        check(arrays[-1], expected)


@pytest.mark.parametrize("left", [False, True])
def test_vectors_known_at_the_call(left: bool) -> None:
    machine = registry.resolve("cpu")
    array, encoding = sparse("csr", (70, 160), 0.2)
    program, *_ = product(encoding, 1, 70, 160, machine, dynamic=True, given=array, left=left)
    call = compiled(program)
    for m in (1, 3, 17, 130):
        same, arrays, expected = product(encoding, m, 70, 160, machine, dynamic=True, given=array, left=left)
        assert str(same) == str(program)
        call(arrays)
        check(arrays[-1], expected)


class Layers(nn.Module):
    """Products with biases, an activation between them, and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(48, 80), nn.Linear(80, 48)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.nn.functional.gelu(self.up(x)))


@pytest.mark.parametrize("rows", [1, 40])
def test_a_model_with_sparse_weights(rows: int) -> None:
    """Epilogues run as with dense weights, and the artifact holds lists."""
    torch.manual_seed(0)
    model, x = Layers().eval(), torch.randn(rows, 48)
    with torch.no_grad():
        for layer in (model.up, model.down):
            layer.weight.mul_(torch.rand_like(layer.weight) < 0.1)
    pattern = Sparse(Compressed(0), Codes("f32"))
    fitted = drystone.compile(model, (x,), quantize={".*weight": pattern})
    np.testing.assert_allclose(fitted(x), model(x).detach(), atol=1e-5)
    dense = drystone.compile(model, (x,))
    assert fitted.memory.weights < 0.5 * dense.memory.weights


class Graph(nn.Module):
    """A convolution over a graph, whose adjacency is the left operand of a product."""

    def __init__(self) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(torch.rand(90, 90) * (torch.rand(90, 90) < 0.05))
        self.bias = nn.Parameter(torch.randn(90, 1))
        self.layer = nn.Linear(24, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.adjacency @ self.layer(x) + self.bias)


def test_a_model_with_a_sparse_left_operand() -> None:
    """It is found by quantize= and pruned by sparsify=, with what its columns are; codes leave it alone."""
    torch.manual_seed(0)
    model, x = Graph().eval(), torch.randn(90, 24)
    expected = model(x).detach()
    pattern = Sparse(Compressed(0), Codes("f32"))
    fitted = drystone.compile(model, (x,), quantize={"adjacency": pattern})
    np.testing.assert_allclose(fitted(x), expected, atol=1e-5)
    dense = drystone.compile(model, (x,), sparsify={"adjacency": None})
    assert fitted.memory.weights < dense.memory.weights - 0.8 * 4 * 90 * 90
    pruned = drystone.compile(model, (x,), sparsify={"adjacency": 0.5}, calibration=[(x,)])
    np.testing.assert_allclose(pruned(x), expected, atol=1e-5)
    coded = drystone.compile(model, (x,), quantize="int8_row")
    np.testing.assert_allclose(coded(x), expected, atol=0.05)
    with pytest.raises(drystone.UserError, match="'adjacency' matches no weight"):
        drystone.compile(model, (x,), quantize={"adjacency": "w4"})


@pytest.mark.parametrize("block", [(16, 16), (8, 4), (32, 16), (16, 64), (128, 8), (4, 4)], ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_blocks(block: tuple[int, int], axis: int) -> None:
    """Of outputs and inputs, with ragged ends; blocks of few outputs are lists of elements."""
    n, k, machine = 120, 150, registry.resolve(("cpu", "cpu:avx2")[axis])
    array, encoding = blocks((n, k), block, axis)
    for m in (1, 21):
        program, arrays, expected = product(encoding, m, n, k, machine, axis=axis, given=array)
        assert ("x".join(map(str, (block[1], block[0]))) in str(program)) == (block[0] >= 8)
        check_compiled(program, arrays, expected, machine)


@pytest.mark.parametrize("block", [(16, 16), (8, 4), (32, 16), (12, 64), (4, 4)], ids=str)
@pytest.mark.parametrize("machine", ["cpu", "cpu:avx2"])
def test_blocks_on_the_left(block: tuple[int, int], machine: str) -> None:
    n, k, target = 120, 150, registry.resolve(machine)
    array, encoding = blocks((n, k), block, 0)
    for m, turned in ((1, False), (21, False), (40, True), (128, False)):
        made = product(encoding, m, n, k, target, axis=int(turned), given=array, left=True)
        check_compiled(*made, target)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("held", ["f32", "bf16"])
def test_blocks_of_bytes_with_a_scale_each(left: bool, held: str) -> None:
    """On vectors, with few rows and with some."""
    n, k, machine = 48, 70, registry.resolve("cpu")
    array, plain = blocks((n, k), (16, 8), 0)
    scale = Scale(Per((0, 1, 2), (1, 0, 0), "each"), Codes(held))
    encoding = replace(plain, values=Codes("int8", scale))
    for m in (1, 5, 33):
        check_compiled(*product(encoding, m, n, k, machine, given=array, left=left), machine)


#: Codes of blocks [count, *block], with what they share.
BLOCK_CODES = {
    "a scale of an output": Codes("int4", Scale(Per.row(2), Codes("f16"))),
    "groups with zero points": Codes("uint4", Scale(Per.group(2, 8), Codes("f16"), Codes("uint4"))),
    "a scale of a block": Codes("int3", Scale(Per.block((1, 0, 0)))),
    "a scale of all": Codes("int8", Scale(Per.tensor())),
    "no scales": Codes("e4m3"),
}


@pytest.mark.parametrize("name", BLOCK_CODES)
def test_blocks_of_codes(name: str) -> None:
    """In registers for few rows, laid down for more; outputs down or across, an empty list, ragged ends."""
    n, k = 48, 88
    values = BLOCK_CODES[name]
    for m, block, axis, machine in (
        (1, (16, 16), 0, "cpu"),
        (5, (8, 4), 1, "cpu:avx2"),
        (30, (16, 64), 0, "cpu"),
    ):
        target = registry.resolve(machine)
        array, plain = blocks((n, k), block, axis)
        array = np.where(np.arange(n)[:, None] < 16, 0, array) if axis == 0 else array
        encoding = replace(plain, values=values).settled(array)
        program, arrays, expected = product(encoding, m, n, k, target, axis=axis, given=array)
        check_compiled(program, arrays, expected, target)


def test_blocks_of_codes_in_tile_registers() -> None:
    torch.manual_seed(1)
    layer, x = nn.Linear(128, 96).eval(), torch.randn(40, 128)
    array, plain = blocks((96, 128), (16, 64), 0)
    pattern = replace(plain, values=BLOCK_CODES["a scale of an output"])
    array = decode(encode(array, pattern), pattern, array.shape, "f32")
    layer.weight.data = torch.from_numpy(array)
    options = drystone.Options(compute="bf16")
    fitted = drystone.compile(layer, (x,), quantize={".*weight": pattern}, options=options)
    held = torch.from_numpy(array).to(torch.bfloat16).double()
    wide = x.to(torch.bfloat16).double() @ held.T + layer.bias.double()
    np.testing.assert_allclose(fitted(x), wide.detach(), atol=5e-3)
    assert fitted.memory.weights < 0.5 * array.nbytes / 2


def test_blocks_whose_scales_do_not_follow_them_are_decoded() -> None:
    values = Codes("int4", Scale(Per.block((2, 0, 0))))
    assert "blocks of codes" in str(Panels((48, 64), 0, 16).joined(Sparse(Compressed(4, (16, 16)), values)))


@pytest.mark.parametrize("group", [(2, 4), (1, 2)], ids=str)
def test_groups_on_the_left(group: tuple[int, int]) -> None:
    n, k, machine = 56, 256, registry.resolve("cpu")
    array = np.random.default_rng(sum(group)).standard_normal((n, k))
    for m, values in ((1, Codes("f32")), (3, Codes("bf16")), (16, formats.int8_row(1))):
        encoding = Sparse(Structured(1, *group), values)
        program, arrays, expected = product(encoding, m, n, k, machine, given=array, left=True)
        assert "lookup" in str(program)
        check_compiled(program, arrays, expected, machine)


def blocks(
    shape: tuple[int, int], block: tuple[int, int], axis: int, element: str = "f32"
) -> tuple[np.ndarray, Sparse]:
    """A matrix [outputs, inputs], or turned where axis is 1, a third of whose blocks are not zeros."""
    random = np.random.default_rng(sum(shape) + block[0])
    grid = [-(-n // b) for n, b in zip(shape, block, strict=True)]
    whole = np.kron(random.random(grid) < 0.3, np.ones(block)) * random.standard_normal(
        [n * b for n, b in zip(grid, block, strict=True)]
    )
    array = whole[: shape[0], : shape[1]]
    array, block = (array, block) if axis == 0 else (array.T, block[::-1])
    encoding = Sparse(Compressed(0, block), Codes(element)).settled(array)
    return decode(encode(array, encoding), encoding, array.shape, "f32"), encoding


@pytest.mark.parametrize("rows", [1, 8, 40])
@pytest.mark.parametrize("block", [(16, 16), (32, 32), (16, 64)], ids=str)
def test_blocks_of_pairs(rows: int, block: tuple[int, int]) -> None:
    """Of bf16, which units multiply in pairs: on vectors, and in tile registers where there are some."""
    torch.manual_seed(1)
    layer, x = nn.Linear(128, 96, bias=True).eval(), torch.randn(rows, 128)
    array, pattern = blocks((96, 128), block, 0, "bf16")
    layer.weight.data = torch.from_numpy(np.ascontiguousarray(array))
    options = drystone.Options(compute="bf16")
    fitted = drystone.compile(layer, (x,), quantize={".*weight": pattern}, options=options)
    wide = x.to(torch.bfloat16).double() @ layer.weight.double().T + layer.bias.double()
    np.testing.assert_allclose(fitted(x), wide.detach(), atol=2e-5)


@pytest.mark.parametrize("group", [(2, 4), (1, 4), (4, 8), (1, 2)], ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_groups(group: tuple[int, int], axis: int) -> None:
    """Of few rows kernels pick inputs for each output, of elements and of bytes with scales of outputs."""
    n, k, machine = 56, 256, registry.resolve(("cpu", "cpu:avx2")[axis])
    array = np.random.default_rng(sum(group)).standard_normal((n, k) if axis == 0 else (k, n))
    for m, values in ((1, Codes("f32")), (3, Codes("bf16")), (16, formats.int8_row(1 - axis))):
        encoding = Sparse(Structured(1 - axis, *group), values)
        program, arrays, expected = product(encoding, m, n, k, machine, axis=axis, given=array)
        assert "lookup" in str(program) or "by lanes" in str(program)
        check_compiled(program, arrays, expected, machine)


@pytest.mark.parametrize("group", [(2, 4), (1, 2), (3, 4), (4, 8)], ids=str)
def test_groups_of_more_rows(group: tuple[int, int]) -> None:
    """A part of a panel is laid down with its zeros; short ones and inputs that fill no words are lists."""
    n, k, machine = 56, 320, registry.resolve("cpu")
    array = np.random.default_rng(sum(group)).standard_normal((n, k))
    encoding = Sparse(Structured(1, *group), Codes("f32"))
    program, arrays, expected = product(encoding, 35, n, k, machine, given=array)
    assert "select" in str(program)
    check_compiled(program, arrays, expected, machine)


@pytest.mark.parametrize("values", [Codes("f32"), formats.w4(16)], ids=["f32", "w4"])
def test_groups_times_rows_known_at_the_call(values: Encoding) -> None:
    array = np.random.default_rng(2).standard_normal((40, 256))
    encoding, machine = Sparse(Structured(1, 2, 4), values), registry.resolve("cpu")
    program, *_ = product(encoding, 1, 40, 256, machine, dynamic=True, given=array)
    call = compiled(program)
    for m in (1, 16, 17, 70):
        _, arrays, expected = product(encoding, m, 40, 256, machine, dynamic=True, given=array)
        call(arrays)
        check(arrays[-1], expected)


@pytest.mark.parametrize("values", [Codes("bf16"), formats.w4(32)], ids=["bf16", "w4"])
def test_groups_in_tile_registers(values: Codes) -> None:
    """Rows in bf16, which units multiply in pairs, and inputs that fill no tile."""
    torch.manual_seed(1)
    layer, x = nn.Linear(352, 96).eval(), torch.randn(40, 352)
    pattern = Sparse(Structured(1, 2, 4), values)
    array = decode(encode(layer.weight.detach().numpy(), pattern), pattern, (96, 352), "f32")
    layer.weight.data = torch.from_numpy(array)
    options = drystone.Options(compute="bf16")
    fitted = drystone.compile(layer, (x,), quantize={".*weight": pattern}, options=options)
    held = torch.from_numpy(array).to(torch.bfloat16).double()
    wide = x.to(torch.bfloat16).double() @ held.T + layer.bias.double()
    np.testing.assert_allclose(fitted(x), wide.detach(), atol=5e-3 if values.coded else 1e-4)
    assert fitted.memory.weights < 2 * 96 * 352 * 0.7


#: Codes of what groups hold, with scales of outputs or of some numbers, with zero points, and without.
CODES = {
    "int8": formats.int8_row(),
    "w4, groups of 64": formats.w4(64),
    "w4, groups of 16": formats.w4(16),
    "q4_1": formats.q4_1(),
    "3 bits": formats.w3(32),
    "e4m3": Codes("e4m3"),
}


@pytest.mark.parametrize("name", CODES)
def test_groups_of_codes(name: str) -> None:
    """Of few rows: bytes are picked where groups of codes fill registers, numbers elsewhere."""
    array = np.random.default_rng(9).standard_normal((40, 1024))
    array[3] = 0
    for m, machine, group in (
        (1, "cpu", (2, 4)),
        (4, "cpu", (1, 4)),
        (3, "cpu:avx2", (4, 8)),
        (18, "cpu", (2, 4)),
    ):
        target = registry.resolve(machine)
        encoding = Sparse(Structured(1, *group), CODES[name])
        program, arrays, expected = product(encoding, m, 40, 1024, target, given=array)
        if m == 1:
            assert ("by lanes" in str(program)) == (name in ("int8", "w4, groups of 64", "3 bits"))
        check_compiled(program, arrays, expected, target)


def test_the_meaning_of_programs_of_groups() -> None:
    array = np.random.default_rng(9).standard_normal((24, 64))
    for m, values, machine in (
        (1, Codes("f32"), "cpu:avx512"),
        (5, formats.w4(16), "cpu:avx512"),
        (2, formats.int8_row(), "cpu"),
    ):
        encoding = Sparse(Structured(1, 2, 4), values)
        program, arrays, expected = product(encoding, m, 24, 64, registry.resolve(machine), given=array)
        interpret.run(program, arrays)
        check(arrays[-1], expected)


def test_groups_that_fill_no_words_are_lists() -> None:
    array = np.random.default_rng(9).standard_normal((24, 36))
    encoding = Sparse(Structured(1, 2, 4), Codes("f32"))
    program, arrays, expected = product(encoding, 1, 24, 36, registry.resolve("cpu"), given=array)
    assert "lookup" not in str(program)
    check_compiled(program, arrays, expected, registry.resolve("cpu"))


class Held(nn.Module):
    """Products with a sparse tensor that the model holds."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.bias = nn.Parameter(torch.randn(weight.shape[0], 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.sparse.mm(self.weight, x)
        return torch.sparse.addmm(self.bias.expand(-1, x.shape[1]), self.weight, torch.relu(first)) + (
            self.weight @ first
        )


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr"])
def test_a_model_that_holds_a_sparse_tensor(layout: str) -> None:
    """It stays sparse: the artifact has what it lists."""
    torch.manual_seed(2)
    blocks = torch.rand(16, 16) < 0.1
    dense = torch.kron(blocks, torch.ones(8, 8)) * torch.randn(128, 128) * 0.1
    made = {"csr": dense.to_sparse_csr, "csc": dense.to_sparse_csc, "coo": dense.to_sparse_coo}
    weight = dense.to_sparse_bsr((8, 8)) if layout == "bsr" else made[layout]()
    model, x = Held(weight).eval(), torch.randn(128, 20)
    fitted = drystone.compile(model, (x,))
    np.testing.assert_allclose(fitted(x), model(x).detach(), atol=1e-5)
    assert fitted.memory.weights < 0.4 * dense.nbytes


class Long(nn.Module):
    """Products of f64, which upstream passes compile, with a sparse matrix and with it turned."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight.to_dense()
        return nn.functional.linear((weight @ x).T, weight)


def test_what_no_kernel_reads_is_sparsified_upstream() -> None:
    """Rows and columns without elements among them, however many columns x has; what is half full is decoded,
    and laid out a second time where it is read turned."""
    torch.manual_seed(5)
    dense = torch.randn(70, 70, dtype=torch.float64) * (torch.rand(70, 70) < 0.1)
    dense[3:9], dense[:, 20] = 0, 0
    columns = {1: torch.export.Dim("columns", min=1, max=64)}
    for density, part in ((dense, 0.2), (dense + torch.rand_like(dense).round(), 2.1)):
        model, x = Long(density.to_sparse_csr()), torch.randn(70, 9, dtype=torch.float64)
        fitted = drystone.compile(model, (x,), dynamic_shapes=(columns,))
        for given in (x, x[:, :1]):
            np.testing.assert_allclose(fitted(given), (density @ (density @ given)).T, rtol=1e-12)
        assert part - 0.15 < fitted.memory.weights / dense.nbytes < part


class Read(nn.Module):
    """Does something to a sparse tensor that it holds."""

    def __init__(self, action: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(6).to_sparse_csr())
        self.action = action

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.action(self.weight, x)


def test_what_reads_a_sparse_tensor() -> None:
    """Its elements where they are asked for; what a dense tensor is not is refused, at the model's line."""
    x = torch.randn(6, 6)
    dense = Read(lambda w, x: w.to_dense() + x)
    np.testing.assert_allclose(drystone.compile(dense, (x,))(x), dense(x))
    for action, what in (
        (lambda w, x: w.values().sum() + x, "a sparse tensor is read by aten.values"),
        (lambda w, x: torch.sparse.mm(w, w).to_dense() + x, "two sparse tensors are factors"),
        (lambda w, x: w, "returns a sparse tensor"),
    ):
        with pytest.raises(drystone.UserError, match=what):
            drystone.compile(Read(action), (x,))
    with pytest.raises(drystone.UserError, match="input `x` is a sparse tensor"):
        drystone.compile(Read(lambda w, x: x @ w.to_dense()), (torch.eye(6).to_sparse_csr(),))
    bare = Read(lambda w, x: torch.sparse.mm(w, x))
    del bare.weight
    bare.weight = torch.eye(6).to_sparse_csr()
    with pytest.raises(drystone.UserError, match=r'self.register_buffer\("weight", weight\)'):
        drystone.compile(bare, (x,))
