"""Backends by name, which targets say."""

from drystone.backends.backend import Backend
from drystone.backends.cpu import CPU
from drystone.errors import UserError
from drystone.targets.target import Target

BACKENDS = {CPU.name: CPU}


def of(target: Target) -> Backend:
    """The backend that a target names. Raises UserError where there is none."""
    if target.backend not in BACKENDS:
        raise UserError(
            f"{target.name} is a target of the backend {target.backend!r}, which there is not",
            hint=f"there are {', '.join(BACKENDS)}",
        )
    return BACKENDS[target.backend]
