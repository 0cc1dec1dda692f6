"""The mistakes a new user is most likely to make, and the whole text they get: what, where, what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import drystone
from drystone import Budget, Options, UserError
from drystone.frontend.origin import shortened
from drystone.runtime import link

QUIET = Options(progress=False)


class Scorer(nn.Module):
    """Scores with a mask, and weights given by name."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(8, 32)
        self.norm = nn.BatchNorm1d(32)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, pair: list[torch.Tensor], *, mask: torch.Tensor) -> torch.Tensor:
        y = self.hidden(x) * pair[0] + pair[1]  # score
        return self.drop(self.norm(y)).softmax(-1) * mask  # end


class Batched(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.exp()


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({"first": Svd(), "second": Svd()})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner["first"](x) + self.inner["second"](x)


class Svd(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svd(x)[1]  # svd


X, PAIR, MASK = torch.ones(3, 8), [torch.ones(32), torch.ones(32)], torch.ones(3, 32)
BATCH = torch.export.Dim("batch", min=2, max=16)


def line(marker: str) -> str:
    lines = Path(__file__).read_text().splitlines()
    (number,) = [i for i, text in enumerate(lines, 1) if text.endswith(f"# {marker}")]
    return f"{shortened(__file__)}:{number}"


def message(action: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        action()
    return str(caught.value)


def refused(model: Any, *args: Any, **given: Any) -> str:
    return message(lambda: drystone.compile(model, *args, options=given.pop("options", QUIET), **given))


@pytest.fixture(scope="module")
def scorer() -> drystone.Fitted:
    return drystone.compile(Scorer().eval(), (X, PAIR), kwargs={"mask": MASK}, options=QUIET)


NEST = "  arguments nest as those that the model was compiled with"
CALL = "  it was compiled for model(x, [pair_0, pair_1], mask=mask)"


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        (
            (torch.ones(4, 8), PAIR),
            {"mask": MASK},
            "input 'x': dimension 0 is 4, the compiled model takes 3\n"
            "  compile again with these shapes, or declare the dimension in dynamic_shapes",
        ),
        (
            (torch.ones(8), PAIR),
            {"mask": MASK},
            "input 'x' has the shape [8], the model takes [3, 8]\n"
            "  reshape it before the call, or compile the model for such inputs",
        ),
        (
            (X.double(), PAIR),
            {"mask": MASK},
            "input 'x' holds float64, the model takes f32 (float32)\n"
            "  convert it before the call, or compile the model for this element type",
        ),
        (
            ("text", PAIR),
            {"mask": MASK},
            "input 'x' is a str, not a torch tensor or a numpy array\n"
            "  convert it first: torch.tensor(...) or numpy.asarray(...)",
        ),
        (
            (X.to_sparse(), PAIR),
            {"mask": MASK},
            "input 'x' is a tensor of layout torch.sparse_coo, the model takes dense ones\n"
            "  give it as tensor.to_dense()",
        ),
        ((X,), {"mask": MASK}, f"the model takes 2 positional arguments, not 1\n{CALL}"),
        ((X, PAIR), {}, f"the argument 'mask' is missing\n{CALL}"),
        ((X, PAIR), {"mask": MASK, "scale": X}, f"the model takes no argument named 'scale'\n{CALL}"),
        ((X, PAIR[0]), {"mask": MASK}, f"argument 1 must be a list of 2, not Tensor\n{NEST}"),
        ((X, PAIR[:1]), {"mask": MASK}, f"argument 1 must be a list of 2, not of 1\n{NEST}"),
    ],
)
def test_wrong_calls(scorer: drystone.Fitted, args: Any, kwargs: Any, expected: str) -> None:
    assert message(lambda: scorer(*args, **kwargs)) == expected


def test_an_operation_that_cannot_be_compiled() -> None:
    assert refused(Odd(), torch.ones(3, 3)) == (
        "the model uses an operation that drystone cannot compile:\n"
        f"  aten._linalg_svd.default at inner.first ({line('svd')}), inner.second ({line('svd')})\n"
        "  say it with other operations (docs/coverage.md lists those that compile)"
    )


def test_a_model_in_training_mode() -> None:
    assert refused(Scorer(), (X, PAIR), kwargs={"mask": MASK}) == (
        "the model is in training mode:\n"
        f"  norm ({line('end')}) changes its statistics with every call\n"
        f"  drop ({line('end')}) drops elements at random\n"
        "  call model.eval() before it is compiled or exported"
    )
    assert "rnn.py" in refused(nn.LSTM(8, 8, num_layers=2, dropout=0.5), X)
    exported = torch.export.export(nn.Sequential(nn.Dropout(0.1)), (X,))
    assert "the model is in training mode:\n  0 (torch/nn/" in refused(exported)


@pytest.mark.parametrize(
    "model",
    [nn.Linear(8, 2), nn.BatchNorm1d(8, track_running_stats=False), nn.Dropout(0), nn.LayerNorm(8)],
    ids=lambda model: type(model).__name__,
)
def test_layers_that_training_does_not_change_may_be_left_in_it(model: nn.Module) -> None:
    torch.testing.assert_close(drystone.compile(model, X, options=QUIET)(X), model(X), rtol=1e-5, atol=1e-5)


def test_a_budget_that_cannot_be_met() -> None:
    call: dict[str, Any] = {"kwargs": {"mask": MASK}}
    said = refused(Scorer().eval(), (X, PAIR), **call, budget=Budget(ram={"ram": 100}))
    assert said.startswith("the activations need 256 B, the budget is 100 B\n  the fullest step is ")
    assert "; this alone does not fit the budget:\n          128 B  norm (" in said
    assert "\n  the least budget this version can meet: ram=256 (" in said
    said = refused(Scorer().eval(), (X, PAIR), **call, budget=Budget(ram=100))
    # To have weights come and go would take more than all of them are.
    weights = 4 * (8 * 32 + 32)
    assert said.startswith(
        f"the model needs {(256 + weights) / 1024:.2f} KiB, the budget is 100 B\n  that is "
    )
    assert " is 256 B for activations, " in said and " for all weights; the fullest step is " in said
    assert f"\n  the least budget this version can meet: ram={256 + weights} (" in said


def test_a_budget_for_weights_that_cannot_be_met() -> None:
    assert refused(nn.Linear(8, 16, bias=False), X, budget=Budget(weights="0.25KB")) == (
        "the weights take 512 B, the budget for them is 256 B\n"
        "  the largest are:\n"
        "          512 B  weight.packed\n"
        "  the least budget this version can meet: weights=512"
    )


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(ram="lots"), '\'lots\' is not a number of bytes\n  write it as 262144, "256KB" or "8MB"'),
        (Budget(ram=-1), '-1 is not a number of bytes\n  write it as 262144, "256KB" or "8MB"'),
        (
            Budget(ram={"sram": "64KB"}),
            "the budget limits 'sram', but cpu has no such memory level\n  its levels are ram",
        ),
        (
            "64KB",
            "budget='64KB' is no drystone.Budget\n  give budget=drystone.Budget(ram=\"256KB\")",
        ),
    ],
)
def test_a_budget_that_is_none(budget: Any, expected: str) -> None:
    assert refused(Batched(), X, budget=budget) == expected


def test_a_checkpoint_that_is_none() -> None:
    expected = (
        'checkpoint=5 is no path\n  give checkpoint="model.gguf", a folder, or drystone.Checkpoint(path, '
    )
    assert refused(Batched(), X, checkpoint=5) == expected + "names={..})"


def test_an_unknown_target() -> None:
    said = refused(Batched(), X, target="gpu")
    assert said.startswith('no target is called "gpu"\n  did you mean "cpu"? known targets: cpu, cpu:')


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("missing.pt2", "there is no file missing.pt2\n  torch.export.save(program, path) writes one"),
        (Scorer, "cannot compile the class Scorer\n  give an instance: Scorer(...)"),
        (
            torch.relu,
            "cannot compile a builtin_function_or_method\n"
            "  give a torch.nn.Module, a torch.export.ExportedProgram or the path of a .pt2 file; "
            "a function can be the forward of a module",
        ),
    ],
)
def test_what_is_no_model(model: Any, expected: str) -> None:
    assert refused(model, X) == expected


def test_example_inputs_that_are_missing_or_named_wrongly() -> None:
    hint = "  give one call's arguments: compile(model, (first, second), kwargs={'name': third})"
    takes = "the example inputs are no call of Batched.forward(x: torch.Tensor) -> torch.Tensor: "
    assert refused(Batched()) == f"{takes}missing a required argument: 'x'\n{hint}"
    assert refused(Batched(), X, kwargs={"y": X}) == f"{takes}got an unexpected keyword argument 'y'\n{hint}"
    assert refused(Batched(), {"x": X}) == (
        "example_inputs is a dict\n"
        "  give a tuple with the arguments of one call of the model; named ones go in kwargs"
    )


def test_example_inputs_that_the_model_does_not_take() -> None:
    said = refused(Scorer().eval(), (torch.ones(3, 7), PAIR), kwargs={"mask": MASK})
    assert said.startswith("torch.export could not trace the model with these example inputs:\n")
    assert f"\n  at hidden ({line('score')})\n  see that model(*example_inputs, **kwargs) runs;" in said


def test_dynamic_dimensions() -> None:
    fitted = drystone.compile(Batched(), X, dynamic_shapes=({0: BATCH},), options=QUIET)
    assert message(lambda: fitted(torch.ones(17, 8))) == (
        "input 'x': dimension 0 is 17, declared was 2 <= batch <= 16\n"
        "  compile again with other bounds in dynamic_shapes"
    )
    assert refused(Batched(), X, dynamic_shapes=({0: torch.export.Dim("batch")},)) == (
        "the dynamic dimension `batch` of `x` has no upper bound\n"
        '  declare it as torch.export.Dim("batch", max=...)'
    )
    said = refused(Batched(), X, dynamic_shapes={"y": {0: BATCH}})
    assert "['x']" in said and "['y']" in said and "draft_export" not in said


def test_damaged_artifacts(scorer: drystone.Fitted, tmp_path: Path) -> None:
    path = scorer.save(tmp_path / "model.dry")
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    head = f"{path} is not a drystone artifact, or it is damaged: "
    hint = "\n  copy it anew, or compile the model again and save it: fitted.save(path)"
    assert message(lambda: drystone.load(path)) == f"{head}File is not a zip file{hint}"
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert str(path) in message(lambda: drystone.load(path))
    assert message(lambda: drystone.load(tmp_path / "no.dry")) == (
        f"there is no file {tmp_path / 'no.dry'}\n  fitted.save(path) writes one"
    )


def test_saving_without_a_linker(
    scorer: drystone.Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "compiler", lambda: None)
    assert message(lambda: scorer.save(tmp_path / "model.dry")) == (
        "saving needs a linker and this machine has no `cc`\n"
        "  install a C compiler (Debian: apt install gcc) or `pip install drystone[zig]`"
    )
    assert not list(tmp_path.iterdir())


def test_what_this_version_does_not_do() -> None:
    assert refused(Batched(), X, sparsify="2:4") == (
        "sparsify: '.*' matches no weight that can be pruned\n"
        "  no product or convolution reads a weight of the model as it is; left operands can be sparse"
    )
    assert refused(Batched(), X, sparsify="channels") == (
        "sparsify: what part of the channels are zeros?\n  give a level: drystone.Sparsify('channels', 0.5)"
    )
    assert refused(Batched(), X, sparsify=drystone.Sparsify("channels", 0.5)) == (
        "sparsify: '.*' matches no weight whose outputs can go\n"
        "  no product or convolution reads a weight of the model as it is"
    )
    assert refused(Batched(), X, quantize="w4") == (
        "quantize: '.*' matches no weight whose bits can be fewer\n"
        "  no product or convolution reads a weight of the model as it is; left operands can be sparse"
    )
    assert refused(Batched(), X, quantize="int5").startswith(
        "quantize='int5' names no format\n"
        '  did you mean "int8"? give "int8", "auto", an encoding, or one of '
    )
    assert refused(Batched(), X, caches="int2") == (
        "caches: attention reads no keys and values held as 'int2'\n"
        "  give 'int8', 'int4', 'kivi4', 'kivi2', 'k4v2', a drystone.Cache or Keep or Heads, "
        "or None for what stays"
    )
