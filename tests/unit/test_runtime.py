"""The runtime's plain parts: nesting, sizes, aligned memory, budgets as text."""

import numpy as np
import pytest

from drystone.errors import UserError
from drystone.options import byte_count
from drystone.runtime import extent, memory, tree

TREE = {"tuple": [{"tuple": ["*", {"list": ["*", "*"]}]}, {"dict": {"mask": "*", "flag": {"value": True}}}]}


def test_flatten_and_unflatten_are_inverse() -> None:
    nested = ((1, [2, 3]), {"mask": 4, "flag": True})
    leaves = tree.flatten(nested, TREE)
    assert leaves == [1, 2, 3, 4]
    assert tree.unflatten(iter(leaves), TREE) == nested


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        (((1, [2]), {"mask": 4, "flag": True}), r"the arguments\[0\]\[1\] must be a list of 2, not of 1"),
        (((1, [2, 3]), {"mask": 4}), r"must be a dict of \['flag', 'mask'\], not one of"),
        (((1, [2, 3]), {"mask": 4, "flag": False}), r"compiled for the arguments\[1\]\['flag'\] = True"),
    ],
)
def test_wrong_nesting_names_the_place(nested: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tree.flatten(nested, TREE)


def test_arguments_of_a_call_are_taken_by_position_and_name() -> None:
    kwargs = {"flag": True, "mask": 4}
    assert tree.arguments((1, [2, 3]), kwargs, TREE, "abcd") == [1, 2, 3, 4]
    assert tree.spelled(TREE, "abcd") == "model(a, [b, c], mask=d, flag=True)"


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1,), {"mask": 4, "flag": True}, "takes 2 positional arguments, not 1"),
        ((1, [2, 3]), {"mask": 4}, "the argument 'flag' is missing"),
        ((1, [2, 3]), {"mask": 4, "flag": True, "mode": 1}, "no argument named 'mode'"),
        ((1, (2,)), {"mask": 4, "flag": True}, "argument 1 must be a list of 2, not of 1"),
        ((1, 2), {"mask": 4, "flag": True}, "argument 1 must be a list of 2, not int"),
        ((1, [2, 3]), {"mask": 4, "flag": 0}, "compiled for argument 'flag' = True, not 0"),
    ],
)
def test_wrong_arguments_are_named(args: tuple[object, ...], kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tree.arguments(args, kwargs, TREE, "abcd")


def test_symbols_are_bound_and_checked() -> None:
    bounds = {"batch": (1, 8), "length": (1, 16)}
    declared = [("batch", "length"), ("batch", "2*length", 3)]
    assert extent.bind("ab", declared, [(2, 5), (2, 10, 3)], bounds) == {"batch": 2, "length": 5}
    with pytest.raises(
        UserError, match="input 'b': dimension 1 is 9, the compiled model takes 2\\*length = 10"
    ):
        extent.bind("ab", declared, [(2, 5), (2, 9, 3)], bounds)
    with pytest.raises(UserError, match="input 'a': dimension 0 is 9, declared was 1 <= batch <= 8"):
        extent.bind("ab", declared, [(9, 5), (9, 10, 3)], bounds)


def test_extents_are_expressions_only() -> None:
    assert extent.evaluate("(n + 1) // 2 * 3 - n % 4", {"n": 7}) == 9
    with pytest.raises(UserError, match="not an expression over"):
        extent.evaluate("__import__('os')", {"n": 7})


def test_arrays_are_aligned() -> None:
    for shape in ((), (1,), (3, 5), (1000,)):
        array = memory.empty(shape, np.float32)
        assert array.shape == shape and array.ctypes.data % 64 == 0
    odd = np.arange(33, dtype=np.float32)[1:]
    assert np.array_equal(memory.aligned(odd), odd) and memory.aligned(odd).ctypes.data % 64 == 0
    ready = memory.empty((4,), np.int64)
    assert memory.aligned(ready) is ready
    for array, address in (memory.placed((3, 5), "f4"), memory.readable(odd), memory.readable(ready)):
        assert array.ctypes.data == address and address % 64 == 0


def test_bytes_as_text() -> None:
    assert [byte_count(v) for v in (7, "7", "256KB", "1.5 MB", "2GiB")] == [7, 7, 1 << 18, 3 << 19, 2 << 30]
    with pytest.raises(UserError, match="'many' is not a number of bytes"):
        byte_count("many")
