"""The rules of the house: which stage may import which, how long files are, what imports cost."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from docs.pages import structure

PACKAGE = Path(__file__).parents[2] / "drystone"
FILES = sorted(PACKAGE.rglob("*.py"))
STAGES = ("frontend", "ir", "passes", "scheduling", "codegen", "targets", "autotune", "runtime")

#: What each stage may import besides itself and the modules at the top of the package.
ALLOWED = {
    "ir": set(),
    "targets": set(),
    "runtime": set(),
    "frontend": {"ir", "targets"},
    "passes": {"ir", "targets"},
    "scheduling": {"ir", "targets"},
    "codegen": {"ir", "targets"},
    # A measurement calls the code as the runtime does.
    "autotune": {"ir", "targets", "codegen", "runtime"},
}
#: Modules at the top that may import every stage; the other top modules may import none.
WHOLE = {
    "__init__",
    "asking",
    "backends",
    "building",
    "choosing",
    "compiler",
    "cli",
    "doctor",
    "extend",
    "manifests",
    "ops",
    "pieces",
    "plans",
    "reproducer",
    "selftest",
    "sparse",
    "testing",
}


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def _stages(path: Path) -> set[str]:
    parts = (name.split(".") for name in _imports(path) if name.startswith("drystone."))
    return {name[1] for name in parts if name[1] in STAGES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    stage = path.relative_to(PACKAGE).parts[0]
    if stage.removesuffix(".py") in WHOLE:
        return
    allowed = ALLOWED[stage] | {stage} if stage in ALLOWED else set()
    assert _stages(path) <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_bindings_and_environment_have_one_door(path: Path) -> None:
    name = str(path.relative_to(PACKAGE))
    imports = _imports(path)
    allowed = {
        "mlir.py": True,
        "ir/dialect.py": True,  # its annotations are the bindings' own classes
        "frontend/importer.py": True,  # torch-mlir's importer is no part of the bindings
    }
    touched = {module for module in imports if module.split(".")[0] == "torch_mlir"}
    assert not touched or allowed.get(name, False), touched
    attributes = {
        node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
    }
    assert not attributes & {"environ", "getenv"} or name == "env.py"


def _loaded(statements: Sequence[ast.stmt]) -> Iterator[str]:
    """The names that a module imports while it is itself imported."""
    for node in statements:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING":
            yield from _loaded([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _loaded([*node.body, *node.orelse, *node.finalbody])


def test_no_modules_need_each_other() -> None:
    """So that each can be imported first: what a package loads itself counts for whoever reads a part of it,
    but for its own modules."""

    def dotted(path: Path) -> str:
        return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")

    modules = {dotted(path): path for path in FILES}
    needs: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = [name.split(".") for name in _loaded(ast.parse(path.read_text()).body)]
        loaded = {".".join(name[:depth]) for name in names for depth in range(1, len(name) + 1)}
        own = {module, *(package for package in modules if module.startswith(f"{package}."))}
        needs[module] = loaded & modules.keys() - own
    graphlib.TopologicalSorter(needs).prepare()  # raises CycleError, which names them


def test_no_folders_need_each_other() -> None:
    """Imports within functions count too."""
    graphlib.TopologicalSorter(structure.needs()).prepare()


def test_files_and_functions_are_short() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in FILES)
    assert lengths[len(lengths) // 2] <= 150
    assert lengths[int(len(lengths) * 0.9)] <= 300
    assert lengths[-1] <= 600
    long = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name} {node.end_lineno - node.lineno + 1}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= 60
    ]
    assert not long, long


def test_no_check_is_switched_off() -> None:
    marks = ("# type:" + " ignore", "# no" + "qa", "# mypy" + ":")
    found = [f"{path.name}: {mark}" for path in FILES for mark in marks if mark in path.read_text()]
    assert not found, found


def test_importing_drystone_loads_nothing_heavy() -> None:
    code = (
        "import sys, drystone;"
        "heavy = {'torch', 'torch_mlir', 'ortools', 'xgboost', 'sqlalchemy', 'rich', 'jinja2', 'click'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
