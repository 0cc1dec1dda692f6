"""Products of bytes with coded matrices, executed: sums of groups are those of 64-bit integers."""

from typing import Any

import numpy as np
import pytest

from drystone.codegen import families, interpret
from drystone.ir import build, dialect, formats
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import Codes, Encoding, Per, Scale, decode, encode
from drystone.mlir import func, ir
from drystone.passes.layout.coded import CodePanels
from drystone.passes.layout.pack_weights import panel_width
from drystone.passes.layout.panels import Panels
from drystone.targets import registry
from tests.exec.families import shared_context
from tests.exec.kernels import compiled

FORMATS: dict[str, Encoding] = {
    "w4": formats.w4(),
    "w4, groups of 32": formats.w4(32),
    "w3": formats.w3(64),
    "w2": formats.w2(64),
    "ternary": formats.ternary(64),
    "bipolar": formats.bipolar(3),
    "q4_0": formats.q4_0(),
    "q8_0": formats.q8_0(),
    "int8_row": formats.int8_row(),
    "int4, one scale for all": Codes("int4", Scale(Per.tensor())),
    "dgq": formats.dgq(128),
    "q4_1": formats.q4_1(),
    "q4_k": formats.q4_k(),
    "q2_k": formats.q2_k(),
    "minima of outputs": Codes("uint4", Scale(Per.row(1), minimum=Codes("f32"))),
    "zero points that are no integers": Codes("uint4", Scale(Per.group(1, 64), zero_point=Codes("f16"))),
    "int8 with zero points": Codes("int8", Scale(Per.group(1, 64), zero_point=Codes("int8"))),
}


def product(
    encoding: Encoding,
    m: int,
    n: int,
    k: int,
    target: Any,
    *,
    dynamic: bool = False,
    matrix: Any = None,
    given: Any = None,
) -> Any:
    """The program of a product of bytes with a coded matrix, what it is called with, and its result."""
    rng = np.random.default_rng(m + n + k)
    matrix = rng.standard_normal((n, k)).astype(np.float32) if matrix is None else matrix
    parts = encode(matrix, encoding, given)
    panels = Panels((n, k), 0, panel_width(target, n))
    joined = panels.joined(encoding)
    assert not isinstance(joined, str) and not panels.codes.bytes_problem(encoding)
    stored, numbers = panels.join(parts, encoding), decode(parts, encoding, (n, k), "f32")
    a = rng.integers(-127, 128, (m, k)).astype(np.int8)
    with shared_context(), ir.Location.unknown():
        rows, f32 = ir.ShapedType.get_dynamic_size() if dynamic else m, ir.F32Type.get()
        kind = ir.RankedTensorType.get([rows, k], ir.IntegerType.get_signless(8))
        weight = with_encoding(ir.RankedTensorType.get([n, k], f32), joined)
        out = ir.RankedTensorType.get([rows, n], f32)
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            kernel = func.FuncOp("k", ir.FunctionType.get([kind, weight, out], [out]), visibility="private")
            block = kernel.add_entry_block()
            with ir.InsertionPoint(block):
                made = dialect.MatMul(
                    out, *block.arguments[:2], [], transpose_b=build.flag(True), extra_maps=build.maps([])
                )
                build.identity_epilogue(made, f32)
                func.ReturnOp([made.out])
        program = families.tile_program_of(kernel, target)
    assert program is not None
    return program, [a, stored, np.full((m, n), 77, np.float32)], a @ numbers.T.astype(np.float64)


def check(result: Any, expected: Any) -> None:
    """Only the scaling, and the sum over groups, are rounded."""
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("m", [1, 3, 40])
def test_formats(name: str, m: int) -> None:
    machine = registry.resolve("cpu")
    program, arrays, expected = product(FORMATS[name], m, 80, 384, machine)
    call = compiled(program, machine)
    for singly in (False, True):
        call(arrays, singly=singly)
        check(arrays[-1], expected)


@pytest.mark.parametrize("rows", [1, 2, 4, 5, 33, 70])
def test_rows_known_at_the_call(rows: int) -> None:
    machine = registry.resolve("cpu")
    program, arrays, expected = product(formats.w4(), rows, 48, 2304, machine, dynamic=True)
    compiled(program, machine)(arrays)
    check(arrays[-1], expected)


@pytest.mark.parametrize("m", [1, 40])
def test_the_meaning_of_programs(m: int) -> None:
    program, arrays, expected = product(formats.w4(32), m, 32, 128, registry.resolve("cpu"))
    interpret.run(program, arrays)
    check(arrays[-1], expected)


@pytest.mark.parametrize("m", [1, 32])
def test_sums_are_those_of_integers_of_64_bits(m: int) -> None:
    matrix = np.random.default_rng(0).integers(0, 16, (32, 4096)).astype(np.float32)
    matrix[:, 0] = 15  # the largest code: the scale of every row is 1
    machine = registry.resolve("cpu")
    program, arrays, expected = product(
        Codes("uint4", Scale(Per.row(1))), m, 32, 4096, machine, matrix=matrix
    )
    compiled(program, machine)(arrays)
    assert (expected == arrays[0].astype(np.int64) @ matrix.astype(np.int64).T).all()
    np.testing.assert_array_equal(arrays[-1], expected)


@pytest.mark.parametrize("target", ["cpu", "cpu:zen4"])
@pytest.mark.parametrize("m", [1, 3, 70])
def test_minima_are_taken_exactly(m: int, target: str) -> None:
    """Scales that are powers of two and minima that are integers: nothing is rounded, and the result is that
    of 64-bit integers."""
    random = np.random.default_rng(1)
    codes, least = random.integers(0, 16, (72, 1024)), random.integers(0, 32, (72, 32))
    codes[:, ::32], codes[:, 1::32] = 0, 15
    power = 2 ** random.integers(0, 3, (72, 32))
    whole = codes * np.repeat(power, 32, 1) - np.repeat(least, 32, 1)
    encoding = Codes("uint4", Scale(Per.group(1, 32), Codes("f32"), minimum=Codes("f32")))
    given = {"scale": power.astype(np.float32), "minimum": least.astype(np.float32)}
    machine = registry.resolve(target)
    program, arrays, _ = product(encoding, m, 72, 1024, machine, matrix=whole.astype(np.float32), given=given)
    compiled(program, machine)(arrays)
    np.testing.assert_array_equal(arrays[-1], arrays[0].astype(np.int64) @ whole.T)


@pytest.mark.parametrize("name", ["q4_k", "minima of outputs"])
def test_minima_with_rows_known_at_the_call(name: str) -> None:
    machine = registry.resolve("cpu")
    for rows in (1, 4, 33, 130):
        program, arrays, expected = product(FORMATS[name], rows, 48, 2304, machine, dynamic=True)
        compiled(program, machine)(arrays)
        check(arrays[-1], expected)


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [
        (formats.integers(5), "its codes are uint5"),
        (
            Codes("uint4", Scale(Per.group(1, 32), zero_point=Codes("uint8"))),
            "its codes less zero points of uint8 are no bytes",
        ),
        (formats.nf4(), "its codes are"),
        (formats.w4(96), "no whole groups"),
    ],
)
def test_what_is_not_multiplied_with_bytes(encoding: Encoding, problem: str) -> None:
    assert problem in CodePanels((32, 256), 0, 32).bytes_problem(encoding)
