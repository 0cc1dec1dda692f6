"""Code that runs elsewhere: here each call in a process of its own, which is given copies of the memory."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone import backends, targets
from drystone.errors import UserError
from drystone.runtime import native, runners
from drystone.runtime.given import Given
from drystone.runtime.manifest import Manifest
from tests.exec.scratchpad import scratchpad

#: What runs on the other side: a folder with the code, and a file for each part of memory.
CHILD = """
import sys
from pathlib import Path
import numpy as np
from drystone.runtime import native

folder = Path(sys.argv[1])
assert "torch" not in sys.modules
held = np.load(folder / "call.npz")
parts = {
    part: [held[f"{part}{i}"] for i in range(sum(name.startswith(part) for name in held))]
    for part in ("input", "output", "state", "weight", "arena")
}
tables = [native.pointers(parts[part]) for part in ("weight", "input", "output", "state")]
call = native.Call(tables[0], parts["arena"][0].ctypes.data, *tables[1:], native.integers(held["symbols"]))
status = native.from_library((folder / "code").read_bytes()).call(None, call)
written = {f"{part}{i}": each for part in ("output", "state") for i, each in enumerate(parts[part])}
np.savez(folder / "done.npz", status=status, **written)
"""


@dataclass(frozen=True)
class Child:
    """Code that is run by a child process."""

    image: bytes
    manifest: Manifest
    folder: Path

    def call(self, pool: int | None, call: native.Call) -> int:
        given = Given.of(self.manifest, call)
        (self.folder / "code").write_bytes(self.image)
        named = {"input": given.inputs, "output": given.outputs, "state": given.states}
        named |= {"weight": given.weights, "arena": (given.arena,)}
        held = {f"{part}{i}": each for part, arrays in named.items() for i, each in enumerate(arrays)}
        np.savez(self.folder / "call.npz", symbols=np.array(given.symbols, np.int64), **held)
        subprocess.run([sys.executable, "-c", CHILD, self.folder], check=True)
        done = np.load(self.folder / "done.npz")
        for part, arrays in (("output", given.outputs), ("state", given.states)):
            for number, each in enumerate(arrays):
                each[...] = done[f"{part}{number}"]
        return int(done["status"])


@pytest.fixture
def away(tmp_path: Path) -> Iterator[str]:
    """A target whose code runs in child processes."""
    with scratchpad() as name:
        backend = backends.BACKENDS[targets.resolve(name).backend]
        runners.register(runners.Runner("child", "model.away", bytes, lambda i, m: Child(i, m, tmp_path)))
        backends.register(replace(backend, name="away", runner="child"))
        targets.register(replace(targets.resolve(name), name="away", backend="away"))
        yield "away"


class Sums(nn.Module):
    """What all calls had, summed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)
        self.register_buffer("total", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.total.add_(self.layer(x).sum(0))
        return self.total * 2, x + 1


def test_models_run_elsewhere(away: str, tmp_path: Path) -> None:
    model, rows = Sums().eval(), torch.export.Dim("rows", min=1, max=9)
    example = torch.rand(3, 6)
    path = tmp_path / "model.dry"
    drystone.compile(model, example, target=away, dynamic_shapes=({0: rows},)).save(path)
    names = zipfile.ZipFile(path).namelist()
    assert "model.away" in names and "model.so" not in names
    loaded = drystone.load(path)
    assert loaded.manifest.runner == "child"
    for count in (2, 9):
        x = torch.rand(count, 6)
        for got, want in zip(loaded.call((x,), threads=3), model(x), strict=True):
            torch.testing.assert_close(got, want)


def test_an_artifact_without_its_runner_says_so(away: str, tmp_path: Path) -> None:
    fitted = drystone.compile(nn.Linear(3, 2).eval(), torch.rand(1, 3), target=away)
    path = fitted.save(tmp_path / "model.dry")
    runners.RUNNERS.drop("child")
    try:
        with pytest.raises(UserError, match="the code is run by 'child', which is not there"):
            drystone.load(path)
    finally:
        runners.RUNNERS.add("child", runners.NATIVE)
