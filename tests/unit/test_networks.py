"""Shape graphs of the networks that planning is measured on: operations and least memories are known."""

import pytest

from benchmarks.planning.cosma import row
from benchmarks.planning.networks import build
from benchmarks.planning.shapes import shape_graph
from drystone.scheduling.graph import Graph


@pytest.mark.parametrize(
    ("name", "operations", "least", "bound"),
    [
        # What an operation needs by itself, and what some step needs under every order.
        ("SqueezeNet1.1", 38, 982_144, 982_144),
        ("MobileNetV2", 64, 1_505_280, 1_505_280),
        ("ViT-Tiny/16", 149, 302_592, 384_150),
        ("BERT-small", 61, 524_288, 589_824),
    ],
)
def test_a_shape_graph_has_the_activations_of_its_network(
    name: str, operations: int, least: int, bound: int
) -> None:
    problem = shape_graph(*build(name))
    graph = Graph(problem)
    assert (len(problem.operations), graph.least(), graph.bound()) == (operations, least, bound)


def test_a_batch_norm_without_a_convolution_is_two_operations() -> None:
    problem = shape_graph(*build("DenseNet-121"))
    assert len(problem.operations) == 310
    assert Graph(problem).least() == 1_634_560  # COSMA's M_R, 1596.25 KB


def test_planned_bytes_are_beside_those_of_the_baseline() -> None:
    line, belady, planned = row("BERT-small", 5)
    assert (belady, planned) == (2_621_440, 524_288)
    assert "| 524,288 | 524,288 | proved | 80 % |" in line


def test_weights_lie_in_slow_memory_and_come_once_for_free() -> None:
    problem = shape_graph(*build("ResNet-18"), weights=True)
    graph = Graph(problem)
    assert graph.least() == 512 * 512 * 9 + 2 * 512 * 7 * 7  # a last convolution: its weight and two images
    assert graph.compulsory == sum(tensor.size for tensor in problem.tensors if tensor.home)
    assert row("ResNet-18", 5, weights=True)[1:] == (200_704, 100_352)
