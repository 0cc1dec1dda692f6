"""The picture of a plan says what the plan says."""

import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from drystone.errors import UserError
from drystone.png import write_png
from drystone.scheduling import curve_of, curve_page, curve_svg, plan, svg
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
                tip = parent.find("{*}title")
                assert tip is not None and tip.text is not None
                found.append((tip.text, tuple(float(rect.get(n, "")) for n in ("x", "y", "width", "height"))))
    return found


def test_every_tensor_with_bytes_is_a_stone_and_every_call_a_step() -> None:
    text = svg(PROBLEM, plan(PROBLEM))
    stones = _rects(text, "stone")
    tips = {tip.split("\n")[0]: tip for tip, _ in stones}
    assert tips.keys() == {t.name for t in PROBLEM.tensors if t.size} | {"0.matmul_0123456789ab.scratch"}
    place = tips["0.matmul_0123456789ab.0"].split("\n")[1:]
    assert (
        place[0] == "a <b> & c" and place[1].startswith("4.00 KiB at byte ") and place[1].endswith(", step 0")
    )
    assert place[2] == "made by 0.matmul_0123456789ab; written over by 1.map_ba9876543210.0"
    assert tips["x"].endswith("steps 0 to 2\nthere from the start; read last by 2.norm_0123456789ab")
    assert tips["out"].endswith("made by 2.norm_0123456789ab; kept to the end")
    assert tips["0.matmul_0123456789ab.scratch"].endswith("working memory of 0.matmul_0123456789ab")
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


#: Two tensors wait while a third is made of larger ones; `w` lies in slow memory always.
LEVELS = Problem(
    (
        Operation("a", ("w",), ("e",), where="layer.early (model.py:3)"),
        Operation("b", ("e",), ("f",)),
        Operation("c", ("f",), ("g",)),
        Operation("d", ("e", "g"), ("h",)),
    ),
    (
        Tensor("w", KB, home="flash"),
        Tensor("e", 2 * KB, "layer.early (model.py:3)"),
        *(Tensor("f", 4 * KB), Tensor("g", 4 * KB), Tensor("h", KB)),
    ),
    (Level("sram", 8 * KB), Level("dram"), Level("flash", cost=2)),
    ("h",),
)


def test_walls_of_several_levels_tell_why_tensors_come_and_go() -> None:
    found = plan(LEVELS)
    text = svg(LEVELS, found)
    tips = [tip.split("\n") for tip, _ in _rects(text, "stone")]
    early = [tip for tip in tips if tip[0] == "e"]
    assert [tip[-1] for tip in sorted(early, key=lambda tip: tip[-1])] == [
        "copied from dram; read last by d",
        "copied from sram; fetched last before step 3",
        "made by a; makes room until step 3",
    ]
    assert [tip[-1] for tip in tips if tip[0] == "w"] == ["copied from flash; read last by a"]
    assert "Memory sram: 8.00 KiB" in text and "Memory dram: 2.00 KiB" in text
    kinds = [e.get("class") for e in ElementTree.fromstring(text).iter()]
    # Beside the legend's own: w and e are fetched, e makes room once.
    assert (kinds.count("comes"), kinds.count("leaves")) == (3, 2)


def test_a_copy_beside_operations_is_drawn_as_on_its_way() -> None:
    slow = (Level("sram", 16 * KB), Level("flash", bandwidth=1))
    operations = tuple(Operation(f"op{n}", (f"t{n}", f"w{n}"), (f"t{n + 1}",), time=KB) for n in range(3))
    weights = [Tensor(f"w{n}", KB, home="flash") for n in range(3)]
    problem = Problem(operations, (*(Tensor(f"t{n}", KB) for n in range(4)), *weights), slow)
    found = plan(problem)
    assert any(move.begins < move.step for move in found.moves)
    text = svg(problem, found)
    assert "on its way" in text and f"time {found.time:,}" in text
    whys = [tip.split("\n")[-1] for tip, _ in _rects(text, "stone")]
    assert "copied from flash, whole before step 2; read last by op2" in whys


def test_a_stone_bears_its_layer_and_a_narrow_one_upright() -> None:
    labels = [
        e for e in ElementTree.fromstring(svg(LEVELS, plan(LEVELS))).iter() if e.get("class") == "name middle"
    ]
    assert "layer.early" in [label.text for label in labels]
    many = tuple(Operation(f"op{n}", (f"t{n}",), (f"t{n + 1}",)) for n in range(60))
    tensors = tuple(Tensor(f"t{n}", KB, f"layer{n} (model.py:{n})") for n in range(61))
    chain = Problem(many, tensors, (Level("ram"),))
    labels = [
        e for e in ElementTree.fromstring(svg(chain, plan(chain))).iter() if e.get("class") == "name middle"
    ]
    assert labels and all("rotate(-90" in (label.get("transform") or "") for label in labels)
    # The kind of kernel would lie flat; the layer says more.
    outputs = tuple(
        Operation(f"{n}.conv_0123456789ab", (f"{n - 1}.conv_0123456789ab.0",), (f"{n}.conv_0123456789ab.0",))
        for n in range(1, 48)
    )
    first = Operation("0.conv_0123456789ab", (), ("0.conv_0123456789ab.0",))
    tensors = tuple(Tensor(f"{n}.conv_0123456789ab.0", KB, f"{n}.body (model.py:{n})") for n in range(48))
    calls = Problem((first, *outputs), tensors, (Level("ram"),))
    drawn = ElementTree.fromstring(svg(calls, plan(calls))).iter()
    texts = {e.text: e.get("transform") for e in drawn if e.get("class") == "name middle"}
    assert "33.body" in texts and "rotate(-90" in (texts["33.body"] or "") and "conv" not in texts


def test_a_picture_is_drawn_into_a_file(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    target = write_png(svg(LEVELS, plan(LEVELS)), tmp_path / "plan.png")
    data = target.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20]) == 2 * 960
    with pytest.raises(UserError, match="cannot write"):
        write_png(svg(LEVELS, plan(LEVELS)), tmp_path / "nowhere" / "plan.png")


def test_without_the_package_that_draws_the_message_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UserError, match=r"drystone\[png\]"):
        write_png("<svg/>", tmp_path / "plan.png")


def test_the_curve_has_a_step_for_every_plan() -> None:
    found = curve_of(LEVELS)
    text = curve_svg(found)
    drawn = [e for e in ElementTree.fromstring(text).iter() if e.get("class") == "point"]
    assert len(drawn) == len(found.points) >= 2
    assert "Bytes moved between levels" in text and "Extra work" not in text
    assert curve_page(found).count("<svg") == 1 + len(found.points)
    assert text == curve_svg(curve_of(LEVELS))
