"""Targets: what is detected, what is refused, and that the descriptions hold together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drystone import machine, registry
from drystone.errors import InternalError, UserError
from drystone.targets import Level, Target, cpu, known, register, resolve
from drystone.targets.registry import checked

AVX2_CPUINFO = "processor\t: 0\nflags\t\t: fpu {}\nbugs\t\t: none\n".format(" ".join(cpu.NAMED[0].required))


def _pretend(monkeypatch: pytest.MonkeyPatch, flags: str, caches: dict[int, int]) -> None:
    monkeypatch.setattr(machine, "cpu_flags", lambda: machine.parse_flags(flags))
    monkeypatch.setattr(machine, "cache_sizes", lambda: caches)
    monkeypatch.setattr(machine, "usable_cores", lambda: 3)


@pytest.mark.parametrize("name", [name for name in known() if name != "cpu"])
def test_named_targets_resolve_to_themselves(name: str) -> None:
    target = resolve(name)
    assert target.name == name
    assert len(target.required) == len(set(target.required))


def test_each_named_target_needs_all_that_the_one_before_needs() -> None:
    for less, more in zip(cpu.NAMED, cpu.NAMED[1:], strict=False):
        assert set(less.required) < set(more.required)


def test_detection_takes_the_most_able_description_and_the_machines_own_caches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _pretend(monkeypatch, AVX2_CPUINFO, {1: 65536, 2: 2**21})
    target = resolve("cpu")
    assert (target.name, target.llvm_cpu, target.lanes(32)) == ("cpu", "haswell", 8)
    assert (target.l1, target.l2, target.threads) == (65536, 2**21, 3)


def test_a_machine_with_avx512_gets_full_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, "flags : " + " ".join(cpu.NAMED[1].required), {})
    target = resolve("cpu")
    assert (target.lanes(32), target.registers) == (16, 32)
    assert target.l2 == cpu.NAMED[1].l2


def test_a_cpu_without_avx2_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, "flags : sse4_2 popcnt avx f16c bmi1 bmi2 movbe abm", {})
    with pytest.raises(UserError, match=r"lacks avx2, fma(?s:.*)cpu:avx512"):
        resolve("cpu")


def test_an_unknown_target_lists_the_known_ones() -> None:
    with pytest.raises(
        UserError, match=r'"tpu"(?s:.*)known targets: cpu, cpu:avx2, cpu:avx512, cpu:zen4, cpu:spr'
    ):
        resolve("tpu")


def test_missing_features_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset({"avx"}))
    assert machine.missing_features(("fma", "avx", "avx2")) == ["fma", "avx2"]


def test_caches_are_read_level_by_level_without_the_instruction_cache(tmp_path: Path) -> None:
    for entry, level, kind, size in [
        (0, 1, "Data", "48K"),
        (1, 1, "Instruction", "64K"),
        (2, 2, "Unified", "2M"),
    ]:
        folder = tmp_path / f"index{entry}"
        folder.mkdir()
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(f"{value}\n")
    assert machine.cache_sizes(tmp_path) == {1: 48 * 2**10, 2: 2 * 2**20}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"levels": ()}, "no memory level"),
        ({"levels": (Level("ram"), Level("ram"))}, "one name"),
        ({"levels": (Level("ram", alignment=48),)}, "power of two"),
        ({"levels": (Level("ram", capacity=0),)}, "no capacity"),
        ({"vector_bits": 500}, "500 bits"),
        ({"threads": 0}, "0 threads"),
        ({"features": ("avx",)}, "without"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(InternalError, match=fault):
        checked(replace(cpu.NAMED[0], **change))


def test_targets_from_outside_stand_beside_those_of_the_package() -> None:
    board = Target(name="board", backend="c", levels=(Level("sram", 2**16),))
    with registry.scope():
        register(board)
        register(lambda: replace(board, name="found"), "found")
        assert known()[-2:] == ("board", "found")
        assert resolve("board") is board and resolve("found").levels == board.levels
    with pytest.raises(UserError, match='no target is called "board"'):
        resolve("board")


def test_names_of_targets_are_taken_once() -> None:
    with registry.scope(), pytest.raises(UserError, match="another target called cpu:avx2"):
        register(Target(name="cpu:avx2", backend="c", levels=(Level("sram"),)))


def test_a_contradiction_is_found_when_a_target_is_registered() -> None:
    with registry.scope():
        with pytest.raises(InternalError, match="target board: it has no memory level"):
            register(Target(name="board", backend="c", levels=()))
        assert "board" not in known()
