"""What is said about models that cannot be imported, and about weights without values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import drystone
from drystone import Options, UserError
from drystone.frontend.origin import shortened

QUIET = Options(progress=False)
X = torch.ones(3, 4)
BATCH = torch.export.Dim("batch", min=2, max=8)


def line(marker: str) -> str:
    lines = Path(__file__).read_text().splitlines()
    (number,) = [i for i, text in enumerate(lines, 1) if text.endswith(f"# {marker}")]
    return f"{shortened(__file__)}:{number}"


class Computes(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)  # call


class Holds(nn.Module):
    """Multiplies by a buffer."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight @ x if self.weight.layout != torch.strided else x @ self.weight.float().T


def said(model: nn.Module, *inputs: Any, **given: Any) -> str:
    with pytest.raises(UserError) as caught:
        drystone.compile(model.eval(), inputs, options=QUIET, **given)
    return str(caught.value)


def printing(x: torch.Tensor) -> torch.Tensor:
    torch.ops.aten._print("here")
    return x + 1


def strided(x: torch.Tensor) -> torch.Tensor:
    return torch.as_strided(x, (20,), (1,))


def grown(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros(2 ** x.shape[0])


def turned(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(torch.complex(x, x).tanh())


def test_what_has_an_effect() -> None:
    assert said(Computes(printing), X) == (
        "the model has an effect beside its results: aten._print.default\n"
        f"  at {line('call')}\n"
        "  leave out printing, assertions and checks of results"
    )


def test_views_beyond_a_tensor() -> None:
    assert said(Computes(strided), X) == (
        "as_strided beyond the elements of its tensor, or with sizes that change, cannot be compiled\n"
        f"  at {line('call')}\n"
        "  use slices, transposes and reshapes"
    )


def test_complex_numbers() -> None:
    assert said(Computes(turned), X) == (
        "the model uses operations on complex numbers that drystone cannot compile:\n"
        f"  aten.tanh.default at {line('call')}\n"
        "  say it with torch.view_as_real(x), a real tensor"
    )


def test_sizes_that_no_plan_can_compute() -> None:
    message = said(Computes(grown), X, dynamic_shapes=(({0: BATCH},),))
    assert message.startswith("a dimension of `output` is PowByNatural(2, ")
    assert message.endswith(
        "only + - * // % of the inputs' sizes can be computed\n"
        "  compute the size with these, or make the dimension fixed"
    )


def test_a_number_that_changes() -> None:
    dynamic = (({}, torch.export.Dim.DYNAMIC),)
    message = said(Computes(lambda x, n: x * n), X, 3, dynamic_shapes=dynamic)
    assert message.startswith(
        "the input `inputs_1` is a number that may change between calls\n  pass it as a "
    )


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            nn.Linear(4, 3, device="meta"),
            "the weight weight is on the meta device: it has no values\n"
            '  load the weights first, or name what has them: checkpoint="model.gguf", or a folder',
        ),
        (
            Holds(torch.ones(3, 4).to(torch.uint32)),
            "the weight weight is of torch.uint32 (torch.strided), which drystone does not know\n"
            "  convert it to a dense tensor of a plain element type",
        ),
    ],
)
def test_weights_that_are_none(model: nn.Module, expected: str) -> None:
    x = X.to("meta") if next(iter(model.state_dict().values())).is_meta else X
    assert said(model, x) == expected


def test_sparse_weights_of_other_elements() -> None:
    weight = torch.ones(3, 4).to(torch.complex32).to_sparse_csr()
    assert said(Holds(weight), torch.ones(4, 2).to(torch.complex32)) == (
        "the sparse tensor weight is of torch.complex32, which drystone does not know\n"
        "  convert it to a plain element type"
    )
