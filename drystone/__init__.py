"""drystone compiles PyTorch models into memory-planned programs for the device they run on.

`compile` needs torch and MLIR and loads them on its first call; `load` and everything a loaded model does
need numpy only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from drystone.errors import DrystoneError, InternalError, UserError
from drystone.options import Budget, Options, Tune
from drystone.runtime.fitted import Fitted, load

if TYPE_CHECKING:
    from drystone import ops
    from drystone.compiler import compile

__all__ = [
    "Budget",
    "DrystoneError",
    "Fitted",
    "InternalError",
    "Options",
    "Tune",
    "UserError",
    "compile",
    "load",
    "ops",
]


def __getattr__(name: str) -> Any:
    if name == "compile":
        from drystone.compiler import compile

        return compile
    if name == "ops":
        return import_module("drystone.ops")
    raise AttributeError(f"module 'drystone' has no attribute {name!r}")
