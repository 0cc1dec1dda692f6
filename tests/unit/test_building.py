"""drystone.toml as it is read, what has changed, and processes within cores and memory."""

import importlib.metadata
import os
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import drystone
from drystone.building import children, content, project, reading, results, settings
from drystone.building.children import Task
from drystone.building.order import Answer, Order

HEAD = '[model.net]\nsource = "nets:net"\n'


def read(folder: Path, text: str) -> project.Project:
    (folder / "drystone.toml").write_text(text)
    return project.read(folder / "drystone.toml")


def test_every_variant_for_every_target(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        [build]
        output = "out"
        [defaults]
        targets = ["cpu", "cpu:avx2"]
        budget = { ram = "1MB", weights = "2MB" }
        [model.net]
        source = "nets:net"
        budget.weights = "3MB"
        [model.net.variants.plain]
        [model.net.variants.small]
        targets = "cpu"
        budget.error = 0.1
        quantize = ["a.*=w8", { names = "b.*", format = "w4", group = 64 }, "none"]
        sparsify = 0.9
        skip = { level = 0.7, per = "prompt" }
        caches = { keys = { bits = 2, by = "channel", group = 16 }, values = { bits = 2 }, window = 32 }
        tune = { trials = 5 }
        [model.other]
        source = "nets:other"
        output = "{model}/{target}.dry"
        """,
    )
    made = [(each.name, str(each.output.relative_to(tmp_path))) for each in found.entries]
    assert made == [
        ("net/plain@cpu", "out/net-plain-cpu.dry"),
        ("net/plain@cpu:avx2", "out/net-plain-cpu-avx2.dry"),
        ("net/small", "out/net-small.dry"),
        ("other@cpu", "other/cpu.dry"),
        ("other@cpu:avx2", "other/cpu-avx2.dry"),
    ]
    small = found.entries[2]
    asked = settings.arguments(small.settings, found.root, small.where)
    assert asked["budget"] == drystone.Budget(ram="1MB", weights="3MB", error=0.1)
    assert asked["quantize"] == {"a.*": "w8", "b.*": drystone.Quantize("w4", group=64), ".*": None}
    assert asked["sparsify"] == drystone.Sparsify(None, 0.9)
    assert asked["skip"] == drystone.Skip(0.7, per="prompt")
    assert asked["caches"] == drystone.Cache(
        drystone.Coded(2, by="channel", group=16), drystone.Coded(2), window=32
    )
    assert asked["tune"] == drystone.Tune(minutes=None, trials=5)
    assert small.settings.allowed is None and found.entries[0].settings.allowed == 1e-3
    assert [each.name for each in found.only(["net", str(tmp_path / "other/cpu.dry")])] == [
        name for name, _ in made[:4]
    ]
    assert [each.name for each in found.only(["*@cpu:avx2"])] == [made[1][0], made[4][0]]
    with pytest.raises(drystone.UserError, match=r'no model "nte"(?s:.*)did you mean "net"'):
        found.only(["nte"])


@pytest.mark.parametrize(
    ("text", "what", "where", "hint"),
    [
        ("[model.net\n", "line 1", "", ""),
        ("", "names no models", "", "[model.NAME]"),
        ("[modle.net]\n", 'no table "modle"', "drystone.toml", 'did you mean "model"?'),
        ("[model.net]\n", "source is missing", "model.net", "source = .."),
        ("[model]\nnet = 3\n", "3 is no table", "model.net", "[model.net]"),
        (HEAD + "quantise = 3\n", 'no key "quantise"', "model.net", 'did you mean "quantize"?'),
        (HEAD + "budget.rma = 3\n", 'no key "rma"', "model.net.budget", 'did you mean "ram"?'),
        (HEAD + "budget.ram = true\n", "True is not a whole number or text or a table", "net.budget.ram", ""),
        (HEAD + "budget.ram = '3 apples'\n", "not a number of bytes", "net.budget.ram", '"8MB"'),
        (HEAD + "budget.latency = '2 weeks'\n", "is no time", "net.budget.latency", '"2ms"'),
        (HEAD + "tolerance = 'some'\n", "'some' is not a number", "net.tolerance", ""),
        (HEAD + "depends = [3]\n", "3 is not text", "net.depends[0]", ""),
        (HEAD + "quantize = [{ formt = 'w4' }]\n", 'no key "formt"', "net.quantize[0]", '"format"'),
        (HEAD + "quantize = [true]\n", "neither text nor a table", "net.quantize[0]", ""),
        (HEAD + "skip = { at = 'gate' }\n", "level is missing", "net.skip", ""),
        (HEAD + "caches = { keys = { bits = 3 }, values = {} }\n", "2, 4 or 8 bits", "net.caches.keys", ""),
        (HEAD + "tune = { trials = 0 }\n", "a budget is above 0", "net.tune", ""),
        (HEAD + "targets = 'toaster'\n", 'no target is called "toaster"', "net.targets", ""),
        (HEAD + "output = '{name}.dry'\n", "is no path", "net.output", "{variant}"),
        (HEAD + "calibration = 'cals.npz'\n", "there is no file", "net.calibration", '"calls.npz"'),
        (HEAD + "variants.a.variants = {}\n", "variants have no variants", "net.variants.a", ""),
        ("[build]\ncores = 0\n" + HEAD, "0 builds nothing", "build.cores", ""),
        ("[build]\ncoers = 1\n" + HEAD, 'no key "coers"', "build", '"cores"'),
        (HEAD + "output='a.dry'\n[model.b]\nsource='b:b'\noutput='a.dry'\n", "would both be", "model.b", ""),
        (HEAD + "targets=['cpu','cpu:avx2']\noutput='{model}.dry'\n", "would both be", "net", "{target}"),
    ],
)
def test_mistakes_say_where_they_are(tmp_path: Path, text: str, what: str, where: str, hint: str) -> None:
    (tmp_path / "calls.npz").touch()
    with pytest.raises(drystone.UserError) as raised:
        read(tmp_path, text)
    error = raised.value
    assert what in error.what and where in str(error.where or "") and hint in (error.hint or ""), str(error)


def test_what_changed_is_said(tmp_path: Path) -> None:
    """Hashes of contents: a file that is written anew as it was has not changed."""
    (tmp_path / "calls.npz").write_bytes(b"calls")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/0.bin").write_bytes(b"0")

    def ingredients(text: str) -> dict[str, str]:
        found = read(tmp_path, HEAD + text)
        return content.ingredients(found.entries[0], found, ["nets.py"], content.Files({}), "drystone 1")

    (tmp_path / "nets.py").write_text("a")
    given = "calibration = 'calls.npz'\nquantize = 'w4'\ndepends = 'weights/*.bin'\n"
    before = ingredients(given)
    (tmp_path / "nets.py").write_text("a")
    assert content.changes(before, ingredients(given + "tolerance = 3\nmemory = '1GB'\noutput='x'\n")) == []
    assert content.changes(before, ingredients(given + "budget = { latency = '1s' }\n")) == []
    (tmp_path / "calls.npz").write_bytes(b"others")
    (tmp_path / "weights/1.bin").write_bytes(b"1")
    (tmp_path / "nets.py").unlink()
    now = ingredients(given.replace("w4", "w8") + "compute = 'bf16'\ntargets = 'cpu:avx2'\n")
    assert sorted(content.changes(before, now)) == [
        "calls.npz changed",
        "compute is new",
        "nets.py is gone",
        "quantize changed",
        "the target cpu is gone",
        "the target cpu:avx2 is new",
        "weights/1.bin is new",
    ]
    with pytest.raises(drystone.UserError, match=r"no file is called \*\.bin"):
        ingredients("depends = '*.bin'\n")


def test_files_that_are_read_are_seen(tmp_path: Path) -> None:
    """By Python, or by others through mappings; none that is written, or belongs to what is installed."""
    import safetensors.numpy
    from safetensors import safe_open

    for name in ("read.txt", "both.txt"):
        (tmp_path / name).write_text("some")
    safetensors.numpy.save_file({"x": np.ones(3)}, tmp_path / "weights.safetensors")
    (tmp_path / "readmod.py").write_text("from readother import X\n")
    (tmp_path / "readother.py").write_text("X = open('read.txt').read()\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.syspath_prepend(tmp_path)
        with reading.watched(tmp_path) as found:
            import_module("readmod")
            Path("written.txt").write_text("some")
            with open("both.txt", "r+") as file:
                file.read()
            importlib.metadata.version("pytest")
            held = safe_open("weights.safetensors", "np")
        open("both.txt").close()
    names = ("read.txt", "readmod.py", "readother.py", "weights.safetensors")
    assert found == {str(tmp_path / name) for name in names}, held


def test_known_files_are_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"first")
    young = content.Files({})
    first = young.digest(path)
    assert young.known() == {}  # it could be written again within the same tick of the clock
    os.utime(path, (time.time() - 60,) * 2)
    files = content.Files({})
    assert files.digest(path) == first
    (known,) = files.known().values()
    assert content.Files({str(path): (*known[:2], "trusted")}).digest(path) == "trusted"
    path.write_bytes(b"other")
    assert content.Files(files.known()).digest(path) not in (first, "trusted", "")


def test_limits_that_are_not_kept(tmp_path: Path) -> None:
    limits = "tolerance = 0.01\nbudget = { ram = 100, weights = '1KB', latency = '2ms' }\n"
    (entry,) = read(tmp_path, HEAD + limits).entries
    budget = entry.settings.budget
    assert entry.settings.allowed == 0.01
    assert (
        results.missed(budget, 0.01, {"difference": 0.01, "ram": 100, "weights": 1024, "latency": 2e-3}) == ()
    )
    assert results.missed(budget, 0.01, {}) == ()
    found = results.missed(budget, 0.01, {"difference": 0.02, "ram": 101, "weights": 1025, "latency": 3e-3})
    assert found == (
        "outputs differ by 2.0e-02 from the model's, 0.01 is allowed",
        "ram takes 101 bytes, 100 is allowed",
        "weights takes 1025 bytes, 1KB is allowed",
        "a call takes 3 ms, 2 ms are allowed",
    )


def task(folder: Path, name: str, memory: int, code: str) -> Task:
    """A child that runs a line of Python, which finds its order in `order`."""
    order = Order({}, "", "cpu", str(folder / name), str(folder), [], 1, "")
    head = "import json, os, pathlib, sys, time; order = json.loads(sys.stdin.readline()); "
    return Task(name, order, memory, (sys.executable, "-S", "-c", head + code))


def test_children_run_within_cores_and_memory(tmp_path: Path) -> None:
    """Each says when it began and ended; the first two wait for each other, so that both must run at once."""
    meet = "pathlib.Path('at-' + sys.argv[1]).touch(); "
    meet += "[time.sleep(0.01) for _ in iter(pathlib.Path('at-' + sys.argv[2]).exists, True)]; "
    code = (
        "began = time.time(); {}time.sleep(0.1); "
        "pathlib.Path(order['output']).write_text(f'{{began}} {{time.time()}}'); "
        "pathlib.Path(order['report']).write_text(json.dumps({{'measured': {{'pid': os.getpid()}}}}))"
    )
    sizes = {"a": 4 << 30, "b": 4 << 30, "c": 4 << 30, "d": 20 << 30}
    others = {"a": ("a", "b"), "b": ("b", "a")}
    tasks = [
        task(tmp_path, name, size, code.format(meet if name in others else ""))
        for name, size in sizes.items()
    ]
    tasks = [replace(each, command=(*each.command, *others.get(each.name, ()))) for each in tasks]
    answers: dict[str, Answer] = {}
    children.run(tasks, 3, 9 << 30, lambda each, answer, _: answers.update({each.name: answer}))
    spans = {name: [float(n) for n in (tmp_path / name).read_text().split()] for name in sizes}
    assert spans["c"][0] >= min(spans["a"][1], spans["b"][1])
    assert spans["d"][0] >= max(spans[name][1] for name in "abc")  # more than there is: alone
    assert len({answer.measured["pid"] for answer in answers.values()}) == 4


def test_children_that_tell_nothing(tmp_path: Path) -> None:
    codes = {"leaves": "print('last words'); sys.exit(7)", "killed": "os.kill(os.getpid(), 9)"}
    answers: dict[str, Answer] = {}
    tasks = [task(tmp_path, name, 0, code) for name, code in codes.items()]
    children.run(tasks, 2, 1 << 40, lambda each, answer, _: answers.update({each.name: answer}))
    assert answers["leaves"].error.splitlines() == [
        "the process that builds it ended with code 7",
        "  last words",
    ]
    assert answers["leaves"].fault and not answers["killed"].fault
    assert "SIGKILL, perhaps for want of memory" in answers["killed"].error


def test_no_child_is_left_behind(tmp_path: Path) -> None:
    """What an interrupt leaves runs no more, those that their children started neither."""
    code = (
        "import subprocess; "
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "pathlib.Path(order['output']).write_text(f'{os.getpid()} {other.pid}'); time.sleep(60)"
    )

    def quick(each: Task, answer: Answer, seconds: float) -> None:
        while not (tmp_path / "slow").exists() or not (tmp_path / "slow").read_text():
            time.sleep(0.01)
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        children.run([task(tmp_path, "slow", 0, code), task(tmp_path, "quick", 0, "0")], 2, 1 << 40, quick)
    assert time.monotonic() - began < 30
    for pid in (tmp_path / "slow").read_text().split():
        state = Path(f"/proc/{pid}/stat")
        gone = time.monotonic() + 5
        while state.exists() and ") Z" not in state.read_text() and time.monotonic() < gone:
            time.sleep(0.01)
        assert not state.exists() or ") Z" in state.read_text()
