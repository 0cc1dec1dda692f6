"""Pruned weights: what `compile(..., sparsify=)` computes, beside torch with the pruned weights."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.ir.encoding import Codes
from drystone.passes.pruning import Blocks, Groups, Pruning, Zeros
from drystone.passes.rounding import Seen
from tests.exec.families import relative_error
from tests.exec.test_quantize_weights import small


def pruned(
    weight: torch.Tensor, pruning: Pruning, x: torch.Tensor | None = None, turned: bool = False
) -> Any:
    """A weight as it is pruned, knowing of the rows x that it is multiplied with; the channels of a tap are
    neighbours."""
    by_taps = weight.movedim(1, -1)
    matrix = (weight.T if turned else by_taps.flatten(1)).detach().double().numpy()
    found = pruning.pruned(matrix, None if x is None else Seen.of(x.flatten(0, -2).numpy()))
    found = torch.from_numpy(np.ascontiguousarray(found)).float()
    return found.T if turned else found.view(by_taps.shape).movedim(-1, 1)


@pytest.mark.parametrize(
    ("asked", "zeros"),
    [
        ("2:4", Groups(2, 4)),
        (0.9, Blocks(0.9)),
        (drystone.Sparsify("16x16", 0.5), Blocks(0.5, (16, 16))),
        (drystone.Sparsify("1:8", method="magnitude"), Groups(1, 8)),
    ],
    ids=str,
)
def test_weights_are_pruned(asked: Any, zeros: Zeros) -> None:
    """Those of products, one of them turned, of a convolution, and of a table that is also a head."""
    model, (x, *_) = small()
    fitted = drystone.compile(model, (x,), sparsify=asked)
    with torch.no_grad():
        for weight in (model.a.weight, model.b.weight, model.conv.weight, model.table.weight):
            weight.copy_(pruned(weight, Pruning(zeros)))
        model.turned.copy_(pruned(model.turned, Pruning(zeros), turned=True))
        assert relative_error(fitted(x), model(x)) < 1e-5


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(64, 96), nn.Linear(96, 48)

    def forward(self, x: Any) -> Any:
        return self.b(torch.relu(self.a(x)))


def pair(seed: int = 0) -> tuple[Pair, list[torch.Tensor]]:
    """Two products, and inputs that depend on each other."""
    torch.manual_seed(seed)
    mixed = torch.randn(12, 64)
    return Pair().eval(), [torch.randn(40, 12) @ mixed + torch.randn(40, 64) / 5 for _ in range(4)]


@pytest.mark.parametrize("method", [None, "wanda", "sparsegpt", "sparsegpt+refit"])
def test_methods_see_what_the_model_computes(method: str | None) -> None:
    model, calls = pair()
    asked = drystone.Sparsify("2:4", method=method)
    fitted = drystone.compile(model, (calls[0],), sparsify=asked, calibration=calls)
    x, pruning = torch.cat(calls), Pruning.of(Groups(2, 4), method or "wanda")
    with torch.no_grad():
        inner = torch.relu(model.a(x))
        model.a.weight.copy_(pruned(model.a.weight, pruning, x))
        model.b.weight.copy_(pruned(model.b.weight, pruning, inner))
        assert relative_error(fitted(calls[1]), model(calls[1])) < 1e-4


def test_better_methods_change_the_model_less() -> None:
    model, calls = pair()
    with torch.no_grad():
        wanted = model(calls[0])
    errors = []
    for method in ("magnitude", "wanda", "sparsegpt", "sparsegpt+refit"):
        asked = drystone.Sparsify(level=0.6, method=method)
        fitted = drystone.compile(model, (calls[0],), sparsify=asked, calibration=calls)
        errors.append(relative_error(fitted(calls[0]), wanted))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.5 * errors[0]


#: With a budget for weights zeros are left out even where dense is faster.
FEW_BYTES = drystone.Budget(weights="1MB")


def test_zeros_take_no_memory() -> None:
    model, (x, *_) = pair()
    plain = drystone.compile(model, (x,)).memory.weights
    sizes = [
        drystone.compile(model, (x,), sparsify=level, budget=FEW_BYTES).memory.weights for level in (0.8, 0.9)
    ]
    assert sizes[1] < sizes[0] < 0.5 * plain


def test_by_names_and_formats() -> None:
    """Sparse weights in bf16, beside codes and products in bytes of others."""
    model, calls = pair()
    for asked, formats in (
        ({".*": "2:4"}, {".*": Codes("bf16")}),
        ({"a.*": 0.5, ".*": None}, {"b.*": "w4"}),
        ({"a.*": 0.5}, {"b.*": "int8"}),
    ):
        given = {"sparsify": asked, "calibration": calls, "budget": FEW_BYTES}
        fitted = drystone.compile(model, (calls[0],), quantize=formats, **given)
        kinds = {leaf.name.split(".packed")[0] for leaf in fitted.manifest.weights}
        assert "a.weight.pruned" in kinds and ("b.weight.pruned" in kinds) == (
            ".*" in asked and len(asked) == 1
        )
        only = drystone.compile(model, (calls[0],), **given)
        assert relative_error(fitted(calls[0]), only(calls[0])) < 0.1
        assert fitted.memory.weights < only.memory.weights


def test_models_in_bf16() -> None:
    model, (x, *calls) = pair()
    model, calls = model.bfloat16(), [each.bfloat16() for each in calls]
    fitted = drystone.compile(model, (x.bfloat16(),), sparsify=0.5, calibration=calls)
    with torch.no_grad():
        assert relative_error(fitted(x.bfloat16()).float(), model(x.bfloat16()).float()) < 0.6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sparsify": True}, "names no pattern"),
        ({"sparsify": "4:2"}, "1 <= N < M <= 256"),
        ({"sparsify": "0x4"}, "no blocks are 0x4"),
        ({"sparsify": 1.0}, "1.0 is no part of the numbers"),
        ({"sparsify": 0}, "0 is no part of the numbers"),
        ({"sparsify": "8x8"}, "what part of the blocks 8x8 are zeros"),
        ({"sparsify": drystone.Sparsify()}, "what part of the numbers are zeros"),
        ({"sparsify": drystone.Sparsify("2:4", 0.5)}, "says itself how many zeros"),
        ({"sparsify": drystone.Sparsify("64x64", 0.9)}, "a.weight of 96 x 64 has 2 blocks 64 x 64"),
        ({"sparsify": drystone.Sparsify("2:4", method="obd")}, "no method is called 'obd'"),
        ({"sparsify": drystone.Sparsify("2:4", method="wanda")}, "give calibration="),
        ({"sparsify": "auto"}, "within a budget, or at a level"),
        ({"sparsify": "auto", "budget": drystone.Budget(bits=4)}, "give calibration="),
        ({"sparsify": drystone.Sparsify("auto", 0.5)}, "give calibration="),
        (
            {"sparsify": {"a.*": drystone.Sparsify("auto", 0.5), "b.*": drystone.Sparsify("channels", 0.5)}},
            "for the model as it is",
        ),
        ({"sparsify": {"c.*": "2:4"}}, "'c.\\*' matches no weight that can be pruned"),
        ({"sparsify": {"(": "2:4"}}, "no regular expression"),
        ({"sparsify": "2:4", "quantize": {"c.*": "w4"}}, "'c.\\*' matches no weight whose bits can be fewer"),
        ({"sparsify": 0.5, "quantize": "w4"}, "a.weight cannot be sparse in this format"),
        ({"sparsify": "2:4", "quantize": "int8"}, "products are computed in bytes"),
        ({"sparsify": "2:4", "quantize": "auto"}, "formats of weights as they are"),
        ({"sparsify": drystone.Sparsify("auto", 0.5), "quantize": "auto"}, "formats of weights as they are"),
        ({"sparsify": drystone.Sparsify("channels", 0.5), "quantize": "auto"}, "of weights as they are"),
        ({"sparsify": "2:4", "budget": drystone.Budget(error=0.1)}, "asks for an error of its own"),
    ],
    ids=lambda each: str(each),
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    model, (x, *_) = pair()
    with pytest.raises(drystone.UserError, match=f"(?s){message}"):
        drystone.compile(model, (x,), **given)


def test_groups_of_codes() -> None:
    """What N:M leaves is held in codes: of half of the numbers, and results are those of these."""
    torch.manual_seed(0)
    model, x = nn.Linear(256, 96).eval(), torch.randn(3, 256)
    pruned = drystone.compile(model, (x,), sparsify="2:4")
    coded = drystone.compile(model, (x,), sparsify="2:4", quantize="w4")
    assert coded.memory.weights < 0.3 * pruned.memory.weights
    error = np.linalg.norm(coded(x) - pruned(x)) / np.linalg.norm(pruned(x))
    assert 0.01 < error < 0.15


class Uneven(nn.Module):
    """Of the results the second layer's outputs are a hundredth."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(64, 96), nn.Linear(64, 96)

    def forward(self, x: Any) -> Any:
        return self.a(x) + self.b(x) / 100


@pytest.mark.parametrize("method", [None, "magnitude", "sparsegpt+refit"])
def test_levels_are_chosen_where_they_cost_least(method: str | None) -> None:
    """At as many zeros in all the model changes far less than with one level."""
    torch.manual_seed(0)
    model, calls = Uneven().eval(), [torch.randn(60, 64) for _ in range(3)]
    errors = []
    for pattern in (None, "auto"):
        asked = drystone.Sparsify(pattern, 0.5, method)
        given = {"sparsify": asked, "calibration": calls, "budget": FEW_BYTES}
        fitted = drystone.compile(model, (calls[0],), **given)
        with torch.no_grad():
            errors.append(sum(relative_error(fitted(x), model(x)) for x in calls))
        assert sum(each.zeros for each in fitted.manifest.sparsity) == pytest.approx(1, abs=0.02)
    assert errors[1] < 0.7 * errors[0]
    assert [(each.weight, each.format) for each in fitted.manifest.formats] == [
        ("a.weight", "20% zeros"),
        ("b.weight", "80% zeros"),
    ]
    assert all(str(each) in str(fitted.report(calls[0], runs=1)) for each in fitted.manifest.formats)


def test_levels_are_chosen_among_the_names_that_ask_for_it() -> None:
    model, calls = pair()
    asked = {"a.*": drystone.Sparsify("auto", 0.5), "b.*": "2:4"}
    fitted = drystone.compile(model, (calls[0],), sparsify=asked, calibration=calls, budget=FEW_BYTES)
    assert [(each.weight, each.format) for each in fitted.manifest.formats] == [("a.weight", "50% zeros")]
    assert {each.weight: each.zeros for each in fitted.manifest.sparsity} == {
        "a.weight": 0.5,
        "b.weight": 0.5,
    }


class Idle(nn.Module):
    """Of the second layer's weight one number of 16 is not small."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(128, 128), nn.Linear(128, 128)
        with torch.no_grad():
            self.b.weight[torch.rand(128, 128) < 15 / 16] *= 1e-3

    def forward(self, x: Any) -> Any:
        return self.b(torch.tanh(self.a(x)))


def idle() -> tuple[Idle, list[torch.Tensor]]:
    torch.manual_seed(0)
    return Idle().eval(), [torch.randn(16, 128) for _ in range(8)]


def has_zeros(name: str) -> bool:
    """Whether the name of what was chosen is of a way to hold zeros."""
    return "zeros" in name or ":" in name


def off(model: nn.Module, fitted: drystone.Fitted, calls: list[torch.Tensor]) -> float:
    with torch.no_grad():
        return max(relative_error(fitted(x), model(x)) for x in calls)


def test_zeros_are_chosen_where_they_cost_less_than_bits() -> None:
    """At as many bits the model changes less with zeros where they cost nothing, and what is saved goes to
    the other weight."""
    model, calls = idle()
    given = {"quantize": "auto", "calibration": calls, "budget": drystone.Budget(bits=5)}
    dense = drystone.compile(model, (calls[0],), **given)
    both = drystone.compile(model, (calls[0],), sparsify="auto", **given)
    bits = {each.weight: each.bits for each in both.manifest.formats}
    assert sum(bits.values()) / 2 <= 5
    names = {each.weight: each.format for each in both.manifest.formats}
    assert names["b.weight"].startswith("90% zeros") and "zeros" not in names["a.weight"]
    assert bits["a.weight"] > {each.weight: each.bits for each in dense.manifest.formats}["a.weight"]
    assert off(model, both, calls) < 0.7 * off(model, dense, calls)
    (held,) = both.manifest.sparsity
    # What is rounded to bytes is 0 too where it is small.
    assert (held.weight, held.sparse) == ("b.weight", True) and held.zeros > 0.89
    assert all(str(each) in str(both.report(calls[0], runs=1)) for each in both.manifest.formats)


def test_zeros_within_a_budget_of_bytes() -> None:
    model, calls = idle()
    for quantize in ("auto", None):
        budget = drystone.Budget(weights=90_000 if quantize is None else 20_000)
        fitted = drystone.compile(
            model, (calls[0],), quantize=quantize, sparsify="auto", calibration=calls, budget=budget
        )
        assert fitted.memory.weights <= budget.weights
        names = {each.weight: each.format for each in fitted.manifest.formats}
        assert has_zeros(names["b.weight"]) and not has_zeros(names["a.weight"])
        assert off(model, fitted, calls) < (0.005 if quantize is None else 0.2)


def test_zeros_within_an_error() -> None:
    model, calls = idle()
    given = {"quantize": "auto", "sparsify": "auto", "calibration": calls}
    for error in (0.1, 0.01):
        fitted = drystone.compile(model, (calls[0],), budget=drystone.Budget(error=error), **given)
        assert off(model, fitted, calls) <= error
    with pytest.raises(drystone.UserError, match=r"are off by .*, 0.0001 is allowed"):
        drystone.compile(model, (calls[0],), budget=drystone.Budget(error=0.0001, bits=6), **given)


def test_zeros_are_chosen_nowhere_where_they_cost_more_than_bits() -> None:
    """Numbers all of a size; and what is chosen is the same as without."""
    model, calls = pair()
    for bits in (4.5, 8.5):
        given = {"quantize": "auto", "calibration": calls, "budget": drystone.Budget(bits=bits)}
        made = [drystone.compile(model, (calls[0],), sparsify=s, **given) for s in (None, "auto")]
        assert made[0].manifest.formats == made[1].manifest.formats


def test_zeros_are_chosen_among_the_names_that_ask_for_it() -> None:
    """A weight in a format of its own, one that is pruned, and one for which zeros are chosen."""
    model, calls = idle()
    given = {"calibration": calls, "budget": drystone.Budget(bits=6)}
    for quantize, sparsify in (
        ({"a.*": "q8_0", ".*": "auto"}, "auto"),
        ({"b.*": "auto"}, {"b.*": "auto"}),
        (None, {"a.*": "2:4", "b.*": "auto"}),
        ({"a.*": "int8"}, "auto"),
    ):
        fitted = drystone.compile(model, (calls[0],), quantize=quantize, sparsify=sparsify, **given)
        assert [each.weight for each in fitted.manifest.formats] == ["b.weight"]
        assert has_zeros(fitted.manifest.formats[0].format)
        held = {each.weight: each.held for each in fitted.manifest.sparsity}
        assert ("a.weight" in held) == (quantize is None) and "b.weight" in held
