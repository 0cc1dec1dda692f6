"""How often attention passes over its keys: FuseMax's count (Nayak et al., MICRO 2024, section 4).

A pass over the keys ends where something needs the result of a reduction over all of them (the largest score,
the sum of the weights) before it can go on with each. softmax(q k^T) v as it is usually written takes three:
for the peak, for the sum, and for the weights times the values; dividing at the end, two; an online softmax,
one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from drystone.ir.program import Program
from drystone.ir.values import dims_of, function, main_block, nested, producer_name, shape, tensors
from drystone.mlir import ints, ir, ir_place


@dataclass(frozen=True)
class Cascade:
    """Scores that become weights of a sum over keys: the model's line of that sum, and the passes."""

    where: str
    passes: int


@dataclass(frozen=True)
class _Along:
    """What a tensor has of one product's scores: the dimension of the keys (None once they are reduced), the
    pass it is known in, and whether it comes from their exponentials."""

    dim: int | None
    level: int
    grown: bool = False


@dataclass
class _Scores:
    """What has become of one product's columns: summed up as exponentials, and used as weights of a sum."""

    normalized: bool = False
    place: str | None = None
    passes: int = 0


def cascades(program: Program) -> list[Cascade]:
    """All of a program, in order, outlined or not."""
    finder = _Finder(program)
    finder.block(main_block(program), None)
    return finder.found()


@dataclass
class _Finder:
    program: Program
    known: dict[Any, Mapping[int, _Along]] = field(default_factory=dict)
    scores: list[_Scores] = field(default_factory=list)
    #: Weights, and other views of them: a product with one has no keys.
    fixed: set[Any] = field(default_factory=set)

    def found(self) -> list[Cascade]:
        """What is softmax-like."""
        return [Cascade(s.place, s.passes) for s in self.scores if s.normalized and s.place is not None]

    def block(self, block: Any, call: Any) -> list[Any]:
        """Follow the operations of a block, called from `call`; the values it returns."""
        for op in block.operations:
            if op.operation.name == "func.return":
                return list(op.operation.operands)
            self._visit(op.operation, call)
        return []

    def _visit(self, op: Any, call: Any) -> None:
        if op.name == "func.call":
            self._call(op)
            return
        if op.name == "dry.attention":
            self.scores.append(_Scores(True, _where(op, call), 1))
            return
        given = [self.known.get(value, {}) for value in op.operands]
        for number in sorted({number for each in given for number in each}):
            parts = [(k, each[number]) for k, each in enumerate(given) if number in each]
            self._through(op, number, parts, call)
        read = [value for value in tensors(op.operands) if producer_name(value) != "tensor.empty"]
        if op.name == "dry.weight" or (read and self.fixed.issuperset(read)):
            self.fixed.update(op.results)
        if op.name == "dry.matmul" and op.operands[1] not in self.fixed:
            self.scores.append(_Scores())
            self._know(op, len(self.scores) - 1, _Along(op.results[0].type.rank - 1, 1))

    def _call(self, op: Any) -> None:
        kernel = function(self.program, op.attributes["callee"].value)
        block = kernel.regions[0].blocks[0]
        for argument, value in zip(block.arguments, op.operands, strict=True):
            self.known[argument] = self.known.get(value, {})
            self.fixed.update({argument} if value in self.fixed else ())
        returned = self.block(block, op)
        for result, value in zip(op.results, returned, strict=True):
            self.known[result] = self.known.get(value, {})

    def _know(self, op: Any, number: int, along: _Along) -> None:
        for result in tensors(op.results):
            self.known[result] = {**self.known.get(result, {}), number: along}

    def _through(self, op: Any, number: int, parts: list[tuple[int, _Along]], call: Any) -> None:
        """Follow the scores `number` through one operation that reads them."""
        (first, along) = parts[0]
        scores = self.scores[number]
        if op.name == "dry.softmax" and along.dim is not None:
            if op.attributes["dim"].value == along.dim:
                scores.normalized = True
                along = _Along(along.dim, along.level + 2, grown=True)
            self._know(op, number, along)
        elif op.name == "dry.matmul":
            if first == 0 and along.dim == op.operands[0].type.rank - 1:
                if along.grown and scores.place is None:
                    scores.place, scores.passes = _where(op, call), along.level
                self._know(op, number, replace(along, dim=None))
            elif first == 0:
                self._know(op, number, along)
        elif op.name == "linalg.generic":
            self._generic(op, number, parts)
        else:
            moved = along if along.dim is None else _moved(op, along)
            if moved is not None:
                self._know(op, number, moved)

    def _generic(self, op: Any, number: int, parts: list[tuple[int, _Along]]) -> None:
        maps = [dims_of(each.value) for each in op.attributes["indexing_maps"]]
        loops = {maps[k][a.dim] for k, a in parts if a.dim is not None}
        level = max(a.level + (a.dim is None and bool(loops)) for _, a in parts)
        names = {inner.operation.name for inner in nested(op)}
        grown = any(a.grown for _, a in parts) or bool(names & {"math.exp", "math.exp2"})
        if not loops:
            self._know(op, number, _Along(None, level, grown))
            return
        loop = loops.pop()
        if loops or loop is None:
            return
        if loop not in maps[-1]:
            self.scores[number].normalized |= grown
            self._know(op, number, _Along(None, level, grown))
        else:
            self._know(op, number, _Along(maps[-1].index(loop), level, grown))


def _where(op: Any, call: Any) -> str:
    place = ir_place(op if call is None else call)
    return "" if place is None else str(place)


def _moved(op: Any, along: _Along) -> _Along | None:
    """The dimension of the keys behind a view or a move; None where it is no dimension any more."""
    dim = along.dim
    assert dim is not None
    if op.name == "linalg.transpose":
        return replace(along, dim=list(op.attributes["permutation"]).index(dim))
    if op.name == "tensor.cast":
        return along
    if op.name not in ("tensor.collapse_shape", "tensor.expand_shape"):
        return None
    collapsed = op.name == "tensor.collapse_shape"
    extents = shape(op.operands[0] if collapsed else op.results[0])
    for number, attribute in enumerate(op.attributes["reassociation"]):
        group = ints(ir.ArrayAttr(attribute))
        long = [d for d in group if extents[d] != 1] or group[:1]
        if (dim in group) if collapsed else (number == dim):
            if len(long) != 1 or (collapsed and long != [dim]):
                return None
            return replace(along, dim=number if collapsed else long[0])
    return None
