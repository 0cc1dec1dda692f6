"""Tile programs as text: what they are named by, and what tests and people read."""

from collections.abc import Sequence

from drystone.codegen.index import Index
from drystone.codegen.operands import Scalar, Tile
from drystone.codegen.statements import (
    Apply,
    Beside,
    Compress,
    Dot,
    Full,
    Gather,
    Grid,
    Interleave,
    Iota,
    LaneDot,
    Load,
    Lookup,
    Loop,
    Prefetch,
    Reduce,
    Reshape,
    Scatter,
    Shuffle,
    Split,
    Statement,
    Store,
    Transpose,
    When,
    Written,
)


def _place(at: Sequence[Index], sizes: Sequence[int | None], steps: Sequence[int]) -> str:
    parts = []
    for where, size, step in zip(at, sizes, steps, strict=True):
        parts.append(str(where) if size is None else f"{where}:+{size}" + (f":{step}" if step != 1 else ""))
    return "[" + ", ".join(parts) + "]"


def statements(body: Sequence[Statement], depth: int, lines: list[str]) -> None:
    """The lines of some statements, indented by `depth`."""
    pad = "  " * depth
    for s in body:
        match s:
            case Load():
                fill = "" if s.fill == 0 else f" fill {s.fill}"
                lines.append(f"{pad}{s.result} = load {s.source.name}{_place(s.at, s.sizes, s.steps)}{fill}")
            case Gather():
                places = ", ".join(map(str, s.indices))
                lines.append(f"{pad}{s.result} = gather {s.source.name}[{places}] -> {s.result.shape}")
            case Lookup():
                lines.append(f"{pad}{s.result} = lookup {s.index} in {_listed(s.numbers)}")
            case Shuffle():
                lines.append(f"{pad}{s.result} = shuffle {s.table} by {s.index}")
            case Store() | Scatter() | Compress():
                lines.append(f"{pad}{_written(s)}")
            case Prefetch():
                read = "to read " if s.read else ""
                lines.append(f"{pad}prefetch {read}{s.target.name}{_place(s.at, s.sizes, s.steps)}")
            case Full():
                value = s.value.name if isinstance(s.value, Scalar) else s.value
                lines.append(f"{pad}{s.result} = full {value} {s.result.shape} {s.result.dtype}")
            case Iota():
                made = f"{s.result.shape} {s.result.dtype}"
                lines.append(f"{pad}{s.result} = iota {s.start} axis {s.axis} {made}")
            case Apply():
                extra = "".join(f" {key}={value}" for key, value in s.attributes)
                args = ", ".join(map(str, s.args))
                lines.append(f"{pad}{s.result} = {s.op} {args}{extra} -> {s.result.shape} {s.result.dtype}")
            case Dot() | LaneDot():
                times = "@" if isinstance(s, Dot) else "by lanes"
                lines.append(f"{pad}{s.result} = dot {s.acc} + {s.a} {times} {s.b}")
            case Reduce():
                lines.append(f"{pad}{s.result} = reduce {s.op} {s.arg} axis {s.axis}")
            case Transpose():
                lines.append(f"{pad}{s.result} = transpose {s.arg} {s.permutation}")
            case Interleave() | Split() | Reshape():
                lines.append(f"{pad}{s.result} = {type(s).__name__.lower()} {s.arg} {s.result.shape}")
            case Loop():
                carried = ", ".join(f"{c} = {i}" for c, i in zip(s.carried, s.initial, strict=True))
                results = ", ".join(map(str, s.results))
                lines.append(
                    f"{pad}{results}{' = ' if results else ''}loop {s.var} = {s.lower} to {s.upper} "
                    f"step {s.step} ({carried})"
                )
                statements(s.body, depth + 1, lines)
                lines.append(f"{pad}  yield {', '.join(map(str, s.yielded))}")
            case Grid():
                axes = zip(s.vars, s.extents, s.steps, strict=True)
                lines.append(f"{pad}grid " + ", ".join(f"{v} to {e} step {n}" for v, e, n in axes))
                statements(s.body, depth + 1, lines)
            case Beside():
                lines.append(f"{pad}beside")
                statements(s.first, depth + 1, lines)
                lines.append(f"{pad}and")
                statements(s.second, depth + 1, lines)
            case When():
                lines.append(f"{pad}when {s.left} < {s.right}")
                statements(s.body, depth + 1, lines)


def _written(s: Written) -> str:
    match s:
        case Store():
            return f"store {s.target.name}{_place(s.at, s.sizes, s.steps)}, {s.value}"
        case Scatter():
            places = ", ".join(map(str, s.indices))
            return f"scatter {s.target.name}[{places}], {s.value} where {s.keep}"
        case Compress():
            return f"compress {s.target.name}[{s.at}], {s.value} where {s.keep}"


def _listed(numbers: tuple[float, ...] | Tile) -> str:
    return str(numbers) if isinstance(numbers, Tile) else str(list(numbers))
