"""Running passes: dumps, verification, failures; and what the whole pipeline promises."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from drystone import mlir
from drystone.errors import InternalError, UserError
from drystone.ir.context import new_context
from drystone.ir.encoding import Pack
from drystone.ir.program import Program
from drystone.passes import pipeline, run
from drystone.passes.fusing.fold_constants import FoldConstants
from drystone.passes.layout.pack_weights import panel_width
from drystone.passes.simplify import Simplify
from tests.passes import pass_cases as cases

CONV_NET = "moves between two convolutions cancel"
ATTENTION = "attention between projections"


def case(name: str, title: str) -> str:
    return next(before for each, before, _ in cases.cases(name) if each == title)


@dataclass(frozen=True)
class Fails:
    """A pass that fails."""

    error: Exception
    name: ClassVar[str] = "fails"

    def run(self, program: Program) -> None:
        raise self.error


@dataclass(frozen=True)
class Breaks:
    """A pass that leaves a weight that the store has not."""

    name: ClassVar[str] = "breaks"

    def run(self, program: Program) -> None:
        program.weights.keep_only(set())


def test_dumps_are_numbered_reparseable_and_say_what_changed(tmp_path: Path) -> None:
    program = cases.program_of(case("simplify", "copies and moves of unit dimensions go"))
    run(program, (Simplify(), FoldConstants()), dump=tmp_path / "dumps")
    files = sorted((tmp_path / "dumps").iterdir())
    assert [file.name for file in files] == ["00_input.mlir", "01_simplify.mlir", "02_fold-constants.mlir"]
    heads = [file.read_text().splitlines()[0] for file in files]
    assert ["(unchanged)" in head for head in heads] == [False, False, True]
    assert all(" ms" in head for head in heads)
    assert mlir.text(mlir.parse(files[2].read_text(), new_context())) == mlir.text(program.module)


def test_a_copy_is_rewritten_apart_over_the_same_arrays() -> None:
    program = cases.program_of(case("fold-constants", cases.cases("fold-constants")[0][0]))
    before, weights = (
        mlir.text(program.module, locations=True),
        {key: program.weights[key] for key in program.weights},
    )
    copy = run(program, (Simplify(), FoldConstants()), aside="simplify")
    assert copy is not None and mlir.text(copy.module, locations=True) == before
    assert all(copy.weights[key] is array for key, array in weights.items())
    program.weights.keep_only(set())
    assert set(copy.weights) == set(weights)
    assert run(copy, (Simplify(),), aside="nothing") is None


def test_a_failing_pass_is_named_and_its_program_kept(tmp_path: Path) -> None:
    program = cases.program_of(case("simplify", "copies and moves of unit dimensions go"))
    with pytest.raises(InternalError, match="pass fails failed: no luck"):
        run(program, (Fails(ValueError("no luck")),), dump=tmp_path)
    assert (tmp_path / "01_fails_failed.mlir").exists()
    with pytest.raises(UserError, match="too big"):
        run(program, (Fails(UserError("too big")),))


def test_a_pass_that_breaks_the_program_is_named() -> None:
    program = cases.program_of(case("fold-constants", cases.cases("fold-constants")[0][0]))
    with pytest.raises(InternalError, match="pass breaks failed"):
        run(program, (Breaks(),))


@pytest.mark.parametrize(("name", "title"), [("channels-last", CONV_NET), ("absorb-transposes", ATTENTION)])
def test_the_pipeline_keeps_the_meaning_and_gives_the_same_text_twice(name: str, title: str) -> None:
    texts = []
    for _ in range(2):
        program = cases.program_of(case(name, title))
        before = cases.outputs_of(program)
        run(program, pipeline(cases.TARGET))
        cases.check_same(before, cases.outputs_of(program))
        texts.append(mlir.text(program.module))
    assert texts[0] == texts[1]


def test_an_encoder_has_no_copies_left() -> None:
    program = cases.program_of(case("absorb-transposes", ATTENTION))
    run(program, pipeline(cases.TARGET))
    kinds = [kind for kind, _ in calls(program)]
    assert kinds == ["matmul", "matmul", "matmul", "attention", "matmul"]


def test_a_convolution_net_moves_nothing() -> None:
    program = cases.program_of(case("channels-last", CONV_NET))
    run(program, pipeline(cases.TARGET))
    assert [kind for kind, _ in calls(program)] == ["conv", "conv", "pool"]


def calls(program: Program) -> list[tuple[str, str]]:
    """(kind, name) of every kernel call of `@main`."""
    names = [
        op.operation.attributes["callee"].value
        for op in mlir.walk(program.module)
        if op.operation.name == "func.call"
    ]
    return [(name.rpartition("_")[0], name) for name in names]


def test_main_holds_calls_views_and_scalars_only() -> None:
    program = cases.program_of(case("outline-kernels", "updates, slices, padding, control flow"))
    run(program, pipeline(cases.TARGET))
    main = next(op for op in program.module.body.operations if op.operation.name == "func.func")
    allowed = {"func.call", "func.return", "tensor.empty", "tensor.extract", "tensor.extract_slice"}
    names = {op.operation.name for op in main.operation.regions[0].blocks[0].operations}
    assert {name for name in names if not name.startswith("arith.")} <= allowed


def test_calls_lead_back_to_the_model() -> None:
    text = """
    func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
      %e = tensor.empty() : tensor<4xf32>
      %y = linalg.exp ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32> loc("model.py":7:3)
      return %y : tensor<4xf32>
    }"""
    program = cases.program_of(text)
    run(program, pipeline(cases.TARGET))
    (call,) = [op for op in mlir.walk(program.module) if op.operation.name == "func.call"]
    assert str(mlir.ir_place(call)) == "model.py:7"


@pytest.mark.parametrize(
    ("n", "width"), [(1000, 32), (384, 32), (48, 32), (40, 16), (17, 16), (10, 16), (64, 32)]
)
def test_packed_tiles_are_filled(n: int, width: int) -> None:
    assert panel_width(cases.TARGET, n) == width


def test_packed_weights_are_the_weights_in_tiles() -> None:
    program = cases.program_of(case("pack-weights", cases.cases("pack-weights")[0][0]))
    plain = program.weights["w"]
    run(program, (cases.PASSES["pack-weights"],))
    packed = program.weights["w.packed"]
    assert packed.shape == (3, 8, 16)
    np.testing.assert_array_equal(packed[1, :, 3], plain[19])
    assert not packed[2, :, 8:].any()
    np.testing.assert_array_equal(Pack((0,), (16,), (0, 1)).undo(packed, plain.shape), plain)


def test_unused_weights_leave_the_store_and_first_states_stay() -> None:
    program = cases.program_of(case("fold-constants", cases.cases("fold-constants")[0][0]))
    program.weights.add("left over", np.zeros(3, np.float32))
    run(program, (FoldConstants(),))
    assert set(program.weights) == {"constant", "v.folded"}
