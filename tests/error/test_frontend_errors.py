"""What the frontend says about models and inputs it cannot take."""

from pathlib import Path

import pytest
import torch
from torch import nn

from drystone.errors import UserError
from drystone.frontend import import_model
from drystone.frontend.origin import shortened
from drystone.ir.context import new_context


def refused(model: object, *inputs: object, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        import_model(model, tuple(inputs), ctx=new_context(), **options)
    return str(caught.value)


def line(marker: str) -> str:
    """This file's line that holds the marker, as errors give it."""
    for number, source in enumerate(Path(__file__).read_text().splitlines(), 1):
        if source.endswith(f"# {marker}"):
            return f"{shortened(__file__)}:{number}"
    raise AssertionError(marker)


class Several(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.linalg.svd(x)[1]  # first
        b = torch.linalg.eigvalsh(x)  # second
        x = x.relu().exp()
        return torch.linalg.svd(x)[1] + a + b.sum()  # third


def test_one_message_names_every_unsupported_operation_with_its_lines() -> None:
    message = refused(Several(), torch.randn(3, 3))
    assert "svd" in message and "eigh" in message
    assert line("first") in message and line("second") in message and line("third") in message
    assert "relu" not in message and "exp" not in message
    assert message.count("\n") == 3  # the head, an operation a line, the way out


def test_drawing_random_numbers_suggests_eval() -> None:
    message = refused(nn.Dropout(0.5), torch.randn(3))
    assert "model.eval()" in message


def test_a_branch_on_values_is_torchs_to_explain_at_the_models_line() -> None:
    class Branch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.sum() > 0:  # branch
                return x
            return -x

    message = refused(Branch(), torch.randn(3))
    assert "torch.export" in message and line("branch") in message and "torch.where" in message


def test_example_inputs_that_do_not_fit_are_said_to() -> None:
    message = refused(nn.Linear(4, 2), torch.randn(3, 5))
    assert "example inputs" in message and "same reduction dim" in message
    with pytest.raises(UserError, match="example_inputs is a dict"):
        import_model(nn.ReLU(), {"x": torch.randn(3)}, ctx=new_context())


def test_what_is_no_model() -> None:
    assert "cannot compile a function" in refused(lambda x: x)
    assert "there is no file" in refused("nowhere.pt2")


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    path = tmp_path / "noise.pt2"
    path.write_bytes(b"no zip")
    assert "not a program" in refused(path)


def test_sizes_that_depend_on_data_are_named() -> None:
    class Pick(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nonzero(x)  # pick

    message = refused(Pick(), torch.randn(3))
    assert "depends on data" in message and "nonzero" in message and line("pick") in message


def test_an_unbounded_dimension_asks_for_a_bound() -> None:
    message = refused(nn.ReLU(), torch.randn(3, 2), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert 'torch.export.Dim("batch", max=...)' in message


def test_changing_an_input_in_place_is_refused() -> None:
    class Change(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x.add_(1)  # change
            return x * 2

    message = refused(Change(), torch.randn(3))
    assert "`x`" in message and line("change") in message


def test_elements_drystone_does_not_know() -> None:
    message = refused(nn.Flatten(), torch.zeros(2, 3, dtype=torch.uint16))
    assert "uint16" in message


def test_keys_that_are_no_strings() -> None:
    class Keys(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[int, torch.Tensor]:
            return {0: x + 1}

    assert "no strings" in refused(Keys(), torch.randn(3))
