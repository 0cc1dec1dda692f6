"""What is said about files: those that cannot be read, are damaged or foreign, and those that cannot be
written."""

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import drystone
from drystone import Options, UserError
from drystone.cli import main
from drystone.runtime import link, native
from drystone.runtime.manifest import Manifest
from drystone.scheduling.mlsys import read_problem, read_solution

X = torch.ones(2, 4)


@pytest.fixture(scope="module")
def fitted() -> drystone.Fitted:
    return drystone.compile(nn.Linear(4, 3).eval(), X, options=Options(progress=False))


@pytest.fixture
def here(fitted: drystone.Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with an artifact and a few files that are none."""
    monkeypatch.chdir(tmp_path)
    fitted.save("model.dry")
    Path("text.txt").write_text("text")
    Path("bytes.json").write_bytes(b"\xff\xfe\x00")
    np.savez("x.npz", input=X.numpy())
    whole = bytearray(Path("x.npz").read_bytes())
    Path("cut.npz").write_bytes(whole[: len(whole) // 2])
    whole[whole.index(X.numpy().tobytes()) + 3] ^= 1
    Path("flipped.npz").write_bytes(whole)
    np.savez("other.npz", mask=X.numpy())
    np.savez("wide.npz", input=np.ones((3, 4), np.float32))
    np.savez("double.npz", input=np.ones((2, 4)))
    return tmp_path


def said(action: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        action()
    return str(caught.value)


PLACE = "  give a place in a folder that is there, may be written to and has room"
SAVEZ = "  write it with numpy.savez, by input name"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("run none.dry", "there is no file none.dry\n  fitted.save(path) writes one"),
        ("run model.dry none.npz", "cannot read none.npz: No such file or directory\n  check the path"),
        ("run model.dry text.txt", f"text.txt is not an .npz of arrays, or it is damaged\n{SAVEZ}"),
        ("run model.dry cut.npz", f"cut.npz is not an .npz of arrays, or it is damaged\n{SAVEZ}"),
        ("run model.dry flipped.npz", f"flipped.npz is not an .npz of arrays, or it is damaged\n{SAVEZ}"),
        ("run model.dry other.npz", "other.npz lacks the inputs ['input']\n  it holds ['mask']"),
        (
            "run model.dry wide.npz",
            "input 'input': dimension 0 is 3, the compiled model takes 2\n"
            "  compile again with these shapes, or declare the dimension in dynamic_shapes",
        ),
        (
            "run model.dry double.npz",
            "input 'input' holds float64, the model takes f32 (float32)\n"
            "  convert it before the call, or compile the model for this element type",
        ),
        ("run model.dry -o none/y.npz", f"cannot write none/y.npz: No such file or directory\n{PLACE}"),
        ("run model.dry -o text.txt/y.npz", f"cannot write text.txt/y.npz: Not a directory\n{PLACE}"),
        ("run model.dry -o /dev/full", f"cannot write /dev/full: No space left on device\n{PLACE}"),
        ("unpack model.dry text.txt", f"cannot write text.txt: File exists\n{PLACE}"),
        ("unpack model.dry .", None),
        ("unpack model.dry .", "manifest.json is already there\n  name another folder"),
        ("plan none.json", "cannot read none.json: No such file or directory\n  check the path"),
        (
            "plan bytes.json",
            "cannot read bytes.json: it is no UTF-8 text (invalid start byte)\n  give a file of text",
        ),
        (
            "plan text.txt",
            "not JSON: Expecting value: line 1 column 1 (char 0)\n  docs/planning.md shows a problem",
        ),
        ("mlsys text.txt", "text.txt is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("place text.txt", "the memory has no capacity\n  give --capacity BYTES, --minimize or both"),
        ("reproduce none.mlir", "cannot read none.mlir: No such file or directory\n  check the path"),
        (
            "compile text.txt -o y.dry",
            "text.txt is not a program that torch.export.save has written:\nFile is not a zip file\n"
            "  torch.export.save(torch.export.export(model, inputs), path) writes one; what torch.save "
            "wrote, weights alone or a module, is loaded and exported first",
        ),
    ],
)
def test_commands(here: Path, command: str, expected: str | None) -> None:
    if "manifest.json" in (expected or ""):
        (here / "manifest.json").touch()
    ran = CliRunner().invoke(main, command.split())
    if expected is None:
        assert ran.exit_code == 0, ran.output
    else:
        assert (ran.exit_code, ran.stderr) == (2, f"error: {expected}\n")


def test_artifacts_are_not_written_over_what_is_no_file(fitted: drystone.Fitted, here: Path) -> None:
    assert said(lambda: fitted.save("/dev/full")) == (
        "/dev/full is there, and no file\n  name a file to write, such as model.dry"
    )
    assert said(lambda: fitted.save(here)).startswith(f"{here} is there, and no file")
    assert (
        said(lambda: fitted.save("text.txt/y.dry"))
        == f"cannot write text.txt/y.dry: Not a directory\n{PLACE}"
    )
    assert said(lambda: fitted.report().to_html("none/y.html")).startswith(
        "cannot write none/y.html: No such"
    )


def test_artifacts_of_other_versions_and_machines(fitted: drystone.Fitted, here: Path) -> None:
    def written(**changes: object) -> str:
        with zipfile.ZipFile("model.dry") as old, zipfile.ZipFile("other.dry", "w") as new:
            manifest = dataclasses.replace(Manifest.from_json(old.read("manifest.json").decode()), **changes)
            for name in old.namelist():
                new.writestr(name, manifest.to_json() if name == "manifest.json" else old.read(name))
        return "other.dry"

    held = fitted.manifest.format
    assert said(lambda: drystone.load(written(format=held + 1))) == (
        f"other.dry has format {held + 1}, this drystone reads {held}\n"
        "  compile the model again, or use the drystone version that wrote it"
    )
    assert said(lambda: drystone.load(written(required=("avx2", "amx_later")))) == (
        f"other.dry was compiled for {fitted.manifest.target} and needs CPU features this machine lacks: "
        "amx_later\n  compile it here, or for a target this machine has (see `drystone targets`)"
    )


def test_code_that_the_loader_or_linker_refuses(
    fitted: drystone.Fitted, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = said(lambda: native.from_library(b"no code"))
    assert message.startswith("the artifact's code could not be loaded: ")
    assert message.endswith("\n  it was built for another system; build it again here")
    monkeypatch.setattr(link, "compiler", lambda: ["false"])
    assert said(lambda: fitted.save("y.dry")) == (
        "false could not link the model:\n\n"
        "  see that it links C programs here: it needs a C library; `pip install drystone[zig]` has its own"
    )


def test_contest_files_that_are_none(here: Path) -> None:
    Path("tile.json").write_text(
        '{"subgraphs": [[0]], "granularities": [[1, 2]], "tensors_to_retain": [[]], '
        '"subgraph_latencies": [1]}'
    )
    assert said(lambda: read_solution(Path("tile.json"))) == (
        "granularities[0] is [1, 2], not three positive numbers\n  at tile.json"
    )
    assert said(lambda: read_problem(Path("tile.json"))).endswith(
        "native_granularity missing\n  at tile.json"
    )
