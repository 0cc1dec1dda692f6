"""A curve drawn: what fills the memory at every point, as bars; what it costs, as steps; then their walls."""

from collections.abc import Callable, Iterator
from html import escape

from drystone.scheduling.budgets.budget import spell_bytes
from drystone.scheduling.budgets.curve import Curve, Point
from drystone.scheduling.pictures import drawing
from drystone.scheduling.pictures.drawing import LEFT, RIGHT, WIDTH, Scale
from drystone.scheduling.pictures.wall import svg

_HEIGHT = 300.0
#: Of a bar, and from one to the next.
_BAR, _PITCH = 20.0, 26.0
_ALL = "all memory: activations, states, weights"
#: How far the picture goes beyond the most.
_BEYOND = 1.08


def curve_page(curve: Curve) -> str:
    """A self-contained page: the curve, and the wall of every point from least to most memory."""
    walls = []
    for point in curve.points:
        drawn = svg(point.problem, point.plan, point.memory.streaming)
        said = escape(f"{spell_bytes(point.ram)}: {_said(point)}")
        walls.append(f"<details><summary>{said}</summary>\n{drawn}</details>")
    return drawing.page("Memory and its cost", [curve_svg(curve), *walls])


def curve_svg(curve: Curve) -> str:
    """The curve as an SVG element: of all memory, a panel of what fills it; then panels for the bytes read
    from the model's file, for those moved between levels and for the work beyond the least, where there are
    any. Each step is what a plan of that much memory costs. The same curve gives the same text."""
    panels = [] if curve.level else [_bars(curve)]
    costs: tuple[tuple[str, Callable[[Point], float], Callable[[Scale], Iterator[str]]], ...] = (
        ("Bytes read from the file in each run", lambda p: p.read, drawing.byte_lines),
        ("Bytes moved between levels", lambda p: p.moved, drawing.byte_lines),
        ("Extra work", lambda p: 100 * p.extra, _percents_up),
    )
    for title, value, lines in costs:
        if any(map(value, curve.points)):
            panels.append((_HEIGHT, _panel(curve, title, value, lines)))
    if not panels:
        panels.append((_HEIGHT, _panel(curve, *costs[-1])))
    return drawing.document(panels)


def _bars(curve: Curve) -> tuple[float, str]:
    """What fills the memory at every point: the panel's height, and the panel."""
    height = drawing.TOP + _PITCH * len(curve.points) + drawing.BOTTOM
    scale = Scale(max(1.0, _BEYOND * curve.points[-1].ram), 1.0, height)
    shown: dict[str, str] = {}
    rows = []
    for number, point in enumerate(curve.points):
        y, x = drawing.TOP + _PITCH * number, LEFT
        rows.append(f'<text x="{LEFT - 8:g}" y="{y + 14:.1f}" class="right">{spell_bytes(point.ram)}</text>')
        right = scale.x(point.ram)
        rows.append(f'<path class="budget" d="M{x:g} {y:g}H{right:.1f}v{_BAR:g}H{x:g}z"/>')
        for kind, (text, size) in _parts(point).items():
            if not size:
                continue
            shown[kind] = text
            width = scale.x(size) - LEFT
            shape = f'<rect class="{kind}" x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="{_BAR:g}"/>'
            tip = [text, f"{spell_bytes(size)} ({size:,} bytes) of {spell_bytes(point.ram)}"]
            rows.append(drawing.told(shape, "\n".join(tip)))
            x += width
        said = escape(_said(point))
        rows.append(f'<text class="said" x="{LEFT + 8:g}" y="{y + 14:.1f}">{said}</text>')
    parts = [
        drawing.heading("What fills the memory", _range(curve)),
        *drawing.legend([(kind, shown[kind]) for kind in _parts(curve.points[0]) if kind in shown]),
        *_memory_across(scale, _ALL),
        *rows,
    ]
    return height, "\n".join(parts) + "\n"


def _said(point: Point) -> str:
    """What a point costs, and how it is met."""
    cost = [f"{spell_bytes(point.read)} read a run"] * bool(point.read)
    cost += [f"{spell_bytes(point.moved)} moved"] * bool(point.moved)
    cost += [f"{100 * point.extra:.1f} % more work"] * (point.extra >= 0.0005)
    return ", ".join([*cost, *point.how]) or "everything stays"


def _parts(point: Point) -> dict[str, tuple[str, int]]:
    """What a point's memory is made of: by the class of its mark, its name and bytes."""
    held = point.memory
    window = 0 if held.streaming is None else held.streaming.window
    return {
        "activations": ("activations", held.arena.size),
        "states": ("states", held.states),
        "stay": ("weights that stay", held.resident - window),
        "window": ("weights that come and go", window),
    }


def _range(curve: Curve) -> str:
    least, enough = curve.points[0].ram, curve.points[-1].ram
    count = len(curve.points)
    return f"{count} plan{'s' if count > 1 else ''} from {spell_bytes(least)} to {spell_bytes(enough)}"


def _panel(
    curve: Curve,
    title: str,
    value: Callable[[Point], float],
    lines: Callable[[Scale], Iterator[str]],
) -> str:
    most = max(map(value, curve.points))
    scale = Scale(max(1.0, _BEYOND * curve.points[-1].ram), most * _BEYOND or 1.0, _HEIGHT)
    x, top = scale.x(curve.bound), drawing.TOP
    whole = any("piece by piece" in said for point in curve.points for said in point.how)
    never = "no plan of the program as a whole can be here" if whole else "no plan can be here"
    across = (
        f"memory of the level {curve.level}" if curve.level else "all memory: activations, states, weights"
    )
    parts = [
        drawing.heading(title, _range(curve)),
        *drawing.legend([("curve", "found"), ("never", never)]),
        f'<path class="never" d="M{LEFT:g} {top:g}H{x:.1f}V{scale.base:g}H{LEFT:g}z"/>',
        *lines(scale),
        *_memory_across(scale, across),
        _steps(curve, value, scale),
        *(_point(point, value(point), scale) for point in curve.points),
    ]
    return "\n".join(parts) + "\n"


def _steps(curve: Curve, value: Callable[[Point], float], scale: Scale) -> str:
    """What each amount of memory costs at least among the plans found."""
    first = curve.points[0]
    path = [f"M{scale.x(first.ram):.1f} {scale.y(value(first)):.1f}"]
    for point in curve.points[1:]:
        path.append(f"H{scale.x(point.ram):.1f}V{scale.y(value(point)):.1f}")
    path.append(f"H{WIDTH - RIGHT:g}")
    return f'<path class="curve" d="{"".join(path)}"/>'


def _point(point: Point, value: float, scale: Scale) -> str:
    tip = [
        f"{spell_bytes(point.ram)} ({point.ram:,} bytes)",
        f"{100 * point.extra:.1f} % extra work",
        f"{spell_bytes(point.moved)} moved, {spell_bytes(point.read)} read from the file",
        *point.how,
        f"activations {point.proof}",
    ]
    shape = f'<circle class="point" cx="{scale.x(point.ram):.1f}" cy="{scale.y(value):.1f}" r="4"/>'
    return drawing.told(shape, "\n".join(tip))


def _percents_up(scale: Scale) -> Iterator[str]:
    every = drawing.round_count(100 * scale.top, 5) / 100
    for number in range(int(scale.top / every) + 1):
        y = scale.y(number * every)
        yield f'<path d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}" class="grid"/>'
        yield f'<text x="{LEFT - 8:g}" y="{y + 4:.1f}" class="right">{number * every:g} %</text>'


def _memory_across(scale: Scale, of: str) -> Iterator[str]:
    every = drawing.round_bytes(scale.across, 6)
    for amount in range(0, int(scale.across) + 1, every):
        x, text = scale.x(amount), spell_bytes(amount).replace(".00", "")
        yield f'<path d="M{x:.1f} {scale.base:g}v5" class="grid"/>'
        yield f'<text class="middle" x="{x:.1f}" y="{scale.base + 18:g}">{text}</text>'
    right = WIDTH - RIGHT
    yield f'<text class="right" x="{right:g}" y="{scale.base + 38:g}">{escape(of)}</text>'
