"""A fault of the compiler leaves a file that shows it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import drystone
from drystone import mlir, passes, scheduling
from drystone.asking import quantizing
from drystone.asking.source import Source
from drystone.cli import main
from drystone.errors import InternalError, UserError
from drystone.ir.context import new_context
from drystone.passes import pipeline
from drystone.reproducer import arrays, files, reproduce
from drystone.reproducer.starts import Passing
from drystone.reproducer.stated import Stating, read
from drystone.targets import resolve
from tests.error import faults

QUIET = drystone.Options(progress=False)
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DRYSTONE_DUMP", raising=False)
    return tmp_path


def fault() -> str:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).eval()
    with pytest.raises(InternalError) as caught:
        drystone.compile(model, torch.ones(2, 4), options=QUIET)
    return str(caught.value)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    faults.in_a_pass(monkeypatch)


def test_a_failing_pass_leaves_the_module_it_was_given(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    careless(monkeypatch)
    said = fault()
    path = only_file(here)
    assert "pass fuse-concat failed: nothing there" in said and path.name in said
    assert f"drystone reproduce {path.name} runs up to it again" in said
    assert re.fullmatch(r"drystone-failure-[0-9a-f]{12}\.mlir", path.name)
    text = path.read_text()
    assert text.startswith("// pass fuse-concat failed: nothing there\n")
    assert "// stage: optimize\n" in text and "// target: CpuTarget(name=" in text
    names = [each.name for each in pipeline(resolve("cpu"))]
    assert f"// left to run: {', '.join(names[names.index('fuse-concat') :])}\n" in text
    for package in ("drystone", "torch", "torch-mlir", "numpy"):
        assert re.search(rf"// versions: .*\b{package} \d", text), package
    assert np.__version__ in text
    module = mlir.parse(text, new_context())
    assert "dry.matmul" in mlir.text(module) and "spoiled" not in mlir.text(module)


def test_the_file_names_no_folder_of_this_machine(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    careless(monkeypatch)
    fault()
    text = only_file(here).read_text()
    assert str(Path(drystone.__file__).parents[1]) not in text and str(Path.home()) not in text


@pytest.mark.parametrize("put", [faults.in_a_pass, faults.in_the_import])
def test_the_same_fault_leaves_the_same_file(
    here: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[pytest.MonkeyPatch], None]
) -> None:
    put(monkeypatch)
    first = fault()
    path = only_file(here)
    path.write_text("mine now")
    assert fault() == first
    assert only_file(here).read_text() == "mine now"


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file that each fault leaves."""
    folder, found = tmp_path_factory.mktemp("faults"), {}
    for name, put in faults.FAULTS.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DRYSTONE_DUMP", str(folder / name))
            put(patch)
            fault()
        (found[name],) = (folder / name).glob("drystone-failure-*.mlir")
    return found


def test_every_fault_shows_again_in_another_process(left: dict[str, Path]) -> None:
    given = [part for pair in left.items() for part in map(str, pair)]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.error.faults", *given],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.splitlines() == [f"1 {name}" for name in left], ran.stderr


@pytest.mark.parametrize("name", faults.FAULTS)
def test_a_fault_that_was_mended_is_gone(left: dict[str, Path], name: str) -> None:
    outcome = reproduce(left[name])
    assert (outcome.code, outcome.notes) == (0, ())
    assert str(outcome).startswith("the fault is gone: ")


@pytest.mark.parametrize("stage", ["schedule", "plan", "generate"])
def test_later_stages_leave_the_program_that_is_outlined(left: dict[str, Path], stage: str) -> None:
    names = {"schedule": "in_the_schedule", "plan": "in_the_plan", "generate": "in_a_kernel"}
    text = left[names[stage]].read_text()
    assert f"// stage: {stage}\n" in text
    module = mlir.parse(text, new_context())
    assert [op for op in mlir.walk(module) if op.operation.name == "dry.matmul"]


def test_another_fault_is_told_apart(left: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    faults.in_the_plan(monkeypatch)
    run = CliRunner().invoke(main, ["reproduce", str(left["in_a_pass"])])
    assert run.exit_code == 3
    assert "another fault: ZeroDivisionError at plans.py in _allotter, stage plan: by zero" in run.output
    assert (
        "the file has: IndexError at passes/pass_base.py in run, stage optimize: pass fuse-concat"
        in run.output
    )
    faults.in_a_pass(monkeypatch)
    run = CliRunner().invoke(main, ["reproduce", str(left["in_a_pass"])])
    assert run.exit_code == 1 and "Traceback" in run.output
    assert run.output.splitlines()[-1].startswith("the fault shows: IndexError at passes/pass_base.py in run")


def test_files_that_cannot_be_run(left: dict[str, Path], here: Path) -> None:
    def said(text: str) -> str:
        (here / "given.mlir").write_text(text)
        run = CliRunner().invoke(main, ["reproduce", "given.mlir"])
        assert run.exit_code == 2
        return run.output

    whole = left["in_the_plan"].read_text()
    assert "given.mlir holds nothing that can be run\n  give a drystone-failure-*.mlir" in said("module {}")
    cut = "\n".join(whole.splitlines()[:-3])
    assert "given.mlir is damaged, or another version of drystone wrote it: JSONDecodeError" in said(cut)
    assert "drystone.passes.gone.Gone, which this version of drystone does not have" in said(
        whole.replace("drystone.passes.patching.patch.Patch", "drystone.passes.gone.Gone")
    )
    assert "the file names os.system, which" in said(
        whole.replace("drystone.passes.patching.patch.Patch", "os.system")
    )
    assert "the file's module cannot be read" in said(whole.replace("dry.matmul", "dry.matmul("))
    older = whole.replace('"numpy": "', '"numpy": "0.')
    (here / "older.mlir").write_text(older)
    run = CliRunner().invoke(main, ["reproduce", "older.mlir"])
    assert run.exit_code == 0
    assert f"note: numpy is {np.__version__} here, it was 0.{np.__version__}" in run.output


def test_what_cannot_be_run_again_says_why(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Source, "imported", faults.broken)
    monkeypatch.setattr(Source, "exported", faults.broken)
    fault()
    text = only_file(here).read_text()
    assert "// it cannot be run again: ZeroDivisionError: by zero\n" in text and "//!" not in text
    run = CliRunner().invoke(main, ["reproduce", only_file(here).name])
    assert run.exit_code == 2 and "says of itself: it cannot be run again: ZeroDivisionError" in run.output


def test_large_weights_are_drawn_from_a_sample(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    model = nn.Linear(300, 200).eval()
    with torch.no_grad():
        model.weight.mul_(torch.rand(200, 300) < 0.5)
    faults.in_the_plan(monkeypatch)
    quantize = {"weight": drystone.Quantize("w4", method="nearest")}
    with pytest.raises(InternalError):
        drystone.compile(model, torch.ones(2, 300), quantize=quantize, options=QUIET)
    path = only_file(here)
    assert path.stat().st_size < 20_000
    start = files.opened(path).start
    assert isinstance(start, Passing)
    weights = start.program.weights
    assert all(np.array_equal(weights[key], model.bias.detach()) for key in weights if key == "bias")
    monkeypatch.undo()
    assert reproduce(path).code == 0


def test_arrays_come_back_alike() -> None:
    small = np.arange(12, dtype=np.int8).reshape(3, 4)
    np.testing.assert_array_equal(arrays.drawn(arrays.described(small)), small)
    rows = np.sort(RNG.integers(0, 5000, 700)).astype(np.int32)
    drawn = arrays.drawn(arrays.described(rows))
    assert drawn.dtype == rows.dtype and (np.diff(drawn) >= 0).all()
    assert (drawn[0], drawn[-1], drawn.shape) == (rows[0], rows[-1], rows.shape)
    large = np.where(RNG.random((80, 90)) < 0.75, 0, RNG.standard_normal((80, 90))).astype(np.float32)
    drawn = arrays.drawn(arrays.described(large))
    assert drawn.shape == large.shape and set(drawn.ravel()) <= set(large.ravel())
    assert 0.5 < (drawn == 0).mean() < 0.95
    np.testing.assert_array_equal(drawn, arrays.drawn(arrays.described(large)))


def test_options_of_every_kind_come_back() -> None:
    target = resolve("cpu:avx512")
    quantized = quantizing.quantization_of({"a": "int8", "b": "w4", "c": None}, "int8")
    for each in pipeline(target, "bf16", quantized):
        stating = Stating({"target": target})
        data = json.loads(json.dumps(stating.state(each)))
        assert read(data, {"target": target}) == each and not stating.left_out
    stating = Stating({})
    assert read(stating.state({"f": lambda: 0, "g": resolve}), {}) == {"f": None, "g": resolve}
    assert stating.left_out == [
        "tests.error.test_reproducer.test_options_of_every_kind_come_back.<locals>.<lambda>"
    ]


def test_dumps_can_be_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRYSTONE_DUMP", str(here / "dumps"))
    drystone.compile(nn.Sequential(nn.Linear(4, 3), nn.Tanh()).eval(), torch.ones(2, 4), options=QUIET)
    monkeypatch.delenv("DRYSTONE_DUMP")
    dumps = sorted((here / "dumps").iterdir())
    names = [each.name for each in pipeline(resolve("cpu"))]
    assert [dump.stem.partition("_")[2] for dump in dumps] == ["input", *names]
    for dump in (dumps[0], dumps[20], dumps[-1]):
        assert str(reproduce(dump)) == "nothing fails"
    faults.in_a_kernel(monkeypatch)
    assert reproduce(dumps[-1]).code == 1


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
