"""The picture of a plan says what the plan says."""

from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

from drystone.scheduling import plan, svg
from drystone.scheduling.problem import Operation, Problem, Tensor
from drystone.targets import Level

KB = 1024
PROBLEM = Problem(
    (
        Operation(
            "0.matmul_0123456789ab", ("x",), ("0.matmul_0123456789ab.0",), scratch=KB, where="a <b> & c"
        ),
        Operation(
            "1.map_ba9876543210",
            ("0.matmul_0123456789ab.0",),
            ("1.map_ba9876543210.0",),
            in_place=(("1.map_ba9876543210.0", "0.matmul_0123456789ab.0"),),
        ),
        Operation("2.norm_0123456789ab", ("1.map_ba9876543210.0", "x"), ("out", "nothing")),
    ),
    (
        Tensor("x", 2 * KB, "model.py:3"),
        Tensor("0.matmul_0123456789ab.0", 4 * KB, "a <b> & c"),
        Tensor("1.map_ba9876543210.0", 4 * KB),
        Tensor("out", KB),
        Tensor("nothing", 0),
    ),
    (Level("ram"),),
    ("out",),
)


def _rects(text: str, kind: str) -> list[tuple[str, tuple[float, ...]]]:
    """(tooltip, (x, y, width, height)) of every rectangle of a class."""
    found = []
    for parent in ElementTree.fromstring(text).iter():
        for rect in parent:
            if rect.get("class") == kind:
                tip = rect.find("{*}title") if kind == "step" else parent.find("{*}title")
                assert tip is not None and tip.text is not None
                found.append((tip.text, tuple(float(rect.get(n, "")) for n in ("x", "y", "width", "height"))))
    return found


def test_every_tensor_with_bytes_is_a_stone_and_every_call_a_step() -> None:
    text = svg(PROBLEM, plan(PROBLEM))
    stones = _rects(text, "stone")
    tips = {tip.split("\n")[0]: tip for tip, _ in stones}
    assert tips.keys() == {t.name for t in PROBLEM.tensors if t.size} | {"0.matmul_0123456789ab.scratch"}
    assert tips["0.matmul_0123456789ab.0"].split("\n")[1:] == ["a <b> & c", "4.00 KiB, step 0"]
    assert tips["x"].endswith("2.00 KiB, steps 0 to 2")
    assert [tip for tip, _ in _rects(text, "step")] == [
        f"{i}: {op.name}" + (f"\n{op.where}" if op.where else "") for i, op in enumerate(PROBLEM.operations)
    ]


def test_stones_do_not_overlap_and_their_areas_are_bytes_times_steps() -> None:
    stones = _rects(svg(PROBLEM, plan(PROBLEM)), "stone")
    for (_, (x, y, w, h)), (_, (u, v, s, t)) in combinations(stones, 2):
        assert x + w <= u + 0.2 or u + s <= x + 0.2 or y + h <= v + 0.2 or v + t <= y + 0.2
    by_name = {tip.split("\n")[0]: box for tip, box in stones}
    large, small = by_name["1.map_ba9876543210.0"], by_name["out"]
    assert abs(large[3] - 4 * small[3]) < 0.5
    assert abs(large[2] - 2 * small[2]) < 0.5


def test_the_heading_says_how_good_the_plan_is() -> None:
    found = plan(PROBLEM)
    assert "Activation memory: 7.00 KiB" in svg(PROBLEM, found)
    assert "proven optimal" in svg(PROBLEM, found)
    worse = replace(found, bound=found.bound // 2, status="feasible")
    assert "at most 100.0 % above the optimum (feasible)" in svg(PROBLEM, worse)


def test_a_capacity_near_the_peak_is_drawn() -> None:
    near = replace(PROBLEM, levels=(Level("ram", 8 * KB),))
    far = replace(PROBLEM, levels=(Level("ram", 800 * KB),))
    assert "capacity 8.00 KiB" in svg(near, plan(near))
    assert "capacity" not in svg(far, plan(far)).split("</style>")[1]


def test_labels_leave_out_the_hash() -> None:
    text = svg(PROBLEM, plan(PROBLEM))
    labels = [e.text for e in ElementTree.fromstring(text).iter() if e.get("class") == "name middle"]
    assert "map" in labels and "matmul" in labels


def test_the_same_plan_gives_the_same_text_and_an_empty_one_a_picture() -> None:
    assert svg(PROBLEM, plan(PROBLEM)) == svg(PROBLEM, plan(PROBLEM))
    empty = Problem((), (), (Level("ram"),))
    ElementTree.fromstring(svg(empty, plan(empty)))
