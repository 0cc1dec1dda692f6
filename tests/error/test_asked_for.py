"""What is said about options, calibration and models by name that do not fit together."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone import Budget, Options, Quantize, UserError, models, sparse
from drystone.ir import formats
from drystone.runtime import accuracy

QUIET = Options(progress=False)
X = torch.ones(3, 4)
CALLS = [(X,)]


def said(action: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        action()
    return str(caught.value)


def refused(**given: Any) -> str:
    return said(lambda: drystone.compile(nn.Linear(4, 3).eval(), X, options=QUIET, **given))


GIVE_CALLS = (
    "give calibration=[(x,), ..], the inputs of some calls (on the command line: --calibration calls.npz)"
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"quantize": "auto", "budget": Budget(error=-1), "calibration": CALLS},
            "Budget(error=-1) is no error\n  give a number such as 0.01",
        ),
        (
            {"quantize": "auto", "sparsify": "2:4", "budget": Budget(bits=4), "calibration": CALLS},
            'sparsify: quantize="auto" chooses formats of weights as they are, not of pruned ones\n'
            '  give sparsify="auto" without a level, which chooses zeros with the formats, or formats',
        ),
        (
            {"quantize": "int8", "calibration": [(X * torch.nan,)]},
            "calibration: the model computes NaN\n  leave out the calls that give it",
        ),
        (
            {"quantize": Quantize("w4", method="gptq")},
            'quantize: "auto", and methods but "nearest", need to see what weights are multiplied with\n'
            f'  {GIVE_CALLS}, or take a format with method="nearest"',
        ),
        (
            {"quantize": {"(": "int8"}},
            "quantize: '(' is no regular expression: missing ), unterminated subpattern at position 0\n"
            r'  give one that matches whole names of weights, such as "layers\..*\.weight"',
        ),
        (
            {"quantize": "q4k"},
            "quantize='q4k' names no format\n"
            '  did you mean "q4_k"? give "int8", "auto", an encoding, or one of ' + ", ".join(formats.TABLE),
        ),
        (
            {"options": Options(compute="bf61", progress=False)},
            "Options(compute='bf61') names no precision\n"
            '  did you mean "bf16"? give one of "f32", "bf16", "fp16"',
        ),
        (
            {"target": "cpu:arm"},
            'no target is called "cpu:arm"\n'
            '  did you mean "cpu:spr"? known targets: cpu, cpu:avx2, cpu:avx512, cpu:zen4, cpu:spr',
        ),
    ],
)
def test_what_does_not_fit(given: dict[str, Any], expected: str) -> None:
    options = {"options": QUIET, **given}
    assert said(lambda: drystone.compile(nn.Linear(4, 3).eval(), X, **options)) == expected


def test_calls_of_another_shape(tmp_path: Path) -> None:
    path = tmp_path / "calls.npz"
    np.savez(path, input=np.ones((5, 9, 9, 9), np.float32))
    assert refused(quantize="int8", calibration=path) == (
        f"{path} has arrays [5, 9, 9, 9], which are no calls of the model: it takes input: [3, 4]\n"
        "  write arrays of one call, or each with the same number of calls along a first axis"
    )


def test_an_error_is_measured_by_calls_on_machines_that_run_the_model() -> None:
    built: Any = SimpleNamespace(manifest=SimpleNamespace(required=("sse2", "no_such_unit")))
    assert said(lambda: accuracy.choose(lambda compute: built, 0.1, None, (X,), {})) == (
        "an error is measured by running the model, and this machine lacks no_such_unit\n"
        "  leave Budget(error=...) out and choose with Options(compute=...)"
    )
    assert said(lambda: accuracy.choose(lambda compute: built, 0.1, None, (), {})) == (
        "Budget(error=...) needs example inputs to measure the error on\n"
        "  give those of a call: compile(model, (x,), ..); an exported program may carry its own"
    )


def test_models_that_functions_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "given_models.py").write_text(
        "def net():\n    return {'model': None, 'example_inputs': (), 'quantize': 'int8'}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert said(lambda: models.loaded("given_models:net", tmp_path, quantize="w4")) == (
        "quantize is asked for, and given_models:net gives it too\n  leave one of the two out"
    )
    assert said(lambda: models.called("net.pt2", tmp_path)) == (
        "'net.pt2' is no function\n  name one as \"module:function\""
    )


def test_sparse_products_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "find_spec", lambda name: None)
    assert said(lambda: sparse.matmul(None, None)) == (
        "products of sparse matrices need scipy\n  pip install drystone[sparse]"
    )
