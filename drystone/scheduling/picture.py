"""A plan drawn as a dry-stone wall: every tensor is a stone, as wide as it lives and as high as it is large,
lying at its address."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from zlib import crc32

from drystone.scheduling.budget import spell_bytes
from drystone.scheduling.problem import Home, Plan, Problem, plan_gap
from drystone.targets.target import Level

_WIDTH, _HEIGHT = 960.0, 420.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 78.0, 18.0, 58.0, 52.0
_INNER_WIDTH, _INNER_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
#: Slate, sandstone, moss, clay: neighbours differ, none shouts.
_STONES = ("#8e9aa6", "#b9a98a", "#a3907c", "#76858f", "#c7b79b", "#93a08c", "#a8a29a", "#b59a84", "#84929c")
_SCRATCH = "#d8d2c6"
#: Names from programs: call, kernel with its hash, result. On a stone the kernel's kind is enough.
_MADE_NAME = re.compile(r"\d+\.(\w+?)(?:_[0-9a-f]{12})?\.\d+")
_STYLE = """
.wall { font: 11px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #4a4640 }
.wall .head { font-size: 15px; font-weight: 600; fill: #2f2c28 }
.wall .stone { stroke: #fbf9f5; stroke-width: 1 }
.wall g:hover > .stone { stroke: #2f2c28; stroke-width: 1.5 }
.wall .name { fill: #26231f; font-size: 10px; pointer-events: none }
.wall .grid { stroke: #e4dfd5; stroke-width: 1 }
.wall .peak { stroke: #a4402f; stroke-width: 1.2 }
.wall .bound { stroke: #2c6e63; stroke-width: 1.2; stroke-dasharray: 2 3 }
.wall .capacity { stroke: #2f2c28; stroke-width: 1.6; stroke-dasharray: 8 4 }
.wall .alive { fill: #ebe5d8 }
.wall .step { fill: #cfc8ba } .wall .step:hover { fill: #a4402f }
.wall .right { text-anchor: end } .wall .middle { text-anchor: middle }
"""


@dataclass(frozen=True)
class _Stone:
    """A rectangle of the wall: steps start..end, bytes low..low + size."""

    name: str
    where: str
    start: int
    end: int
    low: int
    size: int
    scratch: bool


@dataclass(frozen=True)
class _Scale:
    """From steps and bytes to the picture's coordinates; addresses grow upwards."""

    steps: int
    top: int

    def x(self, step: float) -> float:
        return _LEFT + _INNER_WIDTH * step / self.steps

    def y(self, address: float) -> float:
        return _TOP + _INNER_HEIGHT * (1 - address / self.top)


def page(problem: Problem, plan: Plan) -> str:
    """A self-contained page with a wall for every level that is used."""
    used = {home.level for home in plan.homes}
    walls = [svg(problem, plan, level) for level in problem.levels if level.name in used]
    return (
        '<!doctype html><meta charset="utf-8"><title>Memory plan</title>\n'
        '<body style="max-width: 1100px; margin: 2em auto; background: #f1ede4">\n' + "<br>\n".join(walls)
    )


def svg(problem: Problem, plan: Plan, level: Level | None = None) -> str:
    """The plan of a level (the first) as an SVG element: steps to the right, addresses upwards, a tooltip on
    every stone and step.

    The shade behind the wall is the sum of the bytes alive: what rises above it is lost to fragmentation. The
    same plan gives the same text.
    """
    level = level or problem.levels[0]
    first = level == problem.levels[0]
    peak = plan.peaks.get(level.name, 0)
    limit = level.capacity if level.capacity is not None and level.capacity <= 2 * peak else 0
    scale = _Scale(max(1, len(plan.order)), max(1, peak, limit))
    stones = list(_stones(problem, plan, level))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" class="wall">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH:g}" height="{_HEIGHT:g}" rx="8" fill="#fbf9f5"/>',
        *_heading(plan, peak, len(stones), "Activation memory" if first else f"Memory {level.name}"),
        *_legend(bound=first, capacity=bool(limit)),
        _alive(stones, scale),
        *_grid(scale),
        *(_draw(stone, scale) for stone in stones),
        *(
            [_line("bound", plan.bound, scale, f"no plan needs less than {spell_bytes(plan.bound)}")]
            if first
            else []
        ),
        _line("peak", peak, scale, f"peak {spell_bytes(peak)}"),
        *([_line("capacity", limit, scale, f"capacity {spell_bytes(limit)}")] if limit else []),
        *_steps(problem, plan, scale),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _stones(problem: Problem, plan: Plan, level: Level) -> Iterator[_Stone]:
    """A level's stones, those of large tensors first. One that is written over ends where its successor
    begins."""
    size = {tensor.name: tensor.size for tensor in problem.tensors}
    where = {tensor.name: tensor.where for tensor in problem.tensors}
    scratch = {f"{op.name}.scratch": op.scratch for op in problem.operations}
    pairs = {pair for op in problem.operations for pair in op.in_place}
    homes = [home for home in plan.homes if home.level == level.name]
    starts = {(home.tensor, home.start, home.offset) for home in homes}
    successors: dict[str, list[str]] = {}
    for new, old in pairs:
        successors.setdefault(old, []).append(new)

    def stone(home: Home) -> _Stone:
        name = home.tensor
        bytes_ = size.get(name, scratch.get(name, 0))
        followed = any((new, home.end - 1, home.offset) in starts for new in successors.get(name, ()))
        return _Stone(
            name, where.get(name, ""), home.start, home.end - followed, home.offset, bytes_, name not in size
        )

    found = [stone(home) for home in homes]
    return iter(sorted((s for s in found if s.size), key=lambda s: (-s.size, s.start, s.low, s.name)))


def _heading(plan: Plan, peak: int, stones: int, title: str) -> Iterator[str]:
    gap = 100 * plan_gap(plan)
    quality = f"at most {gap:.1f} % above the optimum ({plan.status})"
    if plan.status == "optimal" or not gap:
        quality = "proven optimal"
    elif gap == float("inf"):
        quality = f"not proven ({plan.status})"
    yield f'<text x="{_LEFT:g}" y="26" class="head">{title}: {spell_bytes(peak)}</text>'
    cost = f", cost {plan.cost}" if plan.cost else ""
    what = f"{len(plan.order)} kernel calls, {stones} tensors{cost}, {quality}"
    yield f'<text x="{_LEFT:g}" y="43">{what}</text>'


def _legend(bound: bool, capacity: bool) -> Iterator[str]:
    """What the lines and the shade mean, at the upper right."""
    entries = [("peak", "peak"), *([("bound", "least possible")] if bound else []), ("alive", "bytes alive")]
    entries += [("capacity", "capacity")] if capacity else []
    x = _WIDTH - _RIGHT - 112.0 * len(entries)
    for kind, text in entries:
        mark = f"M{x:g} 39h18" if kind != "alive" else f"M{x:g} 34h18v10h-18z"
        yield f'<path class="{kind}" d="{mark}"/><text x="{x + 23:g}" y="43">{text}</text>'
        x += 112.0


def _grid(scale: _Scale) -> Iterator[str]:
    every = 1 << max(0, (scale.top // 4).bit_length() - 1)
    for address in range(0, scale.top + 1, every):
        y = scale.y(address)
        yield f'<path d="M{_LEFT:g} {y:.1f}H{_WIDTH - _RIGHT:g}" class="grid"/>'
        text = spell_bytes(address).replace(".00", "")
        yield f'<text x="{_LEFT - 8:g}" y="{y + 4:.1f}" class="right">{text}</text>'


def _draw(stone: _Stone, scale: _Scale) -> str:
    x, y = scale.x(stone.start), scale.y(stone.low + stone.size)
    width, height = scale.x(stone.end) - x, scale.y(stone.low) - y
    fill = _SCRATCH if stone.scratch else _STONES[crc32(stone.name.encode()) % len(_STONES)]
    steps = (
        f"step {stone.start}" if stone.end - stone.start < 2 else f"steps {stone.start} to {stone.end - 1}"
    )
    tip = "\n".join(filter(None, (stone.name, stone.where, f"{spell_bytes(stone.size)}, {steps}")))
    radius = min(3.0, width / 4, height / 4)
    return (
        f'<g><rect class="stone" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{radius:.1f}" fill="{fill}"/><title>{escape(tip)}</title>'
        f"{_label(stone, x + width / 2, y + height / 2, width, height)}</g>"
    )


def _label(stone: _Stone, x: float, y: float, width: float, height: float) -> str:
    """The tensor's name on its stone, where it fits."""
    made = _MADE_NAME.fullmatch(stone.name)
    text = made[1] if made else stone.name
    room = int(width / 5.6) - 1
    if height < 14 or room < min(4, len(text)):
        return ""
    text = text if len(text) <= room else text[: room - 1] + "…"
    return f'<text class="name middle" x="{x:.1f}" y="{y + 3.5:.1f}">{escape(text)}</text>'


def _alive(stones: list[_Stone], scale: _Scale) -> str:
    """The outline of the bytes alive at every step."""
    change = [0] * (scale.steps + 1)
    for stone in stones:
        change[stone.start] += stone.size
        change[min(stone.end, scale.steps)] -= stone.size
    path, now = [f"M{scale.x(0):.1f} {scale.y(0):.1f}"], 0
    for step in range(scale.steps):
        now += change[step]
        path.append(f"V{scale.y(now):.1f}H{scale.x(step + 1):.1f}")
    path.append(f"V{scale.y(0):.1f}Z")
    return f'<path class="alive" d="{"".join(path)}"/>'


def _line(kind: str, address: int, scale: _Scale, text: str) -> str:
    y = scale.y(address)
    return f'<g><path class="{kind}" d="M{_LEFT:g} {y:.1f}H{_WIDTH - _RIGHT:g}"/><title>{text}</title></g>'


def _steps(problem: Problem, plan: Plan, scale: _Scale) -> Iterator[str]:
    """A cell for every kernel call under the wall, with its name as tooltip, and numbers now and then."""
    base = _HEIGHT - _BOTTOM + 6
    where = {op.name: op.where for op in problem.operations}
    gap = 1.0 if _INNER_WIDTH / scale.steps > 4 else 0.0
    for step, name in enumerate(plan.order):
        width = scale.x(step + 1) - scale.x(step) - gap
        tip = "\n".join(filter(None, (f"{step}: {name}", where[name])))
        yield (
            f'<rect class="step" x="{scale.x(step):.1f}" y="{base:g}" width="{width:.1f}" height="7">'
            f"<title>{escape(tip)}</title></rect>"
        )
    every = max(1, -(-scale.steps // 12))
    for step in range(0, len(plan.order), every):
        yield f'<text class="middle" x="{scale.x(step + 0.5):.1f}" y="{base + 20:g}">{step}</text>'
    yield f'<text class="right" x="{_WIDTH - _RIGHT:g}" y="{base + 36:g}">kernel calls, in order</text>'
