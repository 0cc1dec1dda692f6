"""A module that extends drystone when it is imported: `dry.doubled`, out = x + x, whose tiles have a width to
be tuned."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from drystone import extend
from drystone.codegen.families.dry_op import dry_op
from drystone.codegen.search import Parameter, Point, Search, Space
from drystone.codegen.tile import Index, TileBuilder, TileProgram, tile_program
from drystone.dtypes import Array
from drystone.ir.dialect import Dry, Operand, Pure, Result


class Doubled(Dry.Operation, name="doubled", traits=[Pure]):
    """out = x + x."""

    out: Result[Any]
    x: Operand[Any]


def meaning(machine: Any, op: Any, arrays: list[Array]) -> list[Array]:
    return [np.asarray(arrays[0] + arrays[0])]


def extent(op: Any, number: int, axis: int, extent: Any, apply: Any) -> Any:
    return extent(op.operands[0], axis)


def problems(op: Any) -> Iterator[str]:
    if op.operands[0].type.rank != 1:
        yield f"x has rank {op.operands[0].type.rank}, not 1"


def search(kernel: Any, target: Any) -> Search:
    op = dry_op(kernel)
    x, (out,) = op.tensor(op.main.x), op.inits

    def program(point: Point) -> TileProgram:
        def body(t: TileBuilder) -> None:
            def step(i: Index) -> None:
                tile = t.load(x, [i], [point["width"]])
                t.store(out, [i], t.apply("arith.addf", tile, tile))

            t.same(x.dim(0), out.dim(0))
            t.grid([(out.dim(0), point["width"])], step)

        return tile_program("doubled", op.tensors, body, op.scalars)

    return Search(Space((Parameter("width", (16, 64)),)), {"width": 16}, {}, program)


def tiles(kernel: Any, target: Any) -> TileProgram:
    found = search(kernel, target)
    return found.build(found.default)


def convert(at: Any, x: Any) -> list[Any]:
    return [Doubled(at.out(), at.tensor(x)).out]


@torch.library.custom_op("drystone_tests::doubled", mutates_args=())
def doubled(x: torch.Tensor) -> torch.Tensor:
    """What the model calls."""
    return x + x


@doubled.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def add(**changed: Any) -> None:
    """Add the operation, or one that differs."""
    rules = {"meaning": meaning, "extent": extent, "problems": problems, "tiles": tiles, "search": search}
    imports = {"drystone_tests.doubled.default": convert}
    extend.operation(**{"cls": Doubled, **rules, "imports": imports, **changed})


@dataclass(frozen=True)
class Faulty:
    """A pass that fails."""

    name: ClassVar[str] = "faulty"

    def run(self, program: Any) -> None:
        """Fail."""
        raise ValueError("a fault of the extension")


add()
