"""Products that leave out what meets zeros, executed, against dense ones in float64."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.codegen import families, interpret
from drystone.codegen.tile import TileProgram
from drystone.ir import build, dialect
from drystone.ir.elements import to_element, widen
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import Bundle, Codes, Pack, encode
from drystone.mlir import arith, func, ir
from drystone.passes.sparsifying.thresholds import Shown, edges
from drystone.targets import registry
from tests.exec.families import shared_context
from tests.exec.kernels import compiled
from tests.exec.test_coded import check, check_compiled

#: Rows, inputs and outputs.
Sizes = tuple[int, int, int]


def product(
    sizes: Sizes,
    zeros: float,
    target: Any,
    by: str,
    *,
    turned: bool,
    element: str = "f32",
    dynamic: bool = False,
    bundled: bool = False,
) -> tuple[TileProgram, list[Any], Any]:
    """The program of (x w) * g with a w held by "inputs", some of x being 0, or by "outputs", some of g being
    0; what it is called with, and its result in float64. Numbers of w that meet only zeros are NaN, as are
    those of other matrices whose rows lie beside its own (`bundled`)."""
    (m, k, n), rng = sizes, np.random.default_rng(sum(sizes))
    shape = (n, k) if turned else (k, n)
    outputs_first = (by == "outputs") == turned
    order = (0, 1) if outputs_first else (1, 0)
    encoding = Codes(element, None, Bundle((), (), order, 1, 3) if bundled else Pack((), (), order))
    x, g = (to_element(rng.uniform(-1, 1, each), element) for each in ((m, k), (m, n)))
    skipped = x if by == "inputs" else g
    skipped[rng.random(skipped.shape) < zeros] = 0
    matrix = rng.standard_normal((n, k)).astype(np.float32)
    dead = ~np.any(widen(skipped) != 0, axis=0)
    known = widen(encode(matrix, Codes(element))["codes"]).astype(np.float64)
    holes = matrix.copy()
    if m <= 4:
        holes[(slice(None), dead) if by == "inputs" else dead] = np.nan
    stored = encode(holes if turned else holes.T, encoding)["codes"]
    if bundled:
        stored[:, ::2] = to_element(np.full(1, np.nan, np.float32), element)
    with shared_context(), ir.Location.unknown():
        f32, rows = ir.F32Type.get(), ir.ShapedType.get_dynamic_size() if dynamic else m
        left, factor = (
            with_encoding(ir.RankedTensorType.get([rows, size], f32), Codes(element)) for size in (k, n)
        )
        weight = with_encoding(ir.RankedTensorType.get(shape, f32), encoding)
        out = ir.RankedTensorType.get([rows, n], f32)
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            kernel = func.FuncOp(
                "k", ir.FunctionType.get([left, weight, factor, out], [out]), visibility="private"
            )
            block = kernel.add_entry_block()
            with ir.InsertionPoint(block):
                made = dialect.MatMul(
                    out,
                    *block.arguments[:2],
                    [block.arguments[2]],
                    transpose_b=build.flag(turned),
                    extra_maps=build.maps([ir.AffineMap.get_identity(2)]),
                )
                inner = made.epilogue.blocks.append(f32, f32)
                with ir.InsertionPoint(inner):
                    dialect.Yield(arith.MulFOp(*inner.arguments).result)
                func.ReturnOp([made.out])
        program = families.tile_program_of(kernel, target)
    assert program is not None
    expected = widen(x).astype(np.float64) @ known.T * widen(g).astype(np.float64)
    return program, [x, stored, g, np.full((m, n), 77, np.float32)], expected


@pytest.mark.parametrize("by", ["inputs", "outputs"])
@pytest.mark.parametrize("zeros", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("element", ["f32", "bf16"])
def test_what_meets_zeros_is_not_read(by: str, zeros: float, element: str) -> None:
    """It is NaN here, which would show."""
    turned = zeros < 0.5
    for sizes, name in (((1, 70, 301), "cpu"), ((3, 37, 45), "cpu:avx2")):
        machine = registry.resolve(name)
        program, arrays, expected = product(sizes, zeros, machine, by, turned=turned, element=element)
        check_compiled(program, arrays, expected, machine)


@pytest.mark.parametrize("by", ["inputs", "outputs"])
@pytest.mark.parametrize("element", ["f32", "bf16"])
def test_rows_beside_those_of_other_matrices(by: str, element: str) -> None:
    """These are NaN here; also where rows are many, and where columns fill no register."""
    machine, call = registry.resolve("cpu"), None
    for m in (1, 3, 40):
        program, arrays, expected = product(
            (m, 37, 301), 0.6, machine, by, turned=m == 1, element=element, bundled=True
        )
        check_compiled(program, arrays, expected, machine)
    for m in (1, 2, 5, 33):
        program, arrays, expected = product(
            (m, 60, 300), 0.7, machine, by, turned=True, element=element, dynamic=True, bundled=True
        )
        call = call or compiled(program)
        call(arrays)
        check(arrays[-1], expected)


@pytest.mark.parametrize("by", ["inputs", "outputs"])
def test_the_meaning_of_the_programs(by: str) -> None:
    for m in (1, 2):
        program, arrays, expected = product(
            (m, 23, 40), 0.5, registry.resolve("cpu:avx512"), by, turned=m == 1
        )
        interpret.run(program, arrays)
        check(arrays[-1], expected)


@pytest.mark.parametrize("by", ["inputs", "outputs"])
@pytest.mark.parametrize("element", ["f32", "bf16"])
def test_rows_known_at_the_call(by: str, element: str) -> None:
    """Few leave out zeros, many are multiplied as with any matrix."""
    machine, call = registry.resolve("cpu"), None
    for m in (1, 2, 4, 5, 33, 100):
        program, arrays, expected = product(
            (m, 60, 300), 0.7, machine, by, turned=True, element=element, dynamic=True
        )
        call = call or compiled(program)
        call(arrays)
        check(arrays[-1], expected)
        if element == "f32":  # the result may take over the memory of the factors
            arrays[-1] = arrays[-2]
            call(arrays)
            check(arrays[-1], expected)


class Gated(nn.Module):
    """A gated MLP with a residual; the gate is computed first, or last."""

    def __init__(self, activation: Any, *, bias: bool = False, late: bool = False) -> None:
        super().__init__()
        self.gate, self.up = (nn.Linear(48, 160, bias=bias) for _ in range(2))
        self.down = nn.Linear(160, 48, bias=bias)
        self.activation, self.late = activation, late

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.late:
            return x + self.down(self.up(x) * self.activation(self.gate(x)))
        return x + self.down(self.activation(self.gate(x)) * self.up(x))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("element", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("late", [False, True])
def test_zeros_that_are_there_change_nothing(bias: bool, element: torch.dtype, late: bool) -> None:
    torch.manual_seed(0)
    model = Gated(nn.functional.relu, bias=bias, late=late).to(element).eval()
    some = {"x": {0: torch.export.Dim("rows", max=64)}}
    for rows, dynamic in ((1, None), (3, some), (40, some)):
        x = torch.randn(rows, 48).to(element)
        fitted = drystone.compile(model, (x,), skip=0, dynamic_shapes=dynamic)
        held = {each.name: each.shape for each in fitted.manifest.weights}
        layouts = [
            shape for name, shape in held.items() if name.endswith(("up.weight.packed", "down.weight.packed"))
        ]
        assert layouts == [(160, 48)] * 2 or element == torch.bfloat16
        atol = 1e-5 if element == torch.float32 else 2e-2
        torch.testing.assert_close(torch.as_tensor(fitted(x)), model(x).detach(), atol=atol, rtol=0)


@pytest.mark.parametrize("at", [None, "inputs"])
@pytest.mark.parametrize("level", [0.5, 0.7])
def test_thresholds_leave_the_level_that_is_asked_for(at: str | None, level: float) -> None:
    """On the calls of the calibration; what is computed is the model with such zeros."""
    torch.manual_seed(1)
    model = Gated(nn.functional.silu).eval()
    calls = [(torch.randn(7, 48),) for _ in range(4)]
    x = torch.cat([each for (each,) in calls])
    gate, up = model.activation(model.gate(x)), model.up(x)
    norms = model.down.weight.norm(dim=0)
    scores = gate.abs() * up.abs().sum(0) * norms if at is None else (gate * up).abs() * norms
    kept = scores > scores.flatten().kthvalue(int(level * scores.numel())).values
    expected = x + model.down(gate * up * kept)
    fitted = drystone.compile(
        model,
        (x,),
        skip={"down.*": drystone.Skip(level, at)},
        calibration=calls,
        dynamic_shapes={"x": {0: torch.export.Dim("rows", max=64)}},
    )
    for rows in (1, 28):
        found = torch.as_tensor(fitted(x[:rows]))
        # Numbers next to the threshold may fall on either side of it.
        off = ((found - expected[:rows]).abs() > 1e-4).any(1)
        assert off.float().mean() < 0.2
        assert not torch.allclose(found, model(x[:rows]), atol=1e-3)


def test_levels_are_met_between_edges() -> None:
    """By the distribution that calibration shows, to a part in five hundred."""
    numbers = np.abs(np.random.default_rng(0).standard_normal(200_000))
    numbers[:20_000] = 0
    numbers /= numbers.max()
    counts = (numbers[:, None] <= edges()).sum(0)
    for level in (0.05, 0.1, 0.5, 0.7, 0.95, 0.999):
        (found,) = Shown(np.ones(1, np.float32), counts).thresholds(level)
        assert abs((numbers <= found).mean() - max(level, 0.1)) < 2e-3
    assert Shown(np.zeros(2, np.float32), counts).thresholds(0.5).tolist() == [np.inf, np.inf]


class Relu(nn.Module):
    """An MLP without a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(48, 160), nn.Linear(160, 48)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(nn.functional.relu(self.up(x)) ** 2)


def test_mlps_without_a_gate_and_weights_that_are_no_numbers() -> None:
    torch.manual_seed(0)
    model, x = Relu().eval(), torch.randn(2, 48)
    fitted = drystone.compile(model, (x,), skip={"down.*": 0})
    torch.testing.assert_close(torch.as_tensor(fitted(x)), model(x).detach(), atol=1e-5, rtol=0)
    with torch.no_grad():
        model.down.weight[3, 5] = torch.nan
    found = torch.as_tensor(drystone.compile(model, (x,), skip={"down.*": 0})(x))
    assert found.isnan().any(0).nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize("coded", ["q8_0", "int8"])
def test_a_gate_that_is_held_in_bytes(coded: str) -> None:
    """It is read as a whole; the rows of both other weights are left out."""
    torch.manual_seed(0)
    model, x = Gated(nn.functional.relu).eval(), torch.randn(1, 48)
    quantize = {"gate.*": coded, ".*": None}
    fitted = drystone.compile(model, (x,), skip={"down.*": 0}, quantize=quantize)
    expected = drystone.compile(model, (x,), quantize=quantize)(x)
    torch.testing.assert_close(fitted(x), expected, atol=1e-5, rtol=0)
    held = {each.name: each.shape for each in fitted.manifest.weights}
    assert held["up.weight.packed"] == (160, 48) and held["down.weight.packed"] == (160, 48)
    with pytest.raises(drystone.UserError, match=r"no rows of up\.weight"):
        drystone.compile(model, (x,), skip={"down.*": 0}, quantize={"up.*": coded})


def fixed(model: Gated, rows: list[torch.Tensor], live: int, core: float | None) -> torch.Tensor:
    """1 for the neurons that rows of several calls fix, else 0."""
    x = torch.cat([each.flatten(0, -2) for each in rows])
    h = model.activation(model.gate(x)) * model.up(x)
    if core is None:
        counts = ((h / h.norm(dim=1, keepdim=True)) ** 2).sum(0) * model.down.weight.norm(dim=0) ** 2
    else:
        votes = ((h > 0).sum(1) * core).ceil().long().clamp(min=1)
        limits = h.sort(1, descending=True).values.gather(1, votes[:, None] - 1)
        counts = ((h >= limits) & (h > 0)).float().sum(0)
    return torch.zeros_like(counts).index_fill(0, (-counts).sort(stable=True).indices[:live], 1.0)


@pytest.mark.parametrize("core", [None, 0.4])
@pytest.mark.parametrize("batch", [False, True])
def test_a_prompt_fixes_neurons(core: float | None, batch: bool) -> None:
    """Calls of many rows compute all and choose, also in pieces; those of one row leave the others out."""
    torch.manual_seed(2)
    model = Gated(nn.functional.silu if core is None else nn.functional.relu).eval()
    some = torch.export.Dim("rows", min=1, max=32)
    first, piece, steps = torch.randn(20, 48), torch.randn(5, 48), torch.randn(3, 48)

    def given(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x, x.flip(0).roll(1, 1)]) if batch else x

    fitted = drystone.compile(
        model,
        (given(first),),
        skip={"down.*": drystone.Skip(0.75, per="prompt", core=core)},
        dynamic_shapes={"x": {int(batch): some}},
    )
    held = {each.name: each.shape for each in fitted.manifest.weights}
    assert all(held[f"{name}.weight.packed"] == (160, 48) for name in ("gate", "up", "down"))

    def check(x: torch.Tensor, live: torch.Tensor | int) -> None:
        x = given(x)
        expected = x + model.down(model.activation(model.gate(x)) * model.up(x) * live)
        torch.testing.assert_close(torch.as_tensor(fitted(x)), expected, atol=1e-5, rtol=0)

    with torch.no_grad():
        check(steps[:1], 1)
        check(first, 1)
        for step in steps.split(1):
            check(step, fixed(model, [given(first)], 40, core))
        check(piece, 1)
        check(steps[:1], fixed(model, [given(first), given(piece)], 40, core))
        fitted.reset()
        check(steps[:1], 1)


def test_errors() -> None:
    model, x = Relu().eval(), torch.randn(1, 48)
    for arguments, text in (
        ({"skip": 0.7}, "need to see what weights are multiplied with"),
        ({"skip": 1.0}, "is no part of numbers"),
        ({"skip": "2:4"}, "is no part of numbers"),
        ({"skip": drystone.Skip(0.5, "up")}, "neither"),
        ({"skip": drystone.Skip(0, "gate")}, "reads no gate"),
        ({"skip": {"left.*": 0}}, "matches no weight of which rows can be left out"),
        ({"skip": 0, "quantize": "w4"}, "no rows of up.weight can be left out"),
        ({"skip": 0, "quantize": "int8"}, "no rows of up.weight can be left out"),
        ({"skip": {"down.*": 0}, "sparsify": {"down.*": "2:4"}}, "no rows of down.weight can be left out"),
        (
            {"skip": 0, "quantize": drystone.Quantize("int8", integer=True), "calibration": [(x,)]},
            "integer=True",
        ),
        ({"skip": 0, "calibration": [(x,)]}, "calibration is for"),
        ({"skip": drystone.Skip(0.5, per="prompt"), "calibration": [(x,)]}, "calibration is for"),
        ({"skip": {"down.*": drystone.Skip(0.5, per="prompt")}}, "calls have 1 rows of it"),
        ({"skip": drystone.Skip(0.5, per="call")}, "neither"),
        ({"skip": drystone.Skip(0.5, core=0.4)}, "no part of the positive numbers"),
        ({"skip": drystone.Skip(0.5, per="prompt", core=1.5)}, "no part of the positive numbers"),
    ):
        with pytest.raises(drystone.UserError, match=text):
            drystone.compile(model, (x,), **arguments)
    with pytest.raises(drystone.UserError, match="is not finite"):
        drystone.compile(model, (x,), skip=0.5, calibration=[(x * torch.inf,)])
