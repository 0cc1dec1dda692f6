"""The choice of what is computed piece by piece, on plain data."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drystone.ir.pieces import Grid, Read, Span, Step, Window
from drystone.pieces import choices_within
from drystone.scheduling import check, plan
from drystone.scheduling.budgets.budget import OverBudget
from drystone.scheduling.graph import load
from drystone.scheduling.pieces.costs import Needs, needs_of
from drystone.scheduling.pieces.patched import (
    choices_of,
    choices_together,
    given_order,
    least_together,
    patched_problem,
)
from drystone.scheduling.pieces.spans import Choice, Choices, Layer, Net


def bottlenecks(rows: int, columns: int, count: int, channels: int = 4, wide: int = 24) -> Net:
    """An image and `count` inverted bottlenecks (expand, 3 x 3 depthwise, project and add), then the average
    over the image."""
    extents, image = (rows, columns), rows * columns
    same, around = tuple(Window(n) for n in extents), tuple(Window(n, 3, 1, 1) for n in extents)
    layers, sizes, x = [], {"x": image * channels}, "x"
    for k in range(count):
        e, d, p = f"e{k}", f"d{k}", f"p{k}"
        layers += [
            Layer(e, (x,), image * channels * wide, Step(e, extents, (Read(x, same),))),
            Layer(d, (e,), image * wide * 9, Step(d, extents, (Read(e, around),))),
            Layer(p, (d, x), image * channels * wide, Step(p, extents, (Read(d, same), Read(x, same)))),
        ]
        sizes |= {e: image * wide, d: image * wide, p: image * channels}
        x = p
    layers.append(Layer("mean", (x,), image * channels, averages=True))
    return Net(tuple(layers), sizes | {"mean": channels}, kept=frozenset({"mean"}))


@given(
    st.integers(4, 9),
    st.integers(4, 9),
    st.integers(1, 2),
    st.integers(2, 4),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_needs_are_those_of_the_pieces(
    rows: int, columns: int, count: int, down: int, across: int, kept: bool, summed: bool
) -> None:
    """What is said without making the pieces is what the problem with all pieces has."""
    net = bottlenecks(rows, columns, count)
    span = Span(0, 3 * count - (not summed), Grid((down, across), kept), summed)
    problem = patched_problem(net, (span,))
    steps = [layer.step for layer in net.layers if layer.step is not None]
    work = {layer.result: layer.work for layer in net.layers}
    found = needs_of(Needs(steps, work, net.sizes, net.scattered, 1), span.grid)
    assert found is not None
    result = 0 if summed else net.sizes[net.layers[-2].result]
    stated = net.sizes["x"] + result + found.peak
    made = load(given_order(problem))
    # Columns of unequal width are taken for the widest; sums are small.
    assert made <= stated + 3 * net.sizes["mean"]
    if across == 1:
        # The first piece has no whole result beside it, the last one no input.
        assert stated <= made + net.sizes["x"]
    check(problem, plan(problem, time_limit=0))
    if kept and across == 1:
        assert found.work == sum(layer.work for layer in net.layers[:-1])


def test_bottlenecks_are_never_there_as_a_whole() -> None:
    net = bottlenecks(12, 12, 2)
    choices = Choices(net)
    whole = choices.within(10**9)
    assert whole is not None and not whole.spans
    # Input, and twice the wide tensor.
    assert whole.peak == 144 * (4 + 24 + 24)
    small = choices.least(1.2 * net.work)
    assert small is not None
    # Input and result of a block, and a few rows of what lies between.
    assert small.peak < 144 * 8 + 12 * 24 * 6
    assert small.work <= 1.2 * net.work
    assert small.spans
    less = choices.within(small.peak - 1)
    assert less is None or less.work > 1.2 * net.work


def test_choices_fit_their_capacity() -> None:
    net = replace(bottlenecks(12, 12, 2), alignment=16)
    choice = next(choices_of(net, 3000))
    problem = patched_problem(net, choice.spans, 3000)
    found = plan(problem, time_limit=0)
    check(problem, found)
    assert found.peaks["ram"] <= 3000
    assert next(choices_of(net, 500), None) is None


@pytest.mark.parametrize("kept", [False, True])
def test_rows_of_a_chain_of_products(kept: bool) -> None:
    """One axis: a wide hidden tensor made for some rows at a time."""
    rows = (Window(64),)
    layers = (
        Layer("h", ("x",), 64 * 8 * 256, Step("h", (64,), (Read("x", rows),))),
        Layer("y", ("h",), 64 * 8 * 256, Step("y", (64,), (Read("h", rows),))),
    )
    net = Net(layers, {"x": 64 * 8, "h": 64 * 256, "y": 64 * 8}, kept=frozenset({"y"}))
    problem = patched_problem(net, (Span(0, 1, Grid((8,), kept)),))
    assert load(given_order(problem)) <= 2 * 64 * 8 + 8 * 256 + 8 * 8
    choice = Choices(net).within(4000)
    assert choice is not None and choice.work == net.work


def gated(layers: int, words: int, rows: int = 1) -> Net:
    """`layers` MLPs with a gate, 64 features wide inside and 8 outside, and a projection onto words."""
    made, sizes, x = [], {"x": 4 * rows * 8}, "x"
    for k in range(layers):
        g, u, d = f"g{k}", f"u{k}", f"d{k}"
        hidden, beside = (64,), Read(g, (Window(64),))
        made += [
            Layer(g, (x,), rows * 512, features=Step(g, hidden, (), 32), sums=x, weights=(2048,)),
            Layer(u, (x, g), rows * 512, features=Step(u, hidden, (beside,), 32), sums=x, weights=(2048,)),
            Layer(d, (u, x), rows * 512, features=Step(d, (8,), ()), sums=u, weights=(2048,)),
        ]
        sizes |= {g: 4 * rows * 64, u: 4 * rows * 64, d: 4 * rows * 8}
        x = d
    step = Step("words", (words,), (), 32)
    made.append(Layer("words", (x,), rows * 8 * words, features=step, sums=x, weights=(32 * words,)))
    return Net(tuple(made), sizes | {"words": 4 * rows * words}, frozenset({"words"}))


def test_features_between_products_are_never_all_there() -> None:
    net = gated(2, 64, rows=100)
    choice = Choices(net).within(100 * (8 + 8 + 32 + 32) * 4)
    assert choice is not None and choice.work == net.work
    assert [(s.first, s.last, s.summed, s.features) for s in choice.spans] == [
        (0, 2, True, True),
        (3, 5, True, True),
    ]
    problem = patched_problem(net, choice.spans)
    check(problem, plan(problem, time_limit=0))
    assert load(given_order(problem)) <= choice.peak
    # The sum of pieces takes the place of that before.
    assert all(op.in_place for op in problem.operations if op.name.endswith(".sum") and len(op.inputs) > 2)


@pytest.mark.parametrize(("weights", "features"), [(1 << 11, False), (1 << 24, True)])
def test_large_weights_are_not_read_for_every_piece(weights: int, features: bool) -> None:
    net, rows = gated(1, 64, rows=64), (Window(64),)
    layers = [
        replace(layer, step=Step(layer.result, (64,), tuple(Read(name, rows) for name in layer.reads)))
        for layer in net.layers
    ]
    net = replace(net, layers=tuple(replace(layer, weights=(weights,)) for layer in layers))
    (span,) = next(choices_of(net, 1 << 15)).spans
    assert span.features == features


def test_weights_of_one_step_and_activations_share_what_there_is() -> None:
    net = gated(1, 1 << 15)
    whole = Choices(net).within(1 << 30)
    assert whole is not None and whole.weights > 1 << 20
    choice = next(choices_together(net, 1 << 19))
    (span,) = choice.spans
    assert (span.first, span.summed, span.features) == (3, False, True)
    assert choice.weights + choice.peak <= 1 << 19
    problem = patched_problem(net, choice.spans)
    check(problem, plan(problem, time_limit=0))
    # What is put together lies where the output does from the start.
    assert not [tensor.name for tensor in problem.tensors if tensor.size == net.sizes["words"]]
    least = least_together(net)
    assert least is not None and least < 1 << 19
    assert next(choices_together(net, least), None) is not None
    assert next(choices_together(net, least // 2), None) is None


def test_what_costs_least_comes_first_unless_all_weights_could_stay() -> None:
    net, room, total = bottlenecks(12, 12, 2), 3000, 1 << 14
    net = replace(net, layers=tuple(replace(layer, weights=(1000,)) for layer in net.layers))
    alone, together = list(choices_of(net, room)), list(choices_together(net, total))
    assert together[0].cost < alone[0].cost

    def found(apart: int) -> list[Choice]:
        refused = OverBudget("", why="", least=0, proven=0, room=room, beside=0, total=total, apart=apart)
        return [choice for choice, _ in choices_within(net, refused)]

    assert found(apart=0) == [*alone, *together]
    assert found(apart=total) == [*together, *alone]
