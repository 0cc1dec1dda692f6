"""Rows of weights that a kernel call leaves out, and the numbers that say which."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from drystone.ir.encoded import pack_of, storage_bytes, storage_shape
from drystone.ir.program import Program
from drystone.ir.values import dims_of, function, nested, shape, uncast
from drystone.ir.zeros import factors
from drystone.mlir import ir


@dataclass(frozen=True)
class Picked:
    """A weight, an operand of a kernel call, of which the rows [rows, ..] alone are read where some of
    `live`, an operand [.., rows], is not 0: `size` bytes each."""

    weight: Any
    live: Any
    rows: int
    size: int


def leaves_rows(b: Any) -> bool:
    """Whether the right operand of a product is held so that rows of it can be left out: input by input, or
    output by output."""
    pack = pack_of(uncast(b).type)
    return pack is not None and b.type.rank == 2 and not pack.inner_dims


def by_outputs(product: Any) -> bool:
    """Whether the rows of such an operand are those of the outputs."""
    pack = pack_of(uncast(product.operands[1]).type)
    return bool(product.attributes["transpose_b"].value) == (pack is not None and pack.outer_perm == (0, 1))


def picked_rows(program: Program, call: Any) -> list[Picked]:
    """The weights of a call that nothing in its kernel reads other rows of."""
    kernel = function(program, call.attributes["callee"].value)
    arguments = list(kernel.regions[0].blocks[0].arguments)
    reads = [read for op in nested(kernel) if op.operation.name == "dry.matmul" for read in _reads(op)]
    found = []
    for number, argument in enumerate(arguments):
        own = [live for weight, live in reads if weight == argument]
        weight = call.operands[number]
        if len(own) != 1 or len(list(argument.uses)) != 1 or own[0] not in arguments:
            continue
        rows = storage_shape(weight.type)[0]
        live = call.operands[arguments.index(own[0])]
        found.append(Picked(weight, live, rows, storage_bytes(weight.type) // rows))
    return found


def _reads(product: Any) -> Iterator[tuple[Any, Any]]:
    """The weight of a product that leaves rows of it out, and what says which."""
    operation = product.operation
    if not leaves_rows(operation.operands[1]):
        return
    weight = uncast(operation.operands[1])
    if not by_outputs(operation):
        yield weight, uncast(operation.operands[0])
        return
    maps = [ir.AffineMapAttr(each).value for each in operation.attributes["extra_maps"]]
    last = operation.results[0].type.rank - 1
    for number in factors(operation.regions[0].blocks[0]):
        extra = uncast(operation.operands[2 + number])
        if dims_of(maps[number])[-1:] == [last] and shape(extra)[-1] == shape(operation.results[0])[-1]:
            yield weight, extra
            return
