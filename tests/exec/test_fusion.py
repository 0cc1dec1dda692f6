"""What fusion makes of whole models: fewer kernels, and the results of float64."""

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

import drystone

ROWS = Dim("rows", min=1, max=8)


def fused(model: nn.Module, *inputs: Any, shapes: Any = None) -> Counter[str]:
    """Compile, compare with the model in float64, and count the kernels of each kind."""
    model.eval()
    fitted = drystone.compile(copy.deepcopy(model), inputs, dynamic_shapes=shapes)
    got = fitted(*inputs)
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    want = copy.deepcopy(model).double()(*wide)
    pairs = [(got, want)] if isinstance(got, torch.Tensor) else list(zip(got, want, strict=True))
    for one, other in pairs:
        torch.testing.assert_close(one.to(other.dtype), other, rtol=2e-5, atol=2e-5)
    return Counter(call.name.split("_")[0] for call in fitted.manifest.kernels)


class Rotary(nn.Module):
    """Rotary positions with halves that are turned (`turn`) or spelled out."""

    def __init__(self, turn: bool) -> None:
        super().__init__()
        self.turn = turn
        self.project = nn.Linear(12, 32)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        q = self.project(x).view(1, x.shape[1], 4, 8).transpose(1, 2)
        low, high = q.chunk(2, -1)
        if self.turn:
            return q * cos + torch.cat([-high, low], -1) * sin
        c, s = cos[:, :4], sin[:, :4]
        return torch.cat([low * c - high * s, high * c + low * s], -1)


@pytest.mark.parametrize("turn", [True, False])
@pytest.mark.parametrize("shapes", [None, ({1: ROWS}, {0: ROWS}, {0: ROWS})])
def test_rotary_positions_are_one_map(turn: bool, shapes: Any) -> None:
    inputs = torch.randn(1, 5, 12), torch.randn(5, 8), torch.randn(5, 8)
    assert fused(Rotary(turn), *inputs, shapes=shapes) == {"matmul": 1, "map": 1}


def test_maps_of_one_tensor_are_one_kernel() -> None:
    class Tables(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return x.cos(), x.sin(), x > 0

    assert fused(Tables(), torch.randn(3, 5, 44)) == {"map": 1}


@pytest.mark.parametrize("shapes", [None, ({0: ROWS}, {0: ROWS})])
def test_a_chain_of_maps_with_several_results_is_one_kernel(shapes: Any) -> None:
    class Chain(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            total = x + y.exp()
            gate = total.sigmoid()
            return total, gate, gate * total - x

    assert fused(Chain(), torch.randn(3, 70), torch.randn(3, 70), shapes=shapes) == {"map": 1}


class RootMeanSquare(nn.Module):
    """Written by hand, as transformers does."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class Residual(nn.Module):
    """A block whose residual sum no product makes: it is normalized, and needed again (`again`) or not."""

    def __init__(self, norm: type[nn.Module], again: bool) -> None:
        super().__init__()
        self.again = again
        self.norm, self.project = norm(44), nn.Linear(44, 44)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        total = x + y.softmax(-1)
        mixed: torch.Tensor = self.project(self.norm(total))
        return mixed + total if self.again else mixed


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm, RootMeanSquare])
@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("shapes", [None, ({1: ROWS}, {1: ROWS})])
def test_a_residual_sum_is_made_by_the_normalization(norm: Any, again: bool, shapes: Any) -> None:
    inputs = torch.randn(2, 5, 44), torch.randn(2, 5, 44)
    assert fused(Residual(norm, again), *inputs, shapes=shapes) == {"softmax": 1, "norm": 1, "matmul": 1}


def test_a_gated_unit_reads_its_halves_in_place() -> None:
    class Gate(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.glu(x, -1)

    assert fused(Gate(), torch.randn(3, 5, 44)) == {"map": 1}


@pytest.mark.parametrize("shapes", [None, ({2: ROWS}, {0: ROWS})])
def test_rows_of_a_cache_are_replaced_by_one_kernel(shapes: Any) -> None:
    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kept", torch.randn(1, 2, 10, 4))

        def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            self.kept[:, :, at] = x
            return self.kept + 1

    x = torch.randn(1, 2, 3, 4)
    kinds = fused(Cache(), x, torch.tensor([2, -1, 5]), shapes=shapes)
    assert kinds["scatter"] == 1
    assert kinds["concat"] == 0


LOSSES: dict[str, Any] = {
    "mean": lambda x, t, w: F.cross_entropy(x, t),
    "sum": lambda x, t, w: F.cross_entropy(x, t, reduction="sum"),
    "none": lambda x, t, w: F.cross_entropy(x, t.clamp(0), reduction="none", ignore_index=0),
    "weighted": lambda x, t, w: F.cross_entropy(x, t, w),
    "smoothed": lambda x, t, w: F.cross_entropy(x, t, label_smoothing=0.1),
    "nll of log softmax": lambda x, t, w: F.nll_loss(x.log_softmax(-1), t, w, reduction="sum"),
    "gathered": lambda x, t, w: -x.log_softmax(-1).gather(-1, t.clamp(0)[:, None]).mean(),
    "indexed": lambda x, t, w: -x.log_softmax(-1)[torch.arange(x.shape[0]), t.clamp(0)],
    "one-hot": lambda x, t, w: -(x.log_softmax(-1) * F.one_hot(t.clamp(0), x.shape[1])).sum(-1),
    "one-hot by hand": lambda x, t, w: torch.where(
        torch.arange(x.shape[1]) == t[:, None], -x.log_softmax(-1) * w, 0.0
    ).sum(1),
    "classes first": lambda x, t, w: F.cross_entropy(x.unflatten(0, (2, -1)).transpose(1, 2), t.view(2, -1)),
    "image": lambda x, t, w: F.cross_entropy(x.t()[None, :, None], t[None, None]),
    "divergence": lambda x, t, w: F.kl_div(x.log_softmax(-1), (x * w).softmax(-1), reduction="sum"),
}


class Loss(nn.Module):
    def __init__(self, name: str, classes: int) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("weight", torch.linspace(0.5, 1.5, classes))

    def forward(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = LOSSES[self.name](x, target, self.weight)
        return loss


def logits(rows: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Large logits far from 0, so that digits would be lost; some targets are left out."""
    target = torch.randint(0, classes, (rows,))
    target[::5] = -100
    return torch.randn(rows, classes) * 20 + 300, target


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_reads_its_logits_and_stores_no_log_softmax(name: str) -> None:
    kinds = fused(Loss(name, 150), *logits(12, 150))
    assert kinds["logsumexp"] == 1
    if "one-hot" in name:
        assert kinds == {"logsumexp": 1, "map": 1}
    assert kinds["softmax"] == (name == "divergence")


def test_a_loss_over_rows_known_at_the_call() -> None:
    shapes = ({0: ROWS}, {0: ROWS})
    assert fused(Loss("mean", 40), *logits(8, 40), shapes=shapes)["logsumexp"] == 1


def test_a_log_softmax_that_is_a_result_is_stored() -> None:
    class Both(nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> Any:
            chances = x.log_softmax(-1)
            return chances, F.nll_loss(chances, t)

    kinds = fused(Both(), torch.randn(6, 30), torch.arange(6))
    assert (kinds["softmax"], kinds["logsumexp"]) == (1, 0)


class GatedMLP(nn.Module):
    """silu(gate(x)) * up(x), projected down."""

    def __init__(self, width: int, hidden: int, bias: bool) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(width, hidden, bias=bias), nn.Linear(width, hidden, bias=bias)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


@pytest.mark.parametrize("hidden", [96, 72])
@pytest.mark.parametrize("rows", [32, 45, 130])
def test_the_gate_of_an_mlp_is_not_in_memory(rows: int, hidden: int) -> None:
    model = GatedMLP(48, hidden, bias=rows == 45)
    assert fused(model, torch.randn(rows, 48)) == {"matmul": 2}


def test_gates_of_few_rows_are_products_of_their_own() -> None:
    assert fused(GatedMLP(48, 96, bias=False), torch.randn(5, 48)) == {"matmul": 3}


class Projections(nn.Module):
    """Several products of one tensor, with epilogues of their own."""

    def __init__(self, *columns: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(40, n, bias=n != 32) for n in columns)

    def forward(self, x: torch.Tensor) -> Any:
        return tuple(F.gelu(layer(x)) if k == 1 else layer(x) for k, layer in enumerate(self.layers))


@pytest.mark.parametrize("rows", [1, 7, 40])
@pytest.mark.parametrize(
    ("columns", "kernels"), [((64, 32, 32), 1), ((96, 64), 1), ((32,) * 6, 2), ((40, 32), 2)]
)
def test_products_of_one_tensor_share_a_grid(rows: int, columns: tuple[int, ...], kernels: int) -> None:
    assert fused(Projections(*columns), torch.randn(rows, 40)) == {"matmul": kernels}


def test_a_merged_product_is_named_after_all_its_layers() -> None:
    (call,) = drystone.compile(Projections(64, 32, 32).eval(), (torch.randn(7, 40),)).manifest.kernels
    assert [place.split()[0] for place in call.where.split(", ")] == ["layers.0", "layers.1", "layers.2"]


@pytest.mark.parametrize("compute", ["f32", "bf16"])
@pytest.mark.parametrize(
    ("model", "products"), [(GatedMLP(48, 96, bias=True), 2), (Projections(64, 32, 32), 1)]
)
def test_merged_products_of_rows_known_at_the_call(model: nn.Module, products: int, compute: str) -> None:
    width = next(model.parameters()).shape[1]
    fitted = drystone.compile(
        model.eval(),
        (torch.randn(2, 5, width),),
        dynamic_shapes=({0: ROWS},),
        options=drystone.Options(compute=compute),
    )
    assert sum(call.kind == "matmul" for call in fitted.manifest.kernels) == products
    for rows in (1, 3, 8):
        x = torch.randn(rows, 5, width)
        got, want = fitted(x), copy.deepcopy(model).double()(x.double())
        pairs = [(got, want)] if isinstance(got, torch.Tensor) else list(zip(got, want, strict=True))
        for one, other in pairs:
            error = float((one.double() - other).norm().detach() / other.norm().detach())
            assert error < (2e-6 if compute == "f32" else 2e-2)


class Attends(nn.Module):
    """torch.nn.MultiheadAttention of the first tensor to the last, which may be the same."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        x, y = inputs[0], inputs[-1]
        mixed: torch.Tensor = self.attention(x, y, y, need_weights=False)[0]
        return x + mixed


@pytest.mark.parametrize("extents", [(7,), (7, 5)])
@pytest.mark.parametrize("dim", [None, 0, 1])
def test_attention_of_torch_reads_its_projections_as_they_lie(
    extents: tuple[int, ...], dim: int | None
) -> None:
    inputs = [torch.randn(2, n, 64) for n in extents]
    names = [ROWS, Dim("others", min=1, max=8) if dim else ROWS]
    shapes = None if dim is None else (tuple({dim: name} for name in names[: len(inputs)]),)
    assert fused(Attends(), *inputs, shapes=shapes) == {"matmul": 1 + len(inputs), "attention": 1}


def test_layers_of_a_transformer_of_torch_copy_nothing() -> None:
    kinds = fused(nn.TransformerEncoderLayer(64, 4, 40, batch_first=True), torch.randn(2, 7, 64))
    assert kinds == {"matmul": 4, "attention": 1, "norm": 2}
    layer = nn.TransformerDecoderLayer(64, 4, 40, batch_first=True)
    kinds = fused(layer, torch.randn(2, 7, 64), torch.randn(2, 5, 64))
    assert kinds == {"matmul": 7, "attention": 2, "norm": 3}


def test_attention_of_a_short_model_reads_its_queries_as_they_lie() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(64, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q = self.project(x).view(2, 7, 4, 16).transpose(1, 2)
            return F.scaled_dot_product_attention(q, q, q).transpose(1, 2).flatten(2)

    model, x = Heads().bfloat16().eval(), torch.randn(2, 7, 64).bfloat16()
    fitted = drystone.compile(model, (x,))
    # Only conversions of what is given and returned stand beside the product, which rounds its result itself,
    # and the attention.
    moved = [call.name for call in fitted.manifest.kernels if call.kind not in ("matmul", "attention", "map")]
    assert not moved and sum(call.kind == "map" for call in fitted.manifest.kernels) == 2
    want = copy.deepcopy(model).double()(x.double())
    assert float((fitted(x).double() - want).norm().detach() / want.norm().detach()) < 2e-2
