"""Few rows times codes, in every way there is: decoded, in bytes, looked up in tables."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.kernels import Coded
from drystone.autotune.explore import first_choice
from drystone.autotune.schedules import Schedules
from drystone.autotune.task import Task
from drystone.autotune.trial import Bench
from drystone.codegen import interpret
from drystone.codegen.families.matmul.schedule import DECODED, IN_BYTES, LOOKED_UP
from drystone.codegen.families.matmul.tables import pieces_of
from drystone.ir import formats
from drystone.ir.encoding import Codes, Encoding, Per, Scale, decode, encode
from drystone.ir.encoding.code import code_of
from drystone.targets import registry
from tests.exec.kernels import compiled
from tests.exec.test_coded import check, check_compiled, product

FORMATS: dict[str, Encoding] = {
    "w1": formats.integers(1, 128),
    "w2": formats.w2(),
    "w3": formats.w3(64),
    "w4": formats.w4(),
    "int3": Codes("int3", Scale(Per.row(1))),
    "ternary": formats.ternary(64),
    "binary": formats.binary(),
    "bipolar": formats.bipolar(3),
}
SIDE = ({"panels": 1, "beside": 1}, {"panels": 4, "beside": 2})


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("way", [IN_BYTES, LOOKED_UP])
def test_ways(name: str, way: int) -> None:
    machine, number = registry.resolve("cpu:zen4"), [*FORMATS].index(name)
    for m in (1, 3):
        choice = {"way": way, **SIDE[(number + m // 2) % 2]}
        # All inputs in one group may end inside a string; all outputs in whole panels, for two side by side.
        k = 400 if name in ("int3", "binary") else 384
        program, arrays, expected = product(FORMATS[name], m, 256, k, machine, choice=choice)
        assert ("shuffle" in str(program)) == (way == LOOKED_UP)
        check_compiled(program, arrays, expected, machine)


@pytest.mark.parametrize("name", FORMATS)
def test_the_meaning_of_the_programs(name: str) -> None:
    choice = {"way": LOOKED_UP, "panels": 2, "beside": 2}
    program, arrays, expected = product(
        FORMATS[name], 1, 128, 128, registry.resolve("cpu:zen4"), choice=choice
    )
    interpret.run(program, arrays)
    check(arrays[-1], expected)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_tables_of_integers_are_exact(bits: int) -> None:
    rng, n, k = np.random.default_rng(bits), 128, 2048
    matrix = rng.integers(0, 1 << bits, (n, k)).astype(np.float32)
    matrix[:, 0] = (1 << bits) - 1  # the largest code: the scale of every row is 1
    machine, encoding = registry.resolve("cpu:zen4"), Codes(f"uint{bits}", Scale(Per.row(1)))
    choice = {"way": LOOKED_UP, "panels": 2, "beside": 2}
    program, arrays, _ = product(encoding, 2, n, k, machine, choice=choice, given=matrix)
    arrays[0] = rng.integers(-127, 128, (2, k)).astype(np.float32)
    compiled(program, machine)(arrays)
    np.testing.assert_array_equal(arrays[-1], arrays[0].astype(np.int64) @ matrix.astype(np.int64).T)


@pytest.mark.parametrize(("name", "lost"), [("w1", 2**-20), ("w3", 2**-20), ("w4", 2**-19)])
def test_what_tables_lose(name: str, lost: float) -> None:
    """Of each number no more than a part of the largest of its group; of missing numbers nothing is made."""
    rng, n, k, machine = np.random.default_rng(0), 128, 512, registry.resolve("cpu:zen4")
    program, arrays, _ = product(FORMATS[name], 4, n, k, machine, choice={"way": LOOKED_UP})
    a = (rng.standard_normal((4, k)) * 2.0 ** rng.uniform(-30, 0, (4, k))).astype(np.float32)
    a[1], a[2], a[3, 7] = a[1] * np.float32(1e-30), 0, np.inf
    arrays[0] = a
    compiled(program, machine)(arrays)
    numbers = decoded(FORMATS[name], n, k)
    group = 64 if name == "w3" else 128
    largest = np.repeat(np.abs(a[:3]).reshape(3, -1, group).max(2), group, 1).astype(np.float64)
    spread = np.abs(numbers).max(1) * 2 + 1e-30  # of codes less their zero points, and of these
    bound = lost * largest.sum(1)[:, None] * spread + 1e-6 * (np.abs(a[:3]) @ np.abs(numbers.T))
    assert (np.abs(arrays[-1][:3] - a[:3].astype(np.float64) @ numbers.T) <= bound).all()
    assert not np.isfinite(arrays[-1][3]).any()


def decoded(encoding: Encoding, n: int, k: int) -> Any:
    """The numbers of the matrix that `product` makes for four rows."""
    matrix = np.random.default_rng(4 + n + k).standard_normal((n, k)).astype(np.float32)
    return decode(encode(matrix, encoding), encoding, (n, k), "f32").astype(np.float64)


@pytest.mark.parametrize("name", ["int3", "uint4", "ternary", "bip3", "bip1"])
def test_pieces_add_up(name: str) -> None:
    code = code_of(name)
    pieces, codes = pieces_of(code), np.arange(3 if name == "ternary" else 1 << code.bits)
    low, total = 0, np.zeros(len(codes))
    for piece in pieces:
        part = codes >> low & (1 << piece.bits) - 1
        total, low = total + piece.factor * np.array(piece.numbers)[part], low + piece.bits
    signed = np.where(codes >= 1 << code.bits - 1, codes - (1 << code.bits), codes)
    np.testing.assert_array_equal(total, code.decode(signed if name.startswith("int") else codes))


def test_what_is_not_looked_up() -> None:
    assert (
        not pieces_of(code_of("e2m1")) and not pieces_of(code_of("uint5")) and not pieces_of(code_of("int8"))
    )


def task_of(name: str, m: int, n: int, k: int, target: str, *, cold: bool = True) -> Task:
    """Of the tuner."""
    return Coded("", m, k, n, cold, name, FORMATS[name]).task(registry.resolve(target))


@pytest.mark.parametrize(
    ("name", "m", "target", "way"),
    [
        ("w1", 1, "cpu:zen4", LOOKED_UP),
        ("binary", 4, "cpu:zen4", LOOKED_UP),
        ("w2", 4, "cpu:zen4", IN_BYTES),
        ("w3", 4, "cpu:zen4", IN_BYTES),
        ("w4", 1, "cpu:zen4", IN_BYTES),
        ("w1", 1, "cpu:avx512", DECODED),
        ("w4", 64, "cpu:zen4", DECODED),
    ],
)
def test_first_choices(name: str, m: int, target: str, way: int) -> None:
    schedules = Schedules(task_of(name, m, 4096, 4096, target))
    chosen = first_choice(schedules)
    assert chosen["way"] == way and chosen in schedules.points
    if way != DECODED:
        # Two panels at a time, and enough steps for all threads.
        assert chosen["beside"] == 2 and 2 * chosen["panels"] * chosen["width"] <= 4096
    assert schedules.default in schedules.points


def test_ways_are_measured_side_by_side() -> None:
    task = replace(task_of("w2", 1, 256, 512, "cpu", cold=False), threads=1)
    ways = {point["way"] for point in Schedules(task).points}
    bench = Bench(task)
    try:
        for way in ways:
            timing = bench.measure(Schedules(task).default | {"way": way, "panels": 1, "beside": 1}, 0.01)
            assert timing.seconds > 0 and timing.baseline > 0
    finally:
        bench.close()
