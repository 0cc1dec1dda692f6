"""Backends: named by targets, registered from outside, and what they refuse."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import drystone
from drystone import backends, registry
from drystone.backends.cpu import CPU
from drystone.errors import UserError
from drystone.runtime import runners
from drystone.targets import Level, Target, resolve

BOARD = Target(name="board", backend="firmware", levels=(Level("sram", 2**16),))


def test_a_target_without_its_backend_is_refused_before_anything_is_done() -> None:
    with pytest.raises(UserError, match="board is a target of the backend 'firmware', which there is not"):
        drystone.compile(None, (), target=BOARD)


def test_backends_are_registered_as_long_as_a_scope_lasts() -> None:
    firmware = replace(CPU, name="firmware")
    with registry.scope():
        backends.register(firmware)
        assert backends.of(BOARD) is firmware
        with pytest.raises(UserError, match="another backend called firmware"):
            backends.register(firmware)
    assert backends.of(resolve("cpu:avx2")) is CPU
    with pytest.raises(UserError, match="firmware"):
        backends.of(BOARD)


def test_what_cannot_be_measured_is_not_tuned() -> None:
    with registry.scope():
        backends.register(replace(CPU, name="firmware", measured=False))
        with pytest.raises(UserError, match="schedules for board cannot be measured"):
            drystone.compile(None, (), target=BOARD, tune=True)


def test_runners_are_found_where_an_installed_package_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    emulated = replace(runners.NATIVE, name="emulated")

    def entry_points(*, group: str, name: str) -> list[Any]:
        known = group == runners.GROUP and name == "emulated"
        return [SimpleNamespace(load=lambda: emulated)] if known else []

    monkeypatch.setattr(runners, "entry_points", entry_points)
    with registry.scope():
        assert runners.named("emulated") is emulated
        assert runners.named("emulated") is emulated
        with pytest.raises(UserError, match="the code is run by 'simulated', which is not there"):
            runners.named("simulated")
