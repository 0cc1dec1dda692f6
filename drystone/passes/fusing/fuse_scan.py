"""The pass `fuse-scan`: linear recurrences compute their coefficients and weigh their states themselves."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from drystone.ir import build
from drystone.ir.dialect import MAX_EXTRAS, Coefficients
from drystone.ir.program import Program
from drystone.ir.values import dims_of, is_tensor, main_block, producer, producer_name, shape
from drystone.mlir import ints, ir
from drystone.passes.dims import Extent, extent
from drystone.passes.fusing.epilogues import is_plain, projects
from drystone.passes.generic import (
    body,
    collapse,
    composed,
    expand,
    is_filled_with_zero,
    is_producer,
    maps_of,
    through_units,
    without_units,
)
from drystone.passes.layout.moves import origin, permutation_of
from drystone.passes.regions import copy_body, copy_value
from drystone.passes.rewriting import erase_dead, only_user, ops, tensor_type, uses


@dataclass(frozen=True)
class FuseScan:
    """What a linear recurrence is made of, and its states, are not in memory (Mamba's selective scan).

    Before:  %f = linalg.generic ins(%dt, %a) {exp(dt * a)} ; %x = linalg.generic ins(%u, %b) {u * b}
             %h = "dry.linear_scan"(%x, %f) ; %y = linalg.generic ins(%h, %c) {sum of h * c}
    After:   %y = "dry.selective_scan"(%dt, %a, %u, %b, %c) {exp(dt * a), u * b, c}

    - A factor or addend that a linalg.generic over parallel dimensions makes for the scan alone is computed
      where it is used; reshapes of dimensions of extent 1 between the two do not matter.
    - States that are only read to be multiplied with something and summed over their last dimension, of known
      extent, are weighted and summed as they come: by a linalg.generic, or a product with one column or
      row, also of joined dimensions, as einsum makes it.
    - Bodies are of the dialects arith and math; inputs are read through projections, `MAX_EXTRAS` at most.
    - States of f32 or f64; not those of a scan along the last dimension.
    """

    name: ClassVar[str] = "fuse-scan"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "dry.linear_scan"):
            _fuse(op)
        erase_dead(block)


@dataclass
class _Part:
    """A scalar of the step: inputs with their maps over the dimensions of h, and the linalg.generic whose
    body computes it of them (`value` of it, else what it yields); without one the only input itself."""

    inputs: list[tuple[Any, Any]]
    made: Any = None
    value: Any = None
    arguments: list[Any] = field(default_factory=list)

    def copied(self, known: list[Any]) -> Any:
        """Compute it at the insertion point from the elements of its inputs."""
        if self.made is None:
            return known[0]
        inside = dict(zip(self.arguments, known, strict=True))
        if self.value is not None:
            return copy_value(self.value, inside, lambda d: d)
        return copy_body(body(self.made), inside)[0]


@dataclass(frozen=True)
class _Readout:
    """The operation that sums the weighted states, and how it joins the dimensions that are left."""

    op: Any
    weight: _Part
    groups: list[list[int]] | None = None


def _fuse(op: Any) -> None:
    x, factor = op.operation.operands
    rank, element = x.type.rank, str(x.type.element_type)
    dim = op.operation.attributes["dim"].value
    if element not in ("f32", "f64") or dim == rank - 1:
        return
    parts = [_coefficient(op, factor), _coefficient(op, x)]
    readout = _readout(op.operation.results[0])
    if readout is None and all(part.made is None for part in parts):
        return
    if readout is not None:
        parts.append(readout.weight)
    inputs = list(dict.fromkeys(pair for part in parts for pair in part.inputs))
    if len(inputs) <= MAX_EXTRAS:
        _replace(op, parts, inputs, readout)


def _coefficient(op: Any, value: Any) -> _Part:
    """A factor or an addend of a scan."""
    identity = ir.AffineMap.get_identity(value.type.rank)
    plain = _Part([(value, identity)])
    source, map_ = without_units(value, identity)
    made = producer(source)
    if made is None or made.operation.name != "linalg.generic" or not is_producer(made) or not is_plain(made):
        return plain
    chain = [value]
    while chain[-1] != source:
        chain.append(chain[-1].owner.operation.operands[0])
    if any(len(uses(each)) != 1 for each in chain):
        return plain
    *reads, out = maps_of(made)
    results, place = list(map_.results), {d: k for k, d in enumerate(dims_of(out))}
    loops = ir.AffineMap.get(map_.n_dims, 0, [results[place[d]] for d in range(out.n_dims)])
    inputs = [
        (each, composed(read, loops)) for each, read in zip(made.operation.operands, reads, strict=False)
    ]
    if not all(is_tensor(each) and projects(each, read) for each, read in inputs):
        return plain
    return _Part(inputs, made, None, list(body(made).arguments)[:-1])


def _readout(h: Any) -> _Readout | None:
    """The only reader of the states, where it weighs and sums them."""
    op = only_user(h)
    if op is None or shape(h)[-1] is None:
        return None
    if op.operation.name == "linalg.generic" and not _moves(op):
        return _sum(op, h)
    value = h
    while op is not None and _moves(op):
        value = op.operation.results[0]
        op = only_user(value)
    if op is None or op.operation.name != "dry.matmul" or len(op.operation.operands) > 2:
        return None
    if not _is_identity(op):
        return None
    if op.operation.operands[1] == value:
        return _row(op, h)
    if value == h:
        return _product(op, h)
    return _joined_product(value.owner, h) if producer_name(value) == "tensor.collapse_shape" else None


def _moves(op: Any) -> bool:
    """Whether an operation only reshapes or moves what it reads."""
    name = op.operation.name
    moved = name == "linalg.generic" and permutation_of(op.operation.results[0]) is not None
    return moved or name in ("tensor.expand_shape", "tensor.collapse_shape")


def _product(op: Any, h: Any) -> _Readout | None:
    """A product of the states with one column."""
    b = op.operation.operands[1]
    flipped = op.operation.attributes["transpose_b"].value
    extents = shape(b)
    if extents[-2 if flipped else -1] != 1:
        return None
    rank = h.type.rank
    zero, last = ir.AffineExpr.get_constant(0), ir.AffineExpr.get_dim(rank - 1)
    batch = [zero if n == 1 else ir.AffineExpr.get_dim(d) for d, n in enumerate(extents[:-2])]
    map_ = ir.AffineMap.get(rank, 0, [*batch, *([zero, last] if flipped else [last, zero])])
    return _Readout(op, _Part([(b, map_)]))


def _joined_product(reshape: Any, h: Any) -> _Readout | None:
    """A product of the states, their first dimensions joined, with one column, as einsum makes it."""
    joined, groups = (
        reshape.operation.results[0],
        [ints(g) for g in reshape.operation.attributes["reassociation"]],
    )
    if reshape.operation.operands[0] != h or any(len(group) > 1 for group in groups[-2:]):
        return None
    op = only_user(joined)
    found = _product(op, joined)
    if found is None:
        return None
    ((b, map_),) = found.weight.inputs
    kept: list[list[int]] = []
    sizes: list[Extent] = []
    exprs: list[Any] = []
    with ir.InsertionPoint(op), op.operation.location:
        for axis, (read, d) in enumerate(zip(map_.results, dims_of(map_), strict=True)):
            apart = [] if d is None else groups[d]
            kept.append(list(range(len(sizes), len(sizes) + max(1, len(apart)))))
            sizes.extend([extent(h, k) for k in apart] or [extent(b, axis)])
            exprs.extend([ir.AffineExpr.get_dim(k) for k in apart] or [read])
        weight = expand(b, kept, sizes)
    place = ir.AffineMap.get(h.type.rank, 0, exprs)
    return _Readout(op, _Part([(weight, place)]), groups[:-1])


def _row(op: Any, h: Any) -> _Readout | None:
    """A product of one row with the states, moved so that it sums over their last dimension."""
    a, b = op.operation.operands
    source, map_ = origin(b)
    rank = b.type.rank
    dims, summed = dims_of(map_), rank - 1 if op.operation.attributes["transpose_b"].value else rank - 2
    left = [d for d in dims[:-1] if d is not None]
    if source != h or a.type.rank != rank or shape(a)[-2] != 1 or dims[-1] != summed or left != sorted(left):
        return None
    zero, last = ir.AffineExpr.get_constant(0), ir.AffineExpr.get_dim(h.type.rank - 1)
    batch = [zero if n == 1 else ir.AffineExpr.get_dim(dims.index(d)) for d, n in enumerate(shape(a)[:-2])]
    return _Readout(op, _Part([(a, ir.AffineMap.get(h.type.rank, 0, [*batch, zero, last]))]))


def _is_identity(op: Any) -> bool:
    """Whether an operation stores its result as it is."""
    block = body(op)
    (stored,) = list(block.operations)[-1].operation.operands
    return bool(stored == block.arguments[0])


def _sum(op: Any, h: Any) -> _Readout | None:
    """A sum over the last dimension of something times the states."""
    values, maps = list(op.operation.operands), maps_of(op)
    number = values.index(h)
    loops, out = dims_of(maps[number]), dims_of(maps[-1])
    if len(op.operation.results) != 1 or sorted(d for d in loops if d is not None) != list(range(len(loops))):
        return None
    if maps[0].n_dims != len(loops) or out != loops[:-1] or not is_filled_with_zero(values[-1]):
        return None
    arguments = list(body(op).arguments)
    weight = _weight(op, arguments[number], arguments[-1])
    place = ir.AffineMap.get(
        len(loops), 0, [ir.AffineExpr.get_dim(loops.index(d)) for d in range(len(loops))]
    )
    others = [k for k in range(len(values) - 1) if k != number]
    inputs = [(values[k], composed(maps[k], place)) for k in others]
    if weight is None or not is_plain(op) or not all(is_tensor(v) and projects(v, m) for v, m in inputs):
        return None
    return _Readout(op, _Part(inputs, op, weight, [arguments[k] for k in others]))


def _weight(op: Any, state: Any, total: Any) -> Any:
    """What the state is multiplied with, where the body adds that product to the total and does no more."""
    (added,) = list(body(op).operations)[-1].operation.operands
    if len(uses(state)) != 1 or len(uses(total)) != 1 or producer_name(added) != "arith.addf":
        return None
    product = [value for value in added.owner.operation.operands if value != total]
    if len(product) != 1 or producer_name(product[0]) != "arith.mulf":
        return None
    factors = list(product[0].owner.operation.operands)
    weight = [value for value in factors if value != state]
    return weight[0] if len(weight) == 1 else None


def _replace(op: Any, parts: list[_Part], inputs: list[tuple[Any, Any]], readout: _Readout | None) -> None:
    """Put one operation in the place of the scan, and of what reads its states."""
    h = op.operation.results[0]
    last = op if readout is None else readout.op
    old = last.operation.results[0]
    kind = h.type if readout is None else tensor_type(shape(h)[:-1], h.type.element_type)
    attributes = {
        "dim": op.operation.attributes["dim"],
        "summed": build.flag(readout is not None),
        "indexing_maps": build.maps([map_ for _, map_ in inputs]),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([int(k < len(inputs)) for k in range(MAX_EXTRAS)]),
    }
    with ir.InsertionPoint(last), op.operation.location:
        values = [value for value, _ in inputs]
        made = ir.Operation.create("dry.selective_scan", [kind], values, attributes, regions=1)
        block = made.regions[0].blocks.append(*(value.type.element_type for value in values))
        result = made.results[0]
        if readout is not None and readout.groups is not None:
            result = collapse(result, readout.groups)
        old.replace_all_uses_with(through_units(result, old.type))
    with ir.InsertionPoint(block), op.operation.location:
        known = dict(zip(inputs, block.arguments, strict=True))
        steps = [part.copied([known[pair] for pair in part.inputs]) for part in parts]
        Coefficients(*steps[:2], steps[2:])
    _erase(op)


def _erase(op: Any) -> None:
    """Erase an operation, and all that reads it."""
    for user, _ in uses(op.operation.results[0]):
        _erase(user.opview)
    op.operation.erase()
