"""drystone compiles PyTorch models into memory-planned programs for the device they run on.

`compile` and `fit` need torch and MLIR and load them on the first call; `load` and everything a loaded
model does need numpy only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from drystone.caches import Cache, Coded, Heads, Keep
from drystone.errors import DrystoneError, InternalError, UserError
from drystone.options import Budget, Checkpoint, Options, Quantize, Skip, Sparsify, Tune
from drystone.runtime.fitted import Fitted, load

if TYPE_CHECKING:
    from drystone import extend, ops, sparse
    from drystone.compiler import compile, fit

__all__ = [
    "Budget",
    "Cache",
    "Checkpoint",
    "Coded",
    "DrystoneError",
    "Fitted",
    "Heads",
    "InternalError",
    "Keep",
    "Options",
    "Quantize",
    "Skip",
    "Sparsify",
    "Tune",
    "UserError",
    "compile",
    "extend",
    "fit",
    "load",
    "ops",
    "sparse",
]


def __getattr__(name: str) -> Any:
    if name in ("compile", "fit"):
        return getattr(import_module("drystone.compiler"), name)
    if name in ("extend", "ops", "sparse"):
        return import_module(f"drystone.{name}")
    raise AttributeError(f"module 'drystone' has no attribute {name!r}")
