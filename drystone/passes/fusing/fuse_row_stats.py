"""The pass `fuse-row-stats`: what a loss or a choice asks of logits is computed where they are made."""

from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

from drystone.ir.build import generic
from drystone.ir.dialect import RowStats
from drystone.ir.encoded import encoding_of, pack_of
from drystone.ir.encoding import Codes
from drystone.ir.program import Program
from drystone.ir.values import constant_number, dims_of, main_block, producer_name, shape
from drystone.mlir import arith, ints, ir, linalg, tensor
from drystone.passes.dims import extent
from drystone.passes.generic import body, collapse, dims_map, expand, is_identity, maps_of
from drystone.passes.quantizing.row_sums import RowSum
from drystone.passes.rebuild import finish, rebuilt
from drystone.passes.regions import copy_value
from drystone.passes.rewriting import erase_dead, ops, tensor_type, uses

#: What a size that is known at the call counts as.
_MANY = 256


@dataclass(frozen=True)
class FuseRowStats:
    """Logits of which the largest, its place, the sum of exponentials, the sum and a target's are all that is
    read are not stored.

    Before:  %x = "dry.matmul"(%h, %w) ; %peak, %rest = "dry.logsumexp"(%x)
             %loss = linalg.generic ins(%t, %peak, %rest) {%x[i, t] .. peak .. rest}
    After:   %x = "dry.matmul"(%h, %w) ; %peak, %rest, %picked = "dry.row_stats"(%x, %t)
             %loss = linalg.generic ins(%t, %peak, %rest, %picked) {picked .. peak .. rest}, where
             `merge-products` makes one kernel of the first two

    - A product of matrices with a packed weight of known width, of real elements, whose result is read by a
      logsumexp along the rows, by an argmax along them, and by one linalg.generic that picks one element of
      each row, at most one of each, also through a reshape of the rows; and that has at least `least`
      elements: fewer stay in a cache.
    - Sums along the rows of what is of the first degree in a logit of f32 and otherwise the same along a row
      (label smoothing: of the distances to the logarithm of the sum of exponentials) follow from the row's
      sum.
    """

    least: int = 1 << 17
    name: ClassVar[str] = "fuse-row-stats"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "dry.matmul"):
            if _is_large(op, self.least):
                readers = _Readers()
                if readers.find(op.operation.results[0]) and readers.found:
                    _fuse(op, readers)
        erase_dead(block)


def _is_large(op: Any, least: int) -> bool:
    a, b, *_ = op.operation.operands
    result = op.operation.results[0]
    if (a.type.rank, b.type.rank, result.type.rank) != (2, 2, 2) or result.type.encoding is not None:
        return False
    real = all(str(value.type.element_type) in ("f32", "bf16", "f16") for value in (a, b, result))
    plain = all(isinstance(e := encoding_of(v.type), Codes) and e.scale is None for v in (a, b))
    packed = pack_of(b.type) is not None and shape(result)[1] is not None
    return real and plain and packed and prod(n or _MANY for n in shape(result)) >= least


@dataclass
class _Readers:
    """What reads a product's rows: with the value it reads them as, which has the rows' dimensions."""

    logsumexp: tuple[Any, Any] | None = None
    argmax: tuple[Any, Any] | None = None
    pick: tuple[Any, Any] | None = None
    loops: list[int] = field(default_factory=list)
    sums: list[RowSum] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Whether there are any."""
        return bool(self.sums) or any(each is not None for each in (self.logsumexp, self.argmax, self.pick))

    @property
    def users(self) -> list[Any]:
        """The operations of `@main` that need the statistics."""
        found = [self.pick[0].parent] if self.pick is not None else []
        found += [each.op.operation for each in self.sums]
        for reader in (self.logsumexp, self.argmax):
            for result in reader[0].results if reader is not None else ():
                found += [user for user, _ in uses(result)]
        return [_in_main(user) for user in found]

    def find(self, value: Any) -> bool:
        """Note the readers of a value; whether all of them are known."""
        return all(self._note(user, value) for user, _ in uses(value))

    def _note(self, user: Any, value: Any) -> bool:
        last = value.type.rank - 1
        if user.name == "tensor.expand_shape":
            groups = [ints(group) for group in user.attributes["reassociation"]]
            return len(groups[-1]) == 1 and len(groups) == 2 and self.find(user.results[0])
        if user.name == "dry.logsumexp" and self.logsumexp is None:
            self.logsumexp = user, value
            return bool(user.attributes["dim"].value == last)
        if user.name == "linalg.generic" and (sums := RowSum(user.opview, value)).known:
            self.sums.append(sums)
            return True
        if user.name == "linalg.generic" and self.argmax is None:
            self.argmax = user, value
            return _is_argmax(user.opview) and not uses(user.results[0])
        if user.name == "tensor.extract" and user.parent.name == "linalg.generic" and self.pick is None:
            self.pick = user, value
            return self._picks_by_row(user, value)
        return False

    def _picks_by_row(self, pick: Any, value: Any) -> bool:
        """Whether the picking operation has one iteration for each row."""
        *rows, _ = list(pick.operands)[1:]
        for index, size in zip(rows, shape(value), strict=False):
            if producer_name(index) == "linalg.index":
                self.loops.append(index.owner.attributes["dim"].value)
            elif size != 1 or constant_number(index) != 0:
                return False
        count = maps_of(pick.parent.opview)[0].n_dims
        return bool(self.loops) and sorted(self.loops) == list(range(count))


def _in_main(op: Any) -> Any:
    while op.parent.name != "func.func":
        op = op.parent
    return op


def _is_argmax(op: Any) -> bool:
    """Whether a linalg.generic gives the largest of every row and where it is first."""
    operation = op.operation
    maps = maps_of(op)
    if len(operation.operands) != 3 or len(operation.results) != 2 or not is_identity(maps[0]):
        return False
    last = maps[0].n_dims - 1
    kinds = ["reduction" in str(kind) for kind in operation.attributes["iterator_types"]]
    rows = all(dims_of(map_) == list(range(last)) for map_ in maps[1:])
    names = [inner.operation.name for inner in body(op).operations]
    wanted = {
        "linalg.index",
        "arith.index_cast",
        "arith.maximumf",
        "arith.cmpf",
        "arith.select",
        "linalg.yield",
    }
    if kinds != [False] * last + [True] or not rows or set(names) != wanted or len(names) != len(wanted):
        return False
    x, old, place = body(op).arguments
    by_name = {inner.operation.name: inner.operation for inner in body(op).operations}
    above, chosen, best = (by_name[f"arith.{name}"] for name in ("cmpf", "select", "maximumf"))
    return (
        list(above.operands) == [x, old]
        and above.attributes["predicate"].value in (2, 9)  # ogt, ugt
        and list(chosen.operands) == [above.results[0], by_name["arith.index_cast"].results[0], place]
        and set(best.operands) == {x, old}
        and list(by_name["linalg.yield"].operands) == [best.results[0], chosen.results[0]]
        and str(operation.results[1].type.element_type) == "i64"
    )


def _fuse(op: Any, readers: _Readers) -> None:
    block = op.operation.block
    users = readers.users
    if not users:
        return
    order = {each.operation: number for number, each in enumerate(block.operations)}
    first = min(users, key=lambda user: order[user])
    if readers.pick is not None:
        needed = _made_of(readers)
        if any(not isinstance(v.owner, ir.Block) and order[v.owner] >= order[first] for v in needed):
            return
    x = op.operation.results[0]
    with ir.InsertionPoint(first), op.operation.location:
        picks = [_places(readers)] if readers.pick is not None else []
        made = _row_stats(x, picks, readers)
    peak, *others = made.results
    if readers.logsumexp is not None:
        _give(readers.logsumexp, [peak, others.pop(0)])
    if readers.argmax is not None:
        _give(readers.argmax, [None, others.pop(0)])
    if readers.pick is not None:
        _pass_in(readers, others.pop(0))
    for each in readers.sums:
        each.replace(others[0])


def _row_stats(x: Any, picks: list[Any], readers: _Readers) -> Any:
    """The operation with the results that are wanted."""
    rows, element = shape(x)[:1], x.type.element_type
    real, place = tensor_type(rows, element), tensor_type(rows, ir.IntegerType.get_signless(64))
    rest = [real] if readers.logsumexp is not None else []
    places = [place] if readers.argmax is not None else []
    sums = [real] if readers.sums else []
    return RowStats(real, rest, places, [real] * len(picks), sums, x, picks).operation


def _used(readers: _Readers) -> list[int]:
    """Which inputs of the operation that picks its places are made of."""
    assert readers.pick is not None
    op, wanted = readers.pick[0].parent, readers.pick[0].operands[-1]
    inputs = list(body(op.opview).arguments)[: len(op.operands) - len(op.results)]
    return [k for k, argument in enumerate(inputs) if _needs(wanted, argument)]


def _made_of(readers: _Readers) -> list[Any]:
    """The values of `@main` that places which are picked are made of."""
    assert readers.pick is not None
    pick, _ = readers.pick
    return [*_outer(pick.operands[-1]), *(pick.parent.operands[k] for k in _used(readers))]


def _outer(value: Any) -> list[Any]:
    """The results of operations of `@main` that a value inside a body is made of."""
    if isinstance(value.owner, ir.Block):
        return []
    if value.owner.parent.name == "func.func":
        return [value]
    return [outer for operand in value.owner.operands for outer in _outer(operand)]


def _places(readers: _Readers) -> Any:
    """The places that are picked from, one for each row."""
    assert readers.pick is not None
    extract, value = readers.pick
    op = extract.parent.opview
    *rows, wanted = list(extract.operands)[1:]
    arguments, maps, used = list(body(op).arguments), maps_of(op), _used(readers)
    kept = [d for d, index in enumerate(rows) if producer_name(index) == "linalg.index"]
    count, i64 = len(readers.loops), ir.IntegerType.get_signless(64)
    sizes = [extent(value, d) for d in kept]
    init = tensor.EmptyOp(sizes, i64).result
    out = dims_map(count, readers.loops)
    given = [op.operation.operands[k] for k in used]
    made = generic(given, [init], [*(maps[k] for k in used), out], ["parallel"] * count)
    block = made.operation.regions[0].blocks.append(*(arguments[k].type for k in used), i64)
    with ir.InsertionPoint(block), op.operation.location:
        known = dict(zip([arguments[k] for k in used], block.arguments, strict=False))
        found = copy_value(wanted, known, lambda d: linalg.IndexOp(d).result)
        if isinstance(found.type, ir.IndexType):
            found = arith.IndexCastOp(i64, found).result
        elif found.type != i64:
            found = arith.ExtSIOp(i64, found).result
        ir.Operation.create("linalg.yield", operands=[found])
    return collapse(made.operation.results[0], [list(range(count))])


def _needs(value: Any, argument: Any) -> bool:
    """Whether a value inside a body is made of an argument of it."""
    if value == argument:
        return True
    inside = not isinstance(value.owner, ir.Block) and value.owner.parent.name != "func.func"
    return inside and any(_needs(operand, argument) for operand in value.owner.operands)


def _give(reader: tuple[Any, Any] | None, found: list[Any]) -> None:
    """Let the statistics take the place of a reader's results, in the shape of its rows."""
    if reader is None:
        return
    op, value = reader
    rows = value.type.rank - 1
    for old, new in zip(op.results, found, strict=True):
        if new is not None:
            with ir.InsertionPoint.after(new.owner), op.location:
                sizes = [extent(value, d) for d in range(rows)]
                old.replace_all_uses_with(expand(new, [list(range(rows))], sizes))


def _pass_in(readers: _Readers, picked: Any) -> None:
    """Let the operation that picked elements take them as an input."""
    assert readers.pick is not None
    extract, value = readers.pick
    op = extract.parent.opview
    count = len(op.operation.results)
    operands, maps = list(op.operation.operands), maps_of(op)
    kept = [d for d, i in enumerate(list(extract.operands)[1:-1]) if producer_name(i) == "linalg.index"]
    with ir.InsertionPoint(op), op.operation.location:
        whole = expand(picked, [list(range(len(kept)))], [extent(value, d) for d in kept])
        read = dims_map(maps[0].n_dims, readers.loops)
        at = len(operands) - count
        operands.insert(at, whole)
        maps.insert(at, read)
        made, block = rebuilt(op, operands, maps)
    arguments = list(block.arguments)
    extract.results[0].replace_all_uses_with(arguments[at])
    extract.erase()
    known = dict(zip(body(op).arguments, [*arguments[:at], *arguments[at + 1 :]], strict=True))
    finish(op, made, block, known)
