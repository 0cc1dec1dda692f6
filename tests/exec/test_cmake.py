"""Models as libraries of CMake: linked, run, and made anew when they change."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

import drystone
from drystone.cmake import folder as package
from drystone.runtime.embed import embed
from tests.exec.counter import Counter

#: Where pip puts CMake is no matter of PATH.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
CMAKE = shutil.which("cmake", path=PATH)
GENERATORS = [each for each, tool in (("Unix Makefiles", "make"), ("Ninja", "ninja")) if shutil.which(tool)]
pytestmark = pytest.mark.skipif(CMAKE is None, reason="there is no cmake: pip install cmake")

LISTS = """
cmake_minimum_required(VERSION 3.21)
project(two LANGUAGES C)
find_package(drystone REQUIRED)
drystone_add_model(counter MODEL counter.dry)
drystone_add_model(scaled MODEL scaled.dry)
add_executable(two two.c)
target_link_libraries(two PRIVATE counter scaled)
"""
PROGRAM = """
#include <stdio.h>
#include "counter.h"
#include "scaled.h"

int main(void) {
    static _Alignas(64) float x[3] = {1, 2, 3}, sum[3], y[8 * 2] = {1, 2, 3, 4}, z[8 * 2];
    struct counter *counter = counter_open(2), *other = counter_open(1);
    struct scaled *scaled = scaled_open(1);
    if (counter == NULL || other == NULL || scaled == NULL) return 1;
    const void *xs[COUNTER_INPUTS] = {x}, *ys[SCALED_INPUTS] = {y};
    void *sums[COUNTER_OUTPUTS] = {sum}, *zs[SCALED_OUTPUTS] = {z};
    int64_t rows = 2;
    int32_t failed = 0;
    for (int i = 0; i < 3; i++) failed |= counter_call(counter, xs, sums, NULL);
    printf("%g %g %g\\n", sum[0], sum[1], sum[2]);
    failed |= counter_call(other, xs, sums, NULL);
    printf("%g %g %g\\n", sum[0], sum[1], sum[2]);
    counter_reset(counter);
    failed |= counter_call(counter, xs, sums, NULL);
    printf("%g %g %g\\n", sum[0], sum[1], sum[2]);
    failed |= scaled_call(scaled, ys, zs, &rows);
    printf("%g %g %g %g %g\\n", z[0], z[1], z[2], z[3], z[4]);
    const void *crooked[SCALED_INPUTS] = {(char *)y + 4};
    printf("%d\\n", scaled_call(scaled, crooked, zs, &rows));
    counter_close(counter);
    counter_close(other);
    scaled_close(scaled);
    return failed;
}
"""


class Scaled(nn.Module):
    """Multiplies every row."""

    def __init__(self, *factors: float) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.tensor(factors))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factors


def _scaled(*factors: float) -> drystone.Fitted:
    rows = torch.export.Dim("rows", min=1, max=8)
    return drystone.compile(Scaled(*factors), (torch.ones(4, 2),), dynamic_shapes=({0: rows},))


def run(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": PATH}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def configure(folder: Path, generator: str, lists: str) -> Sequence[str]:
    (folder / "CMakeLists.txt").write_text(lists)
    return (
        str(CMAKE),
        *("-S", ".", "-B", "out", "-G", generator),
        f"-Ddrystone_DIR={package()}",
        f"-DDRYSTONE_COMMAND={sys.executable};-m;drystone.cli",
        "-DCMAKE_C_FLAGS=-Wall -Wextra -Wpedantic -Werror",
    )


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    drystone.compile(Counter(), (torch.ones(3),)).save(folder / "counter.dry")
    _scaled(3.0, 5.0).save(folder / "scaled.dry")
    _scaled(2.0, 7.0).save(folder / "other.dry")
    return folder


@pytest.mark.parametrize("generator", GENERATORS)
def test_two_models_in_a_program(artifacts: Path, tmp_path: Path, generator: str) -> None:
    """Each with its own states; what an artifact changes is made anew, and nothing else."""
    for name in ("counter", "scaled"):
        shutil.copy(artifacts / f"{name}.dry", tmp_path)
    (tmp_path / "two.c").write_text(PROGRAM)
    run(tmp_path, *configure(tmp_path, generator, LISTS))
    build = (str(CMAKE), "--build", "out")
    run(tmp_path, *build)
    lines = ["6 12 18", "2 4 6", "2 4 6", "3 10 9 20 0", "-1"]
    assert run(tmp_path, "out/two").splitlines() == lines

    def made() -> dict[str, int]:
        names = ("two", "libcounter.a", "libscaled.a")
        return {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names}

    before = made()
    run(tmp_path, *build)
    assert made() == before
    shutil.copy(artifacts / "other.dry", tmp_path / "scaled.dry")
    run(tmp_path, *build)
    after = made()
    assert after["libcounter.a"] == before["libcounter.a"]
    assert after["libscaled.a"] > before["libscaled.a"] and after["two"] > before["two"]
    assert run(tmp_path, "out/two").splitlines() == [*lines[:3], "2 14 6 28 0", "-1"]
    # All of the model is in the program.
    (tmp_path / "out/counter.drystone/counter.so").rename(tmp_path / "counter.so")
    assert run(tmp_path, "out/two").splitlines()[0] == lines[0]
    (tmp_path / "counter.so").rename(tmp_path / "out/counter.drystone/counter.so")
    # A machine that lacks what the code needs is told so.
    source = tmp_path / "out/counter.drystone/counter.c"
    source.write_text(re.sub(r"required\[\] = {.*}", 'required[] = {"abacus", NULL}', source.read_text()))
    run(tmp_path, *build)
    done = subprocess.run(["out/two"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == "counter: the CPU lacks abacus\n"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("drystone_add_model(counter MODEL none.dry)", "there is no file"),
        ("drystone_add_model(3d MODEL none.dry)", "3d is no name in C"),
        ("drystone_add_model(counter)", "drystone_add_model\\(<target> MODEL <file>"),
        (
            "drystone_add_model(counter MODEL a.dry BULID x.toml)",
            "drystone_add_model\\(<target> MODEL <file>",
        ),
    ],
)
def test_mistakes_end_the_configuration(tmp_path: Path, call: str, message: str) -> None:
    head = (
        "cmake_minimum_required(VERSION 3.21)\nproject(none LANGUAGES C)\nfind_package(drystone REQUIRED)\n"
    )
    # What is looked for in the compiler was found by others.
    command = configure(tmp_path, GENERATORS[0], head + call + "\n")
    done = subprocess.run(
        [*command, "-DCMAKE_C_COMPILER_FORCED=1"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert re.search(message, " ".join(done.stderr.split())), done.stderr


def test_what_cannot_be_embedded(artifacts: Path, tmp_path: Path) -> None:
    with pytest.raises(drystone.UserError, match="'3d' is no name in C"):
        embed(artifacts / "scaled.dry", tmp_path, "3d")
    whole = (artifacts / "scaled.dry").read_bytes()
    (tmp_path / "cut.dry").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(drystone.UserError, match="is not a drystone artifact"):
        embed(tmp_path / "cut.dry", tmp_path, "cut")
    assert [each.name for each in tmp_path.iterdir()] == ["cut.dry"]
