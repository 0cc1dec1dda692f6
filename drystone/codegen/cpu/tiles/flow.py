"""Statements in order, loops and branches."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles import matrix
from drystone.codegen.cpu.tiles.access import Loaded, prefetch, store, unproven
from drystone.codegen.cpu.tiles.contraction import dot, lane_dot, reduction
from drystone.codegen.cpu.tiles.elementwise import Applied
from drystone.codegen.cpu.tiles.gather import Gathered
from drystone.codegen.cpu.tiles.lookup import LookedUp, Shuffled
from drystone.codegen.cpu.tiles.placed import placed
from drystone.codegen.cpu.tiles.usage import Body, memory_of, uses
from drystone.codegen.cpu.tiles.values import (
    Full,
    Interleaved,
    Iota,
    Ready,
    Reshaped,
    SplitUp,
    Transposed,
    Value,
)
from drystone.codegen.ranges import Facts, loop_facts
from drystone.codegen.statements import Lazy
from drystone.codegen.tile import (
    Apply,
    Beside,
    Compress,
    Dot,
    Gather,
    Grid,
    Index,
    Interleave,
    LaneDot,
    Load,
    Lookup,
    Loop,
    Prefetch,
    Reduce,
    Reshape,
    Scalar,
    Scatter,
    Shuffle,
    Split,
    Store,
    Transpose,
    When,
)
from drystone.codegen.tile import Full as FullStatement
from drystone.codegen.tile import Iota as IotaStatement
from drystone.errors import InternalError

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering


#: Loops of sums in tile registers with no more iterations than this are written out.
_WRITTEN_OUT = 8
#: What an instruction of a unit is called by.
_CALL = "llvm.call_intrinsic"
#: The sums of a loop that stay in tile registers, by their number among the carried tiles.
Held = Mapping[int, matrix.InTiles]


def execute(low: "Lowering", body: Body) -> None:
    """Lower statements in order. What a store or a region might change is made before it."""
    for position, s in enumerate(body):
        later = uses(body[position + 1 :]) | low.later[-1]
        match s:
            case Store():
                low.settle(frozenset({memory_of(s.target)}), later)
                value = low.value(s.value)
                if not (isinstance(value, matrix.InTiles) and matrix.store(low, value, s)):
                    store(low, s)
            case Scatter() | Compress():
                low.settle(frozenset({memory_of(s.target)}), later)
                placed(low, s)
            case Prefetch():
                prefetch(low, s)
            case Loop():
                low.later.append(later)
                _loop(low, s)
                low.later.pop()
            case Beside():
                low.later.append(later)
                _beside(low, s)
                low.later.pop()
            case When():
                low.later.append(later)
                low.enter(s.body)
                left, right = low.index(s.left), low.index(s.right)
                with low.emit.region(f"scf.if {low.emit.compare('slt', left, right)} {{"):
                    execute(low, s.body)
                low.later.pop()
            case Dot():
                dot(low, s)
            case LaneDot():
                lane_dot(low, s)
            case Reduce():
                reduction(low, s)
            case Grid():
                raise InternalError("a grid inside a grid")
            case _:
                low.values[s.result.number] = _lazy(low, s)


def _beside(low: "Lowering", s: Beside) -> None:
    """Two bodies that take turns, the instructions of one spread evenly over those of the other."""
    emit = low.emit
    low.enter(s.body)
    lines, emit.lines = emit.lines, []
    # Neither may use what the other one has named: it may come later.
    with emit.scope():
        execute(low, s.first)
    first, emit.lines = emit.lines, []
    execute(low, s.second)
    emit.lines = lines + _spread(first, emit.lines)


def _spread(some: list[str], others: list[str]) -> list[str]:
    """Lines in turns, each list in its own order: as many of the `others` between any two calls of `some`;
    regions stay whole."""
    groups, calls = _groups(some), 0
    total = 1 + sum(_CALL in line for line in some)
    rest = _groups(others)
    merged: list[str] = []
    taken = 0
    for group in groups:
        if _CALL in group[0]:
            calls += 1
            until = calls * len(rest) // total
            merged += [line for one in rest[taken:until] for line in one]
            taken = until
        merged += group
    return merged + [line for one in rest[taken:] for line in one]


def _groups(lines: list[str]) -> list[list[str]]:
    """Lines of one region, each with the regions it opens."""
    depth = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    groups: list[list[str]] = []
    for line in lines:
        if groups and (line[depth] in " }"):
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


def _lazy(low: "Lowering", s: Lazy) -> Value:
    number, shape, dtype = s.result.number, s.result.shape, s.result.dtype
    match s:
        case Load():
            return Loaded(low, s)
        case Gather():
            return Gathered(low, s)
        case Lookup():
            return LookedUp(low, s)
        case Shuffle():
            return Shuffled(low, s)
        case FullStatement():
            return _full(low, s)
        case IotaStatement():
            return Iota(low, number, shape, dtype, low.index(s.start), s.axis % max(1, len(shape)))
        case Apply():
            return Applied(low, s)
        case Transpose():
            return Transposed(low, number, shape, dtype, low.value(s.arg), s.permutation)
        case Interleave():
            return Interleaved(low, number, shape, dtype, low.value(s.arg))
        case Split():
            return SplitUp(low, number, shape, dtype, low.value(s.arg))
        case Reshape():
            return Reshaped(low, number, shape, dtype, low.value(s.arg))


def _full(low: "Lowering", s: FullStatement) -> Full:
    number, shape, dtype = s.result.number, s.result.shape, s.result.dtype
    match s.value:
        case Scalar():
            kind, name = s.value.dtype, f"%{s.value.name}"
            if kind == "index":
                kind, name = "i64", low.from_index(name, "i64")
            return Full(low, number, shape, dtype, low.convert(name, kind, dtype, vector=False), None)
        case Index():
            name = low.from_index(low.index(s.value), "i64")
            return Full(low, number, shape, dtype, low.convert(name, "i64", dtype, vector=False), None)
    # MLIR's arithmetic knows integers without a sign.
    return Full(low, number, shape, dtype, low.emit.constant(s.value, dtype.removeprefix("u")), s.value)


def doubts(
    body: Body, facts: Facts, *, depth: int = 0, whole: bool = False
) -> Iterator[tuple[Load | Store, int, int]]:
    """Accesses not proven to lie inside: the statement, the dimension, and how many loops it is in. `whole`:
    leave out a loop's last iteration where it is cut short."""
    for s in body:
        match s:
            case Load() | Store():
                for dim in range(len(s.at)):
                    if any(unproven(s, dim, facts)):
                        yield s, dim, depth
            case Loop():
                inside = loop_facts(facts, s, full=whole)
                yield from doubts(s.body, inside, depth=depth + 1, whole=whole)
            case When() | Beside():
                yield from doubts(s.body, facts, depth=depth, whole=whole)


def _count(body: Body, facts: Facts, assumed: set[tuple[int, int]]) -> int:
    return sum((id(s), dim) not in assumed for s, dim, _ in doubts(body, facts))


def _loop(low: "Lowering", s: Loop) -> None:
    """A loop; where its last iteration may be cut short and that costs the others their proofs, the whole
    iterations run first and the cut one by itself."""
    sums = {i: dot for i in range(len(s.carried)) if (dot := matrix.summed(low, s, i)) is not None}
    low.enter((s,), frozenset(s.initial[i].number for i in sums))
    facts = low.facts
    lower, upper = low.index(s.lower), low.index(s.upper)
    held = {i: matrix.enter(low, s, i, dot) for i, dot in sums.items()}
    carried = [i for i in range(len(s.carried)) if i not in sums]
    now = [part for i in carried for part in low.value(s.initial[i]).parts()]
    plain, whole = loop_facts(facts, s), loop_facts(facts, s, full=True)
    peel = _count(s.body, plain, low.assumed) > _count(s.body, whole, low.assumed)
    if not peel:
        low.facts = plain
        now = _rounds(low, s, lower, upper, now, held)
    else:
        span = facts.linear(s.upper) - facts.linear(s.lower)
        step = low.emit.number(s.step)
        sure = facts.nonnegative(span)
        length = low.form(span)
        if not sure:
            length = low.emit.binary("arith.maxsi", length, low.emit.number(0))
        trips = low.emit.binary("arith.divui", length, step)
        covered = low.emit.binary("arith.muli", trips, step)
        middle = low.emit.binary("arith.addi", lower, covered)
        low.facts = whole
        now = _rounds(low, s, lower, middle, now, held)
        low.facts = plain
        now = _rest(low, s, middle, upper, now, held)
    low.facts = facts
    for i, dot in sums.items():
        matrix.leave(low, s, i, dot)
    for tile in (s.results[i] for i in carried):
        value = Value(low, tile.number, tile.shape, tile.dtype)
        count = len(list(value.places()))
        low.values[tile.number] = Ready(low, tile.number, tile.shape, tile.dtype, now[:count])
        now = now[count:]


def _kinds(low: "Lowering", s: Loop, held: Held) -> list[str]:
    return [
        value.kind
        for i, tile in enumerate(s.carried)
        if i not in held
        for value in [Value(low, tile.number, tile.shape, tile.dtype)]
        for _ in value.places()
    ]


def _iteration(low: "Lowering", s: Loop, var: str, now: list[str], held: Held) -> list[str]:
    """The body once, in the present region: what it yields."""
    low.emit.vars[s.var] = var
    for i, tile in enumerate(s.carried):
        if i in held:
            low.values[tile.number] = held[i]
            continue
        count = len(list(Value(low, tile.number, tile.shape, tile.dtype).places()))
        low.values[tile.number] = Ready(low, tile.number, tile.shape, tile.dtype, now[:count])
        now = now[count:]
    low.later.append(uses(s.body) | low.later[-1] | {t.number for t in s.yielded})
    execute(low, s.body)
    low.later.pop()
    return [part for i, tile in enumerate(s.yielded) if i not in held for part in low.value(tile).parts()]


def _rounds(low: "Lowering", s: Loop, lower: str, upper: str, now: list[str], held: Held) -> list[str]:
    emit, kinds, var = low.emit, _kinds(low, s, held), low.emit.name()
    head = f"scf.for {var} = {lower} to {upper} step {emit.number(s.step)}"
    bounds = s.lower.constant, s.upper.constant
    if held and not kinds and bounds[0] is not None and bounds[1] is not None:
        starts = range(bounds[0], bounds[1], s.step)
        if len(starts) <= _WRITTEN_OUT and lower == low.index(s.lower) and upper == low.index(s.upper):
            for start in starts:
                with emit.scope():
                    _iteration(low, s, emit.number(start), [], held)
            return []
    if not kinds:
        with emit.region(f"{head} {{"):
            _iteration(low, s, var, [], held)
        return []
    result, inner = emit.name(), [emit.name() for _ in kinds]
    pairs = ", ".join(f"{a} = {b}" for a, b in zip(inner, now, strict=True))
    listed = ", ".join(kinds)
    with emit.region(f"{result}:{len(kinds)} = {head} iter_args({pairs}) -> ({listed}) {{"):
        out = _iteration(low, s, var, inner, held)
        emit.line(f"scf.yield {', '.join(out)} : {listed}")
    return [f"{result}#{i}" for i in range(len(kinds))]


def _rest(low: "Lowering", s: Loop, start: str, upper: str, now: list[str], held: Held) -> list[str]:
    emit, kinds = low.emit, _kinds(low, s, held)
    condition = emit.compare("slt", start, upper)
    if not kinds:
        with emit.region(f"scf.if {condition} {{"):
            _iteration(low, s, start, [], held)
        return []
    result, listed = emit.name(), ", ".join(kinds)
    with emit.region(f"{result}:{len(kinds)} = scf.if {condition} -> ({listed}) {{", "} else {"):
        out = _iteration(low, s, start, now, held)
        emit.line(f"scf.yield {', '.join(out)} : {listed}")
    emit.line(f"  scf.yield {', '.join(now)} : {listed}")
    emit.line("}")
    return [f"{result}#{i}" for i in range(len(kinds))]
