"""Logits that are never stored: the kernel against float64, losses and choices of whole models."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

import drystone
from tests.exec.families import check
from tests.exec.test_fusion import fused

RNG = np.random.default_rng(3)


def kernel(rows: int | str, columns: int, depth: int, wanted: str, bias: bool) -> str:
    """A dry.matmul with a packed weight and the dry.row_stats of its result; wanted: "rest", "place",
    "picked" and "summed"."""
    scores = f"tensor<{rows}x{columns}xf32>"
    weight = f'tensor<{columns}x{depth}xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>'
    real, place = f"tensor<{rows}xf32>", f"tensor<{rows}xi64>"
    kinds = [real] + [place if name == "place" else real for name in wanted.split()]
    flags = ", ".join(str(int(name in wanted)) for name in ("rest", "place", "picked", "summed"))
    pick = "picked" in wanted
    given = [f"%a: tensor<{rows}x{depth}xf32>", f"%w: {weight}"]
    given += [f"%b: tensor<{columns}xf32>"] * bias + [f"%t: {place}"] * pick
    inits = [f"%i{n}: {kind}" for n, kind in enumerate(kinds)]
    results = ", ".join(kinds)
    return f"""
func.func private @k({", ".join([*given, *inits])}) -> ({results}) {{
  %x = "dry.matmul"(%a, %w{", %b" * bias}) ({{
  ^bb0(%e: f32{", %c: f32" * bias}):
    {"%s = arith.addf %e, %c : f32" * bias}
    "dry.yield"({"%s" if bias else "%e"}) : (f32) -> ()
  }}) {{transpose_b = true, extra_maps = [{"affine_map<(i, j) -> (j)>" * bias}],
      operandSegmentSizes = array<i32: 1, 1, {int(bias)}, 0, 0, 0, 0, 0, 0, 0>}}
    : (tensor<{rows}x{depth}xf32>, {weight}{f", tensor<{columns}xf32>" * bias}) -> {scores}
  %r:{len(kinds)} = "dry.row_stats"(%x{", %t" * pick})
    {{resultSegmentSizes = array<i32: 1, {flags}>,
      operandSegmentSizes = array<i32: 1, {int(pick)}>}} : ({scores}{f", {place}" * pick}) -> ({results})
  return {", ".join(f"%r#{n}" for n in range(len(kinds)))} : {results}
}}"""


def packed(weight: Any) -> Any:
    """[columns, depth] in panels of 32 columns."""
    columns, depth = weight.shape
    whole = np.zeros((-(-columns // 32) * 32, depth), np.float32)
    whole[:columns] = weight
    return np.ascontiguousarray(whole.reshape(-1, 32, depth).transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("rows", "columns", "depth", "bias", "wanted"),
    [
        (1, 70, 5, True, "rest place picked summed"),
        (37, 330, 8, False, "rest place picked summed"),
        (9, 96, 3, True, "rest picked"),
        (9, 40, 3, False, "rest"),
        (2100, 20, 2, False, "place"),  # several steps of rows
        (5, 64, 3, False, "summed"),
    ],
)
def test_the_kernel(rows: int, columns: int, depth: int, bias: bool, wanted: str) -> None:
    a = RNG.standard_normal((rows, depth)).astype(np.float32)
    weight = RNG.standard_normal((columns, depth)).astype(np.float32)
    shift = RNG.standard_normal(columns).astype(np.float32)
    pick = RNG.integers(-1, columns + 1, rows)
    x = a.astype(np.float64) @ weight.T.astype(np.float64) + (shift if bias else 0)
    peak = x.max(1)
    inside = (pick >= 0) & (pick < columns)
    found: dict[str, Any] = {
        "rest": np.log(np.exp(x - peak[:, None]).sum(1)).astype(np.float32),
        "place": x.argmax(1),
        "picked": np.where(inside, x[np.arange(rows), pick.clip(0, columns - 1)], 0).astype(np.float32),
        "summed": x.sum(1).astype(np.float32),
    }
    given = [a, packed(weight), *([shift] * bias), *([pick] * ("picked" in wanted))]
    expected = [peak.astype(np.float32), *(found[name] for name in wanted.split())]
    for extent in (rows, "?") if rows < 100 else (rows,):
        check(kernel(extent, columns, depth, wanted, bias), given, expected, tolerance=1e-5)


class Head(nn.Module):
    """A vocabulary's projection and what is asked of its logits."""

    def __init__(self, what: str, bias: bool = False) -> None:
        super().__init__()
        self.what, self.head = what, nn.Linear(24, 9000, bias=bias)
        self.register_buffer("classes", torch.linspace(1, 2, 9000))

    def forward(self, hidden: torch.Tensor, target: torch.Tensor) -> Any:
        logits = self.head(hidden)
        flat, goal = logits.flatten(0, 1), target.flatten()
        match self.what:
            case "choice":
                return logits.argmax(-1)
            case "both":
                return F.cross_entropy(flat, goal), logits.argmax(-1)
            case "each":
                return F.cross_entropy(flat, goal, reduction="none")
            case "shifted":
                return F.cross_entropy(logits[:, :-1].flatten(0, 1), target[:, 1:].flatten())
            case "last":
                return logits[:, -1].argmax(-1)
            case "smoothed":
                return F.cross_entropy(flat, goal, label_smoothing=0.1)
            case "by hand":
                logs = F.log_softmax(logits, -1)
                picked = logs.gather(-1, target.clamp(min=0)[..., None])[..., 0]
                return -(0.9 * picked + 0.1 * logs.mean(-1)).mean()
            case "means":
                return logits.mean(-1), logits.argmax(-1)
            case "weighted":
                return F.cross_entropy(flat, goal, self.classes, label_smoothing=0.1)
            case "stored":
                return logits, F.cross_entropy(flat, goal)
        return F.cross_entropy(flat, goal)


def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states, and targets of which some are left out."""
    target = torch.randint(0, 9000, (2, 11))
    target[0, ::4] = -100
    return torch.randn(2, 11, 24), target


@pytest.mark.parametrize(
    "what", ["loss", "each", "choice", "both", "smoothed", "by hand", "means", "shifted"]
)
def test_logits_that_are_asked_only_this_are_not_stored(what: str) -> None:
    kinds = fused(Head(what, bias=what == "loss"), *tokens())
    assert kinds["row"] == 1
    assert not kinds["matmul"] and not kinds["logsumexp"]


@pytest.mark.parametrize("what", ["weighted", "stored"])
def test_logits_that_something_else_reads_are_stored(what: str) -> None:
    assert fused(Head(what), *tokens())["row"] == 0


@pytest.mark.parametrize("what", ["loss", "choice", "smoothed"])
def test_a_number_of_rows_known_at_the_call(what: str) -> None:
    length = Dim("length", min=1, max=16)
    kinds = fused(Head(what), *tokens(), shapes=({1: length}, {1: length}))
    assert kinds["row"] == 1


def test_logits_of_the_last_token_are_the_only_ones() -> None:
    hidden, target = tokens()
    fused(Head("last"), hidden, target)
    fitted = drystone.compile(Head("last").eval(), (hidden, target), options=drystone.Options(threads=1))
    assert fitted.memory.arena < 2 * 2 * 9000 * 4


def test_the_arena_has_no_room_for_logits() -> None:
    hidden, target = tokens()
    model = Head("loss").eval()
    fitted = drystone.compile(model, (hidden, target), options=drystone.Options(threads=1))
    assert fitted.memory.arena < 22 * 9000 * 4 // 20
    torch.testing.assert_close(fitted(hidden, target), model(hidden, target))
