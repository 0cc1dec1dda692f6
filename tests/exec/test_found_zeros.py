"""Weights that have zeros already: they are found, products read them in the way that is faster, and it is
said which that is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.sparse import SparseSemiStructuredTensorCUTLASS
from torch.sparse._semi_structured_conversions import sparse_semi_structured_from_dense_cutlass

import drystone
from drystone.sparse_weight import SparseWeight
from tests.exec.families import relative_error


def layer(inputs: int = 256, outputs: int = 256) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs).eval()


def elements(weight: torch.Tensor, level: float) -> None:
    weight.mul_(torch.rand_like(weight) >= level)


def blocks(weight: torch.Tensor, level: float) -> None:
    kept = torch.rand(weight.shape[0] // 16, weight.shape[1] // 16) >= level
    weight.mul_(torch.kron(kept.float(), torch.ones(16, 16)))


def groups(weight: torch.Tensor, level: float) -> None:
    """2:4, and the level is half."""
    each = weight.view(len(weight), -1, 4)
    each.scatter_(-1, each.abs().argsort(-1)[..., :2], 0)


def found(model: nn.Module, x: torch.Tensor, **given: Any) -> list[SparseWeight]:
    """What is said of the weights of a model that computes the same as torch."""
    fitted = drystone.compile(model, (x,), **given)
    with torch.no_grad():
        assert relative_error(fitted(x).float(), model(x).float()) < (
            1e-5 if x.dtype == torch.float32 else 1e-2
        )
    leaves = {leaf.name for leaf in fitted.manifest.weights}
    for each in fitted.manifest.sparsity:
        assert each.sparse == any(f"{each.weight}." in name and ".sparse" in name for name in leaves) or given
        assert str(each) in str(fitted.report(x, runs=1))
    return list(fitted.manifest.sparsity)


@pytest.mark.parametrize(
    ("zeros", "level", "rows", "held"),
    [
        (elements, 0.98, 1, "lists"),
        (elements, 0.95, 128, "lists"),
        (elements, 0.5, 128, "dense"),
        (elements, 0.2, 128, None),
        (blocks, 0.9, 128, "blocks 16x16"),
        (blocks, 0.4, 512, "dense"),
        (groups, 0.5, 1, "2:4"),
        (groups, 0.5, 300, "dense"),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_zeros_are_left_out_where_that_is_faster(
    zeros: Any, level: float, rows: int, held: str | None
) -> None:
    """Few zeros are not worth a word, and what is held dense is said to be."""
    model = layer()
    zeros(model.weight.data, level)
    said = found(model, torch.randn(rows, 256))
    assert len(said) == (held is not None)
    for each in said:
        assert each.held in str(held) and abs(each.zeros - level) < 0.05 and each.rows == rows
        assert each.sparse == (each.time < 0.9) and not each.measured
        assert each.size < each.dense if each.sparse else each.size == each.dense


def test_masks_of_torch_before_and_after_they_are_made_permanent() -> None:
    model, x = nn.Sequential(layer(), nn.ReLU(), layer()), torch.randn(64, 256)
    prune.l1_unstructured(model[0], "weight", 0.95)
    prune.ln_structured(model[2], "weight", 0.5, n=2, dim=0)
    masked = found(model, x)
    for module in (model[0], model[2]):
        prune.remove(module, "weight")
    assert masked == found(model, x)
    assert [each.weight for each in masked] == ["0.weight", "2.weight"] and masked[0].sparse


def test_semi_structured_weights_of_torch() -> None:
    """As they are made on GPUs."""
    model, x = nn.Sequential(layer(), layer()).half(), torch.randn(1, 256).half()
    groups(model[0].weight.data, 0.5)
    dense = model[0].weight.data
    held = SparseSemiStructuredTensorCUTLASS(
        dense.shape, *sparse_semi_structured_from_dense_cutlass(dense), None, None, None
    )
    wanted = model(x).detach()
    model[0].weight = nn.Parameter(held, requires_grad=False)
    fitted = drystone.compile(model, (x,))
    assert relative_error(fitted(x).float(), wanted.float()) < 1e-2
    assert fitted.manifest.sparsity[0].held.startswith("2:4")


def test_masked_weights_have_the_names_of_the_model() -> None:
    """Patterns of quantize= and sparsify= match them."""
    model, x = nn.Sequential(layer(), layer()), torch.randn(64, 256)
    prune.l1_unstructured(model[0], "weight", 0.5)
    fitted = drystone.compile(model, (x,), quantize={r"0\.weight": "w4"}, sparsify={r"1\.weight": 0.95})
    kinds = {leaf.name for leaf in fitted.manifest.weights}
    assert {"0.weight.folded.coded.packed", "1.weight.pruned.packed"} <= kinds
    assert relative_error(fitted(x), model(x).detach()) < 1.5


def test_bytes_are_kept_few_where_a_budget_counts_them() -> None:
    model, x = layer(), torch.randn(300, 256)
    elements(model.weight.data, 0.8)
    given = {"budget": drystone.Budget(weights="120KB")}
    said = found(model, x, **given)
    assert [each.sparse for each in said] == [True]
    elements(model.weight.data, 0.0)
    wide = layer()
    with pytest.raises(drystone.UserError):
        drystone.compile(wide, (x,), **given)


def test_the_user_can_leave_weights_as_they_are() -> None:
    model, x = layer(), torch.randn(16, 256)
    elements(model.weight.data, 0.95)
    assert found(model, x)[0].sparse
    assert not found(model, x, sparsify={".*": None})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_elements(dtype: torch.dtype) -> None:
    model = layer(1024, 1024)
    elements(model.weight.data, 0.99)
    said = found(model.to(dtype), torch.randn(4, 1024).to(dtype))
    assert said[0].held.startswith("lists of") and said[0].dense == 2 * 1024 * 1024


def test_products_of_f32_in_bf16_hold_what_is_left_in_bf16() -> None:
    model, x = layer(1024, 1024), torch.randn(4, 1024)
    elements(model.weight.data, 0.99)
    fitted = drystone.compile(model, (x,), options=drystone.Options(compute="bf16"))
    assert fitted.manifest.sparsity[0].held == "lists of bf16"
    assert relative_error(fitted(x), model(x).detach()) < 1e-2


def test_rows_known_at_the_call_are_judged_by_the_slowest() -> None:
    model, rows = layer(), torch.export.Dim("rows", min=2, max=500)
    elements(model.weight.data, 0.98)
    fitted = drystone.compile(model, (torch.randn(8, 256),), dynamic_shapes=({0: rows},))
    (said,) = fitted.manifest.sparsity
    assert said.sparse and said.rows == 0 and "any number of rows" in said.why
    for n in (2, 77, 400):
        x = torch.randn(n, 256)
        assert relative_error(fitted(x), model(x).detach()) < 1e-5


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(128, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.table(x).relu(), self.table.weight)


def test_a_table_that_is_also_a_head_stays_as_it_is() -> None:
    model, x = Tied().eval(), torch.arange(40)
    elements(model.table.weight.data, 0.95)
    (said,) = found(model, x)
    assert not said.sparse and "several kinds" in said.why


@pytest.mark.parametrize(("level", "held"), [(0.9, "lists"), (0.6, "dense")])
def test_convolutions(level: float, held: str) -> None:
    torch.manual_seed(0)
    model, x = (
        nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32)).eval(),
        torch.randn(1, 32, 20, 20),
    )
    elements(model[0].weight.data, level)
    (said,) = found(model, x)
    assert (said.held, said.inputs) == (held, 288)


def test_pruned_weights_are_decoded_where_that_is_faster() -> None:
    model, x = layer(), torch.randn(300, 256)
    fitted = drystone.compile(model, (x,), sparsify="2:4")
    (said,) = fitted.manifest.sparsity
    assert (said.held, said.zeros, said.size) == ("dense", 0.5, said.dense)
    small = drystone.compile(model, (x,), sparsify="2:4", budget=drystone.Budget(weights="1MB"))
    assert small.manifest.sparsity[0].sparse and small.memory.weights < fitted.memory.weights
    assert relative_error(small(x), fitted(x)) < 1e-5


def test_the_tuner_measures_both(tmp_path: Path) -> None:
    model, x = layer(), torch.randn(64, 256)
    elements(model.weight.data, 0.95)
    tune = drystone.Tune(minutes=None, trials=1, database=str(tmp_path / "tuning.db"))
    (said,) = found(model, x, tune=tune)
    assert said.measured and said.sparse == (said.time < 1) and " take " in said.why


def test_artifacts_say_it_too(tmp_path: Path) -> None:
    model, x = layer(), torch.randn(64, 256)
    elements(model.weight.data, 0.95)
    fitted = drystone.compile(model, (x,))
    fitted.save(tmp_path / "model.dry")
    assert drystone.load(tmp_path / "model.dry").manifest.sparsity == fitted.manifest.sparsity


def test_reports_have_a_row_for_every_layer(tmp_path: Path) -> None:
    model, x = nn.Sequential(layer(), nn.ReLU(), layer(), nn.ReLU(), layer()), torch.randn(64, 256)
    for module, level in ((model[0], 0.95), (model[2], 0.5)):
        elements(module.weight.data, level)
    report = drystone.compile(model, (x,)).report(x, runs=3)
    sparse, dense = report.layers
    assert sparse.equivalent == sparse.row.call.flops / sparse.row.seconds
    assert sparse.row.call.flops >= 2 * 64 * 256 * 256
    assert sparse.effective == pytest.approx(sparse.equivalent * (1 - sparse.weight.zeros))
    assert sparse.speed == f"{1 / sparse.weight.time:.2f}x estimated"
    assert sparse.row.call != dense.row.call and dense.weight.size == dense.weight.dense
    text, page = str(report), report.to_html(tmp_path / "report.html").read_text()
    for each in report.layers:
        assert str(each) in text and f"<td>{each.weight.weight}</td><td>{each.weight.held}</td>" in page
    assert "Weights with zeros" in page and "95.0" in page


def test_reports_of_dense_models_have_none(tmp_path: Path) -> None:
    report = drystone.compile(layer(), (torch.randn(2, 256),)).report(runs=1)
    page = report.to_html(tmp_path / "report.html").read_text()
    assert not report.layers and "zeros" not in str(report) + page


class Written(nn.Module):
    """Products with a matrix that the model transposes itself, or torch where x has three axes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.randn(128, 128)) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second @ torch.relu(x @ self.first.T)


def test_zeros_of_products_that_are_written_with_transposes() -> None:
    torch.manual_seed(0)
    model = Written()
    with torch.no_grad():
        for weight in model.parameters():
            elements(weight, 0.95)
    said = found(model, torch.randn(2, 128, 128))
    assert [(each.held, each.rows) for each in said] == [("lists", 256)] * 2


@pytest.mark.parametrize(("level", "held", "dtype"), [(0.9, "lists", "float32"), (0.5, "dense", "bfloat16")])
def test_zeros_of_a_table(level: float, held: str, dtype: str) -> None:
    """Rows of embeddings are laid down from lists, one of them from an empty one."""
    torch.manual_seed(0)
    model, at = nn.Embedding(300, 200).to(getattr(torch, dtype)), torch.randint(300, (3, 7))
    with torch.no_grad():
        elements(model.weight, level)
        model.weight[at[0, 0]] = 0
    fitted = drystone.compile(model, (at,))
    (said,) = fitted.manifest.sparsity
    assert said.held == held and str(said) in str(fitted.report(at, runs=1))
    assert torch.equal(fitted(at), model(at))


class Left(nn.Module):
    """A product with a matrix that is its left operand."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.weight @ x)


@pytest.mark.parametrize(("level", "held"), [(0.95, "lists"), (0.4, "dense")])
def test_zeros_of_a_left_operand(level: float, held: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(128, 96)
    elements(weight, level)
    (said,) = found(Left(weight), torch.randn(96, 128))
    assert (said.held, said.rows) == (held, 128) and "at 128 columns" in said.why


def test_a_graph_that_no_memory_holds_dense() -> None:
    count, edges = 300_000, 20_000
    torch.manual_seed(0)
    index = torch.randint(count, (2, edges))
    graph = torch.sparse_coo_tensor(index, torch.randn(edges), (count, count))
    model, x = Left(graph), torch.randn(count, 2)
    fitted = drystone.compile(model, (x,))
    assert fitted.memory.weights < 2**23
    with torch.no_grad():
        assert relative_error(fitted(x), model(x)) < 1e-5
