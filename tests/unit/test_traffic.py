"""What the planner does where the fast level is too small: small graphs whose best answer is known."""

import json
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from drystone.cli import main
from drystone.errors import UserError
from drystone.scheduling import PlanError, check, plan
from drystone.scheduling.graph import Graph
from drystone.scheduling.problem import Home, Move, Operation, Plan, Problem, Tensor, plan_gap
from drystone.scheduling.residency.traffic import quick
from drystone.scheduling.text import read
from drystone.targets import Level

KB = 1024
DRAM = Level("dram")


def skip(capacity: int, *slow: Level, work: int | None = None, early: int = KB) -> Problem:
    """x -> e; x and e -> a -> b -> c (2 KB each); c and e -> out."""
    chain = ("x", "a", "b", "c")
    operations = [Operation("early", ("x",), ("e",), work=work)]
    operations += [
        Operation(f"make_{new}", (old, "e") if old == "x" else (old,), (new,)) for old, new in pairwise(chain)
    ]
    operations.append(Operation("join", ("c", "e"), ("out",)))
    tensors = [Tensor("x", KB), Tensor("e", early), *(Tensor(n, 2 * KB) for n in "abc"), Tensor("out", KB)]
    return Problem(tuple(operations), tuple(tensors), (Level("sram", capacity), *slow), ("out",))


def planned(problem: Problem) -> Plan:
    found = plan(problem)
    check(problem, found)
    return found


def test_what_fits_is_not_moved() -> None:
    found = planned(skip(6 * KB, DRAM))
    assert (found.cost, found.moves, found.status) == (0, (), "optimal")


def test_what_is_needed_late_leaves_and_comes_back() -> None:
    found = planned(skip(4 * KB, DRAM))
    assert (found.cost, found.cost_bound, found.status) == (2 * KB, 2 * KB, "optimal")
    moved = [(move.tensor, move.source, move.destination) for move in found.moves]
    assert moved == [("e", "sram", "dram"), ("e", "dram", "sram")]
    assert found.peaks == {"sram": 4 * KB, "dram": KB}


def test_a_nearer_level_is_used_where_it_has_room() -> None:
    near, far = Level("near", KB, cost=1), Level("far", cost=10)
    assert planned(skip(4 * KB, near, far)).cost == 2 * KB
    assert planned(skip(4 * KB, replace(near, capacity=KB // 2), far)).cost == 20 * KB


def test_operations_work_in_a_direct_level_where_they_must() -> None:
    operations = (Operation("widen", ("x",), ("big",)), Operation("narrow", ("big",), ("out",)))
    tensors = (Tensor("x", KB), Tensor("big", 8 * KB), Tensor("out", KB))
    problem = Problem(operations, tensors, (Level("sram", 4 * KB), Level("dram", direct=True)), ("out",))
    found = planned(problem)
    assert (found.cost, found.moves) == (16 * KB, ())
    assert [home.level for home in found.homes if home.tensor == "big"] == ["dram"]
    with pytest.raises(UserError, match="the budget is"):
        plan(replace(problem, levels=(problem.levels[0], DRAM)))


def test_what_is_cheap_to_compute_is_computed_again() -> None:
    # e is made anew from x, which is smaller.
    problem = skip(6 * KB, work=100, early=3 * KB)
    assert Graph(problem).bound() == 7 * KB
    found = planned(problem)
    assert (found.order.count("early"), found.cost) == (2, 100)


def test_moving_and_computing_again_are_weighed() -> None:
    cheap = skip(6 * KB, DRAM, work=100, early=3 * KB)
    dear = skip(6 * KB, DRAM, work=10**6, early=3 * KB)
    assert planned(cheap).order.count("early") == 2
    assert planned(dear).order.count("early") == 1


def test_weights_come_from_their_home() -> None:
    operations = tuple(
        Operation(f"op{n}", (f"w{n}", "x" if not n else f"t{n - 1}"), (f"t{n}",)) for n in range(3)
    )
    tensors = [Tensor("x", KB)]
    for n in range(3):
        tensors += [Tensor(f"w{n}", 4 * KB, home="dram"), Tensor(f"t{n}", KB)]
    problem = Problem(operations, tuple(tensors), (Level("sram", 6 * KB), DRAM), ("t2",))
    found = planned(problem)
    assert (found.cost, found.status) == (12 * KB, "optimal")
    assert all(move.source == "dram" for move in found.moves)


def test_the_order_is_chosen_for_what_it_moves() -> None:
    # a and b are read twice; in the given order each has to leave between its readers.
    operations = (
        Operation("make_a", ("x",), ("a",)),
        Operation("make_b", ("x",), ("b",)),
        Operation("a1", ("a",), ("p",)),
        Operation("b1", ("b",), ("q",)),
        Operation("a2", ("a", "p"), ("r",)),
        Operation("b2", ("b", "q"), ("s",)),
    )
    tensors = [Tensor("x", 64), Tensor("a", 4 * KB), Tensor("b", 4 * KB)]
    tensors += [Tensor(n, 64) for n in "pqrs"]
    problem = Problem(operations, tuple(tensors), (Level("sram", 5 * KB), DRAM), ("r", "s"))
    found = planned(problem)
    assert (found.cost, found.status) == (0, "optimal")
    given = quick(Graph(problem), range(6))
    assert given is not None
    check(problem, given)
    assert given.cost > 0


def test_no_effort_gives_the_quick_answer() -> None:
    problem = skip(4 * KB, DRAM)
    found = plan(problem, time_limit=0)
    check(problem, found)
    assert found.status == "greedy"


def test_a_level_too_small_for_one_operation_is_refused() -> None:
    with pytest.raises(UserError, match="the budget is 3\\.00 KiB"):
        plan(skip(3 * KB, DRAM))


def _two_levels() -> tuple[Problem, Plan]:
    problem = skip(4 * KB, DRAM)
    return problem, plan(problem)


def _without(plan: Plan, tensor: str, level: str) -> Plan:
    return replace(plan, homes=tuple(h for h in plan.homes if (h.tensor, h.level) != (tensor, level)))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda p: replace(p, moves=p.moves[:1]), "reads e, which is not there"),
        (lambda p: replace(p, moves=p.moves[1:]), "moved from dram at step 4, but is not there"),
        (lambda p: _without(p, "e", "dram"), "without a home in dram"),
        (lambda p: replace(p, cost=KB), "spends 2048"),
        (
            lambda p: replace(p, homes=(*p.homes, Home("x", "dram", 0, 1, 2))),
            "in dram that nothing writes",
        ),
        (
            lambda p: replace(p, moves=(*p.moves, Move(2, "b", "sram", "dram"))),
            "b is moved from sram at step 2",
        ),
        (lambda p: replace(p, peaks={"sram": 4 * KB}), "peak of None bytes in dram"),
    ],
)
def test_the_checker_follows_what_moves(change: object, fault: str) -> None:
    problem, found = _two_levels()
    assert callable(change)
    with pytest.raises(PlanError, match=fault):
        check(problem, change(found))


def test_the_checker_counts_what_runs_again() -> None:
    problem = skip(6 * KB, work=100, early=3 * KB)
    found = plan(problem)
    with pytest.raises(PlanError, match="early runs again"):
        check(skip(6 * KB, early=3 * KB), found)
    with pytest.raises(PlanError, match="spends 100"):
        check(problem, replace(found, cost=0))


def test_the_gap_is_that_of_the_cost_where_there_is_one() -> None:
    _, found = _two_levels()
    assert plan_gap(found) == 0.0
    assert plan_gap(replace(found, cost_bound=KB, status="feasible")) == 1.0


def test_a_problem_is_read_from_json() -> None:
    problem = skip(4 * KB, DRAM, work=3)
    assert read(json.dumps(asdict(problem))) == problem


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not JSON"),
        ("[]", "no planning problem"),
        ('{"operations": [], "tensors": [], "levels": []}', 'without "levels"'),
        ('{"operations": [], "tensors": [{"name": "x"}], "levels": [{"name": "r"}]}', "is no tensor"),
        (
            '{"operations": [], "tensors": [{"name": "x", "size": -1}], "levels": [{"name": "r"}]}',
            "size = -1",
        ),
        ('{"operations": [], "tensors": [], "levels": [{"name": "r"}], "kept": ["y"]}', "names y"),
        (
            '{"operations": [], "tensors": [{"name": "x", "size": 1, "home": "r"}], '
            '"levels": [{"name": "r"}]}',
            "no slower level",
        ),
        (
            '{"operations": [{"name": "a", "inputs": ["g"], "outputs": []}], "tensors": [], '
            '"levels": [{"name": "r"}]}',
            "contradicts itself: a uses g",
        ),
    ],
)
def test_text_that_is_no_problem_is_refused(text: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        read(text)


def test_the_command_plans_a_graph_and_draws_every_level(tmp_path: Path) -> None:
    source, target, page = tmp_path / "problem.json", tmp_path / "plan.json", tmp_path / "plan.html"
    source.write_text(json.dumps(asdict(skip(4 * KB, DRAM))))
    done = CliRunner().invoke(main, ["plan", str(source), "-o", str(target), "--html", str(page)])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "5 steps, sram 4096 bytes, dram 1024 bytes; cost 2048 (at least 2048); optimal" in done.stderr
    assert json.loads(target.read_text())["moves"][0]["destination"] == "dram"
    drawn = page.read_text()
    assert "Memory sram: 4.00 KiB" in drawn
    assert "Memory dram: 1.00 KiB" in drawn
    # e has a stone before it leaves and one after it came back, and one in the slower level.
    assert drawn.count("<title>e\n1.00 KiB") == 3


def test_the_command_draws_for_terminals(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    source, target = tmp_path / "problem.json", tmp_path / "plan.png"
    source.write_text(json.dumps(asdict(skip(4 * KB, DRAM))))
    for command in ("plan", "fit"):
        done = CliRunner().invoke(main, [command, str(source), "--png", str(target)])
        assert done.exit_code == 0, done.stderr
        assert target.read_bytes().startswith(b"\x89PNG")
        target.unlink()


def test_the_command_says_what_it_cannot_read(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["plan", str(tmp_path / "none.json")])
    assert done.exit_code == 2
    assert "cannot read" in done.stderr


def test_what_comes_from_its_home_once_bounds_the_cost() -> None:
    weight, unused = Tensor("weight", KB, home="dram"), Tensor("unused", KB, home="dram")
    free = skip(8 * KB, DRAM)
    first = free.operations[0]
    reading = replace(first, inputs=(*first.inputs, "weight"))
    problem = replace(
        free, operations=(reading, *free.operations[1:]), tensors=(*free.tensors, weight, unused)
    )
    assert Graph(problem).compulsory == KB
    found = plan(problem)
    assert (found.cost, found.cost_bound, found.status) == (KB, KB, "optimal")
