"""Saving, loading and calling, with code written by hand in C for the same interface the compiler emits."""

import dataclasses
import os
import subprocess
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from drystone.errors import UserError
from drystone.runtime import native
from drystone.runtime.fitted import Fitted, load
from drystone.runtime.manifest import KernelCall, KeyPasses, Leaf, Manifest

#: out[i] = in[i] * weight[i % 3] + state; the state counts the calls; a length (symbols[0]) of 7 fails.
SOURCE = """
#include <stdint.h>
#include <stdlib.h>
struct call { const float *const *weights; void *arena; const float *const *inputs; float *const *outputs;
              float *const *states; const int64_t *symbols; int64_t *profile; };
void *drystone_pool_create(int32_t threads, int32_t pinned) { return malloc(threads); }
void drystone_pool_destroy(void *pool) { free(pool); }
int32_t drystone_run(void *pool, const struct call *c) {
    if (c->symbols[0] == 7) return 1;
    for (int64_t i = 0; i < c->symbols[0]; i++)
        c->outputs[0][i] = c->inputs[0][i] * c->weights[0][i % 3] + c->states[0][0];
    c->states[0][0] += 1;
    if (c->profile) { c->profile[0] = 10; c->profile[1] = 30; }
    return 0;
}
"""

MANIFEST = Manifest(
    target="cpu:avx2",
    required=(),
    threads=2,
    inputs=(Leaf("x", "f32", ("n",)),),
    outputs=(Leaf("y", "f32", ("n",)),),
    states=(Leaf("count", "f32", (1,)),),
    initial=(1,),
    in_tree={"tuple": [{"tuple": ["*"]}, {"dict": {}}]},
    out_tree="*",
    symbols={"n": (1, 100)},
    weights=(Leaf("scale", "f32", (3,)), Leaf("count", "f32", (1,))),
    kernels=(KernelCall("k", "map", "model.py:3", 800, 100),),
    unfused=2400,
    assertions=("n is not 7",),
    attention=(KeyPasses("model.py:3", 3, 1),),
    arena=128,
    levels=(("ram", 0, 128),),
    plan={"order": ["k"], "homes": [], "bound": 128, "status": "optimal"},
)
WEIGHTS = [np.array([1, 2, 3], np.float32), np.array([5], np.float32)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("code")
    (folder / "model.c").write_text(SOURCE)
    subprocess.run(["cc", "-c", "-fPIC", "-o", folder / "model.o", folder / "model.c"], check=True)
    return (folder / "model.o").read_bytes()


@pytest.fixture
def saved(image: bytes, tmp_path: Path) -> Path:
    code = native.Code(0, 0, 0, None)
    return Fitted(MANIFEST, WEIGHTS, code, image).save(tmp_path / "model.dry")


def test_round_trip_and_state(saved: Path) -> None:
    fitted = load(saved)
    x = np.arange(4, dtype=np.float32)
    assert fitted(x).tolist() == [5, 7, 11, 8]
    assert fitted(x).tolist() == [6, 8, 12, 9]
    fitted.reset()
    assert fitted(x).tolist() == [5, 7, 11, 8]
    again = saved.with_name("again.dry")
    assert fitted.save(again).read_bytes() == saved.read_bytes()


def test_weights_are_safetensors_and_aligned(saved: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        archive.extract("weights.safetensors", tmp_path)
    with safe_open(tmp_path / "weights.safetensors", "np") as file:
        assert file.get_tensor("scale").tolist() == [1, 2, 3]
    assert all(array.ctypes.data % 64 == 0 for array in load(saved)._weights)


def test_calls_from_several_threads(saved: Path) -> None:
    fitted = load(saved)
    results: list[float] = []

    def work() -> None:
        for _ in range(50):
            results.append(float(fitted(np.zeros(1, np.float32))[0]))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(results) == [5.0 + i for i in range(200)]


def test_bad_calls_say_what_is_wrong(saved: Path) -> None:
    fitted = load(saved)
    with pytest.raises(UserError, match="input 'x' holds float64, the model takes f32"):
        fitted(np.zeros(3))
    with pytest.raises(UserError, match=r"input 'x' has the shape \[3, 1\], the model takes \[n\]"):
        fitted(np.zeros((3, 1), np.float32))
    with pytest.raises(UserError, match="dimension 0 is 101, declared was 1 <= n <= 100"):
        fitted(np.zeros(101, np.float32))
    with pytest.raises(UserError, match="the model's own check failed: n is not 7"):
        fitted(np.zeros(7, np.float32))
    with pytest.raises(UserError, match="the arena has 8 bytes"):
        fitted.call([np.zeros(3, np.float32)], arena=np.zeros(8, np.uint8))


def test_damaged_and_foreign_files(saved: Path, tmp_path: Path, image: bytes) -> None:
    with pytest.raises(UserError, match="there is no file"):
        load(tmp_path / "nothing.dry")
    (tmp_path / "text.dry").write_text("not a model")
    with pytest.raises(UserError, match="is not a drystone artifact, or it is damaged"):
        load(tmp_path / "text.dry")
    data = bytearray(saved.read_bytes())
    at = data.rindex(WEIGHTS[0].tobytes())
    data[at] ^= 1
    (tmp_path / "flipped.dry").write_bytes(data)
    with pytest.raises(UserError, match="is damaged: its contents do not match their hashes"):
        load(tmp_path / "flipped.dry")
    (tmp_path / "short.dry").write_bytes(saved.read_bytes()[:-40])
    with pytest.raises(UserError, match="is damaged"):
        load(tmp_path / "short.dry")
    foreign = dataclasses.replace(MANIFEST, required=("avx9000", "fpu"))
    path = Fitted(foreign, WEIGHTS, native.Code(0, 0, 0, None), image).save(tmp_path / "foreign.dry")
    with pytest.raises(UserError, match="needs CPU features this machine lacks: avx9000"):
        load(path)


def test_saving_without_a_linker(image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drystone.runtime.link.compiler", lambda: None)
    fitted = Fitted(MANIFEST, WEIGHTS, native.Code(0, 0, 0, None), image)
    with pytest.raises(UserError, match="saving needs a linker"):
        fitted.save(tmp_path / "model.dry")
    assert os.listdir(tmp_path) == []


def test_report_and_page(saved: Path, tmp_path: Path) -> None:
    report = load(saved).report(runs=3)
    assert report.rows[0].seconds == pytest.approx(20e-9)
    assert "model.py:3" in str(report)
    *_, traffic, attention = str(report).splitlines()
    assert traffic == "bytes moved: 0.0 MiB before fusion, 0.0 MiB after"
    assert attention == "attention at model.py:3: 3 passes over the keys as written, 1 as compiled"
    page = report.to_html(tmp_path / "report.html").read_text()
    assert "Memory over time" in page and "model.py:3" in page
