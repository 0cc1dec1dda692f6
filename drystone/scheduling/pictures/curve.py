"""A curve drawn as steps: memory to the right, what it costs upwards; then the wall of every point."""

from collections.abc import Callable, Iterator

from drystone.scheduling.budgets.budget import spell_bytes
from drystone.scheduling.budgets.curve import Curve, Point
from drystone.scheduling.pictures import drawing
from drystone.scheduling.pictures.drawing import LEFT, RIGHT, WIDTH, Scale
from drystone.scheduling.pictures.wall import svg

_HEIGHT = 300.0
#: How far the picture goes beyond the most.
_BEYOND = 1.08


def curve_page(curve: Curve) -> str:
    """A self-contained page: the curve, and the wall of every point from least to most memory."""
    return drawing.page(
        "Memory and its cost", [curve_svg(curve), *(svg(point.problem, point.plan) for point in curve.points)]
    )


def curve_svg(curve: Curve) -> str:
    """The curve as an SVG element: a panel for the work that is done beyond the least, where any is, and one
    for the bytes moved. Each step is what a plan of that much memory costs. The same curve gives the same
    text."""
    panels = []
    if any(point.moved for point in curve.points):
        panels.append(_panel(curve, "Bytes moved between levels", lambda p: p.moved, drawing.byte_lines))
    if not panels or any(point.extra for point in curve.points):
        panels.append(_panel(curve, "Extra work", lambda p: 100 * p.extra, _percents_up))
    return drawing.document([(_HEIGHT, panel) for panel in panels])


def _panel(
    curve: Curve,
    title: str,
    value: Callable[[Point], float],
    lines: Callable[[Scale], Iterator[str]],
) -> str:
    least, enough = curve.points[0].ram, curve.points[-1].ram
    most = max(map(value, curve.points))
    scale = Scale(max(1.0, _BEYOND * enough), most * _BEYOND or 1.0, _HEIGHT)
    said = f"{len(curve.points)} plans from {spell_bytes(least)} to {spell_bytes(enough)}"
    x, top = scale.x(curve.bound), drawing.TOP
    parts = [
        drawing.heading(title, said),
        *drawing.legend([("curve", "found"), ("never", "no plan can be here")]),
        f'<path class="never" d="M{LEFT:g} {top:g}H{x:.1f}V{scale.base:g}H{LEFT:g}z"/>',
        *lines(scale),
        *_memory_across(scale),
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
        f"{100 * point.extra:.1f} % extra work, {spell_bytes(point.moved)} moved",
        f"cost {point.proof}",
    ]
    shape = f'<circle class="point" cx="{scale.x(point.ram):.1f}" cy="{scale.y(value):.1f}" r="4"/>'
    return drawing.told(shape, "\n".join(tip))


def _percents_up(scale: Scale) -> Iterator[str]:
    every = drawing.round_count(100 * scale.top, 5) / 100
    for number in range(int(scale.top / every) + 1):
        y = scale.y(number * every)
        yield f'<path d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}" class="grid"/>'
        yield f'<text x="{LEFT - 8:g}" y="{y + 4:.1f}" class="right">{number * every:g} %</text>'


def _memory_across(scale: Scale) -> Iterator[str]:
    every = drawing.round_bytes(scale.across, 6)
    for amount in range(0, int(scale.across) + 1, every):
        x, text = scale.x(amount), spell_bytes(amount).replace(".00", "")
        yield f'<path d="M{x:.1f} {scale.base:g}v5" class="grid"/>'
        yield f'<text class="middle" x="{x:.1f}" y="{scale.base + 18:g}">{text}</text>'
    right = WIDTH - RIGHT
    yield f'<text class="right" x="{right:g}" y="{scale.base + 38:g}">memory of the first level</text>'
