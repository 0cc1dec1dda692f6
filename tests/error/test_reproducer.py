"""A fault of the compiler leaves a file that shows it."""

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone import codegen, mlir, passes, scheduling
from drystone.errors import InternalError, UserError
from drystone.passes import pipeline
from drystone.targets import resolve


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DRYSTONE_DUMP", raising=False)
    return tmp_path


def fault() -> str:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).eval()
    with pytest.raises(InternalError) as caught:
        drystone.compile(model, torch.ones(2, 4), options=drystone.Options(progress=False))
    return str(caught.value)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


class Careless:
    """A pass that stops in the middle of its work."""

    name: ClassVar[str] = "careless"

    def run(self, program: Any) -> None:
        for op in mlir.walk(program.module):
            if op.operation.name == "dry.matmul":
                op.operation.attributes["spoiled"] = mlir.ir.UnitAttr.get()
        raise IndexError("nothing there")


def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = pipeline(resolve("cpu"))
    monkeypatch.setattr(passes, "pipeline", lambda *given: (*chosen[:2], Careless(), *chosen[2:]))


def test_a_failing_pass_leaves_the_module_it_was_given(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    careless(monkeypatch)
    said = fault()
    path = only_file(here)
    assert "pass careless failed: nothing there" in said and path.name in said
    assert re.fullmatch(r"drystone-failure-[0-9a-f]{12}\.mlir", path.name)
    text = path.read_text()
    assert text.startswith("// pass careless failed: nothing there\n")
    assert "// stage: optimize\n" in text and "// target: CpuTarget(name=" in text
    following = pipeline(resolve("cpu"))[2].name
    assert f"// left to run: careless,{following}," in text
    for package in ("drystone", "torch", "torch-mlir", "numpy"):
        assert re.search(rf"// versions: .*\b{package} \d", text), package
    assert np.__version__ in text
    module = mlir.parse(text, mlir.context())
    assert "dry.matmul" in mlir.text(module) and "spoiled" not in mlir.text(module)


def test_the_file_names_no_folder_of_this_machine(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    careless(monkeypatch)
    fault()
    text = only_file(here).read_text()
    assert str(Path(drystone.__file__).parents[1]) not in text and str(Path.home()) not in text


def test_the_same_fault_leaves_the_same_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    careless(monkeypatch)
    first = fault()
    path = only_file(here)
    path.write_text("mine now")
    assert fault() == first
    assert only_file(here).read_text() == "mine now"


@pytest.mark.parametrize(
    ("owner", "name", "stage"),
    [(scheduling, "Allotter", "plan"), (codegen, "generate", "generate"), (codegen, "jit", "generate")],
)
def test_later_stages_leave_the_outlined_program(
    here: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, stage: str
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(owner, name, broken)
    assert f"{stage} failed: ZeroDivisionError: by zero" in fault()
    text = only_file(here).read_text()
    assert f"// stage: {stage}\n" in text
    module = mlir.parse(text, mlir.context())
    assert [op for op in mlir.walk(module) if op.operation.name == "func.call"]


def test_the_import_leaves_what_torch_mlir_was_given(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from drystone.frontend import lowering, unsupported

    monkeypatch.setattr(lowering, "_PIPELINE", "func.func(convert-torch-to-linalg)")
    monkeypatch.setattr(unsupported, "_lowers", lambda node, ctx: True)
    said = fault()
    text = only_file(here).read_text()
    assert "torch-mlir leaves" in said and "// stage: import\n" in text


def test_the_folder_for_dumps_is_preferred(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRYSTONE_DUMP", str(here / "dumps"))
    careless(monkeypatch)
    said = fault()
    (path,) = (here / "dumps").glob("drystone-failure-*.mlir")
    assert str(path) in said


def test_a_folder_that_takes_no_file_is_said_so(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "file").write_text("")
    monkeypatch.setenv("DRYSTONE_DUMP", str(here / "file"))
    monkeypatch.setattr(scheduling, "plan", lambda *args, **kwargs: None)
    monkeypatch.setattr(passes, "run", lambda *args, **kwargs: None)
    assert "could not be written" in fault()


def test_what_the_user_can_mend_leaves_nothing(here: Path) -> None:
    with pytest.raises(UserError):
        drystone.compile(
            nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)), torch.ones(2, 4), budget=drystone.Budget(ram=1)
        )
    assert not list(here.iterdir())
