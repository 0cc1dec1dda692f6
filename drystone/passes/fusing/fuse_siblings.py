"""The pass `fuse-siblings`: maps of one tensor, and chains of maps, become one map with several results."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.build import generic
from drystone.ir.program import Program
from drystone.ir.values import dims_of, is_tensor, main_block, producer, shape
from drystone.mlir import ir, run_pipeline
from drystone.passes.dims import extent, same_extent
from drystone.passes.generic import body, is_identity, is_parallel, maps_of
from drystone.passes.regions import copy_body
from drystone.passes.rewriting import latest_first, ops, read_later, uses

#: A tensor that a map reads, and how.
Read = tuple[Any, Any]


@dataclass(frozen=True)
class FuseSiblings:
    """What two maps read is read once; what one of them makes for the other is not read at all.

    Before:  %c = linalg.generic ins(%p) {cos} ; %s = linalg.generic ins(%p) {sin}
    After:   %c, %s = linalg.generic ins(%p) {cos, sin}
    Before:  %h = linalg.generic ins(%x, %r) {add} ; %y = linalg.generic ins(%h) {relu} ; return %h, %y
    After:   %h, %y = linalg.generic ins(%x, %r) {add, relu}

    - Both are over parallel dimensions and write their results element for element, of the same extents.
    - They read a tensor alike, or the second one reads results of the first element for element.
    - Nothing else that comes before the second one reads a result of the first.
    - No more than `inputs` inputs and `results` results come together.
    """

    inputs: int = 12
    results: int = 4
    name: ClassVar[str] = "fuse-siblings"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        for op in ops(main_block(program), "linalg.generic"):
            joined = op if _is_map(op) else None
            while joined is not None:
                joined = self._join(joined)
        run_pipeline(program.module, "canonicalize,cse")

    def _join(self, op: Any) -> Any:
        """The map with one that comes before it, in its place; None where none fits."""
        for first in _before(op):
            if self._fits(first, op):
                return _joined(first, op)
        return None

    def _fits(self, first: Any, second: Any) -> bool:
        results = list(first.operation.results)
        if shape(results[0]) != shape(second.operation.results[0]):
            return False
        reads, more = _reads(first), _reads(second)
        made = [read for read in more if read[0] in results]
        if not made and not any(read in reads for read in more if _moves(read[1])):
            return False
        together = len(reads) + sum(read not in reads for read in more) - len(made)
        count = len(results) + len(second.operation.results)
        if together > self.inputs or count > self.results or not all(is_identity(map_) for _, map_ in made):
            return False
        if not all(read_later(value, second) for value in results):
            return False
        value, other = results[0], second.operation.results[0]
        with ir.InsertionPoint(second), second.operation.location:
            return all(same_extent(extent(value, d), extent(other, d)) for d in range(value.type.rank))


def _is_map(op: Any) -> bool:
    """Whether a linalg.generic writes every result element for element and does not read what was there."""
    count = len(op.operation.results)
    olds = list(body(op).arguments)[-count:]
    if not is_parallel(op) or any(True for old in olds for _ in old.uses):
        return False
    return all(is_identity(map_) for map_ in maps_of(op)[-count:])


def _reads(op: Any) -> list[Read]:
    """The tensors a map reads; scalars are left out."""
    count = len(op.operation.results)
    pairs = zip(list(op.operation.operands)[:-count], maps_of(op), strict=False)
    return [(value, map_) for value, map_ in pairs if is_tensor(value)]


def _moves(map_: Any) -> bool:
    """Whether a read through a map depends on the place at all."""
    return any(d is not None for d in dims_of(map_))


def _before(op: Any) -> list[Any]:
    """The maps before `op` that make or read what it reads, the last one first."""
    found = set()
    for value, _ in _reads(op):
        made = producer(value)
        others = [user for user, _ in uses(value)] + ([] if made is None else [made.operation])
        found |= {other for other in others if other.name == "linalg.generic" and other != op.operation}
    earlier = (other.opview for other in found if other.is_before_in_block(op.operation))
    return latest_first(other for other in earlier if _is_map(other))


def _joined(first: Any, second: Any) -> Any:
    """One operation in the place of the second, with the results of both."""
    results = list(first.operation.results)
    inputs: list[Read] = []
    places: list[list[int]] = []
    written: list[Read] = []
    for op in (first, second):
        count = len(op.operation.results)
        reads = list(zip(op.operation.operands, maps_of(op), strict=True))
        written += reads[-count:]
        places.append([_place(inputs, read, results) for read in reads[:-count]])
    reads = [*inputs, *written]
    kinds = ["parallel"] * written[0][1].n_dims
    with ir.InsertionPoint(second), first.operation.location:
        made = generic(
            [value for value, _ in inputs],
            [value for value, _ in written],
            [map_ for _, map_ in reads],
            kinds,
        )
    types = [value.type.element_type if is_tensor(value) else value.type for value, _ in reads]
    block = made.operation.regions[0].blocks.append(*types)
    elements: list[Any] = []
    for op, where in zip((first, second), places, strict=True):
        # Places below 0 are results of the first, counted from the end.
        given = [block.arguments[k] if k >= 0 else elements[k] for k in where]
        with ir.InsertionPoint(block), op.operation.location:
            elements += copy_body(body(op), dict(zip(body(op).arguments, given, strict=False)))
    with ir.InsertionPoint(block), second.operation.location:
        ir.Operation.create("linalg.yield", operands=elements)
    old = [*results, *second.operation.results]
    for value, new in zip(old, made.operation.results, strict=True):
        value.replace_all_uses_with(new)
    second.operation.erase()
    first.operation.erase()
    return made


def _place(inputs: list[Read], read: Read, results: list[Any]) -> int:
    """Where a read stands among the inputs, which it joins where it is new; of a result, its number counted
    from the last one's -1."""
    if read[0] in results:
        return results.index(read[0]) - len(results)
    if read not in inputs:
        inputs.append(read)
    return inputs.index(read)
