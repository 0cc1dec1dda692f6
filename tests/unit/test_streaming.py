"""Which weights stay, and when the others come: chains whose answer is known."""

import pytest

from drystone.scheduling.budgets.streaming import AROUND, PAGE, Reading, needed, paged, stream

SIZES = {"large": 8 * PAGE, **{f"w{n}": 2 * PAGE for n in range(6)}}
STEPS = [Reading((f"w{n}",), (), 0, 100, f"layer {n}") for n in range(6)]
LAST = Reading(("large",), (), 0, 400, "the last")


def test_the_step_that_needs_most_is_named() -> None:
    assert needed([*STEPS, LAST], SIZES) == (8 * PAGE + AROUND, LAST)
    rows = Reading((), ("table",), PAGE + 1, 1, "rows")
    assert needed([rows], {"table": 100 * PAGE}) == (2 * PAGE + AROUND, rows)
    assert needed([Reading((), (), 0, 1, "nothing")], {}) == (0, Reading((), (), 0, 1, "nothing"))


@pytest.mark.parametrize(
    ("pages", "kept"),
    [
        # Two small ones at once is what the window needs, one and the large one where that comes too.
        (8, []),
        (10, []),
        (12, ["large"]),
        (14, ["large", "w0"]),
        (20, ["large", "w0", "w1", "w2", "w3", "w4", "w5"]),
    ],
)
def test_the_largest_stay(pages: int, kept: list[str]) -> None:
    found = stream([*STEPS, LAST], SIZES, AROUND + pages * PAGE, time_limit=1.0)
    assert list(found.kept) == kept
    assert found.resident <= AROUND + pages * PAGE
    come = [name for name in SIZES if name not in kept]
    assert sorted(name for _, _, name in found.reads) == sorted(come)
    assert sorted(name for _, name in found.drops) == sorted(come)


def test_what_comes_does_so_one_step_ahead_and_goes_at_once() -> None:
    found = stream(STEPS, SIZES, AROUND + 4 * PAGE, time_limit=1.0)
    assert not found.kept
    assert found.reads == [(max(0, step - 1), step, f"w{step}") for step in range(6)]
    assert found.drops == [(step, f"w{step}") for step in range(6)]


def test_without_room_for_two_each_waits_for_its_own() -> None:
    found = stream(STEPS, SIZES, AROUND + 3 * PAGE, time_limit=1.0)
    assert found.reads == [(step, step, f"w{step}") for step in range(6)]


def test_a_weight_that_is_read_twice_is_there_in_between_if_there_is_room() -> None:
    steps = [STEPS[0], STEPS[1], STEPS[0]]
    found = stream(steps, {"w0": 2 * PAGE, "w1": 3 * PAGE}, AROUND + 5 * PAGE, time_limit=1.0)
    assert {name for name in ("w0", "w1") if name in found.kept} == {"w0", "w1"}
    found = stream([*steps, LAST], {**SIZES, "w1": 2 * PAGE}, AROUND + 8 * PAGE, time_limit=1.0)
    assert [name for _, _, name in found.reads].count("w0") == 1


def test_rows_of_a_table_take_room_while_they_are_read() -> None:
    rows = Reading((), ("table",), 2 * PAGE, 100, "rows")
    found = stream([rows, *STEPS], SIZES, AROUND + 4 * PAGE, time_limit=1.0)
    assert found.drops[0] == (0, "table")
    assert found.plan.peaks["ram"] <= 4 * PAGE


def test_windows_have_what_steps_leave() -> None:
    """The whole of a weight is there while steps read it; what stays of all of them fits beside that."""
    sizes = {**SIZES, "up": 64 * PAGE, "other": 64 * PAGE}
    opened = [
        Reading((), (), 0, 100, "up", 0, ("up",)),
        STEPS[0],
        Reading((), (), 0, 100, "down", 0, ("up",)),
        Reading((), (), 0, 100, "other", 0, ("other",)),
    ]
    marks = 2 * paged(64)
    least, step = needed(opened, sizes)
    assert least == 64 * PAGE + marks + AROUND and step.where == "up"
    for runs, spare in ((4, 0), (4, 10), (4, 65), (4, 200), (0, 200)):
        room = least + (2 + spare) * PAGE
        found = stream(opened, sizes, room, 1.0, {"up": runs, "other": runs})
        pages = {window.key: window.pages for _, window in found.windows}
        assert [at for at, _ in found.windows] == [2, 3]
        assert found.resident <= room
        # Of both as much; of the one that is read what stays is part of what there must be room for.
        most = min(64, spare) if runs else 0
        assert pages["up"] == pages["other"] and most - 1 <= pages["up"] <= most
        assert found.read == sum(64 * PAGE - PAGE * each for each in pages.values()) + 2 * PAGE * (
            "w0" not in found.kept
        )
