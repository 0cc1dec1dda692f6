"""Tuning, executed: trials in child processes, sessions, compile, the command line, a cluster."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import drystone
from drystone import InternalError, Options, Tune, UserError
from drystone.autotune import session as tuning_session
from drystone.autotune.database import Database
from drystone.autotune.measurements import best_of, point_text
from drystone.autotune.schedules import Schedules
from drystone.autotune.session import Limits, Progress, Session
from drystone.autotune.task import Task, Tunable
from drystone.autotune.worker import Outcome, Worker
from drystone.cli import main
from drystone.codegen.search import Point
from drystone.targets import resolve
from tests.exec.tuning import CRASH, HANG, REFUSE, WRONG, product_task

TASK = product_task(48, 64, 40)
QUIET = Options(progress=False)


def at(rows: int) -> Point:
    return next(p for p in Schedules(TASK).points if p["rows"] == rows and p["width"] == 32)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker(entry="tests.exec.tuning:misbehave")
    yield made
    made.close()


def test_a_trial_gives_times_of_both_schedules(worker: Worker) -> None:
    (outcome,) = worker.measure(TASK, [at(3)], 0.01)
    assert outcome.status == "ok" and outcome.machine
    assert outcome.seconds is not None and 0 < outcome.seconds < 1
    assert outcome.ratio is not None and 0.02 < outcome.ratio < 50


@pytest.mark.parametrize(
    ("rows", "status", "detail"),
    [
        (CRASH, "crashed", "SIGABRT"),
        (WRONG, "wrong", "off by"),
        (REFUSE, "error", "ValueError: no such tile"),
    ],
)
def test_a_bad_schedule_costs_one_trial(worker: Worker, rows: int, status: str, detail: str) -> None:
    bad, good = worker.measure(TASK, [at(rows), at(3)], 0.01)
    assert (bad.status, bad.ratio) == (status, None) and detail in bad.detail
    assert good.status == "ok"


def test_a_schedule_that_hangs_is_given_up() -> None:
    made = Worker(limit=1.0, entry="tests.exec.tuning:misbehave")
    (hung,) = made.measure(TASK, [at(HANG)], 0.01)
    made.close()
    assert (hung.status, hung.detail) == ("timeout", "not done after 1 s")


def test_a_child_that_cannot_measure_is_a_fault() -> None:
    for entry, message in (("never_starts", "no such luck"), ("other_version", "another version")):
        made = Worker(entry=f"tests.exec.tuning:{entry}")
        with pytest.raises(InternalError, match=message):
            made.measure(TASK, [at(3)], 0.01)
        made.close()


class Scripted:
    """Measures without measuring: the fewer rows differ from `best`, the faster; bad points fail."""

    def __init__(self, best: int = 9, width: int = 1) -> None:
        self.best, self.width = best, width
        self.measured: list[Point] = []

    def measure(self, task: Task, points: list[Point], seconds: float) -> list[Outcome]:
        self.measured += points
        return [self.one(point) for point in points]

    def one(self, point: Point) -> Outcome:
        if point["rows"] in (CRASH, HANG, WRONG):
            return Outcome({CRASH: "crashed", HANG: "timeout", WRONG: "wrong"}[point["rows"]])
        return Outcome("ok", 1e-4 * (1 + abs(point["rows"] - self.best)), 5e-4)

    def close(self) -> None:
        pass


def session(database: Database, measures: Scripted, trials: int, states: list[Progress] | None = None) -> Any:
    kernels = [Tunable("a", TASK, 2), Tunable("b", TASK, 1), Tunable("c", product_task(8, 16, 8), 1)]
    watch = (lambda state: None) if states is None else states.append
    return Session(kernels, database, measures, Limits(trials, None), watch=watch).run()


def test_the_best_is_found_and_failures_never_win(tmp_path: Path) -> None:
    database, states = Database(tmp_path / "t.db"), list[Progress]()
    found = session(database, Scripted(), 400, states)
    assert [kernel.names for kernel in found] == [("a", "b"), ("c",)]
    assert found[0].calls == 3 and found[0].best is not None and found[0].best.point["rows"] == 9
    assert found[0].best.speedup == pytest.approx(5)
    measured = database.of(TASK.signature())
    assert {m.outcome.status for m in measured} == {"ok", "crashed", "timeout", "wrong"}
    assert states[-1].speedup > 2 and [s.trials for s in states] == sorted(s.trials for s in states)
    for bad in (CRASH, HANG, WRONG):
        only = best_of([m for m in measured if m.point["rows"] == bad])
        assert only is None


def test_nothing_slower_takes_the_place_of_the_default(tmp_path: Path) -> None:
    default = Schedules(TASK).default["rows"]
    (found,) = Session(
        [Tunable("a", TASK, 1)], Database(tmp_path / "t.db"), Scripted(default), Limits(4, None)
    ).run()
    assert found.best is not None and found.best.point["rows"] == default


def test_a_session_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    database = Database(tmp_path / "t.db")
    first, second = Scripted(), Scripted()
    session(database, first, 12)
    session(database, second, 12)
    new = [m for m in second.measured if m not in first.measured]
    assert len(new) >= 10
    assert len(first.measured) <= 12 + 2 * 8


def test_the_same_seed_tries_the_same(tmp_path: Path) -> None:
    runs = [Scripted(), Scripted()]
    for number, run in enumerate(runs):
        session(Database(tmp_path / f"{number}.db"), run, 30)
    assert runs[0].measured == runs[1].measured


def test_trials_go_to_the_kernels_that_take_the_time(tmp_path: Path) -> None:
    kernels = [Tunable("a", TASK, 30), Tunable("c", product_task(48, 64, 48), 10)]
    database = Database(tmp_path / "t.db")
    Session(kernels, database, Scripted(), Limits(34, None)).run()
    counts = [len({point_text(m.point) for m in database.of(kernel.task.signature())}) for kernel in kernels]
    assert counts[0] > 2 * counts[1] > 0


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 96), nn.Linear(96, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.relu(self.one(x)))


def test_schedules_are_not_measured_where_they_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drystone.machine.cpu_flags", frozenset)
    tune = Tune(database=str(tmp_path / "t.db"))
    with pytest.raises(UserError, match=r"cpu:avx512 cannot be measured here: this machine lacks sse4_2"):
        drystone.compile(TwoLayers().eval(), (torch.ones(2, 64),), target="cpu:avx512", tune=tune)


@pytest.fixture
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_session, "_SECONDS", 0.01)
    monkeypatch.setattr(tuning_session, "_LONGER", 0.01)


def test_a_model_is_tuned_and_then_compiled_from_what_is_known(tmp_path: Path, short_trials: None) -> None:
    torch.manual_seed(0)
    model, x = TwoLayers().eval(), torch.randn(32, 64)
    where, found = str(tmp_path / "t.db"), list[Any]()
    tune = Tune(trials=4, database=where, report=found.extend)
    fitted = drystone.compile(model, (x,), tune=tune, options=QUIET)
    torch.testing.assert_close(fitted(x), model(x))
    assert len(found) == 2 and all(kernel.best is not None for kernel in found)
    known = [drystone.compile(model, (x,), options=Options(database=where)) for _ in range(2)]
    torch.testing.assert_close(known[0](x), model(x))
    assert known[0].manifest.kernels == fitted.manifest.kernels
    assert known[0].save(tmp_path / "a.dry").read_bytes() == known[1].save(tmp_path / "b.dry").read_bytes()


def test_tune_must_be_a_tune() -> None:
    with pytest.raises(UserError, match=r"tune=5 is no drystone\.Tune"):
        drystone.compile(TwoLayers().eval(), (torch.ones(2, 64),), tune=5)  # the budget without its unit


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_trials: None) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, (done.output, done.exception)
        return str(done.stdout)

    monkeypatch.chdir(tmp_path)
    model, x = TwoLayers().eval(), torch.randn(32, 64)
    torch.export.save(torch.export.export(model, (x,)), "model.pt2")
    given = ("--database", "t.db")
    said = run("tune", "model.pt2", "--trials", "3", *given, "-o", "m.dry")
    assert "2 kernels tuned" in said and "m.dry: 2 kernels" in said
    assert "measurements of 2 kernels" in run("database", "show", *given)
    run("database", "export", "all.jsonl", *given)
    count = len(Path("all.jsonl").read_text().splitlines()) - 2
    said = run("database", "import", "all.jsonl", "--database", "u.db")
    assert said == f"all.jsonl: {count} new measurements\n"
    assert run("database", "merge", "u.db", *given) == "u.db: 0 new measurements\n"
    run("compile", "model.pt2", "-o", "n.dry", *given)
    refused = CliRunner().invoke(main, ["tune", "model.pt2", "--database", "nothing://"])
    assert refused.exit_code == 2 and "names no database" in refused.stderr


def test_a_cluster_measures(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    from drystone.autotune.cluster import Cluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    tag = TASK.target.name
    with distributed.LocalCluster(**options, resources={tag: 1}, local_directory=tmp_path) as cluster:
        address = cluster.scheduler_address
        measures = Cluster(address, TASK.target, 30.0)
        outcomes = measures.measure(TASK, [at(3), at(4)], 0.01)
        measures.close()
        assert [o.status for o in outcomes] == ["ok", "ok"] and measures.width == 2
        with pytest.raises(UserError, match=r"none of the 2 workers .* measures for cpu:spr"):
            Cluster(address, resolve("cpu:spr"), 30.0)


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from drystone.autotune import cluster

    monkeypatch.setattr(cluster, "_CONNECT", 0.5)
    with pytest.raises(UserError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9"):
        cluster.Cluster("tcp://127.0.0.1:9", TASK.target, 1.0)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"needs dask\.distributed"):
        cluster.Cluster("tcp://127.0.0.1:9", TASK.target, 1.0)
