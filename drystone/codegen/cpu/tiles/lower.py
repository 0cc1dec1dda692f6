"""A tile program as MLIR for a CPU: functions over memrefs in the dialects scf, vector, arith and memref.

Only vectors of exactly one register appear. The grid's steps are numbered row by row; a unit of work is a run
of neighbouring steps that is worth a thread's attention. Where edges would cost masks inside loops, the body
comes twice: for steps that lie wholly inside, and for the others.
"""

from drystone.codegen.cpu.tiles.emit import Emitter
from drystone.codegen.cpu.tiles.flow import doubts, execute
from drystone.codegen.cpu.tiles.matrix import configured
from drystone.codegen.cpu.tiles.state import Lowering, memref
from drystone.codegen.cpu.tiles.units import step_cost, steps_per_unit
from drystone.codegen.cpu.tiles.usage import Body, Usage
from drystone.codegen.kernel import Kernel
from drystone.codegen.ranges import Facts, Linear, equalities, grid_facts, loop_facts
from drystone.codegen.tile import Beside, Index, Load, Loop, Store, TileProgram, When
from drystone.targets.target import CpuTarget

#: Bodies of fewer operations than this come in two versions even where only straight code has edges.
_SMALL = 4_000
#: What turns the text into LLVM's dialect.
TO_LLVM = (
    "convert-scf-to-cf,convert-vector-to-llvm,convert-math-to-libm,expand-strided-metadata,lower-affine,"
    "convert-to-llvm,reconcile-unrealized-casts"
)


def lower(program: TileProgram, name: str, target: CpuTarget) -> Kernel:
    """The kernel `@name` of a tile program.

    Raises InternalError for what no register of a CPU holds.
    """
    parts = [_kernel(program, name, target), _units(program, name, target)]
    if program.rounds is not None:
        parts.append(_rounds(program, name, target))
    return Kernel(name, program.family, "\n".join(parts) + "\n", rounds=program.rounds is not None)


def _signature(program: TileProgram) -> str:
    tensors = [f"%{t.name}: {memref(t)}" for t in program.memory]
    return ", ".join([*tensors, *(f"%{s.name}: {s.dtype}" for s in program.scalars)])


def _start(program: TileProgram, emit: Emitter, target: CpuTarget) -> Lowering:
    low = Lowering(program, emit, target, Usage(program.grid.body))
    low.facts = Facts({}, equalities(program.equal))
    if program.rounds is not None:
        emit.vars[program.rounds.var] = "%round"
        last = low.facts.linear(program.rounds.extent) - Linear((), 1)
        low.facts = low.facts.within(program.rounds.var, Linear(), last, 1)
    return low


def _steps(low: Lowering) -> tuple[list[str], str]:
    """Steps along every axis, and all of them."""
    grid = low.program.grid
    counts = [
        low.index(low.facts.equal.get(e, e).ceildiv(n)) for e, n in zip(grid.extents, grid.steps, strict=True)
    ]
    total = low.emit.number(1)
    for count in counts:
        total = low.emit.binary("arith.muli", total, count)
    return counts, total


def _units(program: TileProgram, name: str, target: CpuTarget) -> str:
    emit = Emitter()
    low = _start(program, emit, target)
    _, total = _steps(low)
    run = emit.number(steps_per_unit(program))
    units = emit.arithmetic("ceildiv", total, run, nonnegative=True)
    head = f"func.func private @{name}_grid({_signature(program)}) -> index {{"
    return "\n".join([head, *emit.entry, *emit.lines, f"  return {units} : index", "}"])


def _rounds(program: TileProgram, name: str, target: CpuTarget) -> str:
    emit = Emitter()
    low = _start(program, emit, target)
    assert program.rounds is not None
    extent = program.rounds.extent
    count = low.index(low.facts.equal.get(extent, extent))
    head = f"func.func private @{name}_rounds({_signature(program)}) -> index {{"
    return "\n".join([head, *emit.entry, *emit.lines, f"  return {count} : index", "}"])


def _kernel(program: TileProgram, name: str, target: CpuTarget) -> str:
    emit = Emitter()
    low = _start(program, emit, target)
    counts, total = _steps(low)
    run = emit.number(steps_per_unit(program))
    first = emit.binary("arith.muli", "%begin", run)
    last = emit.binary("arith.minsi", emit.binary("arith.muli", "%end", run), total)
    _walk_grid(low, counts, first, last)
    units = ["%round: index"] * (program.rounds is not None) + ["%begin: index", "%end: index"]
    parameters = ", ".join(p for p in (_signature(program), *units) if p)
    head = f"func.func private @{name}({parameters}) {{"
    begin, end = configured(low)
    return "\n".join([head, *emit.entry, *begin, *emit.lines, *end, "  return", "}"])


def _walk_grid(low: Lowering, counts: list[str], first: str, last: str) -> None:
    """Steps first..last: the starts of the first are computed, those of the next ones counted on."""
    emit, grid = low.emit, low.program.grid
    facts = grid_facts(low.facts, grid)
    moving = [
        i
        for i, var in enumerate(grid.vars)
        if not (facts.bounds[var][1].constant == 0 and not facts.bounds[var][1].terms)
    ]
    rest, starts = first, {}
    for i in reversed(moving):
        count = emit.binary("arith.maxsi", counts[i], emit.number(1))
        starts[i] = emit.binary("arith.remui", rest, count)
        rest = emit.binary("arith.divui", rest, count)
    for i, index in enumerate(grid.vars):
        if i not in moving:
            emit.vars[index] = emit.number(0)
    inner = {i: emit.name() for i in moving}
    step, var = emit.number(1), emit.name()
    if not moving:
        with emit.region(f"scf.for {var} = {first} to {last} step {step} {{"):
            _versions(low)
        return
    pairs = ", ".join(f"{inner[i]} = {starts[i]}" for i in moving)
    listed = ", ".join(["index"] * len(moving))
    result = emit.name()
    head = f"{result}:{len(moving)} = scf.for {var} = {first} to {last} step {step} iter_args({pairs})"
    with emit.region(f"{head} -> ({listed}) {{"):
        for i in moving:
            size = emit.number(grid.steps[i])
            emit.vars[grid.vars[i]] = emit.binary("arith.muli", inner[i], size)
        _versions(low)
        carry, following = None, {}
        for i in reversed(moving):
            up = emit.binary("arith.addi", inner[i], emit.number(1))
            if carry is not None:
                up = emit.pure(f"arith.select {carry}, {up}, {inner[i]} : index")
            wrapped = emit.compare("sge", up, counts[i])
            following[i] = emit.pure(f"arith.select {wrapped}, {emit.number(0)}, {up} : index")
            carry = wrapped
        emit.line(f"scf.yield {', '.join(following[i] for i in moving)} : {listed}")


def _versions(low: Lowering) -> None:
    """The body of the grid, in one version or two."""
    emit, grid, outer = low.emit, low.program.grid, low.facts
    anywhere, whole = grid_facts(outer, grid), grid_facts(outer, grid, full=True)
    # What a loop's last iteration costs, it costs once: the loop is cut there, not the grid.
    open_ = list(doubts(grid.body, anywhere, whole=True))
    worth = any(depth > 0 for _, _, depth in open_) or step_cost(grid.body) < _SMALL
    possible = all(
        e.constant is None or e.constant >= n for e, n in zip(grid.extents, grid.steps, strict=True)
    )
    if open_ and worth and possible:
        conditions = [
            (outer.linear(extent) - Linear((), step)) - outer.linear(var)
            for var, extent, step in zip(grid.vars, grid.extents, grid.steps, strict=True)
        ]
        conditions = [c for c in conditions if not anywhere.nonnegative(c)]
        found, assumed = _conditions(low, whole)
        conditions += [c for c in found if c not in conditions]
        if conditions:
            held: str | None = None
            low.facts = anywhere
            for condition in conditions:
                check = emit.compare("sge", low.form(condition), emit.number(0))
                held = check if held is None else emit.binary("arith.andi", held, check, "i1")
            with emit.region(f"scf.if {held} {{", "} else {"):
                _body(low, whole, assumed)
            with emit.region(None):
                _body(low, anywhere, set())
            low.facts = outer
            return
    _body(low, anywhere, set())
    low.facts = outer


def _body(low: Lowering, facts: Facts, assumed: set[tuple[int, int]]) -> None:
    low.facts, low.assumed, low.values = facts, assumed, {}
    execute(low, low.program.grid.body)


def _conditions(low: Lowering, whole: Facts) -> tuple[list[Linear], set[tuple[int, int]]]:
    """Conditions a step can check at its start, and the accesses they make safe."""
    found: list[Linear] = []
    safe: set[tuple[int, int]] = set()

    def visit(body: Body, facts: Facts) -> None:
        for s in body:
            match s:
                case Load() | Store():
                    for dim, at in enumerate(s.at):
                        checks = _checks(low, s, dim, at, facts)
                        if checks:
                            found.extend(c for c in checks if c not in found)
                            safe.add((id(s), dim))
                case Loop():
                    visit(s.body, loop_facts(facts, s))
                case When() | Beside():
                    visit(s.body, facts)

    visit(low.program.grid.body, whole)
    return found, safe


def _checks(low: Lowering, s: Load | Store, dim: int, at: Index, facts: Facts) -> list[Linear]:
    tensor = s.source if isinstance(s, Load) else s.target
    span = Linear((), ((s.sizes[dim] or 1) - 1) * s.steps[dim] + 1)
    start = facts.linear(at)
    checks = []
    for form in (start, facts.linear(tensor.dim(dim)) - start - span):
        if facts.nonnegative(form):
            continue
        bound = facts.eliminate(form, low.program.grid.vars, lower=True)
        if bound is None or any(isinstance(n, float) or n != int(n) for _, n in bound.terms):
            return []
        checks.append(bound)
    return checks
