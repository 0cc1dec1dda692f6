"""Signatures, the database, the learned model, proposals: the tuner without measuring."""

import io
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import sqlalchemy as sql

from drystone import Tune, UserError
from drystone.autotune import explore
from drystone.autotune.database import SCHEMA, Database
from drystone.autotune.learned import Learned, learn
from drystone.autotune.measurements import Measurement, best_of
from drystone.autotune.schedules import Schedules
from drystone.autotune.task import Task
from drystone.autotune.worker import Outcome
from tests.exec.tuning import product_task

OK = Outcome("ok", 1e-3, 2e-3, machine="here")


def outcome(ratio: float | None, status: str = "ok") -> Outcome:
    return Outcome(status, None if ratio is None else ratio, None if ratio is None else 1.0)


def measured(rows: int, ratio: float | None, status: str = "ok", signature: str = "s") -> Measurement:
    return Measurement(signature, {"rows": rows}, outcome(ratio, status), {"rows": float(rows)}, 0.0)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "deep" / "tuning.db")


def test_a_signature_is_the_same_in_every_process() -> None:
    code = "from tests.exec.tuning import product_task; print(product_task(8, 32, 16).signature('v'))"
    shown = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert shown == [product_task(8, 32, 16).signature("v")] * 2


def test_a_signature_tells_apart_what_is_measured() -> None:
    task = product_task(8, 32, 16)
    others = [
        product_task(8, 32, 24),
        replace(task, threads=task.threads + 1),
        replace(task, cold=not task.cold),
        replace(task, target=replace(task.target, l2=task.target.l2 * 2)),
    ]
    signatures = {task.signature(), task.signature("another version"), *(o.signature() for o in others)}
    assert len(signatures) == 6


def test_a_task_travels_as_json() -> None:
    task = product_task(8, 32, 16)
    assert Task.of_data(json.loads(json.dumps(task.as_data()))) == task
    assert task.label == "matmul 8x16, 16x32 -> 8x32"


def test_measurements_are_kept_and_found_again(database: Database) -> None:
    task = product_task(8, 32, 16)
    database.record(task, {"rows": 4}, OK, {"a": 1.0})
    database.record(task, {"rows": 5}, Outcome("crashed", detail="SIGSEGV"), {})
    database.close()
    again = Database(database.where)
    first, second = again.of(task.signature())
    assert (first.point, first.outcome, first.features) == ({"rows": 4}, OK, {"a": 1.0})
    assert (second.outcome.status, second.outcome.ratio) == ("crashed", None)
    assert again.of("another") == [] and again.latest(1) == [second]
    ((_, label, trials, best),) = again.summary()
    assert (label, trials) == (task.label, 2)
    assert best is not None and best.point == {"rows": 4} and best.speedup == 2


def test_merging_exporting_and_importing_lose_and_double_nothing(database: Database, tmp_path: Path) -> None:
    task, other = product_task(8, 32, 16), Database(tmp_path / "other.db")
    database.record(task, {"rows": 4}, OK, {})
    other.record(task, {"rows": 5}, OK, {})
    assert [database.merge(other), database.merge(other), database.merge(database)] == [1, 0, 0]
    file = io.StringIO()
    assert database.export(file) == 2
    third = Database(f"sqlite:///{tmp_path / 'third.db'}")
    lines = file.getvalue().splitlines()
    assert [third.load(lines), third.load(lines)] == [2, 0]
    assert third.of(task.signature()) == database.of(task.signature())


def test_what_is_no_measurement_is_not_imported(database: Database) -> None:
    with pytest.raises(UserError, match=r"line 2 of x is no measurement"):
        database.load(['{"kernel": {"signature": "", "label": "", "version": "", "task": ""}}', "{}"], "x")
    assert database.summary() == []


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nothing://x", "names no database"),
        ("postgresql+psycopg://x/y", "needs the Python package psycopg"),
        ("sqlite:////no/such/folder/x.db", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_named(where: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Database(where)


def test_a_file_that_is_no_database_and_one_of_a_newer_version_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no tables here, but text that is long enough to look at" * 100)
    with pytest.raises(UserError, match="cannot be used"):
        Database(tmp_path / "text")
    held = Database(tmp_path / "new.db")
    engine = sql.create_engine(f"sqlite:///{held.where}")
    with engine.begin() as connection:
        connection.execute(sql.text(f"UPDATE drystone SET schema = {SCHEMA + 1}"))
    with pytest.raises(UserError, match="newer than"):
        Database(held.where)


@pytest.mark.parametrize("given", [{"trials": 0}, {"minutes": -1}, {"minutes": None}, {"trial_seconds": 0}])
def test_a_budget_that_makes_no_sense_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(UserError):
        Tune(**given)


def test_the_best_is_the_least_ratio_that_was_timed_again_and_never_failed() -> None:
    assert best_of([]) is None and best_of([measured(1, None, "wrong")]) is None
    lucky = [measured(1, 0.5), measured(2, 0.7), measured(2, 0.9), measured(3, 0.8), measured(3, 0.8)]
    best = best_of(lucky)
    assert best is not None and best.point in ({"rows": 2}, {"rows": 3})
    failed = [measured(1, 0.5), measured(1, None, "wrong"), measured(2, 0.9)]
    best = best_of(failed)
    assert best is not None and best.point == {"rows": 2}


def samples() -> list[Measurement]:
    made = []
    for size in range(6):
        for rows in range(1, 9):
            features = {"rows": float(rows), "size": float(size)}
            ratio = (1 + size) * (1 + abs(rows - 5) / 4)
            made.append(Measurement(f"k{size}", {"rows": rows}, outcome(ratio), features, 0.0))
    return made


def test_a_model_learns_the_order_whatever_the_scale() -> None:
    model = learn(samples())
    assert model is not None
    costs = model.costs([{"rows": float(rows), "size": 9.0} for rows in range(1, 9)])
    assert costs.index(min(costs)) == 4 and costs[0] > costs[2] > costs[4] < costs[7]
    again = learn(samples())
    assert again is not None and again.text() == model.text()
    assert Learned.of_text(model.text()).costs([{"rows": 1.0}]) == model.costs([{"rows": 1.0}])


def test_nothing_is_learned_from_nothing() -> None:
    assert learn([]) is None and learn([measured(1, 0.5)]) is None


def test_proposals_are_the_promising_ones_and_some_at_random() -> None:
    points = [{"rows": rows} for rows in range(20)]
    expected = [float(rows) for rows in range(20)]
    chosen = explore.propose(points, expected, 10, random.Random(0))
    assert chosen[:8] == points[:8] and len(chosen) == 10
    assert chosen == explore.propose(points, expected, 10, random.Random(0))
    assert explore.propose(points[:3], expected[:3], 10, random.Random(0)) == points[:3]
    blind = explore.propose(points, None, 10, random.Random(0))
    assert len(blind) == 10 and blind != points[:10] and all(point in points for point in blind)


def test_features_tell_schedules_apart_and_know_the_cache() -> None:
    schedules = Schedules(product_task(64, 64, 1024))
    described = [schedules.describe(point) for point in schedules.points]
    assert len({json.dumps(d) for d in described}) == len(schedules.points)
    names = {frozenset(d) for d in described}
    assert len(names) == 1
    by_rows = {int(d["point.rows"]): d for d in described if d["point.width"] == 32}
    # Rows of 1024 floats lie 4096 bytes apart: all meet in one set of the first cache.
    assert by_rows[12]["crowd"] > by_rows[4]["crowd"] == 4 * 4096 / schedules.target.l1
    assert by_rows[12]["sums"] == 24 and by_rows[12]["intensity"] > by_rows[1]["intensity"]


def test_a_first_choice_is_one_of_the_schedules_and_always_the_same() -> None:
    schedules = Schedules(product_task(64, 64, 64))
    assert explore.first_choice(schedules) in schedules.points
    assert explore.first_choice(schedules) == explore.first_choice(Schedules(product_task(64, 64, 64)))


class Many:
    """Ten times ten times ten schedules, of which a = 7, b = 2, c = 4 is the fastest."""

    default: ClassVar = {"a": 0, "b": 0, "c": 0}
    points: ClassVar = [{"a": a, "b": b, "c": c} for a in range(10) for b in range(10) for c in range(10)]

    def describe(self, point: dict[str, int]) -> dict[str, float]:
        return {name: float(value) for name, value in point.items()}


class Bowl:
    """A model of them; counts what it is asked."""

    asked = 0

    def knows(self, features: dict[str, float]) -> bool:
        return features.keys() == {"a", "b", "c"}

    def costs(self, features: list[dict[str, float]]) -> list[float]:
        self.asked += len(features)
        return [
            (f["a"] - 7) ** 2 + (f["b"] - 2) ** 2 + abs(f["c"] - 4) + f["a"] * f["b"] / 50 for f in features
        ]


def test_of_many_schedules_one_parameter_after_the_other_is_chosen() -> None:
    model = Bowl()
    assert explore.first_choice(Many(), model) == {"a": 7, "b": 2, "c": 4}
    assert model.asked < 100


def test_a_model_is_asked_only_about_what_it_has_seen() -> None:
    model = learn(samples())
    assert model is not None and model.knows({"rows": 1.0}) and not model.knows({"rows": 1.0, "other": 1.0})
