"""A plan drawn as a dry-stone wall: every tensor is a stone, as wide as it lives and as high as it is large,
lying at its address."""

import re
from collections.abc import Iterator, Sequence
from html import escape
from zlib import crc32

from drystone.scheduling.budgets.budget import spell_bytes
from drystone.scheduling.budgets.streaming import Streaming
from drystone.scheduling.pictures import drawing
from drystone.scheduling.pictures.drawing import LEFT, RIGHT, WIDTH, Scale
from drystone.scheduling.pictures.stones import Stone, stones
from drystone.scheduling.problem import Plan, Problem, plan_gap
from drystone.targets.target import Level

_FIRST_HEIGHT, _OTHER_HEIGHT = 420.0, 300.0
#: Slate, sandstone, moss, clay: neighbours differ, none shouts.
_STONES = ("#8e9aa6", "#b9a98a", "#a3907c", "#76858f", "#c7b79b", "#93a08c", "#a8a29a", "#b59a84", "#84929c")
_SCRATCH = "#d8d2c6"
#: Names from programs: call, kernel with its hash, result. On a stone the kernel's kind is enough.
_MADE_NAME = re.compile(r"\d+\.(\w+?)(?:_[0-9a-f]{12})?\.\d+")
#: Where a tensor comes from in the user's model: the layer, and its line in parentheses.
_LAYER = re.compile(r"([\w.]+) \(")


def page(problem: Problem, plan: Plan) -> str:
    """A self-contained page with a wall for every level that is used."""
    return drawing.page("Memory plan", [svg(problem, plan)])


def svg(problem: Problem, plan: Plan, streaming: Streaming | None = None) -> str:
    """The plan as an SVG element, a wall for every level that is used: steps to the right, addresses upwards;
    what is pointed at tells its tensor, layer, size, and why it comes and goes. `streaming` has a wall of its
    own, of the weights that come and go.

    The shade behind a wall is the sum of the bytes alive: what rises above it is lost to fragmentation. The
    same plan gives the same text.
    """
    used = {home.level for home in plan.homes}
    levels = [level for level in problem.levels if level.name in used] or [problem.levels[0]]
    heights = [_FIRST_HEIGHT, *[_OTHER_HEIGHT] * (len(levels) - 1)]
    named = "Memory {}" if len(problem.levels) > 1 else "Activation memory"
    walls = [
        (height, _wall(problem, plan, level, height, named.format(level.name)))
        for level, height in zip(levels, heights, strict=True)
    ]
    if streaming is not None and streaming.problem.tensors:
        come, title = streaming.problem, "Weights that come and go"
        walls.append((_OTHER_HEIGHT, _wall(come, streaming.plan, come.levels[0], _OTHER_HEIGHT, title)))
    return drawing.document(walls)


def _wall(problem: Problem, plan: Plan, level: Level, height: float, title: str) -> str:
    first = level == problem.levels[0]
    peak = plan.peaks.get(level.name, 0)
    limit = level.capacity if level.capacity is not None and level.capacity <= 2 * peak else 0
    scale = Scale(max(1, len(plan.order)), max(1, peak, limit), height)
    laid = stones(problem, plan, level)
    known = [("bound", plan.bound, f"no plan needs less than {spell_bytes(plan.bound)}")] if first else []
    lines = [*known, ("peak", peak, f"peak {spell_bytes(peak)}")]
    lines += [("capacity", limit, f"capacity {spell_bytes(limit)}")] if limit else []
    heading = f"{title}: {spell_bytes(peak)}"
    parts = [
        drawing.heading(heading, _summary(problem, plan, len(laid))),
        *drawing.legend(_entries(laid, [kind for kind, _, _ in lines]), heading),
        _alive(laid, scale),
        *drawing.byte_lines(scale),
        *(_draw(stone, scale) for stone in laid),
        *(_line(kind, address, scale, text) for kind, address, text in lines),
        *_steps(problem, plan, scale),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _summary(problem: Problem, plan: Plan, laid: int) -> str:
    """What the plan does and how good it is, in a line."""
    gap = 100 * plan_gap(plan)
    quality = f"at most {gap:.1f} % above the optimum ({plan.status})"
    if plan.status == "optimal" or not gap:
        quality = "proven optimal"
    elif gap == float("inf"):
        quality = f"not proven ({plan.status})"
    size = {tensor.name: tensor.size for tensor in problem.tensors}
    moved = sum(size[move.tensor] for move in plan.moves)
    again = len(plan.order) - len(set(plan.order))
    said = [
        f"{len(plan.order)} kernel calls",
        f"{laid} {'stay' if moved or again else 'tensor'}{'s' if laid != 1 else ''}",
    ]
    said += [f"{spell_bytes(moved)} moved"] if moved else []
    said += [f"{again} run again"] if again else []
    said += [f"time {plan.time:,}"] if plan.time else []
    return ", ".join([*said, quality])


def _entries(laid: Sequence[Stone], lines: Sequence[str]) -> list[tuple[str, str]]:
    """What the wall's legend names."""
    texts = {"bound": "least possible"}
    found = [(kind, texts.get(kind, kind)) for kind in lines]
    found.append(("alive", "bytes alive"))
    found += [("arriving", "on its way")] if any(stone.whole > stone.start for stone in laid) else []
    found += [("comes", "fetched")] if any(stone.comes for stone in laid) else []
    return found + ([("leaves", "makes room")] if any(stone.leaves for stone in laid) else [])


def _draw(stone: Stone, scale: Scale) -> str:
    x, y = scale.x(stone.start), scale.y(stone.low + stone.size)
    width, height = scale.x(stone.end) - x, scale.y(stone.low) - y
    fill = _SCRATCH if stone.scratch else _STONES[crc32(stone.name.encode()) % len(_STONES)]
    steps = f"step {stone.start}"
    if stone.end - stone.start > 1:
        steps = f"steps {stone.start} to {stone.end - 1}"
    place = f"{spell_bytes(stone.size)} at byte {stone.low:,}, {steps}"
    tip = "\n".join(filter(None, (stone.name, stone.where, place, stone.why)))
    radius, edge = min(3.0, width / 4, height / 4), min(1.0, width / 5, height / 3)
    shape = (
        f'<rect class="stone" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{radius:.1f}" fill="{fill}" stroke-width="{edge:.1f}"/>'
    )
    if stone.whole > stone.start:
        arriving = scale.x(min(stone.whole, stone.end)) - x
        shape += f'<path class="arriving" d="M{x:.1f} {y:.1f}h{arriving:.1f}v{height:.1f}h-{arriving:.1f}z"/>'
    mark = min(4.0, width / 3)
    for kind, shown, left in (("comes", stone.comes, x), ("leaves", stone.leaves, x + width - mark)):
        if shown:
            shape += f'<path class="{kind}" d="M{left:.1f} {y:.1f}h{mark:.1f}v{height:.1f}h-{mark:.1f}z"/>'
    return drawing.told(shape + _label(stone, x + width / 2, y + height / 2, width, height), tip)


def _label(stone: Stone, x: float, y: float, width: float, height: float) -> str:
    """The layer on its stone, or the kind of kernel that made it; upright where it fits that way alone."""
    made, layer = _MADE_NAME.fullmatch(stone.name), _LAYER.match(stone.where)
    names = [name[1] for name in (layer, made) if name] or [stone.name]
    ways = (False, width, height), (True, height, width)
    found = [
        (text, turn)
        for name in names
        for turn, length, room in ways
        if room > 13 and (text := drawing.fitting(name, length))
    ]
    best, turn = max(found, key=lambda each: "…" not in each[0], default=("", False))
    if not best:
        return ""
    if not turn:
        return f'<text class="name middle" x="{x:.1f}" y="{y + 3.5:.1f}">{escape(best)}</text>'
    turned = f'transform="rotate(-90 {x:.1f} {y:.1f})"'
    return f'<text class="name middle" x="{x:.1f}" y="{y + 3.5:.1f}" {turned}>{escape(best)}</text>'


def _alive(laid: Sequence[Stone], scale: Scale) -> str:
    """The outline of the bytes alive at every step."""
    steps = int(scale.across)
    change = [0] * (steps + 1)
    for stone in laid:
        change[stone.start] += stone.size
        change[min(stone.end, steps)] -= stone.size
    path, now = [f"M{scale.x(0):.1f} {scale.y(0):.1f}"], 0
    for step in range(steps):
        now += change[step]
        path.append(f"V{scale.y(now):.1f}H{scale.x(step + 1):.1f}")
    path.append(f"V{scale.y(0):.1f}Z")
    return f'<path class="alive" d="{"".join(path)}"/>'


def _line(kind: str, address: int, scale: Scale, text: str) -> str:
    y = scale.y(address)
    return drawing.told(f'<path class="{kind}" d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}"/>', text)


def _steps(problem: Problem, plan: Plan, scale: Scale) -> Iterator[str]:
    """A cell for every kernel call under the wall, with its name as tooltip, and numbers now and then."""
    base = scale.base + 6
    where = {op.name: op.where for op in problem.operations}
    gap = 1.0 if scale.x(1) - scale.x(0) > 4 else 0.0
    for step, name in enumerate(plan.order):
        width = scale.x(step + 1) - scale.x(step) - gap
        tip = "\n".join(filter(None, (f"{step}: {name}", where[name])))
        yield drawing.told(
            f'<rect class="step" x="{scale.x(step):.1f}" y="{base:g}" width="{width:.1f}" height="7"/>', tip
        )
    for step in range(0, len(plan.order), drawing.round_count(scale.across)):
        yield f'<text class="middle" x="{scale.x(step + 0.5):.1f}" y="{base + 20:g}">{step}</text>'
    yield f'<text class="right" x="{WIDTH - RIGHT:g}" y="{base + 36:g}">kernel calls, in order</text>'
