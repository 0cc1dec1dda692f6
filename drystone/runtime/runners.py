"""How code is kept in an artifact and run: in this process, or by what stands in for another machine (an
emulator, an interpreter, a child process, a device).

A runner is named by the manifest. `native` is what drystone comes with; others are registered, or named by
installed packages in the entry point group `drystone.runners`: the runner's name, and the `Runner`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

from drystone import registry
from drystone.errors import UserError
from drystone.registry import Registry
from drystone.runtime import link, manifest, native
from drystone.runtime.manifest import Manifest

#: The group in which installed packages name runners.
GROUP = "drystone.runners"


class Runnable(Protocol):
    """A model's code, ready to run."""

    def call(self, pool: int | None, call: native.Call) -> int:
        """Run the model; 0, or 1 + the index of the assertion that failed. pool: the threads to run on, where
        the code is a `native.Code` that makes such. `drystone.runtime.given` has the call's memory as
        arrays."""


@dataclass(frozen=True)
class Runner:
    """How one kind of code is kept and run.

    file: the name it has in an artifact. stored: the bytes to be stored of what a backend made, which may be
    a function that gives them. code: the code of these bytes; raises UserError where it cannot run here.
    """

    name: str
    file: str
    stored: Callable[[Any], bytes]
    code: Callable[[bytes, Manifest], Runnable]


#: Shared objects of this machine's architecture, which have the functions of model.h.
NATIVE = Runner(manifest.NATIVE, "model.so", link.shared_object, lambda image, _: native.from_library(image))
RUNNERS = Registry("runner", {NATIVE.name: NATIVE})


def register(runner: Runner) -> None:
    """Let backends and artifacts name a runner. Raises UserError where the name is taken. What is registered
    inside `drystone.extend.scope()` is taken out at its end."""
    registry.put(RUNNERS, runner.name, runner, runner.code.__module__)


def named(name: str) -> Runner:
    """The runner of this name. Raises UserError where nothing registers one."""
    if name not in RUNNERS:
        for entry in entry_points(group=GROUP, name=name):
            runner: Runner = entry.load()
            register(runner)
    if name not in RUNNERS:
        raise UserError(
            f"the code is run by {name!r}, which is not there",
            hint="install or import the package of the model's target, which registers it",
        )
    return RUNNERS[name]
