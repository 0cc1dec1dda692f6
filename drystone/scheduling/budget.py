"""Memory the user has: its spelling, and what to say where a plan needs more."""

import re

from drystone.errors import UserError
from drystone.scheduling.problem import Plan, Problem

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_SHOWN = 5


def parse_bytes(amount: int | str) -> int:
    """Bytes of an amount such as 262144, "256KB", "1.5 MiB" (K, M and G count in 1024).

    Raises UserError where it is not a positive amount.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)(?:I?B)?\s*", str(amount).upper())
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if size <= 0:
        raise UserError(
            f"{amount!r} is not an amount of memory", hint='write bytes as a number, or text such as "256KB"'
        )
    return size


def spell_bytes(size: int) -> str:
    """The amount in the largest unit that keeps it readable: "640 B", "1.50 MiB"."""
    for unit in ("GiB", "MiB", "KiB"):
        scale = _UNITS[unit[0]]
        if size >= scale:
            return f"{size / scale:.2f} {unit}"
    return f"{size} B"


def within_capacity(problem: Problem, plan: Plan) -> None:
    """Raise UserError where the plan needs more than the first level has, naming the largest tensors that are
    alive when it needs most."""
    level = problem.levels[0]
    peak = plan.peaks[level.name]
    if level.capacity is None or peak <= level.capacity:
        return
    size = {tensor.name: tensor.size for tensor in problem.tensors}
    layer = {tensor.name: tensor.where or tensor.name for tensor in problem.tensors}
    homes = [home for home in plan.homes if home.tensor in size]
    alive = [
        [home.tensor for home in homes if home.start <= step < home.end] for step in range(len(plan.order))
    ]
    fullest = max(range(len(alive)), key=lambda step: sum(size[name] for name in alive[step]))
    largest = sorted(alive[fullest], key=lambda name: (-size[name], name))[:_SHOWN]
    shown = "\n".join(f"    {spell_bytes(size[name]):>11}  {layer[name]}" for name in largest)
    raise UserError(
        f"the activations need {spell_bytes(peak)}, the budget is {spell_bytes(level.capacity)}",
        hint=f"largest tensors alive at the fullest step, {plan.order[fullest]}:\n{shown}\n"
        f"  the least budget this version can meet: ram={peak} (no order of this model can need less than "
        f"{plan.bound} bytes); smaller inputs or a smaller batch need less",
    )
