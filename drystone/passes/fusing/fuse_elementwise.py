"""The pass `fuse-elementwise`: chains of maps, and maps feeding reductions, become one linalg.generic."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.program import Program
from drystone.ir.values import captured, dims_of, is_tensor, main_block, operand_groups, producer, shape
from drystone.mlir import ir, run_pipeline
from drystone.passes.dims import extent, same_extent
from drystone.passes.fusing.loops import split_dim
from drystone.passes.generic import body, composed, is_parallel, is_producer, maps_of, without_units
from drystone.passes.layout.moves import sizes_of
from drystone.passes.outlining.outline_kernels import is_contiguous
from drystone.passes.rebuild import bounds_all, finish, inline_scalars, rebuilt
from drystone.passes.regions import copy_body, is_cheap, position
from drystone.passes.rewriting import erase_dead, ops, uses


@dataclass(frozen=True)
class FuseElementwise:
    """Compute a value where it is used rather than store it.

    Before:  %y = linalg.generic {all parallel} ins(%x) {exp} ; %z = linalg.generic {..} ins(%y, %w) {mul}
    After:   %z = linalg.generic {..} ins(%x, %w) {exp, mul}

    - A producer is a linalg.generic over parallel dimensions with one result, or a fill. Its consumer is any
      linalg.generic that reads it; maps are composed.
    - It is fused where the consumer is its only user and computes each of its elements once, or where it is
      cheap (`cheap` operations at most, none slow); one that only moves elements, or has no input, into every
      user.
    - Not where a loop's extent would be given by no operand any more, or with more than `inputs` inputs.
    - Reshapes of dimensions of extent 1 between the two do not matter.
    - A slice that is one of several equal parts along one dimension, and that would be copied, is read where
      it lies, as x[.., part, ..] of a view of the whole.
    """

    cheap: int = 4
    inputs: int = 12
    name: ClassVar[str] = "fuse-elementwise"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "linalg.generic"):
            self.absorb(op)
        erase_dead(block)
        run_pipeline(program.module, "canonicalize,cse")

    def absorb(self, op: Any) -> None:
        """Fuse the producers of one operation, and theirs, until none is left to."""
        while True:
            op = inline_scalars(op)
            _read_parts(op)
            count = len(op.operation.operands) - len(op.operation.results)
            for number in range(count):
                fused = self._fuse(op, number)
                if fused is not None:
                    op = fused
                    break
            else:
                return

    def _fuse(self, op: Any, number: int) -> Any:
        """The consumer with its operand `number` computed inside, in place of `op`; None where not."""
        value, map_ = without_units(op.operation.operands[number], maps_of(op)[number])
        made = producer(value)
        if made is None or made.operation.name != "linalg.generic" or not is_producer(made):
            return None
        if not self._worth(op, made, map_, value):
            return None
        return merge(op, number, made, map_, self.inputs)

    def _worth(self, op: Any, made: Any, map_: Any, value: Any) -> bool:
        block = body(made)
        count = len(block.operations)
        if count == 1:
            return True
        users = _readers(value)
        no_input = len(made.operation.operands) == 1 and not any(is_tensor(v) for v in captured(made))
        if no_input and is_cheap(block, self.cheap):
            return all(user.name == "linalg.generic" for user in users)
        if len(users) > 1:
            return False
        once = _covers(map_, op)
        return once or (is_parallel(op) and is_cheap(block, self.cheap))


def _read_parts(op: Any) -> None:
    """Let a map read equal parts of tensors in place; along its innermost loop only where they lie so."""
    if not is_parallel(op):
        return
    maps = maps_of(op)
    inner = dims_of(maps[-1])[-1:]
    for number in range(len(maps) - len(op.operation.results)):
        value, map_ = without_units(op.operation.operands[number], maps[number])
        cut = part_of(value) if is_tensor(value) else None
        if cut is None or dims_of(map_)[-1:] != inner:
            continue
        axis, part, parts = cut
        source = value.owner.operation.operands[0]
        with ir.InsertionPoint(op), op.operation.location:
            op.operation.operands[number] = split_dim(source, axis, parts)
        exprs = list(map_.results)
        exprs.insert(axis, ir.AffineExpr.get_constant(part))
        maps[number] = ir.AffineMap.get(map_.n_dims, 0, exprs)
    op.operation.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(map_) for map_ in maps])


def part_of(value: Any) -> tuple[int, int, int] | None:
    """(dimension, which, of how many) where a value is a slice, not contiguous, that is one of equal parts of
    its source along one dimension."""
    made = producer(value)
    if made is None or made.operation.name != "tensor.extract_slice" or is_contiguous(made):
        return None
    operation = made.operation
    source = operation.operands[0]
    offsets, strides = (list(operation.attributes[f"static_{name}"]) for name in ("offsets", "strides"))
    if source.type.rank != value.type.rank or set(strides) != {1} or operand_groups(made)[1]:
        return None
    whole_dims = [same_extent(size, extent(source, d)) for d, size in enumerate(sizes_of(made))]
    cut = [d for d, offset in enumerate(offsets) if offset != 0 or not whole_dims[d]]
    whole, part = shape(source)[cut[0]], shape(value)[cut[0]]
    if len(cut) != 1 or not whole or not part or whole % part or offsets[cut[0]] % part:
        return None
    return cut[0], offsets[cut[0]] // part, whole // part


def _readers(value: Any) -> set[Any]:
    """The operations that read a value, or a reshape of it."""
    found = set()
    for user, _ in uses(value):
        if user.name in ("tensor.expand_shape", "tensor.collapse_shape"):
            found |= _readers(user.results[0])
        else:
            found.add(user)
    return found


def _covers(map_: Any, op: Any) -> bool:
    """Whether a read through `map_` visits no element twice: all loops longer than 1 are in the map."""
    extents = loop_extents(op)
    read = set(dims_of(map_))
    return all(d in read or n == 1 for d, n in enumerate(extents))


def loop_extents(op: Any) -> list[int | None]:
    """The extents of the loops of a linalg.generic, None where dynamic."""
    maps = maps_of(op)
    found: list[int | None] = [None] * maps[0].n_dims
    for map_, operand in zip(maps, op.operation.operands, strict=True):
        if is_tensor(operand):
            for d, n in zip(dims_of(map_), shape(operand), strict=True):
                if d is not None and n is not None:
                    found[d] = n
    return found


def merge(op: Any, number: int, made: Any, map_: Any, limit: int) -> Any:
    """Compute operand `number` of `op`, the result of `made` read through `map_`, inside `op`: the operation
    in place of `op`, or None where it would have more than `limit` inputs, or a loop without an extent."""
    operands, maps = list(op.operation.operands), maps_of(op)
    produced = maps_of(made)
    results = list(map_.results)
    # Where each loop of the producer stands in the consumer's iteration.
    place = {d: k for k, d in enumerate(dims_of(produced[-1]))}
    loops = ir.AffineMap.get(map_.n_dims, 0, [results[place[d]] for d in range(produced[-1].n_dims)])
    inputs = list(made.operation.operands)[:-1]
    new_operands, new_maps = operands[:number] + operands[number + 1 :], maps[:number] + maps[number + 1 :]
    first = len(operands) - len(op.operation.results) - 1
    where: list[int] = []
    for value, read in zip(inputs, produced[:-1], strict=True):
        inner = composed(read, loops)
        same = [k for k in range(first) if new_operands[k] == value and new_maps[k] == inner]
        if same:
            where.append(same[0])
        else:
            new_operands.insert(first, value)
            new_maps.insert(first, inner)
            where.append(first)
            first += 1
    if first > limit or not bounds_all(new_maps):
        return None
    with ir.InsertionPoint(op), op.operation.location:
        fused, block = rebuilt(op, new_operands, new_maps)
    arguments = list(block.arguments)
    inner = dict(zip(list(body(made).arguments)[:-1], [arguments[k] for k in where], strict=True))
    with ir.InsertionPoint(block), made.operation.location:
        (value,) = copy_body(body(made), inner, lambda d: position(loops, d))
    count = len(operands) - len(op.operation.results) - 1
    kept = [*arguments[:count], *arguments[first:]]
    known = dict(zip(body(op).arguments, [*kept[:number], value, *kept[number:]], strict=True))
    return finish(op, fused, block, known)
