"""The curve of memory against work and traffic: what is planned is what each budget gets."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from drystone.cli import main
from drystone.errors import UserError
from drystone.scheduling import Allotment, Met, check, curve, curve_of, plan
from drystone.scheduling.budgets.budget import OverBudget
from drystone.scheduling.budgets.sampling import roundest
from drystone.scheduling.problem import Operation, Problem, Tensor
from drystone.targets import Level

KB = 1024
#: `early` is needed again after wider tensors: it may wait in slow memory, or be made anew.
OPERATIONS = (
    Operation("early", ("x",), ("e",), work=100),
    Operation("narrow", ("e",), ("n",), work=10),
    Operation("wide", ("n",), ("w",), work=400),
    Operation("wider", ("w",), ("v",), work=400),
    Operation("late", ("v", "e"), ("y",), work=90),
)
SIZES = {"x": KB, "e": 4 * KB, "n": KB, "w": 8 * KB, "v": 8 * KB, "y": 2 * KB}
PROBLEM = Problem(
    OPERATIONS, tuple(Tensor(name, size) for name, size in SIZES.items()), (Level("ram"),), ("x", "y")
)
SLOW = replace(
    PROBLEM,
    operations=tuple(replace(op, work=None) for op in OPERATIONS),
    levels=(Level("sram"), Level("dram")),
)


def test_less_memory_costs_work_where_nothing_can_be_moved() -> None:
    found = curve_of(PROBLEM)
    assert [(point.ram, point.moved) for point in found.points] == [(17 * KB, 0), (21 * KB, 0)]
    assert [point.extra for point in found.points] == [pytest.approx(0.1), 0.0]
    assert found.bound == 16 * KB  # what the widest operation has, whatever lies beside it
    assert found.driver == "wider"
    table = str(found).splitlines()
    assert table[-1].endswith("less than 16,384 bytes: wider needs them for itself")
    assert table[0].split() == ["ram", "of", "the", "most", "extra", "work", "cost", "how"]
    assert table[1].endswith("1 call run again")
    assert table[1].split()[:7] == ["17,408", "B", "17.00", "KiB", "81.0", "%", "10.0"]


def test_less_memory_costs_traffic_where_there_is_a_slower_level() -> None:
    found = curve_of(SLOW)
    # x and e leave and come back; at 20 KiB x alone does, at 17 KiB e does.
    assert [point.extra for point in found.points] == [0.0] * len(found.points)
    assert [point.moved for point in found.points] == sorted((p.moved for p in found.points), reverse=True)
    assert found.points[0].moved > 0 == found.points[-1].moved
    assert "bytes moved" in str(found)
    for point in found.points:
        check(point.problem, point.plan)
        assert point.plan.peaks["sram"] == point.ram
        levels = (Level("sram", point.ram), Level("dram"))
        assert plan(replace(SLOW, levels=levels)).cost == point.plan.cost


def test_budgets_are_planned_where_the_widest_step_is_left() -> None:
    asked = []

    def met(ram: int | None) -> Met:
        asked.append(ram)
        limited = replace(SLOW, levels=(Level("sram", ram), Level("dram")))
        return Met(Allotment(limited, plan(limited)), 0)

    found = curve(met, points=4, level="sram")
    assert asked[:2] == [None, 1] and asked[2] == found.points[0].ram
    assert len(asked) <= 5
    assert all(found.points[0].ram < ram < found.points[-1].ram for ram in asked[4:])


def test_budgets_in_between_are_round_and_above_what_was_refused() -> None:
    assert [roundest(5, 11), roundest(96, 127), roundest(100, 110), roundest(7, 7)] == [8, 96, 104, 7]
    asked = []

    def met(ram: int | None) -> Met:
        """Half of what is asked between 8 and 20 KiB, and nothing between 9 and 12."""
        asked.append(ram)
        if ram is not None and (ram < 8 * KB or 9 * KB < ram < 12 * KB):
            raise OverBudget("too little", why="", least=12 * KB, proven=7 * KB, room=0).with_pieces(8 * KB)
        limited = replace(PROBLEM, levels=(Level("ram", ram),))
        used = 20 * KB if ram is None else ram
        found = replace(plan(PROBLEM), peaks={"ram": used})
        return Met(Allotment(limited, found), 1000 - used // KB, ("in pieces",) if used < 12 * KB else ())

    found = curve(met, points=6, level="ram")
    assert asked[:4] == [None, 1, 12 * KB, 8 * KB] and found.points[0].ram == 8 * KB and found.bound == 7 * KB
    assert found.points[0].how == ("in pieces",) and "in pieces" in str(found)
    assert all(ram % 256 == 0 for ram in asked[4:])
    assert found.data()["points"][0]["ram"] == 8 * KB


def test_a_problem_that_needs_the_same_whatever_it_has_is_one_point() -> None:
    tensors = tuple(tensor for tensor in PROBLEM.tensors if tensor.name in "xen")
    chain = replace(PROBLEM, operations=OPERATIONS[:2], tensors=tensors, kept=("n",))
    found = curve_of(chain)
    assert [point.ram for point in found.points] == [found.bound] == [5 * KB]


def test_two_points_at_least() -> None:
    with pytest.raises(UserError, match="a curve of 1 points"):
        curve_of(PROBLEM, points=1)


def test_the_command_reads_a_problem(tmp_path: Path) -> None:
    source = tmp_path / "problem.json"
    data = {
        "operations": [{"name": op.name, "inputs": op.inputs, "outputs": op.outputs} for op in OPERATIONS],
        "tensors": [{"name": name, "size": size} for name, size in SIZES.items()],
        "levels": [{"name": "sram"}, {"name": "dram"}],
        "kept": ["y"],
    }
    source.write_text(json.dumps(data))
    written = tmp_path / "curve.json"
    done = CliRunner().invoke(main, ["fit", str(source), "--points", "4", "--json", str(written)])
    assert done.exit_code == 0, done.stderr
    assert "bytes moved" in done.stdout and "no plan of the program as a whole" in done.stdout
    points = json.loads(written.read_text())["points"]
    assert len(points) == len(done.stdout.splitlines()) - 2 and points[0]["moved"] > 0
