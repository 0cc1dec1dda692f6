"""What to say where a plan needs more memory than there is."""

from drystone.errors import UserError
from drystone.scheduling.problem import Plan, Problem

_UNITS = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
_SHOWN = 5


def spell_bytes(size: int) -> str:
    """The amount in the largest unit that keeps it readable: "640 B", "1.50 MiB"."""
    for unit, scale in _UNITS.items():
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
    step = plan.order[fullest]
    place = next((op.where for op in problem.operations if op.name == step), "") or step
    shown = "\n".join(f"    {spell_bytes(size[name]):>11}  {layer[name]}" for name in largest)
    raise UserError(
        f"the activations need {spell_bytes(peak)}, the budget is {spell_bytes(level.capacity)}",
        hint=f"largest tensors alive at the fullest step, {place}:\n{shown}\n"
        f"  the least budget this version can meet: ram={peak} (no order of this model can need less than "
        f"{plan.bound} bytes); smaller inputs or a smaller batch need less",
    )
