"""Weights of which products leave out the same rows, such as those of an MLP's neurons: which they are, and
that they lie side by side (Alizadeh et al. 2023, "LLM in a flash", section 3.2)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from drystone.ir.buffers import RESHAPES
from drystone.ir.encoded import codes_of, with_encoding
from drystone.ir.encoding import Bundle, Codes, Pack, encode
from drystone.ir.program import Program
from drystone.ir.values import main_block, producer_name
from drystone.ir.zeros import factors, factors_of
from drystone.mlir import ir
from drystone.passes.fusing.epilogues import extras_of
from drystone.passes.rewriting import ops, uses
from drystone.passes.sparsifying.thresholds import read_as
from drystone.passes.weights import new_weight, stored_weight, weight_key, window_of


def bundles(program: Program, layouts: Mapping[Any, Pack | None]) -> list[list[Any]]:
    """The products whose weights can lie in bundles, in the order in which they are computed: what an MLP's
    down projection reads is made by its up projection, for the neurons alone that a factor leaves, and where
    that is made by another product for the same ones, by its gate. Those alone whose rows are to come from a
    file: in memory they are read as fast apart. layouts: how weights are to lie, by operation."""
    keys = [op.operation.attributes["key"].value for op in ops(main_block(program), "dry.weight")]
    known = {op for op, layout in layouts.items() if layout is not None and not layout.inner_dims}
    alone = {op for op in known if _is_alone(op, keys) and _window(program, op) is not None}
    found = []
    for down in ops(main_block(program), "dry.matmul"):
        up = _made_by(down.operation.operands[0])
        if down.operation not in alone or up not in alone or _is_by_outputs(down.operation, layouts):
            continue
        if not _is_by_outputs(up, layouts) or _rows(up, layouts) != _rows(down.operation, layouts):
            continue
        before = [_made_by(extras_of(up)[n][0]) for n in factors(up.regions[0].blocks[0])]
        gates = [
            each
            for each in dict.fromkeys(before)
            if each in alone and _is_by_outputs(each, layouts) and _rows(each, layouts) == _rows(up, layouts)
        ]
        found.append([*gates, up, down.operation])
    return found


def lay_in_bundles(program: Program, products: Sequence[Any], layouts: Mapping[Any, Pack | None]) -> None:
    """Let products read their weights where the rows of all of them lie side by side."""
    weights = [op.operands[1] for op in products]
    keys, packs = [str(weight_key(each)) for each in weights], [layouts[op] or Pack() for op in products]
    element = codes_of(weights[0].type).element
    held = [
        encode(program.weights[key], Codes(element, None, pack))["codes"]
        for key, pack in zip(keys, packs, strict=True)
    ]
    shared, window = None, max(_window(program, op) or 0 for op in products)
    for place, (op, weight, pack) in enumerate(zip(products, weights, packs, strict=True)):
        layout = Bundle((), (), pack.outer_perm, place, len(products))
        kind = with_encoding(weight.type, Codes(element, None, layout))
        with ir.InsertionPoint(weight.owner), weight.owner.location:
            if shared is None:
                made = new_weight(program, f"{keys[-1]}.bundled", np.stack(held, 1), kind)
                shared = str(weight_key(made))
            else:
                made = stored_weight(shared, kind)
        op.operands[1] = made
    program.windows[str(shared)] = window


def _window(program: Program, op: Any) -> int | None:
    return window_of(program, str(weight_key(op.operands[1])))


def _made_by(value: Any) -> Any:
    """The product that makes a tensor, or what is 0 with it is made of; None where none does."""
    while producer_name(value) in RESHAPES:
        value = value.owner.operands[0]
    if producer_name(value) == "dry.matmul":
        return value.owner.operation
    if producer_name(value) != "linalg.generic":
        return None
    *_, last = value.owner.regions[0].blocks[0].operations
    read = (read_as(value.owner.opview, each) for each in factors_of(last.operation.operands[0]))
    return next((made for each in read if each is not None and (made := _made_by(each))), None)


def _is_alone(op: Any, keys: Sequence[str]) -> bool:
    """Whether nothing but the product reads its weight."""
    weight = op.operands[1]
    return len(uses(weight)) == 1 and keys.count(str(weight_key(weight))) == 1


def _is_by_outputs(op: Any, layouts: Mapping[Any, Pack | None]) -> bool:
    """Whether rows of a weight are those of its outputs."""
    pack = layouts[op]
    return bool(op.attributes["transpose_b"].value) == (pack is not None and pack.outer_perm == (0, 1))


def _rows(op: Any, layouts: Mapping[Any, Pack | None]) -> tuple[Any, ...]:
    """What rows of weights must have in common to lie side by side: how many, how long, of what element."""
    kind = op.operands[1].type
    return (*(layouts[op] or Pack()).shape(kind.shape), codes_of(kind).element)
