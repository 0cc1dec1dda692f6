"""Search spaces, and that the analytical model prefers what measurements prefer."""

from dataclasses import dataclass

import pytest

from drystone.autotune import (
    Analytical,
    Features,
    Parameter,
    Space,
    choose,
    conv_features,
    matmul_features,
    matmul_space,
)
from drystone.errors import InternalError
from drystone.targets import known, resolve

WIDE = resolve("cpu:avx512")
NAMED = [name for name in known() if name != "cpu"]


@dataclass(frozen=True)
class Nearest:
    """Expects to be fastest what is nearest to the feature `goal`."""

    def predict(self, features: Features) -> float:
        return abs(features["a"] * features["b"] - features["goal"])


SPACE = Space(
    (Parameter("a", (1, 2, 3)), Parameter("b", (5, 4))), (lambda point: point["a"] * point["b"] < 12,)
)


def test_a_space_lists_its_points_in_order_and_without_the_excluded() -> None:
    assert list(SPACE.points()) == [{"a": 1, "b": 5}, {"a": 1, "b": 4}, {"a": 2, "b": 5}, {"a": 2, "b": 4}]
    assert {"a": 2, "b": 4} in SPACE
    for outside in ({"a": 3, "b": 4}, {"a": 9, "b": 4}, {"a": 1}):
        assert outside not in SPACE


def test_the_choice_is_the_models_favourite_and_the_first_of_equals() -> None:
    assert choose(SPACE, Nearest(), {"goal": 8.0}) == {"a": 2, "b": 4}
    assert choose(SPACE, Nearest(), {"goal": 9.0}) == {"a": 2, "b": 5}


def test_a_choice_from_nothing_is_a_fault() -> None:
    empty = Space((Parameter("a", (1,)),), (lambda point: False,))
    with pytest.raises(InternalError, match="no point"):
        choose(empty, Nearest(), {"b": 1, "goal": 1})
    with pytest.raises(InternalError, match="both a feature and a parameter"):
        choose(SPACE, Nearest(), {"goal": 1, "a": 1})


@pytest.mark.parametrize(
    "parameters",
    [(Parameter("a", ()),), (Parameter("a", (1, 1)),), (Parameter("a", (1,)), Parameter("a", (2,)))],
)
def test_a_space_that_contradicts_itself_is_refused(parameters: tuple[Parameter, ...]) -> None:
    with pytest.raises(InternalError):
        Space(parameters)


@pytest.mark.parametrize("name", NAMED)
def test_every_tile_fits_the_registers(name: str) -> None:
    target = resolve(name)
    points = list(matmul_space(target).points())
    assert points
    for point in points:
        vectors = point["width"] // target.lanes(32)
        assert point["rows"] * vectors + vectors < target.registers


@pytest.mark.parametrize("name", NAMED)
def test_large_products_get_tiles_that_hide_the_latency(name: str) -> None:
    target = resolve(name)
    point = choose(matmul_space(target), Analytical(target), matmul_features(1024, 1024, 1024))
    assert point["rows"] * point["width"] // target.lanes(32) >= 8


def test_rows_divide_the_work_where_a_full_tile_would_waste_it() -> None:
    point = choose(matmul_space(WIDE), Analytical(WIDE), matmul_features(16, 512, 256))
    assert 16 % point["rows"] == 0 or 16 % point["rows"] >= 0.7 * point["rows"]
    assert choose(matmul_space(WIDE), Analytical(WIDE), matmul_features(1, 512, 256))["rows"] == 1


def test_k_is_cut_only_where_a_panel_does_not_fit_the_cache() -> None:
    model, space = Analytical(WIDE), matmul_space(WIDE)
    assert choose(space, model, matmul_features(128, 384, 384))["block"] == 0
    assert choose(space, model, matmul_features(2048, 2048, 65536))["block"] != 0


def test_more_work_takes_longer_and_more_threads_less() -> None:
    point = {"rows": 6, "width": 64, "block": 0}
    small = Analytical(WIDE).predict(matmul_features(128, 384, 384) | point)
    large = Analytical(WIDE).predict(matmul_features(128, 384, 768) | point)
    assert 1.7 * small < large < 2.3 * small
    roofline = Analytical(WIDE).predict({"flops": 2.0 * 128 * 384 * 384, "bytes": 4.0 * 384 * 384})
    assert roofline <= small


def test_a_convolution_is_the_product_it_amounts_to() -> None:
    found = conv_features(56 * 56, 64, 128, (3, 3), groups=2)
    assert found == matmul_features(56 * 56, 64, 32 * 9)
