"""A module's text says everything about it."""

import numpy as np

from drystone.ir import dialect
from drystone.ir.interpreter import run
from drystone.ir.program import Program
from drystone.mlir import parse, text, walk
from tests.unit.every_op import every_op, inputs
from tests.unit.ir_cases import CONTEXT


def test_the_module_holds_every_operation_of_the_dialect() -> None:
    declared = {
        value.OPERATION_NAME
        for value in vars(dialect).values()
        if isinstance(value, type) and "OPERATION_NAME" in vars(value)
    }
    assert {op.operation.name for op in walk(every_op().module)} >= declared


def test_text_parses_back_to_the_same_module() -> None:
    before = every_op()
    for locations in (False, True):
        written = text(before.module, locations=locations)
        again = parse(written, CONTEXT)
        assert text(again, locations=locations) == written
        after = Program(again, before.weights, before.signature)
        for ours, theirs in zip(run(after, inputs()), run(before, inputs()), strict=True):
            np.testing.assert_array_equal(ours, theirs)
