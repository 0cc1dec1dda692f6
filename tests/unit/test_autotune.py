"""Search spaces, and that the analytical model prefers what measurements prefer."""

import pytest

from drystone.autotune import Analytical
from drystone.codegen import families
from drystone.codegen.families.matmul.schedule import Product, default, space
from drystone.codegen.search import Parameter, Point, Search, Space
from drystone.errors import InternalError
from drystone.mlir import ir
from drystone.targets import known, resolve
from drystone.targets.dots import UNITS, DotUnit
from drystone.targets.target import CpuTarget
from tests.exec.dry_cases import Case
from tests.exec.families import shared_context
from tests.exec.test_matmul import matmul

WIDE = resolve("cpu:avx512")
NAMED = [name for name in known() if name != "cpu"]


SPACE = Space(
    (Parameter("a", (1, 2, 3)), Parameter("b", (5, 4))), (lambda point: point["a"] * point["b"] < 12,)
)


def test_a_space_lists_its_points_in_order_and_without_the_excluded() -> None:
    assert list(SPACE.points()) == [{"a": 1, "b": 5}, {"a": 1, "b": 4}, {"a": 2, "b": 5}, {"a": 2, "b": 4}]
    assert {"a": 2, "b": 4} in SPACE
    for outside in ({"a": 3, "b": 4}, {"a": 9, "b": 4}, {"a": 1}):
        assert outside not in SPACE


@pytest.mark.parametrize(
    "parameters",
    [(Parameter("a", ()),), (Parameter("a", (1, 1)),), (Parameter("a", (1,)), Parameter("a", (2,)))],
)
def test_a_space_that_contradicts_itself_is_refused(parameters: tuple[Parameter, ...]) -> None:
    with pytest.raises(InternalError):
        Space(parameters)


def product(m: int | None, n: int, k: int) -> Product:
    """A product of f32 with a plain b."""
    return Product(m, n, k, 32, 0)


def features(m: int, n: int, k: int) -> dict[str, float]:
    """What the model is told of it."""
    return {"m": m, "n": n, "k": k, "bits": 32, "group": 1, "tile": 0}


def chosen(target: CpuTarget, m: int, n: int, k: int) -> Point:
    """The model's choice for it."""
    model, given = Analytical(target), features(m, n, k)
    return min(space(product(m, n, k), target).points(), key=lambda point: model.predict(given | point))


def search_of(case: Case) -> Search | None:
    """The schedules of a kernel."""
    with shared_context(), ir.Location.unknown():
        return families.search_of(case.function, WIDE)


SIZES = [
    (1, 384, 384),
    (128, 384, 384),
    (100, 10, 64),
    (1024, 1024, 1024),
    (None, 512, 256),
    (512, 2048, 32768),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMED)
def test_every_tile_fits_the_registers_and_the_default_is_one_of_them(
    name: str, size: tuple[int | None, int, int]
) -> None:
    target, shape = resolve(name), product(*size)
    points = list(space(shape, target).points())
    for point in points:
        vectors = -(-point["width"] // target.lanes(32))
        assert point["rows"] * vectors + vectors < target.registers
    assert default(shape, target) in points


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("size", [(128, 384, 384), (128, 384, 1536), (1024, 1024, 1024)])
def test_the_model_finds_nothing_much_better_than_the_default(name: str, size: tuple[int, int, int]) -> None:
    target = resolve(name)
    model, given = Analytical(target), features(*size)
    taken = model.predict(given | default(product(*size), target))
    assert taken <= 1.25 * model.predict(given | chosen(target, *size))


@pytest.mark.parametrize("name", NAMED)
def test_large_products_get_tiles_that_hide_the_latency(name: str) -> None:
    target = resolve(name)
    point = chosen(target, 1024, 1024, 1024)
    assert point["rows"] * point["width"] // target.lanes(32) >= 8


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.tiles])
@pytest.mark.parametrize("size", [(128, 384, 1536), (1024, 1024, 1024), (512, 5632, 2048)])
def test_tile_registers_take_all_k_in_one_pass_where_the_second_cache_holds_a_panel(
    unit: DotUnit, size: tuple[int, int, int]
) -> None:
    target, (m, n, k) = resolve("cpu:spr"), size
    made = Product(m, n, k, 32, 2 * unit.columns, unit.group, unit)
    model, given = Analytical(target), {**features(*size), "group": unit.group, "tile": unit.depth}
    best = min(space(made, target).points(), key=lambda point: model.predict(given | point))
    assert best == default(made, target)
    assert (best["rows"], best["passes"]) == (2 * unit.rows, 1)


def test_rows_divide_the_work_where_a_full_tile_would_waste_it() -> None:
    point = chosen(WIDE, 16, 512, 256)
    assert 16 % point["rows"] == 0 or 16 % point["rows"] >= 0.7 * point["rows"]
    assert chosen(WIDE, 1, 512, 256)["rows"] == 1


def test_k_is_cut_only_where_a_panel_does_not_fit_the_cache() -> None:
    assert chosen(WIDE, 128, 384, 384)["passes"] == 1
    assert chosen(WIDE, 2048, 2048, 65536)["passes"] > 1


def test_more_work_takes_longer() -> None:
    point = {"rows": 6, "width": 64, "passes": 1}
    small = Analytical(WIDE).predict(features(128, 384, 384) | point)
    large = Analytical(WIDE).predict(features(128, 384, 768) | point)
    assert 1.7 * small < large < 2.3 * small


def test_a_kernel_can_be_built_at_every_point() -> None:
    case = matmul(40, 96, 70, pack=32)
    search = search_of(case)
    assert search is not None and search.features == features(40, 96, 70)
    programs = {str(search.build(point)) for point in search.space.points()}
    assert len(programs) == len(list(search.space.points()))
    assert str(search.build(search.default)) in programs


def test_a_kernel_of_one_schedule_has_no_search() -> None:
    assert search_of(matmul(4, 8, 16, transposed=True)) is None
    assert search_of(matmul(4, 1, 16)) is None
