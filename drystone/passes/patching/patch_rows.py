"""The builder of the pass `patch` along rows and columns."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from drystone.errors import InternalError
from drystone.ir.build import integer, integers, mapped
from drystone.ir.pieces import Region, Span, emit
from drystone.ir.values import shape
from drystone.ir.windows import Dims, Form, is_view, run_of
from drystone.mlir import arith, ints, ir, linalg, tensor
from drystone.passes.dims import empty_like
from drystone.passes.fusing.epilogues import extras_of, remade, with_epilogue
from drystone.passes.generic import body, maps_of
from drystone.passes.layout.moves import cut
from drystone.passes.outlining.outline_kernels import is_contiguous
from drystone.passes.rebuild import rebuilt
from drystone.passes.regions import copy_body
from drystone.passes.rewriting import index_constant


class RowPieces:
    """A `Builder` of the pieces of one span along rows and columns, before its last operation."""

    def __init__(self, ops: Sequence[Any], forms: Sequence[Form | None], span: Span) -> None:
        within = range(span.first, span.last + (not span.summed))
        inside = [k for k in within if not is_view(ops[k])]
        self.run, self.last, self.span = [ops[k] for k in inside], ops[span.last], span
        known = [form for k in inside if (form := forms[k]) is not None]
        if len(known) < len(self.run):
            raise InternalError(f"operations {span.first} to {span.last} cannot be computed piece by piece")
        found = run_of(self.run, known)
        self.steps, self.forms, self.dims, self.values = found.steps, found.forms, found.dims, found.values
        self.result = self.run[-1].operation.results[0]

    def rewrite(self) -> None:
        """Put the pieces in the place of the operations."""
        with ir.InsertionPoint(self.last), self.last.operation.location:
            made = emit(self.steps, self.span.grid, self)
            self.last.operation.results[0].replace_all_uses_with(made)

    def source(self, name: str) -> Any:
        """The tensor itself."""
        return self.values[name]

    def part(self, name: str, value: Any, held: Region, wanted: Region) -> Any:
        """A slice; `value` where that is all of it."""
        return value if held == wanted else _slice(value, self.dims[name], held, wanted)

    def make(self, number: int, region: Region, operands: Sequence[Any]) -> Any:
        """The operation on parts of its operands."""
        op, form = self.run[number], self.forms[number]
        given = list(op.operation.operands)
        for each, value in zip(form.operands, operands, strict=True):
            given[each.number] = value
        kind = part_of(op.operation.results[0].type, form.dims, region)
        with op.operation.location:
            return _applied(op, given, kind, self.changed(op, form, region))

    def changed(self, op: Any, form: Form, region: Region) -> dict[str, Any]:
        """The attributes of an operation that differ where it makes a part of its result."""
        if op.operation.name not in ("dry.conv", "dry.pool"):
            return {}
        sides = [w.padding(part) for w, part in zip(form.operands[0].windows, region, strict=True)]
        named = {"padding": integers([n for side in sides for n in side])}
        if op.operation.name == "dry.pool" and op.operation.attributes["divisor"].value == 1:
            # Padding on one side does not tell what is counted: with both sides equal, all of the window.
            named["divisor"] = integer(prod(ints(op.operation.attributes["kernel"])))
        return named

    def keep(self, name: str, value: Any, held: Region, wanted: Region) -> Any:
        """A slice in memory of its own."""
        part = _slice(value, self.dims[name], held, wanted)
        return linalg.copy(part, outs=[empty_like(part)])

    def join(self, name: str, kept: Any, fresh: Any, held: Region) -> Any:
        """A concatenation along the first axis."""
        kind = part_of(fresh.type, self.dims[name], held)
        return tensor.ConcatOp(kind, self.dims[name][0], [kept, fresh]).result

    def put(self, whole: Any, piece: Any, region: Region) -> Any:
        """An insertion into the whole result, or the sum of averages."""
        if self.span.summed:
            mean = self._mean(piece)
            return mean if whole is None else _sum(whole, mean)
        if whole is None:
            if shape(piece) == shape(self.result):
                return piece
            whole = empty_like(self.result)
        dims = self.dims[self.steps[-1].result]
        offsets = [0] * self.result.type.rank
        for d, (first, _) in zip(dims, region, strict=True):
            offsets[d] = first
        return _insert(piece, whole, offsets)

    def _mean(self, piece: Any) -> Any:
        """What a piece adds to the average over whole images."""
        operation = self.last.operation
        extents, dims = shape(piece), self.dims[self.steps[-1].result]
        kernel = [extents[d] or 1 for d in dims]
        count = prod(ints(operation.attributes["kernel"]))
        named = {key: operation.attributes[key] for key in operation.attributes}
        named |= {"kernel": integers(kernel), "strides": integers(kernel), "divisor": integer(count)}
        return ir.Operation.create(operation.name, [operation.results[0].type], [piece], named).results[0]


def part_of(kind: Any, dims: Dims, region: Region) -> Any:
    """A tensor type with the extents of a region along `dims`."""
    sizes = [kind.get_dim_size(d) for d in range(kind.rank)]
    for d, (first, end) in zip(dims, region, strict=True):
        sizes[d] = end - first
    return ir.RankedTensorType.get(sizes, kind.element_type, kind.encoding)


def _slice(value: Any, dims: Dims, held: Region, wanted: Region) -> Any:
    """The part `wanted` of the part `held` of a tensor. One that is no stretch of memory has its place as
    operands."""
    kind = part_of(value.type, dims, wanted)
    sizes = [kind.get_dim_size(d) for d in range(kind.rank)]
    offsets: list[int] = [0] * len(sizes)
    for d, (start, _), (first, _) in zip(dims, held, wanted, strict=True):
        offsets[d] = first - start
    unit = [1] * len(sizes)
    made = cut(value, offsets, sizes, unit)
    if is_contiguous(made.owner.opview):
        return made
    made.owner.erase()
    moving = [ir.ShapedType.get_dynamic_size()] * len(sizes)
    places = [index_constant(offset) for offset in offsets]
    return tensor.ExtractSliceOp(kind, value, places, [], [], moving, sizes, unit).result


def _insert(piece: Any, whole: Any, offsets: Sequence[int]) -> Any:
    """`piece` in its place in `whole`; the place is operands."""
    unit = [1] * len(offsets)
    moving = [ir.ShapedType.get_dynamic_size()] * len(offsets)
    places = [index_constant(offset) for offset in offsets]
    return tensor.InsertSliceOp(piece, whole, places, [], [], moving, shape(piece), unit).result


def _sum(one: Any, other: Any) -> Any:
    """The sum of two tensors, over the first."""
    identity = ir.AffineMap.get_identity(one.type.rank)
    return mapped([one, other], empty_like(one), [identity] * 3, lambda a, b, _: arith.AddFOp(a, b).result)


def _applied(op: Any, operands: list[Any], kind: Any, named: Mapping[str, Any]) -> Any:
    """An operation like `op` on parts of its operands, with a result of type `kind` and some attributes."""
    operation = op.operation
    if operation.name == "linalg.generic":
        extents = [kind.get_dim_size(d) for d in range(kind.rank)]
        init = tensor.EmptyOp(extents, kind.element_type, encoding=kind.encoding).result
        made, block = rebuilt(op, [*operands[:-1], init], maps_of(op))
        known = dict(zip(body(op).arguments, block.arguments, strict=True))
        with ir.InsertionPoint(block):
            ir.Operation.create("linalg.yield", operands=copy_body(body(op), known))
        return made.operation.results[0]
    if operation.name in with_epilogue():
        extras = [(value, map_) for value, (_, map_) in zip(operands[2:], extras_of(op), strict=True)]
        made, block = remade(op, operands[:2], extras, kind, named)
        old = operation.regions[0].blocks[0]
        with ir.InsertionPoint(block):
            (value,) = copy_body(old, dict(zip(old.arguments, block.arguments, strict=True)))
            ir.Operation.create("dry.yield", operands=[value])
        return made.operation.results[0]
    attributes = {key: operation.attributes[key] for key in operation.attributes} | dict(named)
    return ir.Operation.create(operation.name, [kind], operands, attributes).results[0]
