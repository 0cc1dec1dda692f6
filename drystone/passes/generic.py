"""linalg.generic: making them, reading their maps, and the reshapes some of them are."""

from collections.abc import Iterable, Sequence
from typing import Any

from drystone.ir.build import generic, mapped
from drystone.ir.values import constant_number, dims_of, producer, producer_name, shape
from drystone.mlir import arith, ints, ir, linalg, tensor
from drystone.passes.dims import extent, sizes_of
from drystone.passes.rewriting import tensor_type


def maps_of(op: Any) -> list[Any]:
    """The indexing maps of a linalg.generic, inputs then results."""
    return [each.value for each in op.operation.attributes["indexing_maps"]]


def is_parallel(op: Any) -> bool:
    """Whether a linalg.generic has no reduction."""
    return "reduction" not in str(op.operation.attributes["iterator_types"])


def is_producer(op: Any) -> bool:
    """Whether a linalg.generic gives each element of its one result by itself, in some order."""
    operation = op.operation
    out = maps_of(op)[-1]
    return (
        is_parallel(op)
        and len(operation.results) == 1
        and out.is_permutation
        and not any(True for _ in body(op).arguments[len(operation.operands) - 1].uses)
    )


def body(op: Any) -> Any:
    """The block of a linalg operation."""
    return op.operation.regions[0].blocks[0]


def dims_map(rank: int, dims: Iterable[int]) -> Any:
    """The affine map from so many dimensions to some of them."""
    return ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(d) for d in dims])


def last_dim(rank: int) -> Any:
    """The map to the last dimension."""
    return dims_map(rank, [rank - 1])


def leading(rank: int) -> Any:
    """The map to all dimensions but the last."""
    return dims_map(rank, range(rank - 1))


def filled(element: Any, number: float, sizes: Sequence[Any]) -> Any:
    """A tensor of one number, made at the insertion point."""
    return linalg.fill(arith.ConstantOp(element, number).result, outs=[tensor.EmptyOp(list(sizes), element)])


def compare(predicate: str, one: Any, other: Any) -> Any:
    """arith.cmpi of two elements."""
    return arith.CmpIOp(getattr(arith.CmpIPredicate, predicate), one, other).result


def used_dims(exprs: Iterable[Any]) -> set[int]:
    """The dimensions that affine expressions depend on."""
    found: set[int] = set()
    for expr in exprs:
        kind = expr.maybe_downcast()
        if isinstance(kind, ir.AffineDimExpr):
            found.add(kind.position)
        elif isinstance(kind, ir.AffineBinaryExpr):
            found |= used_dims((kind.lhs, kind.rhs))
    return found


def composed(map_: Any, place: Any) -> Any:
    """The map that reads at the results of `place` what `map_` reads at its dimensions."""
    return ir.AffineMap.get(place.n_dims, 0, [expr.compose(place) for expr in map_.results])


def read_by(op: Any, argument: Any) -> tuple[Any, Any]:
    """The operand and the map behind an argument of a body; none for any other value."""
    if not isinstance(argument.owner, ir.Block) or argument.owner != body(op):
        return None, None
    return op.operation.operands[argument.arg_number], maps_of(op)[argument.arg_number]


def is_filled_with_zero(value: Any) -> bool:
    """Whether a tensor is made by filling it with 0."""
    made = producer(value)
    if made is None or made.operation.name != "linalg.fill":
        return False
    return constant_number(made.operation.operands[0]) == 0


def is_identity(map_: Any) -> bool:
    """Whether an affine map is the identity."""
    return map_.n_inputs == len(map_.results) and dims_of(map_) == list(range(map_.n_inputs))


def generalize(op: Any) -> Any:
    """Replace a named linalg operation by the linalg.generic it stands for."""
    operation = op.operation
    maps = list(linalg.get_indexing_maps(operation))
    maps = [each.value if isinstance(each, ir.AffineMapAttr) else each for each in maps]
    count = len(operation.results)
    operands = list(operation.operands)
    first = len(operands) - count
    written = {d for map_ in maps[first:] for d in dims_of(map_)}
    iterators = ["parallel" if d in written else "reduction" for d in range(maps[0].n_dims)]
    with ir.InsertionPoint(operation), operation.location:
        made = generic(operands[:first], operands[first:], maps, iterators)
    operation.regions[0].blocks[0].append_to(made.operation.regions[0])
    for old, new in zip(operation.results, made.operation.results, strict=True):
        old.replace_all_uses_with(new)
    operation.erase()
    return made


def moved_input(op: Any) -> Any:
    """The map of the input of a linalg.generic that only moves elements (a transpose or broadcast of its one
    tensor input into a result read with the identity); None for any other."""
    operation = op.operation
    if operation.name != "linalg.generic" or len(operation.operands) != 2 or not is_parallel(op):
        return None
    block = body(op)
    last = block.operations[0].operation
    maps = maps_of(op)
    if last.name != "linalg.yield" or last.operands[0] != block.arguments[0] or not is_identity(maps[1]):
        return None
    source = operation.operands[0]
    if not isinstance(source.type, ir.RankedTensorType):
        return None
    dims = dims_of(maps[0])
    if any(d is None and shape(source)[i] != 1 for i, d in enumerate(dims)):
        return None
    return maps[0]


def is_other_float(op: Any) -> bool:
    """Whether a linalg.generic is its one input, element for element, in another float."""
    operation = op.operation
    if operation.name != "linalg.generic" or len(operation.operands) != 2:
        return False
    first, *rest = list(body(op).operations)
    alone = len(rest) == 1 and first.operation.name in ("arith.extf", "arith.truncf")
    given = body(op).arguments[0]
    return alone and all(map(is_identity, maps_of(op))) and bool(first.operation.operands[0] == given)


def is_widened(op: Any) -> bool:
    """Whether a linalg.generic is its one input, element for element, in a longer float."""
    return is_other_float(op) and body(op).operations[0].operation.name == "arith.extf"


def widened_to(value: Any, element: Any) -> Any:
    """A tensor of floats, element for element, in a longer one, at the insertion point; the tensor itself
    where it has that element."""
    if value.type.element_type == element:
        return value
    same = [ir.AffineMap.get_identity(value.type.rank)] * 2
    into = tensor.EmptyOp(sizes_of(value), element).result
    return mapped([value], into, same, lambda number, _: arith.ExtFOp(element, number).result)


def unwidened(value: Any) -> Any:
    """What a tensor is in a longer float, element for element; the tensor itself where it is no such copy."""
    made = producer(value)
    return made.operation.operands[0] if made is not None and is_widened(made) else value


def as_view(op: Any) -> Any:
    """The value of a linalg.generic that moves only dimensions of extent 1, as a reshape of its input made
    before it; None where elements really move."""
    map_ = moved_input(op)
    if map_ is None:
        return None
    source, result = op.operation.operands[0], op.operation.results[0]
    read = [d for d, n in zip(dims_of(map_), shape(source), strict=True) if n != 1]
    kept = [d for d, n in enumerate(shape(result)) if n != 1]
    if read != kept:
        return None
    with ir.InsertionPoint(op), op.operation.location:
        return through_units(source, result.type)


def through_units(value: Any, wanted: Any) -> Any:
    """`value` reshaped to the type `wanted`, which differs in dimensions of extent 1 only."""
    if value.type == wanted:
        return value
    squeezed = _drop_units(value)
    extents = [wanted.get_dim_size(d) if not wanted.is_dynamic_dim(d) else None for d in range(wanted.rank)]
    groups = _unit_groups(extents)
    if not groups and wanted.rank == 0:
        return squeezed
    sources = iter(range(squeezed.type.rank))
    sizes = [1 if n == 1 else extent(squeezed, next(sources)) for n in extents]
    return expand(squeezed, groups, sizes)


def expand(value: Any, groups: Sequence[Sequence[int]], sizes: Sequence[Any]) -> Any:
    """tensor.expand_shape to `sizes`, ints or index values; `value` itself where nothing changes."""
    if all(len(group) == 1 for group in groups) and len(groups) == len(sizes):
        return value
    static = [n if isinstance(n, int) else ir.ShapedType.get_dynamic_size() for n in sizes]
    kind = tensor_type([n if isinstance(n, int) else None for n in sizes], value.type.element_type)
    dynamic = [n for n in sizes if not isinstance(n, int)]
    return tensor.ExpandShapeOp(kind, value, [list(group) for group in groups], dynamic, static).result


def collapse(value: Any, groups: Sequence[Sequence[int]]) -> Any:
    """tensor.collapse_shape; `value` itself where every group is one dimension."""
    extents = shape(value)
    if len(groups) == len(extents):
        return value
    sizes: list[int | None] = []
    for group in groups:
        size: int | None = 1
        for d in group:
            n = extents[d]
            size = None if size is None or n is None else size * n
        sizes.append(size)
    kind = tensor_type(sizes, value.type.element_type)
    return tensor.CollapseShapeOp(kind, value, [list(group) for group in groups]).result


def _unit_groups(extents: Sequence[int | None]) -> list[list[int]]:
    """Reassociation of a shape with the shape without its unit dimensions: these go to the group before them
    (the leading ones to the first); no group where all are units."""
    groups: list[list[int]] = []
    leading: list[int] = []
    for axis, n in enumerate(extents):
        if n != 1:
            groups.append([*leading, axis])
            leading = []
        elif groups:
            groups[-1].append(axis)
        else:
            leading.append(axis)
    return groups


def _drop_units(value: Any) -> Any:
    return collapse(value, _unit_groups(shape(value)))


def without_units(value: Any, map_: Any) -> tuple[Any, Any]:
    """What a read of `value` through `map_` reads behind reshapes of dimensions of extent 1."""
    while producer_name(value) in ("tensor.expand_shape", "tensor.collapse_shape"):
        operation = value.owner.operation
        source = operation.operands[0]
        groups = [ints(group) for group in operation.attributes["reassociation"]]
        results = list(map_.results)
        zero = ir.AffineExpr.get_constant(0)
        exprs = []
        if operation.name == "tensor.expand_shape":
            extents = shape(value)
            for group in groups:
                long = [d for d in group if extents[d] != 1]
                if len(long) > 1:
                    return value, map_
                exprs.append(results[long[0]] if long else zero)
        else:
            extents = shape(source)
            for k, group in enumerate(groups):
                long = [d for d in group if extents[d] != 1]
                if len(long) > 1:
                    return value, map_
                exprs.extend(results[k] if [d] == long else zero for d in group)
            if not groups:
                exprs = [zero] * source.type.rank
        value, map_ = source, ir.AffineMap.get(map_.n_dims, 0, exprs)
    return value, map_


def drop_units(op: Any) -> None:
    """Let a linalg.generic read its inputs without the dimensions of extent 1 that it reads at 0."""
    maps, changed = maps_of(op), False
    for number in range(len(maps) - len(op.operation.results)):
        value = op.operation.operands[number]
        if not isinstance(value.type, ir.RankedTensorType):
            continue
        extents = shape(value)
        dims = dims_of(maps[number])
        kept = [k for k, d in enumerate(dims) if d is not None or extents[k] != 1]
        if len(kept) == len(dims):
            continue
        with ir.InsertionPoint(op), op.operation.location:
            wanted = tensor_type([extents[k] for k in kept], value.type.element_type)
            op.operation.operands[number] = _without(value, kept, wanted)
        exprs = list(maps[number].results)
        maps[number] = ir.AffineMap.get(maps[number].n_dims, 0, [exprs[k] for k in kept])
        changed = True
    if changed:
        op.operation.attributes["indexing_maps"] = ir.ArrayAttr.get(
            [ir.AffineMapAttr.get(map_) for map_ in maps]
        )


def _without(value: Any, kept: Sequence[int], wanted: Any) -> Any:
    """`value` collapsed to the dimensions `kept`; all others have extent 1."""
    groups: list[list[int]] = [[] for _ in kept]
    for d in range(value.type.rank):
        if groups:
            groups[min(sum(k < d for k in kept) if d not in kept else kept.index(d), len(kept) - 1)].append(d)
    return tensor.CollapseShapeOp(wanted, value, groups).result
