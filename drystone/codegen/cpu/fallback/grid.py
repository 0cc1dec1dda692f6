"""The grid of a fallback kernel: its outermost parallel loops, where every unit keeps to memory of its own.

Before: func @K(.., %out) { scf.parallel (%i, %j) = (0, 0) to (%n, %m) { .. store %out[%i, %j] } }
After:  func @K(.., %out, %begin, %end) { scf.parallel (%i, %j) = (%begin, 0) to (%end, %m) { .. } }

Units are independent where each access to memory the kernel writes has the loops' variables as its first
indices. Several loop nests after one another (a fill, then the sum into it) are split alike. A kernel that is
not of this form has a grid of one unit.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from drystone.codegen.cpu.text import Copier
from drystone.ir.values import constant_int, producer_name
from drystone.mlir import arith, ir, scf, walk

_VIEWS = frozenset(
    {
        "memref.subview",
        "memref.cast",
        "memref.expand_shape",
        "memref.collapse_shape",
        "memref.reinterpret_cast",
    }
)
_PRIVATE = frozenset({"memref.alloca", "memref.alloc"})
_HARMLESS = _VIEWS | _PRIVATE | {"memref.dim", "memref.dealloc"}
#: More outer loops are made units until there are so many; a dynamic extent counts as this many.
_ENOUGH = 32


@dataclass(frozen=True)
class _Nest:
    """A top-level scf.parallel: its variables and upper bounds (lower ones are 0, steps 1)."""

    op: Any
    variables: tuple[Any, ...]
    uppers: tuple[Any, ...]


def split(function: Any) -> str:
    """Give the kernel function its arguments `begin` and `end`; the text of its grid function."""
    nests = _nests(function)
    depth = _depth(nests) if nests else 0
    trips = [constant_int(upper) for upper in nests[0].uppers[:depth]] if nests else []
    uppers = list(nests[0].uppers[:depth]) if nests else []
    text = _grid_text(function, uppers)
    block = function.regions[0].blocks[0]
    index = ir.IndexType.get()
    with ir.Location.unknown() as nowhere:
        begin, end = block.add_argument(index, nowhere), block.add_argument(index, nowhere)
        for nest in nests[: len(nests) if depth else 0]:
            _restrict(nest, trips, begin, end)
    kinds = [argument.type for argument in block.arguments]
    results = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value).results
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, results))
    function.attributes["sym_visibility"] = ir.StringAttr.get("private")
    return text


def _nests(function: Any) -> list[_Nest]:
    """The loop nests a kernel consists of; none where it does anything else."""
    nests = []
    for op in function.regions[0].blocks[0].operations:
        operation = op.operation
        if operation.name == "scf.parallel":
            nest = _nest(operation)
            if nest is None:
                return []
            nests.append(nest)
        elif operation.name in ("memref.store", "memref.load"):
            if not _is_status(operation.operands[1 if operation.name == "memref.store" else 0]):
                return []
        elif len(operation.regions) or operation.name in ("memref.alloc", "memref.dealloc", "func.call"):
            return []
    return nests


def _nest(operation: Any) -> _Nest | None:
    block = operation.regions[0].blocks[0]
    count = len(block.arguments)
    operands = list(operation.operands)
    plain = all(constant_int(v) == 0 for v in operands[:count]) and all(
        constant_int(v) == 1 for v in operands[2 * count : 3 * count]
    )
    if not plain or len(operation.results):
        return None
    return _Nest(operation, tuple(block.arguments), tuple(operands[count : 2 * count]))


def _is_status(memory: Any) -> bool:
    return producer_name(memory) == "memref.alloca"


def _root(memory: Any) -> Any:
    while producer_name(memory) in _VIEWS:
        memory = memory.owner.operands[0]
    return memory


def _accesses(nest: _Nest) -> list[tuple[Any, list[Any], bool]] | None:
    """(memory, indices, written) of every access in a nest to memory from outside, dimensions of one element
    left out (no loop goes along them); None where there are accesses of another kind."""
    found = []
    for op in walk(nest.op):
        operation = op.operation
        name = operation.name
        if name in ("memref.load", "memref.store"):
            first = 0 if name == "memref.load" else 1
            memory = operation.operands[first]
            root = _root(memory)
            if producer_name(root) not in _PRIVATE:
                places = zip(list(operation.operands)[first + 1 :], memory.type.shape, strict=True)
                indices = [index for index, extent in places if extent != 1]
                found.append((memory, indices, name == "memref.store"))
        elif name not in _HARMLESS and any(isinstance(v.type, ir.MemRefType) for v in operation.operands):
            return None
    return found


def _depth(nests: list[_Nest]) -> int:
    """How many outer loops are units: enough of those that every access to written memory goes along with."""
    everything = []
    for nest in nests:
        accesses = _accesses(nest)
        if accesses is None:
            return 0
        everything += [(nest, *access) for access in accesses]
    written = [_root(memory) for _, memory, _, write in everything if write]
    depth = min(len(nest.variables) for nest in nests)
    for nest, memory, indices, _ in everything:
        if _root(memory) in written:
            same = 0
            while same < min(depth, len(indices)) and indices[same] == nest.variables[same]:
                same += 1
            depth = min(depth, same) if memory == _root(memory) else 0
    # A linalg operation visits all of the memory that it indexes by its loops' variables, so nests that share
    # such memory have equal extents.
    first = [
        _root(memory) for nest, memory, _, _ in everything if nest is nests[0] and _root(memory) in written
    ]
    shared = [any(n is nest and _root(memory) in first for n, memory, _, _ in everything) for nest in nests]
    alike = 0
    while alike < depth and all(
        share or _same(nest.uppers[alike], nests[0].uppers[alike])
        for share, nest in zip(shared, nests, strict=True)
    ):
        alike += 1
    return _enough([constant_int(upper) for upper in nests[0].uppers], alike)


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or (constant_int(a) is not None and constant_int(a) == constant_int(b))


def _enough(trips: list[int | None], most: int) -> int:
    """The fewest loops with enough units; not the last one of several, unless those before have one step."""
    for depth in range(1, most + 1):
        long = [n for n in trips[:depth] if n != 1]
        if depth == len(trips) and len(long) > 1:
            return depth - 1
        if prod(_ENOUGH if n is None else n for n in long) >= _ENOUGH:
            return depth
    return most


def _restrict(nest: _Nest, trips: list[int | None], begin: Any, end: Any) -> None:
    """Let a nest do units begin..end of its first len(trips) loops only."""
    count = len(nest.variables)
    long = [axis for axis, n in enumerate(trips) if n != 1]
    if len(long) <= 1:
        axis = long[0] if long else 0
        nest.op.operands[axis], nest.op.operands[count + axis] = begin, end
        return
    with ir.InsertionPoint(nest.op), nest.op.location:
        one = arith.ConstantOp(ir.IndexType.get(), 1).result
        loop = scf.ForOp(begin, end, one)
        with ir.InsertionPoint(loop.body):
            rest = loop.induction_variable
            for axis in reversed(long):
                place = rest if axis == long[0] else arith.remui(rest, nest.uppers[axis])
                rest = rest if axis == long[0] else arith.divui(rest, nest.uppers[axis])
                nest.op.operands[axis] = place
                nest.op.operands[count + axis] = arith.addi(place, one)
            last = scf.YieldOp([])
    nest.op.move_before(last.operation)


def _grid_text(function: Any, uppers: list[Any]) -> str:
    """The function that multiplies the upper bounds, computed from arguments alone."""
    block = function.regions[0].blocks[0]
    lines: list[str] = []
    names = {argument: f"%a{number}" for number, argument in enumerate(block.arguments)}
    copier = Copier(names.get, lambda line: lines.append(f"  {line}"), "v")
    lines.append("  %one = arith.constant 1 : index")
    total = "%one"
    for number, upper in enumerate(uppers):
        factor = copier.name(upper)
        lines.append(f"  %n{number} = arith.muli {total}, {factor} : index")
        total = f"%n{number}"
    arguments = ", ".join(f"%a{i}: {argument.type}" for i, argument in enumerate(block.arguments))
    name = function.attributes["sym_name"].value
    body = "\n".join(lines)
    return f"func.func private @{name}_grid({arguments}) -> index {{\n{body}\n  return {total} : index\n}}"
