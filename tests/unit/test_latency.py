"""Estimated times of products beside measured ones, and what must hold of any."""

import pytest

from drystone import targets
from drystone.codegen.latency import Product
from drystone.ir import formats

SHAPE = 4096, 4096
#: Times of a row times 4096 x 4096 weights beside those in w4, as docs/quantization.md has them.
MEASURED = {"q4_k": 488 / 449, "q8_0": 759 / 449, "int8_row": 774 / 449}


def coded(product: Product, name: str) -> float:
    encoding = formats.TABLE[name]()
    return product.coded(encoding, encoding.bytes(product.shape))


@pytest.mark.parametrize("name", MEASURED)
def test_one_row_takes_what_its_weights_take(name: str) -> None:
    product = Product(targets.resolve("cpu:spr"), 1, SHAPE)
    assert coded(product, name) / coded(product, "w4") == pytest.approx(MEASURED[name], rel=0.25)
    assert product.plain(2 * 4096**2, "bf16") / coded(product, "w4") == pytest.approx(1737 / 449, rel=0.1)


def test_bytes_are_for_many_rows_on_units_that_sum_them() -> None:
    for rows, name, faster in ((1, "cpu:spr", False), (256, "cpu:spr", True)):
        product = Product(targets.resolve(name), rows, SHAPE)
        assert (product.bytes(4096**2) < coded(product, "w4")) == faster


def test_tables_that_fill_several_registers_take_longer() -> None:
    """16 numbers are one register of 512 bits, and two of 256."""
    times = [coded(Product(targets.resolve(name), 1, SHAPE), "w4") for name in ("cpu:avx512", "cpu:avx2")]
    assert times[0] < 0.6 * times[1]
    three = Product(targets.resolve("cpu:avx2"), 1, SHAPE)
    assert coded(three, "w2") < 0.7 * coded(three, "w4")


def test_codes_in_two_pieces_take_longer() -> None:
    product = Product(targets.resolve("cpu:avx2"), 1, SHAPE)
    assert coded(product, "w3") > 1.5 * coded(product, "w2")
