"""Targets by name. Only here does a name become a description of a machine."""

from collections.abc import Callable
from functools import partial

from drystone import registry
from drystone.errors import InternalError, UserError, meant
from drystone.registry import Registry
from drystone.targets import cpu
from drystone.targets.target import CpuTarget, Target


def checked(target: Target) -> Target:
    """The target itself. Raises InternalError where its description contradicts itself."""
    faults = [
        (not target.levels, "it has no memory level"),
        (len({level.name for level in target.levels}) != len(target.levels), "two levels have one name"),
        (target.vector_bits not in (128, 256, 512), f"vectors of {target.vector_bits} bits"),
        (target.registers not in (16, 32), f"{target.registers} vector registers"),
        (target.threads < 1, f"{target.threads} threads"),
        (not 0 < target.l1 <= target.l2, f"caches of {target.l1} and {target.l2} bytes"),
        (
            isinstance(target, CpuTarget) and any(f[:1] not in "+-" for f in target.features),
            "a feature without + or -",
        ),
        (
            any(n.alignment < 1 or n.alignment & (n.alignment - 1) for n in target.levels),
            "an alignment that is not a power of two",
        ),
        (
            any(n.capacity is not None and n.capacity < 1 for n in target.levels),
            "a level of no capacity",
        ),
        (any(n.cost < 0 for n in target.levels), "a level in which bytes cost less than nothing"),
    ]
    for fault, what in faults:
        if fault:
            raise InternalError(f"target {target.name}: {what}")
    return target


#: How each target is made, by its name.
TARGETS: Registry[Callable[[], Target]] = Registry(
    "target", {"cpu": cpu.detect, **{target.name: partial(checked, target) for target in cpu.NAMED}}
)


def register(target: Target | Callable[[], Target], name: str = "") -> None:
    """Let users name a target. target: its description, or a function that finds it out, with the `name` to
    call it by. Raises UserError where the name is taken, InternalError for a description that contradicts
    itself. What is registered inside `drystone.extend.scope()` is taken out at its end.
    """
    make = partial(checked, target) if isinstance(target, Target) else target
    if isinstance(target, Target):
        name = checked(target).name
    registry.put(TARGETS, name, make, getattr(target, "__module__", ""))


def known() -> tuple[str, ...]:
    """The names `resolve` takes."""
    registry.load_installed()
    return tuple(TARGETS)


def resolve(target: str | Target) -> Target:
    """The target of this name, or the description itself. Raises UserError, listing the known ones, for any
    other name, and InternalError for a description that contradicts itself."""
    if isinstance(target, Target):
        return checked(target)
    make = TARGETS.get(target)
    if make is None:
        hint = f"{meant(target, TARGETS)}known targets: {', '.join(TARGETS)}"
        raise UserError(f'no target is called "{target}"', hint=hint)
    return checked(make())
