"""Faults that tests put into the compiler: each breaks one step, in whatever process it is called.

As a program it runs files again: python -m tests.error.faults NAME FILE .., with these faults, and prints
what came of each.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drystone import mlir, scheduling
from drystone.autotune import explore
from drystone.codegen.cpu import generate
from drystone.frontend import lowering, unsupported
from drystone.frontend import weights as frontend_weights
from drystone.passes.fusing.fuse_concat import FuseConcat

Patch = pytest.MonkeyPatch


def broken(*args: Any, **kwargs: Any) -> Any:
    raise ZeroDivisionError("by zero")


def careless(self: Any, program: Any) -> None:
    """A pass that stops in the middle of its work."""
    for op in mlir.walk(program.module):
        if op.operation.name == "dry.matmul":
            op.operation.attributes["spoiled"] = mlir.ir.UnitAttr.get()
    raise IndexError("nothing there")


def no_kernel(*args: Any, **kwargs: Any) -> Any:
    raise KeyError("no tile")


def in_the_import(patch: Patch) -> None:
    patch.setattr(frontend_weights.Weights, "key", broken)


def in_torch_mlir(patch: Patch) -> None:
    patch.setattr(lowering, "_PIPELINE", "func.func(convert-torch-to-linalg)")
    patch.setattr(unsupported, "_lowers", lambda node, ctx: True)


def in_a_pass(patch: Patch) -> None:
    patch.setattr(FuseConcat, "run", careless)


def in_the_schedule(patch: Patch) -> None:
    patch.setattr(explore, "first_choice", broken)


def in_the_plan(patch: Patch) -> None:
    patch.setattr(scheduling, "Allotter", broken)


def in_a_kernel(patch: Patch) -> None:
    patch.setattr(generate, "lower", no_kernel)
    patch.setattr(generate, "lower_by_passes", no_kernel)


def in_the_lowering(patch: Patch) -> None:
    patch.setattr(generate, "TO_LLVM", "convert-func-to-emitc")


def in_llvm(patch: Patch) -> None:
    patch.setattr(generate, "TO_LLVM", "canonicalize")


FAULTS: dict[str, Callable[[Patch], None]] = {
    each.__name__: each
    for each in (
        in_the_import,
        in_torch_mlir,
        in_a_pass,
        in_the_schedule,
        in_the_plan,
        in_a_kernel,
        in_the_lowering,
        in_llvm,
    )
}

if __name__ == "__main__":
    from drystone.reproducer import reproduce

    for name, path in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        with pytest.MonkeyPatch.context() as patch:
            FAULTS[name](patch)
            print(reproduce(Path(path)).code, name)
