"""What the pictures of plans share: paper, axes, legend, and the box that tells about what is pointed at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from drystone.scheduling.budgets.budget import spell_bytes

WIDTH = 960.0
LEFT, RIGHT, TOP, BOTTOM = 78.0, 18.0, 58.0, 52.0
#: What is left free between panels.
_GAP = 10.0
#: Marks that are areas.
_AREAS = ("alive", "never", "arriving", "activations", "states", "stay", "window")
#: About what a character of the smallest text takes in the widest of the usual fonts.
_CHARACTER = 6.0
#: And one of a title.
_TITLE = 9.5
_STYLE = """
.plan { font: 11px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #4a4640 }
.plan .paper { fill: #fbf9f5 }
.plan .head { font-size: 15px; font-weight: 600; fill: #2f2c28 }
.plan .stone { stroke: #fbf9f5 }
.plan .same > .stone, .plan g:hover > .stone { stroke: #2f2c28; stroke-width: 1.5 }
.plan .name { fill: #26231f; font-size: 10px; pointer-events: none }
.plan .grid { stroke: #e4dfd5; stroke-width: 1 }
.plan .peak { stroke: #a4402f; stroke-width: 1.2; fill: none }
.plan .bound { stroke: #2c6e63; stroke-width: 1.2; stroke-dasharray: 2 3; fill: none }
.plan .capacity { stroke: #2f2c28; stroke-width: 1.6; stroke-dasharray: 8 4; fill: none }
.plan .alive { fill: #ebe5d8 }
.plan .comes { fill: #1f7a8c; pointer-events: none } .plan .leaves { fill: #a4402f; pointer-events: none }
.plan .arriving { fill: #fbf9f5; opacity: 0.6; pointer-events: none }
.plan .step { fill: #cfc8ba } .plan .step:hover { fill: #a4402f }
.plan .curve { stroke: #a4402f; stroke-width: 1.8; fill: none } .plan .point { fill: #a4402f }
.plan .never { fill: #ebe5d8 }
.plan .activations { fill: #c9a98e } .plan .states { fill: #a8b39d }
.plan .stay { fill: #8e9aa6 } .plan .window { fill: #c6cdd4 }
.plan .budget { fill: none; stroke: #cfc8ba }
.plan .said { fill: #26231f; pointer-events: none }
.plan .right { text-anchor: end } .plan .middle { text-anchor: middle }
.plan .box { fill: #2f2c28; opacity: 0.94; pointer-events: none }
.plan .told { fill: #fbf9f5; font-size: 10.5px; pointer-events: none }
"""


@dataclass(frozen=True)
class Scale:
    """From a picture's own units to its coordinates; what is higher is more. `top` is what the highest line
    stands for, `across` what the right edge does."""

    across: float
    top: float
    height: float

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.across

    def y(self, value: float) -> float:
        return TOP + (self.height - TOP - BOTTOM) * (1 - value / self.top)

    @property
    def base(self) -> float:
        """Where the lower edge is."""
        return self.height - BOTTOM


def document(panels: Sequence[tuple[float, str]]) -> str:
    """An SVG element of panels below each other, each with its height and content."""
    below, parts = 0.0, []
    for height, content in panels:
        paper = f'<rect class="paper" width="{WIDTH:g}" height="{height:g}" rx="8"/>'
        parts.append(f'<g transform="translate(0 {below:g})">{paper}\n{content}</g>')
        below += height + _GAP
    size = f'viewBox="0 0 {WIDTH:g} {max(below - _GAP, 1.0):g}"'
    script = files(__package__).joinpath("hover.js").read_text(encoding="utf-8")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} class="plan">\n<style>{_STYLE}</style>\n'
        + "\n".join(parts)
        + f"\n<script><![CDATA[\n{script}]]></script>\n</svg>\n"
    )


def page(title: str, pictures: Sequence[str]) -> str:
    """A self-contained page of pictures."""
    style = "max-width: 1100px; margin: 2em auto; background: #f1ede4; font: 14px system-ui, sans-serif"
    head = f'<!doctype html><meta charset="utf-8"><title>{escape(title)}</title>'
    return f'{head}\n<body style="{style}">\n' + "<br>\n".join(pictures)


def heading(title: str, below: str) -> str:
    """A panel's title and what is said under it."""
    return (
        f'<text x="{LEFT:g}" y="26" class="head">{escape(title)}</text>'
        f'<text x="{LEFT:g}" y="43">{escape(below)}</text>'
    )


def legend(entries: Sequence[tuple[str, str]], title: str = "") -> Iterator[str]:
    """What the marks of these classes mean, at the upper right, in a second row where the title leaves
    no room: lines, or areas of "alive" and the like."""
    room = WIDTH - RIGHT - LEFT - _TITLE * len(title)
    first = max(n for n in range(len(entries) + 1) if _legend_width(entries[:n]) <= room or n == 1)
    yield from _legend_row(entries[:first], 0)
    yield from _legend_row(entries[first:], 17)


def _legend_width(entries: Sequence[tuple[str, str]]) -> float:
    return sum(40 + _CHARACTER * len(text) for _, text in entries)


def _legend_row(entries: Sequence[tuple[str, str]], down: int) -> Iterator[str]:
    x = WIDTH - RIGHT - _legend_width(entries)
    for kind, text in entries:
        area = f"M{x:.1f} {17 + down}h18v10h-18z"
        if kind in _AREAS:
            under = f'<path fill="#8e9aa6" d="{area}"/>' if kind == "arriving" else ""
            mark = f'{under}<path class="{kind}" d="{area}"/>'
        elif kind in ("comes", "leaves"):
            mark = f'<path class="{kind}" d="M{x + 12:.1f} {16 + down}h4v12h-4z"/>'
        else:
            mark = f'<path class="{kind}" d="M{x:.1f} {22 + down}h18"/>'
        yield f'{mark}<text x="{x + 23:.1f}" y="{26 + down}">{text}</text>'
        x += 40 + _CHARACTER * len(text)


def byte_lines(scale: Scale) -> Iterator[str]:
    """Horizontal lines at round amounts of memory."""
    for amount in range(0, int(scale.top) + 1, round_bytes(scale.top)):
        y = scale.y(amount)
        yield f'<path d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}" class="grid"/>'
        text = spell_bytes(amount).replace(".00", "")
        yield f'<text x="{LEFT - 8:g}" y="{y + 4:.1f}" class="right">{text}</text>'


def round_bytes(most: float, parts: int = 4) -> int:
    """A power of two that divides an amount into `parts` or somewhat more."""
    return 1 << max(0, (int(most) // parts).bit_length() - 1)


def round_count(most: float, parts: int = 12) -> int:
    """1, 2 or 5 times a power of ten, so that an amount has `parts` or somewhat fewer of it."""
    scale = 1
    while True:
        for each in (scale, 2 * scale, 5 * scale):
            if each * parts >= most:
                return each
        scale *= 10


def fitting(text: str, room: float) -> str:
    """The text, or its beginning and end, where it fits; "" where too little of it would be left."""
    letters = int((room - 4) / _CHARACTER)
    if len(text) <= letters:
        return text
    return f"{text[: letters - 4].rstrip('.')}…{text[-3:].lstrip('.')}" if letters >= 7 else ""


def told(shape: str, tip: str) -> str:
    """A shape and what is told where it is pointed at, by its first line the same everywhere."""
    return f"<g>{shape}<title>{escape(tip)}</title></g>"
