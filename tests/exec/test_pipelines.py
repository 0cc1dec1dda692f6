"""docs/pipelines.md does what it says."""

import doctest
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/pipelines.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
_ALIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _tools(folder: Path) -> str:
    """A PATH with the commands that the page calls, of this tree."""
    folder.mkdir()
    installed = any(each.name == "drystone" for each in entry_points(group="pytest11"))
    plugin = "" if installed else " -p drystone.pytest_plugin"
    for name, command in (
        ("drystone", "-W ignore -m drystone.cli"),
        ("pytest", f"-m pytest -p no:cacheprovider --rootdir .{plugin}"),
    ):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        (folder / name).chmod(0o755)
    return os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])


def test_files_are_shown_as_they_are() -> None:
    shown = [text for kind, text in BLOCKS if kind in ("toml", "cmake")]
    files = ("examples/pipeline/drystone.toml", "examples/embedded/CMakeLists.txt")
    assert shown == [(ROOT / file).read_text(encoding="utf-8") for file in files]
    program = (ROOT / "examples/embedded/classify.c").read_text(encoding="utf-8")
    (lines,) = [text for kind, text in BLOCKS if kind == "c"]
    for line in lines.splitlines():
        assert line.partition(";")[0] in program


def test_commands_print_what_is_shown(tmp_path: Path) -> None:
    path = _tools(tmp_path / "tools")
    if shutil.which("cmake", path=path) is None:
        pytest.skip("there is no cmake: pip install cmake")
    ignored = shutil.ignore_patterns("build", "__pycache__")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignored)
    ran = 0
    # CMake finds the Python of this environment.
    environment = {**os.environ, "PATH": path, "COLUMNS": "120", "VIRTUAL_ENV": sys.prefix}
    environment.pop("PYTEST_ADDOPTS", None)
    for (kind, text), (after, shown) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if kind == "python":
            (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text)
        if kind != "sh":
            continue
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", text],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        alike = after == "text" and doctest.OutputChecker().check_output(shown, done.stdout, _ALIKE)
        assert alike, f"{text} prints\n{done.stdout}"
        ran += 1
    assert ran == 5
