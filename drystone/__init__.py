"""drystone compiles PyTorch models into memory-planned programs for the device they run on.

Importing it loads nothing: each name is loaded when it is first asked for. `compile` and `fit` need torch and
MLIR; `load` and everything a loaded model does need numpy only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drystone import extend, ops, sparse
    from drystone.caches import Cache, Coded, Heads, Keep
    from drystone.compiler import compile, fit
    from drystone.errors import DrystoneError, InternalError, UserError
    from drystone.options import Budget, Checkpoint, Options, Quantize, Skip, Sparsify, Tune
    from drystone.runtime.fitted import Fitted, load

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


#: Modules and the names that are at home there; the other names are modules themselves.
_HOMES = {
    "caches": ("Cache", "Coded", "Heads", "Keep"),
    "compiler": ("compile", "fit"),
    "errors": ("DrystoneError", "InternalError", "UserError"),
    "options": ("Budget", "Checkpoint", "Options", "Quantize", "Skip", "Sparsify", "Tune"),
    "runtime.fitted": ("Fitted", "load"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"drystone.{home}"), name)
    if name in __all__:
        return import_module(f"drystone.{name}")
    raise AttributeError(f"module 'drystone' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
