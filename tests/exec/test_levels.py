"""Models compiled for several memory levels: copies between them, what is worked on where, against torch."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.runtime import memory
from drystone.targets import CpuTarget, Level, resolve


class Ladder(nn.Module):
    """Down and up again: what each step down makes is read once more on the way up, so that all of it is
    alive at the bottom."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held = []
        for layer in self.down:
            x = torch.softmax(layer(x), -1)
            held.append(x)
        for layer, early in zip(self.up, reversed(held), strict=True):
            x = torch.softmax(layer(x), -1) * early.sin() + early
        return x


def board(*levels: Level) -> CpuTarget:
    """This machine with other memory levels."""
    return replace(resolve("cpu"), name="board", levels=levels)


def changed(fitted: drystone.Fitted, x: torch.Tensor, threads: int) -> Any:
    """Which bytes of the arena a call writes."""
    arena = memory.empty([fitted.memory.arena], np.uint8)
    written = np.zeros(arena.size, bool)
    for fill in (0xAA, 0x55):
        arena[:] = fill
        fitted.call([x], arena=arena, threads=threads)
        written |= arena != fill
    return written


ROWS, WIDTH, DEPTH = 48, 96, 5
TENSOR = ROWS * WIDTH * 4
SLOW = Level("dram", capacity=8 << 20)
LEVELS = {
    "two": (Level("sram", capacity=3 * TENSOR), SLOW),
    "direct": (Level("sram", capacity=2 * TENSOR), replace(SLOW, direct=True)),
    "three": (
        Level("sram", capacity=3 * TENSOR),
        Level("psram", capacity=2 * TENSOR, cost=2),
        replace(SLOW, cost=5),
    ),
    "in time": (Level("sram", capacity=4 * TENSOR), replace(SLOW, bandwidth=64)),
}


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_what_does_not_fit_the_fast_level_goes_to_a_slower_one(levels: tuple[Level, ...]) -> None:
    torch.manual_seed(0)
    model, x = Ladder(WIDTH, DEPTH).eval(), torch.randn(ROWS, WIDTH)
    fitted = drystone.compile(model, (x,), target=board(*levels))
    expected, plan = model(x), fitted.memory.plan
    assert plan["moves"] and all(plan["peaks"].get(level.name, 0) <= level.capacity for level in levels)
    for threads in (1, 2):
        torch.testing.assert_close(fitted.call([x], threads=threads), expected, rtol=1e-5, atol=1e-6)
        written = changed(fitted, x, threads)
        for name, start, size in fitted.manifest.levels:
            there = np.flatnonzero(written[start : start + size])
            assert size == plan["peaks"].get(name, 0) == (there[-1] + 1 if size else 0)
            written[start : start + size] = False
        assert not written.any()
    report = fitted.report(x)
    copies = [row.call for row in report.rows if row.call.kind == "copy"]
    assert [call.name for call in copies] == [f"{m['source']} to {m['destination']}" for m in moved(plan)]
    assert f"kernels, {len(copies)} copies" in str(report) and f"(sram {plan['peaks']['sram']}, " in str(
        report
    )


def moved(plan: Any) -> list[Any]:
    """A plan's moves in the order in which they are made."""
    begins = [move["step"] if move["since"] is None else move["since"] for move in plan["moves"]]
    return [move for _, move in sorted(zip(begins, plan["moves"], strict=True), key=lambda pair: pair[0])]


def test_budgets_limit_levels_by_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Ladder(WIDTH, DEPTH).eval(), torch.randn(ROWS, WIDTH)
    target = board(Level("sram"), Level("dram"))
    free = drystone.compile(model, (x,), target=target)
    assert not free.memory.plan["moves"] and set(free.memory.plan["peaks"]) == {"sram"}
    limits = {"sram": 3 * TENSOR, "dram": 3 * TENSOR}
    tight = drystone.compile(model, (x,), target=target, budget=drystone.Budget(ram=limits))
    assert all(peak <= limits[name] for name, peak in tight.memory.plan["peaks"].items())
    assert tight.memory.arena < free.memory.arena + TENSOR
    tight.save(tmp_path / "ladder.dry")
    loaded = drystone.load(tmp_path / "ladder.dry")
    torch.testing.assert_close(loaded(x), model(x), rtol=1e-5, atol=1e-6)
    assert repr(loaded) == repr(tight) and f"sram {3 * TENSOR}, dram" in repr(loaded)


def test_what_fits_no_level_runs_again() -> None:
    """With less of the slow level than all that waits for its reader, calls run once more instead."""
    torch.manual_seed(0)
    model, x = Ladder(WIDTH, DEPTH).eval(), torch.randn(ROWS, WIDTH)
    target = board(Level("sram", capacity=3 * TENSOR), Level("dram", capacity=TENSOR))
    fitted = drystone.compile(model, (x,), target=target)
    order = fitted.memory.plan["order"]
    assert len(set(order)) < len(order) and fitted.memory.plan["moves"]
    torch.testing.assert_close(fitted(x), model(x), rtol=1e-5, atol=1e-6)


def test_budgets_of_several_levels_that_cannot_be_met() -> None:
    model, x = Ladder(WIDTH, DEPTH).eval(), torch.randn(ROWS, WIDTH)
    target = board(Level("sram"), Level("dram"))
    with pytest.raises(drystone.UserError, match="names none of the memory levels of board") as refused:
        drystone.compile(model, (x,), target=target, budget=drystone.Budget(ram="64KB"))
    assert 'Budget(ram={"sram": ...}); they are sram, dram' in str(refused.value)
    with pytest.raises(drystone.UserError, match="its levels are sram, dram"):
        drystone.compile(model, (x,), target=target, budget=drystone.Budget(ram={"flash": "64KB"}))


def test_copies_have_the_size_of_the_call() -> None:
    torch.manual_seed(0)
    model, rows = Ladder(WIDTH, DEPTH).eval(), torch.export.Dim("rows", min=2, max=ROWS)
    target = board(Level("sram", capacity=3 * TENSOR), SLOW)
    fitted = drystone.compile(model, (torch.randn(ROWS, WIDTH),), target=target, dynamic_shapes=({0: rows},))
    assert fitted.memory.plan["moves"]
    start = fitted.memory.plan["peaks"]["sram"]
    for count in (2, 17, ROWS):
        x = torch.randn(count, WIDTH)
        torch.testing.assert_close(fitted(x), model(x), rtol=1e-5, atol=1e-6)
        written = changed(fitted, x, threads=2)[start:]
        assert 0 < np.count_nonzero(written) <= count * fitted.memory.plan["peaks"]["dram"] // ROWS


class Random(nn.Module):
    """Layers over what was made before, chosen at random, and what nothing reads added up."""

    def __init__(self, seed: int, count: int) -> None:
        super().__init__()
        draw, self.plan = random.Random(seed), []
        widths = [16]
        for number in range(count):
            given = draw.sample(range(number + 1), min(number + 1, draw.choice((1, 1, 2))))
            width = draw.choice((8, 16, 32, 48))
            layers = nn.ModuleList(nn.Linear(widths[i], width) for i in given)
            self.add_module(f"layer{number}", layers)
            self.plan.append(given)
            widths.append(width)
        self.last = nn.ModuleList(nn.Linear(width, 16) for width in widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made, read = [x], set()
        for number, given in enumerate(self.plan):
            layers = self.get_submodule(f"layer{number}")
            parts = [layer(made[i]) for layer, i in zip(layers, given, strict=True)]
            made.append(torch.softmax(sum(parts), -1))
            read |= set(given)
        return sum(self.last[i](made[i]).sin() for i in range(len(made)) if i not in read)


@pytest.mark.parametrize("seed", range(6))
def test_random_models_in_three_levels(seed: int) -> None:
    torch.manual_seed(seed)
    model, x = Random(seed, 9).eval(), torch.randn(24, 16)
    wide = 24 * 48 * 4
    target = board(
        Level("sram", capacity=3 * wide),
        Level("psram", capacity=2 * wide, cost=2, direct=bool(seed % 2)),
        Level("dram", cost=5, direct=seed % 3 == 0),
    )
    fitted = drystone.compile(model, (x,), target=target)
    for threads in (1, 2):
        torch.testing.assert_close(fitted.call([x], threads=threads), model(x), rtol=1e-5, atol=1e-5)
