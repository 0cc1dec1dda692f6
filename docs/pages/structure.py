"""stages.svg: which part of the package imports which, from the code's own imports."""

import ast
import textwrap
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

import drystone

PACKAGE = Path(drystone.__file__).parent
#: The modules at the top that are drawn, beside all folders; the others are used by many and named in tables.
_DRAWN = ("compiler",)
_WIDTH, _BOX, _HEIGHT, _BETWEEN, _EDGE = 960.0, 176.0, 78.0, 44.0, 18.0
_STYLE = """
.stages { font: 11px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #4a4640 }
.stages .paper { fill: #fbf9f5 }
.stages .stone { fill: #ebe5d8; stroke: #cfc8ba }
.stages .name { font-size: 13px; font-weight: 600; fill: #2f2c28 }
.stages .needs { stroke: #7d8894; stroke-width: 1.3; fill: none }
.stages text { text-anchor: middle }
"""


def needs() -> dict[str, set[str]]:
    """The parts that each part imports, within functions too; those alone that have to do with others."""
    parts = {path.parent.name: path.parent for path in PACKAGE.glob("*/__init__.py")}
    parts |= {name: PACKAGE / f"{name}.py" for name in _DRAWN}
    found: dict[str, set[str]] = {}
    for name, place in parts.items():
        files = [place] if place.is_file() else place.rglob("*.py")
        found[name] = {part for file in files for part in _named(file)} & parts.keys() - {name}
    needed = set().union(*found.values())
    return {name: others for name, others in found.items() if others or name in needed}


def imports() -> dict[str, set[str]]:
    """The same without those that a part reaches through others."""
    every = needs()
    return {name: found - _through(every, found) for name, found in every.items()}


def _named(file: Path) -> Iterator[str]:
    """The parts of the package that a file's imports name."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("drystone."))


def _through(every: Mapping[str, set[str]], found: set[str]) -> set[str]:
    """What those that are found reach themselves."""
    reached: set[str] = set()
    left = list(found)
    while left:
        new = every[left.pop()] - reached
        reached |= new
        left += new
    return reached


def stages_picture() -> str:
    """Parts as stones, each above those it imports."""
    drawn = imports()
    rows = _rows(drawn)
    height = 2 * _EDGE + len(rows) * _HEIGHT + (len(rows) - 1) * _BETWEEN
    at = {}
    for level, names in enumerate(reversed(rows)):
        room = (_WIDTH - 2 * _EDGE) / len(names)
        for place, name in enumerate(names):
            at[name] = _EDGE + room * (place + 0.5), _EDGE + level * (_HEIGHT + _BETWEEN)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height:g}" class="stages">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0.8L7 4L0 7.2z" fill="#7d8894"/></marker></defs>',
        f'<rect class="paper" width="{_WIDTH:g}" height="{height:g}" rx="8"/>',
        *(_arrow(at[name], at[other]) for name in sorted(drawn) for other in sorted(drawn[name])),
        *(line for name in sorted(at) for line in _stone(name, *at[name])),
    ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _rows(drawn: Mapping[str, set[str]]) -> list[list[str]]:
    """Parts by the longest way down, those that import nothing first."""
    depth: dict[str, int] = {}

    def below(name: str) -> int:
        if name not in depth:
            depth[name] = max((below(other) + 1 for other in drawn[name]), default=0)
        return depth[name]

    rows: list[list[str]] = [[] for _ in range(max(map(below, drawn)) + 1)]
    for name in sorted(drawn):
        rows[depth[name]].append(name)
    return rows


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, top), (to, y) = (start, end)
    begin = top + _HEIGHT
    bend = max((y - begin) / 2, _BETWEEN / 2)
    curve = f"M{x:.1f} {begin:.1f}C{x:.1f} {begin + bend:.1f} {to:.1f} {y - bend:.1f} {to:.1f} {y - 1:.1f}"
    return f'<path class="needs" d="{curve}" marker-end="url(#end)"/>'


def said_of(file: Path) -> str:
    """The first paragraph of a module's docstring."""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n\n")[0]


def _stone(name: str, x: float, y: float) -> Iterator[str]:
    place = PACKAGE / name
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    said = said_of(file)
    left = x - _BOX / 2
    yield f'<rect class="stone" x="{left:.1f}" y="{y:.1f}" width="{_BOX:g}" height="{_HEIGHT:g}" rx="5"/>'
    yield f'<text class="name" x="{x:.1f}" y="{y + 18:.1f}">{name}{"/" if place.is_dir() else ".py"}</text>'
    lines = textwrap.wrap(" ".join(said.replace("`", "").split()), 30, max_lines=4, placeholder=" ..")
    for number, line in enumerate(lines):
        yield f'<text x="{x:.1f}" y="{y + 33 + 13 * number:.1f}">{escape(line)}</text>'
