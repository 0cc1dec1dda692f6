"""The frontend: what becomes a `dry` operation; how calls, weights, states and sizes are described."""

from collections import Counter, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import sympy
import torch
from torch import nn
from torch.nn import functional as F

from drystone import mlir
from drystone.frontend import import_model
from drystone.frontend.convert.views import reassociate
from drystone.frontend.decompositions import table, taken_apart
from drystone.frontend.origin import shortened
from drystone.ir.context import new_context
from drystone.ir.program import Program, TensorSpec

BATCH = torch.export.Dim("batch", min=2, max=64)


def imported(model: nn.Module, *inputs: Any, **options: Any) -> Program:
    return import_model(model.eval(), tuple(inputs), ctx=new_context(), **options)


def operations(program: Program) -> Counter[str]:
    return Counter(op.operation.name for op in mlir.walk(program.module))


class Composite(nn.Module):
    """Composite operations that stay whole, that have rules here, that torch takes apart by itself, and of
    which its table says another way than its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.interpolate(F.layer_norm(x, (6,)), scale_factor=2.0, mode="trilinear")
        y = F.pixel_shuffle(torch.einsum("abcde,abcdf->abcef", y, y).flatten(0, 1), 2)
        return F.interpolate(F.one_hot(y.long().clamp(0, 3), 4).float(), scale_factor=2).tile(2)


def test_programs_are_taken_apart_as_torch_does() -> None:
    program = torch.export.export(Composite(), (torch.randn(2, 4, 4, 6, 6),), strict=False)
    wanted = program.run_decompositions(table())
    found = taken_apart(program)
    assert found.graph_module.code == wanted.graph_module.code
    assert found.graph_signature == wanted.graph_signature
    targets = {str(node.target) for node in found.graph.nodes}
    assert {"aten.layer_norm.default", "aten.one_hot.default"} <= targets
    assert not targets & {"aten.einsum.default", "aten.tile.default"}


def test_main_takes_inputs_only_and_weights_are_named_by_the_model() -> None:
    program = imported(
        nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2, bias=False)), torch.randn(5, 4)
    )
    main = program.module.body.operations[0]
    assert [str(kind) for kind in main.type.inputs] == ["tensor<5x4xf32>"]
    assert list(program.weights) == ["0.weight", "0.bias", "2.weight"]
    assert operations(program)["dry.matmul"] == 2
    assert not [name for name in operations(program) if name.startswith("torch")]


def test_weights_share_the_models_memory_and_tied_ones_are_stored_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(10, 4)
            self.head = nn.Linear(4, 10, bias=False)
            self.head.weight = self.table.weight
            self.register_buffer("brief", torch.ones(4, dtype=torch.bfloat16))
            self.register_buffer("turned", torch.arange(8.0).reshape(2, 4).t())

        def forward(self, i: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(i) * self.brief + self.turned.sum(1))

    model = Tied()
    program = imported(model, torch.tensor([1, 2]))
    (table,) = [key for key in program.weights if program.weights[key].shape == (10, 4)]
    assert np.shares_memory(program.weights[table], model.table.weight.detach().numpy())
    assert program.weights["brief"].dtype == np.uint16
    assert program.weights["turned"].flags.c_contiguous
    assert np.array_equal(program.weights["turned"], model.turned.numpy())


def test_operations_with_kernels_stay_whole() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.up = nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 3, 2)
            self.lstm, self.norm = nn.LSTM(6, 5, 2, bidirectional=True), nn.LayerNorm(6)

        def forward(self, x: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
            y = self.up(F.max_pool2d(self.conv(x), 2, ceil_mode=True))
            z = self.norm(x).softmax(-1).cumsum(0) @ x.transpose(2, 3)
            a = F.scaled_dot_product_attention(x, x, x, is_causal=True)
            return y, z, a, self.lstm(x[0])[0], F.embedding(i, x[0, 0]), F.rms_norm(x, (6,))

    found = operations(imported(Many(), torch.randn(2, 3, 6, 6), torch.tensor([1])))
    assert found["dry.conv"] == 2 and found["dry.pool"] == 1 and found["dry.attention"] == 1
    assert found["dry.softmax"] == 1 and found["dry.scan"] == 1 and found["dry.embedding"] == 1
    assert found["dry.norm"] == 2
    assert found["dry.recurrent"] == 4  # two layers, two directions
    assert found["dry.matmul"] == 5  # one, and the projection of each recurrence


def test_doubles_go_the_general_way() -> None:
    found = operations(imported(nn.Linear(4, 3).double(), torch.randn(2, 4).double()))
    assert "dry.matmul" not in found and sum(found.values()) > 1


def test_a_mask_is_not_broadcast_in_memory() -> None:
    class Masked(nn.Module):
        def forward(self, q: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            return F.scaled_dot_product_attention(q, q, q, keep[:, None, None, :].expand(2, 1, 6, 6))

    program = imported(Masked(), torch.randn(2, 3, 6, 4), torch.ones(2, 6, dtype=torch.bool))
    (attention,) = [op for op in mlir.walk(program.module) if op.operation.name == "dry.attention"]
    assert str(attention.operation.operands[3].type) == "tensor<2x1x1x6xi1>"


def test_nested_calls_are_described_as_they_are() -> None:
    Pair = namedtuple("Pair", ["first", "second"])

    class Nested(nn.Module):
        def forward(self, x: Any, *, scale: float, y: Any = None, unused: Any = None) -> Any:
            return {"a": Pair(x[0] * scale, None), "b": [x[1]["k"] + y, 7, x[0].shape[0]]}

    x = (torch.ones(2), {"k": torch.ones(3)})
    kwargs = {"scale": 0.5, "y": torch.ones(3), "unused": torch.ones(1)}
    signature = imported(Nested(), x, kwargs=kwargs).signature
    assert signature.in_tree == {
        "tuple": [
            {"tuple": [{"tuple": ["*", {"dict": {"k": "*"}}]}]},
            {"dict": {"scale": {"value": 0.5}, "y": "*", "unused": "*"}},
        ]
    }
    assert signature.out_tree == {
        "dict": {"a": {"tuple": ["*", {"value": None}]}, "b": {"list": ["*", {"value": 7}, {"value": 2}]}}
    }
    assert [spec.shape for spec in signature.inputs] == [(2,), (3,), (3,), (1,)]
    assert len(signature.outputs) == 2


def test_dynamic_sizes_have_the_users_names_bounds_and_formulas() -> None:
    class Sizes(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return torch.cat([x, x], 0), y[::2], x.reshape(-1), torch.full((), x.shape[0])

    even = 2 * BATCH
    signature = imported(
        Sizes(), torch.randn(4, 3), torch.randn(8), dynamic_shapes={"x": {0: BATCH}, "y": (even,)}
    ).signature
    assert signature.symbols == {"batch": (2, 64)}
    assert [spec.shape for spec in signature.inputs] == [("batch", 3), ("2*batch",)]
    formulas = [spec.shape[0] for spec in signature.outputs[:3]]
    for batch in (2, 5, 64):
        values = [eval(str(formula), {"batch": batch}) for formula in formulas]
        assert values == [2 * batch, batch, 3 * batch]


def test_sizes_that_are_returned_become_tensors() -> None:
    class Size(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return x.shape[0] * 2

    signature = imported(Size(), torch.randn(4), dynamic_shapes=({0: BATCH},)).signature
    assert signature.out_tree == "*" and signature.outputs == (TensorSpec("output", "i64", ()),)


def test_mutable_buffers_are_states() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.full((1,), 3.0), persistent=False)
            self.register_buffer("fixed", torch.ones(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.count += 1
            return x * self.count * self.fixed

    program = imported(Counting(), torch.ones(2))
    (state,) = program.signature.states
    assert (state.dtype, state.shape) == ("f32", (1,))
    assert program.weights[program.signature.initial[0]].tolist() == [3.0]
    main = program.module.body.operations[0]
    assert [str(kind) for kind in main.type.inputs] == ["tensor<2xf32>", "tensor<1xf32>"]
    assert [str(kind) for kind in main.type.results] == ["tensor<2xf32>", "tensor<1xf32>"]


def test_exported_programs_and_files_are_models_too(tmp_path: Path) -> None:
    model, x = nn.Linear(3, 2), torch.randn(4, 3)
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: BATCH},))
    path = tmp_path / "model.pt2"
    torch.export.save(exported, path)
    for given in (exported, path, str(path)):
        program = import_model(given, None, ctx=new_context())
        (output,) = program.signature.outputs
        assert output.shape[1] == 2 and program.signature.symbols == {output.shape[0]: (2, 64)}


def test_inputs_may_be_one_tensor_or_arrays() -> None:
    for given in (torch.randn(4, 3), np.zeros((4, 3), np.float32), [np.zeros((4, 3), np.float32)]):
        program = import_model(nn.Linear(3, 2), given, ctx=new_context())
        assert program.signature.inputs[0].shape == (4, 3)


def test_places_lead_to_the_model() -> None:
    class Here(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ x

    program = imported(Here(), torch.randn(3, 3))
    (product,) = [op for op in mlir.walk(program.module) if op.operation.name == "dry.matmul"]
    place = mlir.ir_place(product)
    assert place is not None and place.file == shortened(__file__)
    assert "return x @ x" in Path(__file__).read_text().splitlines()[place.line - 1]


def test_the_same_model_gives_the_same_text() -> None:
    texts = set()
    for _ in range(2):
        torch.manual_seed(0)
        program = imported(nn.TransformerEncoderLayer(8, 2, 16), torch.randn(3, 1, 8))
        texts.add(mlir.text(program.module, locations=True))
    assert len(texts) == 1


def test_reshapes_follow_the_symbols() -> None:
    b, s = sympy.symbols("b s", integer=True, positive=True)
    n = sympy.Integer
    assert reassociate([b, s, n(12)], [b, s, n(3), n(4)]) == [([0], [0]), ([1], [1]), ([2], [2, 3])]
    assert reassociate([b, n(3), n(4)], [b, n(12)]) == [([0], [0]), ([1, 2], [1])]
    assert reassociate([s, 4 * b, n(2)], [s * b, n(8)]) == [([0, 1, 2], [0, 1])]
    units = reassociate([b, n(1), s, n(1)], [n(1), b, s])
    assert [d for group in units for d in group[0]] == [0, 1, 2, 3]
    assert [d for group in units for d in group[1]] == [0, 1, 2]
    # Nothing tells how these divide: everything is one group.
    assert reassociate([n(6), b], [n(4), 3 * b / 2]) == [([0, 1], [0, 1])]
