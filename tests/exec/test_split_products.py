"""Products with matrices held as sums or in other coordinates, executed, against decoded matrices."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.ir import formats
from drystone.ir.encoding import (
    SEARCHED,
    Codes,
    Encoding,
    OutlierColumns,
    OutlierElements,
    Sum,
    decode,
    encode,
)

FORMATS: dict[str, Encoding] = {
    "low rank": formats.int21(8, 64),
    "binary coding": formats.bcq(3, 64),
    "outlier columns": formats.llm_int8(6),
    "outlier elements": formats.spqr(300),
    "outlier elements in all columns": OutlierElements(formats.w4(64), Codes("f16"), 400),
    "outlier elements of 32 bits": OutlierElements(formats.w4(64), Codes("f32"), 120),
    "groups in another order": formats.gptq(64),
    "ranges in another order": formats.comet(128, 128),
    "a diagonal": formats.awq(64),
    "outlier columns and an order": OutlierColumns(formats.gptq(64), Codes("f16"), 1, 4),
}


def layer() -> nn.Linear:
    """A product with some columns far larger than the others."""
    torch.manual_seed(0)
    made = nn.Linear(256, 80).eval()
    made.weight.data[:, ::40] *= 20
    return made


def numbers(weight: torch.Tensor, encoding: Encoding) -> torch.Tensor:
    """A weight as `compile(.., quantize=..)` holds it, in f64."""
    array = weight.detach().numpy()
    parts = encode(array, encoding, search=SEARCHED)
    return torch.from_numpy(decode(parts, encoding, array.shape, "f32").astype(np.float64))


def check(encoding: Encoding, counts: list[int], **how: Any) -> drystone.Fitted:
    """Compile a product with what follows it, and compare its calls with so many rows; the model."""
    model, x = layer(), torch.randn(max(counts), 256)
    fitted = drystone.compile(nn.Sequential(model, nn.ReLU()), (x,), quantize={".*": encoding}, **how)
    weight, bias = numbers(model.weight, encoding), model.bias.detach().double()
    for some in (x[:count] for count in counts):
        wanted = torch.relu(some.double() @ weight.T + bias)
        assert (fitted(some).double() - wanted).abs().max() < 1e-5 * wanted.abs().max()
    return fitted


@pytest.mark.parametrize("name", FORMATS)
def test_sums_are_sums_of_products(name: str) -> None:
    # Codes, with places where panels are not full and indices of 64 bits, and nothing decoded beside.
    assert check(FORMATS[name], [3]).memory.weights < 0.35 * 4 * 256 * 80


@pytest.mark.parametrize("name", ["outlier columns", "outlier elements in all columns"])
def test_any_number_of_rows(name: str) -> None:
    rows = torch.export.Dim("rows", min=1, max=32)
    check(FORMATS[name], [1, 20], dynamic_shapes=({0: rows},))


def test_outliers_that_are_spread_are_summed_by_themselves() -> None:
    torch.manual_seed(1)
    model = nn.Linear(256, 80).eval()
    encoding = OutlierElements(formats.w4(64), Codes("f16"), 300)
    x = torch.randn(2, 3, 256)
    fitted = drystone.compile(model, (x,), quantize={".*": encoding})
    parts = encode(model.weight.detach().numpy(), encoding, search=SEARCHED)
    assert len(np.unique(parts["index"])) > 256 // 4
    wanted = x.double() @ numbers(model.weight, encoding).T + model.bias.detach().double()
    assert (fitted(x).double() - wanted).abs().max() < 1e-5 * wanted.abs().max()
    # The elements, their columns and where each list starts, beside the codes.
    listed = 300 * (2 + 2) + 81 * 4
    assert fitted.memory.weights < encoding.base.bytes((96, 256)) + listed + 80 * 4 + 256


def test_spread_outliers_of_a_term_are_added_to_other_terms() -> None:
    encoding = Sum((formats.int21(8, 64), OutlierElements(formats.w4(64), Codes("f16"), 300)))
    assert len(check(encoding, [3]).manifest.kernels) == 5


def test_outliers_of_one_row_are_a_long_list() -> None:
    model = nn.Linear(256, 80).eval()
    model.weight.data[3, :200] *= 50
    encoding = OutlierElements(formats.w4(64), Codes("f16"), 200)
    for rows in (2, 40):
        x = torch.randn(rows, 256)
        fitted = drystone.compile(model, (x,), quantize={".*": encoding})
        wanted = x.double() @ numbers(model.weight, encoding).T + model.bias.detach().double()
        assert (fitted(x).double() - wanted).abs().max() < 1e-5 * wanted.abs().max()
        assert len(fitted.manifest.kernels) == 2 and fitted.memory.weights < 80 * 256


def test_codes_that_are_multiplied_with_bytes_beside_outliers() -> None:
    model, x = layer(), torch.randn(4, 256)
    encoding = OutlierColumns(formats.w4(64), Codes("f16"), 1, 7)
    how = drystone.Quantize(encoding, activations=8)
    fitted = drystone.compile(model, (x,), quantize={".*": how})
    wanted = x.double() @ numbers(model.weight, encoding).T + model.bias.detach().double()
    assert (fitted(x).double() - wanted).norm() < 2e-2 * wanted.norm()
    assert any(call.name.startswith("round_rows") for call in fitted.manifest.kernels)


def test_a_term_that_no_kernel_reads_leaves_the_weight_decoded() -> None:
    fitted = check(Sum((formats.w4(64), formats.palettized(4))), [4])
    assert len(fitted.manifest.kernels) == 1 and fitted.memory.weights >= 4 * 256 * 80
