"""What the user may spend, and how the compiler is to work: plain data for `drystone.compile`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Limits the compiled model must keep: `ram` in bytes or as text ("256KB", "8MB") for all activations."""

    ram: int | str | None = None


@dataclass(frozen=True)
class Options:
    """threads: used unless a call says otherwise (None: the target's). plan_seconds: the memory planner's
    time limit. progress: show progress on a terminal when a step takes over a second."""

    threads: int | None = None
    plan_seconds: float = 5.0
    progress: bool = True
