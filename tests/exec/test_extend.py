"""What is added to drystone from outside works like its own, in other processes too, and goes again."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import drystone
from drystone import UserError, doctor, extend, passes, registry, targets
from drystone.autotune.task import Task, code_version, tunables
from drystone.autotune.worker import Worker
from drystone.choosing import CANDIDATES
from drystone.codegen.families import FAMILIES
from drystone.codegen.families.dry_op import dry_op
from drystone.codegen.families.outlined import main_operation
from drystone.codegen.tile import TileBuilder, TileProgram, tile_program
from drystone.doctor import Finding
from drystone.errors import InternalError
from drystone.frontend import import_model
from drystone.frontend.convert import CONVERTERS
from drystone.ir import formats
from drystone.ir.context import new_context
from drystone.ir.dialect import Dry
from drystone.ir.encoding import Codes, Encoding
from drystone.ir.encoding.code import Numbers, code_of
from drystone.ir.interpreter import run as interpret
from drystone.ir.program import Program
from drystone.ir.verifier import verify
from drystone.reproducer import reproduce


class Model(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.ops.drystone_tests.doubled(x))


X = torch.linspace(-3, 3, 100)


@pytest.fixture
def extension() -> Iterator[Any]:
    """The module `tests.extension`, which adds `dry.doubled`."""
    with extend.scope():
        sys.modules.pop("tests.extension", None)
        yield importlib.import_module("tests.extension")


class Signs(Numbers):
    def table(self) -> Any:
        return np.array([-1.0, 1.0])


class Ruled(Numbers):
    rule = "steps"

    def table(self) -> Any:
        return np.arange(64.0)


@dataclass(frozen=True)
class Nothing:
    """Leaves a program as it is."""

    name: ClassVar[str] = "nothing"

    def run(self, program: Program) -> None:
        """Do not rewrite the program."""


@dataclass(frozen=True)
class Other(Nothing):
    """Another one."""

    name: ClassVar[str] = "other"


def test_an_operation_compiles_and_means_what_it_says(extension: Any) -> None:
    program = import_model(Model(), (X,), ctx=new_context())
    verify(program)
    expected = Model()(X).numpy()
    np.testing.assert_array_equal(interpret(program, [X.numpy()])[0], expected)
    fitted = drystone.compile(Model(), (X,), options=drystone.Options(threads=1))
    np.testing.assert_array_equal(fitted(X.numpy()), expected)
    assert [each.kind for each in fitted.manifest.kernels] == ["doubled", "map"]
    square = import_model(Model(), (X.reshape(10, 10),), ctx=new_context())
    with pytest.raises(InternalError, match=r"dry\.doubled.*x has rank 2, not 1"):
        verify(square)


def test_a_name_is_taken_once_and_free_again() -> None:
    before = [*Dry.operations], [*CONVERTERS], [*FAMILIES]
    with extend.scope():
        sys.modules.pop("tests.extension", None)
        extension = importlib.import_module("tests.extension")
        with pytest.raises(UserError, match=r"there is another operation called dry\.doubled"):
            extension.add()
        assert extension.Doubled in Dry.operations
        # Another class of that name, and another operation that is imported from the same operator.
        same, other = (
            type(Dry.Operation)("Same", (Dry.Operation,), {"__annotations__": {}}, name=name)
            for name in ("doubled", "tripled")
        )
        for cls, what in ((same, "operation called dry.doubled"), (other, "operator of torch called")):
            with pytest.raises(UserError, match=f"there is another {what}"):
                extension.add(cls=cls)
            assert cls not in Dry.operations
        assert "dry.tripled" not in FAMILIES
        fitted = drystone.compile(Model(), (X,))
        np.testing.assert_array_equal(fitted(X), Model()(X))
    assert ([*Dry.operations], [*CONVERTERS], [*FAMILIES]) == before
    with pytest.raises(UserError, match=r"drystone_tests\.doubled\.default at"):
        drystone.compile(Model(), (X,))
    with extend.scope():
        extension.add()
        np.testing.assert_array_equal(drystone.compile(Model(), (X,))(X), Model()(X))
    with pytest.raises(UserError, match="is no class of an operation"):
        extension.add(cls=Model)


def test_another_kernel_for_an_operation_is_asked_first(extension: Any) -> None:
    model, x = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.Softmax(1)), torch.randn(4, 16)
    asked = set()

    def no_form_of_mine(kernel: Any, target: Any) -> None:
        asked.add(main_operation(kernel).operation.name)

    def elsewhere(kernel: Any, target: Any) -> TileProgram:
        op = dry_op(kernel)

        def body(t: TileBuilder) -> None:
            t.grid([(4, 1)], lambda i: t.store(op.inits[0], [i, 0], t.full(0.125, (1, 8), "f32")))

        return tile_program("constant", op.tensors, body)

    with extend.scope():
        extend.kernel("dry.softmax", elsewhere)
        np.testing.assert_array_equal(drystone.compile(model, (x,))(x), np.full((4, 8), 0.125))
        extend.kernel("dry.softmax", no_form_of_mine)
        extend.kernel("dry.matmul", no_form_of_mine)
        np.testing.assert_array_equal(drystone.compile(model, (x,))(x), np.full((4, 8), 0.125))
        assert asked == {"dry.matmul", "dry.softmax"}
        target = targets.resolve("cpu")
        program = import_model(model, (torch.randn(40, 16),), ctx=new_context())
        passes.run(program, passes.pipeline(target))
        assert [each.task.label.split()[0] for each in tunables(program, target, 1)] == ["matmul"]
        with pytest.raises(UserError, match=r"no kernels are made of an operation called dry\.softmx"):
            extend.kernel("dry.softmx", elsewhere)
    torch.testing.assert_close(drystone.compile(model, (x,))(x), model(x))


def test_schedules_of_an_extension_are_measured_in_another_process(extension: Any) -> None:
    program = import_model(Model(), (X,), ctx=new_context())
    target = targets.resolve("cpu")
    passes.run(program, passes.pipeline(target))
    (found,) = tunables(program, target, 1)
    worker = Worker()
    try:
        outcomes = worker.measure(found.task, [{"width": 16}, {"width": 64}], 0.01)
    finally:
        worker.close()
    assert [outcome.status for outcome in outcomes] == ["ok", "ok"], outcomes


def test_measurements_are_kept_by_what_extensions_are_made_of(
    extension: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    task = Task("", ((1,),), (), False, targets.resolve("cpu"), 1)
    with_it, extended = task.signature(), code_version()
    with extend.scope():
        extend.insert(Nothing(), after="simplify")  # no kernel depends on it
        assert task.signature() == with_it
        extend.element(Signs("signs", 1, "ui8"))
        assert task.signature() != with_it
    changed = tmp_path / "extension.py"
    changed.write_bytes(Path(extension.__file__).read_bytes() + b"\n")
    monkeypatch.setattr(extension, "__file__", str(changed))
    assert code_version() != extended
    monkeypatch.undo()
    assert code_version() == extended


def test_an_extension_that_other_processes_cannot_have_is_no_surprise(extension: Any) -> None:
    assert registry.modules() == ("tests.extension",)
    with extend.scope():
        # As a script would.
        exec(
            'extend.element(Signs("signs", 1, "ui8"))',
            {"__name__": "__main__", "extend": extend, "Signs": Signs},
        )
        with pytest.raises(UserError, match="element code signs is added by the script that runs"):
            Worker().measure(Task("", ((1,),), (), False, targets.resolve("cpu"), 1), [{}], 0.01)
    with extend.scope():
        extend.element(Signs("signs", 1, "ui8"))  # in a function: importing this module does not
        with pytest.raises(UserError, match="has other extensions than this one") as caught:
            Worker().measure(Task("", ((1,),), (), False, targets.resolve("cpu"), 1), [{}], 0.01)
        assert "at the top of a module" in str(caught.value)


def test_installed_extensions_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(*modules: str) -> None:
        found = [EntryPoint(f"e{n}", each, registry.GROUP) for n, each in enumerate(modules)]
        monkeypatch.setattr(registry, "entry_points", lambda group: found if group == registry.GROUP else [])
        registry.load_installed.cache_clear()

    with extend.scope():
        installed("tests.extension")
        sys.modules.pop("tests.extension", None)
        np.testing.assert_array_equal(drystone.compile(Model(), (X,))(X), Model()(X))
    installed("tests.not_there")
    with pytest.raises(
        UserError, match=r"the extension tests\.not_there cannot be imported: ModuleNotFound"
    ) as caught:
        drystone.compile(Model(), (X,))
    assert Finding("extensions", False, str(caught.value).split("\n")[0]) in doctor.examine()
    monkeypatch.undo()
    registry.load_installed.cache_clear()


def test_faults_of_an_extension_show_again_where_it_is_loaded(
    extension: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    @dataclass(frozen=True)
    class Local(extension.Faulty):
        """One that no other process has."""

        name: ClassVar[str] = "local"

    for step in (extension.Faulty(), Local()):
        with extend.scope():
            extend.insert(step, after="simplify")
            with pytest.raises(InternalError, match=f"pass {step.name} failed: a fault of the extension"):
                drystone.compile(Model(), (X,))
    files = {path.read_text().split(maxsplit=3)[2]: path for path in tmp_path.glob("*.mlir")}
    outcome = reproduce(files["faulty"])
    assert outcome.code == 1 and "a fault of the extension" in str(outcome)
    with pytest.raises(UserError, match="the file leaves out a pass that was to run"):
        reproduce(files["local"])


def test_formats_and_codes_have_names_of_their_own() -> None:
    with extend.scope():
        extend.element(Signs("signs", 1, "ui8"))

        @extend.format(candidate=True)
        def signed() -> Encoding:
            return Codes("signs")

        assert formats.TABLE["signed"] is signed and "signed" in CANDIDATES
        assert code_of("signs").low == -1
        for name in ("signs", "int4", "int99", "floats", "f32", "i4"):
            with pytest.raises(UserError, match=f"there is another element code called {name}"):
                extend.element(Signs(name, 1, "ui8"))
        with pytest.raises(UserError, match="there is another format called signed"):
            extend.format()(signed)
    assert "signed" not in formats.TABLE and "signed" not in CANDIDATES
    with pytest.raises(InternalError, match="no numpy array holds elements of type signs"):
        code_of("signs")


def test_formats_that_cannot_be_are_refused() -> None:
    def auto() -> Encoding:
        return Codes("f32")

    def wide(bits: int) -> Encoding:
        return Codes(f"int{bits}")

    def none() -> Encoding:
        return None

    with pytest.raises(UserError, match="quantize='auto' is no format"):
        extend.format()(auto)
    with pytest.raises(UserError, match="the format wide is a candidate and needs to know bits"):
        extend.format(candidate=True)(wide)
    with pytest.raises(UserError, match="the format none makes None, which is no encoding"):
        extend.format()(none)
    with pytest.raises(UserError, match="the element code steps6 has rule 'steps', and there is no rule"):
        extend.element(Ruled("steps6", 6, "ui8"))
    with pytest.raises(UserError, match="the element code signs has rule '', and there is a rule"):
        extend.element(Signs("signs", 1, "ui8"), tiles=lambda t, code, top: top)


def test_passes_go_where_they_are_put() -> None:
    target = targets.resolve("cpu")

    def names() -> list[str]:
        return [each.name for each in passes.pipeline(target)]

    before = names()
    first, last = before.index("fuse-epilogue"), len(before) - before[::-1].index("fuse-epilogue") - 1
    assert first < last
    with extend.scope():
        extend.insert(Nothing(), after="fuse-epilogue")
        extend.insert(Other(), after="fuse-epilogue")
        assert names() == [*before[: last + 1], "nothing", "other", *before[last + 1 :]]
    with extend.scope():
        extend.insert(Nothing(), before="fuse-epilogue")
        extend.insert(Other(), after="nothing")
        assert names() == [*before[:first], "nothing", "other", *before[first:]]
        with pytest.raises(UserError, match="there is another pass called nothing"):
            extend.insert(Nothing(), after="simplify")
    with extend.scope():
        extend.insert(Nothing(), after="merge-rounding")
        assert names() == [*before, "nothing"]
        assert [each.name for each in passes.outlining()][-1] == "nothing"
    assert names() == before
    with pytest.raises(UserError, match="there is no pass called fuse-everything") as caught:
        extend.insert(Nothing(), after="fuse-everything")
    assert "simplify, " in str(caught.value)
    for places in ({}, {"after": "simplify", "before": "simplify"}):
        with pytest.raises(UserError, match="the pass nothing needs one place"):
            extend.insert(Nothing(), **places)
