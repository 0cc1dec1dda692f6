"""Backends by name, which targets say."""

from drystone import registry
from drystone.backends.backend import Backend
from drystone.backends.cpu import CPU
from drystone.errors import UserError
from drystone.registry import Registry
from drystone.targets.target import Target

BACKENDS = Registry("backend", {CPU.name: CPU})


def register(backend: Backend) -> None:
    """Let targets name a backend. Raises UserError where the name is taken. What is registered inside
    `drystone.extend.scope()` is taken out at its end."""
    registry.put(BACKENDS, backend.name, backend, backend.generate.__module__)


def of(target: Target) -> Backend:
    """The backend that a target names. Raises UserError where there is none."""
    if target.backend not in BACKENDS:
        raise UserError(
            f"{target.name} is a target of the backend {target.backend!r}, which there is not",
            hint=f"register it with drystone.backends.register; there are {', '.join(BACKENDS)}",
        )
    return BACKENDS[target.backend]
