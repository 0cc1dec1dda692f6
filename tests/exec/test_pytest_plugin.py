"""The fixture `artifact`, in projects of its own."""

import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone import building
from tests.exec.building import here

pytest_plugins = ["pytester"]

NETS = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Linear(8, 4).eval(), (torch.randn(2, 8),)
"""
#: The plugin, where it is not installed together with the package.
_GIVEN = (
    []
    if "drystone" in {each.name for each in entry_points(group="pytest11")}
    else ["-p", "drystone.pytest_plugin"]
)


def run(pytester: pytest.Pytester, tests: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(test_it=tests)
    without = [f"-pno:{name}" for name in ("cacheprovider", "hypothesispytest", "xdist")]
    return pytester.runpytest_subprocess(*without, *_GIVEN, *arguments)


def test_it_loads_nothing_before_it_is_used() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import drystone.pytest_plugin;"
        "print(sorted(name for name in set(sys.modules) - before if 'drystone' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    code = "import sys, drystone.testing; print({'torch', 'torch_mlir', 'click'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that nothing lists, whose second output is bf16, one that drystone.toml lists, and calls of
    both: before there is a pytester, which forgets the modules that are imported while it is there."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 4)

        def forward(self, *, x: torch.Tensor, scale: torch.Tensor) -> dict[str, torch.Tensor]:
            y = self.linear(x) * scale
            return {"y": y, "short": y.bfloat16(), "best": y.argmax(1)}

    folder = tmp_path_factory.mktemp("made")
    model, x, scale = Two().eval(), torch.randn(2, 8), torch.tensor(3.0)
    drystone.compile(model, kwargs={"x": x, "scale": scale}).save(folder / "model.dry")
    with torch.no_grad():
        arrays = {name: each.float().numpy() for name, each in model(x=x, scale=scale).items()}
        torch.manual_seed(0)
        np.savez(folder / "net.npz", y=nn.Linear(8, 4)(x).numpy(), x=x.numpy())
    np.savez(folder / "calls.npz", x=x.numpy(), scale=scale.numpy(), **arrays)
    (folder / "nets.py").write_text(NETS)
    (folder / "drystone.toml").write_text('[model.net]\nsource = "nets:net"\n')
    with pytest.MonkeyPatch.context() as patch:
        here(patch, folder)
        assert building.build(folder / "drystone.toml")[0].ok
    return folder


def test_matches_and_limits(made: Path, pytester: pytest.Pytester) -> None:
    shutil.copytree(made, pytester.path, dirs_exist_ok=True)
    result = run(
        pytester,
        """
        import numpy, pytest, sys

        expected = dict(numpy.load("calls.npz"))
        x, scale = expected.pop("x"), expected.pop("scale")
        CALL = {"x": x, "scale": scale}
        LIMITS = [({"ram": 10}, "ram"), ({"weights": "1B"}, "weights"), ({"latency": 1e-9}, "a call takes")]

        def test_kept(artifact):
            model = artifact("model.dry")
            model.assert_matches(CALL, expected, rtol=1e-2)
            model.assert_matches(CALL, lambda x, scale: expected, rtol=1e-2)
            model.assert_within(ram="1MB", weights="1MB", latency="10s")
            model.assert_within(error=1e-2, inputs=CALL, expected=expected)
            assert model(x=x, scale=scale)["y"].shape == (2, 4)
            assert artifact("model.dry") is model
            assert "torch" not in sys.modules

        def test_far(artifact):
            other = {**expected, "y": expected["y"] + 1}
            with pytest.raises(AssertionError, match="model.dry: output0"):
                artifact("model.dry").assert_matches(CALL, other)
            with pytest.raises(AssertionError, match="outputs differ by"):
                artifact("model.dry").assert_within(error=1e-2, inputs=CALL, expected=other)
            wrong = {**expected, "best": 3 - expected["best"]}
            with pytest.raises(AssertionError, match="model.dry: output2"):
                artifact("model.dry").assert_matches(CALL, wrong, rtol=1e-2)

        @pytest.mark.parametrize("limit, text", LIMITS)
        def test_limits(artifact, limit, text):
            with pytest.raises(AssertionError, match=text):
                artifact("model.dry").assert_within(**limit)

        def test_never_compared(artifact):
            with pytest.raises(Exception, match="give inputs and what is expected"):
                artifact("model.dry").assert_within(error=0.1)

        def test_missing(artifact):
            artifact("other.dry")
        """,
    )
    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(["*there is no file *other.dry"])


def test_what_is_listed_is_as_it_would_be_built(made: Path, pytester: pytest.Pytester) -> None:
    """Else it is built, and its tests fail where it cannot be."""
    shutil.copytree(made, pytester.path, dirs_exist_ok=True)
    tests = """
        import numpy
        call = numpy.load("net.npz")

        def test_it(artifact):
            artifact("build/net.dry").assert_matches(call["x"], call["y"])
            artifact("net").assert_within(error=1e-5)
    """
    run(pytester, tests, "--drystone-no-build").assert_outcomes(passed=1)
    run(pytester, tests).assert_outcomes(passed=1)
    toml = pytester.path / "drystone.toml"
    (pytester.path / "other.toml").write_text(toml.read_text() + "budget.latency = 1e-9\n")
    run(pytester, tests, "-o", "drystone=other.toml").stdout.fnmatch_lines(["*net.dry: a call takes *"])
    (pytester.path / "nets.py").write_text(NETS.replace("(0)", "(1)"))
    run(pytester, tests, "--drystone-no-build").stdout.fnmatch_lines(
        ["*net.dry: it is not as it would be built now: nets.py changed", "*see drystone build*--only net"]
    )
    (pytester.path / "torch.py").write_text("raise RuntimeError('not today')")
    run(pytester, tests).stdout.fnmatch_lines(["*net.dry: Traceback*", "*RuntimeError: not today"])
    toml.write_text('[model.other]\nsource = "nets:net"\n')
    run(pytester, tests.replace("build/net", "build/nte")).stdout.fnmatch_lines(
        ["*there is no file *build/nte.dry", "*drystone.toml lists other"]
    )
